//! Periods of a live presentation, from what its windows hold. Pure; no text.
//!
//! A timeline must not leave holes, and `$Number$` counts on from `startNumber` (DASH-IF's timing model, section 9.2, and
//! what it says of missing segments: split the Period). So where any track goes on after a gap, a discontinuity or another
//! init segment, a new Period begins, for all tracks; in each Period the numbers of a track have no hole.
//!
//! A Period keeps its start and identifier as long as any of its segments is listed. When the segment that began it has
//! left the window, that is known only from before: the caller gives back what it was told.

use crate::time::{ceil_ms, floor_ms};
use crate::{Content, LiveSegment};

use super::live::LiveTrack;

/// A span that all tracks go through without a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// When it begins, milliseconds since 1970; 0 if nobody knows: before everything.
    pub(super) start_ms: u64,
    /// Of each track, the places in its list of the segments in it.
    pub(super) segments: Vec<std::ops::Range<usize>>,
}

/// The start of a span that was begun before anybody looked.
const UNKNOWN_MS: u64 = 0;
/// Pictures and sound of one encoder go on less than this apart (an AAC frame is 21 to 64 ms long). It must not depend on
/// what is in the window, or Periods would split or join while it moves.
const TOGETHER_MS: u64 = 100;

/// A segment that does not go on from the one before.
struct Resumption {
    /// Its place in the list.
    segment: usize,
    /// The start of the span that it begins.
    start_ms: u64,
}

/// The spans of `tracks`, in order, none of them empty.
///
/// `known_ms` are starts that were said before. Where two tracks go on at nearly the same time, it is one start; what one
/// track does twice is two.
pub(super) fn spans(tracks: &[LiveTrack], known_ms: &[u64]) -> Vec<Span> {
    let mut starts = known_ms.to_vec();
    starts.push(UNKNOWN_MS);
    starts.sort_unstable();
    starts.dedup();
    let resumptions: Vec<Vec<Resumption>> = tracks.iter().map(|track| resumptions(track, &mut starts)).collect();
    let mut spans: Vec<Span> = starts.iter().map(|ms| Span { start_ms: *ms, segments: Vec::new() }).collect();
    for (track, resumptions) in tracks.iter().zip(&resumptions) {
        let places = places(track, &starts, resumptions);
        for (at, span) in spans.iter_mut().enumerate() {
            let first = places.iter().position(|place| *place == Some(at)).unwrap_or(0);
            let count = places.iter().filter(|place| **place == Some(at)).count();
            span.segments.push(first..first + count);
        }
    }
    spans.retain(|span| span.segments.iter().any(|segments| !segments.is_empty()));
    spans
}

/// Where `track` goes on, each at a start of its own, which is put among `starts` if there is none near.
fn resumptions(track: &LiveTrack, starts: &mut Vec<u64>) -> Vec<Resumption> {
    let mut last_ms = UNKNOWN_MS;
    let mut found = Vec::new();
    for segment in (0..track.segments.len()).filter(|at| track.resumes_at(*at)) {
        let ms = floor_ms(track.segments[segment].time_ticks, track.track.timescale);
        let near = starts.iter().copied().filter(|start| *start > last_ms && start.abs_diff(ms) <= TOGETHER_MS);
        // What was said before holds; of what is new, the earliest comes first in the list of tracks, or a little late.
        let start_ms = near.min_by_key(|start| start.abs_diff(ms)).unwrap_or_else(|| {
            let start_ms = ms.max(last_ms + 1);
            if let Err(at) = starts.binary_search(&start_ms) {
                starts.insert(at, start_ms);
            }
            start_ms
        });
        found.push(Resumption { segment, start_ms });
        last_ms = start_ms;
    }
    found
}

/// In which span each segment lies; those that are not there lie in none.
fn places(track: &LiveTrack, starts: &[u64], resumptions: &[Resumption]) -> Vec<Option<usize>> {
    let timescale = track.track.timescale;
    let mut least = 0;
    let mut places: Vec<Option<usize>> = track
        .segments
        .iter()
        .enumerate()
        .map(|(at, segment)| {
            let resumes = resumptions.iter().find(|resumption| resumption.segment == at);
            let begin_ms = floor_ms(segment.time_ticks, timescale);
            // The audio of a picture begins up to a frame of sound earlier: the greater part decides.
            let middle_ms = begin_ms.saturating_add(ceil_ms(segment.duration_ticks / 2, timescale));
            let in_ms = resumes.map_or(middle_ms, |resumption| resumption.start_ms);
            track.is_there(segment).then(|| {
                least = least.max(starts.partition_point(|start| *start <= in_ms).saturating_sub(1));
                least
            })
        })
        .collect();
    // What lies before a resumption does not belong to the span that it begins.
    let mut most = usize::MAX;
    for (at, place) in places.iter_mut().enumerate().rev() {
        if let Some(place) = place {
            *place = (*place).min(most);
            if resumptions.iter().any(|resumption| resumption.segment == at) {
                most = place.saturating_sub(1);
            }
        }
    }
    places
}

// === impl LiveTrack ===

impl LiveTrack {
    /// Whether a segment can be asked for.
    pub(super) fn is_there(&self, segment: &LiveSegment) -> bool {
        match &segment.content {
            Content::Whole(_) => segment.duration_ticks > 0,
            Content::UnderWay(parts) => self.lists_under_way && !parts.is_empty(),
            Content::Gap => false,
        }
    }

    fn resumes_at(&self, at: usize) -> bool {
        let segment = &self.segments[at];
        let before = at.checked_sub(1).map(|before| &self.segments[before]);
        self.is_there(segment)
            && (segment.is_discontinuity
                || before.is_some_and(|before| before.init != segment.init || before.content == Content::Gap))
    }

    pub(super) fn longest_ms(&self) -> u64 {
        let longest_ticks = self.segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
        ceil_ms(longest_ticks, self.track.timescale)
    }
}
