//! What a receiver knows of a stream: loss and restarts (RFC 3550 A.1, A.3), interarrival jitter (A.8), duplicates, order;
//! and the listening quality that follows from it (ITU-T G.107).

use super::rtcp::{Block, LastReport};
use crate::base::time::Instant;

/// A jump ahead of at least so many packets is a restart or nonsense (RFC 3550 A.1, MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3_000;
/// A packet behind by at most so many is late (RFC 3550 A.1, MAX_MISORDER).
const MISORDER_MAX: u16 = 100;
/// How far back duplicates are recognised, in packets.
const WINDOW: u16 = 128;

/// What one packet was to its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// In order, after a gap or none.
    Next,
    /// The first of a source, or of its sequence after a restart: what is derived from earlier packets no longer holds.
    First,
    /// Behind one that came before it.
    Late,
    Duplicate,
    /// Far from the sequence: the first sign of a restart, or nonsense. Not counted.
    Stray,
}

/// Statistics of what comes from one peer, over all its sources and restarts.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    /// The run now: from a source's first packet to its restart. `None` before the first packet and after `resume`.
    run: Option<Run>,
    received: u64,
    bytes: u64,
    duplicates: u64,
    late: u64,
    /// Losses of the runs before.
    lost_before: u64,
    jitter: Jitter,
}

#[derive(Clone, Debug)]
struct Run {
    ssrc: u32,
    base: u16,
    max: u16,
    cycles: u32,
    /// The sequence number that would confirm a restart (A.1, bad_seq).
    restart: Option<u16>,
    /// Bit n: the packet n behind `max` came.
    window: u128,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
}

