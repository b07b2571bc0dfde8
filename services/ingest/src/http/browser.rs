//! Web pages of other origins: which may use the service, and what their scripts may read of its answers.
//!
//! On loopback the service asks for no token, so any page that a user opens could upload, were it not for this: a
//! request that changes something and comes from a page of an origin that is neither ours nor allowed is refused.
//! Programs send no `Origin` and are not concerned.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flame_service_host::Failure;

/// Methods that pages of allowed origins may use.
const METHODS: &str = "GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS";
/// Request headers that they may set.
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Content-Digest, Repr-Digest, Tus-Resumable, Upload-Checksum, \
                               Upload-Length, Upload-Metadata, Upload-Offset";
/// Answer headers that they may read.
const ANSWER_HEADERS: &str = "Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, \
                              Tus-Version, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset";
/// How long a browser may remember a preflight, seconds.
const PREFLIGHT_MAX_AGE_S: &str = "600";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Middleware: refuses strange pages, and tells allowed ones what they may do.
pub(super) async fn guard(State(allowed): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_allowed =
        origin.as_ref().is_some_and(|origin| allowed.iter().any(|known| known.as_bytes() == origin.as_bytes()));
    if changes && !is_allowed && !is_own(request.headers()) {
        return Failure::new(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            "Not from this page",
            "the request comes from a web page of another origin; `allowed_origins` of the ingest service names those that may",
        )
        .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|_| is_allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
        if preflight {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_MAX_AGE_S));
        }
    }
    response
}

/// Whether the request comes from a program, or from a page of this very origin (Fetch Metadata; older browsers: the
/// origin's authority is the request's).
fn is_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    authority.is_some() && authority == host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&'static str, &'static str)]) -> bool {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_own(&pairs.collect())
    }

    #[test]
    fn strange_pages_are_told_from_programs_and_own_pages() {
        assert!(own(&[("host", "127.0.0.1:8080")]));
        assert!(own(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")]));
        assert!(own(&[("host", "10.0.0.1"), ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("host", "127.0.0.1:8080"), ("origin", "http://evil.example")]));
        assert!(!own(&[("host", "127.0.0.1:8080"), ("origin", "null")]));
        assert!(!own(&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")]));
    }
}
