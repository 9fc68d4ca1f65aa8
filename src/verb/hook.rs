//! Requests that a step makes of the application's web server.

use crate::web::Method;

/// An address and how it is asked. A relative one is against the document in which it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hook<T = String> {
    pub url: T,
    pub method: Method,
}

/// Where progress is told. Empty events are those that the step tells by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusHook<T = String> {
    pub hook: Hook<T>,
    pub events: Vec<String>,
}

impl<T> Hook<T> {
    pub const fn new(url: T, method: Method) -> Hook<T> {
        Hook { url, method }
    }

    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> Hook<U> {
        Hook { url: f(&self.url), method: self.method }
    }
}

impl<T> StatusHook<T> {
    pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> StatusHook<U> {
        StatusHook { hook: self.hook.map(f), events: self.events.clone() }
    }
}

impl Hook {
    /// As timelines show it.
    pub fn shown(&self) -> String {
        format!("{} {}", self.method.as_str(), self.url)
    }
}
