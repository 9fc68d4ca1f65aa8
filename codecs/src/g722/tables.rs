//! The Recommendation's tables.

/// Quadrature mirror filter: the even coefficients of the 24, which are the odd ones backwards; unity is 4,096.
pub(super) const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Decision levels of the lower band's quantizer; unity is 4,096 / the scale factor.
pub(super) const Q6: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// Codes by quantizer interval, for errors from 0 upwards.
pub(super) const LOW_CODE_POSITIVE: [u8; 30] = descending_codes(61, 30);
/// Codes by quantizer interval, for errors below 0: the two innermost are 63 and 62.
pub(super) const LOW_CODE_NEGATIVE: [u8; 30] = {
    let mut codes = descending_codes(33, 30);
    codes[0] = 63;
    codes[1] = 62;
    codes
};
pub(super) const HIGH_CODE_POSITIVE: [u8; 2] = [3, 2];
pub(super) const HIGH_CODE_NEGATIVE: [u8; 2] = [1, 0];

const fn descending_codes(first: u8, len: usize) -> [u8; 30] {
    let mut codes = [0; 30];
    let mut i = 0;
    while i < len {
        codes[i] = first - i as u8;
        i += 1;
    }
    codes
}

/// Inverse quantizer of the lower band, 4 bits: the adaptation's.
pub(super) const QM4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];

/// Inverse quantizer of the lower band, 6 bits: the output's. The first four codes are never sent.
pub(super) const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];

/// Inverse quantizer of the higher band.
pub(super) const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];

/// Level of a 4-bit code, to index [`WL`].
pub(super) const LEVEL_CODE: [u8; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
/// Steps of the logarithmic scale factor, lower band.
pub(super) const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
/// Steps of the logarithmic scale factor, higher band: inner and outer interval.
pub(super) const WH: [i32; 2] = [-214, 798];

/// 2,048 × 2^(i/32): the logarithm's fraction made linear (ILB).
pub(super) const LEVELS: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_symmetries() {
        for (i, &level) in LEVELS.iter().enumerate() {
            assert_eq!(level, (2048.0 * 2f64.powf(i as f64 / 32.0)).round() as i32, "level {i}");
        }
        for i in 1..8 {
            assert_eq!(QM4[i], -QM4[i + 7]);
        }
        for i in 4..32 {
            assert_eq!(QM6[i], -QM6[i + 28]);
        }
        // Each output value lies between its interval's decision levels, and its code finds it.
        for i in 0..30 {
            let value = QM6[usize::from(LOW_CODE_POSITIVE[i])];
            assert_eq!(value, -QM6[usize::from(LOW_CODE_NEGATIVE[i])]);
            assert!(i == 0 || value >= Q6[i - 1] * 8, "interval {i}");
            assert!(i == 29 || value <= Q6[i] * 8, "interval {i}");
        }
        // A mirror filter's even and odd halves each pass a constant at 4,096.
        assert_eq!(QMF.iter().sum::<i32>(), 4096);
    }
}
