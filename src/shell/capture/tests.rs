//! What is kept, for how long, what is written over, and what the file looks like.

use super::*;
use crate::base::time::Duration;

const INVITE: &str =
    "INVITE sip:100@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\nCall-ID: a@b\r\n\r\n";

fn settings() -> config::Capture {
    let keep = Duration::from_secs(60);
    config::Capture { enabled: true, memory: 1_000_000, per_call: 100_000, keep, ended: 100 }
}

fn capture(settings: config::Capture, is_secret: bool) -> Capture {
    let (id, local) = (ListenerId(0), "0.0.0.0:5060".parse().unwrap());
    let udp = Listener { id, transport: Transport::Udp, local, advertised: "10.0.0.1:9".parse().unwrap() };
    let secrecy = Secrecy::default();
    secrecy.set(is_secret);
    Capture::new(Parts { settings, listeners: vec![udp], secrecy, exporter: None })
}

fn now(s: u64) -> Now {
    let mono = Instant::from_micros(s * 1_000_000);
    Now { mono, wall: Wall(1_795_446_000_000_000 + s as i64 * 1_000_000) }
}

fn flow(transport: Transport, connection: u64) -> Flow {
    Flow { listener: ListenerId(0), transport, peer: "10.0.0.2:5070".parse().unwrap(), connection }
}

impl Capture {
    fn heard(&mut self, s: u64, text: &str, answer: &str) {
        let flow = flow(Transport::Udp, 0);
        self.pass(now(s), false, flow, None, &Bytes::copy_from_slice(text.as_bytes()));
        if !answer.is_empty() {
            self.pass(now(s), true, flow, None, &Bytes::copy_from_slice(answer.as_bytes()));
        }
    }

    fn kept(&self, call: u128) -> Vec<String> {
        let line = |p: &Packet| String::from_utf8_lossy(&p.bytes).lines().next().unwrap_or_default().to_owned();
        self.of(CallId(call)).iter().flatten().map(line).collect()
    }
}

fn message(first: &str, call_id: &str) -> String {
    format!("{first}\r\nCall-ID: {call_id}\r\n\r\n")
}

#[test]
fn messages_find_their_calls_and_a_challenged_invite_its_own() {
    let mut c = capture(settings(), false);
    c.heard(1, &message("INVITE sip:1@a SIP/2.0", "x"), &message("SIP/2.0 401 Unauthorized", "x"));
    c.settle(now(1).mono);
    c.heard(1, &message("ACK sip:1@a SIP/2.0", "x"), "");
    c.settle(now(1).mono);
    c.heard(1, &message("REGISTER sip:a SIP/2.0", "r"), &message("SIP/2.0 401 Unauthorized", "r"));
    c.settle(now(1).mono);
    // The core says whose it is after it was sent; another leg has another name.
    c.heard(2, &message("INVITE sip:1@a SIP/2.0", "x"), &message("INVITE sip:1@b SIP/2.0", "y"));
    c.leg(CallId(7), "x");
    c.leg(CallId(7), "y");
    c.settle(now(2).mono);
    // The other leg comes back to us as a call of its own: each has what bears the name.
    c.heard(3, &message("BYE sip:1@b SIP/2.0", "y"), "");
    c.leg(CallId(8), "y");
    c.settle(now(3).mono);
    let first = ["INVITE sip:1@a SIP/2.0", "SIP/2.0 401 Unauthorized", "ACK sip:1@a SIP/2.0"];
    let then = ["INVITE sip:1@a SIP/2.0", "INVITE sip:1@b SIP/2.0", "BYE sip:1@b SIP/2.0"];
    assert_eq!(c.kept(7), [first, then].concat());
    assert_eq!(c.kept(8), ["BYE sip:1@b SIP/2.0"]);
    assert!(c.of(CallId(9)).is_none());
    let packets = c.of(CallId(7)).unwrap();
    let ends: Vec<String> = packets.iter().map(|p| format!("{} {}", p.source(), p.destination())).take(2).collect();
    assert_eq!(ends, ["10.0.0.2:5070 10.0.0.1:5060", "10.0.0.1:5060 10.0.0.2:5070"], "never a wildcard");
    // It ends; what comes late is still its own, then it is forgotten, and so is its name.
    c.ended(CallId(7), now(4).mono);
    c.ended(CallId(8), now(4).mono);
    c.heard(30, &message("SIP/2.0 200 OK", "x"), "");
    c.settle(now(30).mono);
    assert_eq!(c.kept(7).len(), 7);
    c.heard(50, &message("SIP/2.0 200 OK", "x"), "");
    c.settle(now(50).mono);
    assert_eq!(c.kept(7).len(), 7, "an hour later it is somebody else's");
    c.settle(now(64).mono);
    assert!(c.of(CallId(7)).is_none());
    assert_eq!(c.calls.figures(), (0, 0));
}

