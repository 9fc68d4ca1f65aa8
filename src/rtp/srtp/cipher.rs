//! The transforms of SRTP: AES in counter mode with HMAC-SHA1 (RFC 3711 §4, RFC 6188) and AES-GCM (RFC 7714), and the
//! derivation of session keys (RFC 3711 §4.3). No state but the keys: the index of a packet is the caller's to know.

use super::authenticator::Authenticator;
use super::keys::{Master, Suite};
use aes::cipher::array::Array;
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm};

type Block = Array<u8, U16>;

/// Blocks of keystream that are made at once: 160 bytes of sound are ten.
const BLOCKS: usize = 16;
/// Tag of AES-GCM (RFC 7714 §13) and the longest of all.
pub const GCM_TAG_LEN: usize = 16;
/// Tag of SRTCP in the suites with HMAC, whatever that of SRTP is (RFC 4568 §6.2).
const RTCP_TAG_LEN: usize = 10;
/// RTCP's header with the sender's SSRC, which is never encrypted (RFC 3711 §3.4).
pub const RTCP_HEAD: usize = 8;
/// Flag of an encrypted SRTCP packet, before its index.
pub const ENCRYPTED: u32 = 1 << 31;

/// What a session key is for: labels of RFC 3711 §4.3.2, RTP's and RTCP's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Rtp,
    Rtcp,
}

impl Purpose {
    const fn first_label(self) -> u8 {
        match self {
            Purpose::Rtp => 0,
            Purpose::Rtcp => 3,
        }
    }
}

/// The keyed state of one direction and one purpose.
pub struct Transform {
    cipher: Cipher,
    /// Session salt as a number: 112 bits in counter mode, 96 in GCM.
    salt: u128,
}

enum Cipher {
    Counter128(Aes128Enc, Authenticator),
    Counter256(Aes256Enc, Authenticator),
    // Apart, since they are thrice as large as what most calls use, which is to lie in few lines of the processor's caches.
    Gcm128(Box<Aes128Gcm>),
    Gcm256(Box<Aes256Gcm>),
}

impl Transform {
    /// Derives the session keys of a purpose; the key derivation rate is 0, as SDES and DTLS-SRTP have it.
    pub fn new(master: &Master, purpose: Purpose) -> Transform {
        let label = purpose.first_label();
        let suite = master.suite();
        let (mut key, mut auth, mut salt) = ([0; 32], [0; 20], [0; 14]);
        let key_len = suite.key_len();
        let used = key.get_mut(..key_len).unwrap_or_default();
        derive(master, label, used);
        derive(master, label + 1, &mut auth);
        let salt_len = suite.salt_len();
        derive(master, label + 2, salt.get_mut(14 - salt_len..).unwrap_or_default());
        let salt = number(&salt);
        let cipher = Cipher::new(suite, purpose, &key, &auth);
        wipe(&mut key);
        wipe(&mut auth);
        Transform { cipher, salt }
    }

    /// Bytes that a packet grows by: the tag.
    pub const fn tag_len(&self) -> usize {
        match &self.cipher {
            Cipher::Counter128(_, mac) | Cipher::Counter256(_, mac) => mac.tag_len(),
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => GCM_TAG_LEN,
        }
    }

    /// Whether the tag is the ciphertext's own end, before SRTCP's index and the MKI, rather than the packet's.
    pub const fn is_aead(&self) -> bool {
        matches!(self.cipher, Cipher::Gcm128(_) | Cipher::Gcm256(_))
    }

    /// SSRC and index against the salt: the IV of RFC 3711 §4.1.1 without its block counter, and that of RFC 7714 §8.1, §9.1.
    fn iv(&self, ssrc: u32, index: u64) -> u128 {
        self.salt ^ u128::from(ssrc) << 48 ^ u128::from(index)
    }

    /// Encrypts an RTP packet behind its header and writes the tag.
    pub fn seal_rtp(&self, (ssrc, index): (u32, u64), head: usize, packet: &mut [u8], tag: &mut [u8]) -> bool {
        let iv = self.iv(ssrc, index);
        let roc = ((index >> 16) as u32).to_be_bytes();
        let Some((header, payload)) = packet.split_at_mut_checked(head) else { return false };
        match &self.cipher {
            Cipher::Counter128(aes, mac) => {
                apply(aes, iv, payload);
                mac.write(packet, roc, tag);
            }
            Cipher::Counter256(aes, mac) => {
                apply(aes, iv, payload);
                mac.write(packet, roc, tag);
            }
            Cipher::Gcm128(gcm) => return seal(&**gcm, iv, header, payload, tag),
            Cipher::Gcm256(gcm) => return seal(&**gcm, iv, header, payload, tag),
        }
        true
    }

