//! Packets read back by the letter of the protocol's description, over both transports, and a server that is not there.

use super::*;
use crate::base::pii::Secret;
use crate::base::time::Wall;
use crate::sip::transport::Transport;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;

const OK: &str = "SIP/2.0 200 OK\r\nCall-ID: a\r\n\r\n";

fn packet(transport: Transport, local: &str, is_sent: bool) -> Packet {
    Packet {
        at: Wall(1_795_446_000_123_456),
        transport,
        local: local.parse().unwrap(),
        is_local_certain: true,
        peer: if local.starts_with('[') { "[2001:db8::2]:7" } else { "10.0.0.2:7" }.parse().unwrap(),
        is_sent,
        bytes: Bytes::from_static(OK.as_bytes()),
    }
}

/// The chunks by type; each may stand once, and the lengths must come out.
fn chunks(bytes: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    assert_eq!(&bytes[..4], b"HEP3");
    let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    assert_eq!(usize::from(number(4)), bytes.len());
    let (mut at, mut found) = (6, BTreeMap::new());
    while at < bytes.len() {
        let (vendor, kind, length) = (number(at), number(at + 2), usize::from(number(at + 4)));
        assert!(vendor == 0 && length >= 6);
        assert!(found.insert(kind, bytes[at + 6..at + length].to_vec()).is_none(), "chunk {kind} twice");
        at += length;
    }
    assert_eq!(at, bytes.len());
    found
}

#[test]
fn a_packet_has_the_chunks_that_the_protocol_describes() {
    let agent = Agent { id: 2001, password: Some(Secret::new("myhep".into())) };
    let item = Item { packet: packet(Transport::Udp, "10.0.0.1:5060", false), call: Some(CallId(7)) };
    let found = chunks(&agent.encode(&item).unwrap());
    let want: [(u16, &[u8]); 14] = [
        (1, &[2]),
        (2, &[17]),
        (3, &[10, 0, 0, 2]),
        (4, &[10, 0, 0, 1]),
        (7, &[0, 7]),
        (8, &[0x13, 0xC4]),
        (9, &1_795_446_000u32.to_be_bytes()),
        (10, &123_456u32.to_be_bytes()),
        (11, &[1]),
        (12, &[0, 0, 0x07, 0xD1]),
        (14, b"myhep"),
        (15, OK.as_bytes()),
        (17, b"CA00000000000000000000000000000007"),
        (0, b""),
    ];
    assert_eq!(found.len(), 13);
    for (kind, value) in &want[..13] {
        assert_eq!(found[kind], *value, "chunk {kind}");
    }
    // By TLS and IPv6, of no call, from us, to nobody who asks for a password.
    let agent = Agent { id: 1, password: None };
    let item = Item { packet: packet(Transport::Tls, "[2001:db8::1]:5061", true), call: None };
    let found = chunks(&agent.encode(&item).unwrap());
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 15]);
    assert_eq!((&found[&1][..], &found[&2][..], found[&5][15], found[&6][15]), (&[10][..], &[6][..], 1, 2));
    let long = Packet { bytes: Bytes::from(vec![b'x'; 65_000]), ..packet(Transport::Tcp, "10.0.0.1:1", true) };
    assert!(agent.encode(&Item { packet: long, call: None }).is_none());
    let secret = "REGISTER sip:a SIP/2.0\r\nAuthorization: Digest response=\"abc\"\r\n\r\n";
    let packet = Packet { bytes: secret.into(), ..packet(Transport::Tcp, "10.0.0.1:1", true) };
    let payload = chunks(&agent.encode(&Item { packet, call: None }).unwrap()).remove(&15).unwrap();
    assert!(payload.len() == secret.len() && payload.ends_with(b"\"xxx\"\r\n\r\n"));
}

fn hep(is_tcp: bool, target: SocketAddr) -> Hep {
    Hep { is_tcp, target: target.to_string(), id: 1, password: None }
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

#[test]
fn batches_arrive_by_either_transport() {
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    udp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for is_tcp in [false, true] {
        let target = if is_tcp { tcp.local_addr() } else { udp.local_addr() }.unwrap();
        let mut exporter = start(&hep(is_tcp, target)).unwrap();
        assert_eq!(exporter.deadline(), None);
        exporter.export(at(5), packet(Transport::Udp, "10.0.0.1:5060", true), None);
        exporter.export(at(6), packet(Transport::Udp, "10.0.0.1:5060", false), Some(CallId(1)));
        exporter.turn(at(10));
        assert_eq!((exporter.deadline(), exporter.items.len()), (Some(at(25)), 2), "they wait for company");
        exporter.turn(at(25));
        let mut got = Vec::new();
        if is_tcp {
            let mut line = tcp.accept().unwrap().0;
            for _ in 0..2 {
                let mut head = [0; 6];
                line.read_exact(&mut head).unwrap();
                let mut rest = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 6];
                line.read_exact(&mut rest).unwrap();
                got.push([&head[..], &rest].concat());
            }
        } else {
            for _ in 0..2 {
                let mut buffer = [0; 2_048];
                let n = udp.recv(&mut buffer).unwrap();
                got.push(buffer[..n].to_vec());
            }
        }
        let correlated: Vec<bool> = got.iter().map(|p| chunks(p).contains_key(&17)).collect();
        assert_eq!(correlated, [false, true]);
    }
}

#[test]
fn a_server_that_does_not_answer_holds_nobody_up() {
    // Nobody listens there any more.
    let mut exporter = start(&hep(true, "127.0.0.1:1".parse().unwrap())).unwrap();
    let total = 3_000;
    for n in 0..total {
        exporter.export(at(n), packet(Transport::Udp, "10.0.0.1:5060", true), None);
        exporter.turn(at(n));
    }
    let figures = Arc::clone(&exporter.figures);
    for n in 0.. {
        exporter.turn(at(2 * total + 100 * n));
        if figures.dropped.load(Ordering::Relaxed) + figures.sent.load(Ordering::Relaxed) == total {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(exporter.figures.sent.load(Ordering::Relaxed), 0);
    assert!(exporter.items.is_empty() && exporter.figures().count() == 2);
}
