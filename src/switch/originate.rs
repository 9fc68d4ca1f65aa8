//! The switch places a call itself. Its first party is called, by a hunt like a dial's; the leg that answers becomes leg 0, the one
//! that scripts know as the caller, and only then does the script run.

use super::Switch;
use super::call::{Call, Doing};
use super::dialing::Dialing;
use super::io::Reply;
use super::web_status::{Progress, Watch};
use super::world::{CallKey, CallTimer, LegRef, World};
use crate::b2bua::endpoint::Body;
use crate::b2bua::hunt::Hunt;
use crate::b2bua::leg::Peer;
use crate::base::time::{Duration, Now};
use crate::dialplan::CallFacts;
use crate::event::{CallId, Class, Direction, Ending, Fact, Side, What};
use crate::media::command::Hears;
use crate::sip::wire::Uri;
use crate::speech::machine::Settings;
use crate::verb::{AfterDial, Dial, MediaMode, Script, Strategy, Target};
use crate::web::Address;

/// A call that somebody asks the switch to place.
#[derive(Clone, Debug)]
pub struct Originate {
    /// Tried one after the other; the first that answers is the call's party. None: whom `to` means.
    pub targets: Vec<Target>,
    /// A user's name, `client:` and one, a SIP URI, or a number, which goes by all trunks in their order. The record and the
    /// script call it so.
    pub to: String,
    /// The number, and the name, that are shown to the called party.
    pub from: String,
    pub from_name: String,
    /// How long it may ring, each target.
    pub timeout: Duration,
    /// The longest that the call may last from its answer; `None`: `limits.call_duration`.
    pub time_limit: Option<Duration>,
    pub headers: Vec<(String, String)>,
    pub codecs: Vec<String>,
    pub runs: Runs,
    /// Beside those that each script has.
    pub variables: Vec<(String, String)>,
    /// Who is told how it goes, and of which moments: `initiated ringing answered completed`; "" is the end alone.
    pub told: Option<(Address, String)>,
    /// Who listens to find out whether a person or a machine answers.
    pub machine: Option<MachineAsk>,
}

/// How it is found out whether a person or a machine answers a call of ours.
#[derive(Clone, Debug)]
pub struct MachineAsk {
    pub settings: Settings,
    /// The script begins when it is known.
    pub waits: bool,
    /// Who is told.
    pub told: Option<Address>,
}

/// What happens once the party has answered.
#[derive(Clone, Debug)]
pub enum Runs {
    /// What the dialplan says of a call to `to` in `context`: decided before anybody is called.
    Context { context: String, to: String },
    /// A script that was made for it; `at` says whose it is, for the record.
    Script { script: Box<Script>, at: String },
}

impl Originate {
    /// Longest time that anybody is let ring.
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);

    fn dial(&self, targets: Vec<Target>) -> Dial {
        Dial {
            targets,
            strategy: Strategy::Sequential,
            timeout: self.timeout.min(Self::TIMEOUT_MAX),
            caller_id: Some(self.from.clone()),
            caller_name: Some(self.from_name.clone()),
            attest: None,
            media: MediaMode::Anchored,
            codecs: self.codecs.clone(),
            time_limit: None,
            ringback: None,
            record: None,
            headers: self.headers.clone(),
            after: AfterDial::default(),
            callees: Vec::new(),
        }
    }
}

impl Switch {
    /// Begins a call; what is wrong with it is said before anybody is called, all else by its record.
    pub(super) fn originate(&mut self, asked: &Originate) -> Reply {
        let w = &mut self.world;
        if let Err(reason) = w.admit_ours() {
            w.counters.calls_refused_limit += u64::from(reason != "draining");
            return Reply::Refused(format!("no call can be placed now: {reason}"));
        }
        let call_id = CallId(u128::from(w.ep.rng().next_u64()) << 64 | u128::from(w.ep.rng().next_u64()));
        let party = (&*asked.from, &*asked.from_name, &*asked.to);
        let (mut script, rule, why) = match script_of(w, &asked.runs, party, call_id) {
            Ok(found) => found,
            Err(why) => return Reply::Refused(why),
        };
        for (name, value) in &asked.variables {
            script.set(name, value.clone());
        }
        let targets = if asked.targets.is_empty() { vec![w.whom(&asked.to)] } else { asked.targets.clone() };
        let now = w.now;
        let key = self.calls.insert_with(|key| Call::outgoing(call_id, key, now));
        self.ids.insert(call_id, key);
        w.counters.calls_total += 1;
        w.counters.calls_active += 1;
        self.with_call(key, |call, w| {
            call.from.clone_from(&asked.from);
            call.from_name.clone_from(&asked.from_name);
            call.to.clone_from(&asked.to);
            call.source = named_source(targets.first());
            call.rule = rule;
            if let Runs::Context { context, .. } = &asked.runs {
                call.context.clone_from(context);
            }
            call.lasts = asked.time_limit;
            call.machine_ask.clone_from(&asked.machine);
            call.note(w, Side::Call, What::Route(why.into()));
            call.script = Some(script);
            call.watched = asked.told.as_ref().map(|(address, events)| Watch::new(address.clone(), events));
            w.fact(call.started_fact());
            call.progress(w, Progress::Initiated);
            call.seek(w, asked.dial(targets));
        });
        Reply::Placed(call_id)
    }
}

