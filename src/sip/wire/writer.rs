use super::scan::is_token;
use super::*;
use bytes::Bytes;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;

/// Writes one message, strictly: canonical names, CRLF, one value a line, Content-Length always.
///
/// A value with CR, LF or NUL in it cannot be written: the offending octets become spaces (header injection).
pub struct Writer {
    out: Vec<u8>,
}

/// A request or answer without a body; with SDP the buffer grows once.
const CAPACITY: usize = 1024;

impl Writer {
    /// Octets of `method` that are no token are left out; octets of `uri` that would break the line are escaped.
    pub fn request(method: &str, uri: &str) -> Writer {
        let mut out = Vec::with_capacity(CAPACITY);
        out.extend(method.bytes().filter(|b| is_token(*b)));
        out.push(b' ');
        for octet in uri.bytes() {
            match octet {
                0..=b' ' | b'<' | b'>' | b'"' | 0x7f => put(&mut out, format_args!("%{octet:02X}")),
                _ => out.push(octet),
            }
        }
        out.extend_from_slice(b" SIP/2.0\r\n");
        Writer { out }
    }

    /// `reason` "" takes the RFC's phrase for the status.
    pub fn response(status: u16, reason: &str) -> Writer {
        let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
        let mut out = Vec::with_capacity(CAPACITY);
        put(&mut out, format_args!("SIP/2.0 {status:03} "));
        put(&mut out, reason);
        out.extend_from_slice(b"\r\n");
        Writer { out }
    }

    /// A response to `request` with Via (all), From, To, Call-ID, CSeq copied (RFC 3261 §8.2.6.2), `received` and `rport`
    /// put into the top Via from `source` (RFC 3581), and `to_tag` added if To has none and `to_tag` is not "".
    /// A 100 gets the request's Timestamp too (§8.2.6.1).
    pub fn response_to(request: &Message, status: u16, reason: &str, to_tag: &str, source: SocketAddr) -> Writer {
        let mut writer = Writer::response(status, reason);
        // Pieces without a sent-protocol (`Via: …;,;,,`) are no Via.
        for (i, value) in request.headers(HeaderName::Via).filter(|value| value.contains('/')).enumerate() {
            writer = match Via::parse(value).filter(|_| i == 0) {
                Some(via) => writer.top_via(value, &via, source),
                None => writer.header(HeaderName::Via, value),
            };
        }
        for name in [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
            let Some(value) = request.header(name) else { continue };
            let tagless = name == HeaderName::To && !to_tag.is_empty() && request.to_tag().is_empty();
            writer = match NameAddr::parse(value).filter(|_| tagless) {
                Some(_) => writer.header(name, format_args!("{value};tag={to_tag}")),
                None => writer.header(name, value),
            };
        }
        match request.header(HeaderName::Timestamp).filter(|_| status == 100) {
            Some(timestamp) => writer.header(HeaderName::Timestamp, timestamp),
            None => writer,
        }
    }

    /// The answer to a request that cannot be processed, made without any state; `source` is where the request came
    /// from. `None` if it must not (ACK) or cannot (no readable Via) be answered.
    ///
    /// From, To, Call-ID and CSeq go back as far as they can be read. The To tag is a function of the request, so that
    /// an answer to a retransmission is the same answer (RFC 3261 §8.2.7).
    pub fn stateless_response(partial: &Message, status: u16, reason: &str, source: SocketAddr) -> Option<Bytes> {
        if !partial.is_request() || partial.method() == Method::Ack {
            return None;
        }
        partial.via()?;
        let tag = format!("{:016x}", fnv1a(&[partial.branch(), partial.call_id(), partial.from_tag()]));
        Some(Writer::response_to(partial, status, reason, &tag, source).finish())
    }

    /// The top Via as it came, with `received` and `rport` as RFC 3261 §18.2.1 and RFC 3581 §4 want them.
    fn top_via(mut self, value: &str, via: &Via<'_>, source: SocketAddr) -> Writer {
        let sent_by = value.strip_suffix(via.params.0).unwrap_or(value).trim_ascii_end();
        let wants_port = via.params.get("rport").is_some();
        self.out.extend_from_slice(b"Via: ");
        put(&mut self.out, sent_by);
        for (name, param) in via.params.iter() {
            let param = match name {
                name if name.eq_ignore_ascii_case("received") => continue,
                name if name.eq_ignore_ascii_case("rport") => {
                    put(&mut self.out, format_args!(";rport={}", source.port()));
                    continue;
                }
                _ => param,
            };
            put(&mut self.out, format_args!(";{name}"));
            if let Some(param) = param {
                put(&mut self.out, format_args!("={param}"));
            }
        }
        if wants_port || parse_ip(via.host) != Some(source.ip()) {
            put(&mut self.out, format_args!(";received={}", source.ip()));
        }
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// `Other` has no name and is left out ([`Writer::raw_header`] writes it); so is Content-Length, which the writer
    /// counts itself.
    pub fn header(mut self, name: HeaderName, value: impl Display) -> Writer {
        if !matches!(name, HeaderName::Other | HeaderName::ContentLength) {
            self.line(name.as_str(), value);
        }
        self
    }

    /// A known name is written in its long form; a name that is no token is left out with its value.
    pub fn raw_header(mut self, name: &str, value: impl Display) -> Writer {
        let known = HeaderName::from_token(name);
        if known != HeaderName::Other {
            return self.header(known, value);
        }
        if !name.is_empty() && name.bytes().all(is_token) {
            self.line(name, value);
        }
        self
    }

    fn line(&mut self, name: &str, value: impl Display) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        put(&mut self.out, value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the message with Content-Length: 0.
    pub fn finish(self) -> Bytes {
        self.finish_with_body("", b"")
    }

    /// `content_type` "" writes no Content-Type.
    pub fn finish_with_body(mut self, content_type: &str, body: &[u8]) -> Bytes {
        if !content_type.is_empty() {
            self.line(HeaderName::ContentType.as_str(), content_type);
        }
        self.line(HeaderName::ContentLength.as_str(), body.len());
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
        Bytes::from(self.out)
    }
}

/// Writes a value; octets that would end its line become spaces.
fn put(out: &mut Vec<u8>, value: impl Display) {
    let start = out.len();
    // A Vec takes every write; a Display that fails leaves what it wrote.
    let _ = write!(out, "{value}");
    for octet in out.iter_mut().skip(start).filter(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        *octet = b' ';
    }
}

/// FNV-1a over the parts and a separator after each.
fn fnv1a(parts: &[&str]) -> u64 {
    let octets = parts.iter().flat_map(|part| part.bytes().chain([0]));
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}
