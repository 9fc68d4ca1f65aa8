//! By which interface packets to an address leave, and which interfaces there are: asked of the system by rtnetlink (RFC 3549).

use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;
const GETLINK: u16 = 18;
const NEWLINK: u16 = 16;
const GETADDR: u16 = 22;
const NEWADDR: u16 = 20;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

/// Attributes of a route and of an address.
const TARGET: u16 = 1;
const SOURCE: u16 = 2;
const INTERFACE: u16 = 4;
const PREFERRED: u16 = 7;
const ADDRESS_LOCAL: u16 = 2;
/// Kinds of routes.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
/// Kinds of interfaces (ARPHRD).
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;

const HEADER: usize = 16;
const ANSWER_MAX: usize = 32 << 10;

/// A way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The interface, unless the address is this machine's.
    pub interface: Option<u32>,
    /// The address that packets leave with if nothing else is asked for.
    pub source: Option<Ipv4Addr>,
}

/// An interface that packets of IPv4 may come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub is_loopback: bool,
    pub addresses: Vec<Ipv4Addr>,
}

/// A line to the kernel's tables.
#[derive(Debug)]
pub struct Routes {
    socket: OwnedFd,
    sequence: u32,
    /// Kept, so that a question allocates nothing.
    question: Vec<u8>,
    answer: Vec<u8>,
}

impl Routes {
    pub fn new() -> io::Result<Routes> {
        // SAFETY: only numbers are passed.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                libc::NETLINK_ROUTE,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it has just been made for us.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Routes { socket, sequence: 0, question: Vec::with_capacity(64), answer: vec![0; ANSWER_MAX] })
    }

    /// The way to an address from one of ours, or from any if that is 0.0.0.0. `None` if there is none.
    pub fn route(&mut self, from: Ipv4Addr, to: Ipv4Addr) -> io::Result<Option<Route>> {
        let from_bits = if from.is_unspecified() { 0 } else { 32 };
        let mut body = [
            libc::AF_INET as u8,
            32,
            from_bits,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let attributes = [(12, TARGET, to), (20, SOURCE, from)];
        for (at, kind, address) in attributes {
            let [low, high] = kind.to_ne_bytes();
            let [a, b, c, d] = address.octets();
            let value = [low, high, a, b, c, d];
            body.iter_mut().skip(at + 2).zip(value).for_each(|(to, from)| *to = from);
        }
        let mut found = None;
        let body = body.get(..if from_bits > 0 { 28 } else { 20 }).unwrap_or_default();
        self.ask(GETROUTE, REQUEST, body, |kind, message| {
            if kind == NEWROUTE {
                found = read_route(message);
            }
        })?;
        Ok(found)
    }

    /// Loopback and Ethernet interfaces with their addresses.
    pub fn interfaces(&mut self) -> io::Result<Vec<Interface>> {
        let mut found: Vec<Interface> = Vec::new();
        self.ask(GETLINK, REQUEST | DUMP, &[0; 16], |kind, message| {
            let hardware = message.get(2..4).map_or(0, number16);
            if kind == NEWLINK && (hardware == ETHERNET || hardware == LOOPBACK) {
                let index = message.get(4..8).map_or(0, number32);
                found.push(Interface { index, is_loopback: hardware == LOOPBACK, addresses: Vec::new() });
            }
        })?;
        self.ask(GETADDR, REQUEST | DUMP, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0], |kind, message| {
            let index = message.get(4..8).map_or(0, number32);
            let of = found.iter_mut().find(|i| i.index == index);
            if let (NEWADDR, Some(of), Some(address)) = (kind, of, find(message, 8, ADDRESS_LOCAL)) {
                of.addresses.extend(<[u8; 4]>::try_from(address).map(Ipv4Addr::from));
            }
        })?;
        Ok(found)
    }

    /// Sends a question and hands over each message of the answer, which the kernel has ready at once.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = &mut self.question;
        message.clear();
        message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        // SAFETY: the message lives through the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        let buffer = &mut self.answer;
        loop {
            // SAFETY: the buffer is of the length that is told.
            let came = unsafe { libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            let Ok(came) = usize::try_from(came) else { return Err(io::Error::last_os_error()) };
            let mut rest = buffer.get(..came).unwrap_or_default();
            while let Some(length) =
                rest.get(..4).map(|b| number32(b) as usize).filter(|n| (HEADER..=rest.len()).contains(n))
            {
                let (kind, sequence) = (rest.get(4..6).map_or(0, number16), rest.get(8..12).map_or(0, number32));
                let ours = sequence == self.sequence;
                if ours && kind == DONE {
                    return Ok(());
                }
                if ours && kind == libc::NLMSG_ERROR as u16 {
                    let code = rest.get(HEADER..HEADER + 4).map_or(0, number32) as i32;
                    let unreachable = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EINVAL].contains(&-code);
                    return if unreachable { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                }
                if ours {
                    each(kind, rest.get(HEADER..length).unwrap_or_default());
                }
                if ours && flags & DUMP == 0 {
                    return Ok(());
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn read_route(message: &[u8]) -> Option<Route> {
    let address = |kind| find(message, 12, kind).and_then(|a| Some(Ipv4Addr::from(<[u8; 4]>::try_from(a).ok()?)));
    let interface = find(message, 12, INTERFACE).map(number32);
    match message.get(7) {
        Some(&LOCAL) => Some(Route { interface: None, source: address(PREFERRED) }),
        Some(&UNICAST) => Some(Route { interface: Some(interface?), source: address(PREFERRED) }),
        _ => None,
    }
}

/// An attribute's value; they begin after so many bytes.
fn find(message: &[u8], start: usize, kind: u16) -> Option<&[u8]> {
    let mut rest = message.get(start..)?;
    while rest.len() >= 4 {
        let length = usize::from(number16(rest.get(..2)?));
        if length < 4 {
            return None;
        }
        if number16(rest.get(2..4)?) == kind {
            return rest.get(4..length);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn number16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |b| u16::from_ne_bytes(*b))
}

fn number32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b))
}

const _: () = assert!(mem::size_of::<libc::nlmsghdr>() == HEADER);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_and_has_its_address() {
        let mut routes = Routes::new().unwrap();
        let route = routes.route(Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 9)).unwrap().unwrap();
        assert_eq!(route.interface, None);
        let any = routes.route(Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST).unwrap().unwrap();
        assert_eq!(any, Route { interface: None, source: Some(Ipv4Addr::LOCALHOST) });
        let interfaces = routes.interfaces().unwrap();
        let lo = interfaces.iter().find(|i| i.is_loopback).expect("there is a loopback interface");
        assert!(lo.addresses.contains(&Ipv4Addr::LOCALHOST), "{interfaces:?}");
    }
}
