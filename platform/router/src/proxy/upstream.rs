//! Connections to endpoints: HTTP/1.1 on a line or from hyper's pool, or one of HTTP/2 to each that said so when it registered.
//!
//! By HTTP/2 an endpoint sees the client's authority as `:authority`, as it sees it in `Host` by HTTP/1.1 (RFC 9113 section
//! 8.3.1). A connection that was unused for as long as the pool keeps one is replaced, so that no request meets one that is
//! being closed. Upgrades always go by HTTP/1.1. Who is asked, how long, and what a failure means is not decided here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use flame_service_host::connecting::connect;
use flame_service_host::connector::Connector;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::body::Lent;
use super::line::{LineError, Lines};
use super::source::Source;
use crate::config;
use crate::registry::Call;

/// What is taken ahead of one answer, and of all answers of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Longest head of an answer by HTTP/2.
const HEAD_MAX_BYTES: u32 = 64 << 10;
/// An endpoint that is silent while an answer is waited for is asked so often whether its machine is there, and given up
/// after as long again.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Why nothing came, whatever was spoken.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How a request was lost.
#[derive(Debug)]
pub(super) enum Unsent {
    /// No connection: nobody saw it.
    Connect(Cause),
    /// The connection broke before the answer's head.
    Broken(Cause),
}

/// Sends requests to endpoints.
pub(super) struct Upstream {
    lines: Arc<Lines>,
    pool: legacy::Client<Connector, Lent>,
    shared: Shared,
}

/// The connections by HTTP/2, one to an endpoint.
struct Shared {
    connections: Mutex<HashMap<SocketAddr, Slot>>,
    /// What drives them; they end with this.
    drivers: Mutex<JoinSet<()>>,
    connect_timeout: Duration,
    idle: Duration,
}

/// Held while a connection is opened, so that one is enough for all who wait.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

#[derive(Clone)]
struct Connection {
    sender: SendRequest<Lent>,
    used: Instant,
}

// === impl Upstream ===

impl Upstream {
    /// For `cores` threads that ask.
    pub(super) fn new(connector: Connector, settings: &config::Upstream, cores: usize) -> Self {
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.pool_idle.0)
            .pool_max_idle_per_host(settings.pool_max_idle)
            .build(connector);
        let (connections, drivers) = (Mutex::default(), Mutex::default());
        let (connect_timeout, idle) = (settings.connect_timeout.0, settings.pool_idle.0);
        let lines = Lines::new(settings, cores);
        Self { lines, pool, shared: Shared { connections, drivers, connect_timeout, idle } }
    }

    /// Sends a request of that head and body for `path_and_query` to the endpoint that `call` goes to. Over TLS, HTTP/1.1
    /// is spoken.
    pub(super) async fn send(
        &self,
        call: &Call,
        path_and_query: &str,
        head: &Parts,
        body: Lent,
    ) -> Result<Response<Source>, Unsent> {
        let to = &call.choice;
        let is_upgrade = head.headers.contains_key(header::UPGRADE);
        if !to.tls && !to.http2 && !is_upgrade && body.is_end_stream() && Lines::takes(head, path_and_query) {
            let answer = self.lines.ask(to.address, head, path_and_query).await;
            return Ok(answer?.map(Source::Line));
        }
        // In a box of its own: nearly every request does without.
        Box::pin(self.send_generally(call, path_and_query, head, body)).await
    }

    async fn send_generally(
        &self,
        call: &Call,
        path_and_query: &str,
        head: &Parts,
        body: Lent,
    ) -> Result<Response<Source>, Unsent> {
        let gate = body.gate();
        let mut request = Request::from_parts(head.clone(), body);
        *request.uri_mut() = call.uri(path_and_query);
        if call.choice.http2 && !call.choice.tls && !head.headers.contains_key(header::UPGRADE) {
            return Ok(self.shared.send(call.choice.address, request).await?.map(Source::General));
        }
        if let Some(gate) = gate {
            hyper::ext::on_informational(&mut request, move |answer| {
                if answer.status() == StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        match self.pool.request(request).await {
            Ok(answer) => Ok(answer.map(Source::General)),
            Err(error) if error.is_connect() => Err(Unsent::Connect(error.into())),
            Err(error) => Err(Unsent::Broken(error.into())),
        }
    }

    /// Lets go of connections that nobody has used for long.
    pub(super) fn sweep(&self) {
        self.lines.sweep();
    }
}

// === impl Unsent ===

impl From<LineError> for Unsent {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Connect(..) => Self::Connect(error.into()),
            LineError::Broken(..) | LineError::Malformed(..) => Self::Broken(error.into()),
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn send(&self, to: SocketAddr, mut request: Request<Lent>) -> Result<Response<Incoming>, Unsent> {
        if let Some(host) = request.headers_mut().remove(header::HOST)
            && let Ok(authority) = Authority::try_from(host.as_bytes())
        {
            let mut parts = request.uri().clone().into_parts();
            parts.authority = Some(authority);
            if let Ok(uri) = axum::http::Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        // The body goes without being asked for: there is no waiting for 100 within a stream here.
        request.headers_mut().remove(header::EXPECT);
        for is_last in [false, true] {
            let mut sender = self.connection(to).await?;
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(mut error) => match error.take_message() {
                    // It closed before a byte was sent.
                    Some(unsent) if !is_last => request = unsent,
                    _ => return Err(Unsent::Broken(error.into_error().into())),
                },
            }
        }
        unreachable!("the last round returns")
    }

    async fn connection(&self, to: SocketAddr) -> Result<SendRequest<Lent>, Unsent> {
        let slot = {
            let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(connections.entry(to).or_default())
        };
        let mut held = slot.lock().await;
        if let Some(Connection { sender, used }) = &mut *held
            && !sender.is_closed()
            && used.elapsed() < self.idle
        {
            *used = Instant::now();
            return Ok(sender.clone());
        }
        *held = None;
        let sender = timeout(self.connect_timeout, self.open(to)).await;
        let sender = sender.unwrap_or_else(|_| Err(Unsent::Connect("no connection in time".into())))?;
        *held = Some(Connection { sender: sender.clone(), used: Instant::now() });
        Ok(sender)
    }

    async fn open(&self, to: SocketAddr) -> Result<SendRequest<Lent>, Unsent> {
        let stream = connect(|| TcpStream::connect(to)).await.map_err(|error| Unsent::Connect(error.into()))?;
        stream.set_nodelay(true).map_err(|error| Unsent::Connect(error.into()))?;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_MAX_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY);
        let opened = http.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| Unsent::Connect(error.into()))?;
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        while drivers.try_join_next().is_some() {}
        drivers.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, %to, "a connection to an endpoint broke");
            }
        });
        drop(drivers);
        self.forget_closed(to);
        Ok(sender)
    }

    /// Those to endpoints that are gone would stay for ever.
    fn forget_closed(&self, but: SocketAddr) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|address, slot| {
            // Held: somebody opens it just now.
            let Ok(held) = slot.try_lock() else { return true };
            *address == but || held.as_ref().is_some_and(|connection| !connection.sender.is_closed())
        });
    }
}
