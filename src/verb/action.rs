//! What a script asks the switch to do, with every variable expanded, and how it went.

use super::pay::Pay;
use super::{Dequeue, Enqueue, Feature, Gather, Hook, Refer, Say, Sms, StatusHook, Unavailable};
use crate::base::pii::Secret;
use crate::base::time::Duration;
use crate::base::yaml::write_duration;
use crate::media::command::Tone;
use crate::speech::machine;
use std::fmt;
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
    Say(Box<Say>),
    /// Tones for the caller's side: 0-9, *, #, A-D, and w for half a second's wait.
    SendDigits(String),
    Gather(Box<Gather>),
    Pay(Box<Pay>),
    Tone {
        tone: Tone,
        /// "" for the configuration's.
        country: Arc<str>,
        duration: Option<Duration>,
    },
    Echo {
        /// `None`: until the caller hangs up.
        duration: Option<Duration>,
    },
    Dial(Box<Dial>),
    Conference(Box<Conference>),
    Record(Box<Record>),
    RecordCall(RecordCall, Option<Box<StatusHook>>),
    Enqueue(Box<Enqueue>),
    Dequeue(Box<Dequeue>),
    /// Out of the queue in which this document is what is heard.
    Leave,
    /// What a document there says takes the place of this script.
    Redirect(Redirect),
    Refer(Box<Refer>),
    Sms(Box<Sms>),
    Unavailable(Box<Unavailable>),
    /// Pickup, park, retrieve, forward.
    Feature(Box<Feature>),
    Pause(Duration),
    Hangup {
        /// SIP reason phrase or cause for the other side; "" for none.
        reason: String,
    },
    /// A line for the timeline and the log.
    Log(String),
}

/// Another document, and where it is asked for if the first fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect<T = String> {
    pub to: Hook<T>,
    pub fallback: Option<Hook<T>>,
}

impl<T> Redirect<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Redirect<U> {
        Redirect { to: self.to.map(f), fallback: self.fallback.as_ref().map(|hook| hook.map(f)) }
    }
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
    /// "A", "B", "C" or "none": what is signed of the caller; `None`: the trunk decides.
    pub attest: Option<String>,
    pub media: MediaMode,
    /// Limits what is offered, in this order; empty: the configuration's.
    pub codecs: Vec<String>,
    /// Longest talk after the answer; `None`: the configuration's.
    pub time_limit: Option<Duration>,
    /// What the caller hears until somebody answers: `None` passes the called side's ringing and early media through; a country's
    /// ringback tone is played otherwise.
    pub ringback: Option<Arc<str>>,
    pub record: Option<DialRecord>,
    /// Further headers for the INVITE, name and value.
    pub headers: Vec<(String, String)>,
    pub after: AfterDial,
    /// What is known of each target beyond its address, in the order of `targets`; may be shorter.
    pub callees: Vec<Callee>,
}

/// What a dial tells, and what the caller may do in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AfterDial {
    /// Asked when the dial is over; its answer is what follows.
    pub action: Option<Hook>,
    /// The caller's * ends the talk, and not the call.
    pub hangup_on_star: bool,
    pub recording: Option<StatusHook>,
    /// Cut silence off both ends of the recording.
    pub trim: bool,
    /// Where a REFER of the called side is told.
    pub refer: Option<Hook>,
}

/// One who is called, beyond its address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Callee {
    /// A document for the one who answers, before both are joined.
    pub url: Option<Hook>,
    pub status: Option<StatusHook>,
    /// Sent as tones after the answer; w is half a second.
    pub send_digits: String,
    pub credentials: Option<(String, Secret)>,
    pub headers: Vec<(String, String)>,
    /// Somebody listens whether a person or a machine answers, and how that is found out.
    pub machine: Option<machine::Settings>,
    pub machine_status: Option<Hook>,
}

/// To join the conference of a name, until it ends or the caller hangs up. It begins when there are two and one of those who
/// are there may begin it; before that all hear `wait`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conference {
    pub name: String,
    pub beep: Beep,
    /// Hears and is not heard.
    pub muted: bool,
    /// A call's id or a user's name: only that one hears what this one says.
    pub coach: Option<String>,
    pub start_on_enter: bool,
    /// It ends for all when this one leaves.
    pub end_on_exit: bool,
    /// Who comes when so many are there does not get in.
    pub max_participants: u32,
    /// Music before it begins and on hold; `None`: silence.
    pub wait: Option<Arc<str>>,
    pub hooks: ConferenceHooks,
}

