//! Conferences: who is in which, and what each one's room is to do.
//!
//! A conference is made by the first call that joins it and ends with the last that leaves. It begins when there are two and
//! one of those may begin it; before that all are muted and hear its music. After each change the room gets its whole state.

use super::call::{Call, Doing};
use super::io::{ConferenceView, Output, ParticipantView};
use super::world::{CallKey, World};
use crate::base::time::Now;
use crate::event::{CallId, Side, What};
use crate::media::command::{
    Command, Event, Hears, LegId, Listens, MEMBERS_MAX, Member, RoomId, RoomSound, RoomState, Says, Sounding, UNITY_Q12,
};
use crate::verb::{Conference as Asked, Outcome};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// All conferences that somebody is in.
#[derive(Debug, Default)]
pub struct Conferences {
    by_name: BTreeMap<String, Conference>,
    rooms: BTreeMap<RoomId, String>,
    next: u64,
    /// What has come over calls that did nothing themselves.
    news: VecDeque<(CallKey, News)>,
}

/// What a call is told of its conference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    Begins,
    /// It was ended, by somebody with `end_on_exit` or by the operator.
    Ended,
    /// The operator has taken this one out of it.
    Removed,
}

#[derive(Debug)]
struct Conference {
    room: RoomId,
    /// Of its calls, on whose shard it is.
    group: u64,
    since: Now,
    begun: Option<Now>,
    /// In the order of joining.
    participants: Vec<Participant>,
    wait: Option<RoomSound>,
    beep: Option<RoomSound>,
    announcement: Option<RoomSound>,
    speaker: Option<LegId>,
}

#[derive(Debug)]
struct Participant {
    call: CallKey,
    id: CallId,
    /// The user who calls, or the number.
    name: String,
    leg: LegId,
    joined: Now,
    asked: Asked,
    muted: bool,
    deaf: bool,
    /// By the operator, and by its own phone.
    held: bool,
    holds: bool,
    volume_db: i8,
}

/// What the operator changes of a participant; `None` leaves it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    pub muted: Option<bool>,
    /// Hears music and is not heard.
    pub hold: Option<bool>,
    /// Hears nothing.
    pub deaf: Option<bool>,
    /// A call's id or a user's name; "" for nobody.
    pub coach: Option<String>,
    /// Of what it says, −30 to 12.
    pub volume_db: Option<i8>,
}

impl Conference {
    fn new(room: RoomId, group: u64, now: Now) -> Conference {
        Conference {
            room,
            group,
            since: now,
            begun: None,
            participants: Vec::new(),
            wait: None,
            beep: None,
            announcement: None,
            speaker: None,
        }
    }

    /// There are enough to begin, and it has not.
    fn begins(&self) -> bool {
        self.begun.is_none() && self.participants.len() >= 2 && self.participants.iter().any(|p| p.asked.start_on_enter)
    }

    /// The leg that a coach means, which is not its own.
    fn coached(&self, by: &Participant) -> Option<Option<LegId>> {
        let coach = by.asked.coach.as_deref()?;
        let means = |p: &&Participant| p.call != by.call && (p.name == coach || p.id.to_string() == coach);
        Some(self.participants.iter().find(means).map(|p| p.leg))
    }

    fn member(&self, p: &Participant) -> Member {
        let waits = self.begun.is_none() || p.held || p.holds;
        let says = match self.coached(p) {
            _ if waits || p.muted => Says::Nobody,
            Some(Some(coached)) => Says::Only([coached].into()),
            // Who coaches somebody that is not there is not to be heard by everyone.
            Some(None) => Says::Nobody,
            None => Says::Everyone,
        };
        let listens = match waits {
            _ if p.deaf => Listens::Nothing,
            true => Listens::Music,
            false => Listens::Talk,
        };
        Member { leg: p.leg, says, listens, volume_q12: q12(p.volume_db) }
    }

    fn state(&self) -> RoomState {
        let mut members: Vec<Member> = self.participants.iter().map(|p| self.member(p)).collect();
        members.sort_by_key(|m| m.leg);
        let wanted = members.iter().any(|m| m.listens == Listens::Music);
        RoomState {
            members,
            beep: self.beep.clone(),
            announcement: self.announcement.clone(),
            music: self.wait.clone().filter(|_| wanted),
        }
    }

    fn view(&self, name: &str) -> ConferenceView {
        let participant = |p: &Participant| ParticipantView {
            call: p.id,
            name: p.name.clone(),
            joined: p.joined.wall,
            muted: p.muted,
            hold: p.held || p.holds,
            deaf: p.deaf,
            coach: p.asked.coach.clone(),
            volume_db: p.volume_db,
            end_on_exit: p.asked.end_on_exit,
            speaking: self.speaker == Some(p.leg),
        };
        ConferenceView {
            name: name.to_owned(),
            state: if self.begun.is_some() { "in-progress" } else { "waiting" },
            since: self.since.wall,
            participants: self.participants.iter().map(participant).collect(),
        }
    }
}

