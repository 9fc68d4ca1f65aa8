//! TLS: certificates as the configuration names them, checked before they are in force, and replaced as a whole by a reload.
//!
//! Connections that stand keep what they were made with; every new handshake takes what is in force then.

pub mod dates;
mod verify;

use crate::config::{Certificate, Config, TrunkTls};
use crate::sip::transport::{NameId, Transport};
use crate::sip::wire::Uri;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
pub use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Certificates that a peer showed, its own first.
pub type Chain = [CertificateDer<'static>];

/// A connection whose handshake is over, from the server's side.
pub type Accepted = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

/// TLS 1.2 (RFC 5246) and 1.3 (RFC 8446); what is older is broken (RFC 8996).
static VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
/// Trunks' names that one connection is asked for at most.
const NAMES_MAX: usize = 256;
/// A chain, or a list of authorities, in certificates and in octets.
const CERTIFICATES_MAX: usize = 1_000;
const FILE_MAX: u64 = 4 << 20;

/// Where in the configuration a file is named: keys, the index of a list by its number.
pub type Place = Vec<Key>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Name(&'static str),
    Item(usize),
}

/// A file that cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    pub place: Place,
    pub what: String,
    pub expected: &'static str,
}

/// All that TLS needs, of one configuration.
#[derive(Debug, Default)]
pub struct Material {
    sip: Option<Arc<ServerConfig>>,
    http: Option<Arc<ServerConfig>>,
    /// Names of trunks' targets, in lower case.
    names: HashMap<NameId, String>,
    /// By the host of a trunk's target, in lower case; the first trunk's where two have the same host.
    trunks: HashMap<String, Arc<ClientConfig>>,
    /// By the same hosts: who is believed to be that trunk; none where anybody is.
    verifiers: HashMap<String, Arc<dyn ServerCertVerifier>>,
    others: Option<Arc<ClientConfig>>,
}

/// The material in force; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Tls(Arc<Mutex<Arc<Material>>>);

impl Tls {
    pub fn new(material: Material) -> Tls {
        Tls(Arc::new(Mutex::new(Arc::new(material))))
    }

    /// Handshakes that begin from now on use `material`.
    pub fn replace(&self, material: Material) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
    }

    fn now(&self) -> Arc<Material> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For connections to `tls://` listeners.
    pub fn sip_acceptor(&self) -> Option<TlsAcceptor> {
        self.now().sip.clone().map(TlsAcceptor::from)
    }

    /// For connections to `http.listen`.
    pub fn http_acceptor(&self) -> Option<TlsAcceptor> {
        self.now().http.clone().map(TlsAcceptor::from)
    }

    /// For a connection of ours to a peer that has to prove its name, or else its address. `None`: nobody is called by that
    /// name any more.
    pub fn connector(&self, name: Option<NameId>, ip: IpAddr) -> Option<(TlsConnector, ServerName<'static>, String)> {
        let material = self.now();
        let host = match name {
            Some(id) => material.names.get(&id)?.clone(),
            None => ip.to_string(),
        };
        let name = ServerName::try_from(host.clone()).ok()?;
        let config = material.trunks.get(&host).or(material.others.as_ref())?;
        Some((TlsConnector::from(Arc::clone(config)), name, host))
    }
}

impl Tls {
    /// Names of trunks that a peer could prove.
    pub fn names(&self) -> Vec<String> {
        let material = self.now();
        material.names.values().filter(|host| material.verifiers.contains_key(*host)).take(NAMES_MAX).cloned().collect()
    }

    /// Whether who shows `chain` would be taken for the trunk at `host` if we had connected to it.
    pub fn proves(&self, chain: &Chain, host: &str) -> bool {
        let material = self.now();
        let Some(verifier) = material.verifiers.get(host) else { return false };
        let (Some((own, others)), Ok(name)) = (chain.split_first(), ServerName::try_from(host)) else { return false };
        verifier.verify_server_cert(own, others, &name, &[], UnixTime::now()).is_ok()
    }
}

