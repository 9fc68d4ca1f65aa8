use super::*;
use crate::verb::{Action, Next, Outcome, parse_moment};
use proptest::prelude::*;

const PLAN: &str = r#"
contexts:
  in:
    - name: open
      match: { to: "+14155550100" }
      when: { hours: "mon-fri 09:00-18:00", timezone: America/New_York }
      do:
        - answer
        - play: menu.wav
        - dial: { user: alice, timeout: 20s }
          on: { busy: [ { goto: closed } ], no_answer: { hangup: nobody } }
        - reject
    - name: closed
      match: { to: "+14155550100" }
      do: [ { play: { file: closed.wav, loop: 2 } }, hangup ]
    - match: { to: /^9(\d{3})$/, from: /^\+(\d)/, header.X-Class: [gold, silver] }
      do:
        - set: { line: "$2-${header.x-class}" }
        - dial: { number: "+$1", trunks: [acme, "${trunk}"], caller_name: "${line}", headers: { X-Line: "${line}" } }
        - log: "came back: ${dial_status}"
  inner:
    - name: loop
      match: { to: loop }
      do: [ { log: again }, { goto: loop } ]
    - match: { to: choose }
      do:
        - branch:
            - { if: '"${from}" == "100"', do: [ { tone: busy } ] }
            - { if: '${from} =~ /^2/', do: [ { tone: { name: ringback, country: de, duration: 3s } } ] }
            - else: [ { pause: 2s } ]
        - echo: 30s
    - match: { to: refuse }
      do: { reject: { status: busy, reason: "Not now, ${from}" } }
"#;

fn load(text: &str) -> Result<Dialplan, Vec<Fault>> {
    let (trunks, users) = (["acme".to_owned()], ["alice".to_owned(), "bob".to_owned()]);
    let prompt = |name: &str| if name.starts_with("no") { Err("there is no such file".to_owned()) } else { Ok(()) };
    let names = Names { trunks: Some(&trunks), users: Some(&users), prompt: &prompt };
    Dialplan::load(&[("d.yaml".into(), text.into())], &names)
}

/// A call through a plan: the rule's name or the refusal, then each action, told the outcomes in order (at the end: done).
fn run(context: &str, from: &str, to: &str, at: &str, outcomes: &[Outcome]) -> Vec<String> {
    let plan = load(PLAN).unwrap();
    let header = |name: &str| name.eq_ignore_ascii_case("x-class").then(|| "gold".to_owned());
    let at = parse_moment(at).unwrap();
    let facts = CallFacts {
        from,
        from_name: "",
        to,
        trunk: Some("acme"),
        user: None,
        header: &header,
        at,
        proof: Default::default(),
    };
    let mut script = match plan.route(context, &facts) {
        Ok(taken) => taken.script,
        Err(why) => return vec![why],
    };
    let mut outcomes = outcomes.iter().copied();
    let mut said = Vec::new();
    while let Next::Do { action, at } = script.next() {
        assert_eq!(script.next(), Next::Do { action: action.clone(), at: at.clone() });
        said.push(format!("{}@{}", action, at.rsplit(':').next().unwrap_or_default()));
        script.finished(outcomes.next().unwrap_or(Outcome::Done));
        if said.len() > 20 {
            said.push("…".into());
            break;
        }
    }
    said
}

