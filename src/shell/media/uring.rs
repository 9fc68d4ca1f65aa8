//! io_uring: every socket has one standing receive, what a turn sends goes to the kernel in one call together with the next
//! wait, whatever the sockets.
//!
//! Needs Linux 6.1 (deferred task work, multishot receive with the source's address). [`Uring::new`] fails where the kernel or
//! a container's filter refuses it; [`super::portable`] stands in then.

use super::buffers::{BUFFER, BUFFERS, Buffers, NAME, PACKET, STAMP};
use super::flow::{FlowSocket, Steady};
use super::io::{Incoming, Outbox, Packet, PacketIo, Pair};
use super::pace::Gather;
use crate::media::shard::Socket;
use crate::shell::net::{Waker, raise_open_files, write_address};
use codecs::cache::fetch;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// Requests handed over by one call.
const SUBMISSIONS: u32 = 256;
/// What may have come before it is looked at; the kernel keeps what is beyond.
const COMPLETIONS: u32 = 4_096;
const GROUP: u16 = 0;
/// Sockets that a shard may have: three for each port pair there is.
const FILES: u64 = 98_304;
/// Flows that may be opened between two waits: each takes some 15 µs.
const FLOWS_A_TURN: u32 = 4;
/// A socket whose receive failed is tried again after so long.
const FAULT_PAUSE: Duration = Duration::from_millis(20);
/// Completions taken out of the ring at once.
const CAME_MAX: usize = 256;
/// So many packets end a rest before its time.
const GATHERED: u32 = 64;

/// What a completion is about, in the upper bits of its user data; below stand the slot's generation and the socket.
const KIND: u64 = 3 << 62;
const RECEIVE: u64 = 0;
const SEND: u64 = 1 << 62;
const WAKE: u64 = 2 << 62;
const CANCEL: u64 = 3 << 62;

/// `struct io_uring_getevents_arg` of Linux 6.12.
#[repr(C)]
struct WaitFor {
    sigmask: u64,
    sigmask_size: u32,
    min_wait_us: u32,
    timeout: u64,
}

/// A slot's sockets. A generation tells receives from those of earlier sockets in the same place.
#[derive(Default)]
struct Slot {
    pair: Option<Pair>,
    generation: u16,
    flow: Option<FlowSocket>,
    flow_generation: u16,
    steady: Steady,
}

/// Which of a slot's sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lane {
    Rtp,
    Rtcp,
    /// RTP of the peer that the port is connected to.
    Flow,
}

/// A packet that came: where to and from, and where it lies in which buffer.
struct Found {
    port: u32,
    socket: Socket,
    source: SocketAddr,
    id: u16,
    start: usize,
    end: usize,
}

const LANES: [Lane; 3] = [Lane::Rtp, Lane::Rtcp, Lane::Flow];

/// See the module's documentation.
pub struct Uring {
    ring: IoUring,
    /// Begun by the thread that uses it: only that thread may submit.
    begun: bool,
    /// The kernel can rest until packets have gathered (Linux 6.12).
    can_rest: bool,
    waker: Waker,
    slots: Vec<Slot>,
    /// Sockets whose receive has ended and must stand again, and until when that waits after a fault.
    idle: Vec<(u32, Lane)>,
    idle_until: Option<Instant>,
    /// Flows that may still be opened before the next wait.
    flows_left: u32,
    /// The waker must be watched again.
    unwatched: bool,
    /// Completions that have been taken out of the ring, to see what comes.
    came: VecDeque<cqueue::Entry>,
    buffers: Buffers,
    /// The buffer of the packet that was given out last.
    lent: Option<u16>,
    /// What every receive asks for: room for an address. The kernel reads it when a receive begins.
    wanted: Box<libc::msghdr>,
    /// What is being sent, and its addresses: the kernel reads them until it has taken every request.
    flying: Outbox,
    names: Vec<libc::sockaddr_storage>,
    /// Flows of what is made here that have been opened or closed since they were asked for.
    news: VecDeque<(u32, Option<SocketAddr>)>,
    unsent: u64,
}

