//! Digits and speech that a step asks of the caller, and what the caller hears meanwhile.

use super::Hook;
use crate::base::time::Duration;
use crate::base::yaml::write_duration;
use std::fmt;

/// A text to be spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Say<T = String> {
    /// Plain, or the inside of an SSML document if `is_ssml`.
    pub text: T,
    pub is_ssml: bool,
    /// "" for the default, as the language.
    pub voice: String,
    pub language: String,
    /// 0 is for ever.
    pub loops: u32,
}

/// What is heard while a step waits for digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prompt<T = String> {
    Play { file: T, loops: u32 },
    Say(Say<T>),
    Pause(Duration),
}

/// Twilio's Gather.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gather<T = String> {
    pub dtmf: bool,
    pub speech: bool,
    /// It is over with so many; `None`: by the key, or by the time.
    pub digits: Option<u32>,
    /// The digit that ends it and is no part of it.
    pub finish_on_key: Option<char>,
    /// Silence after the prompts, and between two digits.
    pub timeout: Duration,
    pub prompts: Vec<Prompt<T>>,
    /// The caller's first digit or word stops the prompts.
    pub barge_in: bool,
    /// Where what was entered is sent; its answer is what follows.
    pub action: Option<Hook<T>>,
    /// The request is made without input as well.
    pub action_on_empty: bool,
    /// What is entered is a secret: see `switch::capture`.
    pub pci: bool,
    pub listening: Listening<T>,
}

/// How speech is listened to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listening<T = String> {
    /// Silence that ends what is said; `None`: the recognizer decides.
    pub timeout: Option<Duration>,
    pub max_time: Duration,
    pub language: String,
    pub hints: T,
    pub profanity_filter: bool,
    pub model: String,
    pub enhanced: bool,
    pub partial: Option<Hook<T>>,
}

impl<T> Say<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Say<U> {
        let (voice, language) = (self.voice.clone(), self.language.clone());
        Say { text: f(&self.text), is_ssml: self.is_ssml, voice, language, loops: self.loops }
    }
}

impl<T> Prompt<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Prompt<U> {
        match self {
            Prompt::Play { file, loops } => Prompt::Play { file: f(file), loops: *loops },
            Prompt::Say(say) => Prompt::Say(say.map(f)),
            Prompt::Pause(duration) => Prompt::Pause(*duration),
        }
    }
}

impl<T> Gather<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Gather<U> {
        let l = &self.listening;
        let listening = Listening {
            timeout: l.timeout,
            max_time: l.max_time,
            language: l.language.clone(),
            hints: f(&l.hints),
            profanity_filter: l.profanity_filter,
            model: l.model.clone(),
            enhanced: l.enhanced,
            partial: l.partial.as_ref().map(|hook| hook.map(f)),
        };
        Gather {
            dtmf: self.dtmf,
            speech: self.speech,
            digits: self.digits,
            finish_on_key: self.finish_on_key,
            timeout: self.timeout,
            prompts: self.prompts.iter().map(|p| p.map(f)).collect(),
            barge_in: self.barge_in,
            action: self.action.as_ref().map(|hook| hook.map(f)),
            action_on_empty: self.action_on_empty,
            pci: self.pci,
            listening,
        }
    }
}

impl<T: Default> Default for Listening<T> {
    fn default() -> Listening<T> {
        Listening {
            timeout: None,
            max_time: Duration::from_secs(60),
            language: String::new(),
            hints: T::default(),
            profanity_filter: true,
            model: String::new(),
            enhanced: false,
            partial: None,
        }
    }
}

impl Say {
    pub(super) fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        out.push(("text", self.text.clone()));
        out.push(("voice", self.voice.clone()));
        out.push(("language", self.language.clone()));
        out.push(("loop", self.loops.to_string()));
    }
}

impl Gather {
    /// "dtmf", "speech", or both.
    pub const fn input(&self) -> &'static str {
        match (self.dtmf, self.speech) {
            (_, false) => "dtmf",
            (false, true) => "speech",
            (true, true) => "dtmf speech",
        }
    }

    pub(super) fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        out.extend(self.digits.map(|n| ("digits", n.to_string())));
        out.push(("timeout", write_duration(self.timeout)));
        out.push(("finish_on_key", self.finish_on_key.map_or_else(|| "none".to_owned(), String::from)));
        out.push(("input", self.input().to_owned()));
        out.extend(self.prompts.iter().map(|p| ("prompt", p.to_string())));
        out.push(("barge_in", self.barge_in.to_string()));
        out.extend(self.action.iter().map(|hook| ("action", hook.url.clone())));
        if self.pci {
            out.push(("pci", "true".to_owned()));
        }
        out.push(("language", self.listening.language.clone()));
        out.push(("hints", self.listening.hints.clone()));
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prompt::Play { file, .. } => write!(f, "play {file}"),
            Prompt::Say(say) => write!(f, "say {}", say.text),
            Prompt::Pause(duration) => write!(f, "pause {}", write_duration(*duration)),
        }
    }
}
