//! `flame quality curve`: what encoders need for the same quality. The cases of a suite that name a `curve` are its points: each is made and
//! scored as `flame quality test` does it; what the curves come to is decided in [`flame_quality::curve`].

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use flame_api::quality::Comparison;
use flame_quality::curve::{Point, delta_rate_percent, plot};
use flame_quality::gate::Gate;
use flame_quality::{html, suite::Case};
use serde::Serialize;

use super::subject::{self, Pair};
use super::suite::{Loaded, load, plan};
use super::{measure, write};
use crate::args::{Curve, Global};
use crate::exit::Exit;
use crate::output;

/// What `--json` prints of a curve.
#[derive(Debug, Serialize)]
struct Drawn {
    curve: String,
    /// Bits a second and quality, as the cases come.
    points: Vec<(f64, f64)>,
    /// How much more rate it needs than the anchor for the same quality, per cent; none of the anchor itself.
    delta_rate_percent: Option<f64>,
}

pub async fn run(global: &Global, args: &Curve) -> Result<(), Exit> {
    let loaded = load(&args.suite).map_err(Exit::usage)?;
    // A bound that says nothing: what it measures is wanted.
    let figure: Gate = format!("{} >= 0", args.figure).parse().map_err(|why: String| Exit::usage(anyhow!("{why}")))?;
    let column = figure.column().unwrap_or_default().to_owned();
    let cases: Vec<&Case> = loaded.suite.cases.iter().filter(|case| case.curve.is_some()).collect();
    if cases.is_empty() {
        return Err(Exit::usage(anyhow!("no case of the suite `{}` names a `curve`", loaded.suite.suite)));
    }
    let is_measured = |case: &Case| figure.metric().is_some_and(|metric| case.metrics.contains(&metric));
    if let Some(case) = cases.iter().find(|case| !is_measured(case)) {
        return Err(Exit::usage(anyhow!("case `{}`: `{column}` is not among its metrics", case.name)));
    }
    let mut curves: Vec<(String, Vec<Point>)> = Vec::new();
    for case in cases {
        let points = points(global, &loaded, case, args, &figure).await;
        let points = points.map_err(|error| Exit::not_carried_out(error.context(format!("case `{}`", case.name))))?;
        let name = case.curve.clone().unwrap_or_default();
        match curves.iter_mut().find(|(other, _)| *other == name) {
            Some((_, list)) => list.extend(points),
            None => curves.push((name, points)),
        }
    }
    let anchor = args.anchor.clone().unwrap_or_else(|| curves[0].0.clone());
    let Some(held) = curves.iter().find(|(name, _)| *name == anchor).map(|(_, points)| points.clone()) else {
        let names: Vec<_> = curves.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Exit::usage(anyhow!("there is no curve `{anchor}`; there are {}", names.join(", "))));
    };
    let mut drawn = Vec::new();
    for (name, points) in &curves {
        let delta_rate_percent =
            match *name == anchor {
                true => None,
                false => Some(delta_rate_percent(&held, points).map_err(|why| {
                    Exit::not_carried_out(anyhow!("`{name}` cannot be held against `{anchor}`: {why}"))
                })?),
            };
        let points = points.iter().map(|point| (point.rate_bps, point.quality)).collect();
        drawn.push(Drawn { curve: name.clone(), points, delta_rate_percent });
    }
    if let Some(path) = &args.html {
        let rows: BTreeMap<_, _> = drawn.iter().map(|one| (one.curve.as_str(), one.delta_rate_percent)).collect();
        write(path, &html::curves(&loaded.suite.about, &anchor, &args.figure, &rows, &plot(&curves, &args.figure)))?;
    }
    if global.json {
        return output::print_json(&drawn);
    }
    let mut table = output::table(&["curve", "bit/s", args.figure.as_str(), "rate for the same quality"]);
    for one in &drawn {
        let said = one.delta_rate_percent.map_or("the anchor".to_owned(), |percent| format!("{percent:+.1} %"));
        for (nth, (rate_bps, quality)) in one.points.iter().enumerate() {
            let first = |text: &str| if nth == 0 { text.to_owned() } else { String::new() };
            table.add_row([first(&one.curve), format!("{rate_bps:.0}"), format!("{quality:.3}"), first(&said)]);
        }
    }
    output::print_line(&table.to_string())
}

/// What a case gives: bits a second of the whole file, over the pictures' length, and the figure.
async fn points(
    global: &Global,
    loaded: &Loaded,
    case: &Case,
    args: &Curve,
    figure: &Gate,
) -> anyhow::Result<Vec<Point>> {
    let scratch = tempfile::tempdir().context("make a temporary folder")?;
    let made = subject::pairs(global, &loaded.suite, &loaded.folder, case, scratch.path());
    let made = tokio::time::timeout(args.case_timeout.0, made).await;
    let pairs = made.map_err(|_| anyhow!("it took longer than {} s", args.case_timeout.0.as_secs()))??;
    let mut points = Vec::new();
    for pair in pairs {
        let comparison = compared(case, &pair).await?;
        let size = std::fs::metadata(&pair.distorted);
        let size_bytes = size.with_context(|| format!("{}: only files have a size", pair.distorted))?.len();
        let verdict = figure.judge(&comparison).map_err(|why| anyhow!("{why}"))?;
        #[allow(clippy::cast_precision_loss, reason = "files are far below 2^52 bytes")]
        let rate_bps = size_bytes as f64 * 8000.0 / comparison.distorted.duration_ms.max(1.0);
        points.push(Point { rate_bps, quality: verdict.measured });
    }
    Ok(points)
}

async fn compared(case: &Case, pair: &Pair) -> anyhow::Result<Comparison> {
    let reference = pair.reference.as_ref().context("there is nothing to compare it with")?;
    let plan = plan(case, reference, &pair.distorted).map_err(|why| anyhow!("{why}"))?;
    let measured = measure(plan, &case.name, true).await;
    measured.map(|(comparison, _)| comparison).map_err(|exit| anyhow!("{}", exit.message()))
}
