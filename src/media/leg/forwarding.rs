//! What a leg says of a stream that the kernel may pass on: whether, and how it looks. See [`crate::media::forward`].

use super::{Carried, Leg, Taken};
use crate::base::time::Instant;
use crate::media::command::Codec;
use crate::media::forward::Passed;
use crate::rtp::packet::Fields;
use crate::rtp::stats::Scatter;
use std::net::SocketAddr;

impl Leg {
    /// Whether packets from there are its peer's and concern nobody but who hears them: nobody looks into them, copies or decrypts
    /// them.
    pub fn can_be_forwarded(&self, source: SocketAddr) -> bool {
        let Leg { setting, ear, events, .. } = self;
        let state = &setting.state;
        let plain = self.protection.is_none() && setting.listening.is_none() && !state.datagrams;
        let taken = state.receiving && self.latch.is_settled(source) && !events.is_open();
        plain && taken && state.tap.is_none() && state.listener.is_none() && ear.is_none()
    }

    /// How scattered its packets come.
    pub const fn scatter(&self) -> Scatter {
        self.reception.scatter()
    }

    /// Where packets like the one that was `taken` from another leg go, and the header of the next if it comes a `step` later;
    /// `None` if more is to be done with them than to be relayed.
    pub fn forwards(&self, taken: &Taken, step: u32) -> Option<(SocketAddr, Fields)> {
        let Carried::Media(codec) = taken.carried else { return None };
        let state = &self.setting.state;
        let plain = self.protection.is_none() && !state.datagrams && state.tap.is_none() && self.mouth.is_none();
        let format = state.send.filter(|f| f.codec == codec && codec != Codec::ComfortNoise)?;
        if !plain || !state.sending || self.dials() {
            return None;
        }
        let (origin, sequence) = (taken.relayed.origin, taken.header.sequence);
        Some((self.latch.target()?, self.stream.ahead(origin, sequence, step, format.payload_type)?))
    }

    /// Its peer's packets have been passed on, so many more than were known; `scatter` tells of these alone.
    pub fn has_spoken(&mut self, step: u32, passed: &Passed) {
        let at = passed.scatter.arrived;
        self.heard_at = at;
        self.sources.goes_on(at);
        self.reception.pass(passed.packets, passed.octets, step, &passed.scatter);
    }

    /// And have left for its own peer.
    pub fn has_heard(&mut self, at: Instant, passed: &Passed) {
        self.stream.pass(at, passed.packets, passed.octets);
    }
}
