//! An application on Node with Twilio's own SDK, unchanged: SIPp and baresip call it, enter a menu by key and by voice, leave a message,
//! meet in a conference and pay. It checks the signature of all that it is asked.

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::Duration;

use interop::baresip::Phone;
use interop::carriers::Carriers;
use interop::node;
use interop::process::{Process, until};
use interop::rtp::RtpEnd;
use interop::scratch::free_ports;
use interop::sipp::{Running, Sipp, Step};
use interop::sound::RATE;
use interop::talker::{Talker, spoken_packets};
use interop::tandem::{Setup, TOKEN};
use serde_json::Value;

const USERS: &str = "  - { name: alice, password: a, context: from-carrier }\n";
const ANSWERED: [Step; 5] = [Step::Invite, Step::May(100), Step::May(180), Step::Expect(200), Step::Ack];

/// The application and the switch in front of it.
struct House {
    stage: Carriers,
    app: Process,
}

impl House {
    /// `None` where the SDK cannot be had.
    fn open(name: &str) -> Option<House> {
        let modules = node::modules()?;
        let app = SocketAddr::from(([127, 0, 0, 1], free_ports(1)));
        let rules = format!(
            "    - {{ match: {{ to: \"team\" }}, do: [ {{ markup: \"http://{app}/team\" }} ] }}\n    \
             - do: [ {{ markup: \"http://{app}/voice\" }} ]\n"
        );
        let more = format!(
            "web: {{ allow_private: [127.0.0.0/8] }}\nspeech: {{ recogniser: pocketsphinx }}\npay:\n  connectors:\n    - {{ name: Default, \
             type: generic, url: \"http://{app}/gateway\", username: shop, password: secret }}\n"
        );
        let stage = Carriers::with(name, &rules, &Setup { more: &more, users: USERS, ..Setup::default() });
        let port = app.port().to_string();
        let app = node::start("app", &modules, &[("TOKEN", TOKEN), ("PORT", &port)], stage.scratch.path());
        let house = House { app, stage };
        house.asked("ready", 1);
        Some(house)
    }

    /// All that it was asked so far.
    fn requests(&self) -> Vec<Value> {
        self.app.printed().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until a path was asked so often; the last of these requests.
    fn asked(&self, path: &str, times: usize) -> Value {
        let look = || {
            let all: Vec<Value> = self.requests().into_iter().filter(|r| r["path"] == path).collect();
            all.get(times - 1).cloned()
        };
        let found = until(Duration::from_secs(60), look);
        let trace = || self.stage.tandem.command(&["trace", "last"]).1;
        let found =
            found.unwrap_or_else(|| panic!("{path} was not asked {times} times:\n{}\n{}", self.app.tail(), trace()));
        assert!(path == "ready" || path == "/gateway" || found["signed"] == true, "{found}");
        found
    }

    /// The events of a conference, in order.
    fn events(&self) -> Vec<String> {
        let told = self.requests().into_iter().filter(|r| r["path"] == "/room");
        told.filter_map(|r| Some(r["StatusCallbackEvent"].as_str()?.to_owned())).collect()
    }
}

/// A caller that SIPp signals for.
struct Caller {
    sip: Running,
    sound: RtpEnd,
}

impl Caller {
    fn call(house: &House, name: &str, to: &str, steps: &[Step], signal: &[i16]) -> Caller {
        let caller = Sipp { name, ..house.stage.caller(to, steps) };
        let sound = house.stage.sound(&caller, signal, 0);
        sound.set_muted(true);
        let sip = house.stage.start(&caller);
        sound.send_to(sip.wait_media(1));
        Caller { sip, sound }
    }

