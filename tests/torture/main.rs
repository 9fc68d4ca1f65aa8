//! The 49 messages of RFC 4475 and 33 of our own, one file each, exact octets: what the wire layer makes of them (here), and
//! what a live switch answers (`answers`).
//!
//! `table` has a row a file: what the wire layer says, what the switch answers, and why. `bench` is the switch's world: a trunk
//! known by its source, users, a dialplan that answers every call, and media that gives every leg a port at once. Each file is
//! sent as a datagram and as a stream, from the trunk and from a stranger; calls that come of it are ended by the caller, by an
//! operator, or by nobody; then 300 simulated seconds pass, and no call, leg, media, transaction, timer or trunk place may be
//! left. `registers` sends the REGISTERs again with credentials. `requests` has what no file has: requests that differ from a
//! good one in one place, and their answers by RFC 3261 §8.2. A new file is a `.dat` beside the others and a row.

mod answers;
mod bench;
mod registers;
mod requests;
mod table;

use bytes::Bytes;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use table::{Row, Wire, ours, rfc4475};
use tandem::sip::wire::{Fault, Framer, HeaderName, Message, NameAddr, Uri, Via, Writer};

fn directory(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torture").join(name)
}

fn octets(of: &str, file: &str) -> Bytes {
    Bytes::from(std::fs::read(directory(of).join(format!("{file}.dat"))).expect(file))
}

fn read(of: &str, file: &str) -> Message {
    Message::parse(octets(of, file)).expect(file)
}

fn rows() -> Vec<(&'static str, Row)> {
    let rfc = rfc4475().into_iter().map(|row| ("rfc4475", row));
    rfc.chain(ours().into_iter().map(|row| ("ours", row))).collect()
}

#[test]
fn every_file_has_one_row() {
    for (of, rows, count) in [("rfc4475", rfc4475(), 49), ("ours", ours(), 33)] {
        let files: BTreeSet<String> = std::fs::read_dir(directory(of))
            .expect(of)
            .map(|entry| entry.expect(of).file_name().to_string_lossy().trim_end_matches(".dat").to_owned())
            .collect();
        let named: BTreeSet<String> = rows.iter().map(|row| row.file.to_owned()).collect();
        assert_eq!(files, named);
        assert_eq!((rows.len(), named.len()), (count, count), "{of}");
        assert!(rows.iter().all(|row| !row.why.is_empty() && row.answer.iter().all(|s| (200..700).contains(s))));
    }
}

#[test]
fn the_wire_layer_says_what_the_table_says() {
    for (of, row) in rows() {
        let said = match Message::parse(octets(of, row.file)) {
            Ok(message) => Wire::Reads(message.to_string()),
            Err((Fault::NotSip, None)) => Wire::NotSip,
            Err((Fault::BadRequest { status, reason }, Some(_))) => Wire::BadRequest(status, reason.to_owned()),
            Err((Fault::BadResponse(reason), None)) => Wire::BadResponse(reason.to_owned()),
            Err(other) => panic!("{}: {other:?}", row.file),
        };
        assert_eq!(said, row.wire, "{of}/{}: {}", row.file, row.why);
    }
}

#[test]
fn the_two_columns_do_not_contradict_each_other() {
    for (of, row) in rows() {
        match &row.wire {
            Wire::Reads(summary) => {
                assert_eq!(row.answer.is_none(), summary.as_bytes()[0].is_ascii_digit(), "{of}/{}", row.file)
            }
            Wire::BadRequest(status, _) => assert_eq!(row.answer, Some(*status), "{of}/{}", row.file),
            Wire::BadResponse(_) | Wire::NotSip => assert!(row.answer.is_none(), "{of}/{}", row.file),
        }
    }
}

#[test]
fn a_faulty_request_gets_a_stateless_answer() {
    let source: SocketAddr = "192.0.2.200:5060".parse().expect("address");
    let mut answered = 0;
    for (of, row) in rows() {
        let Err((Fault::BadRequest { status, reason }, partial)) = Message::parse(octets(of, row.file)) else {
            continue;
        };
        let partial = partial.expect(row.file);
        let answer = Writer::stateless_response(&partial, status, reason, source).expect(row.file);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with(&format!("SIP/2.0 {status} {reason}\r\nVia: SIP/")), "{}: {text}", row.file);
        assert!(text.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{}: {text}", row.file);
        answered += 1;
    }
    let refused = rows().iter().filter(|(_, row)| matches!(row.wire, Wire::BadRequest(..))).count();
    assert_eq!(answered, refused);
}

