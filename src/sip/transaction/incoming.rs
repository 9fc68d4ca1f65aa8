//! Server transactions: which one a request belongs to, and what becomes of a request that belongs to none.

use super::server_invite::ServerInvite;
use super::server_non_invite::ServerNonInvite;
use super::timer::Timer;
use super::{Context, Event, Limits, Output, Owner, Server, ServerId, Shared, build, key};
use crate::base::id::Slab;
use crate::base::time::Instant;
use crate::sip::transport::Flow;
use crate::sip::wire::{Message, Method};
use bytes::Bytes;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

enum Machine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

impl Machine {
    fn next(&self) -> Option<(Instant, Timer)> {
        match self {
            Machine::Invite(m) => m.next(),
            Machine::NonInvite(m) => m.next(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            Machine::Invite(m) => m.is_terminated(),
            Machine::NonInvite(m) => m.is_terminated(),
        }
    }

    fn lingers(&self) -> bool {
        match self {
            Machine::Invite(m) => m.lingers(),
            Machine::NonInvite(m) => m.lingers(),
        }
    }

    /// No final response has been sent.
    fn is_open(&self) -> bool {
        match self {
            Machine::Invite(m) => m.is_open(),
            Machine::NonInvite(m) => m.is_open(),
        }
    }

    fn request(&self) -> Option<&Message> {
        match self {
            Machine::Invite(m) => m.request(),
            Machine::NonInvite(m) => m.request(),
        }
    }
}

struct Entry {
    machine: Machine,
    key: Arc<str>,
    /// Under which a merged request would find this one; none once it has been refused.
    merge_key: Option<Arc<str>>,
    /// Where the request came from.
    flow: Flow,
    /// Where responses go.
    reply: SocketAddr,
    /// The deadline that stands in `Shared::timers`.
    at: Option<Instant>,
    /// It is, or was, in `Shared::lingering`.
    lingers: bool,
}

/// Whether a new request may be taken.
#[derive(Clone, Copy)]
pub(super) struct Room {
    outside_dialog: bool,
    within_dialog: bool,
    retry_after_s: u32,
}

impl Room {
    pub fn new(limits: &Limits, live: usize) -> Room {
        let max = limits.transactions_max;
        let within_dialog = live < max.saturating_add(max / 8 + 1);
        Room { outside_dialog: live < max, within_dialog, retry_after_s: limits.retry_after_s }
    }

    fn admits(self, request: &Message) -> bool {
        if request.to_tag().is_empty() { self.outside_dialog } else { self.within_dialog }
    }
}

#[derive(Default)]
pub(super) struct Servers {
    slab: Slab<Server, Entry>,
    by_key: HashMap<Arc<str>, ServerId>,
    by_merge_key: HashMap<Arc<str>, ServerId>,
}

/// Where responses to `request` go (RFC 3261 §18.2.2, RFC 3581): over a stream, back; over UDP, as its Via says.
fn reply_target(request: &Message, flow: Flow) -> SocketAddr {
    match request.via() {
        Some(via) if !flow.transport.is_reliable() => via.response_target(flow.peer),
        _ => flow.peer,
    }
}

fn answer_stateless(shared: &mut Shared, request: &Message, flow: Flow, status: u16, retry_after_s: Option<u32>) {
    let bytes = build::stateless(request, status, flow.peer, retry_after_s);
    let flow = Flow { peer: reply_target(request, flow), ..flow };
    shared.out.push_back(Output::Transmit { flow, bytes });
}

impl Servers {
    /// No transaction, and no trace of one in any index.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty() && self.by_key.is_empty() && self.by_merge_key.is_empty()
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn next(&self, id: ServerId) -> Option<Timer> {
        Some(self.slab.get(id)?.machine.next()?.1)
    }

    pub fn knows(&self, request: &Message) -> bool {
        let mut written = String::new();
        key::server(&mut written, request, None) && self.by_key.contains_key(written.as_str())
    }

