//! What `/metrics` tells of fetches and callbacks.

use crate::shell::api::metrics::Sample;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Debug, Default)]
pub struct Figures {
    /// Asked for by calls, and those of them that are not answered yet.
    pub fetches: AtomicU64,
    pub fetches_waiting: AtomicU64,
    /// Whose last address failed too.
    pub fetches_failed: AtomicU64,
    pub fallbacks: AtomicU64,
    /// Requests sent, redirects and further attempts counted, and connections opened for them.
    pub requests: AtomicU64,
    pub connections: AtomicU64,
    pub refused_by_breaker: AtomicU64,
    pub callbacks: AtomicU64,
    pub callbacks_waiting: AtomicU64,
    pub callbacks_retried: AtomicU64,
    /// Given up after the last attempt, or for want of room.
    pub callbacks_lost: AtomicU64,
}

impl Figures {
    pub fn samples(&self) -> Vec<Sample> {
        let counter = |name, help, value: &AtomicU64| Sample::counter(name, help, value.load(Relaxed));
        let gauge = |name, help, value: &AtomicU64| Sample::gauge(name, help, value.load(Relaxed));
        vec![
            counter("web_fetches", "Documents and media that calls asked for", &self.fetches),
            gauge("web_fetches_waiting", "Fetches without an answer yet", &self.fetches_waiting),
            counter("web_fetches_failed", "Fetches that failed, fallback included", &self.fetches_failed),
            counter("web_fallbacks", "Fallback addresses asked", &self.fallbacks),
            counter("web_requests", "HTTP requests sent", &self.requests),
            counter("web_connections", "Connections opened for them", &self.connections),
            counter(
                "web_breaker_refusals",
                "Requests not sent to a server that does not answer",
                &self.refused_by_breaker,
            ),
            counter("web_callbacks", "Callbacks that calls gave", &self.callbacks),
            gauge("web_callbacks_waiting", "Callbacks not delivered yet", &self.callbacks_waiting),
            counter("web_callbacks_retried", "Further attempts at callbacks", &self.callbacks_retried),
            counter("web_callbacks_lost", "Callbacks given up", &self.callbacks_lost),
        ]
    }
}
