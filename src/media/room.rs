//! A room's mixer, sans-IO: who hears whom, 20 ms at a time.
//!
//! ```text
//!  ear ─► say ─ volume, gate ─┬─► bus of 8 kHz  ─┐ each bus gets the other one,   ┌─► common frame: all who say nothing
//!  ear ─► say ─ volume, gate ─┼─► bus of 16 kHz ─┘ resampled once for the room    ├─► bus less own part: who speaks
//!                             └─► whispers: from one seat to another ─────────────┴─► … plus whispers: who is coached
//! ```
//!
//! A tick: [`Room::begin`], then [`Room::say`] for each seat that has sound, [`Room::announce`] and [`Room::music`], then
//! [`Room::mix`], then [`Room::heard`] for each seat. It adds once and takes away each speaker's own part, so its cost grows
//! with the members and not with their square; the wide band costs two resamplers a room, not one a member. Every gain goes
//! to its new value in a straight line over one frame, those that fall one frame before those that rise. No tick allocates; [`Room::set`] does.

mod bus;
mod floor;
mod reel;
mod seat;

#[cfg(test)]
mod tests;

use super::command::{LegId, Listens, MEMBERS_MAX, Member, ONLY_MAX, PlayId, RoomSound, RoomState, Says};
use super::frame::{FRAME_SAMPLES_MAX as FRAME_MAX, Rate};
use super::player::Player;
use bus::Buses;
use codecs::mix::{Slope, soften};
use floor::Floor;
pub use reel::Reel;
use seat::Seat;

/// A room's desired state and the players that it asks for, made and freed on the control thread's side.
#[derive(Debug, Default)]
pub struct RoomSetting {
    pub state: RoomState,
    pub beep: Player,
    pub announcement: Player,
    pub music: Player,
    /// Of the room's tap, if it has one.
    pub reel: Option<Box<Reel>>,
}

impl RoomSetting {
    /// Beep, announcement and music: which playing it is to be, if any, and its player.
    pub fn players(&mut self) -> [(Option<PlayId>, &mut Player); 3] {
        let id = |sound: &Option<RoomSound>| sound.as_ref().map(|s| s.id);
        let RoomSetting { state, beep, announcement, music, reel: _ } = self;
        [(id(&state.beep), beep), (id(&state.announcement), announcement), (id(&state.music), music)]
    }
}

/// A frame that many hear: within one room, tick and band it is the same, and can be encoded once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Common {
    Silence,
    Talk,
    Music,
}

