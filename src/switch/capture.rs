//! Digits that a script asks of a party: the one place that holds them. They are counted on the timeline and never shown. What is
//! asked for may be said instead (`spoken`).
//!
//! What is pressed before anybody asks waits, so that who knows the menu need not hear it; the next gather takes it first.

mod spoken;

use super::call::{Call, Doing};
use super::io::Output;
use super::sound::Playlist;
use super::world::{CallTimer, World};
use crate::b2bua::leg::Peer;
use crate::base::keys::{KEYS_MAX, Keys};
use crate::event::{Side, What};
use crate::media::command::{Hears, Tones};
use crate::verb::{Gather, Hook, Outcome};
use crate::web::{Address, Confidential, Method, Parameters};
use spoken::{Said, Spoken};

/// Keys that wait for a gather; further ones are dropped.
const AHEAD_MAX: usize = 32;
/// Pay's and Gather's "Insecure … action found" in PCI mode.
const INSECURE: u32 = 13_337;

/// A gather under way.
#[derive(Debug)]
pub struct Gathering {
    gather: Gather,
    keys: Keys,
    pub prompts: Playlist,
    /// The prompts are over or were stopped: the time runs.
    is_listening: bool,
    /// Nobody but the application that asks may learn what is entered.
    is_secret: bool,
    spoken: Spoken,
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
    pub fn gather(&mut self, w: &mut World, mut gather: Gather) -> Option<Outcome> {
        let is_secret = gather.pci || self.is_pci(w);
        if gather.speech && is_secret {
            gather.speech = false;
            self.note(w, Side::Call, What::Note("nobody listens to what is said while it is secret".into()));
            if !gather.dtmf {
                return Some(Outcome::Failed);
            }
        }
        if is_secret {
            self.seal(w, self.front);
        } else if let Some(leg) = self.legs.get_mut(usize::from(self.front)) {
            leg.session.want_tones(Tones::Told);
        }
        let prompts = Playlist::new(gather.prompts.iter().cloned());
        let keys = Keys::default();
        let spoken = Spoken::default();
        let mut gathering = Box::new(Gathering { gather, keys, prompts, is_listening: false, is_secret, spoken });
        while gathering.gather.dtmf
            && let Some(key) = self.ahead.take_first()
        {
            if let Took::Over(key) = gathering.take(key) {
                self.doing = Doing::Gathering(gathering);
                return self.gathered(w, key);
            }
        }
        let is_begun = !gathering.keys.is_empty() && gathering.gather.barge_in;
        let is_over = is_begun || self.play_next(w, &mut gathering.prompts);
        let listens = gathering.gather.barge_in && !is_begun;
        self.doing = Doing::Gathering(gathering);
        if listens {
            self.recognise(w);
        }
        if is_over {
            self.await_keys(w);
        }
        None
    }

    /// The prompts are over: the time begins to run.
    pub fn await_keys(&mut self, w: &mut World) {
        self.recognise(w);
        let Doing::Gathering(gathering) = &mut self.doing else { return };
        gathering.is_listening = true;
        let timeout = gathering.patience();
        let leg = self.front;
        self.hear(w, leg, Hears::Silence);
        self.set_timer(w, CallTimer::Step, timeout);
    }

    /// A key of the party whom the script asks, or is about to ask.
    pub fn on_key(&mut self, w: &mut World, key: char) {
        match &mut self.doing {
            Doing::Paying(_) => self.on_payer_key(w, key),
            Doing::Gathering(gathering) if gathering.gather.dtmf => {
                gathering.spoken = Spoken::Ended;
                self.stop_recognising(w);
                let Doing::Gathering(gathering) = &mut self.doing else { return };
                if let Took::Over(key) = gathering.take(key) {
                    if let Some(outcome) = self.gathered(w, key) {
                        self.step_done(w, outcome);
                    }
                    return;
                }
                self.barge_in(w);
            }
            Doing::Nothing
            | Doing::AwaitMedia(_)
            | Doing::AwaitAck(_)
            | Doing::Playing(_)
            | Doing::Sounding(_)
            | Doing::Pausing
            | Doing::Referring(_)
            | Doing::Fetching(_) => self.keep_key(w, key),
            _ => {}
        }
    }

