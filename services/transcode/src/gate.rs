//! What is known of a track without its pictures, for gates, and what is said of one that does not pass. Pure.

use std::collections::HashSet;

use flame_api::media::Track;
use flame_api::quality::Comparison;
use flame_cmaf::index::TrackIndex;
use flame_quality::gate::Gate;

/// What a track is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The track.
    pub track: &'a Track,
    /// Its index.
    pub index: &'a TrackIndex,
    /// The index of the first video track, which the others are to fit.
    pub first: Option<&'a TrackIndex>,
    /// Duration of the source.
    pub source_duration_ms: u64,
}

// === impl Measured ===

impl Measured<'_> {
    /// The figure of this name, as gates call it (`track.<name>`); `None` where there is none.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "figures of tracks are far below 2^52")]
    pub fn figure(&self, name: &str) -> Option<f64> {
        let Self { track, index, first, source_duration_ms } = *self;
        match name {
            "mean_bps" => Some(track.average_bandwidth_bps as f64),
            "peak_bps" => Some(track.peak_bandwidth_bps as f64),
            "duration_error_ms" => Some(track.duration_ms.abs_diff(source_duration_ms) as f64),
            "samples" => Some(track.samples as f64),
            "longest_gop_ms" => longest_gop_ms(index),
            "keyframes_off_grid" => first.map(|first| off_grid(index, first) as f64),
            _ => None,
        }
    }
}

/// Time from one keyframe to the next, or to the end, at most; `None` without keyframes.
#[allow(clippy::cast_precision_loss, reason = "times of tracks are far below 2^52")]
fn longest_gop_ms(index: &TrackIndex) -> Option<f64> {
    let mut times: Vec<u64> = keyframes(index).collect();
    let last = index.segments.last()?;
    (!times.is_empty()).then(|| times.push(last.time_ticks + last.duration_ticks))?;
    let longest = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max()?;
    Some(longest as f64 * 1000.0 / f64::from(index.timescale.max(1)))
}

/// Keyframes that are not in `first`.
fn off_grid(index: &TrackIndex, first: &TrackIndex) -> usize {
    if index.timescale != first.timescale {
        return keyframes(index).count();
    }
    let shown = |index: &TrackIndex| index.edit_media_time_ticks;
    let grid: HashSet<i128> = keyframes(first).map(|ticks| i128::from(ticks) - i128::from(shown(first))).collect();
    keyframes(index).filter(|ticks| !grid.contains(&(i128::from(*ticks) - i128::from(shown(index))))).count()
}

fn keyframes(index: &TrackIndex) -> impl Iterator<Item = u64> {
    index.segments.iter().flat_map(|segment| segment.keyframes.iter().map(|keyframe| keyframe.time_ticks))
}

/// Why a track does not pass: stage, track, bound, figure, and the worst picture where pictures were compared.
#[must_use]
pub fn refusal(stage: &str, track: &str, gate: &Gate, measured: f64, comparison: Option<&Comparison>) -> String {
    let metric = gate.metric().map(flame_quality::columns::of);
    // The worst pictures are noted of a metric's first column.
    let column = metric.and_then(|columns| {
        comparison?.columns.iter().find(|column| columns.first().is_some_and(|name| *name == column.name))
    });
    let worst = column.and_then(|column| Some((column.name.as_str(), column.worst.first()?)));
    let worst = worst.map(|(name, frame)| {
        let seconds = frame.time_ms / 1000.0;
        format!("; its worst is frame {} at {seconds:.3} s ({name} {:.3})", frame.distorted, frame.score)
    });
    format!(
        "stage `{stage}`: the track {track} does not pass `{gate}`: {measured:.3} was measured{}",
        worst.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use flame_cmaf::index::{KeyframeEntry, SegmentEntry};

    use super::*;

    fn index(keyframes: &[u64], edit: u64) -> TrackIndex {
        let keyframe = |ticks: &u64| KeyframeEntry { time_ticks: *ticks, size_bytes: 1 };
        let segment = SegmentEntry {
            offset_bytes: 0,
            size_bytes: 1,
            time_ticks: keyframes[0],
            duration_ticks: 6000,
            samples: 1,
            sap: 1,
            sha256: String::new(),
            keyframes: keyframes.iter().map(keyframe).collect(),
        };
        TrackIndex {
            version: 1,
            codec: "avc1.64001f".to_owned(),
            timescale: 1000,
            edit_media_time_ticks: edit,
            init_size_bytes: 1,
            init_sha256: String::new(),
            segments: vec![segment],
        }
    }

    #[test]
    fn gops_are_measured_to_the_end_and_grids_where_they_are_shown() {
        let first = index(&[80, 2080, 4080], 80);
        assert_eq!(longest_gop_ms(&first), Some(2000.0));
        assert_eq!(longest_gop_ms(&index(&[0, 1000], 0)), Some(5000.0));
        assert_eq!(off_grid(&index(&[0, 2000, 4000], 0), &first), 0);
        assert_eq!(off_grid(&index(&[0, 2040, 4000], 0), &first), 1);
    }

    #[test]
    fn a_refusal_names_stage_track_bound_and_figure() {
        let gate: Gate = "track.peak_bps <= 1000".parse().unwrap();
        let said = refusal("video", "v360", &gate, 2000.0, None);
        assert_eq!(said, "stage `video`: the track v360 does not pass `track.peak_bps <= 1000`: 2000.000 was measured");
    }
}
