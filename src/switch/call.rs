//! One call: the caller's leg, the legs called for it, and the script that says what happens.
//!
//! The script runs until an action takes time; then [`Doing`] says what is awaited. What arrives for the call (responses, media
//! events, timers) either moves a leg, or ends what is being done with an outcome, which moves the script.

use super::dialing::Dialing;
use super::digits::Digits;
use super::io::{CallView, Output};
use super::recording::Recording;
use super::world::{CallKey, CallTimer, LegRef, Purpose, TimerKey, World};
use crate::b2bua::endpoint::{Body, Endpoint};
use crate::b2bua::leg::{Asked, Heard, Leg, Peer, State};
use crate::b2bua::session::Unacceptable;
use crate::base::pii::Pii;
use crate::base::time::{Duration, Instant, Now};
use crate::event::{CallId, Class, Ending, Fact, RecordingId, Side, Timeline, What};
use crate::media::command::{self as media, Hears, PlayId, TapId};
use crate::verb::{Action, Next, Outcome, Record, Script};
use std::net::SocketAddr;

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
    Dialing(Box<Dialing>),
    Bridged(u8),
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
    pub to: String,
    pub source: Peer,
    pub context: String,
    pub rule: String,
    pub started: Now,
    pub answered: Option<Now>,
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
    pub reported: bool,
    pub recording: Option<Recording>,
    pub digits: Digits,
    timers: Vec<(Instant, CallTimer)>,
    /// See [`Call::media_group`].
    group: Option<u64>,
}

impl Call {
    pub fn new(id: CallId, key: CallKey, leg: Leg, source: Peer, now: Now) -> Call {
        Call {
            id,
            key,
            from: String::new(),
            from_name: String::new(),
            withheld: false,
            to: String::new(),
            source,
            context: String::new(),
            rule: String::new(),
            started: now,
            answered: None,
            timeline: Timeline::default(),
            legs: vec![leg],
            script: None,
            doing: Doing::Nothing,
            ending: None,
            cause: None,
            post_dial: None,
            max_forwards: 70,
            invite_body: None,
            direct: false,
            reported: false,
            recording: None,
            digits: Digits::default(),
            timers: Vec::new(),
            group: None,
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
        let (was_gone, was_alive) = (leg.is_gone(), leg.is_alive());
        let result = f(leg, &mut w.ep, now);
        self.book(w, index);
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
        }
        if leg.is_gone() && !was_gone {
            w.remove_dialog(leg.dialog().local_tag());
            w.counters.legs_active -= 1;
        }
        Some(result)
    }

    /// Takes what the endpoint sent for a leg into the timeline and the tables.
    pub fn book(&mut self, w: &mut World, index: u8) {
        let me = LegRef { call: self.key, leg: index };
        let now = w.now.mono;
        let mut began = Vec::new();
        for sent in w.ep.take_sent() {
            began.extend(sent.began);
            let what = What::Sent { line: sent.line, cseq: sent.cseq, target: sent.target };
            self.timeline.push(now, Side::Leg(index), what);
        }
        for (id, method) in began {
            w.add_client(id, Purpose::Leg(me, method));
        }
    }

