//! A bound on a measured figure: `vmaf.p5 >= 80`. Values in, verdict out.
//!
//! What was not measured never passes: a gate on a figure that is not there is an error of who wrote it. Nor is a bound kept by a part:
//! where media ended early or could not be decoded, what is broken is broken, and what is kept so far is not known to be kept.

use std::{fmt, str::FromStr};

use flame_api::quality::{Comparison, Inspection, Metric};

use crate::{columns, figures};

/// A bound that a comparison must keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// A column, `alignment`, `track`, or a detector.
    figure: String,
    /// A pooling of the column, a field of the alignment, a figure of the track or of the detector.
    pooling: String,
    relation: Relation,
    bound: f64,
}

/// How the figure stands to the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    AtLeast,
    MoreThan,
    AtMost,
    LessThan,
}

/// What a gate says of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What was measured.
    pub measured: f64,
    /// Whether the bound is kept.
    pub passes: bool,
}

const POOLINGS: &str = "mean, harmonic_mean, min, max, p1, p5, p10";
/// The figure that stands for the track alone.
const TRACK: &str = "track";
/// What is known of a track without its pictures.
const TRACKS: &str = "mean_bps, peak_bps, duration_error_ms, samples, longest_gop_ms, keyframes_off_grid";
/// The figure that stands for rules of playlists and segments.
const CONFORMANCE: &str = "conformance";
/// What is counted of them.
const CONFORMANCES: &str = "must, should, playlists, segments";
/// The figure that stands for what a viewer met with.
const WATCH: &str = "watch";
/// What is measured of that.
const WATCHES: &str = "startup_p95_ms, stalls, stalled_ms, played_ms, switches, requests, failed, head_p95_ms, delay_p50_ms, delay_p95_ms";
const ALIGNMENTS: &str = "confidence, offset_frames, lead_in_reference, lead_in_distorted, tail_reference, \
                          tail_distorted, dropped_frames, repeated_frames, foreign_frames";

// === impl Gate ===

