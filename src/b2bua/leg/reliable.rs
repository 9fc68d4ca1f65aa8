//! Reliable provisional responses (RFC 3262), in both roles.
//!
//! As UAS one is under way at a time; the next, and a 200 to an INVITE whose description went out with the one under way, wait for
//! its PRACK (§3, §5). As UAC each fork has a dialog and a count of its own (§4).

use super::{Asked, Leg, State, body_of};
use crate::b2bua::endpoint::{ALLOW, Body, Endpoint, MAX_FORWARDS, SUPPORTED, finish};
use crate::base::time::Now;
use crate::sip::auth::Tries;
use crate::sip::dialog::{Dialog, Tag};
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method};
use std::collections::VecDeque;

/// The option tag.
const TAG: &str = "100rel";
/// Provisional responses that wait for a PRACK; further ones are not sent.
const QUEUE_MAX: usize = 8;
/// Forks whose provisional responses are acknowledged.
const EARLY_MAX: usize = 16;

/// What we owe the caller.
#[derive(Debug, Default)]
pub(super) struct Provisionals {
    supported: bool,
    required: bool,
    /// The INVITE carries an offer: what we describe is the answer.
    pub invite_offers: bool,
    /// Our description has gone out reliably: no other response to the INVITE carries one.
    pub described: bool,
    /// The last one's number; 0 while there is none.
    rseq: u32,
    /// The one under way, and whether it carries our description.
    unacked: Option<bool>,
    queue: VecDeque<(u16, Option<Body>)>,
    /// The 200 that waits for the PRACK.
    answer: Option<Option<Body>>,
    /// The PRACK that waits for the call's word on its description.
    prack: Option<ServerId>,
}

impl Provisionals {
    pub fn of(invite: &Message) -> Provisionals {
        let required = invite.lists(HeaderName::Require, TAG);
        Provisionals {
            supported: required || invite.lists(HeaderName::Supported, TAG),
            required,
            invite_offers: body_of(invite).is_some(),
            ..Provisionals::default()
        }
    }

    /// Our description has gone out, and its PRACK is awaited.
    pub fn awaits_prack(&self) -> bool {
        self.unacked == Some(true) || self.prack.is_some()
    }
}

/// An early dialog that a reliable provisional response made.
#[derive(Debug)]
pub(super) struct Early {
    pub dialog: Dialog,
    rseq: u32,
    /// It has answered our offer.
    pub answered: bool,
}

/// A PRACK of ours, to be sent again with credentials.
#[derive(Debug)]
pub(super) struct Prack {
    id: ClientId,
    fork: usize,
    rack: String,
}

impl Leg {
    /// The caller takes provisional responses reliably, so that one of them may carry an offer of ours.
    pub const fn takes_reliable(&self) -> bool {
        self.provisionals.supported
    }

    /// Sends a provisional response (101–199): reliably if the caller requires it, or if it carries a description.
    pub fn progress(&mut self, ep: &mut Endpoint, now: Now, status: u16, body: Option<&Body>) {
        let (State::Pending, Some(id)) = (self.state, self.invite_in) else { return };
        let owed = &mut self.provisionals;
        if owed.answer.is_some() {
            return;
        }
        if owed.unacked.is_some() || owed.prack.is_some() {
            if owed.queue.len() < QUEUE_MAX {
                owed.queue.push_back((status, body.cloned()));
            }
            return;
        }
        let body = body.filter(|_| !owed.described);
        let contact = ep.contact(self.dialog.flow());
        let tag = Some(self.dialog.local_tag());
        if !(owed.required || owed.supported && body.is_some()) {
            let reason = &self.reason;
            ep.respond(now.mono, id, status, "", tag, |w| {
                finish(super::uas::reasoned(w.header(HeaderName::Contact, contact), reason), body)
            });
            return;
        }
        owed.rseq = if owed.rseq == 0 { 1 + ep.rng().below(1 << 30) as u32 } else { owed.rseq + 1 };
        owed.described |= body.is_some();
        owed.unacked = Some(body.is_some());
        let rseq = owed.rseq;
        ep.respond_reliably(now.mono, id, status, tag, |w| {
            let w = w.header(HeaderName::Contact, contact).header(HeaderName::Allow, ALLOW);
            let w = w.header(HeaderName::Supported, SUPPORTED).header(HeaderName::Require, TAG);
            finish(w.header(HeaderName::RSeq, rseq), body)
        });
    }

    /// The 200 must wait; it goes out when the PRACK has come.
    pub(super) fn postpones_answer(&mut self, body: Option<&Body>) -> bool {
        let waits = self.provisionals.awaits_prack();
        if waits {
            self.provisionals.answer = Some(body.cloned());
        }
        waits
    }

    /// PRACK (§3): 481 if it names no response that waits for one. A body waits for [`Leg::answer_prack`].
    pub(super) fn on_prack(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        let named = request.header(HeaderName::RAck).and_then(rack);
        let ours = (self.provisionals.rseq, self.invite_cseq);
        let (Some(invite), true) = (self.invite_in, named == Some(ours)) else {
            return self.refused(ep, now, id, 481);
        };
        if self.provisionals.unacked.take().is_none() {
            return self.refused(ep, now, id, 481);
        }
        ep.transactions.pracked(now.mono, invite);
        self.provisionals.prack = Some(id);
        match body_of(request) {
            Some(body) => Asked::Pracked { body },
            None => {
                self.answer_prack(ep, now, Ok(None));
                Asked::Nothing
            }
        }
    }

