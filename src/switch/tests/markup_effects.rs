//! Attributes of markup by what they do to a call: tables, a row each.

use super::*;
use crate::media::command::Hears;
use crate::web::Method as Verb;

/// A call that runs this document.
fn run(inside: &str) -> Bench {
    let mut b = Bench::new("contexts:\n  any:\n    - do: [ { markup: \"http://a.test/app/voice\" } ]\n");
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(inside);
    b.acknowledge();
    b
}

#[test]
fn methods_of_requests_are_as_written() {
    // A document, what makes the request, and its method.
    type Row = (&'static str, fn(&mut Bench), Verb);
    let nothing: fn(&mut Bench) = |_| {};
    let rows: [Row; 6] = [
        ("<Enqueue waitUrl='w' waitUrlMethod='GET'>q</Enqueue>", nothing, Verb::Get),
        ("<Enqueue waitUrl='w' waitUrlMethod='post'>q</Enqueue>", nothing, Verb::Post),
        ("<Enqueue waitUrl='w'>q</Enqueue>", nothing, Verb::Post),
        ("<Enqueue waitUrl='w' action='a' method='GET'>q</Enqueue>", |b| b.serve("<Leave/>"), Verb::Get),
        ("<Enqueue waitUrl='w' action='a'>q</Enqueue>", |b| b.serve("<Leave/>"), Verb::Post),
        ("<Redirect method='GET'>r</Redirect>", nothing, Verb::Get),
    ];
    for (inside, then, method) in rows {
        let mut b = run(inside);
        then(&mut b);
        assert_eq!(b.asked().address.method, method, "{inside}");
    }
}

#[test]
fn what_is_heard_before_anything_else() {
    type Row = (&'static str, fn(&Hears) -> bool);
    let rows: [Row; 2] = [
        ("<Enqueue>q</Enqueue>", |h| matches!(h, Hears::Play { loops: 0, .. })),
        ("<Dial><Queue>q</Queue></Dial>", |h| matches!(h, Hears::Tone { .. })),
    ];
    for (inside, is_heard) in rows {
        let b = run(inside);
        let hears = b.hears.values().next().expect("the caller has media");
        assert!(is_heard(hears), "{inside}: {hears:?}");
    }
}

/// A call in a conference whose dial has these attributes, and whose noun has those.
fn confer(dial: &str, noun: &str) -> Bench {
    run(&format!("<Dial {dial}><Conference {noun}>room</Conference></Dial><Redirect>next</Redirect>"))
}

impl Bench {
    /// A second one comes into the conference.
    fn second(&mut self, noun: &str) -> String {
        let invite = request("INVITE", 2, 1, "", &sdp(4000));
        self.receive(CALLER, invite);
        self.serve(&format!("<Dial><Conference {noun}>room</Conference></Dial>"));
        self.acknowledge_as(2)
    }

    fn acknowledge_as(&mut self, n: usize) -> String {
        let tag = format!(";tag={}", self.last(CALLER).to_tag());
        self.receive(CALLER, request("ACK", n, 1, &tag, ""));
        tag
    }

    /// Events that were told, in order.
    fn events(&self) -> Vec<&str> {
        let all = self.callbacks().into_iter();
        let event = |c: &'_ crate::web::Callback| c.parameters.iter().position(|(n, _)| n == "StatusCallbackEvent");
        all.filter_map(|c| Some(c.parameters[event(c)?].1.as_str())).collect()
    }

    fn told(&self, name: &str) -> Option<&str> {
        let callback = self.callbacks().into_iter().next_back()?;
        callback.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn operate(&mut self, ask: Operator) {
        self.input(Input::Operator { id: 9, ask });
    }
}

#[test]
fn a_conference_tells_what_is_asked_for_and_its_ending() {
    let all = "statusCallback='/told' statusCallbackMethod='GET' participantLabel='chair' \
               statusCallbackEvent='start end join leave mute hold modify speaker announcement'";
    let mut b = confer("", all);
    let tag = b.second("endConferenceOnExit='true' participantLabel='agent'");
    assert_eq!(b.events(), ["participant-join", "participant-join", "conference-start"]);
    let callback = b.callbacks()[0];
    assert_eq!((&*callback.address.url, callback.address.method), ("http://a.test/told", Verb::Get));
    let view = b.view();
    assert_eq!(b.told("ConferenceSid"), Some(&*view.sid));
    assert_eq!(view.participants.iter().map(|p| p.label.as_str()).collect::<Vec<_>>(), ["chair", "agent"]);
    let call = view.participants[0].call;
    let leg = *b.hears.keys().next().unwrap();
    let change = |change| Operator::Participant { conference: "room".into(), call, change };
    let rows: [(Input, &[&str]); 8] = [
        (
            Input::Operator { id: 1, ask: change(Change { muted: Some(true), ..Change::default() }) },
            &["participant-mute"],
        ),
        (Input::Operator { id: 1, ask: change(Change { muted: Some(true), ..Change::default() }) }, &[]),
        (
            Input::Operator { id: 1, ask: change(Change { muted: Some(false), ..Change::default() }) },
            &["participant-unmute"],
        ),
        (
            Input::Operator { id: 1, ask: change(Change { hold: Some(true), ..Change::default() }) },
            &["participant-hold"],
        ),
        (
            Input::Operator { id: 1, ask: change(Change { hold: Some(false), ..Change::default() }) },
            &["participant-unhold"],
        ),
        (
            Input::Operator { id: 1, ask: change(Change { coach: Some("x".into()), ..Change::default() }) },
            &["participant-modify"],
        ),
        (Input::Media(media::Event::Speaker { room: media::RoomId(1), leg: Some(leg) }), &["participant-speech-start"]),
        (Input::Media(media::Event::Speaker { room: media::RoomId(1), leg: None }), &["participant-speech-stop"]),
    ];
    for (input, expected) in rows {
        let before = b.events().len();
        b.input(input);
        assert_eq!(&b.events()[before..], expected);
    }
    b.bye(2, &tag);
    let events = b.events();
    assert_eq!(&events[events.len() - 3..], ["participant-leave", "participant-leave", "conference-end"]);
    assert_eq!(b.told("ReasonConferenceEnded"), Some("participant-with-end-conference-on-exit-left"));
    assert_eq!(b.told("ParticipantLabelEndingConference"), Some("agent"));
    assert_eq!(b.told("SequenceNumber"), Some(&*(events.len() - 1).to_string()));
    // Only what is asked for; "start end" if nothing is.
    for (events, expected) in
        [("statusCallbackEvent='join'", &["participant-join"; 2][..]), ("", &["conference-start"])]
    {
        let mut b = confer("", &format!("statusCallback='/told' {events}"));
        b.second("");
        assert_eq!(b.events(), expected);
    }
    // The event URL is another name for it.
    let b = confer("", "eventCallbackUrl='/told'");
    assert_eq!(b.events(), ["participant-join"]);
}

#[test]
fn music_of_a_conference_is_ours_what_a_document_plays_or_none() {
    let music = |b: &Bench| match b.room().music.clone().map(|m| m.what) {
        Some(media::Sounding::File { file, loops: 0 }) => file.to_string(),
        other => format!("{other:?}"),
    };
    let b = confer("", "");
    assert_eq!(music(&b), crate::media::HOLD_MUSIC);
    let b = confer("", "waitUrl=''");
    assert_eq!(music(&b), "None");
    let mut b = confer("", "waitUrl='wait' waitMethod='GET'");
    assert_eq!((&*b.asked().address.url, b.asked().address.method), ("http://a.test/app/wait", Verb::Get));
    b.serve("<Play>jazz.wav</Play>");
    assert_eq!(&*b.asked().address.url, "http://a.test/app/jazz.wav");
    b.serve_file("/cache/jazz.wav");
    assert_eq!(music(&b), "/cache/jazz.wav");
    // What plays nothing leaves silence, and nobody falls out of the conference.
    let mut b = confer("", "waitUrl='wait'");
    b.serve("<Hangup/>");
    assert_eq!((music(&b), b.members()), ("None".to_owned(), "w".to_owned()));
}

#[test]
fn a_dial_to_a_conference_ends_by_its_time_or_by_the_star() {
    let mut b = confer("timeLimit='30' action='over'", "");
    b.pass(Duration::from_secs(29));
    assert_eq!(b.rooms.len(), 1);
    b.pass(Duration::from_secs(2));
    assert_eq!((b.rooms.len(), &*b.asked().address.url), (0, "http://a.test/app/over"));
    for (star, url) in [("true", "http://a.test/app/next"), ("false", "http://a.test/app/voice")] {
        let mut b = confer(&format!("hangupOnStar='{star}'"), "");
        b.keys("*");
        assert_eq!(&*b.asked().address.url, url);
    }
}

#[test]
fn a_conference_is_recorded_whole_from_its_beginning() {
    let asked = "record='record-from-start' recordingStatusCallback='/rec' recordingStatusCallbackMethod='GET' \
                 recordingStatusCallbackEvent='in-progress completed' trim='do-not-trim'";
    let mut b = confer("", asked);
    assert!(b.orders.is_empty(), "it has not begun");
    let first = format!(";tag={}", b.last(CALLER).to_tag());
    let tag = b.second("record='record-from-start'");
    assert_eq!(b.orders.len(), 1, "one recording, whoever asks too: {:?}", b.orders);
    let (tap, sid) = (b.recording().tap, b.view().sid);
    assert_eq!((b.room().tap, b.recording().trim), (Some(tap), false));
    assert_eq!(b.recording().conference.map(|c| format!("CF{c:032x}")), Some(sid.clone()));
    let callback = b.callbacks().last().map(|c| (c.address.url.to_string(), c.address.method));
    assert_eq!(callback, Some(("http://a.test/rec".to_owned(), Verb::Get)));
    assert_eq!((b.told("RecordingStatus"), b.told("ConferenceSid")), (Some("in-progress"), Some(&*sid)));
    let change = |asked| Operator::RecordConference { conference: "room".into(), only: None, asked };
    b.operate(change(crate::verb::RecordCall::Pause { skip: true }));
    b.operate(change(crate::verb::RecordCall::Resume));
    assert!(matches!(b.orders[1..], [Order::Pause { .. }, Order::Resume { .. }]), "{:?}", b.orders);
    // Who asked for it leaves, and it goes on; with the last one it ends.
    b.receive(CALLER, request("BYE", 1, 2, &first, ""));
    assert_eq!((b.view().participants.len(), b.room().tap, b.orders.len()), (1, Some(tap), 3));
    b.receive(CALLER, request("BYE", 2, 2, &tag, ""));
    assert!(matches!(b.orders[3..], [Order::Stop { tap: stopped, .. }] if stopped == tap), "{:?}", b.orders);
    assert_eq!(b.told("RecordingStatus"), Some("in-progress"));
    b.recorded();
    assert_eq!((b.told("RecordingStatus"), b.told("RecordingDuration")), (Some("completed"), Some("4")));

    let mut b = confer("", "record='record-from-start'");
    b.second("");
    assert!(b.recording().trim, "silence is cut unless it is asked for");
    assert_eq!(b.callbacks().len(), 0);
    b.operate(change(crate::verb::RecordCall::Stop));
    assert_eq!((b.room().tap, b.orders.len()), (None, 2));
    let mut b = confer("", "");
    b.second("");
    assert!(b.orders.is_empty());
}

#[test]
fn announcements_and_music_on_hold_come_from_documents() {
    let mut b = confer("", "statusCallback='/told' statusCallbackEvent='announcement'");
    b.second("");
    let address = |url: &str| crate::web::Address::new(url, Verb::Get);
    b.operate(Operator::AnnounceUrl { conference: "room".into(), address: address("http://b.test/news") });
    assert_eq!((&*b.asked().address.url, b.parameter("FriendlyName")), ("http://b.test/news", Some("room")));
    b.serve("<Play>n.wav</Play>");
    b.serve_file("/cache/n.wav");
    let news = b.room().announcement.clone().unwrap();
    b.input(Input::Media(media::Event::RoomPlayEnded { room: media::RoomId(1), id: news.id, played: true }));
    assert_eq!(b.events(), ["announcement-end"]);
    b.operate(Operator::AnnounceUrl { conference: "room".into(), address: address("http://b.test/none") });
    b.serve("<Hangup/>");
    assert_eq!(b.events(), ["announcement-end", "announcement-fail"]);

    let call = b.view().participants[0].call;
    let change = |change| Operator::Participant { conference: "room".into(), call, change };
    let hold_url = Some(address("http://b.test/hold"));
    b.operate(change(Change { hold: Some(true), hold_url, ..Change::default() }));
    b.serve("<Play>h.wav</Play>");
    b.serve_file("/cache/h.wav");
    assert_eq!(b.heard(), "play /cache/h.wav");
    b.operate(change(Change { hold: Some(false), ..Change::default() }));
    assert_eq!(b.heard(), "Room(RoomId(1))");
    b.operate(change(Change { announce_url: Some(address("http://b.test/you")), ..Change::default() }));
    b.serve("<Play>y.wav</Play>");
    b.serve_file("/cache/y.wav");
    assert_eq!(b.heard(), "play /cache/y.wav");
    b.prompt_ends();
    assert_eq!(b.heard(), "Room(RoomId(1))");
}

#[test]
fn options_of_a_conference_do_what_they_say() {
    // The first one's attributes, the second one's, and the members then.
    let rows = [
        ("", "", "TT"),
        ("startConferenceOnEnter='false'", "startConferenceOnEnter='false'", "ww"),
        ("muted='true'", "", "mT"),
        ("", "coach='nobody'", "Tm"),
        ("maxParticipants='2'", "maxParticipants='2'", "TT"),
    ];
    for (first, second, members) in rows {
        let mut b = confer("", first);
        b.second(second);
        assert_eq!(b.members(), members, "{first} {second}");
    }
    for (beep, is_heard) in [("true", true), ("false", false), ("onEnter", true), ("onExit", false)] {
        let mut b = confer("", "");
        b.second(&format!("beep='{beep}'"));
        assert_eq!(b.beep().is_some(), is_heard, "{beep}");
    }
}

use crate::recording::command::{Order, Start};

impl Bench {
    fn recording(&self) -> &Start {
        let start = self.orders.iter().rev().find_map(|o| if let Order::Start(start) = o { Some(start) } else { None });
        start.expect("a recording has begun")
    }

    /// The recorder has ended the latest recording.
    fn recorded(&mut self) {
        let tap = self.recording().tap;
        let duration = Duration::from_secs(4);
        self.input(Input::Recording(crate::recording::command::Event::Stopped { tap, duration, heard: true }));
    }
}

const SIP: &str = "<Sip>sip:200@127.0.0.1:7000</Sip>";

/// A dial whose called party answers, or not.
fn dialled(document: &str, status: &str) -> Bench {
    let mut b = run(document);
    let invite = b.last(CALLEE).clone();
    assert_eq!(invite.method(), Method::Invite, "{document}");
    b.answer(CALLEE, &invite, status, "callee", status.starts_with('2').then_some(5000));
    b
}

#[test]
fn attributes_of_a_message_that_is_recorded() {
    let mut b = run("<Record action='did' method='GET' maxLength='9' timeout='3' trim='do-not-trim' playBeep='false' \
                     finishOnKey='5' recordingStatusCallback='/rec' recordingStatusCallbackMethod='GET'/>");
    let start = b.recording();
    assert_eq!((start.trim, start.quiet_after), (false, Some(Duration::from_secs(3))));
    b.keys("4");
    assert_eq!(b.orders.len(), 1, "another key");
    b.keys("5");
    b.recorded();
    assert_eq!((&*b.asked().address.url, b.asked().address.method), ("http://a.test/app/did", Verb::Get));
    assert_eq!((b.parameter("Digits"), b.parameter("RecordingDuration")), (Some("5"), Some("4")));
    let told = b.callbacks()[0];
    assert_eq!((&*told.address.url, told.address.method), ("http://a.test/rec", Verb::Get));

    let mut b = run("<Record playBeep='true' maxLength='9' timeout='0'/>");
    assert!(b.orders.is_empty(), "the beep comes first: {}", b.heard());
    let leg = b.media_leg();
    let Some(Hears::Tone { id, .. }) = b.hears.get(&leg).cloned() else { panic!() };
    b.input(Input::Media(media::Event::PlayEnded { leg, id, played: true }));
    assert_eq!((b.recording().trim, b.recording().quiet_after), (true, None));
    b.pass(Duration::from_secs(8));
    assert_eq!(b.orders.len(), 1);
    b.pass(Duration::from_secs(2));
    b.recorded();
    // Without an action the document is asked for again.
    assert_eq!(&*b.asked().address.url, "http://a.test/app/voice");
    // The events are those that are asked for.
    let mut b = run("<Record playBeep='false' recordingStatusCallback='/rec' recordingStatusCallbackEvent='absent'/>");
    b.keys("1");
    b.recorded();
    assert!(b.callbacks().is_empty());
}

#[test]
fn attributes_of_a_dial() {
    let mut b = dialled(&format!("<Dial action='did' method='GET'>{SIP}</Dial>"), "486 Busy Here");
    assert_eq!((b.asked().address.method, b.parameter("DialCallStatus")), (Verb::Get, Some("busy")));
    b.serve("<Hangup/>");
    let b = dialled(&format!("<Dial record='record-from-answer-dual' trim='trim-silence'>{SIP}</Dial>"), "200 OK");
    let start = b.recording();
    assert_eq!((start.trim, format!("{:?}", start.sides)), (true, "Dual".to_owned()));
    let b = dialled(&format!("<Dial record='do-not-record'>{SIP}</Dial>"), "200 OK");
    assert!(b.orders.is_empty());
    let b = dialled(&format!("<Dial record='record-from-ringing'>{SIP}</Dial>"), "180 Ringing");
    assert_eq!(b.orders.len(), 1);
    let callback = "recordingStatusCallback='/rec' recordingStatusCallbackMethod='GET'";
    for (event, count) in [("", 1), ("recordingStatusCallbackEvent='absent'", 0)] {
        let mut b = dialled(&format!("<Dial record='true' {callback} {event}>{SIP}</Dial>"), "200 OK");
        b.recorded();
        assert_eq!(b.callbacks().iter().filter(|c| c.address.method == Verb::Get).count(), count, "{event}");
    }
    let b = dialled(&format!("<Dial ringTone='de'>{SIP}</Dial>"), "180 Ringing");
    assert!(matches!(b.hears[&b.media_leg()].clone(), Hears::Tone { country, .. } if &*country == "de"));
    let b = run(&format!("<Dial callerId='+15550001'>{SIP}</Dial>"));
    assert!(b.last(CALLEE).header(HeaderName::From).is_some_and(|from| from.contains("+15550001")));
    let mut b = run(&format!("<Dial timeout='7' action='did'>{SIP}</Dial>"));
    b.pass(Duration::from_secs(9));
    assert_eq!(b.parameter("DialCallStatus"), Some("no-answer"));
}

#[test]
fn attributes_of_a_sip_address() {
    let document = "<Dial><Sip url='w' method='GET' statusCallback='/s' statusCallbackMethod='GET' \
                    statusCallbackEvent='answered'>sip:200@127.0.0.1:7000?X-Query=q%20r</Sip></Dial>";
    let b = dialled(document, "200 OK");
    assert_eq!((&*b.asked().address.url, b.asked().address.method), ("http://a.test/app/w", Verb::Get));
    assert_eq!(b.callbacks().iter().map(|c| c.address.method).collect::<Vec<_>>(), [Verb::Get]);
    let mut b = run("<Dial><Sip><Uri priority='9'>sip:later@127.0.0.1:7000</Uri>\
                     <Uri priority='1'>sip:first@127.0.0.1:7000</Uri>\
                     <Headers><Header name='X-Account' value='42'/></Headers></Sip></Dial>");
    let invite = b.last(CALLEE).clone();
    let value =
        |m: &Message, name: &str| m.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned());
    assert_eq!((invite.request_uri(), value(&invite, "x-account")), ("sip:first@127.0.0.1:7000", Some("42".into())));
    b.answer(CALLEE, &invite, "503 Service Unavailable", "callee", None);
    assert_eq!(b.last(CALLEE).request_uri(), "sip:later@127.0.0.1:7000");
}

#[test]
fn a_prompt_goes_on_where_keys_may_not_stop_it() {
    for (barge_in, heard) in [("true", "silence"), ("false", "play /cache/m.wav")] {
        let mut b = run(&format!("<Gather bargeIn='{barge_in}'><Play>m.wav</Play></Gather>"));
        b.serve_file("/cache/m.wav");
        b.keys("4");
        assert_eq!(b.heard(), heard);
    }
}

#[test]
fn a_recording_of_the_call_is_told() {
    let mut b =
        run("<Say>x</Say><Start><Recording recordingStatusCallback='/rec' recordingStatusCallbackMethod='GET' \
                     recordingStatusCallbackEvent='completed' channels='mono'/></Start><Pause length='9'/>");
    b.speak(&["x.wav"]);
    b.prompt_ends();
    assert_eq!(format!("{:?}", b.recording().sides), "Mono");
    b.recorded();
    assert_eq!(b.callbacks().iter().map(|c| c.address.method).collect::<Vec<_>>(), [Verb::Get]);
}

#[test]
fn a_number_of_the_rest_api_is_answered_by_its_application_where_the_dialplan_has_no_rule() {
    let plan = "contexts:\n  any:\n    - match: { to: \"+15550002\" }\n      do: [ { reject: 486 } ]\n";
    let address = |url: &str| crate::web::Address::new(url, Verb::Get);
    let number = |sid: &str| NumberSetting {
        sid: sid.into(),
        answers: Answers::Application {
            voice: address("http://n.test/voice"),
            fallback: Some(address("http://n.test/spare")),
        },
        status: Some(address("http://n.test/status")),
    };
    let numbers = [("15550001", "PN1"), ("15550002", "PN2")].map(|(digits, sid)| (digits.to_owned(), number(sid)));
    // A number as it is dialled, and whether the application is asked; else the status.
    for (to, expected) in [("+15550001", 0), ("15550001", 0), ("1-555-0001", 0), ("+15550002", 486), ("5550001", 404)] {
        let mut b = Bench::new(plan);
        let settings = Settings { numbers: numbers.clone().into(), ..Settings::default() };
        b.operate(Operator::Settings(Box::new(settings)));
        b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)).replace("sip:100@", &format!("sip:{to}@")));
        if expected > 0 {
            assert_eq!((b.last(CALLER).status(), b.fetches()), (expected, 0), "{to}");
            continue;
        }
        let asked = b.asked();
        assert_eq!((&*asked.address.url, asked.address.method), ("http://n.test/voice", Verb::Get), "{to}");
        assert_eq!(asked.fallback.as_ref().map(|f| &*f.url), Some("http://n.test/spare"));
        b.serve("<Reject/>");
        assert_eq!(b.told("CallStatus"), Some("no-answer"));
        assert_eq!(b.ended[0].cdr.rule, "PN1");
    }
}

