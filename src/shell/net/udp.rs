//! SIP over UDP: datagrams in and out in batches, without an allocation but each message's own.

use crate::base::time::Wall;
use crate::sip::transport::ListenerId;
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};

/// Datagrams a system call.
const BATCH: usize = 32;
const DATAGRAM_MAX: usize = 65_535;
/// Asked of the kernel for each direction; it grants up to net.core.{r,w}mem_max.
const SOCKET_BUFFER: usize = 8 << 20;
/// Datagrams that wait for a full socket buffer; more are dropped and counted, and SIP's timers repeat them.
const BACKLOG_MAX: usize = 8_192;

/// One bound UDP socket and what waits to leave through it.
pub struct Udp {
    socket: Socket,
    id: ListenerId,
    local: SocketAddr,
    outbox: VecDeque<(Bytes, SocketAddr)>,
    dropped: u64,
    /// Marks of the datagrams sent last, by which a true ICMP answer is told from a forged one.
    sent: Box<[u64; SENT_MAX]>,
    sent_next: usize,
}

/// How many datagrams back an ICMP answer is believed.
const SENT_MAX: usize = 4_096;
/// Octets of a datagram that its mark covers: enough to hold the branch, which one who does not see our packets cannot
/// guess. An ICMP answer that quotes less is not believed.
const MARKED: usize = 256;

/// A datagram's mark; 0 is no datagram's.
fn mark(peer: SocketAddr, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (peer.ip().to_canonical(), peer.port(), &bytes[..bytes.len().min(MARKED)]).hash(&mut hasher);
    hasher.finish().max(1)
}

/// What [`Udp::flush`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flushed {
    All,
    /// The socket is full: flush again when it can be written.
    Blocked,
}

impl Udp {
    pub fn bind(id: ListenerId, address: SocketAddr) -> io::Result<Udp> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        // Smaller buffers than asked for are no fault; the system's limits are the operator's.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        report_refusals(&socket, address.is_ipv4());
        stamp_arrivals(&socket);
        socket.bind(&address.into())?;
        let local = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet address"))?;
        let sent = Box::new([0; SENT_MAX]);
        Ok(Udp { socket, id, local, outbox: VecDeque::with_capacity(BATCH), dropped: 0, sent, sent_next: 0 })
    }

    pub const fn id(&self) -> ListenerId {
        self.id
    }

    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Datagrams that were dropped because [`BACKLOG_MAX`] waited already.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn backlog(&self) -> usize {
        self.outbox.len()
    }

    /// Puts a datagram into the outbox; [`Udp::flush`] sends it.
    pub fn queue(&mut self, bytes: Bytes, peer: SocketAddr) {
        if self.outbox.len() < BACKLOG_MAX {
            self.outbox.push_back((bytes, peer));
        } else {
            self.dropped += 1;
        }
    }

    /// Sends the outbox. A peer that the system refuses to send to is put into `failed`.
    pub fn flush(&mut self, failed: &mut Vec<SocketAddr>) -> Flushed {
        // A waiting ICMP error is told by the next call and belongs to an earlier datagram: such calls are repeated.
        let mut strange = 0;
        while !self.outbox.is_empty() {
            match self.send_batch() {
                Ok(sent) => {
                    for (bytes, peer) in self.outbox.drain(..sent.min(self.outbox.len())) {
                        self.sent[self.sent_next % SENT_MAX] = mark(peer, &bytes);
                        self.sent_next = self.sent_next.wrapping_add(1);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Flushed::Blocked,
                Err(e) if is_peers(&e) && strange < BATCH => strange += 1,
                Err(_) => failed.extend(self.outbox.pop_front().map(|(_, peer)| peer)),
            }
        }
        Flushed::All
    }

    fn send_batch(&self) -> io::Result<usize> {
        // SAFETY: zeroed is a valid value of these plain structures.
        let mut names: [libc::sockaddr_storage; BATCH] = unsafe { mem::zeroed() };
        let mut pieces: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let mut n = 0;
        for (i, (bytes, peer)) in self.outbox.iter().take(BATCH).enumerate() {
            let name_len = write_address(&mut names[i], *peer);
            pieces[i] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            let header = &mut messages[i].msg_hdr;
            header.msg_name = (&raw mut names[i]).cast();
            header.msg_namelen = name_len;
            header.msg_iov = &raw mut pieces[i];
            header.msg_iovlen = 1;
            n = i + 1;
        }
        // SAFETY: `n` headers point to names, pieces and datagrams that live through the call; the kernel only reads them.
        let sent = unsafe { libc::sendmmsg(self.fd(), messages.as_mut_ptr(), n as libc::c_uint, libc::MSG_DONTWAIT) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Peers of earlier datagrams that answered with ICMP "unreachable" (RFC 3261 §18.4); drains the error queue. Answers
    /// that do not quote what was sent are left out: anybody can forge them.
    pub fn refusals(&self, failed: &mut Vec<SocketAddr>) {
        for _ in 0..BATCH {
            // SAFETY: zeroed is a valid value; the pointers live through the call.
            let peer = unsafe {
                let mut name: libc::sockaddr_storage = mem::zeroed();
                let (mut data, mut control) = ([0u8; MARKED], [0u64; 32]);
                let mut piece = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
                let mut header: libc::msghdr = mem::zeroed();
                header.msg_name = (&raw mut name).cast();
                header.msg_namelen = mem::size_of_val(&name) as libc::socklen_t;
                header.msg_iov = &raw mut piece;
                header.msg_iovlen = 1;
                header.msg_control = control.as_mut_ptr().cast();
                header.msg_controllen = mem::size_of_val(&control) as _;
                let n = libc::recvmsg(self.fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT);
                let Ok(n) = usize::try_from(n) else { return };
                let quoted = &data[..n.min(MARKED)];
                read_address(&name).filter(|peer| self.sent.contains(&mark(*peer, quoted)))
            };
            failed.extend(peer.filter(|p| !failed.contains(p)));
        }
    }
}

/// Errors that an earlier datagram's ICMP answer left on the socket.
fn is_peers(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN))
}

/// IP_RECVERR: ICMP errors come with the address that they are about. Not every system has it; nothing depends on it.
fn report_refusals(socket: &Socket, v4: bool) {
    let (level, option) =
        if v4 { (libc::IPPROTO_IP, libc::IP_RECVERR) } else { (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) };
    let on: libc::c_int = 1;
    // SAFETY: four bytes are read from `on`.
    unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), 4) };
}

