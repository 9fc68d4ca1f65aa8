//! What is refused while we are late, as cheaply as can be: no transaction, no call, no record (RFC 3261 §8.2.7).
//!
//! A refusal that costs a fifth of a call takes a fifth of what could be completed at twice the rate that we can take. So it is made
//! straight from the request's index; a mark of it stays, so that the same request again gets the same answer and its ACK ends here.

use super::World;
use crate::base::time::{Duration, Instant};
use crate::event::Fact;
use crate::sip::transaction::stateless_tag;
use crate::sip::transport::Flow;
use crate::sip::wire::{HeaderName, Message, Method, Uri, Writer};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Marks kept, eight octets each; a newer one takes an older one's place.
const MARKS: usize = 16_384;
/// For so long a client may repeat what we refused: 64·T1.
const REPEATED_FOR: Duration = Duration::from_secs(32);
const LINE_EACH: Duration = Duration::from_secs(1);
/// Retry-After, seconds, to which up to nine more are added so that not all come back at once. A phone that has been registered stays so
/// for longer than a caller waits.
const INVITE_AFTER_S: u64 = 5;
const REGISTER_AFTER_S: u64 = 30;

/// Requests refused of late.
#[derive(Debug, Default)]
pub struct Refused {
    /// None until the first is refused.
    marks: Vec<u64>,
    last: Option<Instant>,
    /// Since the last line of the log.
    untold: u32,
    told: Option<Instant>,
}

/// Tells a request, its repetitions and its ACK from others.
fn mark_of(request: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    let number = request.cseq().map_or(0, |c| c.number);
    (request.branch(), request.call_id(), request.from_tag(), number).hash(&mut hasher);
    hasher.finish()
}

fn place(mark: u64) -> usize {
    usize::try_from(mark % MARKS as u64).unwrap_or(0)
}

impl Refused {
    /// Whether any repetition or ACK can still come.
    fn is_awake(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.since(last) < REPEATED_FOR)
    }

    fn holds(&self, mark: u64) -> bool {
        self.marks.get(place(mark)) == Some(&mark)
    }

    fn note(&mut self, now: Instant, mark: u64) {
        if self.marks.is_empty() {
            self.marks = vec![0; MARKS];
        }
        if let Some(slot) = self.marks.get_mut(place(mark)) {
            *slot = mark;
        }
        self.last = Some(now);
    }

    /// How many were refused since the last line, if one is due.
    fn line(&mut self, now: Instant) -> Option<u32> {
        self.untold = self.untold.saturating_add(1);
        if self.told.is_some_and(|told| now.since(told) < LINE_EACH) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl World {
    /// Whether a request goes no further because we are late: an INVITE outside any dialog that takes over none (RFC 3891) or a REGISTER, the more of them the later we
    /// are. What keeps alive what there is passes, and emergency calls do. True if it has been answered, or is the ACK to such an answer.
    pub fn sheds(&mut self, flow: Flow, request: &Message) -> bool {
        let (now, limit) = (self.now.mono, self.config.sip.guard.late);
        let (sheds, awake) = (self.load.sheds(now, limit), self.refused.is_awake(now));
        if !sheds && !awake || !request.is_request() {
            return false;
        }
        match request.method() {
            Method::Ack => return awake && self.refused.holds(mark_of(request)),
            Method::Invite if request.to_tag().is_empty() && request.header(HeaderName::Replaces).is_none() => {}
            Method::Register => {}
            _ => return false,
        }
        let mark = mark_of(request);
        if !(awake && self.refused.holds(mark)) {
            if !sheds || self.load.admits(limit, self.ep.rng()) || self.passes(request) {
                return false;
            }
            self.refused.note(now, mark);
        }
        self.refuse_unbooked(flow, request, mark);
        true
    }

    /// What is never refused: a repetition of what we have taken, a call for help, and what has no Via to be answered by.
    fn passes(&self, request: &Message) -> bool {
        let dialled = Uri::parse(request.request_uri());
        dialled.is_some_and(|uri| self.is_emergency(&uri.user_decoded()))
            || request.via().is_none()
            || self.ep.transactions.knows(request)
    }

    fn refuse_unbooked(&mut self, flow: Flow, request: &Message, mark: u64) {
        self.counters.overload_refused += 1;
        let least = if request.method() == Method::Register { REGISTER_AFTER_S } else { INVITE_AFTER_S };
        let writer = Writer::response_to(request, 503, "", &stateless_tag(request), flow.peer);
        let bytes = writer.header(HeaderName::RetryAfter, least + mark % 10).finish();
        self.ep.transactions.send(super::super::inbound::reply_flow(request, flow), bytes);
        if let Some(refused) = self.refused.line(self.now.mono) {
            self.fact(Fact::Overloaded { refused });
        }
    }
}