#[test]
fn calls_take_their_rules() {
    let (day, night) = ("2026-11-23T10:00:00-05:00", "2026-11-23T20:00:00-05:00");
    let main = "+14155550100";
    use Outcome::{Answered, Busy, Done, Failed, NoAnswer};
    type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [Outcome], &'a [&'a str]);
    let rows: [Row<'_>; 10] = [
        (
            "in",
            "x",
            main,
            day,
            &[Done, Done, Answered],
            &["answer@8", "play file=menu.wav@9", "dial user=alice timeout=20s@10"],
        ),
        (
            "in",
            "x",
            main,
            day,
            &[Done, Done, Busy],
            &[
                "answer@8",
                "play file=menu.wav@9",
                "dial user=alice timeout=20s@10",
                "play file=closed.wav loop=2@15",
                "hangup@15",
            ],
        ),
        (
            "in",
            "x",
            main,
            day,
            &[Done, Done, NoAnswer],
            &["answer@8", "play file=menu.wav@9", "dial user=alice timeout=20s@10", "hangup reason=nobody@11"],
        ),
        (
            "in",
            "x",
            main,
            day,
            &[Done, Done, Failed],
            &["answer@8", "play file=menu.wav@9", "dial user=alice timeout=20s@10", "reject status=603@12"],
        ),
        ("in", "x", main, night, &[], &["play file=closed.wav loop=2@15", "hangup@15"]),
        (
            "in",
            "+49",
            "9123",
            day,
            &[Busy],
            &[
                "dial number=+123 trunks=acme trunks=acme timeout=1m caller_name=4-gold headers=\"X-Line: 4-gold\"@19",
                "log text=\"came back: busy\"@20",
            ],
        ),
        ("inner", "100", "choose", day, &[], &["tone name=busy@28", "echo duration=30s@31"]),
        ("inner", "200", "choose", day, &[], &["tone name=ringback country=de duration=3s@29", "echo duration=30s@31"]),
        ("inner", "300", "choose", day, &[], &["pause duration=2s@30", "echo duration=30s@31"]),
        ("inner", "300", "refuse", day, &[], &["reject status=486 reason=\"Not now, 300\"@33"]),
    ];
    for (context, from, to, at, outcomes, want) in rows {
        assert_eq!(run(context, from, to, at, outcomes), want, "{context} {from} {to}");
    }
    let nobody = run("in", "x", "77", day, &[]);
    assert_eq!(nobody, ["none of the 3 rules of context \"in\" takes a call to \"77\""]);
    let nowhere = run("iner", "x", "77", day, &[]);
    assert_eq!(nowhere, ["there is no context \"iner\" in the dialplan; did you mean \"inner\"?"]);
}

#[test]
fn a_loop_without_an_end_is_told() {
    let plan = load(PLAN).unwrap();
    let facts = CallFacts {
        from: "",
        from_name: "",
        to: "loop",
        trunk: None,
        user: None,
        header: &|_| None,
        at: Default::default(),
        proof: Default::default(),
    };
    let mut script = plan.route("inner", &facts).unwrap().script;
    let mut logged = 0u32;
    while let Next::Do { action: Action::Log(_), .. } = script.next() {
        logged += 1;
        script.finished(Outcome::Done);
    }
    assert_eq!((script.next(), logged), (Next::Runaway, Script::STEPS_MAX / 2));
}

#[test]
fn verdicts_say_why() {
    let plan = load(PLAN).unwrap();
    let at = parse_moment("2026-11-23T23:00:00Z").unwrap();
    let facts = CallFacts {
        from: "+49",
        from_name: "",
        to: "9123",
        trunk: None,
        user: None,
        header: &|_| None,
        at,
        proof: Default::default(),
    };
    let said = |facts: &CallFacts<'_>| {
        let all = plan.explain("in", facts).unwrap();
        all.iter().map(|v| format!("{} {} {}", v.rule, v.holds, v.why)).collect::<Vec<_>>()
    };
    assert_eq!(
        said(&facts),
        [
            "open false to \"9123\" does not match \"+14155550100\"",
            "closed false to \"9123\" does not match \"+14155550100\"",
            "d.yaml:16 false the call has no header X-Class",
        ]
    );
    let gold = |_: &str| Some("gold".to_owned());
    let last = said(&CallFacts { header: &gold, ..facts.clone() }).pop().unwrap();
    let want = "d.yaml:16 true to \"9123\" matches /^9(\\d{3})$/ ($1 = \"123\"); from \"+49\" matches /^\\+(\\d)/ ($2 = \"4\"); \
                header X-Class is \"gold\"";
    assert_eq!(last, want);
    let first = said(&CallFacts { to: "+14155550100", ..facts }).remove(0);
    assert_eq!(first, "open false mon 2026-11-23 18:00 in America/New_York is not within \"mon-fri 09:00-18:00\"");
}

