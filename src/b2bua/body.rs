//! A message's body, and the session description in it: alone, or one part of several (RFC 2046 §5.1, RFC 5621), as with SIP-I,
//! where an ISUP message stands beside it.

use crate::sip::wire::{HeaderName, Message};
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// Parts of one body that are looked at; further ones are not there.
const PARTS_MAX: usize = 16;
/// How deep parts may hold parts.
const DEPTH_MAX: usize = 3;

/// A message body with its type.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    pub content_type: Box<str>,
    pub bytes: Bytes,
}

/// A description may hold keys: what is printed is the type and the length.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.content_type, self.bytes.len())
    }
}

/// One part of a multipart body.
struct Part<'a> {
    content_type: &'a str,
    disposition: &'a str,
    encoding: &'a str,
    content: Range<usize>,
}

impl Body {
    pub fn sdp(text: String) -> Body {
        Body { content_type: "application/sdp".into(), bytes: Bytes::from(text) }
    }

    /// Whether a session description is in it that we can read.
    pub fn is_sdp(&self) -> bool {
        self.session_description().is_some()
    }

    /// The session description. `None` where there is none, or where the sender requires that another part be understood too.
    pub fn session_description(&self) -> Option<Bytes> {
        if is_type(&self.content_type, "application/sdp") {
            return Some(self.bytes.clone());
        }
        if self.requires_more() {
            return None;
        }
        find(&self.content_type, &self.bytes, 0).map(|part| self.bytes.slice_ref(part))
    }

    /// Parts of which none is a session description, and none must be understood: as good as no body.
    pub fn is_negligible(&self) -> bool {
        boundary(&self.content_type).is_some() && !self.is_sdp() && !self.requires_more()
    }

    fn requires_more(&self) -> bool {
        let Some(boundary) = boundary(&self.content_type) else { return false };
        let known = |part: &Part<'_>| {
            is_type(part.content_type, "application/sdp") || self::boundary(part.content_type).is_some()
        };
        parts(&self.bytes, boundary)
            .iter()
            .any(|part| !known(part) && handling(part.disposition).is_some_and(|h| h.eq_ignore_ascii_case("required")))
    }
}

/// A message's body with its type; `None` if it has none.
pub fn body_of(message: &Message) -> Option<Body> {
    let bytes = message.body_bytes();
    if bytes.is_empty() {
        return None;
    }
    Some(Body { content_type: message.content_type().into(), bytes })
}

/// The session description in an INVITE or UPDATE; also a body that is none, but for one that the sender lets us ignore
/// (RFC 3261 §20.11).
pub fn offer_of(message: &Message) -> Option<Body> {
    let disposition = message.header(HeaderName::ContentDisposition).unwrap_or_default();
    let is_optional = handling(disposition).is_some_and(|h| h.eq_ignore_ascii_case("optional"));
    body_of(message).filter(|body| body.is_sdp() || !(is_optional || body.is_negligible()))
}

/// The `handling` of a Content-Disposition (RFC 3261 §20.11), where it has one.
fn handling(disposition: &str) -> Option<&str> {
    parameter(disposition, "handling")
}

fn is_type(content_type: &str, wanted: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(wanted)
}

/// A parameter of a header value, without its quotes.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let pairs = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let found = pairs.map(|(n, v)| (n.trim_ascii(), v.trim_ascii())).find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, v)| v.trim_matches('"'))
}

/// The boundary between a multipart's parts; 1 to 70 characters.
fn boundary(content_type: &str) -> Option<&str> {
    let kind = content_type.trim_ascii_start();
    let is_multipart = kind.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"));
    parameter(content_type, "boundary").filter(|b| is_multipart && (1..=70).contains(&b.len()))
}

/// The first session description among the parts; of alternatives the last, which is the richest (RFC 2046 §5.1.4).
fn find<'a>(content_type: &str, bytes: &'a [u8], depth: usize) -> Option<&'a [u8]> {
    let boundary = boundary(content_type).filter(|_| depth < DEPTH_MAX)?;
    let mut found = parts(bytes, boundary).into_iter().filter_map(|part| {
        let content = bytes.get(part.content)?;
        let is_plain = ["", "7bit", "8bit", "binary"].iter().any(|e| part.encoding.eq_ignore_ascii_case(e));
        if is_type(part.content_type, "application/sdp") && is_plain {
            return Some(content);
        }
        find(part.content_type, content, depth + 1)
    });
    if is_type(content_type, "multipart/alternative") { found.next_back() } else { found.next() }
}

