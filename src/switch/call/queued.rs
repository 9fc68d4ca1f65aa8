//! A call that waits in a queue, and one that takes it out.
//!
//! Who waits hears a document, or music, again and again; the script that said so is put aside meanwhile. Who takes it out waits in
//! `dial`. Both are joined leg to leg, each in its own call; when one leaves, the other's script goes on.

use super::documents::Origin;
use super::{Call, Doing};
use crate::base::time::{Duration, Now};
use crate::event::{CallId, Class, Ending, Side, What};
use crate::media::HOLD_MUSIC;
use crate::media::command::{Hears, Method, Press, Tone};
use crate::switch::queue::{End, MemberView, News, QueueId, QueueView, Taker, Waiting, seconds};
use crate::switch::world::{CallTimer, World};
use crate::verb::{Action, Dequeue, Enqueue, Hook, Outcome, Program, Redirect, Script, Step, Text, Verb};
use crate::web::{Address, Parameters};
use std::sync::Arc;

/// A document that is over at once is asked for again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// What a call that waits has put aside.
#[derive(Debug)]
pub struct Queued {
    queue: QueueId,
    since: Now,
    stage: Stage,
    asked: Box<Enqueue>,
    /// Of the script that said so; against it the addresses of the step are resolved.
    action: Option<Address>,
    script: Option<Script>,
    origin: Origin,
    /// Nothing of what is heard has taken time yet.
    is_idle: bool,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    /// It hears something before it is joined with this one.
    Meeting(Box<Taker>),
    Linked,
}

/// How a call has left its queue, for the request that follows.
#[derive(Clone, Debug)]
pub struct Left {
    result: &'static str,
    queue: Option<QueueId>,
    waited: Duration,
}

/// A call that waits for somebody to come.
#[derive(Debug)]
pub struct Taking {
    queue: QueueId,
    asked: Dequeue,
    /// Its time is over while the one who comes still hears something.
    is_late: bool,
}

/// A call whose caller is joined with that of another call.
#[derive(Debug)]
pub struct Linked {
    end: End,
}

impl Queued {
    pub const fn worked(&mut self) {
        self.is_idle = false;
    }

    pub const fn waits(&self) -> bool {
        !matches!(self.stage, Stage::Linked)
    }
}

impl Left {
    /// What a request about it says.
    pub fn parameters(&self) -> Parameters {
        let mut told = vec![("QueueResult".to_owned(), self.result.to_owned())];
        told.extend(self.queue.map(|id| ("QueueSid".to_owned(), id.to_string())));
        told.push(("QueueTime".to_owned(), seconds(self.waited)));
        told
    }
}

impl Call {
    /// It is in a queue, or hears something before it is joined with who has taken it out.
    pub fn waits(&self) -> bool {
        self.queued.as_ref().is_some_and(|queued| queued.waits())
    }

    fn say_queue(&mut self, w: &World, text: String) {
        self.note(w, Side::Call, What::Note(text.into()));
    }

    /// The caller's leg, for another call; `None` if it lives where no other call's does.
    fn own_end(&mut self, w: &World) -> Option<End> {
        if self.lives_alone() {
            self.say_queue(w, "its media lives on a thread of its own: it cannot be joined with another call".into());
            return None;
        }
        let session = &self.legs.first()?.session;
        Some(End { media: session.media()?, digits: session.digits_out() })
    }

    // ---- who waits -------------------------------------------------------------------------------------------------

