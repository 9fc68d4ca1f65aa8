//! Voice activity by energy over a noise floor that follows the line.

use crate::level::{FLOOR_DB, rms_dbov};

/// Speech is this far over the floor to begin with.
const ONSET_DB: f32 = 9.0;
/// … and this far to go on.
const LASTING_DB: f32 = 6.0;
/// Nothing below this is speech.
const LEVEL_MIN_DBOV: f32 = -55.0;
/// The floor never rises over this: a steady loud sound is not a pause.
const FLOOR_MAX_DBOV: f32 = -35.0;
/// How fast the floor rises, in dB a second; it falls at once.
const RISE_DB: f32 = 6.0;
/// Sound that begins speech, and pause that ends it.
const ONSET_MS: u32 = 20;
const HANGOVER_MS: u32 = 200;

/// Tells speech from pause, frame by frame.
#[derive(Debug, Clone)]
pub struct Detector {
    sample_rate_hz: u32,
    floor_dbov: f32,
    level_dbov: f32,
    speaking: bool,
    /// Samples above the threshold in a row, and since the last one above.
    above: u32,
    since: u32,
}

impl Detector {
    /// For sound of `sample_rate_hz`.
    pub fn new(sample_rate_hz: u32) -> Detector {
        let floor_dbov = FLOOR_MAX_DBOV;
        Detector {
            sample_rate_hz: sample_rate_hz.max(1),
            floor_dbov,
            level_dbov: FLOOR_DB,
            speaking: false,
            above: 0,
            since: 0,
        }
    }

    /// Takes the next frame (10 to 60 ms) and says whether somebody speaks; an empty frame changes nothing.
    pub fn push(&mut self, frame: &[i16]) -> bool {
        if frame.is_empty() {
            return self.speaking;
        }
        let (level, samples) = (rms_dbov(frame), frame.len() as u32);
        self.level_dbov = level;
        let seconds = samples as f32 / self.sample_rate_hz as f32;
        self.floor_dbov = level.max(FLOOR_DB).min(self.floor_dbov + RISE_DB * seconds).min(FLOOR_MAX_DBOV);
        let over = if self.speaking { LASTING_DB } else { ONSET_DB };
        if level >= (self.floor_dbov + over).max(LEVEL_MIN_DBOV) {
            self.above = self.above.saturating_add(samples);
            self.since = 0;
        } else {
            self.above = 0;
            self.since = self.since.saturating_add(samples);
        }
        let lasts = |samples: u32, ms: u32| u64::from(samples) * 1000 >= u64::from(ms) * u64::from(self.sample_rate_hz);
        if self.speaking {
            self.speaking = !lasts(self.since, HANGOVER_MS);
        } else {
            self.speaking = lasts(self.above, ONSET_MS);
        }
        self.speaking
    }

    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// RMS level of the latest frame in dBov.
    pub const fn level_dbov(&self) -> f32 {
        self.level_dbov
    }

    /// The noise floor in dBov.
    pub fn floor_dbov(&self) -> f32 {
        self.floor_dbov
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cng::Generator;

    /// Frames of 20 ms of noise at each level (in −dBov), and what is said of each: `s` speech, `.` pause.
    fn judged(levels: &[(u8, usize)]) -> String {
        let (mut generator, mut detector) = (Generator::new(9), Detector::new(8000));
        let mut said = String::new();
        for &(level, frames) in levels {
            generator.update(&[level]);
            for _ in 0..frames {
                let mut frame = [0; 160];
                generator.generate(&mut frame);
                said.push(if detector.push(&frame) { 's' } else { '.' });
            }
        }
        said
    }

    /// First and last frame of each stretch of speech.
    fn stretches(said: &str) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = vec![];
        for (i, _) in said.char_indices().filter(|(_, c)| *c == 's') {
            match found.last_mut() {
                Some((_, last)) if *last + 1 == i => *last = i,
                _ => found.push((i, i)),
            }
        }
        found
    }

    #[test]
    fn speech_is_found_over_quiet_and_over_noisy_lines() {
        for (noise, speech) in [(70, 30), (60, 40), (50, 25), (45, 30)] {
            let said = judged(&[(noise, 100), (speech, 50), (noise, 100)]);
            let found = stretches(&said);
            assert_eq!(found.len(), 1, "{noise} {speech}: {said}");
            assert!((100..=101).contains(&found[0].0) && (157..=162).contains(&found[0].1), "{noise}: {found:?}");
        }
    }

    #[test]
    fn short_pauses_are_bridged_and_clicks_ignored() {
        let said = judged(&[(60, 50), (30, 25), (60, 6), (30, 25), (60, 50)]);
        assert_eq!(stretches(&said).len(), 1, "{said}");
        let mut detector = Detector::new(8000);
        detector.push(&[0; 160]);
        assert!(!detector.push(&[8000; 80]), "10 ms is a click");
        assert!(detector.push(&[8000; 80]));
        assert!(detector.push(&[]));
    }

    #[test]
    fn steady_noise_becomes_the_floor() {
        let said = judged(&[(70, 50), (45, 500)]);
        assert!(said.ends_with(&".".repeat(150)), "{said}");
        assert!(!judged(&[(127, 100)]).contains('s'));
    }
}
