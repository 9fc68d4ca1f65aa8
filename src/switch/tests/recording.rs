//! The steps `record` and `record_call`, and dials that are recorded: which taps and orders come of them, and when.

use super::*;
use crate::event::What;
use crate::media::command::{Hears, LegId, TapId, Tone, Tones};
use crate::recording::command::{Event, Order, Paused, Sides};

fn plan(steps: &str) -> String {
    format!("contexts:\n  any:\n    - do: {steps}\n")
}

/// A call that has come in and is answered as its script says.
fn called(steps: &str) -> Bench {
    let mut b = Bench::new(&plan(steps));
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b
}

fn ack(b: &mut Bench) -> String {
    let tag = format!(";tag={}", b.last(CALLER).to_tag());
    b.receive(CALLER, request("ACK", 1, 1, &tag, ""));
    tag
}

impl Bench {
    fn caller_leg(&self) -> LegId {
        *self.hears.keys().next().expect("the caller has media")
    }
    /// What the caller's tap is.
    fn tap(&self) -> Option<TapId> {
        self.taps.get(&self.caller_leg()).copied().flatten()
    }
    fn recorder(&mut self, event: Event) {
        self.input(Input::Recording(event));
    }
    fn digit(&mut self, digit: char) {
        let leg = self.caller_leg();
        self.input(Input::Media(media::Event::Digit { leg, digit, duration_ms: 100, method: media::Method::Rfc4733 }));
    }
    /// The beep has sounded.
    fn beeped(&mut self) {
        let leg = self.caller_leg();
        let Some(Hears::Tone { id, tone: Tone::Beep, .. }) = self.hears.get(&leg).cloned() else { panic!("no beep") };
        self.input(Input::Media(media::Event::PlayEnded { leg, id, played: true }));
    }
    fn sides(&self) -> Vec<Sides> {
        let started = |o: &Order| if let Order::Start(s) = o { Some(s.sides) } else { None };
        self.orders.iter().filter_map(started).collect()
    }
    fn stops(&self) -> usize {
        self.orders.iter().filter(|o| matches!(o, Order::Stop { .. })).count()
    }
    /// The notes of the call that ended.
    fn logged(&self) -> Vec<String> {
        let entries = self.ended.last().expect("a call has ended").timeline.entries();
        entries.iter().filter_map(|e| if let What::Note(t) = &e.what { Some(t.to_string()) } else { None }).collect()
    }
}

const MESSAGE: &str = "[ { record: { max_length: 10s, timeout: 3s, finish_on_key: \"#\" }, on: { failed: { log: nothing } } }, \
                       { log: \"${recording_duration} ${recording_key}\" } ]";

fn message_begun() -> (Bench, TapId) {
    let mut b = called(MESSAGE);
    ack(&mut b);
    assert_eq!(b.tap(), None, "the beep is not recorded");
    b.beeped();
    let tap = b.tap().expect("the caller is tapped");
    let Some(Order::Start(start)) = b.orders.last() else { panic!("{:?}", b.orders) };
    assert_eq!((start.tap, start.sides, start.trim), (tap, Sides::Said, true));
    assert_eq!(start.quiet_after, Some(Duration::from_secs(3)));
    (b, tap)
}

