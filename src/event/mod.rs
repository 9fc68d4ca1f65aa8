//! The facts, each recorded once. CDRs, timelines, logs, metrics and webhooks are folds of these.

mod cdr;
mod ending;
mod outgoing;
mod reach;
mod timeline;

pub use cdr::{Cdr, Charge, Direction, IdentityCdr, LegCdr, Quality, TransferCdr, TransferKind};
pub use ending::{Class, Ending};
pub use outgoing::Outgoing;
pub use reach::Changed;
pub use timeline::{Entry, Side, Timeline, What};

use crate::base::pii::Pii;
use crate::base::time::Wall;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A call's public name: `CA` and 32 hexadecimal digits, the form that Twilio's SDKs check.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u128);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CA{:032x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for CallId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let hex = s.strip_prefix("CA").filter(|h| h.len() == 32 && h.is_ascii()).ok_or(())?;
        u128::from_str_radix(hex, 16).map(CallId).map_err(|_| ())
    }
}

/// A recording's public name: `RE` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordingId(pub u128);

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RE{:032x}", self.0)
    }
}

impl fmt::Debug for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for RecordingId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let hex = s.strip_prefix("RE").filter(|h| h.len() == 32 && h.is_ascii()).ok_or(())?;
        u128::from_str_radix(hex, 16).map(RecordingId).map_err(|_| ())
    }
}

/// What happened, for the log, the store and the metrics. Levels: an operator reads `Info`, a developer `Debug`.
#[derive(Clone, Debug)]
pub enum Fact {
    CallStarted {
        call: CallId,
        from: Pii<String>,
        to: Pii<String>,
        trunk: Option<String>,
        user: Option<String>,
    },
    CallAnswered {
        call: CallId,
    },
    /// A line that the dialplan writes. It says what its author chose to say: not redacted.
    Logged {
        call: CallId,
        line: Box<str>,
    },
    /// The call is over; the shell stores it and answers `Input::Stored`.
    CallEnded(Box<CallRecord>),
    Registered {
        aor: String,
        contact: String,
        source: SocketAddr,
        expires_s: u32,
    },
    Unregistered {
        aor: String,
        contact: String,
        why: &'static str,
    },
    /// A text (MESSAGE) was taken by a receiver, or was not.
    Text {
        from: Pii<String>,
        to: Pii<String>,
        octets: usize,
        status: u16,
    },
    /// A call has left a text to be sent; the shell stores it.
    Outgoing(Box<Outgoing>),
    /// A user, or an operator, has said where the user's calls go; the shell stores it.
    Reached {
        user: String,
        changed: Changed,
    },
    TrunkUp {
        trunk: String,
        target: String,
    },
    TrunkDown {
        trunk: String,
        target: String,
        why: String,
    },
    /// A trunk's calls have fared badly: others go first for so long.
    TrunkOut {
        trunk: String,
        why: String,
        rest_s: u64,
    },
    /// It is tried again, and measured anew.
    TrunkBack {
        trunk: String,
    },
    /// A call passed a cap of `tolls`; told once a minute for each cap and source.
    TollPassed {
        call: CallId,
        toll: String,
        whose: String,
        why: String,
        refused: bool,
    },
    /// A trunk has taken our registration; refreshes are not told.
    TrunkRegistered {
        trunk: String,
        target: String,
        expires_s: u32,
    },
    TrunkUnregistered {
        trunk: String,
        target: String,
        why: String,
    },
    /// Failed credentials or a source that is nobody's: for fail2ban and the operator.
    Denied {
        source: SocketAddr,
        what: &'static str,
        why: &'static str,
    },
    /// What comes from the source is dropped for so long.
    Banned {
        source: IpAddr,
        why: &'static str,
        for_s: u32,
    },
    Unbanned {
        source: IpAddr,
        why: &'static str,
    },
    /// So many new requests were refused since the last such line, because we are late.
    Overloaded {
        refused: u32,
    },
    /// A message that could not be understood; `why` is a fixed phrase.
    BadMessage {
        source: SocketAddr,
        why: &'static str,
    },
}

/// All that is kept of one call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    pub cdr: Cdr,
    pub timeline: Timeline,
    /// The wall clock at the timeline's zero.
    pub started: Wall,
}