    /// The step `enqueue`; its outcome if the call does not get in.
    pub fn enqueue(&mut self, w: &mut World, asked: Enqueue) -> Option<Outcome> {
        if asked.name.is_empty() {
            let why = format!("{} a workflow is not yet available", super::script::UNAVAILABLE);
            return self.not_queued(w, "system-error", None, &why);
        }
        if self.own_end(w).is_none() {
            return self.not_queued(w, "system-error", None, "it cannot be joined with anybody");
        }
        let Some(queue) = w.queue_named(&asked.name) else {
            return self.not_queued(w, "system-error", None, "there are too many queues");
        };
        let waiting = Waiting { call: self.key, id: self.id, since: w.now };
        if !w.join_queue(queue, asked.max, waiting) {
            return self.not_queued(w, "queue-full", Some(queue), "it is full");
        }
        let place = w.queue_view(queue).map_or(0, |q| q.members.len());
        self.say_queue(w, format!("number {place} in the queue {}", asked.name));
        let action = asked.action.as_ref().map(|hook| self.address(hook)).filter(|a| !a.url.is_empty());
        self.queued = Some(Box::new(Queued {
            queue,
            since: w.now,
            stage: Stage::Waiting,
            asked: Box::new(asked),
            action,
            script: self.script.take(),
            origin: self.origin.clone(),
            is_idle: false,
        }));
        self.wait_on(w);
        None
    }

    fn not_queued(&mut self, w: &World, result: &'static str, queue: Option<QueueId>, why: &str) -> Option<Outcome> {
        self.say_queue(w, format!("not in the queue: {why}"));
        self.has_left(Left { result, queue, waited: Duration::ZERO });
        Some(Outcome::Failed)
    }

    /// Lets who waits hear its document, or music, from the beginning.
    pub fn wait_on(&mut self, w: &mut World) {
        let Some(queued) = &mut self.queued else { return };
        self.origin = queued.origin.clone();
        let mut steps = Vec::new();
        if std::mem::replace(&mut queued.is_idle, true) {
            steps.push(Verb::Pause(AGAIN));
        }
        let asked = queued.asked.clone();
        steps.push(match (asked.wait, asked.music) {
            (Some(hook), _) => self.document_step(&hook),
            (None, Some(file)) => Verb::Play { file: Text::literal(&file), loops: 0 },
            (None, None) => Verb::Play { file: Text::literal(HOLD_MUSIC), loops: 0 },
        });
        self.hear_steps(w, steps);
    }

    fn document_step(&self, hook: &Hook) -> Verb {
        let to = Hook::new(Text::literal(&self.resolved(&hook.url)), hook.method);
        Verb::Redirect(Redirect { to, fallback: None })
    }

    fn hear_steps(&mut self, w: &mut World, steps: Vec<Verb>) {
        let mut program = Program::default();
        let at: Arc<str> = "queue".into();
        let entry =
            program.add(steps.into_iter().map(|verb| Step { verb, on: Vec::new(), at: Arc::clone(&at) }).collect());
        self.script = Some(Script::new(Arc::new(program), entry, w.now.wall));
        self.doing = Doing::Nothing;
        self.advance(w);
    }

    /// What is said to servers while the call waits.
    pub fn queue_parameters(&self, w: &World) -> Parameters {
        let Some(queued) = &self.queued else { return Parameters::new() };
        let waited = seconds(w.now.mono.since(queued.since.mono));
        let mut told: Vec<(&str, String)> = vec![("QueueSid", queued.queue.to_string()), ("QueueTime", waited)];
        match &queued.stage {
            Stage::Meeting(taker) => told.push(("DequeingCallSid", taker.id.to_string())),
            Stage::Waiting | Stage::Linked => {
                let view = w.queue_view(queued.queue);
                let place =
                    |q: &QueueView| q.members.iter().find(|m| m.call == self.id).map(|m: &MemberView| m.position);
                told.push(("QueuePosition", view.as_ref().and_then(place).unwrap_or(0).to_string()));
                told.push(("AvgQueueTime", view.as_ref().map_or(0, QueueView::average_s).to_string()));
                told.push(("CurrentQueueSize", view.map_or(0, |q| q.members.len()).to_string()));
            }
        }
        told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What who waits has heard is over: again, or it is joined with whoever takes it out.
    pub fn heard_in_queue(&mut self, w: &mut World) {
        match self.queued.as_ref().map(|q| &q.stage) {
            Some(Stage::Waiting) => self.wait_on(w),
            Some(Stage::Meeting(_)) => self.link(w),
            Some(Stage::Linked) | None => {}
        }
    }

    /// Stops what a script does, so that something else can begin; who is in a queue stays there.
    pub fn hush(&mut self, w: &mut World) {
        self.cancel_timer(w, CallTimer::Step);
        self.stop_recognising(w);
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Fetching(id) => self.cancel_fetch(w, id),
            Doing::Sounding(list) => self.stop_playing(w, list),
            Doing::Gathering(gathering) => self.stop_playing(w, gathering.prompts),
            Doing::Paying(paying) => self.stop_playing(w, paying.prompts),
            _ => {}
        }
    }

