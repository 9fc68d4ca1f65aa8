//! What a leg is to hear, as packets: sound in frames of any length, encoded, cut into packets by ptime.
//!
//! ```text
//!  frame ─► rate (8 ⇄ 16 kHz) ─► queue, with the time of its first sample ─► encoder ─► packet, whenever one is full
//! ```

use super::command::{Codec, OpusWanted};
use super::frame::{FRAME_SAMPLES_MAX, Rate};
use crate::base::time::{Duration, Instant};
use codecs::resample::{Decimator, Interpolator, Ratio};
use codecs::{g711, g722, opus};

/// Longest packet in milliseconds.
const PTIME_MAX_MS: usize = 60;
/// 60 ms at 16 kHz.
const PACKET_SAMPLES_MAX: usize = 3 * FRAME_SAMPLES_MAX;
/// Longest payload: 60 ms of G.711 or G.722, or what Opus makes of it.
pub const PAYLOAD_MAX: usize = 480;

#[allow(clippy::large_enum_variant, reason = "a mouth is boxed as a whole")]
enum Encoder {
    Ulaw,
    Alaw,
    G722(g722::Encoder),
    Opus(opus::Encoder),
}

/// What changes a frame's rate to the encoder's; made when it is first needed.
#[allow(clippy::large_enum_variant, reason = "a mouth is boxed as a whole")]
#[derive(Default)]
enum Converter {
    #[default]
    None,
    Up(Interpolator),
    Down(Decimator),
}

/// A packet's payload has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spoken {
    /// When its first sample was due.
    pub due: Instant,
    /// In RTP timestamp units.
    pub duration: u32,
    /// 0: nothing is sent, time goes on (DTX).
    pub len: usize,
}

/// See the module's documentation.
pub struct Mouth {
    codec: Codec,
    encoder: Encoder,
    rate: Rate,
    converter: Converter,
    /// Samples a packet.
    packet: usize,
    queue: [i16; 2 * PACKET_SAMPLES_MAX],
    queued: usize,
    /// When the first queued sample was due.
    begins: Instant,
    complexity: u8,
    loss_percent: u8,
    wanted: OpusWanted,
}

impl std::fmt::Debug for Mouth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mouth({:?}, {} samples a packet)", self.codec, self.packet)
    }
}

impl Mouth {
    /// A mouth for sound of `source`'s rate; `None` for a codec that is only relayed. Allocates what its encoder needs, here and
    /// nowhere else.
    pub fn new(codec: Codec, ptime_ms: u8, source: Rate) -> Option<Box<Mouth>> {
        let encoder = match codec {
            Codec::Pcmu => Encoder::Ulaw,
            Codec::Pcma => Encoder::Alaw,
            Codec::G722 => Encoder::G722(g722::Encoder::new()),
            // At the rate of what it says: no resampler.
            Codec::Opus => Encoder::Opus(opus::Encoder::new(source.of_opus())),
            Codec::ComfortNoise | Codec::Opaque { .. } => return None,
        };
        let rate = if codec == Codec::Opus { source } else { codec.rate()? };
        let converter = match (source, rate) {
            (Rate::Narrow, Rate::Wide) => Converter::Up(Interpolator::new(Ratio::Two)),
            (Rate::Wide, Rate::Narrow) => Converter::Down(Decimator::new(Ratio::Two)),
            _ => Converter::None,
        };
        let packet = samples_of(codec, rate, ptime_ms);
        let queue = [0; 2 * PACKET_SAMPLES_MAX];
        Some(Box::new(Mouth {
            codec,
            encoder,
            rate,
            converter,
            packet,
            queue,
            queued: 0,
            begins: Instant::ZERO,
            complexity: 5,
            loss_percent: 0,
            wanted: OpusWanted::default(),
        }))
    }

    /// Whether it is the mouth that [`Mouth::new`] would make.
    pub fn fits(&self, codec: Codec, ptime_ms: u8, source: Rate) -> bool {
        self.codec == codec
            && self.packet == samples_of(codec, self.rate, ptime_ms)
            && (codec != Codec::Opus || self.rate == source)
    }

    /// Of the encoder: sound of this rate costs least.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// What Opus may spend, 0 to 10; other codecs cost what they cost.
    pub fn spend(&mut self, complexity: u8) {
        if let Encoder::Opus(encoder) = &mut self.encoder
            && std::mem::replace(&mut self.complexity, complexity) != complexity
        {
            // It cannot fail within the bounds.
            let _ = encoder.set_complexity(complexity.min(10));
        }
    }

