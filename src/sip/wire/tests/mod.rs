//! Tables over the whole wire layer; the torture messages stand in tests/torture.

mod against_rsip;
mod properties;

use super::*;
use bytes::Bytes;
use std::net::SocketAddr;

const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport\r\n\
    Via: SIP/2.0/TCP [2001:db8::9:1];branch=z9hG4bKjj , SIP/2.0/WSS x.invalid;branch=\"a,b\"\r\n\
    Max-Forwards: 70\r\n\
    To: Bob <sip:bob@biloxi.example.com>\r\n\
    From: \"Alice \\\"A, \\\\\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
    Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: \"A, B\" <sip:alice@pc33.atlanta.example.com?x=a,b>;+sip.instance=\"<urn:uuid:1>\",<sip:c@d>\r\n\
    u: presence\r\n\
    Supported: timer, 100rel\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 4\r\n\r\nv=0\n";

fn source() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 4321))
}

fn parse(text: impl AsRef<[u8]>) -> Result<Message, Fault> {
    Message::parse(Bytes::copy_from_slice(text.as_ref())).map_err(|(fault, _)| fault)
}

/// The ordinary INVITE with one line replaced.
fn with(line: &str, replacement: &str) -> String {
    assert!(INVITE.contains(line), "{line}");
    INVITE.replacen(line, replacement, 1)
}

