//! Adding signals: wide accumulators inside, saturation at the way out.

/// `into[i] += from[i]`, saturating, over the shorter length.
pub fn add_saturating(into: &mut [i16], from: &[i16]) {
    for (a, &b) in into.iter_mut().zip(from) {
        *a = a.saturating_add(b);
    }
}

/// Adds into a 32-bit sum, which 65,535 full-scale members do not overflow.
pub fn accumulate(sum: &mut [i32], from: &[i16]) {
    for (a, &b) in sum.iter_mut().zip(from) {
        *a += i32::from(b);
    }
}

/// What a member hears: the sum without its own part, saturated.
pub fn without(sum: &[i32], own: &[i16], out: &mut [i16]) {
    for ((out, &all), &own) in out.iter_mut().zip(sum).zip(own) {
        *out = saturate(all - i32::from(own));
    }
}

/// The whole sum, saturated.
pub fn saturated(sum: &[i32], out: &mut [i16]) {
    for (out, &all) in out.iter_mut().zip(sum) {
        *out = saturate(all);
    }
}

/// Multiplies by a gain in units of 1/4096 (4096 is unity, at most 32,767: +18 dB), saturating.
pub fn gain(samples: &mut [i16], factor_q12: i16) {
    for s in samples {
        *s = saturate((i32::from(*s) * i32::from(factor_q12) + 2048) >> 12);
    }
}

fn saturate(x: i32) -> i16 {
    x.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate_only_at_the_end() {
        let mut a = [30_000, -30_000, 5, 7];
        add_saturating(&mut a, &[10_000, -10_000, -6]);
        assert_eq!(a, [i16::MAX, i16::MIN, -1, 7]);

        let members = [[30_000i16, -20_000], [20_000, -20_000], [-25_000, 1]];
        let mut sum = [0i32; 2];
        members.iter().for_each(|m| accumulate(&mut sum, m));
        let mut heard = [0i16; 2];
        saturated(&sum, &mut heard);
        assert_eq!(heard, [25_000, i16::MIN]);
        without(&sum, &members[0], &mut heard);
        assert_eq!(heard, [-5_000, -19_999]);
    }

    #[test]
    fn gains() {
        for (factor, input, output) in
            [(4096, 1234, 1234), (0, 1234, 0), (2048, -1000, -500), (8192, 20_000, i16::MAX), (-4096, 5, -5)]
        {
            let mut x = [input];
            gain(&mut x, factor);
            assert_eq!(x, [output], "{input} × {factor}/4096");
        }
    }
}
