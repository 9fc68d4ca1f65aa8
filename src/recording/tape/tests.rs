use super::*;
use crate::media::command::TapId;
use crate::media::tap::{Label, frames};
use crate::recording::wav;

const START_MS: u64 = 5_000;

fn at(ms: u64) -> Instant {
    Instant::from_micros((START_MS + ms) * 1_000)
}

fn settings(format: Format, sides: Sides) -> Settings {
    Settings { format, sides, trim: false }
}

/// One packet of 20 ms, the `n`th of its track, arriving at `ms`.
fn packet(tape: &mut Tape, track: Way, codec: Codec, ms: u64, n: u16, payload: &[u8]) {
    let units = if codec == Codec::Opus { 960 } else { 160 };
    let timestamp = u32::from(n) * units;
    let label = Label { tap: TapId(1), track, codec, at: at(ms), ssrc: track as u32 + 1, timestamp, sequence: n };
    frames(label, payload, |frame| tape.take(frame));
}

fn ulaw(level: i16) -> [u8; 160] {
    [codecs::g711::ulaw_encode(level); 160]
}

/// Both talk from `begins` ms on, for a second; the samples of the file.
fn recorded(settings: Settings, begins: [u64; 2], change: impl Fn(&mut Tape)) -> (Vec<i16>, Summary) {
    let mut tape = Tape::new(settings, at(0), 1);
    change(&mut tape);
    let mut file = Vec::new();
    for ms in (0..3_000).step_by(10) {
        for (track, begin, level) in [(Way::In, begins[0], 4_000), (Way::Out, begins[1], -2_000)] {
            if ms >= begin && ms < begin + 1_000 && (ms - begin) % 20 == 0 {
                packet(&mut tape, track, Codec::Pcmu, ms, ((ms - begin) / 20) as u16, &ulaw(level));
            }
        }
        tape.advance(at(ms));
        if ms == 2_000 {
            tape.stop(at(2_000));
        }
        assert_eq!(tape.is_over(at(ms)), ms >= 2_240, "{ms}");
    }
    tape.finish();
    file.append(&mut tape.bytes());
    let (layout, samples) = wav::read(&file).unwrap();
    assert_eq!(layout.channels, u16::from(settings.sides.channels()));
    assert_eq!(samples.len() as u64, tape.samples() * u64::from(layout.channels));
    (samples, tape.summary())
}

/// Where the samples of one channel are loud, in ms: first and last.
fn loud(samples: &[i16], channels: usize, channel: usize) -> Option<(usize, usize)> {
    let own: Vec<i16> = samples.iter().skip(channel).step_by(channels).copied().collect();
    let first = own.iter().position(|s| s.abs() > 1_000)?;
    let last = own.iter().rposition(|s| s.abs() > 1_000)?;
    Some((first / 8, last / 8))
}

#[test]
fn each_party_is_on_its_channel_when_it_spoke() {
    for format in [Format::Wav, Format::Ulaw] {
        let (samples, summary) = recorded(settings(format, Sides::Dual), [200, 700], |_| ());
        assert_eq!(summary.duration, Duration::from_secs(2));
        assert_eq!((loud(&samples, 2, 0), loud(&samples, 2, 1)), (Some((200, 1_199)), Some((700, 1_699))));
        assert!(samples.iter().step_by(2).all(|s| *s >= 0) && samples.iter().skip(1).step_by(2).all(|s| *s <= 0));
        assert_eq!((summary.measure.frames, summary.measure.both, summary.heard), (100, 25 + 9, true));
    }
    let (samples, _) = recorded(settings(Format::Wav, Sides::Mono), [200, 700], |_| ());
    assert_eq!(loud(&samples, 1, 0), Some((200, 1_699)));
    let (samples, _) = recorded(settings(Format::Wav, Sides::Said), [200, 700], |_| ());
    assert_eq!(loud(&samples, 1, 0), Some((200, 1_199)));
}

