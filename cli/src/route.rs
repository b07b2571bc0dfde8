//! `flame route`: where requests go, and why.

use std::time::Duration;

use flame_api::router::{Route, RouteState};

use crate::args::{self, Global, RouteCommand};
use crate::connection;
use crate::endpoint;
use crate::exit::Exit;
use crate::output;

pub async fn run(global: &Global, args: args::Route) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        RouteCommand::List => {
            let page = client.routes().await?;
            if global.json { output::print_json(&page) } else { print(&page.items) }
        }
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

fn print(routes: &[Route]) -> Result<(), Exit> {
    let headings =
        ["name", "endpoint", "site", "address", "state", "distance", "latency", "weight", "open", "of", "cost"];
    let mut table = output::table(&headings);
    for one in routes {
        let state = match one.state {
            RouteState::Serving => "serving",
            RouteState::Booted => "booted",
            RouteState::Killed => "killed",
            RouteState::Full => "full",
            RouteState::Draining => "draining",
            RouteState::Resting => "resting",
            RouteState::Hung => "hung",
        };
        table.add_row([
            one.name.clone(),
            one.endpoint.clone(),
            one.site.clone(),
            one.address.to_string(),
            state.to_owned(),
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

fn ms(us: u64) -> String {
    format!("{:.2} ms", Duration::from_micros(us).as_secs_f64() * 1e3)
}
