//! A HEP3 packet ("HEP, Homer encapsulation protocol", revision 12, §4): `HEP3`, the length of all, and chunks, each of them vendor,
//! type, its length with these six octets, and a value; all numbers in the network's order. Vendor 0 is everybody's.

use super::Item;
use crate::base::pii::Secret;
use crate::shell::capture::without_secrets;
use crate::sip::transport::Transport;
use std::net::IpAddr;

const FAMILY: u16 = 1;
const PROTOCOL: u16 = 2;
const SOURCE_V4: u16 = 3;
const DESTINATION_V4: u16 = 4;
const SOURCE_V6: u16 = 5;
const DESTINATION_V6: u16 = 6;
const SOURCE_PORT: u16 = 7;
const DESTINATION_PORT: u16 = 8;
const SECONDS: u16 = 9;
const MICROSECONDS: u16 = 10;
const KIND: u16 = 11;
const AGENT: u16 = 12;
const PASSWORD: u16 = 14;
const PAYLOAD: u16 = 15;
const CORRELATION: u16 = 17;

/// As the chunk of the family has them.
const INET: u8 = 2;
const INET6: u8 = 10;
const SIP: u8 = 1;
const UDP: u8 = 17;
const TCP: u8 = 6;

/// As whom we send.
pub struct Agent {
    pub id: u32,
    pub password: Option<Secret>,
}

fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend([0, 0]);
    out.extend(kind.to_be_bytes());
    out.extend((6 + value.len() as u16).to_be_bytes());
    out.extend(value);
}

impl Agent {
    /// The packet; `None` if the message is too long for one.
    pub fn encode(&self, item: &Item) -> Option<Vec<u8>> {
        let packet = &item.packet;
        let mut out = Vec::with_capacity(packet.bytes.len() + 200);
        out.extend(b"HEP3\0\0");
        let (from, to) = (packet.source(), packet.destination());
        match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                chunk(&mut out, FAMILY, &[INET]);
                chunk(&mut out, SOURCE_V4, &from.octets());
                chunk(&mut out, DESTINATION_V4, &to.octets());
            }
            (from, to) => {
                let v6 = |ip: IpAddr| match ip {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                chunk(&mut out, FAMILY, &[INET6]);
                chunk(&mut out, SOURCE_V6, &v6(from));
                chunk(&mut out, DESTINATION_V6, &v6(to));
            }
        }
        chunk(&mut out, PROTOCOL, &[if packet.transport == Transport::Udp { UDP } else { TCP }]);
        chunk(&mut out, SOURCE_PORT, &from.port().to_be_bytes());
        chunk(&mut out, DESTINATION_PORT, &to.port().to_be_bytes());
        let us = packet.at.as_micros();
        chunk(&mut out, SECONDS, &(us.div_euclid(1_000_000) as u32).to_be_bytes());
        chunk(&mut out, MICROSECONDS, &(us.rem_euclid(1_000_000) as u32).to_be_bytes());
        chunk(&mut out, KIND, &[SIP]);
        chunk(&mut out, AGENT, &self.id.to_be_bytes());
        if let Some(password) = &self.password {
            chunk(&mut out, PASSWORD, password.expose().as_bytes());
        }
        if let Some(call) = item.call {
            chunk(&mut out, CORRELATION, call.to_string().as_bytes());
        }
        // A datagram has room for 65,507 octets.
        if out.len() + 6 + packet.bytes.len() > 65_000 {
            return None;
        }
        chunk(&mut out, PAYLOAD, &without_secrets(&packet.bytes));
        let length = u16::try_from(out.len()).ok()?;
        out[4..6].copy_from_slice(&length.to_be_bytes());
        Some(out)
    }
}
