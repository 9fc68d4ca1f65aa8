//! Addresses as they go on the wire, and what their fragments say of the connection.

use crate::web::{Fault, Reason};
use std::time::Duration;

/// An `http:` or `https:` address, read once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    pub is_tls: bool,
    /// A name in lower case or an address, IPv6 without [].
    pub host: String,
    /// As written; `None` is the scheme's.
    pub port: Option<u16>,
    /// Path and query, percent-encoded, never empty.
    pub target: String,
    /// User and password, decoded.
    pub credentials: Option<(String, String)>,
    pub overrides: Overrides,
}

/// Longest address that is asked for, in octets.
const URL_MAX: usize = 8 * 1024;

impl Url {
    /// A fault is 11100.
    pub fn parse(text: &str) -> Result<Url, Fault> {
        let fault = |why: &str| Fault::new(Reason::InvalidUrl, shown(text), why);
        if text.len() > URL_MAX {
            return Err(Fault::new(Reason::InvalidUrl, "", "the address is longer than 8 kB"));
        }
        let (text, fragment) = text.trim_ascii().split_once('#').unwrap_or((text.trim_ascii(), ""));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fault("the address has no scheme"))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(fault("the address is neither http nor https")),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((who, host)) => {
                let (user, password) = who.split_once(':').unwrap_or((who, ""));
                (Some((decoded(user), decoded(password))), host)
            }
            None => (None, authority),
        };
        let (host, port) = host_port(host).ok_or_else(|| fault("the address names no host"))?;
        let root = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{root}{}", encoded(target));
        Ok(Url { is_tls, host, port, target, credentials, overrides: Overrides::read(fragment) })
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// Host and port as the Host header has them.
    pub fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        match self.port {
            Some(port) => format!("{open}{}{close}:{port}", self.host),
            None => format!("{open}{}{close}", self.host),
        }
    }

    /// The whole address as the server sees it: what is signed, and what relative addresses are against.
    pub fn seen(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.target)
    }

    /// As seen, with user and password, which an address relative to it needs as well.
    pub fn base(&self) -> String {
        let seen = self.seen();
        match (&self.credentials, seen.split_once("://")) {
            (Some((user, password)), Some((scheme, rest))) => {
                format!("{scheme}://{}:{}@{rest}", super::form::encode(user), super::form::encode(password))
            }
            _ => seen,
        }
    }

    /// Adds a query's pairs behind what the address has.
    pub fn add_query(&mut self, query: &str) {
        if !query.is_empty() {
            let mark = if self.target.contains('?') { '&' } else { '?' };
            self.target.push(mark);
            self.target.push_str(query);
        }
    }
}

/// An address without user, password, query and fragment, for logs and timelines.
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
            let host = authority.rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[host..])
        }
        None => url.to_owned(),
    }
}

fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').map(Some).or(rest.is_empty().then_some(None))?)
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_name) {
        return None;
    }
    let port = match port {
        None | Some("") => None,
        Some(digits) => Some(digits.parse().ok().filter(|p| *p != 0)?),
    };
    Some((host.to_ascii_lowercase(), port))
}

/// What may not stand in a request's target is percent-encoded; what is encoded already stays.
fn encoded(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for b in target.bytes() {
        if b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b) {
            out.push(char::from(b));
        } else {
            super::form::percent(b, &mut out);
        }
    }
    out
}

fn decoded(text: &str) -> String {
    let (mut out, bytes) = (Vec::new(), text.as_bytes());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let octet = (b == b'%').then(|| u8::from_str_radix(text.get(i + 1..i + 3)?, 16).ok()).flatten();
        out.push(octet.unwrap_or(b));
        i += if octet.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What Twilio's connection overrides say (`#ct=2000&rc=3&rp=5xx,ct`); what is unknown or out of bounds is the default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrides {
    /// For the connection, TLS included: 100 ms to 10 s.
    pub connect: Duration,
    /// For each wait for the answer: 100 ms to 15 s.
    pub read: Duration,
    /// For all attempts together: 100 ms to 15 s.
    pub total: Duration,
    /// Further attempts: 0 to 5.
    pub retries: u8,
    pub policy: Policy,
}

