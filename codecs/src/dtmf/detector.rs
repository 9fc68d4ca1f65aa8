//! Finding digits among speech.
//!
//! Every 5 ms a window of 20 ms is weighed at the eight frequencies. A frame is a hit if one frequency of each group
//! stands out, both are loud enough, their levels are within the twist allowed, next to nothing else is in the window,
//! and the phase's advance since the last frame says that each is where it should be: that, rather than selectivity,
//! rejects speech. A digit begins with enough hits in a row and ends with enough misses.

use super::{HIGH_HZ, KEYPAD, LOW_HZ};
use crate::wave::amplitude;
use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

const RATE_HZ: f32 = 8000.0;
const WINDOW: usize = 160;
const HOP: usize = 40;
const HOP_MS: u32 = 5;

/// Least level of each tone: Q.24 wants −25 dBm0 found, and Japan −29 not.
const LEVEL_MIN_DBM0: f32 = -27.0;
/// High over low group, in dB: Q.24 (AT&T) wants −8 to +4 found.
const TWIST_MIN_DB: f32 = -9.5;
const TWIST_MAX_DB: f32 = 5.5;
/// Q.24 wants ±1.5 % found and ±3.5 % not.
const DEVIATION_MAX: f32 = 0.025;
/// Least part of the window's energy that is the two tones'.
const PURITY_MIN: f32 = 0.93;
/// The same for a digit that goes on: an interruption of 10 ms does not end it.
const PURITY_HELD_MIN: f32 = 0.4;
/// How far the tones may fall in an interruption: to this part of their energy.
const HELD_MIN: f32 = 0.03;
/// Hits that begin a digit, found so that 40 ms are always enough and 23 ms never.
const HITS: u32 = 4;
/// Misses that end it, found so that a pause of 40 ms is always enough and one of 10 ms never.
const MISSES: u32 = 4;
/// What a tone is longer than the distance of its first and last hit.
const EXTENT_MS: u32 = 14;

/// What [`Detector::process`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A digit has lasted long enough to count.
    Begin { digit: char },
    /// It has ended; its duration is known within 10 ms.
    End { digit: char, duration_ms: u32 },
}

/// Finds digits in 8 kHz sound.
#[derive(Debug, Clone)]
pub struct Detector {
    window: [f32; WINDOW],
    /// Samples at the window's end that no frame has covered yet.
    fresh: usize,
    bins: [Complex; 8],
    frame: u32,
    /// Digit of the present run of hits, and how many.
    candidate: Option<(char, u32)>,
    active: Option<Active>,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    digit: char,
    began: u32,
    last: u32,
    low_energy: f32,
    high_energy: f32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Complex {
    re: f32,
    im: f32,
}

/// The strongest pair of a frame.
struct Pair {
    digit: char,
    low_energy: f32,
    high_energy: f32,
    purity: f32,
    in_place: bool,
}

/// Windowed sines of the eight frequencies.
struct Tables {
    hamming: [f32; WINDOW],
    cosines: [[f32; WINDOW]; 8],
    sines: [[f32; WINDOW]; 8],
    /// Turns |X|² into the energy of its sine under the window.
    energy_scale: f32,
    /// Least energy of one tone.
    energy_min: f32,
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

impl Default for Detector {
    fn default() -> Detector {
        Detector::new()
    }
}

impl Detector {
    pub fn new() -> Detector {
        LazyLock::force(&TABLES);
        Detector {
            window: [0.0; WINDOW],
            fresh: 0,
            bins: [Complex::default(); 8],
            frame: 0,
            candidate: None,
            active: None,
        }
    }

    /// The digit that is on.
    pub fn active(&self) -> Option<char> {
        self.active.map(|a| a.digit)
    }

    /// Whether what has come last is a digit, or may be the begin of one: known 20 ms after it begins, whereas `Begin` takes 35.
    pub const fn suspects(&self) -> bool {
        self.active.is_some() || self.candidate.is_some()
    }

    /// Takes 8 kHz samples and tells what they complete: at most two events for each 5 ms.
    pub fn process(&mut self, samples: &[i16], mut tell: impl FnMut(Event)) {
        for &sample in samples {
            if self.fresh == HOP {
                self.window.copy_within(HOP.., 0);
                self.fresh = 0;
            }
            self.window[WINDOW - HOP + self.fresh] = f32::from(sample);
            self.fresh += 1;
            if self.fresh == HOP {
                let pair = self.weigh();
                self.follow(pair, &mut tell);
                self.frame = self.frame.wrapping_add(1);
            }
        }
    }

