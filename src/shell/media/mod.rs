//! The media engine: shard threads, their sockets and prompts, seen from the control thread.
//!
//! Commands go down and events come up by one ring each a shard; nothing here waits. Ports are bound on the control thread, so
//! that a leg's address is known at once; sockets then belong to the shard.

mod buffers;
mod flow;
mod forwarding;
pub mod io;
pub mod pace;
pub mod portable;
pub mod ports;
pub mod prompt;
mod rooms;
mod spawn;
pub mod thread;
pub mod uring;

pub use prompt::{PromptError, Prompts};

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant, Now};
use crate::config::{Forwarding, MediaIo};
use crate::event::Quality;
use crate::media::command::{Command, Event, Family, Hears, LegId, LegState, RoomId, Tone};
use crate::media::leg::Setting;
use crate::media::player::Player;
use crate::media::shard::Order;
use crate::media::tap::Frame;
use crate::recording::command as recording;
use crate::shell::api::metrics::Sample;
use crate::shell::clock::Clock;
use crate::shell::control::Media;
use crate::shell::net::Waker;
use crate::shell::recording::Recorder;
use ports::PortPool;
use rooms::Waiter;
use rtrb::{Consumer, Producer, PushError};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thread::{Counts, Doorbell, Down, Up};

/// What an engine is built from.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// At most one of each family is used.
    pub addresses: Vec<IpAddr>,
    /// Stands in session descriptions instead of the address of its family, if that stands for all.
    pub external: Option<IpAddr>,
    /// Inclusive.
    pub ports: (u16, u16),
    /// `None`: cores − 1, at least 1.
    pub threads: Option<usize>,
    pub io: MediaIo,
    pub forwarding: Forwarding,
    /// Of tones whose own country is not known.
    pub country: String,
    pub seed: u64,
}

/// Sums over all shards, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MediaStats {
    /// Packets that we made ourselves, and those that were skipped as their time had passed.
    pub ticks: u64,
    pub ticks_late: u64,
    pub packets_received: u64,
    pub packets_relayed: u64,
    /// Passed on by the kernel, and counted among those above, too.
    pub packets_forwarded: u64,
    /// Put by the kernel where they wait for their time; among those received.
    pub packets_collected: u64,
    /// Refused by the system.
    pub packets_unsent: u64,
    /// Telemetry that found no room on its way up.
    pub events_dropped: u64,
    /// Packets of listened-in sound that found no room.
    pub taps_dropped: u64,
    pub heard_dropped: u64,
    pub legs: u64,
    /// Port pairs that are bound, and those of them that no leg uses.
    pub ports_bound: u64,
    pub ports_resting: u64,
}

