//! Where viewers connect: a small HTTP/1.1 loop for plain GET and HEAD requests, and hyper for everything else.
//!
//! A hit is one lookup and one `writev` (or `sendfile`), without a task, a channel or a copy for each request; that is what
//! makes it faster than a general server. The loop takes only requests that leave no doubt: HTTP/1.1, one host, no body, no
//! upgrade, no expectation. A connection on which anything else comes is handed to hyper for good, with the bytes that were
//! read already, and gets the same answers there. So is every connection over TLS, where bytes cannot go from file to socket.

mod handover;
pub(crate) mod head;
mod write;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use flame_naming::identity::url;
use flame_service_host::Acceptor;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Content};
use crate::front::{Asked, Front};
use crate::shelf::count;
use head::{Kind, Parsed, Plain};
pub(crate) use write::{Span, span};

/// Longest request head; a longer one gets 431.
pub(crate) const HEAD_MAX_BYTES: usize = 64 << 10;
/// Room for a request head at first.
const HEAD_BYTES: usize = 4 << 10;

/// How connections are treated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub max_connections: usize,
    /// Time for a request head, and for the next one on an idle connection.
    pub head_timeout: Duration,
    /// Time that a viewer may take nothing of what is written to it.
    pub write_idle: Duration,
    /// Time that open answers get when the service stops.
    pub drain: Duration,
}

/// One viewer's connection.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    limits: Limits,
    stop: CancellationToken,
    read: BytesMut,
    head: Vec<u8>,
    key: String,
}

/// How a connection goes on after a request.
enum Next {
    Request,
    Handover,
    Close,
}

/// Serves `front` on `listener` until `stop`, then lets open answers finish; over TLS where there is an `acceptor`.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    front: Arc<Front>,
    limits: Limits,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
            () = stop.cancelled() => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: going on at once would spin.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        if let Some(acceptor) = acceptor.clone() {
            let (front, stop) = (Arc::clone(&front), stop.clone());
            connections.spawn(async move {
                let ended = match stop.run_until_cancelled(acceptor.accept(stream)).await {
                    Some(Ok((stream, _))) => handover::serve(stream, peer, Bytes::new(), front, limits, stop).await,
                    Some(Err(error)) => Err(error),
                    None => Ok(()),
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, %peer, "a connection broke");
                }
                drop(slot);
            });
            continue;
        }
        let key = front.key_prefix().to_owned();
        let connection = Connection {
            stream,
            peer,
            front: Arc::clone(&front),
            limits,
            stop: stop.clone(),
            read: BytesMut::with_capacity(HEAD_BYTES),
            head: Vec::with_capacity(1024),
            key,
        };
        connections.spawn(async move {
            if let Err(error) = connection.run().await {
                tracing::debug!(%error, %peer, "a connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, all).await.is_err() {
        tracing::warn!(drain_s = limits.drain.as_secs(), "answers were still open when the drain time was over");
    }
}

// === impl Connection ===

impl Connection {
    async fn run(mut self) -> io::Result<()> {
        // One timer for the whole connection: it is moved on only when it fires.
        let mut deadline = Instant::now() + self.limits.head_timeout;
        let timer = tokio::time::sleep_until(deadline);
        tokio::pin!(timer);
        loop {
            let upstream = &self.front.upstream;
            let (parsed, kind) = head::parse(&self.read, upstream.id(), upstream.settings().hops);
            let next = match parsed {
                Parsed::Partial if self.read.len() >= HEAD_MAX_BYTES => Next::Handover,
                Parsed::Partial => {
                    if !self.more(timer.as_mut(), deadline).await? {
                        return Ok(());
                    }
                    continue;
                }
                // hyper words the refusal.
                Parsed::Doubtful => Next::Handover,
                Parsed::Whole(plain) => {
                    let length = plain.length;
                    let answered = self.request(kind, plain).await?;
                    self.read.advance(length);
                    answered
                }
            };
            match next {
                Next::Request if self.stop.is_cancelled() => return Ok(()),
                Next::Request => deadline = Instant::now() + self.limits.head_timeout,
                Next::Close => return self.close(),
                Next::Handover => {
                    let Self { stream, peer, front, limits, stop, read, .. } = self;
                    return handover::serve(stream, peer, read.freeze(), front, limits, stop).await;
                }
            }
            // Pipelined hits must not keep the others of this thread waiting.
            tokio::task::consume_budget().await;
        }
    }

    /// Answers one request.
    async fn request(&mut self, kind: Kind, plain: Plain) -> io::Result<Next> {
        let Plain { target, length, is_head, keeps_alive } = plain;
        // Method, target and fields were parsed out of these very bytes.
        let Ok(text) = std::str::from_utf8(&self.read[target]) else { return Ok(Next::Close) };
        let mut hit = None;
        if kind == Kind::Plain && url::is_plain(text) {
            self.key.truncate(self.front.key_prefix().len());
            self.key.push_str(text);
            hit = self.front.hit(&self.key, is_head);
        }
        let (mut answer, mut delay) = match hit {
            Some(answer) => (answer, Duration::ZERO),
            None => {
                let began = Instant::now();
                let (headers, peer) = (head::fields(&self.read[..length]), Some(self.peer.ip()));
                let asked = Asked { is_head, target: text.to_owned(), headers, peer };
                (self.front.answer(asked).await, began.elapsed())
            }
        };
        if self.front.takes_turns() && !is_head {
            let began = Instant::now();
            answer = self.front.in_turn(answer).await;
            delay += began.elapsed();
        }
        if is_head {
            // A refusal has a body, too, and a HEAD never.
            answer.content = Content::None;
        }
        self.log(text_of(&self.read[..length]), &answer);
        self.front.exchanges.count(answer.status().as_u16(), delay, 0, answer.content.length());
        let keeps_alive = keeps_alive && !self.stop.is_cancelled();
        let asset = answer.asset.clone();
        let (stream, patience) = (&self.stream, self.limits.write_idle);
        let sent = write::answer(stream, &mut self.head, answer, delay, keeps_alive, patience, &self.front).await;
        if let (Err(_), Some(asset)) = (&sent, &asset) {
            count(&asset.abandoned, 1);
        }
        let stays = sent?;
        Ok(if stays && keeps_alive { Next::Request } else { Next::Close })
    }

    /// Reads more of a head; false where the viewer is gone or takes too long.
    async fn more(&mut self, mut timer: std::pin::Pin<&mut Sleep>, deadline: Instant) -> io::Result<bool> {
        self.read.reserve(HEAD_BYTES);
        let is_idle = self.read.is_empty();
        loop {
            tokio::select! {
                biased;
                // A read of less than there is room for has emptied the socket: the kernel is not asked once more.
                read = self.stream.read_buf(&mut self.read) => return Ok(read? > 0),
                () = &mut timer => {
                    if Instant::now() >= deadline {
                        return Ok(false);
                    }
                    timer.as_mut().reset(deadline);
                }
                // A router sends again what it sent to a connection that closes before it answers.
                () = self.stop.cancelled(), if is_idle => return Ok(false),
            }
        }
    }

    fn close(self) -> io::Result<()> {
        rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write).map_err(io::Error::from)
    }

    fn log(&self, line: &str, answer: &Answer) {
        tracing::info!(
            target: "access",
            front = %self.front.name,
            request = &*url::without_token(line),
            status = answer.status().as_u16(),
            cache = answer.cache_status,
        );
    }
}

/// The request line, for the log.
fn text_of(head: &[u8]) -> &str {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    std::str::from_utf8(line).unwrap_or_default()
}
