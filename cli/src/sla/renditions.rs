//! The renditions of an asset as demands are reckoned with: what each takes, how good it is, and what its playlist says of it. How good
//! one is, is measured by the quality service where the catalogue does not know yet.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use flame_api::Client;
use flame_api::media::{Track, TrackKind};
use flame_api::metadata::{Asset, Version};
use flame_api::orchestrator::sla::Rendition;
use flame_api::quality::Metric;
use flame_api::quality::jobs::{MediaName, NewComparison};
use flame_load::variants;
use uuid::Uuid;

use crate::load::client_of_viewers;
use crate::quality;

/// Time for a playlist.
const DEADLINE: Duration = Duration::from_secs(20);
/// Pairs of frames that are scored of each rendition, and every n-th.
const FRAMES_MAX: u64 = 120;
const SUBSAMPLE: u32 = 5;

/// A rendition, and the bit rate that the playlist says of it.
pub struct Rung {
    pub rendition: Rendition,
    /// The name of its track.
    pub track: String,
    /// Viewers who leave out what is above it have this one as their best.
    pub bandwidth_bps: u64,
}

/// The renditions of an asset, the cheapest first; scored if told to.
pub async fn rungs(client: &Client, asset: &Asset, scored: bool) -> anyhow::Result<Vec<Rung>> {
    let version = asset.version.as_ref().context("the asset has no renditions yet: wait for its job")?;
    let of = |kind: TrackKind| version.tracks.iter().filter(move |track| track.kind == kind);
    let sound_bps = of(TrackKind::Audio).next().map_or(0, |track| track.average_bandwidth_bps);
    let mut tracks: Vec<&Track> = of(TrackKind::Video).collect();
    tracks.sort_by_key(|track| track.average_bandwidth_bps);
    let url = client.url("streaming", &format!("{}/index.m3u8", asset.id));
    let said = variants(&url, &client_of_viewers()?, DEADLINE).await?;
    let (variants, renditions) = (said.len(), tracks.len());
    ensure!(
        variants == renditions && renditions > 0,
        "its playlist has {variants} variants for {renditions} renditions"
    );
    let mut rungs = Vec::new();
    for (track, bandwidth_bps) in tracks.into_iter().zip(said) {
        let vmaf = if scored { Some(vmaf(client, asset, version, track).await?) } else { None };
        #[allow(clippy::cast_precision_loss, reason = "bit rates fit")]
        let bitrate_bps = (track.average_bandwidth_bps + sound_bps) as f64;
        let rendition = Rendition { name: track.name.clone(), bitrate_bps, vmaf };
        rungs.push(Rung { rendition, track: track.name.clone(), bandwidth_bps });
    }
    Ok(rungs)
}

/// How good a rendition is: what the catalogue knows, else measured now.
async fn vmaf(client: &Client, asset: &Asset, version: &Version, track: &Track) -> anyhow::Result<f64> {
    let known = client.scores(asset.id).await?.map(|page| page.items).unwrap_or_default();
    let same = known
        .into_iter()
        .map(|one| one.score)
        .filter(|score| score.version.as_ref() == Some(&version.name) && score.track.as_ref() == Some(&track.name));
    if let Some(vmaf) = same.filter_map(|score| score.figures.get("vmaf.mean").copied()).next() {
        return Ok(vmaf);
    }
    let new = NewComparison {
        id: Uuid::now_v7(),
        reference: MediaName::Source(asset.id),
        distorted: MediaName::Track(asset.id, track.name.clone()),
        metrics: vec![Metric::Vmaf],
        gates: Vec::new(),
        subsample: SUBSAMPLE,
        frames_max: Some(FRAMES_MAX),
        confidence_min: 0.5,
    };
    client.create_comparison(&new).await?;
    let get = || async {
        let job = client.comparison(new.id).await?;
        Ok(job.map(|job| (job.standing, job.result)))
    };
    let followed = quality::follow(true, new.id, "comparing", get).await;
    let (_, comparison) = followed.map_err(|exit| anyhow!(exit.message()))?;
    let column = comparison.columns.iter().find(|column| column.name == "vmaf").context("no VMAF was measured")?;
    Ok(column.pooled.mean)
}
