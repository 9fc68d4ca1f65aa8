//! How a trunk's calls fare: the share that is answered (ASR), their mean length (ACD), the delay until it rings (PDD) and the mean
//! opinion score (MOS) over a window; a trunk that fares badly is taken out for a while, and then measured anew.
//!
//! ```text
//!            below a threshold, with enough samples                   rest is over
//!   in ─────────────────────────────────────────────────► out ──────────────────────► on trial
//!    ▲                                                      ▲  rest, twice as long         │
//!    │            enough samples, none below                └──────────────────────────────┤ below
//!    └─────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use crate::base::time::{Duration, Instant};
use crate::config::{Health, Quality};
use std::collections::VecDeque;

/// Calls remembered of each kind.
const SAMPLES_MAX: usize = 2_000;
/// A trunk stays out so long at most.
const REST_MAX: Duration = Duration::from_secs(86_400);

struct Tried {
    at: Instant,
    answered: bool,
    /// Until it rang or was answered.
    rang: Option<Duration>,
}

struct Ended {
    at: Instant,
    talked: Duration,
    mos: Option<f32>,
}

/// Of the window: how many calls each figure is of, and the figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub tried: u32,
    pub asr_percent: Option<f32>,
    pub pdd: Option<Duration>,
    pub ended: u32,
    pub acd: Option<Duration>,
    pub mos: Option<f32>,
    scored: u32,
    rang: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    In,
    Out { until: Instant },
    Trial,
}

/// What a sample has changed.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    Out {
        why: String,
        rest: Duration,
    },
    /// It may be called again, on trial.
    Back,
}

pub struct Measured {
    config: Health,
    tried: VecDeque<Tried>,
    ended: VecDeque<Ended>,
    state: State,
    why: String,
    /// How often in a row it was taken out.
    times: u32,
}

impl Measured {
    pub fn new(config: &Health) -> Measured {
        let (tried, ended) = (VecDeque::new(), VecDeque::new());
        Measured { config: config.clone(), tried, ended, state: State::In, why: String::new(), times: 0 }
    }

    /// New thresholds; what was measured stays. One without any is in.
    pub fn reload(&mut self, config: &Health) {
        self.config = config.clone();
        if config.quality == Quality::NONE {
            (self.state, self.times) = (State::In, 0);
        }
    }

    /// A call to it was answered, or not.
    pub fn tried(&mut self, now: Instant, answered: bool, rang: Option<Duration>) -> Option<Change> {
        self.tried.push_back(Tried { at: now, answered, rang });
        self.judge(now)
    }

    /// An answered call has ended.
    pub fn ended(&mut self, now: Instant, talked: Duration, mos: Option<f32>) -> Option<Change> {
        self.ended.push_back(Ended { at: now, talked, mos });
        self.judge(now)
    }

    /// Its rest is over.
    pub fn on_rest_over(&mut self, now: Instant) -> Option<Change> {
        let State::Out { until } = self.state else { return None };
        if until > now {
            return None;
        }
        self.state = State::Trial;
        self.tried.clear();
        self.ended.clear();
        Some(Change::Back)
    }

    /// Why it is out, if it is.
    pub fn out(&self) -> Option<&str> {
        matches!(self.state, State::Out { .. }).then_some(self.why.as_str())
    }

    /// Where it stands, in a word: "in", "out", "trial".
    pub const fn state(&self) -> &'static str {
        match self.state {
            State::In => "in",
            State::Out { .. } => "out",
            State::Trial => "trial",
        }
    }

    fn judge(&mut self, now: Instant) -> Option<Change> {
        self.forget(now);
        if matches!(self.state, State::Out { .. }) {
            return None;
        }
        if self.config.quality == Quality::NONE && self.state == State::In {
            return None;
        }
        let samples = self.config.samples;
        let figures = self.figures(now);
        if let Some(why) = figures.below(&self.config.quality, samples) {
            let rest = self.config.rest.saturating_mul(1 << self.times.min(16)).min(REST_MAX.max(self.config.rest));
            self.times = self.times.saturating_add(1);
            self.state = State::Out { until: now + rest };
            self.why.clone_from(&why);
            return Some(Change::Out { why, rest });
        }
        if self.state == State::Trial && figures.tried >= samples {
            (self.state, self.times) = (State::In, 0);
        }
        None
    }

    fn forget(&mut self, now: Instant) {
        let window = self.config.window;
        let is_old = |at: Instant| now.since(at) > window;
        while self.tried.front().is_some_and(|t| is_old(t.at)) || self.tried.len() > SAMPLES_MAX {
            self.tried.pop_front();
        }
        while self.ended.front().is_some_and(|e| is_old(e.at)) || self.ended.len() > SAMPLES_MAX {
            self.ended.pop_front();
        }
    }

    pub fn figures(&self, now: Instant) -> Figures {
        let within = |at: Instant| now.since(at) <= self.config.window;
        let (mut f, mut answered, mut rang_us, mut talked_us, mut score) =
            (Figures::default(), 0u32, 0u128, 0u128, 0.0);
        for t in self.tried.iter().filter(|t| within(t.at)) {
            f.tried += 1;
            answered += u32::from(t.answered);
            if let Some(rang) = t.rang {
                f.rang += 1;
                rang_us += rang.as_micros();
            }
        }
        for e in self.ended.iter().filter(|e| within(e.at)) {
            f.ended += 1;
            talked_us += e.talked.as_micros();
            if let Some(mos) = e.mos {
                f.scored += 1;
                score += mos;
            }
        }
        let mean = |us: u128, n: u32| {
            let us = us.checked_div(u128::from(n))?;
            u64::try_from(us).ok().map(Duration::from_micros)
        };
        f.asr_percent = (f.tried > 0).then(|| answered as f32 * 100.0 / f.tried as f32);
        f.pdd = mean(rang_us, f.rang);
        f.acd = mean(talked_us, f.ended);
        f.mos = (f.scored > 0).then(|| score / f.scored as f32);
        f
    }

    /// What falls short of `asked`, if its samples are enough.
    pub fn below(&self, now: Instant, asked: &Quality) -> Option<String> {
        // Nothing is counted for each call that nobody asks for.
        if *asked == Quality::NONE {
            return None;
        }
        self.figures(now).below(asked, self.config.samples)
    }
}

