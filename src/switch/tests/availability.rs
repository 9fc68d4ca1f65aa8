//! What users change of where their calls go outlives the switch: it is told as a fact, and handed in at the next start.

use super::*;
use crate::base::pii::Secret;
use crate::base::rng::Rng;
use crate::config::{User, UserSecret};
use crate::event::Changed;
use crate::sip::auth::{DigestClient, Tries};

const PLAN: &str = "contexts:\n  any:\n    - { match: { to: /^\\*72(\\d+)$/ }, do: [ { forward: \"$1\" }, answer, hangup ] }\n    \
    - { match: { to: \"*73\" }, do: [ { forward: { always: off, dnd: on } }, answer, hangup ] }\n    \
    - { match: { to: alice }, do: [ { dial: alice } ] }\n    \
    - { match: { to: \"200\" }, do: [ { dial: { uri: \"sip:200@127.0.0.1:7000\" } } ] }\n";

fn bench() -> Bench {
    let mut setup = setup(PLAN);
    let mut config = minimal();
    config.users = vec![User {
        name: "alice".into(),
        secret: UserSecret::Password(Secret::new("secret".into())),
        context: "any".into(),
        redirects: crate::config::Redirects::Follow,
        display: None,
        srtp: None,
        dtmf: Default::default(),
        refer: Default::default(),
        numbers: Vec::new(),
        availability: Default::default(),
        pickup_groups: Vec::new(),
    }];
    setup.config = Arc::new(config);
    Bench::with(setup)
}

/// Alice calls a code.
fn dials(b: &mut Bench, n: usize, code: &str) {
    let uri = format!("sip:{code}@{US}");
    let text = |cseq: u32, header: &str| {
        let text = request("INVITE", n, cseq, "", &sdp(4000)).replace("sip:100@", &format!("sip:{code}@"));
        let text = text.replace(&format!("<sip:+1212@{CALLER}>"), "<sip:alice@pbx.test>");
        text.replace(&format!("INVITE{n}"), &format!("INVITE{n}{cseq}")).replace("Call-ID", &format!("{header}Call-ID"))
    };
    b.receive(CALLER, text(1, ""));
    assert_eq!(b.last(CALLER).status(), 401);
    let mut phone = DigestClient::new("alice", Secret::new("secret".into()));
    phone.challenged(b.last(CALLER), &mut Tries::default()).unwrap();
    let value = phone.authorize(&mut Rng::from_seed(1), "INVITE", &uri, b"").remove(0).1;
    b.receive(CALLER, text(2, &format!("Authorization: {value}\r\n")));
    assert_eq!(b.last(CALLER).status(), 200);
}

/// Somebody on a trunk calls alice.
fn called(b: &mut Bench, n: usize) {
    b.receive(CALLER, request("INVITE", n, 1, "", &sdp(4000)).replace("sip:100@", "sip:alice@"));
}

#[test]
fn what_a_code_changed_holds_after_a_restart() {
    let mut before = bench();
    dials(&mut before, 1, "*72200");
    let changed = before.reached.clone();
    let to_200 = Changed { always: Some(Some("200".into())), ..Changed::default() };
    assert_eq!(changed, [("alice".to_owned(), to_200)].into());

    let mut after = bench();
    after.switch.set_changed(changed);
    called(&mut after, 1);
    assert_eq!(after.last(CALLEE).method(), Method::Invite);

    let mut fresh = bench();
    called(&mut fresh, 1);
    assert_eq!(fresh.last(CALLER).status(), 480, "nobody is registered, and nothing was changed");
}

#[test]
fn what_is_taken_back_is_told_too_and_what_changes_nothing_is_not() {
    let mut b = bench();
    dials(&mut b, 1, "*72200");
    dials(&mut b, 2, "*73");
    let quiet = Changed { always: Some(None), dnd: Some(true), ..Changed::default() };
    assert_eq!(std::mem::take(&mut b.reached), [("alice".to_owned(), quiet)].into());
    dials(&mut b, 3, "*73");
    assert!(b.reached.is_empty());
    called(&mut b, 4);
    assert_eq!(b.last(CALLER).status(), 486);
}

#[test]
fn an_operator_sees_and_changes_what_is_in_force() {
    let mut b = bench();
    let ask = |b: &mut Bench, user: &str, always: Option<&str>, dnd| {
        let always = always.map(str::to_owned);
        let set = crate::verb::FeatureSettings { always, busy: None, no_answer: None, dnd };
        b.operate(Operator::Forwarding { user: user.into(), set });
        b.replies.pop().unwrap()
    };
    let Reply::Forwarding(view) = ask(&mut b, "alice", None, None) else { panic!("it is shown") };
    assert_eq!((view.availability, view.changed), Default::default());
    assert!(b.reached.is_empty());
    let Reply::Forwarding(view) = ask(&mut b, "alice", Some("200"), Some(true)) else { panic!("it is changed") };
    let changed = Changed { always: Some(Some("200".into())), dnd: Some(true), ..Changed::default() };
    assert_eq!((view.availability.forward.always.as_deref(), view.availability.dnd), (Some("200"), true));
    assert_eq!((&view.changed, b.reached.get("alice")), (&changed, Some(&changed)));
    assert!(matches!(ask(&mut b, "alice", Some("2 0"), Some(false)), Reply::Refused(_)));
    assert!(matches!(ask(&mut b, "nobody", None, None), Reply::NotFound));
    called(&mut b, 1);
    assert_eq!(b.last(CALLEE).method(), Method::Invite);
}
