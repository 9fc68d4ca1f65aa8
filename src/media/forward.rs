//! Streams that the system's kernel passes on by itself: relayed packets of which all is known beforehand but the sound.
//!
//! A stream whose packets have been in sequence for a while, of one source and one codec, in even steps, may be given away
//! ([`Sink::forward`](super::shard::Sink::forward)). The kernel passes on exactly the next packet of it, again and again, and leaves to us
//! whatever is not that: a gap, a repetition, a marker, a digit, a stranger, RTCP. The first such packet takes the stream back, and
//! what the kernel has counted becomes the leg's own, so that nobody can tell from the packets or the account who relayed.

#[cfg(test)]
use crate::base::time::Instant;
use crate::rtp::packet::Fields;
use crate::rtp::stats::Scatter;
use std::net::SocketAddr;

/// A stream to be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// The slot to which it comes and the one from which it leaves.
    pub port: u32,
    pub by: u32,
    pub source: SocketAddr,
    pub to: SocketAddr,
    /// The header of the next packet, as it will come and as it is to leave; neither has a marker.
    pub comes: Fields,
    pub leaves: Fields,
    /// From packet to packet, in timestamp units of so many Hz.
    pub step: u32,
    pub clock_rate: u32,
    /// How scattered its packets have come so far.
    pub scatter: Scatter,
}

/// What has been passed on since a stream was given away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    pub packets: u32,
    /// Of payload.
    pub octets: u64,
    /// Its sum and count are of these packets alone.
    pub scatter: Scatter,
}

impl Passed {
    /// Nothing yet.
    pub const fn nothing(scatter: Scatter) -> Passed {
        Passed { packets: 0, octets: 0, scatter: Scatter { sum_us: 0, count: 0, ..scatter } }
    }
}

/// What the kernel's program does, to hold it against.
#[cfg(test)]
#[derive(Debug)]
pub struct Model {
    pub forward: Forward,
    pub passed: Passed,
}

#[cfg(test)]
impl Model {
    pub fn new(forward: Forward) -> Model {
        Model { forward, passed: Passed::nothing(forward.scatter) }
    }

    /// Rewrites the packet and counts it if it is the one that is due; else nothing is changed.
    pub fn pass(&mut self, now: Instant, source: SocketAddr, packet: &mut [u8]) -> bool {
        use crate::rtp::packet::Header;
        let f = &self.forward;
        let n = self.passed.packets;
        let due = Fields {
            marker: false,
            sequence: f.comes.sequence.wrapping_add(n as u16),
            timestamp: f.comes.timestamp.wrapping_add(f.step.wrapping_mul(n)),
            ..f.comes
        };
        let mut head = [0; 12];
        due.write(&mut head);
        if source != f.source || packet.get(..12) != Some(&head) {
            return false;
        }
        let header = Header::parse(packet).unwrap();
        self.passed.packets += 1;
        self.passed.octets += header.payload_range().len() as u64;
        self.passed.scatter.packet(now, i64::from(f.step) * 1_000_000 / i64::from(f.clock_rate));
        let leaves = Fields {
            sequence: f.leaves.sequence.wrapping_add(n as u16),
            timestamp: f.leaves.timestamp.wrapping_add(f.step.wrapping_mul(n)),
            ..f.leaves
        };
        leaves.write(packet);
        true
    }
}
