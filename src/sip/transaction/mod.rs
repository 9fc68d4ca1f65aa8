//! The transaction layer (RFC 3261 §17, RFC 6026): matching, retransmission, timeouts. Sans-IO.
//!
//! Contract: after each `receive`, `request`, `respond`, `respond_once`, `cancel`, `flow_failed` or `handle_timeout`, drain `poll` to `None`.
//!
//! The four machines are `client_invite`, `client_non_invite`, `server_invite` and `server_non_invite`, one file each;
//! `incoming` and `outgoing` own them, find the one that a message belongs to (`key`), and keep its one deadline.
//!
//! Not here: no dialog, no parsing of bodies, no choice of where a request goes. A response goes where its request came
//! from (§18.2.2, RFC 3581); if that stream has broken, it is lost, and the timers of its machine end the transaction.

mod build;
mod client_invite;
mod client_non_invite;
mod incoming;
mod key;
mod outgoing;
mod server_invite;
mod server_non_invite;
#[cfg(test)]
mod tests;
mod timer;

pub use build::to_tag as stateless_tag;
pub use timer::{T1, T1_64, T2, T4, Timer};

use super::transport::Flow;
use super::wire::{Message, Method};
use crate::base::id::Id;
use crate::base::time::{Duration, Instant};
use crate::base::timers::Timers;
use bytes::Bytes;
use incoming::Servers;
use outgoing::Clients;
use std::collections::VecDeque;

pub struct Server;
pub struct Client;
/// A server transaction: one request received.
pub type ServerId = Id<Server>;
/// A client transaction: one request sent.
pub type ClientId = Id<Client>;

/// What the transaction layer tells the transaction user.
#[derive(Debug)]
pub enum Event {
    /// A new request (never ACK, never CANCEL) that awaits `respond`. 100 is sent by the layer itself for INVITE if the user
    /// has not answered within 200 ms.
    Request {
        id: ServerId,
        request: Message,
        flow: Flow,
    },
    /// A CANCEL for the INVITE `id` that has no final response yet; the layer has answered the CANCEL with 200 itself. The user
    /// answers the INVITE with 487. (A CANCEL that matches nothing gets 481 from the layer.)
    Cancelled {
        id: ServerId,
        cancel: Message,
    },
    /// ACK to a 2xx (end to end), or any ACK that matches no transaction.
    Ack {
        ack: Message,
        flow: Flow,
    },
    /// Every response that is not a retransmission absorbed by the machine. For INVITE each 2xx is passed (forks,
    /// retransmissions: RFC 6026 Accepted), also after the first.
    Response {
        id: ClientId,
        response: Message,
        flow: Flow,
    },
    /// A response that matches no transaction (for the user: a late 2xx to an INVITE is ACKed and BYEd; else drop).
    StrayResponse {
        response: Message,
        flow: Flow,
    },
    /// Timer B or F: nobody answered; or an INVITE stayed without a final response beyond timer C or after a CANCEL. To be
    /// treated as 408, or as 480 if it rang.
    Timeout {
        id: ClientId,
        /// A 101–199 had come: the called party was found and did not answer.
        rang: bool,
    },
    /// The flow broke under a client transaction: to be treated as 503.
    Failed {
        id: ClientId,
    },
    /// A final response to an INVITE was never acknowledged: non-2xx (timer H) or 2xx (64·T1).
    NeverAcked {
        id: ServerId,
        /// It was a 2xx: the session is to be ended (§13.3.1.4).
        accepted: bool,
    },
    /// A reliable provisional response was never acknowledged (64·T1): the INVITE is to be refused with a 5xx (RFC 3262 §3).
    NeverPracked {
        id: ServerId,
    },
    /// The transaction is gone; its id means nothing from now on.
    ServerEnded {
        id: ServerId,
    },
    ClientEnded {
        id: ClientId,
    },
}

/// One way for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub flow: Flow,
    /// Our Via on it, up to its parameters.
    pub via: Box<str>,
}

#[derive(Debug)]
pub enum Output {
    Transmit { flow: Flow, bytes: Bytes },
    Event(Event),
}

/// Bounds of the layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Live and lingering transactions, server and client together. Where there are as many, the oldest that lingers is forgotten, if
    /// it has done so for T4, the life of a message in the network. Beyond that a request outside a dialog gets a stateless 503;
    /// requests within a dialog have an eighth more, so that calls can still end.
    pub transactions_max: usize,
    /// Retry-After of that 503, in seconds.
    pub retry_after_s: u32,
    /// How long an INVITE may stay without a final response once a provisional one has come (timer C); each 101–199
    /// starts it anew.
    pub proceeding_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { transactions_max: 200_000, retry_after_s: 5, proceeding_max: Timer::C.first(false) }
    }
}

