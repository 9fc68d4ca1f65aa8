//! Waiting in a queue, being taken out of one, and what else a script asks that has a web server's answer in it.

use super::{AfterDial, DialRecord, Hook, StatusHook};
use crate::base::time::Duration;

/// Twilio's Enqueue: the caller waits, and hears what `wait` says, until somebody takes it out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enqueue<T = String> {
    pub name: T,
    /// A routing workflow; empty for a queue that is first in, first out.
    pub workflow: T,
    /// What a routed task is described by: JSON.
    pub task: T,
    pub action: Option<Hook<T>>,
    /// A document that is run again and again; `None`: music.
    pub wait: Option<Hook<T>>,
    /// A prompt in its place.
    pub music: Option<T>,
    /// Who comes when so many wait does not get in.
    pub max: u32,
}

/// Takes the first out of a queue, or waits for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dequeue<T = String> {
    pub name: T,
    /// What the one who waited hears before both are joined.
    pub url: Option<Hook<T>>,
    /// How long it waits for somebody to come.
    pub timeout: Duration,
    pub time_limit: Option<Duration>,
    pub record: Option<DialRecord>,
    pub after: AfterDial,
}

/// Sends the other side elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refer<T = String> {
    pub uri: T,
    pub action: Option<Hook<T>>,
}

/// Twilio's Sms: goes to the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sms<T = String> {
    pub text: T,
    /// The caller, and the number called, if missing.
    pub to: Option<T>,
    pub from: Option<T>,
    pub action: Option<Hook<T>>,
    pub status: Option<StatusHook<T>>,
}

/// What is known and not done yet: a line on the timeline with the published error, and the next step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unavailable {
    /// "stream", "pay", …
    pub what: String,
    /// Of Twilio's list of errors.
    pub code: u32,
}

impl<T> Enqueue<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Enqueue<U> {
        Enqueue {
            name: f(&self.name),
            workflow: f(&self.workflow),
            task: f(&self.task),
            action: self.action.as_ref().map(|hook| hook.map(f)),
            wait: self.wait.as_ref().map(|hook| hook.map(f)),
            music: self.music.as_ref().map(&mut *f),
            max: self.max,
        }
    }
}

impl<T> Dequeue<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Dequeue<U> {
        let name = f(&self.name);
        let url = self.url.as_ref().map(|hook| hook.map(f));
        let (record, after) = (self.record, self.after.clone());
        Dequeue { name, url, timeout: self.timeout, time_limit: self.time_limit, record, after }
    }
}

impl<T> Refer<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Refer<U> {
        Refer { uri: f(&self.uri), action: self.action.as_ref().map(|hook| hook.map(f)) }
    }
}

impl<T> Sms<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Sms<U> {
        Sms {
            text: f(&self.text),
            to: self.to.as_ref().map(&mut *f),
            from: self.from.as_ref().map(&mut *f),
            action: self.action.as_ref().map(|hook| hook.map(f)),
            status: self.status.as_ref().map(|hook| hook.map(f)),
        }
    }
}

impl Enqueue {
    /// Who comes when so many wait does not get in, if nobody says otherwise.
    pub const MAX: u32 = 1_000;

    pub(super) fn fields(&self, out: &mut Vec<(&'static str, String)>) {
        out.push(("name", self.name.clone()));
        out.push(("workflow", self.workflow.clone()));
        out.push(("task", self.task.clone()));
        out.extend(self.wait.iter().map(|hook| ("wait_url", hook.url.clone())));
        out.extend(self.music.iter().map(|file| ("wait", file.clone())));
        out.extend(self.action.iter().map(|hook| ("action", hook.url.clone())));
        out.extend((self.max != Self::MAX).then(|| ("max", self.max.to_string())));
    }
}
