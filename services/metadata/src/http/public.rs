//! `GET /public/{id}`: what anybody may know of an asset that anybody may play. It needs no caller and says how long it may be kept, so
//! surrogates keep it, ask once for all who want it, and get it by multicast as they do media (`[public]`).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use flame_api::metadata::{Asset, AssetState, PublicAsset};
use flame_api::{Problem, group};
use flame_service_host::precondition::revision_etag;
use flame_service_host::{Failure, Json, Path};
use uuid::Uuid;

use super::error::Error;
use crate::config::PublicConfig;
use crate::store::Store;

/// Groups in which surrogates drop answers (RFC 9875).
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
/// What is not there may come soon.
const MISSING_CACHE_CONTROL: &str = "public, max-age=1";

/// The catalogue, and how long what it says may be kept.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) store: Store,
    pub(crate) config: PublicConfig,
}

/// What anybody may know of an asset that is ready and not protected, of whatever tenant: whoever has its id can play it as well.
#[utoipa::path(
    get,
    operation_id = "public",
    path = "/public/{id}",
    params(("id" = Uuid, Path, description = "The asset")),
    responses(
        (status = 200, description = "What is shown beside a player", body = PublicAsset,
            headers(("ETag" = String, description = "Its revision"))),
        (status = 304, description = "It has not changed"),
        (status = 404, description = "There is none, it does not play, it is protected, or nothing is public here (`[public]`)",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(Shown { store, config }): State<Shown>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if config.fresh.0.is_zero() {
        return Err(missing(id).into());
    }
    let found = store.asset(None, id).await?.map(|asset| (revision_etag(asset.revision), shown(asset)));
    let Some((etag, Some(shown))) = found else { return Err(missing(id).into()) };
    let control = format!("public, max-age={}", config.fresh.0.as_secs().max(1));
    let fields = AppendHeaders([
        (header::CACHE_CONTROL, HeaderValue::try_from(control).expect("digits and letters are visible ASCII")),
        (CACHE_GROUPS, HeaderValue::try_from(format!("\"{}\"", group::of_asset(id))).expect("so is an id")),
        (header::ETAG, etag.clone()),
    ]);
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known, &etag));
    if is_known {
        Ok((StatusCode::NOT_MODIFIED, fields).into_response())
    } else {
        Ok((fields, Json(shown)).into_response())
    }
}

/// Whether a list of entity tags has this one; the comparison is weak (RFC 9110 section 13.1.2).
fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// `None` of what not anybody may play.
fn shown(asset: Asset) -> Option<PublicAsset> {
    let is_open = asset.state == AssetState::Ready && !asset.protected;
    let version = asset.version.filter(|_| is_open)?.name;
    Some(PublicAsset {
        id: asset.id,
        title: asset.title,
        record: asset.record,
        duration_ms: asset.probe.duration_ms,
        width: asset.probe.video.as_ref().map(|video| video.display_width),
        height: asset.probe.video.as_ref().map(|video| video.display_height),
        version,
        subtitles: asset.subtitles.into_iter().map(|subtitle| subtitle.language).collect(),
        updated_at: asset.updated_at,
    })
}

fn missing(id: Uuid) -> Failure {
    let control = HeaderValue::from_static(MISSING_CACHE_CONTROL);
    Failure::not_found(format_args!("public asset {id}")).with_header(header::CACHE_CONTROL, control)
}
