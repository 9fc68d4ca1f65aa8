//! One recording being made: frames of a tap in, the bytes of a file out. It reads no clock; the recorder's thread tells it the
//! time.
//!
//! ```text
//!  tap ─┬─ said  ─► voice (order, decode) ─► track ─┐
//!       └─ heard ─► voice                 ─► track ─┴─► 20 ms ─► pause ─► measure ─► trim ─► WAV or Opus ─► bytes
//! ```

use super::command::{Paused, Sides};
use super::journal::Format;
use super::measure::{Measure, is_loud};
use super::ogg;
use super::track::{HOLD_MS, Placed};
use super::trim::Trim;
use super::voice::Voice;
use super::wav::{Coding, Layout};
use crate::base::time::{Duration, Instant};
use crate::media::command::Codec;
use crate::media::tap::{Frame, Track as Way};
use codecs::opus;

/// Packets lie open so long for those that are late.
pub const HOLD: Duration = Duration::from_millis(HOLD_MS);
const FRAME: Duration = Duration::from_millis(20);
/// Samples of 20 ms at 16 kHz.
const FRAME_MAX: usize = 320;
/// Of one channel, in bits a second: wide-band speech.
const OPUS_BITRATE: u32 = 24_000;
const OPUS_COMPLEXITY: u8 = 3;
const PACKET_MAX: usize = 1_276;
/// Changes between pause and recording that are still to come.
const CHANGES_MAX: usize = 64;

/// How a recording is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    pub format: Format,
    pub sides: Sides,
    pub trim: bool,
}

/// What makes bytes of samples.
enum Press {
    Wav(Layout),
    Opus { file: Box<ogg::Writer>, encoders: Vec<opus::Encoder> },
}

/// What a recording is as a whole.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Summary {
    /// Of sound in the file.
    pub duration: Duration,
    pub rate: u32,
    /// Whether somebody was heard.
    pub heard: bool,
    pub measure: Measure,
    pub placed: [Placed; 2],
}

/// See the module's documentation.
pub struct Tape {
    settings: Settings,
    begin: Instant,
    /// Of the file; the first packet decides it, so that narrow-band calls take narrow-band room.
    rate: Option<u32>,
    voices: Vec<Voice>,
    press: Option<Press>,
    /// Frames of 20 ms that have gone by, and those in the file.
    passed: u64,
    written: u64,
    /// Frame from which the tape stands still or runs, in order.
    changes: Vec<(u64, Option<Paused>)>,
    paused: Option<Paused>,
    end: Option<u64>,
    trim: Option<Trim>,
    measure: Measure,
    heard: bool,
    /// Frames since the owner last talked.
    quiet: u64,
    serial: u32,
    bytes: Vec<u8>,
}

impl Tape {
    /// `serial` is a number that tells one Ogg stream from another.
    pub fn new(settings: Settings, begin: Instant, serial: u32) -> Tape {
        Tape {
            settings,
            begin,
            rate: None,
            voices: Vec::new(),
            press: None,
            passed: 0,
            written: 0,
            changes: Vec::new(),
            paused: None,
            end: None,
            trim: settings.trim.then(Trim::default),
            measure: Measure::default(),
            heard: false,
            quiet: 0,
            serial,
            bytes: Vec::new(),
        }
    }

    // ---- what comes ------------------------------------------------------------------------------------------------

    pub fn take(&mut self, frame: &Frame) {
        if self.rate.is_none() {
            let wide = matches!(frame.label.codec, Codec::G722 | Codec::Opus);
            self.open(if wide { 16_000 } else { 8_000 });
        }
        let place = match frame.label.track {
            Way::In => 0,
            Way::Out => 1,
        };
        if let Some(voice) = self.voices.get_mut(place) {
            voice.take(self.begin, frame);
        }
    }

    /// Stands still from `at` on.
    pub fn pause(&mut self, at: Instant, how: Paused) {
        self.change(at, Some(how));
    }

    pub fn resume(&mut self, at: Instant) {
        self.change(at, None);
    }

    fn change(&mut self, at: Instant, to: Option<Paused>) {
        let frame = self.frames_until(at);
        if self.changes.len() < CHANGES_MAX {
            self.changes.push((frame, to));
        }
    }

