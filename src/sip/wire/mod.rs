//! Bytes ⇄ SIP messages (RFC 3261 §7, §25): tolerant in, strict out.
//!
//! A [`Message`] is one buffer and an index over it; a header is parsed when somebody asks for it.

mod header;
mod message;
mod uri;
mod writer;

pub use header::{CSeq, HeaderName, NameAddr, Params, Via};
pub use message::{Fault, Framer, Message, Method};
pub use uri::{Host, Uri};
pub use writer::Writer;
