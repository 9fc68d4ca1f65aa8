//! A leg whose packets are no RTP: UDPTL (T.38). They are passed on as they are; only where they come from is looked at.

use super::Leg;
use crate::base::time::Instant;
use crate::media::latch::Verdict;
use std::net::SocketAddr;

impl Leg {
    #[inline]
    pub fn passes_datagrams(&self) -> bool {
        self.setting.state.datagrams
    }

    /// Judges a datagram by its source, and counts it if it is not to be passed on.
    pub fn receive_datagram(&mut self, now: Instant, source: SocketAddr) -> Verdict {
        let verdict = self.latch.judge(now, source);
        match verdict {
            Verdict::Accept | Verdict::Learned => self.heard_at = now,
            Verdict::Refuse { .. } | Verdict::Early => self.refused += 1,
        }
        verdict
    }

    /// Where a datagram of the party that it hears goes.
    pub fn hear_datagram(&self) -> Option<SocketAddr> {
        let state = &self.setting.state;
        self.latch.target().filter(|_| state.datagrams && state.sending)
    }
}
