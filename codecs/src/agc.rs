//! Automatic gain control: brings speech to one level, slowly, and leaves pauses as they are (in the spirit of ITU-T G.169).
//!
//! ```text
//!  10 ms ─► level ─► speech, by the noise floor? ─► mean speech level ─► gain, a few dB a second ─► limit to the peak ─► ramp
//! ```

use crate::level::{peak, rms_dbov};

/// What the mean level of speech is brought to.
pub const TARGET_DBOV: f32 = -22.0;
/// How much is added or taken at most.
pub const GAIN_DB_MAX: f32 = 18.0;
/// A listener notices no faster change as one.
const RISE_DB_PER_S: f32 = 4.0;
const FALL_DB_PER_S: f32 = 15.0;
/// Speech is so much above the noise, and never below the least level.
const ABOVE_NOISE_DB: f32 = 10.0;
const SPEECH_DBOV_MIN: f32 = -55.0;
/// The floor under digital silence.
const NOISE_DBOV_MIN: f32 = -70.0;
/// How fast the floor follows noise that grows; it falls at once.
const NOISE_RISE_DB_PER_S: f32 = 3.0;
/// Over which speech is averaged, seconds of speech.
const MEAN_S: f32 = 0.5;
/// Peaks are held below this.
const PEAK_MAX: f32 = 29_000.0;

/// Controls one voice.
#[derive(Debug, Clone)]
pub struct Agc {
    rate_hz: u32,
    noise_dbov: f32,
    /// Mean energy of speech relative to full scale; 0 before any.
    speech: f32,
    gain_db: f32,
    /// What the last sample was multiplied with.
    factor: f32,
}

impl Agc {
    pub fn new(rate_hz: u32) -> Agc {
        Agc { rate_hz: rate_hz.max(100), noise_dbov: 0.0, speech: 0.0, gain_db: 0.0, factor: 1.0 }
    }

    /// Controls the next samples in place, 10 ms at a time; the last part may be shorter.
    pub fn process(&mut self, samples: &mut [i16]) {
        for part in samples.chunks_mut((self.rate_hz / 100) as usize) {
            self.follow(part);
            self.apply(part);
        }
    }

    /// What is added at present, in dB; less while a peak is limited.
    pub fn gain_db(&self) -> f32 {
        self.gain_db
    }

    fn follow(&mut self, part: &[i16]) {
        let seconds = part.len() as f32 / self.rate_hz as f32;
        let level = rms_dbov(part);
        self.noise_dbov = level.max(NOISE_DBOV_MIN).min(self.noise_dbov + NOISE_RISE_DB_PER_S * seconds);
        if level < SPEECH_DBOV_MIN || level < self.noise_dbov + ABOVE_NOISE_DB {
            return;
        }
        let energy = 10f32.powf(level / 10.0);
        let share = if self.speech == 0.0 { 1.0 } else { (seconds / MEAN_S).min(1.0) };
        self.speech += (energy - self.speech) * share;
        let wanted = (TARGET_DBOV - 10.0 * self.speech.log10()).clamp(-GAIN_DB_MAX, GAIN_DB_MAX);
        let step = (wanted - self.gain_db).clamp(-FALL_DB_PER_S * seconds, RISE_DB_PER_S * seconds);
        self.gain_db += step;
    }

