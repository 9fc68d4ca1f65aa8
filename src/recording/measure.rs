//! What is measured of a recording while it is made: who talked, and when both did.

/// Louder than −45 dBov is talk: 32,768 × 10^(−45/20) = 184, in steps of 8, as a mean square. Room noise and comfort noise lie
/// below.
const TALK_SQUARE: u64 = 23 * 23;
/// Frames of 20 ms for which talk goes on after its last loud one: the pauses within words and between them.
const HANGOVER: u8 = 10;

/// Whether a frame is loud.
pub fn is_loud(frame: &[i16]) -> bool {
    // In steps of 8 the squares of 128 samples fit a sum of 32 bits, which the processor adds several at a time.
    let square = |s: &i16| (i32::from(*s >> 3) * i32::from(*s >> 3)) as u32;
    let sum: u64 = frame.chunks(128).map(|part| u64::from(part.iter().map(square).sum::<u32>())).sum();
    sum > TALK_SQUARE * frame.len() as u64
}

/// Frames of 20 ms by who talked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Measure {
    pub frames: u64,
    /// Neither talked.
    pub silent: u64,
    /// Both talked.
    pub both: u64,
    left: [u8; 2],
}

impl Measure {
    /// Takes a frame by whether each track is loud; whether each talks.
    pub fn take(&mut self, loud: [bool; 2]) -> [bool; 2] {
        let mut talk = [false; 2];
        for ((left, loud), talk) in self.left.iter_mut().zip(loud).zip(&mut talk) {
            *left = if loud { HANGOVER } else { left.saturating_sub(1) };
            *talk = *left > 0;
        }
        self.frames += 1;
        self.silent += u64::from(talk == [false, false]);
        self.both += u64::from(talk == [true, true]);
        talk
    }

    /// Share of the time in which nobody talked, 0 to 1.
    pub fn silence_ratio(&self) -> f32 {
        self.silent as f32 / self.frames.max(1) as f32
    }

    /// Share of the time in which both talked, 0 to 1.
    pub fn crosstalk_ratio(&self) -> f32 {
        self.both as f32 / self.frames.max(1) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_silence_and_crosstalk_are_told_apart() {
        assert!(is_loud(&[300, -300]) && !is_loud(&[100; 160]) && !is_loud(&[]) && is_loud(&[i16::MIN; 160]));
        let mut m = Measure::default();
        for loud in [[true, false], [false, true], [true, true], [false, false]] {
            for _ in 0..100 {
                m.take(loud);
            }
        }
        // The hang-over: 9 frames into the other's turn, and both 9 into the silence.
        assert_eq!((m.frames, m.both, m.silent), (400, 118, 91));
        assert!((m.silence_ratio() - 91.0 / 400.0).abs() < 1e-6 && (m.crosstalk_ratio() - 118.0 / 400.0).abs() < 1e-6);
    }
}
