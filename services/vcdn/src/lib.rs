//! A surrogate: stands under the name of a service, answers from what it keeps, and asks the service for the rest.
//!
//! It holds nothing that could not be fetched again, and never answers what it has not got whole from the service, or is
//! getting just now: a body that broke off there breaks off here. It takes nothing from viewers but questions.
//!
//! Reading order: [`config`], what may be kept ([`rules`], `policy`), one kept answer (`object`, `medium`), one that is
//! being fetched (`fill`, `fetch`, `room`, `upstream`, `prefetch`), where they are (`shelf`, `disk`, `doubt`), how a request finds them (`front`), how
//! an answer goes out (`answer`, `uplink`, `edge`), and what operators do (`purge`, `warm` and `mpd`, `stats`, `http`).

mod answer;
pub mod config;
mod disk;
mod doubt;
mod edge;
mod fetch;
mod fill;
mod front;
mod guard;
mod http;
mod medium;
mod mpd;
mod object;
#[doc(hidden)]
pub mod parsers;
mod passed;
mod peers;
mod policy;
mod prefetch;
mod purge;
mod room;
pub mod rules;
mod shelf;
mod stats;
mod status;
mod uplink;
mod upstream;
mod viewing;
mod warm;

pub use config::Config;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use flame_naming::Name;
use flame_service_host::{Host, HostConfig, Routes, StartError, Whereabouts};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use config::FrontConfig;
use disk::Disk;
use edge::Limits;
use front::{Front, Parts};
use guard::Guard;
use peers::{CaughtUp, Peers};
use purge::Purges;
use shelf::{Counted, Shelf};
use stats::Gauges;
use uplink::Uplink;
use upstream::Upstream;

/// The service's name, where its own API is; the names that it serves are configured.
pub const NAME: &str = "vcdn";
/// How often figures are copied to where they are scraped.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

/// A surrogate that serves. Dropping it stops it at once; [`Running::stop`] lets answers finish.
#[derive(Debug)]
pub struct Running {
    running: flame_service_host::Running,
    addresses: BTreeMap<String, SocketAddr>,
    fronts: Arc<[Arc<Front>]>,
}

/// What each tenant keeps.
type Shelves = BTreeMap<String, Arc<Shelf>>;

/// Everything that stands behind the names.
#[derive(Debug, Clone)]
pub(crate) struct Surrogate {
    pub fronts: Arc<[Arc<Front>]>,
    pub shelves: Arc<Shelves>,
    pub purges: Arc<Purges>,
    pub peers: Peers,
    /// Held by who asks others for purges of which this one was told: when the last one began that has done so.
    pub pulling: Arc<tokio::sync::Mutex<Option<std::time::Instant>>>,
    pub id: Arc<str>,
}

