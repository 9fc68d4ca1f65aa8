//! Facts leave the control thread here: logged; ended calls stored and acknowledged; what users changed stored.
//!
//! The control thread collects facts and hands them over in batches; the ledger thread logs them and commits records in
//! batches. A store that fails is tried again with growing pauses; meanwhile records wait in memory, within stated bounds.

use super::logs;
use super::store::{Fault, Store};
use crate::base::time::{Duration, Instant};
use crate::event::{CallId, CallRecord, Changed, Fact, Outgoing};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Facts wait so long for company before they are handed over …
const COLLECT: Duration = Duration::from_millis(100);
/// … or until there are so many.
const COLLECT_MAX: usize = 128;
/// Batches between the threads.
const BATCHES_MAX: usize = 256;
/// Facts that the control thread keeps while the ledger is behind. More are dropped; records of calls only beyond
/// [`RECORDS_MAX`].
const FACTS_MAX: usize = 16_384;
const RECORDS_MAX: usize = 65_536;
/// Records wait so long for company before a commit …
const COMMIT: Duration = Duration::from_millis(100);
/// … or until there are so many. A failing store's records go on in portions of this size.
const COMMIT_MAX: usize = 256;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long the end of the process waits for a failing store.
const FAREWELL: Duration = Duration::from_secs(5);

/// What `/metrics` and `/readyz` read of the ledger.
#[derive(Debug, Default)]
pub struct Condition {
    pub records_waiting: AtomicU64,
    pub records_stored: AtomicU64,
    pub records_lost: AtomicU64,
    pub commits: AtomicU64,
    pub commit_failures: AtomicU64,
    pub is_failing: AtomicBool,
}

/// The control thread's end.
pub struct Ledger {
    batches: SyncSender<Vec<Fact>>,
    facts: Vec<Fact>,
    since: Option<Instant>,
    dropped: u64,
    condition: Arc<Condition>,
}

impl Ledger {
    pub fn note(&mut self, fact: Fact, now: Instant) {
        let is_record = matches!(fact, Fact::CallEnded(_) | Fact::Reached { .. } | Fact::Outgoing(_));
        if self.facts.len() >= if is_record { RECORDS_MAX } else { FACTS_MAX } {
            self.dropped += 1;
            if is_record {
                // The last resort: the log is another disk, or another machine.
                self.condition.records_lost.fetch_add(1, Ordering::Relaxed);
                logs::fact(&fact);
                tracing::error!("the store is too far behind: the record above is only in the log");
            }
            return;
        }
        self.since.get_or_insert(now);
        self.facts.push(fact);
    }

    /// When [`Ledger::turn`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|s| s + COLLECT)
    }

    pub fn turn(&mut self, now: Instant) {
        if self.facts.len() >= COLLECT_MAX || self.deadline().is_some_and(|at| at <= now) {
            self.flush();
            self.since = (!self.facts.is_empty()).then_some(now);
        }
    }

    /// Hands over what is there; what finds no room stays.
    pub fn flush(&mut self) {
        if self.facts.is_empty() {
            return;
        }
        match self.batches.try_send(std::mem::take(&mut self.facts)) {
            Ok(()) => self.since = None,
            Err(TrySendError::Full(facts) | TrySendError::Disconnected(facts)) => self.facts = facts,
        }
    }

    /// Facts that wait, and those that were dropped.
    pub fn waiting(&self) -> (u64, u64) {
        (self.facts.len() as u64, self.dropped)
    }
}

/// The thread's state.
struct Keeper<S, F> {
    store: S,
    stored: F,
    batches: Receiver<Vec<Fact>>,
    condition: Arc<Condition>,
    #[expect(clippy::vec_box, reason = "they come boxed; moving them out would copy each")]
    records: Vec<Box<CallRecord>>,
    #[expect(clippy::vec_box, reason = "they come boxed; moving them out would copy each")]
    outgoing: Vec<Box<Outgoing>>,
    /// By user: what is newer takes the place of what waits.
    changed: BTreeMap<String, Changed>,
    commit_at: Option<std::time::Instant>,
    retry: Duration,
}