// SAFETY: `wanted` holds no pointer that is followed (its lengths only count); the ring is used by one thread at a time.
unsafe impl Send for Uring {}

impl Uring {
    /// `waker` ends a wait from another thread.
    pub fn new(waker: Waker) -> io::Result<Uring> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_r_disabled()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let parameters = ring.params();
        if !parameters.is_feature_skip_cqe_on_success() || !parameters.is_feature_ext_arg() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let can_rest = parameters.is_feature_min_timeout();
        let buffers = Buffers::new()?;
        // SAFETY: the mapping lives until after the ring (the order of the fields).
        unsafe {
            let places = buffers.ring();
            ring.submitter().register_buf_ring_with_flags(places, BUFFERS, GROUP, 0)?;
        }
        // A socket in the ring's own table is not looked up, held and let go for each packet.
        ring.submitter().register_files_sparse(FILES.min(raise_open_files()) as u32)?;
        // SAFETY: zeroed is a valid value.
        let mut wanted: Box<libc::msghdr> = Box::new(unsafe { mem::zeroed() });
        wanted.msg_namelen = NAME as libc::socklen_t;
        wanted.msg_controllen = STAMP;
        let (slots, idle) = (Vec::new(), Vec::with_capacity(64));
        let names = Vec::with_capacity(SUBMISSIONS as usize);
        let (flying, lent) = (Outbox::default(), None);
        Ok(Uring {
            ring,
            begun: false,
            can_rest,
            waker,
            slots,
            idle,
            idle_until: None,
            flows_left: FLOWS_A_TURN,
            unwatched: false,
            came: VecDeque::with_capacity(CAME_MAX),
            buffers,
            lent,
            wanted,
            flying,
            names,
            news: VecDeque::with_capacity(FLOWS_A_TURN as usize * 2),
            unsent: 0,
        })
    }

    fn begin(&mut self) -> io::Result<()> {
        if !mem::replace(&mut self.begun, true) {
            self.ring.submitter().register_enable_rings()?;
            self.ring.submitter().register_ring_fd()?;
            self.watch_waker();
        }
        Ok(())
    }

    fn watch_waker(&mut self) {
        let poll = opcode::PollAdd::new(types::Fd(self.waker.fd()), libc::POLLIN as u32).multi(true);
        self.unwatched = !self.push(&poll.build().user_data(WAKE));
    }

    /// Of a socket that is there.
    fn generation(&self, port: u32, lane: Lane) -> Option<u16> {
        let slot = self.slots.get(port as usize)?;
        match lane {
            Lane::Flow => slot.flow.is_some().then_some(slot.flow_generation),
            _ => slot.pair.is_some().then_some(slot.generation),
        }
    }

    /// The peer of a flow whose packets come without their source and moment.
    fn only_peer(&self, port: u32, lane: Lane) -> Option<SocketAddr> {
        let flow = self.slots.get(port as usize)?.flow.as_ref()?;
        (lane == Lane::Flow && flow.relays).then_some(flow.peer)
    }

    /// Puts up a socket's receive.
    fn listen(&mut self, port: u32, lane: Lane) {
        let Some(generation) = self.generation(port, lane) else { return };
        let entry = match self.only_peer(port, lane) {
            Some(_) => opcode::RecvMulti::new(fixed(port, lane), GROUP).build(),
            None => opcode::RecvMsgMulti::new(fixed(port, lane), &raw const *self.wanted, GROUP).build(),
        };
        if !self.push(&entry.user_data(RECEIVE | token(port, lane, generation))) {
            self.idle.push((port, lane));
            self.idle_until = Some(Instant::now() + FAULT_PAUSE);
        }
    }

    /// Puts up again what has ended, unless a fault is too fresh; by how long a wait is to be shortened for it.
    fn listen_again(&mut self) -> Option<Duration> {
        if self.unwatched {
            self.watch_waker();
        }
        if let Some(left) = self.idle_until.map(|at| at.saturating_duration_since(Instant::now())) {
            if !left.is_zero() {
                return Some(left);
            }
            self.idle_until = None;
        }
        for _ in 0..self.idle.len() {
            let Some((port, lane)) = self.idle.pop() else { break };
            self.listen(port, lane);
            if self.idle_until.is_some() {
                break;
            }
        }
        None
    }

    /// Queues a request; hands over what is queued where there is no room. `false`: the kernel takes none now.
    fn push(&mut self, entry: &squeue::Entry) -> bool {
        for _ in 0..2 {
            // SAFETY: what the request points to lives until it is handed over: `wanted` as long as the ring, `flying` and
            // `names` until `land`.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return true;
            }
            let _ = self.ring.submit();
        }
        false
    }

    /// Frees what has been sent, if the kernel has taken every request.
    fn land(&mut self) -> bool {
        let taken = self.ring.submission().is_empty();
        if taken {
            self.flying.clear();
            self.names.clear();
        }
        taken
    }

    /// Hands over what is queued and waits for `want` completions, not less than `rest`.
    fn enter(&mut self, timeout: Option<Duration>, want: u32, rest: Duration) -> io::Result<()> {
        let ready = !self.ring.completion().is_empty();
        let spec = timeout.map(|t| types::Timespec::new().sec(t.as_secs()).nsec(t.subsec_nanos()));
        let arg = WaitFor {
            sigmask: 0,
            sigmask_size: 8,
            min_wait_us: u32::try_from(rest.as_micros()).unwrap_or(0),
            timeout: spec.as_ref().map_or(0, |s| std::ptr::from_ref(s) as u64),
        };
        let want = if ready { 0 } else { want };
        let queued = self.ring.submission().len() as u32;
        const GETEVENTS: u32 = 1;
        const EXT_ARG: u32 = 8;
        // SAFETY: `arg` and what it points to live through the call.
        let done = unsafe { self.ring.submitter().enter(queued, want, GETEVENTS | EXT_ARG, Some(&arg)) };
        match done {
            Ok(_) => Ok(()),
            // The time is over; a signal; completions wait to be taken first.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn sleep(&mut self, timeout: Option<Duration>, gather: Gather) -> io::Result<()> {
        if gather.counts() {
            let patience = timeout.map_or(gather.patience, |t| gather.patience.min(t));
            return self.enter(Some(patience), gather.packets, Duration::ZERO);
        }
        let rest = timeout.map_or(gather.rest, |t| gather.rest.min(t));
        if rest.is_zero() {
            return self.enter(timeout, 1, rest);
        }
        if self.can_rest {
            return self.enter(timeout, GATHERED, rest);
        }
        let _ = self.ring.submit();
        std::thread::sleep(rest);
        self.enter(timeout.map(|t| t - rest), 1, Duration::ZERO)
    }

    /// Looks through the completions for the next packet.
    fn next_packet(&mut self) -> Option<Found> {
        loop {
            if self.came.is_empty() {
                self.came.extend(self.ring.completion().take(CAME_MAX));
            }
            let entry = self.came.pop_front()?;
            match entry.user_data() & KIND {
                RECEIVE => {
                    let Some((port, lane, id)) = self.received(&entry) else { continue };
                    let end = (entry.result() as usize).min(BUFFER);
                    if let Some(source) = self.only_peer(port, lane) {
                        return Some(Found { port, socket: Socket::Rtp, source, id, start: 0, end });
                    }
                    if let Some(source) = self.buffers.source(id) {
                        let socket = self.heard(port, lane, source);
                        return Some(Found { port, socket, source, id, start: PACKET, end });
                    }
                    self.buffers.give(id);
                }
                // What succeeds says nothing.
                SEND if entry.result() < 0 => {
                    self.unsent += 1;
                    let (port, lane, generation) = of_token(entry.user_data());
                    if lane == Lane::Flow && self.generation(port, lane) == Some(generation) {
                        self.close_flow(port);
                    }
                }
                WAKE => {
                    self.waker.clear();
                    if !cqueue::more(entry.flags()) {
                        self.watch_waker();
                    }
                }
                _ => {}
            }
        }
    }

    /// Which of the port's streams a packet is of.
    fn heard(&mut self, port: u32, lane: Lane, source: SocketAddr) -> Socket {
        match lane {
            Lane::Rtcp => return Socket::Rtcp,
            Lane::Flow => {}
            Lane::Rtp => self.slots.get_mut(port as usize).into_iter().for_each(|slot| slot.steady.heard(source)),
        }
        Socket::Rtp
    }

    /// A receive brought something: where it came to and the buffer, if it holds a packet of a socket that is still ours.
    fn received(&mut self, entry: &cqueue::Entry) -> Option<(u32, Lane, u16)> {
        let (port, lane, generation) = of_token(entry.user_data());
        let current = self.generation(port, lane) == Some(generation);
        if current && !cqueue::more(entry.flags()) {
            // Without a buffer it goes on as soon as there is one; whatever else fails may fail again at once.
            let failed = entry.result() < 0 && entry.result() != -libc::ENOBUFS;
            match lane {
                // Its peer's port is closed, says ICMP: the port's own socket does not hear of that.
                Lane::Flow if failed => self.close_flow(port),
                _ => self.idle.push((port, lane)),
            }
            if failed && lane != Lane::Flow {
                self.idle_until = Some(Instant::now() + FAULT_PAUSE);
            }
        }
        let id = cqueue::buffer_select(entry.flags())?;
        let least = if self.only_peer(port, lane).is_some() { 0 } else { PACKET as i32 };
        if current && entry.result() > least {
            return Some((port, lane, id));
        }
        self.buffers.give(id);
        None
    }
}

