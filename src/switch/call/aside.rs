//! What one who was called hears alone, before both are joined: tones that open a door, a document of its own.

use super::documents::Origin;
use super::{Call, Doing};
use crate::base::keys::Keys;
use crate::event::{Side, What};
use crate::media::command::Hears;
use crate::switch::world::{CallTimer, World};
use crate::verb::{Callee, Hook, Program, Redirect, Script, Step, Text, Verb};
use std::sync::Arc;

/// What waits meanwhile: the dial, and the script that asked for it.
#[derive(Debug)]
pub struct Aside {
    script: Option<Script>,
    doing: Doing,
    origin: Origin,
}

impl Call {
    /// Begins what the one who has answered is to hear alone; false if that is nothing.
    pub fn begin_aside(&mut self, w: &mut World, leg: u8) -> bool {
        let Some(callee) = self.dialled.callees.get(&leg).cloned() else { return false };
        if callee.url.is_none() && callee.send_digits.is_empty() {
            return false;
        }
        self.note(w, Side::Leg(leg), What::Note("hears something before both are joined".into()));
        let mut program = Program::default();
        let at: Arc<str> = "dial".into();
        let steps =
            self.aside_steps(&callee).into_iter().map(|verb| Step { verb, on: Vec::new(), at: Arc::clone(&at) });
        let entry = program.add(steps.collect());
        let script = Script::new(Arc::new(program), entry, w.now.wall);
        let aside = Aside {
            script: self.script.replace(script),
            doing: std::mem::replace(&mut self.doing, Doing::Nothing),
            origin: self.origin.clone(),
        };
        self.aside = Some(Box::new(aside));
        self.ahead = Keys::default();
        self.front = leg;
        self.hear(w, 0, Hears::Silence);
        self.advance(w);
        true
    }

    fn aside_steps(&self, callee: &Callee) -> Vec<Verb> {
        let mut steps = Vec::new();
        if !callee.send_digits.is_empty() {
            steps.push(Verb::SendDigits(Text::literal(&callee.send_digits)));
        }
        if let Some(hook) = &callee.url {
            let to = Hook::new(Text::literal(&self.resolved(&hook.url)), hook.method);
            steps.push(Verb::Redirect(Redirect { to, fallback: None }));
        }
        steps
    }

    /// The one who answered has heard it, or is not to be joined: the dial goes on.
    pub fn end_aside(&mut self, w: &mut World, joins: bool) {
        let Some(aside) = self.aside.take() else { return };
        self.cancel_timer(w, CallTimer::Step);
        self.stop_recognising(w);
        if let Doing::Fetching(id) = self.doing {
            self.cancel_fetch(w, id);
        }
        let leg = std::mem::take(&mut self.front);
        let Aside { script, doing, origin } = *aside;
        (self.script, self.doing, self.origin) = (script, doing, origin);
        self.ahead = Keys::default();
        if joins {
            return self.bridge(w, leg);
        }
        self.with_leg(w, leg, |leg, ep, now| leg.hang_up(ep, now, 0, ""));
        self.tell_callee(w, leg, "completed", "no-answer");
        self.on_ring_out(w);
    }
}
