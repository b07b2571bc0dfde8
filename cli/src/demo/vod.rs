//! Scenario `vod`, the main job: upload → probe → catalogue → ladder → package → play back through the router.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use flame_api::Client;
use flame_api::ingest::UploadState;
use flame_api::media::{Track, TrackKind};
use flame_api::metadata::{Asset, AssetState};
use flame_api::transcode::JobState;
use uuid::Uuid;

use super::files;
use super::player::{self, Played};
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use crate::ingest::{registered, share};
use crate::output::{self, Progress};
use crate::{asset, connection, job, upload};

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let (client, ready_s) = tour.step("start", start(stage)).await?;
    tour.figure("ready", ready_s, "s", Some(Bound::AtMost(3.0))).await?;

    let (id, rate) = tour.step("upload", send(&client, clip, quiet)).await?;
    tour.figure("upload_rate", rate, "MiB/s", None).await?;
    let job_id = tour.step("probe", probed(&client, id)).await?;
    tour.step("catalogue", catalogued(&client, id, clip)).await?;

    let began = Instant::now();
    let asset = tour.step("ladder", encoded(&client, id, job_id, quiet)).await?;
    #[allow(clippy::cast_precision_loss, reason = "a ratio is printed")]
    let speed = asset.probe.duration_ms as f64 / began.elapsed().as_millis().max(1) as f64;
    // Slower than this, and a laptop on battery would lose patience: 0.1 is a clip of ten seconds in a hundred.
    tour.figure("ladder_speed", speed, "x realtime", Some(Bound::AtLeast(0.1))).await?;

    tour.step("package", packaged(&client, &asset)).await?;
    let drift_ms = tour.step("play", played(&client, &asset, clip)).await?;
    if let Some(drift_ms) = drift_ms {
        tour.figure("audio_video_start_offset", drift_ms, "ms", Some(Bound::AtMost(frame_ms(&asset)))).await?;
    }
    tour.close_with(asset::tracks(&asset).trim_fmt());
    let play = connection::play_url(client.router(), asset.id);
    tour.offer(format!("  ffplay {play}\n  open   {}", client.router()));
    Ok(())
}

pub(super) async fn start(stage: &mut Stage) -> anyhow::Result<Verified<(Client, f64)>> {
    let (client, took) = stage.up().await?;
    let names = client.endpoints().await?.items;
    let names: Vec<_> = names.iter().map(|endpoint| endpoint.name.trim_end_matches(".main")).collect();
    let detail = format!("router at {}, behind it {}", client.router(), names.join(", "));
    Ok(Verified((client, took.as_secs_f64()), detail))
}

pub(super) async fn send(client: &Client, clip: &Path, quiet: bool) -> anyhow::Result<Verified<(Uuid, f64)>> {
    let began = Instant::now();
    let mut bar = Progress::new("upload", quiet);
    let mut size = 0;
    let wanted = upload::Upload { path: clip, title: None, chain: "ladder" };
    let id = upload::send(client, &wanted, |done, length| {
        size = length;
        bar.set(share(done, length), &output::size_of(done, length));
    })
    .await;
    bar.finish();
    #[allow(clippy::cast_precision_loss, reason = "a rate is printed")]
    let rate = size as f64 / f64::from(1 << 20) / began.elapsed().as_secs_f64();
    Ok(Verified((id?, rate), format!("{} by tus at {rate:.0} MiB/s", output::size(size))))
}

pub(super) async fn probed(client: &Client, id: Uuid) -> anyhow::Result<Verified<Uuid>> {
    let upload = registered(client, id).await?;
    if upload.state == UploadState::Failed {
        bail!(upload.error.unwrap_or_else(|| "refused without a reason".to_owned()));
    }
    let probe = upload.probe.context("it was registered without a probe")?;
    let mut parts = vec![probe.container.clone(), output::clock(probe.duration_ms)];
    parts.extend(probe.video.map(|video| format!("{} {}x{}", video.codec, video.display_width, video.display_height)));
    parts.extend(probe.audio.map(|audio| format!("{} {} Hz", audio.codec, audio.sample_rate_hz)));
    Ok(Verified(upload.job_id.context("no job was queued")?, parts.join(", ")))
}

async fn catalogued(client: &Client, id: Uuid, clip: &Path) -> anyhow::Result<Verified<()>> {
    let asset = client.asset(id).await?.context("the catalogue does not know it")?;
    let ours = files::sha256(clip).await?;
    ensure!(asset.source.sha256 == ours, "the catalogue says SHA-256 {}, the file has {ours}", asset.source.sha256);
    Ok(Verified((), format!("asset {id}, SHA-256 {}… equals the file's", &ours[..12])))
}