/// What a conference tells, and where its music is said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConferenceHooks {
    /// Asked when this one has left; its answer is what follows.
    pub action: Option<Hook>,
    /// Twilio's start, end, join, leave, mute, hold, modify, speaker, announcement.
    pub status: Option<StatusHook>,
    pub recording: Option<StatusHook>,
    /// A document whose Play is the music.
    pub wait: Option<Hook>,
    pub time_limit: Option<Duration>,
    pub hangup_on_star: bool,
    /// From its beginning on.
    pub record: bool,
    /// Cut silence off both ends of the recording.
    pub trim: bool,
    pub label: String,
}

/// When all hear a beep for somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beep {
    Never,
    Both,
    OnEnter,
    OnExit,
}

impl Beep {
    /// As a dialplan writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Beep::Never => "false",
            Beep::Both => "true",
            Beep::OnEnter => "on_enter",
            Beep::OnExit => "on_exit",
        }
    }

    pub fn parse(text: &str) -> Option<Beep> {
        [Beep::Never, Beep::Both, Beep::OnEnter, Beep::OnExit].into_iter().find(|b| b.as_str() == text)
    }

    pub const fn on_enter(self) -> bool {
        matches!(self, Beep::Both | Beep::OnEnter)
    }

    pub const fn on_exit(self) -> bool {
        matches!(self, Beep::Both | Beep::OnExit)
    }
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
    /// A number through the first trunk of these that takes it; `lcr`: in the order of their rates, of all that have some if
    /// none is named.
    Number {
        number: String,
        trunks: Vec<String>,
        lcr: bool,
    },
    Uri(String),
}

/// A caller's message: Twilio's Record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub max_length: Duration,
    /// Digits of which one ends it.
    pub finish_on_key: String,
    /// Silence that ends it; zero never.
    pub timeout: Duration,
    pub beep: bool,
    /// Cut silence off both ends.
    pub trim: bool,
    /// Asked with the message's address; its answer is what follows.
    pub action: Option<Hook>,
    pub status: Option<StatusHook>,
    /// Where the text goes when somebody has made one of it.
    pub transcribe: Option<StatusHook>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channels {
    /// Both parties in one.
    Mono,
    /// One each; the caller's is the first.
    Dual,
}

/// A recording of the whole call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordCall {
    /// `None`: the configuration's.
    Start(Option<Channels>),
    Stop,
    /// With `skip` the time of the pause is left out; else it is silence.
    Pause {
        skip: bool,
    },
    Resume,
}

/// A recording of what a dial joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialRecord {
    /// `None`: the configuration's.
    pub channels: Option<Channels>,
    /// The ringing too; else from the answer on.
    pub from_ringing: bool,
}

impl Channels {
    /// As a dialplan writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channels::Mono => "mono",
            Channels::Dual => "dual",
        }
    }

    pub fn parse(text: &str) -> Option<Channels> {
        [Channels::Mono, Channels::Dual].into_iter().find(|c| c.as_str() == text)
    }
}

impl DialRecord {
    /// As a dialplan writes it: `true`, `mono`, `dual-from-ringing`, …; `false` is `Some(None)`.
    pub fn parse(text: &str) -> Option<Option<DialRecord>> {
        let (kind, from_ringing) = match text.strip_suffix("from-ringing") {
            Some(kind) => (kind.strip_suffix('-').unwrap_or(kind), true),
            None => (text, false),
        };
        let channels = match kind {
            "false" if !from_ringing => return Some(None),
            "true" if !from_ringing => None,
            "" if from_ringing => None,
            kind => Some(Channels::parse(kind)?),
        };
        Some(Some(DialRecord { channels, from_ringing }))
    }
}

impl fmt::Display for DialRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.channels, self.from_ringing) {
            (None, false) => "true",
            (None, true) => "from-ringing",
            (Some(Channels::Mono), false) => "mono",
            (Some(Channels::Mono), true) => "mono-from-ringing",
            (Some(Channels::Dual), false) => "dual",
            (Some(Channels::Dual), true) => "dual-from-ringing",
        })
    }
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
    /// Nothing was entered.
    None,
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
            Outcome::None => "none",
        }
    }
}

