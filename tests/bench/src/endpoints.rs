//! A caller and a callee in one thread: many calls through a subject, each message answered at once, every repetition
//! counted. SIPp saturates near 1,250 calls a second; this does not stand in the way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::message::{Message, finish, read, response, sdp};
use crate::socket::{Socket, now_ns, wait};

/// RFC 3261 T1: a message not answered by then is sent again, doubling.
const T1: Duration = Duration::from_millis(500);
/// Repetitions after which a call has failed.
const TRIES: u32 = 6;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Inviting,
    Up,
    Ending,
    Done,
    Failed,
}

/// One call of the caller's.
#[derive(Debug)]
struct Call {
    state: State,
    /// A provisional answer came: INVITE is not sent again (RFC 3261 §17.1.1.2).
    ringing: bool,
    invited_ns: u64,
    ended_ns: u64,
    to: String,
    contact: String,
    routes: Vec<String>,
    media: Option<SocketAddr>,
}

/// What the callee knows of a call, by Call-ID as it sees it.
#[derive(Debug)]
struct Answered {
    call: usize,
    answer: String,
    acknowledged: bool,
    ended: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The caller's request is unanswered.
    Repeat {
        call: usize,
        ending: bool,
        tries: u32,
    },
    /// The callee's 200 is not acknowledged.
    Answer {
        call_id: String,
        tries: u32,
    },
    HangUp {
        call: usize,
    },
}

/// What came of the calls so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub placed: usize,
    pub answered: usize,
    pub completed: usize,
    pub failed: usize,
    /// Of them, those that got 503 with Retry-After.
    pub refused: usize,
    /// From INVITE sent to its final response, nanoseconds: of calls that were answered, and of those refused.
    pub answered_ns: Vec<u64>,
    pub refused_ns: Vec<u64>,
    /// From BYE sent to its answer, nanoseconds; a BYE that was sent twice counts from the first.
    pub ended_ns: Vec<u64>,
    /// Messages that somebody sent twice, the subject or an endpoint.
    pub repeated: usize,
    /// From INVITE sent to INVITE received by the callee, nanoseconds.
    pub post_dial_ns: Vec<u64>,
    /// The first unexpected answer, if any.
    pub complaint: Option<String>,
}

/// Both endpoints.
#[derive(Debug)]
pub struct Endpoints {
    subject: SocketAddr,
    caller_at: SocketAddr,
    callee_at: SocketAddr,
    caller: Socket,
    callee: Socket,
    /// Where each side wants its media.
    media: [SocketAddr; 2],
    /// How each side describes itself: µ-law unless it is set.
    pub describes: [fn(SocketAddr) -> String; 2],
    first: usize,
    calls: Vec<Call>,
    answered: HashMap<String, Answered>,
    far_media: HashMap<usize, SocketAddr>,
    due: BinaryHeap<Reverse<(Instant, Due)>>,
    pub tally: Tally,
}

impl Endpoints {
    /// `media` is where the caller's and the callee's SDP point.
    pub fn new(subject: SocketAddr, caller_at: SocketAddr, callee_at: SocketAddr, media: [SocketAddr; 2]) -> Endpoints {
        let bind = |address| Socket::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        Endpoints {
            subject,
            caller_at,
            callee_at,
            caller: bind(caller_at),
            callee: bind(callee_at),
            media,
            describes: [sdp, sdp],
            first: 0,
            calls: Vec::new(),
            answered: HashMap::new(),
            far_media: HashMap::new(),
            due: BinaryHeap::new(),
            tally: Tally::default(),
        }
    }

    /// Forgets the calls so far. The numbers of calls go on, so that late messages match nothing.
    pub fn clear(&mut self) {
        self.first += self.calls.len();
        self.calls.clear();
        self.answered.clear();
        self.far_media.clear();
        self.due.clear();
        self.tally = Tally::default();
    }

