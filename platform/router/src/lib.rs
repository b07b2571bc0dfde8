//! The router: one door to every service, by name.
//!
//! Endpoints register behind names and renew their leases; requests are passed to one of them, streaming both ways,
//! whichever way the name was written. It never looks into a body, never decides who may do what at a service
//! (`Authorization` passes untouched), and keeps nothing: after a restart the endpoints register again.
//!
//! Reading order: [`config`], `registry` (the shared routing tables), `peers` and `static_entries` (who else fills them),
//! `trust` (who may), `proxy` (a request's way through), `sticky` (whose it is), `session` (who is signed in), `oidc` (and where), `search` (where it goes on), `multicast` (one answer to many), `neighbours` (who may take part),
//! `reload` (what follows the files), `activity` (what happened to requests), `http` (the router's own page and API). The decisions stand in `flame_naming`.

mod activity;
pub mod config;
mod cookie;
mod http;
mod multicast;
mod neighbours;
mod oidc;
#[doc(hidden)]
pub mod parsers;
mod peers;
mod proxy;
mod refusals;
mod registry;
mod reload;
mod search;
mod session;
mod static_entries;
mod sticky;
mod trust;
mod viewers;

pub use config::Config;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use flame_api::Client;
use flame_credentials::Role;
use flame_credentials::standing::{ANY_ROUTER, dns_of_router};
use flame_naming::{Label, Territory};
use flame_service_host::config::ConfigError;
use flame_service_host::cores::Cores;
use flame_service_host::{Entry, Host, Routes, Running, StartError, connector, problem};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use url::Url;

use multicast::{Multicast, MulticastConfig};
use oidc::flow::Door;
use peers::{Peers, Wanted};
use proxy::Proxy;
use registry::Registry;
use reload::Reload;
use search::{Rules, Searches};
use session::Sessions;
use static_entries::StaticEntries;
use sticky::Sticky;
use viewers::{Shown, ViewersConfig};

/// The service's name.
const NAME: &str = "router";

/// Listens, and passes requests on as soon as endpoints register.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let same = config.clone();
    start_with(config, move || Ok(same.clone())).await
}

/// The same for a router whose configuration `read` gives anew: its limits follow it, and the site file, when the process
/// is told to reload.
pub async fn start_with<F>(config: Config, read: F) -> Result<Running, StartError>
where
    F: Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
{
    let site = config.site().map_err(unopened("names"))?;
    let issuer = config.issuer().map_err(unopened("issuer"))?;
    let own = issuer.clone().map(|issuer| (issuer, site.clone()));
    let part = flame_credentials::Wanted { role: Role::Router, site: Some(site.clone()), names: Vec::new() };
    let mut host = Host::bind_as(NAME, &config.host, Entry { wanted: part, own }).await?;
    let certificate = host.certificate().cloned();
    let hosts = own_hosts(&config.public_hosts, certificate.is_some().then_some(&site));
    let territory = Territory::new(config.domain().map_err(unopened("names"))?, &hosts);
    let sites = peers::sites(config.sites.as_deref(), &site).map_err(unopened("site file"))?;
    let sites = Arc::new(sites);
    let searches = Searches::new(Rules::new(&config.search).map_err(unopened("search"))?);
    let paths = config.paths().map_err(unopened("paths"))?;
    let sticky = Arc::new(Sticky::new(&config.sticky).map_err(unopened("sticky names"))?);
    let sessions = Sessions::new(&config.session).map_err(unopened("names of `[session]`"))?;
    let door = config.oidc.clone().map(|oidc| Door::open(oidc, host.authority()).map(Arc::new)).transpose();
    let door = door.map_err(unopened("issuer of `[oidc]`"))?;
    let (endpoints_max, repeats) = (config.limits.endpoints, config.upstream.repeats());
    let registry = Registry::new(site.clone(), &sites, endpoints_max, repeats, certificate.clone());
    registry.activity().register(host.metrics());
    if let Some(file) = &config.static_entries {
        let entries = StaticEntries::open(file, registry.clone()).map_err(unopened("static entries"))?;
        host.spawn("static entries", |stop| entries.watch(stop));
    }
    let peers = Peers::new(site);
    let (wanted, told) = watch::channel(Wanted::new(&sites, &config));
    let listener = (peers.clone(), registry.clone(), host.transports());
    host.spawn("peers' feeds", |stop| listener.0.listen(listener.1, listener.2, told, stop));
    let publisher = (peers.clone(), registry.clone());
    host.spawn("the own feed", |stop| publisher.0.publish(publisher.1, stop));
    let explained = http::paths::routes(paths.clone(), registry.clone());
    let elsewhere = registry.other_routers().into_iter().find(|router| !is_here(router.as_str()));
    if let Some(router) = elsewhere.filter(|_| config.multicast.enabled && config.multicast.interface.is_loopback()) {
        tracing::warn!(
            router = router.as_str(),
            "`[multicast] interface` is loopback, and other routers are not: their answers go by unicast"
        );
    }
    let bound_mbps = sites.multicast_mbps().unwrap_or(f64::INFINITY);
    let multicast =
        MulticastConfig { rate_mbps: slower(config.multicast.rate_mbps, bound_mbps), ..config.multicast.clone() };
    let multicast = Multicast::join(&multicast, &config.host, host.metrics());
    let multicast = multicast.map_err(unopened("multicast"))?;
    let multicast = multicast.map(|(multicast, hears)| {
        let owned = multicast.clone();
        host.spawn("multicast", |stop| owned.until(hears, stop));
        multicast
    });
    let explained =
        explained.merge(http::routes::routes(territory.clone(), registry.clone(), Arc::clone(&sticky), paths.clone()));
    let explained = explained.merge(http::activity::routes(registry.clone(), multicast.clone()));
    let connector = connector::connector(proxy::http_connector(&config), certificate.as_ref());
    let connector = connector.map_err(unopened("certificate"))?;
    let rules = (searches, paths, sticky);
    let cores = Cores::start(config.limits.threads).map_err(unopened("threads"))?;
    let to_endpoints = (connector, cores.count());
    host.serve_on(cores);
    let proxy = Proxy::new(territory, registry.clone(), rules, multicast, to_endpoints, &config);
    let tunnels = proxy.tunnels();
    host.spawn("tunnels", |stop| async move { tunnels.until(stop).await });
    let unawaited = proxy.unawaited();
    host.spawn("unawaited", |stop| unawaited.until(stop));
    let probes = proxy.probes();
    host.spawn("probes", |stop| probes.until(stop));
    let reload = Reload { registry: registry.clone(), proxy: proxy.clone(), wanted };
    let hangups = signal(SignalKind::hangup()).map_err(unopened("signals"))?;
    host.spawn("reload", |stop| reload.on(hangups, read, stop));
    host.put_in_front(proxy.front(sessions));
    // What it measures goes its own way, as everybody's does.
    let to_itself = host.transport_to(&dns_of_router(&registry.site()))?;
    let scheme = if to_itself.is_some() { "https" } else { "http" };
    let itself = itself(scheme, host.address());
    host.report_through(Client::over(to_itself.unwrap_or_default(), itself, config.host.token.clone()));
    for viewers in &config.viewers {
        listen_for(viewers, &mut host, &config).await?;
    }
    let private = http::endpoints::routes(registry).merge(http::peers::routes(peers)).merge(explained);
    let private = private.merge(http::session::private());
    let public = http::page::routes().merge(http::certificates::routes(issuer));
    let public = public.merge(http::session::public(host.authority().clone()));
    let public = public.merge(http::oidc::public(door, host.authority().clone()));
    Ok(host.serve(Routes { private, public }))
}