    /// The caller has begun: the prompts are over, unless they must be heard.
    fn barge_in(&mut self, w: &mut World) {
        let Doing::Gathering(gathering) = &mut self.doing else { return };
        if gathering.is_listening {
            return self.await_keys(w);
        }
        if gathering.gather.barge_in {
            let prompts = std::mem::take(&mut gathering.prompts);
            self.stop_playing(w, prompts);
            self.await_keys(w);
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
        self.gathered_with(w, finished_on, None)
    }

    /// As [`Call::gathered`], with what was said.
    fn gathered_with(&mut self, w: &mut World, finished_on: Option<char>, said: Option<Said>) -> Option<Outcome> {
        self.stop_recognising(w);
        let Doing::Gathering(gathering) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return None };
        let Gathering { gather, keys, prompts, is_listening, is_secret, spoken: _ } = *gathering;
        self.cancel_timer(w, CallTimer::Step);
        if !is_listening {
            self.stop_playing(w, prompts);
        }
        if said.is_none() {
            let by = finished_on.map_or("", |_| ", ended by a key");
            self.note(w, Side::Call, What::Note(format!("{} digits gathered{by}", keys.len()).into()));
        }
        let is_empty = keys.is_empty() && said.is_none();
        if let Some(action) = gather.action.filter(|_| !is_empty || gather.action_on_empty) {
            if gather.speech && (said.is_some() || !gather.dtmf) {
                return if self.ask(w, &action, Said::parameters(said)) { None } else { Some(Outcome::Failed) };
            }
            let parameters = vec![
                ("FinishedOnKey".to_owned(), finished_on.map_or_else(String::new, String::from)),
                ("msg".to_owned(), "Gather End".to_owned()),
            ];
            let digits = Confidential::form([("Digits", keys.expose())]);
            let is_asked = match is_secret {
                true => self.ask_in_secret(w, action, parameters, digits),
                false => {
                    let digits = ("Digits".to_owned(), keys.expose().to_owned());
                    self.ask(w, &action, [vec![digits], parameters].concat())
                }
            };
            if is_asked {
                return None;
            }
        }
        if let Some(script) = &mut self.script {
            // What the dialplan itself names is no secret of the caller's: the choice of a menu.
            let is_shown = !is_secret || script.names(keys.expose());
            script.set("digits", if is_shown { keys.expose().to_owned() } else { String::new() });
            let (text, confidence) = said.map_or_else(Default::default, Said::into_variables);
            script.set("speech", text);
            script.set("confidence", confidence);
        }
        Some(if is_empty { Outcome::None } else { Outcome::Done })
    }

    // ---- secret digits ---------------------------------------------------------------------------------------------

    /// Whether all that is asked for in this call is secret: of the account, or of the caller's trunk.
    pub fn is_pci(&self, w: &World) -> bool {
        let trunk = || match &self.source {
            Peer::Trunk(name) => w.trunks.get(name).is_some_and(|trunk| trunk.pci),
            Peer::User(_) | Peer::Uri(_) => false,
        };
        w.config.pci || trunk()
    }

    /// From now on nobody hears what a leg's peer enters, and nobody is sent it, until the leg is joined to somebody.
    pub fn seal(&mut self, w: &mut World, leg: u8) {
        let timeout = w.config.media.rtp_timeout.filter(|_| self.answered.is_some());
        let Some(of) = self.legs.get_mut(usize::from(leg)) else { return };
        if of.session.is_sealed() {
            return;
        }
        of.session.want_tones(Tones::Sealed);
        if let Some(set) = of.session.refresh(timeout) {
            w.output(Output::Media(set));
        }
        self.note(w, Side::Leg(leg), What::Media("sealed: nobody hears or is sent what is entered".into()));
    }

    /// Asks an application that is told what was entered: by POST, over TLS or on this machine, and of no fallback.
    pub fn ask_in_secret(&mut self, w: &mut World, hook: Hook, parameters: Parameters, secret: Confidential) -> bool {
        let address = self.address(&hook);
        if address.url.is_empty() {
            return false;
        }
        if !crate::web::is_private(&address.url) {
            let text = format!("{INSECURE} Insecure action: what was entered is told over https only");
            self.note(w, Side::Call, What::Note(text.into()));
            return false;
        }
        self.fetch_document(w, Address::new(address.url, Method::Post), parameters, secret);
        true
    }
}
