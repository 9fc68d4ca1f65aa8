//! One party's side of a call: an INVITE session (RFC 3261 §13, §14, §15) with its dialog, as UAS or as UAC.
//!
//! ```text
//!            UAS                                   UAC
//!   Pending ──2xx──► Answering ──ACK──► Up   Pending ──2xx, ACK──► Up
//!      │ 3xx–6xx         │ no ACK: BYE    │      │ CANCEL             │ BYE
//!      ▼                 ▼                │      ▼                    ▼
//!     Gone ◄──────── Closing ◄────BYE─────┘   Cancelling ──487──►  Closing ──► Gone
//!                                                 └── late 2xx: ACK, BYE ──┘
//! ```
//!
//! A leg speaks SIP through the [`Endpoint`] and tells its call what it heard by return value. It knows nothing of media,
//! scripts or other legs: bodies pass through it as bytes.

mod info;

pub use super::body::{body_of, offer_of};

use super::endpoint::{ALLOW, Body, Endpoint, MAX_FORWARDS, capabilities, finish};
use super::session::Session;
use crate::base::pii::Secret;
use crate::base::time::{Instant, Now};
use crate::event::Direction;
use crate::sip::auth::{DigestClient, Tries};
use crate::sip::dialog::{Dialog, OutOfOrder};
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method, reason_phrase};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The INVITE has no final response yet.
    Pending,
    /// UAS: 2xx sent, its ACK is awaited.
    Answering,
    Up,
    /// UAC: given up; the INVITE's final response is awaited.
    Cancelling,
    /// BYE sent, its response is awaited.
    Closing,
    Gone,
}

/// Who is at the other end, for CDR and limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    Trunk(String),
    User(String),
    Uri(String),
}

impl Peer {
    pub fn as_str(&self) -> &str {
        match self {
            Peer::Trunk(s) | Peer::User(s) | Peer::Uri(s) => s,
        }
    }
}

/// What an outgoing leg is called with.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub peer: Peer,
    pub uri: String,
    /// From and To values without tags.
    pub from: String,
    pub to: String,
    pub flow: Flow,
    /// Keep to `flow` for the whole dialog (registered phones).
    pub sticky: bool,
    pub max_forwards: u8,
    pub headers: Vec<(String, String)>,
    pub credentials: Option<(String, Secret)>,
    /// Codecs that may be offered, in order.
    pub codecs: Vec<String>,
}

/// What an outgoing leg remembers until it is answered, to send its INVITE again with credentials.
#[derive(Debug)]
struct Calling {
    max_forwards: u8,
    headers: Vec<(String, String)>,
    codecs: Vec<String>,
    body: Option<Body>,
}

/// Answers the peer's challenges.
#[derive(Debug)]
struct Digest {
    client: DigestClient,
    tries: Tries,
    /// What the INVITE carried: its ACK carries the same (RFC 3261 §22.1).
    invite: Vec<(HeaderName, String)>,
}

/// What a response to an INVITE, or a timeout, means for the call.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    Progress {
        status: u16,
        body: Option<Body>,
    },
    Answered {
        body: Option<Body>,
    },
    /// The leg is gone.
    Refused {
        status: u16,
        reason: String,
    },
    /// Our re-INVITE has its final response.
    Reoffered {
        status: u16,
        body: Option<Body>,
    },
    /// The leg is gone after we ended it.
    Ended,
}

/// What a request inside the dialog wants of the call; the leg has answered all that needs no decision.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    /// The peer hung up; it has its 200, the leg is gone. `reason` is the Reason header's value or "".
    Bye {
        reason: String,
    },
    /// re-INVITE (without a body: the peer wants an offer), or UPDATE with one: answer with [`Leg::answer_reoffer`] or [`Leg::refuse_reoffer`].
    Reoffer {
        body: Option<Body>,
    },
    Info {
        body: Option<Body>,
    },
}

#[derive(Debug)]
pub struct Leg {
    pub index: u8,
    pub peer: Peer,
    pub direction: Direction,
    pub session: Session,
    pub started: Now,
    pub answered: Option<Now>,
    pub ended: Option<Now>,
    /// The INVITE's final status; 0 while there is none.
    pub status: u16,
    state: State,
    dialog: Dialog,
    /// UAS: the INVITE.
    invite_in: Option<ServerId>,
    /// UAC: the INVITE.
    invite_out: Option<ClientId>,
    invite_cseq: u32,
    ack_body: Option<Body>,
    calling: Option<Box<Calling>>,
    digest: Option<Box<Digest>>,
    heard_anything: bool,
    bye_wanted: bool,
    bye_retried: bool,
    reoffer_in: Option<Reoffer<ServerId>>,
    reoffer_out: Option<Reoffer<ClientId>>,
    /// The 2xx carries an offer that the caller's ACK will answer: ours waits for it.
    ack_owed: bool,
    infos: info::Infos,
}

