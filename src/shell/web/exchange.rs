//! One request and its answer, over a connection that is reused where there is one.

use super::connect::Connector;
use super::connection::{Broken, Connection};
use super::figures::Figures;
use super::hosts::{Hosts, Origin};
use super::message::{Ask, Head, Rest};
use super::url::Url;
use crate::web::{Fault, Reason};
use bytes::Bytes;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// When a request failed: what the retry policy looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Nothing was sent: the address, the guard, the breaker.
    Before,
    Connect,
    Read,
    /// The server said no.
    Status(u16),
    /// It said yes with something that cannot be used.
    Answer,
}

#[derive(Debug)]
pub struct Failed {
    pub stage: Stage,
    pub fault: Fault,
}

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connect: Duration,
    pub read: Duration,
    pub until: Instant,
    pub body_max: usize,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Bytes,
}

impl Answer {
    pub const fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a field that is text.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.head.all(name).next()
    }
}

pub struct Exchange {
    connector: Connector,
    hosts: Rc<Hosts>,
    figures: Arc<Figures>,
}

fn late(url: &Url, what: &str, stage: Stage) -> Failed {
    let reason = if stage == Stage::Connect { Reason::Connection } else { Reason::Retrieval };
    Failed { stage, fault: Fault::new(reason, url.seen(), format!("{what} took too long")) }
}

/// A part of an exchange, within its own time and the whole's.
async fn within<T>(
    bounds: &Bounds,
    own: Duration,
    part: impl Future<Output = T>,
    late: impl Fn() -> Failed,
) -> Result<T, Failed> {
    let until = Instant::now().checked_add(own).map_or(bounds.until, |own| own.min(bounds.until));
    timeout_at(until, part).await.map_err(|_| late())
}

impl Exchange {
    pub fn new(connector: Connector, hosts: Rc<Hosts>, figures: Arc<Figures>) -> Exchange {
        Exchange { connector, hosts, figures }
    }

    /// Asks once. Redirects are an answer like any other.
    pub async fn ask(&self, url: &Url, ask: &Ask, bounds: &Bounds) -> Result<Answer, Failed> {
        let origin: Origin = (url.is_tls, url.host.clone(), url.port());
        let place = self.hosts.place(&origin, || url.seen());
        let place = within(bounds, Duration::MAX, place, || {
            late(url, "waiting for other requests to the host", Stage::Connect)
        });
        let _place = place.await?.map_err(|fault| Failed { stage: Stage::Before, fault })?;
        let result = self.exchange(url, &origin, ask, bounds).await;
        match &result {
            Ok(_) => self.hosts.answered(&origin),
            Err(Failed { stage: Stage::Connect | Stage::Read, .. }) => self.hosts.failed(&origin),
            Err(_) => {}
        }
        result
    }

    async fn exchange(&self, url: &Url, origin: &Origin, ask: &Ask, bounds: &Bounds) -> Result<Answer, Failed> {
        let request = ask.write(url);
        if let Some(mut connection) = self.hosts.idle(origin) {
            // A server may close an idle connection at the moment at which we use it: then another is opened.
            if let Ok(head) = self.send(&mut connection, url, &request, bounds).await? {
                return self.read(head, connection, url, origin, bounds).await;
            }
        }
        let late_connect = || late(url, "the connection", Stage::Connect);
        // Boxed, as what is rare and large elsewhere here: each fetch takes room for all that it may come to.
        let connects = Box::pin(self.connector.connect(url));
        let stream = within(bounds, bounds.connect, connects, late_connect).await?;
        let stream = stream.map_err(|fault| Failed { stage: Stage::Connect, fault })?;
        self.figures.connections.fetch_add(1, Relaxed);
        let mut connection = Connection::new(stream);
        match self.send(&mut connection, url, &request, bounds).await? {
            Ok(head) => self.read(head, connection, url, origin, bounds).await,
            Err(why) => Err(Failed { stage: Stage::Read, fault: broken(url, why) }),
        }
    }

    /// The answer's head. The inner error is the connection's, before any answer.
    async fn send(
        &self,
        connection: &mut Connection,
        url: &Url,
        request: &[u8],
        bounds: &Bounds,
    ) -> Result<Result<Head, Broken>, Failed> {
        self.figures.requests.fetch_add(1, Relaxed);
        within(bounds, bounds.read, connection.ask(request), || late(url, "the answer", Stage::Read)).await
    }

    async fn read(
        &self,
        head: Head,
        mut connection: Connection,
        url: &Url,
        origin: &Origin,
        bounds: &Bounds,
    ) -> Result<Answer, Failed> {
        let too_large = || {
            let detail = format!("the answer is longer than {} kB", bounds.body_max / 1024);
            Failed { stage: Stage::Answer, fault: Fault::new(Reason::TooLarge, url.seen(), detail) }
        };
        if matches!(head.rest, Rest::Length(n) if n > bounds.body_max as u64) {
            return Err(too_large());
        }
        let half = |why: String| Failed { stage: Stage::Read, fault: broken_off(url, &why) };
        let slow = || late(url, "the rest of the answer", Stage::Read);
        let (mut rest, mut body) = (head.rest, Vec::new());
        loop {
            let is_whole = connection.take(&mut rest, &mut body).map_err(|why| half(why.to_string()))?;
            if body.len() > bounds.body_max {
                return Err(too_large());
            }
            if is_whole {
                break;
            }
            let come = within(bounds, bounds.read, connection.more(), slow).await?;
            match come.map_err(|error| half(error.to_string()))? {
                0 if rest == Rest::UntilClose => break,
                0 => return Err(half("it closed the connection".into())),
                _ => {}
            }
        }
        if head.is_kept {
            connection.settle();
            self.hosts.give_back(origin, connection);
        }
        Ok(Answer { head, body: body.into() })
    }
}

/// Half an answer.
fn broken_off(url: &Url, why: &str) -> Fault {
    Fault::new(Reason::Retrieval, url.seen(), format!("the server broke off in the middle of its answer: {why}"))
}

/// A connection's failure, by whose it is.
fn broken(url: &Url, why: Broken) -> Fault {
    let reason = match why {
        Broken::Protocol(_) => Reason::Protocol,
        Broken::Early => Reason::Retrieval,
        Broken::System(_) => Reason::Connection,
    };
    Fault::new(reason, url.seen(), why.to_string())
}
