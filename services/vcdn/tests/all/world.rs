//! A surrogate between a router and an origin.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flame_api::Client;
use flame_api::router::Registration;
use flame_api::vcdn::{Figures, Stats};
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use flame_vcdn::Config;
use flame_vcdn::config::FrontConfig;
use reqwest::Response;
use url::Url;

use crate::origin::Origin;

/// More than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Everything, running.
pub struct World {
    pub origin: Origin,
    pub router: flame_service_host::Running,
    pub vcdn: flame_vcdn::Running,
    pub http: reqwest::Client,
    pub config: Config,
}

// === impl World ===

impl World {
    /// In memory only.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With a folder.
    pub async fn on(folder: &Path) -> Self {
        Self::with(|config| config.cache.folder = Some(folder.to_owned())).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let host = HostConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..HostConfig::default() };
        let config = flame_router::Config { host, ..flame_router::Config::default() };
        let router = flame_router::start(config).await.unwrap();
        let origin = Origin::start().await;
        let url = Url::parse(&format!("http://{}", router.address())).unwrap();
        let registration = Registration::new(origin.address, 1, 60_000);
        Client::new(url.clone(), None).register("origin", "one", &registration).await.unwrap();
        let mut config = Config {
            host: HostConfig { router: Some(url), drain: Span(Duration::from_secs(2)), ..HostConfig::default() },
            fronts: vec![FrontConfig::new("cdn", "origin")],
            ..Config::default()
        };
        // The router of a test has always just started; those that are about this say otherwise.
        config.cache.alone_after = Span(Duration::ZERO);
        change(&mut config);
        let vcdn = flame_vcdn::start(config.clone()).await.unwrap();
        let http = reqwest::Client::new();
        Self { origin, router, vcdn, http, config }
    }

    /// Stops the surrogate and starts it again with the same configuration.
    pub async fn restart(mut self) -> Self {
        self.vcdn.stop().await;
        self.vcdn = flame_vcdn::start(self.config.clone()).await.unwrap();
        self
    }

    /// Where `cdn` listens.
    pub fn edge(&self) -> SocketAddr {
        self.vcdn.fronts()["cdn.main"]
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.edge())
    }

    pub fn api(&self, path: &str) -> String {
        format!("http://{}{path}", self.vcdn.address())
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    pub async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request =
            fields.iter().fold(self.http.get(self.url(path)), |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }

    pub async fn stats(&self) -> Stats {
        self.http.get(self.api("/stats")).send().await.unwrap().json().await.unwrap()
    }

    pub async fn figures(&self) -> Figures {
        self.stats().await.total
    }

    /// Waits until nothing is being fetched.
    pub async fn settled(&self) {
        eventually(PATIENCE, || async {
            let fills: u64 = self.stats().await.kept.iter().map(|kept| kept.fills).sum();
            if fills == 0 { Ok(()) } else { Err(format!("{fills} fills run")) }
        })
        .await;
    }
}

/// What `Cache-Status` says, without the surrogate's name.
pub fn cache_status(response: &Response) -> String {
    let value = response.headers().get_all("cache-status").iter().next_back().unwrap().to_str().unwrap();
    value.split_once("; ").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// `length` bytes that are different everywhere.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 251) % 251).unwrap()).collect()
}