impl Figures {
    fn below(&self, asked: &Quality, samples: u32) -> Option<String> {
        let least = |n: u32, what: &str, is_asked: bool, is_below: bool, shown: String| {
            (is_asked && n >= samples && is_below).then(|| format!("{what} {shown} of {n} calls"))
        };
        let (asr, mos) = (self.asr_percent.unwrap_or(100.0), self.mos.unwrap_or(5.0));
        let (acd, pdd) = (self.acd.unwrap_or_default(), self.pdd.unwrap_or_default());
        let seconds = |d: Duration| format!("{:.1} s", d.as_secs_f64());
        least(self.tried, "ASR", asked.asr > 0, asr < asked.asr as f32, format!("{asr:.0} %"))
            .or_else(|| least(self.rang, "PDD", !asked.pdd.is_zero(), pdd > asked.pdd, seconds(pdd)))
            .or_else(|| least(self.ended, "ACD", !asked.acd.is_zero(), acd < asked.acd, seconds(acd)))
            .or_else(|| least(self.scored, "MOS", asked.mos > 0, mos < asked.mos as f32 / 100.0, format!("{mos:.1}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn health(asr: u32, acd: u64, pdd: u64, mos: u32) -> Measured {
        let quality = Quality { asr, acd: S(acd), pdd: S(pdd), mos };
        Measured::new(&Health { window: S(600), samples: 4, quality, rest: S(60) })
    }

    fn at(s: u64) -> Instant {
        Instant::ZERO + S(1_000 + s)
    }

    #[test]
    fn each_figure_takes_a_trunk_out_and_only_with_enough_samples() {
        type Feed = fn(&mut Measured, u64) -> Option<Change>;
        let rows: [(Measured, Feed, &str); 5] = [
            (health(50, 0, 0, 0), |m, s| m.tried(at(s), s == 0, Some(S(1))), "ASR 25 % of 4 calls"),
            (health(0, 0, 3, 0), |m, s| m.tried(at(s), true, Some(S(4))), "PDD 4.0 s of 4 calls"),
            (health(0, 9, 0, 0), |m, s| m.ended(at(s), S(5), None), "ACD 5.0 s of 4 calls"),
            (health(0, 0, 0, 310), |m, s| m.ended(at(s), S(5), Some(3.0)), "MOS 3.0 of 4 calls"),
            (health(0, 0, 0, 0), |m, s| m.tried(at(s), false, None), ""),
        ];
        for (mut measured, feed, want) in rows {
            let changes: Vec<Option<Change>> = (0..4).map(|s| feed(&mut measured, s)).collect();
            assert!(changes.iter().take(3).all(Option::is_none), "{want}");
            let why = changes.into_iter().flatten().next();
            let out = Change::Out { why: want.to_owned(), rest: S(60) };
            assert_eq!(why, (!want.is_empty()).then_some(out));
            assert_eq!(measured.out(), (!want.is_empty()).then_some(want));
        }
    }

    #[test]
    fn it_returns_on_trial_and_rests_longer_if_it_fails_again() {
        let mut m = health(50, 0, 0, 0);
        let fail = |m: &mut Measured, s: u64| (0..4).filter_map(|i| m.tried(at(s + i), false, None)).next();
        for (begin, rest) in [(0, 60), (100, 120), (300, 240)] {
            assert!(matches!(fail(&mut m, begin), Some(Change::Out { rest: r, .. }) if r == S(rest)), "{begin}");
            assert_eq!(m.on_rest_over(at(begin + rest)), None);
            assert_eq!((m.state(), m.on_rest_over(at(begin + 3 + rest))), ("out", Some(Change::Back)));
            assert_eq!((m.state(), m.figures(at(begin + 3 + rest)).tried), ("trial", 0));
        }
        // Enough good calls end the trial, and the next rest is a first one.
        (0..4).for_each(|i| assert_eq!(m.tried(at(600 + i), true, None), None));
        assert_eq!(m.state(), "in");
        let out = (0..9).filter_map(|i| m.tried(at(700 + i), false, None)).next();
        assert!(matches!(out, Some(Change::Out { rest, .. }) if rest == S(60)), "{out:?}");
    }

    #[test]
    fn the_window_and_the_memory_are_bounded() {
        let mut m = health(0, 0, 0, 0);
        (0..5_000).for_each(|i| {
            m.tried(at(i / 100), true, None);
            m.ended(at(i / 100), S(1), None);
        });
        assert_eq!((m.tried.len(), m.ended.len()), (SAMPLES_MAX, SAMPLES_MAX));
        assert_eq!(m.figures(at(10_000)), Figures::default());
        m.tried(at(10_000), true, Some(S(2)));
        let f = m.figures(at(10_000));
        assert_eq!((f.tried, f.asr_percent, f.pdd, f.acd), (1, Some(100.0), Some(S(2)), None));
    }
}
