//! `flame load`: headless viewers who watch real assets through the router, and what they meet with.
//!
//! Status 1 if a request failed. What the generator could not measure truly, because it was the bottleneck itself, it says.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use flame_api::Client;
use flame_api::metadata::{AssetQuery, AssetState};
use flame_load::ledger::Spread;
use flame_load::strain::Strain;
use flame_load::{Crowd, Figures, Load, LoadError, Profile, Step};
use flame_service_host::config::Span;
use flame_telemetry::{Context as Tags, Point, Tag, line};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::args::{self, Global};
use crate::connection;
use crate::exit::Exit;
use crate::output::{self, Progress};

/// Assets that are watched, at most.
const ASSETS_MAX: usize = 1000;
/// Rows of the course of a run, at most.
const ROWS_MAX: u64 = 120;
/// How often measurements are sent.
const TICK: Duration = Duration::from_secs(1);
/// Time that clmc may take for one.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);
/// The measurement.
const MEASUREMENT: &str = "viewers";

/// A file that `--profile` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    steps: Vec<ProfileStep>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileStep {
    #[serde(rename = "for")]
    lasts: Span,
    viewers: usize,
    #[serde(default = "at_once")]
    ramp: Span,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome {
    /// What was asked.
    name: String,
    assets: usize,
    lasts_ms: u64,
    #[serde(flatten)]
    figures: Figures,
    /// How the generator did.
    generator: Strain,
    /// Why the generator is the bottleneck, if it is.
    bottleneck: Option<String>,
    /// Measurements that clmc did not take.
    unreported: u64,
    /// The course of it.
    course: Vec<Row>,
}

/// A part of the time.
#[derive(Debug, Serialize)]
struct Row {
    from_ms: u64,
    requests: u64,
    failed: u64,
    head_ms: Spread,
    stalls: u64,
    switches: u64,
}

pub async fn run(global: &Global, args: args::Load) -> Result<(), Exit> {
    let client = connection::client(global);
    let profile = profile(&args)?;
    let playlists = playlists(&client, &args).await?;
    let (assets, lasts_ms) = (playlists.len(), profile.lasts_ms());
    let load = Load {
        playlists,
        profile,
        skew: args.skew,
        buffer_ms: ms(args.buffer),
        start_ms: ms(args.start),
        cap_bps: args.max_bitrate,
        deadline: args.deadline.0,
        tells: !args.no_cmcd,
        seed: args.seed,
    };
    let mut crowd = Crowd::begin(load, client_of_viewers()?).await.map_err(unusable)?;
    let mut bar = Progress::new("watching", global.json);
    let (mut unreported, mut told_ms) = (0, 0);
    while !crowd.is_over() {
        tokio::time::sleep(TICK).await;
        let now_ms = crowd.now_ms();
        let last = crowd.ledger().between(told_ms, now_ms);
        #[allow(clippy::cast_precision_loss, reason = "a share is shown")]
        let share = now_ms as f64 / lasts_ms.max(1) as f64;
        let there = crowd.ledger().there();
        bar.set(share, &format!("{there} viewers, {} requests/s, p95 {:.0} ms", last.requests, last.head_ms.p95));
        if let Some(database) = &args.report
            && let Err(reason) = report(&client, database, MEASUREMENT, there, &last).await
        {
            tracing::debug!(reason, "a measurement was not taken");
            unreported += 1;
        }
        told_ms = now_ms;
    }
    bar.finish();
    let generator = crowd.end().await;
    let figures = crowd.ledger().whole();
    let outcome = Outcome {
        name: args.name,
        assets,
        lasts_ms,
        course: course(&crowd, lasts_ms),
        bottleneck: generator.verdict(),
        generator,
        unreported,
        figures,
    };
    if global.json {
        output::print_json(&outcome)?;
    } else {
        show(&outcome)?;
    }
    let Figures { requests, failed, reasons, .. } = &outcome.figures;
    if *failed > 0 {
        let why: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
        return Err(Exit::failed(anyhow!("{failed} of {} requests failed: {}", requests + failed, why.join(", "))));
    }
    Ok(())
}

/// What viewers ask with: connections of their own, whatever proxy the machine has.
pub fn client_of_viewers() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build().context("make a client")
}

/// What cannot be watched is the caller's.
pub fn unusable(error: LoadError) -> Exit {
    match error {
        LoadError::Unreachable { .. } => Exit::not_carried_out(anyhow::Error::new(error)),
        LoadError::Nothing | LoadError::TooMany(_) | LoadError::Unreadable { .. } => Exit::usage(error),
    }
}

fn profile(args: &args::Load) -> Result<Profile, Exit> {
    match &args.profile {
        None => Ok(Profile::steady(args.viewers, ms(args.lasts), ms(args.ramp))),
        Some(path) => read_profile(path).map_err(Exit::usage),
    }
}

fn read_profile(path: &Path) -> anyhow::Result<Profile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let file: ProfileFile = toml::from_str(&text).with_context(|| format!("{} is no profile", path.display()))?;
    let step = |step: ProfileStep| Step { lasts_ms: ms(step.lasts), viewers: step.viewers, ramp_ms: ms(step.ramp) };
    Ok(Profile { steps: file.steps.into_iter().map(step).collect() })
}

fn at_once() -> Span {
    Span(Duration::ZERO)
}

pub fn ms(span: Span) -> u64 {
    u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
}

