//! The disk's thread: files and journals. It may be held up for seconds; what waits for it is bounded, and what finds no room
//! ends its recording, never its call. What takes its time (checksums, rows, what an earlier process left) is the keeper's.

use super::Settings;
use super::folder::{Folder, Written};
use crate::event::RecordingId;
use crate::media::command::TapId;
use crate::recording::command::Event;
use crate::recording::crc::{Crc, Sha, hex};
use crate::recording::journal::{Begin, End, Record, Segment};
use crate::recording::seal::{RANDOM_LEN, Sealer};
use crate::recording::tape::Summary;
use crate::recording::wav::Layout;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};

/// Bytes that may wait for the disk: 500 dual-channel calls of PCM for eight seconds.
pub const WAITING_MAX: u64 = 128 << 20;
/// A segment ends after so much sound or so many bytes, and the journal tells of it.
const SEGMENT_SECONDS: u64 = 5;
const SEGMENT_BYTES: u64 = 256 << 10;

/// What `/metrics` reads.
#[derive(Debug, Default)]
pub struct Condition {
    pub active: AtomicU64,
    pub saved: AtomicU64,
    /// Ended before their time: the disk was full or too slow.
    pub failed: AtomicU64,
    /// Bytes that wait for the disk.
    pub waiting: AtomicU64,
    pub written: AtomicU64,
    /// The disk refuses to be written; told once until it takes something again.
    pub is_refusing: AtomicBool,
}

impl Condition {
    /// Says once that the disk refuses, until it takes something again.
    pub fn refused(&self, folder: &Path, error: &io::Error) {
        if !self.is_refusing.swap(true, Ordering::Relaxed) {
            let why = crate::shell::net::describe(error);
            tracing::error!(folder = %folder.display(), "recordings cannot be written: {why}; calls go on");
        }
    }
}

/// A recording that is over.
pub struct Saved {
    pub tap: TapId,
    pub layout: Option<Layout>,
    pub samples: u64,
    pub summary: Box<Summary>,
}

/// To the disk's thread.
pub enum Job {
    Begin(Box<Begin>, TapId),
    /// Bytes of a file, and samples of each channel up to their end.
    Portion(RecordingId, Vec<u8>, u64),
    /// Portions were left out: the recording ends where they begin.
    Overrun(RecordingId),
    End(RecordingId, Saved),
}

/// The recorder's end of the queue.
pub struct Queue {
    jobs: Sender<Job>,
    condition: Arc<Condition>,
}

impl Queue {
    pub fn new(jobs: Sender<Job>, condition: Arc<Condition>) -> Queue {
        Queue { jobs, condition }
    }

    fn send(&self, job: Job) {
        // The disk's thread outlives the recorder's.
        let _ = self.jobs.send(job);
    }

    pub fn begin(&self, begin: Begin, tap: TapId) {
        self.condition.active.fetch_add(1, Ordering::Relaxed);
        self.send(Job::Begin(Box::new(begin), tap));
    }

    pub fn portion(&self, id: RecordingId, bytes: Vec<u8>, samples: u64) {
        let len = bytes.len() as u64;
        if self.condition.waiting.fetch_add(len, Ordering::Relaxed) + len > WAITING_MAX {
            self.condition.waiting.fetch_sub(len, Ordering::Relaxed);
            return self.send(Job::Overrun(id));
        }
        self.send(Job::Portion(id, bytes, samples));
    }

    pub fn end(&self, id: RecordingId, saved: Saved) {
        self.send(Job::End(id, saved));
    }
}

/// A file that is being written.
pub struct Open {
    pub begin: Begin,
    tap: TapId,
    pub path: PathBuf,
    file: Box<dyn Written>,
    journal: Box<dyn Written>,
    sealer: Option<Sealer>,
    /// Length of the file, and of sound behind its header.
    len: u64,
    samples: u64,
    segment: Segment,
    crc: Crc,
    /// Nothing more is written.
    why: Option<&'static str>,
}

/// A file to which nothing comes any more.
pub struct Closing {
    pub open: Open,
    pub saved: Saved,
}

/// What the thread works with.
pub struct Desk<F, T> {
    pub settings: Settings,
    pub folder: Arc<F>,
    pub condition: Arc<Condition>,
    pub tell: T,
    /// To the keeper. Should it be full, the disk's thread waits.
    pub closings: SyncSender<Closing>,
}

/// The thread's state.
pub struct Disk<F, T> {
    desk: Desk<F, T>,
    open: HashMap<RecordingId, Open>,
}

impl<F: Folder, T: Fn(Event)> Disk<F, T> {
    pub fn new(desk: Desk<F, T>) -> Disk<F, T> {
        Disk { desk, open: HashMap::new() }
    }

