//! Parties who are listened to: what they say to a gather, and whether a person or a machine has answered.

use super::call::{Call, Doing};
use super::io::Output;
use super::web::account_sid;
use super::world::{CallTimer, World};
use crate::base::time::Duration;
use crate::event::{Side, What};
use crate::media::command::TapId;
use crate::speech::machine::{AnsweredBy, Settings};
use crate::speech::{self, Heard, Listen, ListenId, Order};
use crate::web::Address;

/// Who is told what a listening found.
#[derive(Clone, PartialEq, Debug)]
pub enum Whose {
    Gather,
    /// The call waits for it; who is told of it.
    Party(Option<Address>),
    /// Beside what the call does; who is told of a machine.
    Machine(Option<Address>),
}

/// One party that is listened to.
#[derive(Clone, Debug)]
pub struct Listened {
    id: ListenId,
    leg: u8,
    whose: Whose,
}

impl super::Switch {
    pub(super) fn on_listened(&mut self, id: ListenId, heard: Heard) {
        let tap = TapId(id.0);
        let Some(key) = self.world.tap_owner(tap) else { return };
        if heard.is_last() {
            self.world.tap_ended(tap);
        }
        self.with_call(key, |call, w| call.on_listened(w, id, heard));
    }
}

impl Call {
    /// Has a leg's peer listened to; one listening a leg.
    pub fn listen(&mut self, w: &mut World, leg: u8, whose: Whose, what: speech::What) -> ListenId {
        self.stop_listening(w, |l| l.leg == leg);
        let tap = w.new_tap(self.key);
        let id = ListenId(tap.0);
        self.set_listener(w, leg, Some(tap));
        let listen = Listen { id, call: self.id, at: w.now.mono, what };
        w.output(Output::Speech(Order::Listen(Box::new(listen))));
        self.listened.push(Listened { id, leg, whose });
        id
    }

    fn set_listener(&mut self, w: &mut World, leg: u8, tap: Option<TapId>) {
        let timeout = w.config.media.rtp_timeout.filter(|_| self.answered.is_some());
        if let Some(leg) = self.legs.get_mut(usize::from(leg))
            && leg.is_alive()
            && let Some(set) = leg.session.listen(tap, timeout)
        {
            w.output(Output::Media(set));
        }
    }

    fn stop_listening(&mut self, w: &mut World, which: impl Fn(&Listened) -> bool) {
        while let Some(at) = self.listened.iter().position(&which) {
            let Listened { id, leg, .. } = self.listened.swap_remove(at);
            w.tap_ended(TapId(id.0));
            w.output(Output::Speech(Order::Enough(id)));
            self.set_listener(w, leg, None);
        }
    }

    /// Nobody is to hear what is said to a gather any more.
    pub fn stop_recognising(&mut self, w: &mut World) {
        self.stop_listening(w, |l| l.whose == Whose::Gather);
    }

    /// Nobody is to listen to this leg, or to any.
    pub fn stop_listeners(&mut self, w: &mut World, leg: Option<u8>) {
        self.stop_listening(w, |l| leg.is_none_or(|leg| l.leg == leg));
    }

    fn on_listened(&mut self, w: &mut World, id: ListenId, heard: Heard) {
        let Some(at) = self.listened.iter().position(|l| l.id == id) else { return };
        let Some(Listened { leg, whose, .. }) = self.listened.get(at).cloned() else { return };
        if heard.is_last() {
            self.listened.swap_remove(at);
            self.set_listener(w, leg, None);
        }
        match (whose, heard) {
            (Whose::Gather, heard) => self.on_speech(w, heard),
            (whose, Heard::Answered { by, after }) => self.on_machine(w, leg, whose, by, after),
            (whose, Heard::Failed(why)) => {
                self.note(w, Side::Leg(leg), What::Note(format!("nobody can listen who has answered: {why}").into()));
                self.on_machine(w, leg, whose, AnsweredBy::Unknown, Duration::ZERO);
            }
            (_, Heard::Began | Heard::Partial(_) | Heard::Words { .. }) => {}
        }
    }

    // ---- answering machines ----------------------------------------------------------------------------------------

    /// Listens who has answered, beside what the call does.
    pub fn detect_machine(&mut self, w: &mut World, leg: u8, settings: Settings, told: Option<Address>) {
        self.listen(w, leg, Whose::Machine(told), speech::What::Machine(settings));
    }

    /// The call goes on when it is known who has answered, or when that took too long.
    pub fn await_machine(&mut self, w: &mut World, settings: Settings, told: Option<Address>) {
        self.listen(w, 0, Whose::Party(told), speech::What::Machine(settings));
        self.doing = Doing::Detecting;
        // The listener keeps the time itself; this is for one that is gone.
        self.set_timer(w, CallTimer::Step, settings.timeout + Duration::from_secs(2));
    }

    /// Nobody has said who answered; false if the timer was another's.
    pub fn on_machine_timer(&mut self, w: &mut World) -> bool {
        if !matches!(self.doing, Doing::Detecting) {
            return false;
        }
        self.stop_listening(w, |l| matches!(l.whose, Whose::Party(_)));
        self.on_machine(w, 0, Whose::Party(None), AnsweredBy::Unknown, Duration::ZERO);
        true
    }

    fn on_machine(&mut self, w: &mut World, leg: u8, whose: Whose, by: AnsweredBy, after: Duration) {
        let text = format!("{} has answered, known after {:.2} s", by.as_str(), after.as_secs_f32());
        self.note(w, Side::Leg(leg), What::Media(text.into()));
        self.set_variable("answered_by", by.as_str().to_owned());
        if leg == 0 {
            self.answered_by = Some(by);
        }
        if let Whose::Machine(Some(told)) | Whose::Party(Some(told)) = &whose {
            let mut parameters = vec![
                ("CallSid".to_owned(), self.leg_sid(leg).to_string()),
                ("AccountSid".to_owned(), account_sid(&w.config).to_owned()),
                ("AnsweredBy".to_owned(), by.as_str().to_owned()),
                ("MachineDetectionDuration".to_owned(), after.as_millis().to_string()),
            ];
            if leg != 0 {
                parameters.push(("ParentCallSid".to_owned(), self.id.to_string()));
            }
            self.call_back_as(w, told.clone(), parameters);
        }
        if matches!((whose, &self.doing), (Whose::Party(_), Doing::Detecting)) {
            self.cancel_timer(w, CallTimer::Step);
            self.doing = Doing::Nothing;
            self.advance(w);
        }
    }

    /// Listens who has answered a dial, where it asks for that.
    pub fn detect_callee(&mut self, w: &mut World, leg: u8) {
        let Some(callee) = self.dialled.callees.get(&leg).cloned() else { return };
        let Some(settings) = callee.machine else { return };
        if self.direct {
            let text = "media is direct: nobody can listen who has answered";
            return self.note(w, Side::Leg(leg), What::Note(text.into()));
        }
        let told = callee.machine_status.as_ref().map(|hook| self.address(hook));
        self.detect_machine(w, leg, settings, told);
    }
}