    /// Places `count` calls at `rate` a second, evenly. With `hold` each ends so long after its answer; without, all stay
    /// up. Returns when every call is where it should be, or has failed.
    pub fn run(&mut self, count: usize, rate: f64, hold: Option<Duration>) {
        let begin = Instant::now();
        let from = self.calls.len();
        let target = from + count;
        let mut placed = from;
        while placed < target || !self.settled(hold.is_some()) {
            let due = begin + Duration::from_secs_f64((placed - from) as f64 / rate);
            if placed < target && Instant::now() >= due {
                self.place();
                placed += 1;
            }
            let mut next = if placed < target { due } else { Instant::now() + Duration::from_millis(50) };
            if let Some(Reverse((at, _))) = self.due.peek() {
                next = next.min(*at);
            }
            wait(&[&self.caller, &self.callee], next.saturating_duration_since(Instant::now()));
            self.receive(hold);
            self.expire();
        }
    }

    /// Places calls at `rate` a second for `lead` and then for `window`, each held for `hold`; how many were completed
    /// within the window. What is left over then is ended or given up.
    pub fn run_for(&mut self, rate: f64, lead: Duration, window: Duration, hold: Duration) -> usize {
        let begin = Instant::now();
        let (mut placed, mut before) = (0, None);
        while begin.elapsed() < lead + window {
            while begin.elapsed().as_secs_f64() * rate > placed as f64 {
                self.place();
                placed += 1;
            }
            if begin.elapsed() >= lead {
                before.get_or_insert(self.tally.completed);
            }
            let due = begin + Duration::from_secs_f64((placed + 1) as f64 / rate);
            wait(&[&self.caller, &self.callee], due.saturating_duration_since(Instant::now()));
            self.receive(Some(hold));
            self.expire();
        }
        let completed = self.tally.completed - before.unwrap_or(0);
        while !self.settled(true) {
            wait(&[&self.caller, &self.callee], Duration::from_millis(1));
            self.receive(Some(hold));
            self.expire();
        }
        completed
    }

    /// Ends every call that is up, at `rate` a second.
    pub fn hang_up_all(&mut self, rate: f64) {
        let begin = Instant::now();
        let up: Vec<usize> = (0..self.calls.len()).filter(|i| self.calls[*i].state == State::Up).collect();
        for (place, call) in up.into_iter().enumerate() {
            let at = begin + Duration::from_secs_f64(place as f64 / rate);
            self.due.push(Reverse((at, Due::HangUp { call })));
        }
        while !self.settled(true) {
            wait(&[&self.caller, &self.callee], Duration::from_millis(1));
            self.receive(None);
            self.expire();
        }
    }

    /// For each call that is up: where the caller's media goes, and where the callee's.
    pub fn media(&self) -> Vec<[SocketAddr; 2]> {
        let pair = |(index, call): (usize, &Call)| Some([call.media?, *self.far_media.get(&index)?]);
        self.calls.iter().enumerate().filter(|(_, c)| c.state == State::Up).filter_map(pair).collect()
    }

    /// For each call that is up: where the caller's media goes.
    pub fn near_media(&self) -> Vec<SocketAddr> {
        self.calls.iter().filter(|c| c.state == State::Up).filter_map(|c| c.media).collect()
    }

    fn settled(&self, over: bool) -> bool {
        let gone = self.tally.completed + self.tally.failed;
        let there = if over { 0 } else { self.calls.iter().filter(|c| c.state == State::Up).count() };
        let acknowledged = over || self.answered.values().all(|a| a.acknowledged);
        gone + there >= self.calls.len() && acknowledged
    }

    fn place(&mut self) {
        let index = self.calls.len();
        self.calls.push(Call {
            state: State::Inviting,
            ringing: false,
            invited_ns: now_ns(),
            ended_ns: 0,
            to: String::new(),
            contact: String::new(),
            routes: Vec::new(),
            media: None,
        });
        self.tally.placed += 1;
        self.send_request(index, "INVITE");
        self.repeat_later(index, false, 0);
    }

    fn repeat_later(&mut self, call: usize, ending: bool, tries: u32) {
        self.due.push(Reverse((Instant::now() + T1 * 2u32.pow(tries), Due::Repeat { call, ending, tries })));
    }

