//! The script runs until an action takes time.

use super::{CONFERRING, Call, Doing};
use crate::event::{Class, Ending, Fact, Side, What};
use crate::media::command::Hears;
use crate::switch::world::{CallTimer, World};
use crate::verb::{Action, Feature, Next, Outcome, Prompt, Redirect, Script, is_url};
use crate::web::{Address, resolve};

/// "Twiml verb not supported by this API version".
pub const UNAVAILABLE: u32 = 13_750;

impl Call {
    /// Runs the script until something takes time.
    pub fn advance(&mut self, w: &mut World) {
        while self.ending.is_none() {
            let Some(script) = &mut self.script else { return };
            match script.next() {
                Next::Do { action, at } => {
                    let verb = crate::switch::describe::action(&action);
                    self.note(w, Side::Call, What::Step { verb: verb.into(), at: (&*at).into() });
                    let Some(outcome) = self.perform(w, action) else { return };
                    if self.report_outcome(w, outcome) {
                        return;
                    }
                }
                Next::End if self.waits() => return self.heard_in_queue(w),
                Next::Runaway if self.waits() => return self.leave_queue(w, "error"),
                Next::End if self.aside.is_some() => return self.end_aside(w, true),
                Next::Runaway if self.aside.is_some() => return self.end_aside(w, false),
                Next::End => {
                    let ending = self.cause.unwrap_or(Ending::new(Class::Script, "completed", 480));
                    if self.transfer_failed(w, ending.status) {
                        return;
                    }
                    return self.finish(w, ending);
                }
                Next::Runaway if self.transfer_failed(w, 500) => return,
                Next::Runaway => return self.finish(w, Ending::new(Class::Script, "runaway", 500)),
            }
        }
    }

    /// True if an application is asked what follows.
    fn report_outcome(&mut self, w: &mut World, outcome: Outcome) -> bool {
        self.doing = Doing::Nothing;
        if outcome != Outcome::Done {
            self.note(w, Side::Call, What::Outcome(outcome.as_str().into()));
        }
        if self.follow_up(w, outcome) {
            return true;
        }
        // Who was transferred to somebody has a script that is over already.
        if let Some(script) = self.script.as_mut().filter(|script| script.waiting().is_some()) {
            script.finished(outcome);
        }
        false
    }

    /// What was being done is over: the script goes on.
    pub fn step_done(&mut self, w: &mut World, outcome: Outcome) {
        if self.ending.is_some() {
            return;
        }
        self.cancel_timer(w, CallTimer::Step);
        if outcome != Outcome::Failed {
            self.took_time();
        }
        if !self.report_outcome(w, outcome) {
            self.advance(w);
        }
    }

    /// Begins an action; its outcome if it is over already.
    fn perform(&mut self, w: &mut World, action: Action) -> Option<Outcome> {
        match action {
            Action::Log(text) => {
                let line: Box<str> = text.into();
                w.fact(Fact::Logged { call: self.id, line: line.clone() });
                self.note(w, Side::Call, What::Note(line));
                Some(Outcome::Done)
            }
            Action::Reject { .. } | Action::Hangup { .. } if self.aside.is_some() => {
                self.end_aside(w, false);
                None
            }
            Action::Reject { status, .. } if self.transfer_failed(w, status) => None,
            Action::Hangup { .. } if self.transfer_failed(w, 480) => None,
            Action::Reject { status, reason } => {
                self.finish_with_phrase(w, Ending::new(Class::Script, "rejected", status), &reason);
                None
            }
            Action::Hangup { reason } => {
                self.finish_with_phrase(w, Ending::new(Class::Script, "hangup", 480), &reason);
                None
            }
            Action::Pause(duration) => {
                let front = self.front;
                if self.legs.get(usize::from(front)).is_some_and(|leg| leg.session.is_negotiated()) {
                    self.hear(w, front, Hears::Silence);
                }
                self.doing = Doing::Pausing;
                self.set_timer(w, CallTimer::Step, duration);
                None
            }
            Action::Redirect(redirect) => self.redirect(w, redirect),
            Action::Unavailable(what) => self.unavailable(w, what.code, &what.what),
            Action::Sms(sms) => Some(self.leave_text(w, *sms)),
            Action::Leave if self.waits() => {
                self.leave_queue(w, "leave");
                None
            }
            Action::Leave => Some(Outcome::Done),
            Action::Play { .. } | Action::Say(_) | Action::Gather(_) | Action::Pay(_) | Action::SendDigits(_)
                if self.aside.is_some() =>
            {
                self.begin(w, action)
            }
            Action::Answer if self.aside.is_some() => Some(Outcome::Done),
            Action::Dial(_)
            | Action::Enqueue(_)
            | Action::Dequeue(_)
            | Action::Tone { .. }
            | Action::Echo { .. }
            | Action::Record(_)
            | Action::RecordCall(..)
            | Action::Conference(_)
            | Action::Feature(_)
            | Action::Refer(_)
                if self.aside.is_some() || self.waits() =>
            {
                let when = if self.waits() { "in a queue" } else { "before both are joined" };
                let text = format!("{} cannot be done {when}", action.verb());
                self.note(w, Side::Call, What::Note(text.into()));
                Some(Outcome::Failed)
            }
            Action::Feature(feature) if self.has_no_slot(w, &feature) => Some(Outcome::Failed),
            Action::Feature(feature) if !matches!(*feature, Feature::Park { .. }) => self.feature(w, *feature),
            Action::Dial(dial) => self.dial(w, *dial),
            Action::RecordCall(asked, status) => Some(self.record_call(w, asked, status.map(|s| *s))),
            Action::Answer
            | Action::Say(_)
            | Action::Gather(_)
            | Action::Pay(_)
            | Action::SendDigits(_)
            | Action::Play { .. }
            | Action::Tone { .. }
            | Action::Echo { .. }
            | Action::Record(_)
            | Action::Enqueue(_)
            | Action::Dequeue(_)
            | Action::Feature(_)
            | Action::Refer(_)
            | Action::Conference(_) => {
                if self.direct {
                    self.note(w, Side::Call, What::Note("media is direct: nothing can be played".into()));
                    return Some(Outcome::Failed);
                }
                self.transferred(w);
                if !self.caller_media(w) {
                    self.doing = Doing::AwaitMedia(action);
                    return None;
                }
                self.perform_with_media(w, action)
            }
        }
    }

