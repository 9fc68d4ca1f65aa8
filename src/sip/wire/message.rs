use super::header::same_name;
use super::scan::{Field, Span};
use super::value::{decimal, split};
use super::*;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Why bytes are not a usable SIP message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not SIP at all (no start line, keep-alive, STUN, garbage): count and drop.
    NotSip,
    /// Reads as a request but cannot be processed: answer statelessly with this status and reason (400, 505, …) if Via
    /// and the rest needed for an answer can be read (`Writer::stateless_response`), else drop.
    BadRequest { status: u16, reason: &'static str },
    /// A response that cannot be processed: drop.
    BadResponse(&'static str),
}

/// One SIP message: the bytes and an index over them. Cloning is cheap (shared buffer).
#[derive(Clone, Debug)]
pub struct Message {
    pub(super) bytes: Bytes,
    pub(super) index: Arc<Index>,
}

/// Where things stand in the buffer. Everything before the body is UTF-8 without folds.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// 0 for a request.
    pub status: u16,
    pub cseq_number: Option<u32>,
    /// The request's method, or the CSeq's for a response.
    pub method: Span,
    pub uri: Span,
    pub reason: Span,
    pub top_via: Span,
    pub branch: Span,
    pub from: Span,
    pub from_tag: Span,
    pub to: Span,
    pub to_tag: Span,
    pub call_id: Span,
    pub cseq_method: Span,
    pub body: Span,
    pub fields: Vec<Field>,
}

impl Message {
    /// Reads a datagram, or one whole message cut out of a stream by [`Framer`].
    ///
    /// Tolerates folded lines, lines that end with LF only, empty lines before the start line, a missing
    /// Content-Length (the body is the rest) and octets after the body (cut off). Octets of the header section that are
    /// no UTF-8 read as '?'. On `Fault::BadRequest` the second value is what could be read, for the answer.
    pub fn parse(bytes: Bytes) -> Result<Message, (Fault, Option<Message>)> {
        read::read(bytes)
    }

    fn text(&self, span: Span) -> &str {
        let octets = self.bytes.get(span.range()).unwrap_or_default();
        std::str::from_utf8(octets).unwrap_or_default()
    }

    pub fn is_request(&self) -> bool {
        self.index.status == 0
    }

    /// The request's method, or the CSeq's for a response.
    pub fn method(&self) -> Method {
        Method::from_token(self.method_str())
    }

    pub fn method_str(&self) -> &str {
        self.text(self.index.method)
    }

    /// The Request-URI as written; "" for a response.
    pub fn request_uri(&self) -> &str {
        self.text(self.index.uri)
    }

    /// 0 for a request.
    pub fn status(&self) -> u16 {
        self.index.status
    }

    pub fn reason(&self) -> &str {
        self.text(self.index.reason)
    }

    /// First value of a header, unfolded, trimmed; commas not split.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        let field = self.index.fields.iter().find(|field| field.name == name)?;
        Some(self.text(field.value))
    }

    /// Every value of a header in order; header fields that are comma lists (Via, Route, Record-Route, Contact, Allow,
    /// Supported, Require, …) are split at top-level commas (quotes and <> respected).
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        let values =
            self.index.fields.iter().filter(move |field| field.name == name).map(|field| self.text(field.value));
        let (lists, singles) = if name.is_list() { (Some(values), None) } else { (None, Some(values)) };
        let pieces = lists.into_iter().flatten().flat_map(|value| split(value, b',', true));
        pieces.chain(singles.into_iter().flatten())
    }

    /// Whether a comma list of tokens (Supported, Require, Allow, …) holds `token`, in any case.
    pub fn lists(&self, name: HeaderName, token: &str) -> bool {
        self.headers(name).any(|value| value.eq_ignore_ascii_case(token))
    }

    /// First value of a header by its name, any case, compact or long; for headers without a [`HeaderName`].
    pub fn header_named(&self, name: &str) -> Option<&str> {
        self.fields().find(|(token, _)| same_name(token, name)).map(|(_, value)| value)
    }

    /// All header fields as (name as written, raw value), in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.index.fields.iter().map(|field| (self.text(field.token), self.text(field.value)))
    }

    /// All header fields in order, known by name; the text is the name as written.
    pub fn named_fields(&self) -> impl Iterator<Item = (HeaderName, &str, &str)> {
        self.index.fields.iter().map(|field| (field.name, self.text(field.token), self.text(field.value)))
    }

    pub fn via(&self) -> Option<Via<'_>> {
        Via::parse(self.text(self.index.top_via))
    }

    /// The top Via's branch; "" if none.
    pub fn branch(&self) -> &str {
        self.text(self.index.branch)
    }

    pub fn from(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.text(self.index.from))
    }

    pub fn to(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.text(self.index.to))
    }

    /// "" if absent.
    pub fn from_tag(&self) -> &str {
        self.text(self.index.from_tag)
    }

    pub fn to_tag(&self) -> &str {
        self.text(self.index.to_tag)
    }

    pub fn call_id(&self) -> &str {
        self.text(self.index.call_id)
    }

    pub fn cseq(&self) -> Option<CSeq> {
        let method = Method::from_token(self.text(self.index.cseq_method));
        Some(CSeq { number: self.index.cseq_number?, method })
    }

    /// First Contact.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(self.headers(HeaderName::Contact).next()?)
    }

    pub fn content_type(&self) -> &str {
        self.header(HeaderName::ContentType).unwrap_or("")
    }

    /// The number in a header of one number (Max-Forwards, Expires, RSeq, Session-Expires before its parameters, …).
    /// `None` if absent or no number; past `u32` it is `u32::MAX`.
    pub fn number(&self, name: HeaderName) -> Option<u32> {
        let digits = self.header(name)?.split([';', ' ', '\t', '(']).next()?;
        let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        all_digits.then(|| decimal(digits).unwrap_or(u32::MAX))
    }

    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.index.body.range()).unwrap_or_default()
    }

    /// The body, sharing the message's buffer.
    pub fn body_bytes(&self) -> Bytes {
        self.bytes.slice(self.index.body.range())
    }

    /// The message from its start line to the end of its body, with folds and octets that were no UTF-8 replaced.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// One line for a human: `INVITE sip:bob@example.com CSeq 1` or `200 OK (INVITE)`.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_request() {
            return write!(f, "{} {} ({})", self.status(), self.reason(), self.method_str());
        }
        write!(f, "{} {}", self.method_str(), self.request_uri())?;
        match self.index.cseq_number {
            Some(number) => write!(f, " CSeq {number}"),
            None => Ok(()),
        }
    }
}
