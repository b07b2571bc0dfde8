//! `GET /{asset}/{version}/t-{subtitles}-{track}/…`: subtitles, in segments like those of a track, and in one file.
//!
//! Everything here is immutable, like media, and there as long as the asset has the subtitles.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use flame_api::subtitles::Subtitle;
use flame_playlist::Container;
use flame_service_host::FailureResult;

use super::media::find;
use super::multivariant::{PLAYLIST_TYPE, answer};
use super::representation::IMMUTABLE;
use super::{State, error};
use crate::clip::Clip;
use crate::text::{self, TextFile, TextName};

/// Media type of text.
const TEXT_TYPE: &str = "text/vtt";

/// The playlist of its segments, of all of it or of a clip.
pub(super) async fn playlist(
    state: &State,
    name: &TextName,
    (container, clip): (Container, Option<Clip>),
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    listed(state, name).await?;
    let stored = find(state, &name.grid).await?;
    let complete = stored.complete().ok_or_else(|| error::missing("text that is cut like what was live"))?;
    let document = complete.text(container, clip).map_err(|refusal| error::of_playlist(&refusal))?;
    Ok(answer(&document, PLAYLIST_TYPE, IMMUTABLE, method, headers))
}

/// A segment, or all of it.
pub(super) async fn file(
    state: &State,
    name: &TextName,
    file: &str,
    (method, headers): (&Method, &HeaderMap),
) -> FailureResult<Response<Body>> {
    let missing = || error::missing(format_args!("{file} of subtitles {} of asset {}", name.id, name.grid.asset));
    let wanted = text::file(file).ok_or_else(missing)?;
    let subtitle = listed(state, name).await?;
    let shown_ms = match wanted {
        TextFile::Whole => None,
        TextFile::Segment(number, _) => {
            let stored = find(state, &name.grid).await?;
            let number = usize::try_from(number).map_err(|_| missing())?;
            let shown_ms = stored.complete().and_then(|complete| complete.shown_ms(number));
            Some(shown_ms.ok_or_else(missing)?)
        }
    };
    let text = state.texts.get(&subtitle).await.map_err(|error| error::of_text(&error))?;
    let document = match (wanted, shown_ms) {
        (TextFile::Segment(_, container), Some(shown_ms)) => text.segment(shown_ms, container),
        (TextFile::Segment(..) | TextFile::Whole, _) => text.whole(),
    };
    Ok(answer(&document, TEXT_TYPE, IMMUTABLE, method, headers))
}

/// The subtitles, if the asset has them now: a text may go while the rest of the asset stays.
async fn listed(state: &State, name: &TextName) -> FailureResult<Subtitle> {
    let asset = name.grid.asset;
    let current = state.presentations.current(asset).await.map_err(|error| error::of_catalogue(&error))?;
    let found = current.and_then(|current| current.subtitle(&name.id).cloned());
    found.ok_or_else(|| error::missing(format_args!("subtitles {} of asset {asset}", name.id)))
}
