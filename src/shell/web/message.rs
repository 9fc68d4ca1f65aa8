//! Messages of HTTP/1.1 as a client has them (RFC 9112): requests written, heads of answers read, bodies cut out of what comes. Pure.

use super::url::Url;
use httparse::Status;

/// The head of an answer, and what follows a chunked body, in octets.
const HEAD_MAX: usize = 16 * 1024;
/// Fields in a head.
const FIELDS_MAX: usize = 100;
/// A chunk's size with its extensions, which nobody reads.
const CHUNK_LINE_MAX: usize = 1_024;
/// A head so short is read again with each octet that comes, a longer one when its end is there: nobody makes us read without end.
const AGAIN_MAX: usize = 512;

/// Lines of a request's head.
#[derive(Clone, Debug, Default)]
pub struct Fields(String);

impl Fields {
    /// Adds a line. A value with what may not stand in one (RFC 9110 §5.5) is not sent.
    pub fn put(&mut self, name: &str, value: &str) {
        if value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f)) {
            for part in [name, ": ", value, "\r\n"] {
                self.0.push_str(part);
            }
        }
    }
}

/// A request as it is sent, except for what follows from the address.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub fields: Fields,
    pub body: Vec<u8>,
}

impl Ask {
    /// The octets of the request.
    pub fn write(&self, url: &Url) -> Vec<u8> {
        let Fields(fields) = &self.fields;
        let mut out = Vec::with_capacity(128 + url.target.len() + url.host.len() + fields.len() + self.body.len());
        let mut put = |part: &str| out.extend_from_slice(part.as_bytes());
        for part in [self.method, " ", &url.target, " HTTP/1.1\r\n", fields, "host: ", &url.authority(), "\r\n"] {
            put(part);
        }
        // A GET without a body says nothing of it (RFC 9110 §8.6).
        if self.method != "GET" || !self.body.is_empty() {
            put(&format!("content-length: {}\r\n", self.body.len()));
        }
        put("\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// So many octets are left.
    Length(u64),
    Chunked(Chunk),
    /// All that comes until the server closes the connection.
    UntilClose,
}

/// What a chunked body goes on with (RFC 9112 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chunk {
    Size,
    /// So many octets of a chunk.
    Data(u64),
    /// The end of the line behind a chunk.
    End,
    /// Fields behind the last chunk, of which so many octets came already.
    Trailers(usize),
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub rest: Rest,
    /// The connection may have another request after this one.
    pub is_kept: bool,
    /// As it came.
    text: Vec<u8>,
}

impl Head {
    /// Reads a head at the beginning of `buffer` and takes it out; `None`: more must come. Interim answers are passed over.
    /// `come`: so many octets of it are new. `Err` says why this is no HTTP.
    pub fn take(buffer: &mut Vec<u8>, come: usize) -> Result<Option<Head>, String> {
        let mut new = come;
        loop {
            let seen = buffer.len() - new.min(buffer.len());
            let from = seen.saturating_sub(3);
            let ends = |b: &[u8]| b.windows(2).any(|w| w == b"\n\n") || b.windows(3).any(|w| w == b"\n\r\n");
            let is_worth = !buffer.is_empty() && (seen < AGAIN_MAX || ends(&buffer[from..]));
            let read = if is_worth { Head::read(buffer)? } else { None };
            let Some((head, length)) = read else {
                return if buffer.len() > HEAD_MAX { Err("its head is too long".into()) } else { Ok(None) };
            };
            buffer.drain(..length);
            // 101 is the last word on a connection that nobody asked to change.
            if !(100..=199).contains(&head.status) || head.status == 101 {
                return Ok(Some(head));
            }
            new = buffer.len();
        }
    }

    fn read(buffer: &[u8]) -> Result<Option<(Head, usize)>, String> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut answer = httparse::Response::new(&mut fields);
        let length = match answer.parse(buffer) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        if length > HEAD_MAX {
            return Err("its head is too long".into());
        }
        let status = answer.code.unwrap_or_default();
        let text = buffer.get(..length).unwrap_or_default().to_vec();
        let mut head = Head { status, rest: Rest::UntilClose, is_kept: false, text };
        let is_old = answer.version == Some(0);
        head.rest = head.measured(is_old)?;
        let says = |word: &str| head.words("connection").any(|w| w.eq_ignore_ascii_case(word));
        let is_open = if is_old { says("keep-alive") } else { !says("close") };
        head.is_kept = is_open && head.rest != Rest::UntilClose && status != 101;
        Ok(Some((head, length)))
    }

