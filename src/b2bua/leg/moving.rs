//! A leg that goes from one call to another.

use super::{Leg, State};
use crate::base::time::Now;

impl Leg {
    /// Leaves for another call. What stays here is the account of it, with the media port that it had: to be closed.
    pub fn depart(&mut self, now: Now) -> Leg {
        let mut stays = Leg::new(self.index, self.peer.clone(), self.direction, self.dialog.clone(), self.started);
        (stays.answered, stays.ended, stays.status) = (self.answered, Some(now), self.status);
        stays.state = State::Gone;
        let session = self.session.follow();
        stays.session = std::mem::replace(&mut self.session, session);
        std::mem::replace(self, stays)
    }

    /// The INVITE came from the peer and has no final response.
    pub fn is_asking(&self) -> bool {
        self.state == State::Pending && self.invite_in.is_some()
    }

    /// We have called the peer, and it has not answered.
    pub fn is_called(&self) -> bool {
        self.state == State::Pending && self.invite_in.is_none()
    }

    /// How the peer's line stands: in a call, or on its way to one; `None` where there is none any more.
    pub const fn line(&self) -> Option<bool> {
        match self.state {
            State::Pending => Some(false),
            State::Answering | State::Up => Some(true),
            State::Cancelling | State::Closing | State::Gone => None,
        }
    }

    /// The peer's tag; of a peer that rings the one of its first response, "" before.
    pub fn peer_tag(&self) -> &str {
        match self.dialog.remote_tag() {
            "" => &self.ringing_tag,
            tag => tag,
        }
    }

    pub const fn is_answering(&self) -> bool {
        matches!(self.state, State::Answering)
    }
}
