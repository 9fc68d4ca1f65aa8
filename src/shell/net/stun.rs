//! STUN binding requests on SIP's UDP ports (RFC 5626 §3.5.2, RFC 5389): a phone keeps its NAT binding open and sees from
//! the answer when it has changed. Nothing is kept; an answer is at most twelve octets longer than a bare request.

use bytes::{BufMut, Bytes, BytesMut};
use std::net::{IpAddr, SocketAddr};

const COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const BINDING: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// From here on an attribute may be passed over by who does not know it.
const OPTIONAL: u16 = 0x8000;
/// Named in an error; more are not told.
const UNKNOWN_MAX: usize = 4;

/// Whether a datagram is STUN: no SIP message begins with such an octet and has the cookie.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|b| *b < 4) && word(datagram, 4) == Some(COOKIE)
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// The answer to a binding request from `source`; `None` for what is none, to which nothing is said.
pub fn answer(datagram: &[u8], source: SocketAddr) -> Option<Bytes> {
    let length = usize::from(half(datagram, 2)?);
    let is_whole = datagram.len() == HEADER + length && length % 4 == 0;
    if !is_whole || half(datagram, 0) != Some(BINDING) || !is_stun(datagram) {
        return None;
    }
    let transaction = datagram.get(8..HEADER)?;
    let unknown = unknown(datagram.get(HEADER..)?)?;
    let mut body = BytesMut::new();
    let kind = if unknown.is_empty() {
        mapped(&mut body, source, transaction);
        SUCCESS
    } else {
        refused(&mut body, &unknown);
        ERROR
    };
    let mut out = BytesMut::with_capacity(HEADER + body.len());
    out.put_u16(kind);
    out.put_u16(u16::try_from(body.len()).ok()?);
    out.put_u32(COOKIE);
    out.put_slice(transaction);
    out.put_slice(&body);
    Some(out.freeze())
}

/// Attributes that must be understood and are not: all that must, since a keep-alive needs none. `None`: cut short.
fn unknown(mut attributes: &[u8]) -> Option<Vec<u16>> {
    let mut found = Vec::new();
    while !attributes.is_empty() {
        let (kind, length) = (half(attributes, 0)?, usize::from(half(attributes, 2)?));
        if kind < OPTIONAL && found.len() < UNKNOWN_MAX {
            found.push(kind);
        }
        attributes = attributes.get(4 + length.next_multiple_of(4)..)?;
    }
    Some(found)
}

/// §15.2: port and address, each XORed with what both sides know, so that no router on the way rewrites them.
fn mapped(body: &mut BytesMut, source: SocketAddr, transaction: &[u8]) {
    let ip = source.ip().to_canonical();
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    body.put_u16(XOR_MAPPED_ADDRESS);
    body.put_u16(4 + octets.len() as u16);
    body.put_u16(family);
    body.put_u16(source.port() ^ (COOKIE >> 16) as u16);
    let key = COOKIE.to_be_bytes();
    body.extend(octets.iter().zip(key.iter().chain(transaction)).map(|(octet, key)| octet ^ key));
}

/// §15.6 and §15.9: 420.
fn refused(body: &mut BytesMut, unknown: &[u16]) {
    let reason = b"Unknown Attribute\0\0\0";
    body.put_u16(ERROR_CODE);
    body.put_u16(4 + 17);
    body.put_u16(0);
    body.put_slice(&[4, 20]);
    body.put_slice(reason);
    body.put_u16(UNKNOWN_ATTRIBUTES);
    body.put_u16(2 * unknown.len() as u16);
    unknown.iter().for_each(|kind| body.put_u16(*kind));
    if unknown.len() % 2 == 1 {
        body.put_u16(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u16(kind);
        out.put_u16(attributes.len() as u16);
        out.put_u32(COOKIE);
        out.put_slice(b"transaction!");
        out.put_slice(attributes);
        out
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn a_binding_request_is_answered_with_its_source() {
        let (v4, v6) = ("192.0.2.1:32853".parse().unwrap(), "[2001:db8::1]:5060".parse().unwrap());
        let software = [0x80, 0x22, 0, 2, b'x', b'y', 0, 0];
        let head = |kind: &str, length: &str| format!("{kind}{length}2112a442{}", hex(b"transaction!"));
        let rows = [
            // RFC 5769 §2.2 has this address and port.
            (request(1, &[]), v4, Some(head("0101", "000c") + "002000080001a147e112a643")),
            (request(1, &software), v4, Some(head("0101", "000c") + "002000080001a147e112a643")),
            (
                request(1, &[]),
                v6,
                Some(head("0101", "0018") + "00200014000232d6" + "0113a9fa" + "7472616e" + "73616374" + "696f6e20"),
            ),
            (
                request(1, &[0, 6, 0, 0]),
                v4,
                Some(head("0111", "0024") + "0009001500000414" + &hex(b"Unknown Attribute\0\0\0") + "000a000200060000"),
            ),
            (request(0x0101, &[]), v4, None),
            (request(1, &[0x80, 0x22, 0, 9]), v4, None),
            (request(1, &[1, 2]), v4, None),
            (request(1, &[])[..19].to_vec(), v4, None),
            (Vec::new(), v4, None),
        ];
        for (datagram, source, want) in rows {
            assert_eq!(answer(&datagram, source).map(|b| hex(&b)), want, "{}", hex(&datagram));
        }
    }

    #[test]
    fn sip_is_no_stun() {
        assert!(is_stun(&request(1, &[])) && is_stun(&request(0x0111, &[])));
        for datagram in [&b"OPTIONS sip:a SIP/2.0"[..], b"\r\n\r\n", b"", b"\x00\x01\x00\x00"] {
            assert!(!is_stun(datagram));
        }
    }
}
