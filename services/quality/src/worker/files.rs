//! The files of a comparison: written into the attempt's folder, before they are put in place.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::quality::jobs::{GateVerdict, ResultFile};
use flame_api::quality::{Comparison, Scores, WorstFrame};
use flame_media_child::protocol::{FramePair, SheetPlan};
use flame_quality::html::{self, Judged, Sheet};
use flame_quality::{csv, json};

use crate::results::picture_name;

/// Which pictures a report shows: the worst moments of the last metric that has some.
pub(super) fn worst(comparison: &Comparison) -> &[WorstFrame] {
    let worst = comparison.columns.iter().rev().find(|column| !column.worst.is_empty());
    worst.map_or(&[], |column| &column.worst)
}

/// How they are drawn from what a media process can open.
pub(super) fn sheets(
    comparison: &Comparison,
    reference: String,
    distorted: String,
    follow_playlists: bool,
) -> SheetPlan {
    let pair = |frame: &WorstFrame| FramePair { reference: frame.reference, distorted: frame.distorted };
    let pairs = worst(comparison).iter().map(pair).collect();
    SheetPlan { reference, distorted, follow_playlists, reference_form: None, distorted_form: None, pairs }
}

/// Writes all files into a new folder in `folder`, with the pictures that lie there; gives the new one.
pub(super) fn write(
    folder: &Path,
    comparison: &Comparison,
    scores: &Scores,
    gates: &[GateVerdict],
) -> Result<PathBuf, (PathBuf, std::io::Error)> {
    let draft = folder.join("files");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    fs::create_dir_all(&draft).map_err(failed(&draft))?;
    let mut sheets = Vec::new();
    for frame in worst(comparison) {
        let name = picture_name(frame.distorted);
        let (path, kept) = (folder.join(&name), draft.join(&name));
        let jpeg = fs::read(&path).map_err(failed(&path))?;
        fs::rename(&path, &kept).map_err(failed(&kept))?;
        sheets.push(Sheet { distorted: frame.distorted, jpeg_base64: STANDARD.encode(jpeg) });
    }
    let judged: Vec<_> = gates.iter().map(judged).collect();
    for file in ResultFile::ALL {
        let text = match file {
            ResultFile::FramesCsv => csv::table(scores),
            ResultFile::FramesJson => json::document(comparison, Some(scores)).to_string(),
            ResultFile::Report => html::document(comparison, scores, &judged, &sheets),
        };
        let path = draft.join(file.name());
        fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(draft)
}

fn judged(gate: &GateVerdict) -> Judged {
    let said = match (gate.measured, &gate.why) {
        (Some(measured), _) => format!("measured {measured:.4}"),
        (None, why) => why.clone().unwrap_or_default(),
    };
    Judged { gate: gate.gate.clone(), said, passes: gate.passed }
}
