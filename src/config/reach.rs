//! How peers are found and reached: name servers, and when a request goes by TCP.

use super::{Network, read, shapes};
use crate::base::yaml::{Fields, Shape, Type, key};
use std::net::{IpAddr, SocketAddr};

/// How peers are found and reached.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reach {
    /// Name servers; none: those of /etc/resolv.conf.
    pub name_servers: Vec<SocketAddr>,
    /// Requests longer than so many octets go by TCP where there is a listener for it (RFC 3261 §18.1.1); 0: never.
    pub udp_max: usize,
    /// Networks in which peers know us by our own address, not by `external_address`.
    pub local_nets: Vec<Network>,
    /// What `Origin` a WebSocket may come with; none: any.
    pub websocket_origins: Vec<String>,
}

/// Networks that no NAT stands before, as a rule: RFC 1918, 6598, 3927, 4193, 4291.
const LOCAL: [&str; 9] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "::1",
    "fc00::/7",
    "fe80::/10",
];

pub static DNS: Shape = Shape {
    name: "dns section",
    doc: "How names of hosts are resolved (RFC 3263).",
    keys: &[key(
        "servers",
        Type::OneOrMore(&SERVER),
        "",
        "Name servers, each an address with or without a port; default those of /etc/resolv.conf.",
    )],
    prefixed: None,
};

static SERVER: Type = Type::Form("an address such as 192.0.2.53 or 127.0.0.1:5353", is_server);

fn server(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, 53)))
}

fn is_server(text: &str) -> bool {
    server(text).is_some()
}

pub fn reach(f: &Fields<'_>) -> Reach {
    let dns = Fields::of(f.get("dns").unwrap_or(&read::EMPTY), &DNS);
    Reach {
        name_servers: dns.items("servers").iter().filter_map(|n| server(n.text()?)).collect(),
        udp_max: f.int("udp_max") as usize,
        local_nets: match f.get("local_nets") {
            Some(_) => f.items("local_nets").iter().filter_map(|n| read::network(n.text()?)).collect(),
            None => LOCAL.into_iter().filter_map(read::network).collect(),
        },
        websocket_origins: f.texts("websocket_origins"),
    }
}

/// The host names among a trunk's sources.
pub fn inbound_hosts(f: &Fields<'_>) -> Vec<String> {
    let texts = f.items("inbound").iter().filter_map(|n| n.text());
    texts.filter(|t| read::network(t).is_none()).map(|t| t.trim_end_matches('.').to_ascii_lowercase()).collect()
}

/// What a trunk's calls may come from.
pub static SOURCE: Type = Type::Form("an address, a network such as 192.0.2.0/24, or the name of a host", is_source);

fn is_source(text: &str) -> bool {
    read::network(text).is_some() || (!text.contains('/') && shapes::is_domain(text))
}

/// What a browser says in Origin (RFC 6454): a scheme and a host, nothing behind.
pub static ORIGIN: Type = Type::Form("an origin such as https://phone.example", is_origin);

fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map(|(_, host)| host);
    host.is_some_and(super::is_host_port)
}