    /// What the listener takes of Opus; other codecs have nothing to say about.
    pub fn want(&mut self, wanted: OpusWanted) {
        let Encoder::Opus(encoder) = &mut self.encoder else { return };
        if std::mem::replace(&mut self.wanted, wanted) == wanted {
            return;
        }
        // None of these can fail within the bounds that they have.
        let unlimited = |value: u32| if value == 0 { u32::MAX } else { value };
        let _ = encoder.set_bitrate_max(unlimited(wanted.bitrate_max));
        let _ = encoder.set_band_max(opus::Band::of_playback_rate(unlimited(wanted.playback_hz)));
        let _ = encoder.set_constant(wanted.constant);
        let _ = encoder.set_dtx(wanted.dtx);
        let percent = if wanted.fec { self.loss_percent } else { 0 };
        let _ = encoder.set_fec(percent > 0, percent);
    }

    /// The listener says that of 256 packets so many are lost: Opus repeats itself in proportion. A worse report counts at once, a
    /// better one by a quarter.
    pub fn expect_loss(&mut self, lost_of_256: u8) {
        let percent = (u32::from(lost_of_256) * 100).div_ceil(256) as u8;
        let smooth = ((u32::from(self.loss_percent) * 3 + u32::from(percent)) / 4) as u8;
        let percent = percent.max(smooth);
        if let Encoder::Opus(encoder) = &mut self.encoder
            && std::mem::replace(&mut self.loss_percent, percent) != percent
        {
            let percent = if self.wanted.fec { percent } else { 0 };
            let _ = encoder.set_fec(percent > 0, percent);
        }
    }

    /// Forgets what is queued: what comes next has nothing to do with it.
    pub fn clear(&mut self) {
        self.queued = 0;
    }

    /// Takes sound that is due at `due`, at most 60 ms; [`Mouth::next`] is to be called until there is none.
    pub fn push(&mut self, due: Instant, rate: Rate, samples: &[i16]) {
        let queued = self.time_of(self.queued);
        // After a pause the rest of a packet goes nowhere: its time is past.
        if self.queued > 0 && due.since(self.begins + queued) >= Duration::from_millis(10) {
            self.queued = 0;
        }
        if self.queued == 0 {
            self.begins = due;
        }
        let free = self.queue.get_mut(self.queued..).unwrap_or_default();
        self.queued += match (rate, self.rate) {
            (Rate::Narrow, Rate::Wide) => {
                if !matches!(self.converter, Converter::Up(_)) {
                    self.converter = Converter::Up(Interpolator::new(Ratio::Two));
                }
                let Converter::Up(up) = &mut self.converter else { return };
                up.process(samples, free)
            }
            (Rate::Wide, Rate::Narrow) => {
                if !matches!(self.converter, Converter::Down(_)) {
                    self.converter = Converter::Down(Decimator::new(Ratio::Two));
                }
                let Converter::Down(down) = &mut self.converter else { return };
                down.process(samples, free)
            }
            _ => {
                let len = samples.len().min(free.len());
                for (to, from) in free.iter_mut().zip(samples) {
                    *to = *from;
                }
                len
            }
        };
    }

    /// Encodes the next packet into `payload`, if one is full.
    pub fn next(&mut self, payload: &mut [u8; PAYLOAD_MAX]) -> Option<Spoken> {
        let samples = self.queue.get(..self.packet).filter(|s| s.len() <= self.queued)?;
        let len = match &mut self.encoder {
            Encoder::Ulaw => g711::ulaw_encode_slice(samples, payload),
            Encoder::Alaw => g711::alaw_encode_slice(samples, payload),
            Encoder::G722(encoder) => encoder.encode(samples, payload),
            // Nothing can be wrong with the samples; a packet of two octets need not be sent.
            Encoder::Opus(encoder) => match encoder.encode(samples, payload) {
                Ok(len) if len > opus::DTX_OCTETS_MAX => len,
                _ => 0,
            },
        };
        let duration = (self.packet as u64 * u64::from(self.codec.clock_rate()) / u64::from(self.rate.hz())) as u32;
        let spoken = Spoken { due: self.begins, duration, len };
        self.begins += self.time_of(self.packet);
        self.queue.copy_within(self.packet..self.queued, 0);
        self.queued -= self.packet;
        Some(spoken)
    }

    fn time_of(&self, samples: usize) -> Duration {
        Duration::from_micros(samples as u64 * 1_000_000 / u64::from(self.rate.hz()))
    }
}

