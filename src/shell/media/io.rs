//! Packets in and out of many sockets: the trait, what is portable, and what tests use.

use crate::media::shard::Socket;
use crate::shell::net::{Epoll, Waker, read_address, write_address};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Datagrams taken from one socket at a time; the others get their turn in between.
const BATCH: usize = 8;
/// Longer datagrams are cut, and then are no RTP that we know.
const DATAGRAM_MAX: usize = 2_048;
/// Sockets told ready by one wait.
const READY_MAX: usize = 128;
/// With so many ready the thread is behind, and each may hold several packets. With fewer, each holds one nearly always, and
/// asking for a second would cost as much as the next wait does for the few that have one.
const READY_BEHIND: usize = READY_MAX / 2;
/// Packets that one call sends from one socket.
const SEND_BATCH: usize = 16;
const OUTBOX_PACKETS: usize = 256;
const WAKE: u64 = u64::MAX;

/// The two sockets of one port slot.
#[derive(Debug)]
pub struct Pair {
    pub rtp: OwnedFd,
    pub rtcp: OwnedFd,
}

/// How a shard meets the network. Port slots are numbered by the engine, from 0 and dense.
pub trait PacketIo {
    /// The sockets of a slot that has none.
    fn adopt(&mut self, port: u32, pair: Pair) -> io::Result<()>;
    /// Closes the sockets of a slot.
    fn retire(&mut self, port: u32);
    /// Waits until packets are ready, the waker rings or the time is over (`None`: for ever).
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;
    /// Packets of the next ready socket; `None` when each was asked once since the wait.
    fn receive(&mut self) -> Option<Batch<'_>>;
    /// Sends and empties `out`. Packets that the system refuses are counted and gone.
    fn send(&mut self, out: &mut Outbox);
    /// Packets that could not be sent, since the start.
    fn unsent(&self) -> u64;
}

/// Packets that came to one socket.
pub struct Batch<'a> {
    pub port: u32,
    pub socket: Socket,
    pub datagrams: &'a mut [Datagram],
}

/// One packet with its source.
pub struct Datagram {
    source: Option<SocketAddr>,
    len: usize,
    bytes: Box<[u8; DATAGRAM_MAX]>,
}

impl Datagram {
    fn new() -> Datagram {
        Datagram { source: None, len: 0, bytes: Box::new([0; DATAGRAM_MAX]) }
    }

    /// The source and the bytes; `None` for an address that is not the internet's.
    pub fn parts(&mut self) -> Option<(SocketAddr, &mut [u8])> {
        Some((self.source?, self.bytes.get_mut(..self.len)?))
    }
}

/// Packets to send, in order. Its memory is kept and used again; it begins with room for [`OUTBOX_PACKETS`].
pub struct Outbox {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox { bytes: Vec::with_capacity(OUTBOX_PACKETS * 256), packets: Vec::with_capacity(OUTBOX_PACKETS) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    port: u32,
    socket: Socket,
    to: SocketAddr,
    start: usize,
    end: usize,
}

impl Outbox {
    pub fn push(&mut self, port: u32, socket: Socket, to: SocketAddr, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.packets.push(Packet { port, socket, to, start, end: self.bytes.len() });
    }

    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
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

/// Nonblocking UDP sockets under level-triggered epoll; recvmmsg where packets have gathered.
pub struct Portable {
    epoll: Epoll,
    waker: Waker,
    pairs: Vec<Option<Pair>>,
    /// Which of the ready sockets is next.
    next: usize,
    datagrams: Vec<Datagram>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    unsent: u64,
}

const fn token(port: u32, socket: Socket) -> u64 {
    (port as u64) << 1 | matches!(socket, Socket::Rtcp) as u64
}

impl Portable {
    /// `waker` ends a wait from another thread.
    pub fn new(waker: Waker) -> io::Result<Portable> {
        let epoll = Epoll::new(READY_MAX)?;
        epoll.add(waker.fd(), WAKE)?;
        // SAFETY: zeroed is a valid value of these plain structures.
        let names = Box::new(unsafe { mem::zeroed() });
        let datagrams = (0..BATCH).map(|_| Datagram::new()).collect();
        Ok(Portable { epoll, waker, pairs: Vec::new(), next: 0, datagrams, names, unsent: 0 })
    }

    fn fd(&self, port: u32, socket: Socket) -> Option<RawFd> {
        let pair = self.pairs.get(port as usize)?.as_ref()?;
        Some(if socket == Socket::Rtp { pair.rtp.as_raw_fd() } else { pair.rtcp.as_raw_fd() })
    }

    /// How many datagrams were read into the front of `self.datagrams`: one at most.
    fn read_one(&mut self, fd: RawFd) -> usize {
        let (Some(datagram), Some(name)) = (self.datagrams.first_mut(), self.names.first_mut()) else { return 0 };
        let mut name_len = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: buffer and name live through the call, are as long as is told and nobody else's.
        let len = unsafe {
            let (buffer, name) = (datagram.bytes.as_mut_ptr().cast(), std::ptr::from_mut(name).cast());
            libc::recvfrom(fd, buffer, DATAGRAM_MAX, libc::MSG_DONTWAIT, name, &mut name_len)
        };
        let Ok(len) = usize::try_from(len) else { return 0 };
        (datagram.source, datagram.len) = (read_address(name), len.min(DATAGRAM_MAX));
        1
    }