/// A chain and its private key.
pub type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads and checks every file that TLS needs; all faults, if there are any.
pub fn load(config: &Config, now: SystemTime) -> Result<Material, Vec<TlsFault>> {
    let mut loader = Loader { now, provider: Arc::new(ring::default_provider()), faults: Vec::new() };
    let material = loader.material(config);
    if loader.faults.is_empty() { Ok(material) } else { Err(loader.faults) }
}

/// A certificate chain and its key, read and checked as a listener's are.
pub fn pair(section: &[Key], own: &Certificate, now: SystemTime) -> Result<Pair, Vec<TlsFault>> {
    let mut loader = Loader { now, provider: Arc::new(ring::default_provider()), faults: Vec::new() };
    loader.own(section, own).ok_or(loader.faults)
}

/// Certificates of authorities, as a file has them.
pub fn authorities(place: Place, path: &Path, now: SystemTime) -> Result<Vec<CertificateDer<'static>>, Vec<TlsFault>> {
    let mut loader = Loader { now, provider: Arc::new(ring::default_provider()), faults: Vec::new() };
    loader.certificates(&place, path).ok_or(loader.faults)
}

/// For connections of ours, and who is believed at their other end.
type Client = (Arc<ClientConfig>, Arc<dyn ServerCertVerifier>);

struct Loader {
    now: SystemTime,
    provider: Arc<CryptoProvider>,
    faults: Vec<TlsFault>,
}

impl Loader {
    fn material(&mut self, config: &Config) -> Material {
        let section = [Key::Name("sip"), Key::Name("tls")];
        let sip = config.sip.tls.as_ref().and_then(|tls| {
            let client_ca = tls.client_ca.as_deref().map(|ca| (ca, tls.client_optional));
            self.server(&section, &tls.own, client_ca)
        });
        let section = [Key::Name("http"), Key::Name("tls")];
        let http = config.http.tls.as_ref().and_then(|own| self.server(&section, own, None));
        let (mut trunks, mut names, mut verifiers) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (n, trunk) in config.trunks.iter().enumerate() {
            let hosts = || trunk.targets.iter().filter_map(|t| Uri::parse(&t.uri)).map(|uri| host_of(&uri));
            names.extend(hosts().map(|host| (NameId::of(&host), host)));
            let Some(tls) = &trunk.tls else { continue };
            let section = [Key::Name("trunks"), Key::Item(n), Key::Name("tls")];
            let Some((client, verifier)) = self.client(&section, tls) else { continue };
            for host in hosts().filter(|host| !trunks.contains_key(host)).collect::<Vec<_>>() {
                trunks.insert(host.clone(), Arc::clone(&client));
                if tls.verify {
                    verifiers.insert(host, Arc::clone(&verifier));
                }
            }
        }
        let listens = config.sip.listen.iter().any(|l| l.scheme.as_str() == Transport::Tls.as_param());
        let plain = TrunkTls { ca: None, pins: Vec::new(), own: None, verify: true };
        let others = if listens { self.client(&[Key::Name("sip"), Key::Name("tls")], &plain) } else { None };
        let others = others.map(|(client, _)| client);
        Material { sip, http, names, trunks, verifiers, others }
    }

