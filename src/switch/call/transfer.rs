//! A transfer: a party of the call has the other one connected elsewhere (REFER, RFC 3515 and RFC 5589), by a script that the
//! dialplan has for it, or to somebody who comes from another call. Until that is done, the party that asked for it stays, and all
//! goes on as before if it comes to nothing.

use super::documents::Origin;
use super::{Call, Dialled, Doing};
use crate::b2bua::leg::Peer;
use crate::base::keys::Keys;
use crate::base::time::Duration;
use crate::dialplan::CallFacts;
use crate::event::{CallId, Side, TransferCdr, TransferKind, What};
use crate::media::command::Hears;
use crate::sip::replaces::ReferTo;
use crate::sip::wire::{NameAddr, Uri};
use crate::switch::world::{CallTimer, World};
use crate::verb::{Program, Script};
use std::sync::Arc;

/// How long one who has transferred its call may take to hang up by itself.
const LEAVES_AFTER: Duration = Duration::from_secs(2);
/// Transfers that the record of one call keeps.
pub const TRANSFERS_MAX: usize = 32;

/// A transfer under way. The party that is transferred is leg 0.
#[derive(Debug)]
pub struct Transfer {
    /// The leg that asked for it.
    by: u8,
    /// It was leg 0, and changed places with the party that it transfers.
    swapped: bool,
    /// Where the media of both was.
    group: u64,
    /// What runs again if it comes to nothing; `None`: what runs now.
    script: Option<Script>,
    origin: Origin,
    dialled: Dialled,
    shown: Option<(String, String)>,
}

impl Call {
    /// A party has asked that the other one be connected with whom the dialplan has for `to`.
    pub fn transfer_blind(&mut self, w: &mut World, by: u8, to: &ReferTo) {
        if let Err(status) = self.may_transfer(by) {
            self.with_leg(w, by, |leg, ep, now| leg.refuse_refer(ep, now, status));
            return;
        }
        let found = w.phone_of(&to.uri);
        let user = found.as_ref().ok().and_then(Option::as_ref).map_or(&to.user, |phone| &phone.user).clone();
        self.note_transfer(w, by, &user, TransferKind::Blind, None);
        let found = found.map_err(|status| format!("{user}: its phone is not here ({status})"));
        let routed = found.and_then(|phone| Ok((phone, self.script_for(w, by, &user)?)));
        match routed.map(|(phone, routed)| {
            self.phone = phone;
            routed
        }) {
            Ok((script, why)) => {
                self.with_leg(w, by, |leg, ep, now| leg.accept_refer(ep, now, 100));
                self.set_aside_for_transfer(w, by, Some(script));
                self.note(w, Side::Call, What::Route(why.into()));
                self.doing = Doing::Nothing;
                self.regroup(w);
                self.advance(w);
            }
            Err(why) => {
                self.note(w, Side::Call, What::Route(why.into()));
                self.transfer_ends(404);
                self.with_leg(w, by, |leg, ep, now| leg.accept_refer(ep, now, 404));
            }
        }
    }

    /// Whether a party may transfer the other one now; the status that says no.
    pub fn may_transfer(&self, by: u8) -> Result<(), u16> {
        if self.transfer.is_some() || !self.arrivals.is_empty() {
            return Err(491);
        }
        if self.ending.is_some() || self.partner(by).is_none() {
            return Err(403);
        }
        if self.direct { Err(488) } else { Ok(()) }
    }

    /// What the dialplan has for `to` with the rights of the one who transfers.
    fn script_for(&self, w: &World, by: u8, to: &str) -> Result<(Script, String), String> {
        let leg = self.legs.get(usize::from(by)).ok_or("nobody asks")?;
        let party = self.partner(by).ok_or("nobody is transferred")?;
        let (from, from_name) = self.identity(w, party);
        let (trunk, user, context) = match &leg.peer {
            Peer::User(name) => {
                let user = w.user(name).ok_or("the user is gone")?;
                (None, Some(name.as_str()), user.context.as_str())
            }
            Peer::Trunk(name) => {
                (Some(name.as_str()), None, w.trunks.get(name).ok_or("the trunk is gone")?.context.as_str())
            }
            Peer::Uri(_) => (None, None, self.context.as_str()),
        };
        let header = |_: &str| None;
        let facts = CallFacts {
            from: &from,
            from_name: &from_name,
            to,
            trunk,
            user,
            header: &header,
            at: w.now.wall,
            proof: Default::default(),
        };
        let mut taken = w.dialplan.route(context, &facts)?;
        taken.script.set("call_id", self.id.to_string());
        taken.script.set("transferred_by", leg.peer.as_str().to_owned());
        Ok((taken.script, format!("transferred by {}: {}", leg.peer.as_str(), taken.why)))
    }

    /// Number and name of a party, as the others see it.
    pub fn identity(&self, w: &World, index: u8) -> (String, String) {
        let caller = || (self.from.clone(), self.from_name.clone());
        if index == 0 {
            return self.shown.clone().unwrap_or_else(caller);
        }
        let Some(leg) = self.legs.get(usize::from(index)) else { return caller() };
        if let Peer::User(name) = &leg.peer {
            let user = w.user(name);
            return (name.clone(), user.and_then(|u| u.display.clone()).unwrap_or_default());
        }
        let remote = NameAddr::parse(leg.dialog().remote()).and_then(|addr| Uri::parse(addr.uri));
        (remote.map_or(String::new(), |uri| uri.user_decoded().into_owned()), String::new())
    }

