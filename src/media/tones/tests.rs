use super::*;
use codecs::dtmf;
use codecs::tone::{Repeat, Segment, ToneGenerator, ToneSpec};

const DIGITS: &str = "159D0*#7A";

/// Digits of `on_ms` with pauses of `off_ms` among quiet noise, begun at `offset` samples, at 16 kHz for the wide codecs.
fn sound(rate: u32, (on_ms, off_ms): (u32, u32), offset: usize) -> Vec<i16> {
    let mut samples = vec![0; offset];
    for digit in DIGITS.chars() {
        let (low, high) = dtmf::frequencies(digit).unwrap();
        let spec = ToneSpec::new(&[Segment::new(&[low, high], -10.0, on_ms, off_ms)], Repeat::Times(1));
        let mut tone = vec![0; ((on_ms + off_ms) * rate / 1_000) as usize];
        ToneGenerator::new(&spec, rate).fill(&mut tone);
        samples.extend(tone);
    }
    samples.extend(vec![0; rate as usize / 5]);
    let mut state = 1u32;
    for sample in &mut samples {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *sample = sample.saturating_add((state >> 27) as i16 - 16);
    }
    samples
}

enum Coder {
    G711(fn(&[i16], &mut [u8]) -> usize),
    G722(Box<g722::Encoder>),
    Opus(opus::Encoder),
}

/// Packets of so many milliseconds.
fn packets(codec: Codec, ms: usize, timing: (u32, u32), offset: usize) -> Vec<Vec<u8>> {
    let (mut coder, rate) = match codec {
        Codec::Pcmu => (Coder::G711(g711::ulaw_encode_slice), 8_000),
        Codec::Pcma => (Coder::G711(g711::alaw_encode_slice), 8_000),
        Codec::G722 => (Coder::G722(Box::new(g722::Encoder::new())), 16_000),
        _ => (Coder::Opus(opus::Encoder::new(opus::Rate::Hz16000)), 16_000),
    };
    let mut encode = |samples: &[i16]| {
        let mut octets = vec![0; 1_500];
        let len = match &mut coder {
            Coder::G711(law) => law(samples, &mut octets),
            Coder::G722(encoder) => encoder.encode(samples, &mut octets),
            Coder::Opus(encoder) => encoder.encode(samples, &mut octets).unwrap(),
        };
        octets.truncate(len);
        octets
    };
    sound(rate, timing, offset).chunks_exact(ms * rate as usize / 1_000).map(&mut encode).collect()
}

fn listening(codec: Codec, tones: Tones) -> Box<Listening> {
    Listening::new(tones, &[Format { codec, payload_type: 9 }]).unwrap()
}

fn at(ms: usize) -> Instant {
    Instant::from_micros(ms as u64 * 1_000)
}

/// What is found in packets without those of `lost`; in the end, and by somebody who hears what is left.
fn found(codec: Codec, ms: usize, timing: (u32, u32), offset: usize, lost: impl Fn(usize) -> bool) -> (String, String) {
    let (mut first, mut second) = (listening(codec, Tones::Taken), listening(codec, Tones::Told));
    let (mut told, mut left) = (String::new(), String::new());
    let mut end = 0;
    for (n, packet) in packets(codec, ms, timing, offset).iter_mut().enumerate().filter(|(n, _)| !lost(*n)) {
        let len = packet.len();
        told.extend(first.hear(at(n * ms), codec, n as u16, packet).iter().flatten().map(|d| d.digit));
        left.extend(second.hear(at(n * ms), codec, n as u16, packet).iter().flatten().map(|d| d.digit));
        assert_eq!(packet.len(), len);
        end = n * ms;
    }
    told.extend(first.look(at(end + 200)).map(|d| d.digit));
    left.extend(second.look(at(end + 200)).map(|d| d.digit));
    (told, left)
}

