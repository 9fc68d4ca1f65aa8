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

mod bye;
mod cause;
mod expiry;
mod info;
mod moving;
mod refer;
mod reliable;
mod reoffer;
mod texting;
mod uac;
mod uas;

pub use super::body::{body_of, offer_of};
pub use bye::ELSEWHERE;
pub use expiry::too_short;
pub use texting::Writer as TextWriter;

use super::endpoint::{Body, Endpoint, capabilities};
use super::session::Session;
use super::text::Text;
use crate::base::pii::Secret;
use crate::base::time::Now;
use crate::event::Direction;
use crate::sip::auth::{DigestClient, Tries};
use crate::sip::dialog::{Dialog, OutOfOrder};
use crate::sip::replaces::ReferTo;
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
    /// Our REFER has its final response.
    Referred {
        status: u16,
    },
    /// A text that the other party wrote has its final response; who wrote it is told by [`Leg::answer_text`].
    TextAnswered {
        writer: TextWriter,
        octets: usize,
        status: u16,
    },
    /// Our re-INVITE has refreshed the session.
    Refreshed,
    /// The leg is gone after we ended it.
    Ended,
}

/// What a request inside the dialog wants of the call; the leg has answered all that needs no decision.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    /// The peer hung up; it has its 200, the leg is gone.
    Bye,
    /// PRACK with a description: the answer to our offer, or an offer. Answer with [`Leg::answer_prack`].
    Pracked {
        body: Body,
    },
    /// re-INVITE (without a body: the peer wants an offer), or UPDATE with one: answer with [`Leg::answer_reoffer`] or [`Leg::refuse_reoffer`].
    Reoffer {
        body: Option<Body>,
    },
    Info {
        body: Option<Body>,
    },
    /// The peer writes: answer with [`Leg::answer_text`].
    Text(ServerId, Box<Text>),
    /// Take it with [`Leg::accept_refer`], or refuse it with [`Leg::refuse_refer`].
    Refer(Box<ReferTo>),
    /// How the peer gets on with our REFER.
    ReferTold {
        status: u16,
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
    /// The tag of the first provisional response that had one.
    ringing_tag: Box<str>,
    bye_wanted: bool,
    bye_retried: bool,
    reoffer_in: Option<Reoffer<ServerId>>,
    reoffer_out: Option<Reoffer<ClientId>>,
    /// The 2xx carries an offer that the caller's ACK will answer: ours waits for it.
    ack_owed: bool,
    infos: info::Infos,
    /// What the peer was written and has not answered.
    texts: Vec<texting::Sent>,
    referring: refer::Referring,
    provisionals: reliable::Provisionals,
    early: Vec<reliable::Early>,
    /// Of a 3xx: UAC, what it said; UAS, what it is to say.
    contacts: Vec<String>,
    /// Reason of the responses to the INVITE (RFC 3326); "" if they have none.
    reason: Box<str>,
    /// Q.850 causes: the peer's, and the other side's that it is told.
    cause_heard: Option<u8>,
    cause_told: Option<u8>,
    prack_out: Option<reliable::Prack>,
    expiry: expiry::Expiry,
    /// The re-INVITE under way that refreshes the session.
    refreshing: Option<ClientId>,
    /// The peer has said that it takes UPDATE.
    takes_update: bool,
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
            ringing_tag: "".into(),
            bye_wanted: false,
            bye_retried: false,
            reoffer_in: None,
            reoffer_out: None,
            ack_owed: false,
            infos: info::Infos::default(),
            texts: Vec::new(),
            referring: refer::Referring::default(),
            provisionals: reliable::Provisionals::default(),
            early: Vec::new(),
            contacts: Vec::new(),
            reason: "".into(),
            cause_heard: None,
            cause_told: None,
            prack_out: None,
            expiry: expiry::Expiry::default(),
            refreshing: None,
            takes_update: false,
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
        leg.provisionals = reliable::Provisionals::of(invite);
        leg.note_abilities(invite);
        leg.expiry.asked(invite);
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
        self.early = Vec::new();
        self.calling = None;
        self.ended.get_or_insert(now);
    }

    pub fn on_response(&mut self, ep: &mut Endpoint, now: Now, id: ClientId, response: &Message, flow: Flow) -> Heard {
        if self.invite_out == Some(id) {
            return self.on_invite_response(ep, now, response, flow);
        }
        match self.reoffer_out {
            Some(out) if out.id == id => self.on_reoffer_response(ep, now, out, response),
            _ => {
                if let Some(heard) = self.on_update_response(ep, now, id, response) {
                    return heard;
                }
                if let Some(heard) = self.on_refer_response(ep, now, id, response) {
                    return heard;
                }
                if let Some(heard) = self.on_text_response(ep, now, id, response) {
                    return heard;
                }
                self.on_prack_response(ep, now, id, response);
                self.on_notify_response(ep, now, id, response);
                self.on_info_response(ep, now, id, response);
                Heard::Nothing
            }
        }
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
        if let Some(heard) = self.on_update_lost(ep, now, id, status) {
            return heard;
        }
        if let Some(heard) = self.on_refer_lost(id, status) {
            return heard;
        }
        if let Some(heard) = self.on_text_lost(id, status) {
            return heard;
        }
        self.on_notify_lost(id);
        self.on_info_lost(ep, now, id);
        Heard::Nothing
    }

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
                        let reason = if reason.is_empty() { String::new() } else { bye::reason_of(reason) };
                        let reason = self.reasons(reason);
                        ep.cancel(now.mono, &self.dialog, id, &reason);
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

    /// A request that names this leg's dialog.
    pub fn on_request(&mut self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message, flow: Flow) -> Asked {
        let early = self.early_dialog(request);
        let is_early = early.is_some();
        let dialog = match early.and_then(|at| self.early.get_mut(at)) {
            Some(early) => &mut early.dialog,
            None => &mut self.dialog,
        };
        match dialog.accept(request) {
            Err(OutOfOrder::NotThisDialog) => return self.refused(ep, now, id, 481),
            Err(OutOfOrder::OldSequence) => return self.refused(ep, now, id, 500),
            Ok(()) => self.dialog.moved(flow),
        }
        self.note_abilities(request);
        match request.method() {
            // A called party does not hang up before it has answered (RFC 3261 §15).
            Method::Bye if is_early => self.refused(ep, now, id, 481),
            Method::Bye => self.on_bye(ep, now, id, request),
            Method::Invite => self.on_reoffer(ep, now, id, request),
            Method::Update => self.on_reoffer(ep, now, id, request),
            Method::Prack => self.on_prack(ep, now, id, request),
            Method::Info => self.on_info(ep, now, id, request),
            Method::Message => self.on_text(ep, now, id, request),
            Method::Options => {
                ep.respond(now.mono, id, 200, "", None, |w| capabilities(w).finish());
                Asked::Nothing
            }
            Method::Refer if !is_early => self.on_refer(ep, now, id, request),
            Method::Notify => self.on_notify(ep, now, id, request),
            Method::Subscribe => self.on_subscribe(ep, now, id, request),
            Method::Other => self.refused(ep, now, id, 501),
            _ => self.refused(ep, now, id, 405),
        }
    }

    fn note_abilities(&mut self, message: &Message) {
        self.takes_update |= message.lists(HeaderName::Allow, Method::Update.as_str());
    }

    fn refused(&self, ep: &mut Endpoint, now: Now, id: ServerId, status: u16) -> Asked {
        ep.refuse(now.mono, id, status, "");
        Asked::Nothing
    }

    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
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
