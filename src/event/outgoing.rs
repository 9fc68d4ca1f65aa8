//! Texts that calls leave to be sent.

use super::CallId;
use crate::base::pii::Pii;
use crate::base::time::Wall;

/// A text for the outbox. Channels send what lies there.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// `SM…`.
    pub sid: String,
    /// Whose it is: `AC…`.
    pub account: String,
    pub call: CallId,
    pub at: Wall,
    pub from: Pii<String>,
    pub to: Pii<String>,
    pub body: String,
    /// Who is told how its delivery goes.
    pub status: Option<String>,
}
