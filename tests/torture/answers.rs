//! Every file fed to a live switch: the answer that the table names, and nothing left afterwards.

use super::bench::{Bench, STRANGER, Sent, TRUNK, tcp, udp};
use super::table::{Row, Wire, over_stream};
use super::{octets, rows};
use std::net::SocketAddr;
use tandem::base::time::Duration;
use tandem::sip::transport::Flow;
use tandem::sip::wire::{HeaderName, Message, Method, NameAddr, Uri, Via};
use tandem::switch::{Operator, Reply};

/// Longer than any timer of a transaction.
const ALL: Duration = Duration::from_secs(300);

/// How a call that was answered comes to its end.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Caller,
    Operator,
    /// The caller is never heard of again: no ACK, no answer to our BYE.
    Silence,
}

const ENDS: [End; 3] = [End::Caller, End::Operator, End::Silence];

/// The request as far as it can be read.
fn request(of: &str, file: &str) -> Option<Message> {
    let read = Message::parse(octets(of, file));
    read.map_or_else(|(_, partial)| partial, Some).filter(Message::is_request)
}

fn vias<'a>(values: impl Iterator<Item = &'a str>) -> Vec<(&'a str, &'a str, &'a str)> {
    values.filter_map(Via::parse).map(|via| (via.transport, via.host, via.branch())).collect()
}

/// RFC 3261 §8.2.6: what every answer copies, where it goes (§18.2.2, RFC 3581), and what the statuses ask for.
fn check_answer(name: &str, request: &Message, answer: &Sent, flow: Flow) {
    let copied = [
        (HeaderName::From, "From", false),
        (HeaderName::To, "To", true),
        (HeaderName::CallId, "Call-ID", false),
        (HeaderName::CSeq, "CSeq", false),
    ];
    for (header, field, may_grow) in copied {
        // As the strict side writes it: a NUL becomes a space.
        let Some(value) = request.header(header).map(|value| value.replace('\0', " ")) else { continue };
        let echoed = answer.field(field);
        let tag = echoed.strip_prefix(&*value).filter(|rest| rest.is_empty() || may_grow);
        let is_tagged = tag.is_some_and(|rest| rest.starts_with(";tag=")) || !request.to_tag().is_empty();
        assert!(tag.is_some(), "{name}: {field} {value} came back as {echoed}");
        assert!(!may_grow || request.to().is_none() || is_tagged, "{name}: To has no tag: {echoed}");
    }
    assert_eq!(vias(answer.fields("Via")), vias(request.headers(HeaderName::Via)), "{name}");
    let top = request.via().expect(name);
    let received = format!(";received={}", flow.peer.ip());
    assert!(answer.field("Via").contains(&received), "{name}: {}", answer.field("Via"));
    let returns = flow.transport.is_reliable() || !top.transport.eq_ignore_ascii_case("UDP");
    let to = match top.params.get("rport") {
        Some(_) => flow.peer,
        None if returns => flow.peer,
        None => SocketAddr::new(flow.peer.ip(), top.port.unwrap_or(5060)),
    };
    assert_eq!(answer.peer, to, "{name}: where the answer goes");
    assert_eq!(answer.field("Content-Length"), answer.body().len().to_string(), "{name}");
    check_status(name, request, answer);
}

fn check_status(name: &str, request: &Message, answer: &Sent) {
    let has = |field: &str, part: &str| {
        assert!(answer.field(field).contains(part), "{name}: {field}: {:?}", answer.field(field));
    };
    match (answer.status(), request.method()) {
        (200, Method::Invite) => {
            has("Contact", "<sip:192.0.2.1:5060");
            has("Content-Type", "application/sdp");
            has("Allow", "INVITE");
            let media = |text: &str| text.matches("\nm=").count();
            let offered = media(&String::from_utf8_lossy(request.body()));
            assert!(answer.body().starts_with("v=0\r\n"), "{name}: {}", answer.body());
            assert!(request.body().is_empty() || media(answer.body()) == offered, "{name}: {}", answer.body());
        }
        (200, _) => {
            has("Allow", "INVITE, ACK, CANCEL, BYE");
            has("Accept", "application/sdp");
        }
        (401, _) => has("WWW-Authenticate", "Digest realm=\"pbx.test\", nonce=\""),
        (405, _) => has("Allow", "INVITE, ACK, CANCEL, BYE"),
        (415, Method::Message) => has("Accept", "text/*"),
        (415, _) => {
            has("Accept", "application/sdp");
            has("Accept-Encoding", "identity");
        }
        (420, _) => {
            let required: Vec<&str> = request.headers(HeaderName::Require).collect();
            assert_eq!(answer.field("Unsupported"), required.join(", "), "{name}");
        }
        _ => {}
    }
}

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.200\r\ns=-\r\nc=IN IP4 192.0.2.200\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// A request of the dialog that a 200 made, or the ACK to a refusal, with the INVITE's own branch then.
fn within(invite: &Message, answer: &Sent, method: &str, body: &str) -> String {
    let cseq = invite.cseq().map_or(0, |c| c.number);
    let is_refused = answer.status() >= 300;
    let via = match is_refused {
        true => invite.headers(HeaderName::Via).next().unwrap_or_default().to_owned(),
        false => format!("SIP/2.0/UDP {TRUNK};branch=z9hG4bKmore{method};rport"),
    };
    let uri = if is_refused { invite.request_uri() } else { "sip:192.0.2.1:5060" };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {} {method}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        answer.field("From"),
        answer.field("To"),
        answer.field("Call-ID"),
        if method == "ACK" { cseq } else { cseq + 1 },
        body.len()
    )
}

