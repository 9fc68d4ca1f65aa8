//! What a call fetches, tells and has spoken: requests with their standard parameters go out, answers come back to whoever asked.

use super::call::Call;
use super::io::Output;
use super::world::{CallKey, World};
use crate::b2bua::leg::Peer;
use crate::config::Config;
use crate::event::{Class, Direction, Ending, Side, What};
use crate::sip::wire::{HeaderName, Message, NameAddr};
use crate::speech::{self, Say, SayId};
use crate::web::{self, Address, Callback, Confidential, Fetch, FetchId, Parameters, Want};
use std::collections::HashMap;

const API_VERSION: &str = "2010-04-01";
/// Headers of an INVITE that are told to webhooks; further ones, and longer ones, are not.
const HEADERS_MAX: usize = 16;
const HEADER_BYTES_MAX: usize = 1_024;
/// The account of a switch whose configuration names none.
const NO_ACCOUNT: &str = "AC00000000000000000000000000000000";

/// Which call waits for which answer.
#[derive(Default)]
pub struct Awaited {
    fetches: HashMap<FetchId, CallKey>,
    says: HashMap<SayId, CallKey>,
    fetch_last: u64,
    say_last: u64,
}

/// What a call asked and has no answer to.
#[derive(Default)]
pub struct Asked {
    fetches: Vec<FetchId>,
    says: Vec<SayId>,
    /// A server was asked or told something.
    is_used: bool,
}

/// What webhooks are told of the caller's INVITE besides who calls whom.
#[derive(Clone, Default)]
pub struct Signalled {
    /// X- headers and User-to-User, names as written.
    headers: Vec<(String, String)>,
    /// Who diverted the call (RFC 5806): the latest.
    forwarded_from: Option<String>,
    /// What the carrier found of the number's signature (3GPP TS 24.229 §7.2A.20).
    verstat: Option<String>,
}

impl Signalled {
    /// `is_trusted`: the sender may say what it found of the number.
    pub fn read(request: &Message, is_trusted: bool) -> Signalled {
        let is_told = |name: &str, value: &str| {
            let is_extra = name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-"));
            (is_extra || name.eq_ignore_ascii_case("user-to-user")) && name.len() + value.len() <= HEADER_BYTES_MAX
        };
        let headers = request.fields().filter(|(name, value)| is_told(name, value)).take(HEADERS_MAX);
        let diverted = request.header(HeaderName::Diversion).and_then(NameAddr::parse);
        let names = [HeaderName::PAssertedIdentity, HeaderName::From];
        let verstat = names.into_iter().filter(|_| is_trusted).find_map(|name| verstat(request.header(name)?));
        Signalled {
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            forwarded_from: diverted.and_then(|d| Some(d.parsed_uri()?.user_decoded().into_owned())),
            verstat: verstat.map(str::to_owned),
        }
    }
}

impl Signalled {
    pub fn verstat(&self) -> Option<&str> {
        self.verstat.as_deref()
    }

    /// What we have found ourselves counts.
    pub fn set_verstat(&mut self, verstat: String) {
        self.verstat = Some(verstat);
    }
}

/// The value of a `verstat` parameter, which may stand in a number's part of the URI or after it.
fn verstat(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once(";verstat=")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|v| !v.is_empty() && v.len() <= 64)
}

pub fn account_sid(config: &Config) -> &str {
    config.http.account_sid.as_deref().unwrap_or(NO_ACCOUNT)
}

/// A number as it is, anything else as a SIP address of our domain.
fn shown(name: &str, config: &Config) -> String {
    let is_number = name.strip_prefix('+').unwrap_or(name).bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b));
    if is_number || name.contains(':') { name.to_owned() } else { format!("sip:{name}@{}", config.sip.domain) }
}

/// Twilio's word for how a call that was never answered ended.
fn unanswered(ending: &Ending) -> &'static str {
    match (ending.class, ending.status) {
        (_, 486 | 600) => "busy",
        (Class::Caller, 487) | (Class::Operator, _) => "canceled",
        (_, 408 | 480 | 487 | 603) => "no-answer",
        _ => "failed",
    }
}

impl World {
    /// Forgets who waits for an answer, once it has come.
    fn fetched(&mut self, id: FetchId) -> Option<CallKey> {
        self.awaited.fetches.remove(&id)
    }

    fn spoken(&mut self, event: &speech::Event) -> Option<CallKey> {
        let id = event.say()?;
        if event.is_last() { self.awaited.says.remove(&id) } else { self.awaited.says.get(&id).copied() }
    }
}

