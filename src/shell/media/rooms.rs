//! Rooms, seen from the control thread: which shard has which, and what they play.

use super::MediaEngine;
use super::prompt::Found;
use crate::media::command::{LegId, PlayId, RoomId, RoomSound, RoomState, Sounding};
use crate::media::player::{Player, Prompt};
use crate::media::room::RoomSetting;
use crate::media::shard::Order;
use codecs::tone::{Repeat, Segment, ToneSpec};
use std::sync::Arc;

/// Somebody has come: two rising tones of 100 ms.
const ENTER: ToneSpec = beep(&[587, 880]);
/// Somebody has gone: two falling ones.
const EXIT: ToneSpec = beep(&[880, 587]);
const BEEP_DBM0: f32 = -18.0;

const fn beep(hz: &[u16; 2]) -> ToneSpec {
    let first = Segment::new(&[hz[0]], BEEP_DBM0, 100, 0);
    ToneSpec::new(&[first, Segment::new(&[hz[1]], BEEP_DBM0, 100, 0)], Repeat::Times(1))
}

/// Who waits for a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiter {
    Leg(LegId, PlayId),
    Room(RoomId, PlayId),
}

impl MediaEngine {
    pub(super) fn set_room(&mut self, room: RoomId, group: u64, state: RoomState) {
        let shard = match self.rooms.get(&room) {
            Some(shard) => *shard,
            None => self.groups.get(&group).map_or(0, |g| g.shard),
        };
        if state.members.is_empty() {
            self.rooms.remove(&room);
        } else {
            self.rooms.insert(room, shard);
        }
        let [beep, announcement, music] =
            [&state.beep, &state.announcement, &state.music].map(|sound| self.room_player(room, sound.as_ref()));
        let reel = state.tap.map(|_| Box::default());
        let setting = Box::new(RoomSetting { state, beep, announcement, music, reel });
        self.give_to(shard, Order::Room { room, setting });
    }

    fn room_player(&mut self, room: RoomId, sound: Option<&RoomSound>) -> Player {
        match sound.map(|s| (s.id, &s.what)) {
            None => Player::default(),
            Some((_, Sounding::Enter)) => Player::tone(&ENTER, None),
            Some((_, Sounding::Exit)) => Player::tone(&EXIT, None),
            Some((id, Sounding::File { file, loops })) => self.prompt_player(file, *loops, Waiter::Room(room, id)),
        }
    }

    /// A player of a file; it waits where that has still to be read.
    pub(super) fn prompt_player(&mut self, file: &Arc<str>, loops: u32, waiter: Waiter) -> Player {
        match self.prompts.find(file) {
            Found::Ready(prompt) => Player::prompt(prompt, loops),
            Found::Coming => {
                self.waiting.push((file.clone(), waiter));
                Player::waiting(loops)
            }
            Found::Refused => Player::missing(),
        }
    }

    /// A prompt has been read, or could not be: all who wait for it get it.
    pub(super) fn loaded(&mut self, name: &Arc<str>, prompt: Option<Arc<Prompt>>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|(wanted, waiter)| {
            let prompt = prompt.clone();
            match *waiter {
                Waiter::Leg(leg, id) if wanted == name => self.give(leg, Order::Load { leg, id, prompt }),
                Waiter::Room(room, id) if wanted == name => {
                    if let Some(shard) = self.rooms.get(&room).copied() {
                        self.give_to(shard, Order::LoadRoom { room, id, prompt });
                    }
                }
                Waiter::Leg(leg, _) => return self.legs.contains_key(&leg),
                Waiter::Room(room, _) => return self.rooms.contains_key(&room),
            }
            false
        });
        self.waiting = waiting;
    }
}
