//! What strangers, withheld numbers, forged answers and lost acknowledgements do to the switch.

use super::*;
use crate::base::pii::Secret;
use crate::base::rng::Rng;
use crate::config::{TrunkTarget, User, UserSecret};
use crate::sip::auth::{DigestClient, Tries};

const OTHER: &str = "127.0.0.1:7001";

/// A switch with the given configuration instead of the minimal one.
pub fn bench(plan: &str, change: impl FnOnce(&mut Config)) -> Bench {
    let mut b = Bench::new(plan);
    let mut setup = setup(plan);
    change(Arc::make_mut(&mut setup.config));
    b.switch = Switch::new(setup, 7, b.now);
    b
}

pub fn trunk_with(targets: &[&str], options_ping: Option<Duration>) -> Trunk {
    let target = |address: &&str| TrunkTarget { uri: format!("sip:{address}"), priority: 1, weight: 1 };
    let mut trunk = minimal().trunks.remove(0);
    (trunk.targets, trunk.options_ping) = (targets.iter().map(target).collect(), options_ping);
    trunk
}

/// The request with further header lines, which end in CRLF.
pub fn with(request: String, lines: &str) -> String {
    request.replacen("Max-Forwards: 70\r\n", &format!("Max-Forwards: 70\r\n{lines}"), 1)
}

pub fn invite_from(from: &str, lines: &str) -> String {
    with(request("INVITE", 1, 1, "", &sdp(4000)), lines).replacen("<sip:+1212@127.0.0.1:6000>", from, 1)
}

pub fn plan(dial: &str) -> String {
    format!("contexts:\n  any:\n    - do:\n        - dial: {{ {dial} }}\n")
}

pub fn count_to(b: &Bench, to: &str) -> usize {
    let to: SocketAddr = to.parse().unwrap();
    b.sent.iter().filter(|(peer, _)| *peer == to).count()
}

#[test]
fn a_withheld_number_is_kept_and_not_shown() {
    const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    const PAI: &str = "P-Asserted-Identity: \"Bob\" <sip:+15551234@carrier>\r\n";
    let (plain, own) = ("uri: \"sip:200@127.0.0.1:7000\"", "uri: \"sip:200@127.0.0.1:7000\", caller_id: \"+1999\"");
    let rows = [
        (plain, "<sip:anonymous@anonymous.invalid>", "Privacy: id\r\n", "+15551234", ANONYMOUS),
        (plain, "<sip:+15551234@carrier>", "Privacy: critical; USER\r\n", "+15551234", ANONYMOUS),
        (plain, "<sip:+15551234@carrier>", "Privacy: header\r\n", "+15551234", ANONYMOUS),
        (plain, "\"Anonymous\" <sip:anonymous@carrier>", "", "+15551234", ANONYMOUS),
        (plain, "<sip:+1@carrier>", "", "+15551234", "\"Bob\" <sip:+15551234@pbx.test>"),
        (plain, "<sip:+1@carrier>", "Privacy: none\r\n", "+15551234", "\"Bob\" <sip:+15551234@pbx.test>"),
        // The dial names whom to show, and the caller's name stays hidden.
        (own, "<sip:anonymous@anonymous.invalid>", "Privacy: id\r\n", "+15551234", "<sip:+1999@pbx.test>"),
    ];
    for (dial, from, privacy, known, shown) in rows {
        let mut b = Bench::new(&plan(dial));
        b.receive(CALLER, invite_from(from, &format!("{PAI}{privacy}")));
        let invite = b.last(CALLEE).clone();
        let sent = invite.header(HeaderName::From).unwrap_or_default();
        assert_eq!(sent.split(";tag=").next(), Some(shown), "{from} {privacy}");
        b.answer(CALLEE, &invite, "486 Busy Here", "callee", None);
        assert_eq!(b.ended[0].cdr.from, known, "{from} {privacy}");
    }
}

