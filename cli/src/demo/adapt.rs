//! Scenario `adapt`: a flash crowd at an edge, and the loop that answers it: measured by CLMC, decided by the orchestrator, done by the
//! router. Nobody but viewers does anything.
//!
//! The surrogates are processes that the orchestrator starts from the shipped template `flash-crowd`. On one machine a second process
//! brings no second link, so each surrogate has its share of one set (`uplink.rate`): narrow enough that the crowd is half as
//! many again as one can serve. That is said in the report.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::clmc::Question;
use flame_api::media::TrackKind;
use flame_api::metadata::Asset;
use flame_api::orchestrator::{Decision, NewDeployment};
use flame_load::strain::Strain;
use flame_load::{Crowd, Figures, Load, Profile, Step};

use super::indirection::PATIENCE;
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};
use super::vod;
use crate::load::client_of_viewers;
use crate::output;

const TEMPLATE: &str = include_str!("../../../templates/services/flash-crowd/template.yaml");
const ALERTS: &str = include_str!("../../../templates/services/flash-crowd/alerts.yaml");
const SFC: &str = "flash-crowd";
const SFCI: &str = "square";
const NAME: &str = "edge.square";
/// The one that stands by.
const STANDBY: &str = "second";
/// The template's policy, and the alert threshold that the crowd is to cross.
const POLICY: &str = "crowd";
const SLOW_MS: f64 = 200.0;

/// Viewers of an ordinary hour, and of the crowd.
const FEW: usize = 3;
const MANY: usize = 40;
/// How much more the crowd wants than one surrogate may send.
const OVERLOAD: f64 = 1.5;
/// An ordinary time, the crowd, and a quiet time; the last ends as soon as it has been seen.
const STEPS: [(u64, usize); 3] = [(4_000, FEW), (26_000, MANY), (40_000, FEW)];
const RAMP_MS: u64 = 1_000;
/// After the standby has joined: what the crowd waits for already is served first.
const SETTLING_MS: u64 = 3_000;
/// How often the course of things is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Media that a viewer keeps ahead, and begins with.
const BUFFER_MS: u64 = 6_000;
const START_MS: u64 = 1_000;
/// Everything that has to happen by itself.
const LOOP_PATIENCE: Duration = Duration::from_secs(60);

/// The viewers, and a clock that is theirs and everybody's.
struct Square {
    crowd: Crowd,
    /// Unix milliseconds when they began.
    began_unix_ms: u64,
}

/// When things happened, milliseconds from the beginning of the viewers.
struct Joined {
    /// An answer took longer than the threshold.
    crossed_ms: u64,
    /// CLMC told the orchestrator, which decided.
    told_ms: u64,
    connected_ms: u64,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let quiet = tour.quiet();
    let client = tour.step("start", start(stage)).await?;
    let (id, _) = tour.step("upload", vod::send(&client, clip, quiet)).await?;
    let job = tour.step("probe", vod::probed(&client, id)).await?;
    let asset = tour.step("ladder", vod::encoded(&client, id, job, quiet)).await?;
    tour.step("deploy", deployed(&client, &asset)).await?;
    let mut square = tour.step("few", Square::open(&client, &asset)).await?;
    let joined = tour.step("crowd", square.joined(&client)).await?;
    let (before, after) = tour.step("shared", square.shared(&client, &joined)).await?;
    let (gone_ms, strain) = tour.step("gone", square.left(&client, &joined)).await?;

    let failed = square.crowd.ledger().whole().failed;
    tour.figure("failed_requests", count(failed), "requests", Some(Bound::AtMost(0.0))).await?;
    let s = |ms: u64| count(ms) / 1000.0;
    tour.figure(
        "crossing_to_alert",
        s(joined.told_ms.saturating_sub(joined.crossed_ms)),
        "s",
        Some(Bound::AtMost(10.0)),
    )
    .await?;
    let connected_ms = count(joined.connected_ms.saturating_sub(joined.told_ms));
    tour.figure("alert_to_connected", connected_ms, "ms", Some(Bound::AtMost(2000.0))).await?;
    tour.figure("latency_p50_without", before.head_ms.p50, "ms", None).await?;
    tour.figure("latency_p50_with", after.head_ms.p50, "ms", Some(Bound::AtMost(before.head_ms.p50 / 2.0))).await?;
    tour.figure("latency_p95_without", before.head_ms.p95, "ms", None).await?;
    tour.figure("latency_p95_with", after.head_ms.p95, "ms", Some(Bound::AtMost(before.head_ms.p95))).await?;
    tour.figure("first_picture_p50_without", before.startup_ms.p50, "ms", None).await?;
    tour.figure("first_picture_p50_with", after.startup_ms.p50, "ms", None).await?;
    tour.figure(
        "standby_share",
        square.share(&client, &joined).await.unwrap_or_default(),
        "%",
        Some(Bound::AtLeast(25.0)),
    )
    .await?;
    tour.figure("crowd_over_to_standby", s(gone_ms), "s", Some(Bound::AtMost(30.0))).await?;
    let note = strain.verdict().map_or_else(String::new, |why| format!("\n  NOTE: {why}"));
    tour.close_with(format!(
        "  one machine: the links of the surrogates are their configuration (uplink.rate), what lies between viewers and them is loopback\n  \
         flame template decisions {SFC} {SFCI} --router {}{note}",
        client.router()
    ));
    Ok(())
}

