//! What this machine says of names: /etc/resolv.conf and /etc/hosts, read when they are needed, for they change.

use crate::sip::locate::{Kind, Question};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The most that resolv.conf may name, as in resolv.conf(5) for servers.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 8;

/// Where the files are.
pub struct System {
    pub resolv: PathBuf,
    pub hosts: PathBuf,
}

impl Default for System {
    fn default() -> System {
        System { resolv: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into() }
    }
}

/// What resolv.conf says.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    pub servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl System {
    pub fn settings(&self) -> Settings {
        settings(&std::fs::read_to_string(&self.resolv).unwrap_or_default())
    }

    /// The addresses of a name in the hosts file.
    pub fn hosts(&self, name: &str) -> Vec<IpAddr> {
        addresses(&std::fs::read_to_string(&self.hosts).unwrap_or_default(), name)
    }
}

fn settings(text: &str) -> Settings {
    let mut settings = Settings { servers: Vec::new(), search: Vec::new(), ndots: 1 };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                // A zone of a link-local address is left out.
                let ip = words.next().and_then(|w| w.split('%').next()?.parse::<IpAddr>().ok());
                settings.servers.extend(ip.map(|ip| SocketAddr::new(ip, 53)));
            }
            Some("search" | "domain") => {
                let name = |w: &str| w.trim_end_matches('.').to_ascii_lowercase();
                settings.search = words.map(name).filter(|n| !n.is_empty()).take(SEARCH_MAX).collect();
            }
            Some("options") => {
                let ndots = words.find_map(|w| w.strip_prefix("ndots:")?.parse().ok());
                settings.ndots = ndots.map_or(settings.ndots, |n: usize| n.min(15));
            }
            _ => {}
        }
    }
    settings.servers.truncate(SERVERS_MAX);
    if settings.servers.is_empty() {
        settings.servers.push((Ipv4Addr::LOCALHOST, 53).into());
    }
    settings
}

impl Settings {
    /// The names to ask for, one after the other. Only hosts are looked for in the domains around us.
    pub fn names(&self, question: &Question) -> Vec<String> {
        let own = question.name.to_string();
        if !matches!(question.kind, Kind::A | Kind::Aaaa) {
            return vec![own];
        }
        let around = self.search.iter().map(|domain| format!("{own}.{domain}"));
        match own.matches('.').count() >= self.ndots {
            true => vec![own],
            false => around.chain([own.clone()]).collect(),
        }
    }
}

fn addresses(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(ip) = words.next().and_then(|w| w.parse().ok()) else { continue };
        if words.any(|w| w.eq_ignore_ascii_case(name)) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read_as_the_c_library_does() {
        let text = "# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver x\nsearch a.example B.example.\noptions edns0 ndots:2\n";
        let s = settings(text);
        assert_eq!(s.servers, ["10.0.0.1:53".parse().unwrap(), "[fe80::1]:53".parse().unwrap()]);
        let names = |name: &str, kind| s.names(&Question { name: name.into(), kind });
        assert_eq!(names("h.x", Kind::A), ["h.x.a.example", "h.x.b.example", "h.x"]);
        assert_eq!(names("h.x.y", Kind::A), ["h.x.y"]);
        assert_eq!(names("h", Kind::Srv), ["h"]);
        assert_eq!(settings("").servers, ["127.0.0.1:53".parse().unwrap()]);
        let hosts = "10.0.0.9 One one.example # two\n::9 one\nx y\n10.0.0.9 one\n10.0.0.8 two";
        let ips = |name| addresses(hosts, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ips("one"), ["10.0.0.9", "::9"]);
        assert_eq!(ips("two"), ["10.0.0.8"]);
        assert!(ips("three").is_empty());
    }
}
