//! Offers and answers: with the caller, and between two parties that are joined.

use super::{Call, Doing};
use crate::b2bua::endpoint::Body;
use crate::b2bua::session::{Unacceptable, fax};
use crate::base::time::Instant;
use crate::event::{Class, Ending, Side, What};
use crate::media::command::Hears;
use crate::switch::io::Output;
use crate::switch::world::{CallTimer, World};

impl Call {
    /// Answers the caller with 200 unless that is done; false if it cannot be, and the call is being ended.
    ///
    /// `like` is the leg whose codec is preferred, so that sound need not be transcoded.
    pub fn answer_caller(&mut self, w: &mut World, like: Option<u8>) -> bool {
        if self.answered.is_some() {
            return true;
        }
        let Some(body) = self.caller_description(w, like) else { return false };
        self.send_answer(w, Some(&body));
        if self.legs[0].session.suite_name().is_some() {
            let text = self.legs[0].session.spoken();
            self.note(w, Side::Leg(0), What::Media(text.into()));
        }
        true
    }

    pub fn send_answer(&mut self, w: &mut World, body: Option<&Body>) {
        self.with_leg(w, 0, |leg, ep, now| leg.accept(ep, now, body));
        self.invite_body = None;
        self.is_answered(w);
    }

    /// Sends a provisional response with our description; false if there is none that fits.
    pub fn early_media(&mut self, w: &mut World, status: u16) -> bool {
        let Some(body) = self.caller_description(w, None) else { return false };
        self.with_leg(w, 0, |leg, ep, now| leg.progress(ep, now, status, Some(&body)));
        true
    }

    /// Our description for the caller: the answer to its offer, or an offer if it made none.
    pub fn caller_description(&mut self, w: &mut World, like: Option<u8>) -> Option<Body> {
        match self.description_for(0, like) {
            Ok(body) => Some(body),
            Err(fault) => {
                self.finish(w, Ending::new(Class::Caller, "not_acceptable", fault.0));
                None
            }
        }
    }

    /// Our description for a leg, with the codec of another preferred.
    pub(super) fn description_for(&mut self, index: u8, like: Option<u8>) -> Result<Body, Unacceptable> {
        let index = usize::from(index);
        match like.map(usize::from).filter(|l| *l != index) {
            Some(like) => match self.legs.get_disjoint_mut([index, like]) {
                Ok([leg, like]) => leg.session.local(Some(&like.session)),
                Err(_) => Err(Unacceptable(500)),
            },
            None => self.legs.get_mut(index).map_or(Err(Unacceptable(500)), |l| l.session.local(None)),
        }
    }

    /// The leg that hears this one, if both are joined.
    pub fn partner(&self, index: u8) -> Option<u8> {
        match self.doing {
            Doing::Bridged(callee) if index == 0 => Some(callee),
            Doing::Bridged(callee) if index == callee => Some(0),
            _ => None,
        }
    }

    /// A leg's peer wants to change its media: hold, resume, another codec, another address.
    pub fn on_reoffer(&mut self, w: &mut World, index: u8, body: Option<Body>) {
        let partner = self.partner(index);
        if self.direct {
            let refusal = match (partner, &body) {
                (Some(other), Some(_)) => {
                    let asked = self.with_leg(w, other, |leg, ep, now| leg.reoffer(ep, now, body.as_ref())).flatten();
                    asked.is_none().then_some(491)
                }
                // Without an offer the ACK would have to wait for the other side's answer; without a partner nobody can answer.
                _ => Some(488),
            };
            if let Some(status) = refusal {
                self.with_leg(w, index, |leg, ep, now| leg.refuse_reoffer(ep, now, status));
            }
            return;
        }
        if let (Some(other), Some(body)) = (partner, body.as_ref().filter(|b| fax::is_fax(b))) {
            return self.on_fax_offer(w, index, other, body);
        }
        let answer = match &body {
            Some(body) => {
                let taken = self.legs[usize::from(index)].session.take_offer(body);
                let like = partner.or(self.heard_early().filter(|_| index == 0));
                taken.and_then(|()| self.description_for(index, like))
            }
            None => self.legs[usize::from(index)].session.offer_again(),
        };
        match answer {
            Ok(answer) => {
                self.with_leg(w, index, |leg, ep, now| leg.answer_reoffer(ep, now, Some(&answer)));
                self.refresh_media(w, index);
                self.follow_hold(w, index);
                self.hold_in_conference(w);
                self.hold_linked(w);
                self.share_codec(w);
            }
            Err(fault) => {
                self.with_leg(w, index, |leg, ep, now| leg.refuse_reoffer(ep, now, fault.0));
            }
        }
    }

    /// Who is joined to a party that has gone silent hears silence, so that its own peer does not take it for dead; and the party
    /// again when it is back.
    fn follow_hold(&mut self, w: &mut World, index: u8) {
        let Some(other) = self.partner(index) else { return };
        if self.legs[usize::from(index)].session.is_mute() {
            self.hear(w, other, Hears::Silence);
        } else {
            self.join(w, index, other);
        }
    }

