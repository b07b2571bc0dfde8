//! `GET|HEAD /ping`: clients of InfluxDB ask whether somebody is there, and which version.

use axum::http::{HeaderName, StatusCode};

/// The version whose questions and answers are spoken here.
pub(super) const SPOKEN: &str = "1.8.10";

type Answer = (StatusCode, [(HeaderName, &'static str); 2]);

fn answer() -> Answer {
    let names = [HeaderName::from_static("x-influxdb-version"), HeaderName::from_static("x-influxdb-build")];
    let [version, build] = names;
    (StatusCode::NO_CONTENT, [(version, SPOKEN), (build, "FLAME")])
}

/// Whether somebody is there; `X-Influxdb-Version` says whose language is spoken.
#[utoipa::path(get, path = "/ping", operation_id = "ping", responses((status = 204, description = "Somebody is")))]
pub(super) async fn get() -> Answer {
    answer()
}

/// The same.
#[utoipa::path(head, path = "/ping", operation_id = "ping_head", responses((status = 204, description = "Somebody is")))]
pub(super) async fn head() -> Answer {
    answer()
}