#[test]
fn an_ordinary_invite_reads() {
    let m = parse(INVITE).unwrap();
    assert!(m.is_request());
    assert_eq!((m.method(), m.method_str(), m.request_uri()), (Method::Invite, "INVITE", "sip:bob@biloxi.example.com"));
    assert_eq!((m.branch(), m.call_id()), ("z9hG4bK776asdhds", "a84b4c76e66710@pc33.atlanta.example.com"));
    assert_eq!((m.from_tag(), m.to_tag()), ("1928301774", ""));
    assert_eq!(m.cseq(), Some(CSeq { number: 314159, method: Method::Invite }));
    assert_eq!(m.number(HeaderName::MaxForwards), Some(70));
    assert_eq!(m.from().unwrap().display(), "Alice \"A, \\");
    assert_eq!(m.body(), b"v=0\n");
    assert_eq!(m.body_bytes(), Bytes::from_static(b"v=0\n"));
    assert_eq!(m.header_named("Allow-Events"), Some("presence"));
    assert_eq!(m.header_named("VIA"), m.header(HeaderName::Via));
    assert!(m.lists(HeaderName::Supported, "100REL"));
    let vias: Vec<_> = m.headers(HeaderName::Via).map(|v| Via::parse(v).unwrap()).collect();
    assert_eq!(
        vias.iter().map(|v| (v.transport, v.host, v.port)).collect::<Vec<_>>(),
        [("UDP", "pc33.atlanta.example.com", Some(5066)), ("TCP", "[2001:db8::9:1]", None), ("WSS", "x.invalid", None),]
    );
    assert_eq!(vias[2].branch(), "a,b");
    let contacts: Vec<_> = m.headers(HeaderName::Contact).map(|c| NameAddr::parse(c).unwrap()).collect();
    assert_eq!(
        contacts.iter().map(|c| c.uri).collect::<Vec<_>>(),
        ["sip:alice@pc33.atlanta.example.com?x=a,b", "sip:c@d"]
    );
    assert_eq!(contacts[0].params.get("+SIP.instance"), Some("<urn:uuid:1>"));
    assert_eq!(m.fields().count(), 12);
    assert_eq!(m.to_string(), "INVITE sip:bob@biloxi.example.com CSeq 314159");
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let check = |text: String, status, reason| {
        assert_eq!(parse(&text).map(|m| m.to_string()), Err(Fault::BadRequest { status, reason }), "{text}");
    };
    let all_vias = &INVITE[INVITE.find("Via").unwrap()..INVITE.find("Max").unwrap()];
    let from = "From: \"Alice \\\"A, \\\\\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n";
    let call_id = "Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n";
    check(
        with("INVITE sip:bob@biloxi.example.com SIP/2.0", "INVITE sip:bob@biloxi.example.com SIP/7.0"),
        505,
        "Version Not Supported",
    );
    check(
        with("INVITE sip:bob@biloxi.example.com SIP/2.0", "INVITE sip:bob@x; lr SIP/2.0"),
        400,
        "Malformed Request-Line",
    );
    check(
        with("INVITE sip:bob@biloxi.example.com SIP/2.0", "INVITE <sip:bob@x> SIP/2.0"),
        400,
        "Request-URI in angle brackets",
    );
    check(
        with("INVITE sip:bob@biloxi.example.com SIP/2.0", "INVITE sip:bob@x?a=b SIP/2.0"),
        400,
        "Request-URI with headers",
    );
    check(with("INVITE sip:bob@biloxi.example.com SIP/2.0", "INVITE  SIP/2.0"), 400, "Malformed Request-Line");
    check(with(all_vias, ""), 400, "Missing Via");
    check(with("SIP/2.0/UDP pc33.atlanta.example.com:5066", "SIP/2.0/UDP pc33:99999"), 400, "Malformed Via");
    check(with("To: Bob <sip:bob@biloxi.example.com>\r\n", ""), 400, "Missing To");
    check(with("To: Bob <sip:bob@biloxi.example.com>", "To: \"Bob <sip:bob@biloxi.example.com>"), 400, "Malformed To");
    check(with("To: Bob <sip:bob@biloxi.example.com>", "To: Bob"), 400, "Malformed To");
    check(with("To: Bob <sip:bob@biloxi.example.com>", "To: <sip:a@b> x"), 400, "Malformed To");
    check(with("To: Bob", "t: <sip:x@y>\r\nTo: Bob"), 400, "Several To");
    check(with(from, ""), 400, "Missing From");
    check(with(call_id, ""), 400, "Missing Call-ID");
    check(with(call_id, "i:\r\n"), 400, "Malformed Call-ID");
    check(with(call_id, "i: a\r\nCall-ID: b\r\n"), 400, "Several Call-ID");
    check(with("CSeq: 314159 INVITE\r\n", ""), 400, "Missing CSeq");
    check(with("CSeq: 314159 INVITE", "CSeq: INVITE"), 400, "Malformed CSeq");
    check(with("CSeq: 314159 INVITE", "CSeq: +1 INVITE"), 400, "Malformed CSeq");
    check(with("CSeq: 314159 INVITE", "CSeq: 1 BYE"), 400, "CSeq method does not match");
    check(with("CSeq: 314159 INVITE", "CSeq: 2147483648 INVITE"), 400, "CSeq number out of range");
    check(with("CSeq: 314159 INVITE", "CSeq: 99999999999999999999 INVITE"), 400, "CSeq number out of range");
    check(with("Content-Length: 4", "Content-Length: 5"), 400, "Content-Length exceeds the message");
    check(with("Content-Length: 4", "Content-Length: -4"), 400, "Malformed Content-Length");
    check(with("Content-Length: 4", "Content-Length: 99999999999"), 400, "Malformed Content-Length");
    check(with("Content-Length: 4", "Content-Length: 4\r\nl: 3"), 400, "Several Content-Length");
    check(with("Max-Forwards: 70", "Max-Forwards: many"), 400, "Malformed Max-Forwards");
    check(with("Max-Forwards: 70", "no colon here"), 400, "Malformed header field");
    check(with("Max-Forwards: 70", "a b: 70"), 400, "Malformed header field");
    check(with("Max-Forwards: 70", &"X: y\r\n".repeat(FIELDS_MAX)), 400, "Too many header fields");
    check(format!("{INVITE}{}", "x".repeat(MESSAGE_BYTES_MAX)), 513, "Message Too Large");
    check(with("SIP/2.0\r\n", "SIP/2.0\r\n folded\r\n"), 400, "Folded start line");
}

#[test]
fn harmless_deviations_are_accepted() {
    let reading = |m: &Message| {
        let via = m.via().unwrap();
        (m.call_id().to_owned(), m.branch().to_owned(), via.port, m.from_tag().to_owned(), m.body().to_vec())
    };
    let expected = reading(&parse(INVITE).unwrap());
    for text in [
        INVITE.replace("\r\n", "\n"),
        format!("\r\n\r\n\n{INVITE}"),
        format!("{INVITE}and octets after the body"),
        with("Content-Length: 4\r\n", ""),
        with("Content-Length: 4", "l : 0004"),
        with("Max-Forwards: 70\r\n", ""),
        with("Max-Forwards: 70", "Max-Forwards: 70\r\nCSeq: 314159 INVITE"),
        with("INVITE sip:bob@biloxi.example.com SIP/2.0", "INVITE  sip:bob@biloxi.example.com   sip/2.0  "),
        with("CSeq: 314159 INVITE", "CSeq:\r\n 000314159\r\n\tINVITE "),
        with(
            "Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=",
            "v\t:SIP / 2.0\r\n /UDP  pc33.atlanta.example.com : 5066 ; Branch = ",
        ),
        with(";tag=1928301774", " ; x=\"a;tag=b\" ;TAG\r\n = 1928301774;y"),
        with("Call-ID: ", "i:\r\n \r\n "),
    ] {
        assert_eq!(reading(&parse(&text).unwrap()), expected, "{text}");
    }
}

