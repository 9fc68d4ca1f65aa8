//! SIP domains that the REST API keeps: phones call `sip:x@domain` and register there, proven by the lists that are mapped on it.
//!
//! The realm of digests is `sip.domain` of the file, for all domains alike: a password is stored as its HA1 before anybody knows on
//! which domains its list will be mapped. A domain of the file is never one of these: the file wins.

use super::Switch;
use super::dialing::{Attempt, contacts_of};
use super::guard::Offence;
use super::identify::Known;
use super::settings::{Answering, Onward, answering};
use super::world::World;
use crate::b2bua::hunt::Track;
use crate::b2bua::leg::Peer;
use crate::base::pii::Secret;
use crate::base::time::Wall;
use crate::config::Network;
use crate::event::Fact;
use crate::sip::auth::{Algorithm, Credential, Denied, Kind, Reason};
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;
use crate::sip::wire::{Message, Uri};
use crate::verb::DialRecord;
use crate::web::Address;
use std::collections::BTreeMap;
use std::sync::Arc;

/// H(username:realm:password) of each user of the lists that are mapped; `None`: no list is.
pub type Users = Option<BTreeMap<String, Secret>>;

/// Calls that are let out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dials {
    pub record: Option<DialRecord>,
}

/// One domain, with all that its lists say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DomainSetting {
    /// `SD…`; the context of its calls, too.
    pub sid: String,
    /// In lower case.
    pub name: String,
    pub voice: Option<Address>,
    /// Its calls go on to the number that they name, by the files' trunks: it is where a trunk of the REST API calls us.
    pub dials: Option<Dials>,
    pub fallback: Option<Address>,
    pub status: Option<Address>,
    /// Phones may register.
    pub registers: bool,
    /// Who may call. With `networks` too, both must hold.
    pub calls: Users,
    pub registrations: Users,
    /// Sources from which calls are taken; `None`: no list of them is mapped.
    pub networks: Option<Vec<Network>>,
}

fn host_of(uri: &str) -> Option<String> {
    Uri::parse(uri).map(|uri| uri.host.to_ascii_lowercase())
}

fn from_user(request: &Message) -> String {
    let from = request.from().and_then(|from| from.parsed_uri());
    from.map_or(String::new(), |uri| uri.user_decoded().into_owned())
}

impl Switch {
    /// What is asked of a domain's other than calls and registrations is not known there.
    pub(super) fn refuse_at_domain(&mut self, id: ServerId, request: &Message) -> bool {
        let is_there = self.world.domain_named(request).is_some();
        if is_there {
            self.world.refuse_once(id, (489, ""), request);
        }
        is_there
    }
}

impl World {
    /// The domain that a Request-URI names, unless it is the file's.
    fn domain_named(&self, request: &Message) -> Option<Arc<DomainSetting>> {
        if self.settings.domains.is_empty() {
            return None;
        }
        self.settings.domains.get(&host_of(request.request_uri())?).cloned()
    }

    /// The domain whose calls have this context.
    pub fn domain_of_context(&self, context: &str) -> Option<&Arc<DomainSetting>> {
        self.settings.domains.values().find(|domain| domain.sid == context)
    }

    /// Finds out who calls a domain; `None`: it is none of ours; `Some(None)`: refused or challenged.
    pub fn identify_at_domain(&mut self, id: ServerId, request: &Message, flow: Flow) -> Option<Option<Known>> {
        let domain = self.domain_named(request)?;
        let is_near = domain.networks.as_ref().map(|all| all.iter().any(|net| net.contains(flow.peer.ip())));
        if is_near == Some(false) || (is_near.is_none() && domain.calls.is_none()) {
            self.offence(flow, Offence::Unproven);
            let why =
                if is_near.is_none() { "nothing is mapped on the domain" } else { "no address of the domain's lists" };
            self.tell(Fact::Denied { source: flow.peer, what: request.method().as_str(), why });
            self.refuse_once(id, (403, ""), request);
            return Some(None);
        }
        let user = match &domain.calls {
            None => from_user(request),
            Some(users) => match self.proven_among(users, request) {
                Ok(name) => name,
                Err(denied) => {
                    self.deny(id, flow, request.method().as_str(), denied);
                    return Some(None);
                }
            },
        };
        self.proven(flow);
        let peer = Peer::Uri(format!("sip:{user}@{}", domain.name));
        Some(Some(Known { peer, context: domain.sid.clone() }))
    }

    fn proven_among(&mut self, users: &BTreeMap<String, Secret>, request: &Message) -> Result<String, Denied> {
        let known = |name: &str| Some(Credential::Ha1(Algorithm::Md5, users.get(name)?));
        self.challenger.verify(self.now.mono, Kind::Www, request, known).map(|user| user.name)
    }

    /// A REGISTER at a domain binds `user@domain`; false: the Request-URI names none of ours.
    pub fn register_at_domain(&mut self, id: ServerId, request: &Message, flow: Flow) -> bool {
        let Some(domain) = self.domain_named(request) else { return false };
        let Some(users) = domain.registrations.as_ref().filter(|_| domain.registers) else {
            self.offence(flow, Offence::Unproven);
            self.refuse_once(id, (403, ""), request);
            return true;
        };
        match self.proven_among(users, request) {
            Err(denied) => self.deny(id, flow, "REGISTER", denied),
            Ok(user) => {
                self.proven(flow);
                let asked = request.to().and_then(|to| to.parsed_uri()).map(|uri| uri.user_decoded().into_owned());
                if asked.as_deref() == Some(user.as_str()) {
                    self.bind(id, &format!("{user}@{}", domain.name), request, flow);
                } else {
                    self.deny(id, flow, "REGISTER", Denied { reason: Reason::UnknownUser, stale: false });
                }
            }
        }
        true
    }

    /// Phones that are registered as a URI's user at one of the domains; `None`: its host is none of ours.
    pub fn domain_tracks(&mut self, uri: &str) -> Option<Vec<Track<Attempt>>> {
        let parsed = Uri::parse(uri)?;
        let domain = self.settings.domains.get(&parsed.host.to_ascii_lowercase())?;
        let aor = format!("{}@{}", parsed.user_decoded(), domain.name);
        Some(contacts_of(self, &aor, &Peer::Uri(format!("sip:{aor}")), None))
    }

    /// The application of a domain's calls.
    pub fn domain_answers(&self, context: &str, to: &str, at: Wall) -> Option<Answering> {
        let domain = self.domain_of_context(context)?;
        if let Some(Dials { record }) = domain.dials {
            // A number of ours is called here.
            return self.number_for(to, at).or_else(|| {
                let script = Onward { sid: &domain.sid, to, trunks: &[], disaster: None, record }.script(at);
                let why = format!("no rule of the dialplan takes it; the trunk {} may call out", domain.sid);
                Some(Answering { script, rule: domain.sid.clone(), why, status: None })
            });
        }
        let (voice, fallback) = (domain.voice.as_ref()?, domain.fallback.as_ref());
        Some(answering(&domain.sid, "domain", (voice, fallback, domain.status.as_ref()), at))
    }
}
