//! A fax between two parties that are joined: one offers it, the other is asked with its terms (ITU-T T.38 Annex D.2.2).

use super::Call;
use crate::b2bua::endpoint::Body;
use crate::switch::world::World;

impl Call {
    /// A party offers fax in the place of its audio.
    pub(super) fn on_fax_offer(&mut self, w: &mut World, index: u8, other: u8, body: &Body) {
        let Ok([leg, partner]) = self.legs.get_disjoint_mut([usize::from(index), usize::from(other)]) else { return };
        let terms = match leg.session.take_fax_offer(body) {
            Ok(terms) => terms,
            Err(fault) => return self.refuse_fax(w, index, fault.0),
        };
        if let Some(agreed) = partner.session.fax_terms() {
            // A refresh, or another address: nothing that the other party need be asked.
            let answer = leg.session.answer_fax(&agreed);
            return match answer {
                Ok(answer) => self.answer_fax(w, index, &answer),
                Err(fault) => self.refuse_fax(w, index, fault.0),
            };
        }
        let offer = partner.may_reoffer().then(|| partner.session.offer_fax(&terms)).flatten();
        let asked = offer.and_then(|offer| self.with_leg(w, other, |leg, ep, now| leg.reoffer(ep, now, Some(&offer))));
        match asked.flatten() {
            Some(_) => self.fax_asker = Some(index),
            None => self.refuse_fax(w, index, 491),
        }
    }

    /// The other party's answer to a fax.
    pub(super) fn on_fax_answer(&mut self, w: &mut World, index: u8, status: u16, body: Option<&Body>) {
        let Some(asker) = self.fax_asker.take() else { return };
        let Ok([leg, asking]) = self.legs.get_disjoint_mut([usize::from(index), usize::from(asker)]) else { return };
        let terms = leg.session.take_fax_answer(body.filter(|_| status < 300));
        match terms.map(|terms| asking.session.answer_fax(&terms)) {
            Some(Ok(answer)) => {
                self.refresh_media(w, index);
                self.answer_fax(w, asker, &answer);
            }
            Some(Err(fault)) => {
                self.refuse_fax(w, asker, fault.0);
                self.share_codec(w);
            }
            None => {
                asking.session.decline_fax();
                self.refuse_fax(w, asker, if matches!(status, 415 | 488 | 491 | 606) { status } else { 488 });
            }
        }
    }

    fn answer_fax(&mut self, w: &mut World, index: u8, answer: &Body) {
        self.with_leg(w, index, |leg, ep, now| leg.answer_reoffer(ep, now, Some(answer)));
        self.refresh_media(w, index);
    }

    fn refuse_fax(&mut self, w: &mut World, index: u8, status: u16) {
        self.with_leg(w, index, |leg, ep, now| leg.refuse_reoffer(ep, now, status));
    }
}
