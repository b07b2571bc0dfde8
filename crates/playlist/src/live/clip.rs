//! A piece of what is or was live, as a playlist of its own that is complete: from a frame on, up to a sample.
//!
//! It names the same segments as the playlist that it is a piece of, under the same numbers, with the same
//! discontinuities; only the last one may be asked for in part. It knows nothing of what a time means to people.

use super::{Content, LiveMedia, LiveSegment};
use crate::attributes::start_tag;
use crate::time::{Seconds, ceil_ms, floor_ms};
use crate::{DateRange, Length, PlaylistError, uri};

/// What differs at the ends of a playlist.
#[derive(Debug, Default)]
pub(super) struct Ends<'a> {
    /// `EXT-X-START`.
    pub(super) start: Option<String>,
    /// Query of the last segment.
    pub(super) last_query: Option<&'a str>,
}

// === impl LiveMedia ===

impl LiveMedia {
    /// The playlist of what is shown from `from_ticks` until `to_ticks`, ticks since 1970. `EXT-X-START` marks its first
    /// frame. `query` is that of the last segment where only a part of it belongs to the clip.
    ///
    /// # Errors
    /// [`PlaylistError::Clip`] if nothing of it is there; else as [`LiveMedia::playlist`].
    pub fn clip(&self, from_ticks: u64, to_ticks: u64, query: &str) -> Result<String, PlaylistError> {
        let cut = self.cut(from_ticks, to_ticks);
        let dropped = self.segments[..cut.start].iter().filter(|segment| segment.is_discontinuity).count();
        let mut segments = self.segments[cut.clone()].to_vec();
        let (Some(first), Some(last)) = (segments.first().cloned(), segments.last_mut()) else {
            return Err(PlaylistError::Clip { from_ticks, to_ticks });
        };
        let end_ticks = last.time_ticks.saturating_add(last.duration_ticks);
        last.duration_ticks = end_ticks.min(to_ticks).saturating_sub(last.time_ticks);
        let lead_ticks = from_ticks.saturating_sub(first.time_ticks);
        let ends = Ends {
            start: (lead_ticks > 0).then(|| start_tag(Seconds(lead_ticks, self.timescale), true)),
            last_query: if end_ticks > to_ticks { Some(uri::checked_query(query)?) } else { None },
        };
        let (from_ms, to_ms) = (floor_ms(from_ticks, self.timescale), ceil_ms(to_ticks, self.timescale));
        let is_within = |range: &&DateRange| {
            let length_ms = match range.length {
                Length::Known(ms) | Length::Planned(ms) => ms,
                Length::Unknown | Length::UntilNext => 0,
            };
            range.start_ms < to_ms && range.start_ms.saturating_add(length_ms) >= from_ms
        };
        let clip = Self {
            first_number: self.first_number + cut.start as u64,
            discontinuity_sequence: self.discontinuity_sequence + dropped as u64,
            segments,
            is_over: true,
            reports: Vec::new(),
            date_ranges: self.date_ranges.iter().filter(is_within).cloned().collect(),
            key: self.key.clone(),
            ..*self
        };
        clip.written(false, &ends)
    }

    /// The places of the segments that are needed to show what lies between these ticks: from the first to the last one that
    /// came, without one that is under way.
    #[must_use]
    pub fn cut(&self, from_ticks: u64, to_ticks: u64) -> std::ops::Range<usize> {
        let is_in = |segment: &LiveSegment| {
            matches!(segment.content, Content::Whole(_))
                && segment.time_ticks < to_ticks
                && segment.time_ticks.saturating_add(segment.duration_ticks) > from_ticks
        };
        match (self.segments.iter().position(is_in), self.segments.iter().rposition(is_in)) {
            (Some(first), Some(last)) => first..last + 1,
            (None, _) | (_, None) => 0..0,
        }
    }
}
