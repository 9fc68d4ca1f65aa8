//! Fetches and callbacks: one thread with a runtime of its own, so that a thousand hostile servers hold nothing else up.
//!
//! ```text
//! control ─► Order ─► fetch: redirects, attempts, fallback ─► exchange ─► hosts: place, breaker, idle connections
//!                  └► callbacks: a queue a call ─────────────┘         └► connect: name, guard, TCP, TLS
//! control ◄─ Input::Web ◄─┘
//! ```

mod callbacks;
mod connect;
mod connection;
mod cookies;
mod exchange;
mod fetch;
mod figures;
mod form;
mod guard;
mod hosts;
mod local;
mod media;
mod message;
pub mod plain;
mod pulse;
mod signature;
mod sound;
#[cfg(test)]
mod tests;
mod url;

pub use signature::sha256_hex;
pub use sound::to_wav;
#[cfg(test)]
pub use sound::wav;

use crate::base::pii::Secret;
use crate::config::{Config, Network};
use crate::event::CallId;
use crate::shell::api::metrics::Sample;
use crate::shell::mail::Mail;
use crate::switch::Input;
use crate::web::{Event, Fault, Fetch, FetchId, Order, Reason};
use callbacks::Callbacks;
use connect::Connector;
use exchange::Exchange;
use fetch::Fetcher;
use figures::Figures;
use guard::Guard;
use hosts::Hosts;
use local::Files;
use media::Shelf;
use pulse::Pulse;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::AbortHandle;

/// Orders that wait for the thread; a fetch beyond fails, a callback is lost and counted.
const ORDERS_MAX: usize = 16 * 1024;
/// Fetches that calls wait for; each holds at most a document. Further ones fail.
const FETCHES_MAX: u64 = 4_096;
/// Threads that wait for names and for the disk.
const BLOCKING_MAX: usize = 32;
/// Calls that are over and whose cookies the thread still keeps, because nothing has woken it since.
const OVER_MAX: usize = 64;

/// What the thread is started with; fixed while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Signs requests.
    pub token: Option<Secret>,
    /// Networks that may be asked though they are not public.
    pub allowed: Vec<Network>,
    /// Folder of documents and media that have a path instead of an address.
    pub files: PathBuf,
    /// Where fetched media is kept.
    pub cache: PathBuf,
    /// Requests to one server at once.
    pub host_requests_max: usize,
    pub seed: u64,
}

impl Settings {
    pub fn of(config: &Config, seed: u64) -> Settings {
        Settings {
            token: config.http.auth_token.clone(),
            allowed: config.web.allow_private.clone(),
            files: config.web.files.clone(),
            cache: config.data_dir.join("web"),
            host_requests_max: config.web.host_requests as usize,
            seed,
        }
    }
}

/// An order, and the calls that were over before it. To wake the thread for their cookies alone costs more than the cookies take.
type Letter = (Vec<CallId>, Order);

/// The control thread's end. Nothing here waits.
pub struct Web {
    orders: Option<mpsc::Sender<Letter>>,
    over: RefCell<Vec<CallId>>,
    figures: Arc<Figures>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// How long the end of the process waits for callbacks that are under way.
const FAREWELL: Duration = Duration::from_secs(2);

impl Drop for Web {
    fn drop(&mut self) {
        self.orders = None;
        // A thread that broke has said so in the log.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Starts the thread; it ends when its [`Web`] is dropped.
pub fn start(settings: Settings, mail: Mail) -> io::Result<Web> {
    let (orders, inbox) = mpsc::channel(ORDERS_MAX);
    let figures = Arc::new(Figures::default());
    let cache = media::emptied(&settings.cache)?;
    let own = Arc::clone(&figures);
    let (says, said) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("web".into()).spawn(move || {
        let runtime = runtime();
        let begun = runtime.as_ref().map(|_| ()).map_err(io::Error::kind);
        let _ = says.send(begun);
        let Ok(runtime) = runtime else { return };
        let connector = Connector::new(Guard::new(settings.allowed.clone()));
        let shelf = Shelf::new(cache);
        runtime.block_on(Thread::new(settings, connector, shelf, mail, own).run(inbox));
        runtime.shutdown_background();
    })?;
    said.recv().map_err(io::Error::other)??;
    Ok(Web { orders: Some(orders), over: RefCell::default(), figures, thread: Some(thread) })
}

/// Tasks belong to the thread: one wakes another without a system call, which those of a `LocalSet` do not.
fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_MAX).build_local(LocalOptions::default())
}

impl Web {
    /// Leaves an order; the answer to one that cannot be taken.
    pub fn order(&self, order: Order) -> Option<Input> {
        let mut over = self.over.borrow_mut();
        if let Order::Forget(call) = order
            && over.len() < OVER_MAX
        {
            over.push(call);
            return None;
        }
        let Some(orders) = &self.orders else { return self.refuse(order) };
        match orders.try_send((std::mem::take(&mut *over), order)) {
            Ok(()) => None,
            Err(TrySendError::Full((calls, order)) | TrySendError::Closed((calls, order))) => {
                *over = calls;
                self.refuse(order)
            }
        }
    }

