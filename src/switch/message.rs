//! MESSAGE (RFC 3428): texts between users and trunks. As with calls, each side has a dialogless request of its own, written from
//! what is known of who sends; the body is passed on as it is. Nothing is stored: who is not registered gets no text (480).
//!
//! A user's phones get a text all at once, and the first that takes it has done so for all; a trunk's targets get it one after another.

use super::Switch;
use super::dialing::{Attempt, escape_user, phones_of, trunk_attempts, uri_attempts};
use super::identify::Known;
use super::inbound::is_withheld;
use super::manners::{self, Caller, Way, caller_of};
use super::world::{Purpose, World};
use crate::b2bua::endpoint::MAX_FORWARDS;
use crate::b2bua::hunt::Track;
use crate::b2bua::leg::Peer;
use crate::b2bua::text::{passed, refusal_of_text};
use crate::base::pii::Pii;
use crate::dialplan::{CallFacts, Proof};
use crate::event::Fact;
use crate::rates::Standing;
use crate::sip::auth::{DigestClient, Tries};
use crate::sip::dialog::Dialog;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method, Uri};
use crate::verb::{Action, Dial, Next, Outcome, Strategy, Target};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Texts under way; more get 503.
const TEXTS_MAX: usize = 10_000;
/// Ways by which one text goes at once: the phones of its receivers.
const WAYS_MAX: usize = 32;
/// Steps of a rule that are passed over on the way to its `dial`.
const STEPS_MAX: usize = 20;
/// A text under way.
struct Text {
    server: ServerId,
    from: String,
    to: String,
    kind: String,
    body: Bytes,
    passed: Vec<(String, String)>,
    forwards: u8,
    ways: Vec<Sending>,
}

/// A receiver's phone, or the targets of a trunk.
struct Sending {
    left: VecDeque<Attempt>,
    /// What is asked now.
    asked: Option<Asked>,
    from: String,
    headers: Vec<(String, String)>,
    /// It has failed so.
    status: u16,
}

struct Asked {
    client: ClientId,
    dialog: Dialog,
    digest: Option<(DigestClient, Tries)>,
    is_trunk: bool,
}

/// All texts under way.
#[derive(Default)]
pub struct Texts {
    all: BTreeMap<u64, Text>,
    next: u64,
}

/// Who sends, and as whom others see it.
struct Sender {
    number: String,
    name: String,
    withheld: bool,
}

/// Where a text goes, and as whom the rule has its sender shown.
struct Receivers {
    ways: Vec<VecDeque<Attempt>>,
    caller_id: Option<String>,
    caller_name: Option<String>,
}

impl Switch {
    pub(super) fn on_message(&mut self, id: ServerId, request: &Message, flow: Flow) {
        if let Some(status) = refusal_of_text(request) {
            return self.world.refuse_once(id, (status, ""), request);
        }
        let Some(known) = self.world.identify(id, request, flow) else { return };
        self.world.on_text(id, request, &known);
    }
}

impl World {
    fn on_text(&mut self, id: ServerId, request: &Message, known: &Known) {
        if self.draining || self.texts.all.len() >= TEXTS_MAX {
            return self.answer_once(id, 503, "", |w| w.header(HeaderName::RetryAfter, 5).finish());
        }
        let sender = self.sender_of(request, known);
        let phone = match self.phone_of(request.request_uri()) {
            Ok(phone) => phone,
            Err(status) => return self.refuse(id, (status, ""), request),
        };
        let dialled = Uri::parse(request.request_uri()).map_or(String::new(), |u| u.user_decoded().into_owned());
        let dialled = phone.as_ref().map_or(dialled, |phone| phone.user.clone());
        let to = match &known.peer {
            Peer::Trunk(trunk) => self.manners.number(trunk, Way::In, &dialled),
            _ => dialled,
        };
        let receivers =
            match self.receivers(request, known, &sender, (&to, phone.as_ref().map(|phone| phone.instance.as_str()))) {
                Ok(receivers) => receivers,
                Err(status) => {
                    self.text_ended(&sender.number, &to, request.body().len(), status);
                    return self.refuse(id, (status, ""), request);
                }
            };
        let is_trusted = match &known.peer {
            Peer::Trunk(name) => self.trunks.get(name).is_some_and(|t| t.manners.caller_id.trusted),
            _ => false,
        };
        let kept = self.manners.kept(request, is_trusted);
        let hops = request.number(HeaderName::MaxForwards).unwrap_or(u32::from(MAX_FORWARDS));
        let ways = receivers.ways.iter().take(WAYS_MAX).map(|left| self.sending(&sender, &receivers, left, &kept));
        let ways = ways.collect();
        let text = Text {
            server: id,
            from: sender.number,
            to,
            kind: request.content_type().to_owned(),
            body: Bytes::copy_from_slice(request.body()),
            passed: passed(request),
            forwards: u8::try_from(hops).unwrap_or(u8::MAX).saturating_sub(1),
            ways,
        };
        let number = self.texts.next;
        self.texts.next += 1;
        let count = text.ways.len();
        self.texts.all.insert(number, text);
        (0..count).for_each(|way| self.send_text(number, way));
    }

