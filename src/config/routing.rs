//! Least-cost routing, the measured health of trunks, and caps against toll fraud.

use super::{Trunk, read, shapes};
use crate::base::money::Money;
use crate::base::time::Duration;
use crate::base::yaml::{Fields, Node, Reader, Shape, Type, key, required};

/// What is asked of a trunk's calls; of each 0 asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// The least share of calls that are answered, percent.
    pub asr: u32,
    /// The least mean length of answered calls.
    pub acd: Duration,
    /// The longest mean delay until it rings.
    pub pdd: Duration,
    /// The least mean opinion score, hundredths.
    pub mos: u32,
}

impl Quality {
    pub const NONE: Quality = Quality { asr: 0, acd: Duration::ZERO, pdd: Duration::ZERO, mos: 0 };
}

/// When a trunk is taken out and returns (`trunks[].health`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How far back calls are looked at.
    pub window: Duration,
    /// Fewer calls in the window say nothing.
    pub samples: u32,
    pub quality: Quality,
    /// How long it stays out the first time; each further time in a row twice as long.
    pub rest: Duration,
}

impl Default for Health {
    fn default() -> Health {
        health(&Fields::of(&read::EMPTY, &HEALTH))
    }
}

/// How least-cost routing chooses (`lcr`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lcr {
    pub currency: String,
    /// Of the hours in rate cards and caps.
    pub timezone: String,
    /// A minute, in millionths; what is dearer is not tried.
    pub max_price: Option<u64>,
    /// Trunks that do less well come after all that do.
    pub quality: Quality,
}

/// Whose calls a cap counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Per {
    /// Each user's, and those of each trunk that come from it.
    #[default]
    Source,
    /// Those that go to each trunk.
    Trunk,
    All,
}

impl Per {
    pub const ALL: [Per; 3] = [Per::Source, Per::Trunk, Per::All];

    pub const fn as_str(self) -> &'static str {
        match self {
            Per::Source => "source",
            Per::Trunk => "trunk",
            Per::All => "all",
        }
    }
}

/// A cap on calls to a class of destinations (`tolls`); of each limit `None` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toll {
    pub name: String,
    /// Leading digits of numbers, without `+`; none: every number.
    pub prefixes: Vec<String>,
    /// Of these, what is not meant.
    pub except: Vec<String>,
    pub per: Per,
    /// Calls at once.
    pub calls: Option<u32>,
    pub calls_per_hour: Option<u32>,
    /// In millionths, by the rates of the trunks called.
    pub spend_per_hour: Option<u64>,
    /// When it holds, in `lcr.timezone`; `None`: always.
    pub hours: Option<String>,
    /// What is over the cap is refused, not only told.
    pub stops: bool,
    pub status: u16,
}

static PREFIX: Type = Type::Form("leading digits of a number such as +4490", is_prefix);
const AMOUNT: Type = Type::Form("an amount such as 0.50", is_amount);
const COUNT: Type = Type::Int(0, 1_000_000);
const ASR: Type = Type::Int(0, 100);
const SCORE: Type = Type::Form("a mean opinion score from 1 to 5 such as 3.5", is_score);

pub static QUALITY: Shape = Shape {
    name: "quality",
    doc: "",
    keys: &[
        key("asr", ASR, "0", "The least share of its calls that are answered, in percent; 0 asks nothing."),
        key("acd", Type::Duration, "0s", "The least mean length of answered calls; 0s asks nothing."),
        key("pdd", Type::Duration, "0s", "The longest mean delay until it rings; 0s asks nothing."),
        key("mos", SCORE, "", "The least mean opinion score of what is heard from it."),
    ],
    prefixed: None,
};

pub static HEALTH: Shape = Shape {
    name: "trunk's health",
    doc: "When a trunk is taken out since its calls fare badly, and when it returns. While no other is left it is tried all the same.",
    keys: &[
        key("window", Type::Duration, "15m", "How far back its calls are looked at."),
        key("samples", Type::Int(1, 1_000), "20", "Fewer calls in the window say nothing."),
        key("asr", ASR, "0", "The least share of its calls that are answered, in percent; 0 asks nothing."),
        key("acd", Type::Duration, "0s", "The least mean length of answered calls; 0s asks nothing."),
        key("pdd", Type::Duration, "0s", "The longest mean delay until it rings; 0s asks nothing."),
        key("mos", SCORE, "", "The least mean opinion score of what is heard from it."),
        key(
            "rest",
            Type::Duration,
            "5m",
            "How long it stays out; then it is measured anew, and if it fails again stays out twice as long, up to a day.",
        ),
    ],
    prefixed: None,
};

