//! A shard's boxes: which ports' packets come into them, and taking them out.

use super::Kernel;
use super::entry::Plan;
use super::mailbox::{LETTER_MAX, LETTERS};
use crate::base::time::Instant;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

/// By how many boxes their memory is asked for before they are looked at.
const FORESEEN: usize = 4;

/// A port whose peer's packets go into a box.
#[derive(Debug)]
struct Open {
    /// `None`: the port has been given up, and what is left in the box with it.
    port: Option<u32>,
    peer: SocketAddrV4,
    local: SocketAddrV4,
    mailbox: u16,
    taken: u32,
    /// It is over after so many.
    end: Option<u32>,
}

/// A packet out of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    pub port: u32,
    pub source: SocketAddr,
    pub at: Instant,
    pub length: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Collector {
    kernel: Arc<Kernel>,
    open: Vec<Open>,
    /// What the last look found, as places in `open`; the next of them to be taken.
    found: Vec<u32>,
    next: usize,
    /// Boxes that are to be given back once they are read to their end.
    ending: usize,
    /// Packets taken since the start.
    count: u64,
}

impl Collector {
    pub fn new(kernel: Arc<Kernel>) -> Collector {
        let (open, found) = (Vec::with_capacity(64), Vec::with_capacity(256));
        Collector { kernel, open, found, next: 0, ending: 0, count: 0 }
    }

    /// Whether anything may come into a box.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Packets taken out of boxes since the start.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// From now on the `peer`'s packets to a port go into a box, if they come by `interface` (0: from this machine), there is a box, and
    /// the kernel does nothing else with them.
    pub fn open(&mut self, port: u32, local: SocketAddrV4, peer: SocketAddrV4, interface: u32) {
        self.close(port);
        let Some(entry) = self.kernel.entry(local.into()) else { return };
        let Some(mailbox) = self.kernel.boxes.take() else { return };
        if let Some(empty) = self.kernel.boxes.get(mailbox) {
            empty.empty();
        }
        // SAFETY: a port is one shard's, and this is its thread.
        if !unsafe { entry.collect(Plan::collect(mailbox, peer, *local.ip(), interface)) } {
            return self.kernel.boxes.give(mailbox);
        }
        self.open.push(Open { port: Some(port), peer, local, mailbox, taken: 0, end: None });
    }

    /// Ends that. What has come is still given out.
    pub fn close(&mut self, port: u32) {
        let Some(open) = self.open.iter_mut().find(|o| o.port == Some(port) && o.end.is_none()) else { return };
        open.end = Some(self.kernel.entry(open.local.into()).map_or(open.taken, |entry| entry.end()));
        self.ending += 1;
    }

    /// The port is another's from now on: what has come for it is thrown away.
    pub fn forget(&mut self, port: u32) {
        self.close(port);
        self.open.iter_mut().filter(|o| o.port == Some(port)).for_each(|o| o.port = None);
    }

    /// Looks what has come.
    pub fn look(&mut self) {
        if self.ending > 0 {
            self.give_back();
        }
        self.found.clear();
        self.next = 0;
        for (n, open) in self.open.iter().enumerate() {
            let coming = self.open.get(n + FORESEEN).and_then(|o| self.kernel.boxes.get(o.mailbox));
            if let Some((mailbox, open)) = coming.zip(self.open.get(n + FORESEEN)) {
                mailbox.foresee(open.taken);
            }
            let Some(mailbox) = self.kernel.boxes.get(open.mailbox) else { continue };
            let has = |ahead: &u32| mailbox.has(open.taken.wrapping_add(*ahead));
            let came = (0..LETTERS).take_while(has).count();
            self.found.extend(std::iter::repeat_n(n as u32, came));
        }
    }

    /// The boxes that have been read to their end. One of which a packet is claimed and not there yet waits for it.
    fn give_back(&mut self) {
        let (boxes, before) = (&self.kernel.boxes, self.open.len());
        self.open.retain(|open| {
            let over = open.end == Some(open.taken);
            if over {
                boxes.give(open.mailbox);
            }
            !over
        });
        self.ending -= before - self.open.len();
    }

    /// The port of the packet after the next `n` that were found.
    pub fn coming(&self, n: usize) -> Option<u32> {
        let open = self.open.get(*self.found.get(self.next + n)? as usize)?;
        if let Some(mailbox) = self.kernel.boxes.get(open.mailbox) {
            mailbox.foresee(open.taken);
        }
        open.port
    }

    /// The next packet of those that were found; its octets from the beginning of `bytes`.
    pub fn take(&mut self, bytes: &mut [u8; LETTER_MAX]) -> Option<Collected> {
        loop {
            let place = *self.found.get(self.next)?;
            self.next += 1;
            let open = self.open.get_mut(place as usize)?;
            let taken = self.kernel.boxes.get(open.mailbox)?.take(open.taken, open.peer, open.local.port(), bytes);
            open.taken = open.taken.wrapping_add(1);
            if let (Some((length, arrived)), Some(port)) = (taken, open.port) {
                self.count += 1;
                let at = Instant::from_micros(arrived.saturating_sub(self.kernel.offset) / 1_000);
                return Some(Collected { port, source: open.peer.into(), at, length });
            }
        }
    }
}
