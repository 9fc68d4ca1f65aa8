//! The end of a dialog: BYE in either direction (RFC 3261 §15).

use super::{Asked, Digest, Leg, State};
use crate::b2bua::endpoint::{Endpoint, MAX_FORWARDS};
use crate::base::time::Now;
use crate::sip::auth::Tries;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::wire::{HeaderName, Message, Method};

/// Why an attempt ends that lost to another: its phone then shows no missed call.
pub const ELSEWHERE: &str = "Call completed elsewhere";

/// The Reason value (RFC 3326 §2) that says so in words.
pub(super) fn reason_of(phrase: &str) -> String {
    let cause = if phrase == ELSEWHERE { "cause=200;" } else { "" };
    format!("SIP;{cause}text=\"{}\"", phrase.replace(['"', '\\'], " "))
}

impl Leg {
    /// The BYE has a response. A final one ends the leg, but for a challenge, which is answered once: the peer's nonce may be older
    /// than the call (§22.2).
    pub fn on_bye_response(&mut self, ep: &mut Endpoint, now: Now, response: &Message) {
        let retry = matches!(response.status(), 401 | 407) && self.state == State::Closing && !self.bye_retried;
        let answerable = |digest: &mut Box<Digest>| digest.client.challenged(response, &mut Tries::default()).is_ok();
        if retry && self.digest.as_mut().is_some_and(answerable) {
            self.bye_retried = true;
            self.send_bye(ep, now, None);
        } else if response.status() >= 200 {
            self.on_bye_done(now);
        }
    }

    /// The BYE was not answered (408), or its flow broke (503): a stream is opened anew, once.
    pub fn on_bye_unanswered(&mut self, ep: &mut Endpoint, now: Now, status: u16) {
        let broken = status == 503 && self.dialog.flow().transport.is_reliable();
        if broken && self.state == State::Closing && !std::mem::replace(&mut self.bye_retried, true) {
            self.send_bye(ep, now, None);
        } else {
            self.on_bye_done(now);
        }
    }

    pub(super) fn on_bye_done(&mut self, now: Now) {
        if self.state == State::Closing {
            self.gone(now);
        }
    }

    pub(super) fn send_bye(&mut self, ep: &mut Endpoint, now: Now, reason: Option<&str>) -> ClientId {
        self.acknowledge(ep, None);
        self.drop_reoffer(ep, now);
        self.state = State::Closing;
        self.ended.get_or_insert(now);
        let authorization = self.authorization(ep, Method::Bye);
        let reason = self.reasons(reason.map_or(String::new(), reason_of));
        ep.request(now.mono, &mut self.dialog, Method::Bye, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            if !reason.is_empty() {
                w = w.header(HeaderName::Reason, reason);
            }
            w.finish()
        })
    }

    pub(super) fn on_bye(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        ep.respond(now.mono, id, 200, "", None, |w| w.finish());
        if let (State::Pending, Some(invite)) = (self.state, self.invite_in) {
            ep.respond(now.mono, invite, 487, "", Some(self.dialog.local_tag()), |w| w.finish());
            self.status = 487;
        }
        // Our 2xx needs no further retransmission once its dialog is over (§15.1.2).
        for invite in self.invite_in.into_iter().chain(self.reoffer_in.map(|r| r.id)) {
            ep.transactions.acked(now.mono, invite);
        }
        self.drop_reoffer(ep, now);
        self.hear_cause(request);
        let was_closing = self.state == State::Closing;
        self.gone(now);
        if was_closing {
            return Asked::Nothing;
        }
        Asked::Bye
    }
}
