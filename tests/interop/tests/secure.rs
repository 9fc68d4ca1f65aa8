//! baresips with SRTP through the switch: to a plain phone, from one, and to each other under keys of their own.

use interop::baresip::Phone;
use interop::scratch::{Scratch, free_ports};
use interop::sound::{likeness, melody};
use interop::tandem::{Setup, Tandem};

const DIALPLAN: &str = "contexts:\n  internal:\n    - { name: phones, match: { to: /^[a-z]+$/ }, do: [ { dial: { user: \"${to}\", timeout: 10s } } ] }\n";

/// Bob calls Alice; each with its `mediaenc`, and Alice under a policy. The suite that each leg has in the timeline, and whether
/// it is there.
fn call(name: &str, [alice_has, bob_has]: [&str; 2], alice_must: &str, secured: [bool; 2]) {
    let scratch = Scratch::new(name);
    let users = format!(
        "  - {{ name: alice, password: secret-a, context: internal, srtp: {alice_must} }}\n  - {{ name: bob, password: secret-b, context: internal }}\n"
    );
    let tandem = Tandem::start(scratch.path(), &Setup { users: &users, dialplan: DIALPLAN, ..Setup::default() });
    let registrar = tandem.sip().to_string();
    let port = free_ports(2 * Phone::PORTS);
    let (song_a, song_b) = (melody(41, 4), melody(42, 4));
    let alice = Phone {
        user: "alice",
        password: "secret-a",
        registrar: &registrar,
        port,
        codec: "pcmu",
        transport: "tcp",
        encryption: alice_has,
        plays: &song_a,
        dials: None,
    };
    let bob = Phone {
        user: "bob",
        password: "secret-b",
        port: port + Phone::PORTS,
        codec: "pcma",
        encryption: bob_has,
        plays: &song_b,
        ..alice.clone()
    };
    let (alice, bob) = (alice.start(scratch.path()), bob.start(scratch.path()));
    alice.wait_registered();
    bob.wait_registered();
    bob.command("dial", &format!("sip:alice@{registrar};transport=tcp"));
    bob.wait_established();
    bob.wait_hung_up();
    alice.wait_hung_up();
    let (_, trace) = tandem.command(&["trace", "last"]);
    for (name, song, heard) in [("bob", &song_a, bob.heard()), ("alice", &song_b, alice.heard())] {
        let alike = likeness(&song[..24_000], &heard, 400);
        assert!(alike >= 0.9, "{name} heard {} samples, likeness {alike}:\n{trace}", heard.len());
    }
    let record = tandem.cdrs(1).remove(0);
    for (leg, secured) in record["legs"].as_array().expect("legs").iter().zip(secured) {
        let quality = &leg["quality"];
        // baresip's first RTCP packet, before its SRTP is there, and its last, after that is gone, are plain.
        let unprotected = quality["packets_unprotected"].as_u64();
        assert!(unprotected.is_some_and(|n| n <= 2 * u64::from(secured)), "{trace}\n{record}");
        // The first of baresip's suites where it offers, the first of ours where we do.
        let is_bob = leg["peer"] == "bob";
        let said = if is_bob { "pcma, SRTP AES_CM_128_HMAC_SHA1_80" } else { "pcmu, SRTP AEAD_AES_256_GCM" };
        assert_eq!(trace.contains(said), secured, "{said}:\n{trace}");
        assert!(quality["mos"].as_f64().unwrap_or(0.0) > 4.0, "{record}");
    }
}

#[test]
fn a_phone_with_srtp_calls_a_plain_one() {
    call("secure-plain", ["", "srtp-mand"], "off", [true, false]);
}

#[test]
fn a_plain_phone_calls_one_that_must_have_srtp() {
    call("plain-secure", ["srtp-mand", ""], "required", [false, true]);
}

/// One by RTP/SAVPF, one by RTP/AVP with keys beside it.
#[test]
fn two_phones_with_srtp_have_keys_of_their_own() {
    call("secure-both", ["srtp-mand", "srtp-mandf"], "required", [true, true]);
    call("secure-hinted", ["srtp-mand", "srtp"], "required", [true, true]);
}
