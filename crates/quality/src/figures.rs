//! Names of what is found without a reference, as gates, suites and tables call it: `loudness.integrated`, `black.longest_s`.
//!
//! A figure that is not there is an error that says why, never a number that looks well.

use flame_api::quality::Inspection;
use flame_api::quality::inspection::{Range, Spans};

/// Detectors and their figures, in the order of tables.
pub const ALL: [(&str, &str); 14] = [
    ("video", "frames, duration_s, missing_s, decode_errors, width, height"),
    ("black", SPANS),
    ("freeze", SPANS),
    ("si", RANGE),
    ("ti", RANGE),
    ("blur", RANGE),
    ("blockiness", RANGE),
    ("gop", "keyframes, shortest_s, longest_s, irregular"),
    ("timestamps", "backwards, repeated, gaps, longest_gap_ms, missing"),
    ("audio", "duration_s, missing_s, decode_errors, sample_rate_hz, channels"),
    ("silence", SPANS),
    ("clipping", "runs, samples, longest_samples, peak_dbfs"),
    ("loudness", "integrated, range, true_peak, momentary_max, short_term_max"),
    ("synchrony", "start_offset_ms, end_offset_ms"),
];
const SPANS: &str = "count, total_s, longest_s";
const RANGE: &str = "min, mean, max";

/// The figures of a detector, with commas between; none if there is no such detector.
#[must_use]
pub fn of(detector: &str) -> Option<&'static str> {
    ALL.into_iter().find(|(name, _)| *name == detector).map(|(_, figures)| figures)
}

/// A figure of an inspection: LUFS, LU, dBTP or dBFS for loudness and peaks, else as its name says.
///
/// # Errors
/// It was not measured, and why; or there is none of that name.
pub fn figure(inspection: &Inspection, detector: &str, name: &str) -> Result<f64, String> {
    let known = of(detector).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
        format!("there is no detector `{detector}`; there are {}", names.join(", "))
    })?;
    if !known.split(", ").any(|known| known == name) {
        return Err(format!("`{detector}` has no `{name}`; it has {known}"));
    }
    if let Some(missing) = inspection.not_measured.iter().find(|missing| missing.detector == detector) {
        return Err(format!("`{detector}` was not measured: {}", missing.why));
    }
    value(inspection, detector, name)
        .ok_or_else(|| format!("`{detector}.{name}` was not measured: {}", absence(detector, name)))
}

/// All figures that are there, in the order of tables.
#[must_use]
pub fn table(inspection: &Inspection) -> Vec<(String, f64)> {
    let all = ALL.into_iter().flat_map(|(detector, names)| names.split(", ").map(move |name| (detector, name)));
    all.filter_map(|(detector, name)| Some((format!("{detector}.{name}"), figure(inspection, detector, name).ok()?)))
        .collect()
}

