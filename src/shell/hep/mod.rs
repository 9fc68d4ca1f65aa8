//! Copies of SIP messages for a capture server: HEP, version 3, over UDP or TCP.
//!
//! The control thread collects and hands over in batches; a thread of its own resolves, connects, writes and waits. What finds no
//! room, or nobody to take it, is counted and gone.

mod chunks;
#[cfg(test)]
mod tests;

pub use chunks::Agent;

use super::api::metrics::Sample;
use super::capture::Packet;
use super::net::describe;
use crate::base::time::{Duration, Instant};
use crate::config::Hep;
use crate::event::CallId;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Messages wait so long for company …
const COLLECT: Duration = Duration::from_millis(20);
/// … or until there are so many; more than the second bound are dropped.
const COLLECT_MAX: usize = 64;
const WAITING_MAX: usize = 1_024;
/// Batches between the threads.
const BATCHES_MAX: usize = 64;
const CONNECT: Duration = Duration::from_secs(3);
const WRITE: Duration = Duration::from_secs(5);
/// A server that cannot be reached is left alone for so long; meanwhile what comes is dropped.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A name is asked for again after so long, since datagrams tell nothing of a server that has moved.
const NAME: Duration = Duration::from_secs(300);

/// A message, and the call that it is of.
pub struct Item {
    pub packet: Packet,
    pub call: Option<CallId>,
}

#[derive(Default)]
struct Figures {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Figures {
    fn lose(&self, n: usize) {
        self.dropped.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// The control thread's end; nothing here waits.
pub struct Exporter {
    batches: SyncSender<Vec<Item>>,
    items: Vec<Item>,
    since: Option<Instant>,
    figures: Arc<Figures>,
}

impl Exporter {
    pub fn export(&mut self, now: Instant, packet: Packet, call: Option<CallId>) {
        if self.items.len() >= WAITING_MAX {
            return self.figures.lose(1);
        }
        self.since.get_or_insert(now);
        self.items.push(Item { packet, call });
    }

    /// When [`Exporter::turn`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + COLLECT)
    }

    pub fn turn(&mut self, now: Instant) {
        if self.items.len() < COLLECT_MAX && self.deadline().is_none_or(|at| at > now) {
            return;
        }
        match self.batches.try_send(std::mem::take(&mut self.items)) {
            Ok(()) => self.since = None,
            Err(TrySendError::Full(items)) => {
                self.items = items;
                self.since = Some(now);
            }
            Err(TrySendError::Disconnected(items)) => {
                self.figures.lose(items.len());
                self.since = None;
            }
        }
    }

    pub fn figures(&self) -> impl Iterator<Item = Sample> + use<> {
        let (sent, dropped) = (&self.figures.sent, &self.figures.dropped);
        [
            Sample::counter("hep_sent", "SIP messages copied to the capture server", sent.load(Ordering::Relaxed)),
            Sample::counter("hep_dropped", "SIP messages that were not copied", dropped.load(Ordering::Relaxed)),
        ]
        .into_iter()
    }
}

/// Starts the thread; it ends when the [`Exporter`] is dropped.
pub fn start(hep: &Hep) -> io::Result<Exporter> {
    let (batches, waiting) = sync_channel(BATCHES_MAX);
    let figures = Arc::new(Figures::default());
    let agent = Agent { id: hep.id, password: hep.password.clone() };
    let mut sender = Sender {
        agent,
        is_tcp: hep.is_tcp,
        target: hep.target.clone(),
        line: None,
        until: None,
        pause: RETRY_FIRST,
        figures: Arc::clone(&figures),
    };
    std::thread::Builder::new().name("hep".into()).spawn(move || sender.run(&waiting))?;
    Ok(Exporter { batches, items: Vec::new(), since: None, figures })
}

enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// The thread's state.
struct Sender {
    agent: Agent,
    is_tcp: bool,
    target: String,
    line: Option<Line>,
    /// Until when the line is used, or nobody is asked for one.
    until: Option<std::time::Instant>,
    pause: Duration,
    figures: Arc<Figures>,
}

impl Sender {
    fn run(&mut self, waiting: &Receiver<Vec<Item>>) {
        while let Ok(items) = waiting.recv() {
            let sent = if self.is_up() { self.send(&items) } else { 0 };
            self.figures.sent.fetch_add(sent as u64, Ordering::Relaxed);
            self.figures.lose(items.len() - sent);
        }
    }

    /// Whether there is a line; makes one when it is time to.
    fn is_up(&mut self) -> bool {
        let now = std::time::Instant::now();
        if self.until.is_some_and(|until| now < until) {
            return self.line.is_some();
        }
        if matches!(self.line, Some(Line::Tcp(_))) {
            return true;
        }
        match self.open() {
            Ok(line) => {
                self.until = matches!(line, Line::Udp(_)).then(|| now + NAME);
                self.line = Some(line);
                self.pause = RETRY_FIRST;
                true
            }
            Err(e) => {
                self.failed(&e);
                false
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        tracing::warn!(target = %self.target, why = describe(error), "the capture server cannot be reached");
        self.line = None;
        self.until = Some(std::time::Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(RETRY_MAX);
    }

    fn open(&self) -> io::Result<Line> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.target.to_socket_addrs()? {
            match open(self.is_tcp, address) {
                Ok(line) => return Ok(line),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// How many of them have left.
    fn send(&mut self, items: &[Item]) -> usize {
        let mut sent = 0;
        for item in items {
            let Some(bytes) = self.agent.encode(item) else { continue };
            let done = match &mut self.line {
                Some(Line::Udp(socket)) => socket.send(&bytes).map(|_| ()),
                Some(Line::Tcp(stream)) => stream.write_all(&bytes),
                None => return sent,
            };
            match done {
                Ok(()) => sent += 1,
                // A datagram that nobody took says nothing of the next one.
                Err(_) if !self.is_tcp => {}
                Err(e) => {
                    self.failed(&e);
                    return sent;
                }
            }
        }
        sent
    }
}

fn open(is_tcp: bool, address: SocketAddr) -> io::Result<Line> {
    if is_tcp {
        let stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_write_timeout(Some(WRITE))?;
        stream.set_nodelay(true)?;
        return Ok(Line::Tcp(stream));
    }
    let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(address)?;
    Ok(Line::Udp(socket))
}
