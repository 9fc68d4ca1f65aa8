//! The network: datagrams that get lost, doubled and overtaken; streams that break; NATs that rebind.

use std::net::SocketAddr;
use tandem::base::rng::Rng;
use tandem::base::time::{Duration, Instant};
use tandem::sip::transport::{Flow, ListenerId};

pub enum Way {
    Datagram,
}

#[derive(Clone, Copy, Debug)]
pub struct Conn {
    pub id: u64,
    pub node: usize,
    pub epoch: u32,
    pub party: usize,
    pub peer: SocketAddr,
    pub listener: ListenerId,
    alive: bool,
    last_in: Instant,
    last_out: Instant,
}

#[derive(Default)]
pub struct Net {
    pub delay_us: u64,
    pub jitter_us: u64,
    /// Per mille.
    pub loss: u32,
    pub twice: u32,
    pub late: u32,
    /// Public addresses by party, the present one last (RFC 4787 §4.1: a mapping that timed out gets a new port).
    publics: Vec<Vec<SocketAddr>>,
    /// Accepts streams at its local address.
    reachable: Vec<bool>,
    conns: Vec<Conn>,
}

impl Net {
    pub fn join(&mut self, public: SocketAddr, reachable: bool) {
        self.publics.push(vec![public]);
        self.reachable.push(reachable);
    }

    pub fn public(&self, party: usize) -> SocketAddr {
        self.publics[party][self.publics[party].len() - 1]
    }

    /// Who has, or had, this address.
    pub fn party_at(&self, address: SocketAddr) -> Option<usize> {
        let by_stream = || self.conns.iter().find(|c| c.peer == address).map(|c| c.party);
        self.publics.iter().position(|list| list.contains(&address)).or_else(by_stream)
    }

    pub fn rebind(&mut self, party: usize) {
        let mut next = self.public(party);
        next.set_port(next.port() + 1);
        self.publics[party].push(next);
    }

    /// The delays of each copy that arrives: none, one or two.
    pub fn transit(&self, rng: &mut Rng, _way: Way) -> Vec<Duration> {
        let copies = if rng.chance(self.loss) { 0 } else { 1 + usize::from(rng.chance(self.twice)) };
        (0..copies)
            .map(|_| {
                let late = if rng.chance(self.late) { rng.below(200_000) } else { 0 };
                Duration::from_micros(self.delay_us + rng.below(self.jitter_us + 1) + late)
            })
            .collect()
    }

    pub fn is_alive(&self, id: u64) -> bool {
        self.conns.iter().any(|c| c.id == id && c.alive)
    }

    fn add(&mut self, node: usize, epoch: u32, party: usize, peer: SocketAddr, listener: ListenerId) -> Conn {
        let zero = Instant::ZERO;
        let id = self.conns.len() as u64 + 1;
        let conn = Conn { id, node, epoch, party, peer, listener, alive: true, last_in: zero, last_out: zero };
        self.conns.push(conn);
        conn
    }

    /// The stream on which a party sends: its newest live one, or a new one from a new port.
    pub fn inbound(&mut self, node: usize, epoch: u32, party: usize, listener: ListenerId) -> Conn {
        match self.conns.iter().rev().find(|c| c.alive && c.party == party && c.node == node && c.epoch == epoch) {
            Some(conn) => *conn,
            None => {
                let mut peer = self.public(party);
                peer.set_port(40_000 + self.conns.len() as u16);
                self.add(node, epoch, party, peer, listener)
            }
        }
    }

    /// The stream that the switch means; `None` if it is gone and cannot be opened.
    pub fn outbound(&mut self, node: usize, epoch: u32, party: usize, flow: &Flow) -> Option<u64> {
        if flow.connection > 0 {
            return Some(flow.connection).filter(|id| self.is_alive(*id));
        }
        let open = self.conns.iter().rev().find(|c| c.alive && c.node == node && c.peer == flow.peer);
        match open {
            Some(conn) => Some(conn.id),
            None if self.reachable[party] && self.public(party) == flow.peer => {
                Some(self.add(node, epoch, party, flow.peer, flow.listener).id)
            }
            None => None,
        }
    }

    /// A stream keeps order: nothing arrives before what was sent earlier.
    pub fn stream_delay(&mut self, rng: &mut Rng, now: Instant, id: u64, inwards: bool) -> Duration {
        let delay = Duration::from_micros(self.delay_us + rng.below(self.jitter_us + 1));
        let Some(conn) = self.conns.iter_mut().find(|c| c.id == id) else { return delay };
        let last = if inwards { &mut conn.last_in } else { &mut conn.last_out };
        *last = (now + delay).max(*last + Duration::from_micros(1));
        last.since(now)
    }

    pub fn close(&mut self, id: u64) -> Option<usize> {
        let conn = self.conns.iter_mut().find(|c| c.id == id && c.alive)?;
        conn.alive = false;
        Some(conn.party)
    }

    /// Breaks all streams, or those of one node.
    pub fn break_streams(&mut self, node: Option<usize>) -> Vec<(usize, Conn)> {
        let broken = self.conns.iter_mut().filter(|c| c.alive && node.is_none_or(|n| n == c.node));
        broken
            .map(|c| {
                c.alive = false;
                (c.party, *c)
            })
            .collect()
    }
}
