//! A token bucket: so many events a second, with a burst of one second's worth.

use super::time::Instant;

/// Rate 0 lets everything through.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: u32,
    /// Millionths of an event.
    level: u64,
    filled: Instant,
}

impl Bucket {
    pub fn new(per_second: u32, now: Instant) -> Bucket {
        Bucket { per_second, level: u64::from(per_second) * 1_000_000, filled: now }
    }

    /// Takes one event's worth; false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let rate = u64::from(self.per_second);
        let gained = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX).saturating_mul(rate);
        self.level = self.level.saturating_add(gained).min(rate * 1_000_000);
        self.filled = now;
        if self.level < 1_000_000 {
            return false;
        }
        self.level -= 1_000_000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_through_its_rate_and_no_more() {
        let mut b = Bucket::new(10, Instant::ZERO);
        let passed = |b: &mut Bucket, at: u64| (0..20).filter(|_| b.take(Instant::from_micros(at))).count();
        assert_eq!(passed(&mut b, 0), 10);
        assert_eq!(passed(&mut b, 500_000), 5);
        assert_eq!(passed(&mut b, 60_000_000), 10);
        assert_eq!((0..100).filter(|_| Bucket::new(0, Instant::ZERO).take(Instant::ZERO)).count(), 100);
    }
}
