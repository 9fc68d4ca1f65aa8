//! RTCP (RFC 3550 §6): compound packets read in place; sender and receiver reports with CNAME, and BYE, written.

use crate::base::time::{Instant, Wall};

/// Room for everything that [`Report::write`] writes.
pub const REPORT_LEN_MAX: usize = 128;

/// Seconds from 1900-01-01 to 1970-01-01.
const NTP_EPOCH_S: i64 = 2_208_988_800;

/// A wall-clock moment as 64-bit NTP timestamp (RFC 3550 §4): seconds since 1900, and their fraction. Wraps in 2036.
pub const fn ntp(wall: Wall) -> u64 {
    let us = wall.as_micros();
    let seconds = (us.div_euclid(1_000_000) + NTP_EPOCH_S) as u64;
    let fraction = ((us.rem_euclid(1_000_000) as u64) << 32) / 1_000_000;
    seconds << 32 | fraction
}

/// The middle 32 bits of an NTP timestamp, as LSR carries them: units of 1/65,536 s.
pub const fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Microseconds as units of 1/65,536 s.
pub const fn to_65536ths(us: u64) -> u32 {
    ((us << 16) / 1_000_000) as u32
}

/// Round trip in microseconds by a report block (RFC 3550 §6.4.1: A − LSR − DLSR); `now` is the middle of our NTP time.
/// `None` if no report of ours was seen, or if the result is negative or above ten seconds: a peer's nonsense.
pub const fn round_trip_us(now: u32, block: &Block) -> Option<u64> {
    if block.last_report == 0 {
        return None;
    }
    let units = now.wrapping_sub(block.last_report).wrapping_sub(block.delay);
    if units > 10 << 16 {
        return None;
    }
    Some((units as u64 * 1_000_000) >> 16)
}

/// What a sender says of its own stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SenderInfo {
    pub ntp: u64,
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// What a receiver says of one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block {
    pub ssrc: u32,
    /// Of the packets since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Cumulative, −2²³ to 2²³ − 1; negative where duplicates outnumber losses.
    pub lost: i32,
    pub sequence_max: u32,
    /// In timestamp units.
    pub jitter: u32,
    pub last_report: u32,
    /// In 1/65,536 s.
    pub delay: u32,
}

const BLOCK_LEN: usize = 24;

impl Block {
    fn read(b: &[u8; BLOCK_LEN]) -> Block {
        let word = |at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        Block {
            ssrc: word(0),
            fraction_lost: b[4],
            lost: ((word(4) << 8) as i32) >> 8,
            sequence_max: word(8),
            jitter: word(12),
            last_report: word(16),
            delay: word(20),
        }
    }

    fn write(&self, out: &mut Writer<'_>) {
        out.word(self.ssrc);
        let lost = self.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        out.word(u32::from(self.fraction_lost) << 24 | lost);
        out.word(self.sequence_max);
        out.word(self.jitter);
        out.word(self.last_report);
        out.word(self.delay);
    }
}

/// One packet of a compound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    SenderReport {
        ssrc: u32,
        info: SenderInfo,
        blocks: Blocks<'a>,
    },
    ReceiverReport {
        ssrc: u32,
        blocks: Blocks<'a>,
    },
    /// Source description: its chunks, not looked into.
    Description(&'a [u8]),
    /// The sources that leave, four bytes each.
    Bye(&'a [u8]),
    /// Extended reports, feedback, application-defined, unknown.
    Other(u8),
}

/// Report blocks, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = Block;
    fn next(&mut self) -> Option<Block> {
        let (first, rest) = self.0.split_first_chunk::<BLOCK_LEN>()?;
        self.0 = rest;
        Some(Block::read(first))
    }
}

/// The packets of a compound that [`parse`] found whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compound<'a>(&'a [u8]);

/// Reads a datagram as a compound (RFC 3550 §6.1, A.2): lengths add up to the whole, each report holds the blocks that it
/// counts, only the last packet is padded. Reduced-size packets (RFC 5506), which begin with no report, are taken.
pub fn parse(bytes: &[u8]) -> Option<Compound<'_>> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (packet, after) = split(rest)?;
        if packet[0] & 0x20 != 0 && !after.is_empty() {
            return None;
        }
        read(packet)?;
        rest = after;
    }
    if bytes.is_empty() { None } else { Some(Compound(bytes)) }
}

