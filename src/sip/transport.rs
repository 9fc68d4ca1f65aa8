//! Where a message comes from and goes to. Sockets are the shell's; the core knows flows.

use std::fmt;
use std::net::SocketAddr;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Transport {
    /// Retransmission is the transport's business, not the transaction's.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// As in a Via.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// As in a `transport=` parameter.
    pub const fn as_param(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }
}

/// One of the addresses that the switch listens on, by its place in `sip.listen`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

/// One listening address, as the core needs it for Via and Contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    pub id: ListenerId,
    pub transport: Transport,
    /// What is bound.
    pub local: SocketAddr,
    /// What peers on this side of a NAT know it by: `local`, or for a wildcard an address of this machine.
    pub advertised: SocketAddr,
}

/// A way to a peer: the listener on our side, the peer's address, and for streams the connection.
///
/// `connection` 0 on a stream means "the open connection to that peer, or a new one"; from [`Flow::to_named`] it means the
/// same of a peer that has to prove its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Flow {
    pub listener: ListenerId,
    pub transport: Transport,
    pub peer: SocketAddr,
    pub connection: u64,
}

/// A host name that a peer has to prove, as a number of 63 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct NameId(u64);

impl NameId {
    /// A function of the name alone, so that the shell finds the name of a number among those that its configuration has.
    /// Another name with the same number is not believed: the peer has to prove the configured one.
    pub fn of(host: &str) -> NameId {
        // FNV-1a.
        let host = host.trim_end_matches('.');
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x100_0000_01b3);
        NameId(host.bytes().fold(0xcbf2_9ce4_8422_2325, step) & !NAMED)
    }
}

/// Connections are numbered from 1; what is above this is a name.
const NAMED: u64 = 1 << 63;

impl Flow {
    /// The way to the same peer by the open connection on which it has proved the name `id`, or a new one on which it must.
    pub const fn to_named(self, id: NameId) -> Flow {
        Flow { connection: NAMED | id.0, ..self }
    }

    /// The name that the peer has to prove; `None`: its address, or it is one connection that stands already.
    pub const fn name(self) -> Option<NameId> {
        if self.connection & NAMED == 0 { None } else { Some(NameId(self.connection & !NAMED)) }
    }

    /// One connection and no other.
    pub const fn is_connection(self) -> bool {
        self.connection != 0 && self.connection & NAMED == 0
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.transport.as_param(), self.peer)
    }
}
