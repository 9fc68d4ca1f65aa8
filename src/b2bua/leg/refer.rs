//! REFER inside a dialog, in either direction (RFC 3515, RFC 4488), and the NOTIFYs that tell how it goes.

use super::{Asked, Heard, Leg, State};
use crate::b2bua::endpoint::{Endpoint, MAX_FORWARDS, unsupported};
use crate::base::time::Now;
use crate::sip::auth::Tries;
use crate::sip::replaces::ReferTo;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::wire::{HeaderName, Message, Method, Writer, reason_phrase};

/// How long a transfer's subscription is said to live; it ends with the transfer.
const EXPIRES_S: u32 = 180;

const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// REFERs of one dialog.
#[derive(Debug, Default)]
pub struct Referring {
    /// Those that came: the second and later ones are told apart by an id (RFC 3515 §2.4.6).
    seen: u32,
    /// The one that has no answer yet.
    asked: Option<Unanswered>,
    told: Option<Subscription>,
    /// The one that we sent, and whether it has answered a challenge.
    sent: Option<(ClientId, bool)>,
    refer_to: String,
    by: String,
    /// The peer tells us how what we sent goes.
    follows: bool,
}

#[derive(Clone, Copy, Debug)]
struct Unanswered {
    id: ServerId,
    cseq: u32,
    /// The peer does not want to hear of it (RFC 4488).
    silent: bool,
}

/// The peer is told how its REFER goes: one NOTIFY at a time, so that they keep their order.
#[derive(Debug)]
struct Subscription {
    id: Option<u32>,
    under_way: Option<(ClientId, u16, bool)>,
    /// What is to be told next; a later word takes the place of an earlier one.
    next: Option<u16>,
}

impl Leg {
    /// A REFER of the peer's: whatever is wrong with it whoever asks is answered here.
    pub(super) fn on_refer(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        match self.state {
            State::Up => {}
            State::Answering | State::Pending => {
                ep.refuse_for_now(now.mono, id);
                return Asked::Nothing;
            }
            State::Cancelling | State::Closing | State::Gone => return self.refused(ep, now, id, 481),
        }
        if let Some(unknown) = unsupported(request) {
            ep.respond(now.mono, id, 420, "", None, |w| w.header(HeaderName::Unsupported, unknown).finish());
            return Asked::Nothing;
        }
        if self.referring.asked.is_some() || self.referring.told.is_some() {
            return self.refused(ep, now, id, 491);
        }
        let to = match ReferTo::of(request) {
            Ok(to) => to,
            Err(status) => return self.refused(ep, now, id, status),
        };
        let silent = request.header_named("Refer-Sub").is_some_and(|value| value.eq_ignore_ascii_case("false"));
        self.referring.seen += 1;
        let cseq = request.cseq().map_or(0, |c| c.number);
        self.referring.asked = Some(Unanswered { id, cseq, silent });
        Asked::Refer(Box::new(to))
    }

    /// Refuses the REFER that has no answer yet.
    pub fn refuse_refer(&mut self, ep: &mut Endpoint, now: Now, status: u16) {
        if let Some(asked) = self.referring.asked.take() {
            ep.refuse(now.mono, asked.id, status, "");
        }
    }

    /// Takes the REFER, and tells how far it is: 100 that it is being tried, or how it has gone.
    pub fn accept_refer(&mut self, ep: &mut Endpoint, now: Now, status: u16) {
        let Some(asked) = self.referring.asked.take() else { return };
        let contact = ep.contact(self.dialog.flow());
        ep.respond(now.mono, asked.id, 202, "", None, |w| {
            let w = w.header(HeaderName::Contact, contact);
            if asked.silent { w.raw_header("Refer-Sub", "false").finish() } else { w.finish() }
        });
        if !asked.silent {
            let id = (self.referring.seen > 1).then_some(asked.cseq);
            self.referring.told = Some(Subscription { id, under_way: None, next: None });
            self.tell_refer(ep, now, status);
        }
    }

    /// Tells how the REFER goes; a final status ends it.
    pub fn tell_refer(&mut self, ep: &mut Endpoint, now: Now, status: u16) {
        let Some(told) = &mut self.referring.told else { return };
        told.next = Some(status);
        if told.under_way.is_none() {
            self.notify_refer(ep, now, false);
        }
    }

