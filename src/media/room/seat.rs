//! A member's seat: what it says, to whom, and what it hears.

use super::{Common, FRAME_MAX, Rate};
use crate::media::command::{LegId, Member, Says, UNITY_Q12};
use codecs::level;
use codecs::mix::Slope;
use codecs::resample::{Decimator, Interpolator, Ratio};
use codecs::vad::Detector;

/// A seat whose peaks stay below this (−54 dB of full scale) …
const QUIET_PEAK: u16 = 64;
/// … for so many frames (500 ms) is left out of the sum until it is over it again.
const QUIET_FRAMES: u16 = 25;
/// Sound that begins or breaks off does so over 5 ms: a frame's part.
const EDGE: usize = 4;

/// A gain on its way. It falls in the next tick and rises in the one after that: when one seat is to hear no longer and
/// another one to be heard, the two never meet half-way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gain {
    from_q12: i16,
    to_q12: i16,
    target_q12: i16,
    /// It has waited for a tick to rise.
    has_waited: bool,
}

impl Gain {
    pub const fn at(q12: i16) -> Gain {
        Gain { from_q12: q12, to_q12: q12, target_q12: q12, has_waited: false }
    }

    pub const fn aim(&mut self, q12: i16) {
        self.target_q12 = q12;
    }

    /// A tick begins.
    pub const fn begin(&mut self) {
        let rises = self.target_q12 > self.to_q12;
        self.go(!rises || self.has_waited);
        self.has_waited = rises && self.to_q12 < self.target_q12;
    }

    const fn go(&mut self, at_once: bool) {
        self.from_q12 = self.to_q12;
        if at_once {
            self.to_q12 = self.target_q12;
        }
    }

    pub const fn slope(self, over: usize) -> Slope {
        if self.from_q12 == self.to_q12 {
            return Slope::level(self.to_q12);
        }
        Slope { from_q12: self.from_q12, to_q12: self.to_q12, over }
    }

    /// It is silent in this tick from end to end.
    const fn is_zero(self) -> bool {
        self.from_q12 == 0 && self.to_q12 == 0
    }

    const fn is_unity(self) -> bool {
        self.from_q12 == UNITY_Q12 && self.to_q12 == UNITY_Q12
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Seat {
    pub leg: LegId,
    pub band: Rate,
    pub whispers: Vec<Whisper>,
    /// What it hears: the talk, the music.
    pub talk: Gain,
    pub music: Gain,
    volume: Gain,
    /// Of what it says towards everyone.
    pub public_gain: Gain,
    /// What came in this tick, and with volume and edges what is said.
    frame: [i16; FRAME_MAX],
    spoke: bool,
    /// There was sound at the end of the tick before.
    was_open: bool,
    is_open: bool,
    last: i16,
    quiet: u16,
    detector: Detector,
    voice: Voice,
}

/// How loud a seat speaks to everyone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Voice {
    pub speaks: bool,
    /// Smoothed, in dB below overload.
    pub level_dbov: f32,
}

impl Seat {
    pub fn new(leg: LegId) -> Seat {
        Seat {
            leg,
            band: Rate::Narrow,
            whispers: Vec::new(),
            talk: Gain::default(),
            music: Gain::default(),
            volume: Gain::at(UNITY_Q12),
            public_gain: Gain::default(),
            frame: [0; FRAME_MAX],
            spoke: false,
            was_open: false,
            is_open: false,
            last: 0,
            quiet: 0,
            detector: Detector::new(8_000),
            voice: Voice { speaks: false, level_dbov: level::FLOOR_DB },
        }
    }

    pub fn set(&mut self, member: &Member) {
        let when = |on: bool| if on { UNITY_Q12 } else { 0 };
        let common = Common::from(member.listens);
        self.talk.aim(when(common == Common::Talk));
        self.music.aim(when(common == Common::Music));
        self.volume.aim(member.volume_q12.max(0));
        self.public_gain.aim(when(member.says == Says::Everyone));
    }

