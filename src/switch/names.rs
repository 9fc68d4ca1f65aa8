//! Names of hosts: who waits for a name server, whose addresses a trunk's sources are, and what has failed or answered.

use super::Switch;
use super::call::{Call, Doing};
use super::io::Output;
use super::world::{CallKey, CallTimer, TimerKey, World};
use crate::base::time::{Duration, Instant};
use crate::config::Trunk;
use crate::sip::locate::{Answer, QueryId};
use crate::sip::transport::{Flow, Transport};
use crate::sip::wire::{HeaderName, Message, Method, Uri};
use crate::verb::{Dial, Target};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How often the names of trunks are looked at; they are asked again only when their answers have expired.
const LOOK: Duration = Duration::from_secs(2);
/// How long an address that a name no longer has is still its trunk's: calls set up by it may still be on their way.
const GRACE: Duration = Duration::from_secs(300);
/// How long a call waits for the addresses of those whom it calls.
const WAIT: Duration = Duration::from_secs(4);
/// How soon a registration or a ping is tried again whose name is being asked for.
pub const SOON: Duration = Duration::from_millis(200);

fn has(list: &[(IpAddr, Instant)], ip: IpAddr) -> bool {
    list.iter().any(|(known, _)| *known == ip.to_canonical())
}

/// What is kept of names between inputs.
#[derive(Default)]
pub struct Names {
    /// Of each trunk with names, the addresses that they have or had, and until when they count.
    sources: BTreeMap<String, Vec<(IpAddr, Instant)>>,
    /// Calls that wait for a name.
    waiting: Vec<CallKey>,
    due: Option<Instant>,
}

/// A URI for the name of a trunk's source.
fn source_uri(host: &str) -> String {
    format!("sip:{host}")
}

fn is_name(uri: &str) -> bool {
    Uri::parse(uri).is_some_and(|uri| uri.ip().is_none())
}

impl World {
    /// Begins to keep the names of the configuration in force resolved.
    pub fn start_names(&mut self) {
        let (config, names) = (&self.config, &mut self.names);
        names.sources.retain(|trunk, _| config.trunks.iter().any(|t| t.name == *trunk && !t.inbound_hosts.is_empty()));
        self.look_at_names();
    }

    /// Looks all names of trunks up, which has those asked again that have expired.
    pub fn look_at_names(&mut self) {
        let config = std::sync::Arc::clone(&self.config);
        let mut has_names = false;
        let mut trusted = Vec::new();
        for trunk in &config.trunks {
            for target in trunk.targets.iter().filter(|t| is_name(&t.uri)) {
                has_names = true;
                let flows = self.ep.ways(&target.uri, Transport::Udp).flows;
                trusted.extend(flows.iter().map(|f| f.peer.ip().to_canonical()));
            }
            for host in &trunk.inbound_hosts {
                has_names = true;
                let flows = self.ep.ways(&source_uri(host), Transport::Udp).flows;
                let until = self.now.mono + GRACE;
                let known = self.names.sources.entry(trunk.name.clone()).or_default();
                known.retain(|(ip, at)| *at > self.now.mono && flows.iter().all(|f| f.peer.ip() != *ip));
                known.extend(flows.iter().map(|f| (f.peer.ip().to_canonical(), until)));
                known.sort_unstable();
                known.dedup_by_key(|(ip, _)| *ip);
                trusted.extend(known.iter().map(|(ip, _)| *ip));
            }
        }
        for target in self.settings.trunks.iter().flat_map(|t| &t.targets) {
            has_names |= is_name(&target.uri);
            let flows = self.ep.ways(&target.uri, Transport::Udp).flows;
            trusted.extend(flows.iter().map(|f| f.peer.ip().to_canonical()));
        }
        // Hops with weights come in another order each time.
        trusted.sort_unstable();
        trusted.dedup();
        self.guard.trust(trusted);
        if let Some(at) = self.names.due.take() {
            self.timers.cancel(at, TimerKey::Names);
        }
        if has_names {
            let at = self.now.mono + LOOK;
            self.names.due = Some(at);
            self.timers.set(at, TimerKey::Names);
        }
    }

