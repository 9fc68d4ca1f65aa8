//! When a certificate is valid (RFC 5280 §4.1.2.5): a walk to that one field, since nothing else of it is needed here.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Seconds since 1970 of notBefore and notAfter.
pub fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, _, after) = element(rest)?;
    if tag == VERSION {
        rest = after;
    }
    for expected in [INTEGER, SEQUENCE, SEQUENCE] {
        let (_, _, after) = element(rest).filter(|(tag, ..)| *tag == expected)?;
        rest = after;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (tag, from, after) = element(validity)?;
    let from = time(tag, from)?;
    let (tag, until, _) = element(after)?;
    Some((from, time(tag, until)?))
}

/// Tag and content of the first DER element, and what follows it.
pub fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(o, _)| o.len() <= 4)?;
        (octets.iter().fold(0usize, |sum, o| sum << 8 | usize::from(*o)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z").filter(|t| t.iter().all(u8::is_ascii_digit))?;
    let number = |d: &[u8]| d.iter().fold(0u64, |sum, d| sum * 10 + u64::from(d - b'0'));
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year), rest)
        }
        _ => return None,
    };
    let parts: Vec<u64> = rest.chunks(2).map(number).collect();
    let &[month @ 1..=12, day @ 1..=31, hour, minute, second] = parts.as_slice() else { return None };
    // What is from before 1970 has expired anyway.
    let days = days_since_1970(year, month, day).unwrap_or(0);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Of the Gregorian calendar, by counting years from March (a leap day is then the last of its year).
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    (of_years + (month * 153 + 2) / 5 + day - 1).checked_sub(719_468)
}

/// `2026-01-31`.
pub fn day(seconds: u64) -> String {
    let days = seconds / 86_400;
    // The year is found by trying, from a little too early on: this is for a sentence.
    let mut year = 1970 + days / 366;
    while days_since_1970(year + 1, 1, 1).is_some_and(|first| first <= days) {
        year += 1;
    }
    let is_over = |month: u64| days_since_1970(year, month + 1, 1).is_some_and(|first| first <= days);
    let month = (1..12).take_while(|month| is_over(*month)).count() as u64 + 1;
    let first = days_since_1970(year, month, 1).unwrap_or(days);
    format!("{year}-{month:02}-{:02}", days - first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        let rows: [(u8, &[u8], Option<u64>, &str); 6] = [
            (UTC_TIME, b"700101000000Z", Some(0), "1970-01-01"),
            (UTC_TIME, b"000301000000Z", Some(951_868_800), "2000-03-01"),
            (UTC_TIME, b"491231235959Z", Some(2_524_607_999), "2049-12-31"),
            (GENERALIZED_TIME, b"20240229120000Z", Some(1_709_208_000), "2024-02-29"),
            (GENERALIZED_TIME, b"20241329120000Z", None, ""),
            (UTC_TIME, b"000301000000+0100", None, ""),
        ];
        for (tag, text, want, shown) in rows {
            let got = time(tag, text);
            assert_eq!(got, want, "{}", String::from_utf8_lossy(text));
            assert_eq!(got.map_or(String::new(), day), shown);
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for octets in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", b"\x30\x80\x00\x00"] {
            assert_eq!(validity(octets), None);
        }
    }
}
