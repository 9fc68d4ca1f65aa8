//! Opus (RFC 6716) on libopus, mono, at the sampling rate that the other side of a bridge has: libopus then codes and decodes at
//! 8 or 16 kHz itself, and nothing is resampled.
//!
//! Stereo packets come out as the mean of both channels. Memory is taken when an [`Encoder`] or a [`Decoder`] is made and at no
//! other time. Wherever a packet lies on RTP, its clock is 48 kHz whatever the rate here (RFC 7587 §4.1).

use audiopus::coder::{Decoder as LibDecoder, Encoder as LibEncoder, GenericCtl};
use audiopus::packet::{self, Packet};
use audiopus::{Application, Bandwidth, Bitrate, Channels, Error, ErrorCode, MutSignals, SampleRate, Signal};
use std::fmt;

/// Longest packet that RFC 6716 §3.4 allows, in milliseconds.
pub const PACKET_MS_MAX: usize = 120;
/// Octets of a packet of up to 20 ms at most (RFC 6716 §3.2.1); longer ones hold several such frames.
pub const FRAME_OCTETS_MAX: usize = 1276;
/// A packet that [`Encoder::encode`] made this short under DTX says only that nobody talks: it need not be sent.
pub const DTX_OCTETS_MAX: usize = 2;

/// Sampling rate of the linear side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    Hz8000,
    Hz16000,
    Hz48000,
}

impl Rate {
    pub const ALL: [Rate; 3] = [Rate::Hz8000, Rate::Hz16000, Rate::Hz48000];

    pub const fn from_hz(hz: u32) -> Option<Rate> {
        match hz {
            8_000 => Some(Rate::Hz8000),
            16_000 => Some(Rate::Hz16000),
            48_000 => Some(Rate::Hz48000),
            _ => None,
        }
    }

    pub const fn hz(self) -> u32 {
        match self {
            Rate::Hz8000 => 8_000,
            Rate::Hz16000 => 16_000,
            Rate::Hz48000 => 48_000,
        }
    }

    /// Samples of the longest packet: what a decoder's output must hold to take any.
    pub const fn packet_samples_max(self) -> usize {
        self.hz() as usize * PACKET_MS_MAX / 1000
    }

    /// Bits a second that speech at this rate is well served with.
    const fn customary_bitrate(self) -> u32 {
        match self {
            Rate::Hz8000 => 16_000,
            Rate::Hz16000 => 24_000,
            Rate::Hz48000 => 32_000,
        }
    }

    const fn of_library(self) -> SampleRate {
        match self {
            Rate::Hz8000 => SampleRate::Hz8000,
            Rate::Hz16000 => SampleRate::Hz16000,
            Rate::Hz48000 => SampleRate::Hz48000,
        }
    }
}

/// Sound that an encoder passes on, by its upper limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// 4 kHz.
    Narrow,
    /// 6 kHz.
    Medium,
    /// 8 kHz.
    Wide,
    /// 12 kHz.
    SuperWide,
    /// 20 kHz.
    Full,
}

impl Band {
    /// The widest that a peer can play, by the `maxplaybackrate` of its description (RFC 7587 §6.1).
    pub const fn of_playback_rate(hz: u32) -> Band {
        match hz {
            0..=8_000 => Band::Narrow,
            8_001..=12_000 => Band::Medium,
            12_001..=16_000 => Band::Wide,
            16_001..=24_000 => Band::SuperWide,
            _ => Band::Full,
        }
    }

    const fn of_library(self) -> Bandwidth {
        match self {
            Band::Narrow => Bandwidth::Narrowband,
            Band::Medium => Bandwidth::Mediumband,
            Band::Wide => Bandwidth::Wideband,
            Band::SuperWide => Bandwidth::Superwideband,
            Band::Full => Bandwidth::Fullband,
        }
    }
}

/// Why nothing was coded or decoded; the state is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Octets that are no Opus packet.
    Malformed,
    /// The output does not hold the packet.
    Short,
    /// A number of samples that is no packet's, or a setting out of its range.
    Argument,
    /// A fault of the library.
    Internal,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Malformed => "not an Opus packet",
            Fault::Short => "the output is too short",
            Fault::Argument => "a length or a setting that Opus does not have",
            Fault::Internal => "a fault of libopus",
        })
    }
}

impl std::error::Error for Fault {}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error {
            Error::EmptyPacket | Error::PacketTooLarge | Error::Opus(ErrorCode::InvalidPacket) => Fault::Malformed,
            Error::Opus(ErrorCode::BufferTooSmall) => Fault::Short,
            Error::Opus(ErrorCode::InternalError | ErrorCode::InvalidState | ErrorCode::Unknown) => Fault::Internal,
            _ => Fault::Argument,
        }
    }
}

/// How long a packet lasts, in ticks of RTP's 48 kHz clock: 120 to 5,760. `None` for what is no packet.
pub fn duration_48k(packet: &[u8]) -> Option<u32> {
    let samples = packet::nb_samples(Packet::try_from(packet).ok()?, SampleRate::Hz48000).ok()?;
    u32::try_from(samples).ok().filter(|&samples| samples > 0)
}

/// Encodes one mono stream of speech: variable bit rate, complexity 5, neither FEC nor DTX unless they are set.
#[derive(Debug)]
pub struct Encoder {
    library: LibEncoder,
    rate: Rate,
}

