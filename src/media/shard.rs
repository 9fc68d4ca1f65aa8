//! A shard: the legs of some calls, owned by value, driven by packets, orders and ticks. It reads no clock and opens no socket.
//!
//! Packets are relayed when they come. What we make ourselves runs on a wheel of 5 ms steps: each leg has its own step, so
//! that 20 ms of work never burst, and its deadlines stand on the absolute clock. A tick that is a whole period late is
//! skipped and counted, never made up for.

mod datagram;
mod effort;
mod forwarding;
mod hearing;
mod rooms;

use super::bridge::Bridge;
use super::command::{Event, Hears, LegId, Method, PlayId, Press, RoomId};
use super::forward::{Forward, Passed};
use super::leg::{Carried, Leg, REPORT_ROOM, Received, Setting, Taken};
use super::player::Prompt;
use super::report::NtpClock;
use super::room::RoomSetting;
use super::tap::{Frame, Tapped};
use crate::base::rng::Rng;
use crate::base::time::{Instant, Now};
use crate::event::Quality;
use crate::rtp::packet::{HEADER_LEN, is_rtcp};
use codecs::cache::fetch;
use effort::Effort;
use forwarding::Steadiness;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Length of a step in microseconds.
const STEP_US: u64 = 5_000;
/// Places on the wheel: more than the longest period (60 ms) has steps.
const WHEEL: usize = 16;
/// Steps of one frame of 20 ms.
const EARS: usize = 4;
/// A step so late is skipped: one period of 20 ms.
const LATE_STEPS: u64 = 4;
/// Every leg is looked at (timeouts, reports) once in so many steps, a fifth of them every fourth step.
const LOOK_STEPS: u64 = 4;
const LOOK_PARTS: usize = 5;
/// Longer packets are no speech: 1,500 bytes of Ethernet.
const PACKET_MAX: usize = 1_500;

/// What a shard is told: the switch's commands with what they name resolved.
#[derive(Debug)]
pub enum Order {
    /// `port` is the slot of the socket pair, unused by any other leg of the shard.
    Open {
        leg: LegId,
        port: u32,
        setting: Box<Setting>,
        account: Box<Quality>,
    },
    Set {
        leg: LegId,
        setting: Box<Setting>,
    },
    /// The prompt of a playing that waits for it; `None` if it cannot be read.
    Load {
        leg: LegId,
        id: PlayId,
        prompt: Option<Arc<Prompt>>,
    },
    Room {
        room: RoomId,
        setting: Box<RoomSetting>,
    },
    /// Like [`Order::Load`], for a room's sound.
    LoadRoom {
        room: RoomId,
        id: PlayId,
        prompt: Option<Arc<Prompt>>,
    },
    /// Digits to send to the leg's peer.
    Digits {
        leg: LegId,
        digits: Box<[Press]>,
    },
    Close {
        leg: LegId,
    },
}

/// Where a shard's packets and events go.
pub trait Sink {
    fn rtp(&mut self, port: u32, to: SocketAddr, packet: &[u8]);
    fn rtcp(&mut self, port: u32, to: SocketAddr, packet: &[u8]);
    fn event(&mut self, event: Event);
    /// Sound for whoever listens in; what finds no room is lost and counted.
    fn tap(&mut self, frame: &Frame) {
        let _ = frame;
    }
    /// What the owner of a leg says, for whoever listens to it; as [`Sink::tap`].
    fn overhear(&mut self, frame: &Frame) {
        let _ = frame;
    }
    /// Asks the kernel to pass a stream on. `false`: it does not.
    fn forward(&mut self, forward: &Forward) -> bool {
        let _ = forward;
        false
    }
    /// What the kernel has passed on of the stream that comes to a port since it was given away; with `end`, no more.
    fn passed(&mut self, port: u32, end: bool) -> Option<Passed> {
        let _ = (port, end);
        None
    }
    /// A setting that is no longer in force: to be freed by who made it.
    fn spent(&mut self, setting: Box<Setting>);
    fn spent_room(&mut self, setting: Box<RoomSetting>) {
        drop(setting);
    }
}

/// Which socket of a pair a packet came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Socket {
    Rtp,
    Rtcp,
}

/// Counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardStats {
    /// Packets that we made.
    pub ticks: u64,
    /// Packets that were not made, as their time had passed.
    pub ticks_late: u64,
    pub packets_received: u64,
    pub packets_relayed: u64,
    /// By the kernel; not among those above.
    pub packets_forwarded: u64,
    pub legs: u64,
}

