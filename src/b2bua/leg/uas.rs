//! The caller's leg: what it is told, and what it acknowledges (RFC 3261 §13.3, §9.2).

use super::{Leg, State};
use crate::b2bua::endpoint::{ALLOW, Body, Endpoint, SUPPORTED, finish};
use crate::base::time::{Instant, Now};
use crate::sip::transaction::ServerId;
use crate::sip::wire::{HeaderName, Writer};

/// Puts the Reason in, if there is one.
pub(super) fn reasoned(writer: Writer, reason: &str) -> Writer {
    if reason.is_empty() { writer } else { writer.header(HeaderName::Reason, reason) }
}

/// Puts the Warning in, if there is one.
pub(super) fn warned(writer: Writer, warning: Option<&str>) -> Writer {
    warning.into_iter().fold(writer, |w, text| w.header(HeaderName::Warning, text))
}

impl Leg {
    /// Answers the INVITE with 200; not before the PRACK of a provisional response that carried our description (RFC 3262 §3).
    pub fn accept(&mut self, ep: &mut Endpoint, now: Now, body: Option<&Body>) {
        let (State::Pending, Some(id)) = (self.state, self.invite_in) else { return };
        if self.postpones_answer(body) {
            return;
        }
        self.answer(ep, now.mono, id, body.filter(|_| !self.provisionals.described));
        self.state = State::Answering;
        self.status = 200;
        self.answered = Some(now);
    }

    pub(super) fn answer(&mut self, ep: &mut Endpoint, now: Instant, id: ServerId, body: Option<&Body>) {
        let contact = ep.contact(self.dialog.flow());
        let (expiry, wish, reason) = (&mut self.expiry, ep.session_timers, &self.reason);
        ep.respond(now, id, 200, "", Some(self.dialog.local_tag()), |w| {
            let w = w.header(HeaderName::Contact, contact).header(HeaderName::Allow, ALLOW);
            let w = reasoned(w.header(HeaderName::Supported, SUPPORTED), reason);
            finish(expiry.write_answer(w, wish, now), body)
        });
    }

    /// The Reason header of the responses to the INVITE from now on.
    pub fn set_reason(&mut self, reason: String) {
        self.reason = reason.into();
    }

    /// Where a refusal with 3xx sends the caller.
    pub fn set_contacts(&mut self, contacts: Vec<String>) {
        self.contacts = contacts;
    }

    /// Refuses the INVITE. The leg is gone; the transaction layer sees to the ACK.
    pub fn refuse(&mut self, ep: &mut Endpoint, now: Now, status: u16, reason: &str) {
        let (State::Pending, Some(id)) = (self.state, self.invite_in) else { return };
        let told = &self.reasons(self.reason.to_string());
        let warning = self.session.warning().filter(|_| status == 488);
        ep.respond(now.mono, id, status, reason, Some(self.dialog.local_tag()), |w| match status {
            500 | 503 => reasoned(w.header(HeaderName::RetryAfter, 5), told).finish(),
            300..=399 => {
                self.contacts.iter().fold(w, |w, uri| w.header(HeaderName::Contact, format!("<{uri}>"))).finish()
            }
            _ => warned(reasoned(w, told), warning.as_deref()).finish(),
        });
        self.status = status;
        self.gone(now);
    }

    /// ACK to our 2xx, for the INVITE or a re-INVITE, told apart by its sequence number. True if it is the first one.
    pub fn on_ack(&mut self, ep: &mut Endpoint, now: Now, cseq: u32) -> bool {
        if let Some(reoffer) = &mut self.reoffer_in
            && reoffer.cseq == cseq
        {
            ep.transactions.acked(now.mono, reoffer.id);
            return !std::mem::replace(&mut reoffer.acked, true);
        }
        if let (true, Some(id)) = (cseq == self.invite_cseq, self.invite_in) {
            ep.transactions.acked(now.mono, id);
        }
        if self.state != State::Answering || cseq != self.invite_cseq {
            return false;
        }
        self.state = State::Up;
        if self.bye_wanted {
            self.send_bye(ep, now, None);
        }
        true
    }

    /// Our 2xx was never acknowledged: RFC 3261 §13.3.1.4 says BYE. False if there was no 2xx.
    pub fn on_never_acked(&mut self, ep: &mut Endpoint, now: Now) -> bool {
        let answered = matches!(self.state, State::Answering | State::Up);
        if answered {
            self.send_bye(ep, now, None);
        }
        answered
    }

    /// The caller gave up: 487.
    pub fn on_cancelled(&mut self, ep: &mut Endpoint, now: Now) -> bool {
        let cancelled = self.state == State::Pending && self.invite_in.is_some();
        self.refuse(ep, now, 487, "");
        cancelled
    }
}
