//! Calls as JSON: what the API answers, the store keeps, the export prints and the command line reads. Names are stable.

use crate::base::time::Wall;
use crate::event::{Cdr, Charge, Direction, Entry, IdentityCdr, LegCdr, Quality, Side, Timeline, TransferCdr, What};
use crate::switch;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::SocketAddr;

/// A call that goes on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CallView {
    pub call: String,
    #[serde(default = "inbound")]
    pub direction: String,
    pub from: String,
    pub to: String,
    pub trunk: Option<String>,
    pub user: Option<String>,
    pub rule: String,
    pub state: String,
    pub started: String,
    pub answered: Option<String>,
    #[serde(default)]
    pub answered_by: Option<String>,
    pub peers: Vec<String>,
}

fn inbound() -> String {
    direction(Direction::Inbound)
}

fn direction(direction: Direction) -> String {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
    .into()
}

impl From<&switch::CallView> for CallView {
    fn from(c: &switch::CallView) -> Self {
        CallView {
            call: c.call.to_string(),
            direction: direction(c.direction),
            from: c.from.clone(),
            to: c.to.clone(),
            trunk: c.trunk.clone(),
            user: c.user.clone(),
            rule: c.rule.clone(),
            state: c.state.into(),
            started: c.started.rfc3339(),
            answered: c.answered.map(Wall::rfc3339),
            answered_by: c.answered_by.map(str::to_owned),
            peers: c.peers.clone(),
        }
    }
}

/// One call detail record; times are RFC 3339 in UTC, durations microseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CdrView {
    pub call: String,
    /// `outbound`: the switch placed it itself. Missing in records of before it did.
    #[serde(default = "inbound")]
    pub direction: String,
    pub node: String,
    pub from: String,
    pub to: String,
    pub trunk: Option<String>,
    pub user: Option<String>,
    pub context: String,
    pub rule: String,
    pub started: String,
    pub answered: Option<String>,
    pub ended: String,
    pub duration_us: u64,
    pub billable_us: u64,
    pub post_dial_delay_us: Option<u64>,
    pub ending: EndingView,
    pub legs: Vec<LegView>,
    /// Missing in records of before there were any.
    #[serde(default)]
    pub transfers: Vec<TransferView>,
    /// human, machine_start, machine_end_beep, machine_end_silence, machine_end_other, fax or unknown, where somebody listened.
    #[serde(default)]
    pub answered_by: Option<String>,
    /// What was verified of the caller, or signed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityView>,
}

/// STIR/SHAKEN of a call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IdentityView {
    /// TN-Validation-Passed, TN-Validation-Failed, No-TN-Validation; none: nothing was verified.
    pub verstat: Option<String>,
    /// A, B or C, and the origin, as the caller's token says.
    pub attest: Option<String>,
    pub origid: Option<String>,
    /// stale, absent, bad_info, unsupported_credential, invalid; and in words.
    pub fault: Option<String>,
    pub why: Option<String>,
    /// The attestation that we signed.
    pub signed: Option<String>,
}

impl From<&IdentityCdr> for IdentityView {
    fn from(i: &IdentityCdr) -> Self {
        let text = |t: Option<&'static str>| t.map(str::to_owned);
        IdentityView {
            verstat: text(i.verstat),
            attest: text(i.attest),
            origid: i.origid.clone(),
            fault: i.fault.as_ref().map(|(kind, _)| (*kind).to_owned()),
            why: i.fault.as_ref().map(|(_, why)| why.clone()),
            signed: text(i.signed),
        }
    }
}

/// As the store keeps it.
pub fn identity_json(identity: Option<&IdentityCdr>) -> Option<String> {
    serde_json::to_string(&IdentityView::from(identity?)).ok()
}

/// One transfer of a call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TransferView {
    pub at: String,
    /// blind, attended, passed, replaced, pickup, parked, retrieved.
    pub kind: String,
    pub by: String,
    pub to: String,
    /// 200, or why it came to nothing; 0 if the call ended before that was known.
    pub status: u16,
    /// The other call that had a part in it.
    pub call: Option<String>,
}

impl From<&TransferCdr> for TransferView {
    fn from(t: &TransferCdr) -> Self {
        TransferView {
            at: t.at.rfc3339(),
            kind: t.kind.as_str().into(),
            by: t.by.clone(),
            to: t.to.clone(),
            status: t.status,
            call: t.call.map(|call| call.to_string()),
        }
    }
}

