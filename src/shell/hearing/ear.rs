//! One party's sound: packets become samples on a line of time, and speech in them is found.

use super::Tell;
use super::session::{Session, Sessions};
use crate::base::time::{Duration, Instant};
use crate::media::tap::Frame;
use crate::recording::voice::Voice;
use crate::speech::machine::{Detector, Sound};
use crate::speech::{Endpoint, Event, Heard, Listen, ListenId, Turn, What};
use crate::switch::Input;
use codecs::{tone, vad};
use std::collections::VecDeque;

/// What comes later than this is not heard.
const HOLD: Duration = Duration::from_millis(100);
const FRAME: Duration = Duration::from_millis(20);
/// What a recogniser gets of the time before speech was noticed.
const AHEAD: Duration = Duration::from_secs(1);
/// Words need more than the band of a telephone if there is more; a machine's beep does not.
const WORDS_HZ: u32 = 16_000;
const MACHINE_HZ: u32 = 8_000;
/// 20 ms at 16 kHz.
const SAMPLES_MAX: usize = 320;

/// See the module's documentation.
pub struct Ear {
    listen: Listen,
    rate: u32,
    voice: Voice,
    /// Frames that were heard.
    heard: u32,
    vad: vad::Detector,
    task: Task,
}

enum Task {
    /// Nobody speaks yet; what was heard last.
    Waits(Endpoint, VecDeque<i16>),
    Speaks(Endpoint, Session),
    Machine(Detector),
}

impl Ear {
    pub fn new(listen: Listen) -> Ear {
        let (rate, task) = match &listen.what {
            What::Words(words) => {
                (WORDS_HZ, Task::Waits(Endpoint::new(words.pause, words.speech_max), VecDeque::new()))
            }
            What::Machine(settings) => (MACHINE_HZ, Task::Machine(Detector::new(*settings))),
        };
        Ear { listen, rate, voice: Voice::new(rate), heard: 0, vad: vad::Detector::new(rate), task }
    }

    pub fn take(&mut self, frame: &Frame) {
        self.voice.take(self.listen.at, frame);
    }

    /// Hears what has come together until now; false if it is over.
    pub fn hear(&mut self, now: Instant, sessions: &mut Sessions, tell: &Tell) -> bool {
        self.voice.release(self.listen.at, now);
        while FRAME * (self.heard + 1) + HOLD <= now.since(self.listen.at) {
            self.heard += 1;
            let mut frame = [0; SAMPLES_MAX];
            let frame = frame.get_mut(..self.rate as usize / 50).unwrap_or_default();
            self.voice.track.take(frame);
            if !self.frame(frame, sessions, tell) {
                return false;
            }
        }
        true
    }

    fn frame(&mut self, frame: &[i16], sessions: &mut Sessions, tell: &Tell) -> bool {
        let is_voice = self.vad.push(frame);
        let id = self.listen.id;
        match &mut self.task {
            Task::Machine(detector) => {
                let sound = match tone::single(frame, self.rate) {
                    Some(hz) => Sound::Tone(hz),
                    None if is_voice => Sound::Voice,
                    None => Sound::Silence,
                };
                let Some(by) = detector.push(sound, FRAME) else { return true };
                let after = detector.total();
                told(tell, id, Heard::Answered { by, after });
                false
            }
            Task::Waits(endpoint, ahead) => {
                let room = (AHEAD.as_millis() as usize) * self.rate as usize / 1_000;
                ahead.drain(..(ahead.len() + frame.len()).saturating_sub(room));
                ahead.extend(frame);
                if !matches!(endpoint.push(is_voice, FRAME), Turn::Began(_)) {
                    return true;
                }
                let What::Words(words) = &self.listen.what else { return false };
                told(tell, id, Heard::Began);
                let sound = std::mem::take(ahead);
                match sessions.begin(id, words, self.rate) {
                    Ok(mut session) => {
                        session.sound(sound.into());
                        self.task = Task::Speaks(endpoint.clone(), session);
                        true
                    }
                    Err(why) => {
                        told(tell, id, Heard::Failed(why.into()));
                        false
                    }
                }
            }
            Task::Speaks(endpoint, session) => {
                if !session.sound(frame.to_vec()) {
                    return false;
                }
                let is_over = endpoint.push(is_voice, FRAME) == Turn::Over;
                if is_over {
                    session.end();
                }
                !is_over
            }
        }
    }
}

fn told(tell: &Tell, id: ListenId, what: Heard) {
    tell(Input::Speech(Event::Heard { id, what }));
}
