//! Caps against toll fraud: how many calls to a class of destinations, at once and in an hour, and what they may cost.
//!
//! A leg by a trunk is counted when it is placed and priced when it ends; one that goes on counts with what it has cost so far. What
//! goes on is not cut: `limits.call_duration` and a dial's `time_limit` bound that.

use super::call::Call;
use super::lcr::Priced;
use super::world::World;
use crate::b2bua::leg::Peer;
use crate::base::time::{Duration, Instant};
use crate::config::{Config, Per, Toll};
use crate::event::{Fact, Side, What};
use crate::rates::{Money, Rate};
use crate::sip::dialog::Tag;
use crate::verb::Hours;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Users and trunks that are counted for all caps together; those that have had no call for an hour make room.
const KEYS_MAX: usize = 65_536;
/// An hour is told in parts of five minutes.
const SLOT: Duration = Duration::from_secs(300);
const SLOTS: usize = 12;
/// A cap that is passed is told again after so long.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Calls and money of an hour.
#[derive(Clone, Debug, Default)]
struct Hour([(u64, u32, u64); SLOTS]);

impl Hour {
    fn slot(now: Instant) -> u64 {
        now.as_micros() / SLOT.as_micros() as u64
    }

    fn add(&mut self, now: Instant, calls: u32, spent: Money) {
        let slot = Hour::slot(now);
        let Some(place) = self.0.get_mut(slot as usize % SLOTS) else { return };
        if place.0 != slot {
            *place = (slot, 0, 0);
        }
        (place.1, place.2) = (place.1.saturating_add(calls), place.2.saturating_add(spent.0));
    }

    fn sum(&self, now: Instant) -> (u32, u64) {
        let slot = Hour::slot(now);
        let recent = self.0.iter().filter(|(s, ..)| slot - *s.min(&slot) < SLOTS as u64);
        recent.fold((0, 0), |(calls, spent), (_, c, s)| (calls.saturating_add(*c), spent.saturating_add(*s)))
    }
}

#[derive(Debug, Default)]
struct Usage {
    calls: u32,
    hour: Hour,
    /// What goes on: since when it is answered, and its rate.
    running: BTreeMap<Tag, (Option<Instant>, Option<Arc<Rate>>)>,
    told: Option<Instant>,
}

impl Usage {
    fn spent(&self, now: Instant) -> u64 {
        let cost = |(answered, rate): &(Option<Instant>, Option<Arc<Rate>>)| match (answered, rate) {
            (Some(at), Some(rate)) => rate.cost(now.since(*at).max(Duration::from_micros(1))).0,
            _ => 0,
        };
        self.running.values().fold(self.hour.sum(now).1, |sum, leg| sum.saturating_add(cost(leg)))
    }
}

pub type Key = (usize, String);

/// A cap that a call would pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    pub toll: String,
    pub whose: String,
    pub why: String,
    pub stops: bool,
    pub status: u16,
    /// It is time to tell it.
    pub is_news: bool,
}

#[derive(Default)]
pub struct Tolls {
    tolls: Vec<(Toll, Option<Hours>)>,
    usage: BTreeMap<Key, Usage>,
    legs: BTreeMap<Tag, Vec<Key>>,
}

impl Tolls {
    pub fn new(config: &Config) -> Tolls {
        let mut tolls = Tolls::default();
        tolls.reload(config);
        tolls
    }

    /// New caps; one that keeps its name keeps what it has counted.
    pub fn reload(&mut self, config: &Config) {
        let old: Vec<String> = self.tolls.iter().map(|(toll, _)| toll.name.clone()).collect();
        // Hours that cannot be read have been refused with the configuration.
        let hours = |toll: &Toll| Hours::parse(toll.hours.as_deref()?, &config.lcr.timezone).ok();
        self.tolls = config.tolls.iter().map(|toll| (toll.clone(), hours(toll))).collect();
        let place = |old_place: usize| {
            let name = old.get(old_place)?;
            self.tolls.iter().position(|(toll, _)| toll.name == *name)
        };
        let moved = |(at, whose): Key| Some((place(at)?, whose));
        self.usage =
            std::mem::take(&mut self.usage).into_iter().filter_map(|(key, usage)| Some((moved(key)?, usage))).collect();
        for keys in self.legs.values_mut() {
            *keys = std::mem::take(keys).into_iter().filter_map(moved).collect();
        }
    }

