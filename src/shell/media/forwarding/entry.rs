//! What the kernel knows of a stream: memory that it and we share, 128 bytes a port pair.

use super::system::Sharable;
use crate::base::time::Instant;
use crate::media::forward::{Forward, Passed};
use crate::rtp::packet::Fields;
use crate::rtp::stats::Scatter;
use std::cell::UnsafeCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The entry is in force; below stand its generation (31 bits) and the packets passed on since it is.
const ARMED: u64 = 1 << 63;
const GENERATION: u64 = 1 << 32;
/// Marks RTP's version, without padding, extension or sources.
const PLAIN: u8 = 0x80;

/// Which packets are meant and what becomes of them: written while the entry is out of force. Addresses, ports, SSRCs and the first
/// two bytes of headers stand as in a packet, so that the kernel compares and copies them as they are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    pub source_ip: [u8; 4],
    /// 0.0.0.0: whatever it is.
    pub local_ip: [u8; 4],
    pub source_port: [u8; 2],
    /// One more than the number of the box that packets are put into; 0: they are passed on.
    mailbox: u16,
    pub head: [u8; 2],
    _unused2: [u8; 2],
    pub ssrc: [u8; 4],
    pub first_timestamp: u32,
    pub step: u32,
    pub first_sequence: u16,
    pub sequence_added: u16,
    pub timestamp_added: u32,
    pub new_ips: [[u8; 4]; 2],
    pub new_ports: [[u8; 2]; 2],
    pub new_head: [u8; 2],
    _unused3: [u8; 2],
    pub new_ssrc: [u8; 4],
    /// The interface by which it leaves; 0: for a peer on this machine.
    pub interface: u32,
    pub traffic_class: u32,
}

/// What the kernel writes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Account {
    pub state: AtomicU64,
    pub octets: AtomicU64,
    /// Of the latest packet, by the system's monotonic clock, in nanoseconds.
    pub arrived: AtomicU64,
    /// Jitter as in [`Scatter`], in microseconds.
    pub sum: AtomicU64,
    pub estimate: AtomicU32,
    pub max: AtomicU32,
    pub step_us: AtomicU32,
    pub measured: AtomicU32,
}

/// See the module's documentation.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Entry {
    plan: UnsafeCell<Plan>,
    account: Account,
    _unused: [u64; 2],
}

// SAFETY: zeroed it is out of force; the plan is written only then, the account is atomic.
unsafe impl Sharable for Entry {}

const _: () = assert!(size_of::<Plan>() == 64 && size_of::<Entry>() == 128 && size_of::<Account>() == 48);

/// How packets leave: from where, by which interface (0: to a peer on this machine).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    pub from: SocketAddrV4,
    pub interface: u32,
}

impl Plan {
    /// `local` is where the packets come to, if that is known.
    pub fn new(
        forward: &Forward,
        source: SocketAddrV4,
        local: Ipv4Addr,
        to: SocketAddrV4,
        exit: Exit,
        class: u8,
    ) -> Plan {
        let Forward { comes, leaves, step, .. } = forward;
        let head = |fields: &Fields| [PLAIN, fields.payload_type & 0x7f];
        Plan {
            source_ip: source.ip().octets(),
            local_ip: local.octets(),
            source_port: source.port().to_be_bytes(),
            head: head(comes),
            ssrc: comes.ssrc.to_be_bytes(),
            first_timestamp: comes.timestamp,
            step: *step,
            first_sequence: comes.sequence,
            sequence_added: leaves.sequence.wrapping_sub(comes.sequence),
            timestamp_added: leaves.timestamp.wrapping_sub(comes.timestamp),
            new_ips: [exit.from.ip().octets(), to.ip().octets()],
            new_ports: [exit.from.port().to_be_bytes(), to.port().to_be_bytes()],
            new_head: head(leaves),
            new_ssrc: leaves.ssrc.to_be_bytes(),
            interface: exit.interface,
            traffic_class: u32::from(class),
            ..Plan::default()
        }
    }

    /// Whatever comes from `source` by that way goes into a box.
    pub fn collect(mailbox: u16, source: SocketAddrV4, local: Ipv4Addr, interface: u32) -> Plan {
        Plan {
            source_ip: source.ip().octets(),
            local_ip: local.octets(),
            source_port: source.port().to_be_bytes(),
            mailbox: mailbox + 1,
            interface,
            ..Plan::default()
        }
    }
}

impl Entry {
    /// Puts the entry into force. `offset` lies between our clock and the system's, in nanoseconds.
    ///
    /// # Safety
    /// One thread at a time arms and disarms an entry.
    pub unsafe fn arm(&self, plan: Plan, forward: &Forward, offset: u64) {
        let before = self.disarm();
        // SAFETY: out of force, the kernel throws away what it reads of it: its exchange of the state fails.
        unsafe { self.plan.get().write_volatile(plan) };
        let Scatter { arrived, estimate_16us, max_us, .. } = forward.scatter;
        let a = &self.account;
        a.octets.store(0, Ordering::Relaxed);
        a.arrived.store(arrived.as_micros() * 1_000 + offset, Ordering::Relaxed);
        a.sum.store(0, Ordering::Relaxed);
        a.estimate.store(estimate_16us, Ordering::Relaxed);
        a.max.store(max_us, Ordering::Relaxed);
        let step_us = u64::from(forward.step) * 1_000_000 / u64::from(forward.clock_rate.max(1));
        a.step_us.store(u32::try_from(step_us).unwrap_or(u32::MAX), Ordering::Relaxed);
        a.measured.store(0, Ordering::Relaxed);
        self.begin(before);
    }

    /// Puts a plan of [`Plan::collect`] into force. `false` if another is.
    ///
    /// # Safety
    /// As [`Entry::arm`].
    pub unsafe fn collect(&self, plan: Plan) -> bool {
        let before = self.account.state.load(Ordering::Acquire);
        if before & ARMED != 0 {
            return false;
        }
        // SAFETY: out of force, as above.
        unsafe { self.plan.get().write_volatile(plan) };
        self.begin(before);
        true
    }

    fn begin(&self, before: u64) {
        let generation = (before & !ARMED) / GENERATION + 1;
        self.account.state.store(ARMED | ((generation * GENERATION) & !ARMED), Ordering::Release);
    }

    /// Takes it out of force; how many packets have been claimed.
    pub fn end(&self) -> u32 {
        self.disarm() as u32
    }

    /// Takes it out of force; the state before. What the kernel has claimed until now is counted, nothing is claimed after.
    fn disarm(&self) -> u64 {
        let mut state = self.account.state.load(Ordering::Acquire);
        while state & ARMED != 0 {
            match self.account.state.compare_exchange(state, state & !ARMED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        state
    }

    /// What has been passed on since [`Entry::arm`]; `end`s it.
    pub fn passed(&self, end: bool, offset: u64) -> Passed {
        let a = &self.account;
        let state = if end { self.disarm() } else { a.state.load(Ordering::Acquire) };
        let arrived = a.arrived.load(Ordering::Relaxed).saturating_sub(offset) / 1_000;
        Passed {
            packets: state as u32,
            octets: a.octets.load(Ordering::Relaxed),
            scatter: Scatter {
                arrived: Instant::from_micros(arrived),
                estimate_16us: a.estimate.load(Ordering::Relaxed),
                max_us: a.max.load(Ordering::Relaxed),
                sum_us: a.sum.load(Ordering::Relaxed),
                count: u64::from(a.measured.load(Ordering::Relaxed)),
            },
        }
    }
}
