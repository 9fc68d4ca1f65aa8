//! A tap: what a leg's owner says and hears, for somebody beside the call (a recorder). The shard copies each packet's payload
//! as it is into a ring; the other end of the ring decodes, aligns and writes.

use super::command::{Codec, Format, TapId};
use crate::base::time::Instant;
use crate::rtp::packet::Header;

/// Which way a packet went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Track {
    /// What the leg's owner says.
    In,
    /// What it hears.
    Out,
}

/// Payload bytes of one frame: 20 ms of G.711, or of Opus below 80 kbit/s. A longer payload takes several frames.
pub const PAYLOAD_MAX: usize = 200;
/// Frames of one packet; the rest of a longer one is left out.
pub const PARTS_MAX: u8 = 8;

/// Where a packet's sound belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    pub tap: TapId,
    pub track: Track,
    pub codec: Codec,
    /// When it came from the peer or was due to go to it, on the media clock.
    pub at: Instant,
    pub ssrc: u32,
    pub timestamp: u32,
    pub sequence: u16,
}

/// A packet, or one part of it, in a ring.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub label: Label,
    /// From 0; the parts of one packet follow each other in the ring.
    pub part: u8,
    /// The packet's last part.
    pub last: bool,
    len: u8,
    payload: [u8; PAYLOAD_MAX],
}

impl Frame {
    pub fn payload(&self) -> &[u8] {
        self.payload.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Cuts a payload into frames and pushes each, in order.
#[inline]
pub fn frames(label: Label, payload: &[u8], mut push: impl FnMut(&Frame)) {
    let parts = payload.len().div_ceil(PAYLOAD_MAX).min(usize::from(PARTS_MAX));
    for (n, piece) in payload.chunks(PAYLOAD_MAX).take(parts).enumerate() {
        let mut frame =
            Frame { label, part: n as u8, last: n + 1 == parts, len: piece.len() as u8, payload: [0; PAYLOAD_MAX] };
        if let Some(place) = frame.payload.get_mut(..piece.len()) {
            place.copy_from_slice(piece);
        }
        push(&frame);
    }
}

/// A leg that has a tap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tapped {
    pub tap: TapId,
    /// What is sent to the leg's owner; packets of another payload type are no sound.
    pub sent: Format,
}

impl Tapped {
    /// A packet of sound that came from the leg's owner.
    #[inline]
    pub fn received(self, at: Instant, codec: Codec, header: &Header, bytes: &[u8], push: impl FnMut(&Frame)) {
        let Header { ssrc, timestamp, sequence, .. } = *header;
        let label = Label { tap: self.tap, track: Track::In, codec, at, ssrc, timestamp, sequence };
        frames(label, header.payload(bytes), push);
    }

    /// A packet that is sent to the leg's owner, whole and before it is encrypted.
    #[inline]
    pub fn sent(self, at: Instant, packet: &[u8], push: impl FnMut(&Frame)) {
        let Ok(header) = Header::parse(packet) else { return };
        if header.payload_type != self.sent.payload_type {
            return;
        }
        let Header { ssrc, timestamp, sequence, .. } = header;
        let label = Label { tap: self.tap, track: Track::Out, codec: self.sent.codec, at, ssrc, timestamp, sequence };
        frames(label, header.payload(packet), push);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_payloads_take_several_frames() {
        let label = Label {
            tap: TapId(1),
            track: Track::In,
            codec: Codec::Pcmu,
            at: Instant::ZERO,
            ssrc: 1,
            timestamp: 2,
            sequence: 3,
        };
        for (len, want) in [(0, &[][..]), (160, &[160]), (200, &[200]), (201, &[200, 1]), (480, &[200, 200, 80])] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let (mut lens, mut whole, mut ends) = (Vec::new(), Vec::new(), Vec::new());
            frames(label, &payload, |f| {
                assert_eq!(usize::from(f.part), lens.len());
                lens.push(f.payload().len());
                whole.extend_from_slice(f.payload());
                ends.push(f.last);
            });
            assert_eq!((lens.as_slice(), &whole), (want, &payload));
            assert!(ends.iter().rev().skip(1).all(|e| !e) && ends.last().is_none_or(|e| *e));
        }
        let mut count = 0;
        frames(label, &[0; 5_000], |f| count += usize::from(f.last) * usize::from(f.part));
        assert_eq!(count, 7);
        assert!(size_of::<Frame>() <= 256);
    }
}
