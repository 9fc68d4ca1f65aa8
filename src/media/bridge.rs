//! What lies between a leg that speaks and one that hears: the cheapest of what can do it.
//!
//! Relay and transcoding between the two laws of G.711 need no clock: they act when a packet comes. Where there is no bridge, the
//! speaker gets an [ear](super::ear) and the listener a [mouth](super::mouth).

use super::command::Codec;
use super::frame::Rate;
use crate::rtp::stats::{self, Impairment};
use codecs::g711;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bridge {
    /// The payload passes as it is.
    Relay,
    /// One table look-up a byte; length and cadence stay.
    UlawToAlaw,
    AlawToUlaw,
    /// An event (RFC 4733) whose duration is so long in the listener's clock.
    Lasting(u16),
}

impl Bridge {
    /// From what is spoken to what is heard; `None` where neither relay nor transcoding is possible.
    pub fn between(spoken: Codec, heard: Codec) -> Option<Bridge> {
        match (spoken, heard) {
            (a, b) if a == b => Some(Bridge::Relay),
            (Codec::Pcmu, Codec::Pcma) => Some(Bridge::UlawToAlaw),
            (Codec::Pcma, Codec::Pcmu) => Some(Bridge::AlawToUlaw),
            _ => None,
        }
    }

    /// Rewrites a payload in place.
    pub fn transcode(self, payload: &mut [u8]) {
        match self {
            Bridge::Relay => {}
            Bridge::UlawToAlaw => g711::ulaw_to_alaw_in_place(payload),
            Bridge::AlawToUlaw => g711::alaw_to_ulaw_in_place(payload),
            Bridge::Lasting(duration) => {
                let place = payload.iter_mut().skip(2).zip(duration.to_be_bytes());
                place.for_each(|(to, from)| *to = from);
            }
        }
    }
}

impl Codec {
    /// Of RTP timestamps, in Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::ComfortNoise => 8_000,
            Codec::Opus => 48_000,
            Codec::Opaque { clock_rate } => clock_rate,
        }
    }

    /// How well it bears loss, for the E-model.
    pub const fn impairment(self) -> Impairment {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::ComfortNoise | Codec::Opaque { .. } => stats::G711,
            Codec::G722 => stats::G722,
            Codec::Opus => stats::OPUS,
        }
    }

    /// At which we decode and encode it, at most: Opus also does the narrow rate. `None` for what has no sound that we can read.
    pub const fn rate(self) -> Option<Rate> {
        match self {
            Codec::Pcmu | Codec::Pcma => Some(Rate::Narrow),
            Codec::G722 | Codec::Opus => Some(Rate::Wide),
            Codec::ComfortNoise | Codec::Opaque { .. } => None,
        }
    }

    /// Duration of a payload in timestamp units; 20 ms is assumed of a codec that is not ours to read.
    pub fn duration(self, payload: &[u8]) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => payload.len() as u32,
            Codec::Opus => codecs::opus::duration_48k(payload).unwrap_or(0),
            Codec::ComfortNoise => 0,
            Codec::Opaque { clock_rate } => clock_rate / 50,
        }
    }

    /// Whether it is one of the two laws of G.711: a byte a sample at 8 kHz, encoded without a mouth.
    pub const fn is_g711(self) -> bool {
        matches!(self, Codec::Pcmu | Codec::Pcma)
    }

    /// Encodes sound at 8 kHz, a byte a sample. `false` for a codec other than G.711; nothing is written then.
    pub fn encode(self, samples: &[i16], payload: &mut [u8]) -> bool {
        match self {
            Codec::Pcmu => g711::ulaw_encode_slice(samples, payload),
            Codec::Pcma => g711::alaw_encode_slice(samples, payload),
            Codec::G722 | Codec::Opus | Codec::ComfortNoise | Codec::Opaque { .. } => return false,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_bridge_is_taken() {
        let (g722, opus) = (Codec::G722, Codec::Opus);
        let rows = [
            (Codec::Pcmu, Codec::Pcmu, Some(Bridge::Relay)),
            (Codec::Pcmu, Codec::Pcma, Some(Bridge::UlawToAlaw)),
            (Codec::Pcma, Codec::Pcmu, Some(Bridge::AlawToUlaw)),
            (opus, opus, Some(Bridge::Relay)),
            (opus, g722, None),
            (Codec::Pcmu, opus, None),
            (g722, Codec::Pcma, None),
        ];
        for (spoken, heard, bridge) in rows {
            assert_eq!(Bridge::between(spoken, heard), bridge, "{spoken:?} {heard:?}");
        }
        assert!(!opus.encode(&[0; 160], &mut [0; 160]));
    }
}
