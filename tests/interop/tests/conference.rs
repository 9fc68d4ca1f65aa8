//! Three baresips in one conference: each sings a tone and hears those of the others, and never its own.

use std::f64::consts::TAU;
use std::time::Duration;

use interop::baresip::Phone;
use interop::process::until;
use interop::scratch::{Scratch, free_ports};
use interop::sound::RATE;
use interop::tandem::{Setup, Tandem};

const USERS: &str = "  - { name: alice, password: a, context: internal }\n  - { name: bob, password: b, context: internal }\n  - { name: carol, password: c, context: internal }\n";
const DIALPLAN: &str = "contexts:\n  internal:\n    - { name: rooms, match: { to: /^conf-([a-z]+)$/ }, do: [ answer, { conference: \"$1\" } ] }\n";
const AMPLITUDE: f64 = 6_000.0;
const SECONDS: usize = 8;

fn tone(hz: f64) -> Vec<i16> {
    let sample = |n: usize| (AMPLITUDE * (TAU * hz * n as f64 / f64::from(RATE)).sin()) as i16;
    (0..SECONDS * RATE as usize).map(sample).collect()
}

/// Level of a frequency in 400 ms of sound, in dB relative to the tone that a phone sings (Hann window).
fn level_db(sound: &[i16], hz: f64) -> f64 {
    let (mut re, mut im, mut area) = (0.0, 0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * n as f64 / sound.len() as f64).cos();
        let (sin, cos) = (TAU * hz * n as f64 / f64::from(RATE)).sin_cos();
        re += window * f64::from(*sample) * cos;
        im += window * f64::from(*sample) * sin;
        area += window;
    }
    20.0 * (2.0 * f64::hypot(re, im) / area / AMPLITUDE).max(1e-9).log10()
}

/// The middle one of the levels of all pieces.
fn usual_db(sound: &[i16], hz: f64) -> f64 {
    let mut levels: Vec<f64> = sound.chunks_exact(3_200).map(|piece| level_db(piece, hz)).collect();
    levels.sort_by(f64::total_cmp);
    levels.get(levels.len() / 2).copied().unwrap_or(-180.0)
}

#[test]
fn three_phones_hear_each_other_and_not_themselves() {
    let scratch = Scratch::new("conference");
    let tandem = Tandem::start(scratch.path(), &Setup { users: USERS, dialplan: DIALPLAN, ..Setup::default() });
    let registrar = tandem.sip().to_string();
    let port = free_ports(3 * Phone::PORTS);
    // None is the sum or the difference of two others: G.711 makes such tones of what it rounds.
    let singers = [("alice", "a", "pcmu", 450.0), ("bob", "b", "pcma", 830.0), ("carol", "c", "pcmu", 1_390.0)];
    let songs = singers.map(|(.., hz)| tone(hz));
    let phones: Vec<_> = (0u16..)
        .zip(singers.iter().zip(&songs))
        .map(|(n, ((user, password, codec, _), plays))| {
            let phone = Phone {
                user,
                password,
                registrar: &registrar,
                port: port + n * Phone::PORTS,
                codec,
                transport: "udp",
                encryption: "",
                plays,
                dials: None,
            };
            phone.start(scratch.path())
        })
        .collect();
    for phone in &phones {
        phone.wait_registered();
        phone.command("dial", &format!("sip:conf-sales@{registrar}"));
        phone.wait_established();
    }
    let listed = until(Duration::from_secs(5), || {
        let (status, text) = tandem.command(&["conferences", "--json"]);
        let all: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        (status == 0 && all[0]["participants"].as_array().is_some_and(|p| p.len() == 3)).then_some(all)
    });
    let listed = listed.expect("three are listed");
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&"sales".into(), &"in-progress".into()), "{listed}");
    phones.iter().for_each(|phone| phone.wait_hung_up());
    for (phone, (user, .., own)) in phones.iter().zip(singers) {
        let heard = phone.heard();
        // Who comes first hears nobody at first, who leaves last nobody at last: the middle is looked at.
        let middle = &heard[heard.len() / 4..heard.len() * 3 / 4];
        let levels = singers.map(|(.., hz)| (hz, usual_db(middle, hz)));
        println!("{user} heard {} samples: {levels:.1?} dB", heard.len());
        for (hz, level) in levels {
            let fits = if hz == own { level < -45.0 } else { (-3.0..1.0).contains(&level) };
            assert!(fits, "{user}: {levels:.1?}\n{}", tandem.command(&["trace", "last"]).1);
        }
    }
    let (_, none) = tandem.command(&["conferences"]);
    assert!(none.contains("no conferences"), "{none}");
}
