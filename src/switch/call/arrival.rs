//! Legs that come into the call from elsewhere: from another call, or by an INVITE that names a dialog of this one (RFC 3891).
//! Media of one call is on one shard, so each gets a port here; who is in a call already is told of it by a re-INVITE.

use super::{Call, Doing};
use crate::b2bua::endpoint::Body;
use crate::b2bua::leg::{Leg, Peer};
use crate::base::time::Duration;
use crate::event::{Class, Ending, Side, What};
use crate::media::command::{self as media, Hears};
use crate::switch::io::Output;
use crate::switch::world::{CallTimer, LegRef, World};
use std::net::SocketAddr;

/// How long a leg that cannot be asked now is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The most legs that one call ever has.
pub const LEGS_MAX: usize = 64;

/// What becomes of a leg that arrives, once it has media here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coming {
    /// It is joined to leg 0, which has been transferred to it.
    Joins,
    /// It takes the place of leg 0, whatever the call does.
    Becomes,
    /// It has done so, and has yet to say where its media goes.
    Settles,
    /// Its INVITE is answered, and it takes the place of this leg.
    Replaces(u8),
    /// Its INVITE is answered in the place of this leg, which rings.
    PicksUp(u8),
    /// It is joined to leg 0, which is parked.
    Retrieves,
}

/// A leg that arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    pub leg: u8,
    pub coming: Coming,
}

impl Call {
    // ---- leaving ---------------------------------------------------------------------------------------------------

    /// Lets a leg go to another call; its account stays.
    pub fn release(&mut self, w: &mut World, index: u8) -> Option<Leg> {
        use CallTimer::{Digits, Glare, NoAnswer, Referred, Session, Unreachable};
        for timer in [Digits(index), Glare(index), NoAnswer(index), Referred(index), Session(index), Unreachable(index)]
        {
            self.cancel_timer(w, timer);
        }
        let now = w.now;
        let leg = self.legs.get_mut(usize::from(index))?;
        let left = leg.depart(now);
        if let Some(close) = leg.session.close() {
            w.output(Output::Media(close));
        }
        Some(left)
    }

    // ---- arriving --------------------------------------------------------------------------------------------------

    /// There is room for one more leg.
    pub const fn has_room(&self) -> bool {
        self.legs.len() < LEGS_MAX
    }

    /// Takes a leg in, and asks for its media port.
    pub fn take_in(&mut self, w: &mut World, mut leg: Leg, coming: Coming) -> u8 {
        let index = self.legs.len() as u8;
        leg.index = index;
        w.add_dialog(leg.dialog().local_tag(), LegRef { call: self.key, leg: index });
        w.trace_leg(self.id, &leg);
        let due = leg.session_timer();
        self.legs.push(leg);
        self.set_session_timer(w, index, due);
        self.arrivals.push(Arrival { leg: index, coming });
        self.open_here(w, index);
        self.follow_line(w, index);
        index
    }

    /// The script that comes next may lead into a conference, whose media is elsewhere: the legs that it speaks to move there.
    pub fn regroup(&mut self, w: &mut World) {
        let confers = self.script.as_ref().is_some_and(crate::verb::Script::may_confer);
        if confers && !self.direct && self.set_conferring() {
            // Who owes us an answer cannot be asked anew before its ACK has brought it.
            self.moves_later = self.legs.first().is_some_and(|leg| leg.session.awaits_answer());
            self.move_media(w, 0);
        }
    }

    /// Gives a leg that is up another media port, in the call's group of now, and tells its peer.
    pub fn move_media(&mut self, w: &mut World, index: u8) {
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if !leg.is_alive() || leg.session.media().is_none() || !leg.session.is_negotiated() {
            return;
        }
        let session = leg.session.follow();
        let mut before = std::mem::replace(&mut leg.session, session);
        let hears = self.begun_anew(w, before.hears().clone());
        before.close().into_iter().for_each(|close| w.output(Output::Media(close)));
        self.open_here(w, index);
        self.hear(w, index, hears);
        self.arrivals.retain(|a| a.leg != index);
        self.arrivals.push(Arrival { leg: index, coming: Coming::Settles });
    }

    fn open_here(&mut self, w: &mut World, index: u8) {
        let Some(leg) = self.legs.get(usize::from(index)) else { return };
        let (peer, v6) = (leg.peer.clone(), leg.dialog().flow().peer.is_ipv6());
        let group = self.media_group();
        let media = w.open_media(self.key, group, v6);
        let (codecs, security, dtmf) = (self.codecs_of(w, &peer), w.security(&peer), w.dtmf(&peer));
        let session = &mut self.legs[usize::from(index)].session;
        session.open(media, codecs, security);
        session.set_dtmf(dtmf);
    }

    /// What another port is to play has another number, since it begins anew there.
    fn begun_anew(&mut self, w: &mut World, mut hears: Hears) -> Hears {
        if let Hears::Play { id, .. } | Hears::Tone { id, .. } = &mut hears {
            let (old, new) = (*id, w.new_play());
            *id = new;
            match &mut self.doing {
                Doing::Playing(playing) | Doing::Beeping(playing, _) if *playing == old => *playing = new,
                Doing::Sounding(list) => list.renumber(old, new),
                Doing::Gathering(gathering) => gathering.prompts.renumber(old, new),
                _ => {}
            }
        }
        hears
    }

