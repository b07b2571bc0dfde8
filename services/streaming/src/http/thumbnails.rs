//! `GET /{asset}/thumbnails.vtt`, `/{asset}/{version}/thumbnails/{n}.jpg`: small pictures for the time bar, on sheets.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, Method, Response};
use flame_api::Problem;
use flame_service_host::{Failure, FailureResult, Path};
use flame_subtitles::{SHEET, Sprite, thumbnails_vtt};

use super::multivariant::{CACHE_CONTROL, answer, current};
use super::representation::{IMMUTABLE, Representation, Selection};
use super::{State, error, unlisted};
use crate::multivariant::SHEETS_FOLDER as FOLDER;
use crate::names::{self, TrackName};
use crate::presentation::{self, Document};

/// Media type of the index.
const INDEX_TYPE: &str = "text/vtt";

/// Where the thumbnails of an asset are: WebVTT whose texts are places on sheets
#[utoipa::path(
    get,
    operation_id = "thumbnails",
    path = "/{asset}/thumbnails.vtt",
    params(("asset" = String, Path, description = "Identifier of the asset")),
    responses(
        (status = 200, description = "The index", body = String, content_type = INDEX_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such asset, or what plays of it has no thumbnails", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn index(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let asset = names::asset(&asset).map_err(error::of_name)?;
    let presentation = current(&state, asset).await?;
    let none = || error::missing(format_args!("thumbnails of asset {asset}"));
    let presentation::State::Playable(version) = &presentation.state else { return Err(none()) };
    let thumbnails = version.thumbnails.as_ref().ok_or_else(none)?;
    let sprite = Sprite {
        interval_ms: thumbnails.interval_ms.into(),
        columns: thumbnails.columns,
        rows: thumbnails.rows,
        tile_width_px: thumbnails.tile_width,
        tile_height_px: thumbnails.tile_height,
        count: thumbnails.count,
        duration_ms: version.tracks.iter().map(|track| track.duration_ms).max().unwrap_or(0),
        sheet_uri: format!("{}/{FOLDER}/{SHEET}.jpg", version.name),
    };
    let text = thumbnails_vtt(&sprite).map_err(|refusal| Failure::internal(&refusal))?;
    Ok(answer(&Document::new(text), INDEX_TYPE, CACHE_CONTROL, &method, &headers))
}

/// A sheet of thumbnails
#[utoipa::path(
    get,
    operation_id = "thumbnail_sheet",
    path = "/{asset}/{version}/thumbnails/{sheet}",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("sheet" = String, Path, description = "`{n}.jpg`, n from 0"),
    ),
    responses(
        (status = 200, description = "The sheet", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "It never changes"),
        (status = 403, description = "The asset is protected, and the URL carries no token that opens it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such sheet", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end"),
        (status = 503, description = "The catalogue or the object store is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sheet(
    Shared(state): Shared<State>,
    Path((asset, version, sheet)): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    let name = TrackName::parse(&asset, &version, FOLDER).map_err(error::of_name)?;
    let number = names::sheet(&sheet).map_err(error::of_name)?;
    let missing = || error::missing(format_args!("sheet {number} of {name}"));
    let found = state.presentations.for_media(name.asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(missing)?;
    let key = name.sheet_key(&presentation.tenant, number);
    if state.store.replicas().is_some() && unlisted::is_no_sheet(&presentation, &name, number) {
        return Err(missing());
    }
    let turn = if unlisted::is_listed(&presentation, &name) { None } else { unlisted::turn(&state, &key).await? };
    let info = state.store.head(&key).await.map_err(|error| error::of_read(&error, &error))?.ok_or_else(missing)?;
    drop(turn);
    let representation = Representation {
        // The store's own tag of a picture in one part is a digest of its content.
        etag: HeaderValue::try_from(format!("\"{}\"", info.etag)).map_err(|_| missing())?,
        size_bytes: info.size_bytes,
        content_type: "image/jpeg",
        cache_control: IMMUTABLE,
    };
    match representation.select(&method, &headers) {
        Selection::Bodiless(response) => Ok(response),
        Selection::Bytes(head, range) => {
            let body = state.store.open(&key, range).await.map_err(|error| error::of_read(&error, &error))?;
            Ok(head.body(Body::from_stream(body)).expect("the head is made of valid parts"))
        }
    }
}
