//! Cadenced tones of several frequencies: ringback, busy and their kin, by country.

use crate::wave::{amplitude, cosine, sine, step, to_i16};

mod single;
mod table;

pub use single::single;
pub use table::{COUNTRIES, by_name};

/// Frequencies a segment may sum.
pub const FREQUENCIES_MAX: usize = 4;
/// Segments a tone may have.
pub const SEGMENTS_MAX: usize = 8;
/// Length of the raised-cosine edge at which a sound starts and stops, in ms.
pub const EDGE_MS: u32 = 5;

/// Sound, then a pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Summed frequencies in Hz; 0 marks an unused place.
    pub freqs_hz: [u16; FREQUENCIES_MAX],
    /// Amplitude modulation in Hz at 90 % depth, as India rings (400 × 25 Hz); 0 for none.
    pub modulation_hz: u16,
    /// Level of each frequency in dBm0.
    pub level_dbm0: f32,
    /// Duration of the sound; 0 sounds for ever (and then nothing follows).
    pub on_ms: u32,
    /// Duration of the pause that follows.
    pub off_ms: u32,
}

impl Segment {
    /// Up to [`FREQUENCIES_MAX`] frequencies at `level_dbm0` each; further ones are ignored.
    pub const fn new(freqs_hz: &[u16], level_dbm0: f32, on_ms: u32, off_ms: u32) -> Segment {
        let mut places = [0; FREQUENCIES_MAX];
        let mut i = 0;
        while i < freqs_hz.len() && i < FREQUENCIES_MAX {
            places[i] = freqs_hz[i];
            i += 1;
        }
        Segment { freqs_hz: places, modulation_hz: 0, level_dbm0, on_ms, off_ms }
    }
}

/// How often a tone's segments are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    Forever,
    Times(u16),
}

/// A tone: segments in order, repeated. A plain value of fixed size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToneSpec {
    segments: [Segment; SEGMENTS_MAX],
    len: usize,
    repeat: Repeat,
}

impl ToneSpec {
    /// Up to [`SEGMENTS_MAX`] segments; further ones are ignored.
    pub const fn new(segments: &[Segment], repeat: Repeat) -> ToneSpec {
        let mut places = [Segment::new(&[], 0.0, 0, 0); SEGMENTS_MAX];
        let mut len = 0;
        while len < segments.len() && len < SEGMENTS_MAX {
            places[len] = segments[len];
            len += 1;
        }
        ToneSpec { segments: places, len, repeat }
    }

    /// The segments in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.len]
    }

    /// How often they are gone through.
    pub fn repeat(&self) -> Repeat {
        self.repeat
    }

    /// The same tone with another repetition.
    pub fn repeated(mut self, repeat: Repeat) -> ToneSpec {
        self.repeat = repeat;
        self
    }

    /// Duration in ms, or `None` for one without end.
    pub fn duration_ms(&self) -> Option<u64> {
        let Repeat::Times(times) = self.repeat else { return None };
        let mut once = 0;
        for segment in self.segments() {
            if segment.on_ms == 0 && segment.sounds() {
                return None;
            }
            once += u64::from(segment.on_ms) + u64::from(segment.off_ms);
        }
        Some(once * u64::from(times))
    }
}

impl Segment {
    fn sounds(&self) -> bool {
        self.freqs_hz.iter().any(|&hz| hz != 0)
    }

    fn same_sound(&self, other: &Segment) -> bool {
        self.freqs_hz == other.freqs_hz
            && self.modulation_hz == other.modulation_hz
            && self.level_dbm0 == other.level_dbm0
    }
}

/// One segment in samples of the generator's rate.
#[derive(Debug, Clone, Copy)]
struct Timing {
    steps: [u32; FREQUENCIES_MAX],
    modulation_step: u32,
    amplitude: f32,
    /// `u64::MAX` for one without end.
    on: u64,
    off: u64,
    fade_in: bool,
    fade_out: bool,
}

