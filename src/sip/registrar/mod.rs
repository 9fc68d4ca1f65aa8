//! The registrar (RFC 3261 §10.3, with the parts of RFC 5626 and RFC 3327 that keep a phone reachable). Sans-IO.
//!
//! A binding ties an address of record to a contact and to the flow on which it was registered: calls go back over that
//! flow, whatever the contact says, because a NAT or a firewall lets nothing else in.
//!
//! Contract: drain [`Registrar::poll`] to `None` after each input. Who may register for which address is the caller's to
//! decide (`auth`), and so is what an address of record looks like; here it is a key. Bindings do not outlive a restart.

mod gruu;
mod request;

use super::transport::Flow;
use super::wire::{HeaderName, Message, Uri};
use crate::base::id::{Id, Slab};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::base::timers::Timers;
use request::{Asked, Register, Wish};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

/// Kind of [`BindingId`].
pub struct Bound;
/// Names one binding as long as it lives, through refreshes.
pub type BindingId = Id<Bound>;

/// Bounds of the registrar. A contact is at most 1 kB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Beyond it, a further contact gets 403.
    pub contacts_per_aor: usize,
    /// Of the whole switch. Beyond it, a further contact gets 503 with Retry-After.
    pub bindings_max: usize,
    /// For a contact that asks for no time.
    pub expires_default: Duration,
    /// Less gets 423 with Min-Expires.
    pub expires_min: Duration,
    /// More is cut to this.
    pub expires_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            contacts_per_aor: 10,
            bindings_max: 200_000,
            expires_default: Duration::from_secs(3600),
            expires_min: Duration::from_secs(60),
            expires_max: Duration::from_secs(7200),
        }
    }
}

/// One contact of one address of record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// URI as registered.
    pub contact: Pii<String>,
    /// Where requests to it go.
    pub flow: Flow,
    /// Preference in thousandths; 1000 if the phone states none.
    pub q: u16,
    pub expires_at: Instant,
    /// When it was first and last registered.
    pub since: Instant,
    pub refreshed_at: Instant,
    /// `+sip.instance`, without quotes; "" if none.
    pub instance: String,
    /// Of RFC 5626; `None` unless the phone supports outbound.
    pub reg_id: Option<u32>,
    /// Path (RFC 3327), in order: the Route of requests to it.
    pub path: Vec<String>,
    pub user_agent: String,
    /// User parts of its temporary GRUUs, the newest last.
    temporary: VecDeque<String>,
    call_id: String,
    cseq: u32,
}

/// Why a binding is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Gone {
    /// The phone said so.
    Unregistered,
    Expired,
    /// Its connection closed.
    FlowClosed,
    /// An operator or the configuration.
    Removed,
}

/// What has become of the bindings. A refresh is not told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Added { aor: String, id: BindingId },
    Gone { aor: String, id: BindingId, binding: Box<Binding>, why: Gone },
}

/// What a 200 to REGISTER carries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegisterReply {
    /// All bindings of the address of record, best first, as Contact values with the time that remains.
    pub contacts: Vec<String>,
    /// Path values of the request, for a client that supports them.
    pub path: Vec<String>,
    /// The flow will be kept (RFC 5626 §6): the response says `Require: outbound`.
    pub outbound: bool,
    /// Seconds between the phone's keep-alives that its flow needs (§5.4), with `outbound`.
    pub flow_timer: &'static str,
}

impl RegisterReply {
    /// As header fields.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let contacts = self.contacts.iter().map(|value| (HeaderName::Contact, value.as_str()));
        let path = self.path.iter().map(|value| (HeaderName::Path, value.as_str()));
        let outbound = [(HeaderName::Require, "outbound"), (HeaderName::FlowTimer, self.flow_timer)];
        contacts.chain(path).chain(outbound.into_iter().filter(|_| self.outbound))
    }
}

/// A REGISTER that changed nothing, and the response that says why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub status: u16,
    pub reason: &'static str,
    pub headers: Vec<(HeaderName, String)>,
}

