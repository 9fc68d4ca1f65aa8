//! Structured logs: for a person on a terminal, JSON otherwise; every line of a call has the field `call`.

use crate::event::Fact;
use std::cell::RefCell;
use std::io::{IsTerminal, Write, stderr};
use tracing::{debug, info, warn};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Human,
    Json,
}

/// Starts logging to stderr. `level` is a level or a filter (`info,tandem::shell=debug`); a wrong one is told as an error.
/// A second start is refused silently: the first one holds.
pub fn start(format: Option<Format>, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|e| format!("--log-level {level}: {e}"))?;
    let terminal = stderr().is_terminal();
    let format = format.unwrap_or(if terminal { Format::Human } else { Format::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Lines);
    let _ = match format {
        Format::Human => builder.with_ansi(terminal).with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    Ok(())
}

thread_local! {
    /// Lines that this thread holds back until the end of [`together`].
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writes the lines that `work` logs on this thread at its end, all at once: a call's facts come in batches, and each write
/// costs as much as making the line.
pub fn together(work: impl FnOnce()) {
    HELD.set(Some(Vec::with_capacity(4_096)));
    work();
    if let Some(lines) = HELD.take() {
        // A log that nobody takes is nobody's loss.
        let _ = stderr().write_all(&lines);
    }
}

/// Stderr, or what [`together`] holds.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        HELD.with_borrow_mut(|held| match held {
            Some(lines) => {
                lines.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            None => stderr().write(bytes),
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stderr().flush()
    }
}

/// The one place where a fact becomes a line. Numbers of persons are shown by their tail.
pub fn fact(fact: &Fact) {
    match fact {
        Fact::CallStarted { call, from, to, trunk, user } => {
            info!(%call, ?from, ?to, trunk = trunk.as_deref(), user = user.as_deref(), "call started");
        }
        Fact::CallAnswered { call } => info!(%call, "call answered"),
        Fact::Logged { call, line } => info!(%call, line = &**line, "dialplan"),
        Fact::CallEnded(record) => {
            let cdr = &record.cdr;
            info!(
                call = %cdr.call, class = cdr.ending.class.as_str(), reason = cdr.ending.reason, status = cdr.ending.status,
                duration_ms = cdr.duration_us / 1_000, billable_ms = cdr.billable_us / 1_000, rule = cdr.rule, "call ended"
            );
        }
        Fact::Registered { aor, contact, source, expires_s } => {
            info!(aor, contact, %source, expires_s, "registered");
        }
        Fact::Unregistered { aor, contact, why } => info!(aor, contact, why, "unregistered"),
        Fact::Outgoing(text) => {
            info!(call = %text.call, sid = text.sid, from = ?text.from, to = ?text.to, octets = text.body.len(), "text to be sent");
        }
        Fact::Reached { user, changed } => {
            let set = |number: &Option<Option<String>>| number.as_ref().map(|number| number.is_some());
            let (always, busy, no_answer) = (set(&changed.always), set(&changed.busy), set(&changed.no_answer));
            info!(user, always, busy, no_answer, dnd = changed.dnd, "forwarding changed");
        }
        Fact::TrunkUp { trunk, target } => info!(trunk, target, "trunk up"),
        Fact::TrunkDown { trunk, target, why } => warn!(trunk, target, why, "trunk down"),
        Fact::TrunkOut { trunk, why, rest_s } => warn!(trunk, why, rest_s, "trunk out"),
        Fact::Text { from, to, octets, status } => info!(?from, ?to, octets, status, "text"),
        Fact::TrunkBack { trunk } => info!(trunk, "trunk back on trial"),
        Fact::TollPassed { call, toll, whose, why, refused } => {
            warn!(event = "toll", %call, toll, whose, why, refused, "security");
        }
        Fact::TrunkRegistered { trunk, target, expires_s } => info!(trunk, target, expires_s, "registered with trunk"),
        Fact::TrunkUnregistered { trunk, target, why } => warn!(trunk, target, why, "not registered with trunk"),
        // What a program such as fail2ban reads: `event` and `source` (an address without its port) are for it.
        Fact::Denied { source, what, why } => {
            warn!(event = "denied", source = %source.ip(), port = source.port(), what, why, "security");
        }
        Fact::Banned { source, why, for_s } => warn!(event = "banned", %source, why, for_s, "security"),
        Fact::Unbanned { source, why } => info!(event = "unbanned", %source, why, "security"),
        Fact::Overloaded { refused } => warn!(event = "overloaded", refused, "new requests refused"),
        Fact::BadMessage { source, why } => debug!(%source, why, "bad message"),
    }
}
