//! Digits: how they come and go, and those that a leg is to send.

use std::fmt;

/// Digits that may wait at one leg.
pub const DIGITS_MAX: usize = 32;
/// Of a digit whose duration nobody has told, in milliseconds.
pub const DIGIT_MS: u16 = 100;

/// How a digit is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Method {
    /// As RTP payload of its own (telephone-event).
    Rfc4733,
    /// As tones among the sound.
    Inband,
    /// By SIP INFO, of which media knows nothing.
    Info,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Rfc4733 => "RFC 4733",
            Method::Inband => "in-band",
            Method::Info => "INFO",
        }
    }
}

/// What becomes of digits that a leg's peer sends as tones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tones {
    /// They are not looked for.
    #[default]
    Passed,
    /// They are told, and heard by whoever hears the leg.
    Told,
    /// They are told, and nobody hears them: whoever hears the leg gets them in another way.
    Taken,
    /// They are told; nobody hears them, nor events, nor what was said 60 ms before them: all sound waits for so long.
    Sealed,
}

/// A digit to be sent. `Debug` does not show which: it may be of a PIN.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Press {
    /// 0-9, *, #, A-D; nothing is sent of another.
    pub digit: char,
    /// In milliseconds; at least 40 are sent (Q.24).
    pub duration_ms: u16,
}

impl fmt::Debug for Press {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Press(•, {} ms)", self.duration_ms)
    }
}