#[test]
fn octets_that_are_no_utf8_read_as_question_marks_and_bodies_stay() {
    let text = with("To: Bob <", "Subject: caf@ B@@b\r\nTo: Bob <");
    let mut octets: Vec<u8> = text.bytes().map(|b| if b == b'@' { 0xe9 } else { b }).collect();
    // Only the subject's marks were meant.
    let keep = text.find("Subject").unwrap()..text.find("\r\nTo").unwrap();
    for (i, octet) in octets.iter_mut().enumerate().filter(|(i, _)| !keep.contains(i)) {
        *octet = text.as_bytes()[i];
    }
    let length = octets.len();
    octets[length - 4..].copy_from_slice(&[0, 0xff, 0xfe, 0x80]);
    let m = parse(octets).unwrap();
    assert_eq!(m.header(HeaderName::Subject), Some("caf? B??b"));
    assert_eq!(m.body(), [0, 0xff, 0xfe, 0x80]);
}

#[test]
fn what_is_not_sip_is_told_apart() {
    let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    for octets in [
        &b""[..],
        b"\r\n\r\n",
        b"\0",
        b"hello",
        b"GET / HTTP/1.1\r\n\r\n",
        &stun,
        b"\x80\x08\x00",
        b"{a b SIP/2.0",
        b"\r\n\r\n\r\nx",
    ] {
        assert_eq!(parse(octets).err(), Some(Fault::NotSip), "{octets:?}");
    }
}

#[test]
fn responses_read_or_are_dropped() {
    let rest = "Via: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 7 FOO\r\n\r\n";
    for (line, status, reason, shown) in [
        ("SIP/2.0 200 OK", 200, "OK", "200 OK (FOO)"),
        ("SIP/2.0 180", 180, "", "180  (FOO)"),
        ("sip/2.0 404 ", 404, "", "404  (FOO)"),
        ("SIP/2.0 699 a  b", 699, "a  b", "699 a  b (FOO)"),
    ] {
        let m = parse(format!("{line}\r\n{rest}")).unwrap();
        assert_eq!((m.is_request(), m.status(), m.reason()), (false, status, reason));
        assert_eq!((m.method(), m.method_str(), m.request_uri(), m.to_tag()), (Method::Other, "FOO", "", "2"));
        assert_eq!(m.to_string(), shown);
    }
    for line in
        ["SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 4294967301 better", "SIP/2.0 2e2 OK", "SIP/2.0", "SIP/2.0 0200 OK"]
    {
        assert_eq!(
            parse(format!("{line}\r\n{rest}")).err(),
            Some(Fault::BadResponse("Malformed Status-Line")),
            "{line}"
        );
    }
    assert_eq!(parse(format!("SIP/3.0 200 OK\r\n{rest}")).err(), Some(Fault::BadResponse("Version Not Supported")));
    assert_eq!(parse("SIP/2.0 200 OK\r\n\r\n").err(), Some(Fault::BadResponse("Missing Via")));
}

#[test]
fn name_addrs_read() {
    let check = |value, expected: Option<(&str, &str, &str)>| {
        let read = NameAddr::parse(value);
        assert_eq!(read.map(|a| (a.display_raw, a.uri, a.params.0)), expected, "{value}");
    };
    check("sip:a@b;tag=1", Some(("", "sip:a@b", ";tag=1")));
    check("<sip:a@b;lr>;tag=1", Some(("", "sip:a@b;lr", ";tag=1")));
    check("caller<sip:a@b>;tag=1", Some(("caller", "sip:a@b", ";tag=1")));
    check("\"<x>\\\"\" < sip:a@b > ; tag=1 ", Some(("\"<x>\\\"\"", "sip:a@b", "; tag=1")));
    check("Bell, Alexander <sip:a@b>", Some(("Bell, Alexander", "sip:a@b", "")));
    check("*", Some(("", "*", "")));
    for bad in ["", "<>", "\"x\"", "\"x <sip:a@b>", "<sip:a@b", "<sip:a@b>x", "a b", "<sip:a b@c>", ";tag=1"] {
        check(bad, None);
    }
}

