//! Nonblocking UDP sockets under level-triggered epoll: what every Linux has.

use super::io::{DATAGRAM_MAX, Incoming, Outbox, Packet, PacketIo, Pair};
use super::pace::Gather;
use crate::media::shard::Socket;
use crate::shell::net::{Epoll, Waker, read_address, write_address};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Datagrams taken from one socket at a time; the others get their turn in between.
const BATCH: usize = 8;
/// Sockets told ready by one wait.
const READY_MAX: usize = 128;
/// With so many ready the thread is behind, and each may hold several packets. With fewer, each holds one nearly always, and
/// asking for a second would cost as much as the next wait does for the few that have one.
const READY_BEHIND: usize = READY_MAX / 2;
/// Packets that one call sends from one socket.
const SEND_BATCH: usize = 16;
const WAKE: u64 = u64::MAX;

/// One packet with its source.
struct Datagram {
    source: Option<SocketAddr>,
    len: usize,
    bytes: Box<[u8; DATAGRAM_MAX]>,
}

impl Datagram {
    fn new() -> Datagram {
        Datagram { source: None, len: 0, bytes: Box::new([0; DATAGRAM_MAX]) }
    }
}

/// See the module's documentation.
pub struct Portable {
    epoll: Epoll,
    waker: Waker,
    pairs: Vec<Option<Pair>>,
    /// Which of the ready sockets is next.
    next: usize,
    datagrams: Vec<Datagram>,
    /// Of `datagrams`: where they came to, how many hold a packet and how many of them were taken.
    held: (u32, Socket, usize, usize),
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
        Ok(Portable {
            epoll,
            waker,
            pairs: Vec::new(),
            next: 0,
            datagrams,
            held: (0, Socket::Rtp, 0, 0),
            names,
            unsent: 0,
        })
    }

    fn fd(&self, port: u32, socket: Socket) -> Option<RawFd> {
        Some(self.pairs.get(port as usize)?.as_ref()?.fd(socket))
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

impl Portable {
    /// Reads from the next ready socket that holds something.
    fn refill(&mut self) -> bool {
        while let Some(ready) = self.epoll.get(self.next) {
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
                self.held = (port, socket, count, 0);
                return true;
            }
        }
        false
    }
}

impl PacketIo for Portable {
    const GATHERS: bool = false;

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

    fn wait(&mut self, timeout: Option<Duration>, gather: Gather) -> io::Result<()> {
        self.next = 0;
        let rest = timeout.map_or(gather.rest, |t| gather.rest.min(t));
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
        self.epoll.wait(timeout.map(|t| t - rest))
    }

    fn receive(&mut self) -> Option<Incoming<'_>> {
        let (port, socket, count, taken) = self.held;
        if taken >= count && !self.refill() {
            return None;
        }
        let (port, socket, taken) = if taken < count { (port, socket, taken) } else { (self.held.0, self.held.1, 0) };
        self.held.3 = taken + 1;
        let datagram = self.datagrams.get_mut(taken)?;
        let bytes = datagram.bytes.get_mut(..datagram.len)?;
        Some(Incoming { port, socket, source: datagram.source?, stamp: None, bytes })
    }

    fn send(&mut self, out: &mut Outbox) {
        let mut rest = out.packets();
        while let Some(first) = rest.first() {
            let run =
                rest.iter().take(SEND_BATCH).take_while(|p| p.port == first.port && p.socket == first.socket).count();
            let (batch, after) = rest.split_at(run);
            let sent = match self.fd(first.port, first.socket) {
                Some(fd) if run == 1 => send_one(fd, first, out),
                Some(fd) => send_many(fd, batch, out),
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

fn send_one(fd: RawFd, packet: &Packet, out: &Outbox) -> usize {
    // SAFETY: zeroed is a valid value.
    let mut name: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let len = write_address(&mut name, packet.to);
    let bytes = out.bytes(packet);
    // SAFETY: bytes and name live through the call; the kernel only reads them.
    let sent = unsafe {
        let name = (&raw const name).cast();
        libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT, name, len)
    };
    usize::from(sent >= 0)
}

/// At most [`SEND_BATCH`] packets of one socket; how many were sent.
fn send_many(fd: RawFd, packets: &[Packet], out: &Outbox) -> usize {
    // SAFETY: zeroed is a valid value of these plain structures.
    let mut names: [libc::sockaddr_storage; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut pieces: [libc::iovec; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut messages: [libc::mmsghdr; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut count = 0;
    for (((packet, name), piece), message) in packets.iter().zip(&mut names).zip(&mut pieces).zip(&mut messages) {
        let bytes = out.bytes(packet);
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