#[test]
fn every_digit_is_told_once_and_none_is_left_in_what_is_heard() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        for (ms, step) in [(10, 79), (20, 39), (60, 79)] {
            for timing in [(45, 45), (100, 60), (300, 200)] {
                for offset in (0..320).step_by(if timing.0 > 200 { 160 } else { step }) {
                    let (told, left) = found(codec, ms, timing, offset, |_| false);
                    let what = format!("{codec:?}, {ms} ms, {timing:?}, offset {offset}");
                    assert_eq!((told.as_str(), left.as_str()), (DIGITS, ""), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_lost_packet_does_not_make_one_digit_two() {
    for codec in [Codec::Pcmu, Codec::G722] {
        for offset in 0..8 {
            // 200 ms on, 200 ms off: packet 4 of each 20 is within the digit.
            for lost in 3..8 {
                let (told, _) = found(codec, 20, (200, 200), offset * 20, |n| n % 20 == lost);
                assert_eq!(told, DIGITS, "{codec:?}, packet {lost}, offset {offset}");
            }
        }
    }
}

#[test]
fn what_holds_no_tone_passes_as_it_is_and_late_packets_are_no_sound() {
    let mut hearing = listening(Codec::Pcmu, Tones::Taken);
    let mut state = 7u32;
    for n in 0..500u16 {
        let mut noise = [0; 160];
        noise.fill_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let before = noise;
        assert_eq!(hearing.hear(at(0), Codec::Pcmu, n, &mut noise), Found::default());
        assert_eq!(hearing.hear(at(0), Codec::Pcmu, n.wrapping_sub(2), &mut noise), Found::default());
        assert_eq!(noise, before);
    }
    assert!(Listening::new(Tones::Passed, &[Format { codec: Codec::Pcmu, payload_type: 0 }]).is_none());
    let opaque = Codec::Opaque { clock_rate: 8_000 };
    assert!(Listening::new(Tones::Taken, &[Format { codec: opaque, payload_type: 18 }]).is_none());
}

#[test]
fn a_digit_ends_when_packets_cease_and_outlives_a_new_setting() {
    let mut hearing = listening(Codec::Pcma, Tones::Told);
    for (n, packet) in packets(Codec::Pcma, 20, (400, 0), 0).iter_mut().take(8).enumerate() {
        assert_eq!(hearing.hear(at(n * 20), Codec::Pcma, n as u16, packet), Found::default());
    }
    let mut next = listening(Codec::Pcma, Tones::Taken);
    next.follow(&mut hearing);
    assert_eq!(next.look(at(200)), None);
    let digit = next.look(at(400)).unwrap();
    assert!(digit.digit == '1' && (130..=190).contains(&digit.duration), "{digit:?}");
    assert_eq!(next.look(at(900)), None);
}

#[test]
fn silence_of_opus_lasts_as_long_as_what_it_replaces() {
    // Milliseconds, and the first two octets of a packet that lasts so long.
    for (ms, head) in [(10, [30 << 3, 0]), (20, [31 << 3, 0]), (40, [31 << 3 | 1, 0]), (60, [31 << 3 | 3, 3])] {
        for len in [8, 9, 10, 60, 259, 260, 261, 262, 515, 516, 1_275] {
            let mut packet = vec![0x55; len];
            packet[..2].copy_from_slice(&head);
            assert_eq!(opus::duration_48k(&packet), Some(ms * 48), "{ms} ms, {len}");
            opus_silence(&mut packet);
            assert_eq!(opus::duration_48k(&packet), Some(ms * 48), "{ms} ms, {len}");
            let mut sound = [0; OPUS_SAMPLES];
            let samples = opus::Decoder::new(opus::Rate::Hz8000).decode(Some(&packet), &mut sound).unwrap();
            let loudest = sound[..samples].iter().map(|s| s.unsigned_abs()).max();
            assert!(samples == ms as usize * 8 && loudest < Some(4), "{ms} ms, {len}: {loudest:?}");
        }
        let mut short = [head[0], head[1], 1];
        opus_silence(&mut short[..3]);
    }
}
