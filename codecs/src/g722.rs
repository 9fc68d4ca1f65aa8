//! ITU-T G.722 at 64 kbit/s: two sub-bands of ADPCM, 16 kHz sampling, an octet for every two samples.
//!
//! Written from the Recommendation's block descriptions (§5 and §6.2); block names stand at the functions. 16-bit
//! samples are left-justified: the Recommendation's 14-bit PCM times four.

mod band;
mod tables;

use band::{Band, saturate};
use tables::{HIGH_CODE_NEGATIVE, HIGH_CODE_POSITIVE, LOW_CODE_NEGATIVE, LOW_CODE_POSITIVE, Q6, QM2, QM4, QM6, QMF};

/// Samples an octet.
pub const SAMPLES_PER_OCTET: usize = 2;

/// Encodes 16 kHz samples.
#[derive(Debug, Clone)]
pub struct Encoder {
    low: Band,
    high: Band,
    /// The last 24 input samples, oldest first.
    window: [i16; 24],
}

/// Decodes to 16 kHz samples.
#[derive(Debug, Clone)]
pub struct Decoder {
    low: Band,
    high: Band,
    /// Differences and sums of the two bands, oldest first.
    differences: [i16; 12],
    sums: [i16; 12],
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { low: Band::low(), high: Band::high(), window: [0; 24] }
    }
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { low: Band::low(), high: Band::high(), differences: [0; 12], sums: [0; 12] }
    }
}

impl Encoder {
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Encodes pairs of samples as far as both slices reach, and returns the octets written. An odd last sample is not
    /// taken.
    pub fn encode(&mut self, samples: &[i16], octets: &mut [u8]) -> usize {
        let pairs = samples.chunks_exact(SAMPLES_PER_OCTET);
        let count = pairs.len().min(octets.len());
        for (octet, pair) in octets.iter_mut().zip(pairs) {
            let (low, high) = self.split(pair[0], pair[1]);
            *octet = self.encode_high(high) << 6 | self.encode_low(low);
        }
        count
    }

    /// Transmit QMF (blocks DELAYX, ACCUMA, ACCUMB, LOWT, HIGHT).
    fn split(&mut self, first: i16, second: i16) -> (i32, i32) {
        self.window.copy_within(2.., 0);
        self.window[22] = first;
        self.window[23] = second;
        let (mut even, mut odd) = (0, 0);
        for (i, pair) in self.window.chunks_exact(2).enumerate() {
            even += i32::from(pair[0]) * QMF[i];
            odd += i32::from(pair[1]) * QMF[11 - i];
        }
        (limit((even + odd) >> 14), limit((odd - even) >> 14))
    }

    /// Lower sub-band: 6 bits (SUBTRA, QUANTL, INVQAL and the adaptation).
    fn encode_low(&mut self, x: i32) -> u8 {
        let error = saturate(x - self.low.predicted());
        let magnitude = if error < 0 { !error } else { error };
        let scale = self.low.scale();
        let interval = Q6.iter().take_while(|&&q| magnitude >= (q * scale) >> 12).count();
        let code = if error < 0 { LOW_CODE_NEGATIVE[interval] } else { LOW_CODE_POSITIVE[interval] };
        self.low.adapt_low(code >> 2, (QM4[usize::from(code >> 2)] * scale) >> 15);
        code
    }

    /// Higher sub-band: 2 bits (SUBTRA, QUANTH, INVQAH and the adaptation).
    fn encode_high(&mut self, x: i32) -> u8 {
        let error = saturate(x - self.high.predicted());
        let magnitude = if error < 0 { !error } else { error };
        let scale = self.high.scale();
        let outer = usize::from(magnitude >= (564 * scale) >> 12);
        let code = if error < 0 { HIGH_CODE_NEGATIVE[outer] } else { HIGH_CODE_POSITIVE[outer] };
        self.high.adapt_high(code, (QM2[usize::from(code)] * scale) >> 15);
        code
    }
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes octets as far as both slices reach, and returns the samples written: two an octet.
    pub fn decode(&mut self, octets: &[u8], samples: &mut [i16]) -> usize {
        let pairs = samples.chunks_exact_mut(SAMPLES_PER_OCTET);
        let count = pairs.len().min(octets.len());
        for (pair, &octet) in pairs.zip(octets) {
            let low = self.decode_low(octet & 0x3f);
            let high = self.decode_high(octet >> 6);
            (pair[0], pair[1]) = self.join(low, high);
        }
        count * SAMPLES_PER_OCTET
    }

    /// INVQBL with all 6 bits for the output, INVQAL with 4 for the adaptation, which the encoder shares.
    fn decode_low(&mut self, code: u8) -> i32 {
        let scale = self.low.scale();
        let output = limit(saturate(self.low.predicted() + ((QM6[usize::from(code)] * scale) >> 15)));
        self.low.adapt_low(code >> 2, (QM4[usize::from(code >> 2)] * scale) >> 15);
        output
    }

