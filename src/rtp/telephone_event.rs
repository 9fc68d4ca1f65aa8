//! Digits as RTP payload (RFC 4733): a receiver that tells each digit once, and a sender.

/// Length of an event block.
pub const PAYLOAD_LEN: usize = 4;

/// How often the last packet of an event is sent (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;

/// One event block (RFC 4733 §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    pub event: u8,
    pub end: bool,
    /// Power level in −dBm0, 0 to 63.
    pub volume: u8,
    /// In timestamp units, from the event's begin.
    pub duration: u16,
}

impl Block {
    /// The first block of a payload; `None` if it is shorter than one.
    pub fn parse(payload: &[u8]) -> Option<Block> {
        let [event, flags, high, low] = *payload.first_chunk::<PAYLOAD_LEN>()?;
        let duration = u16::from_be_bytes([high, low]);
        Some(Block { event, end: flags & 0x80 != 0, volume: flags & 0x3f, duration })
    }

    pub const fn to_bytes(self) -> [u8; PAYLOAD_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (self.end as u8) << 7 | self.volume & 0x3f, high, low]
    }
}

/// The character of a DTMF event (RFC 4733 §3.2: 0 to 15); `None` for other events.
pub const fn digit_of(event: u8) -> Option<char> {
    match event {
        0..=9 => Some((b'0' + event) as char),
        10 => Some('*'),
        11 => Some('#'),
        12..=15 => Some((b'A' + event - 12) as char),
        _ => None,
    }
}

/// The event of a digit, in either case.
pub const fn event_of(digit: char) -> Option<u8> {
    match digit {
        '0'..='9' => Some(digit as u8 - b'0'),
        '*' => Some(10),
        '#' => Some(11),
        'A'..='D' => Some(digit as u8 - b'A' + 12),
        'a'..='d' => Some(digit as u8 - b'a' + 12),
        _ => None,
    }
}

/// A digit that came to its end. The duration is in timestamp units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digit {
    pub digit: char,
    pub duration: u32,
}

/// What of one source's events is known. A digit is told when its first end packet comes; where all end packets are lost,
/// when the next event begins or when the owner, having seen no packet of it for a while, calls [`Receiver::finish`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Receiver {
    /// The latest event; `None` before the first.
    latest: Option<Latest>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    event: u8,
    /// Timestamp of the event, or of its present segment (§2.5.1.3).
    timestamp: u32,
    /// Duration within the segment, and of the segments before.
    segment: u16,
    before: u32,
    told: bool,
}

impl Latest {
    fn digit(&mut self) -> Option<Digit> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        digit_of(self.event).map(|digit| Digit { digit, duration: self.before.saturating_add(u32::from(self.segment)) })
    }
}

impl Receiver {
    /// Takes one packet's timestamp and first block. At most one digit comes to its end by it, save where an end packet is
    /// the first of its event and the event before was still open: then that one comes now and this one by `finish`.
    pub fn receive(&mut self, timestamp: u32, block: Block) -> Option<Digit> {
        let Some(latest) = &mut self.latest else { return self.begin(timestamp, block) };
        let ahead = timestamp.wrapping_sub(latest.timestamp);
        if ahead == 0 && latest.event == block.event {
            latest.segment = if latest.told { latest.segment } else { latest.segment.max(block.duration) };
            return if block.end { latest.digit() } else { None };
        }
        if ahead > u32::MAX / 2 {
            // A straggler of an event that is over.
            return None;
        }
        // The next segment of a long event, or a sender that moves the timestamp within an event: it begins where the
        // event has got to, whereas the next press of a key comes after a pause.
        if !latest.told && latest.event == block.event && ahead <= u32::from(latest.segment) {
            latest.before = latest.before.saturating_add(ahead);
            (latest.timestamp, latest.segment) = (timestamp, block.duration);
            return if block.end { latest.digit() } else { None };
        }
        let open = latest.digit();
        let own = self.begin(timestamp, if open.is_some() { Block { end: false, ..block } } else { block });
        open.or(own)
    }

    fn begin(&mut self, timestamp: u32, block: Block) -> Option<Digit> {
        let mut latest = Latest { event: block.event, timestamp, segment: block.duration, before: 0, told: false };
        let told = if block.end { latest.digit() } else { None };
        self.latest = Some(latest);
        told
    }

    /// Whether an event has begun and its end has not come.
    pub fn is_open(&self) -> bool {
        self.latest.is_some_and(|l| !l.told)
    }

    /// The open event is over: its end packets were lost.
    pub fn finish(&mut self) -> Option<Digit> {
        self.latest.as_mut().and_then(Latest::digit)
    }

    /// Another source's timestamps follow. Tells the digit that was open.
    pub fn restart(&mut self) -> Option<Digit> {
        self.latest.take().and_then(|mut l| l.digit())
    }
}

/// One event being sent: a packet a period until the duration is reached, then three end packets.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    event: u8,
    volume: u8,
    /// All in timestamp units.
    step: u16,
    reached: u32,
    total: u32,
    segment_start: u32,
    ends: u8,
}

