//! One switch with what stands around it: media stub, store, operator; and the account that each call must keep.

use super::media::MediaStub;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use tandem::base::rng::Rng;
use tandem::base::time::{Instant, Now};
use tandem::event::{CallId, CallRecord, Fact, What};
use tandem::switch::{Reply, Setup, Switch};

pub struct Node {
    pub name: String,
    /// UDP, TCP, UDP over IPv6, TCP over IPv6: by listener.
    pub addresses: Vec<SocketAddr>,
    pub setup: Setup,
    pub switch: Option<Switch>,
    /// How often it was started.
    pub epoch: u32,
    pub media: MediaStub,
    pub media_addresses: [IpAddr; 2],
    pub ports: usize,
    pub generation: u64,
    pub overdue: u32,
    pub rng: Rng,
    active: BTreeMap<CallId, Instant>,
    ended: BTreeSet<CallId>,
    asked: BTreeSet<u64>,
    questions: u64,
    /// Calls that a crash took.
    pub lost: usize,
    /// Timeline of the call that was asked for last.
    pub told: Vec<String>,
}

impl Node {
    pub fn new(
        name: &str,
        addresses: Vec<SocketAddr>,
        media: [IpAddr; 2],
        ports: usize,
        setup: Setup,
        mut rng: Rng,
    ) -> Node {
        Node {
            name: name.into(),
            addresses,
            setup,
            switch: None,
            epoch: 0,
            media: MediaStub::new(media, ports, rng.fork()),
            media_addresses: media,
            ports,
            generation: 0,
            overdue: 0,
            rng,
            active: BTreeMap::new(),
            ended: BTreeSet::new(),
            asked: BTreeSet::new(),
            questions: 0,
            lost: 0,
            told: Vec::new(),
        }
    }

    pub fn start(&mut self, now: Now) {
        self.epoch += 1;
        let seed = self.rng.next_u64();
        self.media = MediaStub::new(self.media_addresses, self.ports, self.rng.fork());
        self.switch = Some(Switch::new(self.setup.clone(), seed, now));
    }