impl Action {
    /// The verb as a dialplan writes it.
    pub const fn verb(&self) -> &'static str {
        match self {
            Action::Answer => "answer",
            Action::Reject { .. } => "reject",
            Action::Play { .. } => "play",
            Action::Say(_) => "say",
            Action::SendDigits(_) => "play",
            Action::Gather(_) => "gather",
            Action::Pay(_) => "pay",
            Action::Tone { .. } => "tone",
            Action::Echo { .. } => "echo",
            Action::Dial(_) => "dial",
            Action::Conference(_) => "conference",
            Action::Record(_) => "record",
            Action::RecordCall(..) => "record_call",
            Action::Enqueue(_) => "enqueue",
            Action::Dequeue(_) => "dial",
            Action::Leave => "leave",
            Action::Redirect(_) => "redirect",
            Action::Refer(_) => "refer",
            Action::Sms(_) => "message",
            Action::Unavailable(_) => "unavailable",
            Action::Feature(feature) => feature.verb(),
            Action::Pause(_) => "pause",
            Action::Hangup { .. } => "hangup",
            Action::Log(_) => "log",
        }
    }

    /// Its arguments by the names that a dialplan uses, the main one first; a field may come more than once.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        match self {
            Action::Answer | Action::Leave => {}
            Action::Say(say) => say.fields(&mut out),
            Action::SendDigits(digits) => out.push(("digits", digits.clone())),
            Action::Gather(gather) => gather.fields(&mut out),
            Action::Pay(pay) => pay.describe(&mut out),
            Action::Enqueue(enqueue) => enqueue.fields(&mut out),
            Action::Feature(feature) => feature.fields(&mut out),
            Action::Dequeue(dequeue) => {
                out.push(("queue", dequeue.name.clone()));
                out.push(("timeout", write_duration(dequeue.timeout)));
                out.extend(dequeue.url.iter().map(|hook| ("url", hook.url.clone())));
            }
            Action::Redirect(redirect) => {
                out.push(("url", redirect.to.url.clone()));
                out.push(("method", redirect.to.method.as_str().to_owned()));
            }
            Action::Refer(refer) => {
                out.push(("uri", refer.uri.clone()));
                out.extend(refer.action.iter().map(|hook| ("action", hook.url.clone())));
            }
            Action::Sms(sms) => {
                out.push(("text", sms.text.clone()));
                out.extend(sms.to.iter().map(|to| ("to", to.clone())));
                out.extend(sms.from.iter().map(|from| ("from", from.clone())));
            }
            Action::Unavailable(unavailable) => out.push(("what", unavailable.what.clone())),
            Action::Reject { status, reason } => {
                out.push(("status", status.to_string()));
                out.push(("reason", reason.clone()));
            }
            Action::Play { file, loops } => {
                out.push(("file", file.to_string()));
                out.push(("loop", loops.to_string()));
            }
            Action::Tone { tone, country, duration } => {
                out.push(("name", tone_name(*tone).to_owned()));
                out.push(("country", country.to_string()));
                out.extend(duration.map(|d| ("duration", write_duration(d))));
            }
            Action::Echo { duration } => out.extend(duration.map(|d| ("duration", write_duration(d)))),
            Action::Dial(dial) => dial.fields(&mut out),
            Action::Conference(conference) => conference.fields(&mut out),
            Action::Record(record) => record.fields(&mut out),
            Action::RecordCall(asked, _) => asked.fields(&mut out),
            Action::Pause(duration) => out.push(("duration", write_duration(*duration))),
            Action::Hangup { reason } => out.push(("reason", reason.clone())),
            Action::Log(line) => out.push(("text", line.clone())),
        }
        out
    }
}