    /// The port of a leg that has moved its media is there.
    pub fn on_settling(&mut self, w: &mut World, index: u8) {
        if self.arrival(index) == Some(Coming::Settles) {
            let hears = self.legs[usize::from(index)].session.hears().clone();
            self.hear(w, index, hears);
            self.ask_to_move(w, index);
        }
    }

    /// Codecs that a peer may have: a trunk's own, or ours.
    pub fn codecs_of(&self, w: &World, peer: &Peer) -> Vec<String> {
        let trunk = match peer {
            Peer::Trunk(name) => w.trunks.get(name),
            _ => None,
        };
        trunk.map(|trunk| &trunk.codecs).filter(|codecs| !codecs.is_empty()).unwrap_or(&w.config.media.codecs).clone()
    }

    /// What a leg is here for, if it arrives.
    pub fn arrival(&self, index: u8) -> Option<Coming> {
        self.arrivals.iter().find(|a| a.leg == index).map(|a| a.coming)
    }

    fn arrived(&mut self, index: u8) {
        self.arrivals.retain(|a| a.leg != index);
    }

    /// The media port of a leg that arrives is there, or cannot be had.
    pub fn on_arrival_media(&mut self, w: &mut World, index: u8, opened: Option<(SocketAddr, u64)>) {
        let Some(coming) = self.arrival(index) else { return };
        let leg = &mut self.legs[usize::from(index)];
        let Some((rtp, seed)) = opened else {
            leg.session.forget();
            return self.arrival_failed(w, index, 503);
        };
        leg.session.opened(rtp, seed);
        if !leg.is_alive() || self.ending.is_some() {
            return;
        }
        match coming {
            Coming::Joins => self.ask_to_move(w, index),
            Coming::Becomes => self.become_caller(w, index),
            Coming::Settles => self.on_settling(w, index),
            Coming::Replaces(old) => self.replace(w, old, index),
            // Its own call has answered it already.
            Coming::PicksUp(_) | Coming::Retrieves if !self.legs[usize::from(index)].is_asking() => {
                self.ask_to_move(w, index)
            }
            Coming::PicksUp(ringing) => self.pick_up(w, ringing, index),
            Coming::Retrieves => self.retrieved(w, index),
        }
    }

    /// Tells a leg where its media goes from now on.
    pub fn ask_to_move(&mut self, w: &mut World, index: u8) {
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if !leg.may_reoffer() {
            return self.set_timer(w, CallTimer::Glare(index), ASK_AGAIN);
        }
        match leg.session.offer_again() {
            Ok(body) => {
                self.with_leg(w, index, |leg, ep, now| leg.reoffer(ep, now, Some(&body)));
            }
            Err(fault) => self.arrival_failed(w, index, fault.0),
        }
    }

    /// The answer to [`Call::ask_to_move`]; false if that was not asked.
    pub fn on_moved(&mut self, w: &mut World, index: u8, status: u16, body: Option<&Body>) -> bool {
        let Some(coming) = self.arrival(index) else { return false };
        let taken = body.filter(|_| status < 300).is_some_and(|body| {
            self.legs.get_mut(usize::from(index)).is_some_and(|leg| leg.session.take_answer(body).is_ok())
        });
        if !taken {
            self.arrival_failed(w, index, if status >= 300 { status } else { 488 });
            return true;
        }
        self.arrived(index);
        match coming {
            Coming::PicksUp(ringing) if !self.can_pick_up(ringing) => return self.too_late(w, index),
            Coming::PicksUp(_) => self.picked_up(w, index),
            Coming::Retrieves if !matches!(self.doing, Doing::Parked) => return self.too_late(w, index),
            Coming::Retrieves => {
                self.transfer_ends(200);
                self.is_retrieved(w, index);
            }
            _ => {}
        }
        if coming == Coming::Joins {
            self.doing = Doing::Bridged(index);
            self.dialled.leg = Some(index);
            self.dialled.since = Some(w.now.mono);
            self.cancel_timer(w, CallTimer::TalkLimit);
            self.transferred(w);
        }
        let text = self.legs[usize::from(index)].session.spoken();
        self.note(w, Side::Leg(index), What::Media(format!("moved here, {text}").into()));
        self.refresh_media(w, index);
        if let Some(other) = self.partner(index) {
            self.rejoin(w, other.max(index));
        }
        // What was to begin meanwhile has waited for the answer.
        if index == 0
            && matches!(self.doing, Doing::AwaitAck(_))
            && let Doing::AwaitAck(action) = std::mem::replace(&mut self.doing, Doing::Nothing)
        {
            self.go_on_with(w, action);
        }
        true
    }

