//! The readers: a connection of their own, so that a long question does not hold up the writer.

use super::view::{CdrView, EndingView, EntryView, LegView, TimelineView};
use super::{Fault, parse_when};
use crate::base::time::Wall;
use crate::event::CallId;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params, params_from_iter};
use std::path::Path;

/// Which records. Every field narrows the choice.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub from: Option<String>,
    pub to: Option<String>,
    pub trunk: Option<String>,
    pub user: Option<String>,
    pub class: Option<String>,
    pub reason: Option<String>,
    /// Calls that started at or after this moment …
    pub since: Option<Wall>,
    /// … and before this one.
    pub until: Option<Wall>,
}

impl Filter {
    /// Takes one `name=value` of a query; `Err` says what is wrong with it. Unknown names are refused.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let text = Some(value.to_owned());
        match name {
            "from" => self.from = text,
            "to" => self.to = text,
            "trunk" => self.trunk = text,
            "user" => self.user = text,
            "class" => self.class = text,
            "reason" => self.reason = text,
            "since" => self.since = Some(moment(name, value)?),
            "until" => self.until = Some(moment(name, value)?),
            _ => {
                return Err(format!(
                    "unknown filter `{name}`; known are from, to, trunk, user, class, reason, since, until"
                ));
            }
        }
        Ok(())
    }

    fn conditions(&self, oldest_first: bool, after: Option<(i64, i64)>) -> (String, Vec<Value>) {
        let (mut sql, mut values) = (String::from(" WHERE 1"), Vec::new());
        let texts = [
            (" AND from_ = ?", &self.from),
            (" AND to_ = ?", &self.to),
            (" AND trunk = ?", &self.trunk),
            (" AND user = ?", &self.user),
            (" AND class = ?", &self.class),
            (" AND reason = ?", &self.reason),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                sql.push_str(condition);
                values.push(Value::Text(value.clone()));
            }
        }
        for (condition, value) in [(" AND started >= ?", self.since), (" AND started < ?", self.until)] {
            if let Some(Wall(us)) = value {
                sql.push_str(condition);
                values.push(Value::Integer(us));
            }
        }
        if let Some((started, id)) = after {
            sql.push_str(if oldest_first { " AND (started, id) > (?, ?)" } else { " AND (started, id) < (?, ?)" });
            values.extend([Value::Integer(started), Value::Integer(id)]);
        }
        sql.push_str(if oldest_first { " ORDER BY started, id" } else { " ORDER BY started DESC, id DESC" });
        (sql, values)
    }
}

fn moment(name: &str, value: &str) -> Result<Wall, String> {
    parse_when(value).ok_or_else(|| format!("{name}: `{value}` is no moment; write 2026-11-22 or 2026-11-22T16:15:00Z"))
}

/// One page of records and the mark of the next; `None`: this was the last.
#[derive(Debug)]
pub struct Page {
    pub cdrs: Vec<CdrView>,
    pub next: Option<String>,
}

impl Page {
    /// Could it be [`Page::next`] of some page?
    pub fn is_mark(text: &str) -> bool {
        read_mark(text).is_some()
    }
}

/// A call as the store has it.
#[derive(Debug)]
pub struct StoredCall {
    pub cdr: CdrView,
    pub timeline: TimelineView<'static>,
}

/// Reads the records; opened by whoever asks.
pub struct Reader {
    db: Connection,
}

pub(super) const CALL_COLUMNS: &str = "SELECT id, call, node, from_, to_, trunk, user, context, rule, started, answered, ended, duration_us, \
    billable_us, post_dial_delay_us, class, reason, status, direction, transfers, answered_by, identity FROM cdr";

impl Reader {
    /// Records a page at most.
    pub const PAGE_MAX: usize = 1_000;

