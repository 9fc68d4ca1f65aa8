//! Requests outside any dialog: calls that begin, registrations, OPTIONS, and what nobody asked for.

use super::Switch;
use super::call::Call;
use super::guard::Offence;
use super::identify::Known;
use super::manners::{Way, caller_of, preferred, seen};
use super::settings::Answering;
use super::web::Signalled;
use super::web_status::Watch;
use super::world::{LegRef, World};
use crate::b2bua::endpoint::{ALLOW, MAX_FORWARDS, TEXT_TYPES, accepts, capabilities, unsupported};
use crate::b2bua::leg::{Leg, Peer, offer_of, too_short};
use crate::dialplan::{CallFacts, Proof};
use crate::event::{CallId, Class, Ending, Fact, Side, What};
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method, Uri, Writer};

/// Retry-After of the 503 to OPTIONS while we drain, in seconds.
const DRAINING_RETRY_AFTER_S: u32 = 60;

impl Switch {
    pub(super) fn on_request(&mut self, id: ServerId, request: &Message, flow: Flow) {
        if let Some(refusal) = refusal_of(request) {
            return self.world.refuse_once(id, refusal, request);
        }
        match request.method() {
            Method::Invite => self.on_invite(id, request, flow),
            Method::Register => self.world.on_register(id, request, flow),
            Method::Options => self.world.on_options(id),
            Method::Subscribe | Method::Publish if self.refuse_at_domain(id, request) => {}
            Method::Subscribe => self.world.on_subscribe(id, request, flow),
            Method::Publish => self.world.on_publish(id, request, flow),
            Method::Message => self.on_message(id, request, flow),
            _ => self.world.refuse_once(id, (481, ""), request),
        }
    }

    fn on_invite(&mut self, id: ServerId, request: &Message, flow: Flow) {
        if let Some(min) = too_short(request, self.world.ep.session_timers) {
            return self.world.answer_once(id, 422, "", |w| w.header(HeaderName::MinSe, min).finish());
        }
        let Some(known) = self.world.identify(id, request, flow) else { return };
        if self.on_replacing(id, request, flow, &known) {
            return;
        }
        let phone = match self.world.phone_of(request.request_uri()) {
            Ok(phone) => phone,
            Err(status) => return self.world.refuse(id, (status, ""), request),
        };
        let w = &mut self.world;
        let sticky = matches!(known.peer, Peer::User(_)) || w.domain_of_context(&known.context).is_some();
        let dialled = Uri::parse(request.request_uri()).map_or(String::new(), |u| u.user_decoded().into_owned());
        let limit = match w.admit(&known.peer) {
            Err(_) if w.is_emergency(&dialled) => Ok(()),
            admitted => admitted,
        };
        let leg = Leg::incoming(&mut w.ep, w.now, id, request, flow, known.peer.clone(), sticky);
        let call_id = CallId(u128::from(w.ep.rng().next_u64()) << 64 | u128::from(w.ep.rng().next_u64()));
        let tag = leg.dialog().local_tag();
        let now = w.now;
        let key = self.calls.insert_with(|key| Call::new(call_id, key, leg, known.peer.clone(), now));
        self.ids.insert(call_id, key);
        let me = LegRef { call: key, leg: 0 };
        w.add_dialog(tag, me);
        w.add_server(id, tag);
        w.counters.calls_total += 1;
        w.counters.calls_active += 1;
        w.counters.legs_active += 1;
        self.with_call(key, |call, w| {
            w.trace_leg(call_id, &call.legs[0]);
            call.read_invite(w, request, flow, &known);
            if let Some(phone) = &phone {
                call.to.clone_from(&phone.user);
            }
            call.phone = phone;
            call.follow_line(w, 0);
            w.fact(call.started_fact());
            match limit {
                Err(reason) => {
                    w.counters.calls_refused_limit += 1;
                    call.finish(w, Ending::new(Class::Tandem, reason, 503));
                }
                Ok(()) => call.verify_and_route(w, request),
            }
        });
    }
}

/// What makes a request unacceptable whoever sent it, in the order of RFC 3261 §8.2.
fn refusal_of(request: &Message) -> Option<(u16, &'static str)> {
    let refusal = refusal_by_method(request.method()).or_else(|| refusal_by_header(request));
    match request.method() {
        Method::Invite => refusal.or_else(|| refusal_of_invite(request)),
        Method::Register => refusal.or_else(|| refusal_of_register(request)),
        _ => refusal,
    }
}

/// A method that nobody knows gets 501 (§21.5.2).
const fn refusal_by_method(method: Method) -> Option<(u16, &'static str)> {
    match method {
        Method::Invite | Method::Register | Method::Options | Method::Ack | Method::Cancel => None,
        Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Notify => None,
        Method::Subscribe | Method::Publish | Method::Message => None,
        // Outside a dialog there is nobody whom we would transfer.
        Method::Refer => Some((403, "Only In A Dialog")),
        Method::Other => Some((501, "")),
    }
}

