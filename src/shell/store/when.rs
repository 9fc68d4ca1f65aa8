//! Moments as operators type them: `2026-11-22`, `2026-11-22T16:15`, RFC 3339 in UTC or with an offset.

use crate::base::time::Wall;

/// Reads a moment; a date alone is its midnight in UTC. `None`: not one of the forms above.
pub fn parse(text: &str) -> Option<Wall> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let midnight = days(year, month, day) * 86_400;
    if rest.is_empty() {
        return Some(Wall(midnight * 1_000_000));
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = split_offset(rest)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if hour > 23 || minute > 59 || second > 60 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10i64.pow(u32::try_from(fraction.len()).ok()?);
    let us = number(fraction)? * 1_000_000 / scale;
    Some(Wall((midnight + hour * 3_600 + minute * 60 + second - offset) * 1_000_000 + us))
}

/// The clock and the offset's seconds east of UTC.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let (clock, offset) = text.split_at_checked(at)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let seconds = number(hours)? * 3_600 + number(minutes)? * 60;
    Some((clock, if offset.starts_with('-') { -seconds } else { seconds }))
}

fn number(digits: &str) -> Option<i64> {
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + is_leap(year) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|y| 365 + i64::from(is_leap(y))).sum();
    years + (1..month).map(|m| days_in(year, m)).sum::<i64>() + day - 1
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
