//! Calls whose scripts come from a web server, which is ours: what it is asked, what is heard, and what a call leaves behind
//! wherever its caller hangs up.

use super::*;
use crate::event::What;
use crate::media::command::{Event as Heard, Hears};
use crate::speech;
use crate::web::{Callback, Content, Event, Fault, Fetch, Method as Verb, Order, Page, Reason, Want};

pub(super) const APP: &str =
    "contexts:\n  any:\n    - do: [ { markup: { url: \"http://a.test/app/voice?x=1\", fallback: /spare } } ]\n";

/// A call that has asked for its first document.
fn app() -> Bench {
    let mut b = Bench::new(APP);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b
}

/// A call whose first document is this, acknowledged if it was answered.
fn run(inside: &str) -> Bench {
    let mut b = app();
    b.serve(inside);
    b.acknowledge();
    b
}

impl Bench {
    pub(super) fn asked(&self) -> &Fetch {
        let fetch = |o: &'_ Order| matches!(o, Order::Fetch(_));
        let Some(Order::Fetch(fetch)) = self.web.iter().rev().find(|o| fetch(o)) else { panic!("nothing was asked") };
        fetch
    }

    pub(super) fn fetches(&self) -> usize {
        self.web.iter().filter(|o| matches!(o, Order::Fetch(_))).count()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.asked().parameters.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn callbacks(&self) -> Vec<&Callback> {
        self.web.iter().filter_map(|o| if let Order::Callback(c) = o { Some(&**c) } else { None }).collect()
    }

    /// Answers the latest request with markup.
    pub(super) fn serve(&mut self, inside: &str) {
        self.serve_octets(format!("<Response>{inside}</Response>").into_bytes(), "text/xml");
    }

    pub(super) fn serve_octets(&mut self, body: Vec<u8>, content_type: &str) {
        let (id, url) = (self.asked().id, self.asked().address.url.clone());
        let content = Content::Body(body.into());
        let page = Page { url, status: 200, content_type: content_type.into(), content, fell_back: None };
        self.input(Input::Web(Event::Fetched { id, result: Ok(Box::new(page)) }));
    }

    /// Answers the latest request with sound.
    pub(super) fn serve_file(&mut self, file: &str) {
        let (id, url) = (self.asked().id, self.asked().address.url.clone());
        let content = Content::File(file.into());
        let page = Page { url, status: 200, content_type: "audio/wav".into(), content, fell_back: None };
        self.input(Input::Web(Event::Fetched { id, result: Ok(Box::new(page)) }));
    }

    pub(super) fn acknowledge(&mut self) {
        if let Some((_, ok)) = self.sent.iter().rev().find(|(_, m)| m.status() == 200) {
            let tag = format!(";tag={}", ok.to_tag());
            self.receive(CALLER, request("ACK", 1, 1, &tag, ""));
        }
    }

    pub(super) fn caller_hangs_up(&mut self) {
        let answered = self.sent.iter().rev().find(|(_, m)| m.status() == 200 && m.method() == Method::Invite);
        match answered.map(|(_, m)| format!(";tag={}", m.to_tag())) {
            Some(tag) => self.receive(CALLER, request("BYE", 1, 2, &tag, "")),
            None => {
                let cancel = request("INVITE", 1, 1, "", "").replacen("INVITE sip", "CANCEL sip", 1);
                self.receive(CALLER, cancel.replace("CSeq: 1 INVITE", "CSeq: 1 CANCEL"));
                let refusal = self.last(CALLER).clone();
                self.receive(
                    CALLER,
                    request("ACK", 1, 1, &format!(";tag={}", refusal.to_tag()), "")
                        .replace("z9hG4bKACK1", "z9hG4bKINVITE1"),
                );
            }
        }
    }

    pub(super) fn media_leg(&self) -> media::LegId {
        *self.hears.keys().next().expect("the caller has media")
    }

    /// What the caller hears: "play FILE", "silence", ….
    pub(super) fn heard(&self) -> String {
        match &self.hears[&self.media_leg()] {
            Hears::Play { file, .. } => format!("play {file}"),
            Hears::Silence => "silence".to_owned(),
            other => format!("{other:?}"),
        }
    }

    pub(super) fn prompt_ends(&mut self) {
        let leg = self.media_leg();
        let Some(Hears::Play { id, .. }) = self.hears.get(&leg).cloned() else { panic!("{}", self.heard()) };
        self.input(Input::Media(Heard::PlayEnded { leg, id, played: true }));
    }

    pub(super) fn keys(&mut self, keys: &str) {
        let leg = self.media_leg();
        for digit in keys.chars() {
            self.pass(Duration::from_millis(700));
            self.input(Input::Media(Heard::Digit { leg, digit, duration_ms: 100, method: media::Method::Rfc4733 }));
        }
    }

    pub(super) fn speak(&mut self, files: &[&str]) {
        let Some(speech::Order::Say(say)) = self.speech.last() else { panic!("nothing is said") };
        let id = say.id;
        for (n, file) in files.iter().enumerate() {
            let is_last = n + 1 == files.len();
            self.input(Input::Speech(speech::Event::Said { id, file: (*file).into(), is_last }));
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let entries = self.ended.last().expect("a call has ended").timeline.entries();
        entries.iter().filter_map(|e| if let What::Note(t) = &e.what { Some(t.to_string()) } else { None }).collect()
    }

    pub(super) fn has_line(&self, part: &str) -> bool {
        self.lines().iter().any(|line| line.contains(part))
    }

    pub(super) fn nothing_is_left(&mut self) {
        self.pass(Duration::from_secs(200));
        let c = self.switch.counters();
        let left = (c.calls_active, c.legs_active, c.media_legs_active, c.timers, c.transactions_client);
        assert_eq!(left, (0, 0, 0, 0, 0));
    }
}

#[test]
fn documents_follow_each_other_and_relative_addresses_are_against_the_latest() {
    let mut b = app();
    assert_eq!((&*b.asked().address.url, b.asked().want), ("http://a.test/app/voice?x=1", Want::Document));
    assert_eq!(b.asked().fallback.as_ref().map(|f| &*f.url), Some("http://a.test/spare"));
    b.serve("<Redirect method='GET'>menu/next.xml?a=1</Redirect>");
    let address = &b.asked().address;
    assert_eq!((&*address.url, address.method), ("http://a.test/app/menu/next.xml?a=1", Verb::Get));
    b.serve("<Redirect>../last.xml</Redirect><Say>never</Say>");
    assert_eq!(&*b.asked().address.url, "http://a.test/app/last.xml");
    b.serve("<Reject reason='busy'/>");
    assert_eq!(b.last(CALLER).status(), 486);
    assert!(b.speech.is_empty());
}

#[test]
fn a_loop_of_documents_ends_with_the_published_error() {
    // An empty address is that of the document itself.
    for inside in ["<Redirect/>", "<Redirect>voice</Redirect>"] {
        let mut b = app();
        for _ in 0..100 {
            if b.ended.is_empty() {
                b.serve(inside);
            }
        }
        assert!(b.has_line("14106") && b.fetches() < 60);
        assert_eq!(b.ended[0].cdr.ending.reason, "redirects");
    }
}

#[test]
fn what_is_no_document_is_asked_of_the_fallback_and_ends_the_call_if_that_fails_too() {
    let rows: [(&[u8], &str, &str); 4] = [
        (b"<Response><Say>half", "text/xml", "12100"),
        (b"<html><body>Error</body></html>", "text/html", "12102"),
        (b"{}", "application/json", "12300"),
        (b"", "text/xml", "12100"),
    ];
    for (body, kind, code) in rows {
        let mut b = app();
        b.serve_octets(body.to_vec(), kind);
        assert_eq!(b.parameter("ErrorCode"), Some(code), "{kind}");
        assert_eq!(&*b.asked().address.url, "http://a.test/spare");
        b.serve_octets(body.to_vec(), kind);
        assert_eq!((b.fetches(), b.last(CALLER).status()), (2, 500));
        assert_eq!(b.ended[0].cdr.ending.reason, "document_failed");
        assert!(b.has_line(code));
    }
    let mut b = app();
    let (id, why) = (b.asked().id, Fault::new(Reason::Retrieval, "http://a.test/", "the server answered 500"));
    b.input(Input::Web(Event::Fetched { id, result: Err(why) }));
    assert!(b.has_line("11200"));
}

#[test]
fn say_is_heard_in_parts_while_the_rest_is_made_and_again_as_often_as_asked() {
    let mut b = run("<Say voice='man' language='en-GB' loop='2'>Hello</Say><Play>end.wav</Play>");
    let Some(speech::Order::Say(say)) = b.speech.last() else { panic!() };
    assert_eq!((&*say.text, &*say.voice, &*say.language, say.is_ssml), ("Hello", "man", "en-GB", false));
    b.speak(&["1.wav", "2.wav"]);
    for file in ["1.wav", "2.wav", "1.wav", "2.wav"] {
        assert_eq!(b.heard(), format!("play {file}"));
        b.prompt_ends();
    }
    // Sound from elsewhere is fetched, against the document.
    assert_eq!((&*b.asked().address.url, b.asked().want), ("http://a.test/app/end.wav", Want::Media));
    b.serve_file("/cache/end.wav");
    assert_eq!(b.heard(), "play /cache/end.wav");
    b.prompt_ends();
    assert_eq!(b.last(CALLER).method(), Method::Bye);
}

#[test]
fn what_cannot_be_heard_is_told_and_the_next_step_follows() {
    let mut b = run("<Say>Hello</Say><Play>gone.wav</Play><Pause length='2'/><Hangup/>");
    let id = if let Some(speech::Order::Say(say)) = b.speech.last() { say.id } else { panic!() };
    let why = speech::Fault::new(speech::Reason::Text, "no engine");
    b.input(Input::Speech(speech::Event::Failed { id, why }));
    let (id, why) = (b.asked().id, Fault::new(Reason::PlayContentType, "http://a.test/gone.wav", "text/html"));
    b.input(Input::Web(Event::Fetched { id, result: Err(why) }));
    assert!(b.ended.is_empty());
    b.pass(Duration::from_secs(3));
    assert_eq!(b.last(CALLER).method(), Method::Bye);
}

const MENU: &str = "<Gather numDigits='2' action='took'><Play>/m.wav</Play></Gather><Redirect>none</Redirect>";

/// A menu whose prompt is heard.
fn menu() -> Bench {
    let mut b = run(MENU);
    b.serve_file("/cache/m.wav");
    assert_eq!(b.heard(), "play /cache/m.wav");
    b
}

#[test]
fn the_first_digit_stops_the_prompt_and_the_last_asks_the_application() {
    let mut b = menu();
    b.keys("4");
    assert_eq!(b.heard(), "silence");
    b.keys("7");
    assert_eq!((&*b.asked().address.url, b.parameter("Digits")), ("http://a.test/app/took", Some("47")));
    assert_eq!((b.parameter("FinishedOnKey"), b.parameter("CallStatus")), (Some(""), Some("in-progress")));
    b.serve("<Hangup/>");
    assert_eq!(b.last(CALLER).method(), Method::Bye);
}

#[test]
fn a_key_ends_it_and_is_no_part_of_it() {
    let mut b = menu();
    b.keys("4#");
    assert_eq!((b.parameter("Digits"), b.parameter("FinishedOnKey")), (Some("4"), Some("#")));
    let mut b = run("<Gather finishOnKey='*' action='took'/>");
    b.keys("1#2*");
    assert_eq!((b.parameter("Digits"), b.parameter("FinishedOnKey")), (Some("1#2"), Some("*")));
    let mut b = run("<Gather finishOnKey='' timeout='3' action='took'/>");
    b.keys("1#*");
    assert_eq!(b.fetches(), 1);
    b.pass(Duration::from_secs(4));
    assert_eq!(b.parameter("Digits"), Some("1#*"));
}

#[test]
fn silence_goes_on_with_the_next_step_unless_the_application_wants_to_know() {
    let mut b = menu();
    b.prompt_ends();
    b.pass(Duration::from_millis(4_900));
    assert!(!b.asked().address.url.ends_with("none"));
    b.pass(Duration::from_millis(200));
    assert_eq!(&*b.asked().address.url, "http://a.test/app/none");
    let mut b = run("<Gather timeout='2' action='took' actionOnEmptyResult='true'/>");
    b.pass(Duration::from_secs(3));
    assert_eq!((&*b.asked().address.url, b.parameter("Digits")), ("http://a.test/app/took", Some("")));
    // Each digit lets the time begin again; without an action it is this document that is asked.
    let mut b = run("<Gather timeout='2' method='GET'/>");
    b.keys("123");
    b.pass(Duration::from_millis(1_900));
    assert_eq!(b.fetches(), 1);
    b.pass(Duration::from_millis(200));
    assert_eq!((&*b.asked().address.url, b.asked().address.method), ("http://a.test/app/voice?x=1", Verb::Get));
    assert_eq!(b.parameter("Digits"), Some("123"));
}

#[test]
fn what_is_typed_ahead_is_taken_by_the_next_gather_and_the_one_after() {
    let mut b =
        run("<Play digits='5'/><Pause length='9'/><Gather numDigits='1' action='a'><Play>/x.wav</Play></Gather>");
    b.keys("12");
    b.pass(Duration::from_secs(9));
    assert_eq!((&*b.asked().address.url, b.parameter("Digits")), ("http://a.test/app/a", Some("1")));
    b.serve("<Gather numDigits='2' action='b'><Play>/y.wav</Play></Gather>");
    b.keys("3");
    assert_eq!((&*b.asked().address.url, b.parameter("Digits")), ("http://a.test/app/b", Some("23")));
    // The memory for it is bounded.
    b.keys(&"5".repeat(100));
    b.serve("<Gather numDigits='250' timeout='1' action='c'/>");
    b.pass(Duration::from_secs(2));
    assert_eq!(b.parameter("Digits").map(str::len), Some(32));
}

#[test]
fn no_digit_is_on_the_timeline_or_in_a_log() {
    let mut b = menu();
    b.keys("9");
    let shown =
        format!("{:?}", b.switch.calls.iter().map(|(_, c)| (&c.doing, &c.script, &c.ahead)).collect::<Vec<_>>());
    assert!(shown.contains("<1 digits>"), "{shown}");
    b.keys("8");
    b.serve("<Hangup/>");
    b.caller_hangs_up();
    b.pass(Duration::from_secs(60));
    assert!(b.has_line("2 digits gathered"));
    let all = format!("{:?}", b.ended[0].timeline);
    assert!(!all.contains("98"), "{all}");
}

/// A gather that races: whenever its caller hangs up, nothing is left.
#[test]
fn whoever_hangs_up_while_a_gather_goes_on_leaves_nothing() {
    type Point = fn(&mut Bench);
    let points: [Point; 8] = [
        |_| {},
        |b| b.serve(MENU),
        |b| {
            b.serve(MENU);
            b.acknowledge();
        },
        |b| {
            b.serve(MENU);
            b.acknowledge();
            b.serve_file("/m.wav");
        },
        |b| {
            b.serve(MENU);
            b.acknowledge();
            b.serve_file("/m.wav");
            b.keys("1");
        },
        |b| {
            b.serve(MENU);
            b.acknowledge();
            b.serve_file("/m.wav");
            b.keys("12");
        },
        |b| {
            b.serve("<Gather numDigits='1' action='x'><Say>One</Say></Gather>");
            b.acknowledge();
        },
        |b| {
            b.serve("<Gather numDigits='1' action='x'><Say>One</Say><Pause length='5'/></Gather>");
            b.acknowledge();
            b.speak(&["1.wav"]);
            b.prompt_ends();
        },
    ];
    for (n, point) in points.into_iter().enumerate() {
        let mut b = app();
        point(&mut b);
        b.caller_hangs_up();
        assert_eq!(b.ended.len(), 1, "point {n}");
        b.nothing_is_left();
    }
}

#[test]
fn a_gather_of_the_dialplan_goes_where_the_digit_says() {
    let plan = "contexts:\n  any:\n    - do:\n        - answer\n        - gather: { digits: 1, timeout: 2s, prompt: { play: m.wav } }\n          on:\n            \"1\": [ { play: one.wav } ]\n            none: [ { play: none.wav } ]\n            done: [ { play: other.wav } ]\n";
    for (keys, file) in [("1", "one.wav"), ("5", "other.wav"), ("", "none.wav")] {
        let mut b = Bench::new(plan);
        b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
        b.acknowledge();
        assert_eq!(b.heard(), "play m.wav");
        if keys.is_empty() {
            b.prompt_ends();
            b.pass(Duration::from_secs(3));
        } else {
            b.keys(keys);
        }
        assert_eq!(b.heard(), format!("play {file}"), "{keys}");
    }
}

const NUMBER: &str = "<Dial action='done' hangupOnStar='true' timeout='20'><Sip url='ask' statusCallback='/told' \
    statusCallbackEvent='initiated ringing answered completed'>sip:200@127.0.0.1:7000?X-A=b</Sip></Dial><Hangup/>";

#[test]
fn who_is_dialled_hears_a_document_first_and_the_application_is_told_all() {
    let mut b = run(NUMBER);
    let invite = b.last(CALLEE).clone();
    assert_eq!(invite.header_named("X-A"), Some("b"));
    b.answer(CALLEE, &invite, "180 Ringing", "callee", None);
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    assert_eq!(&*b.asked().address.url, "http://a.test/app/ask");
    b.serve("<Pause length='2'/>");
    b.pass(Duration::from_secs(3));
    b.pass(Duration::from_secs(7));
    b.keys("*");
    assert_eq!(&*b.asked().address.url, "http://a.test/app/done");
    let told = ["DialCallStatus", "DialCallDuration", "DialBridged"].map(|name| b.parameter(name).unwrap_or_default());
    assert_eq!(told, ["completed", "8", "true"]);
    let words: Vec<&str> = b.callbacks().iter().map(|c| value(&c.parameters, "CallStatus")).collect();
    assert_eq!(words, ["initiated", "ringing", "in-progress", "completed"]);
    assert!(b.callbacks().iter().all(|c| &*c.address.url == "http://a.test/told"));
    b.serve("<Hangup/>");
    assert_eq!(b.last(CALLER).method(), Method::Bye);
}

fn value<'a>(parameters: &'a [(String, String)], name: &str) -> &'a str {
    parameters.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
}