impl Run {
    const fn new(ssrc: u32, sequence: u16) -> Run {
        Run {
            ssrc,
            base: sequence,
            max: sequence,
            cycles: 0,
            restart: None,
            window: 1,
            received: 1,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    const fn expected(&self) -> u64 {
        (self.cycles as u64 + self.max as u64 + 1).saturating_sub(self.base as u64)
    }

    const fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// RFC 3550 A.1, without probation: the source has been chosen by its address.
    fn place(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.max);
        if ahead == 0 {
            return Arrival::Duplicate;
        }
        if ahead < DROPOUT_MAX {
            if sequence < self.max {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.max = sequence;
            self.window = if ahead < WINDOW { self.window << ahead | 1 } else { 1 };
            self.restart = None;
            return Arrival::Next;
        }
        let behind = ahead.wrapping_neg();
        if behind <= MISORDER_MAX {
            return self.fill(behind);
        }
        if self.restart == Some(sequence) {
            return Arrival::First;
        }
        self.restart = Some(sequence.wrapping_add(1));
        Arrival::Stray
    }

    /// A late packet, or one that came before.
    fn fill(&mut self, behind: u16) -> Arrival {
        let bit = 1u128 << behind;
        if self.window & bit != 0 {
            return Arrival::Duplicate;
        }
        self.window |= bit;
        // Sent before the packet that we took for the first: expected from now on.
        let first = self.cycles as u64 + self.max as u64 - u64::from(self.base);
        if u64::from(behind) > first {
            if self.cycles == 0 && behind > self.max {
                return Arrival::Stray;
            }
            self.base = self.max.wrapping_sub(behind);
        }
        Arrival::Late
    }
}

impl Reception {
    /// Takes one packet of `bytes` payload bytes.
    pub fn packet(&mut self, ssrc: u32, sequence: u16, bytes: usize) -> Arrival {
        let arrival = match &mut self.run {
            Some(run) if run.ssrc == ssrc => run.place(sequence),
            _ => Arrival::First,
        };
        match arrival {
            Arrival::First => {
                self.resume();
                self.run = Some(Run::new(ssrc, sequence));
            }
            Arrival::Duplicate => {
                self.duplicates += 1;
                return arrival;
            }
            Arrival::Stray => return arrival,
            Arrival::Late => self.late += 1,
            Arrival::Next => {}
        }
        if let Some(run) = self.run.as_mut().filter(|_| arrival != Arrival::First) {
            run.received += 1;
        }
        self.received += 1;
        self.bytes += bytes as u64;
        arrival
    }

    /// Takes the timestamp of a packet of continuous media (not of an event, whose timestamp stands still) for the jitter.
    pub fn timestamp(&mut self, now: Instant, timestamp: u32, clock_rate: u32) {
        self.jitter.packet(now, timestamp, clock_rate);
    }

    /// How scattered packets have come.
    pub const fn scatter(&self) -> Scatter {
        self.jitter.scatter
    }

    /// Takes `packets` more in sequence that somebody else has received, with so many payload bytes and timestamps that far apart;
    /// sum and count of `scatter` are theirs alone.
    pub fn pass(&mut self, packets: u32, bytes: u64, step: u32, scatter: &Scatter) {
        let Some(run) = &mut self.run else { return };
        let max = u32::from(run.max) + packets;
        run.cycles = run.cycles.wrapping_add(max & !0xffff);
        run.max = max as u16;
        run.window = if packets < u32::from(WINDOW) { run.window << packets | ((1 << packets) - 1) } else { u128::MAX };
        run.restart = None;
        run.received += u64::from(packets);
        self.received += u64::from(packets);
        self.bytes += bytes;
        let own = &mut self.jitter.scatter;
        let (sum_us, count) = (own.sum_us + scatter.sum_us, own.count + scatter.count);
        *own = Scatter { sum_us, count, max_us: own.max_us.max(scatter.max_us), ..*scatter };
        if let Some((timestamp, _)) = &mut self.jitter.last {
            *timestamp = timestamp.wrapping_add(step.wrapping_mul(packets));
        }
    }

    /// A pause in which packets were not counted is over, or a source ends: what comes next is a first packet.
    pub fn resume(&mut self) {
        if let Some(run) = self.run.take() {
            self.lost_before += run.lost();
        }
        self.jitter.last = None;
    }

    pub const fn received(&self) -> u64 {
        self.received
    }

    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    pub const fn late(&self) -> u64 {
        self.late
    }

    /// Expected minus received, over all runs; never negative.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.run.as_ref().map_or(0, Run::lost)
    }

    /// The running estimate's mean and maximum, in milliseconds.
    pub fn jitter_ms(&self) -> (f32, f32) {
        let Scatter { sum_us, count, max_us, .. } = self.jitter.scatter;
        let mean = if count == 0 { 0.0 } else { sum_us as f32 / count as f32 };
        (mean / 1_000.0, max_us as f32 / 1_000.0)
    }

    /// The block to report of the source now (RFC 3550 A.3), and begins the next interval. `None` before its first packet.
    pub fn report(&mut self, now: Instant, last: Option<LastReport>, clock_rate: u32) -> Option<Block> {
        let run = self.run.as_mut()?;
        let (expected, received) = (run.expected(), run.received);
        let expected_interval = expected.saturating_sub(run.expected_prior);
        let lost_interval = expected_interval.saturating_sub(received.saturating_sub(run.received_prior));
        (run.expected_prior, run.received_prior) = (expected, received);
        let (last_report, delay) = last.map_or((0, 0), |l| l.fields(now));
        Some(Block {
            ssrc: run.ssrc,
            fraction_lost: (lost_interval * 256).checked_div(expected_interval).unwrap_or(0).min(255) as u8,
            lost: i32::try_from(run.lost()).unwrap_or(i32::MAX),
            sequence_max: run.cycles.wrapping_add(u32::from(run.max)),
            jitter: (u64::from(self.jitter.scatter.estimate_16us >> 4) * u64::from(clock_rate) / 1_000_000) as u32,
            last_report,
            delay,
        })
    }
}

/// How scattered packets come: interarrival jitter (RFC 3550 A.8), kept in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scatter {
    /// Arrival of the latest packet.
    pub arrived: Instant,
    /// Sixteen times the estimate, as in A.8.
    pub estimate_16us: u32,
    pub max_us: u32,
    /// Of the estimates after each packet, and how many these are.
    pub sum_us: u64,
    pub count: u64,
}

impl Scatter {
    /// A difference of more than a second is a jump of the clock, not jitter.
    const DIFFERENCE_MAX_US: u64 = 1_000_000;

