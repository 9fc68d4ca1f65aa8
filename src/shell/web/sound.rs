//! What a server sends as sound, brought to a WAV file of PCM, which the player takes.

use codecs::g711::{alaw_decode, ulaw_decode};
use std::io::Cursor;
use symphonia_bundle_mp3::{MpaDecoder, MpaReader};
use symphonia_core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia_core::formats::{FormatOptions, FormatReader};
use symphonia_core::io::{MediaSourceStream, MediaSourceStreamOptions};

/// Longest sound in samples of all its channels: half an hour of two channels at 48 kHz.
const SAMPLES_MAX: usize = 1_800 * 48_000 * 2;

/// A WAV file of PCM; why there is none.
pub fn to_wav(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE") {
        return from_wav(bytes);
    }
    let is_mp3 = bytes.starts_with(b"ID3") || matches!(bytes.get(..2), Some([0xff, b]) if b & 0xe6 == 0xe2);
    if is_mp3 { from_mp3(bytes) } else { Err("it is neither WAV nor MP3".to_owned()) }
}

/// PCM stays as it is; G.711 is decoded.
fn from_wav(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let (format, data) = (chunk(&bytes, b"fmt "), chunk(&bytes, b"data"));
    let (Some(format), Some(data)) = (format, data) else { return Err("the WAV file is broken off".to_owned()) };
    let word = |at: usize| format.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
    let rate = format.get(4..8).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let law = match word(0) {
        1 | 3 | 0xfffe => return Ok(bytes),
        6 => alaw_decode,
        7 => ulaw_decode,
        other => return Err(format!("the WAV file is of form {other}, which cannot be played")),
    };
    let samples: Vec<i16> = data.iter().map(|code| law(*code)).collect();
    Ok(wav(&samples, rate, word(2)))
}

/// A chunk's octets; the last may be shorter than it says, as streams are written.
fn chunk<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(12..)?;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if &head[..4] == name {
            return Some(&body[..length.min(body.len())]);
        }
        rest = body.get(length + length % 2..)?;
    }
    None
}

fn from_mp3(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let said = |e: symphonia_core::errors::Error| format!("the MP3 cannot be decoded: {e}");
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    let mut reader = MpaReader::try_new(stream, FormatOptions::default()).map_err(said)?;
    let parameters = reader.tracks().first().and_then(|t| t.codec_params.as_ref()?.audio().cloned());
    let parameters = parameters.ok_or("the MP3 has no sound")?;
    let mut decoder = MpaDecoder::try_new(&parameters, &AudioDecoderOptions::default()).map_err(said)?;
    let (mut samples, mut part, mut form) = (Vec::new(), Vec::<i16>::new(), None);
    // What is broken at the end is left out: half a prompt is better than none.
    while let Ok(Some(packet)) = reader.next_packet() {
        let Ok(decoded) = decoder.decode(&packet) else { continue };
        form = Some((decoded.spec().rate(), decoded.spec().channels().count()));
        decoded.copy_to_vec_interleaved(&mut part);
        if samples.len() + part.len() > SAMPLES_MAX {
            return Err("the MP3 is longer than half an hour".to_owned());
        }
        samples.extend_from_slice(&part);
    }
    match form {
        Some((rate, channels)) => Ok(wav(&samples, rate, u16::try_from(channels).unwrap_or(1))),
        None => Err("the MP3 has no sound".to_owned()),
    }
}

/// A WAV file of 16 bits.
pub fn wav(samples: &[i16], rate: u32, channels: u16) -> Vec<u8> {
    let bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let channels = channels.max(1);
    let mut out = Vec::with_capacity(44 + samples.len() * 2);
    out.extend(b"RIFF");
    out.extend((bytes.saturating_add(36)).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend((rate * u32::from(channels) * 2).to_le_bytes());
    out.extend((channels * 2).to_le_bytes());
    out.extend(b"\x10\0data");
    out.extend(bytes.to_le_bytes());
    samples.iter().for_each(|s| out.extend(s.to_le_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(wav: &[u8]) -> Vec<i16> {
        chunk(wav, b"data").unwrap().chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
    }

    #[test]
    fn pcm_stays_and_g711_is_decoded() {
        let pcm = wav(&[1, -2, 300], 8_000, 1);
        assert_eq!(to_wav(pcm.clone()), Ok(pcm.clone()));
        for (tag, law) in [(6u8, alaw_decode as fn(u8) -> i16), (7, ulaw_decode)] {
            let mut file = pcm.clone();
            file[20] = tag;
            let codes = file[44..].to_vec();
            let expected: Vec<i16> = codes.iter().map(|c| law(*c)).collect();
            assert_eq!(samples(&to_wav(file).unwrap()), expected);
        }
    }

    #[test]
    fn mp3_is_decoded() {
        // A second of 440 Hz, one channel of 16 kHz and 24 kbit/s, made by ffmpeg.
        let decoded = to_wav(include_bytes!("tests/tone.mp3").to_vec()).unwrap();
        let sound = samples(&decoded);
        assert_eq!(u32::from_le_bytes(decoded[24..28].try_into().unwrap()), 16_000);
        assert!((16_000..18_500).contains(&sound.len()), "{}", sound.len());
        let middle = &sound[4_000..12_000];
        let crossings = middle.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
        assert!((436..=444).contains(&crossings), "{crossings}");
    }

    #[test]
    fn what_is_no_sound_says_so_and_never_panics() {
        let mut broken = wav(&[1, 2, 3], 8_000, 1);
        broken.truncate(30);
        let mut unknown = wav(&[1], 8_000, 1);
        unknown[20] = 85;
        let mp3 = include_bytes!("tests/tone.mp3").to_vec();
        for bytes in [b"<html>".to_vec(), Vec::new(), broken, unknown, mp3[..2].to_vec(), b"ID3".to_vec()] {
            assert!(to_wav(bytes).is_err());
        }
        for cut in (0..mp3.len()).step_by(97) {
            let mut bytes = mp3.clone();
            bytes[cut] ^= 0xff;
            let _ = to_wav(bytes[..mp3.len() - cut / 2].to_vec());
        }
    }
}
