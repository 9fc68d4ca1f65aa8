//! What codecs a caller may have, and how two parties that use different ones come to use one, where both can.

use super::call::Call;
use super::world::World;
use crate::b2bua::endpoint::Body;
use crate::b2bua::leg::Leg;
use crate::event::{Side, What};

impl Call {
    /// A caller by a trunk is held to the trunk's codecs, anybody else to ours.
    pub fn codecs_of_caller(&self, w: &World) -> Vec<String> {
        self.codecs_of(w, &self.source)
    }

    /// Where two joined parties need a decoder and an encoder between them, and one has said that it has the other's codec too, it
    /// is asked by a re-INVITE to change: the caller before the called party, who has just chosen. Asked once; who refuses keeps
    /// what it has.
    pub fn share_codec(&mut self, w: &mut World) {
        let Some(callee) = self.partner(0).filter(|_| !self.direct) else { return };
        if ![0, callee].iter().all(|&index| self.legs.get(usize::from(index)).is_some_and(Leg::is_up)) {
            return;
        }
        for (index, other) in [(0, callee), (callee, 0)] {
            let Ok([leg, other]) = self.legs.get_disjoint_mut([usize::from(index), usize::from(other)]) else { return };
            let Some(body) = leg.may_reoffer().then(|| leg.session.propose(&other.session)).flatten() else { continue };
            self.with_leg(w, index, |leg, ep, now| leg.reoffer(ep, now, Some(&body)));
            return;
        }
    }

    /// A leg's final response to [`Call::share_codec`]; no body is a refusal.
    pub fn on_codec_answer(&mut self, w: &mut World, index: u8, body: Option<&Body>) {
        let Some(leg) = self.legs.get_mut(usize::from(index)) else { return };
        if leg.session.take_proposed(body) {
            self.refresh_media(w, index);
        } else {
            self.note(w, Side::Leg(index), What::Media("keeps its codec".into()));
        }
    }
}
