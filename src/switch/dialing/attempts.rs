//! The ways by which a target can be called: a user's contacts, a trunk's targets, a host's addresses.

use super::{Attempt, escape_user};
use crate::b2bua::hunt::Track;
use crate::b2bua::leg::Peer;
use crate::sip::registrar::Binding;
use crate::sip::transport::{Flow, Transport};
use crate::sip::wire::{NameAddr, Uri};
use crate::switch::manners::Way;
use crate::switch::world::World;
use std::sync::Arc;

/// The most ways by which one host is tried (RFC 3263 §4.3); each is an attempt of its own.
const WAYS_MAX: usize = 8;

/// All contacts of a registered user, each on the flow on which it registered; with `instance`, of that phone alone.
pub fn phones_of(w: &mut World, name: &str, instance: Option<&str>) -> Vec<Track<Attempt>> {
    contacts_of(w, name, &Peer::User(name.to_owned()), instance)
}

/// All contacts of an address of record, which is called as this party.
///
/// Several flows of one phone are one after the other, the newest first, since a phone rings once (RFC 5626 §5.3, §6).
pub fn contacts_of(w: &mut World, name: &str, peer: &Peer, instance: Option<&str>) -> Vec<Track<Attempt>> {
    let codecs = w.config.media.codecs.clone();
    let bindings = w.registrar.lookup(w.now.mono, name);
    let attempt = |b: &Binding| Attempt {
        peer: peer.clone(),
        uri: b.contact.expose().clone(),
        flow: b.flow,
        sticky: true,
        credentials: None,
        codecs: codecs.clone(),
        callee: None,
        routes: b.path.clone(),
        target: None,
        number: None,
        emergency: false,
        priced: None,
        barred: false,
        forwarded: None,
    };
    let wanted = bindings.into_iter().filter(|b| instance.is_none_or(|wanted| b.instance == wanted));
    let mut phones: Vec<(&Binding, Vec<Attempt>)> = Vec::new();
    for binding in wanted {
        let is_one =
            |first: &Binding| first.reg_id.is_some() && binding.reg_id.is_some() && first.instance == binding.instance;
        match phones.iter_mut().find(|(first, _)| is_one(first)) {
            Some((_, flows)) => flows.push(attempt(binding)),
            None => phones.push((binding, vec![attempt(binding)])),
        }
    }
    phones.into_iter().map(|(_, flows)| Track::new(flows)).collect()
}

/// A number through one trunk: one attempt a target that is up.
pub fn trunk_attempts(w: &mut World, name: &str, number: &str) -> Vec<Attempt> {
    let mut rng = w.ep.rng().fork();
    let targets = w.trunks.targets(name, &mut rng);
    let Some(trunk) = w.trunks.get(name) else { return Vec::new() };
    let codecs = if trunk.codecs.is_empty() { w.config.media.codecs.clone() } else { trunk.codecs.clone() };
    let credentials = trunk.auth.as_ref().map(|c| (c.username.clone(), c.password.clone()));
    let user = escape_user(&w.manners.number(name, Way::Out, number));
    let priced = w.priced(name, number);
    let mut ways = Vec::new();
    for target in &targets {
        let flows = w.ep.ways(target, Transport::Udp).flows;
        ways.extend(flows.into_iter().take(WAYS_MAX).map(|flow| (target, flow)));
    }
    let attempts = ways.into_iter().filter_map(|(target, flow)| {
        let parsed = Uri::parse(target)?;
        let host = &parsed.raw[parsed.scheme.len() + 1..];
        let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
        Some(Attempt {
            peer: Peer::Trunk(name.to_owned()),
            uri: format!("{}:{user}@{host}", parsed.scheme),
            flow,
            sticky: false,
            credentials: credentials.clone(),
            codecs: codecs.clone(),
            callee: None,
            routes: w.registrants.service_route(name, target).to_vec(),
            target: Some(target.clone()),
            number: Some(number.to_owned()),
            emergency: w.is_emergency(number),
            priced: Some(Arc::clone(&priced)),
            barred: false,
            forwarded: None,
        })
    });
    attempts.collect()
}

/// Where a trunk sends a call on: without our credentials, which are for its own targets.
pub fn redirected_attempts(w: &mut World, trunk: &str, uri: &str) -> Vec<Attempt> {
    let codecs = w.trunks.get(trunk).map(|t| t.codecs.clone()).filter(|codecs| !codecs.is_empty());
    let mut attempts = uri_attempts(w, uri);
    // A trunk that names a dear number is no way around caps.
    let number = Uri::parse(uri).map(|uri| uri.user_decoded().into_owned()).unwrap_or_default();
    let priced = Some(w.priced(trunk, &number));
    for attempt in &mut attempts {
        attempt.priced.clone_from(&priced);
        attempt.peer = Peer::Trunk(trunk.to_owned());
        attempt.codecs = codecs.clone().unwrap_or_else(|| std::mem::take(&mut attempt.codecs));
    }
    attempts
}

/// One attempt a way to the URI.
pub fn uri_attempts(w: &mut World, uri: &str) -> Vec<Attempt> {
    // Without brackets all that follows is the URI's, for there is no header that it could belong to.
    let uri = if uri.contains('<') { NameAddr::parse(uri).map_or(uri, |a| a.uri) } else { uri };
    // Some systems take the first '@' for the one before the host, some the last.
    let is_ambiguous = uri.matches('@').count() > 1;
    if is_ambiguous || uri.contains(|c: char| c.is_control() || c.is_whitespace() || "<>\"".contains(c)) {
        return Vec::new();
    }
    let attempt = |flow: Flow| Attempt {
        peer: Peer::Uri(uri.to_owned()),
        uri: uri.to_owned(),
        flow,
        sticky: false,
        credentials: None,
        codecs: w.config.media.codecs.clone(),
        callee: None,
        routes: Vec::new(),
        target: None,
        number: None,
        emergency: false,
        priced: None,
        barred: false,
        forwarded: None,
    };
    let flows = w.ep.ways(uri, Transport::Udp).flows;
    flows.into_iter().take(WAYS_MAX).map(attempt).collect()
}
