//! The jitter buffer of one ear: packets in as they come, in the order of their sound out, against the one media clock.
//!
//! The owner pulls 20 ms at a time: [`Jitter::begin`], then [`Jitter::take`] until it has sound enough (made-up sound is told by
//! [`Jitter::pass`]), then [`Jitter::done`]. Whole packets are taken; what is left of one stays with the owner.
//!
//! ```text
//!  packet ─ line (wraps, jumps, sources) ─ delay (edge, quantile) ─ store ─► take, in order
//!                                              │                      ▲
//!                                              └─ advice: a frame more or less of delay
//! ```
//!
//! The clock goes on whether packets come or not: what comes after its time is late, so a storm after a stop adds no delay.
//! A change of delay is a whole frame, as pulls are, and the owner's to make where it is heard least. Against a sender's
//! clock that runs 100 ppm apart that is one frame in 200 s.

pub mod delay;
pub mod line;
pub mod store;

#[cfg(test)]
mod tests;

use super::command::Codec;
use super::frame::FRAME_MS;
use crate::base::time::{Duration, Instant};
use codecs::cache::fetch;
use delay::Delay;
use line::{Line, Numbers, TICKS};
use std::ops::RangeInclusive;
use store::{Store, Waiting};

/// Sound that waits, at most; what is beyond is skipped.
pub const LATENCY_MAX: Duration = Duration::from_millis(200);
/// Delay of the first packet while nothing is known of the way: a clean network's packets wait so long at least.
const FIRST_DELAY_US: i64 = 7_500;
/// The target leaves room for packets of 60 ms below the ceiling.
const TARGET_MAX_US: i64 = 140_000;
/// Longest packet that is taken.
const DURATION_MAX: i64 = TICKS * 120 / 1_000;
/// Clocks of audio that are placed, in Hz.
const CLOCKS: RangeInclusive<u32> = 8_000..=48_000;
/// After so long without a packet the next one begins anew.
const IDLE: Duration = Duration::from_secs(1);
/// One frame in ticks, and in microseconds.
const FRAME: i64 = TICKS * FRAME_MS as i64 / 1_000;
const FRAME_US: i64 = FRAME_MS as i64 * 1_000;
/// Beyond the target and a frame, before a frame is taken out, in microseconds.
const SURPLUS_US: i64 = 5_000;
/// So many packets in a row that come wholly after their time, over so long, are no storm: the way has become longer, or the sender
/// stood still, and what comes begins anew.
const BEHIND: u32 = 5;
const BEHIND_TIME: Duration = Duration::from_millis(80);
/// Packets that are looked at before the delay is changed: more than any pattern of packets against pulls has.
const EVIDENCE: u32 = 6;

/// A packet as it came.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub clock_rate: u32,
    /// Duration in units of the clock; 0 for comfort noise.
    pub duration: u32,
    /// `None` for a telephone-event, which takes a number and makes no sound.
    pub codec: Option<Codec>,
    pub payload: &'a [u8],
}

/// What was counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Came after their sound was due, in whole or in part.
    pub late: u64,
    /// Skipped, as more waited than the ceiling allows.
    pub overflow: u64,
    /// Came in time.
    pub taken: u64,
}

/// What is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// A packet, `len` bytes of it copied; the first `skip` ticks of its sound are past. `follows`: nothing was lost before it.
    Packet { codec: Codec, len: usize, skip: i64, follows: bool, sequence: u16 },
    /// Nothing sounds for so many ticks. `lost`: packets are missing; else the sender paused.
    Gap { ticks: i64, lost: bool },
    /// Nothing is there.
    Empty,
}

