//! Registering with trunks (RFC 3261 §10.2): one registrant a trunk.
//!
//! ```text
//!   Waiting ──due──► Asking ──2xx──► Waiting (refresh at 80–90 % of what was granted)
//!      ▲                │ 401, 407, 423: asked again at once
//!      │                │ no answer, 5xx: the next target at once
//!      └── back-off ────┘ anything else, or no target left
//! ```
//!
//! Back-off is RFC 5626 §4.5's: from 30 s, doubling, up to 30 min, so that a carrier that comes back is not met by all at once.

use super::world::{Purpose, TimerKey, World};
use crate::base::pii::Secret;
use crate::base::time::{Duration, Instant};
use crate::config::{Config, Register, Trunk};
use crate::event::Fact;
use crate::sip::auth::{Algorithm, DigestClient, Tries};
use crate::sip::dialog::Tag;
use crate::sip::transaction::ClientId;
use crate::sip::transport::{Flow, Transport};
use crate::sip::wire::{HeaderName, Message, Method, NameAddr, Uri};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// RFC 5626 §4.5: base-time and max-time when all flows fail.
const BASE_S: u64 = 30;
const MAX_S: u64 = 1_800;

/// A carrier that wants us to register more seldom than once a day is not believed.
const EXPIRES_MAX_S: u32 = 86_400;

/// Values of a Service-Route that are kept.
const ROUTES_MAX: usize = 8;

/// How long a de-registration is waited for.
const LEAVING: Duration = Duration::from_secs(2);

/// What the configuration says of one registration; another one begins anew.
#[derive(Clone, PartialEq, Debug)]
struct Wanted {
    trunk: String,
    register: Register,
    auth: Option<(String, Secret)>,
    /// In the order in which to try them.
    targets: Vec<String>,
}

impl Wanted {
    fn of(trunk: &Trunk) -> Option<Wanted> {
        let mut targets: Vec<_> = trunk.targets.iter().collect();
        targets.sort_by_key(|t| t.priority);
        Some(Wanted {
            trunk: trunk.name.clone(),
            register: trunk.register.clone()?,
            auth: trunk.auth.as_ref().map(|c| (c.username.clone(), c.password.clone())),
            targets: targets.into_iter().map(|t| t.uri.clone()).collect(),
        })
    }

    fn contact_user(&self) -> &str {
        let account = self.auth.as_ref().map_or(self.trunk.as_str(), |(name, _)| name);
        self.register.contact_user.as_deref().unwrap_or(account)
    }

    /// The address of record with a target.
    fn aor(&self, target: &str) -> String {
        let account = self.auth.as_ref().map_or_else(|| self.contact_user(), |(name, _)| name);
        let (user, domain) = account.split_once('@').unwrap_or((account, ""));
        let host = Uri::parse(target).map_or("", |uri| uri.host);
        let domain = self.register.domain.as_deref().unwrap_or(if domain.is_empty() { host } else { domain });
        format!("sip:{}@{domain}", super::dialing::escape_user(user))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Asking(ClientId),
}

struct Registrant {
    wanted: Wanted,
    state: State,
    /// The timer that stands for it, if one does.
    due: Option<Instant>,
    client: Option<DigestClient>,
    tries: Tries,
    call_id: String,
    tag: Tag,
    cseq: u32,
    /// Tells our Contacts apart, and proves that a call came over one; the same after a restart where there is a password.
    line: String,
    target: usize,
    /// Targets that have failed since the last success or back-off.
    failed: usize,
    /// Back-offs since the last success.
    failures: u32,
    /// What is asked for; a registrar may have asked for more (423).
    expires_s: u32,
    /// Granted until then, by that peer.
    held: Option<(Instant, SocketAddr)>,
    why: String,
    /// Proxies that requests to the trunk go by (RFC 3608).
    service_route: Vec<String>,
    /// It is to end.
    leaving: bool,
    /// The last REGISTER asked to hold for no time.
    said: bool,
}

/// All registrations with trunks.
#[derive(Default)]
pub struct Registrants {
    all: BTreeMap<u32, Registrant>,
    next: u32,
}

/// A registration with a trunk as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrationState {
    pub registered: bool,
    pub target: String,
    /// 0 if not registered.
    pub expires_s: u64,
    pub why: String,
}

