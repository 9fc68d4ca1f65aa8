//! Sockets: SIP over UDP in batches, SIP over streams, waiting for both, and what the operating system must grant.

mod address;
mod poll;
mod stream;
pub mod stun;
pub mod tls;
mod udp;

pub use address::{advertised, raise_open_files};
pub use poll::{Epoll, Ready, Waker};
pub use stream::{Limits, Line, Reports, Streams, prepare};
pub use udp::{Flushed, Inbox, Udp, read_address, write_address};

use crate::config::{Listen, Scheme};
use crate::sip::transport::{ListenerId, Transport};
use std::io;

/// A listening address that could not be had.
#[derive(Debug)]
pub struct BindFault {
    pub listen: Listen,
    pub error: io::Error,
}

impl std::fmt::Display for BindFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.listen.scheme.as_str();
        write!(f, "could not listen on {scheme}://{}: {}", self.listen.address, describe(&self.error))?;
        if self.error.kind() == io::ErrorKind::AddrInUse { f.write_str("; is another switch running?") } else { Ok(()) }
    }
}

/// The system's words without Rust's "(os error 98)", in lower case as a part of a sentence.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// What is bound: UDP sockets for the control thread, stream listeners for [`Streams`].
#[derive(Default)]
pub struct Bound {
    pub udp: Vec<Udp>,
    pub streams: Vec<(ListenerId, Transport, std::net::TcpListener)>,
    /// Each address in the order of `sip.listen`, with what was bound.
    pub listeners: Vec<(ListenerId, Transport, std::net::SocketAddr)>,
}

/// Binds every address of `sip.listen`, or none.
pub fn bind(listen: &[Listen]) -> Result<Bound, BindFault> {
    let mut bound = Bound::default();
    for (place, &l) in listen.iter().enumerate() {
        let id = ListenerId(u16::try_from(place).unwrap_or(u16::MAX));
        let fault = |error| BindFault { listen: l, error };
        let (transport, local) = match l.scheme {
            Scheme::Udp => {
                let udp = Udp::bind(id, l.address).map_err(fault)?;
                let local = udp.local();
                bound.udp.push(udp);
                (Transport::Udp, local)
            }
            Scheme::Tcp | Scheme::Tls => {
                let transport = if l.scheme == Scheme::Tls { Transport::Tls } else { Transport::Tcp };
                let socket = stream::listen(l.address).map_err(fault)?;
                let local = socket.local_addr().map_err(fault)?;
                bound.streams.push((id, transport, socket));
                (transport, local)
            }
        };
        bound.listeners.push((id, transport, local));
    }
    Ok(bound)
}
