//! Digits through a shard: every way in to every way out that the shard has, once each, on one line of RTP.

use crate::rig::{EVENTS, PCMA, PCMU, Rig, Sent, packet, peer, state};
use codecs::dtmf::{self, Detector};
use codecs::tone::ToneGenerator;
use codecs::{g711, opus};
use tandem::media::command::{Codec, Event, Format, Hears, LegId, LegState, Method, Press, Tones};
use tandem::media::shard::Order;
use tandem::rtp::telephone_event::{Block, Receiver, Sender};

const OPUS: Format = Format { codec: Codec::Opus, payload_type: 111 };
const G722: Format = Format { codec: Codec::G722, payload_type: 9 };

fn press(rig: &mut Rig, n: u64, digits: &str, duration_ms: u16) {
    let digits = digits.chars().map(|digit| Press { digit, duration_ms }).collect();
    rig.shard.order(rig.now, Order::Digits { leg: LegId(n), digits }, &mut rig.kept);
}

/// What a peer makes of the events that it was sent: digits with their milliseconds.
fn events(sent: &[Sent], clock: u32) -> Vec<(char, u32)> {
    let (mut receiver, mut told) = (Receiver::default(), Vec::new());
    for s in sent.iter().filter(|s| s.payload_type == EVENTS) {
        told.extend(receiver.receive(s.timestamp, Block::parse(&s.payload).unwrap()));
    }
    told.extend(receiver.finish());
    told.iter().map(|d| (d.digit, d.duration * 1_000 / clock)).collect()
}

/// Digits in the sound that a peer was sent.
fn tones(sent: &[Sent]) -> String {
    let (mut detector, mut told) = (Detector::new(), String::new());
    let mut decoder = opus::Decoder::new(opus::Rate::Hz8000);
    let mut wide = codecs::g722::Decoder::new();
    let mut half = codecs::resample::Decimator::new(codecs::resample::Ratio::Two);
    for s in sent {
        let mut sound = [0; 960];
        let samples = match s.payload_type {
            0 => g711::ulaw_decode_slice(&s.payload, &mut sound),
            8 => g711::alaw_decode_slice(&s.payload, &mut sound),
            9 => {
                let mut full = [0; 1_920];
                let len = wide.decode(&s.payload, &mut full);
                half.process(&full[..len], &mut sound)
            }
            111 => decoder.decode(Some(&s.payload), &mut sound).unwrap(),
            _ => continue,
        };
        detector.process(&sound[..samples], |event| {
            if let dtmf::Event::End { digit, .. } = event {
                told.push(digit);
            }
        });
    }
    told
}

/// One line: sequence numbers without a gap, timestamps that never fall behind but for an event's own.
#[track_caller]
fn is_one_line(sent: &[Sent]) {
    for w in sent.windows(2) {
        assert_eq!((w[1].sequence, w[1].ssrc), (w[0].sequence.wrapping_add(1), w[0].ssrc), "{w:?}");
    }
    let media: Vec<&Sent> = sent.iter().filter(|s| s.payload_type != EVENTS).collect();
    for w in media.windows(2) {
        assert!(w[1].timestamp.wrapping_sub(w[0].timestamp) < 48_000 * 60, "{w:?}");
    }
}

/// `peer(1)` says tones of 100 ms with pauses of 100, and speech-like noise before and after.
fn say_tones(rig: &mut Rig, digits: &str, format: Format) {
    let mut sound = vec![0; 1_600];
    for digit in digits.chars() {
        let mut tone = [0; 1_600];
        ToneGenerator::new(&dtmf::tone(digit, -10.0, 100, 100).unwrap(), 8_000).fill(&mut tone);
        sound.extend(tone);
    }
    sound.extend([0; 4_800]);
    let mut encoder = opus::Encoder::new(opus::Rate::Hz8000);
    for (n, frame) in sound.chunks_exact(160).enumerate() {
        let mut payload = vec![0; 400];
        let (len, clock) = match format.codec {
            Codec::Opus => (encoder.encode(frame, &mut payload).unwrap(), 48),
            Codec::Pcma => (g711::alaw_encode_slice(frame, &mut payload), 8),
            _ => (g711::ulaw_encode_slice(frame, &mut payload), 8),
        };
        let bytes = packet(format.payload_type, n as u16, n as u32 * 20 * clock, 0xa, &payload[..len]);
        rig.receive(1, peer(1), &bytes);
        rig.pass_ms(20);
    }
}

