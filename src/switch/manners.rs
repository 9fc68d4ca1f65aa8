//! How a trunk wants to be spoken to, put into force: the form of numbers, headers, the caller's identity.

use super::dialing::escape_user;
use super::world::World;
use crate::config::identity::{Sign, is_among};
use crate::config::{Config, HeaderRule, Identity, Manners, NumberRule, User};
use crate::sip::wire::{HeaderName, Message, NameAddr};
use crate::verb::Pattern;
use std::collections::BTreeMap;

/// Headers of a caller that are kept for those who are called, at most.
const KEPT_MAX: usize = 32;

/// Headers that say who calls; only those within the trust domain are believed.
const IDENTITIES: [&str; 3] = ["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"];

type Headers = Vec<(String, String)>;

/// Number rules of a trunk, ready to be matched.
#[derive(Default)]
struct Numbers {
    inbound: Vec<(Pattern, String)>,
    outbound: Vec<(Pattern, String)>,
}

/// Those of all trunks, and the headers that any of them passes.
#[derive(Default)]
pub struct AllManners {
    numbers: BTreeMap<String, Numbers>,
    passed: Vec<String>,
    /// Calls to some trunk are signed by what is known of the caller.
    signs: bool,
}

/// Which way a number goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    In,
    Out,
}

impl AllManners {
    pub fn new(config: &Config) -> AllManners {
        // A pattern that is none was refused when the configuration was read.
        let compiled = |rules: &[NumberRule]| {
            rules.iter().filter_map(|r| Some((Pattern::parse(&r.matches).ok()?, r.to.clone()))).collect()
        };
        let numbers = |m: &Manners| Numbers { inbound: compiled(&m.numbers_in), outbound: compiled(&m.numbers_out) };
        let rules = config.trunks.iter().flat_map(|t| t.manners.headers_in.iter().chain(&t.manners.headers_out));
        let passed = rules.filter_map(|rule| match rule {
            HeaderRule::Pass(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let mut passed: Vec<String> = passed.collect();
        passed.sort();
        passed.dedup();
        let numbers = config.trunks.iter().map(|t| (t.name.clone(), numbers(&t.manners))).collect();
        let signs = config.trunks.iter().any(|t| t.identity.sign == Sign::Auto);
        AllManners { numbers, passed, signs }
    }

    pub const fn signs(&self) -> bool {
        self.signs
    }

    /// A number as the trunk's rules write it; the first that matches does.
    pub fn number(&self, trunk: &str, way: Way, number: &str) -> String {
        let rules = self.numbers.get(trunk).map(|n| if way == Way::In { &n.inbound } else { &n.outbound });
        let found = rules.into_iter().flatten().find_map(|(pattern, to)| Some((pattern.captures(number)?, to)));
        found.map_or_else(|| number.to_owned(), |(groups, to)| filled(to, &groups))
    }

    /// The headers of an INVITE that some trunk's rules pass on. What somebody outside the trust domain says of who calls is not among
    /// them (RFC 3325 §5).
    pub fn kept(&self, invite: &Message, trusted: bool) -> Headers {
        let is_claim = |name: &str| IDENTITIES.iter().any(|i| i.eq_ignore_ascii_case(name));
        let passes =
            |name: &str| self.passed.iter().any(|p| p.eq_ignore_ascii_case(name)) && (trusted || !is_claim(name));
        let found = invite.fields().filter(|(name, _)| passes(name)).take(KEPT_MAX);
        found.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// `$1` to `$9` replaced by what the groups caught.
fn filled(to: &str, groups: &[String]) -> String {
    let mut out = String::with_capacity(to.len() + 16);
    let mut rest = to.chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek().and_then(|d| d.to_digit(10)).filter(|d| c == '$' && *d > 0) {
            Some(digit) => {
                rest.next();
                out.push_str(groups.get(digit as usize - 1).map_or("", String::as_str));
            }
            None => out.push(c),
        }
    }
    out
}

/// Applies header rules to what a message has; `kept` is what may be passed.
pub fn apply(rules: &[HeaderRule], headers: &mut Headers, kept: &[(String, String)]) {
    for rule in rules {
        match rule {
            HeaderRule::Add(name, value) => headers.push((name.clone(), value.clone())),
            HeaderRule::Remove(name) => headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name)),
            HeaderRule::Replace(name, value) => {
                headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
                headers.push((name.clone(), value.clone()));
            }
            HeaderRule::Pass(name) => {
                headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
                headers.extend(kept.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).cloned());
            }
        }
    }
}

/// What the dialplan sees of a header of a trunk's INVITE.
pub fn seen(rules: &[HeaderRule], invite: &Message, name: &str) -> Option<String> {
    let named = |n: &String| n.eq_ignore_ascii_case(name);
    let mut value = invite.header_named(name).map(str::to_owned);
    for rule in rules {
        match rule {
            HeaderRule::Add(n, v) if named(n) => value = value.or_else(|| Some(v.clone())),
            HeaderRule::Replace(n, v) if named(n) => value = Some(v.clone()),
            HeaderRule::Remove(n) if named(n) => value = None,
            _ => {}
        }
    }
    value
}

/// The header that names a trunk's caller.
pub fn caller_of(identity: Identity, invite: &Message) -> Option<NameAddr<'_>> {
    let named = match identity {
        Identity::Pai => invite.headers(HeaderName::PAssertedIdentity).next(),
        Identity::Rpid => invite.header_named("Remote-Party-ID"),
        Identity::From => None,
    };
    named.and_then(NameAddr::parse).or(invite.from())
}

