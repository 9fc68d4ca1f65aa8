//! Sound that the shard makes: cadence, samples, frequencies; what happens to it when the state changes or time is short.

use crate::rig::{PCMA, PCMU, Rig, Sent, peer, state};
use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem::base::time::Instant;
use tandem::media::command::{Codec, Event, Format, Hears, LegId, PlayId, Tone};
use tandem::media::player::{Player, Prompt};
use tandem::media::shard::Order;

fn prompt(len: i16) -> Arc<Prompt> {
    Arc::new(Prompt { samples: (0..len).map(|n| n.wrapping_mul(17)).collect() })
}

fn play(id: u64) -> Hears {
    Hears::Play { id: PlayId(id), file: "a.wav".into(), loops: 1 }
}

fn tone(id: u64) -> Hears {
    Hears::Tone { id: PlayId(id), tone: Tone::Ringback, country: "us".into(), duration: None }
}

fn ended(id: u64, played: bool) -> Event {
    Event::PlayEnded { leg: LegId(1), id: PlayId(id), played }
}

fn samples(sent: &[Sent]) -> Vec<i16> {
    sent.iter().flat_map(|s| s.payload.iter().map(|c| codecs::g711::ulaw_decode(*c))).collect()
}

/// Level of one frequency in dBm0 (ITU-T G.711: a full-scale sine of µ-law is +3.17 dBm0).
fn level_dbm0(samples: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, s) in samples.iter().enumerate() {
        let angle = TAU * hz * n as f64 / 8_000.0;
        re += f64::from(*s) * angle.cos();
        im += f64::from(*s) * angle.sin();
    }
    let amplitude = 2.0 * re.hypot(im) / samples.len() as f64;
    20.0 * (amplitude / 32_124.0).max(1e-9).log10() + 3.17
}

#[test]
fn a_prompt_sounds_whole_in_exact_cadence() {
    for (ptime_ms, len) in [(20, 160), (10, 80), (30, 240), (60, 480), (0, 160)] {
        let mut rig = Rig::new();
        rig.open(1);
        let mut playing = state(1, PCMU, play(1));
        playing.ptime_ms = ptime_ms;
        rig.play(1, playing, Player::prompt(prompt(2_400), 1));
        let mut at = Vec::new();
        let mut sent = Vec::new();
        while rig.now < Instant::from_micros(2_000_000) {
            rig.pass(Duration::from_micros(500));
            let now = rig.sent();
            at.extend(now.iter().map(|_| rig.now.as_micros()));
            sent.extend(now);
        }
        assert_eq!(sent.len(), 2_400 / len, "ptime {ptime_ms}");
        let period_us = len as u64 * 125;
        assert!(at.windows(2).all(|w| w[1] - w[0] == period_us), "ptime {ptime_ms}: {at:?}");
        for (n, packet) in sent.iter().enumerate() {
            assert_eq!(packet.sequence, sent[0].sequence.wrapping_add(n as u16));
            assert_eq!(packet.timestamp, sent[0].timestamp.wrapping_add((n * len) as u32));
            assert_eq!((packet.marker, packet.payload.len(), packet.to), (n == 0, len, peer(1)));
        }
        let expected: Vec<u8> = prompt(2_400).samples.iter().map(|s| codecs::g711::ulaw_encode(*s)).collect();
        assert!(sent.iter().flat_map(|s| &s.payload).eq(&expected), "ptime {ptime_ms}");
        assert_eq!(rig.events(), [ended(1, true)]);
    }
}

#[test]
fn many_prompts_are_spread_over_the_period() {
    let mut rig = Rig::new();
    for n in 1..=40 {
        rig.open(n);
        rig.play(n, state(n as u16, PCMA, play(n)), Player::prompt(prompt(8_000), 1));
    }
    rig.pass_ms(100);
    rig.sent();
    let mut counts = Vec::new();
    for _ in 0..8 {
        rig.pass_ms(5);
        counts.push(rig.sent().len());
    }
    assert_eq!(counts, [10; 8]);
}

#[test]
fn tones_have_their_countrys_frequencies_and_cadence() {
    for (country, name, present, absent) in [
        ("us", "ringback", vec![440.0, 480.0], vec![425.0, 620.0]),
        ("us", "busy", vec![480.0, 620.0], vec![440.0, 350.0]),
        ("de", "busy", vec![425.0], vec![480.0, 620.0]),
    ] {
        let spec = codecs::tone::by_name(country, name).unwrap();
        let mut rig = Rig::new();
        rig.open(1);
        rig.play(1, state(1, PCMU, tone(1)), Player::tone(&spec, None));
        rig.pass_ms(10_000);
        let heard = samples(&rig.sent());
        let on = spec.segments()[0].on_ms as usize * 8;
        let off = spec.segments()[0].off_ms as usize * 8;
        let window = &heard[on / 4..on / 4 + on / 2];
        for hz in present {
            let level = level_dbm0(window, hz);
            let expected = f64::from(spec.segments()[0].level_dbm0);
            assert!((level - expected).abs() < 1.0, "{country} {name} {hz}: {level}");
        }
        for hz in absent {
            assert!(level_dbm0(window, hz) < -40.0, "{country} {name} {hz}: {}", level_dbm0(window, hz));
        }
        let pause = &heard[on + off / 4..on + off / 2];
        assert!(pause.iter().all(|s| s.abs() < 16), "{country} {name}");
        let again = &heard[on + off + on / 4..on + off + on / 2];
        assert!(again.iter().any(|s| s.abs() > 500), "{country} {name}");
    }
}

