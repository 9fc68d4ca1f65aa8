//! How late packets come: the lower edge of their transit, and how far beyond it nearly all of them stay.

use crate::base::time::{Duration, Instant};
use codecs::cache::fetch;

/// Width of a bin in microseconds.
const BIN_US: i64 = 2_500;
/// Lateness is told apart up to 160 ms.
const BINS: usize = 64;
/// A packet weighs so much; earlier ones lose a part in 2⁸ at each: 5 s of memory at 20 ms a packet.
const WEIGHT: u32 = 1 << 16;
const FORGET: u32 = 8;
/// In a pause, while none has been as late as is provided for during the last two to four seconds: 0.6 s. A storm that is over
/// costs delay for some seconds then, not for half a minute.
const FORGET_QUIET: u32 = 5;
const CALM: Duration = Duration::from_secs(2);
/// Packets in a thousand that may be later than the target.
const LATE_PER_MILLE: u64 = 10;
/// The lower edge is that of the last one to two of these: two clocks that differ by 100 ppm part by 1 ms in 10 s.
const EDGE: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Delay {
    bins: [u32; BINS],
    /// Least transit in microseconds, in the period before and in this.
    edges: [i64; 2],
    edge_until: Instant,
    /// Most lateness in microseconds, in the period before and in this.
    peaks: [i64; 2],
    peak_until: Instant,
    target_us: i64,
}

impl Default for Delay {
    fn default() -> Delay {
        Delay::new()
    }
}

impl Delay {
    const fn new() -> Delay {
        Delay {
            bins: [0; BINS],
            edges: [i64::MAX; 2],
            edge_until: Instant::ZERO,
            peaks: [i64::MAX; 2],
            peak_until: Instant::ZERO,
            target_us: BIN_US,
        }
    }

    /// [`Delay::target_us`] is about to be asked for.
    #[inline]
    pub fn foresee_target(&self) {
        fetch(&self.target_us);
    }

    /// Transit of the fastest packets, in microseconds of the receiver's clock against the sender's; `None` at the start.
    pub fn edge_us(&self) -> Option<i64> {
        Some(self.edges[0].min(self.edges[1])).filter(|edge| *edge != i64::MAX)
    }

    /// How long a packet of the fastest is to wait, so that nearly all others are in time; 2.5 to 160 ms.
    pub const fn target_us(&self) -> i64 {
        self.target_us
    }

    /// Takes a packet's transit and returns by how much it is later than the fastest.
    /// `quiet`: it is heard in a pause.
    pub fn packet(&mut self, now: Instant, transit_us: i64, quiet: bool) -> i64 {
        if now >= self.edge_until {
            self.edges = [self.edges[1], i64::MAX];
            self.edge_until = now + EDGE;
        }
        self.edges[1] = self.edges[1].min(transit_us);
        let late_us = transit_us - self.edge_us().unwrap_or(transit_us);
        if now >= self.peak_until {
            self.peaks = [self.peaks[1], 0];
            self.peak_until = now + CALM;
        }
        self.peaks[1] = self.peaks[1].max(late_us);
        let calm = self.peaks[0].max(self.peaks[1]).saturating_add(BIN_US) < self.target_us;
        let forget = if quiet && calm { FORGET_QUIET } else { FORGET };
        let place = usize::try_from(late_us / BIN_US).unwrap_or(0).min(BINS - 1);
        for (n, bin) in self.bins.iter_mut().enumerate() {
            *bin -= *bin >> forget;
            *bin += if n == place { WEIGHT } else { 0 };
        }
        self.target_us = self.quantile();
        late_us
    }

    /// The way begins anew: its edge is the next packet's. How its packets scatter is still known.
    pub fn restart(&mut self) {
        self.edges = [i64::MAX; 2];
    }

