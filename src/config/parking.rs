//! `parking`: the slots in which calls are parked.

use crate::base::time::Duration;
use crate::base::yaml::{Fields, Shape, Type, key};

/// The most slots.
const SLOTS_MAX: u32 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parking {
    first: u32,
    last: u32,
    /// Digits of each.
    width: usize,
    /// After it a parked call returns to whom it was parked by.
    pub timeout: Duration,
}

impl Default for Parking {
    fn default() -> Parking {
        Parking { first: 701, last: 720, width: 3, timeout: Duration::from_secs(60) }
    }
}

impl Parking {
    /// All slots, in order.
    pub fn slots(&self) -> impl Iterator<Item = String> + '_ {
        (self.first..=self.last).map(|slot| format!("{slot:0width$}", width = self.width))
    }

    pub fn has(&self, slot: &str) -> bool {
        let is_one = |n: u32| (self.first..=self.last).contains(&n);
        slot.len() == self.width && slot.bytes().all(|b| b.is_ascii_digit()) && slot.parse().is_ok_and(is_one)
    }

    /// As the configuration writes them.
    pub fn shown(&self) -> String {
        format!("{:0width$}-{:0width$}", self.first, self.last, width = self.width)
    }
}

pub static PARKING: Shape = Shape {
    name: "parking section",
    doc: "Slots for the dialplan's `park` and `retrieve`; phones watch one as they watch a user's line.",
    keys: &[
        key(
            "slots",
            Type::Form("two numbers of as many digits, such as 701-720, at most 1000 slots", is_slots),
            "701-720",
            "The slots.",
        ),
        key("timeout", Type::Duration, "60s", "After it a parked call returns to the user who parked it."),
    ],
    prefixed: None,
};

fn slots(text: &str) -> Option<(u32, u32, usize)> {
    let (first, last) = text.split_once('-')?;
    let fits = |t: &str| (1..=6).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    if !fits(first) || !fits(last) || first.len() != last.len() {
        return None;
    }
    let (from, to) = (first.parse().ok()?, last.parse().ok()?);
    (from <= to && to - from < SLOTS_MAX).then_some((from, to, first.len()))
}

fn is_slots(text: &str) -> bool {
    slots(text).is_some()
}

pub(super) fn read(f: &Fields<'_>) -> Parking {
    let usual = Parking::default();
    let (first, last, width) = f.text("slots").and_then(slots).unwrap_or((usual.first, usual.last, usual.width));
    let timeout = f.duration("timeout").unwrap_or(usual.timeout).max(Duration::from_secs(1));
    Parking { first, last, width, timeout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_numbers_of_one_length() {
        let rows = [
            ("701-720", Some(20)),
            ("01-12", Some(12)),
            ("7-7", Some(1)),
            ("720-701", None),
            ("99-101", None),
            ("1000-2000", None),
            ("a-b", None),
            ("701", None),
        ];
        for (text, count) in rows {
            assert_eq!(slots(text).map(|(first, last, _)| last - first + 1), count, "{text}");
        }
        let parking = Parking { first: 1, last: 12, width: 2, timeout: Duration::ZERO };
        assert!(
            parking.has("01") && parking.has("12") && !parking.has("1") && !parking.has("13") && !parking.has("+1")
        );
        assert_eq!(
            (parking.slots().count(), parking.slots().next(), parking.shown()),
            (12, Some("01".into()), "01-12".into())
        );
    }
}
