//! Sockets of flows. To send on a socket that is connected to its peer costs the kernel a third less, since the way there is
//! looked up once (measured on loopback: 2.5 µs instead of 3.8). But a connected socket hears nobody else, and a thief's
//! packets must be counted and a peer's new address be learned. So a port whose packets have gone to one peer for a while, and
//! who sends too, gets a second socket of the same local address, connected to that peer; the kernel gives it what comes from
//! there, and the port's own socket the rest.

use super::ports::stamp_packets;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Packets in a row to one peer after which a socket of its own pays: half a second of telephony.
const STEADY: u16 = 25;

/// What a port's packets say about its peer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steady {
    target: Option<SocketAddr>,
    relays: bool,
    sent: u16,
    heard: bool,
}

impl Steady {
    /// A packet came from `source`.
    #[inline]
    pub fn heard(&mut self, source: SocketAddr) {
        if !self.heard && self.target == Some(source) {
            self.heard = true;
        }
    }

    /// A packet goes to `to`, passed on or made here: true from when so many of the kind have that a flow is due, until it is had.
    #[inline]
    pub fn sends(&mut self, to: SocketAddr, relays: bool) -> bool {
        if self.target != Some(to) || self.relays != relays {
            *self = Steady { target: Some(to), relays, sent: 0, heard: false };
        }
        if self.sent < STEADY {
            self.sent += u16::from(self.heard);
        }
        self.sent == STEADY
    }

    /// A flow has been opened, or cannot be: none is due until the target changes.
    pub fn settle(&mut self) {
        self.sent = STEADY + 1;
    }
}

/// A second socket at `main`'s address that is connected to `peer`, with `main`'s settings.
///
/// Two sockets may share an address only while both allow it, which they do for this moment: a stranger's bind is refused as
/// before.
fn connect(main: BorrowedFd<'_>, peer: SocketAddr, stamps: bool) -> io::Result<OwnedFd> {
    let main = socket2::SockRef::from(&main);
    let local = main.local_addr()?;
    let flow = Socket::new(Domain::for_address(peer), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    like(&flow, &main, peer.is_ipv6())?;
    if stamps {
        stamp_packets(&flow);
    }
    main.set_reuse_address(true)?;
    let joined = join(&flow, &local, peer);
    main.set_reuse_address(false)?;
    flow.set_reuse_address(false)?;
    joined?;
    Ok(flow.into())
}

fn join(flow: &Socket, local: &SockAddr, peer: SocketAddr) -> io::Result<()> {
    flow.set_reuse_address(true)?;
    flow.bind(local)?;
    flow.connect(&peer.into())
}

fn like(flow: &Socket, main: &Socket, v6: bool) -> io::Result<()> {
    // What is read is twice what was set (socket(7)).
    let _ = flow.set_recv_buffer_size(main.recv_buffer_size()? / 2);
    if v6 {
        flow.set_only_v6(true)?;
        let _ = main.tclass_v6().and_then(|class| flow.set_tclass_v6(class));
    } else {
        let _ = main.tos_v4().and_then(|class| flow.set_tos_v4(class));
    }
    Ok(())
}

/// A flow's socket and its peer.
#[derive(Debug)]
pub struct FlowSocket {
    pub fd: OwnedFd,
    pub peer: SocketAddr,
    /// What comes is passed on at once: it is received without the moment at which it came, and without its source, which is
    /// known. (That spares the kernel a tenth of the packet's way.)
    pub relays: bool,
}

impl FlowSocket {
    pub fn open(main: BorrowedFd<'_>, peer: SocketAddr, relays: bool) -> io::Result<FlowSocket> {
        Ok(FlowSocket { fd: connect(main, peer, !relays)?, peer, relays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn a_flow_hears_its_peer_and_the_port_all_others() {
        for host in ["127.0.0.1", "::1"] {
            let [main, peer, other] = [(); 3].map(|()| UdpSocket::bind((host, 0)).unwrap());
            let (at, to) = (main.local_addr().unwrap(), peer.local_addr().unwrap());
            let flow = UdpSocket::from(connect(main.as_fd(), to, true).unwrap());
            for socket in [&main, &flow, &peer] {
                socket.set_nonblocking(false).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            }
            peer.send_to(b"peer", at).unwrap();
            other.send_to(b"other", at).unwrap();
            let mut buffer = [0; 16];
            assert_eq!(flow.recv_from(&mut buffer).unwrap(), (4, to));
            assert_eq!(main.recv_from(&mut buffer).unwrap(), (5, other.local_addr().unwrap()));
            flow.send(b"back").unwrap();
            assert_eq!(peer.recv_from(&mut buffer).unwrap(), (4, at));
            assert!(UdpSocket::bind(at).is_err(), "nobody else gets the address");
            drop(flow);
            peer.send_to(b"again", at).unwrap();
            assert_eq!(main.recv_from(&mut buffer).unwrap(), (5, to), "what has no flow comes to the port");
        }
    }

    #[test]
    fn a_flow_is_due_when_a_peer_that_speaks_has_been_sent_to_for_a_while() {
        let (a, b) = (SocketAddr::from(([192, 0, 2, 1], 4000)), SocketAddr::from(([192, 0, 2, 2], 4000)));
        let mut steady = Steady::default();
        assert!((0..200).all(|_| !steady.sends(a, true)), "it has not spoken");
        steady.heard(b);
        assert!((0..200).all(|_| !steady.sends(a, true)), "another has");
        steady.heard(a);
        assert_eq!((0..200).filter(|_| steady.sends(a, true)).count(), 176);
        assert!((0..200).all(|_| !steady.sends(b, true)), "another target begins anew");
        steady.heard(b);
        assert_eq!((0..24).filter(|_| steady.sends(b, true)).count(), 0);
        assert!(steady.sends(b, true) && steady.sends(b, true));
        steady.settle();
        assert!((0..200).all(|_| !steady.sends(b, true)));
        assert!(!steady.sends(b, false), "what is made here begins anew");
        steady.heard(b);
        assert_eq!((0..25).filter(|_| steady.sends(b, false)).count(), 1);
    }
}
