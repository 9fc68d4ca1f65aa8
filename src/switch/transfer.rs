//! REFER and Replaces (RFC 3515, 3891, 5589) where more than one call has a part in it: whom a party may transfer and how, calls that
//! become one, and INVITEs that take the place of a leg.

use super::Switch;
use super::call::{Call, Coming, Doing};
use super::identify::Known;
use super::world::{CallKey, LegRef, World};
use crate::b2bua::leg::{Leg, Peer, offer_of};
use crate::config::Refer;
use crate::event::{Class, Ending, Side, TransferKind, What};
use crate::sip::replaces::{ReferTo, Replaces};
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Uri};

/// What a call wants that concerns others too.
#[derive(Debug)]
pub enum Wish {
    /// A party has sent a REFER; it has no answer yet.
    Refer { me: LegRef, to: Box<ReferTo> },
    /// The caller, a user, wants to answer what rings at another user or in a group.
    PickUp { call: CallKey, by: String, user: Option<String>, group: Option<String> },
    /// The caller wants whoever is parked there.
    Retrieve { call: CallKey, slot: String },
}

impl World {
    /// What a peer's REFER may do. Who is neither a trunk nor a user has nobody transferred at our expense.
    fn refer_policy(&self, peer: &Peer) -> Refer {
        match peer {
            Peer::Trunk(name) => self.trunks.get(name).map(|t| t.refer),
            Peer::User(name) => self.user(name).map(|u| u.refer),
            Peer::Uri(_) => None,
        }
        .unwrap_or(Refer::Refuse)
    }
}

impl Switch {
    pub(super) fn on_wish(&mut self, wish: Wish) {
        match wish {
            Wish::Refer { me, to } => self.on_refer(me, &to),
            Wish::PickUp { call, by, user, group } => {
                self.on_pickup(call, &by, user.as_deref(), group.as_deref());
            }
            Wish::Retrieve { call, slot } => self.on_retrieve(call, &slot),
        }
    }

    fn on_refer(&mut self, me: LegRef, to: &ReferTo) {
        let Some(call) = self.calls.get(me.call) else { return };
        let Some(leg) = call.legs.get(usize::from(me.leg)) else { return };
        let other = call.partner(me.leg).and_then(|other| call.legs.get(usize::from(other)));
        let policy = self.world.refer_policy(&leg.peer);
        let of_other = other.map_or(Refer::Terminate, |other| self.world.refer_policy(&other.peer));
        if policy == Refer::Refuse {
            return self.refuse_refer(me, 403);
        }
        let passes = policy == Refer::Pass || of_other == Refer::Pass || call.direct;
        if passes && let Some(refer_to) = self.passed_refer_to(me, to) {
            return self.pass_refer(me, to, &refer_to);
        }
        match &to.replaces {
            Some(replaces) => self.attended(me, replaces),
            None => self.with_call(me.call, |call, w| call.transfer_blind(w, me.leg, to)),
        }
    }

    fn refuse_refer(&mut self, me: LegRef, status: u16) {
        self.with_call(me.call, |call, w| {
            call.with_leg(w, me.leg, |leg, ep, now| leg.refuse_refer(ep, now, status));
        });
    }

    // ---- passed on -------------------------------------------------------------------------------------------------