/// A leg's place: the leg and who hears it, as a list threaded through the places.
struct Place {
    leg: Leg,
    /// The place of the leg that this one hears.
    heard: Option<u32>,
    first_listener: Option<u32>,
    next_listener: Option<u32>,
    /// In which step of a frame its ear is pulled.
    phase: u8,
    /// The room in which it has a seat.
    room: Option<RoomId>,
    steadiness: Steadiness,
}

/// See the module's documentation.
pub struct Shard {
    places: Vec<Option<Place>>,
    index: BTreeMap<LegId, u32>,
    /// Places whose packets are due in each step; a place is on it once, as `on_wheel` says.
    wheel: [Vec<u32>; WHEEL],
    on_wheel: Vec<bool>,
    /// Places of the legs that have an ear, by the step of the frame in which it is pulled.
    ears: [Vec<u32>; EARS],
    /// By the step of the frame in which they are mixed.
    rooms: [BTreeMap<RoomId, Box<rooms::Hall>>; EARS],
    /// The next step to run.
    step: u64,
    /// Legs that hear one which is not open; 0 or more.
    dangling: usize,
    clock: NtpClock,
    rng: Rng,
    effort: Effort,
    /// Streams may be given to the kernel.
    gives_away: bool,
    /// How many are there.
    away: usize,
    stats: ShardStats,
}

impl Shard {
    pub fn new(now: Now, seed: u64) -> Shard {
        Shard {
            places: Vec::new(),
            index: BTreeMap::new(),
            wheel: Default::default(),
            on_wheel: Vec::new(),
            ears: Default::default(),
            rooms: Default::default(),
            step: now.mono.as_micros() / STEP_US + 1,
            dangling: 0,
            clock: NtpClock::new(now.mono, now.wall),
            rng: Rng::from_seed(seed),
            effort: Effort::new(),
            gives_away: false,
            away: 0,
            stats: ShardStats::default(),
        }
    }

    pub fn stats(&self) -> ShardStats {
        ShardStats { legs: self.index.len() as u64, ..self.stats }
    }

    /// When [`Shard::tick`] is to be called next; `None` while there is no leg.
    pub fn deadline(&self) -> Option<Instant> {
        if self.index.is_empty() {
            return None;
        }
        Some(Instant::from_micros(self.due_step() * STEP_US))
    }

    /// The next step in which something sounds, else that of the next look. A look waits for sound that comes before the one after
    /// it: a waking costs as much as some packets.
    fn due_step(&self) -> u64 {
        let look = self.step.next_multiple_of(LOOK_STEPS);
        let is_due = |s: &u64| {
            self.wheel.get(*s as usize % WHEEL).is_some_and(|w| !w.is_empty())
                || self.ears.get(*s as usize % EARS).is_some_and(|e| !e.is_empty())
                || self.mixes_in(*s)
        };
        (self.step..look + LOOK_STEPS).find(is_due).unwrap_or(look)
    }

    /// Whether it mixes a room: what its members say waits for that.
    pub fn mixes(&self) -> bool {
        self.rooms.iter().any(|rooms| !rooms.is_empty())
    }

    pub fn order(&mut self, now: Instant, order: Order, out: &mut impl Sink) {
        if self.gives_away {
            self.take_back_for(&order, out);
        }
        match order {
            Order::Open { leg, port, setting, account } => self.open(now, (leg, port), setting, account),
            Order::Set { leg, setting } => self.set(now, leg, setting, out),
            Order::Load { leg, id, prompt } => {
                if let Some(place) = self.find(leg).and_then(|port| self.place(port)) {
                    place.leg.load(id, prompt);
                }
            }
            Order::Room { room, setting } => self.set_room(room, setting, out),
            Order::LoadRoom { room, id, prompt } => self.load_room(room, id, prompt.as_ref()),
            Order::Digits { leg, digits } => self.dial(leg, &digits),
            Order::Close { leg } => self.close(now, leg, out),
        }
    }

