//! Digits among the sound that a leg's peer sends: found in each packet as it comes, before anybody hears it, and taken out if
//! whoever hears the leg gets them in another way.
//!
//! A packet is taken out as soon as it may hold the begin of a digit. What has passed by then is shorter than 20 ms, and no
//! detector takes that for a digit (Q.24).

use super::command::{Codec, Format, Tones};
use super::seal::{Held, Seal};
use crate::base::time::{Duration, Instant};
use crate::rtp::packet::Header;
use crate::rtp::telephone_event::Digit;
use codecs::dtmf::{Detector, Event};
use codecs::resample::{Decimator, Ratio};
use codecs::{g711, g722, opus};

/// Octets of G.711 or G.722 that are decoded at once.
const CHUNK: usize = 160;
/// 120 ms, the longest packet of Opus, at 8 kHz.
const OPUS_SAMPLES: usize = 960;
/// A digit is over when nothing came for so long.
const PAUSE: Duration = Duration::from_millis(150);
/// Packets that may be lost within a digit: it is taken together over the gap.
const LOST_MAX: u16 = 5;
/// Of a digit in a packet: events that one packet can end, 120 ms at most.
pub const DIGITS_A_PACKET: usize = 2;

/// See the module's documentation.
pub struct Listening {
    takes: bool,
    /// Where what is said waits, of a leg that is sealed.
    seal: Option<Seal>,
    detector: Detector,
    g722: g722::Decoder,
    decimator: Decimator,
    opus: Option<opus::Decoder>,
    /// Sequence number and arrival of the latest packet.
    latest: Option<(u16, Instant)>,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listening(takes: {})", self.takes)
    }
}

/// What a packet ended, in milliseconds.
pub type Found = [Option<Digit>; DIGITS_A_PACKET];

impl Listening {
    /// `None` where tones are not looked for.
    pub fn new(tones: Tones, receive: &[Format]) -> Option<Box<Listening>> {
        let is_sealed = tones == Tones::Sealed;
        if tones == Tones::Passed || !is_sealed && receive.iter().all(|f| f.codec.rate().is_none()) {
            return None;
        }
        let has_opus = receive.iter().any(|f| f.codec == Codec::Opus);
        Some(Box::new(Listening {
            takes: matches!(tones, Tones::Taken | Tones::Sealed),
            seal: is_sealed.then(Seal::default),
            detector: Detector::new(),
            g722: g722::Decoder::new(),
            decimator: Decimator::new(Ratio::Two),
            opus: has_opus.then(|| opus::Decoder::new(opus::Rate::Hz8000)),
            latest: None,
        }))
    }

    /// Goes on with what the one before has heard.
    pub fn follow(&mut self, before: &mut Listening) {
        std::mem::swap(&mut self.detector, &mut before.detector);
        std::mem::swap(&mut self.g722, &mut before.g722);
        std::mem::swap(&mut self.decimator, &mut before.decimator);
        self.latest = before.latest;
        if self.seal.is_some() && before.seal.is_some() {
            std::mem::swap(&mut self.seal, &mut before.seal);
        }
        if self.opus.is_some() && before.opus.is_some() {
            std::mem::swap(&mut self.opus, &mut before.opus);
        }
    }

    /// Takes a packet's payload, and silences it if it may hold a digit that nobody is to hear.
    pub fn hear(&mut self, now: Instant, codec: Codec, sequence: u16, payload: &mut [u8]) -> Found {
        let mut found = Found::default();
        let lost = self.latest.map_or(0, |(latest, _)| sequence.wrapping_sub(latest).wrapping_sub(1));
        let is_late = lost >= 0x8000;
        let suspected = self.detector.suspects();
        if !is_late {
            if lost > LOST_MAX {
                self.pause(&mut found);
            }
            self.latest = Some((sequence, now));
            self.decode(codec, payload, &mut found);
        }
        // What comes too late to be looked at may hold anything.
        let unknown = is_late && self.seal.is_some();
        if self.takes && (suspected || unknown || self.detector.suspects() || found[0].is_some()) {
            silence(codec, payload);
            if let Some(seal) = &mut self.seal {
                seal.silence(|codec, packet| {
                    if let Ok(header) = Header::parse(packet) {
                        silence(codec, packet.get_mut(header.payload_range()).unwrap_or_default());
                    }
                });
            }
        }
        found
    }

