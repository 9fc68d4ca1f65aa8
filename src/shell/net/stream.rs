//! SIP over TCP, TLS and WebSockets: connections found by number or by peer, and what waits for each.
//!
//! Connections live on the runtime. The control thread hands messages over without waiting: each connection has a bounded
//! queue, and one that does not drain is closed, for SIP over a stream repeats nothing.

mod accept;
mod alias;
mod converse;

pub use accept::listen;
pub use converse::prepare;

use super::tls::{Chain, Tls};
use crate::shell::mail::Mail;
use crate::sip::transport::{Flow, ListenerId, NameId, Transport};
use crate::switch::Input;
use bytes::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Bounds of the streams.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_max: usize,
    /// Messages that wait for one slow peer; one more closes its connection.
    pub queue_max: usize,
    pub connect: Duration,
    /// A TLS handshake must be over after so long, ours or the peer's.
    pub handshake: Duration,
    /// TLS handshakes under way, of all peers and of one address; one more is closed.
    pub handshakes_max: usize,
    pub handshakes_per_source_max: usize,
    /// One message must have left after so long.
    pub write: Duration,
    /// A connection that never gave a whole message is closed after so long …
    pub first_message: Duration,
    /// … and any that gave nothing for so long.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 16_384,
            queue_max: 256,
            connect: Duration::from_secs(3),
            handshake: Duration::from_secs(5),
            handshakes_max: 512,
            handshakes_per_source_max: 64,
            write: Duration::from_secs(10),
            first_message: Duration::from_secs(32),
            idle: Duration::from_secs(3_700),
        }
    }
}

enum Job {
    Write(Bytes),
    Close,
}

struct Peer {
    flow: Flow,
    /// The name that it has proved, if it was asked for one.
    name: Option<NameId>,
    jobs: mpsc::Sender<Job>,
    /// Other flows that it serves, by its peer's wish and proof.
    aliases: Vec<Flow>,
    /// Our end, once it stands.
    local: Option<SocketAddr>,
    /// Messages were sent on it by its peer's address: its failure is told under that flow too.
    by_peer: bool,
}

impl Peer {
    /// The flow by which it is found without its number.
    const fn place(&self) -> Flow {
        let flow = Flow { connection: 0, ..self.flow };
        match self.name {
            Some(name) => flow.to_named(name),
            None => flow,
        }
    }

    fn places(&self) -> impl Iterator<Item = Flow> + use<'_> {
        std::iter::once(self.place()).chain(self.aliases.iter().copied())
    }
}

#[derive(Default)]
struct Table {
    last: u64,
    by_id: HashMap<u64, Peer>,
    by_place: HashMap<Flow, u64>,
}

impl Table {
    /// Lets a connection serve other flows; one that serves them already keeps them.
    fn alias(&mut self, connection: u64, places: Vec<Flow>) {
        let Some(peer) = self.by_id.get_mut(&connection) else { return };
        for place in places {
            if let Entry::Vacant(free) = self.by_place.entry(place) {
                free.insert(connection);
                peer.aliases.push(place);
            }
        }
    }

    fn remove(&mut self, connection: u64) -> Option<Peer> {
        let peer = self.by_id.remove(&connection)?;
        for place in peer.places() {
            if self.by_place.get(&place) == Some(&connection) {
                self.by_place.remove(&place);
            }
        }
        Some(peer)
    }
}

struct Shared {
    table: Mutex<Table>,
    mail: Mail,
    limits: Limits,
    tls: Tls,
}

/// All stream connections; clones are the same.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    listeners: Arc<[(ListenerId, SocketAddr)]>,
}

/// One connection as its task sees it; end it by [`Line::fail`].
pub struct Line {
    pub reports: Reports,
    jobs: mpsc::Receiver<Job>,
}

/// What a connection tells the switch.
#[derive(Clone)]
pub struct Reports {
    shared: Arc<Shared>,
    pub flow: Flow,
    /// What the peer of a connection that we accepted showed of itself.
    shown: Option<Arc<Chain>>,
}

