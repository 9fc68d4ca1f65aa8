//! The key that we sign with and the authorities that we believe: read and checked with the configuration, replaced whole by a reload.

use super::certificate::{self, Chain};
use crate::config::Config;
use crate::shell::net::tls::{self, Key, TlsFault};
use crate::sip::identity::{Candidate, Fault, Kind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::crypto::ring::sign::any_ecdsa_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use tokio_rustls::rustls::sign::SigningKey;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

/// What authorities sign certificates with (RFC 8226 §4: ECDSA; ATIS-1000080 §6.4).
static CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[webpki::ring::ECDSA_P256_SHA256, webpki::ring::ECDSA_P384_SHA384, webpki::ring::ECDSA_P384_SHA256];

/// A scheme that ES256 is another name of (RFC 7518 §3.4).
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

#[derive(Debug, Default)]
pub struct Material {
    key: Option<Arc<dyn SigningKey>>,
    roots: Vec<CertificateDer<'static>>,
}

/// The material in force; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Keys(Arc<Mutex<Arc<Material>>>);

impl Keys {
    pub fn new(material: Material) -> Keys {
        Keys(Arc::new(Mutex::new(Arc::new(material))))
    }

    /// What is signed and verified from now on is so by `material`.
    pub fn replace(&self, material: Material) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
    }

    pub fn now(&self) -> Arc<Material> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads and checks the files of `sip.identity`; all faults, if there are any.
pub fn load(config: &Config, now: SystemTime) -> Result<Material, Vec<TlsFault>> {
    let place = |key| vec![Key::Name("sip"), Key::Name("identity"), Key::Name(key)];
    let (mut material, mut faults) = (Material::default(), Vec::new());
    if let Some(signing) = &config.sip.identity.signing {
        match tls::pair(&[Key::Name("sip"), Key::Name("identity")], &signing.own, now) {
            Err(more) => faults.extend(more),
            Ok((chain, key)) => {
                let path = signing.own.certificate.display();
                let key = any_ecdsa_type(&key).ok().filter(|key| key.choose_scheme(&[SCHEME]).is_some());
                if key.is_none() {
                    let what = format!("{} is no key for ES256", signing.own.key.display());
                    faults.push(TlsFault { place: place("key"), what, expected: "expected an EC key of curve P-256" });
                }
                let numbers = chain.first().map(|leaf| certificate::numbers(leaf));
                let what = match numbers {
                    Some(Ok(Some(_))) => None,
                    Some(Err(why)) => Some(format!("{path}: {why}")),
                    _ => Some(format!("{path} has no TNAuthList: nobody would believe it")),
                };
                let expected = "expected a certificate for STIR/SHAKEN (RFC 8226)";
                faults.extend(what.map(|what| TlsFault { place: place("certificate"), what, expected }));
                material.key = key;
            }
        }
    }
    if let Some(roots) = &config.sip.identity.roots {
        match tls::authorities(place("roots"), roots, now) {
            Ok(found) => material.roots = found,
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(material) } else { Err(faults) }
}

/// No extended use is asked of a certificate: RFC 8226 names none.
struct AnyUse;

impl ExtendedKeyUsageValidator for AnyUse {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl Material {
    /// Signs by ES256: 64 octets.
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, String> {
        let key = self.key.as_ref().ok_or("there is no key")?;
        let signer = key.choose_scheme(&[SCHEME]).ok_or("the key is not for ES256")?;
        let der = signer.sign(input).map_err(|e| e.to_string())?;
        fixed(&der).ok_or_else(|| "the signature cannot be read".into())
    }

    /// Chain, validity, the right to the number, then the signature.
    pub fn verify(&self, chain: &Chain, candidate: &Candidate) -> Result<(), Fault> {
        let unsupported = |why: String| Fault::new(Kind::Unsupported, why);
        let leaf = EndEntityCert::try_from(&chain.leaf).map_err(|e| unsupported(format!("the certificate: {e}")))?;
        // A root that cannot be read is none.
        let anchors: Vec<_> = self.roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let seconds = u64::try_from(candidate.at.as_micros() / 1_000_000).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        leaf.verify_for_usage(CHAIN_ALGORITHMS, &anchors, &chain.others, at, AnyUse, None, None)
            .map_err(|e| unsupported(sentence(&e)))?;
        if !chain.speaks_for(&candidate.orig) {
            return Err(unsupported("the certificate is not for this number".into()));
        }
        let signature =
            der(&candidate.signature).ok_or_else(|| Fault::new(Kind::Invalid, "the signature cannot be read"))?;
        leaf.verify_signature(webpki::ring::ECDSA_P256_SHA256, candidate.input.as_bytes(), &signature)
            .map_err(|_| Fault::new(Kind::Invalid, "the signature does not fit"))
    }
}

fn sentence(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "the certificate has expired".into(),
        webpki::Error::CertNotValidYet { .. } => "the certificate is not valid yet".into(),
        webpki::Error::UnknownIssuer => "no authority that we believe has signed the certificate".into(),
        other => format!("the certificate: {other}"),
    }
}

/// From DER, which libraries give, to the two numbers one after the other (RFC 7518 §3.4).
pub fn fixed(signature: &[u8]) -> Option<Vec<u8>> {
    let (_, content, _) = tls::dates::element(signature)?;
    let (_, r, rest) = tls::dates::element(content)?;
    let (_, s, _) = tls::dates::element(rest)?;
    let mut out = Vec::with_capacity(64);
    for number in [r, s] {
        let digits = number.iter().position(|octet| *octet != 0).map_or(&number[..0], |at| &number[at..]);
        out.extend(std::iter::repeat_n(0, 32usize.checked_sub(digits.len())?));
        out.extend_from_slice(digits);
    }
    Some(out)
}

/// The other way.
pub fn der(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(32).filter(|(_, s)| s.len() == 32)?;
    let mut content = Vec::with_capacity(72);
    for number in [r, s] {
        let digits = &number[number.iter().position(|octet| *octet != 0).unwrap_or(31)..];
        // A number whose first bit is set would be read as negative.
        let sign = usize::from(digits.first().is_some_and(|first| *first >= 0x80));
        content.extend([0x02, (digits.len() + sign) as u8]);
        content.extend(std::iter::repeat_n(0, sign));
        content.extend_from_slice(digits);
    }
    Some([&[0x30, content.len() as u8], &content[..]].concat())
}
