//! `/api/router/session`: browsers sign in, ask who they are, and sign out.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flame_api::router::Session;
use flame_service_host::{Authority, Caller, Encrypted, FailureResult, Json, SignedIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::session;

/// Who is asked for needs a caller.
pub(crate) fn private() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show))
}

/// Signing in looks at the token itself, for it may be a link; and one can sign out with what does not count any more.
pub(crate) fn public(authority: Authority) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(sign_in, sign_out)).with_state(authority)
}

/// Who the caller is, and what it may do.
#[utoipa::path(get, path = "/api/router/session", responses((status = 200, body = Session)))]
async fn show(caller: Caller) -> Json<Session> {
    Json(described(&caller))
}

/// Signs a browser in with the token in `Authorization: Bearer`, or with a link (`flame token link`), which works once.
/// Where tokens are needed the answer sets a cookie that lives as long as the token.
#[utoipa::path(
    post,
    path = "/api/router/session",
    responses(
        (status = 200, body = Session),
        (status = 401, description = "it is neither a token nor a link, has ended, was revoked, or is a link that was used before"),
    )
)]
async fn sign_in(State(authority): State<Authority>, request: Request) -> FailureResult<Response> {
    let SignedIn { caller, token } = authority.sign_in(request.headers())?;
    let mut answer = Json(described(&caller)).into_response();
    let is_secure = request.extensions().get::<Encrypted>().is_some();
    let cookie = token.and_then(|(token, life)| session::set(&token, life, is_secure));
    answer.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Signs a browser out. The token goes on to count for who holds it elsewhere; `flame token revoke` ends it.
#[utoipa::path(delete, path = "/api/router/session", responses((status = 204, description = "the cookie is gone")))]
async fn sign_out(request: Request) -> Response {
    let is_secure = request.extensions().get::<Encrypted>().is_some();
    let cookie = session::set("", Duration::ZERO, is_secure);
    let mut answer = StatusCode::NO_CONTENT.into_response();
    answer.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    answer
}

fn described(caller: &Caller) -> Session {
    Session {
        tenant: caller.tenant.clone(),
        subject: caller.subject.clone(),
        scopes: caller.scopes().iter().map(ToString::to_string).collect(),
    }
}
