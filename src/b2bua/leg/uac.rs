//! A leg that calls somebody: its INVITE, the responses to it, their ACKs (RFC 3261 §13.2, §22.2).

use super::{Heard, Leg, State, body_of};
use crate::b2bua::endpoint::{ALLOW, Body, Endpoint, MAX_FORWARDS, SUPPORTED, finish};
use crate::base::time::{Instant, Now};
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method, NameAddr};

/// Contacts of a 3xx that are read.
const CONTACTS_MAX: usize = 8;
/// Longer URIs are left out.
const CONTACT_MAX: usize = 256;

/// The URIs of a 3xx by their q values, without headers, which a peer may not have us send.
fn contacts_of(response: &Message) -> Vec<String> {
    let read = |value: &str| {
        let address = NameAddr::parse(value)?;
        let quality = address.params.get("q").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        let uri = address.uri.split('?').next().unwrap_or_default();
        let is_clean = uri.len() <= CONTACT_MAX && !uri.contains(|c: char| c.is_control() || " <>\"".contains(c));
        is_clean.then(|| (quality, uri.to_owned()))
    };
    let mut found: Vec<(f32, String)> =
        response.headers(HeaderName::Contact).filter_map(read).take(CONTACTS_MAX).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, uri)| uri).collect()
}

impl Leg {
    /// Sends the INVITE.
    pub fn call(&mut self, ep: &mut Endpoint, now: Now, body: Option<Body>) {
        if let (Some(calling), State::Pending) = (&mut self.calling, self.state) {
            calling.body = body;
            self.send_invite(ep, now.mono);
        }
    }

    /// One more header of the INVITE, which has not gone out.
    pub fn add_header(&mut self, name: &str, value: String) {
        if let Some(calling) = &mut self.calling {
            calling.headers.push((name.to_owned(), value));
        }
    }

    /// The proxies by which the INVITE goes.
    pub fn set_routes(&mut self, routes: &[String]) {
        self.dialog.set_routes(routes);
    }

    /// Where a 3xx sent us, the best first.
    pub fn contacts(&self) -> &[String] {
        &self.contacts
    }

    /// Codecs that may be offered, while the leg has not been answered.
    pub fn codecs(&self) -> &[String] {
        self.calling.as_ref().map_or(&[], |c| &c.codecs)
    }

    pub(super) fn send_invite(&mut self, ep: &mut Endpoint, now: Instant) {
        let authorization = self.authorization(ep, Method::Invite);
        if let Some(digest) = &mut self.digest {
            digest.invite.clone_from(&authorization);
        }
        let Some(calling) = &self.calling else { return };
        let flow = ep.dialog_flow(&self.dialog);
        let contact = ep.contact(flow);
        let (expiry, wish) = (&self.expiry, ep.session_timers);
        let id = ep.request(now, &mut self.dialog, Method::Invite, calling.max_forwards, |mut w| {
            w = w.header(HeaderName::Contact, contact).header(HeaderName::Allow, ALLOW);
            w = expiry.write_request(w.header(HeaderName::Supported, SUPPORTED), wish);
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            for (name, value) in &calling.headers {
                w = w.raw_header(name, value);
            }
            finish(w, calling.body.as_ref())
        });
        self.invite_out = Some(id);
        self.invite_cseq = self.dialog.local_cseq();
    }

    pub(super) fn on_invite_response(&mut self, ep: &mut Endpoint, now: Now, response: &Message, flow: Flow) -> Heard {
        self.heard_anything = true;
        self.note_abilities(response);
        if self.ringing_tag.is_empty() && response.status() < 200 {
            self.ringing_tag = response.to_tag().into();
        }
        match (response.status(), self.state) {
            (100, _) => Heard::Nothing,
            (101..=199, State::Pending) if !self.take_provisional(ep, now, response, flow) => Heard::Nothing,
            (101..=199, State::Pending) => Heard::Progress { status: response.status(), body: body_of(response) },
            (101..=199, _) => Heard::Nothing,
            (200..=299, State::Pending) => {
                self.establish(ep, response, flow);
                self.state = State::Up;
                self.expiry.agree(response, ep.session_timers, now.mono);
                self.status = response.status();
                self.answered = Some(now);
                Heard::Answered { body: body_of(response) }
            }
            (200..=299, State::Cancelling) => {
                self.establish(ep, response, flow);
                self.status = response.status();
                self.send_bye(ep, now, None);
                Heard::Nothing
            }
            (200..=299, _) => {
                self.on_further_2xx(ep, now, response, flow);
                Heard::Nothing
            }
            (422, State::Pending) if self.expiry.raise(response) => {
                self.send_invite(ep, now.mono);
                Heard::Nothing
            }
            (401 | 407, State::Pending) if self.answer_challenge(ep, now, response) => Heard::Nothing,
            (status, State::Pending) => {
                self.status = status;
                if (300..400).contains(&status) {
                    self.contacts = contacts_of(response);
                }
                self.hear_cause(response);
                self.gone(now);
                Heard::Refused { status, reason: response.reason().to_owned() }
            }
            (status, State::Cancelling) => {
                self.status = status;
                self.gone(now);
                Heard::Ended
            }
            _ => Heard::Nothing,
        }
    }

    /// Takes the dialog of a 2xx and acknowledges it.
    pub(super) fn establish(&mut self, ep: &mut Endpoint, response: &Message, flow: Flow) {
        self.dialog = self.dialog.established(response, flow, self.dialog.is_sticky());
        self.early = Vec::new();
        let offered = self.calling.take().is_some_and(|c| c.body.is_some());
        self.ack_owed = !offered && body_of(response).is_some();
        if !self.ack_owed {
            self.send_ack(ep);
        }
    }

    pub(super) fn send_ack(&self, ep: &mut Endpoint) {
        let credentials = self.digest.as_ref().map_or(&[][..], |d| &d.invite);
        ep.ack_with(&self.dialog, self.invite_cseq, credentials, self.ack_body.as_ref());
    }

    /// Sends the ACK that waited for the answer to the peer's offer.
    pub fn acknowledge(&mut self, ep: &mut Endpoint, answer: Option<&Body>) {
        if std::mem::take(&mut self.ack_owed) {
            self.ack_body = answer.cloned();
            self.send_ack(ep);
        }
    }

    /// A retransmitted 2xx is acknowledged again; another fork's is acknowledged and hung up (§13.2.2.4).
    pub fn on_further_2xx(&mut self, ep: &mut Endpoint, now: Now, response: &Message, flow: Flow) {
        if response.to_tag() == self.dialog.remote_tag() {
            if self.ack_owed {
                return;
            }
            self.send_ack(ep);
        } else {
            let mut fork = self.dialog.established(response, flow, self.dialog.is_sticky());
            ep.ack(&fork, self.invite_cseq, None);
            // Its 2xx again: the BYE is under way or done.
            if ep.is_first_hang_up(self.dialog.local_tag(), response.to_tag()) {
                ep.request(now.mono, &mut fork, Method::Bye, MAX_FORWARDS, |w| w.finish());
            }
        }
    }

    /// Sends the INVITE again with credentials; false if there are none or they were refused already.
    pub(super) fn answer_challenge(&mut self, ep: &mut Endpoint, now: Now, response: &Message) -> bool {
        let Some(digest) = &mut self.digest else { return false };
        if digest.client.challenged(response, &mut digest.tries).is_err() {
            return false;
        }
        self.send_invite(ep, now.mono);
        true
    }
}
