//! PASSporTs (RFC 8225): JSON in the one order that §9 knows, and what others wrote, read.

use super::{Attest, Party};
use crate::base::base64;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// Seconds since 1970.
    pub iat: i64,
    pub orig: Party,
    pub dest: Vec<Party>,
    pub attest: Option<Attest>,
    pub origid: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Head {
    pub alg: String,
    pub typ: String,
    pub x5u: String,
    pub ppt: Option<String>,
}

#[derive(Deserialize)]
struct Orig {
    tn: Option<String>,
    uri: Option<String>,
}

#[derive(Deserialize)]
struct Dest {
    #[serde(default)]
    tn: Vec<String>,
    #[serde(default)]
    uri: Vec<String>,
}

#[derive(Deserialize)]
struct Payload {
    iat: i64,
    orig: Orig,
    dest: Dest,
    attest: Option<String>,
    origid: Option<String>,
}

/// A UUID that is always the same for one origin of one node, and tells nobody else which that is (RFC 9562 §5.8).
pub fn origin(node: &str, source: &str) -> String {
    let digest = Sha256::digest(format!("{node}\n{source}"));
    let mut hex: String = digest.iter().take(16).map(|octet| format!("{octet:02x}")).collect();
    hex.replace_range(12..13, "8");
    hex.replace_range(16..17, "8");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Base64url without padding (RFC 7515 §2).
pub(super) fn encode(octets: &[u8]) -> String {
    let text = base64::encode(octets);
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let is_clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    base64::decode(&text.replace('-', "+").replace('_', "/")).filter(|_| is_clean)
}

/// Header and payload, encoded, with a dot between them: what is signed. `shaken`: with attestation and origin (RFC 8588); else a
/// PASSporT of the base kind.
pub fn signing_input(x5u: &str, claims: &Claims) -> String {
    let ppt = if claims.attest.is_some() { "\"ppt\":\"shaken\"," } else { "" };
    let head = format!("{{\"alg\":\"ES256\",{ppt}\"typ\":\"passport\",\"x5u\":{}}}", quoted(x5u));
    let attest = claims.attest.map_or(String::new(), |a| format!("\"attest\":\"{}\",", a.as_str()));
    let origid = claims.origid.as_deref().map_or(String::new(), |id| format!(",\"origid\":{}", quoted(id)));
    let of = |wanted: bool| {
        let all = claims.dest.iter().filter_map(|party| match party {
            Party::Number(text) if wanted => Some(quoted(text)),
            Party::Uri(text) if !wanted => Some(quoted(text)),
            _ => None,
        });
        all.collect::<Vec<_>>().join(",")
    };
    let lists = [("tn", of(true)), ("uri", of(false))];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| format!("\"{name}\":[{list}]"));
    let dest = lists.collect::<Vec<_>>().join(",");
    let orig = match &claims.orig {
        Party::Number(text) => format!("\"tn\":{}", quoted(text)),
        Party::Uri(text) => format!("\"uri\":{}", quoted(text)),
    };
    let payload = format!("{{{attest}\"dest\":{{{dest}}},\"iat\":{},\"orig\":{{{orig}}}{origid}}}", claims.iat);
    format!("{}.{}", encode(head.as_bytes()), encode(payload.as_bytes()))
}

/// A token's header; `None` if it is none.
pub(super) fn head(encoded: &str) -> Option<Head> {
    serde_json::from_slice(&decode(encoded)?).ok()
}

/// A token's claims; `Err` says what is wrong with them.
pub fn claims(encoded: &str) -> Result<Claims, &'static str> {
    let octets = decode(encoded).ok_or("the payload is no Base64")?;
    let payload: Payload = serde_json::from_slice(&octets).map_err(|_| "the payload is no PASSporT's")?;
    let orig = match (payload.orig.tn, payload.orig.uri) {
        (Some(tn), None) => Party::Number(super::number(&tn).ok_or("orig is no number")?),
        (None, Some(uri)) => Party::Uri(uri),
        _ => return Err("orig names not one party"),
    };
    let numbers = payload.dest.tn.iter().map(|tn| super::number(tn).map(Party::Number).ok_or("dest is no number"));
    let mut dest: Vec<Party> = numbers.collect::<Result<_, _>>()?;
    dest.extend(payload.dest.uri.into_iter().map(Party::Uri));
    let attest = match payload.attest.as_deref() {
        Some(text) => Some(Attest::from_name(text).ok_or("attest is none of A, B and C")?),
        None => None,
    };
    Ok(Claims { iat: payload.iat, orig, dest, attest, origid: payload.origid })
}