#[test]
fn a_talk_that_is_over_by_its_time_ends_the_called_leg_alone() {
    let mut b = run("<Dial timeLimit='30'><Sip>sip:200@127.0.0.1:7000</Sip></Dial><Redirect>after</Redirect>");
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    b.pass(Duration::from_secs(29));
    assert_eq!((b.last(CALLEE).method(), b.fetches()), (Method::Ack, 1));
    b.pass(Duration::from_secs(2));
    assert_eq!((b.last(CALLEE).method(), &*b.asked().address.url), (Method::Bye, "http://a.test/app/after"));
    assert!(b.ended.is_empty());
    // A dialplan that has nothing for what follows ends the call, as it is over by its time.
    let plan = DIAL.replace("timeout: 20s", "time_limit: 30s");
    let mut b = Bench::new(&plan);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    b.acknowledge();
    b.pass(Duration::from_secs(31));
    assert_eq!(b.ended[0].cdr.ending, Ending::new(Class::Tandem, "time_limit", 0));
}

#[test]
fn a_file_is_played_as_often_as_asked_and_an_echo_is_one() {
    for (loops, plays) in [("", 1), ("loop='3'", 3), ("loop='1'", 1)] {
        let mut b = run(&format!("<Play {loops}>/tune.wav</Play><Redirect>/rest</Redirect>"));
        b.serve_file("/cache/tune.wav");
        for _ in 0..plays {
            assert_eq!(b.heard(), "play /cache/tune.wav", "{loops}");
            b.prompt_ends();
        }
        assert_eq!(&*b.asked().address.url, "http://a.test/rest", "{loops}");
    }
    let b = run("<Echo/>");
    assert!(matches!(b.hears.values().next(), Some(Hears::Echo)), "{:?}", b.hears);
}

