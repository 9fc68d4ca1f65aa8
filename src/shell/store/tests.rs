//! The store through its whole life: committed, killed, opened again, asked, exported.

use super::*;
use crate::base::time::{Instant, Wall};
use crate::event::{CallId, CallRecord, Class, Direction, Ending, LegCdr, Quality, Side, What};
use crate::shell::control::tests::record;
use crate::shell::ledger;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// A database of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("tandem-store-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        Folder(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        file(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Call `n`, which began in second `n`, with all that a record can hold.
fn full(n: u32) -> Box<CallRecord> {
    let mut r = record(CallId(n.into()));
    r.cdr.started = Wall(i64::from(n) * 1_000_000);
    r.cdr.answered = Some(Wall(i64::from(n) * 1_000_000 + 500));
    r.cdr.from = format!("+1{:03}", n % 3);
    r.cdr.trunk = n.is_multiple_of(2).then(|| "acme".into());
    r.cdr.post_dial_delay_us = Some(311);
    r.cdr.ending = Ending::new(Class::Callee, "busy", 486);
    let quality =
        Quality { packets_received: 50, packets_lost: 1, mos: Some(4.4), jitter_ms: 0.25, ..Quality::default() };
    r.cdr.answered_by = Some("machine_start");
    r.cdr.transfers.push(crate::event::TransferCdr {
        at: Wall(5),
        kind: crate::event::TransferKind::Attended,
        by: "bob".into(),
        to: "carol".into(),
        status: 200,
        call: Some(CallId(9)),
    });
    r.cdr.identity = Some(crate::event::IdentityCdr {
        verstat: Some("TN-Validation-Failed"),
        attest: Some("A"),
        origid: Some("x".into()),
        fault: Some(("stale", "an hour".into())),
        signed: Some("C"),
    });
    r.cdr.legs.push(LegCdr {
        direction: Direction::Outbound,
        peer: "bob, \"the\" builder".into(),
        sip_call_id: "x@y".into(),
        flow: "udp/127.0.0.1:5062".into(),
        started: Wall(0),
        answered: None,
        ended: Wall(9),
        status: 486,
        codec: Some("pcmu"),
        charge: Some(Box::new(crate::event::Charge {
            prefix: "1".into(),
            price_per_minute: crate::base::money::Money(12_500),
            cost: crate::base::money::Money(25_000),
            currency: "EUR".into(),
        })),
        quality: Some(Box::new(quality)),
    });
    let peer = "[::1]:5060".parse().unwrap();
    let entries = [
        What::Received { line: "INVITE sip:a\"b".into(), cseq: 1, source: peer },
        What::Step { verb: "dial bob".into(), at: "a.yaml:3".into() },
        What::Digit("#".into()),
        What::Ended(r.cdr.ending),
    ];
    for (i, what) in entries.into_iter().enumerate() {
        r.timeline.push(Instant::from_micros(1_000 + i as u64), Side::Leg(0), what);
    }
    r.started = r.cdr.started;
    r
}

#[test]
fn what_is_read_is_what_was_stored() {
    let folder = Folder::new();
    let wanted = full(7);
    Sqlite::open(&folder.file()).unwrap().append(&[full(6), wanted.clone()]).unwrap();
    let reader = Reader::open(&folder.file()).unwrap();
    let got = reader.call(CallId(7)).unwrap().unwrap();
    assert_eq!(got.cdr, CdrView::from(&wanted.cdr));
    let want = TimelineView::new(wanted.started, &wanted.timeline);
    assert_eq!(serde_json::to_value(&got.timeline).unwrap(), serde_json::to_value(&want).unwrap());
    assert_eq!(got.timeline.entries[0].peer, "[::1]:5060".parse().ok());
    assert_eq!((reader.last().unwrap(), reader.call(CallId(8)).unwrap().is_none()), (Some(CallId(7)), true));
}

