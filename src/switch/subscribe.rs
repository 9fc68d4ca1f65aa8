//! SUBSCRIBE and NOTIFY (RFC 6665) for users: dialog, message-summary, presence and reg; PUBLISH (RFC 3903) of presence.
//!
//! What is told is always the whole state, and only the latest: while one NOTIFY is under way, whatever changes is told by the next.

use super::subscribe_body::{Line, LineState, Registered};
use super::subscribe_body::{dialog_info, message_summary, presence, read_presence, reginfo};
use super::world::{Purpose, TimerKey, World};
use crate::b2bua::endpoint::MAX_FORWARDS;
use crate::b2bua::leg::{Leg, Peer};
use crate::base::time::{Duration, Instant};
use crate::event::Direction;
use crate::sip::dialog::{Dialog, OutOfOrder, Tag};
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method, Uri};
use std::collections::{BTreeMap, BTreeSet};

/// Subscriptions of one user, and of the whole switch. Beyond them 403 and 503.
const PER_USER_MAX: usize = 200;
const ALL_MAX: usize = 50_000;
/// Seconds that a subscription may live: shortest, where none is asked for, longest.
const EXPIRES_S: (u32, u32, u32) = (60, 3_600, 7_200);
/// Octets of a published document; longer gets 413.
const PUBLISHED_MAX: usize = 8_192;
/// Octets of an Event's id that are kept.
const ID_MAX: usize = 64;

/// What is subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Package {
    Dialog,
    MessageSummary,
    Presence,
    Reg,
}

const PACKAGES: [(Package, &str, &str); 4] = [
    (Package::Dialog, "dialog", "application/dialog-info+xml"),
    (Package::MessageSummary, "message-summary", "application/simple-message-summary"),
    (Package::Presence, "presence", "application/pidf+xml"),
    (Package::Reg, "reg", "application/reginfo+xml"),
];

const ALLOW_EVENTS: &str = "dialog, message-summary, presence, reg, refer";

impl Package {
    /// The package and the id that an Event header names.
    fn of(request: &Message) -> Option<(Package, String)> {
        let value = request.header(HeaderName::Event)?;
        let (name, params) = value.split_once(';').unwrap_or((value, ""));
        let found = PACKAGES.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name.trim_ascii()))?;
        let id = params.split(';').find_map(|p| p.trim_ascii().strip_prefix("id=")).unwrap_or_default();
        Some((found.0, id.chars().take(ID_MAX).collect()))
    }

    const fn words(self) -> (&'static str, &'static str) {
        let (_, name, kind) = PACKAGES[self as usize];
        (name, kind)
    }
}

#[derive(Debug)]
struct Subscription {
    dialog: Dialog,
    /// Whose it is.
    watcher: String,
    package: Package,
    id: String,
    /// Whom it is about.
    entity: String,
    expires_at: Instant,
    version: u32,
    under_way: Option<ClientId>,
    /// Something has changed since the NOTIFY that is under way.
    again: bool,
}

#[derive(Debug)]
struct Published {
    tag: u64,
    open: bool,
    note: String,
    expires_at: Instant,
}

/// All subscriptions, and what they are told.
#[derive(Default)]
pub struct Subscriptions {
    all: BTreeMap<Tag, Subscription>,
    about: BTreeMap<(String, Package), BTreeSet<Tag>>,
    by_watcher: BTreeMap<String, usize>,
    /// Dialogs of users, by our tags.
    lines: BTreeMap<String, BTreeMap<Tag, Line>>,
    changed: BTreeSet<(String, Package)>,
    /// Messages that wait: new and old.
    mailboxes: BTreeMap<String, (u32, u32)>,
    published: BTreeMap<String, Published>,
}

impl Subscriptions {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Something about a user has changed that others may want to know.
    pub fn touch(&mut self, user: &str, package: Package) {
        let key = (user.to_owned(), package);
        if self.about.contains_key(&key) {
            self.changed.insert(key);
        }
    }

    fn add(&mut self, tag: Tag, subscription: Subscription) {
        *self.by_watcher.entry(subscription.watcher.clone()).or_default() += 1;
        self.about.entry((subscription.entity.clone(), subscription.package)).or_default().insert(tag);
        self.all.insert(tag, subscription);
    }

