//! What the parties of a call write to each other by MESSAGE in its dialogs.

use super::Call;
use crate::b2bua::leg::TextWriter;
use crate::b2bua::text::Text;
use crate::base::pii::Pii;
use crate::event::{Fact, Outgoing, Side, What};
use crate::sip::transaction::ServerId;
use crate::switch::web::account_sid;
use crate::switch::world::World;
use crate::verb::{Outcome, Sms};

/// The longest text that is sent (Twilio's error 21617).
const OUTGOING_MAX: usize = 1_600;

impl Call {
    /// A script leaves a text in the outbox: to the caller, from the number called, if it does not say.
    pub fn leave_text(&mut self, w: &mut World, sms: Sms) -> Outcome {
        let (from, to) = (sms.from.unwrap_or_else(|| self.to.clone()), sms.to.unwrap_or_else(|| self.from.clone()));
        let length = sms.text.chars().count();
        if to.is_empty() || length > OUTGOING_MAX {
            let why =
                if to.is_empty() { "21604 a text to nobody" } else { "21617 a text of more than 1600 characters" };
            self.note(w, Side::Call, What::Note(why.into()));
            return Outcome::Failed;
        }
        let number = u128::from(w.ep.rng().next_u64()) << 64 | u128::from(w.ep.rng().next_u64());
        let sid = format!("SM{number:032x}");
        if let Some(script) = &mut self.script {
            script.set("message", sid.clone());
        }
        w.fact(Fact::Outgoing(Box::new(Outgoing {
            sid,
            account: account_sid(&w.config).to_owned(),
            call: self.id,
            at: w.now.wall,
            from: Pii::new(from),
            to: Pii::new(to),
            body: sms.text,
            status: sms.status.map(|status| status.hook.url),
        })));
        Outcome::Done
    }

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