impl Registrants {
    /// The trunk to which a request came over its registration: by the line in the Request-URI, which nobody else knows; else by
    /// the contact's user from the address with which it is registered, since some carriers drop parameters.
    pub fn by_contact(&self, uri: &Uri<'_>, source: IpAddr) -> Option<&str> {
        let line = uri.params.get("line").filter(|line| !line.is_empty());
        let user = uri.user_decoded();
        let by_line = || self.all.values().find(|r| line == Some(r.line.as_str()));
        let from = |r: &&Registrant| r.held.is_some_and(|(_, peer)| peer.ip() == source);
        let by_user = || self.all.values().filter(from).find(|r| r.wanted.contact_user() == user);
        by_line().or_else(by_user).map(|r| r.wanted.trunk.as_str())
    }

    /// Whether a user part is our Contact's on a trunk, and so says nothing about who is called.
    pub fn is_contact_user(&self, trunk: &str, user: &str) -> bool {
        self.all.values().any(|r| r.wanted.trunk == trunk && r.wanted.contact_user() == user)
    }

    /// The route to a trunk's target on which we are registered.
    pub fn service_route(&self, trunk: &str, target: &str) -> &[String] {
        let on =
            |r: &&Registrant| r.wanted.trunk == trunk && r.wanted.targets.get(r.target).is_some_and(|t| t == target);
        self.all.values().filter(|r| r.held.is_some()).find(on).map_or(&[], |r| &r.service_route)
    }

    pub fn state_of(&self, trunk: &str, now: Instant) -> Option<RegistrationState> {
        let r = self.all.values().find(|r| r.wanted.trunk == trunk && !r.leaving)?;
        Some(RegistrationState {
            registered: r.held.is_some(),
            target: r.wanted.targets.get(r.target).cloned().unwrap_or_default(),
            expires_s: r.held.map_or(0, |(until, _)| until.since(now).as_secs()),
            why: r.why.clone(),
        })
    }

    /// How many are registered now.
    pub fn held(&self) -> usize {
        self.all.values().filter(|r| r.held.is_some()).count()
    }

    /// Nothing more is to be said to any registrar.
    pub fn have_left(&self) -> bool {
        !self.all.values().any(|r| r.leaving)
    }
}

impl World {
    /// Brings the registrations to what the configuration wants: new ones begin within a second, others end.
    pub fn register_trunks(&mut self, config: &Config) {
        let mut wanted: Vec<Wanted> = config.trunks.iter().filter_map(Wanted::of).collect();
        if self.draining {
            wanted.clear();
        }
        let staying = |r: &Registrant, wanted: &[Wanted]| wanted.iter().position(|w| *w == r.wanted && !r.leaving);
        let ids: Vec<u32> = self.registrants.all.keys().copied().collect();
        for id in ids {
            let at = self.registrants.all.get(&id).and_then(|r| staying(r, &wanted));
            match at {
                Some(at) => drop(wanted.remove(at)),
                None => self.leave_registrar(id),
            }
        }
        for wanted in wanted {
            self.begin_registering(wanted);
        }
    }

    fn begin_registering(&mut self, wanted: Wanted) {
        let line = match &wanted.auth {
            Some((_, password)) => Algorithm::Sha256.ha1(&wanted.trunk, "line", password.expose()),
            None => format!("{:016x}", self.ep.rng().next_u64()),
        };
        let client = wanted.auth.as_ref().map(|(name, password)| {
            let username = name.split_once('@').map_or(name.as_str(), |(user, _)| user);
            DigestClient::new(username, password.clone())
        });
        let registrant = Registrant {
            state: State::Waiting,
            due: None,
            client,
            tries: Tries::default(),
            call_id: self.ep.new_call_id(),
            tag: self.ep.new_tag(),
            cseq: 0,
            line: line.chars().take(16).collect(),
            target: 0,
            failed: 0,
            failures: 0,
            expires_s: wanted.register.expires.as_secs() as u32,
            held: None,
            why: "not tried yet".to_owned(),
            service_route: Vec::new(),
            leaving: false,
            said: false,
            wanted,
        };
        let id = self.registrants.next;
        self.registrants.next = id.wrapping_add(1);
        self.registrants.all.insert(id, registrant);
        // Not all in one burst.
        let after = Duration::from_micros(self.ep.rng().below(1_000_000));
        self.schedule_register(id, after);
    }

    fn schedule_register(&mut self, id: u32, after: Duration) {
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        let (at, key) = (self.now.mono + after, TimerKey::Register(id));
        if let Some(old) = r.due.replace(at) {
            self.timers.cancel(old, key);
        }
        self.timers.set(at, key);
    }

    pub fn on_register_due(&mut self, id: u32) {
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        r.due = None;
        if r.leaving {
            self.registrants.all.remove(&id);
            return;
        }
        (r.tries, r.failed) = (Tries::default(), 0);
        self.send_register(id);
    }