    /// Decrypts an RTP packet if its tag agrees; else the bytes stay as they are.
    pub fn open_rtp(&self, (ssrc, index): (u32, u64), head: usize, packet: &mut [u8], tag: &[u8]) -> bool {
        let iv = self.iv(ssrc, index);
        let roc = ((index >> 16) as u32).to_be_bytes();
        let agrees = |mac: &Authenticator, packet: &[u8]| mac.agrees(packet, roc, tag);
        match &self.cipher {
            Cipher::Counter128(_, mac) | Cipher::Counter256(_, mac) if !agrees(mac, packet) => return false,
            _ => {}
        }
        let Some((header, payload)) = packet.split_at_mut_checked(head) else { return false };
        match &self.cipher {
            Cipher::Counter128(aes, _) => apply(aes, iv, payload),
            Cipher::Counter256(aes, _) => apply(aes, iv, payload),
            Cipher::Gcm128(gcm) => return open(&**gcm, iv, header, payload, tag),
            Cipher::Gcm256(gcm) => return open(&**gcm, iv, header, payload, tag),
        }
        true
    }

    /// Encrypts an RTCP packet behind its first eight bytes and writes the tag; `index` is below 2³¹.
    pub fn seal_rtcp(&self, (ssrc, index): (u32, u32), packet: &mut [u8], tag: &mut [u8]) -> bool {
        let iv = self.iv(ssrc, u64::from(index));
        let word = (ENCRYPTED | index).to_be_bytes();
        let Some((header, payload)) = packet.split_first_chunk_mut::<RTCP_HEAD>() else { return false };
        match &self.cipher {
            Cipher::Counter128(aes, mac) => {
                apply(aes, iv, payload);
                mac.write(packet, word, tag);
            }
            Cipher::Counter256(aes, mac) => {
                apply(aes, iv, payload);
                mac.write(packet, word, tag);
            }
            Cipher::Gcm128(gcm) => return seal(&**gcm, iv, &associated(header, word), payload, tag),
            Cipher::Gcm256(gcm) => return seal(&**gcm, iv, &associated(header, word), payload, tag),
        }
        true
    }

    /// Decrypts an RTCP packet if its tag agrees; else the bytes stay as they are. `word` is the flag and the index as they came.
    pub fn open_rtcp(&self, (ssrc, word): (u32, u32), packet: &mut [u8], tag: &[u8]) -> bool {
        let (encrypted, index) = (word & ENCRYPTED != 0, word & !ENCRYPTED);
        let iv = self.iv(ssrc, u64::from(index));
        let word = word.to_be_bytes();
        match &self.cipher {
            Cipher::Counter128(_, mac) | Cipher::Counter256(_, mac) => {
                if !mac.agrees(packet, word, tag) {
                    return false;
                }
                if !encrypted {
                    return true;
                }
            }
            Cipher::Gcm128(_) | Cipher::Gcm256(_) if !encrypted => return self.verify_rtcp(iv, word, packet, tag),
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => {}
        }
        let Some((header, payload)) = packet.split_first_chunk_mut::<RTCP_HEAD>() else { return false };
        match &self.cipher {
            Cipher::Counter128(aes, _) => apply(aes, iv, payload),
            Cipher::Counter256(aes, _) => apply(aes, iv, payload),
            Cipher::Gcm128(gcm) => return open(&**gcm, iv, &associated(header, word), payload, tag),
            Cipher::Gcm256(gcm) => return open(&**gcm, iv, &associated(header, word), payload, tag),
        }
        true
    }

    /// Whether the tag of an RTCP packet that is not encrypted agrees: all of it is associated data (RFC 7714 §9.3).
    fn verify_rtcp(&self, iv: u128, word: [u8; 4], packet: &[u8], tag: &[u8]) -> bool {
        // Longer reports than a datagram of Ethernet are no reports.
        let mut whole = [0; 1_500];
        let len = packet.len() + word.len();
        let Some(data) = whole.get_mut(..len) else { return false };
        data.iter_mut().zip(packet.iter().chain(&word)).for_each(|(place, byte)| *place = *byte);
        match &self.cipher {
            Cipher::Gcm128(gcm) => open(&**gcm, iv, data, &mut [], tag),
            Cipher::Gcm256(gcm) => open(&**gcm, iv, data, &mut [], tag),
            Cipher::Counter128(..) | Cipher::Counter256(..) => false,
        }
    }
}

impl Cipher {
    fn new(suite: Suite, purpose: Purpose, key: &[u8; 32], auth: &[u8; 20]) -> Cipher {
        let short: &[u8; 16] = key.first_chunk().unwrap_or(&[0; 16]);
        let mac = |tag_len| {
            let tag_len = if purpose == Purpose::Rtcp { RTCP_TAG_LEN } else { tag_len };
            Authenticator::new(auth, tag_len)
        };
        match suite {
            Suite::AesCm128HmacSha1_80 => Cipher::Counter128(Aes128Enc::new(short.into()), mac(10)),
            Suite::AesCm128HmacSha1_32 => Cipher::Counter128(Aes128Enc::new(short.into()), mac(4)),
            Suite::AesCm256HmacSha1_80 => Cipher::Counter256(Aes256Enc::new(key.into()), mac(10)),
            Suite::AesCm256HmacSha1_32 => Cipher::Counter256(Aes256Enc::new(key.into()), mac(4)),
            Suite::AeadAes128Gcm => Cipher::Gcm128(Box::new(Aes128Gcm::new(short.into()))),
            Suite::AeadAes256Gcm => Cipher::Gcm256(Box::new(Aes256Gcm::new(key.into()))),
        }
    }
}

