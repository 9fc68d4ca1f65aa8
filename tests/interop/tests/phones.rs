//! Two baresips, registered at the switch with digest, call each other; each plays a melody and records what it hears.

use std::time::Duration;

use interop::baresip::Phone;
use interop::process::until;
use interop::scratch::{Scratch, free_ports};
use interop::sound::{likeness, melody};
use interop::tandem::{Setup, Tandem};

const USERS: &str = "  - { name: alice, password: secret-a, context: internal }\n  - { name: bob, password: secret-b, context: internal }\n";
const DIALPLAN: &str = "contexts:\n  internal:\n    - { name: phones, match: { to: /^[a-z]+$/ }, do: [ { dial: { user: \"${to}\", timeout: 10s } } ] }\n";

/// Places a call from bob to alice; over `transport`, each with its codec.
fn call(name: &str, transport: &str, codecs: [&str; 2]) {
    let scratch = Scratch::new(name);
    let tandem = Tandem::start(scratch.path(), &Setup { users: USERS, dialplan: DIALPLAN, ..Setup::default() });
    let registrar = tandem.sip().to_string();
    let port = free_ports(2 * Phone::PORTS);
    let (song_a, song_b) = (melody(31, 5), melody(32, 5));
    let alice = Phone {
        user: "alice",
        password: "secret-a",
        registrar: &registrar,
        port,
        codec: codecs[0],
        transport,
        encryption: "",
        plays: &song_a,
        dials: None,
    };
    let bob = Phone {
        user: "bob",
        password: "secret-b",
        port: port + Phone::PORTS,
        codec: codecs[1],
        plays: &song_b,
        ..alice.clone()
    };
    let (alice, bob) = (alice.start(scratch.path()), bob.start(scratch.path()));
    alice.wait_registered();
    bob.wait_registered();
    let (status, listed) = tandem.command(&["registrations", "--json"]);
    assert!(status == 0 && listed.contains("alice") && listed.contains("bob"), "{listed}");

    bob.command("dial", &format!("sip:alice@{registrar};transport={transport}"));
    bob.wait_established();
    bob.wait_hung_up();
    alice.wait_hung_up();
    for (name, song, heard) in [("bob", &song_a, bob.heard()), ("alice", &song_b, alice.heard())] {
        let alike = likeness(&song[..32_000], &heard, 400);
        assert!(
            alike >= 0.9,
            "{name} heard {} samples, likeness {alike}:\n{}",
            heard.len(),
            tandem.command(&["trace", "last"]).1
        );
    }
    let record = tandem.cdrs(1).remove(0);
    assert_eq!((&record["user"], &record["rule"]), (&"bob".into(), &"phones".into()), "{record}");
    let used: Vec<&str> = record["legs"].as_array().into_iter().flatten().filter_map(|l| l["codec"].as_str()).collect();
    assert_eq!(used, [codecs[1], codecs[0]], "{record}");
    assert!(record["billable_us"].as_u64().unwrap_or(0) > 4_000_000, "{record}");

    // Both take their registration back when they end.
    drop((alice, bob));
    let gone = until(Duration::from_secs(5), || (tandem.metric("tandem_registrations") == Some(0.0)).then_some(()));
    assert!(gone.is_some(), "registrations stayed");
}

#[test]
fn registered_phones_hear_each_other() {
    call("phones-udp", "udp", ["pcmu", "pcmu"]);
}

#[test]
fn phones_of_different_codecs_hear_each_other_over_tcp() {
    call("phones-tcp", "tcp", ["pcmu", "pcma"]);
}

/// Each speaks its own codec: Tandem decodes and encodes, both ways.
#[test]
fn a_phone_with_opus_and_one_with_g711_hear_each_other() {
    call("phones-opus", "udp", ["opus", "pcmu"]);
}

#[test]
fn a_phone_with_g711_calls_one_with_opus() {
    call("phones-to-opus", "udp", ["pcma", "opus"]);
}