    /// The trunk that a request comes from: of those whose source it is the one whose domain it names, else one that has no domain.
    pub fn trunk_of_request(&self, ip: IpAddr, request: &Message) -> Option<&Trunk> {
        let host = Uri::parse(request.request_uri()).map(|uri| uri.host);
        let resolved = |t: &Trunk| self.names.sources.get(&t.name).is_some_and(|list| has(list, ip));
        let from = |t: &&Trunk| t.inbound.iter().any(|n| n.contains(ip)) || resolved(t);
        let names = |domain: &str| host.is_some_and(|host| host.eq_ignore_ascii_case(domain));
        let mut all = self.config.trunks.iter().filter(from);
        let own = all.clone().find(|t| t.byoc.domain.as_deref().is_some_and(names));
        own.or_else(|| all.find(|t| t.byoc.domain.is_none()))
    }

    /// Where a URI is reached, for people.
    pub fn shown_ways(&mut self, uri: &str) -> Vec<String> {
        let ways = self.ep.ways(uri, Transport::Udp);
        ways.flows.iter().map(ToString::to_string).collect()
    }

    /// Hands the questions over that have come up.
    pub fn ask_name_servers(&mut self) {
        while let Some(query) = self.ep.locator.poll() {
            self.output(Output::Resolve(query));
        }
    }

    /// A peer has answered over a flow: with 503 it is let alone for a while.
    pub fn heard_from(&mut self, flow: Flow, response: &Message) {
        if response.status() == 503 {
            let told = response.number(HeaderName::RetryAfter).map(|s| Duration::from_secs(u64::from(s)));
            self.ep.failed(flow, told);
        } else if response.status() == 408 && response.method() != Method::Invite {
            self.ep.failed(flow, None);
        } else {
            self.ep.reached(flow);
        }
    }

    /// Flows on which requests failed go behind others to the same host.
    pub fn note_unreached(&mut self) {
        while let Some(flow) = self.ep.transactions.take_unreached() {
            self.ep.failed(flow, None);
        }
    }

    /// Whether somebody whom the dial calls has a name of which nothing is known yet.
    fn awaits_names(&mut self, dial: &Dial) -> bool {
        let mut uris = Vec::new();
        for target in &dial.targets {
            match target {
                Target::User(_) => {}
                Target::Uri(uri) => uris.push(uri.clone()),
                Target::Number { trunks, .. } => {
                    let files = self.config.trunks.iter().filter(|_| trunks.is_empty());
                    let named = self.trunks.all().filter(|t| trunks.contains(&t.name));
                    uris.extend(files.chain(named).flat_map(|t| &t.targets).map(|t| t.uri.clone()));
                }
            }
        }
        uris.retain(|uri| is_name(uri));
        let mut awaits = false;
        for uri in uris {
            awaits |= !self.ep.ways(&uri, Transport::Udp).is_complete;
        }
        awaits
    }
}

impl Call {
    /// Waits with a dial until the names in it are known; gives the dial back if nothing is to be waited for.
    pub fn wait_for_names(&mut self, w: &mut World, dial: Dial) -> Option<Dial> {
        if !w.awaits_names(&dial) {
            return Some(dial);
        }
        self.doing = Doing::Locating(Box::new(dial));
        w.names.waiting.push(self.key);
        self.set_timer(w, CallTimer::Names, WAIT);
        None
    }

    /// A name server has answered, or has been waited for long enough (`is_late`).
    pub fn on_names(&mut self, w: &mut World, is_late: bool) {
        if !matches!(self.doing, Doing::Locating(_)) {
            return;
        }
        let Doing::Locating(dial) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
        if !is_late && w.awaits_names(&dial) {
            self.doing = Doing::Locating(dial);
            return w.names.waiting.push(self.key);
        }
        self.cancel_timer(w, CallTimer::Names);
        match self.seeks_party() {
            true => self.seek_now(w, *dial),
            false => {
                if let Some(outcome) = self.dial_now(w, *dial) {
                    self.step_done(w, outcome);
                }
            }
        }
    }
}

impl Switch {
    pub(super) fn on_resolved(&mut self, id: QueryId, answer: Answer) {
        let now = self.world.now.mono;
        if !self.world.ep.locator.answer(now, id, answer) {
            return;
        }
        self.world.look_at_names();
        for key in std::mem::take(&mut self.world.names.waiting) {
            self.with_call(key, |call, w| call.on_names(w, false));
            self.run_transactions();
        }
    }
}