/// After which failures another attempt is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    pub connect: bool,
    pub read: bool,
    pub status_4xx: bool,
    pub status_5xx: bool,
}

impl Default for Overrides {
    fn default() -> Overrides {
        Overrides {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            total: Duration::from_secs(15),
            retries: 1,
            policy: Policy { connect: true, read: false, status_4xx: false, status_5xx: false },
        }
    }
}

impl Overrides {
    fn read(fragment: &str) -> Overrides {
        let mut own = Overrides::default();
        let ms = |text: &str, max: u64| {
            let ms = text.parse().ok().filter(|ms| (100..=max).contains(ms))?;
            Some(Duration::from_millis(ms))
        };
        for (key, value) in fragment.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ct" => own.connect = ms(value, 10_000).unwrap_or(own.connect),
                "rt" => own.read = ms(value, 15_000).unwrap_or(own.read),
                "tt" => own.total = ms(value, 15_000).unwrap_or(own.total),
                "rc" => own.retries = value.parse().ok().filter(|n| *n <= 5).unwrap_or(own.retries),
                "rp" => own.policy = Policy::read(value),
                _ => {}
            }
        }
        own
    }
}

impl Policy {
    fn read(text: &str) -> Policy {
        let has = |name: &str| text.split(',').any(|n| n == name || n == "all");
        Policy { connect: has("ct"), read: has("rt"), status_4xx: has("4xx"), status_5xx: has("5xx") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_seen_as_the_server_sees_them() {
        let rows = [
            ("http://Host.Test", "http://host.test/", 80, None),
            ("https://h:8443/a?b=c#rc=2", "https://h:8443/a?b=c", 8443, None),
            ("https://h?x=1", "https://h/?x=1", 443, None),
            ("http://u%40x:p:q@h/", "http://h/", 80, Some(("u@x", "p:q"))),
            ("http://[::1]:81/ü b", "http://[::1]:81/%C3%BC%20b", 81, None),
            ("http://h/a%20b", "http://h/a%20b", 80, None),
            ("http://h:/", "http://h/", 80, None),
        ];
        for (text, seen, port, who) in rows {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.seen().as_str(), url.port()), (seen, port), "{text}");
            assert_eq!(url.credentials.as_ref().map(|(u, p)| (u.as_str(), p.as_str())), who, "{text}");
        }
        for bad in [
            "",
            "h/a",
            "ftp://h/",
            "http://",
            "http:///a",
            "http://h:0/",
            "http://h:x/",
            "http://bücher/",
            "http://[h]/",
            "http://a b/",
        ] {
            assert_eq!(Url::parse(bad).map_err(|f| f.code()), Err(11_100), "{bad}");
        }
        assert_eq!(Url::parse("https://u:p%3A@h/a").unwrap().base(), "https://u:p%3A@h/a");
    }

    #[test]
    fn a_query_is_added_behind_the_one_that_is_there() {
        for (text, target) in [("http://h", "/?a=1"), ("http://h/x?y=2", "/x?y=2&a=1")] {
            let mut url = Url::parse(text).unwrap();
            url.add_query("a=1");
            assert_eq!(url.target, target);
        }
    }

    #[test]
    fn a_fragment_overrides_the_connection_within_bounds() {
        let of = |fragment: &str| Overrides::read(fragment);
        assert_eq!(of(""), Overrides::default());
        assert_eq!(of("ct=99&rt=15001&rc=6&tt=x&e=ashburn"), Overrides::default());
        let own = of("ct=2000&rt=3000&tt=4000&rc=5&rp=4xx,5xx");
        assert_eq!((own.connect.as_millis(), own.read.as_millis(), own.total.as_millis()), (2_000, 3_000, 4_000));
        assert_eq!(own.retries, 5);
        assert_eq!(own.policy, Policy { connect: false, read: false, status_4xx: true, status_5xx: true });
        assert_eq!(of("rp=all").policy, Policy { connect: true, read: true, status_4xx: true, status_5xx: true });
    }
}