/// `peer(1)` speaks, and presses keys by RFC 4733 in between.
fn say_events(rig: &mut Rig, digits: &str, ms: u32, format: Format, clock: u32) {
    let media = format.codec.clock_rate();
    let (mut sequence, mut time) = (0u16, 0u32);
    for digit in digits.chars() {
        for _ in 0..5 {
            rig.receive(1, peer(1), &packet(format.payload_type, sequence, time, 0xa, &[0xff; 160]));
            (sequence, time) = (sequence.wrapping_add(1), time + media / 50);
            rig.pass_ms(20);
        }
        let begin = time;
        let mut sender = Sender::new(digit, ms * (clock / 1_000), (clock / 50) as u16).unwrap();
        while let Some(event) = sender.next_packet() {
            let timestamp = begin + event.timestamp_offset * (media / clock);
            rig.receive(1, peer(1), &packet(EVENTS, sequence, timestamp, 0xa, &event.payload));
            (sequence, time) = (sequence.wrapping_add(1), time + media / 50);
            rig.pass_ms(20);
        }
    }
    for _ in 0..10 {
        rig.receive(1, peer(1), &packet(format.payload_type, sequence, time, 0xa, &[0xff; 160]));
        (sequence, time) = (sequence.wrapping_add(1), time + media / 50);
        rig.pass_ms(20);
    }
}

fn told(rig: &mut Rig, method: Method) -> Vec<(char, u32)> {
    let digit = |e: Event| match e {
        Event::Digit { leg: LegId(1), digit, duration_ms, method: by } if by == method => Some((digit, duration_ms)),
        _ => None,
    };
    rig.events().into_iter().filter_map(digit).collect()
}

fn digits_of(events: &[(char, u32)]) -> String {
    events.iter().map(|d| d.0).collect()
}

#[test]
fn digits_go_out_as_events_between_what_is_relayed() {
    for format in [PCMU, OPUS] {
        let mut rig = Rig::bridged(format, format);
        let clock = format.codec.clock_rate();
        let mut sent = Vec::new();
        for n in 0..200u32 {
            if n == 50 {
                press(&mut rig, 2, "19x", 100);
                press(&mut rig, 2, "#", 1_500);
            }
            rig.say(1, format.payload_type, n as u16, n * clock / 50, 0xa);
            rig.pass_ms(20);
            sent.extend(rig.sent());
        }
        assert_eq!(events(&sent, clock), [('1', 100), ('9', 100), ('#', 1_500)], "{format:?}");
        is_one_line(&sent);
        // Three digits, each with one marker and three ends; speech before and after, none between.
        let marked = sent.iter().filter(|s| s.payload_type == EVENTS && s.marker).count();
        let ends = sent.iter().filter(|s| s.payload_type == EVENTS && s.payload[1] & 0x80 != 0).count();
        let first = sent.iter().position(|s| s.payload_type == EVENTS).unwrap();
        let last = sent.iter().rposition(|s| s.payload_type == EVENTS).unwrap();
        assert!((marked, ends, first) == (3, 9, 50) && sent[first..=last].iter().all(|s| s.payload_type == EVENTS));
        assert!(sent.len() > last + 40 && sent[last + 1].marker);
        let elapsed = sent[199.min(sent.len() - 1)].timestamp.wrapping_sub(sent[0].timestamp) / (clock / 1_000);
        assert!((3_900..4_000).contains(&elapsed), "the clock of speech goes on: {elapsed}");
    }
}

#[test]
fn digits_go_out_as_tones_in_every_codec() {
    for (speaks, hears) in
        [(PCMU, PCMU), (PCMA, PCMU), (PCMU, PCMA), (PCMU, G722), (PCMU, OPUS), (OPUS, OPUS), (G722, G722)]
    {
        let mut rig = Rig::bridged(speaks, hears);
        rig.set(2, LegState { dtmf_send: None, dtmf_receive: None, ..state(2, hears, Hears::Leg(LegId(1))) });
        let (mut sent, mut encoder) = (Vec::new(), codecs::g722::Encoder::new());
        for n in 0..150u32 {
            if n == 20 {
                press(&mut rig, 2, "159#0", 80);
            }
            let mut quiet = [0xff; 160];
            if speaks.codec == Codec::G722 {
                encoder.encode(&[0; 320], &mut quiet);
            }
            if speaks.codec != Codec::Opus {
                rig.receive(1, peer(1), &packet(speaks.payload_type, n as u16, n * 160, 0xa, &quiet));
            }
            rig.pass_ms(20);
            sent.extend(rig.sent());
        }
        assert_eq!(tones(&sent), "159#0", "{speaks:?} to {hears:?}");
        is_one_line(&sent);
    }
}

