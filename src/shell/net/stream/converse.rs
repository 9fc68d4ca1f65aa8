//! One connection: messages are cut out of what comes, pings are answered, and what waits is written.

use super::{Line, Reports};
use crate::sip::wire::{Fault, Framer, Message, Writer};
use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What is read at once.
const READ_BYTES: usize = 16 << 10;

thread_local! {
    /// One for all connections of a thread, for a connection that only waits needs no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What every connection wants of its socket.
pub fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)));
}

pub async fn converse<R, W>(mut line: Line, reading: R, writing: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // The reader answers through the writer, with room of its own.
    let (own, own_out) = mpsc::channel(1);
    let reports = line.reports.clone();
    tokio::select! {
        () = read(&reports, reading, own) => {}
        () = write(&mut line, writing, own_out) => {}
    }
    line.fail().await;
}

/// What the connection itself has to say.
enum Own {
    Pong,
    /// The answer to what cannot be read; then the connection ends.
    Last(Bytes),
}

/// The answer to a request at which the stream lost its frame, if enough of it can be read.
fn refusal(framer: &Framer, fault: Fault, peer: SocketAddr) -> Option<Bytes> {
    let Fault::BadRequest { status, reason } = fault else { return None };
    let request = framer.partial().filter(Message::is_request)?;
    Some(Writer::response_to(&request, status, reason, "", peer).finish())
}

/// Reads what is there into the framer; how much it was.
async fn pull<R: AsyncRead + Unpin>(half: &mut R, framer: &mut Framer) -> io::Result<usize> {
    let pull = |cx: &mut std::task::Context<'_>| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *half).poll_read(cx, &mut buffer))?;
            framer.push(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    };
    poll_fn(pull).await
}
async fn read<R: AsyncRead + Unpin>(reports: &Reports, mut half: R, own: mpsc::Sender<Own>) {
    let mut framer = Framer::default();
    let (mut patience, mut is_first) = (reports.limits().first_message, true);
    loop {
        let Ok(Ok(1..)) = timeout(patience, pull(&mut half, &mut framer)).await else { return };
        loop {
            match framer.next_message() {
                Ok(Some(bytes)) => {
                    if std::mem::take(&mut is_first) {
                        reports.first(&bytes);
                    }
                    patience = reports.limits().idle;
                    if !reports.received(bytes).await {
                        return;
                    }
                }
                Ok(None) => break,
                Err(fault) => {
                    tracing::debug!(flow = %reports.flow, ?fault, "a stream cannot be resynchronised");
                    if let Some(answer) = refusal(&framer, fault, reports.flow.peer) {
                        let _ = own.send(Own::Last(answer)).await;
                        // The writer ends the connection; the switch hears nothing more.
                        std::future::pending::<()>().await;
                    }
                    return;
                }
            }
        }
        // One answer does for pings that came together.
        if framer.take_pings() > 0 {
            let _ = own.try_send(Own::Pong);
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(line: &mut Line, mut half: W, mut own: mpsc::Receiver<Own>) {
    let patience = line.reports.limits().write;
    loop {
        let (bytes, is_last) = tokio::select! {
            job = line.next() => match job {
                Some(bytes) => (bytes, false),
                None => break,
            },
            Some(own) = own.recv() => match own {
                Own::Pong => (Bytes::from_static(b"\r\n"), false),
                Own::Last(bytes) => (bytes, true),
            },
        };
        let written = async {
            half.write_all(&bytes).await?;
            // What TLS keeps back when the socket is full.
            half.flush().await
        };
        if !matches!(timeout(patience, written).await, Ok(Ok(()))) {
            return;
        }
        if is_last {
            break;
        }
    }
    let _ = timeout(patience, half.shutdown()).await;
}