impl PacketIo for Uring {
    const GATHERS: bool = true;

    fn adopt(&mut self, port: u32, pair: Pair) -> io::Result<()> {
        self.begin()?;
        let fds = [pair.fd(Socket::Rtp), pair.fd(Socket::Rtcp), NO_FILE];
        self.ring.submitter().register_files_update(place(port, Lane::Rtp), &fds)?;
        let slots = port as usize + 1;
        if self.slots.len() < slots {
            self.slots.resize_with(slots, Slot::default);
        }
        if let Some(slot) = self.slots.get_mut(port as usize) {
            slot.pair = Some(pair);
        }
        self.listen(port, Lane::Rtp);
        self.listen(port, Lane::Rtcp);
        Ok(())
    }

    fn retire(&mut self, port: u32) {
        self.close(port, &LANES);
    }

    fn wait(&mut self, timeout: Option<Duration>, gather: Gather) -> io::Result<()> {
        self.begin()?;
        self.flows_left = FLOWS_A_TURN;
        if let Some(id) = self.lent.take() {
            self.buffers.give(id);
        }
        let timeout = match self.listen_again() {
            None => timeout,
            Some(pause) => Some(timeout.map_or(pause, |t| t.min(pause))),
        };
        self.sleep(timeout, gather)?;
        self.land();
        self.came.extend(self.ring.completion().take(CAME_MAX - self.came.len()));
        Ok(())
    }

