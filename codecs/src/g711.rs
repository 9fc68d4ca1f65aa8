//! ITU-T G.711: µ-law and A-law, bit-exact to the software tools of G.191.
//!
//! 16-bit linear samples are left-justified, as in G.191: µ-law looks at the upper 14 bits, A-law at the upper 12.

/// Silence as a µ-law octet.
pub const ULAW_SILENCE: u8 = 0xff;
/// Silence as an A-law octet.
pub const ALAW_SILENCE: u8 = 0xd5;

static ULAW_DECODE: [i16; 256] = decode_table(true);
static ALAW_DECODE: [i16; 256] = decode_table(false);
static ULAW_ENCODE: [u8; 1 << 14] = ulaw_encode_table();
static ALAW_ENCODE: [u8; 1 << 12] = alaw_encode_table();
static ULAW_TO_ALAW: [u8; 256] = transcode_table(true);
static ALAW_TO_ULAW: [u8; 256] = transcode_table(false);

/// One sample to µ-law.
#[inline]
pub fn ulaw_encode(sample: i16) -> u8 {
    ULAW_ENCODE[usize::from(sample as u16 >> 2)]
}

/// One sample from µ-law.
#[inline]
pub fn ulaw_decode(code: u8) -> i16 {
    ULAW_DECODE[usize::from(code)]
}

/// One sample to A-law.
#[inline]
pub fn alaw_encode(sample: i16) -> u8 {
    ALAW_ENCODE[usize::from(sample as u16 >> 4)]
}

/// One sample from A-law.
#[inline]
pub fn alaw_decode(code: u8) -> i16 {
    ALAW_DECODE[usize::from(code)]
}

/// µ-law octet to A-law octet, by G.711 table 3.
#[inline]
pub fn ulaw_to_alaw(code: u8) -> u8 {
    ULAW_TO_ALAW[usize::from(code)]
}

/// A-law octet to µ-law octet, by G.711 table 4.
#[inline]
pub fn alaw_to_ulaw(code: u8) -> u8 {
    ALAW_TO_ULAW[usize::from(code)]
}

/// Encodes as many samples as both slices hold and returns how many.
pub fn ulaw_encode_slice(samples: &[i16], codes: &mut [u8]) -> usize {
    map(samples, codes, ulaw_encode)
}

/// Decodes as many octets as both slices hold and returns how many.
pub fn ulaw_decode_slice(codes: &[u8], samples: &mut [i16]) -> usize {
    map(codes, samples, ulaw_decode)
}

/// Encodes as many samples as both slices hold and returns how many.
pub fn alaw_encode_slice(samples: &[i16], codes: &mut [u8]) -> usize {
    map(samples, codes, alaw_encode)
}

/// Decodes as many octets as both slices hold and returns how many.
pub fn alaw_decode_slice(codes: &[u8], samples: &mut [i16]) -> usize {
    map(codes, samples, alaw_decode)
}

/// Transcodes µ-law to A-law in place: a relayed packet's payload keeps its length.
pub fn ulaw_to_alaw_in_place(codes: &mut [u8]) {
    codes.iter_mut().for_each(|code| *code = ulaw_to_alaw(*code));
}

/// Transcodes A-law to µ-law in place.
pub fn alaw_to_ulaw_in_place(codes: &mut [u8]) {
    codes.iter_mut().for_each(|code| *code = alaw_to_ulaw(*code));
}

fn map<A: Copy, B>(from: &[A], to: &mut [B], each: fn(A) -> B) -> usize {
    for (out, &value) in to.iter_mut().zip(from) {
        *out = each(value);
    }
    from.len().min(to.len())
}

const fn decode_table(ulaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let (negative, magnitude) = if ulaw {
            let inverted = !(code as u8);
            let (exponent, mantissa) = ((inverted >> 4) & 7, (inverted & 15) as i16);
            // Bias 33 of 14 bits is 132 of 16.
            (code < 128, ((mantissa * 8 + 132) << exponent) - 132)
        } else {
            let even = code as u8 ^ 0x55;
            let (exponent, mantissa) = ((even >> 4) & 7, (even & 15) as i16);
            let linear = match exponent {
                0 => mantissa * 16 + 8,
                _ => (mantissa * 16 + 264) << (exponent - 1),
            };
            (even < 128, linear)
        };
        table[code] = if negative { -magnitude } else { magnitude };
        code += 1;
    }
    table
}

/// Indexed by the sample's upper 14 bits.
const fn ulaw_encode_table() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        let negative = index >= 0x2000;
        let folded = if negative { 0x3fff - index as u32 } else { index as u32 } + 33;
        let biased = if folded > 0x1fff { 0x1fff } else { folded };
        // 33 ≤ biased < 8192: the leading bit is bit 5..=12 and names the segment.
        let exponent = 26 - biased.leading_zeros();
        let magnitude = (exponent << 4) | ((biased >> (exponent + 1)) & 15);
        table[index] = !(magnitude as u8) & if negative { 0x7f } else { 0xff };
        index += 1;
    }
    table
}

