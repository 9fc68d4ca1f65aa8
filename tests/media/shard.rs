//! A shard in simulated time: what is relayed, to whom, under which numbers; what is told.

use crate::rig::{EVENTS, PCMA, PCMU, Rig, Sent, packet, peer, state};
use std::time::Duration;
use tandem::media::command::{Codec, Event, Format, Hears, LegId, LegState, Method, TapId};
use tandem::media::tap::Track;
use tandem::rtp::rtcp::{self, Packet, Report, SenderInfo};
use tandem::rtp::telephone_event::Block;

/// Sequence and timestamp from the first packet's on, marker.
fn numbers(sent: &[Sent]) -> Vec<(u16, u32, bool)> {
    let first = sent.first().expect("something was sent");
    sent.iter()
        .map(|s| (s.sequence.wrapping_sub(first.sequence), s.timestamp.wrapping_sub(first.timestamp), s.marker))
        .collect()
}

#[test]
fn packets_are_relayed_on_receipt_under_our_own_numbers() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    rig.say(1, 0, 65_535, 4_000, 0xaaaa);
    let sent = rig.sent();
    let [first] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((first.port, first.to, first.payload_type, first.marker), (2, peer(2), 0, true));
    assert_eq!(first.payload, [0x55; 160]);
    assert_ne!(first.ssrc, 0xaaaa);
    rig.say(2, 0, 5, 6, 0xbbbb);
    let back = rig.sent();
    assert_eq!((back[0].port, back[0].to), (1, peer(1)));
    assert!(back[0].ssrc != first.ssrc && back[0].ssrc != 0xbbbb);
}

#[test]
fn a_tap_has_what_its_leg_says_and_hears_and_nothing_of_the_other_one() {
    let mut rig = Rig::bridged(PCMU, PCMA);
    rig.set(1, LegState { tap: Some(TapId(9)), ..state(1, PCMU, Hears::Leg(LegId(2))) });
    rig.receive(1, peer(1), &packet(0, 7, 700, 0xaa, &[1; 160]));
    rig.receive(2, peer(2), &packet(8, 8, 800, 0xbb, &[2; 160]));
    let digit = Block { event: 1, end: false, volume: 10, duration: 160 }.to_bytes();
    rig.receive(1, peer(1), &packet(EVENTS, 8, 860, 0xaa, &digit));
    rig.receive(2, peer(2), &packet(EVENTS, 9, 960, 0xbb, &digit));
    let (sent, frames) = (rig.sent(), std::mem::take(&mut rig.kept.tapped));
    let told: Vec<_> = frames.iter().map(|f| (f.label.tap, f.label.track, f.label.codec, f.payload()[0])).collect();
    let heard = sent.iter().find(|s| s.port == 1 && s.payload_type == 0).expect("the leg hears the other one");
    let tap = TapId(9);
    assert_eq!(told, [(tap, Track::In, Codec::Pcmu, 1), (tap, Track::Out, Codec::Pcmu, heard.payload[0])]);
    assert_eq!((frames[0].label.sequence, frames[0].label.timestamp, frames[0].label.ssrc), (7, 700, 0xaa));
    assert_eq!((frames[1].label.timestamp, frames[1].label.ssrc), (heard.timestamp, heard.ssrc));
    rig.set(1, LegState { tap: Some(TapId(10)), ..state(1, PCMU, Hears::Silence) });
    rig.pass_ms(100);
    assert!(rig.kept.tapped.len() >= 4 && rig.kept.tapped.iter().all(|f| f.label.tap == TapId(10)));
    rig.set(1, state(1, PCMU, Hears::Silence));
    rig.kept.tapped.clear();
    rig.pass_ms(100);
    assert_eq!(rig.kept.tapped.len(), 0);
}

