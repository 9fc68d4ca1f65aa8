//! Digits between the parties of a call: each is told once however it came, and passed on in the way that the other party has.
//!
//! | from \ to | RFC 4733 | in-band | INFO |
//! |---|---|---|---|
//! | RFC 4733 | relayed | tones of ours | INFO |
//! | in-band | taken out of the sound; events of ours | passes in the sound | taken out; INFO |
//! | INFO | events of ours | tones of ours | INFO |

use super::call::Call;
use super::io::Output;
use super::world::{CallTimer, World};
use crate::b2bua::endpoint::Body;
use crate::b2bua::leg::Peer;
use crate::base::time::{Duration, Instant};
use crate::config::Dtmf;
use crate::event::{Side, What};
use crate::media::command::{Command, DIGIT_MS, Method, Press, Tones};
use std::collections::VecDeque;

/// What stands for a digit on the timeline: it may be of a PIN or a card.
const REDACTED: char = '•';
/// The same digit that comes by another method within so long is the same press of the key.
const SAME: Duration = Duration::from_millis(300);
/// Presses that are remembered for that.
const PRESSES_MAX: usize = 16;

/// A call's digits.
#[derive(Debug, Default)]
pub struct Digits {
    latest: VecDeque<Pressed>,
    /// By INFO, of legs that may send the same as events: they wait whether those come.
    waiting: Vec<(u8, Press)>,
}

/// One press of a key, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Pressed {
    leg: u8,
    digit: char,
    begin: Instant,
    end: Instant,
    /// By which methods it came: bit n is the n-th.
    methods: u8,
}

impl Digits {
    /// Whether a digit has been told already, by another method.
    fn is_again(&mut self, new: Pressed) -> bool {
        let same = |p: &&mut Pressed| {
            let meets = p.begin <= new.end + SAME && new.begin <= p.end + SAME;
            (p.leg, p.digit) == (new.leg, new.digit) && p.methods & new.methods == 0 && meets
        };
        if let Some(known) = self.latest.iter_mut().find(same) {
            known.methods |= new.methods;
            return true;
        }
        self.latest.truncate(PRESSES_MAX - 1);
        self.latest.push_front(new);
        false
    }
}

impl World {
    /// How digits are exchanged with a peer.
    pub fn dtmf(&self, peer: &Peer) -> Dtmf {
        match peer {
            Peer::Trunk(name) => self.trunks.get(name).map(|t| t.dtmf),
            Peer::User(name) => self.user(name).map(|u| u.dtmf),
            Peer::Uri(_) => None,
        }
        .unwrap_or_default()
    }
}

impl Call {
    /// A leg's peer has sent an INFO; it has its 200.
    pub fn on_info(&mut self, w: &mut World, index: u8, body: &Body) {
        let leg = self.legs.get_mut(usize::from(index));
        if let Some((digit, duration_ms)) = leg.and_then(|leg| leg.digit_in_info(body)) {
            self.on_digit(w, index, Press { digit, duration_ms: duration_ms.unwrap_or(DIGIT_MS) }, Method::Info);
        }
    }

    /// A leg's digit has come to its end.
    pub fn on_digit(&mut self, w: &mut World, index: u8, press: Press, method: Method) {
        let session = self.legs.get(usize::from(index)).map(|leg| &leg.session);
        let is_sealed = session.is_some_and(|session| session.is_sealed());
        // Of a sealed leg all that may be a tone is silenced; who has events does not enter anything by tones.
        if is_sealed && method == Method::Inband && session.is_some_and(|session| session.has_events()) {
            return;
        }
        let end = w.now.mono;
        let lasted = Duration::from_millis(u64::from(press.duration_ms));
        let begin = Instant::from_micros(end.as_micros().saturating_sub(lasted.as_micros() as u64));
        let methods = 1 << method as u8;
        if self.digits.is_again(Pressed { leg: index, digit: press.digit, begin, end, methods }) {
            let before = self.digits.waiting.len();
            self.digits.waiting.retain(|(leg, p)| (*leg, p.digit) != (index, press.digit));
            let text = if self.digits.waiting.len() < before { "the digit came by INFO too" } else { "the same digit" };
            return self.note(w, Side::Leg(index), What::Note(format!("{text}, now by {}", method.as_str()).into()));
        }
        let how = match self.partner(index).filter(|_| !is_sealed) {
            Some(other) => self.pass_digit(w, (index, other), press, method),
            None => self.pass_to_linked(w, press, method),
        };
        let text = format!("{REDACTED} by {}{how}", method.as_str());
        self.note(w, Side::Leg(index), What::Digit(text.into()));
        if self.on_assisted_key(w, index, press.digit) {
            return;
        }
        if index == 0 {
            self.on_message_digit(w, press.digit);
        }
        if index == self.front {
            self.on_key(w, press.digit);
        }
        if index == 0 && press.digit == '*' {
            self.on_star(w);
            self.star_ends_link(w);
            self.star_in_conference(w);
        }
    }