#[test]
fn a_stream_cuts_the_same_messages() {
    for (of, row) in rows() {
        let whole = octets(of, row.file);
        let Ok(message) = Message::parse(whole.clone()) else { continue };
        if message.header(HeaderName::ContentLength).is_none() {
            continue;
        }
        let mut framer = Framer::default();
        let mut cut = None;
        for octet in whole.iter() {
            framer.push(&[*octet]);
            cut = cut.or(framer.next_message().expect(row.file));
            if cut.is_some() {
                break;
            }
        }
        let cut = Message::parse(cut.expect(row.file)).expect(row.file);
        assert_eq!(cut.bytes(), message.bytes(), "{of}/{}", row.file);
    }
}

fn vias(message: &Message) -> Vec<(&str, &str, &str)> {
    let vias = message.headers(HeaderName::Via).map(|value| Via::parse(value).expect(value));
    vias.map(|via| (via.transport, via.host, via.branch())).collect()
}

fn contacts(message: &Message) -> Vec<&str> {
    message.headers(HeaderName::Contact).map(|value| NameAddr::parse(value).expect(value).uri).collect()
}

#[test]
fn valid_messages_are_read_to_the_letter() {
    let m = read("rfc4475", "wsinv");
    assert_eq!((m.from_tag(), m.to_tag(), m.call_id()), ("98asjd8", "1918181833n", "wsinv.ndaksdj@192.0.2.1"));
    assert_eq!(m.from().expect("From").display(), "J Rosenberg \\\"");
    assert_eq!(
        vias(&m),
        [
            ("UDP", "192.0.2.2", "390skdjuw"),
            ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111", "z9hG4bK30239"),
        ]
    );
    assert_eq!(m.number(HeaderName::MaxForwards), Some(68));
    assert_eq!(m.header(HeaderName::Subject), Some(""));
    assert_eq!(m.header_named("UnknownHeaderWithUnusualValue"), Some(";;,,;;,;"));
    let contact = m.contact().expect("Contact");
    assert_eq!((contact.params.get("newparam"), contact.params.get("q")), (Some("newvalue"), Some("0.33")));
    assert_eq!((contact.display().as_ref(), contact.params.get("secondparam")), ("Quoted string \"\"", Some("")));
    assert_eq!(m.body().len(), 150);

    let m = read("rfc4475", "intmeth");
    let uri = Uri::parse(m.request_uri()).expect("Request-URI");
    assert_eq!((uri.user, uri.host), ("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", "example.com"));
    assert_eq!(m.to().expect("To").display(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    assert_eq!(m.from_tag(), "_token~1'+`*%!-.");
    assert_eq!(m.from().expect("From").params.get("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(m.call_id(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");

    let m = read("rfc4475", "esc01");
    assert_eq!(Uri::parse(m.request_uri()).expect("Request-URI").user_decoded(), "sips:user@example.com");
    let to = m.to().expect("To").parsed_uri().expect("To");
    assert!(to.equivalent(&Uri::parse("sip:user@example.com").expect("URI")));

    let m = read("rfc4475", "esc02");
    assert_eq!(contacts(&m), ["sip:alias1@host1.example.com", "sip:alias3@host3.example.com"]);
    let m = read("rfc4475", "longreq");
    assert_eq!((vias(&m).len(), m.from_tag().len()), (34, 155));
    let m = read("rfc4475", "transports");
    assert_eq!(vias(&m).iter().map(|via| via.0).collect::<Vec<_>>(), ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    assert_eq!(read("rfc4475", "mpart01").body().len(), 553);
    assert_eq!(read("rfc4475", "dblreq").body(), b"");
    let m = read("rfc4475", "semiuri");
    assert_eq!(Uri::parse(m.request_uri()).expect("Request-URI").user, "user;par=u%40example.net");
    assert_eq!(m.headers(HeaderName::Accept).count(), 6);
}

#[test]
fn doubtful_messages_are_read_as_meant() {
    let m = read("rfc4475", "badaspec");
    assert_eq!(m.to().map(|to| to.uri), Some("sip:t.watson@example.org"));
    assert_eq!(read("rfc4475", "baddn").from().expect("From").display(), "Bell, Alexander");
    let outside = read("rfc4475", "cparam01");
    let inside = read("rfc4475", "cparam02");
    assert_eq!(contacts(&outside), ["sip:+19725552222@gw1.example.net"]);
    assert_eq!(contacts(&inside), ["sip:+19725552222@gw1.example.net;unknownparam"]);
    let m = read("rfc4475", "inv2543");
    assert_eq!((m.branch(), m.from_tag(), m.body().len()), ("", "", 105));
    let to = m.to().expect("To");
    assert_eq!((to.uri, to.params.get("user")), ("sip:+16505552222@ss1.example.net", Some("phone")));
    assert_eq!(read("rfc4475", "badbranch").branch(), "z9hG4bK");
}

#[test]
fn our_messages_are_read_to_the_letter() {
    for file in [
        "folded",
        "spacecolon",
        "compact",
        "lwssemi",
        "lwsequal",
        "lwsslash",
        "barefrom",
        "lfonly",
        "leadingcrlf",
        "latin1",
    ] {
        let m = read("ours", file);
        assert_eq!(
            (m.from_tag(), m.branch(), m.call_id()),
            ("f1", "z9hG4bKk1", &*format!("{file}@192.0.2.10")),
            "{file}"
        );
        assert_eq!(m.via().and_then(|via| via.port), Some(5060), "{file}");
        assert_eq!(m.content_type(), "application/sdp", "{file}");
        assert_eq!(m.body().len(), read("ours", "nolength").body().len(), "{file}");
    }
    assert_eq!(read("ours", "shortlength").body(), read("ours", "nolength").body());
    assert_eq!(
        vias(&read("ours", "vialist")),
        [("UDP", "192.0.2.10", "z9hG4bKk1"), ("TCP", "192.0.2.11", "z9hG4bKk2"), ("WSS", "df7.invalid", "z9hG4bKk3"),]
    );
    assert_eq!(
        contacts(&read("ours", "contactcomma")),
        ["sip:anna@192.0.2.10:5060", "sip:anna@192.0.2.11?Subject=a,b"]
    );
    let m = read("ours", "sipinstance");
    let contact = m.contact().expect("Contact");
    assert_eq!(contact.params.get("+sip.instance"), Some("<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"));
    assert_eq!((contact.params.get("reg-id"), contact.params.get("expires")), (Some("1"), Some("600")));
    let uri = |file| {
        Uri::parse(read("ours", file).request_uri())
            .map(|u| (u.scheme.to_owned(), u.user_decoded().into_owned(), u.host.to_owned(), u.port))
    };
    let expected =
        |scheme: &str, user: &str, host: &str, port| Some((scheme.to_owned(), user.to_owned(), host.to_owned(), port));
    assert_eq!(uri("teluri"), expected("tel", "+49-30-1234567", "", None));
    assert_eq!(uri("unkuri"), expected("mailto", "", "", None));
    assert_eq!(uri("dotuser"), expected("sip", "john.doe", "pbx.example.net", None));
    assert_eq!(uri("semiuser"), expected("sip", "+49301234567", "pbx.example.net", None));
    assert_eq!(uri("ipv6uri"), expected("sip", "+49301234567", "[2001:db8::10]", Some(5070)));
    let m = read("ours", "uriheaders");
    assert_eq!(m.contact().and_then(|c| c.parsed_uri()).map(|u| u.headers), Some("X-Account=7&Subject=call%20back"));
    assert_eq!(read("ours", "escquote").from().expect("From").display(), "Anna \"Ann\" B\\erg <vip>");
    assert_eq!(
        read("ours", "unktransport").via().map(|via| via.transport.to_owned()).as_deref(),
        Some("CARRIERPIGEON")
    );
    assert_eq!(read("ours", "binarybody").body(), (0..=255).collect::<Vec<u8>>());
    let m = read("ours", "digestsha256");
    assert!(
        m.header(HeaderName::Authorization).is_some_and(|v| v.starts_with("Digest ") && v.ends_with("nc=00000001"))
    );
    assert!(read("ours", "digestnc").header(HeaderName::Authorization).is_some_and(|v| v.ends_with("nc=0000001a")));
    assert_eq!(read("ours", "latin1").from().expect("From").display(), "Anna M?ller");
    assert_eq!(read("ours", "barecr").header_named("X-Evil"), None);
    assert_eq!(read("ours", "nul").header(HeaderName::Subject), Some("a\0b"));
}

/// `cargo test --release --test torture -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
#[allow(clippy::disallowed_methods, reason = "a measurement needs the clock")]
fn how_long_reading_takes() {
    const ROUNDS: u32 = 200_000;
    for (of, file) in [("ours", "sipinstance"), ("rfc4475", "wsinv"), ("rfc4475", "longreq"), ("rfc4475", "bcast")] {
        let whole = octets(of, file);
        let started = std::time::Instant::now();
        for _ in 0..ROUNDS {
            let message = Message::parse(std::hint::black_box(whole.clone())).expect(file);
            std::hint::black_box((
                message.branch(),
                message.from_tag(),
                message.to_tag(),
                message.call_id(),
                message.cseq(),
            ));
        }
        let each_ns = started.elapsed().as_nanos() / u128::from(ROUNDS);
        println!("{file}: {each_ns} ns for {} octets", whole.len());
    }
}
