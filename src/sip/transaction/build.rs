//! The few messages that the layer writes by itself.

use crate::sip::wire::{HeaderName, Message, Writer};
use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

const MAX_FORWARDS: u32 = 70;

/// The ACK to a final non-2xx response (RFC 3261 §17.1.1.3): the INVITE's top Via, its Route, the response's To.
pub(super) fn ack(invite: &Message, response: &Message) -> Bytes {
    let to = response.header(HeaderName::To).unwrap_or("");
    hop_by_hop("ACK", invite, to).finish()
}

/// The CANCEL of an INVITE (§9.1), with a Reason (RFC 3326) unless it is "".
pub(super) fn cancel(invite: &Message, reason: &str) -> Bytes {
    let writer = hop_by_hop("CANCEL", invite, invite.header(HeaderName::To).unwrap_or(""));
    if reason.is_empty() { writer.finish() } else { writer.header(HeaderName::Reason, reason).finish() }
}

fn hop_by_hop(method: &str, invite: &Message, to: &str) -> Writer {
    let mut writer = Writer::request(method, invite.request_uri())
        .header(HeaderName::Via, invite.headers(HeaderName::Via).next().unwrap_or(""))
        .header(HeaderName::MaxForwards, MAX_FORWARDS);
    for route in invite.headers(HeaderName::Route) {
        writer = writer.header(HeaderName::Route, route);
    }
    writer
        .header(HeaderName::From, invite.header(HeaderName::From).unwrap_or(""))
        .header(HeaderName::To, to)
        .header(HeaderName::CallId, invite.call_id())
        .header(HeaderName::CSeq, format_args!("{} {method}", invite.cseq().map_or(1, |c| c.number)))
}

/// 100 Trying: no To tag of ours.
pub(super) fn trying(invite: &Message, source: SocketAddr) -> Bytes {
    Writer::response_to(invite, 100, "", "", source).finish()
}

/// A response outside any transaction. Its To tag follows from the request, so that each retransmission of the request
/// gets the same (§8.2.7).
pub(super) fn stateless(request: &Message, status: u16, source: SocketAddr, retry_after_s: Option<u32>) -> Bytes {
    let writer = Writer::response_to(request, status, "", &to_tag(request), source);
    match retry_after_s {
        Some(s) => writer.header(HeaderName::RetryAfter, s).finish(),
        None => writer.finish(),
    }
}

/// 200 to a CANCEL, with the To tag that the INVITE's responses carry if one has been sent (§9.2).
pub(super) fn cancel_ok(cancel: &Message, invite_response: Option<&Bytes>, source: SocketAddr) -> Bytes {
    let sent = invite_response.and_then(|bytes| Message::parse(bytes.clone()).ok());
    match sent.as_ref().map(Message::to_tag) {
        Some(tag) if !tag.is_empty() => Writer::response_to(cancel, 200, "", tag, source).finish(),
        _ => stateless(cancel, 200, source, None),
    }
}

/// A request of ours with another Via on top (§18.1.1: the transport has changed; §8.1.1.7: a new branch); `via` is what stands
/// before the parameters. `None` if the top Via is not the first header, where our writer puts it.
pub(super) fn by_another_way(request: &Bytes, via: &str, branch: &str) -> Option<Bytes> {
    let end = |from: usize| Some(from + request.get(from..)?.windows(2).position(|w| w == b"\r\n")? + 2);
    let header = end(0)?;
    let rest = end(header)?;
    request.get(header..rest)?.starts_with(b"Via:").then_some(())?;
    let via = format!("Via: {via};branch={branch};rport\r\n");
    Some([request.get(..header)?, via.as_bytes(), request.get(rest..)?].concat().into())
}

/// A To tag that follows from the request, for who answers without a transaction.
pub fn to_tag(request: &Message) -> String {
    let mut hasher = DefaultHasher::new();
    (request.call_id(), request.from_tag(), request.cseq().map_or(0, |c| c.number)).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
