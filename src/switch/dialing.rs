//! The action `dial`: targets become attempts, attempts become legs, the first that answers is joined to the caller.

mod attempts;
mod shown;

pub use attempts::{contacts_of, phones_of, redirected_attempts, trunk_attempts, uri_attempts};
pub use shown::escape_user;

use self::shown::outgoing;
use super::call::{Call, Doing, LEGS_MAX};
use super::divert::Forwarded;
use super::lcr::Priced;
use super::trunks::Full;
use super::verify::Named;
use super::world::{CallTimer, World};
use crate::b2bua::endpoint::Body;
use crate::b2bua::hunt::{Hunt, Track};
use crate::b2bua::leg::{ELSEWHERE, Leg, Peer};
use crate::base::pii::Secret;
use crate::base::time::{Duration, Instant};
use crate::config::Identity;
use crate::event::{Class, Direction, Ending, Side, What};
use crate::media::command::{self as media, Hears, Tone};
use crate::sip::transport::{Flow, ListenerId, Transport};
use crate::sip::wire::Uri;
use crate::verb::{Action, Callee, Dial, DialRecord, MediaMode, Outcome, Script, Strategy, Target};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// How long a target may stay silent (not even 100) before the next one is tried, if there is one.
const UNREACHABLE_AFTER: Duration = Duration::from_millis(1_800);

/// One way to call one target.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub peer: Peer,
    pub uri: String,
    pub flow: Flow,
    pub sticky: bool,
    pub credentials: Option<(String, Secret)>,
    codecs: Vec<String>,
    callee: Option<Arc<Callee>>,
    /// Route of the INVITE.
    pub routes: Vec<String>,
    /// The trunk's target that it tries.
    target: Option<String>,
    /// The number as it was dialled, before the trunk's rules.
    number: Option<String>,
    /// No limit holds.
    emergency: bool,
    /// Of a number by a trunk.
    priced: Option<Arc<Priced>>,
    /// It is refused as busy without being asked.
    barred: bool,
    pub forwarded: Option<Arc<Forwarded>>,
}

impl Attempt {
    /// An attempt at a user who takes no call now: it never goes out.
    pub fn barred(user: &str) -> Attempt {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Attempt {
            peer: Peer::User(user.to_owned()),
            uri: String::new(),
            flow: Flow { listener: ListenerId(0), transport: Transport::Udp, peer: nowhere, connection: 0 },
            sticky: true,
            credentials: None,
            codecs: Vec::new(),
            callee: None,
            routes: Vec::new(),
            target: None,
            number: None,
            emergency: false,
            priced: None,
            barred: true,
            forwarded: None,
        }
    }
}

/// A trunk's target that a leg tries.
#[derive(Debug)]
pub struct Tried {
    pub leg: u8,
    pub trunk: String,
    /// `None`: where a redirection pointed.
    target: Option<String>,
    pub priced: Option<Arc<Priced>>,
    /// Its INVITE has gone out.
    pub called: Option<Instant>,
    /// So long after that it rang.
    pub rang: Option<Duration>,
    /// What came of it has been told to the trunk's health.
    pub measured: bool,
}

/// A dial under way.
#[derive(Debug)]
pub struct Dialing {
    dial: Dial,
    hunt: Hunt<Attempt>,
    /// The leg whose early media the caller hears.
    early: Option<u8>,
    /// What that leg has answered to the caller's offer, where media is direct.
    early_body: Option<Body>,
    /// The caller has been told that it rings.
    rang: bool,
    /// Legs that a user's forwarding has called.
    forwarded: BTreeMap<u8, Arc<Forwarded>>,
}

impl Dialing {
    pub fn new(dial: Dial, hunt: Hunt<Attempt>) -> Dialing {
        Dialing { dial, hunt, early: None, early_body: None, rang: false, forwarded: BTreeMap::new() }
    }

    /// How long each stage rings.
    pub fn ring(&self) -> Duration {
        self.dial.timeout
    }

    pub fn runs(&self, leg: u8) -> bool {
        self.hunt.runs(leg)
    }

    pub fn forwarded(&self, leg: u8) -> Option<&Arc<Forwarded>> {
        self.forwarded.get(&leg)
    }

    /// Others to be called now.
    pub fn add(&mut self, tracks: Vec<Track<Attempt>>) {
        self.hunt.add(tracks);
    }
}

