//! Attributes by their types. What does not fit is told, and the documented value taken.

use super::tree::{Node, Position};
use super::{WARNINGS_MAX, Warning};
use crate::base::time::Duration;
use crate::verb::{Hook, StatusHook};
use crate::web::Method;

/// Twilio's "Schema validation warning".
pub const SCHEMA: u32 = 12_200;

/// What is told of a document.
#[derive(Debug, Default)]
pub struct Warnings(pub Vec<Warning>);

impl Warnings {
    pub fn tell(&mut self, code: u32, at: Position, what: impl Into<String>) {
        if self.0.len() < WARNINGS_MAX {
            self.0.push(Warning { code, at, what: what.into() });
        }
    }
}

/// One element's attributes. `code` is the published error of a wrong value where the list has one for it.
pub struct Attributes<'a> {
    pub node: &'a Node,
    pub warnings: &'a mut Warnings,
}

impl<'a> Attributes<'a> {
    pub fn new(node: &'a Node, warnings: &'a mut Warnings) -> Attributes<'a> {
        Attributes { node, warnings }
    }

    /// As it stands, without white space around it.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.node.attributes.iter().find(|a| a.name == name).map(|a| a.value.trim())
    }

    pub fn string(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    fn wrong(&mut self, code: u32, name: &str, expected: &str) {
        let Some(attribute) = self.node.attributes.iter().find(|a| a.name == name) else { return };
        let what = format!("{name}=\"{}\" of <{}>: expected {expected}", attribute.value, self.node.name);
        self.warnings.tell(code, attribute.at, what);
    }

    /// A whole number; beyond the bounds the nearer one is taken.
    pub fn number(&mut self, name: &str, code: u32, (min, max): (u32, u32)) -> Option<u32> {
        let read = self.text(name)?.parse::<u32>().ok();
        match read {
            Some(n) if (min..=max).contains(&n) => Some(n),
            other => {
                self.wrong(code, name, &format!("a whole number from {min} to {max}"));
                other.map(|n| n.clamp(min, max))
            }
        }
    }

    /// Whole seconds.
    pub fn seconds(&mut self, name: &str, code: u32, usual: u32, bounds: (u32, u32)) -> Duration {
        Duration::from_secs(u64::from(self.number(name, code, bounds).unwrap_or(usual)))
    }

    pub fn flag(&mut self, name: &str, code: u32, usual: bool) -> bool {
        match self.text(name) {
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            None => usual,
            Some(_) => {
                self.wrong(code, name, "true or false");
                usual
            }
        }
    }

    /// The first choice is the usual one.
    pub fn choice(&mut self, name: &str, code: u32, choices: &[&'static str]) -> &'static str {
        let usual = choices.first().copied().unwrap_or_default();
        let Some(text) = self.text(name) else { return usual };
        choices.iter().find(|c| **c == text).copied().unwrap_or_else(|| {
            self.wrong(code, name, &format!("one of {}", choices.join(", ")));
            usual
        })
    }

    /// Names parted by spaces or commas, of which each is known.
    pub fn events(&mut self, name: &str, code: u32, known: &[&str], usual: &[&str]) -> Vec<String> {
        let Some(text) = self.text(name) else { return usual.iter().map(|e| (*e).to_owned()).collect() };
        let events: Vec<&str> = text.split([' ', ',']).filter(|e| !e.is_empty()).collect();
        if let Some(unknown) = events.iter().find(|e| !known.contains(e)) {
            self.wrong(code, name, &format!("some of {}, not {unknown}", known.join(", ")));
        }
        events.into_iter().filter(|e| known.contains(e)).map(str::to_owned).collect()
    }

    pub fn method(&mut self, name: &str, code: u32) -> Method {
        match self.text(name) {
            None => Method::Post,
            Some(text) => Method::parse(text).unwrap_or_else(|| {
                self.wrong(code, name, "GET or POST");
                Method::Post
            }),
        }
    }

    /// A request by two attributes; `None` if no address is given.
    pub fn hook(&mut self, url: &str, method: &str, code: u32) -> Option<Hook> {
        let method = self.method(method, code);
        let url = self.text(url).filter(|url| !url.is_empty())?;
        Some(Hook::new(url.to_owned(), method))
    }

    /// As [`Attributes::hook`], with events.
    pub fn status(&mut self, url: &str, events: &str, known: &[&str], usual: &[&str]) -> Option<StatusHook> {
        let method = format!("{url}Method");
        let events = self.events(events, SCHEMA, known, usual);
        self.hook(url, &method, SCHEMA).map(|hook| StatusHook { hook, events })
    }
}