    /// Refer-To for the other party, in its own terms; `None` if there is none, or a dialog is meant that it does not know.
    fn passed_refer_to(&self, me: LegRef, to: &ReferTo) -> Option<String> {
        let call = self.calls.get(me.call)?;
        let other = call.legs.get(usize::from(call.partner(me.leg)?))?;
        let uri = match to.uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:")) {
            true => to.uri.clone(),
            false => {
                let user = super::dialing::escape_user(&to.user);
                let target = Uri::parse(other.dialog().target())?;
                let port = target.port.map_or(String::new(), |port| format!(":{port}"));
                match &other.peer {
                    Peer::User(_) => format!("sip:{user}@{}", self.world.config.sip.domain),
                    Peer::Trunk(_) | Peer::Uri(_) => format!("{}:{user}@{}{port}", target.scheme, target.host),
                }
            }
        };
        let Some(replaces) = &to.replaces else { return Some(format!("<{uri}>")) };
        // The dialog that the transferor names is ours; the other party's peer knows the one behind it.
        let named = self.find(replaces)?;
        let consulted = self.calls.get(named.call)?;
        let behind = consulted.legs.get(usize::from(consulted.partner(named.leg)?))?;
        let dialog = behind.dialog();
        let theirs = Replaces {
            call_id: dialog.call_id().to_owned(),
            to_tag: dialog.remote_tag().to_owned(),
            from_tag: dialog.local_tag().to_string(),
            early_only: false,
        };
        (behind.peer == other.peer).then(|| format!("<{uri}?Replaces={}>", escaped(&theirs.value())))
    }

    fn pass_refer(&mut self, me: LegRef, to: &ReferTo, refer_to: &str) {
        self.with_call(me.call, |call, w| {
            let Some(other) = call.partner(me.leg) else { return };
            let by = match &call.legs[usize::from(me.leg)].peer {
                Peer::User(name) => format!("<sip:{name}@{}>", w.config.sip.domain),
                Peer::Trunk(_) | Peer::Uri(_) => format!("<sip:{}>", w.config.sip.domain),
            };
            let sent = call.with_leg(w, other, |leg, ep, now| leg.refer(ep, now, refer_to, &by));
            call.with_leg(w, me.leg, |leg, ep, now| match sent {
                Some(true) => leg.accept_refer(ep, now, 100),
                _ => leg.refuse_refer(ep, now, 491),
            });
            if sent == Some(true) {
                call.note_transfer(w, me.leg, &to.user, TransferKind::Passed, None);
            }
        });
    }

    // ---- two calls become one --------------------------------------------------------------------------------------

    /// The live dialog of ours that somebody names.
    fn find(&self, replaces: &Replaces) -> Option<LegRef> {
        replaces.tags().find_map(|(tag, theirs)| {
            let me = self.world.dialog(tag)?;
            let call = self.calls.get(me.call).filter(|call| call.ending.is_none())?;
            let leg = call.legs.get(usize::from(me.leg)).filter(|leg| leg.is_alive())?;
            // One that rings may have several dialogs with us, of one tag of ours, which nobody can guess.
            let same = leg.dialog().remote_tag() == theirs || leg.is_called();
            (leg.dialog().call_id() == replaces.call_id && same).then_some(me)
        })
    }

    /// A party has two calls, and wants their other parties connected.
    fn attended(&mut self, me: LegRef, replaces: &Replaces) {
        let Some(named) = self.find(replaces) else {
            // It is no call of ours: nobody here can take its place.
            return self.with_call(me.call, |call, w| {
                call.with_leg(w, me.leg, |leg, ep, now| leg.accept_refer(ep, now, 481));
                call.note_transfer(w, me.leg, "a dialog that is not ours", TransferKind::Attended, None);
                call.transfer_ends(481);
            });
        };
        match self.may_join(me, named) {
            Err(status) => self.refuse_refer(me, status),
            Ok(Joined::Both { consulted }) => self.join_calls(me, named, consulted),
            Ok(Joined::First { party }) => self.lend(me, party, named),
            Ok(Joined::Second { consulted }) => self.lend_back(me, named, consulted),
        }
    }

    fn may_join(&self, me: LegRef, named: LegRef) -> Result<Joined, u16> {
        let (first, second) = self.calls.get(me.call).zip(self.calls.get(named.call)).ok_or(481u16)?;
        let peer = |call: &Call, leg: u8| call.legs.get(usize::from(leg)).map(|leg| leg.peer.clone());
        if me.call == named.call || peer(first, me.leg) != peer(second, named.leg) {
            return Err(403);
        }
        if [first, second].iter().any(|c| c.direct) {
            return Err(488);
        }
        if [first, second].iter().any(|c| c.transfer.is_some() || !c.arrivals.is_empty() || c.aside.is_some()) {
            return Err(491);
        }
        let can_move = |call: &Call, leg: u8| call.legs.get(usize::from(leg)).is_some_and(Leg::is_up);
        match (first.partner(me.leg), second.partner(named.leg)) {
            (Some(_), Some(consulted)) if can_move(second, consulted) && first.has_room() => {
                Ok(Joined::Both { consulted })
            }
            (Some(party), None) if named.leg == 0 && !second.seeks_party() && can_move(first, party) => {
                if second.has_room() { Ok(Joined::First { party }) } else { Err(503) }
            }
            (None, Some(consulted)) if me.leg == 0 && !first.seeks_party() && can_move(second, consulted) => {
                if first.has_room() { Ok(Joined::Second { consulted }) } else { Err(503) }
            }
            _ => Err(403),
        }
    }

    /// Both calls are joined: the consulted party comes into the first one.
    fn join_calls(&mut self, me: LegRef, named: LegRef, consulted: u8) {
        let first = self.calls.get(me.call).map(|call| call.id);
        let Some((leg, name, second)) = self.release(named, consulted, first) else { return };
        self.with_call(me.call, |call, w| {
            call.with_leg(w, me.leg, |leg, ep, now| leg.accept_refer(ep, now, 100));
            call.note_transfer(w, me.leg, &name, TransferKind::Attended, second);
            call.set_aside_for_transfer(w, me.leg, None);
            call.take_in(w, leg, Coming::Joins);
            call.doing = Doing::Joining;
        });
        self.end_released(named.call, named.leg);
    }

    /// The first call's party goes to where the second call's caller is: a menu, a conference, somebody who rings.
    fn lend(&mut self, me: LegRef, party: u8, named: LegRef) {
        let second = self.calls.get(named.call).map(|call| call.id);
        let by = LegRef { call: me.call, leg: me.leg };
        let Some((leg, name, first)) = self.release(by, party, second) else { return };
        self.with_call(me.call, |call, w| {
            call.with_leg(w, me.leg, |leg, ep, now| leg.accept_refer(ep, now, 200));
        });
        self.with_call(named.call, |call, w| {
            call.note_transfer(w, named.leg, &name, TransferKind::Attended, first);
            call.take_in(w, leg, Coming::Becomes);
        });
        self.end_released(me.call, me.leg);
    }

    /// The party of the second call comes to where the first call's caller is.
    fn lend_back(&mut self, me: LegRef, named: LegRef, consulted: u8) {
        let first = self.calls.get(me.call).map(|call| call.id);
        let Some((leg, name, second)) = self.release(named, consulted, first) else { return };
        self.with_call(me.call, |call, w| {
            call.with_leg(w, me.leg, |leg, ep, now| leg.accept_refer(ep, now, 200));
            call.note_transfer(w, me.leg, &name, TransferKind::Attended, second);
            call.take_in(w, leg, Coming::Becomes);
        });
        self.end_released(named.call, named.leg);
    }

    /// Takes a leg out of the call of `by`, who transfers it; its peer's name, and the call's.
    fn release(
        &mut self,
        by: LegRef,
        leg: u8,
        to: Option<crate::event::CallId>,
    ) -> Option<(Leg, String, Option<crate::event::CallId>)> {
        let mut out = None;
        self.with_call(by.call, |call, w| {
            let (number, _) = call.identity(w, leg);
            let id = call.id;
            call.note_transfer(w, by.leg, &number, TransferKind::Attended, to);
            call.transfer_ends(200);
            let goes = to.map_or(String::new(), |to| to.to_string());
            call.note(w, Side::Leg(leg), What::Note(format!("goes to the call {goes}").into()));
            out = call.release(w, leg).map(|leg| (leg, number, Some(id)));
        });
        out
    }

    /// What is left of a call whose party has gone to another one ends.
    fn end_released(&mut self, key: CallKey, by: u8) {
        self.with_call(key, |call, w| {
            let class = match call.legs.get(usize::from(by)).map(|leg| leg.direction) {
                Some(crate::event::Direction::Outbound) => Class::Callee,
                _ => Class::Caller,
            };
            call.finish(w, Ending::new(class, "transferred", 0));
        });
    }

    // ---- INVITE with Replaces --------------------------------------------------------------------------------------

    /// An INVITE that is to take the place of a dialog of ours (RFC 3891 §3); false if it names none.
    pub(super) fn on_replacing(&mut self, id: ServerId, request: &Message, flow: Flow, known: &Known) -> bool {
        let mut values = request.headers(HeaderName::Replaces);
        let Some(value) = values.next() else { return false };
        let one = values.next().is_none();
        let found = match Replaces::parse(value).filter(|_| one) {
            None => Err(400),
            Some(replaces) => self.may_replace(&replaces, known),
        };
        let offer = offer_of(request);
        match found {
            Err(status) => self.world.refuse(id, (status, ""), request),
            Ok((named, coming)) => {
                let (peer, sticky) = (known.peer.clone(), matches!(known.peer, Peer::User(_)));
                let w = &mut self.world;
                let mut leg = Leg::incoming(&mut w.ep, w.now, id, request, flow, peer, sticky);
                if let Some(Err(fault)) = offer.map(|body| leg.session.take_offer(&body)) {
                    self.world.refuse(id, (fault.0, ""), request);
                    return true;
                }
                if let Peer::Trunk(name) = &known.peer
                    && w.trunks.admit(name, w.now.mono).is_err()
                {
                    self.world.refuse(id, (503, ""), request);
                    return true;
                }
                w.add_server(id, leg.dialog().local_tag());
                w.counters.legs_active += 1;
                self.with_call(named.call, |call, w| {
                    let old = call.legs.get(usize::from(named.leg)).map_or("", |leg| leg.peer.as_str()).to_owned();
                    let index = call.take_in(w, leg, coming);
                    call.received(w, index, request.to_string(), request.cseq().map_or(0, |c| c.number), flow.peer);
                    let kind = if coming == Coming::PicksUp(named.leg) {
                        TransferKind::Pickup
                    } else {
                        TransferKind::Replaced
                    };
                    call.note_transfer(w, index, &old, kind, None);
                });
            }
        }
        true
    }

    /// Which leg an INVITE may take the place of, and how; the status that says no.
    fn may_replace(&self, replaces: &Replaces, known: &Known) -> Result<(LegRef, Coming), u16> {
        let named = self.find(replaces).ok_or(481u16)?;
        let call = self.calls.get(named.call).ok_or(481u16)?;
        let leg = call.legs.get(usize::from(named.leg)).ok_or(481u16)?;
        // A colleague's, by one who enters the dialplan where that one does; else one's own.
        let is_colleague = match (&known.peer, &leg.peer) {
            (Peer::User(_), Peer::User(name)) => self.world.user(name).is_some_and(|u| u.context == known.context),
            _ => false,
        };
        if !is_colleague && leg.peer != known.peer {
            return Err(403);
        }
        if call.direct {
            return Err(488);
        }
        if call.transfer.is_some() || !call.arrivals.is_empty() || call.aside.is_some() || !call.has_room() {
            return Err(491);
        }
        if leg.is_called() {
            return Ok((named, Coming::PicksUp(named.leg)));
        }
        // RFC 3891 §3: an early dialog that the other side began cannot be replaced.
        if leg.is_asking() {
            return Err(481);
        }
        if replaces.early_only { Err(486) } else { Ok((named, Coming::Replaces(named.leg))) }
    }
}

/// Which parties a party with two calls has.
enum Joined {
    /// One in each.
    Both {
        consulted: u8,
    },
    /// One in the first; in the second the party itself does something.
    First {
        party: u8,
    },
    Second {
        consulted: u8,
    },
}

/// A header's value as a URI carries it (RFC 3261 §19.1.1).
fn escaped(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Call {
    /// The other party's answer to a REFER that was passed on to it.
    pub fn on_referred(&mut self, w: &mut World, index: u8, status: u16) {
        if self.on_refer_answered(w, index, status) {
            return;
        }
        if status >= 300 {
            // What is between us and the other party is not the asker's.
            let status = if matches!(status, 401 | 407 | 408 | 481) { 503 } else { status };
            self.on_refer_told(w, index, status);
        }
    }

    /// How the other party gets on with a REFER that was passed on to it.
    pub fn on_refer_told(&mut self, w: &mut World, index: u8, status: u16) {
        if self.on_refer_notified(w, index, status) {
            return;
        }
        if status >= 200 {
            self.transfer_ends(status);
        }
        if let Some(asker) = self.partner(index).filter(|_| status > 100) {
            self.with_leg(w, asker, |leg, ep, now| leg.tell_refer(ep, now, status));
        }
    }
}