fn value(inspection: &Inspection, detector: &str, name: &str) -> Option<f64> {
    let (video, audio) = (inspection.video.as_ref(), inspection.audio.as_ref());
    match detector {
        "video" => {
            let video = video?;
            match name {
                "frames" => Some(video.frames as f64),
                "duration_s" => Some(video.duration_s),
                "missing_s" => video.missing_s,
                "decode_errors" => Some(video.decode_errors as f64),
                "width" => Some(f64::from(video.width)),
                "height" => Some(f64::from(video.height)),
                _ => None,
            }
        }
        "black" => spans(&video?.black, name),
        "freeze" => spans(&video?.freeze, name),
        "si" => range(video?.si.as_ref()?, name),
        "ti" => range(video?.ti.as_ref()?, name),
        "blur" => range(video?.blur.as_ref()?, name),
        "blockiness" => range(video?.blockiness.as_ref()?, name),
        "gop" => {
            let gop = video?.gop.as_ref()?;
            match name {
                "keyframes" => Some(gop.keyframes as f64),
                "shortest_s" => Some(gop.shortest_s),
                "longest_s" => Some(gop.longest_s),
                "irregular" => Some(gop.irregular as f64),
                _ => None,
            }
        }
        "timestamps" => {
            let timestamps = video?.timestamps.as_ref()?;
            match name {
                "backwards" => Some(timestamps.backwards as f64),
                "repeated" => Some(timestamps.repeated as f64),
                "gaps" => Some(timestamps.gaps as f64),
                "longest_gap_ms" => Some(timestamps.longest_gap_ms),
                "missing" => Some(timestamps.missing as f64),
                _ => None,
            }
        }
        "audio" => {
            let audio = audio?;
            match name {
                "duration_s" => Some(audio.duration_s),
                "missing_s" => audio.missing_s,
                "decode_errors" => Some(audio.decode_errors as f64),
                "sample_rate_hz" => Some(f64::from(audio.sample_rate_hz)),
                "channels" => Some(f64::from(audio.channels)),
                _ => None,
            }
        }
        "silence" => spans(&audio?.silence, name),
        "clipping" => {
            let clipping = &audio?.clipping;
            match name {
                "runs" => Some(clipping.runs as f64),
                "samples" => Some(clipping.samples as f64),
                "longest_samples" => Some(clipping.longest_samples as f64),
                "peak_dbfs" => clipping.peak_dbfs,
                _ => None,
            }
        }
        "loudness" => {
            let loudness = audio?.loudness.as_ref()?;
            match name {
                "integrated" => loudness.integrated_lufs,
                "range" => loudness.range_lu,
                "true_peak" => loudness.true_peak_dbtp,
                "momentary_max" => loudness.momentary_max_lufs,
                "short_term_max" => loudness.short_term_max_lufs,
                _ => None,
            }
        }
        "synchrony" => {
            let synchrony = inspection.synchrony.as_ref()?;
            match name {
                "start_offset_ms" => Some(synchrony.start_offset_ms),
                "end_offset_ms" => Some(synchrony.end_offset_ms),
                _ => None,
            }
        }
        _ => None,
    }
}

fn spans(spans: &Spans, name: &str) -> Option<f64> {
    match name {
        "count" => Some(spans.count as f64),
        "total_s" => Some(spans.total_s),
        "longest_s" => Some(spans.longest_s),
        _ => None,
    }
}

fn range(range: &Range, name: &str) -> Option<f64> {
    match name {
        "min" => Some(range.min),
        "mean" => Some(range.mean),
        "max" => Some(range.max),
        _ => None,
    }
}

/// Why a single figure of a detector that ran may be missing.
fn absence(detector: &str, name: &str) -> &'static str {
    match (detector, name) {
        ("loudness", "range" | "short_term_max") => "it takes three seconds of sound above -70 LUFS",
        ("loudness", "integrated" | "momentary_max") => "nothing is above the absolute gate of -70 LUFS",
        (_, "missing_s") => "the container does not state how long it is",
        ("loudness" | "clipping", _) => "the sound is digital silence",
        (_, _) => "there is nothing to measure it of",
    }
}

#[cfg(test)]
mod tests {
    use flame_api::quality::inspection::{
        AudioInspection, Clipping, Gops, Loudness, NotMeasured, Synchrony, Timestamps, VideoInspection,
    };

    use super::*;
    use crate::gate::Gate;

    fn whole() -> Inspection {
        let range = Some(Range { min: 1.0, mean: 2.0, max: 3.0 });
        let video = VideoInspection {
            codec: "h264".to_owned(),
            width: 640,
            height: 360,
            pixel_format: "yuv420p".to_owned(),
            frame_rate: Some(25.0),
            frames: 100,
            duration_s: 4.0,
            missing_s: Some(0.0),
            decode_errors: 0,
            black: Spans::default(),
            freeze: Spans::default(),
            si: range,
            ti: range,
            blur: range,
            blockiness: range,
            gop: Some(Gops { keyframes: 2, shortest_s: 2.0, longest_s: 2.0, irregular: 0 }),
            timestamps: Some(Timestamps { backwards: 0, repeated: 0, gaps: 0, longest_gap_ms: 40.0, missing: 0 }),
        };
        let loudness = Loudness {
            integrated_lufs: Some(-23.0),
            range_lu: Some(5.0),
            true_peak_dbtp: Some(-1.0),
            momentary_max_lufs: Some(-18.0),
            short_term_max_lufs: Some(-20.0),
        };
        let audio = AudioInspection {
            codec: "aac".to_owned(),
            sample_rate_hz: 48_000,
            channels: 2,
            duration_s: 4.0,
            missing_s: Some(0.0),
            decode_errors: 0,
            silence: Spans::default(),
            clipping: Clipping { peak_dbfs: Some(-1.1), ..Clipping::default() },
            loudness: Some(loudness),
        };
        Inspection {
            input: "a.mp4".to_owned(),
            container: "mp4".to_owned(),
            video: Some(video),
            audio: Some(audio),
            synchrony: Some(Synchrony { start_offset_ms: 0.0, end_offset_ms: 21.3 }),
            not_measured: Vec::new(),
            notes: Vec::new(),
            incomplete: Vec::new(),
        }
    }

