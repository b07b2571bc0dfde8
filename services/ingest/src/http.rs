//! The HTTP surface: one file a resource. What each answers is decided elsewhere; here it is only spoken.

use axum::middleware::from_fn;
use axum::routing;
use flame_api::ingest::LiveDoors;
use flame_service_host::{Pages, Routes};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::PullConfig;
use crate::intake::Intake;
use crate::push::Pushes;
use crate::scrub::Scrubber;
use crate::subtitles::Subtitles;
use crate::whip;

mod doors;
mod error;
mod files;
mod pulls;
mod push;
mod scrubs;
mod subtitles;
mod tickets;
pub(crate) mod tus;
mod uploads;
mod whip_sessions;

/// Methods that pages of allowed origins may use.
const METHODS: &str = "GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS";
/// Request headers that they may set.
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Content-Digest, If-Match, Repr-Digest, Tus-Resumable, Upload-Checksum, \
                               Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset";
/// Answer headers that they may read.
const ANSWER_HEADERS: &str = "ETag, Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, \
                              Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset";

/// What handlers share.
#[derive(Debug, Clone)]
pub struct Door {
    intake: Intake,
    pulls: PullConfig,
    subtitles: Subtitles,
    scrubber: Scrubber,
    pushes: Option<Pushes>,
    whip: Option<whip::Door>,
    doors: LiveDoors,
}

/// The routes of the service.
#[must_use]
pub fn routes(
    intake: Intake,
    pulls: PullConfig,
    (subtitles, scrubber): (Subtitles, Scrubber),
    (pushes, whip, doors): (Option<Pushes>, Option<whip::Door>, LiveDoors),
) -> Routes {
    let door = Door { intake, pulls, subtitles, scrubber, pushes, whip, doors };
    let private = OpenApiRouter::new()
        .routes(routes!(uploads::list, tus::create))
        .routes(routes!(uploads::show, tus::offset, tus::append, tus::terminate))
        .routes(routes!(files::put))
        .routes(routes!(pulls::create))
        .routes(routes!(tickets::create))
        .routes(routes!(tickets::complete))
        .routes(routes!(subtitles::add))
        .routes(routes!(doors::show))
        .routes(routes!(scrubs::show, scrubs::begin))
        .with_state(door.clone())
        .layer(from_fn(tus::stamp));
    // A browser's preflight carries no credentials.
    let public = OpenApiRouter::new()
        .routes(routes!(tus::options))
        .routes(routes!(tus::upload_options))
        .routes(routes!(files::options))
        .routes(routes!(pulls::options))
        .routes(routes!(subtitles::options))
        // The key of a channel is the credential.
        .routes(routes!(push::put, push::post, push::delete))
        .route(
            "/push/{key}/{folder}/{name}",
            routing::put(push::take_within).post(push::take_within).delete(push::delete_within),
        )
        .routes(routes!(whip_sessions::begin, whip_sessions::options))
        .routes(routes!(whip_sessions::end))
        .with_state(door);
    Routes { private, public }
}

/// What pages of other origins may do.
#[must_use]
pub fn pages(allowed_origins: Vec<String>) -> Pages {
    Pages {
        origins: allowed_origins,
        methods: METHODS,
        request_headers: REQUEST_HEADERS,
        answer_headers: ANSWER_HEADERS,
        open_paths: &[],
    }
}