/// Decibels as a factor.
fn q12(db: i8) -> i16 {
    let factor = 10f64.powf(f64::from(db.clamp(-30, 12)) / 20.0);
    (f64::from(UNITY_Q12) * factor).round() as i16
}

impl World {
    fn play(&mut self, what: Sounding) -> RoomSound {
        RoomSound { id: self.new_play(), what }
    }

    /// Tells the room of a conference what it is to do; without participants both are gone.
    fn update_conference(&mut self, name: &str) {
        let Some(conference) = self.conferences.by_name.get(name) else { return };
        let (room, group, state) = (conference.room, conference.group, Box::new(conference.state()));
        let is_over = conference.participants.is_empty();
        self.output(Output::Media(Command::Room { room, group, state }));
        if is_over {
            self.conferences.by_name.remove(name);
            self.conferences.rooms.remove(&room);
        }
    }

    fn begin_conference(&mut self, name: &str, except: CallKey) {
        let now = self.now;
        let Some(conference) = self.conferences.by_name.get_mut(name).filter(|c| c.begins()) else { return };
        conference.begun = Some(now);
        let others = conference.participants.iter().map(|p| p.call).filter(|call| *call != except);
        self.conferences.news.extend(others.map(|call| (call, News::Begins)));
    }

    fn leave_conference(&mut self, name: &str, call: CallKey) {
        let beep = self.play(Sounding::Exit);
        let Some(conference) = self.conferences.by_name.get_mut(name) else { return };
        let Some(at) = conference.participants.iter().position(|p| p.call == call) else { return };
        let gone = conference.participants.remove(at);
        if gone.asked.end_on_exit {
            let others = conference.participants.drain(..).map(|p| (p.call, News::Ended));
            self.conferences.news.extend(others);
        } else if conference.begun.is_some() && gone.asked.beep.on_exit() {
            conference.beep = Some(beep);
        }
        conference.speaker = conference.speaker.filter(|leg| *leg != gone.leg);
        self.update_conference(name);
    }

    /// Something about a call's part in its conference has changed.
    fn change_participant(&mut self, name: &str, call: CallKey, change: impl FnOnce(&mut Participant)) -> bool {
        let conference = self.conferences.by_name.get_mut(name);
        let Some(participant) = conference.and_then(|c| c.participants.iter_mut().find(|p| p.call == call)) else {
            return false;
        };
        change(participant);
        self.update_conference(name);
        true
    }

    /// What a room tells.
    pub fn on_room(&mut self, event: &Event) {
        let (Event::Speaker { room, .. } | Event::RoomPlayEnded { room, .. }) = event else { return };
        let rooms = &self.conferences.rooms;
        let Some(name) = rooms.get(room).cloned() else { return };
        let Some(conference) = self.conferences.by_name.get_mut(&name) else { return };
        match event {
            Event::Speaker { leg, .. } => conference.speaker = *leg,
            Event::RoomPlayEnded { id, .. } if conference.announcement.as_ref().is_some_and(|a| a.id == *id) => {
                conference.announcement = None;
                self.update_conference(&name);
            }
            _ => {}
        }
    }

    /// What is to be told to calls that did nothing themselves, one at a time.
    pub fn conference_news(&mut self) -> Option<(CallKey, News)> {
        self.conferences.news.pop_front()
    }
}

/// What the operator asks.
impl World {
    pub fn conferences(&self) -> Vec<ConferenceView> {
        self.conferences.by_name.iter().map(|(name, conference)| conference.view(name)).collect()
    }

    pub fn change_by_operator(&mut self, name: &str, call: CallId, change: Change) -> bool {
        let Some(key) = self.participant(name, call) else { return false };
        self.change_participant(name, key, |p| {
            p.muted = change.muted.unwrap_or(p.muted);
            p.held = change.hold.unwrap_or(p.held);
            p.deaf = change.deaf.unwrap_or(p.deaf);
            p.volume_db = change.volume_db.unwrap_or(p.volume_db);
            if let Some(coach) = change.coach {
                p.asked.coach = Some(coach).filter(|c| !c.is_empty());
            }
        })
    }

    fn participant(&self, name: &str, call: CallId) -> Option<CallKey> {
        let conference = self.conferences.by_name.get(name)?;
        conference.participants.iter().find(|p| p.id == call).map(|p| p.call)
    }