impl Encoder {
    /// Panics where memory is out, as every allocation does.
    pub fn new(rate: Rate) -> Encoder {
        let library = LibEncoder::new(rate.of_library(), Channels::Mono, Application::Voip);
        let mut library = library.unwrap_or_else(|fault| panic!("Opus encoder: {fault}"));
        // None of the two can fail on an encoder that is there.
        let _ = library.set_signal(Signal::Voice);
        let mut encoder = Encoder { library, rate };
        let _ = encoder.set_complexity(5);
        let _ = encoder.set_bitrate(rate.customary_bitrate());
        encoder
    }

    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Encodes 10, 20, 40 or 60 ms and returns the octets written; see [`DTX_OCTETS_MAX`]. Where `packet` is shorter than
    /// [`FRAME_OCTETS_MAX`] for each 20 ms, its length bounds the packet's bit rate.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Result<usize, Fault> {
        let samples_10ms = self.rate.hz() as usize / 100;
        if ![1, 2, 4, 6].iter().any(|&n| samples.len() == n * samples_10ms) {
            return Err(Fault::Argument);
        }
        if packet.is_empty() {
            return Err(Fault::Short);
        }
        let reach = packet.len().min(6 * FRAME_OCTETS_MAX);
        Ok(self.library.encode(samples, &mut packet[..reach])?)
    }

    /// Bits a second without RTP's headers: 500 to 512,000 (others are moved there); 12,000 to 40,000 serve speech.
    pub fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), Fault> {
        let bits = bits_per_second.clamp(500, 512_000) as i32;
        Ok(self.library.set_bitrate(Bitrate::BitsPerSecond(bits))?)
    }

    /// 0 to 10: what the encoder spends on finding a better coding.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), Fault> {
        Ok(self.library.set_complexity(complexity)?)
    }

    /// Repeats each frame coarsely in the next packet, as much of it as the loss that the receiver reports (0 to 100 %) makes
    /// worthwhile; at 0 nothing is repeated.
    pub fn set_fec(&mut self, on: bool, expected_loss_percent: u8) -> Result<(), Fault> {
        self.library.set_inband_fec(on)?;
        Ok(self.library.set_packet_loss_perc(expected_loss_percent.min(100))?)
    }

    /// The customary bit rate, but no more than a peer says that it takes (500 to 512,000; others are moved there).
    pub fn set_bitrate_max(&mut self, bits_per_second: u32) -> Result<(), Fault> {
        self.set_bitrate(self.rate.customary_bitrate().min(bits_per_second))
    }

    /// All packets of one length, as some receivers ask for; else by what there is to say.
    pub fn set_constant(&mut self, on: bool) -> Result<(), Fault> {
        Ok(self.library.set_vbr(!on)?)
    }

    /// Lets pauses shrink to packets that need not be sent.
    pub fn set_dtx(&mut self, on: bool) -> Result<(), Fault> {
        Ok(self.library.set_dtx(on)?)
    }

    /// Codes nothing above this, whatever the sampling rate.
    pub fn set_band_max(&mut self, band: Band) -> Result<(), Fault> {
        Ok(self.library.set_max_bandwidth(band.of_library())?)
    }

    /// By how many samples the decoded sound lags behind what was encoded.
    pub fn lookahead(&self) -> usize {
        self.library.lookahead().map_or(0, |samples| samples as usize)
    }

    /// Begins a new stream; settings stay.
    pub fn reset(&mut self) {
        // Cannot fail on an encoder that is there.
        let _ = self.library.reset_state();
    }
}

/// Decodes one stream, mono or stereo, of any band and packet time, to mono samples.
#[derive(Debug)]
pub struct Decoder {
    library: LibDecoder,
    rate: Rate,
}

impl Decoder {
    /// Panics where memory is out, as every allocation does.
    pub fn new(rate: Rate) -> Decoder {
        let library = LibDecoder::new(rate.of_library(), Channels::Mono);
        Decoder { library: library.unwrap_or_else(|fault| panic!("Opus decoder: {fault}")), rate }
    }

    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Decodes a packet and returns the samples written; [`Rate::packet_samples_max`] hold any packet.
    ///
    /// Without a packet it makes up what was lost, exactly as long as `samples`: a multiple of 2.5 ms, at most 120 ms.
    pub fn decode(&mut self, packet: Option<&[u8]>, samples: &mut [i16]) -> Result<usize, Fault> {
        self.run(packet, samples, false)
    }

    /// Recovers what was lost before `next` from the coarse copy in it, exactly as long as `samples` (a multiple of 2.5 ms, as
    /// a rule one packet's time); what the copy does not cover, or all where there is none, is made up. `next` itself is to be
    /// decoded afterwards.
    pub fn decode_fec(&mut self, next: &[u8], samples: &mut [i16]) -> Result<usize, Fault> {
        self.run(Some(next), samples, true)
    }

    fn run(&mut self, packet: Option<&[u8]>, samples: &mut [i16], fec: bool) -> Result<usize, Fault> {
        if samples.is_empty() {
            return Err(Fault::Short);
        }
        let packet = packet.map(Packet::try_from).transpose()?;
        let reach = samples.len().min(self.rate.packet_samples_max());
        let samples = MutSignals::try_from(&mut samples[..reach])?;
        Ok(self.library.decode(packet, samples, fec)?)
    }

    /// Begins a new stream.
    pub fn reset(&mut self) {
        // Cannot fail on a decoder that is there.
        let _ = self.library.reset_state();
    }
}

#[cfg(test)]
mod tests;
