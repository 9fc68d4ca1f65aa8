//! When a shard's thread looks at its packets. A waking costs more than relaying a packet (on a virtual machine several times
//! as much, and a timer that ends a sleep as much again), so packets are let gather: as many as come in the time that they may
//! wait. Counting them needs no timer, but a count waits for packets that may not come, so it ends after some milliseconds, and who
//! is disappointed counts no more for a while but rests by time.

use crate::base::time::{Duration, Instant};

/// Packets are counted over so long.
const WINDOW: Duration = Duration::from_millis(10);
/// What is passed on when it comes waits half of this in the mean.
const RELAY_SPAN: Duration = Duration::from_micros(215);
/// The same by the clock, where packets come in bursts or the kernel cannot count: the waking itself takes some 50 µs more.
const RELAY_REST: Duration = Duration::from_micros(120);
/// What waits for its pull from a jitter buffer anyway may wait here as well: the pull ends the wait. Digits and orders wait with
/// it. Where the system does not say when a packet came, it is less, or the jitter buffer would take the waiting for scatter.
const SOUND_SPAN: Duration = Duration::from_millis(10);
const SOUND_REST: Duration = Duration::from_millis(2);
/// What waits for the mixing of its room waits for that alone: more than come until then. Fifty members are one waking each 20 ms.
const MIX_SPAN: Duration = Duration::from_millis(30);
/// A count that is not reached ends so late. Shorter than the system's own tick (4 ms at 250 Hz) it needs a timer of its own.
const RELAY_PATIENCE: Duration = Duration::from_millis(4);
const SOUND_PATIENCE: Duration = Duration::from_millis(10);
const MIX_PATIENCE: Duration = Duration::from_millis(20);
/// Counts of a window that were not reached, and how long none is begun after so many.
const STRAYS_MAX: u32 = 2;
const DISTRUST: Duration = Duration::from_millis(500);
/// Packets that are let gather at most: a part of what there is room for.
const PACKETS_MAX: u64 = 128;

/// How a wait lets packets gather.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gather {
    /// So many end it; below 2 the first does.
    pub packets: u32,
    /// With a count: it ends after so long. Counting is for those who can: else it does not end before `rest`.
    pub patience: Duration,
    pub rest: Duration,
}

impl Gather {
    /// The first packet ends the wait.
    pub const NOT: Gather = Gather { packets: 0, patience: Duration::ZERO, rest: Duration::ZERO };

    pub const fn counts(self) -> bool {
        self.packets > 1
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Pace {
    begin: Instant,
    received: u64,
    relayed: u64,
    strays: u32,
    distrust: Instant,
    gather: Gather,
    /// By how much, in thousandths, a wait is to gather more than `gather` says, and what is left over of the waits before.
    more: u32,
    left: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        let (begin, distrust) = (Instant::ZERO, Instant::ZERO);
        Pace { begin, received: 0, relayed: 0, strays: 0, distrust, gather: Gather::NOT, more: 0, left: 0 }
    }
}

impl Pace {
    /// Before a wait. `received` and `relayed` are counted since the start; whether a room is mixed, and
    /// whether the kernel relays for us: what it leaves to us is not to wait either.
    pub fn plan(&mut self, now: Instant, (received, relayed): (u64, u64), (mixes, away): (bool, bool)) -> Gather {
        let passed = now.since(self.begin);
        if passed >= WINDOW {
            if self.strays >= STRAYS_MAX {
                self.distrust = now + DISTRUST;
            }
            let came = received.saturating_sub(self.received);
            // After a long sleep nothing is known of now.
            let came = if passed < WINDOW * 3 { came } else { 0 };
            (self.gather, self.more) =
                plan(came, passed, (relayed == self.relayed && !away, mixes), now < self.distrust);
            (self.begin, self.received, self.relayed, self.strays) = (now, received, relayed, 0);
        }
        self.left += self.more;
        if self.left < 1_000 || !self.gather.counts() {
            return self.gather;
        }
        self.left -= 1_000;
        Gather { packets: self.gather.packets + 1, ..self.gather }
    }