impl super::Switch {
    pub(super) fn on_web(&mut self, event: web::Event) {
        let web::Event::Fetched { id, result } = event;
        let Some(key) = self.world.fetched(id) else { return };
        self.with_call(key, |call, w| {
            call.asked.fetches.retain(|f| *f != id);
            call.on_fetched(w, id, result);
        });
    }

    pub(super) fn on_speech(&mut self, event: speech::Event) {
        if let speech::Event::Heard { id, what } = event {
            return self.on_listened(id, what);
        }
        let Some(key) = self.world.spoken(&event) else { return };
        self.with_call(key, |call, w| {
            if event.is_last() {
                call.asked.says.retain(|s| Some(*s) != event.say());
            }
            call.on_spoken(w, event);
        });
    }
}

impl Call {
    /// Asks a server; the answer comes by [`Call::on_fetched`] with the id. `more` follows the standard parameters.
    pub fn fetch(
        &mut self,
        w: &mut World,
        want: Want,
        address: Address,
        fallback: Option<Address>,
        more: Parameters,
    ) -> FetchId {
        self.fetch_with(w, want, address, fallback, more, Confidential::default())
    }

    /// As [`Call::fetch`], with what only the address itself is told.
    pub fn fetch_with(
        &mut self,
        w: &mut World,
        want: Want,
        address: Address,
        fallback: Option<Address>,
        more: Parameters,
        secret: Confidential,
    ) -> FetchId {
        w.awaited.fetch_last += 1;
        let id = FetchId(w.awaited.fetch_last);
        w.awaited.fetches.insert(id, self.key);
        self.asked.fetches.push(id);
        self.asked.is_used = true;
        let text = format!("{} {}", address.method.as_str(), without_secrets(&address.url));
        self.note(w, Side::Call, What::Note(text.into()));
        let mut parameters = match want {
            Want::Document => self.parameters(w),
            Want::Media | Want::Reply => Parameters::new(),
        };
        parameters.extend(more);
        let fetch = Fetch { id, call: self.id, want, address, fallback, parameters, secret };
        w.output(Output::Web(web::Order::Fetch(Box::new(fetch))));
        id
    }

    /// The answer of a fetch is not waited for any more.
    pub fn cancel_fetch(&mut self, w: &mut World, id: FetchId) {
        self.asked.fetches.retain(|f| *f != id);
        if w.awaited.fetches.remove(&id).is_some() {
            w.output(Output::Web(web::Order::Cancel(id)));
        }
    }

    /// Tells a server, after what this call has told before. `more` follows the standard parameters.
    pub fn call_back(&mut self, w: &mut World, address: Address, more: Parameters) {
        self.call_back_as(w, address, more);
    }

    /// As [`Call::call_back`], with parameters that take the place of standard ones of their name.
    pub fn call_back_as(&mut self, w: &mut World, address: Address, instead: Parameters) {
        let mut parameters = self.parameters(w);
        parameters.retain(|(name, _)| !instead.iter().any(|(other, _)| other == name));
        parameters.extend(instead);
        self.asked.is_used = true;
        let callback = Callback { call: self.id, address, parameters };
        w.output(Output::Web(web::Order::Callback(Box::new(callback))));
    }

    /// Has a text made into sound; its parts come by [`Call::on_spoken`] with the id.
    pub fn say(&mut self, w: &mut World, text: &str, is_ssml: bool, language: &str, voice: &str) -> SayId {
        w.awaited.say_last += 1;
        let id = SayId(w.awaited.say_last);
        w.awaited.says.insert(id, self.key);
        self.asked.says.push(id);
        let say = Say { id, call: self.id, text: text.into(), is_ssml, language: language.into(), voice: voice.into() };
        w.output(Output::Speech(speech::Order::Say(Box::new(say))));
        id
    }

    /// Nobody listens to a text any more.
    pub fn cancel_say(&mut self, w: &mut World, id: SayId) {
        self.asked.says.retain(|s| *s != id);
        if w.awaited.says.remove(&id).is_some() {
            w.output(Output::Speech(speech::Order::Cancel(id)));
        }
    }

    /// A part of the sound that [`Call::say`] asked for.
    pub fn on_spoken(&mut self, w: &mut World, event: speech::Event) {
        self.on_list_spoken(w, event);
    }

    /// The call's record is made: it waits for nothing, and no further request is its own.
    pub fn leave_web(&mut self, w: &mut World) {
        let Asked { fetches, says, is_used } = std::mem::take(&mut self.asked);
        fetches.into_iter().for_each(|id| self.cancel_fetch(w, id));
        says.into_iter().for_each(|id| self.cancel_say(w, id));
        if is_used {
            w.output(Output::Web(web::Order::Forget(self.id)));
        }
    }

