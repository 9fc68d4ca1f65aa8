//! One call: the caller's leg, the legs called for it, and the script that says what happens.
//!
//! The script runs until an action takes time; then [`Doing`] says what is awaited. What arrives for the call (responses, media
//! events, timers) either moves a leg, or ends what is being done with an outcome, which moves the script.

mod arrival;
mod aside;
mod documents;
mod fax;
mod follow;
mod heard;
mod offers;
mod queued;
mod referring;
mod script;
mod texting;
mod transfer;

use super::capture::Gathering;
use super::conference::Tunes;
use super::dialing::{Dialing, Tried};
use super::digits::Digits;
use super::divert::Diverted;
use super::gruu::Phone;
use super::io::{CallView, Output};
use super::listening::Listened;
use super::originate::MachineAsk;
use super::pay::Paying;
use super::pay::assisted::Assisted;
use super::recording::Recording;
use super::sound::Playlist;
use super::verify::{CallIdentity, Verifying};
use super::web::{Asked, Signalled};
use super::web_status::Watch;
use super::world::{CallKey, CallTimer, LegRef, TimerKey, World};
use crate::b2bua::endpoint::{Body, Endpoint};
use crate::b2bua::leg::{Leg, Peer, State};
use crate::base::keys::Keys;
use crate::base::pii::Pii;
use crate::base::time::{Duration, Instant, Now};
use crate::event::{CallId, Class, Direction, Ending, Fact, RecordingId, Side, Timeline, TransferCdr, What};
use crate::media::command::{Hears, PlayId, TapId};
use crate::sip::dialog::Tag;
use crate::speech::machine::AnsweredBy;
use crate::verb::{Action, Dial, Outcome, Record, Script, StatusHook};
use crate::web::FetchId;
pub use arrival::{Arrival, Coming, LEGS_MAX};
use aside::Aside;
use documents::Origin;
pub use follow::{Dialled, recording_url};
pub use queued::{Left, Linked, Queued, Taking};
use referring::Referring;
use std::collections::VecDeque;
use std::net::SocketAddr;
pub use transfer::TRANSFERS_MAX;
use transfer::Transfer;

/// The group of every call whose script may lead into a conference; no call has this key.
const CONFERRING: u64 = u64::MAX;

/// What the call is waiting for.
#[derive(Debug)]
pub enum Doing {
    /// The script is about to give an action, or has ended.
    Nothing,
    /// The caller's media port, to perform this action then.
    AwaitMedia(Action),
    /// The ACK with the caller's answer to our offer (it called without one), to go on with this action then.
    AwaitAck(Action),
    Playing(PlayId),
    Pausing,
    /// Prompts, texts and sound from elsewhere, one after the other.
    Sounding(Playlist),
    Gathering(Box<Gathering>),
    /// Whether a person or a machine has answered.
    Detecting,
    Paying(Box<Paying>),
    /// Sent elsewhere by the script.
    Referring(Box<Referring>),
    /// Digits that go out as tones.
    Sending(VecDeque<char>),
    /// A document that says what follows.
    Fetching(FetchId),
    /// The verification of who calls.
    Verifying(Box<Verifying>),
    /// A dial that waits for the addresses of those to be called.
    Locating(Box<Dial>),
    Dialing(Box<Dialing>),
    Bridged(u8),
    /// Leg 0 waits for one who comes from another call ([`Coming::Joins`]).
    Joining,
    /// Leg 0 is about to go to another call.
    Moving,
    /// Leg 0 waits in a parking slot.
    Parked,
    /// Waiting for somebody to come into a queue.
    Taking(Box<Taking>),
    /// Joined with the caller of another call.
    Linked(Box<Linked>),
    /// In the conference of this name.
    Conferring(Box<str>),
    /// The beep before a message, which is recorded then.
    Beeping(PlayId, Box<Record>),
    Recording(Box<Record>),
    /// What the recorder has of the message.
    Saving(TapId, RecordingId),
}

