//! Everybody sings a tone of their own; what each hears is taken apart again.

use super::*;
use crate::base::rng::Rng;
use crate::media::command::UNITY_Q12;
use std::f64::consts::TAU;

const ALICE: usize = 1;
const BOB: usize = 2;
const TONES_HZ: [f64; 4] = [400.0, 1_000.0, 1_700.0, 2_600.0];
const MUSIC_HZ: f64 = 3_300.0;
const AMPLITUDE: f64 = 4_000.0;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Talks,
    Muted,
    Held,
    Deaf,
    Whispers(usize),
    Monitors,
}

/// The roles of customer, two agents and supervisor (seats 0 to 3), in every combination.
fn states() -> Vec<[Role; 4]> {
    use Role::*;
    let party = [Talks, Muted, Held];
    let supervisor = [Monitors, Whispers(ALICE), Whispers(BOB), Talks, Held, Deaf];
    let mut states = Vec::new();
    for customer in party {
        for alice in party {
            for bob in party {
                states.extend(supervisor.map(|supervisor| [customer, alice, bob, supervisor]));
            }
        }
    }
    states
}

/// The model: whether `listener` is to hear `speaker`.
fn is_heard(state: &[Role; 4], speaker: usize, listener: usize) -> bool {
    let listens = matches!(state[listener], Role::Talks | Role::Muted | Role::Monitors | Role::Whispers(_));
    let says = match state[speaker] {
        Role::Talks | Role::Deaf => true,
        Role::Whispers(to) => to == listener,
        Role::Muted | Role::Held | Role::Monitors => false,
    };
    speaker != listener && listens && says
}

fn members(state: &[Role]) -> Vec<Member> {
    let member = |(i, role): (usize, &Role)| {
        let (says, listens) = match *role {
            Role::Talks => (Says::Everyone, Listens::Talk),
            Role::Muted | Role::Monitors => (Says::Nobody, Listens::Talk),
            Role::Held => (Says::Nobody, Listens::Music),
            Role::Deaf => (Says::Everyone, Listens::Nothing),
            Role::Whispers(to) => (Says::Only([leg(to)].into()), Listens::Talk),
        };
        Member { says, listens, ..Member::new(leg(i)) }
    };
    state.iter().enumerate().map(member).collect()
}

fn leg(seat: usize) -> LegId {
    LegId(10 + seat as u64)
}

fn tone(hz: f64, band: Rate, tick: usize) -> Vec<i16> {
    let len = band.frame();
    let sample = |i| (AMPLITUDE * (TAU * hz * (tick * len + i) as f64 / f64::from(band.hz())).sin()).round() as i16;
    (0..len).map(sample).collect()
}

/// Four seats of which each sings.
struct Stage {
    room: Room,
    bands: [Rate; 4],
    tick: usize,
}

impl Stage {
    fn new(bands: [Rate; 4], state: &[Role; 4]) -> Stage {
        let mut stage = Stage { room: Room::default(), bands, tick: 0 };
        stage.room.set(&members(state));
        bands.iter().enumerate().for_each(|(seat, band)| stage.room.tune(seat, *band));
        stage
    }

    /// Runs some ticks and adds what each seat hears.
    fn run(&mut self, ticks: usize, heard: &mut [Vec<i16>; 4]) {
        for _ in 0..ticks {
            self.room.begin();
            for (seat, hz) in TONES_HZ.iter().enumerate() {
                self.room.say(seat, &tone(*hz, self.bands[seat], self.tick));
            }
            self.room.music(Rate::Narrow, &tone(MUSIC_HZ, Rate::Narrow, self.tick));
            self.room.mix();
            for (seat, heard) in heard.iter_mut().enumerate() {
                heard.extend(self.room.heard(seat).unwrap().frame());
            }
            self.tick += 1;
        }
    }
}

/// Level of a frequency in dB relative to a singer's tone, by a four-term Blackman-Harris window (side lobes at −92 dB).
fn level_db(sound: &[i16], hz: f64, band: Rate) -> f64 {
    let (n, step) = (sound.len() as f64, TAU * hz / f64::from(band.hz()));
    let (mut re, mut im, mut area) = (0.0, 0.0, 0.0);
    for (i, sample) in sound.iter().enumerate() {
        let at = TAU * i as f64 / n;
        let window = 0.35875 - 0.48829 * at.cos() + 0.14128 * (2.0 * at).cos() - 0.01168 * (3.0 * at).cos();
        let (sin, cos) = (step * i as f64).sin_cos();
        re += window * f64::from(*sample) * cos;
        im += window * f64::from(*sample) * sin;
        area += window;
    }
    20.0 * (2.0 * re.hypot(im) / area / AMPLITUDE).max(1e-9).log10()
}

