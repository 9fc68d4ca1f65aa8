//! The control thread: one loop that owns the switch, the UDP sockets and the time.
//!
//! A turn: wait → hand over what came, one input at a time, and drain the outputs of each → tick if the deadline has come →
//! send what was collected, a batch a socket. It does its own UDP input and output: waking another thread costs more than
//! reading a message does.

use super::api::metrics::Sample;
use super::capture::Capture;
use super::clock::Clock;
use super::ledger::Ledger;
use super::mail::{Answer, Ask, Mailbox, Report};
use super::net::{Epoll, Flushed, Inbox, Streams, Udp, stun};
use super::outside::Outside;
use crate::base::time::{Duration, Instant, Now};
use crate::event::Fact;
use crate::media::command as media;
use crate::recording::command as recording;
use crate::sip::transport::{Flow, Transport};
use crate::switch::{Counters, Input, Output, Switch};
use bytes::Bytes;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use tokio::sync::oneshot;

#[cfg(test)]
pub mod tests;

/// The switch, or what stands for it in a test.
pub trait Core {
    fn handle(&mut self, now: Now, input: Input);
    fn poll(&mut self) -> Option<Output>;
    fn deadline(&self) -> Option<(Instant, &'static str)>;
    fn counters(&self) -> &Counters;
    fn is_drained(&self) -> bool;
}

impl Core for Switch {
    fn handle(&mut self, now: Now, input: Input) {
        Switch::handle(self, now, input);
    }
    fn poll(&mut self) -> Option<Output> {
        Switch::poll(self)
    }
    fn deadline(&self) -> Option<(Instant, &'static str)> {
        Switch::deadline(self)
    }
    fn counters(&self) -> &Counters {
        Switch::counters(self)
    }
    fn is_drained(&self) -> bool {
        Switch::is_drained(self)
    }
}

/// The media threads as the control thread sees them; nothing here waits.
pub trait Media {
    fn command(&mut self, command: media::Command);
    /// When [`Media::turn`] has something to do.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    /// Called at the end of each turn.
    fn turn(&mut self, now: Instant) {
        let _ = now;
    }
    /// For the recorder, if there is one.
    fn record(&mut self, order: recording::Order) {
        let _ = order;
    }
    fn event(&mut self) -> Option<media::Event>;
    /// Readable when events wait.
    fn fd(&self) -> Option<RawFd>;
    /// Called before the events are drained.
    fn clear(&mut self);
    /// Figures for `/metrics`.
    fn figures(&self) -> Vec<Sample> {
        Vec::new()
    }
}

/// Datagrams of one socket a turn, in batches of [`Inbox::BATCH`]; the others and the timers get their turn in between.
const BATCHES_MAX: usize = 8;
/// Messages of streams and media events a turn, each.
const MAIL_MAX: usize = 256;

/// Deadlines are met at most so late: those that lie close together share one turn. Most are the ends of transactions
/// (timers J, K and L, three a call), which nobody waits for; SIP's shortest repetition is 500 ms.
const SLACK_US: u64 = 10_000;

/// Commands and the answers to them a turn.
const MEDIA_ROUNDS_MAX: usize = 4;

const WAKE: u64 = u64::MAX;
const MEDIA: u64 = u64::MAX - 1;

/// The loop's state; [`Control::run`] is the thread.
pub struct Control<C, M> {
    core: C,
    media: M,
    clock: Clock,
    epoll: Epoll,
    inbox: Inbox,
    udp: Vec<Udp>,
    /// Each socket: is it registered for writing?
    blocked: Vec<bool>,
    streams: Streams,
    mailbox: Mailbox,
    ledger: Ledger,
    outside: Outside,
    capture: Capture,
    asks: HashMap<u64, oneshot::Sender<Answer>>,
    ask_last: u64,
    /// Flows that failed while outputs were performed; the next turn's first inputs.
    failed: Vec<Flow>,
    /// Answers to orders that could not be taken, likewise.
    refused: Vec<Input>,
    peers: Vec<SocketAddr>,
    commanded: bool,
    /// A queue was longer than a turn's share: come back without waiting.
    again: bool,
    /// Since when a turn has always left mail waiting, which does not say when it came.
    behind: Option<Instant>,
    /// How long the oldest datagram of the batch that was read last had waited, in ms, until it is told.
    waited_ms: u64,
    /// What the core was told of it, in ms.
    late_ms: u64,
    report: Report,
}

/// Everything that the loop is made of.
pub struct Parts<C, M> {
    pub core: C,
    pub media: M,
    pub clock: Clock,
    pub udp: Vec<Udp>,
    pub streams: Streams,
    pub mailbox: Mailbox,
    pub ledger: Ledger,
    pub outside: Outside,
    pub capture: Capture,
}

/// The next whole multiple of the slack.
fn slackened(at: Instant) -> Instant {
    Instant::from_micros(at.as_micros().div_ceil(SLACK_US).saturating_mul(SLACK_US))
}

impl<C: Core, M: Media> Control<C, M> {
    pub fn new(parts: Parts<C, M>) -> std::io::Result<Self> {
        let Parts { core, media, clock, udp, streams, mailbox, ledger, outside, capture } = parts;
        let epoll = Epoll::new(udp.len() + 2)?;
        for (i, socket) in udp.iter().enumerate() {
            epoll.add(socket.fd(), i as u64)?;
        }
        epoll.add_waker(&mailbox.waker, WAKE)?;
        if let Some(fd) = media.fd() {
            epoll.add(fd, MEDIA)?;
        }
        let blocked = vec![false; udp.len()];
        let (inbox, asks, report) = (Inbox::default(), HashMap::new(), Report::default());
        let (failed, refused, peers) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Control {
            core,
            media,
            clock,
            epoll,
            inbox,
            udp,
            blocked,
            streams,
            mailbox,
            ledger,
            outside,
            capture,
            asks,
            ask_last: 0,
            failed,
            refused,
            peers,
            commanded: false,
            again: false,
            behind: None,
            waited_ms: 0,
            late_ms: 0,
            report,
        })
    }

