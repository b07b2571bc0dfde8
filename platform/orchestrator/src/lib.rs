//! The orchestrator, with FLAME's endpoint management (SFEMC): deploys templates of service function chains, and keeps them as
//! they should be.
//!
//! Deciding is pure: [`plan`] and [`staying`] say where functions go, [`lifecycle`] what happens next to each endpoint, [`policy`] what follows
//! when CLMC tells of a condition. It routes no request and measures nothing: the router and CLMC do. Endpoints are processes of
//! this machine.
//!
//! Reading order: [`config`], [`plan`], [`staying`], [`lifecycle`], [`policy`], `rights`, `deployment`, `store`, `process`, `conductor`, and `http`,
//! which speaks.

mod conductor;
pub mod config;
mod deployment;
mod http;
pub mod lifecycle;
pub mod plan;
pub mod policy;
mod process;
mod rights;
pub mod staying;
mod store;

pub use config::Config;
pub use deployment::own_name;

use flame_api::Client;
use flame_service_host::{Host, Routes, Running, StartError};
use flame_tosca::template::Resources;
use utoipa_axum::router::OpenApiRouter;

use conductor::{Conductor, Routers};

/// The service's name, where nothing else is configured: CLMC looks for it under this one.
const NAME: &str = "orchestrator";

/// Goes on with what was deployed, and serves.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let mut host = Host::bind(NAME, &config.host).await?;
    let estate = config.placement.estate(this_machine(&config));
    let of_sites = config.placement.routers().into_iter().map(|(site, router)| {
        let client = Client::over(host.transport(), router, config.host.token.clone());
        (site, client)
    });
    let routers = Routers::new(host.client(), of_sites.collect());
    let opened = Conductor::open(&config, estate, routers).await;
    let conductor =
        opened.map_err(|error| StartError::Open { service: NAME, what: "database", source: Box::new(error) })?;
    let checked = conductor.clone();
    host.need("database", move || {
        let checked = checked.clone();
        Box::pin(async move { checked.check().await })
    });
    let (running, hearing, renewing) = (conductor.clone(), conductor.clone(), conductor.clone());
    host.spawn("conductor", move |stop| running.run(stop));
    host.spawn("hearing", move |stop| hearing.listen(stop));
    host.spawn("leases", move |stop| renewing.renew(stop));
    Ok(host.serve(Routes { private: http::routes(conductor), public: OpenApiRouter::new() }))
}

/// What this machine has, where no cluster is configured.
fn this_machine(config: &Config) -> Resources {
    let info = rustix::system::sysinfo();
    let memory_bytes = info.totalram.saturating_mul(u64::from(info.mem_unit.max(1)));
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let folder = config.process.folder.ancestors().find(|folder| folder.is_dir());
    let found = folder.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let disk_bytes = found.map_or(u64::MAX, |found| found.f_blocks.saturating_mul(found.f_frsize));
    // Processes share processors: templates say what they take at most, and most take less.
    Resources { cpus: cpus.saturating_mul(SHARE), memory_bytes, disk_bytes }
}

/// Functions that a processor of this machine is given.
const SHARE: u64 = 8;
