//! Digest access authentication of the simulated peers (RFC 7616), written apart from `sip::auth`.

use super::text::auth_param;
use md5::Digest as _;

/// H(data) by the algorithm's name, as hexadecimal.
fn hash(algorithm: &str, data: &str) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
    match algorithm.to_ascii_uppercase().as_str() {
        "SHA-256" => hex(&sha2::Sha256::digest(data)),
        "SHA-512-256" => hex(&sha2::Sha512_256::digest(data)),
        _ => hex(&md5::Md5::digest(data)),
    }
}

fn response(algorithm: &str, user: &str, realm: &str, password: &str, method: &str, uri: &str, middle: &str) -> String {
    let ha1 = hash(algorithm, &format!("{user}:{realm}:{password}"));
    let ha2 = hash(algorithm, &format!("{method}:{uri}"));
    hash(algorithm, &format!("{ha1}:{middle}:{ha2}"))
}

/// The value of (Proxy-)Authorization for a challenge. `nc` counts the uses of one nonce.
pub fn credentials(challenge: &str, user: &str, password: &str, method: &str, uri: &str, nc: u32) -> String {
    let [realm, nonce, opaque] = ["realm", "nonce", "opaque"].map(|n| auth_param(challenge, n));
    let algorithm = Some(auth_param(challenge, "algorithm")).filter(|a| !a.is_empty()).unwrap_or("MD5");
    let has_qop = auth_param(challenge, "qop").split(',').any(|q| q.trim() == "auth");
    let cnonce = format!("c{nc}");
    let middle = if has_qop { format!("{nonce}:{nc:08x}:{cnonce}:auth") } else { nonce.to_string() };
    let answer = response(algorithm, user, realm, password, method, uri, &middle);
    let mut out = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{answer}\", algorithm={algorithm}"
    );
    if has_qop {
        out += &format!(", qop=auth, nc={nc:08x}, cnonce=\"{cnonce}\"");
    }
    if !opaque.is_empty() {
        out += &format!(", opaque=\"{opaque}\"");
    }
    out
}

/// Whether credentials fit: the carrier's side.
pub fn verify(given: &str, user: &str, password: &str, method: &str, nonce: &str) -> bool {
    let [who, realm, uri, algorithm, qop, nc, cnonce] =
        ["username", "realm", "uri", "algorithm", "qop", "nc", "cnonce"].map(|n| auth_param(given, n));
    let middle = if qop.is_empty() { nonce.to_string() } else { format!("{nonce}:{nc}:{cnonce}:{qop}") };
    let algorithm = if algorithm.is_empty() { "MD5" } else { algorithm };
    who == user
        && auth_param(given, "nonce") == nonce
        && auth_param(given, "response") == response(algorithm, user, realm, password, method, uri, &middle)
}

#[test]
fn the_example_of_rfc_2617_and_what_is_written_is_verified() {
    let middle = "dcd98b7102dd2f0e8b11d0f600bfb0c093:00000001:0a4f113b:auth";
    let got = response("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life", "GET", "/dir/index.html", middle);
    assert_eq!(got, "6629fae49393a05397450978507c4ef1");
    for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
        let challenge = format!("Digest realm=\"r\", nonce=\"n\", algorithm={algorithm}, qop=\"auth,auth-int\"");
        let given = credentials(&challenge, "u", "p", "INVITE", "sip:x", 2);
        assert!(verify(&given, "u", "p", "INVITE", "n") && !verify(&given, "u", "q", "INVITE", "n"));
    }
}
