//! RFC 3261 §8.2 in rows: requests that differ from a good one in one place, and the answer to each.

use super::bench::{Bench, Sent, TRUNK, udp};
use tandem::base::time::Duration;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.200\r\ns=-\r\nc=IN IP4 192.0.2.200\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// A request with SDP; `extra` are header lines, `to_tag` is "" outside a dialog.
fn request(method: &str, cseq: u32, to_tag: &str, extra: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let max_forwards = if extra.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\r\n" };
    let kind = if extra.contains("Content-Type") { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bK{method}{cseq};rport\r\n{max_forwards}\
         From: <sip:+1212@192.0.2.200>;tag=caller\r\nTo: <sip:100@192.0.2.1>{tag}\r\nCall-ID: requests\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:{TRUNK}>\r\n{extra}{kind}Content-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
}

fn send(b: &mut Bench, text: String) -> Sent {
    b.datagram(udp(TRUNK), text.into());
    b.finals().pop().expect("an answer")
}

/// What an answer must have: a header and a part of its value; "" is none in particular.
type Has = (&'static str, &'static str);

const NOTHING: Has = ("Via", "");
const ALLOW: Has = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, UPDATE");
const ACCEPT: Has = ("Accept", "application/sdp");

#[test]
fn requests_outside_a_dialog() {
    let optional = "Content-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n";
    let foreign =
        "Authorization: Digest username=\"a\", realm=\"elsewhere\", nonce=\"n\", uri=\"sip:x\", response=\"0\"\r\n";
    let ours =
        "Authorization: Digest username=\"a\", realm=\"pbx.test\", nonce=\"n\", uri=\"sip:x\", response=\"0\"\r\n";
    let rows: [(&str, &str, u16, Has); 27] = [
        ("INVITE", "", 200, NOTHING),
        ("WIBBLE", "", 501, NOTHING),
        // Methods have cases (§7.1).
        ("invite", "", 501, NOTHING),
        ("MESSAGE", "", 415, ("Accept", "text/*")),
        ("SUBSCRIBE", "", 401, ("WWW-Authenticate", "realm=\"pbx.test\"")),
        ("REFER", "", 403, NOTHING),
        ("PRACK", "", 481, NOTHING),
        ("BYE", "", 481, NOTHING),
        ("INFO", "", 481, NOTHING),
        ("UPDATE", "", 481, NOTHING),
        ("INVITE", "Require: 100rel, wibble\r\n", 420, ("Unsupported", "wibble")),
        ("BYE", "Require: wibble\r\n", 420, ("Unsupported", "wibble")),
        // Of proxies, and what we are is none (§20.29).
        ("INVITE", "Proxy-Require: wibble\r\n", 200, NOTHING),
        ("INVITE", "Content-Type: text/plain\r\n", 415, ACCEPT),
        ("INVITE", optional, 200, NOTHING),
        ("INVITE", "Content-Encoding: gzip\r\n", 415, ("Accept-Encoding", "identity")),
        ("INVITE", "Content-Encoding: identity\r\n", 200, NOTHING),
        ("INVITE", "Accept: text/html\r\n", 406, NOTHING),
        ("INVITE", "Accept:\r\n", 406, NOTHING),
        ("INVITE", "Accept: text/html, Application/SDP;level=1\r\n", 200, NOTHING),
        ("INVITE", "Accept: application/*\r\n", 200, NOTHING),
        ("INVITE", "Accept: */*\r\n", 200, NOTHING),
        ("INVITE", "Max-Forwards: 0\r\n", 483, NOTHING),
        ("OPTIONS", "Max-Forwards: 0\r\n", 200, ALLOW),
        // A trunk that is known by its source need not care for credentials that were meant for somebody else.
        ("INVITE", foreign, 200, NOTHING),
        ("INVITE", ours, 401, ("WWW-Authenticate", "realm=\"pbx.test\"")),
        ("OPTIONS", "", 200, ACCEPT),
    ];
    for (method, extra, status, (field, part)) in rows {
        let mut b = Bench::new();
        let answer = send(&mut b, request(method, 1, "", extra));
        let name = format!("{method} {extra}: {}", answer.text);
        assert_eq!(answer.status(), status, "{name}");
        assert!(answer.field(field).contains(part), "{name}");
        assert_eq!(b.switch.counters().calls_total, u64::from(method == "INVITE" && status == 200), "{name}");
        b.pass(Duration::from_secs(300));
        b.assert_empty(&name);
    }
}

#[test]
fn requests_inside_a_dialog() {
    let rows: [(&str, &str, u16, Has); 10] = [
        ("INVITE", "", 200, NOTHING),
        ("UPDATE", "", 200, NOTHING),
        ("OPTIONS", "", 200, ALLOW),
        ("INVITE", "Require: wibble\r\n", 420, ("Unsupported", "wibble")),
        ("UPDATE", "Require: wibble\r\n", 420, ("Unsupported", "wibble")),
        ("INVITE", "Content-Type: text/plain\r\n", 415, ACCEPT),
        ("WIBBLE", "", 501, NOTHING),
        ("MESSAGE", "", 415, ("Accept", "text/*")),
        ("MESSAGE", "Content-Type: text/plain\r\n", 200, NOTHING),
        // Whatever it requires, its sender is gone.
        ("BYE", "Require: wibble\r\n", 200, NOTHING),
    ];
    for (method, extra, status, (field, part)) in rows {
        let mut b = Bench::new();
        let ok = send(&mut b, request("INVITE", 1, "", ""));
        let tag = ok.field("To").split_once(";tag=").expect("a tag").1.to_owned();
        b.datagram(udp(TRUNK), request("ACK", 1, &tag, "").into());
        let answer = send(&mut b, request(method, 2, &tag, extra));
        let name = format!("{method} {extra}: {}", answer.text);
        assert_eq!(answer.status(), status, "{name}");
        assert!(answer.field(field).contains(part), "{name}");
        b.datagram(udp(TRUNK), request("ACK", 2, &tag, "").into());
        assert_eq!(b.switch.counters().calls_active, u64::from(method != "BYE"), "{name}: the call goes on");
        let bye = send(&mut b, request("BYE", 3, &tag, ""));
        assert_eq!(bye.status(), if method == "BYE" { 481 } else { 200 }, "{name}");
        b.pass(Duration::from_secs(300));
        b.assert_empty(&name);
    }
}

/// A 200 to an INVITE that we have forgotten is hung up only where its Via says that we have sent it (§18.1.2).
#[test]
fn only_answers_to_us_are_hung_up() {
    for (sent_by, expected) in [("192.0.2.1:5060", 2), ("192.0.2.1", 2), ("192.0.2.77:5060", 0), ("host.example", 0)] {
        let mut b = Bench::new();
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bKforgotten\r\nFrom: <sip:a@192.0.2.1>;tag=0123456789abcdef\r\n\
             To: <sip:b@192.0.2.200>;tag=b\r\nCall-ID: forgotten\r\nCSeq: 1 INVITE\r\nContact: <sip:b@{TRUNK}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        b.datagram(udp(TRUNK), text.into());
        assert_eq!(b.sent.len(), expected, "{sent_by}: {:?}", b.sent);
        b.pass(Duration::from_secs(300));
        b.assert_empty(sent_by);
    }
}
