//! SIP domains of the REST API: who may call and register there, and what becomes of it.

use super::*;
use crate::base::pii::Secret;
use crate::base::rng::Rng;
use crate::config::Network;
use crate::sip::auth::{Algorithm, DigestClient, Tries};
use crate::switch::DomainSetting;
use std::sync::Arc;

const PLAN: &str = "contexts: { any: [ { match: { to: \"1\" }, do: [ answer ] } ] }\n";

fn users(password: &str) -> Option<BTreeMap<String, Secret>> {
    let ha1 = Algorithm::Md5.ha1("alice", "pbx.test", password);
    Some([("alice".to_owned(), Secret::new(ha1))].into())
}

fn networks(address: &str) -> Option<Vec<Network>> {
    Some(vec![Network { address: address.parse().unwrap(), prefix: 32 }])
}

fn bench(change: impl FnOnce(&mut DomainSetting)) -> Bench {
    let mut b = Bench::new(PLAN);
    let address = crate::web::Address::new("http://n.test/voice", crate::web::Method::Post);
    let mut domain = DomainSetting {
        sid: "SD1".into(),
        name: "phones.test".into(),
        voice: Some(address),
        registers: true,
        ..DomainSetting::default()
    };
    change(&mut domain);
    let domains = [(domain.name.clone(), Arc::new(domain))].into();
    b.operate(Operator::Settings(Box::new(Settings { domains, ..Settings::default() })));
    b
}

/// An INVITE or REGISTER to the domain; again with this password, if it is challenged. The last status; 0 for none.
fn ask(b: &mut Bench, method: &str, password: &str) -> u16 {
    let uri = if method == "INVITE" { "sip:Help@Phones.test" } else { "sip:phones.test" };
    let text = |n: u32, header: &str| {
        let text = request(method, n as usize, n, "", &if method == "INVITE" { sdp(4000) } else { String::new() });
        let line = text.lines().next().unwrap().to_owned();
        let text = text.replacen(&line, &format!("{method} {uri} SIP/2.0"), 1);
        let to = text.lines().find(|l| l.starts_with("To:")).unwrap().to_owned();
        text.replacen(&to, &format!("{header}To: <sip:alice@phones.test>"), 1)
    };
    b.receive(CALLER, text(1, ""));
    if b.sent.is_empty() {
        return 0;
    }
    let first = b.last(CALLER).status();
    let mut phone = DigestClient::new("alice", Secret::new(password.into()));
    if first != 401 || phone.challenged(b.last(CALLER), &mut Tries::default()).is_err() {
        return first;
    }
    let value = phone.authorize(&mut Rng::from_seed(1), method, uri, b"").remove(0).1;
    b.receive(CALLER, text(2, &format!("Authorization: {value}\r\n")));
    b.last(CALLER).status()
}

#[test]
fn a_call_to_a_domain_is_let_in_by_its_lists_and_answered_by_its_application() {
    let near = CALLER.parse::<std::net::SocketAddr>().unwrap().ip().to_string();
    // Credentials, networks, and whether the application is asked; else the status.
    let rows = [
        (None, None, 403),
        (users("a"), None, 0),
        (users("b"), None, 401),
        (None, networks(&near), 0),
        (None, networks("192.0.2.99"), 403),
        (users("a"), networks(&near), 0),
        (users("a"), networks("192.0.2.99"), 403),
        (users("b"), networks(&near), 401),
    ];
    for (n, (calls, networks, expected)) in rows.into_iter().enumerate() {
        let mut b = bench(|d| (d.calls, d.networks) = (calls, networks));
        let status = ask(&mut b, "INVITE", "a");
        if expected > 0 {
            assert_eq!((status, b.fetches()), (expected, 0), "row {n}");
            continue;
        }
        assert_eq!(&*b.asked().address.url, "http://n.test/voice", "row {n}");
        let all = b.asked().parameters.clone();
        let told = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        assert_eq!(told("To").as_deref(), Some("sip:Help@phones.test"), "row {n}");
        assert_eq!((told("SipDomain").as_deref(), told("SipDomainSid").as_deref()), (Some("phones.test"), Some("SD1")));
    }
}

#[test]
fn a_phone_registers_at_a_domain_that_takes_registrations() {
    let rows = [("a", true, true, 200), ("a", true, false, 403), ("a", false, true, 403), ("b", true, true, 401)];
    for (password, is_mapped, registers, expected) in rows {
        let mut b = bench(|d| (d.registrations, d.registers) = (users("a").filter(|_| is_mapped), registers));
        assert_eq!(ask(&mut b, "REGISTER", password), expected, "{password} {is_mapped} {registers}");
        let bound: Vec<String> = b.switch.world.registrations().into_iter().map(|r| r.user).collect();
        assert_eq!(bound, if expected == 200 { vec!["alice@phones.test"] } else { vec![] });
    }
}

#[test]
fn the_domain_of_the_file_wins() {
    let mut b = bench(|d| (d.name, d.calls) = ("pbx.test".into(), users("a")));
    assert!(b.switch.world.settings.domains.is_empty());
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    assert_eq!(b.fetches(), 0);
}
