//! What an application is told of the steps that it asked for: what follows a step that is over, and who rings or answers.

use super::Call;
use crate::event::{CallId, RecordingId};
use crate::switch::web::account_sid;
use crate::switch::world::World;
use crate::verb::{Action, Callee, Hook, Outcome, StatusHook};
use crate::web::Parameters;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of the latest dial.
#[derive(Debug, Default)]
pub struct Dialled {
    /// Who answered, and for how long both talked, in seconds.
    pub leg: Option<u8>,
    pub since: Option<crate::base::time::Instant>,
    /// Another call that was taken out of a queue, in the place of a leg.
    pub other: Option<CallId>,
    pub recording: Option<RecordingId>,
    /// By their legs.
    pub callees: BTreeMap<u8, Arc<Callee>>,
    /// The status with which a cap of `tolls` refused an attempt.
    pub tolled: Option<u16>,
}

fn pairs<const N: usize>(pairs: [(&str, String); N]) -> Parameters {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Twilio's word for how a dial went.
const fn dial_status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered | Outcome::Done => "completed",
        Outcome::Busy => "busy",
        Outcome::NoAnswer | Outcome::None => "no-answer",
        Outcome::Cancelled => "canceled",
        Outcome::Failed => "failed",
    }
}

impl Call {
    /// The name of a leg's part of the call: of the caller's the call's own.
    pub fn leg_sid(&self, leg: u8) -> CallId {
        CallId(self.id.0.wrapping_add(u128::from(leg)))
    }

    fn variable(&self, name: &str) -> String {
        let script = self.script.as_ref();
        script.and_then(|s| s.variables().get(name)).cloned().unwrap_or_default()
    }

    /// The request that a step makes when it is over, and what it says.
    pub fn follow_up_of(&self, w: &World, action: &Action, outcome: Outcome) -> Option<(Hook, Parameters)> {
        match action {
            Action::Dial(dial) => Some((dial.after.action.clone()?, self.dial_parameters(w, outcome))),
            Action::Dequeue(asked) => Some((asked.after.action.clone()?, self.dial_parameters(w, outcome))),
            Action::Enqueue(asked) => {
                let told = self.left.as_ref().map(super::Left::parameters).unwrap_or_default();
                Some((asked.action.clone()?, told))
            }
            Action::Conference(conference) => {
                Some((conference.hooks.action.clone()?, pairs([("DialCallStatus", "answered".to_owned())])))
            }
            Action::Sms(sms) => {
                let sid = self.variable("message");
                let told = [("MessageSid", sid.clone()), ("SmsSid", sid), ("MessageStatus", "queued".to_owned())];
                let more = [("SmsStatus", "queued".to_owned())];
                Some((sms.action.clone()?, pairs(told).into_iter().chain(pairs(more)).collect()))
            }
            // A message in which nobody spoke is none.
            Action::Record(record) if outcome == Outcome::Done => {
                let id = self.variable("recording").parse().ok()?;
                let key = Some(self.variable("recording_key")).filter(|key| !key.is_empty());
                let told = [
                    ("RecordingUrl", recording_url(w, id)),
                    ("RecordingSid", id.to_string()),
                    ("RecordingDuration", self.variable("recording_duration")),
                    ("Digits", key.unwrap_or_default()),
                ];
                Some((record.action.clone()?, pairs(told)))
            }
            _ => None,
        }
    }

    fn dial_parameters(&self, w: &World, outcome: Outcome) -> Parameters {
        let mut told = pairs([("DialCallStatus", dial_status(outcome).to_owned())]);
        if let Some(other) = self.dialled.other.or(self.dialled.leg.map(|leg| self.leg_sid(leg))) {
            let seconds = self.dialled.since.map_or(0, |since| w.now.mono.since(since).as_secs());
            told.extend(pairs([
                ("DialCallSid", other.to_string()),
                ("DialCallDuration", seconds.to_string()),
                ("DialBridged", self.dialled.since.is_some().to_string()),
            ]));
        }
        if let Some(id) = self.dialled.recording {
            told.extend(pairs([("RecordingUrl", recording_url(w, id)), ("RecordingSid", id.to_string())]));
        }
        told
    }

    /// Tells what has become of a leg that was called to whoever asked to know.
    pub fn tell_callee(&mut self, w: &mut World, leg: u8, event: &str, status: &str) {
        let Some(hook) = self.dialled.callees.get(&leg).and_then(|callee| callee.status.clone()) else { return };
        if !hook.events.iter().any(|e| e == event) {
            return;
        }
        let mut told = pairs([
            ("CallSid", self.leg_sid(leg).to_string()),
            ("ParentCallSid", self.id.to_string()),
            ("CallStatus", status.to_owned()),
            ("CallbackSource", "call-progress-events".to_owned()),
        ]);
        if event == "completed" {
            let seconds = match self.dialled.leg {
                Some(answered) if answered == leg => self.dialled.since.map_or(0, |at| w.now.mono.since(at).as_secs()),
                _ => 0,
            };
            told.extend(pairs([("CallDuration", seconds.to_string())]));
        }
        let address = self.address(&hook.hook);
        self.call_back_as(w, address, told);
    }

    /// Tells that a recording is complete.
    pub fn tell_recording(&mut self, w: &mut World, id: RecordingId, status: &StatusHook, seconds: u64) {
        if !status.events.iter().any(|e| e == "completed") {
            return;
        }
        let told = pairs([
            ("RecordingSid", id.to_string()),
            ("RecordingUrl", recording_url(w, id)),
            ("RecordingStatus", "completed".to_owned()),
            ("RecordingDuration", seconds.to_string()),
        ]);
        let address = self.address(&status.hook);
        self.call_back(w, address, told);
    }
}

/// Where the REST API has a recording.
pub fn recording_url(w: &World, id: RecordingId) -> String {
    let config = &w.config;
    format!("http://{}/2010-04-01/Accounts/{}/Recordings/{id}", config.http.listen, account_sid(config))
}
