//! One client's connection: HTTP/1.1, or HTTP/2 where it begins with that (RFC 9113 section 3.3), over whatever carries it.
//!
//! As long as its requests are plain they are answered by [`crate::plain`]; hyper has it from the first other one on.
//! A request that came by HTTP/2 is handed on in the form of HTTP/1.1: the authority as `Host`, the target as a path, the
//! crumbs of its cookie as one field, a WebSocket as an upgrade; so nothing behind this line has to know. Patience is bounded for both: hyper does it
//! for HTTP/1.1, and this does for what begins with neither, for connections without a request, and for clients that keep
//! their windows shut. Which app answers, and who owns the connection, is the caller's.

mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::uri::PathAndQuery;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::config::Http2Config;
use crate::plain;
use crate::problem::Failure;
use crate::server::{App, Limits};
pub use websocket::Stays;

/// Longest request head; a longer one gets 431. Also the most that is buffered of a body in either direction.
pub(crate) const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Header fields of a request by HTTP/1.1; by HTTP/2 only their bytes count.
const FIELDS_MAX: usize = 100;

/// How connections are spoken to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Speech {
    http: auto::Builder<TokioExecutor>,
    limits: Limits,
}

/// What happens on one connection.
#[derive(Debug)]
struct Activity {
    began: Instant,
    /// hyper has its own patience then.
    is_http1: AtomicBool,
    /// Requests by HTTP/2 whose answers have not ended.
    open: AtomicUsize,
    /// Of those, the ones whose client has not taken what there is.
    held: AtomicUsize,
    /// When something moved last, milliseconds after the beginning.
    moved_ms: AtomicU64,
}

/// Whether a connection is still worth its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Busy,
    /// There has been no request for too long.
    Idle,
    /// The client has taken nothing for too long.
    Stalled,
}

/// An answer's body that notes whether the client takes it.
struct Taken {
    body: Body,
    activity: Arc<Activity>,
    is_held: bool,
}

// === impl Speech ===

impl Speech {
    pub(crate) fn new(limits: Limits, http2: &Http2Config) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_headers(FIELDS_MAX)
            .max_buf_size(HEAD_MAX_BYTES);
        let window = u32::try_from(http2.window.0).unwrap_or(u32::MAX >> 1).min(u32::MAX >> 1);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(http2.max_streams)
            .enable_connect_protocol()
            .initial_stream_window_size(window)
            .initial_connection_window_size(window.saturating_mul(4).min(u32::MAX >> 1))
            .max_send_buf_size(usize::try_from(window).unwrap_or(usize::MAX))
            .max_header_list_size(u32::try_from(HEAD_MAX_BYTES).unwrap_or(u32::MAX))
            // Who is silent in the middle of an answer is asked whether it is there.
            .keep_alive_interval(limits.write_idle)
            .keep_alive_timeout(limits.head_timeout);
        Self { http, limits }
    }

    /// Serves `app` on one connection, until it ends, is not worth its room any more, or `stop`; then what is open finishes.
    /// Its requests get the extensions `known`, which say who is at the other end.
    pub(crate) async fn serve<I>(self, io: I, known: Extensions, app: App, stop: CancellationToken)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = known.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        let io = match plain::serve(io, &known, &app, &self.limits, &stop).await {
            Ok(Some(io)) => io,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, ?peer, "a connection broke"),
        };
        let activity = Arc::new(Activity::new());
        let noted = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let (app, known, activity) = (app.clone(), known.clone(), Arc::clone(&noted));
            async move { Ok::<_, Infallible>(answer(app, request, known, &activity).await) }
        });
        let mut connection = pin!(self.http.serve_connection_with_upgrades(TokioIo::new(io), service));
        let every = self.limits.head_timeout.min(self.limits.write_idle) / 4;
        let mut look = tokio::time::interval(every.max(Duration::from_millis(1)));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_stopping, mut said_goodbye) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, ?peer, "a connection broke");
                    }
                    return;
                }
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = look.tick(), if !activity.is_http1.load(Ordering::Relaxed) => match activity.verdict(&self.limits) {
                    Verdict::Busy => {}
                    Verdict::Idle if said_goodbye => return,
                    Verdict::Idle => {
                        said_goodbye = true;
                        activity.moved();
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Stalled => {
                        tracing::debug!(?peer, "a client took nothing of its answers");
                        return;
                    }
                }
            }
        }
    }
}

