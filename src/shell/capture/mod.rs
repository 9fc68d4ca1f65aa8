//! The rolling capture of each call's SIP messages, and the copies for a capture server.
//!
//! The copy is taken where messages pass the control thread, so repetitions and what the transactions absorb are in it too. The
//! core says which Call-IDs are which call's; what an input and its outputs were is sorted when the core is done with it.

mod calls;
mod frames;
mod redact;
#[cfg(test)]
mod tests;

pub use frames::pcap;
pub use redact::{mask_digits, without_secrets};

use super::api::metrics::Sample;
use super::hep::Exporter;
use crate::base::time::{Instant, Now, Wall};
use crate::config;
use crate::event::CallId;
use crate::sip::transport::{Flow, Listener, ListenerId, Transport};
use bytes::Bytes;
use calls::Calls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One message as it passed.
#[derive(Clone, Debug)]
pub struct Packet {
    pub at: Wall,
    pub transport: Transport,
    /// Our end: what is bound, or the end of the connection where that is known.
    pub local: SocketAddr,
    pub is_local_certain: bool,
    pub peer: SocketAddr,
    pub is_sent: bool,
    pub bytes: Bytes,
}

impl Packet {
    pub const fn source(&self) -> SocketAddr {
        if self.is_sent { self.local } else { self.peer }
    }

    pub const fn destination(&self) -> SocketAddr {
        if self.is_sent { self.peer } else { self.local }
    }
}

/// Whether digits are secrets; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Secrecy(Arc<AtomicBool>);

impl Secrecy {
    pub fn set(&self, is_secret: bool) {
        self.0.store(is_secret, Ordering::Release);
    }

    fn holds(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a capture is made of.
pub struct Parts {
    pub settings: config::Capture,
    pub listeners: Vec<Listener>,
    pub secrecy: Secrecy,
    pub exporter: Option<Exporter>,
}

/// The control thread's side; nothing here waits.
#[derive(Default)]
pub struct Capture {
    is_on: bool,
    calls: Calls,
    locals: Vec<(ListenerId, SocketAddr)>,
    secrecy: Secrecy,
    exporter: Option<Exporter>,
    /// What has passed with the input in hand.
    passing: Vec<Packet>,
}

impl Capture {
    pub fn new(parts: Parts) -> Capture {
        let Parts { settings, listeners, secrecy, exporter } = parts;
        let local = |l: &Listener| {
            let ip = if l.local.ip().is_unspecified() { l.advertised.ip() } else { l.local.ip() };
            (l.id, SocketAddr::new(ip, l.local.port()))
        };
        Capture {
            is_on: settings.enabled || exporter.is_some(),
            calls: Calls::new(&settings),
            locals: listeners.iter().map(local).collect(),
            secrecy,
            exporter,
            passing: Vec::new(),
        }
    }

    /// Whether anything that passes is wanted.
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// A message passes. `connected`: our end of its connection, if that is known.
    pub fn pass(&mut self, now: Now, is_sent: bool, flow: Flow, connected: Option<SocketAddr>, bytes: &Bytes) {
        let bound = || self.locals.iter().find(|(id, _)| *id == flow.listener).map(|(_, local)| *local);
        let Some(local) = connected.or_else(bound) else { return };
        let masked = if self.secrecy.holds() { mask_digits(bytes) } else { None };
        let bytes = masked.map_or_else(|| bytes.clone(), Bytes::from);
        let (transport, peer, at) = (flow.transport, flow.peer, now.wall);
        let is_local_certain = connected.is_some() || transport == Transport::Udp;
        self.passing.push(Packet { at, transport, local, is_local_certain, peer, is_sent, bytes });
    }

    /// Messages with this Call-ID are the call's.
    pub fn leg(&mut self, call: CallId, call_id: &str) {
        self.calls.leg(call, call_id.as_bytes());
    }

    pub fn ended(&mut self, call: CallId, now: Instant) {
        self.calls.ended(call, now);
    }

    /// The core is done with the input: what passed goes where it belongs.
    pub fn settle(&mut self, now: Instant) {
        let is_answered = self.passing.iter().any(|p| p.is_sent);
        for packet in self.passing.drain(..) {
            let Some(call_id) = redact::call_id(&packet.bytes) else { continue };
            if let Some(exporter) = &mut self.exporter {
                exporter.export(now, packet.clone(), self.calls.owner(call_id));
            }
            self.calls.keep(now, &packet, call_id, is_answered);
        }
        self.calls.forget(now);
    }

    /// When [`Capture::turn`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.exporter.as_ref().and_then(Exporter::deadline)
    }

    pub fn turn(&mut self, now: Instant) {
        if let Some(exporter) = &mut self.exporter {
            exporter.turn(now);
        }
    }

    /// What is kept of a call, in order; `None`: nothing.
    pub fn of(&self, call: CallId) -> Option<Vec<Packet>> {
        self.calls.of(call)
    }

    /// Figures for `/metrics`.
    pub fn figures(&self) -> Vec<Sample> {
        let (octets, dropped) = self.calls.figures();
        let mut all = vec![
            Sample::gauge("capture_octets", "Octets of SIP messages that are kept", octets),
            Sample::counter("capture_dropped", "SIP messages that found no room in the capture", dropped),
        ];
        all.extend(self.exporter.iter().flat_map(Exporter::figures));
        all
    }
}