#[test]
fn the_line_is_continuous_across_sources_and_reinvites() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    for n in 0..3u16 {
        rig.say(1, 0, 100 + n, u32::from(n) * 160, 0xa);
        rig.pass_ms(20);
    }
    // The peer's stream starts again under another SSRC, as after a transfer behind it; one packet of it is lost.
    for n in [0u16, 1, 3] {
        rig.say(1, 0, 9_000 + n, 77_000 + u32::from(n) * 160, 0xb);
        rig.pass_ms(if n == 1 { 40 } else { 20 });
    }
    // Re-INVITE: another address of the peer, and another payload type towards the listener.
    let mut moved = state(1, PCMU, Hears::Leg(LegId(2)));
    moved.remote_rtp = Some(peer(50));
    rig.set(1, moved);
    rig.set(2, state(2, Format { codec: Codec::Pcmu, payload_type: 96 }, Hears::Leg(LegId(1))));
    for n in 0..2u16 {
        rig.receive(1, peer(50), &packet(0, 7 + n, u32::from(n) * 160, 0xc, &[1; 160]));
        rig.pass_ms(20);
    }
    let sent = rig.sent();
    let expected = [
        (0, 0, true),
        (1, 160, false),
        (2, 320, false),
        (3, 480, true),
        (4, 640, false),
        (6, 960, false),
        (7, 1_120, true),
        (8, 1_280, false),
    ];
    assert_eq!(numbers(&sent), expected);
    assert!(sent.iter().all(|s| s.ssrc == sent[0].ssrc));
    assert_eq!(sent.iter().map(|s| s.payload_type).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 96, 96]);
    let told = rig.events();
    let latched = |n| Event::Latched { leg: LegId(1), source: peer(n) };
    assert_eq!(told, [latched(1), latched(50)]);
    assert_eq!(rig.close(1).packets_lost, 1);
}

#[test]
fn a_foreign_source_is_refused_counted_and_told_once() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let stranger = peer(66);
    rig.say(1, 0, 1, 160, 0xa);
    for n in 0..5 {
        rig.receive(1, stranger, &packet(0, n, 0, 0xbad, &[0; 160]));
    }
    rig.receive(1, peer(1), b"not rtp");
    rig.receive(1, peer(1), &packet(77, 2, 0, 0xa, &[0; 160]));
    assert_eq!(rig.sent().len(), 1);
    let latched = Event::Latched { leg: LegId(1), source: peer(1) };
    assert_eq!(rig.events(), [latched, Event::Refused { leg: LegId(1), source: stranger }]);
    // Packets go where the peer really is, also while it says nothing.
    rig.set(2, state(2, PCMU, Hears::Leg(LegId(1))));
    rig.receive(2, peer(99), &packet(0, 1, 0, 0xb, &[0; 160]));
    rig.say(1, 0, 2, 320, 0xa);
    let to: Vec<_> = rig.sent().iter().map(|s| s.to).collect();
    assert_eq!(to, [peer(1), peer(99)]);
    let quality = rig.close(1);
    assert_eq!((quality.packets_refused, quality.packets_received), (7, 2));
}

#[test]
fn datagrams_pass_as_they_are_between_legs_that_both_pass_them() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let fax = |n, other| LegState { datagrams: true, ..state(n, PCMU, Hears::Leg(LegId(other))) };
    let udptl = [0x00, 0x01, 0x06, 0x11, 0xd0, 0x00];
    rig.set(1, fax(1, 2));
    rig.receive(1, peer(1), &udptl);
    assert_eq!(rig.datagrams(), [], "the other side still speaks");
    rig.set(2, fax(2, 1));
    rig.receive(1, peer(1), &udptl);
    rig.receive(2, peer(2), &[0x80; 40]);
    rig.receive_rtcp(2, peer(2), &udptl);
    (0..3).for_each(|_| rig.receive(1, peer(66), &udptl));
    assert_eq!(rig.datagrams(), [(peer(2), udptl.to_vec()), (peer(1), vec![0x80; 40])]);
    rig.pass_ms(20_000);
    assert_eq!(rig.datagrams(), [], "nothing is made, and no report sent");
    rig.set(1, state(1, PCMU, Hears::Leg(LegId(2))));
    rig.set(2, state(2, PCMU, Hears::Leg(LegId(1))));
    rig.say(1, 0, 9, 1_440, 0xa);
    assert_eq!(rig.sent().len(), 1, "and speech again");
}

