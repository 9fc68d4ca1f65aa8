//! How a trunk wants to be spoken to: headers, the caller's identity, the form of numbers. All of it is data.

use super::{Named, shapes};
use crate::base::yaml::{Fields, Node, Reader, Shape, Type, key, required};

/// What is done to headers, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderRule {
    Add(String, String),
    Remove(String),
    /// Removed, then added.
    Replace(String, String),
    /// Handed on from the caller's INVITE to the one that follows from it.
    Pass(String),
}

/// Which header names the caller, and how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Identity {
    /// P-Asserted-Identity (RFC 3325).
    #[default]
    Pai,
    From,
    /// Remote-Party-ID.
    Rpid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerId {
    /// Where its callers' numbers stand; From if that is missing.
    pub from: Identity,
    /// Beside From, where ours go; `Identity::From`: nowhere.
    pub send: Option<Identity>,
    /// It is within our trust domain (RFC 3325 §2.4): what it asserts is believed, and it is told what is withheld, marked as private.
    /// Otherwise From names its callers, and `from` is that.
    pub trusted: bool,
    /// Withheld numbers are shown to it all the same.
    pub shows_withheld: bool,
    /// User of From, whoever calls; the caller's number then goes by `send` alone.
    pub user: Option<String>,
    /// Domain of From; `None`: `sip.domain`.
    pub domain: Option<String>,
}

impl Default for CallerId {
    fn default() -> CallerId {
        CallerId { from: Identity::Pai, send: None, trusted: true, shows_withheld: false, user: None, domain: None }
    }
}

/// A number that matches is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRule {
    /// A number, or `/a regular expression/`.
    pub matches: String,
    /// `$1` to `$9` are what its groups caught.
    pub to: String,
}

/// What a 3xx of a trunk or a user's phone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Redirects {
    /// Its contacts are called: of a phone, whom the dialplan has for them.
    Follow,
    /// The caller gets it.
    Pass,
    /// A refusal as others.
    #[default]
    Refuse,
}

impl Redirects {
    pub const ALL: [Redirects; 3] = [Redirects::Follow, Redirects::Pass, Redirects::Refuse];

    pub const fn as_str(self) -> &'static str {
        match self {
            Redirects::Follow => "follow",
            Redirects::Pass => "pass",
            Redirects::Refuse => "refuse",
        }
    }

    pub fn from_name(name: &str) -> Option<Redirects> {
        Redirects::ALL.into_iter().find(|r| r.as_str() == name)
    }
}

/// How a trunk is told that a call was forwarded to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Diversions {
    Off,
    /// RFC 5806.
    #[default]
    Diversion,
    /// RFC 7044.
    HistoryInfo,
    Both,
}

impl Diversions {
    pub const ALL: [Diversions; 4] =
        [Diversions::Off, Diversions::Diversion, Diversions::HistoryInfo, Diversions::Both];

