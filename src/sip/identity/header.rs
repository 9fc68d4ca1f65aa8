//! The Identity header field (RFC 8224 §4).

use super::passport;

pub const FIELD: &str = "Identity";
/// Longer values, and further fields, are not looked at.
pub const TOKEN_MAX: usize = 4_096;
pub const IDENTITIES_MAX: usize = 8;

/// One Identity value, cut up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed<'a> {
    /// Header and payload as encoded; both "" in the compact form.
    pub header: &'a str,
    pub payload: &'a str,
    pub signature: Vec<u8>,
    /// The certificate's address; "" if none is told.
    pub info: &'a str,
    pub alg: Option<&'a str>,
    pub ppt: Option<&'a str>,
}

impl<'a> Signed<'a> {
    /// `None` if it is no Identity value.
    pub fn parse(value: &'a str) -> Option<Signed<'a>> {
        let value = value.trim_ascii();
        let (token, rest) = value.split_once(';').unwrap_or((value, ""));
        let mut parts = token.trim_ascii().split('.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let is_sound = value.len() <= TOKEN_MAX && parts.next().is_none() && header.is_empty() == payload.is_empty();
        let signature = passport::decode(signature).filter(|s| is_sound && s.len() == 64)?;
        let mut found = Signed { header, payload, signature, info: "", alg: None, ppt: None };
        let mut rest = rest.trim_ascii();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_ascii_start();
            let (value, left) = match after.strip_prefix('<') {
                Some(uri) => uri.split_once('>')?,
                None => after.split_at(after.find(';').unwrap_or(after.len())),
            };
            let value = value.trim_ascii();
            let text = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            match name.trim_ascii() {
                name if name.eq_ignore_ascii_case("info") => found.info = text,
                name if name.eq_ignore_ascii_case("alg") => found.alg = Some(text),
                name if name.eq_ignore_ascii_case("ppt") => found.ppt = Some(text),
                _ => {}
            }
            rest = left.trim_ascii_start().trim_start_matches(';').trim_ascii_start();
        }
        Some(found)
    }

    pub fn is_compact(&self) -> bool {
        self.header.is_empty()
    }

    /// The value of the full form.
    pub fn write(input: &str, signature: &[u8], x5u: &str, is_shaken: bool) -> String {
        let ppt = if is_shaken { ";ppt=shaken" } else { "" };
        format!("{input}.{};info=<{x5u}>;alg=ES256{ppt}", passport::encode(signature))
    }
}
