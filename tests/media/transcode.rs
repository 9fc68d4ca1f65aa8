//! Sound between codecs that no table joins: through an ear and a mouth, on one line of sequence and time.

use crate::rig::{EVENTS, PCMA, PCMU, Rig, Sent, packet, peer, state};
use std::f64::consts::TAU;
use std::sync::Arc;
use tandem::media::command::{Codec, Event, Format, Hears, LegId, PlayId};
use tandem::media::player::{Player, Prompt};

pub const G722: Format = Format { codec: Codec::G722, payload_type: 9 };

pub const OPUS: Format = Format { codec: Codec::Opus, payload_type: 111 };

/// One side of a call: what it says, 20 ms at a time, and what it has heard.
pub struct Phone {
    n: u64,
    format: Format,
    pub hz: f64,
    spoken: usize,
    /// Of the next packet, in units of 8 kHz.
    timestamp: u32,
    silent: bool,
    sequence: u16,
    g722: codecs::g722::Encoder,
    opus: codecs::opus::Encoder,
    pub heard: Vec<Sent>,
}

impl Phone {
    pub fn new(n: u64, format: Format, hz: f64) -> Phone {
        let opus = codecs::opus::Encoder::new(codecs::opus::Rate::Hz16000);
        Phone {
            n,
            format,
            hz,
            spoken: 0,
            timestamp: 0,
            silent: false,
            sequence: 65_500,
            g722: Default::default(),
            opus,
            heard: Vec::new(),
        }
    }

    pub fn say(&mut self, rig: &mut Rig) {
        let wide = matches!(self.format.codec, Codec::G722 | Codec::Opus);
        let (rate, len) = if wide { (16_000.0, 320) } else { (8_000.0, 160) };
        let begin = self.spoken * len;
        let loudness = if self.silent { 0.0 } else { 8_000.0 };
        let sample = |n: usize| (loudness * (TAU * self.hz * (begin + n) as f64 / rate).sin()) as i16;
        let sound: Vec<i16> = (0..len).map(sample).collect();
        let mut payload = [0; 400];
        let len = match self.format.codec {
            Codec::G722 => self.g722.encode(&sound, &mut payload),
            Codec::Opus => self.opus.encode(&sound, &mut payload).unwrap(),
            Codec::Pcma => codecs::g711::alaw_encode_slice(&sound, &mut payload),
            _ => codecs::g711::ulaw_encode_slice(&sound, &mut payload),
        };
        let timestamp = self.timestamp();
        let bytes = packet(self.format.payload_type, self.sequence, timestamp, self.n as u32, &payload[..len]);
        rig.receive(self.n, peer(self.n as u16), &bytes);
        self.spoken += 1;
        self.timestamp += 160;
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// So many packets are lost on their way.
    pub fn lose(&mut self, packets: u16) {
        self.spoken += usize::from(packets);
        self.timestamp += 160 * u32::from(packets);
        self.sequence = self.sequence.wrapping_add(packets);
    }

    fn timestamp(&self) -> u32 {
        self.timestamp * (self.format.codec.clock_rate() / 8_000)
    }

    pub fn listen(&mut self, sent: &[Sent]) {
        self.heard.extend(sent.iter().filter(|s| u64::from(s.port) == self.n).cloned());
    }

    /// Everything heard, decoded, at its rate in Hz.
    pub fn sound(&self) -> (Vec<i16>, f64) {
        let payload: Vec<u8> = self.heard.iter().flat_map(|s| s.payload.iter().copied()).collect();
        match self.format.codec {
            Codec::G722 => {
                let mut sound = vec![0; payload.len() * 2];
                codecs::g722::Decoder::new().decode(&payload, &mut sound);
                (sound, 16_000.0)
            }
            Codec::Opus => {
                let mut decoder = codecs::opus::Decoder::new(codecs::opus::Rate::Hz16000);
                let mut sound = Vec::new();
                for packet in &self.heard {
                    let mut part = [0; 1_920];
                    let len = decoder.decode(Some(&packet.payload), &mut part).unwrap();
                    sound.extend_from_slice(&part[..len]);
                }
                (sound, 16_000.0)
            }
            Codec::Pcma => (payload.iter().map(|c| codecs::g711::alaw_decode(*c)).collect(), 8_000.0),
            _ => (payload.iter().map(|c| codecs::g711::ulaw_decode(*c)).collect(), 8_000.0),
        }
    }

    /// One line: sequence by one, timestamps by the packet's duration.
    #[track_caller]
    pub fn check_line(&self, units: u32) {
        for pair in self.heard.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(units));
            assert!(!pair[1].marker && pair[1].ssrc == pair[0].ssrc);
        }
    }
}

