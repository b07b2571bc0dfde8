//! `flame clmc`: questions about measurements, measurements as CSV, alerts, and the graph with its round-trip times.

use anyhow::Context;
use flame_api::clmc::{Answers, NodeKind, Question, RoundTripQuery, Table};
use flame_api::{Client, ClientError};
use serde_json::Value;

use crate::args::{self, AlertsCommand, ClmcCommand, Global};
use crate::connection;
use crate::exit::Exit;
use crate::output;

pub async fn run(global: &Global, args: args::Clmc) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        ClmcCommand::Query { question, db } => {
            let answers = client.ask(&Question { q: question, db, epoch: None }).await?;
            if global.json {
                output::print_json(&answers)?;
                return errors(&answers);
            }
            for table in answers.results.iter().flat_map(|answer| &answer.series) {
                print(table)?;
            }
            errors(&answers)
        }
        ClmcCommand::Export { measurements, since, tags, db } => {
            let names = measurements.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
            let from = if names.is_empty() { "/.*/" } else { &names };
            let mut question = format!("SELECT * FROM {from} WHERE time > now() - {}ms", since.0.as_millis());
            for (name, value) in &tags {
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                question.push_str(&format!(" AND {} = '{value}'", quoted(name)));
            }
            let answers = client.ask(&Question { q: question, db, epoch: None }).await?;
            if global.json {
                output::print_json(&answers)?;
                return errors(&answers);
            }
            csv(&answers)?;
            errors(&answers)
        }
        ClmcCommand::Graph { db } => graph(global, &client, &db).await,
        ClmcCommand::Rtt { from, to, db } => round_trips(global, &client, &RoundTripQuery { db, from, to }).await,
        ClmcCommand::Alerts { command } => alerts(global, &client, command).await,
    }
}

async fn graph(global: &Global, client: &Client, db: &str) -> Result<(), Exit> {
    let network = client.network(db).await?;
    if global.json {
        return output::print_json(&network);
    }
    let mut places = output::table(&["place", "kind"]);
    for node in &network.nodes {
        let kind = match node.kind {
            NodeKind::Site => "site",
            NodeKind::UserEquipment => "user equipment",
            NodeKind::Location => "location of endpoints",
        };
        places.add_row([node.name.as_str(), kind]);
    }
    output::print_line(&format!("{}\n", places.trim_fmt()))?;
    let mut links = output::table(&["from", "to", "latency_ms", "bandwidth_mbps", "measured"]);
    for link in &network.links {
        links.add_row([
            link.source.clone(),
            link.target.clone(),
            format!("{:.3}", link.latency_ms),
            link.bandwidth_mbps.map_or_else(String::new, |mbps| mbps.to_string()),
            if link.is_measured { "yes" } else { "no" }.to_owned(),
        ]);
    }
    output::print_line(&links.trim_fmt())
}

async fn round_trips(global: &Global, client: &Client, query: &RoundTripQuery) -> Result<(), Exit> {
    let page = client.round_trips(query).await?;
    if global.json {
        return output::print_json(&page);
    }
    let columns = ["from", "service", "endpoint", "location", "forward_ms", "response_ms", "back_ms", "round_trip_ms"];
    let mut table = output::table(&columns);
    for trip in page.items {
        let times = [trip.forward_ms, trip.response_ms, trip.back_ms, trip.round_trip_ms];
        let endpoint = trip.tags.get("flame_sfe").cloned().unwrap_or_default();
        let names = [trip.source, trip.service, endpoint, trip.location];
        table.add_row(names.into_iter().chain(times.map(|ms| format!("{ms:.3}"))));
    }
    output::print_line(&table.trim_fmt())
}

async fn alerts(global: &Global, client: &Client, command: AlertsCommand) -> Result<(), Exit> {
    match command {
        AlertsCommand::Put { file } => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()));
            let put = client.put_alerts(text.map_err(Exit::usage)?).await;
            let put = put.map_err(|error| match &error {
                // A document that is wrong is the caller's, with the place in it.
                ClientError::Refused { problem, .. } if problem.status == 422 => {
                    Exit::usage(anyhow::anyhow!("{}: {}", file.display(), problem.detail))
                }
                _ => error.into(),
            })?;
            if global.json {
                return output::print_json(&put);
            }
            output::print_line(&format!("{} triggers of {}/{} are looked at", put.triggers.len(), put.sfc, put.sfci))
        }
        AlertsCommand::List => {
            let page = client.alerts().await?;
            if global.json {
                return output::print_json(&page);
            }
            let mut table =
                output::table(&["sfc", "sfci", "policy", "trigger", "level", "value", "threshold", "description"]);
            for one in page.items {
                for trigger in one.triggers {
                    table.add_row([
                        one.sfc.clone(),
                        one.sfci.clone(),
                        trigger.policy,
                        trigger.trigger,
                        trigger.level,
                        trigger.value.map_or_else(String::new, |value| value.to_string()),
                        trigger.threshold.to_string(),
                        trigger.description,
                    ]);
                }
            }
            output::print_line(&table.trim_fmt())
        }
        AlertsCommand::Rm { sfc, sfci } => {
            if client.remove_alerts(&sfc, &sfci).await? {
                return output::print_line(&format!("the alerts of {sfc}/{sfci} are gone"));
            }
            Err(Exit::failed(anyhow::anyhow!(
                "there are no alerts of {sfc}/{sfci}; `flame clmc alerts list` shows all"
            )))
        }
    }
}

/// A name within a question.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A statement without an answer is something that failed, also where others have one.
fn errors(answers: &Answers) -> Result<(), Exit> {
    match answers.results.iter().find_map(|answer| answer.error.as_ref()) {
        Some(error) => Err(Exit::failed(anyhow::anyhow!("{error}"))),
        None => Ok(()),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print(table: &Table) -> Result<(), Exit> {
    let tags: Vec<_> = table.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let title = [table.name.clone(), tags.join(" ")].join(" ");
    if !title.trim().is_empty() {
        output::print_line(title.trim())?;
    }
    let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    let mut shown = output::table(&columns);
    for row in &table.values {
        shown.add_row(row.iter().map(text));
    }
    output::print_line(&format!("{}\n", shown.trim_fmt()))
}

/// One CSV: each measurement has a head of its own, for each has columns of its own.
fn csv(answers: &Answers) -> Result<(), Exit> {
    let mut bytes = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for table in answers.results.iter().flat_map(|answer| &answer.series) {
        let head = std::iter::once("measurement").chain(table.columns.iter().map(String::as_str));
        bytes.write_record(head).map_err(anyhow::Error::new)?;
        for row in &table.values {
            let record = std::iter::once(table.name.clone()).chain(row.iter().map(text));
            bytes.write_record(record).map_err(anyhow::Error::new)?;
        }
    }
    let bytes = bytes.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?;
    output::print_line(String::from_utf8_lossy(&bytes).trim_end())
}
