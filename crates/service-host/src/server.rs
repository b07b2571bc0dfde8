//! The accept loop: bounded connections, bounded patience with clients that take nothing, and a graceful end. How a
//! connection is spoken to is in `connection`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::Extensions;
use axum::response::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::acceptor::{Acceptor, Encrypted};
use crate::access;
use crate::config::Http2Config;
use crate::connection::Speech;
use crate::cores::Cores;
use crate::host::Front;
use crate::metrics::Metrics;
use crate::socket::Socket;

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

/// Serves `app` on `listener` until `stop`, then lets open requests finish; over TLS where there is an `acceptor`, and on
/// `cores` where there are some.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    app: App,
    (limits, http2): (Limits, Http2Config),
    cores: Option<Arc<Cores>>,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let speech = Speech::new(limits, &http2);
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
        let (speech, app, stop) = (speech.clone(), app.clone(), stop.clone());
        let mut known = Extensions::new();
        known.insert(ConnectInfo(peer));
        let acceptor = acceptor.clone();
        let serve = move |stream: TcpStream| async move {
            match acceptor {
                None => speech.serve(Socket::new(stream, limits.write_idle), known, app, stop).await,
                Some(acceptor) => match stop.run_until_cancelled(acceptor.accept(stream)).await {
                    Some(Ok((stream, part))) => {
                        known.insert(Encrypted);
                        part.map(|part| known.insert(part));
                        speech.serve(Socket::new(stream, limits.write_idle), known, app, stop).await;
                    }
                    Some(Err(error)) => tracing::debug!(%error, %peer, "no handshake"),
                    None => {}
                },
            }
            drop(slot);
        };
        match &cores {
            None => drop(connections.spawn(serve(stream))),
            // It goes to the thread that it stays on before anything waits for it.
            Some(cores) => match stream.into_std() {
                Ok(stream) => {
                    let moved = async move {
                        match TcpStream::from_std(stream) {
                            Ok(stream) => serve(stream).await,
                            Err(error) => tracing::warn!(%error, "a connection was not served"),
                        }
                    };
                    connections.spawn_on(moved, cores.next());
                }
                Err(error) => tracing::warn!(%error, "a connection was not served"),
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, all).await.is_err() {
        tracing::warn!(drain_s = limits.drain.as_secs(), "requests were still open when the drain time was over");
    }
}

// === impl App ===

impl App {
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        match self.front.as_ref().and_then(|front| front(&mut request)) {
            Some(taken) => access::observe(&self.metrics, request, taken).await,
            None => self.routes.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
        }
    }
}
