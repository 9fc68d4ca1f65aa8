//! Client transactions: which one a response belongs to, and the CANCELs that the layer sends by itself.

use super::client_invite::ClientInvite;
use super::client_non_invite::ClientNonInvite;
use super::timer::Timer;
use super::{Client, ClientId, Context, Event, Output, Owner, Shared, Way, build, key};
use crate::base::id::{Id, Slab};
use crate::base::time::{Duration, Instant};
use crate::sip::transport::Flow;
use crate::sip::wire::{Message, Method};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

enum Machine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

impl Machine {
    /// `bytes`, the request, has just been sent over `flow`.
    fn begin(now: Instant, is_invite: bool, flow: Flow, proceeding_max: Duration, bytes: Bytes) -> Machine {
        let reliable = flow.transport.is_reliable();
        match is_invite {
            true => Machine::Invite(ClientInvite::new(now, reliable, proceeding_max, bytes)),
            false => Machine::NonInvite(ClientNonInvite::new(now, reliable, bytes)),
        }
    }

    /// The request, while it may still be sent by another way: nothing final has come, and nobody has given it up.
    fn request(&self) -> Option<Bytes> {
        match self {
            Machine::Invite(m) => m.request(),
            Machine::NonInvite(m) => m.request(),
        }
    }

    /// Whether it is an INVITE's, and the length of its timer C.
    fn kind(&self) -> (bool, Duration) {
        match self {
            Machine::Invite(m) => (true, m.proceeding_max()),
            Machine::NonInvite(_) => (false, Duration::ZERO),
        }
    }

    /// Not even a provisional response has come.
    fn is_unheard(&self) -> bool {
        match self {
            Machine::Invite(m) => m.is_unheard(),
            Machine::NonInvite(m) => m.is_unheard(),
        }
    }

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
        matches!(self, Machine::Invite(m) if m.lingers())
    }

    fn is_answered(&self) -> bool {
        match self {
            Machine::Invite(m) => m.is_answered(),
            Machine::NonInvite(m) => m.is_answered(),
        }
    }
}

struct Entry {
    machine: Machine,
    key: Arc<str>,
    flow: Flow,
    /// What is tried when this way fails.
    others: Vec<Way>,
    /// The layer's own CANCEL: its fate interests nobody.
    silent: bool,
    /// In `Clients::awaiting`.
    awaiting: bool,
    /// The deadline that stands in `Shared::timers`.
    at: Option<Instant>,
    /// It is, or was, in `Shared::lingering`.
    lingers: bool,
}

#[derive(Default)]
pub(super) struct Clients {
    slab: Slab<Client, Entry>,
    by_key: HashMap<Arc<str>, ClientId>,
    /// Transactions without a final response, by their flow: what fails with it.
    awaiting: BTreeSet<(Flow, ClientId)>,
}

/// The method's token; for one that we have no name for, as the start line has it.
fn token(method: Method, bytes: &[u8]) -> &str {
    match method {
        Method::Other => bytes.split(|b| *b == b' ').next().and_then(|t| std::str::from_utf8(t).ok()).unwrap_or(""),
        known => known.as_str(),
    }
}

impl Clients {
    /// No transaction, and no trace of one in any index.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty() && self.by_key.is_empty() && self.awaiting.is_empty()
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn next(&self, id: ClientId) -> Option<Timer> {
        Some(self.slab.get(id)?.machine.next()?.1)
    }

    #[allow(clippy::too_many_arguments)]
    pub fn request(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        (first, others): (Way, Vec<Way>),
        method: Method,
        branch: &str,
        mut bytes: Bytes,
        proceeding_max: Duration,
    ) -> ClientId {
        if !first.via.is_empty() {
            bytes = build::by_another_way(&bytes, &first.via, branch).unwrap_or(bytes);
        }
        key::client(&mut shared.key, branch, token(method, &bytes));
        let (key, flow): (Arc<str>, Flow) = (shared.key.as_str().into(), first.flow);
        shared.out.push_back(Output::Transmit { flow, bytes: bytes.clone() });
        let machine = Machine::begin(now, method == Method::Invite, flow, proceeding_max, bytes);
        let (silent, awaiting, at, lingers) = (false, true, None, false);
        self.insert(shared, Entry { machine, key, flow, others, silent, awaiting, at, lingers })
    }

