//! Non-INVITE server transaction: RFC 3261 §17.2.2 (figure 8).
//!
//! ```text
//!   Trying ──1xx──► Proceeding ──200–699──► Completed ──J──► Terminated
//!     │ absorbs        │ request: last 1xx      │ request: the final again
//!     └─────200–699────────────────────────────►┘
//! ```

use super::timer::{Clock, Timer};
use super::{Context, Server};
use crate::base::time::Instant;
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
pub(super) struct ServerNonInvite {
    state: State,
    clock: Clock,
    reliable: bool,
    /// Dropped with the final response.
    request: Option<Message>,
    /// The last response sent.
    response: Option<Bytes>,
}

impl ServerNonInvite {
    pub fn new(now: Instant, reliable: bool, request: Message) -> Self {
        let mut clock = Clock::default();
        let _ = clock.start_limit(now, Timer::Unanswered, reliable);
        ServerNonInvite { state: State::Trying, clock, reliable, request: Some(request), response: None }
    }

    pub fn next(&self) -> Option<(Instant, Timer)> {
        self.clock.next()
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Answered: it only absorbs the request again.
    pub fn lingers(&self) -> bool {
        self.state == State::Completed
    }

    /// No final response has been sent.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    pub fn request(&self) -> Option<&Message> {
        self.request.as_ref()
    }

    /// The request again.
    pub fn handle_retransmission(&mut self, cx: &mut Context<'_, Server>) {
        if let Some(response) = &self.response {
            cx.transmit(response.clone());
        }
    }

    /// J, or the user never answered: both end it without a word.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_, Server>) {
        if self.clock.take_due(cx.now).is_some() {
            self.state = State::Terminated;
        }
    }

    /// False if a final response has been sent.
    pub fn respond(&mut self, cx: &mut Context<'_, Server>, status: u16, bytes: Bytes) -> bool {
        if !self.is_open() || !(100..700).contains(&status) {
            return false;
        }
        self.response = Some(bytes.clone());
        cx.transmit(bytes);
        if status < 200 {
            self.state = State::Proceeding;
            return true;
        }
        self.request = None;
        let lingers = self.clock.start_limit(cx.now, Timer::J, self.reliable);
        self.state = if lingers { State::Completed } else { State::Terminated };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bench::check;
    use crate::sip::transport::Transport::{Tcp, Udp};

    #[test]
    fn a_retransmission_gets_the_last_response_until_timer_j() {
        check(
            Udp,
            &[
                ("> BYE to=t", "Request BYE"),
                ("> BYE to=t", ""),
                ("respond 100", "tx 100 BYE"),
                ("> BYE to=t", "tx 100 BYE"),
                ("run 1000", ""),
                ("respond 200", "tx 200 BYE"),
                ("respond 200", ""),
                ("> BYE to=t", "tx 200 BYE"),
                ("run 32999", ""),
                ("> BYE to=t", "tx 200 BYE"),
                ("run 60000", "33000 ServerEnded"),
                ("> BYE to=t", "Request BYE"),
            ],
        );
        check(Tcp, &[("> BYE to=t", "Request BYE"), ("respond 200", "tx 200 BYE, ServerEnded"), ("run 60000", "")]);
    }

    #[test]
    fn a_request_that_the_user_never_answers_ends_with_its_client() {
        for transport in [Udp, Tcp] {
            check(transport, &[("> OPTIONS", "Request OPTIONS"), ("run 60000", "32000 ServerEnded")]);
        }
    }
}
