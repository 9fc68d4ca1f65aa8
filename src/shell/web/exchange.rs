//! One request and its answer, over a connection that is reused where there is one.

use super::connect::{Connector, Stream};
use super::figures::Figures;
use super::hosts::{Hosts, Origin, Sender};
use super::url::Url;
use crate::web::{Fault, Reason};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Head of an answer, and what is read at once of its body.
const BUFFER_BYTES: usize = 16 * 1024;

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

/// A request as it is sent, except for what the connection adds.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub headers: HeaderMap,
    pub body: Bytes,
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
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
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
        let seen = url.seen();
        let place = self.hosts.place(&origin, &seen);
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
        if let Some(mut sender) = self.hosts.idle(origin) {
            // A server may close an idle connection at the moment at which we use it: then another is opened.
            if let Ok(response) = self.send(&mut sender, url, ask, bounds).await? {
                return self.read(response, sender, url, origin, bounds).await;
            }
        }
        let late_connect = || late(url, "the connection", Stage::Connect);
        let stream = within(bounds, bounds.connect, self.connector.connect(url), late_connect).await?;
        let stream = stream.map_err(|fault| Failed { stage: Stage::Connect, fault })?;
        let mut sender = self.begin(stream, url).await?;
        match self.send(&mut sender, url, ask, bounds).await? {
            Ok(response) => self.read(response, sender, url, origin, bounds).await,
            Err(error) => Err(Failed { stage: Stage::Read, fault: broken(url, &error) }),
        }
    }

    async fn begin(&self, stream: Stream, url: &Url) -> Result<Sender, Failed> {
        self.figures.connections.fetch_add(1, Relaxed);
        let handshake = hyper::client::conn::http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await;
        let (sender, connection) =
            handshake.map_err(|error| Failed { stage: Stage::Connect, fault: broken(url, &error) })?;
        tokio::task::spawn_local(async move {
            // What breaks is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// The answer's head. The inner error is the connection's, before any answer.
    async fn send(
        &self,
        sender: &mut Sender,
        url: &Url,
        ask: &Ask,
        bounds: &Bounds,
    ) -> Result<Result<Response<Incoming>, hyper::Error>, Failed> {
        self.figures.requests.fetch_add(1, Relaxed);
        let mut request = Request::new(Full::new(ask.body.clone()));
        let bad =
            |what: String| Failed { stage: Stage::Before, fault: Fault::new(Reason::InvalidUrl, url.seen(), what) };
        *request.method_mut() = ask.method.parse().map_err(|_| bad("no such method".into()))?;
        *request.uri_mut() = url.target.parse().map_err(|e| bad(format!("the address cannot be asked for: {e}")))?;
        *request.headers_mut() = ask.headers.clone();
        let host = HeaderValue::from_str(&url.authority()).map_err(|e| bad(e.to_string()))?;
        request.headers_mut().insert(HOST, host);
        within(bounds, bounds.read, sender.send_request(request), || late(url, "the answer", Stage::Read)).await
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        sender: Sender,
        url: &Url,
        origin: &Origin,
        bounds: &Bounds,
    ) -> Result<Answer, Failed> {
        let (head, mut incoming) = response.into_parts();
        let too_large = || {
            let detail = format!("the answer is longer than {} kB", bounds.body_max / 1024);
            Failed { stage: Stage::Answer, fault: Fault::new(Reason::TooLarge, url.seen(), detail) }
        };
        let announced = head.headers.get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|n| n > bounds.body_max as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        let slow = || late(url, "the rest of the answer", Stage::Read);
        while let Some(frame) = within(bounds, bounds.read, incoming.frame(), slow).await? {
            let frame = frame.map_err(|error| Failed { stage: Stage::Read, fault: broken_off(url, &error) })?;
            let Some(data) = frame.data_ref() else { continue };
            if body.len() + data.len() > bounds.body_max {
                return Err(too_large());
            }
            body.extend_from_slice(data);
        }
        self.hosts.give_back(origin, sender);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.into() })
    }
}

/// Half an answer.
fn broken_off(url: &Url, error: &hyper::Error) -> Fault {
    Fault::new(Reason::Retrieval, url.seen(), format!("the server broke off in the middle of its answer: {error}"))
}

/// A connection's failure, by whose it is.
fn broken(url: &Url, error: &hyper::Error) -> Fault {
    let (reason, what) = if error.is_parse() {
        (Reason::Protocol, format!("the answer is not HTTP: {error}"))
    } else if error.is_incomplete_message() {
        (Reason::Retrieval, "the server broke off before the end of its answer".to_owned())
    } else {
        (Reason::Connection, format!("the connection broke: {error}"))
    };
    Fault::new(reason, url.seen(), what)
}