/// One packet of an event. The timestamp to use is the event's own plus `timestamp_offset`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    pub payload: [u8; PAYLOAD_LEN],
    /// Set on the event's first packet.
    pub marker: bool,
    /// 0, except for the later segments of an event longer than 65,535 units.
    pub timestamp_offset: u32,
}

impl Sender {
    /// A digit of `duration` timestamp units, sent every `step` units at −10 dBm0. `None` if it is no DTMF digit or a step is 0.
    pub const fn new(digit: char, duration: u32, step: u16) -> Option<Sender> {
        match event_of(digit) {
            Some(event) if step > 0 => {
                Some(Sender { event, volume: 10, step, reached: 0, total: duration, segment_start: 0, ends: 0 })
            }
            _ => None,
        }
    }

    /// The next packet; `None` after the third end packet.
    pub fn next_packet(&mut self) -> Option<Packet> {
        if self.ends == END_PACKETS {
            return None;
        }
        let marker = self.reached == 0;
        if self.reached - self.segment_start + u32::from(self.step) > u32::from(u16::MAX) {
            self.segment_start = self.reached;
        }
        self.reached = self.reached.saturating_add(u32::from(self.step)).min(self.total.max(1));
        let end = self.reached >= self.total;
        self.ends += u8::from(end);
        let duration = u16::try_from(self.reached - self.segment_start).unwrap_or(u16::MAX);
        let block = Block { event: self.event, end, volume: self.volume, duration };
        Some(Packet { payload: block.to_bytes(), marker, timestamp_offset: self.segment_start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets as (timestamp, event, end, duration); digits as (digit, duration), with what `finish` adds at last.
    #[track_caller]
    fn check(packets: &[(u32, u8, bool, u16)], expected: &[(char, u32)]) {
        let mut receiver = Receiver::default();
        let mut told = Vec::new();
        for &(timestamp, event, end, duration) in packets {
            told.extend(receiver.receive(timestamp, Block { event, end, volume: 10, duration }));
        }
        told.extend(receiver.finish());
        assert_eq!(told.iter().map(|d| (d.digit, d.duration)).collect::<Vec<_>>(), expected);
        assert_eq!(receiver.finish(), None);
    }

    #[test]
    fn each_digit_is_told_once() {
        let (go, end) = (false, true);
        check(&[(100, 5, go, 160), (100, 5, go, 320), (100, 5, end, 480)], &[('5', 480)]);
        // Retransmitted ends, and a straggler after them.
        check(&[(100, 5, go, 160), (100, 5, end, 480), (100, 5, end, 480), (100, 5, go, 320)], &[('5', 480)]);
        // Only an end packet came through.
        check(&[(100, 11, end, 480), (100, 11, end, 480)], &[('#', 480)]);
        // All end packets are lost; the next digit begins, the same key again.
        check(&[(100, 5, go, 160), (1200, 5, go, 160), (1200, 5, end, 320)], &[('5', 160), ('5', 320)]);
        // All end packets of both are lost.
        check(&[(100, 1, go, 160), (1200, 2, go, 160)], &[('1', 160), ('2', 160)]);
        // End lost, and of the next one only the end came.
        check(&[(100, 1, go, 160), (1200, 2, end, 320)], &[('1', 160), ('2', 320)]);
        // The straggler of an earlier event does not reopen it.
        check(
            &[(100, 1, end, 160), (1200, 2, go, 160), (100, 1, end, 160), (1200, 2, end, 320)],
            &[('1', 160), ('2', 320)],
        );
        // Timestamps wrap between digits.
        check(&[(u32::MAX - 10, 1, end, 160), (1200, 1, end, 160)], &[('1', 160), ('1', 160)]);
        // A long event in two segments.
        check(&[(100, 9, go, 65_535), (65_635, 9, go, 160), (65_635, 9, end, 320)], &[('9', 65_855)]);
        // A sender that moves the timestamp with each packet.
        check(&[(100, 9, go, 160), (260, 9, go, 160), (420, 9, end, 160)], &[('9', 480)]);
        // Flash and other events are no digits.
        check(&[(100, 16, end, 160)], &[]);
    }

    #[test]
    fn the_sender_ends_three_times_and_the_receiver_hears_it_once() {
        for (digit, duration, packets) in [('7', 800, 7), ('*', 100, 3), ('d', 70_000, 440)] {
            let mut sender = Sender::new(digit, duration, 160).unwrap();
            let (mut receiver, mut told, mut count) = (Receiver::default(), Vec::new(), 0);
            while let Some(packet) = sender.next_packet() {
                assert_eq!(packet.marker, count == 0);
                count += 1;
                let block = Block::parse(&packet.payload).unwrap();
                told.extend(receiver.receive(1_000u32.wrapping_add(packet.timestamp_offset), block));
            }
            assert_eq!(count, packets, "{digit}");
            assert_eq!(told, [Digit { digit: digit.to_ascii_uppercase(), duration }]);
        }
        assert!(Sender::new('x', 800, 160).is_none() && Sender::new('1', 800, 0).is_none());
    }

    #[test]
    fn digits_and_events_name_each_other() {
        for event in 0..16 {
            assert_eq!(digit_of(event).and_then(event_of), Some(event));
        }
        assert_eq!((digit_of(16), Block::parse(&[1, 2, 3])), (None, None));
    }
}
