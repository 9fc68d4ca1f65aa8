//! INVITE client transaction: RFC 3261 §17.1.1 with RFC 6026 §8.4 (figure 5 there).
//!
//! ```text
//!   Calling ──1xx──► Proceeding ──300–699, ACK──► Completed ──D──► Terminated
//!      │ A: INVITE again   │ C: CANCEL                │ 300–699: ACK again
//!      │ B: Timeout        └──2xx──► Accepted ──M─────┴─────────► Terminated
//!      └────────2xx──────────────────►┘ each 2xx to the user
//! ```
//!
//! Beyond the RFC's figure: timer C bounds Proceeding, and after a CANCEL the final response is waited for 64·T1 (§9.1).

use super::timer::{Clock, Timer};
use super::{Client, Context, Event, build};
use crate::base::time::{Duration, Instant};
use crate::sip::transport::Flow;
use crate::sip::wire::Message;
use bytes::Bytes;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// How far the cancelling has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cancel {
    No,
    /// No provisional response yet: the CANCEL may not be sent before one (§9.1).
    Wanted,
    Sent,
    /// Sent because timer C ran out: a 487 is then our own doing, and reported as `Timeout`.
    Expired,
}

#[derive(Debug)]
pub(super) struct ClientInvite {
    state: State,
    cancel: Cancel,
    /// A 101–199 has come.
    rang: bool,
    clock: Clock,
    reliable: bool,
    /// Timer C's length.
    proceeding_max: Duration,
    /// The INVITE until a final response has come, then the ACK to it; empty once accepted.
    sent: Bytes,
    /// Reason header of the CANCEL to come; "" if none.
    reason: Box<str>,
}

impl ClientInvite {
    /// `bytes`, the INVITE, has just been sent.
    pub fn new(now: Instant, reliable: bool, proceeding_max: Duration, bytes: Bytes) -> Self {
        let mut clock = Clock::default();
        clock.start_again(now, Timer::A, reliable);
        let _ = clock.start_limit(now, Timer::B, reliable);
        let (state, cancel) = (State::Calling, Cancel::No);
        ClientInvite { state, cancel, rang: false, clock, reliable, proceeding_max, sent: bytes, reason: "".into() }
    }

    pub fn next(&self) -> Option<(Instant, Timer)> {
        self.clock.next()
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Accepted: it only waits for a 2xx of another fork.
    pub fn lingers(&self) -> bool {
        self.state == State::Accepted
    }

    /// A final response has come.
    pub fn is_answered(&self) -> bool {
        !matches!(self.state, State::Calling | State::Proceeding)
    }

    /// The INVITE, while it may still be sent by another way.
    pub fn request(&self) -> Option<Bytes> {
        (!self.is_answered() && self.cancel == Cancel::No).then(|| self.sent.clone())
    }

    pub fn proceeding_max(&self) -> Duration {
        self.proceeding_max
    }

    /// Not even a 100 has come.
    pub fn is_unheard(&self) -> bool {
        self.state == State::Calling
    }

    /// Returns the CANCEL to start, if one has waited for this response.
    pub fn handle_response(&mut self, cx: &mut Context<'_, Client>, response: Message, flow: Flow) -> Option<Bytes> {
        match (self.state, response.status()) {
            (State::Calling | State::Proceeding, 100..=199) => return self.provisional(cx, response, flow),
            (State::Calling | State::Proceeding, 200..=299) => self.accept(cx, response, flow),
            (State::Calling | State::Proceeding, 300..=699) => self.refuse(cx, response, flow),
            (State::Accepted, 200..=299) => cx.event(Event::Response { id: cx.id, response, flow }),
            (State::Completed, 300..=699) => cx.transmit(self.sent.clone()),
            // A fork answered after the INVITE was refused: the user can still end that call.
            (State::Completed, 200..=299) => cx.event(Event::StrayResponse { response, flow }),
            _ => {}
        }
        None
    }

    /// Returns the CANCEL to start, if timer C has run out.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_, Client>) -> Option<Bytes> {
        match self.clock.take_due(cx.now)? {
            Timer::A => cx.transmit(self.sent.clone()),
            Timer::C => return self.send_cancel(cx.now, Cancel::Expired),
            Timer::B | Timer::Cancelled => {
                cx.event(Event::Timeout { id: cx.id, rang: self.rang });
                self.state = State::Terminated;
            }
            _ => self.state = State::Terminated,
        }
        None
    }

