//! Callers' identities: what is signed for them, what is verified, and whose numbers are whose (STIR/SHAKEN).

use super::shapes;
use super::{Certificate, Config};
use crate::base::time::Duration;
use crate::base::yaml::{Fields, Node, Reader, Shape, Type, key};
use std::path::PathBuf;

/// `sip.identity`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Identities {
    /// `None`: nothing is signed.
    pub signing: Option<Signing>,
    /// PEM file of the authorities whose certificates callers may be signed by; `None`: nothing is verified.
    pub roots: Option<PathBuf>,
    /// How old, or how far ahead of our clock, a token may be.
    pub fresh: Duration,
    /// The longest that a call waits for its verification.
    pub wait: Duration,
    /// Numbers that are the operator's own, to whichever user.
    pub numbers: Vec<String>,
    /// Tells the verdict to our phones, and to trunks that we sign for nobody to.
    pub verstat: Told,
}

/// Where a verdict is told to those who are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Told {
    /// As a parameter of P-Asserted-Identity.
    #[default]
    Pai,
    From,
    Nowhere,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    pub own: Certificate,
    /// Where verifiers find the certificate.
    pub x5u: String,
    /// A UUID; `None`: one is made of the node's and the origin's name.
    pub origid: Option<String>,
}

/// What is done with the Identity of calls that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verify {
    /// Nothing.
    Pass,
    /// It is verified, and the call goes on whatever comes of it.
    #[default]
    Mark,
    /// Calls that are not proved are refused.
    Refuse,
}

/// What calls to a trunk are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sign {
    #[default]
    None,
    /// By what is known of the caller.
    Auto,
    /// "A", "B" or "C", whoever calls.
    As(char),
}

/// A trunk's part.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TrunkIdentity {
    pub sign: Sign,
    pub verify: Verify,
    /// Numbers that this customer has a right to; `None`: it is no customer, but a network of others.
    pub numbers: Option<Vec<String>>,
}

impl Sign {
    /// As it is written.
    pub fn from_name(name: &str) -> Option<Sign> {
        Some(match name {
            "auto" => Sign::Auto,
            "none" => Sign::None,
            "A" | "B" | "C" => Sign::As(name.chars().next()?),
            _ => return None,
        })
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Sign::None => "none",
            Sign::Auto => "auto",
            Sign::As('A') => "A",
            Sign::As('B') => "B",
            Sign::As(_) => "C",
        }
    }
}

impl Verify {
    pub const ALL: [Verify; 3] = [Verify::Pass, Verify::Mark, Verify::Refuse];

    pub const fn as_str(self) -> &'static str {
        match self {
            Verify::Pass => "pass",
            Verify::Mark => "mark",
            Verify::Refuse => "refuse",
        }
    }
}

impl Told {
    pub const fn as_str(self) -> &'static str {
        match self {
            Told::Pai => "pai",
            Told::From => "from",
            Told::Nowhere => "none",
        }
    }
}

/// Whether a number is one of a list: as it stands there, or, where a `*` ends that, begins so. Plus signs do not count.
pub fn is_among(numbers: &[String], number: &str) -> bool {
    let plain = |text: &'_ str| text.strip_prefix('+').unwrap_or(text).to_owned();
    let number = plain(number);
    numbers.iter().any(|own| match own.strip_suffix('*') {
        Some(begin) => number.starts_with(&plain(begin)),
        None => plain(own) == number,
    })
}

pub static NUMBER: Type = Type::Form("a number such as +14155550100, or +1415555* for all that begin so", is_number);

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let digits = digits.strip_suffix('*').unwrap_or(digits);
    !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit())
}

pub static IDENTITY: Shape = Shape {
    name: "identity section",
    doc: "Callers' identities, signed and verified (STIR/SHAKEN). What of it is done with a trunk's calls stands in the trunk.",
    keys: &[
        key(
            "certificate",
            Type::Text,
            "",
            "PEM file of the certificate chain that calls are signed with, our own first.",
        ),
        key("key", Type::Text, "", "PEM file of its private key (P-256)."),
        key("x5u", Type::Form("an https:// address", is_address), "", "Where others find the certificate."),
        key(
            "origid",
            Type::Form("a UUID such as 123e4567-e89b-12d3-a456-426655440000", is_uuid),
            "",
            "What traces a call back to us; one a user or trunk, made of their names, if missing.",
        ),
        key(
            "numbers",
            Type::OneOrMore(&NUMBER),
            "",
            "Our own numbers: whoever of ours calls with one has a right to it.",
        ),
        key(
            "roots",
            Type::Text,
            "",
            "PEM file of the authorities whose signatures are believed; nothing is verified without it.",
        ),
        key("fresh", Type::Duration, "60s", "How old, or how far ahead of our clock, a signature may be."),
        key("wait", Type::Duration, "2s", "The longest that a call waits for its verification; it has failed then."),
        key(
            "verstat",
            Type::Choice(&["pai", "from", "none"]),
            "pai",
            "Where our phones are told what became of the verification: a parameter of the number in P-Asserted-Identity, or in From.",
        ),
    ],
    prefixed: None,
};

