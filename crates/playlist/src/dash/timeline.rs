//! When the segments of a Representation are presented (`SegmentTimeline`, ISO/IEC 23009-1 section 5.3.9.6), and how much
//! of it must be there before it plays on.
//!
//! Times are presentation times: media time less what the edit list takes away. ISO/IEC 23009-1 section 7.3.2 forms the
//! presentation time of an ISOBMFF Representation after the edit list, DASH-IF's timing model says the same of the sample
//! timeline; so `S@t` of a track that begins with the programme is 0 whatever its priming or reordering is, and
//! `presentationTimeOffset` never repeats the edit list. `tfdt` stays what it is, in front of the edit list.

use std::ops::Range;

use super::xml::Element;

/// Consecutive segments: numbers without a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timeline {
    /// Number of the first one.
    pub(super) first_number: u64,
    /// When the first one begins, ticks.
    pub(super) start_ticks: u64,
    /// How long each is, ticks, above 0: until the next one begins.
    pub(super) durations_ticks: Vec<u64>,
}

/// Segments of the same length behind each other: an `S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Length of each, ticks: `d`.
    pub(super) duration_ticks: u64,
    /// How many follow the first: `r`.
    pub(super) repeats: u64,
}

// === impl Timeline ===

impl Timeline {
    /// Of segments with these presented durations. The edit list may cut off the first ones as a whole: they are not there.
    pub(super) fn of_presented(first_number: u64, start_ticks: u64, presented_ticks: &[u64]) -> Self {
        let cut_off = presented_ticks.iter().take_while(|ticks| **ticks == 0).count();
        Self {
            first_number: first_number + cut_off as u64,
            start_ticks,
            durations_ticks: presented_ticks[cut_off..].to_vec(),
        }
    }

    /// When the last one ends, ticks.
    pub(super) fn end_ticks(&self) -> u64 {
        self.durations_ticks.iter().fold(self.start_ticks, |end, ticks| end.saturating_add(*ticks))
    }

    /// Those of its segments that are shown between two ticks, and how many come before them; `None` if none is.
    pub(super) fn within(&self, ticks: Range<u64>) -> Option<(Self, usize)> {
        let spans = self.durations_ticks.iter().scan(self.start_ticks, |end, duration| {
            let start = *end;
            *end = end.saturating_add(*duration);
            Some((start, *end))
        });
        let spans: Vec<(u64, u64)> = spans.collect();
        let is_in = |(start, end): &(u64, u64)| *start < ticks.end && *end > ticks.start;
        let (first, last) = (spans.iter().position(is_in)?, spans.iter().rposition(is_in)?);
        let within = Self {
            first_number: self.first_number + first as u64,
            start_ticks: spans[first].0,
            durations_ticks: self.durations_ticks[first..=last].to_vec(),
        };
        Some((within, first))
    }

    pub(super) fn longest_ticks(&self) -> u64 {
        self.durations_ticks.iter().copied().max().unwrap_or(0)
    }

    /// Neighbours of one length together.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for &duration_ticks in &self.durations_ticks {
            match runs.last_mut() {
                Some(run) if run.duration_ticks == duration_ticks => run.repeats += 1,
                Some(_) | None => runs.push(Run { duration_ticks, repeats: 0 }),
            }
        }
        runs
    }

    pub(super) fn element(&self) -> Element {
        let segments = self.runs().into_iter().enumerate().map(|(at, run)| {
            Element::new("S")
                .with_if("t", (at == 0).then_some(self.start_ticks))
                .with("d", run.duration_ticks)
                .with_if("r", (run.repeats > 0).then_some(run.repeats))
        });
        Element::new("SegmentTimeline").children(segments)
    }
}

