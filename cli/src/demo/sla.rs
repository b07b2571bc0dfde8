//! Scenario `sla`: a demand becomes surrogates, and viewers measure whether it was promised rightly.
//!
//! One surrogate is measured, the demand is asked for with too small a budget, the nearest one that can be kept is taken, deployed and
//! watched. On one machine a surrogate's link is its configuration (`uplink.rate`), as in `adapt`: that is said in the report.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use flame_api::Client;
use flame_api::metadata::Asset;
use flame_api::orchestrator::sla::{Calibration, Level, NewSolution, Prediction, Solution};
use flame_load::strain::Strain;
use flame_load::{Crowd, Load, Profile};
use flame_sla::{Sla, template};

use super::indirection::PATIENCE;
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use super::vod;
use crate::load::client_of_viewers;
use crate::output;
use crate::sla::{Bench, Rung, calibrated, rungs, watched};
use crate::template::deployed;

/// Viewers, of whom a surrogate's link bears so many.
const VIEWERS: usize = 60;
const BORNE: f64 = 30.0;
/// How long viewers watch, and within which time they come.
const LASTS_MS: u64 = 14_000;
const RAMP_MS: u64 = 4_000;
/// Media that a viewer keeps ahead, and begins with.
const BUFFER_MS: u64 = 6_000;
const START_MS: u64 = 1_000;
/// What is promised.
const START_UP_MS: f64 = 4000.0;
const STALLED_SHARE: f64 = 0.05;
/// How far what is measured may be from what was predicted, percent.
const ERROR_MAX: f64 = 20.0;

/// What viewers met with, and what was told them.
struct Kept {
    measured: Level,
    predicted: Prediction,
    failed: u64,
    strain: Strain,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let (client, _) = tour.step("start", vod::start(stage)).await?;
    let (id, _) = tour.step("upload", vod::send(&client, clip, quiet)).await?;
    let job = tour.step("probe", vod::probed(&client, id)).await?;
    let asset = tour.step("ladder", vod::encoded(&client, id, job, quiet)).await?;
    let rungs = tour.step("scores", scored(&client, &asset)).await?;
    let cheap = tour.step("demand", demanded(&asset, &rungs)).await?;
    let calibration = tour.step("calibrate", measured(&client, &asset, &rungs, &cheap)).await?;
    let dear = tour.step("refused", refused(&client, &cheap, &calibration)).await?;
    let solution = tour.step("solve", solved(&client, dear, &calibration)).await?;
    tour.step("deploy", settled(&client, &solution)).await?;
    let kept = tour.step("watch", watch(&client, &asset, &rungs, &solution)).await?;

    let Kept { measured, predicted, failed, strain } = kept;
    #[allow(clippy::cast_precision_loss, reason = "viewers are few")]
    let viewers = VIEWERS as f64;
    tour.figure("failed_requests", count(failed), "requests", Some(Bound::AtMost(0.0))).await?;
    let off = |is: f64, was_said: f64| (is / was_said.max(1e-9) - 1.0).abs() * 100.0;
    let sent_bps = measured.viewer_bps * viewers;
    tour.figure("sent_predicted", predicted.delivered_bps / 1e6, "Mbit/s", None).await?;
    tour.figure("sent", sent_bps / 1e6, "Mbit/s", None).await?;
    tour.figure("sent_error", off(sent_bps, predicted.delivered_bps), "%", Some(Bound::AtMost(ERROR_MAX))).await?;
    let requests_per_s = measured.viewer_requests_per_s * viewers;
    let error = off(requests_per_s, predicted.requests_per_s);
    tour.figure("requests_error", error, "%", Some(Bound::AtMost(ERROR_MAX))).await?;
    tour.figure("first_picture_p50_predicted", predicted.start_up_p50_ms, "ms", None).await?;
    tour.figure("first_picture_p50", measured.start_up_p50_ms, "ms", None).await?;
    tour.figure("first_picture_p95_predicted", predicted.start_up_p95_ms, "ms", None).await?;
    tour.figure("first_picture_p95", measured.start_up_p95_ms, "ms", Some(Bound::AtMost(START_UP_MS))).await?;
    tour.figure("stalled", measured.stalled_share * 100.0, "%", Some(Bound::AtMost(STALLED_SHARE * 100.0))).await?;
    let note = strain.verdict().map_or_else(String::new, |why| format!("\n  NOTE: {why}"));
    tour.close_with(format!(
        "  one machine: the links of the surrogates are their configuration (uplink.rate), what lies between viewers and them is loopback{note}"
    ));
    Ok(())
}

