//! Addresses that peers can reach, and the limit on open files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What goes into Via and Contact for a listener bound to `local`: the external address if its family fits, else what is
/// bound; for a wildcard the address from which a packet to `towards` would leave.
pub fn advertised(local: SocketAddr, external: Option<IpAddr>, towards: Option<IpAddr>) -> SocketAddr {
    if let Some(ip) = external.filter(|ip| ip.is_ipv4() == local.is_ipv4()) {
        return SocketAddr::new(ip, local.port());
    }
    if !local.ip().is_unspecified() {
        return local;
    }
    let far: IpAddr = if local.is_ipv4() {
        Ipv4Addr::new(192, 0, 2, 1).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
    };
    let far = towards.filter(|ip| ip.is_ipv4() == local.is_ipv4()).unwrap_or(far);
    let loopback = if local.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(source_towards(far).unwrap_or(loopback), local.port())
}

/// The kernel's choice of source; "connecting" a UDP socket sends nothing.
fn source_towards(far: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if far.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_unspecified())
}

/// Raises the soft limit on open files to the hard one; the limit then in force, 0 if it cannot be read.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return 0;
        }
        let before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return before;
        }
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_advertises_what_a_peer_can_reach() {
        let at = |s: &str| s.parse::<SocketAddr>().unwrap();
        let ip = |s: &str| s.parse::<IpAddr>().ok();
        assert_eq!(advertised(at("10.0.0.1:5060"), None, None), at("10.0.0.1:5060"));
        assert_eq!(advertised(at("10.0.0.1:5060"), ip("203.0.113.5"), None), at("203.0.113.5:5060"));
        assert_eq!(advertised(at("[::1]:5060"), ip("203.0.113.5"), None), at("[::1]:5060"));
        assert_eq!(advertised(at("0.0.0.0:5070"), None, ip("127.0.0.9")).port(), 5070);
        assert!(advertised(at("0.0.0.0:5070"), None, ip("127.0.0.9")).ip().is_loopback());
    }
}