async fn start(stage: &mut Stage) -> anyhow::Result<Verified<Client>> {
    let (client, took) = stage.up_with(&["--report-every", "1s"]).await?;
    let detail =
        format!("router at {} after {:.1} s; everything reports each second", client.router(), took.as_secs_f64());
    Ok(Verified(client, detail))
}

/// Bytes that a viewer of the lowest rendition takes a second.
fn wanted_bytes_per_s(asset: &Asset) -> anyhow::Result<f64> {
    let version = asset.version.as_ref().context("it has no version")?;
    let of = |kind: TrackKind| version.tracks.iter().filter(move |track| track.kind == kind);
    let picture = of(TrackKind::Video).min_by_key(|track| track.average_bandwidth_bps).context("it has no pictures")?;
    let sound = of(TrackKind::Audio).next().map_or(0, |track| track.size_bytes);
    let seconds = count(picture.duration_ms.max(1)) / 1000.0;
    Ok(count(picture.size_bytes + sound) / seconds)
}

/// The template, with links that bear two thirds of the crowd.
async fn deployed(client: &Client, asset: &Asset) -> anyhow::Result<Verified<()>> {
    let wanted = wanted_bytes_per_s(asset)? * f64::from(u32::try_from(MANY)?);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate in KiB")]
    let rate_kib = (wanted / OVERLOAD / 1024.0) as u64;
    let inputs = BTreeMap::from([("rate".to_owned(), format!("{rate_kib}KiB"))]);
    let request = NewDeployment {
        template: TEMPLATE.to_owned(),
        alerts: Some(ALERTS.to_owned()),
        inputs,
        ..NewDeployment::default()
    };
    let began = Instant::now();
    client.deploy(&request).await?;
    until("the template is deployed", || async {
        Ok(client.deployment(SFC, SFCI).await?.filter(|one| one.is_settled).map(drop))
    })
    .await?;
    let took_s = began.elapsed().as_secs_f64();
    // From here on it is known to be quiet: a crowd is news.
    until("CLMC knows that it is quiet", || async { Ok(decided(client, POLICY, "moved", 0).await?.map(drop)) }).await?;
    let detail = format!(
        "two surrogates, one connected and one standing by, after {took_s:.1} s; each may send {} a second",
        output::size(rate_kib << 10)
    );
    Ok(Verified((), detail))
}

/// The first decision of this kind that came at or after `from_unix_ms`.
async fn decided(client: &Client, subject: &str, action: &str, from_unix_ms: u64) -> anyhow::Result<Option<Decision>> {
    let all = client.decisions(SFC, SFCI).await?.map(|page| page.items).unwrap_or_default();
    let mut found: Vec<Decision> = all
        .into_iter()
        .filter(|one| one.subject == subject && one.action == action && one.at_unix_ms >= from_unix_ms)
        .collect();
    found.sort_by_key(|one| one.id);
    Ok(found.into_iter().next())
}

