//! INVITE server transaction: RFC 3261 §17.2.1 with RFC 6026 §8.7 (figure 7 there).
//!
//! ```text
//!   Proceeding ──300–699──► Completed ──ACK──► Confirmed ──I──► Terminated
//!      │ 200 ms: 100            │ G: again        │ absorbs ACKs
//!      │ INVITE, 60 s: last 1xx │ INVITE: again
//!      │ reliable: 1xx again until `pracked`
//!      │                        └ H: NeverAcked ──────────────► Terminated
//!      └──2xx──► Accepted ──L──────────────────────────────────► Terminated
//!                   │ 2xx again until `acked`; INVITE absorbed; ACK to the user
//! ```
//!
//! The 2xx is retransmitted here and not by the user (§13.3.1.4): the schedule belongs beside the other schedules.

use super::timer::{Clock, Timer};
use super::{Context, Event, Server, build};
use crate::base::time::Instant;
use crate::sip::transport::Flow;
use crate::sip::wire::Message;
use bytes::Bytes;
use std::net::SocketAddr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

#[derive(Debug)]
pub(super) struct ServerInvite {
    state: State,
    /// A CANCEL has been reported.
    cancelled: bool,
    clock: Clock,
    reliable: bool,
    /// Dropped when the final response is acknowledged.
    request: Option<Message>,
    /// The last response sent; dropped when it is acknowledged.
    response: Option<Bytes>,
}

impl ServerInvite {
    pub fn new(now: Instant, reliable: bool, request: Message) -> Self {
        let mut clock = Clock::default();
        let _ = clock.start_limit(now, Timer::Trying, reliable);
        let (state, request) = (State::Proceeding, Some(request));
        ServerInvite { state, cancelled: false, clock, reliable, request, response: None }
    }

