//! Content conditioning: durable jobs that make a playable version of an asset from its source.
//!
//! A job that was accepted comes to an end, whatever dies meanwhile: it is published whole, or nothing of it is left
//! and the catalogue says why. The service touches no media itself: a `flame-media` child does, and may die of it.
//! It never decides what plays; that is the catalogue's, which it tells by name through the router.
//!
//! Reading order: [`config`], the decisions ([`chains`], [`chunks`], [`gate`], [`plan`], [`reuse`], [`stage`], [`limits`], [`version`]), then [`store`], which
//! keeps the jobs in a queue of [`flame_jobs`], [`transrate`], which makes renditions in the path of requests, [`live`], which makes those of live media, [`encoders`], which looks at
//! this machine, `worker`, which carries them out, and `http`, which speaks.

pub mod chains;
pub mod chunks;
pub mod config;
pub mod encoders;
pub mod gate;
mod http;
pub mod limits;
pub mod live;
mod metrics;
pub mod plan;
pub mod reuse;
pub mod stage;
pub mod store;
pub mod transrate;
pub mod version;
mod worker;

use std::sync::Arc;

pub use config::Config;

use flame_api::Client;
use flame_jobs::changes::Changes;
use flame_jobs::queue::Lane;
use flame_jobs::scratch::Scratch;
use flame_media_child::{Limits, Pool, PoolConfig, find_program, memory};
use flame_service_host::{Host, Routes, Running, StartError};

use config::ChunkConfig;
use encoders::Encoders;
use live::Ladders;
use metrics::{LiveMetrics, Metrics};
use store::Store;
use transrate::Transrater;
use worker::Worker;

/// The service's name, where nothing else is configured.
const NAME: &str = "transcode";
/// Jobs whose remains are removed at once.
const CLOSING_AT_ONCE: usize = 2;

/// Opens the database and the scratch folder, takes back what a dead predecessor held, works and serves.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let mut host = Host::bind(NAME, &config.host).await?;
    let client = host.client().ok_or_else(|| cannot_open("router", "`host.router` is not configured"))?;
    let program = match &config.media_program {
        Some(program) => program.clone(),
        None => find_program().map_err(|error| cannot_open("media program", error))?,
    };
    let scratch = Scratch::open(&config.scratch, "scratch").map_err(|error| cannot_open("scratch folder", error))?;
    let changes = Changes::new(config.watchers_max);
    let store = Store::open(&config, changes.clone()).await.map_err(|error| cannot_open("database", error))?;
    let taken = store.queue().restart(scratch.owner()).await.map_err(|error| cannot_open("database", error))?;
    let chunks = store.restart_chunks(scratch.owner()).await.map_err(|error| cannot_open("database", error))?;
    if taken + chunks > 0 {
        tracing::info!(jobs = taken, chunks, "going on with what was under way when the service ended");
    }

    host.guard_disk(config.scratch.clone());
    let needed = store.clone();
    host.need("database", move || {
        let store = needed.clone();
        Box::pin(async move { store.queue().check().await.map_err(|error| error.to_string()) })
    });
    // All children of this service share the memory that there is.
    let chunking = ChunkConfig { at_once: config.chunks.at_once.max(config.jobs.at_once).max(1), ..config.chunks };
    let children_max =
        config.jobs.at_once.max(1) + chunking.at_once + config.transrate.at_once.max(1) + config.live.at_once;
    let limits = Limits { resident_bytes: memory::share(children_max), ..Limits::default() };
    let pool = PoolConfig::new(program, config.jobs.at_once.max(1)).caching_in(&config.scratch);
    let pool = PoolConfig { limits, ..pool };
    let encoders = Encoders::new(pool.clone());
    let patient = PoolConfig { limits: Limits { nice: Some(config.jobs.nice.min(19)), ..limits }, ..pool.clone() };
    // As a stranger: what anybody may see.
    let viewer = Client::over(host.transport(), client.router().clone(), None);
    // Children of its own: a viewer does not wait for a job.
    let children = PoolConfig { size: config.transrate.at_once.max(1), ..pool.clone() };
    let transrater = Transrater::open(viewer, config.transrate, Pool::new(children), config.scratch.join("derived"));
    let transrater = transrater.map_err(|error| cannot_open("scratch folder", error))?;
    let ladders = Ladders::new(config.live, pool.clone(), LiveMetrics::new(host.metrics()));
    let worker = Arc::new(Worker {
        encoders: encoders.clone(),
        objects: flame_object_store::Store::connect(&config.store),
        metrics: Metrics::new(host.metrics()),
        chunk_pool: Pool::new(PoolConfig { size: chunking.at_once, ..patient.clone() }),
        pool: Pool::new(patient),
        store: store.clone(),
        config: config.jobs,
        chunks: chunking,
        reuses: !config.reuse.keep.0.is_zero() && config.reuse.outputs_max > 0,
        client,
        scratch,
    });
    let at_once = worker.config.at_once.max(1);
    host.spawn("worker", |stop| worker::take(Arc::clone(&worker), Lane::Work, at_once, stop));
    host.spawn("chunks", |stop| worker::take_chunks(Arc::clone(&worker), stop));
    host.spawn("closer", |stop| worker::take(Arc::clone(&worker), Lane::Closing, CLOSING_AT_ONCE, stop));
    host.spawn("queue", |stop| worker::keep_queue(worker, stop));
    host.spawn("watchers", |stop| async move {
        stop.cancelled().await;
        changes.close();
    });
    let makers = ladders.clone();
    host.spawn("ladders", |stop| makers.until(stop));
    Ok(host.serve(Routes { private: http::routes(store, encoders, ladders), public: http::public(transrater) }))
}

fn cannot_open(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    StartError::Open { service: NAME, what, source: source.into() }
}
