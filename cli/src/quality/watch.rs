//! `flame quality watch`: what a viewer meets with, on request or live. The viewers are those of `flame load`; this asks for one thing, judges
//! what came of it, and tells clmc.

use std::time::Duration;

use anyhow::anyhow;
use flame_load::ledger::Spread;
use flame_load::{Crowd, Figures, Load, Profile};
use flame_quality::gate::{Gate, Verdict};
use serde::Serialize;
use url::Url;

use super::{cases, input, write_junit};
use crate::args::{Global, Watch};
use crate::connection;
use crate::exit::Exit;
use crate::load::{client_of_viewers, ms, report, unusable};
use crate::output::{self, Progress};

/// How often measurements are sent.
const TICK: Duration = Duration::from_secs(1);
/// The measurement.
const MEASUREMENT: &str = "watch";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    media: &'a str,
    viewers: usize,
    #[serde(flatten)]
    figures: &'a Figures,
    /// Why the machine that watched was the bottleneck, if it was.
    bottleneck: Option<String>,
    /// Measurements that clmc did not take.
    unreported: u64,
}

pub async fn run(global: &Global, args: &Watch) -> Result<(), Exit> {
    if let Some(gate) = args.gates.iter().find(|gate| gate.watch_figure().is_none()) {
        return Err(Exit::usage(anyhow!(
            "gate {gate} is not about what a viewer meets with: such gates begin with `watch.`"
        )));
    }
    let place = input(global, &args.media, None).await?;
    let url: Url = place.parse().map_err(|_| Exit::usage(anyhow!("{place} is no URL: a viewer watches by HTTP")))?;
    let lasts_ms = ms(args.lasts);
    let load = Load {
        playlists: vec![url],
        profile: Profile::steady(args.viewers, lasts_ms, 0),
        skew: 0.0,
        buffer_ms: ms(args.buffer),
        start_ms: ms(args.start),
        cap_bps: None,
        // A blocking reload may wait for three target durations.
        deadline: Duration::from_secs(30),
        tells: true,
        seed: 1,
    };
    let begun = std::time::Instant::now();
    let client = connection::client(global);
    let mut crowd = Crowd::begin(load, client_of_viewers()?).await.map_err(unusable)?;
    let mut bar = Progress::new("watching", global.json);
    let (mut unreported, mut told_ms) = (0, 0);
    while !crowd.is_over() {
        tokio::time::sleep(TICK).await;
        let now_ms = crowd.now_ms();
        let last = crowd.ledger().between(told_ms, now_ms);
        #[allow(clippy::cast_precision_loss, reason = "a share is shown")]
        bar.set(now_ms as f64 / lasts_ms.max(1) as f64, &format!("{} stalls", crowd.ledger().whole().stalls));
        if let Some(database) = &args.clmc
            && let Err(reason) = report(&client, database, MEASUREMENT, crowd.ledger().there(), &last).await
        {
            tracing::debug!(reason, "a measurement was not taken");
            unreported += 1;
        }
        told_ms = now_ms;
    }
    bar.finish();
    let bottleneck = crowd.end().await.verdict();
    let figures = crowd.ledger().whole();
    let verdicts: Vec<_> = args.gates.iter().map(|gate| (gate.to_string(), judged(gate, &figures))).collect();
    let summary = format!("{} requests, {} stalls", figures.requests, figures.stalls);
    let class = format!("watching {}", args.media);
    write_junit(args.junit.as_deref(), &cases(&class, &verdicts, summary, begun.elapsed().as_secs_f64()))?;
    if global.json {
        let (media, viewers, figures) = (args.media.as_str(), args.viewers, &figures);
        output::print_json(&Outcome { media, viewers, figures, bottleneck, unreported })?;
    } else {
        print(&figures, bottleneck.as_deref(), unreported)?;
    }
    if figures.startup_ms.count == 0 {
        let why: Vec<_> = figures.reasons.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
        return Err(Exit::failed(anyhow!(
            "nobody saw a picture; requests that failed: {} ({})",
            figures.failed,
            why.join(", ")
        )));
    }
    super::inspect::judge(global, &verdicts)
}

/// What a gate says of what was met with.
fn judged(gate: &Gate, figures: &Figures) -> Result<Verdict, String> {
    let of = |spread: &Spread, value: fn(&Spread) -> f64, why: &str| {
        if spread.count > 0 { Ok(value(spread)) } else { Err(why.to_owned()) }
    };
    let (p50, p95) = (|spread: &Spread| spread.p50, |spread: &Spread| spread.p95);
    let no_dates = "nobody says when what is shown was taken: it is not live, or has no EXT-X-PROGRAM-DATE-TIME";
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let measured = match gate.watch_figure().unwrap_or_default() {
        "startup_p95_ms" => of(&figures.startup_ms, p95, "nobody saw a picture")?,
        "head_p95_ms" => of(&figures.head_ms, p95, "no request was answered")?,
        "delay_p50_ms" => of(&figures.delay_ms, p50, no_dates)?,
        "delay_p95_ms" => of(&figures.delay_ms, p95, no_dates)?,
        "stalls" => figures.stalls as f64,
        "stalled_ms" => figures.stalled_ms as f64,
        "played_ms" => figures.played_ms as f64,
        "switches" => figures.switches as f64,
        "requests" => figures.requests as f64,
        "failed" => figures.failed as f64,
        other => return Err(format!("there is no `{other}`")),
    };
    Ok(gate.verdict(measured))
}

fn print(figures: &Figures, bottleneck: Option<&str>, unreported: u64) -> Result<(), Exit> {
    let spread = |what: &str, of: &Spread| {
        format!("{what:<24} p50 {:>8.1}   p95 {:>8.1}   max {:>8.1} ms", of.p50, of.p95, of.max)
    };
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let mut lines = vec![
        format!("requests {}, failed {}, {}", figures.requests, figures.failed, output::size(figures.bytes)),
        spread("to the head", &figures.head_ms),
        spread("to the first picture", &figures.startup_ms),
    ];
    if figures.delay_ms.count > 0 {
        lines.push(spread("behind what is live", &figures.delay_ms));
    }
    lines.push(format!(
        "stalls {}, {:.1} s of {:.1} s seen; renditions changed {} times",
        figures.stalls,
        seconds(figures.stalled_ms),
        seconds(figures.played_ms),
        figures.switches
    ));
    lines.extend(figures.reasons.iter().map(|(reason, count)| format!("failed: {count} × {reason}")));
    if unreported > 0 {
        lines.push(format!("clmc did not take {unreported} measurements"));
    }
    lines.extend(bottleneck.map(|why| format!("NOTE: {why}")));
    output::print_line(&lines.join("\n"))
}