    fn decode_high(&mut self, code: u8) -> i32 {
        let difference = (QM2[usize::from(code)] * self.high.scale()) >> 15;
        let output = limit(saturate(self.high.predicted() + difference));
        self.high.adapt_high(code, difference);
        output
    }

    /// Receive QMF (blocks RECA, RECB, DELAYX, ACCUMC, ACCUMD, SELECT).
    fn join(&mut self, low: i32, high: i32) -> (i16, i16) {
        self.differences.copy_within(1.., 0);
        self.sums.copy_within(1.., 0);
        self.differences[11] = saturate(low - high) as i16;
        self.sums[11] = saturate(low + high) as i16;
        let (mut first, mut second) = (0, 0);
        for i in 0..12 {
            first += i32::from(self.differences[i]) * QMF[11 - i];
            second += i32::from(self.sums[i]) * QMF[i];
        }
        (saturate(first >> 11) as i16, saturate(second >> 11) as i16)
    }
}

/// Block LIMIT: 15 bits.
fn limit(x: i32) -> i32 {
    x.clamp(-16384, 16383)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// Noise that changes its level every 1,000 samples, silence and full-scale square waves among it.
    fn noise(len: usize) -> Vec<i16> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u16 as i16
        };
        let level = |n: usize, x: i16| match n / 1000 % 6 {
            0 => x,
            1 => x >> 4,
            2 => x >> 10,
            3 => 0,
            4 => [i16::MAX, i16::MIN][n / 20 % 2],
            _ => x.wrapping_mul(n as i16),
        };
        (0..len).map(|n| level(n, next())).collect()
    }

    /// FNV-1a.
    fn fingerprint(bytes: impl Iterator<Item = u8>) -> u64 {
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
    }

    fn encoded(samples: &[i16]) -> Vec<u8> {
        let mut octets = vec![0; samples.len() / 2];
        assert_eq!(Encoder::new().encode(samples, &mut octets), octets.len());
        octets
    }

    fn decoded(octets: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; octets.len() * 2];
        assert_eq!(Decoder::new().decode(octets, &mut samples), samples.len());
        samples
    }

    /// The fingerprints are of what the reference software of ITU-T G.191 writes for the same input, compared octet by
    /// octet when they were taken.
    #[test]
    fn equals_the_reference_on_noise_and_on_any_octets() {
        let input = noise(96_000);
        assert_eq!(fingerprint(encoded(&input).into_iter()), 0x171b_8d2a_c9a1_9d23);
        let octets: Vec<u8> = input.iter().map(|x| (x >> 3) as u8).collect();
        assert_eq!(fingerprint(decoded(&octets).into_iter().flat_map(i16::to_le_bytes)), 0xf7f0_de43_1dd1_30fb);
    }

    #[test]
    fn silence_starts_with_the_innermost_codes() {
        assert_eq!(encoded(&[0; 6]), [0xfa; 3]);
    }

    #[test]
    fn sines_come_back() {
        // Signal to noise at −10 dBov, after the 22 samples of the two filters' delay.
        for (hz, snr_min) in [(200.0, 34.0), (1000.0, 34.0), (3000.0, 28.0), (5000.0, 15.0), (6800.0, 15.0)] {
            let input: Vec<i16> =
                (0..16_000).map(|n| (14_650.0 * (TAU * hz * f64::from(n) / 16_000.0).sin()) as i16).collect();
            let output = decoded(&encoded(&input));
            let (mut signal, mut noise) = (0.0, 0.0);
            for (x, y) in input.iter().zip(&output[22..]).skip(1600) {
                signal += f64::from(*x).powi(2);
                noise += (f64::from(*x) - f64::from(*y)).powi(2);
            }
            let snr = 10.0 * f64::log10(signal / noise);
            assert!(snr > snr_min, "{hz} Hz: {snr:.1} dB");
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_same() {
        let input = noise(3200);
        let (mut encoder, mut octets) = (Encoder::new(), vec![]);
        for block in input.chunks(160) {
            let mut part = [0; 100];
            let n = encoder.encode(block, &mut part);
            octets.extend_from_slice(&part[..n]);
        }
        assert_eq!(octets, encoded(&input));
        let (mut decoder, mut samples) = (Decoder::new(), vec![]);
        for block in octets.chunks(33) {
            let mut part = [0; 66];
            let n = decoder.decode(block, &mut part);
            samples.extend_from_slice(&part[..n]);
        }
        assert_eq!(samples, decoded(&octets));
        assert_eq!(Encoder::new().encode(&[1, 2, 3], &mut [0; 9]), 1);
        assert_eq!(Decoder::new().decode(&[0; 9], &mut [0; 5]), 4);
    }
}