    /// A re-INVITE of ours has its final response: one of our own, or the other party's to what `on_reoffer` passed on.
    pub fn on_reoffered(&mut self, w: &mut World, index: u8, status: u16, body: Option<Body>) {
        if status != 491 && self.on_moved(w, index, status, body.as_ref()) {
            return;
        }
        if self.fax_asker.is_some_and(|asker| self.partner(asker) == Some(index)) {
            return self.on_fax_answer(w, index, status, body.as_ref());
        }
        if status == 491 && !self.direct {
            // Both asked at once: we ask again, if there is still something to ask for then (RFC 3261 §14.1).
            self.legs[usize::from(index)].session.withdraw();
            let after = self.with_leg(w, index, |leg, ep, _| leg.glare_delay(ep)).unwrap_or_default();
            return self.set_timer(w, CallTimer::Glare(index), after);
        }
        if !self.direct {
            return self.on_codec_answer(w, index, body.filter(|_| status < 300).as_ref());
        }
        let Some(asker) = self.partner(index) else { return };
        self.with_leg(w, asker, |leg, ep, now| match status {
            200..=299 => leg.answer_reoffer(ep, now, body.as_ref()),
            // What is between us and the other party is not the asker's: it would end its own dialog over it.
            401 | 407 | 408 | 481 | 500..=599 => leg.refuse_reoffer(ep, now, 488),
            _ => leg.refuse_reoffer(ep, now, status),
        });
    }

    /// Brings a leg's media in line with what has been agreed, and says so on the timeline if it changed.
    pub fn refresh_media(&mut self, w: &mut World, index: u8) {
        let timeout = w.config.media.rtp_timeout;
        if let Some(other) = self.partner(index) {
            self.match_digits(index, other);
            let leg = self.legs.get_mut(usize::from(other));
            let set = leg.and_then(|l| l.session.refresh(timeout.filter(|_| l.answered.is_some())));
            set.into_iter().for_each(|set| w.output(Output::Media(set)));
        }
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if let Some(set) = leg.session.refresh(timeout.filter(|_| leg.answered.is_some())) {
            let hold = if leg.session.is_held() { ", on hold" } else { "" };
            let text = format!("{}{hold}", leg.session.spoken());
            w.output(Output::Media(set));
            self.note(w, Side::Leg(index), What::Media(text.into()));
        }
    }

    /// A provisional response may carry our description: the caller has offered, or takes an offer of ours with a PRACK.
    pub fn may_describe(&self) -> bool {
        self.legs[0].session.is_described() || self.legs[0].takes_reliable()
    }

    /// A PRACK carries the answer to our offer, or an offer.
    pub fn on_pracked(&mut self, w: &mut World, index: u8, body: &Body) {
        let like = self.partner(index).or(self.heard_early());
        if self.direct {
            self.with_leg(w, index, |leg, ep, now| leg.answer_prack(ep, now, Err(488)));
            return;
        }
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if !leg.session.awaits_answer() {
            let taken = leg.session.take_offer(body);
            let answer = taken.and_then(|()| self.description_for(index, like)).map_err(|fault| fault.0);
            self.refresh_media(w, index);
            let answer = answer.as_ref().map(Some).map_err(|status| *status);
            self.with_leg(w, index, |leg, ep, now| leg.answer_prack(ep, now, answer));
            return;
        }
        let taken = leg.session.take_answer(body);
        self.refresh_media(w, index);
        self.with_leg(w, index, |leg, ep, now| leg.answer_prack(ep, now, Ok(None)));
        if let Err(fault) = taken {
            return self.finish(w, Ending::new(Class::Peer, "not_acceptable", fault.0));
        }
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::AwaitAck(action) => self.go_on_with(w, action),
            other => self.doing = other,
        }
    }

    pub fn set_session_timer(&mut self, w: &mut World, index: u8, due: Option<Instant>) {
        let kind = CallTimer::Session(index);
        match due {
            Some(at) if self.ending.is_none() => self.set_timer(w, kind, at.since(w.now.mono)),
            _ => self.cancel_timer(w, kind),
        }
    }

    /// A leg's session is to be refreshed, or nobody has refreshed it (RFC 4028 §10).
    pub(super) fn on_session_due(&mut self, w: &mut World, index: u8) {
        let over = self.with_leg(w, index, |leg, ep, now| leg.on_session_due(ep, now));
        if over == Some(true) {
            self.on_leg_lost(w, index, Ending::new(Class::Peer, "session_expired", 0));
        }
    }

    /// A leg's ACK carried the answer to our offer.
    pub fn on_ack_answer(&mut self, w: &mut World, index: u8, body: &Body) {
        if let (true, Some(other)) = (self.direct, self.partner(index)) {
            self.with_leg(w, other, |leg, ep, _| leg.acknowledge(ep, Some(body)));
            return;
        }
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if !leg.session.awaits_answer() {
            return;
        }
        match leg.session.take_answer(body) {
            Ok(()) => self.refresh_media(w, index),
            Err(fault) => self.finish(w, Ending::new(Class::Peer, "not_acceptable", fault.0)),
        }
    }

    /// A 2xx of ours has its ACK, and the answer if the ACK carried one.
    pub fn on_acked(&mut self, w: &mut World, index: u8) {
        let awaits = self.legs.get(usize::from(index)).is_some_and(|l| l.session.awaits_answer());
        if awaits && !self.direct {
            return self.on_leg_lost(w, index, Ending::new(Class::Peer, "no_answer_in_ack", 0));
        }
        if index != 0 {
            return;
        }
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::AwaitAck(action) => {
                if std::mem::take(&mut self.moves_later) {
                    self.move_media(w, 0);
                }
                self.go_on_with(w, action);
            }
            Doing::Referring(referring) => {
                self.doing = Doing::Referring(referring);
                self.send_refer(w);
            }
            Doing::Bridged(leg) => {
                self.doing = Doing::Bridged(leg);
                // An ACK without the answer that it owes is passed on as it is.
                self.with_leg(w, leg, |leg, ep, _| leg.acknowledge(ep, None));
                self.join(w, 0, leg);
                self.share_codec(w);
            }
            other => self.doing = other,
        }
    }
}