    /// How many datagrams were read into the front of `self.datagrams`.
    fn read_many(&mut self, fd: RawFd) -> usize {
        // SAFETY: zeroed is a valid value of these plain structures.
        let mut pieces: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for (((datagram, name), piece), message) in
            self.datagrams.iter_mut().zip(self.names.iter_mut()).zip(&mut pieces).zip(&mut messages)
        {
            *piece = libc::iovec { iov_base: datagram.bytes.as_mut_ptr().cast(), iov_len: DATAGRAM_MAX };
            let header = &mut message.msg_hdr;
            header.msg_name = std::ptr::from_mut(name).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = std::ptr::from_mut(piece);
            header.msg_iovlen = 1;
        }
        // SAFETY: BATCH headers point to names, pieces and buffers that live through the call and are nobody else's.
        let count = unsafe {
            let none = std::ptr::null_mut();
            libc::recvmmsg(fd, messages.as_mut_ptr(), BATCH as libc::c_uint, libc::MSG_DONTWAIT, none)
        };
        let count = usize::try_from(count).unwrap_or(0);
        for ((datagram, name), message) in self.datagrams.iter_mut().zip(self.names.iter()).zip(&messages).take(count) {
            datagram.source = read_address(name);
            datagram.len = (message.msg_len as usize).min(DATAGRAM_MAX);
        }
        count
    }
}

impl PacketIo for Portable {
    fn adopt(&mut self, port: u32, pair: Pair) -> io::Result<()> {
        self.epoll.add(pair.rtp.as_raw_fd(), token(port, Socket::Rtp))?;
        self.epoll.add(pair.rtcp.as_raw_fd(), token(port, Socket::Rtcp))?;
        let slots = port as usize + 1;
        if self.pairs.len() < slots {
            self.pairs.resize_with(slots, || None);
        }
        if let Some(slot) = self.pairs.get_mut(port as usize) {
            *slot = Some(pair);
        }
        Ok(())
    }

    fn retire(&mut self, port: u32) {
        // Closing the last descriptor of a socket takes it out of the epoll set.
        if let Some(slot) = self.pairs.get_mut(port as usize) {
            *slot = None;
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.next = 0;
        self.epoll.wait(timeout)
    }

    fn receive(&mut self) -> Option<Batch<'_>> {
        loop {
            let ready = self.epoll.get(self.next)?;
            self.next += 1;
            if ready.token == WAKE {
                self.waker.clear();
                continue;
            }
            let port = (ready.token >> 1) as u32;
            let socket = if ready.token & 1 == 0 { Socket::Rtp } else { Socket::Rtcp };
            let Some(fd) = self.fd(port, socket) else { continue };
            let behind = self.epoll.len() > READY_BEHIND;
            let count = if behind { self.read_many(fd) } else { self.read_one(fd) };
            if count > 0 {
                return Some(Batch { port, socket, datagrams: self.datagrams.get_mut(..count)? });
            }
        }
    }

    fn send(&mut self, out: &mut Outbox) {
        let mut rest = out.packets.as_slice();
        while let Some(first) = rest.first() {
            let run =
                rest.iter().take(SEND_BATCH).take_while(|p| p.port == first.port && p.socket == first.socket).count();
            let (batch, after) = rest.split_at(run);
            let sent = match self.fd(first.port, first.socket) {
                Some(fd) if run == 1 => send_one(fd, first, &out.bytes),
                Some(fd) => send_many(fd, batch, &out.bytes),
                None => 0,
            };
            self.unsent += (run - sent) as u64;
            rest = after;
        }
        out.clear();
    }

    fn unsent(&self) -> u64 {
        self.unsent
    }
}

fn send_one(fd: RawFd, packet: &Packet, bytes: &[u8]) -> usize {
    // SAFETY: zeroed is a valid value.
    let mut name: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let len = write_address(&mut name, packet.to);
    let Some(bytes) = bytes.get(packet.start..packet.end) else { return 0 };
    // SAFETY: bytes and name live through the call; the kernel only reads them.
    let sent = unsafe {
        let name = (&raw const name).cast();
        libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT, name, len)
    };
    usize::from(sent >= 0)
}

/// At most [`SEND_BATCH`] packets of one socket; how many were sent.
fn send_many(fd: RawFd, packets: &[Packet], bytes: &[u8]) -> usize {
    // SAFETY: zeroed is a valid value of these plain structures.
    let mut names: [libc::sockaddr_storage; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut pieces: [libc::iovec; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut messages: [libc::mmsghdr; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut count = 0;
    for (((packet, name), piece), message) in packets.iter().zip(&mut names).zip(&mut pieces).zip(&mut messages) {
        let Some(bytes) = bytes.get(packet.start..packet.end) else { break };
        *piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let header = &mut message.msg_hdr;
        header.msg_namelen = write_address(name, packet.to);
        header.msg_name = std::ptr::from_mut(name).cast();
        header.msg_iov = std::ptr::from_mut(piece);
        header.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: `count` headers point to names, pieces and bytes that live through the call; the kernel only reads them.
    let sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    usize::try_from(sent).unwrap_or(0)
}

/// For tests: packets are put in and taken out by hand, nothing waits.
#[derive(Default)]
pub struct Simulated {
    incoming: VecDeque<(u32, Socket, SocketAddr, Vec<u8>)>,
    datagrams: Vec<Datagram>,
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
    fn adopt(&mut self, _: u32, _: Pair) -> io::Result<()> {
        Ok(())
    }

    fn retire(&mut self, _: u32) {}

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self) -> Option<Batch<'_>> {
        let (port, socket, source, bytes) = self.incoming.pop_front()?;
        if self.datagrams.is_empty() {
            self.datagrams.push(Datagram::new());
        }
        let datagram = self.datagrams.first_mut()?;
        datagram.len = bytes.len().min(DATAGRAM_MAX);
        datagram.source = Some(source);
        for (to, from) in datagram.bytes.iter_mut().zip(&bytes) {
            *to = *from;
        }
        Some(Batch { port, socket, datagrams: &mut self.datagrams })
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