    /// The script that put the call into the queue is the call's again; the variables stay.
    fn take_back(&mut self, queued: &mut Queued) {
        let waited = std::mem::replace(&mut self.script, queued.script.take());
        self.origin = std::mem::take(&mut queued.origin);
        if let (Some(script), Some(waited)) = (&mut self.script, waited) {
            waited.variables().iter().for_each(|(name, value)| script.set(name, value.clone()));
        }
    }

    fn has_left(&mut self, left: Left) {
        if let Some(script) = &mut self.script {
            script.set("queue_result", left.result.to_owned());
        }
        self.left = Some(left);
    }

    /// The call leaves its queue, and its script goes on.
    pub fn leave_queue(&mut self, w: &mut World, result: &'static str) {
        self.hush(w);
        let Some(mut queued) = self.queued.take() else { return };
        w.part(self.key);
        if queued.waits() {
            self.take_back(&mut queued);
        }
        self.say_queue(w, format!("out of the queue {}: {result}", queued.asked.name));
        let waited = w.now.mono.since(queued.since.mono);
        self.has_left(Left { result, queue: Some(queued.queue), waited });
        self.hear(w, 0, Hears::Silence);
        self.step_done(w, if result == "error" { Outcome::Failed } else { Outcome::Done });
    }

    /// The call ends, or does something else from now on: whoever is to know of its queue is told.
    pub fn quit_queue(&mut self, w: &mut World) {
        if matches!(self.doing, Doing::Taking(_) | Doing::Linked(_)) || self.queued.is_some() {
            w.part(self.key);
        }
        let Some(mut queued) = self.queued.take() else { return };
        let is_over = self.ending.is_some();
        let result = match (&queued.stage, is_over) {
            (Stage::Waiting, true) => "hangup",
            (Stage::Waiting, false) => "redirected",
            (Stage::Meeting(_), _) => "bridging-in-process",
            (Stage::Linked, true) => "bridged",
            (Stage::Linked, false) => "redirected-from-bridged",
        };
        if queued.waits() {
            self.take_back(&mut queued);
        }
        self.say_queue(w, format!("out of the queue {}: {result}", queued.asked.name));
        let waited = w.now.mono.since(queued.since.mono);
        let left = Left { result, queue: Some(queued.queue), waited };
        if let Some(action) = queued.action {
            self.call_back(w, action, left.parameters());
        }
    }

    // ---- who takes one out -----------------------------------------------------------------------------------------

    /// The step `dial` to a queue; its outcome if that cannot be.
    pub fn dequeue(&mut self, w: &mut World, asked: Dequeue) -> Option<Outcome> {
        self.dialled = super::Dialled::default();
        let queue = if asked.name.is_empty() { None } else { w.queue_named(&asked.name) };
        let (Some(end), Some(queue)) = (self.own_end(w), queue) else { return Some(Outcome::Failed) };
        let (id, country) = (w.new_play(), Arc::from(w.config.media.country.as_str()));
        self.hear(w, 0, Hears::Tone { id, tone: Tone::Ringback, country, duration: None });
        self.set_timer(w, CallTimer::Ring, asked.timeout);
        let taker = self.taker(end, &asked);
        self.doing = Doing::Taking(Box::new(Taking { queue, asked, is_late: false }));
        w.add_taker(queue, taker, false);
        None
    }

