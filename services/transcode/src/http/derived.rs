//! `GET /derived/{asset}/…`: what streaming has, and beside it the renditions that this site lacks and makes.
//!
//! What is derived is `private`: no shared cache keeps it. Everything else goes through as it comes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use flame_api::Problem;
use flame_media_child::ChildError;
use flame_service_host::{Failure, FailureResult, Path};

use crate::transrate::{Made, TransrateError, Transrater, Wanted, listing};

const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
const MEDIA_TYPE: &str = "video/mp4";
/// What is below a version never changes; and it is this site's alone.
const IMMUTABLE: &str = "private, max-age=31536000, immutable";
/// Who asks again gets what is offered then.
const BRIEF: &str = "private, max-age=2";
/// Seconds after which a caller may try again.
const RETRY_AFTER_S: u32 = 2;
/// Longest part of a path that is passed on, octets.
const PART_MAX_BYTES: usize = 256;
/// Fields of a request that what it asks for depends on.
const ASKED: [HeaderName; 5] =
    [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MATCH, header::ACCEPT_ENCODING];
/// Fields of an answer that are about what it carries.
const SAID: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_ENCODING,
    header::ACCEPT_RANGES,
    header::CACHE_CONTROL,
    header::ETAG,
    header::VARY,
    header::LOCATION,
];