#[test]
fn phones_with_opus_and_g722_hear_each_other() {
    call("phones-wide", "udp", ["opus", "g722"]);
}

#[test]
fn a_wrong_password_registers_nobody() {
    let scratch = Scratch::new("phones-denied");
    let tandem = Tandem::start(scratch.path(), &Setup { users: USERS, dialplan: DIALPLAN, ..Setup::default() });
    let registrar = tandem.sip().to_string();
    let alice = Phone {
        user: "alice",
        password: "wrong",
        registrar: &registrar,
        port: free_ports(Phone::PORTS),
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays: &[0; 160],
        dials: None,
    }
    .start(scratch.path());
    let denied = until(Duration::from_secs(10), || tandem.metric("tandem_messages_denied_total").filter(|n| *n > 0.0));
    assert!(denied.is_some(), "nothing was denied:\n{}", alice.process.tail());
    assert_eq!(tandem.metric("tandem_registrations"), Some(0.0));
    assert!(!alice.process.printed().contains("200 OK"), "{}", alice.process.tail());
}

/// The phone subscribes to its messages by itself; what it is told it prints.
#[test]
fn a_phone_shows_how_many_messages_wait() {
    let scratch = Scratch::new("phones-mwi");
    let tandem = Tandem::start(scratch.path(), &Setup { users: USERS, dialplan: DIALPLAN, ..Setup::default() });
    let registrar = tandem.sip().to_string();
    let alice = Phone {
        user: "alice",
        password: "secret-a",
        registrar: &registrar,
        port: free_ports(Phone::PORTS),
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays: &[0; 160],
        dials: None,
    }
    .start_with_messages(scratch.path());
    let subscribed = until(Duration::from_secs(20), || tandem.metric("tandem_subscriptions").filter(|n| *n == 1.0));
    assert!(subscribed.is_some(), "nobody has subscribed:\n{}", alice.process.tail());
    let (status, said) = tandem.command(&["mwi", "alice", "2", "1"]);
    assert_eq!((status, said.trim()), (0, "alice: 2 new, 1 old"));
    let told = until(Duration::from_secs(10), || alice.process.printed().contains("Voice-Message: 2/1").then_some(()));
    assert!(told.is_some(), "the phone was not told:\n{}", alice.process.tail());
    assert_eq!(tandem.command(&["mwi", "nobody", "1"]).0, 1);
}

/// A phone writes to another: it answers our challenge, the other shows the text. Who is not registered gets none.
#[test]
fn a_phone_writes_to_another() {
    let scratch = Scratch::new("phones-text");
    let tandem = Tandem::start(scratch.path(), &Setup { users: USERS, dialplan: DIALPLAN, ..Setup::default() });
    let registrar = tandem.sip().to_string();
    let port = free_ports(2 * Phone::PORTS);
    let alice = Phone {
        user: "alice",
        password: "secret-a",
        registrar: &registrar,
        port,
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays: &[0; 160],
        dials: None,
    };
    let bob = Phone { user: "bob", password: "secret-b", port: port + Phone::PORTS, ..alice.clone() };
    let alice = alice.start_writing_to(scratch.path(), &format!("sip:bob@{registrar}"));
    alice.wait_registered();
    alice.command("message", "nobody-is-there");
    let failed = || tandem.metric("tandem_texts_failed_total").filter(|n| *n == 1.0);
    assert!(until(Duration::from_secs(10), failed).is_some(), "{}", alice.process.tail());

    let bob = bob.start(scratch.path());
    bob.wait_registered();
    alice.command("message", "lunch-at-noon");
    let shown = || bob.process.printed().contains("lunch-at-noon").then_some(());
    assert!(until(Duration::from_secs(10), shown).is_some(), "{}\n{}", alice.process.tail(), bob.process.tail());
    let relayed = || tandem.metric("tandem_texts_relayed_total").filter(|n| *n == 1.0);
    assert!(until(Duration::from_secs(10), relayed).is_some(), "{}", alice.process.tail());
}
