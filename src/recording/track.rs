//! One party's sound on the recording's line of time: packets are placed by their own clock, and that clock by the media clock.
//!
//! A packet's place follows from its timestamp. Where the timestamps' line lies is learned from arrivals: nothing is heard before
//! it arrives, so the packet that was least delayed in a second says it best. A line that is off by some milliseconds (clocks
//! that differ, a first packet that was late) is moved a sample a packet; one that is far off is laid anew.

/// Time kept open for packets that come late, in milliseconds; what is older is written.
pub const HOLD_MS: u64 = 240;
/// Room for what lies ahead of now, beyond [`HOLD_MS`], in milliseconds; a whole packet of 60 ms and a clock that is off.
const AHEAD_MS: u64 = 260;
/// Packets over which the least delay is taken.
const WINDOW: u32 = 50;
/// Packets in a row that find no room at their place until the line is laid anew.
const STRAYS_MAX: u8 = 5;

/// Where a packet stands in its sender's count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub ssrc: u32,
    pub timestamp: u32,
    /// Of timestamps, in Hz.
    pub clock_rate: u32,
}

/// Where the line of timestamps lies on ours.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    stamp: Stamp,
    position: i64,
}

/// Counted over a track's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Placed {
    pub packets: u64,
    /// Came later than [`HOLD_MS`], or lay too far ahead.
    pub strays: u64,
    /// How often the line was laid anew.
    pub anchors: u64,
}

/// See the module's documentation. Positions are samples since the recording's begin.
#[derive(Clone, Debug)]
pub struct Track {
    rate: u32,
    /// Samples by position, modulo its length, a power of two. Zero where nothing was placed.
    ring: Box<[i16]>,
    /// The first position that has not been taken.
    head: u64,
    anchor: Option<Anchor>,
    /// The least delay of this window, in samples, and how many packets it has seen.
    least: i64,
    seen: u32,
    /// Samples by which the line is still to be moved, one a packet; positive is later.
    slew: i64,
    /// The end of what was placed last.
    end: i64,
    strays: u8,
    placed: Placed,
}

impl Track {
    /// A track of `rate` samples a second.
    pub fn new(rate: u32) -> Track {
        let room = (HOLD_MS + AHEAD_MS) * u64::from(rate) / 1_000;
        Track {
            rate,
            ring: vec![0; (room as usize).next_power_of_two()].into(),
            head: 0,
            anchor: None,
            least: i64::MAX,
            seen: 0,
            slew: 0,
            end: 0,
            strays: 0,
            placed: Placed::default(),
        }
    }

    pub const fn placed(&self) -> Placed {
        self.placed
    }

    fn samples(&self, ms: i64) -> i64 {
        ms * i64::from(self.rate) / 1_000
    }

    /// Places a packet's sound, at this track's rate, that arrived at `arrival`.
    pub fn place(&mut self, arrival: u64, stamp: Stamp, sound: &[i16]) {
        let arrival = i64::try_from(arrival).unwrap_or(i64::MAX);
        let mut position = match self.position(stamp) {
            Some(position) => position,
            None => self.lay(arrival, stamp),
        };
        let last = position.saturating_add(sound.len() as i64);
        if last > self.head as i64 + self.ring.len() as i64 || position - arrival > self.samples(200) {
            // The sender's clock has leapt ahead: what it says is heard now.
            position = self.lay(arrival, stamp);
        } else if last <= self.head as i64 {
            self.strays += 1;
            self.placed.strays += 1;
            if self.strays < STRAYS_MAX {
                return;
            }
            position = self.lay(arrival, stamp);
        }
        self.strays = 0;
        self.placed.packets += 1;
        self.learn(arrival, position);
        self.write(position, sound);
        self.end = position.saturating_add(sound.len() as i64);
    }

    /// Where the line of timestamps says that a packet lies; `None` if there is no line for it.
    fn position(&mut self, stamp: Stamp) -> Option<i64> {
        let anchor = self.anchor.as_mut()?;
        if anchor.stamp.ssrc != stamp.ssrc || anchor.stamp.clock_rate != stamp.clock_rate {
            return None;
        }
        let units = i64::from(stamp.timestamp.wrapping_sub(anchor.stamp.timestamp) as i32);
        let position = anchor.position + units * i64::from(self.rate) / i64::from(stamp.clock_rate.max(1));
        // The anchor follows in whole seconds, so that timestamps may wrap and nothing is lost by rounding.
        let second = i64::from(stamp.clock_rate);
        if units >= second && second > 0 {
            let seconds = units / second;
            anchor.stamp.timestamp = anchor.stamp.timestamp.wrapping_add((seconds * second) as u32);
            anchor.position += seconds * i64::from(self.rate);
        }
        Some(position)
    }