/// Waits for something that happens by itself.
async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(
            began.elapsed() < LOOP_PATIENCE,
            "it did not come to this within {} s: {what}",
            LOOP_PATIENCE.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

// === impl Square ===

impl Square {
    /// The first viewers come, and are served well.
    async fn open(client: &Client, asset: &Asset) -> anyhow::Result<Verified<Self>> {
        let steps = STEPS.map(|(lasts_ms, viewers)| Step { lasts_ms, viewers, ramp_ms: RAMP_MS });
        let load = Load {
            playlists: vec![client.url(NAME, &format!("{}/index.m3u8", asset.id))],
            profile: Profile { steps: steps.into() },
            skew: 0.0,
            buffer_ms: BUFFER_MS,
            start_ms: START_MS,
            // Small screens: then what the crowd wants does not change with what it gets.
            cap_bps: Some(0),
            deadline: PATIENCE,
            tells: true,
            seed: 1,
        };
        let crowd = Crowd::begin(load, client_of_viewers()?).await?;
        let began_unix_ms = unix_ms().saturating_sub(crowd.now_ms());
        let square = Self { crowd, began_unix_ms };
        square.reach(STEPS[0].0).await;
        let seen = square.crowd.ledger().between(0, STEPS[0].0);
        ensure!(seen.startup_ms.count > 0 && seen.failed == 0, "{FEW} viewers are not served: {:?}", seen.reasons);
        let detail = format!(
            "{FEW} viewers: p50 {:.0} ms, p95 {:.0} ms to the head of an answer",
            seen.head_ms.p50, seen.head_ms.p95
        );
        Ok(Verified(square, detail))
    }

    /// Waits until the viewers' clock says `ms`.
    async fn reach(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms.saturating_sub(self.crowd.now_ms()))).await;
    }

    fn since_began(&self, decision: &Decision) -> u64 {
        decision.at_unix_ms.saturating_sub(self.began_unix_ms)
    }

    /// The crowd comes, answers come late, and by itself the standby joins.
    async fn joined(&mut self, client: &Client) -> anyhow::Result<Verified<Joined>> {
        let (from_ms, from_unix_ms) = (STEPS[0].0, self.began_unix_ms + STEPS[0].0);
        let told = until("the orchestrator is told", || decided(client, POLICY, "moved", from_unix_ms)).await?;
        ensure!(told.reason.contains("slow holds"), "the orchestrator was told something else: {}", told.reason);
        let connected = until("the standby is connected", || decided(client, STANDBY, "connect", from_unix_ms)).await?;
        let crossed_ms = self.crowd.ledger().first_slow(from_ms, SLOW_MS).context("no answer was slow")?;
        let (told_ms, connected_ms) = (self.since_began(&told), self.since_began(&connected));
        let detail = format!(
            "{MANY} viewers; the first slow answer after {:.1} s, told after {:.1} s, connected after {:.1} s",
            count(crossed_ms - from_ms) / 1000.0,
            count(told_ms.saturating_sub(from_ms)) / 1000.0,
            count(connected_ms.saturating_sub(from_ms)) / 1000.0
        );
        Ok(Verified(Joined { crossed_ms, told_ms, connected_ms }, detail))
    }

    /// With the standby, answers come in time; compared with the time before.
    async fn shared(&mut self, client: &Client, joined: &Joined) -> anyhow::Result<Verified<(Figures, Figures)>> {
        let ends_ms = STEPS[0].0 + STEPS[1].0;
        let from_ms = joined.connected_ms + SETTLING_MS;
        ensure!(from_ms + SETTLING_MS <= ends_ms, "the standby came too late to be of use to this crowd");
        self.reach(ends_ms).await;
        let ledger = self.crowd.ledger();
        let before = ledger.between(joined.crossed_ms, joined.connected_ms);
        let after = ledger.between(from_ms, ends_ms);
        ensure!(before.requests > 0 && after.requests > 0, "the crowd asked nothing");
        let states = client.deployment(SFC, SFCI).await?.context("the deployment is gone")?;
        ensure!(
            states.endpoints.iter().all(|one| one.state == "connected"),
            "the standby was sent away while the crowd was there"
        );
        let detail = format!(
            "{} and {} requests: p95 {:.0} ms before, {:.0} ms after",
            before.requests, after.requests, before.head_ms.p95, after.head_ms.p95
        );
        Ok(Verified((before, after), detail))
    }

    /// The crowd goes, and by itself the standby is drained. After how long, from the crowd's going; and how the generator did.
    async fn left(&mut self, client: &Client, joined: &Joined) -> anyhow::Result<Verified<(u64, Strain)>> {
        let over_ms = STEPS[0].0 + STEPS[1].0;
        let since = self.began_unix_ms + joined.connected_ms;
        let drained = until("the standby is drained", || decided(client, STANDBY, "drain", since)).await?;
        let rests = until("the standby stands by", || decided(client, STANDBY, "rest", since)).await?;
        let (drained_ms, rests_ms) = (self.since_began(&drained), self.since_began(&rests));
        ensure!(drained_ms >= over_ms, "the standby was drained while the crowd was there");
        let strain = self.crowd.dismiss().await;
        let gone_ms = rests_ms.saturating_sub(over_ms);
        let detail =
            format!("{FEW} viewers are left; drained and standing by {:.1} s after the crowd", count(gone_ms) / 1000.0);
        Ok(Verified((gone_ms, strain), detail))
    }

    /// The standby's share of the requests while it served, as CLMC has it, percent.
    async fn share(&self, client: &Client, joined: &Joined) -> anyhow::Result<f64> {
        let at = |ms: u64| self.began_unix_ms + ms;
        let (from, to) = (at(joined.connected_ms + SETTLING_MS), at(STEPS[0].0 + STEPS[1].0));
        let q = format!("SELECT sum(requests) FROM vcdn WHERE time >= {from}ms AND time < {to}ms GROUP BY flame_sf");
        let answers = client.ask(&Question { q, db: SFC.to_owned(), epoch: None }).await?;
        let mut requests = BTreeMap::new();
        for series in answers.results.iter().flat_map(|answer| &answer.series) {
            let sum = series.values.first().and_then(|row| row.get(1)?.as_f64()).unwrap_or_default();
            requests.insert(series.tags.get("flame_sf").cloned().unwrap_or_default(), sum);
        }
        let all: f64 = requests.values().sum();
        ensure!(all > 0.0, "CLMC knows of no request");
        Ok(requests.get(STANDBY).copied().unwrap_or_default() / all * 100.0)
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "figures are printed")]
fn count(value: u64) -> f64 {
    value as f64
}
