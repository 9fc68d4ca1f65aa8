//! What goes into the switch and what comes out.

use super::trunks::Figures;
use crate::base::time::Duration;
use crate::config::Config;
use crate::dialplan::Dialplan;
use crate::event::{CallId, Direction, Fact};
use crate::media::command as media;
use crate::rates::Rates;
use crate::recording::command as recording;
use crate::sip::identity;
use crate::sip::locate::{Answer, Query, QueryId};
use crate::sip::transport::{Flow, Listener};
use crate::{speech, web};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What a switch is built from and what a reload replaces, whole.
#[derive(Clone, Debug)]
pub struct Setup {
    pub config: Arc<Config>,
    pub dialplan: Arc<Dialplan>,
    pub rates: Arc<Rates>,
    /// Fixed at start: a reload that changes them is refused by the shell.
    pub listeners: Vec<Listener>,
}

#[derive(Debug)]
pub enum Input {
    /// One datagram, or one message cut out of a stream.
    Received {
        flow: Flow,
        bytes: Bytes,
    },
    /// A stream could not be opened or broke; every message on it is lost.
    FlowFailed {
        flow: Flow,
    },
    Media(media::Event),
    Recording(recording::Event),
    Web(web::Event),
    Speech(speech::Event),
    /// What name servers say to [`Output::Resolve`] with the same id.
    Resolved {
        id: QueryId,
        answer: Answer,
    },
    /// What became of an [`Output::Identity`].
    Identity(identity::Event),
    /// The store has the call's record.
    Stored {
        call: CallId,
    },
    /// How long what is handed over next has waited for us; told again and again while it waits at all.
    Late {
        by: Duration,
    },
    /// The deadline has come.
    Tick,
    /// Answered by one `Output::Reply` with the same id.
    Operator {
        id: u64,
        ask: Operator,
    },
}

/// What the API and the command line ask.
#[derive(Debug)]
pub enum Operator {
    Calls,
    Call(CallId),
    Conferences,
    /// Changes a participant.
    Participant {
        conference: String,
        call: CallId,
        change: super::Change,
    },
    /// Takes one out of a conference, or ends it.
    EndConference {
        conference: String,
        only: Option<CallId>,
    },
    /// Plays a prompt to all in a conference.
    Announce {
        conference: String,
        file: std::sync::Arc<str>,
    },
    /// Plays what a document says to all in a conference.
    AnnounceUrl {
        conference: String,
        address: crate::web::Address,
    },
    Queues,
    /// Takes one who waits, or the first, out of a queue; its call runs something else then. Answered by [`Reply::Member`].
    Dequeue {
        queue: super::QueueId,
        call: Option<CallId>,
        runs: super::Runs,
    },
    /// A queue is removed, if nobody waits in it.
    ForgetQueue(super::QueueId),
    /// What the REST API keeps has changed.
    Settings(Box<super::Settings>),
    Trunks,
    Registrations,
    Bans,
    /// Lifts the ban of a source.
    Unban(IpAddr),
    Hangup(CallId),
    /// How many messages wait for a user: new and old.
    Mailbox {
        user: String,
        new: u32,
        old: u32,
    },
    /// Changes where a user's calls go, and shows it; where nothing is said it shows it only. Answered by [`Reply::Forwarding`].
    Forwarding {
        user: String,
        set: crate::verb::FeatureSettings,
    },
    /// Has a live call run something else from now on.
    Run {
        call: CallId,
        runs: super::Runs,
    },
    /// Begins, pauses, resumes or ends the recording of a live call; answered by [`Reply::Recording`].
    Record {
        call: CallId,
        asked: crate::verb::RecordCall,
    },
    /// Pauses, resumes or ends the recording of a live conference; answered by [`Reply::Recording`].
    RecordConference {
        conference: String,
        only: Option<crate::event::RecordingId>,
        asked: crate::verb::RecordCall,
    },
    /// Conducts a payment by a party of a call; `status` is told.
    Payment {
        call: CallId,
        status: Arc<str>,
        ask: super::PaymentAsk,
    },
    /// Places a call; answered by [`Reply::Placed`] before it rings.
    Originate(Box<super::Originate>),
    Reload(Box<Setup>),
    Drain,
    Undrain,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Calls(Vec<CallView>),
    /// The live call and its timeline so far.
    Call(Box<(CallView, crate::event::CallRecord)>),
    Conferences(Vec<ConferenceView>),
    Queues(Vec<super::QueueView>),
    Member(super::MemberView),
    Trunks(Vec<TrunkView>),
    Registrations(Vec<RegistrationView>),
    /// The recording that was begun, or changed.
    Recording(crate::event::RecordingId),
    /// A payment's name.
    Payment(String),
    /// A call of ours has begun.
    Placed(CallId),
    Bans(Vec<BanView>),
    Forwarding(Box<super::ForwardingView>),
    Done,
    NotFound,
    Refused(String),
}

