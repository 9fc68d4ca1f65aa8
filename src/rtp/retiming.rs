//! Events of one source as they are passed on by a stream of another clock (RFC 4733): an event keeps the timestamp of its
//! begin, its durations are told in the listener's clock, and what is longer than 65,535 units there goes on in another segment
//! (§2.5.1.3), wherever the source begins its own.

use super::telephone_event::Block;

/// What is known of the latest event; see the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retiming {
    latest: Option<Latest>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    event: u8,
    /// The source's timestamp of the event and of its present segment, and how long that is so far.
    begin: u32,
    segment: u32,
    duration: u16,
    ended: bool,
    /// Our timestamp of the event; of its present segment, from there; how much has been told.
    our_begin: u32,
    our_segment: u32,
    told: u32,
}

/// An event's packet as it goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retimed {
    /// The event's first packet.
    pub first: bool,
    pub timestamp: u32,
    pub duration: u16,
}

impl Retiming {
    /// Takes a packet's timestamp and block, in units of `from_hz`. `now` is our timestamp for an event that begins; the duration
    /// that is given back is in units of `to_hz`. `None` for a straggler of an event or a segment that is over.
    pub fn pass(&mut self, timestamp: u32, block: Block, (from_hz, to_hz): (u32, u32), now: u32) -> Option<Retimed> {
        let begun = self.latest.filter(|l| l.event == block.event);
        let first = match begun.map(|l| (l, timestamp.wrapping_sub(l.segment))) {
            Some((_, 0)) => false,
            Some((_, ahead)) if ahead > u32::MAX / 2 => return None,
            Some((l, ahead)) => l.ended || ahead > u32::from(l.duration),
            None => true,
        };
        let new = Latest {
            event: block.event,
            begin: timestamp,
            segment: timestamp,
            duration: 0,
            ended: false,
            our_begin: now,
            our_segment: 0,
            told: 0,
        };
        let l = self.latest.insert(begun.filter(|_| !first).unwrap_or(new));
        l.duration = if l.segment == timestamp { l.duration.max(block.duration) } else { block.duration };
        (l.segment, l.ended) = (timestamp, l.ended || block.end);
        let theirs = u64::from(timestamp.wrapping_sub(l.begin)) + u64::from(block.duration);
        let total = u32::try_from(theirs * u64::from(to_hz) / u64::from(from_hz.max(1))).unwrap_or(u32::MAX);
        if total.saturating_sub(l.our_segment) > u32::from(u16::MAX) {
            l.our_segment = l.told.max(total.saturating_sub(u32::from(u16::MAX)));
        }
        l.told = l.told.max(total);
        let duration = u16::try_from(total.checked_sub(l.our_segment)?).ok()?;
        Some(Retimed { first, timestamp: l.our_begin.wrapping_add(l.our_segment), duration })
    }
}

#[cfg(test)]
mod tests {
    use super::super::telephone_event::{Digit, Receiver, Sender};
    use super::*;

    /// A digit of so long in one clock, passed on in another: what the far end makes of it, and the longest step of duration.
    fn passed(ms: u32, from_hz: u32, to_hz: u32) -> Vec<Digit> {
        let (mut retiming, mut receiver, mut told) = (Retiming::default(), Receiver::default(), Vec::new());
        for (n, digit) in ['5', '5', '#'].into_iter().enumerate() {
            let begin = (u32::MAX - 100).wrapping_add(n as u32 * (ms + 100) * (from_hz / 1_000));
            let mut sender = Sender::new(digit, ms * (from_hz / 1_000), (from_hz / 50) as u16).unwrap();
            let (mut count, mut events) = (0, 0);
            while let Some(packet) = sender.next_packet() {
                let block = Block::parse(&packet.payload).unwrap();
                let ours = 77 + (n as u32 * (ms + 100) + count * 20) * (to_hz / 1_000);
                let timestamp = begin.wrapping_add(packet.timestamp_offset);
                let out = retiming.pass(timestamp, block, (from_hz, to_hz), ours).unwrap();
                assert_eq!(out.first, count == 0);
                events += u32::from(out.first);
                told.extend(receiver.receive(out.timestamp, Block { duration: out.duration, ..block }));
                count += 1;
            }
            assert_eq!(events, 1);
        }
        told.extend(receiver.finish());
        told
    }

    #[test]
    fn a_digit_stays_one_and_as_long_as_it_was_in_any_clock() {
        for ms in [40, 100, 1_300, 1_500, 9_000, 20_000] {
            for (from, to) in [(8_000, 48_000), (48_000, 8_000), (8_000, 8_000), (48_000, 48_000), (16_000, 8_000)] {
                let expected = ['5', '5', '#'].map(|digit| Digit { digit, duration: ms * (to / 1_000) });
                assert_eq!(passed(ms, from, to), expected, "{ms} ms, {from} to {to}");
            }
        }
    }

    #[test]
    fn retransmissions_are_passed_as_they_are_and_stragglers_are_not() {
        let mut r = Retiming::default();
        let block = |event, end, duration| Block { event, end, volume: 10, duration };
        let mut pass =
            |timestamp, b, now| r.pass(timestamp, b, (8_000, 48_000), now).map(|p| (p.timestamp, p.duration));
        assert_eq!(pass(1_000, block(1, false, 160), 5), Some((5, 960)));
        assert_eq!(pass(1_000, block(1, true, 480), 99), Some((5, 2_880)));
        assert_eq!(pass(1_000, block(1, true, 480), 99), Some((5, 2_880)));
        assert_eq!(pass(2_000, block(1, true, 160), 6_000), Some((6_000, 960)));
        assert_eq!(pass(1_000, block(1, true, 480), 99), None);
        assert_eq!(
            pass(2_000, block(2, true, 160), 7_000),
            Some((7_000, 960)),
            "another event under the same timestamp"
        );
    }
}
