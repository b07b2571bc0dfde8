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

/// The spans of `tracks`, in order, each with segments of all of them.
///
/// `known_ms` are starts that were said before. Where two tracks go on at nearly the same time, it is one start; what one
/// track does twice is two. `lists_open`: a segment that is under way is there.
pub(super) fn spans(tracks: &[LiveTrack], known_ms: &[u64], lists_open: bool) -> Vec<Span> {
    let mut starts = known_ms.to_vec();
    starts.push(UNKNOWN_MS);
    starts.sort_unstable();
    starts.dedup();
    let resumptions: Vec<Vec<Resumption>> =
        tracks.iter().map(|track| resumptions(track, &mut starts, lists_open)).collect();
    let mut spans: Vec<Span> = starts.iter().map(|ms| Span { start_ms: *ms, segments: Vec::new() }).collect();
    for (track, resumptions) in tracks.iter().zip(&resumptions) {
        let places = places(track, &starts, resumptions, lists_open);
        // Those of one span stand together.
        let mut segments = vec![0..0; spans.len()];
        for (at, place) in places.into_iter().enumerate().filter_map(|(at, place)| Some((at, place?))) {
            let first = if segments[place].is_empty() { at } else { segments[place].start };
            segments[place] = first..at + 1;
        }
        for (span, segments) in spans.iter_mut().zip(segments) {
            span.segments.push(segments);
        }
    }
    // A player looks for each of its tracks in every Period, and gives up one that it does not find (shaka-player). So where
    // one track has nothing at all, nothing is listed: it is a hole, which players jump over. That is so between two faults,
    // and for a moment where one track goes on before the other. A track that has nothing anywhere does not count.
    let has_any: Vec<bool> =
        (0..tracks.len()).map(|track| spans.iter().any(|span| !span.segments[track].is_empty())).collect();
    spans.retain(|span| {
        let mut segments = span.segments.iter().zip(&has_any).filter(|(_, has_any)| **has_any).peekable();
        segments.peek().is_some() && segments.all(|(segments, _)| !segments.is_empty())
    });
    spans
}

/// Where `track` goes on, each at a start of its own, which is put among `starts` if there is none near.
fn resumptions(track: &LiveTrack, starts: &mut Vec<u64>, lists_open: bool) -> Vec<Resumption> {
    let mut last_ms = UNKNOWN_MS;
    let mut found = Vec::new();
    for segment in (0..track.segments.len()).filter(|at| track.resumes_at(*at, lists_open)) {
        let ms = floor_ms(track.segments[segment].time_ticks, track.track.timescale);
        let from = starts.partition_point(|start| start.saturating_add(TOGETHER_MS) < ms);
        let near = starts[from..].iter().copied().take_while(|start| *start <= ms.saturating_add(TOGETHER_MS));
        let near = near.filter(|start| *start > last_ms);
        // What was said before holds, and what an earlier track of the list has.
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
fn places(track: &LiveTrack, starts: &[u64], resumptions: &[Resumption], lists_open: bool) -> Vec<Option<usize>> {
    let timescale = track.track.timescale;
    let mut least = 0;
    let mut places: Vec<Option<usize>> = track
        .segments
        .iter()
        .enumerate()
        .map(|(at, segment)| {
            let resumes = find(resumptions, at);
            let begin_ms = floor_ms(segment.time_ticks, timescale);
            // The audio of a picture begins up to a frame of sound earlier: the greater part decides.
            let middle_ms = begin_ms.saturating_add(ceil_ms(segment.duration_ticks / 2, timescale));
            let in_ms = resumes.map_or(middle_ms, |resumption| resumption.start_ms);
            is_there(segment, lists_open).then(|| {
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
            if find(resumptions, at).is_some() {
                most = place.saturating_sub(1);
            }
        }
    }
    places
}

/// The resumption at this place; they are in the order of their places.
fn find(resumptions: &[Resumption], at: usize) -> Option<&Resumption> {
    let found = resumptions.binary_search_by_key(&at, |resumption| resumption.segment);
    found.ok().map(|found| &resumptions[found])
}

/// Whether a segment can be asked for.
fn is_there(segment: &LiveSegment, lists_open: bool) -> bool {
    match &segment.content {
        Content::Whole(_) => segment.duration_ticks > 0,
        Content::UnderWay(parts) => lists_open && !parts.is_empty(),
        Content::Gap => false,
    }
}

// === impl LiveTrack ===

impl LiveTrack {
    fn resumes_at(&self, at: usize, lists_open: bool) -> bool {
        let segment = &self.segments[at];
        let before = at.checked_sub(1).map(|before| &self.segments[before]);
        is_there(segment, lists_open)
            && (segment.is_discontinuity
                || before.is_some_and(|before| before.init != segment.init || before.content == Content::Gap))
    }

    pub(super) fn longest_ms(&self) -> u64 {
        let longest_ticks = self.segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
        ceil_ms(longest_ticks, self.track.timescale)
    }
}