    /// Takes one out of a conference, or ends it for all; their scripts go on.
    pub fn end_by_operator(&mut self, name: &str, only: Option<CallId>) -> bool {
        if let Some(call) = only {
            let Some(key) = self.participant(name, call) else { return false };
            self.leave_conference(name, key);
            self.conferences.news.push_back((key, News::Removed));
            return true;
        }
        let Some(conference) = self.conferences.by_name.get_mut(name) else { return false };
        let all = conference.participants.drain(..).map(|p| (p.call, News::Ended));
        self.conferences.news.extend(all);
        self.update_conference(name);
        true
    }

    /// Plays a prompt to all who are in the talk.
    pub fn announce(&mut self, name: &str, file: Arc<str>) -> bool {
        let announcement = self.play(Sounding::File { file, loops: 1 });
        let Some(conference) = self.conferences.by_name.get_mut(name) else { return false };
        conference.announcement = Some(announcement);
        self.update_conference(name);
        true
    }
}

impl Call {
    /// Another leg has taken leg 0's place: it has its seat too.
    pub fn seat_anew(&mut self, w: &mut World) {
        let Doing::Conferring(name) = &self.doing else { return };
        if let Some(leg) = self.legs.first().and_then(|leg| leg.session.media()) {
            w.change_participant(&name.clone(), self.key, |p| p.leg = leg);
        }
    }

    /// Joins a conference with the caller's leg, which has media.
    pub fn join_conference(&mut self, w: &mut World, asked: Asked) -> Option<Outcome> {
        let Some(leg) = self.legs.first().and_then(|l| l.session.media()) else { return Some(Outcome::Failed) };
        let name = asked.name.clone();
        let there = w.conferences.by_name.get(&name).map_or(0, |c| c.participants.len());
        let refusal = match there {
            _ if name.is_empty() => Some("a conference has no name"),
            _ if self.lives_alone() => Some("its media lives on a thread of its own: it cannot meet others"),
            n if n >= (asked.max_participants as usize).min(MEMBERS_MAX) => Some("the conference is full"),
            _ => None,
        };
        if let Some(why) = refusal {
            self.note(w, Side::Call, What::Note(why.into()));
            return Some(Outcome::Failed);
        }
        let (enter, now) = (w.play(Sounding::Enter), w.now);
        let wait = asked.wait.clone().map(|file| w.play(Sounding::File { file, loops: 0 }));
        let group = self.media_group();
        let Conferences { by_name, rooms, next, .. } = &mut w.conferences;
        let conference = by_name.entry(name.clone()).or_insert_with(|| {
            *next += 1;
            rooms.insert(RoomId(*next), name.clone());
            Conference::new(RoomId(*next), group, now)
        });
        let beeps = asked.beep.on_enter();
        let room = conference.room;
        conference.wait = conference.wait.take().or(wait);
        conference.participants.push(Participant {
            call: self.key,
            id: self.id,
            name: self.caller_name(),
            leg,
            joined: now,
            muted: asked.muted,
            deaf: false,
            held: false,
            holds: self.legs.first().is_some_and(|l| l.session.is_held()),
            volume_db: 0,
            asked,
        });
        w.begin_conference(&name, self.key);
        let conference = w.conferences.by_name.get_mut(&name)?;
        let begun = conference.begun.is_some();
        if begun && beeps {
            conference.beep = Some(enter);
        }
        let what = if begun { "" } else { ", which has not begun" };
        self.note(w, Side::Call, What::Note(format!("number {} in the conference {name}{what}", there + 1).into()));
        self.hear(w, 0, Hears::Room(room));
        w.update_conference(&name);
        self.doing = Doing::Conferring(name.into());
        None
    }

    /// The user who calls, or else the number.
    fn caller_name(&self) -> String {
        match &self.source {
            crate::b2bua::leg::Peer::User(user) => user.clone(),
            _ => self.from.clone(),
        }
    }

    /// The call ends while it is in a conference.
    pub fn leave_conference(&mut self, w: &mut World) {
        if let Doing::Conferring(name) = &self.doing {
            w.leave_conference(name, self.key);
            self.note(w, Side::Call, What::Note("left the conference".into()));
        }
    }

    pub fn on_news(&mut self, w: &mut World, news: News) {
        if !matches!(self.doing, Doing::Conferring(_)) {
            return;
        }
        let text = match news {
            News::Begins => "the conference begins",
            News::Ended => "the conference is ended",
            News::Removed => "taken out of the conference",
        };
        self.note(w, Side::Call, What::Note(text.into()));
        if news != News::Begins {
            self.hear(w, 0, Hears::Silence);
            self.step_done(w, Outcome::Done);
        }
    }

    /// A phone that holds the call has its own music, which the others are not to hear.
    pub fn hold_in_conference(&mut self, w: &mut World) {
        let Doing::Conferring(name) = &self.doing else { return };
        let holds = self.legs.first().is_some_and(|l| l.session.is_held());
        w.change_participant(name, self.key, |p| p.holds = holds);
    }
}
