//! From bytes to a [`Message`]: the start line, and the checks that RFC 3261 §8.2, §16.3 and §18.3 ask for before
//! anybody above sees a message.

use super::message::Index;
use super::scan::{self, Field, Head, Span, has_space, is_token, split_at_space};
use super::value::{decimal, split};
use super::*;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// CSeq numbers are below 2^31 (RFC 3261 §8.1.1.5).
const CSEQ_MAX: u32 = i32::MAX as u32;

pub(super) fn read(mut bytes: Bytes) -> Result<Message, (Fault, Option<Message>)> {
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    bytes::Buf::advance(&mut bytes, blank);
    if !bytes.first().is_some_and(|b| is_token(*b)) {
        return Err((Fault::NotSip, None));
    }
    let oversized = bytes.len() > MESSAGE_BYTES_MAX;
    bytes.truncate(MESSAGE_BYTES_MAX);
    let head = scan::scan(&bytes);
    let first = bytes.get(..head.end).map(std::str::from_utf8);
    let read = match first {
        Some(Ok(text)) if !head.folded => Reader::read(text, &head, bytes.len()),
        _ => {
            let mut copy = BytesMut::from(&bytes[..]);
            scan::repair(&mut copy, &head);
            bytes = copy.freeze();
            let text = bytes.get(..head.end).map(std::str::from_utf8);
            Reader::read(text.and_then(Result::ok).unwrap_or_default(), &head, bytes.len())
        }
    };
    let Some((mut index, mut fault)) = read else { return Err((Fault::NotSip, None)) };
    if oversized {
        fault = Some((513, "Message Too Large"));
    }
    index.fields = head.fields;
    bytes.truncate(index.body.range().end);
    let message = Message { bytes, index: Arc::new(index) };
    match fault {
        None => Ok(message),
        Some((_, reason)) if !message.is_request() => Err((Fault::BadResponse(reason), None)),
        Some((status, reason)) => Err((Fault::BadRequest { status, reason }, Some(message))),
    }
}

struct Reader<'a> {
    /// The header section.
    text: &'a str,
    index: Index,
    /// The first thing found wrong: status and reason.
    fault: Option<(u16, &'static str)>,
}