#[test]
fn faults_say_where_and_what_was_expected() {
    let rows = [
        (
            "contexts: { a: [ { do: [ anser ] } ] }",
            "d.yaml:1:26: unknown step \"anser\"; did you mean \"answer\"? Known steps: answer, reject, play, tone, echo, dial, conference, enqueue, leave, record, record_call, set, branch, goto, pause, hangup, log, say, gather, pay, pickup, park, retrieve, forward, markup, redirect, refer",
        ),
        (
            "contexts: { a: [ { do: [ { stream: hello } ] } ] }",
            "d.yaml:1:28: the step \"stream\" is not yet available; expected one of answer, reject, play, tone, echo, dial, conference, enqueue, leave, record, record_call, set, branch, goto, pause, hangup, log, say, gather, pay, pickup, park, retrieve, forward, markup, redirect, refer",
        ),
        (
            "contexts: { a: [ { do: [ { enqueue: { workflow: x } } ] } ] }",
            "d.yaml:1:39: \"workflow\" is not yet available in a queue; expected it to be left out",
        ),
        (
            "contexts: { a: [ { match: { too: 1 }, do: echo } ] }",
            "d.yaml:1:29: unknown key \"too\" in a match; did you mean \"to\"? Known: to, from, trunk, user, header.",
        ),
        (
            "contexts: { a: [ { match: { to: /(/ }, do: echo } ] }",
            "d.yaml:1:33: this is no regular expression: unclosed group; expected a literal or /a regular expression/",
        ),
        (
            "contexts: { a: [ { name: x } ] }",
            "d.yaml:1:18: this rule has no \"do\"; expected a step: answer, reject, play, tone, echo, dial, conference, enqueue, leave, record, record_call, set, branch, goto, pause, hangup, log, say, gather, pay, pickup, park, retrieve, forward, markup, redirect, refer, or a list of them: The steps, in order.",
        ),
        (
            "contexts: { a: [ { do: { goto: cloesd } }, { name: closed, do: echo } ] }",
            "d.yaml:1:32: unknown rule \"cloesd\"; did you mean \"closed\"? Known: closed, d.yaml:1",
        ),
        (
            "contexts: { a: [ { do: { dial: { user: alcie } } } ] }",
            "d.yaml:1:40: unknown user \"alcie\"; did you mean \"alice\"? Known: alice, bob",
        ),
        (
            "contexts: { a: [ { do: { dial: { number: 1, trunks: [acne] } } } ] }",
            "d.yaml:1:54: unknown trunk \"acne\"; did you mean \"acme\"? Known: acme",
        ),
        (
            "contexts: { a: [ { do: { dial: { user: bob, timeout: 20 } } } ] }",
            "d.yaml:1:54: the duration 20 has no unit; expected a number and a unit, such as 20s, 500ms or 1m30s",
        ),
        (
            "contexts: { a: [ { do: { play: nothing.wav } } ] }",
            "d.yaml:1:32: the prompt \"nothing.wav\" cannot be played: there is no such file; expected a WAV file",
        ),
        (
            "contexts: { a: [ { do: { log: \"${form}\" } } ] }",
            "d.yaml:1:31: unknown variable \"form\"; did you mean \"from\"? Known: digits, speech, confidence, answered_by, from, from_name, to, trunk, user, context, rule, call_id, dial_status, queue_result, park_slot, recording, recording_duration, recording_key, pay_result, pay_token, pay_confirmation, pay_card, pay_card_type, pay_error, verstat, attest, header.NAME",
        ),
        (
            "contexts: { a: [ { match: { to: /(.)/ }, do: { log: \"$2\" } } ] }",
            "d.yaml:1:53: $2 is used, but the rule's patterns have 1 groups; expected a group (…) in `match` for each number",
        ),
        (
            "contexts: { a: [ { do: { branch: { if: \"${to} = 1\", do: echo } } } ] }",
            "d.yaml:1:47: \"= 1\" stands in the condition; expected \"and\", \"or\", a comparison (==, !=, =~, !~, in) or the end",
        ),
        (
            "contexts: { a: [ { do: [ { play: x.wav, on: { busy: echo } } ] } ] }",
            "d.yaml:1:47: \"play\" never is \"busy\"; expected one of done, failed",
        ),
        (
            "contexts: { a: [ { when: { hours: \"mon-fry 09:00-18:00\" }, do: echo } ] }",
            "d.yaml:1:35: \"fry\" is no day of the week; expected hours such as mon-fri 09:00-18:00, sat 10:00-14:00",
        ),
        (
            "contexts: { a: [ { when: { hours: mon, timezone: Mars }, do: echo } ] }",
            "d.yaml:1:50: \"Mars\" does not fit; expected a time zone such as Europe/Berlin",
        ),
        (
            "contexts: { a: [ { do: { tone: bussy } } ] }",
            "d.yaml:1:32: unknown value \"bussy\"; did you mean \"busy\"? Known: ringback, busy, congestion, dial, information",
        ),
        (
            "contexts: { a: [ { do: { reject: 200 } } ] }",
            "d.yaml:1:34: \"200\" does not fit; expected a status from 400 to 699, or one of busy, decline, not_found, forbidden, unavailable, congestion",
        ),
        (
            "contexts: { a: [ { do: { dial: { uri: \"bob\" } } } ] }",
            "d.yaml:1:39: \"bob\" is no address; expected one such as sip:bob@example.com",
        ),
        (
            "contexts: { a: [ { do: { dial: { user: bob, headers: { Via: x } } } } ] }",
            "d.yaml:1:56: the header \"Via\" is Tandem's own; expected one that it does not write itself",
        ),
        (
            "contexts: { a: [ { do: [ { play: x.wav, echo: } ] } ] }",
            "d.yaml:1:41: \"echo\" stands beside \"play\" in one step; expected one step an item: begin each step with \"- \"",
        ),
    ];
    rows.into_iter().for_each(check_fault);
}

