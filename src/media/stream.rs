//! The RTP stream that we send to one peer: one SSRC, one line of sequence numbers and timestamps, whatever feeds it.

use super::command::LegId;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::rtp::packet::{Fields, Header};
use crate::rtp::retiming::{Retimed, Retiming};
use crate::rtp::telephone_event::Block;

/// A timestamp that leaves the clock by more than so much between two packets in sequence has been set anew by its sender.
const LEAP: Duration = Duration::from_secs(10);

/// What a relayed packet's numbers are counted in: changed, they have nothing to do with those before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    pub leg: LegId,
    /// Counts the leg's sources and their restarts.
    pub run: u32,
}

/// A packet to be relayed, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    pub origin: Origin,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    /// In timestamp units; 0 for an event, whose timestamp is that of its begin.
    pub duration: u32,
    pub clock_rate: u32,
}

impl Relayed {
    pub const fn new(origin: Origin, header: &Header, duration: u32, clock_rate: u32) -> Self {
        let Header { sequence, timestamp, marker, .. } = *header;
        Relayed { origin, sequence, timestamp, marker, duration, clock_rate }
    }
}

/// What the latest packets were made from.
#[derive(Clone, Copy, Debug)]
enum Feed {
    /// Nothing, or what has been switched away: the next packet has the marker.
    Switched,
    Generated,
    Relayed(Offsets),
}

/// From a source's numbers to ours. Gaps stay gaps, so that the listener sees the loss.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    origin: Origin,
    sequence: u16,
    timestamp: u32,
    /// Newest sequence number of the source, and by how much it has grown since the switch: earlier packets of it would take
    /// numbers that the feed before has used.
    newest: u16,
    grown: u16,
    /// Timestamp and arrival of the newest packet that was no event.
    media: (u32, Instant),
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Stream {
    ssrc: u32,
    /// Of the latest packet; before the first, random (RFC 3550 §5.1).
    sequence: u16,
    timestamp: u32,
    /// The moment of that timestamp.
    at: Instant,
    /// Duration of the latest packet, in timestamp units.
    duration: u32,
    clock_rate: u32,
    feed: Feed,
    /// Events that are passed on in a clock of our own, and where they come from.
    events: Option<(Origin, Retiming)>,
    packets: u64,
    octets: u64,
}

impl Stream {
    pub fn new(rng: &mut Rng) -> Stream {
        Stream {
            ssrc: rng.next_u32(),
            // In the lower half: who receives SRTP and misses the first packets still counts no rollover (RFC 3711 §3.3.1).
            sequence: rng.next_u32() as u16 & 0x7fff,
            timestamp: rng.next_u32(),
            at: Instant::ZERO,
            duration: 0,
            clock_rate: 8_000,
            feed: Feed::Switched,
            events: None,
            packets: 0,
            octets: 0,
        }
    }

    /// Takes an SSRC that this stream never had, for 2³² times (a generator of full period); its line goes on.
    pub const fn rename(&mut self) {
        self.ssrc = self.ssrc.wrapping_mul(0x915f_77f5).wrapping_add(1);
    }

    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Payload bytes sent.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    pub const fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// What feeds the stream changes: the next packet continues the line and has the marker.
    pub fn switch(&mut self) {
        self.feed = Feed::Switched;
    }

    /// The timestamp that belongs to the moment `now`, for sender reports.
    pub fn timestamp_at(&self, now: Instant) -> u32 {
        let us = now.as_micros().saturating_sub(self.at.as_micros());
        self.timestamp.wrapping_add((us * u64::from(self.clock_rate) / 1_000_000) as u32)
    }

    /// Counts a packet as sent.
    pub fn count(&mut self, payload_len: usize) {
        self.packets += 1;
        self.octets += payload_len as u64;
    }

    /// Sequence number and timestamp of the next packet that does not follow from the one before: on the clock, but never
    /// within the packet before.
    fn next(&self, now: Instant) -> (u16, u32) {
        if self.packets == 0 {
            return (self.sequence, self.timestamp);
        }
        let earliest = self.timestamp.wrapping_add(self.duration.max(1));
        let on_clock = self.timestamp_at(now);
        let late = (on_clock.wrapping_sub(earliest) as i32) < 0;
        (self.sequence.wrapping_add(1), if late { earliest } else { on_clock })
    }