    /// Ends at `at`; what was under way until then still comes, for [`HOLD`].
    pub fn stop(&mut self, at: Instant) {
        let end = self.frames_until(at);
        self.end.get_or_insert(end);
    }

    fn frames_until(&self, at: Instant) -> u64 {
        (at.since(self.begin).as_micros() / FRAME.as_micros()) as u64
    }

    fn open(&mut self, rate: u32) {
        self.rate = Some(rate);
        let sides = if self.settings.sides == Sides::Said { 1 } else { 2 };
        self.voices = (0..sides).map(|_| Voice::new(rate)).collect();
        let channels = self.settings.sides.channels();
        let wav = |coding| Layout { coding, channels: u16::from(channels), rate };
        let press = match self.settings.format {
            Format::Wav => Press::Wav(wav(Coding::Pcm16)),
            Format::Ulaw => Press::Wav(wav(Coding::Ulaw)),
            Format::Opus => self.open_opus(channels, rate),
        };
        if let Press::Wav(layout) = press {
            self.bytes.append(&mut layout.header(None));
        }
        self.press = Some(press);
    }

    fn open_opus(&mut self, channels: u8, rate: u32) -> Press {
        let of = if rate == 8_000 { opus::Rate::Hz8000 } else { opus::Rate::Hz16000 };
        let encoders: Vec<opus::Encoder> = (0..channels)
            .map(|_| {
                let mut encoder = opus::Encoder::new(of);
                let _ = encoder.set_bitrate(OPUS_BITRATE);
                let _ = encoder.set_complexity(OPUS_COMPLEXITY);
                encoder
            })
            .collect();
        let ahead = encoders.first().map_or(0, opus::Encoder::lookahead) as u32 * (48_000 / rate);
        let pre_skip = u16::try_from(ahead).unwrap_or(0);
        let (file, mut head) = ogg::Writer::new(self.serial, channels, pre_skip, rate, "Tandem");
        self.bytes.append(&mut head);
        Press::Opus { file: Box::new(file), encoders }
    }

    // ---- what goes -------------------------------------------------------------------------------------------------

    /// Writes what lies far enough back that nothing can come before it any more.
    pub fn advance(&mut self, now: Instant) {
        let mut until = self.frames_until(now).saturating_sub(self.frames_until(self.begin + HOLD));
        until = self.end.map_or(until, |end| until.min(end));
        if until > self.passed && self.rate.is_none() {
            self.open(8_000);
        }
        for voice in &mut self.voices {
            voice.release(self.begin, now);
        }
        while self.passed < until {
            self.frame();
        }
    }

