//! `/api/router/endpoints`: who stands behind which name.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use flame_api::Page;
use flame_api::router::{Endpoint, EndpointState, Registration};
use flame_naming::table::NotTurned;
use flame_naming::{EndpointId, Name, Refused, State as Wanted};
use flame_service_host::access::Routine;
use flame_service_host::{Caller, Failure, FailureResult, Json, Path, Scope};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::registry::{Registry, lease};
use crate::trust::{is_of_site, may_register, may_turn};

/// Shortest and longest life of a registration, milliseconds.
const TTL_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// The routes; every one needs a caller.
pub(crate) fn routes(registry: Registry) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(register, deregister))
        .routes(routes!(drain))
        .routes(routes!(connect))
        .routes(routes!(kill))
        .with_state(registry)
}

/// Endpoints that hold a lease. Callers that are no service see those of their tenant and the shared ones.
#[utoipa::path(
    get,
    path = "/api/router/endpoints",
    responses((status = 200, body = Page<Endpoint>), (status = 403, description = "without the scope `read`"))
)]
async fn list(State(registry): State<Registry>, caller: Caller) -> FailureResult<Json<Page<Endpoint>>> {
    let sees_all = caller.is_service();
    if !sees_all {
        caller.require(Scope::Read)?;
    }
    let mut items = registry.endpoints();
    items.retain(|endpoint| sees_all || is_visible(&endpoint.name, &caller.tenant));
    Ok(Json(Page { items, next_cursor: None }))
}

/// Registers an endpoint behind a name, or renews its lease.
#[utoipa::path(
    put,
    path = "/api/router/endpoints/{name}/{endpoint}",
    request_body = Registration,
    responses(
        (status = 200, body = Endpoint),
        (status = 403, description = "without the scope `service`, or `admin` of the name's tenant; or the token or certificate lists other names; or the certificate is of another site"),
        (status = 409, description = "a later generation of the endpoint is registered, or this one was killed"),
        (status = 422, description = "name, endpoint, generation, life, weight, capacity or state do not fit; or it speaks TLS, and the router has no certificate"),
        (status = 503, description = "the router holds its most of endpoints"),
    )
)]
async fn register(
    State(registry): State<Registry>,
    caller: Caller,
    Path((name, endpoint)): Path<(String, String)>,
    Json(registration): Json<Registration>,
) -> FailureResult<(Extension<Routine>, Json<Endpoint>)> {
    let (name, endpoint) = identify(&name, &endpoint)?;
    may_register(&caller, &name)?;
    is_of_site(&caller, &registry.site())?;
    if registration.tls && !registry.has_certificate() {
        return Err(unprocessable("this router has no certificate to ask an endpoint with that speaks TLS".to_owned()));
    }
    if registration.generation == 0 {
        return Err(unprocessable(
            "generation is 0, which is that of entries that are written down; begin at 1".to_owned(),
        ));
    }
    if !TTL_MS.contains(&registration.ttl_ms) {
        return Err(unprocessable(format!(
            "ttl_ms is {}, not {} to {}",
            registration.ttl_ms,
            TTL_MS.start(),
            TTL_MS.end()
        )));
    }
    if registration.address.port() == 0 || registration.address.ip().is_unspecified() {
        return Err(unprocessable(format!("nobody can be reached at {}", registration.address)));
    }
    if registration.state == EndpointState::Killed {
        return Err(unprocessable("nothing begins as killed".to_owned()));
    }
    let lease = lease(&registration).map_err(|unfit| unprocessable(unfit.to_string()))?;
    // The registry logs who joined; the renewals, three in each lease, say nothing new.
    Ok((Extension(Routine), Json(registry.register(&name, &endpoint, lease).map_err(refused)?)))
}

/// Takes an endpoint out.
#[utoipa::path(
    delete,
    path = "/api/router/endpoints/{name}/{endpoint}",
    responses((status = 204), (status = 403, description = "without the scope `service` or `admin`"), (status = 404))
)]
async fn deregister(
    State(registry): State<Registry>,
    caller: Caller,
    Path((name, endpoint)): Path<(String, String)>,
) -> FailureResult<StatusCode> {
    let (name, endpoint) = identify(&name, &endpoint)?;
    may_turn(&caller, &name)?;
    if !registry.remove(&name, &endpoint) {
        return Err(Failure::not_found(format_args!("endpoint {endpoint} behind {name}")));
    }
    tracing::info!(%name, %endpoint, "left");
    Ok(StatusCode::NO_CONTENT)
}