async fn answer(app: App, request: hyper::Request<Incoming>, known: Extensions, activity: &Arc<Activity>) -> Response {
    let is_http2 = request.version() == Version::HTTP_2;
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().extend(known);
    if !is_http2 {
        activity.is_http1.store(true, Ordering::Relaxed);
        return app.answer(request).await;
    }
    let open = activity.open();
    let is_websocket = websocket::is_asked_for(&request);
    if is_websocket {
        websocket::ask(&mut request, activity);
    }
    let answer = match as_http1(&mut request) {
        Ok(()) => app.answer(request).await,
        Err(reason) => Failure::bad_request(reason).into_response(),
    };
    let answer = if is_websocket { websocket::answered(answer) } else { answer };
    answer.map(|body| Body::new(open.with(body)))
}

/// Gives a request that came by HTTP/2 the form that it would have by HTTP/1.1 (RFC 9113 sections 8.2.3 and 8.3.1).
fn as_http1(request: &mut Request) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().cloned();
    if hosts.next().is_some() {
        return Err("send at most one Host field");
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    match (authority, host) {
        (None, None) => return Err("send :authority or Host"),
        (Some(authority), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {
            return Err("the Host field and :authority are different");
        }
        (Some(authority), None) => {
            let host = HeaderValue::from_str(&authority).map_err(|_| ":authority is no host")?;
            request.headers_mut().insert(header::HOST, host);
        }
        (_, Some(_)) => {}
    }
    if *request.method() != Method::CONNECT {
        if !matches!(request.uri().scheme_str(), Some("http" | "https") | None) {
            return Err("only http and https are answered");
        }
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    }
    join_cookies(request.headers_mut());
    Ok(())
}

/// Cookie crumbs are one field where HTTP/2 is not spoken (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookie);
    }
}

// === impl Activity ===

impl Activity {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            is_http1: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(0),
        }
    }

    fn moved(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(ms, Ordering::Relaxed);
    }

    fn open(self: &Arc<Self>) -> Taken {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.moved();
        Taken { body: Body::empty(), activity: Arc::clone(self), is_held: false }
    }

    fn verdict(&self, limits: &Limits) -> Verdict {
        let since = self.began.elapsed().saturating_sub(Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)));
        if self.is_http1.load(Ordering::Relaxed) {
            Verdict::Busy
        } else if self.open.load(Ordering::Relaxed) == 0 {
            if since >= limits.head_timeout { Verdict::Idle } else { Verdict::Busy }
        } else if self.held.load(Ordering::Relaxed) > 0 && since >= limits.write_idle {
            Verdict::Stalled
        } else {
            Verdict::Busy
        }
    }
}

// === impl Taken ===

impl Taken {
    fn with(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    fn hold(&mut self, is_held: bool) {
        match (self.is_held, is_held) {
            (false, true) => drop(self.activity.held.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.activity.held.fetch_sub(1, Ordering::Relaxed)),
            (true, true) | (false, false) => {}
        }
        self.is_held = is_held;
    }
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Asked for more: the client took what it was given.
        self.hold(false);
        self.activity.moved();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.hold(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.hold(false);
        self.activity.open.fetch_sub(1, Ordering::Relaxed);
        self.activity.moved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(uri: &str, fields: &[(&str, &str)]) -> Result<(String, String, String), &'static str> {
        let mut request = Request::builder().version(Version::HTTP_2).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        as_http1(&mut request)?;
        let field = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        Ok((request.uri().to_string(), field("host"), field("cookie")))
    }

    #[test]
    fn a_request_by_http2_gets_the_form_of_http1() {
        let is = |uri: &str, host: &str, cookie: &str| Ok((uri.to_owned(), host.to_owned(), cookie.to_owned()));
        assert_eq!(seen("http://a.localhost:8080/x?y", &[]), is("/x?y", "a.localhost:8080", ""));
        assert_eq!(seen("http://A.localhost/x", &[("host", "a.localhost")]), is("/x", "a.localhost", ""));
        assert_eq!(seen("/x", &[("host", "a")]), is("/x", "a", ""));
        assert_eq!(seen("http://a/", &[("cookie", "a=1"), ("cookie", "b=2")]), is("/", "a", "a=1; b=2"));
        for (uri, fields) in [
            ("/x", &[][..]),
            ("http://a/x", &[("host", "b")]),
            ("http://a/x", &[("host", "a"), ("host", "a")]),
            ("ftp://a/x", &[]),
        ] {
            assert!(seen(uri, fields).is_err(), "{uri} {fields:?}");
        }
    }
}