async fn scored(client: &Client, asset: &Asset) -> anyhow::Result<Verified<Vec<Rung>>> {
    let rungs = rungs(client, asset, true).await?;
    let said = rungs.iter().map(|rung| {
        let one = &rung.rendition;
        format!("{} {:.2} Mbit/s VMAF {:.1}", one.name, one.bitrate_bps / 1e6, one.vmaf.unwrap_or_default())
    });
    let detail = said.collect::<Vec<_>>().join(", ");
    Ok(Verified(rungs, detail))
}

/// The second of the renditions: neither the cheapest nor what a viewer without a limit takes.
fn wanted(rungs: &[Rung]) -> anyhow::Result<&Rung> {
    rungs.get(1).or(rungs.first()).context("there are no renditions")
}

/// The demand, with a budget that nothing can be had for.
async fn demanded(asset: &Asset, rungs: &[Rung]) -> anyhow::Result<Verified<String>> {
    let vmaf = wanted(rungs)?.rendition.vmaf.unwrap_or_default().floor();
    let text = format!(
        "sla: evening
content: {{ assets: 1, duration_s: {duration_s:.1}, skew: 0 }}
demand:
  - site: local
    viewers: [ {{ from_h: 18, count: {VIEWERS} }} ]
    arrive_s: {arrive_s}
targets: {{ start_up_ms: {START_UP_MS}, stalled_share: {STALLED_SHARE}, vmaf: {vmaf}, availability: 0.999 }}
budget: {{ cpus: 1 }}
cache_mib: [ 64 ]
assumed: {{ failures_per_day: 50 }}
",
        duration_s = count(asset.probe.duration_ms) / 1000.0,
        arrive_s = count(RAMP_MS) / 1000.0,
    );
    Sla::read(&text)?;
    let detail = format!(
        "{VIEWERS} viewers, first picture within {START_UP_MS:.0} ms for 95 of 100, {:.0} % stalled at most, VMAF {vmaf:.0}, 99.9 % available, \
         with one processor",
        STALLED_SHARE * 100.0
    );
    Ok(Verified(text, detail))
}

async fn measured(
    client: &Client,
    asset: &Asset,
    rungs: &[Rung],
    demand: &str,
) -> anyhow::Result<Verified<Calibration>> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate in bytes")]
    let uplink_bytes_per_s = (wanted(rungs)?.rendition.bitrate_bps * BORNE / 8.0) as u64;
    let bench = Bench {
        assets: vec![asset.id],
        uplink_bytes_per_s: Some(uplink_bytes_per_s),
        levels: vec![0.3, 0.55, 0.8],
        lasts_ms: LASTS_MS,
        ramp_ms: RAMP_MS,
        buffer_ms: BUFFER_MS,
        start_ms: START_MS,
    };
    let calibration =
        calibrated(client, &Sla::read(demand)?, &bench, true).await.map_err(|exit| anyhow!(exit.message()))?;
    let levels = calibration.levels.iter().map(|level| format!("{} at {:.2}", level.viewers, level.load));
    let detail = format!(
        "one surrogate, which may send {} a second, sent {:.1} Mbit/s; viewers of {}: {}; back {:.1} s after its end",
        output::size(uplink_bytes_per_s),
        calibration.capacity_bps / 1e6,
        calibration.rendition,
        levels.collect::<Vec<_>>().join(", "),
        calibration.repair_s
    );
    Ok(Verified(calibration, detail))
}