#[test]
fn payload_types_are_those_that_each_side_negotiated() {
    let opus = |payload_type| Format { codec: Codec::Opaque { clock_rate: 48_000 }, payload_type };
    let mut rig = Rig::bridged(opus(111), opus(96));
    let mut two = state(2, opus(96), Hears::Leg(LegId(1)));
    two.dtmf_send = Some(97);
    rig.set(2, two.clone());
    rig.say(1, 111, 1, 960, 0xa);
    rig.receive(1, peer(1), &packet(EVENTS, 2, 1_920, 0xa, &[1, 10, 0, 160]));
    assert_eq!(rig.sent().iter().map(|s| s.payload_type).collect::<Vec<_>>(), [96, 97]);
    // No payload type for events on the other side, no common codec: nothing is sent.
    two.dtmf_send = None;
    two.send = Some(PCMU);
    rig.set(2, two);
    rig.say(1, 111, 3, 2_880, 0xa);
    rig.receive(1, peer(1), &packet(EVENTS, 4, 3_840, 0xa, &[1, 10, 0, 160]));
    assert_eq!(rig.sent(), []);
}

#[test]
fn the_two_laws_are_transcoded_sample_by_sample() {
    let mut rig = Rig::bridged(PCMU, PCMA);
    let every: Vec<u8> = (0..=255).collect();
    rig.receive(1, peer(1), &packet(0, 1, 0, 0xa, &every));
    rig.receive(2, peer(2), &packet(8, 1, 0, 0xb, &every));
    let sent = rig.sent();
    assert_eq!((sent[0].port, sent[0].payload_type, sent[1].port, sent[1].payload_type), (2, 8, 1, 0));
    let codes = |payload: &[u8], by: fn(u8) -> u8| payload.iter().zip(&every).filter(|(a, b)| **a != by(**b)).count();
    assert_eq!(codes(&sent[0].payload, codecs::g711::ulaw_to_alaw), 0);
    assert_eq!(codes(&sent[1].payload, codecs::g711::alaw_to_ulaw), 0);
    // And heard: no sample is off by more than the coarser step of the two laws at its level.
    for (n, (a, u)) in sent[0].payload.iter().zip(&sent[1].payload).enumerate() {
        let pairs = [
            (codecs::g711::alaw_decode(*a), codecs::g711::ulaw_decode(n as u8)),
            (codecs::g711::ulaw_decode(*u), codecs::g711::alaw_decode(n as u8)),
        ];
        for (heard, said) in pairs.map(|(h, s)| (i32::from(h), i32::from(s))) {
            assert!((heard - said).abs() <= said.abs() / 16 + 16, "{n}: {said} became {heard}");
        }
    }
}

