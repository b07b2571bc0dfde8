//! `/api/router/session/oidc`: browsers sign in at an issuer of OpenID Connect, and come back.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::router::{SignInDoor, SignInDoors};
use flame_service_host::{Authority, Encrypted, Failure, FailureResult, Json, Query};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::oidc::flow::{Departure, Door, NotSignedIn, Returned};
use crate::oidc::{PATIENCE, RETURN};
use crate::session;

/// The portal.
const HOME: &str = "/";
/// Where one sets out.
const BEGIN: &str = "/api/router/session/oidc";
/// Seconds after which who found all busy may try again.
const RETRY_AFTER_S: u32 = 5;

#[derive(Debug, Clone)]
struct Doors {
    door: Option<Arc<Door>>,
    authority: Authority,
}

/// Nobody is known yet who asks for these. `door`: where people sign in, if anywhere.
pub(crate) fn public(door: Option<Arc<Door>>, authority: Authority) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(begin))
        .routes(routes!(end))
        .with_state(Doors { door, authority })
}

/// How browsers can sign in here, besides with tokens and links.
#[utoipa::path(get, path = "/api/router/session/doors", responses((status = 200, body = SignInDoors)))]
async fn show(State(doors): State<Doors>) -> Json<SignInDoors> {
    let of = |door: &Door| SignInDoor { issuer: door.issuer().to_string(), begin: BEGIN.to_owned() };
    Json(SignInDoors { oidc: doors.door.as_deref().map(of) })
}

/// Sends a browser to the issuer. Whoever asks for HTML is sent back to the portal if that fails, where it is said.
#[utoipa::path(
    get,
    path = "/api/router/session/oidc",
    responses(
        (status = 303, description = "to the issuer"),
        (status = 400, description = "what the issuer sends back could be read on the way"),
        (status = 404, description = "no issuer is set"),
        (status = 502, description = "the issuer cannot be used"),
        (status = 503, description = "many sign in just now"),
    )
)]
async fn begin(State(doors): State<Doors>, request: Request) -> FailureResult<Response> {
    let door = doors.open()?;
    let host = host(&request).ok_or_else(|| Failure::bad_request("the request names no host"))?;
    let scheme = if request.extensions().get::<Encrypted>().is_some() { "https" } else { "http" };
    match door.begin(&format!("{scheme}://{host}")).await {
        Ok(Departure { to, carried, is_secure }) => {
            let cookie = session::on_the_way(&carried, RETURN, PATIENCE, is_secure);
            Ok(away(to.as_str(), cookie.into_iter().collect()))
        }
        Err(error) => told(&error, request.headers(), None),
    }
}

/// Takes a browser back that the issuer has signed in. Whoever asks for HTML is sent to the portal in any case.
#[utoipa::path(
    get,
    path = "/api/router/session/oidc/return",
    params(
        ("state" = Option<String>, Query, description = "what the browser was sent away with"),
        ("code" = Option<String>, Query, description = "what the issuer has signed somebody in with"),
        ("error" = Option<String>, Query, description = "or why it has not (RFC 6749, 4.1.2.1)"),
    ),
    responses(
        (status = 303, description = "signed in: to the portal"),
        (status = 401, description = "the issuer signed nobody in, or somebody who may do nothing here, or this was not begun in this browser"),
        (status = 404, description = "no issuer is set"),
        (status = 502, description = "the issuer cannot be used"),
        (status = 503, description = "many sign in just now"),
    )
)]
async fn end(
    State(doors): State<Doors>,
    Query(returned): Query<Returned>,
    mut request: Request,
) -> FailureResult<Response> {
    let door = doors.open()?;
    let carried = session::brought(request.headers_mut()).unwrap_or_default();
    let is_secure = request.extensions().get::<Encrypted>().is_some();
    let forgotten = session::on_the_way("", RETURN, Duration::ZERO, is_secure);
    match door.end(&returned, &carried).await {
        Ok((grant, by_tls)) => {
            let signed_in = doors.authority.admit(&grant)?;
            let cookie = signed_in.token.and_then(|(token, life)| session::set(&token, life, is_secure || by_tls));
            let (subject, tenant, scope) = (&grant.subject, &grant.tenant, &grant.scope);
            tracing::info!(subject, tenant, scope, "signed in at the issuer");
            Ok(away(HOME, cookie.into_iter().chain(forgotten).collect()))
        }
        // Who found all busy may try again.
        Err(error @ NotSignedIn::Busy) => told(&error, request.headers(), None),
        Err(error) => told(&error, request.headers(), forgotten),
    }
}

// === impl Doors ===

impl Doors {
    fn open(&self) -> FailureResult<&Door> {
        self.door.as_deref().ok_or_else(|| Failure::not_found("an issuer to sign in at"))
    }
}

fn away(to: &str, cookies: Vec<HeaderValue>) -> Response {
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_str(to).ok().map(|to| (header::LOCATION, to)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address that one comes back to holds a code.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn host(request: &Request) -> Option<String> {
    let of_uri = request.uri().authority().map(ToString::to_string);
    of_uri.or_else(|| Some(request.headers().get(header::HOST)?.to_str().ok()?.to_owned()))
}

/// Says why nobody was signed in: a person sees the portal again, a program the problem.
fn told(error: &NotSignedIn, asked: &HeaderMap, cookie: Option<HeaderValue>) -> FailureResult<Response> {
    let wants = asked.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    tracing::warn!(%error, "nobody was signed in at the issuer");
    if wants.contains("text/html") {
        // No words: whoever makes a link could put theirs into the portal's mouth.
        return Ok(away(&format!("{HOME}#/?refused={}", error.word()), cookie.into_iter().collect()));
    }
    Err(match error {
        NotSignedIn::Busy => Failure::unavailable(error.to_string(), RETRY_AFTER_S),
        NotSignedIn::Issuer { .. } => {
            Failure::new(StatusCode::BAD_GATEWAY, "bad-gateway", "The issuer cannot be used", error.to_string())
        }
        NotSignedIn::Open(_) => Failure::bad_request(error.to_string()),
        NotSignedIn::Unknown | NotSignedIn::Refused(_) | NotSignedIn::Nobody(_) => {
            Failure::new(StatusCode::UNAUTHORIZED, "unauthorised", "Nobody was signed in", error.to_string())
        }
    })
}
