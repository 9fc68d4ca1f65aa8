//! SIP over TCP: listeners, connections found by number or by peer, framing, keep-alive.
//!
//! Connections live on the runtime. The control thread hands messages over without waiting: each connection has a bounded
//! queue, and one that does not drain is closed, for SIP over a stream repeats nothing.

use crate::shell::mail::Mail;
use crate::sip::transport::{Flow, ListenerId, Transport};
use crate::sip::wire::{Fault, Framer, Message, Writer};
use crate::switch::Input;
use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Bounds of the streams.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_max: usize,
    /// Messages that wait for one slow peer; one more closes its connection.
    pub queue_max: usize,
    pub connect: Duration,
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
            connections_max: 4_096,
            queue_max: 256,
            connect: Duration::from_secs(3),
            write: Duration::from_secs(10),
            first_message: Duration::from_secs(32),
            idle: Duration::from_secs(3_700),
        }
    }
}

/// A nonblocking listening socket; the port can be bound again at once after a restart.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1_024)?;
    Ok(socket.into())
}

enum Job {
    Write(Bytes),
    Close,
}

struct Peer {
    flow: Flow,
    jobs: mpsc::Sender<Job>,
    /// Messages were sent on it with connection 0: its failure is told under that flow too.
    by_peer: bool,
}

#[derive(Default)]
struct Table {
    last: u64,
    by_id: HashMap<u64, Peer>,
    by_peer: HashMap<(ListenerId, SocketAddr), u64>,
}

struct Shared {
    table: Mutex<Table>,
    mail: Mail,
    limits: Limits,
}

/// All stream connections; clones are the same.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    listeners: Arc<[(ListenerId, SocketAddr)]>,
}

impl Shared {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the table and a number; `None` when the table is full. `first` waits to be sent: we open this one.
    fn enter(&self, mut flow: Flow, first: Option<Job>) -> Option<(Flow, mpsc::Receiver<Job>)> {
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
        flow.connection = table.last;
        table.by_id.insert(flow.connection, Peer { flow, jobs, by_peer });
        table.by_peer.insert((flow.listener, flow.peer), flow.connection);
        Some((flow, inbox))
    }

    fn leave(&self, flow: Flow) -> bool {
        let mut table = self.table();
        if table.by_peer.get(&(flow.listener, flow.peer)) == Some(&flow.connection) {
            table.by_peer.remove(&(flow.listener, flow.peer));
        }
        table.by_id.remove(&flow.connection).is_some_and(|p| p.by_peer)
    }

    /// Ends a connection's life: nobody finds it any more, and the switch is told.
    async fn fail(&self, flow: Flow) {
        if self.leave(flow) {
            self.mail.stream(Input::FlowFailed { flow: Flow { connection: 0, ..flow } }).await;
        }
        self.mail.stream(Input::FlowFailed { flow }).await;
    }
}

impl Streams {
    /// Call it within the runtime.
    pub fn new(mail: Mail, limits: Limits, bound: Vec<(ListenerId, std::net::TcpListener)>) -> io::Result<Streams> {
        let shared = Arc::new(Shared { table: Mutex::default(), mail, limits });
        let runtime = tokio::runtime::Handle::current();
        let mut listeners = Vec::with_capacity(bound.len());
        for (id, listener) in bound {
            listeners.push((id, listener.local_addr()?));
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(accept(Arc::clone(&shared), id, listener));
        }
        Ok(Streams { shared, runtime, listeners: listeners.into() })
    }

    pub fn connections(&self) -> usize {
        self.shared.table().by_id.len()
    }

