//! `flame quality jobs`, `flame quality cancel`: what the quality service was asked to measure.

use anyhow::anyhow;
use flame_api::quality::jobs::{Measuring, MeasuringQuery};
use serde::Serialize;
use uuid::Uuid;

use crate::args::{Global, Jobs};
use crate::connection;
use crate::exit::Exit;
use crate::output;

/// A job of either kind.
#[derive(Debug, Serialize)]
struct Line {
    kind: &'static str,
    media: String,
    #[serde(flatten)]
    standing: Measuring,
}

/// Cancels a job of either kind.
pub async fn cancel(global: &Global, id: Uuid) -> Result<(), Exit> {
    let client = connection::client(global);
    let standing = match client.cancel_comparison(id).await {
        Ok(job) => job.standing,
        Err(error) if error.status() == Some(404) => match client.cancel_inspection(id).await {
            Ok(job) => job.standing,
            Err(error) if error.status() == Some(404) => {
                return Err(Exit::failed(anyhow!("there is no job {id}; `flame quality jobs` lists them")));
            }
            Err(error) => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    if global.json {
        return output::print_json(&standing);
    }
    output::print_line(&format!("{id} is {}", standing.state.word()))
}

pub async fn run(global: &Global, args: &Jobs) -> Result<(), Exit> {
    let client = connection::client(global);
    let query = MeasuringQuery { asset_id: args.asset, limit: Some(args.limit), ..MeasuringQuery::default() };
    let (comparisons, inspections) = (client.comparisons(&query).await?, client.inspections(&query).await?);
    let comparisons = comparisons.items.into_iter().map(|job| {
        let media = format!("{} against {}", job.distorted, job.reference);
        Line { kind: "comparison", media, standing: job.standing }
    });
    let inspections = inspections.items.into_iter();
    let inspections =
        inspections.map(|job| Line { kind: "inspection", media: job.media.to_string(), standing: job.standing });
    let mut lines: Vec<_> = comparisons.chain(inspections).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.standing.created_at));
    if global.json {
        return output::print_json(&lines);
    }
    if lines.is_empty() {
        return output::print_line("no jobs");
    }
    let mut table = output::table(&["job", "kind", "media", "state", "done", "gates", "created", "error"]);
    for Line { kind, media, standing } in lines {
        let gates = match standing.passed {
            Some(_) if standing.gates.is_empty() => "none",
            Some(true) => "hold",
            Some(false) => "FAIL",
            None => "",
        };
        table.add_row([
            standing.id.to_string(),
            kind.to_owned(),
            media,
            standing.state.word().to_owned(),
            format!("{:.0} %", standing.progress * 100.0),
            gates.to_owned(),
            output::moment(standing.created_at),
            standing.error.unwrap_or_default(),
        ]);
    }
    output::wrap_only(&mut table, 7);
    output::print_line(&table.trim_fmt())
}
