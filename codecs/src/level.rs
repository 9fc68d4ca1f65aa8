//! Level meters: RMS, peak, silence.

/// What [`rms_dbov`] says of digital silence, in dB.
pub const FLOOR_DB: f32 = -127.0;

/// Sum of squares; exact for up to 2³³ samples.
fn energy(samples: &[i16]) -> u64 {
    samples.iter().map(|&s| (i32::from(s) * i32::from(s)) as u64).sum()
}

/// RMS level in dB relative to overload (0 dBov: a full-scale square wave, RFC 6464 §3), at least [`FLOOR_DB`].
pub fn rms_dbov(samples: &[i16]) -> f32 {
    let energy = energy(samples);
    if energy == 0 {
        return FLOOR_DB;
    }
    let mean = energy as f64 / samples.len() as f64;
    ((10.0 * (mean / (32768.0 * 32768.0)).log10()) as f32).max(FLOOR_DB)
}

/// RMS level in dB relative to a full-scale sine (AES17): 3.01 above dBov.
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    (rms_dbov(samples) + 3.0103).max(FLOOR_DB)
}

/// Largest magnitude, 0..=32768.
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// Where sound ends: what the largest codes of A-law and µ-law, and those of linear codecs, come to (ITU-T G.711).
pub const RAIL: u16 = 32_000;
/// So many samples in a row at one rail are no peak of a wave.
const FLAT: usize = 3;

/// How many samples lie on tops that are flat: in runs of three and more at one rail.
pub fn clipped(samples: &[i16]) -> usize {
    let side = |sample: &i16| if sample.unsigned_abs() >= RAIL { sample.signum() } else { 0 };
    let runs = samples.chunk_by(|a, b| side(a) == side(b));
    runs.filter(|run| run.len() >= FLAT && run.first().is_some_and(|s| side(s) != 0)).map(<[i16]>::len).sum()
}

/// Reports silence that lasts, and its end.
#[derive(Debug, Clone)]
pub struct SilenceMeter {
    threshold_dbov: f32,
    hold_samples: u64,
    quiet_samples: u64,
}

/// What [`SilenceMeter::push`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Sound, or a pause shorter than the hold.
    No,
    /// With this block the pause has reached the hold; said once a pause.
    Begins,
    /// The pause goes on.
    Lasts,
    /// With this block sound is back after a pause that was reported.
    Ends,
}

impl SilenceMeter {
    /// Blocks under `threshold_dbov` count as quiet; a pause counts from `hold_ms` on.
    pub fn new(threshold_dbov: f32, hold_ms: u32, sample_rate_hz: u32) -> SilenceMeter {
        let hold_samples = (u64::from(hold_ms) * u64::from(sample_rate_hz) / 1000).max(1);
        SilenceMeter { threshold_dbov, hold_samples, quiet_samples: 0 }
    }

    /// Takes the next block (one packet's worth); an empty block changes nothing.
    pub fn push(&mut self, block: &[i16]) -> Silence {
        let was_silent = self.quiet_samples >= self.hold_samples;
        if block.is_empty() {
            return if was_silent { Silence::Lasts } else { Silence::No };
        }
        if rms_dbov(block) >= self.threshold_dbov {
            self.quiet_samples = 0;
            return if was_silent { Silence::Ends } else { Silence::No };
        }
        self.quiet_samples += block.len() as u64;
        match (was_silent, self.quiet_samples >= self.hold_samples) {
            (true, _) => Silence::Lasts,
            (false, true) => Silence::Begins,
            (false, false) => Silence::No,
        }
    }

    /// Length of the present pause in samples.
    pub fn quiet_samples(&self) -> u64 {
        self.quiet_samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(amplitude: f64, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (amplitude * (n as f64 * std::f64::consts::TAU / 8.0).sin()).round() as i16).collect()
    }

    #[test]
    fn levels() {
        let rows: [(&str, Vec<i16>, f32, f32, u16); 5] = [
            ("nothing", vec![], FLOOR_DB, FLOOR_DB + 3.0103, 0),
            ("digital silence", vec![0; 160], FLOOR_DB, FLOOR_DB + 3.0103, 0),
            ("full square", vec![i16::MIN; 160], 0.0, 3.0103, 32768),
            ("full sine", sine(32767.0, 160), -3.01, 0.0, 32767),
            ("half sine", sine(16384.0, 160), -9.03, -6.02, 16384),
        ];
        for (name, samples, dbov, dbfs, top) in rows {
            assert!((rms_dbov(&samples) - dbov).abs() < 0.01, "{name}: {}", rms_dbov(&samples));
            assert!((rms_dbfs(&samples) - dbfs).abs() < 0.01, "{name}: {}", rms_dbfs(&samples));
            assert_eq!(peak(&samples), top, "{name}");
        }
        let [top, bottom] = [i16::MAX, i16::MIN];
        // Samples, and how many of them are cut off.
        let rows: [(&[i16], usize); 6] = [
            (&[], 0),
            (&[0, top, bottom, 32_766], 0),
            (&[top, top, 0, top, 0], 0),
            (&[0, top, 32_124, 32_256, 0, bottom, -32_124, bottom, bottom], 7),
            (&[31_999; 9], 0),
            (&[bottom; 160], 160),
        ];
        for (samples, count) in rows {
            assert_eq!(clipped(samples), count, "{samples:?}");
        }
        assert_eq!((clipped(&sine(60_000.0, 160)), clipped(&sine(32_767.0, 160))), (120, 0));
    }

    #[test]
    fn silence_is_said_once_and_ends_once() {
        let mut meter = SilenceMeter::new(-50.0, 60, 8000);
        let (quiet, loud) = (vec![3i16; 160], sine(8000.0, 160));
        let blocks = [&loud, &quiet, &quiet, &quiet, &quiet, &loud, &loud, &quiet];
        let heard: Vec<Silence> = blocks.iter().map(|b| meter.push(b)).collect();
        use Silence::*;
        assert_eq!(heard, [No, No, No, Begins, Lasts, Ends, No, No]);
        assert_eq!(meter.quiet_samples(), 160);
        assert_eq!(meter.push(&[]), No);
    }
}
