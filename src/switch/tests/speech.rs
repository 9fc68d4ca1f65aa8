//! What is said to a gather, and who answers a call: the order of keys, words, prompts and the caller's going.

use super::*;
use crate::media::command::{Event as Media, Hears, TapId};
use crate::speech::machine::{AnsweredBy, Settings as Machine};
use crate::speech::{self, Event, Heard, Listen, Order};
use crate::switch::{MachineAsk, Operator, Originate, Runs};
use crate::verb::Target;

/// A call that runs this document.
fn run(inside: &str) -> Bench {
    let mut b = Bench::new("contexts:\n  any:\n    - do: [ { markup: \"http://a.test/app/voice\" } ]\n");
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(inside);
    b.acknowledge();
    b
}

impl Bench {
    fn listening(&self) -> &Listen {
        let last = self.speech.iter().rev().find_map(|o| if let Order::Listen(l) = o { Some(l) } else { None });
        last.expect("somebody is listened to")
    }

    fn hears(&mut self, what: Heard) {
        let id = self.listening().id;
        self.input(Input::Speech(Event::Heard { id, what }));
    }

    fn says(&mut self, text: &str) {
        self.hears(Heard::Words { text: text.into(), confidence: 0.87 });
    }

    /// Whether the caller's sound goes to whom the latest order names.
    fn is_listened_to(&self) -> bool {
        let id = TapId(self.listening().id.0);
        self.states.values().any(|state| state.listener == Some(id))
    }

    fn gave_up(&self) -> bool {
        self.speech.iter().any(|o| *o == Order::Enough(self.listening().id))
    }

    fn presses(&mut self, digit: char) {
        let leg = *self.hears.keys().next().unwrap();
        self.input(Input::Media(Media::Digit { leg, digit, duration_ms: 100, method: media::Method::Rfc4733 }));
    }
}

const BOTH: &str = "<Gather input='dtmf speech' numDigits='2' timeout='4' speechTimeout='2' maxSpeechTime='30' \
                    language='en-GB' hints='sales, support' action='/said'><Play>menu.wav</Play></Gather>\
                    <Redirect>/silence</Redirect>";

#[test]
fn what_is_said_is_told_and_stops_the_prompt() {
    let mut b = run(BOTH);
    b.serve_file("/cache/menu.wav");
    let speech::What::Words(words) = b.listening().what.clone() else { panic!() };
    assert_eq!((&*words.language, &*words.hints, words.is_partial), ("en-GB", "sales, support", false));
    assert_eq!((words.pause, words.speech_max), (Some(Duration::from_secs(2)), Duration::from_secs(30)));
    assert!(b.is_listened_to() && matches!(b.hears.values().next(), Some(Hears::Play { .. })));
    b.hears(Heard::Began);
    assert!(matches!(b.hears.values().next(), Some(Hears::Silence)), "the prompt has stopped");
    // Nobody is hurried while speaking.
    b.pass(Duration::from_secs(25));
    b.says("sales please");
    assert_eq!(&*b.asked().address.url, "http://a.test/said");
    assert_eq!((b.parameter("SpeechResult"), b.parameter("Confidence")), (Some("sales please"), Some("0.87")));
    assert_eq!(b.parameter("Digits"), None);
    assert!(!b.is_listened_to());
    b.serve("<Hangup/>");
    b.caller_hangs_up();
    b.nothing_is_left();
}

#[test]
fn keys_and_words_exclude_each_other() {
    let mut b = run(BOTH);
    b.serve_file("/cache/menu.wav");
    b.presses('1');
    assert!(b.gave_up() && !b.is_listened_to(), "a key was pressed: nobody listens");
    b.says("too late");
    b.presses('2');
    assert_eq!((b.parameter("Digits"), b.parameter("SpeechResult")), (Some("12"), None));

    let mut b = run("<Gather input='speech' action='/said'/>");
    b.presses('1');
    b.says("one");
    assert_eq!((b.parameter("SpeechResult"), b.parameter("Digits")), (Some("one"), None));
}

/// A document, what happens, and where the call is then.
type Row<'a> = (&'a str, fn(&mut Bench), Option<(&'a str, Option<&'a str>)>);

