//! Requests outside any dialog: calls that begin, registrations, OPTIONS, and what nobody asked for.

use super::Switch;
use super::call::Call;
use super::identify::Known;
use super::world::{LegRef, World};
use crate::b2bua::endpoint::{ALLOW, MAX_FORWARDS};
use crate::b2bua::leg::{Leg, Peer, body_of};
use crate::dialplan::CallFacts;
use crate::event::{CallId, Class, Ending, Fact, Side, What};
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method, NameAddr, Uri};

impl Switch {
    pub(super) fn on_request(&mut self, id: ServerId, request: &Message, flow: Flow) {
        if let Some(refusal) = refusal_of(request) {
            return self.world.refuse(id, refusal, request);
        }
        match request.method() {
            Method::Invite => self.on_invite(id, request, flow),
            Method::Register => self.world.on_register(id, request, flow),
            Method::Options => self.world.on_options(id),
            Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Refer => {
                self.world.refuse(id, (481, ""), request);
            }
            _ => self.world.refuse(id, (405, ""), request),
        }
    }

    fn on_invite(&mut self, id: ServerId, request: &Message, flow: Flow) {
        let Some(known) = self.world.identify(id, request, flow) else { return };
        let w = &mut self.world;
        let sticky = matches!(known.peer, Peer::User(_));
        let limit = w.admit(&known.peer);
        let leg = Leg::incoming(&mut w.ep, w.now, id, request, flow, known.peer.clone(), sticky);
        let call_id = CallId(u128::from(w.ep.rng().next_u64()) << 64 | u128::from(w.ep.rng().next_u64()));
        let tag = leg.dialog().local_tag();
        let now = w.now;
        let key = self.calls.insert_with(|key| Call::new(call_id, key, leg, known.peer.clone(), now));
        self.ids.insert(call_id, key);
        let me = LegRef { call: key, leg: 0 };
        w.add_dialog(tag, me);
        w.add_server(id, me);
        w.counters.calls_total += 1;
        w.counters.calls_active += 1;
        w.counters.legs_active += 1;
        self.with_call(key, |call, w| {
            call.read_invite(w, request, flow, &known);
            w.fact(call.started_fact());
            match limit {
                Err(reason) => {
                    w.counters.calls_refused_limit += 1;
                    call.finish(w, Ending::new(Class::Tandem, reason, 503));
                }
                Ok(()) => call.route(w, request),
            }
        });
    }
}

/// What makes a request unacceptable whoever sent it (RFC 3261 §8.2): status and, for 420, what is not supported.
fn refusal_of(request: &Message) -> Option<(u16, &'static str)> {
    if request.number(HeaderName::MaxForwards) == Some(0) && request.method() != Method::Register {
        // An OPTIONS that ends here is for us (§11), all else has gone in circles.
        if request.method() != Method::Options {
            return Some((483, ""));
        }
    }
    let uri = Uri::parse(request.request_uri());
    match uri {
        None => return Some((400, "Bad Request-URI")),
        Some(uri) if !["sip", "sips", "tel"].iter().any(|s| uri.scheme.eq_ignore_ascii_case(s)) => {
            return Some((416, ""));
        }
        Some(_) => {}
    }
    if request.headers(HeaderName::Require).next().is_some() {
        return Some((420, ""));
    }
    if request.method() == Method::Invite {
        if request.header(HeaderName::ContentEncoding).is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
            return Some((415, ""));
        }
        if request.contact().is_none() {
            return Some((400, "Missing Contact"));
        }
    }
    None
}

impl World {
    pub fn refuse(&mut self, id: ServerId, (status, reason): (u16, &str), request: &Message) {
        let tag = self.ep.new_tag();
        let unsupported: Vec<&str> = request.headers(HeaderName::Require).collect();
        self.ep.respond(self.now.mono, id, status, reason, Some(tag), |w| match status {
            405 => w.header(HeaderName::Allow, ALLOW).finish(),
            415 => w.header(HeaderName::Accept, "application/sdp").raw_header("Accept-Encoding", "identity").finish(),
            420 => w.header(HeaderName::Unsupported, unsupported.join(", ")).finish(),
            _ => w.finish(),
        });
        self.ep.take_sent().for_each(drop);
    }

