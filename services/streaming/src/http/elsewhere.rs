//! Requests for live channels that another instance owns (`live::succession`). A viewer's is told 503 at once, so that the router asks the
//! owner (indirection); what people and doors ask goes to the owner from here, since a router sends a body once.
//!
//! While nobody owns them both wait, for the life of a lease and a moment: so a player or a door meets a delay, and no error, when an owner dies.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{RawPathParams, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flame_service_host::Failure;
use http_body::Body as _;

use super::State;
use crate::live::{Peers, Place};
use crate::names;

/// Says that an instance passed a request on: the next one does not.
const FORWARDED: HeaderName = HeaderName::from_static("flame-live-forwarded");
/// When to ask again.
const RETRY_S: u32 = 1;
/// What is said from one connection to the next (RFC 9110 section 7.6.1).
const OF_A_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

/// Lets through what is no live channel of another instance.
pub(super) async fn stand_in(
    Shared(state): Shared<State>,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let asset = parameters.iter().find_map(|(name, value)| (name == "asset").then_some(value));
    if let Some(Ok(asset)) = asset.map(names::asset)
        && state.live.is_elsewhere(asset)
        && state.live.settled().await != Place::Here
    {
        return Err(away(format!("channel {asset} is another instance's of this service, or nobody's now")));
    }
    Ok(next.run(request).await)
}

/// Answers what only the owner of the channels can, or passes it on to the owner.
pub(super) async fn of_owner(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let (address, peers) = match (state.live.settled().await, state.live.peers()) {
        (Place::Here, _) => return next.run(request).await,
        (Place::At(address), Some(peers)) if !request.headers().contains_key(FORWARDED) => (address, peers),
        (Place::At(_) | Place::Unsettled, _) => {
            return away("no instance of this service owns the live channels now".to_owned()).into_response();
        }
    };
    let forwarded = tokio::select! {
        forwarded = forward(peers, address, request) => forwarded,
        // One that was stopped takes connections, and does not answer.
        () = state.live.moved(address) => {
            return away("the instance that owned the live channels is not heard any more".to_owned()).into_response();
        }
    };
    match forwarded {
        Ok(answer) => answer,
        Err(error) => {
            // Before its lease is over it may be known that it is dead.
            if error.is_connect() {
                state.live.suspect();
            }
            away("the instance that owns the live channels does not answer".to_owned()).because(&error).into_response()
        }
    }
}

fn away(detail: String) -> Failure {
    Failure::unavailable_alone(detail, RETRY_S)
}

async fn forward(peers: &Peers, address: SocketAddr, request: Request) -> Result<Response, reqwest::Error> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("http://{address}{path}");
    leave_connection(&mut head.headers);
    head.headers.remove(header::HOST);
    head.headers.insert(FORWARDED, HeaderValue::from_static("?1"));
    let mut call = peers.transport.http().request(head.method, url).headers(head.headers);
    if !body.is_end_stream() {
        call = call.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let mut answer = call.send().await?;
    let (status, mut headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    leave_connection(&mut headers);
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

fn leave_connection(headers: &mut HeaderMap) {
    OF_A_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
}