/// Opens what is kept, replays purges on it, and serves.
///
/// # Errors
/// [`StartError`]: an address is taken, the credentials are unusable, no router is configured, a name is none, or the
/// folder belongs to another process.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let open =
        |what, source: Box<dyn std::error::Error + Send + Sync>| StartError::Open { service: NAME, what, source };
    config.cache.check().map_err(|error| open("cache", Box::new(error)))?;
    raise_open_files(&config);
    let served: Vec<&str> = config.fronts.iter().map(|front| front.name.as_str()).collect();
    let mut host = Host::bind_for(NAME, &config.host, &served).await?;
    let no_router = || {
        let needed =
            "set `router` in [host]: the services behind the names are asked through it; with https, also [host.tls]";
        io::Error::other(needed)
    };
    let router = config.host.router.clone().ok_or_else(|| open("upstream", Box::new(no_router())))?;
    let client = host.client().ok_or_else(|| open("upstream", Box::new(no_router())))?;
    let id = format!("vcdn-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let upstream = Upstream::new(&router, host.certificate(), &id, &config.upstream)
        .ok_or_else(|| open("upstream", Box::new(no_router())))?;

    let guard = config.cache.folder.clone().map(|folder| host.guard_disk(folder));
    let (settings, names) = (config.clone(), names(&config.fronts).map_err(|error| open("names", Box::new(error)))?);
    let tenants: Vec<String> = names.iter().map(|(name, _)| name.tenant().to_string()).collect();
    let opened = tokio::task::spawn_blocking(move || open_shelves(&settings, &tenants)).await;
    let (purges, shelves) =
        opened.map_err(io::Error::other).flatten().map_err(|error| open("cache", Box::new(error)))?;

    let uplink = Uplink::of(&config.uplink).map(Arc::new);
    let tasks = TaskTracker::new();
    let (mut fronts, mut addresses, mut listeners) = (Vec::new(), BTreeMap::new(), Vec::new());
    for ((name, behind), front) in names.iter().zip(&config.fronts) {
        let protection = front.tokens.as_ref().map(|tokens| Guard::open(tokens, name));
        let parts = Parts {
            shelf: Arc::clone(&shelves[name.tenant().as_str()]),
            upstream: upstream.clone(),
            settings: config.cache.clone(),
            purges: Arc::clone(&purges),
            disk_guard: guard.clone(),
            guard: protection.transpose().map_err(|error| open("tokens", Box::new(error)))?,
            credential: config
                .host
                .token
                .as_ref()
                .map(|token| bearer(token))
                .transpose()
                .map_err(|error| open("token", error))?,
            fields: front.shared_fields().map_err(|error| open("fields", Box::new(error)))?,
            writes: front.writes,
            uplink: uplink.clone(),
            tasks: tasks.clone(),
            exchanges: host.metrics().exchanges().clone(),
        };
        let bind = |source| StartError::Bind { service: NAME, address: front.listen, source };
        let listener = TcpListener::bind(front.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        addresses.insert(name.to_string(), address);
        host.also_register(name.to_string(), front.advertise.unwrap_or(address));
        fronts.push(Arc::new(Front::new(name.clone(), behind, parts)));
        listeners.push(listener);
    }
    let own =
        Whereabouts { advertise: config.host.advertise, bound: host.address(), router: config.host.router.clone() };
    let name = config.host.name.as_deref().unwrap_or(NAME);
    let peers = Peers::new(client, host.transports(), name, own, config.host.token.clone(), config.cache.alone_after.0);
    let (fronts, shelves, pulling) = (fronts.into(), Arc::new(shelves), Arc::default());
    let surrogate = Surrogate { fronts, shelves, purges, peers, pulling, id: id.into() };
    // What others purged while this one was away; then, and not before, it answers. Where that cannot be known, what lies on disk is
    // asked for again before it is used, each object once, until it is.
    surrogate.shelves.values().for_each(|shelf| shelf.doubt());
    let caught_up = surrogate.catch_up().await;
    match caught_up {
        CaughtUp::Wholly => {}
        CaughtUp::Alone => {
            tracing::info!("no other surrogate is listed yet: what this one kept is asked for again at first")
        }
        CaughtUp::InPart => {
            tracing::warn!(
                "what was purged while this surrogate was away is not known: what it kept is asked for again"
            );
        }
    }

    let limits = Limits::of(&config.host);
    for (listener, front) in listeners.into_iter().zip(surrogate.fronts.iter()) {
        let (front, acceptor) = (Arc::clone(front), host.acceptor());
        host.spawn("edge", move |stop| edge::serve(listener, acceptor, front, limits, stop));
    }
    host.spawn("fills", move |stop| async move {
        stop.cancelled().await;
        tasks.close();
        tasks.wait().await;
    });
    let gauges = Gauges::new(host.metrics());
    let figures = surrogate.clone();
    host.spawn("figures", move |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(FIGURES_EVERY)).await.is_some() {
            gauges.set(&figures);
        }
    });
    let learning = Arc::clone(&surrogate.fronts);
    host.spawn("order", move |stop| async move {
        let learn = move || learning.iter().for_each(|front| front.learn_kept());
        if let Err(error) = tokio::task::spawn_blocking(learn).await {
            tracing::warn!(%error, "what comes after what is not known of what lies on disk");
        }
        stop.cancelled().await;
    });
    let (asking, every) = (surrogate.clone(), config.cache.purges_every.0);
    host.spawn("purges", move |stop| asking.keep_up(caught_up, every, stop));
    let fronts = Arc::clone(&surrogate.fronts);
    let (private, public) = http::routes(surrogate);
    let running = host.serve(Routes { private, public });
    Ok(Running { running, addresses, fronts })
}