impl Fault {
    fn new(status: u16, reason: &'static str) -> Fault {
        Fault { status, reason, headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: u64) -> Fault {
        self.headers.push((name, value.to_string()));
        self
    }
}

const RETRY_AFTER_S: u64 = 60;

/// RFC 5626 §4.4.1: what keeps a NAT's way open, by UDP and by streams.
const UDP_TIMER_S: &str = "25";
const STREAM_TIMER_S: &str = "120";

/// All bindings of the switch.
#[derive(Default)]
pub struct Registrar {
    limits: Limits,
    bindings: Slab<Bound, (String, Binding)>,
    aors: BTreeMap<String, Vec<BindingId>>,
    /// Those whose flow is a stream, and ends with it.
    by_flow: BTreeSet<(Flow, BindingId)>,
    /// By the user parts of temporary GRUUs.
    temporary: BTreeMap<String, BindingId>,
    timers: Timers<BindingId>,
    changes: VecDeque<Change>,
}

impl Registrar {
    pub fn new(limits: Limits) -> Registrar {
        Registrar { limits, ..Registrar::default() }
    }

    /// Takes effect on what comes from now on (reload).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Handles a REGISTER for `aor` that came over `flow`. Either all that it asks for is done, or nothing.
    ///
    /// Faults: 400 what cannot be read; 403 too many contacts; 423 too short; 439 outbound through a proxy that does not know it;
    /// 500 out of order (§10.3 step 7); 503 full. `rng` makes temporary GRUUs.
    pub fn register(
        &mut self,
        now: Instant,
        aor: &str,
        request: &Message,
        flow: Flow,
        rng: &mut Rng,
    ) -> Result<RegisterReply, Fault> {
        self.handle_timeout(now);
        let register = request::read(request, &self.limits)?;
        match &register.asked {
            Asked::Nothing => {}
            Asked::RemoveAll => self.remove_all(aor, &register)?,
            Asked::Contacts(wishes) => self.update(now, aor, &register, wishes, flow)?,
        }
        let outbound = matches!(&register.asked, Asked::Contacts(w) if w.iter().any(|w| w.reg_id.is_some()));
        let gruu = gruu::wanted(request);
        if gruu.is_some() {
            self.name_again(now, aor, &register.call_id, rng);
        }
        let contact = |binding: &&Binding| {
            let mut value = contact_value(binding, now);
            if let Some(address) = &gruu {
                gruu::write(&mut value, binding, address);
            }
            value
        };
        let contacts = self.lookup(now, aor).iter().map(contact).collect();
        let flow_timer = if flow.transport.is_reliable() { STREAM_TIMER_S } else { UDP_TIMER_S };
        Ok(RegisterReply { contacts, path: register.path, outbound, flow_timer })
    }

    /// The bindings of `aor`, best first: by q, then the one refreshed last.
    pub fn lookup(&self, now: Instant, aor: &str) -> Vec<&Binding> {
        let mut found: Vec<&Binding> = self.of(aor).map(|(_, binding)| binding).collect();
        found.retain(|binding| binding.expires_at > now);
        found.sort_by_key(|binding| (std::cmp::Reverse(binding.q), std::cmp::Reverse(binding.refreshed_at)));
        found
    }

    pub fn get(&self, id: BindingId) -> Option<(&str, &Binding)> {
        self.bindings.get(id).map(|(aor, binding)| (aor.as_str(), binding))
    }

    /// All bindings in the order of their addresses of record.
    pub fn iter(&self) -> impl Iterator<Item = (&str, BindingId, &Binding)> {
        let ids = self.aors.values().flatten();
        ids.filter_map(|id| self.bindings.get(*id).map(|(aor, binding)| (aor.as_str(), *id, binding)))
    }

    /// Bindings, and addresses of record that have any.
    pub fn counts(&self) -> (usize, usize) {
        (self.bindings.len(), self.aors.len())
    }