#[test]
fn tones_become_events_and_are_heard_by_nobody() {
    for (speaks, hears) in [(PCMU, PCMU), (PCMA, PCMU), (PCMU, OPUS), (OPUS, PCMA), (OPUS, OPUS)] {
        for tones_are in [Tones::Taken, Tones::Told, Tones::Passed] {
            let mut rig = Rig::bridged(speaks, hears);
            let talker = LegState {
                tones: tones_are,
                dtmf_send: None,
                dtmf_receive: None,
                ..state(1, speaks, Hears::Leg(LegId(2)))
            };
            rig.set(1, talker);
            say_tones(&mut rig, "0123456789*#ABCD", speaks);
            let told = told(&mut rig, Method::Inband);
            let sent = rig.sent();
            let what = format!("{speaks:?} to {hears:?}, {tones_are:?}");
            let expected = if tones_are == Tones::Passed { "" } else { "0123456789*#ABCD" };
            assert_eq!(digits_of(&told), expected, "{what}");
            assert!(told.iter().all(|d| (90..=110).contains(&d.1)), "{what}: {told:?}");
            let heard = if tones_are == Tones::Taken { "" } else { "0123456789*#ABCD" };
            assert_eq!(tones(&sent), heard, "{what}");
            is_one_line(&sent);
            assert_eq!(rig.close(1).digits as usize, expected.len());
        }
    }
}

#[test]
fn events_pass_between_any_two_clocks() {
    // From, its event clock, to, its event clock.
    for (speaks, from, hears, to) in [
        (PCMU, 8_000, PCMU, 8_000),
        (PCMU, 8_000, OPUS, 48_000),
        (OPUS, 48_000, PCMU, 8_000),
        (OPUS, 48_000, OPUS, 48_000),
        (OPUS, 8_000, OPUS, 48_000),
        (OPUS, 48_000, OPUS, 8_000),
        (G722, 8_000, OPUS, 48_000),
    ] {
        // A clock that is not the media's cannot say of timestamps which of both they count.
        let longest = if speaks.codec.clock_rate() == from { 9_000 } else { 1_300 };
        for ms in [60, 100, 1_300, longest] {
            let mut rig = Rig::new();
            rig.open(1);
            rig.set(1, LegState { dtmf_clock: from, ..state(1, speaks, Hears::Leg(LegId(2))) });
            rig.open(2);
            rig.set(2, LegState { dtmf_clock: to, ..state(2, hears, Hears::Leg(LegId(1))) });
            say_events(&mut rig, "55#", ms, speaks, from);
            let what = format!("{speaks:?} {from} to {hears:?} {to}, {ms} ms");
            assert_eq!(told(&mut rig, Method::Rfc4733), ['5', '5', '#'].map(|d| (d, ms)), "{what}");
            let sent = rig.sent();
            // A timestamp of a later segment is in the media's clock.
            let told = events(&sent, to);
            assert_eq!(digits_of(&told), "55#", "{what}");
            if speaks.codec.clock_rate() == from && hears.codec.clock_rate() == to {
                assert_eq!(told, ['5', '5', '#'].map(|d| (d, ms)), "{what}");
            }
            is_one_line(&sent[5..]);
        }
    }
}

