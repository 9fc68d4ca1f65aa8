//! 20 ms of sound as samples: what an ear gives, and what mouths, rooms and taps take.

use super::command::Codec;
use codecs::opus;

/// Duration of a frame in milliseconds.
pub const FRAME_MS: u64 = 20;
/// Samples of the longest frame.
pub const FRAME_SAMPLES_MAX: usize = 320;

/// Samples a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Rate {
    /// 8 kHz.
    #[default]
    Narrow,
    /// 16 kHz.
    Wide,
}

impl Rate {
    pub const fn hz(self) -> u32 {
        match self {
            Rate::Narrow => 8_000,
            Rate::Wide => 16_000,
        }
    }

    /// Samples of one frame: 160 or 320.
    pub const fn frame(self) -> usize {
        match self {
            Rate::Narrow => 160,
            Rate::Wide => 320,
        }
    }

    /// As Opus calls it.
    pub const fn of_opus(self) -> opus::Rate {
        match self {
            Rate::Narrow => opus::Rate::Hz8000,
            Rate::Wide => opus::Rate::Hz16000,
        }
    }

    /// Ticks of 1/48,000 s that a sample lasts.
    pub const fn ticks(self) -> i64 {
        48_000 / self.hz() as i64
    }
}

/// How a frame came about: the greatest of what is in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Kind {
    /// Nobody speaks: zeros.
    #[default]
    Silent,
    /// Comfort noise (RFC 3389).
    Noise,
    /// Made up for what was lost or is late.
    Concealed,
    /// Decoded, at least in part.
    Speech,
}

/// Where the sound of a frame comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    pub codec: Codec,
    /// RTP sequence number of the latest packet that was decoded.
    pub sequence: u16,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Frame {
    pub rate: Rate,
    pub kind: Kind,
    pub source: Option<Source>,
    samples: [i16; FRAME_SAMPLES_MAX],
}

impl Frame {
    pub const fn silent(rate: Rate) -> Frame {
        Frame { rate, kind: Kind::Silent, source: None, samples: [0; FRAME_SAMPLES_MAX] }
    }

    /// As many as the rate has in 20 ms.
    pub fn samples(&self) -> &[i16] {
        self.samples.get(..self.rate.frame()).unwrap_or(&self.samples)
    }

    pub fn samples_mut(&mut self) -> &mut [i16] {
        let len = self.rate.frame();
        self.samples.get_mut(..len).unwrap_or_default()
    }
}
