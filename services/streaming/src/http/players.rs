//! What players tell of themselves (CMCD), with whatever they ask for, or as a batch of events: `POST /cmcd`. It is counted, and steering hears of the
//! site that it is about, once a window of each session; nothing of it is logged, kept, passed on, or part of what is answered.

use std::net::{IpAddr, SocketAddr};

use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use flame_api::Problem;
use flame_cmcd::{Carried, EVENTS_TYPE, FIELDS, Report, speaker};
use flame_service_host::metrics::Metrics;
use flame_service_host::{Failure, FailureResult};
use prometheus::IntCounter;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::State;
use crate::steering::Asked;

/// The most octets of a batch, and the most events of it that are read.
const EVENTS_MAX_BYTES: usize = 64 << 10;
const EVENTS_MAX: usize = 256;
/// Where events are sent to, by pages of any origin: nothing of anybody's changes by it.
pub(crate) const PATH: &str = "/cmcd";
/// In queries, before escapes: most requests carry nothing.
const ARGUMENT: &str = "cmcd=";

/// What is counted of reports. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Players {
    reports: IntCounter,
    complaints: IntCounter,
    damaged: IntCounter,
}

// === impl Players ===

impl Players {
    /// Adds the counters to those of the host.
    pub(crate) fn new(host: &Metrics) -> Self {
        let counter = |name, about| IntCounter::new(name, about).expect("the name is valid");
        let players = Self {
            reports: counter("cmcd_reports_total", "Reports of players (CMCD): in queries, fields and events"),
            complaints: counter("cmcd_complaints_total", "Those of an empty buffer, of waiting, or of an error"),
            damaged: counter("cmcd_damaged_total", "What came in their place and is none"),
        };
        host.register(players.reports.clone());
        host.register(players.complaints.clone());
        host.register(players.damaged.clone());
        players
    }
}

// === impl State ===

impl State {
    /// A player says how it fares, who asks steering for `pathway` in the same request, if it does.
    fn hear(&self, report: &Report, pathway: Option<&str>, address: Option<IpAddr>) {
        self.players.reports.inc();
        self.players.complaints.inc_by(u64::from(report.complains()));
        self.steering.hear(report, pathway, address);
    }
}

/// Where a report comes from: the player, or a proxy that many are behind.
fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    speaker(request.headers(), peer)
}

/// Takes in what a request for media carries besides.
pub(super) async fn overhear(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let may_carry = query.as_bytes().windows(ARGUMENT.len()).any(|at| at.eq_ignore_ascii_case(ARGUMENT.as_bytes()));
    if may_carry || FIELDS.iter().any(|name| request.headers().contains_key(name)) {
        let target = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        match Carried::of(&target, request.headers()) {
            Carried::Report(report) => state.hear(&report, Asked::of(Some(query)).pathway(), address(&request)),
            Carried::Damaged => state.players.damaged.inc(),
            Carried::Nothing => {}
        }
    }
    next.run(request).await
}

/// Events of players: a report of CMCD a line
#[utoipa::path(
    post,
    operation_id = "player_events",
    path = "/cmcd",
    request_body(content = String, content_type = "application/cmcd"),
    responses(
        (status = 204, description = "Taken; a line that is no report costs itself"),
        (status = 413, description = "More than 64 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "It is no `application/cmcd`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn events(Shared(state): Shared<State>, request: Request) -> FailureResult<StatusCode> {
    let address = address(&request);
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENTS_TYPE) {
        let detail = format!("events of players are {EVENTS_TYPE}, a report a line");
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Another type", detail));
    }
    let body = to_bytes(request.into_body(), EVENTS_MAX_BYTES).await.map_err(|_| {
        let detail = format!("a batch of events has at most {EVENTS_MAX_BYTES} bytes: send them in several");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail)
    })?;
    let (reports, damaged) = Report::parse_events(&String::from_utf8_lossy(&body), EVENTS_MAX);
    reports.iter().for_each(|report| state.hear(report, None, address));
    state.players.damaged.inc_by(damaged as u64);
    Ok(StatusCode::NO_CONTENT)
}

/// The route of events, which pages of any origin may send: there are no credentials that they could abuse.
pub(super) fn routes(state: State) -> OpenApiRouter {
    let cors =
        CorsLayer::new().allow_origin(Any).allow_methods([Method::POST]).allow_headers(AllowHeaders::any()).vary([]);
    OpenApiRouter::new().routes(routes!(events)).layer(cors).with_state(state)
}