#[test]
fn several_hear_one_each_in_its_codec_and_one_may_hear_what_opens_later() {
    let mut rig = Rig::new();
    for (n, format) in [(2u64, PCMA), (3, PCMU), (4, PCMA)] {
        rig.open(n);
        rig.set(n, state(n as u16, format, Hears::Leg(LegId(1))));
    }
    rig.open(1);
    rig.set(1, state(1, PCMU, Hears::Nothing));
    rig.say(1, 0, 1, 0, 0xa);
    let mut heard: Vec<(u32, u8)> = rig.sent().iter().map(|s| (s.port, s.payload[0])).collect();
    heard.sort_unstable();
    let alaw = codecs::g711::ulaw_to_alaw(0x55);
    assert_eq!(heard, [(2, alaw), (3, 0x55), (4, alaw)]);
    // The one in the middle turns away, one is closed; the others still hear.
    rig.set(3, state(3, PCMU, Hears::Nothing));
    rig.close(4);
    rig.say(1, 0, 2, 160, 0xa);
    assert_eq!(rig.sent().iter().map(|s| s.port).collect::<Vec<_>>(), [2]);
    // Who spoke is closed and a new leg takes its place: it is another one.
    rig.close(1);
    rig.open(9);
    rig.set(9, state(9, PCMU, Hears::Nothing));
    rig.say(9, 0, 1, 0, 0xa);
    assert_eq!(rig.sent(), []);
    rig.set(2, state(2, PCMA, Hears::Leg(LegId(9))));
    rig.say(9, 0, 2, 160, 0xa);
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn an_echo_answers_and_directions_hold() {
    let mut rig = Rig::new();
    rig.open(1);
    let echo = state(1, PCMU, Hears::Echo);
    rig.set(1, echo.clone());
    rig.say(1, 0, 1, 0, 0xa);
    let sent = rig.sent();
    assert_eq!((sent.len(), sent[0].port, sent[0].to), (1, 1, peer(1)));
    let mut held = echo.clone();
    held.sending = false;
    rig.set(1, held);
    rig.say(1, 0, 2, 160, 0xa);
    assert_eq!(rig.sent(), []);
    let mut deaf = echo.clone();
    deaf.receiving = false;
    rig.set(1, deaf);
    for n in 3..500 {
        rig.say(1, 0, n, 160, 0xa);
    }
    assert_eq!(rig.sent(), []);
    rig.set(1, echo);
    rig.say(1, 0, 500, 160, 0xa);
    assert_eq!(rig.sent().len(), 1);
    let quality = rig.close(1);
    assert_eq!((quality.packets_received, quality.packets_lost), (3, 0), "what was not wanted is not lost");
}

#[test]
fn a_digit_is_told_once_and_passes_with_its_retransmissions() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let event = |end, duration| Block { event: 5, end, volume: 10, duration }.to_bytes();
    let mut sequence = 0;
    for (timestamp, end, duration) in [(800, false, 160), (800, false, 320), (800, true, 480), (800, true, 480)] {
        sequence += 1;
        rig.receive(1, peer(1), &packet(EVENTS, sequence, timestamp, 0xa, &event(end, duration)));
    }
    let digit = |duration_ms| Event::Digit { leg: LegId(1), digit: '5', duration_ms, method: Method::Rfc4733 };
    assert_eq!(rig.events()[1..], [digit(60)]);
    let sent = rig.sent();
    assert_eq!(sent.len(), 4);
    assert!(sent.iter().all(|s| s.payload_type == EVENTS && s.timestamp == sent[0].timestamp && s.port == 2));
    // The end packets are lost: the digit is over after a while.
    rig.receive(1, peer(1), &packet(EVENTS, 5, 3_000, 0xa, &event(false, 800)));
    assert_eq!(rig.events(), []);
    rig.pass_ms(400);
    assert_eq!(rig.events(), [digit(100)]);
    assert_eq!(rig.close(1).digits, 2);
}

#[test]
fn the_peers_silence_is_told_once_and_only_while_it_is_to_speak() {
    let mut rig = Rig::new();
    rig.open(1);
    let mut listening = state(1, PCMU, Hears::Silence);
    listening.rtp_timeout = Some(Duration::from_secs(10));
    rig.set(1, listening.clone());
    rig.pass_ms(9_000);
    rig.say(1, 0, 1, 0, 0xa);
    let unheard = || Event::Unheard { leg: LegId(1) };
    let before = [unheard(), Event::Latched { leg: LegId(1), source: peer(1) }];
    assert_eq!(rig.events(), before, "silent from the begin");
    rig.pass_ms(9_900);
    assert_eq!(rig.events(), [unheard()], "and again after it has spoken");
    rig.pass_ms(300);
    assert_eq!(rig.events(), [Event::Timeout { leg: LegId(1) }]);
    rig.pass_ms(60_000);
    assert_eq!(rig.events(), []);

    let mut rig = Rig::new();
    rig.open(1);
    let mut held = listening.clone();
    held.receiving = false;
    rig.set(1, held);
    rig.pass_ms(60_000);
    assert_eq!(rig.events(), []);
    rig.set(1, listening);
    rig.pass_ms(9_900);
    assert_eq!(rig.events(), [unheard()], "counted from the moment at which it is to speak");
    rig.pass_ms(300);
    assert_eq!(rig.events(), [Event::Timeout { leg: LegId(1) }]);
}