/// Whether the delay is to be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    Keep,
    /// Make a frame up, without [`Jitter::pass`].
    Insert,
    /// Take a frame out.
    Remove,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Filling { until: Instant },
    Playing,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Jitter {
    state: State,
    line: Line,
    delay: Delay,
    store: Store,
    /// Where the next packet taken begins to sound, in ticks, and its number.
    position: i64,
    next: i64,
    /// End of the newest packet.
    newest: i64,
    /// The next pull, and what it begins with.
    due: Instant,
    play: i64,
    heard_at: Instant,
    /// Time that the fastest packets have before they are pulled: the least of late, over `looked` packets.
    slack_us: i64,
    looked: u32,
    /// Packets in a row that came wholly too late, when the first of them came, and by how much the least late was.
    behind: u32,
    behind_since: Instant,
    behind_us: i64,
    /// What is heard is a pause.
    quiet: bool,
    counts: Counts,
}

impl Default for Jitter {
    fn default() -> Jitter {
        Jitter::new()
    }
}

impl Jitter {
    /// A packet is about to come.
    #[inline]
    pub fn foresee_put(&self) {
        fetch(&self.line);
        fetch(&self.delay);
        fetch(&self.position);
        fetch(&self.counts);
        self.store.foresee_put();
    }

    /// A pull is about to begin.
    #[inline]
    pub fn foresee_pull(&self) {
        self.delay.foresee_target();
        fetch(&self.state);
        fetch(&self.position);
        fetch(&self.counts);
        self.store.foresee_first();
    }

    /// What is next is about to be taken.
    #[inline]
    pub fn foresee_take(&self) {
        self.store.foresee_take(self.next);
    }

    pub fn new() -> Jitter {
        Jitter {
            state: State::Idle,
            line: Line::default(),
            delay: Delay::default(),
            store: Store::default(),
            position: 0,
            next: 0,
            newest: 0,
            due: Instant::ZERO,
            play: 0,
            heard_at: Instant::ZERO,
            slack_us: i64::MAX,
            looked: 0,
            behind: 0,
            behind_since: Instant::ZERO,
            behind_us: 0,
            quiet: false,
            counts: Counts::default(),
        }
    }

    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Nothing has come for a while: the next packet begins anew.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// When the first packet is to be pulled, until it is.
    pub fn begins(&self) -> Option<Instant> {
        match self.state {
            State::Filling { until } => Some(until),
            State::Idle | State::Playing => None,
        }
    }

    /// How long a packet of the fastest waits until its sound is pulled; 0 while nothing is known.
    pub fn delay_us(&self) -> i64 {
        match self.looked {
            0 => 0,
            _ => self.slack_us.max(0),
        }
    }

    /// Forgets what waits; the next packet begins anew. What is known of the way is kept.
    pub fn clear(&mut self) {
        while let Some(sequence) = self.store.first().map(|w| w.sequence) {
            self.store.remove(sequence);
        }
        self.state = State::Idle;
    }

    /// Takes a packet that came at `now`.
    pub fn put(&mut self, now: Instant, packet: &Packet<'_>) {
        let Packet { ssrc, sequence, timestamp, clock_rate, codec, .. } = *packet;
        let is_event = codec.is_none();
        let duration = i64::from(packet.duration) * TICKS / i64::from(clock_rate.max(1));
        if duration > DURATION_MAX || !CLOCKS.contains(&clock_rate) {
            return;
        }
        let now_ticks = now.as_micros() as i64 * TICKS / 1_000_000;
        let expected = self.delay.edge_us().map(|edge| now_ticks - edge * TICKS / 1_000_000);
        let numbers = Numbers { ssrc, sequence, timestamp, clock_rate, is_event };
        let Some(place) = self.line.place(now, numbers, expected) else { return };
        self.heard_at = now;
        if self.state == State::Idle {
            if is_event {
                return;
            }
            self.start(now, place.sequence, place.begin);
        }
        let mut late_us = 0;
        if !is_event {
            late_us = self.delay.packet(now, now.as_micros() as i64 - place.begin * 1_000_000 / TICKS, self.quiet);
            self.look(now, place.begin, late_us);
        }
        let waiting = Waiting::new(place.sequence, place.begin, duration, codec, sequence);
        let was_late = self.counts.late;
        let kept = self.keep(waiting, packet.payload);
        if kept {
            self.behind = 0;
        } else if self.counts.late > was_late {
            self.fall_behind(now, late_us);
        }
    }

