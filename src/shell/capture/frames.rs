//! Messages as packets of a network: pcap with LINKTYPE_RAW, microseconds, IPv4 and IPv6, UDP and TCP with checksums.
//!
//! A stream's messages are segments without a handshake; their numbers go on from 1 in each direction. What went by TLS or a
//! WebSocket is shown as plain text from and to its ports.

use super::{Packet, without_secrets};
use crate::sip::transport::Transport;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// LINKTYPE_RAW: each packet begins with its IP header.
const RAW: u32 = 101;
const SNAP: u32 = 262_144;
/// Octets of one segment; a message is rarely longer.
const SEGMENT_MAX: usize = 32_768;
const UDP: u8 = 17;
const TCP: u8 = 6;

type Ends = (SocketAddr, SocketAddr);

/// The file.
pub fn pcap(packets: &[Packet]) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + packets.iter().map(|p| p.bytes.len() + 80).sum::<usize>());
    out.extend(0xA1B2_C3D4u32.to_le_bytes());
    out.extend(2u16.to_le_bytes());
    out.extend(4u16.to_le_bytes());
    // Time zone and accuracy are 0 everywhere.
    out.extend([0; 8]);
    out.extend(SNAP.to_le_bytes());
    out.extend(RAW.to_le_bytes());
    // Our end of a connection is known once it stands, and so for what was sent before.
    let ends: HashMap<(Transport, SocketAddr), SocketAddr> =
        packets.iter().filter(|p| p.is_local_certain).map(|p| ((p.transport, p.peer), p.local)).collect();
    let mut numbers: HashMap<Ends, u32> = HashMap::new();
    for packet in packets {
        let mut packet = packet.clone();
        if !packet.is_local_certain {
            packet.local = ends.get(&(packet.transport, packet.peer)).copied().unwrap_or(packet.local);
        }
        let message = without_secrets(&packet.bytes);
        let way = (packet.source(), packet.destination());
        if packet.transport == Transport::Udp {
            frame(&mut out, &packet, &ip(way, UDP, &udp(way, &message)));
            continue;
        }
        for segment in message.chunks(SEGMENT_MAX) {
            let number = *numbers.get(&way).unwrap_or(&1);
            let heard = *numbers.get(&(way.1, way.0)).unwrap_or(&1);
            frame(&mut out, &packet, &ip(way, TCP, &tcp(way, number, heard, segment)));
            numbers.insert(way, number.wrapping_add(segment.len() as u32));
        }
    }
    out
}

fn frame(out: &mut Vec<u8>, packet: &Packet, bytes: &[u8]) {
    let us = packet.at.as_micros();
    out.extend((us.div_euclid(1_000_000) as u32).to_le_bytes());
    out.extend((us.rem_euclid(1_000_000) as u32).to_le_bytes());
    let length = (bytes.len() as u32).to_le_bytes();
    out.extend(length);
    out.extend(length);
    out.extend(bytes);
}

fn udp(way: Ends, payload: &[u8]) -> Vec<u8> {
    // A datagram holds no more; none that passed was longer.
    let payload = &payload[..payload.len().min(65_000)];
    let mut out = Vec::with_capacity(8 + payload.len());
    out.extend(way.0.port().to_be_bytes());
    out.extend(way.1.port().to_be_bytes());
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    let sum = match checksum(way, UDP, &out) {
        // 0 would mean that there is none (RFC 768).
        0 => 0xFFFF,
        sum => sum,
    };
    out[6..8].copy_from_slice(&sum.to_be_bytes());
    out
}

fn tcp(way: Ends, number: u32, heard: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 + payload.len());
    out.extend(way.0.port().to_be_bytes());
    out.extend(way.1.port().to_be_bytes());
    out.extend(number.to_be_bytes());
    out.extend(heard.to_be_bytes());
    // Five words of header; PSH and ACK; the largest window.
    out.extend([0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]);
    out.extend(payload);
    let sum = checksum(way, TCP, &out);
    out[16..18].copy_from_slice(&sum.to_be_bytes());
    out
}

fn ip(way: Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(40 + payload.len());
    match (way.0.ip(), way.1.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend([0x45, 0]);
            out.extend((20 + payload.len() as u16).to_be_bytes());
            // Not to be cut; 64 hops.
            out.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            out.extend(from.octets());
            out.extend(to.octets());
            let sum = folded(sum_of(&out));
            out[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            out.extend([0x60, 0, 0, 0]);
            out.extend((payload.len() as u16).to_be_bytes());
            out.extend([protocol, 64]);
            out.extend(as_v6(from));
            out.extend(as_v6(to));
        }
    }
    out.extend(payload);
    out
}

fn as_v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Of UDP or TCP, over the pseudo-header too (RFC 1071, RFC 8200 §8.1).
fn checksum(way: Ends, protocol: u8, bytes: &[u8]) -> u16 {
    let addresses = match (way.0.ip(), way.1.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum_of(&from.octets()) + sum_of(&to.octets()),
        (from, to) => sum_of(&as_v6(from)) + sum_of(&as_v6(to)),
    };
    folded(addresses + u32::from(protocol) + bytes.len() as u32 + sum_of(bytes))
}

fn sum_of(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b))).sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}
