//! Who calls, proved: PASSporTs in Identity headers (RFC 8224, 8225, 8226, 8588; ATIS-1000074).
//!
//! This part reads and writes tokens and judges what stands in them. Keys, certificates and curves are the shell's: an [`Order`] is
//! answered by one [`Event`] with its id. A token is signed there because ECDSA needs a secret key and a fresh secret number, neither
//! of which the core holds; time comes from the input's clock, so all that is signed follows from the inputs.

mod check;
mod header;
mod number;
mod passport;

pub use check::{Candidate, Claimed, Found, Replays, check};
pub use header::{FIELD, IDENTITIES_MAX, Signed, TOKEN_MAX};
pub use number::{Party, number};
pub use passport::{Claims, claims, origin, signing_input};

/// Numbered by the switch, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OrderId(pub u64);

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Sign a PASSporT's header and payload, both encoded, with a dot between them.
    Sign { id: OrderId, input: String },
    /// Is this token signed by a certificate that may speak for the caller?
    Verify { id: OrderId, candidate: Box<Candidate> },
}

impl Order {
    pub const fn id(&self) -> OrderId {
        match self {
            Order::Sign { id, .. } | Order::Verify { id, .. } => *id,
        }
    }

    /// The answer to an order that nobody can take.
    pub fn refused(&self, why: &str) -> Event {
        match self {
            Order::Sign { id, .. } => Event::Signed { id: *id, signature: Err(why.into()) },
            Order::Verify { id, .. } => Event::Verified { id: *id, result: Err(Fault::new(Kind::BadInfo, why)) },
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The signature: 64 octets (RFC 7518 §3.4).
    Signed {
        id: OrderId,
        signature: Result<Vec<u8>, String>,
    },
    Verified {
        id: OrderId,
        result: Result<(), Fault>,
    },
}

/// How much is said of a caller's right to its number (ATIS-1000074 §5.2.3, RFC 8588 §4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Attest {
    /// Full: our customer, with a right to the number.
    A,
    /// Partial: our customer, and we do not know of a right to the number.
    B,
    /// Gateway: it came to us from a network that we know.
    C,
}

impl Attest {
    pub const ALL: [Attest; 3] = [Attest::A, Attest::B, Attest::C];

    pub const fn as_str(self) -> &'static str {
        match self {
            Attest::A => "A",
            Attest::B => "B",
            Attest::C => "C",
        }
    }

    pub fn from_name(name: &str) -> Option<Attest> {
        Attest::ALL.into_iter().find(|a| a.as_str() == name)
    }
}

/// What verification says of a number (3GPP TS 24.229 §7.2A.20).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verstat {
    Passed,
    Failed,
    /// There was nothing to be verified, or it could not be.
    None,
}

impl Verstat {
    pub const fn as_str(self) -> &'static str {
        match self {
            Verstat::Passed => "TN-Validation-Passed",
            Verstat::Failed => "TN-Validation-Failed",
            Verstat::None => "No-TN-Validation",
        }
    }
}

/// Why a caller is not proved, as RFC 8224 §6.2.2 sorts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Older, or younger, than is believed; or used before.
    Stale,
    /// There is none that we understand.
    Absent,
    /// The certificate cannot be had.
    BadInfo,
    /// There is a certificate, and it is not to be believed.
    Unsupported,
    /// The signature, or what is signed, does not fit the call.
    Invalid,
}

impl Kind {
    pub const fn status(self) -> u16 {
        match self {
            Kind::Stale => 403,
            Kind::Absent => 428,
            Kind::BadInfo => 436,
            Kind::Unsupported => 437,
            Kind::Invalid => 438,
        }
    }

    pub const fn phrase(self) -> &'static str {
        match self {
            Kind::Stale => "Stale Date",
            Kind::Absent => "Use Identity Header",
            Kind::BadInfo => "Bad Identity Info",
            Kind::Unsupported => "Unsupported Credential",
            Kind::Invalid => "Invalid Identity Header",
        }
    }

    /// In words of ours, for records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Stale => "stale",
            Kind::Absent => "absent",
            Kind::BadInfo => "bad_info",
            Kind::Unsupported => "unsupported_credential",
            Kind::Invalid => "invalid",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub kind: Kind,
    /// For people: "the certificate has expired".
    pub why: String,
}

impl Fault {
    pub fn new(kind: Kind, why: impl Into<String>) -> Fault {
        Fault { kind, why: why.into() }
    }

    /// Value of the Reason header that tells it to the caller's side (RFC 9410 §4).
    pub fn reason(&self) -> String {
        format!("STIR;cause={};text=\"{}\"", self.kind.status(), self.kind.phrase())
    }
}

#[cfg(test)]
mod tests;
