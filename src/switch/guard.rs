//! The guard at the door: who sends too much, who is banned, and what is refused when we are late.
//!
//! It looks at the source's address before anything is parsed. Sources of trunks and of `sip.guard.allow` pass. All else has
//! a token bucket for requests that may begin something, and a score of offences that leaks away: when the score is full, the
//! source is banned, twice as long each time, and what it sends is dropped unread. A source from which somebody has proven to be a
//! user within an hour (an office behind NAT) may offend ten times as often, since the addresses of datagrams can be forged.

mod load;
mod shed;
mod sources;

use super::io::{BanView, Output};
use super::world::World;
use crate::base::limit::Bucket;
use crate::base::time::{Duration, Instant};
use crate::config::{self, Config, Network};
use crate::event::Fact;
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Uri};
pub use load::Load;
pub use shed::Refused;
use sources::{Sources, source_of};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Sources remembered, about 200 octets each.
const SOURCES_MAX: usize = 32_768;
/// Lines of the log a second for what strangers did.
const LINES_PER_SECOND: u32 = 20;
/// A ban lasts so long at most, however often it comes again.
const BAN_MAX: Duration = Duration::from_secs(86_400);
/// How long a source is trusted more after somebody has proven to be a user, and how much more.
const TRUSTED_FOR: Duration = Duration::from_secs(3_600);
const TRUST: u64 = 10;
/// Score of one failure.
const FAILURE: u64 = 1_000;

/// Programs that look for weak passwords and open relays; what phones call themselves never contains one of these.
const SCANNERS: [&str; 11] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli",
    "sip-scan",
    "sundayddr",
    "sivus",
    "vaxsip",
    "pplsip",
    "sipptk",
    "iwar",
];

/// What a source did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offence {
    /// Credentials that are wrong, or another user's.
    Credentials,
    /// Something that is no SIP, or broken.
    Malformed,
    /// A request that needs credentials and has none, or belongs to nothing: phones send one before each success.
    Unproven,
    /// A program known to look for weaknesses.
    Scanner,
}

