//! Sine table and phase accumulator that the generators share.

use std::f64::consts::{FRAC_PI_2, PI};

const BITS: u32 = 10;
const SIZE: usize = 1 << BITS;

/// One turn of a sine, and one entry more, so that interpolation needs no wrap.
static SINE: [f32; SIZE + 1] = sine_table();

const fn sine_table() -> [f32; SIZE + 1] {
    let mut table = [0.0; SIZE + 1];
    let mut i = 0;
    while i <= SIZE {
        table[i] = sin_of(2.0 * PI * i as f64 / SIZE as f64) as f32;
        i += 1;
    }
    table
}

/// Taylor series about the nearest quarter turn; `f64::sin` is not const.
const fn sin_of(mut x: f64) -> f64 {
    if x > PI {
        return -sin_of(x - PI);
    }
    if x > FRAC_PI_2 {
        x = PI - x;
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while n < 25.0 {
        term *= -x * x / ((n + 1.0) * (n + 2.0));
        sum += term;
        n += 2.0;
    }
    sum
}

/// Sine of a phase in units of 2⁻³² turns; error below −105 dB.
#[inline]
pub(crate) fn sine(phase: u32) -> f32 {
    let index = (phase >> (32 - BITS)) as usize;
    let fraction = (phase << BITS) as f32 * (1.0 / 4_294_967_296.0);
    let (low, high) = (SINE[index], SINE[index + 1]);
    low + (high - low) * fraction
}

/// Cosine of a phase in units of 2⁻³² turns.
#[inline]
pub(crate) fn cosine(phase: u32) -> f32 {
    sine(phase.wrapping_add(1 << 30))
}

/// Phase advance a sample, in units of 2⁻³² turns.
pub(crate) fn step(hz: f64, sample_rate_hz: u32) -> u32 {
    (hz / f64::from(sample_rate_hz.max(1)) * 4_294_967_296.0).round() as u64 as u32
}

/// Level of the largest sine that A-law carries (G.711 §4); here it is full scale.
#[expect(clippy::approx_constant, reason = "decibels, not pi")]
pub(crate) const OVERLOAD_DBM0: f32 = 3.14;

/// Peak amplitude of a sine at `dbm0`.
pub(crate) fn amplitude(dbm0: f32) -> f32 {
    32768.0 * 10f32.powf((dbm0 - OVERLOAD_DBM0) / 20.0)
}

/// Rounds and saturates to 16 bits.
#[inline]
pub(crate) fn to_i16(x: f32) -> i16 {
    // A float-to-int cast saturates.
    (x + if x < 0.0 { -0.5 } else { 0.5 }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_is_within_105_db_of_the_library() {
        let worst = (0..100_000u32)
            .map(|i| {
                let phase = i.wrapping_mul(42_949);
                let exact = (2.0 * PI * f64::from(phase) / 4_294_967_296.0).sin();
                (f64::from(sine(phase)) - exact).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 5.6e-6, "{worst}");
    }
}
