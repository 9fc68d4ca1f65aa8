//! What other threads tell the control thread: bounded queues and one bell.

use super::api::metrics::Sample;
use super::capture::Packet;
use super::net::Waker;
use crate::event::CallId;
use crate::recording::command as recording;
use crate::switch::{Counters, Input, Operator, Reply};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Messages from streams that wait; a full queue holds the connections' readers, and so their peers.
const STREAMS_MAX: usize = 4_096;
/// Questions that wait; more wait in their HTTP requests.
const ASKS_MAX: usize = 64;
/// Batches of acknowledgements that wait; the ledger waits when they are full.
const STORED_MAX: usize = 64;

/// A question to the control thread.
#[derive(Debug)]
pub enum Ask {
    Operator(Operator),
    /// What is kept of a call's messages.
    Capture(CallId),
    Report,
}

/// Its answer.
#[derive(Debug)]
pub enum Answer {
    Reply(Reply),
    Capture(Option<Vec<Packet>>),
    Report(Box<Report>),
}

/// What the control thread says of itself.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub late_ms: u64,
    pub counters: Counters,
    pub is_drained: bool,
    /// How often each deadline woke the switch.
    pub deadlines: Vec<(&'static str, u64)>,
    pub turns: u64,
    /// Time spent in turns, waiting not counted.
    pub busy_us: u64,
    pub turn_us_max: u64,
    pub datagrams_received: u64,
    pub datagrams_dropped: u64,
    pub datagrams_waiting: u64,
    /// Datagrams that the system or the peer's system refused.
    pub datagrams_refused: u64,
    /// Facts that wait for the ledger, and those that found no room and were only counted.
    pub facts_waiting: u64,
    pub facts_dropped: u64,
    pub media: Vec<Sample>,
}

/// The senders' side; clones are cheap.
#[derive(Clone)]
pub struct Mail {
    streams: mpsc::Sender<Input>,
    asks: mpsc::Sender<(Ask, oneshot::Sender<Answer>)>,
    stored: mpsc::Sender<Vec<CallId>>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

/// The control thread's side.
pub struct Mailbox {
    pub streams: mpsc::Receiver<Input>,
    pub asks: mpsc::Receiver<(Ask, oneshot::Sender<Answer>)>,
    pub stored: mpsc::Receiver<Vec<CallId>>,
    pub waker: Waker,
    stop: Arc<AtomicBool>,
}

impl Mailbox {
    /// [`Mail::stop`] was called: end the loop at once.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Both sides.
pub fn mail() -> io::Result<(Mail, Mailbox)> {
    let (waker, stop) = (Waker::new()?, Arc::new(AtomicBool::new(false)));
    let (streams, streams_out) = mpsc::channel(STREAMS_MAX);
    let (asks, asks_out) = mpsc::channel(ASKS_MAX);
    let (stored, stored_out) = mpsc::channel(STORED_MAX);
    let mail = Mail { streams, asks, stored, stop: Arc::clone(&stop), waker: waker.clone() };
    Ok((mail, Mailbox { streams: streams_out, asks: asks_out, stored: stored_out, waker, stop }))
}

impl Mail {
    /// A message or a failure of a stream; waits while the queue is full. `false`: the control thread is gone.
    pub async fn stream(&self, input: Input) -> bool {
        let sent = self.streams.send(input).await.is_ok();
        self.waker.wake();
        sent
    }

    /// Asks and waits for the answer; `None`: the control thread is gone.
    pub async fn ask(&self, ask: Ask) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.asks.send((ask, answer)).await.ok()?;
        self.waker.wake();
        answered.await.ok()
    }

    pub async fn operator(&self, ask: Operator) -> Option<Reply> {
        match self.ask(Ask::Operator(ask)).await? {
            Answer::Reply(reply) => Some(reply),
            Answer::Report(_) | Answer::Capture(_) => None,
        }
    }

    /// What is kept of a call's messages; `Some(None)`: nothing.
    pub async fn capture(&self, call: CallId) -> Option<Option<Vec<Packet>>> {
        match self.ask(Ask::Capture(call)).await? {
            Answer::Capture(packets) => Some(packets),
            Answer::Reply(_) | Answer::Report(_) => None,
        }
    }

    pub async fn report(&self) -> Option<Box<Report>> {
        match self.ask(Ask::Report).await? {
            Answer::Report(report) => Some(report),
            Answer::Reply(_) | Answer::Capture(_) => None,
        }
    }

    /// The store has these calls; waits while the queue is full. Not to be called on the runtime's thread.
    pub fn stored(&self, calls: Vec<CallId>) {
        // A control thread that is gone needs no acknowledgement.
        let _ = self.stored.blocking_send(calls);
        self.waker.wake();
    }

    /// What the recorder tells. Never waits: the recorder's threads are ended by the control thread.
    pub fn recording(&self, event: recording::Event) {
        if self.streams.try_send(Input::Recording(event)).is_err() {
            tracing::warn!("the switch does not hear its recorder");
        }
        self.waker.wake();
    }

    /// An answer of a thread that may wait; waits while the queue is full. Not to be called on a runtime's thread.
    pub fn tell(&self, input: Input) {
        // A control thread that is gone hears nothing.
        let _ = self.streams.blocking_send(input);
        self.waker.wake();
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }
}