    #[test]
    fn every_name_gives_a_figure_and_is_a_gate() {
        let inspection = whole();
        let names: usize = ALL.iter().map(|(_, names)| names.split(", ").count()).sum();
        assert_eq!(table(&inspection).len(), names);
        for (name, value) in table(&inspection) {
            let gate: Gate = format!("{name} <= {value}").parse().unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(gate.needs_inspection(), "{name}");
            assert_eq!(gate.judge_inspection(&inspection).map(|verdict| verdict.passes), Ok(true), "{name}");
        }
    }

    #[test]
    fn what_could_not_run_never_passes() {
        let mut inspection = whole();
        inspection.audio = None;
        for detector in ["silence", "clipping", "loudness"] {
            let why = "the input has no sound".to_owned();
            inspection.not_measured.push(NotMeasured { detector: detector.to_owned(), why });
        }
        for gate in ["silence.total_s <= 0", "clipping.runs <= 0", "loudness.integrated >= -99"] {
            let said = gate.parse::<Gate>().expect("it is a gate").judge_inspection(&inspection);
            assert!(said.as_ref().is_err_and(|why| why.contains("no sound")), "{gate}: {said:?}");
        }
        // Also where nobody has said why.
        let said = "audio.duration_s >= 0".parse::<Gate>().expect("it is a gate").judge_inspection(&inspection);
        assert!(said.is_err());
    }

    #[test]
    fn a_part_keeps_no_gate_and_breaks_what_it_breaks() {
        let mut inspection = whole();
        inspection.incomplete = vec!["2.000 s of the 4.000 s of pictures are missing".to_owned()];
        if let Some(video) = &mut inspection.video {
            video.missing_s = Some(2.0);
        }
        let judge = |gate: &str| gate.parse::<Gate>().expect("it is a gate").judge_inspection(&inspection);
        let kept = judge("black.count <= 0");
        assert!(kept.as_ref().is_err_and(|why| why.contains("2.000 s of the 4.000 s")), "{kept:?}");
        assert_eq!(judge("gop.keyframes >= 3").map(|verdict| verdict.passes), Ok(false));
        // What is missing is known whole.
        assert_eq!(judge("video.missing_s <= 0").map(|verdict| verdict.passes), Ok(false));
        assert_eq!(judge("video.missing_s <= 3").map(|verdict| verdict.passes), Ok(true));
        assert_eq!(judge("video.decode_errors <= 0").map(|verdict| verdict.passes), Ok(true));
    }

    #[test]
    fn soft_sound_has_no_loudness_to_judge() {
        let mut inspection = whole();
        if let Some(loudness) = inspection.audio.as_mut().and_then(|audio| audio.loudness.as_mut()) {
            loudness.integrated_lufs = None;
        }
        let said = "loudness.integrated <= -20".parse::<Gate>().expect("it is a gate").judge_inspection(&inspection);
        assert!(said.is_err_and(|why| why.contains("-70 LUFS")));
    }

    #[test]
    fn names_that_are_none_are_answered_with_those_that_are() {
        let why = "loudness.loudest >= 1".parse::<Gate>().expect_err("it is none");
        assert!(why.contains("integrated"), "{why}");
        assert!(figure(&whole(), "blacks", "count").is_err_and(|why| why.contains("black")));
    }
}
