//! The accept loop: bounded connections, a deadline on every request head, bounded patience with
//! clients that take nothing, and a graceful end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::access;
use crate::host::Front;
use crate::metrics::Metrics;
use crate::socket::Socket;

/// Longest request head; a longer one gets 431. Also the most that is buffered of a body in either direction.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// How a server treats its connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once.
    pub max_connections: usize,
    /// Time for a request head, and for the next one on an idle connection.
    pub head_timeout: Duration,
    /// Time that a client may take nothing of what is written to it.
    pub write_idle: Duration,
    /// Time that open requests get when the server stops.
    pub drain: Duration,
}

/// What answers.
#[derive(Clone)]
pub(crate) struct App {
    /// Sees every request first.
    pub front: Option<Front>,
    /// Gets what the front leaves.
    pub routes: Router,
    pub metrics: Metrics,
}

/// Serves `app` on `listener` until `stop`, then lets open requests finish.
pub(crate) async fn serve(listener: TcpListener, app: App, limits: Limits, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(100)
        .max_buf_size(HEAD_MAX_BYTES);
    let mut connections = JoinSet::new();
    loop {
        // Takes away those that ended, so that the set holds only open ones.
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
        let app = app.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let app = app.clone();
            async move {
                let mut request: Request = request.map(axum::body::Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                Ok::<_, Infallible>(app.answer(request).await)
            }
        });
        let socket = TokioIo::new(Socket::new(stream, limits.write_idle));
        let connection = http.serve_connection_with_upgrades(socket, service).into_owned();
        let watched = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, %peer, "a connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(drain_s = limits.drain.as_secs(), "requests were still open when the drain time was over");
    }
}

// === impl App ===

impl App {
    async fn answer(self, request: Request) -> Response {
        match self.front.as_ref().and_then(|front| front(&request)) {
            Some(taken) => access::observe(self.metrics, request, taken).await,
            None => self.routes.oneshot(request).await.unwrap_or_else(|never| match never {}),
        }
    }
}
