//! Packet loss concealment in the manner of G.711 Appendix I: the last pitch periods go on, fade after 10 ms, most of all from 20 to 30,
//! and are gone after 90 (the Appendix: 60). For sound at 8 kHz, or at 16 kHz with every length doubled (for G.722).
//!
//! Unlike the Appendix this adds no delay: where it holds back 3.75 ms to blend the last good samples, here the seam is
//! blended with what linear prediction says of the next quarter of a period.

use crate::cache::fetch;

/// Longest pitch period in samples at 8 kHz: 66 Hz.
const PITCH_MAX: usize = 120;
/// Shortest: 200 Hz; a higher voice repeats in multiples.
const PITCH_MIN: usize = 40;
/// Samples that are compared to find the period.
const COMPARED: usize = 160;
/// Three periods and a quarter.
const HISTORY: usize = 3 * PITCH_MAX + PITCH_MAX / 4;
const MS_10: usize = 80;
/// Of the linear prediction at the seam.
const ORDER: usize = 12;
/// Loss after which nothing is left. Bursts of 40 ms and more are worth 0.06 PESQ more so than with the Appendix' 60 ms.
const GONE: usize = 9 * MS_10;
/// From 20 ms on the wave can hardly be guessed, and a wrong guess is further from what was lost than silence: within 10 ms the sound
/// falls to this share, which the ear does not mind (speech at bursty loss: segmental SNR of what was lost 0.7 dB up, PESQ 0.01 down).
const DOUBTFUL: f32 = 0.3;
/// Samples on each side of a seam whose steps say whether it is one that is heard.
const SEAM: usize = 16;
/// Lengths at 16 kHz are those at 8 kHz times this.
const WIDE: usize = 2;
/// As long as the arrays have to be.
const HISTORY_MAX: usize = WIDE * HISTORY;
const LOOP_MAX: usize = WIDE * 3 * PITCH_MAX;
const RING_MAX: usize = WIDE * PITCH_MAX / 4;

/// Conceals lost packets of one stream. Give it every packet in order, good or lost.
#[derive(Debug, Clone)]
pub struct Concealer {
    /// 1 at 8 kHz, 2 at 16 kHz.
    factor: usize,
    /// The last samples put out: a ring, of 8 kHz in the first half of the array, and where the next one goes. A good packet, of
    /// which there are a thousand for each lost one, touches no more of it than its own length.
    history: [i16; HISTORY_MAX],
    end: usize,
    /// History at the beginning of the loss.
    before: [i16; HISTORY_MAX],
    period: usize,
    /// What is repeated, and what it replaces by and by.
    now: Loop,
    earlier: Loop,
    blend: usize,
    /// How the last good samples would ring on, and how much of that is still to be blended.
    ring: [f32; RING_MAX],
    ring_left: usize,
    /// Samples lost in a row.
    lost: usize,
}

/// The last one to three periods, with an end that leads into the beginning.
#[derive(Debug, Clone)]
struct Loop {
    samples: [i16; LOOP_MAX],
    len: usize,
    position: usize,
}

impl Default for Concealer {
    fn default() -> Concealer {
        Concealer::new()
    }
}

impl Concealer {
    /// For sound at 8 kHz.
    pub fn new() -> Concealer {
        Concealer::of(1)
    }

    /// For sound at 16 kHz.
    pub fn wide() -> Concealer {
        Concealer::of(WIDE)
    }

    fn of(factor: usize) -> Concealer {
        Concealer {
            factor,
            history: [0; HISTORY_MAX],
            end: 0,
            before: [0; HISTORY_MAX],
            period: factor * PITCH_MIN,
            now: Loop::EMPTY,
            earlier: Loop::EMPTY,
            blend: 0,
            ring: [0.0; RING_MAX],
            ring_left: 0,
            lost: 0,
        }
    }