/// Where the call goes, as far as it is known before it does.
fn named_source(target: Option<&Target>) -> Peer {
    match target {
        Some(Target::User(name)) => Peer::User(name.clone()),
        Some(Target::Number { trunks, .. }) => Peer::Trunk(trunks.first().cloned().unwrap_or_default()),
        Some(Target::Uri(uri)) => Peer::Uri(uri.clone()),
        None => Peer::Uri(String::new()),
    }
}

/// The script of the call, the rule that the record names, and the sentence for the timeline.
pub fn script_of(
    w: &World,
    runs: &Runs,
    (from, from_name, called): (&str, &str, &str),
    id: CallId,
) -> Result<(Script, String, String), String> {
    let (mut script, rule, why) = match runs {
        Runs::Context { context, to } => {
            let header = |_: &str| None;
            let facts = CallFacts {
                from,
                from_name,
                to,
                trunk: None,
                user: None,
                header: &header,
                at: w.now.wall,
                proof: Default::default(),
            };
            let taken = w.dialplan.route(context, &facts)?;
            (taken.script, taken.rule, format!("placed by the operator; after the answer {}", taken.why))
        }
        Runs::Script { script, at } => {
            let mut script = (**script).clone();
            for (name, value) in [("from", from), ("from_name", from_name), ("to", called)] {
                script.set(name, value.to_owned());
            }
            (script, at.clone(), format!("placed by the operator; after the answer it runs {at}"))
        }
    };
    script.set("call_id", id.to_string());
    Ok((script, rule, why))
}

impl World {
    /// Books a call of our own against the limits of the whole switch; its trunk's are booked by each attempt.
    fn admit_ours(&mut self) -> Result<(), &'static str> {
        if self.draining {
            return Err("draining");
        }
        let limit = self.config.limits.calls;
        if limit > 0 && self.counters.calls_active >= u64::from(limit) {
            return Err("limit_calls");
        }
        if self.cps.take(self.now.mono) { Ok(()) } else { Err("limit_cps") }
    }

    /// Whom the text means: a user of ours, a SIP address elsewhere, or a number.
    fn whom(&self, to: &str) -> Target {
        let is_user = |name: &str| self.user(name).is_some();
        if let Some(name) = to.strip_prefix("client:") {
            return Target::User(name.to_owned());
        }
        match Uri::parse(to).filter(Uri::is_sip) {
            Some(uri) if uri.host.eq_ignore_ascii_case(&self.config.sip.domain) && is_user(&uri.user_decoded()) => {
                Target::User(uri.user_decoded().into_owned())
            }
            Some(_) => Target::Uri(to.to_owned()),
            None if is_user(to) => Target::User(to.to_owned()),
            None => {
                let trunks = self.config.trunks.iter().filter(|t| !t.targets.is_empty());
                Target::Number { number: to.to_owned(), trunks: trunks.map(|t| t.name.clone()).collect(), lcr: false }
            }
        }
    }
}

impl Call {
    /// A call of our own, whose party has yet to answer.
    fn outgoing(id: CallId, key: CallKey, now: Now) -> Call {
        Call::with_legs(id, key, Vec::new(), Peer::Uri(String::new()), Direction::Outbound, now)
    }

    /// The call is ours, and nobody has answered: there is no caller, every leg is an attempt.
    pub fn seeks_party(&self) -> bool {
        self.direction == Direction::Outbound && self.answered.is_none()
    }