    /// A phone writes as its user, whatever its From says; only that user's phones may choose the name shown.
    fn sender_of(&self, request: &Message, known: &Known) -> Sender {
        let trunk = if let Peer::Trunk(name) = &known.peer { self.trunks.get(name) } else { None };
        let from = trunk.map_or_else(|| request.from(), |t| caller_of(t.manners.caller_id.from, request));
        let number =
            from.as_ref().and_then(|f| f.parsed_uri()).map_or(String::new(), |u| u.user_decoded().into_owned());
        let name = from.map_or(String::new(), |f| f.display().into_owned());
        let withheld = is_withheld(request);
        match &known.peer {
            Peer::User(user) => {
                let shown = self.user(user).and_then(|u| u.display.clone());
                let name = shown.or((number == *user).then_some(name)).unwrap_or_default();
                let wish = self.user(user).and_then(|user| manners::preferred(user, request));
                let (number, name) = wish.unwrap_or((user.clone(), name));
                Sender { number, name, withheld }
            }
            Peer::Trunk(trunk) => Sender { number: self.manners.number(trunk, Way::In, &number), name, withheld },
            Peer::Uri(_) => Sender { number, name, withheld },
        }
    }

    /// Users of the sender's context are written to by name; everybody else as the dialplan has it: whom the first `dial` of the rule
    /// for the number calls.
    fn receivers(
        &mut self,
        request: &Message,
        known: &Known,
        sender: &Sender,
        (to, instance): (&str, Option<&str>),
    ) -> Result<Receivers, u16> {
        let is_colleague = |u: &crate::config::User| u.context == known.context;
        if matches!(known.peer, Peer::User(_)) && self.user(to).is_some_and(is_colleague) {
            let ways = phones_of(self, to, instance).into_iter().map(attempts).collect();
            return some_way(Receivers { ways, caller_id: None, caller_name: None });
        }
        let named = |wanted: bool| wanted.then(|| known.peer.as_str());
        let header = |name: &str| request.header_named(name).map(str::to_owned);
        let facts = CallFacts {
            from: &sender.number,
            from_name: &sender.name,
            to,
            trunk: named(matches!(known.peer, Peer::Trunk(_))),
            user: named(matches!(known.peer, Peer::User(_))),
            header: &header,
            at: self.now.wall,
            proof: Proof::default(),
        };
        let mut taken = self.dialplan.route(&known.context, &facts).map_err(|_| 404u16)?;
        for _ in 0..STEPS_MAX {
            match taken.script.next() {
                Next::Do { action: Action::Dial(dial), .. } => return some_way(self.receivers_of(&dial)),
                // What a caller would hear first, a writer does not.
                Next::Do { action: Action::Answer | Action::Play { .. } | Action::Say(_), .. } => {}
                Next::Do { action: Action::Log(_) | Action::Pause(_) | Action::RecordCall(..), .. } => {}
                _ => return Err(404),
            }
            taken.script.finished(Outcome::Done);
        }
        Err(404)
    }