    /// Sends the next REGISTER to the target whose turn it is; what cannot be sent has failed.
    fn send_register(&mut self, id: u32) {
        let Some(r) = self.registrants.all.get(&id) else { return };
        let Some(target) = r.wanted.targets.get(r.target).cloned() else { return };
        let ways = self.ep.ways(&target, Transport::Udp);
        if ways.flows.is_empty() && !ways.is_complete && !r.leaving {
            return self.schedule_register(id, super::names::SOON);
        }
        let Some(flow) = ways.flows.first().copied() else {
            return self.register_failed(id, 503, "its host name does not resolve, or no listener fits".into(), None);
        };
        let mut rng = self.ep.rng().fork();
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        r.cseq += 1;
        r.said = r.leaving;
        let uri = registrar_uri(&target, r.wanted.register.domain.as_deref());
        let (aor, expires_s) = (r.wanted.aor(&target), if r.leaving { 0 } else { r.expires_s });
        let (call_id, tag, cseq) = (r.call_id.clone(), r.tag, r.cseq);
        let user = super::dialing::escape_user(r.wanted.contact_user());
        let contact = self.ep.contact(flow).replacen("<sip:", &format!("<sip:{user}@"), 1);
        let contact = contact.replacen('>', &format!(";line={}>", r.line), 1);
        let credentials = match &mut r.client {
            Some(client) => client.authorize(&mut rng, Method::Register.as_str(), &uri, b""),
            None => Vec::new(),
        };
        let client = self.ep.request_outside(self.now.mono, flow, Method::Register, &uri, |w| {
            let w = w
                .header(HeaderName::From, format_args!("<{aor}>;tag={tag}"))
                .header(HeaderName::To, format_args!("<{aor}>"))
                .header(HeaderName::CallId, &call_id)
                .header(HeaderName::CSeq, format_args!("{cseq} REGISTER"))
                .header(HeaderName::Contact, &contact)
                .header(HeaderName::Expires, expires_s)
                .header(HeaderName::Supported, "path");
            credentials.iter().fold(w, |w, (name, value)| w.header(*name, value)).finish()
        });
        if let Some(r) = self.registrants.all.get_mut(&id) {
            r.state = State::Asking(client);
        }
        self.add_client(client, Purpose::Register(id));
    }

    pub fn on_register_response(&mut self, id: u32, client: ClientId, response: &Message, flow: Flow) {
        let status = response.status();
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        if r.state != State::Asking(client) || status < 200 {
            return;
        }
        let answered = format!("REGISTER was answered with {status} {}", response.reason());
        match status {
            200..300 if r.leaving => self.left_or_leave(id),
            200..300 => self.registered_with(id, response, flow),
            401 | 407 => match r.client.as_mut().map(|digest| digest.challenged(response, &mut r.tries)) {
                Some(Ok(())) => self.send_register(id),
                Some(Err(_)) => self.register_failed(id, status, "our credentials were refused".into(), None),
                None => self.register_failed(id, status, "it wants credentials: `auth` has none".into(), None),
            },
            423 => match response.number(HeaderName::MinExpires) {
                Some(min) if min > r.expires_s && min <= EXPIRES_MAX_S && !r.leaving => {
                    r.expires_s = min;
                    self.send_register(id);
                }
                _ => self.register_failed(id, status, answered, None),
            },
            _ => self.register_failed(id, status, answered, response.number(HeaderName::RetryAfter)),
        }
    }

    /// No answer (408), or the transport failed (503).
    pub fn on_register_unanswered(&mut self, id: u32, client: ClientId, status: u16) {
        let asking = self.registrants.all.get(&id).is_some_and(|r| r.state == State::Asking(client));
        if asking {
            let why = if status == 408 { "REGISTER was not answered" } else { "its transport failed" };
            self.register_failed(id, status, why.to_owned(), None);
        }
    }

    fn registered_with(&mut self, id: u32, response: &Message, flow: Flow) {
        let spread = self.ep.rng().below(11);
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        let granted_s = granted(response, &r.line).unwrap_or(r.expires_s).clamp(1, EXPIRES_MAX_S);
        let is_new = r.held.is_none();
        let granted = Duration::from_secs(u64::from(granted_s));
        r.held = Some((self.now.mono + granted, flow.peer));
        r.service_route = response.headers(HeaderName::ServiceRoute).take(ROUTES_MAX).map(str::to_owned).collect();
        (r.state, r.failures, r.failed) = (State::Waiting, 0, 0);
        r.why = "REGISTER was answered".to_owned();
        let (trunk, target) = (r.wanted.trunk.clone(), r.wanted.targets.get(r.target).cloned().unwrap_or_default());
        let refresh = Duration::from_millis(u64::from(granted_s) * (800 + spread * 10));
        self.schedule_register(id, refresh);
        if is_new {
            self.fact(Fact::TrunkRegistered { trunk, target, expires_s: granted_s });
        }
    }