pub struct Call {
    pub id: CallId,
    pub key: CallKey,
    pub from: String,
    pub from_name: String,
    /// The caller's number is known to us and shown to nobody (RFC 3325 §7).
    pub withheld: bool,
    /// The one phone that is called, of its user's.
    pub phone: Option<Phone>,
    pub to: String,
    /// Number and name that the calling user wishes to be shown with, and may be.
    pub preferred: Option<(String, String)>,
    /// Outbound: the switch placed it.
    pub direction: Direction,
    /// Who called; of a call of ours, who is called.
    pub source: Peer,
    pub context: String,
    pub rule: String,
    pub started: Now,
    /// When the party of a call of ours began to ring.
    pub rang: Option<Now>,
    pub answered: Option<Now>,
    /// The longest that it may last from its answer, where its own limit was given.
    pub lasts: Option<Duration>,
    pub timeline: Timeline,
    pub legs: Vec<Leg>,
    pub script: Option<Script>,
    pub doing: Doing,
    pub ending: Option<(Ending, Now)>,
    /// Why the last thing that the script did came to nothing, or who left the bridge: the call's ending if the script ends here.
    pub cause: Option<Ending>,
    pub post_dial: Option<Duration>,
    pub max_forwards: u8,
    /// The INVITE's body, until the call is answered; only for `media: direct`.
    pub invite_body: Option<Body>,
    /// Session descriptions pass untouched (`media: direct`).
    pub direct: bool,
    /// Whose offer of fax the other party is asked about.
    pub fax_asker: Option<u8>,
    pub reported: bool,
    pub tried: Vec<Tried>,
    /// Who has sent the call on, and where to.
    pub redirected: Vec<String>,
    /// How often it had been forwarded when it came to us.
    pub diversions: usize,
    /// Who has forwarded the calls that are planned now.
    pub diverting: Vec<Diverted>,
    /// Headers of the caller that some trunk passes on.
    pub kept: Vec<(String, String)>,
    pub recording: Option<Recording>,
    /// Who is told when a recording is complete.
    pub recordings_told: Vec<(TapId, RecordingId, StatusHook)>,
    pub digits: Digits,
    pub signalled: Signalled,
    pub identity: CallIdentity,
    pub asked: Asked,
    pub watched: Option<Watch>,
    /// The leg that the script speaks to: the caller's, but in an aside.
    pub front: u8,
    pub aside: Option<Box<Aside>>,
    /// It is in a queue, or was taken out of one by whom it is joined with.
    pub queued: Option<Box<Queued>>,
    /// Sound of a conference that is fetched, or heard alone.
    pub tunes: Tunes,
    /// How it left its queue.
    pub left: Option<Left>,
    pub origin: Origin,
    pub dialled: Dialled,
    pub transfer: Option<Box<Transfer>>,
    pub transfers: Vec<TransferCdr>,
    /// Legs that have come from elsewhere and have no place yet.
    pub arrivals: Vec<Arrival>,
    /// Number and name of leg 0, where it is not the one that called.
    pub shown: Option<(String, String)>,
    /// Keys that nobody has asked for yet.
    pub ahead: Keys,
    /// Parties who are listened to.
    pub listened: Vec<Listened>,
    /// Who has answered a call of ours, as far as it is known.
    pub answered_by: Option<AnsweredBy>,
    /// How that is found out, until it is answered.
    pub machine_ask: Option<MachineAsk>,
    /// A payment that an application conducts beside all this.
    pub assisted: Option<Box<Assisted>>,
    /// The parking slot that it has, and the tag by which it is told of.
    pub parked: Option<(Box<str>, Tag)>,
    timers: Vec<(Instant, CallTimer)>,
    /// See [`Call::media_group`].
    group: Option<u64>,
    /// The caller's media is to go to the group once its ACK is there.
    moves_later: bool,
}

impl Call {
    pub fn new(id: CallId, key: CallKey, leg: Leg, source: Peer, now: Now) -> Call {
        Call::with_legs(id, key, vec![leg], source, Direction::Inbound, now)
    }