/// Whose deadline it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Owner {
    Server(ServerId),
    Client(ClientId),
}

/// What servers and clients both write into.
#[derive(Default)]
struct Shared {
    out: VecDeque<Output>,
    timers: Timers<Owner>,
    /// Room in which a key is written before it is looked up.
    key: String,
    /// Flows on which nothing was heard in time, or that broke; the owner takes them.
    unreached: Vec<Flow>,
    /// Transactions that have done all but to wait 64·T1 for what may come again, and when each ends, the nearest first.
    lingering: VecDeque<(Instant, Owner)>,
}

impl Shared {
    /// Puts `owner`'s deadline where its machine wants it; `at` is where it stands.
    fn reschedule(&mut self, owner: Owner, at: &mut Option<Instant>, next: Option<Instant>) {
        if *at == next {
            return;
        }
        if let Some(old) = at.take() {
            self.timers.cancel(old, owner);
        }
        if let Some(new) = next {
            self.timers.set(new, owner);
        }
        *at = next;
    }
}

/// What a machine sees of the world while it handles one input.
struct Context<'a, K> {
    now: Instant,
    id: Id<K>,
    /// Where this transaction's messages go.
    flow: Flow,
    /// The layer's own transaction (a CANCEL's): no event reaches the user.
    silent: bool,
    out: &'a mut VecDeque<Output>,
}

impl<K> Context<'_, K> {
    fn transmit(&mut self, bytes: Bytes) {
        self.out.push_back(Output::Transmit { flow: self.flow, bytes });
    }

    fn event(&mut self, event: Event) {
        if !self.silent {
            self.out.push_back(Output::Event(event));
        }
    }
}

/// All transactions of the switch.
#[derive(Default)]
pub struct Transactions {
    servers: Servers,
    clients: Clients,
    shared: Shared,
    limits: Limits,
}

impl Transactions {
    pub fn new(limits: Limits) -> Transactions {
        Transactions { limits, ..Transactions::default() }
    }

