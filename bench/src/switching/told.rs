//! A change at one site's router, and how soon another site's router serves by it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flame_api::router::Registration;

use super::endpoint::Endpoint;
use crate::flame::free_port;
use crate::router_process::{LEASE_MS, Router};
use crate::samples::Samples;

/// Registrations in one run.
const CHANGES: u32 = 50;
/// Far more than one takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// From the call of a registration at one site until a request at the other was served by it, milliseconds each.
pub(super) async fn measure(folder: &Path) -> Result<Samples> {
    let ports = [free_port()?, free_port()?];
    let sites = folder.join("sites.toml");
    std::fs::write(&sites, site_file(ports))?;
    let cloud = Router::start_at(folder, "cloud", &sites, ports[0]).await?;
    let edge = Router::start_at(folder, "edge", &sites, ports[1]).await?;
    let endpoint = Endpoint::start("a").await?;
    let address = ([127, 0, 0, 1], endpoint.port).into();
    let http = reqwest::Client::builder().no_proxy().build().context("make a client")?;
    let mut took_ms = Samples::default();
    for number in 0..=CHANGES {
        let name = format!("f{number}");
        let url = format!("http://127.0.0.1:{}/~{name}/1", ports[1]);
        let began = Instant::now();
        cloud.client().register(&name, "a", &Registration::new(address, 1, LEASE_MS)).await?;
        while http.get(&url).send().await?.status() != reqwest::StatusCode::OK {
            ensure!(began.elapsed() < PATIENCE, "the router at the edge never heard of {name}");
        }
        // With the first one the routers may still be getting to know each other.
        if number > 0 {
            took_ms.add(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    cloud.stop().await?;
    edge.stop().await?;
    Ok(took_ms)
}

fn site_file(ports: [u16; 2]) -> String {
    let site = |name: &str, port: u16| format!("[[sites]]\nname = \"{name}\"\nrouter = \"127.0.0.1:{port}\"\n\n");
    let link = "[[links]]\nbetween = [\"cloud\", \"edge\"]\nlatency_ms = 1\nbandwidth_mbps = 1000\n";
    format!("version = 1\n\n{}{}{link}", site("cloud", ports[0]), site("edge", ports[1]))
}
