//! What the switch asks of a speaker and of those who listen, and what it is told. Engines, their processes and the cache are the
//! shell's.

mod endpoint;
mod listen;
pub mod machine;

pub use endpoint::{Endpoint, PAUSE, Turn};
pub use listen::{HEARD_BYTES_MAX, Heard, Listen, ListenId, NO_RECOGNISER, What, Words};

use crate::event::CallId;
use std::fmt;
use std::sync::Arc;

/// One text to be spoken. Numbered by the switch, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SayId(pub u64);

/// Longest text that is spoken, in characters, as Twilio's.
pub const TEXT_CHARS_MAX: usize = 4_096;

/// A text to be made into sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Say {
    pub id: SayId,
    pub call: CallId,
    /// Plain text, or the inside of an SSML document with its elements if `is_ssml`.
    pub text: Arc<str>,
    pub is_ssml: bool,
    /// As markup names it: "en-US"; empty for the default.
    pub language: Arc<str>,
    /// As markup names it: "alice", "Polly.Joanna", "man"; empty for the default.
    pub voice: Arc<str>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    Say(Box<Say>),
    /// Nobody listens any more: no further part comes, though one that is under way may.
    Cancel(SayId),
    Listen(Box<Listen>),
    /// Nobody is to listen any more: no further event comes, though one that is under way may.
    Enough(ListenId),
}

/// Why a text was not spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub reason: Reason,
    /// What was seen, for the timeline.
    pub detail: Box<str>,
}

/// Kinds of failure; [`Reason::code`] is the published number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No text, too much of it, SSML that is none, or an engine that is missing, broken or late.
    Text,
    Language,
    Voice,
}

impl Reason {
    /// By Twilio's list of errors.
    pub const fn code(self) -> u32 {
        match self {
            Reason::Text => 13_520,
            Reason::Language => 13_511,
            Reason::Voice => 13_512,
        }
    }

    pub const fn message(self) -> &'static str {
        match self {
            Reason::Text => "Say: Invalid text",
            Reason::Language => "Say: Invalid language value",
            Reason::Voice => "Say: Invalid voice value",
        }
    }
}

impl Fault {
    pub fn new(reason: Reason, detail: impl Into<Box<str>>) -> Fault {
        Fault { reason, detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.reason.code(), self.reason.message(), self.detail)
    }
}

/// Parts come in their order, to be played one after the other; what comes after the last or after a failure is nothing.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The path of a file that can be played, absolute.
    Said { id: SayId, file: Arc<str>, is_last: bool },
    /// Parts that came before may have been played.
    Failed { id: SayId, why: Fault },
    /// Of one who is listened to.
    Heard { id: ListenId, what: Heard },
}

impl Event {
    /// The text that it is of; `None` of one who is listened to.
    pub const fn say(&self) -> Option<SayId> {
        match self {
            Event::Said { id, .. } | Event::Failed { id, .. } => Some(*id),
            Event::Heard { .. } => None,
        }
    }

    /// No other event of its id comes.
    pub const fn is_last(&self) -> bool {
        match self {
            Event::Said { is_last, .. } => *is_last,
            Event::Failed { .. } => true,
            Event::Heard { what, .. } => what.is_last(),
        }
    }
}
