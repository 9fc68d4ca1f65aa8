//! SRTP of a leg: what stands between its ports and all else, where keys have been agreed on.

use crate::rtp::srtp::{Keys, OVERHEAD_MAX, Refused, Session};

/// The longest packet that is protected: what Ethernet carries, less what it grows by. Longer ones are not sent.
const PACKET_MAX: usize = 1_500 - OVERHEAD_MAX;

/// Few packets are longer: the room for them is cheaper to make.
const PACKET_USUAL: usize = 256;

/// Gives `send` an RTP packet as it goes out: a protected copy if there are keys. `None` if it cannot be protected.
#[inline]
pub fn seal<T>(protection: &mut Option<Box<Protection>>, packet: &[u8], send: impl FnOnce(Option<&[u8]>) -> T) -> T {
    let Some(protection) = protection else { return send(Some(packet)) };
    // Others hear the packet too. The copy is made where the next one is too, which is near the processor.
    if packet.len() <= PACKET_USUAL {
        return send(protection.seal(packet, &mut [0; PACKET_USUAL + OVERHEAD_MAX]));
    }
    let fits = packet.len() <= PACKET_MAX;
    send(protection.seal(packet, &mut [0; PACKET_MAX + OVERHEAD_MAX]).filter(|_| fits))
}

/// A leg's SRTP. Made and freed on the control thread's side; on the shard nothing of it allocates.
#[derive(Debug)]
pub struct Protection {
    session: Session,
}

impl Protection {
    pub fn new(keys: &Keys) -> Protection {
        Protection { session: Session::new(keys.clone()) }
    }

    /// Goes on where the protection before was, as far as its keys are the same; whether what we send does (see
    /// [`Session::follow`]).
    pub fn follow(&mut self, before: &mut Protection) -> bool {
        self.session.follow(&mut before.session)
    }

    /// An RTP packet of the peer's is about to be opened.
    #[inline]
    pub fn foresee_received(&self) {
        self.session.foresee_received();
    }

    /// An RTP packet is about to be sealed.
    #[inline]
    pub fn foresee_sent(&self) {
        self.session.foresee_sent();
    }

    /// A copy of an RTP packet in `room`, protected.
    #[inline]
    fn seal<'b>(&mut self, packet: &[u8], room: &'b mut [u8]) -> Option<&'b [u8]> {
        let len = packet.len();
        room.get_mut(..len)?.copy_from_slice(packet);
        let sealed = self.session.protect_rtp(room, len).ok()?;
        room.get(..sealed)
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
