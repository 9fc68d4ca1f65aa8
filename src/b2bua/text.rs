//! A text (MESSAGE, RFC 3428): what it may be, and what of it is passed on.

use super::body::body_of;
use super::endpoint::Body;
use crate::sip::wire::{HeaderName, Message};

/// Octets of a text; longer gets 413. RFC 3428 §8 wants 1,300 by UDP, which is the sender's affair: ours go by TCP beyond `sip.udp_max`.
const BODY_MAX: usize = 16_384;
/// What a text may be, by the begin of its Content-Type; else 415.
const TYPES: [&str; 4] = ["text/", "message/cpim", "message/imdn+xml", "application/im-iscomposing+xml"];
/// What is passed on beside the body.
const PASSED: [&str; 6] = ["Date", "Expires", "Subject", "Priority", "Content-Disposition", "Content-Language"];

/// What is wrong with a MESSAGE whoever sent it: the status of its refusal.
pub fn refusal_of_text(request: &Message) -> Option<u16> {
    let encoding = request.header(HeaderName::ContentEncoding);
    if encoding.is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
        return Some(415);
    }
    if request.body().len() > BODY_MAX {
        return Some(413);
    }
    let kind = request.content_type();
    let is_text = |t: &&str| kind.get(..t.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(t));
    (!request.body().is_empty() && !TYPES.iter().any(is_text)).then_some(415)
}

/// Those of its headers that its receiver gets.
pub fn passed(request: &Message) -> Vec<(String, String)> {
    PASSED.iter().filter_map(|name| Some(((*name).to_owned(), request.header_named(name)?.to_owned()))).collect()
}

/// What one party of a call writes to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub body: Option<Body>,
    pub passed: Vec<(String, String)>,
}

impl Text {
    pub fn of(request: &Message) -> Text {
        Text { body: body_of(request), passed: passed(request) }
    }

    pub fn octets(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.bytes.len())
    }
}