    /// Adds a leg that has been made, and books its INVITE.
    pub fn add_leg(&mut self, w: &mut World, leg: Leg) {
        let index = leg.index;
        w.add_dialog(leg.dialog().local_tag(), LegRef { call: self.key, leg: index });
        w.counters.legs_active += 1;
        self.legs.push(leg);
        self.book(w, index);
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
            CallTimer::Step => self.step_done(w, Outcome::Done),
            CallTimer::Ring => self.on_ring_out(w),
            CallTimer::Digits(leg) => self.on_digits_due(w, leg),
            CallTimer::Unreachable(leg) => self.on_unreachable(w, leg),
            CallTimer::CallLimit | CallTimer::TalkLimit => self.finish(w, Ending::new(Class::Tandem, "time_limit", 0)),
        }
    }

    // ---- the script ------------------------------------------------------------------------------------------------

    /// Runs the script until something takes time.
    pub fn advance(&mut self, w: &mut World) {
        while self.ending.is_none() {
            let Some(script) = &mut self.script else { return };
            match script.next() {
                Next::Do { action, at } => {
                    let verb = super::describe::action(&action);
                    self.note(w, Side::Call, What::Step { verb: verb.into(), at: (&*at).into() });
                    let Some(outcome) = self.perform(w, action) else { return };
                    self.report_outcome(w, outcome);
                }
                Next::End => {
                    let ending = self.cause.unwrap_or(Ending::new(Class::Script, "completed", 480));
                    return self.finish(w, ending);
                }
                Next::Runaway => return self.finish(w, Ending::new(Class::Script, "runaway", 500)),
            }
        }
    }

    fn report_outcome(&mut self, w: &World, outcome: Outcome) {
        self.doing = Doing::Nothing;
        if outcome != Outcome::Done {
            self.note(w, Side::Call, What::Outcome(outcome.as_str().into()));
        }
        if let Some(script) = &mut self.script {
            script.finished(outcome);
        }
    }

    /// What was being done is over: the script goes on.
    pub fn step_done(&mut self, w: &mut World, outcome: Outcome) {
        if self.ending.is_some() {
            return;
        }
        self.cancel_timer(w, CallTimer::Step);
        self.report_outcome(w, outcome);
        self.advance(w);
    }

    /// Begins an action; its outcome if it is over already.
    fn perform(&mut self, w: &mut World, action: Action) -> Option<Outcome> {
        match action {
            Action::Log(text) => {
                self.note(w, Side::Call, What::Note(text.into()));
                Some(Outcome::Done)
            }
            Action::Reject { status, reason } => {
                self.finish_with_phrase(w, Ending::new(Class::Script, "rejected", status), &reason);
                None
            }
            Action::Hangup { reason } => {
                self.finish_with_phrase(w, Ending::new(Class::Script, "hangup", 480), &reason);
                None
            }
            Action::Pause(duration) => {
                if self.legs[0].session.is_negotiated() {
                    self.hear(w, 0, Hears::Silence);
                }
                self.doing = Doing::Pausing;
                self.set_timer(w, CallTimer::Step, duration);
                None
            }
            Action::Dial(dial) => self.dial(w, *dial),
            Action::RecordCall(asked) => Some(self.record_call(w, asked)),
            Action::Answer
            | Action::Play { .. }
            | Action::Tone { .. }
            | Action::Echo { .. }
            | Action::Record(_)
            | Action::Conference(_) => {
                if self.direct {
                    self.note(w, Side::Call, What::Note("media is direct: nothing can be played".into()));
                    return Some(Outcome::Failed);
                }
                if !self.caller_media(w) {
                    self.doing = Doing::AwaitMedia(action);
                    return None;
                }
                self.perform_with_media(w, action)
            }
        }
    }

    /// True if the caller's media port is there; asks for it otherwise.
    pub fn caller_media(&mut self, w: &mut World) -> bool {
        let (v6, group) = (self.wants_v6(0), self.media_group());
        if self.legs[0].session.media().is_none() {
            let (leg, security) = (w.open_media(self.key, group, v6), w.security(&self.source));
            let codecs = self.codecs_of_caller(w);
            self.legs[0].session.open(leg, codecs, security);
            self.legs[0].session.set_dtmf(w.dtmf(&self.source));
        }
        self.legs[0].session.is_ready()
    }

    /// Legs of one group live on one shard: those of a call, and those of all calls that may meet in a conference.
    pub fn media_group(&mut self) -> u64 {
        let own = self.key.to_u64();
        let script = self.script.as_ref();
        *self.group.get_or_insert_with(|| if script.is_some_and(Script::may_confer) { CONFERRING } else { own })
    }

    /// Media goes over the address family that signalling uses.
    fn wants_v6(&self, leg: u8) -> bool {
        self.legs.get(usize::from(leg)).is_some_and(|l| l.dialog().flow().peer.is_ipv6())
    }

    /// What an action waited for is there.
    fn go_on_with(&mut self, w: &mut World, action: Action) {
        if let Some(outcome) = self.perform_with_media(w, action) {
            self.step_done(w, outcome);
        }
    }

    fn perform_with_media(&mut self, w: &mut World, action: Action) -> Option<Outcome> {
        if matches!(action, Action::Answer | Action::Echo { .. } | Action::Record(_) | Action::Conference(_)) {
            if !self.answer_caller(w, None) {
                return None;
            }
        } else if self.answered.is_none() {
            if !self.legs[0].session.is_described() {
                let text = "the caller made no offer: nothing can be played before the answer";
                self.note(w, Side::Call, What::Note(text.into()));
                return Some(Outcome::Failed);
            }
            if !self.early_media(w, 183) {
                return None;
            }
        }
        if self.legs[0].session.awaits_answer() {
            self.doing = Doing::AwaitAck(action);
            return None;
        }
        match action {
            Action::Play { file, loops } => {
                let id = w.new_play();
                self.hear(w, 0, Hears::Play { id, file, loops });
                self.doing = Doing::Playing(id);
                None
            }
            Action::Tone { tone, country, duration } => {
                let country = if country.is_empty() { w.config.media.country.as_str().into() } else { country };
                let id = w.new_play();
                self.hear(w, 0, Hears::Tone { id, tone, country, duration });
                self.doing = Doing::Playing(id);
                None
            }
            Action::Echo { duration } => {
                self.hear(w, 0, Hears::Echo);
                self.doing = Doing::Pausing;
                if let Some(duration) = duration {
                    self.set_timer(w, CallTimer::Step, duration);
                }
                None
            }
            Action::Record(record) => self.record_message(w, record),
            Action::Conference(conference) => self.join_conference(w, *conference),
            _ => Some(Outcome::Done),
        }
    }

    /// Answers the caller with 200 unless that is done; false if it cannot be, and the call is being ended.
    ///
    /// `like` is the leg whose codec is preferred, so that sound need not be transcoded.
    pub fn answer_caller(&mut self, w: &mut World, like: Option<u8>) -> bool {
        if self.answered.is_some() {
            return true;
        }
        let Some(body) = self.caller_description(w, like) else { return false };
        self.send_answer(w, Some(&body));
        if self.legs[0].session.suite_name().is_some() {
            let text = self.legs[0].session.spoken();
            self.note(w, Side::Leg(0), What::Media(text.into()));
        }
        true
    }

    pub fn send_answer(&mut self, w: &mut World, body: Option<&Body>) {
        self.with_leg(w, 0, |leg, ep, now| leg.accept(ep, now, body));
        self.answered = Some(w.now);
        self.invite_body = None;
        w.counters.calls_answered += 1;
        w.fact(Fact::CallAnswered { call: self.id });
        let limit = w.config.limits.call_duration;
        if !limit.is_zero() {
            self.set_timer(w, CallTimer::CallLimit, limit);
        }
    }

    /// Sends a provisional response with our description; false if there is none that fits.
    pub fn early_media(&mut self, w: &mut World, status: u16) -> bool {
        let Some(body) = self.caller_description(w, None) else { return false };
        self.with_leg(w, 0, |leg, ep, now| leg.progress(ep, now, status, Some(&body)));
        true
    }

    /// Our description for the caller: the answer to its offer, or an offer if it made none.
    pub fn caller_description(&mut self, w: &mut World, like: Option<u8>) -> Option<Body> {
        match self.description_for(0, like) {
            Ok(body) => Some(body),
            Err(fault) => {
                self.finish(w, Ending::new(Class::Caller, "not_acceptable", fault.0));
                None
            }
        }
    }

    /// Our description for a leg, with the codec of another preferred.
    fn description_for(&mut self, index: u8, like: Option<u8>) -> Result<Body, Unacceptable> {
        let index = usize::from(index);
        match like.map(usize::from).filter(|l| *l != index) {
            Some(like) => match self.legs.get_disjoint_mut([index, like]) {
                Ok([leg, like]) => leg.session.local(Some(&like.session)),
                Err(_) => Err(Unacceptable(500)),
            },
            None => self.legs.get_mut(index).map_or(Err(Unacceptable(500)), |l| l.session.local(None)),
        }
    }

    /// The leg that hears this one, if both are joined.
    pub fn partner(&self, index: u8) -> Option<u8> {
        match self.doing {
            Doing::Bridged(callee) if index == 0 => Some(callee),
            Doing::Bridged(callee) if index == callee => Some(0),
            _ => None,
        }
    }

    /// A leg's peer wants to change its media: hold, resume, another codec, another address.
    pub fn on_reoffer(&mut self, w: &mut World, index: u8, body: Option<Body>) {
        let partner = self.partner(index);
        if self.direct {
            let refusal = match (partner, &body) {
                (Some(other), Some(_)) => {
                    let asked = self.with_leg(w, other, |leg, ep, now| leg.reoffer(ep, now, body.as_ref())).flatten();
                    asked.is_none().then_some(491)
                }
                // Without an offer the ACK would have to wait for the other side's answer; without a partner nobody can answer.
                _ => Some(488),
            };
            if let Some(status) = refusal {
                self.with_leg(w, index, |leg, ep, now| leg.refuse_reoffer(ep, now, status));
            }
            return;
        }
        let answer = match &body {
            Some(body) => {
                let taken = self.legs[usize::from(index)].session.take_offer(body);
                taken.and_then(|()| self.description_for(index, partner))
            }
            None => self.legs[usize::from(index)].session.offer_again(),
        };
        match answer {
            Ok(answer) => {
                self.with_leg(w, index, |leg, ep, now| leg.answer_reoffer(ep, now, Some(&answer)));
                self.refresh_media(w, index);
                self.follow_hold(w, index);
                self.hold_in_conference(w);
                self.share_codec(w);
            }
            Err(fault) => {
                self.with_leg(w, index, |leg, ep, now| leg.refuse_reoffer(ep, now, fault.0));
            }
        }
    }

    /// Who is joined to a party that has gone silent hears silence, so that its own peer does not take it for dead; and the party
    /// again when it is back.
    fn follow_hold(&mut self, w: &mut World, index: u8) {
        let Some(other) = self.partner(index) else { return };
        if self.legs[usize::from(index)].session.is_mute() {
            self.hear(w, other, Hears::Silence);
        } else {
            self.join(w, index, other);
        }
    }

    /// A re-INVITE of ours has its final response: one of our own, or the other party's to what `on_reoffer` passed on.
    pub fn on_reoffered(&mut self, w: &mut World, index: u8, status: u16, body: Option<Body>) {
        if !self.direct {
            return self.on_codec_answer(w, index, body.filter(|_| status < 300).as_ref());
        }
        let Some(asker) = self.partner(index) else { return };
        self.with_leg(w, asker, |leg, ep, now| match status {
            200..=299 => leg.answer_reoffer(ep, now, body.as_ref()),
            // What is between us and the other party is not the asker's: it would end its own dialog over it.
            401 | 407 | 408 | 481 | 500..=599 => leg.refuse_reoffer(ep, now, 488),
            _ => leg.refuse_reoffer(ep, now, status),
        });
    }

    /// Brings a leg's media in line with what has been agreed, and says so on the timeline if it changed.
    pub fn refresh_media(&mut self, w: &mut World, index: u8) {
        let timeout = w.config.media.rtp_timeout;
        if let Some(other) = self.partner(index) {
            self.match_digits(index, other);
            let leg = self.legs.get_mut(usize::from(other));
            let set = leg.and_then(|l| l.session.refresh(timeout.filter(|_| l.answered.is_some())));
            set.into_iter().for_each(|set| w.output(Output::Media(set)));
        }
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if let Some(set) = leg.session.refresh(timeout.filter(|_| leg.answered.is_some())) {
            let hold = if leg.session.is_held() { ", on hold" } else { "" };
            let text = format!("{}{hold}", leg.session.spoken());
            w.output(Output::Media(set));
            self.note(w, Side::Leg(index), What::Media(text.into()));
        }
    }

    /// A leg's ACK carried the answer to our offer.
    pub fn on_ack_answer(&mut self, w: &mut World, index: u8, body: &Body) {
        if let (true, Some(other)) = (self.direct, self.partner(index)) {
            self.with_leg(w, other, |leg, ep, _| leg.acknowledge(ep, Some(body)));
            return;
        }
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if !leg.session.awaits_answer() {
            return;
        }
        match leg.session.take_answer(body) {
            Ok(()) => self.refresh_media(w, index),
            Err(fault) => self.finish(w, Ending::new(Class::Peer, "not_acceptable", fault.0)),
        }
    }

    /// A 2xx of ours has its ACK, and the answer if the ACK carried one.
    pub fn on_acked(&mut self, w: &mut World, index: u8) {
        let awaits = self.legs.get(usize::from(index)).is_some_and(|l| l.session.awaits_answer());
        if awaits && !self.direct {
            return self.on_leg_lost(w, index, Ending::new(Class::Peer, "no_answer_in_ack", 0));
        }
        if index != 0 {
            return;
        }
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::AwaitAck(action) => self.go_on_with(w, action),
            Doing::Bridged(leg) => {
                self.doing = Doing::Bridged(leg);
                // An ACK without the answer that it owes is passed on as it is.
                self.with_leg(w, leg, |leg, ep, _| leg.acknowledge(ep, None));
                self.join(w, 0, leg);
                self.share_codec(w);
            }
            other => self.doing = other,
        }
    }

    // ---- media events ----------------------------------------------------------------------------------------------

    pub fn on_media_opened(&mut self, w: &mut World, leg: media::LegId, rtp: SocketAddr) {
        let seed = w.ep.rng().next_u64();
        if self.legs[0].session.media() == Some(leg) {
            self.legs[0].session.opened(rtp, seed);
            match std::mem::replace(&mut self.doing, Doing::Nothing) {
                Doing::AwaitMedia(action) => self.go_on_with(w, action),
                other => self.doing = other,
            }
        } else {
            self.on_attempt_media(w, leg, Some((rtp, seed)));
        }
    }

    pub fn on_media_open_failed(&mut self, w: &mut World, leg: media::LegId, why: &'static str) {
        self.note(w, Side::Call, What::Media(format!("no media port: {why}").into()));
        if self.legs[0].session.media() == Some(leg) {
            self.legs[0].session.forget();
            self.finish(w, Ending::new(Class::Tandem, "no_media_port", 503));
        } else {
            self.on_attempt_media(w, leg, None);
        }
    }

    pub fn on_play_ended(&mut self, w: &mut World, id: PlayId, played: bool) {
        if matches!(self.doing, Doing::Beeping(beep, _) if beep == id)
            && let Doing::Beeping(_, record) = std::mem::replace(&mut self.doing, Doing::Nothing)
        {
            if let Some(outcome) = self.message_begins(w, record) {
                self.step_done(w, outcome);
            }
            return;
        }
        if matches!(self.doing, Doing::Playing(playing) if playing == id) {
            if !played {
                self.note(w, Side::Leg(0), What::Media("the prompt could not be played".into()));
            }
            self.step_done(w, if played { Outcome::Done } else { Outcome::Failed });
        }
    }

    pub fn on_media_timeout(&mut self, w: &mut World, leg: media::LegId) {
        let Some(index) = self.leg_of(leg) else { return };
        self.note(w, Side::Leg(index), What::Media("no RTP from the peer".into()));
        self.finish(w, Ending::new(Class::Peer, "rtp_timeout", 0));
    }

    pub fn leg_of(&self, media: media::LegId) -> Option<u8> {
        self.legs.iter().position(|l| l.session.media() == Some(media)).map(|i| i as u8)
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
        self.cancel_timers(w);
        self.leave_conference(w);
        self.end_recording(w);
        self.script = None;
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
            (_, Doing::Bridged(_)) => "bridged",
            (_, Doing::Conferring(_)) => "conference",
            _ if self.answered.is_some() => "answered",
            (_, Doing::Dialing(_)) => "dialing",
            _ => "routing",
        };
        CallView {
            call: self.id,
            from: self.from.clone(),
            to: self.to.clone(),
            trunk: matches!(self.source, Peer::Trunk(_)).then(|| self.source.as_str().to_owned()),
            user: matches!(self.source, Peer::User(_)).then(|| self.source.as_str().to_owned()),
            rule: self.rule.clone(),
            state,
            started: self.started.wall,
            answered: self.answered.map(|n| n.wall),
            peers: self.legs[1..]
                .iter()
                .filter(|l| l.state() != State::Gone)
                .map(|l| l.peer.as_str().to_owned())
                .collect(),
        }
    }
}

