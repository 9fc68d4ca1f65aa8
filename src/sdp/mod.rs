//! Session descriptions (RFC 8866) and offer/answer (RFC 3264), for a B2BUA: plain bytes in, own types out.
//!
//! [`SessionDescription::parse`] is tolerant and bounded; [`std::fmt::Display`] writes strictly. [`offer`], [`answer`]
//! and [`accept`] negotiate one audio stream and refuse all others; [`common`] says whether two legs can be relayed
//! without transcoding. A description that passes through untouched (`media: direct`) needs none of this: forward its
//! bytes.

mod crypto;
mod description;
mod fax;
mod format;
mod negotiate;
mod parse;
mod write;

pub use crypto::{Crypto, Secured};
pub use description::{
    Attribute, Connection, Direction, FormatParameters, Host, Kind, Media, Origin, Protocol, RtcpAddress, RtpMap,
    SessionDescription,
};
pub use fax::{FaxStream, FaxTerms, answer_fax, fax_of, is_fax, offer_fax};
pub use format::{AudioFormat, Codec};
pub use negotiate::{
    Answer, Dtmf, LocalAudio, NegotiatedAudio, NegotiationFault, Order, Relay, accept, admits, answer, common, offer,
    reoffer,
};
pub use parse::{ATTRIBUTES_MAX, BYTES_MAX, MEDIA_MAX, ParseFault};

#[cfg(test)]
mod tests;
