//! What a sealed leg's peer says, held back for a moment: when a tone is suspected, what was said just before it is silenced
//! too, so that nobody ever hears its onset.
//!
//! A detector suspects a tone within 20 ms of its begin. Packets wait for 60 ms, and a packet that may hold a part of a tone
//! silences all that wait.

use super::command::Codec;
use crate::base::time::Instant;

/// For how long sound is held back, in milliseconds of the sender's clock.
pub const HELD_MS: u32 = 60;
/// Packets that wait at most: 80 ms of packets of 10 ms.
const SLOTS: usize = 8;
/// Longer packets are dropped.
const BYTES: usize = 1_500;

/// A packet of sound that waits.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub at: Instant,
    pub codec: Codec,
    timestamp: u32,
    len: usize,
}

/// See the module's documentation. Made whole where there is time, so that no packet allocates.
pub struct Seal {
    /// In the order in which they came, from `first` on.
    held: [Option<Held>; SLOTS],
    bytes: Box<[[u8; BYTES]; SLOTS]>,
    first: usize,
    count: usize,
    newest: u32,
}

impl Default for Seal {
    fn default() -> Seal {
        Seal { held: [None; SLOTS], bytes: Box::new([[0; BYTES]; SLOTS]), first: 0, count: 0, newest: 0 }
    }
}

impl Seal {
    /// Takes a packet, whole; one that is too long, or finds no room, is dropped.
    pub fn hold(&mut self, at: Instant, codec: Codec, timestamp: u32, packet: &[u8]) {
        let place = (self.first + self.count) % SLOTS;
        let (Some(slot), Some(bytes)) = (self.held.get_mut(place), self.bytes.get_mut(place)) else { return };
        let Some(room) = bytes.get_mut(..packet.len()) else { return };
        if self.count == SLOTS {
            return;
        }
        room.copy_from_slice(packet);
        *slot = Some(Held { at, codec, timestamp, len: packet.len() });
        self.count += 1;
        self.newest = timestamp;
    }

    /// All that waits, to be silenced.
    pub fn silence(&mut self, mut silence: impl FnMut(Codec, &mut [u8])) {
        for n in 0..self.count {
            let place = (self.first + n) % SLOTS;
            if let (Some(Some(held)), Some(bytes)) = (self.held.get(place), self.bytes.get_mut(place)) {
                silence(held.codec, bytes.get_mut(..held.len).unwrap_or_default());
            }
        }
    }

    /// The first packet that has waited long enough; the buffer takes it.
    pub fn release(&mut self, buffer: &mut [u8]) -> Option<(Held, usize)> {
        let held = self.held.get(self.first).copied().flatten().filter(|_| self.count > 0)?;
        let waited = self.newest.wrapping_sub(held.timestamp);
        let due = HELD_MS * (held.codec.clock_rate() / 1_000);
        // One that came out of order, or after a jump of the clock, waits no longer than those around it.
        let is_ripe = self.count == SLOTS || (due..0x8000_0000).contains(&waited);
        if !is_ripe {
            return None;
        }
        let bytes = self.bytes.get(self.first)?.get(..held.len)?;
        buffer.get_mut(..held.len)?.copy_from_slice(bytes);
        (self.first, self.count) = ((self.first + 1) % SLOTS, self.count - 1);
        Some((held, held.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of `ms`; how many wait once all is in step, and what comes out of the last of them.
    #[track_caller]
    fn check(codec: Codec, ms: u32, waiting: usize) {
        let mut seal = Seal::default();
        let step = codec.clock_rate() / 1_000 * ms;
        let (mut out, mut buffer) = (Vec::new(), [0; BYTES]);
        for n in 0..40u32 {
            seal.hold(Instant::ZERO, codec, u32::MAX.wrapping_add(n * step), &[n as u8; 20]);
            while let Some((_, len)) = seal.release(&mut buffer) {
                assert_eq!(buffer[..len], vec![out.len() as u8; 20]);
                out.push(n);
            }
        }
        assert_eq!(40 - out.len(), waiting, "{codec:?} {ms} ms");
        seal.silence(|_, payload| payload.fill(0xff));
        seal.hold(Instant::ZERO, codec, u32::MAX.wrapping_add(40 * step), &[40; 20]);
        let (_, len) = seal.release(&mut buffer).unwrap();
        assert_eq!(buffer[..len], [0xff; 20]);
    }

    #[test]
    fn sound_waits_for_60_ms_whatever_the_packets() {
        check(Codec::Pcmu, 20, 3);
        check(Codec::G722, 10, 6);
        check(Codec::Opus, 20, 3);
        check(Codec::Opus, 60, 1);
        check(Codec::Pcma, 30, 2);
    }

    #[test]
    fn what_does_not_fit_is_dropped() {
        let mut seal = Seal::default();
        seal.hold(Instant::ZERO, Codec::Pcmu, 0, &[0; BYTES + 1]);
        assert_eq!(seal.count, 0);
        for n in 0..20 {
            seal.hold(Instant::ZERO, Codec::Pcmu, n, &[0; 20]);
        }
        assert_eq!(seal.count, SLOTS);
        assert!(seal.release(&mut [0; BYTES]).is_some() && seal.release(&mut [0; BYTES]).is_none());
    }
}
