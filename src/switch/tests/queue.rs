//! Queues from outside: callers wait, others take them out, both hear each other, and the application is told each ending.

use super::*;
use crate::event::What;
use crate::media::HOLD_MUSIC;
use crate::media::command::{Event as Heard, Hears, LegId};
use crate::switch::queue::{MemberView, QueueView};
use crate::web::Order;

const PLAN: &str =
    "contexts:\n  any:\n    - match: { to: app }\n      do: [ { markup: \"http://a.test/app/voice\" } ]\n";
/// What a caller's document is if nothing else is said.
const WAIT: &str = "<Enqueue action='left' waitUrl='wait' maxQueueSize='2'>support</Enqueue><Redirect>next</Redirect>";
const TAKE: &str = "<Dial action='taken' timeout='20'><Queue>support</Queue></Dial>";

/// A plan of steps by number.
fn yaml(rules: &[(&str, &str)]) -> String {
    let rule = |(to, steps): &(&str, &str)| format!("    - match: {{ to: \"{to}\" }}\n      do: [ {steps} ]\n");
    format!("{PLAN}{}", rules.iter().map(rule).collect::<String>())
}

impl Bench {
    /// Call `n` comes, and its first document is this.
    fn arrive(&mut self, n: usize, document: &str) {
        let invite = request("INVITE", n, 1, "", &sdp(4000)).replace("sip:100@", "sip:app@");
        self.receive(CALLER, invite);
        self.serve(document);
        self.ack(n);
    }

    fn ack(&mut self, n: usize) {
        let tag = self.tag(n);
        self.receive(CALLER, request("ACK", n, 1, &tag, ""));
        self.sound_queues();
    }

    /// Our tag in call `n`.
    fn tag(&self, n: usize) -> String {
        let id = format!("call{n}");
        let mut answers = self.sent.iter().rev().map(|(_, m)| m).filter(|m| m.status() == 200 && m.call_id() == id);
        format!(";tag={}", answers.next().expect("the call is answered").to_tag())
    }

    fn leaves(&mut self, n: usize) {
        let tag = self.tag(n);
        self.bye(n, &tag);
        self.sound_queues();
    }

    /// The n-th media leg that was opened.
    fn nth(&self, n: u64) -> &Hears {
        &self.hears[&LegId(n)]
    }

