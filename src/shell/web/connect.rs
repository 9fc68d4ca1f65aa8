//! A connection to a server: its name resolved, the guard asked, TCP, TLS.

use super::guard::Guard;
use super::url::Url;
use crate::web::{Fault, Reason};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens connections.
pub struct Connector {
    guard: Guard,
    tls: TlsConnector,
}

impl Connector {
    /// Trusts what the system trusts; a system without roots trusts nobody, and each https address fails as untrusted.
    pub fn new(guard: Guard) -> Connector {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "roots of trust could not be read");
        }
        roots.add_parsable_certificates(found.certs);
        Connector::trusting(guard, roots)
    }

    pub fn trusting(guard: Guard, roots: RootCertStore) -> Connector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = match versions {
            Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
            Err(error) => {
                crate::bug!("TLS has no version: {error}");
                ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Connector { guard, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// Connects. No time limit of its own.
    pub async fn connect(&self, url: &Url) -> Result<Stream, Fault> {
        let fault = |reason, detail: String| Fault::new(reason, url.seen(), detail);
        let found = tokio::net::lookup_host((url.host.as_str(), url.port())).await;
        let found: Vec<SocketAddr> =
            found.map_err(|e| fault(Reason::BadHost, format!("{} has no address: {e}", url.host)))?.collect();
        let mut allowed = found.iter().filter(|a| self.guard.lets(a.ip())).take(ADDRESSES_MAX).peekable();
        if allowed.peek().is_none() {
            let detail = match found.first() {
                Some(address) => format!("{} is no public address; web.allow_private can allow it", address.ip()),
                None => format!("{} has no address", url.host),
            };
            return Err(fault(if found.is_empty() { Reason::BadHost } else { Reason::Connection }, detail));
        }
        let mut last = None;
        for address in allowed {
            match TcpStream::connect(address).await {
                Ok(tcp) => return self.secure(url, tcp).await,
                Err(error) => last = Some(format!("{address}: {error}")),
            }
        }
        Err(fault(Reason::Connection, last.unwrap_or_default()))
    }

    async fn secure(&self, url: &Url, tcp: TcpStream) -> Result<Stream, Fault> {
        // A request is one write; nothing is gained by waiting for more.
        let _ = tcp.set_nodelay(true);
        if !url.is_tls {
            return Ok(Stream::Plain(tcp));
        }
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| Fault::new(Reason::InvalidUrl, url.seen(), "the host is no name for TLS"))?;
        let stream = self.tls.connect(name, tcp).await;
        let stream = stream.map_err(|e| Fault::new(tls_reason(&e), url.seen(), e.to_string()))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// What a handshake failed of.
fn tls_reason(error: &io::Error) -> Reason {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Reason::CertificateDomain
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::CertificateExpired,
            CertificateError::UnknownIssuer => Reason::CertificateUntrusted,
            _ => Reason::Handshake,
        },
        _ => Reason::Handshake,
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_flush(cx),
            Stream::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_refused_has_the_published_reason() {
        let rows = [
            (CertificateError::NotValidForName, Reason::CertificateDomain),
            (CertificateError::Expired, Reason::CertificateExpired),
            (CertificateError::UnknownIssuer, Reason::CertificateUntrusted),
            (CertificateError::BadSignature, Reason::Handshake),
        ];
        for (why, reason) in rows {
            assert_eq!(tls_reason(&io::Error::other(rustls::Error::InvalidCertificate(why))), reason);
        }
        assert_eq!(tls_reason(&io::Error::other("eof")), Reason::Handshake);
    }
}
