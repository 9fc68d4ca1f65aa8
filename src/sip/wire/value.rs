use super::scan::{find_outside, is_token, split_at_space};
use super::*;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// `;name=value;flag` parameters, as written after a value. Names compare without case; quoted values are unquoted on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(pub &'a str);

impl<'a> Params<'a> {
    /// `None` if absent; `Some("")` for a flag. The quotes around a quoted value are cut off; escapes in it stay
    /// ([`unquote`]).
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        let value = value.unwrap_or("");
        Some(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
    }

    /// All parameters in order, values as written (with their quotes); empty ones (`;;`) are passed over.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        split(self.0, b';', false).map(|param| match find_outside(param, b'=', false) {
            Some(at) => (param[..at].trim_ascii(), Some(param[at + 1..].trim_ascii())),
            None => (param, None),
        })
    }
}

/// Pieces of `text` between separators that stand outside quotes (and outside <>), trimmed, empty ones left out.
pub(super) fn split(text: &str, separator: u8, angles: bool) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = find_outside(text, separator, angles);
        rest = end.map(|end| &text[end + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim_ascii())
    })
    .filter(|piece| !piece.is_empty())
}

/// A quoted-string's content with escapes resolved (RFC 3261 §25.1); any other text as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"') else { return Cow::Borrowed(text) };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    Cow::Owned(out)
}

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// "UDP", "TCP", "TLS", "WS", "WSS" or anything else, as written.
    pub transport: &'a str,
    /// As written; an IPv6 reference keeps its [].
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    pub fn parse(value: &'a str) -> Option<Via<'a>> {
        let (protocol, rest) = value.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        let rest = rest.trim_ascii_start();
        let (transport, rest) = split_at_space(rest)?;
        let sound = [protocol.trim_ascii(), version.trim_ascii(), transport];
        if sound.iter().any(|token| token.is_empty() || !token.bytes().all(is_token)) {
            return None;
        }
        let params_at = rest.find(';').unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at(params_at);
        let (host, port) = split_host_port(sent_by.trim_ascii())?;
        Some(Via { transport, host, port, params: Params(params.trim_ascii_end()) })
    }

    /// "" if none.
    pub fn branch(&self) -> &'a str {
        self.params.get("branch").unwrap_or("")
    }

    /// Where a response goes by RFC 3261 §18.2.2 and RFC 3581, given where the request came from.
    ///
    /// `maddr` is not honoured: no multicast is done here, and it would let anybody aim responses at a third party.
    pub fn response_target(&self, source: SocketAddr) -> SocketAddr {
        if !self.transport.eq_ignore_ascii_case("UDP") {
            return source;
        }
        let port = self.port.unwrap_or(5060);
        if self.params.get("rport").is_some() {
            return source;
        }
        SocketAddr::new(source.ip(), port)
    }
}

/// `host`, `host:port`, `[v6]:port`, with spaces around the colon; an IPv6 address without [] is taken as a host.
pub(super) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (host, rest) = text.split_at(end);
        host.get(1..end - 1)?.parse::<std::net::Ipv6Addr>().ok()?;
        let rest = rest.trim_ascii_start();
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return None,
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                text.parse::<std::net::Ipv6Addr>().ok()?;
                return Some((text, None));
            }
            Some((host, port)) => (host.trim_ascii_end(), Some(port)),
            None => (text, None),
        }
    };
    let is_host_octet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || !(host.starts_with('[') || host.bytes().all(is_host_octet)) {
        return None;
    }
    match port.map(|port| decimal(port.trim_ascii())) {
        None => Some((host, None)),
        Some(port) => Some((host, Some(u16::try_from(port?).ok()?))),
    }
}

/// Digits only (no sign, as `str::parse` would take); `None` past `u32`.
pub(super) fn decimal(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `"Display" <uri>;params` or `uri;params` (From, To, Contact, Route, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As written, quotes included; "" if none.
    pub display_raw: &'a str,
    /// The URI as written, without <>.
    pub uri: &'a str,
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// A display name with a comma but without quotes is accepted. `None` for an open quote or <, an empty URI, and
    /// text after the URI that is not parameters.
    pub fn parse(value: &'a str) -> Option<NameAddr<'a>> {
        let value = value.trim_ascii();
        let (display_raw, uri, rest) = match find_outside(value, b'<', false) {
            Some(open) => {
                let (display, bracketed) = value.split_at(open);
                let (uri, rest) = bracketed[1..].split_once('>')?;
                (display.trim_ascii_end(), uri.trim_ascii(), rest.trim_ascii_start())
            }
            None if value.starts_with('"') => return None,
            None => {
                let (uri, rest) = value.split_at(value.find(';').unwrap_or(value.len()));
                ("", uri.trim_ascii_end(), rest)
            }
        };
        if uri.is_empty()
            || uri.bytes().any(|b| matches!(b, b' ' | b'\t' | b'<' | b'"'))
            || !(rest.is_empty() || rest.starts_with(';'))
        {
            return None;
        }
        Some(NameAddr { display_raw, uri, params: Params(rest) })
    }

    /// Display name, unquoted and unescaped.
    pub fn display(&self) -> Cow<'a, str> {
        unquote(self.display_raw)
    }

    pub fn tag(&self) -> &'a str {
        self.params.get("tag").unwrap_or("")
    }

    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq {
    pub number: u32,
    pub method: Method,
}

/// An IP address literal in a host position, with or without [].
pub fn parse_ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}