    /// After a wait that has taken `waited` and brought `packets`.
    pub fn waited(&mut self, waited: Duration, packets: usize) {
        let gather = self.gather;
        if gather.counts() && packets > 0 && packets < gather.packets as usize && waited >= gather.patience {
            self.strays += 1;
        }
    }
}

/// How a wait gathers, and how many thousandths of a packet more in the mean.
fn plan(came: u64, passed: Duration, (only_sound, mixes): (bool, bool), distrusted: bool) -> (Gather, u32) {
    let (span, rest, patience) = match (only_sound, mixes) {
        (true, true) => (MIX_SPAN, SOUND_REST, MIX_PATIENCE),
        (true, false) => (SOUND_SPAN, SOUND_REST, SOUND_PATIENCE),
        (false, _) => (RELAY_SPAN, RELAY_REST, RELAY_PATIENCE),
    };
    let share = span.as_secs_f64() / passed.as_secs_f64().max(1e-6);
    let thousandths = ((came as f64 * share * 1_000.0) as u64).min(PACKETS_MAX * 1_000) as u32;
    match thousandths / 1_000 {
        0 | 1 => (Gather::NOT, 0),
        _ if distrusted && !only_sound => (Gather { packets: 0, patience: Duration::ZERO, rest }, 0),
        packets => (Gather { packets, patience, rest }, thousandths % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The plan after `packets` of each 10 ms, of which `relayed` are passed on.
    fn after(pace: &mut Pace, packets: u64, relayed: u64) -> Gather {
        let from = pace.begin;
        for n in 1..=3 {
            pace.plan(from + ms(10 * n), (pace.received + packets, pace.relayed + relayed), (false, false));
        }
        pace.gather
    }

    #[test]
    fn a_part_of_a_packet_counts_in_the_mean() {
        let mut pace = Pace::default();
        after(&mut pace, 300, 300);
        let now = pace.begin + ms(1);
        let waits = (0..1_000).map(|_| pace.plan(now, (pace.received, pace.relayed), (false, false)).packets);
        assert!((6_448..=6_451).contains(&waits.sum::<u32>()));
    }

    #[test]
    fn so_many_gather_as_may_wait() {
        let relayed = |packets| Gather { packets, patience: RELAY_PATIENCE, rest: RELAY_REST };
        let sound = |packets| Gather { packets, patience: SOUND_PATIENCE, rest: SOUND_REST };
        for (packets, passed_on, expected) in [
            (0, 0, Gather::NOT),
            (80, 80, Gather::NOT),
            (100, 100, relayed(2)),
            (300, 300, relayed(6)),
            (300, 1, relayed(6)),
            (6_000, 6_000, relayed(128)),
            (1, 0, Gather::NOT),
            (2, 0, sound(2)),
            (25, 0, sound(25)),
            (500, 0, sound(128)),
        ] {
            assert_eq!(after(&mut Pace::default(), packets, passed_on), expected, "{packets} {passed_on}");
        }
    }

    #[test]
    fn a_room_is_waited_for() {
        let mut pace = Pace::default();
        for n in 1..=3 {
            pace.plan(pace.begin + ms(20), (n * 50, 0), (true, false));
        }
        let gather = Gather { packets: 75, patience: MIX_PATIENCE, rest: SOUND_REST };
        assert_eq!(pace.gather, gather, "the mixing comes before so many packets");
        pace.plan(pace.begin + ms(20), (200, 1), (true, false));
        assert_eq!(pace.gather, Gather::NOT, "what is passed on does not wait for it");
        pace.plan(pace.begin + ms(20), (250, 1), (true, true));
        assert_eq!(pace.gather, Gather::NOT, "nor what the kernel does not pass on");
    }

    #[test]
    fn who_waited_in_vain_rests_by_time_for_a_while() {
        let mut pace = Pace::default();
        let counting = after(&mut pace, 300, 300);
        assert!(counting.counts());
        for (waited, packets) in [(ms(4), 6), (ms(4), 0), (ms(3), 1), (ms(4), 5)] {
            pace.waited(waited, packets);
        }
        assert_eq!(after(&mut pace, 300, 300), counting, "one in vain is chance");
        (0..2).for_each(|_| pace.waited(ms(5), 1));
        let resting = after(&mut pace, 300, 300);
        assert_eq!((resting.counts(), resting.rest), (false, RELAY_REST));
        for _ in 0..20 {
            after(&mut pace, 300, 300);
        }
        assert_eq!(after(&mut pace, 300, 300), counting);
        let silent = pace.begin + ms(100);
        assert_eq!(
            pace.plan(silent, (pace.received + 3_000, pace.relayed + 3_000), (false, false)),
            Gather::NOT,
            "after a long sleep"
        );
    }
}
