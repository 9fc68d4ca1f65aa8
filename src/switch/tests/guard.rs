//! Strangers at the door: bans, limits, and calls that go on while thousands knock.

use super::edge::{bench, count_to, trunk_with};
use super::*;
use crate::base::pii::Secret;
use crate::base::rng::Rng;
use crate::config::{User, UserSecret};
use crate::sip::auth::{DigestClient, Tries};

pub(super) const PHONE: &str = "192.0.2.7:5062";

fn guarded(change: impl FnOnce(&mut Config)) -> Bench {
    house(DIAL, change)
}

/// A switch that alice may register with, and one trunk.
pub(super) fn house(plan: &str, change: impl FnOnce(&mut Config)) -> Bench {
    bench(plan, |config| {
        config.trunks = vec![trunk_with(&[CALLEE], None)];
        let secret = UserSecret::Password(Secret::new("wonder".into()));
        let (name, context) = ("alice".into(), "any".into());
        config.users = vec![User {
            name,
            secret,
            context,
            redirects: crate::config::Redirects::Follow,
            display: None,
            srtp: None,
            dtmf: Default::default(),
            refer: Default::default(),
            numbers: Vec::new(),
            availability: Default::default(),
            pickup_groups: Vec::new(),
        }];
        change(config);
    })
}

fn register(n: usize, agent: &str, authorization: &str) -> String {
    format!(
        "REGISTER sip:pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP {PHONE};branch=z9hG4bKr{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@pbx.test>;tag=r\r\nTo: <sip:alice@pbx.test>\r\nCall-ID: register\r\nCSeq: {n} REGISTER\r\n\
         Contact: <sip:alice@{PHONE}>\r\nUser-Agent: {agent}\r\n{authorization}Content-Length: 0\r\n\r\n"
    )
}

/// The next REGISTER of a phone with this password.
pub(super) fn with_password(b: &mut Bench, from: &str, n: &mut usize, password: &str) -> u16 {
    *n += 2;
    b.receive(from, register(*n, "phone", ""));
    let mut alice = DigestClient::new("alice", Secret::new(password.into()));
    if b.last(from).status() != 401 || alice.challenged(b.last(from), &mut Tries::default()).is_err() {
        return 0;
    }
    let value = alice.authorize(&mut Rng::from_seed(1), "REGISTER", "sip:pbx.test", b"").remove(0).1;
    let sent = b.sent.len();
    b.receive(from, register(*n + 1, "phone", &format!("Authorization: {value}\r\n")));
    if b.sent.len() == sent { 0 } else { b.last(from).status() }
}

/// How many messages to send before silence, at so many a second.
fn until_silence(b: &mut Bench, from: &str, a_second: u64, text: impl Fn(usize) -> String) -> usize {
    for n in 0..400 {
        let dropped = b.switch.counters().messages_banned;
        b.receive(from, text(n));
        if b.switch.counters().messages_banned > dropped {
            return n;
        }
        b.pass(Duration::from_micros(1_000_000 / a_second));
    }
    400
}

#[test]
fn offences_ban_and_a_phone_does_not_notice() {
    type Text = fn(usize) -> String;
    let options: Text = |n| request("OPTIONS", n, 1, "", "");
    let rows: [(&str, u64, Text, usize); 8] = [
        ("a scanner", 10, |n| register(n, "Friendly-Scanner", ""), 1),
        ("noise", 10, |_| "GET / HTTP/1.1\r\nHost: x\r\n\r\n".into(), 11),
        ("noise, one in 10 s", 1, |_| "noise".into(), 12),
        ("no credentials", 10, |n| register(n, "phone", ""), 119),
        ("dialogs of nobody", 10, |n| request("BYE", n, 1, ";tag=nobody", ""), 119),
        ("no credentials, now and then", 1, |n| register(n, "phone", ""), 400),
        ("keep-alives", 100, |_| "\r\n\r\n".into(), 400),
        ("requests that anybody may send", 10, options, 400),
    ];
    for (what, a_second, text, want) in rows {
        let mut b = guarded(|_| {});
        assert_eq!(until_silence(&mut b, PHONE, a_second, text), want, "{what}");
        // A trunk's source may do as it likes.
        assert_eq!(until_silence(&mut b, CALLER, a_second, text), 400, "{what}");
    }
}