fn refusal_by_header(request: &Message) -> Option<(u16, &'static str)> {
    // An OPTIONS that ends here is for us (§11), a REGISTER too; all else has gone in circles.
    let ends_here = matches!(request.method(), Method::Options | Method::Register);
    if request.number(HeaderName::MaxForwards) == Some(0) && !ends_here {
        return Some((483, ""));
    }
    match Uri::parse(request.request_uri()) {
        None => return Some((400, "Bad Request-URI")),
        Some(uri) if !uri.is_sip() && !uri.is_tel() => return Some((416, "")),
        Some(_) => {}
    }
    unsupported(request).map(|_| (420, ""))
}

fn refusal_of_invite(request: &Message) -> Option<(u16, &'static str)> {
    let encoding = request.header(HeaderName::ContentEncoding);
    if encoding.is_some_and(|e| !e.eq_ignore_ascii_case("identity")) || offer_of(request).is_some_and(|b| !b.is_sdp()) {
        return Some((415, ""));
    }
    if !takes_sdp(request) {
        return Some((406, ""));
    }
    // RFC 2543, whose branches are without the cookie, let an INVITE do without Contact: requests go to From's URI then.
    if request.contact().is_none() && request.branch().starts_with("z9hG4bK") {
        return Some((400, "Missing Contact"));
    }
    None
}

/// §10.3 step 5: an address of record is a SIP or SIPS URI.
fn refusal_of_register(request: &Message) -> Option<(u16, &'static str)> {
    let is_sip = request.to().and_then(|to| to.parsed_uri()).is_some_and(|uri| uri.is_sip());
    (!is_sip).then_some((400, "To Is No SIP URI"))
}

/// Puts in what a refusal must say besides its status.
fn explained(writer: Writer, status: u16, request: &Message) -> Writer {
    match status {
        405 => writer.header(HeaderName::Allow, ALLOW),
        415 if request.method() == Method::Message => writer.header(HeaderName::Accept, TEXT_TYPES),
        415 => accepts(writer),
        420 => writer.header(HeaderName::Unsupported, unsupported(request).unwrap_or_default()),
        _ => writer,
    }
}

/// The caller does not want its number shown: its Privacy header asks for that (RFC 3323 §4.2, RFC 3325 §9.3), or its From
/// shows none.
pub(super) fn is_withheld(request: &Message) -> bool {
    let hides = |value: &str| ["id", "user", "header"].iter().any(|v| value.trim_ascii().eq_ignore_ascii_case(v));
    let from = request.from().and_then(|from| from.parsed_uri());
    let anonymous = from.is_some_and(|uri| {
        uri.host.eq_ignore_ascii_case("anonymous.invalid") || uri.user_decoded().eq_ignore_ascii_case("anonymous")
    });
    anonymous || request.headers(HeaderName::Privacy).flat_map(|values| values.split(';')).any(hides)
}

/// An answer with SDP is acceptable: without Accept it is, an empty Accept takes nothing at all (§20.1).
fn takes_sdp(request: &Message) -> bool {
    let ranges = ["application/sdp", "application/*", "*/*"];
    let takes = |value: &str| {
        let range = value.split(';').next().unwrap_or_default().trim_ascii();
        ranges.iter().any(|r| range.eq_ignore_ascii_case(r))
    };
    request.header(HeaderName::Accept).is_none() || request.headers(HeaderName::Accept).any(takes)
}

impl World {
    /// Refuses a request of someone whom we know.
    pub fn refuse(&mut self, id: ServerId, (status, reason): (u16, &str), request: &Message) {
        let tag = self.ep.new_tag();
        self.ep.respond(self.now.mono, id, status, reason, Some(tag), |w| explained(w, status, request).finish());
        self.ep.take_sent().for_each(drop);
    }

    /// Refuses a request of whomever, without state of ours.
    pub fn refuse_once(&mut self, id: ServerId, (status, reason): (u16, &str), request: &Message) {
        self.answer_once(id, status, reason, |w| explained(w, status, request).finish());
    }