/// How a surrogate shows `token`.
fn bearer(token: &str) -> Result<HeaderValue, Box<dyn std::error::Error + Send + Sync>> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Names and what is behind them, each once.
fn names(fronts: &[FrontConfig]) -> Result<Vec<(Name, flame_naming::Destination)>, config::Invalid> {
    let names: Vec<_> = fronts.iter().map(FrontConfig::names).collect::<Result<_, _>>()?;
    for (at, (name, _)) in names.iter().enumerate() {
        if names[..at].iter().any(|(other, _)| other == name) {
            return Err(config::Invalid::Twice(name.to_string()));
        }
    }
    Ok(names)
}

/// Reads what is on disk, and does the purges that were noted and not done.
fn open_shelves(config: &Config, tenants: &[String]) -> io::Result<(Arc<Purges>, Shelves)> {
    if let Some(folder) = &config.cache.folder {
        std::fs::create_dir_all(folder)?;
    }
    let purges = Arc::new(Purges::open(config.cache.folder.as_deref())?);
    let mut shelves = BTreeMap::new();
    for tenant in tenants {
        if shelves.contains_key(tenant) {
            continue;
        }
        let quota = config.quota(tenant);
        let folder = config.cache.folder.as_ref().map(|folder| folder.join(tenant));
        let disk = folder.map(|folder| Disk::open(&folder, quota.disk.0)).transpose()?;
        let counted = Counted {
            assets: config.cache.assets_counted,
            sessions: config.cache.sessions_counted,
            of_an_address: config.cache.sessions_of_an_address,
        };
        let shelf = Arc::new(Shelf::new(quota.memory.0, disk, config.cache.filling.0, counted)?);
        shelf.replay(&purges);
        shelves.insert(tenant.clone(), shelf);
    }
    Ok((purges, shelves))
}

/// Large bodies and connections are open files: takes as many as the system lets it, and says if that is too few.
fn raise_open_files(config: &Config) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let memory_bytes: u64 = config.fronts.iter().map(|_| config.cache.memory.0).sum();
    let bodies = memory_bytes / object::OPEN_FILE_BYTES;
    let connections = (config.fronts.len() + 1) * config.host.max_connections;
    let needed = bodies + connections as u64 + 2 * config.cache.fills as u64;
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < needed) {
        tracing::warn!(maximum, needed, "fewer files may be open than the configuration can need: raise `ulimit -n`");
    }
}

// === impl Limits ===

impl Limits {
    fn of(host: &HostConfig) -> Self {
        Self {
            max_connections: host.max_connections,
            head_timeout: host.head_timeout.0,
            write_idle: host.write_idle.0,
            drain: host.drain.0,
        }
    }
}

// === impl Surrogate ===

impl Surrogate {
    /// The front of `name`, if `tenant` owns it.
    pub(crate) fn front(&self, name: &str, tenant: &str) -> Option<&Arc<Front>> {
        let name: Name = name.parse().ok()?;
        self.fronts.iter().find(|front| front.name == name && front.name.tenant().as_str() == tenant)
    }
}

// === impl Running ===

impl Running {
    /// Where the surrogate's own API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Where the names that it serves listen.
    #[must_use]
    pub fn fronts(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// Reads keys and revocations again, those of callers and those of who signs URLs.
    pub fn reload(&self) {
        self.running.reload();
        self.fronts.iter().for_each(|front| front.reload());
    }

    /// Leaves its names, lets open answers finish, and stops.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// Serves until SIGINT or SIGTERM, then stops; reads keys again on SIGHUP.
    ///
    /// # Errors
    /// The signals cannot be listened for.
    pub async fn until_signal(self) -> io::Result<()> {
        flame_service_host::stop_wished(|| self.reload()).await?;
        self.stop().await;
        Ok(())
    }
}
