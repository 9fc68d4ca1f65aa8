//! SIP messages as the simulated peers read and write them: a second, strict reading that shares nothing with `sip::wire`.

use bytes::Bytes;
use std::fmt::Display;

#[derive(Clone, Debug, PartialEq)]
pub struct Msg {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Every header the switch may write, in the one spelling that is canonical.
const KNOWN: &[&str] = &[
    "Accept",
    "Allow",
    "Authorization",
    "Authentication-Info",
    "Call-ID",
    "CSeq",
    "Contact",
    "Content-Disposition",
    "Content-Length",
    "Content-Type",
    "Date",
    "Diversion",
    "Event",
    "Expires",
    "From",
    "History-Info",
    "Max-Forwards",
    "Min-Expires",
    "Min-SE",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Path",
    "Privacy",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "RSeq",
    "Reason",
    "Record-Route",
    "Refer-To",
    "Referred-By",
    "Replaces",
    "Require",
    "Retry-After",
    "Route",
    "Server",
    "Service-Route",
    "Session-Expires",
    "Subject",
    "Subscription-State",
    "Supported",
    "Timestamp",
    "To",
    "Unsupported",
    "User-Agent",
    "Via",
    "Warning",
    "WWW-Authenticate",
];

impl Msg {
    pub fn request(method: &str, uri: &str) -> Msg {
        Msg { start: format!("{method} {uri} SIP/2.0"), headers: Vec::new(), body: String::new() }
    }

    pub fn response(status: u16, reason: &str) -> Msg {
        Msg { start: format!("SIP/2.0 {status} {reason}"), headers: Vec::new(), body: String::new() }
    }

    /// A response with what RFC 3261 §8.2.6.2 copies from the request.
    pub fn reply(request: &Msg, status: u16, to_tag: &str) -> Msg {
        let mut m = Msg::response(status, phrase(status));
        for (name, value) in &request.headers {
            match name.as_str() {
                "To" if !to_tag.is_empty() && !value.contains(";tag=") => {
                    m = m.with("To", format!("{value};tag={to_tag}"))
                }
                "Via" | "From" | "To" | "Call-ID" | "CSeq" => m = m.with(name, value),
                _ => {}
            }
        }
        m
    }

    pub fn with(mut self, name: &str, value: impl Display) -> Msg {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    pub fn sdp(mut self, body: String) -> Msg {
        if !body.is_empty() {
            self = self.with("Content-Type", "application/sdp");
            self.body = body;
        }
        self
    }

    pub fn bytes(&self) -> Bytes {
        let mut out = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            out += &format!("{name}: {value}\r\n");
        }
        out += &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        Bytes::from(out)
    }

    /// Reads what the switch wrote; `Err` says what is not strict about it.
    pub fn parse(bytes: &[u8]) -> Result<Msg, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no empty line after the headers")?;
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or("").to_string();
        check_start(&start)?;
        let mut headers = Vec::new();
        for line in lines {
            if line.contains(['\r', '\n', '\0']) {
                return Err(format!("stray control character in {line:?}"));
            }
            let (name, value) = line.split_once(": ").ok_or(format!("not `Name: value`: {line:?}"))?;
            let canonical = KNOWN.iter().find(|k| k.eq_ignore_ascii_case(name));
            if canonical.is_some_and(|k| *k != name) || name.len() == 1 {
                return Err(format!("{name} is not the canonical name"));
            }
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)) || value != value.trim() {
                return Err(format!("not `Name: value`: {line:?}"));
            }
            headers.push((name.to_string(), value.to_string()));
        }
        let m = Msg { start, headers, body: body.to_string() };
        let lengths: Vec<&str> = m.all("Content-Length").collect();
        if lengths != [body.len().to_string()] {
            return Err(format!("Content-Length {lengths:?}, body {}", body.len()));
        }
        if !body.is_empty() && m.get("Content-Type").is_empty() {
            return Err("a body without Content-Type".into());
        }
        Ok(m)
    }

    pub fn is_request(&self) -> bool {
        !self.start.starts_with("SIP/2.0 ")
    }

    /// Of a request, or of the request that a response answers.
    pub fn method(&self) -> &str {
        if self.is_request() { self.start.split(' ').next().unwrap_or("") } else { self.cseq().1 }
    }

    pub fn uri(&self) -> &str {
        if self.is_request() { self.start.split(' ').nth(1).unwrap_or("") } else { "" }
    }

    pub fn status(&self) -> u16 {
        if self.is_request() { 0 } else { self.start.get(8..11).and_then(|s| s.parse().ok()).unwrap_or(0) }
    }

    /// The first value of a header; "" if absent.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.get("CSeq").split_once(' ').unwrap_or(("", ""));
        (number.parse().unwrap_or(0), method)
    }

    pub fn branch(&self) -> &str {
        param(self.get("Via"), "branch")
    }

    pub fn call_id(&self) -> &str {
        self.get("Call-ID")
    }

    pub fn tag_of_from(&self) -> &str {
        param(self.get("From"), "tag")
    }

    pub fn tag_of_to(&self) -> &str {
        param(self.get("To"), "tag")
    }

    /// The URI of the first Contact.
    pub fn contact(&self) -> &str {
        addr_uri(self.get("Contact"))
    }

    /// "INVITE", "200 INVITE": what a ladder shows.
    pub fn summary(&self) -> String {
        let body = if self.body.is_empty() { "" } else { " (sdp)" };
        match self.is_request() {
            true => format!("{}{body}", self.method()),
            false => format!("{} {}{body}", self.status(), self.method()),
        }
    }
}