/// Share of the energy that is at one frequency.
fn purity(samples: &[i16], rate: f64, hz: f64) -> f64 {
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (n, s) in samples.iter().enumerate() {
        let (x, angle) = (f64::from(*s), TAU * hz * n as f64 / rate);
        re += x * angle.cos();
        im += x * angle.sin();
        energy += x * x;
    }
    2.0 * (re * re + im * im) / samples.len() as f64 / energy
}

/// Two phones talk for two seconds.
fn talk(one: Format, two: Format, ptimes: (u8, u8)) -> (Rig, Phone, Phone) {
    let mut rig = Rig::bridged(one, two);
    for (n, format, ptime_ms) in [(1, one, ptimes.0), (2, two, ptimes.1)] {
        let mut wanted = state(n, format, Hears::Leg(LegId(3 - u64::from(n))));
        wanted.ptime_ms = ptime_ms;
        rig.set(u64::from(n), wanted);
    }
    let (mut a, mut b) = (Phone::new(1, one, 1_000.0), Phone::new(2, two, 600.0));
    for _ in 0..100 {
        a.say(&mut rig);
        rig.pass_ms(7);
        b.say(&mut rig);
        rig.pass_ms(13);
        let sent = rig.sent();
        a.listen(&sent);
        b.listen(&sent);
    }
    (rig, a, b)
}

#[test]
fn both_hear_each_other_across_codecs() {
    for (one, two) in [(PCMU, G722), (G722, PCMA), (OPUS, PCMA), (PCMU, OPUS), (G722, OPUS)] {
        for ptimes in [(20, 20), (10, 60), (60, 40)] {
            let (_, a, b) = talk(one, two, ptimes);
            for (phone, ptime_ms, hz) in [(&a, ptimes.0, 600.0), (&b, ptimes.1, 1_000.0)] {
                phone.check_line(u32::from(ptime_ms) * phone.format.codec.clock_rate() / 1_000);
                let packets = 2_000 / usize::from(ptime_ms);
                assert!((packets - 4..=packets).contains(&phone.heard.len()), "{}", phone.heard.len());
                let (sound, rate) = phone.sound();
                let settled = &sound[(rate * 0.3) as usize..];
                let share = purity(settled, rate, hz);
                assert!(share > 0.98, "{one:?} {two:?} {ptimes:?}: {share}");
            }
        }
    }
}

#[test]
fn prompts_play_to_any_codec() {
    let samples: Box<[i16]> =
        (0..8_000).map(|n| (9_000.0 * (TAU * 700.0 * f64::from(n) / 8_000.0).sin()) as i16).collect();
    let prompt = Arc::new(Prompt { samples });
    for (format, ptime_ms) in [(PCMU, 20), (G722, 20), (G722, 30), (OPUS, 20), (OPUS, 10), (OPUS, 60)] {
        let mut rig = Rig::new();
        rig.open(1);
        let mut wanted = state(1, format, Hears::Play { id: PlayId(1), file: "a.wav".into(), loops: 1 });
        wanted.ptime_ms = ptime_ms;
        rig.play(1, wanted, Player::prompt(prompt.clone(), 1));
        rig.pass_ms(1_500);
        let mut phone = Phone::new(1, format, 0.0);
        phone.listen(&rig.sent());
        phone.check_line(u32::from(ptime_ms) * format.codec.clock_rate() / 1_000);
        let (sound, rate) = phone.sound();
        assert!(sound.len() as f64 > rate * 0.94, "{format:?} {ptime_ms}: {}", sound.len());
        let share = purity(&sound[(rate * 0.3) as usize..(rate * 0.9) as usize], rate, 700.0);
        assert!(share > 0.98, "{format:?} {ptime_ms}: {share}");
        assert_eq!(rig.events(), [Event::PlayEnded { leg: LegId(1), id: PlayId(1), played: true }]);
    }
}

#[test]
fn digits_pass_between_the_packets_of_transcoded_sound() {
    let (mut rig, mut a, mut b) = talk(PCMU, OPUS, (20, 20));
    b.heard.clear();
    let timestamp = a.timestamp();
    for n in 0..5u16 {
        let end = if n > 2 { 0x80 } else { 0 };
        let event = packet(EVENTS, a.sequence, timestamp, 1, &[5, 10 | end, 1, 0x40]);
        rig.receive(1, peer(1), &event);
        a.sequence = a.sequence.wrapping_add(1);
        rig.pass_ms(20);
        b.listen(&rig.sent());
    }
    let events: Vec<&Sent> = b.heard.iter().filter(|s| s.payload_type == EVENTS).collect();
    assert_eq!(events.len(), 5);
    assert!(events.iter().all(|e| e.timestamp == events[0].timestamp), "one digit");
    assert!(events[0].marker && !events[1].marker);
    assert!(b.heard.windows(2).all(|w| w[1].sequence == w[0].sequence.wrapping_add(1)));
}

