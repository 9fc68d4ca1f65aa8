use super::*;
use crate::base::rng::Rng;
use std::f64::consts::TAU;

const PCMU: Format = Format { codec: Codec::Pcmu, payload_type: 0 };

/// A way from a sender to an ear, 20 ms a packet.
struct Way<'a> {
    /// By how much the sender's clock is fast.
    ppm: i64,
    /// Delay of a packet in microseconds; `None` loses it.
    delay: &'a mut dyn FnMut(u64) -> Option<u64>,
}

/// What came out.
struct Out {
    sound: Vec<i16>,
    heard: Heard,
    /// From a packet's begin at the sender to its begin here, in microseconds; of packets that can be told by their sound.
    latency: Vec<(u64, i64)>,
}

/// The code of a packet that is told by its sound: of 100 large values, each as a constant.
fn code(n: u64) -> u8 {
    (n % 50) as u8
}

/// Sends packets for so many seconds; `sound` is what is said, at 8 kHz, or nothing: then each packet is told by its value.
fn run(seconds: u64, way: &mut Way<'_>, sound: Option<&[i16]>) -> Out {
    let mut ear = Ear::new(&[PCMU], Rate::Narrow, 1);
    let count = seconds * 50;
    // Sent at 20 ms of the sender's clock.
    let sent = |n: u64| 1_000_000 + n * (20_000 - way.ppm / 50) as u64;
    let mut arrivals: Vec<(u64, u64)> = (0..count).filter_map(|n| Some((sent(n) + (way.delay)(n)?, n))).collect();
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut out = Out { sound: Vec::new(), heard: Heard::default(), latency: Vec::new() };
    let mut due_us = 1_000_000;
    let mut frame = Frame::silent(Rate::Narrow);
    let codes: Vec<i16> = (0..50).map(|n| g711::ulaw_decode(code(n))).collect();
    while arrivals.peek().is_some() {
        while let Some((at, n)) = arrivals.next_if(|a| a.0 <= due_us) {
            let mut payload = [code(n); 160];
            if let Some(sound) = sound {
                let from = n as usize * 160 % (sound.len() - 160);
                g711::ulaw_encode_slice(&sound[from..from + 160], &mut payload);
            }
            let (sequence, timestamp) = (n as u16, (n * 160) as u32);
            let codec = Some(Codec::Pcmu);
            let packet =
                Packet { ssrc: 1, sequence, timestamp, clock_rate: 8_000, duration: 160, codec, payload: &payload };
            if let Some(from) = ear.put(Instant::from_micros(at), &packet) {
                // Pulled from there on, in steps of 5 ms.
                due_us = from.as_micros().next_multiple_of(5_000);
            }
        }
        let spoke = ear.pull(Instant::from_micros(due_us), &mut frame);
        if sound.is_none() && spoke {
            let first = codes.iter().position(|c| *c == frame.samples()[0]);
            let before = out.sound.last().copied();
            if let Some(found) = first.filter(|_| before != Some(frame.samples()[0])) {
                let newest = (due_us - 1_000_000) / (20_000 - way.ppm / 50) as u64 + 5;
                let n = (newest.saturating_sub(49)..=newest).find(|n| n % 50 == found as u64).unwrap_or(0);
                out.latency.push((due_us, due_us as i64 - sent(n) as i64));
            }
        }
        if spoke {
            out.sound.extend_from_slice(frame.samples());
        }
        due_us += 20_000;
    }
    out.heard = ear.heard();
    out
}

#[test]
fn an_hour_of_clocks_apart_adds_no_delay() {
    for ppm in [-100, 100] {
        let out = run(3_600, &mut Way { ppm, delay: &mut |_| Some(30_000) }, None);
        let (least, most) = out.latency.iter().fold((i64::MAX, 0), |(a, b), l| (a.min(l.1), b.max(l.1)));
        assert!(least >= 30_000 && most <= 30_000 + 50_000, "{ppm}: {least} {most}");
        let last_minute: Vec<i64> = out.latency.iter().rev().take(3_000).map(|l| l.1).collect();
        assert!(last_minute.iter().all(|l| *l < 80_000), "{ppm}");
        // 360 ms apart are 18 frames, made up or left out; none is late or skipped for it.
        let frames = out.heard.concealed / 160;
        assert!(if ppm < 0 { (16..=20).contains(&frames) } else { frames <= 1 }, "{ppm}: {frames}");
        assert!(out.heard.late <= 1 && out.heard.overflow == 0, "{ppm}: {:?}", out.heard);
    }
}

#[test]
fn the_delay_is_what_the_way_needs() {
    // Jitter in milliseconds, uniform; then the mean delay that is added, and packets late in ten thousand, at most.
    for (jitter_ms, delay_ms_max, late_max) in [(0, 16, 0), (5, 22, 60), (20, 45, 120), (60, 90, 150)] {
        let mut rng = Rng::from_seed(jitter_ms);
        let delay = &mut |_| Some(20_000 + rng.below(jitter_ms * 1_000 + 1));
        let out = run(200, &mut Way { ppm: 0, delay }, None);
        let mean_us = out.heard.delay_us_sum / out.heard.pulls;
        assert!(mean_us <= delay_ms_max * 1_000, "{jitter_ms}: {mean_us}");
        assert!(out.heard.late <= late_max, "{jitter_ms}: {:?}", out.heard);
        assert!(out.latency.iter().all(|l| l.1 < 20_000 + 200_000));
    }
}

