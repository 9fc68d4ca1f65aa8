//! The RTP header (RFC 3550 §5.1): read with every bound checked, written in place.

use std::ops::Range;

/// Length of the header that we write: no CSRC, no extension.
pub const HEADER_LEN: usize = 12;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Shorter than the fixed header.
    Short,
    /// Version other than 2: STUN, DTLS, noise.
    Version,
    /// RTCP by its packet type (RFC 5761 §4).
    Rtcp,
    /// The CSRC list goes beyond the end.
    Csrc,
    /// The header extension goes beyond the end.
    Extension,
    /// The padding is empty or longer than what it pads.
    Padding,
    /// Longer than a datagram can be.
    Long,
}

/// A header's fields and where the payload stands. Independent of the bytes, so that they may be rewritten in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    payload_start: u16,
    payload_end: u16,
}

/// Whether a datagram on a shared port is RTCP rather than RTP (RFC 5761 §4: packet types 192 to 223).
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, 192..=223, ..] if first >> 6 == 2)
}

impl Header {
    /// Reads the header of a datagram: version, CSRC list, extension and padding all lie within it.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
        let Some((fixed, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Err(Malformed::Short) };
        if fixed[0] >> 6 != 2 {
            return Err(Malformed::Version);
        }
        if (192..=223).contains(&fixed[1]) {
            return Err(Malformed::Rtcp);
        }
        let Ok(total) = u16::try_from(bytes.len()) else { return Err(Malformed::Long) };
        let payload = if fixed[0] & 0x3f == 0 { HEADER_LEN as u16..total } else { bounds(fixed[0], rest, total)? };
        Ok(Header {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload_start: payload.start,
            payload_end: payload.end,
        })
    }

    /// Where the payload stands in the datagram, padding excluded.
    pub const fn payload_range(&self) -> Range<usize> {
        self.payload_start as usize..self.payload_end as usize
    }

    /// The payload of the datagram that this was read from; empty for any other that is shorter.
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.payload_range()).unwrap_or(&[])
    }

    /// Writes a plain header directly before the payload and returns the packet that begins with it: CSRC list, extension
    /// and padding of the peer, which mean nothing to the other side, are left behind without a copy.
    ///
    /// The payload is that of the datagram that `self` was read from; any other that is shorter comes back empty.
    #[inline]
    pub fn rewrite<'a>(&self, fields: Fields, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let start = (self.payload_start as usize).saturating_sub(HEADER_LEN);
        let Some(packet) = bytes.get_mut(start..self.payload_end as usize) else { return &mut [] };
        fields.write(packet);
        packet
    }
}

/// How long the header is, with CSRC list and extension. Unlike [`Header::parse`] it does not look at the padding, whose length
/// an encrypted packet does not show.
#[inline]
pub fn header_len(bytes: &[u8]) -> Result<usize, Malformed> {
    match bytes {
        [first, second, ..] if first >> 6 == 2 => {
            if (192..=223).contains(second) {
                return Err(Malformed::Rtcp);
            }
            let rest = bytes.get(HEADER_LEN..).ok_or(Malformed::Short)?;
            let total = u16::try_from(bytes.len()).map_err(|_| Malformed::Long)?;
            if first & 0x1f == 0 {
                return Ok(HEADER_LEN);
            }
            bounds(first & !0x20, rest, total).map(|range| usize::from(range.start))
        }
        [_, _, ..] => Err(Malformed::Version),
        _ => Err(Malformed::Short),
    }
}

/// Where the payload begins and ends in a packet with CSRC list, extension or padding; `rest` is what follows 12 bytes.
fn bounds(first: u8, rest: &[u8], total: u16) -> Result<Range<u16>, Malformed> {
    let mut start = usize::from(first & 0x0f) * 4;
    if start > rest.len() {
        return Err(Malformed::Csrc);
    }
    if first & 0x10 != 0 {
        let Some([_, _, high, low]) = rest.get(start..start + 4) else { return Err(Malformed::Extension) };
        start += 4 + usize::from(u16::from_be_bytes([*high, *low])) * 4;
        if start > rest.len() {
            return Err(Malformed::Extension);
        }
    }
    let start = start + HEADER_LEN;
    let mut end = usize::from(total);
    if first & 0x20 != 0 {
        let padding = usize::from(rest.last().copied().unwrap_or(0));
        if padding == 0 || start + padding > end {
            return Err(Malformed::Padding);
        }
        end -= padding;
    }
    Ok(start as u16..end as u16)
}

/// The fields of a header to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fields {
    pub marker: bool,
    /// 0 to 127; a higher bit is cut off.
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

