//! Fax (ITU-T T.38): a party offers an image stream in the place of its audio; the other party is asked with the same terms, and
//! its answer is the answer. Both sides' UDPTL then passes from port to port as it is, until one of them offers audio again.

use super::{Port, Session, Unacceptable, parse};
use crate::b2bua::endpoint::Body;
use crate::b2bua::preference::for_offer;
use crate::media::command::LegState;
use crate::sdp::{self, FaxTerms, SessionDescription};
use std::net::SocketAddr;

#[derive(Debug, Default)]
pub(super) struct Fax {
    /// The peer's offer of fax, while the other party is asked.
    offered: Option<Box<SessionDescription>>,
    /// Our own, while the peer has not answered.
    asked: Option<Box<SessionDescription>>,
    agreed: Option<Box<Agreed>>,
}

#[derive(Debug)]
struct Agreed {
    remote: SocketAddr,
    /// The peer's.
    terms: FaxTerms,
    /// Our description of speech, which comes back after the fax.
    speech: SessionDescription,
}

impl Fax {
    pub(super) const fn is_on(&self) -> bool {
        self.agreed.is_some()
    }
}

/// Whether an offer asks for fax and nothing else.
pub fn is_fax(body: &Body) -> bool {
    parse(body).is_ok_and(|description| sdp::is_fax(&description))
}

impl Session {
    pub const fn is_fax(&self) -> bool {
        self.fax.is_on()
    }

    /// Keeps the peer's offer of fax until [`Session::answer_fax`]; its terms, for the other party.
    pub fn take_fax_offer(&mut self, body: &Body) -> Result<FaxTerms, Unacceptable> {
        let offer = parse(body)?;
        let stream = self.may_fax().and_then(|own| sdp::fax_of(&offer, own).map_err(|f| Unacceptable(f.status())))?;
        self.fax.offered = Some(Box::new(offer));
        Ok(stream.terms)
    }

    /// Our address, where there is speech that a fax can take the place of. It is not protected, so nobody who must be gets it.
    fn may_fax(&self) -> Result<SocketAddr, Unacceptable> {
        match (&self.port, &self.agreed) {
            (Port::Open(_, own), Some(_)) if self.security.takes_plain() && self.ours.is_some() => Ok(*own),
            _ => Err(Unacceptable(488)),
        }
    }

    /// The offer of fax to this peer, with the other party's terms. `None` where it can't be made.
    pub fn offer_fax(&mut self, terms: &FaxTerms) -> Option<Body> {
        if self.asked || self.offered.is_some() || self.proposed.is_some() {
            return None;
        }
        let own = self.may_fax().ok()?;
        let offer = sdp::offer_fax(self.ours.as_deref()?, own, terms);
        let body = Body::sdp(offer.to_string());
        self.fax.asked = Some(Box::new(offer));
        Some(body)
    }

    /// The peer's answer to our offer of fax; `None` is a refusal, and all stays as it was. Its terms, for the other party.
    pub fn take_fax_answer(&mut self, body: Option<&Body>) -> Option<FaxTerms> {
        let asked = self.fax.asked.take()?;
        let own = self.may_fax().ok()?;
        let answer = body.and_then(|b| parse(b).ok()).and_then(|answer| sdp::fax_of(&answer, own).ok());
        let Some(stream) = answer else {
            // What we say next differs from what was refused, so its version does (RFC 3264 §8).
            let version = asked.origin.version.parse::<u64>().unwrap_or(0);
            self.ours.as_mut()?.origin.version = version.wrapping_add(1).to_string();
            return None;
        };
        self.begin_fax(*asked, stream.remote, stream.terms.clone());
        Some(stream.terms)
    }

    /// The answer to the peer's offer of fax, with the terms of the other party.
    pub fn answer_fax(&mut self, terms: &FaxTerms) -> Result<Body, Unacceptable> {
        let (own, offer) = (self.may_fax()?, self.fax.offered.take().ok_or(Unacceptable(488))?);
        let stream = sdp::fax_of(&offer, own).map_err(|fault| Unacceptable(fault.status()))?;
        let ours = self.ours.as_deref().ok_or(Unacceptable(488))?;
        let answer = sdp::answer_fax(&offer, stream.stream, ours, own, terms);
        let body = Body::sdp(answer.to_string());
        self.begin_fax(answer, stream.remote, stream.terms);
        Ok(body)
    }

    /// The terms of a fax that is under way.
    pub fn fax_terms(&self) -> Option<FaxTerms> {
        self.fax.agreed.as_ref().map(|agreed| agreed.terms.clone())
    }

    /// The other party doesn't take the fax that this peer has offered.
    pub fn decline_fax(&mut self) {
        self.fax.offered = None;
    }

    fn begin_fax(&mut self, ours: SessionDescription, remote: SocketAddr, terms: FaxTerms) {
        let before = self.ours.replace(Box::new(ours));
        let speech = match (self.fax.agreed.take(), before) {
            (Some(agreed), _) => agreed.speech,
            (None, Some(before)) => *before,
            (None, None) => return,
        };
        self.fax.agreed = Some(Box::new(Agreed { remote, terms, speech }));
    }

    /// An offer that brings this peer back to speech, where the other party is back already.
    pub(super) fn propose_speech(&mut self, other: &Session) -> Option<Body> {
        if self.asked || self.proposed.is_some() || other.is_fax() {
            return None;
        }
        let fax = self.fax.agreed.as_deref()?;
        let formats = for_offer(&self.limit, other.peer_formats().as_deref());
        let mut proposed = sdp::reoffer(&self.local_audio(formats, false), &fax.speech);
        proposed.supersede(self.ours.as_deref()?);
        let body = Body::sdp(proposed.to_string());
        self.proposed = Some(Box::new(proposed));
        Some(body)
    }

    /// What the media leg does while a fax is under way: a silence of the peer means nothing then.
    pub(super) fn fax_state(&self) -> Option<LegState> {
        let agreed = self.fax.agreed.as_ref()?;
        Some(LegState {
            remote_rtp: Some(agreed.remote),
            ptime_ms: super::PTIME_MS as u8,
            sending: true,
            receiving: true,
            latch: true,
            hears: self.hears.clone(),
            datagrams: true,
            ..LegState::default()
        })
    }
}