    fn unavailable(&mut self, w: &mut World, code: u32, what: &str) -> Option<Outcome> {
        let text = format!("{code} {what} is not yet available: the next step follows");
        self.note(w, Side::Call, What::Note(text.into()));
        Some(Outcome::Failed)
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

    /// The call's legs belong to where conferences are from now on; false if they did already, or there are none yet.
    pub fn set_conferring(&mut self) -> bool {
        let changes = self.group.is_some_and(|group| group != CONFERRING);
        self.group = Some(CONFERRING);
        changes
    }

    /// Its media is where no other call's is: it can hear no other call.
    pub fn lives_alone(&mut self) -> bool {
        self.media_group() != CONFERRING
    }

    /// Media goes over the address family that signalling uses.
    fn wants_v6(&self, leg: u8) -> bool {
        self.legs.get(usize::from(leg)).is_some_and(|l| l.dialog().flow().peer.is_ipv6())
    }

    /// What an action waited for is there.
    pub fn go_on_with(&mut self, w: &mut World, action: Action) {
        if !self.caller_media(w) {
            self.doing = Doing::AwaitMedia(action);
            return;
        }
        if let Some(outcome) = self.perform_with_media(w, action) {
            self.step_done(w, outcome);
        }
    }

    fn perform_with_media(&mut self, w: &mut World, action: Action) -> Option<Outcome> {
        if matches!(
            action,
            Action::Answer
                | Action::Echo { .. }
                | Action::Record(_)
                | Action::Conference(_)
                | Action::Enqueue(_)
                | Action::Dequeue(_)
                | Action::Feature(_)
                | Action::Pay(_)
                | Action::Refer(_)
        ) {
            if !self.answer_caller(w, None) {
                return None;
            }
        } else if self.answered.is_none() {
            if !self.may_describe() {
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
        self.begin(w, action)
    }

    fn feature(&mut self, w: &mut World, feature: Feature) -> Option<Outcome> {
        match feature {
            Feature::Pickup { user, group } => self.pick_up_elsewhere(w, user, group),
            Feature::Retrieve { slot } => self.retrieve(w, slot),
            Feature::Park { slot, timeout, music } => self.park(w, slot, timeout, music),
            Feature::Forward(set) => self.set_forwarding(w, &set),
        }
    }

    /// A document takes the place of this script.
    fn redirect(&mut self, w: &mut World, redirect: Redirect) -> Option<Outcome> {
        if let Some(fallback) = &redirect.fallback {
            let base = self.resolved(&redirect.to.url);
            self.origin.fallback = Some(Address::new(resolve(&base, &fallback.url), fallback.method));
        }
        if self.ask(w, &redirect.to, Vec::new()) {
            return None;
        }
        self.note(w, Side::Call, What::Note("11100 Invalid URL format: it is empty".into()));
        Some(Outcome::Failed)
    }

    /// An action for one who has media.
    fn begin(&mut self, w: &mut World, action: Action) -> Option<Outcome> {
        match action {
            Action::Say(say) => self.sound(w, [Prompt::Say(*say)]),
            Action::Gather(gather) => self.gather(w, *gather),
            Action::Pay(pay) => self.pay(w, *pay),
            Action::SendDigits(digits) => self.send_keys(w, &digits),
            Action::Play { file, loops } if self.front != 0 || is_url(&self.resolved(&file)) => {
                self.sound(w, [Prompt::Play { file: file.to_string(), loops }])
            }
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
            Action::Enqueue(enqueue) => self.enqueue(w, *enqueue),
            Action::Dequeue(dequeue) => self.dequeue(w, *dequeue),
            Action::Feature(feature) => self.feature(w, *feature),
            Action::Refer(refer) => self.send_away(w, *refer),
            _ => Some(Outcome::Done),
        }
    }
}