    fn remove(&mut self, tag: Tag) -> Option<Subscription> {
        let gone = self.all.remove(&tag)?;
        if let Some(count) = self.by_watcher.get_mut(&gone.watcher) {
            *count -= 1;
            if *count == 0 {
                self.by_watcher.remove(&gone.watcher);
            }
        }
        let key = (gone.entity.clone(), gone.package);
        if let Some(tags) = self.about.get_mut(&key) {
            tags.remove(&tag);
            if tags.is_empty() {
                self.about.remove(&key);
            }
        }
        Some(gone)
    }
}

impl World {
    // ---- what happens ----------------------------------------------------------------------------------------------

    /// A phone of the user rings or talks.
    pub fn has_line(&self, user: &str) -> bool {
        self.subscriptions.lines.contains_key(user)
    }

    /// Follows what has become of a user's leg.
    pub fn follow_line(&mut self, leg: &Leg, remote: &str) {
        let Peer::User(user) = &leg.peer else { return };
        let tag = leg.dialog().local_tag();
        let state = match leg.line() {
            Some(true) => LineState::Confirmed,
            Some(false) => LineState::Early,
            None => {
                let known = self.subscriptions.lines.get_mut(user);
                let gone = known.and_then(|lines| {
                    lines.remove(&tag)?;
                    Some(lines.is_empty())
                });
                if gone == Some(true) {
                    self.subscriptions.lines.remove(user);
                }
                if gone.is_some() {
                    self.line_changed(user);
                }
                return;
            }
        };
        let line = Line {
            id: tag.to_string(),
            call_id: leg.dialog().call_id().to_owned(),
            local_tag: leg.peer_tag().to_owned(),
            remote_tag: tag.to_string(),
            initiator: leg.direction == Direction::Inbound,
            state,
            remote: remote.to_owned(),
        };
        let lines = self.subscriptions.lines.entry(user.clone()).or_default();
        if lines.insert(tag, line.clone()).as_ref() != Some(&line) {
            self.line_changed(user);
        }
    }

    fn line_changed(&mut self, user: &str) {
        self.subscriptions.touch(user, Package::Dialog);
        self.subscriptions.touch(user, Package::Presence);
    }

    /// Legs of a user that ring, by their tags.
    pub fn ringing(&self, user: &str) -> impl Iterator<Item = Tag> + use<> {
        let lines = self.subscriptions.lines.get(user).into_iter().flatten();
        let rings = |line: &Line| line.state == LineState::Early && !line.initiator;
        lines.filter(|(_, line)| rings(line)).map(|(tag, _)| *tag).collect::<Vec<_>>().into_iter()
    }

    /// Somebody is parked in a slot from now on, or nobody is.
    pub fn set_slot(&mut self, slot: &str, tag: Tag, line: Option<Line>) {
        match line {
            Some(line) => {
                self.subscriptions.lines.entry(slot.to_owned()).or_default().insert(tag, line);
            }
            None => {
                self.subscriptions.lines.remove(slot);
            }
        }
        self.subscriptions.touch(slot, Package::Dialog);
    }

    /// How many messages wait for a user; false if there is no such user.
    pub fn set_mailbox(&mut self, user: &str, counts: (u32, u32)) -> bool {
        let known = self.config.users.iter().any(|u| u.name == user);
        if known && self.subscriptions.mailboxes.insert(user.to_owned(), counts) != Some(counts) {
            self.subscriptions.touch(user, Package::MessageSummary);
        }
        known
    }

    /// Tells watchers what has changed.
    pub fn tell_watchers(&mut self) {
        while let Some(key) = self.subscriptions.changed.pop_first() {
            let tags: Vec<Tag> = self.subscriptions.about.get(&key).into_iter().flatten().copied().collect();
            tags.into_iter().for_each(|tag| self.notify(tag, None));
        }
    }

    /// Users whom the configuration has no more are told of and tell nothing.
    pub fn reload_subscriptions(&mut self) {
        let config = std::sync::Arc::clone(&self.config);
        let has = |name: &str| config.users.iter().any(|u| u.name == name);
        let known = |s: &Subscription| has(&s.watcher) && (has(&s.entity) || config.parking.has(&s.entity));
        let gone = self.subscriptions.all.iter().filter(|(_, s)| !known(s));
        let gone: Vec<Tag> = gone.map(|(tag, _)| *tag).collect();
        gone.into_iter().for_each(|tag| self.notify(tag, Some("noresource")));
        self.subscriptions.mailboxes.retain(|user, _| has(user));
    }

    // ---- SUBSCRIBE -------------------------------------------------------------------------------------------------