/// What legs and media tell the call.
impl Call {
    pub fn on_asked(&mut self, w: &mut World, index: u8, asked: Asked) {
        match asked {
            Asked::Nothing => {}
            Asked::Bye { reason: _ } if index == 0 => self.finish(w, Ending::new(Class::Caller, "hangup", 0)),
            Asked::Bye { reason: _ } => self.on_leg_lost(w, index, Ending::new(Class::Callee, "hangup", 0)),
            Asked::Reoffer { body } => self.on_reoffer(w, index, body),
            Asked::Info { body } => body.iter().for_each(|body| self.on_info(w, index, body)),
        }
    }

    pub fn on_heard(&mut self, w: &mut World, index: u8, heard: Heard) {
        match heard {
            Heard::Nothing | Heard::Ended => {}
            Heard::Progress { status, body } => self.on_progress(w, index, status, body),
            Heard::Answered { body } => self.on_answered(w, index, body),
            Heard::Refused { status, reason } => self.on_refused(w, index, status, &reason),
            Heard::Reoffered { status, body } => {
                self.on_reoffered(w, index, status, body);
                let lost = self.legs.get(usize::from(index)).is_some_and(|l| !l.is_alive());
                if lost {
                    self.on_leg_lost(w, index, Ending::new(Class::Peer, "reinvite_failed", status));
                }
            }
        }
    }

