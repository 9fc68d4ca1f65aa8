//! Which streams are given to the kernel, and how they are taken back. See [`crate::media::forward`].

use super::{Order, Shard, Sink};
use crate::base::time::{Duration, Instant};
use crate::media::command::{Hears, LegId};
use crate::media::forward::{Forward, Passed};
use crate::media::leg::Taken;
use crate::rtp::packet::{Fields, HEADER_LEN};
use crate::rtp::stats::Scatter;
use std::net::SocketAddr;

/// Packets in sequence after which a stream is given away, and after a long time there.
const STEADY: i16 = 8;
const STEADY_AGAIN: i16 = 2;
/// At most so many are asked of a stream that has come back at once each time.
const STEADY_MAX: i16 = 400;
/// A stream that has been away for so many packets was worth it.
const WORTH: u32 = 50;
/// It is taken back after so long, whatever it does: ways through the network change.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// How near a leg's stream is to being given away, or what is known of one that is: it goes to the leg's only listener.
#[derive(Debug, Default)]
pub(super) struct Steadiness {
    timestamp: u32,
    step: u32,
    sequence: u16,
    /// Packets in sequence and in step, and how many beyond [`STEADY`] are asked for.
    run: u16,
    more: i16,
    is_away: bool,
    since: Instant,
    /// What has been taken into account since then; nobody is away for long enough to wrap them.
    packets: u32,
    octets: u32,
    sum_us: u32,
    count: u32,
}

impl Steadiness {
    /// Takes a relayed packet into account; whether there have been enough.
    fn packet(&mut self, header: &crate::rtp::packet::Header, plain: bool) -> bool {
        let step = header.timestamp.wrapping_sub(self.timestamp);
        let follows = header.sequence == self.sequence.wrapping_add(1) && step == self.step;
        self.run = if follows && plain && !header.marker { self.run.saturating_add(1) } else { 0 };
        (self.sequence, self.timestamp, self.step) = (header.sequence, header.timestamp, step);
        i32::from(self.run) >= i32::from(STEADY) + i32::from(self.more)
    }

    fn leaves(&mut self, now: Instant) {
        (self.is_away, self.since) = (true, now);
        (self.packets, self.octets, self.sum_us, self.count) = (0, 0, 0, 0);
    }

    /// It is back after so many packets.
    fn returns(&mut self) {
        (self.is_away, self.run) = (false, 0);
        let asked = STEADY + self.more;
        self.more =
            if self.packets >= WORTH { STEADY_AGAIN } else { (asked.max(STEADY / 2) * 2).min(STEADY_MAX) } - STEADY;
    }

    /// What has passed beyond what was known, which it becomes.
    fn learn(&mut self, passed: &Passed) -> Passed {
        let Passed { packets, octets, scatter } = *passed;
        let new = Passed {
            packets: packets.wrapping_sub(self.packets),
            octets: u64::from((octets as u32).wrapping_sub(self.octets)),
            scatter: Scatter {
                sum_us: u64::from((scatter.sum_us as u32).wrapping_sub(self.sum_us)),
                count: u64::from((scatter.count as u32).wrapping_sub(self.count)),
                ..scatter
            },
        };
        (self.packets, self.octets) = (packets, octets as u32);
        (self.sum_us, self.count) = (scatter.sum_us as u32, scatter.count as u32);
        self.sequence = self.sequence.wrapping_add(new.packets as u16);
        self.timestamp = self.timestamp.wrapping_add(self.step.wrapping_mul(new.packets));
        new
    }
}

impl Shard {
    /// From now on streams are given away, to a sink that takes them.
    #[must_use]
    pub fn giving_away(self, gives: bool) -> Shard {
        Shard { gives_away: gives, ..self }
    }

    /// Whether the kernel passes on a stream of ours.
    pub const fn has_given_away(&self) -> bool {
        self.away > 0
    }

