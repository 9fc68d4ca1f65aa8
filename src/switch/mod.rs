//! The switch: one deterministic state machine that composes signalling, scripts and media commands.
//!
//! Contract: after each [`Switch::handle`] drain [`Switch::poll`] to `None`; call `handle` with [`Input::Tick`] no later than
//! [`Switch::deadline`]. It reads no clock and opens no socket; two switches with one seed and the same inputs give the same outputs.

mod io;

pub use io::{CallView, Counters, Input, Operator, Output, RegistrationView, Reply, Setup, TrunkView};

use crate::base::time::{Instant, Now};

/// See the module's documentation.
pub struct Switch {}

impl Switch {
    pub fn new(setup: Setup, seed: u64, now: Now) -> Switch {
        let _ = (setup, seed, now);
        todo!()
    }
    pub fn handle(&mut self, now: Now, input: Input) {
        let _ = (now, input);
        todo!()
    }
    pub fn poll(&mut self) -> Option<Output> {
        todo!()
    }
    /// The next moment at which something is due, and what.
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        todo!()
    }
    pub fn counters(&self) -> &Counters {
        todo!()
    }
    /// Draining is asked for and nothing is left: the process may exit.
    pub fn is_drained(&self) -> bool {
        todo!()
    }
}
