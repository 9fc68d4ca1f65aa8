//! Comfort noise (RFC 3389): measuring the noise of a pause, and making noise like it.

use crate::level::rms_dbov;

/// Largest model order: payloads with more coefficients are read up to here.
pub const ORDER_MAX: usize = 12;

/// Makes the noise that the last payload described.
#[derive(Debug, Clone)]
pub struct Generator {
    /// Reflection coefficients, where the first is −R(1)/R(0); 0 beyond the payload's order.
    reflection: [f32; ORDER_MAX],
    /// Backward errors of the lattice.
    backward: [f32; ORDER_MAX + 1],
    /// Standard deviation of the excitation: what it is, and what it goes to.
    deviation: f32,
    target: f32,
    state: u32,
}

impl Generator {
    /// Silence until [`Generator::update`]. The seed sets the sequence of noise.
    pub fn new(seed: u32) -> Generator {
        let (reflection, backward) = ([0.0; ORDER_MAX], [0.0; ORDER_MAX + 1]);
        Generator { reflection, backward, deviation: 0.0, target: 0.0, state: seed }
    }

    /// Takes a payload: the level, then the coefficients. An empty one changes nothing.
    pub fn update(&mut self, payload: &[u8]) {
        let Some((&level, coefficients)) = payload.split_first() else { return };
        self.reflection = [0.0; ORDER_MAX];
        for (k, &code) in self.reflection.iter_mut().zip(coefficients) {
            // §3.2: steps of 258 / 32768 about 127; 255 is reserved. The lattice is stable below 1.
            *k = if code == 255 { 0.0 } else { (258.0 * (f32::from(code) - 127.0) / 32768.0).clamp(-0.99, 0.99) };
        }
        // §3.1: −dBov in the lower 7 bits.
        let rms = 32768.0 * 10f32.powf(-f32::from(level & 0x7f) / 20.0);
        let gain: f32 = self.reflection.iter().map(|k| 1.0 - k * k).product();
        self.target = rms * gain.sqrt();
    }

    /// Fills the buffer. A changed level is approached within some 10 ms.
    pub fn generate(&mut self, out: &mut [i16]) {
        for sample in out {
            self.deviation += (self.target - self.deviation) * (1.0 / 32.0);
            let mut forward = self.gaussian() * self.deviation;
            for i in (0..ORDER_MAX).rev() {
                forward -= self.reflection[i] * self.backward[i];
                self.backward[i + 1] = self.backward[i] + self.reflection[i] * forward;
            }
            self.backward[0] = forward;
            *sample = crate::wave::to_i16(forward);
        }
    }

    /// Of unit deviation, by the sum of four uniform numbers.
    fn gaussian(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sum += (self.state as i32) as f32 * (1.0 / 2_147_483_648.0);
        }
        // Four uniform numbers in ±1 have the variance 4/3.
        sum * 0.866_025_4
    }
}

/// Measures the noise of a pause.
#[derive(Debug, Clone)]
pub struct Analyzer {
    order: usize,
    correlation: [f64; ORDER_MAX + 1],
    samples: usize,
}

impl Analyzer {
    /// A model of `order` coefficients, at most [`ORDER_MAX`]; 0 sends the level alone.
    pub fn new(order: usize) -> Analyzer {
        Analyzer { order: order.min(ORDER_MAX), correlation: [0.0; ORDER_MAX + 1], samples: 0 }
    }

    /// Adds a frame of the pause; older frames fade, so that the model follows the noise.
    pub fn push(&mut self, frame: &[i16]) {
        for (lag, sum) in self.correlation.iter_mut().enumerate().take(self.order + 1) {
            let later = frame.get(lag..).unwrap_or(&[]);
            let new: f64 = frame.iter().zip(later).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            *sum = *sum * 0.8 + new;
        }
        self.samples = self.samples * 4 / 5 + frame.len();
    }