    pub fn next(&self) -> Option<(Instant, Timer)> {
        self.clock.next()
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Accepted and acknowledged: it only absorbs the INVITE again.
    pub fn lingers(&self) -> bool {
        self.state == State::Accepted && self.request.is_none()
    }

    /// No final response has been sent.
    pub fn is_open(&self) -> bool {
        self.state == State::Proceeding
    }

    pub fn request(&self) -> Option<&Message> {
        self.request.as_ref()
    }

    pub fn last_response(&self) -> Option<&Bytes> {
        self.response.as_ref()
    }

    /// The INVITE again.
    pub fn handle_retransmission(&mut self, cx: &mut Context<'_, Server>) {
        if let (State::Proceeding | State::Completed, Some(response)) = (self.state, &self.response) {
            cx.transmit(response.clone());
        }
    }

    pub fn handle_ack(&mut self, cx: &mut Context<'_, Server>, ack: Message, flow: Flow) {
        match self.state {
            State::Completed => {
                self.clock.stop_again();
                self.release();
                let lingers = self.clock.start_limit(cx.now, Timer::I, self.reliable);
                self.state = if lingers { State::Confirmed } else { State::Terminated };
            }
            // A client that gives the ACK to a 2xx the INVITE's branch.
            State::Accepted => cx.event(Event::Ack { ack, flow }),
            State::Proceeding | State::Confirmed | State::Terminated => {}
        }
    }

    /// The CANCEL has been answered; the user hears of the first one, and only while the INVITE is open.
    pub fn handle_cancel(&mut self, cx: &mut Context<'_, Server>, cancel: Message) {
        if self.state == State::Proceeding && !self.cancelled {
            self.cancelled = true;
            cx.event(Event::Cancelled { id: cx.id, cancel });
        }
    }

    pub fn handle_timeout(&mut self, cx: &mut Context<'_, Server>, source: SocketAddr) {
        match self.clock.take_due(cx.now) {
            None => {}
            Some(Timer::Trying) => self.send_trying(cx, source),
            Some(Timer::Pracked) => {
                self.clock.stop_again();
                cx.event(Event::NeverPracked { id: cx.id });
            }
            Some(Timer::G | Timer::Ok | Timer::Provisional | Timer::Reliable) => {
                if let Some(response) = &self.response {
                    cx.transmit(response.clone());
                }
            }
            Some(timer) => {
                let waited_for_ack = matches!(timer, Timer::H | Timer::L) && self.response.is_some();
                if waited_for_ack {
                    cx.event(Event::NeverAcked { id: cx.id, accepted: timer == Timer::L });
                }
                self.state = State::Terminated;
            }
        }
    }

    /// False if a final response has been sent.
    pub fn respond(&mut self, cx: &mut Context<'_, Server>, status: u16, bytes: Bytes) -> bool {
        if !self.is_open() || !(100..700).contains(&status) {
            return false;
        }
        self.clock.stop_limit();
        self.response = Some(bytes.clone());
        cx.transmit(bytes);
        match status {
            100..=199 => self.clock.start_again(cx.now, Timer::Provisional, self.reliable),
            200..=299 => {
                self.state = State::Accepted;
                self.clock.start_again(cx.now, Timer::Ok, self.reliable);
                let _ = self.clock.start_limit(cx.now, Timer::L, self.reliable);
            }
            _ => {
                self.state = State::Completed;
                self.clock.start_again(cx.now, Timer::G, self.reliable);
                let _ = self.clock.start_limit(cx.now, Timer::H, self.reliable);
            }
        }
        true
    }

    /// False if a final response has been sent.
    pub fn respond_reliably(&mut self, cx: &mut Context<'_, Server>, status: u16, bytes: Bytes) -> bool {
        let sent = (101..200).contains(&status) && self.respond(cx, status, bytes);
        if sent {
            self.clock.start_again(cx.now, Timer::Reliable, self.reliable);
            let _ = self.clock.start_limit(cx.now, Timer::Pracked, self.reliable);
        }
        sent
    }

    pub fn pracked(&mut self, now: Instant) {
        if self.state == State::Proceeding {
            self.clock.stop_limit();
            self.clock.start_again(now, Timer::Provisional, self.reliable);
        }
    }

    pub fn acked(&mut self) {
        if self.state == State::Accepted {
            self.clock.stop_again();
            self.release();
        }
    }

    fn send_trying(&mut self, cx: &mut Context<'_, Server>, source: SocketAddr) {
        if let Some(request) = &self.request {
            let bytes = build::trying(request, source);
            self.response = Some(bytes.clone());
            self.clock.start_again(cx.now, Timer::Provisional, self.reliable);
            cx.transmit(bytes);
        }
    }

    /// Nothing is sent any more: keep the key only.
    fn release(&mut self) {
        self.request = None;
        self.response = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bench::check;
    use crate::sip::transport::Transport::{Tcp, Udp};

    const REFUSAL_AGAIN: &str = "500 tx 486 INVITE, 1500 tx 486 INVITE, 3500 tx 486 INVITE, 7500 tx 486 INVITE, \
                                 11500 tx 486 INVITE, 15500 tx 486 INVITE, 19500 tx 486 INVITE, 23500 tx 486 INVITE, \
                                 27500 tx 486 INVITE, 31500 tx 486 INVITE, 32000 NeverAcked, 32000 ServerEnded";
    const ACCEPTANCE_AGAIN: &str = "500 tx 200 INVITE, 1500 tx 200 INVITE, 3500 tx 200 INVITE, 7500 tx 200 INVITE, \
                                    11500 tx 200 INVITE, 15500 tx 200 INVITE, 19500 tx 200 INVITE, \
                                    23500 tx 200 INVITE, 27500 tx 200 INVITE, 31500 tx 200 INVITE, \
                                    32000 NeverAcked accepted, 32000 ServerEnded";

    #[test]
    fn a_reliable_provisional_is_repeated_until_it_is_acknowledged() {
        check(
            Tcp,
            &[
                ("> INVITE", "Request INVITE"),
                ("reliably 183", "tx 183 INVITE"),
                ("run 4000", "500 tx 183 INVITE, 1500 tx 183 INVITE, 3500 tx 183 INVITE"),
                ("pracked", ""),
                ("run 65000", "64000 tx 183 INVITE"),
                ("reliably 180", "tx 180 INVITE"),
                ("respond 200", "tx 200 INVITE"),
                ("pracked", ""),
                ("run 65400", ""),
                ("run 65500", "65500 tx 200 INVITE"),
            ],
        );
        let never = "500 tx 183 INVITE, 1500 tx 183 INVITE, 3500 tx 183 INVITE, 7500 tx 183 INVITE, 15500 tx 183 INVITE, \
                     31500 tx 183 INVITE, 32000 NeverPracked";
        let rows = [("> INVITE", "Request INVITE"), ("reliably 183", "tx 183 INVITE"), ("run 60000", never)];
        check(Udp, &rows);
    }

    #[test]
    fn trying_goes_out_after_200_ms_unless_the_user_was_quicker() {
        check(
            Udp,
            &[
                ("> INVITE", "Request INVITE"),
                ("> INVITE", ""),
                ("run 400", "200 tx 100 INVITE"),
                ("> INVITE", "tx 100 INVITE"),
                ("respond 180", "tx 180 INVITE"),
                ("> INVITE", "tx 180 INVITE"),
                // Nothing bounds the user's own ringing here, and proxies are kept from giving it up.
                ("run 200000", "60400 tx 180 INVITE, 120400 tx 180 INVITE, 180400 tx 180 INVITE"),
                ("respond 486", "tx 486 INVITE"),
                ("> ACK to=ours", ""),
                ("run 600000", "205000 ServerEnded"),
            ],
        );
        let in_silence: &[(&str, &str)] = &[
            ("> INVITE", "Request INVITE"),
            ("run 100000", "200 tx 100 INVITE, 60200 tx 100 INVITE"),
            ("respond 183", "tx 183 INVITE"),
            ("run 165000", "160000 tx 183 INVITE"),
            ("respond 486", "tx 486 INVITE"),
            ("> ACK to=ours", "ServerEnded"),
        ];
        check(Tcp, in_silence);
    }

    #[test]
    fn an_answer_given_once_leaves_nothing() {
        for transport in [Udp, Tcp] {
            check(
                transport,
                &[
                    ("> INVITE", "Request INVITE"),
                    ("once 401", "tx 401 INVITE, ServerEnded"),
                    ("once 401", ""),
                    ("run 100", ""),
                    ("> ACK to=ours", "Ack"),
                    // The INVITE again is no merged request.
                    ("> INVITE", "Request INVITE"),
                    ("run 400", "300 tx 100 INVITE"),
                    ("once 401", "tx 401 INVITE, ServerEnded"),
                    ("> CANCEL", "tx 481 CANCEL"),
                    ("> INVITE branch=z9hG4bK-2", "Request INVITE"),
                    ("respond 486", "tx 486 INVITE"),
                    ("once 401", ""),
                    ("> ACK branch=z9hG4bK-2 to=ours", if transport == Udp { "" } else { "ServerEnded" }),
                    ("> REGISTER", "Request REGISTER"),
                    ("once 401", "tx 401 REGISTER, ServerEnded"),
                    ("> REGISTER", "Request REGISTER"),
                    ("once 401", "tx 401 REGISTER, ServerEnded"),
                    ("run 60000", if transport == Udp { "5400 ServerEnded" } else { "" }),
                ],
            );
        }
    }

    #[test]
    fn a_refusal_is_sent_until_the_ack() {
        check(Udp, &[("> INVITE", "Request INVITE"), ("respond 486", "tx 486 INVITE"), ("run 60000", REFUSAL_AGAIN)]);
        check(
            Tcp,
            &[
                ("> INVITE", "Request INVITE"),
                ("respond 486", "tx 486 INVITE"),
                ("run 60000", "32000 NeverAcked, 32000 ServerEnded"),
            ],
        );
        check(
            Udp,
            &[
                ("> INVITE", "Request INVITE"),
                ("respond 486", "tx 486 INVITE"),
                ("respond 200", ""),
                ("> INVITE", "tx 486 INVITE"),
                ("run 600", "500 tx 486 INVITE"),
                ("> ACK to=ours", ""),
                ("> ACK to=ours", ""),
                ("> INVITE", ""),
                ("run 60000", "5600 ServerEnded"),
                // A stranger's by now.
                ("> ACK to=ours", "Ack"),
            ],
        );
        check(
            Tcp,
            &[("> INVITE", "Request INVITE"), ("respond 486", "tx 486 INVITE"), ("> ACK to=ours", "ServerEnded")],
        );
    }

    #[test]
    fn an_acceptance_is_sent_until_acked_on_every_transport() {
        for transport in [Udp, Tcp] {
            check(
                transport,
                &[("> INVITE", "Request INVITE"), ("respond 200", "tx 200 INVITE"), ("run 60000", ACCEPTANCE_AGAIN)],
            );
            check(
                transport,
                &[
                    ("> INVITE", "Request INVITE"),
                    ("respond 200", "tx 200 INVITE"),
                    ("respond 200", ""),
                    ("run 600", "500 tx 200 INVITE"),
                    // RFC 6026: absorbed.
                    ("> INVITE", ""),
                    ("> ACK branch=z9hG4bK-other to=ours", "Ack"),
                    ("acked", ""),
                    ("> INVITE", ""),
                    ("run 31999", ""),
                    ("run 60000", "32000 ServerEnded"),
                ],
            );
        }
    }

    #[test]
    fn an_ack_to_the_2xx_with_the_invites_branch_reaches_the_user() {
        check(Udp, &[("> INVITE", "Request INVITE"), ("respond 200", "tx 200 INVITE"), ("> ACK to=ours", "Ack")]);
    }

    #[test]
    fn cancel_is_answered_at_once_and_reported_once() {
        check(
            Udp,
            &[
                ("> INVITE", "Request INVITE"),
                ("respond 180", "tx 180 INVITE"),
                ("> CANCEL", "tx 200 CANCEL, Cancelled"),
                ("> CANCEL", "tx 200 CANCEL"),
                ("respond 487", "tx 487 INVITE"),
                ("> CANCEL", "tx 200 CANCEL"),
                ("> ACK to=ours", ""),
                ("run 60000", "5000 ServerEnded"),
                ("> CANCEL", "tx 481 CANCEL"),
            ],
        );
        // Too late: the answer has gone out.
        check(Udp, &[("> INVITE", "Request INVITE"), ("respond 200", "tx 200 INVITE"), ("> CANCEL", "tx 200 CANCEL")]);
        check(Udp, &[("> CANCEL", "tx 481 CANCEL")]);
        check(Udp, &[("> INVITE", "Request INVITE"), ("> CANCEL branch=z9hG4bK-other", "tx 481 CANCEL")]);
        check(Udp, &[("> INVITE", "Request INVITE"), ("> CANCEL host=192.0.2.9", "tx 481 CANCEL")]);
    }
}
