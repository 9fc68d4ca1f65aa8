//! baresip's phones at a SIP domain of the REST interface: they register with what its lists say, call each other through its
//! application, and no password of theirs lies anywhere.

use std::time::Duration;

use interop::app::App;
use interop::baresip::Phone;
use interop::process::until;
use interop::scratch::{Scratch, free_ports};
use interop::sound::{likeness, melody};
use interop::tandem::{Setup, Tandem};

const PASSWORD: &str = "Secret-of-Alice-1";

/// Makes the domain `phones.test` with alice and bob on it, whose calls this application answers; its number.
fn domain(tandem: &Tandem, voice: &str) -> String {
    let made = |path: &str, form: &[(&str, &str)]| {
        let body = tandem.post_form(path, form);
        body["sid"].as_str().unwrap_or_else(|| panic!("{path}: {body}")).to_owned()
    };
    let list = made("SIP/CredentialLists", &[("FriendlyName", "phones")]);
    for name in ["alice", "bob"] {
        let form = [("Username", name), ("Password", PASSWORD)];
        let shown = tandem.post_form(&format!("SIP/CredentialLists/{list}/Credentials"), &form).to_string();
        assert!(shown.contains(name) && !shown.contains(PASSWORD) && !shown.contains("ha1"), "{shown}");
    }
    let form = [("DomainName", "phones.test"), ("SipRegistration", "true"), ("VoiceUrl", voice)];
    let domain = made("SIP/Domains", &form);
    for of in ["Calls", "Registrations"] {
        let path = format!("SIP/Domains/{domain}/Auth/{of}/CredentialListMappings");
        made(&path, &[("CredentialListSid", &list)]);
    }
    domain
}

#[test]
fn phones_of_a_domain_register_and_call_through_its_application() {
    let scratch = Scratch::new("domains");
    let more = "web: { allow_private: [127.0.0.0/8] }\n";
    let tandem = Tandem::start(scratch.path(), &Setup { more, ..Setup::default() });
    let app = App::start(&[("/voice", "<Dial><Sip>sip:bob@phones.test</Sip></Dial>")]);
    let sid = domain(&tandem, &app.url("/voice"));

    let port = free_ports(2 * Phone::PORTS);
    let (song_a, song_b) = (melody(41, 5), melody(42, 5));
    // The domain is a name that nobody can look up: requests go through the switch as outbound proxy, which is the account's next field.
    let password = format!("{PASSWORD};outbound=\"sip:{}\"", tandem.sip());
    let alice = Phone {
        user: "alice",
        password: &password,
        registrar: "phones.test",
        port,
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays: &song_a,
        dials: None,
    };
    let bob = Phone { user: "bob", port: port + Phone::PORTS, plays: &song_b, ..alice.clone() };
    let (alice, bob) = (alice.start(scratch.path()), bob.start(scratch.path()));
    alice.wait_registered();
    bob.wait_registered();
    let (_, listed) = tandem.command(&["registrations", "--json"]);
    assert!(listed.contains("alice@phones.test") && listed.contains("bob@phones.test"), "{listed}");

    alice.command("dial", "sip:support@phones.test");
    alice.wait_established();
    alice.wait_hung_up();
    bob.wait_hung_up();
    for (name, song, heard) in [("alice", &song_b, alice.heard()), ("bob", &song_a, bob.heard())] {
        let alike = likeness(&song[..32_000], &heard, 400);
        assert!(alike >= 0.9, "{name}: likeness {alike}:\n{}", tandem.command(&["trace", "last"]).1);
    }
    let asked = app.asked();
    let first = asked.iter().find(|r| r.path == "/voice").expect("the application was asked");
    let expected = [
        ("From", "sip:alice@phones.test"),
        ("To", "sip:support@phones.test"),
        ("SipDomain", "phones.test"),
        ("SipDomainSid", &sid),
    ];
    for (name, value) in expected {
        assert_eq!(first.parameter(name).as_deref(), Some(value), "{}", first.body);
    }
    assert_eq!(tandem.cdrs(1).remove(0)["rule"], sid.as_str());

    // Neither the store nor the log has the password.
    let files = std::fs::read_dir(scratch.path().join("data")).expect("the data directory is there");
    for file in files.flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).expect("a file of the switch");
        assert!(!bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()), "{}", file.path().display());
    }
    assert!(!tandem.process.printed().contains(PASSWORD));
    drop((alice, bob));
    let gone = until(Duration::from_secs(10), || (tandem.metric("tandem_registrations") == Some(0.0)).then_some(()));
    assert!(gone.is_some(), "registrations stayed");
}