fn check_start(start: &str) -> Result<(), String> {
    let parts: Vec<&str> = start.splitn(3, ' ').collect();
    let good = match parts[..] {
        ["SIP/2.0", code, reason] => {
            code.len() == 3 && code.parse::<u16>().is_ok_and(|c| (100..700).contains(&c)) && !reason.is_empty()
        }
        [method, uri, "SIP/2.0"] => {
            method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && (uri.starts_with("sip:") || uri.starts_with("sips:") || uri.starts_with("tel:"))
                && !uri.contains(['<', '>', '"', ' '])
        }
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("start line {start:?}")) }
}

/// A parameter after the first `>` or, without one, after the first `;`. "" if absent.
pub fn param<'a>(value: &'a str, name: &str) -> &'a str {
    let rest = value.rsplit_once('>').map_or(value, |(_, r)| r);
    rest.split(';').skip(1).find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
}

/// The URI inside a name-addr or addr-spec.
pub fn addr_uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(""),
        None => value.split(';').next().unwrap_or(""),
    }
}

/// A value in quotes (`nonce="…"`) or bare, of an authentication header.
pub fn auth_param<'a>(value: &'a str, name: &str) -> &'a str {
    let mut rest = value.split_once(' ').map_or("", |(_, r)| r);
    while let Some((key, after)) = rest.split_once('=') {
        let (val, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').map_or((after, ""), |(v, n)| (v, n)),
        };
        if key.trim().trim_start_matches(',').trim().eq_ignore_ascii_case(name) {
            return val.trim();
        }
        rest = next;
    }
    ""
}

pub fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Something",
    }
}

#[test]
fn a_strict_reading_says_what_is_not_strict() {
    let head = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n";
    let rows = [
        (format!("{head}Content-Length: 0\r\n\r\n"), true),
        (format!("{head}Content-Length: 1\r\n\r\n"), false),
        (format!("{head}\r\n"), false),
        (format!("{head}l: 0\r\n\r\n"), false),
        (format!("{head}content-length: 0\r\n\r\n"), false),
        (format!("{head}Content-Length:0\r\n\r\n"), false),
        (format!("{head}To: x\r\n y\r\nContent-Length: 0\r\n\r\n"), false),
        ("SIP/2.0 99 x\r\nContent-Length: 0\r\n\r\n".into(), false),
    ];
    for (text, good) in rows {
        assert_eq!(Msg::parse(text.as_bytes()).is_ok(), good, "{text}");
    }
    let challenge = "Digest realm=\"a, b\", algorithm=MD5, nonce=\"n=1\", qop=\"auth\"";
    assert_eq!(["realm", "algorithm", "nonce"].map(|n| auth_param(challenge, n)), ["a, b", "MD5", "n=1"]);
    assert_eq!(param("\"x;tag=1\" <sip:a;tag=2>;tag=3;y", "tag"), "3");
}