/// How long a player must gather data at `bandwidth_bps` before it plays, from whichever segment on, so that it never waits
/// again: the `minBufferTime` that makes `bandwidth` true (ISO/IEC 23009-1 section 5.3.5.2), milliseconds, rounded up.
///
/// It is taken that nothing of a segment plays before all of it is there. Where no segment's rate exceeds the bandwidth,
/// that is at most the length of the longest segment; a short segment at the end, whose rate our *peak* need not hold
/// (RFC 8216bis section 4.4.6.2 measures runs of half a target duration and more), can make it longer. Without sizes it is
/// the length of the longest segment.
pub(super) fn min_buffer_ms(timeline: &Timeline, timescale: u32, bandwidth_bps: u64, sizes_bytes: &[u64]) -> u64 {
    let longest_ms = crate::time::ceil_ms(timeline.longest_ticks(), timescale);
    if bandwidth_bps == 0 || sizes_bytes.len() != timeline.durations_ticks.len() {
        return longest_ms;
    }
    // In units of 1 / (timescale × bandwidth) seconds: exact.
    let (timescale, bandwidth) = (i128::from(timescale), i128::from(bandwidth_bps));
    let (mut arrived, mut played, mut lead, mut needed) = (0_i128, 0_i128, 0_i128, 0_i128);
    for (ticks, size_bytes) in timeline.durations_ticks.iter().zip(sizes_bytes) {
        // Whoever begins here has gathered nothing of what came before.
        lead = lead.max(played.saturating_sub(arrived));
        arrived = arrived.saturating_add((8 * i128::from(*size_bytes)).saturating_mul(timescale));
        needed = needed.max(arrived.saturating_sub(played).saturating_add(lead));
        played = played.saturating_add(i128::from(*ticks).saturating_mul(bandwidth));
    }
    let unit = timescale.saturating_mul(bandwidth);
    let ms = needed.saturating_mul(1000) / unit + i128::from(needed.saturating_mul(1000) % unit > 0);
    u64::try_from(ms).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(durations_ticks: &[u64]) -> Timeline {
        Timeline::of_presented(0, 0, durations_ticks)
    }

    #[test]
    fn equal_neighbours_become_one_run() {
        let run = |duration_ticks, repeats| Run { duration_ticks, repeats };
        assert_eq!(timeline(&[4, 4, 4, 5, 4, 2]).runs(), [run(4, 2), run(5, 0), run(4, 0), run(2, 0)]);
        let cut = Timeline::of_presented(3, 7, &[0, 0, 4]);
        assert_eq!((cut.first_number, cut.start_ticks, cut.end_ticks()), (5, 7, 11));
    }

    #[test]
    fn the_buffer_is_the_longest_segment_or_what_a_dense_end_needs() {
        // 2 s at exactly the bandwidth: two seconds until the first one is there.
        assert_eq!(min_buffer_ms(&timeline(&[2000, 2000]), 1000, 8000, &[2000, 2000]), 2000);
        // Half of it: one.
        assert_eq!(min_buffer_ms(&timeline(&[2000, 2000]), 1000, 8000, &[1000, 1000]), 1000);
        // A last one of 100 ms with the bytes of a second.
        assert_eq!(min_buffer_ms(&timeline(&[2000, 100]), 1000, 8000, &[2000, 1000]), 2000);
        assert_eq!(min_buffer_ms(&timeline(&[1000, 100]), 1000, 8000, &[1000, 3000]), 3000);
        assert_eq!(min_buffer_ms(&timeline(&[1500, 2001]), 1000, 8000, &[]), 2001);
    }

    proptest! {
        #[test]
        fn runs_decode_back_to_the_durations(durations in prop::collection::vec(1u64..4, 0..200)) {
            let timeline = timeline(&durations);
            let runs = timeline.runs();
            let decoded: Vec<u64> =
                runs.iter().flat_map(|run| std::iter::repeat_n(run.duration_ticks, 1 + run.repeats as usize)).collect();
            prop_assert_eq!(&decoded, &durations);
            prop_assert!(runs.windows(2).all(|pair| pair[0].duration_ticks != pair[1].duration_ticks));
            prop_assert_eq!(timeline.end_ticks(), durations.iter().sum::<u64>());
        }

        /// The promise itself: from whichever segment, after this time at this rate, nothing is late; and less would not do.
        #[test]
        fn whoever_gathers_so_long_never_waits(
            segments in prop::collection::vec((1u64..4000, 1u64..100_000), 1..30),
            bandwidth in 1_000u64..1_000_000,
        ) {
            let (durations, sizes): (Vec<u64>, Vec<u64>) = segments.into_iter().unzip();
            let ms = min_buffer_ms(&timeline(&durations), 1000, bandwidth, &sizes);
            let worst_ms = (0..durations.len()).map(|first| {
                let (mut bits, mut played_ms, mut worst_ms) = (0.0, 0.0, 0.0_f64);
                for (ticks, size) in durations.iter().zip(&sizes).skip(first) {
                    bits += 8.0 * *size as f64;
                    worst_ms = worst_ms.max(bits * 1000.0 / bandwidth as f64 - played_ms);
                    played_ms += *ticks as f64;
                }
                worst_ms
            }).fold(0.0, f64::max);
            prop_assert!(ms as f64 + 1e-3 >= worst_ms && (ms as f64) < worst_ms + 1.001, "{} {}", ms, worst_ms);
        }
    }
}