impl Fields {
    /// Writes a plain header (version 2; no padding, extension, CSRC) over the first 12 bytes; nothing if there are fewer.
    #[inline]
    pub fn write(&self, packet: &mut [u8]) {
        let Some(header) = packet.first_chunk_mut::<HEADER_LEN>() else { return };
        let [q0, q1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [s0, s1, s2, s3] = self.ssrc.to_be_bytes();
        let second = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        *header = [0x80, second, q0, q1, t0, t1, t2, t3, s0, s1, s2, s3];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use bytes::Bytes;
    use rtc_shared::marshal::Unmarshal;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn headers_are_read_with_every_bound_checked() {
        let check = |text: &str, expected: Result<(bool, u8, u16, &[u8]), Malformed>| {
            let bytes = hex(text);
            let read = Header::parse(&bytes);
            let short = read.map(|h| (h.marker, h.payload_type, h.sequence, h.payload(&bytes)));
            assert_eq!(short, expected, "{text}");
        };
        let tail = "0001 00000002 00000003";
        check(&format!("8000 {tail}"), Ok((false, 0, 1, &[])));
        check(&format!("8088 {tail} aabb"), Ok((true, 8, 1, &[0xaa, 0xbb])));
        check(&format!("8100 {tail} 11111111 cc"), Ok((false, 0, 1, &[0xcc])));
        check(&format!("8200 {tail} 11111111 22"), Err(Malformed::Csrc));
        check(&format!("9065 {tail} bede0001 10ff0000 dd"), Ok((false, 101, 1, &[0xdd])));
        check(&format!("9065 {tail} bede0002 10ff0000 dd"), Err(Malformed::Extension));
        check(&format!("9065 {tail} bede00"), Err(Malformed::Extension));
        check(&format!("9165 {tail} 11111111 00000000 ee"), Ok((false, 101, 1, &[0xee])));
        check(&format!("a000 {tail} ff 000003"), Ok((false, 0, 1, &[0xff])));
        check(&format!("a000 {tail} ff 000005"), Err(Malformed::Padding));
        check(&format!("a000 {tail} ff 000000"), Err(Malformed::Padding));
        check(&format!("a000 {tail}"), Err(Malformed::Padding));
        check(&format!("80c8 {tail}"), Err(Malformed::Rtcp));
        check(&format!("0001 {tail}"), Err(Malformed::Version));
        check("8000 0001 00000002 000000", Err(Malformed::Short));
        check("", Err(Malformed::Short));
    }

    #[test]
    fn a_rewritten_packet_carries_our_fields_and_the_peers_payload_only() {
        let mut bytes = hex("b1e5 0001 00000002 00000003 11111111 bede0001 10ff0000 a1a2 0002");
        let header = Header::parse(&bytes).unwrap();
        let fields = Fields { marker: true, payload_type: 8, sequence: 0xfffe, timestamp: 7, ssrc: 9 };
        let packet = header.rewrite(fields, &mut bytes);
        assert_eq!(packet, hex("8088 fffe 00000007 00000009 a1a2"));
        let again = Header::parse(packet).unwrap();
        assert_eq!((again.marker, again.payload_type, again.sequence), (true, 8, 0xfffe));
        assert!(header.rewrite(fields, &mut [0; 13]).is_empty(), "another, shorter datagram");
    }

    /// Mutated packets, read by us and by rtc-rtp. It differs in four stated ways: it reads any version, reads RTCP, takes
    /// padding of length 0, and looks into the elements of RFC 8285 extensions, whose form is not ours to judge.
    #[test]
    fn reads_what_another_library_reads() {
        let mut rng = Rng::from_seed(3550);
        let seeds = [
            hex("8088 0001 00000002 00000003 aabbccdd"),
            hex("b2e5 0001 00000002 00000003 11111111 22222222 00aa0001 10ff0000 a1a2a3 03"),
            hex("9065 ffff 80000002 00000003 00010000 dd"),
        ];
        let (mut both, mut neither) = (0, 0);
        for round in 0..30_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.next_u32() as u8;
            }
            bytes.truncate(bytes.len() - rng.below(6) as usize);
            let ours = Header::parse(&bytes);
            let extension = bytes.len() > 16 && bytes[0] & 0x10 != 0;
            if matches!(ours, Err(Malformed::Version | Malformed::Rtcp)) || extension && elements(&bytes) {
                continue;
            }
            if bytes[0] & 0x20 != 0 && bytes.last() == Some(&0) {
                continue;
            }
            match (ours, rtp::packet::Packet::unmarshal(&mut Bytes::copy_from_slice(&bytes))) {
                (Ok(h), Ok(theirs)) => {
                    both += 1;
                    let fields = (h.marker, h.payload_type, h.sequence, h.timestamp, h.ssrc);
                    let t = &theirs.header;
                    assert_eq!(fields, (t.marker, t.payload_type, t.sequence_number, t.timestamp, t.ssrc));
                    assert_eq!(h.payload(&bytes), &theirs.payload[..], "{bytes:02x?}");
                }
                (Err(_), Err(_)) => neither += 1,
                (a, b) => panic!("{bytes:02x?}: {a:?} beside {b:?}"),
            }
        }
        assert!(both > 10_000 && neither > 1_000, "{both} {neither}");
    }

    fn elements(bytes: &[u8]) -> bool {
        let at = 12 + usize::from(bytes[0] & 0x0f) * 4;
        matches!(bytes.get(at..at + 2), Some([0xbe, 0xde] | [0x10, 0x00]))
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            if let Ok(header) = Header::parse(&bytes) {
                let payload = header.payload(&bytes).len();
                let mut copy = bytes.clone();
                let fields = Fields { marker: false, payload_type: 1, sequence: 2, timestamp: 3, ssrc: 4 };
                assert_eq!(header.rewrite(fields, &mut copy).len(), payload + HEADER_LEN);
            }
        }
    }
}
