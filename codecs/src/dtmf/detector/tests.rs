use super::super::{frequencies, tone};
use super::*;
use crate::g711;
use crate::tone::{Repeat, Segment, ToneGenerator, ToneSpec};

const DIGITS: &str = "1234567890*#ABCD";

/// A digit as the far end may send it.
#[derive(Clone, Copy)]
struct Sent {
    ms: f64,
    low_dbm0: f32,
    twist_db: f32,
    /// Of both frequencies, in parts.
    deviation: f64,
    /// White noise under it.
    noise_dbm0: f32,
    /// Samples of silence before it: where it falls among the frames.
    offset: usize,
    /// An interruption in its middle.
    gap_ms: f64,
}

const USUAL: Sent =
    Sent { ms: 70.0, low_dbm0: -9.0, twist_db: 0.0, deviation: 0.0, noise_dbm0: -90.0, offset: 0, gap_ms: 0.0 };

struct Noise(u32);

impl Noise {
    /// Uniform in −1..1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 as i32) / 2_147_483_648.0
    }
}

impl Sent {
    fn samples(&self, digit: char, noise: &mut Noise) -> Vec<i16> {
        let (low, high) = frequencies(digit).unwrap();
        let (low_level, high_level) = (amplitude(self.low_dbm0), amplitude(self.low_dbm0 + self.twist_db));
        let len = (self.ms * 8.0) as usize;
        let gap = ((self.ms - self.gap_ms) * 4.0) as usize..((self.ms + self.gap_ms) * 4.0) as usize;
        let phases = (noise.next(), noise.next());
        let floor = f64::from(amplitude(self.noise_dbm0)) * 1.5f64.sqrt();
        (0..self.offset + len + 560)
            .map(|n| {
                let on = n >= self.offset && n < self.offset + len && !gap.contains(&(n - self.offset));
                let wave = |hz: u16, level: f32, phase: f64| {
                    let turns = f64::from(hz) * (1.0 + self.deviation) * n as f64 / 8000.0 + phase;
                    f64::from(level) * (std::f64::consts::TAU * turns).sin()
                };
                let tones = wave(low, low_level, phases.0) + wave(high, high_level, phases.1);
                (if on { tones } else { 0.0 } + floor * noise.next()).round() as i16
            })
            .collect()
    }
}

fn found(samples: &[i16]) -> (String, Vec<u32>) {
    let (mut digits, mut durations) = (String::new(), vec![]);
    let mut detector = Detector::new();
    for block in samples.chunks(160) {
        detector.process(block, |event| match event {
            Event::Begin { digit } => digits.push(digit),
            Event::End { duration_ms, .. } => durations.push(duration_ms),
        });
    }
    (digits, durations)
}

/// Sends every digit at many places among the frames, through µ-law; all or none must be found.
fn check(name: &str, sent: Sent, expected: bool) {
    let mut noise = Noise(7);
    for digit in DIGITS.chars() {
        for offset in (160..200).step_by(3) {
            let mut samples = Sent { offset, ..sent }.samples(digit, &mut noise);
            samples.iter_mut().for_each(|s| *s = g711::ulaw_decode(g711::ulaw_encode(*s)));
            let wanted = if expected { digit.to_string() } else { String::new() };
            assert_eq!(found(&samples).0, wanted, "{name}: {digit} at {offset}");
        }
    }
}

#[test]
fn limits_of_q24() {
    let found = [
        ("usual", USUAL),
        ("40 ms", Sent { ms: 40.0, ..USUAL }),
        ("40 ms, weak", Sent { ms: 40.0, low_dbm0: -25.0, ..USUAL }),
        ("−25 dBm0", Sent { low_dbm0: -25.0, ..USUAL }),
        ("0 dBm0", Sent { low_dbm0: 0.0, ..USUAL }),
        ("high 4 dB up", Sent { twist_db: 4.0, ..USUAL }),
        ("high 8 dB down", Sent { twist_db: -8.0, ..USUAL }),
        ("1.5 % sharp", Sent { deviation: 0.015, ..USUAL }),
        ("1.5 % flat", Sent { deviation: -0.015, ..USUAL }),
        ("40 ms, all at once", Sent { ms: 40.0, twist_db: -8.0, deviation: 0.015, noise_dbm0: -36.0, ..USUAL }),
        ("all at once", Sent { ms: 45.0, twist_db: -6.0, deviation: 0.015, low_dbm0: -15.0, ..USUAL }),
        ("noise 15 dB under", Sent { noise_dbm0: -21.0, ..USUAL }),
        ("interrupted for 10 ms", Sent { ms: 100.0, gap_ms: 10.0, ..USUAL }),
        ("for 16 ms", Sent { ms: 100.0, gap_ms: 16.0, ..USUAL }),
    ];
    for (name, sent) in found {
        check(name, sent, true);
    }
    let not = [
        ("23 ms", Sent { ms: 23.0, ..USUAL }),
        ("27 ms", Sent { ms: 27.0, ..USUAL }),
        ("23 ms, loud", Sent { ms: 23.0, low_dbm0: 0.0, ..USUAL }),
        ("−31 dBm0", Sent { low_dbm0: -31.0, ..USUAL }),
        ("high 8 dB up", Sent { twist_db: 8.0, ..USUAL }),
        ("high 12 dB down", Sent { twist_db: -12.0, ..USUAL }),
        ("3.5 % sharp", Sent { deviation: 0.035, ..USUAL }),
        ("3.5 % flat", Sent { deviation: -0.035, ..USUAL }),
        ("noise as loud", Sent { noise_dbm0: -7.0, ..USUAL }),
    ];
    for (name, sent) in not {
        check(name, sent, false);
    }
}

