//! The YAML dialplan: rules, matching, compilation into [`crate::verb::Program`]s, its tests, its explanation.

mod expect;
mod load;
mod pay;
mod rule;
pub mod shapes;
mod steps;
mod testing;

pub use rule::{CallFacts, Proof, Rule};
pub use testing::{EntryPoints, Performed, TestResult};

use crate::base::yaml::{Fault, nearest};
use crate::verb::{Pattern, Program, Script};
use rule::Property;
use std::sync::Arc;

/// All contexts of all dialplan files, checked against the names that the configuration defines.
#[derive(Debug, Default)]
pub struct Dialplan {
    contexts: Vec<Context>,
    program: Arc<Program>,
    /// Headers that some step reads: they become variables when a rule takes a call.
    headers: Vec<String>,
    tests: Vec<expect::Test>,
}

#[derive(Debug)]
struct Context {
    name: String,
    rules: Vec<Rule>,
}

/// The names that a dialplan may use. `None` leaves a kind unchecked.
pub struct Names<'a> {
    pub trunks: Option<&'a [String]>,
    pub users: Option<&'a [String]>,
    /// `Err` says why a prompt cannot be played: "there is no file …".
    pub prompt: &'a dyn Fn(&str) -> Result<(), String>,
}

impl Names<'_> {
    /// Leaves all unchecked.
    pub const ANY: Names<'static> = Names { trunks: None, users: None, prompt: &|_| Ok(()) };
}

/// A rule that took a call.
#[derive(Debug)]
pub struct Taken {
    /// Its name, or `file:line`.
    pub rule: String,
    /// One sentence for the timeline: which rule, what matched, with which captures.
    pub why: String,
    pub script: Script,
}

/// What one rule says of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleVerdict {
    /// Its name, or `file:line`.
    pub rule: String,
    /// `file:line`.
    pub at: Arc<str>,
    pub holds: bool,
    pub why: String,
}

impl Dialplan {
    /// Reads dialplan files: each a path for faults, and its text.
    pub fn load(files: &[(String, String)], names: &Names<'_>) -> Result<Dialplan, Vec<Fault>> {
        load::load(files, names)
    }

    /// The first rule of the context whose `match` and `when` hold; `Err` is the sentence that says why none did.
    pub fn route(&self, context: &str, facts: &CallFacts<'_>) -> Result<Taken, String> {
        let found = self.context(context)?;
        for rule in &found.rules {
            let Some(captures) = rule.captures(facts) else { continue };
            let (_, why) = rule.verdict(facts);
            let mut script = Script::new(Arc::clone(&self.program), rule.entry(), facts.at);
            self.set_variables(&mut script, context, rule, facts, captures);
            let why = format!("rule \"{}\" of context \"{context}\" took it: {why}", rule.name());
            return Ok(Taken { rule: rule.name().to_owned(), why, script });
        }
        let count = found.rules.len();
        let rules = if count == 1 { "rule" } else { "rules" };
        Err(format!("none of the {count} {rules} of context \"{context}\" takes a call to \"{}\"", facts.to))
    }

    /// Each rule of the context in order: whether it holds, and why or why not. The first that holds is taken.
    pub fn explain(&self, context: &str, facts: &CallFacts<'_>) -> Result<Vec<RuleVerdict>, String> {
        let found = self.context(context)?;
        let verdicts = found.rules.iter().map(|rule| {
            let (holds, why) = rule.verdict(facts);
            RuleVerdict { rule: rule.name().to_owned(), at: Arc::clone(rule.at()), holds, why }
        });
        Ok(verdicts.collect())
    }

    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.contexts.iter().map(|c| c.name.as_str())
    }

    /// The numbers that the context's rules name literally, in order, each once.
    pub fn numbers(&self, context: &str) -> Vec<&str> {
        let rules = self.contexts.iter().filter(|c| c.name == context).flat_map(|c| &c.rules);
        let to = rules.flat_map(|r| &r.matches).filter(|m| m.property == Property::To).flat_map(|m| &m.patterns);
        let mut numbers = Vec::new();
        for pattern in to {
            match pattern {
                Pattern::Literal(text) if !numbers.contains(&text.as_str()) => numbers.push(text.as_str()),
                Pattern::Literal(_) | Pattern::Expression(_) => {}
            }
        }
        numbers
    }

    /// Files that `play` names without a variable.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        self.program.prompts()
    }

    /// Whether some step asks for what nobody else may know.
    pub fn is_pci(&self) -> bool {
        self.program.is_pci()
    }

    fn context(&self, name: &str) -> Result<&Context, String> {
        self.contexts.iter().find(|c| c.name == name).ok_or_else(|| {
            let hint = nearest(name, self.contexts()).map_or(String::new(), |n| format!("; did you mean \"{n}\"?"));
            format!("there is no context \"{name}\" in the dialplan{hint}")
        })
    }

    fn set_variables(
        &self,
        script: &mut Script,
        context: &str,
        rule: &Rule,
        facts: &CallFacts<'_>,
        captures: Vec<String>,
    ) {
        let known = [
            ("from", facts.from),
            ("from_name", facts.from_name),
            ("to", facts.to),
            ("trunk", facts.trunk.unwrap_or_default()),
            ("user", facts.user.unwrap_or_default()),
            ("verstat", facts.proof.verstat),
            ("attest", facts.proof.attest),
            ("context", context),
            ("rule", rule.name()),
        ];
        for (name, value) in known {
            script.set(name, value.to_owned());
        }
        for (i, value) in captures.into_iter().enumerate() {
            script.set(&(i + 1).to_string(), value);
        }
        for name in &self.headers {
            if let Some(value) = (facts.header)(name) {
                script.set(&format!("header.{name}"), value);
            }
        }
    }
}

/// Variables that each call has, beside captures and headers.
pub const VARIABLES: [&str; 26] = [
    "digits",
    "speech",
    "confidence",
    "answered_by",
    "from",
    "from_name",
    "to",
    "trunk",
    "user",
    "context",
    "rule",
    "call_id",
    "dial_status",
    "queue_result",
    "park_slot",
    "recording",
    "recording_duration",
    "recording_key",
    "pay_result",
    "pay_token",
    "pay_confirmation",
    "pay_card",
    "pay_card_type",
    "pay_error",
    "verstat",
    "attest",
];

#[cfg(test)]
mod tests;
