//! What is kept of each call's messages, within bounds: the first ones and the last ones of a call, so many octets of all calls.

use super::Packet;
use crate::base::time::{Duration, Instant};
use crate::config;
use crate::event::CallId;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// The first messages of a call, which stay when others have to go.
const FIRST_MAX: usize = 32;
/// What a packet takes beside its octets.
const OVERHEAD: usize = 160;
/// Calls that one Call-ID can be of: a leg that moved, a call that came back to us.
const OWNERS_MAX: usize = 4;
/// A call that has ended takes what still comes for so long: Timers H and J.
const LINGER: Duration = Duration::from_secs(35);
/// Messages of calls that are none yet (an INVITE that was challenged): so many, each of at most so many octets, for so long.
const STRAYS_MAX: usize = 128;
const STRAY_OCTETS_MAX: usize = 8_192;
const STRAY_KEPT: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Kept {
    first: Vec<Packet>,
    last: VecDeque<Packet>,
    octets: usize,
    call_ids: Vec<Arc<[u8]>>,
    ended: Option<Instant>,
}

/// A message whose call is not known.
struct Stray {
    at: Instant,
    hash: u64,
    packet: Packet,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Calls {
    enabled: bool,
    memory: usize,
    per_call: usize,
    keep: Duration,
    ended_max: usize,
    calls: HashMap<CallId, Kept>,
    owners: HashMap<Arc<[u8]>, Vec<CallId>>,
    /// In the order of their ends.
    ended: VecDeque<(Instant, CallId)>,
    strays: VecDeque<Stray>,
    hasher: RandomState,
    octets: usize,
    dropped: u64,
}

/// A copy of its own, so that nothing larger stays alive for it.
fn alone(packet: &Packet) -> Packet {
    Packet { bytes: Bytes::copy_from_slice(&packet.bytes), ..packet.clone() }
}

impl Calls {
    pub fn new(settings: &config::Capture) -> Calls {
        let (enabled, memory, per_call) = (settings.enabled, settings.memory, settings.per_call);
        Calls { enabled, memory, per_call, keep: settings.keep, ended_max: settings.ended, ..Calls::default() }
    }

    /// A call has a leg with this Call-ID.
    pub fn leg(&mut self, call: CallId, call_id: &[u8]) {
        let kept = self.calls.entry(call).or_default();
        if kept.call_ids.iter().any(|known| **known == *call_id) {
            return;
        }
        let shared: Arc<[u8]> = call_id.into();
        kept.call_ids.push(Arc::clone(&shared));
        let owners = self.owners.entry(shared).or_default();
        if owners.len() < OWNERS_MAX {
            owners.push(call);
        }
        let hash = self.hasher.hash_one(call_id);
        let (own, others) = self.strays.drain(..).partition::<VecDeque<_>, _>(|stray| stray.hash == hash);
        self.strays = others;
        for stray in own {
            self.put(call, stray.packet);
        }
    }

    pub fn ended(&mut self, call: CallId, now: Instant) {
        if let Some(kept) = self.calls.get_mut(&call).filter(|kept| kept.ended.is_none()) {
            kept.ended = Some(now);
            self.ended.push_back((now, call));
        }
    }

    /// The call that messages with this Call-ID belong to; the newest of several.
    pub fn owner(&self, call_id: &[u8]) -> Option<CallId> {
        self.owners.get(call_id)?.last().copied()
    }

    /// Keeps a message with each call that it belongs to. `is_answered`: something was sent with the same input.
    pub fn keep(&mut self, now: Instant, packet: &Packet, call_id: &[u8], is_answered: bool) {
        if !self.enabled {
            return;
        }
        let mut owners = [None; OWNERS_MAX];
        match self.owners.get(call_id) {
            None => return self.keep_stray(now, packet, call_id, is_answered),
            Some(known) => owners.iter_mut().zip(known).for_each(|(place, call)| *place = Some(*call)),
        }
        for call in owners.into_iter().flatten() {
            let ended = self.calls.get(&call).and_then(|kept| kept.ended);
            if ended.is_none_or(|at| now.since(at) < LINGER) {
                self.put(call, alone(packet));
            }
        }
    }

    /// An INVITE that is challenged becomes a call when it comes again.
    fn keep_stray(&mut self, now: Instant, packet: &Packet, call_id: &[u8], is_answered: bool) {
        let is_first = packet.bytes.starts_with(b"INVITE ") || packet.bytes.starts_with(b"SIP/2.0 40");
        let hash = self.hasher.hash_one(call_id);
        let is_next = || self.strays.iter().any(|stray| stray.hash == hash);
        if packet.bytes.len() > STRAY_OCTETS_MAX || !((is_first && is_answered) || is_next()) {
            return;
        }
        if self.strays.len() >= STRAYS_MAX {
            self.strays.pop_front();
        }
        self.strays.push_back(Stray { at: now, hash, packet: alone(packet) });
    }

    fn put(&mut self, call: CallId, packet: Packet) {
        let size = packet.bytes.len() + OVERHEAD;
        while self.octets + size > self.memory && self.forget_first_ended(call) {}
        let Some(kept) = self.calls.get_mut(&call) else { return };
        if self.octets + size > self.memory {
            self.dropped += 1;
            return;
        }
        kept.octets += size;
        self.octets += size;
        // What stays is at most half of a call's share, so that there is room for what comes.
        if kept.last.is_empty() && kept.first.len() < FIRST_MAX && kept.octets <= self.per_call / 2 {
            kept.first.push(packet);
        } else {
            kept.last.push_back(packet);
        }
        while kept.octets > self.per_call {
            let Some(gone) = kept.last.pop_front() else { break };
            kept.octets -= gone.bytes.len() + OVERHEAD;
            self.octets -= gone.bytes.len() + OVERHEAD;
            self.dropped += 1;
        }
    }

    /// Forgets the call that ended first, but not this one; false if there is none.
    fn forget_first_ended(&mut self, but: CallId) -> bool {
        match self.ended.front() {
            Some((_, call)) if *call != but => {}
            _ => return false,
        }
        let Some((_, call)) = self.ended.pop_front() else { return false };
        let Some(kept) = self.calls.remove(&call) else { return true };
        self.octets -= kept.octets;
        for call_id in &kept.call_ids {
            if let Some(owners) = self.owners.get_mut(call_id) {
                owners.retain(|owner| *owner != call);
                if owners.is_empty() {
                    self.owners.remove(call_id);
                }
            }
        }
        true
    }

    /// Forgets what was kept long enough.
    pub fn forget(&mut self, now: Instant) {
        let nobody = CallId(u128::MAX);
        // Without captures the end of a call is known so long as its last messages are to be told apart.
        let keep = if self.enabled { self.keep } else { LINGER };
        while self.ended.len() > self.ended_max || self.ended.front().is_some_and(|(at, _)| now.since(*at) >= keep) {
            if !self.forget_first_ended(nobody) {
                break;
            }
        }
        while self.strays.front().is_some_and(|stray| now.since(stray.at) >= STRAY_KEPT) {
            self.strays.pop_front();
        }
    }

    pub fn of(&self, call: CallId) -> Option<Vec<Packet>> {
        let kept = self.calls.get(&call).filter(|_| self.enabled)?;
        Some(kept.first.iter().chain(&kept.last).cloned().collect())
    }

    /// Octets that are kept, and messages that found no room.
    pub const fn figures(&self) -> (u64, u64) {
        (self.octets as u64, self.dropped)
    }
}