/// The first packet, header included, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [first, kind, high, low] = *bytes.first_chunk::<4>()?;
    if first >> 6 != 2 || !(192..=223).contains(&kind) {
        return None;
    }
    bytes.split_at_checked((usize::from(u16::from_be_bytes([high, low])) + 1) * 4)
}

fn read(packet: &[u8]) -> Option<Packet<'_>> {
    let (header, body) = packet.split_first_chunk::<4>()?;
    let body = if header[0] & 0x20 == 0 {
        body
    } else {
        let padding = usize::from(*body.last()?);
        body.get(..body.len().checked_sub(padding).filter(|_| padding > 0)?)?
    };
    let count = usize::from(header[0] & 0x1f);
    let word = |at: usize| body.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let blocks = |from: usize| body.get(from..from + count * BLOCK_LEN).map(Blocks);
    Some(match header[1] {
        200 => Packet::SenderReport {
            ssrc: word(0)?,
            info: SenderInfo {
                ntp: u64::from(word(4)?) << 32 | u64::from(word(8)?),
                timestamp: word(12)?,
                packets: word(16)?,
                octets: word(20)?,
            },
            blocks: blocks(24)?,
        },
        201 => Packet::ReceiverReport { ssrc: word(0)?, blocks: blocks(4)? },
        202 => Packet::Description(body),
        203 => Packet::Bye(body.get(..count * 4)?),
        other => Packet::Other(other),
    })
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;
    fn next(&mut self) -> Option<Packet<'a>> {
        let (packet, rest) = split(self.0)?;
        self.0 = rest;
        read(packet)
    }
}

/// A compound to send: SR if `sender` is there, else RR; SDES with CNAME; BYE if `bye`.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub ssrc: u32,
    pub sender: Option<SenderInfo>,
    pub block: Option<Block>,
    /// At most 32 bytes are written (RFC 7022 asks for 16 characters).
    pub cname: &'a [u8],
    pub bye: bool,
}

impl Report<'_> {
    /// Writes the compound and returns it.
    pub fn write<'b>(&self, buffer: &'b mut [u8; REPORT_LEN_MAX]) -> &'b [u8] {
        let mut out = Writer { bytes: buffer, at: 0 };
        let blocks = self.block.iter().len();
        let words = 1 + self.sender.map_or(0, |_| 5) + blocks * (BLOCK_LEN / 4);
        out.header(blocks, if self.sender.is_some() { 200 } else { 201 }, words);
        out.word(self.ssrc);
        if let Some(info) = &self.sender {
            out.word((info.ntp >> 32) as u32);
            out.word(info.ntp as u32);
            out.word(info.timestamp);
            out.word(info.packets);
            out.word(info.octets);
        }
        if let Some(block) = &self.block {
            block.write(&mut out);
        }
        let cname = self.cname.get(..32).unwrap_or(self.cname);
        // An item's head, the name, at least one zero byte to end the chunk (RFC 3550 §6.5).
        let item_words = (2 + cname.len()) / 4 + 1;
        out.header(1, 202, 1 + item_words);
        out.word(self.ssrc);
        out.put(&[1, cname.len() as u8]);
        out.put(cname);
        out.put(&[0; 4][..item_words * 4 - 2 - cname.len()]);
        if self.bye {
            out.header(1, 203, 1);
            out.word(self.ssrc);
        }
        let Writer { bytes, at } = out;
        &bytes[..at]
    }
}

struct Writer<'a> {
    bytes: &'a mut [u8; REPORT_LEN_MAX],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.at..self.at + bytes.len()) {
            room.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_be_bytes());
    }

    fn header(&mut self, count: usize, kind: u8, words: usize) {
        self.put(&[0x80 | count as u8, kind, (words >> 8) as u8, words as u8]);
    }
}

/// A peer's latest sender report, for LSR and DLSR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastReport {
    pub middle: u32,
    pub at: Instant,
}