/// Indexed by the sample's upper 12 bits.
const fn alaw_encode_table() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        let negative = index >= 0x800;
        let folded = if negative { 0xfff - index as u32 } else { index as u32 };
        let magnitude = if folded < 32 {
            folded
        } else {
            let exponent = 28 - folded.leading_zeros();
            (exponent << 4) | ((folded >> (exponent - 1)) & 15)
        };
        table[index] = (magnitude as u8 | if negative { 0 } else { 0x80 }) ^ 0x55;
        index += 1;
    }
    table
}

/// G.711 tables 3 and 4, for both signs and with the inversions of the line.
///
/// They are not decode-then-encode: eighteen µ-law and sixteen A-law values sit on a rounding border, where the
/// Recommendation picks the neighbour.
const fn transcode_table(from_ulaw: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut value = 0;
    while value < 128 {
        let (ulaw_to_alaw, alaw_to_ulaw) = (alaw_of(value), ulaw_of(value));
        if from_ulaw {
            table[(value ^ 0xff) as usize] = ulaw_to_alaw ^ 0xd5;
            table[(value ^ 0x7f) as usize] = ulaw_to_alaw ^ 0x55;
        } else {
            table[(value ^ 0xd5) as usize] = alaw_to_ulaw ^ 0xff;
            table[(value ^ 0x55) as usize] = alaw_to_ulaw ^ 0x7f;
        }
        value += 1;
    }
    table
}

/// G.711 table 3, from a µ-law magnitude 0..=127 to an A-law magnitude.
const fn alaw_of(ulaw: u8) -> u8 {
    match ulaw {
        0..=15 => ulaw / 2,
        16..=31 => ulaw - 8,
        32..=35 => ulaw * 2 - 40,
        36..=47 => ulaw - 4,
        48 => 45,
        49..=63 => ulaw - 2,
        64..=80 => ulaw - 1,
        _ => ulaw,
    }
}

