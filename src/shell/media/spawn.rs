//! Starts a shard's thread, with the kernel's best way to move packets.

use super::Handle;
use super::forwarding::{Forwarder, Kernel};
use super::io::PacketIo;
use super::portable::Portable;
use super::thread::{self, Counts, DOWN_MAX, Doorbell, Down, HEARD_MAX, TAPS_MAX, UP_MAX, Uplink, Worker};
use super::uring::Uring;
use crate::base::time::Instant;
use crate::config::MediaIo;
use crate::media::shard::Shard;
use crate::shell::clock::Clock;
use crate::shell::net::Waker;
use rtrb::{Consumer, RingBuffer};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

/// Which way is taken: `Auto` becomes one that works here. An error where io_uring is demanded and the system refuses it.
pub fn choose(wanted: MediaIo) -> io::Result<MediaIo> {
    if wanted == MediaIo::Epoll {
        return Ok(MediaIo::Epoll);
    }
    match Waker::new().and_then(Uring::new) {
        Ok(_) => Ok(MediaIo::IoUring),
        Err(error) if wanted == MediaIo::IoUring => {
            let text = format!("media.io: the system refuses io_uring ({error}); expected Linux 6.1 or newer, or auto");
            Err(io::Error::new(error.kind(), text))
        }
        Err(error) => {
            tracing::info!("media packets pass by epoll: the system refuses io_uring ({error})");
            Ok(MediaIo::Epoll)
        }
    }
}

/// What all shards have in common.
pub struct Manner {
    pub pinned: bool,
    pub io: MediaIo,
    pub kernel: Option<Arc<Kernel>>,
}

pub fn shard(n: usize, clock: Clock, up_waker: &Waker, seed: u64, manner: &Manner) -> io::Result<Handle> {
    let Manner { pinned, io, ref kernel } = *manner;
    let forwarder = kernel.clone().map(|kernel| Forwarder::new(kernel, clock)).transpose()?;
    let (down, orders) = RingBuffer::new(DOWN_MAX);
    let (ring, up) = RingBuffer::new(UP_MAX);
    let (taps, tapped) = RingBuffer::new(TAPS_MAX);
    let (heard, overheard) = RingBuffer::new(HEARD_MAX);
    let doorbell = Doorbell { asleep: Arc::new(AtomicBool::new(false)), waker: Waker::new()? };
    let counts = Arc::new(Counts::default());
    let uplink = Uplink::new(ring, (taps, heard), up_waker.clone(), counts.clone());
    let waker = doorbell.waker.clone();
    let bell = doorbell.clone();
    let start = Start { n, clock, seed, pinned, orders, doorbell: bell, counts: counts.clone(), uplink, forwarder };
    let thread = match io {
        MediaIo::Epoll => start.run(Portable::new(waker)?)?,
        MediaIo::Auto | MediaIo::IoUring => start.run(Uring::new(waker)?)?,
    };
    Ok(Handle {
        down,
        backlog: VecDeque::new(),
        up,
        doorbell,
        quiet: false,
        owed: false,
        tapped: Some(tapped),
        overheard: Some(overheard),
        counts,
        legs: 0,
        thread: Some(thread),
    })
}

/// What a thread begins with, whatever its way to the network.
struct Start {
    n: usize,
    clock: Clock,
    seed: u64,
    pinned: bool,
    orders: Consumer<Down>,
    doorbell: Doorbell,
    counts: Arc<Counts>,
    uplink: Uplink,
    forwarder: Option<Forwarder>,
}

impl Start {
    fn run(self, io: impl PacketIo + Send + 'static) -> io::Result<JoinHandle<()>> {
        let Start { n, clock, seed, pinned, orders, doorbell, counts, uplink, forwarder } = self;
        let shard = Shard::new(clock.now(), seed).giving_away(forwarder.is_some());
        let (outbox, pace) = Default::default();
        let (looked, faults) = (Instant::ZERO, 0);
        let worker =
            Worker { shard, io, orders, doorbell, uplink, outbox, forwarder, clock, counts, pace, looked, faults };
        std::thread::Builder::new().name(format!("media-{n}")).spawn(move || {
            if !thread::prefer() {
                tracing::debug!(shard = n, "the system does not let the media thread run before others");
            }
            if pinned && !thread::pin(n) {
                tracing::debug!(shard = n, "the media thread could not be pinned to a processor");
            }
            worker.run();
        })
    }
}
