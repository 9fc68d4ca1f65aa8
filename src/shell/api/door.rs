//! The listener with a bound on connections, and on how long one may say nothing: who is not authenticated takes no more room.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once; the next wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;
/// A connection on which nothing was read or written for so long is closed. Longer than a client keeps one open between two
/// scrapes.
const IDLE: Duration = Duration::from_secs(75);

/// See the module's documentation.
pub struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    idle: Duration,
}

impl Door {
    pub fn new(listener: TcpListener) -> Door {
        Door::with(listener, CONNECTIONS_MAX, IDLE)
    }

    fn with(listener: TcpListener, connections: usize, idle: Duration) -> Door {
        Door { listener, room: Arc::new(Semaphore::new(connections)), idle }
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            // Never closed, so it is always got in the end.
            let Ok(place) = Arc::clone(&self.room).acquire_owned().await else { continue };
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            let idle = self.idle;
            return (Visitor { stream, _place: place, idle, until: Box::pin(sleep(idle)) }, peer);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place and its time.
pub struct Visitor {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    idle: Duration,
    until: Pin<Box<Sleep>>,
}

impl Visitor {
    fn is_alive(&mut self) {
        self.until.as_mut().reset(Instant::now() + self.idle);
    }
}

impl AsyncRead for Visitor {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.is_alive();
            return Poll::Ready(read);
        }
        ready!(self.until.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.is_alive();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
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
            let door = Door::with(TcpListener::from_std(listener).unwrap(), 2, Duration::from_millis(100));
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
}
