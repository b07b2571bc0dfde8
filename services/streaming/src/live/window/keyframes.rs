//! The pictures of a live track that need no other: counted from its first one on, so that a number never means another one.

use flame_api::live::LiveTrack;

use super::{State, Window};
use crate::live::forgetting::ForgottenDocument;
use crate::live::view::View;

impl Window {
    /// Says what came before all that is restored, and when the first segment of all began.
    pub(crate) fn restore_before(&mut self, before: &ForgottenDocument, origin_ticks: Option<u64>) {
        self.keyframes_before = before.keyframes;
        self.discontinuity_sequence = before.discontinuities;
        self.origin_ticks = before.origin_ticks.or(origin_ticks);
    }

    /// All that is known of the track now.
    pub(crate) fn view(&self, facts: LiveTrack, target_duration_s: u64) -> View {
        View {
            facts,
            transfer: None,
            media: self.media(target_duration_s, Vec::new()),
            sizes_bytes: self.segments.iter().map(|segment| segment.size_bytes).collect(),
            keyframes: self.segments.iter().map(|segment| segment.keyframes.clone()).collect(),
            keyframes_before: self.keyframes_before,
            origin_ticks: self.origin_ticks,
        }
    }

    /// When the newest segment begins by the wall, milliseconds since 1970.
    pub(crate) fn newest_ms(&self) -> Option<u64> {
        let newest = self.segments.back()?;
        let ms = u128::from(newest.time_ticks) * 1000 / u128::from(self.timescale.max(1));
        u64::try_from(ms).ok()?.checked_add_signed(newest.wall_offset_ms)
    }

    /// When what has come ends, milliseconds since 1970.
    pub(crate) fn end_ms(&self) -> Option<u64> {
        let last = self.segments.back()?;
        let end_ticks = last.time_ticks.saturating_add(last.duration_ticks);
        u64::try_from(u128::from(end_ticks) * 1000 / u128::from(self.timescale.max(1))).ok()
    }

    /// How long the newest segment is so far, rounded to seconds (RFC 8216bis section 4.4.3.1).
    pub(crate) fn newest_length_s(&self) -> u64 {
        let timescale = u64::from(self.timescale.max(1));
        let ticks = self.segments.back().map_or(0, |last| last.duration_ticks);
        ticks.saturating_add(timescale / 2) / timescale
    }

    /// Number of the segment that holds the I-frame `number`, and its place among those of the segment.
    pub(crate) fn keyframe(&self, number: u64) -> Option<(u64, u32)> {
        let mut before = self.keyframes_before;
        for (at, segment) in self.segments.iter().enumerate() {
            let next = before + segment.keyframes.len() as u64;
            if (before..next).contains(&number) {
                let is_whole = segment.state == State::Whole;
                let place = u32::try_from(number - before).ok().filter(|_| is_whole)?;
                return Some((self.first_number + at as u64, place));
            }
            before = next;
        }
        None
    }
}
