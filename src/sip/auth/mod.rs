//! Digest authentication (RFC 7616 with RFC 8760; understands RFC 2617 and RFC 2069): as server [`Challenger`], as client
//! [`DigestClient`].
//!
//! Basic is neither offered nor answered. `userhash` and `username*` are not read.

mod client;
mod params;
mod server;

pub use client::{DigestClient, Refused, Tries};
pub use server::{Attempt, Challenger, Credential, Denied, Policy, Reason, User};

use super::wire::HeaderName;
use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

/// Hash functions, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

impl Algorithm {
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512_256 => "SHA-512-256",
        }
    }

    /// The algorithm and whether it is its `-sess` variant; absent ("") is MD5. `None` if unknown.
    fn parse(token: &str) -> Option<(Algorithm, bool)> {
        let upper = token.to_ascii_uppercase();
        let (name, session) = match upper.strip_suffix("-SESS") {
            Some(name) => (name, true),
            None => (upper.as_str(), false),
        };
        let algorithm = match name {
            "" | "MD5" => Algorithm::Md5,
            "SHA-256" => Algorithm::Sha256,
            "SHA-512-256" => Algorithm::Sha512_256,
            _ => return None,
        };
        Some((algorithm, session))
    }

    /// The hash of `parts` joined by ':', in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Algorithm::Md5 => hash_of::<Md5>(parts),
            Algorithm::Sha256 => hash_of::<Sha256>(parts),
            Algorithm::Sha512_256 => hash_of::<Sha512_256>(parts),
        }
    }

    /// H(username:realm:password): what may be stored instead of a password, for this one algorithm and realm.
    pub fn ha1(self, username: &str, realm: &str, password: &str) -> String {
        self.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()])
    }
}

fn hash_of<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hasher = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

/// HMAC-SHA-256 (RFC 2104) with a key of one half block.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        block
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new_with_prefix(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Quality of protection: what the digest covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Qop {
    /// RFC 2069: no client nonce, no count.
    None,
    Auth,
    /// The body too.
    AuthInt,
}

/// All that goes into a response besides H(A1).
struct Inputs<'a> {
    algorithm: Algorithm,
    session: bool,
    qop: Qop,
    nonce: &'a str,
    cnonce: &'a str,
    /// As written: eight hexadecimal digits.
    nc: &'a str,
    method: &'a str,
    uri: &'a str,
    body: &'a [u8],
}

impl Inputs<'_> {
    /// RFC 7616 §3.4.1, from H(username:realm:password).
    fn response(&self, ha1: &str) -> String {
        let h = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let (nonce, cnonce) = (self.nonce.as_bytes(), self.cnonce.as_bytes());
        let session = self.session.then(|| h(&[ha1.as_bytes(), nonce, cnonce]));
        let a1 = session.as_deref().unwrap_or(ha1).as_bytes();
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let a2 = match self.qop {
            Qop::AuthInt => h(&[method, uri, h(&[self.body]).as_bytes()]),
            Qop::None | Qop::Auth => h(&[method, uri]),
        };
        let qop: &[u8] = match self.qop {
            Qop::None => return h(&[a1, nonce, a2.as_bytes()]),
            Qop::Auth => b"auth",
            Qop::AuthInt => b"auth-int",
        };
        h(&[a1, nonce, self.nc.as_bytes(), cnonce, qop, a2.as_bytes()])
    }
}

/// Who challenges: the server of the resource, or a proxy on the way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Www,
    Proxy,
}

impl Kind {
    /// The status that carries the challenge.
    pub const fn status(self) -> u16 {
        match self {
            Kind::Www => 401,
            Kind::Proxy => 407,
        }
    }

    pub const fn challenge_header(self) -> HeaderName {
        match self {
            Kind::Www => HeaderName::WwwAuthenticate,
            Kind::Proxy => HeaderName::ProxyAuthenticate,
        }
    }

    pub const fn answer_header(self) -> HeaderName {
        match self {
            Kind::Www => HeaderName::Authorization,
            Kind::Proxy => HeaderName::ProxyAuthorization,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::Message;

    /// A response with challenges, in the header that its status asks for.
    pub fn response(status: u16, challenges: &[&str]) -> Message {
        let name = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let headers: Vec<String> = challenges.iter().map(|c| format!("{name}: {c}")).collect();
        message(&format!("SIP/2.0 {status} No"), "INVITE", &headers)
    }

    pub fn request(method: &str, uri: &str, headers: &[String]) -> Message {
        message(&format!("{method} {uri} SIP/2.0"), method, headers)
    }

    fn message(start: &str, method: &str, headers: &[String]) -> Message {
        let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=f\r\nTo: <sip:a@x>\r\n\
             Call-ID: c\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into()).unwrap()
    }

    /// RFC 2617 §3.5; RFC 7616 §3.9.1; RFC 7616 §3.9.2 as corrected by erratum 4897.
    #[test]
    fn responses_are_those_of_the_rfcs() {
        let rfc7616 = ("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        let (mufasa, index) = (("Mufasa", "http-auth@example.org", "Circle of Life"), "/dir/index.html");
        let rows = [
            (
                Algorithm::Md5,
                ("Mufasa", "testrealm@host.com", "Circle Of Life"),
                ("dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b"),
                index,
                "6629fae49393a05397450978507c4ef1",
            ),
            (Algorithm::Md5, mufasa, rfc7616, index, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                mufasa,
                rfc7616,
                index,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            (
                Algorithm::Sha512_256,
                ("J\u{e4}s\u{f8}n Doe", "api@example.org", "Secret, or not?"),
                ("5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"),
                "/doe.json",
                "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
            ),
        ];
        for (algorithm, (user, realm, password), (nonce, cnonce), uri, want) in rows {
            let (method, nc, body) = ("GET", "00000001", b"".as_slice());
            let inputs = Inputs { algorithm, session: false, qop: Qop::Auth, nonce, cnonce, nc, method, uri, body };
            assert_eq!(inputs.response(&algorithm.ha1(user, realm, password)), want);
        }
    }

    /// RFC 4231 test case 2 has a short key; a key shorter than the block is padded with zeros, as ours would be.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac(&key, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn algorithms_are_read_in_any_case_and_unknown_ones_refused() {
        let rows = [
            ("", Some((Algorithm::Md5, false))),
            ("md5", Some((Algorithm::Md5, false))),
            ("MD5-sess", Some((Algorithm::Md5, true))),
            ("sha-256-SESS", Some((Algorithm::Sha256, true))),
            ("SHA-512-256", Some((Algorithm::Sha512_256, false))),
            ("SHA-1", None),
            ("AKAv1-MD5", None),
        ];
        for (token, want) in rows {
            assert_eq!(Algorithm::parse(token), want, "{token}");
        }
    }
}