/// The multivariant playlist, with the renditions that this site makes; other files of an asset as they are
#[utoipa::path(
    get,
    path = "/derived/{asset}/{file}",
    operation_id = "derived_asset",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("file" = String, Path, description = "`index.m3u8`, or any other file of the asset"),
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = PLAYLIST_TYPE),
        (status = 403, description = "The asset is protected", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "What upstream gives cannot be used", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Upstream is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn asset(
    State(transrater): State<Transrater>,
    Path((asset, file)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    // A clip has an end of its own within a segment.
    if file != "index.m3u8" || query.is_some() {
        return pass(&transrater, &[&asset, &file], query.as_deref(), &headers).await;
    }
    path_of(&[&asset])?;
    let text = transrater.multivariant(&asset).await.map_err(|error| failure(&error))?;
    answer(StatusCode::OK, PLAYLIST_TYPE, BRIEF).body(Body::from(text)).map_err(|error| Failure::internal(&error))
}

/// The playlist, init segment and segments of a derived rendition (`v720.360`); those of others as they are
#[utoipa::path(
    get,
    path = "/derived/{asset}/{version}/{track}/{file}",
    operation_id = "derived_track",
    params(
        ("asset" = String, Path, description = "Identifier of the asset"),
        ("version" = String, Path, description = "Version, 12 hex digits"),
        ("track" = String, Path, description = "Name of the track; of a derived one that of its source, a point, and its shorter side in pixels"),
        ("file" = String, Path, description = "`index.m3u8`, `init.mp4`, `{n}.m4s`; of others any file"),
    ),
    responses(
        (status = 200, description = "The file; of a derived rendition with an entity tag of its own, for this site alone", body = Vec<u8>, content_type = MEDIA_TYPE),
        (status = 304, description = "It has not changed"),
        (status = 403, description = "The asset is protected", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none, or it is not offered", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "What upstream gives cannot be used", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Upstream or the media process is away, or too many segments wait to be made", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn track(
    State(transrater): State<Transrater>,
    Path((asset, version, track, file)): Path<(String, String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> FailureResult<Response<Body>> {
    if listing::parse_track(&track).is_none() {
        return pass(&transrater, &[&asset, &version, &track, &file], query.as_deref(), &headers).await;
    }
    path_of(&[&asset, &version, &track])?;
    let location = format!("../{track}/{file}");
    let wanted = Wanted { asset, version, track };
    let number = file.strip_suffix(".m4s").filter(|number| number.bytes().all(|digit| digit.is_ascii_digit()));
    let made = match (file.as_str(), number.and_then(|number| number.parse().ok())) {
        ("index.m3u8", _) => {
            let text = transrater.playlist(&wanted).await.map_err(|error| failure(&error))?;
            let body = answer(StatusCode::OK, PLAYLIST_TYPE, BRIEF).body(Body::from(text));
            return body.map_err(|error| Failure::internal(&error));
        }
        ("init.mp4", _) => transrater.init(&wanted).await,
        (_, Some(number)) => transrater.segment(&wanted, number).await,
        (_, None) => return Err(Failure::not_found(format!("{file} of a derived rendition"))),
    };
    held(&made.map_err(|error| failure(&error))?, &location, &headers)
}

/// Answers with what was made; without it, if the caller has it.
fn held(made: &Made, location: &str, headers: &HeaderMap) -> FailureResult<Response<Body>> {
    let tag = format!("\"{}\"", hex::encode(made.identity));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut known = known.flat_map(|line| line.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    let (status, body) = match known.any(|one| one == tag || one == "*") {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from(made.bytes.clone())),
    };
    let head = answer(status, MEDIA_TYPE, IMMUTABLE);
    let head = head.header(header::ETAG, tag).header(header::CONTENT_LOCATION, location);
    head.body(body).map_err(|error| Failure::internal(&error))
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    cache_control: &'static str,
) -> axum::http::response::Builder {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, cache_control)
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
}

/// Passes on what upstream answers, as it comes.
async fn pass(
    transrater: &Transrater,
    parts: &[&str],
    query: Option<&str>,
    headers: &HeaderMap,
) -> FailureResult<Response<Body>> {
    let path = path_of(parts)?;
    let asked = ASKED.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect();
    let answer = transrater.pass(&path, query, asked).await.map_err(|error| failure(&error))?;
    let mut head = Response::builder().status(answer.status());
    for name in &SAID {
        for value in answer.headers().get_all(name) {
            head = head.header(name, value);
        }
    }
    head = head.header(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    head.body(Body::from_stream(answer.bytes_stream())).map_err(|error| Failure::internal(&error))
}

/// The path upstream. Nothing that leads elsewhere than to the asset goes into a URL.
fn path_of(parts: &[&str]) -> FailureResult<String> {
    let is_plain = |part: &&str| {
        let is_name = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'~');
        !part.is_empty() && part.len() <= PART_MAX_BYTES && !part.starts_with('.') && part.bytes().all(is_name)
    };
    match parts.iter().find(|part| !is_plain(part)) {
        Some(part) => Err(Failure::not_found(format!("{part:?}"))),
        None => Ok(parts.join("/")),
    }
}

fn failure(error: &Arc<TransrateError>) -> Failure {
    match &**error {
        TransrateError::NotOffered(_) => Failure::not_found(format!("such rendition: {error}")),
        TransrateError::Refused { status: 404 | 410, path, .. } => Failure::not_found(path),
        TransrateError::Refused { status: 403, .. } => {
            let detail = "the asset is protected, and renditions are made of open ones only: ask streaming with a link";
            Failure::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
        }
        TransrateError::Refused { .. } | TransrateError::TooLarge { .. } | TransrateError::Unusable { .. } => {
            Failure::new(StatusCode::BAD_GATEWAY, "bad-gateway", "Upstream cannot be used", error.to_string())
        }
        TransrateError::Busy { .. } => Failure::unavailable(error.to_string(), RETRY_AFTER_S),
        TransrateError::Away { .. } | TransrateError::Silent { .. } => {
            Failure::unavailable_alone(error.to_string(), RETRY_AFTER_S).because(&**error)
        }
        TransrateError::Child(ChildError::TimedOut { .. }) => {
            Failure::unavailable_alone("the segment was not made in time", RETRY_AFTER_S).because(&**error)
        }
        TransrateError::Child(_) if error.is_of_the_segment() => {
            Failure::unavailable_alone("the segment cannot be made now", RETRY_AFTER_S).because(&**error)
        }
        // This instance lacks a program or room: others may have it.
        TransrateError::Child(_) | TransrateError::Scratch(_) => {
            Failure::unavailable("no segment can be made here now", RETRY_AFTER_S).because(&**error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_asset() {
        assert_eq!(path_of(&["a", "0123456789ab", "v720", "0.m4s"]).unwrap(), "a/0123456789ab/v720/0.m4s");
        for part in ["..", ".", "", "a/b", "%2e%2e", "a?b", "a#b", "a\\b", ";x", "ä"] {
            assert!(path_of(&["a", part]).is_err(), "{part}");
        }
    }
}
