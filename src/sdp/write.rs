//! Writing: strict, in the order of RFC 8866 §9.

use super::description::{Attribute, Connection, Host, Media, RtcpAddress, SessionDescription};
use std::fmt;
use std::net::IpAddr;

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = &self.origin;
        let (user, id, version) = (Token(&o.username), Token(&o.session_id), Token(&o.version));
        write!(f, "v=0\r\no={user} {id} {version} {}\r\n", o.host)?;
        let name = if self.name.is_empty() { "-" } else { &self.name };
        write!(f, "s={}\r\n", Text(name))?;
        write_connection(f, self.connection.as_ref())?;
        write_lines(f, "b", &self.bandwidth)?;
        match self.times.as_slice() {
            [] => f.write_str("t=0 0\r\n")?,
            times => write_lines(f, "t", times)?,
        }
        self.attributes.iter().try_for_each(|a| write_attribute(f, a))?;
        if let Some(direction) = self.direction {
            write!(f, "a={}\r\n", direction.as_str())?;
        }
        self.media.iter().try_for_each(|m| write!(f, "{m}"))
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {}", Token(self.kind.as_str()), self.port)?;
        if self.port_count > 1 {
            write!(f, "/{}", self.port_count)?;
        }
        write!(f, " {}", Token(self.protocol.as_str()))?;
        // The grammar wants at least one format.
        let formats = if self.formats.is_empty() { &["0".to_owned()][..] } else { &self.formats };
        formats.iter().try_for_each(|format| write!(f, " {}", Token(format)))?;
        f.write_str("\r\n")?;
        write_connection(f, self.connection.as_ref())?;
        write_lines(f, "b", &self.bandwidth)?;
        for map in &self.rtpmap {
            write!(f, "a=rtpmap:{} {}/{}", map.payload_type, Token(&map.name), map.clock_rate)?;
            if map.channels > 1 {
                write!(f, "/{}", map.channels)?;
            }
            f.write_str("\r\n")?;
        }
        for fmtp in &self.fmtp {
            write!(f, "a=fmtp:{} {}\r\n", Token(&fmtp.format), Text(&fmtp.parameters))?;
        }
        for (name, value) in [("ptime", self.ptime_ms), ("maxptime", self.maxptime_ms)] {
            if let Some(ms) = value {
                write!(f, "a={name}:{ms}\r\n")?;
            }
        }
        if let Some(rtcp) = &self.rtcp {
            write_rtcp(f, rtcp)?;
        }
        if self.rtcp_mux {
            f.write_str("a=rtcp-mux\r\n")?;
        }
        for crypto in &self.crypto {
            write!(f, "a=crypto:{}\r\n", Text(crypto.expose()))?;
        }
        self.attributes.iter().try_for_each(|a| write_attribute(f, a))?;
        match self.direction {
            Some(direction) => write!(f, "a={}\r\n", direction.as_str()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Host {
    /// With network and address type: `IN IP6 ::1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(ip @ IpAddr::V4(_)) => write!(f, "IN IP4 {ip}"),
            Host::Ip(ip @ IpAddr::V6(_)) => write!(f, "IN IP6 {ip}"),
            Host::Name(name) => write!(f, "IN IP4 {}", Token(name)),
        }
    }
}

fn write_connection(f: &mut fmt::Formatter<'_>, connection: Option<&Connection>) -> fmt::Result {
    connection.map_or(Ok(()), |c| write!(f, "c={}\r\n", c.host))
}

fn write_lines(f: &mut fmt::Formatter<'_>, kind: &str, lines: &[String]) -> fmt::Result {
    lines.iter().try_for_each(|line| write!(f, "{kind}={}\r\n", Text(line)))
}

fn write_attribute(f: &mut fmt::Formatter<'_>, attribute: &Attribute) -> fmt::Result {
    write!(f, "a={}", Text(&attribute.name))?;
    if let Some(value) = &attribute.value {
        write!(f, ":{}", Text(value))?;
    }
    f.write_str("\r\n")
}

fn write_rtcp(f: &mut fmt::Formatter<'_>, rtcp: &RtcpAddress) -> fmt::Result {
    write!(f, "a=rtcp:{}", rtcp.port)?;
    if let Some(host) = &rtcp.host {
        write!(f, " {host}")?;
    }
    f.write_str("\r\n")
}

/// Free text; what would end the line is left out, so that a value can never become a line of its own.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split(['\r', '\n', '\0']).try_for_each(|part| f.write_str(part))
    }
}

/// A word: without white space, and `-` when empty.
struct Token<'a>(&'a str);

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.trim_ascii().is_empty() {
            return f.write_str("-");
        }
        self.0.split(|c: char| c.is_ascii_whitespace() || c == '\0').try_for_each(|part| f.write_str(part))
    }
}