impl Call {
    /// Begins a dial, when the names in it are known; its outcome if there is nothing to try.
    pub fn dial(&mut self, w: &mut World, dial: Dial) -> Option<Outcome> {
        let dial = self.wait_for_names(w, dial)?;
        self.dial_now(w, dial)
    }

    pub fn dial_now(&mut self, w: &mut World, dial: Dial) -> Option<Outcome> {
        self.dialled = super::call::Dialled::default();
        self.redirected.clear();
        let untouched = self.answered.is_none() && self.legs[0].session.media().is_none();
        if self.direct && self.answered.is_some() {
            self.note(w, Side::Call, What::Note("the caller's media is not with us: nobody else can be joined".into()));
            return Some(Outcome::Failed);
        }
        self.direct = dial.media == MediaMode::Direct && untouched;
        if dial.media == MediaMode::Direct && !untouched {
            self.note(w, Side::Call, What::Note("the caller has media with us already: anchored".into()));
        }
        let stages = self.plan(w, &dial);
        if !self.direct {
            self.caller_media(w);
            if let Err(fault) = self.legs[0].session.admit() {
                self.finish(w, Ending::new(Class::Caller, "not_acceptable", fault.0));
                return None;
            }
        }
        let mut hunt = Hunt::new(stages);
        if !hunt.next_stage() {
            return Some(self.hunt_over(w, &hunt));
        }
        let ring = dial.timeout;
        if let Some(DialRecord { from_ringing: true, channels }) = dial.record {
            self.record_dial(w, channels);
        }
        self.doing = Doing::Dialing(Box::new(Dialing::new(dial, hunt)));
        self.set_timer(w, CallTimer::Ring, ring);
        self.pursue(w)
    }

    /// Targets to stages of tracks of attempts.
    pub fn plan(&mut self, w: &mut World, dial: &Dial) -> Vec<Vec<Track<Attempt>>> {
        let mut stages: Vec<Vec<Track<Attempt>>> = Vec::new();
        for (at, target) in dial.targets.iter().enumerate() {
            let mut tracks = match target {
                Target::User(name) => self.user_tracks(w, name),
                Target::Number { number, trunks, lcr } => {
                    let trunks = self.trunks_for(w, number, trunks, *lcr);
                    vec![Track::new(trunks.iter().flat_map(|t| trunk_attempts(w, t, number)))]
                }
                Target::Uri(uri) if own_user(w, uri).is_some() => {
                    self.user_tracks(w, &own_user(w, uri).unwrap_or_default())
                }
                Target::Uri(uri) if let Some(tracks) = w.domain_tracks(uri) => tracks,
                Target::Uri(uri) => {
                    Some(uri_attempts(w, uri)).filter(|a| !a.is_empty()).map(Track::new).into_iter().collect()
                }
            };
            if let Some(callee) = dial.callees.get(at).filter(|callee| **callee != Callee::default()) {
                let callee = Arc::new(callee.clone());
                for attempt in tracks.iter_mut().flat_map(Track::attempts_mut) {
                    attempt.credentials = callee.credentials.clone().or(attempt.credentials.take());
                    attempt.callee = Some(Arc::clone(&callee));
                }
            }
            if tracks.is_empty() {
                self.note(
                    w,
                    Side::Call,
                    What::Note(format!("{}: nowhere to call", super::describe::target(target)).into()),
                );
            }
            match (dial.strategy, stages.last_mut()) {
                (Strategy::Simultaneous, Some(stage)) => stage.extend(tracks),
                _ => stages.push(tracks),
            }
        }
        stages
    }

