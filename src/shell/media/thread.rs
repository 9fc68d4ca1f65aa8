//! A shard's thread: orders in, packets in and out, ticks, events up. It sleeps in `PacketIo::wait` and nowhere else.

use super::forwarding::{Collected, Forwarder, LETTER_MAX};
use super::io::{Outbox, PacketIo, Pair};
use super::pace::{Gather, Pace};
use crate::base::time::{Duration, Instant, Now, Wall};
use crate::media::command::Event;
use crate::media::forward::{Forward, Passed};
use crate::media::leg::Setting;
use crate::media::room::RoomSetting;
use crate::media::shard::{Order, Shard, Sink, Socket};
use crate::media::tap::Frame;
use crate::shell::clock::Clock;
use crate::shell::net::Waker;
use rtrb::{Consumer, Producer, PushError};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// Orders that wait for a shard; the engine keeps what is beyond.
pub const DOWN_MAX: usize = 4_096;
/// What waits for the control thread, a shard.
pub const UP_MAX: usize = 4_096;
/// Packets for those who listen in, a shard: at 500 calls whose reader sleeps, 0.6 s. Its memory is touched only when used.
pub const TAPS_MAX: usize = 32_768;
/// And for those who listen to what is said, a shard: 1.6 s of 100 parties.
pub const HEARD_MAX: usize = 8_192;
/// Places of `UP_MAX` that only endings and digits may take.
const UP_RESERVED: usize = 1_024;
/// Endings and digits kept back while the ring is full. Endings are bounded by the legs; digits beyond are dropped.
const OVERFLOW_MAX: usize = 4_096;
/// Niceness of the shards' threads: above all that is ordinary.
const NICE: libc::c_int = -10;
/// What the thread asks to run for at a time, in nanoseconds: the least that the system grants.
const SLICE_NS: u64 = 100_000;
/// By how much the system may be late with a rest or a tick, in nanoseconds; its default of 50 µs is as long as the rest.
const TIMER_SLACK_NS: libc::c_ulong = 2_000;
/// While the way up is full it is tried again so often.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// By how many packets their legs' memory is asked for before them.
const FORESEEN: usize = 6;
/// What is collected is looked at so often where nothing is due.
const COLLECT_PAUSE: Duration = Duration::from_millis(20);
/// Packets between two looks at the clock while they are taken: some 10 µs.
const CLOCK_EVERY: usize = 8;
/// Of faults of waiting one in so many is told: some five seconds' worth.
const FAULTS_TOLD: u64 = 1_000;
/// A packet that is said to have come longer ago than this has come now: longer than a thread of this niceness is kept waiting.
const AGO_MAX: Duration = Duration::from_millis(100);
/// Orders taken between two looks at the sockets.
const ORDERS_MAX: usize = 64;

/// To a shard.
#[derive(Debug)]
pub enum Down {
    Order(Order),
    Adopt { port: u32, pair: Pair },
    Retire { port: u32 },
    Stop,
}

/// From a shard.
#[derive(Debug)]
pub enum Up {
    Event(Event),
    /// To be freed.
    Spent(Box<Setting>),
    SpentRoom(Box<RoomSetting>),
    Retired {
        port: u32,
    },
    /// The slot's sockets could not be watched: it is not to be used again.
    Unusable {
        port: u32,
    },
}

/// What a shard counts, for whoever asks. Written by the shard only.
#[derive(Debug, Default)]
pub struct Counts {
    pub ticks: AtomicU64,
    pub ticks_late: AtomicU64,
    pub packets_received: AtomicU64,
    pub packets_relayed: AtomicU64,
    /// By the kernel; not among those above.
    pub packets_forwarded: AtomicU64,
    /// Put by the kernel where they wait for their time; among those received.
    pub packets_collected: AtomicU64,
    pub packets_unsent: AtomicU64,
    pub events_dropped: AtomicU64,
    /// Packets of listened-in sound that found no room.
    pub taps_dropped: AtomicU64,
    pub heard_dropped: AtomicU64,
}

/// Tells whether the shard sleeps, so that it is woken only then.
#[derive(Clone, Debug)]
pub struct Doorbell {
    pub asleep: Arc<AtomicBool>,
    pub waker: Waker,
}