/// One processor is not enough; what would be is told, and asked for.
async fn refused(client: &Client, demand: &str, calibration: &Calibration) -> anyhow::Result<Verified<String>> {
    let request = NewSolution { sla: demand.to_owned(), calibration: calibration.clone() };
    let solution = client.solve(&request).await?;
    ensure!(!solution.is_feasible, "{VIEWERS} viewers are promised a surrogate's link for {BORNE}");
    let nearest = solution.nearest.iter().find(|one| one.constraint == "budget.cpus");
    let nearest = nearest.with_context(|| format!("no budget is said to be enough: {:?}", solution.nearest))?;
    let all: Vec<&str> = solution.nearest.iter().map(|one| one.why.as_str()).collect();
    let detail = format!("not for one processor; nearest: {}", all.join("; "));
    Ok(Verified(demand.replace("cpus: 1 }", &format!("cpus: {:.0} }}", nearest.possible)), detail))
}

async fn solved(client: &Client, demand: String, calibration: &Calibration) -> anyhow::Result<Verified<Solution>> {
    let began = Instant::now();
    let solution = client.solve(&NewSolution { sla: demand, calibration: calibration.clone() }).await?;
    ensure!(solution.is_feasible, "what was said to be possible is not: {:?}", solution.nearest);
    let size = solution.sizes.first().context("there are no surrogates")?;
    let binding: Vec<&str> = solution.binding.iter().map(|one| one.constraint.as_str()).collect();
    let detail = format!(
        "{} surrogates at {}, of whom {} are for failures; binding: {}; in {} ms",
        size.instances,
        size.cluster,
        size.instances - size.needed,
        if binding.is_empty() { "the traffic alone".to_owned() } else { binding.join(", ") },
        began.elapsed().as_millis()
    );
    Ok(Verified(solution, detail))
}

async fn settled(client: &Client, solution: &Solution) -> anyhow::Result<Verified<()>> {
    let began = Instant::now();
    let text = solution.template.clone().context("it has no template")?;
    let deployment = deployed::settled(client, text).await.map_err(|exit| anyhow!(exit.message()))?;
    let connected = deployment.endpoints.iter().filter(|one| one.state == "connected").count();
    let expected: u64 = solution.sizes.iter().map(|size| size.instances).sum();
    ensure!(connected as u64 == expected, "{connected} of {expected} surrogates are connected");
    Ok(Verified((), format!("{connected} surrogates connected after {:.1} s", began.elapsed().as_secs_f64())))
}

/// The demand's viewers watch, and what they meet with is compared with what was promised.
async fn watch(client: &Client, asset: &Asset, rungs: &[Rung], solution: &Solution) -> anyhow::Result<Verified<Kept>> {
    let predicted = solution.predicted.first().context("nothing is predicted")?.clone();
    let rung =
        rungs.iter().find(|rung| rung.rendition.name == solution.rendition).context("there is no such rendition")?;
    let name = format!("{}.{}", template::LABEL, template::instance("evening"));
    let load = Load {
        playlists: vec![client.url(&name, &format!("{}/index.m3u8", asset.id))],
        profile: Profile::steady(VIEWERS, LASTS_MS, RAMP_MS),
        skew: 0.0,
        buffer_ms: BUFFER_MS,
        start_ms: START_MS,
        cap_bps: Some(rung.bandwidth_bps),
        deadline: PATIENCE,
        tells: true,
        // Other dice than the calibration's.
        seed: 2,
    };
    let mut crowd = Crowd::begin(load, client_of_viewers()?).await?;
    let strain = crowd.end().await;
    let whole = crowd.ledger().whole();
    let measured = watched(&crowd, VIEWERS, predicted.load, RAMP_MS, LASTS_MS);
    let measured = measured.with_context(|| format!("{} requests failed: {:?}", whole.failed, whole.reasons))?;
    let detail = format!(
        "{VIEWERS} viewers, {} starts; first picture p95 {:.0} ms, {:.2} % stalled",
        whole.startup_ms.count,
        measured.start_up_p95_ms,
        measured.stalled_share * 100.0
    );
    Ok(Verified(Kept { measured, predicted, failed: whole.failed, strain }, detail))
}

#[allow(clippy::cast_precision_loss, reason = "figures are printed")]
fn count(value: u64) -> f64 {
    value as f64
}
