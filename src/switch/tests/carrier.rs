//! What a trunk is told and asked: routes, targets that are dead, identities, headers, emergency calls.

use super::edge::{bench, count_to, invite_from, plan, trunk_with, with};
use super::registrant::{granted, registering};
use super::*;
use crate::config::{HeaderRule, Identity, Manners, NumberRule};

const OTHER: &str = "127.0.0.1:7001";

fn dials(change: impl FnOnce(&mut Config)) -> Bench {
    bench(&plan("number: \"+4930123\", trunks: [carrier], timeout: 60s"), |config| {
        config.trunks = vec![trunk_with(&[CALLEE, OTHER], None)];
        config.trunks[0].targets[1].priority = 2;
        change(config);
    })
}

#[test]
fn a_dead_target_is_not_tried_before_it_answers_options() {
    let mut b = dials(|_| {});
    let call = |b: &mut Bench, n: usize| b.receive(CALLER, request("INVITE", n, 1, "", &sdp(4000)));
    call(&mut b, 1);
    assert_eq!((b.last(CALLEE).method(), count_to(&b, OTHER)), (Method::Invite, 0));
    b.pass(Duration::from_millis(1_799));
    assert_eq!(count_to(&b, OTHER), 0);
    b.pass(Duration::from_millis(1));
    assert_eq!(b.last(OTHER).method(), Method::Invite);
    let ring = |b: &mut Bench| {
        let invite = b.last(OTHER).clone();
        b.answer(OTHER, &invite, "180 Ringing", "other", None);
    };
    ring(&mut b);
    // The next call does not lose this time.
    let (dead, other) = (count_to(&b, CALLEE), count_to(&b, OTHER));
    call(&mut b, 2);
    assert_eq!((count_to(&b, CALLEE), count_to(&b, OTHER)), (dead, other + 1));
    ring(&mut b);
    let state = |b: &Bench| b.switch.world.trunk_views()[0].targets.iter().map(|t| t.1).collect::<Vec<_>>();
    assert_eq!(state(&b), [false, true]);
    // It is asked each ten seconds, and comes back with its first answer, whatever that says.
    b.pass(Duration::from_secs(100));
    let options = |b: &Bench| {
        let all = b.sent.iter().filter(|(to, m)| to.port() == 7000 && m.method() == Method::Options);
        all.map(|(_, m)| m.call_id().to_owned()).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((options(&b), state(&b)), (10, vec![false, true]));
    let ping = b.sent.iter().rev().find(|(_, m)| m.method() == Method::Options).map(|(_, m)| m.clone()).unwrap();
    b.answer(CALLEE, &ping, "403 Forbidden", "t", None);
    assert_eq!(state(&b), [true, true]);
    b.pass(Duration::from_secs(60));
    assert!(options(&b) <= 11, "nobody wants to ping it");
    call(&mut b, 3);
    assert_eq!(b.last(CALLEE).method(), Method::Invite);
}

#[test]
fn a_target_may_miss_so_many_pings() {
    for failures in [1, 3] {
        let mut b = bench(DIAL, |config| {
            config.trunks = vec![trunk_with(&[CALLEE], Some(Duration::from_secs(30)))];
            config.trunks[0].options_failures = failures;
        });
        b.pass(Duration::from_secs(1));
        for n in 1..=failures {
            assert!(b.switch.world.trunk_views()[0].targets[0].1, "{n} of {failures}");
            let ping = b.last(CALLEE).clone();
            b.answer(CALLEE, &ping, "503 Down", "t", None);
            assert_eq!(b.switch.world.trunk_views()[0].targets[0].1, n < failures);
            b.pass(Duration::from_secs(30));
        }
    }
}

#[test]
fn a_service_route_and_a_path_are_the_route() {
    let mut b = bench(&plan("number: \"200\", trunks: [carrier]"), |c| {
        c.trunks = vec![registering(&[CALLEE]), trunk_with(&[OTHER], None)];
        c.trunks[1].name = "caller".into();
    });
    b.pass(Duration::from_secs(1));
    granted(&mut b, CALLEE, 600, "Service-Route: <sip:127.0.0.1:7005;lr>, <sip:second.example;lr>\r\n");
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let invite = b.last("127.0.0.1:7005");
    let routes: Vec<&str> = invite.headers(HeaderName::Route).collect();
    assert_eq!(routes, ["<sip:127.0.0.1:7005;lr>", "<sip:second.example;lr>"]);
    assert_eq!(invite.request_uri(), "sip:200@127.0.0.1:7000");
}

#[test]
fn who_calls_is_told_as_the_trunk_wants_it() {
    const PAI: &str = "P-Asserted-Identity: \"Bob\" <sip:+15551234@x>\r\n";
    const HIDDEN: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    let bob = "\"Bob\" <sip:+15551234@pbx.test>";
    type Row = (&'static str, fn(&mut Manners), &'static str, &'static str, &'static str, &'static str);
    let rows: [Row; 8] = [
        ("", |_| {}, bob, "", "", ""),
        ("Privacy: id\r\n", |_| {}, HIDDEN, "", "", ""),
        ("Privacy: id\r\n", |m| m.caller_id.shows_withheld = true, "<sip:+15551234@pbx.test>", "", "", ""),
        ("", |m| m.caller_id.send = Some(Identity::Pai), bob, bob, "", ""),
        ("Privacy: id\r\n", |m| m.caller_id.send = Some(Identity::Pai), HIDDEN, "<sip:+15551234@pbx.test>", "id", ""),
        (
            "",
            |m| (m.caller_id.user, m.caller_id.send) = (Some("office".into()), Some(Identity::Rpid)),
            "<sip:office@pbx.test>",
            "",
            "",
            "\"Bob\" <sip:+15551234@pbx.test>;party=calling;privacy=off;screen=yes",
        ),
        ("", |m| m.caller_id.domain = Some("x.example".into()), "\"Bob\" <sip:+15551234@x.example>", "", "", ""),
        ("", |m| m.caller_id.from = Identity::From, "<sip:+1@pbx.test>", "", "", ""),
    ];
    for (n, (lines, change, from, pai, privacy, rpid)) in rows.into_iter().enumerate() {
        let mut b = dials(|config| change(&mut config.trunks[0].manners));
        b.receive(CALLER, invite_from("<sip:+1@carrier>", &format!("{PAI}{lines}")));
        let invite = b.last(CALLEE);
        let header = |name: &str| invite.header_named(name).unwrap_or_default();
        assert_eq!(header("From").split(";tag=").next(), Some(from), "row {n}");
        assert_eq!((header("P-Asserted-Identity"), header("Privacy"), header("Remote-Party-ID")), (pai, privacy, rpid));
    }
}

#[test]
fn headers_and_numbers_are_rewritten_by_rule() {
    let mut b =
        bench(&plan("number: \"${to}\", trunks: [carrier], headers: { X-Seen: \"${header.X-In}\" }"), |config| {
            config.trunks = vec![trunk_with(&[CALLEE], None)];
            let manners = &mut config.trunks[0].manners;
            let text = |t: &str| t.to_owned();
            manners.headers_in =
                vec![HeaderRule::Replace(text("X-In"), text("ours")), HeaderRule::Pass(text("X-Trace"))];
            manners.headers_out =
                vec![HeaderRule::Pass(text("X-Correlation")), HeaderRule::Add(text("X-Out"), text("1"))];
            manners.numbers_in = vec![NumberRule { matches: text("/^(1\\d*)$/"), to: text("+49$1") }];
            manners.numbers_out = vec![NumberRule { matches: text("/^\\+49(\\d+)$/"), to: text("0$1") }];
        });
    let lines = "X-In: theirs\r\nX-Trace: t\r\nX-Correlation: c\r\nX-Other: o\r\n";
    b.receive(CALLER, with(request("INVITE", 1, 1, "", &sdp(4000)), lines));
    let invite = b.last(CALLEE);
    let header = |name: &str| invite.header_named(name).unwrap_or_default();
    assert_eq!((header("X-Seen"), header("X-Trace"), header("X-Correlation")), ("ours", "t", "c"));
    assert_eq!((header("X-Out"), header("X-Other"), invite.request_uri()), ("1", "", "sip:0100@127.0.0.1:7000"));
}

#[test]
fn no_limit_holds_for_emergency_calls() {
    for (emergency, want) in [(vec![], 503), (vec!["100".to_owned()], 0)] {
        let mut b = bench(&plan("number: \"100\", trunks: [carrier]"), |config| {
            config.trunks = vec![trunk_with(&[CALLEE], None)];
            (config.trunks[0].calls_max, config.limits.calls, config.limits.emergency) = (1, 1, emergency);
        });
        b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
        b.receive(CALLER, request("INVITE", 2, 1, "", &sdp(4000)));
        b.input(Input::Late { by: Duration::from_secs(1) });
        b.receive(CALLER, request("INVITE", 3, 1, "", &sdp(4000)));
        let refused = b.sent.iter().any(|(to, m)| to.port() == 6000 && m.status() == 503);
        assert_eq!((refused, count_to(&b, CALLEE)), (want == 503, if want == 503 { 0 } else { 3 }));
    }
}
