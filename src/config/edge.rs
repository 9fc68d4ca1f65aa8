//! What a carrier's edge needs beside addresses: how to register with a trunk, and who is kept out.

use super::{Network, read, shapes};
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

/// Who is kept out (`sip.guard`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Requests a second that a source may begin; 0 is no limit.
    pub requests: u32,
    pub ban: Ban,
    /// Sources that nothing is counted of. Those of trunks are such anyway.
    pub allow: Vec<Network>,
    /// Later than this, new calls and registrations are refused with 503; zero never.
    pub late: Duration,
}

/// When a source is banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// 0: never.
    pub failures: u32,
    pub within: Duration,
    pub duration: Duration,
}

pub static GUARD: Shape = Shape {
    name: "guard section",
    doc: "Who is kept out. Sources of trunks are not counted.",
    keys: &[
        key(
            "requests",
            Type::Form("a rate such as 50/s; 0/s is no limit", is_rate),
            "50/s",
            "What one source may begin: requests outside of dialogs. The rest is dropped.",
        ),
        key("ban", Type::Map(&BAN), "", "When what a source sends is dropped unread."),
        key(
            "allow",
            Type::OneOrMore(&shapes::NETWORK),
            "",
            "Sources that nothing is counted of; default 127.0.0.0/8 and ::1.",
        ),
        key(
            "late",
            Type::Duration,
            "100ms",
            "When messages have waited for us for so long, a share of new calls and registrations gets 503 with Retry-After; 0s never.",
        ),
    ],
    prefixed: None,
};

pub static BAN: Shape = Shape {
    name: "ban",
    doc: "Wrong credentials and broken messages count as one failure, requests without credentials as a tenth; failures are forgotten evenly over `within`. A program that looks for weaknesses is banned at once.",
    keys: &[
        key("failures", Type::Int(0, 1_000_000), "10", "0: nobody is banned."),
        key("within", Type::Duration, "60s", "All of the failures are forgotten after so long."),
        key("for", Type::Duration, "10m", "The first ban; each further one is twice as long, up to a day."),
    ],
    prefixed: None,
};

/// `50/s`.
fn rate(text: &str) -> Option<u32> {
    let digits = text.strip_suffix("/s")?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn is_rate(text: &str) -> bool {
    rate(text).is_some()
}

pub fn guard(f: &Fields<'_>) -> Guard {
    let ban = Fields::of(f.get("ban").unwrap_or(&read::EMPTY), &BAN);
    let allow = match f.get("allow") {
        Some(_) => f.items("allow").iter().filter_map(|n| read::network(n.text()?)).collect(),
        None => ["127.0.0.0/8", "::1"].into_iter().filter_map(read::network).collect(),
    };
    Guard {
        requests: f.text("requests").and_then(rate).unwrap_or(0),
        ban: Ban {
            failures: ban.int("failures"),
            within: ban.duration("within").unwrap_or_default(),
            duration: ban.duration("for").unwrap_or_default(),
        },
        allow,
        late: f.duration("late").unwrap_or_default(),
    }
}
