//! How much of what is new is taken while we are late.
//!
//! Messages wait in one queue, and the shell says how long the one that it hands over has waited. That is the whole signal: where a queue
//! stands for as long as `sip.guard.late`, a share of new requests is refused that grows with the wait. So the queue settles where what is
//! taken is what can be carried; it is never empty meanwhile, so nothing of our time is idle, and it is short, so nobody waits for long.

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

const ALL: u128 = 1_000_000;
/// A wait below this part of the limit is the ordinary unevenness of arrivals, and nothing is refused.
const FLOOR: u32 = 10;
/// At this part of it all is refused.
const CEILING: u32 = 2;
/// A queue that has stood is watched for so long after it was gone: it will be back.
const WATCHED_FOR: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Load {
    late: Duration,
    told: Instant,
    /// Since when the wait has always been above the floor.
    stands: Option<Instant>,
    /// Until when a queue need not stand first.
    watched: Option<Instant>,
}

impl Load {
    pub const fn new(now: Instant) -> Load {
        Load { late: Duration::ZERO, told: now, stands: None, watched: None }
    }

    /// What is handed over now has waited so long; `limit` is how long a queue may stand before anything is refused, zero for ever.
    pub fn told(&mut self, now: Instant, late: Duration, limit: Duration) {
        // What was told long ago says nothing of the time between.
        if late <= limit / FLOOR || now.since(self.told) > limit {
            self.stands = None;
        }
        (self.late, self.told) = (late, now);
        if late > limit / FLOOR && now.since(*self.stands.get_or_insert(now)) >= limit {
            self.watched = Some(now + WATCHED_FOR);
        }
    }

    /// Whether any new request may be refused.
    pub fn sheds(&self, now: Instant, limit: Duration) -> bool {
        let is_late = self.late > limit / FLOOR && now.since(self.told) <= limit;
        is_late && !limit.is_zero() && self.watched.is_some_and(|until| now < until)
    }

    /// Whether one more new request is taken, where [`Load::sheds`] said yes.
    pub fn admits(&self, limit: Duration, rng: &mut Rng) -> bool {
        let (floor, ceiling) = (limit / FLOOR, limit / CEILING);
        let above = self.late.saturating_sub(floor).as_micros() * ALL;
        let refused = above / ceiling.saturating_sub(floor).as_micros().max(1);
        u128::from(rng.below(ALL as u64)) >= refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const LIMIT: Duration = Duration::from_millis(100);

    /// A second holds 100,000 units of work; a request that is refused costs two of them, one that is taken 20 at once and 20 by a message
    /// 50 ms later, and `offered` come in a second. Of the ten seconds after the first: how much is taken a second, and the longest wait
    /// in ms.
    fn served(offered: u64) -> (u64, u64) {
        let (mut load, mut rng) = (Load::new(Instant::ZERO), Rng::from_seed(2));
        // When each came, and whether it is new.
        let mut queue: VecDeque<(u64, bool)> = VecDeque::new();
        let mut later: VecDeque<u64> = VecDeque::new();
        let (mut arrived, mut done, mut longest, mut debt) = (0u64, 0u64, 0u64, 0u64);
        for ms in 1..=11_000u64 {
            let now = Instant::ZERO + Duration::from_millis(ms);
            while arrived < offered * ms / 1_000 {
                arrived += 1;
                queue.push_back((ms, true));
            }
            while later.pop_front_if(|at| *at <= ms).is_some() {
                queue.push_back((ms, false));
            }
            debt = debt.saturating_sub(100);
            while debt < 100 {
                let Some((came, is_new)) = queue.pop_front() else { break };
                load.told(now, Duration::from_millis(ms - came), LIMIT);
                longest = longest.max(ms - came);
                let taken = is_new && (!load.sheds(now, LIMIT) || load.admits(LIMIT, &mut rng));
                debt += if taken || !is_new { 20 } else { 2 };
                if taken {
                    done += u64::from(ms > 1_000);
                    later.push_back(ms + 50);
                }
            }
            if queue.is_empty() {
                load.told(now, Duration::ZERO, LIMIT);
            }
        }
        (done / 10, longest)
    }

    #[test]
    fn what_is_taken_stays_near_what_can_be_and_the_queue_stays_short() {
        for (offered, least, most, wait) in [
            (1_000, 1_000, 1_000, 5),
            (2_400, 2_400, 2_400, 60),
            (3_000, 2_400, 2_500, 120),
            (5_000, 2_300, 2_500, 150),
            (10_000, 2_000, 2_500, 200),
        ] {
            let (taken, longest) = served(offered);
            assert!((least..=most).contains(&taken), "{offered} offered: {taken} taken");
            assert!(longest <= wait, "{offered} offered: {longest} ms of waiting");
        }
    }

    #[test]
    fn only_a_queue_that_stands_is_refused_from() {
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let mut load = Load::new(Instant::ZERO);
        // (when, how late what comes then is, whether any is refused)
        for (ms, late_ms, want) in [
            (0, 0, false),
            // A pause of ours leaves much at once; the queue is gone soon.
            (1_000, 300, false),
            (1_050, 200, false),
            (1_099, 20, false),
            (1_110, 10, false),
            (1_120, 20, false),
            (1_170, 20, false),
            (1_219, 20, false),
            (1_220, 20, true),
            (1_230, 10, false),
            // It stood a moment ago.
            (1_400, 11, true),
            (2_300, 20, false),
            (2_399, 20, false),
            // Nothing came for a while.
            (2_500, 20, false),
            (2_590, 20, false),
            (2_600, 20, true),
        ] {
            load.told(at(ms), Duration::from_millis(late_ms), LIMIT);
            assert_eq!(load.sheds(at(ms), LIMIT), want, "at {ms} ms");
            assert!(!load.sheds(at(ms), Duration::ZERO), "0s never refuses");
        }
    }
}
