//! What one surrogate does, measured: it is deployed as a solution deploys it, asked, watched by more and more viewers, and killed once.
//! Nothing of it is assumed; what goes wrong ends it. It leaves nothing deployed, unless it is
//! interrupted; the next one says so.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use flame_api::Client;
use flame_api::metadata::Asset;
use flame_api::orchestrator::DeployedEndpoint;
use flame_api::orchestrator::sla::{Calibration, Level, Size, Surrogate};
use flame_load::{Crowd, Load, Profile};
use flame_sla::{Sla, template};
use flame_telemetry::Tag;
use rustix::process::{Pid, Signal, kill_process};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;
use uuid::Uuid;

use super::capacity;
use super::renditions::{Rung, rungs};
use crate::exit::Exit;
use crate::load::client_of_viewers;
use crate::output::Progress;
use crate::template::deployed;

/// What is deployed meanwhile.
const SFC: &str = flame_sla::document::CALIBRATION;
/// Time for one request of a viewer.
const DEADLINE: Duration = Duration::from_secs(20);
/// Within which a surrogate that was killed is to be back.
const REPAIR_PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked.
const POLL: Duration = Duration::from_millis(20);
/// Most viewers of a level.
const VIEWERS_MAX: f64 = 2000.0;

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Bench {
    /// What is watched, the most popular one first; the first one's renditions are reckoned with.
    pub assets: Vec<Uuid>,
    /// What a surrogate may send.
    pub uplink_bytes_per_s: Option<u64>,
    /// Loads, as shares of what it sends at most.
    pub levels: Vec<f64>,
    /// How long each lasts, milliseconds.
    pub lasts_ms: u64,
    /// Time within which viewers come, milliseconds.
    pub ramp_ms: u64,
    /// Media that a player keeps ahead, milliseconds.
    pub buffer_ms: u64,
    /// Media that it takes to begin, milliseconds.
    pub start_ms: u64,
}

/// One surrogate, and those who watch it.
struct Subject<'a> {
    client: &'a Client,
    http: reqwest::Client,
    bench: &'a Bench,
    rung: &'a Rung,
    /// What it is behind.
    name: String,
    skew: f64,
}

/// Measures one surrogate for a demand.
pub async fn calibrated(client: &Client, sla: &Sla, bench: &Bench, quiet: bool) -> Result<Calibration, Exit> {
    let first = bench.assets.first().ok_or_else(|| {
        Exit::usage(anyhow!("there is nothing to watch: upload something (`flame ingest FILE`), or name an asset"))
    })?;
    let asset = client.asset(*first).await?.ok_or_else(|| Exit::usage(anyhow!("there is no asset {first}")))?;
    let mut bar = Progress::new("calibrating", quiet);
    bar.set(0.0, "renditions");
    let least = sla.targets.vmaf;
    let rungs = rungs(client, &asset, least.is_some()).await.map_err(Exit::not_carried_out)?;
    let is_good = |rung: &&Rung| least.is_some_and(|least| rung.rendition.vmaf.is_some_and(|vmaf| vmaf >= least));
    // The rendition that a solution reckons with; if none is good enough, the best, for the nearest demand.
    let rung = rungs.iter().find(is_good).or(rungs.last());
    let rung = rung.ok_or_else(|| Exit::usage(anyhow!("asset {first} has no renditions")))?;
    let cache_bytes = sla.cache_mib.iter().max().copied().unwrap_or(64) << 20;
    let surrogate = Surrogate { cpus: 1, overhead_bytes: 0, uplink_bytes_per_s: bench.uplink_bytes_per_s };
    let anywhere = Size {
        cluster: String::new(),
        site: String::new(),
        tier: String::new(),
        instances: 1,
        needed: 1,
        cache_bytes,
        cost_per_hour: 0.0,
        serves: Vec::new(),
    };
    bar.set(0.1, "one surrogate is deployed");
    let text = template::surrogates(SFC, "One surrogate, to be measured", &surrogate, &[anywhere]);
    let instance = template::instance(SFC);
    if client.deployment(SFC, &instance).await?.is_some() {
        return Err(Exit::usage(anyhow!(
            "{SFC} is deployed already: another calibration runs, or one broke off (`flame template undeploy {SFC} {instance}` takes it away)"
        )));
    }
    let measured = async {
        deployed::settled(client, text).await?;
        let http = client_of_viewers().map_err(Exit::not_carried_out)?;
        let name = format!("{}.{instance}", template::LABEL);
        let subject = Subject { client, http, bench, rung, name, skew: sla.content.skew };
        subject.measure(&asset, &mut bar, surrogate, cache_bytes).await.map_err(Exit::not_carried_out)
    };
    let measured = measured.await;
    let gone = deployed::gone(client, SFC, &instance, true).await;
    let mut calibration = measured?;
    gone?;
    bar.finish();
    calibration.renditions = rungs.iter().map(|rung| rung.rendition.clone()).collect();
    Ok(calibration)
}