pub static LCR: Shape = Shape {
    name: "lcr section",
    doc: "How a dial with `lcr: true` orders trunks by their rates.",
    keys: &[
        key("currency", Type::Text, "USD", "Of all amounts."),
        key("timezone", Type::Text, "UTC", "Of the hours in rate cards and of tolls."),
        key("max_price", AMOUNT, "", "A minute: trunks that are dearer are not tried."),
        key("quality", Type::Map(&QUALITY), "", "Trunks that do less well come after all that do."),
    ],
    prefixed: None,
};

pub static TOLL: Shape = Shape {
    name: "toll",
    doc: "A cap on calls by trunks to a class of destinations. Emergency numbers are not counted.",
    keys: &[
        required("name", shapes::NAME, "What it is called in the log and on timelines."),
        key("prefixes", Type::OneOrMore(&PREFIX), "", "Numbers that begin so; every number if missing."),
        key("except", Type::OneOrMore(&PREFIX), "", "Of those, what is not meant."),
        key(
            "per",
            Type::Choice(&["source", "trunk", "all"]),
            "source",
            "Whose calls are counted together: each user's or trunk's from which they come, those to each trunk, or all.",
        ),
        key("calls", COUNT, "", "The most calls at once; 0: none at all."),
        key("calls_per_hour", COUNT, "", "The most calls in an hour."),
        key("spend_per_hour", AMOUNT, "", "What calls may cost in an hour, by the rates of the trunks called."),
        key("hours", Type::Text, "", "When it holds, such as 20:00-07:00, sat, sun; always if missing."),
        key("then", Type::Choice(&["refuse", "alert"]), "refuse", "alert: it is told, and the call goes on."),
        key("status", Type::Int(400, 699), "603", "What a refused call gets."),
    ],
    prefixed: None,
};

fn is_prefix(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.len() <= 32 && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_amount(text: &str) -> bool {
    Money::parse(text).is_some()
}

fn is_score(text: &str) -> bool {
    score(text).is_some()
}

/// Hundredths.
fn score(text: &str) -> Option<u32> {
    let hundredths = Money::parse(text)?.0 / 10_000;
    u32::try_from(hundredths).ok().filter(|s| (100..=500).contains(s))
}

fn quality(f: &Fields<'_>) -> Quality {
    Quality {
        asr: f.int("asr"),
        acd: f.duration("acd").unwrap_or_default(),
        pdd: f.duration("pdd").unwrap_or_default(),
        mos: f.text("mos").and_then(score).unwrap_or(0),
    }
}

pub fn health(f: &Fields<'_>) -> Health {
    Health {
        window: f.duration("window").unwrap_or_default(),
        samples: f.int("samples"),
        quality: quality(f),
        rest: f.duration("rest").unwrap_or_default(),
    }
}

/// `tolls` and `lcr`.
pub fn lcr(f: &Fields<'_>) -> Lcr {
    Lcr {
        currency: f.string("currency"),
        timezone: f.string("timezone"),
        max_price: f.text("max_price").and_then(Money::parse).map(|m| m.0),
        quality: quality(&Fields::of(f.get("quality").unwrap_or(&read::EMPTY), &QUALITY)),
    }
}

pub fn tolls(reader: &mut Reader, nodes: &[Node], trunks: &[Trunk]) -> Vec<Toll> {
    let mut tolls: Vec<Toll> = Vec::new();
    for node in nodes {
        let f = Fields::of(node, &TOLL);
        let digits = |key| f.texts(key).iter().map(|p| p.trim_start_matches('+').to_owned()).collect::<Vec<_>>();
        let count = |key| f.get(key).map(|_| f.int(key));
        let toll = Toll {
            name: f.string("name"),
            prefixes: digits("prefixes"),
            except: digits("except"),
            per: f.text("per").and_then(|t| Per::ALL.into_iter().find(|p| p.as_str() == t)).unwrap_or_default(),
            calls: count("calls"),
            calls_per_hour: count("calls_per_hour"),
            spend_per_hour: f.text("spend_per_hour").and_then(Money::parse).map(|m| m.0),
            hours: f.text("hours").map(str::to_owned),
            stops: f.text("then") != Some("alert"),
            status: u16::try_from(f.int("status")).unwrap_or(603),
        };
        if toll.calls.is_none() && toll.calls_per_hour.is_none() && toll.spend_per_hour.is_none() {
            let what = format!("toll {} caps nothing", toll.name);
            reader.fault(node.at, what, "expected calls, calls_per_hour or spend_per_hour");
        }
        if let Some(at) = f.get("spend_per_hour").map(|n| n.at)
            && trunks.iter().all(|t| t.rates.is_none())
        {
            reader.fault(at, "spend without prices", "expected rates of at least one trunk");
        }
        if tolls.iter().any(|t| t.name == toll.name) {
            reader.fault(node.at, format!("toll {} stands twice", toll.name), "expected each name once");
        }
        tolls.push(toll);
    }
    tolls
}
