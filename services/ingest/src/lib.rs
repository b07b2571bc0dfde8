//! Content ingest: the door that content comes through. What it has acknowledged is never lost.
//!
//! Bytes come by tus, by PUT or from a URL, go straight to the object store, and are looked into once they are all
//! there; then metadata and transcode hear of them. It never decodes media itself (children do), never keeps bytes on a
//! disk of its own beside the store, and never serves them back.
//!
//! Reading order: what is said about an upload ([`labels`], [`digest`], [`parts`], [`concat`]), what is known of it ([`record`],
//! [`store`]), where its bytes lie ([`depot`]), how they come in ([`intake`], [`receive`], [`filling`], [`memory`], [`writers`], [`pull`], [`join`], [`ticket`]), what
//! happens then ([`processing`], [`crew`], [`sweep`], [`holdings`], [`scrub`]), what belongs to an asset besides ([`subtitles`]), how unfinished uploads leave for another store ([`moving`]), and `http`, which speaks. Live media has doors of its own ([`rtmp`], [`srt`], [`whip`], [`push`]; [`sources`] fetches it) and a way of
//! its own ([`live`]): it passes through to streaming, and nothing of it is kept here.

pub mod concat;
pub mod config;
pub mod crew;
pub mod depot;
pub mod digest;
pub mod filling;
pub mod holdings;
mod http;
pub mod intake;
pub mod join;
pub mod labels;
pub mod live;
pub mod memory;
pub mod moving;
#[doc(hidden)]
pub mod parsers;
pub mod parts;
pub mod processing;
pub mod pull;
pub mod push;
pub mod receive;
pub mod record;
pub mod retry;
pub mod rtmp;
pub mod scrub;
pub mod sources;
pub mod srt;
pub mod store;
pub mod subtitles;
pub mod sweep;
pub mod ticket;
pub mod whip;
pub mod writers;

pub use config::Config;

use std::net::SocketAddr;
use std::sync::Arc;

use flame_api::ingest::LiveDoors;
use flame_object_store::{EmbeddedServer, RunningStore, SecretKey, Store, StoreConfig};
use flame_service_host::{Host, StartError};
use tokio_util::sync::CancellationToken;

use config::StoreChoice;
use depot::Depot;
use intake::Intake;
use join::Joiner;
use live::figures::Figures;
use live::publisher::Reach;
use processing::Processor;
use processing::media::Media;
use pull::Puller;
use pull::fetch::Fetcher;
use push::Pushes;
use rtmp::Door;
use scrub::Scrubber;
use sources::Sources;
use store::Uploads;
use subtitles::Subtitles;

/// The service's name, where nothing else is configured.
const NAME: &str = "ingest";

/// The service, and the object store if it runs one.
#[derive(Debug)]
pub struct Running {
    host: flame_service_host::Running,
    uploads: Uploads,
    store: StoreConfig,
    embedded: Option<RunningStore>,
    rtmp: Option<SocketAddr>,
    srt: Option<SocketAddr>,
    whip: Option<SocketAddr>,
}

