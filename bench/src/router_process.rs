//! A `flame-router` of its own, and what stands behind it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use flame_api::Client;
use flame_api::router::Registration;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::Url;

use crate::flame::free_port;
use crate::machine;
use crate::peer::Peer;

/// Life of a registration; it is renewed three times in it.
pub(crate) const LEASE_MS: u64 = 60_000;

/// A running router.
#[derive(Debug)]
pub struct Router {
    /// Its process.
    pub peer: Peer,
    client: Client,
    /// Keep endpoints registered.
    leases: Mutex<JoinSet<()>>,
}

// === impl Router ===

impl Router {
    /// Starts one with default settings, its file in `folder`. It logs what goes wrong, and no requests.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::with(&folder.join("router.toml"), "", free_port()?).await
    }

    /// Starts one that stands at `site` of the site file `sites`, at the port that is named there.
    pub async fn start_at(folder: &Path, site: &str, sites: &Path, port: u16) -> Result<Self> {
        let place = format!("site = \"{site}\"\nsites = \"{}\"\n", sites.display());
        Self::with(&folder.join(format!("router-{site}.toml")), &place, port).await
    }

    async fn with(file: &Path, place: &str, port: u16) -> Result<Self> {
        std::fs::write(file, format!("{place}[host]\nlisten = \"127.0.0.1:{port}\"\n"))?;
        let mut command = Command::new(machine::ours("flame-router")?);
        let peer = Peer::start("flame-router", command.arg(file).env("FLAME_LOG", "warn"), port).await?;
        let client = Client::new(Url::parse(&format!("http://127.0.0.1:{port}"))?, None);
        Ok(Self { peer, client, leases: Mutex::default() })
    }

    /// A client of its API.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Puts what listens at `port` of loopback behind `name`, and keeps it there.
    pub async fn register(&self, name: &'static str, endpoint: &'static str, port: u16) -> Result<()> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let registration = Registration::new(address, 1, LEASE_MS);
        let registered = self.client.register(name, endpoint, &registration).await;
        registered.with_context(|| format!("register {endpoint} behind {name}"))?;
        let client = self.client.clone();
        let renewed = async move {
            loop {
                sleep(Duration::from_millis(LEASE_MS / 3)).await;
                // One that fails is made up for by the next.
                let _ = client.register(name, endpoint, &registration).await;
            }
        };
        self.leases.lock().unwrap_or_else(std::sync::PoisonError::into_inner).spawn(renewed);
        Ok(())
    }

    /// Asks it to end, and waits.
    pub async fn stop(self) -> Result<()> {
        self.peer.server.stop().await
    }
}