/// A record's transfers as the store keeps them.
pub fn transfers_json(transfers: &[TransferCdr]) -> Option<String> {
    let views: Vec<TransferView> = transfers.iter().map(Into::into).collect();
    if views.is_empty() { None } else { serde_json::to_string(&views).ok() }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EndingView {
    pub class: String,
    pub reason: String,
    pub status: u16,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LegView {
    pub direction: String,
    pub peer: String,
    pub sip_call_id: String,
    pub flow: String,
    pub started: String,
    pub answered: Option<String>,
    pub ended: String,
    pub status: u16,
    pub codec: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<ChargeView>,
    pub quality: Option<QualityView>,
}

/// [`Charge`]; amounts as decimal numbers in text, which no reader rounds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChargeView {
    pub prefix: String,
    pub price_per_minute: String,
    pub cost: String,
    pub currency: String,
}

impl From<&Charge> for ChargeView {
    fn from(c: &Charge) -> Self {
        ChargeView {
            prefix: c.prefix.clone(),
            price_per_minute: c.price_per_minute.to_string(),
            cost: c.cost.to_string(),
            currency: c.currency.clone(),
        }
    }
}

/// [`Quality`], field by field.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QualityView {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub packets_lost: u64,
    pub packets_duplicate: u64,
    pub packets_reordered: u64,
    pub packets_refused: u64,
    /// Missing in records of before it was counted.
    #[serde(default)]
    pub packets_unprotected: u64,
    #[serde(default)]
    pub packets_replayed: u64,
    pub jitter_ms: f32,
    pub jitter_ms_max: f32,
    /// These six are missing in records of before there was a jitter buffer.
    #[serde(default)]
    pub concealed: Option<f32>,
    #[serde(default)]
    pub clipped: Option<f32>,
    #[serde(default)]
    pub packets_late: u64,
    #[serde(default)]
    pub packets_overflow: u64,
    #[serde(default)]
    pub buffer_ms: Option<f32>,
    #[serde(default)]
    pub buffer_ms_max: Option<f32>,
    pub remote_lost: Option<u64>,
    pub remote_jitter_ms: Option<f32>,
    pub round_trip_ms: Option<f32>,
    pub mos: Option<f32>,
    pub digits: u32,
}

impl From<&Quality> for QualityView {
    fn from(q: &Quality) -> Self {
        let rounded = |ms: f32| (ms * 1_000.0).round() / 1_000.0;
        let share = |share: f32| (share * 1e6).round() / 1e6;
        QualityView {
            packets_received: q.packets_received,
            bytes_received: q.bytes_received,
            packets_sent: q.packets_sent,
            bytes_sent: q.bytes_sent,
            packets_lost: q.packets_lost,
            packets_duplicate: q.packets_duplicate,
            packets_reordered: q.packets_reordered,
            packets_refused: q.packets_refused,
            packets_unprotected: q.packets_unprotected,
            packets_replayed: q.packets_replayed,
            jitter_ms: rounded(q.jitter_ms),
            jitter_ms_max: rounded(q.jitter_ms_max),
            concealed: q.concealed.map(share),
            clipped: q.clipped.map(share),
            packets_late: q.packets_late,
            packets_overflow: q.packets_overflow,
            buffer_ms: q.buffer_ms.map(rounded),
            buffer_ms_max: q.buffer_ms_max.map(rounded),
            remote_lost: q.remote_lost,
            remote_jitter_ms: q.remote_jitter_ms.map(rounded),
            round_trip_ms: q.round_trip_ms.map(rounded),
            mos: q.mos.map(rounded),
            digits: q.digits,
        }
    }
}

impl From<&LegCdr> for LegView {
    fn from(l: &LegCdr) -> Self {
        LegView {
            direction: direction(l.direction),
            peer: l.peer.clone(),
            sip_call_id: l.sip_call_id.clone(),
            flow: l.flow.clone(),
            started: l.started.rfc3339(),
            answered: l.answered.map(Wall::rfc3339),
            ended: l.ended.rfc3339(),
            status: l.status,
            codec: l.codec.map(Into::into),
            charge: l.charge.as_deref().map(Into::into),
            quality: l.quality.as_deref().map(Into::into),
        }
    }
}

