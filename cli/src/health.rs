//! `flame health`: whether everything behind a router is ready.

use anyhow::anyhow;
use flame_api::Client;
use reqwest::Method;

use crate::args::Global;
use crate::bundle::FUNCTIONS;
use crate::connection;
use crate::exit::Exit;
use crate::output;

pub async fn run(global: &Global) -> Result<(), Exit> {
    let client = connection::client(global);
    let mut failing = Vec::new();
    for (name, _) in FUNCTIONS {
        if let Err(reason) = ready(&client, name).await {
            failing.push(format!("{name}: {reason}"));
        }
    }
    if failing.is_empty() { output::print_line("ready") } else { Err(Exit::failed(anyhow!(failing.join("; ")))) }
}

/// Whether the service called `name` says that it is ready; if not, why.
pub async fn ready(client: &Client, name: &str) -> Result<(), String> {
    let request = client.request(Method::GET, name, "health/ready").timeout(std::time::Duration::from_secs(3));
    let answer = request.send().await.map_err(|_| "the router does not answer".to_owned())?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(format!("answers {}", answer.status()))
}