    /// A packet comes that was sent so many microseconds after the one before; less than 0 if before it.
    pub fn packet(&mut self, now: Instant, sent_us: i64) {
        let at = std::mem::replace(&mut self.arrived, now);
        let arrived_us = now.as_micros() as i64 - at.as_micros() as i64;
        let difference = arrived_us.abs_diff(sent_us);
        if difference > Self::DIFFERENCE_MAX_US {
            return;
        }
        self.estimate_16us += difference as u32;
        self.estimate_16us -= (self.estimate_16us - difference as u32 + 8) >> 4;
        let estimate = self.estimate_16us >> 4;
        self.max_us = self.max_us.max(estimate);
        self.sum_us += u64::from(estimate);
        self.count += 1;
    }
}

/// The scatter of one peer's packets: payload types of other clock rates may take turns.
#[derive(Clone, Debug, Default)]
struct Jitter {
    /// Timestamp and clock rate of the latest packet.
    last: Option<(u32, u32)>,
    scatter: Scatter,
}

impl Jitter {
    fn packet(&mut self, now: Instant, timestamp: u32, clock_rate: u32) {
        let before = self.last.replace((timestamp, clock_rate));
        let Some((earlier, _)) = before.filter(|b| b.1 == clock_rate && clock_rate > 0) else {
            self.scatter.arrived = now;
            return;
        };
        let sent_us = i64::from(timestamp.wrapping_sub(earlier) as i32) * 1_000_000 / i64::from(clock_rate);
        self.scatter.packet(now, sent_us);
    }
}

/// How well a codec bears loss: ITU-T G.113 Appendix I.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Impairment {
    /// Equipment impairment Ie of the codec without loss.
    pub codec: f32,
    /// Packet-loss robustness Bpl.
    pub robustness: f32,
}

/// G.711 with packet-loss concealment in the listener.
pub const G711: Impairment = Impairment { codec: 0.0, robustness: 25.1 };
/// G.722 at 64 kbit/s on the narrow-band scale, so that legs can be compared: better than G.711 is not told apart there. No
/// robustness is published for it on this scale; its predictors are wrong for some time after a loss, so two thirds of G.711's.
pub const G722: Impairment = Impairment { codec: 0.0, robustness: 16.7 };
/// Opus at 16 kbit/s and more, on the same scale: nothing is published there either. Its own concealment is taken to be as good as
/// that of G.711; what FEC brought back counts as lost, so this errs to the low side.
pub const OPUS: Impairment = Impairment { codec: 0.0, robustness: 25.1 };

