//! The disk's thread driven by hand: jobs that are given, files and rows that are looked at.

use super::disk::{Closing, Condition, Disk, Job, Queue, Saved};
use super::folder::{Folder, OnDisk, Written};
use super::keeper::Keeper;
use super::worker::{Making, Worker};
use super::*;
use crate::base::time::{Instant, Now, Wall};
use crate::event::{CallId, RecordingId};
use crate::media::command::{Codec, TapId};
use crate::media::tap::{Frame, Label, Track, frames};
use crate::recording::command::{Sides, Start};
use crate::recording::crc::{Sha, hex};
use crate::recording::wav;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const WALL: Wall = Wall(1_795_364_100_000_000);

/// A data folder of a test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("tandem-recording-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
    fn rows(&self) -> Recordings {
        Recordings::open(&crate::shell::store::file(&self.0)).unwrap()
    }
    fn settings(&self, format: Format, keys: &[&str]) -> Settings {
        let keys = keys.iter().map(|k| Key::parse(k).unwrap()).collect();
        Settings { folder: folder(&self.0), format, retention: None, keys }
    }
    fn files(&self) -> Vec<String> {
        let day = folder(&self.0).join("2026-11-22");
        let mut names: Vec<String> =
            std::fs::read_dir(day).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A recorder's thread by hand, with one ring and a queue to the disk.
struct Rig {
    worker: Worker<Box<dyn Fn(Event)>>,
    ring: rtrb::Producer<Frame>,
    orders: Sender<Order>,
    told: Receiver<Event>,
    jobs: Receiver<Job>,
    condition: Arc<Condition>,
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(10_000_000 + ms * 1_000)
}

impl Rig {
    fn new(settings: &Settings) -> Rig {
        let (ring, tap) = rtrb::RingBuffer::new(4_096);
        let (orders, ordered) = channel();
        let (tell, told) = channel();
        let (jobs, waiting) = channel();
        let condition = Arc::new(Condition::default());
        let making = Making { format: settings.format, key: settings.keys.first().map(|k| k.id().to_owned()) };
        let queue = Queue::new(jobs, condition.clone());
        let tell: Box<dyn Fn(Event)> = Box::new(move |event| tell.send(event).unwrap());
        let (taps, clock) = (vec![tap], Clock::new());
        let worker = Worker::new(worker::Desk { making, orders: ordered, taps, disk: queue, clock, tell });
        Rig { worker, ring, orders, told, jobs: waiting, condition }
    }

    fn start(&mut self, n: u64) {
        let start = Start {
            tap: TapId(n),
            id: RecordingId(u128::from(n)),
            call: CallId(u128::from(n) + 100),
            conference: None,
            at: Now { mono: at(0), wall: WALL },
            sides: Sides::Dual,
            trim: false,
            quiet_after: Some(Duration::from_secs(1)),
        };
        self.worker.order(Order::Start(Box::new(start)));
    }

    /// Both parties talk until `ms`; the recorder has its turns.
    fn talk(&mut self, n: u64, from: u64, ms: u64) {
        for now in (from..ms).step_by(20) {
            let step = (now / 20) as u16;
            for (track, payload) in [(Track::In, [0x10; 160]), (Track::Out, [0x90; 160])] {
                let timestamp = u32::from(step) * 160;
                let label =
                    Label { tap: TapId(n), track, codec: Codec::Pcmu, at: at(now), ssrc: 1, timestamp, sequence: step };
                frames(label, &payload, |frame| self.ring.push(*frame).unwrap());
            }
            if now % 40 == 0 {
                self.worker.turn(at(now));
            }
        }
    }

    fn stop(&mut self, n: u64, ms: u64) {
        self.worker.order(Order::Stop { tap: TapId(n), at: at(ms) });
        self.worker.turn(at(ms + 280));
    }

    /// Carries out what the disk was given so far, and forgets the disk: as if the process had been killed then.
    fn to_disk<F: Folder>(&self, settings: &Settings, folder: F, rows: Recordings) -> Vec<Event> {
        let (tell, told) = channel();
        let (mut disk, mut keeper, closed) =
            threads(settings, folder, rows, &self.condition, move |event| tell.send(event).unwrap());
        for job in self.jobs.try_iter() {
            disk.job(job);
            closed.try_iter().for_each(|closing| keeper.close(closing));
        }
        told.try_iter().collect()
    }
}

type Threads<F, T> = (Disk<F, T>, Keeper<F>, Receiver<Closing>);

fn threads<F: Folder, T: Fn(Event)>(
    settings: &Settings,
    folder: F,
    rows: Recordings,
    condition: &Arc<Condition>,
    tell: T,
) -> Threads<F, T> {
    let (folder, (closings, closed)) = (Arc::new(folder), sync_channel(100));
    let (settings, condition) = (settings.clone(), condition.clone());
    let (folder_too, condition_too) = (folder.clone(), condition.clone());
    let desk = keeper::Desk {
        settings: settings.clone(),
        folder: folder_too,
        rows,
        condition: condition_too,
        clock: Clock::new(),
    };
    let disk = Disk::new(disk::Desk { settings, folder, condition, tell, closings });
    (disk, Keeper::new(desk), closed)
}

/// As [`start`] has it, on two threads; they end when the jobs do.
fn running<F: Folder>(
    settings: &Settings,
    folder: F,
    rows: Recordings,
    condition: &Arc<Condition>,
) -> (Sender<Job>, [JoinHandle<()>; 2]) {
    let (jobs, waiting) = channel();
    let (mut disk, mut keeper, closed) = threads(settings, folder, rows, condition, |_| ());
    let disk = std::thread::spawn(move || disk.run(&waiting));
    (jobs, [disk, std::thread::spawn(move || keeper.run(&closed))])
}

fn on_disk(scratch: &Scratch) -> OnDisk {
    OnDisk::open(&folder(&scratch.0)).unwrap()
}

fn exported(settings: &Settings, row: &crate::shell::store::Stored) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    export::export(settings, row, || Ok(&mut out)).map(|()| out)
}