#[test]
fn what_is_cut_off_at_full_scale_is_in_the_account() {
    for (octet, expected) in [(0x80, 0.28..=0.34), (0x00, 0.28..=0.34), (0x90, 0.0..=0.0)] {
        let (mut rig, mut a, _) = talk(PCMU, G722, (20, 20));
        for _ in 0..50 {
            rig.receive(1, peer(1), &packet(0, a.sequence, a.timestamp(), 1, &[octet; 160]));
            a.sequence = a.sequence.wrapping_add(1);
            a.spoken += 1;
            a.timestamp += 160;
            rig.pass_ms(20);
        }
        let clipped = rig.close(1).clipped.unwrap();
        assert!(expected.contains(&clipped), "{octet:02x}: {clipped}");
    }
}

#[test]
fn what_was_made_up_and_how_long_packets_waited_is_in_the_account() {
    let (mut rig, mut a, _) = talk(PCMU, G722, (20, 20));
    for n in 0..100 {
        if n % 10 == 5 {
            a.sequence = a.sequence.wrapping_add(1);
            a.spoken += 1;
            a.timestamp += 160;
        } else {
            a.say(&mut rig);
        }
        rig.pass_ms(20);
    }
    let (one, two) = (rig.close(1), rig.close(2));
    let concealed = one.concealed.unwrap();
    assert!((0.045..0.06).contains(&concealed), "10 of 200 packets: {concealed}");
    let (mean, most) = (one.buffer_ms.unwrap(), one.buffer_ms_max.unwrap());
    assert!((9.0..=15.0).contains(&mean) && most <= 15.0, "{mean} {most}");
    assert_eq!((one.packets_late, one.packets_overflow), (0, 0));
    assert!(two.concealed.is_some_and(|c| c < 0.01));
    let mut relayed = Rig::bridged(PCMU, PCMA);
    relayed.say(1, 0, 1, 0, 1);
    let quality = relayed.close(1);
    assert_eq!((quality.concealed, quality.buffer_ms), (None, None));
}

/// A voice that changes its codec: packets relayed, decoded, relayed. The listener has one line and hears one tone, with pauses.
#[test]
fn a_peer_may_change_its_codec_while_it_speaks() {
    let mut rig = Rig::bridged(PCMU, PCMU);
    let mut both = state(1, PCMU, Hears::Leg(LegId(2)));
    both.receive = vec![PCMU, G722, OPUS];
    rig.set(1, both);
    let (mut a, mut b) = (Phone::new(1, PCMU, 500.0), Phone::new(2, PCMU, 0.0));
    // 40 packets of each; the last ten of a codec in silence at every second change.
    for n in 0..400 {
        a.format = [PCMU, G722, PCMU, OPUS][n / 40 % 4];
        a.timestamp = n as u32 * 160;
        a.silent = n / 40 % 3 == 1 && n % 40 > 30;
        a.say(&mut rig);
        rig.pass_ms(20);
        b.listen(&rig.sent());
    }
    assert!((390..=400).contains(&b.heard.len()), "{}", b.heard.len());
    let mut gaps = 0;
    for pair in b.heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let ahead = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((160..=320).contains(&ahead), "{ahead}");
        gaps += u32::from(ahead != 160);
    }
    assert!(gaps <= 4, "{gaps}");
    let (sound, _) = b.sound();
    // A tone of that amplitude changes by at most 8,000 · 2π · 500 / 8,000 a sample; a click is more than twice that.
    let steepest = sound.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap();
    assert!(steepest < 6_400, "{steepest}");
}

/// The machine stops for 200 ms: what was due is skipped, and what waits is no later for it than before.
#[test]
fn a_stop_of_the_machine_adds_no_delay() {
    let (mut rig, mut a, mut b) = talk(PCMU, G722, (20, 20));
    for _ in 0..10 {
        a.say(&mut rig);
        rig.now += std::time::Duration::from_millis(20);
    }
    rig.sent();
    b.heard.clear();
    for _ in 0..100 {
        a.say(&mut rig);
        rig.pass_ms(20);
        b.listen(&rig.sent());
    }
    assert!((96..=102).contains(&b.heard.len()), "{}", b.heard.len());
    assert!(b.heard.windows(2).all(|w| w[1].sequence == w[0].sequence.wrapping_add(1)));
    let (sound, rate) = b.sound();
    let share = purity(&sound[(rate * 0.5) as usize..], rate, 1_000.0);
    assert!(share > 0.98, "{share}");
    assert!(rig.shard.stats().ticks_late >= 5);
    let quality = rig.close(1);
    assert!(quality.buffer_ms_max.unwrap() < 40.0, "{quality:?}");
}