/// Opens database and object store, and serves.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let open = |what| move |source| StartError::Open { service: NAME, what, source };
    config.check().map_err(|error| open("configuration")(error.into()))?;
    let scratch = config.data.join("scratch");
    // Empty: a service that was killed may have left something there.
    std::fs::remove_dir_all(&scratch).or_else(absent_is_fine).map_err(|error| open("data folder")(error.into()))?;
    std::fs::create_dir_all(&scratch).map_err(|error| open("data folder")(error.into()))?;
    let mut host = Host::bind(NAME, &config.host).await?;
    let figures = Figures::new(host.metrics());
    let reach = || host.client().map(|client| Reach { client, ladder: config.ladder });
    let door = match &config.rtmp {
        Some(rtmp) => Some(Door::open(rtmp, reach(), figures.clone()).await?),
        None => None,
    };
    let srt_door = match &config.srt {
        Some(srt) => Some(srt::Door::open(srt, reach(), figures.clone()).await?),
        None => None,
    };
    let whip_door = match &config.whip {
        Some(whip) => Some(whip::Door::open(whip, reach(), figures.clone()).await?),
        None => None,
    };
    let sources = match (&config.sources, reach()) {
        (Some(sources), Some(reach)) => {
            let fetcher = Fetcher::new(config.pulls, config.limits.idle.0);
            Some(Sources::new(*sources, reach, fetcher, figures.clone()))
        }
        (None, _) | (_, None) => None,
    };
    let pushes = config.push.map(|push| Pushes::new(push, reach(), figures));
    let rtmp = door.as_ref().map(Door::address);
    let srt = srt_door.as_ref().map(srt::Door::address);
    let whip = whip_door.as_ref().map(whip::Door::address);
    let uploads = Uploads::open(&config.data.join("ingest.sqlite"), config.quotas.clone())
        .await
        .map_err(|error| open("database")(error.into()))?;
    let (store_config, embedded) = open_store(&config.store).await.map_err(open("object store"))?;
    let store = match &embedded {
        Some(running) => Store::connect_inside(running, &store_config),
        None => Store::connect(&store_config),
    };
    if embedded.is_some() {
        store.ensure_bucket().await.map_err(|error| open("object store")(error.into()))?;
    }
    let program = match &config.media_program {
        Some(program) => program.clone(),
        None => flame_media_child::find_program().map_err(|error| open("media program")(error.into()))?,
    };

    host.guard_disk(match &config.store {
        StoreChoice::Embedded(embedded) => embedded.root.clone(),
        StoreChoice::External(_) => config.data.clone(),
    });
    let needed = uploads.clone();
    host.need("database", move || {
        let uploads = needed.clone();
        Box::pin(async move { uploads.check().await.map_err(|error| error.to_string()) })
    });
    let needed = store.clone();
    host.need("object store", move || {
        let store = needed.clone();
        // A list of nothing: unlike the look at an object, it says when there is no bucket.
        Box::pin(async move { store.list("ready", None).await.map(drop).map_err(|error| error.to_string()) })
    });

    let forget_at = time::OffsetDateTime::now_utc() + config.limits.expiry.0;
    uploads.remember_failed_until(forget_at).await.map_err(|error| open("database")(error.into()))?;
    let ended = uploads.end_cut_puts().await.map_err(|error| open("database")(error.into()))?;
    if ended > 0 {
        tracing::info!(ended, "uploads by PUT were cut off by the last stop and are given up");
    }
    let scrubber = Scrubber::new(uploads.clone(), store.clone(), embedded.is_some(), config.scrub);
    let subtitles = Subtitles::new(store.clone(), host.client(), &config.limits);
    let intake =
        Intake::new(uploads.clone(), Depot::new(store, embedded.is_some()), config.limits, CancellationToken::new());
    let media = Media::new(&program, config.limits.max_processing, &scratch, config.limits.media_timeout.0);
    let processor =
        Processor { intake: intake.clone(), media: Arc::new(media), client: host.client(), scratch: scratch.clone() };
    let puller = Puller::new(intake.clone(), config.pulls);
    host.spawn("processing", |stop| processor.run(stop));
    host.spawn("pulls", |stop| puller.run(stop));
    let joiner = Joiner::new(intake.clone());
    host.spawn("joins", |stop| joiner.run(stop));
    host.spawn("scrub", |stop| scrubber.clone().run(stop));
    host.spawn("sweeper", |stop| sweep::run(intake.clone(), stop));
    host.spawn("bodies", |stop| drain(intake.clone(), stop));
    if let Some(door) = door {
        host.spawn("rtmp", |stop| door.run(stop));
    }
    if let Some(door) = srt_door {
        host.spawn("srt", |stop| door.run(stop));
    }
    if let Some(door) = whip_door.clone() {
        host.spawn("whip", |stop| door.run(stop));
    }
    if let Some(pushes) = pushes.clone() {
        host.spawn("pushes", |stop| pushes.run(stop));
    }
    if let Some(sources) = sources {
        host.spawn("sources", |stop| sources.run(stop));
    }
    let shown = |address: SocketAddr| address.to_string();
    let doors = LiveDoors {
        rtmp: rtmp.map(shown),
        srt: srt.map(shown),
        srt_encrypted: config.srt.as_ref().is_some_and(|srt| srt.passphrase.is_some()),
        push: pushes.is_some(),
        whip: whip.is_some(),
    };
    host.allow_pages(http::pages(config.allowed_origins));
    let running = host.serve(http::routes(intake, config.pulls, (subtitles, scrubber), (pushes, whip_door, doors)));
    Ok(Running { host: running, uploads, store: store_config, embedded, rtmp, srt, whip })
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Lets the bodies on their way be stored when the service stops.
async fn drain(intake: Intake, stop: CancellationToken) {
    stop.cancelled().await;
    intake.stop.cancel();
    intake.tasks.close();
    intake.tasks.wait().await;
}

async fn open_store(
    choice: &StoreChoice,
) -> Result<(StoreConfig, Option<RunningStore>), Box<dyn std::error::Error + Send + Sync>> {
    match choice {
        StoreChoice::External(external) => Ok((external.to_client(), None)),
        StoreChoice::Embedded(embedded) => {
            let running = EmbeddedServer::start(embedded.to_server()).await?;
            let config = StoreConfig {
                endpoint: running.endpoint(),
                region: config::region(),
                bucket: embedded.bucket.clone(),
                access_key: embedded.access_key.clone(),
                secret_key: SecretKey::new(embedded.secret_key.clone()),
            };
            Ok((config, Some(running)))
        }
    }
}

// === impl Running ===

impl Running {
    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }

    /// The object store, for the other services: where it is and how to enter it.
    #[must_use]
    pub fn store(&self) -> &StoreConfig {
        &self.store
    }

    /// The address of the embedded object store, if this service runs one.
    #[must_use]
    pub fn store_address(&self) -> Option<SocketAddr> {
        self.embedded.as_ref().map(RunningStore::address)
    }

    /// Where encoders publish by RTMP, if this service has that door.
    #[must_use]
    pub fn rtmp_address(&self) -> Option<SocketAddr> {
        self.rtmp
    }

    /// Where encoders publish by SRT, if this service has that door.
    #[must_use]
    pub fn srt_address(&self) -> Option<SocketAddr> {
        self.srt
    }

    /// Where media of WHIP sessions comes in, by UDP, if that is open.
    #[must_use]
    pub fn whip_address(&self) -> Option<SocketAddr> {
        self.whip
    }

    /// Reads keys and revocations again (SIGHUP).
    pub fn reload(&self) {
        self.host.reload();
    }

    /// Stops: bodies on their way are stored as far as they came, then the object store ends. Services that use it
    /// should have stopped before.
    pub async fn stop(self) {
        self.host.stop().await;
        close(self.uploads, self.embedded).await;
    }

    /// Serves until SIGINT or SIGTERM, then stops; reloads on SIGHUP. For `main`.
    pub async fn until_signal(self) -> std::io::Result<()> {
        let ended = self.host.until_signal().await;
        close(self.uploads, self.embedded).await;
        ended
    }
}

async fn close(uploads: Uploads, embedded: Option<RunningStore>) {
    uploads.close().await;
    if let Some(store) = embedded {
        store.stop().await;
    }
}
