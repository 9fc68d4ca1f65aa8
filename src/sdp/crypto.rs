//! `a=crypto` (RFC 4568): a key of one direction, as a description carries it.

use super::description::Media;
use crate::base::base64::{decode, encode};
use crate::base::pii::Secret;

/// Longest MKI that is read, in bytes.
const MKI_LEN_MAX: usize = 8;

/// One `a=crypto` that can be used: one key by `inline`, no session parameter that would change what SRTP does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crypto {
    /// 1 to 9 digits; an answer repeats that of the offer.
    pub tag: u32,
    /// The crypto suite's registered name.
    pub suite: String,
    /// Master key and salt in Base64.
    key: Secret,
    key_len: usize,
    /// What stands in each packet for this key; empty as a rule.
    pub mki: Vec<u8>,
}

impl Crypto {
    /// `material` is the master key and the salt behind it.
    pub fn new(tag: u32, suite: &str, material: &[u8]) -> Crypto {
        let key = Secret::new(encode(material));
        Crypto { tag, suite: suite.to_owned(), key, key_len: material.len(), mki: Vec::new() }
    }

    /// Reads an attribute's value. `None` for what is malformed, or must be refused: several keys at once, an unknown key method,
    /// a session parameter that is not marked as one that may be ignored (RFC 4568 §6.3; `WSH`, and `KDR=0` as the default, change
    /// nothing).
    pub fn parse(value: &str) -> Option<Crypto> {
        let mut words = value.split_ascii_whitespace();
        let (tag, suite, keys) = (words.next()?, words.next()?, words.next()?);
        let is_tag = (1..=9).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_digit());
        if !is_tag || !words.all(may_be_ignored) {
            return None;
        }
        let (method, info) = keys.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
            return None;
        }
        let mut parts = info.split('|');
        let key = parts.next()?;
        let key_len = decode(key)?.len();
        let (mut mki, mut lifetime) = (Vec::new(), false);
        for part in parts {
            match part.split_once(':') {
                Some((value, len)) if mki.is_empty() => mki = read_mki(value, len)?,
                // What the peer's key lasts is the peer's to watch; we refuse none of its packets for it.
                None if mki.is_empty() && !lifetime && is_lifetime(part) => lifetime = true,
                _ => return None,
            }
        }
        let key = Secret::new(key.to_owned());
        Some(Crypto { tag: tag.parse().ok()?, suite: suite.to_owned(), key, key_len, mki })
    }

    /// Those of a stream that can be used, in the order of preference that is theirs.
    pub fn all_of(media: &Media) -> impl Iterator<Item = Crypto> {
        media.crypto.iter().filter_map(|value| Crypto::parse(value.expose()))
    }

    /// Master key and salt.
    pub fn material(&self) -> Vec<u8> {
        decode(self.key.expose()).unwrap_or_default()
    }

    /// Under another tag.
    pub(super) fn tagged(&self, tag: u32) -> Crypto {
        Crypto { tag, ..self.clone() }
    }

    /// The same suite with a key of the same length: what an answer may choose.
    pub(super) fn fits(&self, other: &Crypto) -> bool {
        self.suite.eq_ignore_ascii_case(&other.suite) && self.key_len == other.key_len
    }

    /// A suite whose RTP packets have a tag of 32 bits: taken where it is offered, not offered.
    pub(super) fn has_short_tag(&self) -> bool {
        self.suite.ends_with("_32")
    }

    /// The attribute's value.
    pub(super) fn to_value(&self) -> Secret {
        let mki = match self.mki.as_slice() {
            [] => String::new(),
            bytes => format!("|{}:{}", bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)), bytes.len()),
        };
        Secret::new(format!("{} {} inline:{}{mki}", self.tag, self.suite, self.key.expose()))
    }
}

/// A session parameter that changes nothing, or is marked as one that may be ignored.
fn may_be_ignored(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    name.starts_with('-') || name.eq_ignore_ascii_case("WSH") || name.eq_ignore_ascii_case("KDR") && value == "0"
}

/// `2^20`, or a number of packets.
fn is_lifetime(text: &str) -> bool {
    let number = text.strip_prefix("2^").unwrap_or(text);
    (1..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// `1:4`: a number, and its length in each packet.
fn read_mki(value: &str, len: &str) -> Option<Vec<u8>> {
    let len: usize = len.parse().ok().filter(|len| (1..=MKI_LEN_MAX).contains(len))?;
    let bytes = value.parse::<u64>().ok()?.to_be_bytes();
    let (above, bytes) = bytes.split_at_checked(bytes.len().checked_sub(len)?)?;
    above.iter().all(|b| *b == 0).then(|| bytes.to_vec())
}

/// Both directions, as offer and answer have settled them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secured {
    /// Our key.
    pub send: Crypto,
    /// The peer's.
    pub receive: Crypto,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn what_can_be_used_is_read_and_the_rest_passed_over() {
        let check = |value: &str, expected: Option<(u32, usize, &[u8])>| {
            let value = value.replace("KEY", KEY);
            let read = Crypto::parse(&value);
            let short = read.as_ref().map(|c| (c.tag, c.material().len(), c.mki.as_slice()));
            assert_eq!(short, expected, "{value}");
            if let Some(read) = read {
                assert_eq!(Crypto::parse(read.to_value().expose()), Some(read));
            }
        };
        let plain = Some((1, 30, &[][..]));
        check("1 AES_CM_128_HMAC_SHA1_80 inline:KEY", plain);
        check("1 aes_cm_128_hmac_sha1_80 INLINE:KEY|2^20", plain);
        check("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1000000 WSH=128", plain);
        check("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4", Some((1, 30, &[0, 0, 0, 1])));
        check("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|258:2 -NEW=1 KDR=0", Some((1, 30, &[1, 2])));
        check("123456789 AES_CM_128_HMAC_SHA1_80 inline:KEY", Some((123_456_789, 30, &[])));
        for bad in [
            "",
            "1",
            "1 SUITE",
            "x SUITE inline:KEY",
            "1234567890 SUITE inline:KEY",
            "+1 SUITE inline:KEY",
            "1 SUITE outline:KEY",
            "1 SUITE inline:K!Y",
            "1 SUITE inline:KEY;inline:KEY",
            "1 SUITE inline:KEY|1:4;inline:KEY|2:4",
            "1 SUITE inline:KEY|258:1",
            "1 SUITE inline:KEY|1:9",
            "1 SUITE inline:KEY|1:0",
            "1 SUITE inline:KEY|1:4|2^20",
            "1 SUITE inline:KEY|2^20|2^20",
            "1 SUITE inline:KEY|2^",
            "1 SUITE inline:KEY UNENCRYPTED_SRTP",
            "1 SUITE inline:KEY KDR=1",
            "1 SUITE inline:KEY UNAUTHENTICATED_SRTP WSH=64",
        ] {
            check(bad, None);
        }
        assert!(!format!("{:?}", Crypto::new(1, "S", &[7; 30])).contains("Bw"));
    }
}
