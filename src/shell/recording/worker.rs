//! The recorder's thread: what taps copy becomes the bytes of files. It touches no disk.

use super::disk::{Queue, Saved};
use crate::base::time::{Duration, Instant};
use crate::event::RecordingId;
use crate::media::command::TapId;
use crate::media::tap::Frame;
use crate::recording::command::{Event, Order, Start};
use crate::recording::journal::{Begin, Format};
use crate::recording::tape::{Settings, Tape};
use crate::shell::clock::Clock;
use rtrb::Consumer;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// How often rings are emptied while something is recorded. A ring has room for 0.6 s of 500 calls.
const TURN: Duration = Duration::from_millis(40);
/// A portion goes to the disk so often, so that with the time kept open for late packets less than a second is ever in memory.
const PORTION: Duration = Duration::from_millis(480);
/// Recordings at once; more are refused.
const TAPES_MAX: usize = 20_000;

/// What every recording is made with.
pub struct Making {
    pub format: Format,
    /// Name of the key that seals.
    pub key: Option<String>,
}

/// A recording being made.
struct Take {
    start: Start,
    tape: Tape,
    begun: bool,
    quiet_told: bool,
    sent_at: Instant,
}

/// What the thread works with.
pub struct Desk<T> {
    pub making: Making,
    pub orders: Receiver<Order>,
    pub taps: Vec<Consumer<Frame>>,
    pub disk: Queue,
    pub clock: Clock,
    pub tell: T,
}

/// The thread's state.
pub struct Worker<T> {
    desk: Desk<T>,
    places: HashMap<TapId, usize>,
    takes: Vec<Option<Take>>,
    free: Vec<usize>,
}

impl<T: Fn(Event)> Worker<T> {
    pub fn new(desk: Desk<T>) -> Worker<T> {
        Worker { desk, places: HashMap::new(), takes: Vec::new(), free: Vec::new() }
    }

    /// Runs until nobody gives orders any more; then ends what is being made.
    pub fn run(mut self) {
        let mut next = self.desk.clock.mono();
        loop {
            if self.places.is_empty() {
                match self.desk.orders.recv() {
                    Ok(order) => self.order(order),
                    Err(_) => return,
                }
                next = self.desk.clock.mono();
            }
            let patience = (next + TURN).since(self.desk.clock.mono());
            match self.desk.orders.recv_timeout(patience) {
                Ok(order) => self.order(order),
                Err(RecvTimeoutError::Timeout) => {
                    next = self.desk.clock.mono();
                    self.turn(next);
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    /// Carries an order out.
    pub fn order(&mut self, order: Order) {
        match order {
            Order::Start(start) => self.start(*start),
            Order::Pause { tap, at, how } => self.with(tap, |take| take.tape.pause(at, how)),
            Order::Resume { tap, at } => self.with(tap, |take| take.tape.resume(at)),
            Order::Stop { tap, at } => self.with(tap, |take| take.tape.stop(at)),
        }
    }

    fn with(&mut self, tap: TapId, f: impl FnOnce(&mut Take)) {
        let place = self.places.get(&tap).and_then(|place| self.takes.get_mut(*place));
        if let Some(take) = place.and_then(Option::as_mut) {
            f(take);
        }
    }

    fn start(&mut self, start: Start) {
        if self.places.len() >= TAPES_MAX || self.places.contains_key(&start.tap) {
            return (self.desk.tell)(Event::Failed { tap: start.tap, why: "too many recordings" });
        }
        let settings = Settings { format: self.desk.making.format, sides: start.sides, trim: start.trim };
        let tape = Tape::new(settings, start.at.mono, start.id.0 as u32);
        let (tap, sent_at) = (start.tap, start.at.mono);
        let take = Take { start, tape, begun: false, quiet_told: false, sent_at };
        let place = self.free.pop().unwrap_or_else(|| {
            self.takes.push(None);
            self.takes.len() - 1
        });
        if let Some(slot) = self.takes.get_mut(place) {
            *slot = Some(take);
            self.places.insert(tap, place);
        }
    }

    /// Empties the rings, and gives the disk what has come together.
    pub fn turn(&mut self, now: Instant) {
        for ring in &mut self.desk.taps {
            let Ok(frames) = ring.read_chunk(ring.slots()) else { continue };
            let (first, second) = frames.as_slices();
            for frame in first.iter().chain(second) {
                let place = self.places.get(&frame.label.tap).and_then(|place| self.takes.get_mut(*place));
                if let Some(take) = place.and_then(Option::as_mut) {
                    take.tape.take(frame);
                }
            }
            frames.commit_all();
        }
        for place in 0..self.takes.len() {
            let Some(take) = self.takes.get_mut(place).and_then(Option::as_mut) else { continue };
            take.tape.advance(now);
            let quiet = take.start.quiet_after.is_some_and(|after| take.tape.quiet() >= after);
            if quiet && !std::mem::replace(&mut take.quiet_told, true) {
                (self.desk.tell)(Event::Quiet { tap: take.start.tap });
            }
            if take.tape.is_over(now) {
                self.finish(place);
            } else if now.since(take.sent_at) >= PORTION {
                take.sent_at = now;
                hand_over(&self.desk.making, &self.desk.disk, take);
            }
        }
    }

    fn finish(&mut self, place: usize) {
        let Some(mut take) = self.takes.get_mut(place).and_then(Option::take) else { return };
        self.places.remove(&take.start.tap);
        self.free.push(place);
        take.tape.finish();
        hand_over(&self.desk.making, &self.desk.disk, &mut take);
        let summary = take.tape.summary();
        let (id, layout) = (take.start.id, take.tape.layout());
        let samples = take.tape.samples();
        self.desk.disk.end(id, Saved { tap: take.start.tap, layout, samples, summary: Box::new(summary) });
        let Start { tap, .. } = take.start;
        (self.desk.tell)(Event::Stopped { tap, duration: summary.duration, heard: summary.heard });
    }

    /// Nobody is left: what is being made ends now.
    fn end(&mut self) {
        let now = self.desk.clock.mono();
        self.turn(now);
        for place in 0..self.takes.len() {
            if let Some(take) = self.takes.get_mut(place).and_then(Option::as_mut) {
                take.tape.stop(now);
                take.tape.advance(now + crate::recording::tape::HOLD);
                self.finish(place);
            }
        }
    }
}

/// Gives the disk what has come together; the first portion makes the file.
fn hand_over(making: &Making, disk: &Queue, take: &mut Take) {
    let bytes = take.tape.bytes();
    let Some(rate) = take.tape.rate().filter(|_| !bytes.is_empty() || !take.begun) else { return };
    let id: RecordingId = take.start.id;
    if !std::mem::replace(&mut take.begun, true) {
        disk.begin(
            Begin {
                id,
                call: take.start.call,
                started: take.start.at.wall,
                format: making.format,
                channels: take.start.sides.channels(),
                rate,
                key: making.key.clone(),
                conference: take.start.conference,
            },
            take.start.tap,
        );
    }
    disk.portion(id, bytes, take.tape.samples());
}