    /// Lays the line so that this packet is heard when it arrives, not within what was heard last.
    fn lay(&mut self, arrival: i64, stamp: Stamp) -> i64 {
        let position = if self.end - arrival < self.samples(60) { arrival.max(self.end) } else { arrival };
        let position = position.max(self.head as i64);
        self.anchor = Some(Anchor { stamp, position });
        (self.least, self.seen, self.slew) = (i64::MAX, 0, 0);
        self.placed.anchors += 1;
        position
    }

    /// Learns from a packet's delay against the line, and moves the line.
    fn learn(&mut self, arrival: i64, position: i64) {
        self.least = self.least.min(arrival - position);
        self.seen += 1;
        if self.seen >= WINDOW {
            let off = self.least;
            (self.least, self.seen) = (i64::MAX, 0);
            // A line that is off by less is left: moving it is heard more than where it lies.
            self.slew = if off.abs() > self.samples(8) { off } else { 0 };
            if off.abs() > self.samples(30)
                && let Some(anchor) = &mut self.anchor
            {
                anchor.position += off;
                self.slew = 0;
                self.placed.anchors += 1;
            }
        }
        if self.slew != 0
            && let Some(anchor) = &mut self.anchor
        {
            anchor.position += self.slew.signum();
            self.slew -= self.slew.signum();
        }
    }

    fn write(&mut self, position: i64, sound: &[i16]) {
        let skip = usize::try_from(self.head as i64 - position).unwrap_or(0).min(sound.len());
        let Some(sound) = sound.get(skip..) else { return };
        // A gap of a sample between this packet and the one before is the line's moving, not a loss.
        if position == self.end + 1 && position > self.head as i64 {
            self.put(position - 1, sound.get(..1).unwrap_or_default());
        }
        self.put(position + skip as i64, sound);
    }

    fn put(&mut self, position: i64, sound: &[i16]) {
        let Ok(position) = u64::try_from(position) else { return };
        let start = position as usize & (self.ring.len() - 1);
        let first = sound.len().min(self.ring.len() - start);
        let (before, after) = sound.split_at(first);
        if let Some(place) = self.ring.get_mut(start..start + first) {
            place.copy_from_slice(before);
        }
        if let Some(place) = self.ring.get_mut(..after.len()) {
            place.copy_from_slice(after);
        }
    }

    /// Takes the next samples, zeros where nothing was placed.
    pub fn take(&mut self, out: &mut [i16]) {
        let start = self.head as usize & (self.ring.len() - 1);
        let first = out.len().min(self.ring.len() - start);
        let (before, after) = out.split_at_mut(first);
        for (place, out) in [(start..start + first, before), (0..after.len(), after)] {
            if let Some(place) = self.ring.get_mut(place) {
                out.copy_from_slice(place);
                place.fill(0);
            }
        }
        self.head += out.len() as u64;
    }

