//! What a script lets one party hear: prompts of ours, sound that is fetched, and texts that are spoken, one after the other.

use super::call::{Call, Doing};
use super::io::Output;
use super::world::{CallTimer, World};
use crate::base::time::Duration;
use crate::event::{Side, What};
use crate::media::command::{Command, DIGIT_MS, Hears, PlayId, Press};
use crate::speech::{self, SayId};
use crate::verb::{Outcome, Prompt, is_url};
use crate::web::{self, Address, Content, FetchId, Method, Want};
use std::collections::VecDeque;
use std::sync::Arc;

/// What is heard and what is to be heard then.
#[derive(Debug, Default)]
pub struct Playlist {
    left: VecDeque<Prompt>,
    now: Now,
    /// Something could not be played.
    failed: bool,
}

#[derive(Debug, Default)]
enum Now {
    #[default]
    Nothing,
    Play(PlayId),
    /// Sound that is being fetched, and how often it is heard then.
    Fetching(FetchId, u32),
    Saying(Box<Saying>),
    Pausing,
}

/// A text that is being spoken: its parts are heard while the rest is made.
#[derive(Debug)]
struct Saying {
    id: SayId,
    parts: Vec<Arc<str>>,
    next: usize,
    is_complete: bool,
    play: Option<PlayId>,
    /// How often it is heard yet, this time included; 0 is for ever.
    loops: u32,
}

impl Playlist {
    pub fn new(prompts: impl IntoIterator<Item = Prompt>) -> Playlist {
        Playlist { left: prompts.into_iter().collect(), now: Now::Nothing, failed: false }
    }

    pub const fn outcome(&self) -> Outcome {
        if self.failed { Outcome::Failed } else { Outcome::Done }
    }

    /// What plays has another number from now on.
    pub fn renumber(&mut self, old: PlayId, new: PlayId) {
        match &mut self.now {
            Now::Play(id) if *id == old => *id = new,
            Now::Saying(saying) if saying.play == Some(old) => saying.play = Some(new),
            _ => {}
        }
    }

    pub const fn is_pausing(&self) -> bool {
        matches!(self.now, Now::Pausing)
    }
}

impl Call {
    /// Goes on with the next that can be heard; true if nothing is left.
    pub fn play_next(&mut self, w: &mut World, list: &mut Playlist) -> bool {
        let leg = self.front;
        let Some(prompt) = list.left.pop_front() else {
            list.now = Now::Nothing;
            return true;
        };
        list.now = match prompt {
            Prompt::Play { file, loops } if is_url(&self.resolved(&file)) => {
                let address = Address::new(self.resolved(&file), Method::Get);
                Now::Fetching(self.fetch(w, Want::Media, address, None, Vec::new()), loops)
            }
            Prompt::Play { file, loops } => Now::Play(self.play_file(w, file.into(), loops)),
            Prompt::Say(say) => {
                self.hear(w, leg, Hears::Silence);
                let id = self.say(w, &say.text, say.is_ssml, &say.language, &say.voice);
                let saying =
                    Saying { id, parts: Vec::new(), next: 0, is_complete: false, play: None, loops: say.loops };
                Now::Saying(Box::new(saying))
            }
            Prompt::Pause(duration) => {
                self.hear(w, leg, Hears::Silence);
                self.set_timer(w, CallTimer::Step, duration);
                Now::Pausing
            }
        };
        false
    }

    fn play_file(&mut self, w: &mut World, file: Arc<str>, loops: u32) -> PlayId {
        let id = w.new_play();
        let leg = self.front;
        self.hear(w, leg, Hears::Play { id, file, loops });
        id
    }

    /// Nobody is to hear the rest.
    pub fn stop_playing(&mut self, w: &mut World, list: Playlist) {
        match list.now {
            Now::Fetching(id, _) => self.cancel_fetch(w, id),
            Now::Saying(saying) if !saying.is_complete => self.cancel_say(w, saying.id),
            Now::Pausing => self.cancel_timer(w, CallTimer::Step),
            Now::Nothing | Now::Play(_) | Now::Saying(_) => {}
        }
        let leg = self.front;
        self.hear(w, leg, Hears::Silence);
    }

    /// The next part of a text, or what follows it; true if nothing is left.
    fn say_next(&mut self, w: &mut World, list: &mut Playlist) -> bool {
        let Now::Saying(saying) = &mut list.now else { return false };
        if saying.next >= saying.parts.len() && saying.is_complete {
            if saying.loops == 1 || saying.parts.is_empty() {
                return self.play_next(w, list);
            }
            saying.loops = saying.loops.saturating_sub(1);
            saying.next = 0;
        }
        let part = saying.parts.get(saying.next).cloned();
        saying.next += usize::from(part.is_some());
        saying.play = None;
        if let Some(file) = part {
            let id = self.play_file(w, file, 1);
            if let Now::Saying(saying) = &mut list.now {
                saying.play = Some(id);
            }
        }
        false
    }

