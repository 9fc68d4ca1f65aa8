//! Packets in a ring become words and judgements, in no time of a clock's.

use super::*;
use crate::base::time::Instant;
use crate::event::CallId;
use crate::media::command::{Codec, TapId};
use crate::media::tap::{Label, Track, frames};
use crate::speech::machine::{AnsweredBy, Settings as Machine};
use crate::speech::{What, Words};
use codecs::g711;
use std::sync::Mutex;
use std::sync::mpsc;

const ID: ListenId = ListenId(7);

struct Bench {
    worker: Worker,
    ring: rtrb::Producer<Frame>,
    told: mpsc::Receiver<Heard>,
    now: Instant,
    packets: u32,
}

impl Bench {
    fn new(provider: Provider, what: What) -> Bench {
        let (ring, taps) = rtrb::RingBuffer::new(4_096);
        let (telling, told) = mpsc::channel();
        let telling = Mutex::new(telling);
        let tell: Tell = Arc::new(move |input| {
            if let Input::Speech(Event::Heard { id: ID, what }) = input {
                let _ = telling.lock().unwrap().send(what);
            }
        });
        let settings = Settings { provider, sessions_max: 1 };
        let mut worker = Worker::new(settings, vec![taps], tell, Arc::default());
        let now = Instant::from_micros(5_000_000);
        worker.order(Order::Listen(Box::new(Listen { id: ID, call: CallId(1), at: now, what })));
        Bench { worker, ring, told, now, packets: 0 }
    }

    /// Lets the party sound so long: tones in Hz, silence without any.
    fn sounds(&mut self, ms: u32, tones: &[f32]) {
        for _ in 0..ms / 20 {
            let sample = |n: u32| -> i16 {
                let t = (self.packets * 160 + n) as f32 / 8_000.0;
                // Steps keep a sum of tones from being steady, as speech is not.
                let wave = |hz: &f32| (2.0 * std::f32::consts::PI * hz * t).sin() * 6_000.0;
                tones.iter().map(wave).sum::<f32>() as i16
            };
            let payload: Vec<u8> = (0..160).map(|n| g711::ulaw_encode(sample(n))).collect();
            let (timestamp, sequence) = (self.packets * 160, self.packets as u16);
            let label = Label {
                tap: TapId(ID.0),
                track: Track::In,
                codec: Codec::Pcmu,
                at: self.now,
                ssrc: 1,
                timestamp,
                sequence,
            };
            frames(label, &payload, |frame| self.ring.push(*frame).unwrap());
            self.packets += 1;
            self.now += Duration::from_millis(20);
            self.worker.turn(self.now);
        }
    }

    /// What is told next; a session's thread takes its time.
    fn heard(&self) -> Option<Heard> {
        self.told.recv_timeout(Duration::from_secs(20)).ok()
    }
}

fn words(pause_ms: Option<u64>, is_partial: bool) -> What {
    let pause = pause_ms.map(Duration::from_millis);
    What::Words(Words { language: "".into(), hints: "".into(), pause, speech_max: Duration::from_secs(10), is_partial })
}

#[test]
fn what_is_said_is_written_down() {
    let mut b = Bench::new(Provider::Tones, words(Some(1_000), true));
    b.sounds(3_000, &[]);
    assert!(b.told.try_recv().is_err(), "nobody speaks yet");
    b.sounds(600, &[450.0]);
    assert_eq!(b.heard(), Some(Heard::Began));
    assert_eq!(b.heard(), Some(Heard::Partial("tone 450".into())));
    b.sounds(600, &[700.0]);
    assert_eq!(b.heard(), Some(Heard::Partial("tone 450 tone 700".into())));
    b.sounds(1_500, &[]);
    assert_eq!(b.heard(), Some(Heard::Words { text: "tone 450 tone 700".into(), confidence: 1.0 }));
    assert!(b.worker.ears.is_empty());
}

#[test]
fn a_click_is_no_speech() {
    let mut b = Bench::new(Provider::Tones, words(None, false));
    b.sounds(1_000, &[]);
    b.sounds(40, &[450.0, 800.0]);
    b.sounds(2_000, &[]);
    assert!(b.told.try_recv().is_err());
    b.worker.order(Order::Enough(ID));
    assert!(b.worker.ears.is_empty());
}

#[test]
fn nobody_hears_without_a_recogniser() {
    let rows = [
        (Provider::None, "no recogniser is configured"),
        (
            Provider::Sphinx { program: "no-such-program".to_owned(), folder: "/".into() },
            "no-such-program is not installed: apt-get install pocketsphinx pocketsphinx-en-us",
        ),
    ];
    for (provider, why) in rows {
        let b = Bench::new(provider, words(None, false));
        assert_eq!(b.heard(), Some(Heard::Failed(why.into())));
    }
    let mut b = Bench::new(Provider::Vosk { url: "ws://127.0.0.1:9/".to_owned() }, words(None, false));
    b.sounds(1_000, &[450.0]);
    assert_eq!(b.heard(), Some(Heard::Began));
    assert!(matches!(b.heard(), Some(Heard::Failed(why)) if why.contains("does not answer")));
}

#[test]
fn one_more_than_may_speak_at_once_is_not_understood() {
    let mut b = Bench::new(Provider::Tones, words(None, false));
    b.worker.counts.sessions.store(1, Ordering::Relaxed);
    b.sounds(1_000, &[450.0]);
    assert_eq!(b.heard(), Some(Heard::Began));
    assert_eq!(b.heard(), Some(Heard::Failed("1 speak already".into())));
}

#[test]
fn who_answers_is_told_by_what_is_heard() {
    let talk: &[f32] = &[300.0, 730.0, 1_130.0];
    type Row<'a> = (bool, &'a [(u32, &'a [f32])], AnsweredBy);
    let rows: &[Row<'_>] = &[
        (false, &[(600, &[]), (600, talk), (3_000, &[])], AnsweredBy::Human),
        (false, &[(600, &[]), (4_000, talk)], AnsweredBy::MachineStart),
        (true, &[(600, &[]), (4_000, talk), (300, &[]), (400, &[1_000.0]), (1_000, &[])], AnsweredBy::MachineEndBeep),
        (true, &[(600, &[]), (4_000, talk), (3_000, &[])], AnsweredBy::MachineEndSilence),
        (false, &[(1_000, &[]), (2_000, &[2_100.0])], AnsweredBy::Fax),
        (false, &[(6_000, &[])], AnsweredBy::Unknown),
    ];
    for (to_end, runs, expected) in rows {
        let settings = Machine { to_end: *to_end, ..Machine::default() };
        let mut b = Bench::new(Provider::None, What::Machine(settings));
        runs.iter().for_each(|(ms, tones)| b.sounds(*ms, tones));
        let heard = b.told.try_recv();
        assert!(matches!(heard, Ok(Heard::Answered { by, .. }) if by == *expected), "{heard:?} {expected:?}");
    }
}