    fn coming(&self, n: usize) -> Option<u32> {
        let entry = self.came.get(n)?;
        if entry.user_data() & KIND != RECEIVE {
            return None;
        }
        let (port, ..) = of_token(entry.user_data());
        self.slots.get(port as usize).into_iter().for_each(fetch);
        Some(port)
    }

    fn receive(&mut self) -> Option<Incoming<'_>> {
        if let Some(id) = self.lent.take() {
            self.buffers.give(id);
        }
        let Found { port, socket, source, id, start, end } = self.next_packet()?;
        self.lent = Some(id);
        let stamp = if start == PACKET { self.buffers.stamp(id) } else { None };
        let bytes = self.buffers.get(id).get_mut(start..end)?;
        Some(Incoming { port, socket, source, stamp, bytes })
    }

    fn send(&mut self, out: &mut Outbox) {
        if out.is_empty() {
            return;
        }
        if !self.flying.is_empty() {
            let _ = self.ring.submit();
            if !self.land() {
                self.unsent += out.packets().len() as u64;
                return out.clear();
            }
        }
        mem::swap(&mut self.flying, out);
        // Not moved while requests point to it.
        self.names.reserve(self.flying.packets().len());
        for i in 0..self.flying.packets().len() {
            let later = self.flying.packets().get(i + 4).and_then(|p| self.slots.get(p.port as usize));
            later.into_iter().for_each(fetch);
            let Some(packet) = self.flying.packets().get(i).copied() else { break };
            let sent = self.queue(&packet);
            self.unsent += u64::from(!sent);
        }
    }

    fn steadied(&mut self) -> Option<(u32, Option<SocketAddr>)> {
        self.news.pop_front()
    }

    fn unsent(&self) -> u64 {
        self.unsent
    }
}

