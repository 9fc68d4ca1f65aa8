//! A bare GET through the guard and within bounds, for what is no webhook: certificates.

use super::connect::Connector;
use super::exchange::{Bounds, Exchange};
use super::figures::Figures;
use super::guard::Guard;
use super::hosts::Hosts;
use super::message::{Ask, Fields};
use super::url::{Url, shown};
use crate::config::Network;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Requests to one server at once.
const AT_ONCE: usize = 8;

pub struct Getter {
    exchange: Exchange,
}

/// A body, and for how long it may be kept, if the server says so.
pub struct Got {
    pub body: Bytes,
    pub max_age: Option<Duration>,
}

impl Getter {
    /// `allowed`: networks that may be asked though they are not public.
    pub fn new(allowed: Vec<Network>) -> Getter {
        let figures = Arc::new(Figures::default());
        let hosts = Hosts::new(AT_ONCE, Arc::clone(&figures));
        Getter { exchange: Exchange::new(Connector::new(Guard::new(allowed)), hosts, figures) }
    }

    /// What is there, whole; no redirect is followed. `Err` says why not.
    pub async fn get(&self, url: &str, within: Duration, body_max: usize) -> Result<Got, String> {
        let url = Url::parse(url).map_err(|fault| fault.detail.clone())?;
        let bounds = Bounds { connect: within, read: within, until: Instant::now() + within, body_max };
        let ask = Ask { method: "GET", fields: Fields::default(), body: Vec::new() };
        let answer = self.exchange.ask(&url, &ask, &bounds).await;
        let answer = answer.map_err(|failed| format!("{}: {}", shown(&failed.fault.url), failed.fault.detail))?;
        if answer.status() != 200 {
            return Err(format!("{} answers {}", shown(&url.seen()), answer.status()));
        }
        let directives = answer.header("cache-control").unwrap_or_default().split(',');
        let max_age = directives.filter_map(|d| d.trim_ascii().strip_prefix("max-age=")?.parse().ok()).next();
        Ok(Got { body: answer.body, max_age: max_age.map(Duration::from_secs) })
    }
}