    /// Passes a digit on to the leg that hears it; how.
    fn pass_digit(&mut self, w: &mut World, (from, to): (u8, u8), press: Press, method: Method) -> &'static str {
        let (Some(source), Some(target)) = (self.legs.get(usize::from(from)), self.legs.get(usize::from(to))) else {
            return "";
        };
        let out = if self.direct { Some(Method::Info) } else { target.session.digits_out() };
        match (method, out) {
            (_, None) => ", and cannot be passed on",
            (Method::Rfc4733, Some(Method::Rfc4733)) => ", relayed",
            (Method::Inband, Some(Method::Inband)) => ", passed in the sound",
            (Method::Info, Some(Method::Rfc4733)) if source.session.has_events() => {
                self.digits.waiting.push((from, press));
                self.digits.waiting.truncate(PRESSES_MAX);
                self.set_timer(w, CallTimer::Digits(from), SAME);
                ", passed on as RFC 4733 unless it comes as that too"
            }
            (_, Some(out)) => self.send_digit(w, to, press, out),
        }
    }

    pub fn send_digit(&mut self, w: &mut World, to: u8, press: Press, out: Method) -> &'static str {
        if out == Method::Info {
            let sent = self.with_leg(w, to, |leg, ep, now| leg.info(ep, now, press));
            return if sent == Some(true) { ", passed on by INFO" } else { ", and cannot be passed on" };
        }
        let Some(leg) = self.legs.get(usize::from(to)).and_then(|l| l.session.media()) else { return "" };
        w.output(Output::Media(Command::Digits { leg, digits: [press].into() }));
        if out == Method::Rfc4733 { ", passed on as RFC 4733" } else { ", passed on as a tone" }
    }

    /// What came by INFO has not come as an event as well.
    pub fn on_digits_due(&mut self, w: &mut World, index: u8) {
        let waiting = std::mem::take(&mut self.digits.waiting);
        let (due, later) = waiting.into_iter().partition(|(leg, _)| *leg == index);
        self.digits.waiting = later;
        let Some(to) = self.partner(index) else { return };
        let due: Vec<(u8, Press)> = due;
        for (_, press) in due {
            self.send_digit(w, to, press, Method::Rfc4733);
        }
    }

    /// Tones of either leg are looked for where the other gets its digits in another way.
    pub fn match_digits(&mut self, a: u8, b: u8) {
        for (from, to) in [(a, b), (b, a)] {
            let Some(target) = self.legs.get(usize::from(to)) else { continue };
            let wanted = tones_for(target.session.digits_out());
            if self.assisted.as_ref().is_some_and(|payment| payment.leg() == from) {
                continue;
            }
            if let Some(leg) = self.legs.get_mut(usize::from(from)) {
                if leg.session.is_sealed() {
                    self.digits.waiting.retain(|(leg, _)| *leg != from);
                }
                leg.session.want_tones(wanted);
            }
        }
    }
}

/// What becomes of tones that go to a peer which gets its digits so.
pub const fn tones_for(out: Option<Method>) -> Tones {
    match out {
        Some(Method::Rfc4733 | Method::Info) => Tones::Taken,
        Some(Method::Inband) | None => Tones::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Presses of one key as (end in ms, duration in ms, method); which of them are told.
    #[track_caller]
    fn check(presses: &[(u64, u64, Method)], expected: &[bool]) {
        let mut digits = Digits::default();
        let at = |ms: u64| Instant::from_micros((10_000 + ms) * 1_000);
        let told = presses.iter().map(|(end, lasted, method)| {
            let (begin, end, methods) = (at(end - lasted), at(*end), 1 << *method as u8);
            !digits.is_again(Pressed { leg: 0, digit: '5', begin, end, methods })
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_press_is_one_digit_whatever_the_mix_of_methods() {
        use Method::{Inband, Info, Rfc4733};
        check(&[(100, 100, Rfc4733), (120, 100, Inband), (150, 100, Info)], &[true, false, false]);
        // INFO when the key is pressed, the event when it is let go.
        check(&[(100, 100, Info), (3_000, 2_900, Rfc4733)], &[true, false]);
        check(&[(100, 100, Info), (3_000, 100, Rfc4733)], &[true, true]);
        // Twice the same key, by two methods each.
        check(
            &[(100, 100, Info), (110, 100, Rfc4733), (260, 100, Info), (280, 100, Rfc4733)],
            &[true, false, true, false],
        );
        check(&[(100, 100, Rfc4733), (260, 100, Rfc4733), (420, 100, Rfc4733)], &[true, true, true]);
        check(&[(100, 60, Info), (500, 60, Rfc4733), (520, 60, Info)], &[true, true, false]);
    }
}
