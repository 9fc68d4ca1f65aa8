//! Listening: who comes in, and how many TLS handshakes are under way at once.

use super::{Line, Shared, converse};
use crate::sip::transport::{Flow, ListenerId, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A nonblocking listening socket; the port can be bound again at once after a restart.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1_024)?;
    Ok(socket.into())
}

pub async fn accept(shared: Arc<Shared>, listener: ListenerId, transport: Transport, socket: tokio::net::TcpListener) {
    let handshakes = Handshakes::default();
    loop {
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: the queue of the kernel holds the rest.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        converse::prepare(&stream);
        let flow = Flow { listener, transport, peer, connection: 0 };
        if transport == Transport::Tls {
            let Some(place) = handshakes.enter(&shared, peer.ip()) else {
                tracing::debug!(%peer, "a connection was refused: too many TLS handshakes are under way");
                continue;
            };
            tokio::spawn(shake_hands(Arc::clone(&shared), flow, stream, place));
        } else if let Some(line) = enter(&shared, flow) {
            line.reports.stands(stream.local_addr());
            let (reading, writing) = stream.into_split();
            tokio::spawn(converse::converse(line, reading, writing));
        }
    }
}

fn enter(shared: &Arc<Shared>, flow: Flow) -> Option<Line> {
    let line = shared.enter(flow, None);
    if line.is_none() {
        let most = shared.limits.connections_max;
        tracing::warn!(peer = %flow.peer, "a connection was refused: there are {most} already");
    }
    line
}

async fn shake_hands(shared: Arc<Shared>, flow: Flow, stream: TcpStream, place: Place) {
    // A listener without a certificate is not bound.
    let Some(acceptor) = shared.tls.sip_acceptor() else { return };
    let local = stream.local_addr();
    let stream = match timeout(shared.limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(peer = %flow.peer, %error, "TLS: a peer's handshake failed"),
        Err(_) => return tracing::info!(peer = %flow.peer, "TLS: a peer's handshake took too long"),
    };
    drop(place);
    let Some(mut line) = enter(&shared, flow) else { return };
    line.reports.stands(local);
    line.reports.shown = stream.get_ref().1.peer_certificates().map(Into::into);
    let (reading, writing) = tokio::io::split(stream);
    converse::converse(line, reading, writing).await;
}

/// TLS handshakes under way, by source.
#[derive(Clone, Default)]
struct Handshakes(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them; dropped when it is over.
struct Place(Handshakes, IpAddr);

impl Handshakes {
    fn enter(&self, shared: &Shared, source: IpAddr) -> Option<Place> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = table.values().sum();
        let own = table.get(&source).copied().unwrap_or(0);
        if all >= shared.limits.handshakes_max || own >= shared.limits.handshakes_per_source_max {
            return None;
        }
        table.insert(source, own + 1);
        drop(table);
        Some(Place(self.clone(), source))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = table.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                table.remove(&self.1);
            }
        }
    }
}
