//! The JSON that tools around libvmaf read (`frames`, `pooled_metrics`), with what this project knows beside it.

use flame_api::quality::{Comparison, Scores};
use serde_json::{Map, Value, json};

/// The document. `frameNum` counts what was scored, as libvmaf does; `reference` and `distorted` are the files' frames.
#[must_use]
pub fn document(comparison: &Comparison, scores: Option<&Scores>) -> Value {
    let pooled: Map<String, Value> = comparison
        .columns
        .iter()
        .map(|column| (column.name.clone(), serde_json::to_value(&column.pooled).unwrap_or(Value::Null)))
        .collect();
    let frames: Vec<Value> = scores.map_or_else(Vec::new, |scores| {
        let frames = scores.frames.iter().enumerate();
        frames
            .map(|(number, frame)| {
                let metrics: Map<String, Value> = scores
                    .columns
                    .iter()
                    .zip(&frame.values)
                    .map(|(name, value)| (name.clone(), json!(value)))
                    .collect();
                json!({
                    "frameNum": number, "reference": frame.reference, "distorted": frame.distorted,
                    "time_ms": frame.time_ms, "metrics": metrics,
                })
            })
            .collect()
    });
    json!({
        "version": comparison.libvmaf,
        "frames": frames,
        "pooled_metrics": pooled,
        "aggregate_metrics": {},
        "flame": comparison,
    })
}
