//! What a 3xx of somebody called means (RFC 3261 §8.1.3.4, §21.3): followed, passed to the caller, or no more than a refusal.

use super::call::{Call, Doing};
use super::dialing::{Attempt, redirected_attempts};
use super::divert::{Diverted, Forwarded, Why};
use super::world::World;
use crate::b2bua::hunt::Track;
use crate::b2bua::leg::Peer;
use crate::config::Redirects;
use crate::dialplan::CallFacts;
use crate::event::{Class, Direction, Ending, Side, What};
use crate::sip::wire::Uri;
use crate::verb::{Action, Next};

/// How often one dial is sent on, at most.
pub const HOPS_MAX: usize = 5;

impl Call {
    /// A leg was refused with 3xx: whom to call instead, by the policy of who said so. True if the call is over.
    pub fn on_redirected(&mut self, w: &mut World, index: u8, status: u16) -> bool {
        let Some(leg) = self.legs.get(usize::from(index)) else { return false };
        let (peer, contacts) = (leg.peer.clone(), leg.contacts().to_vec());
        let policy = match &peer {
            Peer::User(name) => w.user(name).map(|u| u.redirects),
            Peer::Trunk(name) => w.trunks.get(name).map(|t| t.manners.redirects),
            Peer::Uri(_) => None,
        };
        match policy.unwrap_or_default() {
            Redirects::Refuse => {}
            Redirects::Pass if self.direction == Direction::Inbound && self.answered.is_none() => {
                if let Some(caller) = self.legs.first_mut() {
                    caller.set_contacts(contacts);
                }
                self.finish(w, Ending::new(Class::Callee, "redirected", status));
                return true;
            }
            Redirects::Pass => self.told_at(w, index, "the caller has been answered: the redirection is not passed on"),
            Redirects::Follow => self.follow_contacts(w, index, &peer, &contacts),
        }
        false
    }

    /// The first of the contacts that may be called is called next.
    fn follow_contacts(&mut self, w: &mut World, index: u8, peer: &Peer, contacts: &[String]) {
        for contact in contacts {
            let key = format!("{} {contact}", peer.as_str());
            if self.redirected.len() >= HOPS_MAX {
                return self.told_at(w, index, "redirected too often");
            }
            if self.redirected.contains(&key) {
                self.told_at(w, index, "redirected in a circle");
                continue;
            }
            self.redirected.push(key);
            let tracks = match peer {
                Peer::User(name) => self.forwarded(w, index, name, contact),
                Peer::Trunk(name) => Ok(match redirected_attempts(w, name, contact) {
                    attempts if attempts.is_empty() => Vec::new(),
                    attempts => vec![Track::new(attempts)],
                }),
                Peer::Uri(_) => return,
            };
            match tracks {
                Ok(tracks) if !tracks.is_empty() => {
                    self.told_at(w, index, &format!("redirected to {contact}"));
                    if let (Peer::User(name), Some(uri)) = (peer, Uri::parse(contact)) {
                        self.note_forwarded(w, name, &uri.user_decoded(), Why::Deflected);
                    }
                    if let Doing::Dialing(dialing) = &mut self.doing {
                        dialing.add(tracks);
                    }
                    return;
                }
                Ok(_) => self.told_at(w, index, &format!("redirected to {contact}: nowhere to call")),
                Err(why) => self.told_at(w, index, &format!("redirected to {contact}: {why}")),
            }
        }
    }

    /// Whom the dialplan has a user's phones call for a contact of theirs: they forward to nobody whom they may not call.
    fn forwarded(
        &mut self,
        w: &mut World,
        index: u8,
        name: &str,
        contact: &str,
    ) -> Result<Vec<Track<Attempt>>, String> {
        let uri = Uri::parse(contact).ok_or("no address")?;
        let domain = &w.config.sip.domain;
        let ours = uri.host.eq_ignore_ascii_case(domain) || uri.ip().is_some_and(|ip| w.ep.is_us(ip, uri.port));
        if !ours && !uri.is_tel() {
            return Err("not in our domain".to_owned());
        }
        let to = uri.user_decoded().into_owned();
        if let Doing::Dialing(dialing) = &self.doing {
            self.diverting = dialing.forwarded(index).map_or_else(Vec::new, |f| f.by.clone());
        }
        self.diverting.push(Diverted { user: name.to_owned(), why: Why::Deflected });
        let planned = self.routed(w, name, &to);
        self.diverting.clear();
        planned
    }

    /// Whom the dialplan has a user of ours call for a number.
    pub fn routed(&mut self, w: &mut World, name: &str, to: &str) -> Result<Vec<Track<Attempt>>, String> {
        let context = w.user(name).map(|u| u.context.clone()).unwrap_or_default();
        let header = |_: &str| None;
        let facts = CallFacts {
            from: &self.from,
            from_name: &self.from_name,
            to,
            trunk: None,
            user: Some(name),
            header: &header,
            at: w.now.wall,
            proof: Default::default(),
        };
        let mut taken = w.dialplan.route(&context, &facts)?;
        match taken.script.next() {
            Next::Do { action: Action::Dial(dial), .. } => {
                let mut tracks: Vec<Track<Attempt>> = self.plan(w, &dial).into_iter().flatten().collect();
                Forwarded::mark(&mut tracks, &self.diverting, &dial);
                Ok(tracks)
            }
            _ => Err(format!("rule \"{}\" does not begin with a dial", taken.rule)),
        }
    }

    fn told_at(&mut self, w: &World, index: u8, text: &str) {
        self.note(w, Side::Leg(index), What::Note(text.into()));
    }
}
