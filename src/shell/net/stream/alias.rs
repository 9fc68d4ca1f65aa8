//! Connections that a peer opened, used for our requests to it (RFC 5923): a trunk's own connection serves both ways.
//!
//! ```text
//!   the peer connects, shows a certificate, and says `;alias` in the Via of its first request
//!        │
//!        ├─ the certificate proves a trunk's name (as it would have to if we connected to it)
//!        └─ our requests to that name at the peer's address and the Via's port leave on this connection
//! ```
//!
//! Only over TLS with the peer's certificate: who could merely connect would else get the calls that are another's. Over TCP `alias`
//! is passed over, for behind a NAT an address is no proof (RFC 5923 §9.3).

use super::super::tls::{Chain, Tls};
use crate::sip::transport::{Flow, NameId, Transport};
use crate::sip::wire::{Message, parse_ip};
use bytes::Bytes;
use std::net::SocketAddr;

/// RFC 3261 §18.1.1: the port of SIP over TLS.
const PORT: u16 = 5061;

/// The flows for which a connection may be used, by the first message on it and the certificates that its peer showed.
pub fn aliases(tls: &Tls, chain: &Chain, flow: Flow, first: &Bytes) -> Vec<Flow> {
    let Ok(request) = Message::parse(first.clone()) else { return Vec::new() };
    let Some(via) = request.via().filter(|via| request.is_request() && via.params.get("alias").is_some()) else {
        return Vec::new();
    };
    if flow.transport != Transport::Tls || !via.transport.eq_ignore_ascii_case(Transport::Tls.as_str()) {
        return Vec::new();
    }
    let peer = SocketAddr::new(flow.peer.ip(), via.port.unwrap_or(PORT));
    let place = Flow { peer, connection: 0, ..flow };
    let own_address = peer.ip().to_string();
    let hosts = match parse_ip(via.host) {
        // Another's address.
        Some(ip) if ip != peer.ip() => return Vec::new(),
        Some(_) => tls.names(),
        None => vec![via.host.trim_end_matches('.').to_ascii_lowercase()],
    };
    let mut places = Vec::new();
    if tls.proves(chain, &own_address) {
        places.push(place);
    }
    let named = hosts.iter().filter(|host| tls.proves(chain, host));
    places.extend(named.map(|host| place.to_named(NameId::of(host))));
    places
}