/// Generates a tone's samples. Phase runs on from one buffer to the next and, at equal frequency, from one segment to
/// the next.
#[derive(Debug, Clone)]
pub struct ToneGenerator {
    timings: [Timing; SEGMENTS_MAX],
    len: usize,
    /// Rounds left, the present one included; `None` for ever.
    rounds: Option<u16>,
    index: usize,
    position: u64,
    /// Until the first segment ends: a tone that loops without a pause fades in only once.
    first: bool,
    phases: [u32; FREQUENCIES_MAX],
    modulation_phase: u32,
    edge_samples: u64,
    /// Samples of the release already played, once `stop` was called.
    release: Option<u64>,
}

impl ToneGenerator {
    /// A generator at `sample_rate_hz` (8,000, 16,000, 48,000 or any other); frequencies above half the rate are left
    /// out, as they would alias.
    pub fn new(spec: &ToneSpec, sample_rate_hz: u32) -> ToneGenerator {
        let segments = spec.segments();
        let mut timings = [Timing::of(&Segment::new(&[], 0.0, 0, 0), sample_rate_hz); SEGMENTS_MAX];
        for (i, segment) in segments.iter().enumerate() {
            timings[i] = Timing::of(segment, sample_rate_hz);
            let next = &segments[(i + 1) % segments.len()];
            let last = i + 1 == segments.len() && spec.repeat == Repeat::Times(1);
            timings[i].fade_out = segment.off_ms > 0 || last || !segment.same_sound(next);
            let before = &segments[(i + segments.len() - 1) % segments.len()];
            timings[i].fade_in = before.off_ms > 0 || !segment.same_sound(before);
        }
        let rounds = match spec.repeat {
            Repeat::Forever => None,
            Repeat::Times(times) => Some(times),
        };
        // A tone whose segments all have no length would never advance.
        let empty = timings[..segments.len()].iter().all(|t| t.on == 0 && t.off == 0);
        ToneGenerator {
            timings,
            len: segments.len(),
            rounds: if empty { Some(0) } else { rounds },
            index: 0,
            position: 0,
            first: true,
            phases: [0; FREQUENCIES_MAX],
            modulation_phase: 0,
            edge_samples: u64::from(EDGE_MS * sample_rate_hz / 1000).max(1),
            release: None,
        }
    }

    /// Begins the last 5 ms; without effect when ended or stopping.
    pub fn stop(&mut self) {
        self.release.get_or_insert(0);
    }

    /// Whether nothing but silence follows.
    pub fn is_finished(&self) -> bool {
        self.rounds == Some(0) || self.release.is_some_and(|played| played >= self.edge_samples)
    }

    /// Fills the whole buffer, with zeros after the end. Returns how many samples belong to the tone.
    pub fn fill(&mut self, out: &mut [i16]) -> usize {
        let total = out.len();
        for (n, sample) in out.iter_mut().enumerate() {
            if self.is_finished() {
                out[n..].fill(0);
                return n;
            }
            *sample = to_i16(self.next_sample());
        }
        total
    }

    fn next_sample(&mut self) -> f32 {
        // Segments without length are passed over; the constructor saw to it that one has some.
        while self.timings[self.index].length() == 0 {
            self.advance();
            if self.rounds == Some(0) {
                return 0.0;
            }
        }
        let timing = self.timings[self.index];
        let mut value = 0.0;
        if self.position < timing.on {
            for (phase, step) in self.phases.iter_mut().zip(timing.steps) {
                if step != 0 {
                    value += sine(*phase);
                    *phase = phase.wrapping_add(step);
                }
            }
            if timing.modulation_step != 0 {
                value *= 1.0 + 0.9 * sine(self.modulation_phase);
                self.modulation_phase = self.modulation_phase.wrapping_add(timing.modulation_step);
            }
            value *= timing.amplitude * self.envelope(&timing);
        }
        self.position += 1;
        if let Some(played) = &mut self.release {
            value *= raised_cosine(self.edge_samples - *played, self.edge_samples);
            *played += 1;
        }
        if self.position == timing.length() {
            self.advance();
        }
        value
    }

    fn advance(&mut self) {
        self.position = 0;
        self.first = false;
        self.index += 1;
        if self.index == self.len {
            self.index = 0;
            if let Some(rounds) = &mut self.rounds {
                *rounds = rounds.saturating_sub(1);
            }
        }
    }