impl LastReport {
    /// LSR and DLSR of a block written at `now`.
    pub fn fields(&self, now: Instant) -> (u32, u32) {
        (self.middle, to_65536ths(u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX >> 16)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block {
        ssrc: 7,
        fraction_lost: 64,
        lost: -5,
        sequence_max: 0x1_0002,
        jitter: 33,
        last_report: 0x1234_5678,
        delay: 65_536,
    };
    const INFO: SenderInfo = SenderInfo { ntp: 0x1122_3344_5566_7788, timestamp: 9, packets: 10, octets: 1_600 };

    #[test]
    fn what_is_written_is_read_back() {
        let cname = b"0123456789abcdef";
        type Row<'a> = (Option<SenderInfo>, Option<Block>, &'a [u8], bool, usize);
        let rows: [Row<'_>; 6] = [
            (None, None, cname, false, 8 + 28),
            (Some(INFO), None, cname, false, 28 + 28),
            (Some(INFO), Some(BLOCK), cname, true, 52 + 28 + 8),
            (None, Some(BLOCK), b"ab", false, 32 + 16),
            (None, Some(BLOCK), b"a", true, 32 + 12 + 8),
            (Some(INFO), Some(BLOCK), &[b'x'; 40], true, 52 + 44 + 8),
        ];
        for (sender, block, cname, bye, length) in rows {
            let mut buffer = [0xff; REPORT_LEN_MAX];
            let bytes = Report { ssrc: 42, sender, block, cname, bye }.write(&mut buffer);
            assert_eq!(bytes.len(), length);
            let mut packets = parse(bytes).expect("our own compound");
            match packets.next() {
                Some(Packet::SenderReport { ssrc: 42, info, blocks }) => {
                    assert_eq!((Some(info), blocks.last()), (sender, block));
                }
                Some(Packet::ReceiverReport { ssrc: 42, blocks }) => {
                    assert_eq!((None, blocks.last()), (sender, block));
                }
                other => panic!("{other:?}"),
            }
            let Some(Packet::Description(chunk)) = packets.next() else { panic!("no SDES") };
            let cut = cname.len().min(32);
            assert_eq!(
                (chunk[4], usize::from(chunk[5]), &chunk[6..6 + cut], chunk[6 + cut]),
                (1, cut, &cname[..cut], 0)
            );
            assert_eq!(packets.next(), bye.then_some(Packet::Bye(&42u32.to_be_bytes())));
            assert_eq!(packets.next(), None);
        }
    }

    #[test]
    fn broken_compounds_are_refused_whole() {
        let mut buffer = [0; REPORT_LEN_MAX];
        let good = Report { ssrc: 42, sender: None, block: Some(BLOCK), cname: b"a", bye: true }.write(&mut buffer);
        assert!(parse(good).is_some());
        for cut in 1..good.len() {
            let whole = cut == 8 || cut == 20;
            assert_eq!(parse(&good[..good.len() - cut]).is_some(), whole, "{cut}");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            parse(&bytes).is_some()
        };
        assert!(!with(0, 0x82), "more blocks than there is room for");
        assert!(!with(0, 0x41), "another version");
        assert!(!with(0, 0xa1), "padding before the last packet");
        assert!(!with(1, 100), "no RTCP");
        assert!(with(1, 207), "extended report");
        assert!(with(1, 206), "feedback");
        assert!(parse(&[]).is_none());
        // A padded last packet, and one that is all padding.
        assert!(parse(&[0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]).is_some());
        assert!(parse(&[0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 8]).is_none());
        assert!(parse(&[0xa0, 201, 0, 0]).is_none());
    }

    #[test]
    fn ntp_and_round_trip() {
        assert_eq!(ntp(Wall(0)), 2_208_988_800 << 32);
        assert_eq!(ntp(Wall(1_500_000)), 2_208_988_801 << 32 | 1 << 31);
        // RFC 3550 figure 2: A 0xb710:8000, LSR 0xb705:2000, DLSR 0x0005.4000 give 6.125 s.
        let block = Block { last_report: 0xb705_2000, delay: 0x0005_4000, ..BLOCK };
        assert_eq!(round_trip_us(0xb710_8000, &block), Some(6_125_000));
        assert_eq!(round_trip_us(0xb705_2000, &block), None, "negative");
        assert_eq!(round_trip_us(0xb710_8000, &Block { last_report: 0, ..block }), None);
        let last = LastReport { middle: 5, at: Instant::from_micros(1_000_000) };
        assert_eq!(last.fields(Instant::from_micros(3_500_000)), (5, 0x2_8000));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..160)) {
            if bytes.len() > 4 {
                (bytes[0], bytes[1], bytes[2]) = (bytes[0] & 0x3f | 0x80, 200 + bytes[1] % 8, 0);
                bytes[3] %= 16;
            }
            for packet in parse(&bytes).into_iter().flatten() {
                if let Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } = packet {
                    assert!(blocks.count() <= 31);
                }
            }
        }
    }
}
