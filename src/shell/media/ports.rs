//! The pool of RTP/RTCP port pairs: bound when first needed, kept for the next call, rested between two calls.

use super::io::Pair;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::media::command::Family;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

/// A pair is not used again for so long after a call: its peers' last packets are still coming.
pub const LINGER: Duration = Duration::from_secs(4);
/// Bound pairs that wait for the next call, a shard and a family.
const RESTING_MAX: usize = 2_048;
/// What a socket may hold for a shard that is late: some hundred packets.
const SOCKET_BUFFER: usize = 256 << 10;
/// Expedited forwarding, DSCP 46, in the upper six bits (RFC 4594 §4.1).
const TRAFFIC_CLASS: u32 = 46 << 2;

/// A pair for one leg.
#[derive(Debug)]
pub struct Taken {
    /// The shard's slot.
    pub slot: u32,
    /// What is bound for RTP; RTCP is its port + 1.
    pub rtp: SocketAddr,
    /// The sockets, if the shard has not got them yet.
    pub fresh: Option<Pair>,
}

/// A bound pair in a shard's slot.
#[derive(Clone, Copy, Debug)]
struct Bound {
    range: usize,
    /// The pair's place in its range.
    pair: usize,
}

/// One address with its pairs.
#[derive(Debug)]
struct Range {
    address: IpAddr,
    first: u16,
    /// When each pair may be bound again; `None` while it is bound.
    free: Vec<Option<Instant>>,
    /// Where the search goes on.
    next: usize,
}

#[derive(Debug, Default)]
struct ShardSlots {
    slots: Vec<Option<Bound>>,
    unused: Vec<u32>,
    /// By range: bound pairs that no leg uses, and since when.
    resting: Vec<VecDeque<(u32, Instant)>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct PortPool {
    ranges: Vec<Range>,
    shards: Vec<ShardSlots>,
    resting_max: usize,
}

impl PortPool {
    /// `ports` is inclusive; RTP takes the even ones whose odd neighbour is in it too. The search starts anywhere, so that
    /// ports are hard to guess.
    pub fn new(addresses: &[IpAddr], ports: (u16, u16), shards: usize, rng: &mut Rng) -> PortPool {
        let first = ports.0.max(1).next_multiple_of(2);
        let pairs = (usize::from(ports.1) + 1).saturating_sub(usize::from(first)) / 2;
        let range = |address: &IpAddr| Range {
            address: *address,
            first,
            free: vec![Some(Instant::ZERO); pairs],
            next: rng.below(pairs as u64) as usize,
        };
        let ranges: Vec<Range> = addresses.iter().map(range).collect();
        let slots = || ShardSlots { resting: vec![VecDeque::new(); ranges.len()], ..ShardSlots::default() };
        let shards = (0..shards).map(|_| slots()).collect::<Vec<_>>();
        // Where shards share the range, what rests at one is of no use to the others.
        let share = if shards.len() > 1 { pairs / (2 * shards.len()) } else { pairs };
        let resting_max = RESTING_MAX.min(share);
        PortPool { ranges, shards, resting_max }
    }

    /// A pair for a leg of `shard`: one that has rested, else a new one, else, if none is left, one that still rests.
    pub fn take(&mut self, now: Instant, family: Family, shard: usize) -> Result<Taken, &'static str> {
        let wanted = |r: &Range| r.address.is_ipv4() == (family == Family::V4);
        let range = self.ranges.iter().position(wanted).ok_or("no media address of this family")?;
        if let Some(taken) = self.rested(shard, range, |since| now.since(since) >= LINGER) {
            return Ok(taken);
        }
        if let Some(taken) = self.bind(now, shard, range) {
            return Ok(taken);
        }
        if let Some(taken) = self.rested(shard, range, |_| true) {
            return Ok(taken);
        }
        self.bind(Instant::from_micros(u64::MAX), shard, range).ok_or("no media port is free")
    }

    fn rested(&mut self, shard: usize, range: usize, enough: impl Fn(Instant) -> bool) -> Option<Taken> {
        let own = self.shards.get_mut(shard)?;
        let resting = own.resting.get_mut(range)?;
        let (slot, _) = resting.pop_front_if(|(_, since)| enough(*since))?;
        let bound = (*own.slots.get(slot as usize)?)?;
        Some(Taken { slot, rtp: self.ranges.get(bound.range)?.rtp(bound.pair), fresh: None })
    }

    fn bind(&mut self, now: Instant, shard: usize, range: usize) -> Option<Taken> {
        let (slots, own) = (self.shards.get_mut(shard)?, self.ranges.get_mut(range)?);
        let (pair, sockets) = own.bind(now)?;
        let bound = Some(Bound { range, pair });
        let slot = match slots.unused.pop() {
            Some(slot) => slot,
            None => {
                slots.slots.push(None);
                (slots.slots.len() - 1) as u32
            }
        };
        *slots.slots.get_mut(slot as usize)? = bound;
        Some(Taken { slot, rtp: own.rtp(pair), fresh: Some(sockets) })
    }

    /// A leg has left its pair. Returns a slot whose sockets the shard shall close, if too many rest; [`PortPool::retired`]
    /// is called when it has.
    #[must_use]
    pub fn rest(&mut self, now: Instant, shard: usize, slot: u32) -> Option<u32> {
        let own = self.shards.get_mut(shard)?;
        let bound = (*own.slots.get(slot as usize)?)?;
        let resting = own.resting.get_mut(bound.range)?;
        resting.push_back((slot, now));
        if resting.len() > self.resting_max { resting.pop_front().map(|(slot, _)| slot) } else { None }
    }