    fn queue(&mut self) -> QueueView {
        match self.ask(Operator::Queues) {
            Reply::Queues(mut all) if all.len() == 1 => all.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn size(&mut self) -> usize {
        self.queue().members.len()
    }

    fn sound_queues(&self) {
        assert_eq!(self.switch.queue_faults(), Vec::<String>::new());
    }

    /// Every `QueueResult` that was told, in order.
    fn results(&self) -> Vec<String> {
        let of = |p: &crate::web::Parameters| p.iter().find(|(n, _)| n == "QueueResult").map(|(_, v)| v.clone());
        let all = self.web.iter().filter_map(|o| match o {
            Order::Fetch(fetch) => of(&fetch.parameters),
            Order::Callback(callback) => of(&callback.parameters),
            _ => None,
        });
        all.collect()
    }

    fn runs(document: &str) -> Runs {
        let read = crate::markup::read_xml(format!("<Response>{document}</Response>").as_bytes(), "x").unwrap();
        let script = crate::verb::Script::new(Arc::new(read.program), read.entry, Wall(0));
        Runs::Script { script: Box::new(script), at: "x".into() }
    }

    fn redirect(&mut self, call: CallId, document: &str) -> Reply {
        self.ask(Operator::Run { call, runs: Bench::runs(document) })
    }

    fn live(&mut self) -> Vec<CallView> {
        match self.ask(Operator::Calls) {
            Reply::Calls(calls) => calls,
            other => panic!("{other:?}"),
        }
    }
}

/// One who waits, and hears music.
fn waiting() -> Bench {
    let mut b = Bench::new(PLAN);
    b.arrive(1, WAIT);
    assert_eq!((b.parameter("QueuePosition"), b.parameter("CurrentQueueSize")), (Some("1"), Some("1")));
    b.serve("<Play>/jazz.wav</Play>");
    b.serve_file("/cache/jazz.wav");
    b
}

/// One who has waited 7 s and talks with the one who has taken it out, both legs known.
fn bridged() -> Bench {
    let mut b = waiting();
    b.pass(Duration::from_secs(7));
    b.arrive(2, TAKE);
    assert_eq!((b.nth(1), b.nth(2)), (&Hears::Leg(LegId(2)), &Hears::Leg(LegId(1))));
    assert_eq!(b.size(), 0);
    b
}

#[test]
fn who_waits_hears_the_document_again_and_again_and_it_is_told_the_place() {
    let mut b = waiting();
    assert!(b.heard().starts_with("play /cache/jazz.wav"));
    b.arrive(2, WAIT);
    assert_eq!((b.parameter("QueuePosition"), b.parameter("AvgQueueTime")), (Some("2"), Some("0")));
    b.serve("<Say>Second</Say>");
    b.pass(Duration::from_secs(9));
    b.prompt_ends();
    assert_eq!(&*b.asked().address.url, "http://a.test/app/wait", "it is asked for again at once");
    let told = ["QueuePosition", "QueueTime", "AvgQueueTime", "CurrentQueueSize"].map(|name| b.parameter(name));
    assert_eq!(told, ["1", "9", "9", "2"].map(Some));
    let id = b.queue().id.to_string();
    assert_eq!(b.parameter("QueueSid"), Some(&*id));
    // In which nothing takes time, it is asked for twice in five seconds.
    let before = b.fetches();
    for _ in 0..10 {
        b.serve("");
        b.pass(Duration::from_secs(1));
    }
    assert!(b.fetches() - before <= 6, "{}", b.fetches() - before);
    let views = b.live();
    assert_eq!(views.iter().map(|c| c.state).collect::<Vec<_>>(), ["queued", "queued"]);
}

#[test]
fn both_hear_each_other_until_one_leaves_and_each_goes_on() {
    let mut b = bridged();
    assert_eq!(b.live().iter().map(|c| c.state).collect::<Vec<_>>(), ["bridged", "bridged"]);
    b.pass(Duration::from_secs(5));
    b.leaves(2);
    assert_eq!((&*b.asked().address.url, b.parameter("QueueResult")), ("http://a.test/app/left", Some("bridged")));
    assert_eq!((b.parameter("QueueTime"), b.nth(1)), (Some("12"), &Hears::Silence));
    b.serve("<Hangup/>");
    b.sound_queues();

    let mut b = bridged();
    let caller = b.live()[0].call;
    b.pass(Duration::from_secs(5));
    b.leaves(1);
    assert_eq!(b.results(), ["bridged"], "it has left, and its application is told");
    assert_eq!(&*b.asked().address.url, "http://a.test/app/taken");
    let told = ["DialCallStatus", "DialCallDuration", "DialBridged"].map(|name| b.parameter(name));
    assert_eq!(told, ["completed", "5", "true"].map(Some));
    assert_eq!(b.parameter("DialCallSid"), Some(&*caller.to_string()));
    b.serve("<Hangup/>");
    b.nothing_is_left();
}

#[test]
fn every_ending_is_told() {
    let one = |b: &mut Bench| b.live()[0].call;
    type Row = (&'static str, fn(&mut Bench));
    let rows: [Row; 5] = [
        ("hangup", |b| b.leaves(1)),
        ("leave", |b| {
            b.prompt_ends();
            b.serve("<Leave/>");
        }),
        ("error", |b| {
            b.prompt_ends();
            b.serve_octets(b"<html/>".to_vec(), "text/html");
        }),
        ("hangup", |b| {
            b.prompt_ends();
            b.serve("<Hangup/>");
        }),
        ("bridging-in-process", |b| {
            b.arrive(2, "<Dial><Queue url='whisper'>support</Queue></Dial>");
            b.leaves(1);
        }),
    ];
    for (result, end) in rows {
        let mut b = waiting();
        end(&mut b);
        b.sound_queues();
        assert_eq!((b.results(), b.size()), (vec![result.to_owned()], 0));
    }
    let mut b = waiting();
    let call = one(&mut b);
    b.redirect(call, "<Pause length='9'/>");
    assert_eq!((b.results(), b.size()), (vec!["redirected".to_owned()], 0));
    let mut b = bridged();
    let call = one(&mut b);
    b.redirect(call, "<Pause length='9'/>");
    assert_eq!(b.results(), ["redirected-from-bridged"]);
    assert_eq!(&*b.asked().address.url, "http://a.test/app/taken", "the other one goes on");
    b.sound_queues();
    // More than two do not get in.
    let mut b = waiting();
    b.arrive(2, WAIT);
    b.arrive(3, WAIT);
    assert_eq!((b.size(), b.parameter("QueueResult")), (2, Some("queue-full")));
    b.serve("<Hangup/>");
    // A workflow is not there yet, and a thousand queues are the most.
    let mut b = Bench::new(PLAN);
    b.arrive(1, "<Enqueue action='left' workflowSid='WW00'/>");
    assert_eq!(b.parameter("QueueResult"), Some("system-error"));
}

#[test]
fn without_an_action_the_next_verb_follows_and_without_a_document_there_is_music() {
    let mut b = Bench::new(PLAN);
    b.arrive(1, "<Enqueue>support</Enqueue><Redirect>next</Redirect>");
    assert!(matches!(b.nth(1), Hears::Play { file, loops: 0, .. } if &**file == HOLD_MUSIC), "{:?}", b.nth(1));
    b.arrive(2, "<Dial><Queue>support</Queue></Dial><Redirect>after</Redirect>");
    b.leaves(2);
    assert_eq!(&*b.asked().address.url, "http://a.test/app/next");
    // A queue of its own is no bar to a second one later.
    b.serve("<Enqueue>sales</Enqueue>");
    b.leaves(1);
    b.nothing_is_left();
}

#[test]
fn the_first_to_come_is_the_first_to_go_and_whoever_asked_first_gets_it() {
    let mut b = Bench::new(PLAN);
    (1..=3).for_each(|n| b.arrive(n, "<Enqueue>support</Enqueue>"));
    b.arrive(4, TAKE);
    b.arrive(5, TAKE);
    let heard: Vec<&Hears> = (1..=5).map(|n| b.nth(n)).collect();
    assert_eq!((heard[0], heard[1]), (&Hears::Leg(LegId(4)), &Hears::Leg(LegId(5))));
    assert_eq!(b.size(), 1);
    // Nobody is there: the first who asks gets the first who comes.
    let mut b = Bench::new(PLAN);
    b.arrive(1, TAKE);
    b.arrive(2, TAKE);
    assert!(matches!(b.nth(1), Hears::Tone { .. }));
    b.arrive(3, "<Enqueue>support</Enqueue>");
    assert_eq!((b.nth(1), b.nth(3)), (&Hears::Leg(LegId(3)), &Hears::Leg(LegId(1))));
    b.pass(Duration::from_secs(21));
    assert_eq!(
        (&*b.asked().address.url, b.parameter("DialCallStatus")),
        ("http://a.test/app/taken", Some("no-answer"))
    );
    b.serve("<Hangup/>");
    b.sound_queues();
}

#[test]
fn who_waited_hears_a_document_before_both_are_joined_and_is_not_lost_if_the_other_leaves() {
    let whisper = "<Dial timeout='20' action='taken'><Queue url='/whisper' method='GET'>support</Queue></Dial>";
    let mut b = waiting();
    b.pass(Duration::from_secs(3));
    b.arrive(2, whisper);
    let agent = b.live()[1].call.to_string();
    assert_eq!(&*b.asked().address.url, "http://a.test/whisper");
    assert_eq!((b.parameter("DequeingCallSid"), b.parameter("QueueTime")), (Some(&*agent), Some("3")));
    b.serve("<Play>/hi.wav</Play>");
    b.serve_file("/cache/hi.wav");
    // The dial's time may pass meanwhile: somebody is there.
    b.pass(Duration::from_secs(30));
    b.prompt_ends();
    assert_eq!((b.nth(1), b.nth(2)), (&Hears::Leg(LegId(2)), &Hears::Leg(LegId(1))));

    let mut b = waiting();
    b.arrive(2, whisper);
    b.arrive(3, WAIT);
    b.leaves(2);
    assert_eq!(b.queue().members.iter().map(|m| m.position).collect::<Vec<_>>(), [1, 2]);
    let first = b.queue().members[0].call;
    assert_eq!(first, b.live()[0].call, "it has its place again");
    // It leaves while it hears it: who asked waits for the next.
    b.arrive(4, whisper);
    b.serve("<Hangup/>");
    b.sound_queues();
    assert_eq!(b.size(), 0, "the second one is taken");
    b.serve("");
    assert_eq!(b.live().iter().map(|c| c.state).collect::<Vec<_>>(), ["bridged", "bridged"]);
}

#[test]
fn the_dialplan_has_queues_too() {
    let rules = [
        (
            "1",
            "{ enqueue: { name: s, wait: jazz.wav, max: 1 }, on: { failed: [ { play: full.wav } ], done: [ { play: bye.wav } ] } }",
        ),
        (
            "2",
            "{ dial: { queue: s, timeout: 5s }, on: { answered: [ { play: thanks.wav } ], no_answer: [ { play: nobody.wav } ] } }",
        ),
        ("3", "{ enqueue: s }, { branch: { if: '\"${queue_result}\" == \"bridged\"', do: [ { play: was.wav } ] } }"),
    ];
    let mut b = Bench::new(&yaml(&rules));
    let hears = |b: &Bench, n: u64| match b.nth(n) {
        Hears::Play { file, .. } => file.to_string(),
        other => format!("{other:?}"),
    };
    b.dial(1, "1");
    b.dial(2, "1");
    assert_eq!((hears(&b, 1), hears(&b, 2)), ("jazz.wav".into(), "full.wav".into()));
    let agent = b.dial(3, "2");
    b.bye(3, &agent);
    assert_eq!(hears(&b, 1), "bye.wav");
    b.dial(4, "2");
    b.pass(Duration::from_secs(6));
    assert_eq!(hears(&b, 4), "nobody.wav");
    b.dial(5, "2");
    let caller = b.dial(6, "3");
    b.bye(6, &caller);
    assert_eq!(hears(&b, 5), "thanks.wav");
    let agent = b.dial(7, "2");
    b.dial(8, "3");
    b.bye(7, &agent);
    assert_eq!(hears(&b, 8), "was.wav");
    b.sound_queues();
}

#[test]
fn digits_hold_and_star_reach_the_other_call() {
    let mut b = waiting();
    b.arrive(2, "<Dial action='taken' hangupOnStar='true'><Queue>support</Queue></Dial>");
    let press = |leg, digit| Heard::Digit { leg: LegId(leg), digit, duration_ms: 100, method: media::Method::Rfc4733 };
    b.input(Input::Media(press(1, '5')));
    assert_eq!(b.dialled.len(), 1, "in band, as the other phone has no events: {:?}", b.dialled);
    assert_eq!(b.dialled[0].0, LegId(2));
    let (tag, hold) = (b.tag(1), sdp(4000) + "a=sendonly\r\n");
    let again =
        |cseq: u32, sdp: &str| request("INVITE", 1, cseq, &tag, sdp).replace("bKINVITE1", &format!("bKINVITE1-{cseq}"));
    b.receive(CALLER, again(3, &hold));
    let held = b.nth(2).clone();
    b.receive(CALLER, request("ACK", 1, 3, &tag, ""));
    b.receive(CALLER, again(4, &sdp(4000)));
    assert_eq!((b.nth(2), held != Hears::Silence), (&Hears::Leg(LegId(1)), true), "its own music is heard");
    b.pass(Duration::from_secs(1));
    b.input(Input::Media(press(2, '*')));
    assert_eq!(b.results(), ["bridged"]);
    b.sound_queues();
}

#[test]
fn the_operator_sees_who_waits_takes_one_out_and_removes_what_is_empty() {
    let mut b = waiting();
    b.pass(Duration::from_secs(4));
    b.arrive(2, WAIT);
    let view = b.queue();
    assert_eq!((view.name.as_str(), view.max, view.average_s()), ("support", 1_000, 2));
    assert!(matches!(b.ask(Operator::ForgetQueue(view.id)), Reply::Refused(_)));
    let take = |b: &mut Bench, call| {
        b.ask(Operator::Dequeue { queue: view.id, call, runs: Bench::runs("<Redirect>http://b.test/</Redirect>") })
    };
    let second = view.members[1].call;
    let Reply::Member(MemberView { call, position, .. }) = take(&mut b, Some(second)) else { panic!() };
    assert_eq!((call, position, b.size()), (second, 2, 1));
    assert_eq!((&*b.asked().address.url, b.results()), ("http://b.test/", vec!["redirected".to_owned()]));
    assert!(matches!(take(&mut b, Some(second)), Reply::NotFound));
    assert!(matches!(take(&mut b, None), Reply::Member(m) if m.position == 1));
    assert!(matches!(take(&mut b, None), Reply::NotFound));
    assert!(matches!(b.ask(Operator::ForgetQueue(view.id)), Reply::Done));
    assert!(matches!(b.ask(Operator::Queues), Reply::Queues(all) if all.is_empty()));
    b.sound_queues();
}

#[test]
fn a_queue_of_the_rest_api_has_its_own_number_and_size_and_keeps_its_callers_through_a_new_name() {
    let mut b = Bench::new(PLAN);
    let setting = |name: &str, max| QueueSetting { id: QueueId(7), name: name.into(), max };
    let put = |b: &mut Bench, setting| {
        b.ask(Operator::Settings(Box::new(Settings { queues: vec![setting], ..Settings::default() })))
    };
    put(&mut b, setting("support", 1));
    b.arrive(1, WAIT);
    b.arrive(2, WAIT);
    assert_eq!((b.queue().id, b.parameter("QueueResult")), (QueueId(7), Some("queue-full")));
    put(&mut b, setting("help", 9));
    assert_eq!((b.queue().name.as_str(), b.queue().max, b.size()), ("help", 9, 1));
    b.arrive(3, "<Dial><Queue>help</Queue></Dial>");
    assert_eq!(b.size(), 0);
    b.sound_queues();
}

#[test]
fn at_whatever_moment_either_side_leaves_nothing_is_left() {
    // Each row is a series of moments; at each of them each of the two hangs up, in a run of its own.
    for whisper in ["", " url='w'"] {
        for moment in 0..6 {
            for leaver in [1, 2] {
                let mut b = Bench::new(PLAN);
                let take = format!("<Dial action='taken'><Queue{whisper}>support</Queue></Dial>");
                let moments: [&dyn Fn(&mut Bench); 6] = [
                    &|b| b.arrive(1, WAIT),
                    &|b| b.serve("<Pause length='3'/>"),
                    &|b| b.arrive(2, &take),
                    &|b| b.serve("<Pause length='2'/>"),
                    &|b| b.pass(Duration::from_secs(3)),
                    &|b| b.pass(Duration::from_secs(9)),
                ];
                moments.iter().take(moment + 1).for_each(|m| m(&mut b));
                if leaver == 1 || moment >= 2 {
                    b.leaves(leaver);
                }
                b.sound_queues();
                for call in b.live() {
                    b.ask(Operator::Hangup(call.call));
                    b.sound_queues();
                }
                b.pass(Duration::from_secs(40));
                assert_eq!(b.ended.iter().filter(|e| e.cdr.ending.reason.is_empty()).count(), 0);
                let c = b.switch.counters();
                assert_eq!((c.calls_active, c.media_legs_active), (0, 0), "{whisper} {moment} {leaver}");
                let twice = |e: &crate::event::CallRecord| {
                    e.timeline.entries().iter().filter(|e| matches!(e.what, What::Ended(_))).count() > 1
                };
                assert!(!b.ended.iter().any(twice));
            }
        }
    }
}

#[test]
fn a_call_that_lived_alone_moves_to_where_queues_are_when_it_is_sent_there() {
    let mut b = Bench::new(&yaml(&[("1", "answer, { play: long.wav }"), ("2", "{ dial: { queue: support } }")]));
    b.dial(1, "1");
    let call = b.live()[0].call;
    assert!(matches!(b.redirect(call, "<Enqueue>support</Enqueue>"), Reply::Done));
    let invite = b.last(CALLER).clone();
    assert_eq!(invite.method(), Method::Invite, "its phone is told of the new port");
    b.answer(CALLER, &invite, "200 OK", "caller1", Some(4000));
    assert_eq!((b.size(), b.groups.len(), b.groups[0] != b.groups[1]), (1, 2, true));
    b.dial(2, "2");
    assert_eq!((b.size(), b.groups[1] == b.groups[2]), (0, true));
    assert_eq!((b.nth(2), b.nth(3)), (&Hears::Leg(LegId(3)), &Hears::Leg(LegId(2))));
    b.sound_queues();
}
