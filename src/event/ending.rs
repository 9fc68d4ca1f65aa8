//! Why a call ended: whose doing it was, a stable reason, and the SIP status that said it.

use std::fmt;

/// Whose doing an ending was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Class {
    Caller,
    Callee,
    /// The far system: a trunk, a registrar, the network between.
    Peer,
    Script,
    Operator,
    /// Tandem itself: a limit, a missing resource, a fault of ours.
    Tandem,
}

impl Class {
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Caller => "caller",
            Class::Callee => "callee",
            Class::Peer => "peer",
            Class::Script => "script",
            Class::Operator => "operator",
            Class::Tandem => "tandem",
        }
    }
}

/// An ending: class, stable reason (snake_case, never translated, never removed), SIP status (0 where none was sent).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    pub class: Class,
    pub reason: &'static str,
    pub status: u16,
}

impl Ending {
    pub const fn new(class: Class, reason: &'static str, status: u16) -> Self {
        Ending { class, reason, status }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.as_str(), self.reason)?;
        if self.status > 0 { write!(f, " ({})", self.status) } else { Ok(()) }
    }
}
