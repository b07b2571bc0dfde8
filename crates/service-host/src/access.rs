//! The access log: one structured line a request; and the trace context that is passed on (W3C Trace Context).

use std::future::Future;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use flame_naming::identity::url::loggable;
use http_body::Body as _;
use rand::Rng;

use crate::auth::Caller;
use crate::metrics::Metrics;
use crate::problem::Cause;

/// The header of a trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What log and metrics say of a request whose caller went away, or whose work broke off, before the answer. Never sent.
const ABANDONED: u16 = 499;

/// The trace context of a request: the caller's, or a new one.
#[derive(Debug, Clone)]
pub struct Trace(pub HeaderValue);

// === impl Trace ===

impl Trace {
    fn of(headers: &HeaderMap) -> Self {
        let valid = headers.get(&TRACEPARENT).filter(|value| is_traceparent(value.as_bytes()));
        Self(valid.cloned().unwrap_or_else(Self::fresh))
    }

    fn fresh() -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut random = rand::rng();
        let id = (random.random::<u128>() | 1).to_be_bytes();
        let parent = (random.random::<u64>() | 1).to_be_bytes();
        // By hand: every request that comes without one gets it.
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        for (at, octet) in (3..).step_by(2).zip(id).chain((36..).step_by(2).zip(parent)) {
            text[at] = DIGITS[usize::from(octet >> 4)];
            text[at + 1] = DIGITS[usize::from(octet & 15)];
        }
        HeaderValue::from_bytes(&text).expect("hexadecimal digits and hyphens")
    }

    /// The trace id, 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.to_str().ok().and_then(|text| text.get(3..35)).unwrap_or_default()
    }
}

/// Version 00: `00-<32 hex>-<16 hex>-<2 hex>`, lower case; ids of nothing but zeros are none.
fn is_traceparent(value: &[u8]) -> bool {
    let hyphens = [2, 35, 52];
    let is_zero = |range: std::ops::Range<usize>| value[range].iter().all(|byte| *byte == b'0');
    value.len() == 55
        && value.starts_with(b"00-")
        && !is_zero(3..35)
        && !is_zero(36..52)
        && value.iter().enumerate().all(|(at, byte)| {
            if hyphens.contains(&at) { *byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') }
        })
}

/// The route of an answer that a [`crate::Front`] gave, for log and metrics. One of few: it becomes a label.
#[derive(Debug, Clone)]
pub struct Route(pub String);

/// Marks an answer that belongs to the working of the platform itself and comes every second or so, a lease's renewal:
/// it is counted, and gets no line in the log. What goes wrong is logged all the same.
#[derive(Debug, Clone, Copy)]
pub struct Routine;

/// Middleware that logs and counts one request.
pub(crate) async fn observe_next(metrics: Metrics, request: Request, next: Next) -> Response {
    observe(&metrics, request, |request| next.run(request)).await
}

/// Logs and counts one request, and gives it a trace context.
pub(crate) async fn observe<F>(metrics: &Metrics, mut request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let began = Instant::now();
    let method = request.method().clone();
    let path = loggable(request.uri().path()).into_owned();
    // Unmatched paths share one label: strangers must not be able to make new time series.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let trace = Trace::of(request.headers());
    let request_bytes =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    request.headers_mut().insert(TRACEPARENT, trace.0.clone());
    request.extensions_mut().insert(trace.clone());

    // Dropped, and so counted, also when the caller goes away in the middle.
    let open = OpenRequest { metrics, method, path, route, trace: trace.clone(), began, answered: false };
    open.metrics.open().inc();
    let mut response = answer(request).await;
    open.answered(&mut response, request_bytes);
    // Whoever reports a refusal can say where the log tells more of it.
    if response.status().is_client_error() || response.status().is_server_error() {
        response.headers_mut().entry(TRACEPARENT).or_insert(trace.0);
    }
    response
}

/// Methods that nobody defined share one label, like paths.
fn method_label(method: &Method) -> &'static str {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let labels = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.iter().position(|known| known == method).map_or("other", |at| labels[at])
}

/// Whether somebody asks how a service is, directly or through a router.
fn is_probe(path: &str) -> bool {
    path.ends_with("/health/live") || path.ends_with("/health/ready")
}

/// Whether a part reports its measurements, seen by the router that passes it on.
fn is_report(path: &str) -> bool {
    path.ends_with("/~clmc/write")
}

/// Whether ingest looks, as it does every few seconds, for sources to fetch from; at streaming, or seen by the router.
fn is_look(path: &str) -> bool {
    path == "/sources" || path.ends_with("/~streaming/sources")
}

/// A request in work.
struct OpenRequest<'a> {
    metrics: &'a Metrics,
    method: Method,
    path: String,
    route: String,
    trace: Trace,
    began: Instant,
    answered: bool,
}

// === impl OpenRequest ===

impl OpenRequest<'_> {
    /// Logs and counts the answer.
    fn answered(mut self, response: &mut Response, request_bytes: Option<u64>) {
        self.answered = true;
        let seconds = self.began.elapsed().as_secs_f64();
        let status = response.status().as_u16();
        if let Some(Route(route)) = response.extensions_mut().remove::<Route>() {
            self.route = route;
        }
        self.metrics.answered(method_label(&self.method), &self.route, status, seconds);
        let caller = response.extensions_mut().remove::<Caller>();
        let cause = response.extensions_mut().remove::<Cause>();
        let is_routine = response.extensions_mut().remove::<Routine>().is_some();
        let is_known = is_probe(&self.path) || is_report(&self.path) || is_look(&self.path);
        let quiet = is_routine || self.route == "/metrics" || is_known;
        if !quiet {
            let time = Duration::from_secs_f64(seconds);
            let response_bytes = response.body().size_hint().exact();
            self.metrics.exchanges().count(status, time, request_bytes.unwrap_or_default(), response_bytes);
        }
        if quiet && status < 400 {
            return;
        }
        let Self { method, path, trace, .. } = &self;
        tracing::info!(
            target: "access",
            %method,
            path,
            status,
            ms = seconds * 1000.0,
            request_bytes = request_bytes.unwrap_or(0_u64),
            trace = trace.id(),
            subject = caller.as_ref().map(|caller| caller.subject.as_str()),
            tenant = caller.as_ref().map(|caller| caller.tenant.as_str()),
        );
        if let Some(Cause(cause)) = cause {
            tracing::error!(%method, path, status, trace = trace.id(), cause, "a request failed");
        }
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.metrics.open().dec();
        if self.answered {
            return;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        self.metrics.answered(method_label(&self.method), &self.route, ABANDONED, seconds);
        let Self { method, path, trace, .. } = &*self;
        tracing::info!(target: "access", %method, path, status = ABANDONED, ms = seconds * 1000.0, trace = trace.id());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_context_is_kept_and_another_replaced() {
        let mut headers = HeaderMap::new();
        let given = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        headers.insert(TRACEPARENT, given.clone());
        assert_eq!(Trace::of(&headers).0, given);
        assert_eq!(Trace::of(&headers).id(), "0af7651916cd43dd8448eb211c80319c");
        for wrong in [
            "00-xyz",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            headers.insert(TRACEPARENT, HeaderValue::from_static(wrong));
            let fresh = Trace::of(&headers);
            assert!(is_traceparent(fresh.0.as_bytes()) && fresh.0 != wrong, "{wrong}");
        }
    }
}
