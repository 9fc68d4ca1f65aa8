//! What lies between a leg that speaks and one that hears: the cheapest of what can do it.
//!
//! Relay and transcoding between the two laws of G.711 need no clock: they act when a packet comes. A mixer will join here.

use super::command::Codec;
use codecs::g711;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bridge {
    /// The payload passes as it is.
    Relay,
    /// One table look-up a byte; length and cadence stay.
    UlawToAlaw,
    AlawToUlaw,
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
        }
    }
}

impl Codec {
    /// Of RTP timestamps, in Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::Opaque { clock_rate } => clock_rate,
        }
    }

    /// Duration of a payload in timestamp units; 20 ms is assumed of a codec that is not ours to read.
    pub const fn duration(self, payload_len: usize) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => payload_len as u32,
            Codec::Opaque { clock_rate } => clock_rate / 50,
        }
    }

    /// Encodes sound at 8 kHz, a byte a sample. `false` for a codec that is only relayed; nothing is written then.
    pub fn encode(self, samples: &[i16], payload: &mut [u8]) -> bool {
        match self {
            Codec::Pcmu => g711::ulaw_encode_slice(samples, payload),
            Codec::Pcma => g711::alaw_encode_slice(samples, payload),
            Codec::Opaque { .. } => return false,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_bridge_is_taken() {
        let g722 = Codec::Opaque { clock_rate: 8_000 };
        let opus = Codec::Opaque { clock_rate: 48_000 };
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
