//! Recordings on threads of their own: one decodes and aligns what taps copy, one writes to the disk, one sees to what is over.
//! None is ever waited for by a call.
//!
//! ```text
//!  shards ═ rings ═► recorder (tapes; every 40 ms) ─ portions, at most 128 MiB on the way ─► disk (files, journals)
//!                                       keeper (checksums, rows, recovery, retention) ◄─ what is over ─┘
//! ```

pub mod disk;
pub mod export;
pub mod folder;
pub mod keeper;
pub mod recover;
pub mod worker;

#[cfg(test)]
mod tests;

use crate::base::time::Duration;
use crate::config;
use crate::recording::command::{Event, Order};
use crate::recording::journal::Format;
use crate::recording::seal::Key;
use crate::shell::api::metrics::Sample;
use crate::shell::clock::Clock;
use crate::shell::store::{Fault, Recordings};
use disk::{Condition, Disk};
use folder::Folder;
use keeper::Keeper;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;

/// What recordings are made with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub folder: PathBuf,
    pub format: Format,
    /// Older ones are removed; `None` never.
    pub retention: Option<Duration>,
    /// The first seals; all open.
    pub keys: Vec<Key>,
}

impl Settings {
    /// As the configuration says.
    pub fn of(config: &config::Config) -> Settings {
        let r = &config.recording;
        let keys = r.key.iter().chain(&r.old_keys).filter_map(|key| Key::parse(key.expose())).collect();
        Settings {
            folder: folder(&config.data_dir),
            format: r.format.parse().unwrap_or_default(),
            retention: r.retention,
            keys,
        }
    }
}

/// Where recordings lie in the data folder.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("recordings")
}

/// The control thread's end. The threads end when it is dropped, with what they have been given on the disk.
pub struct Recorder {
    orders: Option<Sender<Order>>,
    threads: Vec<JoinHandle<()>>,
    condition: Arc<Condition>,
}

impl Recorder {
    /// Never waits.
    pub fn order(&self, order: Order) {
        // Its thread ends with us only.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }

    /// For `/metrics`.
    pub fn figures(&self) -> Vec<Sample> {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let c = &self.condition;
        vec![
            Sample::gauge("recordings_active", "Recordings that are being written", read(&c.active)),
            Sample::counter("recordings_saved", "Recordings that have their row", read(&c.saved)),
            Sample::counter("recordings_failed", "Recordings ended by a full or slow disk", read(&c.failed)),
            Sample::gauge("recordings_waiting_bytes", "Bytes that wait for the disk", read(&c.waiting)),
            Sample::counter("recordings_written_bytes", "Bytes of recordings written", read(&c.written)),
            Sample::gauge(
                "recordings_refused",
                "1 while the disk refuses",
                u64::from(c.is_refusing.load(Ordering::Relaxed)),
            ),
        ]
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.orders = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What the threads need.
pub struct Parts<F> {
    pub settings: Settings,
    pub folder: F,
    pub rows: Recordings,
    pub taps: Vec<rtrb::Consumer<crate::media::tap::Frame>>,
    pub clock: Clock,
}

/// Starts the threads. `tell` is called on theirs.
pub fn start<F: Folder>(parts: Parts<F>, tell: impl Fn(Event) + Send + Clone + 'static) -> std::io::Result<Recorder> {
    let Parts { settings, folder, rows, taps, clock } = parts;
    let condition = Arc::new(Condition::default());
    let (jobs, waiting) = channel();
    let (closings, closed) = sync_channel(keeper::CLOSINGS_MAX);
    let folder = Arc::new(folder);
    let making = worker::Making { format: settings.format, key: settings.keys.first().map(|key| key.id().to_owned()) };
    let desk = keeper::Desk {
        settings: settings.clone(),
        folder: Arc::clone(&folder),
        rows,
        condition: Arc::clone(&condition),
        clock,
    };
    let mut keeper = Keeper::new(desk);
    let desk = disk::Desk { settings, folder, condition: Arc::clone(&condition), tell: tell.clone(), closings };
    let mut disk = Disk::new(desk);
    let queue = disk::Queue::new(jobs, Arc::clone(&condition));
    let (orders, ordered) = channel();
    let desk = worker::Desk { making, orders: ordered, taps, disk: queue, clock, tell };
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    let keeper = thread("keeper").spawn(move || keeper.run(&closed))?;
    let disk = thread("disk").spawn(move || disk.run(&waiting))?;
    let worker = thread("recorder").spawn(move || worker::Worker::new(desk).run())?;
    Ok(Recorder { orders: Some(orders), threads: vec![worker, disk, keeper], condition })
}

/// A fault as operators read it.
pub fn sentence(path: &Path, fault: &Fault) -> String {
    format!("{}: {fault}", path.display())
}
