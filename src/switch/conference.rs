//! Conferences: who is in which, and what each one's room is to do.
//!
//! A conference is made by the first call that joins it and ends with the last that leaves. It begins when there are two and
//! one of those may begin it; before that all are muted and hear its music. After each change the room gets its whole state.

mod recorded;
mod told;
mod tunes;

pub use tunes::{For, Tunes};

use super::call::{Call, Doing};
use super::io::{ConferenceView, Output, ParticipantView};
use super::world::{CallKey, CallTimer, World};
use crate::base::time::Now;
use crate::event::{CallId, Side, What};
use crate::media::command::{
    Command, Event, Hears, LegId, Listens, MEMBERS_MAX, Member, RoomId, RoomSound, RoomState, Says, Sounding, TapId,
    Tones, UNITY_Q12,
};
use crate::verb::{Action, Conference as Asked, Outcome, Script};
use crate::web::{Address, Parameters};
use recorded::{Recorded, Recorder, Reported};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use told::{Ended, Told};

/// All conferences that somebody is in.
#[derive(Debug, Default)]
pub struct Conferences {
    by_name: BTreeMap<String, Conference>,
    rooms: BTreeMap<RoomId, String>,
    next: u64,
    /// What has come over calls that did nothing themselves.
    news: VecDeque<(CallKey, News)>,
    reported: BTreeMap<TapId, Reported>,
}

/// What a call is told of its conference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    Begins,
    /// It was ended, by somebody with `end_on_exit` or by the operator.
    Ended,
    /// The operator has taken this one out of it.
    Removed,
    /// The operator has it hear the room again.
    Unheld,
}

#[derive(Debug)]
struct Conference {
    room: RoomId,
    /// `CF…` in webhooks and REST.
    sid: u128,
    told: Option<Told>,
    ended: Option<Ended>,
    /// Whoever asked first that it be recorded, until it is.
    recorder: Option<Recorder>,
    recorded: Option<Recorded>,
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

#[derive(Clone, Debug)]
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
    /// What it hears while it is on hold, and once now: documents whose Play it is.
    pub hold_url: Option<Address>,
    pub announce_url: Option<Address>,
}

