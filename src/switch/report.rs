//! A call's record: made once, when its ending is known and its media has been accounted for.

use super::call::Call;
use super::web_status::Progress;
use super::world::World;
use crate::b2bua::leg::{Leg, Peer};
use crate::base::time::{Duration, Now};
use crate::event::{CallRecord, Cdr, Ending, Fact, LegCdr};
use crate::speech::machine::AnsweredBy;

impl Call {
    /// Makes the record if it is due.
    pub fn report(&mut self, w: &mut World) {
        let Some((ending, at)) = self.ending else { return };
        if self.reported || self.legs.iter().any(|l| !l.session.is_closed()) {
            return;
        }
        self.reported = true;
        self.progress(w, Progress::Completed);
        self.leave_web(w);
        self.measure_trunks(w, at);
        let cdr = self.cdr(w, ending, at);
        let timeline = std::mem::take(&mut self.timeline);
        w.counters.calls_active -= 1;
        w.fact(Fact::CallEnded(Box::new(CallRecord { cdr, timeline, started: self.started.wall })));
    }

    /// The call's detail record as of `at`.
    pub fn cdr(&self, w: &World, ending: Ending, at: Now) -> Cdr {
        let us = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let named = |wanted: bool| wanted.then(|| self.source.as_str().to_owned());
        Cdr {
            call: self.id,
            direction: self.direction,
            node: w.config.node.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            trunk: named(matches!(self.source, Peer::Trunk(_))),
            user: named(matches!(self.source, Peer::User(_))),
            context: self.context.clone(),
            rule: self.rule.clone(),
            started: self.started.wall,
            answered: self.answered.map(|n| n.wall),
            ended: at.wall,
            duration_us: us(at.mono.since(self.started.mono)),
            billable_us: self.answered.map_or(0, |n| us(at.mono.since(n.mono))),
            post_dial_delay_us: self.post_dial.map(us),
            ending,
            transfers: self.transfers.clone(),
            answered_by: self.answered_by.map(AnsweredBy::as_str),
            identity: self.identity_cdr(),
            legs: self.legs.iter().enumerate().map(|(i, leg)| self.leg_cdr(w, i, leg, at)).collect(),
        }
    }

    fn leg_cdr(&self, w: &World, index: usize, leg: &Leg, at: Now) -> LegCdr {
        LegCdr {
            direction: leg.direction,
            peer: leg.peer.as_str().to_owned(),
            sip_call_id: leg.dialog().call_id().to_owned(),
            flow: leg.dialog().flow().to_string(),
            started: leg.started.wall,
            answered: leg.answered.map(|n| n.wall),
            ended: leg.ended.map_or(at.wall, |n| n.wall),
            status: leg.status,
            codec: leg.session.codec_name(),
            charge: self.charge_of(w, index, leg, at),
            quality: leg.session.quality().cloned().map(Box::new),
        }
    }
}
