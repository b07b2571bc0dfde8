//! Before any media goes out: is its asset protected, and who asks? What is answered says whom it is for, and in which groups it
//! can be dropped again (RFC 9875).

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use flame_api::group;
use flame_service_host::Failure;
use uuid::Uuid;

use super::{State, error};
use crate::admission::Asker;
use crate::{names, text};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// Lets a request for media through to its handler, or answers 403. What no asset is, the handler says.
pub(super) async fn admit(
    Shared(state): Shared<State>,
    asker: Asker,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let mut parts = request.uri().path().trim_start_matches('/').splitn(3, '/');
    let Some(Ok(asset)) = parts.next().map(names::asset) else { return Ok(next.run(request).await) };
    let track = parts.nth(1).and_then(|below| below.split('/').next()).map(str::to_owned);
    let is_below_version = track.is_some();
    let is_key = request.uri().path().split('/').nth(2) == Some("keys");
    let found = if is_below_version && !is_key {
        state.presentations.for_media(asset).await
    } else {
        state.presentations.current(asset).await
    };
    let is_protected = found.map_err(|error| error::of_catalogue(&error))?.is_some_and(|found| found.protected);
    let audience = state.admission.admit(is_protected, &asker).map_err(|refused| error::of_viewer(&refused))?;
    let mut response = next.run(request).await;
    audience.mark(response.headers_mut());
    if !response.status().is_client_error() && !response.status().is_server_error() {
        response.headers_mut().insert(CACHE_GROUPS, groups(asset, track.as_deref()));
    }
    Ok(response)
}

/// That of the asset, and of the subtitles whose text `track` names.
fn groups(asset: Uuid, track: Option<&str>) -> HeaderValue {
    let mut groups = format!("\"{}\"", group::of_asset(asset));
    if let Some(id) = track.and_then(text::subtitle_of) {
        groups += &format!(", \"{}\"", group::of_subtitle(asset, id));
    }
    HeaderValue::try_from(groups).expect("hexadecimal digits, hyphens, a slash and quotes are visible ASCII")
}