    pub fn crash(&mut self) {
        self.switch = None;
        self.generation += 1;
        self.lost += self.active.len();
        self.active.clear();
        self.asked.clear();
        self.ended.clear();
    }

    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.switch.as_ref().and_then(Switch::deadline)
    }

    pub fn some_call(&self, rng: &mut Rng) -> Option<CallId> {
        self.active.keys().nth(rng.below(self.active.len() as u64) as usize).copied()
    }

    pub fn active_calls(&self) -> Vec<CallId> {
        self.active.keys().copied().collect()
    }

    /// What must hold after every step.
    pub fn check(&self) -> Vec<String> {
        let Some(c) = self.switch.as_ref().map(Switch::counters) else { return vec![] };
        let mut wrong = Vec::new();
        if c.calls_total != self.ended.len() as u64 + c.calls_active {
            wrong.push(format!(
                "{} calls started, {} ended, {} active",
                c.calls_total,
                self.ended.len(),
                c.calls_active
            ));
        }
        if c.calls_active != self.active.len() as u64 {
            wrong.push(format!("{} calls active by the counters, {} by the facts", c.calls_active, self.active.len()));
        }
        let most = u64::from(self.setup.config.limits.calls);
        if most > 0 && c.calls_active > most {
            wrong.push(format!("{} calls, the limit is {most}", c.calls_active));
        }
        wrong.extend(self.switch.iter().flat_map(Switch::queue_faults));
        if c.media_legs_active > self.media.open_legs() as u64 + 1_000 {
            wrong.push("media legs".into());
        }
        wrong
    }

    pub fn fact(&mut self, now: Instant, fact: Fact) -> Vec<(String, String)> {
        match fact {
            Fact::CallStarted { call, .. } => {
                if self.active.insert(call, now).is_some() || self.ended.contains(&call) {
                    return vec![(String::new(), format!("{call} started twice"))];
                }
                vec![]
            }
            Fact::CallAnswered { call } if !self.active.contains_key(&call) => {
                vec![(String::new(), format!("{call} answered, and it is not active"))]
            }
            Fact::CallEnded(record) => self.call_ended(now, &record),
            _ => vec![],
        }
    }

    fn call_ended(&mut self, now: Instant, record: &CallRecord) -> Vec<(String, String)> {
        let cdr = &record.cdr;
        let mut wrong = Vec::new();
        match self.active.remove(&cdr.call) {
            None => wrong.push("a CDR of a call that is not active: a second one, or never started".to_string()),
            Some(started) => {
                let lasted = now.since(started).as_micros() as u64;
                // The record waits for the ACKs and the accounts of the media legs: up to 64·T1 and the way there.
                let waited = lasted.checked_sub(cdr.duration_us);
                if waited.is_none_or(|us| us > 70_000_000) || cdr.billable_us > cdr.duration_us {
                    wrong
                        .push(format!("lasted {lasted} µs; CDR: {} µs, billable {}", cdr.duration_us, cdr.billable_us));
                }
            }
        }
        self.ended.insert(cdr.call);
        if cdr.ending.reason.is_empty() || cdr.legs.is_empty() {
            wrong.push(format!("a CDR without ending or legs: {cdr:?}"));
        }
        if cdr.answered.is_none() && cdr.billable_us > 0 {
            wrong.push("billable without an answer".into());
        }
        let endings = record.timeline.entries().iter().filter(|e| matches!(e.what, What::Ended(_))).count();
        if endings != 1 {
            wrong.push(format!("{endings} endings on the timeline"));
        }
        let call_id = cdr.legs.first().map_or(String::new(), |l| l.sip_call_id.clone());
        wrong.into_iter().map(|w| (call_id.clone(), format!("{}: {w}", cdr.call))).collect()
    }

    pub fn asked(&mut self) -> u64 {
        self.questions += 1;
        self.asked.insert(self.questions);
        self.questions
    }

    pub fn replied(&mut self, id: u64, reply: &Reply) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.asked.remove(&id) {
            wrong.push(format!("a reply to question {id}, which was not open"));
        }
        match reply {
            Reply::Calls(calls) if calls.len() != self.active.len() => {
                wrong.push(format!("`calls` lists {}, {} are active", calls.len(), self.active.len()));
            }
            Reply::Call(told) => {
                let entries = told.1.timeline.entries().iter();
                self.told = entries.map(|e| format!("{:?} {:?} {:?}", e.at, e.side, e.what)).collect();
                self.told.insert(0, format!("{:?}", told.0));
            }
            Reply::Trunks(trunks) => {
                wrong.extend(
                    trunks
                        .iter()
                        .filter(|t| t.calls_max > 0 && t.calls > t.calls_max)
                        .map(|t| format!("trunk {} has {} calls, its limit is {}", t.name, t.calls, t.calls_max)),
                );
            }
            Reply::Refused(why) => wrong.push(format!("an operator was refused: {why}")),
            _ => {}
        }
        wrong
    }

    /// What must hold when all calls are over and all their timers have run out.
    pub fn check_rest(&self, pings: u64) -> Vec<String> {
        let Some(switch) = &self.switch else { return vec![] };
        let c = switch.counters();
        let mut wrong: Vec<String> = [
            ("calls", c.calls_active),
            ("legs", c.legs_active),
            ("media legs by the switch", c.media_legs_active),
            ("media legs by the shards", self.media.open_legs() as u64),
            ("server transactions", c.transactions_server.saturating_sub(4 * pings)),
            ("client transactions", c.transactions_client.saturating_sub(4 * pings)),
            ("CDRs not acknowledged", c.cdrs_unacknowledged),
            ("registrations", c.registrations),
            ("questions without a reply", self.asked.len() as u64),
            ("calls without a CDR", self.active.len() as u64),
            ("timers", c.timers.saturating_sub(2 * pings)),
        ]
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(what, n)| format!("{}: {n} {what} left at rest; next due {:?}", self.name, switch.deadline()))
        .collect();
        if c.draining && !switch.is_drained() {
            wrong.push(format!("{}: draining, at rest, and not drained", self.name));
        }
        wrong
    }
}