    fn envelope(&self, timing: &Timing) -> f32 {
        let edge = self.edge_samples.min(timing.on / 2).max(1);
        let remaining = timing.on - self.position;
        let last_round = self.rounds == Some(1) && self.index + 1 == self.len;
        if self.position < edge && (timing.fade_in || self.first) {
            return raised_cosine(self.position, edge);
        }
        if remaining <= edge && (timing.fade_out || last_round) {
            return raised_cosine(remaining, edge);
        }
        1.0
    }
}

impl Timing {
    fn of(segment: &Segment, sample_rate_hz: u32) -> Timing {
        let samples = |ms: u32| u64::from(ms) * u64::from(sample_rate_hz) / 1000;
        let audible = |hz: u16| if u32::from(hz) * 2 < sample_rate_hz { hz } else { 0 };
        Timing {
            steps: segment.freqs_hz.map(|hz| step(f64::from(audible(hz)), sample_rate_hz)),
            modulation_step: step(f64::from(segment.modulation_hz), sample_rate_hz),
            amplitude: amplitude(segment.level_dbm0),
            on: if segment.on_ms == 0 && segment.sounds() { u64::MAX } else { samples(segment.on_ms) },
            off: samples(segment.off_ms),
            fade_in: true,
            fade_out: true,
        }
    }

    fn length(&self) -> u64 {
        self.on.saturating_add(self.off)
    }
}