    /// The user who sends a request; `None` if it has been challenged or refused.
    fn user_of(&mut self, id: ServerId, request: &Message, flow: Flow, what: &'static str) -> Option<(String, String)> {
        match self.verify(request) {
            Ok(known) => match known.peer {
                Peer::User(name) => {
                    self.proven(flow);
                    Some((name, known.context))
                }
                Peer::Trunk(_) | Peer::Uri(_) => {
                    self.refuse(id, (403, ""), request);
                    None
                }
            },
            Err(denied) => {
                self.deny(id, flow, what, denied);
                None
            }
        }
    }

    /// Who is called by the request's URI, if it is a user that one of this context may watch.
    fn watched(&self, request: &Message, watcher: &(String, String), package: Package) -> Result<String, u16> {
        let name = Uri::parse(request.request_uri()).map_or(String::new(), |uri| uri.user_decoded().into_owned());
        // Phones ask for their own messages and registrations at the domain, without a user.
        let own = matches!(package, Package::MessageSummary | Package::Reg);
        let name = if own && name.is_empty() { watcher.0.clone() } else { name };
        if package == Package::Dialog && self.config.parking.has(&name) {
            return Ok(name);
        }
        let user = self.user(&name).ok_or(404u16)?;
        let may = if own { name == watcher.0 } else { user.context == watcher.1 };
        if may { Ok(name) } else { Err(403) }
    }

    pub fn on_subscribe(&mut self, id: ServerId, request: &Message, flow: Flow) {
        let Some(watcher) = self.user_of(id, request, flow, "SUBSCRIBE") else { return };
        let Some((package, event_id)) = Package::of(request) else {
            return self.answer(id, 489, |w| w.raw_header("Allow-Events", ALLOW_EVENTS).finish());
        };
        let accepts = |value: &str| value.contains(package.words().1) || value.contains("*/*");
        if request.header(HeaderName::Accept).is_some() && !request.headers(HeaderName::Accept).any(accepts) {
            return self.refuse(id, (406, ""), request);
        }
        let entity = match self.watched(request, &watcher, package) {
            Ok(entity) => entity,
            Err(status) => return self.refuse(id, (status, ""), request),
        };
        let Some(seconds) = self.granted(id, request) else { return };
        let held = self.subscriptions.by_watcher.get(&watcher.0).copied().unwrap_or(0);
        if request.contact().is_none() {
            return self.refuse(id, (400, "Missing Contact"), request);
        }
        if held >= PER_USER_MAX {
            return self.refuse(id, (403, "Too Many Subscriptions"), request);
        }
        if self.subscriptions.all.len() >= ALL_MAX {
            return self.answer(id, 503, |w| w.header(HeaderName::RetryAfter, 60).finish());
        }
        let tag = self.ep.new_tag();
        let expires_at = self.now.mono + Duration::from_secs(seconds.into());
        let subscription = Subscription {
            dialog: Dialog::from_request(request, tag, flow, true),
            watcher: watcher.0,
            package,
            id: event_id,
            entity,
            expires_at,
            version: 0,
            under_way: None,
            again: false,
        };
        self.subscriptions.add(tag, subscription);
        self.set_timer(expires_at, TimerKey::Subscription(tag));
        self.subscribed(id, tag, flow, seconds);
    }

    /// 200 and the first NOTIFY, which is the only one of who asks once.
    fn subscribed(&mut self, id: ServerId, tag: Tag, flow: Flow, seconds: u32) {
        let contact = self.ep.contact(flow);
        self.ep.respond(self.now.mono, id, 200, "", Some(tag), |w| {
            w.header(HeaderName::Contact, contact).header(HeaderName::Expires, seconds).finish()
        });
        self.ep.take_sent().for_each(drop);
        self.notify(tag, (seconds == 0).then_some("timeout"));
    }

    /// How long is granted; `None` if that has been refused.
    fn granted(&mut self, id: ServerId, request: &Message) -> Option<u32> {
        let (least, usual, most) = EXPIRES_S;
        let asked = request.number(HeaderName::Expires).unwrap_or(usual);
        if asked > 0 && asked < least {
            self.answer(id, 423, |w| w.header(HeaderName::MinExpires, least).finish());
            return None;
        }
        Some(asked.min(most))
    }

