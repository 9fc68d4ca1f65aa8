//! A room on a shard: ears in, one mix, mouths out, in every codec.

use crate::counting;
use crate::rig::{PCMA, PCMU, Rig, packet, peer, state};
use crate::transcode::{G722, OPUS, Phone};
use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::sync::Arc;
use tandem::media::command::{
    Codec, Event, Format, Hears, LegId, Listens, Member, PlayId, RoomId, RoomSound, RoomState, Says, Sounding, TapId,
};
use tandem::media::player::{Player, Prompt};
use tandem::media::room::RoomSetting;
use tandem::media::shard::{Order, Shard};
use tandem::media::tap::{Frame, PAYLOAD_MAX};

const ROOM: RoomId = RoomId(5);

fn room(rig: &mut Rig, setting: RoomSetting) {
    rig.shard.order(rig.now, Order::Room { room: ROOM, setting: Box::new(setting) }, &mut rig.kept);
}

fn members(all: impl IntoIterator<Item = u64>) -> RoomState {
    RoomState { members: all.into_iter().map(|n| Member::new(LegId(n))).collect(), ..RoomState::default() }
}

fn only(state: RoomState) -> RoomSetting {
    RoomSetting { state, ..RoomSetting::default() }
}

/// Members 1, 2, … of which each sings.
struct Stage {
    rig: Rig,
    phones: Vec<Phone>,
}

const TONES_HZ: [f64; 5] = [500.0, 900.0, 1_300.0, 1_900.0, 2_500.0];

impl Stage {
    fn new(formats: &[(Format, u8)]) -> Stage {
        let mut rig = Rig::new();
        let mut phones = Vec::new();
        for (n, (format, ptime_ms)) in (1..).zip(formats) {
            rig.open(n);
            let mut wanted = state(n as u16, *format, Hears::Room(ROOM));
            wanted.ptime_ms = *ptime_ms;
            rig.set(n, wanted);
            phones.push(Phone::new(n, *format, TONES_HZ[n as usize - 1]));
        }
        room(&mut rig, only(members(1..=formats.len() as u64)));
        Stage { rig, phones }
    }

    /// Each sings for so many frames; only what comes then is kept.
    fn sing(&mut self, frames: usize) {
        self.phones.iter_mut().for_each(|phone| phone.heard.clear());
        self.rig.sent();
        for _ in 0..frames {
            for phone in &mut self.phones {
                phone.say(&mut self.rig);
                self.rig.pass_ms(3);
            }
            self.rig.pass_ms(20 - 3 * self.phones.len() as u64);
            let sent = self.rig.sent();
            self.phones.iter_mut().for_each(|phone| phone.listen(&sent));
        }
    }

    /// Who is heard by each, by number, over the last part of what it has heard.
    fn matrix(&self) -> Vec<Vec<usize>> {
        let heard_by = |phone: &Phone| {
            let (sound, rate) = phone.sound();
            let last = &sound[sound.len().saturating_sub((rate * 0.5) as usize)..];
            (1..=self.phones.len()).filter(|n| level_db(last, rate, self.phones[n - 1].hz) > -12.0).collect()
        };
        self.phones.iter().map(heard_by).collect()
    }
}

/// Level of one frequency in dB relative to what a phone sings.
fn level_db(sound: &[i16], rate: f64, hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, s) in sound.iter().enumerate() {
        let (sin, cos) = (TAU * hz * n as f64 / rate).sin_cos();
        re += f64::from(*s) * cos;
        im += f64::from(*s) * sin;
    }
    20.0 * (2.0 * f64::hypot(re, im) / sound.len().max(1) as f64 / 8_000.0).max(1e-9).log10()
}

