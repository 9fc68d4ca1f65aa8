//! How much of what is new is taken while we are late.
//!
//! The queue before us stands when no turn takes all of it. A share of new requests is refused then that grows while it stands
//! and shrinks while it does not, a little at a time: so the queue stays short, and we are busy with what we have taken. Were all
//! refused at once until the queue is empty, half of the time would go into refusing.

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(10);
/// Steps after which the share is what it is anyway.
const STEPS_MAX: u128 = 200;
const ALL: u32 = 1_000_000;
/// In each step the share falls by a fortieth of itself, or rises by a hundredth of all: measured by `make bench` (overload), where
/// faster ones swing further and slower ones let the queue grow.
const FALL: u32 = 40;
const RISE: u32 = 100;
/// The least share that is taken.
const LEAST: u32 = ALL / 100;

#[derive(Debug)]
pub struct Load {
    late: Duration,
    /// The share that is taken, millionths.
    admitted: u32,
    stepped: Instant,
}

impl Load {
    pub const fn new(now: Instant) -> Load {
        Load { late: Duration::ZERO, admitted: ALL, stepped: now }
    }

    /// So late are we now; `limit` is how late we may be before anything is refused.
    pub fn told(&mut self, now: Instant, late: Duration, limit: Duration) {
        self.step(now, limit);
        self.late = late;
        if self.admitted == ALL && late > limit && !limit.is_zero() {
            let share = limit.as_micros() * u128::from(ALL) / late.as_micros().max(1);
            self.admitted = u32::try_from(share).unwrap_or(ALL).clamp(LEAST, ALL - 1);
            self.stepped = now;
        }
    }

    /// Whether any new request may be refused.
    pub fn sheds(&self, limit: Duration) -> bool {
        self.admitted < ALL && !limit.is_zero()
    }

    /// Whether one more new request is taken.
    pub fn admits(&mut self, now: Instant, limit: Duration, rng: &mut Rng) -> bool {
        self.step(now, limit);
        limit.is_zero() || self.admitted == ALL || rng.below(u64::from(ALL)) < u64::from(self.admitted)
    }

    fn step(&mut self, now: Instant, limit: Duration) {
        if self.admitted == ALL {
            return;
        }
        let steps = now.since(self.stepped).as_micros() / STEP.as_micros();
        if steps == 0 {
            return;
        }
        self.stepped = now;
        let stands = self.late > limit / 2;
        for _ in 0..steps.min(STEPS_MAX) {
            self.admitted = match stands {
                true => (self.admitted - self.admitted / FALL).max(LEAST),
                false => (self.admitted + ALL / RISE).min(ALL),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    /// A second holds 10,000 units of work; a request that is taken costs four, one that is refused a fifth of one, and `offered` come in a
    /// second. Of the ten seconds after the first: how much is taken a second, and the longest queue.
    fn served(offered: u64) -> (u64, u64) {
        let (mut load, mut rng) = (Load::new(Instant::ZERO), Rng::from_seed(2));
        let (mut arrived, mut waiting, mut done, mut longest) = (0u64, 0u64, 0u64, 0u64);
        let (mut behind, mut debt) = (None, 0u64);
        for ms in 1..=11_000u64 {
            let now = Instant::ZERO + Duration::from_millis(ms);
            let due = offered * ms / 1_000;
            waiting += due - arrived;
            arrived = due;
            debt = debt.saturating_sub(50);
            while waiting > 0 && debt < 50 {
                waiting -= 1;
                let taken = load.admits(now, LIMIT, &mut rng);
                debt += if taken { 20 } else { 1 };
                done += u64::from(taken && ms > 1_000);
            }
            longest = longest.max(waiting);
            // A turn takes 256 messages.
            behind = (waiting > 256).then(|| behind.unwrap_or(now));
            load.told(now, behind.map_or(Duration::ZERO, |since| now.since(since)), LIMIT);
        }
        (done / 10, longest)
    }

    #[test]
    fn what_is_taken_stays_near_what_can_be_and_the_queue_stays_short() {
        for (offered, least, most) in
            [(1_000, 1_000, 1_000), (2_400, 2_400, 2_400), (5_000, 2_150, 2_500), (10_000, 1_850, 2_500)]
        {
            let (taken, longest) = served(offered);
            assert!((least..=most).contains(&taken), "{offered} offered: {taken} taken");
            // Half a second of what comes.
            assert!(longest <= 256 + offered / 2, "{offered} offered: {longest} wait");
        }
    }
}
