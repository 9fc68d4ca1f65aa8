//! Digits by SIP INFO (RFC 6086 §8; the bodies are in no RFC: `application/dtmf-relay` with `Signal=5` and `Duration=160`, and
//! `application/dtmf` with the digit alone). One INFO is under way at a time, so that digits keep their order.

use super::{Asked, Leg, State, body_of as body_in};
use crate::b2bua::endpoint::{Body, Endpoint, MAX_FORWARDS, finish};
use crate::base::time::Now;
use crate::media::command::{DIGIT_MS, DIGITS_MAX, Press};
use crate::sip::auth::Tries;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::wire::{Message, Method};
use bytes::Bytes;
use std::collections::VecDeque;

const RELAY: &str = "application/dtmf-relay";
const PLAIN: &str = "application/dtmf";

/// What is sent and what waits.
#[derive(Debug, Default)]
pub struct Infos {
    /// The one under way, and whether it has answered a challenge.
    under_way: Option<(ClientId, Press, bool)>,
    queue: VecDeque<Press>,
    /// The peer sends `application/dtmf`, and is sent the same.
    plain: bool,
}

/// The digit in an INFO's body, and its duration if that is told.
pub fn digit_of(body: &Body) -> Option<(char, Option<u16>)> {
    let media_type = body.content_type.split(';').next().unwrap_or_default().trim();
    let text = std::str::from_utf8(&body.bytes).ok()?;
    let value = |name: &str| {
        let fields = text.lines().filter_map(|line| line.split_once('='));
        fields.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let is_plain = media_type.eq_ignore_ascii_case(PLAIN);
    if !is_plain && !media_type.eq_ignore_ascii_case(RELAY) {
        return None;
    }
    let signal = value("Signal").or_else(|| is_plain.then(|| text.trim()))?;
    let digit = match signal {
        "10" => '*',
        "11" => '#',
        _ => {
            let mut signs = signal.chars();
            signs.next().filter(|_| signs.next().is_none())?.to_ascii_uppercase()
        }
    };
    let known = digit.is_ascii_digit() || "*#ABCD".contains(digit);
    known.then(|| (digit, value("Duration").and_then(|ms| ms.parse().ok())))
}

/// A body of digits whose signal nobody knows. A hook flash is known, and has no effect here.
pub fn is_unknown_signal(body: &Body) -> bool {
    let media_type = body.content_type.split(';').next().unwrap_or_default().trim();
    let is_of_digits = [PLAIN, RELAY].iter().any(|known| media_type.eq_ignore_ascii_case(known));
    is_of_digits && digit_of(body).is_none() && !is_flash(&body.bytes)
}

/// As phones write it: by name, by its number as an event (RFC 4733 §3.2), by a sign.
fn is_flash(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let fields = text.lines().filter_map(|line| line.split_once('='));
    let signal = fields.filter(|(key, _)| key.trim().eq_ignore_ascii_case("Signal")).map(|(_, value)| value).next();
    let signal = signal.unwrap_or(text).trim();
    ["hf", "flash", "16", "!"].iter().any(|flash| signal.eq_ignore_ascii_case(flash))
}

fn body_of(press: Press, plain: bool) -> Body {
    let (content_type, text) = match plain {
        true => (PLAIN, press.digit.to_string()),
        false => (RELAY, format!("Signal={}\r\nDuration={}\r\n", press.digit, press.duration_ms.max(DIGIT_MS))),
    };
    Body { content_type: content_type.into(), bytes: Bytes::from(text) }
}

impl Leg {
    /// An INFO: its body is the call's affair, unless it says a digit that there is not.
    pub(super) fn on_info(&self, ep: &mut Endpoint, now: Now, id: ServerId, request: &Message) -> Asked {
        let body = body_in(request);
        if body.as_ref().is_some_and(is_unknown_signal) {
            ep.refuse(now.mono, id, 400, "Unknown Signal");
            return Asked::Nothing;
        }
        ep.respond(now.mono, id, 200, "", None, |w| w.finish());
        Asked::Info { body }
    }

    /// The peer has sent an INFO: the digit in it.
    pub fn digit_in_info(&mut self, body: &Body) -> Option<(char, Option<u16>)> {
        let digit = digit_of(body)?;
        self.infos.plain = !body.content_type.to_ascii_lowercase().contains(RELAY);
        Some(digit)
    }

    /// Sends a digit by INFO, after those that wait; false if the dialog cannot carry it or too many wait.
    pub fn info(&mut self, ep: &mut Endpoint, now: Now, press: Press) -> bool {
        if !matches!(self.state, State::Up | State::Answering) || self.infos.queue.len() >= DIGITS_MAX {
            return false;
        }
        self.infos.queue.push_back(press);
        self.next_info(ep, now);
        true
    }

    fn next_info(&mut self, ep: &mut Endpoint, now: Now) {
        if self.infos.under_way.is_none()
            && let Some(press) = self.infos.queue.pop_front()
        {
            self.send_info(ep, now, press, false);
        }
    }

    fn send_info(&mut self, ep: &mut Endpoint, now: Now, press: Press, again: bool) {
        if !matches!(self.state, State::Up | State::Answering) {
            return self.infos.queue.clear();
        }
        let authorization = self.authorization(ep, Method::Info);
        let body = body_of(press, self.infos.plain);
        let id = ep.request(now.mono, &mut self.dialog, Method::Info, MAX_FORWARDS, |mut w| {
            for (name, value) in authorization {
                w = w.header(name, value);
            }
            finish(w, Some(&body))
        });
        self.infos.under_way = Some((id, press, again));
    }

    /// A response to what may be an INFO of ours: a challenge is answered once, any other final one lets the next go.
    pub(super) fn on_info_response(&mut self, ep: &mut Endpoint, now: Now, id: ClientId, response: &Message) {
        if response.status() < 200 {
            return;
        }
        let Some((_, press, again)) = self.infos.under_way.take_if(|(known, ..)| *known == id) else { return };
        let is_challenge = matches!(response.status(), 401 | 407) && !again;
        let digest = self.digest.as_mut().filter(|_| is_challenge);
        if digest.is_some_and(|d| d.client.challenged(response, &mut Tries::default()).is_ok()) {
            self.send_info(ep, now, press, true);
        } else {
            self.next_info(ep, now);
        }
    }

    /// What may be an INFO of ours got no response.
    pub(super) fn on_info_lost(&mut self, ep: &mut Endpoint, now: Now, id: ClientId) {
        if self.infos.under_way.take_if(|(known, ..)| *known == id).is_some() {
            self.next_info(ep, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, text: &str, expected: Option<(char, Option<u16>)>) {
        let body = Body { content_type: content_type.into(), bytes: Bytes::copy_from_slice(text.as_bytes()) };
        assert_eq!(digit_of(&body), expected, "{content_type} {text:?}");
    }

    #[test]
    fn a_signal_that_nobody_knows_is_told_from_digits_a_flash_and_other_bodies() {
        let is_unknown = |content_type: &str, text: &str| {
            is_unknown_signal(&Body {
                content_type: content_type.into(),
                bytes: Bytes::copy_from_slice(text.as_bytes()),
            })
        };
        for text in ["Signal=nothing\r\nDuration=160\r\n", "Signal=\r\n", "Signal=55", "Duration=160", "", "x"] {
            assert!(is_unknown(RELAY, text), "{text:?}");
        }
        assert!(is_unknown(PLAIN, "55") && is_unknown("Application/DTMF-Relay; x=y", "Signal=no"));
        for text in ["Signal=5\r\nDuration=160\r\n", "Signal=hf\r\n", "Signal=16", "signal = !"] {
            assert!(!is_unknown(RELAY, text), "{text:?}");
        }
        assert!(!is_unknown(PLAIN, "flash") && !is_unknown("text/plain", "nothing"));
    }

    #[test]
    fn both_bodies_are_read_as_phones_write_them() {
        check(RELAY, "Signal=5\r\nDuration=160\r\n", Some(('5', Some(160))));
        check(RELAY, "Signal= *\r\nDuration= 250", Some(('*', Some(250))));
        check("Application/DTMF-Relay; x=y", "signal=a\nduration=x", Some(('A', None)));
        check(RELAY, "Duration=100\r\nSignal=11\r\n", Some(('#', Some(100))));
        check(RELAY, "Signal=10", Some(('*', None)));
        check(RELAY, "5", None);
        check(RELAY, "Signal=12", None);
        check(RELAY, "Signal=\r\nDuration=100", None);
        check(RELAY, "Signal=!", None);
        check(PLAIN, "5", Some(('5', None)));
        check(PLAIN, " #\r\n", Some(('#', None)));
        check(PLAIN, "Signal=7\r\nDuration=99999\r\n", Some(('7', None)));
        check(PLAIN, "", None);
        check(PLAIN, "55", None);
        check("text/plain", "5", None);
        for plain in [true, false] {
            let body = body_of(Press { digit: '#', duration_ms: 180 }, plain);
            assert_eq!(digit_of(&body), Some(('#', (!plain).then_some(180))));
        }
    }
}