    pub fn with_legs(id: CallId, key: CallKey, legs: Vec<Leg>, source: Peer, direction: Direction, now: Now) -> Call {
        Call {
            id,
            key,
            from: String::new(),
            from_name: String::new(),
            withheld: false,
            preferred: None,
            phone: None,
            to: String::new(),
            direction,
            source,
            context: String::new(),
            rule: String::new(),
            started: now,
            rang: None,
            answered: None,
            lasts: None,
            timeline: Timeline::default(),
            legs,
            script: None,
            doing: Doing::Nothing,
            ending: None,
            cause: None,
            post_dial: None,
            max_forwards: 70,
            invite_body: None,
            direct: false,
            fax_asker: None,
            reported: false,
            tried: Vec::new(),
            redirected: Vec::new(),
            diversions: 0,
            diverting: Vec::new(),
            kept: Vec::new(),
            recording: None,
            recordings_told: Vec::new(),
            digits: Digits::default(),
            identity: CallIdentity::default(),
            signalled: Signalled::default(),
            asked: Asked::default(),
            watched: None,
            front: 0,
            aside: None,
            queued: None,
            tunes: Tunes::default(),
            left: None,
            origin: Origin::default(),
            dialled: Dialled::default(),
            transfer: None,
            transfers: Vec::new(),
            arrivals: Vec::new(),
            shown: None,
            ahead: Keys::default(),
            listened: Vec::new(),
            answered_by: None,
            machine_ask: None,
            assisted: None,
            parked: None,
            timers: Vec::new(),
            group: None,
            moves_later: false,
        }
    }

    pub fn started_fact(&self) -> Fact {
        let named = |wanted: bool, name: &str| wanted.then(|| name.to_owned());
        Fact::CallStarted {
            call: self.id,
            from: Pii::new(self.from.clone()),
            to: Pii::new(self.to.clone()),
            trunk: named(matches!(self.source, Peer::Trunk(_)), self.source.as_str()),
            user: named(matches!(self.source, Peer::User(_)), self.source.as_str()),
        }
    }

    // ---- the timeline ----------------------------------------------------------------------------------------------

    pub fn note(&mut self, w: &World, side: Side, what: What) {
        self.timeline.push(w.now.mono, side, what);
    }

    pub fn received(&mut self, w: &World, leg: u8, line: String, cseq: u32, source: SocketAddr) {
        self.note(w, Side::Leg(leg), What::Received { line: line.into(), cseq, source });
    }

    // ---- legs ------------------------------------------------------------------------------------------------------

    /// Runs `f` on a leg, then books what it sent: timeline, transactions, dialog; closes the media of a leg that is over.
    pub fn with_leg<R>(
        &mut self,
        w: &mut World,
        index: u8,
        f: impl FnOnce(&mut Leg, &mut Endpoint, Now) -> R,
    ) -> Option<R> {
        let now = w.now;
        let leg = self.legs.get_mut(usize::from(index))?;
        let was_answered = leg.answered.is_some();
        let (was_gone, was_alive, line) = (leg.is_gone(), leg.is_alive(), (leg.line(), !leg.peer_tag().is_empty()));
        let result = f(leg, &mut w.ep, now);
        self.book(w, index);
        let due = self.legs[usize::from(index)].session_due();
        due.into_iter().for_each(|due| self.set_session_timer(w, index, due));
        if (self.legs[usize::from(index)].line(), !self.legs[usize::from(index)].peer_tag().is_empty()) != line {
            self.follow_line(w, index);
        }
        let leg = &mut self.legs[usize::from(index)];
        if !leg.is_alive()
            && let Some(close) = leg.session.close()
        {
            w.output(Output::Media(close));
        }
        if was_alive
            && !leg.is_alive()
            && let Peer::Trunk(name) = &leg.peer
        {
            w.trunks.release(name);
            w.tolls.ended(now.mono, leg.dialog().local_tag());
        }
        if leg.answered.is_some() && !was_answered {
            w.tolls.answered(now.mono, leg.dialog().local_tag());
        }
        if leg.is_gone() && !was_gone {
            w.remove_dialog(leg.dialog().local_tag());
            w.counters.legs_active -= 1;
        }
        Some(result)
    }

