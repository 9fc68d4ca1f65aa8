//! A browser's side, written out: the handshake and masked frames of RFC 6455.

use super::*;
use crate::shell::mail::{Mailbox, mail};
use crate::shell::net::Limits;
use crate::sip::transport::Flow;
use crate::switch::Input;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

struct Served {
    runtime: tokio::runtime::Runtime,
    streams: Streams,
    mailbox: Mailbox,
    address: std::net::SocketAddr,
}

fn serve() -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let (mail, mailbox) = mail().unwrap();
    let streams = Streams::new(mail, Limits::default(), Vec::new(), Tls::default()).unwrap();
    let origins = ["https://phone.example".to_owned()].into();
    let sip = Sip {
        streams: streams.clone(),
        listener: ListenerId(3),
        transport: Transport::Ws,
        tls: Tls::default(),
        origins,
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let door = super::super::door::Door::new(tokio::net::TcpListener::from_std(listener).unwrap(), Tls::default());
    runtime.spawn(async move { axum::serve(door, route(sip).into_make_service_with_connect_info::<Caller>()).await });
    drop(_inside);
    Served { runtime, streams, mailbox, address }
}

impl Served {
    /// Connects with these header lines besides those of every handshake; the answer's head.
    fn shake_hands(&self, more: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!(
            "GET /sip HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            answer.extend(octet);
        }
        (stream, String::from_utf8(answer).unwrap().to_ascii_lowercase())
    }

    fn connected(&self) -> TcpStream {
        let (stream, head) = self.shake_hands("Sec-WebSocket-Protocol: chat, sip\r\n");
        assert!(head.starts_with("http/1.1 101 ") && head.contains("sec-websocket-protocol: sip\r\n"), "{head}");
        stream
    }

    fn next(&mut self) -> Input {
        self.runtime.block_on(self.mailbox.streams.recv()).unwrap()
    }

    fn received(&mut self) -> (Flow, String) {
        match self.next() {
            Input::Received { flow, bytes } => (flow, String::from_utf8(bytes.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

fn put(stream: &mut TcpStream, kind: u8, payload: &[u8]) {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![kind];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    // A peer that has closed already refuses the rest.
    let _ = stream.write_all(&frame);
}

fn get(stream: &mut TcpStream) -> (u8, String) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload).unwrap();
    (head[0], String::from_utf8_lossy(&payload).into_owned())
}

#[test]
fn a_message_a_frame_both_ways() {
    let mut served = serve();
    let mut browser = served.connected();
    put(&mut browser, TEXT, b"OPTIONS sip:a SIP/2.0\r\n\r\n");
    let (flow, text) = served.received();
    let own = browser.local_addr().unwrap();
    assert_eq!((flow.transport, flow.listener, flow.peer), (Transport::Ws, ListenerId(3), own));
    assert_eq!(text, "OPTIONS sip:a SIP/2.0\r\n\r\n");
    put(&mut browser, BINARY, b"INFO sip:a SIP/2.0\r\n\r\n");
    assert!(served.received().1.starts_with("INFO"));
    // By the connection and by the peer's address.
    for flow in [flow, Flow { connection: 0, ..flow }] {
        assert!(served.streams.send(flow, Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n")));
        assert_eq!(get(&mut browser), (TEXT, "SIP/2.0 200 OK\r\n\r\n".into()));
    }
    assert!(served.streams.send(flow, Bytes::from_static(b"\xff")));
    assert_eq!(get(&mut browser).0, BINARY);
    put(&mut browser, PING, b"x");
    assert_eq!(get(&mut browser), (PONG, "x".into()));
    put(&mut browser, TEXT, b"\r\n\r\n");
    assert_eq!(get(&mut browser), (TEXT, "\r\n".into()));
    served.streams.close(flow);
    assert_eq!(get(&mut browser).0, CLOSE);
    let failed: Vec<Input> = (0..2).map(|_| served.next()).collect();
    assert!(matches!(failed.as_slice(), [Input::FlowFailed { .. }, Input::FlowFailed { flow: f }] if *f == flow));
    assert!(!served.streams.send(Flow { connection: 0, ..flow }, Bytes::new()), "a browser cannot be called back");
}

#[test]
fn what_is_too_long_ends_the_connection() {
    let mut served = serve();
    let mut browser = served.connected();
    put(&mut browser, TEXT, &vec![b'a'; MESSAGE_MAX + 1]);
    assert!(matches!(served.next(), Input::FlowFailed { .. }));
    let mut second = served.connected();
    put(&mut second, CLOSE, &[]);
    assert!(matches!(served.next(), Input::FlowFailed { .. }));
    assert_eq!(served.streams.connections(), 0);
}

#[test]
fn who_does_not_speak_sip_is_refused() {
    let served = serve();
    for more in ["", "Sec-WebSocket-Protocol: chat\r\n"] {
        let head = served.shake_hands(more).1;
        assert!(head.starts_with("http/1.1 400 "), "{head}");
    }
    assert_eq!(served.streams.connections(), 0);
}

#[test]
fn a_page_from_elsewhere_is_refused() {
    let served = serve();
    for (origin, want) in [
        ("", "http/1.1 101 "),
        ("Origin: https://PHONE.example\r\n", "http/1.1 101 "),
        ("Origin: https://phone.example.evil\r\n", "http/1.1 403 "),
        ("Origin: http://phone.example\r\n", "http/1.1 403 "),
        ("Origin: null\r\n", "http/1.1 403 "),
    ] {
        let (_stream, head) = served.shake_hands(&format!("Sec-WebSocket-Protocol: sip\r\n{origin}"));
        assert!(head.starts_with(want), "{origin}: {head}");
    }
}