#[test]
fn who_declines_in_its_document_is_not_joined_and_the_dial_goes_on() {
    let mut b = run(NUMBER);
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    b.serve("<Hangup/>");
    assert_eq!(b.last(CALLEE).method(), Method::Bye);
    assert_eq!(b.parameter("DialCallStatus"), Some("no-answer"));
}

#[test]
fn a_dial_without_an_action_goes_on_with_the_next_verb() {
    let mut b = run("<Dial><Sip>sip:200@127.0.0.1:7000</Sip></Dial><Redirect>after</Redirect>");
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "486 Busy Here", "callee", None);
    assert_eq!(&*b.asked().address.url, "http://a.test/app/after");
}

#[test]
fn digits_are_sent_with_their_pauses() {
    let mut b = run("<Play digits='1w2'/><Hangup/>");
    assert_eq!(b.dialled.iter().map(|(_, press)| press.digit).collect::<String>(), "1");
    b.pass(Duration::from_secs(1));
    assert_eq!(b.dialled.iter().map(|(_, press)| press.digit).collect::<String>(), "12");
    assert_eq!(b.last(CALLER).method(), Method::Bye);
}

#[test]
fn what_is_not_there_yet_is_told_and_skipped() {
    for verb in ["<Start><Stream url='wss://x/'/></Start>", "<Enqueue workflowSid='WW1'/>"] {
        let mut b = run(&format!("{verb}<Redirect>after</Redirect>"));
        assert_eq!(&*b.asked().address.url, "http://a.test/app/after", "{verb}");
        b.serve("<Hangup/>");
        b.pass(Duration::from_secs(60));
        assert!(b.has_line("13750"), "{:?}", b.lines());
    }
}

#[test]
fn text_is_said_and_a_long_one_is_no_document() {
    let mut b = app();
    b.serve_octets(b"Good day".to_vec(), "text/plain");
    assert!(matches!(b.speech.last(), Some(speech::Order::Say(say)) if &*say.text == "Good day"));
    let mut b = app();
    b.serve_octets(vec![b'a'; 70_000], "text/plain");
    assert_eq!(b.parameter("ErrorCode"), Some("11750"));
}