    /// Takes a good packet of any length; after a loss its beginning is blended with what was made up, else it stays as
    /// it is.
    pub fn good(&mut self, packet: &mut [i16]) {
        if self.lost > 0 {
            // Where it is no click, the seam stays as it is: blending would spoil what came whole.
            if self.would_click(packet) {
                // 1 ms, and 2 after a long loss: enough for a seam without a click. Appendix I (§I.2.7)
                // takes up to 10, and spoils by that more of the good packet than was gained in the lost one.
                let ms = self.factor * MS_10 / 10;
                self.blend_in(packet, (self.lost / (20 * ms)).clamp(1, 2) * ms);
            }
            self.lost = 0;
        }
        self.remember(packet);
    }

    /// Whether the step from what was made up to a packet is higher than those around it.
    fn would_click(&self, packet: &[i16]) -> bool {
        let steps = |samples: &[i16]| samples.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap_or(0);
        let history = self.in_order();
        let before = &history[HISTORY_MAX - SEAM - 1..];
        let after = &packet[..packet.len().min(SEAM + 1)];
        let (Some(from), Some(to)) = (before.last(), after.first()) else { return false };
        from.abs_diff(*to) > steps(before).max(steps(after))
    }

    /// Takes a good packet that does not go on from the one before, as it comes from another decoder: 5 ms of it are blended
    /// with how that one would have gone on.
    pub fn joined(&mut self, packet: &mut [i16]) {
        self.blend_in(packet, self.factor * MS_10 / 2);
        self.remember(packet);
    }

    fn blend_in(&mut self, packet: &mut [i16], len: usize) {
        let len = len.min(packet.len());
        for (i, sample) in packet.iter_mut().take(len).enumerate() {
            let share = (i + 1) as f32 / (len + 1) as f32;
            let made_up = self.next_sample();
            *sample = round(made_up + (f32::from(*sample) - made_up) * share);
        }
        self.lost = 0;
    }

    /// Makes up a lost packet of any length.
    pub fn lost(&mut self, packet: &mut [i16]) {
        for sample in packet.iter_mut() {
            *sample = round(self.next_sample());
        }
        self.remember(packet);
    }

    /// Samples lost in a row up to now.
    pub fn lost_samples(&self) -> usize {
        self.lost
    }

    fn remember(&mut self, packet: &[i16]) {
        let ring = &mut self.history[..self.factor * HISTORY];
        let new = &packet[packet.len().saturating_sub(ring.len())..];
        let (before, after) = new.split_at(new.len().min(ring.len() - self.end));
        ring[self.end..self.end + before.len()].copy_from_slice(before);
        ring[..after.len()].copy_from_slice(after);
        self.end = (self.end + new.len()) % ring.len();
    }

    /// What was put out last, oldest first, at the end of the array.
    fn in_order(&self) -> [i16; HISTORY_MAX] {
        let (newer, older) = self.history[..self.factor * HISTORY].split_at(self.end);
        let mut all = [0; HISTORY_MAX];
        let from = HISTORY_MAX - newer.len() - older.len();
        all[from..from + older.len()].copy_from_slice(older);
        all[HISTORY_MAX - newer.len()..].copy_from_slice(newer);
        all
    }

    /// A good packet is about to be given: what is read then is fetched.
    #[inline]
    pub fn foresee(&self) {
        fetch(&self.factor);
        fetch(&self.end);
        fetch(&self.lost);
    }

    fn next_sample(&mut self) -> f32 {
        let (ms_10, gone) = (self.factor * MS_10, self.factor * GONE);
        // One period sounds like a buzzer after a while: two from 20 ms on, three from 30.
        if self.lost == 0 {
            self.begin();
        } else if self.lost == 2 * ms_10 {
            self.widen(2);
        } else if self.lost == 3 * ms_10 {
            self.widen(3);
        }
        let fade = if self.lost < ms_10 { 1.0 } else { gone.saturating_sub(self.lost) as f32 / (gone - ms_10) as f32 };
        let doubt = (self.lost.saturating_sub(2 * ms_10) as f32 / ms_10 as f32).min(1.0);
        let gain = fade * (1.0 - (1.0 - DOUBTFUL) * doubt);
        self.lost = self.lost.saturating_add(1);
        if gain == 0.0 {
            return 0.0;
        }
        let mut sample = self.now.next();
        let quarter = self.period / 4;
        if self.blend > 0 {
            let share = self.blend as f32 / (quarter + 1) as f32;
            sample += (self.earlier.next() - sample) * share;
            self.blend -= 1;
        }
        if self.ring_left > 0 {
            let share = self.ring_left as f32 / (quarter + 1) as f32;
            sample += (self.ring[quarter - self.ring_left] - sample) * share;
            self.ring_left -= 1;
        }
        sample * gain
    }

