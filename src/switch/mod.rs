//! The switch: one deterministic state machine that composes signalling, scripts and media commands.
//!
//! Contract: after each [`Switch::handle`] drain [`Switch::poll`] to `None`; call `handle` with [`Input::Tick`] no later than
//! [`Switch::deadline`]. It reads no clock and opens no socket; two switches with one seed and the same inputs give the same outputs.

mod availability;
mod call;
mod capture;
mod conference;
mod describe;
mod dialing;
mod digits;
mod divert;
mod domains;
mod forward;
mod gruu;
mod guard;
mod identify;
mod inbound;
mod io;
mod lcr;
mod listening;
mod manners;
mod message;
mod names;
mod operator;
mod originate;
mod park;
mod pay;
mod pickup;
mod pings;
mod queue;
mod recording;
mod redirect;
mod registrant;
mod registration;
mod report;
mod settings;
mod shared_codec;
mod sound;
mod subscribe;
mod subscribe_body;
mod tolls;
mod transfer;
mod trunks;
mod verify;
mod web;
mod web_status;
mod world;

#[cfg(test)]
mod tests;

pub use availability::ForwardingView;
pub use conference::Change;
pub use io::{
    BanView, CallView, ConferenceView, Counters, Input, Operator, Output, ParticipantView, RegistrationView, Reply,
    Setup, TrunkView,
};
pub use registrant::RegistrationState;
pub use trunks::Figures;

pub use domains::{Dials, DomainSetting};
pub use originate::{MachineAsk, Originate, Runs};
pub use pay::assisted::PaymentAsk;
pub use queue::{MemberView, QueueId, QueueView, SIZE_MAX as QUEUE_SIZE_MAX};
pub use settings::{Answers, NumberSetting, QueueSetting, Settings, digits_of};

