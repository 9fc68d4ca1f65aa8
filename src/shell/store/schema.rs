//! The schema, as steps: a database remembers how many it has taken (`user_version`) and takes the rest when it is opened.

use super::Fault;
use rusqlite::Connection;

/// Never edited, only added to. Times are microseconds since 1970 in UTC; `call` is the 16 bytes of the call's number.
const STEPS: &[&str] = &[
    "
CREATE TABLE cdr (
    id INTEGER PRIMARY KEY,
    call BLOB NOT NULL UNIQUE,
    node TEXT NOT NULL,
    from_ TEXT NOT NULL,
    to_ TEXT NOT NULL,
    trunk TEXT,
    user TEXT,
    context TEXT NOT NULL,
    rule TEXT NOT NULL,
    started INTEGER NOT NULL,
    answered INTEGER,
    ended INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    billable_us INTEGER NOT NULL,
    post_dial_delay_us INTEGER,
    class TEXT NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER NOT NULL
) STRICT;
CREATE INDEX cdr_started ON cdr (started);
CREATE INDEX cdr_from ON cdr (from_, started);
CREATE INDEX cdr_to ON cdr (to_, started);
CREATE INDEX cdr_trunk ON cdr (trunk, started) WHERE trunk IS NOT NULL;
CREATE TABLE leg (
    cdr INTEGER NOT NULL REFERENCES cdr (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    direction TEXT NOT NULL,
    peer TEXT NOT NULL,
    sip_call_id TEXT NOT NULL,
    flow TEXT NOT NULL,
    started INTEGER NOT NULL,
    answered INTEGER,
    ended INTEGER NOT NULL,
    status INTEGER NOT NULL,
    codec TEXT,
    quality TEXT,
    PRIMARY KEY (cdr, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE timeline (
    cdr INTEGER PRIMARY KEY REFERENCES cdr (id) ON DELETE CASCADE,
    started INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    entries TEXT NOT NULL
) STRICT;
",
    "
CREATE TABLE recording (
    id BLOB PRIMARY KEY,
    call BLOB NOT NULL,
    started INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    format TEXT NOT NULL,
    channels INTEGER NOT NULL,
    rate INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    key TEXT,
    status TEXT NOT NULL,
    path TEXT NOT NULL,
    silence REAL,
    crosstalk REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX recording_started ON recording (started);
CREATE INDEX recording_call ON recording (call);
",
    "
ALTER TABLE cdr ADD COLUMN direction TEXT NOT NULL DEFAULT 'inbound';
",
    "
CREATE TABLE setting (
    sid TEXT NOT NULL,
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    parent TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, sid, parent)
) STRICT, WITHOUT ROWID;
CREATE INDEX setting_listed ON setting (kind, account, parent, created);
",
    "
ALTER TABLE cdr ADD COLUMN transfers TEXT;
",
    "
ALTER TABLE cdr ADD COLUMN answered_by TEXT;
",
    "
ALTER TABLE cdr ADD COLUMN identity TEXT;
",
    "
ALTER TABLE leg ADD COLUMN charge TEXT;
",
    "
ALTER TABLE recording ADD COLUMN conference BLOB;
CREATE INDEX recording_conference ON recording (conference) WHERE conference IS NOT NULL;
",
    "
CREATE TABLE changed (
    user TEXT PRIMARY KEY,
    always TEXT,
    busy TEXT,
    no_answer TEXT,
    dnd INTEGER
) STRICT, WITHOUT ROWID;
",
];

/// Brings a database to this program's schema; refuses one that a newer program has written.
pub fn migrate(db: &mut Connection) -> Result<(), Fault> {
    let have: usize = db.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
    if have > STEPS.len() {
        let known = STEPS.len();
        return Err(Fault::new(format!(
            "the schema is version {have}, this program knows {known}: it was written by a newer one"
        )));
    }
    for (i, step) in STEPS.iter().enumerate().skip(have) {
        let change = db.transaction()?;
        change.execute_batch(step)?;
        change.pragma_update(None, "user_version", i as u32 + 1)?;
        change.commit()?;
    }
    Ok(())
}
