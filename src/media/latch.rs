//! Symmetric RTP (RFC 4961): where a peer really is, learned from its packets, and held against everybody else.
//!
//! The negotiated address is trusted at once, and its host at another port (a NAT on the peer's side of the same address). Any other
//! host has to speak alone for a while: it may be a NAT's outside, or a straggler of the port's last call, or a thief.

use crate::base::time::{Duration, Instant};
use std::net::SocketAddr;

/// After a changed remote address the source of before is not learned again for so long: its packets are still on their way.
const GRACE: Duration = Duration::from_millis(500);

/// Packets in a row, with none from the negotiated host between them, after which another host is learned.
const ALONE: u8 = 4;

/// What is to be done with a packet that parses and has a known payload type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Accept,
    /// Accept it: its source is now the peer's.
    Learned,
    /// Foreign. `first` is true once in a latch's life.
    Refuse {
        first: bool,
    },
    /// There is no peer yet: nothing is negotiated, or this may be somebody else.
    Early,
}

/// One leg's latch. While it learns, packets go to the negotiated address; once a source is learned, there, and only from there
/// are packets taken, or from the negotiated address if the peer speaks from it after all. A leg that does not learn takes packets from the negotiated address's host, whatever the port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latch {
    negotiated: Option<SocketAddr>,
    learns: bool,
    learned: Option<SocketAddr>,
    /// The source learned before the latch was opened again, and when it may be learned again.
    before: Option<(SocketAddr, Instant)>,
    /// Another host than the negotiated one, and how often it has spoken.
    candidate: Option<(SocketAddr, u8)>,
    refused: bool,
}

impl Latch {
    /// The negotiated address, and whether to learn. A changed address opens the latch again.
    pub fn set(&mut self, now: Instant, negotiated: Option<SocketAddr>, learns: bool) {
        if self.negotiated != negotiated {
            self.before = self.learned.take().filter(|l| Some(*l) != negotiated).map(|l| (l, now + GRACE));
        }
        (self.negotiated, self.learns) = (negotiated, learns);
        if !learns {
            self.learned = None;
        }
    }

    /// Judges a packet by its source.
    #[inline]
    pub fn judge(&mut self, now: Instant, source: SocketAddr) -> Verdict {
        if self.learned == Some(source) {
            return Verdict::Accept;
        }
        let Some(negotiated) = self.negotiated else { return Verdict::Early };
        if !self.learns {
            return if negotiated.ip() == source.ip() { Verdict::Accept } else { self.refuse() };
        }
        // The address that signalling named is never foreign: who was learned before may be a straggler of the port's last call.
        if self.learned.is_some() && source != negotiated {
            return self.refuse();
        }
        if self.before.is_some_and(|(before, until)| before == source && now < until) {
            return Verdict::Accept;
        }
        if source.ip() != negotiated.ip() && !self.is_alone(source) {
            return Verdict::Early;
        }
        self.candidate = None;
        self.learned = Some(source);
        Verdict::Learned
    }

    /// The source has spoken often enough with nobody else between.
    fn is_alone(&mut self, source: SocketAddr) -> bool {
        let times = self.candidate.filter(|(known, _)| *known == source).map_or(1, |(_, n)| n.saturating_add(1));
        self.candidate = Some((source, times));
        times >= ALONE
    }

    fn refuse(&mut self) -> Verdict {
        Verdict::Refuse { first: !std::mem::replace(&mut self.refused, true) }
    }

    /// Whether packets from there are taken as long as nothing else comes.
    pub fn is_settled(&self, source: SocketAddr) -> bool {
        self.learned == Some(source) || !self.learns && self.negotiated.is_some_and(|n| n.ip() == source.ip())
    }

    /// Where packets to the peer go; nowhere while it holds in the old way, by the address 0.0.0.0 (RFC 3264 §8.4).
    #[inline]
    pub fn target(&self) -> Option<SocketAddr> {
        self.negotiated?;
        self.learned.or(self.negotiated).filter(|to| !to.ip().is_unspecified() && to.port() > 0)
    }