#[test]
fn all_hear_all_others_in_every_codec_and_packet_length() {
    let stages: [&[(Format, u8)]; 4] = [
        &[(PCMU, 20), (PCMA, 20), (PCMU, 20)],
        &[(PCMU, 20), (G722, 20), (OPUS, 20), (PCMA, 30)],
        &[(G722, 40), (OPUS, 60), (PCMU, 10)],
        &[(OPUS, 20), (PCMA, 60), (PCMU, 20), (G722, 20), (PCMU, 20)],
    ];
    for formats in stages {
        let mut stage = Stage::new(formats);
        stage.sing(60);
        let all: BTreeSet<usize> = (1..=formats.len()).collect();
        for (n, heard) in (1..).zip(stage.matrix()) {
            let others: Vec<usize> = all.iter().copied().filter(|other| *other != n).collect();
            assert_eq!(heard, others, "{n} of {formats:?}");
        }
        for (phone, (format, ptime_ms)) in stage.phones.iter().zip(formats) {
            phone.check_line(u32::from(*ptime_ms) * format.codec.clock_rate() / 1_000);
        }
        let events = stage.rig.events();
        let told: Vec<&Event> = events.iter().filter(|e| !matches!(e, Event::Latched { .. })).collect();
        assert!(matches!(told[..], [Event::Speaker { room: ROOM, leg: Some(_) }]), "{told:?}");
    }
}

/// What a room's tap has copied.
fn decoded(frames: &[Frame]) -> (Vec<i16>, f64) {
    let (mut sound, mut rate) = (Vec::new(), 8_000.0);
    let mut wide = codecs::g722::Decoder::new();
    for frame in frames {
        let mut samples = [0; 2 * PAYLOAD_MAX];
        let count = match frame.label.codec {
            Codec::Pcmu => codecs::g711::ulaw_decode_slice(frame.payload(), &mut samples),
            _ => wide.decode(frame.payload(), &mut samples),
        };
        rate = if frame.label.codec == Codec::Pcmu { 8_000.0 } else { 16_000.0 };
        sound.extend_from_slice(&samples[..count]);
    }
    (sound, rate)
}

#[test]
fn a_tapped_room_is_copied_as_one_hears_it_who_only_listens() {
    for formats in [[(PCMU, 20), (PCMA, 20), (PCMU, 20)], [(PCMU, 20), (G722, 20), (OPUS, 20)]] {
        let mut stage = Stage::new(&formats);
        let tap = Some(TapId(4));
        let tapped = |state| RoomSetting { state, reel: Some(Box::default()), ..RoomSetting::default() };
        room(&mut stage.rig, tapped(RoomState { tap, ..members(1..=3) }));
        stage.sing(50);
        let frames = std::mem::take(&mut stage.rig.kept.tapped);
        let (sound, rate) = decoded(&frames);
        assert_eq!(rate, if formats[1].0 == G722 { 16_000.0 } else { 8_000.0 });
        assert!((950..=1_020).contains(&(sound.len() * 1_000 / rate as usize)), "{} samples", sound.len());
        let last = &sound[sound.len() / 2..];
        let heard = |last: &[i16]| [500.0, 900.0, 1_300.0].map(|hz| level_db(last, rate, hz) > -12.0);
        assert_eq!(heard(last), [true; 3], "{formats:?}");
        // A whisper is for one; who is muted is not there.
        let mut state_of = RoomState { tap, ..members(1..=3) };
        state_of.members[0].says = Says::Nobody;
        state_of.members[1].says = Says::Only([LegId(3)].into());
        room(&mut stage.rig, tapped(state_of));
        stage.sing(50);
        let (sound, _) = decoded(&std::mem::take(&mut stage.rig.kept.tapped));
        assert_eq!(heard(&sound[sound.len() / 2..]), [false, false, true], "{formats:?}");
        room(&mut stage.rig, only(members(1..=3)));
        stage.sing(5);
        assert!(stage.rig.kept.tapped.is_empty());
    }
}