    /// The whole way has become longer by `by_us`: what was seen to be later than that was no scatter.
    pub fn moved(&mut self, by_us: i64) {
        let by = usize::try_from(by_us / BIN_US).unwrap_or(0).min(BINS - 1);
        for from in by.max(1)..BINS {
            let weight = self.bins.get_mut(from).map_or(0, std::mem::take);
            if let Some(bin) = self.bins.get_mut(from - by.max(1)) {
                *bin += weight;
            }
        }
        self.target_us = self.quantile();
    }

    /// The upper edge of the bin that holds the quantile.
    fn quantile(&self) -> i64 {
        let sum: u64 = self.bins.iter().map(|b| u64::from(*b)).sum();
        let allowed = sum * LATE_PER_MILLE / 1_000;
        let mut later = 0;
        for (n, bin) in self.bins.iter().enumerate().rev() {
            later += u64::from(*bin);
            if later > allowed {
                return (n as i64 + 1) * BIN_US;
            }
        }
        BIN_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Feeds `count` packets of 20 ms, each late by what `late` says; the target in milliseconds.
    fn target(count: u64, mut late: impl FnMut(u64) -> u64) -> f64 {
        let mut delay = Delay::new();
        for n in 0..count {
            delay.packet(Instant::from_micros(n * 20_000), 5_000_000 + late(n) as i64, false);
        }
        delay.target_us() as f64 / 1_000.0
    }

    #[test]
    fn the_target_holds_nearly_all() {
        let mut rng = Rng::from_seed(3);
        assert_eq!(target(1, |_| 0), 2.5);
        assert_eq!(target(1_000, |_| 0), 2.5);
        assert_eq!(target(1_000, |n| if n % 10 == 0 { 41_000 } else { 0 }), 42.5);
        assert!((35.0..=42.5).contains(&target(1_000, |_| rng.below(40_000))));
        assert_eq!(target(2_000, |n| if n < 500 { n % 9 * 10_000 } else { 0 }), 2.5, "what was is forgotten");
        assert_eq!(target(1_000, |_| 0).max(target(500, |n| if n > 400 { 900_000 } else { 0 })), 160.0);
    }

    #[test]
    fn what_a_storm_added_goes_in_the_first_pause() {
        // Three seconds of packets up to 100 ms late, then a calm network; how long until the target is below 10 ms.
        let calm_after = |quiet: bool| {
            let (mut delay, mut rng) = (Delay::new(), Rng::from_seed(9));
            let mut feed = |n: u64, late| {
                delay.packet(Instant::from_micros(n * 20_000), 5_000_000 + late as i64, quiet);
                delay.target_us()
            };
            let stormy = (0..150).map(|n| feed(n, rng.below(100_000))).last();
            assert!(stormy.is_some_and(|us| us > 90_000));
            let packets = (150..3_000).take_while(|n| feed(*n, 0) > 10_000).count();
            packets as f64 / 50.0
        };
        assert!((15.0..26.0).contains(&calm_after(false)), "{}", calm_after(false));
        assert!((2.0..7.0).contains(&calm_after(true)), "{}", calm_after(true));
    }

    #[test]
    fn a_pause_forgets_nothing_that_goes_on() {
        let (mut delay, mut rng) = (Delay::new(), Rng::from_seed(10));
        let mut below = 0;
        for n in 0..30_000u64 {
            // One packet in twenty is 40 ms late, also while nobody speaks.
            let late = if rng.below(20) == 0 { 40_000 } else { 0 };
            delay.packet(Instant::from_micros(n * 20_000), 5_000_000 + late, n % 200 > 100);
            below += u64::from(n > 500 && delay.target_us() < 40_000);
        }
        assert!(below < 300, "{below} of 30,000");
    }

    #[test]
    fn the_edge_follows_a_clock_that_runs_apart() {
        let mut delay = Delay::new();
        for n in 0..180_000i64 {
            // An hour at 100 ppm.
            let late = delay.packet(Instant::from_micros(n as u64 * 20_000), 1_000_000 + 2 * n, false);
            assert!((0..=1_002).contains(&late), "{n}: {late}");
        }
        assert_eq!(delay.target_us(), 2_500);
    }
}