    pub const fn as_str(self) -> &'static str {
        match self {
            Diversions::Off => "off",
            Diversions::Diversion => "diversion",
            Diversions::HistoryInfo => "history_info",
            Diversions::Both => "both",
        }
    }

    pub fn from_name(name: &str) -> Option<Diversions> {
        Diversions::ALL.into_iter().find(|d| d.as_str() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Manners {
    pub redirects: Redirects,
    pub diversions: Diversions,
    /// Of what comes from it, before the dialplan sees it.
    pub headers_in: Vec<HeaderRule>,
    pub headers_out: Vec<HeaderRule>,
    pub caller_id: CallerId,
    pub numbers_in: Vec<NumberRule>,
    pub numbers_out: Vec<NumberRule>,
}

pub static HEADERS: Shape = Shape {
    name: "set of header rules",
    doc: "",
    keys: &[
        key("inbound", Type::List(&RULE), "", "Of its INVITEs, before the dialplan."),
        key("outbound", Type::List(&RULE), "", "Of INVITEs to it, after the dialplan."),
    ],
    prefixed: None,
};

static RULE: Type = Type::Map(&HEADER_RULE);
static TEXT: Type = Type::Text;

pub static HEADER_RULE: Shape = Shape {
    name: "header rule",
    doc: "One of these.",
    keys: &[
        key("add", Type::Dict(&TEXT), "", "Adds headers, by name."),
        key("remove", Type::OneOrMore(&TEXT), "", "Removes headers."),
        key("replace", Type::Dict(&TEXT), "", "Removes headers, then adds them with this value."),
        key("pass", Type::OneOrMore(&TEXT), "", "Hands headers of the caller's INVITE on."),
    ],
    prefixed: None,
};

pub static CALLER_ID: Shape = Shape {
    name: "caller-id policy",
    doc: "",
    keys: &[
        key("from", IDENTITY, "pai", "Which header of its INVITEs names the caller; From if that is missing."),
        key(
            "trust",
            Type::Bool,
            "true",
            "false: it is outside our trust domain (RFC 3325): From names its callers, whatever `from` says, what it asserts is not passed on, and withheld numbers are not told to it.",
        ),
        key("send", IDENTITY, "from", "How the caller is told to it: in From alone, or in this header too."),
        key(
            "privacy",
            Type::Choice(&["honour", "ignore"]),
            "honour",
            "ignore: withheld numbers are shown to it. By `send: pai` or `rpid` they are told to it, marked as private.",
        ),
        key("user", Type::Text, "", "User of From, whoever calls: with some carriers the account."),
        key(
            "domain",
            Type::Form("a host name or an address", shapes::is_domain),
            "",
            "Domain of From; sip.domain if missing.",
        ),
    ],
    prefixed: None,
};

const IDENTITY: Type = Type::Choice(&["pai", "from", "rpid"]);

pub static NUMBERS: Shape = Shape {
    name: "set of number rules",
    doc: "The first rule that matches writes the number anew. What callers and called are: before the dialplan (inbound), after it (outbound).",
    keys: &[
        key(
            "country",
            Type::Int(1, 999),
            "",
            "Country code: after the rules of `inbound`, 00… and 0… (in country 1: 011…, ten digits, 1 and ten digits) become +….",
        ),
        key("inbound", Type::List(&Type::Map(&NUMBER_RULE)), "", "Of its calls."),
        key("outbound", Type::List(&Type::Map(&NUMBER_RULE)), "", "Of calls to it."),
    ],
    prefixed: None,
};

pub static NUMBER_RULE: Shape = Shape {
    name: "number rule",
    doc: "",
    keys: &[
        required("match", Type::Text, "A number, or /a regular expression/."),
        required("to", Type::Text, "What it becomes; $1 is what the first group caught."),
    ],
    prefixed: None,
};

/// Headers that Tandem writes itself: rules do not touch them.
const OWN: [&str; 18] = [
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "contact",
    "max-forwards",
    "route",
    "record-route",
    "content-length",
    "content-type",
    "content-encoding",
    "authorization",
    "proxy-authorization",
    "require",
    "supported",
    "allow",
    "user-agent",
];

/// The manners under a trunk's keys.
pub fn read(reader: &mut Reader, f: &Fields<'_>, patterns: &mut Vec<Named>) -> Manners {
    let headers = Fields::of(f.get("headers").unwrap_or(&super::read::EMPTY), &HEADERS);
    let caller = Fields::of(f.get("caller_id").unwrap_or(&super::read::EMPTY), &CALLER_ID);
    let numbers = Fields::of(f.get("numbers").unwrap_or(&super::read::EMPTY), &NUMBERS);
    let own = |key| caller.get(key).and_then(Node::text).map(str::to_owned);
    let rules = numbers.items("inbound").iter().chain(numbers.items("outbound")).map(|n| Fields::of(n, &NUMBER_RULE));
    patterns.extend(rules.filter_map(|r| {
        let node = r.get("match")?;
        Some(Named { name: node.text()?.to_owned(), at: node.at, whose: r.string("to") })
    }));
    let mut numbers_in = number_rules(&numbers, "inbound");
    if let Some(country) = numbers.get("country").and_then(Node::text) {
        numbers_in.extend(national(country));
    }
    Manners {
        redirects: f.text("redirects").and_then(Redirects::from_name).unwrap_or_default(),
        diversions: f.text("diversions").and_then(Diversions::from_name).unwrap_or_default(),
        headers_in: header_rules(reader, &headers, "inbound"),
        headers_out: header_rules(reader, &headers, "outbound"),
        caller_id: CallerId {
            from: if caller.flag("trust") { identity(&caller, "from") } else { Identity::From },
            trusted: caller.flag("trust"),
            send: Some(identity(&caller, "send")).filter(|i| *i != Identity::From),
            shows_withheld: caller.text("privacy") == Some("ignore"),
            user: own("user"),
            domain: own("domain"),
        },
        numbers_in,
        numbers_out: number_rules(&numbers, "outbound"),
    }
}

impl Identity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Identity::Pai => "pai",
            Identity::From => "from",
            Identity::Rpid => "rpid",
        }
    }
}

