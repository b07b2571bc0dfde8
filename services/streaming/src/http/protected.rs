//! Before any media goes out: is its asset protected, and who asks? What is answered says whom it is for, and in which groups it
//! can be dropped again (RFC 9875).

use axum::extract::{RawPathParams, Request, State as Shared};
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
///
/// The asset is read from the same decoded parameter that the handler gets. A path that is spelled with escapes names nothing:
/// no name needs one, and a second spelling would be a second entry in caches, which no purge finds.
pub(super) async fn admit(
    Shared(state): Shared<State>,
    asker: Asker,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let path = request.uri().path();
    if path.contains('%') {
        return Err(error::missing(format_args!("route {path}")));
    }
    let parameter = |wanted| parameters.iter().find_map(|(name, value)| (name == wanted).then_some(value));
    let Some(Ok(asset)) = parameter("asset").map(names::asset) else { return Ok(next.run(request).await) };
    let track = parameter("track").map(str::to_owned);
    let is_live = state.live.find(asset).is_some_and(|channel| !channel.is_ended());
    let found = match &track {
        // The catalogue hears of a channel when it ends. Until then nobody waits for it, or goes without because it is away.
        _ if is_live => Ok(None),
        Some(_) => state.presentations.for_media(asset).await,
        None => state.presentations.current(asset).await,
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
