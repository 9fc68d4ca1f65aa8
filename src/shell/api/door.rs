//! The listener with a bound on connections, and on how long one may say nothing: who is not authenticated takes no more room.

use crate::shell::net::{prepare, tls};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Connections at once; the next wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;
/// A connection on which nothing was read or written for so long is closed. Longer than a client keeps one open between two
/// scrapes.
const IDLE: Duration = Duration::from_secs(75);
/// A TLS handshake must be over after so long.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// What has left HTTP's bounds has others of its own, which are shorter.
const LEFT: Duration = Duration::from_secs(86_400);

/// See the module's documentation.
pub struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    idle: Duration,
    tls: tls::Tls,
    /// Those who have shaken hands; each waits for its turn with a place of its own.
    shaken: (mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>),
}

type Arrival = (Visitor, SocketAddr);

impl Door {
    /// Speaks TLS if there is a certificate for it.
    pub fn new(listener: TcpListener, tls: tls::Tls) -> Door {
        Door::with(listener, tls, CONNECTIONS_MAX, IDLE)
    }

    fn with(listener: TcpListener, tls: tls::Tls, connections: usize, idle: Duration) -> Door {
        let shaken = mpsc::channel(connections);
        Door { listener, room: Arc::new(Semaphore::new(connections)), idle, tls, shaken }
    }
}

/// Handshakes go on beside each other: one that is slow holds nobody up.
async fn shake_hands(
    acceptor: tls::TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    idle: Duration,
    shaken: mpsc::Sender<Arrival>,
) {
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let visitor = Visitor::new(Wire::Tls(Box::new(stream)), peer, place, idle);
            let _ = shaken.send((visitor, peer)).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "HTTP: a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "HTTP: a TLS handshake took too long"),
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            let Door { listener, room, idle, tls, shaken } = self;
            let next = async {
                let place = Arc::clone(room).acquire_owned().await;
                (place, Listener::accept(listener).await)
            };
            let (place, (stream, peer)) = tokio::select! {
                Some(visitor) = shaken.1.recv() => return visitor,
                next = next => next,
            };
            // The room is never closed.
            let Ok(place) = place else { continue };
            prepare(&stream);
            match tls.http_acceptor() {
                None => return (Visitor::new(Wire::Plain(stream), peer, place, *idle), peer),
                Some(acceptor) => {
                    tokio::spawn(shake_hands(acceptor, stream, peer, place, *idle, shaken.0.clone()));
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<tls::Accepted>),
}

/// Who is connected, as handlers see it.
#[derive(Clone)]
pub struct Caller {
    pub peer: SocketAddr,
    lease: Arc<Lease>,
}

/// A place among HTTP's connections.
struct Lease {
    place: Mutex<Option<OwnedSemaphorePermit>>,
    has_left: AtomicBool,
}

impl Caller {
    /// The connection is HTTP's no more: its place is free for another, and its time is somebody else's to watch.
    pub fn leave(&self) {
        self.lease.has_left.store(true, Ordering::Release);
        drop(self.lease.place.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Caller {
        stream.io().caller.clone()
    }
}

/// A connection with its place and its time.
pub struct Visitor {
    wire: Wire,
    caller: Caller,
    idle: Duration,
    until: Pin<Box<Sleep>>,
}

impl Visitor {
    fn new(wire: Wire, peer: SocketAddr, place: OwnedSemaphorePermit, idle: Duration) -> Visitor {
        let lease = Arc::new(Lease { place: Mutex::new(Some(place)), has_left: AtomicBool::new(false) });
        Visitor { wire, caller: Caller { peer, lease }, idle, until: Box::pin(sleep(idle)) }
    }

    fn is_alive(&mut self) {
        let idle = if self.caller.lease.has_left.load(Ordering::Acquire) { LEFT } else { self.idle };
        self.until.as_mut().reset(Instant::now() + idle);
    }
}

impl AsyncRead for Visitor {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        if let Poll::Ready(read) = read {
            self.is_alive();
            return Poll::Ready(read);
        }
        ready!(self.until.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        });
        self.is_alive();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn ask(stream: &mut std::net::TcpStream) -> String {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// Two who say nothing hold both places; when their time is over the third is answered.
    #[test]
    fn who_says_nothing_does_not_keep_the_others_out() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let door = Door::with(
                TcpListener::from_std(listener).unwrap(),
                tls::Tls::default(),
                2,
                Duration::from_millis(100),
            );
            axum::serve(door, axum::Router::new().route("/", axum::routing::get(|| async { "hello" }))).await
        });
        let mut silent: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let mut third = std::net::TcpStream::connect(address).unwrap();
        assert!(ask(&mut third).ends_with("hello"));
        for stream in &mut silent {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "closed");
        }
    }

    /// One who opens a connection and says nothing holds up nobody's handshake.
    #[test]
    fn with_a_certificate_it_speaks_tls() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let folder = tls::tests::Folder::new("door");
        folder.authority("a", (2020, 4000));
        let tls = folder.http();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let door = Door::new(listener, tls.clone());
            let router = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
            tokio::spawn(async move { axum::serve(door, router).await });
            let _silent = TcpStream::connect(address).await.unwrap();
            let (connector, name, _) = tls.connector(None, address.ip()).unwrap();
            let mut stream = connector.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        });
        assert!(answer.ends_with("hello"), "{answer}");
    }
}