    fn taker(&self, end: End, asked: &Dequeue) -> Taker {
        let url = asked.url.as_ref().map(|hook| Hook::new(self.resolved(&hook.url), hook.method));
        Taker { call: self.key, id: self.id, end, url }
    }

    /// Nobody has come in time; false if the timer was another's.
    pub fn on_taking_timer(&mut self, w: &mut World) -> bool {
        let Doing::Taking(taking) = &mut self.doing else { return false };
        if w.is_paired(self.key) {
            taking.is_late = true;
            return true;
        }
        self.give_up(w);
        true
    }

    fn give_up(&mut self, w: &mut World) {
        w.part(self.key);
        self.cause = Some(Ending::new(Class::Callee, "no_answer", 480));
        self.hear(w, 0, Hears::Silence);
        self.step_done(w, Outcome::NoAnswer);
    }

    // ---- what one is told of the other -----------------------------------------------------------------------------

    pub fn on_queue_news(&mut self, w: &mut World, news: News) {
        if self.ending.is_some() {
            return;
        }
        match news {
            News::Taken(taker) => self.on_taken(w, taker),
            News::Met { id, end } => self.on_met(w, id, end),
            News::Parted => self.on_parted(w),
            News::Moved(end) => self.hear_moved(w, end),
            News::Held(is_held) => {
                if let Doing::Linked(linked) = &self.doing {
                    let hears = if is_held { Hears::Silence } else { Hears::Leg(linked.end.media) };
                    self.hear(w, 0, hears);
                }
            }
            News::Digit(press, method) => self.on_linked_digit(w, press, method),
        }
    }

    fn on_taken(&mut self, w: &mut World, taker: Box<Taker>) {
        let waits = self.queued.as_ref().is_some_and(|q| matches!(q.stage, Stage::Waiting));
        if !waits || !w.is_paired(self.key) {
            return;
        }
        self.hush(w);
        self.say_queue(w, format!("taken out of the queue by {}", taker.id));
        let url = taker.url.clone();
        if let Some(queued) = &mut self.queued {
            queued.stage = Stage::Meeting(taker);
            self.origin = queued.origin.clone();
        }
        match url {
            Some(hook) => {
                self.hear(w, 0, Hears::Silence);
                let step = self.document_step(&hook);
                self.hear_steps(w, vec![step]);
            }
            None => self.link(w),
        }
    }

    /// Who waited is joined with who has taken it out.
    fn link(&mut self, w: &mut World) {
        let Some(end) = self.own_end(w) else { return self.leave_queue(w, "system-error") };
        let Some(mut queued) = self.queued.take() else { return };
        let Stage::Meeting(taker) = std::mem::replace(&mut queued.stage, Stage::Linked) else { return };
        self.take_back(&mut queued);
        self.queued = Some(queued);
        w.tell_partner(self.key, News::Met { id: self.id, end });
        self.join_other(w, taker.id, taker.end);
    }

    fn join_other(&mut self, w: &mut World, other: CallId, end: End) {
        self.say_queue(w, format!("joined with {other}"));
        if let Some(leg) = self.legs.first_mut() {
            leg.session.want_tones(super::super::digits::tones_for(end.digits));
        }
        self.doing = Doing::Linked(Box::new(Linked { end }));
        self.hear(w, 0, Hears::Leg(end.media));
        self.hold_linked(w);
    }

    fn on_met(&mut self, w: &mut World, id: CallId, end: End) {
        let Doing::Taking(taking) = &self.doing else { return };
        let asked = taking.asked.clone();
        self.cancel_timer(w, CallTimer::Ring);
        self.dialled.other = Some(id);
        self.dialled.since = Some(w.now.mono);
        if let Some(record) = asked.record {
            self.record_dial(w, record.channels);
        }
        if let Some(limit) = asked.time_limit {
            self.set_timer(w, CallTimer::TalkLimit, limit);
        }
        self.join_other(w, id, end);
    }

