//! Verifications and signatures that come late, or never.

use super::edge::{bench, invite_from, plan, trunk_with};
use super::*;
use crate::config::identity::{Sign, Signing, Verify};
use crate::config::{Certificate, Identity};
use crate::sip::identity::{Attest, Claims, Event, Fault, Kind, Order, OrderId, Party, Signed, signing_input};

fn identified(change: impl FnOnce(&mut Config)) -> Bench {
    bench(&plan("number: \"+4930123\", trunks: [carrier], timeout: 60s"), |config| {
        config.trunks = vec![trunk_with(&[CALLEE], None)];
        let own = Certificate { certificate: "c".into(), key: "k".into() };
        config.sip.identity.signing = Some(Signing { own, x5u: "https://a/c".into(), origid: None });
        config.sip.identity.roots = Some("r".into());
        (config.sip.identity.fresh, config.sip.identity.wait) = (Duration::from_secs(60), Duration::from_secs(2));
        change(config);
    })
}

/// How many INVITEs went to the called side, retransmissions not counted.
fn invites(b: &Bench) -> usize {
    let to: SocketAddr = CALLEE.parse().unwrap();
    let all = b.sent.iter().filter(|(peer, m)| *peer == to && m.method() == Method::Invite);
    all.map(|(_, m)| m.branch().to_owned()).collect::<std::collections::BTreeSet<_>>().len()
}

/// An INVITE of +1212 to 100 with a token that fits it.
fn with_token() -> String {
    let claims = Claims {
        iat: 1,
        orig: Party::Number("1212".into()),
        dest: vec![Party::Number("100".into())],
        attest: Some(Attest::A),
        origid: Some("x".into()),
    };
    let input = signing_input("https://a/c", &claims);
    let token = Signed::write(&input, &[7; 64], "https://a/c", true);
    invite_from("<sip:+1212@carrier>", &format!("Identity: {token}\r\n"))
}

#[test]
fn a_call_waits_for_its_verification_and_no_longer_than_it_may() {
    for (policy, late, want) in [(Verify::Mark, false, 1), (Verify::Mark, true, 1), (Verify::Refuse, true, 0)] {
        let mut b = identified(|c| c.trunks[0].identity.verify = policy);
        b.receive(CALLER, with_token());
        assert_eq!((b.identity.len(), invites(&b)), (1, 0));
        if late {
            b.pass(Duration::from_millis(1_999));
            assert_eq!(invites(&b), 0);
            b.pass(Duration::from_millis(1));
        } else {
            b.input(Input::Identity(Event::Verified { id: OrderId(1), result: Ok(()) }));
        }
        assert_eq!(invites(&b), want, "{policy:?} {late}");
        // What comes after that changes nothing.
        let fault = Fault::new(Kind::Invalid, "too late");
        b.input(Input::Identity(Event::Verified { id: OrderId(1), result: Err(fault) }));
        assert_eq!(invites(&b), want);
        if want == 0 {
            let refusal = b.last(CALLER);
            assert_eq!((refusal.status(), refusal.reason()), (436, "Bad Identity Info"));
            assert_eq!(refusal.header(HeaderName::Reason), Some("STIR;cause=436;text=\"Bad Identity Info\""));
        }
    }
}

#[test]
fn who_gives_up_while_it_is_verified_is_gone() {
    let mut b = identified(|_| {});
    b.receive(CALLER, with_token());
    b.receive(CALLER, with_token().replace("INVITE sip", "CANCEL sip").replace("1 INVITE", "1 CANCEL"));
    assert_eq!(b.last(CALLER).status(), 487);
    b.input(Input::Identity(Event::Verified { id: OrderId(1), result: Ok(()) }));
    b.pass(Duration::from_secs(100));
    assert_eq!((invites(&b), b.ended.len(), b.switch.counters().calls_active), (0, 1, 0));
}

#[test]
fn an_invite_waits_for_its_signature_and_goes_without_one_after_a_second() {
    for (answer, signed) in [(Some(true), true), (Some(false), false), (None, false)] {
        let mut b = identified(|c| {
            c.trunks[0].identity.sign = Sign::Auto;
            c.trunks[0].identity.verify = Verify::Pass;
        });
        b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
        assert!(matches!(&b.identity[..], [Order::Sign { .. }]) && invites(&b) == 0);
        let signature = match answer {
            Some(true) => Ok(vec![1; 64]),
            _ => Err("no".to_owned()),
        };
        if answer.is_some() {
            b.input(Input::Identity(Event::Signed { id: OrderId(1), signature }));
        } else {
            b.pass(Duration::from_millis(999));
            assert_eq!(invites(&b), 0);
            b.pass(Duration::from_millis(1));
        }
        assert_eq!((invites(&b), b.last(CALLEE).header_named("Identity").is_some()), (1, signed));
    }
}

#[test]
fn a_number_that_is_withheld_is_not_told_by_a_token() {
    for (send, orders) in [(None, 0), (Some(Identity::Pai), 1)] {
        let mut b = identified(|c| {
            c.trunks[0].identity.sign = Sign::Auto;
            c.trunks[0].identity.verify = Verify::Pass;
            c.trunks[0].manners.caller_id.send = send;
        });
        b.receive(CALLER, invite_from("<sip:+1212@carrier>", "Privacy: id\r\n"));
        assert_eq!(b.identity.len(), orders);
    }
}

#[test]
fn what_a_phone_or_a_stranger_says_of_its_own_number_is_not_believed() {
    let verified = "From: <sip:+1212;verstat=TN-Validation-Passed@x>";
    for (is_trunk, want) in [(true, "TN-Validation-Passed"), (false, "")] {
        let plan = "contexts:\n  any:\n    - do: [ { log: \"said ${verstat}\" }, { reject: busy } ]\n";
        let mut b = bench(plan, |c| {
            c.sip.anonymous_context = Some("any".into());
            c.trunks = if is_trunk { vec![trunk_with(&[CALLEE], None)] } else { Vec::new() };
        });
        let invite = invite_from("<sip:+1212@carrier>", "").replace("From: <sip:+1212@carrier>", verified);
        b.receive(CALLER, invite);
        let said = format!("{:?}", b.ended[0].timeline.entries());
        assert!(said.contains(&format!("said {want}\"")), "{said}");
    }
}