    /// A leg that arrives does not get here.
    pub fn arrival_failed(&mut self, w: &mut World, index: u8, status: u16) {
        let Some(coming) = self.arrival(index) else { return };
        self.arrived(index);
        self.note(w, Side::Leg(index), What::Note(format!("does not come ({status})").into()));
        self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, status, ""));
        match coming {
            Coming::Joins if self.transfer_failed(w, status) => {}
            Coming::Joins | Coming::Settles => self.finish(w, Ending::new(Class::Peer, "transfer_failed", status)),
            Coming::Becomes | Coming::Replaces(_) | Coming::PicksUp(_) | Coming::Retrieves => {
                self.transfer_ends(status)
            }
        }
    }

    /// A leg that arrives has been given up by its peer, or is lost; false if it is no such leg.
    pub fn arrival_lost(&mut self, w: &mut World, index: u8) -> bool {
        let is_arrival = self.arrival(index).is_some();
        if is_arrival {
            self.arrival_failed(w, index, 487);
        }
        is_arrival
    }

    // ---- taking a place --------------------------------------------------------------------------------------------

    /// A leg from another call becomes leg 0: it hears what that one heard, and the script goes on with it.
    fn become_caller(&mut self, w: &mut World, index: u8) {
        self.put_first(w, index);
        self.arrivals.retain(|a| a.leg != index);
        self.arrivals.push(Arrival { leg: 0, coming: Coming::Settles });
        if self.answered.is_none() {
            self.is_answered(w);
            self.hear_ringing(w);
        }
        self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 487, ""));
        self.transfer_ends(200);
        self.ask_to_move(w, 0);
    }

    /// Leg 0 gives its place, and what it hears, to another.
    fn put_first(&mut self, w: &mut World, index: u8) {
        let hears = self.begun_anew(w, self.legs[0].session.hears().clone());
        self.shown = Some(self.identity(w, index));
        self.hear(w, 0, Hears::Nothing);
        self.take_place(w, index);
        self.hear(w, 0, hears);
        self.seat_anew(w);
        self.end_moved(w);
        if let Some(other) = self.partner(0) {
            self.rejoin(w, other);
        }
    }

    /// A new leg takes the place of one that is joined, or does something with the script, and is answered.
    fn replace(&mut self, w: &mut World, old: u8, index: u8) {
        let partner = self.partner(old);
        let holds = old == 0 || partner.is_some();
        if !holds || !self.legs.get(usize::from(old)).is_some_and(Leg::is_up) {
            return self.arrival_failed(w, index, 481);
        }
        if !self.answer_arrival(w, index, partner) {
            return;
        }
        self.arrived(index);
        self.transfer_ends(200);
        if old == 0 {
            self.put_first(w, index);
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, "Replaced"));
        } else {
            self.doing = Doing::Bridged(index);
            self.dialled.leg = Some(index);
            self.rejoin(w, index);
            self.with_leg(w, old, |leg, ep, now| leg.hang_up(ep, now, 0, "Replaced"));
        }
    }

    /// A new leg is answered in the place of one that rings.
    fn pick_up(&mut self, w: &mut World, ringing: u8, index: u8) {
        if !self.can_pick_up(ringing) {
            return self.arrival_failed(w, index, 481);
        }
        if !self.answer_arrival(w, index, Some(0)) {
            return;
        }
        self.arrived(index);
        self.picked_up(w, index);
    }

    fn can_pick_up(&self, ringing: u8) -> bool {
        let rings = matches!(self.doing, Doing::Dialing(_)) && self.aside.is_none() && !self.seeks_party();
        rings && self.legs.get(usize::from(ringing)).is_some_and(Leg::is_called)
    }

    fn picked_up(&mut self, w: &mut World, index: u8) {
        self.transfer_ends(200);
        self.cancel_timer(w, CallTimer::Ring);
        self.abandon_attempts_but(w, index);
        self.bridge(w, index);
    }

    /// A new leg is answered and joined to leg 0, which is parked.
    fn retrieved(&mut self, w: &mut World, index: u8) {
        if !matches!(self.doing, Doing::Parked) {
            return self.arrival_failed(w, index, 481);
        }
        if !self.answer_arrival(w, index, Some(0)) {
            return;
        }
        self.arrived(index);
        self.transfer_ends(200);
        self.is_retrieved(w, index);
    }

    /// What a leg came for is over; true, for who asks whether it was an arrival.
    fn too_late(&mut self, w: &mut World, index: u8) -> bool {
        self.transfer_ends(481);
        self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 481, ""));
        true
    }

    /// Answers the INVITE of a leg that arrives; false if it cannot be.
    fn answer_arrival(&mut self, w: &mut World, index: u8, like: Option<u8>) -> bool {
        match self.description_for(index, like) {
            Ok(body) => {
                self.with_leg(w, index, |leg, ep, now| leg.accept(ep, now, Some(&body)));
                true
            }
            Err(fault) => {
                self.arrival_failed(w, index, fault.0);
                false
            }
        }
    }

    /// A media port of this call that belongs to a leg which arrives.
    pub fn arriving_by(&self, media: media::LegId) -> Option<u8> {
        self.leg_of(media).filter(|index| self.arrival(*index).is_some())
    }
}
