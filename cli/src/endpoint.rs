//! `flame endpoint`: who is registered behind which name, and who gets requests.

use std::time::Duration;

use flame_api::router::{Endpoint, EndpointState, Presence};

use crate::args::{self, EndpointCommand, Global, Which};
use crate::connection;
use crate::exit::Exit;
use crate::output;

/// Longer than any lease.
const LEASES_END_WITHIN: Duration = Duration::from_secs(365 * 24 * 3600);

pub async fn run(global: &Global, args: args::Endpoint) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        EndpointCommand::List => {
            let page = client.endpoints().await?;
            if global.json {
                return output::print_json(&page);
            }
            let headings =
                ["name", "endpoint", "site", "address", "state", "weight", "capacity", "generation", "lease ends in"];
            let mut table = output::table(&headings);
            for one in page.items {
                let lease = lease(&one);
                table.add_row([
                    one.name,
                    one.endpoint,
                    one.site,
                    one.address.to_string(),
                    state(one.state).to_owned(),
                    one.weight.to_string(),
                    capacity(one.capacity),
                    one.generation.to_string(),
                    lease,
                ]);
            }
            output::print_line(&table.trim_fmt())
        }
        EndpointCommand::Drain(which) => done(&which, client.drain(&which.name, &which.endpoint).await?, "drains"),
        EndpointCommand::Connect(which) => {
            done(&which, client.connect(&which.name, &which.endpoint).await?, "gets requests")
        }
        EndpointCommand::Kill(which) => done(&which, client.kill(&which.name, &which.endpoint).await?, "is cut off"),
    }
}

/// When its lease ends. One that is written down has none, and one of another site has its own router's.
fn lease(one: &Endpoint) -> String {
    let left = Duration::from_millis(one.expires_in_ms);
    match one.presence {
        Some(Presence::Unknown) => "static, not heard yet".to_owned(),
        Some(Presence::Answers) => "static, answers".to_owned(),
        Some(Presence::Silent) => "static, silent".to_owned(),
        None if left > LEASES_END_WITHIN => "its router knows".to_owned(),
        None => format!("{:.1} s", left.as_secs_f64()),
    }
}

pub fn capacity(capacity: Option<u32>) -> String {
    capacity.map_or_else(|| "any".to_owned(), |capacity| capacity.to_string())
}

fn state(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Booted => "booted",
        EndpointState::Connected => "connected",
        EndpointState::Draining => "draining",
        EndpointState::Killed => "killed",
    }
}

fn done(Which { name, endpoint }: &Which, is_there: bool, what: &str) -> Result<(), Exit> {
    if is_there {
        output::print_line(&format!("{endpoint} behind {name} {what}"))
    } else {
        Err(Exit::failed(anyhow::anyhow!(
            "no endpoint {endpoint} behind {name} at this router's site; `flame endpoint list` shows all"
        )))
    }
}
