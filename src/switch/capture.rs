//! Digits that a script asks of a party: the one place that holds them. They are counted on the timeline and never shown.
//!
//! What is pressed before anybody asks waits, so that who knows the menu need not hear it; the next gather takes it first.

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

/// Keys that wait for a gather; further ones are dropped.
const AHEAD_MAX: usize = 32;
/// Pay's and Gather's "Insecure … action found" in PCI mode.
const INSECURE: u32 = 13_337;
/// "Gather: Invalid config for speech provider".
const NO_SPEECH: u32 = 13_343;

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
        let is_secret = gather.pci || self.is_pci(w);
        if is_secret {
            self.seal(w, self.front);
        } else if let Some(leg) = self.legs.get_mut(usize::from(self.front)) {
            leg.session.want_tones(Tones::Told);
        }
        let prompts = Playlist::new(gather.prompts.iter().cloned());
        let keys = Keys::default();
        let mut gathering = Box::new(Gathering { gather, keys, prompts, is_listening: false, is_secret });
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
            Doing::Paying(_) => self.on_payer_key(w, key),
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
        let Gathering { gather, keys, prompts, is_listening, is_secret } = *gathering;
        self.cancel_timer(w, CallTimer::Step);
        if !is_listening {
            self.stop_playing(w, prompts);
        }
        let by = finished_on.map_or("", |_| ", ended by a key");
        self.note(w, Side::Call, What::Note(format!("{} digits gathered{by}", keys.len()).into()));
        let is_told = !keys.is_empty() || gather.action_on_empty;
        if let Some(action) = gather.action.filter(|_| is_told) {
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
        }
        Some(if keys.is_empty() { Outcome::None } else { Outcome::Done })
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