#[test]
fn a_gather_of_speech_ends_as_its_attributes_say() {
    let silence: fn(&mut Bench) = |b| b.pass(Duration::from_millis(5_100));
    let mumble: fn(&mut Bench) = |b| {
        for _ in 0..3 {
            b.hears(Heard::Began);
            b.says("");
        }
    };
    let rows: [Row<'_>; 9] = [
        ("<Gather input='speech' action='/said'/><Redirect>/after</Redirect>", silence, Some(("/after", None))),
        ("<Gather input='speech' action='/said' timeout='20'/><Redirect>/after</Redirect>", silence, None),
        ("<Gather input='speech' action='/said' actionOnEmptyResult='true'/>", silence, Some(("/said", Some("")))),
        ("<Gather input='speech' action='/said'/><Redirect>/after</Redirect>", mumble, Some(("/after", None))),
        (
            "<Gather input='speech' action='/said'/>",
            |b| {
                b.hears(Heard::Began);
                b.says("");
                b.says("at last");
            },
            Some(("/said", Some("at last"))),
        ),
        (
            "<Gather input='speech' action='/said'/><Redirect>/after</Redirect>",
            |b| b.hears(Heard::Failed("it is gone".into())),
            Some(("/after", None)),
        ),
        (
            "<Gather input='dtmf speech' numDigits='1' action='/said'/><Redirect>/after</Redirect>",
            |b| {
                b.hears(Heard::Failed("it is gone".into()));
                b.presses('5');
            },
            Some(("/said", None)),
        ),
        (
            "<Gather input='speech' action='/said'/><Redirect>/after</Redirect>",
            |b| {
                b.hears(Heard::Began);
                // A recogniser that says nothing more is not waited for without end.
                b.pass(Duration::from_secs(85));
            },
            Some(("/after", None)),
        ),
        (
            "<Gather input='speech' action='/said' bargeIn='false'><Say>Hello</Say></Gather>",
            |b| assert!(!b.speech.iter().any(|o| matches!(o, Order::Listen(_)))),
            None,
        ),
    ];
    for (inside, then, expected) in rows {
        let mut b = run(inside);
        then(&mut b);
        let asked = (b.fetches() > 1).then(|| b.asked().address.url.strip_prefix("http://a.test").unwrap().to_owned());
        assert_eq!(asked.as_deref(), expected.map(|(url, _)| url), "{inside}");
        if let Some((_, said)) = expected {
            assert_eq!(b.parameter("SpeechResult"), said, "{inside}");
        }
        b.caller_hangs_up();
        b.nothing_is_left();
    }
}

#[test]
fn what_is_understood_so_far_is_told_where_that_is_asked_for() {
    let mut b = run("<Gather input='speech' partialResultCallback='/part' partialResultCallbackMethod='GET' \
                     speechTimeout='auto'/>");
    assert!(matches!(&b.listening().what, speech::What::Words(w) if w.is_partial && w.pause.is_none()));
    b.hears(Heard::Began);
    b.hears(Heard::Partial("I".into()));
    b.hears(Heard::Partial("I want".into()));
    let told: Vec<_> = b.callbacks().iter().map(|c| (c.address.url.to_string(), c.parameters.clone())).collect();
    assert_eq!(told.len(), 2);
    let of = |n: usize, name: &str| told[n].1.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
    assert_eq!(told[1].0, "http://a.test/part");
    assert_eq!(of(1, "UnstableSpeechResult").as_deref(), Some("I want"));
    assert_eq!((of(0, "SequenceNumber").as_deref(), of(1, "SequenceNumber").as_deref()), (Some("0"), Some("1")));
}

#[test]
fn nobody_listens_to_a_secret() {
    let mut setup = setup("contexts:\n  any:\n    - do: [ { markup: \"http://a.test/app/voice\" } ]\n");
    let mut config = (*setup.config).clone();
    config.pci = true;
    setup.config = Arc::new(config);
    let mut b = Bench::with(setup);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve("<Gather input='speech'/><Gather input='dtmf speech'/>");
    b.acknowledge();
    assert!(!b.speech.iter().any(|o| matches!(o, Order::Listen(_))));
    assert!(b.states.values().all(|s| s.listener.is_none()));
}

#[test]
fn a_dialplan_hears_speech_too() {
    let plan = "contexts:\n  any:\n    - do:\n        - gather: { input: dtmf speech, hints: \"yes, no\", speech_timeout: 1s }\n        \
                - branch: { if: '\"${speech}\" == \"yes\"', do: { play: right.wav } }\n";
    let mut b = Bench::new(plan);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    assert!(matches!(&b.listening().what, speech::What::Words(w) if &*w.hints == "yes, no"));
    b.says("yes");
    assert_eq!(b.heard(), "play right.wav");
}

#[test]
fn the_caller_may_hang_up_at_each_point_of_a_gather() {
    // What happens, and how many listenings end by it themselves.
    type Point = (fn(&mut Bench), usize);
    let points: [Point; 5] = [
        (|_| {}, 0),
        (|b| b.hears(Heard::Began), 0),
        (|b| b.presses('1'), 0),
        (|b| b.says("sales"), 1),
        (
            |b| {
                b.says("sales");
                b.serve("<Gather input='speech'/>");
            },
            1,
        ),
    ];
    for (point, ends) in points {
        let mut b = run(BOTH);
        point(&mut b);
        b.caller_hangs_up();
        let over = b.speech.iter().filter(|o| matches!(o, Order::Enough(_))).count();
        let begun = b.speech.iter().filter(|o| matches!(o, Order::Listen(_))).count();
        assert_eq!(over + ends, begun);
        b.nothing_is_left();
    }
}

// ---- answering machines ------------------------------------------------------------------------------------------------