    fn on_options(&mut self, id: ServerId) {
        let status = if self.draining { 503 } else { 200 };
        let tag = self.ep.new_tag();
        self.ep.respond(self.now.mono, id, status, "", Some(tag), |w| {
            w.header(HeaderName::Allow, ALLOW).header(HeaderName::Accept, "application/sdp").finish()
        });
        self.ep.take_sent().for_each(drop);
    }

    /// Books a new call against the limits; the reason if one is reached.
    fn admit(&mut self, peer: &Peer) -> Result<(), &'static str> {
        // A trunk's leg gives its place back when it is gone, so the place is taken whatever the other limits say.
        let trunk = match peer {
            Peer::Trunk(name) => self.trunks.admit(name, self.now.mono).map_err(super::trunks::Full::as_str),
            _ => Ok(()),
        };
        if trunk.is_err()
            && let Peer::Trunk(name) = peer
        {
            self.trunks.overbook(name);
        }
        if self.draining {
            return Err("draining");
        }
        let limit = self.config.limits.calls;
        if limit > 0 && self.counters.calls_active >= u64::from(limit) {
            return Err("limit_calls");
        }
        if !self.cps.take(self.now.mono) {
            return Err("limit_cps");
        }
        trunk
    }
}

impl Call {
    /// Takes from the INVITE what the dialplan, the CDR and later legs need.
    fn read_invite(&mut self, w: &mut World, request: &Message, flow: Flow, known: &Known) {
        let line = request.to_string();
        self.received(w, 0, line, request.cseq().map_or(0, |c| c.number), flow.peer);
        let asserted = request.headers(HeaderName::PAssertedIdentity).next().and_then(NameAddr::parse);
        let trusted = matches!(known.peer, Peer::Trunk(_));
        let from = asserted.filter(|_| trusted).or(request.from());
        if let Some(from) = from {
            self.from = from.parsed_uri().map_or(String::new(), |u| u.user_decoded().into_owned());
            self.from_name = from.display().into_owned();
        }
        if let Peer::User(name) = &known.peer
            && let Some(display) = w.config.users.iter().find(|u| u.name == *name).and_then(|u| u.display.clone())
        {
            self.from_name = display;
        }
        self.to = Uri::parse(request.request_uri()).map_or(String::new(), |u| u.user_decoded().into_owned());
        self.context = known.context.clone();
        let hops = request.number(HeaderName::MaxForwards).unwrap_or(u32::from(MAX_FORWARDS));
        self.max_forwards = u8::try_from(hops).unwrap_or(u8::MAX).saturating_sub(1);
    }

    /// Asks the dialplan, and begins what it says.
    fn route(&mut self, w: &mut World, request: &Message) {
        if let Some(body) = body_of(request) {
            if let Err(fault) = self.legs[0].session.take_offer(&body) {
                return self.finish(w, Ending::new(Class::Caller, "not_acceptable", fault.0));
            }
            self.invite_body = Some(body);
        }
        let header = |name: &str| request.header_named(name).map(str::to_owned);
        let named = |wanted: bool| wanted.then(|| self.source.as_str());
        let facts = CallFacts {
            from: &self.from,
            from_name: &self.from_name,
            to: &self.to,
            trunk: named(matches!(self.source, Peer::Trunk(_))),
            user: named(matches!(self.source, Peer::User(_))),
            header: &header,
            at: w.now.wall,
        };
        match w.dialplan.route(&self.context, &facts) {
            Ok(mut taken) => {
                taken.script.set("call_id", self.id.to_string());
                self.rule = taken.rule;
                self.note(w, Side::Call, What::Route(taken.why.into()));
                self.script = Some(taken.script);
                self.advance(w);
            }
            Err(why) => {
                self.note(w, Side::Call, What::Route(why.into()));
                self.finish(w, Ending::new(Class::Tandem, "no_route", 404));
            }
        }
    }
}

/// Lets go of a fact that has no other reader than the log.
pub(super) fn bad_message(w: &mut World, flow: Flow, why: &'static str) {
    w.counters.messages_bad += 1;
    w.fact(Fact::BadMessage { source: flow.peer, why });
}