    /// The party that `by` was joined to becomes leg 0 and waits; what the call did so far is kept in case it comes to nothing.
    pub fn set_aside_for_transfer(&mut self, w: &mut World, by: u8, script: Option<Script>) {
        let Some(party) = self.partner(by) else { return };
        let (shown, group) = (self.shown.clone(), self.media_group());
        let (swapped, by) = (by == 0, if by == 0 { party } else { by });
        if swapped {
            self.shown = Some(self.identity(w, party));
            self.take_place(w, party);
        }
        // Whoever loses its caller has no further steps of that caller's.
        let script = script.or_else(|| swapped.then(|| nothing(w)));
        let before = script.and_then(|script| self.script.replace(script));
        self.transfer = Some(Box::new(Transfer {
            by,
            swapped,
            group,
            script: before,
            origin: self.origin.clone(),
            dialled: std::mem::take(&mut self.dialled),
            shown,
        }));
        if self.transfer.as_ref().is_some_and(|t| t.script.is_some()) {
            self.origin = Origin::default();
        }
        self.cause = None;
        self.ahead = Keys::default();
        self.hear(w, by, Hears::Silence);
        self.hear(w, 0, Hears::Silence);
    }

    /// The leg that has asked for the transfer under way.
    pub fn transferor(&self) -> Option<u8> {
        self.transfer.as_ref().map(|t| t.by)
    }

    /// Referred-By for whom the transfer under way calls: the user who asked for it.
    pub fn referred_by(&self, w: &World) -> Option<String> {
        match &self.legs.get(usize::from(self.transferor()?))?.peer {
            Peer::User(name) => Some(format!("<sip:{name}@{}>", w.config.sip.domain)),
            Peer::Trunk(_) | Peer::Uri(_) => None,
        }
    }

    /// Who is transferred hears that it rings: so does who transfers.
    pub fn transfer_rings(&mut self, w: &mut World) {
        if let Some(by) = self.transferor() {
            self.with_leg(w, by, |leg, ep, now| leg.tell_refer(ep, now, 180));
        }
    }

    /// The transfer under way has come to its aim: who asked for it is told, and leaves.
    pub fn transferred(&mut self, w: &mut World) {
        let Some(transfer) = self.transfer.take() else { return };
        self.transfer_ends(200);
        self.note(w, Side::Leg(transfer.by), What::Note("transferred".into()));
        self.with_leg(w, transfer.by, |leg, ep, now| leg.tell_refer(ep, now, 200));
        self.leaves_soon(w, transfer.by);
    }

    /// A leg that has nothing to do here any more hangs up, or is hung up.
    pub fn leaves_soon(&mut self, w: &mut World, leg: u8) {
        if self.legs.get(usize::from(leg)).is_some_and(|l| l.is_alive()) {
            self.set_timer(w, CallTimer::Referred(leg), LEAVES_AFTER);
        }
    }

    /// The transfer under way has come to nothing: who asked for it is told, and both go on talking. False if there is none, or
    /// who asked for it has left: the call ends as its script says.
    pub fn transfer_failed(&mut self, w: &mut World, status: u16) -> bool {
        let Some(transfer) = self.transfer.take() else { return false };
        let Transfer { by, swapped, group, script, origin, dialled, shown } = *transfer;
        let regrouped = self.media_group() != group;
        let status = if status >= 300 { status } else { 480 };
        self.transfer_ends(status);
        let stays = self.legs.get(usize::from(by)).is_some_and(|leg| leg.is_up());
        let caller = self.legs.first().is_some_and(|leg| leg.is_alive());
        if !stays || !caller || self.ending.is_some() {
            return false;
        }
        self.note(w, Side::Leg(by), What::Note(format!("not transferred ({status}): both go on").into()));
        self.with_leg(w, by, |leg, ep, now| leg.tell_refer(ep, now, status));
        if swapped {
            self.take_place(w, by);
        }
        self.cancel_timer(w, CallTimer::Step);
        self.cancel_timer(w, CallTimer::Ring);
        if script.is_some() {
            (self.script, self.origin) = (script, origin);
        }
        (self.dialled, self.shown, self.cause) = (dialled, shown, None);
        self.doing = Doing::Bridged(by);
        if regrouped {
            self.move_media(w, if swapped { 0 } else { by });
        }
        self.rejoin(w, by);
        true
    }

    /// Joins leg 0 and another again, as far as neither has gone silent.
    pub fn rejoin(&mut self, w: &mut World, other: u8) {
        self.join(w, 0, other);
        for (index, hearer) in [(0, other), (other, 0)] {
            if self.legs.get(usize::from(index)).is_some_and(|leg| leg.session.is_mute()) {
                self.hear(w, hearer, Hears::Silence);
            }
        }
        self.share_codec(w);
    }

    // ---- the record ------------------------------------------------------------------------------------------------

    /// Keeps for the record that a leg transfers, or is taken the place of.
    pub fn note_transfer(&mut self, w: &World, by: u8, to: &str, kind: TransferKind, call: Option<CallId>) {
        let by = self.legs.get(usize::from(by)).map_or(String::new(), |leg| leg.peer.as_str().to_owned());
        self.note(w, Side::Call, What::Note(format!("{}: {by} to {to}", kind.as_str()).into()));
        if self.transfers.len() < TRANSFERS_MAX {
            self.transfers.push(TransferCdr { at: w.now.wall, kind, by, to: to.to_owned(), status: 0, call });
        }
    }

    /// How the latest one went.
    pub fn transfer_ends(&mut self, status: u16) {
        if let Some(latest) = self.transfers.last_mut().filter(|t| t.status == 0) {
            latest.status = status;
        }
    }
}

/// A script that is over.
pub fn nothing(w: &World) -> Script {
    let mut program = Program::default();
    let entry = program.add(Vec::new());
    Script::new(Arc::new(program), entry, w.now.wall)
}