    fn begin(&mut self) {
        self.before = self.in_order();
        self.period = pitch(&self.before, self.factor);
        self.now = Loop::of(&self.before, self.period, 1, 0);
        self.blend = 0;
        self.ring = ringing(&self.before, self.factor);
        self.ring_left = self.period / 4;
    }

    fn widen(&mut self, periods: usize) {
        let phase = self.now.position % self.period;
        self.earlier = std::mem::replace(&mut self.now, Loop::of(&self.before, self.period, periods, phase));
        self.blend = self.period / 4;
    }
}

impl Loop {
    const EMPTY: Loop = Loop { samples: [0; LOOP_MAX], len: 1, position: 0 };

    fn of(history: &[i16; HISTORY_MAX], period: usize, periods: usize, position: usize) -> Loop {
        let (len, quarter) = (period * periods, period / 4);
        let mut samples = [0; LOOP_MAX];
        samples[..len].copy_from_slice(&history[HISTORY_MAX - len..]);
        // The last quarter turns into the quarter before the first sample.
        let lead_in = &history[HISTORY_MAX - len - quarter..HISTORY_MAX - len];
        for (i, (sample, lead)) in samples[len - quarter..len].iter_mut().zip(lead_in).enumerate() {
            let (from, to) = (f32::from(*sample), f32::from(*lead));
            *sample = round(from + (to - from) * (i + 1) as f32 / (quarter + 1) as f32);
        }
        Loop { samples, len, position }
    }

    fn next(&mut self) -> f32 {
        let sample = self.samples[self.position];
        self.position = (self.position + 1) % self.len;
        f32::from(sample)
    }
}

/// The lag at which the last 20 ms look most like what was before: every other lag and sample first (of 8 kHz), then all near
/// it.
fn pitch(history: &[i16; HISTORY_MAX], factor: usize) -> usize {
    let best = |lags: &mut dyn Iterator<Item = usize>, stride: usize| {
        let likeness = lags.map(|lag| (likeness(history, factor * COMPARED, lag, stride), lag));
        likeness.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(factor * PITCH_MIN, |(_, lag)| lag)
    };
    let (least, most, step) = (factor * PITCH_MIN, factor * PITCH_MAX, 2 * factor);
    let coarse = best(&mut (least..=most).step_by(step), step);
    best(&mut ((coarse + 1).saturating_sub(step).max(least)..=(coarse + step - 1).min(most)), factor)
}

