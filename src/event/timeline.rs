//! A call's timeline: what `tandem trace` draws.

use super::Ending;
use crate::base::time::Instant;
use std::net::SocketAddr;

/// Who a timeline entry is about: the caller's leg is 0, the legs called are 1, 2, … in order of creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Call,
    Leg(u8),
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A SIP message in or out: start line in short ("INVITE sip:100@…", "180 Ringing"), with CSeq.
    Received {
        line: Box<str>,
        cseq: u32,
        source: SocketAddr,
    },
    Sent {
        line: Box<str>,
        cseq: u32,
        target: SocketAddr,
    },
    /// Which rule was taken, or why none was.
    Route(Box<str>),
    /// A script step begins: verb with its arguments, where it stands.
    Step {
        verb: Box<str>,
        at: Box<str>,
    },
    /// A step came to its end.
    Outcome(Box<str>),
    /// Media: latched, refused, playing, timeout, codec chosen.
    Media(Box<str>),
    /// A digit arrived: a dot in its place, by which method, and how it was passed on.
    Digit(Box<str>),
    Note(Box<str>),
    Ended(Ending),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub at: Instant,
    pub side: Side,
    pub what: What,
}

/// At most [`Timeline::ENTRIES_MAX`] entries; what comes later is counted.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    entries: Vec<Entry>,
    dropped: u32,
}

impl Timeline {
    pub const ENTRIES_MAX: usize = 1_000;

    pub fn push(&mut self, at: Instant, side: Side, what: What) {
        if self.entries.len() < Self::ENTRIES_MAX || matches!(what, What::Ended(_)) {
            self.entries.push(Entry { at, side, what });
        } else {
            self.dropped += 1;
        }
    }

    /// Two legs have changed places.
    pub fn swap_legs(&mut self, a: u8, b: u8) {
        for entry in &mut self.entries {
            entry.side = match entry.side {
                Side::Leg(leg) if leg == a => Side::Leg(b),
                Side::Leg(leg) if leg == b => Side::Leg(a),
                side => side,
            };
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many entries found no room.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }
}