    /// A leg that was up is gone or going: the caller's ends the call, the joined one's leaves the rest to the script.
    pub fn on_leg_lost(&mut self, w: &mut World, index: u8, ending: Ending) {
        match self.doing {
            _ if index == 0 => self.finish(w, ending),
            Doing::Bridged(callee) if callee == index => self.on_callee_left(w, ending),
            _ => {}
        }
    }

    pub fn on_media(&mut self, w: &mut World, event: media::Event) {
        match event {
            media::Event::Opened { leg, rtp } => self.on_media_opened(w, leg, rtp),
            media::Event::OpenFailed { leg, why } => self.on_media_open_failed(w, leg, why),
            media::Event::PlayEnded { id, played, .. } => self.on_play_ended(w, id, played),
            media::Event::Latched { leg, source } => self.media_note(w, leg, format!("RTP from {source}")),
            media::Event::Refused { leg, source } => {
                self.media_note(w, leg, format!("foreign RTP from {source} refused"))
            }
            media::Event::Unprotected { leg, source } => {
                self.media_note(w, leg, format!("RTP from {source} refused: the SRTP key does not fit"))
            }
            media::Event::Digit { leg, digit, duration_ms, method } => {
                if let Some(index) = self.leg_of(leg) {
                    let duration_ms = u16::try_from(duration_ms).unwrap_or(u16::MAX);
                    self.on_digit(w, index, media::Press { digit, duration_ms }, method);
                }
            }
            media::Event::Timeout { leg } => self.on_media_timeout(w, leg),
            media::Event::Speaker { .. } | media::Event::RoomPlayEnded { .. } => {}
            media::Event::Closed { leg, quality } => {
                if let Some(index) = self.leg_of(leg) {
                    self.legs[usize::from(index)].session.closed(quality);
                }
            }
        }
    }

    fn media_note(&mut self, w: &World, leg: media::LegId, text: String) {
        if let Some(index) = self.leg_of(leg) {
            self.note(w, Side::Leg(index), What::Media(text.into()));
        }
    }
}
