//! An application's web server: it answers by path and keeps all that it was asked.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request as it came: "POST /path HTTP/1.1", its headers and its body.
#[derive(Debug, Clone)]
pub struct Request {
    /// With the query.
    pub path: String,
    pub head: String,
    pub body: String,
}

impl Request {
    /// A parameter of the form.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pair = |pair: &str| pair.split_once('=').map(|(n, v)| (decoded(n), decoded(v)));
        self.body.split('&').filter_map(pair).find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let hex = [rest.next(), rest.next()].map(|h| h.map_or('0', char::from));
                u8::from_str_radix(&String::from_iter(hex), 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// What is answered: status, content type, body.
pub type Answer = (u16, &'static str, String);

/// A server that runs until the test ends.
#[derive(Debug, Clone)]
pub struct App {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl App {
    /// Answers each path (without its query) with its markup, the inside of a Response; others with nothing.
    pub fn start(pages: &[(&str, &str)]) -> App {
        let pages: BTreeMap<String, String> =
            pages.iter().map(|(path, inside)| ((*path).to_owned(), format!("<Response>{inside}</Response>"))).collect();
        App::with(move |request| {
            let path = request.path.split('?').next().unwrap_or_default();
            (200, "text/xml", pages.get(path).cloned().unwrap_or_else(|| "<Response/>".to_owned()))
        })
    }

    pub fn with(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (asked, answer) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(answer));
        let keep = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (keep, answer) = (Arc::clone(&keep), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &keep, &*answer));
            }
        });
        App { address, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("no holder panics").clone()
    }
}

fn serve(mut stream: TcpStream, keep: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Answer) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let mut bytes = Vec::new();
    loop {
        let (Some(request), rest) = read(&bytes) else {
            let mut more = [0; 4_096];
            match stream.read(&mut more) {
                Ok(len) if len > 0 => bytes.extend_from_slice(&more[..len]),
                _ => return,
            }
            continue;
        };
        bytes.drain(..rest);
        keep.lock().expect("no holder panics").push(request.clone());
        let (status, kind, body) = answer(&request);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// The first request that is whole, and where the next one begins.
fn read(bytes: &[u8]) -> (Option<Request>, usize) {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return (None, 0) };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let whole = end + 4 + length.unwrap_or(0usize);
    if bytes.len() < whole {
        return (None, 0);
    }
    let body = String::from_utf8_lossy(&bytes[end + 4..whole]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    (Some(Request { path, head, body }), whole)
}
