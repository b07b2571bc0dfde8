//! Ingest with everything that live media passes through: a router, the catalogue, and streaming, each as it is.

use std::process::Child;
use std::time::Duration;

use flame_api::Client;
use flame_api::live::{Channel, LiveLadder, NewChannel, PART_MS, SEGMENT_MS, Source, WINDOW_S};
use flame_ingest::config::Config;
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use flame_test_kit::{Scratch, eventually};
use reqwest::{Method, Url};
use uuid::Uuid;

use crate::world::{PATIENCE, World, without_media};

/// A program of others; it ends with its value.
pub struct Encoder(pub Child);

impl Drop for Encoder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Stage {
    pub world: World,
    pub client: Client,
    pub streaming: Option<flame_service_host::Running>,
    streaming_config: flame_streaming::Config,
    _router: flame_service_host::Running,
    _metadata: flame_service_host::Running,
    _scratch: Scratch,
}

impl Stage {
    /// All of it, and ingest with what `change` says.
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let scratch = Scratch::new("stage");
        let loopback = "127.0.0.1:0".parse().unwrap();
        let mut config = flame_router::Config::default();
        config.host.listen = loopback;
        let router = flame_router::start(config).await.unwrap();
        let url: Url = format!("http://{}", router.address()).parse().unwrap();
        let mut config = flame_metadata::Config {
            database: scratch.join("metadata.db").into(),
            ..flame_metadata::Config::default()
        };
        config.host.router = Some(url.clone());
        config.host.min_free_disk_percent = 0.0;
        let metadata = flame_metadata::start(config).await.unwrap();
        let world = World::start_with(|config| {
            without_media(config);
            config.host.router = Some(url.clone());
            change(config);
        })
        .await;
        let host = HostConfig {
            listen: loopback,
            router: Some(url.clone()),
            drain: Span(Duration::from_millis(100)),
            min_free_disk_percent: 0.0,
            ..HostConfig::default()
        };
        let streaming_config = flame_streaming::Config::new(host, world.store_config());
        let streaming = flame_streaming::start(streaming_config.clone()).await.unwrap();
        let client = Client::new(url, None);
        Self {
            world,
            client,
            streaming: Some(streaming),
            streaming_config,
            _router: router,
            _metadata: metadata,
            _scratch: scratch,
        }
    }

    pub async fn stop_streaming(&mut self) {
        self.streaming.take().expect("it runs").stop().await;
    }

    /// Says what streaming is told at its next start.
    pub fn change_streaming(&mut self, change: impl FnOnce(&mut flame_streaming::Config)) {
        change(&mut self.streaming_config);
    }

    pub async fn start_streaming(&mut self) {
        self.streaming = Some(flame_streaming::start(self.streaming_config.clone()).await.unwrap());
    }

    /// A channel, with its key.
    pub async fn channel(&self) -> Channel {
        self.channel_from(None).await
    }

    /// The same of one that has a source.
    pub async fn channel_from(&self, source: Option<Source>) -> Channel {
        self.channel_of(source, None).await
    }

    /// The same of one that may have a ladder.
    pub async fn channel_of(&self, source: Option<Source>, ladder: Option<LiveLadder>) -> Channel {
        let new = NewChannel {
            id: Uuid::now_v7(),
            title: "Stage".to_owned(),
            segment_ms: SEGMENT_MS,
            part_ms: PART_MS,
            window_s: WINDOW_S,
            keep_s: None,
            source,
            ladder,
            encryption: None,
        };
        eventually(PATIENCE, || self.client.create_channel(&new)).await
    }

    pub async fn metrics(&self) -> String {
        self.world.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap()
    }

    /// The multivariant playlist, or why there is none yet.
    pub async fn multivariant(&self, channel: Uuid) -> Result<String, String> {
        get(self.client.url("streaming", &format!("{channel}/index.m3u8"))).await
    }

    /// The playlist of the first pictures, or why there is none yet.
    pub async fn pictures(&self, channel: Uuid) -> Result<String, String> {
        let text = self.multivariant(channel).await?;
        let variant = text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).ok_or("no variant")?;
        let multivariant = self.client.url("streaming", &format!("{channel}/index.m3u8"));
        get(multivariant.join(variant).map_err(|error| error.to_string())?).await
    }
}

async fn get(url: Url) -> Result<String, String> {
    let answer = reqwest::get(url.clone()).await.map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if status == 200 { Ok(text) } else { Err(format!("{url}: {status} {text}")) }
}
