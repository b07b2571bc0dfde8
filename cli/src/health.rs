//! `flame health`: whether everything behind a router is ready.

use anyhow::anyhow;
use flame_api::Client;
use reqwest::{Method, StatusCode};

use crate::args::Global;
use crate::bundle::FUNCTIONS;
use crate::connection;
use crate::exit::Exit;
use crate::output;

/// Why a service is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Nobody answered, not even a router.
    #[error("the router does not answer")]
    NoRouter(#[source] reqwest::Error),
    /// The service, or the router for it, said no.
    #[error("answers {0}")]
    Answered(StatusCode),
}

pub async fn run(global: &Global) -> Result<(), Exit> {
    let client = connection::client(global);
    let mut failing = Vec::new();
    for (name, _) in FUNCTIONS {
        match ready(&client, name).await {
            Ok(()) => {}
            Err(NotReady::NoRouter(error)) => {
                failing = vec![connection::no_answer(client.router(), &error).to_string()];
                break;
            }
            Err(reason @ NotReady::Answered(_)) => failing.push(format!("{name} {reason}")),
        }
    }
    if global.json {
        output::print_json(&serde_json::json!({ "ready": failing.is_empty(), "failing": failing }))?;
    } else if failing.is_empty() {
        output::print_line("ready")?;
    }
    if failing.is_empty() { Ok(()) } else { Err(Exit::failed(anyhow!(failing.join("; ")))) }
}

/// Whether the service called `name` says that it is ready; if not, why.
pub async fn ready(client: &Client, name: &str) -> Result<(), NotReady> {
    let request = client.request(Method::GET, name, "health/ready").timeout(std::time::Duration::from_secs(3));
    let status = request.send().await.map_err(NotReady::NoRouter)?.status();
    if status.is_success() { Ok(()) } else { Err(NotReady::Answered(status)) }
}