    /// Runs `f` on the list that is heard, if there is one; what is done when it is over is whoever's it is.
    fn with_list(&mut self, w: &mut World, f: impl FnOnce(&mut Call, &mut World, &mut Playlist) -> bool) {
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        match doing {
            Doing::Sounding(mut list) => {
                let is_over = f(self, w, &mut list);
                let outcome = list.outcome();
                self.doing = Doing::Sounding(list);
                if is_over {
                    self.step_done(w, outcome);
                }
            }
            Doing::Gathering(mut gathering) => {
                let is_over = f(self, w, &mut gathering.prompts);
                self.doing = Doing::Gathering(gathering);
                if is_over {
                    self.await_keys(w);
                }
            }
            Doing::Paying(mut paying) => {
                let is_over = f(self, w, &mut paying.prompts);
                self.doing = Doing::Paying(paying);
                if is_over {
                    self.await_payer(w);
                }
            }
            other => self.doing = other,
        }
    }

    pub fn on_list_play_ended(&mut self, w: &mut World, id: PlayId, played: bool) {
        self.with_list(w, |call, w, list| match &mut list.now {
            Now::Play(playing) if *playing == id => {
                list.failed |= !played;
                if !played {
                    call.note(w, Side::Leg(call.front), What::Media("the prompt could not be played".into()));
                }
                call.play_next(w, list)
            }
            Now::Saying(saying) if saying.play == Some(id) => call.say_next(w, list),
            _ => false,
        });
    }

    /// The pause in a list is over; false if the timer was another's.
    pub fn on_list_timer(&mut self, w: &mut World) -> bool {
        let pauses = match &self.doing {
            Doing::Sounding(list) => list.is_pausing(),
            Doing::Gathering(gathering) => gathering.prompts.is_pausing(),
            Doing::Paying(paying) => paying.prompts.is_pausing(),
            _ => false,
        };
        if pauses {
            self.with_list(w, |call, w, list| call.play_next(w, list));
        }
        pauses
    }

    pub fn on_list_spoken(&mut self, w: &mut World, event: speech::Event) {
        self.with_list(w, |call, w, list| {
            let Now::Saying(saying) = &mut list.now else { return false };
            if Some(saying.id) != event.say() {
                return false;
            }
            match event {
                speech::Event::Said { file, is_last, .. } => {
                    saying.parts.push(file);
                    saying.is_complete |= is_last;
                }
                speech::Event::Failed { why, .. } => {
                    call.note(w, Side::Call, What::Note(why.to_string().into()));
                    list.failed = true;
                    saying.is_complete = true;
                    saying.loops = 1;
                }
                speech::Event::Heard { .. } => {}
            }
            if matches!(&list.now, Now::Saying(saying) if saying.play.is_none()) {
                call.say_next(w, list)
            } else {
                false
            }
        });
    }

    pub fn on_list_fetched(&mut self, w: &mut World, id: FetchId, result: Result<Box<web::Page>, web::Fault>) {
        self.with_list(w, |call, w, list| {
            let Now::Fetching(fetching, loops) = list.now else { return false };
            if fetching != id {
                return false;
            }
            match result.map(|page| page.content) {
                Ok(Content::File(file)) => {
                    list.now = Now::Play(call.play_file(w, file, loops));
                    false
                }
                Ok(Content::Body(_)) => {
                    list.failed = true;
                    call.play_next(w, list)
                }
                Err(fault) => {
                    call.note(w, Side::Call, What::Note(fault.to_string().into()));
                    list.failed = true;
                    call.play_next(w, list)
                }
            }
        });
    }

    /// Begins to let one hear prompts; an outcome if there is nothing to be heard.
    pub fn sound(&mut self, w: &mut World, prompts: impl IntoIterator<Item = Prompt>) -> Option<Outcome> {
        let mut list = Playlist::new(prompts);
        if self.play_next(w, &mut list) {
            return Some(list.outcome());
        }
        self.doing = Doing::Sounding(list);
        None
    }
}

/// A digit's tone and the pause after it, as they are sent; and what w waits.
const DIGIT_SLOT: Duration = Duration::from_millis(200);
const WAIT: Duration = Duration::from_millis(500);
/// Digits in one command.
const RUN_MAX: usize = 16;

impl Call {
    /// The step that sends digits as tones.
    pub fn send_keys(&mut self, w: &mut World, digits: &str) -> Option<Outcome> {
        let front = self.front;
        self.hear(w, front, Hears::Silence);
        if self.send_next(w, digits.chars().collect()) { Some(Outcome::Done) } else { None }
    }

    /// True if all have gone.
    fn send_next(&mut self, w: &mut World, mut keys: VecDeque<char>) -> bool {
        let mut run = Vec::new();
        while let Some(key) = keys.pop_front_if(|key| !key.eq_ignore_ascii_case(&'w') && run.len() < RUN_MAX) {
            run.push(Press { digit: key.to_ascii_uppercase(), duration_ms: DIGIT_MS });
        }
        let took = if run.is_empty() {
            if keys.pop_front().is_none() {
                return true;
            }
            WAIT
        } else {
            DIGIT_SLOT * u32::try_from(run.len()).unwrap_or(1)
        };
        let leg = self.legs.get(usize::from(self.front)).and_then(|leg| leg.session.media());
        if let (Some(leg), false) = (leg, run.is_empty()) {
            w.output(Output::Media(Command::Digits { leg, digits: run.into() }));
        }
        self.doing = Doing::Sending(keys);
        self.set_timer(w, CallTimer::Step, took);
        false
    }

    /// False if the timer was another's.
    pub fn on_sending_timer(&mut self, w: &mut World) -> bool {
        let Doing::Sending(keys) = &mut self.doing else { return false };
        let keys = std::mem::take(keys);
        if self.send_next(w, keys) {
            self.step_done(w, Outcome::Done);
        }
        true
    }
}
