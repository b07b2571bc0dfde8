//! `GET /{asset}/keys/{key}`: the key of an encrypted asset, for whoever may have the asset. Private: no cache keeps it, and no
//! two requests are answered by one.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use flame_api::Problem;
use flame_cmaf::encryption::ContentKey;
use flame_service_host::{Failure, FailureResult, Path};

use super::{State, error};
use crate::names;

/// Neither kept nor merged.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The key of an encrypted asset
#[utoipa::path(
    get,
    operation_id = "key",
    path = "/{asset}/keys/{key}",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("key" = String, Path, description = "Identifier of the key, 32 hex digits, of one that changes with its number behind a hyphen: playlists name it"),
    ),
    responses(
        (status = 200, description = "The sixteen octets of the key; `Cache-Control: no-store`", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such asset, or it has no such key", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn key(
    Shared(state): Shared<State>,
    Path((asset, key)): Path<(String, String)>,
    method: Method,
) -> FailureResult<Response<Body>> {
    sent(&state, &asset, &key, &method).await.map_err(|failure| failure.with_header(header::CACHE_CONTROL, NO_STORE))
}

async fn sent(state: &State, asset: &str, key: &str, method: &Method) -> FailureResult<Response<Body>> {
    let asset = names::asset(asset).map_err(error::of_name)?;
    let missing = || Failure::not_found(format_args!("key {key} of asset {asset}"));
    // The catalogue hears of a channel when it ends.
    if let Some(channel) = state.live.find(asset).filter(|channel| channel.seal.is_some() || !channel.is_ended()) {
        // Of one that changes, none that nothing is sealed with yet; the first one is there with the channel.
        let newest = channel.newest_number().unwrap_or(0);
        let known = channel.seal.as_ref().and_then(|seal| seal.handed_out(key, Some(newest)));
        return Ok(handed_out(&known.ok_or_else(missing)?, method));
    }
    let found = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(missing)?;
    let known = state.seals.key(asset, &presentation).await.map_err(|error| error::of_seal(&error))?;
    let known = known.and_then(|known| known.handed_out(key, None)).ok_or_else(missing)?;
    Ok(handed_out(&known, method))
}

fn handed_out(known: &ContentKey, method: &Method) -> Response<Body> {
    let body = if *method == Method::HEAD { Body::empty() } else { Body::from(known.secret.to_vec()) };
    let response = Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, known.secret.len())
        .header(header::CACHE_CONTROL, NO_STORE);
    response.body(body).expect("the head is made of valid parts")
}
