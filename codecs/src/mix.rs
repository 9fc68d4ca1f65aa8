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

/// A gain that goes in a straight line from one value to another over the first samples of a frame, and stays there. In
/// units of 1/4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slope {
    pub from_q12: i16,
    pub to_q12: i16,
    /// Samples that the way takes; 0 is a step.
    pub over: usize,
}

impl Slope {
    /// What comes goes.
    pub const UNITY: Slope = Slope::level(4_096);

    /// A gain that stays.
    pub const fn level(gain_q12: i16) -> Slope {
        Slope { from_q12: gain_q12, to_q12: gain_q12, over: 0 }
    }

    /// Multiplies `from` into `into`, which is as long, saturating.
    pub fn scale(self, from: &[i16], into: &mut [i16]) {
        self.each(from, into, |_, product| saturate(product));
    }

    /// Adds the product to a sum.
    pub fn add(self, from: &[i16], into: &mut [i32]) {
        if self == Slope::UNITY {
            return accumulate(into, from);
        }
        self.each(from, into, |sum, product| sum + product);
    }

    /// Takes away exactly what [`Slope::add`] has added.
    pub fn subtract(self, from: &[i16], into: &mut [i32]) {
        if self == Slope::UNITY {
            return into.iter_mut().zip(from).for_each(|(sum, &own)| *sum -= i32::from(own));
        }
        self.each(from, into, |sum, product| sum - product);
    }

    fn each<T: Copy>(self, from: &[i16], into: &mut [T], f: impl Fn(T, i32) -> T) {
        let (first, last) = (i32::from(self.from_q12), i32::from(self.to_q12));
        let over = if first == last { 0 } else { self.over.min(from.len()).min(into.len()).min(32_767) };
        // Below 2³¹, as the gains differ by less than 2¹⁶ and by 2¹⁵ if neither is negative.
        let step = i64::from(last - first) * 65_536 / over.max(1) as i64;
        let (from_a, from_b) = from.split_at(over);
        let (into_a, into_b) = into.split_at_mut(over);
        for (i, (into, &from)) in (1i64..).zip(into_a.iter_mut().zip(from_a)) {
            let gain = first + ((step * i) >> 16) as i32;
            *into = f(*into, (i32::from(from) * gain + 2048) >> 12);
        }
        for (into, &from) in into_b.iter_mut().zip(from_b) {
            *into = f(*into, (i32::from(from) * last + 2048) >> 12);
        }
    }
}

/// Where the soft limiter begins to bend: 2.5 dB below full scale.
const KNEE: i32 = 24_576;

/// A sum as sound. What fits passes as it is; a frame in which something does not is bent above the knee instead of being
/// cut: `KNEE + d·R / (d + R)` with `R` the room over the knee, which is as steep as a line at the knee and never reaches
/// full scale.
pub fn soften(sum: &[i32], out: &mut [i16]) {
    // Of a number that fits, no bit beyond the 15th differs from its sign.
    let beyond = sum.iter().fold(0, |beyond, x| beyond | (x ^ (x >> 31)));
    if beyond <= i32::from(i16::MAX) {
        for (out, &x) in out.iter_mut().zip(sum) {
            *out = x as i16;
        }
        return;
    }
    const ROOM: f32 = (i16::MAX as i32 - KNEE) as f32;
    for (out, &x) in out.iter_mut().zip(sum) {
        let size = x.unsigned_abs().min(i32::MAX as u32) as i32;
        let over = (size - KNEE).max(0) as f32;
        let bent = size.min(KNEE) + (over * ROOM / (over + ROOM)) as i32;
        *out = if x < 0 { -bent } else { bent } as i16;
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
    fn slopes_arrive_and_take_back_what_they_gave() {
        let sound: Vec<i16> = (0..320).map(|i| ((i * 7919) % 65_536 - 32_768) as i16).collect();
        let rows =
            [(0, 4096, 320), (4096, 0, 40), (4096, 32_767, 160), (0, 32_767, 320), (4096, 4096, 320), (0, 4096, 0)];
        for (from_q12, to_q12, over) in rows {
            let slope = Slope { from_q12, to_q12, over };
            let mut sum = vec![77i32; 320];
            slope.add(&sound, &mut sum);
            for i in over.saturating_sub(1)..320 {
                let wanted = 77 + ((i32::from(sound[i]) * i32::from(to_q12) + 2048) >> 12);
                assert!((sum[i] - wanted).abs() <= 8, "{slope:?} {i}: {} {wanted}", sum[i]);
            }
            slope.subtract(&sound, &mut sum);
            assert_eq!(sum, vec![77; 320], "{slope:?}");
        }
        let mut out = [0; 4];
        Slope { from_q12: 0, to_q12: 4096, over: 4 }.scale(&[1000; 4], &mut out);
        assert_eq!(out, [250, 500, 750, 1000]);
        Slope::level(8192).scale(&[20_000, -20_000, 3, 0], &mut out);
        assert_eq!(out, [i16::MAX, i16::MIN, 6, 0]);
    }

    #[test]
    fn the_limiter_bends_only_what_does_not_fit() {
        let mut out = [0; 4];
        soften(&[32_767, -32_767, 24_577, 5], &mut out);
        assert_eq!(out, [32_767, -32_767, 24_577, 5]);
        let sums: Vec<i32> = (-40_000..=40_000).step_by(7).chain([32_768_000]).collect();
        let mut out = vec![0; sums.len()];
        soften(&sums, &mut out);
        for pair in sums.windows(2).zip(out.windows(2)) {
            let ((a, b), (x, y)) = ((pair.0[0], pair.0[1]), (pair.1[0], pair.1[1]));
            assert!(x <= y && (b > 40_000 || i32::from(y) - i32::from(x) <= b - a), "{a} {b}: {x} {y}");
        }
        assert_eq!(out.last(), Some(&32_764));
        let mut low = [0; 2];
        soften(&[24_576, 100_000_000], &mut low);
        assert_eq!(low[0], 24_576);
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