impl Offence {
    const fn as_str(self) -> &'static str {
        match self {
            Offence::Credentials => "failed-authentication",
            Offence::Malformed => "malformed",
            Offence::Unproven => "unauthorised-requests",
            Offence::Scanner => "scanner",
        }
    }

    const fn score(self) -> u64 {
        match self {
            Offence::Credentials | Offence::Malformed => FAILURE,
            Offence::Unproven => FAILURE / 10,
            Offence::Scanner => u64::MAX,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It only keeps a way open.
    KeepAlive,
    /// Of a trunk or allowed: nothing is counted.
    Exempt,
    Admitted,
    TooMany,
    Banned,
}

struct Watch {
    /// Of an IPv4 address; networks of IPv6 may be exempt in part.
    exempt: bool,
    requests: Bucket,
    score: u64,
    scored: Instant,
    /// The weightiest offence in the score: what a ban is called after.
    worst: Offence,
    banned: Option<(Instant, &'static str)>,
    bans: u32,
    trusted_until: Instant,
}

/// Addresses of trunks' names that are known at once.
const NAMED_MAX: usize = 1_024;

pub struct Guard {
    config: config::Guard,
    trusted: Vec<Network>,
    /// Addresses that names of trunks have now; none beyond [`NAMED_MAX`].
    named: Vec<IpAddr>,
    sources: Sources<Watch>,
    /// When bans end, so that the ends are told.
    ends: BTreeSet<(Instant, IpAddr)>,
    lines: Bucket,
}

impl Guard {
    pub fn new(config: &Config, now: Instant) -> Guard {
        Guard {
            config: config.sip.guard.clone(),
            trusted: trusted(config),
            named: Vec::new(),
            sources: Sources::new(SOURCES_MAX),
            ends: BTreeSet::new(),
            lines: Bucket::new(LINES_PER_SECOND, now),
        }
    }

    /// New rules; what is known of sources stays, but who is exempt now is.
    pub fn reload(&mut self, config: &Config, now: Instant) {
        (self.config, self.trusted) = (config.sip.guard.clone(), trusted(config));
        let rate = self.config.requests;
        self.sources.iter_mut().for_each(|(_, watch)| watch.requests = Bucket::new(rate, now));
        self.exempt();
    }

    /// The names of trunks have these addresses now.
    pub fn trust(&mut self, mut named: Vec<IpAddr>) {
        named.truncate(NAMED_MAX);
        if named != self.named {
            self.named = named;
            self.exempt();
        }
    }

    fn exempt(&mut self) {
        let (trusted, named) = (&self.trusted, &self.named);
        for (source, watch) in self.sources.iter_mut() {
            watch.exempt = source.is_ipv4() && is_trusted(trusted, named, source);
        }
    }

    /// What is known of a source; `None` if nothing is to be known, since it is exempt.
    fn watch(&mut self, now: Instant, ip: IpAddr) -> Option<&mut Watch> {
        let (source, trusted, named, rate) = (source_of(ip), &self.trusted, &self.named, self.config.requests);
        let is_trusted = || is_trusted(trusted, named, ip);
        if source.is_ipv6() && is_trusted() {
            return None;
        }
        let watch = self.sources.get_or_insert_with(source, || Watch {
            exempt: source.is_ipv4() && is_trusted(),
            requests: Bucket::new(rate, now),
            score: 0,
            scored: now,
            worst: Offence::Unproven,
            banned: None,
            bans: 0,
            trusted_until: Instant::ZERO,
        });
        Some(watch).filter(|w| !w.exempt)
    }

    /// The end of a ban that was forgotten is not told.
    fn forget_ends(&mut self) {
        if let Some((source, Watch { banned: Some((until, _)), .. })) = self.sources.take_forgotten() {
            self.ends.remove(&(until, source));
        }
    }

    /// Judges a message by where it comes from. `counts`: it may begin something.
    fn admit(&mut self, now: Instant, ip: IpAddr, counts: bool) -> Verdict {
        let Some(watch) = self.watch(now, ip) else { return Verdict::Exempt };
        let verdict = match watch.banned {
            Some((until, _)) if until > now => Verdict::Banned,
            _ if counts && !watch.requests.take(now) => Verdict::TooMany,
            _ => Verdict::Admitted,
        };
        self.forget_ends();
        verdict
    }

    /// Books an offence; how long the source is banned, and what for, if that was one too many.
    fn offence(&mut self, now: Instant, ip: IpAddr, offence: Offence) -> Option<(Duration, &'static str)> {
        let source = source_of(ip);
        let config::Ban { failures, within, duration } = self.config.ban;
        if failures == 0 {
            return None;
        }
        let watch = self.watch(now, ip)?;
        if watch.banned.is_some_and(|(until, _)| until > now) {
            return None;
        }
        let is_trusted = watch.trusted_until > now;
        // One forged datagram must not silence an office.
        if offence == Offence::Scanner && is_trusted {
            return None;
        }
        let full = u64::from(failures) * FAILURE;
        let leaked = u128::from(full) * now.since(watch.scored).as_micros() / within.as_micros().max(1);
        watch.score = watch.score.saturating_sub(u64::try_from(leaked).unwrap_or(u64::MAX));
        if watch.score == 0 || offence.score() >= watch.worst.score() {
            watch.worst = offence;
        }
        watch.score = watch.score.saturating_add(offence.score());
        watch.scored = now;
        let most = if is_trusted { full.saturating_mul(TRUST) } else { full };
        if watch.score < most {
            return None;
        }
        let long = duration.saturating_mul(1 << watch.bans.min(10)).min(BAN_MAX.max(duration));
        watch.bans = watch.bans.saturating_add(1);
        watch.score = 0;
        let why = watch.worst.as_str();
        watch.banned = Some((now + long, why));
        self.ends.insert((now + long, source));
        self.forget_ends();
        Some((long, why))
    }

    /// Somebody there has proven to be a user.
    fn proven(&mut self, now: Instant, ip: IpAddr) {
        let Some(watch) = self.watch(now, ip) else { return };
        watch.trusted_until = now + TRUSTED_FOR;
        // Each success had its challenge.
        watch.score = watch.score.saturating_sub(2 * Offence::Unproven.score());
    }

    /// A source whose ban is over.
    fn next_end(&mut self, now: Instant) -> Option<IpAddr> {
        while let Some((at, source)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
            self.ends.remove(&(at, source));
            let watch = self.sources.peek(source);
            if watch.is_some_and(|w| w.banned.take_if(|(until, _)| *until == at).is_some()) {
                return Some(source);
            }
        }
        None
    }

    /// Lifts a ban; false if there is none.
    fn lift(&mut self, ip: IpAddr) -> bool {
        let source = source_of(ip);
        let Some(watch) = self.sources.peek(source) else { return false };
        let Some((until, _)) = watch.banned.take() else { return false };
        (watch.score, watch.bans) = (0, 0);
        self.ends.remove(&(until, source));
        true
    }

    pub fn bans(&self, now: Instant) -> Vec<BanView> {
        let mut bans: Vec<BanView> = self
            .sources
            .iter()
            .filter_map(|(source, w)| {
                let (until, why) = w.banned.filter(|(until, _)| *until > now)?;
                Some(BanView { source, why, for_s: until.since(now).as_secs(), times: w.bans })
            })
            .collect();
        bans.sort_by_key(|ban| ban.source);
        bans
    }

    /// (sources known, banned of them)
    pub fn counts(&self) -> (usize, usize) {
        (self.sources.len(), self.ends.len())
    }
}

fn is_trusted(trusted: &[Network], named: &[IpAddr], ip: IpAddr) -> bool {
    trusted.iter().any(|n| n.contains(ip)) || named.contains(&ip.to_canonical())
}

/// Networks of trunks, addresses of their targets, and what the configuration allows.
fn trusted(config: &Config) -> Vec<Network> {
    let inbound = config.trunks.iter().flat_map(|t| t.inbound.iter().copied());
    let targets = config.trunks.iter().flat_map(|t| &t.targets).filter_map(|t| Uri::parse(&t.uri)?.ip());
    let targets = targets.map(|address| Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } });
    inbound.chain(targets).chain(config.sip.guard.allow.iter().copied()).collect()
}