#[test]
fn silence_is_silence() {
    let mut rig = Rig::new();
    rig.open(1);
    rig.set(1, state(1, PCMA, Hears::Silence));
    rig.pass_ms(1_000);
    let sent = rig.sent();
    assert!((49..=50).contains(&sent.len()) && sent.iter().all(|s| s.payload == [0xd5; 160] && s.payload_type == 8));
}

#[test]
fn a_playing_outlives_a_new_state_that_names_it_and_ends_with_one_that_does_not() {
    let mut rig = Rig::new();
    rig.open(1);
    rig.play(1, state(1, PCMU, play(1)), Player::prompt(prompt(1_600), 1));
    rig.pass_ms(110);
    // Re-INVITE: another address and codec; the engine made another player for the same playing.
    let mut moved = state(1, PCMA, play(1));
    moved.remote_rtp = Some(peer(9));
    rig.play(1, moved.clone(), Player::prompt(prompt(1_600), 1));
    rig.pass_ms(200);
    let sent = rig.sent();
    assert_eq!(sent.len(), 10, "1,600 samples in all");
    assert_eq!((sent[4].payload_type, sent[9].payload_type, sent[9].to), (0, 8, peer(9)));
    assert!(sent.windows(2).all(|w| w[1].timestamp == w[0].timestamp.wrapping_add(160)));
    let last: Vec<u8> = prompt(1_600).samples[1_440..].iter().map(|s| codecs::g711::alaw_encode(*s)).collect();
    assert_eq!(sent[9].payload, last);
    assert_eq!(rig.events(), [ended(1, true)]);
    // It has ended: naming it once more does not start it again.
    rig.play(1, moved, Player::prompt(prompt(1_600), 1));
    rig.pass_ms(200);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    // Another one is cut off by silence, and is not told as ended.
    rig.play(1, state(1, PCMU, play(2)), Player::prompt(prompt(1_600), 1));
    rig.pass_ms(60);
    rig.set(1, state(1, PCMU, Hears::Silence));
    rig.pass_ms(400);
    assert_eq!(rig.events(), []);
}

#[test]
fn what_cannot_be_played_ends_at_once() {
    let opus = Format { codec: Codec::Opaque { clock_rate: 48_000 }, payload_type: 96 };
    let mut rig = Rig::new();
    rig.open(1);
    rig.play(1, state(1, opus, play(1)), Player::prompt(prompt(160), 1));
    rig.pass_ms(100);
    rig.play(1, state(1, PCMU, play(2)), Player::missing());
    rig.pass_ms(100);
    rig.play(1, state(1, PCMU, play(3)), Player::waiting(1));
    rig.pass_ms(100);
    rig.shard.order(rig.now, Order::Load { leg: LegId(1), id: PlayId(2), prompt: Some(prompt(160)) }, &mut rig.kept);
    rig.pass_ms(100);
    assert_eq!(rig.events(), [ended(1, false), ended(2, false)]);
    assert_eq!(rig.sent(), []);
    rig.shard.order(rig.now, Order::Load { leg: LegId(1), id: PlayId(3), prompt: Some(prompt(160)) }, &mut rig.kept);
    rig.pass_ms(100);
    assert_eq!((rig.sent().len(), rig.events()), (1, vec![ended(3, true)]));
}

#[test]
fn a_prompt_waits_for_the_negotiation_but_not_for_one_who_holds() {
    let mut rig = Rig::new();
    rig.open(1);
    let mut early = state(1, PCMU, play(1));
    early.remote_rtp = None;
    rig.play(1, early, Player::prompt(prompt(800), 1));
    rig.pass_ms(1_000);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![]));
    let mut held = state(1, PCMU, play(1));
    held.sending = false;
    rig.play(1, held, Player::default());
    rig.pass_ms(200);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![ended(1, true)]));
    // The old way of holding: an address that nothing is sent to (RFC 3264 §8.4).
    let mut held = state(1, PCMU, play(2));
    held.remote_rtp = Some(SocketAddr::from(([0, 0, 0, 0], 10_001)));
    rig.play(1, held, Player::prompt(prompt(800), 1));
    rig.pass_ms(200);
    assert_eq!((rig.sent(), rig.events()), (vec![], vec![ended(2, true)]));
}

#[test]
fn late_ticks_are_skipped_and_counted_and_never_burst() {
    let mut rig = Rig::new();
    rig.open(1);
    rig.play(1, state(1, PCMU, play(1)), Player::prompt(prompt(16_000), 1));
    rig.pass_ms(100);
    let before = rig.sent();
    // The thread did not run for a tenth of a second.
    rig.now += Duration::from_millis(100);
    let now = rig.now;
    rig.shard.tick(now, &mut rig.kept);
    let after = rig.sent();
    assert_eq!(after.len(), 1, "one packet, not five");
    assert_eq!(rig.shard.stats().ticks_late, 4);
    rig.pass_ms(100);
    let rest = rig.sent();
    assert_eq!(rest.len(), 5);
    let last = before.last().unwrap();
    assert_eq!(after[0].sequence, last.sequence.wrapping_add(1));
    assert_eq!(after[0].timestamp, last.timestamp.wrapping_add(800), "the clock went on");
    let heard = samples(&[before, after, rest].concat());
    let expected: Vec<i16> =
        prompt(16_000).samples.iter().map(|s| codecs::g711::ulaw_decode(codecs::g711::ulaw_encode(*s))).collect();
    assert!(heard == expected[..heard.len()], "nothing of the prompt is left out");
}