#[test]
fn ssml_is_spoken_as_it_stands() {
    let b = run("<Say>A <break time='2s'/> <emphasis level='strong'>b</emphasis></Say>");
    let Some(crate::speech::Order::Say(say)) = b.speech.last() else { panic!("nothing is said") };
    assert!(say.is_ssml && say.text.contains("<break time=") && say.text.contains("2s"), "{}", say.text);
    assert!(say.text.contains("<emphasis") && say.text.contains(">b</emphasis>"), "{}", say.text);
}

/// A call that dials two.
fn dials(attributes: &str) -> Bench {
    let two = "<Sip>sip:200@127.0.0.1:7000</Sip><Sip>sip:201@127.0.0.1:7001</Sip>";
    let mut b = Bench::new("contexts:\n  any:\n    - do: [ { markup: \"http://a.test/app/voice\" } ]\n");
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(&format!("<Dial {attributes}>{two}</Dial>"));
    b
}

#[test]
fn the_caller_is_answered_when_somebody_else_has() {
    let mut b = dials("answerOnBridge='true'");
    let invite = b.last(CALLEE).clone();
    let caller: SocketAddr = CALLER.parse().expect("an address");
    assert!(b.sent.iter().all(|(to, m)| *to != caller || m.status() < 200));
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    assert_eq!(b.last(CALLER).status(), 200);
    for attributes in ["", "answerOnBridge='false'"] {
        assert_eq!(dials(attributes).last(CALLER).status(), 200, "{attributes}");
    }
}

