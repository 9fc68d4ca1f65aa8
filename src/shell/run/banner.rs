//! What a start says: where the switch listens, who can register, what can be called.

use super::is_local;
use crate::shell::files::Loaded;
use crate::sip::transport::{Listener, Transport};
use std::net::SocketAddr;
use tracing::{info, warn};

/// Numbers in one line.
const NUMBERS_MAX: usize = 20;

/// Logs it, a line a topic.
pub fn banner(loaded: &Loaded, listeners: &[Listener], http: SocketAddr, files_max: u64) {
    let config = &loaded.config;
    info!(
        version = env!("CARGO_PKG_VERSION"), node = config.node, configuration = %loaded.file.display(), open_files = files_max,
        "tandem starts"
    );
    for l in listeners {
        let (transport, local) = (l.transport.as_param(), l.local);
        let path = if matches!(l.transport, Transport::Ws | Transport::Wss) { "/sip" } else { "" };
        if l.advertised == local {
            info!("listening on {transport}://{local}{path}");
        } else {
            info!("listening on {transport}://{local}{path}, known to peers as {}", l.advertised);
        }
    }
    let (from, to) = config.media.ports;
    let addresses: Vec<String> = config.media.addresses.iter().map(ToString::to_string).collect();
    info!("media on {}, ports {from}-{to}", addresses.join(" and "));
    let scheme = if config.http.tls.is_some() { "https" } else { "http" };
    info!("HTTP on {scheme}://{http}");
    if config.http.auth_token.is_none() && is_local(http.ip()) {
        warn!("HTTP asks for no credentials: everybody on this machine may use it; set http.auth to change that");
    }
    let users: Vec<&str> = config.users.iter().map(|u| u.name.as_str()).collect();
    match users.as_slice() {
        [] => {}
        few if few.len() <= 10 => info!("users who can register: {}", few.join(", ")),
        [first, ..] => info!("{} users can register, {first} and others", users.len()),
    }
    let trunks: Vec<&str> = config.trunks.iter().map(|t| t.name.as_str()).collect();
    if !trunks.is_empty() {
        info!("trunks: {}", trunks.join(", "));
    }
    if let (Some(context), Some(listener)) = (&config.sip.anonymous_context, listeners.first()) {
        open_numbers(loaded, context, listener);
    }
}

/// What a caller without credentials can call: a demonstration, mostly.
fn open_numbers(loaded: &Loaded, context: &str, listener: &Listener) {
    let numbers = loaded.dialplan.numbers(context);
    let shown: Vec<&str> = numbers.iter().take(NUMBERS_MAX).copied().collect();
    if !shown.is_empty() {
        info!("numbers that anybody can call at sip:NUMBER@{}: {}", listener.advertised, shown.join(", "));
    }
    if !is_local(listener.local.ip()) {
        warn!("callers without credentials are let in from the network (sip.anonymous_context: {context})");
    }
}
