//! What is kept of calls' messages, and who is sent a copy.

use super::shapes;
use crate::base::pii::Secret;
use crate::base::time::Duration;
use crate::base::yaml::{Fields, Node, Shape, Type, key, required};

/// The rolling capture of each call's SIP messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub enabled: bool,
    /// Octets of all calls.
    pub memory: usize,
    /// Octets of one call.
    pub per_call: usize,
    /// How long a call's is kept after its end …
    pub keep: Duration,
    /// … of so many calls that have ended.
    pub ended: usize,
}

/// Copies of SIP messages for a capture server (HEP, protocol version 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hep {
    pub is_tcp: bool,
    /// Host and port.
    pub target: String,
    /// The capture agent's number.
    pub id: u32,
    pub password: Option<Secret>,
}

pub static CAPTURE: Shape = Shape {
    name: "capture section",
    doc: "The SIP messages of each call, for `tandem pcap`. Passwords, SRTP keys and, by `pci`, digits are not in it.",
    keys: &[
        key("enabled", Type::Bool, "false", "true: they are kept."),
        key("memory_mb", Type::Int(1, 65_536), "32", "MB for all calls; those that ended first are forgotten first."),
        key("per_call_kb", Type::Int(16, 65_536), "256", "kB for one call; its first messages and its last ones stay."),
        key("keep", Type::Duration, "15m", "How long after a call's end."),
        key("ended", Type::Int(0, 1_000_000), "10000", "Calls that have ended; more are forgotten, the oldest first."),
    ],
    prefixed: None,
};

pub static HEP: Shape = Shape {
    name: "hep section",
    doc: "Copies of all SIP messages for a capture server (HEP3: Homer, sngrep, heplify, Kamailio's sipcapture).",
    keys: &[
        required("target", Type::Form("udp://HOST:PORT or tcp://HOST:PORT", is_target), "The capture server."),
        key("id", Type::Int(0, 4_294_967_295), "2001", "Our number as a capture agent."),
        key("password", Type::Secret, "", "What the server knows us by."),
    ],
    prefixed: None,
};

/// `udp://HOST:PORT`: is it TCP, and what is behind.
fn target(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_tcp = match scheme {
        "udp" => false,
        "tcp" => true,
        _ => return None,
    };
    let (host, port) = rest.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    (shapes::is_domain(host) && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some((is_tcp, rest))
}

fn is_target(text: &str) -> bool {
    target(text).is_some()
}

pub(super) fn capture(f: &Fields<'_>) -> Capture {
    Capture {
        enabled: f.flag("enabled"),
        memory: f.int("memory_mb") as usize * 1_000_000,
        per_call: f.int("per_call_kb") as usize * 1_000,
        keep: f.duration("keep").unwrap_or_default(),
        ended: f.int("ended") as usize,
    }
}

pub(super) fn hep(node: Option<&Node>) -> Option<Hep> {
    let f = Fields::of(node?, &HEP);
    let (is_tcp, target) = target(f.text("target")?)?;
    let password = f.text("password").map(|p| Secret::new(p.to_owned()));
    Some(Hep { is_tcp, target: target.to_owned(), id: f.int("id"), password })
}