/// What a seat hears in this tick, in its band.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mixed<'a> {
    Common(Common, &'a [i16]),
    Own(&'a [i16]),
}

impl<'a> Mixed<'a> {
    pub const fn frame(self) -> &'a [i16] {
        match self {
            Mixed::Common(_, frame) | Mixed::Own(frame) => frame,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Room {
    /// Ordered by leg.
    seats: Vec<Seat>,
    buses: Buses,
    floor: Floor,
    /// What one seat hears, as sum and as sound.
    work: Work,
}

#[derive(Debug)]
struct Work {
    sum: [i32; FRAME_MAX],
    out: [i16; FRAME_MAX],
}

impl Default for Work {
    fn default() -> Work {
        Work { sum: [0; FRAME_MAX], out: [0; FRAME_MAX] }
    }
}

impl Room {
    // ---- between ticks ---------------------------------------------------------------------------------------------

    /// Makes the members so: those who go fade out, those who come begin in silence. Seats are numbered in the order of
    /// `members`, which are ordered by leg; who is out of order or beyond [`MEMBERS_MAX`] gets no seat.
    pub fn set(&mut self, members: &[Member]) {
        let mut old = std::mem::take(&mut self.seats).into_iter().peekable();
        let mut seats: Vec<Seat> = Vec::with_capacity(members.len().min(MEMBERS_MAX));
        for member in members.iter().take(MEMBERS_MAX) {
            if seats.last().is_some_and(|last| last.leg >= member.leg) {
                continue;
            }
            while let Some(gone) = old.next_if(|seat| seat.leg < member.leg) {
                self.buses.fade(gone.band, gone.last_public());
            }
            let mut seat = old.next_if(|seat| seat.leg == member.leg).unwrap_or_else(|| Seat::new(member.leg));
            seat.set(member);
            seats.push(seat);
        }
        for gone in old {
            self.buses.fade(gone.band, gone.last_public());
        }
        self.seats = seats;
        self.place_whispers(members);
    }

    /// Joins each whisper to the seats at its two ends.
    fn place_whispers(&mut self, members: &[Member]) {
        for seat in &mut self.seats {
            seat.end_whispers();
        }
        for member in members.iter().take(MEMBERS_MAX) {
            let Says::Only(hearers) = &member.says else { continue };
            for hearer in hearers.iter().take(ONLY_MAX).filter(|leg| **leg != member.leg) {
                if let Some(seat) = self.find(*hearer).and_then(|i| self.seats.get_mut(i)) {
                    seat.whispered_by(member.leg);
                }
            }
        }
        self.bridge_whispers();
    }

    /// Finds the seat that each whisper comes from, and lets go those whose seat has gone.
    fn bridge_whispers(&mut self) {
        for i in 0..self.seats.len() {
            let Some(to) = self.seats.get_mut(i).filter(|seat| !seat.whispers.is_empty()) else { continue };
            let (band, mut whispers) = (to.band, std::mem::take(&mut to.whispers));
            whispers.retain_mut(|whisper| {
                let Some(from) = self.find(whisper.leg) else { return false };
                whisper.from = from;
                whisper.bridge(self.seats.get(from).map_or(band, |seat| seat.band), band);
                true
            });
            if let Some(seat) = self.seats.get_mut(i) {
                seat.whispers = whispers;
            }
        }
    }

    fn find(&self, leg: LegId) -> Option<usize> {
        self.seats.binary_search_by_key(&leg, |seat| seat.leg).ok()
    }

    /// The rate at which a seat speaks and hears.
    pub fn tune(&mut self, seat: usize, band: Rate) {
        if let Some(seat) = self.seats.get_mut(seat).filter(|seat| seat.band != band) {
            self.buses.fade(seat.band, seat.last_public());
            seat.tune(band);
            self.bridge_whispers();
        }
    }

    /// The legs of its seats, in order.
    pub fn legs(&self) -> impl ExactSizeIterator<Item = LegId> + '_ {
        self.seats.iter().map(|seat| seat.leg)
    }

    pub const fn len(&self) -> usize {
        self.seats.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    // ---- a tick ----------------------------------------------------------------------------------------------------

    pub fn begin(&mut self) {
        let (mut wide, mut narrow, mut whispers) = (false, false, false);
        for seat in &mut self.seats {
            wide |= seat.band == Rate::Wide;
            narrow |= seat.band == Rate::Narrow;
            whispers |= !seat.whispers.is_empty();
            seat.begin();
        }
        self.buses.begin(wide, narrow);
        if whispers {
            self.begin_whispers();
        }
    }

    fn begin_whispers(&mut self) {
        for i in 0..self.seats.len() {
            let Some(seat) = self.seats.get_mut(i).filter(|seat| !seat.whispers.is_empty()) else { continue };
            let mut whispers = std::mem::take(&mut seat.whispers);
            for whisper in &mut whispers {
                if let Some(from) = self.seats.get(whisper.from) {
                    whisper.begin(from.public_gain);
                }
            }
            if let Some(seat) = self.seats.get_mut(i) {
                seat.whispers = whispers;
            }
        }
    }

    /// What a seat says, once a tick. A frame that is not [`Rate::frame`] long is not heard.
    pub fn say(&mut self, seat: usize, frame: &[i16]) {
        if let Some(seat) = self.seats.get_mut(seat) {
            seat.say(frame);
        }
    }

    /// A beep or an announcement, over the talk. At most a few a tick.
    pub fn announce(&mut self, band: Rate, frame: &[i16]) {
        self.buses.add(band, Slope::UNITY, frame);
    }

    /// The room's music, at most once a tick.
    pub fn music(&mut self, band: Rate, frame: &[i16]) {
        self.buses.music(band, frame);
    }

    /// All has been said. Returns who has the floor now, if that has changed.
    pub fn mix(&mut self) -> Option<Option<LegId>> {
        for seat in &mut self.seats {
            seat.spoken();
            if let Some((slope, frame)) = seat.public() {
                self.buses.add(seat.band, slope, frame);
            }
        }
        self.buses.mix();
        self.floor.tick(self.seats.iter().map(|seat| (seat.leg, seat.voice())))
    }

    /// All that is said in this tick, in the widest band that anybody has.
    pub fn talk(&self) -> (Rate, &[i16]) {
        let band = self.buses.widest();
        (band, self.buses.common(band, Common::Talk))
    }

    /// What a seat hears; `None` for a seat that is not there.
    pub fn heard(&mut self, index: usize) -> Option<Mixed<'_>> {
        let seat = self.seats.get(index)?;
        let (band, len) = (seat.band, seat.band.frame());
        let own = seat.public();
        if let Some(common) = seat.common().filter(|c| *c != Common::Talk || own.is_none()) {
            return Some(Mixed::Common(common, self.buses.common(band, common)));
        }
        let Work { sum, out } = &mut self.work;
        let (sum, out) = (sum.get_mut(..len)?, out.get_mut(..len)?);
        sum.copy_from_slice(self.buses.sum(band));
        if let Some((slope, frame)) = own {
            slope.subtract(frame, sum);
        }
        let mut whispers = std::mem::take(&mut self.seats.get_mut(index)?.whispers);
        for whisper in &mut whispers {
            if let Some(from) = self.seats.get(whisper.from) {
                whisper.add(from.said(), sum);
            }
        }
        let seat = self.seats.get_mut(index)?;
        seat.whispers = whispers;
        soften(sum, out);
        let (talk, music) = (seat.talk.slope(len), seat.music.slope(len));
        if talk != Slope::UNITY || music != Slope::level(0) {
            sum.fill(0);
            talk.add(out, sum);
            music.add(self.buses.common(band, Common::Music), sum);
            soften(sum, out);
        }
        Some(Mixed::Own(out))
    }

    /// Who has the floor: the one who speaks loudest, with some patience.
    pub const fn speaker(&self) -> Option<LegId> {
        self.floor.holder()
    }
}

impl From<Listens> for Common {
    fn from(listens: Listens) -> Common {
        match listens {
            Listens::Talk => Common::Talk,
            Listens::Music => Common::Music,
            Listens::Nothing => Common::Silence,
        }
    }
}