/// The reports to one port: when, and their packets in short.
fn reports(rig: &mut Rig, port: u32) -> Vec<Vec<u8>> {
    rig.kept.rtcp.drain(..).filter(|r| r.0 == port).map(|r| r.2).collect()
}

#[test]
fn reports_carry_our_counts_our_clock_and_what_we_received() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let mut sent = Vec::new();
    let mut written = Vec::new();
    // Leg 1's peer speaks for a minute and loses every tenth packet on the way to us.
    for n in 0..3_000u32 {
        if n % 10 != 9 {
            rig.say(1, 0, n as u16, n * 160, 0xa);
        }
        rig.pass_ms(20);
        sent.extend(rig.sent());
        let now = rig.now;
        written.extend(rig.kept.rtcp.drain(..).map(|r| (now, r)));
    }
    let (to_speaker, to_listener): (Vec<_>, Vec<_>) = written.into_iter().partition(|(_, r)| r.0 == 1);
    assert!((7..=24).contains(&to_speaker.len()) && (7..=24).contains(&to_listener.len()));
    assert!(to_speaker.iter().all(|(_, r)| r.1.port() == peer(1).port() + 1));

    // Towards the listener we are a sender: our counts, and the timestamp that our line has at the NTP time.
    let (at, (_, _, bytes)) = to_listener.last().unwrap();
    let Some(Packet::SenderReport { ssrc, info, mut blocks }) = rtcp::parse(bytes).unwrap().next() else { panic!() };
    assert_eq!((ssrc, blocks.next()), (sent[0].ssrc, None));
    let ntp_us = ((u128::from(info.ntp) * 1_000_000) >> 32) as i64 - 2_208_988_800_000_000;
    let wall_us = crate::rig::WALL.as_micros() + at.as_micros() as i64;
    assert!((wall_us - 20_001..=wall_us).contains(&ntp_us), "{ntp_us} {wall_us}");
    let since_us = ntp_us - crate::rig::WALL.as_micros() - 1_000_000;
    let on_line = sent[0].timestamp.wrapping_add((since_us * 8 / 1_000) as u32);
    assert!(info.timestamp.wrapping_sub(on_line).wrapping_add(8) <= 16, "{} {on_line}", info.timestamp);
    assert_eq!(info.octets, info.packets * 160);

    // Towards the speaker we are a receiver: its loss.
    let (_, (_, _, bytes)) = to_speaker.last().unwrap();
    let Some(Packet::ReceiverReport { mut blocks, .. }) = rtcp::parse(bytes).unwrap().next() else { panic!() };
    let block = blocks.next().unwrap();
    assert_eq!((block.ssrc, block.last_report), (0xa, 0));
    assert!((24..=27).contains(&block.fraction_lost) && (250..=300).contains(&block.lost), "{block:?}");
    assert!(block.jitter < 16, "{block:?}");
}

