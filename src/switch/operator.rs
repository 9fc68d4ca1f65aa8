//! What the API and the command line ask of the running switch.

use super::Switch;
use super::conference::{Change, For};
use super::io::{Operator, Output, Reply, Setup};
use crate::event::{CallId, CallRecord, Class, Ending};
use crate::web::Address;
use std::sync::Arc;

const fn found(found: bool) -> Reply {
    if found { Reply::Done } else { Reply::NotFound }
}

impl Switch {
    pub(super) fn on_operator(&mut self, id: u64, ask: Operator) {
        let reply = match ask {
            Operator::Calls => {
                Reply::Calls(self.calls.iter().filter(|(_, c)| !c.reported).map(|(_, c)| c.view()).collect())
            }
            Operator::Call(call) => self.call(call),
            Operator::Conferences => Reply::Conferences(self.world.conferences()),
            Operator::Participant { conference, call, change } => self.change_participant(&conference, call, change),
            Operator::AnnounceUrl { conference, address } => found(self.tune(&conference, None, For::All, address)),
            Operator::EndConference { conference, only } => found(self.world.end_by_operator(&conference, only)),
            Operator::Announce { conference, file } => found(self.world.announce(&conference, file)),
            Operator::Queues => Reply::Queues(self.world.queue_views()),
            Operator::Dequeue { queue, call, runs } => self.dequeue(queue, call, &runs),
            Operator::ForgetQueue(queue) => match self.world.forget_queue(queue) {
                true => Reply::Done,
                false => Reply::Refused("somebody waits in the queue".to_owned()),
            },
            Operator::Settings(settings) => self.take_settings(*settings),
            Operator::Trunks => Reply::Trunks(self.world.located_trunk_views()),
            Operator::Registrations => Reply::Registrations(self.world.registrations()),
            Operator::Run { call, runs } => self.run_anew(call, &runs),
            Operator::Record { call, asked } => self.record(call, asked),
            Operator::RecordConference { conference, only, asked } => {
                self.world.change_conference_recording(&conference, only, asked)
            }
            Operator::Payment { call, status, ask } => self.payment(call, status, ask),
            Operator::Originate(asked) => self.originate(&asked),
            Operator::Bans => Reply::Bans(self.world.guard.bans(self.world.now.mono)),
            Operator::Unban(source) => found(self.world.lift_ban(source)),
            Operator::Mailbox { user, new, old } => found(self.world.set_mailbox(&user, (new, old))),
            Operator::Forwarding { user, set } => self.forwarding(user, &set),
            Operator::Hangup(call) => self.hang_up(call),
            Operator::Reload(setup) => self.reload(*setup),
            Operator::Drain => {
                self.set_draining(true);
                Reply::Done
            }
            Operator::Undrain => {
                self.set_draining(false);
                Reply::Done
            }
        };
        self.world.output(Output::Reply { id, reply });
    }

    fn change_participant(&mut self, conference: &str, call: CallId, mut change: Change) -> Reply {
        let (hold, announce) = (change.hold_url.take(), change.announce_url.take());
        if !self.world.change_by_operator(conference, call, change) {
            return Reply::NotFound;
        }
        for (what, address) in [(For::Held, hold), (For::One, announce)] {
            if let Some(address) = address {
                self.tune(conference, Some(call), what, address);
            }
        }
        Reply::Done
    }

    /// Has a participant's call fetch sound for its conference.
    fn tune(&mut self, conference: &str, call: Option<CallId>, what: For, address: Address) -> bool {
        let Some(key) = self.world.seat(conference, call) else { return false };
        self.with_call(key, |call, w| call.fetch_tune(w, what, address));
        true
    }

    /// Whoever drains is called no more: its registrations with trunks end.
    fn set_draining(&mut self, draining: bool) {
        self.world.draining = draining;
        let config = Arc::clone(&self.world.config);
        self.world.register_trunks(&config);
    }

    fn call(&self, call: CallId) -> Reply {
        let found = self.ids.get(&call).and_then(|key| self.calls.get(*key)).filter(|c| !c.reported);
        let Some(call) = found else { return Reply::NotFound };
        let record = CallRecord {
            cdr: call.cdr(&self.world, Ending::new(Class::Tandem, "in_progress", 0), self.world.now),
            timeline: call.timeline.clone(),
            started: call.started.wall,
        };
        Reply::Call(Box::new((call.view(), record)))
    }

    fn hang_up(&mut self, call: CallId) -> Reply {
        let Some(key) = self.ids.get(&call).copied() else { return Reply::NotFound };
        self.with_call(key, |call, w| call.finish(w, Ending::new(Class::Operator, "hangup", 480)));
        Reply::Done
    }

    /// Takes a new configuration: new calls see it, running ones keep what they have.
    fn reload(&mut self, setup: Setup) -> Reply {
        let w = &mut self.world;
        if setup.listeners.iter().ne(w.ep.listeners()) {
            return Reply::Refused("sip.listen has changed: that needs a restart".to_owned());
        }
        w.stop_pings();
        w.ep.set_user_agent(&setup.config.sip.user_agent);
        w.ep.udp_max = setup.config.sip.reach.udp_max;
        w.ep.local_nets.clone_from(&setup.config.sip.reach.local_nets);
        w.ep.session_timers = setup.config.sip.session_timers;
        if w.config.sip.domain != setup.config.sip.domain {
            w.new_challenger(&setup.config.sip.domain);
        }
        if w.config.limits.cps != setup.config.limits.cps {
            w.cps = crate::base::limit::Bucket::new(setup.config.limits.cps, w.now.mono);
        }
        w.set_config(&setup.config);
        w.set_trunks();
        w.rates = setup.rates;
        w.tolls.reload(&setup.config);
        w.dialplan = setup.dialplan;
        w.start_names();
        w.start_pings();
        w.register_trunks(&setup.config);
        w.guard.reload(&setup.config, w.now.mono);
        w.reload_subscriptions();
        Reply::Done
    }
}
