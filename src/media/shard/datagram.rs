//! Datagrams that are no RTP (T.38's UDPTL), from a leg to who hears it.

use super::{Shard, Sink, Socket};
use crate::base::time::Instant;
use crate::media::command::Event;
use crate::media::latch::Verdict;
use std::net::SocketAddr;

impl Shard {
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        (port, socket): (u32, Socket),
        source: SocketAddr,
        bytes: &[u8],
        out: &mut impl Sink,
    ) {
        let Some(place) = self.place(port).filter(|_| socket == Socket::Rtp) else { return };
        let (leg, mut next) = (place.leg.id, place.first_listener);
        match place.leg.receive_datagram(now, source) {
            Verdict::Accept => {}
            Verdict::Learned => out.event(Event::Latched { leg, source }),
            Verdict::Refuse { first: true } => return out.event(Event::Refused { leg, source }),
            Verdict::Refuse { first: false } | Verdict::Early => return,
        }
        while let Some(port) = next {
            let Some(place) = self.place(port) else { break };
            next = place.next_listener;
            if let Some(to) = place.leg.hear_datagram() {
                out.rtp(port, to, bytes);
                self.stats.packets_relayed += 1;
            }
        }
    }
}