#[test]
fn wrong_passwords_ban_longer_each_time_and_an_operator_lifts_it() {
    let mut b = guarded(|_| {});
    let mut n = 0;
    let bans = |b: &mut Bench| {
        b.input(Input::Operator { id: 1, ask: Operator::Bans });
        let Some(Reply::Bans(bans)) = b.replies.pop() else { panic!("no bans") };
        bans.iter().map(|v| format!("{} {} {} {}", v.source, v.why, v.for_s, v.times)).collect::<Vec<_>>().join(", ")
    };
    for (times, for_s) in [(1, 600), (2, 1200), (3, 2400)] {
        let failed = (0..).take_while(|_| with_password(&mut b, PHONE, &mut n, "guess") == 401).count();
        assert_eq!(failed, 9, "ban {times}");
        assert_eq!(bans(&mut b), format!("192.0.2.7 failed-authentication {for_s} {times}"));
        assert_eq!(with_password(&mut b, PHONE, &mut n, "wonder"), 0);
        b.pass(Duration::from_secs(for_s));
        b.receive(CALLER, request("OPTIONS", n, 1, "", ""));
        assert_eq!((bans(&mut b).as_str(), b.switch.counters().sources_banned), ("", 0));
    }
    assert_eq!((0..10).map(|_| with_password(&mut b, PHONE, &mut n, "guess")).last(), Some(0));
    b.input(Input::Operator { id: 2, ask: Operator::Unban("192.0.2.7".parse().unwrap()) });
    assert!(matches!(b.replies.pop(), Some(Reply::Done)));
    assert_eq!(with_password(&mut b, PHONE, &mut n, "wonder"), 200);
    // Where somebody has proven to be a user, the same does not suffice.
    for _ in 0..50 {
        b.pass(Duration::from_millis(100));
        assert_eq!(with_password(&mut b, PHONE, &mut n, "guess"), 401);
    }
    // Neither does a forged scanner's message.
    b.receive(PHONE, register(9_000, "sipvicious", ""));
    assert_eq!(with_password(&mut b, PHONE, &mut n, "wonder"), 200);
}

#[test]
fn a_source_begins_so_much_a_second_and_ends_what_it_likes() {
    for (rate, want) in [(50, 50), (5, 5), (0, 300)] {
        let mut b = guarded(|config| config.sip.guard.requests = rate);
        (0..300).for_each(|n| b.receive(PHONE, request("OPTIONS", n, 1, "", "").replace(CALLER, PHONE)));
        assert_eq!(count_to(&b, PHONE), want);
        b.pass(Duration::from_secs(1));
        let before = count_to(&b, PHONE);
        (0..60).for_each(|n| b.receive(PHONE, request("BYE", n, 1, ";tag=x", "").replace(CALLER, PHONE)));
        assert_eq!(count_to(&b, PHONE) - before, 60);
    }
}

/// What comes has waited so long, and did so for a tenth of a second.
fn stand(b: &mut Bench, late_ms: u64) {
    for _ in 0..3 {
        b.input(Input::Late { by: Duration::from_millis(late_ms) });
        b.pass(Duration::from_millis(50));
    }
    b.input(Input::Late { by: Duration::from_millis(late_ms) });
}

#[test]
fn when_we_are_late_new_things_wait_and_others_do_not() {
    let answered = |late_ms: u64, method: &str| {
        let mut b = guarded(|config| config.sip.anonymous_context = Some("any".into()));
        stand(&mut b, late_ms);
        let text = |n: usize| request(method, n, 1, if method == "BYE" { ";tag=x" } else { "" }, "");
        (0..200).for_each(|n| b.receive(CALLER, text(n)));
        let refused = b.sent.iter().filter(|(_, m)| m.status() == 503 && m.number(HeaderName::RetryAfter) >= Some(5));
        (refused.count(), b.switch.counters().overload_refused as usize)
    };
    for (late_ms, least, most) in
        [(0, 0, 0), (10, 0, 0), (11, 0, 20), (30, 70, 130), (42, 130, 190), (50, 200, 200), (9_999, 200, 200)]
    {
        for method in ["INVITE", "REGISTER"] {
            let (refused, counted) = answered(late_ms, method);
            assert!((least..=most).contains(&refused) && refused == counted, "{late_ms} ms, {method}: {refused}");
        }
        assert_eq!((answered(late_ms, "OPTIONS").1, answered(late_ms, "BYE").1), (0, 0));
    }
}