    /// The first cap that one more call would pass, and the caps that it counts for.
    fn passed(
        &mut self,
        now: crate::base::time::Now,
        number: &str,
        (source, trunk): (&str, &str),
    ) -> (Option<Passed>, Vec<Key>) {
        let digits = number.trim_start_matches('+');
        let (mut keys, mut found) = (Vec::new(), None);
        for (at, (toll, hours)) in self.tolls.iter().enumerate() {
            let begins = |prefixes: &[String]| prefixes.iter().any(|p| digits.starts_with(p.as_str()));
            if !toll.prefixes.is_empty() && !begins(&toll.prefixes) || begins(&toll.except) {
                continue;
            }
            let whose = match toll.per {
                Per::Source => source,
                Per::Trunk => trunk,
                Per::All => "all",
            };
            let key = (at, whose.to_owned());
            let usage = self.usage.get_mut(&key);
            keys.push(key);
            if hours.as_ref().is_some_and(|h| !h.contains(now.wall)) {
                continue;
            }
            let (calls, hour) = usage.as_ref().map_or((0, 0), |u| (u.calls, u.hour.sum(now.mono).0));
            let spent = usage.as_ref().map_or(0, |u| u.spent(now.mono));
            let why = match toll {
                Toll { calls: Some(most), .. } if calls >= *most => format!("{calls} calls at once"),
                Toll { calls_per_hour: Some(most), .. } if hour >= *most => format!("{hour} calls in an hour"),
                Toll { spend_per_hour: Some(most), .. } if spent >= *most => format!("{} in an hour", Money(spent)),
                _ => continue,
            };
            let is_news = match usage {
                Some(usage) => {
                    let is_news = usage.told.is_none_or(|told| now.mono.since(told) >= TOLD_AGAIN);
                    if is_news {
                        usage.told = Some(now.mono);
                    }
                    is_news
                }
                None => true,
            };
            let passed = Passed {
                toll: toll.name.clone(),
                whose: whose.to_owned(),
                why,
                stops: toll.stops,
                status: toll.status,
                is_news,
            };
            // One that refuses weighs more than one that tells.
            if found.as_ref().is_none_or(|f: &Passed| passed.stops && !f.stops) {
                found = Some(passed);
            }
        }
        (found, keys)
    }

    /// A leg is placed that counts for these caps.
    pub fn place(&mut self, now: Instant, leg: Tag, keys: Vec<Key>, priced: Option<&Priced>) {
        let rate = priced.and_then(|p| p.rate.as_ref());
        if keys.is_empty() {
            return;
        }
        if self.usage.len() + keys.len() > KEYS_MAX {
            self.usage.retain(|_, u| u.calls > 0 || u.hour.sum(now).0 > 0);
        }
        for key in &keys {
            let usage = self.usage.entry(key.clone()).or_default();
            usage.calls += 1;
            usage.hour.add(now, 1, Money(0));
            usage.running.insert(leg, (None, rate.cloned()));
        }
        self.legs.insert(leg, keys);
    }

    /// A leg has been answered.
    pub fn answered(&mut self, now: Instant, leg: Tag) {
        for key in self.legs.get(&leg).into_iter().flatten() {
            if let Some(running) = self.usage.get_mut(key).and_then(|u| u.running.get_mut(&leg)) {
                running.0.get_or_insert(now);
            }
        }
    }

    /// A leg is over.
    pub fn ended(&mut self, now: Instant, leg: Tag) {
        for key in self.legs.remove(&leg).into_iter().flatten() {
            let Some(usage) = self.usage.get_mut(&key) else { continue };
            usage.calls = usage.calls.saturating_sub(1);
            if let Some((Some(at), Some(rate))) = usage.running.remove(&leg) {
                usage.hour.add(now, 0, rate.cost(now.since(at)));
            }
        }
    }
}