    fn answer(&mut self, id: ServerId, status: u16, add: impl FnOnce(crate::sip::wire::Writer) -> bytes::Bytes) {
        let tag = self.ep.new_tag();
        self.ep.respond(self.now.mono, id, status, "", Some(tag), add);
        self.ep.take_sent().for_each(drop);
    }

    /// SUBSCRIBE inside a subscription's dialog: it is refreshed, or given up; false if there is no such one.
    pub fn on_resubscribe(&mut self, id: ServerId, request: &Message, flow: Flow) -> bool {
        let Some(tag) = Tag::parse(request.to_tag()).filter(|tag| self.subscriptions.all.contains_key(tag)) else {
            return false;
        };
        if request.method() != Method::Subscribe {
            self.refuse(id, (405, ""), request);
            return true;
        }
        let Some((user, _)) = self.user_of(id, request, flow, "SUBSCRIBE") else { return true };
        let Some(known) = self.subscriptions.all.get_mut(&tag) else { return true };
        let fits = known.watcher == user && Package::of(request).is_none_or(|(package, _)| package == known.package);
        match known.dialog.accept(request) {
            Ok(()) if fits => known.dialog.moved(flow),
            Err(OutOfOrder::OldSequence) => {
                self.refuse(id, (500, ""), request);
                return true;
            }
            Ok(()) | Err(OutOfOrder::NotThisDialog) => {
                self.refuse(id, (481, ""), request);
                return true;
            }
        }
        let Some(seconds) = self.granted(id, request) else { return true };
        let now = self.now.mono;
        if let Some(known) = self.subscriptions.all.get_mut(&tag) {
            known.dialog.refresh_target(request);
            let before = std::mem::replace(&mut known.expires_at, now + Duration::from_secs(seconds.into()));
            let at = known.expires_at;
            self.timers.cancel(before, TimerKey::Subscription(tag));
            self.set_timer(at, TimerKey::Subscription(tag));
        }
        self.subscribed(id, tag, flow, seconds);
        true
    }

    /// Nobody has refreshed it.
    pub fn on_subscription_due(&mut self, tag: Tag) {
        self.notify(tag, Some("timeout"));
    }

    // ---- NOTIFY ----------------------------------------------------------------------------------------------------

    /// Tells a watcher the state of now; with a reason for the last time.
    fn notify(&mut self, tag: Tag, ends: Option<&str>) {
        let Some(known) = self.subscriptions.all.get_mut(&tag) else { return };
        if known.under_way.is_some() && ends.is_none() {
            known.again = true;
            return;
        }
        let body = self.body_for(tag);
        let now = self.now.mono;
        let Some(known) = self.subscriptions.all.get_mut(&tag) else { return };
        known.version = known.version.wrapping_add(1);
        let left_s = known.expires_at.since(now).as_secs();
        let state = match ends {
            Some(reason) => format!("terminated;reason={reason}"),
            None => format!("active;expires={left_s}"),
        };
        let (name, kind) = known.package.words();
        let event = if known.id.is_empty() { name.to_owned() } else { format!("{name};id={}", known.id) };
        let contact = self.ep.contact(known.dialog.flow());
        let id = self.ep.request(now, &mut known.dialog, Method::Notify, MAX_FORWARDS, |w| {
            w.header(HeaderName::Contact, contact)
                .header(HeaderName::Event, event)
                .header(HeaderName::SubscriptionState, state)
                .finish_with_body(kind, body.as_bytes())
        });
        known.under_way = Some(id);
        self.ep.take_sent().for_each(drop);
        self.add_client(id, Purpose::Notify(tag));
        if ends.is_some() {
            self.end_subscription(tag);
        }
    }

    fn end_subscription(&mut self, tag: Tag) {
        if let Some(gone) = self.subscriptions.remove(tag) {
            self.timers.cancel(gone.expires_at, TimerKey::Subscription(tag));
        }
    }

    /// The watcher has answered a NOTIFY, or has not (408, 503): who does not want it is told nothing more (RFC 6665 §4.2.2).
    pub fn on_notified(&mut self, tag: Tag, id: ClientId, status: u16) {
        let Some(known) = self.subscriptions.all.get_mut(&tag).filter(|_| status >= 200) else { return };
        if known.under_way.take_if(|known| *known == id).is_none() {
            return;
        }
        let again = std::mem::take(&mut known.again);
        if status >= 300 {
            return self.end_subscription(tag);
        }
        if again {
            self.notify(tag, None);
        }
    }

