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

    pub const fn is_answering(&self) -> bool {
        matches!(self.state, State::Answering)
    }
}