#[test]
fn a_recording_is_on_the_disk_with_its_row_and_nobody_reads_a_sealed_one_without_its_key() {
    for (format, keys) in
        [(Format::Wav, &[][..]), (Format::Ulaw, &[KEY]), (Format::Wav, &[KEY]), (Format::Opus, &[KEY])]
    {
        let scratch = Scratch::new(&format!("row-{}-{}", format.as_str(), keys.len()));
        let settings = scratch.settings(format, keys);
        let mut rig = Rig::new(&settings);
        rig.start(1);
        rig.talk(1, 0, 12_000);
        rig.stop(1, 12_000);
        assert_eq!(rig.to_disk(&settings, on_disk(&scratch), scratch.rows()), []);
        let told: Vec<Event> = rig.told.try_iter().collect();
        assert_eq!(told, [Event::Stopped { tap: TapId(1), duration: Duration::from_secs(12), heard: true }]);
        let row = scratch.rows().get(RecordingId(1)).unwrap().unwrap();
        assert_eq!((row.duration, row.status.as_str(), row.channels), (Duration::from_secs(12), "complete", 2));
        assert_eq!((row.silence, row.crosstalk), (Some(0.0), Some(1.0)));
        assert_eq!(scratch.files(), [row.path.strip_prefix("2026-11-22/").unwrap()]);
        let file = std::fs::read(folder(&scratch.0).join(&row.path)).unwrap();
        assert_eq!((file.len() as u64, hex(&Sha::of(&file))), (row.bytes, row.sha256.clone()));
        let plain = exported(&settings, &row).unwrap();
        if format != Format::Opus {
            let (_, samples) = wav::read(&plain).unwrap();
            assert_eq!(samples.len(), 12 * 16_000);
            assert!(
                samples.iter().step_by(2).all(|s| *s < -1_000) && samples.iter().skip(1).step_by(2).all(|s| *s > 1_000)
            );
            assert_eq!(plain[4..8], (plain.len() as u32 - 8).to_le_bytes(), "the true size");
        }
        if !keys.is_empty() {
            assert!(wav::read(&file).is_none());
            let other = scratch.settings(format, &[&KEY.replace('0', "1")]);
            let why = exported(&other, &row).unwrap_err();
            assert!(why.contains(row.key.as_deref().unwrap()), "{why}");
            let rotated = scratch.settings(format, &[&KEY.replace('0', "1"), KEY]);
            assert_eq!(exported(&rotated, &row).unwrap(), plain);
        }
        let mut bent = file.clone();
        *bent.last_mut().unwrap() ^= 1;
        std::fs::write(folder(&scratch.0).join(&row.path), bent).unwrap();
        assert!(exported(&settings, &row).unwrap_err().contains("SHA-256"));
    }
}