    /// A packet came wholly after its time.
    fn fall_behind(&mut self, now: Instant, late_us: i64) {
        if self.behind == 0 {
            (self.behind_since, self.behind_us) = (now, late_us);
        }
        self.behind += 1;
        self.behind_us = self.behind_us.min(late_us);
        if self.behind >= BEHIND && now.since(self.behind_since) >= BEHIND_TIME {
            self.delay.moved(self.behind_us);
            self.behind = 0;
            self.clear();
        }
    }

    fn start(&mut self, now: Instant, sequence: i64, begin: i64) {
        // After a pause a sender's timestamps may have stood still: an edge from before would call all that comes late.
        self.delay.restart();
        self.behind = 0;
        let target_us = self.delay.target_us().clamp(FIRST_DELAY_US, TARGET_MAX_US);
        self.state = State::Filling { until: now + Duration::from_micros(target_us as u64) };
        (self.position, self.play, self.next, self.newest) = (begin, begin, sequence, begin);
        (self.slack_us, self.looked) = (i64::MAX, 0);
    }

    /// How long the packet would have waited, had it been one of the fastest.
    fn look(&mut self, now: Instant, begin: i64, late_us: i64) {
        if self.state != State::Playing {
            return;
        }
        let pulls = (begin - self.play).div_euclid(FRAME);
        let wanted_us = self.due.as_micros() as i64 + pulls * FRAME_US;
        let slack_us = wanted_us - now.as_micros() as i64 + late_us;
        // Half of the evidence is forgotten at a time.
        if self.looked >= 2 * EVIDENCE {
            (self.slack_us, self.looked) = (slack_us, EVIDENCE);
        }
        self.slack_us = self.slack_us.min(slack_us);
        self.looked += 1;
    }

    /// `false`: it was not taken.
    fn keep(&mut self, waiting: Waiting, payload: &[u8]) -> bool {
        let is_media = waiting.duration > 0;
        if matches!(self.state, State::Filling { .. }) && waiting.sequence < self.next {
            // The first to come was not the first to be sent.
            (self.next, self.position) = (waiting.sequence, waiting.begin.min(self.position));
            self.play = self.position;
        }
        if waiting.sequence < self.next || is_media && waiting.end() <= self.position {
            self.counts.late += u64::from(is_media);
            return false;
        }
        while self.store.rival(waiting.sequence).is_some_and(|r| r.sequence < waiting.sequence)
            || !self.store.has_room(payload.len())
        {
            let Some(oldest) = self.store.first().map(|w| w.sequence) else { return false };
            self.store.remove(oldest);
            self.counts.overflow += 1;
        }
        if !self.store.put(waiting, payload) {
            return false;
        }
        if is_media {
            self.counts.taken += 1;
            self.counts.late += u64::from(waiting.begin < self.position);
            self.newest = self.newest.max(waiting.end());
        }
        self.limit();
        is_media
    }

    /// The ceiling: sound that waits beyond it is skipped, down to what the way needs.
    fn limit(&mut self) {
        if self.newest - self.play <= LATENCY_MAX.as_millis() as i64 * TICKS / 1_000 {
            return;
        }
        let kept_us = self.delay.target_us().min(TARGET_MAX_US) + 2 * FRAME_US;
        let from = self.newest - kept_us * TICKS / 1_000_000;
        while let Some(waiting) = self.store.first().filter(|w| w.end() <= from).copied() {
            self.store.remove(waiting.sequence);
            self.next = waiting.sequence + 1;
            self.counts.overflow += u64::from(waiting.duration > 0);
        }
        // Whole packets are skipped.
        let first = self.store.first().map_or(from, |w| w.begin);
        let skipped = (first - self.position).max(0);
        self.position += skipped;
        self.play += skipped;
        (self.slack_us, self.looked) = (i64::MAX, 0);
    }