    /// Runs until the recorder is gone and all that it gave is written.
    pub fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            self.job(job);
        }
    }

    /// Carries a job out.
    pub fn job(&mut self, job: Job) {
        match job {
            Job::Begin(begin, tap) => {
                if let Err(error) = self.begin(*begin, tap) {
                    self.desk.condition.refused(&self.desk.settings.folder, &error);
                    self.desk.condition.failed.fetch_add(1, Ordering::Relaxed);
                    self.desk.condition.active.fetch_sub(1, Ordering::Relaxed);
                    (self.desk.tell)(Event::Failed { tap, why: reason(&error) });
                }
            }
            Job::Portion(id, bytes, samples) => {
                self.portion(id, &bytes, samples);
                self.desk.condition.waiting.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
            }
            Job::Overrun(id) => self.fail(id, "the disk is too slow"),
            Job::End(id, saved) => self.end(id, saved),
        }
    }

    fn begin(&mut self, begin: Begin, tap: TapId) -> io::Result<()> {
        let path = path_of(&begin);
        let mut file = self.desk.folder.create(&path)?;
        let mut journal = self.desk.folder.create(&journal_of(&path))?;
        journal.append(Record::Begin(begin.clone()).line().as_bytes())?;
        let (mut sealer, mut len, mut crc) = (None, 0, Crc::default());
        if let Some(key) = self.desk.settings.keys.first().filter(|_| begin.key.is_some()) {
            let random: [u8; RANDOM_LEN] = super::super::run::random()?;
            if let Some((new, header)) = Sealer::new(key, &random) {
                file.append(&header)?;
                crc.update(&header);
                (sealer, len) = (Some(new), header.len() as u64);
            }
        }
        let segment = Segment { offset: 0, len, crc: 0, samples: 0 };
        let id = begin.id;
        let open = Open { begin, tap, path, file, journal, sealer, len, samples: 0, segment, crc, why: None };
        self.open.insert(id, open);
        Ok(())
    }

    fn portion(&mut self, id: RecordingId, bytes: &[u8], samples: u64) {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.why.is_none()) else { return };
        match open.append(bytes, samples, false) {
            Ok(written) => {
                self.desk.condition.written.fetch_add(written, Ordering::Relaxed);
                if self.desk.condition.is_refusing.swap(false, Ordering::Relaxed) {
                    tracing::info!("recordings are written again");
                }
            }
            Err(error) => {
                self.desk.condition.refused(&self.desk.settings.folder, &error);
                self.fail(id, reason(&error));
            }
        }
    }

    /// The recording ends here; what is there is kept.
    fn fail(&mut self, id: RecordingId, why: &'static str) {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.why.is_none()) else { return };
        open.why = Some(why);
        self.desk.condition.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(recording = %id, call = %open.begin.call, "recording ended before its call: {why}");
        (self.desk.tell)(Event::Failed { tap: open.tap, why });
    }

    fn end(&mut self, id: RecordingId, saved: Saved) {
        let Some(open) = self.open.remove(&id) else { return };
        self.desk.condition.active.fetch_sub(1, Ordering::Relaxed);
        // The keeper outlives this thread.
        let _ = self.desk.closings.send(Closing { open, saved });
    }
}

impl Open {
    /// Bytes written.
    fn append(&mut self, bytes: &[u8], samples: u64, last: bool) -> io::Result<u64> {
        let mut sealed = Vec::new();
        let bytes = match &mut self.sealer {
            Some(sealer) if last || !bytes.is_empty() => {
                sealer.seal(bytes, last, &mut sealed);
                &sealed
            }
            _ => bytes,
        };
        self.file.append(bytes)?;
        self.crc.update(bytes);
        let len = bytes.len() as u64;
        (self.len, self.samples) = (self.len + len, samples);
        self.segment.len += len;
        let is_long = samples.saturating_sub(self.segment.samples) >= SEGMENT_SECONDS * u64::from(self.begin.rate);
        if is_long || self.segment.len >= SEGMENT_BYTES {
            self.segment_ends()?;
        }
        Ok(len)
    }

    fn segment_ends(&mut self) -> io::Result<()> {
        let segment = Segment { crc: self.crc.value(), samples: self.samples, ..self.segment };
        self.journal.append(Record::Segment(segment).line().as_bytes())?;
        self.segment = Segment { offset: self.len, len: 0, crc: 0, samples: self.samples };
        self.crc = Crc::default();
        Ok(())
    }

    /// The file's last bytes, its true header, its checksum; the journal is given back.
    pub fn close(mut self, saved: &Saved) -> io::Result<(End, Box<dyn Written>)> {
        if self.sealer.is_some() {
            self.append(&[], self.samples, true)?;
        }
        if self.segment.len > 0 {
            self.segment_ends()?;
        }
        if let (Some(layout), None) = (saved.layout, &self.sealer) {
            let data = self.len.saturating_sub(layout.header_len() as u64);
            self.file.begin_with(&layout.header(Some(data)))?;
        }
        self.file.sync()?;
        let mut sha = Sha::default();
        self.file.review(&mut |portion| sha.update(portion))?;
        let (bytes, samples, is_partial) = (self.len, self.samples, self.why.is_some());
        Ok((End { bytes, samples, sha256: hex(&sha.finish()), is_partial }, self.journal))
    }
}

/// Below the folder: a day's recordings together.
fn path_of(begin: &Begin) -> PathBuf {
    let day = begin.started.rfc3339();
    let sealed = if begin.key.is_some() { ".sealed" } else { "" };
    let name = format!("{}.{}{sealed}", begin.id, begin.format.ending());
    Path::new(day.get(..10).unwrap_or("undated")).join(name)
}

/// `RE….journal` beside `RE….wav` or `RE….wav.sealed`.
pub fn journal_of(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split('.').next()).unwrap_or("recording");
    path.with_file_name(format!("{name}.journal"))
}

/// For the timeline.
fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full",
        io::ErrorKind::QuotaExceeded => "the disk's quota is used up",
        io::ErrorKind::PermissionDenied => "the folder may not be written",
        _ => "the disk refuses to be written",
    }
}