    pub const fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// Holds a packet back that has been looked at; of a codec that cannot be looked into, it is dropped.
    pub fn hold(&mut self, at: Instant, codec: Codec, timestamp: u32, packet: &[u8]) {
        let is_known = codec.rate().is_some() || codec == Codec::ComfortNoise;
        if let Some(seal) = self.seal.as_mut().filter(|_| is_known) {
            seal.hold(at, codec, timestamp, packet);
        }
    }

    /// A packet that has been held back for long enough.
    pub fn release(&mut self, buffer: &mut [u8]) -> Option<(Held, usize)> {
        self.seal.as_mut()?.release(buffer)
    }

    fn decode(&mut self, codec: Codec, payload: &[u8], found: &mut Found) {
        if codec == Codec::Opus {
            let mut sound = [0; OPUS_SAMPLES];
            let samples = self.opus.as_mut().and_then(|opus| opus.decode(Some(payload), &mut sound).ok());
            return self.detect(sound.get(..samples.unwrap_or(0)).unwrap_or_default(), found);
        }
        for octets in payload.chunks(CHUNK) {
            let (mut sound, mut wide) = ([0; CHUNK], [0; 2 * CHUNK]);
            let samples = match codec {
                Codec::Pcmu => g711::ulaw_decode_slice(octets, &mut sound),
                Codec::Pcma => g711::alaw_decode_slice(octets, &mut sound),
                Codec::G722 => {
                    let samples = self.g722.decode(octets, &mut wide);
                    self.decimator.process(wide.get(..samples).unwrap_or_default(), &mut sound)
                }
                Codec::Opus | Codec::ComfortNoise | Codec::Opaque { .. } => 0,
            };
            self.detect(sound.get(..samples).unwrap_or_default(), found);
        }
    }

    fn detect(&mut self, sound: &[i16], found: &mut Found) {
        self.detector.process(sound, |event| {
            if let Event::End { digit, duration_ms } = event
                && let Some(place) = found.iter_mut().find(|place| place.is_none())
            {
                *place = Some(Digit { digit, duration: duration_ms });
            }
        });
    }

    /// Nobody speaks any more.
    fn pause(&mut self, found: &mut Found) {
        for _ in 0..3 {
            self.detect(&[0; CHUNK], found);
        }
    }

    /// The digit that was on when the packets ceased, once that is long enough ago.
    pub fn look(&mut self, now: Instant) -> Option<Digit> {
        if self.detector.active().is_none() || self.latest.is_some_and(|(_, at)| now.since(at) < PAUSE) {
            return None;
        }
        let mut found = Found::default();
        self.pause(&mut found);
        found[0]
    }
}

/// Puts silence in a packet's place.
fn silence(codec: Codec, payload: &mut [u8]) {
    match codec {
        Codec::Pcmu => payload.fill(0xff),
        Codec::Pcma => payload.fill(0xd5),
        // What an encoder makes of zeros at first.
        Codec::G722 => payload.fill(0xfa),
        Codec::Opus => opus_silence(payload),
        Codec::ComfortNoise | Codec::Opaque { .. } => {}
    }
}

/// As many frames of silence as last as long, padded to the length that the packet has (RFC 6716 §3.2.5). A packet of less than
/// five octets holds no tones.
fn opus_silence(payload: &mut [u8]) {
    let Some(duration) = opus::duration_48k(payload) else { return };
    let (config, frame) = match duration {
        d if d % 960 == 0 => (31, 960),
        d if d % 480 == 0 => (30, 480),
        d if d % 240 == 0 => (29, 240),
        _ => (28, 120),
    };
    let frames = duration / frame;
    let Some(rest) = payload.len().checked_sub(2 + 2 * frames as usize) else { return };
    // Each octet of 255 stands for 254 of padding and itself.
    let (full, last) = (rest.saturating_sub(1) / 255, rest.saturating_sub(1) % 255);
    let lengths = std::iter::repeat_n(255, full).chain((rest > 0).then_some(last as u8));
    let is_padded = u8::from(rest > 0) << 6;
    let head = [config << 3 | 3, is_padded | frames as u8].into_iter().chain(lengths);
    let silence = std::iter::repeat_n([0xff, 0xfe], frames as usize).flatten();
    let octets = head.chain(silence).chain(std::iter::repeat(0));
    payload.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
}

#[cfg(test)]
mod tests;