/// E-model estimate (ITU-T G.107 with its default values, so R₀ − Is = 93.2): `loss` as a ratio 0 to 1, assumed random, and
/// the delay from mouth to ear in milliseconds. 1.0 to 4.5.
pub fn mos(impairment: Impairment, loss: f32, delay_ms: f32) -> f32 {
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let equipment = impairment.codec + (95.0 - impairment.codec) * percent / (percent + impairment.robustness);
    let delay = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    let r = (93.2 - delay - equipment).clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::{Duplicate, First, Late, Next, Stray};

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// Packets as (ssrc, sequence, what it was); then received, lost, duplicates, late.
    #[track_caller]
    fn check(packets: &[(u32, u16, Arrival)], expected: (u64, u64, u64, u64)) {
        let mut reception = Reception::default();
        for (i, &(ssrc, sequence, what)) in packets.iter().enumerate() {
            assert_eq!(reception.packet(ssrc, sequence, 160), what, "packet {i}");
        }
        let r = &reception;
        assert_eq!((r.received(), r.lost(), r.duplicates(), r.late()), expected);
    }

    #[test]
    fn loss_wraps_restarts_and_order() {
        check(&[], (0, 0, 0, 0));
        check(&[(1, 10, First), (1, 11, Next), (1, 13, Next)], (3, 1, 0, 0));
        check(&[(1, 10, First), (1, 12, Next), (1, 11, Late), (1, 11, Duplicate), (1, 12, Duplicate)], (3, 0, 2, 1));
        check(&[(1, 65_534, First), (1, 65_535, Next), (1, 1, Next), (1, 0, Late), (1, 2, Next)], (5, 0, 0, 1));
        // The first packet that came was not the first that was sent.
        check(&[(1, 10, First), (1, 9, Late), (1, 11, Next)], (3, 0, 0, 1));
        check(&[(1, 0, First), (1, 65_535, Stray), (1, 1, Next)], (2, 0, 0, 0));
        // Another source; losses of the first stay counted.
        check(&[(1, 10, First), (1, 14, Next), (2, 900, First), (2, 901, Next)], (4, 3, 0, 0));
        // One packet out of nowhere is nonsense; two in sequence are a restart.
        check(&[(1, 10, First), (1, 20_000, Stray), (1, 11, Next)], (2, 0, 0, 0));
        check(&[(1, 10, First), (1, 20_000, Stray), (1, 20_001, First), (1, 20_003, Next)], (3, 1, 0, 0));
        // A gap below the limit is loss.
        check(&[(1, 10, First), (1, 3_009, Next)], (2, 2_998, 0, 0));
    }

    #[test]
    fn a_long_stream_with_loss_in_a_pattern_is_counted_exactly() {
        let mut reception = Reception::default();
        let (mut sent, mut dropped) = (0u64, 0);
        for n in 0..200_000u64 {
            sent += 1;
            if n % 50 == 7 {
                dropped += 1;
                continue;
            }
            reception.packet(5, (n + 65_000) as u16, 160);
            if n == 100_000 {
                let block = reception.report(at(n * 20), None, 8_000).unwrap();
                assert_eq!((block.fraction_lost, block.lost), (5, 2_000));
            }
        }
        let block = reception.report(at(0), None, 8_000).unwrap();
        assert_eq!((reception.received(), reception.lost()), (sent - dropped, dropped));
        assert_eq!((block.lost, block.sequence_max), (4_000, 199_999 + 65_000));
        assert_eq!(reception.report(at(0), None, 8_000).unwrap().fraction_lost, 0, "an interval without packets");
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        // Written from A.8 with floating point, beside the integers above.
        let mut rng = crate::base::rng::Rng::from_seed(1);
        let (mut reception, mut oracle, mut last) = (Reception::default(), 0.0f64, None);
        for n in 0..2_000u64 {
            let arrival = n * 20_000 + 100_000 + rng.below(8_000);
            reception.timestamp(Instant::from_micros(arrival), (n * 160) as u32, 8_000);
            let transit = arrival as f64 - n as f64 * 20_000.0;
            if let Some(before) = last.replace(transit) {
                oracle += ((transit - before).abs() - oracle) / 16.0;
            }
        }
        reception.run = Some(Run::new(1, 1));
        let units = reception.report(at(0), None, 8_000).unwrap().jitter;
        assert!((f64::from(units) - oracle / 125.0).abs() < 1.1, "{units} units beside {oracle} us");
        let (mean, max) = reception.jitter_ms();
        assert!((2.2..3.2).contains(&mean) && max > mean && max < 5.0, "{mean} {max}");
    }

    #[test]
    fn steady_streams_have_no_jitter_and_a_jump_of_the_timestamp_is_none() {
        let mut reception = Reception::default();
        for n in 0..100u64 {
            let jump = if n > 50 { 1_000_000 } else { 0 };
            reception.timestamp(at(n * 20), (n * 160) as u32 + jump, 8_000);
        }
        assert_eq!(reception.jitter_ms(), (0.0, 0.0));
    }

    #[test]
    fn mos_is_that_of_g107() {
        // R 93.2 is MOS 4.41 (G.107 Annex B); other rows computed from the recommendation's formulas.
        let rows = [
            (0.0, 0.0, 4.41),
            (0.0, 150.0, 4.33),
            (0.0, 400.0, 3.05),
            (0.02, 20.0, 4.22),
            (0.1, 20.0, 3.39),
            (1.0, 20.0, 1.17),
        ];
        for (loss, delay, expected) in rows {
            let value = mos(G711, loss, delay);
            assert!((value - expected).abs() < 0.01, "{loss} {delay}: {value}");
        }
        assert_eq!(mos(G711, 2.0, 1e9), 1.0);
    }
}
