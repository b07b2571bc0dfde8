//! Why a request did not get through, and how that is said. Errors of the proxy become HTTP here, and nowhere else.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_naming::{Destination, Mount, NoChoice, Untargeted};
use flame_service_host::Failure;

use super::upstream::Cause;

/// Seconds after which a service that is away may be back: it is restarting, or its next lease is on the way.
const RETRY_AFTER_S: u32 = 1;

/// Why a request did not get through.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The request's form leaves doubt about what it is.
    #[error("{0}")]
    Malformed(&'static str),
    /// A method that a router has no use for.
    #[error("this is no tunnel: CONNECT is not answered")]
    Connect,
    /// It is for nobody here.
    #[error(transparent)]
    Untargeted(#[from] Untargeted),
    /// Nobody stands behind the name.
    #[error("{reason} for {to}")]
    Nobody { to: Destination, reason: NoChoice, is_host: bool },
    /// No connection to any endpoint.
    #[error("no endpoint of {to} takes connections")]
    Unreachable {
        to: Destination,
        #[source]
        source: Cause,
    },
    /// The connection broke before the answer's head.
    #[error("an endpoint of {to} broke off before it answered")]
    Broken {
        to: Destination,
        #[source]
        source: Cause,
    },
    /// The connection broke before a byte of the answer's body.
    #[error("an endpoint of {to} broke off before its answer had begun")]
    Bodiless {
        to: Destination,
        #[source]
        source: Cause,
    },
    /// The endpoint was killed before the answer's head.
    #[error("an endpoint of {to} was killed before it answered")]
    Killed { to: Destination },
    /// The answer is none to this request.
    #[error("an endpoint of {to} changed the protocol without being asked")]
    Unasked { to: Destination },
    /// No answer in time.
    #[error("an endpoint of {to} did not answer within {patience:?}")]
    Silent { to: Destination, patience: Duration },
    /// The last function of a path asks for more.
    #[error("the path {to} has ended: its last function asks for more")]
    PathEnded { to: Destination },
    /// The search ended without an answer that could be believed.
    #[error("nobody who knows for certain of {to} answered")]
    Unsettled { to: Destination },
    /// Another request waited for all of the same, and nobody answered it.
    #[error("no endpoint of {to} answered who asked for all")]
    Unanswered { to: Destination },
    /// No request body in time.
    #[error("the request's body stopped for {0:?}")]
    SlowClient(Duration),
    /// The request runs in a circle.
    #[error(
        "the request for {to} has been here too often (`Via`, `CDN-Loop`): an endpoint of it leads back to this router"
    )]
    Loop { to: Destination },
    /// Too many upgraded connections.
    #[error("the router has its most of upgraded connections open")]
    TunnelsFull,
}

// === impl Fault ===

impl Fault {
    pub(super) fn nobody(to: &Destination, reason: NoChoice, mount: &Mount) -> Self {
        Self::Nobody { to: to.clone(), reason, is_host: *mount == Mount::Host }
    }

    /// Whether another surrogate may do better: nobody answered.
    pub(super) fn is_searched(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Broken { .. }
                | Self::Bodiless { .. }
                | Self::Killed { .. }
                | Self::Silent { .. }
                | Self::Unsettled { .. }
                | Self::Unanswered { .. }
        )
    }

    /// What is answered. That a service is away, a page of any origin may see where it only reads: browsers hide from scripts what is not
    /// said to be theirs, and a player to which a 503 looks like no answer at all does not ask again when the service is back.
    pub(super) fn answer(self, is_read: bool) -> Response {
        let mut answer = Failure::from(self).into_response();
        if is_read && answer.status().is_server_error() {
            let (any, shown) = (HeaderValue::from_static("*"), HeaderValue::from_static("retry-after"));
            answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            answer.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
        }
        answer
    }

    /// Whether the name was made up by the client: then it must not become a label.
    pub(super) fn is_unknown_name(&self) -> bool {
        matches!(self, Self::Nobody { reason: NoChoice::Unknown, .. })
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let detail = fault.to_string();
        match &fault {
            Fault::Malformed(_) => Self::bad_request(detail),
            Fault::Connect => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
                    .with_header(
                        header::ALLOW,
                        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                    )
            }
            Fault::Untargeted(reason) => match reason {
                Untargeted::BadHost(_) | Untargeted::Upwards => Self::bad_request(detail),
                Untargeted::ForeignHost(_) => {
                    misdirected(format!("{detail}; if it should, name the host in `public_hosts`"))
                }
                Untargeted::HostName { .. } => misdirected(detail),
                Untargeted::PathName(_) => unknown_name(detail),
            },
            Fault::Nobody { reason, is_host, .. } => match reason {
                NoChoice::Unknown if *is_host => misdirected(detail),
                NoChoice::Unknown => unknown_name(detail),
                NoChoice::Away | NoChoice::Unconnected | NoChoice::Tried | NoChoice::Full => {
                    Self::unavailable(detail, RETRY_AFTER_S)
                }
            },
            Fault::Unreachable { source, .. } => Self::unavailable(detail, RETRY_AFTER_S).because(source.as_ref()),
            Fault::Broken { source, .. } | Fault::Bodiless { source, .. } => {
                bad_gateway(detail).because(source.as_ref())
            }
            Fault::Unasked { .. } | Fault::Killed { .. } => bad_gateway(detail),
            Fault::Silent { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "gateway-timeout", "The service did not answer in time", detail)
            }
            Fault::SlowClient(_) => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time", detail)
            }
            Fault::PathEnded { .. } | Fault::Loop { .. } => {
                Self::new(StatusCode::LOOP_DETECTED, "loop", "The request runs in a circle", detail)
            }
            Fault::TunnelsFull | Fault::Unsettled { .. } | Fault::Unanswered { .. } => {
                Self::unavailable(detail, RETRY_AFTER_S)
            }
        }
    }
}

fn misdirected(detail: String) -> Failure {
    Failure::new(StatusCode::MISDIRECTED_REQUEST, "unknown-name", "The name is not known here", detail)
}

/// Not `not-found`: a client must not take a service that has not come up for a resource that does not exist.
fn unknown_name(detail: String) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "unknown-name", "The name is not known here", detail)
}

fn bad_gateway(detail: String) -> Failure {
    Failure::new(StatusCode::BAD_GATEWAY, "bad-gateway", "The service broke off", detail)
}