/// The hosts at which this router answers for itself: those that are configured, and where it shows the certificate of a router of a site,
/// the two names that stand in that (421 is for whom the connection is not authoritative for, RFC 9110 section 15.5.20). No page of a
/// browser has such a name: nobody can have `internal` in the public DNS.
fn own_hosts(configured: &[String], certified: Option<&Label>) -> Vec<String> {
    let shown = certified.into_iter().flat_map(|site| [ANY_ROUTER.to_owned(), dns_of_router(site)]);
    configured.iter().cloned().chain(shown).collect()
}

/// The slower of a configured rate and a bound, whole megabits a second.
fn slower(rate_mbps: u32, bound_mbps: f64) -> u32 {
    // What is bounded is less than what fits: the conversion is exact but for the fraction.
    if f64::from(rate_mbps) <= bound_mbps { rate_mbps } else { bound_mbps as u32 }
}

/// Where this process reaches its own listener, which may listen on all addresses.
fn itself(scheme: &str, address: SocketAddr) -> Url {
    let mut url: Url = format!("{scheme}://127.0.0.1/").parse().expect("the text is a URL");
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    // A URL of HTTP takes any address and port.
    let _ = url.set_ip_host(ip);
    let _ = url.set_port(Some(address.port()));
    url
}

/// Opens a listener for viewers, whose certificates are read again when the router is told to.
async fn listen_for(viewers: &ViewersConfig, host: &mut Host, config: &Config) -> Result<(), StartError> {
    let shown = Shown::open(viewers).map_err(unopened("viewers' certificates"))?;
    let acceptor = match shown {
        None => None,
        Some(shown) => {
            let acceptor = shown.acceptor(&[b"h2", b"http/1.1"], config.host.head_timeout.0);
            host.on_reload(move || shown.reload().map_err(|error| problem::chain(&error)));
            Some(acceptor.map_err(unopened("viewers' certificates"))?)
        }
    };
    host.also_listen(viewers.listen, acceptor).await
}

/// Whether a router's address is one of this machine's own.
fn is_here(router: &str) -> bool {
    let host = router.rsplit_once(':').map_or(router, |(host, _)| host.trim_matches(['[', ']']));
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn unopened<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl Fn(E) -> StartError {
    move |source| StartError::Open { service: NAME, what, source: Box::new(source) }
}