#[test]
fn what_is_kept_has_bounds() {
    // Of one call: the first messages and the last ones.
    let mut c = capture(config::Capture { per_call: 16_000, ..settings() }, false);
    c.leg(CallId(1), "a");
    for n in 0..1_000 {
        c.heard(n, &message(&format!("INFO sip:{n}@a SIP/2.0"), "a"), "");
        c.settle(now(n).mono);
    }
    let kept = c.kept(1);
    assert!(kept[0].contains(":0@") && kept[31].contains(":31@") && kept.last().unwrap().contains(":999@"), "{kept:?}");
    let (octets, dropped) = c.calls.figures();
    assert!(octets <= 16_000 && dropped == 1_000 - kept.len() as u64, "{octets} {dropped}");
    // Of all: those that ended first go first; where none has ended, nothing more is kept.
    let mut c = capture(config::Capture { memory: 16_000, ..settings() }, false);
    for n in 0..1_000u64 {
        c.leg(CallId(n.into()), &n.to_string());
        c.heard(n, &message("INVITE sip:a SIP/2.0", &n.to_string()), "");
        c.settle(Instant::ZERO);
        if n < 500 {
            c.ended(CallId(n.into()), Instant::ZERO);
        }
        assert!(c.calls.figures().0 <= 16_000);
    }
    assert!(c.kept(0).is_empty() && c.kept(500).len() == 1 && c.kept(999).is_empty());
    // Calls that have ended, by number; and who wants nothing gets nothing.
    let mut c = capture(config::Capture { ended: 3, ..settings() }, false);
    for n in 0..10 {
        c.leg(CallId(n), &n.to_string());
        c.ended(CallId(n), Instant::ZERO);
    }
    c.settle(Instant::ZERO);
    assert!(c.of(CallId(6)).is_none() && c.of(CallId(7)).is_some());
    let c = capture(config::Capture { enabled: false, ..settings() }, false);
    assert!(!c.is_on());
    // Strangers.
    let mut c = capture(settings(), false);
    for n in 0..10_000u64 {
        c.heard(1, &message("INVITE sip:a SIP/2.0", &n.to_string()), &message("SIP/2.0 401 No", &n.to_string()));
        c.settle(now(1).mono);
    }
    c.leg(CallId(1), "9999");
    c.leg(CallId(2), "1");
    assert_eq!((c.kept(1).len(), c.kept(2).len()), (2, 0));
}

#[test]
fn digits_that_are_secrets_are_never_in_it() {
    let info =
        "\r\nINFO sip:a SIP/2.0\r\ni: a\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=160\r\n";
    let notify = "NOTIFY sip:a SIP/2.0\r\ni: a\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\n";
    for (is_secret, text, has) in
        [(true, info, false), (false, info, true), (true, notify, false), (true, &info.to_lowercase(), false)]
    {
        let mut c = capture(settings(), is_secret);
        c.leg(CallId(1), "a");
        c.heard(1, text, text);
        c.settle(now(1).mono);
        let packets = c.of(CallId(1)).unwrap();
        assert_eq!(packets.len(), 2);
        for packet in packets {
            assert_eq!(packet.bytes.len(), text.len());
            assert_eq!(String::from_utf8_lossy(&packet.bytes).to_lowercase().contains("signal=5"), has, "{text}");
        }
    }
}

#[test]
fn secrets_are_written_over() {
    let rows = [
        (
            "Authorization: Digest username=\"a\", realm=\"r\", response=\"0123abcd\", nonce=\"n\"",
            "Authorization: Digest username=\"a\", realm=\"r\", response=\"xxxxxxxx\", nonce=\"n\"",
        ),
        ("proxy-authorization : digest RESPONSE = \"ab\"", "proxy-authorization : digest RESPONSE = \"xx\""),
        (
            "Authorization: Digest realm=\"r\",\r\n response=\"ab\"",
            "Authorization: Digest realm=\"r\",\r\n response=\"xx\"",
        ),
        ("Authorization: Basic YTpi", "Authorization: Basicxxxxx"),
        ("Authentication-Info: rspauth=\"ab\", qop=auth", "Authentication-Info: rspauth=\"xx\", qop=auth"),
        ("From: <sip:a:pw@b>;tag=1", "From: <sip:a:xx@b>;tag=1"),
        ("Contact: <sips:a:pw@b:5061>, <sip:b:5060>", "Contact: <sips:a:xx@b:5061>, <sip:b:5060>"),
        ("Via: SIP/2.0/UDP a:5060;response=1", "Via: SIP/2.0/UDP a:5060;response=1"),
    ];
    for (given, want) in rows {
        let text = |line: &str| format!("INVITE sip:u:pw@h SIP/2.0\r\n{line}\r\n\r\na=x\r\n").replace("u:pw@", "u:xx@");
        let given = text(given).replace("u:xx@", "u:pw@");
        assert_eq!(String::from_utf8_lossy(&without_secrets(given.as_bytes())), text(want));
    }
    let sdp = "\r\nv=0\r\nk=clear:abc\r\na=crypto:1 AES inline:c2VjcmV0|2^31 FEC_ORDER=a\r\na=ice-pwd:abc\r\n";
    let want = "\r\nv=0\r\nk=xxxxxxxxx\r\na=crypto:1 AES inline:xxxxxxxxxxxxx FEC_ORDER=a\r\na=ice-pwd:xxx\r\n";
    let text = |body: &str| format!("SIP/2.0 200 OK\r\nCall-ID: x\r\n{body}");
    assert_eq!(String::from_utf8_lossy(&without_secrets(text(sdp).as_bytes())), text(want));
}

