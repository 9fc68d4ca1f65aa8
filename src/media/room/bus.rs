//! The sums of a room, one a band, and what all hear of them.

use super::seat::Bridge;
use super::{Common, FRAME_MAX, Rate};
use codecs::mix::{Slope, add_saturating, soften};

/// What the last sample of somebody who has gone takes to go to zero: 5 ms of a frame.
const EDGE: usize = 4;

/// See the module's documentation.
#[derive(Debug)]
pub struct Buses {
    narrow: Bus,
    wide: Bus,
    up: Bridge,
    down: Bridge,
    music_up: Bridge,
}

#[derive(Debug)]
struct Bus {
    /// A seat has this band.
    is_used: bool,
    sum: [i32; FRAME_MAX],
    talk: [i16; FRAME_MAX],
    music: [i16; FRAME_MAX],
    /// Last samples of seats that have gone.
    fading: i32,
}

const SILENCE: [i16; FRAME_MAX] = [0; FRAME_MAX];

impl Default for Buses {
    fn default() -> Buses {
        let bus = || Bus { is_used: false, sum: [0; FRAME_MAX], talk: SILENCE, music: SILENCE, fading: 0 };
        Buses {
            narrow: bus(),
            wide: bus(),
            up: Bridge::new(Rate::Narrow),
            down: Bridge::new(Rate::Wide),
            music_up: Bridge::new(Rate::Narrow),
        }
    }
}

impl Buses {
    pub fn begin(&mut self, wide: bool, narrow: bool) {
        (self.wide.is_used, self.narrow.is_used) = (wide, narrow);
        for (bus, band) in [(&mut self.narrow, Rate::Narrow), (&mut self.wide, Rate::Wide)] {
            bus.sum.fill(0);
            bus.music.fill(0);
            let (over, last) = (band.frame() / EDGE, std::mem::take(&mut bus.fading));
            for (i, sum) in bus.sum.iter_mut().take(over).enumerate() {
                *sum = (i64::from(last) * (over - i) as i64 / over as i64) as i32;
            }
        }
    }

    fn bus(&mut self, band: Rate) -> &mut Bus {
        match band {
            Rate::Narrow => &mut self.narrow,
            Rate::Wide => &mut self.wide,
        }
    }

    /// Somebody has gone, whose part of the sum ended with `last`.
    pub fn fade(&mut self, band: Rate, last: i16) {
        self.bus(band).fading += i32::from(last);
    }

    pub fn add(&mut self, band: Rate, slope: Slope, frame: &[i16]) {
        if let Some(sum) = self.bus(band).sum.get_mut(..frame.len()) {
            slope.add(frame, sum);
        }
    }

    pub fn music(&mut self, band: Rate, frame: &[i16]) {
        if let Some(music) = self.bus(band).music.get_mut(..frame.len()) {
            music.copy_from_slice(frame);
        }
    }

    /// Brings each band's sum into the other one and makes what all hear. A band that nobody has costs nothing.
    pub fn mix(&mut self) {
        let Buses { narrow, wide, up, down, music_up } = self;
        let (len, wide_len) = (Rate::Narrow.frame(), Rate::Wide.frame());
        let mut crossed = [SILENCE; 3];
        let [upwards, downwards, music] = &mut crossed;
        if wide.is_used {
            soften(&narrow.sum, &mut narrow.talk);
            up.process(narrow.talk.get(..len).unwrap_or(&[]), upwards);
            music_up.process(narrow.music.get(..len).unwrap_or(&[]), music);
            add_saturating(&mut wide.music, music);
        }
        if wide.is_used && narrow.is_used {
            soften(&wide.sum, &mut wide.talk);
            down.process(wide.talk.get(..wide_len).unwrap_or(&[]), downwards);
        }
        Slope::UNITY.add(upwards, &mut wide.sum);
        Slope::UNITY.add(downwards, &mut narrow.sum);
        for bus in [narrow, wide].into_iter().filter(|bus| bus.is_used) {
            soften(&bus.sum, &mut bus.talk);
        }
    }

    /// A band's sum with everybody's part in it.
    pub fn sum(&self, band: Rate) -> &[i32] {
        let bus = if band == Rate::Wide { &self.wide } else { &self.narrow };
        bus.sum.get(..band.frame()).unwrap_or(&[])
    }

    pub const fn widest(&self) -> Rate {
        if self.wide.is_used { Rate::Wide } else { Rate::Narrow }
    }

    pub fn common(&self, band: Rate, common: Common) -> &[i16] {
        let bus = if band == Rate::Wide { &self.wide } else { &self.narrow };
        let frame = match common {
            Common::Silence => &SILENCE,
            Common::Talk => &bus.talk,
            Common::Music => &bus.music,
        };
        frame.get(..band.frame()).unwrap_or(&[])
    }
}