    pub fn get(&self, id: ServerId) -> Option<(&Message, Flow)> {
        let entry = self.slab.get(id)?;
        Some((entry.machine.request()?, entry.flow))
    }

    /// A request that is neither ACK nor CANCEL.
    pub fn request(&mut self, shared: &mut Shared, now: Instant, request: Message, flow: Flow, room: Room) {
        if !key::server(&mut shared.key, &request, None) {
            return;
        }
        if let Some(&id) = self.by_key.get(shared.key.as_str()) {
            return self.handle(shared, now, id, |machine, cx| match machine {
                Machine::Invite(m) => m.handle_retransmission(cx),
                Machine::NonInvite(m) => m.handle_retransmission(cx),
            });
        }
        let key: Arc<str> = shared.key.as_str().into();
        let mergeable = key::merged(&mut shared.key, &request);
        if mergeable && self.by_merge_key.contains_key(shared.key.as_str()) {
            return answer_stateless(shared, &request, flow, 482, None);
        }
        if !room.admits(&request) {
            return answer_stateless(shared, &request, flow, 503, Some(room.retry_after_s));
        }
        let merge_key = mergeable.then(|| Arc::from(shared.key.as_str()));
        let id = self.insert(now, &request, flow, key, merge_key);
        shared.out.push_back(Output::Event(Event::Request { id, request, flow }));
        self.settle(shared, id);
    }

    pub fn ack(&mut self, shared: &mut Shared, now: Instant, ack: Message, flow: Flow) {
        let known = key::server(&mut shared.key, &ack, None);
        match self.by_key.get(shared.key.as_str()).filter(|_| known) {
            Some(&id) => self.handle(shared, now, id, |machine, cx| {
                if let Machine::Invite(m) = machine {
                    m.handle_ack(cx, ack, flow);
                }
            }),
            None => shared.out.push_back(Output::Event(Event::Ack { ack, flow })),
        }
    }

    /// Answered at once (§9.2) and without a transaction: its retransmission finds the same INVITE and the same answer.
    pub fn cancel(&mut self, shared: &mut Shared, now: Instant, cancel: Message, flow: Flow) {
        if !key::server(&mut shared.key, &cancel, Some(Method::Invite.as_str())) {
            return;
        }
        let Some(&id) = self.by_key.get(shared.key.as_str()) else {
            return answer_stateless(shared, &cancel, flow, 481, None);
        };
        self.handle(shared, now, id, |machine, cx| {
            let Machine::Invite(invite) = machine else { return };
            let bytes = build::cancel_ok(&cancel, invite.last_response(), flow.peer);
            let reply = Flow { peer: reply_target(&cancel, flow), ..flow };
            cx.out.push_back(Output::Transmit { flow: reply, bytes });
            invite.handle_cancel(cx, cancel);
        });
    }

    pub fn respond(&mut self, shared: &mut Shared, now: Instant, id: ServerId, status: u16, bytes: Bytes) -> bool {
        let mut sent = false;
        self.handle(shared, now, id, |machine, cx| {
            sent = match machine {
                Machine::Invite(m) => m.respond(cx, status, bytes),
                Machine::NonInvite(m) => m.respond(cx, status, bytes),
            };
        });
        if sent && status >= 300 {
            self.forget_merge_key(id);
        }
        sent
    }

    /// See [`super::Transactions::respond_reliably`].
    pub fn respond_reliably(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        id: ServerId,
        status: u16,
        bytes: Bytes,
    ) -> bool {
        let mut sent = false;
        self.handle(shared, now, id, |machine, cx| {
            if let Machine::Invite(m) = machine {
                sent = m.respond_reliably(cx, status, bytes);
            }
        });
        sent
    }

    pub fn pracked(&mut self, shared: &mut Shared, now: Instant, id: ServerId) {
        self.handle(shared, now, id, |machine, cx| {
            if let Machine::Invite(m) = machine {
                m.pracked(cx.now);
            }
        });
    }