    fn receivers_of(&mut self, dial: &Dial) -> Receivers {
        let mut ways: Vec<VecDeque<Attempt>> = Vec::new();
        for target in &dial.targets {
            let found: Vec<VecDeque<Attempt>> = match target {
                Target::User(name) => phones_of(self, name, None).into_iter().map(attempts).collect(),
                Target::Number { number, trunks, .. } => {
                    let trunks = self.trunks_for_text(trunks);
                    vec![trunks.iter().flat_map(|trunk| trunk_attempts(self, trunk, number)).collect()]
                }
                Target::Uri(uri) => match super::dialing::own_user(self, uri) {
                    Some(name) => phones_of(self, &name, None).into_iter().map(attempts).collect(),
                    None => vec![uri_attempts(self, uri).into()],
                },
            };
            ways.extend(found.into_iter().filter(|way| !way.is_empty()));
            if dial.strategy != Strategy::Simultaneous && !ways.is_empty() {
                break;
            }
        }
        Receivers { ways, caller_id: dial.caller_id.clone(), caller_name: dial.caller_name.clone() }
    }

    /// Prices are of calls: a text goes by the trunks in the order in which they are named, those that fare badly last.
    fn trunks_for_text(&self, named: &[String]) -> Vec<String> {
        let all = || self.config.trunks.iter().map(|t| t.name.clone()).collect();
        let mut trunks: Vec<String> = if named.is_empty() { all() } else { named.to_vec() };
        let none = crate::config::Quality::NONE;
        trunks.sort_by_key(|t| matches!(self.trunks.standing(t, &none, self.now.mono), Standing::Out(_)));
        trunks
    }

    /// As whom a way's receiver sees the sender.
    fn sending(&self, sender: &Sender, to: &Receivers, left: &VecDeque<Attempt>, kept: &[(String, String)]) -> Sending {
        let number = to.caller_id.as_deref().unwrap_or(&sender.number);
        let withheld = sender.withheld && to.caller_id.is_none();
        let name = to.caller_name.as_deref().unwrap_or(if sender.withheld { "" } else { &sender.name });
        let mut headers = Vec::new();
        let from = match left.front().map(|attempt| &attempt.peer) {
            Some(Peer::Trunk(trunk)) => {
                let caller = Caller { number, name, withheld, verstat: "" };
                let (from, told) = self.identity_for(trunk, &caller);
                headers = told;
                let rules = self.trunks.get(trunk).map_or(&[][..], |t| &t.manners.headers_out);
                manners::apply(rules, &mut headers, kept);
                from
            }
            _ if withheld => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
            _ => {
                let name = name.replace(['"', '\\', '\r', '\n'], "");
                let shown = if name.is_empty() { String::new() } else { format!("\"{name}\" ") };
                let at = if number.is_empty() { "" } else { "@" };
                format!("{shown}<sip:{}{at}{}>", escape_user(number), self.config.sip.domain)
            }
        };
        Sending { left: left.clone(), asked: None, from, headers, status: 480 }
    }

    /// Sends a text to the next attempt of one of its ways; without one, that way is over.
    fn send_text(&mut self, number: u64, way: usize) {
        let Some(text) = self.texts.all.get_mut(&number) else { return };
        let Some(sending) = text.ways.get_mut(way) else { return };
        let Some(attempt) = sending.left.pop_front() else {
            sending.asked = None;
            return self.text_failed(number);
        };
        let to = format!("<{}>", attempt.uri.split(';').next().unwrap_or(&attempt.uri));
        let is_trunk = matches!(attempt.peer, Peer::Trunk(_));
        let digest = attempt.credentials.map(|(user, password)| (DigestClient::new(&user, password), Tries::default()));
        let (call_id, tag) = (self.ep.new_call_id(), self.ep.new_tag());
        let mut dialog = Dialog::outgoing(call_id, tag, sending.from.clone(), to, attempt.uri, attempt.flow);
        dialog.set_routes(&attempt.routes);
        let dialog = if attempt.sticky { dialog.sticky() } else { dialog };
        self.ask_text(number, way, dialog, digest, is_trunk);
    }

