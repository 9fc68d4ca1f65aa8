//! Where calls meet other calls: conferences and queues.

use super::METHOD;
use crate::base::yaml::{Shape, Type, key, required};

pub static CONFERENCE: Shape = Shape {
    name: "conference",
    doc: "It begins when there are two and one of them has start_on_enter; the last to leave ends it.",
    keys: &[
        required("name", Type::Text, "Its name: all who name it meet there."),
        key(
            "beep",
            Type::Choice(&["true", "false", "on_enter", "on_exit"]),
            "true",
            "When all hear a beep for this one.",
        ),
        key("muted", Type::Bool, "false", "Hears and is not heard."),
        key("coach", Type::Text, "", "Only this one hears what the caller says: a call's id or a user's name."),
        key(
            "start_on_enter",
            Type::Bool,
            "true",
            "Whether it may begin with this one; else there is music until it does.",
        ),
        key("end_on_exit", Type::Bool, "false", "Ends it for all when this one leaves."),
        key("max_participants", Type::Int(1, 1_000), "250", "When so many are there, this one does not get in."),
        key("wait", Type::Text, "", "Music before it begins and on hold: a WAV file, for ever; silence if missing."),
    ],
    prefixed: None,
};

pub static ENQUEUE: Shape = Shape {
    name: "queue",
    doc: "First in, first out; `dial: { queue: … }` takes one out. `done` when that is over, `failed` if the caller does not get in; \
          then ${queue_result} says how it went.",
    keys: &[
        key("name", Type::Text, "", "Its name: all who name it wait there."),
        key("wait", Type::Text, "", "What is heard meanwhile, for ever: a WAV file; music of ours if missing."),
        key("wait_url", Type::Text, "", "Or a document that is run again and again, told of the place in the queue."),
        key("action", Type::Text, "", "An address that is told how it went; its document is what follows."),
        key("method", METHOD, "POST", "How both are asked."),
        key("max", Type::Int(1, 5_000), "1000", "When so many wait, this one does not get in."),
        key("workflow", Type::Later, "", ""),
    ],
    prefixed: None,
};
