//! `/api/router/peers`: what routers of other sites are told, and how it goes with them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::Page;
use flame_api::peers::{Line, PROTOCOL, Peer};
use flame_credentials::Role;
use flame_service_host::{Caller, Failure, FailureResult, Json, Query, Scope};
use futures_util::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::peers::{Peers, lines};

/// What the asking router reads.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The latest version of the lines that it reads.
    protocol: u32,
}

/// The routes; every one needs a caller.
pub(crate) fn routes(peers: Peers) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(feed)).with_state(peers)
}

/// The routers of other sites that this one listens to.
#[utoipa::path(
    get,
    path = "/api/router/peers",
    responses((status = 200, body = Page<Peer>), (status = 403, description = "without the scope `admin`"))
)]
async fn list(State(peers): State<Peers>, caller: Caller) -> FailureResult<Json<Page<Peer>>> {
    if !caller.is_service() {
        caller.require(Scope::Admin)?;
    }
    Ok(Json(Page { items: peers.list(), next_cursor: None }))
}

/// This site's registrations: all of them, then every change, as lines of JSON for as long as the connection lasts.
#[utoipa::path(
    get,
    path = "/api/router/peers/feed",
    params(Wanted),
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson"),
        (status = 400, description = "no version of the lines that is spoken here"),
        (status = 403, description = "without the scope `service`, or with the certificate of a service"),
    )
)]
async fn feed(State(peers): State<Peers>, caller: Caller, Query(wanted): Query<Wanted>) -> FailureResult<Response> {
    caller.require(Scope::Service)?;
    if caller.part.as_ref().is_some_and(|part| part.standing.role != Role::Router) {
        let detail = "the feed is for routers; the certificate is that of a service";
        return Err(Failure::new(StatusCode::FORBIDDEN, "forbidden", "The certificate does not allow this", detail));
    }
    if wanted.protocol == 0 {
        let detail = format!("this router speaks versions 1 to {PROTOCOL} of the lines, not 0");
        return Err(Failure::bad_request(detail));
    }
    // A later one than this router's: the asker reads this one's too, or goes.
    let protocol = wanted.protocol.min(PROTOCOL);
    let kind = HeaderValue::from_static("application/x-ndjson");
    // A conversation does not outlive the certificate that began it: the peer begins another one with its next.
    let ends_in = caller.part.map_or(Duration::MAX, |part| part.ends_in());
    let lines = lines(peers, protocol).take_until(Box::pin(tokio::time::sleep(ends_in)));
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(lines)).into_response())
}
