//! Sample-rate conversion by polyphase windowed-sinc filters.
//!
//! [`convert`] turns whole prompts between any two rates, with a long filter, once at load. [`Decimator`] and
//! [`Interpolator`] run on a call's path by 2, 3 or 6, with short filters and no allocation after construction.

use std::sync::LazyLock;

/// Stopband of the prompt filter in dB.
const PROMPT_STOP_DB: f64 = 80.0;
/// Stopband of the streaming filters in dB.
const STREAM_STOP_DB: f64 = 70.0;
/// Rates that [`convert`] takes, in Hz.
pub const RATE_MIN_HZ: u32 = 4000;
pub const RATE_MAX_HZ: u32 = 192_000;

/// Converts a whole recording from one rate to another; flat within 0.05 dB up to 0.45 of the lower rate, at least 75
/// dB down from half of it on, no delay. `None` for a rate outside 4–192 kHz, or for two rates whose ratio in lowest
/// terms has a part over 1,000 (44,101 to 8,000), which would need a filter of unreasonable size.
pub fn convert(input: &[i16], from_hz: u32, to_hz: u32) -> Option<Vec<i16>> {
    if ![from_hz, to_hz].iter().all(|hz| (RATE_MIN_HZ..=RATE_MAX_HZ).contains(hz)) {
        return None;
    }
    let common = gcd(from_hz, to_hz);
    let (up, down) = ((to_hz / common) as usize, (from_hz / common) as usize);
    if up > 1000 || down > 1000 {
        return None;
    }
    if up == down {
        return Some(input.to_vec());
    }
    // At the rate of from × up, where the filter runs: pass up to 0.45, stop from 0.5 of the lower rate.
    let wide_hz = f64::from(from_hz) * up as f64;
    let lower_hz = f64::from(from_hz.min(to_hz));
    let taps = kaiser_lowpass(0.45 * lower_hz / wide_hz, 0.5 * lower_hz / wide_hz, PROMPT_STOP_DB, 1);
    let centre = taps.len() / 2;
    let len = (input.len() as u64 * up as u64).div_ceil(down as u64) as usize;
    let output = (0..len).map(|n| {
        // Output n stands at n·down on the wide grid; input k stands at k·up.
        let newest = n * down + centre;
        let last = (newest / up).min(input.len().saturating_sub(1));
        let first = (newest + 1).saturating_sub(taps.len()).div_ceil(up);
        let sum: f64 =
            (first..=last).map(|k| f64::from(input[k]) * f64::from(taps[newest - k * up])).sum::<f64>() * up as f64;
        round(sum as f32)
    });
    Some(output.collect())
}

/// By how much the streaming converters change the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ratio {
    /// 16 kHz ⇄ 8 kHz
    Two,
    /// 48 kHz ⇄ 16 kHz
    Three,
    /// 48 kHz ⇄ 8 kHz
    Six,
}

impl Ratio {
    /// The ratio of the two rates, if it is one of the three.
    pub fn between(high_hz: u32, low_hz: u32) -> Option<Ratio> {
        match (high_hz.checked_div(low_hz)?, high_hz.checked_rem(low_hz)?) {
            (2, 0) => Some(Ratio::Two),
            (3, 0) => Some(Ratio::Three),
            (6, 0) => Some(Ratio::Six),
            _ => None,
        }
    }

    /// High rate over low rate.
    pub fn factor(self) -> usize {
        match self {
            Ratio::Two => 2,
            Ratio::Three => 3,
            Ratio::Six => 6,
        }
    }

    /// The filter at the high rate: flat to 0.425 of the low rate (3.4 kHz of 8), stopped from 0.575 on (4.6 kHz). Its
    /// length is `factor` × [`PHASE_TAPS`].
    fn taps(self) -> &'static [f32] {
        static TAPS: [LazyLock<Vec<f32>>; 3] =
            [LazyLock::new(|| stream_taps(2)), LazyLock::new(|| stream_taps(3)), LazyLock::new(|| stream_taps(6))];
        match self {
            Ratio::Two => &TAPS[0],
            Ratio::Three => &TAPS[1],
            Ratio::Six => &TAPS[2],
        }
    }
}