/// SO_TIMESTAMPNS: each datagram comes with the moment of its arrival. Without it [`Inbox::arrived`] knows nothing.
fn stamp_arrivals(socket: &Socket) {
    let on: libc::c_int = 1;
    // SAFETY: four bytes are read from `on`.
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const on).cast(), 4);
    }
}

/// The moment of arrival among what the kernel wrote beside a datagram.
fn arrival(header: &libc::msghdr) -> Option<Wall> {
    // SAFETY: the macro stays within msg_controllen, which the kernel set to what it wrote; a header that is there is whole.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        let is_time = !first.is_null()
            && (*first).cmsg_level == libc::SOL_SOCKET
            && (*first).cmsg_type == libc::SCM_TIMESTAMPNS
            && (*first).cmsg_len as usize >= libc::CMSG_LEN(mem::size_of::<libc::timespec>() as u32) as usize;
        is_time.then(|| {
            let at: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(first).cast());
            Wall(at.tv_sec.saturating_mul(1_000_000).saturating_add(at.tv_nsec / 1_000))
        })
    }
}

/// The buffers that datagrams are received into, used again and again. Pages that no datagram reached take no memory.
pub struct Inbox {
    slab: Vec<u8>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    lengths: [usize; BATCH],
    arrived: Option<Wall>,
}

impl Default for Inbox {
    fn default() -> Self {
        // SAFETY: zeroed is a valid sockaddr_storage.
        let names = Box::new(unsafe { mem::zeroed() });
        Inbox { slab: vec![0; BATCH * DATAGRAM_MAX], names, lengths: [0; BATCH], arrived: None }
    }
}

impl Inbox {
    /// Datagrams that one [`Inbox::receive`] can take.
    pub const BATCH: usize = BATCH;