#[test]
fn a_batch_that_is_repeated_stands_once_and_an_old_file_opens_again() {
    let folder = Folder::new();
    for _ in 0..2 {
        Sqlite::open(&folder.file()).unwrap().append(&[full(1), full(2), full(1)]).unwrap();
    }
    let reader = Reader::open(&folder.file()).unwrap();
    let page = reader.list(&Filter::default(), None, 10).unwrap();
    assert_eq!(page.cdrs.iter().map(|c| c.legs.len()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = Folder::new();
    drop(Sqlite::open(&folder.file()).unwrap());
    rusqlite::Connection::open(folder.file()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let fault = Sqlite::open(&folder.file()).err().unwrap().to_string();
    assert!(fault.contains("version 99") && fault.contains("newer"), "{fault}");
}

#[test]
fn pages_are_complete_and_filters_narrow() {
    let folder = Folder::new();
    let records: Vec<_> = (1..=25).map(full).collect();
    Sqlite::open(&folder.file()).unwrap().append(&records).unwrap();
    let reader = Reader::open(&folder.file()).unwrap();
    let (mut mark, mut seen) = (None, Vec::new());
    loop {
        let page = reader.list(&Filter::default(), mark.as_deref(), 10).unwrap();
        seen.extend(page.cdrs.into_iter().map(|c| c.call));
        mark = page.next;
        if mark.is_none() {
            break;
        }
    }
    let newest_first: Vec<String> = (1..=25).rev().map(|n| CallId(n).to_string()).collect();
    assert_eq!(seen, newest_first);
    let count = |pairs: &[(&str, &str)]| {
        let mut filter = Filter::default();
        pairs.iter().for_each(|(name, value)| filter.set(name, value).unwrap());
        reader.list(&filter, None, 100).unwrap().cdrs.len()
    };
    let rows: &[(&[(&str, &str)], usize)] = &[
        (&[("from", "+1000")], 8),
        (&[("trunk", "acme")], 12),
        (&[("trunk", "acme"), ("from", "+1000")], 4),
        (&[("since", "1970-01-01T00:00:20Z")], 6),
        (&[("since", "1970-01-01T00:00:10Z"), ("until", "1970-01-01T00:00:12Z")], 2),
        (&[("class", "callee"), ("reason", "busy"), ("user", "alice"), ("to", "100")], 25),
        (&[("class", "caller")], 0),
    ];
    for (filter, want) in rows {
        assert_eq!(count(filter), *want, "{filter:?}");
    }
}

#[test]
fn exports_hold_every_record_in_order() {
    let folder = Folder::new();
    let records: Vec<_> = (1..=1_203).map(full).collect();
    Sqlite::open(&folder.file()).unwrap().append(&records).unwrap();
    let reader = Reader::open(&folder.file()).unwrap();
    let text = |format| {
        let mut out = Vec::new();
        assert!(matches!(export(&reader, &Filter::default(), format, &mut out), Ok(1_203)));
        String::from_utf8(out).unwrap()
    };
    let lines: Vec<CdrView> = text(Format::Jsonl).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().zip(&records).all(|(got, want)| *got == CdrView::from(&want.cdr)) && lines.len() == 1_203);
    let csv = text(Format::Csv);
    let mut rows = csv.split("\r\n");
    let columns = rows.next().unwrap().split(',').count();
    let first = rows.next().unwrap();
    assert!(first.ends_with(",callee,busy,486,1,\"bob, \"\"the\"\" builder\",pcmu,4.40,1"), "{first}");
    assert_eq!((first.split(',').count(), csv.matches("\r\n").count()), (columns + 1, 1_204));
}

/// Fails as often as it is told to, then stores.
struct Flaky {
    inner: Sqlite,
    failures: u32,
}

impl Store for Flaky {
    fn append(&mut self, records: &[Box<CallRecord>]) -> Result<(), Fault> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(Fault::new("no space left on device"));
        }
        self.inner.append(records)
    }

    fn keep(&mut self, all: &BTreeMap<String, Changed>) -> Result<(), Fault> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(Fault::new("no space left on device"));
        }
        self.inner.keep(all)
    }

    fn send(&mut self, texts: &[Box<crate::event::Outgoing>]) -> Result<(), Fault> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(Fault::new("no space left on device"));
        }
        self.inner.send(texts)
    }
}

#[test]
fn a_failing_disk_loses_nothing_and_acknowledges_once() {
    let folder = Folder::new();
    let store = Flaky { inner: Sqlite::open(&folder.file()).unwrap(), failures: 2 };
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let acks = Arc::clone(&acknowledged);
    let (mut ledger, condition, thread) =
        ledger::start(store, move |calls| acks.lock().unwrap().extend(calls)).unwrap();
    for n in 1..=300 {
        ledger.note(crate::event::Fact::CallEnded(full(n)), Instant::ZERO);
    }
    ledger.flush();
    drop(ledger);
    thread.join().unwrap();
    assert_eq!(condition.commit_failures.load(Ordering::Relaxed), 2);
    assert!(!condition.is_failing.load(Ordering::Relaxed));
    assert_eq!(*acknowledged.lock().unwrap(), (1..=300).map(CallId).collect::<Vec<_>>());
    let reader = Reader::open(&folder.file()).unwrap();
    assert_eq!(reader.list(&Filter::default(), None, 1_000).unwrap().cdrs.len(), 300);
}