#[derive(Debug)]
pub enum Output {
    Send {
        flow: Flow,
        bytes: Bytes,
    },
    /// Close a stream after what was sent on it (a peer that cannot be resynchronised).
    Close {
        flow: Flow,
    },
    Media(media::Command),
    Record(recording::Order),
    Web(web::Order),
    Speech(speech::Order),
    /// Ask the name servers; answered once, within seconds.
    Resolve(Query),
    /// Sign or verify; answered once.
    Identity(identity::Order),
    Fact(Fact),
    /// SIP messages with this Call-ID are the call's from now on. Told where the configuration keeps or exports messages, before
    /// the end of the input that began the leg.
    Leg {
        call: CallId,
        call_id: Box<str>,
    },
    Reply {
        id: u64,
        reply: Reply,
    },
}

#[derive(Clone, Debug)]
pub struct CallView {
    pub call: CallId,
    pub direction: Direction,
    pub from: String,
    pub to: String,
    pub trunk: Option<String>,
    pub user: Option<String>,
    pub rule: String,
    /// "routing", "dialing", "ringing" (a call of ours), "answered", "queued", "parked", "bridged", "conference", "ending".
    pub state: &'static str,
    pub started: crate::base::time::Wall,
    pub answered: Option<crate::base::time::Wall>,
    /// Of [`crate::speech::machine::AnsweredBy`], where somebody listened.
    pub answered_by: Option<&'static str>,
    /// Names of the legs called.
    pub peers: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct ConferenceView {
    pub name: String,
    /// `CF` and 32 hexadecimal digits.
    pub sid: String,
    /// "waiting", "in-progress".
    pub state: &'static str,
    pub since: crate::base::time::Wall,
    /// In the order of joining.
    pub participants: Vec<ParticipantView>,
}

#[derive(Clone, Debug)]
pub struct ParticipantView {
    pub call: CallId,
    /// The user who calls, or the number.
    pub name: String,
    pub joined: crate::base::time::Wall,
    pub muted: bool,
    pub hold: bool,
    pub deaf: bool,
    pub coach: Option<String>,
    pub volume_db: i8,
    pub end_on_exit: bool,
    pub start_on_enter: bool,
    pub label: String,
    /// Has the floor.
    pub speaking: bool,
}

#[derive(Clone, Debug)]
pub struct TrunkView {
    pub name: String,
    /// Each target: URI, up or down, reason of the last change.
    pub targets: Vec<(String, bool, String)>,
    /// Of each target, where it is reached, in the order in which it is tried.
    pub addresses: Vec<Vec<String>>,
    pub calls: u32,
    pub calls_max: u32,
    /// "in", "out" or "trial", and why it is out.
    pub health: (&'static str, String),
    pub figures: Figures,
    /// Our registration with it; `None` if we do not register.
    pub registration: Option<super::RegistrationState>,
}

#[derive(Clone, Debug)]
pub struct RegistrationView {
    pub user: String,
    pub contact: String,
    pub source: SocketAddr,
    pub transport: &'static str,
    pub expires_s: u64,
    pub user_agent: String,
}

/// A source whose messages are dropped.
#[derive(Clone, Debug)]
pub struct BanView {
    /// An IPv4 address, or the first of an IPv6 network of 64 bits.
    pub source: IpAddr,
    pub why: &'static str,
    pub for_s: u64,
    /// How many bans this one makes.
    pub times: u32,
}

/// Counters and gauges since the start; `/metrics` prints them all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    pub calls_total: u64,
    pub calls_answered: u64,
    pub calls_active: u64,
    pub calls_refused_limit: u64,
    pub cdrs_unacknowledged: u64,
    pub legs_active: u64,
    pub media_legs_active: u64,
    pub transactions_server: u64,
    pub transactions_client: u64,
    pub timers: u64,
    pub registrations: u64,
    pub trunks_registered: u64,
    /// REGISTERs to trunks that failed.
    pub registers_failed: u64,
    pub messages_received: u64,
    pub messages_sent: u64,
    pub messages_bad: u64,
    pub messages_denied: u64,
    /// Dropped unread since their source is banned.
    pub messages_banned: u64,
    /// Dropped since their source sends too many.
    pub messages_limited: u64,
    pub bans_total: u64,
    pub sources_known: u64,
    pub sources_banned: u64,
    /// Lines, messages, presence that users watch.
    pub subscriptions: u64,
    pub security_lines_dropped: u64,
    /// Calls and registrations refused because we were late.
    pub overload_refused: u64,
    /// Callers whose identity was verified, or was found to be wrong; calls that went out signed.
    pub identities_passed: u64,
    pub identities_failed: u64,
    pub identities_signed: u64,
    /// Calls that passed a cap of `tolls`.
    pub tolls_passed: u64,
    /// MESSAGEs that a receiver took, and others.
    pub texts_relayed: u64,
    pub texts_failed: u64,
    pub retransmissions_sent: u64,
    pub retransmissions_received: u64,
    pub draining: bool,
}
