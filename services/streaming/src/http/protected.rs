//! Before any media goes out: is its asset protected, and who asks? What is answered says whom it is for.

use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::Response;
use flame_service_host::Failure;

use super::{State, error};
use crate::admission::Asker;
use crate::names;

/// Lets a request for media through to its handler, or answers 403. What no asset is, the handler says.
pub(super) async fn admit(
    Shared(state): Shared<State>,
    asker: Asker,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let mut parts = request.uri().path().trim_start_matches('/').splitn(3, '/');
    let Some(Ok(asset)) = parts.next().map(names::asset) else { return Ok(next.run(request).await) };
    let is_below_version = parts.nth(1).is_some();
    let found = if is_below_version {
        state.presentations.for_media(asset).await
    } else {
        state.presentations.current(asset).await
    };
    let is_protected = found.map_err(|error| error::of_catalogue(&error))?.is_some_and(|found| found.protected);
    let audience = state.admission.admit(is_protected, &asker).map_err(|refused| error::of_viewer(&refused))?;
    let mut response = next.run(request).await;
    audience.mark(response.headers_mut());
    Ok(response)
}
