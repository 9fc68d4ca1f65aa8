//! Who listens: what parties say goes from the shards by rings to one thread, which decodes it and finds where speech begins and
//! ends. Who speaks to a gather gets a session with a recogniser, on a thread of its own; who answers a call is judged here.
//!
//! ```text
//!  shards ═ rings ═► hearing (an ear a party; every 20 ms) ─ sound, bounded ─► session (a recogniser) ─► the switch
//!                                └─ "began", who answered ─────────────────────────────────────────────────┘
//! ```

mod ear;
mod recogniser;
mod session;
mod sphinx;
mod tones;
mod vosk;

#[cfg(test)]
mod tests;

use super::api::metrics::Sample;
use super::clock::Clock;
use super::mail::Mail;
use crate::base::time::Duration;
use crate::config::Config;
use crate::media::tap::Frame;
use crate::speech::{Event, Heard, Listen, ListenId, Order};
use crate::switch::Input;
use ear::Ear;
use rtrb::Consumer;
use session::Sessions;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

pub use recogniser::Provider;

/// How often rings are emptied while somebody is listened to.
const TURN: Duration = Duration::from_millis(20);
/// Parties that are listened to at once; more are not.
const EARS_MAX: usize = 4_096;

#[derive(Clone, Debug)]
pub struct Settings {
    provider: Provider,
    /// Parties who speak at once.
    sessions_max: usize,
}

impl Settings {
    pub fn of(config: &Config) -> Settings {
        Settings { provider: Provider::of(config), sessions_max: config.speech.recognised_at_once as usize }
    }
}

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub ears: AtomicU64,
    pub sessions: AtomicU64,
    /// Samples' worth of 20 ms that found no room on their way to a recogniser.
    pub dropped: AtomicU64,
}

/// The control thread's end; nothing here waits. The thread ends when it is dropped.
pub struct Hearing {
    orders: Sender<Order>,
    counts: Arc<Counts>,
}

impl Hearing {
    /// Leaves an order; the answer to one that cannot be taken.
    pub fn order(&self, order: Order) -> Option<Input> {
        let refused = self.orders.send(order).err()?;
        let Order::Listen(listen) = refused.0 else { return None };
        Some(failed(listen.id, "nobody listens any more"))
    }

    /// For `/metrics`.
    pub fn figures(&self) -> Vec<Sample> {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let c = &self.counts;
        vec![
            Sample::gauge("hearing_parties", "Parties who are listened to", read(&c.ears)),
            Sample::gauge("hearing_sessions", "Sessions with recognisers of speech", read(&c.sessions)),
            Sample::counter("hearing_dropped", "Frames of speech that no recogniser took in time", read(&c.dropped)),
        ]
    }
}

fn failed(id: ListenId, why: &str) -> Input {
    Input::Speech(Event::Heard { id, what: Heard::Failed(why.into()) })
}

/// Where what is heard is told.
pub type Tell = Arc<dyn Fn(Input) + Send + Sync>;

/// Starts the thread. `taps`: what is said, a ring each shard.
pub fn start(settings: Settings, taps: Vec<Consumer<Frame>>, clock: Clock, mail: &Mail) -> io::Result<Hearing> {
    let (orders, ordered) = channel();
    let counts = Arc::new(Counts::default());
    let mail = mail.clone();
    let tell: Tell = Arc::new(move |input| mail.tell(input));
    let worker = Worker::new(settings, taps, tell, Arc::clone(&counts));
    std::thread::Builder::new().name("hearing".into()).spawn(move || worker.run(&ordered, clock))?;
    Ok(Hearing { orders, counts })
}

struct Worker {
    taps: Vec<Consumer<Frame>>,
    ears: BTreeMap<ListenId, Ear>,
    sessions: Sessions,
    tell: Tell,
    counts: Arc<Counts>,
}

impl Worker {
    fn new(settings: Settings, taps: Vec<Consumer<Frame>>, tell: Tell, counts: Arc<Counts>) -> Worker {
        let Settings { provider, sessions_max } = settings;
        let sessions = Sessions::new(provider, sessions_max, Arc::clone(&tell), Arc::clone(&counts));
        Worker { taps, ears: BTreeMap::new(), sessions, tell, counts }
    }

    /// Runs until nobody gives orders any more.
    fn run(mut self, orders: &Receiver<Order>, clock: Clock) {
        let mut next = clock.mono();
        loop {
            if self.ears.is_empty() {
                match orders.recv() {
                    Ok(order) => self.order(order),
                    Err(_) => return,
                }
                next = clock.mono();
            }
            match orders.recv_timeout((next + TURN).since(clock.mono())) {
                Ok(order) => self.order(order),
                Err(RecvTimeoutError::Timeout) => {
                    next = clock.mono();
                    self.turn(next);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Listen(listen) => self.listen(*listen),
            Order::Enough(id) => drop(self.ears.remove(&id)),
            Order::Say(_) | Order::Cancel(_) => {}
        }
        self.counts.ears.store(self.ears.len() as u64, Ordering::Relaxed);
    }

    fn listen(&mut self, listen: Listen) {
        let id = listen.id;
        if self.ears.len() >= EARS_MAX {
            return (self.tell)(failed(id, "too many are listened to"));
        }
        match self.sessions.can_hear(&listen) {
            Ok(()) => drop(self.ears.insert(id, Ear::new(listen))),
            Err(why) => (self.tell)(failed(id, &why)),
        }
    }

    /// Empties the rings, and lets each ear hear what has come together.
    fn turn(&mut self, now: crate::base::time::Instant) {
        for ring in &mut self.taps {
            let Ok(frames) = ring.read_chunk(ring.slots()) else { continue };
            let (first, second) = frames.as_slices();
            for frame in first.iter().chain(second) {
                if let Some(ear) = self.ears.get_mut(&ListenId(frame.label.tap.0)) {
                    ear.take(frame);
                }
            }
            frames.commit_all();
        }
        let (sessions, tell) = (&mut self.sessions, &self.tell);
        self.ears.retain(|_, ear| ear.hear(now, sessions, tell));
        self.counts.ears.store(self.ears.len() as u64, Ordering::Relaxed);
    }
}
