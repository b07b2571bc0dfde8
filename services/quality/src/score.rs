//! What the catalogue keeps of a measurement: the figures, what the gates say, and of which bytes. Pure.

use flame_api::metadata::{Measure, NewScore};
use flame_api::quality::Comparison;
use flame_api::quality::jobs::MediaName;
use flame_quality::figures;
use uuid::Uuid;

use crate::store::Untold;
use crate::verdict::{Asked, Found};

/// Longest reason of a gate that is told, in characters.
const WHY_MAX_CHARS: usize = 200;

/// Of which asset, and what; `None` of what is of no asset, or was not measured.
#[must_use]
pub fn of(job: &Untold) -> Option<(Uuid, NewScore)> {
    let record = &job.record;
    let (media, reference) = match &record.asked {
        Asked::Comparison(asked) => (&asked.distorted, Some(asked.reference.to_string())),
        Asked::Inspection(asked) => (&asked.media, None),
    };
    let (measure, figures, measuring) = match record.found.as_ref()? {
        Found::Comparison(found) => (Measure::Comparison, compared(found), format!("libvmaf {}, ", found.libvmaf)),
        Found::Inspection(found) => (Measure::Inspection, figures::table(found), String::new()),
    };
    let mut gates = record.standing.gates.clone();
    for gate in &mut gates {
        gate.why = gate.why.take().map(|why| why.chars().take(WHY_MAX_CHARS).collect());
    }
    let track = match media {
        MediaName::Track(_, track) => Some(track.clone()),
        MediaName::Asset(_) | MediaName::Source(_) | MediaName::Path(_) => None,
    };
    let score = NewScore {
        measure,
        media: media.to_string(),
        version: job.version.clone(),
        track,
        reference,
        figures: figures.into_iter().filter(|(_, figure)| figure.is_finite()).collect(),
        gates,
        tools: format!("{measuring}flame-quality {}", env!("CARGO_PKG_VERSION")),
        measured_at: record.standing.finished_at?,
    };
    Some((media.asset_id()?, score))
}

/// The figures of a comparison, as gates call them: of each column those that gates ask for most.
#[allow(clippy::cast_precision_loss, reason = "counts of frames are small")]
fn compared(comparison: &Comparison) -> Vec<(String, f64)> {
    let pooled = comparison.columns.iter().flat_map(|column| {
        let pooled = &column.pooled;
        [("mean", pooled.mean), ("p5", pooled.p5), ("min", pooled.min)]
            .map(|(pooling, figure)| (format!("{}.{pooling}", column.name), figure))
    });
    let alignment = &comparison.alignment;
    let aligned = [
        ("confidence", alignment.confidence),
        ("dropped_frames", alignment.dropped_frames as f64),
        ("repeated_frames", alignment.repeated_frames as f64),
    ];
    pooled.chain(aligned.map(|(name, figure)| (format!("alignment.{name}"), figure))).collect()
}
