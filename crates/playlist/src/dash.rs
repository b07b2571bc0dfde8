//! The Media Presentation Description of DASH (ISO/IEC 23009-1, clauses are its own; DASH-IF's guidelines): the same
//! segments that HLS plays, under the same names.
//!
//! Numbers (`$Number$`) with an explicit timeline. No `BaseURL` but of text, which is one file: everything is relative to where
//! the MPD was found.

mod events;
mod live;
mod periods;
mod representation;
mod text;
mod tiles;
mod timeline;
mod xml;

pub use self::live::{LiveMpd, LiveTrack, LowLatency, Phase, WallClock};
pub use self::representation::{DashKind, DashTrack};
pub use self::tiles::Tiles;

use std::ops::Range;

use self::representation::{Piece, Set};
use self::timeline::{Timeline, min_buffer_ms};
use self::xml::Element;
use crate::media::INIT_URI;
use crate::time::{IsoDuration, ceil_ms, ticks_of_ms};
use crate::{DashText, PlaylistError};

const NAMESPACE: &str = "urn:mpeg:dash:schema:mpd:2011";
/// Segments with templates (clause 8.4). It is not only for what is live.
const PROFILE: &str = "urn:mpeg:dash:profile:isoff-live:2011";

/// A complete track, as an MPD sees it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VodTrack {
    /// What it is.
    pub track: DashTrack,
    /// When its first segment is presented, ticks: above 0 if it begins late.
    pub start_ticks: u64,
    /// Presented duration of each segment in order, ticks: less what the edit list cuts off.
    pub segment_ticks: Vec<u64>,
    /// Size of each segment, if known; `minBufferTime` is shorter with than without.
    pub segment_bytes: Vec<u64>,
}

/// The MPD of complete tracks, and of text that is shown with them.
///
/// `minBufferTime` is the longest that any of them needs to make its `bandwidth` true: the length of the longest segment or
/// less, since the bandwidth is the peak of segments.
///
/// # Errors
/// [`PlaylistError`] if there is nothing to play, no timescale, or a URI is not relative.
pub fn vod_mpd(tracks: &[VodTrack], texts: &[DashText]) -> Result<String, PlaylistError> {
    vod_mpd_with_tiles(tracks, texts, None)
}

/// The same, with thumbnails.
///
/// # Errors
/// As [`vod_mpd`]; also if the thumbnails have no size.
pub fn vod_mpd_with_tiles(
    tracks: &[VodTrack],
    texts: &[DashText],
    tiles: Option<&Tiles>,
) -> Result<String, PlaylistError> {
    written(tracks, (texts, tiles), None)
}

/// The MPD of what of complete tracks is shown from `from_ms` until `to_ms`, which may lie behind their end.
///
/// It names whole segments. The Period begins with the first frame of the clip (`presentationTimeOffset`) and ends where the
/// clip does: what its segments hold besides is not shown (ISO/IEC 23009-1 section 5.3.2.1).
///
/// # Errors
/// [`PlaylistError::Clip`] if nothing of it is there; else as [`vod_mpd`].
pub fn vod_clip_mpd(tracks: &[VodTrack], from_ms: u64, to_ms: u64) -> Result<String, PlaylistError> {
    written(tracks, (&[], None), Some(from_ms..to_ms))
}

fn written(
    tracks: &[VodTrack],
    (texts, tiles): (&[DashText], Option<&Tiles>),
    clip: Option<Range<u64>>,
) -> Result<String, PlaylistError> {
    let facts: Vec<&DashTrack> = tracks.iter().map(|track| &track.track).collect();
    let mut pieces = Vec::new();
    let (mut end_ms, mut buffer_ms, mut longest_ms) = (0, 1, 0);
    for VodTrack { track, start_ticks, segment_ticks, segment_bytes } in tracks {
        if track.timescale == 0 {
            return Err(PlaylistError::Timescale);
        }
        let timeline = Timeline::of_presented(0, *start_ticks, segment_ticks);
        if timeline.durations_ticks.is_empty() || timeline.durations_ticks.contains(&0) {
            return Err(PlaylistError::Empty { what: "segment" });
        }
        let sizes = segment_bytes.get(segment_ticks.len() - timeline.durations_ticks.len()..).unwrap_or_default();
        let ticks = |ms: u64| ticks_of_ms(ms, track.timescale);
        let (timeline, sizes) = match &clip {
            None => (timeline, sizes),
            Some(clip) => match timeline.within(ticks(clip.start)..ticks(clip.end)) {
                Some((within, dropped)) => {
                    let kept = dropped..dropped + within.durations_ticks.len();
                    (within, sizes.get(kept).unwrap_or_default())
                }
                // A track that ends before the clip begins has no part in it.
                None => {
                    pieces.push(None);
                    continue;
                }
            },
        };
        end_ms = end_ms.max(ceil_ms(timeline.end_ticks(), track.timescale));
        longest_ms = longest_ms.max(ceil_ms(timeline.longest_ticks(), track.timescale));
        buffer_ms = buffer_ms.max(min_buffer_ms(&timeline, track.timescale, track.bandwidth_bps, sizes));
        let origin_ticks = clip.as_ref().map_or(0, |clip| ticks(clip.start));
        pieces.push(Some(Piece { track, timeline, origin_ticks, init: INIT_URI.to_owned(), early_ticks: None }));
    }
    if pieces.is_empty() {
        return Err(PlaylistError::Empty { what: "track" });
    }
    if let Some(clip) = clip {
        if pieces.iter().all(Option::is_none) || clip.is_empty() {
            return Err(PlaylistError::Clip { from_ticks: clip.start, to_ticks: clip.end });
        }
        end_ms = end_ms.min(clip.end).saturating_sub(clip.start);
    }
    let sets = Set::of(&facts);
    let tiles = tiles.map(|tiles| tiles.element(sets.len() + texts.len())).transpose()?;
    let texts = texts.iter().enumerate().map(|(at, text)| text.element(sets.len() + at));
    let period = Element::new("Period")
        .with("id", 0)
        .with("start", IsoDuration(0))
        .with("duration", IsoDuration(end_ms))
        .children(adaptation_sets(&sets, &facts, &pieces)?)
        .children(texts.collect::<Result<Vec<_>, _>>()?)
        .children(tiles);
    let mpd = Element::new("MPD")
        .with("xmlns", NAMESPACE)
        .with("profiles", PROFILE)
        .with("type", "static")
        .with("mediaPresentationDuration", IsoDuration(end_ms))
        .with("minBufferTime", IsoDuration(buffer_ms))
        .with("maxSegmentDuration", IsoDuration(longest_ms));
    Ok(mpd.child(period).document())
}

fn adaptation_sets(
    sets: &[Set],
    facts: &[&DashTrack],
    pieces: &[Option<Piece<'_>>],
) -> Result<Vec<Element>, PlaylistError> {
    let elements = sets.iter().enumerate().map(|(number, set)| set.element(number, sets, facts, pieces));
    Ok(elements.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