use crate::b2bua::leg::{Asked, Heard};
use crate::base::id::Slab;
use crate::base::rng::Rng;
use crate::base::time::{Instant, Now};
use crate::event::{CallId, Class, Ending};
use crate::media::command as media;
use crate::recording::command::Event as Recorded;
use crate::rtp::srtp::KeySource;
use crate::sip::dialog::Tag;
use crate::sip::transaction::{self, ClientId, Event, ServerId};
use crate::sip::transport::Flow;
use crate::sip::wire::{Fault, Message, Method, Writer, parse_ip};
use bytes::Bytes;
use call::Call;
use guard::{Offence, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use world::{CallKey, CallKind, LegRef, Purpose, TimerKey, World};

/// See the module's documentation.
pub struct Switch {
    world: World,
    calls: Slab<CallKind, Call>,
    ids: BTreeMap<CallId, CallKey>,
    /// Records that the store has not acknowledged.
    unstored: BTreeSet<CallId>,
}

impl Switch {
    pub fn new(setup: Setup, seed: u64, now: Now) -> Switch {
        let mut world = World::new(&setup, Rng::from_seed(seed), now);
        world.ep.now = now.mono;
        world.start_names();
        world.start_pings();
        world.register_trunks(&setup.config);
        world.ask_name_servers();
        Switch { world, calls: Slab::default(), ids: BTreeMap::new(), unstored: BTreeSet::new() }
    }

    /// The key of digest nonces: 32 secret octets from the operating system. Without it they follow from the seed, and whoever
    /// sees enough tags and branches could compute them.
    pub fn set_nonce_key(&mut self, key: [u8; 32]) {
        self.world.nonce_key = key;
        let realm = self.world.config.sip.domain.clone();
        self.world.new_challenger(&realm);
    }

    /// What SRTP keys are made from: 32 secret octets from the operating system. Without it they follow from the seed, which is
    /// no secret.
    pub fn set_key_seed(&mut self, seed: [u8; 32]) {
        self.world.keys = KeySource::new(seed);
    }

    // ---- in --------------------------------------------------------------------------------------------------------

    pub fn handle(&mut self, now: Now, input: Input) {
        self.world.now = now;
        self.world.ep.now = now.mono;
        match input {
            Input::Received { flow, bytes } => self.on_bytes(flow, bytes),
            Input::FlowFailed { flow } => {
                self.world.ep.flow_failed(now.mono, flow);
                self.world.registrar.flow_failed(flow);
            }
            Input::Media(event) => self.on_media(event),
            Input::Recording(event) => self.on_recording(event),
            Input::Web(event) => self.on_web(event),
            Input::Speech(event) => self.on_speech(event),
            Input::Resolved { id, answer } => self.on_resolved(id, answer),
            Input::Identity(event) => self.on_identity(event),
            Input::Stored { call } => {
                self.unstored.remove(&call);
            }
            Input::Late { by } => self.world.load.told(now.mono, by, self.world.config.sip.guard.late),
            Input::Tick => self.on_tick(),
            Input::Operator { id, ask } => self.on_operator(id, ask),
        }
        self.run_transactions();
        self.tell_news();
        while let Some(wish) = self.world.wishes.pop_front() {
            self.on_wish(wish);
            self.run_transactions();
            self.tell_news();
        }
        self.world.drain_registrar();
        self.world.ask_name_servers();
        self.world.tell_watchers();
        self.run_transactions();
        self.count();
    }

    /// Tells calls what others have done.
    fn tell_news(&mut self) {
        loop {
            if let Some((call, news)) = self.world.conference_news() {
                self.with_call(call, |call, w| call.on_news(w, news));
            } else if let Some((call, news)) = self.world.queue_news() {
                self.with_call(call, |call, w| call.on_queue_news(w, news));
            } else {
                return;
            }
            self.run_transactions();
        }
    }

    fn on_bytes(&mut self, flow: Flow, bytes: Bytes) {
        self.world.counters.messages_received += 1;
        let verdict = self.world.guard_admits(flow, &bytes);
        if !matches!(verdict, Verdict::Exempt | Verdict::Admitted) {
            return;
        }
        match Message::parse(bytes) {
            Ok(message) if verdict == Verdict::Admitted && self.world.guard_drops(flow, &message) => {}
            Ok(message) if self.world.sheds(flow, &message) => {}
            Ok(message) => self.world.ep.transactions.receive(self.world.now.mono, flow, message),
            Err((fault, partial)) => self.on_fault(flow, fault, partial.as_ref()),
        }
    }

    /// What cannot be read gets the answer that the RFC names if an answer can be written, else nothing.
    fn on_fault(&mut self, flow: Flow, fault: Fault, partial: Option<&Message>) {
        match fault {
            Fault::NotSip => inbound::bad_message(&mut self.world, flow, "not SIP"),
            Fault::BadResponse(why) => inbound::bad_message(&mut self.world, flow, why),
            Fault::BadRequest { status, reason } => {
                inbound::bad_message(&mut self.world, flow, reason);
                let Some(partial) = partial else { return };
                if let Some(bytes) = Writer::stateless_response(partial, status, reason, flow.peer) {
                    self.world.ep.transactions.send(inbound::reply_flow(partial, flow), bytes);
                }
            }
        }
    }

    fn on_tick(&mut self) {
        let now = self.world.now.mono;
        self.world.ep.transactions.handle_timeout(now);
        self.run_transactions();
        while let Some(key) = self.world.timers.pop_due(now) {
            match key {
                TimerKey::Call(call, kind) => self.with_call(call, |call, w| call.on_timer(w, kind)),
                TimerKey::Ping { trunk, target } => self.world.ping(trunk, target),
                TimerKey::Register(id) => self.world.on_register_due(id),
                TimerKey::Names => self.world.look_at_names(),
                TimerKey::Subscription(tag) => self.world.on_subscription_due(tag),
                TimerKey::Published => self.world.on_published_due(),
                TimerKey::Rested(_) => self.world.look_at_rests(),
            }
            self.run_transactions();
        }
        self.world.registrar.handle_timeout(now);
    }

    // ---- out -------------------------------------------------------------------------------------------------------

    pub fn poll(&mut self) -> Option<Output> {
        self.world.pop_output()
    }

    /// The next moment at which something is due, and what.
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        let w = &self.world;
        let timers = w.timers.next().map(|(at, key)| (at, key.reason()));
        [w.ep.transactions.deadline(), timers, w.registrar.deadline()].into_iter().flatten().min()
    }

    pub fn counters(&self) -> &Counters {
        &self.world.counters
    }

    /// Brings the gauges up to date with the tables that they count.
    fn count(&mut self) {
        let w = &mut self.world;
        let (server, client) = w.ep.transactions.counts();
        w.counters.transactions_server = server as u64;
        w.counters.transactions_client = client as u64;
        w.counters.timers = w.timers.len() as u64;
        w.counters.registrations = w.registrar.counts().0 as u64;
        w.counters.cdrs_unacknowledged = self.unstored.len() as u64;
        w.counters.trunks_registered = w.registrants.held() as u64;
        let (sources, banned) = w.guard.counts();
        (w.counters.sources_known, w.counters.sources_banned) = (sources as u64, banned as u64);
        w.counters.subscriptions = w.subscriptions.len() as u64;
        w.counters.draining = w.draining;
    }

    /// Draining is asked for and nothing is left: the process may exit.
    pub fn is_drained(&self) -> bool {
        self.world.draining && self.calls.is_empty() && self.unstored.is_empty() && self.world.registrants.have_left()
    }

    // ---- transactions ----------------------------------------------------------------------------------------------

    fn run_transactions(&mut self) {
        self.world.note_unreached();
        while let Some(output) = self.world.ep.transactions.poll() {
            match output {
                transaction::Output::Transmit { flow, bytes } => {
                    self.world.counters.messages_sent += 1;
                    self.world.output(Output::Send { flow, bytes });
                }
                transaction::Output::Event(event) => self.on_event(event),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Request { id, request, flow }
                if request.to_tag().is_empty() || request.method() == Method::Register =>
            {
                self.on_request(id, &request, flow);
            }
            Event::Request { id, request, flow } => self.on_dialog_request(id, &request, flow),
            Event::Cancelled { id, cancel } => self.on_cancelled(id, &cancel),
            Event::Ack { ack, flow } => self.on_ack(&ack, flow),
            Event::Response { id, response, flow } => self.on_response(id, &response, flow),
            Event::StrayResponse { response, flow } => self.on_stray(&response, flow),
            // It rang and nobody answered: no other way to the same party is tried then.
            Event::Timeout { id, rang } => self.on_no_response(id, if rang { 480 } else { 408 }),
            Event::Failed { id } => self.on_no_response(id, 503),
            Event::NeverAcked { id, accepted: true } => self.on_never_acked(id),
            // A refusal that nobody acknowledges changes nothing.
            Event::NeverAcked { accepted: false, .. } => {}
            Event::NeverPracked { id } => self.on_never_pracked(id),
            Event::ServerEnded { id } => {
                if let Some(me) = self.world.remove_server(id) {
                    self.with_leg(me, |leg| leg.on_server_ended(id));
                }
            }
            Event::ClientEnded { id } => {
                if let Some(Purpose::Leg(me, _)) = self.world.remove_client(id) {
                    self.with_leg(me, |leg| leg.on_client_ended(id));
                }
            }
        }
    }

    /// The leg whose dialog a request names.
    fn dialog_of(&self, request: &Message) -> Option<LegRef> {
        self.world.dialog(Tag::parse(request.to_tag())?)
    }

    fn on_dialog_request(&mut self, id: ServerId, request: &Message, flow: Flow) {
        let Some(me) = self.dialog_of(request) else {
            if self.world.on_resubscribe(id, request, flow) {
                return;
            }
            self.world.offence(flow, Offence::Unproven);
            return self.world.refuse_once(id, (481, ""), request);
        };
        if let Some(tag) = Tag::parse(request.to_tag()) {
            self.world.add_server(id, tag);
        }
        self.with_call(me.call, |call, w| {
            let cseq = request.cseq().map_or(0, |c| c.number);
            call.received(w, me.leg, request.to_string(), cseq, flow.peer);
            let asked = call.with_leg(w, me.leg, |leg, ep, now| leg.on_request(ep, now, id, request, flow));
            call.on_asked(w, me.leg, asked.unwrap_or(Asked::Nothing));
        });
    }

    fn on_cancelled(&mut self, id: ServerId, cancel: &Message) {
        let Some(me) = self.world.server(id) else { return };
        self.with_call(me.call, |call, w| {
            let source = call.legs[0].dialog().flow().peer;
            call.received(w, me.leg, "CANCEL".to_owned(), 0, source);
            let cancelled = call.with_leg(w, me.leg, |leg, ep, now| {
                leg.hear_cause(cancel);
                leg.on_cancelled(ep, now)
            });
            call.pass_cause(w, me.leg);
            if cancelled == Some(true) && !call.arrival_lost(w, me.leg) {
                call.finish(w, Ending::new(Class::Caller, "cancelled", 487));
            }
        });
    }

    fn on_ack(&mut self, ack: &Message, flow: Flow) {
        let Some(me) = self.dialog_of(ack) else { return };
        self.with_call(me.call, |call, w| {
            if call.legs.get(usize::from(me.leg)).is_none_or(|l| l.dialog().call_id() != ack.call_id()) {
                return;
            }
            call.received(w, me.leg, "ACK".to_owned(), ack.cseq().map_or(0, |c| c.number), flow.peer);
            let cseq = ack.cseq().map_or(0, |c| c.number);
            let first = call.with_leg(w, me.leg, |leg, ep, now| leg.on_ack(ep, now, cseq));
            if let Some(body) = crate::b2bua::leg::body_of(ack) {
                call.on_ack_answer(w, me.leg, &body);
            }
            if first == Some(true) {
                call.on_acked(w, me.leg);
            }
        });
    }

    fn on_response(&mut self, id: ClientId, response: &Message, flow: Flow) {
        self.world.heard_from(flow, response);
        match self.world.client(id) {
            // Another fork answers a call that is over.
            Some(Purpose::Over) => self.world.hang_up_late(response, flow),
            Some(Purpose::Leg(me, method)) => self.with_call(me.call, |call, w| {
                let cseq = response.cseq().map_or(0, |c| c.number);
                call.received(w, me.leg, response.to_string(), cseq, flow.peer);
                let heard = call.with_leg(w, me.leg, |leg, ep, now| {
                    if method == Method::Bye {
                        leg.on_bye_response(ep, now, response);
                        return Heard::Ended;
                    }
                    leg.on_response(ep, now, id, response, flow)
                });
                call.on_heard(w, me.leg, heard.unwrap_or(Heard::Nothing));
            }),
            Some(Purpose::Ping(ping)) => self.world.on_pong(ping, response.status()),
            Some(Purpose::Register(who)) => self.world.on_register_response(who, id, response, flow),
            Some(Purpose::Notify(tag)) => self.world.on_notified(tag, id, response.status()),
            Some(Purpose::Text { text, way }) => self.world.on_text_answered(text, way, id, Ok(response)),
            None => {}
        }
    }

    /// A 2xx to an INVITE that we have forgotten: it is acknowledged and hung up, so that the peer does not wait for ever.
    fn on_stray(&mut self, response: &Message, flow: Flow) {
        // What was not sent by us is none of our business, or an attempt to make us call elsewhere (§18.1.2).
        let is_ours = response.via().is_some_and(|via| {
            parse_ip(via.host).is_some_and(|ip| self.world.ep.is_us(ip, Some(via.port.unwrap_or(5060))))
        });
        if !is_ours || response.method() != Method::Invite || !(200..300).contains(&response.status()) {
            return;
        }
        let Some(tag) = Tag::parse(response.from_tag()) else { return };
        if let Some(me) = self.world.dialog(tag) {
            self.with_call(me.call, |call, w| {
                call.with_leg(w, me.leg, |leg, ep, now| leg.on_further_2xx(ep, now, response, flow));
            });
        } else {
            self.world.hang_up_stranger(response, tag, flow);
        }
    }

    fn on_no_response(&mut self, id: ClientId, status: u16) {
        match self.world.client(id) {
            Some(Purpose::Leg(me, method)) => self.with_call(me.call, |call, w| {
                let heard = call.with_leg(w, me.leg, |leg, ep, now| {
                    if method == Method::Bye {
                        leg.on_bye_unanswered(ep, now, status);
                        return Heard::Ended;
                    }
                    leg.on_no_response(ep, now, id, status)
                });
                call.on_heard(w, me.leg, heard.unwrap_or(Heard::Nothing));
            }),
            Some(Purpose::Ping(ping)) => self.world.on_pong(ping, status),
            Some(Purpose::Register(who)) => self.world.on_register_unanswered(who, id, status),
            Some(Purpose::Notify(tag)) => self.world.on_notified(tag, id, status),
            Some(Purpose::Text { text, way }) => self.world.on_text_answered(text, way, id, Err(status)),
            Some(Purpose::Over) | None => {}
        }
    }

    fn on_never_acked(&mut self, id: ServerId) {
        let Some(me) = self.world.server(id) else { return };
        self.with_call(me.call, |call, w| {
            let answered = call.with_leg(w, me.leg, |leg, ep, now| leg.on_never_acked(ep, now));
            if answered == Some(true) {
                call.on_leg_lost(w, me.leg, Ending::new(Class::Peer, "ack_timeout", 0));
            }
        });
    }

    /// The caller does not acknowledge what it asked to have sent reliably: RFC 3262 §3 has it refused.
    fn on_never_pracked(&mut self, id: ServerId) {
        let Some(me) = self.world.server(id) else { return };
        self.with_call(me.call, |call, w| call.finish(w, Ending::new(Class::Peer, "prack_timeout", 504)));
    }

    // ---- media -----------------------------------------------------------------------------------------------------

    fn on_media(&mut self, event: media::Event) {
        let Some(leg) = event.leg() else { return self.world.on_room(&event) };
        let Some(key) = self.world.media_owner(leg) else { return };
        if let media::Event::Closed { .. } | media::Event::OpenFailed { .. } = &event {
            self.world.media_closed(leg);
        }
        self.with_call(key, |call, w| call.on_media(w, event));
    }

    fn on_recording(&mut self, event: Recorded) {
        let Some(key) = self.world.tap_owner(event.tap()) else { return self.world.on_room_recording(&event) };
        if let Recorded::Stopped { tap, .. } = event {
            self.world.tap_ended(tap);
        }
        self.with_call(key, |call, w| call.on_recording(w, event));
    }

    // ---- calls -----------------------------------------------------------------------------------------------------

    /// Runs `f` on a call, then makes its record and lets it go if that is due.
    fn with_call(&mut self, key: CallKey, f: impl FnOnce(&mut Call, &mut World)) {
        let Some(call) = self.calls.get_mut(key) else { return };
        f(call, &mut self.world);
        call.settle_slot(&mut self.world);
        let was_reported = call.reported;
        call.report(&mut self.world);
        let id = call.id;
        if call.reported && !was_reported {
            self.unstored.insert(id);
        }
        if call.is_over() {
            self.world.forget_legs(key, call.legs.iter());
            self.calls.remove(key);
            self.ids.remove(&id);
        }
    }

    fn with_leg(&mut self, me: LegRef, f: impl FnOnce(&mut crate::b2bua::leg::Leg)) {
        if let Some(leg) = self.calls.get_mut(me.call).and_then(|c| c.legs.get_mut(usize::from(me.leg))) {
            f(leg);
        }
    }
}