/// Taps of a streaming filter for each phase: a delay of [`PHASE_TAPS`] / 2 samples at the low rate (1.9 ms at 8 kHz).
pub const PHASE_TAPS: usize = 30;

fn stream_taps(factor: usize) -> Vec<f32> {
    let mut taps = kaiser_lowpass(0.425 / factor as f64, 0.575 / factor as f64, STREAM_STOP_DB, factor * 2);
    taps.resize(factor * PHASE_TAPS, 0.0);
    taps
}

/// Lowers the rate by 2, 3 or 6.
#[derive(Debug, Clone)]
pub struct Decimator {
    ratio: Ratio,
    /// The newest samples, twice in a row, so that the window is one slice.
    history: [f32; 2 * 6 * PHASE_TAPS],
    write: usize,
    pending: usize,
}

impl Decimator {
    pub fn new(ratio: Ratio) -> Decimator {
        // Touch the table here, so that no call computes it on the media path.
        let _ = ratio.taps();
        Decimator { ratio, history: [0.0; 2 * 6 * PHASE_TAPS], write: 0, pending: 0 }
    }

    /// Takes all of `input` and writes one sample for each `factor` taken since the start; returns how many. Samples
    /// for which `output` has no room are lost, so give it `input.len() / factor + 1`.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let (taps, factor) = (self.ratio.taps(), self.ratio.factor());
        let len = taps.len();
        let mut written = 0;
        for &sample in input {
            self.history[self.write] = f32::from(sample);
            self.history[self.write + len] = f32::from(sample);
            self.write = (self.write + 1) % len;
            self.pending += 1;
            if self.pending == factor {
                self.pending = 0;
                if let Some(out) = output.get_mut(written) {
                    // The filter is symmetric: oldest first is newest first.
                    *out = round(dot(&self.history[self.write..self.write + len], taps));
                    written += 1;
                }
            }
        }
        written
    }
}

/// Raises the rate by 2, 3 or 6.
#[derive(Debug, Clone)]
pub struct Interpolator {
    ratio: Ratio,
    history: [f32; 2 * PHASE_TAPS],
    write: usize,
    /// The filter by phase, oldest input first, with the gain that makes up for the inserted zeros.
    phases: [[f32; PHASE_TAPS]; 6],
}

impl Interpolator {
    pub fn new(ratio: Ratio) -> Interpolator {
        let (taps, factor) = (ratio.taps(), ratio.factor());
        let mut phases = [[0.0; PHASE_TAPS]; 6];
        for (index, &tap) in taps.iter().enumerate() {
            phases[index % factor][PHASE_TAPS - 1 - index / factor] = tap * factor as f32;
        }
        Interpolator { ratio, history: [0.0; 2 * PHASE_TAPS], write: 0, phases }
    }

