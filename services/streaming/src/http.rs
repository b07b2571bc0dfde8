//! The HTTP side: public media URLs, all of them shared answers that anybody may read and keep; and what people and doors
//! call about live channels, which needs a caller.

mod channels;
mod clock;
mod elsewhere;
mod error;
mod keys;
mod ladder;
mod links;
mod live;
mod marks;
mod media;
mod multivariant;
mod objects;
mod opening;
mod players;
mod poster;
mod protected;
mod publications;
mod recorded;
mod replicas;
mod representation;
mod sealed;
mod signed;
mod source;
mod steering;
mod text;
mod thumbnails;
mod unlisted;

use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use flame_service_host::Failure;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

pub(crate) use self::players::{PATH as EVENTS_PATH, Players};
use crate::admission::Admission;
use crate::derived::Workshop;
use crate::links::Links;
use crate::live::{Live, Recordings};
use crate::presentation::Presentations;
use crate::seals::Seals;
use crate::source::Sources;
use crate::steering::Steering;
use crate::store::MediaStore;
use crate::text::Texts;
use crate::track::Tracks;

/// A browser may remember the answer to its preflight this long; browsers cap it on their own.
const PREFLIGHT_TTL: Duration = Duration::from_secs(86_400);

/// The most octets of a JSON body.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// What handlers need.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) presentations: Presentations,
    pub(crate) tracks: Tracks,
    pub(crate) sources: Sources,
    pub(crate) texts: Texts,
    pub(crate) workshop: Workshop,
    pub(crate) seals: Seals,
    pub(crate) store: MediaStore,
    pub(crate) live: Live,
    pub(crate) recordings: Recordings,
    pub(crate) steering: Steering,
    pub(crate) players: Players,
    pub(crate) admission: Admission,
    pub(crate) links: Option<Links>,
}

/// What people and doors call about live channels, and who asks for links; every route needs a caller.
pub(crate) fn private(state: State) -> OpenApiRouter {
    let channels = OpenApiRouter::new()
        .routes(routes!(channels::create, channels::list))
        .routes(routes!(source::list))
        .routes(routes!(channels::show))
        .routes(routes!(channels::new_key))
        .routes(routes!(channels::end))
        .routes(routes!(source::publish))
        .routes(routes!(source::stand))
        .routes(routes!(ladder::stand))
        .routes(routes!(marks::put))
        .routes(routes!(marks::list))
        .routes(routes!(publications::terms))
        .routes(routes!(publications::create))
        .routes(routes!(publications::delete))
        .routes(routes!(publications::send))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(state.clone(), elsewhere::of_owner))
        .layer(from_fn_with_state(state.clone(), opening::wait))
        .with_state(state.clone());
    // Any instance does the rest: it asks the catalogue and the store, not who owns the channels.
    let anybody = OpenApiRouter::new()
        .routes(routes!(links::sign))
        .routes(routes!(objects::read))
        .routes(routes!(replicas::place));
    channels.merge(anybody.with_state(state))
}

/// What viewers call.
pub(crate) fn public(state: State) -> OpenApiRouter {
    let resources = [
        routes!(multivariant::playlist),
        routes!(multivariant::ts_playlist),
        routes!(multivariant::mpd),
        routes!(poster::poster),
        routes!(clock::clock),
        routes!(clock::of_channel),
        routes!(keys::key),
        routes!(steering::hls),
        routes!(steering::dash),
        routes!(thumbnails::index),
        routes!(thumbnails::sheet),
        routes!(media::playlist),
        routes!(media::ts_playlist),
        routes!(media::iframes),
        routes!(media::init),
        routes!(media::segment),
    ];
    let media = resources
        .into_iter()
        .map(read_only)
        .fold(OpenApiRouter::new(), OpenApiRouter::routes)
        .layer(from_fn_with_state(state.clone(), protected::admit))
        .layer(from_fn_with_state(state.clone(), elsewhere::stand_in))
        .layer(from_fn_with_state(state.clone(), opening::wait))
        .layer(from_fn_with_state(state.clone(), players::overhear))
        .layer(any_origin())
        .with_state(state.clone());
    let (plain, _) = media.clone().split_for_parts();
    media.merge(OpenApiRouter::from(signed::routes(plain))).merge(players::routes(state))
}

/// Answers other methods here, within the layer, so that it sees preflights and pages can read refusals.
fn read_only((schemas, paths, methods): UtoipaMethodRouter<State>) -> UtoipaMethodRouter<State> {
    (schemas, paths, methods.fallback(method_not_allowed))
}

async fn method_not_allowed(method: Method) -> Failure {
    let detail = format!("media is read with GET or HEAD, not with {method}");
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
}

/// Pages of any origin may read: there are no credentials that they could abuse. No `Vary`, as nothing varies.
fn any_origin() -> CorsLayer {
    const EXPOSED: [HeaderName; 6] = [
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::ETAG,
        HeaderName::from_static("cache-status"),
        HeaderName::from_static("cmsd-static"),
        HeaderName::from_static("cmsd-dynamic"),
    ];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(AllowHeaders::any())
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_TTL)
        .vary([])
}