pub static TRUNK_IDENTITY: Shape = Shape {
    name: "trunk's identity section",
    doc: "",
    keys: &[
        key(
            "sign",
            Type::Choice(&["none", "auto", "A", "B", "C"]),
            "none",
            "How calls to it are signed. auto: A if the number is the caller's own, B if the caller is a user or customer of ours, C if it came from elsewhere.",
        ),
        key(
            "verify",
            Type::Choice(&["pass", "mark", "refuse"]),
            "mark",
            "Its calls. pass: not looked at; mark: verified, and the dialplan told; refuse: those not proved are refused (428, 403, 436, 437, 438).",
        ),
        key(
            "numbers",
            Type::OneOrMore(&NUMBER),
            "",
            "It is a customer, with a right to these numbers; without this it is a network of others.",
        ),
    ],
    prefixed: None,
};

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|r| {
        !r.is_empty() && r.len() < 512 && r.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
    })
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

pub fn identities(reader: &mut Reader, f: &Fields<'_>) -> Identities {
    let path = |key| f.get(key).and_then(Node::text).map(PathBuf::from);
    let signing = match (path("certificate"), path("key"), f.text("x5u")) {
        (Some(certificate), Some(key), Some(x5u)) => {
            let origid = f.get("origid").and_then(Node::text).map(str::to_ascii_lowercase);
            Some(Signing { own: Certificate { certificate, key }, x5u: x5u.to_owned(), origid })
        }
        (None, None, None) => None,
        _ => {
            reader.fault(f.at(), "calls can be signed with only part of this", "expected certificate, key and x5u");
            None
        }
    };
    Identities {
        signing,
        roots: path("roots"),
        fresh: f.duration("fresh").unwrap_or_default(),
        wait: f.duration("wait").unwrap_or_default(),
        numbers: f.texts("numbers"),
        verstat: match f.text("verstat") {
            Some("from") => Told::From,
            Some("none") => Told::Nowhere,
            _ => Told::Pai,
        },
    }
}

pub fn trunk(f: &Fields<'_>) -> TrunkIdentity {
    TrunkIdentity {
        sign: f.text("sign").and_then(Sign::from_name).unwrap_or_default(),
        verify: Verify::ALL.into_iter().find(|v| Some(v.as_str()) == f.text("verify")).unwrap_or_default(),
        numbers: f.get("numbers").map(|_| f.texts("numbers")),
    }
}

/// What is asked for and cannot be done.
pub fn unmet(reader: &mut Reader, config: &Config, trunks: &[Node]) {
    let identity = &config.sip.identity;
    for (node, trunk) in trunks.iter().zip(&config.trunks) {
        let f = Fields::of(node, &shapes::TRUNK);
        let Some(section) = f.get("identity") else { continue };
        let at = |key| section.get(key).map_or(section.at, |node| node.at);
        if trunk.identity.sign != Sign::None && identity.signing.is_none() {
            let what = format!("calls to trunk {} cannot be signed", trunk.name);
            reader.fault(at("sign"), what, "expected sip.identity with certificate, key and x5u");
        }
        if trunk.identity.verify == Verify::Refuse && identity.roots.is_none() {
            let what = format!("calls of trunk {} cannot be verified", trunk.name);
            reader.fault(at("verify"), what, "expected sip.identity.roots");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NoSecrets;

    fn read(text: &str) -> Result<Config, String> {
        let read = Config::read("t", text, &NoSecrets);
        read.map(|l| l.config).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_section_is_read() {
        let text = "sip: { identity: { certificate: c.pem, key: k.pem, x5u: \"https://a/c\", numbers: +1415*, roots: r.pem } }\n\
                    trunks: [ { name: t, context: c, inbound: 10.0.0.1, identity: { sign: auto, verify: refuse, numbers: [+1, \"49*\"] } } ]\n";
        let config = read(text).unwrap();
        assert_eq!(config.sip.identity.fresh, Duration::from_secs(60));
        assert_eq!(config.sip.identity.signing.as_ref().map(|s| s.x5u.as_str()), Some("https://a/c"));
        let own = &config.trunks[0].identity;
        assert_eq!(
            (own.sign, own.verify, own.numbers.as_deref().map(<[String]>::len)),
            (Sign::Auto, Verify::Refuse, Some(2))
        );
    }

    #[test]
    fn faults_are_located() {
        let trunk =
            |own: &str| format!("trunks:\n  - {{ name: t, context: c, inbound: 10.0.0.1, identity: {{ {own} }} }}\n");
        for (text, want) in [
            (trunk("sign: A"), "t:2:65: calls to trunk t cannot be signed"),
            (trunk("verify: refuse"), "t:2:67: calls of trunk t cannot be verified"),
            ("sip:\n  identity: { certificate: a.pem }\n".into(), "t:2:13: calls can be signed with only part of this"),
            ("sip:\n  identity: { x5u: \"ftp://a\" }\n".into(), "t:2:20:"),
            ("sip:\n  identity: { origid: 1-2 }\n".into(), "t:2:23:"),
            (trunk("numbers: abc"), "t:2:68:"),
        ] {
            let faults = read(&text).expect_err(&text);
            assert!(faults.contains(want), "{want}: {faults}");
        }
    }

    #[test]
    fn numbers_are_whole_or_begin_so() {
        let own = ["+1415*".to_owned(), "49301".to_owned()];
        for (number, want) in
            [("+14155550100", true), ("1415", true), ("+49301", true), ("+493012", false), ("", false)]
        {
            assert_eq!(is_among(&own, number), want, "{number}");
        }
    }
}
