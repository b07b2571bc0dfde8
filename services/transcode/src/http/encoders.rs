//! `GET /encoders`.

use axum::extract::State;
use flame_api::transcode::Encoder;
use flame_api::{Page, Problem};
use flame_jobs::http::Error;
use flame_media_child::ChildError;
use flame_service_host::{Caller, Failure, Json, Scope};

use crate::encoders::Encoders;

/// Seconds after which a caller may ask again where no media process answers.
const RETRY_AFTER_S: u32 = 5;

/// The encoders that chains can name, and which of them are installed here. They are looked at once.
#[utoipa::path(
    get,
    path = "/encoders",
    responses(
        (status = 200, description = "All of them", body = Page<Encoder>),
        (status = 503, description = "No media process answers", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(encoders): State<Encoders>, caller: Caller) -> Result<Json<Page<Encoder>>, Error> {
    caller.require(Scope::Read)?;
    let items = encoders.list().await.map_err(|error| away(&error))?;
    Ok(Json(Page { items, next_cursor: None }))
}

pub(super) fn away(error: &ChildError) -> Failure {
    Failure::unavailable("the media process that knows the encoders does not answer", RETRY_AFTER_S).because(error)
}