#[test]
fn what_a_killed_process_left_is_there_up_to_the_last_second() {
    for (format, keys) in [
        (Format::Wav, &[][..]),
        (Format::Ulaw, &[]),
        (Format::Opus, &[]),
        (Format::Wav, &[KEY]),
        (Format::Opus, &[KEY]),
    ] {
        // Cut behind the last write, and within it.
        for cut in [0, 7, 1_000] {
            let scratch = Scratch::new(&format!("kill-{}-{}-{cut}", format.as_str(), keys.len()));
            let settings = scratch.settings(format, keys);
            let mut rig = Rig::new(&settings);
            rig.start(1);
            rig.talk(1, 0, 9_000);
            rig.to_disk(&settings, on_disk(&scratch), scratch.rows());
            assert_eq!(scratch.files().len(), 2, "{:?}", scratch.files());
            let name = scratch.files().into_iter().find(|f| !f.ends_with(".journal")).unwrap();
            let file = std::fs::OpenOptions::new()
                .write(true)
                .open(folder(&scratch.0).join("2026-11-22").join(&name))
                .unwrap();
            file.set_len(file.metadata().unwrap().len() - cut).unwrap();
            if !keys.is_empty() {
                let found = recover::recover(&scratch.settings(format, &[]), &mut scratch.rows());
                assert!(found[0].1.as_ref().unwrap_err().contains("key"), "{found:?}");
            }
            let found = recover::recover(&settings, &mut scratch.rows());
            let row = found[0].1.as_ref().unwrap();
            // Ogg's pages and sealed portions are whole or not there; a sample more or less is all that WAV loses.
            let least = if cut == 0 || (format != Format::Opus && keys.is_empty()) { 8_000 } else { 6_400 };
            assert!(row.duration.as_millis() >= least, "{format:?} {cut}: {:?}", row.duration);
            assert_eq!((row.status.as_str(), scratch.files()), ("recovered", vec![name]));
            let plain = exported(&settings, row).unwrap();
            if format != Format::Opus {
                let (_, samples) = wav::read(&plain).unwrap();
                assert_eq!(samples.len() as u128 / 16, row.duration.as_millis());
                assert!(samples.iter().step_by(2).all(|s| *s < -1_000));
            }
            assert!(recover::recover(&settings, &mut scratch.rows()).is_empty(), "once");
        }
    }
}

#[test]
fn a_segment_that_was_altered_ends_what_is_recovered() {
    let scratch = Scratch::new("altered");
    let settings = scratch.settings(Format::Ulaw, &[]);
    let mut rig = Rig::new(&settings);
    rig.start(1);
    rig.talk(1, 0, 16_000);
    rig.to_disk(&settings, on_disk(&scratch), scratch.rows());
    let path = folder(&scratch.0).join("2026-11-22").join(scratch.files()[1].clone());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let row = recover::recover(&settings, &mut scratch.rows()).remove(0).1.unwrap();
    assert!((5_000..6_000).contains(&row.duration.as_millis()), "{:?}", row.duration);
}

/// Files that take nothing before the gate opens, and refuse what is beyond `room`.
struct Odd {
    disk: OnDisk,
    gate: Arc<Mutex<()>>,
    room: Arc<Mutex<u64>>,
}

struct OddFile {
    file: Box<dyn Written>,
    gate: Arc<Mutex<()>>,
    room: Arc<Mutex<u64>>,
}