#[test]
fn one_is_called_after_the_other() {
    const OTHER: &str = "127.0.0.1:7001";
    let called = |b: &Bench, who: &str| {
        let who: SocketAddr = who.parse().expect("an address");
        b.sent.iter().any(|(to, m)| *to == who && m.method() == Method::Invite)
    };
    let b = dials("");
    assert!(called(&b, CALLEE) && called(&b, OTHER));
    let mut b = dials("sequential='true'");
    assert!(called(&b, CALLEE) && !called(&b, OTHER));
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "486 Busy Here", "callee", None);
    b.acknowledge();
    assert!(called(&b, OTHER));
}

#[test]
fn a_text_goes_to_the_outbox_and_its_action_is_told() {
    let long = "x".repeat(1_601);
    // What the document says of it; from, to and who is told; whether it is sent.
    let rows = [
        ("", ("100", "+1212"), None, true),
        (
            "from='+15550001' to='+15550002' statusCallback='http://s.test/s'",
            ("+15550001", "+15550002"),
            Some("http://s.test/s"),
            true,
        ),
        ("long", ("", ""), None, false),
    ];
    for (attributes, (from, to), status, is_sent) in rows {
        let (attributes, text) = if is_sent { (attributes, "See you &lt;soon&gt;") } else { ("", &*long) };
        let b = run(&format!("<Sms {attributes}>{text}</Sms><Redirect>/rest</Redirect>"));
        assert_eq!(
            (b.texts.len(), &*b.asked().address.url),
            (usize::from(is_sent), "http://a.test/rest"),
            "{attributes}"
        );
        let Some(sent) = b.texts.first() else { continue };
        assert_eq!(
            (sent.from.expose().as_str(), sent.to.expose().as_str(), sent.status.as_deref()),
            (from, to, status)
        );
        assert_eq!((sent.body.as_str(), sent.sid.len()), ("See you <soon>", 34));
    }
    let b = run("<Sms action='/sent' method='GET'>hello</Sms><Hangup/>");
    assert_eq!((&*b.asked().address.url, b.asked().address.method), ("http://a.test/sent", Verb::Get));
    let sid = b.texts[0].sid.as_str();
    assert_eq!(
        (b.parameter("MessageSid"), b.parameter("SmsSid"), b.parameter("SmsStatus")),
        (Some(sid), Some(sid), Some("queued"))
    );
}
