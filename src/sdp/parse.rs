//! Reading: tolerant and bounded, never panics.

use super::description::{
    Attribute, Connection, Direction, FormatParameters, Host, Kind, Media, Origin, Protocol, RtcpAddress, RtpMap,
    SessionDescription,
};
use crate::base::pii::Secret;
use std::fmt;

/// Longest description read.
pub const BYTES_MAX: usize = 64 * 1024;
/// Most `m=` lines read.
pub const MEDIA_MAX: usize = 64;
/// Most attributes of one stream, or of the session; also the most formats and the most bandwidth or time lines.
pub const ATTRIBUTES_MAX: usize = 512;

/// What is left of ASCII's white space inside a line.
const SPACE: [char; 3] = [' ', '\t', '\x0c'];

/// Why a description was not read. The peer's fault: 400 for a malformed one, 413 for one too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseFault {
    /// Over [`BYTES_MAX`].
    TooLong,
    /// The first line is not `v=0`.
    NotSdp,
    /// Over [`MEDIA_MAX`] streams.
    TooManyMedia,
    /// Over [`ATTRIBUTES_MAX`] of anything.
    TooMany { line: usize },
    /// An `m=` line without a port, a protocol or, unless refused, a format.
    BadMedia { line: usize },
}

impl ParseFault {
    /// The SIP response that it becomes.
    pub fn status(self) -> u16 {
        match self {
            ParseFault::TooLong | ParseFault::TooManyMedia | ParseFault::TooMany { .. } => 413,
            ParseFault::NotSdp | ParseFault::BadMedia { .. } => 400,
        }
    }
}

impl fmt::Display for ParseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseFault::TooLong => write!(f, "session description over {BYTES_MAX} bytes"),
            ParseFault::NotSdp => f.write_str("session description does not begin with v=0"),
            ParseFault::TooManyMedia => write!(f, "session description with over {MEDIA_MAX} streams"),
            ParseFault::TooMany { line } => {
                write!(f, "session description, line {line}: over {ATTRIBUTES_MAX} of a kind")
            }
            ParseFault::BadMedia { line } => {
                write!(f, "session description, line {line}: expected m=<kind> <port> <protocol> <format> …")
            }
        }
    }
}

impl std::error::Error for ParseFault {}

impl SessionDescription {
    /// Reads a description. Lines may end in LF, CR or CRLF; `o=`, `s=`, `t=` and `c=` may be missing; what is not
    /// understood is passed over, attributes are kept as they are; bytes that are not UTF-8 become U+FFFD.
    pub fn parse(bytes: &[u8]) -> Result<SessionDescription, ParseFault> {
        if bytes.len() > BYTES_MAX {
            return Err(ParseFault::TooLong);
        }
        let text = String::from_utf8_lossy(bytes);
        let mut description = SessionDescription::default();
        let mut begun = false;
        for (index, line) in text.replace("\r\n", "\n").split(['\n', '\r', '\0']).enumerate() {
            let Some((kind, value)) = line.trim_matches(SPACE).split_once('=') else { continue };
            let (kind, value) = (kind.trim_matches(SPACE), value.trim_matches(SPACE));
            if !begun {
                if kind != "v" || value != "0" {
                    return Err(ParseFault::NotSdp);
                }
                begun = true;
                continue;
            }
            read_line(&mut description, kind, value, index + 1)?;
        }
        if begun { Ok(description) } else { Err(ParseFault::NotSdp) }
    }
}

fn read_line(d: &mut SessionDescription, kind: &str, value: &str, line: usize) -> Result<(), ParseFault> {
    if kind == "m" {
        if d.media.len() == MEDIA_MAX {
            return Err(ParseFault::TooManyMedia);
        }
        d.media.push(media(value, line)?);
        return Ok(());
    }
    let too_many = ParseFault::TooMany { line };
    match (d.media.last_mut(), kind) {
        (None, "o") => d.origin = origin(value).unwrap_or_default(),
        (None, "s") => d.name = if value == "-" { String::new() } else { value.to_owned() },
        (None, "c") => d.connection = connection(value).or(d.connection.take()),
        (Some(m), "c") => m.connection = connection(value).or(m.connection.take()),
        (None, "t") => push(&mut d.times, value.to_owned(), too_many)?,
        (None, "b") => push(&mut d.bandwidth, value.to_owned(), too_many)?,
        (Some(m), "b") => push(&mut m.bandwidth, value.to_owned(), too_many)?,
        (None, "a") => match Direction::from_name(value) {
            Some(direction) => d.direction = Some(direction),
            None => push(&mut d.attributes, attribute(value), too_many)?,
        },
        (Some(m), "a") => read_attribute(m, value, too_many)?,
        _ => {}
    }
    Ok(())
}

fn push<T>(list: &mut Vec<T>, item: T, fault: ParseFault) -> Result<(), ParseFault> {
    if list.len() == ATTRIBUTES_MAX {
        return Err(fault);
    }
    list.push(item);
    Ok(())
}