    /// A packet from a port. It is rewritten in place where it is relayed.
    #[inline]
    pub fn packet(
        &mut self,
        now: Instant,
        (port, socket): (u32, Socket),
        source: SocketAddr,
        bytes: &mut [u8],
        out: &mut impl Sink,
    ) {
        self.stats.packets_received += 1;
        let clock = self.clock;
        let Some(place) = self.place(port) else { return };
        if place.leg.passes_datagrams() {
            return self.datagram(now, (port, socket), source, bytes, out);
        }
        let rtcp = socket == Socket::Rtcp || is_rtcp(bytes);
        let bytes = match place.leg.open(rtcp, bytes) {
            Ok(bytes) => bytes,
            Err(false) => return,
            Err(true) => return out.event(Event::Unprotected { leg: place.leg.id, source }),
        };
        if rtcp {
            return place.leg.receive_rtcp(now, clock, source, socket == Socket::Rtcp, bytes);
        }
        if self.gives_away {
            self.take_back(port, out);
        }
        let Some(place) = self.place(port) else { return };
        let (received, len) = (place.leg.receive(now, source, bytes), bytes.len());
        let leg = place.leg.id;
        if received.latched {
            self.latched(leg, source, out);
        }
        let Some(place) = self.place(port) else { return };
        if received.refused {
            out.event(Event::Refused { leg, source });
        }
        for digit in received.digits.into_iter().flatten() {
            out.event(place.leg.digit(digit, Method::Rfc4733));
        }
        for tone in received.tones.into_iter().flatten() {
            out.event(place.leg.digit(tone, Method::Inband));
        }
        if received.held {
            let mut waited = [0; PACKET_MAX];
            while let Some((at, received, len)) = self.place(port).and_then(|p| p.leg.release(now, &mut waited)) {
                self.pass((now, at), port, &received, waited.get_mut(..len).unwrap_or_default(), out);
            }
            return;
        }
        self.pass((now, now), port, &received, bytes, out);
        if self.gives_away
            && let Some(taken) = &received.taken
        {
            self.relayed(now, (port, source, len), taken, out);
        }
    }

    /// A peer has been found at another address: what went to the one before follows it.
    fn latched(&mut self, leg: LegId, source: SocketAddr, out: &mut impl Sink) {
        if self.gives_away {
            self.take_back_around(leg, out);
        }
        out.event(Event::Latched { leg, source });
    }

    /// A packet of the port is about to come: what is known of its leg is fetched, which is out of the processor's caches since its
    /// last packet.
    #[inline]
    pub fn foresee(&self, port: u32) {
        self.places.get(port as usize).into_iter().for_each(fetch);
    }

    /// The same for what takes its sound, or the leg that hears it; a while after [`Shard::foresee`].
    #[inline]
    pub fn foresee_listener(&self, port: u32) {
        let Some(place) = self.places.get(port as usize).and_then(Option::as_ref) else { return };
        place.leg.foresee_packet();
        if let Some(listener) = place.first_listener {
            self.foresee(listener);
        }
    }

    /// And what it is sent with, a while after [`Shard::foresee_listener`].
    #[inline]
    pub fn foresee_relayed(&self, port: u32) {
        let Some(place) = self.places.get(port as usize).and_then(Option::as_ref) else { return };
        let listener = place.first_listener.and_then(|port| self.places.get(port as usize)?.as_ref());
        listener.into_iter().for_each(|place| place.leg.foresee_sent());
    }

