//! Packets in and out of many sockets: the trait, what waits to be sent, and what tests use. [`super::portable`] and
//! [`super::uring`] are the kernel's two ways.

use super::pace::Gather;
use crate::base::time::Wall;
use crate::media::shard::Socket;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Longer datagrams are cut, and then are no RTP that we know.
pub const DATAGRAM_MAX: usize = 2_048;
const OUTBOX_PACKETS: usize = 256;

/// The two sockets of one port slot.
#[derive(Debug)]
pub struct Pair {
    pub rtp: OwnedFd,
    pub rtcp: OwnedFd,
}

impl Pair {
    pub fn fd(&self, socket: Socket) -> RawFd {
        if socket == Socket::Rtp { self.rtp.as_raw_fd() } else { self.rtcp.as_raw_fd() }
    }
}

/// How a shard meets the network. Port slots are numbered by the engine, from 0 and dense.
pub trait PacketIo {
    /// What a turn sends is best handed over at once at its end; otherwise after each packet that came.
    const GATHERS: bool;
    /// The sockets of a slot that has none.
    fn adopt(&mut self, port: u32, pair: Pair) -> io::Result<()>;
    /// Closes the sockets of a slot.
    fn retire(&mut self, port: u32);
    /// Waits until packets are ready, as many as are to `gather`, or the time is over (`None`: for ever). The waker's ring counts
    /// as a packet. May send what [`PacketIo::send`] put off.
    fn wait(&mut self, timeout: Option<Duration>, gather: Gather) -> io::Result<()>;
    /// The next packet of those that were ready when the wait ended.
    fn receive(&mut self) -> Option<Incoming<'_>>;
    /// The port of a packet that [`PacketIo::receive`] will give `n` packets after the next, where that is known.
    fn coming(&self, _n: usize) -> Option<u32> {
        None
    }
    /// Sends and empties `out`, at the latest at the next [`PacketIo::wait`]. Packets that the system refuses are counted and
    /// gone.
    fn send(&mut self, out: &mut Outbox);
    /// The next news of a port that sends to one peer what is made here, and hears it (`None`: does so no more), where that is known.
    fn steadied(&mut self) -> Option<(u32, Option<SocketAddr>)> {
        None
    }
    /// Packets that could not be sent, since the start.
    fn unsent(&self) -> u64;
}

/// A packet that came.
pub struct Incoming<'a> {
    pub port: u32,
    pub socket: Socket,
    pub source: SocketAddr,
    /// When the system had it, by the wall clock; `None` where it does not say.
    pub stamp: Option<Wall>,
    pub bytes: &'a mut [u8],
}

/// Packets to send, in order. Its memory is kept and used again; it begins with room for [`OUTBOX_PACKETS`].
pub struct Outbox {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    /// Whether what is pushed now answers a packet that came, and not a tick or an order.
    pub relays: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        let (bytes, packets) = (Vec::with_capacity(OUTBOX_PACKETS * 256), Vec::with_capacity(OUTBOX_PACKETS));
        Outbox { bytes, packets, relays: false }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub port: u32,
    pub socket: Socket,
    pub to: SocketAddr,
    /// Passed on as it came: when exactly that was, nobody asks.
    pub relayed: bool,
    start: usize,
    end: usize,
}

impl Outbox {
    pub fn push(&mut self, port: u32, socket: Socket, to: SocketAddr, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.packets.push(Packet { port, socket, to, relayed: self.relays, start, end: self.bytes.len() });
    }

    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The bytes of one of [`Outbox::packets`].
    pub fn bytes(&self, packet: &Packet) -> &[u8] {
        self.bytes.get(packet.start..packet.end).unwrap_or(&[])
    }

    /// Each packet: slot, socket, target, bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Socket, SocketAddr, &[u8])> {
        self.packets.iter().map(|p| (p.port, p.socket, p.to, self.bytes.get(p.start..p.end).unwrap_or(&[])))
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
    }
}

/// For tests: packets are put in and taken out by hand, nothing waits.
#[derive(Default)]
pub struct Simulated {
    incoming: VecDeque<(u32, Socket, SocketAddr, Vec<u8>)>,
    current: Vec<u8>,
    /// What was sent, oldest first, if it is kept.
    pub sent: Vec<(u32, Socket, SocketAddr, Vec<u8>)>,
    pub keeps_sent: bool,
    pub sent_count: u64,
}

impl Simulated {
    pub fn put(&mut self, port: u32, socket: Socket, source: SocketAddr, bytes: &[u8]) {
        self.incoming.push_back((port, socket, source, bytes.to_vec()));
    }
}

impl PacketIo for Simulated {
    const GATHERS: bool = true;

    fn adopt(&mut self, _: u32, _: Pair) -> io::Result<()> {
        Ok(())
    }

    fn retire(&mut self, _: u32) {}

    fn wait(&mut self, _: Option<Duration>, _: Gather) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self) -> Option<Incoming<'_>> {
        let (port, socket, source, bytes) = self.incoming.pop_front()?;
        self.current = bytes;
        Some(Incoming { port, socket, source, stamp: None, bytes: &mut self.current })
    }

    fn send(&mut self, out: &mut Outbox) {
        for (port, socket, to, bytes) in out.iter() {
            self.sent_count += 1;
            if self.keeps_sent {
                self.sent.push((port, socket, to, bytes.to_vec()));
            }
        }
        out.clear();
    }

    fn unsent(&self) -> u64 {
        0
    }
}
