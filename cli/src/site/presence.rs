//! What stands at a point of presence beside the data centre: its router, and a surrogate of what the data centre serves. Both as if
//! they were alone on a machine of their own; they keep nothing on disk.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use flame_api::Client;
use flame_naming::Label;
use flame_service_host::Running;
use flame_service_host::config::Bytes;
use flame_vcdn::config::{CacheConfig, FrontConfig};

/// What the surrogate keeps, in memory: several run on one machine.
const MEMORY: Bytes = Bytes(64 << 20);
/// What has to be found at a point of presence before it is ready: its own surrogate, and something of the data centre.
const NEEDED: [&str; 2] = ["vcdn", "streaming"];
/// How often is looked.
const POLL: Duration = Duration::from_millis(20);

/// A point of presence, running.
#[derive(Debug)]
pub struct Presence {
    site: Label,
    router: Running,
    surrogate: flame_vcdn::Running,
    client: Client,
}

// === impl Presence ===

impl Presence {
    /// Starts a router, then a surrogate that finds everybody through it. `client` asks that router.
    pub async fn start(
        site: &Label,
        router: flame_router::Config,
        surrogate: flame_service_host::HostConfig,
        fronts: Vec<FrontConfig>,
        client: Client,
    ) -> anyhow::Result<Self> {
        let router = flame_router::start(router).await?;
        let cache = CacheConfig { memory: MEMORY, ..CacheConfig::default() };
        let config = flame_vcdn::Config { host: surrogate, fronts, cache, ..flame_vcdn::Config::default() };
        let surrogate = flame_vcdn::start(config).await?;
        Ok(Self { site: site.clone(), router, surrogate, client })
    }

    /// Its name.
    pub fn site(&self) -> &Label {
        &self.site
    }

    /// Where its router listens.
    pub fn router(&self) -> SocketAddr {
        self.router.address()
    }

    /// Waits until its surrogate is ready, and the data centre is found from here.
    pub async fn ready(&self, until: tokio::time::Instant) -> anyhow::Result<()> {
        for name in NEEDED {
            while let Err(reason) = crate::health::ready(&self.client, name).await {
                if tokio::time::Instant::now() > until {
                    bail!("{name} is not reached from {}: {reason}", self.site);
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Reads keys and revocations again.
    pub fn reload(&self) {
        self.router.reload();
        self.surrogate.reload();
    }

    /// Stops it: the surrogate first, which asks through the router.
    pub async fn stop(self) {
        self.surrogate.stop().await;
        self.router.stop().await;
    }
}

/// The client of a router that listens at `address`.
pub fn client(address: SocketAddr, token: Option<String>) -> anyhow::Result<Client> {
    let url = url::Url::parse(&format!("http://{address}")).context("the address of a router makes a URL")?;
    Ok(Client::new(url, token))
}
