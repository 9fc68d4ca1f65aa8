//! The call-script machine: [`Verb`] is the instruction set, a [`Program`] is what a notation parses into, a [`Script`] is a
//! program with a cursor. The switch performs an action and reports its outcome; nothing here awaits.

mod action;

pub use action::{Action, Dial, MediaMode, Outcome, Strategy, Target};

use std::sync::Arc;

/// A parsed script: blocks of steps, entered at one of them. Immutable, shared by all calls that run it.
#[derive(Debug)]
pub struct Program {}

/// What a script wants next.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Perform it, then call [`Script::finished`].
    Do {
        action: Action,
        /// `file:line` for the timeline.
        at: Arc<str>,
    },
    /// The last step is done: the switch hangs up.
    End,
    /// More than [`Script::STEPS_MAX`] steps without anything that takes time: a loop in the dialplan.
    Runaway,
}

/// One call's run of a [`Program`]: variables and cursor.
#[derive(Debug)]
pub struct Script {
    program: Arc<Program>,
}

impl Script {
    pub const STEPS_MAX: u32 = 10_000;

    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }
    /// The next action. Calling it again before `finished` gives the same action.
    pub fn next(&mut self) -> Next {
        todo!()
    }
    /// Reports how the action went. If the step has a block for the outcome under `on:` it is entered. After `dial`: `Answered`
    /// without a block ends the script; any other outcome without a block goes on with the next step.
    pub fn finished(&mut self, outcome: Outcome) {
        let _ = outcome;
        todo!()
    }
    pub fn set(&mut self, name: &str, value: String) {
        let _ = (name, value);
        todo!()
    }
}
