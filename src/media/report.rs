//! RTCP of one leg (RFC 3550 §6): when to report, what to say of both streams, and what the peer says of ours.

use super::stream::Stream;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant, Wall};
use crate::rtp::rtcp::{self, LastReport, Packet, Report, SenderInfo};
use crate::rtp::stats::Reception;

/// Mean time between reports; each is drawn from half to one and a half of it (RFC 3550 §6.2, §6.3.1).
const INTERVAL: Duration = Duration::from_secs(5);

/// The wall clock along the monotonic one: what NTP timestamps are taken from, so that they never step.
#[derive(Clone, Copy, Debug)]
pub struct NtpClock {
    offset_us: i64,
}

impl NtpClock {
    pub const fn new(mono: Instant, wall: Wall) -> NtpClock {
        NtpClock { offset_us: wall.as_micros() - mono.as_micros() as i64 }
    }

    pub const fn ntp(self, now: Instant) -> u64 {
        rtcp::ntp(Wall(now.as_micros() as i64 + self.offset_us))
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Reports {
    due: Instant,
    cname: [u8; 16],
    /// The peer's latest sender report.
    last: Option<LastReport>,
    /// Packets sent at the report before last and at the last: who sent none in two intervals is no sender (§6.4).
    sent: [u64; 2],
    remote_lost: Option<u64>,
    /// Of 256 packets, in the peer's latest interval; until it is taken.
    remote_share: Option<u8>,
    remote_jitter_us: Option<u64>,
    round_trip_us: Option<u64>,
}

impl Reports {
    /// The first report comes after half the interval (§6.2). The CNAME is random, one a leg (RFC 7022 §4.2): a name that two
    /// legs share would tell each peer of the other.
    pub fn new(now: Instant, rng: &mut Rng) -> Reports {
        let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let mut cname = [0; 16];
        for (i, c) in cname.iter_mut().enumerate() {
            *c = b"0123456789abcdefghijklmnopqrstuv"[(random >> (5 * i)) as usize & 31];
        }
        Reports {
            due: now + draw(rng, INTERVAL / 2),
            cname,
            last: None,
            sent: [0; 2],
            remote_lost: None,
            remote_share: None,
            remote_jitter_us: None,
            round_trip_us: None,
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// The next report is an interval after `now`.
    pub fn postpone(&mut self, now: Instant, rng: &mut Rng) {
        self.due = now + draw(rng, INTERVAL);
    }

    /// Writes the report that is due, or the last with its BYE.
    pub fn write<'b>(
        &mut self,
        now: Instant,
        clock: NtpClock,
        stream: &Stream,
        (reception, receive_rate): (&mut Reception, u32),
        bye: bool,
        buffer: &'b mut [u8; rtcp::REPORT_LEN_MAX],
    ) -> &'b [u8] {
        let sends = stream.packets() > self.sent[0];
        self.sent = [self.sent[1], stream.packets()];
        let sender = sends.then(|| SenderInfo {
            ntp: clock.ntp(now),
            timestamp: stream.timestamp_at(now),
            packets: stream.packets() as u32,
            octets: stream.octets() as u32,
        });
        let block = reception.report(now, self.last, receive_rate);
        Report { ssrc: stream.ssrc(), sender, block, cname: &self.cname, bye }.write(buffer)
    }

    /// Takes what the peer says. `false` if the bytes are no RTCP.
    pub fn read(&mut self, now: Instant, clock: NtpClock, stream: &Stream, bytes: &[u8]) -> bool {
        let Some(compound) = rtcp::parse(bytes) else { return false };
        for packet in compound {
            let blocks = match packet {
                Packet::SenderReport { info, blocks, .. } => {
                    self.last = Some(LastReport { middle: rtcp::middle(info.ntp), at: now });
                    blocks
                }
                Packet::ReceiverReport { blocks, .. } => blocks,
                Packet::Description(_) | Packet::Bye(_) | Packet::Other(_) => continue,
            };
            for block in blocks.filter(|b| b.ssrc == stream.ssrc()) {
                self.remote_share = Some(block.fraction_lost);
                self.remote_lost = Some(u64::try_from(block.lost).unwrap_or(0));
                let rate = u64::from(stream.clock_rate().max(1));
                self.remote_jitter_us = Some(u64::from(block.jitter) * 1_000_000 / rate);
                let middle = rtcp::middle(clock.ntp(now));
                self.round_trip_us = rtcp::round_trip_us(middle, &block).or(self.round_trip_us);
            }
        }
        true
    }

    /// The share of our packets, of 256, that the peer lost in the interval of its latest report; once a report.
    pub const fn take_remote_share(&mut self) -> Option<u8> {
        self.remote_share.take()
    }

    /// What the peer's latest block says is lost of our stream.
    pub const fn remote_lost(&self) -> Option<u64> {
        self.remote_lost
    }

    pub fn remote_jitter_ms(&self) -> Option<f32> {
        self.remote_jitter_us.map(|us| us as f32 / 1_000.0)
    }

    pub fn round_trip_ms(&self) -> Option<f32> {
        self.round_trip_us.map(|us| us as f32 / 1_000.0)
    }
}

fn draw(rng: &mut Rng, mean: Duration) -> Duration {
    let mean_us = mean.as_micros() as u64;
    Duration::from_micros(mean_us / 2 + rng.below(mean_us + 1))
}