#[test]
fn vias_read_and_tell_where_the_answer_goes() {
    let target = |value| Via::parse(value).map(|via| via.response_target(source()).to_string());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(target("SIP/2.0/UDP h;branch=x"), some("192.0.2.9:5060"));
    assert_eq!(target("SIP/2.0/UDP h:5080;rport;branch=x"), some("192.0.2.9:4321"));
    assert_eq!(target("SIP/2.0/udp h:5080;branch=x"), some("192.0.2.9:5080"));
    assert_eq!(target("SIP/2.0/UDP h:5080;maddr=224.2.0.1;rport"), some("192.0.2.9:4321"));
    assert_eq!(target("SIP/2.0/TLS h:5080"), some("192.0.2.9:4321"));
    assert_eq!(target("SIP/2.0/UDP [::1]:70000"), None);
    for bad in [
        "",
        ";",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ;x",
        "SIP/2.0 UDP h",
        "SIP/2.0/U(P h",
        "SIP/2.0/UDP h h",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP [::1]5060",
    ] {
        assert_eq!(Via::parse(bad), None, "{bad}");
    }
    assert_eq!(Via::parse("SIP/2.0/UDP 2001:db8::1;x").map(|v| (v.host, v.port)), Some(("2001:db8::1", None)));
}

#[test]
fn a_stream_is_cut_wherever_it_is_split() {
    let other = INVITE.replace("314159", "2").replace("\r\n", "\n");
    let stream = format!("\r\n\r\n{INVITE}\r\n{other}{INVITE}");
    for step in [1, 2, 3, 7, 64, 100_000] {
        let mut framer = Framer::default();
        let mut cut = Vec::new();
        for piece in stream.as_bytes().chunks(step) {
            framer.push(piece);
            while let Some(message) = framer.next_message().unwrap() {
                cut.push(message);
            }
        }
        assert_eq!(cut, [INVITE, &other, INVITE], "step {step}");
        assert_eq!(framer.take_pings(), 1);
    }
}