    fn notify_refer(&mut self, ep: &mut Endpoint, now: Now, again: bool) {
        if !matches!(self.state, State::Up | State::Answering) {
            self.referring.told = None;
            return;
        }
        let authorization = self.authorization(ep, Method::Notify);
        let contact = ep.contact(self.dialog.flow());
        let Some(told) = &mut self.referring.told else { return };
        let Some(status) = told.next.take() else { return };
        let (event, state) = (event(told.id), subscription_state(status));
        let fragment = format!("SIP/2.0 {status} {}\r\n", reason_phrase(status));
        let id = ep.request(now.mono, &mut self.dialog, Method::Notify, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            w = w.header(HeaderName::Contact, contact).header(HeaderName::Event, event);
            w.header(HeaderName::SubscriptionState, state).finish_with_body(SIPFRAG, fragment.as_bytes())
        });
        told.under_way = Some((id, status, again));
    }

    /// A response to what may be a NOTIFY of a transfer: a challenge is answered once, any other final one lets the next go.
    pub(super) fn on_notify_response(&mut self, ep: &mut Endpoint, now: Now, id: ClientId, response: &Message) {
        let status = response.status();
        let Some(told) = self.referring.told.as_mut().filter(|_| status >= 200) else { return };
        let Some((_, told_status, again)) = told.under_way.take_if(|(known, ..)| *known == id) else { return };
        let digest = self.digest.as_mut().filter(|_| matches!(status, 401 | 407) && !again);
        if digest.is_some_and(|d| d.client.challenged(response, &mut Tries::default()).is_ok()) {
            told.next = told.next.or(Some(told_status));
            return self.notify_refer(ep, now, true);
        }
        // RFC 6665 §4.2.2: who knows nothing of it is told nothing more.
        if told_status >= 200 || status == 481 {
            self.referring.told = None;
        } else {
            self.notify_refer(ep, now, false);
        }
    }

    pub(super) fn on_notify_lost(&mut self, id: ClientId) {
        let told = self.referring.told.as_ref();
        if told.is_some_and(|told| told.under_way.is_some_and(|(known, ..)| known == id)) {
            self.referring.told = None;
        }
    }

    /// SUBSCRIBE inside the dialog: a transfer's subscription is refreshed, or given up (RFC 3515 §2.4.4).
    pub(super) fn on_subscribe(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        if !is_refer(request) {
            ep.respond(now.mono, id, 489, "", None, |w| w.raw_header("Allow-Events", "refer").finish());
            return Asked::Nothing;
        }
        let Some(told) = &mut self.referring.told else { return self.refused(ep, now, id, 481) };
        let seconds = request.number(HeaderName::Expires).unwrap_or(EXPIRES_S).min(EXPIRES_S);
        let contact = ep.contact(self.dialog.flow());
        ep.respond(now.mono, id, 200, "", None, |w| {
            w.header(HeaderName::Contact, contact).header(HeaderName::Expires, seconds).finish()
        });
        if seconds == 0 {
            told.next = None;
            self.referring.told = None;
        }
        Asked::Nothing
    }

    // ---- passed on -------------------------------------------------------------------------------------------------

    /// Has the peer go elsewhere: sends it a REFER. False if the leg is not up, or one is under way.
    pub fn refer(&mut self, ep: &mut Endpoint, now: Now, refer_to: &str, by: &str) -> bool {
        if self.state != State::Up || self.referring.sent.is_some() || self.referring.follows {
            return false;
        }
        (self.referring.refer_to, self.referring.by) = (refer_to.to_owned(), by.to_owned());
        self.send_refer(ep, now, false);
        true
    }

    fn send_refer(&mut self, ep: &mut Endpoint, now: Now, again: bool) {
        let authorization = self.authorization(ep, Method::Refer);
        let contact = ep.contact(self.dialog.flow());
        let (refer_to, by) = (&self.referring.refer_to, &self.referring.by);
        let id = ep.request(now.mono, &mut self.dialog, Method::Refer, MAX_FORWARDS, |mut w: Writer| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            w.header(HeaderName::Contact, contact)
                .header(HeaderName::ReferTo, refer_to)
                .header(HeaderName::ReferredBy, by)
                .finish()
        });
        self.referring.sent = Some((id, again));
    }

    /// A response to what may be a REFER of ours.
    pub(super) fn on_refer_response(
        &mut self,
        ep: &mut Endpoint,
        now: Now,
        id: ClientId,
        response: &Message,
    ) -> Option<Heard> {
        let (_, again) = self.referring.sent.filter(|(known, _)| *known == id && response.status() >= 200)?;
        self.referring.sent = None;
        let status = response.status();
        let digest = self.digest.as_mut().filter(|_| matches!(status, 401 | 407) && !again);
        if self.state == State::Up
            && digest.is_some_and(|d| d.client.challenged(response, &mut Tries::default()).is_ok())
        {
            self.send_refer(ep, now, true);
            return Some(Heard::Nothing);
        }
        self.referring.follows = status < 300;
        Some(Heard::Referred { status })
    }

    pub(super) fn on_refer_lost(&mut self, id: ClientId, status: u16) -> Option<Heard> {
        self.referring.sent.take_if(|(known, _)| *known == id).map(|_| Heard::Referred { status })
    }

    /// A NOTIFY of how what we sent goes.
    pub(super) fn on_notify(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        let awaited = self.referring.follows || self.referring.sent.is_some();
        if !awaited || !is_refer(request) {
            return self.refused(ep, now, id, 481);
        }
        ep.respond(now.mono, id, 200, "", None, |w| w.finish());
        let state = request.header(HeaderName::SubscriptionState).unwrap_or_default();
        let over = state.trim_ascii_start().get(..10).is_some_and(|s| s.eq_ignore_ascii_case("terminated"));
        let told = std::str::from_utf8(request.body()).ok().and_then(|body| body.strip_prefix("SIP/2.0 "));
        let status = told.and_then(|rest| rest.get(..3)).and_then(|digits| digits.parse().ok());
        match status {
            Some(status @ 100..=699) => {
                self.referring.follows &= status < 200 && !over;
                Asked::ReferTold { status }
            }
            // It is over, and nobody knows how it went.
            _ if over => {
                self.referring.follows = false;
                Asked::ReferTold { status: 503 }
            }
            _ => Asked::Nothing,
        }
    }
}

fn is_refer(request: &Message) -> bool {
    let event = request.header(HeaderName::Event).unwrap_or_default();
    event.split(';').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case("refer")
}

fn event(id: Option<u32>) -> String {
    id.map_or_else(|| "refer".to_owned(), |id| format!("refer;id={id}"))
}

fn subscription_state(status: u16) -> String {
    match status {
        200.. => "terminated;reason=noresource".to_owned(),
        _ => format!("active;expires={EXPIRES_S}"),
    }
}