    fn send_request(&self, index: usize, method: &str) {
        let (own, subject, number) = (self.caller_at, self.subject, self.first + index);
        let call = &self.calls[index];
        // ACK to a refusal belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
        let refused = method == "ACK" && call.state == State::Failed;
        let opening = method == "INVITE";
        let branch = if refused { "INVITE" } else { method };
        let uri =
            if opening || refused { format!("sip:{}@{subject}", 1_000_000 + number) } else { call.contact.clone() };
        let to = if opening { format!("<sip:{}@{subject}>", 1_000_000 + number) } else { call.to.clone() };
        // ACK to 2xx is a transaction of its own; INVITE and BYE keep their branch when repeated.
        let sequence = if method == "BYE" { 2 } else { 1 };
        let mut head = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK{branch}{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:+12125550123@{own}>;tag=b{number}\r\nTo: {to}\r\nCall-ID: {number}@bench\r\n\
             CSeq: {sequence} {method}\r\nContact: <sip:+12125550123@{own}>\r\n"
        );
        for route in call.routes.iter().rev() {
            head.push_str(&format!("Route: {route}\r\n"));
        }
        let body = if opening { (self.describes[0])(self.media[0]) } else { String::new() };
        self.caller.send(finish(head, &body).as_bytes(), subject);
    }

    fn receive(&mut self, hold: Option<Duration>) {
        let mut buffer = [0; 8192];
        while let Some((length, _, _)) = self.caller.receive(&mut buffer) {
            if let Some(message) = read(&buffer[..length]) {
                self.at_caller(&message, hold);
            }
        }
        while let Some((length, from, stamp)) = self.callee.receive(&mut buffer) {
            if let Some(message) = read(&buffer[..length]) {
                self.at_callee(&message, from.into(), stamp);
            }
        }
    }

    fn at_caller(&mut self, message: &Message<'_>, hold: Option<Duration>) {
        if message.status == 0 {
            // The subject ends or asks something: agreed to, and the tally shows a call that did not complete.
            if message.method != "ACK" {
                let text = response(message, "200 OK", "b", self.caller_at, "");
                self.caller.send(text.as_bytes(), self.subject);
                self.tally
                    .complaint
                    .get_or_insert_with(|| format!("the caller got {} {}", message.method, message.uri));
            }
            return;
        }
        let number = message.call_id.split('@').next().and_then(|n| n.parse::<usize>().ok());
        let Some(index) = number.and_then(|n| n.checked_sub(self.first)) else { return };
        let Some(call) = self.calls.get_mut(index) else { return };
        match (message.method, message.status, call.state) {
            (_, 100..200, _) => call.ringing = true,
            ("INVITE", 200, State::Inviting) => {
                call.state = State::Up;
                call.to = message.to.to_owned();
                call.contact = message.contact.to_owned();
                call.routes = message.record_routes.iter().map(|r| (*r).to_owned()).collect();
                call.media = message.media;
                self.tally.answered += 1;
                self.tally.answered_ns.push(now_ns().saturating_sub(call.invited_ns));
                self.send_request(index, "ACK");
                if let Some(hold) = hold {
                    self.due.push(Reverse((Instant::now() + hold, Due::HangUp { call: index })));
                }
            }
            // A refusal that came again has lost its ACK.
            ("INVITE", 300.., State::Failed) => self.send_request(index, "ACK"),
            ("INVITE", 200, _) => {
                self.tally.repeated += 1;
                self.send_request(index, "ACK");
            }
            ("BYE", 200, State::Ending) => {
                call.state = State::Done;
                self.tally.completed += 1;
                self.tally.ended_ns.push(now_ns().saturating_sub(call.ended_ns));
            }
            (method @ ("INVITE" | "BYE"), status, State::Inviting | State::Ending) => {
                call.state = State::Failed;
                self.tally.failed += 1;
                if method == "INVITE" {
                    call.to = message.to.to_owned();
                    if status == 503 && message.retry_after {
                        self.tally.refused += 1;
                        self.tally.refused_ns.push(now_ns().saturating_sub(call.invited_ns));
                    }
                    self.send_request(index, "ACK");
                }
                self.tally.complaint.get_or_insert_with(|| format!("{} was answered {status}", message.method));
            }
            _ => {}
        }
    }

