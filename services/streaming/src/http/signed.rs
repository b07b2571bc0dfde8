//! The same URLs behind a token: `/;URISigningPackage=<token>/{asset}/…` (RFC 9246).
//!
//! Here the token is only set aside; whether it opens anything is asked where it is known what is protected. So a link that nobody
//! needs works too, and a bad one harms nothing that is for everybody.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::any;
use flame_credentials::Peer;
use flame_naming::identity::url::split_token;
use flame_service_host::Failure;
use tower::ServiceExt;

use super::error;
use crate::admission::Signed;

/// Every route of media with one more segment in front.
const BEHIND_TOKEN: [&str; 12] = [
    "/{token}/{asset}/clock",
    "/{token}/{asset}/index.m3u8",
    "/{token}/{asset}/ts.m3u8",
    "/{token}/{asset}/manifest.mpd",
    "/{token}/{asset}/poster.jpg",
    "/{token}/{asset}/thumbnails.vtt",
    "/{token}/{asset}/keys/{key}",
    "/{token}/{asset}/{version}/{track}/index.m3u8",
    "/{token}/{asset}/{version}/{track}/ts.m3u8",
    "/{token}/{asset}/{version}/{track}/iframes.m3u8",
    "/{token}/{asset}/{version}/{track}/init.mp4",
    "/{token}/{asset}/{version}/{track}/{segment}",
];

/// Routes that answer as `media` does.
pub(super) fn routes(media: Router) -> Router {
    BEHIND_TOKEN.into_iter().fold(Router::new(), |routes, path| {
        let media = media.clone();
        routes.route(path, any(move |request: Request| answer(media, request)))
    })
}

async fn answer(media: Router, mut request: Request) -> Result<Response, Failure> {
    let signed = request.uri().clone();
    let path = signed.path();
    let (_, rest) = split_token(path).ok_or_else(|| error::missing(format_args!("route {path}")))?;
    let rest = match signed.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_string(),
    };
    let rest: Uri = rest.parse().map_err(|_| error::missing(format_args!("route {path}")))?;
    // A request anew: what the routes in front have noted of this one would count as theirs behind.
    let peer = request.extensions_mut().remove::<Peer>();
    let (parts, body) = request.into_parts();
    let mut inner = Request::new(body);
    (*inner.method_mut(), *inner.uri_mut(), *inner.headers_mut()) = (parts.method, rest, parts.headers);
    inner.extensions_mut().insert(Signed(signed));
    if let Some(peer) = peer {
        inner.extensions_mut().insert(peer);
    }
    match media.oneshot(inner).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}