/// A dialplan and its one fault.
fn check_fault((text, want): (&str, &str)) {
    let faults = load(text).expect_err(text);
    assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [want], "{text}");
}

#[test]
fn addresses_of_documents_and_texts_are_looked_at() {
    let rows = [
        (
            "contexts: { a: [ { do: [ { markup: \"ftp://a.test/x\" } ] } ] }",
            "d.yaml:1:36: \"ftp://a.test/x\" is no address of a document; expected https://…, or a file such as menu.xml",
        ),
        (
            "contexts: { a: [ { do: [ { redirect: 5 } ] } ] }",
            "d.yaml:1:38: \"5\" is no address of a document; expected https://…, or a file such as menu.xml",
        ),
        (
            "contexts: { a: [ { do: [ { pickup: { user: bob, group: g } } ] } ] }",
            "d.yaml:1:56: one pickup has user and group; expected one of them",
        ),
        (
            "contexts: { a: [ { do: [ { forward: \"2 0\" } ] } ] }",
            "d.yaml:1:37: \"2 0\" is no number; expected a number or name as the user would dial it, or off",
        ),
        (
            "contexts: { a: [ { do: [ { park: { slot: \"701\" }, on: { done: [ answer ] } } ] } ] }",
            "d.yaml:1:57: \"park\" never is \"done\"; expected one of answered, busy, no_answer, failed, cancelled",
        ),
        ("contexts: { a: [ { do: [ { say: \"\" } ] } ] }", "d.yaml:1:33: nothing is said; expected a text"),
    ];
    rows.into_iter().for_each(check_fault);
}

#[test]
fn faults_in_a_conference() {
    let rows = [
        (
            "contexts: { a: [ { do: [ { conference: { name: x, beep: loud } } ] } ] }",
            "d.yaml:1:57: unknown value \"loud\"; Known: true, false, on_enter, on_exit",
        ),
        (
            "contexts: { a: [ { do: [ { conference: { name: x, max_participants: 1001 } } ] } ] }",
            "d.yaml:1:69: \"1001\" is out of range; expected a whole number from 1 to 1000",
        ),
        (
            "contexts: { a: [ { do: [ { conference: { name: x, wait: no.wav } } ] } ] }",
            "d.yaml:1:57: the prompt \"no.wav\" cannot be played: there is no such file; expected a WAV file",
        ),
        (
            "contexts: { a: [ { do: [ { conference: \"\" } ] } ] }",
            "d.yaml:1:40: a conference without a name; expected the name that all use who are to meet",
        ),
    ];
    rows.into_iter().for_each(check_fault);
}

/// Runs one test, written in a flow, against the plan: its failure, or "".
fn check_test(test: &str) -> String {
    let plan = match load(&format!("{PLAN}\ntests: [ {{ {test} }} ]")) {
        Ok(plan) => plan,
        Err(faults) => return faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
    };
    let entry = EntryPoints {
        trunks: vec![("acme".into(), "in".into())],
        users: vec![("alice".into(), "inner".into())],
        anonymous: None,
    };
    plan.run_tests(&entry).remove(0).failure.unwrap_or_default()
}