impl From<&Cdr> for CdrView {
    fn from(c: &Cdr) -> Self {
        CdrView {
            call: c.call.to_string(),
            direction: direction(c.direction),
            node: c.node.clone(),
            from: c.from.clone(),
            to: c.to.clone(),
            trunk: c.trunk.clone(),
            user: c.user.clone(),
            context: c.context.clone(),
            rule: c.rule.clone(),
            started: c.started.rfc3339(),
            answered: c.answered.map(Wall::rfc3339),
            ended: c.ended.rfc3339(),
            duration_us: c.duration_us,
            billable_us: c.billable_us,
            post_dial_delay_us: c.post_dial_delay_us,
            ending: EndingView {
                class: c.ending.class.as_str().into(),
                reason: c.ending.reason.into(),
                status: c.ending.status,
            },
            legs: c.legs.iter().map(Into::into).collect(),
            transfers: c.transfers.iter().map(Into::into).collect(),
            answered_by: c.answered_by.map(str::to_owned),
            identity: c.identity.as_ref().map(Into::into),
        }
    }
}

/// One line of a timeline. `at_us` counts from the timeline's first entry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EntryView<'a> {
    pub at_us: u64,
    /// The caller's is 0; absent: the whole call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<u8>,
    /// received, sent, route, step, outcome, media, digit, note, ended.
    pub kind: Cow<'a, str>,
    pub text: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cseq: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// Where a step stands: `file:line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Cow<'a, str>>,
}

impl<'a> EntryView<'a> {
    pub fn new(entry: &'a Entry, zero: crate::base::time::Instant) -> Self {
        let (mut cseq_, mut peer, mut place) = (None, None, None);
        let mut sip = |line: &'a str, cseq: u32, address: SocketAddr| {
            (cseq_, peer) = (Some(cseq), Some(address));
            Cow::Borrowed(line)
        };
        let (kind, text) = match &entry.what {
            What::Received { line, cseq, source } => ("received", sip(line, *cseq, *source)),
            What::Sent { line, cseq, target } => ("sent", sip(line, *cseq, *target)),
            What::Route(text) => ("route", Cow::Borrowed(&**text)),
            What::Step { verb, at } => {
                place = Some(Cow::Borrowed(&**at));
                ("step", Cow::Borrowed(&**verb))
            }
            What::Outcome(text) => ("outcome", Cow::Borrowed(&**text)),
            What::Media(text) => ("media", Cow::Borrowed(&**text)),
            What::Digit(text) => ("digit", Cow::Borrowed(&**text)),
            What::Note(text) => ("note", Cow::Borrowed(&**text)),
            What::Ended(ending) => ("ended", Cow::Owned(ending.to_string())),
        };
        let leg = match entry.side {
            Side::Call => None,
            Side::Leg(n) => Some(n),
        };
        let at_us = u64::try_from(entry.at.since(zero).as_micros()).unwrap_or(u64::MAX);
        EntryView { at_us, leg, kind: kind.into(), text, cseq: cseq_, peer, place }
    }
}

/// A timeline with the wall clock at its first entry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TimelineView<'a> {
    pub started: String,
    /// Entries that found no room.
    pub dropped: u32,
    pub entries: Vec<EntryView<'a>>,
}

impl<'a> TimelineView<'a> {
    pub fn new(started: Wall, timeline: &'a Timeline) -> Self {
        TimelineView { started: started.rfc3339(), dropped: timeline.dropped(), entries: entries(timeline).collect() }
    }
}

fn entries(timeline: &Timeline) -> impl Iterator<Item = EntryView<'_>> {
    let zero = timeline.entries().first().map_or(Default::default(), |e| e.at);
    timeline.entries().iter().map(move |e| EntryView::new(e, zero))
}

/// The entries as a JSON array, written into `buffer`, which is used again from call to call.
pub fn entries_json<'b>(timeline: &Timeline, buffer: &'b mut Vec<u8>) -> &'b str {
    buffer.clear();
    buffer.push(b'[');
    for (i, entry) in entries(timeline).enumerate() {
        if i > 0 {
            buffer.push(b',');
        }
        // Writing plain data into memory cannot fail.
        let _ = serde_json::to_writer(&mut *buffer, &entry);
    }
    buffer.push(b']');
    std::str::from_utf8(buffer).unwrap_or("[]")
}

pub fn charge_json(charge: &Charge) -> String {
    serde_json::to_string(&ChargeView::from(charge)).unwrap_or_default()
}

pub fn quality_json(quality: &Quality) -> String {
    serde_json::to_string(&QualityView::from(quality)).unwrap_or_default()
}

/// A record as one JSON object, on one line.
pub fn cdr_json(cdr: &Cdr) -> String {
    serde_json::to_string(&CdrView::from(cdr)).unwrap_or_default()
}
