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

/// The spans of `tracks`, in order, none of them empty.
///
/// `known_ms` are starts that were said before. Starts of two tracks that are less than half a segment apart are one.
pub(super) fn spans(tracks: &[LiveTrack], known_ms: &[u64]) -> Vec<Span> {
    let near_ms = tracks.iter().map(LiveTrack::longest_ms).max().unwrap_or(0) / 2;
    let mut known = known_ms.to_vec();
    known.sort_unstable();
    known.dedup();
    let mut starts = known;
    let mut found: Vec<u64> = tracks.iter().flat_map(LiveTrack::resumptions_ms).collect();
    found.sort_unstable();
    for ms in found {
        // What was said before holds; of what is new, the earliest, so that nothing is cut off.
        if nearest(&starts, ms).is_none_or(|near| starts[near].abs_diff(ms) > near_ms) {
            starts.insert(starts.partition_point(|start| *start < ms), ms);
        }
    }
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let mut spans: Vec<Span> = starts.iter().map(|ms| Span { start_ms: *ms, segments: Vec::new() }).collect();
    for track in tracks {
        let places = places(track, &starts, near_ms);
        for (at, span) in spans.iter_mut().enumerate() {
            let first = places.iter().position(|place| *place == Some(at)).unwrap_or(0);
            let count = places.iter().filter(|place| **place == Some(at)).count();
            span.segments.push(first..first + count);
        }
    }
    spans.retain(|span| span.segments.iter().any(|segments| !segments.is_empty()));
    spans
}

/// In which span each segment lies; those that are not there lie in none.
fn places(track: &LiveTrack, starts: &[u64], near_ms: u64) -> Vec<Option<usize>> {
    let timescale = track.track.timescale;
    let mut places: Vec<Option<usize>> = Vec::with_capacity(track.segments.len());
    let mut least = 0;
    for (at, segment) in track.segments.iter().enumerate() {
        if !track.is_there(segment) {
            places.push(None);
            continue;
        }
        let begin_ms = floor_ms(segment.time_ticks, timescale);
        let span = if track.resumes_at(at) {
            nearest(starts, begin_ms).filter(|near| starts[*near].abs_diff(begin_ms) <= near_ms)
        } else {
            None
        };
        // The audio of a picture begins up to a frame of sound earlier: the greater part decides.
        let middle_ms = begin_ms + ceil_ms(segment.duration_ticks / 2, timescale);
        let span = span.unwrap_or_else(|| starts.partition_point(|start| *start <= middle_ms).saturating_sub(1));
        least = span.max(least);
        places.push(Some(least));
    }
    // What lies before a resumption does not belong to the span that it begins.
    let mut most = usize::MAX;
    for at in (0..places.len()).rev() {
        if let Some(place) = &mut places[at] {
            *place = (*place).min(most);
            if track.resumes_at(at) {
                most = place.saturating_sub(1);
            }
        }
    }
    places
}

fn nearest(starts: &[u64], ms: u64) -> Option<usize> {
    (0..starts.len()).min_by_key(|at| starts[*at].abs_diff(ms))
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

    fn resumptions_ms(&self) -> impl Iterator<Item = u64> {
        let resumes = (0..self.segments.len()).filter(|at| self.resumes_at(*at));
        resumes.map(|at| floor_ms(self.segments[at].time_ticks, self.track.timescale))
    }

    pub(super) fn longest_ms(&self) -> u64 {
        let longest_ticks = self.segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
        ceil_ms(longest_ticks, self.track.timescale)
    }
}
