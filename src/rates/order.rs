//! Least-cost routing: which trunks are tried for a number, in which order, and why.

use super::{Money, Rate, Rates};
use crate::base::rng::Rng;
use crate::base::time::Wall;
use crate::config::Lcr;
use std::fmt;
use std::sync::Arc;

/// How well a trunk has done of late.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    #[default]
    Good,
    /// Below what `lcr.quality` asks for; why.
    Poor(String),
    /// Taken out; why.
    Out(String),
}

/// A trunk that may be tried.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    pub trunk: &'a str,
    /// Its share among trunks of one price; 0: after the others.
    pub weight: u32,
    pub standing: Standing,
}

/// What is asked for.
pub struct Asked<'a> {
    pub number: &'a str,
    pub at: Wall,
    /// No limit of price or quality holds, and a trunk without a rate is tried too.
    pub emergency: bool,
}

#[derive(Clone, Debug)]
struct Choice {
    trunk: String,
    weight: u32,
    rate: Option<Arc<Rate>>,
    standing: Standing,
}

impl Choice {
    /// What is put first: good before poor, poor before out.
    const fn rank(&self) -> u8 {
        match self.standing {
            Standing::Good => 0,
            Standing::Poor(_) => 1,
            Standing::Out(_) => 2,
        }
    }

    fn price(&self) -> Money {
        self.rate.as_ref().map_or(Money(u64::MAX), |r| r.price)
    }
}

/// Trunks in the order in which they are tried, and those that are not, with the reasons.
#[derive(Clone, Debug, Default)]
pub struct Order {
    chosen: Vec<Choice>,
    left_out: Vec<(String, String)>,
}

impl Order {
    /// Orders trunks by price; among those of one price by weight at random, or without `rng` the heavier first. What does
    /// not reach the quality that is asked for comes after all that does, and what is taken out is left out while another is there.
    pub fn of(rates: &Rates, lcr: &Lcr, asked: &Asked<'_>, trunks: Vec<Candidate<'_>>, rng: Option<&mut Rng>) -> Order {
        let mut order = Order::default();
        for Candidate { trunk, weight, standing } in trunks {
            let rate = rates.lookup(trunk, asked.number, asked.at).cloned();
            let dear = rate.as_ref().and_then(|r| lcr.max_price.filter(|max| r.price.0 > *max));
            let why = match (&rate, dear) {
                _ if asked.emergency => None,
                (None, _) => Some("no rate for the number".to_owned()),
                (Some(rate), Some(max)) => Some(format!("{rate} is dearer than {}", Money(max))),
                _ => None,
            };
            match why {
                Some(why) => order.left_out.push((trunk.to_owned(), why)),
                None => order.chosen.push(Choice { trunk: trunk.to_owned(), weight, rate, standing }),
            }
        }
        order.sort(asked.emergency, rng);
        order
    }

    fn sort(&mut self, emergency: bool, mut rng: Option<&mut Rng>) {
        let mut left = std::mem::take(&mut self.chosen);
        left.sort_by_key(|c| (c.rank(), c.price()));
        let some_are_in = left.iter().any(|c| c.rank() < 2);
        while let Some(first) = left.first().map(|c| (c.rank(), c.price())) {
            let same = left.iter().take_while(|c| (c.rank(), c.price()) == first).count();
            let weights = left.iter().take(same).map(|c| u64::from(c.weight));
            let total: u64 = weights.clone().sum();
            let pick = match rng.as_deref_mut().filter(|_| total > 0) {
                Some(rng) => {
                    let mut ticket = rng.below(total);
                    weights.clone().position(|w| {
                        let hit = ticket < w;
                        ticket = ticket.saturating_sub(w);
                        hit
                    })
                }
                None => weights.clone().enumerate().max_by_key(|(i, w)| (*w, std::cmp::Reverse(*i))).map(|(i, _)| i),
            };
            let choice = left.remove(pick.unwrap_or(0).min(left.len() - 1));
            match &choice.standing {
                Standing::Out(why) if some_are_in && !emergency => self.left_out.push((choice.trunk, why.clone())),
                _ => self.chosen.push(choice),
            }
        }
    }

    /// Trunks to try, the first first.
    pub fn trunks(&self) -> impl Iterator<Item = &str> {
        self.chosen.iter().map(|c| c.trunk.as_str())
    }
}