    fn measured(&mut self, is_old: bool) -> Result<Rest, String> {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(Rest::Length(0));
        }
        if let Some(last) = self.words("transfer-encoding").last() {
            let is_chunked = last.eq_ignore_ascii_case("chunked") && !is_old;
            return Ok(if is_chunked { Rest::Chunked(Chunk::Size) } else { Rest::UntilClose });
        }
        let mut length = None;
        for word in self.words("content-length") {
            let is_number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
            let one: u64 = word.parse().ok().filter(|_| is_number).ok_or("its length is no number")?;
            if length.replace(one).is_some_and(|other| other != one) {
                return Err("it has two lengths".into());
            }
        }
        Ok(length.map_or(Rest::UntilClose, Rest::Length))
    }

    /// The values of a field, in order, as they came.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.text.split(|b| *b == b'\n').skip(1);
        lines.filter_map(move |line| {
            let value = line.get(name.len()..)?.strip_prefix(b":")?;
            line.get(..name.len())?.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
        })
    }

    /// The values of a field that are text.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(name).filter(|v| v.iter().all(|b| *b == b'\t' || (b' '..0x7f).contains(b))).flat_map(str::from_utf8)
    }

    /// A field's list, taken apart. What is no text is a word that means nothing.
    fn words<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.values(name).map(|v| str::from_utf8(v).unwrap_or("?"));
        values.flat_map(|v| v.split(',').map(str::trim_ascii))
    }
}

