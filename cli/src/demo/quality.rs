//! Scenario `quality`: a bad chain and a good one on the same clip. What is measured says which is which, and why; and a chain that
//! carries its own gate never publishes what does not pass.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use flame_api::Client;
use flame_api::ingest::UploadState;
use flame_api::media::TrackKind;
use flame_api::quality::jobs::{ComparisonJob, GateVerdict, MediaName, NewComparison, ResultFile};
use flame_api::quality::{Comparison, Metric};
use flame_api::transcode::{Job, JobState};
use uuid::Uuid;

use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use super::vod;
use crate::chain::Wanted;
use crate::ingest::registered;
use crate::{job, quality, upload};

/// What both chains are, but for two values.
const CHAIN: &str = "\
chain: demo-quality
about: H.264 in the source's size
parameters:
  crf: { default: 20 }
  gate: { default: 'alignment.dropped_frames <= 0' }
stages:
  source: { type: decode }
  sizes: { type: scale, input: source, sizes: source }
  video: { type: encode-video, input: sizes, preset: ultrafast, crf: \"${crf}\", gates: [\"${gate}\"] }
  out: { type: package, input: video }
";
/// Constant qualities of x264: one that nobody tells from the source, and one that everybody does.
const GOOD_CRF: &str = "20";
const BAD_CRF: &str = "46";
/// The least that the worst twentieth of the frames must reach.
const VMAF_MIN: f64 = 80.0;
/// What must hold of the pictures, where they are measured and inside of a chain.
const GATE: &str = "vmaf.p5 >= 80";

/// Frames that are scored at most, and every which: a demo has little time.
const FRAMES_MAX: u64 = 150;
const SUBSAMPLE: u32 = 2;

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let (client, _) = tour.step("start", vod::start(stage)).await?;
    let id = tour.step("upload", uploaded(&client, clip)).await?;

    tour.step("bad chain", conditioned(&client, id, BAD_CRF, quiet)).await?;
    let bad = tour.step("bad measured", measured(&client, id, quiet)).await?;
    tour.step("gate fails", fails(&bad)).await?;
    tour.step("bad report", reported(&client, stage, &bad, "bad.html", "fails")).await?;

    tour.step("good chain", conditioned(&client, id, GOOD_CRF, quiet)).await?;
    let good = tour.step("good measured", measured(&client, id, quiet)).await?;
    tour.step("gates hold", holds(&good)).await?;
    tour.step("good report", reported(&client, stage, &good, "good.html", "holds")).await?;

    tour.step("gate in chain", refused(&client, id, quiet)).await?;
    for (name, job, bound) in
        [("vmaf_p5_of_bad", &bad, Bound::AtMost(VMAF_MIN)), ("vmaf_p5_of_good", &good, Bound::AtLeast(VMAF_MIN))]
    {
        let score = job.result.as_ref().and_then(|result| p5(result, "vmaf")).unwrap_or_default();
        tour.figure(name, score, "VMAF", Some(bound)).await?;
    }
    let report = |job: &ComparisonJob| {
        let path = format!("comparisons/{}/{}", job.standing.id, ResultFile::Report.name());
        client.url("quality", &path)
    };
    tour.close_with(format!("  bad    {}\n  good   {}", report(&bad), report(&good)));
    Ok(())
}

async fn uploaded(client: &Client, clip: &Path) -> anyhow::Result<Verified<Uuid>> {
    let wanted = upload::Upload { path: clip, title: None, chain: "none" };
    let id = upload::send(client, &wanted, |_, _| {}).await?;
    let upload = registered(client, id).await?;
    ensure!(upload.state == UploadState::Done, "{}", upload.error.unwrap_or_default());
    Ok(Verified(id, format!("asset {id}, not conditioned yet")))
}

async fn run(client: &Client, id: Uuid, set: &[(&str, &str)], quiet: bool) -> anyhow::Result<Job> {
    let parameters = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let wanted = Wanted { name: "demo-quality".to_owned(), document: Some(CHAIN.to_owned()), parameters };
    let job = job::queue(client, id, wanted).await.map_err(|exit| anyhow!(exit.message()))?;
    job::follow(client, job.id, "condition", quiet).await
}

async fn conditioned(client: &Client, id: Uuid, crf: &str, quiet: bool) -> anyhow::Result<Verified<()>> {
    let job = run(client, id, &[("crf", crf)], quiet).await?;
    ensure!(job.state == JobState::Succeeded, "{}: {}", job.state.word(), job.error.unwrap_or_default());
    let track = job.tracks.first().context("nothing was made")?;
    #[allow(clippy::cast_precision_loss, reason = "a rate is printed")]
    let rate_kbps = track.peak_bandwidth_bps as f64 / 1000.0;
    Ok(Verified((), format!("crf {crf}: {} plays, at most {rate_kbps:.0} kbit/s", track.name)))
}