/// Samples a packet: ptime in steps of 5 ms, 10 to 60; 0 is 20. Opus has no packets of one frame of 30 or 50 ms.
fn samples_of(codec: Codec, rate: Rate, ptime_ms: u8) -> usize {
    let ms = match ptime_ms {
        0 => 20,
        ms => usize::from(ms / 5 * 5).clamp(10, PTIME_MAX_MS),
    };
    let ms = match ms {
        10..20 if codec == Codec::Opus => 10,
        20..40 if codec == Codec::Opus => 20,
        40..60 if codec == Codec::Opus => 40,
        ms => ms,
    };
    ms * rate.hz() as usize / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes 20 ms at a time for 600 ms: durations, and when the first samples of the packets were due.
    #[track_caller]
    fn check(codec: Codec, ptime_ms: u8, source: Rate, duration: u32, len: usize, period_ms: u64) {
        let mut mouth = Mouth::new(codec, ptime_ms, source).unwrap();
        let mut packets = Vec::new();
        for n in 0..30 {
            mouth.push(Instant::from_micros(n * 20_000), source, &[1_000; FRAME_SAMPLES_MAX][..source.frame()]);
            while let Some(spoken) = mouth.next(&mut [0; PAYLOAD_MAX]) {
                packets.push(spoken);
            }
        }
        assert_eq!(packets.len() as u64, 600 / period_ms);
        for (n, packet) in packets.iter().enumerate() {
            let due = Instant::from_micros(n as u64 * period_ms * 1_000);
            assert_eq!(*packet, Spoken { due, duration, len }, "{codec:?} {ptime_ms} {n}");
        }
    }

    #[test]
    fn frames_become_packets_of_any_ptime() {
        for (ptime_ms, period_ms) in
            [(0, 20), (10, 10), (20, 20), (30, 30), (40, 40), (60, 60), (255, 60), (1, 10), (33, 30)]
        {
            let units = period_ms as usize * 8;
            check(Codec::Pcmu, ptime_ms, Rate::Narrow, units as u32, units, period_ms);
            check(Codec::Pcma, ptime_ms, Rate::Wide, units as u32, units, period_ms);
            check(Codec::G722, ptime_ms, Rate::Narrow, units as u32, units, period_ms);
            check(Codec::G722, ptime_ms, Rate::Wide, units as u32, units, period_ms);
        }
        assert!(Mouth::new(Codec::Opaque { clock_rate: 8_000 }, 20, Rate::Narrow).is_none());
    }

    #[test]
    fn opus_repeats_itself_where_the_listener_loses() {
        let mut mouth = Mouth::new(Codec::Opus, 20, Rate::Wide).unwrap();
        let mut percents = Vec::new();
        for lost in [0, 13, 26, 0, 0, 0, 255, 0] {
            mouth.expect_loss(lost);
            percents.push(mouth.loss_percent);
        }
        assert_eq!(percents, [0, 6, 11, 8, 6, 4, 100, 75]);
    }

    /// Octets of each packet of two seconds of noise and one of silence, and of what a peer takes that says so.
    fn lengths(wanted: OpusWanted) -> Vec<usize> {
        let mut mouth = Mouth::new(Codec::Opus, 20, Rate::Wide).unwrap();
        mouth.want(wanted);
        let mut rng = crate::base::rng::Rng::from_seed(8);
        let mut lengths = Vec::new();
        for n in 0..150 {
            let sound: [i16; 320] = std::array::from_fn(|_| if n < 100 { rng.below(8_000) as i16 - 4_000 } else { 0 });
            mouth.push(Instant::from_micros(n * 20_000), Rate::Wide, &sound);
            lengths.extend(mouth.next(&mut [0; PAYLOAD_MAX]).map(|s| s.len));
        }
        lengths
    }

    #[test]
    fn opus_is_as_the_listener_takes_it() {
        let usual = lengths(OpusWanted::default());
        let mean = |lengths: &[usize]| lengths[10..100].iter().sum::<usize>() / 90;
        assert!(mean(&usual) > 40 && usual.iter().all(|len| *len > 0), "{usual:?}");
        let narrow = lengths(OpusWanted { bitrate_max: 12_000, ..OpusWanted::default() });
        assert!((20..36).contains(&mean(&narrow)), "12 kbit/s are 30 octets: {narrow:?}");
        let constant = lengths(OpusWanted { constant: true, ..OpusWanted::default() });
        assert!(constant.iter().all(|len| *len == constant[0]), "{constant:?}");
        let pausing = lengths(OpusWanted { dtx: true, ..OpusWanted::default() });
        assert!(pausing[120..].iter().filter(|len| **len == 0).count() >= 20, "{pausing:?}");
    }

    #[test]
    fn after_a_pause_a_packet_begins_with_the_sound_after_it() {
        let mut mouth = Mouth::new(Codec::Pcmu, 30, Rate::Narrow).unwrap();
        let mut push = |ms: u64| {
            mouth.push(Instant::from_micros(ms * 1_000), Rate::Narrow, &[0; 160]);
            mouth.next(&mut [0; PAYLOAD_MAX]).map(|s| s.due.as_micros() / 1_000)
        };
        assert_eq!([push(0), push(20), push(500), push(520)], [None, Some(0), None, Some(500)]);
    }
}