impl Doorbell {
    /// Call it after the ring has the order.
    pub fn ring(&self) {
        // Pairs with the fence in `Worker::wait`: either the shard sees the order or we see it asleep.
        fence(Ordering::SeqCst);
        // Who takes the flag down wakes; a second order before the shard runs needs no second ring.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

/// The way up: nothing is said twice, endings and digits are not lost, the rest is dropped and counted when there is no room.
pub struct Uplink {
    ring: Producer<Up>,
    kept: VecDeque<Up>,
    waker: Waker,
    counts: Arc<Counts>,
    news: bool,
    /// To whoever listens in. What finds no room is dropped and counted.
    taps: Producer<Frame>,
    heard: Producer<Frame>,
}

impl Uplink {
    pub fn new(
        ring: Producer<Up>,
        (taps, heard): (Producer<Frame>, Producer<Frame>),
        waker: Waker,
        counts: Arc<Counts>,
    ) -> Uplink {
        Uplink { ring, kept: VecDeque::with_capacity(64), waker, counts, news: false, taps, heard }
    }

    fn event(&mut self, event: Event) {
        let room = match event {
            Event::Latched { .. } | Event::Refused { .. } | Event::Unprotected { .. } => {
                self.ring.slots() > UP_RESERVED && self.kept.is_empty()
            }
            Event::Digit { .. } => self.kept.len() < OVERFLOW_MAX,
            _ => true,
        };
        if room {
            self.push(Up::Event(event));
        } else {
            self.counts.events_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn push(&mut self, up: Up) {
        self.news = true;
        if !self.kept.is_empty() {
            return self.kept.push_back(up);
        }
        if let Err(PushError::Full(up)) = self.ring.push(up) {
            self.kept.push_back(up);
        }
    }

    /// Moves what was kept back and wakes the control thread if there is news for it.
    fn flush(&mut self) {
        while let Some(up) = self.kept.pop_front() {
            if let Err(PushError::Full(up)) = self.ring.push(up) {
                self.kept.push_front(up);
                break;
            }
        }
        if std::mem::take(&mut self.news) {
            self.waker.wake();
        }
    }
}

/// Everything that a shard's thread owns.
pub struct Worker<I> {
    pub shard: Shard,
    pub io: I,
    pub orders: Consumer<Down>,
    pub doorbell: Doorbell,
    pub uplink: Uplink,
    pub outbox: Outbox,
    pub forwarder: Option<Forwarder>,
    pub clock: Clock,
    pub counts: Arc<Counts>,
    pub pace: Pace,
    /// When what is collected was looked at.
    pub looked: Instant,
    /// Waits that failed.
    pub faults: u64,
}

/// A packet's moment on our own clock; `None` where it cannot be so: the wall clock was set meanwhile.
fn came(clocks: Now, stamp: Wall) -> Option<Instant> {
    let ago = clocks.wall.0.checked_sub(stamp.0)?;
    let ago = Duration::from_micros(u64::try_from(ago).ok()?);
    (ago <= AGO_MAX).then(|| Instant::from_micros(clocks.mono.as_micros().saturating_sub(ago.as_micros() as u64)))
}

struct Out<'a> {
    outbox: &'a mut Outbox,
    uplink: &'a mut Uplink,
    forwarder: &'a mut Option<Forwarder>,
}

impl Sink for Out<'_> {
    fn rtp(&mut self, port: u32, to: SocketAddr, packet: &[u8]) {
        self.outbox.push(port, Socket::Rtp, to, packet);
    }
    fn rtcp(&mut self, port: u32, to: SocketAddr, packet: &[u8]) {
        self.outbox.push(port, Socket::Rtcp, to, packet);
    }
    fn event(&mut self, event: Event) {
        self.uplink.event(event);
    }
    fn tap(&mut self, frame: &Frame) {
        if self.uplink.taps.push(*frame).is_err() {
            self.uplink.counts.taps_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn overhear(&mut self, frame: &Frame) {
        if self.uplink.heard.push(*frame).is_err() {
            self.uplink.counts.heard_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn forward(&mut self, forward: &Forward) -> bool {
        self.forwarder.as_mut().is_some_and(|f| f.forward(forward))
    }
    fn passed(&mut self, port: u32, end: bool) -> Option<Passed> {
        self.forwarder.as_mut()?.passed(port, end)
    }
    fn spent(&mut self, setting: Box<Setting>) {
        self.uplink.push(Up::Spent(setting));
    }
    fn spent_room(&mut self, setting: Box<RoomSetting>) {
        self.uplink.push(Up::SpentRoom(setting));
    }
}

impl<I: PacketIo> Worker<I> {
    /// Runs until it is told to stop, or the engine is gone.
    pub fn run(mut self) {
        while self.turn() {}
    }

    /// One turn: sleep, orders, packets, ticks. Orders go first: a packet that was sent after an order was given meets it
    /// carried out. `false` when it is over.
    pub fn turn(&mut self) -> bool {
        let begun = self.wait();
        if !self.take_orders() {
            self.io.send(&mut self.outbox);
            let _ = self.io.wait(Some(Duration::ZERO), Gather::NOT);
            self.uplink.flush();
            return false;
        }
        self.io.send(&mut self.outbox);
        self.take_packets(begun);
        let now = self.clock.mono();
        self.collect(now);
        self.tick(now);
        self.io.send(&mut self.outbox);
        self.uplink.flush();
        self.publish();
        true
    }

    /// Carries out some of the orders that wait. `false`: stop.
    fn take_orders(&mut self) -> bool {
        for _ in 0..ORDERS_MAX {
            match self.orders.pop() {
                Ok(Down::Order(order)) => {
                    let now = self.clock.mono();
                    let mut out =
                        Out { outbox: &mut self.outbox, uplink: &mut self.uplink, forwarder: &mut self.forwarder };
                    self.shard.order(now, order, &mut out);
                }
                Ok(Down::Adopt { port, pair }) => {
                    self.forwarder.iter_mut().for_each(|f| f.adopt(port, &pair));
                    if let Err(error) = self.io.adopt(port, pair) {
                        tracing::error!(port, "a media socket could not be watched: {error}");
                        self.uplink.push(Up::Unusable { port });
                    }
                }
                Ok(Down::Retire { port }) => {
                    self.forwarder.iter_mut().for_each(|f| f.retire(port));
                    self.io.retire(port);
                    self.uplink.push(Up::Retired { port });
                }
                Ok(Down::Stop) => return false,
                Err(_) => return !self.orders.is_abandoned(),
            }
        }
        true
    }

    fn tick(&mut self, now: Instant) {
        if self.shard.deadline().is_some_and(|due| due <= now) {
            self.shard.tick(
                now,
                &mut Out { outbox: &mut self.outbox, uplink: &mut self.uplink, forwarder: &mut self.forwarder },
            );
        }
    }

    /// Waits for something to do; since when it has.
    fn wait(&mut self) -> Instant {
        self.tell_steady();
        let now = self.clock.mono();
        let mut timeout = self.shard.deadline().map(|due| due.since(now));
        let (stats, collected) = (self.shard.stats(), self.collected());
        // What is collected wakes nobody.
        let counts = (stats.packets_received.saturating_sub(collected), stats.packets_relayed);
        let manner = (self.shard.mixes(), self.shard.has_given_away());
        let gather = self.pace.plan(now, counts, manner);
        if !self.uplink.kept.is_empty() {
            timeout = Some(timeout.unwrap_or(Duration::MAX).min(FULL_PAUSE));
        }
        if self.forwarder.as_ref().is_some_and(|f| f.collector.is_open()) {
            timeout = Some(timeout.unwrap_or(Duration::MAX).min(COLLECT_PAUSE));
        }
        self.doorbell.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.orders.is_empty() {
            timeout = Some(Duration::ZERO);
        }
        if let Err(error) = self.io.wait(timeout, gather) {
            if self.faults.is_multiple_of(FAULTS_TOLD) {
                tracing::error!("media threads cannot wait for packets: {error}");
            }
            self.faults += 1;
            std::thread::sleep(FULL_PAUSE);
        }
        self.doorbell.asleep.store(false, Ordering::Relaxed);
        now
    }

    /// Takes what came in the wait that began at `begun`.
    fn take_packets(&mut self, begun: Instant) {
        let (clocks, mut taken) = (self.clock.now(), 0usize);
        let waited = clocks.mono.since(begun);
        let mut now = clocks.mono;
        self.outbox.relays = true;
        (0..FORESEEN).for_each(|n| self.foresee(n));
        while let Some(packet) = self.io.receive() {
            taken += 1;
            if taken.is_multiple_of(CLOCK_EVERY) {
                now = self.clock.mono();
            }
            let now = packet.stamp.and_then(|stamp| came(clocks, stamp)).unwrap_or(now);
            let mut out = Out { outbox: &mut self.outbox, uplink: &mut self.uplink, forwarder: &mut self.forwarder };
            self.shard.packet(now, (packet.port, packet.socket), packet.source, packet.bytes, &mut out);
            if !I::GATHERS {
                self.io.send(&mut self.outbox);
            }
            self.foresee(FORESEEN - 1);
        }
        self.outbox.relays = false;
        self.pace.waited(waited, taken);
    }

    /// Tells who collects of the peers that there are to be collected from.
    fn tell_steady(&mut self) {
        while let Some((port, peer)) = self.io.steadied() {
            self.forwarder.iter_mut().for_each(|f| f.steady(port, peer));
        }
    }

    fn collected(&self) -> u64 {
        self.forwarder.as_ref().map_or(0, |f| f.collector.count())
    }

    /// Takes what the kernel has collected, if it is time to pull it or nothing has been due for long.
    fn collect(&mut self, now: Instant) {
        let is_due = self.shard.deadline().is_none_or(|due| due <= now) || now.since(self.looked) >= COLLECT_PAUSE;
        let Some(forwarder) = self.forwarder.as_mut().filter(|f| is_due && f.collector.is_open()) else { return };
        self.looked = now;
        forwarder.collector.look();
        self.outbox.relays = true;
        let mut bytes = [0; LETTER_MAX];
        (0..FORESEEN).for_each(|n| self.foresee_collected(n));
        while let Some(packet) = self.forwarder.as_mut().and_then(|f| f.collector.take(&mut bytes)) {
            self.take_collected(now, packet, &mut bytes);
            self.foresee_collected(FORESEEN - 1);
        }
        self.outbox.relays = false;
    }

    fn take_collected(&mut self, now: Instant, packet: Collected, bytes: &mut [u8]) {
        let Collected { port, source, at, length } = packet;
        let relayed = self.shard.stats().packets_relayed;
        let at = if now.since(at) <= AGO_MAX { at.min(now) } else { now };
        let mut out = Out { outbox: &mut self.outbox, uplink: &mut self.uplink, forwarder: &mut self.forwarder };
        self.shard.packet(at, (port, Socket::Rtp), source, bytes.get_mut(..length).unwrap_or_default(), &mut out);
        if self.shard.stats().packets_relayed != relayed {
            // What is passed on does not wait.
            self.forwarder.iter_mut().for_each(|f| f.collector.close(port));
        }
        if !I::GATHERS {
            self.io.send(&mut self.outbox);
        }
    }

    /// As [`Worker::foresee`], of what is collected.
    #[inline]
    fn foresee_collected(&self, n: usize) {
        let Some(collector) = self.forwarder.as_ref().map(|f| &f.collector) else { return };
        if let Some(port) = collector.coming(n) {
            self.shard.foresee(port);
        }
        if let Some(port) = n.checked_sub(FORESEEN / 3).and_then(|n| collector.coming(n)) {
            self.shard.foresee_listener(port);
        }
    }

    /// Has the legs fetched that the packets after the next `n` concern.
    #[inline]
    fn foresee(&self, n: usize) {
        if let Some(port) = self.io.coming(n) {
            self.shard.foresee(port);
        }
        if let Some(port) = n.checked_sub(FORESEEN / 3).and_then(|n| self.io.coming(n)) {
            self.shard.foresee_listener(port);
        }
        if let Some(port) = n.checked_sub(2 * FORESEEN / 3).and_then(|n| self.io.coming(n)) {
            self.shard.foresee_relayed(port);
        }
    }

    fn publish(&self) {
        let stats = self.shard.stats();
        let counts = &self.counts;
        for (to, from) in [
            (&counts.ticks, stats.ticks),
            (&counts.ticks_late, stats.ticks_late),
            (&counts.packets_received, stats.packets_received),
            (&counts.packets_relayed, stats.packets_relayed),
            (&counts.packets_forwarded, stats.packets_forwarded),
            (&counts.packets_collected, self.collected()),
            (&counts.packets_unsent, self.io.unsent()),
        ] {
            to.store(from, Ordering::Relaxed);
        }
    }
}

/// Asks the system to run the calling thread before others and to wake it in time: a packet that is late is lost. It may
/// refuse the niceness (LimitNICE).
pub fn prefer() -> bool {
    // SAFETY: only numbers are passed; `who` 0 is the calling thread.
    let preferred = unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK_NS);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE) == 0
    };
    ask_for_short_slice(if preferred { NICE } else { 0 });
    preferred
}

/// A thread that asks for little at a time is run sooner after it wakes (EEVDF, Linux 6.12; earlier ones ignore it): it
/// need not wait until another one's share, of milliseconds, is used up.
fn ask_for_short_slice(nice: libc::c_int) {
    /// `struct sched_attr` in its first form.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let size = std::mem::size_of::<Attributes>() as u32;
    let wish = Attributes { size, nice, runtime: SLICE_NS, ..Attributes::default() };
    // SAFETY: `wish` lives through the call and is of the size that it tells; 0 is the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wish, 0) };
}

/// Pins the calling thread to the `n`th last of the processors that the process may use: the first ones stay free for the
/// control thread. `false` where the system does not allow it.
pub fn pin(n: usize) -> bool {
    // SAFETY: the set lives through both calls and is of the size that is told; CPU_* stay within it.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        let size = std::mem::size_of_val(&allowed);
        if libc::sched_getaffinity(0, size, &mut allowed) != 0 {
            return false;
        }
        let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(|c| libc::CPU_ISSET(*c, &allowed)).collect();
        let Some(cpu) = cpus.len().checked_sub(1 + n % cpus.len().max(1)).and_then(|i| cpus.get(i)) else {
            return false;
        };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(*cpu, &mut one);
        libc::sched_setaffinity(0, size, &one) == 0
    }
}
