//! What the parties of a call write to each other by MESSAGE in its dialogs.

use super::Call;
use crate::b2bua::leg::TextWriter;
use crate::b2bua::text::Text;
use crate::event::{Side, What};
use crate::sip::transaction::ServerId;
use crate::switch::world::World;

impl Call {
    /// A party writes: the other one gets it, and its answer is the answer. Without another one (a script, a conference, a queue)
    /// the call takes it, as others do: 200, and the trace says that nobody read it.
    pub fn on_text(&mut self, w: &mut World, index: u8, id: ServerId, text: Text) {
        let writer = TextWriter { leg: index, id };
        let octets = text.octets();
        let Some(other) = self.partner(index) else {
            self.note(
                w,
                Side::Leg(index),
                What::Note(format!("a text of {octets} octets, and nobody to read it").into()),
            );
            return self.answer_text(w, writer, 200);
        };
        if self.with_leg(w, other, |leg, ep, now| leg.text(ep, now, writer, text)) != Some(true) {
            self.on_text_answered(w, writer, octets, 503);
        }
    }

    /// A party that was written to has hung up without an answer.
    pub fn texts_lost(&mut self, w: &mut World, index: u8) {
        let lost = self.legs.get_mut(usize::from(index)).map(|leg| leg.unanswered_texts());
        for (writer, octets) in lost.into_iter().flatten() {
            self.on_text_answered(w, writer, octets, 480);
        }
    }

    /// Who was written to has answered, or has not.
    pub fn on_text_answered(&mut self, w: &mut World, writer: TextWriter, octets: usize, status: u16) {
        let (from, to) = if writer.leg == 0 { (&self.from, &self.to) } else { (&self.to, &self.from) };
        w.text_ended(from, to, octets, status);
        self.answer_text(w, writer, status);
    }

    fn answer_text(&mut self, w: &mut World, writer: TextWriter, status: u16) {
        self.with_leg(w, writer.leg, |leg, ep, now| leg.answer_text(ep, now, writer.id, status));
    }
}
