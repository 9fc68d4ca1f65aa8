//! Sound that can be recognised again: a seeded melody, G.711, and how alike two recordings are.

use std::f64::consts::TAU;
use std::path::Path;

/// Samples a second of every signal here.
pub const RATE: u32 = 8000;
/// Length of one note of a melody, in samples: 200 ms.
const NOTE: usize = 1600;

/// A melody of `seconds`, different for each seed. Its notes (300–900 Hz) make its alignment unambiguous, and they stay
/// under 1 kHz so that `find` may look for it at a quarter of the rate.
pub fn melody(seed: u64, seconds: u32) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut phase = 0.0;
    let mut samples = Vec::with_capacity((seconds * RATE) as usize);
    while samples.len() < (seconds * RATE) as usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let hertz = 300.0 + (state % 600) as f64;
        for _ in 0..NOTE {
            phase += TAU * hertz / f64::from(RATE);
            samples.push((8000.0 * phase.sin()) as i16);
        }
    }
    samples
}

/// Where `reference` is heard in `heard`, and how alike the two are there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Samples of `heard` before the reference begins.
    pub offset: usize,
    /// Normalised correlation, −1 to 1.
    pub correlation: f64,
}

/// Finds `reference` in `heard`. An answer with correlation 0 where `heard` is shorter than the reference.
pub fn find(reference: &[i16], heard: &[i16]) -> Match {
    const STEP: usize = 4;
    let coarse_reference: Vec<i16> = reference.iter().step_by(STEP).copied().collect();
    let coarse_heard: Vec<i16> = heard.iter().step_by(STEP).copied().collect();
    let coarse = best(&coarse_reference, &coarse_heard, 0, coarse_heard.len());
    let centre = coarse.offset * STEP;
    best(reference, heard, centre.saturating_sub(2 * STEP), centre + 2 * STEP + 1)
}

/// As `find`, for sound that went through a phone: its playout buffer may drop or repeat a frame, and its first frames may
/// come before the other side listens. The reference is cut into pieces of 400 ms, each found by itself within `slack`
/// samples of where the second of them stands; the median.
pub fn likeness(reference: &[i16], heard: &[i16], slack: usize) -> f64 {
    const PIECE: usize = 2 * NOTE;
    let Some(anchor) = reference.get(PIECE..4 * PIECE) else { return 0.0 };
    // Where the reference begins in what was heard, with its own start before it if that was not heard.
    let begin = find(anchor, heard).offset;
    let mut pieces: Vec<f64> = reference
        .chunks_exact(PIECE)
        .enumerate()
        .map(|(index, piece)| {
            let at = (begin + index * PIECE).saturating_sub(PIECE);
            best(piece, heard, at.saturating_sub(slack), at + slack + 1).correlation
        })
        .collect();
    pieces.sort_by(f64::total_cmp);
    pieces.get(pieces.len() / 2).copied().unwrap_or(0.0)
}

fn best(reference: &[i16], heard: &[i16], from: usize, to: usize) -> Match {
    let mut found = Match { offset: from, correlation: 0.0 };
    let own = energy(reference);
    for offset in from..to {
        let Some(window) = heard.get(offset..offset + reference.len()) else { break };
        let product: f64 = reference.iter().zip(window).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let correlation = product / (own * energy(window)).sqrt().max(1.0);
        if correlation > found.correlation {
            found = Match { offset, correlation };
        }
    }
    found
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum()
}

/// Root mean square of a signal: 0 for silence, about 5,600 for a melody.
pub fn loudness(samples: &[i16]) -> f64 {
    (energy(samples) / samples.len().max(1) as f64).sqrt()
}

/// ITU-T G.711 µ-law, written from the recommendation so that it is an oracle apart from the switch's own.
pub fn pcmu_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs() + 132).min(32_767);
    let exponent = (24 - magnitude.leading_zeros() as i32).max(0);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// The inverse of [`pcmu_encode`].
pub fn pcmu_decode(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((i32::from(byte & 0x0f) << 3) + 132) << ((byte >> 4) & 0x07);
    let value = magnitude - 132;
    (if byte & 0x80 != 0 { -value } else { value }) as i16
}

/// ITU-T G.711 A-law.
pub fn pcma_encode(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = if sample >= 0 { i32::from(sample) } else { -i32::from(sample) - 1 } >> 4;
    let exponent = if magnitude < 32 { i32::from(magnitude >= 16) } else { 28 - magnitude.leading_zeros() as i32 };
    let mantissa = if exponent == 0 { magnitude & 0x0f } else { (magnitude >> (exponent - 1)) & 0x0f };
    (sign | (exponent << 4) as u8 | mantissa as u8) ^ 0x55
}

/// The inverse of [`pcma_encode`].
pub fn pcma_decode(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = i32::from((byte >> 4) & 0x07);
    let base = (i32::from(byte & 0x0f) << 4) + 8;
    let magnitude = if exponent == 0 { base } else { (base + 256) << (exponent - 1) };
    (if byte & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

/// Writes 16-bit mono at 8 kHz. Panics with the path where it cannot: this is a test's own disk.
pub fn write_wav(path: &Path, samples: &[i16]) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    for sample in samples {
        writer.write_sample(*sample).expect("a WAV sample is written");
    }
    writer.finalize().expect("a WAV is finished");
}

/// Reads 16 bits as mono at 8 kHz, of whatever rate and number of channels. A recording that its phone did not finish is read as
/// far as it goes.
pub fn read_wav(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (channels, rate) = (usize::from(reader.spec().channels), reader.spec().sample_rate);
    let samples: Vec<i16> = reader.samples::<i16>().map_while(Result::ok).collect();
    let mono: Vec<i16> = samples.chunks_exact(channels).map(|frame| frame[0]).collect();
    codecs::resample::convert(&mono, rate, RATE).unwrap_or_else(|| panic!("{}: {rate} Hz", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_returns_what_it_was_given_within_its_step() {
        for sample in (-32_000..32_000).step_by(7) {
            for (name, back) in [("pcmu", pcmu_decode(pcmu_encode(sample))), ("pcma", pcma_decode(pcma_encode(sample)))]
            {
                let error = (i32::from(back) - i32::from(sample)).abs();
                assert!(error <= i32::from(sample).abs() / 16 + 16, "{name} {sample} -> {back}");
            }
        }
        assert_eq!((pcmu_encode(0), pcma_encode(0)), (0xff, 0xd5), "the recommendation's silence");
    }

    #[test]
    fn a_melody_is_found_where_it_is_and_no_other_is() {
        let (own, other) = (melody(1, 2), melody(2, 2));
        let mut heard = vec![0; 1234];
        heard.extend(own.iter().map(|s| pcmu_decode(pcmu_encode(*s)) / 2));
        heard.extend([0; 500]);
        let found = find(&own, &heard);
        assert_eq!(found.offset, 1234);
        assert!(found.correlation > 0.99, "{found:?}");
        assert!(likeness(&own, &heard, 160) > 0.99);
        assert!(likeness(&own, &heard[1234 + 480..], 160) > 0.99, "its first frames were not heard");
        assert!(likeness(&other, &heard, 160) < 0.7);
        assert!(find(&other, &heard).correlation < 0.5, "{:?}", find(&other, &heard));
        assert!(find(&own, &heard[..100]).correlation == 0.0);
    }
}