#[test]
fn a_pause_is_silence_or_nothing() {
    let pause = |how| {
        move |tape: &mut Tape| {
            tape.pause(at(400), how);
            tape.resume(at(800));
        }
    };
    let (samples, summary) = recorded(settings(Format::Wav, Sides::Said), [200, 200], pause(Paused::Silence));
    assert_eq!((summary.duration.as_millis(), loud(&samples, 1, 0)), (2_000, Some((200, 1_199))));
    assert!(samples[400 * 8..800 * 8].iter().all(|s| *s == 0));
    let (samples, summary) = recorded(settings(Format::Wav, Sides::Said), [200, 200], pause(Paused::Skip));
    assert_eq!((summary.duration.as_millis(), loud(&samples, 1, 0)), (1_600, Some((200, 799))));
}

#[test]
fn a_message_loses_the_silence_around_it() {
    let trimmed = Settings { trim: true, ..settings(Format::Wav, Sides::Said) };
    let (samples, summary) = recorded(trimmed, [600, 600], |_| ());
    assert_eq!(loud(&samples, 1, 0), Some((200, 1_199)));
    // The hang-over of talk, then the tail.
    assert_eq!(summary.duration.as_millis(), 200 + 1_000 + 180 + 200);
    let mut tape = Tape::new(trimmed, at(0), 1);
    tape.advance(at(2_000));
    assert_eq!(tape.quiet().as_millis(), 2_000 - 240);
    tape.finish();
    assert_eq!((tape.summary().heard, tape.samples()), (false, 0));
}

#[test]
fn codecs_with_a_memory_get_their_packets_in_order() {
    let tone: Vec<i16> = (0..320 * 20).map(|n| (f64::from(n) * 0.25).sin().mul_add(8_000.0, 0.0) as i16).collect();
    let (mut g722, mut opus) = (codecs::g722::Encoder::new(), opus::Encoder::new(opus::Rate::Hz16000));
    let mut packets: Vec<[Vec<u8>; 2]> = Vec::new();
    for frame in tone.chunks(320) {
        let (mut a, mut b) = ([0; 160], [0; 400]);
        g722.encode(frame, &mut a);
        let len = opus.encode(frame, &mut b).unwrap();
        packets.push([a.to_vec(), b[..len].to_vec()]);
    }
    let play = |order: &[usize]| {
        let mut tape = Tape::new(settings(Format::Wav, Sides::Dual), at(0), 1);
        for (i, n) in order.iter().enumerate() {
            let ms = 100 + i as u64 * 20;
            packet(&mut tape, Way::In, Codec::G722, ms, *n as u16, &packets[*n][0]);
            packet(&mut tape, Way::Out, Codec::Opus, ms, *n as u16, &packets[*n][1]);
        }
        tape.advance(at(1_200));
        tape.finish();
        let (layout, samples) = wav::read(&tape.bytes()).unwrap();
        assert_eq!((layout.rate, samples.len()), (16_000, 960 * 32));
        samples
    };
    let straight: Vec<usize> = (0..20).collect();
    let mut swapped = straight.clone();
    [(4, 5), (9, 11), (15, 16)].into_iter().for_each(|(a, b)| swapped.swap(a, b));
    let samples = play(&straight);
    assert_eq!(samples, play(&swapped));
    let power = |channel: usize| samples.iter().skip(channel).step_by(2).map(|s| f64::from(*s).powi(2)).sum::<f64>();
    assert!(
        power(0) > 6_000.0 * 8_000.0 * 4_000.0 && power(1) > 6_000.0 * 8_000.0 * 2_000.0,
        "{} {}",
        power(0),
        power(1)
    );
}

#[test]
fn opus_in_ogg_is_whole_at_each_flush() {
    for sides in [Sides::Said, Sides::Dual] {
        let mut tape = Tape::new(settings(Format::Opus, sides), at(0), 77);
        let mut file = Vec::new();
        for n in 0..150u16 {
            packet(&mut tape, Way::In, Codec::Pcma, u64::from(n) * 20, n, &[0x55; 160]);
            tape.advance(at(u64::from(n) * 20));
            if n % 25 == 24 {
                file.append(&mut tape.bytes());
                assert_eq!(ogg::whole(&file), (file.len(), tape.summary().duration.as_millis() as u64 * 48), "{n}");
            }
        }
        tape.finish();
        file.append(&mut tape.bytes());
        assert_eq!(ogg::whole(&file).0, file.len());
    }
}
