//! Hunting: which targets are tried when, and what all the tries amount to (after RFC 3261 §16.7).
//!
//! A hunt has stages, one after the other; a stage has tracks, all at once; a track has attempts, one after the other, the next
//! one only when the one before failed in a way that says nothing about the called party (no answer from the far system, 408, 5xx).

use crate::verb::Outcome;
use std::collections::VecDeque;

#[derive(Debug)]
pub struct Track<A> {
    attempts: VecDeque<A>,
    /// The leg that runs the current attempt.
    leg: Option<u8>,
}

impl<A> Track<A> {
    pub fn new(attempts: impl IntoIterator<Item = A>) -> Self {
        Track { attempts: attempts.into_iter().collect(), leg: None }
    }
}

impl<A> Track<A> {
    pub fn attempts_mut(&mut self) -> impl Iterator<Item = &mut A> {
        self.attempts.iter_mut()
    }
}

/// A hunt over attempts of the kind `A`.
#[derive(Debug)]
pub struct Hunt<A> {
    stages: VecDeque<Vec<Track<A>>>,
    tracks: Vec<Track<A>>,
    rang_out: bool,
    busy: bool,
    /// The refusal that says most: a 6xx, else the lowest class, the later of two.
    refusal: Option<(u16, String)>,
}

impl<A> Hunt<A> {
    pub fn new(stages: impl IntoIterator<Item = Vec<Track<A>>>) -> Self {
        Hunt { stages: stages.into_iter().collect(), tracks: Vec::new(), rang_out: false, busy: false, refusal: None }
    }

    /// Goes on to the next stage that has an attempt; false if there is none.
    pub fn next_stage(&mut self) -> bool {
        while let Some(tracks) = self.stages.pop_front() {
            if tracks.iter().any(|t| !t.attempts.is_empty()) {
                self.tracks = tracks;
                return true;
            }
        }
        self.tracks.clear();
        false
    }

    /// The next attempt to start now, for the leg number `leg`; `None` if every track of the stage is busy or done.
    pub fn next_attempt(&mut self, leg: u8) -> Option<A> {
        let track = self.tracks.iter_mut().find(|t| t.leg.is_none() && !t.attempts.is_empty())?;
        track.leg = Some(leg);
        track.attempts.pop_front()
    }

    /// An attempt ended without an answer. Returns true if its track goes on with another attempt.
    pub fn refused(&mut self, leg: u8, status: u16, reason: &str) -> bool {
        let Some(track) = self.tracks.iter_mut().find(|t| t.leg == Some(leg)) else { return false };
        track.leg = None;
        self.busy = status == 600 || (self.busy || status == 486) && status < 600;
        if !fails_over(status) {
            track.attempts.clear();
        }
        if self.refusal.as_ref().is_none_or(|(known, _)| rank(status) <= rank(*known)) {
            self.refusal = Some((status, reason.to_owned()));
        }
        if status >= 600 {
            // §16.7 (5): nobody else is to be disturbed. The owner ends the legs that still ring.
            self.stages.clear();
            self.tracks.clear();
            return false;
        }
        !self.tracks.iter().all(|t| t.attempts.is_empty() || t.leg.is_some())
    }

    /// Somebody has named others to be called now, beside those of the stage that still ring.
    pub fn add(&mut self, tracks: Vec<Track<A>>) {
        self.tracks.retain(|t| t.leg.is_some() || !t.attempts.is_empty());
        self.tracks.extend(tracks);
    }

    /// More attempts follow the one that `leg` runs.
    pub fn has_alternative(&self, leg: u8) -> bool {
        self.tracks.iter().any(|t| t.leg == Some(leg) && !t.attempts.is_empty())
    }

    /// The stage has rung long enough: nothing more of it is tried.
    pub fn ring_out(&mut self) {
        self.rang_out = true;
        self.tracks.clear();
    }

    /// Nothing of the stage runs or is left to try.
    pub fn is_stage_over(&self) -> bool {
        self.tracks.iter().all(|t| t.leg.is_none() && t.attempts.is_empty())
    }

