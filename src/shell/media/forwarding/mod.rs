//! Relay in the kernel: streams that the core gives away ([`crate::media::forward`]) are passed on by an eBPF program at the interfaces,
//! without a wake-up, a copy or a system call. And sound that waits for its pull anyway is collected by it ([`mailbox`]).
//!
//! Needs Linux 6.6 (programs at interfaces that end with their process) and the capabilities CAP_BPF and CAP_NET_ADMIN. Whatever the
//! system refuses, packets pass by the media threads as they do without. IPv4 only.

mod assembler;
mod collector;
mod entry;
mod mailbox;
mod program;
mod route;
mod system;

use super::io::Pair;
use crate::base::time::Instant;
use crate::media::forward::{Forward, Passed};
use crate::shell::clock::Clock;
pub use collector::{Collected, Collector};
use entry::{Entry, Exit, Plan};
use mailbox::Boxes;
pub use mailbox::LETTER_MAX;
use program::Setup;
use route::{Interface, Route, Routes};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use system::Shared;

/// A way that has been asked for is good for so long.
const ROUTE_LIFE: crate::base::time::Duration = crate::base::time::Duration::from_secs(5);
/// Ways that are remembered, a shard; beyond, all are forgotten.
const ROUTES_MAX: usize = 4_096;
/// Expedited forwarding, as media sockets mark their packets.
pub const TRAFFIC_CLASS: u8 = 46 << 2;

/// The program in the kernel and what it shares with us. Dropping it takes the program away.
#[derive(Debug)]
pub struct Kernel {
    entries: Shared<Entry>,
    boxes: Boxes,
    first_port: u16,
    interfaces: Vec<u32>,
    links: Vec<OwnedFd>,
    /// The system's monotonic clock when ours began, in nanoseconds.
    offset: u64,
}

impl Kernel {
    /// Loads the program for media `address` and `ports` (inclusive) and puts it at every interface that has the address, and at "lo".
    pub fn new(address: Ipv4Addr, ports: (u16, u16), clock: &Clock) -> io::Result<Kernel> {
        if cfg!(target_endian = "big") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let first_port = ports.0.max(1).next_multiple_of(2);
        let count = (u32::from(ports.1) + 1).saturating_sub(u32::from(first_port)) / 2;
        let (entries, boxes) = (Shared::new(count.max(1))?, Boxes::new(count)?);
        let all = Routes::new()?.interfaces()?;
        let loopback = all.iter().find(|i| i.is_loopback).ok_or(io::ErrorKind::NotFound)?.index;
        let setup = Setup { map: entries.fd(), boxes: boxes.fd(), first_port, entries: count, loopback };
        let code =
            program::program(setup).ok_or_else(|| io::Error::other("the program for the kernel has a loose end"))?;
        let program = system::load(&code)?;
        let has = |i: &&Interface| i.is_loopback || address.is_unspecified() || i.addresses.contains(&address);
        let carriers: Vec<u32> = all.iter().filter(has).map(|i| i.index).collect();
        let links = carriers.iter().map(|i| system::attach(&program, *i)).collect::<io::Result<_>>()?;
        let interfaces = all.iter().filter(|i| !i.is_loopback).map(|i| i.index).collect();
        Ok(Kernel { entries, boxes, first_port, interfaces, links, offset: offset_ns(clock) })
    }

    /// How many interfaces it stands at.
    fn places(&self) -> usize {
        self.links.len()
    }

    fn entry(&self, local: SocketAddr) -> Option<&Entry> {
        let above = local.port().checked_sub(self.first_port).filter(|_| local.is_ipv4())?;
        self.entries.get(usize::from(above / 2))
    }
}

/// The system's monotonic clock when ours was 0, in nanoseconds.
fn offset_ns(clock: &Clock) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let now = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
    now.saturating_sub(clock.mono().as_micros() * 1_000)
}

/// A shard's part of it.
#[derive(Debug)]
pub struct Forwarder {
    kernel: Arc<Kernel>,
    routes: Routes,
    /// Where the slots' RTP sockets are bound.
    bound: Vec<Option<SocketAddrV4>>,
    known: HashMap<(Ipv4Addr, Ipv4Addr), (Instant, Option<Exit>)>,
    clock: Clock,
    pub collector: Collector,
}

impl Forwarder {
    pub fn new(kernel: Arc<Kernel>, clock: Clock) -> io::Result<Forwarder> {
        let (routes, collector) = (Routes::new()?, Collector::new(kernel.clone()));
        Ok(Forwarder { kernel, routes, bound: Vec::new(), known: HashMap::with_capacity(64), clock, collector })
    }