/// Where what is watched is served.
async fn playlists(client: &Client, args: &args::Load) -> Result<Vec<Url>, Exit> {
    let base = if args.name.contains("://") {
        let url = Url::parse(&args.name).with_context(|| format!("`{}` is no URL", args.name)).map_err(Exit::usage)?;
        if url.path().ends_with(".m3u8") {
            return Ok(vec![url]);
        }
        Some(url)
    } else {
        None
    };
    let assets = if args.assets.is_empty() { playable(client).await? } else { args.assets.clone() };
    Ok(assets.iter().map(|asset| playlist(client, base.as_ref(), &args.name, *asset)).collect())
}

fn playlist(client: &Client, base: Option<&Url>, name: &str, asset: Uuid) -> Url {
    let path = format!("{asset}/index.m3u8");
    let Some(base) = base else { return client.url(name, &path) };
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// The assets that play, the newest first.
pub async fn playable(client: &Client) -> Result<Vec<Uuid>, Exit> {
    let mut query = AssetQuery { state: Some(AssetState::Ready), limit: Some(200), ..AssetQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = client.assets(&query).await?;
        found.extend(page.items.iter().map(|asset| asset.id));
        found.truncate(ASSETS_MAX);
        match page.next_cursor.filter(|_| found.len() < ASSETS_MAX) {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(found),
        }
    }
}

/// Sends what was measured to clmc.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of a second")]
pub async fn report(
    client: &Client,
    database: &str,
    measurement: &'static str,
    there: u64,
    last: &Figures,
) -> Result<(), String> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let tags = Tags::of(|variable| std::env::var(variable).ok());
    let tags = tags.or(Tag::Location, "local").or(Tag::Chain, database).or(Tag::Package, measurement);
    let mut point = Point::new(measurement, &tags, i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
        .field("viewers", there)
        .field("requests", last.requests)
        .field("failed", last.failed)
        .field("response_time", last.head_ms.p50 / 1000.0)
        .field("response_time_p95", last.head_ms.p95 / 1000.0)
        .field("stalls", last.stalls)
        .field("stalled", last.stalled_ms as f64 / 1000.0)
        .field("switches", last.switches);
    // What nobody measured is not 0.
    if last.startup_ms.count > 0 {
        point = point.field("startup", last.startup_ms.p95 / 1000.0);
    }
    if last.delay_ms.count > 0 {
        point =
            point.field("live_delay", last.delay_ms.p50 / 1000.0).field("live_delay_p95", last.delay_ms.p95 / 1000.0);
    }
    let mut lines = String::new();
    line::write(&point, &mut lines);
    let request = client.request(Method::POST, "clmc", "write").query(&[("db", database)]);
    let answer = request.timeout(REPORT_PATIENCE).body(lines).send().await.map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(answer.status().to_string()) }
}

/// The run in parts of at least a second.
fn course(crowd: &Crowd, lasts_ms: u64) -> Vec<Row> {
    let width_ms = lasts_ms.div_ceil(ROWS_MAX).max(1000);
    let rows = (0..lasts_ms.div_ceil(width_ms)).map(|at| {
        let from_ms = at * width_ms;
        let Figures { requests, failed, head_ms, stalls, switches, .. } =
            crowd.ledger().between(from_ms, from_ms + width_ms);
        Row { from_ms, requests, failed, head_ms, stalls, switches }
    });
    rows.collect()
}

fn show(outcome: &Outcome) -> Result<(), Exit> {
    let Outcome { name, assets, lasts_ms, figures, bottleneck, unreported, .. } = outcome;
    let spread = |what: &str, of: &Spread| {
        format!("  {what:<22} p50 {:>8.1}   p95 {:>8.1}   max {:>8.1} ms", of.p50, of.p95, of.max)
    };
    let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
    let mut lines = vec![
        format!("{name}: {} viewings of {assets} assets in {:.0} s", figures.startup_ms.count, seconds(*lasts_ms)),
        format!("  requests {}, failed {}, {}", figures.requests, figures.failed, output::size(figures.bytes)),
        spread("to the head", &figures.head_ms),
        spread("to the last byte", &figures.whole_ms),
        spread("to the first picture", &figures.startup_ms),
        format!(
            "  stalls {}, {:.1} s of {:.1} s seen; renditions changed {} times",
            figures.stalls,
            seconds(figures.stalled_ms),
            seconds(figures.played_ms),
            figures.switches
        ),
    ];
    if figures.unkept > 0 {
        lines.push(format!(
            "  percentiles are of a fair sample; the times of {} requests and starts are not in it",
            figures.unkept
        ));
    }
    if *unreported > 0 {
        lines.push(format!("  clmc did not take {unreported} measurements"));
    }
    lines.extend(bottleneck.iter().map(|why| format!("  NOTE: {why}")));
    output::print_line(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_file_says_who_comes_when() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crowd.toml");
        std::fs::write(
            &path,
            "[[steps]]\nfor = \"10s\"\nviewers = 2\n[[steps]]\nfor = \"1min\"\nviewers = 40\nramp = \"2s\"\n",
        )
        .unwrap();
        let profile = read_profile(&path).unwrap();
        assert_eq!(profile.steps[1], Step { lasts_ms: 60_000, viewers: 40, ramp_ms: 2000 });
        assert_eq!((profile.steps[0].ramp_ms, profile.lasts_ms()), (0, 70_000));
        std::fs::write(&path, "[[steps]]\nfor = \"10s\"\nviewrs = 2\n").unwrap();
        assert!(format!("{:#}", read_profile(&path).unwrap_err()).contains("viewrs"));
    }
}
