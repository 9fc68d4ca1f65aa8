//! Where a request goes (RFC 3263): a URI's host becomes an ordered list of transports and addresses.
//!
//! Sans-IO: what has to be asked of the name servers comes out of [`Locator::poll`], and its answer goes into [`Locator::answer`].
//! [`Locator::locate`] computes from what is known at the moment, and asks for what is missing or has expired; who
//! cannot wait takes what there is. While a name server does not answer, old answers are given for a day (RFC 8767).

mod cache;
mod plan;
mod shun;
#[cfg(test)]
mod tests;

use super::transport::Transport;
use super::wire::Uri;
use crate::base::time::{Duration, Instant};
use cache::Cache;
use shun::Shunned;
use std::net::{IpAddr, SocketAddr};

/// What is asked of a name server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Naptr,
    Srv,
    A,
    Aaaa,
}

/// A name, in lower case and without the last dot, and what of it is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Question {
    pub name: Box<str>,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct QueryId(pub u64);

/// A question that is to be answered once, by [`Locator::answer`] with its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    pub id: QueryId,
    pub question: Question,
}

/// One record of an answer. Names have no last dot; SRV's "." is "".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Record {
    Naptr { order: u16, preference: u16, flags: Box<str>, service: Box<str>, replacement: Box<str> },
    Srv { priority: u16, weight: u16, port: u16, target: Box<str> },
    Address(IpAddr),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Found {
        records: Vec<Record>,
        ttl: Duration,
    },
    /// There is no such name, or nothing of the kind; `None`: nobody said for how long (RFC 2308).
    Absent {
        ttl: Option<Duration>,
    },
    /// No server gave an answer that can be believed.
    Failed,
}

/// What of a URI decides where its requests go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub host: Box<str>,
    pub port: Option<u16>,
    /// As the URI says.
    pub transport: Option<Transport>,
    /// `sips`.
    pub is_secure: bool,
}

impl Target {
    /// `None`: the URI wants a transport that nobody speaks.
    pub fn of(uri: &Uri<'_>) -> Option<Target> {
        let is = |t: &str, name: &str| t.eq_ignore_ascii_case(name);
        let is_secure = is(uri.scheme, "sips");
        let transport = match uri.params.get("transport") {
            Some(t) if is(t, "tcp") && is_secure => Some(Transport::Tls),
            Some(t) if is(t, "tcp") => Some(Transport::Tcp),
            Some(t) if is(t, "tls") => Some(Transport::Tls),
            Some(t) if is(t, "udp") && !is_secure => Some(Transport::Udp),
            Some(_) => return None,
            None => None,
        };
        let host = uri.params.get("maddr").unwrap_or(uri.host).trim_end_matches('.').to_ascii_lowercase();
        Some(Target { host: host.into(), port: uri.port, transport, is_secure })
    }
}

/// One way to a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hop {
    pub transport: Transport,
    pub address: SocketAddr,
}

/// What is known of a target: the hops in the order in which to try them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub hops: Vec<Hop>,
    /// Nothing is awaited of which nothing is known.
    pub is_complete: bool,
}

/// The most hops of one target; a zone that has more is cut off.
pub const HOPS_MAX: usize = 16;

/// Names, what is known of them, and which addresses have failed of late.
#[derive(Default)]
pub struct Locator {
    cache: Cache,
    shunned: Shunned,
}

impl Locator {
    /// What is to be asked; drain it after each [`Locator::locate`].
    pub fn poll(&mut self) -> Option<Query> {
        self.cache.poll()
    }

    /// Takes the answer to a query; false if nobody asked, or it is answered already.
    pub fn answer(&mut self, now: Instant, id: QueryId, answer: Answer) -> bool {
        self.cache.answer(now, id, answer)
    }

    /// A hop gave no answer, broke or refused with 503: for a while the others of its target come first. `told`: Retry-After.
    pub fn failed(&mut self, now: Instant, hop: Hop, told: Option<Duration>) {
        self.shunned.failed(now, hop, told);
    }

    /// A hop answered.
    pub fn reached(&mut self, hop: Hop) {
        self.shunned.reached(hop);
    }

    pub fn is_shunned(&self, now: Instant, hop: Hop) -> bool {
        self.shunned.contains(now, hop)
    }
}