impl Uring {
    fn queue(&mut self, packet: &Packet) -> bool {
        let lane = self.lane_of(packet);
        let Some(generation) = self.generation(packet.port, lane) else { return false };
        let bytes = self.flying.bytes(packet);
        let mut send =
            opcode::Send::new(fixed(packet.port, lane), bytes.as_ptr(), bytes.len() as u32).flags(libc::MSG_DONTWAIT);
        if lane != Lane::Flow {
            // SAFETY: zeroed is a valid value.
            let mut name: libc::sockaddr_storage = unsafe { mem::zeroed() };
            let name_len = write_address(&mut name, packet.to);
            self.names.push(name);
            let Some(name) = self.names.last() else { return false };
            send = send.dest_addr(std::ptr::from_ref(name).cast()).dest_addr_len(name_len);
        }
        let about = SEND | token(packet.port, lane, generation);
        let entry = send.build().flags(squeue::Flags::SKIP_SUCCESS).user_data(about);
        self.push(&entry)
    }

    /// The socket that a packet leaves by. Opens the flow that is due; closes the one to whom nothing goes any more.
    fn lane_of(&mut self, packet: &Packet) -> Lane {
        if packet.socket == Socket::Rtcp {
            return Lane::Rtcp;
        }
        let Some(slot) = self.slots.get_mut(packet.port as usize) else { return Lane::Rtp };
        let due = slot.steady.sends(packet.to, packet.relayed);
        match &slot.flow {
            Some(flow) if flow.peer == packet.to && flow.relays == packet.relayed => return Lane::Flow,
            Some(_) => self.close_flow(packet.port),
            None if due && self.flows_left > 0 => return self.open_flow(packet),
            None => {}
        }
        Lane::Rtp
    }

    fn open_flow(&mut self, packet: &Packet) -> Lane {
        let port = packet.port;
        self.flows_left -= 1;
        let Some(slot) = self.slots.get_mut(port as usize) else { return Lane::Rtp };
        slot.steady.settle();
        let Some(main) = &slot.pair else { return Lane::Rtp };
        let Ok(flow) = FlowSocket::open(main.rtp.as_fd(), packet.to, packet.relayed) else { return Lane::Rtp };
        if self.ring.submitter().register_files_update(place(port, Lane::Flow), &[flow.fd.as_raw_fd()]).is_err() {
            return Lane::Rtp;
        }
        slot.flow = Some(flow);
        if !packet.relayed {
            self.news.push_back((port, Some(packet.to)));
        }
        self.listen(port, Lane::Flow);
        Lane::Flow
    }

    /// From now on the port's own socket does all.
    fn close_flow(&mut self, port: u32) {
        self.close(port, &[Lane::Flow]);
    }