#[test]
fn a_stream_that_cannot_be_framed_fails_for_good() {
    let bad = |reason| Fault::BadRequest { status: 400, reason };
    let large = Fault::BadRequest { status: 513, reason: "Message Too Large" };
    for (text, fault) in [
        (with("Content-Length: 4", "Content-Length: -1"), bad("Malformed Content-Length")),
        (with("Content-Length: 4", "Content-Length: 4\r\nl: 5"), bad("Several Content-Length")),
        (with("Content-Length: 4", "Content-Length: 65536"), large),
        (format!("INVITE {}", "x".repeat(HEAD_BYTES_MAX)), large),
        ("\0\x01".to_owned(), Fault::NotSip),
        // The body of what is not SIP, or whose length is not known, is never taken for a message.
        (format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{INVITE}"), Fault::NotSip),
        (with("Content-Length: 4", "Content-Length 4"), bad("Malformed header field")),
        (with("Content-Length: 4", &format!("{}l: 4", "a: b\r\n".repeat(FIELDS_MAX))), bad("Too many header fields")),
    ] {
        let mut framer = Framer::default();
        framer.push(text.as_bytes());
        assert_eq!(framer.next_message(), Err(fault));
        framer.push(INVITE.as_bytes());
        assert_eq!(framer.next_message(), Err(fault));
    }
    let mut framer = Framer::default();
    framer.push(with("Content-Length: 4", "Content-Length: -1").as_bytes());
    assert!(framer.next_message().is_err());
    assert_eq!(
        framer.partial().map(|m| m.call_id().to_owned()).as_deref(),
        Some("a84b4c76e66710@pc33.atlanta.example.com")
    );
}

#[test]
fn a_framer_holds_no_more_than_its_bound() {
    let mut framer = Framer::default();
    for _ in 0..4 {
        framer.push(&[b'x'; MESSAGE_BYTES_MAX]);
    }
    assert!(framer.next_message().is_err());
    let mut framer = Framer::default();
    for _ in 0..1000 {
        framer.push(INVITE.as_bytes());
    }
    let mut taken = 0;
    while let Ok(Some(_)) = framer.next_message() {
        taken += 1;
    }
    assert_eq!(taken, 2 * MESSAGE_BYTES_MAX / INVITE.len());
    assert!(framer.next_message().is_err());
}

#[test]
fn the_writer_writes_strictly() {
    let written = Writer::request("INVITE", "sip:a b@c\r\nX: y")
        .header(HeaderName::CallId, "a\r\nEvil: 1\0")
        .header(HeaderName::ContentLength, 99)
        .header(HeaderName::Other, "nameless")
        .raw_header("x-a", "b")
        .raw_header("i\r\n", "c")
        .raw_header("k", "timer")
        .finish_with_body("text/plain", b"hi");
    let expected = "INVITE sip:a%20b@c%0D%0AX:%20y SIP/2.0\r\nCall-ID: a  Evil: 1 \r\nx-a: b\r\nSupported: timer\r\n\
        Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(written, expected);
    let written = Writer::response(486, "").finish();
    assert_eq!(written, "SIP/2.0 486 Busy Here\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(Writer::response(400, "a\nb").finish(), "SIP/2.0 400 a b\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_response_copies_what_rfc_3261_8_2_6_2_names() {
    let request = parse(with("Max-Forwards: 70", "Timestamp: 54")).unwrap();
    let written = Writer::response_to(&request, 100, "", "", source()).finish();
    let expected = "SIP/2.0 100 Trying\r\n\
        Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport=4321;received=192.0.2.9\r\n\
        Via: SIP/2.0/TCP [2001:db8::9:1];branch=z9hG4bKjj\r\n\
        Via: SIP/2.0/WSS x.invalid;branch=\"a,b\"\r\n\
        From: \"Alice \\\"A, \\\\\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
        To: Bob <sip:bob@biloxi.example.com>\r\n\
        Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n\
        CSeq: 314159 INVITE\r\n\
        Timestamp: 54\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(written, expected);
    let to = |request: &Message| {
        let written = Writer::response_to(request, 200, "", "t1", source()).finish();
        parse(written).unwrap().header(HeaderName::To).map(str::to_owned)
    };
    assert_eq!(to(&request).as_deref(), Some("Bob <sip:bob@biloxi.example.com>;tag=t1"));
    let tagged = parse(with("biloxi.example.com>\r\n", "biloxi.example.com>;tag=x\r\n")).unwrap();
    assert_eq!(to(&tagged).as_deref(), Some("Bob <sip:bob@biloxi.example.com>;tag=x"));
}

#[test]
fn received_and_rport_follow_rfc_3581() {
    let via = |value: &str| {
        let request =
            parse(with("SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport", value)).unwrap();
        let written = parse(Writer::response_to(&request, 200, "", "t", source()).finish()).unwrap();
        written.headers(HeaderName::Via).next().map(str::to_owned).unwrap()
    };
    assert_eq!(via("SIP/2.0/UDP 192.0.2.9:5060;branch=z"), "SIP/2.0/UDP 192.0.2.9:5060;branch=z");
    assert_eq!(
        via("SIP/2.0/UDP 192.0.2.9;rport;branch=z"),
        "SIP/2.0/UDP 192.0.2.9;rport=4321;branch=z;received=192.0.2.9"
    );
    assert_eq!(via("SIP/2.0/UDP 10.0.0.1;branch=z"), "SIP/2.0/UDP 10.0.0.1;branch=z;received=192.0.2.9");
    assert_eq!(
        via("SIP/2.0/UDP 10.0.0.1;received=1.1.1.1;rport=1;branch=z;x=\"y;z\""),
        "SIP/2.0/UDP 10.0.0.1;rport=4321;branch=z;x=\"y;z\";received=192.0.2.9"
    );
}

#[test]
fn a_request_that_cannot_be_processed_is_answered_without_state() {
    let answer = |text: String| {
        let (fault, partial) = Message::parse(Bytes::from(text)).expect_err("faulty");
        let Fault::BadRequest { status, reason } = fault else { panic!("{fault:?}") };
        Writer::stateless_response(&partial?, status, reason, source())
    };
    let text = with("CSeq: 314159 INVITE", "CSeq: 314159 BYE");
    let first = answer(text.clone()).unwrap();
    let read = parse(&first).unwrap();
    assert_eq!((read.status(), read.reason()), (400, "CSeq method does not match"));
    assert_eq!(read.to_tag().len(), 16);
    assert_eq!(answer(text).unwrap(), first);
    let text =
        String::from_utf8_lossy(&answer(with("Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n", "")).unwrap())
            .into_owned();
    assert!(text.starts_with("SIP/2.0 400 Missing Call-ID\r\nVia: ") && !text.contains("Call-ID:"), "{text}");
    assert_eq!(answer(with("SIP/2.0/UDP pc33", "SIP/2.0/UDP p%c33")), None);
    assert_eq!(answer(INVITE.replace("INVITE", "ACK").replace("CSeq: 314159", "CSeq: x")), None);
}