    /// Starts what can be started, and goes on to the next stage when one is over; an outcome when all are.
    fn pursue(&mut self, w: &mut World) -> Option<Outcome> {
        loop {
            let Doing::Dialing(dialing) = &mut self.doing else { return None };
            if self.legs.len() < LEGS_MAX
                && let Some(attempt) = dialing.hunt.next_attempt(self.legs.len() as u8)
            {
                self.place(w, attempt);
                continue;
            }
            if !dialing.hunt.is_stage_over() {
                return None;
            }
            if self.legs.len() < LEGS_MAX && dialing.hunt.next_stage() {
                let ring = dialing.dial.timeout;
                self.set_timer(w, CallTimer::Ring, ring);
                continue;
            }
            self.cancel_timer(w, CallTimer::Ring);
            let Doing::Dialing(dialing) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return None };
            // Unless a description of somebody's has reached the caller, it is ours again.
            self.direct &= dialing.early.is_some();
            return Some(self.hunt_over(w, &dialing.hunt));
        }
    }

    pub fn pursue_and_go_on(&mut self, w: &mut World) {
        match self.pursue(w) {
            Some(_) if self.seeks_party() => self.sought_in_vain(w),
            Some(outcome) => self.step_done(w, outcome),
            None => {}
        }
    }

    /// Makes the leg of an attempt: its INVITE goes out at once if media is direct, else when its port is there.
    fn place(&mut self, w: &mut World, attempt: Attempt) {
        let index = self.legs.len() as u8;
        if let (true, Doing::Dialing(dialing)) = (attempt.barred, &mut self.doing) {
            dialing.hunt.refused(index, 486, "");
            return;
        }
        let full = match &attempt.peer {
            Peer::Trunk(name) => w.trunks.admit(name, w.now.mono).err(),
            _ => None,
        };
        let full = match (full, &attempt.peer) {
            (Some(Full::Calls | Full::Cps), Peer::Trunk(name)) if attempt.emergency => {
                w.trunks.overbook(name);
                None
            }
            (full, _) => full,
        };
        let tolled = match (&attempt.priced, &attempt.peer) {
            (Some(priced), Peer::Trunk(trunk)) if full.is_none() && !attempt.emergency => self.toll(w, trunk, priced),
            _ => Ok(Vec::new()),
        };
        let keys = match tolled {
            Ok(keys) => keys,
            Err(status) => return self.toll_refused(w, index, &attempt, status),
        };
        let Doing::Dialing(dialing) = &mut self.doing else { return };
        if let Some(full) = full {
            // No leg: the number is given to the next attempt.
            dialing.hunt.refused(index, 503, "");
            let text = format!("{}: {}", attempt.peer.as_str(), full.as_str());
            return self.note(w, Side::Call, What::Note(text.into()));
        }
        let mut shown = dialing_caller(&dialing.dial);
        if let Some(forwarded) = &attempt.forwarded {
            dialing.forwarded.insert(index, Arc::clone(forwarded));
            shown.0 = forwarded.caller_id.clone().or(shown.0);
            shown.1 = forwarded.caller_name.clone().or(shown.1);
        }
        if let Some(callee) = &attempt.callee {
            shown.2.extend(callee.headers.iter().cloned());
            self.dialled.callees.insert(index, Arc::clone(callee));
        }
        let limit = dialing.dial.codecs.clone();
        if let Peer::Trunk(trunk) = &attempt.peer {
            let (trunk, target, priced) = (trunk.clone(), attempt.target.clone(), attempt.priced.clone());
            let (called, rang, measured) = (None, None, false);
            self.tried.push(Tried { leg: index, trunk, target, priced, called, rang, measured });
        }
        let priced = attempt.priced.clone();
        let routes = attempt.routes.clone();
        let attested = attempt.number.clone().map(|number| (attempt.peer.clone(), number));
        let attest = dialing.dial.attest.clone();
        let outgoing = outgoing(w, self, &shown, attempt);
        let v6 = outgoing.flow.peer.is_ipv6();
        let mut leg = Leg::outgoing(&mut w.ep, w.now, index, outgoing);
        leg.set_routes(&routes);
        if let Some((Peer::Trunk(trunk), called)) = &attested {
            self.attest_leg(w, &mut leg, (trunk, called), shown.0.as_deref(), attest.as_deref());
        }
        w.tolls.place(w.now.mono, leg.dialog().local_tag(), keys, priced.as_deref());
        self.add_leg(w, leg);
        if self.direct {
            let body = self.invite_body.clone();
            return self.send_invite(w, index, body);
        }
        let group = self.media_group();
        let media = w.open_media(self.key, group, v6);
        let leg = &mut self.legs[usize::from(index)];
        let limit = if limit.is_empty() { leg.codecs().to_vec() } else { limit };
        leg.session.open(media, limit, w.security(&leg.peer));
        leg.session.set_dtmf(w.dtmf(&leg.peer));
    }

    /// Says to a trunk who calls, as far as its number may be told to it.
    fn attest_leg(
        &mut self,
        w: &World,
        leg: &mut Leg,
        (trunk, called): (&str, &str),
        caller_id: Option<&str>,
        attest: Option<&str>,
    ) {
        let Some(policy) = w.trunks.get(trunk).map(|t| &t.manners.caller_id) else { return };
        let is_hidden = self.withheld && caller_id.is_none() && !policy.shows_withheld;
        if is_hidden && (policy.send != Some(Identity::Pai) || !policy.trusted) {
            return;
        }
        let caller = caller_id.unwrap_or(self.caller().0).to_owned();
        let named = Named { trunk, caller: &caller, called, is_set: caller_id.is_some(), attest };
        for (name, value) in self.attest(w, leg.dialog().local_tag(), &named) {
            leg.add_header(&name, value);
        }
    }

    /// A cap of `tolls` refuses an attempt. A 6xx ends those that ring beside it, as one from the called side does.
    fn toll_refused(&mut self, w: &mut World, index: u8, attempt: &Attempt, status: u16) {
        if let Peer::Trunk(name) = &attempt.peer {
            w.trunks.release(name);
        }
        self.dialled.tolled = Some(status);
        let Doing::Dialing(dialing) = &mut self.doing else { return };
        let ringing: Vec<u8> = (0..index).filter(|i| dialing.hunt.runs(*i)).collect();
        dialing.hunt.refused(index, status, "");
        if status >= 600 {
            self.end_attempts(w, &ringing, "");
        }
    }

    fn send_invite(&mut self, w: &mut World, index: u8, body: Option<Body>) {
        if let Some(body) = self.sign_first(w, index, body) {
            self.send_invite_now(w, index, body);
        }
    }

    /// Sends an INVITE that waits for nothing more.
    pub fn send_invite_now(&mut self, w: &mut World, index: u8, body: Option<Body>) {
        self.post_dial.get_or_insert(w.now.mono.since(self.started.mono));
        self.with_leg(w, index, |leg, ep, now| leg.call(ep, now, body));
        self.tell_callee(w, index, "initiated", "initiated");
        self.expect_answer(w, index);
        self.tried.iter_mut().filter(|t| t.leg == index).for_each(|t| t.called = Some(w.now.mono));
        let Doing::Dialing(dialing) = &self.doing else { return };
        if dialing.hunt.has_alternative(index) {
            self.set_timer(w, CallTimer::Unreachable(index), UNREACHABLE_AFTER);
        }
    }

    /// The media port of an attempt's leg is there, or cannot be had.
    pub fn on_attempt_media(&mut self, w: &mut World, media: media::LegId, opened: Option<(SocketAddr, u64)>) {
        let Some(index) = self.leg_of(media) else { return };
        let leg = &mut self.legs[usize::from(index)];
        let Some((rtp, seed)) = opened else {
            leg.session.forget();
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
            return self.on_refused(w, index, 503, "No Media Port");
        };
        leg.session.opened(rtp, seed);
        let Doing::Dialing(dialing) = &self.doing else { return };
        if !leg.is_alive() {
            return;
        }
        let shared = dialing.dial.ringback.is_some() || dialing.hunt.is_parallel();
        let body = match self.legs.get_disjoint_mut([0, usize::from(index)]) {
            Ok([caller, leg]) if self.answered.is_some() || self.direction == Direction::Inbound => {
                leg.session.offer(Some(&caller.session), shared)
            }
            // A call of ours: whoever answers will hear what we play.
            _ => self.legs[usize::from(index)].session.offer(None, true),
        };
        self.send_invite(w, index, Some(body));
    }

    // ---- what the called side says ---------------------------------------------------------------------------------

    pub fn on_progress(&mut self, w: &mut World, index: u8, status: u16, body: Option<Body>) {
        self.cancel_timer(w, CallTimer::Unreachable(index));
        if matches!(self.doing, Doing::Dialing(_)) && status >= 180 {
            self.tell_callee(w, index, "ringing", "ringing");
            self.tried_rings(w, index);
            self.transfer_rings(w);
        }
        let Doing::Dialing(dialing) = &mut self.doing else { return };
        if self.direction == Direction::Outbound && self.answered.is_none() {
            return self.on_party_rings(w, index, status, body.as_ref());
        }
        if self.direct {
            dialing.early = dialing.early.or(body.as_ref().map(|_| index));
            if dialing.early == Some(index) && body.is_some() {
                dialing.early_body.clone_from(&body);
            }
            self.with_leg(w, 0, |leg, ep, now| leg.progress(ep, now, status, body.as_ref()));
            return;
        }
        let ringback = dialing.dial.ringback.clone();
        let first = !std::mem::replace(&mut dialing.rang, true);
        let described = body.is_some_and(|b| self.legs[usize::from(index)].session.take_answer(&b).is_ok());
        let Doing::Dialing(dialing) = &mut self.doing else { return };
        if described && ringback.is_none() && dialing.early.is_none_or(|e| e == index) {
            let new = dialing.early.replace(index).is_none();
            if new && self.answered.is_none() && self.legs[0].session.is_ready() {
                self.early_media_like(w, status, index);
            }
            return self.join(w, 0, index);
        }
        if first {
            self.ring(w, status, ringback);
        }
    }

    /// The leg whose early media the caller hears.
    pub fn heard_early(&self) -> Option<u8> {
        match &self.doing {
            Doing::Dialing(dialing) => dialing.early,
            _ => None,
        }
    }

    /// Lets the caller know that it rings: by 180, by our tone as early media, or by our tone if it is answered already.
    fn ring(&mut self, w: &mut World, status: u16, ringback: Option<Arc<str>>) {
        // Without an offer of the caller's there is no early media: an unreliable 183 may not carry ours (RFC 3261 §13.2.1).
        let audible = self.answered.is_some() || self.may_describe();
        let country = match (&ringback, self.answered) {
            (Some(country), _) if audible => Arc::clone(country),
            (None, Some(_)) => Arc::from(w.config.media.country.as_str()),
            _ => {
                self.with_leg(w, 0, |leg, ep, now| leg.progress(ep, now, status, None));
                return;
            }
        };
        if self.answered.is_none() && !self.early_media(w, 183) {
            return;
        }
        let id = w.new_play();
        self.hear(w, 0, Hears::Tone { id, tone: Tone::Ringback, country, duration: None });
    }

    fn early_media_like(&mut self, w: &mut World, status: u16, index: u8) {
        if !self.may_describe() {
            self.with_leg(w, 0, |leg, ep, now| leg.progress(ep, now, 180, None));
        } else if let Some(body) = self.caller_description(w, Some(index)) {
            self.with_leg(w, 0, |leg, ep, now| leg.progress(ep, now, status, Some(&body)));
        }
    }

    pub fn on_answered(&mut self, w: &mut World, index: u8, body: Option<Body>) {
        let wanted = matches!(&self.doing, Doing::Dialing(d) if d.hunt.runs(index));
        if !wanted {
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
            return;
        }
        self.measure_tried(w, index, true);
        if self.seeks_party() {
            return self.on_party_answered(w, index, body.as_ref());
        }
        let session = &mut self.legs[usize::from(index)].session;
        if !self.direct {
            let agreed = body.as_ref().map_or(Ok(()), |b| session.take_answer(b));
            let fits = agreed.is_ok() && session.is_negotiated();
            if !fits || !self.legs[0].session.meets(&self.legs[usize::from(index)].session) {
                self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, "Not Acceptable Here"));
                return self.on_refused(w, index, 488, "Not Acceptable Here");
            }
        }
        self.cancel_timer(w, CallTimer::Ring);
        self.abandon_attempts_but(w, index);
        self.tell_callee(w, index, "answered", "in-progress");
        self.detect_callee(w, index);
        if self.direct || !self.begin_aside(w, index) {
            self.bridge_with(w, index, body);
        }
    }

    /// Joins the one who has answered to the caller.
    pub fn bridge(&mut self, w: &mut World, index: u8) {
        self.bridge_with(w, index, None);
    }

    fn bridge_with(&mut self, w: &mut World, index: u8, body: Option<Body>) {
        let Doing::Dialing(dialing) = std::mem::replace(&mut self.doing, Doing::Bridged(index)) else { return };
        self.dialled.leg = Some(index);
        self.dialled.since = Some(w.now.mono);
        if self.direct {
            // What was answered reliably before is not said again in the 200 (RFC 3262 §5).
            let early = dialing.early_body.filter(|_| dialing.early == Some(index));
            self.send_answer(w, body.or(early).as_ref());
        } else if !self.answer_caller(w, Some(index)) {
            return;
        }
        if let Some(DialRecord { channels, .. }) = dialing.dial.record {
            self.record_dial(w, channels);
        }
        if self.transferor().is_some() {
            self.cancel_timer(w, CallTimer::TalkLimit);
        }
        if let Some(limit) = dialing.dial.time_limit {
            self.set_timer(w, CallTimer::TalkLimit, limit);
        }
        let leg = &self.legs[usize::from(index)];
        let spoken = if self.direct { "direct".to_owned() } else { leg.session.spoken() };
        let text = format!("{} answered, {spoken}", leg.peer.as_str());
        self.note(w, Side::Leg(index), What::Media(text.into()));
        self.join(w, 0, index);
        self.transferred(w);
        self.share_codec(w);
    }

    /// The caller hears anew that somebody rings.
    pub fn hear_ringing(&mut self, w: &mut World) {
        let Doing::Dialing(dialing) = &self.doing else { return };
        let (early, rang, ringback) = (dialing.early, dialing.rang, dialing.dial.ringback.clone());
        match early {
            Some(early) => self.join(w, 0, early),
            None if rang => self.ring(w, 180, ringback),
            None => {}
        }
    }

    /// An attempt's leg is gone without an answer.
    pub fn on_refused(&mut self, w: &mut World, index: u8, status: u16, reason: &str) {
        self.cancel_timer(w, CallTimer::Unreachable(index));
        self.cancel_timer(w, CallTimer::NoAnswer(index));
        if matches!(self.doing, Doing::Dialing(_)) {
            let word = match status {
                486 | 600 => "busy",
                408 | 480 | 487 => "no-answer",
                _ => "failed",
            };
            self.tell_callee(w, index, "completed", word);
        }
        if !matches!(self.doing, Doing::Dialing(_)) {
            return;
        }
        let silent = self.legs.get(usize::from(index)).is_some_and(|l| !l.heard_anything());
        let tried = self.tried.iter().find(|t| t.leg == index && t.called.is_some());
        if silent && let Some((tried, target)) = tried.and_then(|t| Some((t, t.target.as_ref()?))) {
            w.target_is_silent(&tried.trunk, target);
        }
        if !(300..400).contains(&status) {
            self.measure_tried(w, index, false);
        }
        let Doing::Dialing(dialing) = &mut self.doing else { return };
        let was_heard = dialing.early == Some(index) && !self.direct;
        if was_heard {
            dialing.early = None;
        }
        let ringing: Vec<u8> = (0..self.legs.len() as u8).filter(|i| *i != index && dialing.hunt.runs(*i)).collect();
        let ran = dialing.hunt.runs(index);
        dialing.hunt.refused(index, status, reason);
        if status >= 600 {
            self.end_attempts(w, &ringing, "");
        }
        if was_heard {
            self.hear(w, 0, Hears::Silence);
        }
        if (300..400).contains(&status) && self.on_redirected(w, index, status) {
            return;
        }
        if ran {
            self.on_user_refused(w, index, status);
        }
        self.pursue_and_go_on(w);
    }

    fn end_attempts(&mut self, w: &mut World, legs: &[u8], phrase: &str) {
        for index in legs {
            self.cancel_timer(w, CallTimer::Unreachable(*index));
            self.cancel_timer(w, CallTimer::NoAnswer(*index));
            self.with_leg(w, *index, |leg, ep, now| leg.hang_up(ep, now, 0, phrase));
        }
    }

    /// Nothing came back from a target, not even 100: the next one is tried.
    pub fn on_unreachable(&mut self, w: &mut World, index: u8) {
        let silent = self.legs.get(usize::from(index)).is_some_and(|l| l.is_alive() && !l.heard_anything());
        if !silent {
            return;
        }
        self.note(w, Side::Leg(index), What::Note("no answer from the far system: trying the next target".into()));
        let flow = self.legs[usize::from(index)].dialog().flow();
        w.ep.failed(flow, None);
        self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
        self.on_refused(w, index, 408, "Request Timeout");
    }

    /// The stage has rung long enough.
    pub fn on_ring_out(&mut self, w: &mut World) {
        let Doing::Dialing(dialing) = &mut self.doing else { return };
        let ringing: Vec<u8> = (0..self.legs.len() as u8).filter(|i| dialing.hunt.runs(*i)).collect();
        if let Some(index) = self.forwards_unanswered(w, &ringing) {
            return self.on_no_answer(w, index);
        }
        let Doing::Dialing(dialing) = &mut self.doing else { return };
        dialing.hunt.ring_out();
        let was_heard = !self.direct && dialing.early.take().is_some();
        ringing.iter().for_each(|index| self.measure_tried(w, *index, false));
        self.end_attempts(w, &ringing, "");
        if was_heard {
            self.hear(w, 0, Hears::Silence);
        }
        self.pursue_and_go_on(w);
    }

    pub fn hunt_over(&mut self, w: &mut World, hunt: &Hunt<Attempt>) -> Outcome {
        self.dial_recorded(w);
        let (outcome, status, _) = hunt.outcome();
        self.cause = Some(match outcome {
            Outcome::Busy => Ending::new(Class::Callee, "busy", status),
            _ if self.dialled.tolled == Some(status) => Ending::new(Class::Tandem, "toll", status),
            Outcome::NoAnswer => Ending::new(Class::Callee, "no_answer", status),
            _ if status >= 600 || status == 403 => Ending::new(Class::Callee, "rejected", status),
            _ if status == 404 || status == 410 || status == 484 => Ending::new(Class::Callee, "not_found", status),
            _ if status == 488 => Ending::new(Class::Callee, "not_acceptable", status),
            _ if status == 504 => Ending::new(Class::Peer, "unreachable", status),
            _ if hunt.tried_nothing() => Ending::new(Class::Callee, "unreachable", status),
            _ => Ending::new(Class::Peer, "failed", status),
        });
        if let Some(script) = &mut self.script {
            script.set("dial_status", outcome.as_str().to_owned());
        }
        outcome
    }

    /// Ends all attempts of a dial but the one that won; leg 0 is the caller's, and an attempt only while a call of ours has none.
    pub fn abandon_attempts_but(&mut self, w: &mut World, winner: u8) {
        let from = u8::from(!self.seeks_party());
        let stays = |i: u8| i == winner || self.transferor() == Some(i) || self.arrival(i).is_some();
        let losers: Vec<u8> = (from..self.legs.len() as u8).filter(|i| !stays(*i)).collect();
        self.end_attempts(w, &losers, ELSEWHERE);
        self.cancel_timer(w, CallTimer::Unreachable(winner));
        self.cancel_timer(w, CallTimer::NoAnswer(winner));
    }

    /// The leg that was joined to the caller has left: the script decides what follows.
    pub fn on_callee_left(&mut self, w: &mut World, ending: Ending) {
        self.cause = Some(ending);
        self.dial_recorded(w);
        if let Doing::Bridged(callee) = self.doing {
            self.tell_callee(w, callee, "completed", "completed");
        }
        self.with_leg(w, 0, |leg, ep, now| leg.drop_reoffer(ep, now));
        if !self.direct {
            self.hear(w, 0, Hears::Silence);
        }
        self.cancel_timer(w, CallTimer::TalkLimit);
        self.step_done(w, Outcome::Answered);
    }
}

