//! Registering with trunks: what is asked when, and what is believed.

use super::edge::{bench, count_to, trunk_with};
use super::*;
use crate::base::pii::Secret;
use crate::config::{Credentials, Register};

const FIRST: &str = "127.0.0.1:7000";
const SECOND: &str = "127.0.0.1:7001";

pub fn registering(targets: &[&str]) -> Trunk {
    let mut trunk = trunk_with(targets, None);
    trunk.inbound.clear();
    trunk.auth = Some(Credentials { username: "office".into(), password: Secret::new("pw".into()) });
    trunk.register = Some(Register { expires: Duration::from_secs(600), contact_user: None, domain: None });
    trunk
}

/// Grants the REGISTER that came to `from` last, with further header lines.
pub fn granted(b: &mut Bench, from: &str, seconds: u32, lines: &str) {
    let register = b.last(from).clone();
    let contact = register.header(HeaderName::Contact).unwrap_or_default().to_owned();
    let text = String::from_utf8_lossy(register.bytes()).into_owned();
    let is_copied = |l: &&str| ["Via", "From", "To", "Call-", "CSeq"].iter().any(|h| l.starts_with(h));
    let copied: Vec<&str> = text.lines().filter(is_copied).collect();
    let copied = copied.join("\r\n");
    b.receive(from, format!("SIP/2.0 200 OK\r\n{copied}\r\nContact: {contact};expires={seconds}\r\n{lines}\r\n"));
}

fn state(b: &Bench) -> (bool, String) {
    let state = b.switch.world.trunk_views().remove(0).registration.expect("it registers");
    (state.registered, state.why)
}

/// Seconds until something is sent to one of the two, and to whom.
fn next_register(b: &mut Bench) -> (u64, &'static str) {
    let (count, from) = (b.sent.len(), b.now.mono);
    while b.sent.len() == count {
        b.pass(Duration::from_millis(100));
    }
    let (to, message) = b.sent.last().expect("just sent");
    assert_eq!(message.method(), Method::Register);
    (b.now.mono.since(from).as_secs(), if to.port() == 7000 { "first" } else { "second" })
}

#[test]
fn failures_are_spread_and_rarer_each_time() {
    let mut b = bench(DIAL, |c| c.trunks = vec![registering(&[FIRST])]);
    b.pass(Duration::from_secs(1));
    let mut bounds = [(30, 60), (60, 120), (120, 240), (240, 480), (480, 960), (900, 1800), (900, 1800)].into_iter();
    for (least, most) in &mut bounds {
        let register = b.last(FIRST).clone();
        b.answer(FIRST, &register, "403 Forbidden", "t", None);
        assert_eq!(state(&b), (false, "REGISTER was answered with 403 Forbidden".into()));
        let (waited, _) = next_register(&mut b);
        assert!((least..=most).contains(&waited), "{least} <= {waited} <= {most}");
    }
    granted(&mut b, FIRST, 600, "");
    assert_eq!((state(&b).0, b.switch.counters().registers_failed), (true, 7));
    let (waited, _) = next_register(&mut b);
    assert!((480..=540).contains(&waited), "{waited}");
}

#[test]
fn the_next_target_is_asked_when_one_is_silent_or_broken() {
    let mut b = bench(DIAL, |c| c.trunks = vec![registering(&[FIRST, SECOND])]);
    b.pass(Duration::from_secs(1));
    let register = b.last(FIRST).clone();
    b.answer(FIRST, &register, "503 Down", "t", None);
    granted(&mut b, SECOND, 60, "");
    assert!(state(&b).0);
    // It stays with whom it is registered; the other one is asked when that one is silent.
    assert_eq!(next_register(&mut b).1, "second");
    b.sent.clear();
    b.pass(Duration::from_secs(33));
    assert_eq!((b.last(FIRST).method(), state(&b)), (Method::Register, (false, "REGISTER was not answered".into())));
    granted(&mut b, FIRST, 60, "");
    assert!(state(&b).0);
}

#[test]
fn a_call_to_our_contact_is_the_trunks_and_calls_whom_to_names() {
    let plan = "contexts:\n  any:\n    - match: { to: \"4930555\" }\n      do: [ { dial: { uri: \"sip:200@127.0.0.1:7009\" } } ]\n";
    for (change, want) in [
        ("", 1),
        // Parameters lost, but from whom we are registered with; from elsewhere that is nobody.
        (";line=", 0),
        (";other=", 0),
        ("from the carrier", 1),
    ] {
        let mut b = bench(plan, |c| c.trunks = vec![registering(&["127.0.0.3:7000"])]);
        b.pass(Duration::from_secs(1));
        let contact = b.last("127.0.0.3:7000").contact().expect("a Contact").uri.to_owned();
        assert!(contact.starts_with("sip:office@127.0.0.1:5060;line="), "{contact}");
        granted(&mut b, "127.0.0.3:7000", 600, "");
        let uri = match change {
            "" => contact,
            change => {
                contact.split(";line=").next().unwrap_or_default().to_owned()
                    + change.trim_start_matches("from the carrier")
            }
        };
        let from = if change == "from the carrier" { "127.0.0.3:5062" } else { CALLER };
        let invite = request("INVITE", 1, 1, "", &sdp(4000)).replacen(
            "INVITE sip:100@127.0.0.1:5060",
            &format!("INVITE {uri}"),
            1,
        );
        b.receive(from, invite.replacen("To: <sip:100@", "To: <sip:4930555@", 1));
        assert_eq!(count_to(&b, "127.0.0.1:7009"), want, "{change}");
        assert_eq!(b.sent.iter().any(|(_, m)| m.status() == 401), want == 0, "{change}");
    }
}

#[test]
fn a_drain_and_a_reload_say_goodbye() {
    let mut b = bench(DIAL, |c| c.trunks = vec![registering(&[FIRST])]);
    b.pass(Duration::from_secs(1));
    granted(&mut b, FIRST, 600, "");
    let expires = |b: &Bench| b.last(FIRST).number(HeaderName::Expires);
    b.input(Input::Operator { id: 1, ask: Operator::Drain });
    assert_eq!((expires(&b), b.switch.is_drained()), (Some(0), false));
    granted(&mut b, FIRST, 0, "");
    assert!(b.switch.is_drained());
    b.input(Input::Operator { id: 2, ask: Operator::Undrain });
    b.pass(Duration::from_secs(1));
    assert_eq!(expires(&b), Some(600));
    // While the answer is awaited the trunk goes away: the goodbye follows the answer.
    let sent = b.sent.len();
    let reload = |b: &mut Bench, trunks| {
        let mut setup = setup(DIAL);
        Arc::make_mut(&mut setup.config).trunks = trunks;
        b.input(Input::Operator { id: 3, ask: Operator::Reload(Box::new(setup)) });
    };
    reload(&mut b, Vec::new());
    assert_eq!(b.sent.len(), sent);
    granted(&mut b, FIRST, 600, "");
    assert_eq!(expires(&b), Some(0));
    // Nobody answers that: it is forgotten all the same.
    b.pass(Duration::from_secs(60));
    let c = b.switch.counters();
    assert_eq!((c.timers, c.transactions_client, c.trunks_registered), (0, 0, 0));
    // A reload that changes nothing of it leaves it alone.
    reload(&mut b, vec![registering(&[FIRST])]);
    b.pass(Duration::from_secs(1));
    granted(&mut b, FIRST, 600, "");
    let sent = b.sent.len();
    reload(&mut b, vec![registering(&[FIRST])]);
    b.pass(Duration::from_secs(2));
    assert_eq!((b.sent.len(), state(&b).0), (sent, true));
}
