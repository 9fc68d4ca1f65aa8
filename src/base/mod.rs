//! What everything stands on: time, timers, ids, seeded randomness, redaction, secret digits, Base64.

pub mod base64;
pub mod id;
pub mod keys;
pub mod limit;
pub mod money;
pub mod pii;
pub mod rng;
pub mod time;
pub mod timers;
pub mod yaml;

/// Our own fault: panics in tests and simulation; in production it is logged, counted and the caller goes on.
///
/// Use it where an invariant of this program is broken, never for what a network or a file sent.
#[macro_export]
macro_rules! bug {
    ($($arg:tt)*) => {{
        if cfg!(any(test, debug_assertions)) {
            panic!("bug: {}", format_args!($($arg)*));
        } else {
            $crate::base::note_bug(format_args!($($arg)*));
        }
    }};
}

static BUGS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Counts a broken invariant and logs it; see [`bug!`].
pub fn note_bug(what: std::fmt::Arguments<'_>) {
    BUGS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    tracing::error!(target: "bug", "{what}");
}

/// How many broken invariants this process has seen; `tandem_bugs_total` in /metrics.
pub fn bugs() -> u64 {
    BUGS.load(std::sync::atomic::Ordering::Relaxed)
}
