//! HMAC-SHA1 (RFC 2104) over a packet and a word behind it, as SRTP's tags are made (RFC 3711 §4.2.1).

use super::cipher::wipe;
use crate::base::pii::constant_time_eq;
use sha1::block_api::compress;

/// SHA-1's state before its first block (FIPS 180-4 §5.3.1).
const FIRST: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
const BLOCK: usize = 64;
const LENGTH: usize = 20;
/// The bit behind what is hashed, and its length in bits.
const PADDING: usize = 1 + 8;
/// Longest word behind a packet.
const WORD: usize = 4;

/// A key whose two blocks have been hashed. Only their states are kept: a relayed packet finds its leg's keys out of the
/// processor's caches, and pays for each line of them.
pub struct Authenticator {
    inner: [u32; 5],
    outer: [u32; 5],
    tag_len: usize,
}

impl Authenticator {
    /// `tag_len` octets of the digest are the tag.
    pub fn new(key: &[u8; LENGTH], tag_len: usize) -> Authenticator {
        let keyed = |pad: u8| {
            let (mut state, mut block) = (FIRST, [pad; BLOCK]);
            block.iter_mut().zip(key).for_each(|(place, byte)| *place ^= byte);
            compress(&mut state, &[block]);
            wipe(&mut block);
            state
        };
        Authenticator { inner: keyed(0x36), outer: keyed(0x5c), tag_len }
    }

    pub const fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Writes the tag of a packet and the word behind it.
    #[inline]
    pub fn write(&self, packet: &[u8], word: [u8; WORD], tag: &mut [u8]) {
        tag.iter_mut().zip(self.digest(packet, word)).for_each(|(place, byte)| *place = byte);
    }

    /// Takes the same time whatever the tag.
    #[inline]
    pub fn agrees(&self, packet: &[u8], word: [u8; WORD], tag: &[u8]) -> bool {
        tag.len() == self.tag_len
            && self.digest(packet, word).get(..tag.len()).is_some_and(|d| constant_time_eq(d, tag))
    }

    fn digest(&self, packet: &[u8], word: [u8; WORD]) -> [u8; LENGTH] {
        let mut state = self.inner;
        let (whole, rest) = packet.as_chunks::<BLOCK>();
        compress(&mut state, whole);
        let mut end = [[0; BLOCK]; 2];
        let used = rest.len() + WORD + PADDING;
        let blocks = end.get_mut(..used.div_ceil(BLOCK)).unwrap_or_default();
        finish(blocks, [rest, &word], packet.len() + WORD);
        compress(&mut state, blocks);
        let mut last = [[0; BLOCK]];
        finish(&mut last, [&octets(state), &[]], LENGTH);
        let mut state = self.outer;
        compress(&mut state, &last);
        octets(state)
    }
}

/// Writes the end of what is hashed into blocks of zeroes, with its padding (FIPS 180-4 §5.1.1); before it stood the key's block and
/// what else there is of `len` octets.
#[inline]
fn finish(blocks: &mut [[u8; BLOCK]], end: [&[u8]; 2], len: usize) {
    let mut rest = blocks.as_flattened_mut();
    if let Some(length) = rest.last_chunk_mut::<8>() {
        *length = (8 * (BLOCK + len) as u64).to_be_bytes();
    }
    for part in end {
        let Some((place, behind)) = rest.split_at_mut_checked(part.len()) else { return };
        place.copy_from_slice(part);
        rest = behind;
    }
    rest.iter_mut().take(1).for_each(|place| *place = 0x80);
}

fn octets(state: [u32; 5]) -> [u8; LENGTH] {
    let mut octets = [0; LENGTH];
    octets.as_chunks_mut().0.iter_mut().zip(state).for_each(|(place, word)| *place = word.to_be_bytes());
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use sha1::Sha1;

    #[test]
    fn tags_are_those_of_another_hmac_at_every_length() {
        let key: [u8; LENGTH] = std::array::from_fn(|n| n as u8 * 11);
        let (packet, word): (Vec<u8>, _) = ((0..300u16).map(|n| n as u8).collect(), [9, 8, 7, 6]);
        for len in 0..packet.len() {
            let mut other = Hmac::<Sha1>::new_from_slice(&key).unwrap();
            other.update(&packet[..len]);
            other.update(&word);
            let expected = other.finalize().into_bytes();
            let ours = Authenticator::new(&key, 10);
            let mut tag = [0; 10];
            ours.write(&packet[..len], word, &mut tag);
            assert_eq!(tag, expected[..10], "{len}");
            assert!(ours.agrees(&packet[..len], word, &tag) && !ours.agrees(&packet[..len], word, &tag[..9]));
            tag[9] ^= 1;
            assert!(!ours.agrees(&packet[..len], word, &tag));
        }
    }
}
