//! `GET /{asset}/poster.jpg`: the still picture of an asset.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, Method, Response};
use flame_api::Problem;
use flame_service_host::{FailureResult, Path};

use super::representation::{Representation, Selection};
use super::{State, error};
use crate::names;

/// A poster may be replaced, and its URL stays.
const CACHE_CONTROL: &str = "public, max-age=60";

/// The poster of an asset
#[utoipa::path(
    get,
    operation_id = "poster",
    path = "/{asset}/poster.jpg",
    params(("asset" = String, Path, description = "Identifier of the asset")),
    responses(
        (status = 200, description = "The picture", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "It has not changed"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such asset, or it has no poster", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn poster(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let asset = names::asset(&asset).map_err(error::of_name)?;
    let found = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(|| error::missing(format_args!("asset {asset}")))?;
    let no_poster = || error::missing(format_args!("poster of asset {asset}"));
    let key = presentation.poster_key.as_deref().ok_or_else(no_poster)?;
    let info = state.store.head(key).await.map_err(|error| error::of_read(&error, &error))?.ok_or_else(no_poster)?;
    let representation = Representation {
        // The store's own tag of a picture in one part is a digest of its content.
        etag: HeaderValue::try_from(format!("\"{}\"", info.etag)).map_err(|_| no_poster())?,
        size_bytes: info.size_bytes,
        content_type: "image/jpeg",
        cache_control: CACHE_CONTROL,
    };
    match representation.select(&method, &headers) {
        Selection::Bodiless(response) => Ok(response),
        Selection::Bytes(head, range) => {
            let body = state.store.open(key, range).await.map_err(|error| error::of_read(&error, &error))?;
            Ok(head.body(Body::from_stream(body)).expect("the head is made of valid parts"))
        }
    }
}
