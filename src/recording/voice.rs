//! One track's packets to sound at the recording's rate. Codecs with a memory get their packets in order; the laws of G.711 need
//! none, their packets are placed as they come.

use super::track::{Stamp, Track};
use crate::base::time::{Duration, Instant};
use crate::media::command::Codec;
use crate::media::tap::{Frame, Label, PAYLOAD_MAX as PART_MAX};
use codecs::resample::{Decimator, Interpolator, Ratio};
use codecs::{g711, g722, opus};

/// Packets that wait for one before them, at most, and how long.
const HELD_MAX: usize = 4;
const PATIENCE: Duration = Duration::from_millis(100);
/// 120 ms at 16 kHz: the longest Opus packet.
const SOUND_MAX: usize = 1_920;
/// Longest payload that is put together of parts.
const PAYLOAD_MAX: usize = 1_600;

enum Decoder {
    None,
    G722(Box<g722::Decoder>),
    Opus(Box<opus::Decoder>),
}

enum Converter {
    None,
    Up(Box<Interpolator>),
    Down(Box<Decimator>),
}

struct Held {
    label: Label,
    payload: Vec<u8>,
}

/// See the module's documentation.
pub struct Voice {
    rate: u32,
    codec: Option<Codec>,
    decoder: Decoder,
    converter: Converter,
    /// Parts of a packet of which the last is outstanding.
    parts: Vec<u8>,
    parts_seen: u8,
    /// The sequence number that is next, of packets with a memory.
    next: Option<(u32, u16)>,
    held: Vec<Held>,
    pub track: Track,
}

impl Voice {
    pub fn new(rate: u32) -> Voice {
        Voice {
            rate,
            codec: None,
            decoder: Decoder::None,
            converter: Converter::None,
            parts: Vec::new(),
            parts_seen: 0,
            next: None,
            held: Vec::new(),
            track: Track::new(rate),
        }
    }

    /// Takes a frame of a tap; `begin` is the recording's.
    pub fn take(&mut self, begin: Instant, frame: &Frame) {
        if frame.label.codec.is_g711() {
            return self.take_g711(begin, frame);
        }
        if frame.part == 0 {
            (self.parts_seen, self.parts) = (0, std::mem::take(&mut self.parts));
            self.parts.clear();
        }
        if frame.part != self.parts_seen || self.parts.len() + frame.payload().len() > PAYLOAD_MAX {
            // A part was lost in the ring: the packet is.
            self.parts_seen = u8::MAX;
            return;
        }
        self.parts.extend_from_slice(frame.payload());
        self.parts_seen = frame.part.saturating_add(1);
        if frame.last {
            let payload = std::mem::take(&mut self.parts);
            self.sort(begin, frame.label, payload);
        }
    }

    fn take_g711(&mut self, begin: Instant, frame: &Frame) {
        let mut narrow = [0; PART_MAX];
        let count = match frame.label.codec {
            Codec::Pcmu => g711::ulaw_decode_slice(frame.payload(), &mut narrow),
            _ => g711::alaw_decode_slice(frame.payload(), &mut narrow),
        };
        let offset = u32::from(frame.part) * PART_MAX as u32;
        let label = Label { timestamp: frame.label.timestamp.wrapping_add(offset), ..frame.label };
        let narrow = narrow.get(..count).unwrap_or_default();
        if self.rate == 8_000 {
            return self.place(begin, label, narrow);
        }
        self.turn_to(label.codec);
        let mut wide = [0; 2 * PART_MAX];
        let count = match &mut self.converter {
            Converter::Up(up) => up.process(narrow, &mut wide),
            _ => 0,
        };
        self.place(begin, label, wide.get(..count).unwrap_or_default());
    }

    /// Another codec begins: another decoder, and what brings it to our rate.
    fn turn_to(&mut self, codec: Codec) {
        if self.codec == Some(codec) {
            return;
        }
        self.codec = Some(codec);
        self.decoder = match codec {
            Codec::G722 => Decoder::G722(Box::new(g722::Decoder::new())),
            Codec::Opus if self.rate == 8_000 => Decoder::Opus(Box::new(opus::Decoder::new(opus::Rate::Hz8000))),
            Codec::Opus => Decoder::Opus(Box::new(opus::Decoder::new(opus::Rate::Hz16000))),
            _ => Decoder::None,
        };
        self.converter = match (codec, self.rate) {
            (Codec::G722, 8_000) => Converter::Down(Box::new(Decimator::new(Ratio::Two))),
            (Codec::Pcmu | Codec::Pcma, 16_000) => Converter::Up(Box::new(Interpolator::new(Ratio::Two))),
            _ => Converter::None,
        };
    }

    /// Decodes what is next, and keeps what comes too early.
    fn sort(&mut self, begin: Instant, label: Label, payload: Vec<u8>) {
        let ahead = match self.next {
            Some((ssrc, next)) if ssrc == label.ssrc => label.sequence.wrapping_sub(next),
            _ => 0,
        };
        if ahead == 0 {
            self.decode(begin, label, &payload);
        } else if ahead < 0x8000 {
            self.held.push(Held { label, payload });
        }
        self.release(begin, label.at);
    }

    /// Decodes what was kept and is next now, or has waited long enough for what is lost.
    pub fn release(&mut self, begin: Instant, now: Instant) {
        while let Some((_, next)) = self.next {
            let nearest = self.held.iter().enumerate().min_by_key(|(_, h)| h.label.sequence.wrapping_sub(next));
            let Some((i, held)) = nearest else { return };
            let ripe =
                held.label.sequence == next || self.held.len() > HELD_MAX || now.since(held.label.at) >= PATIENCE;
            if !ripe {
                return;
            }
            let Held { label, payload } = self.held.swap_remove(i);
            if label.sequence.wrapping_sub(next) < 0x8000 {
                self.decode(begin, label, &payload);
            }
        }
    }

    fn decode(&mut self, begin: Instant, label: Label, payload: &[u8]) {
        self.next = Some((label.ssrc, label.sequence.wrapping_add(1)));
        self.turn_to(label.codec);
        let mut sound = [0; SOUND_MAX];
        let count = match &mut self.decoder {
            Decoder::None => return,
            Decoder::G722(decoder) => {
                let fits = payload.get(..payload.len().min(SOUND_MAX / 2)).unwrap_or_default();
                decoder.decode(fits, &mut sound)
            }
            Decoder::Opus(decoder) => decoder.decode(Some(payload), &mut sound).unwrap_or(0),
        };
        let sound = sound.get(..count).unwrap_or_default();
        match &mut self.converter {
            Converter::Down(down) => {
                let mut short = [0; SOUND_MAX];
                let count = down.process(sound, &mut short);
                self.place(begin, label, short.get(..count).unwrap_or_default());
            }
            _ => self.place(begin, label, sound),
        }
    }

    fn place(&mut self, begin: Instant, label: Label, sound: &[i16]) {
        let arrival = label.at.since(begin).as_micros() as u64 * u64::from(self.rate) / 1_000_000;
        let Label { ssrc, timestamp, codec, .. } = label;
        self.track.place(arrival, Stamp { ssrc, timestamp, clock_rate: codec.clock_rate() }, sound);
    }
}
