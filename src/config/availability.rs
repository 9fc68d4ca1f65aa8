//! What a user wants done with calls that come to it: forwarding, do-not-disturb, call waiting.

use crate::base::time::Duration;
use crate::base::yaml::{Fields, Shape, Type, key};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    pub forward: Forward,
    /// Its phones do not ring; whoever calls finds it busy.
    pub dnd: bool,
    /// A user who is in a call already rings again.
    pub call_waiting: bool,
}

impl Default for Availability {
    fn default() -> Availability {
        Availability { forward: Forward::default(), dnd: false, call_waiting: true }
    }
}

/// Numbers or names, as the user would dial them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    pub always: Option<String>,
    pub busy: Option<String>,
    pub no_answer: Option<String>,
    /// How long its phones ring before `no_answer`.
    pub after: Duration,
}

impl Default for Forward {
    fn default() -> Forward {
        Forward { always: None, busy: None, no_answer: None, after: AFTER }
    }
}

const AFTER: Duration = Duration::from_secs(20);

const NUMBER: Type = Type::Form("a number or a name as the user would dial it", is_dialled);

pub static FORWARD: Shape = Shape {
    name: "forwarding",
    doc: "Where a user's calls go, as far as the dialplan has them called in the user's context.",
    keys: &[
        key("always", NUMBER, "", "All calls; its phones do not ring."),
        key("busy", NUMBER, "", "Calls that find it busy, or not to be disturbed."),
        key("no_answer", NUMBER, "", "Calls that nobody answers, and those for whom no phone is registered."),
        key("after", Type::Duration, "20s", "How long its phones ring before no_answer, if the dial lasts so long."),
    ],
    prefixed: None,
};

pub fn is_dialled(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-*#".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

pub(super) fn read(f: &Fields<'_>) -> Availability {
    let forward = Fields::of(f.get("forward").unwrap_or(&super::read::EMPTY), &FORWARD);
    let own = |key| forward.text(key).map(str::to_owned);
    Availability {
        forward: Forward {
            always: own("always"),
            busy: own("busy"),
            no_answer: own("no_answer"),
            after: forward.duration("after").unwrap_or(AFTER).max(Duration::from_secs(1)),
        },
        dnd: f.flag("dnd"),
        call_waiting: f.flag("call_waiting"),
    }
}