#[test]
fn tests_pass_and_fail() {
    let day = "call: { trunk: acme, from: x, to: \"+14155550100\", at: \"2026-11-23T10:00:00-05:00\" }";
    let passes = [
        "expect: [ answer, dial ]",
        "expect: [ { play: menu.wav }, { dial: { user: alice, timeout: 20s } } ], expect_route: open",
        "outcomes: { dial: busy }, expect: [ { play: { file: /closed/, loop: 2 } }, hangup ]",
        "outcomes: { dial: [failed] }, rejected: 603, expect: [ { reject: decline } ]",
        "exact: true, expect: [ answer, play, dial ]",
        "outcomes: { dial: failed, play: [failed] }, exact: true, expect: [ answer, play, dial, { reject: 603 } ]",
    ];
    for test in passes {
        assert_eq!(check_test(&format!("{day}, {test}")), "", "{test}");
    }
    assert_eq!(check_test("call: { user: alice, to: \"77\" }, rejected: 404"), "");
    let gold = "call: { trunk: acme, from: \"+49\", to: \"9123\", headers: { x-class: gold } }";
    assert_eq!(
        check_test(&format!(
            "{gold}, expect: [ {{ dial: {{ trunks: [acme, acme], headers: {{ X-Line: 4-gold }} }} }} ]"
        )),
        ""
    );
    let fails = [
        ("expect: [ dial, play ]", "expected: play (d.yaml:35), after dial\n"),
        ("expect: [ { dial: bob } ]", "expected: dial user=bob (d.yaml:35)\n"),
        ("exact: true, expect: [ answer, dial ]", "expected: dial (d.yaml:35), after answer\n"),
        (
            "exact: true, expect: [ answer, play ]",
            "expected: nothing more, but dial user=alice timeout=20s (d.yaml:10) follows\n",
        ),
        ("expect_route: closed", "expected: rule \"closed\"\ngot:      rule \"open\" of context"),
        ("rejected: 404", "expected: the call rejected with 404\n"),
        ("expect: [ { tone: { name: [busy, dial] } } ]", "expected: tone name=[busy, dial] (d.yaml:35)\n"),
    ];
    for (test, want) in fails {
        let got = check_test(&format!("{day}, {test}"));
        assert!(got.starts_with(want), "{test}: {got}");
    }
    let faults = [
        ("expect_route: opne", "no rule is named \"opne\"; expected a rule's name"),
        ("expect: [ anser ]", "unknown action \"anser\"; did you mean \"answer\"?"),
        ("expect: [ { play: { fil: x } } ]", "unknown field \"fil\"; did you mean \"file\"? Known: file, loop, digits"),
        ("expect: [ set ]", "\"set\" is done inside the script"),
        ("expect: [ stream ]", "the step \"stream\" is not yet available"),
        ("exact: true", "this test expects nothing"),
        ("outcomes: { dial: bussy }, rejected: 404", "unknown value \"bussy\"; did you mean \"busy\"?"),
    ];
    for (test, want) in faults {
        let got = check_test(&format!("{day}, {test}"));
        assert!(got.starts_with("d.yaml:35:") && got.contains(want), "{test}: {got}");
    }
}

#[test]
fn weights_draw_the_order() {
    let text = "contexts: { a: [ { do: { dial: { group: { strategy: weighted, targets: [ { user: alice, weight: 3 }, bob ] } } } } ] }";
    let plan = load(text).unwrap();
    let facts = CallFacts {
        from: "",
        from_name: "",
        to: "",
        trunk: None,
        user: None,
        header: &|_| None,
        at: Default::default(),
        proof: Default::default(),
    };
    let first = |id: u32| {
        let mut script = plan.route("a", &facts).unwrap().script;
        script.set("call_id", format!("CA{id}"));
        let Next::Do { action: Action::Dial(dial), .. } = script.next() else { panic!("no dial") };
        assert_eq!((dial.targets.len(), dial.strategy), (2, crate::verb::Strategy::Sequential));
        dial.targets.first().cloned().unwrap()
    };
    let alice = (0..1_000).filter(|id| first(*id) == crate::verb::Target::User("alice".into())).count();
    assert!((700..800).contains(&alice), "{alice}");
    assert_eq!(first(5), first(5));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Words of the language in any order, and pieces of a good plan: read or refused, never a panic.
    #[test]
    fn any_text_is_read_or_refused(
        words in prop::collection::vec(prop::sample::select(vec![
            "contexts", "tests", "a", "match", "to", "do", "dial", "user", "group", "targets", "branch", "if", "else", "goto",
            "play", "set", "on", "busy", "when", "hours", "not", "/(/", "${x}", "$1", "mon", ":", ": ", ", ", "{ ", " }", "[ ", " ]", "- ", "\n", "\n  ", "\n    ", "&a ", "*a", "\"", "'", "#",
        ]), 0..60),
        cut in 0..2_000usize,
    ) {
        let _ = load(&words.concat());
        let cut = PLAN.char_indices().map(|(i, _)| i).take_while(|i| *i <= cut).last().unwrap_or(0);
        let _ = load(&format!("{}{}{}", &PLAN[..cut], words.iter().take(3).copied().collect::<String>(), &PLAN[cut..]));
    }
}