fn placed(machine: MachineAsk) -> Bench {
    let mut b = Bench::new(DIAL);
    let document =
        crate::markup::read_xml(b"<Response><Redirect>http://a.test/voice</Redirect></Response>", "x").unwrap();
    let script = crate::verb::Script::new(Arc::new(document.program), document.entry, Wall(0));
    let ask = Operator::Originate(Box::new(Originate {
        targets: vec![Target::Uri("sip:200@127.0.0.1:7000".into())],
        to: "200".into(),
        from: "100".into(),
        from_name: String::new(),
        timeout: Duration::from_secs(20),
        time_limit: None,
        headers: vec![],
        codecs: vec![],
        runs: Runs::Script { script: Box::new(script), at: "x".into() },
        variables: vec![],
        told: None,
        machine: Some(machine),
    }));
    b.input(Input::Operator { id: 1, ask });
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    b
}

#[test]
fn a_call_of_ours_waits_until_it_is_known_who_answers() {
    let settings = Machine { to_end: true, ..Machine::default() };
    let mut b = placed(MachineAsk { settings, waits: true, told: None });
    assert!(b.fetches() == 0 && b.is_listened_to());
    assert_eq!(b.listening().what, speech::What::Machine(settings));
    let after = Duration::from_millis(4_200);
    b.hears(Heard::Answered { by: AnsweredBy::MachineEndBeep, after });
    assert_eq!(b.parameter("AnsweredBy"), Some("machine_end_beep"));
    assert!(!b.is_listened_to());
    b.input(Input::Operator { id: 2, ask: Operator::Calls });
    let Some(Reply::Calls(calls)) = b.replies.last() else { panic!() };
    assert_eq!(calls[0].answered_by, Some("machine_end_beep"));

    // A listener that never says anything does not hold the call up.
    let mut b = placed(MachineAsk { settings, waits: true, told: None });
    b.pass(Duration::from_secs(33));
    assert_eq!(b.parameter("AnsweredBy"), Some("unknown"));
    let mut b = placed(MachineAsk { settings, waits: true, told: None });
    b.hears(Heard::Failed("nobody".into()));
    assert_eq!(b.parameter("AnsweredBy"), Some("unknown"));
}

#[test]
fn who_answers_is_told_beside_the_call() {
    let told = Some(crate::web::Address::new("http://a.test/amd", crate::web::Method::Post));
    let mut b = placed(MachineAsk { settings: Machine::default(), waits: false, told });
    assert_eq!((b.fetches(), b.parameter("AnsweredBy")), (1, None), "the script runs");
    b.hears(Heard::Answered { by: AnsweredBy::Human, after: Duration::from_millis(1_900) });
    let callback = b.callbacks()[0];
    let of = |name: &str| callback.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!((of("AnsweredBy"), of("MachineDetectionDuration")), (Some("human"), Some("1900")));
    assert_eq!(&*callback.address.url, "http://a.test/amd");
}

/// Attributes of a noun, and what is listened for; `None`: nobody listens.
#[test]
fn nouns_of_a_dial_have_machines_detected() {
    let ms = Duration::from_millis;
    let usual = Machine::default();
    let rows = [
        ("", None),
        ("machineDetection='Enable'", Some(usual)),
        ("machineDetection='DetectMessageEnd'", Some(Machine { to_end: true, ..usual })),
        (
            "machineDetection='Enable' machineDetectionTimeout='10' machineDetectionSpeechThreshold='1500' \
             machineDetectionSpeechEndThreshold='900' machineDetectionSilenceTimeout='3000'",
            Some(Machine {
                to_end: false,
                timeout: ms(10_000),
                speech: ms(1_500),
                speech_end: ms(900),
                silence: ms(3_000),
            }),
        ),
    ];
    for (attributes, expected) in rows {
        let mut b = run(&format!(
            "<Dial><Sip amdStatusCallback='/amd' amdStatusCallbackMethod='GET' {attributes}>sip:200@127.0.0.1:7000</Sip></Dial>"
        ));
        let invite = b.last(CALLEE).clone();
        b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
        let what = b.speech.iter().find_map(|o| if let Order::Listen(l) = o { Some(l.what.clone()) } else { None });
        assert_eq!(what, expected.map(speech::What::Machine), "{attributes}");
        if expected.is_some() {
            b.hears(Heard::Answered { by: AnsweredBy::Fax, after: ms(600) });
            let callback = b.callbacks()[0];
            let of = |name: &str| callback.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            assert_eq!((of("AnsweredBy"), &*callback.address.url), (Some("fax"), "http://a.test/amd"));
            assert_eq!(callback.address.method, crate::web::Method::Get);
            assert_ne!(of("CallSid"), of("ParentCallSid"));
        }
        b.caller_hangs_up();
        let bye = b.last(CALLEE).clone();
        b.answer(CALLEE, &bye, "200 OK", "", None);
        b.nothing_is_left();
    }
}