/// Number and name that a user wishes to be shown with (P-Preferred-Identity, RFC 3325 §9.2), if it is one of the user's own.
pub fn preferred(user: &User, request: &Message) -> Option<(String, String)> {
    let wishes = request.headers(HeaderName::PPreferredIdentity).filter_map(NameAddr::parse);
    let mut named = wishes.filter_map(|wish| {
        let number = wish.parsed_uri()?.user_decoded().into_owned();
        Some((number, wish.display().into_owned()))
    });
    let (number, name) =
        named.find(|(number, _)| *number == user.name || !number.is_empty() && is_among(&user.numbers, number))?;
    Some((number, if name.is_empty() { user.display.clone().unwrap_or_default() } else { name }))
}

/// Who calls, as a called party may be told.
pub struct Caller<'a> {
    pub number: &'a str,
    pub name: &'a str,
    pub withheld: bool,
    /// What verification says of it, where that is told in P-Asserted-Identity; else "".
    pub verstat: &'a str,
}

impl World {
    /// From, and the headers that name the caller beside it, of an INVITE to a trunk (RFC 3325 §9.1, RFC 3323 §4.1.1.3).
    pub fn identity_for(&self, trunk: &str, caller: &Caller<'_>) -> (String, Headers) {
        let manners = self.trunks.get(trunk).map(|t| &t.manners);
        let Some(policy) = manners.map(|m| &m.caller_id) else { return (String::new(), Vec::new()) };
        let domain = policy.domain.as_deref().unwrap_or(&self.config.sip.domain);
        let number = self.manners.number(trunk, Way::Out, caller.number);
        let withheld = caller.withheld && !policy.shows_withheld;
        let name = caller.name.replace(['"', '\\', '\r', '\n'], "");
        let shown = if name.is_empty() { String::new() } else { format!("\"{name}\" ") };
        let address = |user: &str| {
            let user = escape_user(user);
            format!("<sip:{user}{}{domain}>", if user.is_empty() { "" } else { "@" })
        };
        let from = match (&policy.user, withheld) {
            (Some(user), _) => address(user),
            (None, true) => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
            (None, false) => format!("{shown}{}", address(&number)),
        };
        let identity = match caller.verstat {
            "" => format!("{shown}{}", address(&number)),
            verstat => format!("{shown}{}", address(&format!("{number};verstat={verstat}"))),
        };
        let mut headers = Vec::new();
        match policy.send.filter(|_| policy.trusted || !withheld) {
            Some(Identity::Pai) => headers.push(("P-Asserted-Identity".into(), identity)),
            Some(Identity::Rpid) => {
                let privacy = if withheld { "full" } else { "off" };
                headers
                    .push(("Remote-Party-ID".into(), format!("{identity};party=calling;privacy={privacy};screen=yes")));
            }
            _ => {}
        }
        if withheld && policy.send == Some(Identity::Pai) && policy.trusted {
            headers.push(("Privacy".into(), "id".into()));
        }
        (from, headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_form_of_the_first_rule_that_matches() {
        let text = "trunks:\n  - { name: de, context: c, inbound: 10.0.0.1, numbers: { country: 49, inbound: [ { match: /^7(\\d+)x(\\d)$/, to: \"$2-$1$3\" } ], outbound: [ { match: /^\\+49(\\d+)$/, to: \"0$1\" }, { match: \"112\", to: \"00112\" } ] } }\n  - { name: us, context: c, inbound: 10.0.0.2, numbers: { country: 1 } }\n";
        let config = Config::read("t", text, &crate::config::NoSecrets).unwrap().config;
        let all = AllManners::new(&config);
        for (trunk, way, number, want) in [
            ("de", Way::In, "00442071234", "+442071234"),
            ("de", Way::In, "030123", "+4930123"),
            ("de", Way::In, "+4930123", "+4930123"),
            ("de", Way::In, "112", "112"),
            ("de", Way::In, "712x3", "3-12"),
            ("de", Way::Out, "+4930123", "030123"),
            ("de", Way::Out, "112", "00112"),
            ("de", Way::Out, "1120", "1120"),
            ("us", Way::In, "2125550100", "+12125550100"),
            ("us", Way::In, "12125550100", "+12125550100"),
            ("us", Way::In, "01144207", "+44207"),
            ("us", Way::In, "911", "911"),
            ("us", Way::Out, "911", "911"),
            ("none", Way::In, "030", "030"),
        ] {
            assert_eq!(all.number(trunk, way, number), want, "{trunk} {way:?} {number}");
        }
    }

    #[test]
    fn header_rules_apply_in_their_order() {
        let (text, own) = (|t: &str| t.to_owned(), |n: &str, v: &str| (n.to_owned(), v.to_owned()));
        let kept = [own("X-Id", "7"), own("X-Other", "8")];
        for (rules, want) in [
            (vec![HeaderRule::Add(text("X-A"), text("2"))], vec![own("X-A", "1"), own("X-A", "2")]),
            (vec![HeaderRule::Replace(text("x-a"), text("2"))], vec![own("x-a", "2")]),
            (vec![HeaderRule::Remove(text("x-a"))], vec![]),
            (vec![HeaderRule::Pass(text("x-id"))], vec![own("X-A", "1"), own("X-Id", "7")]),
            (vec![HeaderRule::Pass(text("X-Id")), HeaderRule::Remove(text("X-Id"))], vec![own("X-A", "1")]),
        ] {
            let mut headers = vec![own("X-A", "1")];
            apply(&rules, &mut headers, &kept);
            assert_eq!(headers, want, "{rules:?}");
        }
    }
}