    /// Turns until the switch is drained or [`super::mail::Mail::stop`] is called. An error is the system's: epoll refused.
    pub fn run(&mut self) -> std::io::Result<()> {
        while !self.core.is_drained() && !self.mailbox.is_stopped() {
            self.epoll.wait(self.patience())?;
            self.turn();
        }
        self.ledger.flush();
        Ok(())
    }

    /// Hands the collected facts over; for the end after a panic.
    pub fn rescue(&mut self) {
        self.ledger.flush();
    }

    fn patience(&self) -> Option<Duration> {
        let now = self.clock.mono();
        if self.again || !self.failed.is_empty() || !self.refused.is_empty() {
            return Some(Duration::ZERO);
        }
        let core = self.core.deadline().map(|(at, _)| slackened(at));
        let next = core.into_iter().chain(self.ledger.deadline()).chain(self.media.deadline());
        let next = next.chain(self.capture.deadline()).min();
        next.map(|at| at.since(now))
    }

    fn turn(&mut self) {
        let begin = self.clock.mono();
        if self.again || self.behind.is_some() {
            self.tell_lateness(begin);
        }
        for flow in std::mem::take(&mut self.failed) {
            self.hand(Input::FlowFailed { flow });
        }
        for answer in std::mem::take(&mut self.refused) {
            self.hand(answer);
        }
        if std::mem::take(&mut self.again) {
            self.open_mail();
            self.hear_media();
        }
        for i in 0..self.epoll.len() {
            let Some(ready) = self.epoll.get(i) else { break };
            match ready.token {
                WAKE => self.open_mail(),
                MEDIA => self.hear_media(),
                socket => {
                    let socket = usize::try_from(socket).unwrap_or(usize::MAX);
                    if ready.error {
                        self.hear_refusals(socket);
                    }
                    self.receive(socket);
                }
            }
        }
        if let Some((_, reason)) = self.core.deadline().filter(|(at, _)| *at <= self.clock.mono()) {
            self.count_deadline(reason);
            self.hand(Input::Tick);
        }
        self.command_media();
        self.send();
        let now = self.clock.mono();
        self.ledger.turn(now);
        self.capture.turn(now);
        self.media.turn(now);
        self.behind = self.again.then(|| self.behind.unwrap_or(begin));
        self.account(begin);
    }

