//! A connection to a server that one request after the other goes over.

use super::connect::Stream;
use super::message::{Head, Rest};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

/// What is read at once. The thread's connections share it: one that only waits has no buffer.
const READ_BYTES: usize = 16 * 1024;

/// What a connection that waits keeps of its buffer.
const IDLE_BYTES_MAX: usize = 512;

thread_local! {
    static COMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

pub struct Connection {
    stream: Stream,
    /// What came and is not read yet.
    buffer: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Broken {
    /// What came is no HTTP.
    Protocol(String),
    /// The server closed the connection.
    Early,
    System(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Protocol(why) => write!(f, "the answer is not HTTP: {why}"),
            Broken::Early => f.write_str("the server broke off before the end of its answer"),
            Broken::System(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl Connection {
    pub fn new(stream: Stream) -> Connection {
        Connection { stream, buffer: Vec::new() }
    }

    /// Sends a request, waits for the head of its answer. No time limit of its own.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Head, Broken> {
        self.stream.write_all(request).await.map_err(Broken::System)?;
        self.stream.flush().await.map_err(Broken::System)?;
        loop {
            let come = self.more().await.map_err(Broken::System)?;
            if let Some(head) = Head::take(&mut self.buffer, come).map_err(Broken::Protocol)? {
                return Ok(head);
            }
            if come == 0 {
                return Err(Broken::Early);
            }
        }
    }

    /// Moves what has come of a body to its end; true: it is whole.
    pub fn take(&mut self, rest: &mut Rest, body: &mut Vec<u8>) -> Result<bool, Broken> {
        rest.take(&mut self.buffer, body).map_err(Broken::Protocol)
    }

    /// Waits until more comes, and says how much; 0: that was all. No time limit of its own.
    pub async fn more(&mut self) -> io::Result<usize> {
        poll_fn(|context| self.poll_more(context)).await
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        COMING.with_borrow_mut(|coming| {
            let mut coming = ReadBuf::new(coming);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut coming))?;
            self.buffer.extend_from_slice(coming.filled());
            Poll::Ready(Ok(coming.filled().len()))
        })
    }

    /// The answer is read: what a long one took is given back.
    pub fn settle(&mut self) {
        if self.buffer.capacity() > IDLE_BYTES_MAX {
            self.buffer.shrink_to(IDLE_BYTES_MAX);
        }
    }

    /// Nothing has come since the last answer: no end, no error, and nothing that nobody asked for.
    pub fn is_open(&mut self) -> bool {
        self.buffer.is_empty() && self.poll_more(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}
