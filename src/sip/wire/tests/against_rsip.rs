//! A second reading of the same bytes, by rsip: agreement on ordinary messages, and the known differences as such, so
//! that a new release of either side that changes one is seen.

use super::super::*;
use bytes::Bytes;
use rsip::prelude::*;

const DIALOG: &str = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Anna\" <sip:anna@example.org>;tag=f-1\r\n\
    To: <sip:bob@example.net>TO\r\n\
    Call-ID: 81c1-4f@192.0.2.1\r\n\
    CSeq: 7 METHOD\r\n";

/// (start line, method in CSeq, To's parameters, further fields, body)
const CORPUS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "INVITE sip:bob@example.net SIP/2.0",
        "INVITE",
        "",
        "Contact: <sip:anna@192.0.2.1:5060>\r\nContent-Type: application/sdp\r\n",
        "v=0\r\n",
    ),
    ("INVITE sip:bob@example.net:5070;user=phone SIP/2.0", "INVITE", ";tag=t-1", "Supported: timer, 100rel\r\n", ""),
    ("ACK sip:bob@192.0.2.2:5060 SIP/2.0", "ACK", ";tag=t-1", "", ""),
    ("BYE sip:bob@192.0.2.2:5060 SIP/2.0", "BYE", ";tag=t-1", "Reason: Q.850;cause=16\r\n", ""),
    ("CANCEL sip:bob@example.net SIP/2.0", "CANCEL", "", "", ""),
    ("OPTIONS sip:example.net SIP/2.0", "OPTIONS", "", "Accept: application/sdp\r\n", ""),
    ("REGISTER sip:example.net SIP/2.0", "REGISTER", "", "Contact: <sip:anna@192.0.2.1>;expires=600\r\n", ""),
    ("SUBSCRIBE sip:bob@example.net SIP/2.0", "SUBSCRIBE", "", "Event: dialog\r\nExpires: 300\r\n", ""),
    ("INFO sip:bob@192.0.2.2 SIP/2.0", "INFO", ";tag=t-1", "Content-Type: application/dtmf-relay\r\n", "Signal=1\r\n"),
    ("UPDATE sip:bob@192.0.2.2 SIP/2.0", "UPDATE", ";tag=t-1", "", ""),
    ("PRACK sip:bob@192.0.2.2 SIP/2.0", "PRACK", ";tag=t-1", "RAck: 1 7 INVITE\r\n", ""),
    ("REFER sip:bob@192.0.2.2 SIP/2.0", "REFER", ";tag=t-1", "Refer-To: <sip:eve@example.net>\r\n", ""),
    ("SIP/2.0 100 Trying", "INVITE", "", "", ""),
    ("SIP/2.0 180 Ringing", "INVITE", ";tag=t-1", "", ""),
    ("SIP/2.0 200 OK", "INVITE", ";tag=t-1", "Content-Type: application/sdp\r\n", "v=0\r\n"),
    ("SIP/2.0 486 Busy Here", "INVITE", ";tag=t-1", "", ""),
    ("SIP/2.0 401 Unauthorized", "REGISTER", ";tag=t-1", "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n", ""),
];

