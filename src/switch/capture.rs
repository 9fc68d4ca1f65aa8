//! Digits that a script asks of a party: the one place that holds them. They are counted on the timeline and never shown.
//!
//! What is pressed before anybody asks waits, so that who knows the menu need not hear it; the next gather takes it first.

use super::call::{Call, Doing};
use super::sound::Playlist;
use super::world::{CallTimer, World};
use crate::event::{Side, What};
use crate::media::command::{Hears, Tones};
use crate::verb::{Gather, Outcome};
use std::fmt;

/// Keys that wait for a gather, and keys of one gather; further ones are dropped.
const AHEAD_MAX: usize = 32;
const KEYS_MAX: usize = 256;
/// "Gather: Invalid config for speech provider".
const NO_SPEECH: u32 = 13_343;

/// What was typed. Printed as its length; wiped when it goes.
#[derive(Default)]
pub struct Keys(String);

impl Keys {
    fn with_room(room: usize) -> Keys {
        // Room from the beginning: a string that grows leaves copies behind.
        Keys(String::with_capacity(room))
    }

    /// False if there is no room.
    fn push(&mut self, key: char, max: usize) -> bool {
        if self.0.is_empty() {
            self.0.reserve_exact(max);
        }
        let fits = self.0.len() < max;
        if fits {
            self.0.push(key);
        }
        fits
    }

    fn take_first(&mut self) -> Option<char> {
        let first = self.0.chars().next()?;
        self.0.remove(0);
        Some(first)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the application that asked.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} digits>", self.len())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

/// A gather under way.
#[derive(Debug)]
pub struct Gathering {
    gather: Gather,
    keys: Keys,
    pub prompts: Playlist,
    /// The prompts are over or were stopped: the time runs.
    is_listening: bool,
}

/// What a key does.
enum Took {
    More,
    /// It is over, by this key if it was one that ends.
    Over(Option<char>),
}

impl Gathering {
    fn take(&mut self, key: char) -> Took {
        if self.gather.finish_on_key == Some(key) {
            return Took::Over(Some(key));
        }
        self.keys.push(key, KEYS_MAX);
        let is_full = self.gather.digits.is_some_and(|n| self.keys.len() >= n as usize);
        if is_full || self.keys.len() == KEYS_MAX { Took::Over(None) } else { Took::More }
    }
}

impl Call {
    /// Begins a gather; its outcome if it is over already.
    pub fn gather(&mut self, w: &mut World, gather: Gather) -> Option<Outcome> {
        if gather.speech {
            let text = format!("{NO_SPEECH} Gather: no speech provider is configured, what is said is not recognised");
            self.note(w, Side::Call, What::Note(text.into()));
            if !gather.dtmf {
                return Some(Outcome::Failed);
            }
        }
        if let Some(leg) = self.legs.get_mut(usize::from(self.front)) {
            leg.session.want_tones(Tones::Told);
        }
        let prompts = Playlist::new(gather.prompts.iter().cloned());
        let keys = Keys::with_room(KEYS_MAX);
        let mut gathering = Box::new(Gathering { gather, keys, prompts, is_listening: false });
        while let Some(key) = self.ahead.take_first() {
            if let Took::Over(key) = gathering.take(key) {
                self.doing = Doing::Gathering(gathering);
                return self.gathered(w, key);
            }
        }
        let is_begun = !gathering.keys.is_empty() && gathering.gather.barge_in;
        let is_over = is_begun || self.play_next(w, &mut gathering.prompts);
        self.doing = Doing::Gathering(gathering);
        if is_over {
            self.await_keys(w);
        }
        None
    }

    /// The prompts are over: the time begins to run.
    pub fn await_keys(&mut self, w: &mut World) {
        let Doing::Gathering(gathering) = &mut self.doing else { return };
        gathering.is_listening = true;
        let timeout = gathering.gather.timeout;
        let leg = self.front;
        self.hear(w, leg, Hears::Silence);
        self.set_timer(w, CallTimer::Step, timeout);
    }

    /// A key of the party whom the script asks, or is about to ask.
    pub fn on_key(&mut self, w: &mut World, key: char) {
        match &mut self.doing {
            Doing::Gathering(gathering) if gathering.gather.dtmf => {
                if let Took::Over(key) = gathering.take(key) {
                    if let Some(outcome) = self.gathered(w, key) {
                        self.step_done(w, outcome);
                    }
                    return;
                }
                if gathering.is_listening {
                    return self.await_keys(w);
                }
                if gathering.gather.barge_in {
                    let prompts = std::mem::take(&mut gathering.prompts);
                    self.stop_playing(w, prompts);
                    self.await_keys(w);
                }
            }
            Doing::Nothing
            | Doing::AwaitMedia(_)
            | Doing::AwaitAck(_)
            | Doing::Playing(_)
            | Doing::Sounding(_)
            | Doing::Pausing
            | Doing::Fetching(_) => self.keep_key(w, key),
            _ => {}
        }
    }

    fn keep_key(&mut self, w: &World, key: char) {
        if !self.ahead.push(key, AHEAD_MAX) {
            self.note(w, Side::Call, What::Note("too many digits before anybody asks: dropped".into()));
        }
    }

    /// The time is over; false if the timer was another's.
    pub fn on_gather_timer(&mut self, w: &mut World) -> bool {
        if !matches!(&self.doing, Doing::Gathering(gathering) if gathering.is_listening) {
            return false;
        }
        if let Some(outcome) = self.gathered(w, None) {
            self.step_done(w, outcome);
        }
        true
    }

    /// The gather is over. Its outcome, or `None` where an application is asked what follows.
    fn gathered(&mut self, w: &mut World, finished_on: Option<char>) -> Option<Outcome> {
        let Doing::Gathering(gathering) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return None };
        let Gathering { gather, keys, prompts, is_listening } = *gathering;
        self.cancel_timer(w, CallTimer::Step);
        if !is_listening {
            self.stop_playing(w, prompts);
        }
        let by = finished_on.map_or("", |_| ", ended by a key");
        self.note(w, Side::Call, What::Note(format!("{} digits gathered{by}", keys.len()).into()));
        let is_told = !keys.is_empty() || gather.action_on_empty;
        if let Some(action) = gather.action.filter(|_| is_told) {
            let parameters = vec![
                ("Digits".to_owned(), keys.expose().to_owned()),
                ("FinishedOnKey".to_owned(), finished_on.map_or_else(String::new, String::from)),
                ("msg".to_owned(), "Gather End".to_owned()),
            ];
            if self.ask(w, &action, parameters) {
                return None;
            }
        }
        if let Some(script) = &mut self.script {
            script.set("digits", keys.expose().to_owned());
        }
        Some(if keys.is_empty() { Outcome::None } else { Outcome::Done })
    }
}
