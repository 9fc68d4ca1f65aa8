//! The interworking of digits, three methods by three, and one digit once whatever the mix.

use super::*;
use crate::config::Dtmf;
use crate::event::What;
use crate::media::command::{LegId, Method as By, Tones};

fn described(port: u16, events: bool) -> String {
    let body = sdp(port);
    if events { body.replace("AVP 0\r\n", "AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n") } else { body }
}

struct Joined {
    bench: Bench,
    caller: LegId,
    callee: LegId,
    to_caller: String,
    cseq: u32,
}

/// A call that is up, with the caller's `dtmf` and what both describe.
fn joined(dtmf: Dtmf, caller_events: bool, callee_events: bool) -> Joined {
    let mut b = Bench::new(DIAL);
    let mut setup = setup(DIAL);
    Arc::make_mut(&mut setup.config).trunks[0].dtmf = dtmf;
    b.switch = Switch::new(setup, 7, b.now);
    b.receive(CALLER, request("INVITE", 1, 1, "", &described(4000, caller_events)));
    let invite = b.last(CALLEE).clone();
    let body = described(5000, callee_events);
    let copy = |name: HeaderName| invite.header(name).unwrap_or_default().to_owned();
    let text = format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=callee\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:callee@{CALLEE}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        copy(HeaderName::Via),
        copy(HeaderName::From),
        copy(HeaderName::To),
        copy(HeaderName::CallId),
        copy(HeaderName::CSeq),
        body.len()
    );
    b.receive(CALLEE, text);
    let ok = b.last(CALLER).clone();
    let has_events = String::from_utf8_lossy(&ok.body_bytes()).contains("telephone-event");
    assert_eq!(has_events, caller_events && matches!(dtmf, Dtmf::Auto | Dtmf::Rfc4733));
    b.receive(CALLER, request("ACK", 1, 1, &format!(";tag={}", ok.to_tag()), ""));
    let legs: Vec<LegId> = b.states.keys().copied().collect();
    let to_caller = copy(HeaderName::From);
    let to_caller = format!("{};{}", copy(HeaderName::CallId), to_caller.split("tag=").nth(1).unwrap_or_default());
    Joined { bench: b, caller: legs[0], callee: legs[1], to_caller, cseq: 1 }
}

impl Joined {
    /// The called party sends an INFO.
    fn info(&mut self, kind: &str, body: &str) {
        self.cseq += 1;
        let (call_id, tag) = self.to_caller.split_once(';').unwrap();
        let text = format!(
            "INFO sip:{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLEE};branch=z9hG4bKinfo{}\r\nMax-Forwards: 70\r\n\
             From: <sip:200@{CALLEE}>;tag=callee\r\nTo: <sip:x@{US}>;tag={tag}\r\nCall-ID: {call_id}\r\nCSeq: {} INFO\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            self.cseq,
            self.cseq,
            body.len()
        );
        self.bench.receive(CALLEE, text);
    }

    fn media(&mut self, digit: char, duration_ms: u32, method: By) {
        let leg = self.callee;
        self.bench.input(Input::Media(media::Event::Digit { leg, digit, duration_ms, method }));
    }

    /// The status of the answer to it.
    fn answered(&self) -> u16 {
        self.bench.last(CALLEE).status()
    }

    /// What the caller was sent by its media leg, and by INFO, which it answers.
    fn out(&mut self) -> (String, Vec<String>) {
        let mut infos = Vec::new();
        loop {
            let caller: SocketAddr = CALLER.parse().unwrap();
            let is_info =
                |(to, m): &(SocketAddr, Message)| *to == caller && m.is_request() && m.method() == Method::Info;
            let Some(at) = self.bench.sent.iter().position(is_info) else { break };
            let (_, info) = self.bench.sent.remove(at);
            infos.push(String::from_utf8_lossy(&info.body_bytes()).replace("\r\n", " "));
            self.bench.answer(CALLER, &info, "200 OK", "", None);
        }
        let dialled = std::mem::take(&mut self.bench.dialled);
        assert!(dialled.iter().all(|(leg, _)| *leg == self.caller));
        (dialled.iter().map(|(_, press)| press.digit).collect(), infos)
    }

    /// What the timeline says of digits, after the call.
    fn told(mut self) -> Vec<String> {
        let tag =
            self.bench.sent.iter().rev().find_map(|(_, m)| (m.call_id() == "call1").then(|| m.to_tag().to_owned()));
        self.bench.receive(CALLER, request("BYE", 1, 2, &format!(";tag={}", tag.unwrap_or_default()), ""));
        self.bench.pass(Duration::from_secs(40));
        let entries = self.bench.ended[0].timeline.entries();
        entries
            .iter()
            .filter_map(|e| if let What::Digit(text) = &e.what { Some(text.to_string()) } else { None })
            .collect()
    }
}

