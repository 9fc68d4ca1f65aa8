//! Opus in Ogg (RFC 7845, RFC 3533), page by page: a file that is cut anywhere can be read up to its last whole page.
//!
//! Two tracks are two independent streams in each packet (mapping family 1, no coupling): what one party says is never
//! smeared into the other's channel.

use super::crc::ogg as checksum;

/// Packets of 20 ms in one page: one second, and less than the 255 pieces that a page has room for.
const PACKETS_MAX: u32 = 50;
const PIECES_MAX: usize = 255;
/// Samples at 48 kHz, in which Ogg counts, of a packet of 20 ms.
const PACKET_SAMPLES: u64 = 960;
const BEGIN: u8 = 2;
const END: u8 = 4;

/// See the module's documentation. The bytes that its functions return are the file, in order.
#[derive(Clone, Debug)]
pub struct Writer {
    serial: u32,
    page: u32,
    /// Samples at 48 kHz up to the end of the page that is being filled.
    granule: u64,
    packets: u32,
    pieces: Vec<u8>,
    body: Vec<u8>,
}

impl Writer {
    /// A file of one or two channels. `pre_skip` is the encoder's look-ahead in samples at 48 kHz, `rate` that of its input.
    pub fn new(serial: u32, channels: u8, pre_skip: u16, rate: u32, vendor: &str) -> (Writer, Vec<u8>) {
        let mut w = Writer { serial, page: 0, granule: 0, packets: 0, pieces: Vec::new(), body: Vec::new() };
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend_from_slice(&pre_skip.to_le_bytes());
        head.extend_from_slice(&rate.to_le_bytes());
        head.extend_from_slice(&0u16.to_le_bytes());
        match channels {
            2 => head.extend_from_slice(&[1, 2, 0, 0, 1]),
            _ => head.push(0),
        }
        w.add(&head);
        let mut file = w.close_page(BEGIN);
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
        tags.extend_from_slice(vendor.as_bytes());
        tags.extend_from_slice(&0u32.to_le_bytes());
        w.add(&tags);
        file.append(&mut w.close_page(0));
        (w, file)
    }

    /// Takes 20 ms of each channel, one Opus packet each of a single frame; a page if one is full.
    pub fn push(&mut self, first: &[u8], second: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut packet = Vec::with_capacity(first.len() + 2 + second.map_or(0, <[u8]>::len));
        match second {
            Some(second) => {
                delimited(first, &mut packet);
                packet.extend_from_slice(second);
            }
            None => packet.extend_from_slice(first),
        }
        let full = self.pieces.len() + packet.len() / 255 + 1 > PIECES_MAX;
        let page = (full || self.packets >= PACKETS_MAX).then(|| self.close_page(0));
        self.add(&packet);
        self.packets += 1;
        self.granule += PACKET_SAMPLES;
        page
    }

    /// What waits for its page to fill, as a page.
    pub fn flush(&mut self) -> Vec<u8> {
        if self.pieces.is_empty() { Vec::new() } else { self.close_page(0) }
    }

    /// The last page. `samples` at 48 kHz is the true length, less than what the packets hold if their end is padding.
    pub fn finish(mut self, samples: Option<u64>) -> Vec<u8> {
        self.granule = samples.map_or(self.granule, |s| s.min(self.granule));
        self.close_page(END)
    }

    fn add(&mut self, packet: &[u8]) {
        self.pieces.extend(std::iter::repeat_n(255, packet.len() / 255));
        self.pieces.push((packet.len() % 255) as u8);
        self.body.extend_from_slice(packet);
    }