/// Goes from one state to another and listens to the 100 ms around the change and the 100 ms after it.
fn check_change(bands: [Rate; 4], before: &[Role; 4], after: &[Role; 4]) {
    const SETTLE: usize = 4;
    let mut stage = Stage::new(bands, before);
    let mut heard: [Vec<i16>; 4] = Default::default();
    stage.run(SETTLE + 3, &mut heard);
    stage.room.set(&members(after));
    stage.run(1 + 6, &mut heard);
    for (listener, heard) in heard.iter().enumerate() {
        let (band, frame) = (bands[listener], bands[listener].frame());
        let part = |from: usize| &heard[from * frame..(from + 5) * frame];
        // Three frames before the change and two after it, in which gains fall and rise; then all has settled.
        let (around, later) = (part(SETTLE), part(SETTLE + 5));
        let sources = (0..4).map(|s| (TONES_HZ[s], is_heard(before, s, listener), is_heard(after, s, listener)));
        let held = |state: &[Role; 4]| state[listener] == Role::Held;
        let music = (MUSIC_HZ, held(before), held(after));
        for (hz, was, is) in sources.chain([music]) {
            let (change, end) = (level_db(around, hz, band), level_db(later, hz, band));
            let what = format!("{before:?} → {after:?}: {listener} hears {hz} Hz at {change:.1}, then {end:.1} dB");
            assert!(was || is || change < -60.0, "{what}");
            assert!(is || end < -60.0, "{what}");
            assert!(!is || (-1.0..1.0).contains(&end), "{what}");
            assert!(!(was && is) || (-1.0..1.0).contains(&change), "{what}");
        }
        check_clicks(&heard[2 * frame..], band, &format!("{before:?} → {after:?}: {listener}"));
    }
}

/// Nothing bends more sharply than five tones do.
fn check_clicks(sound: &[i16], band: Rate, what: &str) {
    let bend = |hz: f64| AMPLITUDE * (TAU * hz / f64::from(band.hz())).powi(2).min(4.0);
    let limit = TONES_HZ.iter().map(|hz| bend(*hz)).sum::<f64>() + bend(MUSIC_HZ) * 0.5;
    for w in sound.windows(3) {
        let bend = f64::from(w[0]) - 2.0 * f64::from(w[1]) + f64::from(w[2]);
        assert!(bend.abs() <= limit, "{what}: {w:?}");
    }
}

const NARROW: [Rate; 4] = [Rate::Narrow; 4];
const BOTH: [Rate; 4] = [Rate::Narrow, Rate::Wide, Rate::Narrow, Rate::Wide];

#[test]
fn nobody_hears_what_they_must_not_in_any_state_or_after_any_change_of_one() {
    let states = states();
    for (i, before) in states.iter().enumerate() {
        for after in states.iter().skip(i % 3).step_by(3) {
            let changed = before.iter().zip(after).filter(|(a, b)| a != b).count();
            if changed <= 1 {
                check_change(if i % 2 == 0 { NARROW } else { BOTH }, before, after);
            }
        }
    }
}

#[test]
fn nor_after_changes_of_all_at_once() {
    let (states, mut rng) = (states(), Rng::from_seed(7));
    for i in 0..150 {
        let mut pick = || &states[rng.below(states.len() as u64) as usize];
        check_change(if i % 2 == 0 { NARROW } else { BOTH }, pick(), pick());
    }
}

/// What must not be heard changes no single sample of what is heard.
#[test]
fn who_must_not_be_heard_leaves_no_trace() {
    let (states, mut rng) = (states(), Rng::from_seed(11));
    for round in 0..40 {
        let (speaker, listener) = (round % 4, (round % 4 + 1 + round / 4 % 3) % 4);
        let mut rooms = [Room::default(), Room::default()];
        for _ in 0..20 {
            let state = loop {
                let state = states[rng.below(states.len() as u64) as usize];
                if !is_heard(&state, speaker, listener) {
                    break state;
                }
            };
            rooms.iter_mut().for_each(|room| room.set(&members(&state)));
            for _ in 0..3 {
                rooms.iter_mut().for_each(Room::begin);
                for seat in 0..4 {
                    let noise: Vec<i16> = (0..160).map(|_| rng.below(8_001) as i16 - 4_000).collect();
                    rooms[0].say(seat, &noise);
                    if seat != speaker {
                        rooms[1].say(seat, &noise);
                    }
                }
                rooms.iter_mut().for_each(|room| _ = room.mix());
                let [a, b] = &mut rooms;
                let (a, b) = (a.heard(listener).unwrap().frame(), b.heard(listener).unwrap().frame());
                assert_eq!(a, b, "{speaker} in {listener}'s ear: {state:?}");
            }
        }
    }
}