    /// Answers the PRACK with our description, with none, or with a refusal of what it offers; then goes on.
    pub fn answer_prack(&mut self, ep: &mut Endpoint, now: Now, answer: Result<Option<&Body>, u16>) {
        let Some(id) = self.provisionals.prack.take() else { return };
        match answer {
            Ok(body) => {
                ep.respond(now.mono, id, 200, "", None, |w| finish(w, body));
            }
            Err(status) => {
                ep.refuse(now.mono, id, status, "");
            }
        }
        if let Some(body) = self.provisionals.answer.take() {
            self.provisionals.queue.clear();
            return self.accept(ep, now, body.as_ref());
        }
        while let Some((status, body)) = self.provisionals.queue.pop_front() {
            self.progress(ep, now, status, body.as_ref());
            if self.provisionals.unacked.is_some() {
                return;
            }
        }
    }

    // ---- as UAC ----------------------------------------------------------------------------------------------------

    /// Acknowledges a provisional response if it is a reliable one. False if it has come before, or one before it is missing: then
    /// nobody hears of it (§4).
    pub(super) fn take_provisional(&mut self, ep: &mut Endpoint, now: Now, response: &Message, flow: Flow) -> bool {
        let reliable = response.lists(HeaderName::Require, TAG) && !response.to_tag().is_empty();
        let Some(rseq) = response.number(HeaderName::RSeq).filter(|_| reliable) else { return true };
        let known = self.early.iter().position(|e| e.dialog.remote_tag() == response.to_tag());
        let fork = match known {
            Some(at) if self.early[at].rseq.checked_add(1) != Some(rseq) => return false,
            Some(at) => at,
            None if self.early.len() >= EARLY_MAX => return true,
            None => {
                let dialog = self.dialog.established(response, flow, self.dialog.is_sticky());
                self.early.push(Early { dialog, rseq, answered: false });
                self.early.len() - 1
            }
        };
        self.early[fork].rseq = rseq;
        self.early[fork].answered |= body_of(response).is_some();
        let rack = format!("{rseq} {} INVITE", self.invite_cseq);
        self.send_prack(ep, now, fork, rack);
        true
    }

    fn send_prack(&mut self, ep: &mut Endpoint, now: Now, fork: usize, rack: String) {
        let authorization = self.authorization(ep, Method::Prack);
        let cseq = self.dialog.local_cseq();
        let Some(early) = self.early.get_mut(fork) else { return };
        // The forks count together, so that whichever answers goes on from a number that it has not seen.
        early.dialog.start_cseq(cseq);
        let id = ep.request(now.mono, &mut early.dialog, Method::Prack, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            w.header(HeaderName::RAck, &rack).finish()
        });
        self.dialog.start_cseq(early.dialog.local_cseq());
        self.prack_out = Some(Prack { id, fork, rack });
    }

    /// A challenge of our PRACK is answered, once; every other response changes nothing.
    pub(super) fn on_prack_response(&mut self, ep: &mut Endpoint, now: Now, id: ClientId, response: &Message) {
        if response.status() < 200 {
            return;
        }
        let Some(prack) = self.prack_out.take_if(|p| p.id == id) else { return };
        let digest = self.digest.as_mut().filter(|_| matches!(response.status(), 401 | 407));
        if digest.is_some_and(|d| d.client.challenged(response, &mut Tries::default()).is_ok()) {
            self.send_prack(ep, now, prack.fork, prack.rack);
            self.prack_out = None;
        }
    }

    /// The place in `early` of the dialog that a request of the peer's names while the INVITE has no final response.
    pub(super) fn early_dialog(&self, request: &Message) -> Option<usize> {
        let pending = self.state == State::Pending && self.invite_out.is_some();
        self.early.iter().position(|e| pending && e.dialog.remote_tag() == request.from_tag())
    }
}

/// Response number and CSeq number of a RAck value, for INVITE.
fn rack(value: &str) -> Option<(u32, u32)> {
    let mut words = value.split_ascii_whitespace();
    let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some("INVITE") && words.next().is_none()).then_some(numbers)
}

impl Endpoint {
    /// As [`Endpoint::respond`], repeated until PRACK comes.
    fn respond_reliably(
        &mut self,
        now: crate::base::time::Instant,
        id: ServerId,
        status: u16,
        tag: Option<Tag>,
        add: impl FnOnce(crate::sip::wire::Writer) -> bytes::Bytes,
    ) -> bool {
        let Some(bytes) = self.response(id, status, "", tag, add) else { return false };
        self.transactions.respond_reliably(now, id, status, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rack_names_response_and_invite() {
        for (value, want) in [
            ("776656 1 INVITE", Some((776_656, 1))),
            (" 1  4294967295 INVITE ", Some((1, u32::MAX))),
            ("1 1 UPDATE", None),
            ("1 1", None),
            ("1 x INVITE", None),
            ("1 1 INVITE 1", None),
            ("4294967296 1 INVITE", None),
        ] {
            assert_eq!(rack(value), want, "{value}");
        }
    }
}