impl Call {
    /// Both have talked as long as the dial lets them: who was called goes, what follows is the script's. False if nobody talks.
    pub fn on_talk_limit(&mut self, w: &mut World) -> bool {
        let Doing::Bridged(callee) = self.doing else { return false };
        self.with_leg(w, callee, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
        self.on_callee_left(w, Ending::new(Class::Tandem, "time_limit", 0));
        true
    }

    /// The caller's * ends the talk where the dial says so.
    pub fn on_star(&mut self, w: &mut World) {
        let is_asked = match self.script.as_ref().and_then(Script::waiting) {
            Some(Action::Dial(dial)) => dial.after.hangup_on_star,
            _ => false,
        };
        let Doing::Bridged(callee) = self.doing else { return };
        if is_asked {
            self.with_leg(w, callee, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
            self.on_callee_left(w, Ending::new(Class::Caller, "hangup", 0));
        }
    }
}

/// The user of ours whom an address names.
pub fn own_user(w: &World, uri: &str) -> Option<String> {
    let parsed = Uri::parse(uri)?;
    let user = parsed.user_decoded().into_owned();
    let is_ours = parsed.host.eq_ignore_ascii_case(&w.config.sip.domain);
    (is_ours && w.user(&user).is_some()).then_some(user)
}

/// Caller's number and name as a dial wants them shown.
fn dialing_caller(dial: &Dial) -> (Option<String>, Option<String>, Vec<(String, String)>) {
    (dial.caller_id.clone(), dial.caller_name.clone(), dial.headers.clone())
}
