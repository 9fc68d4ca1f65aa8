//! Running the tests that a dialplan carries: a call, in no time, with no socket.

use super::expect::{Call, Expected, Test};
use super::{CallFacts, Dialplan, Proof};
use crate::verb::{Action, Next, Outcome};
use std::fmt::Write;
use std::sync::Arc;

/// Where calls enter the dialplan, by the configuration. Each: name, context.
#[derive(Clone, Debug, Default)]
pub struct EntryPoints {
    pub trunks: Vec<(String, String)>,
    pub users: Vec<(String, String)>,
    pub anonymous: Option<String>,
}

impl EntryPoints {
    pub fn of(config: &crate::config::Config) -> EntryPoints {
        EntryPoints {
            trunks: config.trunks.iter().map(|t| (t.name.clone(), t.context.clone())).collect(),
            users: config.users.iter().map(|u| (u.name.clone(), u.context.clone())).collect(),
            anonymous: config.sip.anonymous_context.clone(),
        }
    }

    /// The context of a call by a trunk, of a user, or of nobody known.
    pub fn context(&self, trunk: Option<&str>, user: Option<&str>) -> Option<&str> {
        let of = |all: &'_ [(String, String)], name: &str| all.iter().position(|(n, _)| n == name);
        match (trunk, user) {
            (Some(name), _) => of(&self.trunks, name).and_then(|i| self.trunks.get(i)).map(|(_, c)| c.as_str()),
            (None, Some(name)) => of(&self.users, name).and_then(|i| self.users.get(i)).map(|(_, c)| c.as_str()),
            (None, None) => self.anonymous.as_deref(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestResult {
    pub name: String,
    /// `file:line`.
    pub at: Arc<str>,
    /// Lines that say what was expected and what came; `None`: passed.
    pub failure: Option<String>,
}

/// A script that does more is stopped.
const ACTIONS_MAX: usize = 1_000;

impl Dialplan {
    /// Runs the tests of all files, in order.
    pub fn run_tests(&self, entry: &EntryPoints) -> Vec<TestResult> {
        let run = |test: &Test| TestResult {
            name: test.name.clone(),
            at: Arc::clone(&test.at),
            failure: self.run_test(test, entry).err(),
        };
        self.tests.iter().map(run).collect()
    }

    /// What a call would do if every dial is answered and all else is done, each with `file:line`; and how it ends.
    pub fn rehearse(&self, context: &str, facts: &CallFacts<'_>) -> Result<Performed, String> {
        Ok(perform(self.route(context, facts)?.script, &[], &[]))
    }

    fn run_test(&self, test: &Test, entry: &EntryPoints) -> Result<(), String> {
        let context = self.context_of(&test.call, entry)?;
        let header = |name: &str| {
            let headers = &test.call.headers;
            headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone())
        };
        let facts = CallFacts {
            from: &test.call.from,
            from_name: &test.call.from_name,
            to: &test.call.to,
            trunk: test.call.trunk.as_deref(),
            user: test.call.user.as_deref(),
            header: &header,
            at: test.call.at,
            proof: Proof { verstat: &test.call.verstat, attest: &test.call.attest },
        };
        let taken = match self.route(context, &facts) {
            Ok(taken) => taken,
            Err(_) if test.rejected == Some(404) && test.route.is_none() && test.expect.is_none() => return Ok(()),
            Err(why) => return Err(format!("expected: a rule that takes the call\ngot:      {why}")),
        };
        if let Some(route) = test.route.as_ref().filter(|r| **r != taken.rule) {
            return Err(format!("expected: rule \"{route}\"\ngot:      {}", taken.why));
        }
        let (done, end) = perform(taken.script, &test.outcomes, &test.presses);
        let compared = compare(test, &done);
        compared.map_err(|expected| {
            let mut said = format!("expected: {expected}\nroute:    {}", taken.why);
            for (i, (action, at)) in done.iter().enumerate() {
                let _ = write!(said, "\n{} {action} ({at})", if i == 0 { "got:     " } else { "         " });
            }
            let _ = write!(said, "\n{} {end}", if done.is_empty() { "got:     " } else { "         " });
            said
        })
    }

    fn context_of<'a>(&'a self, call: &'a Call, entry: &'a EntryPoints) -> Result<&'a str, String> {
        let known = call.context.as_deref().or_else(|| entry.context(call.trunk.as_deref(), call.user.as_deref()));
        let mut contexts = self.contexts();
        match (known, contexts.next(), contexts.next()) {
            (Some(known), ..) => Ok(known),
            (None, Some(only), None) => Ok(only),
            _ => {
                let all: Vec<&str> = self.contexts().collect();
                Err(format!(
                    "expected: to know where the call enters: `context:` in the call, or a configuration (--config) with \
                     the trunk or user\ngot:      contexts {}",
                    all.join(", ")
                ))
            }
        }
    }
}

/// What a script does, each action with `file:line`, and how it ends.
pub type Performed = (Vec<(Action, Arc<str>)>, &'static str);

fn perform(mut script: crate::verb::Script, outcomes: &[(String, Vec<Outcome>)], presses: &[String]) -> Performed {
    let mut presses = presses.iter();
    script.set("call_id", "CAtest".into());
    let mut done: Vec<(Action, Arc<str>)> = Vec::new();
    while done.len() < ACTIONS_MAX {
        let (action, at) = match script.next() {
            Next::Do { action, at } => (action, at),
            Next::End => return (done, "the end"),
            Next::Runaway => return (done, "a loop without an end"),
        };
        let before = done.iter().filter(|(a, _)| a.verb() == action.verb()).count();
        let told = outcomes.iter().find(|(verb, _)| verb == action.verb()).map(|(_, all)| all);
        let told = told.and_then(|all| all.get(before).or(all.last())).copied();
        let for_ever = lasts_for_ever(&action);
        let usual = match &action {
            Action::Dial(_) => Outcome::Answered,
            Action::Feature(feature) if feature.takes_time() => Outcome::Answered,
            Action::Gather(_) => match presses.next().filter(|keys| !keys.is_empty()) {
                Some(keys) => {
                    script.set("digits", keys.clone());
                    Outcome::Done
                }
                None => Outcome::None,
            },
            _ => Outcome::Done,
        };
        let leaves = matches!(action, Action::Redirect(_));
        done.push((action, at));
        if leaves {
            return (done, "what the document says");
        }
        if told.is_none() && for_ever {
            return (done, "the caller hangs up");
        }
        script.finished(told.unwrap_or(usual));
    }
    (done, "and so on")
}

/// Only the caller's hanging up ends it.
fn lasts_for_ever(action: &Action) -> bool {
    matches!(
        action,
        Action::Echo { duration: None }
            | Action::Tone { duration: None, .. }
            | Action::Play { loops: 0, .. }
            | Action::Conference(_)
    )
}

/// `Err` is the first expectation that does not hold.
fn compare(test: &Test, done: &[(Action, Arc<str>)]) -> Result<(), String> {
    if let Some(status) = test.rejected {
        let rejects = |a: &Action| matches!(a, Action::Reject { status: s, .. } if *s == status);
        if !done.iter().any(|(a, _)| rejects(a)) {
            return Err(format!("the call rejected with {status}"));
        }
    }
    let Some(expect) = &test.expect else { return Ok(()) };
    let mut rest = done.iter();
    for (n, expected) in expect.iter().enumerate() {
        let found = if test.exact {
            rest.next().is_some_and(|(a, _)| expected.fits(a))
        } else {
            rest.any(|(a, _)| expected.fits(a))
        };
        if !found {
            return Err(format!("{} ({}){}", expected.shown, expected.at, after(expect, n)));
        }
    }
    match rest.next() {
        Some((action, at)) if test.exact => Err(format!("nothing more, but {action} ({at}) follows")),
        _ => Ok(()),
    }
}

fn after(expect: &[Expected], n: usize) -> String {
    let before = n.checked_sub(1).and_then(|i| expect.get(i));
    before.map_or(String::new(), |b| format!(", after {}", b.shown))
}