/// Rises from 0 at 0 to 1 at `edge`.
fn raised_cosine(position: u64, edge: u64) -> f32 {
    let half_turn = ((position.min(edge) << 31) / edge.max(1)) as u32;
    0.5 - 0.5 * cosine(half_turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{peak, rms_dbov};

    fn play(spec: &ToneSpec, rate: u32, ms: u32) -> Vec<i16> {
        let mut generator = ToneGenerator::new(spec, rate);
        let mut out = vec![0; (rate * ms / 1000) as usize];
        // Odd block sizes: the result must not depend on how it is cut.
        out.chunks_mut(37).for_each(|block| _ = generator.fill(block));
        out
    }

    /// Power of one frequency in dBm0, over the whole slice.
    fn power_dbm0(samples: &[i16], hz: f64, rate: u32) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &s) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / f64::from(rate);
            re += f64::from(s) * angle.cos();
            im += f64::from(s) * angle.sin();
        }
        let peak = 2.0 * (re * re + im * im).sqrt() / samples.len() as f64;
        20.0 * (peak / 32768.0).log10() + f64::from(crate::wave::OVERLOAD_DBM0)
    }

    #[test]
    fn us_ringback_has_its_frequencies_levels_and_cadence() {
        let spec = by_name("us", "ringback").unwrap();
        for rate in [8000, 16_000, 48_000] {
            let out = play(&spec, rate, 6500);
            let at = |ms: u32| (rate * ms / 1000) as usize;
            for hz in [440.0, 480.0] {
                let level = power_dbm0(&out[at(500)..at(1500)], hz, rate);
                assert!((level - -19.0).abs() < 0.05, "{hz} Hz at {rate}: {level} dBm0");
            }
            assert!(power_dbm0(&out[at(500)..at(1500)], 460.0, rate) < -70.0);
            assert_eq!(peak(&out[at(2000)..at(6000)]), 0);
            assert!(rms_dbov(&out[at(6010)..]) > -30.0);
        }
    }

    #[test]
    fn every_country_has_every_tone_and_none_clips_or_clicks() {
        for country in COUNTRIES {
            for name in ["ringback", "busy", "congestion", "dial", "sit"] {
                let spec = by_name(country, name).unwrap_or_else(|| panic!("{country} {name}"));
                let out = play(&spec, 8000, 5000);
                let top = peak(&out);
                assert!((1000..25_000).contains(&top), "{country} {name}: peak {top}");
                // A cut in a sine is a jump; the steepest slope of the sum is 2π·f/rate of each amplitude.
                let jump = out.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap();
                let steepest = spec.segments().iter().map(steepest).fold(0.0, f32::max);
                assert!(jump as f32 <= steepest + 2.0, "{country} {name}: {jump} > {steepest}");
            }
        }
    }

    fn gain_of(segment: &Segment) -> f32 {
        amplitude(segment.level_dbm0) * if segment.modulation_hz > 0 { 1.9 } else { 1.0 }
    }

    fn steepest(segment: &Segment) -> f32 {
        let each = |hz: u16| std::f32::consts::TAU * f32::from(hz + 2 * segment.modulation_hz) / 8000.0;
        segment.freqs_hz.iter().filter(|&&hz| hz > 0).map(|&hz| each(hz) * gain_of(segment)).sum()
    }

    #[test]
    fn edges_are_raised_cosines_of_5_ms() {
        let spec = ToneSpec::new(&[Segment::new(&[1000], 0.0, 100, 100)], Repeat::Times(2));
        let out = play(&spec, 48_000, 500);
        let full = f64::from(amplitude(0.0));
        // 1 kHz peaks a quarter of a ms after each ms; over 5 ms the edge is ½ at 2.5 ms.
        for (ms, expected) in [(0.25, 0.0062), (2.25, 0.4218), (4.25, 0.9455), (50.25, 1.0), (97.25, 0.4218 + 0.1545)] {
            let got = f64::from(out[(ms * 48.0) as usize]) / full;
            assert!((got - expected).abs() < 0.01, "at {ms} ms: {got}");
        }
        assert!(out[99 * 48 + 40].unsigned_abs() < 100);
        assert!(out[4800..9600].iter().all(|&s| s == 0));
        assert_eq!(spec.duration_ms(), Some(400));
    }

    #[test]
    fn ends_where_its_duration_says() {
        let spec = ToneSpec::new(&[Segment::new(&[425], -10.0, 20, 10)], Repeat::Times(3));
        let mut generator = ToneGenerator::new(&spec, 8000);
        let mut out = [1i16; 1000];
        assert_eq!(generator.fill(&mut out), 720);
        assert!(generator.is_finished());
        assert!(out[720..].iter().all(|&s| s == 0));
        assert_eq!(generator.fill(&mut out), 0);
    }

    #[test]
    fn equal_sounds_join_without_a_seam() {
        let halves = ToneSpec::new(&[Segment::new(&[425], -10.0, 33, 0); 2], Repeat::Forever);
        let whole = ToneSpec::new(&[Segment::new(&[425], -10.0, 0, 0)], Repeat::Forever);
        assert_eq!(play(&halves, 8000, 300), play(&whole, 8000, 300));
    }

    #[test]
    fn stop_fades_within_5_ms() {
        let mut generator = ToneGenerator::new(&by_name("de", "dial").unwrap(), 8000);
        let mut out = [0i16; 160];
        generator.fill(&mut out);
        generator.stop();
        assert_eq!(generator.fill(&mut out), 40);
        assert!(generator.is_finished());
        assert!(peak(&out[..8]) > 2000 && peak(&out[36..]) < 200);
    }

    #[test]
    fn a_tone_of_no_length_is_finished_at_once() {
        for segments in [&[][..], &[Segment::new(&[], 0.0, 0, 0)], &[Segment::new(&[425], 0.0, 1, 0)]] {
            let spec = ToneSpec::new(segments, Repeat::Forever);
            let generator = ToneGenerator::new(&spec, if segments.is_empty() { 8000 } else { 100 });
            assert!(generator.is_finished(), "{segments:?}");
        }
        assert!(ToneGenerator::new(&by_name("us", "busy").unwrap().repeated(Repeat::Times(0)), 8000).is_finished());
    }

    #[test]
    fn frequencies_that_would_alias_are_left_out() {
        let spec = ToneSpec::new(&[Segment::new(&[425, 5000], -10.0, 1000, 0)], Repeat::Times(1));
        let out = play(&spec, 8000, 1000);
        assert!(power_dbm0(&out, 3000.0, 8000) < -60.0);
        assert!((power_dbm0(&out, 425.0, 8000) - -10.0).abs() < 0.1);
    }
}