    fn refuse(&self, order: Order) -> Option<Input> {
        match order {
            Order::Fetch(fetch) => Some(refusal(&fetch)),
            Order::Callback(_) => {
                self.figures.callbacks_lost.fetch_add(1, Relaxed);
                None
            }
            Order::Cancel(_) | Order::Forget(_) => None,
        }
    }

    pub fn figures(&self) -> Vec<Sample> {
        self.figures.samples()
    }
}

fn refusal(fetch: &Fetch) -> Input {
    let fault = Fault::new(Reason::Internal, url::shown(&fetch.address.url), "too many fetches are under way");
    Input::Web(Event::Fetched { id: fetch.id, result: Err(fault) })
}

struct Thread {
    fetcher: Rc<Fetcher>,
    callbacks: Rc<Callbacks>,
    mail: Mail,
    under_way: Rc<RefCell<BTreeMap<FetchId, AbortHandle>>>,
}

impl Thread {
    fn new(settings: Settings, connector: Connector, shelf: Shelf, mail: Mail, figures: Arc<Figures>) -> Thread {
        let hosts = Hosts::new(settings.host_requests_max, Arc::clone(&figures));
        let exchange = Exchange::new(connector, hosts, Arc::clone(&figures));
        let files = Files::new(settings.files);
        let fetcher = Rc::new(Fetcher::new(exchange, files, shelf, settings.token, figures, settings.seed));
        Thread { callbacks: Callbacks::new(Rc::clone(&fetcher)), fetcher, mail, under_way: Rc::default() }
    }

    async fn run(self, mut inbox: mpsc::Receiver<Letter>) {
        let mut pulse = Pulse::default();
        while let Some((over, order)) = pulse.beside(inbox.recv()).await {
            over.into_iter().for_each(|call| self.callbacks.forget(call));
            match order {
                Order::Fetch(fetch) => self.fetch(fetch).await,
                Order::Cancel(id) => self.cancel(id),
                Order::Callback(callback) => self.callbacks.take(callback),
                Order::Forget(call) => self.callbacks.forget(call),
            }
        }
        // What calls said last, such as that they are over, is still told.
        let _ = tokio::time::timeout(FAREWELL, self.callbacks.told()).await;
    }

    async fn fetch(&self, fetch: Box<Fetch>) {
        let figures = &self.fetcher.figures;
        figures.fetches.fetch_add(1, Relaxed);
        if figures.fetches_waiting.load(Relaxed) >= FETCHES_MAX {
            figures.fetches_failed.fetch_add(1, Relaxed);
            self.mail.stream(refusal(&fetch)).await;
            return;
        }
        figures.fetches_waiting.fetch_add(1, Relaxed);
        let (id, fetcher, mail) = (fetch.id, Rc::clone(&self.fetcher), self.mail.clone());
        let under_way = Rc::clone(&self.under_way);
        let task = tokio::task::spawn_local(async move {
            let result = fetcher.fetch(&fetch).await;
            under_way.borrow_mut().remove(&id);
            fetcher.figures.fetches_waiting.fetch_sub(1, Relaxed);
            fetcher.figures.fetches_failed.fetch_add(u64::from(result.is_err()), Relaxed);
            mail.stream(Input::Web(Event::Fetched { id, result })).await;
        });
        self.under_way.borrow_mut().insert(id, task.abort_handle());
    }

    /// Nobody waits for it: its connection is closed. What is told already, or not begun, goes its way.
    fn cancel(&self, id: FetchId) {
        if let Some(task) = self.under_way.borrow_mut().remove(&id) {
            task.abort();
            self.fetcher.figures.fetches_waiting.fetch_sub(1, Relaxed);
        }
    }
}
