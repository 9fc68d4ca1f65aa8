//! Music for those who wait where nobody names any: broken chords, made here, so that nobody's rights are in it.

use std::f64::consts::TAU;

/// Samples a second, as of every prompt.
const SAMPLE_RATE: u32 = 8_000;
/// The name under which it is played.
pub const HOLD_MUSIC: &str = "tandem:hold-music";

/// Notes of a chord in semitones above A3, two bars of eight quavers each; four chords, and once more with the last turned.
const CHORDS: [[i8; 4]; 8] = [
    [3, 10, 15, 19],
    [0, 7, 12, 15],
    [-4, 3, 8, 12],
    [-2, 5, 10, 14],
    [3, 10, 15, 19],
    [0, 7, 12, 19],
    [-4, 8, 12, 17],
    [-2, 5, 14, 17],
];
const ORDER: [usize; 8] = [0, 1, 2, 3, 2, 1, 3, 2];
const QUAVER: usize = SAMPLE_RATE as usize / 4;
/// A note is heard for so long.
const NOTE: usize = QUAVER * 5;
/// Of full scale: some 20 dB below it when four notes sound.
const LEVEL: f64 = 1_900.0;

/// Sixteen seconds, whose end goes over into their beginning.
pub fn hold_music() -> Box<[i16]> {
    let length = CHORDS.len() * ORDER.len() * QUAVER;
    let mut sound = vec![0f64; length];
    let notes = CHORDS.iter().flat_map(|chord| ORDER.iter().map(|n| chord[*n]));
    for (n, semitones) in notes.enumerate() {
        let frequency = 220.0 * (f64::from(semitones) / 12.0).exp2();
        for t in 0..NOTE {
            let seconds = t as f64 / f64::from(SAMPLE_RATE);
            let phase = TAU * frequency * seconds;
            let swell = (seconds / 0.012).min(1.0) * (-2.6 * seconds).exp() * (1.0 - t as f64 / NOTE as f64);
            let wave = phase.sin() + 0.35 * (2.0 * phase).sin() * (-4.0 * seconds).exp() + 0.1 * (3.0 * phase).sin();
            sound[(n * QUAVER + t) % length] += LEVEL * swell * wave;
        }
    }
    sound.into_iter().map(|s| s.round().clamp(-32_768.0, 32_767.0) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_soft_and_has_no_jump_where_it_begins_again() {
        let samples = hold_music();
        assert_eq!(samples.len(), 16 * SAMPLE_RATE as usize);
        let loudest = samples.iter().map(|s| s.unsigned_abs()).max();
        assert!(loudest.is_some_and(|s| (1_000..8_000).contains(&s)), "{loudest:?}");
        let step = |a: i16, b: i16| (i32::from(a) - i32::from(b)).abs();
        let inside = samples.windows(2).map(|w| step(w[0], w[1])).max().unwrap_or(0);
        let seam = step(samples[samples.len() - 1], samples[0]);
        assert!(seam <= inside, "{seam} at the seam, {inside} inside");
    }
}