    /// Whose doing it is when the party at leg 0 ends the call.
    pub fn class_of_party(&self) -> Class {
        match self.legs.first().map_or(self.direction, |leg| leg.direction) {
            Direction::Inbound => Class::Caller,
            Direction::Outbound => Class::Callee,
        }
    }

    /// Calls the party.
    fn seek(&mut self, w: &mut World, dial: Dial) {
        if let Some(dial) = self.wait_for_names(w, dial) {
            self.seek_now(w, dial);
        }
    }

    pub fn seek_now(&mut self, w: &mut World, dial: Dial) {
        let mut hunt = Hunt::new(self.plan(w, &dial));
        if !hunt.next_stage() {
            self.hunt_over(w, &hunt);
            return self.sought_in_vain(w);
        }
        let ring = dial.timeout;
        self.doing = Doing::Dialing(Box::new(Dialing::new(dial, hunt)));
        self.set_timer(w, CallTimer::Ring, ring);
        self.pursue_and_go_on(w);
    }

    /// Nobody has answered, and there is nothing left to try.
    pub fn sought_in_vain(&mut self, w: &mut World) {
        let ending = self.cause.unwrap_or(Ending::new(Class::Callee, "unreachable", 480));
        self.finish(w, ending);
    }

    /// The called party rings.
    pub fn on_party_rings(&mut self, w: &mut World, index: u8, status: u16, body: Option<&Body>) {
        if let Some(body) = body
            && let Some(leg) = self.legs.get_mut(usize::from(index))
        {
            // Some answer in the provisional response and leave the 200 without a description.
            let _ = leg.session.take_answer(body);
        }
        if status >= 180 && self.rang.is_none() {
            self.rang = Some(w.now);
            self.progress(w, Progress::Ringing);
        }
    }

    /// The party has answered: it takes the caller's place, and the script begins.
    pub fn on_party_answered(&mut self, w: &mut World, index: u8, body: Option<&Body>) {
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        let agreed = body.map_or(Ok(()), |b| leg.session.take_answer(b));
        if agreed.is_err() || !leg.session.is_negotiated() {
            self.with_leg(w, index, |leg, ep, now| leg.hang_up(ep, now, 0, "Not Acceptable Here"));
            return self.on_refused(w, index, 488, "Not Acceptable Here");
        }
        self.doing = Doing::Nothing;
        self.cancel_timer(w, CallTimer::Ring);
        self.abandon_attempts_but(w, index);
        self.take_place(w, index);
        self.source = self.legs[0].peer.clone();
        self.is_answered(w);
        let text = format!("{} answered, {}", self.source.as_str(), self.legs[0].session.spoken());
        self.note(w, Side::Leg(0), What::Media(text.into()));
        self.hear(w, 0, Hears::Silence);
        if let Some(MachineAsk { settings, waits, told }) = self.machine_ask.take() {
            if waits {
                return self.await_machine(w, settings, told);
            }
            self.detect_machine(w, 0, settings, told);
        }
        self.advance(w);
    }

    /// The call counts as answered from now on.
    pub fn is_answered(&mut self, w: &mut World) {
        self.answered = Some(w.now);
        w.counters.calls_answered += 1;
        w.fact(Fact::CallAnswered { call: self.id });
        self.progress(w, Progress::Answered);
        let longest = Some(w.config.limits.call_duration).filter(|limit| !limit.is_zero());
        if let Some(limit) = longest.into_iter().chain(self.lasts).min() {
            self.set_timer(w, CallTimer::CallLimit, limit);
        }
    }

    /// Leg `index` and leg 0 change places, with all that is said of them.
    pub fn take_place(&mut self, w: &mut World, index: u8) {
        if index == 0 {
            return;
        }
        self.legs.swap(0, usize::from(index));
        for place in [0, index] {
            self.legs[usize::from(place)].index = place;
        }
        self.timeline.swap_legs(0, index);
        for tried in &mut self.tried {
            tried.leg = if tried.leg == 0 {
                index
            } else if tried.leg == index {
                0
            } else {
                tried.leg
            };
        }
        for place in [0, index] {
            let tag = self.legs[usize::from(place)].dialog().local_tag();
            w.renumber(tag, LegRef { call: self.key, leg: place });
        }
        for place in [0, index] {
            let due = self.legs[usize::from(place)].session_timer();
            self.set_session_timer(w, place, due);
        }
    }
}