    /// Leaves time out that nobody was to hear: `samples` from the head on are gone.
    pub fn skip(&mut self, samples: u64) {
        let mut rest = [0; 480];
        let mut left = samples;
        while left > 0 {
            let count = left.min(rest.len() as u64) as usize;
            self.take(rest.get_mut(..count).unwrap_or_default());
            left -= count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: u64 = HOLD_MS * 8;

    /// Plays packets of 20 ms (arrival in ms, timestamp in units of 20 ms, value) and returns what is heard, in frames of 20 ms by
    /// the value of their 100th sample.
    fn heard(packets: &[(u64, i64, i16)], frames: usize) -> Vec<i16> {
        let mut track = Track::new(8_000);
        let mut out = Vec::new();
        let mut next = packets.iter().peekable();
        for frame in 0..frames as u64 {
            let now_ms = frame * 20 + 20 + HOLD_MS;
            while let Some((ms, unit, value)) = next.next_if(|p| p.0 <= now_ms) {
                let stamp = Stamp { ssrc: 1, timestamp: (unit * 160) as u32, clock_rate: 8_000 };
                track.place(ms * 8, stamp, &[*value; 160]);
            }
            let mut samples = [0; 160];
            track.take(&mut samples);
            out.push(samples[100]);
        }
        out
    }

    #[test]
    fn packets_lie_where_their_clock_says() {
        type Row<'a> = (&'a str, &'a [(u64, i64, i16)], &'a [i16]);
        let rows: &[Row<'_>] = &[
            ("in order", &[(40, 0, 1), (60, 1, 2), (80, 2, 3)], &[0, 0, 1, 2, 3, 0]),
            ("a loss is silence", &[(40, 0, 1), (80, 2, 3)], &[0, 0, 1, 0, 3, 0]),
            ("out of order, twice", &[(40, 0, 1), (80, 2, 3), (85, 1, 2), (86, 1, 2)], &[0, 0, 1, 2, 3, 0]),
            ("200 ms late", &[(0, 0, 1), (200, 1, 2), (201, 2, 3)], &[1, 2, 3, 0]),
            ("too late", &[(0, 0, 1), (290, 2, 3), (291, 1, 2)], &[1, 0, 3, 0]),
            ("wrapping", &[(0, -1, 1), (20, 0, 2), (40, 1, 3)], &[1, 2, 3, 0]),
            ("a leap of the timestamps", &[(0, 0, 1), (20, 9_000, 2), (40, 9_001, 3)], &[1, 2, 3, 0]),
        ];
        for (name, packets, want) in rows {
            assert_eq!(heard(packets, want.len()), *want, "{name}");
        }
    }

    #[test]
    fn a_leap_back_is_followed_after_some_packets() {
        let mut packets: Vec<(u64, i64, i16)> = (0..50).map(|n| (n * 20, 10_000 + n as i64, 1)).collect();
        packets.extend((50..100).map(|n| (n * 20, n as i64 - 50, 2)));
        let heard = heard(&packets, 100);
        assert_eq!(heard[..50], [1; 50]);
        assert_eq!(heard[55..], [2; 45]);
    }

    /// Sends a click each second for a quarter of an hour from a clock that is off by `ppm`, through `jitter` ms; the worst misplacement in ms.
    fn worst_ms(ppm: i64, jitter_ms: u64) -> i64 {
        let mut rng = crate::base::rng::Rng::from_seed(3);
        let mut track = Track::new(8_000);
        let (mut worst, mut taken, mut at) = (0, 0u64, std::collections::VecDeque::new());
        for n in 0..45_000u64 {
            let true_position = (n * 160) as i64;
            let sent = true_position - true_position * ppm / 1_000_000;
            let arrival = sent as u64 + HOLD + rng.below(jitter_ms * 8 + 1);
            let mut sound = [1; 160];
            if n % 50 == 25 {
                sound[0] = 999;
                at.push_back(sent + HOLD as i64);
                let _ = (at.len() > 3).then(|| at.pop_front());
            }
            track.place(arrival, Stamp { ssrc: 1, timestamp: (n * 160) as u32, clock_rate: 8_000 }, &sound);
            while taken + 160 + HOLD <= arrival {
                let mut out = [0; 160];
                track.take(&mut out);
                if let Some(click) = out.iter().position(|s| *s == 999) {
                    let position = (taken + click as u64) as i64;
                    let nearest = at.iter().map(|a| (a - position).abs()).min().unwrap();
                    if n > 1_000 {
                        worst = worst.max(nearest / 8);
                    }
                }
                taken += 160;
            }
        }
        assert!(track.placed().strays == 0, "{:?}", track.placed());
        worst
    }

    #[test]
    fn clocks_that_differ_stay_within_20_ms() {
        for (ppm, jitter) in [(0, 0), (100, 40), (-100, 40)] {
            let worst = worst_ms(ppm, jitter);
            assert!(worst <= 20, "{ppm} ppm, {jitter} ms of jitter: {worst} ms");
        }
    }

    #[test]
    fn skipped_time_is_gone() {
        let mut track = Track::new(8_000);
        let stamp = |n: u32| Stamp { ssrc: 1, timestamp: n * 160, clock_rate: 8_000 };
        (0..10).for_each(|n| track.place(u64::from(n) * 160, stamp(n), &[n as i16 + 1; 160]));
        track.skip(800);
        let mut out = [0; 160];
        track.take(&mut out);
        assert_eq!(out, [6; 160]);
    }
}
