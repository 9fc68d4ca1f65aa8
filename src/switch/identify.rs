//! Who is calling: a trunk by its source or its credentials, a user by digest, or nobody that we know.

use super::guard::Offence;
use super::world::World;
use crate::b2bua::leg::Peer;
use crate::config::UserSecret;
use crate::event::Fact;
use crate::sip::auth::{Algorithm, Credential, Denied, Kind, Reason};
use crate::sip::transaction::{ServerId, stateless_tag};
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Uri, Writer};
use bytes::Bytes;

/// A caller that may call, and where its calls enter the dialplan.
pub struct Known {
    pub peer: Peer,
    pub context: String,
}

impl World {
    /// Finds out who sent an INVITE or MESSAGE; `None` if it has been challenged or refused.
    ///
    /// Credentials come first, since a phone and a trunk may share an address; then a phone that is registered on this very flow, or
    /// calls as a user of our domain, is challenged; then the trunk over whose registration it came, then the one whose source it is; then `sip.anonymous_context`.
    pub fn identify(&mut self, id: ServerId, request: &Message, flow: Flow) -> Option<Known> {
        if let Some(at_domain) = self.identify_at_domain(id, request, flow) {
            return at_domain;
        }
        match self.verify(request) {
            Ok(known) => {
                self.proven(flow);
                return Some(known);
            }
            // Another realm's credentials, left in by whom the call came through, are none.
            Err(denied) if denied.reason == Reason::Absent => {}
            Err(denied) => {
                self.deny(id, flow, request.method().as_str(), denied);
                return None;
            }
        }
        if let Some(known) = self.came_by_registration(request, flow) {
            return Some(known);
        }
        if !self.claims_to_be_user(request, flow) {
            if let Some(trunk) = self.trunk_of_request(flow.peer.ip(), request) {
                return Some(Known { peer: Peer::Trunk(trunk.name.clone()), context: trunk.context.clone() });
            }
            if let Some(context) = &self.config.sip.anonymous_context {
                return Some(Known { peer: Peer::Uri(flow.to_string()), context: context.clone() });
            }
        }
        self.offence(flow, Offence::Unproven);
        self.challenge(id, false);
        None
    }

    /// The trunk whose registration with us as client brought the request here.
    fn came_by_registration(&self, request: &Message, flow: Flow) -> Option<Known> {
        let uri = Uri::parse(request.request_uri())?;
        let trunk = self.trunks.get(self.registrants.by_contact(&uri, flow.peer.ip())?)?;
        Some(Known { peer: Peer::Trunk(trunk.name.clone()), context: trunk.context.clone() })
    }

    /// The request comes from where a user is registered, or its From is a user's in our domain.
    fn claims_to_be_user(&self, request: &Message, flow: Flow) -> bool {
        let Some(from) = request.from().and_then(|f| f.parsed_uri()) else { return false };
        let Some(user) = self.user(&from.user_decoded()) else { return false };
        let ours = from.host.eq_ignore_ascii_case(&self.config.sip.domain)
            || from.ip().is_some_and(|ip| self.ep.is_us(ip, from.port));
        ours || self.is_registered_on(&user.name, flow)
    }

    /// Checks digest credentials against users and trunks.
    pub fn verify(&mut self, request: &Message) -> Result<Known, Denied> {
        let (config, trunks) = (&self.config, &self.trunks);
        let places = &self.user_places;
        let user = |name: &str| config.users.get(*places.get(name)?);
        let found =
            self.challenger.verify(self.now.mono, Kind::Www, request, |name| match user(name).map(|u| &u.secret) {
                Some(UserSecret::Password(password)) => Some(Credential::Password(password)),
                Some(UserSecret::Ha1(ha1)) => Some(Credential::Ha1(Algorithm::Md5, ha1)),
                None => trunks.by_username(name)?.inbound_auth.as_ref().map(|c| Credential::Password(&c.password)),
            })?;
        if let Some(user) = user(&found.name) {
            return Ok(Known { peer: Peer::User(user.name.clone()), context: user.context.clone() });
        }
        let trunk = trunks.by_username(&found.name).ok_or(Denied { reason: Reason::UnknownUser, stale: false })?;
        Ok(Known { peer: Peer::Trunk(trunk.name.clone()), context: trunk.context.clone() })
    }

    /// Refuses credentials: challenged anew, so that a wrong password and an unknown user look the same.
    pub fn deny(&mut self, id: ServerId, flow: Flow, what: &'static str, denied: Denied) {
        if denied.reason == Reason::Absent {
            self.offence(flow, Offence::Unproven);
        } else if !denied.stale {
            self.counters.messages_denied += 1;
            self.offence(flow, Offence::Credentials);
            self.tell(Fact::Denied { source: flow.peer, what, why: denied.reason.as_str() });
        }
        self.challenge(id, denied.stale);
    }

    /// 401 with our challenges, without state of ours (RFC 3261 §26.3.2.4).
    pub fn challenge(&mut self, id: ServerId, stale: bool) {
        let challenges = self.challenger.challenge(self.now.mono, stale);
        self.answer_once(id, 401, "", |w| with_challenges(w, &challenges));
    }

    /// Answers what nobody has vouched for and keeps nothing of it: its retransmission is answered like a new request.
    pub fn answer_once(&mut self, id: ServerId, status: u16, reason: &str, add: impl FnOnce(Writer) -> Bytes) {
        let Some((request, flow)) = self.ep.transactions.server_request(id) else { return };
        let writer = Writer::response_to(request, status, reason, &stateless_tag(request), flow.peer);
        let bytes = add(writer.header(HeaderName::Server, &self.config.sip.user_agent));
        self.ep.transactions.respond_once(id, bytes);
    }
}

fn with_challenges(mut writer: Writer, challenges: &[String]) -> Bytes {
    for challenge in challenges {
        writer = writer.header(HeaderName::WwwAuthenticate, challenge);
    }
    writer.finish()
}
