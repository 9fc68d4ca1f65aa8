//! Values inside scalars: durations, and the nearest of known names.

use crate::base::time::Duration;

/// Parts in descending order, each once at most: `20s`, `1m30s`, `500ms`, `2h`, `1d`. At most 100 days.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let wrong = || format!("\"{text}\" is no duration");
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("the duration {text} has no unit"));
    }
    let (mut rest, mut ms, mut largest) = (text, 0u64, 0);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(wrong)?;
        let place = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let factor = UNITS.get(place).map_or(0, |(_, factor)| *factor);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        if place < largest {
            return Err(wrong());
        }
        largest = place + 1;
        ms = number.checked_mul(factor).and_then(|n| n.checked_add(ms)).ok_or_else(wrong)?;
        rest = tail;
    }
    if ms > 100 * 86_400_000 { Err(format!("{text} is longer than 100d")) } else { Ok(Duration::from_millis(ms)) }
}

/// As [`parse_duration`] reads it.
pub fn write_duration(d: Duration) -> String {
    let mut ms = d.as_millis();
    let mut out = String::new();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if ms >= factor {
            out.push_str(&format!("{}{unit}", ms / factor));
            ms %= factor;
        }
    }
    if out.is_empty() { "0s".into() } else { out }
}

/// The known name that was probably meant: at most a third of its letters differ.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written: Vec<char> = written.chars().take(64).flat_map(char::to_lowercase).collect();
    let scored = known.into_iter().filter_map(|name| {
        let letters: Vec<char> = name.chars().take(64).flat_map(char::to_lowercase).collect();
        let far = distance(&written, &letters);
        (far <= letters.len().max(written.len()).div_ceil(3)).then_some((far, name))
    });
    scored.min_by_key(|(far, _)| *far).map(|(_, name)| name)
}

/// Edits (insert, remove, replace, swap neighbours) from one to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut two_ago: Vec<usize> = Vec::new();
    let mut ago: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (ago[j] + usize::from(x != y)).min(ago[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(two_ago[j - 1] + 1);
            }
            row.push(best);
        }
        two_ago = std::mem::replace(&mut ago, row);
    }
    ago.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let ok = [("20s", 20_000), ("1m30s", 90_000), ("500ms", 500), ("2h", 7_200_000), ("0s", 0), ("1d", 86_400_000)];
        for (text, ms) in ok {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(write_duration(Duration::from_millis(ms)), text);
        }
        for text in ["", "s", "20x", "30s1m", "1s1s", "-1s", "1.5s", "101d", "99999999999999999999s", "20 s", "2é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("20"), Err("the duration 20 has no unit".into()));
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["answer", "reject", "play", "dial", "echo"];
        let rows = [
            ("anser", Some("answer")),
            ("Dail", Some("dial")),
            ("palys", Some("play")),
            ("voicemail", None),
            ("", None),
        ];
        for (written, want) in rows {
            assert_eq!(nearest(written, known), want, "{written}");
        }
    }
}