// === impl Subject ===

impl Subject<'_> {
    async fn measure(
        &self,
        asset: &Asset,
        bar: &mut Progress,
        surrogate: Surrogate,
        cache_bytes: u64,
    ) -> anyhow::Result<Calibration> {
        let objects = self.objects(asset).await?;
        bar.set(0.2, "answers that it has, and that it has not");
        let pid = self.process().await?;
        let fresh_bytes = resident_bytes(pid)?;
        let (miss_ms, hit_ms) = capacity::heads(&self.http, &objects).await?;
        let capacity_bps = capacity::most_bps(&self.http, &objects).await?;
        bar.set(0.3, "one viewer");
        let requests_before_picture = self.first_picture().await?;
        let mut levels: Vec<Level> = Vec::new();
        let mut shares = self.bench.levels.clone();
        shares.sort_by(f64::total_cmp);
        let bitrate_bps = self.rung.rendition.bitrate_bps;
        for (at, share) in shares.iter().enumerate() {
            let viewers = (share * capacity_bps / bitrate_bps).round().clamp(1.0, VIEWERS_MAX);
            let load = viewers * bitrate_bps / capacity_bps;
            if levels.last().is_some_and(|before| load <= before.load) {
                continue;
            }
            #[allow(clippy::cast_precision_loss, reason = "levels are few")]
            let done = 0.3 + 0.6 * at as f64 / shares.len() as f64;
            bar.set(done, &format!("{viewers} viewers"));
            match self.level(viewers, load).await? {
                Some(level) => levels.push(level),
                // Nothing is said of what it does not bear.
                None => break,
            }
        }
        ensure!(!levels.is_empty(), "not even the lightest level was borne without a failed request");
        let grown_bytes = resident_bytes(pid)?.saturating_sub(cache_bytes);
        bar.set(0.95, "killed once");
        let repair_s = self.repaired().await?;
        Ok(Calibration {
            measured_at: OffsetDateTime::now_utc().format(&Rfc3339)?,
            surrogate: Surrogate { overhead_bytes: fresh_bytes.max(grown_bytes), ..surrogate },
            capacity_bps,
            renditions: Vec::new(),
            rendition: self.rung.rendition.name.clone(),
            arrive_ms: self.bench.ramp_ms.min(self.bench.lasts_ms / 2),
            requests_before_picture,
            hit_ms,
            miss_ms,
            repair_s,
            levels,
        })
    }

    async fn endpoint(&self) -> anyhow::Result<DeployedEndpoint> {
        let deployment = self.client.deployment(SFC, &template::instance(SFC)).await?;
        deployment.and_then(|one| one.endpoints.into_iter().next()).context("the surrogate is not deployed any more")
    }

    /// The surrogate's process, which is on this machine: what bears its number elsewhere is somebody else's here.
    async fn process(&self) -> anyhow::Result<u32> {
        let pid = self.endpoint().await?.pid.context("the endpoint has no process")?;
        let environment = std::fs::read(format!("/proc/{pid}/environ"));
        let environment = environment.context("look at the surrogate: calibrate on its machine, as its user")?;
        let is_ours =
            [(Tag::Chain, SFC.to_owned()), (Tag::ChainInstance, template::instance(SFC))].iter().all(|(tag, value)| {
                let wanted = format!("{}={value}", tag.variable());
                environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
            });
        ensure!(
            is_ours,
            "the surrogate does not run on this machine (process {pid} is another one): calibrate where it runs"
        );
        Ok(pid)
    }

    /// The segments of the rendition, as the surrogate serves them.
    async fn objects(&self, asset: &Asset) -> anyhow::Result<Vec<Url>> {
        let version = asset.version.as_ref().context("the asset has no renditions")?;
        let folder = format!("{}/{}/{}", asset.id, version.name, self.rung.track);
        let playlist = self.client.url(&self.name, &format!("{folder}/index.m3u8"));
        let text = self.http.get(playlist).timeout(DEADLINE).send().await?.error_for_status()?.text().await?;
        let segments = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let objects: Vec<Url> = segments.map(|line| self.client.url(&self.name, &format!("{folder}/{line}"))).collect();
        ensure!(!objects.is_empty(), "{} has no segments", self.rung.track);
        Ok(objects)
    }

    fn load(&self, profile: Profile) -> Load {
        let playlist = |asset: &Uuid| self.client.url(&self.name, &format!("{asset}/index.m3u8"));
        Load {
            playlists: self.bench.assets.iter().map(playlist).collect(),
            profile,
            skew: self.skew,
            buffer_ms: self.bench.buffer_ms,
            start_ms: self.bench.start_ms,
            cap_bps: Some(self.rung.bandwidth_bps),
            deadline: DEADLINE,
            tells: true,
            seed: 1,
        }
    }

    /// Requests that one viewer makes before the first picture.
    async fn first_picture(&self) -> anyhow::Result<f64> {
        let lasts_ms = u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX);
        let mut crowd = Crowd::begin(self.load(Profile::steady(1, lasts_ms, 0)), self.http.clone()).await?;
        let began = Instant::now();
        let requests = loop {
            let figures = crowd.ledger().whole();
            if figures.startup_ms.count > 0 {
                break figures.requests;
            }
            let (waited_s, reasons) = (DEADLINE.as_secs(), &figures.reasons);
            ensure!(began.elapsed() < DEADLINE, "one viewer sees nothing in {waited_s} s: {reasons:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        crowd.dismiss().await;
        #[allow(clippy::cast_precision_loss, reason = "requests are few")]
        Ok(requests as f64)
    }

    /// What viewers meet with; nothing where a request failed.
    async fn level(&self, viewers: f64, load: f64) -> anyhow::Result<Option<Level>> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "viewers are whole and few")]
        let count = viewers as usize;
        let (lasts_ms, ramp_ms) = (self.bench.lasts_ms, self.bench.ramp_ms.min(self.bench.lasts_ms / 2));
        let profile = Profile::steady(count, lasts_ms, ramp_ms);
        let mut crowd = Crowd::begin(self.load(profile), self.http.clone()).await?;
        let strain = crowd.end().await;
        if let Some(why) = strain.verdict() {
            tracing::warn!(load, why, "what is measured here is the generator as much as the surrogate");
        }
        Ok(watched(&crowd, count, load, ramp_ms, lasts_ms))
    }

    /// Kills the surrogate, and waits for its successor; after how long it serves, seconds.
    async fn repaired(&self) -> anyhow::Result<f64> {
        let before = self.process().await?;
        let pid = i32::try_from(before).ok().and_then(Pid::from_raw).context("the endpoint has no process")?;
        let began = Instant::now();
        kill_process(pid, Signal::KILL).context("end the surrogate: calibrate on its machine, as its user")?;
        loop {
            let now = self.endpoint().await?;
            if now.state == "connected" && now.pid.is_some_and(|pid| pid != before) {
                return Ok(began.elapsed().as_secs_f64());
            }
            let patience_s = REPAIR_PATIENCE.as_secs();
            ensure!(began.elapsed() < REPAIR_PATIENCE, "the surrogate is not back after {patience_s} s");
            tokio::time::sleep(POLL).await;
        }
    }
}

