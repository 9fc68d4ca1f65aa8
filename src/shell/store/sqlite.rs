//! The writer: one connection, one transaction a batch, prepared statements.

use super::view::{charge_json, entries_json, identity_json, quality_json, transfers_json};
use super::{Fault, Store, changed, schema, settings};
use crate::event::{CallRecord, Cdr, Changed, Direction, LegCdr, Outgoing};
use rusqlite::{CachedStatement, Connection, params};
use std::collections::BTreeMap;
use std::path::Path;

/// The embedded database's writer.
pub struct Sqlite {
    db: Connection,
}

impl Sqlite {
    /// Opens or creates the file and brings its schema up to date. The folder is made, readable by its owner only.
    pub fn open(path: &Path) -> Result<Sqlite, Fault> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty() && !f.exists()) {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        // A commit is on disk when it returns (FULL): a CDR that was acknowledged survives a power failure.
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        schema::migrate(&mut db)?;
        Ok(Sqlite { db })
    }
}

const CDR: &str = "INSERT INTO cdr (call, node, from_, to_, trunk, user, context, rule, started, answered, ended, duration_us, \
    billable_us, post_dial_delay_us, class, reason, status, direction, transfers, answered_by, \
    identity) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) \
    ON CONFLICT (call) DO NOTHING";
const LEG: &str = "INSERT INTO leg (cdr, place, direction, peer, sip_call_id, flow, started, answered, ended, status, codec, \
    charge, quality) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
const TIMELINE: &str = "INSERT INTO timeline (cdr, started, dropped, entries) VALUES (?,?,?,?)";

impl Store for Sqlite {
    fn append(&mut self, records: &[Box<CallRecord>]) -> Result<(), Fault> {
        let change = self.db.transaction()?;
        {
            let mut cdr = change.prepare_cached(CDR)?;
            let mut leg = change.prepare_cached(LEG)?;
            let mut timeline = change.prepare_cached(TIMELINE)?;
            let mut json = Vec::with_capacity(4_096);
            for record in records {
                if insert_cdr(&mut cdr, &record.cdr)? == 0 {
                    continue;
                }
                let id = change.last_insert_rowid();
                for (place, l) in record.cdr.legs.iter().enumerate() {
                    insert_leg(&mut leg, id, place, l)?;
                }
                let entries = entries_json(&record.timeline, &mut json);
                timeline.execute(params![id, record.started.as_micros(), record.timeline.dropped(), entries])?;
            }
        }
        change.commit()?;
        Ok(())
    }

    fn keep(&mut self, all: &BTreeMap<String, Changed>) -> Result<(), Fault> {
        let change = self.db.transaction()?;
        changed::put(&change, all)?;
        change.commit()?;
        Ok(())
    }

    fn send(&mut self, texts: &[Box<Outgoing>]) -> Result<(), Fault> {
        let change = self.db.transaction()?;
        texts.iter().try_for_each(|text| settings::put_outgoing(&change, text))?;
        change.commit()?;
        Ok(())
    }
}

/// SQLite's integers are signed; no duration of a call comes near the limit.
fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

fn insert_cdr(statement: &mut CachedStatement<'_>, c: &Cdr) -> Result<usize, Fault> {
    Ok(statement.execute(params![
        c.call.0.to_be_bytes().as_slice(),
        c.node,
        c.from,
        c.to,
        c.trunk,
        c.user,
        c.context,
        c.rule,
        c.started.as_micros(),
        c.answered.map(|w| w.as_micros()),
        c.ended.as_micros(),
        signed(c.duration_us),
        signed(c.billable_us),
        c.post_dial_delay_us.map(signed),
        c.ending.class.as_str(),
        c.ending.reason,
        c.ending.status,
        direction(c.direction),
        transfers_json(&c.transfers),
        c.answered_by,
        identity_json(c.identity.as_ref()),
    ])?)
}

fn insert_leg(statement: &mut CachedStatement<'_>, cdr: i64, place: usize, l: &LegCdr) -> Result<(), Fault> {
    statement.execute(params![
        cdr,
        i64::try_from(place).unwrap_or(i64::MAX),
        direction(l.direction),
        l.peer,
        l.sip_call_id,
        l.flow,
        l.started.as_micros(),
        l.answered.map(|w| w.as_micros()),
        l.ended.as_micros(),
        l.status,
        l.codec,
        l.charge.as_deref().map(charge_json),
        l.quality.as_deref().map(quality_json),
    ])?;
    Ok(())
}