    /// Takes what has come, at most [`Inbox::BATCH`] datagrams; how many. 0: nothing is left.
    pub fn receive(&mut self, udp: &Udp) -> io::Result<usize> {
        // SAFETY: zeroed is a valid value of these plain structures.
        let mut pieces: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for (i, slot) in self.slab.chunks_exact_mut(DATAGRAM_MAX).enumerate() {
            pieces[i] = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: DATAGRAM_MAX };
            let header = &mut messages[i].msg_hdr;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut pieces[i];
            header.msg_iovlen = 1;
        }
        // The first is the oldest: its arrival tells how long they have waited.
        let mut control = [0u64; 8];
        messages[0].msg_hdr.msg_control = control.as_mut_ptr().cast();
        messages[0].msg_hdr.msg_controllen = mem::size_of_val(&control) as _;
        self.arrived = None;
        // SAFETY: BATCH headers point to slots and names that live through the call, each slot its own part of the slab.
        let n = unsafe {
            libc::recvmmsg(
                udp.fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if n < 0 {
            let e = io::Error::last_os_error();
            // An ICMP error ends this call; datagrams behind it come with the next.
            let nothing =
                e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted || is_peers(&e);
            return if nothing { Ok(0) } else { Err(e) };
        }
        let n = usize::try_from(n).unwrap_or(0).min(BATCH);
        for (length, message) in self.lengths.iter_mut().zip(&messages[..n]) {
            *length = (message.msg_len as usize).min(DATAGRAM_MAX);
        }
        if n > 0 {
            self.arrived = arrival(&messages[0].msg_hdr);
        }
        Ok(n)
    }

    /// When the oldest datagram of the last [`Inbox::receive`] reached this machine, if the kernel says.
    pub const fn arrived(&self) -> Option<Wall> {
        self.arrived
    }

    /// The datagram `i` of the last [`Inbox::receive`]: a copy in its own buffer, and its source.
    pub fn datagram(&self, i: usize) -> Option<(Bytes, SocketAddr)> {
        let (length, name) = (*self.lengths.get(i)?, self.names.get(i)?);
        let slot = self.slab.get(i * DATAGRAM_MAX..i * DATAGRAM_MAX + length)?;
        Some((Bytes::copy_from_slice(slot), read_address(name)?))
    }
}

pub fn read_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let from: *const libc::sockaddr_storage = name;
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the kernel wrote; the storage is large and aligned enough for each.
            let a = unsafe { &*from.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(a.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let a = unsafe { &*from.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(a.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(a.sin6_port), 0, a.sin6_scope_id)))
        }
        _ => None,
    }
}

/// Writes `address` into `name`; the length in use.
pub fn write_address(name: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    let into: *mut libc::sockaddr_storage = name;
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is zeroed, large and aligned enough for each address structure.
            let a = unsafe { &mut *into.cast::<libc::sockaddr_in>() };
            a.sin_family = libc::AF_INET as libc::sa_family_t;
            a.sin_port = v4.port().to_be();
            a.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let a = unsafe { &mut *into.cast::<libc::sockaddr_in6>() };
            a.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            a.sin6_port = v6.port().to_be();
            a.sin6_addr.s6_addr = v6.ip().octets();
            a.sin6_scope_id = v6.scope_id();
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(udp: &Udp) {
        let mut epoll = super::super::Epoll::new(1).unwrap();
        epoll.add(udp.fd(), 0).unwrap();
        epoll.wait(Some(std::time::Duration::from_secs(5))).unwrap();
    }

    #[test]
    fn batches_cross_a_socket_pair_in_order_and_with_their_source() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(mut a) = Udp::bind(ListenerId(0), address.parse().unwrap()) else { continue };
            let b = Udp::bind(ListenerId(1), address.parse().unwrap()).unwrap();
            for i in 0..100u32 {
                a.queue(Bytes::from(i.to_string()), b.local());
            }
            assert_eq!(a.flush(&mut Vec::new()), Flushed::All);
            let (mut inbox, mut got) = (Inbox::default(), Vec::new());
            while got.len() < 100 {
                wait(&b);
                let n = inbox.receive(&b).unwrap();
                assert!(inbox.arrived().is_some_and(|at| at > Wall(0)), "no moment of arrival");
                assert!(n > 0, "only {} came", got.len());
                got.extend((0..n).filter_map(|i| inbox.datagram(i)));
            }
            assert!(got.iter().enumerate().all(|(i, (m, s))| m == i.to_string().as_bytes() && *s == a.local()));
        }
    }

    #[test]
    fn a_port_in_use_is_an_error_and_a_full_outbox_drops() {
        let mut a = Udp::bind(ListenerId(0), "127.0.0.1:0".parse().unwrap()).unwrap();
        let again = Udp::bind(ListenerId(0), a.local()).err().map(|e| e.kind());
        assert_eq!(again, Some(io::ErrorKind::AddrInUse));
        for _ in 0..BACKLOG_MAX + 3 {
            a.queue(Bytes::from_static(b"x"), a.local());
        }
        assert_eq!((a.backlog(), a.dropped()), (BACKLOG_MAX, 3));
    }

    #[test]
    fn a_closed_port_is_told() {
        let mut a = Udp::bind(ListenerId(0), "127.0.0.1:0".parse().unwrap()).unwrap();
        let closed = Udp::bind(ListenerId(1), "127.0.0.1:0".parse().unwrap()).unwrap().local();
        a.queue(Bytes::from_static(b"x"), closed);
        a.flush(&mut Vec::new());
        wait(&a);
        let mut failed = Vec::new();
        a.refusals(&mut failed);
        assert_eq!(failed, [closed]);
        // The same answer to what was not sent through this socket is not believed.
        a.queue(Bytes::from_static(b"x"), closed);
        a.flush(&mut Vec::new());
        wait(&a);
        a.sent.fill(0);
        failed.clear();
        a.refusals(&mut failed);
        assert_eq!(failed, []);
    }
}
