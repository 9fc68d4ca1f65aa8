//! From a URI's host to hops (RFC 3263 §4): NAPTR names the transports, SRV the servers, A and AAAA their addresses.

use super::cache::Look;
use super::{Found, HOPS_MAX, Hop, Kind, Locator, Question, Record, Target};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::sip::transport::Transport;
use std::net::{IpAddr, SocketAddr};

/// What SRV records a host of `sip:` may have, in the order of our preference.
const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// One way through the names, as far as it is known.
struct Walk<'a> {
    locator: &'a mut Locator,
    now: Instant,
    /// Transports and families (true: IPv4) that there is a listener for.
    reach: &'a [(Transport, bool)],
    rng: &'a mut Rng,
    hops: Vec<Hop>,
    awaited: bool,
}

impl Locator {
    /// The hops of a target over the transports and families (true: IPv4) of `reach`, by priority, then by weight at random
    /// (RFC 2782), those that have failed of late last.
    pub fn locate(&mut self, now: Instant, target: &Target, reach: &[(Transport, bool)], rng: &mut Rng) -> Found {
        let mut walk = Walk { locator: self, now, reach, rng, hops: Vec::new(), awaited: false };
        walk.target(target);
        let Walk { mut hops, awaited, .. } = walk;
        hops.truncate(HOPS_MAX);
        hops.sort_by_key(|hop| self.is_shunned(now, *hop));
        Found { hops, is_complete: !awaited }
    }
}

impl Walk<'_> {
    fn target(&mut self, target: &Target) {
        let default = if target.is_secure { Transport::Tls } else { Transport::Udp };
        let plain = target.transport.unwrap_or(default);
        let host = &*target.host;
        let port = target.port.unwrap_or(if plain == Transport::Tls { 5061 } else { 5060 });
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return self.hop(plain, SocketAddr::new(ip, port));
        }
        if target.port.is_some() {
            return self.addresses(plain, host, port);
        }
        let services = match target.transport {
            Some(transport) => vec![(transport, service_name(transport, host))],
            None => match self.pointers(host, target.is_secure) {
                Some(services) if !services.is_empty() => services,
                Some(_) => self.usual(host, target.is_secure),
                None => return,
            },
        };
        let mut has_service = false;
        for (transport, name) in services {
            has_service |= self.service(transport, &name);
        }
        if !has_service && !self.awaited {
            self.addresses(plain, host, port);
        }
    }

    /// What a host's NAPTR records point to, best first; `None`: not known yet.
    fn pointers(&mut self, host: &str, is_secure: bool) -> Option<Vec<(Transport, Box<str>)>> {
        let reach = self.reach;
        let records = self.records(host, Kind::Naptr)?;
        let mut found: Vec<(u16, u16, Transport, Box<str>)> = Vec::new();
        for record in records {
            let Record::Naptr { order, preference, flags, service, replacement } = record else { continue };
            let transport = match service.to_ascii_uppercase().as_str() {
                "SIP+D2U" if !is_secure => Transport::Udp,
                "SIP+D2T" if !is_secure => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                _ => continue,
            };
            let is_spoken = reach.iter().any(|(t, _)| *t == transport);
            if flags.eq_ignore_ascii_case("s") && is_spoken && !replacement.is_empty() {
                found.push((*order, *preference, transport, replacement.clone()));
            }
        }
        found.sort();
        Some(found.into_iter().map(|(_, _, transport, name)| (transport, name)).collect())
    }

    /// Where SRV records are looked for if no NAPTR record says.
    fn usual(&self, host: &str, is_secure: bool) -> Vec<(Transport, Box<str>)> {
        let is_spoken = |t: &Transport| self.reach.iter().any(|(ours, _)| ours == t);
        let fits = |t: &Transport| !is_secure || *t == Transport::Tls;
        TRANSPORTS.into_iter().filter(fits).filter(is_spoken).map(|t| (t, service_name(t, host))).collect()
    }

    /// The servers of an SRV name; false if it has no such record.
    fn service(&mut self, transport: Transport, name: &str) -> bool {
        let Some(records) = self.records(name, Kind::Srv) else { return false };
        let mut servers: Vec<(u16, u16, u16, Box<str>)> = Vec::new();
        for record in records {
            if let Record::Srv { priority, weight, port, target } = record {
                servers.push((*priority, *weight, *port, target.clone()));
            }
        }
        let has_service = !servers.is_empty();
        servers.sort();
        while let Some(priority) = servers.first().map(|(priority, ..)| *priority) {
            let same = servers.iter().take_while(|s| s.0 == priority).count();
            let total: u64 = servers.iter().take(same).map(|s| u64::from(s.1)).sum();
            // RFC 2782: a number up to and with the sum, so that those without weight have a small chance.
            let mut ticket = self.rng.below(total + 1);
            let pick = servers.iter().take(same).position(|s| {
                let hit = ticket <= u64::from(s.1);
                ticket = ticket.saturating_sub(u64::from(s.1));
                hit
            });
            let (_, _, port, target) = servers.remove(pick.unwrap_or(0));
            // A target of "." says that the service is not there.
            if !target.is_empty() {
                self.addresses(transport, &target, port);
            }
        }
        has_service
    }

    fn addresses(&mut self, transport: Transport, host: &str, port: u16) {
        // A name server may hand out an address in place of a name.
        if let Ok(ip) = host.parse() {
            return self.hop(transport, SocketAddr::new(ip, port));
        }
        for (kind, is_ipv4) in [(Kind::A, true), (Kind::Aaaa, false)] {
            if !self.reach.contains(&(transport, is_ipv4)) {
                continue;
            }
            let Some(records) = self.records(host, kind) else { continue };
            let ips: Vec<IpAddr> = records.iter().filter_map(Record::address).collect();
            for ip in ips {
                self.hop(transport, SocketAddr::new(ip, port));
            }
        }
    }

    fn hop(&mut self, transport: Transport, address: SocketAddr) {
        let hop = Hop { transport, address };
        if self.reach.contains(&(transport, address.is_ipv4())) && !self.hops.contains(&hop) {
            self.hops.push(hop);
        }
    }

    /// `None`: not known yet.
    fn records(&mut self, name: &str, kind: Kind) -> Option<&[Record]> {
        let name = name.trim_end_matches('.').to_ascii_lowercase().into();
        match self.locator.cache.look(self.now, Question { name, kind }) {
            Look::Known(records) => Some(records),
            Look::Awaited => {
                self.awaited = true;
                None
            }
        }
    }
}

impl Record {
    fn address(&self) -> Option<IpAddr> {
        match self {
            Record::Address(ip) => Some(*ip),
            Record::Naptr { .. } | Record::Srv { .. } => None,
        }
    }
}

fn service_name(transport: Transport, host: &str) -> Box<str> {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._wss",
    };
    format!("{prefix}.{host}").into()
}
