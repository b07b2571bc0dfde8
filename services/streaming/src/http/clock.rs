//! `GET /clock`: what time it is, for players of live MPDs (`UTCTiming`). It reads the clock of this machine and nothing else.

use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What time it is
#[utoipa::path(
    get,
    operation_id = "clock",
    path = "/clock",
    responses((status = 200, description = "The time as ISO 8601; never kept", body = String, content_type = "text/plain"))
)]
pub(super) async fn clock() -> impl IntoResponse {
    let now = OffsetDateTime::now_utc();
    // Milliseconds: what the clocks of machines agree on, and what every player reads.
    let now = now.replace_nanosecond(now.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(now);
    let text = now.format(&Rfc3339).expect("the year has four digits");
    let fields = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (AppendHeaders(fields), text)
}