#[test]
fn digits_in_a_row_come_once_each_with_their_duration() {
    let mut samples = vec![];
    for (digit, on_ms, off_ms) in [('1', 40, 40), ('1', 60, 40), ('2', 200, 45), ('#', 1000, 60), ('D', 80, 100)] {
        let spec = tone(digit, -10.0, on_ms, off_ms).unwrap();
        let mut part = vec![0; ((on_ms + off_ms) * 8) as usize];
        ToneGenerator::new(&spec, 8000).fill(&mut part);
        samples.extend_from_slice(&part);
    }
    let (digits, durations) = found(&samples);
    assert_eq!(digits, "112#D");
    for (got, sent) in durations.iter().zip([40, 60, 200, 1000, 80]) {
        assert!(got.abs_diff(sent) <= 10, "{durations:?}");
    }
    assert_eq!(durations.len(), 5);
}

/// Vowels by impulse trains through three resonances, gliding in pitch and formants, with breath noise and pauses.
fn babble(seconds: usize, noise: &mut Noise) -> Vec<i16> {
    let mut samples: Vec<f64> = Vec::with_capacity(seconds * 8000);
    let mut state = [[0.0f64; 2]; 3];
    let (mut pitch, mut phase) = (120.0, 0.0);
    while samples.len() < seconds * 8000 {
        let targets = [500.0 + 300.0 * noise.next(), 1450.0 + 700.0 * noise.next(), 2600.0 + 400.0 * noise.next()];
        let glide = 80.0 * noise.next();
        let length = 800 + (noise.next().abs() * 2400.0) as usize;
        let level = 400.0 + 2600.0 * noise.next().abs();
        pitch = if noise.next() > 0.6 { 90.0 + 220.0 * noise.next().abs() } else { pitch };
        for n in 0..length {
            let progress = n as f64 / length as f64;
            phase += (pitch + glide * progress) / 8000.0;
            let mut x = 0.01 * noise.next();
            if phase >= 1.0 {
                phase -= 1.0;
                x += 1.0;
            }
            for (s, hz) in state.iter_mut().zip(targets) {
                let radius = (-std::f64::consts::PI * 70.0 / 8000.0).exp();
                let y = x + 2.0 * radius * (std::f64::consts::TAU * hz / 8000.0).cos() * s[0] - radius * radius * s[1];
                *s = [y, s[0]];
                x = y * 0.3;
            }
            let envelope = (std::f64::consts::PI * progress).sin();
            samples.push(x * envelope * level);
        }
        samples.extend(std::iter::repeat_n(0.0, (noise.next().abs() * 800.0) as usize));
    }
    // To −20 dBov on the average, as loud speech on a line is.
    let mean = samples.iter().map(|x| x * x).sum::<f64>() / samples.len() as f64;
    samples.iter().map(|x| (x * 3276.8 / mean.sqrt()).clamp(-32768.0, 32767.0) as i16).collect()
}

#[test]
fn ten_minutes_of_babble_hold_no_digit() {
    let samples = babble(600, &mut Noise(3));
    assert!((-22.0..-19.0).contains(&crate::level::rms_dbov(&samples)));
    assert_eq!(found(&samples).0, "");
}

#[test]
fn neither_noise_nor_other_tones_are_digits() {
    let mut noise = Noise(11);
    for level in [300.0, 3000.0, 30_000.0] {
        let samples: Vec<i16> = (0..8000 * 60).map(|_| (level * noise.next()) as i16).collect();
        assert_eq!(found(&samples).0, "", "noise at {level}");
    }
    for country in crate::tone::COUNTRIES {
        for name in ["ringback", "busy", "congestion", "dial", "sit"] {
            let mut samples = vec![0; 40_000];
            ToneGenerator::new(&crate::tone::by_name(country, name).unwrap(), 8000).fill(&mut samples);
            assert_eq!(found(&samples).0, "", "{country} {name}");
        }
    }
    for hz in LOW_HZ.iter().chain(&HIGH_HZ) {
        let spec = ToneSpec::new(&[Segment::new(&[*hz], -6.0, 500, 0)], Repeat::Times(1));
        let mut samples = vec![0; 4000];
        ToneGenerator::new(&spec, 8000).fill(&mut samples);
        assert_eq!(found(&samples).0, "", "{hz} Hz alone");
    }
}
