//! One line of sequence and time from whatever a peer sends: wraps undone, other sources, jumps and other clocks joined.

use crate::base::time::Instant;

/// Ticks a second of the line, a multiple of every audio clock.
pub const TICKS: i64 = 48_000;
/// A timestamp that leaves the arrivals by so much has been set anew: 2 s.
const LEAP: i64 = 2 * TICKS;
/// Or that goes back by so much while the sequence goes on: 60 ms.
const BACK: i64 = TICKS * 60 / 1_000;
/// A sequence number so far away has been set anew (RFC 3550 A.1).
const DROPOUT_MAX: i32 = 3_000;
const MISORDER_MAX: i32 = 100;

/// A packet's numbers, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    /// Of the timestamp, in Hz.
    pub clock_rate: u32,
    /// An event's timestamp stands still: it moves nothing.
    pub is_event: bool,
}

/// A packet's place on the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub sequence: i64,
    /// In ticks.
    pub begin: i64,
    /// The line was joined here.
    pub joined: bool,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The newest packet and its place; `None` before the first.
    newest: Option<(Numbers, Place)>,
    /// Its arrival.
    at: Instant,
}

impl Line {
    /// Places a packet. Where the line is joined, it begins at `expected` ticks, or a packet of 20 ms after the newest. `None` for
    /// an event of another source than the sound's (some gateways have one for digits): it has no place among its numbers.
    pub fn place(&mut self, now: Instant, packet: Numbers, expected: Option<i64>) -> Option<Place> {
        match self.newest {
            Some((newest, _)) if packet.is_event && newest.ssrc != packet.ssrc => None,
            Some((newest, at)) => Some(self.follow(now, packet, expected, newest, at)),
            None => {
                let place = Place { sequence: 0, begin: expected.unwrap_or(0), joined: true };
                Some(self.set(now, packet, place))
            }
        }
    }

    fn follow(&mut self, now: Instant, packet: Numbers, expected: Option<i64>, newest: Numbers, at: Place) -> Place {
        let ahead = i32::from(packet.sequence.wrapping_sub(newest.sequence) as i16);
        let moved = i64::from(packet.timestamp.wrapping_sub(newest.timestamp) as i32);
        let moved = moved * TICKS / i64::from(packet.clock_rate.max(1));
        let same = packet.ssrc == newest.ssrc && (packet.clock_rate == newest.clock_rate || packet.is_event);
        if same && (-MISORDER_MAX..=0).contains(&ahead) {
            return Place { sequence: at.sequence + i64::from(ahead), begin: at.begin + moved, joined: false };
        }
        let passed = (now.since(self.at).as_micros() as i64).saturating_mul(TICKS) / 1_000_000;
        let leaps = !packet.is_event && ((moved - passed).abs() > LEAP || moved < -BACK);
        if !same || leaps || !(-MISORDER_MAX..=DROPOUT_MAX).contains(&ahead) {
            let begin = expected.unwrap_or(i64::MIN).max(at.begin + TICKS / 50);
            let place = Place { sequence: at.sequence + 1, begin, joined: true };
            return self.set(now, packet, place);
        }
        let place = Place { sequence: at.sequence + i64::from(ahead), begin: at.begin + moved, joined: false };
        if packet.is_event {
            // The sequence goes on; time is told by media alone.
            let still = Numbers { sequence: packet.sequence, ..newest };
            self.newest = Some((still, Place { begin: at.begin, ..place }));
            return place;
        }
        self.set(now, packet, place)
    }

    fn set(&mut self, now: Instant, packet: Numbers, place: Place) -> Place {
        self.newest = Some((packet, place));
        self.at = now;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: milliseconds, ssrc, sequence, timestamp, clock; expected sequence and begin in milliseconds.
    #[test]
    fn one_line_from_whatever_comes() {
        let mut line = Line::default();
        let rows: [(u64, u32, u16, u32, u32, i64, i64); 13] = [
            (0, 1, 65_534, u32::MAX - 159, 8_000, 0, 0),
            (20, 1, 65_535, 0, 8_000, 1, 20),
            (41, 1, 1, 320, 8_000, 3, 60),
            (42, 1, 0, 160, 8_000, 2, 40),
            (43, 1, 1, 320, 8_000, 3, 60),
            (1_000, 1, 2, 7_840, 8_000, 4, 1_000),
            // A jump ahead, a jump back, another source, another clock, a restart of the sequence.
            (1_020, 1, 3, 90_000_000, 8_000, 5, 1_020),
            (1_040, 1, 4, 90_000_160, 8_000, 6, 1_040),
            (1_060, 1, 5, 100, 8_000, 7, 1_060),
            (1_080, 2, 900, 7, 8_000, 8, 1_080),
            (1_100, 2, 901, 1_000, 48_000, 9, 1_100),
            (1_120, 2, 902, 1_960, 48_000, 10, 1_120),
            (1_140, 2, 9_000, 2_920, 48_000, 11, 1_140),
        ];
        for (ms, ssrc, sequence, timestamp, clock_rate, expected, begin_ms) in rows {
            let packet = Numbers { ssrc, sequence, timestamp, clock_rate, is_event: false };
            let place = line.place(Instant::from_micros(ms * 1_000), packet, Some(ms as i64 * 48)).unwrap();
            assert_eq!((place.sequence, place.begin), (expected, begin_ms * 48), "{ms}");
        }
    }

    #[test]
    fn an_event_takes_a_number_and_no_time() {
        let mut line = Line::default();
        let packet =
            |sequence, timestamp, is_event| Numbers { ssrc: 1, sequence, timestamp, clock_rate: 8_000, is_event };
        let mut place = |ms: u64, p| {
            let place = line.place(Instant::from_micros(ms * 1_000), p, None).unwrap();
            (place.sequence, place.begin / 48)
        };
        assert_eq!(place(0, packet(10, 0, false)), (0, 0));
        for n in 1..200u16 {
            assert_eq!(place(u64::from(n) * 20, packet(10 + n, 160, true)), (i64::from(n), 20));
        }
        assert_eq!(place(4_000, packet(210, 32_000, false)), (200, 4_000));
    }

    #[test]
    fn digits_of_a_source_of_their_own_take_nothing_of_the_sounds() {
        let mut line = Line::default();
        for n in 0..100u16 {
            let now = Instant::from_micros(u64::from(n) * 20_000);
            let sound =
                Numbers { ssrc: 1, sequence: n, timestamp: u32::from(n) * 160, clock_rate: 8_000, is_event: false };
            let place = line.place(now, sound, None).unwrap();
            assert_eq!((place.sequence, place.begin / 48), (i64::from(n), i64::from(n) * 20));
            let digit = Numbers { ssrc: 2, sequence: 5_000 + n, timestamp: 77, is_event: true, ..sound };
            assert_eq!(line.place(now, digit, None), None);
        }
    }
}