#[test]
fn what_the_peer_reports_is_in_the_account_and_bye_ends_it() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    for n in 0..500u32 {
        rig.say(2, 0, n as u16, n * 160, 0xb);
        rig.pass_ms(20);
    }
    let ours = rig.sent().last().unwrap().ssrc;
    let report = reports(&mut rig, 1).pop().unwrap();
    let Some(Packet::SenderReport { info, .. }) = rtcp::parse(&report).unwrap().next() else { panic!() };
    // The peer of leg 1 answers: it lost 12 of ours, and held our report for a second; the way there and back took 80 ms.
    let waited = rig.now.as_micros() as i64;
    let ntp_us = ((u128::from(info.ntp) * 1_000_000) >> 32) as i64 - 2_208_988_800_000_000;
    let sent_at = ntp_us - crate::rig::WALL.as_micros();
    rig.pass(Duration::from_micros((sent_at + 1_080_000 - waited).max(0) as u64));
    let late = (rig.now.as_micros() as i64 - sent_at - 80_000) as u64;
    let block = rtcp::Block {
        ssrc: ours,
        fraction_lost: 6,
        lost: 12,
        sequence_max: 1,
        jitter: 40,
        last_report: rtcp::middle(info.ntp),
        delay: rtcp::to_65536ths(late),
    };
    let info = SenderInfo { ntp: 0x0001_0002_0003_0004, ..SenderInfo::default() };
    let mut buffer = [0; rtcp::REPORT_LEN_MAX];
    let bytes =
        Report { ssrc: 0xa, sender: Some(info), block: Some(block), cname: b"x", bye: false }.write(&mut buffer);
    let stranger = std::net::SocketAddr::from(([198, 51, 100, 9], 9));
    rig.receive_rtcp(1, stranger, bytes);
    rig.receive_rtcp(1, peer(77), bytes);
    rig.kept.rtcp.clear();
    let quality = rig.close(1);
    assert_eq!((quality.remote_lost, quality.remote_jitter_ms, quality.packets_refused), (Some(12), Some(5.0), 1));
    let round_trip = quality.round_trip_ms.unwrap();
    assert!((79.9..80.1).contains(&round_trip), "{round_trip}");
    // The last report goes where the peer's came from.
    let (_, to, bytes) = rig.kept.rtcp.last().unwrap();
    assert_eq!(*to, peer(77));
    assert_eq!(rtcp::parse(bytes).unwrap().last(), Some(Packet::Bye(&ours.to_be_bytes())));
    let quiet = rig.kept.rtcp.len();
    rig.open(7);
    rig.close(7);
    assert_eq!(rig.kept.rtcp.len(), quiet, "a leg that was never used says nothing");
}

#[test]
fn one_port_for_rtp_and_rtcp_serves_both_ways() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let shared = state(1, PCMU, Hears::Leg(LegId(2)));
    rig.set(1, LegState { remote_rtcp: shared.remote_rtp, ..shared });
    for n in 0..1_000u32 {
        rig.say(1, 0, n as u16, n * 160, 0xa);
        rig.pass_ms(20);
    }
    let is_report = |(port, to, bytes): &(u32, std::net::SocketAddr, Vec<u8>)| {
        *port == 1 && *to == peer(1) && rtcp::parse(bytes).is_some()
    };
    assert!(rig.kept.rtp.iter().filter(|r| is_report(r)).count() > 1);
    assert!(rig.kept.rtcp.iter().all(|(port, ..)| *port != 1));
    rig.close(1);
    assert!(rig.kept.rtp.last().is_some_and(is_report), "the last one too");
}

#[test]
fn no_bytes_from_anywhere_disturb_a_shard() {
    let mut rng = tandem::base::rng::Rng::from_seed(5);
    let mut rig = Rig::bridged(PCMU, PCMA);
    for n in 0..20_000u32 {
        let mut bytes = packet([0, 8, 72, 101, 200][n as usize % 5], n as u16, n * 160, n / 1_000, &[3; 40]);
        for _ in 0..rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.next_u32() as u8;
        }
        bytes.truncate(rng.below(60) as usize);
        let leg = 1 + rng.below(3);
        if rng.chance(300) {
            rig.receive_rtcp(leg, peer(leg as u16), &bytes);
        } else {
            rig.receive(leg, peer(leg as u16), &bytes);
        }
        rig.pass(Duration::from_micros(rng.below(9_000)));
    }
    assert!(rig.shard.stats().packets_relayed > 100);
}