/// One session key (RFC 3711 §4.3.1): keystream under the master key, by label. A salt of 96 bits is filled up on its right
/// (RFC 7714 §11).
fn derive(master: &Master, label: u8, out: &mut [u8]) {
    let mut salt = [0; 14];
    salt.iter_mut().zip(master.salt()).for_each(|(place, byte)| *place = *byte);
    let iv = number(&salt) ^ u128::from(label) << 48;
    out.fill(0);
    Keystream::new(master.key()).apply(iv, out);
}

/// AES in counter mode under a key of 16 or 32 bytes.
pub enum Keystream {
    Short(Aes128Enc),
    Long(Aes256Enc),
}

impl Keystream {
    /// `key` is 16 bytes, or 32; nothing else is a master key.
    pub fn new(key: &[u8]) -> Keystream {
        match <&[u8; 32]>::try_from(key) {
            Ok(long) => Keystream::Long(Aes256Enc::new(long.into())),
            Err(_) => Keystream::Short(Aes128Enc::new(key.first_chunk().unwrap_or(&[0; 16]).into())),
        }
    }

    /// Encrypts or decrypts in place; `iv` has 112 bits, before a block counter of 16.
    pub fn apply(&self, iv: u128, bytes: &mut [u8]) {
        match self {
            Keystream::Short(aes) => apply(aes, iv, bytes),
            Keystream::Long(aes) => apply(aes, iv, bytes),
        }
    }
}

fn apply(aes: &impl BlockCipherEncrypt<BlockSize = U16>, iv: u128, bytes: &mut [u8]) {
    let mut counter = iv << 16;
    for chunk in bytes.chunks_mut(16 * BLOCKS) {
        let mut blocks = [Block::default(); BLOCKS];
        let Some(used) = blocks.get_mut(..chunk.len().div_ceil(16)) else { return };
        for block in used.iter_mut() {
            *block = counter.to_be_bytes().into();
            counter = counter.wrapping_add(1);
        }
        aes.encrypt_blocks(used);
        let (whole, rest) = chunk.as_chunks_mut::<16>();
        for (bytes, block) in whole.iter_mut().zip(used.iter()) {
            *bytes = (u128::from_ne_bytes(*bytes) ^ u128::from_ne_bytes((*block).into())).to_ne_bytes();
        }
        if let Some(last) = used.last() {
            rest.iter_mut().zip(last).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

fn seal(
    gcm: &impl AeadInOut<NonceSize = aes::cipher::consts::U12>,
    iv: u128,
    data: &[u8],
    text: &mut [u8],
    tag: &mut [u8],
) -> bool {
    let Ok(made) = gcm.encrypt_inout_detached(&nonce(iv).into(), data, text.into()) else { return false };
    tag.iter_mut().zip(made).for_each(|(place, byte)| *place = byte);
    true
}

/// Compares the tag, in constant time, before a byte of the text is changed.
fn open(
    gcm: &impl AeadInOut<NonceSize = aes::cipher::consts::U12>,
    iv: u128,
    data: &[u8],
    text: &mut [u8],
    tag: &[u8],
) -> bool {
    let Ok(tag) = tag.try_into() else { return false };
    gcm.decrypt_inout_detached(&nonce(iv).into(), data, text.into(), tag).is_ok()
}

/// The low 96 bits.
fn nonce(iv: u128) -> [u8; 12] {
    iv.to_be_bytes().last_chunk().copied().unwrap_or_default()
}

fn associated(header: &[u8; RTCP_HEAD], word: [u8; 4]) -> [u8; 12] {
    let mut out = [0; 12];
    out.iter_mut().zip(header.iter().chain(&word)).for_each(|(place, byte)| *place = *byte);
    out
}

/// 112 bits, big-endian.
fn number(bytes: &[u8; 14]) -> u128 {
    bytes.iter().fold(0, |n, byte| n << 8 | u128::from(*byte))
}

/// Overwrites a key that is needed no more.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

#[cfg(test)]
impl Transform {
    /// With session keys as they are, in GCM: what the vectors of RFC 7714 begin with.
    pub fn with_session_keys(suite: Suite, key: &[u8], salt: &[u8]) -> Transform {
        let mut long = [0; 32];
        long[..key.len()].copy_from_slice(key);
        let mut padded = [0; 14];
        padded[14 - salt.len()..].copy_from_slice(salt);
        Transform { cipher: Cipher::new(suite, Purpose::Rtp, &long, &[0; 20]), salt: number(&padded) }
    }

    pub fn derived(master: &Master, label: u8, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        derive(master, label, &mut out);
        out
    }
}