fn text(start: &str, method: &str, to: &str, fields: &str, body: &str) -> String {
    let dialog = DIALOG.replace("METHOD", method).replace(">TO", &format!(">{to}"));
    format!("{start}\r\n{dialog}{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What is compared: method, Request-URI, status, Call-ID, CSeq number, tags, branch, body.
type Reading = (String, String, u16, String, u32, String, String, String, Vec<u8>);

fn ours(text: &str) -> Option<Reading> {
    let m = Message::parse(Bytes::copy_from_slice(text.as_bytes())).ok()?;
    Some((
        m.method_str().to_owned(),
        m.request_uri().to_owned(),
        m.status(),
        m.call_id().to_owned(),
        m.cseq()?.number,
        m.from_tag().to_owned(),
        m.to_tag().to_owned(),
        m.branch().to_owned(),
        m.body().to_vec(),
    ))
}

fn theirs(text: &str) -> Option<Reading> {
    let m = rsip::SipMessage::try_from(text).ok()?;
    let (uri, status) = match &m {
        rsip::SipMessage::Request(request) => (request.uri.to_string(), 0),
        rsip::SipMessage::Response(response) => (String::new(), u16::from(response.status_code.clone())),
    };
    let cseq = m.cseq_header().ok()?.typed().ok()?;
    let tag = |tag: Option<rsip::param::Tag>| tag.map(|tag| tag.to_string()).unwrap_or_default();
    Some((
        cseq.method.to_string(),
        uri,
        status,
        m.call_id_header().ok()?.value().to_owned(),
        cseq.seq,
        tag(m.from_header().ok()?.tag().ok()?),
        tag(m.to_header().ok()?.tag().ok()?),
        m.via_header().ok()?.typed().ok()?.branch().map(ToString::to_string).unwrap_or_default(),
        m.body().clone(),
    ))
}

#[test]
fn both_read_ordinary_messages_alike() {
    for (start, method, to, fields, body) in CORPUS {
        let text = text(start, method, to, fields, body);
        let reading = ours(&text);
        assert!(reading.is_some(), "{text}");
        assert_eq!(reading, theirs(&text), "{text}");
    }
}

#[test]
fn known_differences_stand() {
    let invite = text("INVITE sip:bob@example.net SIP/2.0", "INVITE", "", "", "");
    let right = ours(&invite);
    assert!(right.is_some());
    for (what, line, replacement) in [
        ("a fold", "CSeq: 7 INVITE", "CSeq: 7\r\n INVITE"),
        ("white space before the colon", "Call-ID:", "Call-ID :"),
        ("compact From", "From:", "f:"),
        ("white space around ;", ";tag=f-1", " ; tag = f-1"),
        ("an empty line in front", "INVITE sip", "\r\nINVITE sip"),
        ("white space around /", "SIP/2.0/UDP", "SIP / 2.0 / UDP"),
    ] {
        let text = invite.replacen(line, replacement, 1);
        assert_eq!(ours(&text), right, "{what}");
        assert_ne!(theirs(&text), right, "{what}: rsip reads this now");
    }
    let list = invite.replacen(";rport\r\n", ";rport, SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKdef\r\n", 1);
    let count = Message::parse(Bytes::from(list.clone())).map(|m| m.headers(HeaderName::Via).count());
    assert_eq!(count.ok(), Some(2));
    let vias = rsip::SipMessage::try_from(list.as_str()).ok().map(|m| {
        let headers = m.headers().iter().filter(|header| matches!(header, rsip::Header::Via(_)));
        headers.count()
    });
    assert_eq!(vias, Some(1), "rsip keeps a Via list as one header");
    let lower = invite.replacen("example.net SIP", "example.net;transport=tcp SIP", 1);
    assert_eq!(ours(&lower).map(|reading| reading.1).as_deref(), Some("sip:bob@example.net;transport=tcp"));
    assert_ne!(theirs(&lower), ours(&lower), "rsip rewrites the transport parameter");
    let unknown = invite.replace("INVITE", "WIBBLE");
    assert_eq!(ours(&unknown).map(|reading| reading.0).as_deref(), Some("WIBBLE"));
    assert_eq!(theirs(&unknown), None, "rsip refuses unknown methods");
}

#[test]
fn users_with_a_dot_and_tel_uris_differ() {
    let theirs = |uri| rsip::Uri::try_from(uri).ok().map(|uri| uri.host().to_string());
    let ours = |uri| Uri::parse(uri).map(|uri| uri.host.to_owned());
    assert_eq!(ours("sip:john.doe@example.com").as_deref(), Some("example.com"));
    assert_ne!(theirs("sip:john.doe@example.com").as_deref(), Some("example.com"));
    assert_eq!(ours("tel:+49301").as_deref(), Some(""));
    assert_ne!(theirs("tel:+49301").as_deref(), Some(""));
}