/// What viewers met with who all were there from `ramp_ms` on; nothing where a request failed, or nobody saw anything.
#[allow(clippy::cast_precision_loss, reason = "viewers, times and bytes are far below 2^52")]
pub fn watched(crowd: &Crowd, viewers: usize, load: f64, ramp_ms: u64, lasts_ms: u64) -> Option<Level> {
    let (whole, full) = (crowd.ledger().whole(), crowd.ledger().between(ramp_ms, lasts_ms));
    if whole.failed > 0 || whole.startup_ms.count == 0 {
        return None;
    }
    let viewer_s = viewers as f64 * lasts_ms.saturating_sub(ramp_ms).max(1) as f64 / 1000.0;
    Some(Level {
        load,
        viewers: viewers as u64,
        viewer_bps: full.bytes as f64 * 8.0 / viewer_s,
        viewer_requests_per_s: full.requests as f64 / viewer_s,
        start_up_p50_ms: whole.startup_ms.p50,
        start_up_p95_ms: whole.startup_ms.p95,
        stalled_share: whole.stalled_ms as f64 / (whole.stalled_ms + whole.played_ms).max(1) as f64,
    })
}

/// Memory of a process (proc(5), `VmRSS`).
fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let text = text.context("look at the surrogate's memory: calibrate on its machine")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    Ok(kib.context("the kernel says nothing of the surrogate's memory")? << 10)
}