    pub fn tune(&mut self, band: Rate) {
        self.band = band;
        self.detector = Detector::new(band.hz());
        (self.was_open, self.is_open, self.last) = (false, false, 0);
    }

    // ---- whispers --------------------------------------------------------------------------------------------------

    pub fn end_whispers(&mut self) {
        self.whispers.retain(|w| !(w.gain.is_zero() && w.gain.target_q12 == 0));
        self.whispers.iter_mut().for_each(|w| w.gain.aim(0));
    }

    pub fn whispered_by(&mut self, leg: LegId) {
        match self.whispers.iter_mut().find(|w| w.leg == leg) {
            Some(whisper) => whisper.gain.aim(UNITY_Q12),
            None => self.whispers.push(Whisper::new(leg)),
        }
    }

    // ---- a tick ----------------------------------------------------------------------------------------------------

    pub fn begin(&mut self) {
        [&mut self.talk, &mut self.music, &mut self.volume, &mut self.public_gain].into_iter().for_each(Gain::begin);
        self.spoke = false;
        self.was_open = self.is_open;
    }

    pub fn say(&mut self, frame: &[i16]) {
        let len = self.band.frame();
        if let Some(own) = self.frame.get_mut(..len).filter(|own| own.len() == frame.len()) {
            own.copy_from_slice(frame);
            self.spoke = true;
        }
    }

    /// Makes what is said of what came: the volume, and the edges of sound that begins or breaks off.
    pub fn spoken(&mut self) {
        let len = self.band.frame();
        let Some(frame) = self.frame.get_mut(..len) else { return };
        if !self.spoke {
            // Where no sound comes any more, the last sample goes to zero.
            if self.was_open {
                let mut held = [self.last; FRAME_MAX];
                held.iter_mut().skip(len / EDGE).for_each(|s| *s = 0);
                Slope { from_q12: UNITY_Q12, to_q12: 0, over: len / EDGE }.scale(held.get(..len).unwrap_or(&[]), frame);
            }
            (self.is_open, self.last) = (false, 0);
            self.hush();
            return;
        }
        self.quiet = if level::peak(frame) < QUIET_PEAK { self.quiet.saturating_add(1) } else { 0 };
        self.is_open = self.quiet < QUIET_FRAMES;
        let speaks = self.detector.push(frame);
        let level_dbov = if self.is_open { self.detector.level_dbov() } else { level::FLOOR_DB };
        let rise = if level_dbov > self.voice.level_dbov { 0.4 } else { 0.06 };
        self.voice = Voice { speaks, level_dbov: self.voice.level_dbov + rise * (level_dbov - self.voice.level_dbov) };
        let mut copy = [0; FRAME_MAX];
        let Some(copy) = copy.get_mut(..len) else { return };
        let volume = self.volume.slope(len);
        if volume != Slope::UNITY {
            copy.copy_from_slice(frame);
            volume.scale(copy, frame);
        }
        if self.is_open != self.was_open {
            let (from_q12, to_q12) = if self.is_open { (0, UNITY_Q12) } else { (UNITY_Q12, 0) };
            copy.copy_from_slice(frame);
            Slope { from_q12, to_q12, over: len / EDGE }.scale(copy, frame);
        }
        self.last = frame.last().copied().unwrap_or(0);
    }

    /// Nothing came: whoever spoke does not any more.
    fn hush(&mut self) {
        const SILENCE: [i16; FRAME_MAX] = [0; FRAME_MAX];
        let speaks = self.detector.push(SILENCE.get(..self.band.frame()).unwrap_or(&[]));
        let level_dbov = self.voice.level_dbov + 0.06 * (level::FLOOR_DB - self.voice.level_dbov);
        self.voice = Voice { speaks, level_dbov };
    }

    /// What it says, if anything sounds.
    pub fn said(&self) -> Option<&[i16]> {
        self.frame.get(..self.band.frame()).filter(|_| self.is_open || self.was_open)
    }

