//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3).

use crate::sip::wire::{Message, Method, Via};
use std::fmt::Write;

/// What a branch of RFC 3261 begins with.
const MAGIC_COOKIE: &str = "z9hG4bK";

/// The method under which a request is matched: an ACK belongs to its INVITE.
fn matched_method(request: &Message) -> &str {
    if request.method() == Method::Ack { Method::Invite.as_str() } else { request.method_str() }
}

/// Writes the key of the server transaction that `request` belongs to, as one of `method` (CANCEL looks for INVITE).
///
/// Returns false if the request has no usable Via. Keys of the two kinds never meet: their first octets differ.
pub(super) fn server(key: &mut String, request: &Message, method: Option<&str>) -> bool {
    let Some(via) = request.via() else { return false };
    let method = method.unwrap_or_else(|| matched_method(request));
    key.clear();
    let branch = via.branch();
    if is_rfc3261(branch) {
        key.push_str(branch);
        key.push('\n');
        push_sent_by(key, &via);
        key.push('\n');
        key.push_str(method);
        return true;
    }
    old_style(key, request, &via, method);
    true
}

fn is_rfc3261(branch: &str) -> bool {
    let cookie = branch.get(..MAGIC_COOKIE.len());
    branch.len() > MAGIC_COOKIE.len() && cookie.is_some_and(|c| c.eq_ignore_ascii_case(MAGIC_COOKIE))
}

fn push_sent_by(key: &mut String, via: &Via<'_>) {
    key.extend(via.host.chars().map(|c| c.to_ascii_lowercase()));
    if let Some(port) = via.port {
        let _ = write!(key, ":{port}");
    }
}

/// RFC 2543 clients: Request-URI, From tag, Call-ID, CSeq number and top Via.
///
/// The To tag is left out, because the INVITE has none where its ACK has ours; all else being equal, it decides nothing.
fn old_style(key: &mut String, request: &Message, via: &Via<'_>, method: &str) {
    let cseq = request.cseq().map_or(0, |c| c.number);
    key.push('\n');
    for part in [request.request_uri(), request.from_tag(), request.call_id()] {
        key.push_str(part);
        key.push('\n');
    }
    let _ = write!(key, "{cseq}\n{method}\n{}\n", via.branch());
    push_sent_by(key, via);
}

/// Writes what tells that two requests with different branches are one, forked on its way to us (§8.2.2.2): From tag,
/// Call-ID and CSeq. False for a request within a dialog, which is never taken for merged.
pub(super) fn merged(key: &mut String, request: &Message) -> bool {
    let Some(cseq) = request.cseq() else { return false };
    if !request.to_tag().is_empty() {
        return false;
    }
    key.clear();
    let _ = write!(key, "{}\n{}\n{}\n{}", request.call_id(), request.from_tag(), cseq.number, request.method_str());
    true
}

/// Writes the key of a client transaction: our branch and the method (the CSeq's in a response).
pub(super) fn client(key: &mut String, branch: &str, method: &str) {
    key.clear();
    key.push_str(branch);
    key.push('\n');
    key.push_str(method);
}
