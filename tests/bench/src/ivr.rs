//! Self-service: many callers hear a prompt, each from its own begin.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use interop::scratch::Scratch;
use interop::tandem::{Setup, Tandem};
use serde_json::{Value, json};

use crate::endpoints::Endpoints;
use crate::signalling::round;
use crate::socket::{Socket, let_gather};
use crate::subject::Places;
use crate::usage::{cores, cpu_ns, pin, unpin};
use crate::{Choice, say};

const CALLERS: usize = 1000;
const SECONDS: u64 = 10;
/// Packets a second and caller.
const RATE: u64 = 50;
const DIALPLAN: &str =
    "contexts:\n  in:\n    - match: { to: /^\\d+$/ }\n      do: [ answer, { play: { file: menu.wav, loop: 0 } } ]\n";

/// 1,000 callers on one core: CPU a caller and second, and packets that did not come.
pub fn ivr(choice: &Choice) -> Value {
    if !choice.subject("tandem") {
        return Value::Null;
    }
    let scratch = Scratch::new("bench-ivr-tandem");
    fs::create_dir_all(scratch.path().join("prompts")).expect("a folder");
    fs::write(scratch.path().join("prompts/menu.wav"), prompt()).expect("the prompt is written");
    let places = Places::free();
    let alone = cores() > 1;
    let trunks =
        format!("  - {{ name: near, targets: [\"sip:{}\"], inbound: [127.0.0.2/32], context: in }}\n", places.caller);
    let setup = Setup {
        trunks: &trunks,
        dialplan: DIALPLAN,
        pairs: CALLERS as u16 + 20,
        cores: alone.then_some("1"),
        program: Some("target/release/tandem"),
        ..Setup::default()
    };
    if alone {
        pin(0);
    }
    let tandem = Tandem::start(scratch.path(), &setup);
    let ear = Socket::bind(places.media[0]).unwrap_or_else(|e| panic!("{}: {e}", places.media[0]));
    let mut calls = Endpoints::new(tandem.sip(), places.caller, places.callee, places.media);
    let stop = AtomicBool::new(false);
    let counted = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        let receiver = scope.spawn(|| count(&ear, &stop, &counted));
        calls.run(CALLERS, 200.0, None);
        thread::sleep(Duration::from_secs(1));
        let before = cpu_ns(tandem.process.pid());
        counted.store(true, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(SECONDS));
        counted.store(false, Ordering::Relaxed);
        let cpu = cpu_ns(tandem.process.pid()) - before;
        stop.store(true, Ordering::Relaxed);
        let received = receiver.join().expect("the receiver does not panic");
        let expected = CALLERS as u64 * RATE * SECONDS;
        let cpu_ms = cpu as f64 / 1e6 / (CALLERS as u64 * SECONDS) as f64;
        let late = tandem.metric("tandem_media_ticks_late_total").or_else(|| tandem.metric("tandem_media_ticks_late"));
        let share = 100.0 * received as f64 / expected as f64;
        say("tandem", &format!("{cpu_ms:.3} CPU-ms a caller-second, {share:.2} % of the packets came, late {late:?}"));
        json!({ "callers": CALLERS, "cpu_ms_per_caller_second": round(cpu_ms, 4), "received": received,
                "expected": expected, "ticks_late": late, "failed": calls.tally.failed })
    });
    calls.hang_up_all(200.0);
    unpin();
    json!({ "tandem": found })
}

fn count(ear: &Socket, stop: &AtomicBool, counted: &AtomicBool) -> u64 {
    let (mut received, mut buffer) = (0, [0; 2048]);
    while !stop.load(Ordering::Relaxed) {
        let_gather();
        while let Some((length, _, _)) = ear.receive(&mut buffer) {
            received += u64::from(length == 172 && counted.load(Ordering::Relaxed));
        }
    }
    received
}

/// Three seconds of a sweep, as WAV at 8 kHz.
fn prompt() -> Vec<u8> {
    let samples: Vec<i16> =
        (0..24_000).map(|n| ((f64::from(n) * 0.1 + f64::from(n).powi(2) * 1e-6).sin() * 8e3) as i16).collect();
    let bytes = samples.len() as u32 * 2;
    let mut wav = Vec::from(*b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(*b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    for half in [1u16, 1] {
        wav.extend(half.to_le_bytes());
    }
    wav.extend(8000u32.to_le_bytes());
    wav.extend(16000u32.to_le_bytes());
    for half in [2u16, 16] {
        wav.extend(half.to_le_bytes());
    }
    wav.extend(*b"data");
    wav.extend(bytes.to_le_bytes());
    samples.iter().for_each(|s| wav.extend(s.to_le_bytes()));
    wav
}
