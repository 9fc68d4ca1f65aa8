//! Rooms: their members' ears are pulled together, mixed once, and said by their mouths.
//!
//! All legs of a room live on its shard. A room has one step of each frame in which it is mixed; while a leg has a seat there, its
//! ear is pulled by the room and by nobody else.

use super::{EARS, STEP_US, Shard, Sink, send};
use crate::base::time::Instant;
use crate::media::command::{Codec, Event, Hears, LegId, PlayId, RoomId};
use crate::media::frame::{Frame, Rate};
use crate::media::player::{Filled, Prompt};
use crate::media::room::{Common, Mixed, Room, RoomSetting};
use std::sync::Arc;

/// Samples of a frame at 8 kHz, and octets of it as G.711.
const NARROW: usize = 160;

/// A room and the places of its seats.
#[derive(Debug, Default)]
pub(super) struct Hall {
    room: Room,
    setting: Box<RoomSetting>,
    /// By seat; `None` where the leg is not here, or hears something else.
    ports: Vec<Option<u32>>,
}

impl Hall {
    /// Makes the desired state so, and returns the former one. What both play goes on.
    fn set(&mut self, mut new: Box<RoomSetting>) -> Box<RoomSetting> {
        for ((before, player), (after, next)) in self.setting.players().into_iter().zip(new.players()) {
            if before.is_some() && before == after {
                std::mem::swap(player, next);
            }
        }
        if self.setting.state.tap == new.state.tap {
            std::mem::swap(&mut self.setting.reel, &mut new.reel);
        }
        self.room.set(&new.state.members);
        std::mem::replace(&mut self.setting, new)
    }

    /// Plays what there is to be played; the end of the announcement, if this is it.
    fn play(&mut self) -> Option<(PlayId, bool)> {
        let RoomSetting { state, beep, announcement, music, reel: _ } = &mut *self.setting;
        let mut frame = [0; NARROW];
        if state.beep.is_some() && sounds(beep.fill(&mut frame)) {
            self.room.announce(Rate::Narrow, &frame);
        }
        if state.music.is_some() && sounds(music.fill(&mut frame)) {
            self.room.music(Rate::Narrow, &frame);
        }
        let id = state.announcement.as_ref()?.id;
        let filled = announcement.fill(&mut frame);
        if sounds(filled) {
            self.room.announce(Rate::Narrow, &frame);
        }
        if let Filled::End { played } = filled { Some((id, played)) } else { None }
    }

    fn record(&mut self, due: Instant, out: &mut impl Sink) {
        let RoomSetting { state, reel, .. } = &mut *self.setting;
        if let (Some(tap), Some(reel)) = (state.tap, reel) {
            reel.take(tap, due, self.room.talk(), |frame| out.tap(frame));
        }
    }
}

const fn sounds(filled: Filled) -> bool {
    matches!(filled, Filled::Sound | Filled::End { played: true })
}

/// What many hear, as G.711: each encoded once a tick, when the first of them is to hear it.
struct Encoded {
    done: [Option<(Common, Codec)>; 6],
    payloads: [[u8; NARROW]; 6],
}

impl Encoded {
    fn of(&mut self, common: Common, codec: Codec, frame: &[i16]) -> &[u8] {
        let same = |d: &Option<(Common, Codec)>| d.is_none_or(|d| d == (common, codec));
        let at = self.done.iter().position(same).unwrap_or(0);
        let (Some(done), Some(payload)) = (self.done.get_mut(at), self.payloads.get_mut(at)) else { return &[] };
        if done.replace((common, codec)).is_none() {
            codec.encode(frame, payload);
        }
        payload
    }
}

impl Shard {
    pub(super) fn mixes_in(&self, step: u64) -> bool {
        self.rooms.get(step as usize % EARS).is_some_and(|rooms| !rooms.is_empty())
    }

    /// Mixes the rooms whose step it is.
    pub(super) fn mix(&mut self, step: u64, late: bool, out: &mut impl Sink) {
        let Some(mut rooms) = self.rooms.get_mut(step as usize % EARS).map(std::mem::take) else { return };
        let due = Instant::from_micros(step * STEP_US);
        for (id, hall) in &mut rooms {
            if late {
                self.skip(hall, due);
            } else {
                self.mix_room(*id, hall, due, out);
            }
        }
        if let Some(place) = self.rooms.get_mut(step as usize % EARS) {
            *place = rooms;
        }
    }

    fn skip(&mut self, hall: &Hall, due: Instant) {
        for port in hall.ports.iter().flatten() {
            self.stats.ticks_late += 1;
            if let Some(ear) = self.place(*port).and_then(|p| p.leg.ear()) {
                ear.skip(due);
            }
        }
    }