impl Dial {
    fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        for target in &self.targets {
            match target {
                Target::User(name) => out.push(("user", name.clone())),
                Target::Uri(uri) => out.push(("uri", uri.clone())),
                Target::Number { number, trunks, lcr } => {
                    out.push(("number", number.clone()));
                    out.extend(lcr.then(|| ("lcr", "true".to_owned())));
                    out.extend(trunks.iter().map(|t| ("trunks", t.clone())));
                }
            }
        }
        out.push(("timeout", write_duration(self.timeout)));
        if self.targets.len() > 1 {
            out.push(("strategy", self.strategy.as_str().to_owned()));
        }
        out.extend(self.caller_id.iter().map(|c| ("caller_id", c.clone())));
        out.extend(self.caller_name.iter().map(|c| ("caller_name", c.clone())));
        out.extend(self.attest.iter().map(|a| ("attest", a.clone())));
        let media = if self.media == MediaMode::Direct { "direct" } else { "anchored" };
        out.push(("media", media.to_owned()));
        out.extend(self.codecs.iter().map(|c| ("codecs", c.clone())));
        out.extend(self.time_limit.map(|d| ("time_limit", write_duration(d))));
        out.extend(self.record.iter().map(|r| ("record", r.to_string())));
        out.extend(self.ringback.iter().map(|c| ("ringback", c.to_string())));
        out.extend(self.headers.iter().map(|(name, value)| ("headers", format!("{name}: {value}"))));
        out.extend(self.after.action.iter().map(|hook| ("action", hook.url.clone())));
        if self.after.hangup_on_star {
            out.push(("hangup_on_star", "true".to_owned()));
        }
    }
}

impl Record {
    fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        out.push(("max_length", write_duration(self.max_length)));
        out.push(("finish_on_key", self.finish_on_key.clone()));
        out.push(("timeout", write_duration(self.timeout)));
        out.push(("beep", self.beep.to_string()));
        out.push(("trim", self.trim.to_string()));
        out.extend(self.action.iter().map(|hook| ("action", hook.url.clone())));
    }
}

impl RecordCall {
    fn fields(self, out: &mut Vec<(&'static str, String)>) {
        let action = match self {
            RecordCall::Start(_) => "start",
            RecordCall::Stop => "stop",
            RecordCall::Pause { .. } => "pause",
            RecordCall::Resume => "resume",
        };
        out.push(("action", action.to_owned()));
        match self {
            RecordCall::Start(Some(channels)) => out.push(("channels", channels.as_str().to_owned())),
            RecordCall::Pause { skip } => out.push(("paused", if skip { "skip" } else { "silence" }.to_owned())),
            RecordCall::Start(None) | RecordCall::Stop | RecordCall::Resume => {}
        }
    }
}

impl Conference {
    fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        out.push(("name", self.name.clone()));
        out.push(("beep", self.beep.as_str().to_owned()));
        out.push(("muted", self.muted.to_string()));
        out.extend(self.coach.iter().map(|c| ("coach", c.clone())));
        out.push(("start_on_enter", self.start_on_enter.to_string()));
        out.push(("end_on_exit", self.end_on_exit.to_string()));
        out.push(("max_participants", self.max_participants.to_string()));
        out.extend(self.wait.iter().map(|w| ("wait", w.to_string())));
    }
}

/// As a dialplan writes it.
pub const fn tone_name(tone: Tone) -> &'static str {
    match tone {
        Tone::Ringback => "ringback",
        Tone::Busy => "busy",
        Tone::Congestion => "congestion",
        Tone::Dial => "dial",
        Tone::Information => "information",
        Tone::Beep => "beep",
    }
}

/// What a field is if nothing is said of it.
const USUAL: [(&str, &str); 11] = [
    ("wait", crate::media::HOLD_MUSIC),
    ("barge_in", "true"),
    ("finish_on_key", "#"),
    ("input", "dtmf"),
    ("loop", "1"),
    ("media", "anchored"),
    ("beep", "true"),
    ("muted", "false"),
    ("start_on_enter", "true"),
    ("end_on_exit", "false"),
    ("max_participants", "250"),
];

/// `play file=menu.wav loop=1`: the verb and the arguments that say something.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())?;
        let plain = |name: &str, value: &str| value.is_empty() || USUAL.contains(&(name, value));
        self.fields().iter().filter(|(name, value)| !plain(name, value)).try_for_each(|(name, value)| {
            if value.contains(' ') { write!(f, " {name}=\"{value}\"") } else { write!(f, " {name}={value}") }
        })
    }
}
