//! The call detail record: one a call, whatever happened.

use super::{CallId, Ending};
use crate::base::money::Money;
use crate::base::time::Wall;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// One call detail record. Times are wall-clock; durations are monotonic microseconds.
#[derive(Clone, Debug)]
pub struct Cdr {
    pub call: CallId,
    /// Outbound: the switch placed it itself.
    pub direction: Direction,
    pub node: String,
    pub from: String,
    pub to: String,
    pub trunk: Option<String>,
    pub user: Option<String>,
    pub context: String,
    /// The rule that took the call: its name, or `file:line`; empty if none did.
    pub rule: String,
    pub started: Wall,
    pub answered: Option<Wall>,
    pub ended: Wall,
    pub duration_us: u64,
    /// From the answer to the end; 0 if never answered.
    pub billable_us: u64,
    /// From INVITE in to the first INVITE out, if there was one.
    pub post_dial_delay_us: Option<u64>,
    pub ending: Ending,
    /// The caller's leg first, or the called party's that answered a call of ours; then each leg that was tried, in order.
    pub legs: Vec<LegCdr>,
    /// In their order.
    pub transfers: Vec<TransferCdr>,
    /// "human", "machine_start" and so on, where somebody listened who it is.
    pub answered_by: Option<&'static str>,
    /// What was verified or signed, if anything was.
    pub identity: Option<IdentityCdr>,
}

/// What a signature said of who called, and what we signed ourselves (RFC 8588).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdentityCdr {
    /// "TN-Validation-Passed", …; `None`: nothing was verified.
    pub verstat: Option<&'static str>,
    pub attest: Option<&'static str>,
    pub origid: Option<String>,
    /// Its kind, and why.
    pub fault: Option<(&'static str, String)>,
    /// The attestation of our own signature.
    pub signed: Option<&'static str>,
}

/// How a call came to have another party.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferKind {
    /// To a number, without asking whoever is there.
    Blind,
    /// To one with whom the transferor had a call already.
    Attended,
    /// Passed on: the other party was asked to go there by itself.
    Passed,
    /// Somebody took a party's place by an INVITE of its own.
    Replaced,
    /// Somebody answered what rang elsewhere.
    Pickup,
    Parked,
    Retrieved,
    /// A user has its calls go elsewhere, always or by this cause.
    Forwarded(&'static str),
}

impl TransferKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            TransferKind::Blind => "blind",
            TransferKind::Attended => "attended",
            TransferKind::Passed => "passed",
            TransferKind::Replaced => "replaced",
            TransferKind::Pickup => "pickup",
            TransferKind::Parked => "parked",
            TransferKind::Retrieved => "retrieved",
            TransferKind::Forwarded(why) => why,
        }
    }
}

/// One transfer of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransferCdr {
    pub at: Wall,
    pub kind: TransferKind,
    /// Whose doing it was: a trunk's or a user's name.
    pub by: String,
    /// The number dialled, or who it was.
    pub to: String,
    /// 200, or why it came to nothing; 0 if the call ended before that was known.
    pub status: u16,
    /// The other call that had a part in it.
    pub call: Option<CallId>,
}

#[derive(Clone, Debug)]
pub struct LegCdr {
    pub direction: Direction,
    /// Where it came from or went to: a trunk's or a user's name, or the URI.
    pub peer: String,
    pub sip_call_id: String,
    pub flow: String,
    pub started: Wall,
    pub answered: Option<Wall>,
    pub ended: Wall,
    /// The final status of the INVITE.
    pub status: u16,
    pub codec: Option<&'static str>,
    /// By the trunk's rates; `None` where they have none for the number.
    pub charge: Option<Box<Charge>>,
    pub quality: Option<Box<Quality>>,
}

/// What a trunk charges for a leg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charge {
    /// Leading digits by which the rate was found.
    pub prefix: String,
    pub price_per_minute: Money,
    pub cost: Money,
    pub currency: String,
}

/// A media leg's account (RFC 3550 §6.4, ITU-T G.107). Received = from the peer; remote = as the peer's reports say of us.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Quality {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    /// Expected minus received, never negative.
    pub packets_lost: u64,
    pub packets_duplicate: u64,
    pub packets_reordered: u64,
    /// Not RTP, an unknown payload type, from a foreign source, or of a second SSRC at once.
    pub packets_refused: u64,
    /// Of the refused, those that the peer's SRTP key did not protect, and those that came again; 0 on a plain leg.
    pub packets_unprotected: u64,
    pub packets_replayed: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1): mean and maximum of the running estimate, milliseconds.
    pub jitter_ms: f32,
    pub jitter_ms_max: f32,
    /// Of what had to be decoded (for another codec, a room, a recording): the share of sound that was made up, and that is cut off
    /// at full scale, 0 to 1; packets that came too late to be played, and that were skipped as too many waited; how long packets
    /// waited, mean and maximum, milliseconds. `None` and 0 where all was relayed.
    pub concealed: Option<f32>,
    pub clipped: Option<f32>,
    pub packets_late: u64,
    pub packets_overflow: u64,
    pub buffer_ms: Option<f32>,
    pub buffer_ms_max: Option<f32>,
    /// What the peer reported of our stream; `None` if it never did.
    pub remote_lost: Option<u64>,
    pub remote_jitter_ms: Option<f32>,
    pub round_trip_ms: Option<f32>,
    /// E-model estimate, 1.0 to 4.5; `None` if nothing was received.
    pub mos: Option<f32>,
    pub digits: u32,
}
