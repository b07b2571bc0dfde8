//! `GET /clock`: what time it is. `GET /{asset}/clock`: the same for players of a live MPD (`UTCTiming`), whose times are those of an encoder: where
//! its clock drifts, this one goes with it, so that what players take for the newest is the newest. Nothing is set by anybody's asking.

use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse};
use flame_api::Problem;
use flame_service_host::{FailureResult, Path};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{State, error};
use crate::names;

/// How a token begins, as a path parameter (RFC 9246).
const TOKEN_MARK: char = ';';

/// What time it is
#[utoipa::path(
    get,
    operation_id = "clock",
    path = "/clock",
    responses((status = 200, description = "The time as ISO 8601; never kept", body = String, content_type = "text/plain"))
)]
pub(super) async fn clock() -> impl IntoResponse {
    said(OffsetDateTime::now_utc())
}

/// What time it is for the media of a channel that goes on; of everything else it is the wall's
#[utoipa::path(
    get,
    operation_id = "channel_clock",
    path = "/{asset}/clock",
    params(("asset" = String, Path, description = "Identifier of the channel")),
    responses(
        (status = 200, description = "The time as ISO 8601; never kept", body = String, content_type = "text/plain"),
        (status = 404, description = "That is no identifier", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_channel(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
) -> FailureResult<impl IntoResponse> {
    // A token stands where the asset would, in front of the clock that older MPDs name.
    if asset.starts_with(TOKEN_MARK) {
        return Ok(said(OffsetDateTime::now_utc()));
    }
    let asset = names::asset(&asset).map_err(error::of_name)?;
    Ok(said(state.live.find(asset).map_or_else(OffsetDateTime::now_utc, |channel| channel.media_now())))
}

fn said(time: OffsetDateTime) -> impl IntoResponse {
    // Milliseconds: what the clocks of machines agree on, and what every player reads.
    let time = time.replace_nanosecond(time.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(time);
    let text = time.format(&Rfc3339).expect("the year has four digits");
    let fields = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (AppendHeaders(fields), text)
}
