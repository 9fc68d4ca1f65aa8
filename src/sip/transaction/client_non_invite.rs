//! Non-INVITE client transaction: RFC 3261 §17.1.2 (figure 6).
//!
//! ```text
//!   Trying ──1xx──► Proceeding ──200–699──► Completed ──K──► Terminated
//!     │ E: again, T1 doubling to T2   │ E: again, each T2     │ absorbs responses
//!     └ F: Timeout                    └ F: Timeout
//! ```

use super::timer::{Clock, Timer};
use super::{Client, Context, Event};
use crate::base::time::Instant;
use crate::sip::transport::Flow;
use crate::sip::wire::Message;
use bytes::Bytes;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Debug)]
pub(super) struct ClientNonInvite {
    state: State,
    clock: Clock,
    reliable: bool,
    /// Empty once answered.
    request: Bytes,
}

impl ClientNonInvite {
    /// `bytes`, the request, has just been sent.
    pub fn new(now: Instant, reliable: bool, bytes: Bytes) -> Self {
        let mut clock = Clock::default();
        clock.start_again(now, Timer::E, reliable);
        let _ = clock.start_limit(now, Timer::F, reliable);
        ClientNonInvite { state: State::Trying, clock, reliable, request: bytes }
    }

    pub fn next(&self) -> Option<(Instant, Timer)> {
        self.clock.next()
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// A final response has come.
    pub fn is_answered(&self) -> bool {
        matches!(self.state, State::Completed | State::Terminated)
    }

    /// The request, while it may still be sent by another way.
    pub fn request(&self) -> Option<Bytes> {
        (!self.is_answered()).then(|| self.request.clone())
    }

    /// Not even a provisional response has come.
    pub fn is_unheard(&self) -> bool {
        self.state == State::Trying
    }

    pub fn handle_response(&mut self, cx: &mut Context<'_, Client>, response: Message, flow: Flow) {
        match (self.state, response.status()) {
            (State::Trying | State::Proceeding, 100..=199) => {
                self.state = State::Proceeding;
                self.clock.slow_again();
            }
            (State::Trying | State::Proceeding, 200..=699) => self.complete(cx.now),
            _ => return,
        }
        cx.event(Event::Response { id: cx.id, response, flow });
    }

    pub fn handle_timeout(&mut self, cx: &mut Context<'_, Client>) {
        match self.clock.take_due(cx.now) {
            None => {}
            Some(Timer::E) => cx.transmit(self.request.clone()),
            Some(Timer::F) => {
                cx.event(Event::Timeout { id: cx.id, rang: false });
                self.state = State::Terminated;
            }
            Some(_) => self.state = State::Terminated,
        }
    }

    pub fn handle_flow_failed(&mut self, cx: &mut Context<'_, Client>) {
        if !self.is_answered() {
            cx.event(Event::Failed { id: cx.id });
            self.state = State::Terminated;
        }
    }

    fn complete(&mut self, now: Instant) {
        self.request = Bytes::new();
        self.clock.stop_again();
        let lingers = self.clock.start_limit(now, Timer::K, self.reliable);
        self.state = if lingers { State::Completed } else { State::Terminated };
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bench::check;
    use crate::sip::transport::Transport::{Tcp, Udp};

    #[test]
    fn without_an_answer_timer_e_doubles_to_t2_and_timer_f_ends() {
        let want = "500 tx OPTIONS, 1500 tx OPTIONS, 3500 tx OPTIONS, 7500 tx OPTIONS, 11500 tx OPTIONS, \
                    15500 tx OPTIONS, 19500 tx OPTIONS, 23500 tx OPTIONS, 27500 tx OPTIONS, 31500 tx OPTIONS, \
                    32000 Timeout, 32000 ClientEnded";
        check(Udp, &[("send OPTIONS", "tx OPTIONS"), ("run 60000", want)]);
        check(Tcp, &[("send OPTIONS", "tx OPTIONS"), ("run 60000", "32000 Timeout, 32000 ClientEnded")]);
    }

    #[test]
    fn after_a_provisional_retransmission_comes_each_t2() {
        check(
            Udp,
            &[
                ("send BYE", "tx BYE"),
                ("run 600", "500 tx BYE"),
                ("< 100", "Response 100"),
                ("run 10000", "1500 tx BYE, 5500 tx BYE, 9500 tx BYE"),
                ("< 200", "Response 200"),
                ("< 200", ""),
                ("< 100", ""),
                ("run 60000", "15000 ClientEnded"),
                ("< 200", "Stray 200"),
            ],
        );
        let forever: &[(&str, &str)] =
            &[("send BYE", "tx BYE"), ("< 100", "Response 100"), ("run 60000", "32000 Timeout, 32000 ClientEnded")];
        check(Tcp, forever);
    }

    #[test]
    fn a_final_of_any_class_ends_and_is_passed_once() {
        for (status, want) in [("< 200", "Response 200"), ("< 401", "Response 401"), ("< 503", "Response 503")] {
            check(
                Udp,
                &[("send REGISTER", "tx REGISTER"), (status, want), (status, ""), ("run 60000", "5000 ClientEnded")],
            );
            check(Tcp, &[("send REGISTER", "tx REGISTER"), (status, &format!("{want}, ClientEnded"))]);
        }
    }

    #[test]
    fn methods_without_a_name_of_ours_are_matched_by_their_token() {
        check(
            Udp,
            &[("send NEWMETHOD", "tx NEWMETHOD"), ("< 200 OTHERMETHOD", "Stray 200"), ("< 200", "Response 200")],
        );
    }

    #[test]
    fn a_broken_flow_fails_what_is_pending_only() {
        check(Tcp, &[("send OPTIONS", "tx OPTIONS"), ("fail", "Failed, ClientEnded"), ("fail", "")]);
        check(
            Udp,
            &[
                ("send OPTIONS", "tx OPTIONS"),
                ("< 200", "Response 200"),
                ("fail", ""),
                ("run 9000", "5000 ClientEnded"),
            ],
        );
    }
}
