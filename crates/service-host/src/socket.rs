//! A client's connection that is given up when the client takes nothing any more.
//!
//! Bytes that a client does not take stay here: in buffers, with the task and the open file behind them. One that stops
//! reading for good is not noticed by TCP while its machine still answers, so the connection ends itself: as soon as a
//! write has waited for the configured time without one byte of progress. Time in which there is nothing to write does
//! not count, however slowly an answer is made.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A connection with bounded patience for writes.
#[derive(Debug)]
pub struct Socket<T> {
    stream: T,
    write_idle: Duration,
    /// Runs only while a write waits.
    patience: Pin<Box<Sleep>>,
    is_waiting: bool,
}

// === impl Socket ===

impl<T: AsyncWrite + Unpin> Socket<T> {
    /// `stream`, ended when a write waits for `write_idle` without progress.
    #[must_use]
    pub fn new(stream: T, write_idle: Duration) -> Self {
        Self { stream, write_idle, patience: Box::pin(tokio::time::sleep(write_idle)), is_waiting: false }
    }

    /// Passes `outcome` on, unless it has been "not yet" for too long.
    fn patiently<R>(&mut self, outcome: Poll<io::Result<R>>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.is_waiting = false;
            return outcome;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.patience.as_mut().reset(Instant::now() + self.write_idle);
        }
        match self.patience.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the client took nothing for {:?}", self.write_idle),
            ))),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patiently(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.patiently(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up_after_its_time() {
        let idle = Duration::from_millis(50);
        let (client, server) = tokio::io::duplex(16);
        let mut socket = Socket::new(server, idle);
        let began = Instant::now();
        let error = socket.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= idle);
        drop(client);
    }

    #[tokio::test]
    async fn every_byte_taken_begins_the_patience_anew_and_nothing_else_does() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut socket = Socket::new(server, Duration::from_secs(60));
        let mut cx = Context::from_waker(Waker::noop());
        let mut write = |socket: &mut Socket<DuplexStream>| Pin::new(socket).poll_write(&mut cx, &[0; 16]).is_ready();
        assert!(write(&mut socket), "there is room");
        assert!(!write(&mut socket));
        let first = socket.patience.deadline();
        assert!(!write(&mut socket));
        assert_eq!(socket.patience.deadline(), first, "asking again is no progress");
        client.read_u8().await.unwrap();
        assert!(write(&mut socket));
        assert!(!write(&mut socket));
        assert!(socket.patience.deadline() > first);
    }
}