    /// The legs after the `n`th of these are about to speak, and the ears of the next to be pulled.
    #[inline]
    fn foresee_after<'a>(&self, n: usize, mut port: impl FnMut(usize) -> Option<&'a u32>) {
        if let Some(port) = port(n + 6) {
            self.foresee(*port);
        }
        let mut leg = |n| Some(&self.places.get(*port(n)? as usize)?.as_ref()?.leg);
        leg(n + 4).into_iter().for_each(Leg::foresee_pull);
        leg(n + 2).into_iter().for_each(Leg::foresee_take);
    }

    /// The leg of the port after the next is about to be sent to, and those after it.
    #[inline]
    fn foresee_sent(&self, ports: [Option<u32>; 2]) {
        let [soon, later] = ports;
        later.into_iter().for_each(|port| self.foresee(port));
        if let Some(place) = soon.and_then(|port| self.places.get(port as usize)?.as_ref()) {
            place.leg.foresee_sent();
        }
    }

    /// Gives a packet that came at `at` to all who hear the leg.
    #[inline]
    fn pass(
        &mut self,
        (now, at): (Instant, Instant),
        port: u32,
        received: &Received,
        bytes: &mut [u8],
        out: &mut impl Sink,
    ) {
        let Some(place) = self.place(port) else { return };
        if let Some(taken) = received.taken
            && let Carried::Media(codec) = taken.carried
        {
            if let Some(tapped) = place.leg.tapped() {
                tapped.received(at, codec, &taken.header, bytes, |frame| out.tap(frame));
            }
            if let Some(listened) = place.leg.listened() {
                listened.received(at, codec, &taken.header, bytes, |frame| out.overhear(frame));
            }
        }
        let first = place.first_listener;
        if let Some(from) = received.pull_from {
            self.listen_from(port, from);
        }
        if let Some(taken) = received.taken {
            self.relay(now, first, &taken, bytes, out);
        }
    }

    fn relay(&mut self, now: Instant, first: Option<u32>, taken: &Taken, bytes: &mut [u8], out: &mut impl Sink) {
        let (mut next, mut relayed) = (first, 0);
        while let Some(port) = next {
            let Some(place) = self.place(port) else { break };
            next = place.next_listener;
            let Some((fields, to, bridge)) = place.leg.hear(now, taken) else { continue };
            let tapped = place.leg.tapped();
            relayed += 1;
            let packet = taken.header.rewrite(fields, bytes);
            if bridge == Bridge::Relay {
                place.leg.seal(packet, |wire| send(tapped, now, (port, to), packet, wire, out));
                continue;
            }
            // The payload stays as it came, for whoever else hears it.
            let mut copy = [0; PACKET_MAX];
            let Some(copy) = copy.get_mut(..packet.len()) else { continue };
            copy.copy_from_slice(packet);
            bridge.transcode(copy.get_mut(HEADER_LEN..).unwrap_or_default());
            place.leg.seal(copy, |wire| send(tapped, now, (port, to), copy, wire, out));
        }
        self.stats.packets_relayed += relayed;
    }

    /// Runs every step that is due.
    pub fn tick(&mut self, now: Instant, out: &mut impl Sink) {
        let current = now.as_micros() / STEP_US;
        // After a stop of the whole machine nothing between is worth being counted.
        self.step = self.step.max(current.saturating_sub(10_000_000 / STEP_US));
        self.effort.tick(self.due_step(), current);
        while self.step <= current {
            let (step, late) = (self.step, current - self.step >= LATE_STEPS);
            self.step += 1;
            self.listen(step, late, out);
            self.mix(step, late, out);
            if let Some(due) = self.wheel.get_mut(step as usize % WHEEL).map(std::mem::take) {
                for (n, port) in due.iter().enumerate() {
                    due.get(n + 4).into_iter().for_each(|port| self.foresee(*port));
                    self.generate(*port, step, late, out);
                }
                self.give_back(step, due);
            }
            if step % LOOK_STEPS == 0 && !late {
                self.look(now, (step / LOOK_STEPS) as usize % LOOK_PARTS, out);
            }
        }
    }

    /// The emptied list goes back on the wheel, so that its memory is used again.
    fn give_back(&mut self, step: u64, mut due: Vec<u32>) {
        due.clear();
        if let Some(place) = self.wheel.get_mut(step as usize % WHEEL) {
            *place = due;
        }
    }

    fn generate(&mut self, port: u32, step: u64, late: bool, out: &mut impl Sink) {
        let Some(place) = self.place(port).filter(|p| p.generates()) else {
            self.leave_wheel(port);
            if self.place(port).is_some_and(|p| p.leg.has_dialed()) {
                // There may be no use for its mouth any more.
                self.equip(port);
            }
            return;
        };
        let next = step + place.leg.ptime_steps();
        if late {
            self.stats.ticks_late += 1;
        } else {
            let (leg, tapped) = (place.leg.id, place.leg.tapped());
            let due = Instant::from_micros(step * STEP_US);
            if let Some((id, played)) =
                place.leg.generate(due, |to, packet, wire| send(tapped, due, (port, to), packet, wire, out))
            {
                out.event(Event::PlayEnded { leg, id, played });
            }
            self.stats.ticks += 1;
        }
        if let Some(due) = self.wheel.get_mut(next as usize % WHEEL) {
            due.push(port);
        }
    }

    fn dial(&mut self, leg: LegId, digits: &[Press]) {
        let Some(port) = self.find(leg) else { return };
        if let Some(place) = self.place(port) {
            place.leg.dial(digits);
        }
        self.equip(port);
        self.enter_wheel(port);
    }

    fn leave_wheel(&mut self, port: u32) {
        if let Some(on) = self.on_wheel.get_mut(port as usize) {
            *on = false;
        }
    }

    /// A place gets its step: one of the next four, the same for the leg's whole life.
    fn enter_wheel(&mut self, port: u32) {
        let phase = u64::from(port) % LATE_STEPS;
        let step = self.step + (phase + LATE_STEPS - self.step % LATE_STEPS) % LATE_STEPS;
        let (Some(on), Some(due)) = (self.on_wheel.get_mut(port as usize), self.wheel.get_mut(step as usize % WHEEL))
        else {
            return;
        };
        if !std::mem::replace(on, true) {
            due.push(port);
        }
    }

    /// Looks at a part of the legs: digits, timeouts, reports.
    fn look(&mut self, now: Instant, part: usize, out: &mut impl Sink) {
        let clock = self.clock;
        if self.gives_away {
            self.look_after(now, (part..self.places.len()).step_by(LOOK_PARTS), out);
        }
        for (port, place) in self.places.iter_mut().enumerate().skip(part).step_by(LOOK_PARTS) {
            let Some(Place { leg, .. }) = place else { continue };
            let (digit, silent) = leg.look(now);
            if let Some(digit) = digit {
                out.event(leg.digit(digit, Method::Rfc4733));
            }
            if let Some(tone) = leg.look_for_tone(now) {
                out.event(leg.digit(tone, Method::Inband));
            }
            if leg.falls_silent(now) {
                out.event(Event::Unheard { leg: leg.id });
            }
            if silent {
                out.event(Event::Timeout { leg: leg.id });
            }
            let by_rtp = leg.is_multiplexed();
            if let Some((to, report)) = leg.report(now, clock, &mut self.rng, &mut [0; REPORT_ROOM]) {
                send_report(out, by_rtp, port as u32, to, report);
            }
        }
    }

    fn open(&mut self, now: Instant, (id, port): (LegId, u32), setting: Box<Setting>, account: Box<Quality>) {
        if self.index.is_empty() {
            self.step = self.step.max(now.as_micros() / STEP_US + 1);
        }
        let slots = port as usize + 1;
        if self.places.len() < slots {
            self.places.resize_with(slots, || None);
            self.on_wheel.resize(slots, false);
            // Each place may stand in any step: room for all of them, so that no tick allocates.
            for due in self.wheel.iter_mut().chain(&mut self.ears) {
                due.reserve(self.places.capacity() - due.len());
            }
        }
        let leg = Leg::new(now, id, setting, account, &mut self.rng);
        let Some(slot) = self.places.get_mut(port as usize) else { return };
        if slot.is_some() || self.index.insert(id, port).is_some() {
            crate::bug!("leg {id:?} opened twice, or its port {port} is another leg's");
            return;
        }
        *slot = Some(Place {
            leg,
            heard: None,
            first_listener: None,
            next_listener: None,
            phase: (port % 4) as u8,
            room: None,
            steadiness: Steadiness::default(),
        });
        if self.dangling > 0 {
            self.link_dangling();
        }
    }

    fn set(&mut self, now: Instant, id: LegId, setting: Box<Setting>, out: &mut impl Sink) {
        let Some(port) = self.find(id) else { return out.spent(setting) };
        let heard = self.heard_by(&setting.state.hears, port);
        let Some(place) = self.place(port) else { return out.spent(setting) };
        let (before, relinks) = (place.heard, place.heard != heard);
        let rooms = (room_of(place.leg.hears()), room_of(&setting.state.hears));
        let dangled = place.dangles();
        let old = place.leg.set(now, setting);
        let (dangles, generates) =
            (heard.is_none() && matches!(place.leg.hears(), Hears::Leg(_)), place.leg.generates());
        if relinks {
            self.unlink(port);
            self.link(port, heard);
        }
        self.dangling = (self.dangling + usize::from(dangles)).saturating_sub(usize::from(dangled));
        if generates {
            self.enter_wheel(port);
        }
        if let Some(before) = before.filter(|b| Some(*b) != heard) {
            self.equip(before);
        }
        self.equip_around(port);
        if rooms.0 != rooms.1 {
            [rooms.0, rooms.1].into_iter().flatten().for_each(|room| self.seat(room));
        }
        out.spent(old);
    }

    fn close(&mut self, now: Instant, id: LegId, out: &mut impl Sink) {
        let Some(port) = self.index.remove(&id) else { return };
        let heard = self.place(port).and_then(|p| p.heard).filter(|h| *h != port);
        self.unlink(port);
        self.listen_at(port, false);
        let Some(place) = self.places.get_mut(port as usize).and_then(Option::take) else { return };
        self.dangling = self.dangling.saturating_sub(usize::from(place.dangles()));
        if let Some(heard) = heard {
            self.equip(heard);
        }
        if let Some(room) = place.room {
            self.seat(room);
        }
        let mut next = place.first_listener;
        while let Some((port, listener)) = next.and_then(|port| Some((port, self.place(port)?))) {
            listener.heard = None;
            next = listener.next_listener.take();
            self.dangling += 1;
            self.equip(port);
        }
        let mut buffer = [0; REPORT_ROOM];
        let by_rtp = place.leg.is_multiplexed();
        let closed = place.leg.close(now, self.clock, &mut buffer);
        if let Some((to, bye)) = closed.bye {
            send_report(out, by_rtp, port, to, bye);
        }
        out.event(Event::Closed { leg: id, quality: closed.account });
        out.spent(closed.setting);
    }

    fn find(&self, leg: LegId) -> Option<u32> {
        self.index.get(&leg).copied()
    }

    #[inline]
    fn place(&mut self, port: u32) -> Option<&mut Place> {
        self.places.get_mut(port as usize)?.as_mut()
    }

    /// The place of what a leg hears: itself for its echo.
    fn heard_by(&self, hears: &Hears, own: u32) -> Option<u32> {
        match hears {
            Hears::Leg(leg) => self.find(*leg),
            Hears::Echo => Some(own),
            Hears::Nothing | Hears::Silence | Hears::Room(_) | Hears::Play { .. } | Hears::Tone { .. } => None,
        }
    }

    fn link(&mut self, port: u32, heard: Option<u32>) {
        let Some(source) = heard.and_then(|h| self.place(h)) else { return };
        let first = source.first_listener.replace(port);
        if let Some(place) = self.place(port) {
            (place.heard, place.next_listener) = (heard, first);
        }
    }

    fn unlink(&mut self, port: u32) {
        let Some(place) = self.place(port) else { return };
        let (heard, after) = (place.heard.take(), place.next_listener.take());
        let Some(source) = heard.and_then(|h| self.place(h)) else { return };
        if source.first_listener == Some(port) {
            source.first_listener = after;
            return;
        }
        let mut at = source.first_listener;
        while let Some(place) = at.and_then(|p| self.place(p)) {
            if place.next_listener == Some(port) {
                place.next_listener = after;
                return;
            }
            at = place.next_listener;
        }
    }

    /// A leg has opened: whoever wanted to hear it does.
    fn link_dangling(&mut self) {
        self.dangling = 0;
        for port in 0..self.places.len() as u32 {
            let Some(place) = self.place(port).filter(|p| p.dangles()) else { continue };
            let Hears::Leg(wanted) = *place.leg.hears() else { continue };
            match self.find(wanted) {
                Some(heard) => {
                    self.link(port, Some(heard));
                    self.equip_around(port);
                }
                None => self.dangling += 1,
            }
        }
    }
}

