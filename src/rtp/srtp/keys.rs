//! Suites and master keys, whoever agreed on them: SDES in a session description (RFC 4568), or a DTLS handshake (RFC 5764).

use super::cipher::{Keystream, wipe};
use crate::base::pii::constant_time_eq;
use std::fmt;

/// Longest MKI that is taken, in bytes; RFC 4568 §6.1 allows 128, and nobody uses more than 4.
pub const MKI_LEN_MAX: usize = 8;

/// A crypto suite. In order of preference: what a peer that has it is to use first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// RFC 7714.
    AeadAes256Gcm,
    AeadAes128Gcm,
    /// RFC 6188; a tag of 80 bits.
    AesCm256HmacSha1_80,
    /// RFC 4568 §6.2.1: what everybody has.
    AesCm128HmacSha1_80,
    AesCm256HmacSha1_32,
    /// A tag of 32 bits for RTP, of 80 for RTCP.
    AesCm128HmacSha1_32,
}

impl Suite {
    pub const ALL: [Suite; 6] = [
        Suite::AeadAes256Gcm,
        Suite::AeadAes128Gcm,
        Suite::AesCm256HmacSha1_80,
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AesCm128HmacSha1_32,
    ];

    /// The registered name (RFC 4568 §10.3.2, RFC 6188 §4.1, RFC 7714 §14.1).
    pub const fn name(self) -> &'static str {
        match self {
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// By its registered name, whose letters are compared without their case.
    pub fn from_name(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| name.eq_ignore_ascii_case(suite.name()))
    }

    /// Bytes of the master key.
    pub const fn key_len(self) -> usize {
        match self {
            Suite::AeadAes128Gcm | Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 16,
            Suite::AeadAes256Gcm | Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => 32,
        }
    }

    /// Bytes of the master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
            _ => 14,
        }
    }

    /// Bytes of key and salt, as both protocols hand them over.
    pub const fn material_len(self) -> usize {
        self.key_len() + self.salt_len()
    }
}

/// A master key and salt of one direction. Never printed, wiped when dropped, compared in constant time.
#[derive(Clone)]
pub struct Master {
    suite: Suite,
    material: [u8; Master::LEN_MAX],
    mki: [u8; MKI_LEN_MAX],
    mki_len: usize,
}

impl Master {
    /// Most bytes of key and salt.
    pub const LEN_MAX: usize = 46;

    /// `material` is the key and the salt behind it, [`Suite::material_len`] bytes in all; `mki` stands in each packet that
    /// this key protects (RFC 3711 §3.1) and is empty as a rule. `None` for any other length.
    pub fn new(suite: Suite, material: &[u8], mki: &[u8]) -> Option<Master> {
        if material.len() != suite.material_len() || mki.len() > MKI_LEN_MAX {
            return None;
        }
        let mut master = Master { suite, material: [0; Master::LEN_MAX], mki: [0; MKI_LEN_MAX], mki_len: mki.len() };
        master.material.iter_mut().zip(material).for_each(|(place, byte)| *place = *byte);
        master.mki.iter_mut().zip(mki).for_each(|(place, byte)| *place = *byte);
        Some(master)
    }

    /// A key that nobody has seen.
    pub fn generate(suite: Suite, source: &mut KeySource) -> Master {
        let mut master = Master { suite, material: [0; Master::LEN_MAX], mki: [0; MKI_LEN_MAX], mki_len: 0 };
        source.fill(master.material.get_mut(..suite.material_len()).unwrap_or_default());
        master
    }

    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, for a description or a handshake.
    pub fn material(&self) -> &[u8] {
        self.material.get(..self.suite.material_len()).unwrap_or_default()
    }

    pub fn mki(&self) -> &[u8] {
        self.mki.get(..self.mki_len).unwrap_or_default()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.material.get(..self.suite.key_len()).unwrap_or_default()
    }

    pub(super) fn salt(&self) -> &[u8] {
        self.material().get(self.suite.key_len()..).unwrap_or_default()
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <secret>", self.suite.name())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        wipe(&mut self.material);
    }
}

impl PartialEq for Master {
    fn eq(&self, other: &Master) -> bool {
        self.suite == other.suite && self.mki() == other.mki() && constant_time_eq(&self.material, &other.material)
    }
}

impl Eq for Master {}

/// Both directions of one leg. They may use different suites only where DTLS or SDES lets them; here each names its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// What we protect with.
    pub send: Master,
    /// What the peer protects with.
    pub receive: Master,
}

/// Where keys come from: AES-256 in counter mode, keyed anew after each draw, so that a key once given cannot be found from
/// what the process holds later. The shell seeds it with 32 bytes from the operating system, the simulator from its seed.
pub struct KeySource([u8; 32]);

impl KeySource {
    pub const fn new(seed: [u8; 32]) -> KeySource {
        KeySource(seed)
    }

    /// Fills `out`, at most 1 MiB of it: that is where the block counter ends.
    pub fn fill(&mut self, out: &mut [u8]) {
        let stream = Keystream::new(&self.0);
        out.fill(0);
        stream.apply(1, out.get_mut(..out.len().min(1 << 20)).unwrap_or_default());
        self.0 = [0; 32];
        stream.apply(0, &mut self.0);
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Drop for KeySource {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}
