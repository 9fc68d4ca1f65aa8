//! Client transactions: which one a response belongs to, and the CANCELs that the layer sends by itself.

use super::client_invite::ClientInvite;
use super::client_non_invite::ClientNonInvite;
use super::timer::Timer;
use super::{Client, ClientId, Context, Event, Output, Owner, Shared, key};
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
    /// The layer's own CANCEL: its fate interests nobody.
    silent: bool,
    /// In `Clients::awaiting`.
    awaiting: bool,
    /// The deadline that stands in `Shared::timers`.
    at: Option<Instant>,
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
        flow: Flow,
        method: Method,
        branch: &str,
        bytes: Bytes,
        proceeding_max: Duration,
    ) -> ClientId {
        key::client(&mut shared.key, branch, token(method, &bytes));
        let key: Arc<str> = shared.key.as_str().into();
        let reliable = flow.transport.is_reliable();
        shared.out.push_back(Output::Transmit { flow, bytes: bytes.clone() });
        let machine = match method {
            Method::Invite => Machine::Invite(ClientInvite::new(now, reliable, proceeding_max, bytes)),
            _ => Machine::NonInvite(ClientNonInvite::new(now, reliable, bytes)),
        };
        self.insert(shared, key, flow, machine, false)
    }

    pub fn response(&mut self, shared: &mut Shared, now: Instant, response: Message, flow: Flow) {
        key::client(&mut shared.key, response.branch(), response.method_str());
        let Some(&id) = self.by_key.get(shared.key.as_str()) else {
            return shared.out.push_back(Output::Event(Event::StrayResponse { response, flow }));
        };
        self.handle(shared, now, id, |machine, cx| match machine {
            Machine::Invite(m) => m.handle_response(cx, response, flow),
            Machine::NonInvite(m) => {
                m.handle_response(cx, response, flow);
                None
            }
        });
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
            self.handle(shared, now, id, |machine, cx| {
                match machine {
                    Machine::Invite(m) => m.handle_flow_failed(cx),
                    Machine::NonInvite(m) => m.handle_flow_failed(cx),
                }
                None
            });
        }
    }

    fn insert(&mut self, shared: &mut Shared, key: Arc<str>, flow: Flow, machine: Machine, silent: bool) -> ClientId {
        let id = self.slab.insert(Entry { machine, key: key.clone(), flow, silent, awaiting: true, at: None });
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
            self.insert(shared, key, flow, Machine::NonInvite(machine), true);
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
        if !ended {
            return;
        }
        if let Some(entry) = self.slab.remove(id) {
            self.by_key.remove(&entry.key);
            if !entry.silent {
                shared.out.push_back(Output::Event(Event::ClientEnded { id }));
            }
        }
    }
}
