//! WAV as it is written while sound still comes: PCM of 16 bits or G.711, one or two channels.
//!
//! The header is written first with sizes that say "until the end of the file", so that a file which is cut anywhere can be
//! read, and once more at the end with the true ones. Beyond 4 GiB the same header becomes RF64 (EBU Tech 3306), for whose
//! sizes it keeps room in a JUNK chunk.

/// How a sample is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    Pcm16,
    Ulaw,
    Alaw,
}

impl Coding {
    /// `wFormatTag` of RFC 2361.
    const fn tag(self) -> u16 {
        match self {
            Coding::Pcm16 => 1,
            Coding::Alaw => 6,
            Coding::Ulaw => 7,
        }
    }

    pub const fn bytes(self) -> u16 {
        match self {
            Coding::Pcm16 => 2,
            Coding::Ulaw | Coding::Alaw => 1,
        }
    }
}

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    pub coding: Coding,
    pub channels: u16,
    /// Samples a second of each channel.
    pub rate: u32,
}

/// Bytes of `ds64`: two sizes, the number of samples, an empty table.
const DS64_LEN: u32 = 28;
const UNKNOWN: u32 = u32::MAX;

impl Layout {
    /// Bytes of one moment: a sample of each channel.
    pub const fn block(self) -> u16 {
        self.coding.bytes() * self.channels
    }

    /// Length of the header in bytes, whatever the sizes in it.
    pub const fn header_len(self) -> usize {
        match self.coding {
            Coding::Pcm16 => 12 + 8 + DS64_LEN as usize + 8 + 16 + 8,
            Coding::Ulaw | Coding::Alaw => 12 + 8 + DS64_LEN as usize + 8 + 18 + 12 + 8,
        }
    }

    /// The header before `data` bytes of sound; `None` while nobody knows how many there will be.
    pub fn header(self, data: Option<u64>) -> Vec<u8> {
        let after_riff = self.header_len() as u64 - 8;
        let riff = data.map(|d| d + after_riff + d % 2);
        let small = riff.map(u32::try_from);
        let (id, riff_size, data_size) = match (small, data) {
            (Some(Ok(riff)), Some(data)) if riff != UNKNOWN => (b"RIFF", riff, data as u32),
            (Some(_), _) => (b"RF64", UNKNOWN, UNKNOWN),
            _ => (b"RIFF", UNKNOWN, UNKNOWN),
        };
        let moments = data.map_or(0, |d| d / u64::from(self.block().max(1)));
        let mut out = Vec::with_capacity(self.header_len());
        out.extend_from_slice(id);
        out.extend_from_slice(&riff_size.to_le_bytes());
        out.extend_from_slice(b"WAVE");
        let large = id == b"RF64";
        chunk(&mut out, if large { b"ds64" } else { b"JUNK" }, DS64_LEN);
        for size in [riff.unwrap_or(0), data.unwrap_or(0), moments] {
            out.extend_from_slice(&if large { size } else { 0 }.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        self.format(&mut out, moments);
        chunk(&mut out, b"data", data_size);
        out
    }

    fn format(self, out: &mut Vec<u8>, moments: u64) {
        let is_pcm = self.coding == Coding::Pcm16;
        chunk(out, b"fmt ", if is_pcm { 16 } else { 18 });
        out.extend_from_slice(&self.coding.tag().to_le_bytes());
        out.extend_from_slice(&self.channels.to_le_bytes());
        out.extend_from_slice(&self.rate.to_le_bytes());
        out.extend_from_slice(&(self.rate * u32::from(self.block())).to_le_bytes());
        out.extend_from_slice(&self.block().to_le_bytes());
        out.extend_from_slice(&(self.coding.bytes() * 8).to_le_bytes());
        if !is_pcm {
            out.extend_from_slice(&[0; 2]);
            // Compressed formats tell the number of samples by themselves.
            chunk(out, b"fact", 4);
            out.extend_from_slice(&u32::try_from(moments).unwrap_or(UNKNOWN).to_le_bytes());
        }
    }

    /// Appends samples of which the channels alternate.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        match self.coding {
            Coding::Pcm16 => {
                let start = out.len();
                out.resize(start + samples.len() * 2, 0);
                let (places, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
                places.iter_mut().zip(samples).for_each(|(place, sample)| *place = sample.to_le_bytes());
            }
            Coding::Ulaw => out.extend(samples.iter().map(|s| codecs::g711::ulaw_encode(*s))),
            Coding::Alaw => out.extend(samples.iter().map(|s| codecs::g711::alaw_encode(*s))),
        }
    }
}

fn chunk(out: &mut Vec<u8>, id: &[u8; 4], size: u32) {
    out.extend_from_slice(id);
    out.extend_from_slice(&size.to_le_bytes());
}

/// Samples, each by its channel's turn, of a file that [`Layout::header`] began; cut anywhere, what is there is read.
/// `None` if it is no such file.
pub fn read(bytes: &[u8]) -> Option<(Layout, Vec<i16>)> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if !matches!(bytes.get(..4)?, b"RIFF" | b"RF64") || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let (mut at, mut layout) = (12, None);
    loop {
        let (id, size) = (bytes.get(at..at + 4)?, word(at + 4)? as usize);
        let body = at + 8;
        match id {
            b"fmt " => {
                let coding = match half(body)? {
                    1 if half(body + 14)? == 16 => Coding::Pcm16,
                    6 => Coding::Alaw,
                    7 => Coding::Ulaw,
                    _ => return None,
                };
                layout = Some(Layout { coding, channels: half(body + 2)?, rate: word(body + 4)? });
            }
            b"data" => {
                let layout = layout.filter(|l| (1..=2).contains(&l.channels))?;
                let data = bytes.get(body..)?;
                let data = data.get(..size.min(data.len())).unwrap_or_default();
                let whole = data.len() - data.len() % usize::from(layout.block());
                return Some((layout, decode(layout.coding, data.get(..whole)?)));
            }
            _ => {}
        }
        at = body.checked_add(size)?.checked_add(size % 2)?;
    }
}

