//! `GET /{asset}/steering`, `/{asset}/steering.json`: which site to play from, for players of HLS and of DASH that ask again and
//! again. Each gets an answer of its own, so it is never kept.

use axum::body::Body;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{Response, StatusCode, header};
use flame_api::Problem;
use flame_api::media::TrackKind;
use flame_service_host::{Failure, FailureResult, Path};

use super::multivariant::current;
use super::{State, error};
use crate::names;
use crate::presentation::{Presentation, State as Standing};
use crate::steering::{Asked, Form, Manifest};

/// Media type of HLS's steering manifests.
const HLS_TYPE: &str = "application/vnd.apple.steering-list";
/// That of DASH's.
const DASH_TYPE: &str = "application/json";

/// Which pathway a player of HLS takes
#[utoipa::path(
    get,
    operation_id = "steering_hls",
    path = "/{asset}/steering",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("_HLS_pathway" = Option<String>, Query, description = "The pathway that it is on"),
        ("_HLS_throughput" = Option<u64>, Query, description = "What it measured there, bits a second"),
        ("place" = Option<u16>, Query, description = "As `RELOAD-URI` says"),
        ("left" = Option<String>, Query, description = "As `RELOAD-URI` says"),
    ),
    responses(
        (status = 200, description = "The steering manifest; `Cache-Control: private, no-store`", body = Manifest, content_type = HLS_TYPE),
        (status = 404, description = "No such asset", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "Nothing is steered: do not ask again", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn hls(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    RawQuery(query): RawQuery,
) -> FailureResult<Response<Body>> {
    manifest(&state, &asset, query.as_deref(), Form::Hls).await
}

/// Which service location a player of DASH takes
#[utoipa::path(
    get,
    operation_id = "steering_dash",
    path = "/{asset}/steering.json",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("_DASH_pathway" = Option<String>, Query, description = "The service locations that it used, in quotes"),
        ("_DASH_throughput" = Option<String>, Query, description = "What it measured at each, bits a second"),
        ("place" = Option<u16>, Query, description = "As `RELOAD-URI` says"),
        ("left" = Option<String>, Query, description = "As `RELOAD-URI` says"),
    ),
    responses(
        (status = 200, description = "The steering manifest; `Cache-Control: private, no-store`", body = Manifest, content_type = DASH_TYPE),
        (status = 404, description = "No such asset", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "Nothing is steered: do not ask again", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The catalogue is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn dash(
    Shared(state): Shared<State>,
    Path(asset): Path<String>,
    RawQuery(query): RawQuery,
) -> FailureResult<Response<Body>> {
    manifest(&state, &asset, query.as_deref(), Form::Dash).await
}

async fn manifest(state: &State, asset: &str, query: Option<&str>, form: Form) -> FailureResult<Response<Body>> {
    let asset = names::asset(asset).map_err(error::of_name)?;
    let needed_bps = match state.live.find(asset) {
        Some(_) => 0,
        None => needed_bps(&*current(state, asset).await?),
    };
    let manifest = state.steering.manifest(asset, form, &Asked::of(query), needed_bps).ok_or_else(gone)?;
    let text = serde_json::to_vec(&manifest).map_err(|refusal| Failure::internal(&refusal))?;
    let content_type = match form {
        Form::Hls => HLS_TYPE,
        Form::Dash => DASH_TYPE,
    };
    let response = Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, "private, no-store")
        .body(Body::from(text));
    response.map_err(|refusal| Failure::internal(&refusal))
}

/// What the least takes that can be played of a version; 0 where that is not known.
fn needed_bps(presentation: &Presentation) -> u64 {
    let Standing::Playable(version) = &presentation.state else { return 0 };
    let peaks = |kind: TrackKind| {
        let tracks = version.tracks.iter().filter(move |track| track.kind == kind);
        tracks.map(|track| track.peak_bandwidth_bps)
    };
    let sound_bps = peaks(TrackKind::Audio).min().unwrap_or(0);
    peaks(TrackKind::Video).min().unwrap_or(0).saturating_add(sound_bps)
}

fn gone() -> Failure {
    let detail = "nothing is steered here: there is one site, or none is configured";
    Failure::new(StatusCode::GONE, "not-steered", "Not steered", detail)
}