    /// Leg 0 is another one from now on: whoever hears it is to hear that.
    pub fn end_moved(&mut self, w: &mut World) {
        if self.wants_place()
            && let Some(end) = self.own_end(w)
        {
            w.move_taker(self.key, end);
            w.tell_partner(self.key, News::Moved(end));
        }
    }

    fn hear_moved(&mut self, w: &mut World, end: End) {
        if let Some(Stage::Meeting(taker)) = self.queued.as_mut().map(|q| &mut q.stage) {
            taker.end = end;
        }
        if let Doing::Linked(linked) = &mut self.doing {
            linked.end = end;
            self.hear(w, 0, Hears::Leg(end.media));
        }
    }

    fn on_parted(&mut self, w: &mut World) {
        match (&mut self.doing, self.queued.as_mut().map(|q| &mut q.stage)) {
            (Doing::Linked(_), Some(_)) => self.leave_queue(w, "bridged"),
            (Doing::Linked(_), None) => self.end_link(w, Ending::new(Class::Callee, "hangup", 0)),
            // Whoever took it out has gone before both were joined: it has its place again.
            (_, Some(stage @ Stage::Meeting(_))) => {
                *stage = Stage::Waiting;
                self.hush(w);
                let Some(queued) = &self.queued else { return };
                let old = Waiting { call: self.key, id: self.id, since: queued.since };
                w.rejoin_queue(queued.queue, old);
                self.say_queue(w, "back in the queue: who took it out has left".into());
                self.wait_on(w);
            }
            (Doing::Taking(taking), _) if taking.is_late => self.give_up(w),
            (Doing::Taking(taking), _) => {
                let (queue, asked) = (taking.queue, taking.asked.clone());
                let Some(end) = self.own_end(w) else { return };
                w.add_taker(queue, self.taker(end, &asked), true);
            }
            _ => {}
        }
    }

    /// Who took one out of a queue is no longer joined with it.
    pub fn end_link(&mut self, w: &mut World, ending: Ending) {
        w.part(self.key);
        self.cause = Some(ending);
        self.dial_recorded(w);
        self.cancel_timer(w, CallTimer::TalkLimit);
        self.hear(w, 0, Hears::Silence);
        self.step_done(w, Outcome::Answered);
    }

    /// The caller's * ends the talk where the dial says so.
    pub fn star_ends_link(&mut self, w: &mut World) {
        let is_asked = match self.script.as_ref().and_then(Script::waiting) {
            Some(Action::Dequeue(asked)) => asked.after.hangup_on_star,
            _ => false,
        };
        if is_asked && self.queued.is_none() && matches!(self.doing, Doing::Linked(_)) {
            self.end_link(w, Ending::new(Class::Caller, "hangup", 0));
        }
    }

    /// The other one hears silence while this one's phone holds.
    pub fn hold_linked(&mut self, w: &mut World) {
        if matches!(self.doing, Doing::Linked(_)) {
            let is_mute = self.legs.first().is_some_and(|leg| leg.session.is_mute());
            w.tell_partner(self.key, News::Held(is_mute));
        }
    }

    /// Passes a digit on to the other call, which knows how its own party gets them.
    pub fn pass_to_linked(&mut self, w: &mut World, press: Press, method: Method) -> &'static str {
        let Doing::Linked(linked) = &self.doing else { return "" };
        let comes_again = method == Method::Info && self.legs.first().is_some_and(|leg| leg.session.has_events());
        match linked.end.digits {
            _ if comes_again => ", which comes as an event too",
            Some(out) if out == method && method != Method::Info => ", relayed",
            Some(_) => {
                w.tell_partner(self.key, News::Digit(press, method));
                ", passed on"
            }
            None => ", and cannot be passed on",
        }
    }

    fn on_linked_digit(&mut self, w: &mut World, press: Press, _: Method) {
        let out = self.legs.first().and_then(|leg| leg.session.digits_out());
        if let (Doing::Linked(_), Some(out)) = (&self.doing, out) {
            self.send_digit(w, 0, press, out);
        }
    }
}
