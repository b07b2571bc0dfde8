//! Errors become HTTP once, here: a [`Failure`] is a problem for the caller and a cause for the log.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::Problem;
use flame_api::problem::{CONCERNS, CONTENT_TYPE, RESOURCE};

/// What a handler answers when it cannot do what was asked.
#[derive(Debug)]
pub struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    problem: Problem,
    headers: HeaderMap,
    cause: Option<String>,
}

/// What handlers return.
pub type FailureResult<T> = Result<T, Failure>;

/// The cause that the caller does not see; the access log takes it from the response.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub String);

// === impl Failure ===

impl Failure {
    /// A failure of the kind `slug` (see [`Problem::new`]).
    #[must_use]
    pub fn new(status: StatusCode, slug: &str, title: &str, detail: impl Into<String>) -> Self {
        let problem = Problem::new(status.as_u16(), slug, title, detail);
        Self(Box::new(Parts { problem, headers: HeaderMap::new(), cause: None }))
    }

    /// 400: the request is not of the form that the API takes.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
    }

    /// 404: `what` does not exist (or is not for this caller to know).
    #[must_use]
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("there is no {what}"))
    }

    /// 409: the request contradicts what is stored.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    /// 412: it has changed since the caller looked.
    #[must_use]
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail)
    }

    /// 428: the change needs `If-Match`.
    #[must_use]
    pub fn precondition_required() -> Self {
        let detail = "send If-Match with the ETag that you read, so that nobody's change is overwritten unseen";
        Self::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", "Precondition required", detail)
    }

    /// 503 with `Retry-After`: something that this service needs is away. Routers ask others for everything meanwhile, if there are some.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// The same of what was asked for alone: an asset, a channel, one kind of request. Routers go on asking here for everything else.
    #[must_use]
    pub fn unavailable_alone(detail: impl Into<String>, retry_after_s: u32) -> Self {
        let (field, alone) = (header::HeaderName::from_static(CONCERNS), HeaderValue::from_static(RESOURCE));
        Self::unavailable(detail, retry_after_s).with_header(field, alone)
    }

    /// 429 with `Retry-After`: the caller has as much under way as it may, and others have not (RFC 6585 section 4).
    #[must_use]
    pub fn too_many(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many at once", detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// 500: a fault of ours. The caller learns no more; `cause` goes to the log.
    #[must_use]
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        let detail = "the service met a fault of its own; its log says more under this request's trace id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail).because(cause)
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// Adds the cause for the log, with its whole chain.
    #[must_use]
    pub fn because(mut self, cause: &dyn std::error::Error) -> Self {
        self.0.cause = Some(chain(cause));
        self
    }

    /// The problem that the caller sees.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }
}

/// An error and its causes in one line: `a: b: c`.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Parts { problem, headers, cause } = *self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // `extend` on a HeaderMap replaces what is there: a failure may state its own Cache-Control.
        response.headers_mut().extend(headers);
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}