    fn close_page(&mut self, flags: u8) -> Vec<u8> {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend_from_slice(&self.granule.to_le_bytes());
        page.extend_from_slice(&self.serial.to_le_bytes());
        page.extend_from_slice(&self.page.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(self.pieces.len() as u8);
        page.append(&mut self.pieces);
        page.append(&mut self.body);
        let crc = checksum(&page);
        if let Some(field) = page.get_mut(22..26) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        self.page += 1;
        self.packets = 0;
        page
    }
}

/// A packet of one frame with its length written (RFC 6716, appendix B), so that another may follow.
fn delimited(packet: &[u8], out: &mut Vec<u8>) {
    let Some((toc, frame)) = packet.split_first() else { return out.extend_from_slice(&[0, 0]) };
    out.push(*toc);
    // A frame has at most 1,275 bytes; lengths from 252 on take two bytes (RFC 6716 §3.2.1).
    let len = frame.len().min(1_275);
    match len {
        0..252 => out.push(len as u8),
        _ => {
            let low = 252 + (len - 252) % 4;
            out.extend_from_slice(&[low as u8, ((len - low) / 4) as u8]);
        }
    }
    out.extend_from_slice(frame.get(..len).unwrap_or_default());
}

/// How much of a file is whole pages of one stream with right checksums, and the samples at 48 kHz up to there.
pub fn whole(file: &[u8]) -> (usize, u64) {
    let (mut at, mut granule) = (0, 0);
    while let Some(page) = file.get(at..).filter(|p| p.starts_with(b"OggS\0")) {
        let Some(count) = page.get(26).map(|c| usize::from(*c)) else { break };
        let Some(pieces) = page.get(27..27 + count) else { break };
        let len = 27 + count + pieces.iter().map(|p| usize::from(*p)).sum::<usize>();
        let (Some(page), Some(stated)) = (page.get(..len), page.get(22..26)) else { break };
        let mut blank = page.to_vec();
        blank.get_mut(22..26).unwrap_or_default().fill(0);
        if checksum(&blank).to_le_bytes() != *stated {
            break;
        }
        granule = page.get(6..14).and_then(|g| g.try_into().ok()).map_or(granule, u64::from_le_bytes);
        at += len;
    }
    (at, granule)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of packets of growing length, and where its pages end.
    fn file(channels: u8, packets: usize) -> (Vec<u8>, Vec<usize>) {
        let (mut w, mut file) = Writer::new(7, channels, 312, 8_000, "t");
        let mut ends = vec![file.len()];
        for n in 0..packets {
            let packet = vec![n as u8; 1 + n * 5];
            if let Some(page) = w.push(&packet, (channels == 2).then_some(&packet[..])) {
                file.extend(page);
                ends.push(file.len());
            }
        }
        file.extend(w.finish(Some(packets as u64 * 960 - 100)));
        ends.push(file.len());
        (file, ends)
    }

    #[test]
    fn whole_pages_are_found_wherever_a_file_is_cut() {
        for channels in [1, 2] {
            let (file, ends) = file(channels, 120);
            assert_eq!(whole(&file), (file.len(), 120 * 960 - 100));
            for cut in (ends[0]..file.len()).step_by(61).chain(ends[1..].iter().map(|e| e - 1)) {
                let want = ends.iter().rfind(|e| **e <= cut).copied().unwrap();
                assert_eq!(whole(&file[..cut]).0, want, "{channels} {cut}");
            }
            let mut bent = file.clone();
            bent[ends[1] + 40] ^= 1;
            assert_eq!(whole(&bent).0, ends[1]);
        }
        assert_eq!((whole(b"").0, whole(b"OggS").0), (0, 0));
    }

    #[test]
    fn heads_say_what_they_hold() {
        let (file, _) = file(2, 1);
        assert_eq!(file[5], BEGIN);
        assert_eq!(file[26..28], [1, 23]);
        assert_eq!(file[28..55], *b"OpusHead\x01\x02\x38\x01\x40\x1f\0\0\0\0\x01\x02\0\0\x01OggS");
    }

    #[test]
    fn the_first_of_two_packets_says_its_length() {
        for (len, prefix) in
            [(0usize, vec![9, 0]), (251, vec![9, 251]), (252, vec![9, 252, 0]), (1_275, vec![9, 255, 255])]
        {
            let packet: Vec<u8> = std::iter::once(9).chain(std::iter::repeat_n(1, len)).collect();
            let mut out = Vec::new();
            delimited(&packet, &mut out);
            assert_eq!((&out[..prefix.len()], out.len()), (&prefix[..], prefix.len() + len));
        }
    }
}