    pub fn handle_flow_failed(&mut self, cx: &mut Context<'_, Client>) {
        if !self.is_answered() {
            cx.event(Event::Failed { id: cx.id });
            self.state = State::Terminated;
        }
    }

    /// Returns the CANCEL to start, unless it must wait or has been sent.
    pub fn cancel(&mut self, now: Instant, reason: &str) -> Option<Bytes> {
        if self.cancel != Cancel::No || self.is_answered() {
            return None;
        }
        self.reason = reason.into();
        if self.state == State::Calling {
            self.cancel = Cancel::Wanted;
            return None;
        }
        self.send_cancel(now, Cancel::Sent)
    }

    fn provisional(&mut self, cx: &mut Context<'_, Client>, response: Message, flow: Flow) -> Option<Bytes> {
        let first = self.state == State::Calling;
        self.state = State::Proceeding;
        self.rang |= response.status() > 100;
        self.clock.stop_again();
        if (first || response.status() > 100) && matches!(self.cancel, Cancel::No | Cancel::Wanted) {
            self.clock.start_limit_of(cx.now, Timer::C, self.proceeding_max);
        }
        cx.event(Event::Response { id: cx.id, response, flow });
        if self.cancel == Cancel::Wanted { self.send_cancel(cx.now, Cancel::Sent) } else { None }
    }

    fn accept(&mut self, cx: &mut Context<'_, Client>, response: Message, flow: Flow) {
        self.state = State::Accepted;
        self.sent = Bytes::new();
        self.clock.stop_again();
        let _ = self.clock.start_limit(cx.now, Timer::M, self.reliable);
        cx.event(Event::Response { id: cx.id, response, flow });
    }

    fn refuse(&mut self, cx: &mut Context<'_, Client>, response: Message, flow: Flow) {
        self.clock.stop_again();
        if let Ok(invite) = Message::parse(self.sent.clone()) {
            self.sent = build::ack(&invite, &response);
            cx.transmit(self.sent.clone());
        }
        let lingers = self.clock.start_limit(cx.now, Timer::D, self.reliable);
        self.state = if lingers { State::Completed } else { State::Terminated };
        if self.cancel == Cancel::Expired && response.status() == 487 {
            cx.event(Event::Timeout { id: cx.id, rang: self.rang });
        } else {
            cx.event(Event::Response { id: cx.id, response, flow });
        }
    }