fn identity(f: &Fields<'_>, key: &str) -> Identity {
    match f.text(key) {
        Some("from") => Identity::From,
        Some("rpid") => Identity::Rpid,
        _ => Identity::Pai,
    }
}

fn header_rules(reader: &mut Reader, f: &Fields<'_>, key: &str) -> Vec<HeaderRule> {
    let mut rules = Vec::new();
    for node in f.items(key) {
        let rule = Fields::of(node, &HEADER_RULE);
        if node.pairs().len() != 1 {
            reader.fault(node.at, "this is no header rule", "expected one of add, remove, replace, pass");
        }
        for (which, make) in
            [("replace", HeaderRule::Replace as fn(_, _) -> _), ("add", HeaderRule::Add as fn(_, _) -> _)]
        {
            for (name, value) in rule.get(which).map_or(&[][..], Node::pairs) {
                let value = value.text().unwrap_or_default().to_owned();
                rules.extend(header_name(reader, name).map(|name| make(name, value)));
            }
        }
        for (which, make) in [("remove", HeaderRule::Remove as fn(_) -> _), ("pass", HeaderRule::Pass as fn(_) -> _)] {
            rules.extend(rule.items(which).iter().filter_map(|name| header_name(reader, name)).map(make));
        }
    }
    rules
}

fn header_name(reader: &mut Reader, node: &Node) -> Option<String> {
    let name = node.text()?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    if name.len() < 2 || !name.bytes().all(is_token) {
        reader.fault(node.at, format!("{} is no name of a header", node.shown()), "expected one such as X-Account");
        return None;
    }
    if OWN.contains(&name.to_ascii_lowercase().as_str()) {
        reader.fault(node.at, format!("Tandem writes {name} itself"), "expected another header");
        return None;
    }
    Some(name.to_owned())
}

fn number_rules(f: &Fields<'_>, key: &str) -> Vec<NumberRule> {
    let rules = f.items(key).iter().map(|node| Fields::of(node, &NUMBER_RULE));
    rules.map(|r| NumberRule { matches: r.string("match"), to: r.string("to") }).collect()
}

/// The forms of numbers that are dialled within a country, as E.164.
fn national(country: &str) -> Vec<NumberRule> {
    let rule = |matches: &str, to: String| NumberRule { matches: matches.into(), to };
    match country {
        "1" => vec![
            rule(r"/^011(\d+)$/", "+$1".into()),
            rule(r"/^1(\d{10})$/", "+1$1".into()),
            rule(r"/^([2-9]\d{9})$/", "+1$1".into()),
        ],
        _ => vec![rule(r"/^00(\d+)$/", "+$1".into()), rule(r"/^0([1-9]\d+)$/", format!("+{country}$1"))],
    }
}