#[test]
fn call_ids_are_found_however_they_are_written() {
    let rows: &[(&str, Option<&str>)] = &[
        (INVITE, Some("a@b")),
        ("\r\n\r\nBYE a SIP/2.0\r\ni : b\r\n\r\n", Some("b")),
        ("BYE a SIP/2.0\ncall-id:c\n\n", Some("c")),
        ("BYE a SIP/2.0\r\nInfo: x\r\nCALL-ID\t: d \r\n\r\n", Some("d")),
        ("BYE a SIP/2.0\r\n\r\nCall-ID: body\r\n", None),
        ("BYE a SIP/2.0\r\nC", None),
        ("", None),
    ];
    for (text, want) in rows {
        assert_eq!(redact::call_id(text.as_bytes()).map(String::from_utf8_lossy).as_deref(), *want, "{text:?}");
    }
}

/// What another reader makes of the file: of each packet its time in µs, its ends, and its payload; checksums must agree.
fn read(file: &[u8]) -> Vec<(u128, String, Vec<u8>)> {
    let mut reader = pcap_file::pcap::PcapReader::new(file).unwrap();
    assert_eq!(reader.header().datalink, pcap_file::DataLink::RAW);
    let mut found = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        let d = packet.data.to_vec();
        let (transport, ends) = match d[0] >> 4 {
            4 => (d[9], format!("{:?}", &d[12..20])),
            6 => (d[6], format!("{:?}", &d[8..40])),
            other => panic!("IP version {other}"),
        };
        let payload = &d[if d[0] >> 4 == 4 { 20 } else { 40 }..];
        assert!(transport == 17 || transport == 6);
        found.push((packet.timestamp.as_micros(), ends, payload[if transport == 17 { 8 } else { 20 }..].to_vec()));
    }
    found
}

#[test]
fn the_file_is_read_by_another_reader() {
    let packet = |local: &str, peer: &str, transport, is_sent, at, certain| Packet {
        at: Wall(at),
        transport,
        local: local.parse().unwrap(),
        is_local_certain: certain,
        peer: peer.parse().unwrap(),
        is_sent,
        bytes: Bytes::from_static(INVITE.as_bytes()),
    };
    let long = Bytes::from(vec![b'l'; 70_000]);
    let packets = [
        packet("10.0.0.1:5060", "10.0.0.2:5070", Transport::Udp, false, 1_795_446_000_123_456, true),
        packet("[2001:db8::1]:5060", "[2001:db8::2]:5070", Transport::Udp, true, 1_795_446_000_123_457, true),
        packet("10.0.0.1:5060", "10.0.0.3:5060", Transport::Tcp, true, 1_795_446_000_200_000, false),
        packet("10.0.0.1:40000", "10.0.0.3:5060", Transport::Tcp, false, 1_795_446_000_300_000, true),
        Packet { bytes: long, ..packet("[::1]:5061", "[::2]:9", Transport::Tls, false, 1_795_446_001_000_000, true) },
    ];
    let file = pcap(&packets);
    let found = read(&file);
    let times: Vec<u128> = found.iter().map(|f| f.0 % 10_000_000).collect();
    assert_eq!(times[..4], [123_456, 123_457, 200_000, 300_000]);
    assert!(found[..4].iter().all(|f| f.2 == INVITE.as_bytes()));
    assert_eq!(found[4..].iter().map(|f| f.2.len()).sum::<usize>(), 70_000);
    // What was sent before our end was known has it too: port 40000 is 0x9C40.
    assert!(
        file.windows(4).any(|w| w == [0x9C, 0x40, 0x13, 0xC4])
            && file.windows(4).any(|w| w == [0x13, 0xC4, 0x9C, 0x40])
    );
    assert_eq!(read(&pcap(&[])).len(), 0);
}