pub(super) async fn encoded(client: &Client, id: Uuid, job_id: Uuid, quiet: bool) -> anyhow::Result<Verified<Asset>> {
    let job = job::follow(client, job_id, "ladder", quiet).await?;
    ensure!(job.state == JobState::Succeeded, "{}: {}", job.state.word(), job.error.unwrap_or_default());
    let asset = client.asset(id).await?.context("the asset is gone")?;
    ensure!(asset.state == AssetState::Ready, "the job succeeded, but the asset does not play");
    let tracks: Vec<_> = tracks(&asset).iter().map(|track| track.name.as_str()).collect();
    Ok(Verified(asset.clone(), tracks.join(", ")))
}

/// Every playlist and every segment is there, whole, and as long as the catalogue says.
async fn packaged(client: &Client, asset: &Asset) -> anyhow::Result<Verified<()>> {
    let http = |path: String| async move {
        let answer = client.request(reqwest::Method::GET, "streaming", &path).send().await?.error_for_status()?;
        anyhow::Ok(answer.bytes().await?)
    };
    let multivariant = http(format!("{}/index.m3u8", asset.id)).await?;
    let multivariant = String::from_utf8_lossy(&multivariant).into_owned();
    let version = asset.version.as_ref().context("it has no version")?;
    let mut segments = 0;
    for track in tracks(asset) {
        let folder = format!("{}/{}/{}", asset.id, version.name, track.name);
        ensure!(
            multivariant.contains(&format!("{}/{}/index.m3u8", version.name, track.name)),
            "{} is not in the playlist",
            track.name
        );
        let media = String::from_utf8_lossy(&http(format!("{folder}/index.m3u8")).await?).into_owned();
        let mut bytes = http(format!("{folder}/init.mp4")).await?.len();
        for name in media.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            bytes += http(format!("{folder}/{name}")).await?.len();
            segments += 1;
        }
        ensure!(
            bytes as u64 == track.size_bytes,
            "{}: {bytes} bytes served, {} catalogued",
            track.name,
            track.size_bytes
        );
    }
    Ok(Verified((), format!("{} renditions, {segments} segments, every byte accounted for", tracks(asset).len())))
}

/// Decodes every rendition through the router and compares it with the source. Gives how far apart audio and video begin.
async fn played(client: &Client, asset: &Asset, clip: &Path) -> anyhow::Result<Verified<Option<f64>>> {
    let source = player::play(&clip.display().to_string()).await?;
    let version = asset.version.as_ref().context("it has no version")?;
    let (mut video, mut audio): (Option<Played>, Option<Played>) = (None, None);
    for track in tracks(asset) {
        let url = client.url("streaming", &format!("{}/{}/{}/index.m3u8", asset.id, version.name, track.name));
        let played = player::play(url.as_str()).await?;
        ensure!(played.decode_errors == 0, "{}: {} packets cannot be decoded", track.name, played.decode_errors);
        match track.kind {
            TrackKind::Video => {
                let (ours, theirs) = (played.video_frames, source.video_frames);
                ensure!(ours == theirs, "{} plays {ours} frames, the source has {theirs}", track.name);
                video.get_or_insert(played);
            }
            TrackKind::Audio => audio = Some(played),
        }
    }
    let offset_ms = match (&video, &audio) {
        (Some(video), Some(audio)) => {
            let gap = |played: &Played| Some(played.video_start_ms? - played.audio_start_ms?);
            let rendered = video.video_start_ms.unwrap_or_default() - audio.audio_start_ms.unwrap_or_default();
            Some((rendered - gap(&source).unwrap_or_default()).abs())
        }
        _ => None,
    };
    let detail =
        format!("{} frames of the source are in every video rendition, decoded without an error", source.video_frames);
    Ok(Verified(offset_ms, detail))
}

fn tracks(asset: &Asset) -> &[Track] {
    asset.version.as_ref().map_or(&[], |version| &version.tracks)
}

/// The duration of a frame of video, in milliseconds.
fn frame_ms(asset: &Asset) -> f64 {
    let rate = asset.probe.video.as_ref().and_then(|video| video.frame_rate);
    rate.map_or(1000.0 / 24.0, |rate| 1000.0 / rate.as_f64())
}