impl Gate {
    /// The column that must be measured for it, unless it is about the alignment.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        (self.figure != "alignment").then_some(self.figure.as_str())
    }

    /// Whether it is about pictures that are compared with others, not about the track alone or what is found in it.
    #[must_use]
    pub fn needs_pictures(&self) -> bool {
        self.figure != TRACK && self.figure != CONFORMANCE && self.figure != WATCH && !self.needs_inspection()
    }

    /// The count of a report on conformance that it is about: `must`.
    #[must_use]
    pub fn conformance_figure(&self) -> Option<&str> {
        (self.figure == CONFORMANCE).then_some(self.pooling.as_str())
    }

    /// The figure of a viewer that it is about: `stalls`.
    #[must_use]
    pub fn watch_figure(&self) -> Option<&str> {
        (self.figure == WATCH).then_some(self.pooling.as_str())
    }

    /// Whether it is about what is found without a reference: `loudness.integrated`.
    #[must_use]
    pub fn needs_inspection(&self) -> bool {
        figures::of(&self.figure).is_some()
    }

    /// Looks at what was found without a reference.
    ///
    /// # Errors
    /// The figure was not measured, and why; or it is kept by a part of the media only.
    pub fn judge_inspection(&self, inspection: &Inspection) -> Result<Verdict, String> {
        let measured = figures::figure(inspection, &self.figure, &self.pooling)?;
        // How much is missing is known of the whole.
        let is_of_whole = matches!(self.pooling.as_str(), "missing_s" | "decode_errors");
        self.of_part(measured, if is_of_whole { &[] } else { &inspection.incomplete })
    }

    /// A verdict on what was seen, of which `incomplete` says why it is not all.
    fn of_part(&self, measured: f64, incomplete: &[String]) -> Result<Verdict, String> {
        let verdict = self.verdict(measured);
        if verdict.passes && !incomplete.is_empty() {
            let why = incomplete.join("; ");
            return Err(format!("it is kept by what is there ({measured:.4}), which is not all: {why}"));
        }
        Ok(verdict)
    }

    /// The metric that gives its column; none of a gate on the alignment or the track.
    #[must_use]
    pub fn metric(&self) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| columns::of(*metric).contains(&self.figure.as_str()))
    }

    /// The figure of the track that it is about: `peak_bps`.
    #[must_use]
    pub fn track_figure(&self) -> Option<&str> {
        (self.figure == TRACK).then_some(self.pooling.as_str())
    }

    /// Looks at a figure that was measured.
    #[must_use]
    pub fn verdict(&self, measured: f64) -> Verdict {
        let passes = match self.relation {
            Relation::AtLeast => measured >= self.bound,
            Relation::MoreThan => measured > self.bound,
            Relation::AtMost => measured <= self.bound,
            Relation::LessThan => measured < self.bound,
        };
        Verdict { measured, passes }
    }

    /// Looks at a comparison.
    ///
    /// # Errors
    /// The figure was not measured, or there is none of that name; or it is kept by a part of the film only.
    pub fn judge(&self, comparison: &Comparison) -> Result<Verdict, String> {
        let measured = if self.figure == "alignment" {
            let alignment = &comparison.alignment;
            match self.pooling.as_str() {
                "confidence" => alignment.confidence,
                "offset_frames" => alignment.offset_frames as f64,
                "lead_in_reference" => alignment.lead_in_reference as f64,
                "lead_in_distorted" => alignment.lead_in_distorted as f64,
                "tail_reference" => alignment.tail_reference as f64,
                "tail_distorted" => alignment.tail_distorted as f64,
                "dropped_frames" => alignment.dropped_frames as f64,
                "repeated_frames" => alignment.repeated_frames as f64,
                "foreign_frames" => alignment.foreign_frames as f64,
                other => return Err(format!("an alignment has no `{other}`; it has {ALIGNMENTS}")),
            }
        } else {
            let column = comparison.columns.iter().find(|column| column.name == self.figure);
            let names = || comparison.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
            let column = column.ok_or_else(|| format!("`{}` was not measured; there is {}", self.figure, names()))?;
            let pooled = &column.pooled;
            match self.pooling.as_str() {
                "mean" => pooled.mean,
                "harmonic_mean" => pooled.harmonic_mean,
                "min" => pooled.min,
                "max" => pooled.max,
                "p1" => pooled.p1,
                "p5" => pooled.p5,
                "p10" => pooled.p10,
                other => return Err(format!("there is no pooling `{other}`; there are {POOLINGS}")),
            }
        };
        self.of_part(measured, &comparison.incomplete)
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no gate: write a column, a pooling ({POOLINGS}), a relation and a number, as in `vmaf.p5 >= 80`, or a \
                 figure of a detector, as in `loudness.integrated >= -24`"
            )
        };
        let relations =
            [(">=", Relation::AtLeast), ("<=", Relation::AtMost), (">", Relation::MoreThan), ("<", Relation::LessThan)];
        let found = relations.iter().find_map(|(sign, relation)| Some((text.split_once(sign)?, *relation)));
        let ((figure, bound), relation) = found.ok_or_else(wrong)?;
        let (figure, pooling) = figure.trim().split_once('.').ok_or_else(wrong)?;
        let bound: f64 = bound.trim().parse().map_err(|_| wrong())?;
        let known = match figure {
            "alignment" => ALIGNMENTS,
            TRACK => TRACKS,
            CONFORMANCE => CONFORMANCES,
            WATCH => WATCHES,
            detector => figures::of(detector).unwrap_or(POOLINGS),
        };
        let is_known = known.split(", ").any(|name| name == pooling);
        if !is_known && figures::of(figure).is_some() {
            return Err(format!("`{text}` is no gate: `{figure}` has no `{pooling}`; it has {known}"));
        }
        if !bound.is_finite() || figure.is_empty() || !is_known {
            return Err(wrong());
        }
        Ok(Self { figure: figure.to_owned(), pooling: pooling.to_owned(), relation, bound })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = match self.relation {
            Relation::AtLeast => ">=",
            Relation::MoreThan => ">",
            Relation::AtMost => "<=",
            Relation::LessThan => "<",
        };
        write!(formatter, "{}.{} {relation} {}", self.figure, self.pooling, self.bound)
    }
}