    /// A packet has been relayed that came from `source`, `len` bytes long: what comes after it may be the kernel's.
    #[inline]
    pub(super) fn relayed(
        &mut self,
        now: Instant,
        (port, source, len): (u32, SocketAddr, usize),
        taken: &Taken,
        out: &mut impl Sink,
    ) {
        let Some(place) = self.place(port) else { return };
        let plain = taken.header.payload_range() == (HEADER_LEN..len);
        if place.steadiness.packet(&taken.header, plain)
            && let Some(forward) = self.stream_of(port, source, taken)
        {
            let given = out.forward(&forward);
            let Some(place) = self.place(port) else { return };
            if given {
                place.steadiness.leaves(now);
                self.away += 1;
            } else {
                (place.steadiness.run, place.steadiness.more) = (0, STEADY_MAX - STEADY);
            }
        }
    }

    /// The stream that goes on after a packet, if one leg hears it and it needs nothing but to be relayed.
    fn stream_of(&mut self, port: u32, source: SocketAddr, taken: &Taken) -> Option<Forward> {
        let place = self.place(port).filter(|p| p.leg.can_be_forwarded(source) && p.room.is_none())?;
        let (listener, step, scatter) = (place.first_listener?, place.steadiness.step, place.leg.scatter());
        let header = &taken.header;
        let heard = self.place(listener).filter(|p| p.next_listener.is_none() && listener != port)?;
        let (to, leaves) = heard.leg.forwards(taken, step)?;
        let comes = Fields {
            marker: false,
            payload_type: header.payload_type,
            sequence: header.sequence.wrapping_add(1),
            timestamp: header.timestamp.wrapping_add(step),
            ssrc: header.ssrc,
        };
        let clock_rate = taken.clock_rate();
        Some(Forward { port, by: listener, source, to, comes, leaves, step, clock_rate, scatter })
    }

    /// What has been passed on becomes the legs' own; with `end`, the stream comes back.
    pub(super) fn settle(&mut self, port: u32, end: bool, out: &mut impl Sink) {
        let Some(place) = self.place(port).filter(|p| p.steadiness.is_away) else { return };
        let new = out.passed(port, end).map(|passed| place.steadiness.learn(&passed));
        if end {
            place.steadiness.returns();
        }
        let (step, listener) = (place.steadiness.step, place.first_listener);
        let new = new.filter(|new| new.packets > 0);
        if let Some(new) = &new {
            place.leg.has_spoken(step, new);
        }
        self.away -= usize::from(end);
        let Some(new) = new else { return };
        if let Some(place) = listener.and_then(|port| self.place(port)) {
            place.leg.has_heard(new.scatter.arrived, &new);
        }
        self.stats.packets_forwarded += u64::from(new.packets);
    }

    /// A packet has come that the kernel did not pass on.
    #[inline]
    pub(super) fn take_back(&mut self, port: u32, out: &mut impl Sink) {
        if self.place(port).is_some_and(|p| p.steadiness.is_away) {
            self.settle(port, true, out);
        }
    }

    /// A leg is about to change: what it says and what it hears comes back.
    pub(super) fn take_back_around(&mut self, leg: LegId, out: &mut impl Sink) {
        let Some(port) = self.find(leg) else { return };
        self.take_back(port, out);
        if let Some(heard) = self.place(port).and_then(|p| p.heard) {
            self.take_back(heard, out);
        }
    }

    /// Before an order is carried out.
    pub(super) fn take_back_for(&mut self, order: &Order, out: &mut impl Sink) {
        match order {
            Order::Set { leg, setting } => {
                self.take_back_around(*leg, out);
                if let Hears::Leg(heard) = setting.state.hears {
                    self.take_back_around(heard, out);
                }
            }
            Order::Close { leg } | Order::Digits { leg, .. } => self.take_back_around(*leg, out),
            Order::Open { .. } | Order::Load { .. } | Order::Room { .. } | Order::LoadRoom { .. } => {}
        }
    }

    /// What some legs' streams have done since the last look.
    pub(super) fn look_after(&mut self, now: Instant, ports: impl Iterator<Item = usize>, out: &mut impl Sink) {
        for port in ports {
            let Some(Some(place)) = self.places.get(port) else { continue };
            if place.steadiness.is_away {
                let end = now.since(place.steadiness.since) >= AWAY_MAX;
                self.settle(port as u32, end, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
