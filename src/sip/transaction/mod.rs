//! The transaction layer (RFC 3261 §17, RFC 6026): matching, retransmission, timeouts. Sans-IO.
//!
//! Contract: after each `receive`, `request`, `respond`, `cancel`, `flow_failed` or `handle_timeout`, drain `poll` to `None`.

use super::transport::Flow;
use super::wire::{Message, Method};
use crate::base::id::Id;
use crate::base::time::Instant;
use bytes::Bytes;

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
    /// Timer B or F: nobody answered; to be treated as 408.
    Timeout {
        id: ClientId,
    },
    /// The flow broke under a client transaction: to be treated as 503.
    Failed {
        id: ClientId,
    },
    /// Timer H: a final non-2xx response was never acknowledged.
    NeverAcked {
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

#[derive(Debug)]
pub enum Output {
    Transmit { flow: Flow, bytes: Bytes },
    Event(Event),
}

/// All transactions of the switch.
#[derive(Default)]
pub struct Transactions {}

impl Transactions {
    pub fn receive(&mut self, now: Instant, flow: Flow, message: Message) {
        let _ = (now, flow, message);
        todo!()
    }
    /// Starts a client transaction. `bytes` is the whole request with our Via on top, whose branch is `branch`.
    pub fn request(&mut self, now: Instant, flow: Flow, method: Method, branch: &str, bytes: Bytes) -> ClientId {
        let _ = (now, flow, method, branch, bytes);
        todo!()
    }
    /// Sends a response in a server transaction; ignored (false) if the machine's state does not allow it. A 2xx to INVITE is
    /// kept and retransmitted by the layer (RFC 3261 §13.3.1.4: T1 doubling to T2, 64·T1) until [`Transactions::acked`].
    pub fn respond(&mut self, now: Instant, id: ServerId, status: u16, bytes: Bytes) -> bool {
        let _ = (now, id, status, bytes);
        todo!()
    }
    /// The ACK to the 2xx of this INVITE has come: stop retransmitting it. Without it the layer reports `NeverAcked`.
    pub fn acked(&mut self, now: Instant, id: ServerId) {
        let _ = (now, id);
        todo!()
    }
    /// Sends a CANCEL for a pending INVITE, at once if a provisional response has come, else when the first one comes
    /// (RFC 3261 §9.1); if no final response follows within 64·T1, the INVITE is reported as `Timeout`.
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        let _ = (now, id);
        todo!()
    }
    /// Sends outside any transaction: ACK to 2xx, stateless responses.
    pub fn send(&mut self, flow: Flow, bytes: Bytes) {
        let _ = (flow, bytes);
        todo!()
    }
    pub fn flow_failed(&mut self, now: Instant, flow: Flow) {
        let _ = (now, flow);
        todo!()
    }
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        todo!()
    }
    pub fn poll(&mut self) -> Option<Output> {
        todo!()
    }
    /// The request of a live server transaction, for building responses.
    pub fn server_request(&self, id: ServerId) -> Option<(&Message, Flow)> {
        let _ = id;
        todo!()
    }
    /// Live transactions: (server, client).
    pub fn counts(&self) -> (usize, usize) {
        todo!()
    }
}