fn decode(coding: Coding, data: &[u8]) -> Vec<i16> {
    match coding {
        Coding::Pcm16 => data.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)).collect(),
        Coding::Ulaw => data.iter().map(|b| codecs::g711::ulaw_decode(*b)).collect(),
        Coding::Alaw => data.iter().map(|b| codecs::g711::alaw_decode(*b)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layouts() -> impl Iterator<Item = Layout> {
        [Coding::Pcm16, Coding::Ulaw, Coding::Alaw]
            .into_iter()
            .flat_map(|coding| [1, 2].map(|channels| Layout { coding, channels, rate: 8_000 * u32::from(channels) }))
    }

    #[test]
    fn what_is_cut_anywhere_can_be_read() {
        let samples: Vec<i16> = (0..320).map(|n| (n * 97 % 8_000 - 4_000) as i16).collect();
        for layout in layouts() {
            for sizes in [None, Some(320 * u64::from(layout.coding.bytes()))] {
                let mut file = layout.header(sizes);
                assert_eq!(file.len(), layout.header_len(), "{layout:?}");
                layout.encode(&samples, &mut file);
                let (found, whole) = read(&file).unwrap();
                assert_eq!((found, whole.len()), (layout, 320));
                if layout.coding == Coding::Pcm16 {
                    assert_eq!(whole, samples);
                }
                for cut in layout.header_len()..file.len() {
                    let (_, some) = read(&file[..cut]).unwrap();
                    assert_eq!(some[..], whole[..some.len()], "{layout:?} {cut}");
                    assert_eq!(
                        some.len() / usize::from(layout.channels),
                        (cut - layout.header_len()) / usize::from(layout.block())
                    );
                }
                (0..layout.header_len()).for_each(|cut| assert_eq!(read(&file[..cut]), None, "{layout:?} {cut}"));
            }
        }
    }

    #[test]
    fn another_reader_agrees() {
        let layout = Layout { coding: Coding::Pcm16, channels: 2, rate: 8_000 };
        let mut file = layout.header(Some(8));
        layout.encode(&[1, -2, 300, -400], &mut file);
        let mut reader = hound::WavReader::new(std::io::Cursor::new(file)).unwrap();
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 8_000));
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [1, -2, 300, -400]);
    }

    #[test]
    fn beyond_four_gigabytes_it_is_rf64() {
        let layout = Layout { coding: Coding::Pcm16, channels: 2, rate: 16_000 };
        for (data, large) in [(u64::from(u32::MAX) - 100, false), (u64::from(u32::MAX) - 40, true), (1 << 40, true)] {
            let header = layout.header(Some(data));
            assert_eq!((header.len(), &header[..4] == b"RF64"), (layout.header_len(), large), "{data}");
            if large {
                assert_eq!(&header[12..16], b"ds64");
                assert_eq!(header[28..36], data.to_le_bytes());
                assert_eq!(header[36..44], (data / 4).to_le_bytes());
            }
        }
    }
}