/// Lets an endpoint get no new requests; those that are open end there. It keeps its lease.
#[utoipa::path(
    post,
    path = "/api/router/endpoints/{name}/{endpoint}/drain",
    responses(
        (status = 204),
        (status = 403, description = "without the scope `service` or `admin`"),
        (status = 404),
        (status = 409, description = "it was killed"),
    )
)]
async fn drain(
    State(registry): State<Registry>,
    caller: Caller,
    Path((name, endpoint)): Path<(String, String)>,
) -> FailureResult<StatusCode> {
    turn(&registry, &caller, &name, &endpoint, Wanted::Draining)
}

/// Lets an endpoint that drains, or stands by, get requests from now on.
#[utoipa::path(
    post,
    path = "/api/router/endpoints/{name}/{endpoint}/connect",
    responses(
        (status = 204),
        (status = 403, description = "without the scope `service` or `admin`"),
        (status = 404),
        (status = 409, description = "it was killed"),
    )
)]
async fn connect(
    State(registry): State<Registry>,
    caller: Caller,
    Path((name, endpoint)): Path<(String, String)>,
) -> FailureResult<StatusCode> {
    turn(&registry, &caller, &name, &endpoint, Wanted::Connected)
}

/// Cuts an endpoint off: it gets no requests, and its open ones end. What can be resumed goes on elsewhere at once, the rest
/// breaks off. Its renewals are refused; a later start of it is taken.
#[utoipa::path(
    post,
    path = "/api/router/endpoints/{name}/{endpoint}/kill",
    responses(
        (status = 204),
        (status = 403, description = "without the scope `service` or `admin`"),
        (status = 404),
    )
)]
async fn kill(
    State(registry): State<Registry>,
    caller: Caller,
    Path((name, endpoint)): Path<(String, String)>,
) -> FailureResult<StatusCode> {
    turn(&registry, &caller, &name, &endpoint, Wanted::Killed)
}

fn turn(registry: &Registry, caller: &Caller, name: &str, endpoint: &str, to: Wanted) -> FailureResult<StatusCode> {
    let (name, endpoint) = identify(name, endpoint)?;
    may_turn(caller, &name)?;
    match registry.turn(&name, &endpoint, to) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(NotTurned::Absent) => {
            Err(Failure::not_found(format_args!("endpoint {endpoint} behind {name} at this site")))
        }
        Err(NotTurned::Killed) => Err(Failure::conflict(NotTurned::Killed.to_string())),
    }
}

/// Whether an endpoint is of the caller's tenant, or of the one that all share.
pub(super) fn is_visible(name: &str, tenant: &str) -> bool {
    name.parse::<Name>().is_ok_and(|name| {
        let owner = name.tenant().as_str();
        owner == tenant || owner == flame_naming::name::DEFAULT_TENANT
    })
}

/// Whether a name is the tenant's own.
pub(super) fn is_of(name: &str, tenant: &str) -> bool {
    name.parse::<Name>().is_ok_and(|name| name.tenant().as_str() == tenant)
}

fn identify(name: &str, endpoint: &str) -> FailureResult<(Name, EndpointId)> {
    let unknown = |detail: String| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Failure::new(status, "unprocessable", "No endpoint can be called so", detail)
    };
    let name = name.parse::<Name>().map_err(|error| unknown(error.to_string()))?;
    Ok((name, endpoint.parse().map_err(unknown)?))
}

fn unprocessable(detail: String) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The registration does not fit", detail)
}

fn refused(reason: Refused) -> Failure {
    match reason {
        Refused::Older { .. } | Refused::Killed => Failure::conflict(reason.to_string()),
        Refused::Full { .. } => {
            Failure::unavailable(format!("{reason}; raise `[limits] endpoints`"), 5).because(&reason)
        }
    }
}