    fn register_failed(&mut self, id: u32, status: u16, why: String, retry_after_s: Option<u32>) {
        let jitter = self.ep.rng().below(501);
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        r.state = State::Waiting;
        if r.leaving {
            return self.forget_registrant(id);
        }
        let is_far_systems = status == 408 || (500..600).contains(&status);
        let uri = r.wanted.targets.get(r.target).cloned().unwrap_or_default();
        // Another of the target's addresses is tried before another target (RFC 3263 §4.3); each that fails is shunned.
        if matches!(status, 408 | 503) && self.ep.has_fresh_way(&uri, Transport::Udp) {
            return self.send_register(id);
        }
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        r.failed += 1;
        let more = is_far_systems && r.failed < r.wanted.targets.len();
        let lost = r.held.take().is_some() || r.why != why;
        r.why.clone_from(&why);
        let (trunk, target) = (r.wanted.trunk.clone(), r.wanted.targets.get(r.target).cloned().unwrap_or_default());
        r.target = if more { (r.target + 1) % r.wanted.targets.len() } else { 0 };
        if !more {
            r.failures = r.failures.saturating_add(1);
        }
        let longest_s = BASE_S.saturating_mul(1 << r.failures.min(10)).min(MAX_S);
        self.counters.registers_failed += 1;
        if lost {
            self.fact(Fact::TrunkUnregistered { trunk, target, why });
        }
        if more {
            return self.send_register(id);
        }
        let wait = Duration::from_millis(longest_s * (500 + jitter));
        let told = Duration::from_secs(u64::from(retry_after_s.unwrap_or(0)).min(MAX_S));
        self.schedule_register(id, wait.max(told));
    }

    /// Ends a registration: told to the registrar if it may hold one.
    fn leave_registrar(&mut self, id: u32) {
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        if r.leaving {
            return;
        }
        r.leaving = true;
        let (held, asking) = (r.held.is_some(), r.state != State::Waiting);
        if !held && !asking {
            return self.forget_registrant(id);
        }
        self.schedule_register(id, LEAVING);
        // One request at a time (RFC 3261 §10.2): the answer to the one under way is followed by ours.
        if !asking {
            self.left_or_leave(id);
        }
    }

    /// Says goodbye if that has not been said; else it is done.
    fn left_or_leave(&mut self, id: u32) {
        let Some(r) = self.registrants.all.get_mut(&id) else { return };
        if r.said {
            return self.forget_registrant(id);
        }
        r.held = None;
        r.tries = Tries::default();
        let (trunk, target) = (r.wanted.trunk.clone(), r.wanted.targets.get(r.target).cloned().unwrap_or_default());
        self.fact(Fact::TrunkUnregistered { trunk, target, why: "unregistered".into() });
        self.send_register(id);
    }

    fn forget_registrant(&mut self, id: u32) {
        let Some(r) = self.registrants.all.remove(&id) else { return };
        if let Some(at) = r.due {
            self.timers.cancel(at, TimerKey::Register(id));
        }
    }
}

/// Request-URI of a REGISTER: the domain (RFC 3261 §10.2), or the target without its user.
fn registrar_uri(target: &str, domain: Option<&str>) -> String {
    let scheme = target.split(':').next().unwrap_or("sip");
    match (domain, target.rsplit_once('@')) {
        (Some(domain), _) => format!("{scheme}:{domain}"),
        (None, Some((_, host))) => format!("{scheme}:{host}"),
        (None, None) => target.to_owned(),
    }
}

/// The seconds that a 200 grants our Contact: its own, or the header's (RFC 3261 §10.2.4).
fn granted(response: &Message, line: &str) -> Option<u32> {
    let mut contacts = response.headers(HeaderName::Contact).filter_map(NameAddr::parse);
    let own = contacts.find(|c| c.parsed_uri().is_some_and(|uri| uri.params.get("line") == Some(line)));
    let only = || response.headers(HeaderName::Contact).next().and_then(NameAddr::parse);
    let expires = own.or_else(only).and_then(|c| c.params.get("expires")?.parse().ok());
    expires.or_else(|| response.number(HeaderName::Expires))
}
