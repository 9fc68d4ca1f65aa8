//! What a call asks of servers and speakers, with which parameters, and who hears the answers.

use super::*;
use crate::event::What;
use crate::speech;
use crate::web::{Address, Event, Fault, FetchId, Method as Verb, Order, Page, Parameters, Reason, Want};

const PAUSE: &str = "contexts:\n  any:\n    - do: [ { answer: {} }, { pause: 60s } ]\n";

fn call(headers: &str) -> Bench {
    let mut b = Bench::new(PAUSE);
    b.receive(
        CALLER,
        request("INVITE", 1, 1, "", &sdp(4000)).replacen("Max-Forwards", &format!("{headers}Max-Forwards"), 1),
    );
    b
}

impl Bench {
    /// Does something with the only call.
    fn on_call<R>(&mut self, f: impl FnOnce(&mut Call, &mut World) -> R) -> R {
        let key = *self.switch.ids.values().next().expect("there is a call");
        let mut result = None;
        self.switch.with_call(key, |call, w| result = Some(f(call, w)));
        self.input(Input::Tick);
        result.expect("the call is there")
    }

    fn hang_up(&mut self) {
        let tag = format!(";tag={}", self.last(CALLER).to_tag());
        self.receive(CALLER, request("ACK", 1, 1, &tag, ""));
        self.receive(CALLER, request("BYE", 1, 2, &tag, ""));
    }
}

fn fetch(call: &mut Call, w: &mut World) -> FetchId {
    let more = vec![("Digits".to_owned(), "1".to_owned())];
    call.fetch(w, Want::Document, Address::new("http://a.test/voice?x=1", Verb::Post), None, more)
}

fn page() -> Box<Page> {
    let content = crate::web::Content::Body(Bytes::from_static(b"<Response/>"));
    Box::new(Page {
        url: "http://a.test/voice".into(),
        status: 200,
        content_type: "text/xml".into(),
        content,
        fell_back: None,
    })
}

#[test]
fn a_request_carries_the_standard_parameters_and_then_its_own() {
    let headers = "X-Customer: 77\r\nUser-to-User: 56a390;encoding=hex\r\nSubject: none\r\n\
                   Diversion: <sip:+1999@carrier>;reason=no-answer\r\n\
                   P-Asserted-Identity: \"Alice\" <sip:+1212;verstat=TN-Validation-Passed-A@carrier>\r\n";
    let mut b = call(headers);
    b.on_call(fetch);
    let Some(Order::Fetch(fetch)) = b.web.first() else { panic!("nothing was fetched") };
    let (id, call_id) = (fetch.call.to_string(), "call1");
    let expected = [
        ("CallSid", id.as_str()),
        ("AccountSid", "AC00000000000000000000000000000000"),
        ("ApiVersion", "2010-04-01"),
        ("Direction", "inbound"),
        ("CallStatus", "in-progress"),
        ("From", "+1212"),
        ("Caller", "+1212"),
        ("To", "100"),
        ("Called", "100"),
        ("CallerName", "Alice"),
        ("ForwardedFrom", "+1999"),
        ("CalledVia", "+1999"),
        ("StirVerstat", "TN-Validation-Passed-A"),
        ("SipCallId", call_id),
        ("SipSourceIp", "127.0.0.1"),
        ("SipHeader_X-Customer", "77"),
        ("SipHeader_User-to-User", "56a390;encoding=hex"),
        ("Digits", "1"),
    ];
    let expected: Parameters = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert_eq!(fetch.parameters, expected);
    assert!(id.len() == 34 && id.starts_with("CA"));
}