    /// Whether all that belongs to it has been written.
    pub fn is_over(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| self.frames_until(now) >= end + self.frames_until(self.begin + HOLD))
    }

    fn frame(&mut self) {
        while let Some((_, to)) = self.changes.first().filter(|(from, _)| *from <= self.passed).copied() {
            self.paused = to;
            self.changes.remove(0);
        }
        self.passed += 1;
        let len = self.rate.map_or(0, |rate| rate as usize / 50).min(FRAME_MAX);
        let mut sound = [[0; FRAME_MAX]; 2];
        for (voice, sound) in self.voices.iter_mut().zip(&mut sound) {
            voice.track.take(sound.get_mut(..len).unwrap_or_default());
        }
        match self.paused {
            Some(Paused::Skip) => return,
            Some(Paused::Silence) => sound = [[0; FRAME_MAX]; 2],
            None => {}
        }
        let [said, heard] = &sound;
        let (said, heard) = (said.get(..len).unwrap_or_default(), heard.get(..len).unwrap_or_default());
        let talk = self.measure.take([is_loud(said), is_loud(heard)]);
        self.quiet = if talk.first() == Some(&true) { 0 } else { self.quiet + 1 };
        let talks = talk.contains(&true);
        self.heard |= talks;
        let mut samples = [0; 2 * FRAME_MAX];
        let count = match self.settings.sides {
            Sides::Said => copy(said, &mut samples),
            Sides::Mono => mix(said, heard, &mut samples),
            Sides::Dual => interleave(said, heard, &mut samples),
        };
        let samples = samples.get(..count).unwrap_or_default();
        match self.trim.take() {
            Some(mut trim) => {
                trim.take(samples, talks, |frame| self.press(frame));
                self.trim = Some(trim);
            }
            None => self.press(samples),
        }
    }

    fn press(&mut self, samples: &[i16]) {
        self.written += 1;
        match &mut self.press {
            Some(Press::Wav(layout)) => layout.encode(samples, &mut self.bytes),
            Some(Press::Opus { file, encoders }) => {
                let mut packets = [[0; PACKET_MAX]; 2];
                let mut lens = [0; 2];
                let channels = encoders.len().max(1);
                for (n, ((encoder, packet), len)) in encoders.iter_mut().zip(&mut packets).zip(&mut lens).enumerate() {
                    let mut one = [0; FRAME_MAX];
                    let own = samples.iter().skip(n).step_by(channels);
                    one.iter_mut().zip(own).for_each(|(to, from)| *to = *from);
                    let frame = one.get(..samples.len() / channels).unwrap_or_default();
                    *len = encoder.encode(frame, packet).unwrap_or(0);
                }
                let [first, second] = &packets;
                let first = first.get(..lens[0]).unwrap_or_default();
                let second = (channels == 2).then(|| second.get(..lens[1]).unwrap_or_default());
                self.bytes.extend(file.push(first, second).into_iter().flatten());
            }
            None => {}
        }
    }

    /// The end: what is still to be written. A WAV is to begin with [`Layout::header`] of its true size then.
    pub fn finish(&mut self) {
        if self.rate.is_none() {
            self.open(8_000);
        }
        if let Some(mut trim) = self.trim.take() {
            trim.finish(|frame| self.press(frame));
        }
        match self.press.take() {
            Some(Press::Opus { file, .. }) => self.bytes.append(&mut file.finish(None)),
            Some(wav) => self.press = Some(wav),
            None => {}
        }
    }

    /// Bytes for the file that have come together.
    pub fn bytes(&mut self) -> Vec<u8> {
        if let Some(Press::Opus { file, .. }) = &mut self.press {
            self.bytes.append(&mut file.flush());
        }
        // The next portion will be about as long.
        let room = Vec::with_capacity(self.bytes.len() + self.bytes.len() / 8);
        std::mem::replace(&mut self.bytes, room)
    }

    pub fn pending(&self) -> usize {
        self.bytes.len()
    }

    /// How a WAV is laid out; `None` for Opus.
    pub fn layout(&self) -> Option<Layout> {
        match self.press {
            Some(Press::Wav(layout)) => Some(layout),
            _ => None,
        }
    }

    /// Samples of each channel in the file.
    pub fn samples(&self) -> u64 {
        self.written * u64::from(self.rate.unwrap_or(8_000)) / 50
    }

    /// How long the owner has said nothing.
    pub fn quiet(&self) -> Duration {
        FRAME * u32::try_from(self.quiet).unwrap_or(u32::MAX)
    }

    pub fn rate(&self) -> Option<u32> {
        self.rate
    }

    pub fn summary(&self) -> Summary {
        let placed = |n: usize| self.voices.get(n).map_or_else(Placed::default, |v| v.track.placed());
        Summary {
            duration: FRAME * u32::try_from(self.written).unwrap_or(u32::MAX),
            rate: self.rate.unwrap_or(8_000),
            heard: self.heard,
            measure: self.measure,
            placed: [placed(0), placed(1)],
        }
    }
}

fn copy(from: &[i16], out: &mut [i16]) -> usize {
    out.iter_mut().zip(from).for_each(|(out, s)| *out = *s);
    from.len()
}

fn mix(a: &[i16], b: &[i16], out: &mut [i16]) -> usize {
    out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a.saturating_add(*b));
    a.len()
}

fn interleave(a: &[i16], b: &[i16], out: &mut [i16]) -> usize {
    let (pairs, _) = out.as_chunks_mut::<2>();
    pairs.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = [*a, *b]);
    2 * a.len()
}

#[cfg(test)]
mod tests;
