//! SIP over WebSockets (RFC 7118) at `/sip` on the HTTP port: the handshake, then one SIP message a WebSocket message.
//!
//! Who speaks here is found out as over any other transport, by digest; the handshake asks for nothing but the subprotocol.

use super::door::Caller;
use crate::shell::net::tls::Tls;
use crate::shell::net::{Line, Streams};
use crate::sip::transport::{ListenerId, Transport};
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use tokio::time::timeout;

/// Longest SIP message, in octets; as long as the longest datagram.
const MESSAGE_MAX: usize = 65_535;
/// What one connection reads at once; a whole message is put together from it. Each connection keeps one.
const READ_BYTES: usize = 4 << 10;

/// What SIP over WebSockets needs of the rest, and the HTTP port of TLS.
#[derive(Clone)]
pub struct Sip {
    pub streams: Streams,
    pub listener: ListenerId,
    /// WSS, if clients come by TLS to us or to a proxy in front of us.
    pub transport: Transport,
    pub tls: Tls,
    /// Origins that browsers may come from; none: any.
    pub origins: std::sync::Arc<[String]>,
}

pub fn route(sip: Sip) -> Router {
    Router::new().route("/sip", any(upgrade)).with_state(sip)
}

async fn upgrade(
    State(sip): State<Sip>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let socket = match socket {
        Ok(socket) => socket.protocols(["sip"]),
        Err(rejection) => return rejection.into_response(),
    };
    if socket.selected_protocol().is_none() {
        let sentence = "this is for SIP: Sec-WebSocket-Protocol has to name sip (RFC 7118)\n";
        return (StatusCode::BAD_REQUEST, sentence).into_response();
    }
    if !is_welcome(&sip.origins, &headers) {
        return (StatusCode::FORBIDDEN, "this origin may not: see sip.websocket_origins\n").into_response();
    }
    let Some(line) = sip.streams.join(sip.listener, sip.transport, caller.peer) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "there is no room for another connection\n").into_response();
    };
    // From here on the bounds of SIP's connections hold, not those of HTTP's.
    caller.leave();
    let socket = socket.max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    let socket = socket.read_buffer_size(READ_BYTES).write_buffer_size(0).max_write_buffer_size(2 * MESSAGE_MAX);
    socket.on_upgrade(|socket| converse(socket, line))
}

/// A browser says which page it acts for; what sends no Origin is no browser, and could say anything.
fn is_welcome(origins: &[String], headers: &HeaderMap) -> bool {
    let origin = headers.get("origin").map(|o| o.as_bytes());
    origins.is_empty() || origin.is_none_or(|o| origins.iter().any(|known| o.eq_ignore_ascii_case(known.as_bytes())))
}

async fn converse(mut socket: WebSocket, mut line: Line) {
    let reports = line.reports.clone();
    let limits = *reports.limits();
    let mut patience = limits.first_message;
    loop {
        let answer = tokio::select! {
            got = timeout(patience, socket.recv()) => match got {
                Ok(Some(Ok(message))) => match read(message) {
                    Heard::Sip(bytes) => {
                        patience = limits.idle;
                        if !reports.received(bytes).await {
                            break;
                        }
                        continue;
                    }
                    Heard::Ping => Message::Text("\r\n".into()),
                    Heard::Nothing => continue,
                    Heard::End => break,
                },
                // Said nothing for too long, broke off, or is not what RFC 6455 describes.
                Ok(Some(Err(_)) | None) | Err(_) => break,
            },
            bytes = line.next() => match bytes {
                Some(bytes) => write(bytes),
                None => {
                    let close = Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }));
                    let _ = timeout(limits.write, socket.send(close)).await;
                    break;
                }
            },
        };
        if !matches!(timeout(limits.write, socket.send(answer)).await, Ok(Ok(()))) {
            break;
        }
    }
    line.fail().await;
}

enum Heard {
    Sip(Bytes),
    /// A keep-alive as over TCP (RFC 5626 §3.5.1), which some clients send.
    Ping,
    Nothing,
    End,
}

fn read(message: Message) -> Heard {
    let bytes = match message {
        Message::Text(text) => Bytes::from(text),
        Message::Binary(bytes) => bytes,
        // The library answers pings.
        Message::Ping(_) | Message::Pong(_) => return Heard::Nothing,
        Message::Close(_) => return Heard::End,
    };
    match bytes.as_ref() {
        b"\r\n\r\n" => Heard::Ping,
        b"" | b"\r\n" => Heard::Nothing,
        _ => Heard::Sip(bytes),
    }
}

/// As text where it is text, since browsers hand that to scripts as such (RFC 7118 §4.2 asks to take both).
fn write(bytes: Bytes) -> Message {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Message::text(text),
        Err(_) => Message::Binary(bytes),
    }
}

#[cfg(test)]
mod tests;
