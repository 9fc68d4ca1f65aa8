//! Conference events: whoever asked to know is told, in order, under the conference's own number.

use super::{Conference, Participant};
use crate::event::CallId;
use crate::switch::io::Output;
use crate::switch::web::account_sid;
use crate::switch::world::World;
use crate::web::{self, Address, Callback, Parameters};

/// Who is told of which events: of the first participant that names anybody.
#[derive(Debug)]
pub struct Told {
    pub address: Address,
    pub events: Vec<String>,
    pub next: u32,
}

/// Why a conference is over, and who has ended it.
#[derive(Clone, Debug)]
pub struct Ended {
    pub reason: &'static str,
    pub by: Option<(CallId, String)>,
}

/// A conference's number follows from its name and the moment at which it was made, so that it need not be kept.
pub fn sid_of(name: &str, since_us: i64) -> u128 {
    let fold = |seed: u64| {
        let octets = name.bytes().chain(since_us.to_le_bytes());
        octets.fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
    };
    u128::from(fold(0xCBF2_9CE4_8422_2325)) << 64 | u128::from(fold(0x6C62_272E_07BB_0142))
}

impl Participant {
    fn told(&self) -> Parameters {
        let mut told: Vec<(&str, String)> = vec![
            ("CallSid", self.id.to_string()),
            ("Muted", self.muted.to_string()),
            ("Hold", (self.held || self.holds).to_string()),
            ("Coaching", self.asked.coach.is_some().to_string()),
            ("EndConferenceOnExit", self.asked.end_on_exit.to_string()),
            ("StartConferenceOnEnter", self.asked.start_on_enter.to_string()),
        ];
        told.extend(self.asked.coach.iter().map(|coach| ("CallSidToCoach", coach.clone())));
        if !self.asked.hooks.label.is_empty() {
            told.push(("ParticipantLabel", self.asked.hooks.label.clone()));
        }
        told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl World {
    /// Tells an event, which is one of a kind that is asked for, of a participant or of the whole.
    pub(super) fn tell_conference(
        &mut self,
        name: &str,
        (kind, event): (&str, &str),
        who: Option<&Participant>,
        more: Parameters,
    ) {
        let (account, timestamp) = (account_sid(&self.config).to_owned(), self.now.wall.rfc2822());
        let Some(Conference { sid, told: Some(told), .. }) = self.conferences.by_name.get_mut(name) else { return };
        if !told.events.iter().any(|e| e == kind) {
            return;
        }
        let sequence = told.next;
        told.next += 1;
        let own = [
            ("AccountSid", account),
            ("ConferenceSid", format!("CF{sid:032x}")),
            ("FriendlyName", name.to_owned()),
            ("StatusCallbackEvent", event.to_owned()),
            ("SequenceNumber", sequence.to_string()),
            ("Timestamp", timestamp),
        ];
        let mut parameters: Parameters = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        parameters.extend(who.map(Participant::told).unwrap_or_default());
        parameters.extend(more);
        let callback = Callback { call: CallId(*sid), address: told.address.clone(), parameters };
        self.output(Output::Web(web::Order::Callback(Box::new(callback))));
    }

    /// The last one has left.
    pub(super) fn tell_end(&mut self, name: &str) {
        let Some(conference) = self.conferences.by_name.get(name) else { return };
        let (sid, is_told) = (conference.sid, conference.told.is_some());
        let mut more = Parameters::new();
        if let Some(Ended { reason, by }) = conference.ended.clone() {
            more.push(("ReasonConferenceEnded".to_owned(), reason.to_owned()));
            if let Some((call, label)) = by {
                more.push(("CallSidEndingConference".to_owned(), call.to_string()));
                if !label.is_empty() {
                    more.push(("ParticipantLabelEndingConference".to_owned(), label));
                }
            }
        }
        self.tell_conference(name, ("end", "conference-end"), None, more);
        if is_told {
            self.output(Output::Web(web::Order::Forget(CallId(sid))));
        }
    }

    /// Somebody begins to speak, and whoever spoke before is silent.
    pub(super) fn tell_speaker(&mut self, name: &str, before: Option<crate::media::command::LegId>) {
        let Some(conference) = self.conferences.by_name.get(name) else { return };
        let now = conference.speaker;
        let find = |leg| conference.participants.iter().find(|p| Some(p.leg) == leg).cloned();
        let (silent, speaks) = (find(before), find(now));
        if before == now {
            return;
        }
        for (event, who) in [("participant-speech-stop", silent), ("participant-speech-start", speaks)] {
            if who.is_some() {
                self.tell_conference(name, ("speaker", event), who.as_ref(), Parameters::new());
            }
        }
    }
}