#[test]
fn after_a_storm_the_delay_is_what_it_was() {
    // Every 20 s the way stops for 400 ms, and all that was held up comes at once.
    let held = |n: u64| if n % 1_000 >= 980 { Some(20_000 + (1_000 - n % 1_000) * 20_000) } else { Some(20_000) };
    let out = run(100, &mut Way { ppm: 0, delay: &mut { held } }, None);
    let calm = out.latency.iter().filter(|l| (l.0 / 20_000) % 1_000 < 900);
    let mean = calm.clone().map(|l| l.1).sum::<i64>() / calm.count() as i64;
    assert!((30_000..=130_000).contains(&mean), "{mean}");
    assert!(out.latency.iter().all(|l| l.1 < 20_000 + 220_000));
}

/// A voice: harmonics of a gliding pitch, swelling and falling, with pauses.
fn voice(seconds: usize) -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |n: usize| {
        let t = n as f64 / 8_000.0;
        phase += (130.0 + 30.0 * (TAU * 0.7 * t).sin()) / 8_000.0;
        let harmonics = (1..=12).map(|h| {
            let hz = 130.0 * f64::from(h);
            let formants =
                1.0 / (1.0 + ((hz - 600.0) / 200.0).powi(2)) + 0.4 / (1.0 + ((hz - 1_400.0) / 250.0).powi(2));
            formants * (TAU * phase * f64::from(h) + f64::from(h * h)).sin()
        });
        let talks = if (t % 4.0) < 3.0 { 1.0 } else { 0.0 };
        (3_000.0 * talks * (1.0 + 0.6 * (TAU * 2.3 * t).sin()) * harmonics.sum::<f64>()) as i16
    };
    (0..seconds * 8_000).map(sample).collect()
}

/// Segmental signal-to-noise ratio as it is customary: the mean over windows of 30 ms, one every 7.5 ms, of what is not silent,
/// each between −10 and 35 dB.
fn segmental_snr_db(wanted: &[i16], got: &[i16]) -> f64 {
    let window: Vec<f64> = (0..240).map(|n| 0.5 - 0.5 * (TAU * (f64::from(n) + 0.5) / 240.0).cos()).collect();
    let segments = wanted.windows(240).zip(got.windows(240)).step_by(60).filter_map(|(x, y)| {
        let (mut signal, mut noise) = (0.0, 0.0);
        for ((x, y), w) in x.iter().zip(y).zip(&window) {
            signal += (w * f64::from(*x)).powi(2);
            noise += (w * (f64::from(*x) - f64::from(*y))).powi(2);
        }
        (signal > 90.0 * 2_500.0).then(|| (10.0 * (signal / noise.max(1.0)).log10()).clamp(-10.0, 35.0))
    });
    let segments: Vec<f64> = segments.collect();
    segments.iter().sum::<f64>() / segments.len() as f64
}

/// What silence in place of each lost packet sounds like.
fn with_holes(sound: &[i16], lost: impl Fn(u64) -> bool) -> Vec<i16> {
    let mut holes: Vec<i16> = sound.iter().map(|s| g711::ulaw_decode(g711::ulaw_encode(*s))).collect();
    for (n, packet) in holes.chunks_mut(160).enumerate() {
        if lost(n as u64) {
            packet.fill(0);
        }
    }
    holes
}

#[test]
fn concealed_loss_is_nearer_to_the_voice_than_silence() {
    let sound = voice(60);
    let mut rng = Rng::from_seed(21);
    let random: Vec<bool> = (0..3_000).map(|_| rng.below(100) < 5).collect();
    // Bursts of three on average, 5 % in all (Gilbert).
    let mut bad = false;
    let bursty: Vec<bool> = (0..3_000)
        .map(|_| {
            bad = if bad { rng.below(3) != 0 } else { rng.below(57) == 0 };
            bad
        })
        .collect();
    for (name, lost, better_db) in [("random", random, 0.2), ("bursty", bursty, 0.05)] {
        let share = lost.iter().filter(|l| **l).count();
        assert!((90..=220).contains(&share), "{name}: {share}");
        let lose = |n: u64| lost.get(n as usize).copied().unwrap_or(false) && n > 0;
        let out = run(60, &mut Way { ppm: 0, delay: &mut |n| (!lose(n)).then_some(20_000) }, Some(&sound));
        let len = out.sound.len().min(sound.len()) - 3_200;
        let ours = segmental_snr_db(&sound[..len], &out.sound[..len]);
        let silence = segmental_snr_db(&sound[..len], &with_holes(&sound, lose)[..len]);
        println!("{name} loss of {share} in 3,000: segmental SNR {ours:.2} dB, silence-fill {silence:.2} dB");
        assert!(ours > silence + better_db, "{name}: {ours:.2} {silence:.2}");
        let concealed = out.heard.concealed / 160;
        assert!(concealed.abs_diff(share as u64) <= 4, "{name}: {concealed} of {share}");
    }
}

#[test]
fn a_frame_is_taken_out_and_put_in_without_a_click() {
    // The way is slow for 2 s, and quick again: four frames more, then fewer. A tone does not pause for it.
    let sound: Vec<i16> =
        (0..490_000).map(|n| (8_000.0 * (TAU * 310.0 * f64::from(n) / 8_000.0).sin()) as i16).collect();
    let mut rng = Rng::from_seed(5);
    let delay = &mut |n: u64| Some(20_000 + if n % 1_500 < 100 { rng.below(70_000) } else { 0 });
    let out = run(60, &mut Way { ppm: 0, delay }, Some(&sound));
    let steepest = |sound: &[i16]| sound.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
    assert!(steepest(&out.sound) < Some(3_200), "{:?} of {:?}", steepest(&out.sound), steepest(&sound));
    let (after, most) = (out.heard.delay_us, out.heard.delay_us_max);
    assert!(after < 40_000 && most > 55_000, "{after} {most}");
}

#[test]
fn an_ear_takes_little_memory() {
    let bytes = size_of::<Ear>();
    assert!(bytes <= 22_000, "{bytes}");
}