    fn body_for(&self, tag: Tag) -> String {
        let Some(known) = self.subscriptions.all.get(&tag) else { return String::new() };
        let domain = &self.config.sip.domain;
        let uri = format!("sip:{}@{domain}", known.entity);
        let lines = self.subscriptions.lines.get(&known.entity);
        match known.package {
            Package::Dialog => {
                let lines: Vec<Line> = lines.into_iter().flat_map(BTreeMap::values).cloned().collect();
                dialog_info(&uri, known.version, domain, &lines)
            }
            Package::MessageSummary => {
                let counts = self.subscriptions.mailboxes.get(&known.entity).copied().unwrap_or_default();
                message_summary(&uri, counts)
            }
            Package::Presence => {
                let now = self.now.mono;
                let published = self.subscriptions.published.get(&known.entity).filter(|p| p.expires_at > now);
                let is_there = !self.registrar.lookup(now, &known.entity).is_empty();
                let talks = lines.is_some_and(|lines| lines.values().any(|l| l.state == LineState::Confirmed));
                match published {
                    Some(p) => presence(&uri, p.open, &p.note),
                    None => presence(&uri, is_there, if talks { "On the phone" } else { "" }),
                }
            }
            Package::Reg => {
                let bindings = self.registrar.lookup(self.now.mono, &known.entity);
                let contacts = bindings.iter().enumerate().map(|(n, b)| Registered {
                    id: format!("c{n}"),
                    uri: b.contact.expose().clone(),
                    expires_s: b.expires_at.since(self.now.mono).as_secs(),
                });
                reginfo(&uri, known.version, &contacts.collect::<Vec<_>>())
            }
        }
    }

    // ---- PUBLISH ---------------------------------------------------------------------------------------------------

    /// A user says of itself whether it is reachable (RFC 3903 §6).
    pub fn on_publish(&mut self, id: ServerId, request: &Message, flow: Flow) {
        let Some((user, _)) = self.user_of(id, request, flow, "PUBLISH") else { return };
        if Package::of(request).is_none_or(|(package, _)| package != Package::Presence) {
            return self.answer(id, 489, |w| w.raw_header("Allow-Events", "presence").finish());
        }
        let about = Uri::parse(request.request_uri()).map_or(String::new(), |uri| uri.user_decoded().into_owned());
        if about != user {
            return self.refuse(id, (403, ""), request);
        }
        let Some(seconds) = self.granted(id, request) else { return };
        let now = self.now.mono;
        let held = self.subscriptions.published.get(&user).filter(|p| p.expires_at > now);
        let asked = request.header_named("SIP-If-Match").map(|value| u64::from_str_radix(value.trim_ascii(), 16).ok());
        if asked.is_some_and(|tag| held.map(|p| p.tag) != tag || tag.is_none()) {
            return self.refuse(id, (412, "Conditional Request Failed"), request);
        }
        let (open, note) = match request.body() {
            [] if asked.is_none() => return self.refuse(id, (400, "Nothing Published"), request),
            [] => held.map_or((true, String::new()), |p| (p.open, p.note.clone())),
            body if body.len() > PUBLISHED_MAX => return self.refuse(id, (413, ""), request),
            body => match std::str::from_utf8(body).ok().and_then(read_presence) {
                Some(read) => read,
                None => return self.refuse(id, (415, ""), request),
            },
        };
        let tag = self.ep.rng().next_u64();
        if let Some(before) = self.subscriptions.published.remove(&user) {
            self.timers.cancel(before.expires_at, TimerKey::Published);
        }
        if seconds > 0 {
            let expires_at = now + Duration::from_secs(seconds.into());
            self.subscriptions.published.insert(user.clone(), Published { tag, open, note, expires_at });
            self.set_timer(expires_at, TimerKey::Published);
        }
        self.answer(id, 200, |w| {
            w.raw_header("SIP-ETag", format!("{tag:016x}")).header(HeaderName::Expires, seconds).finish()
        });
        self.subscriptions.touch(&user, Package::Presence);
    }

    /// What somebody has published holds no more.
    pub fn on_published_due(&mut self) {
        let now = self.now.mono;
        let over = self.subscriptions.published.iter().filter(|(_, p)| p.expires_at <= now);
        let over: Vec<String> = over.map(|(user, _)| user.clone()).collect();
        for user in over {
            self.subscriptions.published.remove(&user);
            self.subscriptions.touch(&user, Package::Presence);
        }
    }
}