    fn on_options(&mut self, id: ServerId) {
        if self.draining {
            let retry = |w: Writer| w.header(HeaderName::RetryAfter, DRAINING_RETRY_AFTER_S);
            return self.answer_once(id, 503, "", |w| capabilities(retry(w)).finish());
        }
        self.answer_once(id, 200, "", |w| capabilities(w).finish());
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
        let trunk = if let Peer::Trunk(name) = &known.peer { w.trunks.get(name) } else { None };
        let from = match trunk {
            Some(trunk) => caller_of(trunk.manners.caller_id.from, request),
            None => request.from(),
        };
        if let Some(from) = from {
            self.from = from.parsed_uri().map_or(String::new(), |u| u.user_decoded().into_owned());
            self.from_name = from.display().into_owned();
        }
        let trunk_trusted = trunk.is_some_and(|t| t.manners.caller_id.trusted);
        self.withheld = is_withheld(request);
        self.diversions = super::divert::diversions_of(request);
        if let Peer::User(name) = &known.peer {
            // A phone calls as its user, whatever its From says; only that user's phones may choose the name shown.
            if self.from != *name {
                self.from.clone_from(name);
                self.from_name.clear();
            }
            if let Some(display) = w.user(name).and_then(|u| u.display.clone()) {
                self.from_name = display;
            }
            self.preferred = w.user(name).and_then(|user| preferred(user, request));
        }
        self.to = Uri::parse(request.request_uri()).map_or(String::new(), |u| u.user_decoded().into_owned());
        if let Peer::Trunk(trunk) = &known.peer
            && w.registrants.is_contact_user(trunk, &self.to)
            && let Some(to) = request.to().and_then(|to| to.parsed_uri()).filter(|uri| !uri.user.is_empty())
        {
            // It was sent to our Contact, which says where we are; who is called stands in To.
            self.to = to.user_decoded().into_owned();
        }
        if let Peer::Trunk(trunk) = &known.peer {
            self.to = w.manners.number(trunk, Way::In, &self.to);
            self.from = w.manners.number(trunk, Way::In, &self.from);
        }
        self.kept = w.manners.kept(request, trunk_trusted);
        self.context = known.context.clone();
        self.signalled = Signalled::read(request, matches!(known.peer, Peer::Trunk(_)));
        let hops = request.number(HeaderName::MaxForwards).unwrap_or(u32::from(MAX_FORWARDS));
        self.max_forwards = u8::try_from(hops).unwrap_or(u8::MAX).saturating_sub(1);
    }

    /// An application that the REST API has for the number takes what no rule of the dialplan does; false if there is none.
    fn answer_by_number(&mut self, w: &mut World) -> bool {
        let found =
            w.domain_answers(&self.context, &self.to, w.now.wall).or_else(|| w.number_for(&self.to, w.now.wall));
        let Some(Answering { mut script, rule, why, status }) = found else {
            return false;
        };
        for (name, value) in [("call_id", self.id.to_string()), ("from", self.from.clone()), ("to", self.to.clone())] {
            script.set(name, value);
        }
        self.rule = rule;
        self.watched = status.map(|address| Watch::new(address, ""));
        self.note(w, Side::Call, What::Route(why.into()));
        self.script = Some(script);
        self.advance(w);
        true
    }

    /// Asks the dialplan, and begins what it says.
    pub fn route(&mut self, w: &mut World, request: &Message) {
        if let Some(body) = offer_of(request) {
            if let Err(fault) = self.legs[0].session.take_offer(&body) {
                return self.finish(w, Ending::new(Class::Caller, "not_acceptable", fault.0));
            }
            self.invite_body = Some(body);
        }
        let rules = match &self.source {
            Peer::Trunk(name) => w.trunks.get(name).map_or(&[][..], |t| &t.manners.headers_in),
            _ => &[],
        };
        let header = |name: &str| seen(rules, request, name);
        let named = |wanted: bool| wanted.then(|| self.source.as_str());
        let facts = CallFacts {
            from: &self.from,
            from_name: &self.from_name,
            to: &self.to,
            trunk: named(matches!(self.source, Peer::Trunk(_))),
            user: named(matches!(self.source, Peer::User(_))),
            header: &header,
            at: w.now.wall,
            proof: {
                let (verstat, attest) = self.verstat();
                Proof { verstat, attest }
            },
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
                if self.answer_by_number(w) {
                    return;
                }
                self.note(w, Side::Call, What::Route(why.into()));
                self.finish(w, Ending::new(Class::Tandem, "no_route", 404));
            }
        }
    }
}

/// Lets go of a fact that has no other reader than the log.
pub(super) fn bad_message(w: &mut World, flow: Flow, why: &'static str) {
    w.counters.messages_bad += 1;
    w.offence(flow, Offence::Malformed);
    w.tell(Fact::BadMessage { source: flow.peer, why });
}

/// Where the answer to what cannot be read goes (RFC 3261 §18.2.2): over a stream, back; over UDP, as its Via says.
pub(super) fn reply_flow(request: &Message, flow: Flow) -> Flow {
    match request.via() {
        Some(via) if !flow.transport.is_reliable() => Flow { peer: via.response_target(flow.peer), ..flow },
        _ => flow,
    }
}
