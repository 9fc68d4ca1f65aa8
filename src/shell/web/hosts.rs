//! What is known of each server: how many requests it has at once, its idle connections, and whether it is worth asking.

use super::connection::Connection;
use super::figures::Figures;
use crate::web::{Fault, Reason};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

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
    /// The one that was used last is the last.
    idle: VecDeque<(Instant, Connection)>,
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
    /// A task closes what is idle for too long.
    is_swept: Cell<bool>,
}

impl Host {
    fn close_old(&mut self, now: Instant) {
        while self.idle.front().is_some_and(|(since, _)| now - *since >= IDLE_FOR) {
            self.idle.pop_front();
        }
    }
}

impl Hosts {
    pub fn new(places: usize, figures: Arc<Figures>) -> Rc<Hosts> {
        Rc::new(Hosts { hosts: RefCell::default(), places, figures, is_swept: Cell::new(false) })
    }

    /// Waits for a place among the requests to a server, whose breaker must be closed.
    pub async fn place(&self, origin: &Origin, url: impl Fn() -> String) -> Result<OwnedSemaphorePermit, Fault> {
        let closed = || Fault::new(Reason::Internal, url(), "the switch is stopping");
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
            return Err(Fault::new(Reason::Connection, url(), detail));
        }
        Ok(place)
    }

    /// An idle connection that is still open.
    pub fn idle(&self, origin: &Origin) -> Option<Connection> {
        let now = Instant::now();
        self.with(origin, |host| {
            while let Some((since, mut connection)) = host.idle.pop_back() {
                if now - since < IDLE_FOR && connection.is_open() {
                    return Some(connection);
                }
            }
            None
        })
    }

    pub fn give_back(self: &Rc<Self>, origin: &Origin, connection: Connection) {
        let now = Instant::now();
        self.with(origin, |host| {
            host.close_old(now);
            if host.idle.len() < IDLE_MAX {
                host.idle.push_back((now, connection));
            }
        });
        if !self.is_swept.replace(true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(self)));
        }
    }

    /// Closes what is idle for too long; true: something is idle still.
    fn close_old(&self, now: Instant) -> bool {
        let mut hosts = self.hosts.borrow_mut();
        hosts.values_mut().for_each(|host| host.close_old(now));
        hosts.values().any(|host| !host.idle.is_empty())
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
        if let Some(host) = hosts.get_mut(origin) {
            return f(host);
        }
        if hosts.len() >= HOSTS_MAX {
            hosts.retain(|_, host| Arc::strong_count(&host.places) > 1);
        }
        let host = hosts.entry(origin.clone()).or_insert_with(|| Host {
            idle: VecDeque::new(),
            places: Arc::new(Semaphore::new(self.places)),
            failures: 0,
            closed_until: None,
        });
        f(host)
    }
}

/// Closes connections that nobody has used for a while, until none is left. A server may have closed its end long before.
async fn sweep(hosts: Weak<Hosts>) {
    loop {
        tokio::time::sleep(IDLE_FOR).await;
        let Some(hosts) = hosts.upgrade() else { return };
        if !hosts.close_old(Instant::now()) {
            return hosts.is_swept.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connect::Stream;
    use super::*;
    use std::io::{Read, Write};

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_dead_is_left_alone_and_then_tried_by_one() {
        let figures = Arc::new(Figures::default());
        let hosts = Hosts::new(2, Arc::clone(&figures));
        let dead: Origin = (false, "dead.test".into(), 80);
        let asks = async || hosts.place(&dead, String::new).await.is_ok();
        for _ in 0..FAILURES_MAX {
            assert!(asks().await);
            hosts.failed(&dead);
        }
        assert!(!asks().await && !asks().await);
        assert_eq!(figures.refused_by_breaker.load(Relaxed), 2);
        assert!(hosts.place(&(false, "other.test".into(), 80), String::new).await.is_ok());
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
        let (a, b) = (hosts.place(&origin, String::new).await, hosts.place(&origin, String::new).await);
        let third = tokio::time::timeout(Duration::from_secs(60), hosts.place(&origin, String::new)).await;
        assert!(third.is_err(), "it waits");
        drop(a);
        assert!(hosts.place(&origin, String::new).await.is_ok());
        drop(b);
    }

    /// Gives back a connection; what the pool does with it, and the server's end.
    async fn with_idle(then: impl AsyncFnOnce(&Rc<Hosts>, &Origin, std::net::TcpStream)) {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tokio::net::TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
        let (hosts, origin) = (Hosts::new(2, Arc::default()), (false, "h.test".into(), 80));
        let work = async {
            hosts.give_back(&origin, Connection::new(Stream::Plain(stream)));
            then(&hosts, &origin, server.accept().unwrap().0).await;
        };
        tokio::task::LocalSet::new().run_until(work).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_uses_is_closed() {
        let unused = async |hosts: &Rc<Hosts>, _: &Origin, mut peer: std::net::TcpStream| {
            tokio::time::sleep(IDLE_FOR * 3).await;
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
            assert!(!hosts.is_swept.get(), "no task is left");
        };
        with_idle(unused).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_something_came_is_not_used_again() {
        let kept = async |hosts: &Rc<Hosts>, origin: &Origin, _peer: std::net::TcpStream| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(hosts.idle(origin).is_some());
        };
        with_idle(kept).await;
        let closed = async |hosts: &Rc<Hosts>, origin: &Origin, peer: std::net::TcpStream| {
            drop(peer);
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(hosts.idle(origin).is_none());
        };
        with_idle(closed).await;
        let chatty = async |hosts: &Rc<Hosts>, origin: &Origin, mut peer: std::net::TcpStream| {
            peer.write_all(b"HTTP/1.1 408 Too late\r\n\r\n").unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(hosts.idle(origin).is_none());
        };
        with_idle(chatty).await;
    }
}
