//! A model of what gathers must make of the keys that one caller presses: a line of keys, taken from its front, by one gather after
//! the other. Each is delivered at most once, in order, and none is lost while the call lives.

use std::collections::VecDeque;
use std::fmt;
use tandem::base::time::{Duration, Instant};

/// A Gather of a document, as the application wrote it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: u32,
    pub digits: Option<usize>,
    pub finish: Option<char>,
    pub timeout: Duration,
    pub on_empty: bool,
}

/// How the document that runs may end: by what one of its gathers brings, or by what stands behind them.
#[derive(Clone, Debug, Default)]
pub struct Running {
    pub gathers: VecDeque<Asked>,
    /// The document ends in a redirect to this, if at all.
    pub redirect: Option<u32>,
    pub since: Instant,
}

/// The keys of one call, how many of them gathers have had, and what it waits for.
pub struct Keys {
    line: Vec<(char, Instant)>,
    last: Instant,
    /// Where the next gather may begin in the line. That is not always to be seen: a gather that brought nothing is over by its time, or
    /// by the key that ends it.
    begins: Vec<usize>,
    /// `None` while an answer is awaited, or where none came.
    pub running: Option<Running>,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { line: Vec::new(), last: Instant::ZERO, begins: vec![0], running: None }
    }
}

impl Keys {
    pub fn pressed(&mut self, now: Instant, key: char) {
        self.line.push((key, now));
        self.last = now;
    }

    /// The application is told what a gather brought.
    pub fn told(&mut self, now: Instant, id: u32, digits: &str, finished: &str) -> Result<(), String> {
        let Some(running) = self.running.take() else {
            return Err(format!("gather {id} brings something, and no document runs"));
        };
        let Some(at) = running.gathers.iter().position(|asked| asked.id == id) else {
            return Err(format!("gather {id} brings something, and does not stand in the document that runs"));
        };
        let (asked, before) = (&running.gathers[at], running.gathers.iter().take(at));
        let from = before.fold(self.begins.clone(), |from, asked| self.passed(&from, asked, &running));
        let quiet = now.since(self.last.max(running.since));
        let mut why = "what stands before it was passed by, and keys wait for that";
        let took = |begin: &usize| match self.take(*begin, quiet, asked, digits, finished) {
            Ok(taken) => Some(begin + taken),
            Err(what) => {
                why = what;
                None
            }
        };
        let to: Vec<usize> = from.iter().filter_map(took).collect();
        if to.is_empty() {
            return Err(format!("gather {id} ({asked:?}): {why}; {digits:?} and {finished:?} of {self}"));
        }
        self.begins = to;
        Ok(())
    }

    /// How many keys a gather takes that begins with this one of the line.
    fn take(
        &self,
        begin: usize,
        quiet: Duration,
        asked: &Asked,
        digits: &str,
        finished: &str,
    ) -> Result<usize, &'static str> {
        let mut line = self.line.iter().skip(begin).map(|(key, _)| *key);
        for digit in digits.chars() {
            if line.next() != Some(digit) {
                return Err("a key that was not pressed, or not then");
            }
            if asked.finish == Some(digit) {
                return Err("the key that ends it is a part of it");
            }
        }
        let next = line.next();
        let is_full = asked.digits == Some(digits.len());
        match (finished.chars().next(), is_full) {
            _ if asked.digits.is_some_and(|most| digits.len() > most) => Err("more than it asked for"),
            (None, true) => Ok(digits.len()),
            (Some(key), false) if asked.finish == Some(key) && next == Some(key) => Ok(digits.len() + 1),
            (Some(_), _) => Err("ended by a key that does not end it"),
            (None, false) if next.is_some() => Err("keys were pressed that it has not got"),
            (None, false) if quiet < asked.timeout => Err("its time is not over"),
            (None, false) if digits.is_empty() && !asked.on_empty => Err("told of nothing, which nobody wants to know"),
            (None, false) => Ok(digits.len()),
        }
    }

    /// A gather was over without anything to tell: nothing was pressed in its time, or the key that ends it alone.
    fn passed(&self, from: &[usize], asked: &Asked, running: &Running) -> Vec<usize> {
        if asked.on_empty {
            return Vec::new();
        }
        let mut to = Vec::new();
        for begin in from {
            let before = begin.checked_sub(1).and_then(|n| self.line.get(n)).map_or(running.since, |(_, at)| *at);
            let next = self.line.get(*begin);
            if next.is_none_or(|(_, at)| at.since(before.max(running.since)) >= asked.timeout) {
                to.push(*begin);
            }
            if next.is_some_and(|(key, _)| asked.finish == Some(*key)) {
                to.push(begin + 1);
            }
        }
        to.sort_unstable();
        to.dedup();
        to
    }

    /// The document's redirect is followed: all its gathers were passed by, and no key waits but behind one that ended the last.
    pub fn went_on(&mut self, document: u32) -> Result<(), String> {
        let running = self.running.take().unwrap_or_default();
        if running.redirect != Some(document) {
            return Err(format!("the redirect behind document {document} is followed; what runs: {running:?}"));
        }
        let Some(last) = running.gathers.back() else { return Ok(()) };
        let before = running.gathers.iter().take(running.gathers.len() - 1);
        let from = before.fold(self.begins.clone(), |from, asked| self.passed(&from, asked, &running));
        let is_end =
            |n: usize| last.finish.is_some() && self.line.get(n).is_some_and(|(key, _)| last.finish == Some(*key));
        let ended = from.iter().filter(|n| is_end(**n)).map(|n| n + 1);
        let timed_out = from.iter().filter(|n| **n == self.line.len()).copied();
        let to: Vec<usize> = ended.chain(timed_out).collect();
        if to.is_empty() || last.on_empty {
            return Err(format!("a redirect is followed, and keys wait: {self}; what ran: {running:?}"));
        }
        self.begins = to;
        Ok(())
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: String = self.line.iter().map(|(key, _)| *key).collect();
        write!(f, "{all:?} from {:?} on", self.begins)
    }
}

#[test]
fn a_key_that_is_lost_told_twice_or_in_another_order_is_noticed() {
    let at = |s: u64| Instant::from_micros(s * 1_000_000);
    let rows: [(&str, &str, &str, u64, bool); 12] = [
        ("12", "12", "", 9, true),
        ("1", "1", "", 9, true),
        ("1#", "1", "#", 1, true),
        ("123", "12", "", 1, true),
        ("12", "21", "", 9, false),
        ("12", "2", "", 9, false),
        ("12", "1", "", 9, false),
        ("1", "11", "", 9, false),
        ("1", "1", "", 2, false),
        ("1", "1", "#", 9, false),
        ("1#", "1#", "", 9, false),
        ("", "", "", 9, false),
    ];
    for (pressed, digits, finished, now, is_good) in rows {
        let asked =
            Asked { id: 1, digits: Some(2), finish: Some('#'), timeout: Duration::from_secs(3), on_empty: false };
        let running = Running { gathers: [asked].into(), redirect: None, since: at(0) };
        let mut keys = Keys { running: Some(running), ..Keys::default() };
        pressed.chars().for_each(|key| keys.pressed(at(1), key));
        assert_eq!(keys.told(at(now), 1, digits, finished).is_ok(), is_good, "{pressed} {digits} {finished}");
        assert!(keys.told(at(20), 1, digits, finished).is_err(), "told twice");
    }
}