fn parts<'a>(bytes: &'a [u8], boundary: &str) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut begin = None;
    let mut at = 0;
    while at < bytes.len() && parts.len() < PARTS_MAX {
        let end = bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n + 1);
        let line = bytes[at..end].trim_ascii_end();
        let after = line.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary.as_bytes()));
        if let Some(after @ (b"" | b"--")) = after {
            // The line break before a boundary belongs to the boundary.
            if let Some(begin) = begin {
                parts.extend(part(bytes, begin..before_line_break(bytes, at).max(begin)));
            }
            begin = Some(end);
            if after == b"--" {
                return parts;
            }
        }
        at = end;
    }
    // Some leave out the last boundary.
    parts.extend(begin.filter(|&begin| begin < bytes.len()).and_then(|begin| part(bytes, begin..bytes.len())));
    parts
}

fn before_line_break(bytes: &[u8], at: usize) -> usize {
    let head = &bytes[..at];
    head.strip_suffix(b"\r\n").or(head.strip_suffix(b"\n")).unwrap_or(head).len()
}

/// Headers to the empty line, content after it.
fn part(bytes: &[u8], range: Range<usize>) -> Option<Part<'_>> {
    let mut part = Part { content_type: "", disposition: "", encoding: "", content: range.clone() };
    let mut at = range.start;
    while at < range.end {
        let end = bytes[at..range.end].iter().position(|&b| b == b'\n').map_or(range.end, |n| at + n + 1);
        let line = std::str::from_utf8(&bytes[at..end]).ok()?.trim_ascii();
        at = end;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let field = match name.trim_ascii() {
            n if n.eq_ignore_ascii_case("content-type") || n.eq_ignore_ascii_case("c") => &mut part.content_type,
            n if n.eq_ignore_ascii_case("content-disposition") => &mut part.disposition,
            n if n.eq_ignore_ascii_case("content-transfer-encoding") => &mut part.encoding,
            _ => continue,
        };
        *field = value.trim_ascii();
    }
    part.content = at..range.end;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(content_type: &str, text: &str) -> Body {
        Body { content_type: content_type.into(), bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn the_description_is_found_among_parts() {
        const MIXED: &str = "multipart/mixed; boundary=b1";
        let isup = "--b1\r\nContent-Type: application/ISUP;version=itu-t92+\r\n\
            Content-Disposition: signal;handling=optional\r\n\r\n\x01\x00\x0a\r\n";
        let rows = [
            ("application/sdp", "v=0\r\n".to_owned(), Some("v=0\r\n")),
            ("Application/SDP ;charset=utf-8", "v=0\r\n".into(), Some("v=0\r\n")),
            ("text/plain", "v=0\r\n".into(), None),
            (MIXED, format!("{isup}--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n--b1--\r\n"), Some("v=0\r\ns=-")),
            (MIXED, format!("--b1\nContent-Type:application/sdp\n\nv=0\n\n{isup}--b1--"), Some("v=0\n")),
            ("Multipart/Mixed;Boundary=\"b1\"", "preamble\r\n--b1\r\nc: application/sdp\r\n\r\nv=0".into(), Some("v=0")),
            (MIXED, "--b1\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n--b1--".into(), None),
            (MIXED, format!("{isup}--b1--"), None),
            (MIXED, "--b1\r\nContent-Type: x/y\r\nContent-Disposition: signal;handling=required\r\n\r\n1\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b1--".into(), None),
            (MIXED, "--b1\r\n\r\nv=0\r\n--b1--".into(), None),
            (MIXED, "--b1--\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0".into(), None),
            ("multipart/mixed", "--b1\r\nContent-Type: application/sdp\r\n\r\nv=0".into(), None),
            (
                "multipart/alternative;boundary=b1",
                "--b1\r\nContent-Type: application/sdp\r\n\r\nv=1\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=2\r\n--b1--".into(),
                Some("v=2"),
            ),
            (
                MIXED,
                "--b1\r\nContent-Type: multipart/mixed;boundary=b2\r\n\r\n--b2\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b2--\r\n--b1--".into(),
                Some("v=0"),
            ),
        ];
        for (content_type, text, want) in rows {
            let found = body(content_type, &text).session_description();
            assert_eq!(found.as_deref(), want.map(str::as_bytes), "{content_type}: {text}");
        }
        assert!(body(MIXED, &format!("{isup}--b1--")).is_negligible());
        assert!(!body("text/plain", "x").is_negligible() && !body("application/sdp", "v=0").is_negligible());
    }

    #[test]
    fn octets_of_any_kind_are_read_without_harm() {
        let mut state = 1u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let pieces: [&[u8]; 8] = [
            b"--b",
            b"\r\n",
            b"\n",
            b"--",
            b"Content-Type: application/sdp",
            b":",
            b"\xff\x00",
            b"multipart/mixed;boundary=b",
        ];
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..next(20)).flat_map(|_| pieces[next(pieces.len())].to_vec()).collect();
            let body = Body { content_type: "multipart/mixed;boundary=b".into(), bytes: Bytes::from(bytes) };
            let (found, whole) = (body.session_description(), body.bytes.len());
            assert!(found.is_none_or(|f| f.len() < whole));
        }
    }
}