/// G.711 table 4, from an A-law magnitude 0..=127 to a µ-law magnitude.
const fn ulaw_of(alaw: u8) -> u8 {
    match alaw {
        0..=7 => alaw * 2 + 1,
        8..=23 => alaw + 8,
        24..=31 => alaw / 2 + 20,
        32..=44 => alaw + 4,
        45..=47 => 48 + (alaw - 45).div_ceil(2),
        48..=62 => alaw + 2,
        63..=79 => alaw + 1,
        _ => alaw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ulaw_compress of G.191, step by step.
    fn reference_ulaw_encode(sample: i16) -> u8 {
        let sample = i32::from(sample);
        let mut absno = if sample < 0 { ((!sample) >> 2) + 33 } else { (sample >> 2) + 33 };
        if absno > 0x1fff {
            absno = 0x1fff;
        }
        let (mut i, mut segno) = (absno >> 6, 1);
        while i != 0 {
            segno += 1;
            i >>= 1;
        }
        let high_nibble = 0x8 - segno;
        let low_nibble = 0xf - ((absno >> segno) & 0xf);
        let code = (high_nibble << 4) | low_nibble;
        (if sample >= 0 { code | 0x80 } else { code }) as u8
    }

    /// ulaw_expand of G.191.
    fn reference_ulaw_decode(code: u8) -> i16 {
        let sign = if code < 0x80 { -1 } else { 1 };
        let mantissa = !i32::from(code);
        let exponent = (mantissa >> 4) & 7;
        let segment = exponent + 1;
        let step = 4 << segment;
        (sign * ((0x80 << exponent) + step * (mantissa & 0xf) + step / 2 - 4 * 33)) as i16
    }

    /// alaw_compress of G.191.
    fn reference_alaw_encode(sample: i16) -> u8 {
        let sample = i32::from(sample);
        let mut ix = if sample < 0 { (!sample) >> 4 } else { sample >> 4 };
        if ix > 15 {
            let mut iexp = 1;
            while ix > 16 + 15 {
                ix >>= 1;
                iexp += 1;
            }
            ix = ix - 16 + (iexp << 4);
        }
        if sample >= 0 {
            ix |= 0x80;
        }
        (ix ^ 0x55) as u8
    }

    /// alaw_expand of G.191.
    fn reference_alaw_decode(code: u8) -> i16 {
        let ix = i32::from(code ^ 0x55);
        let iexp = (ix & 0x7f) >> 4;
        let mut mant = ix & 0xf;
        if iexp > 0 {
            mant += 16;
        }
        mant = (mant << 4) + 8;
        if iexp > 1 {
            mant <<= iexp - 1;
        }
        (if ix > 127 { mant } else { -mant }) as i16
    }

    #[test]
    fn every_sample_and_code_equals_g191() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(ulaw_encode(sample), reference_ulaw_encode(sample), "µ-law of {sample}");
            assert_eq!(alaw_encode(sample), reference_alaw_encode(sample), "A-law of {sample}");
        }
        for code in 0..=255 {
            assert_eq!(ulaw_decode(code), reference_ulaw_decode(code), "µ-law {code:#x}");
            assert_eq!(alaw_decode(code), reference_alaw_decode(code), "A-law {code:#x}");
        }
    }

    #[test]
    fn known_points() {
        let rows: [(i16, u8, u8); 7] = [
            (0, 0xff, 0xd5),
            (-1, 0x7f, 0x55),
            (32767, 0x80, 0xaa),
            (-32768, 0x00, 0x2a),
            (8031, 0xa0, 0x8a),
            (1000, 0xce, 0xfa),
            (-1000, 0x4e, 0x7a),
        ];
        for (sample, ulaw, alaw) in rows {
            assert_eq!((ulaw_encode(sample), alaw_encode(sample)), (ulaw, alaw), "{sample}");
        }
        assert_eq!((ulaw_decode(0x80), ulaw_decode(0x00), ulaw_decode(ULAW_SILENCE)), (32124, -32124, 0));
        assert_eq!((alaw_decode(0xaa), alaw_decode(0x2a), alaw_decode(ALAW_SILENCE)), (32256, -32256, 8));
    }

    #[test]
    fn codes_survive_decode_and_encode() {
        for code in 0..=255u8 {
            assert_eq!(alaw_encode(alaw_decode(code)), code);
            // µ-law has two zeros; the negative one decodes to 0 and comes back as the positive one.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(ulaw_encode(ulaw_decode(code)), expected);
        }
    }

    /// Magnitudes whose direct conversion is not decode-then-encode.
    fn differing(direct: fn(u8) -> u8, indirect: fn(u8) -> u8, to_code: fn(u8) -> u8) -> Vec<u8> {
        (0..128).filter(|&m| direct(to_code(m)) != indirect(to_code(m))).collect()
    }

    #[test]
    fn direct_transcoding_follows_the_recommendation() {
        let ulaw = differing(ulaw_to_alaw, |c| alaw_encode(ulaw_decode(c)), |m| m ^ 0xff);
        let alaw = differing(alaw_to_ulaw, |c| ulaw_encode(alaw_decode(c)), |m| m ^ 0xd5);
        assert_eq!(ulaw, [48, 49, 64].into_iter().chain(81..96).collect::<Vec<u8>>());
        assert_eq!(alaw, (80..96).collect::<Vec<u8>>());
        // Rows of table 3 and 4, as printed: (µ value, A value) less one, and (A value, µ value).
        for (from, to) in [(0, 0), (15, 7), (16, 8), (31, 23), (32, 24), (35, 30), (36, 32), (47, 43), (48, 45)] {
            assert_eq!(ulaw_to_alaw(from ^ 0xff) ^ 0xd5, to, "µ {from}");
        }
        for (from, to) in [(0, 1), (7, 15), (8, 16), (24, 32), (25, 32), (31, 35), (45, 48), (46, 49), (47, 49)] {
            assert_eq!(alaw_to_ulaw(from ^ 0xd5) ^ 0xff, to, "A {from}");
        }
    }

    #[test]
    fn transcoding_keeps_sign_order_and_level() {
        for m in 0..128u8 {
            assert_eq!(ulaw_to_alaw(m ^ 0x7f), ulaw_to_alaw(m ^ 0xff) ^ 0x80);
            assert_eq!(alaw_to_ulaw(m ^ 0x55), alaw_to_ulaw(m ^ 0xd5) ^ 0x80);
            let (ulaw, alaw) = (m ^ 0xff, m ^ 0xd5);
            let step = i32::from(m >> 4).pow(2).max(1);
            let error = |a: i16, b: i16| (i32::from(a) - i32::from(b)).abs();
            assert!(error(ulaw_decode(ulaw), alaw_decode(ulaw_to_alaw(ulaw))) <= (8 << (m >> 4)).max(step), "µ {m}");
            assert!(error(alaw_decode(alaw), ulaw_decode(alaw_to_ulaw(alaw))) <= (8 << (m >> 4)).max(step), "A {m}");
            if m > 0 {
                assert!(ulaw_to_alaw(ulaw) ^ 0xd5 >= ulaw_to_alaw((m - 1) ^ 0xff) ^ 0xd5);
                assert!(alaw_to_ulaw(alaw) ^ 0xff >= alaw_to_ulaw((m - 1) ^ 0xd5) ^ 0xff);
            }
        }
    }

    #[test]
    fn slices_stop_at_the_shorter() {
        let mut codes = [0u8; 3];
        assert_eq!(ulaw_encode_slice(&[0, -1], &mut codes), 2);
        assert_eq!(codes, [0xff, 0x7f, 0]);
        assert_eq!(alaw_encode_slice(&[0; 9], &mut codes), 3);
        let mut samples = [7i16; 2];
        assert_eq!(ulaw_decode_slice(&[0x00, 0x80, 0xff], &mut samples), 2);
        assert_eq!(samples, [-32124, 32124]);
        let mut payload = [0xff, 0x7f, 0x00];
        ulaw_to_alaw_in_place(&mut payload);
        assert_eq!(payload, [0xd5, 0x55, 0x2a]);
    }
}