/// A re-INVITE or UPDATE. It stays after its final response while its transaction lingers, for retransmissions.
#[derive(Clone, Copy, Debug)]
struct Reoffer<Id> {
    id: Id,
    cseq: u32,
    answered: bool,
    acked: bool,
}

impl Leg {
    fn new(index: u8, peer: Peer, direction: Direction, dialog: Dialog, now: Now) -> Leg {
        Leg {
            index,
            peer,
            direction,
            session: Session::default(),
            started: now,
            answered: None,
            ended: None,
            status: 0,
            state: State::Pending,
            dialog,
            invite_in: None,
            invite_out: None,
            invite_cseq: 0,
            ack_body: None,
            calling: None,
            digest: None,
            heard_anything: false,
            bye_wanted: false,
            bye_retried: false,
            reoffer_in: None,
            reoffer_out: None,
            ack_owed: false,
            infos: info::Infos::default(),
        }
    }

    /// The caller's leg, from its INVITE.
    pub fn incoming(
        ep: &mut Endpoint,
        now: Now,
        id: ServerId,
        invite: &Message,
        flow: Flow,
        peer: Peer,
        sticky: bool,
    ) -> Leg {
        let dialog = Dialog::from_request(invite, ep.new_tag(), flow, sticky);
        let mut leg = Leg::new(0, peer, Direction::Inbound, dialog, now);
        leg.invite_in = Some(id);
        leg.invite_cseq = invite.cseq().map_or(0, |c| c.number);
        leg
    }

    /// A leg that will call somebody, by [`Leg::call`].
    pub fn outgoing(ep: &mut Endpoint, now: Now, index: u8, outgoing: Outgoing) -> Leg {
        let (call_id, tag) = (ep.new_call_id(), ep.new_tag());
        let mut dialog = Dialog::outgoing(call_id, tag, outgoing.from, outgoing.to, outgoing.uri, outgoing.flow);
        dialog = if outgoing.sticky { dialog.sticky() } else { dialog };
        let mut leg = Leg::new(index, outgoing.peer, Direction::Outbound, dialog, now);
        leg.digest = outgoing.credentials.map(|(username, password)| {
            Box::new(Digest {
                client: DigestClient::new(&username, password),
                tries: Tries::default(),
                invite: Vec::new(),
            })
        });
        leg.calling = Some(Box::new(Calling {
            max_forwards: outgoing.max_forwards,
            headers: outgoing.headers,
            codecs: outgoing.codecs,
            body: None,
        }));
        leg
    }

    /// Sends the INVITE.
    pub fn call(&mut self, ep: &mut Endpoint, now: Now, body: Option<Body>) {
        if let (Some(calling), State::Pending) = (&mut self.calling, self.state) {
            calling.body = body;
            self.send_invite(ep, now.mono);
        }
    }

    /// Codecs that may be offered, while the leg has not been answered.
    pub fn codecs(&self) -> &[String] {
        self.calling.as_ref().map_or(&[], |c| &c.codecs)
    }

