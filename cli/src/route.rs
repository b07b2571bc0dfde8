//! `flame route`: where requests go, and why.

use std::time::Duration;

use flame_api::Client;
use flame_api::router::{Activity, ActivityEvent, Route, RouteState};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::{self, Global, RouteCommand};
use crate::connection;
use crate::endpoint;
use crate::exit::Exit;
use crate::output;

/// How often one who follows asks.
const FOLLOW: Duration = Duration::from_millis(500);

pub async fn run(global: &Global, args: args::Route) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        RouteCommand::List => {
            let page = client.routes().await?;
            if global.json { output::print_json(&page) } else { print(&page.items) }
        }
        RouteCommand::Activity { follow } => activity(global, &client, follow).await,
        RouteCommand::Explain { url, sticky } => {
            let nobody = || Exit::failed(anyhow::anyhow!("nobody stands behind the name in {url}"));
            let explained = client.explain(&url, sticky.as_deref()).await?.ok_or_else(nobody)?;
            if global.json {
                output::print_json(&explained)?;
            } else {
                print(&explained.routes)?;
                let to = match &explained.chosen {
                    Some(it) => format!("{} goes to {} at {} ({})", explained.path, it.endpoint, it.site, it.address),
                    None => format!("{} goes nowhere", explained.path),
                };
                output::print_line(&format!("{to}: {}", explained.reason))?;
            }
            match explained.chosen {
                Some(_) => Ok(()),
                None => Err(Exit::failed(anyhow::anyhow!("{}: {}", explained.name, explained.reason))),
            }
        }
    }
}

/// What happened, and with `follow` what happens; programs get a line an answer.
async fn activity(global: &Global, client: &Client, follow: bool) -> Result<(), Exit> {
    let (mut after, mut is_first) = (0, true);
    loop {
        let told = client.activity(after).await?;
        if global.json {
            if is_first || !told.events.is_empty() {
                output::print_line(&serde_json::to_string(&told).map_err(anyhow::Error::new)?)?;
            }
        } else {
            for event in &told.events {
                output::print_line(&said(event))?;
            }
            if !follow {
                summary(&told).iter().try_for_each(|line| output::print_line(line))?;
            }
        }
        if !follow {
            return Ok(());
        }
        (after, is_first) = (told.last, false);
        tokio::time::sleep(FOLLOW).await;
    }
}

fn said(event: &ActivityEvent) -> String {
    let place = |site: &Option<String>, endpoint: &Option<String>| match (site, endpoint) {
        (Some(site), Some(endpoint)) => format!("{endpoint} at {site}"),
        (Some(site), None) => site.clone(),
        (None, _) => "nobody".to_owned(),
    };
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.at_unix_ms) * 1_000_000).ok();
    let at = at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
    let from = place(&event.from_site, &event.from_endpoint);
    let to = place(&event.to_site, &event.to_endpoint);
    format!("{at}  {:<8} {}: {from} -> {to}: {}", event.kind.as_str(), event.name, event.why)
}

/// The totals, for who may see those of all tenants.
fn summary(told: &Activity) -> Option<String> {
    let totals = told.totals.as_ref()?;
    let counts: Vec<_> = totals.counts.iter().map(|(kind, count)| format!("{} {count}", kind.as_str())).collect();
    let multicast = &totals.multicast;
    Some(format!(
        "since the start: {}; {} answers by multicast to {} routers, {} bytes saved",
        counts.join(", "),
        multicast.answers,
        multicast.members,
        multicast.saved_bytes
    ))
}

fn print(routes: &[Route]) -> Result<(), Exit> {
    let headings =
        ["name", "endpoint", "site", "address", "state", "distance", "latency", "weight", "open", "of", "cost"];
    let mut table = output::table(&headings);
    for one in routes {
        table.add_row([
            one.name.clone(),
            one.endpoint.clone(),
            one.site.clone(),
            one.address.to_string(),
            state(one),
            one.distance_us.map_or_else(|| "unknown".to_owned(), ms),
            one.latency_us.map_or_else(|| "unknown".to_owned(), ms),
            one.weight.to_string(),
            one.open.to_string(),
            endpoint::capacity(one.capacity),
            ms(one.cost_us),
        ]);
    }
    output::print_line(&table.trim_fmt())?;
    for one in routes {
        if let Some(reason) = &one.refused {
            output::print_line(&format!("{} at {} was not believed: {reason}", one.endpoint, one.site))?;
        }
    }
    Ok(())
}

/// What an endpoint gets of requests.
fn state(one: &Route) -> String {
    let state = match one.state {
        RouteState::Serving => "serving",
        RouteState::Booted => "booted",
        RouteState::Killed => "killed",
        RouteState::Full => "full",
        RouteState::Draining => "draining",
        RouteState::Resting => "resting",
        RouteState::Hung => "hung",
    };
    if one.refuses_writes { format!("{state}, no writes") } else { state.to_owned() }
}

fn ms(us: u64) -> String {
    format!("{:.2} ms", Duration::from_micros(us).as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_who_is_full_and_who_gets_nothing_that_changes_something() {
        let one = |kind: &str, refuses_writes: bool| -> Route {
            let json = serde_json::json!({
                "name": "a.main", "endpoint": "e", "site": "s", "address": "127.0.0.1:1", "state": kind,
                "refuses_writes": refuses_writes, "open": 0, "cost_us": 1,
            });
            serde_json::from_value(json).unwrap()
        };
        for (kind, refuses, said) in [
            ("serving", false, "serving"),
            ("serving", true, "serving, no writes"),
            ("full", false, "full"),
            ("resting", true, "resting, no writes"),
        ] {
            assert_eq!(state(&one(kind, refuses)), said);
        }
    }
}