impl Rest {
    /// Moves what belongs to the body from `buffer` to its end; true: it is whole. `Err` says why this is no HTTP.
    pub fn take(&mut self, buffer: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<bool, String> {
        let mut at = 0;
        let is_whole = match self {
            Rest::UntilClose => {
                data(&mut { u64::MAX }, buffer, &mut at, body);
                Ok(false)
            }
            Rest::Length(left) => Ok(data(left, buffer, &mut at, body)),
            Rest::Chunked(chunk) => chunk.take(buffer, &mut at, body),
        };
        buffer.drain(..at);
        is_whole
    }
}

/// Copies what is there of `left` octets; true: that was the last.
fn data(left: &mut u64, buffer: &[u8], at: &mut usize, body: &mut Vec<u8>) -> bool {
    let there = buffer.get(*at..).unwrap_or_default();
    let length = usize::try_from(*left).map_or(there.len(), |left| left.min(there.len()));
    body.extend_from_slice(there.get(..length).unwrap_or_default());
    *at += length;
    *left -= length as u64;
    *left == 0
}

impl Chunk {
    fn take(&mut self, buffer: &[u8], at: &mut usize, body: &mut Vec<u8>) -> Result<bool, String> {
        loop {
            let there = buffer.get(*at..).unwrap_or_default();
            *self = match self {
                Chunk::Size => match chunk_size(there)? {
                    None => return Ok(false),
                    Some((length, size)) => {
                        *at += length;
                        if size == 0 { Chunk::Trailers(0) } else { Chunk::Data(size) }
                    }
                },
                Chunk::Data(left) => {
                    if !data(left, buffer, at, body) {
                        return Ok(false);
                    }
                    Chunk::End
                }
                Chunk::End => {
                    let end = there.get(..2.min(there.len())).unwrap_or_default();
                    if end == b"\r\n" {
                        *at += 2;
                        Chunk::Size
                    } else if b"\r\n".starts_with(end) {
                        return Ok(false);
                    } else {
                        return Err("a chunk is longer than it said".into());
                    }
                }
                Chunk::Trailers(came) => {
                    let line = there.iter().position(|b| *b == b'\n');
                    let length = line.map_or(there.len(), |end| end + 1);
                    if *came + length > HEAD_MAX {
                        return Err("too much follows its body".into());
                    }
                    if line.is_none() {
                        return Ok(false);
                    }
                    *at += length;
                    if matches!(there, [b'\n', ..] | [b'\r', b'\n', ..]) {
                        return Ok(true);
                    }
                    Chunk::Trailers(*came + length)
                }
            };
        }
    }
}

/// The line before a chunk: how long it is, and how long the chunk is.
fn chunk_size(there: &[u8]) -> Result<Option<(usize, u64)>, String> {
    let wrong = || "a chunk has no size".to_owned();
    if there.first().is_some_and(|b| !b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    match httparse::parse_chunk_size(there).map_err(|_| wrong())? {
        Status::Complete((length, size)) if length <= CHUNK_LINE_MAX => Ok(Some((length, size))),
        Status::Partial if there.len() <= CHUNK_LINE_MAX => Ok(None),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that comes in pieces of `step` octets and is then over; its status, its body or the fault, and what is left.
    fn answer(text: &[u8], step: usize) -> Result<(u16, Vec<u8>, bool), String> {
        let (mut pieces, mut buffer, mut body) = (text.chunks(step), Vec::new(), Vec::new());
        let mut head = loop {
            let Some(piece) = pieces.next() else { return Err("no head".into()) };
            buffer.extend_from_slice(piece);
            if let Some(head) = Head::take(&mut buffer, piece.len())? {
                break head;
            }
        };
        while !head.rest.take(&mut buffer, &mut body)? {
            let Some(piece) = pieces.next() else {
                let whole = (head.status, body, head.is_kept);
                return if head.rest == Rest::UntilClose { Ok(whole) } else { Err("half".into()) };
            };
            buffer.extend_from_slice(piece);
        }
        assert_eq!(buffer.len() + pieces.map(<[u8]>::len).sum::<usize>(), 0, "all of it is read");
        Ok((head.status, body, head.is_kept))
    }

    /// Status, body, and whether the connection stays; or why there is no answer.
    type Outcome = Result<(u16, &'static str, bool), &'static str>;

    #[test]
    fn answers_end_where_they_say() {
        let rows: &[(&str, Outcome)] = &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Ok((200, "abc", true))),
            ("HTTP/1.1 200 OK\nCONTENT-LENGTH:3\n\nabc", Ok((200, "abc", true))),
            ("HTTP/1.1 200\r\ncontent-length: 3, 3\r\nContent-Length: 3\r\n\r\nabc", Ok((200, "abc", true))),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na", Ok((200, "a", false))),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", Ok((200, "a", false))),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", Ok((200, "a", true))),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", Ok((200, "until the end", false))),
            ("HTTP/1.1 204 No\r\n\r\n", Ok((204, "", true))),
            ("HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", Ok((304, "", true))),
            ("HTTP/1.1 101 Other\r\n\r\n", Ok((101, "", false))),
            (
                "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                Ok((404, "", true)),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n",
                Ok((200, "abc0123456789", true)),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ: \r\n\r\n",
                Ok((200, "a", true)),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nall", Ok((200, "all", false))),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", Ok((200, "1\r\n", false))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Err("half")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", Err("half")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", Err("it has two lengths")),
            ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", Err("its length is no number")),
            ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc", Err("its length is no number")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Err("its length is no number")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Err("a chunk is longer than it said")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n", Err("a chunk has no size")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", Err("a chunk has no size")),
            ("220 smtp.example ESMTP\r\n\r\n", Err("invalid HTTP version")),
            ("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", Err("invalid header name")),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Err("invalid header name")),
            ("HTTP/1.1 200 OK\r\nContent-Le", Err("no head")),
        ];
        for (text, expected) in rows {
            let expected = expected.map(|(status, body, is_kept)| (status, body.as_bytes().to_vec(), is_kept));
            for step in [1, 2, 3, 7, text.len()] {
                assert_eq!(
                    answer(text.as_bytes(), step),
                    expected.clone().map_err(str::to_owned),
                    "{text:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn what_a_server_may_say_without_end_is_bounded() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
        let long = "x".repeat(2 * HEAD_MAX);
        let rows = [
            (format!("{head}A: {long}"), "its head is too long"),
            (format!("{head}A: {long}\r\n\r\n"), "its head is too long"),
            (format!("{head}{}\r\n", "a: b\r\n".repeat(FIELDS_MAX)), "too many headers"),
            (format!("{head}\r\n1;{long}\r\na"), "a chunk has no size"),
            (format!("{head}\r\n0\r\n{long}"), "too much follows its body"),
            (format!("{head}\r\n0\r\n{}", "a: b\r\n".repeat(HEAD_MAX)), "too much follows its body"),
        ];
        for (text, why) in rows {
            for step in [1, 1_000, text.len()] {
                assert_eq!(answer(text.as_bytes(), step), Err(why.to_owned()), "{}… by {step}", &text[..60]);
            }
        }
    }

    #[test]
    fn fields_are_found_by_name_whatever_its_case() {
        let text = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nset-cookie:c=d \r\nX-Set-Cookie: e\r\nSet-Cookie: \xff\r\nEmpty:\r\n\r\n";
        let head = Head::take(&mut text.to_vec(), text.len()).unwrap().unwrap();
        assert_eq!(head.all("set-cookie").collect::<Vec<_>>(), ["a=b", "c=d"]);
        assert_eq!(head.all("empty").collect::<Vec<_>>(), [""]);
        assert_eq!(head.all("cookie").next(), None);
    }

    #[test]
    fn a_request_is_one_piece_and_no_value_adds_a_line() {
        let mut fields = Fields::default();
        fields.put("accept", "*/*");
        fields.put("cookie", "a\r\nevil: yes");
        fields.put("x", "ü\t");
        let ask = |method, body: &str| Ask { method, fields: fields.clone(), body: body.into() };
        let written = |ask: Ask| String::from_utf8(ask.write(&Url::parse("http://[::1]:81/a?b").unwrap())).unwrap();
        let common = "/a?b HTTP/1.1\r\naccept: */*\r\nx: ü\t\r\nhost: [::1]:81\r\n";
        assert_eq!(written(ask("GET", "")), format!("GET {common}\r\n"));
        assert_eq!(written(ask("POST", "")), format!("POST {common}content-length: 0\r\n\r\n"));
        assert_eq!(written(ask("POST", "c=d")), format!("POST {common}content-length: 3\r\n\r\nc=d"));
    }
}
