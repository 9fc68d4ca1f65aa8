//! Kamailio as a trunk: it challenges the switch's calls with 407, and it brings calls in.

use interop::carriers::{Carriers, FAR, NEAR, ending};
use interop::kamailio::{self, Role};
use interop::scratch::free_ports;
use interop::sipp::{Side, Sipp, Step};
use interop::tandem::Setup;

#[test]
fn the_switch_answers_a_trunks_challenge() {
    let trunk = std::net::SocketAddr::from(([127, 0, 0, 1], free_ports(2)));
    let (user, password) = kamailio::CREDENTIALS;
    let trunks = format!(
        "  - {{ name: challenging, targets: [\"sip:{trunk}\"], context: from-carrier, auth: {{ username: {user}, password: {password} }} }}\n"
    );
    let stage = Carriers::with(
        "trunk-407",
        "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [challenging] } } ] }\n",
        &Setup { trunks: &trunks, ..Setup::default() },
    );
    let callee = stage.callee(ANSWER);
    let far = std::net::SocketAddr::new(FAR.parse().expect("an address"), callee.port);
    let _kamailio = kamailio::start(stage.scratch.path(), trunk, far, Role::Trunk, None);
    let record = stage.play(&stage.caller("200", TALK), &callee);
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    let trace = stage.tandem.trace(record["call"].as_str().expect("a call's name"));
    assert!(trace.contains("407"), "the timeline shows the challenge:\n{trace}");
}

#[test]
fn a_trunk_with_a_wrong_password_fails_once_and_does_not_loop() {
    let trunk = std::net::SocketAddr::from(([127, 0, 0, 1], free_ports(2)));
    let trunks = format!(
        "  - {{ name: challenging, targets: [\"sip:{trunk}\"], context: from-carrier, auth: {{ username: tandem, password: wrong }} }}\n"
    );
    let stage = Carriers::with(
        "trunk-denied",
        "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [challenging] } } ] }\n",
        &Setup { trunks: &trunks, ..Setup::default() },
    );
    let _kamailio = kamailio::start(stage.scratch.path(), trunk, stage.spare(), Role::Trunk, None);
    // Which failure the caller is told is the switch's choice; a challenge of another realm it must not be told.
    let caller = stage.caller("200", &[Step::Invite, Step::May(100), Step::Expect(503), Step::AckFailure]);
    let mut caller = stage.start(&caller);
    let record = stage.finish(&mut caller, &mut []);
    assert_eq!(record["legs"][1]["status"], 407, "{record}");
}

#[test]
fn calls_come_in_through_a_proxy_that_records_its_route() {
    let stage = Carriers::new(
        "trunk-source",
        "    - { match: { to: /^2\\d+$/ }, do: [ { dial: { number: \"${to}\", trunks: [far] } } ] }\n",
    );
    let proxy = std::net::SocketAddr::new(NEAR.parse().expect("an address"), free_ports(2));
    let _kamailio = kamailio::start(stage.scratch.path(), proxy, stage.tandem.sip(), Role::Proxy, None);
    let caller = Sipp { to: "200", ..Sipp::new("behind", Side::Caller, TALK, "127.0.0.5", free_ports(2), proxy) };
    let record = stage.play(&caller, &stage.callee(ANSWER));
    assert_eq!(ending(&record), ("caller", "hangup"), "{record}");
    assert_eq!(record["trunk"], "near");
}

const TALK: &[Step] = &[
    Step::Invite,
    Step::May(100),
    Step::May(180),
    Step::Expect(200),
    Step::Ack,
    Step::Pause(300),
    Step::Bye,
    Step::Expect(200),
];
const ANSWER: &[Step] = &[
    Step::Get("INVITE"),
    Step::Reply(180),
    Step::ReplySdp(200, "sendrecv"),
    Step::Get("ACK"),
    Step::Get("BYE"),
    Step::Reply(200),
];
