use super::scan::{find_lf, is_token, scan};
use super::*;
use bytes::{Buf, Bytes, BytesMut};

/// Cuts messages out of a byte stream by Content-Length (RFC 3261 §18.3); bounded in memory.
///
/// Push what was read (at most `MESSAGE_BYTES_MAX` a time), then take messages until there is none. A message without
/// Content-Length has no body. After the first `Err` the stream stays failed.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// Octets of `buffer` known to hold no end of the header section.
    searched: usize,
    /// Octets in the message at the front, once its header section is complete.
    whole: Option<usize>,
    /// Double CRLFs seen between messages (RFC 5626 §3.5.1).
    pings: u32,
    line_ends: u32,
    fault: Option<Fault>,
}

/// What a framer holds at most: one message not yet complete and one push.
const BUFFER_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

const TOO_LARGE: Fault = Fault::BadRequest { status: 513, reason: "Message Too Large" };

impl Framer {
    /// More than fits (a caller that does not take its messages) fails the stream once what is whole has been taken.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = BUFFER_BYTES_MAX.saturating_sub(self.buffer.len());
        if bytes.len() > room {
            self.fault = self.fault.or(Some(TOO_LARGE));
        }
        self.buffer.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// The next whole message; `Err` means the stream cannot be resynchronised: answer 400 if possible and close it.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.cut() {
            Ok(None) => self.fault.map_or(Ok(None), Err),
            Ok(whole) => Ok(whole),
            Err(fault) => {
                self.fault = Some(fault);
                // Nothing is taken from a stream that lost its frame.
                Err(fault)
            }
        }
    }

    /// Keep-alive pings (CRLF CRLF) seen since last asked; each wants one CRLF back (RFC 5626 §4.4.1).
    pub fn take_pings(&mut self) -> u32 {
        std::mem::take(&mut self.pings)
    }

    /// What can be read of the message at which the stream failed, for an answer.
    pub fn partial(&self) -> Option<Message> {
        let end = self.buffer.len().min(HEAD_BYTES_MAX);
        match Message::parse(Bytes::copy_from_slice(self.buffer.get(..end)?)) {
            Ok(message) => Some(message),
            Err((_, partial)) => partial,
        }
    }

    fn cut(&mut self) -> Result<Option<Bytes>, Fault> {
        self.skip_line_ends();
        let Some(first) = self.buffer.first() else { return Ok(None) };
        if !is_token(*first) {
            return Err(Fault::NotSip);
        }
        if self.whole.is_none() {
            self.whole = self.measure()?;
        }
        let Some(whole) = self.whole.filter(|whole| *whole <= self.buffer.len()) else { return Ok(None) };
        // Copied, so that a message that lives long does not keep the stream's buffer.
        let message = self.buffer.get(..whole).map(Bytes::copy_from_slice);
        self.buffer.advance(whole);
        (self.searched, self.whole, self.line_ends) = (0, None, 0);
        Ok(message)
    }

    /// Between messages, line ends are keep-alives.
    fn skip_line_ends(&mut self) {
        let blank = self.buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        if blank == 0 || self.whole.is_some() {
            return;
        }
        for octet in self.buffer.iter().take(blank) {
            self.line_ends += u32::from(*octet == b'\n');
            if self.line_ends == 2 {
                (self.pings, self.line_ends) = (self.pings.saturating_add(1), 0);
            }
        }
        self.buffer.advance(blank);
    }

    /// Octets in the message at the front; `None` while its header section is incomplete.
    fn measure(&mut self) -> Result<Option<usize>, Fault> {
        let Some(body) = self.find_body() else {
            return if self.buffer.len() > HEAD_BYTES_MAX { Err(TOO_LARGE) } else { Ok(None) };
        };
        if body > HEAD_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        let text = self.buffer.get(..body).unwrap_or_default();
        let head = scan(text);
        // Another protocol's lengths are not ours: a web page can make a browser send what it likes in a request's body.
        let first = text.get(head.start_line.range()).unwrap_or_default();
        if !first.windows(4).any(|part| part.eq_ignore_ascii_case(b"SIP/")) {
            return Err(Fault::NotSip);
        }
        let lost = |reason| Fault::BadRequest { status: 400, reason };
        let octets = read::content_length(&head, text).map_err(lost)?;
        if let Some(reason) = head.fault
            && (octets.is_none() || head.fields.len() == FIELDS_MAX)
        {
            // A Content-Length may be in what could not be read, and its body must not be taken for messages.
            return Err(lost(reason));
        }
        match body.checked_add(octets.unwrap_or(0)) {
            Some(whole) if whole <= MESSAGE_BYTES_MAX => Ok(Some(whole)),
            _ => Err(TOO_LARGE),
        }
    }

    /// Where the body of the message at the front starts.
    fn find_body(&mut self) -> Option<usize> {
        while let Some(lf) = find_lf(&self.buffer, self.searched) {
            match self.buffer.get(lf + 1..)? {
                [b'\n', ..] => return Some(lf + 2),
                [b'\r', b'\n', ..] => return Some(lf + 3),
                [] | [b'\r'] => return None,
                _ => self.searched = lf + 1,
            }
        }
        self.searched = self.buffer.len();
        None
    }
}
