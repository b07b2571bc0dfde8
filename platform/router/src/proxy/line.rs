//! Lines to endpoints: connections of plain HTTP/1.1 for GET and HEAD without a body, which is nearly all that is passed on.
//!
//! A line is asked by the task that has the client's request, and its answer is read by the same: nothing is queued,
//! spawned or handed to another thread on the way, and what comes is passed on without being copied. Lines that may be used
//! again wait, bounded in number and time. Requests with a body, upgrades, TLS and HTTP/2 go through hyper's clients. What
//! an answer is worth is not decided here.

pub(crate) mod flow;
pub(crate) mod head;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{Method, Response};
use bytes::{Buf, BytesMut};
use flame_service_host::connecting::connect;
use flame_service_host::cores;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config;
pub(crate) use flow::Flow;
use head::{Answer, Read};

/// Room for an answer's head and what comes with it. A line that waits keeps no more.
const ROOM_BYTES: usize = 16 << 10;

/// The lines that wait.
#[derive(Debug)]
pub(super) struct Lines {
    /// By the thread that they belong to: whoever asks gets a line whose socket is looked at where he is.
    waiting: Box<[Mutex<Shelf>]>,
    connect_timeout: Duration,
    /// How long a line waits.
    idle: Duration,
    /// How many wait on a thread for each endpoint.
    idle_max: usize,
}

type Shelf = HashMap<SocketAddr, Vec<Waiting>>;

#[derive(Debug)]
struct Waiting {
    line: Line,
    since: Instant,
}

/// A connection to an endpoint.
#[derive(Debug)]
struct Line {
    address: SocketAddr,
    stream: TcpStream,
    /// What was read and not yet taken.
    read: BytesMut,
    /// Room for a request's head.
    text: Vec<u8>,
}

/// Why an endpoint gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// Nobody took the connection.
    #[error("no connection to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    /// It broke off before the head of an answer was there.
    #[error("{0} broke off")]
    Broken(SocketAddr, #[source] io::Error),
    /// What came is no answer.
    #[error("{0} sent no HTTP: {1}")]
    Malformed(SocketAddr, &'static str),
}

// === impl Lines ===

impl Lines {
    /// For so many threads of connections, and all others.
    pub(super) fn new(settings: &config::Upstream, cores: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: (0..=cores).map(|_| Mutex::default()).collect(),
            connect_timeout: settings.connect_timeout.0,
            idle: settings.pool_idle.0,
            idle_max: settings.pool_max_idle.div_ceil(cores.max(1)),
        })
    }

    /// Whether a request without a body may be asked on a line.
    pub(super) fn takes(request: &Parts, path_and_query: &str) -> bool {
        [Method::GET, Method::HEAD].contains(&request.method) && head::is_target(path_and_query)
    }

    /// Asks the endpoint at `address` for `path_and_query` with the method and the fields of `request`. The line waits
    /// again when the answer's body has come to its end.
    pub(super) async fn ask(
        self: &Arc<Self>,
        address: SocketAddr,
        request: &Parts,
        path_and_query: &str,
    ) -> Result<Response<Flow>, LineError> {
        let broken = |error| LineError::Broken(address, error);
        let mut line = match self.waiting(address) {
            Some(line) => line,
            None => self.connect(address).await?,
        };
        head::write(&mut line.text, request, path_and_query, address);
        line.stream.write_all(&line.text).await.map_err(broken)?;
        loop {
            line.make_room(ROOM_BYTES);
            if line.stream.read_buf(&mut line.read).await.map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            // A head that says that more is to come may be followed by that at once.
            loop {
                match head::read(&line.read, &request.method).map_err(|why| LineError::Malformed(address, why))? {
                    Read::Whole(length, answer) => {
                        line.read.advance(length);
                        let Answer { head, framing, keeps_alive } = *answer;
                        let flow = Flow::new(line, Arc::clone(self), framing, keeps_alive);
                        return Ok(Response::from_parts(head, flow));
                    }
                    Read::Interim(length) => line.read.advance(length),
                    Read::Partial => break,
                }
            }
        }
    }

    /// Lets go of lines that have waited too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for shelf in &self.waiting {
            lock(shelf).retain(|_, lines| {
                lines.retain(|waiting| now.duration_since(waiting.since) < self.idle);
                !lines.is_empty()
            });
        }
    }

    async fn connect(&self, address: SocketAddr) -> Result<Line, LineError> {
        let refused = |error| LineError::Connect(address, error);
        let connected = timeout(self.connect_timeout, connect(|| TcpStream::connect(address))).await;
        let stream = connected.map_err(|late| refused(late.into()))?.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        Ok(Line { address, stream, read: BytesMut::new(), text: Vec::new() })
    }

    /// The line that waited shortest, if it is still good.
    fn waiting(&self, address: SocketAddr) -> Option<Line> {
        let now = Instant::now();
        loop {
            let waiting = lock(self.shelf()).get_mut(&address)?.pop()?;
            // Those below have waited longer: they go with the next sweep.
            if now.duration_since(waiting.since) < self.idle && waiting.line.is_silent() {
                return Some(waiting.line);
            }
        }
    }

    fn keep(&self, mut line: Line) {
        if line.read.capacity() > ROOM_BYTES {
            line.read = BytesMut::new();
        }
        let since = Instant::now();
        let mut all = lock(self.shelf());
        let lines = all.entry(line.address).or_default();
        if lines.len() < self.idle_max {
            lines.push(Waiting { line, since });
        }
    }

    fn shelf(&self) -> &Mutex<Shelf> {
        &self.waiting[cores::current() % self.waiting.len()]
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    // Nothing under the lock panics half-way: what is there is whole.
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Line ===

impl Line {
    /// Whether nothing came while it waited: an end, or what nobody asked for. As far as is known without waiting.
    fn is_silent(&self) -> bool {
        let mut octet = [0];
        matches!(self.stream.try_read(&mut octet), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn make_room(&mut self, wanted: usize) {
        // Where nothing of what was read before is in use any more, the same memory is used again.
        if self.read.capacity() - self.read.len() < wanted {
            self.read.reserve(wanted);
        }
    }
}