    /// Sends a request that failed by the next way; false if there is none.
    fn go_another_way(&mut self, shared: &mut Shared, now: Instant, id: ClientId) -> bool {
        let Some(entry) = self.slab.get_mut(id) else { return false };
        let Some(request) = entry.machine.request().filter(|_| !entry.others.is_empty()) else { return false };
        let way = entry.others.remove(0);
        let (branch, method) = entry.key.split_once('\n').unwrap_or((&entry.key, ""));
        // Ours are letters and digits: with an "f" more it is another one, and no other transaction's.
        let branch = format!("{branch}f");
        let Some(bytes) = build::by_another_way(&request, &way.via, &branch) else { return false };
        key::client(&mut shared.key, &branch, method);
        let (is_invite, length) = entry.machine.kind();
        let machine = Machine::begin(now, is_invite, way.flow, length, bytes.clone());
        self.awaiting.remove(&(entry.flow, id));
        self.by_key.remove(&entry.key);
        (entry.machine, entry.flow, entry.key) = (machine, way.flow, shared.key.as_str().into());
        entry.awaiting = true;
        self.by_key.insert(entry.key.clone(), id);
        self.awaiting.insert((way.flow, id));
        shared.out.push_back(Output::Transmit { flow: way.flow, bytes });
        self.settle(shared, id);
        true
    }

    pub fn response(&mut self, shared: &mut Shared, now: Instant, response: Message, flow: Flow) {
        key::client(&mut shared.key, response.branch(), response.method_str());
        let Some(&id) = self.by_key.get(shared.key.as_str()) else {
            return shared.out.push_back(Output::Event(Event::StrayResponse { response, flow }));
        };
        if response.status() == 503 && self.refused_for_another(shared, now, id, &response) {
            return;
        }
        self.handle(shared, now, id, |machine, cx| match machine {
            Machine::Invite(m) => m.handle_response(cx, response, flow),
            Machine::NonInvite(m) => {
                m.handle_response(cx, response, flow);
                None
            }
        });
    }

    /// A 503 sends the request another way, if there is one; that of an INVITE is acknowledged here.
    fn refused_for_another(&mut self, shared: &mut Shared, now: Instant, id: ClientId, response: &Message) -> bool {
        let Some(entry) = self.slab.get(id).filter(|e| !e.others.is_empty()) else { return false };
        let (flow, request) = (entry.flow, entry.machine.request());
        if let (Machine::Invite(_), Some(invite)) = (&entry.machine, request.and_then(|r| Message::parse(r).ok())) {
            shared.out.push_back(Output::Transmit { flow, bytes: build::ack(&invite, response) });
        }
        shared.unreached.push(flow);
        self.go_another_way(shared, now, id)
    }

    pub fn cancel(&mut self, shared: &mut Shared, now: Instant, id: ClientId, reason: &str) {
        self.handle(shared, now, id, |machine, _| match machine {
            Machine::Invite(m) => m.cancel(now, reason),
            Machine::NonInvite(_) => None,
        });
    }

    /// `id`'s deadline has been taken out of the set.
    pub fn handle_timeout(&mut self, shared: &mut Shared, now: Instant, id: ClientId) {
        let Some(entry) = self.slab.get_mut(id) else { return };
        entry.at = None;
        let is_last = matches!(entry.machine.next(), Some((_, Timer::B | Timer::F)));
        if is_last && entry.machine.is_unheard() {
            shared.unreached.push(entry.flow);
            if self.go_another_way(shared, now, id) {
                return;
            }
        }
        self.handle(shared, now, id, |machine, cx| match machine {
            Machine::Invite(m) => m.handle_timeout(cx),
            Machine::NonInvite(m) => {
                m.handle_timeout(cx);
                None
            }
        });
    }