/// Starts the ledger thread. `stored` is called with the calls of each commit. The thread ends when the [`Ledger`] is dropped
/// and all records are stored, or after [`FAREWELL`] of failures.
pub fn start<S, F>(store: S, stored: F) -> std::io::Result<(Ledger, Arc<Condition>, JoinHandle<()>)>
where
    S: Store + 'static,
    F: FnMut(Vec<CallId>) + Send + 'static,
{
    let (sender, batches) = sync_channel(BATCHES_MAX);
    let condition = Arc::new(Condition::default());
    let mut keeper = Keeper {
        store,
        stored,
        batches,
        condition: Arc::clone(&condition),
        records: Vec::new(),
        outgoing: Vec::new(),
        changed: BTreeMap::new(),
        commit_at: None,
        retry: RETRY_FIRST,
    };
    let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || keeper.run())?;
    let ledger =
        Ledger { batches: sender, facts: Vec::new(), since: None, dropped: 0, condition: Arc::clone(&condition) };
    Ok((ledger, condition, thread))
}

impl<S: Store, F: FnMut(Vec<CallId>)> Keeper<S, F> {
    fn run(&mut self) {
        loop {
            // A store far behind is not fed: the channel fills, then the control thread's own list.
            let full = self.records.len().max(self.outgoing.len()) >= RECORDS_MAX;
            let patience = self.commit_at.map(|at| at.saturating_duration_since(std::time::Instant::now()));
            let batch = match (patience, full) {
                (Some(patience), true) => {
                    std::thread::sleep(patience);
                    Err(RecvTimeoutError::Timeout)
                }
                (Some(patience), false) => self.batches.recv_timeout(patience),
                (None, _) => self.batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match batch {
                Ok(facts) => self.take(facts),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            let is_due = self.commit_at.is_some_and(|at| at <= std::time::Instant::now());
            let is_many = self.records.len() >= COMMIT_MAX && !self.condition.is_failing.load(Ordering::Relaxed);
            if is_due || is_many {
                self.commit();
            }
        }
    }

    fn take(&mut self, facts: Vec<Fact>) {
        logs::together(|| facts.iter().for_each(logs::fact));
        for fact in facts {
            match fact {
                Fact::CallEnded(record) => self.records.push(record),
                Fact::Outgoing(text) => self.outgoing.push(text),
                Fact::Reached { user, changed } => _ = self.changed.insert(user, changed),
                _ => continue,
            }
            self.commit_at.get_or_insert_with(|| std::time::Instant::now() + COMMIT);
        }
        self.condition.records_waiting.store(self.records.len() as u64, Ordering::Relaxed);
    }

    fn commit(&mut self) {
        while !self.records.is_empty() {
            let portion = self.records.len().min(COMMIT_MAX);
            let done = self.store.append(&self.records[..portion]);
            if !self.is_committed(done) {
                return;
            }
            let calls: Vec<CallId> = self.records.drain(..portion).map(|r| r.cdr.call).collect();
            self.condition.records_stored.fetch_add(calls.len() as u64, Ordering::Relaxed);
            (self.stored)(calls);
        }
        self.condition.records_waiting.store(0, Ordering::Relaxed);
        if !self.outgoing.is_empty() {
            let done = self.store.send(&self.outgoing);
            if !self.is_committed(done) {
                return;
            }
            self.outgoing.clear();
        }
        if !self.changed.is_empty() {
            let done = self.store.keep(&self.changed);
            if !self.is_committed(done) {
                return;
            }
            self.changed.clear();
        }
        self.commit_at = None;
    }

    /// Counts a commit; one that failed is tried again, each time after a longer pause.
    fn is_committed(&mut self, done: Result<(), Fault>) -> bool {
        if let Err(fault) = done {
            self.condition.commit_failures.fetch_add(1, Ordering::Relaxed);
            self.condition.is_failing.store(true, Ordering::Relaxed);
            tracing::error!(%fault, records = self.records.len(), retry_ms = self.retry.as_millis() as u64, "the store fails");
            self.commit_at = Some(std::time::Instant::now() + self.retry);
            self.retry = (self.retry * 2).min(RETRY_MAX);
            return false;
        }
        if self.condition.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the store works again");
        }
        self.retry = RETRY_FIRST;
        self.condition.commits.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn finish(&mut self) {
        let end = std::time::Instant::now() + FAREWELL;
        self.commit();
        while let Some(at) = self.commit_at.filter(|at| *at < end) {
            std::thread::sleep(at.saturating_duration_since(std::time::Instant::now()));
            self.commit();
        }
        for record in self.records.drain(..) {
            self.condition.records_lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(call = %record.cdr.call, cdr = %super::store::cdr_json(&record.cdr), "the record is only in the log");
        }
        if !self.changed.is_empty() {
            let users: Vec<&String> = self.changed.keys().collect();
            tracing::error!(?users, "what these users changed of their forwarding is not stored");
        }
    }
}