/// What the vocal tract does when nothing excites it: linear prediction of order [`ORDER`] from the last 20 ms.
fn ringing(history: &[i16; HISTORY_MAX], factor: usize) -> [f32; RING_MAX] {
    let compared = factor * COMPARED;
    let recent = &history[HISTORY_MAX - compared..];
    let mut windowed = [0.0f32; WIDE * COMPARED];
    for (n, (windowed, sample)) in windowed.iter_mut().zip(recent).enumerate() {
        *windowed = f32::from(*sample) * (std::f32::consts::PI * (n as f32 + 0.5) / compared as f32).sin();
    }
    let mut correlation = [0.0f32; ORDER + 1];
    for (lag, sum) in correlation.iter_mut().enumerate() {
        *sum = windowed[..compared].iter().zip(&windowed[lag..compared]).map(|(a, b)| a * b).sum();
    }
    let mut predictor = [0.0f32; ORDER + 1];
    predictor[0] = 1.0;
    let mut error = correlation[0] * 1.0001 + 1.0;
    for i in 1..=ORDER {
        let sum: f32 = (0..i).map(|j| predictor[j] * correlation[i - j]).sum();
        let k = -sum / error;
        let before = predictor;
        for j in 1..=i {
            predictor[j] = before[j] + k * before[i - j];
        }
        error *= 1.0 - k * k;
    }
    let mut signal = [0.0; ORDER + RING_MAX];
    for (kept, sample) in signal.iter_mut().zip(&history[HISTORY_MAX - ORDER..]) {
        *kept = f32::from(*sample);
    }
    for n in ORDER..signal.len() {
        signal[n] = -(1..=ORDER).map(|j| predictor[j] * signal[n - j]).sum::<f32>();
    }
    std::array::from_fn(|n| signal[ORDER + n])
}

/// Normalized cross-correlation of the last `compared` samples with those `lag` before.
fn likeness(history: &[i16; HISTORY_MAX], compared: usize, lag: usize, stride: usize) -> f32 {
    let recent = &history[HISTORY_MAX - compared..];
    let delayed = &history[HISTORY_MAX - compared - lag..HISTORY_MAX - lag];
    let (mut product, mut energy) = (0.0, 0.0);
    for (x, y) in recent.iter().zip(delayed).step_by(stride) {
        let (x, y) = (f32::from(*x), f32::from(*y));
        product += x * y;
        energy += y * y;
    }
    product / energy.max(250.0).sqrt()
}