    pub fn flow_failed(&mut self, shared: &mut Shared, now: Instant, flow: Flow) {
        self.fail_awaiting(shared, now, flow);
        if flow.is_connection() {
            self.fail_awaiting(shared, now, Flow { connection: 0, ..flow });
        }
    }

    fn fail_awaiting(&mut self, shared: &mut Shared, now: Instant, flow: Flow) {
        let all = (flow, Id::from_u64(0))..=(flow, Id::from_u64(u64::MAX));
        while let Some(&(_, id)) = self.awaiting.range(all.clone()).next() {
            self.awaiting.remove(&(flow, id));
            shared.unreached.push(flow);
            if self.go_another_way(shared, now, id) {
                continue;
            }
            self.handle(shared, now, id, |machine, cx| {
                match machine {
                    Machine::Invite(m) => m.handle_flow_failed(cx),
                    Machine::NonInvite(m) => m.handle_flow_failed(cx),
                }
                None
            });
        }
    }

    fn insert(&mut self, shared: &mut Shared, entry: Entry) -> ClientId {
        let (key, flow) = (entry.key.clone(), entry.flow);
        let id = self.slab.insert(entry);
        if self.by_key.insert(key, id).is_some() {
            crate::bug!("two client transactions with one branch");
        }
        self.awaiting.insert((flow, id));
        self.settle(shared, id);
        id
    }

    /// Hands an input to the machine `id`, which may want its INVITE cancelled.
    fn handle(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        id: ClientId,
        input: impl FnOnce(&mut Machine, &mut Context<'_, Client>) -> Option<Bytes>,
    ) {
        let Some(entry) = self.slab.get_mut(id) else { return };
        let (flow, silent) = (entry.flow, entry.silent);
        let cancel = input(&mut entry.machine, &mut Context { now, id, flow, silent, out: &mut shared.out });
        if let Some(bytes) = cancel {
            let branch = entry.key.split('\n').next().unwrap_or("");
            key::client(&mut shared.key, branch, Method::Cancel.as_str());
            let key: Arc<str> = shared.key.as_str().into();
            shared.out.push_back(Output::Transmit { flow, bytes: bytes.clone() });
            let machine = ClientNonInvite::new(now, flow.transport.is_reliable(), bytes);
            let machine = Machine::NonInvite(machine);
            let (others, silent, awaiting, at, lingers) = (Vec::new(), true, true, None, false);
            self.insert(shared, Entry { machine, key, flow, others, silent, awaiting, at, lingers });
        }
        self.settle(shared, id);
    }

    /// After each input: the deadline follows the machine; an answered one no longer fails; a terminated one goes.
    fn settle(&mut self, shared: &mut Shared, id: ClientId) {
        let Some(entry) = self.slab.get_mut(id) else { return };
        let ended = entry.machine.is_terminated();
        let next = if ended { None } else { entry.machine.next().map(|(at, _)| at) };
        shared.reschedule(Owner::Client(id), &mut entry.at, next);
        if entry.awaiting && entry.machine.is_answered() {
            entry.awaiting = false;
            self.awaiting.remove(&(entry.flow, id));
        }
        if !entry.lingers && entry.machine.lingers() {
            entry.lingers = true;
            shared.lingering.extend(next.map(|end| (end, Owner::Client(id))));
        }
        if ended {
            self.remove(shared, id);
        }
    }

    /// Ends one that lingers before its time.
    pub fn forget(&mut self, shared: &mut Shared, id: ClientId) {
        if self.slab.get(id).is_some_and(|entry| entry.machine.lingers()) {
            self.remove(shared, id);
        }
    }

    fn remove(&mut self, shared: &mut Shared, id: ClientId) {
        if let Some(mut entry) = self.slab.remove(id) {
            shared.reschedule(Owner::Client(id), &mut entry.at, None);
            self.by_key.remove(&entry.key);
            if !entry.silent {
                shared.out.push_back(Output::Event(Event::ClientEnded { id }));
            }
        }
    }
}
