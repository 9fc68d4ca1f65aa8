//! Moments as operators type them: `2026-11-22`, `2026-11-22T16:15`, RFC 3339 in UTC or with an offset.

use crate::base::time::Wall;
use crate::verb::parse_moment;

/// Reads a moment; a date alone is its midnight, a clock without an offset is UTC. `None`: not one of the forms above.
pub fn parse(text: &str) -> Option<Wall> {
    let text = text.trim();
    let clock = text.split_once(['T', 't', ' ']).map(|(_, clock)| clock);
    let whole = match clock {
        None => format!("{text}T00:00:00Z"),
        Some(clock) if clock.contains(['Z', 'z', '+', '-']) => text.into(),
        Some(_) => format!("{text}Z"),
    };
    parse_moment(&whole).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_nonsense_is_not() {
        let rows = [
            ("2026-11-22", Some("2026-11-22T00:00:00.000Z")),
            ("2026-11-22T16:15", Some("2026-11-22T16:15:00.000Z")),
            ("2026-11-22T16:15:00.123Z", Some("2026-11-22T16:15:00.123Z")),
            ("2024-02-29 23:59:59+01:30", Some("2024-02-29T22:29:59.000Z")),
            ("2026-02-29", None),
            ("2026-11-22T", None),
            ("2026-11-22T25:00", None),
            ("yesterday, about noon", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(parse(text).map(Wall::rfc3339).as_deref(), want, "{text}");
        }
    }
}