    fn server(
        &mut self,
        section: &[Key],
        own: &Certificate,
        client_ca: Option<(&Path, bool)>,
    ) -> Option<Arc<ServerConfig>> {
        let (chain, key) = self.own(section, own)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(VERSIONS).ok()?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some((path, optional)) => {
                let place = within(section, "client_ca");
                let roots = self.roots(&place, path)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&self.provider));
                let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
                match verifier.build() {
                    Ok(verifier) => builder.with_client_cert_verifier(verifier),
                    Err(e) => return self.fault(place, format!("{}: {e}", path.display()), "expected authorities"),
                }
            }
        };
        let mut config = match builder.with_single_cert(chain, key) {
            Ok(config) => config,
            Err(e) => {
                return self.fault(within(section, "certificate"), e.to_string(), "expected a usable certificate");
            }
        };
        // Sessions are resumed without anything kept here; a new key with each configuration ends those of the one before.
        if let Ok(ticketer) = ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        config.send_tls13_tickets = 1;
        Some(Arc::new(config))
    }

    fn client(&mut self, section: &[Key], tls: &TrunkTls) -> Option<Client> {
        let roots = match (&tls.ca, tls.verify, tls.pins.is_empty()) {
            (Some(path), true, _) => Some(self.roots(&within(section, "ca"), path)?),
            (None, true, true) => Some(system_roots()),
            _ => None,
        };
        let verifier = match verify::verifier(roots, tls, &self.provider) {
            Ok(verifier) => verifier,
            Err(why) => return self.fault(section.to_vec(), why, "expected authorities"),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(VERSIONS).ok()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::clone(&verifier));
        let Some(own) = &tls.own else { return Some((Arc::new(builder.with_no_client_auth()), verifier)) };
        let (chain, key) = self.own(section, own)?;
        match builder.with_client_auth_cert(chain, key) {
            Ok(config) => Some((Arc::new(config), verifier)),
            Err(e) => self.fault(within(section, "certificate"), e.to_string(), "expected a usable certificate"),
        }
    }

    /// A chain and its key that fit each other, in force now.
    fn own(&mut self, section: &[Key], own: &Certificate) -> Option<Pair> {
        let (place, path) = (within(section, "certificate"), own.certificate.display());
        let chain = self.certificates(&place, &own.certificate)?;
        let at_key = within(section, "key");
        let text = self.text(&at_key, &own.key)?;
        let Ok(key) = PrivateKeyDer::from_pem_slice(&text) else {
            let what = format!("{} holds no private key", own.key.display());
            return self.fault(at_key, what, "expected one in PEM, without a passphrase");
        };
        if CertifiedKey::from_der(chain.clone(), key.clone_key(), &self.provider).is_err() {
            let what = format!("{} is not the key of {path}", own.key.display());
            return self.fault(at_key, what, "expected the private key that the certificate was made for");
        }
        match chain.first().and_then(|first| dates::validity(first)) {
            None => self.fault(place, format!("{path} cannot be read"), "expected an X.509 certificate"),
            Some((_, until)) if until < seconds(self.now) => {
                let what = format!("{path} has expired on {}", dates::day(until));
                self.fault(place, what, "expected a certificate that is valid today")
            }
            Some((from, _)) if from > seconds(self.now) => {
                let what = format!("{path} is valid from {} only", dates::day(from));
                self.fault(place, what, "expected a certificate that is valid today")
            }
            Some(_) => Some((chain, key)),
        }
    }

    fn roots(&mut self, place: &Place, path: &Path) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(self.certificates(place, path)?);
        if added == 0 {
            let what = format!("{} holds no authority's certificate", path.display());
            return self.fault(place.clone(), what, "expected certificates in PEM");
        }
        Some(roots)
    }

    fn certificates(&mut self, place: &Place, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let text = self.text(place, path)?;
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).take(CERTIFICATES_MAX).collect();
        match read {
            Ok(found) if !found.is_empty() => Some(found),
            _ => {
                let what = format!("{} holds no certificate", path.display());
                self.fault(place.clone(), what, "expected one in PEM, from -----BEGIN CERTIFICATE----- on")
            }
        }
    }

    fn text(&mut self, place: &Place, path: &Path) -> Option<Vec<u8>> {
        match read(path) {
            Ok(text) => Some(text),
            Err(e) => {
                let what = format!("{} cannot be read: {}", path.display(), super::describe(&e));
                self.fault(place.clone(), what, "expected a PEM file")
            }
        }
    }

    /// Books a fault; `None`, so that it can be returned.
    fn fault<T>(&mut self, place: Place, what: String, expected: &'static str) -> Option<T> {
        self.faults.push(TlsFault { place, what, expected });
        None
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > FILE_MAX {
        return Err(std::io::Error::other("it is longer than 4 MB"));
    }
    std::fs::read(path)
}

/// As it stands in a certificate: an address without brackets, a name in lower case and without the root's dot.
fn host_of(uri: &Uri<'_>) -> String {
    uri.ip().map_or_else(|| uri.host.trim_end_matches('.').to_ascii_lowercase(), |ip| ip.to_string())
}

fn within(section: &[Key], key: &'static str) -> Place {
    section.iter().copied().chain([Key::Name(key)]).collect()
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// What the system trusts; what of it cannot be read is not trusted.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
pub mod tests;
