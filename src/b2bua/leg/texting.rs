//! MESSAGE inside a call's dialog (RFC 3428 §7, §8): what this party writes, and what it is written. Who writes is answered when the
//! other has answered.

use super::{Asked, Heard, Leg, State};
use crate::b2bua::endpoint::{Endpoint, MAX_FORWARDS, TEXT_TYPES, finish};
use crate::b2bua::text::{Text, refusal_of_text};
use crate::base::time::Now;
use crate::sip::auth::Tries;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::wire::{HeaderName, Message, Method};

/// Texts that one party has not answered yet; more get 503.
const TEXTS_MAX: usize = 8;

/// A text that the peer was sent.
#[derive(Debug)]
pub struct Sent {
    client: ClientId,
    /// Whom its answer is for.
    writer: Writer,
    text: Text,
    /// It has answered a challenge.
    again: bool,
}

/// Who of the call has written, by its leg, and the request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    pub leg: u8,
    pub id: ServerId,
}

impl Leg {
    /// The peer writes. What is wrong with it whoever wrote is answered here.
    pub(super) fn on_text(&self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        match refusal_of_text(request) {
            _ if !matches!(self.state, State::Up | State::Answering) => self.refused(ep, now, id, 480),
            Some(status) => {
                self.answer_text(ep, now, id, status);
                Asked::Nothing
            }
            None => Asked::Text(id, Box::new(Text::of(request))),
        }
    }

    /// Answers what the peer wrote.
    pub fn answer_text(&self, ep: &mut Endpoint, now: Now, id: ServerId, status: u16) {
        match status {
            200..=299 => ep.respond(now.mono, id, status, "", None, |w| w.finish()),
            415 => ep.respond(now.mono, id, 415, "", None, |w| w.header(HeaderName::Accept, TEXT_TYPES).finish()),
            _ => ep.refuse(now.mono, id, status, ""),
        };
    }

    /// Sends the peer what the other party wrote; false if it cannot be asked now.
    pub fn text(&mut self, ep: &mut Endpoint, now: Now, writer: Writer, text: Text) -> bool {
        let is_free = matches!(self.state, State::Up | State::Answering) && self.texts.len() < TEXTS_MAX;
        if is_free {
            self.send_text(ep, now, writer, text, false);
        }
        is_free
    }

    fn send_text(&mut self, ep: &mut Endpoint, now: Now, writer: Writer, text: Text, again: bool) {
        let (uri, octets) = (self.dialog.target(), text.body.as_ref().map_or(&b""[..], |body| &body.bytes[..]));
        let digest = self.digest.as_mut();
        let authorization =
            digest.map_or(Vec::new(), |d| d.client.authorize(ep.rng(), Method::Message.as_str(), uri, octets));
        let client = ep.request(now.mono, &mut self.dialog, Method::Message, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            let w = text.passed.iter().fold(w, |w, (name, value)| w.raw_header(name, value));
            finish(w, text.body.as_ref())
        });
        self.texts.push(Sent { client, writer, text, again });
    }

    /// The peer has hung up: who waits for its answers, and the octets of each text.
    pub fn unanswered_texts(&mut self) -> Vec<(Writer, usize)> {
        std::mem::take(&mut self.texts).iter().map(|sent| (sent.writer, sent.text.octets())).collect()
    }

    fn take_text(&mut self, id: ClientId) -> Option<Sent> {
        let at = self.texts.iter().position(|sent| sent.client == id)?;
        Some(self.texts.remove(at))
    }

    /// A response to what may be a text of ours: a challenge is answered once, any other final one is for who wrote.
    pub(super) fn on_text_response(
        &mut self,
        ep: &mut Endpoint,
        now: Now,
        id: ClientId,
        response: &Message,
    ) -> Option<Heard> {
        if response.status() < 200 {
            return None;
        }
        let sent = self.take_text(id)?;
        let is_challenge = matches!(response.status(), 401 | 407) && !sent.again;
        let digest = self.digest.as_mut().filter(|_| is_challenge);
        if digest.is_some_and(|d| d.client.challenged(response, &mut Tries::default()).is_ok()) {
            self.send_text(ep, now, sent.writer, sent.text, true);
            return Some(Heard::Nothing);
        }
        Some(told(&sent, response.status()))
    }

    /// What may be a text of ours got no response (408, 503).
    pub(super) fn on_text_lost(&mut self, id: ClientId, status: u16) -> Option<Heard> {
        self.take_text(id).map(|sent| told(&sent, status))
    }
}

/// What is between us and the receiver is not the writer's, and 408 says nothing to who has waited (RFC 4320 §4.1).
fn told(sent: &Sent, status: u16) -> Heard {
    let status = match status {
        202 => 202,
        200..=299 => 200,
        300..=399 | 401 | 407 | 408 | 481 | 503 => 480,
        status => status,
    };
    Heard::TextAnswered { writer: sent.writer, octets: sent.text.octets(), status }
}