    /// Presses keys, each when the one before is over.
    fn press(&self, keys: &str) {
        for key in keys.chars() {
            self.sound.press("0123456789*#".find(key).expect("a key") as u8);
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

fn tone(hz: f64, silent_s: usize, seconds: usize) -> Vec<i16> {
    let sample = |n: usize| (6_000.0 * (TAU * hz * n as f64 / f64::from(RATE)).sin()) as i16;
    let silence = vec![0; silent_s * RATE as usize];
    silence.into_iter().chain((0..seconds * RATE as usize).map(sample)).collect()
}

#[test]
fn a_caller_leaves_a_message_and_pays() {
    let Some(house) = House::open("application-menu") else { return };
    let steps = [&ANSWERED[..], &[Step::Get("BYE"), Step::Reply(200)]].concat();
    let mut caller = Caller::call(&house, "near-menu", "100", &steps, &tone(440.0, 0, 1));
    house.asked("/voice", 1);
    caller.press("9");
    assert_eq!(house.asked("/menu", 1)["Digits"], "9");
    caller.press("1");
    assert_eq!(house.asked("/menu", 2)["Digits"], "1");
    caller.sound.set_muted(false);
    std::thread::sleep(Duration::from_secs(3));
    caller.sound.set_muted(true);
    caller.press("#");
    let recorded = house.asked("/recorded", 1);
    assert_eq!(recorded["Digits"], "#", "{recorded}");
    assert_ne!(recorded["RecordingDuration"], "0", "{recorded}");
    caller.press("3");
    assert_eq!(house.asked("/menu", 3)["Digits"], "3");
    caller.press("4242424242424242#");
    caller.press("1230#");
    caller.press("123#");
    let paid = house.asked("/paid", 1);
    assert_eq!((&paid["Result"], &paid["PaymentConfirmationCode"]), (&"success".into(), &"ch_node".into()), "{paid}");
    assert!(!house.app.printed().contains("4242424242424242"), "no webhook has the number");
    caller.sip.finish(Duration::from_secs(60));
    let recording = house.asked("/recording", 1);
    assert_eq!(recording["RecordingStatus"], "completed");
    house.stage.tandem.assert_nothing_left();
}

#[test]
fn what_a_caller_says_chooses_too() {
    let Some(house) = House::open("application-speech") else { return };
    let steps = [&ANSWERED[..], &[Step::Get("BYE"), Step::Reply(200)]].concat();
    let packets = spoken_packets(house.stage.scratch.path(), "billing");
    // A machine that stands still for seconds swallows what is said then.
    for attempt in 1..=3 {
        let name = format!("near-speech-{attempt}");
        let caller = Sipp { name: &name, ..house.stage.caller("100", &steps) };
        let mut talker = Talker::new(caller.media());
        let mut sip = house.stage.start(&caller);
        talker.say(sip.wait_media(1), packets.clone());
        let said = house.asked("/menu", attempt);
        sip.finish(Duration::from_secs(60));
        talker.stop();
        if said["SpeechResult"] == "billing" {
            return house.stage.tandem.assert_nothing_left();
        }
        eprintln!("understood: {said}");
    }
    panic!("\"billing\" was not understood:\n{}", house.stage.tandem.command(&["trace", "last"]).1);
}

#[test]
fn a_phone_and_a_carrier_meet_in_a_recorded_conference() {
    let Some(house) = House::open("application-team") else { return };
    let registrar = house.stage.tandem.sip().to_string();
    let plays = tone(830.0, 3, 12);
    let phone = Phone {
        user: "alice",
        password: "a",
        registrar: &registrar,
        port: free_ports(Phone::PORTS),
        codec: "pcmu",
        transport: "udp",
        encryption: "",
        plays: &plays,
        dials: None,
    };
    let phone = phone.start(house.stage.scratch.path());
    phone.wait_registered();
    phone.command("dial", &format!("sip:100@{registrar}"));
    phone.wait_established();
    house.asked("/voice", 1);
    phone.command("sndcode", "2");
    assert_eq!(house.asked("/menu", 1)["Digits"], "2");
    house.asked("/room", 1);
    let steps = [&ANSWERED[..], &[Step::Get("BYE"), Step::Reply(200)]].concat();
    let caller = Caller::call(&house, "near-team", "team", &steps, &tone(440.0, 0, 1));
    caller.sound.set_muted(false);
    // The phone's recording of itself ends the call with its file; its leaving ends the conference for all.
    phone.wait_hung_up();
    let again = house.asked("/voice", 2);
    assert_eq!(again["DialCallStatus"], "answered", "whoever is left goes on with the action: {again}");
    let expected = [
        "participant-join",
        "participant-join",
        "conference-start",
        "participant-leave",
        "participant-leave",
        "conference-end",
    ];
    house.asked("/room", expected.len());
    assert_eq!(house.events(), expected);
    let recording = house.asked("/recording", 1);
    assert_eq!(
        (&recording["RecordingStatus"], &recording["RecordingSource"]),
        (&"completed".into(), &"Conference".into())
    );
    let heard = phone.heard();
    let last = &heard[heard.len() * 2 / 3..];
    assert!(level_db(last, 440.0) > -6.0 && level_db(last, 830.0) < -40.0, "the other one is heard, and no echo");
    caller.sip.process.signal(15);
    drop(caller);
}

/// Level of a frequency in dB relative to [`tone`].
fn level_db(sound: &[i16], hz: f64) -> f64 {
    let part = |f: fn(f64) -> f64| -> f64 {
        sound.iter().enumerate().map(|(n, s)| f64::from(*s) * f(TAU * hz * n as f64 / f64::from(RATE))).sum()
    };
    20.0 * (2.0 * part(f64::sin).hypot(part(f64::cos)) / sound.len() as f64 / 6_000.0).max(1e-9).log10()
}