#[test]
fn answers_reach_the_call_that_asked_and_only_while_it_waits() {
    let mut b = call("");
    let (first, second, third) = b.on_call(|c, w| (fetch(c, w), fetch(c, w), fetch(c, w)));
    assert!(first != second && second != third);
    b.on_call(|c, w| c.cancel_fetch(w, second));
    assert!(matches!(b.web.last(), Some(Order::Cancel(id)) if *id == second));
    let fault = Fault::new(Reason::Retrieval, "http://a.test/voice", "the server answered 500");
    b.input(Input::Web(Event::Fetched { id: first, result: Ok(page()) }));
    b.input(Input::Web(Event::Fetched { id: second, result: Err(fault.clone()) }));
    b.input(Input::Web(Event::Fetched { id: first, result: Err(fault) }));
    b.hang_up();
    assert!(matches!(&b.web[4..], [Order::Cancel(id), Order::Forget(_)] if *id == third), "{:?}", &b.web[4..]);
    b.input(Input::Web(Event::Fetched { id: third, result: Ok(page()) }));
    let notes: Vec<&str> = b.ended[0]
        .timeline
        .entries()
        .iter()
        .filter_map(|e| if let What::Note(t) = &e.what { Some(&**t) } else { None })
        .collect();
    let asked = "POST http://a.test/voice";
    assert_eq!(notes, [asked, asked, asked, "http://a.test/voice answered 200"]);
}

#[test]
fn a_text_is_spoken_in_parts_until_the_last_or_until_nobody_listens() {
    let mut b = call("");
    let (one, two) = b.on_call(|c, w| (c.say(w, "Hello.", false, "en-US", ""), c.say(w, "Bye.", false, "", "man")));
    assert!(matches!(&b.speech[..], [speech::Order::Say(a), speech::Order::Say(_)] if &*a.text == "Hello."));
    let why = speech::Fault::new(speech::Reason::Text, "no engine");
    b.input(Input::Speech(speech::Event::Failed { id: one, why }));
    b.hang_up();
    assert!(matches!(b.speech.last(), Some(speech::Order::Cancel(id)) if *id == two));
    assert!(b.web.is_empty(), "who asked no server need not be forgotten");
}

#[test]
fn what_is_told_comes_in_its_order_and_before_the_call_is_forgotten() {
    let mut b = call("");
    b.on_call(|c, w| {
        for n in 1..=3 {
            c.call_back(w, Address::new(format!("http://a.test/{n}"), Verb::Post), Parameters::new());
        }
    });
    b.hang_up();
    let told: Vec<String> = b
        .web
        .iter()
        .map(|o| match o {
            Order::Callback(c) => c.address.url.to_string(),
            Order::Forget(_) => "forget".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["http://a.test/1", "http://a.test/2", "http://a.test/3", "forget"]);
}

fn told(b: &Bench) -> Vec<Vec<String>> {
    let shown = ["CallStatus", "SequenceNumber", "CallDuration", "Duration", "SipResponseCode"];
    let of = |p: &Parameters| {
        let value = |name: &&str| p.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        shown.iter().filter_map(value).collect()
    };
    b.web.iter().filter_map(|o| if let Order::Callback(c) = o { Some(of(&c.parameters)) } else { None }).collect()
}

#[test]
fn who_watches_is_told_what_was_asked_for() {
    use crate::switch::web_status::{Progress, Watch};
    let watch = |events: &str| Watch::new(Address::new("http://a.test/status", Verb::Post), events);
    let rows: &[(&str, &[&[&str]])] = &[
        (
            "initiated ringing answered completed",
            &[&["initiated", "0"], &["ringing", "1"], &["in-progress", "2"], &["completed", "3", "61", "2", "200"]],
        ),
        ("ringing,completed", &[&["ringing", "0"], &["completed", "1", "61", "2", "200"]]),
        ("", &[&["completed", "0", "61", "2", "200"]]),
    ];
    for (events, expected) in rows {
        let mut b = call("");
        b.on_call(|c, w| {
            c.watched = Some(watch(events));
            [Progress::Initiated, Progress::Ringing, Progress::Answered].into_iter().for_each(|p| c.progress(w, p));
        });
        b.now.mono += Duration::from_secs(61);
        b.hang_up();
        assert_eq!(told(&b), *expected, "{events}");
        assert!(matches!(b.web.last(), Some(Order::Forget(_))));
    }
    let mut b = Bench::new("contexts:\n  any:\n    - do: [ { tone: ringback } ]\n");
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.on_call(|c, _| c.watched = Some(watch("answered completed")));
    b.receive(CALLER, request("CANCEL", 1, 1, "", "").replace("z9hG4bKCANCEL", "z9hG4bKINVITE"));
    assert_eq!(told(&b), [["canceled", "0", "0", "0", "487"]]);
}
