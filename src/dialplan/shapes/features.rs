//! What users do to calls by feature codes.

use crate::base::yaml::{Shape, Type, key, required};

pub static PICKUP: Shape = Shape {
    name: "pickup",
    doc: "The caller answers what rings elsewhere, the one that rings longest first. `answered` and over, or `failed` if nothing rings, \
          or the caller may not: it is a user of the same context, or of the same pickup_group.",
    keys: &[
        key("user", Type::Text, "", "At whose phone it rings."),
        key("group", Type::Text, "", "Or at one of this pickup_group; without both at one of the caller's own."),
    ],
    prefixed: None,
};

pub static PARK: Shape = Shape {
    name: "park",
    doc: "The caller waits in a slot, with music, until `retrieve`; ${park_slot} is its slot. After the timeout the user who parked it is called: \
          `answered` and over, or `no_answer`. `failed` where the slot is taken.",
    keys: &[
        key("slot", Type::Text, "", "A slot of `parking`; the first free one if missing."),
        key("timeout", Type::Duration, "", "parking.timeout if missing."),
        key("music", Type::Text, "", "A WAV file, for ever; music of ours if missing."),
    ],
    prefixed: None,
};

pub static RETRIEVE: Shape = Shape {
    name: "retrieve",
    doc: "Joins the caller to the call that is parked there. `failed` where none is.",
    keys: &[required("slot", Type::Text, "The slot.")],
    prefixed: None,
};

pub static FORWARD: Shape = Shape {
    name: "change of a user's forwarding",
    doc: "Changes where calls of the user who calls go, beside what tandem.yaml says; `off` takes a way back. `failed` where it is no \
          user, or what is given is no number.",
    keys: &[
        key("always", Type::Text, "", "All calls."),
        key("busy", Type::Text, "", "Calls that find it busy."),
        key("no_answer", Type::Text, "", "Calls that nobody answers."),
        key("dnd", Type::Choice(&["on", "off"]), "", "Do not disturb."),
    ],
    prefixed: None,
};
