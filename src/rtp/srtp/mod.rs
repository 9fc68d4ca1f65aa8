//! SRTP and SRTCP (RFC 3711; RFC 6188, RFC 7714): what a leg's packets are protected with, in the caller's buffer.
//!
//! A [`Session`] is made of the [`Keys`] of both directions, however they were agreed on: SDES hands them over now, and a DTLS
//! handshake will by the same two [`Master`]s. After that nothing allocates. A packet's state is kept only once its tag has
//! agreed, and for [`STREAMS_MAX`] SSRCs a direction.
//!
//! Known limit: an SSRC that had to give way to newer ones is a stranger again, so that its packets could be replayed.

mod authenticator;
mod cipher;
mod context;
mod keys;
mod window;

pub use cipher::GCM_TAG_LEN;
pub use context::{Refused, STREAMS_MAX};
pub use keys::{KeySource, Keys, MKI_LEN_MAX, Master, Suite};
pub use window::{RTCP_INDEX_MAX, RTP_INDEX_MAX, WINDOW};

use context::{Inbound, Outbound};
use std::fmt;

/// Bytes that a packet may grow by: a tag, SRTCP's index, an MKI.
pub const OVERHEAD_MAX: usize = GCM_TAG_LEN + 4 + MKI_LEN_MAX;
/// Packets under a new key after which the key before is no longer tried: what was sent under it is long here.
const FORMER_PACKETS: u32 = WINDOW as u32;

/// Both directions of one leg.
pub struct Session {
    keys: Keys,
    outbound: Outbound,
    /// Of the peer's key, and of the one before for packets that are still under way. Both have gone where another session
    /// follows this one.
    inbound: [Option<Inbound>; 2],
    /// Packets that may still come before the former key is no longer tried.
    former_left: u32,
}

impl Session {
    pub fn new(keys: Keys) -> Session {
        let (outbound, inbound) = (Outbound::new(&keys.send), Inbound::new(&keys.receive));
        Session { keys, outbound, inbound: [Some(inbound), None], former_left: 0 }
    }

    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Follows `before` in the same leg: a direction whose key is the same goes on where it was; what was sent under the key
    /// before is still taken for a while. `before` is to be dropped then, by who may free memory.
    ///
    /// Says whether what we send goes on. If not, it begins at index 0, and so has to have another SSRC: the key may be one that
    /// this leg has used before, and one index must not be protected twice.
    pub fn follow(&mut self, before: &mut Session) -> bool {
        let goes_on = self.keys.send == before.keys.send;
        if goes_on {
            std::mem::swap(&mut self.outbound, &mut before.outbound);
        }
        if self.keys.receive == before.keys.receive {
            std::mem::swap(&mut self.inbound, &mut before.inbound);
            self.former_left = before.former_left;
        } else {
            self.inbound[1] = before.inbound[0].take();
            self.former_left = FORMER_PACKETS;
        }
        goes_on
    }

    /// An RTP packet is about to be unprotected.
    #[inline]
    pub fn foresee_received(&self) {
        self.inbound.iter().take(1).flatten().for_each(Inbound::foresee);
    }

    /// An RTP packet is about to be protected.
    #[inline]
    pub fn foresee_sent(&self) {
        self.outbound.foresee();
    }

    /// Protects the RTP packet in the first `len` bytes of `buffer` and returns its new length, up to [`OVERHEAD_MAX`] more.
    #[inline]
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refused> {
        self.outbound.protect_rtp(buffer, len)
    }

    /// Protects the RTCP packet in the first `len` bytes of `buffer` and returns its new length.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refused> {
        self.outbound.protect_rtcp(buffer, len)
    }

    /// Checks and decrypts an RTP packet in place, and returns its new length. A packet that is refused stays as it was.
    #[inline]
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let [Some(inbound), former] = &mut self.inbound else { return Err(Refused::Forged) };
        let taken = inbound.unprotect_rtp(packet, former.as_ref());
        self.former_left = self.former_left.saturating_sub(u32::from(taken.is_ok()));
        match (taken, former) {
            (Err(Refused::Forged | Refused::Malformed), Some(former)) if self.former_left > 0 => {
                former.unprotect_rtp(packet, None)
            }
            (taken, _) => taken,
        }
    }

    /// Checks and decrypts an RTCP packet in place, and returns its new length.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let [Some(inbound), former] = &mut self.inbound else { return Err(Refused::Forged) };
        match (inbound.unprotect_rtcp(packet), former) {
            (Err(Refused::Forged | Refused::Malformed), Some(former)) if self.former_left > 0 => {
                former.unprotect_rtcp(packet)
            }
            (taken, _) => taken,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.keys).finish()
    }
}

#[cfg(test)]
mod tests;
