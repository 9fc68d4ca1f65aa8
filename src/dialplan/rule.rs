//! One rule: what it matches and when, and the sentence that says why.

use crate::base::time::Wall;
use crate::verb::{BlockId, Dates, Hours, Pattern};
use std::sync::Arc;

/// What matching sees of a call.
#[derive(Clone)]
pub struct CallFacts<'a> {
    /// User part of From's URI (or P-Asserted-Identity's from a trusted trunk), decoded.
    pub from: &'a str,
    pub from_name: &'a str,
    /// User part of the Request-URI, decoded.
    pub to: &'a str,
    pub trunk: Option<&'a str>,
    pub user: Option<&'a str>,
    /// Value of a header by its name, any case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub at: Wall,
    pub proof: Proof<'a>,
}

/// What verification says of the caller's number; "" if nothing is known.
#[derive(Clone, Copy, Default)]
pub struct Proof<'a> {
    /// "TN-Validation-Passed", "TN-Validation-Failed", "No-TN-Validation".
    pub verstat: &'a str,
    /// "A", "B" or "C".
    pub attest: &'a str,
}

#[derive(Debug)]
pub struct Rule {
    pub(super) name: String,
    /// `file:line`.
    pub(super) at: Arc<str>,
    /// In the order in which captures are numbered.
    pub(super) matches: Vec<Match>,
    pub(super) when: Option<When>,
    pub(super) entry: BlockId,
}

/// A property of the call and its patterns, one of which must match.
#[derive(Debug)]
pub struct Match {
    pub(super) property: Property,
    pub(super) patterns: Vec<Pattern>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Property {
    To,
    From,
    Trunk,
    User,
    Header(String),
}

/// All that is named must hold.
#[derive(Debug, Default)]
pub struct When {
    pub(super) hours: Vec<Hours>,
    pub(super) dates: Option<Dates>,
    /// One of these; empty: whatever it is.
    pub(super) verstat: Vec<String>,
    pub(super) not: Option<Box<When>>,
}

impl Rule {
    /// Its name, or `file:line`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn at(&self) -> &Arc<str> {
        &self.at
    }

    pub(super) const fn entry(&self) -> BlockId {
        self.entry
    }

    /// What the groups caught if the rule holds, else `None`.
    pub(super) fn captures(&self, facts: &CallFacts<'_>) -> Option<Vec<String>> {
        let mut all = Vec::new();
        for m in &self.matches {
            all.extend(m.captures(facts)?.1);
        }
        self.when.as_ref().is_none_or(|w| w.holds(facts)).then_some(all)
    }

    /// How many groups its patterns have at least, whichever of the alternatives match.
    pub(super) fn groups(&self) -> usize {
        self.matches.iter().map(|m| m.patterns.iter().map(Pattern::groups).max().unwrap_or(0)).sum()
    }

    /// Whether it holds, and why: what matched, or the first thing that did not.
    pub(super) fn verdict(&self, facts: &CallFacts<'_>) -> (bool, String) {
        let mut said = Vec::new();
        let mut group = 0;
        for m in &self.matches {
            let name = m.property.name();
            let Some(value) = m.property.value(facts) else { return (false, format!("the call has no {name}")) };
            let Some((pattern, captures)) = m.captures(facts) else {
                let patterns: Vec<String> = m.patterns.iter().map(ToString::to_string).collect();
                return (false, format!("{name} \"{value}\" does not match {}", patterns.join(" or ")));
            };
            let caught = captures.iter().map(|text| {
                group += 1;
                format!("${group} = \"{text}\"")
            });
            let caught: Vec<String> = caught.collect();
            let groups = if caught.is_empty() { String::new() } else { format!(" ({})", caught.join(", ")) };
            said.push(match pattern {
                Pattern::Literal(text) => format!("{name} is \"{text}\""),
                Pattern::Expression(_) => format!("{name} \"{value}\" matches {pattern}{groups}"),
            });
        }
        if let Some(when) = &self.when {
            match when.verdict(facts) {
                (true, why) => said.push(why),
                (false, why) => return (false, why),
            }
        }
        if said.is_empty() {
            said.push("it takes every call".to_owned());
        }
        (true, said.join("; "))
    }
}

impl Match {
    /// The first pattern that matches and what it caught.
    fn captures(&self, facts: &CallFacts<'_>) -> Option<(&Pattern, Vec<String>)> {
        let value = self.property.value(facts)?;
        self.patterns.iter().find_map(|p| p.captures(&value).map(|c| (p, c)))
    }
}

impl Property {
    fn name(&self) -> String {
        match self {
            Property::To => "to".into(),
            Property::From => "from".into(),
            Property::Trunk => "trunk".into(),
            Property::User => "user".into(),
            Property::Header(name) => format!("header {name}"),
        }
    }

    fn value<'a>(&self, facts: &CallFacts<'a>) -> Option<std::borrow::Cow<'a, str>> {
        match self {
            Property::To => Some(facts.to.into()),
            Property::From => Some(facts.from.into()),
            Property::Trunk => facts.trunk.map(Into::into),
            Property::User => facts.user.map(Into::into),
            Property::Header(name) => (facts.header)(name).map(Into::into),
        }
    }
}

impl When {
    fn holds(&self, facts: &CallFacts<'_>) -> bool {
        let at = facts.at;
        (self.hours.is_empty() || self.hours.iter().any(|h| h.contains(at)))
            && self.dates.as_ref().is_none_or(|d| d.contains(at))
            && (self.verstat.is_empty() || self.is_proved(facts))
            && self.not.as_ref().is_none_or(|n| !n.holds(facts))
    }

    /// The caller's verstat, alone or with its attestation, is one of those named.
    fn is_proved(&self, facts: &CallFacts<'_>) -> bool {
        let Proof { verstat, attest } = facts.proof;
        let is = |wanted: &String| {
            wanted == verstat
                || wanted.strip_prefix(verstat).and_then(|w| w.strip_prefix('-')) == Some(attest) && !verstat.is_empty()
        };
        self.verstat.iter().any(is)
    }

    fn verdict(&self, facts: &CallFacts<'_>) -> (bool, String) {
        let at = facts.at;
        let mut said = Vec::new();
        if let Some(first) = self.hours.first() {
            let all: Vec<String> = self.hours.iter().map(|h| format!("\"{h}\"")).collect();
            let (here, holds) = (first.local_time(at), self.hours.iter().any(|h| h.contains(at)));
            said.push((holds, format!("{here} is {}within {}", if holds { "" } else { "not " }, all.join(" or "))));
        }
        if let Some(dates) = &self.dates {
            let holds = dates.contains(at);
            said.push((
                holds,
                format!("{} is {}one of {dates}", dates.local_time(at), if holds { "" } else { "not " }),
            ));
        }
        if !self.verstat.is_empty() {
            let Proof { verstat, attest } = facts.proof;
            let found = if verstat.is_empty() { "unknown".to_owned() } else { format!("{verstat} {attest}") };
            let holds = self.is_proved(facts);
            let wanted = self.verstat.join(" or ");
            said.push((
                holds,
                format!("verstat is {}, {}{wanted}", found.trim_end(), if holds { "as " } else { "not " }),
            ));
        }
        if let Some(not) = &self.not {
            let (inner, why) = not.verdict(facts);
            said.push((!inner, if inner { format!("{why}, which `not` excludes") } else { why }));
        }
        if let Some((_, why)) = said.iter().find(|(holds, _)| !holds) {
            return (false, why.clone());
        }
        (true, said.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(" and "))
    }
}