#[test]
fn who_says_nothing_shares_one_frame_with_all_like_him() {
    let mut room = Room::default();
    let roles = [Role::Talks, Role::Talks, Role::Muted, Role::Held, Role::Deaf];
    room.set(&members(&roles));
    let voice = tone(400.0, Rate::Narrow, 0);
    for _ in 0..3 {
        room.begin();
        room.say(0, &voice);
        room.say(2, &voice);
        room.mix();
    }
    let shares: Vec<Option<Common>> = (0..5)
        .map(|seat| match room.heard(seat).unwrap() {
            Mixed::Common(common, _) => Some(common),
            Mixed::Own(_) => None,
        })
        .collect();
    assert_eq!(shares, [None, Some(Common::Talk), Some(Common::Talk), Some(Common::Music), Some(Common::Silence)]);
    assert_eq!(room.heard(1).unwrap().frame(), voice, "one voice alone is heard as it came");
    assert_eq!(room.heard(0).unwrap().frame(), [0; 160]);
    assert!(room.heard(5).is_none());
}

#[test]
fn a_quiet_line_is_left_out_and_comes_back_whole() {
    let mut room = Room::default();
    room.set(&members(&[Role::Talks, Role::Talks]));
    let mut hear = |frame: &[i16]| {
        room.begin();
        room.say(0, frame);
        room.mix();
        room.heard(1).unwrap().frame().to_vec()
    };
    let (hum, voice) = (vec![40i16; 160], tone(400.0, Rate::Narrow, 0));
    (0..24).for_each(|_| _ = hear(&hum));
    assert_eq!(hear(&hum)[0], 39, "the gate closes over 5 ms, after half a second");
    assert_eq!(hear(&hum), [0; 160]);
    assert_eq!(hear(&voice)[40..], voice[40..], "a voice opens it within 5 ms");
    assert_eq!(hear(&voice), voice);
}

#[test]
fn sound_that_breaks_off_fades_and_only_for_those_who_heard_it() {
    let mut room = Room::default();
    let roles = [Role::Talks, Role::Whispers(2), Role::Talks];
    room.set(&members(&roles));
    let loud = [8_000i16; 160];
    let tick = |room: &mut Room, speaks: bool| {
        room.begin();
        if speaks {
            room.say(0, &loud);
            room.say(1, &loud);
        }
        room.mix();
        [0, 1, 2].map(|seat| room.heard(seat).map_or(vec![], |m| m.frame().to_vec()))
    };
    (0..3).for_each(|_| _ = tick(&mut room, true));
    let [first, second, third] = tick(&mut room, false);
    assert_eq!(first, [0; 160]);
    assert!(second[0] > 7_000 && second[20] < 5_000 && second[40..] == [0; 120]);
    assert!(third[0] > 14_000 && third[20] < 10_000 && third[40..] == [0; 120]);
    // The same where both hang up in the middle of a word: of the whisper nothing may reach the others.
    (0..3).for_each(|_| _ = tick(&mut room, true));
    room.set(&members(&roles)[2..]);
    let [third, ..] = tick(&mut room, false);
    assert!((7_000..=8_000).contains(&third[0]) && third[40..] == [0; 120], "{third:?}");
}

#[test]
fn a_thousand_shouting_are_loud_and_not_wrapped() {
    let mut room = Room::default();
    let everyone: Vec<Member> = (0..1_200).map(|i| Member::new(LegId(i))).collect();
    room.set(&everyone);
    assert_eq!((room.len(), room.legs().last()), (MEMBERS_MAX, Some(LegId(999))));
    for _ in 0..3 {
        room.begin();
        (0..1_000).for_each(|seat| room.say(seat, &[i16::MAX; 160]));
        room.mix();
    }
    for seat in [0, 500, 999] {
        assert!(room.heard(seat).unwrap().frame().iter().all(|s| *s > 32_000));
    }
}

#[test]
fn volumes_floors_and_announcements() {
    let mut room = Room::default();
    let mut state = members(&[Role::Talks, Role::Talks, Role::Muted]);
    state[0].volume_q12 = UNITY_Q12 / 2;
    state[1].volume_q12 = -7;
    room.set(&state);
    let mut told = Vec::new();
    for tick in 0..60 {
        room.begin();
        for (seat, hz) in TONES_HZ.iter().enumerate() {
            room.say(seat, &tone(*hz, Rate::Narrow, tick));
        }
        room.announce(Rate::Narrow, &tone(MUSIC_HZ, Rate::Narrow, tick));
        told.extend(room.mix());
    }
    assert_eq!(told, [Some(leg(0))], "the first to speak keeps it, who is muted never has it");
    assert_eq!(room.speaker(), Some(leg(0)));
    let frame = room.heard(2).unwrap().frame().repeat(5);
    let rows = [(TONES_HZ[0], -6.0), (TONES_HZ[1], -80.0), (TONES_HZ[2], -80.0), (MUSIC_HZ, 0.0)];
    for (hz, wanted) in rows {
        let level = level_db(&frame, hz, Rate::Narrow);
        assert!((level - wanted).abs() < 0.5 || level < -70.0 && wanted < -70.0, "{hz} Hz at {level:.1} dB");
    }
    state.remove(0);
    room.set(&state);
    room.begin();
    assert_eq!(room.mix(), Some(None), "who leaves has no floor");
}
