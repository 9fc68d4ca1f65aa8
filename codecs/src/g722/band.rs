//! One sub-band's scale factor and predictor (blocks LOGSC, SCALE, RECONS, PARREC, UPPOL, UPZERO, FILTEP, FILTEZ).

use super::tables::{LEVEL_CODE, LEVELS, WH, WL};

/// 16-bit saturation, as the Recommendation's additions have it.
pub(super) fn saturate(x: i32) -> i32 {
    x.clamp(-32768, 32767)
}

/// Product of two fractions of 15 bits.
fn times(a: i32, b: i32) -> i32 {
    (a * b) >> 15
}

/// State of a sub-band. All values are 16-bit; index 0 of a history is the newest.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// Logarithm of the scale factor, its greatest value, and the shift that makes it linear.
    log_scale: i32,
    log_scale_max: i32,
    scale_shift: i32,
    scale: i32,
    /// Signal estimate, and its part by the zeros.
    predicted: i32,
    predicted_by_zeros: i32,
    /// Pole coefficients and the reconstructed signals that they weigh.
    poles: [i32; 2],
    reconstructed: [i32; 2],
    /// Partially reconstructed signals, of which the signs matter.
    partial: [i32; 2],
    /// Zero coefficients and the quantized differences that they weigh.
    zeros: [i32; 6],
    differences: [i32; 6],
}

impl Band {
    pub(super) fn low() -> Band {
        Band::new(18_432, 8, 32)
    }

    pub(super) fn high() -> Band {
        Band::new(22_528, 10, 8)
    }

    fn new(log_scale_max: i32, scale_shift: i32, scale: i32) -> Band {
        Band {
            log_scale: 0,
            log_scale_max,
            scale_shift,
            scale,
            predicted: 0,
            predicted_by_zeros: 0,
            poles: [0; 2],
            reconstructed: [0; 2],
            partial: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
        }
    }

    pub(super) fn predicted(&self) -> i32 {
        self.predicted
    }

    pub(super) fn scale(&self) -> i32 {
        self.scale
    }

    /// After a lower-band code, cut to 4 bits, and its difference.
    pub(super) fn adapt_low(&mut self, code: u8, difference: i32) {
        self.adapt_scale(WL[usize::from(LEVEL_CODE[usize::from(code)])]);
        self.predict(difference);
    }

    /// After a higher-band code and its difference: codes 1 and 3 are the inner interval.
    pub(super) fn adapt_high(&mut self, code: u8, difference: i32) {
        self.adapt_scale(WH[usize::from(code & 1 == 0)]);
        self.predict(difference);
    }

    /// LOGSCL and SCALEL, or LOGSCH and SCALEH.
    fn adapt_scale(&mut self, step: i32) {
        self.log_scale = (times(self.log_scale, 32_512) + step).clamp(0, self.log_scale_max);
        let mantissa = LEVELS[(self.log_scale >> 6 & 31) as usize];
        let shift = self.scale_shift - (self.log_scale >> 11);
        self.scale = if shift < 0 { mantissa << -shift } else { mantissa >> shift } << 2;
    }

    fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.predicted + difference);
        let partial = saturate(self.predicted_by_zeros + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;

        // FILTEP, FILTEZ, PREDIC
        let pole = |i: usize| times(self.poles[i], saturate(2 * self.reconstructed[i]));
        let by_poles = saturate(pole(0) + pole(1));
        let zero = |i: usize| times(self.zeros[i], saturate(2 * self.differences[i]));
        self.predicted_by_zeros = (0..6).rev().fold(0, |sum, i| saturate(sum + zero(i)));
        self.predicted = saturate(by_poles + self.predicted_by_zeros);
    }

    /// UPPOL2, then UPPOL1, which the new second pole bounds.
    fn adapt_poles(&mut self, partial: i32) {
        let same_sign = |other: i32| (partial < 0) == (other < 0);
        let quadruple = saturate(4 * self.poles[0]);
        let towards = if same_sign(self.partial[0]) { saturate(-quadruple) } else { quadruple } >> 7;
        let step = if same_sign(self.partial[1]) { 128 } else { -128 };
        let second = saturate(saturate(towards + step) + times(self.poles[1], 32_512)).clamp(-12_288, 12_288);

        let step = if same_sign(self.partial[0]) { 192 } else { -192 };
        let bound = saturate(15_360 - second);
        let first = saturate(step + times(self.poles[0], 32_640)).clamp(-bound, bound);
        self.poles = [first, second];
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        for (zero, &earlier) in self.zeros.iter_mut().zip(&self.differences) {
            let step = match difference {
                0 => 0,
                _ if (difference < 0) == (earlier < 0) => 128,
                _ => -128,
            };
            *zero = saturate(step + times(*zero, 32_640));
        }
    }
}