fn media(value: &str, line: usize) -> Result<Media, ParseFault> {
    let fault = ParseFault::BadMedia { line };
    let mut fields = value.split_ascii_whitespace();
    let (Some(kind), Some(port), Some(protocol)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(fault);
    };
    let (port, count) = port.split_once('/').unwrap_or((port, "1"));
    let (Ok(port), Ok(count)) = (port.parse::<u16>(), count.parse::<u16>()) else { return Err(fault) };
    let mut formats = Vec::new();
    for format in fields {
        push(&mut formats, format.to_owned(), ParseFault::TooMany { line })?;
    }
    if formats.is_empty() {
        // Some refuse a stream by port 0 and no format at all; another stream without format means nothing.
        if port != 0 {
            return Err(fault);
        }
        formats.push("0".to_owned());
    }
    let mut media = Media::new(Kind::from_name(kind), port, Protocol::from_name(protocol), formats);
    media.port_count = count.max(1);
    Ok(media)
}

fn read_attribute(m: &mut Media, text: &str, too_many: ParseFault) -> Result<(), ParseFault> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let known = match name.trim_matches(SPACE).to_ascii_lowercase().as_str() {
        "rtpmap" => match rtpmap(value) {
            Some(map) => return push(&mut m.rtpmap, map, too_many),
            None => false,
        },
        "fmtp" => match format_parameters(value) {
            Some(fmtp) => return push(&mut m.fmtp, fmtp, too_many),
            None => false,
        },
        "crypto" => return push(&mut m.crypto, Secret::new(value.trim_matches(SPACE).to_owned()), too_many),
        "ptime" => set(&mut m.ptime_ms, milliseconds(value)),
        "maxptime" => set(&mut m.maxptime_ms, milliseconds(value)),
        "rtcp" => set(&mut m.rtcp, rtcp(value)),
        "rtcp-mux" => {
            m.rtcp_mux = true;
            true
        }
        _ => set(&mut m.direction, Direction::from_name(text)),
    };
    if known { Ok(()) } else { push(&mut m.attributes, attribute(text), too_many) }
}

/// Whether there was anything to set.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let found = value.is_some();
    if found {
        *place = value;
    }
    found
}

fn attribute(text: &str) -> Attribute {
    match text.split_once(':') {
        Some((name, value)) => {
            Attribute { name: name.trim_matches(SPACE).to_owned(), value: Some(value.trim_matches(SPACE).to_owned()) }
        }
        None => Attribute { name: text.to_owned(), value: None },
    }
}

fn origin(value: &str) -> Option<Origin> {
    let mut fields = value.split_ascii_whitespace();
    let (username, session_id, version) = (fields.next()?, fields.next()?, fields.next()?);
    let host = fields.nth(2).map_or(Host::UNSPECIFIED, host);
    Some(Origin { username: username.to_owned(), session_id: session_id.to_owned(), version: version.to_owned(), host })
}

fn connection(value: &str) -> Option<Connection> {
    // Some leave out the network or the address type; the address is what counts.
    let fields = value.split_ascii_whitespace().filter_map(|field| field.split('/').next());
    let address = fields.filter(|field| !field.is_empty()).find(|field| !is_network(field))?;
    Some(Connection { host: host(address) })
}

fn is_network(field: &str) -> bool {
    ["IN", "IP4", "IP6"].iter().any(|word| field.eq_ignore_ascii_case(word))
}

fn host(text: &str) -> Host {
    let literal = text.trim_start_matches('[').trim_end_matches(']');
    literal.parse().map_or_else(|_| Host::Name(text.to_owned()), Host::Ip)
}

/// Milliseconds; a fraction (`a=ptime:2.5`) is cut off.
fn milliseconds(value: &str) -> Option<u16> {
    value.trim_matches(SPACE).split('.').next()?.parse().ok()
}

fn rtpmap(value: &str) -> Option<RtpMap> {
    let (payload_type, encoding) = value.trim_matches(SPACE).split_once(SPACE)?;
    let mut parts = encoding.trim_matches(SPACE).split('/');
    let name = parts.next().filter(|n| !n.is_empty() && !n.contains(SPACE))?;
    let clock_rate = parts.next()?.trim_matches(SPACE).parse().ok().filter(|&rate| rate > 0)?;
    let channels = parts.next().and_then(|c| c.trim_matches(SPACE).parse().ok()).unwrap_or(1).max(1);
    let payload_type = payload_type.parse().ok().filter(|&pt| pt < 128)?;
    Some(RtpMap { payload_type, name: name.to_owned(), clock_rate, channels })
}

fn format_parameters(value: &str) -> Option<FormatParameters> {
    let (format, parameters) = value.trim_matches(SPACE).split_once(SPACE)?;
    Some(FormatParameters { format: format.to_owned(), parameters: parameters.trim_matches(SPACE).to_owned() })
}

fn rtcp(value: &str) -> Option<RtcpAddress> {
    let mut fields = value.split_ascii_whitespace();
    let port = fields.next()?.parse().ok()?;
    Some(RtcpAddress { port, host: fields.find(|field| !is_network(field)).map(host) })
}