fn round(x: f32) -> i16 {
    crate::wave::to_i16(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// A voice: harmonics of a gliding pitch, swelling and falling.
    fn voice(len: usize) -> Vec<i16> {
        let mut phase = 0.0;
        let sample = |n: usize| {
            let t = n as f64 / 8000.0;
            phase += (130.0 + 30.0 * (TAU * 0.7 * t).sin()) / 8000.0;
            let harmonics = (1..=12).map(|h| {
                let hz = 130.0 * f64::from(h);
                let formants =
                    1.0 / (1.0 + ((hz - 600.0) / 200.0).powi(2)) + 0.4 / (1.0 + ((hz - 1400.0) / 250.0).powi(2));
                formants * (TAU * phase * f64::from(h) + f64::from(h * h)).sin()
            });
            (3000.0 * (1.0 + 0.6 * (TAU * 2.3 * t).sin()) * harmonics.sum::<f64>()) as i16
        };
        (0..len).map(sample).collect()
    }

    /// What comes out when packets of `len` are lost where `lose` says.
    fn through(input: &[i16], len: usize, lose: impl Fn(usize) -> bool) -> Vec<i16> {
        let (mut concealer, mut output) = (Concealer::new(), input.to_vec());
        for (index, packet) in output.chunks_mut(len).enumerate() {
            if lose(index) {
                packet.fill(i16::MIN);
                concealer.lost(packet);
            } else {
                concealer.good(packet);
            }
        }
        output
    }

    fn snr_db(wanted: &[i16], got: &[i16]) -> f64 {
        let signal: f64 = wanted.iter().map(|&x| f64::from(x).powi(2)).sum();
        let noise: f64 = wanted.iter().zip(got).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
        10.0 * (signal / noise.max(1e-9)).log10()
    }

    fn steepest(samples: &[i16]) -> i32 {
        samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap_or(0)
    }

    #[test]
    fn the_wide_band_goes_on_as_the_narrow_does() {
        for (hz, snr_min) in [(100.0, 25.0), (200.0, 25.0), (1000.0, 25.0), (3000.0, 20.0), (5000.0, 15.0)] {
            let input: Vec<i16> =
                (0..3200).map(|n| (8000.0 * (TAU * hz * f64::from(n) / 16_000.0).sin()) as i16).collect();
            let (mut concealer, mut output) = (Concealer::wide(), input.clone());
            for (index, packet) in output.chunks_mut(160).enumerate() {
                if index == 10 { concealer.lost(packet) } else { concealer.good(packet) }
            }
            let snr = snr_db(&input[1600..1920], &output[1600..1920]);
            assert!(snr > snr_min, "{hz} Hz: {snr:.1} dB");
        }
        let mut concealer = Concealer::wide();
        concealer.good(&mut [9_000; 640]);
        let mut packet = [1; 1_800];
        concealer.lost(&mut packet);
        assert!(packet[1_380] != 0 && packet[1_440..].iter().all(|s| *s == 0), "gone after 90 ms");
    }

    #[test]
    fn without_loss_nothing_changes() {
        let input = voice(4000);
        assert_eq!(through(&input, 160, |_| false), input);
    }

    #[test]
    fn a_tone_goes_on() {
        for (hz, snr_min) in [(100.0, 25.0), (200.0, 25.0), (425.0, 12.0), (1000.0, 25.0)] {
            let input: Vec<i16> =
                (0..1600).map(|n| (8000.0 * (TAU * hz * f64::from(n) / 8000.0).sin()) as i16).collect();
            let output = through(&input, 80, |i| i == 10);
            let snr = snr_db(&input[800..960], &output[800..960]);
            assert!(snr > snr_min, "{hz} Hz: {snr:.1} dB");
            assert!(steepest(&output) < steepest(&input) * 3 / 2, "{hz} Hz");
        }
    }

    /// Levels in dB of 16 bands of 125 Hz, at least 40 dB under a loud one.
    fn spectrum(samples: &[i16]) -> [f64; 16] {
        std::array::from_fn(|band| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &x) in samples.iter().enumerate() {
                let window = (std::f64::consts::PI * (n as f64 + 0.5) / samples.len() as f64).sin();
                let angle = TAU * 125.0 * (band + 1) as f64 * n as f64 / 8000.0;
                re += window * f64::from(x) * angle.cos();
                im += window * f64::from(x) * angle.sin();
            }
            (10.0 * ((re * re + im * im) / (samples.len() as f64).powi(2)).log10()).max(20.0)
        })
    }

    /// Mean difference of the spectra of the lost packets in dB.
    fn colour_db(wanted: &[i16], got: &[i16], len: usize, lose: impl Fn(usize) -> bool) -> f64 {
        let packets = wanted.chunks(len).zip(got.chunks(len)).enumerate().filter(|(i, _)| lose(*i));
        let differences = packets.flat_map(|(_, (x, y))| {
            let (x, y) = (spectrum(x), spectrum(y));
            (0..16).map(move |band| (x[band] - y[band]).abs())
        });
        let differences: Vec<f64> = differences.collect();
        differences.iter().sum::<f64>() / differences.len() as f64
    }

    #[test]
    fn made_up_speech_has_the_colour_of_the_lost() {
        let input = voice(8000 * 20);
        type Loss = fn(usize) -> bool;
        // The fade alone is 2 dB after 20 ms and 14 dB after 40.
        let rows: [(&str, usize, Loss, f64); 3] = [
            ("10 ms, 5 %", 80, |i| i % 20 == 13, 2.0),
            ("20 ms, 5 %", 160, |i| i % 20 == 13, 4.0),
            ("20 ms, two in a row", 160, |i| i % 30 >= 28, 9.0),
        ];
        for (name, len, lose, off_max) in rows {
            let output = through(&input, len, lose);
            let mut holes = input.clone();
            holes.chunks_mut(len).enumerate().filter(|(i, _)| lose(*i)).for_each(|(_, packet)| packet.fill(0));
            let (ours, silence) = (colour_db(&input, &output, len, lose), colour_db(&input, &holes, len, lose));
            assert!(ours < off_max && silence > 15.0, "{name}: {ours:.1} dB off, silence {silence:.1}");
            assert!(steepest(&output) < steepest(&input) * 3 / 2, "{name}: a click");
        }
    }

    #[test]
    fn a_long_loss_fades_and_ends() {
        let input = voice(8000);
        let output = through(&input, 160, |i| (10..20).contains(&i));
        let rms = |range: std::ops::Range<usize>| crate::level::rms_dbov(&output[range]);
        let levels: Vec<f32> = (0..9).map(|i| rms(1600 + i * 80..1680 + i * 80)).collect();
        assert!(levels[0] > -25.0 && levels[2] < levels[0] && levels[8] < levels[0] - 12.0, "{levels:?}");
        assert!(output[1600 + GONE..3200].iter().all(|&x| x == 0));
        assert_eq!(output[3280..], input[3280..]);
    }

    #[test]
    fn a_second_loss_goes_on_from_what_came_between() {
        let tone = |hz: f64, n: usize| (8000.0 * (TAU * hz * n as f64 / 8000.0).sin()) as i16;
        let input: Vec<i16> = (0..2400).map(|n| tone(if n < 1200 { 100.0 } else { 160.0 }, n)).collect();
        let output = through(&input, 400, |i| i == 2 || i == 4);
        let snr = snr_db(&input[1600..1680], &output[1600..1680]);
        assert!(snr > 25.0, "{snr:.1} dB");
    }

    #[test]
    fn noise_does_not_become_a_buzz() {
        let mut state = 1u32;
        let input: Vec<i16> = (0..1600)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 18) as i16 - 8192
            })
            .collect();
        let output = through(&input, 400, |i| i == 3);
        // Repeated period by period the sound would be the same 120 samples (at most) ago.
        let likeness = |from: usize, lag: usize| {
            let (a, b) = (&output[from..from + 80], &output[from - lag..from - lag + 80]);
            let product =
                |x: &[i16], y: &[i16]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
            product(a, b) / (product(a, a) * product(b, b)).sqrt()
        };
        let closest = |from: usize| (PITCH_MIN..=PITCH_MAX).map(|lag| likeness(from, lag)).fold(0.0, f64::max);
        assert!(closest(1400) < 0.9, "{:.2}", closest(1400));
    }

    #[test]
    fn the_seam_is_smooth_where_the_period_does_not_fit() {
        // 31 Hz has no period within reach: the repetition alone would begin with a jump.
        let input: Vec<i16> =
            (0..1600).map(|n| (12_000.0 * (TAU * 31.0 * f64::from(n) / 8000.0).sin()) as i16).collect();
        for at in 8..18 {
            let output = through(&input, 80, |i| i == at);
            let jump = (i32::from(output[at * 80]) - i32::from(output[at * 80 - 1])).abs();
            assert!(jump < 1500, "at {at}: {jump}");
        }
    }

    #[test]
    fn another_decoders_sound_is_joined_without_a_click() {
        let mut concealer = Concealer::new();
        let tone = |n: i32, late: f64| (8000.0 * (TAU * 200.0 * (f64::from(n) / 8000.0 - late)).sin()) as i16;
        let mut sound: Vec<i16> = (0..640).map(|n| tone(n, 0.0)).chain((640..1280).map(|n| tone(n, 0.003))).collect();
        let jump = steepest(&sound);
        concealer.good(&mut sound[..640]);
        concealer.joined(&mut sound[640..]);
        assert!(jump > 5000 && steepest(&sound) < 1500, "{jump} {}", steepest(&sound));
    }

    #[test]
    fn any_order_and_length_is_taken() {
        let mut concealer = Concealer::new();
        for len in [0, 1, 79, 160, 480, 1000] {
            let mut packet = vec![i16::MAX; len];
            concealer.lost(&mut packet);
            assert!(packet.iter().all(|&x| x == 0), "before anything was heard there is nothing to go on with");
        }
        concealer.good(&mut [i16::MIN; 1000]);
        concealer.good(&mut []);
        concealer.lost(&mut [0; 7]);
        concealer.lost(&mut [0; 73]);
        assert_eq!(concealer.lost_samples(), 80);
    }
}
