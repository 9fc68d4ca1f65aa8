//! What a script asks the switch to do, with every variable expanded, and how it went.

use crate::base::time::Duration;
use crate::media::command::Tone;
use std::sync::Arc;

/// One thing to do now. `set`, `branch`, `goto` and `log` never reach the switch.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    Answer,
    Reject {
        status: u16,
        /// "" for the RFC's phrase.
        reason: String,
    },
    /// `loops` 0 is for ever. On an unanswered call it is early media (183).
    Play {
        file: Arc<str>,
        loops: u32,
    },
    Tone {
        tone: Tone,
        country: Arc<str>,
        duration: Option<Duration>,
    },
    Echo {
        /// `None`: until the caller hangs up.
        duration: Option<Duration>,
    },
    Dial(Box<Dial>),
    Pause(Duration),
    Hangup {
        /// SIP reason phrase or cause for the other side; "" for none.
        reason: String,
    },
    /// A line for the timeline and the log.
    Log(String),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Dial {
    /// In the order in which the dialplan names them.
    pub targets: Vec<Target>,
    pub strategy: Strategy,
    /// How long it may ring before `no_answer`, per target if sequential; default 60 s.
    pub timeout: Duration,
    /// What the called side sees; `None`: the caller's own.
    pub caller_id: Option<String>,
    pub caller_name: Option<String>,
    pub media: MediaMode,
    /// Limits what is offered, in this order; empty: the configuration's.
    pub codecs: Vec<String>,
    /// Longest talk after the answer; `None`: the configuration's.
    pub time_limit: Option<Duration>,
    /// What the caller hears until somebody answers: `None` passes the called side's ringing and early media through; a country's
    /// ringback tone is played otherwise.
    pub ringback: Option<Arc<str>>,
    /// Further headers for the INVITE, name and value.
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    Sequential,
    Simultaneous,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaMode {
    Anchored,
    /// Session descriptions pass untouched, no media through Tandem.
    Direct,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// All contacts of a registered user at once.
    User(String),
    /// A number through the first trunk of these that takes it.
    Number {
        number: String,
        trunks: Vec<String>,
    },
    Uri(String),
}

/// How an action went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// Anything but `dial` that came to its end.
    Done,
    /// It could not be done (a prompt that cannot be played, …).
    Failed,
    Answered,
    Busy,
    NoAnswer,
    Cancelled,
}

impl Outcome {
    /// As written under `on:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Answered => "answered",
            Outcome::Busy => "busy",
            Outcome::NoAnswer => "no_answer",
            Outcome::Cancelled => "cancelled",
        }
    }
}
