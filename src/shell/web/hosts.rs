//! What is known of each server: how many requests it has at once, its idle connections, and whether it is worth asking.

use super::figures::Figures;
use crate::web::{Fault, Reason};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub type Sender = SendRequest<Full<Bytes>>;

/// Servers that are remembered; beyond, those that nobody asks are forgotten.
const HOSTS_MAX: usize = 1_024;
/// Idle connections to one server, and for how long. Servers close theirs after 5 s and more.
const IDLE_MAX: usize = 32;
const IDLE_FOR: Duration = Duration::from_secs(4);
/// So many failures in a row, none of them an answer, and nobody asks the server for a while; then one does, to see.
const FAILURES_MAX: u32 = 20;
const OPEN_FOR: Duration = Duration::from_secs(5);

/// Scheme, host and port.
pub type Origin = (bool, String, u16);

struct Host {
    idle: Vec<(Instant, Sender)>,
    places: Arc<Semaphore>,
    failures: u32,
    /// Nobody asks before this.
    closed_until: Option<Instant>,
}

pub struct Hosts {
    hosts: RefCell<BTreeMap<Origin, Host>>,
    /// Requests to one server at once; more wait.
    places: usize,
    figures: Arc<Figures>,
}

impl Hosts {
    pub fn new(places: usize, figures: Arc<Figures>) -> Rc<Hosts> {
        Rc::new(Hosts { hosts: RefCell::default(), places, figures })
    }

    /// Waits for a place among the requests to a server, whose breaker must be closed.
    pub async fn place(&self, origin: &Origin, url: &str) -> Result<OwnedSemaphorePermit, Fault> {
        let closed = || Fault::new(Reason::Internal, url, "the switch is stopping");
        let places = self.with(origin, |host| Arc::clone(&host.places));
        let place = places.acquire_owned().await.map_err(|_| closed())?;
        // Asked after the wait: those who waited for a server that is dead need not try it as well.
        let now = Instant::now();
        let is_shut = self.with(origin, |host| match host.closed_until {
            Some(until) if now < until => true,
            // One goes to see, the others wait for what it finds.
            Some(_) => {
                host.closed_until = Some(now + OPEN_FOR);
                false
            }
            None => false,
        });
        if is_shut {
            self.figures.refused_by_breaker.fetch_add(1, Relaxed);
            let detail =
                format!("{FAILURES_MAX} requests in a row found no server there: it is not asked for some seconds");
            return Err(Fault::new(Reason::Connection, url, detail));
        }
        Ok(place)
    }

    /// An idle connection that is still open.
    pub fn idle(&self, origin: &Origin) -> Option<Sender> {
        let now = Instant::now();
        self.with(origin, |host| {
            while let Some((since, sender)) = host.idle.pop() {
                if now - since < IDLE_FOR && sender.is_ready() {
                    return Some(sender);
                }
            }
            None
        })
    }

    pub fn give_back(&self, origin: &Origin, sender: Sender) {
        let now = Instant::now();
        self.with(origin, |host| {
            host.idle.retain(|(since, s)| now - *since < IDLE_FOR && !s.is_closed());
            if host.idle.len() < IDLE_MAX && !sender.is_closed() {
                host.idle.push((now, sender));
            }
        });
    }

    /// The server answered, whatever it said.
    pub fn answered(&self, origin: &Origin) {
        self.with(origin, |host| (host.failures, host.closed_until) = (0, None));
    }

    /// No answer came: no connection, a broken one, or nothing in time.
    pub fn failed(&self, origin: &Origin) {
        let opened = self.with(origin, |host| {
            host.failures = host.failures.saturating_add(1);
            let opens = host.failures >= FAILURES_MAX;
            if opens {
                host.closed_until = Some(Instant::now() + OPEN_FOR);
            }
            host.failures == FAILURES_MAX
        });
        if opened {
            tracing::warn!(
                host = origin.1,
                port = origin.2,
                "a web server does not answer: it is left alone for some seconds"
            );
        }
    }

    fn with<R>(&self, origin: &Origin, f: impl FnOnce(&mut Host) -> R) -> R {
        let mut hosts = self.hosts.borrow_mut();
        if !hosts.contains_key(origin) && hosts.len() >= HOSTS_MAX {
            hosts.retain(|_, host| Arc::strong_count(&host.places) > 1);
        }
        let host = hosts.entry(origin.clone()).or_insert_with(|| Host {
            idle: Vec::new(),
            places: Arc::new(Semaphore::new(self.places)),
            failures: 0,
            closed_until: None,
        });
        f(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_dead_is_left_alone_and_then_tried_by_one() {
        let figures = Arc::new(Figures::default());
        let hosts = Hosts::new(2, Arc::clone(&figures));
        let dead: Origin = (false, "dead.test".into(), 80);
        let asks = async || hosts.place(&dead, "http://dead.test/").await.is_ok();
        for _ in 0..FAILURES_MAX {
            assert!(asks().await);
            hosts.failed(&dead);
        }
        assert!(!asks().await && !asks().await);
        assert_eq!(figures.refused_by_breaker.load(Relaxed), 2);
        assert!(hosts.place(&(false, "other.test".into(), 80), "").await.is_ok());
        tokio::time::advance(OPEN_FOR).await;
        assert!(asks().await, "one goes to see");
        assert!(!asks().await, "and only one");
        hosts.answered(&dead);
        assert!(asks().await && asks().await);
    }

    #[tokio::test(start_paused = true)]
    async fn more_requests_than_places_wait() {
        let hosts = Hosts::new(2, Arc::default());
        let origin: Origin = (true, "h.test".into(), 443);
        let (a, b) = (hosts.place(&origin, "").await, hosts.place(&origin, "").await);
        let third = tokio::time::timeout(Duration::from_secs(60), hosts.place(&origin, "")).await;
        assert!(third.is_err(), "it waits");
        drop(a);
        assert!(hosts.place(&origin, "").await.is_ok());
        drop(b);
    }
}
