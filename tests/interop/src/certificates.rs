//! Certificates of a test's own, and who trusts them.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use tokio_rustls::rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::tandem::base64;

/// An authority, and a certificate of it for 127.0.0.1: `ca.pem`, `host.pem` and `host.key` in the folder.
pub fn write(folder: &Path) {
    let mut params = CertificateParams::new([]).expect("an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let host = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a host").signed_by(&key, &ca);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a certificate is written");
    write("ca.pem", &ca.pem());
    write("host.pem", &host.expect("a certificate").pem());
    write("host.key", &key.serialize_pem());
}

/// SHA-256 of the public key in `host.key`, in base64: by it a browser is told which certificate to take.
pub fn fingerprint(folder: &Path) -> String {
    let key = PrivateKeyDer::from_pem_file(folder.join("host.key")).expect("a key");
    let public = KeyPair::try_from(&key).expect("a pair of keys").subject_public_key_info();
    let hash = TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of TLS 1.3").common.hash_provider.hash(&public);
    base64(hash.as_ref())
}

/// A client that trusts who has a certificate of this authority.
pub fn trust(authority: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("a root");
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// TLS over a connection to this host.
pub fn secured(stream: TcpStream, host: IpAddr, trust: &Arc<ClientConfig>) -> impl Read + Write {
    let client = ClientConnection::new(Arc::clone(trust), ServerName::from(host)).expect("a client");
    StreamOwned::new(client, stream)
}
