//! OPTIONS pings: whether a trunk's targets answer.

use super::world::{Ping, Purpose, TimerKey, World};
use crate::b2bua::endpoint::MAX_FORWARDS;
use crate::base::time::Duration;
use crate::event::Fact;
use crate::sip::dialog::{Dialog, Tag};
use crate::sip::transport::{Flow, Transport};
use crate::sip::wire::{Message, Method};

impl World {
    /// Sets the first ping of every target, spread over a second so that they do not come as a burst.
    pub fn start_pings(&mut self) {
        for (trunk, target) in self.trunks.pinged() {
            let after = Duration::from_micros(self.ep.rng().below(1_000_000));
            self.schedule_ping(trunk, target, after);
        }
    }

    /// Forgets all pings, before a reload: places in the trunk list then mean others.
    pub fn stop_pings(&mut self) {
        self.ping_generation = self.ping_generation.wrapping_add(1);
        for (at, key) in self.ping_times.drain(..) {
            self.timers.cancel(at, key);
        }
    }

    fn schedule_ping(&mut self, trunk: usize, target: usize, after: Duration) {
        let (at, key) = (self.now.mono + after, TimerKey::Ping { trunk, target });
        for (before, _) in self.ping_times.extract_if(.., |(_, k)| *k == key) {
            self.timers.cancel(before, key);
        }
        self.ping_times.push((at, key));
        self.timers.set(at, key);
    }

    pub fn ping(&mut self, trunk: usize, target: usize) {
        let Some((_, uri)) = self.trunks.target_uri(trunk, target) else { return };
        let uri = uri.to_owned();
        let Some(after) = self.trunks.ping_after(trunk, target) else { return };
        self.schedule_ping(trunk, target, after);
        let ways = self.ep.ways(&uri, Transport::Udp);
        let Some(flow) = ways.flows.first().copied() else {
            if !ways.is_complete {
                return self.schedule_ping(trunk, target, super::names::SOON);
            }
            return self.set_target(trunk, target, false, "its host name does not resolve, or no listener fits");
        };
        let from = format!("sip:{}", self.config.sip.domain);
        let id = self.ep.standalone(self.now.mono, flow, Method::Options, &uri, &from);
        self.add_client(
            id,
            Purpose::Ping(Ping { trunk, target, generation: self.ping_generation, sent: self.now.mono }),
        );
        self.ep.take_sent().for_each(drop);
    }

    /// Any answer but 503 and 408 shows that the target is there.
    pub fn on_pong(&mut self, ping: Ping, status: u16) {
        let Ping { trunk, target, generation, sent } = ping;
        if generation != self.ping_generation || self.trunks.answered_since(trunk, target, sent) {
            return;
        }
        // Another of the host's addresses may answer.
        if matches!(status, 408 | 503)
            && let Some((_, uri)) = self.trunks.target_uri(trunk, target)
            && let uri = uri.to_owned()
            && self.ep.has_fresh_way(&uri, Transport::Udp)
        {
            return self.ping(trunk, target);
        }
        match status {
            100..=199 => {}
            408 => self.ping_failed(trunk, target, "OPTIONS was not answered"),
            503 => self.ping_failed(trunk, target, "OPTIONS was answered with 503, or its transport failed"),
            _ => {
                self.trunks.answered(trunk, target, self.now.mono);
                self.set_target(trunk, target, true, "OPTIONS was answered");
            }
        }
    }

    fn ping_failed(&mut self, trunk: usize, target: usize, why: &str) {
        if self.trunks.ping_failed(trunk, target) {
            self.set_target(trunk, target, false, why);
        }
    }

    /// A call heard nothing at all from a target: it is not tried again before it answers OPTIONS.
    pub fn target_is_silent(&mut self, trunk: &str, target: &str) {
        // One of several addresses has failed, and goes behind the others.
        if self.ep.has_fresh_way(target, Transport::Udp) {
            return;
        }
        let Some((trunk, target)) = self.trunks.place(trunk, target) else { return };
        self.set_target(trunk, target, false, "a call was not answered at all");
        if let Some(after) = self.trunks.ping_after(trunk, target) {
            self.schedule_ping(trunk, target, after);
        }
    }

    fn set_target(&mut self, trunk: usize, target: usize, up: bool, why: &str) {
        if !self.trunks.set_up(trunk, target, up, why) {
            return;
        }
        let Some((config, uri)) = self.trunks.target_uri(trunk, target) else { return };
        let (trunk, target) = (config.name.clone(), uri.to_owned());
        self.fact(match up {
            true => Fact::TrunkUp { trunk, target },
            false => Fact::TrunkDown { trunk, target, why: why.to_owned() },
        });
    }

    /// Another fork's 2xx to an INVITE of ours whose call is over: acknowledged, and hung up with a BYE that is sent until it
    /// is answered, since after the ACK the 2xx does not come again.
    pub fn hang_up_late(&mut self, response: &Message, flow: Flow) {
        let is_2xx = response.method() == Method::Invite && (200..300).contains(&response.status());
        let Some(tag) = Tag::parse(response.from_tag()).filter(|_| is_2xx) else { return };
        let mut dialog = dialog_of(response, tag, flow);
        self.ep.ack(&dialog, dialog.local_cseq(), None);
        if self.ep.is_first_hang_up(tag, response.to_tag()) {
            self.ep.request(self.now.mono, &mut dialog, Method::Bye, MAX_FORWARDS, |w| w.finish());
        }
        self.ep.take_sent().for_each(drop);
    }

    /// ACK and BYE for a 2xx whose call is gone, each sent once: if one is lost, the 2xx comes again. What comes faster than
    /// [`World::strangers`] allows is dropped, since it may be forged to have us send.
    pub fn hang_up_stranger(&mut self, response: &Message, tag: Tag, flow: Flow) {
        if !self.strangers.take(self.now.mono) {
            return;
        }
        let mut dialog = dialog_of(response, tag, flow);
        self.ep.ack(&dialog, dialog.local_cseq(), None);
        self.ep.take_sent().for_each(drop);
        let (branch, us) = (self.ep.rng().next_u64(), self.ep.advertised(flow));
        let via = format!("SIP/2.0/{} {us};branch=z9hG4bK{branch:016x};rport", flow.transport.as_str());
        let cseq = dialog.next_cseq();
        let bye = dialog.request(Method::Bye.as_str(), cseq, &via, MAX_FORWARDS).finish();
        self.ep.transactions.send(flow, bye);
    }
}

/// The dialog that a 2xx to a forgotten INVITE has made.
fn dialog_of(response: &Message, tag: Tag, flow: Flow) -> Dialog {
    let value = |addr: Option<crate::sip::wire::NameAddr<'_>>| addr.map_or(String::new(), |a| format!("<{}>", a.uri));
    let (from, to) = (value(response.from()), value(response.to()));
    let dialog = Dialog::outgoing(response.call_id().to_owned(), tag, from, to, String::new(), flow);
    let mut dialog = dialog.established(response, flow, true);
    dialog.start_cseq(response.cseq().map_or(1, |c| c.number));
    dialog
}
