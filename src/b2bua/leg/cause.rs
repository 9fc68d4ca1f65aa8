//! Why a leg ended, as telephone networks count it: the Q.850 cause in a Reason header (RFC 3326 §2), heard and passed on.

use super::Leg;
use crate::sip::wire::{HeaderName, Message};

/// The Q.850 cause that a message gives: 1 to 127; `None` where it gives none.
pub fn q850(message: &Message) -> Option<u8> {
    let causes = message.headers(HeaderName::Reason).filter_map(|value| {
        let mut parts = value.split(';').map(str::trim_ascii);
        let is_q850 = parts.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case("Q.850"));
        let mut cause = parts.filter_map(|part| part.split_once('='));
        let cause = cause.find(|(name, _)| name.trim_ascii().eq_ignore_ascii_case("cause"));
        cause.filter(|_| is_q850)?.1.trim_ascii().parse().ok()
    });
    causes.into_iter().find(|cause| (1..=127).contains(cause))
}

impl Leg {
    /// Keeps the cause that the peer's BYE, CANCEL or refusal gives.
    pub fn hear_cause(&mut self, message: &Message) {
        self.cause_heard = q850(message).or(self.cause_heard);
    }

    /// The cause that the peer has given.
    pub const fn cause(&self) -> Option<u8> {
        self.cause_heard
    }

    /// What the peer is told when its leg ends: the other side's cause.
    pub const fn tell_cause(&mut self, cause: Option<u8>) {
        self.cause_told = cause;
    }

    /// Values of Reason for what ends the leg: `own`, and the other side's cause unless we say so ourselves.
    pub(super) fn reasons(&self, own: String) -> String {
        match self.cause_told {
            Some(cause) if own.is_empty() => format!("Q.850;cause={cause}"),
            _ => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn the_first_cause_of_q850_counts() {
        let rows = [
            ("Reason: Q.850;cause=17;text=\"user busy\"", Some(17)),
            ("Reason: SIP;cause=200;text=\"x\", q.850 ; Cause = 31", Some(31)),
            ("Reason: SIP;cause=486", None),
            ("Reason: Q.850;cause=0", None),
            ("Reason: Q.850;cause=999", None),
            ("Reason: Q.850", None),
            ("Subject: Q.850;cause=17", None),
        ];
        for (line, want) in rows {
            let text = format!(
                "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
                 Call-ID: c\r\nCSeq: 1 BYE\r\n{line}\r\nContent-Length: 0\r\n\r\n"
            );
            let message = Message::parse(Bytes::from(text)).map_err(|(fault, _)| fault).unwrap();
            assert_eq!(q850(&message), want, "{line}");
        }
    }
}