impl Reports {
    /// Hands a whole message over; false: the switch is gone.
    pub async fn received(&self, bytes: Bytes) -> bool {
        self.shared.mail.stream(Input::Received { flow: self.flow, bytes }).await
    }

    /// The first message may say that the connection serves our requests too.
    pub fn first(&self, bytes: &Bytes) {
        let Some(chain) = &self.shown else { return };
        let places = alias::aliases(&self.shared.tls, chain, self.flow, bytes);
        if !places.is_empty() {
            tracing::info!(peer = %self.flow.peer, "TLS: requests to this peer leave on the connection that it opened (alias)");
            self.shared.table().alias(self.flow.connection, places);
        }
    }

    /// The connection stands, and this is our end of it.
    pub fn stands(&self, local: io::Result<SocketAddr>) {
        if let (Some(peer), Ok(local)) = (self.shared.table().by_id.get_mut(&self.flow.connection), local) {
            peer.local = Some(local);
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }
}

impl Line {
    /// What is to be sent next; `None`: close.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self.jobs.recv().await {
            Some(Job::Write(bytes)) => Some(bytes),
            Some(Job::Close) | None => None,
        }
    }

    /// Ends the connection's life: nobody finds it any more, and the switch is told.
    pub async fn fail(self) {
        let Reports { shared, flow, .. } = self.reports;
        let gone = shared.table().remove(flow.connection);
        if let Some(peer) = gone.filter(|p| p.by_peer) {
            for place in peer.places() {
                shared.mail.stream(Input::FlowFailed { flow: place }).await;
            }
        }
        shared.mail.stream(Input::FlowFailed { flow }).await;
    }
}

impl Shared {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the table and a number; `None` when the table is full. `first` waits to be sent: we open this one.
    fn enter(self: &Arc<Self>, flow: Flow, first: Option<Job>) -> Option<Line> {
        let (jobs, inbox) = mpsc::channel(self.limits.queue_max);
        let by_peer = first.is_some();
        if let Some(first) = first {
            jobs.try_send(first).ok()?;
        }
        let mut table = self.table();
        if table.by_id.len() >= self.limits.connections_max {
            return None;
        }
        table.last += 1;
        let (connection, name) = (table.last, flow.name());
        let flow = Flow { connection, ..flow };
        let peer = Peer { flow, name, jobs, aliases: Vec::new(), local: None, by_peer };
        table.by_place.insert(peer.place(), connection);
        table.by_id.insert(connection, peer);
        drop(table);
        Some(Line { reports: Reports { shared: Arc::clone(self), flow, shown: None }, jobs: inbox })
    }
}

impl Streams {
    /// Call it within the runtime.
    pub fn new(
        mail: Mail,
        limits: Limits,
        bound: Vec<(ListenerId, Transport, std::net::TcpListener)>,
        tls: Tls,
    ) -> io::Result<Streams> {
        let shared = Arc::new(Shared { table: Mutex::default(), mail, limits, tls });
        let runtime = tokio::runtime::Handle::current();
        let mut listeners = Vec::with_capacity(bound.len());
        for (id, transport, listener) in bound {
            listeners.push((id, listener.local_addr()?));
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(accept::accept(Arc::clone(&shared), id, transport, listener));
        }
        Ok(Streams { shared, runtime, listeners: listeners.into() })
    }

    pub fn connections(&self) -> usize {
        self.shared.table().by_id.len()
    }

    /// Our end of the connection that the flow means, if it stands.
    pub fn local(&self, flow: Flow) -> Option<SocketAddr> {
        let table = self.shared.table();
        let id = if flow.is_connection() { Some(&flow.connection) } else { table.by_place.get(&flow) };
        id.and_then(|id| table.by_id.get(id))?.local
    }