    fn send_cancel(&mut self, now: Instant, why: Cancel) -> Option<Bytes> {
        self.cancel = why;
        let _ = self.clock.start_limit(now, Timer::Cancelled, self.reliable);
        let invite = Message::parse(self.sent.clone()).ok()?;
        Some(build::cancel(&invite, &self.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bench::{Bench, check, our_request, parse};
    use super::super::{Limits, Output};
    use crate::base::time::Duration;
    use crate::sip::transport::Transport::{Tcp, Udp};
    use crate::sip::wire::HeaderName;

    const TO_B: &str = "500 tx INVITE, 1500 tx INVITE, 3500 tx INVITE, 7500 tx INVITE, 15500 tx INVITE, 31500 tx INVITE, \
                        32000 Timeout, 32000 ClientEnded";

    #[test]
    fn without_an_answer_timer_a_doubles_and_timer_b_ends() {
        check(Udp, &[("send INVITE", "tx INVITE"), ("run 60000", TO_B)]);
        check(Tcp, &[("send INVITE", "tx INVITE"), ("run 60000", "32000 Timeout, 32000 ClientEnded")]);
    }

    #[test]
    fn a_provisional_stops_retransmission_and_timer_c_bounds_the_ringing() {
        check(
            Udp,
            &[
                ("send INVITE", "tx INVITE"),
                ("run 600", "500 tx INVITE"),
                ("< 100", "Response 100"),
                ("run 100000", ""),
                ("< 180", "Response 180"),
                ("run 150000", ""),
                // Not restarted by 100.
                ("< 100", "Response 100"),
                ("run 280500", "280000 tx CANCEL, 280500 tx CANCEL"),
                ("< 200 CANCEL", ""),
                // Our own doing: the user hears of the timeout, once.
                ("< 487", "tx ACK, Timeout rang"),
                ("< 487", "tx ACK"),
                ("run 400000", "312500 ClientEnded"),
            ],
        );
        let to_nobody: &[(&str, &str)] = &[
            ("send INVITE", "tx INVITE"),
            ("< 180", "Response 180"),
            ("run 400000", "180000 tx CANCEL, 212000 Timeout rang, 212000 ClientEnded"),
        ];
        check(Tcp, to_nobody);
        let to_a_silent_proxy: &[(&str, &str)] = &[
            ("send INVITE", "tx INVITE"),
            ("< 100", "Response 100"),
            ("run 400000", "180000 tx CANCEL, 212000 Timeout, 212000 ClientEnded"),
        ];
        check(Tcp, to_a_silent_proxy);
        let late_answer: &[(&str, &str)] = &[
            ("send INVITE", "tx INVITE"),
            ("< 180", "Response 180"),
            ("run 180000", "180000 tx CANCEL"),
            ("< 200", "Response 200"),
        ];
        check(Tcp, late_answer);
    }

    #[test]
    fn the_ringing_limit_can_be_set() {
        let limits = Limits { proceeding_max: Duration::from_secs(20), ..Limits::default() };
        let mut bench = Bench::new(Tcp, limits);
        assert_eq!(bench.step("send INVITE"), "tx INVITE");
        assert_eq!(bench.step("< 183"), "Response 183");
        assert_eq!(bench.step("run 20000"), "20000 tx CANCEL");
    }

    #[test]
    fn a_refusal_is_acknowledged_each_time_and_passed_once() {
        check(
            Udp,
            &[
                ("send INVITE", "tx INVITE"),
                ("< 486", "tx ACK, Response 486"),
                ("run 500", ""),
                ("< 486", "tx ACK"),
                ("< 180", ""),
                ("< 200", "Stray 200"),
                ("run 60000", "32000 ClientEnded"),
                ("< 486", "Stray 486"),
            ],
        );
        check(
            Tcp,
            &[("send INVITE", "tx INVITE"), ("< 486", "tx ACK, Response 486, ClientEnded"), ("< 486", "Stray 486")],
        );
    }

    #[test]
    fn each_2xx_is_passed_for_64_t1_and_stray_afterwards() {
        for transport in [Udp, Tcp] {
            check(
                transport,
                &[
                    ("send INVITE", "tx INVITE"),
                    ("< 180", "Response 180"),
                    ("< 200", "Response 200"),
                    ("run 500", ""),
                    ("< 200", "Response 200"),
                    ("< 202", "Response 202"),
                    ("< 180", ""),
                    ("< 486", ""),
                    ("run 60000", "32000 ClientEnded"),
                    ("< 200", "Stray 200"),
                ],
            );
        }
    }

    #[test]
    fn cancel_waits_for_a_provisional_and_then_for_a_final() {
        check(
            Udp,
            &[
                ("send INVITE", "tx INVITE"),
                ("cancel", ""),
                ("run 500", "500 tx INVITE"),
                ("< 100", "Response 100, tx CANCEL"),
                ("cancel", ""),
                ("run 1100", "1000 tx CANCEL"),
                ("< 200 CANCEL", ""),
                ("< 180", "Response 180"),
                ("< 487", "tx ACK, Response 487"),
                // CANCEL's own transaction ends in silence.
                ("run 60000", "33100 ClientEnded"),
            ],
        );
        check(Udp, &[("send INVITE", "tx INVITE"), ("cancel", ""), ("run 60000", TO_B)]);
        check(
            Tcp,
            &[
                ("send INVITE", "tx INVITE"),
                ("< 180", "Response 180"),
                ("run 1000", ""),
                ("cancel", "tx CANCEL"),
                ("< 200 CANCEL", ""),
                ("< 180", "Response 180"),
                ("run 60000", "33000 Timeout rang, 33000 ClientEnded"),
                ("< 200", "Stray 200"),
            ],
        );
    }

    #[test]
    fn a_2xx_or_a_refusal_that_crosses_the_cancel_is_passed() {
        check(
            Udp,
            &[
                ("send INVITE", "tx INVITE"),
                ("< 180", "Response 180"),
                ("cancel", "tx CANCEL"),
                ("< 200", "Response 200"),
                ("< 481 CANCEL", ""),
                ("cancel", ""),
                ("run 60000", "32000 ClientEnded"),
            ],
        );
        check(
            Udp,
            &[
                ("send INVITE", "tx INVITE"),
                ("cancel", ""),
                ("< 200", "Response 200"),
                ("run 31000", ""),
                ("cancel", ""),
            ],
        );
        check(
            Tcp,
            &[
                ("send INVITE", "tx INVITE"),
                ("< 180", "Response 180"),
                ("cancel", "tx CANCEL"),
                ("< 486", "tx ACK, Response 486, ClientEnded"),
            ],
        );
    }

    #[test]
    fn a_broken_flow_fails_what_is_pending_only() {
        for transport in [Udp, Tcp] {
            check(transport, &[("send INVITE", "tx INVITE"), ("fail", "Failed, ClientEnded"), ("< 200", "Stray 200")]);
            check(
                transport,
                &[
                    ("send INVITE", "tx INVITE"),
                    ("< 200", "Response 200"),
                    ("fail", ""),
                    ("run 60000", "32000 ClientEnded"),
                ],
            );
        }
    }

    /// The bytes of the last message sent by the layer after `steps`.
    fn last_sent(steps: &[&str]) -> crate::sip::wire::Message {
        let mut bench = Bench::new(Tcp, Limits::default());
        let (last, before) = steps.split_last().unwrap();
        for step in before {
            bench.step(step);
        }
        match *last {
            "cancel" => bench.layer.cancel_because(bench.now, bench.client.unwrap(), "SIP;cause=200"),
            text => bench.receive(text),
        }
        match bench.layer.poll() {
            Some(Output::Transmit { bytes, .. }) => parse(bytes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ack_and_cancel_are_the_invites_own() {
        let invite = parse(our_request("INVITE", 1).into());
        let refusal = "SIP/2.0 486 Busy\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-ours1\r\nFrom: <sip:a@x>;tag=f\r\n\
                       To: <sip:b@y>;tag=callee\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n";
        let rows: [(&[&str], &str, &str, &str); 2] = [
            (&["send INVITE", refusal], "ACK", "callee", ""),
            (&["send INVITE", "< 180", "cancel"], "CANCEL", "", "SIP;cause=200"),
        ];
        for (steps, method, to_tag, reason) in rows {
            let sent = last_sent(steps);
            let cseq = sent.cseq().unwrap();
            assert_eq!((sent.method_str(), sent.to_tag(), cseq.number), (method, to_tag, 7));
            assert_eq!(cseq.method, sent.method());
            assert_eq!(sent.header(HeaderName::Reason).unwrap_or(""), reason);
            assert_eq!(sent.request_uri(), invite.request_uri());
            for name in [HeaderName::Via, HeaderName::Route, HeaderName::From, HeaderName::CallId] {
                assert!(sent.headers(name).eq(invite.headers(name)), "{name:?}");
            }
        }
    }
}
