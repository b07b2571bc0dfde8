//! Plain GET and HEAD requests, read and answered without a general HTTP server.
//!
//! Most of what a router and a media service are asked is a GET of HTTP/1.1 with a handful of fields. For those a small
//! loop over one connection does: the head is parsed in place, and head and first piece of the answer leave in one write.
//! It takes only requests that leave no doubt ([`head`]). A connection on which anything else comes goes to hyper for
//! good, with the bytes that were read, and is answered there by the same code. What an answer is, is never decided here.

pub mod head;
mod prefixed;
mod write;

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Extensions, Method, Uri};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::connection::HEAD_MAX_BYTES;
use crate::server::{App, Limits};
use head::{Parsed, Plain};
pub use prefixed::Prefixed;

/// Room that a read has.
const ROOM_BYTES: usize = 4 << 10;
/// Room for the head of an answer at first.
const TEXT_BYTES: usize = 1 << 10;

/// One client's connection.
struct Connection<S> {
    socket: S,
    read: BytesMut,
    /// What is to be written next.
    text: Vec<u8>,
}

/// Answers plain requests on `socket`; gives it back when another one comes. `None` when it is over.
pub(crate) async fn serve<S>(
    socket: S,
    known: &Extensions,
    app: &App,
    limits: &Limits,
    stop: &CancellationToken,
) -> io::Result<Option<Prefixed<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (read, text) = (BytesMut::with_capacity(ROOM_BYTES), Vec::with_capacity(TEXT_BYTES));
    let mut connection = Connection { socket, read, text };
    // One timer and one look at the stop for the whole connection; the timer is moved on only when it fires.
    let mut deadline = Instant::now() + limits.head_timeout;
    let mut timer = pin!(tokio::time::sleep_until(deadline));
    let mut stopped = pin!(stop.cancelled());
    loop {
        let plain = match head::parse(&connection.read, |_, _| {}) {
            Parsed::Partial if connection.read.len() < HEAD_MAX_BYTES => {
                if !connection.more((timer.as_mut(), deadline), stopped.as_mut()).await? {
                    return Ok(None);
                }
                continue;
            }
            // hyper words the refusal.
            Parsed::Partial | Parsed::Doubtful => return Ok(Some(connection.hand_over())),
            Parsed::Whole(plain) => plain,
        };
        let Some(request) = request(&connection.read[..plain.length], &plain, known) else {
            return Ok(Some(connection.hand_over()));
        };
        connection.read.advance(plain.length);
        let answer = {
            let mut answer = pin!(app.answer(request));
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                () = connection.gone() => return Ok(None),
            }
        };
        let may_follow = plain.keeps_alive && !stop.is_cancelled();
        if !connection.answer(answer, plain.is_head, may_follow).await? {
            connection.socket.shutdown().await?;
            return Ok(None);
        }
        deadline = Instant::now() + limits.head_timeout;
        // Pipelined requests must not keep the others of this thread waiting.
        tokio::task::consume_budget().await;
    }
}

/// `None` where the target or a field has bytes that it may not have.
fn request(head: &[u8], plain: &Plain, known: &Extensions) -> Option<Request> {
    // The request's own: what is read next has the room of what was read before.
    let head = Bytes::copy_from_slice(head);
    let mut request = Request::new(Body::empty());
    *request.method_mut() = if plain.is_head { Method::HEAD } else { Method::GET };
    *request.uri_mut() = Uri::from_maybe_shared(head.slice(plain.target.clone())).ok()?;
    *request.headers_mut() = head::fields(&head)?;
    *request.extensions_mut() = known.clone();
    Some(request)
}

// === impl Connection ===

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Reads more of a head; false where the client is gone or takes too long, or nothing more is to be read.
    async fn more(
        &mut self,
        (mut timer, deadline): (Pin<&mut Sleep>, Instant),
        mut stopped: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> io::Result<bool> {
        self.read.reserve(ROOM_BYTES);
        let is_idle = self.read.is_empty();
        loop {
            tokio::select! {
                biased;
                // A read of less than there is room for has emptied the socket: the kernel is not asked once more.
                read = self.socket.read_buf(&mut self.read) => return Ok(read? > 0),
                () = &mut timer => {
                    if Instant::now() >= deadline {
                        return Ok(false);
                    }
                    timer.as_mut().reset(deadline);
                }
                // Who sends a request to a connection that closes before it answers sends it again.
                () = &mut stopped, if is_idle => return Ok(false),
            }
        }
    }

    /// Ends when the client leaves before it has its answer. What it sends meanwhile is kept.
    async fn gone(&mut self) {
        gone(&mut self.socket, &mut self.read).await;
    }

    fn hand_over(self) -> Prefixed<S> {
        Prefixed::new(self.read.freeze(), self.socket)
    }
}

async fn gone<S: AsyncRead + Unpin>(socket: &mut S, read: &mut BytesMut) {
    while read.len() < HEAD_MAX_BYTES {
        read.reserve(ROOM_BYTES);
        match socket.read_buf(read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    pending().await
}
