//! Scenario `transcode`: chains. One with gates passes and shows what was measured, one does not and says why; codecs are
//! compared; and the services are killed in the middle of a job, which takes from the one before what both make alike.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::media::{Track, TrackKind};
use flame_api::transcode::{Job, JobState};
use uuid::Uuid;

use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use super::vod;
use crate::chain::Wanted;
use crate::{job, output, upload};

/// Two sizes of H.264 and one of another codec, sound at a stated loudness; and what each must pass.
const GATED: &str = "\
chain: gated
parameters:
  codec: { default: hevc, about: of the second picture }
  effort: { default: superfast, about: the preset of the second picture }
  least: { default: \"psnr_y.p5 >= 26\", about: what the pictures must pass }
stages:
  source: { type: decode }
  upright: { type: rotate, input: source }
  sizes: { type: scale, input: upright, sizes: [360, 240] }
  one-size: { type: scale, input: upright, sizes: 240 }
  h264: { type: encode-video, input: sizes, preset: superfast, gates: [\"${least}\", \"track.keyframes_off_grid <= 0\"] }
  other: { type: encode-video, input: one-size, codec: \"${codec}\", preset: \"${effort}\", gates: [\"track.keyframes_off_grid <= 0\"] }
  loud: { type: loudness, input: source, target: -23 }
  audio: { type: encode-audio, input: loud, sounds: first, gates: [\"loudness.integrated >= -40\", \"loudness.integrated <= -22\"] }
  version: { type: package, input: [h264, other, audio], gop: 2s, segment: 4s }
";
/// How long a job may take until it encodes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked.
const POLL: Duration = Duration::from_millis(100);

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let (client, _) = tour.step("start", vod::start(stage)).await?;
    tour.step("encoders", encoders(&client)).await?;
    let id = tour.step("upload", sent(&client, clip)).await?;
    tour.step("gate fails", refused(&client, id, quiet)).await?;
    let done = tour.step("gates pass", passed(&client, id, quiet)).await?;
    let measured = done.stages.iter().map(|stage| stage.gates.len()).sum::<usize>();
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    tour.figure("gates_measured", measured as f64, "", Some(Bound::AtLeast(6.0))).await?;
    let killed = tour.step("killed", killed(stage, &client, id)).await?;
    let client = tour.step("started again", again(stage)).await?;
    tour.step("goes on", goes_on(&client, killed, quiet)).await?;
    let table = tour.step("renditions", renditions(&client, id)).await?;
    tour.close_with(table);
    Ok(())
}

async fn encoders(client: &Client) -> anyhow::Result<Verified<()>> {
    let all = client.encoders().await?.items;
    let there: Vec<_> = all.iter().filter(|encoder| encoder.installed).map(|one| one.name.as_str()).collect();
    ensure!(!there.is_empty(), "no encoder is installed");
    Ok(Verified((), format!("this machine has {}", there.join(", "))))
}

async fn sent(client: &Client, clip: &Path) -> anyhow::Result<Verified<Uuid>> {
    let wanted = upload::Upload { path: clip, title: None, chain: "none" };
    let id = upload::send(client, &wanted, |_, _| {}).await?;
    let upload = crate::ingest::registered(client, id).await?;
    ensure!(upload.error.is_none(), upload.error.unwrap_or_default());
    Ok(Verified(id, format!("asset {id}; it plays as it is")))
}

fn gated(set: &[(&str, &str)]) -> Wanted {
    let parameters = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Wanted { name: "gated".to_owned(), document: Some(GATED.to_owned()), parameters }
}

/// Twice as fine as anything lossy: the job fails, and says stage, track, bound, figure and picture.
async fn refused(client: &Client, id: Uuid, quiet: bool) -> anyhow::Result<Verified<()>> {
    let queued = queue(client, id, gated(&[("least", "psnr_y.p5 >= 90")])).await?;
    let job = job::follow(client, queued.id, "gate fails", quiet).await?;
    ensure!(job.state == JobState::Failed, "it is {}", job.state.word());
    let reason = job.error.context("it failed without a reason")?;
    ensure!(reason.contains("psnr_y.p5") && reason.contains("h264"), "{reason}");
    Ok(Verified((), reason))
}

async fn passed(client: &Client, id: Uuid, quiet: bool) -> anyhow::Result<Verified<Job>> {
    let queued = queue(client, id, gated(&[])).await?;
    let job = job::follow(client, queued.id, "gates pass", quiet).await?;
    ensure!(job.state == JobState::Succeeded, "{}: {}", job.state.word(), job.error.unwrap_or_default());
    let measured = job.stages.iter().flat_map(|stage| &stage.gates);
    let words: Vec<_> = measured.map(|one| format!("{} {} ({:.2})", one.track, one.gate, one.measured)).collect();
    let words = words.join("; ");
    Ok(Verified(job, words))
}

/// `kill -9` while a job encodes.
async fn killed(stage: &mut Stage, client: &Client, id: Uuid) -> anyhow::Result<Verified<Uuid>> {
    // It encodes little but this, so it takes its time with it.
    let queued = queue(client, id, gated(&[("codec", "av1"), ("effort", "medium")])).await?;
    let began = tokio::time::Instant::now();
    loop {
        let job = client.job(queued.id).await?.context("the job is gone")?;
        ensure!(!job.state.is_final(), "the job ended before it could be killed");
        if ["encoding", "checking"].contains(&job.stage.as_str()) {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "the job does not begin: {}", job.stage);
        tokio::time::sleep(POLL).await;
    }
    stage.kill().await?;
    Ok(Verified(queued.id, format!("everything, with `kill -9`, while job {} encoded", queued.id)))
}

async fn again(stage: &mut Stage) -> anyhow::Result<Verified<Client>> {
    let (client, took) = stage.up().await?;
    Ok(Verified(client, format!("after {:.2} s", took.as_secs_f64())))
}

async fn goes_on(client: &Client, id: Uuid, quiet: bool) -> anyhow::Result<Verified<()>> {
    let job = job::follow(client, id, "goes on", quiet).await?;
    ensure!(job.state == JobState::Succeeded, "{}: {}", job.state.word(), job.error.unwrap_or_default());
    ensure!(job.attempt > 1, "it was not begun again");
    let again: Vec<&str> = job.stages.iter().flat_map(|stage| &stage.reused).map(String::as_str).collect();
    ensure!(!again.is_empty(), "what the job before had made was encoded again");
    let (attempt, state) = (job.attempt, job.state.word());
    Ok(Verified(
        (),
        format!("the same job, attempt {attempt}, {state}; of the one before it took {}", again.join(", ")),
    ))
}

async fn renditions(client: &Client, id: Uuid) -> anyhow::Result<Verified<String>> {
    let asset = client.asset(id).await?.context("the asset is gone")?;
    let tracks = asset.version.map(|version| version.tracks).unwrap_or_default();
    let codecs: Vec<_> = tracks.iter().map(|track| track.codec.as_str()).collect();
    for wanted in ["avc1.", "av01.", "mp4a."] {
        ensure!(codecs.iter().any(|codec| codec.starts_with(wanted)), "there is no {wanted} among {codecs:?}");
    }
    let mut table = output::table(&["track", "codec", "size", "mean", "peak"]);
    for track in &tracks {
        let kbps = |bps: u64| format!("{} kbit/s", bps / 1000);
        let (mean, peak) = (kbps(track.average_bandwidth_bps), kbps(track.peak_bandwidth_bps));
        table.add_row([track.name.clone(), track.codec.clone(), size(track), mean, peak]);
    }
    Ok(Verified(table.trim_fmt(), format!("{} tracks in {}", tracks.len(), codecs.join(", "))))
}

fn size(track: &Track) -> String {
    match (track.kind, track.width, track.height) {
        (TrackKind::Video, Some(width), Some(height)) => format!("{width}x{height}"),
        (TrackKind::Video | TrackKind::Audio, ..) => String::new(),
    }
}

async fn queue(client: &Client, id: Uuid, wanted: Wanted) -> anyhow::Result<Job> {
    job::queue(client, id, wanted).await.map_err(|exit| anyhow::anyhow!(exit.message()))
}