    /// Tells who watches a user's line what has become of it.
    pub fn follow_line(&self, w: &mut World, index: u8) {
        let Some(leg) = self.legs.get(usize::from(index)).filter(|leg| matches!(leg.peer, Peer::User(_))) else {
            return;
        };
        let remote = match index {
            0 if self.direction == Direction::Inbound && self.shown.is_none() => self.to.clone(),
            0 => String::new(),
            _ if self.withheld => "anonymous".to_owned(),
            _ => self.identity(w, 0).0,
        };
        w.follow_line(leg, &remote);
    }

    /// Takes what the endpoint sent for a leg into the timeline and the tables.
    pub fn book(&mut self, w: &mut World, index: u8) {
        let Some(me) = self.legs.get(usize::from(index)).map(|leg| leg.dialog().local_tag()) else { return };
        let now = w.now.mono;
        let mut began = Vec::new();
        for sent in w.ep.take_sent() {
            began.extend(sent.began);
            let what = What::Sent { line: sent.line, cseq: sent.cseq, target: sent.target };
            self.timeline.push(now, Side::Leg(index), what);
        }
        for (id, method) in began {
            w.add_leg_client(id, me, method);
        }
    }

    /// Adds a leg that has been made, and books its INVITE.
    pub fn add_leg(&mut self, w: &mut World, leg: Leg) {
        let index = leg.index;
        w.add_dialog(leg.dialog().local_tag(), LegRef { call: self.key, leg: index });
        w.trace_leg(self.id, &leg);
        w.counters.legs_active += 1;
        self.legs.push(leg);
        self.book(w, index);
        self.follow_line(w, index);
    }

    /// What a leg is to hear from now on.
    pub fn hear(&mut self, w: &mut World, index: u8, hears: Hears) {
        let timeout = w.config.media.rtp_timeout;
        if let Some(leg) = self.legs.get_mut(usize::from(index))
            && leg.is_alive()
            // Before the answer nobody need speak.
            && let Some(set) = leg.session.hear(hears, timeout.filter(|_| leg.answered.is_some()))
        {
            w.output(Output::Media(set));
        }
    }

    /// Both legs hear each other.
    pub fn join(&mut self, w: &mut World, a: u8, b: u8) {
        let media_of = |call: &Call, i: u8| call.legs.get(usize::from(i)).and_then(|l| l.session.media());
        if let (Some(ma), Some(mb)) = (media_of(self, a), media_of(self, b)) {
            self.match_digits(a, b);
            self.hear(w, a, Hears::Leg(mb));
            self.hear(w, b, Hears::Leg(ma));
        }
    }

    // ---- timers ----------------------------------------------------------------------------------------------------

    pub fn set_timer(&mut self, w: &mut World, kind: CallTimer, after: Duration) {
        self.cancel_timer(w, kind);
        let at = w.now.mono + after;
        self.timers.push((at, kind));
        w.set_timer(at, TimerKey::Call(self.key, kind));
    }

    pub fn cancel_timer(&mut self, w: &mut World, kind: CallTimer) {
        let key = self.key;
        self.timers.retain(|(at, k)| {
            let mine = *k == kind;
            if mine {
                w.timers.cancel(*at, TimerKey::Call(key, kind));
            }
            !mine
        });
    }

    fn cancel_timers(&mut self, w: &mut World) {
        for (at, kind) in self.timers.drain(..) {
            w.timers.cancel(at, TimerKey::Call(self.key, kind));
        }
    }

