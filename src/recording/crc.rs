//! Checksums: CRC-32 (IEEE 802.3, as of zlib) of journal records and segments, Ogg's CRC-32 (RFC 3533 §6), SHA-256 of files.

use sha2::{Digest as _, Sha256};

/// Sixteen tables, so that sixteen bytes are taken at once.
static IEEE: [[u32; 256]; 16] = ieee_tables();
static OGG: [u32; 256] = ogg_table();

const fn ieee_tables() -> [[u32; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut n = 0;
    while n < 256 {
        let (mut value, mut bit) = (n as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        tables[0][n] = value;
        n += 1;
    }
    let mut t = 1;
    while t < 16 {
        let mut n = 0;
        while n < 256 {
            let before = tables[t - 1][n];
            tables[t][n] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            n += 1;
        }
        t += 1;
    }
    tables
}

const fn ogg_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut value, mut bit) = ((n as u32) << 24, 0);
        while bit < 8 {
            value = if value >> 31 == 1 { 0x04c1_1db7 ^ (value << 1) } else { value << 1 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
}

/// CRC-32 of bytes that come in portions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crc(u32);

impl Default for Crc {
    fn default() -> Crc {
        Crc(u32::MAX)
    }
}

impl Crc {
    pub fn of(bytes: &[u8]) -> u32 {
        let mut crc = Crc::default();
        crc.update(bytes);
        crc.value()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let (sixteens, rest) = bytes.as_chunks::<16>();
        let at = |table: usize, byte: u8| IEEE.get(table).map_or(0, |t| t[usize::from(byte)]);
        let mut crc = self.0;
        for block in sixteens {
            let [a, b, c, d, others @ ..] = block;
            let [w, x, y, z] = (crc ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
            let first = at(15, w) ^ at(14, x) ^ at(13, y) ^ at(12, z);
            crc = others.iter().enumerate().fold(first, |crc, (n, byte)| crc ^ at(11 - n, *byte));
        }
        for byte in rest {
            crc = (crc >> 8) ^ at(0, crc.to_le_bytes()[0] ^ byte);
        }
        self.0 = crc;
    }

    pub const fn value(self) -> u32 {
        !self.0
    }
}

/// Of an Ogg page whose checksum field is zero.
pub fn ogg(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc: u32, byte| (crc << 8) ^ OGG[usize::from((crc >> 24) as u8 ^ byte)])
}

/// SHA-256 of bytes that come in portions.
#[derive(Clone, Default)]
pub struct Sha(Sha256);

impl Sha {
    pub fn of(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// In hexadecimal, small letters.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes that hexadecimal digits say; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_check_values_hold() {
        assert_eq!(Crc::of(b"123456789"), 0xcbf4_3926);
        assert_eq!(ogg(b"123456789"), 0x89a1_897f);
        assert_eq!(hex(&Sha::of(b"abc"))[..16], *"ba7816bf8f01cfea");
        assert_eq!(unhex("00fFa0"), Some(vec![0, 255, 160]));
        assert_eq!((unhex("0"), unhex("0g"), unhex("é0")), (None, None, None));
    }

    #[test]
    fn portions_give_what_the_whole_gives() {
        let bytes: Vec<u8> = (0..200u32).map(|n| (n * 37 + n / 7) as u8).collect();
        for cut in 0..bytes.len() {
            let mut crc = Crc::default();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.value(), Crc::of(&bytes), "{cut}");
        }
    }
}