    /// The sockets of a slot that has none.
    pub fn adopt(&mut self, port: u32, pair: &Pair) {
        let bound = pair.rtp.try_clone().map(UdpSocket::from).and_then(|s| s.local_addr());
        let slots = port as usize + 1;
        if self.bound.len() < slots {
            self.bound.resize(slots, None);
        }
        if let Some(place) = self.bound.get_mut(port as usize) {
            *place = match bound {
                Ok(SocketAddr::V4(at)) => Some(at),
                _ => None,
            };
        }
    }

    pub fn retire(&mut self, port: u32) {
        self.collector.forget(port);
        let _ = self.passed(port, true);
        self.bound.get_mut(port as usize).into_iter().for_each(|b| *b = None);
    }

    /// Gives a stream to the kernel. `false` if it cannot be.
    pub fn forward(&mut self, forward: &Forward) -> bool {
        self.begin(forward).is_some()
    }

    fn begin(&mut self, forward: &Forward) -> Option<()> {
        let (SocketAddr::V4(source), SocketAddr::V4(to)) = (forward.source, forward.to) else { return None };
        let (comes_to, leaves_from) = (self.local(forward.port)?, self.local(forward.by)?);
        let exit = self.exit(leaves_from, *to.ip())?;
        let plan = Plan::new(forward, source, *comes_to.ip(), to, exit, TRAFFIC_CLASS);
        self.collector.close(forward.port);
        let entry = self.kernel.entry(comes_to.into())?;
        // SAFETY: a port is one shard's, and this is its thread.
        unsafe { entry.arm(plan, forward, self.kernel.offset) };
        Some(())
    }

    /// What has passed since a slot's stream was given away; `end`s that.
    pub fn passed(&mut self, port: u32, end: bool) -> Option<Passed> {
        let entry = self.kernel.entry(self.local(port)?.into())?;
        Some(entry.passed(end, self.kernel.offset))
    }

    /// A port sends to one peer what is made here, and hears it; or does so no more. What such a peer says is collected.
    pub fn steady(&mut self, port: u32, peer: Option<SocketAddr>) {
        match peer {
            None => self.collector.close(port),
            Some(SocketAddr::V6(_)) => {}
            Some(SocketAddr::V4(peer)) => {
                let Some(local) = self.local(port) else { return };
                if let Some(exit) = self.exit(local, *peer.ip()) {
                    self.collector.open(port, local, peer, exit.interface);
                }
            }
        }
    }

    fn local(&self, port: u32) -> Option<SocketAddrV4> {
        self.bound.get(port as usize).copied().flatten()
    }

    /// How packets from a socket to an address leave; `None`: not by the kernel alone.
    fn exit(&mut self, from: SocketAddrV4, to: Ipv4Addr) -> Option<Exit> {
        let now = self.clock.mono();
        let key = (*from.ip(), to);
        let known = self.known.get(&key).filter(|(until, _)| now < *until).map(|(_, exit)| *exit);
        let exit = match known {
            Some(exit) => exit,
            None => {
                let exit = self.ask(*from.ip(), to);
                if self.known.len() >= ROUTES_MAX {
                    self.known.clear();
                }
                self.known.insert(key, (now + ROUTE_LIFE, exit));
                exit
            }
        };
        exit.map(|exit| Exit { from: SocketAddrV4::new(*exit.from.ip(), from.port()), ..exit })
    }

    fn ask(&mut self, from: Ipv4Addr, to: Ipv4Addr) -> Option<Exit> {
        let Route { interface, source } = self.routes.route(from, to).ok().flatten()?;
        let from = if from.is_unspecified() { source? } else { from };
        let interface = match interface {
            None => 0,
            Some(index) => self.kernel.interfaces.iter().copied().find(|i| *i == index)?,
        };
        Some(Exit { from: SocketAddrV4::new(from, 0), interface })
    }
}

/// The program for the first address of IPv4, where relay in the kernel is wanted and possible. An error where it is demanded and the system
/// refuses it.
pub fn start(
    wanted: crate::config::Forwarding,
    addresses: &[IpAddr],
    ports: (u16, u16),
    clock: &Clock,
) -> io::Result<Option<Arc<Kernel>>> {
    use crate::config::Forwarding;
    let address = addresses.iter().find_map(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None });
    let Some(address) = address.filter(|_| wanted != Forwarding::Threads) else { return Ok(None) };
    match Kernel::new(address, ports, clock) {
        Ok(kernel) => {
            tracing::info!(interfaces = kernel.places(), "plain relay passes by the kernel");
            Ok(Some(Arc::new(kernel)))
        }
        Err(error) if wanted == Forwarding::Kernel => {
            let needs = "expected Linux 6.6 or newer with CAP_BPF and CAP_NET_ADMIN, or auto";
            Err(io::Error::new(error.kind(), format!("media.forwarding: the system refuses it ({error}); {needs}")))
        }
        Err(error) => {
            tracing::info!("plain relay passes by the media threads: the system refuses a program of ours ({error})");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
