//! The parts of a session description.

use crate::base::pii::Secret;
use std::net::{IpAddr, SocketAddr};

/// A whole description. Lines that offer/answer has no use for (`i=`, `u=`, `e=`, `p=`, `r=`, `z=`, `k=`) are not kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionDescription {
    pub origin: Origin,
    /// `s=`; empty is written as `-`.
    pub name: String,
    pub connection: Option<Connection>,
    /// `b=` lines, unparsed.
    pub bandwidth: Vec<String>,
    /// `t=` lines, unparsed; none is written as `0 0`.
    pub times: Vec<String>,
    pub direction: Option<Direction>,
    /// Session-level attributes other than the direction.
    pub attributes: Vec<Attribute>,
    pub media: Vec<Media>,
}

/// `o=`: username, session id and version are kept as text, since foreign ones may exceed 64 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub username: String,
    pub session_id: String,
    pub version: String,
    pub host: Host,
}

/// An address as written: literal or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Ip(IpAddr),
    Name(String),
}

/// `c=`, without the TTL and count of multicast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub host: Host,
}

/// `a=name` or `a=name:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub value: Option<String>,
}

/// One `m=` line and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    pub kind: Kind,
    /// 0 refuses the stream (RFC 3264 §6) or ends it (§8.2).
    pub port: u16,
    /// Ports in a row, as in `49170/2`; 1 as a rule.
    pub port_count: u16,
    pub protocol: Protocol,
    /// Payload types or, for other than RTP, format names, in order of preference.
    pub formats: Vec<String>,
    pub connection: Option<Connection>,
    pub bandwidth: Vec<String>,
    pub rtpmap: Vec<RtpMap>,
    pub fmtp: Vec<FormatParameters>,
    pub ptime_ms: Option<u16>,
    pub maxptime_ms: Option<u16>,
    pub direction: Option<Direction>,
    /// `a=rtcp` (RFC 3605).
    pub rtcp: Option<RtcpAddress>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// `a=crypto` values (RFC 4568), unparsed: they hold keys.
    pub crypto: Vec<Secret>,
    /// All other attributes, in order.
    pub attributes: Vec<Attribute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
    Image,
    Text,
    Application,
    Message,
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    RtpAvp,
    RtpAvpf,
    RtpSavp,
    RtpSavpf,
    DtlsRtpSavp,
    DtlsRtpSavpf,
    /// T.38 over UDP.
    Udptl,
    Other(String),
}

/// `a=rtpmap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    pub payload_type: u8,
    pub name: String,
    pub clock_rate: u32,
    pub channels: u8,
}

/// `a=fmtp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatParameters {
    pub format: String,
    pub parameters: String,
}

/// `a=rtcp`: a port and, where it differs from the stream's, an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtcpAddress {
    pub port: u16,
    pub host: Option<Host>,
}

/// Direction of a stream, from the side of whoever wrote the description (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub const fn new(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same stream seen from the other side.
    pub const fn mirrored(self) -> Direction {
        Direction::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Direction) -> Direction {
        Direction::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    pub fn from_name(name: &str) -> Option<Direction> {
        let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        all.into_iter().find(|d| name.eq_ignore_ascii_case(d.as_str()))
    }
}

const KINDS: [(&str, Kind); 6] = [
    ("audio", Kind::Audio),
    ("video", Kind::Video),
    ("image", Kind::Image),
    ("text", Kind::Text),
    ("application", Kind::Application),
    ("message", Kind::Message),
];

impl Kind {
    pub fn from_name(name: &str) -> Kind {
        let known = KINDS.iter().find(|(text, _)| name.eq_ignore_ascii_case(text));
        known.map_or_else(|| Kind::Other(name.to_owned()), |(_, kind)| kind.clone())
    }

    pub fn as_str(&self) -> &str {
        match self {
            Kind::Other(name) => name,
            known => KINDS.iter().find(|(_, kind)| kind == known).map_or("", |(text, _)| text),
        }
    }
}

const PROTOCOLS: [(&str, Protocol); 7] = [
    ("RTP/AVP", Protocol::RtpAvp),
    ("RTP/AVPF", Protocol::RtpAvpf),
    ("RTP/SAVP", Protocol::RtpSavp),
    ("RTP/SAVPF", Protocol::RtpSavpf),
    ("UDP/TLS/RTP/SAVP", Protocol::DtlsRtpSavp),
    ("UDP/TLS/RTP/SAVPF", Protocol::DtlsRtpSavpf),
    ("udptl", Protocol::Udptl),
];

impl Protocol {
    pub fn from_name(name: &str) -> Protocol {
        let known = PROTOCOLS.iter().find(|(text, _)| name.eq_ignore_ascii_case(text));
        known.map_or_else(|| Protocol::Other(name.to_owned()), |(_, protocol)| protocol.clone())
    }

