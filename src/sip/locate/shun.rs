//! Hops that have failed: tried after the others until some time has passed, longer each time; who answers is forgiven.

use super::Hop;
use crate::base::time::{Duration, Instant};
use std::collections::BTreeMap;

const SHUNNED_MAX: usize = 1_024;
/// The first failure's time, and the longest; each further failure doubles it.
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);
/// Failures are forgotten when a hop has been let alone for so long after its time.
const FORGOTTEN: Duration = Duration::from_secs(600);

struct Shun {
    until: Instant,
    times: u32,
}

#[derive(Default)]
pub struct Shunned(BTreeMap<Hop, Shun>);

impl Shunned {
    pub fn failed(&mut self, now: Instant, hop: Hop, told: Option<Duration>) {
        let before = self.0.get(&hop);
        // Requests that were under way together have failed once.
        if before.is_some_and(|s| s.until > now) {
            return;
        }
        let times = before.filter(|s| now < s.until + FORGOTTEN).map_or(0, |s| s.times);
        let own = FIRST.saturating_mul(1 << times.min(8)).min(LONGEST);
        let until = now + told.unwrap_or(own).clamp(Duration::from_secs(1), LONGEST);
        if self.0.len() >= SHUNNED_MAX
            && !self.0.contains_key(&hop)
            && let Some(first) = self.0.iter().min_by_key(|(_, s)| s.until).map(|(h, _)| *h)
        {
            self.0.remove(&first);
        }
        self.0.insert(hop, Shun { until, times: times + 1 });
    }

    pub fn reached(&mut self, hop: Hop) {
        if !self.0.is_empty() {
            self.0.remove(&hop);
        }
    }

    pub fn contains(&self, now: Instant, hop: Hop) -> bool {
        self.0.get(&hop).is_some_and(|s| now < s.until)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::transport::Transport;
    use super::*;

    #[test]
    fn each_failure_shuns_for_longer_and_an_answer_or_time_forgives() {
        let mut shunned = Shunned::default();
        let hop = Hop { transport: Transport::Udp, address: ([10, 0, 0, 1], 5060).into() };
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let fail = |shunned: &mut Shunned, s: u64, told: Option<u64>| {
            shunned.failed(at(s), hop, told.map(Duration::from_secs));
            (1..2_000).find(|n| !shunned.contains(at(s + n), hop)).unwrap_or(0)
        };
        assert_eq!(fail(&mut shunned, 0, None), 30);
        shunned.failed(at(10), hop, None);
        assert!(!shunned.contains(at(30), hop), "what failed together counts once");
        assert_eq!(fail(&mut shunned, 40, None), 60);
        assert_eq!(fail(&mut shunned, 100, None), 120);
        assert_eq!(fail(&mut shunned, 2_000, None), 30, "forgotten");
        assert_eq!(fail(&mut shunned, 2_100, Some(5)), 5, "as it was told");
        shunned.failed(at(2_200), hop, None);
        shunned.reached(hop);
        assert!(!shunned.contains(at(2_200), hop));
        for n in 0..5_000u16 {
            shunned.failed(at(3_000), Hop { address: ([10, 0, 0, 1], n).into(), ..hop }, None);
        }
        assert_eq!(shunned.0.len(), SHUNNED_MAX);
    }
}
