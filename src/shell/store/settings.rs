//! What clients of the REST interface made: each resource one row with its fields as JSON; and calls as that interface lists them.

use super::query::{CALL_COLUMNS, cdr};
use super::{CdrView, Fault};
use crate::base::time::Wall;
use crate::event::{CallId, Outgoing};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde_json::json;
use std::path::Path;

/// One resource.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// `AP…`, `PN…`: of its kind's form.
    pub sid: String,
    /// The path of its collection, without the numbers in it: `SIP/Domains`.
    pub kind: String,
    pub account: String,
    /// Of what it is a part; empty: of the account.
    pub parent: String,
    pub created: Wall,
    pub updated: Wall,
    /// A JSON object.
    pub body: String,
}

/// Which finished calls.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    pub from: Option<String>,
    pub to: Option<String>,
    /// As Twilio names it.
    pub status: Option<String>,
    pub started: Span,
    pub ended: Span,
}

/// From the first moment on, and before the second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub since: Option<Wall>,
    pub until: Option<Wall>,
}

impl Span {
    pub fn holds(&self, at: Wall) -> bool {
        self.since.is_none_or(|s| at >= s) && self.until.is_none_or(|u| at < u)
    }
}

/// Reads and writes, each question on a connection of its own.
pub struct Settings {
    db: Connection,
}

const COLUMNS: &str = "sid, kind, account, parent, created, updated, body";

impl Settings {
    /// Resources of one kind that an account may have.
    pub const EACH_MAX: usize = 10_000;