    /// Ends one binding from outside; false if it is gone already.
    pub fn remove(&mut self, id: BindingId) -> bool {
        self.end(id, Gone::Removed)
    }

    /// Ends all bindings of `aor` from outside; how many there were.
    pub fn remove_aor(&mut self, aor: &str) -> usize {
        let ids: Vec<BindingId> = self.of(aor).map(|(id, _)| id).collect();
        ids.into_iter().filter(|id| self.end(*id, Gone::Removed)).count()
    }

    /// A connection closed: what was registered over it cannot be reached any more.
    pub fn flow_failed(&mut self, flow: Flow) {
        let all = (flow, Id::from_u64(0))..=(flow, Id::from_u64(u64::MAX));
        while let Some(&(_, id)) = self.by_flow.range(all.clone()).next() {
            self.end(id, Gone::FlowClosed);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            self.end(id, Gone::Expired);
        }
    }

    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.timers.next().map(|(at, _)| (at, "registration expires"))
    }

    pub fn poll(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    fn of(&self, aor: &str) -> impl Iterator<Item = (BindingId, &Binding)> {
        let ids = self.aors.get(aor).into_iter().flatten();
        ids.filter_map(|id| self.bindings.get(*id).map(|(_, binding)| (*id, binding)))
    }

    /// `Contact: *` (§10.3 step 6).
    fn remove_all(&mut self, aor: &str, register: &Register) -> Result<(), Fault> {
        let mut ids = Vec::new();
        for (id, binding) in self.of(aor) {
            in_order(binding, register)?;
            ids.push(id);
        }
        for id in ids {
            self.end(id, Gone::Unregistered);
        }
        Ok(())
    }

    /// §10.3 step 7: first whether all can be done, then all of it.
    fn update(
        &mut self,
        now: Instant,
        aor: &str,
        register: &Register,
        wishes: &[Wish],
        flow: Flow,
    ) -> Result<(), Fault> {
        let mut plan = Vec::new();
        let mut more = 0usize;
        let mut fewer = BTreeSet::new();
        for wish in wishes {
            let same = self.of(aor).find(|(_, binding)| is_same(binding, wish, &register.call_id));
            if let Some((_, binding)) = same {
                in_order(binding, register)?;
            }
            let id = same.map(|(id, _)| id);
            match id {
                None if !wish.expires.is_zero() => more += 1,
                Some(id) if wish.expires.is_zero() => {
                    fewer.insert(id);
                }
                _ => {}
            }
            plan.push((wish, id));
        }
        if more > 0 && self.of(aor).count() + more - fewer.len() > self.limits.contacts_per_aor {
            return Err(Fault::new(403, "Too Many Contacts"));
        }
        if more > 0 && self.bindings.len() + more - fewer.len() > self.limits.bindings_max {
            return Err(Fault::new(503, "Too Many Registrations").with(HeaderName::RetryAfter, RETRY_AFTER_S));
        }
        for (wish, id) in plan {
            match id {
                Some(id) if wish.expires.is_zero() => {
                    self.end(id, Gone::Unregistered);
                }
                Some(id) => self.refresh(now, id, register, wish, flow),
                None if wish.expires.is_zero() => {}
                None => self.add(now, aor, register, wish, flow),
            }
        }
        Ok(())
    }

    fn add(&mut self, now: Instant, aor: &str, register: &Register, wish: &Wish, flow: Flow) {
        let binding = bind(now, now, register, wish, flow);
        let expires_at = binding.expires_at;
        let id = self.bindings.insert((aor.to_owned(), binding));
        self.aors.entry(aor.to_owned()).or_default().push(id);
        self.timers.set(expires_at, id);
        if flow.transport.is_reliable() {
            self.by_flow.insert((flow, id));
        }
        self.changes.push_back(Change::Added { aor: aor.to_owned(), id });
    }

    fn refresh(&mut self, now: Instant, id: BindingId, register: &Register, wish: &Wish, flow: Flow) {
        // Gone if this very request has ended it: two of its contacts were the same binding.
        let Some((_, binding)) = self.bindings.get_mut(id) else { return };
        self.timers.cancel(binding.expires_at, id);
        self.by_flow.remove(&(binding.flow, id));
        let (names, is_same) = (std::mem::take(&mut binding.temporary), binding.call_id == register.call_id);
        *binding = bind(now, binding.since, register, wish, flow);
        self.timers.set(binding.expires_at, id);
        if flow.transport.is_reliable() {
            self.by_flow.insert((flow, id));
        }
        if is_same {
            binding.temporary = names;
        } else {
            self.forget_names(names);
        }
    }

    fn end(&mut self, id: BindingId, why: Gone) -> bool {
        let Some((aor, binding)) = self.bindings.remove(id) else { return false };
        self.timers.cancel(binding.expires_at, id);
        self.by_flow.remove(&(binding.flow, id));
        self.forget_names(binding.temporary.iter().cloned());
        if let Some(ids) = self.aors.get_mut(&aor) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.aors.remove(&aor);
            }
        }
        self.changes.push_back(Change::Gone { aor, id, binding: Box::new(binding), why });
        true
    }
}