    /// Twilio's word for the state of the call.
    pub fn status(&self) -> &'static str {
        match (&self.ending, self.answered) {
            (Some(_), Some(_)) => "completed",
            (Some((ending, _)), None) => unanswered(ending),
            (None, Some(_)) => "in-progress",
            (None, None) => "ringing",
        }
    }

    /// The parameters that each request carries, by Twilio's "TwiML Voice: request parameters".
    pub fn parameters(&self, w: &World) -> Parameters {
        let config = &w.config;
        let domain = w.domain_of_context(&self.context);
        let (from, to) = match (&self.source, domain) {
            (Peer::Trunk(_), _) => (self.from.clone(), self.to.clone()),
            (_, Some(at)) => (format!("sip:{}@{}", self.from, at.name), format!("sip:{}@{}", self.to, at.name)),
            _ => (shown(&self.from, config), shown(&self.to, config)),
        };
        let mut all: Vec<(&str, String)> = vec![
            ("CallSid", self.id.to_string()),
            ("AccountSid", account_sid(config).to_owned()),
            ("ApiVersion", API_VERSION.to_owned()),
            ("Direction", self.direction_word().to_owned()),
            ("CallStatus", self.status().to_owned()),
            ("From", from.clone()),
            ("Caller", from),
            ("To", to.clone()),
            ("Called", to),
        ];
        let optional = [
            ("CallerName", Some(&self.from_name).filter(|n| !n.is_empty())),
            ("ForwardedFrom", self.signalled.forwarded_from.as_ref()),
            ("CalledVia", self.signalled.forwarded_from.as_ref()),
            ("StirVerstat", self.signalled.verstat.as_ref()),
        ];
        all.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?.clone()))));
        if let Some(leg) = self.legs.first() {
            all.push(("SipCallId", leg.dialog().call_id().to_owned()));
            all.push(("SipSourceIp", leg.dialog().flow().peer.ip().to_canonical().to_string()));
        }
        if let Some(domain) = domain {
            all.extend([("SipDomain", domain.name.clone()), ("SipDomainSid", domain.sid.clone())]);
        } else if matches!(self.source, Peer::User(_)) {
            all.push(("SipDomain", config.sip.domain.clone()));
        }
        if let Some(by) = self.answered_by {
            all.push(("AnsweredBy", by.as_str().to_owned()));
        }
        let mut all: Parameters = all.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        all.extend(self.signalled.headers.iter().map(|(n, v)| (format!("SipHeader_{n}"), v.clone())));
        all
    }

    /// "inbound", or by whom a call that we began was asked for.
    const fn direction_word(&self) -> &'static str {
        match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound-api",
        }
    }
}

/// An address as a timeline may show it: without user and password, and without its query, which may hold anything.
pub fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find('/').unwrap_or(rest.len());
            let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[host..])
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let rows = [
            ("https://user:pass@host/a/b?token=1#rc=2", "https://host/a/b"),
            ("http://host:80/a@b", "http://host:80/a@b"),
            ("markup/a.xml", "markup/a.xml"),
        ];
        for (url, shown) in rows {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn verstat_is_found_where_carriers_put_it() {
        let rows = [
            ("<sip:+15551234;verstat=TN-Validation-Passed@carrier;user=phone>", Some("TN-Validation-Passed")),
            ("<tel:+15551234;verstat=TN-Validation-Failed-A>", Some("TN-Validation-Failed-A")),
            ("<sip:+15551234@carrier>;verstat=No-TN-Validation;tag=1", Some("No-TN-Validation")),
            ("<sip:+15551234@carrier>;tag=1", None),
        ];
        for (value, expected) in rows {
            assert_eq!(verstat(value), expected, "{value}");
        }
    }

    #[test]
    fn unanswered_calls_end_in_one_of_four_ways() {
        let rows = [
            (Ending::new(Class::Script, "rejected", 486), "busy"),
            (Ending::new(Class::Caller, "cancelled", 487), "canceled"),
            (Ending::new(Class::Callee, "no_answer", 480), "no-answer"),
            (Ending::new(Class::Operator, "hangup", 480), "canceled"),
            (Ending::new(Class::Tandem, "no_route", 404), "failed"),
        ];
        for (ending, status) in rows {
            assert_eq!(unanswered(&ending), status, "{ending}");
        }
    }
}