#[test]
fn a_user_is_challenged_without_state_and_calls_as_itself() {
    let mut b = bench(&plan("uri: \"sip:200@127.0.0.1:7000\""), |config| {
        let secret = UserSecret::Password(Secret::new("wonder".into()));
        config.users = vec![User {
            name: "alice".into(),
            secret,
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
    });
    b.receive(CALLER, invite_from("<sip:alice@pbx.test>", ""));
    let challenge = b.last(CALLER).clone();
    assert_eq!((challenge.status(), b.switch.counters().transactions_server), (401, 0));
    b.receive(CALLER, request("ACK", 1, 1, &format!(";tag={}", challenge.to_tag()), ""));
    // The INVITE again gets a 401 again, as of the same dialog (RFC 3261 §8.2.7).
    b.receive(CALLER, invite_from("<sip:alice@pbx.test>", ""));
    assert_eq!((b.last(CALLER).status(), b.last(CALLER).to_tag()), (401, challenge.to_tag()));
    b.pass(Duration::from_secs(60));
    assert_eq!((count_to(&b, CALLER), b.switch.counters().calls_total), (2, 0));

    let mut alice = DigestClient::new("alice", Secret::new("wonder".into()));
    alice.challenged(b.last(CALLER), &mut Tries::default()).unwrap();
    let uri = format!("sip:100@{US}");
    let credentials = &alice.authorize(&mut Rng::from_seed(1), "INVITE", &uri, b"")[0].1;
    let invite = invite_from("\"Mallory\" <sip:+1212@pbx.test>", &format!("Authorization: {credentials}\r\n"));
    b.receive(CALLER, invite.replace("INVITE1", "INVITE2"));
    let from = b.last(CALLEE).header(HeaderName::From).unwrap_or_default();
    assert_eq!(from.split(";tag=").next(), Some("<sip:alice@pbx.test>"));
}

#[test]
fn what_nobody_vouches_for_leaves_no_transaction() {
    for (text, want) in [
        (with(request("INVITE", 1, 1, "", ""), "Require: teleport\r\n"), 420),
        (request("PUBLISH", 1, 1, "", ""), 401),
        (request("SUBSCRIBE", 1, 1, "", ""), 401),
        (request("REFER", 1, 1, "", ""), 403),
        (request("BYE", 1, 1, ";tag=nobody", ""), 481),
        (request("OPTIONS", 1, 1, "", ""), 200),
        (request("REGISTER", 1, 1, "", ""), 401),
    ] {
        let mut b = Bench::new(DIAL);
        b.receive(CALLER, text.clone());
        assert_eq!(b.last(CALLER).status(), want, "{text}");
        assert_eq!((b.switch.counters().transactions_server, b.switch.deadline()), (0, None), "{text}");
    }
}

#[test]
fn a_drained_switch_says_when_to_ask_again() {
    let mut b = Bench::new(DIAL);
    b.input(Input::Operator { id: 1, ask: Operator::Drain });
    b.receive(CALLER, request("OPTIONS", 1, 1, "", ""));
    assert_eq!((b.last(CALLER).status(), b.last(CALLER).number(HeaderName::RetryAfter)), (503, Some(60)));
}

#[test]
fn forged_answers_are_hung_up_slowly_and_once_each() {
    let mut b = Bench::new(DIAL);
    let answer = |n: u32| {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {US};branch=z9hG4bK{n}\r\nFrom: <sip:a@{US}>;tag=00000000000000aa\r\n\
             To: <sip:b@{CALLEE}>;tag=t{n}\r\nCall-ID: c{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:b@192.0.2.66>\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    b.receive(CALLEE, answer(0));
    let methods: Vec<Method> = b.sent.iter().map(|(_, m)| m.method()).collect();
    assert_eq!((methods.as_slice(), count_to(&b, CALLEE)), (&[Method::Ack, Method::Bye][..], 2));
    assert_eq!(b.last(CALLEE).cseq().map(|c| (c.number, c.method)), Some((2, Method::Bye)));
    (1..100).for_each(|n| b.receive(CALLEE, answer(n)));
    assert_eq!(b.sent.len(), 40);
    b.pass(Duration::from_secs(60));
    assert_eq!((b.sent.len(), b.switch.counters().transactions_client), (40, 0));
}

#[test]
fn a_ping_from_before_a_reload_says_nothing() {
    let every = Some(Duration::from_secs(30));
    let mut b = bench(DIAL, |c| c.trunks = vec![trunk_with(&[CALLEE], every)]);
    b.pass(Duration::from_secs(1));
    let ping = b.last(CALLEE).clone();
    let reload = |b: &mut Bench, targets: &[&str], every| {
        let mut setup = setup(DIAL);
        Arc::make_mut(&mut setup.config).trunks = vec![trunk_with(targets, every)];
        b.input(Input::Operator { id: 1, ask: Operator::Reload(Box::new(setup)) });
    };
    let state = |b: &Bench| b.switch.world.trunk_views()[0].targets.iter().map(|t| t.1).collect::<Vec<_>>();
    reload(&mut b, &[OTHER, CALLEE], every);
    b.answer(CALLEE, &ping, "503 Down", "t", None);
    assert_eq!(state(&b), [true, true]);
    b.pass(Duration::from_secs(1));
    let ping = b.last(CALLEE).clone();
    b.answer(CALLEE, &ping, "503 Down", "t", None);
    assert_eq!(state(&b), [true, false]);
    // Kept, whether pings go on or not: who is down is asked until it answers.
    reload(&mut b, &[CALLEE], every);
    assert_eq!(state(&b), [false]);
    reload(&mut b, &[CALLEE], None);
    assert_eq!(state(&b), [false]);
}

#[test]
fn a_caller_chooses_no_host() {
    let dialled = request("INVITE", 1, 1, "", &sdp(4000))
        .replace("INVITE sip:100@127.0.0.1:5060", "INVITE sip:100%40127.0.0.1%3A7001%3B@127.0.0.1:5060");
    let mut b = Bench::new(&plan("uri: \"sip:${to}@127.0.0.1:7000\""));
    b.receive(CALLER, dialled.clone());
    assert_eq!(b.last(CALLEE).request_uri(), "sip:100%40127.0.0.1%3A7001%3B@127.0.0.1:7000");
    // A dialplan that leaves the whole address to a header gets one address or none.
    for (uri, calls) in [
        ("sip:a@127.0.0.1:7000", 1),
        ("\"A\" <sip:a@127.0.0.1:7000>", 1),
        ("sip:a@127.0.0.1:7001@127.0.0.1:7000", 0),
        ("sip:a\"b@127.0.0.1:7000", 0),
        ("sip:a b@127.0.0.1:7000", 0),
    ] {
        let mut b = Bench::new(&plan("uri: \"${header.X-To}\""));
        b.receive(CALLER, with(request("INVITE", 1, 1, "", &sdp(4000)), &format!("X-To: {uri}\r\n")));
        assert_eq!((count_to(&b, CALLEE), count_to(&b, OTHER)), (calls, 0), "{uri}");
    }
}

#[test]
fn a_refusal_that_is_never_acknowledged_ends_no_call() {
    let mut b = Bench::new(DIAL);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    let to_tag = format!(";tag={}", b.last(CALLER).to_tag());
    b.receive(CALLER, request("ACK", 1, 1, &to_tag, ""));
    let reoffer = request("INVITE", 1, 2, &to_tag, "v=0\r\nnonsense\r\n").replace("INVITE1", "again");
    b.receive(CALLER, reoffer);
    assert!(b.last(CALLER).status() >= 400, "{}", b.last(CALLER));
    b.pass(Duration::from_secs(40));
    assert_eq!((b.ended.len(), b.switch.counters().calls_active), (0, 1));
}

#[test]
fn a_phone_that_rings_for_ever_is_given_up_and_not_called_another_way() {
    let mut b = bench(&plan("number: \"200\", trunks: [carrier], timeout: 600s"), |config| {
        config.trunks = vec![trunk_with(&[CALLEE, OTHER], None)];
        config.trunks[0].targets[1].priority = 2;
    });
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "180 Ringing", "callee", None);
    let heard = count_to(&b, CALLER);
    b.pass(Duration::from_secs(150));
    // Once a minute, so that nobody before us gives up (RFC 3261 §13.3.1.1).
    assert_eq!((count_to(&b, CALLER) - heard, b.last(CALLER).status()), (2, 180));
    b.pass(Duration::from_secs(31));
    assert_eq!(b.last(CALLEE).method(), Method::Cancel);
    b.pass(Duration::from_secs(33));
    assert_eq!((b.last(CALLER).status(), count_to(&b, OTHER)), (480, 0));
    assert_eq!(b.ended[0].cdr.ending, Ending::new(Class::Callee, "no_answer", 480));
}
