//! `sip.session_timers`: how sessions are kept alive and found dead (RFC 4028).

use crate::base::time::Duration;
use crate::base::yaml::{Fields, Reader, Shape, Type, key};

/// The shortest interval that anybody may ask for, in seconds (RFC 4028 §4).
pub const SESSION_MIN_S: u32 = 90;
const LONGEST_S: u64 = 86_400;

/// Who refreshes, where the other side leaves the choice to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Refresher {
    /// Whoever asks leaves it to who answers, and who answers to who asked.
    #[default]
    Auto,
    Us,
    Peer,
}

/// What we ask for and what we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// Interval that we ask for; 0: none, but whoever asks gets one.
    pub expires_s: u32,
    /// Less than this is refused with 422; at least [`SESSION_MIN_S`].
    pub min_se_s: u32,
    pub refresher: Refresher,
}

impl Default for SessionTimers {
    fn default() -> SessionTimers {
        SessionTimers { expires_s: 0, min_se_s: SESSION_MIN_S, refresher: Refresher::Auto }
    }
}

pub static SESSION_TIMERS: Shape = Shape {
    name: "session timers",
    doc: "Sessions are refreshed, and ended when nobody refreshes them (RFC 4028). Who asks for that gets it in any case.",
    keys: &[
        key("expires", Type::Duration, "0s", "What we ask for, min_se to 1d; 0s: nothing."),
        key("min_se", Type::Duration, "90s", "Who asks for less is refused with 422; 90s to 1d."),
        key(
            "refresher",
            Type::Choice(&["auto", "us", "peer"]),
            "auto",
            "Who refreshes where the peer leaves it to us.",
        ),
    ],
    prefixed: None,
};

impl SessionTimers {
    pub(super) fn read(reader: &mut Reader, f: &Fields<'_>) -> SessionTimers {
        let mut seconds = |name: &str, low: u64, zero: bool| {
            let s = f.duration(name).unwrap_or(Duration::ZERO).as_secs();
            if (low..=LONGEST_S).contains(&s) || zero && s == 0 {
                return s as u32;
            }
            let at = f.get(name).map_or(f.at(), |node| node.at);
            reader.fault(at, format!("{name} of {s}s"), format!("expected {low}s to {LONGEST_S}s"));
            low as u32
        };
        let min_se_s = seconds("min_se", u64::from(SESSION_MIN_S), false);
        let expires_s = seconds("expires", u64::from(min_se_s), true);
        let refresher = match f.text("refresher") {
            Some("us") => Refresher::Us,
            Some("peer") => Refresher::Peer,
            _ => Refresher::Auto,
        };
        SessionTimers { expires_s, min_se_s, refresher }
    }
}

impl Refresher {
    pub const fn as_str(self) -> &'static str {
        match self {
            Refresher::Auto => "auto",
            Refresher::Us => "us",
            Refresher::Peer => "peer",
        }
    }
}