/// `1. acme 0.0080/min for 1212 New York; 2. beta …; not gamma: no rate for the number`
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.chosen.is_empty() {
            f.write_str("no trunk")?;
        }
        for (n, choice) in self.chosen.iter().enumerate() {
            let before = if n == 0 { "" } else { "; " };
            write!(f, "{before}{}. {}", n + 1, choice.trunk)?;
            match &choice.rate {
                Some(rate) => write!(f, " {rate}")?,
                None => f.write_str(" without a rate")?,
            }
            if let Standing::Poor(why) | Standing::Out(why) = &choice.standing {
                write!(f, " (behind the others: {why})")?;
            }
        }
        for (trunk, why) in &self.left_out {
            write!(f, "; not {trunk}: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Card;
    use super::*;

    fn rates() -> Rates {
        let mut rates = Rates::default();
        for (trunk, rows) in [("a", "44,0.02"), ("b", "44,0.01"), ("c", "44,0.01\n441,0.5"), ("d", "1,0.01")] {
            rates.insert(trunk, Card::read(trunk, &format!("prefix,price\n{rows}\n"), "UTC").expect("a card"));
        }
        rates
    }

    fn check(number: &str, weights: [u32; 4], standings: [Standing; 4], max: Option<u64>, emergency: bool) -> String {
        let trunks = ["a", "b", "c", "d"].into_iter().zip(weights).zip(standings);
        let trunks = trunks.map(|((trunk, weight), standing)| Candidate { trunk, weight, standing });
        let lcr = Lcr { max_price: max, ..Lcr::default() };
        let asked = Asked { number, at: Wall(0), emergency };
        Order::of(&rates(), &lcr, &asked, trunks.collect(), None).to_string()
    }

    #[test]
    fn the_cheapest_good_trunk_is_first() {
        use Standing::{Good, Out, Poor};
        let good = || [Good, Good, Good, Good];
        let (poor, out) = (|| Poor("MOS 2.9".into()), || Out("ASR 10 %".into()));
        for (got, want) in [
            (
                check("+4420", [1; 4], good(), None, false),
                "1. b 0.0100/min for 44; 2. c 0.0100/min for 44; 3. a 0.0200/min for 44; not d: no rate for the number",
            ),
            (
                check("+4420", [1, 1, 2, 1], good(), Some(10_000), false),
                "1. c 0.0100/min for 44; 2. b 0.0100/min for 44; not a: 0.0200/min for 44 is dearer than 0.0100; not d: no \
                 rate for the number",
            ),
            (
                check("+4412", [1; 4], [Good, poor(), Good, Good], None, false),
                "1. a 0.0200/min for 44; 2. c 0.5000/min for 441; 3. b 0.0100/min for 44 (behind the others: MOS 2.9); not \
                 d: no rate for the number",
            ),
            (
                check("+12", [1; 4], [Good, Good, Good, out()], None, false),
                "1. d 0.0100/min for 1 (behind the others: ASR 10 %); not a: no rate for the number; not b: no rate for \
                 the number; not c: no rate for the number",
            ),
            (
                check("+4420", [1; 4], [Good, out(), Good, Good], None, false),
                "1. c 0.0100/min for 44; 2. a 0.0200/min for 44; not d: no rate for the number; not b: ASR 10 %",
            ),
            (
                check("112", [1; 4], good(), Some(1), true),
                "1. d 0.0100/min for 1; 2. a without a rate; 3. b without a rate; 4. c without a rate",
            ),
        ] {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn trunks_of_one_price_share_by_weight() {
        let mut rng = Rng::from_seed(3);
        let mut first = [0; 2];
        for _ in 0..1_000 {
            let trunks = [("b", 1), ("c", 3)]
                .map(|(trunk, weight)| Candidate { trunk, weight, standing: Standing::Good })
                .to_vec();
            let asked = Asked { number: "4420", at: Wall(0), emergency: false };
            let order = Order::of(&rates(), &Lcr::default(), &asked, trunks, Some(&mut rng));
            let trunk = order.trunks().next().map(str::to_owned);
            first[usize::from(trunk.as_deref() == Some("c"))] += 1;
        }
        assert!((200..300).contains(&first[0]), "{first:?}");
    }
}