#[test]
fn a_message_ends_by_a_key_by_silence_and_by_its_length() {
    type Way = (&'static str, fn(&mut Bench, TapId));
    let ways: [Way; 3] = [
        ("#", |b, _| {
            b.digit('5');
            b.pass(Duration::from_secs(1));
            assert_eq!(b.stops(), 0, "another key");
            b.digit('#');
        }),
        ("", |b, tap| b.recorder(Event::Quiet { tap })),
        ("", |b, _| b.pass(Duration::from_secs(10))),
    ];
    for (n, (key, end)) in ways.into_iter().enumerate() {
        let (mut b, tap) = message_begun();
        end(&mut b, tap);
        assert_eq!((b.stops(), b.tap()), (1, None), "way {n}");
        b.recorder(Event::Stopped { tap, duration: Duration::from_millis(4_100), heard: true });
        assert_eq!(b.logged(), [format!("5 {key}")], "way {n}");
    }
}

#[test]
fn a_message_of_nothing_fails_and_so_does_one_that_cannot_be_written() {
    let (mut b, tap) = message_begun();
    b.recorder(Event::Quiet { tap });
    b.recorder(Event::Stopped { tap: TapId(99), duration: Duration::ZERO, heard: true });
    assert!(b.ended.is_empty());
    b.recorder(Event::Stopped { tap, duration: Duration::ZERO, heard: false });
    assert_eq!(b.logged()[0], "nothing");
    assert_eq!(b.states[&b.caller_leg()].tones, Tones::Passed);
    let (mut b, tap) = message_begun();
    assert_eq!(b.states[&b.caller_leg()].tones, Tones::Told, "a caller without events ends it by a tone");
    b.recorder(Event::Failed { tap, why: "the disk is full" });
    assert_eq!(b.logged()[0], "nothing");
    let (mut b, tap) = message_begun();
    b.recorder(Event::Quiet { tap });
    b.pass(Duration::from_secs(2));
    assert_eq!(b.logged()[0], "nothing", "a recorder that is silent");
}

#[test]
fn a_caller_who_hangs_up_leaves_its_message() {
    let mut b = called(MESSAGE);
    let tag = ack(&mut b);
    b.beeped();
    b.receive(CALLER, request("BYE", 1, 2, &tag, ""));
    assert_eq!((b.stops(), b.ended.len()), (1, 1));
    let tap = TapId(1);
    b.recorder(Event::Stopped { tap, duration: Duration::from_secs(1), heard: true });
    b.pass(Duration::from_secs(200));
    assert_eq!(b.switch.counters().calls_active, 0);
}

#[test]
fn a_call_is_recorded_from_a_step_to_its_end_with_pauses() {
    let steps = "[ answer, record_call, { pause: 1s }, { record_call: { action: pause, paused: skip } }, { pause: 1s }, \
                 { record_call: resume }, { record_call: start, on: { failed: { log: twice } } }, { pause: 1s } ]";
    let mut b = called(steps);
    ack(&mut b);
    let tap = b.tap().expect("the call is tapped");
    b.pass(Duration::from_secs(5));
    let at = |s: u64| Instant::from_micros(1 + s * 1_000_000);
    assert_eq!(b.sides(), [Sides::Dual]);
    let rest: Vec<&Order> = b.orders.iter().skip(1).collect();
    let pause = Order::Pause { tap, at: at(1), how: Paused::Skip };
    assert_eq!(rest, [&pause, &Order::Resume { tap, at: at(2) }, &Order::Stop { tap, at: at(3) }]);
    assert!(b.logged().iter().any(|l| l == "twice"));
}

#[test]
fn a_dial_is_recorded_from_the_answer_or_from_the_ringing() {
    for (record, early, sides) in
        [("mono", false, Sides::Mono), ("true", false, Sides::Dual), ("dual-from-ringing", true, Sides::Dual)]
    {
        let dial = format!(
            "[ {{ dial: {{ uri: \"sip:200@127.0.0.1:7000\", record: {record} }}, on: {{ answered: {{ pause: 1s }} }} }} ]"
        );
        let mut b = called(&dial);
        let invite = b.last(CALLEE).clone();
        b.answer(CALLEE, &invite, "180 Ringing", "callee", None);
        assert_eq!(b.orders.len(), usize::from(early), "{record}");
        b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
        assert_eq!((b.sides(), b.tap().is_some()), (vec![sides], true), "{record}");
        ack(&mut b);
        let bye = format!(
            "BYE sip:x@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLEE};branch=z9hG4bKb\r\nMax-Forwards: 70\r\nFrom: {};tag=callee\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            invite.header(HeaderName::To).unwrap_or_default(),
            invite.header(HeaderName::From).unwrap_or_default(),
            invite.header(HeaderName::CallId).unwrap_or_default(),
        );
        b.receive(CALLEE, bye);
        assert_eq!((b.stops(), b.tap()), (1, None), "{record}: what follows the dial is not recorded");
    }
}

#[test]
fn a_recording_that_failed_makes_room_for_another() {
    let mut b = called(
        "[ answer, record_call, { pause: 1s }, { record_call: start, on: { failed: { log: twice } } }, { pause: 1s } ]",
    );
    ack(&mut b);
    let tap = b.tap().expect("the call is tapped");
    b.recorder(Event::Failed { tap, why: "the disk is full" });
    assert_eq!((b.tap(), b.stops()), (None, 1), "nothing is copied for nobody");
    b.pass(Duration::from_millis(1_500));
    assert!(b.tap().is_some_and(|second| second != tap));
    // The first one's failure, told again, is not the second one's.
    b.recorder(Event::Failed { tap, why: "the disk is full" });
    assert!(b.tap().is_some());
    b.pass(Duration::from_secs(10));
    assert!(!b.logged().iter().any(|l| l == "twice"));
}
