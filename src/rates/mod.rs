//! What a trunk's calls cost: rate cards by prefix and time, and the order in which trunks are tried for a number.

mod csv;
mod order;

pub use crate::base::money::Money;
pub use csv::{FAULTS_MAX, ROWS_MAX};
pub use order::{Asked, Candidate, Order, Standing};

use crate::base::time::{Duration, Wall};
use crate::verb::Hours;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One row of a card.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Leading digits of the number, without `+`.
    pub prefix: String,
    pub name: String,
    /// A minute.
    pub price: Money,
    /// A call, once it is answered.
    pub setup: Money,
    /// The least that is charged for, and its steps from there on, seconds; steps of at least 1.
    pub minimum_s: u32,
    pub increment_s: u32,
    /// When in the week it holds; `None`: always.
    pub hours: Option<Arc<Hours>>,
    pub valid_from: Option<Wall>,
    pub valid_to: Option<Wall>,
    pub line: u32,
}

impl Rate {
    /// What a call of this length costs, from its answer; nothing if it had none (a length of zero).
    pub fn cost(&self, talked: Duration) -> Money {
        if talked.is_zero() {
            return Money(0);
        }
        let step = u128::from(self.increment_s.max(1));
        let seconds = talked.as_micros().div_ceil(1_000_000);
        let beyond = seconds.saturating_sub(u128::from(self.minimum_s)).div_ceil(step) * step;
        let charged = u128::from(self.minimum_s) + beyond;
        let talk = (charged * u128::from(self.price.0)).div_ceil(60);
        Money(self.setup.0.saturating_add(u64::try_from(talk).unwrap_or(u64::MAX)))
    }

    fn holds(&self, at: Wall) -> bool {
        self.valid_from.is_none_or(|from| from <= at)
            && self.valid_to.is_none_or(|to| at < to)
            && self.hours.as_ref().is_none_or(|hours| hours.contains(at))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/min for {}", self.price, self.prefix)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        if let Some(hours) = &self.hours {
            write!(f, ", {hours}")?;
        }
        Ok(())
    }
}

/// A trunk's rates.
#[derive(Clone, Debug, Default)]
pub struct Card {
    by_prefix: BTreeMap<String, Vec<Arc<Rate>>>,
    digits_max: usize,
    rows: usize,
}

impl Card {
    /// The rate of the longest prefix of which a row holds at this time. Of its rows one with hours comes before one that always
    /// holds, then the one that became valid last, then the one that stands first.
    pub fn lookup(&self, number: &str, at: Wall) -> Option<&Arc<Rate>> {
        let digits: String = number.trim_start_matches('+').chars().take(self.digits_max).collect();
        let lengths = (0..=digits.len()).rev();
        lengths.filter_map(|n| self.by_prefix.get(digits.get(..n)?)).find_map(|rows| {
            let rank = |r: &&Arc<Rate>| (r.hours.is_some(), r.valid_from, std::cmp::Reverse(r.line));
            rows.iter().filter(|r| r.holds(at)).max_by_key(rank)
        })
    }

    pub const fn rows(&self) -> usize {
        self.rows
    }

    fn add(&mut self, rate: Rate) {
        self.rows += 1;
        self.digits_max = self.digits_max.max(rate.prefix.len());
        self.by_prefix.entry(rate.prefix.clone()).or_default().push(Arc::new(rate));
    }
}

/// All cards, by trunk.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    cards: BTreeMap<String, Card>,
}

impl Rates {
    pub fn insert(&mut self, trunk: &str, card: Card) {
        self.cards.insert(trunk.to_owned(), card);
    }

    pub fn card(&self, trunk: &str) -> Option<&Card> {
        self.cards.get(trunk)
    }

    pub fn lookup(&self, trunk: &str, number: &str, at: Wall) -> Option<&Arc<Rate>> {
        self.card(trunk)?.lookup(number, at)
    }

    pub fn cards(&self) -> impl Iterator<Item = (&str, &Card)> {
        self.cards.iter().map(|(trunk, card)| (trunk.as_str(), card))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verb::parse_moment;

    #[test]
    fn a_call_costs_by_its_minimum_and_its_steps() {
        let rate = |setup, minimum_s, increment_s| Rate {
            prefix: String::new(),
            name: String::new(),
            price: Money(60_000),
            setup: Money(setup),
            minimum_s,
            increment_s,
            hours: None,
            valid_from: None,
            valid_to: None,
            line: 1,
        };
        for (rate, talked_ms, want) in [
            (rate(0, 0, 1), 0, 0),
            (rate(0, 0, 1), 1, 1_000),
            (rate(0, 0, 1), 59_001, 60_000),
            (rate(0, 30, 6), 1_000, 30_000),
            (rate(0, 30, 6), 31_000, 36_000),
            (rate(0, 60, 60), 61_000, 120_000),
            (rate(5, 0, 60), 1_000, 60_005),
            (rate(5, 60, 60), 0, 0),
        ] {
            assert_eq!(rate.cost(Duration::from_millis(talked_ms)).0, want, "{rate:?} {talked_ms}");
        }
    }

    #[test]
    fn the_longest_prefix_that_holds_is_taken() {
        let text = "prefix,price,name,hours,valid_from,valid_to\n\
                    1,0.0100,US,,,\n1212,0.0080,New York,,,\n1212,0.0050,New York nights,20:00-06:00,,\n\
                    44,0.0200,UK,,,\n44,0.0150,UK new,,2026-12-01,\n4470,0.30,Personal,,,2026-12-01\n+49,0.02,DE,,,\n";
        let card = Card::read("c.csv", text, "UTC").expect("a card");
        let (day, night, later) = ("2026-11-23T12:00:00Z", "2026-11-23T23:00:00Z", "2026-12-24T12:00:00Z");
        for (number, at, want) in [
            ("+12125550100", day, Some(8_000)),
            ("12125550100", night, Some(5_000)),
            ("+13105550100", day, Some(10_000)),
            ("+447012345678", day, Some(300_000)),
            // What was valid until then has gone, and the shorter one has changed.
            ("+447012345678", later, Some(15_000)),
            ("+441234", day, Some(20_000)),
            ("4930", day, Some(20_000)),
            ("+33", day, None),
            ("", day, None),
            ("+4", day, None),
        ] {
            let at = parse_moment(at).expect("a moment");
            assert_eq!(card.lookup(number, at).map(|r| r.price.0), want, "{number}");
        }
        assert_eq!(card.rows(), 7);
    }
}