    fn mix_room(&mut self, id: RoomId, hall: &mut Hall, due: Instant, out: &mut impl Sink) {
        hall.room.begin();
        let mut frame = Frame::silent(Rate::Narrow);
        for (seat, port) in hall.ports.iter().enumerate() {
            self.foresee_after(seat, |seat| hall.ports.get(seat)?.as_ref());
            let place = port.and_then(|port| self.place(port));
            let Some(ear) = place.and_then(|p| p.leg.ear()) else { continue };
            hall.room.tune(seat, ear.rate());
            if !ear.pull(due, &mut frame) {
                continue;
            }
            hall.room.say(seat, frame.samples());
            if let Some(port) = *port {
                self.tell(port, due, &frame, out);
            }
        }
        if let Some((play, played)) = hall.play() {
            out.event(Event::RoomPlayEnded { room: id, id: play, played });
        }
        if let Some(leg) = hall.room.mix() {
            out.event(Event::Speaker { room: id, leg });
        }
        hall.record(due, out);
        let mut encoded = Encoded { done: [None; 6], payloads: [[0; NARROW]; 6] };
        for (seat, port) in hall.ports.iter().enumerate() {
            self.foresee_sent([2, 4].map(|n| hall.ports.get(seat + n).copied().flatten()));
            if let (Some(port), Some(mixed)) = (*port, hall.room.heard(seat)) {
                self.say(port, due, mixed, &mut encoded, out);
            }
        }
    }

    /// Lets a member hear what is for it.
    fn say(&mut self, port: u32, due: Instant, mixed: Mixed<'_>, encoded: &mut Encoded, out: &mut impl Sink) {
        let complexity = self.effort.complexity();
        let Some(place) = self.place(port) else { return };
        place.leg.spend(complexity);
        let (tapped, frame) = (place.leg.tapped(), mixed.frame());
        let (codec, narrow) = (place.leg.plain(), frame.len() == NARROW);
        let mut own = [0; NARROW];
        let send = |to, packet: &[u8], wire: Option<&[u8]>| send(tapped, due, (port, to), packet, wire, out);
        match (codec.filter(|_| narrow), mixed) {
            (Some(codec), Mixed::Common(common, frame)) => {
                place.leg.say_encoded(due, encoded.of(common, codec, frame), send);
            }
            (Some(codec), Mixed::Own(frame)) => {
                codec.encode(frame, &mut own);
                place.leg.say_encoded(due, &own, send);
            }
            (None, _) => {
                let rate = if narrow { Rate::Narrow } else { Rate::Wide };
                place.leg.say(due, rate, frame, send);
            }
        }
        self.stats.ticks += 1;
    }

    // ---- who sits where --------------------------------------------------------------------------------------------

    fn hall(&mut self, id: RoomId) -> Option<&mut Hall> {
        self.rooms.get_mut(id.0 as usize % EARS)?.get_mut(&id).map(|hall| &mut **hall)
    }

    /// Makes a room so; without members it is no more.
    pub(super) fn set_room(&mut self, id: RoomId, setting: Box<RoomSetting>, out: &mut impl Sink) {
        let is_over = setting.state.members.is_empty();
        let Some(rooms) = self.rooms.get_mut(id.0 as usize % EARS) else { return };
        out.spent_room(rooms.entry(id).or_default().set(setting));
        self.seat(id);
        if let Some(rooms) = self.rooms.get_mut(id.0 as usize % EARS)
            && is_over
            && let Some(hall) = rooms.remove(&id)
        {
            out.spent_room(hall.setting);
        }
    }

    /// The prompt of a room's sound has been read, or could not be.
    pub(super) fn load_room(&mut self, id: RoomId, play: PlayId, prompt: Option<&Arc<Prompt>>) {
        let Some(hall) = self.hall(id) else { return };
        for (_, player) in hall.setting.players().into_iter().filter(|(sound, _)| *sound == Some(play)) {
            player.load(prompt.cloned());
        }
    }

    /// Finds the places of a room's seats anew: a leg has a seat while it is a member and hears the room.
    pub(super) fn seat(&mut self, id: RoomId) {
        let Some(hall) = self.hall(id) else { return };
        let legs: Vec<LegId> = hall.room.legs().collect();
        let before = std::mem::take(&mut hall.ports);
        let ports: Vec<Option<u32>> = legs
            .into_iter()
            .map(|leg| {
                self.find(leg).filter(|port| self.place(*port).is_some_and(|p| *p.leg.hears() == Hears::Room(id)))
            })
            .collect();
        let mut changed = Vec::new();
        for port in before.iter().flatten() {
            if let Some(place) = self.place(*port).filter(|p| p.room == Some(id)) {
                place.room = None;
            }
        }
        for port in ports.iter().flatten() {
            if let Some(place) = self.place(*port) {
                place.room = Some(id);
            }
            if !before.contains(&Some(*port)) {
                changed.push(*port);
            }
        }
        changed.extend(before.iter().flatten().filter(|port| self.place(**port).is_some_and(|p| p.room.is_none())));
        if let Some(hall) = self.hall(id) {
            hall.ports = ports;
        }
        for port in changed {
            self.equip(port);
            if self.place(port).is_some_and(|p| p.generates()) {
                self.enter_wheel(port);
            }
        }
    }
}