impl Call {
    /// Whether caps let a leg to a number by a trunk go out: `Err` is the status with which it is refused.
    pub fn toll(&mut self, w: &mut World, trunk: &str, priced: &Priced) -> Result<Vec<Key>, u16> {
        let source = match &self.source {
            Peer::User(name) => format!("user {name}"),
            Peer::Trunk(name) => format!("trunk {name}"),
            Peer::Uri(_) => "others".to_owned(),
        };
        let (passed, keys) = w.tolls.passed(w.now, &priced.number, (&source, &format!("trunk {trunk}")));
        let Some(passed) = passed else { return Ok(keys) };
        let Passed { toll, whose, why, stops, status, is_news } = passed;
        let what = if stops { format!("refused with {status}") } else { "it goes on".to_owned() };
        self.note(w, Side::Call, What::Note(format!("toll {toll}: {whose} has had {why}: {what}").into()));
        w.counters.tolls_passed += 1;
        if is_news {
            w.fact(Fact::TollPassed { call: self.id, toll, whose, why, refused: stops });
        }
        if stops { Err(status) } else { Ok(keys) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Now, Wall};
    use crate::config::NoSecrets;
    use crate::rates::Card;
    use crate::verb::parse_moment;

    fn tolls(text: &str) -> Tolls {
        let trunk = "trunks: [ { name: t, context: c, inbound: 10.0.0.1, rates: r.csv } ]";
        Tolls::new(&Config::read("t", &format!("tolls: [ {text} ]\n{trunk}\n"), &NoSecrets).expect("caps").config)
    }

    fn now(s: u64, wall: &str) -> Now {
        Now { mono: Instant::ZERO + Duration::from_secs(100_000 + s), wall: parse_moment(wall).unwrap_or(Wall(0)) }
    }

    const DAY: &str = "2026-11-23T12:00:00Z";
    const NIGHT: &str = "2026-11-23T23:30:00Z";

    fn tag(n: u64) -> Tag {
        Tag::parse(&format!("{n:016x}")).expect("a tag")
    }

    /// Why one more call is refused; else it is counted.
    fn call(t: &mut Tolls, n: u64, now: Now, number: &str, source: &str, rate: Option<&Arc<Rate>>) -> String {
        let (passed, keys) = t.passed(now, number, (source, "t"));
        match passed {
            Some(passed) => format!("{}: {}", passed.toll, passed.why),
            None => {
                let priced = Priced { number: String::new(), rate: rate.cloned() };
                t.place(now.mono, tag(n), keys, Some(&priced));
                String::new()
            }
        }
    }

    #[test]
    fn classes_are_told_by_prefix_and_counted_by_source() {
        let mut t = tolls("{ name: far, prefixes: [\"+1900\", \"44\"], except: \"4420\", calls: 1 }");
        for (n, number, source, want) in [
            (1, "+19005550100", "alice", ""),
            (2, "+19005550100", "alice", "far: 1 calls at once"),
            (3, "+447000", "alice", "far: 1 calls at once"),
            (4, "+442071234", "alice", ""),
            (5, "+12125550100", "alice", ""),
            (6, "19005550100", "bob", ""),
        ] {
            assert_eq!(call(&mut t, n, now(0, DAY), number, source, None), want, "{number} {source}");
        }
        t.ended(now(1, DAY).mono, tag(1));
        assert_eq!(call(&mut t, 7, now(1, DAY), "+1900", "alice", None), "");
    }

    #[test]
    fn an_hour_is_counted_and_passes() {
        let mut t = tolls("{ name: h, calls_per_hour: 2, per: all }");
        assert_eq!(call(&mut t, 1, now(0, DAY), "1", "a", None), "");
        assert_eq!(call(&mut t, 2, now(1_800, DAY), "2", "b", None), "");
        assert_eq!(call(&mut t, 3, now(3_000, DAY), "3", "c", None), "h: 2 calls in an hour");
        assert_eq!(call(&mut t, 4, now(3_900, DAY), "4", "d", None), "");
    }

    #[test]
    fn spend_counts_what_goes_on_and_what_is_over() {
        let card = Card::read("c", "prefix,price\n1,0.60\n", "UTC").expect("a card");
        let rate = card.lookup("1", Wall(0)).expect("a rate").clone();
        let mut t = tolls("{ name: s, spend_per_hour: 1.00 }");
        assert_eq!(call(&mut t, 1, now(0, DAY), "1", "a", Some(&rate)), "");
        // It rings.
        assert_eq!(call(&mut t, 2, now(300, DAY), "1", "a", Some(&rate)), "");
        t.answered(now(300, DAY).mono, tag(1));
        assert_eq!(call(&mut t, 3, now(390, DAY), "1", "a", Some(&rate)), "");
        assert_eq!(call(&mut t, 4, now(400, DAY), "1", "a", Some(&rate)), "s: 1.0000 in an hour");
        t.ended(now(410, DAY).mono, tag(1));
        assert_eq!(call(&mut t, 5, now(420, DAY), "1", "a", Some(&rate)), "s: 1.1000 in an hour");
        assert_eq!(call(&mut t, 6, now(4_100, DAY), "1", "a", Some(&rate)), "");
    }

    #[test]
    fn a_night_rule_holds_at_night_and_an_alert_refuses_nothing() {
        let mut t = tolls("{ name: night, calls: 0, hours: \"20:00-07:00\" }, { name: told, calls: 0, then: alert }");
        let passed = |t: &mut Tolls, s: u64, wall: &str| {
            let found = t.passed(now(s, wall), "1", ("a", "t")).0;
            found.map(|p| (p.toll, p.stops, p.is_news)).unwrap_or_default()
        };
        assert_eq!(passed(&mut t, 0, NIGHT), ("night".to_owned(), true, true));
        assert_eq!(passed(&mut t, 0, DAY), ("told".to_owned(), false, true));
        let keys = t.passed(now(0, DAY), "1", ("a", "t")).1;
        t.place(now(0, DAY).mono, tag(1), keys, None);
        assert_eq!(passed(&mut t, 1, DAY), ("told".to_owned(), false, true));
        assert_eq!(passed(&mut t, 2, DAY), ("told".to_owned(), false, false));
        assert_eq!(passed(&mut t, 62, DAY), ("told".to_owned(), false, true));
    }
}