    /// Writes the payload into the beginning of `out` (which has room for 1 + order octets) and returns its length; 0
    /// without a frame or without room for the level.
    pub fn payload(&self, out: &mut [u8]) -> usize {
        let Some((level, coefficients)) = out.split_first_mut().filter(|_| self.samples > 0) else { return 0 };
        let mean = self.correlation[0] / self.samples as f64;
        let dbov = 10.0 * (mean / (32768.0 * 32768.0)).max(1e-13).log10();
        *level = (-dbov).round().clamp(0.0, 127.0) as u8;
        let reflection = self.reflection();
        for (code, k) in coefficients.iter_mut().zip(&reflection[..self.order]) {
            *code = (k * 32768.0 / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8;
        }
        1 + self.order.min(coefficients.len())
    }

    /// Levinson's recursion, with a floor of white noise 40 dB under the signal to keep it well conditioned.
    fn reflection(&self) -> [f64; ORDER_MAX] {
        let (mut reflection, mut predictor) = ([0.0; ORDER_MAX], [0.0; ORDER_MAX + 1]);
        predictor[0] = 1.0;
        let mut error = self.correlation[0] * 1.0001;
        for i in 1..=self.order {
            if error <= 0.0 {
                break;
            }
            let sum: f64 = (0..i).map(|j| predictor[j] * self.correlation[i - j]).sum();
            let k = (-sum / error).clamp(-0.99, 0.99);
            reflection[i - 1] = k;
            let before = predictor;
            for j in 1..=i {
                predictor[j] = before[j] + k * before[i - j];
            }
            error *= 1.0 - k * k;
        }
        reflection
    }
}

/// The payload of white noise at the level of `frame`: what a sender without a model writes.
pub fn level_only(frame: &[i16]) -> [u8; 1] {
    [(-rms_dbov(frame)).round().clamp(0.0, 127.0) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(payload: &[u8], samples: usize) -> Vec<i16> {
        let (mut generator, mut out) = (Generator::new(5), vec![0; samples + 800]);
        generator.update(payload);
        generator.generate(&mut out);
        out.split_off(800)
    }

    /// Correlation with the sample before, −1..1.
    fn tilt(samples: &[i16]) -> f64 {
        let product =
            |lag: usize| samples.iter().zip(&samples[lag..]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        product(1) / product(0)
    }

    #[test]
    fn levels_are_kept() {
        for level in [20, 30, 40, 50, 60] {
            for coefficients in [&[][..], &[10], &[220, 150], &[40, 200, 90, 140, 127, 130, 120, 127, 127, 255]] {
                let payload: Vec<u8> = std::iter::once(level).chain(coefficients.iter().copied()).collect();
                let got = rms_dbov(&noise(&payload, 40_000));
                assert!((got + f32::from(level)).abs() < 0.7, "{payload:?}: {got}");
            }
        }
        assert!(noise(&[127], 1000).iter().all(|s| s.abs() <= 1));
    }

    #[test]
    fn the_first_coefficient_is_minus_the_tilt() {
        for (code, expected) in [(127, 0.0), (27, 0.787), (227, -0.787)] {
            let got = tilt(&noise(&[30, code], 40_000));
            assert!((got - expected).abs() < 0.02, "{code}: {got}");
        }
    }

    #[test]
    fn what_is_made_is_measured_again() {
        for payload in [&[35u8][..], &[30, 60, 170, 120], &[45, 200, 160, 100, 127, 140, 110, 130, 127, 127, 120]] {
            let mut analyzer = Analyzer::new(payload.len() - 1);
            noise(payload, 80_000).chunks(800).for_each(|frame| analyzer.push(frame));
            let mut again = [0; 13];
            let len = analyzer.payload(&mut again);
            assert_eq!(len, payload.len());
            assert!(again[0].abs_diff(payload[0]) <= 1, "{payload:?}: {again:?}");
            for (a, b) in again[1..len].iter().zip(&payload[1..]) {
                assert!(a.abs_diff(*b) <= 8, "{payload:?}: {again:?}");
            }
        }
    }

    #[test]
    fn any_payload_is_stable() {
        for byte in 0..=255u8 {
            let payload = [byte; 40];
            assert!(noise(&payload, 8000).iter().any(|&s| s > i16::MIN));
            let mut analyzer = Analyzer::new(40);
            analyzer.push(&[i16::MIN; 160]);
            analyzer.push(&[i16::from(byte); 3]);
            assert_eq!(analyzer.payload(&mut [0; 5]), 5);
        }
        let mut generator = Generator::new(1);
        generator.update(&[]);
        let mut out = [1; 10];
        generator.generate(&mut out);
        assert_eq!(out, [0; 10]);
        assert_eq!(Analyzer::new(4).payload(&mut [0; 5]), 0);
        assert_eq!(Analyzer::new(4).payload(&mut []), 0);
        assert_eq!(level_only(&[0; 160]), [127]);
    }
}
