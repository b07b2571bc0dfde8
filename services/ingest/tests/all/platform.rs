//! Everything that ingest speaks to, but transcode: a router and a catalogue.

use flame_api::Client;

/// Everything that ingest speaks to, but transcode.
pub struct Platform {
    pub router: flame_service_host::Running,
    pub metadata: flame_service_host::Running,
    pub client: Client,
    _folder: flame_test_kit::Scratch,
}

impl Platform {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut flame_metadata::Config)) -> Self {
        let folder = flame_test_kit::Scratch::new("platform");
        let mut config = flame_router::Config::default();
        config.host.listen = "127.0.0.1:0".parse().unwrap();
        let router = flame_router::start(config).await.unwrap();
        let url: reqwest::Url = format!("http://{}", router.address()).parse().unwrap();
        let mut config =
            flame_metadata::Config { database: folder.join("metadata.db").into(), ..flame_metadata::Config::default() };
        config.host.router = Some(url.clone());
        change(&mut config);
        let metadata = flame_metadata::start(config).await.unwrap();
        Self { router, metadata, client: Client::new(url, None), _folder: folder }
    }

    pub fn url(&self) -> reqwest::Url {
        format!("http://{}", self.router.address()).parse().unwrap()
    }
}