    /// Takes a connection in that somebody else has accepted; `None` when the table is full.
    pub fn join(&self, listener: ListenerId, transport: Transport, peer: SocketAddr) -> Option<Line> {
        self.shared.enter(Flow { listener, transport, peer, connection: 0 }, None)
    }

    /// Hands a message over; `false` if it cannot leave: then nothing more will be heard of it.
    #[must_use]
    pub fn send(&self, flow: Flow, bytes: Bytes) -> bool {
        match self.put(flow, Job::Write(bytes)) {
            Ok(()) => true,
            Err(Some(job)) if !flow.is_connection() => self.connect(flow, job),
            Err(_) => false,
        }
    }

    /// Closes after what was sent.
    pub fn close(&self, flow: Flow) {
        // A connection that is gone, or whose queue is full, closes without being asked.
        let _ = self.put(flow, Job::Close);
    }

    /// Queues on an open connection; the job comes back if there is none.
    fn put(&self, flow: Flow, job: Job) -> Result<(), Option<Job>> {
        let mut table = self.shared.table();
        let is_one = flow.is_connection();
        let id = if is_one { Some(flow.connection) } else { table.by_place.get(&flow).copied() };
        let Some(peer) = id.and_then(|id| table.by_id.get_mut(&id)) else { return Err(Some(job)) };
        peer.by_peer |= !is_one;
        match peer.jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(job)) => Err(Some(job)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                // Dropping the sender ends the connection's task, which tells the switch.
                let connection = peer.flow.connection;
                table.remove(connection);
                Err(None)
            }
        }
    }

    fn connect(&self, flow: Flow, first: Job) -> bool {
        // A browser cannot be connected to (RFC 7118 §5.2.4).
        if !matches!(flow.transport, Transport::Tcp | Transport::Tls) {
            return false;
        }
        let Some(line) = self.shared.enter(flow, Some(first)) else { return false };
        let local = self.listeners.iter().find(|(id, _)| *id == flow.listener).map(|(_, a)| *a);
        self.runtime.spawn(dial(line, local, flow.name()));
        true
    }
}

/// Opens a connection of ours and talks on it.
async fn dial(line: Line, local: Option<SocketAddr>, name: Option<NameId>) {
    let Reports { shared, flow, .. } = line.reports.clone();
    let (limits, peer) = (shared.limits, flow.peer);
    let stream = match timeout(limits.connect, open(local, peer)).await {
        Ok(Ok(stream)) => stream,
        failed => {
            let why =
                failed.map_or_else(|_| "no answer".into(), |e| e.err().map_or(String::new(), |e| super::describe(&e)));
            tracing::warn!(%peer, why, "a connection could not be opened");
            return line.fail().await;
        }
    };
    converse::prepare(&stream);
    line.reports.stands(stream.local_addr());
    if flow.transport != Transport::Tls {
        let (reading, writing) = stream.into_split();
        return converse::converse(line, reading, writing).await;
    }
    let Some((connector, name, host)) = shared.tls.connector(name, peer.ip()) else {
        tracing::warn!(%peer, "TLS: no trunk has this peer's name any more");
        return line.fail().await;
    };
    match timeout(limits.handshake, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => {
            let (reading, writing) = tokio::io::split(stream);
            converse::converse(line, reading, writing).await;
        }
        failed => {
            let why =
                failed.map_or_else(|_| "it took too long".into(), |e| e.err().map_or(String::new(), |e| e.to_string()));
            tracing::warn!(%peer, %host, why, "TLS: the handshake with a peer failed");
            line.fail().await;
        }
    }
}

/// Connects from the listener's own address, so that a peer that knows us by source knows us.
async fn open(local: Option<SocketAddr>, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    if let Some(local) = local.filter(|l| !l.ip().is_unspecified() && l.is_ipv4() == peer.is_ipv4()) {
        socket.bind(SocketAddr::new(local.ip(), 0))?;
    }
    socket.connect(peer).await
}
