//! Parking: a call waits in a slot, with music, until somebody retrieves it or it returns to whom it was parked by. Phones watch a
//! slot as they watch a user's line (RFC 4235).

use super::call::{Call, Doing};
use super::subscribe_body::{Line, LineState};
use super::world::{CallTimer, World};
use crate::base::time::Duration;
use crate::event::{Side, TransferKind, What};
use crate::media::HOLD_MUSIC;
use crate::media::command::Hears;
use crate::verb::{AfterDial, Dial, Feature, MediaMode, Outcome, Strategy, Target};

/// How long it rings at whom a call returns to.
const RETURNS_FOR: Duration = Duration::from_secs(30);

impl World {
    /// A free slot: this one, or the first.
    fn free_slot(&self, slot: Option<String>) -> Result<String, String> {
        let Some(slot) = slot.filter(|slot| !slot.is_empty()) else {
            let free = self.config.parking.slots().find(|slot| !self.parked.contains_key(slot));
            return free.ok_or_else(|| "no slot is free".to_owned());
        };
        match self.parked.contains_key(&slot) {
            _ if !self.config.parking.has(&slot) => Err(format!("{slot} is no slot of parking")),
            true => Err(format!("{slot} is taken")),
            false => Ok(slot),
        }
    }
}

impl Call {
    /// There is no slot for it, which is known before the caller is answered.
    pub fn has_no_slot(&mut self, w: &World, feature: &Feature) -> bool {
        let Feature::Park { slot, .. } = feature else { return false };
        let refused = w.free_slot(slot.clone()).err();
        if let Some(why) = &refused {
            self.note(w, Side::Call, What::Note(format!("not parked: {why}").into()));
        }
        refused.is_some()
    }

    /// The step `park`, for one who has been answered.
    pub fn park(
        &mut self,
        w: &mut World,
        slot: Option<String>,
        timeout: Option<Duration>,
        music: Option<String>,
    ) -> Option<Outcome> {
        let slot = match w.free_slot(slot) {
            Ok(slot) => slot,
            Err(why) => {
                self.note(w, Side::Call, What::Note(format!("not parked: {why}").into()));
                return Some(Outcome::Failed);
            }
        };
        self.note(w, Side::Call, What::Note(format!("parked at {slot}").into()));
        if let Some(script) = &mut self.script {
            script.set("park_slot", slot.clone());
        }
        self.note_transfer(w, 0, &slot, TransferKind::Parked, None);
        self.transfer_ends(200);
        let tag = self.legs[0].dialog().local_tag();
        w.parked.insert(slot.clone(), self.key);
        let remote = if self.withheld { "anonymous".to_owned() } else { self.identity(w, 0).0 };
        // Whoever watches retrieves by dialling the slot: no dialog of the caller's is named.
        let line = Line {
            id: tag.to_string(),
            call_id: format!("parked-{tag}"),
            local_tag: slot.clone(),
            remote_tag: tag.to_string(),
            initiator: false,
            state: LineState::Confirmed,
            remote,
        };
        w.set_slot(&slot, tag, Some(line));
        self.parked = Some((slot.into(), tag));
        let (id, file) = (w.new_play(), music.unwrap_or_else(|| HOLD_MUSIC.to_owned()));
        self.hear(w, 0, Hears::Play { id, file: file.into(), loops: 0 });
        self.doing = Doing::Parked;
        self.set_timer(w, CallTimer::Step, timeout.unwrap_or(w.config.parking.timeout));
        None
    }

    /// Nobody has retrieved it: it returns. False if it is not parked.
    pub fn on_park_timer(&mut self, w: &mut World) -> bool {
        if !matches!(self.doing, Doing::Parked) {
            return false;
        }
        let parker = self.script.as_ref().and_then(|script| script.variables().get("transferred_by")).cloned();
        self.hear(w, 0, Hears::Silence);
        match parker.filter(|name| w.user(name).is_some()) {
            None => self.step_done(w, Outcome::NoAnswer),
            Some(name) => {
                self.note(w, Side::Call, What::Note(format!("returns to {name}").into()));
                self.doing = Doing::Nothing;
                if let Some(outcome) = self.dial(w, returning(name)) {
                    self.step_done(w, outcome);
                }
            }
        }
        true
    }

    /// Who retrieves it has its media here, and is joined.
    pub fn is_retrieved(&mut self, w: &mut World, index: u8) {
        self.cancel_timer(w, CallTimer::Step);
        self.doing = Doing::Bridged(index);
        self.dialled.leg = Some(index);
        self.dialled.since = Some(w.now.mono);
        let text = format!("{} retrieved it", self.legs[usize::from(index)].peer.as_str());
        self.note(w, Side::Leg(index), What::Media(text.into()));
        self.join(w, 0, index);
        self.share_codec(w);
    }

    /// Gives the slot back once the call does something else.
    pub fn settle_slot(&mut self, w: &mut World) {
        if matches!(self.doing, Doing::Parked) {
            return;
        }
        if let Some((slot, tag)) = self.parked.take() {
            w.parked.remove(&*slot);
            w.set_slot(&slot, tag, None);
        }
    }
}

/// The call that a parked one becomes.
fn returning(user: String) -> Dial {
    Dial {
        targets: vec![Target::User(user)],
        strategy: Strategy::Sequential,
        timeout: RETURNS_FOR,
        caller_id: None,
        caller_name: None,
        attest: None,
        media: MediaMode::Anchored,
        codecs: Vec::new(),
        time_limit: None,
        ringback: None,
        record: None,
        headers: Vec::new(),
        after: AfterDial::default(),
        callees: Vec::new(),
    }
}
