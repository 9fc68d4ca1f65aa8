//! What the switch asks of the recorder and what it is told.

use crate::base::time::{Duration, Instant, Now};
use crate::event::{CallId, RecordingId};
use crate::media::command::TapId;

/// What a recording holds of a tapped leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sides {
    /// What the leg's owner says: a message; or all that is said in a room.
    Said,
    /// Both, mixed into one channel.
    Mono,
    /// Both, a channel each: what the owner says is the first.
    #[default]
    Dual,
}

impl Sides {
    pub const fn channels(self) -> u8 {
        match self {
            Sides::Said | Sides::Mono => 1,
            Sides::Dual => 2,
        }
    }
}

/// What stands in a recording for the time of a pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Paused {
    #[default]
    Silence,
    /// Nothing: the recording is shorter.
    Skip,
}

/// A recording that begins.
#[derive(Clone, PartialEq, Debug)]
pub struct Start {
    pub tap: TapId,
    pub id: RecordingId,
    pub call: CallId,
    /// The number of the conference that it is of.
    pub conference: Option<u128>,
    pub at: Now,
    pub sides: Sides,
    /// Cut silence off both ends.
    pub trim: bool,
    /// Tell when the owner has said nothing for so long.
    pub quiet_after: Option<Duration>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    Start(Box<Start>),
    Pause {
        tap: TapId,
        at: Instant,
        how: Paused,
    },
    Resume {
        tap: TapId,
        at: Instant,
    },
    /// Answered by one `Stopped`, some hundreds of milliseconds later: what is under way still comes.
    Stop {
        tap: TapId,
        at: Instant,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The owner has said nothing for `quiet_after`; once.
    Quiet { tap: TapId },
    /// The recording is over: how much sound it has, and whether somebody was heard.
    Stopped { tap: TapId, duration: Duration, heard: bool },
    /// It can no longer be written (a full disk, one that stalls too long); the call goes on. What is there is kept.
    Failed { tap: TapId, why: &'static str },
}

impl Event {
    pub const fn tap(&self) -> TapId {
        match self {
            Event::Quiet { tap } | Event::Stopped { tap, .. } | Event::Failed { tap, .. } => *tap,
        }
    }
}