fn bind(now: Instant, since: Instant, register: &Register, wish: &Wish, flow: Flow) -> Binding {
    Binding {
        contact: Pii::new(wish.contact.clone()),
        flow,
        q: wish.q,
        expires_at: now + wish.expires,
        since,
        refreshed_at: now,
        instance: wish.instance.clone(),
        reg_id: wish.reg_id,
        path: register.path.clone(),
        user_agent: register.user_agent.clone(),
        temporary: VecDeque::new(),
        call_id: register.call_id.clone(),
        cseq: register.cseq,
    }
}

/// Requests of one Call-ID count up; an older one that arrives late must not undo a newer one.
fn in_order(binding: &Binding, register: &Register) -> Result<(), Fault> {
    if binding.call_id == register.call_id && register.cseq <= binding.cseq {
        return Err(Fault::new(500, "Out Of Order"));
    }
    Ok(())
}

/// Whether a contact is the one that is bound already.
///
/// With reg-id, instance and reg-id decide (RFC 5626 §6); else the URI (§10.3). A phone that has restarted comes with its
/// instance, but another Call-ID and often another port: it takes its own place rather than a further one.
fn is_same(binding: &Binding, wish: &Wish, call_id: &str) -> bool {
    let same_instance = !wish.instance.is_empty() && binding.instance == wish.instance;
    if let (Some(bound), Some(wished)) = (binding.reg_id, wish.reg_id) {
        return same_instance && bound == wished;
    }
    let restarted = same_instance
        && (binding.reg_id, wish.reg_id) == (None, None)
        && binding.call_id != call_id
        && !wish.expires.is_zero();
    let same_uri = match (Uri::parse(binding.contact.expose()), Uri::parse(&wish.contact)) {
        (Some(bound), Some(wished)) => bound.equivalent(&wished),
        _ => *binding.contact.expose() == wish.contact,
    };
    restarted || same_uri
}

/// A Contact value of the 200: what the phone gave, and how long it still holds, in seconds rounded up.
fn contact_value(binding: &Binding, now: Instant) -> String {
    let left_s = binding.expires_at.since(now).as_micros().div_ceil(1_000_000);
    let mut value = format!("<{}>;expires={left_s}", binding.contact.expose());
    if binding.q < 1000 {
        let _ = write!(value, ";q=0.{:03}", binding.q);
    }
    if !binding.instance.is_empty() {
        let _ = write!(value, ";+sip.instance=\"{}\"", binding.instance);
    }
    if let Some(reg_id) = binding.reg_id {
        let _ = write!(value, ";reg-id={reg_id}");
    }
    value
}

#[cfg(test)]
mod tests;