/// The room that somebody hears.
const fn room_of(hears: &Hears) -> Option<RoomId> {
    if let Hears::Room(room) = hears { Some(*room) } else { None }
}

/// Sends a packet as it goes over the `wire`, and lets those hear it as it was who listen in.
#[inline]
fn send(
    tapped: Option<Tapped>,
    at: Instant,
    (port, to): (u32, SocketAddr),
    packet: &[u8],
    wire: Option<&[u8]>,
    out: &mut impl Sink,
) {
    let Some(wire) = wire else { return };
    if let Some(tapped) = tapped {
        tapped.sent(at, packet, |frame| out.tap(frame));
    }
    out.rtp(port, to, wire);
}

impl Place {
    /// Whether packets are made for it on the tick; a room makes those of its members itself.
    fn generates(&self) -> bool {
        self.leg.dials() || self.leg.generates() && self.room.is_none()
    }

    /// Whether it hears a leg that is not open.
    fn dangles(&self) -> bool {
        self.heard.is_none() && matches!(self.leg.hears(), Hears::Leg(_))
    }
}

/// RTCP by its own port, or by RTP's where both share one.
fn send_report(out: &mut impl Sink, by_rtp: bool, port: u32, to: SocketAddr, report: &[u8]) {
    if by_rtp {
        out.rtp(port, to, report);
    } else {
        out.rtcp(port, to, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_takes_little_memory() {
        let (place, setting) = (size_of::<Option<Place>>(), size_of::<Setting>() + size_of::<Quality>());
        assert!(place <= 1_088 && setting <= 1_024, "{place} {setting}");
    }
}