/// A shard as the control thread sees it.
struct Handle {
    down: Producer<Down>,
    /// What the ring had no room for, in order.
    backlog: VecDeque<Down>,
    up: Consumer<Up>,
    doorbell: Doorbell,
    /// What is given may wait for the next ring.
    quiet: bool,
    /// Something was given quietly since the last ring.
    owed: bool,
    /// What the shard's taps copy, until somebody takes it.
    tapped: Option<Consumer<Frame>>,
    /// And what is listened to.
    overheard: Option<Consumer<Frame>>,
    counts: Arc<Counts>,
    legs: usize,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Handle {
    fn give(&mut self, down: Down) {
        self.backlog.push_back(down);
        self.flush();
    }

    fn flush(&mut self) {
        let before = self.backlog.len();
        while let Some(down) = self.backlog.pop_front() {
            if let Err(PushError::Full(down)) = self.down.push(down) {
                self.backlog.push_front(down);
                break;
            }
        }
        if self.backlog.len() < before {
            self.owed = true;
            if !self.quiet {
                self.ring();
            }
        }
    }

    fn ring(&mut self) {
        if std::mem::take(&mut self.owed) {
            self.doorbell.ring();
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Home {
    shard: usize,
    slot: u32,
    group: u64,
}

/// A group's shard and how many of its legs are open.
#[derive(Clone, Copy, Debug)]
struct Group {
    shard: usize,
    legs: usize,
}

/// A leg that opens or closes may wait so long for company: waking a shard costs more than either.
const QUIET: Duration = Duration::from_millis(40);

/// See the module's documentation. Dropping it stops the threads.
pub struct MediaEngine {
    settings: MediaSettings,
    clock: Clock,
    shards: Vec<Handle>,
    pool: PortPool,
    legs: HashMap<LegId, Home>,
    groups: HashMap<u64, Group>,
    prompts: Arc<Prompts>,
    /// Slots whose sockets the shard could not watch, until their legs have left them.
    unusable: Vec<(usize, u32)>,
    /// Playings that wait for a prompt.
    waiting: Vec<(Arc<str>, Waiter)>,
    /// The shard of each room.
    rooms: HashMap<RoomId, usize>,
    /// Rung by shards and by the prompts' loader.
    waker: Waker,
    /// Events that are known at once, for whoever uses [`Media`].
    ready: VecDeque<Event>,
    /// Since when a shard has orders that nobody has rung for.
    owed_since: Option<Instant>,
    /// The kernel may relay.
    has_kernel: bool,
    recorder: Option<Recorder>,
}

impl MediaEngine {
    /// Starts the shard threads. An error where the system grants no thread or no descriptor.
    pub fn start(settings: MediaSettings, prompts: Arc<Prompts>, clock: Clock) -> std::io::Result<MediaEngine> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = settings.threads.unwrap_or(cores.saturating_sub(1)).max(1);
        let mut rng = Rng::from_seed(settings.seed);
        let pool = PortPool::new(&settings.addresses, settings.ports, threads, &mut rng);
        let waker = prompts.waker().clone();
        // A thread alone is better off where the scheduler finds room for it.
        let pinned = threads > 1 && threads < cores;
        let io = spawn::choose(settings.io)?;
        let kernel = forwarding::start(settings.forwarding, &settings.addresses, settings.ports, &clock)?;
        let has_kernel = kernel.is_some();
        let manner = spawn::Manner { pinned, io, kernel };
        let mut start = |n: usize| spawn::shard(n, clock, &waker, rng.next_u64(), &manner);
        let shards = (0..threads).map(&mut start).collect::<Result<_, _>>()?;
        Ok(MediaEngine {
            settings,
            clock,
            shards,
            pool,
            legs: HashMap::new(),
            groups: HashMap::new(),
            prompts,
            unusable: Vec::new(),
            waiting: Vec::new(),
            rooms: HashMap::new(),
            waker,
            ready: VecDeque::new(),
            owed_since: None,
            has_kernel,
            recorder: None,
        })
    }

    /// Carries a command out, or gives it to its shard. Answers that are known at once are returned: `Opened`, `OpenFailed`,
    /// and `Closed` of a leg that never opened.
    pub fn execute(&mut self, now: Now, command: Command) -> Option<Event> {
        match command {
            Command::Open { leg, group, family } => Some(self.open(now.mono, leg, group, family)),
            Command::Set { leg, state } => {
                self.set(leg, *state);
                None
            }
            Command::Room { room, group, state } => {
                self.set_room(room, group, *state);
                None
            }
            Command::Digits { leg, digits } => {
                self.give(leg, Order::Digits { leg, digits });
                None
            }
            Command::Close { leg } => self.close(now.mono, leg),
        }
    }

    /// Readable when [`MediaEngine::poll_event`] has something.
    pub fn event_fd(&self) -> RawFd {
        self.waker.fd()
    }

    /// The next event; `None` when there is none. Before a round of polls the waker is to be cleared
    /// ([`MediaEngine::clear`]), and each round goes on until `None` or is begun again without waiting.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        while let Some((name, prompt)) = self.prompts.loaded() {
            self.loaded(&name, prompt);
        }
        let now = self.clock.mono();
        for (n, shard) in self.shards.iter_mut().enumerate() {
            shard.flush();
            while let Ok(up) = shard.up.pop() {
                match up {
                    Up::Event(event) => return Some(event),
                    Up::Spent(setting) => drop(setting),
                    Up::SpentRoom(setting) => drop(setting),
                    Up::Retired { port } => self.pool.retired(now, n, port),
                    Up::Unusable { port } => self.unusable.push((n, port)),
                }
            }
        }
        None
    }

    /// Takes the ring of [`MediaEngine::event_fd`] back; call it before a round of polls.
    pub fn clear(&self) {
        self.waker.clear();
    }

    /// Takes the orders of [`Media::record`], and ends with the engine.
    pub fn attach(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// What legs with a tap say and hear, a ring each shard; once.
    pub fn take_taps(&mut self) -> Vec<Consumer<Frame>> {
        self.shards.iter_mut().filter_map(|shard| shard.tapped.take()).collect()
    }

    /// What the owners of legs say who are listened to, a ring each shard; once.
    pub fn take_overheard(&mut self) -> Vec<Consumer<Frame>> {
        self.shards.iter_mut().filter_map(|shard| shard.overheard.take()).collect()
    }

    pub fn stats(&self) -> MediaStats {
        let mut sum = MediaStats {
            legs: self.legs.len() as u64,
            ports_bound: self.pool.bound() as u64,
            ports_resting: self.pool.resting() as u64,
            ..MediaStats::default()
        };
        for Handle { counts, .. } in &self.shards {
            sum.ticks += counts.ticks.load(Ordering::Relaxed);
            sum.ticks_late += counts.ticks_late.load(Ordering::Relaxed);
            let forwarded = counts.packets_forwarded.load(Ordering::Relaxed);
            sum.packets_received += counts.packets_received.load(Ordering::Relaxed) + forwarded;
            sum.packets_relayed += counts.packets_relayed.load(Ordering::Relaxed) + forwarded;
            sum.packets_forwarded += forwarded;
            sum.packets_collected += counts.packets_collected.load(Ordering::Relaxed);
            sum.packets_unsent += counts.packets_unsent.load(Ordering::Relaxed);
            sum.taps_dropped += counts.taps_dropped.load(Ordering::Relaxed);
            sum.heard_dropped += counts.heard_dropped.load(Ordering::Relaxed);
            sum.events_dropped += counts.events_dropped.load(Ordering::Relaxed);
        }
        sum
    }

    /// Stops the threads and waits for them; what they had been given before is done. Events can still be polled.
    pub fn shutdown(&mut self) {
        for shard in &mut self.shards {
            let Some(thread) = shard.thread.take() else { continue };
            shard.give(Down::Stop);
            while !shard.backlog.is_empty() && !thread.is_finished() {
                std::thread::yield_now();
                shard.flush();
            }
            let _ = thread.join();
        }
    }

    fn open(&mut self, now: Instant, leg: LegId, group: u64, family: Family) -> Event {
        if self.legs.contains_key(&leg) {
            return Event::OpenFailed { leg, why: "the leg is open" };
        }
        let known = self.groups.get(&group).map(|g| g.shard);
        let idlest = || self.shards.iter().enumerate().min_by_key(|(_, s)| s.legs).map_or(0, |(n, _)| n);
        let mut shard = known.unwrap_or_else(idlest);
        let mut taken = self.pool.take(now, family, shard);
        // Ports may rest at another shard; only a call's first leg is free to go there.
        for other in (0..self.shards.len()).filter(|_| known.is_none()) {
            if taken.is_err() && other != shard {
                taken = self.pool.take(now, family, other);
                shard = if taken.is_ok() { other } else { shard };
            }
        }
        let taken = match taken {
            Ok(taken) => taken,
            Err(why) => return Event::OpenFailed { leg, why },
        };
        let Some(handle) = self.shards.get_mut(shard) else { return Event::OpenFailed { leg, why: "no media thread" } };
        if let Some(pair) = taken.fresh {
            handle.give(Down::Adopt { port: taken.slot, pair });
        }
        let (setting, account) = (Box::<Setting>::default(), Box::<Quality>::default());
        handle.give(Down::Order(Order::Open { leg, port: taken.slot, setting, account }));
        handle.legs += 1;
        self.groups.entry(group).or_insert(Group { shard, legs: 0 }).legs += 1;
        self.legs.insert(leg, Home { shard, slot: taken.slot, group });
        Event::Opened { leg, rtp: self.advertised(taken.rtp) }
    }

    fn advertised(&self, rtp: SocketAddr) -> SocketAddr {
        let external = self.settings.external.filter(|e| e.is_ipv4() == rtp.is_ipv4());
        SocketAddr::new(external.unwrap_or_else(|| rtp.ip()), rtp.port())
    }

    fn set(&mut self, leg: LegId, state: LegState) {
        let player = self.player(leg, &state);
        self.give(leg, Order::Set { leg, setting: Box::new(Setting::new(state, player)) });
    }

    fn player(&mut self, leg: LegId, state: &LegState) -> Player {
        match &state.hears {
            Hears::Play { id, file, loops } => self.prompt_player(file, *loops, Waiter::Leg(leg, *id)),
            Hears::Tone { tone, country, duration, .. } => {
                let name = tone_name(*tone);
                let spec = [country, self.settings.country.as_str(), "us"]
                    .into_iter()
                    .find_map(|country| codecs::tone::by_name(country, name));
                let ms = duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
                spec.map_or_else(Player::missing, |spec| Player::tone(&spec, ms))
            }
            Hears::Nothing | Hears::Silence | Hears::Leg(_) | Hears::Echo | Hears::Room(_) => Player::default(),
        }
    }

    fn close(&mut self, now: Instant, leg: LegId) -> Option<Event> {
        let Some(home) = self.legs.get(&leg).copied() else {
            return Some(Event::Closed { leg, quality: Box::default() });
        };
        self.give(leg, Order::Close { leg });
        self.legs.remove(&leg);
        let bad = self.unusable.iter().position(|u| *u == (home.shard, home.slot));
        let retire = match bad.map(|at| self.unusable.swap_remove(at)) {
            Some((_, slot)) => Some(slot),
            None => self.pool.rest(now, home.shard, home.slot),
        };
        if let Some(shard) = self.shards.get_mut(home.shard) {
            shard.legs = shard.legs.saturating_sub(1);
            if let Some(port) = retire {
                shard.give(Down::Retire { port });
            }
        }
        if let Some(group) = self.groups.get_mut(&home.group) {
            group.legs = group.legs.saturating_sub(1);
            if group.legs == 0 {
                self.groups.remove(&home.group);
            }
        }
        None
    }

    fn give_to(&mut self, shard: usize, order: Order) {
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.give(Down::Order(order));
        }
    }

    fn give(&mut self, leg: LegId, order: Order) {
        let home = self.legs.get(&leg).copied();
        if let Some(shard) = home.and_then(|h| self.shards.get_mut(h.shard)) {
            shard.give(Down::Order(order));
        }
    }
}

impl Drop for MediaEngine {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Media for MediaEngine {
    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        // What a leg is to do is done at once, and with it whatever was ordered before.
        let quiet = !matches!(command, Command::Set { .. } | Command::Room { .. } | Command::Digits { .. });
        self.shards.iter_mut().for_each(|s| s.quiet = quiet);
        if let Some(event) = self.execute(now, command) {
            // The control loop asks for events after its commands: no ring is needed.
            self.ready.push_back(event);
        }
        self.shards.iter_mut().for_each(|s| s.quiet = false);
        let owed = self.shards.iter().any(|s| s.owed);
        self.owed_since = owed.then(|| self.owed_since.unwrap_or(now.mono));
    }
    fn deadline(&self) -> Option<Instant> {
        self.owed_since.map(|since| since + QUIET)
    }
    fn turn(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.shards.iter_mut().for_each(Handle::ring);
            self.owed_since = None;
        }
    }
    fn record(&mut self, order: recording::Order) {
        if let Some(recorder) = &self.recorder {
            recorder.order(order);
        }
    }
    fn event(&mut self) -> Option<Event> {
        self.poll_event()
    }
    fn fd(&self) -> Option<RawFd> {
        Some(self.event_fd())
    }
    fn clear(&mut self) {
        MediaEngine::clear(self);
    }
    fn figures(&self) -> Vec<Sample> {
        let s = self.stats();
        let mut figures = vec![
            Sample::counter("media_ticks", "Packets of sound that were due to be made", s.ticks),
            Sample::counter("media_ticks_late", "Packets of sound skipped because their time had passed", s.ticks_late),
            Sample::counter("media_packets_received", "RTP and RTCP packets received", s.packets_received),
            Sample::counter("media_packets_relayed", "RTP packets relayed", s.packets_relayed),
            Sample::counter("media_packets_forwarded", "RTP packets relayed by the kernel", s.packets_forwarded),
            Sample::counter(
                "media_packets_collected",
                "RTP packets that waited in the kernel's boxes",
                s.packets_collected,
            ),
            Sample::gauge("media_kernel", "1 if the kernel may relay", u64::from(self.has_kernel)),
            Sample::counter("media_packets_unsent", "Packets that the system refused to send", s.packets_unsent),
            Sample::counter("media_events_dropped", "Media events that found no room", s.events_dropped),
            Sample::counter("media_taps_dropped", "Packets to be recorded that found no room", s.taps_dropped),
            Sample::counter("media_heard_dropped", "Packets to be listened to that found no room", s.heard_dropped),
            Sample::gauge("media_legs", "Media legs that are open", s.legs),
            Sample::gauge("media_ports_bound", "RTP and RTCP port pairs that are bound", s.ports_bound),
            Sample::gauge("media_ports_resting", "Bound port pairs that no leg uses", s.ports_resting),
        ];
        figures.extend(self.recorder.iter().flat_map(Recorder::figures));
        figures
    }
}

/// As the codecs' table of tones names it.
const fn tone_name(tone: Tone) -> &'static str {
    match tone {
        Tone::Ringback => "ringback",
        Tone::Busy => "busy",
        Tone::Congestion => "congestion",
        Tone::Dial => "dial",
        Tone::Information => "sit",
        Tone::Beep => "beep",
    }
}