impl Conference {
    fn new(room: RoomId, name: &str, group: u64, now: Now) -> Conference {
        Conference {
            room,
            sid: told::sid_of(name, now.wall.as_micros()),
            told: None,
            ended: None,
            recorder: None,
            recorded: None,
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
            tap: self.recorded.map(|r| r.tap()),
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
            start_on_enter: p.asked.start_on_enter,
            label: p.asked.hooks.label.clone(),
            speaking: self.speaker == Some(p.leg),
        };
        ConferenceView {
            name: name.to_owned(),
            sid: format!("CF{:032x}", self.sid),
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
        let is_over = self.conferences.by_name.get(name).is_some_and(|c| c.participants.is_empty());
        if is_over {
            self.end_conference_recording(name);
        }
        let Some(conference) = self.conferences.by_name.get(name) else { return };
        let (room, group, state) = (conference.room, conference.group, Box::new(conference.state()));
        self.output(Output::Media(Command::Room { room, group, state }));
        if is_over {
            self.tell_end(name);
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
        self.tell_conference(name, ("start", "conference-start"), None, Parameters::new());
        self.record_conference(name);
    }

    fn leave_conference(&mut self, name: &str, call: CallKey, is_kicked: bool) {
        let beep = self.play(Sounding::Exit);
        let Some(conference) = self.conferences.by_name.get_mut(name) else { return };
        let Some(at) = conference.participants.iter().position(|p| p.call == call) else { return };
        let gone = conference.participants.remove(at);
        let ends = gone.asked.end_on_exit;
        if ends || conference.participants.is_empty() {
            let reason = match (ends, is_kicked) {
                (true, false) => "participant-with-end-conference-on-exit-left",
                (true, true) => "participant-with-end-conference-on-exit-kicked",
                (false, false) => "last-participant-left",
                (false, true) => "last-participant-kicked",
            };
            conference.ended = Some(Ended { reason, by: Some((gone.id, gone.asked.hooks.label.clone())) });
        }
        let mut all = vec![gone.clone()];
        if ends {
            all.append(&mut conference.participants);
            self.conferences.news.extend(all.iter().skip(1).map(|p| (p.call, News::Ended)));
        } else if conference.begun.is_some() && gone.asked.beep.on_exit() {
            conference.beep = Some(beep);
        }
        conference.speaker = conference.speaker.filter(|leg| *leg != gone.leg);
        for who in &all {
            self.tell_conference(name, ("leave", "participant-leave"), Some(who), Parameters::new());
        }
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
            Event::Speaker { leg, .. } => {
                let before = std::mem::replace(&mut conference.speaker, *leg);
                self.tell_speaker(&name, before);
            }
            Event::RoomPlayEnded { id, played, .. }
                if conference.announcement.as_ref().is_some_and(|a| a.id == *id) =>
            {
                conference.announcement = None;
                let event = if *played { "announcement-end" } else { "announcement-fail" };
                self.tell_conference(&name, ("announcement", event), None, Parameters::new());
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
        let mut told: Vec<(&str, &str)> = Vec::new();
        let mut now = None;
        self.change_participant(name, key, |p| {
            match change.muted {
                Some(true) if !p.muted => told.push(("mute", "participant-mute")),
                Some(false) if p.muted => told.push(("mute", "participant-unmute")),
                _ => {}
            }
            match change.hold {
                Some(true) if !p.held => told.push(("hold", "participant-hold")),
                Some(false) if p.held => told.push(("hold", "participant-unhold")),
                _ => {}
            }
            if change.coach.is_some() || change.volume_db.is_some() || change.deaf.is_some() {
                told.push(("modify", "participant-modify"));
            }
            p.muted = change.muted.unwrap_or(p.muted);
            p.held = change.hold.unwrap_or(p.held);
            p.deaf = change.deaf.unwrap_or(p.deaf);
            p.volume_db = change.volume_db.unwrap_or(p.volume_db);
            if let Some(coach) = change.coach {
                p.asked.coach = Some(coach).filter(|c| !c.is_empty());
            }
            now = Some(p.clone());
        });
        for event in told {
            if event.1 == "participant-unhold" {
                self.conferences.news.push_back((key, News::Unheld));
            }
            self.tell_conference(name, event, now.as_ref(), Parameters::new());
        }
        true
    }

    /// Music for those who wait, if there is none yet.
    fn set_music(&mut self, name: &str, file: Arc<str>) {
        let music = self.play(Sounding::File { file, loops: 0 });
        let Some(conference) = self.conferences.by_name.get_mut(name) else { return };
        conference.wait.get_or_insert(music);
        self.update_conference(name);
    }

    fn is_held(&self, name: &str, call: CallKey) -> bool {
        let conference = self.conferences.by_name.get(name);
        conference.is_some_and(|c| c.participants.iter().any(|p| p.call == call && p.held))
    }

    /// The call of a participant, by its number; of the first one if none is named.
    pub fn seat(&self, name: &str, call: Option<CallId>) -> Option<CallKey> {
        let mut all = self.conferences.by_name.get(name)?.participants.iter();
        all.find(|p| call.is_none_or(|call| p.id == call)).map(|p| p.call)
    }

    fn participant(&self, name: &str, call: CallId) -> Option<CallKey> {
        let conference = self.conferences.by_name.get(name)?;
        conference.participants.iter().find(|p| p.id == call).map(|p| p.call)
    }

    /// Takes one out of a conference, or ends it for all; their scripts go on.
    pub fn end_by_operator(&mut self, name: &str, only: Option<CallId>) -> bool {
        if let Some(call) = only {
            let Some(key) = self.participant(name, call) else { return false };
            self.leave_conference(name, key, true);
            self.conferences.news.push_back((key, News::Removed));
            return true;
        }
        let Some(conference) = self.conferences.by_name.get_mut(name) else { return false };
        conference.ended = Some(Ended { reason: "conference-ended-via-api", by: None });
        let all: Vec<Participant> = conference.participants.drain(..).collect();
        self.conferences.news.extend(all.iter().map(|p| (p.call, News::Ended)));
        for who in &all {
            self.tell_conference(name, ("leave", "participant-leave"), Some(who), Parameters::new());
        }
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
        let status = asked.hooks.status.as_ref().map(|s| (self.address(&s.hook), s.events.clone()));
        let music = asked.hooks.wait.as_ref().map(|hook| self.address(hook));
        let recorder = self.recorder(&asked);
        let Conferences { by_name, rooms, next, .. } = &mut w.conferences;
        let conference = by_name.entry(name.clone()).or_insert_with(|| {
            *next += 1;
            rooms.insert(RoomId(*next), name.clone());
            Conference::new(RoomId(*next), &name, group, now)
        });
        let beeps = asked.beep.on_enter();
        let room = conference.room;
        conference.wait = conference.wait.take().or(wait);
        let music = music.filter(|_| conference.wait.is_none());
        let told = status.map(|(address, events)| Told { address, events, next: 0 });
        conference.told = conference.told.take().or(told);
        let hooks = asked.hooks.clone();
        if conference.recorded.is_none() {
            conference.recorder = conference.recorder.take().or(recorder);
        }
        let new = Participant {
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
        };
        conference.participants.push(new.clone());
        w.tell_conference(&name, ("join", "participant-join"), Some(&new), Parameters::new());
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
        self.doing = Doing::Conferring(name.as_str().into());
        if let Some(address) = music {
            self.fetch_tune(w, For::Waiting, address);
        }
        if let Some(limit) = hooks.time_limit {
            self.set_timer(w, CallTimer::TalkLimit, limit);
        }
        if hooks.hangup_on_star
            && let Some(leg) = self.legs.first_mut()
        {
            leg.session.want_tones(Tones::Told);
        }
        if begun {
            w.record_conference(&name);
            self.note_recording(w, &name);
        }
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
            w.leave_conference(name, self.key, false);
            self.note(w, Side::Call, What::Note("left the conference".into()));
            self.leave_tunes(w);
        }
    }

    pub fn on_news(&mut self, w: &mut World, news: News) {
        if !matches!(self.doing, Doing::Conferring(_)) {
            return;
        }
        if news == News::Unheld {
            return self.own_tune_ends(w, None);
        }
        let text = match news {
            News::Begins => "the conference begins",
            News::Ended => "the conference is ended",
            News::Removed => "taken out of the conference",
            News::Unheld => "",
        };
        self.note(w, Side::Call, What::Note(text.into()));
        if news == News::Begins {
            if let Doing::Conferring(name) = &self.doing {
                self.note_recording(w, &name.clone());
            }
            return;
        }
        self.conference_over(w);
    }

    fn conference_over(&mut self, w: &mut World) {
        self.leave_tunes(w);
        self.cancel_timer(w, CallTimer::TalkLimit);
        self.hear(w, 0, Hears::Silence);
        self.step_done(w, Outcome::Done);
    }

    fn leave_tunes(&mut self, w: &mut World) {
        self.tunes.leave().into_iter().for_each(|id| self.cancel_fetch(w, id));
    }

    /// The caller's * or the end of its time takes it out; the script goes on. False if it is in none.
    pub fn step_out(&mut self, w: &mut World) -> bool {
        let is_in = matches!(self.doing, Doing::Conferring(_));
        if is_in {
            self.leave_conference(w);
            self.conference_over(w);
        }
        is_in
    }

    pub fn star_in_conference(&mut self, w: &mut World) {
        let is_asked = match self.script.as_ref().and_then(Script::waiting) {
            Some(Action::Conference(asked)) => asked.hooks.hangup_on_star,
            _ => false,
        };
        if is_asked {
            self.step_out(w);
        }
    }

    /// Who has the conference recorded if this call asks for it.
    fn recorder(&self, asked: &Asked) -> Option<Recorder> {
        let hooks = Some(&asked.hooks).filter(|hooks| hooks.record)?;
        let told = hooks.recording.as_ref().map(|s| (self.address(&s.hook), s.events.clone()));
        Some(Recorder { call: self.id, trim: hooks.trim, told })
    }

    fn note_recording(&mut self, w: &mut World, name: &str) {
        if let Some(id) = w.conference_recording(name) {
            self.note(w, Side::Call, What::Media(format!("recording {id}: the whole conference").into()));
        }
    }

    /// A phone that holds the call has its own music, which the others are not to hear.
    pub fn hold_in_conference(&mut self, w: &mut World) {
        let Doing::Conferring(name) = &self.doing else { return };
        let holds = self.legs.first().is_some_and(|l| l.session.is_held());
        w.change_participant(name, self.key, |p| p.holds = holds);
    }
}