/// All that can be changed, and what each is without it.
fn changes() -> [Changed; 3] {
    let number = |text: &str| Some(Some(text.to_owned()));
    [
        Changed { always: number("200"), busy: Some(None), no_answer: None, dnd: Some(true) },
        Changed { always: Some(None), busy: number("+1212"), no_answer: number("*9"), dnd: Some(false) },
        Changed::default(),
    ]
}

#[test]
fn what_users_changed_is_read_as_it_was_kept_and_the_newest_holds() {
    let folder = Folder::new();
    let mut store = Sqlite::open(&folder.file()).unwrap();
    assert_eq!(changed(&folder.file()).unwrap(), BTreeMap::new());
    let [a, b, c] = changes();
    let all: BTreeMap<String, Changed> =
        [("alice".to_owned(), a), ("bob".to_owned(), b.clone()), ("o'hara".to_owned(), c)].into();
    store.keep(&all).unwrap();
    assert_eq!(changed(&folder.file()).unwrap(), all);
    store.keep(&[("alice".to_owned(), b.clone())].into()).unwrap();
    drop(store);
    let again = changed(&folder.file()).unwrap();
    assert_eq!((again.len(), &again["alice"]), (3, &b));
}

#[test]
fn a_failing_disk_keeps_the_last_that_a_user_changed() {
    let folder = Folder::new();
    let store = Flaky { inner: Sqlite::open(&folder.file()).unwrap(), failures: 2 };
    let (mut ledger, condition, thread) = ledger::start(store, |_| {}).unwrap();
    for changed in changes().into_iter().rev() {
        ledger.note(crate::event::Fact::Reached { user: "alice".into(), changed }, Instant::ZERO);
    }
    ledger.flush();
    drop(ledger);
    thread.join().unwrap();
    assert_eq!(condition.commit_failures.load(Ordering::Relaxed), 2);
    let [last, ..] = changes();
    assert_eq!(changed(&folder.file()).unwrap(), [("alice".to_owned(), last)].into());
}

/// The child's half of the next test: commits batches until it is killed, and says which are acknowledged.
#[test]
#[ignore = "run by the test below, as a process to be killed"]
fn commit_until_killed() {
    use std::io::Write;
    let Some(path) = std::env::var_os("TANDEM_TEST_STORE") else { return };
    let mut store = Sqlite::open(Path::new(&path)).unwrap();
    for n in 0.. {
        store.append(&[full(2 * n + 1), full(2 * n + 2)]).unwrap();
        std::io::stderr().write_all(format!("stored {}\n", 2 * n + 2).as_bytes()).unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    use std::io::{BufRead, BufReader};
    let folder = Folder::new();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "shell::store::tests::commit_until_killed"])
        .env("TANDEM_TEST_STORE", folder.file())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let stored = |line: &String| line.strip_prefix("stored ").and_then(|n| n.parse::<u128>().ok());
    let acknowledged = lines.filter_map(|l| stored(&l)).take(20).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // Opened as after a restart: the log is replayed, half a batch is none.
    drop(Sqlite::open(&folder.file()).unwrap());
    let reader = Reader::open(&folder.file()).unwrap();
    let found = reader.list(&Filter::default(), None, 1_000).unwrap().cdrs.len();
    assert!(found as u128 >= acknowledged && found.is_multiple_of(2), "{found} found, {acknowledged} acknowledged");
    assert!((1..=acknowledged).all(|n| reader.call(CallId(n)).unwrap().is_some()));
}

#[test]
fn a_text_of_a_call_is_a_message_of_the_account_once() {
    let folder = Folder::new();
    let mut store = Sqlite::open(&folder.file()).unwrap();
    let text = |sid: &str| {
        Box::new(crate::event::Outgoing {
            sid: sid.into(),
            account: "AC1".into(),
            call: CallId(7),
            at: crate::base::time::Wall(1_000_000),
            from: crate::base::pii::Pii::new("+1".into()),
            to: crate::base::pii::Pii::new("+2".into()),
            body: "hello".into(),
            status: None,
        })
    };
    store.send(&[text("SM1"), text("SM2")]).unwrap();
    store.send(&[text("SM2")]).unwrap();
    let settings = super::Settings::open(&folder.file()).unwrap();
    let found = settings.list(("Messages", "AC1", ""), &[("to", "+2")], (9, 0)).unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|m| m.body.contains(r#""body":"hello""#) && m.body.contains("queued")), "{found:?}");
}
