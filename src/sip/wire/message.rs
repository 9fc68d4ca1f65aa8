use super::*;
use bytes::Bytes;

/// A request method (case-sensitive, RFC 3261 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Info,
    Prack,
    Update,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// Any other token; the text is in the message ([`Message::method_str`]).
    Other,
}

impl Method {
    pub fn from_token(token: &str) -> Method {
        let _ = token;
        todo!()
    }
    /// The token; "" for `Other`.
    pub const fn as_str(self) -> &'static str {
        todo!()
    }
}

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
    bytes: Bytes,
}

impl Message {
    /// Reads a datagram, or one whole message cut out of a stream by [`Framer`].
    ///
    /// On `Fault::BadRequest` the second value is what could be read, for the answer.
    pub fn parse(bytes: Bytes) -> Result<Message, (Fault, Option<Message>)> {
        Ok(Message { bytes })
    }

    pub fn is_request(&self) -> bool {
        todo!()
    }
    /// The request's method, or the CSeq's for a response.
    pub fn method(&self) -> Method {
        todo!()
    }
    pub fn method_str(&self) -> &str {
        todo!()
    }
    /// The Request-URI as written; "" for a response.
    pub fn request_uri(&self) -> &str {
        todo!()
    }
    /// 0 for a request.
    pub fn status(&self) -> u16 {
        todo!()
    }
    pub fn reason(&self) -> &str {
        todo!()
    }
    /// First value of a header, unfolded, trimmed; commas not split.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        let _ = name;
        todo!()
    }
    /// Every value of a header in order; header fields that are comma lists (Via, Route, Record-Route, Contact, Allow,
    /// Supported, Require, …) are split at top-level commas (quotes and <> respected).
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        let _ = name;
        std::iter::empty()
    }
    /// First value of a header by its name, any case, compact or long; for headers without a [`HeaderName`].
    pub fn header_named(&self, name: &str) -> Option<&str> {
        let _ = name;
        todo!()
    }
    /// All header fields as (name as written, raw value), in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::empty()
    }
    pub fn via(&self) -> Option<Via<'_>> {
        todo!()
    }
    /// The top Via's branch; "" if none.
    pub fn branch(&self) -> &str {
        todo!()
    }
    pub fn from(&self) -> Option<NameAddr<'_>> {
        todo!()
    }
    pub fn to(&self) -> Option<NameAddr<'_>> {
        todo!()
    }
    /// "" if absent.
    pub fn from_tag(&self) -> &str {
        todo!()
    }
    pub fn to_tag(&self) -> &str {
        todo!()
    }
    pub fn call_id(&self) -> &str {
        todo!()
    }
    pub fn cseq(&self) -> Option<CSeq> {
        todo!()
    }
    /// First Contact.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        todo!()
    }
    pub fn content_type(&self) -> &str {
        todo!()
    }
    pub fn body(&self) -> &[u8] {
        todo!()
    }
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Cuts messages out of a byte stream by Content-Length (RFC 3261 §18.3); bounded in memory.
#[derive(Debug, Default)]
pub struct Framer {}

impl Framer {
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }
    /// The next whole message; `Err` means the stream cannot be resynchronised: answer 400 if possible and close it.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, Fault> {
        todo!()
    }
}
