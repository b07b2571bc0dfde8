//! What a finished track measures. Counted from its index, never from what an encoder was asked for.

use crate::index::TrackIndex;

/// The longest run of segments that counts for the peak: 1.5 target durations have more only where one segment is
/// thousands of times longer than others. It bounds the time of hostile tracks.
const RUN_SEGMENTS_MAX: usize = 1024;

/// Length and speed of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Presented duration in ticks: all samples less what the edit list cuts off at the start.
    pub duration_ticks: u64,
    /// The same in milliseconds, rounded to the nearest.
    pub duration_ms: u64,
    /// Samples.
    pub samples: u64,
    /// Mean bits per second over all segments (RFC 8216 section 4.3.4.2, "average segment bit rate").
    pub average_bandwidth_bps: u64,
    /// Peak segment bit rate (same section): the highest of any run of segments that lasts between 0.5 and
    /// 1.5 target durations; of any one segment where no run does, as in a track of one short segment.
    pub peak_bandwidth_bps: u64,
    /// Bytes of the object: init segment and media segments.
    pub size_bytes: u64,
}

/// One segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) duration_ticks: u64,
    pub(crate) size_bytes: u64,
}

/// A track to be measured.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) timescale: u64,
    pub(crate) spans: &'a [Span],
    pub(crate) presented_ticks: u64,
    pub(crate) samples: u64,
    pub(crate) init_size_bytes: u64,
}

impl Figures {
    /// Measures the track that `index` describes.
    #[must_use]
    pub fn of(index: &TrackIndex) -> Self {
        let spans: Vec<Span> = index
            .segments
            .iter()
            .map(|segment| Span { duration_ticks: segment.duration_ticks, size_bytes: segment.size_bytes })
            .collect();
        Self::measure(&Measured {
            timescale: u64::from(index.timescale),
            spans: &spans,
            presented_ticks: (0..index.segments.len()).filter_map(|number| index.presented_ticks(number)).sum(),
            samples: index.segments.iter().map(|segment| u64::from(segment.samples)).sum(),
            init_size_bytes: index.init_size_bytes,
        })
    }

    /// Measures a track that has no stored index.
    pub(crate) fn measure(track: &Measured<'_>) -> Self {
        let Measured { timescale, spans, presented_ticks: duration_ticks, samples, init_size_bytes } = *track;
        let media_ticks: u64 = spans.iter().map(|span| span.duration_ticks).sum();
        let media_bytes: u64 = spans.iter().map(|span| span.size_bytes).sum();
        let average_bandwidth_bps = bits_per_second(media_bytes, media_ticks, timescale);
        Self {
            duration_ticks,
            duration_ms: (u128::from(duration_ticks) * 1000 + u128::from(timescale) / 2)
                .checked_div(u128::from(timescale))
                .map_or(0, saturate),
            samples,
            average_bandwidth_bps,
            // A dense end too short to be in any run may raise the average alone.
            peak_bandwidth_bps: peak_bandwidth_bps(spans, timescale).max(average_bandwidth_bps),
            size_bytes: init_size_bytes + media_bytes,
        }
    }
}

fn peak_bandwidth_bps(segments: &[Span], timescale: u64) -> u64 {
    let longest_ticks = segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
    // Wide: an index may state times near the end of 64 bits.
    let target_ticks = u128::from(target_duration_s(longest_ticks, timescale)) * u128::from(timescale);
    let runs = (0..segments.len()).filter_map(|start| {
        let mut ticks = 0;
        let mut bytes = 0;
        let mut peak = None;
        for segment in segments[start..].iter().take(RUN_SEGMENTS_MAX) {
            ticks += segment.duration_ticks;
            bytes += segment.size_bytes;
            let twice_ticks = 2 * u128::from(ticks);
            if twice_ticks > 3 * target_ticks {
                break;
            }
            if twice_ticks >= target_ticks {
                peak = peak.max(Some(bits_per_second(bytes, ticks, timescale)));
            }
        }
        peak
    });
    let single = segments.iter().map(|segment| bits_per_second(segment.size_bytes, segment.duration_ticks, timescale));
    runs.max().or_else(|| single.max()).unwrap_or(0)
}

/// `EXT-X-TARGETDURATION` of segments of which the longest lasts `longest_ticks`: whole seconds, the nearest
/// integer (RFC 8216bis section 4.4.3.1), at least 1.
fn target_duration_s(longest_ticks: u64, timescale: u64) -> u64 {
    let (longest_ticks, timescale) = (u128::from(longest_ticks), u128::from(timescale));
    saturate((2 * longest_ticks + timescale).checked_div(2 * timescale).unwrap_or(0).max(1))
}

/// Rounded up: a bandwidth is an upper bound.
fn bits_per_second(bytes: u64, ticks: u64, timescale: u64) -> u64 {
    match ticks {
        0 => 0,
        _ => saturate((u128::from(bytes) * 8 * u128::from(timescale)).div_ceil(u128::from(ticks))),
    }
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::SegmentEntry;

    fn index(segments: &[(u64, u64)]) -> TrackIndex {
        let mut time_ticks = 0;
        let mut offset_bytes = 100;
        let segments = segments
            .iter()
            .map(|&(duration_ticks, size_bytes)| {
                let entry = SegmentEntry {
                    offset_bytes,
                    size_bytes,
                    time_ticks,
                    duration_ticks,
                    samples: 1,
                    sap: 1,
                    sha256: "0".repeat(64),
                    keyframes: Vec::new(),
                };
                time_ticks += duration_ticks;
                offset_bytes += size_bytes;
                entry
            })
            .collect();
        TrackIndex {
            version: crate::index::VERSION,
            codec: "avc1.64001f".to_owned(),
            timescale: 1000,
            edit_media_time_ticks: 0,
            init_size_bytes: 100,
            init_sha256: "0".repeat(64),
            segments,
        }
    }

    #[test]
    fn peak_ignores_a_short_fat_tail_on_its_own() {
        // The tail alone is 0.1 s of 40,000 bit/s; only together with its predecessor is it long enough.
        let figures = Figures::of(&index(&[(4000, 4000), (4000, 2000), (100, 500)]));
        assert_eq!(figures.peak_bandwidth_bps, 8000);
        assert_eq!(figures.average_bandwidth_bps, (6500 * 8 * 1000_u64).div_ceil(8100));
        assert_eq!((figures.duration_ms, figures.samples, figures.size_bytes), (8100, 3, 6600));
    }

    #[test]
    fn peak_counts_runs_of_short_segments() {
        // Target duration 4: the three segments of 1 s form runs of 2 to 3 s that peak above the long one.
        let figures = Figures::of(&index(&[(4000, 1000), (1000, 1000), (1000, 1000), (1000, 1000)]));
        assert_eq!(figures.peak_bandwidth_bps, 8000);
    }

    #[test]
    fn a_single_short_segment_is_its_own_peak() {
        let figures = Figures::of(&index(&[(40, 1000)]));
        assert_eq!(figures.peak_bandwidth_bps, 200_000);
        assert_eq!(figures.average_bandwidth_bps, 200_000);
    }

    #[test]
    fn the_edit_shortens_what_is_presented() {
        let mut track = index(&[(4000, 10), (1000, 10)]);
        track.edit_media_time_ticks = 21;
        assert_eq!(Figures::of(&track).duration_ms, 4979);
        for segment in &mut track.segments {
            segment.time_ticks += 500;
        }
        assert_eq!(Figures::of(&track).duration_ms, 5000);
    }
}