    /// Opens a database that the switch has made.
    pub fn open(path: &Path) -> Result<Settings, Fault> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "foreign_keys", true)?;
        Ok(Settings { db })
    }

    /// Makes it, or replaces it whole.
    pub fn put(&self, s: &Setting) -> Result<(), Fault> {
        let sql = format!("INSERT OR REPLACE INTO setting ({COLUMNS}) VALUES (?,?,?,?,?,?,?)");
        let (created, updated) = (s.created.as_micros(), s.updated.as_micros());
        self.db.execute(&sql, params![s.sid, s.kind, s.account, s.parent, created, updated, s.body])?;
        Ok(())
    }

    pub fn get(&self, kind: &str, account: &str, parent: &str, sid: &str) -> Result<Option<Setting>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM setting WHERE kind = ? AND account = ? AND parent = ? AND sid = ?");
        Ok(self.db.query_row(&sql, params![kind, account, parent, sid], setting).optional()?)
    }

    /// Of whatever account and parent.
    pub fn find(&self, kind: &str, sid: &str) -> Result<Option<Setting>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM setting WHERE kind = ? AND sid = ? LIMIT 1");
        Ok(self.db.query_row(&sql, params![kind, sid], setting).optional()?)
    }

    /// The newest first; those whose fields are as `wanted` says.
    pub fn list(
        &self,
        (kind, account, parent): (&str, &str, &str),
        wanted: &[(&str, &str)],
        (limit, offset): (usize, usize),
    ) -> Result<Vec<Setting>, Fault> {
        let mut sql = format!("SELECT {COLUMNS} FROM setting WHERE kind = ? AND account = ? AND parent = ?");
        let mut values: Vec<Value> = [kind, account, parent].map(|t| Value::Text(t.into())).into();
        for (field, value) in wanted {
            sql.push_str(" AND body ->> ? = ?");
            values.extend([Value::Text(format!("$.{field}")), Value::Text((*value).into())]);
        }
        sql.push_str(" ORDER BY created DESC, sid DESC LIMIT ? OFFSET ?");
        values.extend([limit, offset].map(|n| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))));
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), setting)?;
        rows.collect::<Result<_, _>>().map_err(Fault::from)
    }

    /// All of a kind, whosever they are, the oldest first.
    pub fn all(&self, kind: &str) -> Result<Vec<Setting>, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM setting WHERE kind = ? ORDER BY created, sid LIMIT 100000");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map([kind], setting)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub fn count(&self, kind: &str, account: &str, parent: &str) -> Result<usize, Fault> {
        let sql = "SELECT count(*) FROM setting WHERE kind = ? AND account = ? AND parent = ?";
        Ok(self.db.query_row(sql, params![kind, account, parent], |row| row.get::<_, u32>(0))? as usize)
    }

    /// With all its parts; false if it is not there.
    pub fn remove(&self, kind: &str, account: &str, parent: &str, sid: &str) -> Result<bool, Fault> {
        let sql = "DELETE FROM setting WHERE kind = ? AND account = ? AND parent = ? AND sid = ?";
        let removed = self.db.execute(sql, params![kind, account, parent, sid])? > 0;
        if removed {
            self.db.execute("DELETE FROM setting WHERE parent = ? AND account = ?", params![sid, account])?;
        }
        Ok(removed)
    }

    // ---- finished calls --------------------------------------------------------------------------------------------

    /// The newest first.
    pub fn calls(&self, filter: &CallFilter, (limit, offset): (usize, usize)) -> Result<Vec<CdrView>, Fault> {
        let (mut sql, mut values) = (format!("{CALL_COLUMNS} WHERE 1"), Vec::new());
        for (condition, value) in [(" AND from_ = ?", &filter.from), (" AND to_ = ?", &filter.to)] {
            if let Some(value) = value {
                sql.push_str(condition);
                values.push(Value::Text(value.clone()));
            }
        }
        sql.push_str(match filter.status.as_deref() {
            None => "",
            Some("completed") => " AND answered IS NOT NULL",
            Some("busy") => " AND answered IS NULL AND reason = 'busy'",
            Some("no-answer") => " AND answered IS NULL AND reason = 'no_answer'",
            Some("canceled") => " AND answered IS NULL AND (class = 'operator' OR reason = 'cancelled')",
            Some("failed") => {
                " AND answered IS NULL AND class <> 'operator' AND reason NOT IN ('busy', 'no_answer', 'cancelled')"
            }
            Some(_) => " AND 0",
        });
        let spans = [("started", filter.started), ("ended", filter.ended)];
        for (column, Span { since, until }) in spans {
            for (compare, value) in [(">=", since), ("<", until)] {
                if let Some(at) = value {
                    sql.push_str(&format!(" AND {column} {compare} ?"));
                    values.push(Value::Integer(at.as_micros()));
                }
            }
        }
        sql.push_str(" ORDER BY started DESC, id DESC LIMIT ? OFFSET ?");
        values.extend([limit, offset].map(|n| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))));
        let mut statement = self.db.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), cdr)?;
        rows.map(|row| row.map(|(_, _, cdr)| cdr)).collect::<Result<_, _>>().map_err(Fault::from)
    }

    /// Takes a finished call's record and timeline out of the store; false if it is not there.
    pub fn remove_call(&self, call: CallId) -> Result<bool, Fault> {
        Ok(self.db.execute("DELETE FROM cdr WHERE call = ?", params![call.0.to_be_bytes().as_slice()])? > 0)
    }
}

/// A text of a call, as a Message of the REST interface.
pub fn put_outgoing(db: &Connection, text: &Outgoing) -> Result<(), Fault> {
    let body = json!({
        "to": text.to.expose(), "from": text.from.expose(), "body": text.body, "status": "queued", "direction": "outbound-reply",
        "status_callback": text.status, "messaging_service_sid": null,
    });
    let sql = format!("INSERT OR IGNORE INTO setting ({COLUMNS}) VALUES (?,?,?,?,?,?,?)");
    let at = text.at.as_micros();
    db.execute(&sql, params![text.sid, "Messages", text.account, "", at, at, body.to_string()])?;
    Ok(())
}

fn setting(row: &Row<'_>) -> rusqlite::Result<Setting> {
    Ok(Setting {
        sid: row.get(0)?,
        kind: row.get(1)?,
        account: row.get(2)?,
        parent: row.get(3)?,
        created: Wall(row.get(4)?),
        updated: Wall(row.get(5)?),
        body: row.get(6)?,
    })
}