impl Folder for Odd {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        Ok(Box::new(OddFile { file: self.disk.create(path)?, gate: self.gate.clone(), room: self.room.clone() }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
}

impl Written for OddFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        drop(self.gate.lock().unwrap());
        let mut room = self.room.lock().unwrap();
        *room = room.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        self.file.append(bytes)
    }
    fn begin_with(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.begin_with(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
    fn review(&mut self, portion: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.file.review(portion)
    }
}

#[test]
fn a_disk_that_stalls_for_seconds_loses_nothing() {
    let scratch = Scratch::new("stall");
    let settings = scratch.settings(Format::Wav, &[]);
    let (gate, room) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(u64::MAX)));
    let closed = gate.lock().unwrap();
    let odd = Odd { disk: on_disk(&scratch), gate: gate.clone(), room };
    let mut rig = Rig::new(&settings);
    let (jobs, threads) = running(&settings, odd, scratch.rows(), &rig.condition);
    // 40 recordings; the disk takes nothing for all of their five seconds. None of the recorder's turns waits for it.
    (1..=40).for_each(|n| rig.start(n));
    for from in (0..5_000).step_by(40) {
        (1..=40).for_each(|n| rig.talk(n, from, from + 40));
        rig.jobs.try_iter().for_each(|job| jobs.send(job).unwrap());
    }
    assert!(rig.condition.waiting.load(Ordering::Relaxed) > 40 * 4 * 32_000);
    drop(closed);
    (1..=40).for_each(|n| rig.worker.order(Order::Stop { tap: TapId(n), at: at(5_000) }));
    rig.worker.turn(at(5_280));
    rig.jobs.try_iter().for_each(|job| jobs.send(job).unwrap());
    drop(jobs);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let rows = scratch.rows().list(None, 100).unwrap();
    assert_eq!(rows.len(), 40);
    assert!(
        rows.iter().all(|r| r.status == "complete" && r.duration == Duration::from_secs(5) && r.crosstalk == Some(1.0))
    );
    assert_eq!((rig.condition.waiting.load(Ordering::Relaxed), rig.condition.failed.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_full_disk_ends_the_recording_keeps_what_is_there_and_is_told_once() {
    let scratch = Scratch::new("full");
    let settings = scratch.settings(Format::Wav, &[]);
    let room = Arc::new(Mutex::new(100_000));
    let odd = Odd { disk: on_disk(&scratch), gate: Arc::default(), room: room.clone() };
    let mut rig = Rig::new(&settings);
    rig.start(1);
    rig.talk(1, 0, 10_000);
    rig.stop(1, 10_000);
    // What the end writes finds room again, as when somebody has tidied up.
    let (tell, told) = channel();
    let tell = move |event| tell.send(event).unwrap();
    let (mut disk, mut keeper, closed) = threads(&settings, odd, scratch.rows(), &rig.condition, tell);
    for job in rig.jobs.try_iter() {
        if matches!(job, Job::End(..)) {
            *room.lock().unwrap() = u64::MAX;
        }
        disk.job(job);
        closed.try_iter().for_each(|closing| keeper.close(closing));
    }
    let told: Vec<Event> = told.try_iter().collect();
    assert_eq!(told, [Event::Failed { tap: TapId(1), why: "the disk is full" }]);
    let row = scratch.rows().get(RecordingId(1)).unwrap().unwrap();
    assert_eq!(row.status, "partial");
    assert!((2_000..3_200).contains(&row.duration.as_millis()), "{:?}", row.duration);
    assert_eq!(wav::read(&exported(&settings, &row).unwrap()).unwrap().1.len() as u128 / 16, row.duration.as_millis());
}

#[test]
fn more_than_the_bound_is_not_kept() {
    let scratch = Scratch::new("bound");
    let rig = Rig::new(&scratch.settings(Format::Wav, &[]));
    let (jobs, waiting) = channel();
    let queue = Queue::new(jobs, rig.condition.clone());
    rig.condition.waiting.store(disk::WAITING_MAX - 10, Ordering::Relaxed);
    queue.portion(RecordingId(1), vec![0; 11], 1);
    assert!(matches!(waiting.try_recv(), Ok(Job::Overrun(RecordingId(1)))));
    assert_eq!(rig.condition.waiting.load(Ordering::Relaxed), disk::WAITING_MAX - 10);
    let _ = (rig.orders, |_: Saved| ());
}

#[test]
fn old_recordings_go() {
    let scratch = Scratch::new("retention");
    let mut settings = scratch.settings(Format::Wav, &[]);
    let mut rig = Rig::new(&settings);
    let make = |rig: &mut Rig, n| {
        rig.start(n);
        rig.talk(n, 0, 1_000);
        rig.stop(n, 1_000);
    };
    make(&mut rig, 1);
    rig.to_disk(&settings, on_disk(&scratch), scratch.rows());
    let left = || (scratch.rows().list(None, 10).unwrap().len(), scratch.files().len());
    for (retention, expected) in [(Duration::from_secs(86_400 * 36_500), 1), (Duration::from_micros(1), 0)] {
        settings.retention = Some(retention);
        let (_, mut keeper, _) = threads(&settings, on_disk(&scratch), scratch.rows(), &rig.condition, |_| ());
        keeper.tend(Clock::new().mono() + Duration::from_secs(1));
        assert_eq!(left(), (expected, expected));
    }
    // They are looked for each hour, however much there is to do in between.
    let (mut disk, mut keeper, closed) = threads(&settings, on_disk(&scratch), scratch.rows(), &rig.condition, |_| ());
    let begun = Clock::new().mono() + Duration::from_secs(1);
    keeper.tend(begun);
    for (n, minute, expected) in [(2, 30, 1), (3, 59, 2), (4, 60, 0), (5, 61, 1), (6, 119, 2), (7, 120, 0)] {
        make(&mut rig, n);
        rig.jobs.try_iter().for_each(|job| disk.job(job));
        closed.try_iter().for_each(|closing| keeper.close(closing));
        keeper.tend(begun + Duration::from_secs(60 * minute));
        assert_eq!(left(), (expected, expected), "minute {minute}");
    }
}

#[test]
fn what_was_left_is_recovered_beside_what_goes_on_one_at_a_time() {
    let scratch = Scratch::new("beside");
    let settings = scratch.settings(Format::Wav, &[]);
    let mut rig = Rig::new(&settings);
    for n in 1..=3 {
        rig.start(n);
        rig.talk(n, 0, 2_000);
    }
    rig.to_disk(&settings, on_disk(&scratch), scratch.rows());
    let (mut disk, mut keeper, _) = threads(&settings, on_disk(&scratch), scratch.rows(), &rig.condition, |_| ());
    let mut rig = Rig::new(&settings);
    rig.start(4);
    rig.talk(4, 0, 2_000);
    rig.jobs.try_iter().for_each(|job| disk.job(job));
    let now = Clock::new().mono();
    for recovered in [1, 2, 3, 3] {
        keeper.tend(now);
        let rows = scratch.rows().list(None, 10).unwrap();
        assert_eq!(rows.iter().filter(|r| r.status == "recovered").count(), recovered);
        assert_eq!(rows.len(), recovered, "what goes on is left alone");
    }
    assert_eq!(scratch.files().iter().filter(|f| f.ends_with(".journal")).count(), 1);
}

#[test]
fn a_recording_that_ended_early_and_got_no_row_is_recovered_as_partial() {
    for (why, status) in [(None, "complete"), (Some("the disk is too slow"), "partial")] {
        let scratch = Scratch::new(&format!("left-{status}"));
        let settings = scratch.settings(Format::Wav, &[]);
        let mut rig = Rig::new(&settings);
        rig.start(1);
        rig.talk(1, 0, 2_000);
        let (mut disk, mut keeper, closed) =
            threads(&settings, on_disk(&scratch), scratch.rows(), &rig.condition, |_| ());
        rig.jobs.try_iter().for_each(|job| disk.job(job));
        if why.is_some() {
            disk.job(Job::Overrun(RecordingId(1)));
        }
        rig.stop(1, 2_000);
        rig.jobs.try_iter().for_each(|job| disk.job(job));
        // The journal has its end, the row was never written: a kill between the two.
        let day = folder(&scratch.0).join("2026-11-22");
        let journal = day.join(scratch.files().into_iter().find(|f| f.ends_with(".journal")).unwrap());
        let closing = closed.recv().unwrap();
        let kept = journal.with_extension("kept");
        std::fs::hard_link(&journal, &kept).unwrap();
        keeper.close(closing);
        std::fs::rename(&kept, &journal).unwrap();
        scratch.rows().remove(RecordingId(1)).unwrap();
        let row = recover::recover(&settings, &mut scratch.rows()).remove(0).1.unwrap();
        assert_eq!(row.status, status);
    }
}

#[test]
fn what_was_begun_before_the_end_is_kept() {
    let scratch = Scratch::new("whole");
    let settings = scratch.settings(Format::Wav, &[]);
    let (_ring, tap) = rtrb::RingBuffer::new(64);
    let clock = Clock::new();
    let (folder, rows) = (on_disk(&scratch), scratch.rows());
    let recorder = start(Parts { settings, folder, rows, taps: vec![tap], clock }, |_| ()).unwrap();
    let (id, call, at) = (RecordingId(1), CallId(101), clock.now());
    let conference = None;
    let begun = Start { tap: TapId(1), id, call, conference, at, sides: Sides::Dual, trim: false, quiet_after: None };
    recorder.order(Order::Start(Box::new(begun)));
    let condition = recorder.condition.clone();
    assert_eq!(recorder.figures().len(), 6);
    // The three threads end one after the other, each with all that it was given.
    drop(recorder);
    let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let row = scratch.rows().get(id).unwrap().unwrap();
    assert_eq!((row.status.as_str(), read(&condition.saved), read(&condition.active)), ("complete", 1, 0));
    assert_eq!(read(&condition.written), row.bytes);
}