/// Has the quality service compare what plays with what was uploaded.
async fn measured(client: &Client, id: Uuid, quiet: bool) -> anyhow::Result<Verified<ComparisonJob>> {
    let asset = client.asset(id).await?.context("the asset is gone")?;
    let version = asset.version.context("it has no version")?;
    let track = version.tracks.iter().find(|track| track.kind == TrackKind::Video).context("it has no pictures")?;
    let new = NewComparison {
        id: Uuid::now_v7(),
        reference: MediaName::Source(id),
        distorted: MediaName::Track(id, track.name.clone()),
        metrics: vec![Metric::Psnr, Metric::Ssim, Metric::Vmaf],
        gates: vec![GATE.to_owned(), "alignment.dropped_frames <= 0".to_owned()],
        subsample: SUBSAMPLE,
        frames_max: Some(FRAMES_MAX),
        confidence_min: 0.5,
    };
    client.create_comparison(&new).await?;
    let get = || async {
        let job = client.comparison(new.id).await?;
        Ok(job.map(|job| (job.standing, job.result)))
    };
    let followed = quality::follow(quiet, new.id, "comparing", get).await;
    followed.map_err(|exit| anyhow!(exit.message()))?;
    let job = client.comparison(new.id).await?.context("the comparison is gone")?;
    let result = job.result.as_ref().context("nothing was measured")?;
    let figures = result.columns.iter().filter(|column| ["psnr_y", "ssim", "vmaf"].contains(&column.name.as_str()));
    let figures: Vec<_> = figures.map(|column| format!("{} {:.2}", column.name, column.pooled.mean)).collect();
    let detail = format!("{} against {}: {} (means)", new.distorted, new.reference, figures.join(", "));
    Ok(Verified(job, detail))
}

async fn fails(job: &ComparisonJob) -> anyhow::Result<Verified<()>> {
    ensure!(job.standing.passed == Some(false), "all gates hold: {:?}", job.standing.gates);
    let failed: Vec<&GateVerdict> = job.standing.gates.iter().filter(|gate| !gate.passed).collect();
    ensure!(failed.len() == 1 && failed[0].gate == GATE, "another gate fails: {failed:?}");
    let measured = failed[0].measured.context("it was not measured")?;
    let result = job.result.as_ref().context("nothing was measured")?;
    let vmaf = result.columns.iter().find(|column| column.name == "vmaf").context("there is no VMAF")?;
    let worst = vmaf.worst.first().context("no frame is the worst")?;
    let detail = format!(
        "{GATE} is not kept: a twentieth of the frames is at {measured:.1} or below; the worst is frame {}, {:.1} at {:.2} s",
        worst.distorted,
        worst.score,
        worst.time_ms / 1000.0
    );
    Ok(Verified((), detail))
}

async fn holds(job: &ComparisonJob) -> anyhow::Result<Verified<()>> {
    ensure!(job.standing.passed == Some(true), "a gate fails: {:?}", job.standing.gates);
    let said =
        job.standing.gates.iter().map(|gate| format!("{} ({:.1})", gate.gate, gate.measured.unwrap_or_default()));
    Ok(Verified((), said.collect::<Vec<_>>().join(", ")))
}

/// The report is whole, shows the worst frames, and says what the gates say.
async fn reported(
    client: &Client,
    stage: &Stage,
    job: &ComparisonJob,
    name: &str,
    word: &str,
) -> anyhow::Result<Verified<()>> {
    let page = client.comparison_file(job.standing.id, ResultFile::Report).await?.text().await?;
    let (plots, pictures) = (page.matches("<polyline").count(), page.matches("data:image/jpeg;base64,").count());
    ensure!(plots > 0 && pictures > 0, "the report has {plots} plots and {pictures} pictures");
    ensure!(page.contains(&format!(">{word}<")), "the report does not say that a gate {word}");
    std::fs::write(stage.path(name), &page)?;
    Ok(Verified((), format!("{plots} plots, {pictures} worst frames side by side, {} KiB, one file", page.len() >> 10)))
}

/// With the gate in the chain, the same bad encode is not published: what played goes on.
async fn refused(client: &Client, id: Uuid, quiet: bool) -> anyhow::Result<Verified<()>> {
    let version =
        async || anyhow::Ok(client.asset(id).await?.and_then(|asset| asset.version).map(|version| version.name));
    let before = version().await?;
    let job = run(client, id, &[("crf", BAD_CRF), ("gate", GATE)], quiet).await?;
    ensure!(job.state == JobState::Failed, "what does not pass its gate was published: {}", job.state.word());
    let reason = job.error.context("it failed without a reason")?;
    ensure!(reason.contains(GATE), "the reason names no gate: {reason}");
    ensure!(version().await? == before && before.is_some(), "what played before does not play any more");
    Ok(Verified((), format!("not published, the good one goes on playing: {reason}")))
}

fn p5(result: &Comparison, name: &str) -> Option<f64> {
    result.columns.iter().find(|column| column.name == name).map(|column| column.pooled.p5)
}
