//! Whether a frame is one steady tone and nothing else, and which.
//!
//! Of a sine, each sample's two neighbours sum to the sample times 2 cos ω. The factor that fits a frame best gives the frequency,
//! and what it leaves over tells a tone from speech and noise.

/// What may be left over, against the samples' energy: the noise of G.711 leaves a thousandth.
const REST_MAX: f32 = 0.008;
/// Mean square of −40 dBov: what is weaker is no tone that anybody is to hear.
const ENERGY_MIN: f32 = 327.0 * 327.0 / 2.0;

/// The frequency in Hz of the one tone in a frame of 10 ms or more; `None` if it is anything else.
pub fn single(frame: &[i16], sample_rate_hz: u32) -> Option<f32> {
    let (mut cross, mut own, mut sums) = (0.0f32, 0.0f32, 0.0f32);
    // Neighbours are an eighth of a millisecond apart: closer ones tell two low tones from one badly.
    let step = (sample_rate_hz / 8_000).max(1) as usize;
    for ((before, at), after) in frame.iter().zip(frame.iter().skip(step)).zip(frame.iter().skip(2 * step)) {
        let (x, sum) = (f32::from(*at), f32::from(*before) + f32::from(*after));
        cross += x * sum;
        own += x * x;
        sums += sum * sum;
    }
    let count = frame.len().saturating_sub(2 * step).max(1) as f32;
    if own / count < ENERGY_MIN {
        return None;
    }
    let factor = cross / own;
    let cosine = factor / 2.0;
    // What is left of Σ (sum − factor·x)².
    let rest = sums - factor * cross;
    if cosine.abs() >= 1.0 || rest > REST_MAX * own {
        return None;
    }
    Some(cosine.acos() * sample_rate_hz as f32 / step as f32 / (2.0 * std::f32::consts::PI))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sines(of: &[(f32, f32)], rate: u32) -> Vec<i16> {
        let at = |n: usize, hz: f32| (2.0 * std::f32::consts::PI * hz * n as f32 / rate as f32).sin();
        (0..rate as usize / 50).map(|n| of.iter().map(|(hz, a)| a * at(n, *hz)).sum::<f32>() as i16).collect()
    }

    #[test]
    fn one_tone_is_found_and_nothing_else() {
        for rate in [8_000, 16_000] {
            for hz in [350.0, 440.0, 1_000.0, 1_100.0, 1_400.0, 2_000.0, 2_100.0] {
                let found = single(&sines(&[(hz, 8_000.0)], rate), rate);
                assert!(found.is_some_and(|f| (f - hz).abs() < 8.0), "{hz} Hz at {rate}: {found:?}");
            }
            assert_eq!(single(&sines(&[(440.0, 6_000.0), (880.0, 4_000.0)], rate), rate), None);
            assert_eq!(single(&sines(&[(697.0, 6_000.0), (1_209.0, 6_000.0)], rate), rate), None);
            assert_eq!(single(&sines(&[(440.0, 100.0)], rate), rate), None, "too weak");
        }
        let mut noise = crate::cng::Generator::new(3);
        let mut frame = [0i16; 160];
        noise.update(&[15]);
        noise.generate(&mut frame);
        assert_eq!(single(&frame, 8_000), None);
        assert_eq!((single(&[], 8_000), single(&[9_000], 8_000)), (None, None));
    }
}