    pub fn on_timer(&mut self, w: &mut World, kind: CallTimer) {
        self.timers.retain(|(_, k)| *k != kind);
        match kind {
            CallTimer::Step if self.on_message_timer(w) => {}
            CallTimer::Step if self.on_list_timer(w) || self.on_gather_timer(w) || self.on_sending_timer(w) => {}
            CallTimer::Step if self.on_park_timer(w) || self.on_refer_timer(w) => {}
            CallTimer::Step if self.on_payer_timer(w) || self.on_machine_timer(w) => {}
            CallTimer::Payment => self.on_assisted_over(w),
            CallTimer::Step => self.step_done(w, Outcome::Done),
            CallTimer::Ring if self.on_taking_timer(w) => {}
            CallTimer::Ring => self.on_ring_out(w),
            CallTimer::TalkLimit if self.step_out(w) || self.on_talk_limit(w) => {}
            CallTimer::TalkLimit if matches!(self.doing, Doing::Linked(_)) => {
                self.end_link(w, Ending::new(Class::Tandem, "time_limit", 0));
            }
            CallTimer::Digits(leg) => self.on_digits_due(w, leg),
            CallTimer::Session(leg) => self.on_session_due(w, leg),
            CallTimer::Glare(leg) if self.arrival(leg).is_some() => self.ask_to_move(w, leg),
            CallTimer::Glare(_) => self.share_codec(w),
            CallTimer::Referred(leg) => {
                self.with_leg(w, leg, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
            }
            CallTimer::Unreachable(leg) => self.on_unreachable(w, leg),
            CallTimer::NoAnswer(leg) => self.on_no_answer(w, leg),
            CallTimer::Names => self.on_names(w, true),
            CallTimer::Identity => self.on_identity_timer(w),
            CallTimer::CallLimit | CallTimer::TalkLimit => self.finish(w, Ending::new(Class::Tandem, "time_limit", 0)),
        }
    }

    // ---- the end ---------------------------------------------------------------------------------------------------

    pub fn finish(&mut self, w: &mut World, ending: Ending) {
        self.finish_with_phrase(w, ending, "");
    }

    /// Ends the call, once: all legs that live are ended, the script is dropped.
    pub fn finish_with_phrase(&mut self, w: &mut World, ending: Ending, phrase: &str) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some((ending, w.now));
        // A 200 that waited for a PRACK has not gone out.
        if self.legs.first().is_some_and(|caller| caller.invite_in().is_some() && caller.answered.is_none()) {
            self.answered = None;
        }
        self.cancel_timers(w);
        if let Some(by) = self.transferor() {
            self.with_leg(w, by, |leg, ep, now| leg.tell_refer(ep, now, 487));
        }
        self.refer_ends(w);
        self.leave_payment(w);
        self.leave_conference(w);
        self.quit_queue(w);
        self.end_recording(w);
        self.stop_listeners(w, None);
        self.script = None;
        self.aside = None;
        self.transfer = None;
        self.transfer_ends(487);
        self.arrivals.clear();
        self.ahead = Keys::default();
        self.doing = Doing::Nothing;
        let status = if ending.status >= 300 { ending.status } else { 480 };
        for index in 0..self.legs.len() as u8 {
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, status, phrase));
        }
        // An answered caller whose ACK is outstanding lives on until it comes (RFC 3261 §15).
        self.hear(w, 0, Hears::Nothing);
        self.note(w, Side::Call, What::Ended(ending));
    }

    /// Nothing is left of the call: legs, media.
    pub fn is_over(&self) -> bool {
        self.reported && self.legs.iter().all(Leg::is_gone)
    }

    pub fn view(&self) -> CallView {
        let state = match (&self.ending, &self.doing) {
            (Some(_), _) => "ending",
            (_, Doing::Bridged(_) | Doing::Joining | Doing::Linked(_)) => "bridged",
            (_, Doing::Conferring(_)) => "conference",
            _ if self.queued.is_some() => "queued",
            (_, Doing::Parked) => "parked",
            _ if self.answered.is_some() => "answered",
            _ if self.rang.is_some() => "ringing",
            (_, Doing::Dialing(_) | Doing::Locating(_)) => "dialing",
            _ => "routing",
        };
        CallView {
            call: self.id,
            direction: self.direction,
            from: self.from.clone(),
            to: self.to.clone(),
            trunk: matches!(self.source, Peer::Trunk(_)).then(|| self.source.as_str().to_owned()),
            user: matches!(self.source, Peer::User(_)).then(|| self.source.as_str().to_owned()),
            rule: self.rule.clone(),
            state,
            started: self.started.wall,
            answered: self.answered.map(|n| n.wall),
            answered_by: self.answered_by.map(AnsweredBy::as_str),
            peers: self
                .legs
                .iter()
                .skip(1)
                .filter(|l| l.state() != State::Gone)
                .map(|l| l.peer.as_str().to_owned())
                .collect(),
        }
    }
}