    fn at_callee(&mut self, message: &Message<'_>, source: SocketAddr, stamp_ns: u64) {
        let known = self.answered.get_mut(message.call_id);
        match (message.method, known) {
            _ if message.status != 0 => {}
            ("INVITE", None) => self.answer(message, source, stamp_ns),
            ("INVITE", Some(answered)) => {
                self.tally.repeated += 1;
                self.callee.send(answered.answer.as_bytes(), source);
            }
            ("ACK", Some(answered)) => answered.acknowledged = true,
            ("BYE", known) => {
                if let Some(answered) = known {
                    self.tally.repeated += usize::from(answered.ended);
                    answered.ended = true;
                    answered.acknowledged = true;
                }
                let text = response(message, "200 OK", "e", self.callee_at, "");
                self.callee.send(text.as_bytes(), source);
            }
            _ => {}
        }
    }

    fn answer(&mut self, invite: &Message<'_>, source: SocketAddr, stamp_ns: u64) {
        let user = invite.uri.trim_start_matches("sip:").split('@').next().unwrap_or("");
        let number = user.trim_start_matches('+').parse::<usize>().ok();
        let index = number.and_then(|n| n.checked_sub(1_000_000 + self.first));
        let Some((index, call)) = index.and_then(|i| Some((i, self.calls.get(i)?))) else { return };
        self.tally.post_dial_ns.push(stamp_ns.saturating_sub(call.invited_ns));
        if let Some(media) = invite.media {
            self.far_media.insert(index, media);
        }
        let tag = format!("e{}", self.first + index);
        let ringing = response(invite, "180 Ringing", &tag, self.callee_at, "");
        let answer = response(invite, "200 OK", &tag, self.callee_at, &(self.describes[1])(self.media[1]));
        self.callee.send(ringing.as_bytes(), source);
        self.callee.send(answer.as_bytes(), source);
        let call_id = invite.call_id.to_owned();
        self.due.push(Reverse((Instant::now() + T1, Due::Answer { call_id: call_id.clone(), tries: 0 })));
        self.answered.insert(call_id, Answered { call: index, answer, acknowledged: false, ended: false });
    }

    fn expire(&mut self) {
        while self.due.peek().is_some_and(|Reverse((at, _))| *at <= Instant::now()) {
            let Some(Reverse((_, due))) = self.due.pop() else { return };
            match due {
                Due::HangUp { call } => {
                    self.calls[call].state = State::Ending;
                    self.calls[call].ended_ns = now_ns();
                    self.send_request(call, "BYE");
                    self.repeat_later(call, true, 0);
                }
                Due::Repeat { call, ending, tries } => self.repeat(call, ending, tries),
                Due::Answer { call_id, tries } => self.repeat_answer(call_id, tries),
            }
        }
    }

    fn repeat(&mut self, index: usize, ending: bool, tries: u32) {
        let waiting = if ending { State::Ending } else { State::Inviting };
        let call = &mut self.calls[index];
        if call.state != waiting {
            return;
        }
        if tries >= TRIES {
            call.state = State::Failed;
            self.tally.failed += 1;
            self.tally.complaint.get_or_insert_with(|| "a request was never answered".to_owned());
            return;
        }
        if ending || !call.ringing {
            self.tally.repeated += 1;
            self.send_request(index, if ending { "BYE" } else { "INVITE" });
        }
        self.repeat_later(index, ending, tries + 1);
    }

    fn repeat_answer(&mut self, call_id: String, tries: u32) {
        let Some(answered) = self.answered.get_mut(&call_id) else { return };
        if answered.acknowledged {
            return;
        }
        if tries >= TRIES {
            answered.acknowledged = true;
            let number = answered.call;
            self.tally.complaint.get_or_insert_with(|| format!("the answer of call {number} was never acknowledged"));
            self.tally.failed += 1;
            return;
        }
        self.tally.repeated += 1;
        // The subject's address is that of the transaction: the callee's answers go where requests came from.
        let text = answered.answer.clone();
        self.callee.send(text.as_bytes(), self.subject);
        self.due.push(Reverse((Instant::now() + T1 * 2u32.pow(tries), Due::Answer { call_id, tries: tries + 1 })));
    }
}
