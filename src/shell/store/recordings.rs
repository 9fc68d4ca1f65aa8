//! Rows of recordings. Their writer is the thread that writes their files, by a connection of its own.

use super::{Fault, schema};
use crate::base::time::{Duration, Wall};
use crate::event::{CallId, RecordingId};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use std::path::Path;

/// A recording's row.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    pub id: RecordingId,
    pub call: CallId,
    /// The number of the conference that it is of.
    pub conference: Option<u128>,
    pub started: Wall,
    pub duration: Duration,
    /// As the configuration names it.
    pub format: String,
    pub channels: u8,
    /// Samples a second.
    pub rate: u32,
    pub bytes: u64,
    pub sha256: String,
    /// Name of the key that seals it.
    pub key: Option<String>,
    /// `complete`, `partial` (the disk was full or too slow), `recovered`.
    pub status: String,
    /// Below the recordings' folder.
    pub path: String,
    /// Shares of the time, 0 to 1; not known of what was recovered.
    pub silence: Option<f32>,
    pub crosstalk: Option<f32>,
}

/// The rows.
pub struct Recordings {
    db: Connection,
}

const COLUMNS: &str = "id, call, started, duration_us, format, channels, rate, bytes, sha256, key, status, path, silence, crosstalk, \
     conference";

impl Recordings {
    /// For writing; the file and its schema are made if they are not there.
    pub fn open(path: &Path) -> Result<Recordings, Fault> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        schema::migrate(&mut db)?;
        Ok(Recordings { db })
    }

    pub fn open_to_read(path: &Path) -> Result<Recordings, Fault> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(Recordings { db })
    }

    /// A row that is there already is replaced: a commit whose outcome is unknown can be repeated.
    pub fn insert(&mut self, r: &Stored) -> Result<(), Fault> {
        let sql = format!("INSERT OR REPLACE INTO recording ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
        self.db.prepare_cached(&sql)?.execute(params![
            r.id.0.to_be_bytes().as_slice(),
            r.call.0.to_be_bytes().as_slice(),
            r.started.as_micros(),
            i64::try_from(r.duration.as_micros()).unwrap_or(i64::MAX),
            r.format,
            r.channels,
            r.rate,
            i64::try_from(r.bytes).unwrap_or(i64::MAX),
            r.sha256,
            r.key,
            r.status,
            r.path,
            r.silence,
            r.crosstalk,
            r.conference.map(u128::to_be_bytes).as_ref().map(<[u8; 16]>::as_slice),
        ])?;
        Ok(())
    }

    pub fn get(&self, id: RecordingId) -> Result<Option<Stored>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM recording WHERE id = ?");
        Ok(self.db.query_row(&sql, [id.0.to_be_bytes().as_slice()], stored).optional()?)
    }

    /// The newest first; of one call, if it is named.
    pub fn list(&self, call: Option<CallId>, limit: usize) -> Result<Vec<Stored>, Fault> {
        let call = call.map(|call| call.0.to_be_bytes());
        let sql =
            format!("SELECT {COLUMNS} FROM recording WHERE ?1 IS NULL OR call = ?1 ORDER BY started DESC, id LIMIT ?2");
        self.rows(&sql, params![call.as_ref().map(<[u8; 16]>::as_slice), i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    /// Of one conference, the newest first.
    pub fn of_conference(&self, sid: u128, limit: usize) -> Result<Vec<Stored>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM recording WHERE conference = ? ORDER BY started DESC, id LIMIT ?");
        self.rows(&sql, params![sid.to_be_bytes().as_slice(), i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    /// Those that started before a moment, the oldest first.
    pub fn before(&self, moment: Wall, limit: usize) -> Result<Vec<Stored>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM recording WHERE started < ? ORDER BY started LIMIT ?");
        self.rows(&sql, params![moment.as_micros(), i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    fn rows(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Stored>, Fault> {
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(values, stored)?;
        rows.collect::<Result<_, _>>().map_err(Fault::from)
    }

    pub fn remove(&mut self, id: RecordingId) -> Result<(), Fault> {
        self.db.execute("DELETE FROM recording WHERE id = ?", [id.0.to_be_bytes().as_slice()])?;
        Ok(())
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let number = |n: usize| row.get::<_, [u8; 16]>(n).map(u128::from_be_bytes);
    let count = |n: usize| row.get::<_, i64>(n).map(|v| u64::try_from(v).unwrap_or(0));
    Ok(Stored {
        id: RecordingId(number(0)?),
        call: CallId(number(1)?),
        started: Wall(row.get(2)?),
        duration: Duration::from_micros(count(3)?),
        format: row.get(4)?,
        channels: row.get(5)?,
        rate: row.get(6)?,
        bytes: count(7)?,
        sha256: row.get(8)?,
        key: row.get(9)?,
        status: row.get(10)?,
        path: row.get(11)?,
        silence: row.get(12)?,
        crosstalk: row.get(13)?,
        conference: row.get::<_, Option<[u8; 16]>>(14)?.map(u128::from_be_bytes),
    })
}