    /// Hands a message over; `false` if it cannot leave: then nothing more will be heard of it.
    #[must_use]
    pub fn send(&self, flow: Flow, bytes: Bytes) -> bool {
        match self.put(flow, Job::Write(bytes)) {
            Ok(()) => true,
            Err(Some(job)) if flow.connection == 0 => self.connect(flow, job),
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
        let id = match flow.connection {
            0 => table.by_peer.get(&(flow.listener, flow.peer)).copied(),
            id => Some(id),
        };
        let Some(peer) = id.and_then(|id| table.by_id.get_mut(&id)) else { return Err(Some(job)) };
        peer.by_peer |= flow.connection == 0;
        match peer.jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(job)) => Err(Some(job)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                // Dropping the sender ends the connection's task, which tells the switch.
                let flow = peer.flow;
                table.by_id.remove(&flow.connection);
                table.by_peer.remove(&(flow.listener, flow.peer));
                Err(None)
            }
        }
    }

    fn connect(&self, flow: Flow, first: Job) -> bool {
        let Some((flow, inbox)) = self.shared.enter(flow, Some(first)) else { return false };
        let local = self.listeners.iter().find(|(id, _)| *id == flow.listener).map(|(_, a)| *a);
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            match timeout(shared.limits.connect, open(local, flow.peer)).await {
                Ok(Ok(stream)) => converse(shared, flow, stream, inbox).await,
                _ => shared.fail(flow).await,
            }
        });
        true
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

async fn accept(shared: Arc<Shared>, listener: ListenerId, socket: tokio::net::TcpListener) {
    loop {
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: the queue of the kernel holds the rest.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let flow = Flow { listener, transport: Transport::Tcp, peer, connection: 0 };
        match shared.enter(flow, None) {
            Some((flow, inbox)) => drop(tokio::spawn(converse(Arc::clone(&shared), flow, stream, inbox))),
            None => {
                tracing::warn!(%peer, "a connection was refused: there are {} already", shared.limits.connections_max)
            }
        }
    }
}

async fn converse(shared: Arc<Shared>, flow: Flow, stream: TcpStream, inbox: mpsc::Receiver<Job>) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)));
    let (reading, writing) = stream.into_split();
    // The reader answers through the writer, with room of its own.
    let (own, own_out) = mpsc::channel(1);
    tokio::select! {
        () = read(&shared, flow, reading, own) => {}
        () = write(shared.limits.write, writing, inbox, own_out) => {}
    }
    shared.fail(flow).await;
}

/// What the connection itself has to say.
enum Own {
    Pong,
    /// The answer to what cannot be read; then the connection ends.
    Last(Bytes),
}

/// The answer to a request at which the stream lost its frame, if enough of it can be read.
fn refusal(framer: &Framer, fault: Fault, peer: SocketAddr) -> Option<Bytes> {
    let Fault::BadRequest { status, reason } = fault else { return None };
    let request = framer.partial().filter(Message::is_request)?;
    Some(Writer::response_to(&request, status, reason, "", peer).finish())
}

async fn read(shared: &Shared, flow: Flow, mut half: OwnedReadHalf, own: mpsc::Sender<Own>) {
    let (mut framer, mut buffer) = (Framer::default(), vec![0; 16 << 10]);
    let mut patience = shared.limits.first_message;
    loop {
        let Ok(Ok(n @ 1..)) = timeout(patience, half.read(&mut buffer)).await else { return };
        framer.push(buffer.get(..n).unwrap_or_default());
        loop {
            match framer.next_message() {
                Ok(Some(bytes)) => {
                    patience = shared.limits.idle;
                    if !shared.mail.stream(Input::Received { flow, bytes }).await {
                        return;
                    }
                }
                Ok(None) => break,
                Err(fault) => {
                    tracing::debug!(%flow, ?fault, "a stream cannot be resynchronised");
                    if let Some(answer) = refusal(&framer, fault, flow.peer) {
                        let _ = own.send(Own::Last(answer)).await;
                        // The writer ends the connection; the switch hears nothing more.
                        std::future::pending::<()>().await;
                    }
                    return;
                }
            }
        }
        // One answer does for pings that came together.
        if framer.take_pings() > 0 {
            let _ = own.try_send(Own::Pong);
        }
    }
}

async fn write(
    patience: Duration,
    mut half: OwnedWriteHalf,
    mut inbox: mpsc::Receiver<Job>,
    mut own: mpsc::Receiver<Own>,
) {
    loop {
        let (bytes, is_last) = tokio::select! {
            job = inbox.recv() => match job {
                Some(Job::Write(bytes)) => (bytes, false),
                Some(Job::Close) | None => break,
            },
            Some(own) = own.recv() => match own {
                Own::Pong => (Bytes::from_static(b"\r\n"), false),
                Own::Last(bytes) => (bytes, true),
            },
        };
        if !matches!(timeout(patience, half.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
        if is_last {
            break;
        }
    }
    let _ = half.shutdown().await;
}