/// Each request twice, as over a slow way: what was refused is refused again in the same words and its ACK ends here; what was taken
/// is not taken twice; calls for help pass.
#[test]
fn a_refusal_while_we_are_late_holds_nothing_and_repeats_itself() {
    let mut b = guarded(|config| config.limits.emergency = vec!["112".into()]);
    stand(&mut b, 34);
    let (mut refused, mut taken) = (0, 0);
    for n in 0..200 {
        let invite = request("INVITE", n, 1, "", &sdp(4000));
        let before = (b.sent.len(), b.switch.counters().overload_refused, b.switch.counters().transactions_server);
        b.receive(CALLER, invite.clone());
        if b.switch.counters().overload_refused == before.1 {
            taken += 1;
            b.receive(CALLER, invite);
            assert_eq!(b.switch.counters().overload_refused, before.1, "{n} is repeated");
            continue;
        }
        refused += 1;
        b.receive(CALLER, invite.clone());
        let answers: Vec<&Message> = b.sent[before.0..].iter().map(|(_, m)| m).collect();
        assert_eq!((answers.len(), answers[0].status(), answers[0].bytes()), (2, 503, answers[1].bytes()), "{n}");
        let tag = format!(";tag={}", answers[0].to_tag());
        let sent = b.sent.len();
        b.receive(CALLER, request("ACK", n, 1, &tag, ""));
        assert_eq!((b.sent.len(), b.switch.counters().transactions_server), (sent, before.2), "{n} is acknowledged");
        let help = request("INVITE", 1_000 + n, 1, "", &sdp(4000)).replace("INVITE sip:100@", "INVITE sip:112@");
        b.receive(CALLER, help);
        let takes_over = request("INVITE", 2_000 + n, 1, "", &sdp(4000));
        b.receive(CALLER, takes_over.replace("\r\nFrom:", "\r\nReplaces: x;to-tag=1;from-tag=2\r\nFrom:"));
        assert_eq!(b.switch.counters().overload_refused, before.1 + 2, "{n} calls for help, or takes over");
    }
    assert!(refused > 80 && taken > 30, "{refused} refused, {taken} taken");
    assert_eq!(b.switch.counters().calls_total as usize, taken + refused);
    // When the queue is gone, everything is taken, and nothing of it was kept.
    b.input(Input::Late { by: Duration::ZERO });
    b.pass(Duration::from_secs(60));
    let before = b.switch.counters().overload_refused;
    (5_000..5_050).for_each(|n| b.receive(CALLER, request("INVITE", n, 1, "", &sdp(4000))));
    assert_eq!(b.switch.counters().overload_refused, before);
}

/// Five seconds of 5,000 bad requests a second from many sources, with 50 calls and 2 registrations a second between them.
#[test]
fn calls_go_on_while_thousands_knock() {
    let mut b = guarded(|_| {});
    let (mut rng, mut n) = (Rng::from_seed(5), 0);
    for tenth in 0..50u64 {
        for _ in 0..500 {
            n += 1;
            let few = rng.chance(700);
            let host = if few { rng.below(200) } else { rng.below(1 << 22) };
            let from = format!("10.{}.{}.{}:5060", host >> 16, host >> 8 & 255, host & 255);
            let text = match rng.below(6) {
                0 => "noise".to_owned(),
                1 => register(n, "phone", "").replace(PHONE, &from),
                2 => register(
                    n,
                    "phone",
                    "Authorization: Digest username=\"alice\", realm=\"pbx.test\", nonce=\"0\", uri=\"sip:x\", response=\"0\"\r\n",
                ),
                3 => request("INVITE", n, 1, "", "v=0").replace("Via", "Vla"),
                4 => request("INVITE", n, 1, "", &sdp(4000)).replace(CALLER, &from),
                _ => register(n, "sipcli/v1.8", ""),
            };
            b.receive(&from, text);
        }
        (0..5).for_each(|i| one_call(&mut b, 1_000_000 + tenth as usize * 5 + i));
        if tenth % 5 == 0 {
            let mut number = 100_000 + tenth as usize * 10;
            assert_eq!(with_password(&mut b, PHONE, &mut number, "wonder"), 200);
        }
        b.sent.clear();
        b.pass(Duration::from_millis(100));
    }
    let c = b.switch.counters();
    let good = b.ended.iter().filter(|r| r.cdr.ending == Ending::new(Class::Caller, "hangup", 0)).count();
    assert_eq!((good, b.ended.len(), c.calls_total), (250, 250, 250));
    // Most of the 25,000 come from sources that are banned by then, or scan.
    assert!(c.messages_banned > 12_000, "{c:?}");
    assert!(c.sources_known <= 32_768 && c.transactions_server < 600, "{c:?}");
    b.pass(Duration::from_secs(120));
    assert_eq!((b.switch.counters().transactions_server, b.switch.counters().timers), (0, 0));
}
