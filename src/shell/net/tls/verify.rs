//! Whether a target is whom we wanted: by an authority, by the fingerprint of its certificate, by both, or by nothing.

use crate::config::TrunkTls;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

#[derive(Debug)]
enum Chain {
    /// Any certificate will do, or the pin alone decides.
    Unchecked,
    Roots(Arc<WebPkiServerVerifier>),
    /// The system has no roots: nobody can be verified.
    NoRoots,
}

#[derive(Debug)]
struct Verifier {
    chain: Chain,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

/// By `roots` if there are any, and by the pins if there are any.
pub fn verifier(
    roots: Option<RootCertStore>,
    tls: &TrunkTls,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let chain = match roots {
        Some(roots) if roots.is_empty() => Chain::NoRoots,
        Some(roots) => {
            let built = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider)).build();
            Chain::Roots(built.map_err(|e| e.to_string())?)
        }
        None => Chain::Unchecked,
    };
    let pins = if tls.verify { tls.pins.clone() } else { Vec::new() };
    Ok(Arc::new(Verifier { chain, pins, provider: Arc::clone(provider) }))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.pins.is_empty() {
            let shown: [u8; 32] = Sha256::digest(certificate).into();
            if !self.pins.contains(&shown) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
        }
        match &self.chain {
            Chain::Roots(chain) => chain.verify_server_cert(certificate, others, name, ocsp, now),
            Chain::NoRoots => Err(CertificateError::UnknownIssuer.into()),
            Chain::Unchecked => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