    fn send_invite(&mut self, ep: &mut Endpoint, now: Instant) {
        let authorization = self.authorization(ep, Method::Invite);
        if let Some(digest) = &mut self.digest {
            digest.invite.clone_from(&authorization);
        }
        let Some(calling) = &self.calling else { return };
        let contact = ep.contact(ep.dialog_flow(&self.dialog));
        let id = ep.request(now, &mut self.dialog, Method::Invite, calling.max_forwards, |mut w| {
            w = w.header(HeaderName::Contact, contact).header(HeaderName::Allow, ALLOW);
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

    /// Credentials for a request of this dialog; none before the peer has challenged.
    fn authorization(&mut self, ep: &mut Endpoint, method: Method) -> Vec<(HeaderName, String)> {
        let uri = self.dialog.target();
        self.digest.as_mut().map_or(Vec::new(), |d| d.client.authorize(ep.rng(), method.as_str(), uri, b""))
    }

    pub const fn state(&self) -> State {
        self.state
    }

    pub const fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    pub const fn invite_out(&self) -> Option<ClientId> {
        self.invite_out
    }

    pub const fn invite_in(&self) -> Option<ServerId> {
        self.invite_in
    }

    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// Any response to the INVITE has come, be it 100.
    pub const fn heard_anything(&self) -> bool {
        self.heard_anything
    }

    /// The leg may carry sound: not yet refused, cancelled or closed.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Pending | State::Answering | State::Up)
    }

    fn gone(&mut self, now: Now) {
        self.state = State::Gone;
        self.calling = None;
        self.ended.get_or_insert(now);
    }

    // ---- as UAS ----------------------------------------------------------------------------------------------------

    /// Sends a provisional response (101–199).
    pub fn progress(&mut self, ep: &mut Endpoint, now: Now, status: u16, body: Option<&Body>) {
        let (State::Pending, Some(id)) = (self.state, self.invite_in) else { return };
        let contact = ep.contact(self.dialog.flow());
        ep.respond(now.mono, id, status, "", Some(self.dialog.local_tag()), |w| {
            finish(w.header(HeaderName::Contact, contact), body)
        });
    }

    /// Answers the INVITE with 200.
    pub fn accept(&mut self, ep: &mut Endpoint, now: Now, body: Option<&Body>) {
        let (State::Pending, Some(id)) = (self.state, self.invite_in) else { return };
        self.answer(ep, now.mono, id, body);
        self.state = State::Answering;
        self.status = 200;
        self.answered = Some(now);
    }

    fn answer(&mut self, ep: &mut Endpoint, now: Instant, id: ServerId, body: Option<&Body>) {
        let contact = ep.contact(self.dialog.flow());
        ep.respond(now, id, 200, "", Some(self.dialog.local_tag()), |w| {
            finish(w.header(HeaderName::Contact, contact).header(HeaderName::Allow, ALLOW), body)
        });
    }

    /// Refuses the INVITE. The leg is gone; the transaction layer sees to the ACK.
    pub fn refuse(&mut self, ep: &mut Endpoint, now: Now, status: u16, reason: &str) {
        let (State::Pending, Some(id)) = (self.state, self.invite_in) else { return };
        ep.respond(now.mono, id, status, reason, Some(self.dialog.local_tag()), |w| match status {
            500 | 503 => w.header(HeaderName::RetryAfter, 5).finish(),
            _ => w.finish(),
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

    // ---- as UAC ----------------------------------------------------------------------------------------------------

    pub fn on_response(&mut self, ep: &mut Endpoint, now: Now, id: ClientId, response: &Message, flow: Flow) -> Heard {
        if self.invite_out == Some(id) {
            return self.on_invite_response(ep, now, response, flow);
        }
        match self.reoffer_out {
            Some(out) if out.id == id => self.on_reoffer_response(ep, now, out, response),
            _ => {
                self.on_info_response(ep, now, id, response);
                Heard::Nothing
            }
        }
    }

    fn on_invite_response(&mut self, ep: &mut Endpoint, now: Now, response: &Message, flow: Flow) -> Heard {
        self.heard_anything = true;
        match (response.status(), self.state) {
            (100, _) => Heard::Nothing,
            (101..=199, State::Pending) => Heard::Progress { status: response.status(), body: body_of(response) },
            (101..=199, _) => Heard::Nothing,
            (200..=299, State::Pending) => {
                self.establish(ep, response, flow);
                self.state = State::Up;
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
            (401 | 407, State::Pending) if self.answer_challenge(ep, now, response) => Heard::Nothing,
            (status, State::Pending) => {
                self.status = status;
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
    fn establish(&mut self, ep: &mut Endpoint, response: &Message, flow: Flow) {
        self.dialog = self.dialog.established(response, flow, self.dialog.is_sticky());
        let offered = self.calling.take().is_some_and(|c| c.body.is_some());
        self.ack_owed = !offered && body_of(response).is_some();
        if !self.ack_owed {
            self.send_ack(ep);
        }
    }

    fn send_ack(&self, ep: &mut Endpoint) {
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
    fn answer_challenge(&mut self, ep: &mut Endpoint, now: Now, response: &Message) -> bool {
        let Some(digest) = &mut self.digest else { return false };
        if digest.client.challenged(response, &mut digest.tries).is_err() {
            return false;
        }
        self.send_invite(ep, now.mono);
        true
    }

    /// The INVITE (or another request of this leg) timed out (408) or its flow broke (503).
    pub fn on_no_response(&mut self, ep: &mut Endpoint, now: Now, id: ClientId, status: u16) -> Heard {
        if self.invite_out == Some(id) {
            return match self.state {
                State::Pending => {
                    self.status = status;
                    self.gone(now);
                    Heard::Refused { status, reason: reason_phrase(status).to_owned() }
                }
                State::Cancelling => {
                    self.status = 487;
                    self.gone(now);
                    Heard::Ended
                }
                _ => Heard::Nothing,
            };
        }
        if self.reoffer_out.take_if(|out| out.id == id).is_some() {
            if self.state == State::Up {
                self.send_bye(ep, now, None);
            }
            return Heard::Reoffered { status, body: None };
        }
        self.on_info_lost(ep, now, id);
        Heard::Nothing
    }

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

    fn on_bye_done(&mut self, now: Now) {
        if self.state == State::Closing {
            self.gone(now);
        }
    }

    // ---- both ------------------------------------------------------------------------------------------------------

    /// Ends the leg, however far it is: a refusal with `status`, CANCEL, or BYE. Returns the BYE's transaction if one was sent.
    pub fn hang_up(&mut self, ep: &mut Endpoint, now: Now, status: u16, reason: &str) -> Option<ClientId> {
        match self.state {
            State::Pending if self.invite_in.is_some() => {
                self.refuse(ep, now, status, reason);
                None
            }
            State::Pending => {
                match self.invite_out {
                    Some(id) => {
                        self.state = State::Cancelling;
                        // What it is answered with (RFC 3261 §9.2), unless something else crossed: a record may be made before.
                        self.status = 487;
                        ep.cancel(now.mono, &self.dialog, id);
                    }
                    None => self.gone(now),
                }
                None
            }
            State::Answering => {
                self.bye_wanted = true;
                None
            }
            State::Up => Some(self.send_bye(ep, now, Some(reason).filter(|r| !r.is_empty()))),
            State::Cancelling | State::Closing | State::Gone => None,
        }
    }

    fn send_bye(&mut self, ep: &mut Endpoint, now: Now, reason: Option<&str>) -> ClientId {
        self.acknowledge(ep, None);
        self.drop_reoffer(ep, now);
        self.state = State::Closing;
        self.ended.get_or_insert(now);
        let authorization = self.authorization(ep, Method::Bye);
        ep.request(now.mono, &mut self.dialog, Method::Bye, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            if let Some(text) = reason {
                w = w.header(HeaderName::Reason, format_args!("SIP;text=\"{}\"", text.replace(['"', '\\'], " ")));
            }
            w.finish()
        })
    }

    /// The caller gave up: 487.
    pub fn on_cancelled(&mut self, ep: &mut Endpoint, now: Now) -> bool {
        let cancelled = self.state == State::Pending && self.invite_in.is_some();
        self.refuse(ep, now, 487, "");
        cancelled
    }

    /// A request that names this leg's dialog.
    pub fn on_request(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message, flow: Flow) -> Asked {
        match self.dialog.accept(request) {
            Err(OutOfOrder::NotThisDialog) => return self.refused(ep, now, id, 481),
            Err(OutOfOrder::OldSequence) => return self.refused(ep, now, id, 500),
            Ok(()) => self.dialog.moved(flow),
        }
        match request.method() {
            Method::Bye => self.on_bye(ep, now, id, request),
            Method::Invite => self.on_reoffer(ep, now, id, request),
            Method::Update => self.on_reoffer(ep, now, id, request),
            Method::Info => {
                ep.respond(now.mono, id, 200, "", None, |w| w.finish());
                Asked::Info { body: body_of(request) }
            }
            Method::Options => {
                ep.respond(now.mono, id, 200, "", None, |w| capabilities(w).finish());
                Asked::Nothing
            }
            Method::Other => self.refused(ep, now, id, 501),
            _ => self.refused(ep, now, id, 405),
        }
    }

    fn refused(&self, ep: &mut Endpoint, now: Now, id: ServerId, status: u16) -> Asked {
        ep.refuse(now.mono, id, status, "");
        Asked::Nothing
    }

    fn on_bye(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
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
        let was_closing = self.state == State::Closing;
        self.gone(now);
        if was_closing {
            return Asked::Nothing;
        }
        Asked::Bye { reason: request.header(HeaderName::Reason).unwrap_or_default().to_owned() }
    }

    /// re-INVITE (§14.2) or UPDATE (RFC 3311 §5.2).
    fn on_reoffer(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
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

    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
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

    fn on_reoffer_response(
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

    /// A transaction of this leg is gone.
    pub fn on_client_ended(&mut self, id: ClientId) {
        self.reoffer_out.take_if(|out| out.id == id);
        self.invite_out.take_if(|out| *out == id);
    }

    pub fn on_server_ended(&mut self, id: ServerId) {
        self.reoffer_in.take_if(|known| known.id == id);
    }
}
