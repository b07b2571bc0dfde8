//! The Media Presentation Description of DASH (ISO/IEC 23009-1, clauses are its own; DASH-IF's guidelines): the same
//! segments that HLS plays, under the same names.
//!
//! Numbers (`$Number$`) with an explicit timeline. No `BaseURL` but of text, which is one file: everything is relative to where
//! the MPD was found.

mod events;
mod live;
mod periods;
mod representation;
mod steering;
mod text;
mod tiles;
mod timeline;
mod xml;

pub use self::live::{LiveMpd, LiveTrack, LowLatency, Phase, WallClock};
pub use self::representation::{DashKind, DashTrack};
pub use self::steering::DashSteering;
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

/// Complete tracks, and what else an MPD says of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct VodMpd<'a> {
    /// The tracks.
    pub tracks: &'a [VodTrack],
    /// Text that is shown with them; a clip has none.
    pub texts: &'a [DashText],
    /// Their thumbnails; a clip has none.
    pub tiles: Option<&'a Tiles>,
    /// The ways to all of it.
    pub steering: Option<&'a DashSteering>,
}

/// The MPD of complete tracks, and of text that is shown with them.
///
/// # Errors
/// As [`VodMpd::mpd`].
pub fn vod_mpd(tracks: &[VodTrack], texts: &[DashText]) -> Result<String, PlaylistError> {
    VodMpd { tracks, texts, ..VodMpd::default() }.mpd()
}

// === impl VodMpd ===

impl VodMpd<'_> {
    /// The MPD.
    ///
    /// `minBufferTime` is the longest that any of them needs to make its `bandwidth` true: the length of the longest segment or
    /// less, since the bandwidth is the peak of segments.
    ///
    /// # Errors
    /// [`PlaylistError`] if there is nothing to play, no timescale, or a URI is not relative.
    pub fn mpd(&self) -> Result<String, PlaylistError> {
        written(self, None)
    }

    /// The MPD of what of it is shown from `from_ms` until `to_ms`, which may lie behind the end.
    ///
    /// It names whole segments. The Period begins with the first frame of the clip (`presentationTimeOffset`) and ends where the
    /// clip does: what its segments hold besides is not shown (ISO/IEC 23009-1 section 5.3.2.1).
    ///
    /// # Errors
    /// [`PlaylistError::Clip`] if nothing of it is there; else as [`VodMpd::mpd`].
    pub fn clip(&self, from_ms: u64, to_ms: u64) -> Result<String, PlaylistError> {
        written(&Self { texts: &[], tiles: None, ..*self }, Some(from_ms..to_ms))
    }
}

fn written(vod: &VodMpd<'_>, clip: Option<Range<u64>>) -> Result<String, PlaylistError> {
    let VodMpd { tracks, texts, tiles, steering } = *vod;
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
    let mpd = mpd.children(steering.map_or(Ok(Vec::new()), |steering| steering.locations(None))?);
    let mpd = mpd.children(steering.map(DashSteering::element).transpose()?);
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
