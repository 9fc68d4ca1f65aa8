//! baresip as a desk phone with a transfer key: blind and attended. Who is left hears whom.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use interop::app::App;
use interop::baresip::{Phone, RunningPhone};
use interop::process::until;
use interop::scratch::{Scratch, free_ports};
use interop::sound::{likeness, melody};
use interop::tandem::{Setup, Tandem};

const USERS: &str = "  - { name: alice, password: secret, context: internal }\n  - { name: bob, password: secret, context: internal }\n  - { name: carol, password: secret, context: internal }\n";
const DIALPLAN: &str = "contexts:\n  internal:\n    - { name: phones, match: { to: /^[a-z]+$/ }, do: [ { dial: { user: \"${to}\", timeout: 10s } } ] }\n    - { name: slots, match: { to: /^7\\d\\d$/ }, do: [ { retrieve: \"${to}\", on: { failed: [ { park: \"${to}\" } ] } } ] }\n";

fn phone(user: &str, tandem: &Tandem, port: u16, plays: &[i16], folder: &Path) -> RunningPhone {
    let registrar = tandem.sip().to_string();
    let phone = Phone {
        user,
        password: "secret",
        registrar: &registrar,
        port,
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays,
        dials: None,
    };
    phone.start(folder)
}

struct Office {
    tandem: Tandem,
    alice: RunningPhone,
    bob: RunningPhone,
    carol: RunningPhone,
    songs: [Vec<i16>; 2],
    _scratch: Scratch,
}

/// Three phones; alice's and carol's songs end after so many seconds, bob's lasts.
fn office(name: &str, seconds: u32) -> Office {
    let scratch = Scratch::new(name);
    let tandem = Tandem::start(scratch.path(), &Setup { users: USERS, dialplan: DIALPLAN, ..Setup::default() });
    let port = free_ports(3 * Phone::PORTS);
    let songs = [melody(41, seconds), melody(42, seconds)];
    let alice = phone("alice", &tandem, port, &songs[0], scratch.path());
    let bob = phone("bob", &tandem, port + Phone::PORTS, &melody(43, 60), scratch.path());
    let carol = phone("carol", &tandem, port + 2 * Phone::PORTS, &songs[1], scratch.path());
    for phone in [&alice, &bob, &carol] {
        phone.wait_registered();
    }
    Office { tandem, alice, bob, carol, songs, _scratch: scratch }
}

impl Office {
    /// Alice and carol have heard each other at the end, and bob is out of it.
    fn check(&self, kind: &str, records: usize) {
        self.bob.wait_hung_up();
        self.alice.wait_hung_up();
        self.carol.wait_hung_up();
        let (alice, carol) = (self.alice.heard(), self.carol.heard());
        let trace = || self.tandem.command(&["trace", "last"]).1;
        // A song is heard in part: some went to bob.
        let heard = |song: &[i16], heard: &[i16]| {
            let second = |at: usize| &song[at * 8_000..(at + 2) * 8_000];
            let mut found = 0.0;
            for at in 0..song.len() / 8_000 - 2 {
                // Each comparison takes a while: enough is enough.
                found = f64::max(found, likeness(second(at), heard, 400));
                if found >= 0.8 {
                    break;
                }
            }
            found
        };
        for (name, song, sound) in [("carol", &self.songs[0], &carol), ("alice", &self.songs[1], &alice)] {
            let alike = heard(song, sound);
            assert!(alike >= 0.8, "{name} heard {} samples, likeness {alike}:\n{}", sound.len(), trace());
        }
        let found = self.tandem.cdrs(records);
        let transfers: Vec<_> =
            found.iter().flat_map(|r| r["transfers"].as_array().cloned().unwrap_or_default()).collect();
        let fits = transfers.iter().find(|t| t["kind"] == kind && t["by"] == "bob" && t["status"] == 200);
        assert!(fits.is_some(), "{found:?}");
        let quiet =
            until(Duration::from_secs(10), || (self.tandem.metric("tandem_calls_active") == Some(0.0)).then_some(()));
        assert!(quiet.is_some(), "a call stayed:\n{}", trace());
    }
}

#[test]
fn a_phone_transfers_without_asking() {
    let office = office("transfer-blind", 8);
    office.bob.command("dial", &format!("sip:alice@{}", office.tandem.sip()));
    office.bob.wait_established();
    std::thread::sleep(Duration::from_secs(1));
    office.bob.command("transfer", &format!("sip:carol@{}", office.tandem.sip()));
    office.check("blind", 1);
}