#[test]
fn members_come_and_go_and_roles_change() {
    let mut stage = Stage::new(&[(PCMU, 20), (PCMA, 20), (PCMU, 20), (G722, 20)]);
    stage.sing(50);
    assert_eq!(stage.matrix(), [vec![2, 3, 4], vec![1, 3, 4], vec![1, 2, 4], vec![1, 2, 3]]);
    let mut state_of = members(1..=4);
    state_of.members[0].says = Says::Nobody;
    state_of.members[3].says = Says::Only([LegId(2)].into());
    state_of.members[2].listens = Listens::Nothing;
    room(&mut stage.rig, only(state_of.clone()));
    stage.sing(50);
    assert_eq!(stage.matrix(), [vec![2, 3], vec![3, 4], vec![], vec![2, 3]]);
    for phone in &stage.phones {
        assert!(phone.heard.len() >= 48, "who hears nothing gets silence: {}", phone.heard.len());
    }
    // One leaves the room and talks to another leg; one hangs up.
    room(&mut stage.rig, only(members([1, 3, 4])));
    stage.rig.set(2, state(2, PCMA, Hears::Echo));
    stage.sing(50);
    assert_eq!(stage.matrix(), [vec![3, 4], vec![2], vec![1, 4], vec![1, 3]]);
    stage.rig.close(4);
    room(&mut stage.rig, only(members([1, 3])));
    stage.sing(50);
    assert_eq!(stage.matrix()[..3], [vec![3], vec![2], vec![1]]);
    // Nobody is left: the room is no more, who still hears it hears silence.
    room(&mut stage.rig, only(members([])));
    stage.sing(50);
    assert_eq!(stage.matrix()[..3], [vec![], vec![2], vec![]]);
    assert!(stage.phones[0].heard.len() >= 48);
}

#[test]
fn a_leg_may_hear_the_room_before_or_after_it_is_a_member() {
    for first in [true, false] {
        let mut stage = Stage::new(&[(PCMU, 20), (PCMU, 20)]);
        stage.rig.set(2, state(2, PCMU, Hears::Nothing));
        let steps: [&dyn Fn(&mut Rig); 2] = [&|rig| rig.set(2, state(2, PCMU, Hears::Room(ROOM))), &|rig| {
            room(rig, only(members([1, 2])));
        }];
        room(&mut stage.rig, only(members([1])));
        stage.sing(30);
        assert_eq!(stage.matrix(), vec![Vec::<usize>::new(); 2]);
        steps[usize::from(!first)](&mut stage.rig);
        steps[usize::from(first)](&mut stage.rig);
        stage.sing(30);
        assert_eq!(stage.matrix(), [vec![2], vec![1]]);
    }
}

fn song(hz: f64) -> Arc<Prompt> {
    let sample = |n: i32| (8_000.0 * (TAU * hz * f64::from(n) / 8_000.0).sin()) as i16;
    Arc::new(Prompt { samples: (0..4_000).map(sample).collect() })
}

fn sound(id: u64) -> Option<RoomSound> {
    Some(RoomSound { id: PlayId(id), what: Sounding::File { file: "a.wav".into(), loops: 1 } })
}

#[test]
fn music_for_those_on_hold_and_announcements_for_the_rest() {
    let mut stage = Stage::new(&[(PCMU, 20), (PCMA, 20), (G722, 20)]);
    let mut state_of = members(1..=3);
    state_of.members[1].says = Says::Nobody;
    state_of.members[1].listens = Listens::Music;
    state_of.music = sound(1);
    state_of.announcement = sound(2);
    let waiting = || Player::waiting(1);
    let setting = || RoomSetting {
        state: state_of.clone(),
        music: Player::prompt(song(TONES_HZ[4]), 0),
        announcement: waiting(),
        ..RoomSetting::default()
    };
    room(&mut stage.rig, setting());
    stage.sing(30);
    // The same state again changes nothing, though it has players that nobody loads.
    room(&mut stage.rig, RoomSetting { music: waiting(), announcement: waiting(), ..only(state_of.clone()) });
    let load = Order::LoadRoom { room: ROOM, id: PlayId(2), prompt: Some(song(TONES_HZ[3])) };
    stage.rig.shard.order(stage.rig.now, load, &mut stage.rig.kept);
    stage.sing(30);
    for (phone, wanted) in stage.phones.iter().zip([[true, false], [false, true], [true, false]]) {
        let (heard, rate) = phone.sound();
        // The announcement lasts for half of the 600 ms.
        let part = &heard[(rate * 0.1) as usize..(rate * 0.4) as usize];
        let levels = [TONES_HZ[3], TONES_HZ[4]].map(|hz| level_db(part, rate, hz) > -12.0);
        assert_eq!(levels, wanted, "announcement and music");
    }
    let ended = |e: &Event| matches!(e, Event::RoomPlayEnded { room: ROOM, id: PlayId(2), played: true });
    assert_eq!(stage.rig.events().iter().filter(|e| ended(e)).count(), 1);
    assert_eq!(stage.matrix(), [vec![3], vec![], vec![1]]);
}

