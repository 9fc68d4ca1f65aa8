//! What an operator has a live call do instead of what it does: another script, a recording.

use super::Switch;
use super::call::Call;
use super::io::Reply;
use super::originate::{Runs, script_of};
use super::queue::QueueId;
use super::world::World;
use crate::event::{CallId, Side, What};
use crate::verb::{Outcome, RecordCall, Script};

impl Switch {
    /// Lets go of what a call does, and of whom it is joined to, and runs something else.
    pub(super) fn run_anew(&mut self, call: CallId, runs: &Runs) -> Reply {
        let Some(key) = self.ids.get(&call).copied() else { return Reply::NotFound };
        let Some(found) = self.calls.get(key).filter(|c| c.ending.is_none()) else { return Reply::NotFound };
        let made = script_of(&self.world, runs, (&found.from, &found.from_name, &found.to), call);
        let (script, rule, _) = match made {
            Ok(made) => made,
            Err(why) => return Reply::Refused(why),
        };
        self.with_call(key, |call, w| call.run_anew(w, script, rule));
        Reply::Done
    }

    /// One who waits in a queue, or the first, runs something else.
    pub(super) fn dequeue(&mut self, queue: QueueId, call: Option<CallId>, runs: &Runs) -> Reply {
        let Some((_, member)) = self.world.member(queue, call) else { return Reply::NotFound };
        match self.run_anew(member.call, runs) {
            Reply::Done => Reply::Member(member),
            other => other,
        }
    }

    /// Begins, pauses, resumes or ends the recording of a call that is answered.
    pub(super) fn record(&mut self, call: CallId, asked: RecordCall) -> Reply {
        let Some(key) = self.ids.get(&call).copied() else { return Reply::NotFound };
        if self.calls.get(key).is_none_or(|c| c.ending.is_some() || c.answered.is_none()) {
            return Reply::NotFound;
        }
        let mut reply = Reply::Refused("the call cannot be recorded, or is not".to_owned());
        self.with_call(key, |call, w| {
            let before = call.recorded_now();
            if call.record_call(w, asked, None) == Outcome::Done
                && let Some(id) = call.recorded_now().or(before)
            {
                reply = Reply::Recording(id);
            }
        });
        reply
    }
}

impl Call {
    fn run_anew(&mut self, w: &mut World, script: Script, rule: String) {
        self.note(w, Side::Call, What::Route(format!("redirected by the operator: {rule}").into()));
        if self.seeks_party() {
            // Whoever answers does this instead.
            self.script = Some(script);
            return;
        }
        self.interrupt(w);
        self.cause = None;
        self.rule = rule;
        self.script = Some(script);
        self.regroup(w);
        self.advance(w);
    }
}