    /// See [`super::Transactions::respond_once`].
    pub fn respond_once(&mut self, shared: &mut Shared, id: ServerId, bytes: Bytes) -> bool {
        let Some(entry) = self.slab.get(id).filter(|entry| entry.machine.is_open()) else { return false };
        let flow = Flow { peer: entry.reply, ..entry.flow };
        shared.out.push_back(Output::Transmit { flow, bytes });
        self.remove(shared, id);
        true
    }

    pub fn acked(&mut self, shared: &mut Shared, now: Instant, id: ServerId) {
        self.handle(shared, now, id, |machine, _| {
            if let Machine::Invite(m) = machine {
                m.acked();
            }
        });
    }

    /// `id`'s deadline has been taken out of the set.
    pub fn handle_timeout(&mut self, shared: &mut Shared, now: Instant, id: ServerId) {
        let Some(entry) = self.slab.get_mut(id) else { return };
        entry.at = None;
        let source = entry.flow.peer;
        self.handle(shared, now, id, |machine, cx| match machine {
            Machine::Invite(m) => m.handle_timeout(cx, source),
            Machine::NonInvite(m) => m.handle_timeout(cx),
        });
    }

    fn insert(
        &mut self,
        now: Instant,
        request: &Message,
        flow: Flow,
        key: Arc<str>,
        merge_key: Option<Arc<str>>,
    ) -> ServerId {
        let reliable = flow.transport.is_reliable();
        let machine = match request.method() {
            Method::Invite => Machine::Invite(ServerInvite::new(now, reliable, request.clone())),
            _ => Machine::NonInvite(ServerNonInvite::new(now, reliable, request.clone())),
        };
        let reply = reply_target(request, flow);
        let entry =
            Entry { machine, key: key.clone(), merge_key: merge_key.clone(), flow, reply, at: None, lingers: false };
        let id = self.slab.insert(entry);
        self.by_key.insert(key, id);
        if let Some(merge_key) = merge_key {
            self.by_merge_key.insert(merge_key, id);
        }
        id
    }

    fn handle(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        id: ServerId,
        input: impl FnOnce(&mut Machine, &mut Context<'_, Server>),
    ) {
        let Some(entry) = self.slab.get_mut(id) else { return };
        let flow = Flow { peer: entry.reply, ..entry.flow };
        let mut cx = Context { now, id, flow, silent: false, out: &mut shared.out };
        input(&mut entry.machine, &mut cx);
        self.settle(shared, id);
    }

    /// After each input: the deadline follows the machine; a terminated one goes.
    fn settle(&mut self, shared: &mut Shared, id: ServerId) {
        let Some(entry) = self.slab.get_mut(id) else { return };
        let ended = entry.machine.is_terminated();
        let next = if ended { None } else { entry.machine.next().map(|(at, _)| at) };
        shared.reschedule(Owner::Server(id), &mut entry.at, next);
        if !entry.lingers && entry.machine.lingers() {
            entry.lingers = true;
            shared.lingering.extend(next.map(|end| (end, Owner::Server(id))));
        }
        if ended {
            self.remove(shared, id);
        }
    }

    /// Ends one that lingers before its time.
    pub fn forget(&mut self, shared: &mut Shared, id: ServerId) {
        if self.slab.get(id).is_some_and(|entry| entry.machine.lingers()) {
            self.remove(shared, id);
        }
    }

    fn remove(&mut self, shared: &mut Shared, id: ServerId) {
        self.forget_merge_key(id);
        if let Some(mut entry) = self.slab.remove(id) {
            shared.reschedule(Owner::Server(id), &mut entry.at, None);
            self.by_key.remove(&entry.key);
        }
        shared.out.push_back(Output::Event(Event::ServerEnded { id }));
    }

    /// A refused request may come again by another way: it is a new attempt then, not a merged one.
    fn forget_merge_key(&mut self, id: ServerId) {
        if let Some(merge_key) = self.slab.get_mut(id).and_then(|entry| entry.merge_key.take()) {
            self.by_merge_key.remove(&merge_key);
        }
    }
}
