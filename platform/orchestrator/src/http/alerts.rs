//! `POST /{sfc}/{policy}/{trigger}`: CLMC tells that a condition begins to hold, or holds no more (`flame_sfemc`).

use axum::extract::State;
use flame_api::Problem;
use flame_api::orchestrator::AlertOutcome;
use flame_service_host::{Caller, Json, Path, Scope};
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::Error;
use crate::conductor::{Conductor, Told};

/// What of CLMC's message is looked at.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Message {
    /// `TRUE` where the condition holds.
    message: String,
    /// `db=…,sfc=…,sfci=…,policy=…`: which instance is meant.
    #[serde(default)]
    details: String,
}

/// Acts on a message of CLMC, if a policy waits for its trigger. One that comes in the cool-down of its policy is acted on at the
/// end of it, if the condition holds still.
#[utoipa::path(
    post,
    path = "/{sfc}/{policy}/{trigger}",
    request_body = Message,
    params(
        ("sfc" = String, Path, description = "The chain"),
        ("policy" = String, Path, description = "The policy"),
        ("trigger" = String, Path, description = "The trigger of the alerts document"),
    ),
    responses(
        (status = 200, description = "What follows", body = AlertOutcome),
        (status = 404, description = "Nothing deployed waits for it", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Several instances might be meant", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn told(
    State(conductor): State<Conductor>,
    caller: Caller,
    Path((sfc, policy, trigger)): Path<(String, String, String)>,
    Json(message): Json<Message>,
) -> Result<Json<AlertOutcome>, Error> {
    caller.require(Scope::Write)?;
    let sfci = message.details.split(',').find_map(|pair| pair.trim().strip_prefix("sfci="));
    let told = Told {
        tenant: &caller.tenant,
        sfc: &sfc,
        sfci,
        policy: &policy,
        alert: &trigger,
        holds: message.message.eq_ignore_ascii_case("true"),
    };
    Ok(Json(conductor.told(told).await?))
}
