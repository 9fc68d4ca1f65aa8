//! Amounts of money as data.

use std::fmt;

/// Money: millionths of the configuration's currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Money(pub u64);

impl Money {
    /// `0.0125`: at most six decimals, less than ten million.
    pub fn parse(text: &str) -> Option<Money> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |t: &str, max: usize| t.len() <= max && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 7) || !digits(part, 6) || whole.is_empty() && part.is_empty() {
            return None;
        }
        let number = |t: &str| if t.is_empty() { Some(0) } else { t.parse::<u64>().ok() };
        Some(Money(number(whole)? * 1_000_000 + number(&format!("{part:0<6}"))?))
    }

    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Money {
    /// At least four decimals, without further zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1_000_000, format!("{:06}", self.0 % 1_000_000));
        let shown = part.trim_end_matches('0').len().max(4);
        write!(f, "{whole}.{}", part.get(..shown).unwrap_or(&part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_and_written() {
        for (text, want) in [
            ("0.0125", Some(12_500)),
            ("1", Some(1_000_000)),
            (".5", Some(500_000)),
            ("0.000001", Some(1)),
            ("12.", Some(12_000_000)),
            ("0.0000001", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
            (".", None),
            ("99999999", None),
        ] {
            assert_eq!(Money::parse(text).map(|m| m.0), want, "{text:?}");
        }
        for (micros, want) in [(12_500, "0.0125"), (1_000_000, "1.0000"), (1, "0.000001"), (10_000, "0.0100")] {
            assert_eq!(Money(micros).to_string(), want);
        }
    }
}