    /// Its part of the sum.
    pub fn public(&self) -> Option<(Slope, &[i16])> {
        let frame = self.said().filter(|_| !self.public_gain.is_zero())?;
        Some((self.public_gain.slope(frame.len()), frame))
    }

    /// The last sample of its part of the sum.
    pub fn last_public(&self) -> i16 {
        ((i32::from(self.last) * i32::from(self.public_gain.to_q12)) >> 12) as i16
    }

    pub fn voice(&self) -> Option<Voice> {
        Some(self.voice).filter(|_| self.public_gain.to_q12 > 0)
    }

    /// What it hears is what many hear, but for its own part.
    pub fn common(&self) -> Option<Common> {
        if self.talk.is_zero() {
            return match self.music {
                music if music.is_zero() => Some(Common::Silence),
                music if music.is_unity() => Some(Common::Music),
                _ => None,
            };
        }
        let alone = self.talk.is_unity() && self.music.is_zero() && self.whispers.iter().all(Whisper::is_over);
        alone.then_some(Common::Talk)
    }
}

/// What one seat says to another alone.
#[derive(Debug)]
pub struct Whisper {
    pub leg: LegId,
    /// The seat that says it.
    pub from: usize,
    gain: Gain,
    bridge: Option<Box<Bridge>>,
}

impl Whisper {
    fn new(leg: LegId) -> Whisper {
        let mut gain = Gain::default();
        gain.aim(UNITY_Q12);
        Whisper { leg, from: usize::MAX, gain, bridge: None }
    }

    /// A tick begins, `public` being what its speaker says to everyone. What goes over from one to the other is heard without
    /// a gap: it comes while that falls, and stays until that rises.
    pub const fn begin(&mut self, public: Gain) {
        let (falls, is_to_rise) = (public.to_q12 < public.from_q12, public.to_q12 < public.target_q12);
        if falls {
            self.gain.go(true);
        } else if is_to_rise && self.gain.target_q12 < self.gain.to_q12 {
            self.gain.go(false);
        } else {
            self.gain.begin();
        }
    }

    const fn is_over(&self) -> bool {
        self.gain.is_zero()
    }

    /// Makes a resampler where its two ends differ in band.
    pub fn bridge(&mut self, from: Rate, to: Rate) {
        if from == to {
            self.bridge = None;
        } else if self.bridge.as_ref().is_none_or(|b| b.from != from) {
            self.bridge = Some(Box::new(Bridge::new(from)));
        }
    }

    /// Adds to what the seat that it is for hears.
    pub fn add(&mut self, said: Option<&[i16]>, sum: &mut [i32]) {
        const SILENCE: [i16; FRAME_MAX] = [0; FRAME_MAX];
        if self.is_over() {
            return;
        }
        let Some(bridge) = &mut self.bridge else {
            if let Some(said) = said.filter(|said| said.len() == sum.len()) {
                self.gain.slope(said.len()).add(said, sum);
            }
            return;
        };
        let said = said.or(SILENCE.get(..bridge.from.frame())).unwrap_or(&[]);
        let mut other = [0; FRAME_MAX];
        bridge.process(said, &mut other);
        if let Some(other) = other.get(..sum.len()) {
            self.gain.slope(other.len()).add(other, sum);
        }
    }
}

/// From one band to the other.
#[derive(Debug)]
pub struct Bridge {
    from: Rate,
    up: Interpolator,
    down: Decimator,
}

impl Bridge {
    pub fn new(from: Rate) -> Bridge {
        Bridge { from, up: Interpolator::new(Ratio::Two), down: Decimator::new(Ratio::Two) }
    }

    /// A frame of the other band.
    pub fn process(&mut self, said: &[i16], other: &mut [i16; FRAME_MAX]) {
        match self.from {
            Rate::Narrow => self.up.process(said, other),
            Rate::Wide => self.down.process(said, other),
        };
    }
}
