//! Rooms: who hears whom when more than two speak. The desired state of a room, whole.

use super::{LegId, PlayId, TapId};
use std::sync::Arc;

/// Members of one room; what is over it is not mixed.
pub const MEMBERS_MAX: usize = 1_000;
/// Members that [`Says::Only`] can name; further ones do not hear.
pub const ONLY_MAX: usize = 16;
/// A gain of one, in units of 1/4096.
pub const UNITY_Q12: i16 = 4_096;

/// A conference's mix. Numbered by the switch, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RoomId(pub u64);

/// Who hears what a member says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Says {
    #[default]
    Everyone,
    /// A coach, who whispers.
    Only(Box<[LegId]>),
    /// Muted, on hold, or there to listen.
    Nobody,
}

/// What a member hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Listens {
    /// The others, announcements and beeps.
    #[default]
    Talk,
    /// The room's music, or silence where there is none: on hold, or before the conference begins.
    Music,
    /// Deaf.
    Nothing,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub leg: LegId,
    pub says: Says,
    pub listens: Listens,
    /// Gain of what it says, in units of 1/4096; negative is taken as 0.
    pub volume_q12: i16,
}

impl Member {
    /// One who talks with everybody.
    pub const fn new(leg: LegId) -> Member {
        Member { leg, says: Says::Everyone, listens: Listens::Talk, volume_q12: UNITY_Q12 }
    }
}

/// Something that the whole room hears. A changed `id` begins anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomSound {
    pub id: PlayId,
    pub what: Sounding,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sounding {
    /// A prompt by its file name, `loops` times; 0 is for ever.
    File { file: Arc<str>, loops: u32 },
    /// Somebody has come: two rising tones.
    Enter,
    /// Somebody has gone: two falling tones.
    Exit,
}

/// The desired state of one room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoomState {
    /// Ordered by leg, each leg once, at most [`MEMBERS_MAX`]. Their legs have [`Hears::Room`](super::Hears::Room).
    pub members: Vec<Member>,
    /// Over the talk; its end is not told.
    pub beep: Option<RoomSound>,
    /// Over the talk; its end is told by `RoomPlayEnded`.
    pub announcement: Option<RoomSound>,
    /// For members that listen to it, decoded once.
    pub music: Option<RoomSound>,
    /// Copies the talk, as one who only listens hears it, to whoever takes the taps: a recorder.
    pub tap: Option<TapId>,
}
