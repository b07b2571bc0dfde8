//! The report for people: has a child draw the worst frames, and puts them into the page.

use std::path::Path;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::quality::{Comparison, Form, Scores};
use flame_media_child::protocol::{FramePair, Outcome, Request, SheetPlan};
use flame_media_child::{Call, find_program};
use flame_quality::gate::Verdict;
use flame_quality::html::{self, Judged, Sheet};

use super::child;
use crate::exit::Exit;

/// Writes the page.
pub async fn write(
    path: &Path,
    comparison: &Comparison,
    forms: [Option<Form>; 2],
    scores: &Scores,
    verdicts: &[(String, Result<Verdict, String>)],
) -> Result<(), Exit> {
    let sheets = sheets(comparison, forms).await?;
    let judged: Vec<_> = verdicts.iter().map(judged).collect();
    super::write(path, &html::document(comparison, scores, &judged, &sheets))
}

fn judged((gate, verdict): &(String, Result<Verdict, String>)) -> Judged {
    let (said, passes) = match verdict {
        Ok(verdict) => (format!("measured {:.4}", verdict.measured), verdict.passes),
        Err(why) => (why.clone(), false),
    };
    Judged { gate: gate.clone(), said, passes }
}

/// Pictures of the frames that the page shows: the worst of the last metric.
async fn sheets(comparison: &Comparison, forms: [Option<Form>; 2]) -> Result<Vec<Sheet>, Exit> {
    let worst = comparison.columns.iter().rev().find(|column| !column.worst.is_empty());
    let Some(worst) = worst.map(|column| &column.worst) else { return Ok(Vec::new()) };
    let pair =
        |frame: &flame_api::quality::WorstFrame| FramePair { reference: frame.reference, distorted: frame.distorted };
    let [reference_form, distorted_form] = forms;
    let plan = SheetPlan {
        reference: comparison.reference.input.clone(),
        distorted: comparison.distorted.input.clone(),
        follow_playlists: true,
        reference_form,
        distorted_form,
        pairs: worst.iter().map(pair).collect(),
    };
    let folder = tempfile::tempdir().context("make a folder for the pictures")?;
    let request = Request::Sheets { plan, output_dir: folder.path().to_owned() };
    let pool = child(find_program().map_err(anyhow::Error::new)?);
    match pool.run(&request, Call::default()).await {
        Ok(Outcome::Sheets) => {}
        Ok(_) => return Err(Exit::not_carried_out(anyhow!("the media process answered something else"))),
        Err(error) => return Err(Exit::not_carried_out(anyhow::Error::new(error).context("draw the worst frames"))),
    }
    let sheet = |frame: &flame_api::quality::WorstFrame| {
        let picture = folder.path().join(format!("{}.jpg", frame.distorted));
        let jpeg = std::fs::read(&picture).with_context(|| format!("read the picture of frame {}", frame.distorted))?;
        Ok(Sheet { distorted: frame.distorted, jpeg_base64: STANDARD.encode(jpeg) })
    };
    Ok(worst.iter().map(sheet).collect::<anyhow::Result<_>>()?)
}
