//! What a start says: where the switch listens, who can register, what can be called.

use super::is_local;
use crate::shell::files::Loaded;
use crate::sip::transport::Listener;
use std::net::SocketAddr;
use tracing::{info, warn};

/// Logs it, a line a topic.
pub fn banner(loaded: &Loaded, listeners: &[Listener], http: SocketAddr, files_max: u64) {
    let config = &loaded.config;
    info!(
        version = env!("CARGO_PKG_VERSION"), node = config.node, configuration = %loaded.file.display(), open_files = files_max,
        "tandem starts"
    );
    for l in listeners {
        let (transport, local) = (l.transport.as_param(), l.local);
        if l.advertised == local {
            info!("listening on {transport}://{local}");
        } else {
            info!("listening on {transport}://{local}, known to peers as {}", l.advertised);
        }
    }
    let (from, to) = config.media.ports;
    let addresses: Vec<String> = config.media.addresses.iter().map(ToString::to_string).collect();
    info!("media on {}, ports {from}-{to}", addresses.join(" and "));
    info!("HTTP on http://{http}");
    if config.http.auth_token.is_none() && is_local(http.ip()) {
        warn!("HTTP asks for no credentials: everybody on this machine may use it; set http.auth to change that");
    }
    let users: Vec<&str> = config.users.iter().map(|u| u.name.as_str()).collect();
    match users.as_slice() {
        [] => info!("no users"),
        [.., _] if users.len() <= 10 => info!("users: {}", users.join(", ")),
        [first, ..] => info!("{} users, {first} and others", users.len()),
    }
    let trunks: Vec<&str> = config.trunks.iter().map(|t| t.name.as_str()).collect();
    if !trunks.is_empty() {
        info!("trunks: {}", trunks.join(", "));
    }
}
