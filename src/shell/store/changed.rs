//! Rows of what users have changed of where their calls go.

use super::Fault;
use crate::event::Changed;
use rusqlite::{Connection, OpenFlags, Transaction, params};
use std::collections::BTreeMap;
use std::path::Path;

const PUT: &str = "INSERT OR REPLACE INTO changed (user, always, busy, no_answer, dnd) VALUES (?,?,?,?,?)";

/// What all users have changed, whether they still are in tandem.yaml or not.
pub fn changed(path: &Path) -> Result<BTreeMap<String, Changed>, Fault> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    let mut statement = db.prepare("SELECT user, always, busy, no_answer, dnd FROM changed")?;
    let rows = statement.query_map([], |row| {
        let number = |n: usize| row.get(n).map(read);
        let changed = Changed { always: number(1)?, busy: number(2)?, no_answer: number(3)?, dnd: row.get(4)? };
        Ok((row.get(0)?, changed))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes them within a change that the caller commits.
pub(super) fn put(change: &Transaction<'_>, all: &BTreeMap<String, Changed>) -> Result<(), Fault> {
    let mut statement = change.prepare_cached(PUT)?;
    for (user, c) in all {
        statement.execute(params![user, written(&c.always), written(&c.busy), written(&c.no_answer), c.dnd])?;
    }
    Ok(())
}

/// NULL: not changed; empty: there is none any more.
fn written(number: &Option<Option<String>>) -> Option<&str> {
    number.as_ref().map(|number| number.as_deref().unwrap_or_default())
}

fn read(column: Option<String>) -> Option<Option<String>> {
    column.map(|text| (!text.is_empty()).then_some(text))
}