#[test]
fn who_can_be_sent_nothing_is_sent_no_digits_and_hears_again_when_it_can() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let held = LegState { sending: false, ..state(2, PCMU, Hears::Leg(LegId(1))) };
    rig.set(2, held);
    press(&mut rig, 2, "123", 100);
    rig.pass_ms(500);
    assert_eq!(rig.sent(), []);
    rig.set(2, state(2, PCMU, Hears::Leg(LegId(1))));
    rig.say(1, 0, 1, 160, 0xa);
    assert_eq!(rig.sent().len(), 1);
    let opaque = Format { codec: Codec::Opaque { clock_rate: 8_000 }, payload_type: 18 };
    let mut rig = Rig::bridged(opaque, opaque);
    rig.set(2, LegState { dtmf_send: None, ..state(2, opaque, Hears::Leg(LegId(1))) });
    press(&mut rig, 2, "123", 100);
    rig.pass_ms(500);
    rig.say(1, 18, 1, 160, 0xa);
    assert_eq!(rig.sent().len(), 1, "no tone in a codec that we do not speak");
}

/// The loudest 10 ms at any of the eight frequencies, in dB below what the peer sent.
fn loudest(sound: &[i16]) -> f64 {
    let mut most: f64 = 0.0;
    for window in sound.chunks_exact(80) {
        for hz in [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0_f64] {
            let part = |f: fn(f64) -> f64| -> f64 {
                let turn = |n: usize| f(std::f64::consts::TAU * hz * n as f64 / 8_000.0);
                window.iter().enumerate().map(|(n, s)| f64::from(*s) * turn(n)).sum()
            };
            most = most.max(part(f64::sin).hypot(part(f64::cos)) / 40.0);
        }
    }
    // A tone of −10 dBm0 has an amplitude of 0.22 of the full scale, −3.14 dBm0 being a sine of it.
    20.0 * ((most + 0.1) / (0.32 * 32_768.0)).log10()
}

#[test]
fn of_a_sealed_leg_nobody_hears_even_the_onset_of_a_tone_nor_gets_an_event() {
    let decoded = |packets: &mut dyn Iterator<Item = (u8, Vec<u8>)>| {
        let mut opus = opus::Decoder::new(opus::Rate::Hz8000);
        let mut all = Vec::new();
        for (codec, payload) in packets {
            let mut sound = [0; 960];
            let samples = match codec {
                0 => g711::ulaw_decode_slice(&payload, &mut sound),
                8 => g711::alaw_decode_slice(&payload, &mut sound),
                _ => opus.decode(Some(&payload), &mut sound).unwrap(),
            };
            all.extend_from_slice(&sound[..samples]);
        }
        all
    };
    for (speaks, hears) in [(PCMU, PCMU), (PCMA, PCMU), (PCMU, OPUS), (OPUS, PCMA), (OPUS, OPUS)] {
        for tones_are in [Tones::Told, Tones::Sealed] {
            let mut rig = Rig::bridged(speaks, hears);
            let tap = Some(tandem::media::command::TapId(1));
            rig.set(1, LegState { tones: tones_are, tap, ..state(1, speaks, Hears::Leg(LegId(2))) });
            say_tones(&mut rig, "4111111111111111", speaks);
            let what = format!("{speaks:?} to {hears:?}, {tones_are:?}");
            assert_eq!(digits_of(&told(&mut rig, Method::Inband)), "4111111111111111", "{what}");
            let tapped = std::mem::take(&mut rig.kept.tapped);
            let sent = rig.sent();
            let heard = decoded(&mut sent.iter().map(|s| (s.payload_type, s.payload.clone())));
            let taken = decoded(&mut tapped.iter().map(|f| (speaks.payload_type, f.payload().to_vec())));
            for (whose, sound) in [("other leg", heard), ("recorder", taken)] {
                assert!(sound.len() > 20_000, "{what}, {whose}: it hears the silence between");
                let db = loudest(&sound);
                // What a codec's decoder makes of silence after sound is below −40 dB; without the seal the tone is there.
                assert_eq!(db < -40.0, tones_are == Tones::Sealed, "{what}, {whose}: {db:.1} dB");
            }
            is_one_line(&sent);
        }
    }
    let mut rig = Rig::bridged(PCMU, PCMU);
    rig.set(1, LegState { tones: Tones::Sealed, ..state(1, PCMU, Hears::Leg(LegId(2))) });
    say_events(&mut rig, "4111", 100, PCMU, 8_000);
    assert_eq!(digits_of(&told(&mut rig, Method::Rfc4733)), "4111");
    let sent = rig.sent();
    assert!(sent.len() > 20 && sent.iter().all(|s| s.payload_type != EVENTS));
}