impl<'a> Reader<'a> {
    /// The index, still without the fields, and the first fault; `None` if this is no SIP message.
    fn read(text: &'a str, head: &Head, length: usize) -> Option<(Index, Option<(u16, &'static str)>)> {
        let mut reader = Reader { text, index: Index::default(), fault: None };
        if !reader.start_line(head.start_line) {
            return None;
        }
        if let Some(reason) = head.fault {
            reader.note(400, reason);
        }
        reader.mandatory_fields(&head.fields);
        reader.body(head, length);
        Some((reader.index, reader.fault))
    }

    fn note(&mut self, status: u16, reason: &'static str) {
        self.fault = self.fault.or(Some((status, reason)));
    }

    fn at(&self, span: Span) -> &'a str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Where `part`, a slice of the header section, stands.
    fn span(&self, part: &str) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if start > self.text.len() { Span::default() } else { Span::new(start, start + part.len()) }
    }

    /// False if the line is neither a Request-Line nor a Status-Line.
    fn start_line(&mut self, line: Span) -> bool {
        let line = self.at(line).trim_ascii_end();
        if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
            self.status_line(line);
            return true;
        }
        let Some((method, rest)) = split_at_space(line) else { return false };
        let Some((uri, version)) = rest.rsplit_once([' ', '\t']) else { return false };
        if !method.bytes().all(is_token) || !version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/")) {
            return false;
        }
        let uri = uri.trim_ascii();
        self.index.method = self.span(method);
        self.index.uri = self.span(uri);
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            self.note(505, reason_phrase(505));
        }
        if uri.is_empty() || has_space(uri) {
            self.note(400, "Malformed Request-Line");
        } else if uri.starts_with('<') {
            self.note(400, "Request-URI in angle brackets");
        } else if uri.contains('?') && Uri::parse(uri).is_some_and(|uri| !uri.headers.is_empty()) {
            self.note(400, "Request-URI with headers");
        }
        true
    }

    fn status_line(&mut self, line: &str) {
        let (version, rest) = split_at_space(line).unwrap_or((line, ""));
        let rest = rest.trim_ascii_start();
        let (status, reason) = split_at_space(rest).unwrap_or((rest, ""));
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            self.note(505, reason_phrase(505));
        }
        match decimal(status).and_then(|status| u16::try_from(status).ok()) {
            Some(code @ 100..=699) if status.len() == 3 => self.index.status = code,
            _ => {
                // Not 0, which would make it a request.
                self.index.status = u16::MAX;
                self.note(400, "Malformed Status-Line");
            }
        }
        self.index.reason = self.span(reason.trim_ascii_start());
    }

    /// Via, From, To, Call-ID and CSeq (RFC 3261 §8.1.1). Max-Forwards may be missing, as it is in RFC 2543.
    fn mandatory_fields(&mut self, fields: &[Field]) {
        let (mut via, mut from, mut to, mut call_id, mut cseq) = (None, None, None, None, None);
        for field in fields {
            match field.name {
                HeaderName::Via if via.is_none() => via = Some(field.value),
                HeaderName::From => self.single(&mut from, field.value, "Several From"),
                HeaderName::To => self.single(&mut to, field.value, "Several To"),
                HeaderName::CallId => self.single(&mut call_id, field.value, "Several Call-ID"),
                HeaderName::CSeq => self.single(&mut cseq, field.value, "Several CSeq"),
                HeaderName::MaxForwards if decimal(self.at(field.value)).is_none() => {
                    self.note(400, "Malformed Max-Forwards");
                }
                HeaderName::Contact => self.contact(field.value),
                _ => {}
            }
        }
        self.via(via);
        (self.index.from, self.index.from_tag) = self.address(from, "Missing From", "Malformed From");
        (self.index.to, self.index.to_tag) = self.address(to, "Missing To", "Malformed To");
        self.call_id(call_id);
        self.cseq(cseq);
    }

    /// Keeps the first value; another that differs is a fault.
    fn single(&mut self, kept: &mut Option<Span>, value: Span, reason: &'static str) {
        match *kept {
            None => *kept = Some(value),
            Some(first) if self.at(first) == self.at(value) => {}
            Some(_) => self.note(400, reason),
        }
    }

    /// Without <> nobody can tell whose the URI's headers are (RFC 3261 §20.10); other faults in a Contact matter only
    /// to those who use it.
    fn contact(&mut self, field: Span) {
        let value = self.at(field);
        if value.contains('?') && !value.contains(['<', '"']) {
            self.note(400, "Malformed Contact");
        }
    }

    fn via(&mut self, field: Option<Span>) {
        let Some(field) = field else { return self.note(400, "Missing Via") };
        let mut values = split(self.at(field), b',', true);
        let Some((top, via)) = values.next().and_then(|top| Some((top, Via::parse(top)?))) else {
            return self.note(400, "Malformed Via");
        };
        self.index.top_via = self.span(top);
        self.index.branch = self.span(via.branch());
        if values.any(|value| Via::parse(value).is_none()) {
            self.note(400, "Malformed Via");
        }
    }

    /// The value and its tag.
    fn address(&mut self, field: Option<Span>, missing: &'static str, malformed: &'static str) -> (Span, Span) {
        let Some(field) = field else {
            self.note(400, missing);
            return Default::default();
        };
        match NameAddr::parse(self.at(field)) {
            Some(address) if address.uri.contains(':') => (field, self.span(address.tag())),
            _ => {
                self.note(400, malformed);
                (field, Span::default())
            }
        }
    }

    fn call_id(&mut self, field: Option<Span>) {
        let Some(field) = field else { return self.note(400, "Missing Call-ID") };
        self.index.call_id = field;
        // A control character could not be written into our own messages as it stands.
        if field.is_empty() || self.at(field).bytes().any(|b| b.is_ascii_control() || b == b' ') {
            self.note(400, "Malformed Call-ID");
        }
    }

    fn cseq(&mut self, field: Option<Span>) {
        let Some(field) = field else { return self.note(400, "Missing CSeq") };
        let (number, method) = split_at_space(self.at(field)).unwrap_or_default();
        let method = method.trim_ascii_start();
        if method.is_empty() || !method.bytes().all(is_token) || number.bytes().any(|b| !b.is_ascii_digit()) {
            return self.note(400, "Malformed CSeq");
        }
        self.index.cseq_method = self.span(method);
        if self.index.status != 0 {
            self.index.method = self.index.cseq_method;
        } else if self.at(self.index.method) != method {
            self.note(400, "CSeq method does not match");
        }
        match decimal(number) {
            Some(number) if number <= CSEQ_MAX => self.index.cseq_number = Some(number),
            _ => self.note(400, "CSeq number out of range"),
        }
    }

    /// The body by Content-Length, or all the rest without one (RFC 3261 §18.3).
    fn body(&mut self, head: &Head, length: usize) {
        let rest = length.saturating_sub(head.body);
        let body = match content_length(head, self.text.as_bytes()) {
            Ok(None) => rest,
            Ok(Some(octets)) if octets <= rest => octets,
            Ok(Some(_)) => {
                self.note(400, "Content-Length exceeds the message");
                0
            }
            Err(reason) => {
                self.note(400, reason);
                0
            }
        };
        self.index.body = Span::new(head.body, head.body + body);
    }
}

/// The Content-Length that a header section (`text`, possibly with folds) states, in octets.
pub(super) fn content_length(head: &Head, text: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut stated = None;
    for field in head.fields.iter().filter(|field| field.name == HeaderName::ContentLength) {
        let value = text.get(field.value.range()).and_then(|value| std::str::from_utf8(value).ok());
        let octets = value.and_then(decimal).ok_or("Malformed Content-Length")? as usize;
        if stated.is_some_and(|stated| stated != octets) {
            return Err("Several Content-Length");
        }
        stated = Some(octets);
    }
    Ok(stated)
}
