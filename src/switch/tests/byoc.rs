//! Trunks of the REST API: a customer's own carrier, and a customer's own switch.

use super::*;
use crate::config::{Network, Srtp, TrunkTarget};
use crate::switch::{Answers, Dials, DomainSetting, NumberSetting};
use crate::web::Address;
use std::sync::Arc;

const TK: &str = "TK00000000000000000000000000000001";

fn target(uri: &str, priority: u16) -> TrunkTarget {
    TrunkTarget { uri: uri.into(), priority, weight: 1 }
}

/// A switch whose dialplan knows nobody, with a trunk to `targets`, a number that is its and a domain that may call out.
fn bench(targets: Vec<TrunkTarget>, disaster: Option<&str>) -> Bench {
    let mut b = Bench::new("contexts: { any: [ { match: { to: \"1\" }, do: [ answer ] } ] }\n");
    let disaster = disaster.map(|url| Address::new(url, crate::web::Method::Get));
    let answers = Answers::Trunk { name: TK.into(), disaster, record: None };
    let number = NumberSetting { sid: "PN1".into(), answers, status: None };
    let near = CALLER.parse::<std::net::SocketAddr>().unwrap().ip();
    let domain = DomainSetting {
        sid: TK.into(),
        name: "out.test".into(),
        dials: Some(Dials::default()),
        networks: Some(vec![Network { address: near, prefix: 32 }]),
        ..DomainSetting::default()
    };
    let settings = Settings {
        numbers: [("15550001".to_owned(), number)].into(),
        domains: [(domain.name.clone(), Arc::new(domain))].into(),
        trunks: vec![Trunk::at(TK, targets)],
        ..Settings::default()
    };
    b.operate(Operator::Settings(Box::new(settings)));
    b
}

fn invite(uri: &str) -> String {
    request("INVITE", 1, 1, "", &sdp(4000)).replacen(&format!("sip:100@{US}"), uri, 1)
}

fn to_number(b: &mut Bench) {
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)).replace("sip:100@", "sip:+15550001@"));
}

#[test]
fn a_number_of_a_trunk_calls_its_targets_by_priority() {
    let mut b = bench(vec![target("sip:127.0.0.1:7001", 2), target("sip:127.0.0.1:7000", 1)], None);
    to_number(&mut b);
    let first = b.last(CALLEE).clone();
    assert_eq!(first.request_uri(), "sip:+15550001@127.0.0.1:7000");
    b.answer(CALLEE, &first, "503 Busy", "callee", None);
    assert_eq!(b.last("127.0.0.1:7001").request_uri(), "sip:+15550001@127.0.0.1:7001");
}

#[test]
fn a_document_takes_the_call_where_nobody_of_the_trunk_can_be_reached() {
    let cases =
        [("503 Down", Some("http://d.test/x"), 1), ("486 Busy", Some("http://d.test/x"), 0), ("503 Down", None, 0)];
    for (answer, disaster, asked) in cases {
        let mut b = bench(vec![target("sip:127.0.0.1:7000", 1)], disaster);
        to_number(&mut b);
        let invite = b.last(CALLEE).clone();
        b.answer(CALLEE, &invite, answer, "callee", None);
        assert_eq!(b.fetches(), asked, "{answer} {disaster:?}");
        if asked > 0 {
            assert_eq!(&*b.asked().address.url, "http://d.test/x");
        }
    }
}

#[test]
fn a_trunk_that_is_gone_takes_no_call_and_one_that_stays_keeps_its_own() {
    let mut b = bench(vec![target("sip:127.0.0.1:7000", 1)], None);
    to_number(&mut b);
    let invite = b.last(CALLEE).clone();
    b.answer(CALLEE, &invite, "200 OK", "callee", Some(5000));
    b.acknowledge();
    let calls = |b: &Bench| b.switch.world.trunk_views().into_iter().find(|t| t.name == TK).map(|t| t.calls);
    assert_eq!(calls(&b), Some(1));
    let mut settings = b.switch.world.settings.clone();
    settings.trunks[0].srtp = Some(Srtp::Required);
    b.operate(Operator::Settings(Box::new(settings.clone())));
    assert_eq!(calls(&b), Some(1), "the call is still counted");
    settings.trunks.clear();
    b.operate(Operator::Settings(Box::new(settings)));
    assert_eq!((calls(&b), b.ended.len()), (None, 0), "the call goes on");
    assert!(b.switch.world.trunks.get("carrier").is_some(), "the files' stay");
}

#[test]
fn who_is_on_a_trunks_lists_calls_out_by_the_files_trunks_and_nobody_else() {
    let mut b = bench(vec![target("sip:127.0.0.1:7000", 1)], None);
    let mut config = (*b.switch.world.config).clone();
    config.trunks[0].targets = vec![target("sip:127.0.0.1:7002", 1)];
    let mut setup = setup("contexts: { any: [ { match: { to: \"1\" }, do: [ answer ] } ] }\n");
    setup.config = Arc::new(config);
    b.operate(Operator::Reload(Box::new(setup)));
    b.receive(CALLER, invite("sip:+15559999@Out.test"));
    assert_eq!(b.last("127.0.0.1:7002").request_uri(), "sip:+15559999@127.0.0.1:7002");
    let mut b = bench(vec![target("sip:127.0.0.1:7000", 1)], None);
    b.receive("127.0.0.9:6000", invite("sip:+15559999@Out.test"));
    assert_eq!(b.last("127.0.0.9:6000").status(), 403);
    // A number of ours is reached without a carrier.
    b.receive(CALLER, invite("sip:+15550001@out.test"));
    assert_eq!(b.last(CALLEE).request_uri(), "sip:+15550001@127.0.0.1:7000");
}

#[test]
fn a_number_with_byoc_goes_by_that_carrier_alone() {
    for (trunk, expected) in [(TK, Some("sip:+15559999@127.0.0.1:7000")), ("BY9", None)] {
        let mut b = Bench::new("contexts: { any: [ { do: [ { markup: \"http://a.test/app\" } ] } ] }\n");
        b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
        let settings =
            Settings { trunks: vec![Trunk::at(TK, vec![target("sip:127.0.0.1:7000", 1)])], ..Settings::default() };
        b.operate(Operator::Settings(Box::new(settings)));
        b.serve(&format!("<Dial><Number byoc='{trunk}'>+15559999</Number></Dial><Redirect>/after</Redirect>"));
        b.acknowledge();
        let callee: SocketAddr = CALLEE.parse().unwrap();
        let called = b.sent.iter().find(|(to, _)| *to == callee).map(|(_, m)| m.request_uri().to_owned());
        assert_eq!((called.as_deref(), b.fetches()), (expected, if expected.is_some() { 1 } else { 2 }), "{trunk}");
    }
}