/// What keeps a NAT's binding open: empty lines (RFC 5626 §3.5.1), STUN, a few zeros.
fn is_keep_alive(bytes: &[u8]) -> bool {
    let is_stun = bytes.len() >= 20 && bytes.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42]);
    is_stun || bytes.len() <= 4 || bytes.len() < 64 && bytes.iter().all(|b| b"\r\n \0".contains(b))
}

/// Whether a message may begin something; what belongs to a dialog or answers us does not.
fn may_begin(bytes: &[u8]) -> bool {
    let within = ["SIP/2.0 ", "ACK ", "BYE ", "CANCEL ", "PRACK ", "UPDATE ", "INFO ", "NOTIFY "];
    !within.iter().any(|start| bytes.starts_with(start.as_bytes()))
}

fn is_scanner(message: &Message) -> bool {
    let named = message.header(HeaderName::UserAgent).unwrap_or_default().to_ascii_lowercase();
    !named.is_empty() && SCANNERS.iter().any(|scanner| named.contains(scanner))
}

impl World {
    /// Before parsing: whether to look at a message at all.
    pub fn guard_admits(&mut self, flow: Flow, bytes: &[u8]) -> Verdict {
        self.end_bans();
        if is_keep_alive(bytes) {
            return Verdict::KeepAlive;
        }
        let verdict = self.guard.admit(self.now.mono, flow.peer.ip(), may_begin(bytes));
        match verdict {
            Verdict::Banned => {
                self.counters.messages_banned += 1;
                self.close_stream(flow);
            }
            Verdict::TooMany => self.counters.messages_limited += 1,
            Verdict::Exempt | Verdict::Admitted | Verdict::KeepAlive => {}
        }
        verdict
    }

    /// After parsing: a scanner is banned, and gets no answer.
    pub fn guard_drops(&mut self, flow: Flow, message: &Message) -> bool {
        let is_scanner = message.is_request() && is_scanner(message);
        if is_scanner {
            self.offence(flow, Offence::Scanner);
        }
        is_scanner
    }

    /// Books what a source did; it may be banned for it.
    pub fn offence(&mut self, flow: Flow, offence: Offence) {
        let ip = flow.peer.ip();
        let Some((long, why)) = self.guard.offence(self.now.mono, ip, offence) else { return };
        self.counters.bans_total += 1;
        let for_s = u32::try_from(long.as_secs()).unwrap_or(u32::MAX);
        self.tell(Fact::Banned { source: source_of(ip), why, for_s });
        self.close_stream(flow);
    }

    pub fn proven(&mut self, flow: Flow) {
        self.guard.proven(self.now.mono, flow.peer.ip());
    }

    fn close_stream(&mut self, flow: Flow) {
        if flow.transport.is_reliable() {
            self.output(Output::Close { flow });
        }
    }

    /// A line for what strangers did, unless there are too many.
    pub fn tell(&mut self, fact: Fact) {
        match self.guard.lines.take(self.now.mono) {
            true => self.fact(fact),
            false => self.counters.security_lines_dropped += 1,
        }
    }

    fn end_bans(&mut self) {
        while let Some(source) = self.guard.next_end(self.now.mono) {
            self.tell(Fact::Unbanned { source, why: "over" });
        }
    }

    pub fn lift_ban(&mut self, ip: IpAddr) -> bool {
        let lifted = self.guard.lift(ip);
        if lifted {
            self.fact(Fact::Unbanned { source: source_of(ip), why: "by an operator" });
        }
        lifted
    }
}