    /// The shard has closed the sockets of a slot.
    pub fn retired(&mut self, now: Instant, shard: usize, slot: u32) {
        let Some(own) = self.shards.get_mut(shard) else { return };
        let Some(bound) = own.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        own.unused.push(slot);
        let range = self.ranges.get_mut(bound.range);
        if let Some(free) = range.and_then(|r| r.free.get_mut(bound.pair)) {
            *free = Some(now + LINGER);
        }
    }

    /// Pairs that are bound, whether a leg uses them or not.
    pub fn bound(&self) -> usize {
        self.ranges.iter().map(|r| r.free.iter().filter(|f| f.is_none()).count()).sum()
    }

    /// Pairs that rest, bound, between two legs.
    pub fn resting(&self) -> usize {
        self.shards.iter().flat_map(|s| &s.resting).map(VecDeque::len).sum()
    }
}

impl Range {
    fn rtp(&self, pair: usize) -> SocketAddr {
        SocketAddr::new(self.address, self.first + 2 * pair as u16)
    }

    /// Binds the next pair that may be bound and that nobody else on this machine has.
    fn bind(&mut self, now: Instant) -> Option<(usize, Pair)> {
        for _ in 0..self.free.len() {
            let pair = self.next;
            self.next = (pair + 1) % self.free.len();
            if !self.free.get(pair).is_some_and(|f| f.is_some_and(|at| at <= now)) {
                continue;
            }
            let rtp = self.rtp(pair);
            let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
            if let (Ok(rtp), Ok(rtcp)) = (socket(rtp), socket(rtcp)) {
                *self.free.get_mut(pair)? = None;
                return Some((pair, Pair { rtp, rtcp }));
            }
        }
        None
    }
}

fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // A kernel that refuses larger buffers or the traffic class still carries the call.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        let _ = socket.set_tclass_v6(TRAFFIC_CLASS);
    } else {
        let _ = socket.set_tos_v4(TRAFFIC_CLASS);
    }
    stamp_packets(&socket);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Each packet is to tell when it came. It need not: then the moment at which it was taken is.
pub fn stamp_packets(socket: &impl AsRawFd) {
    let on: libc::c_int = 1;
    let len = std::mem::size_of_val(&on) as libc::socklen_t;
    // SAFETY: `on` lives through the call and is as long as is told.
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const on).cast(), len)
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// A loopback address that no other run of these tests on this machine has, so that its ports are free.
    fn own_address() -> IpAddr {
        let pid = std::process::id();
        Ipv4Addr::new(127, 101 + (pid >> 16) as u8 % 100, (pid >> 8) as u8, pid as u8).into()
    }

    fn pool(ports: (u16, u16)) -> PortPool {
        PortPool::new(&[own_address()], ports, 1, &mut Rng::from_seed(1))
    }

    #[test]
    fn pairs_are_even_and_odd_and_all_are_found() {
        for (ports, expected) in [
            ((40_001, 40_009), vec![40_002, 40_004, 40_006, 40_008]),
            ((40_000, 40_000), vec![]),
            ((65_534, 65_535), vec![65_534]),
        ] {
            let mut pool = pool(ports);
            let mut taken: Vec<Taken> = Vec::new();
            while let Ok(t) = pool.take(at(0), Family::V4, 0) {
                taken.push(t);
            }
            let mut found: Vec<u16> = taken.iter().map(|t| t.rtp.port()).collect();
            found.sort_unstable();
            assert_eq!(found, expected);
            assert!(taken.iter().all(|t| t.fresh.is_some()));
            assert_eq!(pool.take(at(0), Family::V6, 0).unwrap_err(), "no media address of this family");
        }
    }

    #[test]
    fn a_pair_rests_before_it_is_used_again_unless_none_is_left() {
        let mut pool = pool((40_100, 40_107));
        let mut taken: Vec<Taken> = (0..3).map(|_| pool.take(at(0), Family::V4, 0).unwrap()).collect();
        let first = taken.remove(0);
        assert_eq!(pool.rest(at(1_000), 0, first.slot), None);
        let fourth = pool.take(at(2_000), Family::V4, 0).unwrap();
        assert!(fourth.rtp != first.rtp && fourth.fresh.is_some());
        let reused = pool.take(at(2_001), Family::V4, 0).unwrap();
        assert!(reused.rtp == first.rtp && reused.fresh.is_none() && reused.slot == first.slot, "none is left");
        assert!(pool.take(at(2_002), Family::V4, 0).is_err());
        assert_eq!(pool.rest(at(3_000), 0, reused.slot), None);
        assert_eq!(pool.take(at(7_000), Family::V4, 0).unwrap().rtp, first.rtp, "it has rested");
    }

    #[test]
    fn what_rests_is_bounded_and_a_closed_pair_comes_back() {
        let mut pool = PortPool::new(&[own_address()], (40_200, 40_207), 2, &mut Rng::from_seed(1));
        assert_eq!(pool.resting_max, 1);
        pool.resting_max = 2;
        let taken: Vec<Taken> = (0..4).map(|_| pool.take(at(0), Family::V4, 0).unwrap()).collect();
        assert_eq!(pool.rest(at(1), 0, taken[0].slot), None);
        assert_eq!(pool.rest(at(1), 0, taken[1].slot), None);
        assert_eq!(pool.rest(at(1), 0, taken[2].slot), Some(taken[0].slot), "half of the pairs may rest");
        assert_eq!((pool.bound(), pool.resting()), (4, 2));
        let rtp = taken[0].rtp;
        drop(taken);
        pool.retired(at(2), 0, 0);
        assert_eq!(pool.bound(), 3);
        let again: Vec<Taken> = (0..3).map(|_| pool.take(at(3), Family::V4, 0).unwrap()).collect();
        assert_eq!((again[2].rtp, again[2].slot, again[2].fresh.is_some()), (rtp, 0, true), "rested ones come first");
    }
}