/// Bob sends alice to a slot, and carol takes her from there.
#[test]
fn a_phone_parks_a_call_and_another_retrieves_it() {
    // Songs outlast whatever comes before they are heard; who has heard enough hangs up.
    let office = office("transfer-park", 60);
    office.bob.command("dial", &format!("sip:alice@{}", office.tandem.sip()));
    office.bob.wait_established();
    std::thread::sleep(Duration::from_secs(1));
    office.bob.command("transfer", &format!("sip:701@{}", office.tandem.sip()));
    office.bob.wait_hung_up();
    office.carol.command("dial", &format!("sip:701@{}", office.tandem.sip()));
    office.carol.wait_established();
    std::thread::sleep(Duration::from_secs(6));
    office.carol.command("hangup", "");
    office.check("blind", 2);
}

/// The dialog of the first call that a phone has traced, as a URI carries it.
fn replaces(printed: &str) -> String {
    let answers = printed.split("SIP/2.0 200 OK").skip(1);
    let answer = answers.map(|a| a.split("\r\n\r\n").next().unwrap_or("")).find(|a| a.contains(" INVITE"));
    let answer = answer.expect("an INVITE was answered");
    let line = |name: &str| answer.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("").trim();
    let tag = |name: &str| line(name).split(";tag=").nth(1).unwrap_or("").to_owned();
    format!("{}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", line("Call-ID:"), tag("To:"), tag("From:"))
}

#[test]
fn a_phone_asks_and_then_transfers() {
    let office = office("transfer-attended", 12);
    office.bob.command("dial", &format!("sip:alice@{}", office.tandem.sip()));
    office.bob.wait_established();
    std::thread::sleep(Duration::from_secs(1));
    let first = replaces(office.bob.process.printed().as_str());
    office.bob.command("dial", &format!("sip:carol@{}", office.tandem.sip()));
    let both = until(Duration::from_secs(10), || {
        (office.bob.process.printed().matches("Call established").count() >= 2).then_some(())
    });
    assert!(both.is_some(), "carol was not reached:\n{}", office.bob.process.tail());
    std::thread::sleep(Duration::from_secs(1));
    // The REFER goes by the call that began last, and names the other one: this baresip has no key for it.
    office.bob.command("transfer", &format!("sip:alice@{}?Replaces={first}", office.tandem.sip()));
    office.check("attended", 2);
}

/// A document has bob's phone call alice in place of us; he tells the application how that went.
#[test]
fn a_script_sends_a_phone_elsewhere() {
    let scratch = Scratch::new("refer-by-script");
    let place: Arc<OnceLock<String>> = Arc::default();
    let switch = Arc::clone(&place);
    let app = App::with(move |request| {
        let switch = switch.get().map_or("", String::as_str);
        let refer = format!("<Refer action='/went'><Sip>sip:alice@{switch}</Sip></Refer>");
        let inside = if request.path == "/away" { &refer } else { "<Hangup/>" };
        (200, "text/xml", format!("<Response>{inside}</Response>"))
    });
    let rule = format!("    - {{ match: {{ to: away }}, do: [ {{ markup: \"{}\" }} ] }}\n", app.url("/away"));
    let dialplan = DIALPLAN.replacen("  internal:\n", &format!("  internal:\n{rule}"), 1);
    let more = "web: { allow_private: [127.0.0.0/8] }\n";
    let setup = Setup { users: USERS, dialplan: &dialplan, more, ..Setup::default() };
    let tandem = Tandem::start(scratch.path(), &setup);
    place.set(tandem.sip().to_string()).expect("it is set once");
    let port = free_ports(2 * Phone::PORTS);
    let alice = phone("alice", &tandem, port, &melody(44, 8), scratch.path());
    let bob = phone("bob", &tandem, port + Phone::PORTS, &melody(45, 60), scratch.path());
    alice.wait_registered();
    bob.wait_registered();
    bob.command("dial", &format!("sip:away@{}", tandem.sip()));
    alice.wait_established();
    let told = until(Duration::from_secs(20), || app.asked().into_iter().find(|request| request.path == "/went"));
    let told = told.unwrap_or_else(|| panic!("{:?}\n{}", app.asked(), tandem.command(&["trace", "last"]).1));
    let value = |name: &str| told.parameter(name).unwrap_or_default();
    let all = ["ReferCallStatus", "ReferSipResponseCode", "NotifySipResponseCode"].map(value);
    assert_eq!(all, ["in-progress", "202", "200"], "{}", bob.process.tail());
    alice.wait_hung_up();
    let found = tandem.cdrs(2);
    let transfers = found.iter().flat_map(|r| r["transfers"].as_array().cloned().unwrap_or_default());
    assert!(transfers.into_iter().any(|t| t["by"] == "script" && t["status"] == 200), "{found:?}");
    let quiet = until(Duration::from_secs(10), || (tandem.metric("tandem_calls_active") == Some(0.0)).then_some(()));
    assert!(quiet.is_some(), "a call stayed:\n{}", tandem.command(&["trace", "last"]).1);
}