    /// The frame's strongest pair, unless it is too quiet for any.
    fn weigh(&mut self) -> Option<Pair> {
        let tables = &*TABLES;
        let total: f32 = self.window.iter().zip(&tables.hamming).map(|(x, w)| (x * w).powi(2)).sum();
        if total < tables.energy_min * HELD_MIN {
            self.bins = [Complex::default(); 8];
            return None;
        }
        let mut bins = [Complex::default(); 8];
        for (i, bin) in bins.iter_mut().enumerate() {
            *bin = Complex { re: dot(&self.window, &tables.cosines[i]), im: -dot(&self.window, &tables.sines[i]) };
        }
        let before = std::mem::replace(&mut self.bins, bins);
        let strongest = |group: std::ops::Range<usize>| {
            group.max_by(|&a, &b| bins[a].power().total_cmp(&bins[b].power())).unwrap_or(0)
        };
        let (low, high) = (strongest(0..4), strongest(4..8));
        let (low_hz, high_hz) = (f32::from(LOW_HZ[low]), f32::from(HIGH_HZ[high - 4]));
        let low_off = deviation_hz(before[low], bins[low], low_hz);
        let high_off = deviation_hz(before[high], bins[high], high_hz);
        let low_energy = bins[low].power() * tables.energy_scale / response(low_off).powi(2);
        let high_energy = bins[high].power() * tables.energy_scale / response(high_off).powi(2);
        Some(Pair {
            digit: KEYPAD[low][high - 4],
            low_energy,
            high_energy,
            purity: (low_energy + high_energy) / total,
            in_place: low_off.abs() <= DEVIATION_MAX * low_hz && high_off.abs() <= DEVIATION_MAX * high_hz,
        })
    }

    fn follow(&mut self, pair: Option<Pair>, tell: &mut impl FnMut(Event)) {
        let hit = pair.as_ref().filter(|p| p.is_hit());
        self.candidate = match (hit, self.candidate) {
            (Some(p), Some((digit, run))) if p.digit == digit => Some((digit, run + 1)),
            (Some(p), _) => Some((p.digit, 1)),
            (None, _) => None,
        };
        if let Some(active) = &mut self.active {
            if pair.as_ref().is_some_and(|p| p.holds(active)) {
                active.last = self.frame;
            }
            let replaced = self.candidate.is_some_and(|(digit, run)| digit != active.digit && run >= HITS);
            if replaced || self.frame.wrapping_sub(active.last) >= MISSES {
                let duration_ms = active.last.wrapping_sub(active.began) * HOP_MS + EXTENT_MS;
                tell(Event::End { digit: active.digit, duration_ms });
                self.active = None;
            }
        }
        if let (None, Some((digit, run)), Some(p)) = (&self.active, self.candidate, hit)
            && run >= HITS
        {
            let began = self.frame.wrapping_sub(run - 1);
            let (low_energy, high_energy) = (p.low_energy, p.high_energy);
            self.active = Some(Active { digit, began, last: self.frame, low_energy, high_energy });
            tell(Event::Begin { digit });
        }
    }
}

impl Pair {
    fn is_hit(&self) -> bool {
        let twist_db = 10.0 * (self.high_energy / self.low_energy).log10();
        self.in_place
            && self.purity >= PURITY_MIN
            && self.low_energy.min(self.high_energy) >= TABLES.energy_min
            && (TWIST_MIN_DB..=TWIST_MAX_DB).contains(&twist_db)
    }

    /// Whether the digit goes on, perhaps under an interruption.
    fn holds(&self, active: &Active) -> bool {
        self.digit == active.digit
            && self.purity >= PURITY_HELD_MIN
            && self.low_energy >= active.low_energy * HELD_MIN
            && self.high_energy >= active.high_energy * HELD_MIN
    }
}

impl Complex {
    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

impl Tables {
    fn new() -> Tables {
        let hamming: [f32; WINDOW] =
            std::array::from_fn(|n| 0.54 - 0.46 * (TAU * (n as f32 + 0.5) / WINDOW as f32).cos());
        let frequencies = LOW_HZ.iter().chain(&HIGH_HZ);
        let mut tables = Tables {
            hamming,
            cosines: [[0.0; WINDOW]; 8],
            sines: [[0.0; WINDOW]; 8],
            energy_scale: 0.0,
            energy_min: 0.0,
        };
        for (i, &hz) in frequencies.enumerate() {
            for (n, w) in hamming.iter().enumerate() {
                let angle = TAU * (f32::from(hz) * n as f32 / RATE_HZ).fract();
                tables.cosines[i][n] = w * angle.cos();
                tables.sines[i][n] = w * angle.sin();
            }
        }
        let (sum, squares): (f32, f32) = (hamming.iter().sum(), hamming.iter().map(|w| w * w).sum());
        tables.energy_scale = 2.0 * squares / (sum * sum);
        tables.energy_min = amplitude(LEVEL_MIN_DBM0).powi(2) / 2.0 * squares;
        tables
    }
}

/// How far a sine lies from `hz`, by the advance of its phase over a hop; unambiguous within ±100 Hz.
fn deviation_hz(before: Complex, now: Complex, hz: f32) -> f32 {
    let advance = TAU * (hz * HOP as f32 / RATE_HZ).fract();
    let (re, im) = (now.re * before.re + now.im * before.im, now.im * before.re - now.re * before.im);
    if re == 0.0 && im == 0.0 {
        return f32::INFINITY;
    }
    let off = (im.atan2(re) - advance + 3.0 * PI).rem_euclid(TAU) - PI;
    off / TAU * RATE_HZ / HOP as f32
}

/// The window's response at a distance in Hz, relative to its middle, over the main lobe's inner part.
fn response(hz: f32) -> f32 {
    let bins = hz.abs().min(50.0) * WINDOW as f32 / RATE_HZ;
    let sinc = |x: f32| if x.abs() < 1e-3 { 1.0 } else { (PI * x).sin() / (PI * x) };
    sinc(bins) + 0.46 / 0.54 / 2.0 * (sinc(bins - 1.0) + sinc(bins + 1.0))
}

fn dot(a: &[f32; WINDOW], b: &[f32; WINDOW]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests;
