//! What the switch asks of those who listen to a party: what was said, or whether a person or a machine has answered.

use super::machine;
use crate::base::time::{Duration, Instant};
use crate::event::CallId;
use std::fmt;
use std::sync::Arc;

/// One listening to one party; the number is that of the media leg's tap. Numbered by the switch, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenId(pub u64);

/// Longest text of a recogniser that is taken, in octets; the rest is cut off.
pub const HEARD_BYTES_MAX: usize = 4_096;

/// A party to be listened to, from `at` on, until the last event or [`super::Order::Enough`].
#[derive(Clone, PartialEq, Debug)]
pub struct Listen {
    pub id: ListenId,
    pub call: CallId,
    /// On the media clock.
    pub at: Instant,
    pub what: What,
}

#[derive(Clone, PartialEq, Debug)]
pub enum What {
    Words(Words),
    Machine(machine::Settings),
}

/// What is said is to be written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// As markup names it: "en-US"; empty for the default.
    pub language: Arc<str>,
    /// What is likely to be said, separated by commas.
    pub hints: Arc<str>,
    /// Silence after speech that ends it; `None`: a short pause.
    pub pause: Option<Duration>,
    /// Longest speech.
    pub speech_max: Duration,
    /// What is understood so far is told as well.
    pub is_partial: bool,
}

/// What was heard. Nothing comes after [`Heard::Words`], [`Heard::Answered`] and [`Heard::Failed`].
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    /// Somebody has begun to speak.
    Began,
    /// So far.
    Partial(Arc<str>),
    /// All that was said; empty if it was nothing that can be understood. `confidence` 0.0 is not known, 1.0 the highest.
    Words { text: Arc<str>, confidence: f32 },
    /// Who has answered, and how long that took to find.
    Answered { by: machine::AnsweredBy, after: Duration },
    /// Nobody can listen.
    Failed(Arc<str>),
}

impl Heard {
    pub const fn is_last(&self) -> bool {
        !matches!(self, Heard::Began | Heard::Partial(_))
    }
}

/// "Gather: Invalid config for speech provider".
pub const NO_RECOGNISER: u32 = 13_343;

impl fmt::Display for ListenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
