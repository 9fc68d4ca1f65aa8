//! What outlives the process: call detail records, timelines, settings and what users changed, in SQLite.

mod changed;
mod export;
mod known;
mod query;
mod recordings;
mod schema;
mod settings;
mod sqlite;
#[cfg(test)]
mod tests;
mod view;
mod when;

pub use changed::changed;
pub use export::{Broken, Format, export, write_cdrs};
pub use known::{ha1, known};
pub use query::{Filter, Page, Reader, StoredCall};
pub use recordings::{Recordings, Stored};
pub use settings::{CallFilter, Setting, Settings, Span};
pub use sqlite::Sqlite;
pub use view::{CallView, CdrView, EndingView, EntryView, LegView, QualityView, TimelineView, cdr_json};
pub use when::parse as parse_when;

use crate::event::{CallRecord, Changed, Outgoing};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where records go. One writer, on the ledger thread.
pub trait Store: Send {
    /// Stores all of them or none; on `Ok` they are on disk. A call that is stored already is left as it is, so that a commit
    /// whose outcome is unknown can be repeated.
    fn append(&mut self, records: &[Box<CallRecord>]) -> Result<(), Fault>;

    /// What these users have changed takes the place of what they had: of all of them, or of none.
    fn keep(&mut self, changed: &BTreeMap<String, Changed>) -> Result<(), Fault>;

    /// Puts all of these texts into the outbox, or none; one that is there already is left as it is.
    fn send(&mut self, texts: &[Box<Outgoing>]) -> Result<(), Fault>;
}

/// A store that could not do what was asked: the disk, the file, its schema.
#[derive(Debug)]
pub struct Fault {
    what: String,
}

impl Fault {
    pub fn new(what: impl Into<String>) -> Fault {
        Fault { what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Fault {
        Fault::new(e.to_string())
    }
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Fault {
        Fault::new(super::net::describe(&e))
    }
}

/// The database's file in the data folder.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("tandem.sqlite")
}