    /// Header of a packet of our own sound, of `duration` units of `clock_rate` Hz, that is due at `due`.
    pub fn generated(&mut self, due: Instant, duration: u32, clock_rate: u32, payload_type: u8) -> Fields {
        let (sequence, timestamp) = self.next(due);
        self.clock_rate = clock_rate;
        let marker = !matches!(self.feed, Feed::Generated);
        self.feed = Feed::Generated;
        (self.sequence, self.timestamp, self.at, self.duration) = (sequence, timestamp, due, duration);
        Fields { marker, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// Header of a packet of sound that goes on from what was relayed before, or from another of these: where it comes less than
    /// a packet later than it should (the ear's delay), the line goes on without a gap.
    pub fn continued(&mut self, due: Instant, duration: u32, clock_rate: u32, payload_type: u8) -> Fields {
        let earliest = self.timestamp.wrapping_add(self.duration);
        let gap = self.timestamp_at(due).wrapping_sub(earliest);
        let closes = matches!(self.feed, Feed::Relayed(_)) && self.duration > 0 && gap <= self.duration;
        let fields = self.generated(due, duration, clock_rate, payload_type);
        if !closes {
            return fields;
        }
        self.timestamp = earliest;
        Fields { timestamp: earliest, ..fields }
    }

    /// Whether the latest packets were made by us.
    pub const fn is_generated(&self) -> bool {
        matches!(self.feed, Feed::Generated)
    }

    /// Header of an event's packet that another leg has sent, and its duration, from one event clock to the other (in Hz). All
    /// packets of one event have the timestamp of its begin (RFC 4733 §2.1), in the clock of our stream. `None` for a straggler.
    pub fn event(
        &mut self,
        now: Instant,
        packet: &Relayed,
        block: Block,
        clocks: (u32, u32),
        payload_type: u8,
    ) -> Option<(Fields, u16)> {
        let in_line =
            matches!(self.feed, Feed::Relayed(_)) || !self.is_generated() && packet.clock_rate == self.clock_rate;
        let (sequence, timestamp) = if in_line {
            let fields = self.relayed(now, packet, payload_type)?;
            if clocks.0 == clocks.1 {
                return Some((fields, block.duration));
            }
            (fields.sequence, fields.timestamp)
        } else {
            self.next(now)
        };
        let (_, retiming) =
            self.events.take_if(|e| e.0 == packet.origin).unwrap_or((packet.origin, Retiming::default()));
        let (_, retiming) = self.events.insert((packet.origin, retiming));
        let Retimed { first, timestamp, duration } = retiming.pass(packet.timestamp, block, clocks, timestamp)?;
        if !in_line {
            self.sequence = sequence;
            self.begin_at(now, timestamp);
        }
        Some((Fields { marker: first, payload_type, sequence, timestamp, ssrc: self.ssrc }, duration))
    }

    /// Header of a packet of an event of our own. Without the timestamp with which it has `begun`, now is its begin; `offset` is
    /// that of its segment. What feeds the stream afterwards begins anew.
    pub fn own_event(&mut self, due: Instant, begun: Option<u32>, offset: u32, payload_type: u8) -> Fields {
        let (sequence, now) = self.next(due);
        let timestamp = begun.unwrap_or(now).wrapping_add(offset);
        self.begin_at(due, timestamp);
        (self.sequence, self.feed) = (sequence, Feed::Switched);
        Fields { marker: begun.is_none(), payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// The clock of a line that begins with an event.
    fn begin_at(&mut self, now: Instant, timestamp: u32) {
        if self.packets == 0 {
            (self.timestamp, self.at, self.duration) = (timestamp, now, 0);
        }
    }

    /// Header of a relayed packet; `None` for one that was sent before the switch to its origin.
    #[inline]
    pub fn relayed(&mut self, now: Instant, packet: &Relayed, payload_type: u8) -> Option<Fields> {
        let mut marker = packet.marker;
        let mut offsets = match self.feed {
            Feed::Relayed(offsets) if offsets.origin == packet.origin => offsets,
            _ => {
                marker = true;
                self.anchor(now, packet)
            }
        };
        let ahead = packet.sequence.wrapping_sub(offsets.newest);
        let in_order = ahead != 0 && ahead < 0x8000;
        if in_order {
            (offsets.newest, offsets.grown) = (packet.sequence, offsets.grown.saturating_add(ahead).min(0x7fff));
        } else if ahead.wrapping_neg() > offsets.grown {
            return None;
        }
        if in_order && packet.duration > 0 {
            if leaps(offsets.media, now, packet) {
                marker = true;
                offsets.timestamp = self.next(now).1.wrapping_sub(packet.timestamp);
            }
            offsets.media = (packet.timestamp, now);
        }
        let sequence = packet.sequence.wrapping_add(offsets.sequence);
        let timestamp = packet.timestamp.wrapping_add(offsets.timestamp);
        if in_order || marker {
            self.sequence = sequence;
            if packet.duration > 0 || self.packets == 0 {
                (self.timestamp, self.at, self.duration) = (timestamp, now, packet.duration);
            }
        }
        self.clock_rate = packet.clock_rate;
        self.feed = Feed::Relayed(offsets);
        Some(Fields { marker, payload_type, sequence, timestamp, ssrc: self.ssrc })
    }

    /// The header of the packet that would be relayed after the one of `origin` and `sequence` at a `step` in timestamp units, if
    /// nothing is in between: that was the latest which went out.
    pub fn ahead(&self, origin: Origin, sequence: u16, step: u32, payload_type: u8) -> Option<Fields> {
        let Feed::Relayed(offsets) = self.feed else { return None };
        let latest = sequence.wrapping_add(offsets.sequence);
        let goes_on = offsets.origin == origin && offsets.newest == sequence && self.sequence == latest;
        let timestamp = self.timestamp.wrapping_add(step);
        (goes_on && self.duration == step).then_some(Fields {
            marker: false,
            payload_type,
            sequence: latest.wrapping_add(1),
            timestamp,
            ssrc: self.ssrc,
        })
    }

    /// `packets` more have been relayed by somebody else, in steps of the latest packet's duration; the last one at `at`.
    pub fn pass(&mut self, at: Instant, packets: u32, octets: u64) {
        let Feed::Relayed(offsets) = &mut self.feed else { return };
        let (numbers, units) = (packets as u16, self.duration.wrapping_mul(packets));
        offsets.newest = offsets.newest.wrapping_add(numbers);
        offsets.grown = u32::from(offsets.grown).saturating_add(packets).min(0x7fff) as u16;
        offsets.media = (offsets.media.0.wrapping_add(units), at);
        self.sequence = self.sequence.wrapping_add(numbers);
        self.timestamp = self.timestamp.wrapping_add(units);
        self.at = at;
        self.packets += u64::from(packets);
        self.octets += octets;
    }

    /// The line goes on with `packet`, the first of its origin.
    fn anchor(&self, now: Instant, packet: &Relayed) -> Offsets {
        let (sequence, timestamp) = self.next(now);
        Offsets {
            origin: packet.origin,
            sequence: sequence.wrapping_sub(packet.sequence),
            timestamp: timestamp.wrapping_sub(packet.timestamp),
            newest: packet.sequence,
            grown: 0,
            media: (packet.timestamp, now),
        }
    }
}

/// Whether the source's timestamp has left its clock since `before`. A timestamp that goes on while packets were held up
/// does not leap by itself: only the clock went on, and by less than the limit.
fn leaps(before: (u32, Instant), now: Instant, packet: &Relayed) -> bool {
    let units = i64::from(packet.timestamp.wrapping_sub(before.0) as i32);
    let sent_us = units * 1_000_000 / i64::from(packet.clock_rate.max(1));
    let arrived_us = now.since(before.1).as_micros() as i64;
    sent_us.abs_diff(arrived_us) > LEAP.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    struct Bench {
        stream: Stream,
        first: (u16, u32),
    }

    impl Bench {
        fn new() -> Bench {
            let stream = Stream::new(&mut Rng::from_seed(9));
            Bench { first: (stream.sequence, stream.timestamp), stream }
        }

        /// Relays; the answer is sequence and timestamp from the stream's begin, and the marker.
        fn relay(&mut self, ms: u64, leg: u64, run: u32, sequence: u16, timestamp: u32) -> Option<(u16, u32, bool)> {
            let origin = Origin { leg: LegId(leg), run };
            let packet = Relayed { origin, sequence, timestamp, marker: false, duration: 160, clock_rate: 8_000 };
            let fields = self.stream.relayed(at(ms), &packet, 0)?;
            self.stream.count(160);
            Some(self.relative(fields))
        }

        fn generate(&mut self, ms: u64) -> (u16, u32, bool) {
            let fields = self.stream.generated(at(ms), 160, 8_000, 0);
            self.stream.count(160);
            self.relative(fields)
        }

        fn relative(&self, f: Fields) -> (u16, u32, bool) {
            (f.sequence.wrapping_sub(self.first.0), f.timestamp.wrapping_sub(self.first.1), f.marker)
        }
    }

    #[test]
    fn one_line_across_sources_restarts_and_our_own_sound() {
        let mut b = Bench::new();
        assert_eq!(b.relay(0, 1, 1, 65_534, 1_000), Some((0, 0, true)));
        assert_eq!(b.relay(20, 1, 1, 65_535, 1_160), Some((1, 160, false)));
        assert_eq!(b.relay(60, 1, 1, 1, 1_480), Some((3, 480, false)), "a gap stays a gap");
        assert_eq!(b.relay(62, 1, 1, 0, 1_320), Some((2, 320, false)), "and may be filled");
        assert_eq!(b.relay(80, 2, 1, 500, 9), Some((4, 640, true)), "another leg");
        assert_eq!(b.relay(81, 2, 1, 499, u32::MAX - 150), None, "before the switch");
        assert_eq!(b.relay(100, 2, 1, 501, 169), Some((5, 800, false)));
        assert_eq!(b.relay(120, 2, 2, 7, 7), Some((6, 960, true)), "another source of the leg");
        assert_eq!(b.generate(145), (7, 1_160, true));
        assert_eq!(b.generate(165), (8, 1_320, false));
        assert_eq!(b.generate(205), (9, 1_640, false), "a skipped tick");
        assert_eq!(b.relay(207, 2, 2, 12, 800), Some((10, 1_800, true)), "never within the packet before");
        b.stream.switch();
        assert_eq!(b.generate(1_207), (11, 9_800, true));
    }

    #[test]
    fn a_leap_of_the_timestamp_is_taken_out_and_a_pause_is_not() {
        let mut b = Bench::new();
        b.relay(0, 1, 1, 10, 0);
        assert_eq!(b.relay(60_000, 1, 1, 11, 480_000), Some((1, 480_000, false)), "silence suppressed for a minute");
        assert_eq!(b.relay(60_020, 1, 1, 12, 4_000_000_000), Some((2, 480_160, true)));
        assert_eq!(b.relay(60_040, 1, 1, 13, 4_000_000_160), Some((3, 480_320, false)));
        assert_eq!(b.relay(64_000, 1, 1, 14, 4_000_000_320), Some((4, 480_480, false)), "held up for four seconds");
    }

    #[test]
    fn an_event_keeps_its_timestamp_and_the_media_after_it_the_line() {
        let mut b = Bench::new();
        b.relay(0, 1, 1, 10, 0);
        let origin = Origin { leg: LegId(1), run: 1 };
        for n in 0..1_000u16 {
            let sequence = 11 + n;
            let event = Relayed { origin, sequence, timestamp: 160, marker: n == 0, duration: 0, clock_rate: 8_000 };
            let fields = b.stream.relayed(at(20 + 20 * u64::from(n)), &event, 101).unwrap();
            b.stream.count(4);
            assert_eq!(b.relative(fields), (1 + n, 160, n == 0));
        }
        assert_eq!(b.relay(20_020, 1, 1, 1_011, 160_160), Some((1_001, 160_160, false)));
    }

    #[test]
    fn a_late_packet_is_known_after_any_number_of_others() {
        let mut b = Bench::new();
        for n in 0..100_000u32 {
            assert!(b.relay(u64::from(n) * 20, 1, 1, n as u16, n * 160).is_some());
            if n > 3 {
                assert_eq!(b.relay(u64::from(n) * 20, 1, 1, (n - 2) as u16, (n - 2) * 160).unwrap().0, (n - 2) as u16);
            }
        }
    }
}
