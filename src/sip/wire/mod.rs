//! Bytes ⇄ SIP messages (RFC 3261 §7, §25): tolerant in, strict out.
//!
//! A [`Message`] is one buffer and an index over it; a header is parsed when somebody asks for it.

mod header;
mod method;
mod scan;
mod status;
mod uri;
mod value;

mod message;
mod read;

mod framer;
mod writer;

#[cfg(test)]
mod tests;

pub use framer::Framer;
pub use header::HeaderName;
pub use message::{Fault, Message};
pub use method::Method;
pub use status::reason_phrase;
pub use uri::{Host, Uri, percent_decode};
pub use value::{CSeq, NameAddr, Params, Via, parse_ip, unquote};
pub use writer::Writer;

/// Longest message read, in octets: what a UDP datagram can carry. Offsets into a message fit `u16`.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Longest start line and header section read from a stream, in octets.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header fields read in one message.
pub const FIELDS_MAX: usize = 256;
