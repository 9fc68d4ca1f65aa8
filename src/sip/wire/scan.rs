//! Finding the lines: the start line, header fields and the body's first octet.

use super::{FIELDS_MAX, HeaderName};

/// A stretch of a message; offsets fit because a message is at most `MESSAGE_BYTES_MAX` long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u16,
    pub end: u16,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: u16::try_from(start).unwrap_or(u16::MAX), end: u16::try_from(end).unwrap_or(u16::MAX) }
    }

    pub fn range(self) -> std::ops::Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }

    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// One header field: its name as written and its value, trimmed, with the folds still in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub name: HeaderName,
    pub token: Span,
    pub value: Span,
}

/// The start line and the header section of a message.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub start_line: Span,
    pub fields: Vec<Field>,
    /// Where the empty line (or the input) ends the header section.
    pub end: usize,
    /// Where the body starts.
    pub body: usize,
    /// Some field runs over several lines.
    pub folded: bool,
    /// What is wrong with the header section as such.
    pub fault: Option<&'static str>,
}

/// Walks over the lines of a message that starts at its start line. Lines end with CRLF or LF.
pub(super) fn scan(bytes: &[u8]) -> Head {
    let mut head = Head { fields: Vec::with_capacity(24), end: bytes.len(), body: bytes.len(), ..Head::default() };
    let mut at = 0;
    let mut first = true;
    while at < bytes.len() {
        let lf = find_lf(bytes, at);
        let next = lf.map_or(bytes.len(), |lf| lf + 1);
        let line = strip_line_end(bytes, at, next);
        if line.is_empty() {
            (head.end, head.body) = (at, next);
            break;
        }
        if first {
            head.start_line = Span::new(at, at + line.len());
            first = false;
        } else if matches!(line.first(), Some(b' ' | b'\t')) {
            head.unfold(line, at);
        } else if head.fields.len() == FIELDS_MAX {
            head.fault = head.fault.or(Some("Too many header fields"));
        } else {
            match read_field(line, at) {
                Some(field) => head.fields.push(field),
                None => head.fault = head.fault.or(Some("Malformed header field")),
            }
        }
        at = next;
    }
    head
}

impl Head {
    fn unfold(&mut self, line: &[u8], at: usize) {
        self.folded = true;
        let (start, end) = trimmed(line, at);
        match self.fields.last_mut() {
            None => self.fault = self.fault.or(Some("Folded start line")),
            Some(_) if start == end => {}
            Some(field) if field.value.is_empty() => field.value = Span::new(start, end),
            Some(field) => field.value.end = Span::new(start, end).end,
        }
    }
}

fn read_field(line: &[u8], at: usize) -> Option<Field> {
    let length = line.iter().position(|b| !is_token(*b))?;
    let (name, rest) = line.split_at(length);
    let spaces = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let (b':', value) = rest.get(spaces..)?.split_first()? else { return None };
    if name.is_empty() {
        return None;
    }
    let (start, end) = trimmed(value, at + length + spaces + 1);
    Some(Field { name: HeaderName::from_octets(name), token: Span::new(at, at + length), value: Span::new(start, end) })
}

/// Start and end in the message of `text`, which stands at `at`, without the white space around it.
fn trimmed(text: &[u8], at: usize) -> (usize, usize) {
    let tail = text.trim_ascii_start();
    let start = at + (text.len() - tail.len());
    (start, start + tail.trim_ascii_end().len())
}

fn strip_line_end(bytes: &[u8], at: usize, next: usize) -> &[u8] {
    let line = bytes.get(at..next).unwrap_or_default();
    let Some(line) = line.strip_suffix(b"\n") else { return line };
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Position of the first LF at or after `from`, eight octets a step.
pub(super) fn find_lf(bytes: &[u8], from: usize) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let tail = bytes.get(from..)?;
    let (words, rest) = tail.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (LOW * u64::from(b'\n'));
        let found = differs.wrapping_sub(LOW) & !differs & HIGH;
        if found != 0 {
            return Some(from + i * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|b| *b == b'\n')?;
    Some(from + words.len() * 8 + at)
}

/// Makes every octet before `head.end` readable as text, lengths unchanged: the line breaks of folds become spaces
/// (RFC 3261 §7.3.1 gives a fold that meaning), octets that are no UTF-8 become '?'.
pub(super) fn repair(bytes: &mut [u8], head: &Head) {
    let Some(text) = bytes.get_mut(..head.end) else { return };
    if head.folded {
        let mut at = 0;
        while let Some(lf) = find_lf(text, at) {
            if matches!(text.get(lf + 1), Some(b' ' | b'\t')) {
                let cr = lf.checked_sub(1).filter(|cr| text.get(*cr) == Some(&b'\r'));
                text[cr.unwrap_or(lf)..=lf].fill(b' ');
            }
            at = lf + 1;
        }
    }
    let mut at = 0;
    while let Some(Err(error)) = text.get(at..).map(std::str::from_utf8) {
        let start = at + error.valid_up_to();
        let end = error.error_len().map_or(text.len(), |length| start + length);
        text[start..end].fill(b'?');
        at = end;
    }
}

/// Position of the first `wanted` outside quoted strings and, if `angles`, outside <>. `None` as well when a quote does
/// not end.
pub(super) fn find_outside(text: &str, wanted: u8, angles: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(octet) = bytes.get(at) {
        if *octet == wanted {
            return Some(at);
        }
        let closing = match octet {
            b'"' => b'"',
            b'<' if angles => b'>',
            _ => {
                at += 1;
                continue;
            }
        };
        at += 1;
        loop {
            match bytes.get(at)? {
                b'\\' if closing == b'"' => at += 2,
                octet if *octet == closing => break,
                _ => at += 1,
            }
        }
        at += 1;
    }
    None
}

pub(super) fn has_space(text: &str) -> bool {
    text.bytes().any(|b| matches!(b, b' ' | b'\t'))
}

/// What stands before and after the first space or tab.
pub(super) fn split_at_space(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| matches!(b, b' ' | b'\t'))?;
    Some((&text[..at], &text[at + 1..]))
}

/// RFC 3261 §25.1 `token`.
pub(super) fn is_token(octet: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut i = 0;
        while i < 256 {
            let b = i as u8;
            table[i] = b.is_ascii_alphanumeric()
                || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
            i += 1;
        }
        table
    };
    TOKEN[usize::from(octet)]
}