    /// The learned source, if it is not what was negotiated: the peer stands behind a NAT.
    pub fn translated(&self) -> Option<SocketAddr> {
        self.learned.filter(|l| self.negotiated.is_some_and(|n| n != *l))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Accept, Early, Learned, Refuse};

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn the_first_source_is_learned_and_later_ones_are_refused() {
        let mut latch = Latch::default();
        assert_eq!((latch.judge(at(0), peer(1)), latch.target()), (Early, None));
        latch.set(at(0), Some(peer(4000)), true);
        assert_eq!(latch.target(), Some(peer(4000)));
        assert_eq!(latch.judge(at(1), peer(7)), Learned);
        assert_eq!((latch.target(), latch.translated()), (Some(peer(7)), Some(peer(7))));
        assert_eq!(latch.judge(at(2), peer(8)), Refuse { first: true });
        assert_eq!(latch.judge(at(4), peer(7)), Accept);
        latch.set(at(5), Some(peer(4000)), true);
        assert_eq!(latch.judge(at(6), peer(9)), Refuse { first: false }, "the same address keeps the latch");
        assert_eq!((latch.judge(at(7), peer(4000)), latch.target()), (Learned, Some(peer(4000))), "the negotiated one");
        assert_eq!(latch.judge(at(8), peer(7)), Refuse { first: false });
    }

    #[test]
    fn another_host_is_learned_only_if_it_speaks_alone() {
        let other = |host: u8| SocketAddr::from(([198, 51, 100, host], 4000));
        let mut latch = Latch::default();
        latch.set(at(0), Some(peer(4000)), true);
        for verdict in [Early, Early, Early, Learned, Accept] {
            assert_eq!(latch.judge(at(1), other(1)), verdict);
        }
        assert_eq!((latch.target(), latch.judge(at(2), other(2))), (Some(other(1)), Refuse { first: true }));
        let mut crossed = Latch::default();
        crossed.set(at(0), Some(peer(4000)), true);
        for source in [other(1), other(1), other(2), other(1), other(1), other(1)] {
            assert_eq!(crossed.judge(at(1), source), Early);
        }
        assert_eq!((crossed.judge(at(2), peer(4000)), crossed.target()), (Learned, Some(peer(4000))));
        assert_eq!(crossed.judge(at(3), other(1)), Refuse { first: true });
    }

    #[test]
    fn a_changed_address_opens_the_latch_but_not_to_stragglers() {
        let mut latch = Latch::default();
        latch.set(at(0), Some(peer(4000)), true);
        assert_eq!(latch.judge(at(1), peer(7)), Learned);
        latch.set(at(1_000), Some(peer(5000)), true);
        assert_eq!((latch.judge(at(1_001), peer(7)), latch.target()), (Accept, Some(peer(5000))));
        assert_eq!((latch.judge(at(1_002), peer(6)), latch.target()), (Learned, Some(peer(6))));
        assert_eq!(latch.judge(at(1_003), peer(7)), Refuse { first: true });
        // A peer whose NAT kept the mapping is learned again after a while.
        latch.set(at(2_000), Some(peer(4000)), true);
        assert_eq!(latch.judge(at(2_499), peer(6)), Accept);
        assert_eq!(latch.judge(at(2_500), peer(6)), Learned);
        // At once where the new address is just that source.
        latch.set(at(3_000), Some(peer(6)), true);
        assert_eq!(latch.judge(at(3_001), peer(6)), Learned);
        latch.set(at(3_500), Some(SocketAddr::from(([0, 0, 0, 0], 4000))), true);
        assert_eq!(latch.target(), None, "held in the old way");
        latch.set(at(4_000), None, true);
        assert_eq!((latch.target(), latch.judge(at(4_001), peer(6))), (None, Early));
    }

    #[test]
    fn without_learning_the_negotiated_host_is_taken_from_any_port() {
        let mut latch = Latch::default();
        latch.set(at(0), Some(peer(4000)), false);
        assert_eq!((latch.judge(at(1), peer(9)), latch.target()), (Accept, Some(peer(4000))));
        assert_eq!(latch.judge(at(1), SocketAddr::from(([192, 0, 2, 2], 4000))), Refuse { first: true });
    }
}
