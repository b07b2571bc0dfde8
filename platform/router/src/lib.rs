//! The router: one door to every service, by name.
//!
//! Endpoints register behind names and renew their leases; requests are passed to one of them, streaming both ways,
//! whichever way the name was written. It never looks into a body, never decides who may do what at a service
//! (`Authorization` passes untouched), and keeps nothing: after a restart the endpoints register again.
//!
//! Reading order: [`config`], `registry` (the shared routing table), `proxy` (a request's way through), `http` (the
//! router's own page and API). The decisions stand in `flame_naming`.

pub mod config;
mod http;
mod proxy;
mod registry;

pub use config::Config;

use flame_naming::Territory;
use flame_service_host::{Host, Routes, Running, StartError};

use proxy::Proxy;
use registry::Registry;

/// The service's name.
const NAME: &str = "router";

/// Listens, and passes requests on as soon as endpoints register.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let mut host = Host::bind(NAME, &config.host).await?;
    let invalid = |source: config::Invalid| StartError::Open { service: NAME, what: "names", source: Box::new(source) };
    let territory = Territory::new(config.domain().map_err(invalid)?, &config.public_hosts);
    let registry = Registry::new(config.site().map_err(invalid)?, config.limits.endpoints);
    let proxy = Proxy::new(territory, registry.clone(), &config);
    let tunnels = proxy.tunnels();
    host.spawn("tunnels", |stop| async move { tunnels.until(stop).await });
    host.put_in_front(proxy.front());
    Ok(host.serve(Routes { private: http::endpoints::routes(registry), public: http::page::routes() }))
}
