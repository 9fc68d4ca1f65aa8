//! The call-script machine: [`Verb`] is the instruction set, a [`Program`] is what a notation parses into, a [`Script`] is a
//! program with a cursor. The switch performs an action and reports its outcome; nothing here awaits.

mod action;
mod condition;
mod feature;
mod gather;
mod hook;
mod hours;
mod pattern;
pub mod pay;
mod program;
mod queue;
mod script;
mod text;

pub use action::{
    Action, AfterDial, Beep, Callee, Channels, Conference, ConferenceHooks, Dial, DialRecord, MediaMode, Outcome,
    Record, RecordCall, Redirect, Strategy, Target, tone_name,
};
pub use condition::{Condition, Wrong};
pub use feature::{Feature, Settings as FeatureSettings};
pub use gather::{Gather, Listening, Prompt, Say};
pub use hook::{Hook, StatusHook};
pub use hours::{Dates, Hours, is_time_zone, parse_moment};
pub use pattern::Pattern;
pub use program::{BlockId, ConferenceStep, DialStep, Program, Step, TargetKind, TargetStep, Verb, is_url};
pub use queue::{Dequeue, Enqueue, Refer, Sms, Unavailable};
pub use script::{Cursor, Next, Script};
pub use text::{TEXT_MAX, Text, Variables, clean, variable_name};