    /// Takes effect on what comes from now on (reload).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub fn receive(&mut self, now: Instant, flow: Flow, message: Message) {
        if !message.is_request() {
            return self.clients.response(&mut self.shared, now, message, flow);
        }
        match message.method() {
            Method::Ack => self.servers.ack(&mut self.shared, now, message, flow),
            Method::Cancel => self.servers.cancel(&mut self.shared, now, message, flow),
            _ => {
                self.make_room(now);
                let live = self.servers.len() + self.clients.len();
                let room = incoming::Room::new(&self.limits, live);
                self.servers.request(&mut self.shared, now, message, flow, room);
            }
        }
    }

    /// While the table is full, what has lingered for long goes.
    fn make_room(&mut self, now: Instant) {
        while self.servers.len() + self.clients.len() >= self.limits.transactions_max
            && let Some((_, owner)) =
                self.shared.lingering.pop_front_if(|(end, _)| end.since(now) <= timer::T1_64.saturating_sub(timer::T4))
        {
            match owner {
                Owner::Server(id) => self.servers.forget(&mut self.shared, id),
                Owner::Client(id) => self.clients.forget(&mut self.shared, id),
            }
        }
    }

    /// Starts a client transaction. `bytes` is the whole request with our Via on top, whose branch is `branch`.
    ///
    /// Never refused: what the switch sends is bounded by what it has accepted.
    pub fn request(&mut self, now: Instant, flow: Flow, method: Method, branch: &str, bytes: Bytes) -> ClientId {
        let ways = (Way { flow, via: "".into() }, Vec::new());
        self.clients.request(&mut self.shared, now, ways, method, branch, bytes, self.limits.proceeding_max)
    }

    /// As [`Transactions::request`], with further ways: when one breaks, stays silent for 64·T1 or answers 503, the request
    /// goes by the next, with a branch and a Via of its own (RFC 3263 §4.3), and stays one transaction to the user. The first
    /// way's Via replaces the one in `bytes`, unless it is "".
    pub fn request_by(
        &mut self,
        now: Instant,
        ways: (Way, Vec<Way>),
        method: Method,
        branch: &str,
        bytes: Bytes,
    ) -> ClientId {
        self.clients.request(&mut self.shared, now, ways, method, branch, bytes, self.limits.proceeding_max)
    }

    /// A flow that failed a request since the last call: it broke, or nothing came over it in 64·T1.
    pub fn take_unreached(&mut self) -> Option<Flow> {
        self.shared.unreached.pop()
    }

    /// Sends a response in a server transaction; ignored (false) if the machine's state does not allow it. A 2xx to INVITE is
    /// kept and retransmitted by the layer (RFC 3261 §13.3.1.4: T1 doubling to T2, 64·T1) until [`Transactions::acked`].
    pub fn respond(&mut self, now: Instant, id: ServerId, status: u16, bytes: Bytes) -> bool {
        self.servers.respond(&mut self.shared, now, id, status, bytes)
    }

    /// Sends a provisional response to INVITE that is repeated, T1 doubling, until [`Transactions::pracked`] (RFC 3262 §3); the
    /// layer reports `NeverPracked` after 64·T1. One at a time: the user sends the next when this one is acknowledged.
    pub fn respond_reliably(&mut self, now: Instant, id: ServerId, status: u16, bytes: Bytes) -> bool {
        self.servers.respond_reliably(&mut self.shared, now, id, status, bytes)
    }

    /// The PRACK to this INVITE's reliable provisional response has come.
    pub fn pracked(&mut self, now: Instant, id: ServerId) {
        self.servers.pracked(&mut self.shared, now, id);
    }

    /// Sends a final response and forgets the request at once: nothing is repeated and no ACK is awaited, so that what an unknown
    /// sender asks for holds nothing (§8.2.7, §26.3.2.4). The request again is a new `Request`. False if it has had its final
    /// response; the only event is `ServerEnded`.
    pub fn respond_once(&mut self, id: ServerId, bytes: Bytes) -> bool {
        self.servers.respond_once(&mut self.shared, id, bytes)
    }

    /// The ACK to the 2xx of this INVITE has come: stop retransmitting it. Without it the layer reports `NeverAcked`.
    pub fn acked(&mut self, now: Instant, id: ServerId) {
        self.servers.acked(&mut self.shared, now, id);
    }

    /// Sends a CANCEL for a pending INVITE, at once if a provisional response has come, else when the first one comes
    /// (RFC 3261 §9.1); if no final response follows within 64·T1, the INVITE is reported as `Timeout`.
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        self.clients.cancel(&mut self.shared, now, id, "");
    }

    /// As [`Transactions::cancel`], with a Reason header (RFC 3326), such as `SIP;cause=200;text="Call completed elsewhere"`.
    pub fn cancel_because(&mut self, now: Instant, id: ClientId, reason: &str) {
        self.clients.cancel(&mut self.shared, now, id, reason);
    }

    /// Sends outside any transaction: ACK to 2xx, stateless responses.
    pub fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.shared.out.push_back(Output::Transmit { flow, bytes });
    }

    /// The flow broke or could not be opened: requests that await an answer over it have failed. If a stream closed, so
    /// have those that were sent to its peer over whichever connection was open (`connection` 0).
    pub fn flow_failed(&mut self, now: Instant, flow: Flow) {
        self.clients.flow_failed(&mut self.shared, now, flow);
    }

    /// Whether `request` repeats one that has a transaction.
    pub fn knows(&self, request: &Message) -> bool {
        self.servers.knows(request)
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(owner) = self.shared.timers.pop_due(now) {
            match owner {
                Owner::Server(id) => self.servers.handle_timeout(&mut self.shared, now, id),
                Owner::Client(id) => self.clients.handle_timeout(&mut self.shared, now, id),
            }
        }
        while self.shared.lingering.pop_front_if(|(end, _)| *end <= now).is_some() {}
    }

    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        let (at, owner) = self.shared.timers.next()?;
        let timer = match owner {
            Owner::Server(id) => self.servers.next(id),
            Owner::Client(id) => self.clients.next(id),
        };
        Some((at, timer.map_or("transaction", Timer::name)))
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.shared.out.pop_front()
    }

    /// The request of a live server transaction, for building responses, and the flow that it came on. Kept until a
    /// non-INVITE request has its final response, and until an INVITE's final response is acknowledged.
    pub fn server_request(&self, id: ServerId) -> Option<(&Message, Flow)> {
        self.servers.get(id)
    }

    /// Live transactions: (server, client).
    pub fn counts(&self) -> (usize, usize) {
        (self.servers.len(), self.clients.len())
    }
}