    /// Writes `factor` samples for each of `input` and returns how many were written; input that has no room in
    /// `output` is not taken.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let factor = self.ratio.factor();
        let mut written = 0;
        for (&sample, out) in input.iter().zip(output.chunks_exact_mut(factor)) {
            self.history[self.write] = f32::from(sample);
            self.history[self.write + PHASE_TAPS] = f32::from(sample);
            self.write = (self.write + 1) % PHASE_TAPS;
            let window = &self.history[self.write..self.write + PHASE_TAPS];
            for (out, phase) in out.iter_mut().zip(&self.phases) {
                *out = round(dot(window, phase));
            }
            written += factor;
        }
        written
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Four sums, which the compiler keeps in one vector register.
    let mut sums = [0.0f32; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f32 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a4.zip(b4) {
        for i in 0..4 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn round(x: f32) -> i16 {
    crate::wave::to_i16(x)
}

/// A lowpass of unit gain by Kaiser's window (Kaiser 1974); `pass` and `stop` are in cycles a sample. The length is the
/// smallest that gives `stop_db`, odd for a whole delay when `multiple` is 1, else a multiple of `multiple`.
fn kaiser_lowpass(pass: f64, stop: f64, stop_db: f64, multiple: usize) -> Vec<f32> {
    let width = std::f64::consts::TAU * (stop - pass);
    let order = ((stop_db - 7.95) / (2.285 * width)).ceil() as usize;
    let len = if multiple == 1 { (order + 1) | 1 } else { (order + 1).next_multiple_of(multiple) };
    let beta = 0.1102 * (stop_db - 8.7);
    let cutoff = (pass + stop) / 2.0;
    let middle = (len - 1) as f64 / 2.0;
    let taps: Vec<f64> = (0..len)
        .map(|i| {
            let x = i as f64 - middle;
            let ideal = if x == 0.0 {
                2.0 * cutoff
            } else {
                (std::f64::consts::TAU * cutoff * x).sin() / (std::f64::consts::PI * x)
            };
            let edge = x / (middle + 0.5);
            ideal * bessel_i0(beta * (1.0 - edge * edge).max(0.0).sqrt()) / bessel_i0(beta)
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

/// Modified Bessel function of the first kind, order 0.
fn bessel_i0(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-15 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn sine(hz: f64, rate: u32, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (16_000.0 * (TAU * hz * n as f64 / f64::from(rate)).sin()).round() as i16).collect()
    }

    /// Amplitude of one frequency in dB relative to the test sine.
    fn gain_db(samples: &[i16], hz: f64, rate: u32) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &s) in samples.iter().enumerate() {
            // Hann window: no leakage from a neighbour into what is measured.
            let window = 1.0 - (TAU * (n as f64 + 0.5) / samples.len() as f64).cos();
            let angle = TAU * hz * n as f64 / f64::from(rate);
            re += window * f64::from(s) * angle.cos();
            im += window * f64::from(s) * angle.sin();
        }
        20.0 * (2.0 * (re * re + im * im).sqrt() / samples.len() as f64 / 16_000.0).log10()
    }

    fn power_db(samples: &[i16]) -> f64 {
        let mean = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64;
        10.0 * (mean.max(1e-3) / (16_000.0f64.powi(2) / 2.0)).log10()
    }

    #[test]
    fn prompts_keep_their_passband_and_their_length() {
        for from in [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
            for hz in [100.0, 300.0, 1000.0, 3000.0, 3400.0, 3550.0] {
                let out = convert(&sine(hz, from, from as usize / 2), from, 8000).unwrap();
                assert!(out.len().abs_diff(4000) <= 1, "{from}: {}", out.len());
                let gain = gain_db(&out[400..3600], hz, 8000);
                assert!(gain.abs() < 0.05, "{from} → 8000, {hz} Hz: {gain:.3} dB");
            }
        }
    }

    #[test]
    fn prompts_do_not_alias() {
        for from in [16_000, 24_000, 32_000, 44_100, 48_000] {
            for hz in [4001.0, 4100.0, 4600.0, 5000.0, 7000.0, 7900.0] {
                let out = convert(&sine(hz, from, from as usize / 2), from, 8000).unwrap();
                let power = power_db(&out[400..3600]);
                assert!(power < -75.0, "{from} → 8000, {hz} Hz: {power:.1} dB");
            }
        }
    }

    #[test]
    fn prompts_have_no_delay_and_go_up_too() {
        for (from, to) in [(8000, 16_000), (8000, 48_000), (16_000, 44_100), (44_100, 8000), (48_000, 8000)] {
            let out = convert(&sine(700.0, from, from as usize / 10), from, to).unwrap();
            let wanted = sine(700.0, to, out.len());
            let middle = out.len() / 4..out.len() * 3 / 4;
            let worst = middle.map(|n| (out[n] - wanted[n]).abs()).max().unwrap();
            assert!(worst <= 40, "{from} → {to}: off by {worst}");
        }
    }

    #[test]
    fn odd_rates_and_lengths() {
        assert_eq!(convert(&[1, 2, 3], 8000, 8000), Some(vec![1, 2, 3]));
        assert_eq!(convert(&[], 48_000, 8000), Some(vec![]));
        assert_eq!(convert(&[9], 48_000, 8000).unwrap().len(), 1);
        for (from, to) in [(0, 8000), (8000, 0), (44_101, 8000), (1 << 31, 8000)] {
            assert_eq!(convert(&[1], from, to), None, "{from} → {to}");
        }
    }

    const RATIOS: [(Ratio, u32, u32); 4] = [
        (Ratio::Two, 16_000, 8000),
        (Ratio::Three, 48_000, 16_000),
        (Ratio::Six, 48_000, 8000),
        (Ratio::Two, 32_000, 16_000),
    ];

    fn decimate(ratio: Ratio, input: &[i16]) -> Vec<i16> {
        let (mut decimator, mut out) = (Decimator::new(ratio), vec![]);
        for block in input.chunks(173) {
            let mut part = [0; 128];
            let n = decimator.process(block, &mut part);
            out.extend_from_slice(&part[..n]);
        }
        out
    }

    #[test]
    fn decimators_pass_speech_and_stop_aliases() {
        for (ratio, high, low) in RATIOS {
            let scale = f64::from(low) / 8000.0;
            for hz in [200.0, 1000.0, 2500.0, 3400.0].map(|hz| hz * scale) {
                let out = decimate(ratio, &sine(hz, high, high as usize / 4));
                assert_eq!(out.len(), low as usize / 4);
                let gain = gain_db(&out[200..], hz, low);
                assert!(gain.abs() < 0.05, "{ratio:?} {hz} Hz: {gain:.3} dB");
            }
            for hz in [4600.0, 5000.0, 6200.0, 7900.0].map(|hz| hz * scale) {
                let out = decimate(ratio, &sine(hz, high, high as usize / 4));
                let power = power_db(&out[200..]);
                assert!(power < -65.0, "{ratio:?} {hz} Hz: {power:.1} dB");
            }
        }
    }

    #[test]
    fn interpolators_pass_speech_and_leave_no_images() {
        for (ratio, high, low) in RATIOS {
            let scale = f64::from(low) / 8000.0;
            for hz in [200.0, 1000.0, 2500.0, 3400.0].map(|hz| hz * scale) {
                let input = sine(hz, low, low as usize / 4);
                let (mut interpolator, mut out) = (Interpolator::new(ratio), vec![0; high as usize / 4]);
                assert_eq!(interpolator.process(&input, &mut out), out.len());
                let settled = &out[out.len() / 5..];
                let gain = gain_db(settled, hz, high);
                assert!(gain.abs() < 0.05, "{ratio:?} {hz} Hz: {gain:.3} dB");
                for image in [f64::from(low) - hz, f64::from(low) + hz] {
                    let gain = if image < f64::from(high) / 2.0 { gain_db(settled, image, high) } else { -99.0 };
                    assert!(gain < -65.0, "{ratio:?} {hz} Hz, image at {image}: {gain:.1} dB");
                }
            }
        }
    }

    #[test]
    fn a_stream_up_and_down_comes_back_delayed() {
        let input = sine(1234.0, 8000, 800);
        let (mut up, mut high) = (Interpolator::new(Ratio::Six), vec![0; 4800]);
        up.process(&input, &mut high);
        let back = decimate(Ratio::Six, &high);
        let delays = (20..40).map(|d| (100..700).map(|n| (back[n + d] - input[n]).abs()).max().unwrap());
        assert!(delays.min().unwrap() < 60);
    }

    #[test]
    fn ratios() {
        for (high, low, expected) in [(16_000, 8000, Some(Ratio::Two)), (48_000, 8000, Some(Ratio::Six))] {
            assert_eq!(Ratio::between(high, low), expected);
        }
        for (high, low) in [(44_100, 8000), (8000, 8000), (8000, 0), (0, 8000), (8000, 16_000)] {
            assert_eq!(Ratio::between(high, low), None);
        }
    }
}
