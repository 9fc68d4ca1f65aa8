//! Conferences that are recorded: all that is said, whoever comes and goes, from the moment at which it is asked for until the last
//! one has left. What a coach whispers is not in it, nor what who is muted or on hold says.

use super::Conference;
use crate::base::time::{Duration, Now};
use crate::event::{CallId, RecordingId};
use crate::media::command::TapId;
use crate::recording::command::{Event, Order, Paused, Sides, Start};
use crate::switch::call::recording_url;
use crate::switch::io::{Output, Reply};
use crate::switch::web::account_sid;
use crate::switch::world::World;
use crate::verb::RecordCall;
use crate::web::{self, Address, Callback};

/// A conference's recording that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    tap: TapId,
    id: RecordingId,
}

/// A recording that the recorder has not ended yet; it may outlive its conference.
#[derive(Debug)]
pub struct Reported {
    sid: u128,
    name: String,
    id: RecordingId,
    since: Now,
    told: Option<(Address, Vec<String>)>,
}

/// Who has a conference recorded: its call, and who is told.
#[derive(Debug)]
pub struct Recorder {
    pub call: CallId,
    pub trim: bool,
    pub told: Option<(Address, Vec<String>)>,
}

impl Recorded {
    pub const fn tap(&self) -> TapId {
        self.tap
    }
}

impl World {
    /// Begins to record a conference that has begun, if somebody asks for it.
    pub(super) fn record_conference(&mut self, name: &str) {
        let Some(conference) = self.conferences.by_name.get_mut(name).filter(|c| c.begun.is_some()) else { return };
        let sid = conference.sid;
        let Some(Recorder { call, trim, told }) = conference.recorder.take() else { return };
        let (at, tap) = (self.now, self.room_tap());
        let id = RecordingId(u128::from(self.ep.rng().next_u64()) << 64 | u128::from(self.ep.rng().next_u64()));
        if let Some(conference) = self.conferences.by_name.get_mut(name) {
            conference.recorded = Some(Recorded { tap, id });
        }
        let start = Start { tap, id, call, conference: Some(sid), at, sides: Sides::Said, trim, quiet_after: None };
        self.output(Output::Record(Order::Start(Box::new(start))));
        let reported = Reported { sid, name: name.to_owned(), id, since: at, told };
        self.tell_recorded(&reported, "in-progress", None);
        self.conferences.reported.insert(tap, reported);
        self.update_conference(name);
    }

    pub(super) fn conference_recording(&self, name: &str) -> Option<RecordingId> {
        Some(self.conferences.by_name.get(name)?.recorded?.id)
    }

    /// Ends a conference's recording, if there is one.
    pub(super) fn end_conference_recording(&mut self, name: &str) -> Option<RecordingId> {
        let at = self.now.mono;
        let Recorded { tap, id } = self.conferences.by_name.get_mut(name)?.recorded.take()?;
        self.output(Output::Record(Order::Stop { tap, at }));
        Some(id)
    }

    /// What the operator asks of a conference's recording; of `only`, if it is named.
    pub fn change_conference_recording(&mut self, name: &str, only: Option<RecordingId>, asked: RecordCall) -> Reply {
        let Some(Conference { recorded: Some(recorded), .. }) = self.conferences.by_name.get(name) else {
            return Reply::NotFound;
        };
        let Recorded { tap, id } = *recorded;
        if only.is_some_and(|only| only != id) {
            return Reply::NotFound;
        }
        let at = self.now.mono;
        match asked {
            RecordCall::Start(_) => return Reply::Refused("the conference is recorded already".to_owned()),
            RecordCall::Stop => {
                self.end_conference_recording(name);
                self.update_conference(name);
            }
            RecordCall::Pause { skip } => {
                let how = if skip { Paused::Skip } else { Paused::Silence };
                self.output(Output::Record(Order::Pause { tap, at, how }));
            }
            RecordCall::Resume => self.output(Output::Record(Order::Resume { tap, at })),
        }
        Reply::Recording(id)
    }

    /// What the recorder tells of a room.
    pub fn on_room_recording(&mut self, event: &Event) {
        match *event {
            Event::Quiet { .. } => {}
            Event::Stopped { tap, duration, .. } => {
                let Some(reported) = self.conferences.reported.remove(&tap) else { return };
                self.tell_recorded(&reported, "completed", Some(duration));
            }
            Event::Failed { tap, .. } => {
                let Some(reported) = self.conferences.reported.remove(&tap) else { return };
                let conference = self.conferences.by_name.get_mut(&reported.name);
                let is_its = |c: &Conference| c.recorded.is_some_and(|r| r.tap == tap);
                if conference.as_deref().is_some_and(is_its) {
                    self.end_conference_recording(&reported.name);
                    self.update_conference(&reported.name);
                }
                self.tell_recorded(&reported, "absent", None);
            }
        }
    }

    fn tell_recorded(&mut self, reported: &Reported, status: &str, duration: Option<Duration>) {
        let Some((address, events)) = &reported.told else { return };
        if !events.iter().any(|e| e == status) {
            return;
        }
        let mut told: Vec<(&str, String)> = vec![
            ("AccountSid", account_sid(&self.config).to_owned()),
            ("ConferenceSid", format!("CF{:032x}", reported.sid)),
            ("FriendlyName", reported.name.clone()),
            ("RecordingSid", reported.id.to_string()),
            ("RecordingUrl", recording_url(self, reported.id)),
            ("RecordingStatus", status.to_owned()),
            ("RecordingChannels", "1".to_owned()),
            ("RecordingStartTime", reported.since.wall.rfc2822()),
            ("RecordingSource", "Conference".to_owned()),
        ];
        told.extend(duration.map(|d| ("RecordingDuration", d.as_millis().div_ceil(1_000).to_string())));
        let parameters = told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let callback = Callback { call: CallId(reported.sid), address: address.clone(), parameters };
        self.output(Output::Web(web::Order::Callback(Box::new(callback))));
        if status != "in-progress" && !self.conferences.by_name.contains_key(&reported.name) {
            self.output(Output::Web(web::Order::Forget(CallId(reported.sid))));
        }
    }
}
