//! The thread against servers on loopback: what each kind of server makes of a fetch, a callback, a thousand of them.

use super::*;
use crate::event::CallId;
use crate::shell::mail::{Mailbox, mail};
use crate::web::{Address, Callback, Content, Method, Page, Parameters, Want};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

/// A request as the server had it: line, headers in lower case, body.
type Seen = (String, Vec<String>, String);

/// Answers each path in its own way; keeps what it was asked.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn new() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (all, count) = (Arc::clone(&seen), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Relaxed);
                let all = Arc::clone(&all);
                std::thread::spawn(move || while serve(&stream, &all).is_some() {});
            }
        });
        Server { port, seen, connections }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(mut stream: &TcpStream) -> Option<Seen> {
    let (mut head, mut one) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut one).ok()? == 0 {
            return None;
        }
        head.push(one[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<String> = lines.filter(|l| !l.is_empty()).map(str::to_owned).collect();
    let header = |name: &str| headers.iter().find_map(|h| h.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
    let length = header("content-length: ").map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((line, headers, String::from_utf8(body).unwrap()))
}

/// One request and its answer; `None` when the connection is over.
fn serve(mut stream: &TcpStream, all: &Mutex<Vec<Seen>>) -> Option<()> {
    let seen = read(stream)?;
    let path = seen.0.split([' ', '?']).nth(1).unwrap().to_owned();
    let headers = seen.1.clone();
    let attempts = {
        let mut all = all.lock().unwrap();
        all.push(seen);
        all.iter().filter(|s| s.0.split([' ', '?']).nth(1) == Some(&path)).count()
    };
    let mut say = |text: &[u8]| stream.write_all(text).ok();
    let mut xml = |status: &str, more: &str, body: &str| {
        say(format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes())
    };
    match &*path {
        "/ok" => xml("200 OK", "Set-Cookie: session=77; Path=/\r\n", "<Response/>"),
        "/500" => xml("500 Oh", "", ""),
        "/404" => xml("404 Not Found", "", "<Response/>"),
        "/flaky" if attempts < 3 => xml("503 Busy", "", ""),
        "/flaky" => xml("200 OK", "", "<Response/>"),
        "/loop" => xml("302 Found", "Location: /loop\r\n", ""),
        "/moved" => xml("301 Moved", "Location: ok?moved=1\r\n", ""),
        "/again" => xml("307 Again", "Location: /ok\r\n", ""),
        "/inside" => xml("302 Found", "Location: http://10.0.0.1/\r\n", ""),
        "/large" => {
            say(&[b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n".as_slice(), &vec![b' '; 5 << 20]].concat())
                .and(None)
        }
        "/announced" => say(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 5000000\r\n\r\n"),
        "/html" => {
            say(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 21\r\n\r\n<!DOCTYPE html><p>hi<")
        }
        "/half" => say(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 100\r\n\r\n<Response>").and(None),
        "/garbage" => say(b"220 smtp.example ESMTP\r\n\r\n").and(None),
        "/empty" => None,
        // Says nothing until the client goes.
        "/slow" => stream.read(&mut [0]).ok().and(None),
        "/sound" if headers.iter().any(|h| h.eq_ignore_ascii_case("if-none-match: \"v1\"")) => {
            say(b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n")
        }
        "/sound" | "/fresh" => {
            let wav = sound::wav(&[1; 800], 8_000, 1);
            let age = if path == "/fresh" { "60" } else { "0" };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nETag: \"v1\"\r\nCache-Control: max-age={age}\r\nContent-Length: {}\r\n\r\n",
                wav.len()
            );
            say(&[head.as_bytes(), &wav].concat())
        }
        _ => xml("200 OK", "", "<Response/>"),
    }
}

struct Bench {
    web: Web,
    mailbox: Mailbox,
    runtime: tokio::runtime::Runtime,
    folder: PathBuf,
    last: u64,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let folder = std::env::temp_dir().join(format!("tandem-web-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("files")).unwrap();
        let (mail, mailbox) = mail().unwrap();
        let settings = Settings {
            token: Some(Secret::new("12345".into())),
            allowed: vec![Network { address: [127, 0, 0, 1].into(), prefix: 32 }],
            files: folder.join("files"),
            cache: folder.join("cache"),
            host_requests_max: 128,
            seed: 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Bench { web: start(settings, mail).unwrap(), mailbox, runtime, folder, last: 0 }
    }

    fn order(&mut self, want: Want, address: Address, fallback: Option<Address>) -> FetchId {
        self.last += 1;
        let id = FetchId(self.last);
        let parameters: Parameters = vec![("CallSid".into(), "CA1".into()), ("Digits".into(), "1 ü".into())];
        let fetch = Fetch {
            id,
            call: CallId(1),
            want,
            address,
            fallback,
            parameters,
            secret: crate::web::Confidential::default(),
        };
        assert!(self.web.order(Order::Fetch(Box::new(fetch))).is_none());
        id
    }

    fn answer(&mut self) -> (FetchId, Result<Box<Page>, Fault>) {
        match self.runtime.block_on(self.mailbox.streams.recv()) {
            Some(Input::Web(Event::Fetched { id, result })) => (id, result),
            other => panic!("{other:?}"),
        }
    }

    fn fetch(&mut self, url: String) -> Result<Box<Page>, Fault> {
        self.order(Want::Document, Address::new(url, Method::Post), None);
        self.answer().1
    }

    fn media(&mut self, url: String) -> Result<Arc<str>, Fault> {
        self.order(Want::Media, Address::new(url, Method::Get), None);
        self.answer().1.map(|page| match page.content {
            Content::File(file) => file,
            Content::Body(_) => panic!("a body"),
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn each_kind_of_server_has_its_answer_or_the_published_fault() {
    let (mut b, server) = (Bench::new("kinds"), Server::new());
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rows = [
        (server.url("ok"), Ok(())),
        (server.url("500"), Err(11_200)),
        (server.url("404"), Err(11_200)),
        (server.url("loop"), Err(11_215)),
        (server.url("moved"), Ok(())),
        (server.url("inside"), Err(11_205)),
        (server.url("large"), Err(11_750)),
        (server.url("announced"), Err(11_750)),
        (server.url("html"), Err(12_300)),
        (server.url("half"), Err(11_200)),
        (server.url("garbage"), Err(11_206)),
        (server.url("empty"), Err(11_200)),
        (server.url("slow#rt=150"), Err(11_200)),
        (server.url("flaky#rc=1&rp=5xx"), Err(11_200)),
        (server.url("flaky#rc=1&rp=5xx"), Ok(())),
        (format!("http://127.0.0.1:{dead}/"), Err(11_205)),
        ("http://127.0.0.2/".into(), Err(11_205)),
        ("http://no-such-host.invalid/".into(), Err(11_210)),
        (format!("https://127.0.0.1:{}/#ct=500", server.port), Err(11_205)),
        ("gopher://127.0.0.1/".into(), Err(11_100)),
        ("none.xml".into(), Err(11_200)),
    ];
    for (url, expected) in rows {
        let result = b.fetch(url.clone());
        let code = result.as_ref().map(drop).map_err(Fault::code);
        assert_eq!(code, expected, "{url}: {result:?}");
    }
}

#[test]
fn a_request_is_signed_carries_cookies_and_reuses_its_connection() {
    let (mut b, server) = (Bench::new("requests"), Server::new());
    for path in ["ok", "ok?a=b", "moved", "again", "menu"] {
        assert!(b.fetch(server.url(path)).is_ok());
    }
    b.order(Want::Document, Address::new(server.url("get?x=1"), Method::Get), None);
    assert!(b.answer().1.is_ok());
    let with_user = format!("http://user:p%40ss@127.0.0.1:{}/basic", server.port);
    assert_eq!(b.fetch(with_user.clone()).map(|page| page.url.to_string()), Ok(with_user));
    let seen = server.seen();
    let lines: Vec<&str> = seen.iter().map(|s| s.0.strip_suffix(" HTTP/1.1").unwrap()).collect();
    let get = "GET /get?x=1&CallSid=CA1&Digits=1+%C3%BC";
    assert_eq!(
        lines,
        [
            "POST /ok",
            "POST /ok?a=b",
            "POST /moved",
            "GET /ok?moved=1",
            "POST /again",
            "POST /ok",
            "POST /menu",
            get,
            "POST /basic"
        ]
    );
    let header = |n: usize, name: &str| {
        let found =
            |h: &String| h.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned());
        seen[n].1.iter().find_map(found)
    };
    let form: Parameters = vec![("CallSid".into(), "CA1".into()), ("Digits".into(), "1 ü".into())];
    assert_eq!(seen[0].2, "CallSid=CA1&Digits=1+%C3%BC");
    assert_eq!((&*seen[3].2, &*seen[5].2), ("", "CallSid=CA1&Digits=1+%C3%BC"));
    let signed = |url: String, form: &Parameters| Some(signature::of_form("12345", &url, form));
    assert_eq!(header(1, "x-twilio-signature"), signed(server.url("ok?a=b"), &form));
    assert_eq!(header(3, "x-twilio-signature"), signed(server.url("ok?moved=1"), &Vec::new()));
    assert_eq!(header(7, "x-twilio-signature"), signed(server.url(&get[5..]), &Vec::new()));
    assert_eq!(header(0, "user-agent").as_deref(), Some("TwilioProxy/1.1"));
    assert_eq!(header(0, "host"), Some(format!("127.0.0.1:{}", server.port)));
    assert_eq!((header(0, "cookie"), header(6, "cookie").as_deref()), (None, Some("session=77")));
    assert_eq!(header(8, "authorization").as_deref(), Some("Basic dXNlcjpwQHNz"));
    let tokens: Vec<_> = (0..seen.len()).map(|n| header(n, "i-twilio-idempotency-token").unwrap()).collect();
    assert!(tokens[0].len() == 36 && tokens[0] != tokens[1] && tokens[2] == tokens[3]);
    assert_eq!(server.connections.load(Relaxed), 1);
}

#[test]
fn the_fallback_is_told_why_it_is_asked() {
    let (mut b, server) = (Bench::new("fallback"), Server::new());
    let to = |path: &str| Address::new(server.url(path), Method::Post);
    b.order(Want::Document, to("500?a=1"), Some(to("plan-b")));
    let page = b.answer().1.unwrap();
    assert_eq!(page.fell_back.map(|f| f.code()), Some(11_200));
    let form = server.seen()[1].2.clone();
    assert!(
        form.ends_with(&format!("&ErrorCode=11200&ErrorUrl={}", super::form::encode(&server.url("500?a=1")))),
        "{form}"
    );
    b.order(Want::Document, to("500"), Some(to("large")));
    assert_eq!(b.answer().1.map_err(|f| f.code()), Err(11_750));
}

#[test]
fn local_files_are_documents_and_media() {
    let mut b = Bench::new("local");
    std::fs::write(b.folder.join("files/menu.xml"), "<Response/>").unwrap();
    std::fs::write(b.folder.join("files/a.wav"), sound::wav(&[1; 80], 8_000, 1)).unwrap();
    let page = b.fetch("menu.xml".into()).unwrap();
    assert_eq!((page.body(), &*page.content_type), (b"<Response/>".as_slice(), "text/xml"));
    assert!(b.media("file:a.wav".into()).unwrap().ends_with("files/a.wav"));
    assert_eq!(b.media("menu.xml".into()).map_err(|f| f.code()), Err(13_420));
}

#[test]
fn media_is_fetched_again_only_when_it_has_changed() {
    let (mut b, server) = (Bench::new("media"), Server::new());
    let first = b.media(server.url("sound")).unwrap();
    assert_eq!(std::fs::read(&*first).unwrap(), sound::wav(&[1; 800], 8_000, 1));
    assert_eq!(b.media(server.url("sound")), Ok(first));
    let fresh = b.media(server.url("fresh"));
    assert!(fresh.is_ok() && b.media(server.url("fresh")) == fresh);
    let asked = |path: &str| server.seen().iter().filter(|s| s.0.contains(path)).count();
    assert_eq!((asked("/sound"), asked("/fresh")), (2, 1));
    assert_eq!(b.media(server.url("ok")).map_err(|f| f.code()), Err(13_420));
    assert_eq!(b.media(server.url("404")).map_err(|f| f.code()), Err(11_200));
}

#[test]
fn callbacks_of_a_call_come_in_order_and_the_cookies_go_last() {
    let (mut b, server) = (Bench::new("callbacks"), Server::new());
    assert!(b.fetch(server.url("ok")).is_ok());
    for n in 0..20 {
        let address = Address::new(server.url(&format!("told?n={n}")), Method::Post);
        let callback = Callback { call: CallId(1), address, parameters: Parameters::new() };
        assert!(b.web.order(Order::Callback(Box::new(callback))).is_none());
    }
    assert!(b.web.order(Order::Forget(CallId(1))).is_none());
    let figures = Arc::clone(&b.web.figures);
    drop(b);
    let seen = server.seen();
    let told: Vec<String> = seen[1..].iter().map(|s| s.0.clone()).collect();
    let expected: Vec<String> = (0..20).map(|n| format!("POST /told?n={n} HTTP/1.1")).collect();
    assert_eq!(told, expected);
    assert!(seen[20].1.iter().any(|h| h.eq_ignore_ascii_case("cookie: session=77")), "{:?}", seen[20]);
    assert_eq!(
        (
            figures.callbacks.load(Relaxed),
            figures.callbacks_waiting.load(Relaxed),
            figures.callbacks_lost.load(Relaxed)
        ),
        (20, 0, 0)
    );
}

#[test]
fn cookies_of_a_call_that_is_over_are_not_sent_again() {
    let (mut b, server) = (Bench::new("over"), Server::new());
    for _ in 0..2 {
        assert!(b.fetch(server.url("ok")).is_ok());
    }
    assert!(b.web.order(Order::Forget(CallId(1))).is_none());
    // More than are kept until the next order.
    for other in 0..OVER_MAX {
        assert!(b.web.order(Order::Forget(CallId(100 + other as u128))).is_none());
    }
    assert!(b.web.over.borrow().is_empty());
    assert!(b.fetch(server.url("ok")).is_ok());
    assert!(b.web.order(Order::Forget(CallId(1))).is_none());
    assert_eq!(b.web.over.borrow().len(), 1, "the next order takes it along");
    assert!(b.fetch(server.url("ok")).is_ok());
    let has_cookie = |seen: &Seen| seen.1.iter().any(|h| h.to_ascii_lowercase().starts_with("cookie: "));
    assert_eq!(server.seen().iter().map(has_cookie).collect::<Vec<_>>(), [false, true, false, false]);
}

#[test]
fn a_thousand_fetches_are_answered_each_once() {
    let (mut b, server) = (Bench::new("thousand"), Server::new());
    let paths = ["ok", "500", "loop", "half", "large", "html", "slow#rt=200", "empty"];
    let ids: Vec<FetchId> = (0..1_000)
        .map(|n| b.order(Want::Document, Address::new(server.url(paths[n % paths.len()]), Method::Post), None))
        .collect();
    let mut answered: Vec<FetchId> = ids.iter().map(|_| b.answer().0).collect();
    answered.sort_unstable();
    assert_eq!(answered, ids);
    assert_eq!(b.web.figures.fetches_waiting.load(Relaxed), 0);
}

#[test]
fn a_fetch_that_is_cancelled_gives_its_place_back() {
    let (mut b, server) = (Bench::new("cancelled"), Server::new());
    let id = b.order(Want::Document, Address::new(server.url("slow"), Method::Post), None);
    assert!(b.web.order(Order::Cancel(id)).is_none());
    assert!(b.fetch(server.url("ok")).is_ok());
    assert_eq!(b.web.figures.fetches_waiting.load(Relaxed), 0);
}