    fn ask_text(
        &mut self,
        number: u64,
        way: usize,
        mut dialog: Dialog,
        mut digest: Option<(DigestClient, Tries)>,
        is_trunk: bool,
    ) {
        let Some(text) = self.texts.all.get_mut(&number) else { return };
        let Some(sending) = text.ways.get_mut(way) else { return };
        let uri = dialog.target().to_owned();
        let credentials = match &mut digest {
            Some((client, _)) => client.authorize(self.ep.rng(), Method::Message.as_str(), &uri, &text.body),
            None => Vec::new(),
        };
        let client = self.ep.request(self.now.mono, &mut dialog, Method::Message, text.forwards, |w| {
            let w = credentials.iter().fold(w, |w, (name, value)| w.header(*name, value));
            let extra = text.passed.iter().chain(&sending.headers);
            let w = extra.fold(w, |w, (name, value)| w.raw_header(name, value));
            if text.body.is_empty() { w.finish() } else { w.finish_with_body(&text.kind, &text.body) }
        });
        sending.asked = Some(Asked { client, dialog, digest, is_trunk });
        self.ep.take_sent().for_each(drop);
        self.add_client(client, Purpose::Text { text: number, way: way as u8 });
    }

    /// A receiver has answered, or has not (408, 503).
    pub fn on_text_answered(&mut self, number: u64, way: u8, client: ClientId, response: Result<&Message, u16>) {
        let way = usize::from(way);
        let status = response.map_or_else(|status| status, Message::status);
        let Some(text) = self.texts.all.get_mut(&number) else { return };
        let Some(sending) = text.ways.get_mut(way) else { return };
        if status < 200 || sending.asked.as_ref().is_none_or(|asked| asked.client != client) {
            return;
        }
        if status < 300 {
            return self.text_done(number, if status == 202 { 202 } else { 200 });
        }
        let Some(mut asked) = sending.asked.take() else { return };
        if let (401 | 407, Ok(response), Some((digest, tries))) = (status, response, &mut asked.digest)
            && digest.challenged(response, tries).is_ok()
        {
            return self.ask_text(number, way, asked.dialog, asked.digest, asked.is_trunk);
        }
        // What is between us and the receiver is not the sender's; 408 says nothing to who has waited (RFC 4320 §4.1).
        sending.status = match status {
            401 | 407 | 408 | 300..=399 => 480,
            481 | 503 if asked.is_trunk => 500,
            481 | 503 => 480,
            status => status,
        };
        // Another target may do what this one cannot; what the receiver itself says holds.
        if !matches!(status, 401 | 403 | 407 | 408 | 500..=599) {
            sending.left.clear();
        }
        self.send_text(number, way);
    }

    /// A way has failed: once no other is left, so has the text.
    fn text_failed(&mut self, number: u64) {
        let Some(text) = self.texts.all.get(&number) else { return };
        if text.ways.iter().any(|way| way.asked.is_some() || !way.left.is_empty()) {
            return;
        }
        // What a receiver has decided says more than that one was not reached.
        let statuses = || text.ways.iter().map(|way| way.status);
        let best = statuses().find(|s| *s >= 600).or_else(|| statuses().find(|s| *s != 480)).unwrap_or(480);
        self.text_done(number, best);
    }

    fn text_done(&mut self, number: u64, status: u16) {
        let Some(text) = self.texts.all.remove(&number) else { return };
        let tag = self.ep.new_tag();
        self.ep.respond(self.now.mono, text.server, status, "", Some(tag), |w| w.finish());
        self.ep.take_sent().for_each(drop);
        self.text_ended(&text.from, &text.to, text.body.len(), status);
    }

    /// Counts and tells how a text fared.
    pub fn text_ended(&mut self, from: &str, to: &str, octets: usize, status: u16) {
        self.counters.texts_relayed += u64::from(status < 300);
        self.counters.texts_failed += u64::from(status >= 300);
        self.tell(Fact::Text { from: Pii::new(from.to_owned()), to: Pii::new(to.to_owned()), octets, status });
    }
}

fn some_way(receivers: Receivers) -> Result<Receivers, u16> {
    if receivers.ways.is_empty() { Err(480) } else { Ok(receivers) }
}

fn attempts(mut track: Track<Attempt>) -> VecDeque<Attempt> {
    track.attempts_mut().map(|attempt| attempt.clone()).collect()
}
