//! REGISTER: users' phones say where they are.

use super::guard::Offence;
use super::io::RegistrationView;
use super::subscribe::Package;
use super::world::World;
use crate::b2bua::leg::Peer;
use crate::event::Fact;
use crate::sip::auth::{Denied, Reason};
use crate::sip::registrar::{Change, Gone};
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;
use crate::sip::wire::Message;

impl World {
    /// A user proves to be the one whose address of record To names, and binds contacts to it (RFC 3261 §10.3).
    pub fn on_register(&mut self, id: ServerId, request: &Message, flow: Flow) {
        if self.register_at_domain(id, request, flow) {
            return;
        }
        let aor = match self.verify(request) {
            Ok(known) => match known.peer {
                Peer::User(name) => {
                    self.proven(flow);
                    name
                }
                // A trunk's credentials do not make a phone.
                _ => return self.refuse(id, (403, ""), request),
            },
            Err(denied) => return self.deny(id, flow, "REGISTER", denied),
        };
        let asked = request.to().and_then(|to| to.parsed_uri()).map(|uri| uri.user_decoded().into_owned());
        if asked.as_deref() != Some(aor.as_str()) {
            let denied = Denied { reason: Reason::UnknownUser, stale: false };
            self.offence(flow, Offence::Credentials);
            self.tell(Fact::Denied {
                source: flow.peer,
                what: "REGISTER for another user",
                why: denied.reason.as_str(),
            });
            self.counters.messages_denied += 1;
            return self.refuse(id, (403, ""), request);
        }
        self.bind(id, &aor, request, flow);
    }

    /// Binds the contacts of a REGISTER whose sender has proven to be it.
    pub fn bind(&mut self, id: ServerId, aor: &str, request: &Message, flow: Flow) {
        let result = self.registrar.register(self.now.mono, aor, request, flow, self.ep.rng());
        let tag = self.ep.new_tag();
        match result {
            Ok(reply) => {
                self.ep.respond(self.now.mono, id, 200, "", Some(tag), |w| {
                    reply.headers().fold(w, |w, (name, value)| w.header(name, value)).finish()
                });
            }
            Err(fault) => {
                self.ep.respond(self.now.mono, id, fault.status, fault.reason, Some(tag), |w| {
                    fault.headers.iter().fold(w, |w, (name, value)| w.header(*name, value)).finish()
                });
            }
        }
        self.ep.take_sent().for_each(drop);
    }

    /// Turns what became of bindings into facts.
    pub fn drain_registrar(&mut self) {
        while let Some(change) = self.registrar.poll() {
            match change {
                Change::Added { aor, id } => {
                    self.registration_changed(&aor);
                    let Some((_, binding)) = self.registrar.get(id) else { continue };
                    let (contact, source) = (binding.contact.expose().clone(), binding.flow.peer);
                    let expires_s = binding.expires_at.since(self.now.mono).as_secs() as u32;
                    self.fact(Fact::Registered { aor, contact, source, expires_s });
                }
                Change::Gone { aor, binding, why, .. } => {
                    self.registration_changed(&aor);
                    let why = match why {
                        Gone::Unregistered => "unregistered",
                        Gone::Expired => "expired",
                        Gone::FlowClosed => "connection closed",
                        Gone::Removed => "removed",
                    };
                    self.fact(Fact::Unregistered { aor, contact: binding.contact.expose().clone(), why });
                }
            }
        }
    }

    fn registration_changed(&mut self, user: &str) {
        self.subscriptions.touch(user, Package::Reg);
        self.subscriptions.touch(user, Package::Presence);
    }

    /// True if a binding of the user came over this very flow.
    pub fn is_registered_on(&self, user: &str, flow: Flow) -> bool {
        self.registrar
            .lookup(self.now.mono, user)
            .iter()
            .any(|b| b.flow.peer == flow.peer && b.flow.transport == flow.transport)
    }

    pub fn registrations(&self) -> Vec<RegistrationView> {
        let view = |(aor, _, binding): (&str, _, &crate::sip::registrar::Binding)| RegistrationView {
            user: aor.to_owned(),
            contact: binding.contact.expose().clone(),
            source: binding.flow.peer,
            transport: binding.flow.transport.as_str(),
            expires_s: binding.expires_at.since(self.now.mono).as_secs(),
            user_agent: binding.user_agent.to_string(),
        };
        self.registrar.iter().map(view).collect()
    }
}