    pub fn as_str(&self) -> &str {
        match self {
            Protocol::Other(name) => name,
            known => PROTOCOLS.iter().find(|(_, protocol)| protocol == known).map_or("", |(text, _)| text),
        }
    }

    /// SRTP with keys in the description (RFC 4568).
    pub fn is_sdes(&self) -> bool {
        matches!(self, Protocol::RtpSavp | Protocol::RtpSavpf)
    }

    /// RTP without encryption.
    pub fn is_plain_rtp(&self) -> bool {
        matches!(self, Protocol::RtpAvp | Protocol::RtpAvpf)
    }
}

impl Default for Origin {
    fn default() -> Origin {
        Origin { username: "-".into(), session_id: "0".into(), version: "0".into(), host: Host::UNSPECIFIED }
    }
}

impl Host {
    /// `0.0.0.0`: no address, or hold in the manner of RFC 2543.
    pub const UNSPECIFIED: Host = Host::Ip(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));

    /// The literal address, unless unspecified.
    pub fn usable_ip(&self) -> Option<IpAddr> {
        match self {
            Host::Ip(ip) if !ip.is_unspecified() => Some(*ip),
            _ => None,
        }
    }

    pub fn is_unspecified(&self) -> bool {
        matches!(self, Host::Ip(ip) if ip.is_unspecified())
    }
}

impl Media {
    /// A stream with nothing but its `m=` line.
    pub fn new(kind: Kind, port: u16, protocol: Protocol, formats: Vec<String>) -> Media {
        Media {
            kind,
            port,
            port_count: 1,
            protocol,
            formats,
            connection: None,
            bandwidth: Vec::new(),
            rtpmap: Vec::new(),
            fmtp: Vec::new(),
            ptime_ms: None,
            maxptime_ms: None,
            direction: None,
            rtcp: None,
            rtcp_mux: false,
            crypto: Vec::new(),
            attributes: Vec::new(),
        }
    }

    /// The refusal of this stream: the same kind, protocol and formats at port 0 (RFC 3264 §6).
    pub fn refused(&self) -> Media {
        let formats = self.formats.iter().take(1).cloned().collect();
        Media::new(self.kind.clone(), 0, self.protocol.clone(), formats)
    }

    /// An attribute's value by name, of the first that has it.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }
}

impl SessionDescription {
    /// Where a stream is to be sent: its own `c=` or the session's.
    pub fn host_of<'a>(&'a self, media: &'a Media) -> Option<&'a Host> {
        media.connection.as_ref().or(self.connection.as_ref()).map(|c| &c.host)
    }

    /// A stream's direction: its own, the session's, or sendrecv.
    pub fn direction_of(&self, media: &Media) -> Direction {
        media.direction.or(self.direction).unwrap_or_default()
    }

    /// A stream's wished packet time: its own, or the session's (which some phones write).
    pub fn ptime_of(&self, media: &Media) -> Option<u16> {
        media.ptime_ms.or_else(|| find(&self.attributes, "ptime").and_then(|value| value.trim().parse().ok()))
    }

    /// RTP's address, if it is literal, specified and not at port 0.
    pub fn rtp_of(&self, media: &Media) -> Option<SocketAddr> {
        let ip = self.host_of(media)?.usable_ip()?;
        (media.port != 0).then(|| SocketAddr::new(ip, media.port))
    }

    /// RTCP's address: `a=rtcp`, else RTP's port + 1 (RFC 3550 §11); whether multiplexing was agreed is not looked at.
    pub fn rtcp_of(&self, media: &Media) -> Option<SocketAddr> {
        let rtp = self.rtp_of(media)?;
        match &media.rtcp {
            Some(rtcp) if rtcp.port != 0 => {
                let ip = rtcp.host.as_ref().and_then(Host::usable_ip).unwrap_or(rtp.ip());
                Some(SocketAddr::new(ip, rtcp.port))
            }
            _ => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }

    /// Whether the same party has sent the same description again, as session timers do: session id and version agree
    /// (RFC 3264 §8).
    pub fn is_refresh_of(&self, earlier: &SessionDescription) -> bool {
        self.origin == earlier.origin
    }

    /// Makes this the successor of our earlier description in the same session: it takes over username and session id,
    /// and the version goes up by one exactly if anything else differs (RFC 3264 §8).
    pub fn supersede(&mut self, earlier: &SessionDescription) {
        self.origin.username.clone_from(&earlier.origin.username);
        self.origin.session_id.clone_from(&earlier.origin.session_id);
        self.origin.version.clone_from(&earlier.origin.version);
        if self != earlier {
            let version = earlier.origin.version.parse::<u64>().unwrap_or(0);
            self.origin.version = version.wrapping_add(1).to_string();
        }
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.name.eq_ignore_ascii_case(name))?.value.as_deref()
}
