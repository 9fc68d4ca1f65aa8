//! What the switch asks of HTTP servers and what it is told. Sockets, signatures, retries and caches are the shell's.
//!
//! A [`Fetch`] is answered by one [`Event::Fetched`] with its id, whatever happens; a [`Callback`] is answered by nothing.

mod fault;
mod reference;
mod secret;

pub use fault::{Fault, Reason};
pub use reference::resolve;
pub use secret::{Confidential, is_private};

use crate::event::CallId;
use bytes::Bytes;
use std::sync::Arc;

/// One fetch. Numbered by the switch, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FetchId(pub u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Method {
    Get,
    #[default]
    Post,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }

    /// As markup and REST write it, in either case.
    pub fn parse(text: &str) -> Option<Method> {
        [Method::Get, Method::Post].into_iter().find(|m| m.as_str().eq_ignore_ascii_case(text))
    }
}

/// Where a request goes: `http:`, `https:`, or `file:` and a plain path for a file that lies beside the configuration. A fragment
/// holds overrides of the connection (`#rc=2&rp=all`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub url: Arc<str>,
    pub method: Method,
}

impl Address {
    pub fn new(url: impl Into<Arc<str>>, method: Method) -> Address {
        Address { url: url.into(), method }
    }
}

/// Names and values of a form, in order; a name may come again.
pub type Parameters = Vec<(String, String)>;

/// What is done with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Want {
    /// Markup, or text for Say; at most [`DOCUMENT_BYTES_MAX`].
    #[default]
    Document,
    /// Something to be played: kept on disk, decoded, given by the path of a WAV file.
    Media,
    /// Whatever the server answers, by whatever status; at most [`DOCUMENT_BYTES_MAX`].
    Reply,
}

/// As Twilio's: beyond it the answer is fault 11750.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// A request whose answer the call waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    pub id: FetchId,
    /// Whose cookies are sent and kept, and whose requests carry one idempotency token each.
    pub call: CallId,
    pub want: Want,
    pub address: Address,
    /// Asked when the address fails, with the parameters and ErrorCode and ErrorUrl.
    pub fallback: Option<Address>,
    pub parameters: Parameters,
    /// Told to the address alone: to no fallback and to nobody it redirects to.
    pub secret: Confidential,
}

/// A request that tells and asks nothing. Those of one call go out one after the other in the order in which they were given;
/// each is retried some times, then given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Callback {
    pub call: CallId,
    pub address: Address,
    pub parameters: Parameters,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    Fetch(Box<Fetch>),
    /// Nobody waits for it any more; its answer may come all the same.
    Cancel(FetchId),
    Callback(Box<Callback>),
    /// The call is over: its cookies go when its callbacks have gone.
    Forget(CallId),
}

/// What a fetch brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Where it came from after all redirects: relative addresses in it are against this.
    pub url: Arc<str>,
    pub status: u16,
    /// Without parameters, in lower case: "text/xml". Empty if the server named none.
    pub content_type: String,
    pub content: Content,
    /// Why the first address failed, if this is from the fallback.
    pub fell_back: Option<Fault>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Of [`Want::Document`] and [`Want::Reply`].
    Body(Bytes),
    /// Of [`Want::Media`]: the path of a file that can be played.
    File(Arc<str>),
}

impl Page {
    /// The document's octets; nothing of media.
    pub fn body(&self) -> &[u8] {
        match &self.content {
            Content::Body(body) => body,
            Content::File(_) => &[],
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A fault is that of the last address that was asked.
    Fetched { id: FetchId, result: Result<Box<Page>, Fault> },
}
