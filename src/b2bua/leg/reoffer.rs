//! Changing a session: re-INVITE and UPDATE in either direction (RFC 3261 §14, RFC 3311).

use super::uas::warned;
use super::{Asked, Heard, Leg, Reoffer, State, body_of, offer_of, too_short};
use crate::b2bua::endpoint::{ALLOW, Body, Endpoint, MAX_FORWARDS, SUPPORTED, finish, unsupported};
use crate::base::time::Now;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::wire::{HeaderName, Message, Method};

impl Leg {
    /// re-INVITE (§14.2) or UPDATE (RFC 3311 §5.2).
    pub(super) fn on_reoffer(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        let (method, body) = (request.method(), offer_of(request));
        if let Some(unknown) = unsupported(request) {
            ep.respond(now.mono, id, 420, "", None, |w| w.header(HeaderName::Unsupported, unknown).finish());
            return Asked::Nothing;
        }
        match self.state {
            State::Closing | State::Cancelling | State::Gone => return self.refused(ep, now, id, 481),
            State::Pending if method == Method::Invite => return self.refused_for_now(ep, now, id),
            State::Pending if body.is_some() && self.has_offered(request) => return self.refused(ep, now, id, 491),
            State::Pending if body.is_some() && self.owes_answer() => return self.refused_for_now(ep, now, id),
            _ => {}
        }
        if self.reoffer_out.is_some_and(|r| !r.answered) {
            return self.refused(ep, now, id, 491);
        }
        if self.reoffer_in.is_some_and(|r| !r.answered) {
            return self.refused_for_now(ep, now, id);
        }
        if self.state != State::Pending || self.invite_in.is_some() {
            self.dialog.refresh_target(request);
        }
        if let Some(min) = too_short(request, ep.session_timers) {
            ep.respond(now.mono, id, 422, "", None, |w| w.header(HeaderName::MinSe, min).finish());
            return Asked::Nothing;
        }
        if self.state != State::Pending {
            self.expiry.asked(request);
        }
        if method == Method::Update && body.is_none() {
            self.answer(ep, now.mono, id, None);
            return Asked::Nothing;
        }
        if let Some(before) = self.reoffer_in {
            // Who asks again has our answer to what it asked before, though the ACK got lost.
            ep.transactions.acked(now.mono, before.id);
        }
        let cseq = request.cseq().map_or(0, |c| c.number);
        // No ACK follows the answer to an UPDATE.
        self.reoffer_in = Some(Reoffer { id, cseq, answered: false, acked: method == Method::Update });
        Asked::Reoffer { body }
    }

    fn refused_for_now(&self, ep: &mut Endpoint, now: Now, id: ServerId) -> Asked {
        ep.refuse_for_now(now.mono, id);
        Asked::Nothing
    }

    /// Before the answer: an offer of ours has no answer yet.
    fn has_offered(&self, request: &Message) -> bool {
        match self.invite_in {
            Some(_) => {
                self.provisionals.described && !self.provisionals.invite_offers && self.provisionals.awaits_prack()
            }
            None => !self.early_dialog(request).is_some_and(|at| self.early[at].answered),
        }
    }

    /// Before the answer: the caller's offer has no answer that it must have received.
    const fn owes_answer(&self) -> bool {
        self.invite_in.is_some() && !self.provisionals.described
    }

    pub fn answer_reoffer(&mut self, ep: &mut Endpoint, now: Now, body: Option<&Body>) {
        if let Some(reoffer) = &mut self.reoffer_in {
            reoffer.answered = true;
            let id = reoffer.id;
            self.answer(ep, now.mono, id, body);
        }
    }

    pub fn refuse_reoffer(&mut self, ep: &mut Endpoint, now: Now, status: u16) {
        let Some(reoffer) = self.reoffer_in.take() else { return };
        match self.session.warning().filter(|_| status == 488) {
            Some(warning) => {
                let tag = Some(self.dialog.local_tag());
                ep.respond(now.mono, reoffer.id, status, "", tag, |w| warned(w, Some(&warning)).finish());
            }
            None => {
                ep.refuse(now.mono, reoffer.id, status, "");
            }
        }
    }

    /// Refuses a re-INVITE that nobody will answer any more (§15.1.2: pending requests get 487).
    pub fn drop_reoffer(&mut self, ep: &mut Endpoint, now: Now) {
        if self.reoffer_in.is_some_and(|r| !r.answered) {
            self.refuse_reoffer(ep, now, 487);
        }
    }

    /// The leg is up, and no re-INVITE is under way in either direction (§14.1).
    pub fn may_reoffer(&self) -> bool {
        let done_in = self.reoffer_in.is_none_or(|r| r.answered && r.acked);
        self.is_up() && done_in && self.reoffer_out.is_none_or(|r| r.answered)
    }

    /// Sends a re-INVITE; `None` if one is under way or the leg is not up.
    pub fn reoffer(&mut self, ep: &mut Endpoint, now: Now, body: Option<&Body>) -> Option<ClientId> {
        if self.state != State::Up || self.reoffer_out.is_some_and(|r| !r.answered) {
            return None;
        }
        let contact = ep.contact(self.dialog.flow());
        let authorization = self.authorization(ep, Method::Invite);
        let (expiry, wish) = (&self.expiry, ep.session_timers);
        let id = ep.request(now.mono, &mut self.dialog, Method::Invite, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            let w = w.header(HeaderName::Contact, contact).header(HeaderName::Allow, ALLOW);
            finish(expiry.write_request(w.header(HeaderName::Supported, SUPPORTED), wish), body)
        });
        self.reoffer_out = Some(Reoffer { id, cseq: self.dialog.local_cseq(), answered: false, acked: false });
        Some(id)
    }

    pub(super) fn on_reoffer_response(
        &mut self,
        ep: &mut Endpoint,
        now: Now,
        out: Reoffer<ClientId>,
        response: &Message,
    ) -> Heard {
        match response.status() {
            100..=199 => Heard::Nothing,
            status @ 200..=299 => {
                self.dialog.refresh_target(response);
                ep.ack(&self.dialog, out.cseq, None);
                if self.state != State::Up || out.answered {
                    return Heard::Nothing;
                }
                self.reoffer_out = Some(Reoffer { answered: true, ..out });
                self.expiry.agree(response, ep.session_timers, now.mono);
                if self.refreshing.take_if(|id| *id == out.id).is_some() {
                    return self.on_refreshed(body_of(response));
                }
                Heard::Reoffered { status, body: body_of(response) }
            }
            status => {
                self.reoffer_out = None;
                if matches!(status, 408 | 481) && self.state == State::Up {
                    self.send_bye(ep, now, None);
                } else if self.refreshing.take_if(|id| *id == out.id).is_some() {
                    self.on_refresh_refused(ep, now, response);
                    return Heard::Nothing;
                }
                Heard::Reoffered { status, body: None }
            }
        }
    }
}
