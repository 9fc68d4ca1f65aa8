//! What a carrier's edge needs beside addresses: how to register with a trunk.

use super::shapes;
use crate::base::time::Duration;
use crate::base::yaml::{Fields, Node, Shape, Type, key};

/// How we register with a trunk (RFC 3261 §10.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// How long each registration is asked to hold.
    pub expires: Duration,
    /// User of our Contact; `None`: the name of the trunk's credentials, else the trunk's own.
    pub contact_user: Option<String>,
    /// Domain of the address of record; `None`: the host of the target.
    pub domain: Option<String>,
}

pub static REGISTER: Shape = Shape {
    name: "registration",
    doc: "How we register with a trunk.",
    keys: &[
        key("enabled", Type::Bool, "true", "false: not at all."),
        key("expires", Type::Duration, "10m", "How long a registration is asked to hold; it is refreshed before."),
        key(
            "contact_user",
            shapes::NAME,
            "",
            "User of our Contact; default the name of `auth`, else the trunk's. A call to it is this trunk's.",
        ),
        key(
            "domain",
            Type::Form("a host name or an address", shapes::is_domain),
            "",
            "Domain that we register in; default the target's host.",
        ),
    ],
    prefixed: None,
};

/// The bounds of `expires`: carriers refuse less, and nobody asks for more.
pub const EXPIRES: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(86_400));

/// `true`, `false`, or the keys of a registration.
pub fn register(node: &Node) -> Option<Register> {
    let f = Fields::short(node, &REGISTER, "enabled");
    let own = |key| f.get(key).and_then(Node::text).map(str::to_owned);
    f.flag("enabled").then(|| Register {
        expires: f.duration("expires").unwrap_or(EXPIRES.0).clamp(EXPIRES.0, EXPIRES.1),
        contact_user: own("contact_user"),
        domain: own("domain"),
    })
}
