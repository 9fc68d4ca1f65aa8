//! Changing a session: re-INVITE and UPDATE in either direction (RFC 3261 §14, RFC 3311).

use super::{Asked, Heard, Leg, Reoffer, State, body_of, offer_of};
use crate::b2bua::endpoint::{ALLOW, Body, Endpoint, MAX_FORWARDS, finish};
use crate::base::time::Now;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::wire::{HeaderName, Message, Method};

impl Leg {
    /// re-INVITE (§14.2) or UPDATE (RFC 3311 §5.2).
    pub(super) fn on_reoffer(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        let (method, body) = (request.method(), offer_of(request));
        let required: Vec<&str> = request.headers(HeaderName::Require).collect();
        if !required.is_empty() {
            ep.respond(now.mono, id, 420, "", None, |w| {
                w.header(HeaderName::Unsupported, required.join(", ")).finish()
            });
            return Asked::Nothing;
        }
        match self.state {
            State::Closing | State::Cancelling | State::Gone => return self.refused(ep, now, id, 481),
            State::Pending if method == Method::Invite => return self.refused(ep, now, id, 500),
            State::Pending if body.is_some() => return self.refused(ep, now, id, 491),
            _ => {}
        }
        if self.reoffer_out.is_some_and(|r| !r.answered) {
            return self.refused(ep, now, id, 491);
        }
        if self.reoffer_in.is_some_and(|r| !r.answered) {
            return self.refused(ep, now, id, 500);
        }
        self.dialog.refresh_target(request);
        if method == Method::Update && body.is_none() {
            self.answer(ep, now.mono, id, None);
            return Asked::Nothing;
        }
        if let Some(before) = self.reoffer_in {
            // Who asks again has our answer to what it asked before, though the ACK got lost.
            ep.transactions.acked(now.mono, before.id);
        }
        self.reoffer_in =
            Some(Reoffer { id, cseq: request.cseq().map_or(0, |c| c.number), answered: false, acked: false });
        Asked::Reoffer { body }
    }

    pub fn answer_reoffer(&mut self, ep: &mut Endpoint, now: Now, body: Option<&Body>) {
        if let Some(reoffer) = &mut self.reoffer_in {
            reoffer.answered = true;
            let id = reoffer.id;
            self.answer(ep, now.mono, id, body);
        }
    }

    pub fn refuse_reoffer(&mut self, ep: &mut Endpoint, now: Now, status: u16) {
        if let Some(reoffer) = self.reoffer_in.take() {
            ep.refuse(now.mono, reoffer.id, status, "");
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
        let id = ep.request(now.mono, &mut self.dialog, Method::Invite, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            finish(w.header(HeaderName::Contact, contact).header(HeaderName::Allow, ALLOW), body)
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
                Heard::Reoffered { status, body: body_of(response) }
            }
            status => {
                self.reoffer_out = None;
                if matches!(status, 408 | 481) && self.state == State::Up {
                    self.send_bye(ep, now, None);
                }
                Heard::Reoffered { status, body: None }
            }
        }
    }
}
