//! Why a fetch came to nothing, by the codes that Twilio publishes.

use std::fmt;
use std::sync::Arc;

/// Kinds of failure; [`Reason::code`] is the published number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// The address is no URL, or of a scheme that is not fetched.
    InvalidUrl,
    /// A status that is no success, or nothing within the time.
    Retrieval,
    /// No connection, or it broke; also where the guard, the limit of the host or the breaker did not let it.
    Connection,
    /// The server's words are not HTTP.
    Protocol,
    /// The host's name has no address.
    BadHost,
    TooManyRedirects,
    Handshake,
    /// The certificate is of another name.
    CertificateDomain,
    CertificateExpired,
    /// Nobody whom we trust has signed the certificate.
    CertificateUntrusted,
    TooLarge,
    /// The document is no markup: broken, cut off, or not XML.
    Document,
    /// Neither markup, sound nor text.
    ContentType,
    /// What a Play asked for is of a type that cannot be played.
    PlayContentType,
    /// Tandem itself could not: a full disk.
    Internal,
}

impl Reason {
    pub const ALL: [Reason; 15] = [
        Reason::InvalidUrl,
        Reason::Retrieval,
        Reason::Connection,
        Reason::Protocol,
        Reason::BadHost,
        Reason::TooManyRedirects,
        Reason::Handshake,
        Reason::CertificateDomain,
        Reason::CertificateExpired,
        Reason::CertificateUntrusted,
        Reason::TooLarge,
        Reason::Document,
        Reason::ContentType,
        Reason::PlayContentType,
        Reason::Internal,
    ];

    /// The number and the words of Twilio's list of errors.
    const fn published(self) -> (u32, &'static str) {
        match self {
            Reason::InvalidUrl => (11_100, "Invalid URL format"),
            Reason::Retrieval => (11_200, "HTTP retrieval failure"),
            Reason::Connection => (11_205, "HTTP connection failure"),
            Reason::Protocol => (11_206, "HTTP protocol violation"),
            Reason::BadHost => (11_210, "HTTP bad host name"),
            Reason::TooManyRedirects => (11_215, "HTTP too many redirects"),
            Reason::Handshake => (11_220, "SSL/TLS Handshake Error"),
            Reason::CertificateDomain => (11_235, "Certificate Invalid - Domain Mismatch"),
            Reason::CertificateExpired => (11_236, "Certificate Invalid - Certificate Expired"),
            Reason::CertificateUntrusted => (11_237, "Certificate Invalid - Could not find path to certificate"),
            Reason::TooLarge => (11_750, "TwiML response body too large"),
            Reason::Document => (12_100, "Document parse failure"),
            Reason::ContentType => (12_300, "Invalid Content-Type"),
            Reason::PlayContentType => (13_420, "Play: Invalid Content-Type"),
            Reason::Internal => (12_400, "Internal Failure"),
        }
    }

    pub const fn code(self) -> u32 {
        self.published().0
    }

    pub const fn message(self) -> &'static str {
        self.published().1
    }
}

/// A failure: its kind, where, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub reason: Reason,
    /// The address that failed, without credentials; empty if it is about none.
    pub url: Arc<str>,
    /// A sentence's rest for the timeline: "the server answered 500".
    pub detail: Box<str>,
}

impl Fault {
    pub fn new(reason: Reason, url: impl Into<Arc<str>>, detail: impl Into<Box<str>>) -> Fault {
        Fault { reason, url: url.into(), detail: detail.into() }
    }

    pub const fn code(&self) -> u32 {
        self.reason.code()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code(), self.reason.message(), self.detail)?;
        if self.url.is_empty() { Ok(()) } else { write!(f, " ({})", self.url) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_has_its_own_code_and_says_it() {
        let codes: BTreeSet<u32> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        let fault = Fault::new(Reason::Retrieval, "http://a/b", "the server answered 500");
        assert_eq!(fault.to_string(), "11200 HTTP retrieval failure: the server answered 500 (http://a/b)");
    }
}
