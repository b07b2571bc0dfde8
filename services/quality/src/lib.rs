//! Quality analysis: durable jobs that compare media with their reference, or look for what is wrong with them without one.
//!
//! A job that was accepted comes to an end, whatever dies meanwhile, and what it found stays until newer jobs push it out. The
//! service touches no media itself: a `flame-media` child does, and may die of it. It opens what the services hold and nothing
//! else, and it never says of what it could not measure that it is well.
//!
//! Reading order: [`config`], the decisions ([`limits`], [`media`], [`verdict`], [`score`]), then [`store`], which keeps the jobs in a queue of
//! [`flame_jobs`], [`results`], which keeps their files, `worker`, which carries them out, and `http`, which speaks.

pub mod config;
mod http;
pub mod limits;
pub mod media;
mod metrics;
pub mod results;
pub mod score;
pub mod store;
pub mod verdict;
mod worker;

use std::sync::Arc;

pub use config::Config;

use flame_jobs::changes::Changes;
use flame_jobs::scratch::Scratch;
use flame_media_child::{Limits, Pool, PoolConfig, find_program};
use flame_service_host::{Host, Routes, Running, StartError};
use utoipa_axum::router::OpenApiRouter;

use metrics::Metrics;
use results::Results;
use store::Store;
use worker::Worker;

/// The service's name, where nothing else is configured.
const NAME: &str = "quality";

/// Opens the database and the folder, takes back what a dead predecessor held, works and serves.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let mut host = Host::bind(NAME, &config.host).await?;
    let client = host.client().ok_or_else(|| cannot_open("router", "`host.router` is not configured"))?;
    let program = match &config.media_program {
        Some(program) => program.clone(),
        None => find_program().map_err(|error| cannot_open("media program", error))?,
    };
    let scratch = Scratch::open(&config.folder, "folder").map_err(|error| cannot_open("folder", error))?;
    let changes = Changes::new(config.watchers_max);
    let store = Store::open(&config, changes.clone()).await.map_err(|error| cannot_open("database", error))?;
    let taken = store.queue().restart(scratch.owner()).await.map_err(|error| cannot_open("database", error))?;
    if taken > 0 {
        tracing::info!(jobs = taken, "going on with what was under way when the service ended");
    }
    let results = Results::open(&config.folder).map_err(|error| cannot_open("folder", error))?;
    let kept = store.all_seqs().await.map_err(|error| cannot_open("database", error))?;
    results.sweep(&kept).map_err(|error| cannot_open("folder", error))?;

    host.guard_disk(config.folder.clone());
    let needed = store.clone();
    host.need("database", move || {
        let store = needed.clone();
        Box::pin(async move { store.queue().check().await.map_err(|error| error.to_string()) })
    });
    let bounds = limits::Bounds { frames_max: config.jobs.frames_max, names: config.media.names };
    let patient = PoolConfig::new(program, config.jobs.at_once.max(1)).caching_in(&config.folder);
    let limits = Limits { nice: Some(config.jobs.nice.min(19)), ..patient.limits };
    let patient = PoolConfig { limits, ..patient };
    let worker = Arc::new(Worker {
        objects: flame_object_store::Store::connect(&config.store),
        metrics: Metrics::new(host.metrics()),
        pool: Pool::new(patient),
        store: store.clone(),
        results: results.clone(),
        config: config.jobs,
        client,
        scratch,
    });
    host.spawn("worker", |stop| worker::take(Arc::clone(&worker), stop));
    let telling = Arc::clone(&worker);
    host.spawn("catalogue", |stop| async move { worker::tell::run(&telling, stop).await });
    host.spawn("queue", |stop| worker::keep_queue(worker, stop));
    host.spawn("watchers", |stop| async move {
        stop.cancelled().await;
        changes.close();
    });
    Ok(host.serve(Routes { private: http::routes(store, results, bounds), public: OpenApiRouter::new() }))
}

fn cannot_open(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    StartError::Open { service: NAME, what, source: source.into() }
}