    /// A pull begins. `false` while nothing is to sound.
    pub fn begin(&mut self, due: Instant) -> bool {
        self.begin_within(due, IDLE)
    }

    /// As [`Jitter::begin`], where a silence of so long is no end.
    pub fn begin_within(&mut self, due: Instant, patience: Duration) -> bool {
        match self.state {
            State::Idle => false,
            State::Filling { until } if due < until => false,
            State::Filling { .. } => {
                self.state = State::Playing;
                true
            }
            State::Playing if self.store.is_empty() && due.since(self.heard_at) >= patience => {
                self.state = State::Idle;
                false
            }
            State::Playing => true,
        }
    }

    /// The pull that was due is over; `left` ticks of sound stay with the owner. In a pause (`quiet`) a delay that is no longer
    /// needed is given back sooner.
    pub fn done(&mut self, due: Instant, left: i64, quiet: bool) {
        self.quiet = quiet;
        self.due = due + Duration::from_millis(FRAME_MS);
        self.play = self.position - left;
    }

    /// The next packet, copied into `out`, or why there is none.
    pub fn take(&mut self, out: &mut [u8]) -> Take {
        while let Some(first) = self.store.first().copied() {
            let follows = first.sequence == self.next;
            if let Some(codec) = first.codec.filter(|_| first.duration == 0) {
                // Comfort noise: from its time on.
                if first.begin > self.position {
                    return Take::Gap { ticks: first.begin - self.position, lost: !follows };
                }
                return self.give(&first, codec, follows, out);
            }
            match first.codec {
                Some(codec) if first.end() > self.position => {
                    let ahead = first.begin - self.position;
                    // Clocks round: what is less than a sample is no gap.
                    if ahead > 6 {
                        return Take::Gap { ticks: ahead, lost: !follows };
                    }
                    return self.give(&first, codec, follows, out);
                }
                _ => {
                    self.store.remove(first.sequence);
                    self.next = first.sequence + 1;
                }
            }
        }
        Take::Empty
    }

    fn give(&mut self, first: &Waiting, codec: Codec, follows: bool, out: &mut [u8]) -> Take {
        let len = self.store.copy(first, out);
        let skip = if first.duration == 0 { 0 } else { (self.position - first.begin).max(0) };
        self.store.remove(first.sequence);
        self.next = first.sequence + 1;
        self.position = self.position.max(first.end());
        Take::Packet { codec, len, skip, follows, sequence: first.rtp_sequence }
    }

    /// Whether a packet waits, whatever its time.
    pub fn has_next(&self) -> bool {
        !self.store.is_empty()
    }

    /// The packet after a gap, without taking it: its codec, duration in ticks and length in `out`.
    pub fn peek(&self, out: &mut [u8]) -> Option<(Codec, i64, usize)> {
        let first = self.store.first()?;
        Some((first.codec?, first.duration, self.store.copy(first, out)))
    }

    /// Sound of so many ticks has been made up, or left out.
    pub fn pass(&mut self, ticks: i64) {
        self.position += ticks;
    }

    /// What is to be done about the delay. After it was done, [`Jitter::adjusted`] is to be called.
    pub fn advice(&self) -> Advice {
        if self.looked < EVIDENCE {
            return Advice::Keep;
        }
        let target_us = self.delay.target_us().min(TARGET_MAX_US);
        if self.slack_us < target_us {
            Advice::Insert
        } else if self.slack_us > target_us + FRAME_US + SURPLUS_US && !self.store.is_empty() {
            Advice::Remove
        } else {
            Advice::Keep
        }
    }

    /// A frame was inserted or removed.
    pub fn adjusted(&mut self, by: Advice) {
        match by {
            Advice::Keep => {}
            // Several frames may be wanted: the next follows from the same evidence.
            Advice::Insert => self.slack_us = self.slack_us.saturating_add(FRAME_US),
            Advice::Remove => (self.slack_us, self.looked) = (i64::MAX, 0),
        }
    }
}
