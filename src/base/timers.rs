//! Deadlines as data: an ordered set of (moment, key). Nothing runs by itself; the owner asks what is due.

use super::time::Instant;
use std::collections::BTreeSet;

/// Timers keyed by `K`: at most one deadline a key is kept by the owner, who remembers the moment that it set.
///
/// Keys due at one moment come in `K`'s order, so two runs agree.
pub struct Timers<K>(BTreeSet<(Instant, K)>);

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Timers(BTreeSet::new())
    }
}

impl<K: Ord + Copy> Timers<K> {
    pub fn set(&mut self, at: Instant, key: K) {
        self.0.insert((at, key));
    }

    /// Removes what [`Timers::set`] put there, with the same moment.
    pub fn cancel(&mut self, at: Instant, key: K) -> bool {
        self.0.remove(&(at, key))
    }

    /// The next deadline and whose it is.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.0.first().copied()
    }

    /// Takes one key whose moment is at or before `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let first = *self.0.first().filter(|(at, _)| *at <= now)?;
        self.0.remove(&first);
        Some(first.1)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_come_in_order_and_cancelled_ones_never() {
        let at = Instant::from_micros;
        let mut t = Timers::default();
        t.set(at(30), 'c');
        t.set(at(10), 'a');
        t.set(at(20), 'b');
        assert!(t.cancel(at(20), 'b'));
        assert_eq!(t.pop_due(at(9)), None);
        assert_eq!((t.pop_due(at(40)), t.pop_due(at(40)), t.pop_due(at(40))), (Some('a'), Some('c'), None));
    }
}
