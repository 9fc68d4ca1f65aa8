//! Calls that a user takes from elsewhere by a step of the dialplan: what rings at a colleague's (pickup), and what is parked
//! (retrieve). The caller's leg leaves its own call, which ends, and arrives in the other one as an INVITE with Replaces does.

use super::Switch;
use super::call::{Call, Coming, Doing};
use super::transfer::Wish;
use super::world::{CallKey, LegRef, World};
use crate::b2bua::leg::Peer;
use crate::config::User;
use crate::event::{Class, Ending, Side, TransferKind, What};
use crate::verb::Outcome;

impl Call {
    /// The step `pickup`: what comes of it is known when all that this input changes is done.
    pub fn pick_up_elsewhere(&mut self, w: &mut World, user: Option<String>, group: Option<String>) -> Option<Outcome> {
        let by = self.caller_user();
        self.doing = Doing::Moving;
        w.wish(Wish::PickUp { call: self.key, by, user, group });
        None
    }

    pub fn retrieve(&mut self, w: &mut World, slot: String) -> Option<Outcome> {
        self.doing = Doing::Moving;
        w.wish(Wish::Retrieve { call: self.key, slot });
        None
    }

    /// The user whose phone is leg 0; "" if it is none.
    fn caller_user(&self) -> String {
        match self.legs.first().map(|leg| &leg.peer) {
            Some(Peer::User(name)) => name.clone(),
            _ => String::new(),
        }
    }

    /// Leg 0 may go to another call: nothing but its own script holds it here, and its party hears nothing before the answer.
    fn caller_can_leave(&self) -> bool {
        let is_free = self.transfer.is_none() && self.arrivals.is_empty() && self.aside.is_none() && !self.direct;
        let leg = self.legs.first();
        let can = leg
            .is_some_and(|leg| leg.is_up() || leg.is_answering() || leg.is_asking() && leg.session.media().is_none());
        is_free && can && self.ending.is_none() && self.queued.is_none() && matches!(self.doing, Doing::Moving)
    }

    /// Whether a leg may come into this call from another one.
    fn takes_one_in(&self) -> bool {
        let is_free = self.transfer.is_none() && self.arrivals.is_empty() && self.aside.is_none() && !self.direct;
        is_free && self.ending.is_none() && self.has_room()
    }

    /// This leg rings, and whoever answers for it is joined to leg 0.
    fn rings_for_pickup(&self, leg: u8) -> bool {
        let rings = matches!(self.doing, Doing::Dialing(_)) && !self.seeks_party();
        rings && self.takes_one_in() && self.legs.get(usize::from(leg)).is_some_and(crate::b2bua::leg::Leg::is_called)
    }
}

/// Both enter the dialplan at one context, or are in one pickup group.
fn are_colleagues(a: &User, b: &User) -> bool {
    a.context == b.context || a.pickup_groups.iter().any(|g| b.pickup_groups.contains(g))
}

impl Switch {
    pub(super) fn on_pickup(&mut self, key: CallKey, by: &str, user: Option<&str>, group: Option<&str>) {
        match self.ringing_for(key, by, user, group) {
            Err(why) => self.stays(key, &why),
            Ok(named) => {
                let old = self.calls.get(named.call).and_then(|c| c.legs.get(usize::from(named.leg)));
                let old = old.map_or(String::new(), |leg| leg.peer.as_str().to_owned());
                self.move_caller(
                    key,
                    named.call,
                    Coming::PicksUp(named.leg),
                    (TransferKind::Pickup, &old),
                    "picked_up",
                );
            }
        }
    }

    /// What rings longest where `by` may answer.
    fn ringing_for(&self, own: CallKey, by: &str, user: Option<&str>, group: Option<&str>) -> Result<LegRef, String> {
        let w = &self.world;
        let picker = w.user(by).ok_or("who picks up is no user")?;
        if user.is_none() && group.is_none() && picker.pickup_groups.is_empty() {
            return Err(format!("{by} has no pickup_group"));
        }
        let is_meant = |u: &User| match (user, group) {
            (Some(name), _) => u.name == name && are_colleagues(u, picker),
            (None, Some(group)) => u.name != by && u.pickup_groups.iter().any(|g| g == group),
            (None, None) => u.name != by && u.pickup_groups.iter().any(|g| picker.pickup_groups.contains(g)),
        };
        let ringing = w.config.users.iter().filter(|u| is_meant(u)).flat_map(|u| w.ringing(&u.name));
        let candidates = ringing.filter_map(|tag| {
            let named = w.dialog(tag).filter(|named| named.call != own)?;
            let call = self.calls.get(named.call).filter(|call| call.rings_for_pickup(named.leg))?;
            Some((call.legs.get(usize::from(named.leg))?.started.mono, tag, named))
        });
        let longest = candidates.min_by_key(|(since, tag, _)| (*since, *tag));
        longest.map(|(.., named)| named).ok_or_else(|| "nothing rings that may be picked up".to_owned())
    }

    pub(super) fn on_retrieve(&mut self, key: CallKey, slot: &str) {
        let parked = self.world.parked.get(slot).copied().filter(|parked| {
            let call = self.calls.get(*parked);
            *parked != key && call.is_some_and(|call| matches!(call.doing, Doing::Parked) && call.takes_one_in())
        });
        match parked {
            None => self.stays(key, &format!("nobody is parked at {slot}")),
            Some(call) => self.move_caller(key, call, Coming::Retrieves, (TransferKind::Retrieved, slot), "retrieved"),
        }
    }

    /// It comes to nothing: the script goes on.
    fn stays(&mut self, key: CallKey, why: &str) {
        self.with_call(key, |call, w| {
            if matches!(call.doing, Doing::Moving) {
                call.note(w, Side::Call, What::Note(why.into()));
                call.step_done(w, Outcome::Failed);
            }
        });
    }

    /// The caller of one call goes over into another, and its own ends.
    fn move_caller(
        &mut self,
        from: CallKey,
        to: CallKey,
        coming: Coming,
        (kind, what): (TransferKind, &str),
        reason: &'static str,
    ) {
        let ids = self.calls.get(from).zip(self.calls.get(to)).map(|(from, to)| (from.id, to.id));
        let Some((from_id, to_id)) = ids else { return };
        let mut gone = None;
        self.with_call(from, |call, w| {
            if call.caller_can_leave() {
                call.note(w, Side::Leg(0), What::Note(format!("goes to the call {to_id}").into()));
                gone = call.release(w, 0);
            }
        });
        let Some(leg) = gone else { return self.stays(from, "the caller hears something already: answer it first") };
        self.with_call(to, |call, w| {
            let index = call.take_in(w, leg, coming);
            call.note_transfer(w, index, what, kind, Some(from_id));
        });
        self.with_call(from, |call, w| call.finish(w, Ending::new(Class::Caller, reason, 0)));
    }
}