    fn apply(&mut self, part: &mut [i16]) {
        let (begin, mut end) = (self.factor, 10f32.powf(self.gain_db / 20.0));
        let highest = f32::from(peak(part)).max(1.0);
        end = end.min((PEAK_MAX / highest).max(10f32.powf(-GAIN_DB_MAX / 20.0)));
        // A sudden peak is caught at once, everything else by a ramp.
        let begin = if highest * begin > 32_767.0 { end } else { begin };
        let count = part.len() as f32;
        for (n, sample) in part.iter_mut().enumerate() {
            let factor = begin + (end - begin) * (n + 1) as f32 / count;
            *sample = (f32::from(*sample) * factor).round() as i16;
        }
        self.factor = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// A voice of syllables with pauses of noise, `level` the speech's and `noise` the pauses' amplitude.
    fn voice(amplitude: f64, noise: f64, seconds: usize, rate_hz: u32) -> Vec<i16> {
        let mut state = 1u32;
        let sample = |n: usize| {
            let t = n as f64 / f64::from(rate_hz);
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = noise * (f64::from(state >> 16) / 32_768.0 - 1.0);
            let on = f64::from(u8::from(t % 0.5 < 0.35));
            let wave = (TAU * 210.0 * t).sin() + 0.5 * (TAU * 630.0 * t).sin() + 0.3 * (TAU * 1470.0 * t).sin();
            (amplitude * on * wave + hiss).clamp(-32_768.0, 32_767.0) as i16
        };
        (0..rate_hz as usize * seconds).map(sample).collect()
    }

    /// Level of the loud parts of the last second.
    fn speech_level(samples: &[i16], rate_hz: u32) -> f32 {
        let mut levels: Vec<f32> =
            samples[samples.len() - rate_hz as usize..].chunks(rate_hz as usize / 50).map(rms_dbov).collect();
        levels.sort_by(f32::total_cmp);
        levels[levels.len() * 3 / 4]
    }

    #[test]
    fn quiet_and_loud_voices_come_to_one_level() {
        for rate in [8_000, 16_000] {
            for amplitude in [400.0, 1000.0, 3000.0, 9000.0, 18_000.0] {
                let mut samples = voice(amplitude, 5.0, 8, rate);
                Agc::new(rate).process(&mut samples);
                let level = speech_level(&samples, rate);
                assert!((level - TARGET_DBOV).abs() < 1.5, "{amplitude} at {rate}: {level:.1} dBov");
            }
        }
    }

    #[test]
    fn the_gain_has_its_bound() {
        let mut agc = Agc::new(8_000);
        agc.process(&mut voice(120.0, 1.0, 20, 8_000));
        assert!((agc.gain_db() - GAIN_DB_MAX).abs() < 0.1, "{}", agc.gain_db());
    }

    #[test]
    fn noise_and_silence_are_not_raised() {
        for (name, mut samples) in [("noise", voice(0.0, 900.0, 20, 8_000)), ("silence", vec![0; 80_000])] {
            let (mut agc, before) = (Agc::new(8_000), samples.clone());
            agc.process(&mut samples);
            assert!(agc.gain_db().abs() < 0.5, "{name}: {}", agc.gain_db());
            assert!(rms_dbov(&samples) - rms_dbov(&before) < 0.5, "{name}");
        }
    }

    #[test]
    fn a_pause_of_noise_does_not_move_the_gain() {
        let mut agc = Agc::new(8_000);
        agc.process(&mut voice(1000.0, 20.0, 8, 8_000));
        let before = agc.gain_db();
        agc.process(&mut voice(0.0, 20.0, 10, 8_000));
        assert!((agc.gain_db() - before).abs() < 0.1, "{before} became {}", agc.gain_db());
    }

    #[test]
    fn a_shout_after_a_whisper_does_not_clip() {
        let mut agc = Agc::new(8_000);
        agc.process(&mut voice(300.0, 2.0, 10, 8_000));
        assert!(agc.gain_db() > 15.0);
        let mut shout = voice(16_000.0, 2.0, 2, 8_000);
        agc.process(&mut shout);
        assert_eq!(crate::level::clipped(&shout), 0);
        assert!(peak(&shout) <= 32_767 && agc.gain_db() < 5.0, "{} dB", agc.gain_db());
    }

    #[test]
    fn the_gain_changes_without_a_step() {
        let (mut agc, tone) = (Agc::new(8_000), vec![1000i16; 1600]);
        agc.process(&mut voice(600.0, 2.0, 3, 8_000));
        let mut after = tone.clone();
        agc.process(&mut after);
        let step = after.windows(2).map(|pair| (pair[0] - pair[1]).abs()).max();
        assert!(step < Some(40), "{step:?}");
    }

    #[test]
    fn any_length_is_taken() {
        let mut agc = Agc::new(0);
        agc.process(&mut []);
        agc.process(&mut [i16::MIN, i16::MAX, 0]);
        Agc::new(48_000).process(&mut [i16::MIN; 1001]);
    }
}