    /// Opens a database that exists, without the right to change it.
    pub fn open(path: &Path) -> Result<Reader, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db =
            Connection::open_with_flags(path, flags).map_err(|e| Fault::new(format!("{}: {e}", path.display())))?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(Reader { db })
    }

    /// One call by its number.
    pub fn call(&self, call: CallId) -> Result<Option<StoredCall>, Fault> {
        let sql = format!("{CALL_COLUMNS} WHERE call = ?");
        let mut statement = self.db.prepare_cached(&sql)?;
        let found = statement.query_row(params![call.0.to_be_bytes().as_slice()], cdr).optional()?;
        let Some((id, _, mut cdr)) = found else { return Ok(None) };
        cdr.legs = self.legs(id)?;
        Ok(Some(StoredCall { cdr, timeline: self.timeline(id)? }))
    }

    /// The call that ended last of those stored.
    pub fn last(&self) -> Result<Option<CallId>, Fault> {
        let sql = "SELECT call FROM cdr ORDER BY started DESC, id DESC LIMIT 1";
        Ok(self.db.query_row(sql, [], call_id).optional()?)
    }

    /// A page of records, the newest first; `mark` is [`Page::next`] of the page before.
    pub fn list(&self, filter: &Filter, mark: Option<&str>, limit: usize) -> Result<Page, Fault> {
        let after = match mark {
            Some(mark) => {
                Some(read_mark(mark).ok_or_else(|| Fault::new(format!("page: `{mark}` is no mark of a page")))?)
            }
            None => None,
        };
        let limit = limit.clamp(1, Self::PAGE_MAX);
        let (conditions, values) = filter.conditions(false, after);
        let mut statement = self.db.prepare(&format!("{CALL_COLUMNS}{conditions} LIMIT {}", limit + 1))?;
        let mut rows = statement.query_map(params_from_iter(values), cdr)?.collect::<Result<Vec<_>, _>>()?;
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_more).map(|(id, started, _)| format!("{started}-{id}"));
        let mut cdrs = Vec::with_capacity(rows.len());
        for (id, _, mut cdr) in rows {
            cdr.legs = self.legs(id)?;
            cdrs.push(cdr);
        }
        Ok(Page { cdrs, next })
    }

    /// Every record in order of its start, one by one, in bounded memory; ends early when `each` fails.
    pub fn each<E: From<Fault>>(
        &self,
        filter: &Filter,
        mut each: impl FnMut(&CdrView) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = None;
        loop {
            let (conditions, values) = filter.conditions(true, after);
            let rows = self.portion(&conditions, values)?;
            let Some((id, started, _)) = rows.last() else { return Ok(()) };
            after = Some((*started, *id));
            for (id, _, mut cdr) in rows {
                cdr.legs = self.legs(id)?;
                each(&cdr)?;
            }
        }
    }

    fn portion(&self, conditions: &str, values: Vec<Value>) -> Result<Vec<(i64, i64, CdrView)>, Fault> {
        let mut statement = self.db.prepare_cached(&format!("{CALL_COLUMNS}{conditions} LIMIT {}", Self::PAGE_MAX))?;
        Ok(statement.query_map(params_from_iter(values), cdr)?.collect::<Result<Vec<_>, _>>()?)
    }

    fn legs(&self, id: i64) -> Result<Vec<LegView>, Fault> {
        let sql = "SELECT direction, peer, sip_call_id, flow, started, answered, ended, status, codec, charge, quality FROM leg \
            WHERE cdr = ? ORDER BY place";
        let mut statement = self.db.prepare_cached(sql)?;
        Ok(statement.query_map([id], leg)?.collect::<Result<Vec<_>, _>>()?)
    }

    fn timeline(&self, id: i64) -> Result<TimelineView<'static>, Fault> {
        let sql = "SELECT started, dropped, entries FROM timeline WHERE cdr = ?";
        let (started, dropped, entries) = self
            .db
            .prepare_cached(sql)?
            .query_row([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?)))?;
        let entries: Vec<EntryView<'static>> =
            serde_json::from_str(&entries).map_err(|e| Fault::new(format!("a stored timeline cannot be read: {e}")))?;
        Ok(TimelineView { started: Wall(started).rfc3339(), dropped, entries })
    }
}

fn read_mark(mark: &str) -> Option<(i64, i64)> {
    let (started, id) = mark.split_once('-')?;
    Some((started.parse().ok()?, id.parse().ok()?))
}

fn call_id(row: &Row<'_>) -> rusqlite::Result<CallId> {
    Ok(CallId(u128::from_be_bytes(row.get("call")?)))
}

fn when(row: &Row<'_>, column: &str) -> rusqlite::Result<String> {
    row.get(column).map(|us| Wall(us).rfc3339())
}

fn maybe_when(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<String>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|us| Wall(us).rfc3339()))
}

fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// The row's number, its start in microseconds, and the record without legs.
pub(super) fn cdr(row: &Row<'_>) -> rusqlite::Result<(i64, i64, CdrView)> {
    let transfers: Option<String> = row.get("transfers")?;
    let identity: Option<String> = row.get("identity")?;
    let pdd: Option<i64> = row.get("post_dial_delay_us")?;
    let view = CdrView {
        call: call_id(row)?.to_string(),
        direction: row.get("direction")?,
        node: row.get("node")?,
        from: row.get("from_")?,
        to: row.get("to_")?,
        trunk: row.get("trunk")?,
        user: row.get("user")?,
        context: row.get("context")?,
        rule: row.get("rule")?,
        started: when(row, "started")?,
        answered: maybe_when(row, "answered")?,
        ended: when(row, "ended")?,
        duration_us: unsigned(row, "duration_us")?,
        billable_us: unsigned(row, "billable_us")?,
        post_dial_delay_us: pdd.and_then(|us| u64::try_from(us).ok()),
        ending: EndingView { class: row.get("class")?, reason: row.get("reason")?, status: row.get("status")? },
        legs: Vec::new(),
        transfers: transfers.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
        answered_by: row.get("answered_by")?,
        identity: identity.and_then(|json| serde_json::from_str(&json).ok()),
    };
    Ok((row.get("id")?, row.get("started")?, view))
}

fn leg(row: &Row<'_>) -> rusqlite::Result<LegView> {
    let quality: Option<String> = row.get("quality")?;
    let charge: Option<String> = row.get("charge")?;
    Ok(LegView {
        direction: row.get("direction")?,
        peer: row.get("peer")?,
        sip_call_id: row.get("sip_call_id")?,
        flow: row.get("flow")?,
        started: when(row, "started")?,
        answered: maybe_when(row, "answered")?,
        ended: when(row, "ended")?,
        status: row.get("status")?,
        codec: row.get("codec")?,
        charge: charge.and_then(|json| serde_json::from_str(&json).ok()),
        quality: quality.and_then(|json| serde_json::from_str(&json).ok()),
    })
}