    /// Several legs may ring at once.
    pub fn is_parallel(&self) -> bool {
        self.tracks.len() > 1
    }

    pub fn runs(&self, leg: u8) -> bool {
        self.tracks.iter().any(|t| t.leg == Some(leg))
    }

    /// There was no attempt that could have failed.
    pub fn tried_nothing(&self) -> bool {
        self.refusal.is_none() && !self.rang_out
    }

    /// What it amounts to when every stage is over: outcome, the status to refuse the caller with, and its phrase.
    pub fn outcome(&self) -> (Outcome, u16, &str) {
        if self.rang_out {
            return (Outcome::NoAnswer, 480, "");
        }
        if self.busy {
            return (Outcome::Busy, 486, "");
        }
        match &self.refusal {
            // Challenges and far systems that are down are between us and them, not the caller's.
            Some((401 | 407 | 503, _)) => (Outcome::Failed, 503, ""),
            Some((408, _)) => (Outcome::Failed, 504, ""),
            Some((300..=399 | 487, _)) => (Outcome::Failed, 480, ""),
            Some((480, reason)) => (Outcome::NoAnswer, 480, reason),
            Some((status, reason)) => (Outcome::Failed, *status, reason),
            None => (Outcome::Failed, 480, ""),
        }
    }
}

/// The far system or the flow to the phone (430, RFC 5626 §11.5) failed, the called party said nothing: another way may do better.
fn fails_over(status: u16) -> bool {
    matches!(status, 408 | 430) || (500..600).contains(&status)
}

fn rank(status: u16) -> u16 {
    match status / 100 {
        6 => 0,
        4 => 1,
        3 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunt(stages: &[&[&[&'static str]]]) -> Hunt<&'static str> {
        Hunt::new(stages.iter().map(|tracks| tracks.iter().map(|t| Track::new(t.iter().copied())).collect()))
    }

    #[test]
    fn a_track_fails_over_on_5xx_and_408_but_not_on_busy() {
        let mut h = hunt(&[&[&["t1", "t2", "t3"]]]);
        assert!(h.next_stage());
        assert_eq!(h.next_attempt(1), Some("t1"));
        assert_eq!(h.next_attempt(2), None);
        assert!(h.refused(1, 503, ""));
        assert_eq!(h.next_attempt(2), Some("t2"));
        assert!(h.refused(2, 408, "") && h.next_attempt(3) == Some("t3"));
        assert!(!h.refused(3, 486, "Busy Here"));
        assert!(h.is_stage_over() && !h.next_stage());
        assert_eq!(h.outcome(), (Outcome::Busy, 486, ""));
    }

    #[test]
    fn simultaneous_tracks_all_start_and_a_6xx_ends_all() {
        let mut h = hunt(&[&[&["a"], &["b"]], &[&["c"]]]);
        assert!(h.next_stage());
        assert_eq!((h.next_attempt(1), h.next_attempt(2), h.next_attempt(3)), (Some("a"), Some("b"), None));
        assert!(!h.refused(1, 404, "") && !h.is_stage_over());
        assert!(!h.refused(2, 603, "Decline"));
        assert!(h.is_stage_over() && !h.next_stage());
        assert_eq!(h.outcome(), (Outcome::Failed, 603, "Decline"));
    }

    #[test]
    fn a_stage_that_rang_out_gives_no_answer_after_the_last_one() {
        let mut h = hunt(&[&[&["a"]], &[&[]], &[&["b"]]]);
        assert!(h.next_stage() && h.next_attempt(1) == Some("a"));
        h.ring_out();
        assert!(h.is_stage_over() && h.next_stage() && h.next_attempt(2) == Some("b"));
        h.refused(2, 404, "");
        assert_eq!(h.outcome().0, Outcome::NoAnswer);
    }

    #[test]
    fn nothing_to_try_is_a_failure() {
        let mut h = hunt(&[]);
        assert!(!h.next_stage());
        assert_eq!(h.outcome(), (Outcome::Failed, 480, ""));
    }
}