/// 200 to a request of ours.
fn ok(request: &Sent) -> String {
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", request.field(name)));
    format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", copied.concat())
}

/// Plays the caller after the answer to its INVITE.
fn end_call(b: &mut Bench, name: &str, flow: Flow, invite: &Message, answer: &Sent, end: End) {
    let is_answered = answer.status() == 200;
    if end != End::Silence {
        // Over a stream a body without a length is none, so the 200 has our offer.
        let offer_was_ours = flow.transport.is_reliable() && invite.header(HeaderName::ContentLength).is_none();
        let body = if is_answered && offer_was_ours { SDP } else { "" };
        b.datagram(flow, within(invite, answer, "ACK", body).into());
    }
    b.sent.clear();
    match end {
        _ if !is_answered => {}
        End::Caller => {
            b.datagram(flow, within(invite, answer, "BYE", "").into());
            let statuses: Vec<u16> = b.finals().iter().map(Sent::status).collect();
            assert_eq!(statuses, [200], "{name}: BYE");
        }
        End::Operator => {
            let Reply::Calls(calls) = b.ask(Operator::Calls) else { panic!("{name}: calls") };
            assert_eq!(calls.iter().map(|c| c.state).collect::<Vec<_>>(), ["answered"], "{name}");
            b.ask(Operator::Hangup(calls[0].call));
            let bye = b.sent.pop().filter(|m| m.is_request("BYE")).expect(name);
            let read = Message::parse(bye.text.clone().into()).expect(name);
            let routed = |value: &str| NameAddr::parse(value).and_then(|route| route.parsed_uri()).is_some();
            assert!(read.headers(HeaderName::Route).all(routed), "{name}: {}", bye.text);
            assert!(Uri::parse(read.request_uri()).is_some(), "{name}: {}", bye.text);
            b.datagram(flow, ok(&bye).into());
        }
        End::Silence => {
            b.pass(ALL);
            assert!(b.sent.iter().any(|m| m.is_request("BYE")), "{name}: nobody hung up");
        }
    }
}

/// Feeds one file, checks its answers, ends the call, and looks for remains.
fn feed(b: &mut Bench, (of, row): (&str, &Row), flow: Flow, end: End) {
    let streamed = over_stream().into_iter().find(|s| s.file == row.file && flow.transport.is_reliable());
    let why = streamed.as_ref().map_or(row.why, |s| s.why);
    let name = format!("{of}/{} {flow} {end:?} ({why})", row.file);
    let datagram: Vec<u16> = row.answer.into_iter().collect();
    let expected = streamed.as_ref().map_or(&*datagram, |s| s.answers);
    let media_before = b.media_commands;
    if flow.transport.is_reliable() {
        let lost = b.stream(flow, &octets(of, row.file));
        assert_eq!(lost, streamed.as_ref().is_some_and(|s| s.lost), "{name}: the stream's frame");
    } else {
        b.datagram(flow, octets(of, row.file));
    }
    let answers = b.finals();
    assert_eq!(answers.iter().map(Sent::status).collect::<Vec<_>>(), expected, "{name}: {answers:?}");
    if let (Some(request), Some(answer)) = (request(of, row.file), answers.first()) {
        check_answer(&name, &request, answer, flow);
        if request.method() == Method::Invite {
            end_call(b, &name, flow, &request, answer, end);
        } else {
            assert_eq!(b.media_commands, media_before, "{name}: only a call has media");
        }
    }
    b.pass(ALL);
    b.finals();
    b.assert_empty(&name);
}

#[test]
fn every_datagram_gets_its_answer_and_leaves_nothing() {
    for end in ENDS {
        let mut b = Bench::new();
        for (of, row) in rows() {
            feed(&mut b, (of, &row), udp(TRUNK), end);
        }
    }
}

#[test]
fn every_stream_gets_its_answers_and_leaves_nothing() {
    for end in ENDS {
        let mut b = Bench::new();
        for (of, row) in rows() {
            feed(&mut b, (of, &row), tcp(TRUNK), end);
        }
    }
}

/// Who is neither a trunk nor a user gets no call: what a trunk's INVITE is answered 200 is challenged, all else is refused or
/// answered as ever, and no call, no leg and no media comes of it.
#[test]
fn a_stranger_makes_no_call() {
    for flow in [udp(STRANGER), tcp(STRANGER)] {
        let mut b = Bench::new();
        for (of, row) in rows() {
            let name = format!("{of}/{} {flow} ({})", row.file, row.why);
            let is_invite = matches!(&row.wire, Wire::Reads(summary) if summary.starts_with("INVITE "));
            let expected = row.answer.map(|status| if is_invite && status == 200 { 401 } else { status });
            b.datagram(flow, octets(of, row.file));
            let answers = b.finals();
            let statuses: Vec<u16> = answers.iter().map(Sent::status).collect();
            assert_eq!(statuses, Vec::from_iter(expected), "{name}");
            if let (Some(request), Some(answer)) = (request(of, row.file), answers.first()) {
                check_answer(&name, &request, answer, flow);
            }
            let c = b.switch.counters();
            assert_eq!((c.calls_total, c.legs_active, b.media_commands, b.records), (0, 0, 0, 0), "{name}");
            b.pass(ALL);
            b.finals();
            b.assert_empty(&name);
        }
    }
}
