//! SRTP of a leg: what stands between its ports and all else, where keys have been agreed on.

use crate::rtp::srtp::{Keys, OVERHEAD_MAX, Refused, Session};

/// The longest packet that is protected: what Ethernet carries, less what it grows by. Longer ones are not sent.
const PACKET_MAX: usize = 1_500 - OVERHEAD_MAX;

/// An RTP packet as it goes out: a protected copy if there are keys. `None` if it cannot be protected.
#[inline]
pub fn seal<'b>(protection: &'b mut Option<Box<Protection>>, packet: &'b [u8]) -> Option<&'b [u8]> {
    match protection {
        None => Some(packet),
        Some(protection) => protection.seal(packet),
    }
}

/// A leg's SRTP. Made and freed on the control thread's side; on the shard nothing of it allocates.
#[derive(Debug)]
pub struct Protection {
    session: Session,
    /// Where a packet that others hear too is copied to, to be encrypted.
    room: [u8; PACKET_MAX + OVERHEAD_MAX],
}

impl Protection {
    pub fn new(keys: &Keys) -> Protection {
        Protection { session: Session::new(keys.clone()), room: [0; PACKET_MAX + OVERHEAD_MAX] }
    }

    /// Goes on where the protection before was, as far as its keys are the same; whether what we send does (see
    /// [`Session::follow`]).
    pub fn follow(&mut self, before: &mut Protection) -> bool {
        self.session.follow(&mut before.session)
    }

    /// A copy of an RTP packet, protected.
    #[inline]
    pub fn seal(&mut self, packet: &[u8]) -> Option<&[u8]> {
        let len = packet.len();
        self.room.get_mut(..len.min(PACKET_MAX)).filter(|room| room.len() == len)?.copy_from_slice(packet);
        let sealed = self.session.protect_rtp(&mut self.room, len).ok()?;
        self.room.get(..sealed)
    }

    /// Protects the report in the first `len` bytes of `buffer` in place.
    pub fn seal_report(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.session.protect_rtcp(buffer, len).ok()
    }

    /// Checks and decrypts what came, in place.
    #[inline]
    pub fn open<'b>(&mut self, is_rtcp: bool, bytes: &'b mut [u8]) -> Result<&'b mut [u8], Refused> {
        let taken = if is_rtcp { self.session.unprotect_rtcp(bytes) } else { self.session.unprotect_rtp(bytes) };
        bytes.get_mut(..taken?).ok_or(Refused::Malformed)
    }
}
