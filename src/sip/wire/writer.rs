use super::*;
use bytes::Bytes;
use std::fmt::Display;

/// Writes one message, strictly: canonical names, CRLF, one value a line, Content-Length always.
///
/// A value with CR, LF or NUL in it cannot be written: the offending octets become spaces (header injection).
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub fn request(method: &str, uri: &str) -> Writer {
        let _ = (method, uri);
        todo!()
    }
    /// `reason` "" takes the RFC's phrase for the status.
    pub fn response(status: u16, reason: &str) -> Writer {
        let _ = (status, reason);
        todo!()
    }
    /// A response to `request` with Via (all), From, To, Call-ID, CSeq copied (RFC 3261 §8.2.6.2), `received` and `rport`
    /// put into the top Via from `source` (RFC 3581), and `to_tag` added if To has none and `to_tag` is not "".
    pub fn response_to(
        request: &Message,
        status: u16,
        reason: &str,
        to_tag: &str,
        source: std::net::SocketAddr,
    ) -> Writer {
        let _ = (request, status, reason, to_tag, source);
        todo!()
    }
    pub fn header(mut self, name: HeaderName, value: impl Display) -> Writer {
        let _ = (&mut self.out, name, value);
        todo!()
    }
    pub fn raw_header(self, name: &str, value: impl Display) -> Writer {
        let _ = (name, value);
        todo!()
    }
    /// Ends the message with Content-Length: 0.
    pub fn finish(self) -> Bytes {
        todo!()
    }
    pub fn finish_with_body(self, content_type: &str, body: &[u8]) -> Bytes {
        let _ = (content_type, body);
        todo!()
    }
}