    /// Ends the receives of some of a slot's sockets and closes them.
    fn close(&mut self, port: u32, lanes: &[Lane]) {
        self.idle.retain(|(p, lane)| *p != port || !lanes.contains(lane));
        for &lane in lanes {
            if let Some(generation) = self.generation(port, lane) {
                let about = RECEIVE | token(port, lane, generation);
                self.push(&opcode::AsyncCancel::new(about).build().user_data(CANCEL));
            }
        }
        // The kernel keeps a socket open for its receive: the port is free only when that is gone, which deferred work does.
        // And what is queued to be sent from it leaves.
        let _ = self.enter(Some(Duration::ZERO), 0, Duration::ZERO);
        for &lane in lanes {
            let _ = self.ring.submitter().register_files_update(place(port, lane), &[NO_FILE]);
        }
        let Some(slot) = self.slots.get_mut(port as usize) else { return };
        if let Some(flow) = slot.flow.take() {
            if !flow.relays {
                self.news.push_back((port, None));
            }
            slot.flow_generation = slot.flow_generation.wrapping_add(1);
        }
        if lanes.contains(&Lane::Rtp) && slot.pair.take().is_some() {
            slot.generation = slot.generation.wrapping_add(1);
            slot.steady = Steady::default();
        }
    }
}

/// An empty place in the ring's table.
const NO_FILE: RawFd = -1;

/// A socket's place in the ring's table.
const fn place(port: u32, lane: Lane) -> u32 {
    port * 3 + lane as u32
}

const fn fixed(port: u32, lane: Lane) -> types::Fixed {
    types::Fixed(place(port, lane))
}

const fn token(port: u32, lane: Lane, generation: u16) -> u64 {
    (generation as u64) << 40 | (port as u64) << 2 | lane as u64
}

