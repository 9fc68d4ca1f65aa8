//! A room's tap: the talk, coded as packets that somebody would send who says all of it.

use crate::base::time::Instant;
use crate::media::command::{Codec, TapId};
use crate::media::frame::{FRAME_SAMPLES_MAX, Rate};
use crate::media::tap::{Frame, Label, Track, frames};
use codecs::{g711, g722};

/// Microseconds of a tick of the clock of both codecs, 8 kHz.
const TICK_US: u64 = 125;

/// See the module's documentation. Narrow talk becomes µ-law, which is how most of it came; wide talk G.722.
#[derive(Debug, Default)]
pub struct Reel {
    wide: g722::Encoder,
    sequence: u16,
}

impl Reel {
    /// A frame of talk of `band`, mixed at `due`.
    pub fn take(&mut self, tap: TapId, due: Instant, (band, talk): (Rate, &[i16]), push: impl FnMut(&Frame)) {
        let mut payload = [0; FRAME_SAMPLES_MAX];
        let (codec, len) = match band {
            Rate::Narrow => (Codec::Pcmu, g711::ulaw_encode_slice(talk, &mut payload)),
            Rate::Wide => (Codec::G722, self.wide.encode(talk, &mut payload)),
        };
        let timestamp = (due.as_micros() / TICK_US) as u32;
        // A codec of its own is a source of its own: one has a memory.
        let ssrc = band.hz();
        let label = Label { tap, track: Track::In, codec, at: due, ssrc, timestamp, sequence: self.sequence };
        self.sequence = self.sequence.wrapping_add(1);
        frames(label, payload.get(..len).unwrap_or_default(), push);
    }
}