#[test]
fn a_late_room_skips_and_goes_on() {
    let mut stage = Stage::new(&[(PCMU, 20), (PCMU, 20)]);
    stage.sing(30);
    stage.rig.now += std::time::Duration::from_millis(200);
    let now = stage.rig.now;
    stage.rig.shard.tick(now, &mut stage.rig.kept);
    assert!(stage.rig.shard.stats().ticks_late >= 18, "{:?}", stage.rig.shard.stats());
    stage.phones.iter_mut().for_each(|phone| phone.lose(10));
    stage.sing(50);
    assert_eq!(stage.matrix(), [vec![2], vec![1]]);
}

#[test]
fn a_thousand_ticks_of_a_conference_allocate_nothing_and_free_nothing() {
    let mut stage = Stage::new(&[(PCMU, 20), (PCMA, 20), (G722, 20), (OPUS, 20), (PCMU, 30)]);
    let mut state_of = members(1..=5);
    state_of.members[1].listens = Listens::Music;
    state_of.members[4].says = Says::Only([LegId(3)].into());
    state_of.music = sound(1);
    room(&mut stage.rig, RoomSetting { music: Player::prompt(song(700.0), 0), ..only(state_of) });
    stage.sing(20);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for n in 0..1_100u32 {
        let law = [[0x55u8; 160], [0xd5; 160]][n as usize % 2];
        frames.push(packet(0, n as u16, n * 160, 77, &law));
    }
    let mut sink = Silent::default();
    let mut before = (0, 0);
    for (n, bytes) in frames.iter_mut().enumerate() {
        if n == 100 {
            before = counting::of_this_thread();
        }
        let Stage { rig, .. } = &mut stage;
        deliver(&mut rig.shard, rig.now, bytes, &mut sink);
        for _ in 0..4 {
            rig.now += std::time::Duration::from_millis(5);
            rig.shard.tick(rig.now, &mut sink);
        }
    }
    let after = counting::of_this_thread();
    assert_eq!((after.0 - before.0, after.1 - before.1), (0, 0), "allocations and frees");
    assert!(sink.0 > 4 * 1_000, "{}", sink.0);
}

/// Counts packets.
#[derive(Default)]
struct Silent(usize);

impl tandem::media::shard::Sink for Silent {
    fn rtp(&mut self, _: u32, _: std::net::SocketAddr, _: &[u8]) {
        self.0 += 1;
    }
    fn rtcp(&mut self, _: u32, _: std::net::SocketAddr, _: &[u8]) {}
    fn event(&mut self, _: Event) {}
    fn spent(&mut self, _: Box<tandem::media::leg::Setting>) {}
}

fn deliver(shard: &mut Shard, now: tandem::base::time::Instant, bytes: &mut [u8], sink: &mut Silent) {
    shard.packet(now, (1, tandem::media::shard::Socket::Rtp), peer(1), bytes, sink);
}

#[test]
fn who_hears_a_member_by_its_leg_hears_it_in_any_codec() {
    for format in [PCMU, PCMA, G722, OPUS] {
        let mut stage = Stage::new(&[(G722, 20), (PCMU, 20)]);
        stage.rig.open(3);
        stage.rig.set(3, state(3, format, Hears::Leg(LegId(1))));
        stage.phones.push(Phone::new(3, format, TONES_HZ[2]));
        stage.sing(60);
        assert_eq!(stage.matrix(), [vec![2], vec![1], vec![1]], "{format:?}");
    }
}