const fn of_token(token: u64) -> (u32, Lane, u16) {
    let lane = match token & 3 {
        0 => Lane::Rtp,
        1 => Lane::Rtcp,
        _ => Lane::Flow,
    };
    ((token >> 2) as u32, lane, (token >> 40) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;

    fn pair(address: &str) -> (Pair, SocketAddr) {
        let (rtp, rtcp) = (UdpSocket::bind((address, 0)).unwrap(), UdpSocket::bind((address, 0)).unwrap());
        let at = rtp.local_addr().unwrap();
        (Pair { rtp: OwnedFd::from(rtp), rtcp: OwnedFd::from(rtcp) }, at)
    }

    /// Every packet that comes within a second, until `count` have come.
    fn collect(io: &mut Uring, count: usize) -> Vec<(u32, SocketAddr, Vec<u8>)> {
        let mut found = Vec::new();
        for _ in 0..100 {
            io.wait(Some(Duration::from_millis(10)), Gather::NOT).unwrap();
            while let Some(packet) = io.receive() {
                found.push((packet.port, packet.source, packet.bytes.to_vec()));
            }
            if found.len() >= count {
                break;
            }
        }
        found
    }

    #[test]
    fn packets_come_with_their_source_and_leave_from_their_socket() {
        let Ok(mut io) = Uring::new(Waker::new().unwrap()) else { return println!("this system refuses io_uring") };
        for (n, address) in (0u32..).zip(["127.0.0.1", "::1"]) {
            let (sockets, at) = pair(address);
            io.adopt(n, sockets).unwrap();
            let phone = UdpSocket::bind((address, 0)).unwrap();
            phone.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            phone.send_to(&[n as u8 + 1; 172], at).unwrap();
            assert_eq!(collect(&mut io, 1), vec![(n, phone.local_addr().unwrap(), vec![n as u8 + 1; 172])]);
            let mut out = Outbox::default();
            out.push(n, Socket::Rtp, phone.local_addr().unwrap(), b"back");
            io.send(&mut out);
            io.wait(Some(Duration::ZERO), Gather::NOT).unwrap();
            let mut buffer = [0; 64];
            let (len, from) = phone.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from, out.is_empty()), (&b"back"[..], at, true));
        }
        assert_eq!(io.unsent(), 0);
    }

    /// More than there are buffers, requests and room at once; then the port is free for another.
    #[test]
    fn a_flood_is_survived_and_a_retired_port_is_free_at_once() {
        let Ok(mut io) = Uring::new(Waker::new().unwrap()) else { return println!("this system refuses io_uring") };
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut out = Outbox::default();
        let mut at = phone.local_addr().unwrap();
        for port in 0..4u32 {
            let sockets;
            (sockets, at) = pair("127.0.0.1");
            io.adopt(port, sockets).unwrap();
            for _ in 0..150 {
                phone.send_to(&[port as u8; 20], at).unwrap();
                out.push(port, Socket::Rtp, phone.local_addr().unwrap(), &[port as u8; 30]);
            }
        }
        io.send(&mut out);
        assert_eq!(collect(&mut io, 600).len(), 600, "what finds no buffer waits in its socket");
        for _ in 0..20 {
            io.retire(3);
            let again = UdpSocket::bind(at).expect("the port is free");
            let rtcp = UdpSocket::bind("127.0.0.1:0").unwrap();
            phone.send_to(b"new", at).unwrap();
            io.adopt(3, Pair { rtp: again.into(), rtcp: rtcp.into() }).unwrap();
            assert_eq!(collect(&mut io, 1).len(), 1, "the slot's new socket is heard");
        }
        assert_eq!(io.unsent(), 0);
    }

    fn phone() -> UdpSocket {
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        phone.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        phone
    }

    /// Sends from the slot to each, which answers; how many came back.
    fn talk(io: &mut Uring, at: SocketAddr, phone: &UdpSocket, packets: usize) -> usize {
        let (mut out, mut buffer) = (Outbox::default(), [0; 64]);
        (0..packets)
            .map(|_| {
                out.push(0, Socket::Rtp, phone.local_addr().unwrap(), b"to");
                io.send(&mut out);
                io.wait(Some(Duration::ZERO), Gather::NOT).unwrap();
                assert_eq!(phone.recv_from(&mut buffer).unwrap(), (2, at));
                phone.send_to(b"fro", at).unwrap();
                collect(io, 1)
                    .iter()
                    .filter(|(port, from, _)| (*port, *from) == (0, phone.local_addr().unwrap()))
                    .count()
            })
            .sum()
    }

    #[test]
    fn a_steady_peer_gets_a_socket_of_its_own_and_others_are_heard_beside_it() {
        let Ok(mut io) = Uring::new(Waker::new().unwrap()) else { return println!("this system refuses io_uring") };
        let (sockets, at) = pair("127.0.0.1");
        io.adopt(0, sockets).unwrap();
        let [first, second, stranger] = [(); 3].map(|()| phone());
        let peer = |io: &Uring| io.slots[0].flow.as_ref().map(|f| f.peer);
        assert_eq!((talk(&mut io, at, &first, 20), peer(&io)), (20, None));
        assert_eq!((talk(&mut io, at, &first, 20), peer(&io)), (20, first.local_addr().ok()));
        stranger.send_to(b"let me in", at).unwrap();
        assert_eq!(collect(&mut io, 1), vec![(0, stranger.local_addr().unwrap(), b"let me in".to_vec())]);
        assert_eq!((talk(&mut io, at, &second, 40), peer(&io)), (40, second.local_addr().ok()), "another target");
        assert_eq!((talk(&mut io, at, &first, 5), peer(&io)), (5, None), "and back");
        assert_eq!(io.unsent(), 0);
        assert_eq!((talk(&mut io, at, &first, 40), peer(&io)), (40, first.local_addr().ok()));
        // Its peer is gone: the port's own socket goes on, and hears it when it comes again.
        let gone = first.local_addr().unwrap();
        drop(first);
        let mut out = Outbox::default();
        for _ in 0..5 {
            out.push(0, Socket::Rtp, gone, b"to");
            io.send(&mut out);
            collect(&mut io, 1);
        }
        assert_eq!(peer(&io), None);
        let first = UdpSocket::bind(gone).unwrap();
        first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(talk(&mut io, at, &first, 40), 40);
        io.retire(0);
        UdpSocket::bind(at).expect("the port is free");
    }
}