#[test]
fn every_method_reaches_every_other_and_says_so() {
    let (none, five): (&[&str], &[&str]) = (&[], &["Signal=5 Duration=120 "]);
    // How it comes; how the caller has digits; what goes out by media and by INFO; what becomes of tones; the trace.
    let rows = [
        (By::Rfc4733, By::Rfc4733, "", none, Tones::Passed, "• by RFC 4733, relayed"),
        (By::Rfc4733, By::Inband, "5", none, Tones::Passed, "• by RFC 4733, passed on as a tone"),
        (By::Rfc4733, By::Info, "", five, Tones::Passed, "• by RFC 4733, passed on by INFO"),
        (By::Inband, By::Rfc4733, "5", none, Tones::Taken, "• by in-band, passed on as RFC 4733"),
        (By::Inband, By::Inband, "", none, Tones::Passed, "• by in-band, passed in the sound"),
        (By::Inband, By::Info, "", five, Tones::Taken, "• by in-band, passed on by INFO"),
        (By::Info, By::Rfc4733, "5", none, Tones::Taken, "• by INFO, passed on as RFC 4733"),
        (By::Info, By::Inband, "5", none, Tones::Passed, "• by INFO, passed on as a tone"),
        (By::Info, By::Info, "", five, Tones::Taken, "• by INFO, passed on by INFO"),
    ];
    for (from, to, dialled, infos, tones, trace) in rows {
        let dtmf = if to == By::Info { Dtmf::Info } else { Dtmf::Auto };
        let mut j = joined(dtmf, to != By::Inband, from == By::Rfc4733);
        let what = format!("{from:?} to {to:?}");
        assert_eq!(j.bench.states[&j.callee].tones, tones, "{what}");
        match from {
            By::Info => j.info("application/dtmf-relay", "Signal=5\r\nDuration=120\r\n"),
            _ => j.media('5', 120, from),
        }
        let out = j.out();
        assert_eq!((out.0.as_str(), out.1), (dialled, infos.iter().map(|s| s.to_string()).collect()), "{what}");
        assert_eq!(j.told(), [trace], "{what}");
    }
}

#[test]
fn who_sends_a_digit_twice_is_heard_once() {
    // INFO first: it waits for the event, which is relayed.
    let mut j = joined(Dtmf::Auto, true, true);
    j.info("application/dtmf", "5");
    j.bench.pass(Duration::from_millis(120));
    j.media('5', 100, By::Rfc4733);
    j.bench.pass(Duration::from_secs(1));
    assert_eq!(j.out(), (String::new(), vec![]));
    // It comes alone, and then after the event.
    j.info("application/dtmf", "6");
    j.bench.pass(Duration::from_secs(1));
    assert_eq!(j.out(), ("6".into(), vec![]));
    j.media('7', 100, By::Rfc4733);
    j.info("application/dtmf", "7");
    j.bench.pass(Duration::from_secs(1));
    assert_eq!(j.out(), (String::new(), vec![]));
    // The same key once more is another digit.
    j.media('7', 100, By::Rfc4733);
    assert_eq!(j.told().len(), 4);
}

#[test]
fn digits_by_info_keep_their_order_and_wait_for_each_other() {
    let mut j = joined(Dtmf::Info, true, true);
    for digit in "123".chars() {
        j.media(digit, 100, By::Rfc4733);
        j.bench.pass(Duration::from_millis(150));
    }
    let sent = |j: &Joined| j.bench.sent.iter().filter(|(_, m)| m.is_request() && m.method() == Method::Info).count();
    let first = sent(&j);
    assert!(first >= 1, "retransmissions of the first alone");
    assert!(String::from_utf8_lossy(&j.bench.last(CALLER).body_bytes()).contains("Signal=1"));
    let infos = j.out().1;
    let signals: Vec<&str> = infos.iter().map(|i| &i[7..8]).collect();
    assert!(signals.starts_with(&["1"]) && signals.ends_with(&["2", "3"]), "{signals:?}");
}

#[test]
fn a_signal_that_nobody_knows_is_refused_and_changes_nothing() {
    let mut j = joined(Dtmf::Info, false, false);
    j.info("application/dtmf-relay", "Signal=nothing\r\nDuration=160\r\n");
    assert_eq!((j.answered(), j.out()), (400, (String::new(), Vec::new())));
    j.info("application/dtmf-relay", "Signal=hf\r\n");
    assert_eq!((j.answered(), j.out()), (200, (String::new(), Vec::new())));
    j.info("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    assert_eq!(j.out().1.len(), 1, "the call goes on");
}