    /// While no turn takes all of the mail, its queue grows by the time that passes; so long, the next one will have waited.
    fn tell_lateness(&mut self, now: Instant) {
        let behind = self.behind.map_or(0, |since| u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX));
        let late_ms = behind.max(std::mem::take(&mut self.waited_ms));
        if late_ms != self.late_ms || late_ms > 0 {
            self.late_ms = late_ms;
            self.hand(Input::Late { by: Duration::from_millis(late_ms) });
        }
    }

    fn account(&mut self, begin: Instant) {
        let us = u64::try_from(self.clock.mono().since(begin).as_micros()).unwrap_or(u64::MAX);
        self.report.turns += 1;
        self.report.busy_us += us;
        self.report.turn_us_max = self.report.turn_us_max.max(us);
    }

    fn count_deadline(&mut self, reason: &'static str) {
        match self.report.deadlines.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, n)) => *n += 1,
            None => self.report.deadlines.push((reason, 1)),
        }
    }

    /// One input, and all that comes of it.
    fn hand(&mut self, input: Input) {
        let now = self.clock.now();
        if !self.capture.is_on() {
            self.core.handle(now, input);
            while let Some(output) = self.core.poll() {
                self.perform(output);
            }
            return;
        }
        if let Input::Received { flow, bytes } = &input {
            self.watch(now, false, *flow, bytes);
        }
        self.core.handle(now, input);
        while let Some(output) = self.core.poll() {
            match &output {
                Output::Send { flow, bytes } => self.watch(now, true, *flow, bytes),
                Output::Leg { call, call_id } => self.capture.leg(*call, call_id),
                Output::Fact(Fact::CallEnded(record)) => self.capture.ended(record.cdr.call, now.mono),
                _ => {}
            }
            self.perform(output);
        }
        self.capture.settle(now.mono);
    }

    /// A message passes by the capture.
    fn watch(&mut self, now: Now, is_sent: bool, flow: Flow, bytes: &Bytes) {
        let connected = if flow.transport == Transport::Udp { None } else { self.streams.local(flow) };
        self.capture.pass(now, is_sent, flow, connected, bytes);
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send { flow, bytes } if flow.transport == Transport::Udp => {
                match self.udp.iter_mut().find(|u| u.id() == flow.listener) {
                    Some(socket) => socket.queue(bytes, flow.peer),
                    None => crate::bug!("a message for listener {:?}, which is not bound", flow.listener),
                }
            }
            Output::Send { flow, bytes } => {
                if !self.streams.send(flow, bytes) {
                    self.failed.push(flow);
                }
            }
            Output::Close { flow } => self.streams.close(flow),
            Output::Media(command) => {
                self.commanded = true;
                self.media.command(command);
            }
            Output::Record(order) => self.media.record(order),
            Output::Web(order) => self.refused.extend(self.outside.web(order)),
            Output::Speech(order) => self.refused.extend(self.outside.speech(order)),
            Output::Resolve(query) => self.refused.extend(self.outside.resolve(query)),
            Output::Leg { .. } => {}
            Output::Identity(order) => self.refused.extend(self.outside.identity(order)),
            Output::Fact(fact) => self.ledger.note(fact, self.clock.mono()),
            Output::Reply { id, reply } => {
                // One who asked and went away needs no answer.
                let _ = self.asks.remove(&id).map(|asked| asked.send(Answer::Reply(reply)));
            }
        }
    }

    /// A turn's share of a socket's datagrams.
    fn receive(&mut self, socket: usize) {
        for _ in 0..BATCHES_MAX {
            let Some(udp) = self.udp.get(socket) else { return };
            let (id, n) = match self.inbox.receive(udp) {
                Ok(n) => (udp.id(), n),
                Err(error) => return tracing::error!(%error, local = %udp.local(), "could not receive"),
            };
            let now = self.clock.now();
            // The wall clock may step: that is forgotten with the next batch.
            let waited_us = self.inbox.arrived().map_or(0, |at| now.wall.as_micros() - at.as_micros());
            self.waited_ms = u64::try_from(waited_us).unwrap_or(0) / 1_000;
            self.tell_lateness(now.mono);
            for i in 0..n {
                let Some((bytes, peer)) = self.inbox.datagram(i) else { continue };
                self.report.datagrams_received += 1;
                if stun::is_stun(&bytes) {
                    if let (Some(answer), Some(udp)) = (stun::answer(&bytes, peer), self.udp.get_mut(socket)) {
                        udp.queue(answer, peer);
                    }
                    continue;
                }
                let flow = Flow { listener: id, transport: Transport::Udp, peer, connection: 0 };
                self.hand(Input::Received { flow, bytes });
            }
            if n < Inbox::BATCH {
                return;
            }
        }
    }

    fn hear_refusals(&mut self, socket: usize) {
        let Some(udp) = self.udp.get(socket) else { return };
        self.peers.clear();
        udp.refusals(&mut self.peers);
        let listener = udp.id();
        self.fail_peers(listener);
    }

    fn fail_peers(&mut self, listener: crate::sip::transport::ListenerId) {
        self.report.datagrams_refused += self.peers.len() as u64;
        let flows = self.peers.drain(..).map(|peer| Flow { listener, transport: Transport::Udp, peer, connection: 0 });
        self.failed.extend(flows);
    }

    fn send(&mut self) {
        for i in 0..self.udp.len() {
            let udp = &mut self.udp[i];
            let blocked = udp.flush(&mut self.peers) == Flushed::Blocked;
            if blocked != self.blocked[i] && self.epoll.want_write(udp.fd(), i as u64, blocked).is_ok() {
                self.blocked[i] = blocked;
            }
            if !self.peers.is_empty() {
                let listener = udp.id();
                self.fail_peers(listener);
            }
        }
    }

    fn hear_media(&mut self) {
        self.media.clear();
        self.hear_events();
    }

    /// A turn's share of what the media threads tell; the next turn goes on with the rest, of which nobody wakes us.
    fn hear_events(&mut self) {
        for _ in 0..MAIL_MAX {
            let Some(event) = self.media.event() else { return };
            self.hand(Input::Media(event));
        }
        self.again = true;
    }

    /// Lets the media threads go on, and hears what they answer at once: a leg's port is known before the turn ends, so
    /// that an INVITE leaves in the turn in which another came.
    fn command_media(&mut self) {
        for _ in 0..MEDIA_ROUNDS_MAX {
            if !std::mem::take(&mut self.commanded) {
                return;
            }
            self.hear_events();
        }
        // Commands upon answers upon commands: the next turn goes on with them.
        self.again = true;
    }

    fn open_mail(&mut self) {
        self.mailbox.waker.hear();
        while let Ok(calls) = self.mailbox.stored.try_recv() {
            calls.into_iter().for_each(|call| self.hand(Input::Stored { call }));
        }
        while let Ok((ask, answer)) = self.mailbox.asks.try_recv() {
            self.answer(ask, answer);
        }
        for _ in 0..MAIL_MAX {
            let Ok(input) = self.mailbox.streams.try_recv() else { return };
            self.hand(input);
        }
        self.again = true;
    }

    fn answer(&mut self, ask: Ask, answer: oneshot::Sender<Answer>) {
        match ask {
            Ask::Operator(ask) => {
                self.ask_last += 1;
                self.asks.insert(self.ask_last, answer);
                self.hand(Input::Operator { id: self.ask_last, ask });
            }
            Ask::Capture(call) => {
                let _ = answer.send(Answer::Capture(self.capture.of(call)));
            }
            Ask::Report => {
                self.report.counters = self.core.counters().clone();
                self.report.late_ms = self.late_ms;
                self.report.is_drained = self.core.is_drained();
                self.report.datagrams_dropped = self.udp.iter().map(Udp::dropped).sum();
                self.report.datagrams_waiting = self.udp.iter().map(|u| u.backlog() as u64).sum();
                (self.report.facts_waiting, self.report.facts_dropped) = self.ledger.waiting();
                self.report.media = self.media.figures();
                self.report.media.extend(self.outside.figures());
                self.report.media.extend(self.capture.figures());
                let _ = answer.send(Answer::Report(Box::new(self.report.clone())));
            }
        }
    }
}
