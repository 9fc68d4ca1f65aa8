//! The keeper's thread: what is over gets its checksum and its row, what an earlier process left is recovered, what is too old goes.
//! Each of these may read a whole file; no recording that goes on waits for them.

use super::disk::{Closing, Condition, journal_of};
use super::folder::Folder;
use super::{Settings, recover};
use crate::base::time::{Duration, Instant, Wall};
use crate::recording::journal::{Begin, End, Record};
use crate::recording::tape::Summary;
use crate::shell::clock::Clock;
use crate::shell::store::{Recordings, Stored};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// Recordings that may wait for their checksum; each holds two files open.
pub const CLOSINGS_MAX: usize = 1_024;
/// How often recordings that are too old are looked for.
const SWEEP: Duration = Duration::from_secs(3_600);
/// Recordings that are removed in one look.
const SWEEP_MAX: usize = 1_000;

/// What the thread works with.
pub struct Desk<F> {
    pub settings: Settings,
    pub folder: Arc<F>,
    pub rows: Recordings,
    pub condition: Arc<Condition>,
    pub clock: Clock,
}

/// The thread's state.
pub struct Keeper<F> {
    desk: Desk<F>,
    /// Journals of an earlier process.
    left: VecDeque<PathBuf>,
    sweep_at: Instant,
}

impl<F: Folder> Keeper<F> {
    /// Lists what an earlier process left; nothing may have been begun there yet.
    pub fn new(desk: Desk<F>) -> Keeper<F> {
        let left = recover::journals(&desk.settings.folder).into();
        let sweep_at = desk.clock.mono();
        Keeper { desk, left, sweep_at }
    }

    /// Runs until the disk's thread is gone and all that it gave is kept.
    pub fn run(&mut self, closings: &Receiver<Closing>) {
        loop {
            let now = self.desk.clock.mono();
            let patience = if self.left.is_empty() { self.sweep_at.since(now) } else { Duration::ZERO };
            match closings.recv_timeout(patience) {
                Ok(closing) => self.close(closing),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tend(self.desk.clock.mono());
        }
    }

    /// One recording that was left, and the sweep if its time has come. What ends meanwhile waits for one file at most.
    pub fn tend(&mut self, now: Instant) {
        if let Some(path) = self.left.pop_front() {
            match recover::one(&self.desk.settings, &mut self.desk.rows, &path) {
                Ok(row) => tracing::info!(recording = %row.id, call = %row.call, "recording recovered"),
                Err(why) => tracing::warn!(path = %path.display(), "recording not recovered: {why}"),
            }
        }
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP;
            self.sweep();
        }
    }

    /// Gives a recording its end, its checksum and its row.
    pub fn close(&mut self, closing: Closing) {
        let Closing { open, saved } = closing;
        let (path, begin) = (open.path.clone(), open.begin.clone());
        match open.close(&saved) {
            Ok((end, mut journal)) => {
                let row = row(&begin, &end, &path, end.status(), Some(&saved.summary));
                // The journal goes when the row is there: until then the next start makes it.
                let kept = journal.append(Record::End(end).line().as_bytes()).and_then(|()| journal.sync());
                match self.desk.rows.insert(&row) {
                    Ok(()) => {
                        self.desk.condition.saved.fetch_add(1, Ordering::Relaxed);
                        let _ = self.desk.folder.remove(&journal_of(&path));
                        let (call, bytes, status) = (begin.call, row.bytes, &row.status);
                        tracing::info!(recording = %begin.id, %call, bytes, status, "recording saved");
                    }
                    Err(fault) => {
                        tracing::error!(recording = %begin.id, journal = kept.is_ok(), "recording has no row: {fault}")
                    }
                }
            }
            Err(error) => {
                self.desk.condition.refused(&self.desk.settings.folder, &error);
                tracing::warn!(recording = %begin.id, "recording not ended; `tandem recordings recover` mends it");
            }
        }
    }

    /// Removes what is older than is to be kept.
    fn sweep(&mut self) {
        let Some(retention) = self.desk.settings.retention else { return };
        let now = self.desk.clock.now().wall;
        let us = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let before = Wall(now.as_micros().saturating_sub(us));
        let old = match self.desk.rows.before(before, SWEEP_MAX) {
            Ok(old) => old,
            Err(fault) => return tracing::warn!("old recordings cannot be looked for: {fault}"),
        };
        let (found, mut removed) = (old.len(), 0);
        for row in old {
            match self.desk.folder.remove(Path::new(&row.path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(recording = %row.id, "recording cannot be removed: {error}");
                }
                _ => match self.desk.rows.remove(row.id) {
                    Ok(()) => removed += 1,
                    Err(fault) => tracing::warn!(recording = %row.id, "recording's row cannot be removed: {fault}"),
                },
            }
        }
        // There may be more than one look finds; what cannot be removed is not tried again at once.
        if found == SWEEP_MAX && removed == SWEEP_MAX {
            self.sweep_at = self.desk.clock.mono();
        }
    }
}

/// A recording's row.
pub fn row(begin: &Begin, end: &End, path: &Path, status: &str, summary: Option<&Summary>) -> Stored {
    Stored {
        id: begin.id,
        call: begin.call,
        conference: begin.conference,
        started: begin.started,
        duration: Duration::from_micros(end.samples.saturating_mul(1_000_000) / u64::from(begin.rate.max(1))),
        format: begin.format.as_str().to_owned(),
        channels: begin.channels,
        rate: begin.rate,
        bytes: end.bytes,
        sha256: end.sha256.clone(),
        key: begin.key.clone(),
        status: status.to_owned(),
        path: path.to_string_lossy().into_owned(),
        silence: summary.map(|s| s.measure.silence_ratio()),
        crosstalk: summary.map(|s| s.measure.crosstalk_ratio()),
    }
}