#[cfg(test)]
mod tests {
    use flame_api::quality::{Alignment, Column, Film, Pooled, Shape};
    use proptest::prelude::*;

    use super::*;

    fn comparison(value: f64) -> Comparison {
        let shape = Shape { width: 640, height: 360, pixel_format: "yuv420p".to_owned() };
        let film = Film {
            input: "a.mp4".to_owned(),
            codec: "h264".to_owned(),
            shape: shape.clone(),
            frames: 2,
            frame_rate: Some(25.0),
            duration_ms: 80.0,
            missing_ms: Some(0.0),
            decode_errors: 0,
        };
        let pooled =
            Pooled { min: value, max: value, mean: value, harmonic_mean: value, p1: value, p5: value, p10: value };
        Comparison {
            reference: film.clone(),
            distorted: film,
            compared_as: shape,
            notes: Vec::new(),
            incomplete: Vec::new(),
            alignment: Alignment {
                confidence: 1.0,
                offset_frames: 0,
                offset_ms: 0.0,
                lead_in_reference: 0,
                lead_in_distorted: 0,
                tail_reference: 0,
                tail_distorted: 0,
                dropped_frames: 3,
                repeated_frames: 0,
                foreign_frames: 0,
            },
            scored_frames: 2,
            subsample: 1,
            columns: vec![Column { name: "vmaf".to_owned(), pooled, of_mean_error: None, worst: Vec::new() }],
            libvmaf: "3".to_owned(),
        }
    }

    #[test]
    fn what_was_not_measured_never_passes() {
        let gate: Gate = "psnr.mean > 0".parse().expect("it is a gate");
        assert!(gate.judge(&comparison(90.0)).is_err_and(|error| error.contains("psnr")));
        for wrong in
            ["vmaf", "vmaf>=80", "vmaf.p7 >= 80", "vmaf.p5 >= NaN", "vmaf.p5 = 80", ".p5 > 1", "alignment.p5 > 1"]
        {
            assert!(wrong.parse::<Gate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_keeps_no_gate() {
        let part = Comparison { incomplete: vec!["the distorted film ends early".to_owned()], ..comparison(90.0) };
        let judge = |gate: &str| gate.parse::<Gate>().expect("it is a gate").judge(&part);
        assert!(judge("vmaf.min >= 80").is_err_and(|why| why.contains("ends early")));
        assert_eq!(judge("vmaf.min >= 95").map(|verdict| verdict.passes), Ok(false));
    }

    #[test]
    fn bounds_are_where_they_say() {
        for (gate, passes) in [
            ("vmaf.p5 >= 80", true),
            ("vmaf.p5>80", false),
            ("vmaf.min <= 80", true),
            ("vmaf.harmonic_mean < 80", false),
            ("alignment.dropped_frames <= 2", false),
        ] {
            let gate: Gate = gate.parse().expect("it is a gate");
            assert_eq!(gate.judge(&comparison(80.0)).map(|verdict| verdict.passes), Ok(passes), "{gate}");
        }
    }

    proptest! {
        #[test]
        fn printed_and_read_again_it_is_the_same(bound in -1e6..1e6_f64, pooling in "mean|min|p1|p10", sign in ">=|<=|>|<") {
            let gate: Gate = format!("ssim.{pooling}{sign}{bound}").parse().expect("it is a gate");
            prop_assert_eq!(gate.to_string().parse(), Ok(gate));
        }
    }
}
