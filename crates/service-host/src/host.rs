//! A service's process side: a bound listener, owned tasks, common routes, and the stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use flame_api::Client;
use flame_api::client::Transport;
use flame_credentials::{Current, Role, Wanted};
use futures_util::future::BoxFuture;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::{Info, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::acceptor::Acceptor;
use crate::access;
use crate::auth::{self, Authority, Scope};
use crate::browser::{self, Guard, Pages};
use crate::config::HostConfig;
use crate::cores::Cores;
use crate::disk::DiskGuard;
use crate::health::Health;
use crate::keys::KeyError;
use crate::membership::{self, Entry, Membership, Transports};
use crate::metrics::Metrics;
use crate::openapi;
use crate::problem::{Failure, FailureResult};
use crate::registration::Lease;
use crate::running::{Reload, Running};
use crate::server::{self, App, Limits};
use crate::telemetry::Reported;
use crate::whereabouts::Whereabouts;

/// Sees every request, whatever its host and path, before the routes do: takes it, or leaves it to them (`None`), and may
/// change its head. An answer may carry [`access::Route`] for log and metrics.
pub type Front = Arc<dyn Fn(&mut Request) -> Option<Taken> + Send + Sync>;
/// Answers a request that a [`Front`] took.
pub type Taken = Box<dyn FnOnce(Request) -> BoxFuture<'static, Response> + Send>;

/// A service that is being put together: bound, not yet serving.
pub struct Host {
    service: &'static str,
    config: HostConfig,
    listener: TcpListener,
    address: SocketAddr,
    authority: Authority,
    membership: Option<Membership>,
    acceptor: Option<Acceptor>,
    /// Listeners besides the own one.
    others: Vec<(TcpListener, Option<Acceptor>)>,
    cores: Option<Arc<Cores>>,
    reloads: Vec<Reload>,
    metrics: Metrics,
    health: Health,
    disk: Option<DiskGuard>,
    front: Option<Front>,
    /// What measurements are sent through, where that is not the router of the configuration.
    collector: Option<Client>,
    pages: Pages,
    /// Names besides the service's own, and what listens for them.
    names: Vec<(String, SocketAddr)>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// Notices that a task is gone while its service goes on, also when it panicked.
struct Watch {
    name: &'static str,
    health: Health,
    stop: CancellationToken,
    returned: bool,
}

/// A service's routes.
#[derive(Default)]
pub struct Routes {
    /// Reached only with a valid token where tokens are needed; handlers get a [`crate::Caller`].
    pub private: OpenApiRouter,
    /// Reached by anybody.
    pub public: OpenApiRouter,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("{service} cannot listen on {address}")]
    Bind {
        /// The service.
        service: &'static str,
        /// The address.
        address: SocketAddr,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Credentials are missing or damaged.
    #[error("{service} has no usable credentials")]
    Keys {
        /// The service.
        service: &'static str,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// Something that the service needs cannot be opened.
    #[error("{service} cannot open its {what}")]
    Open {
        /// The service.
        service: &'static str,
        /// What it needs: `database`, `object store`.
        what: &'static str,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

// === impl Host ===

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("service", &self.service).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Host {
    /// Checks the credentials and takes the listener. A service whose configuration says so joins first, or takes the
    /// certificate that it has.
    pub async fn bind(service: &'static str, config: &HostConfig) -> Result<Self, StartError> {
        Self::bind_for(service, config, &[]).await
    }

    /// The same for a service that registers `others` besides its own name: a certificate that does not list one of them is found
    /// out here, and not by its viewers.
    pub async fn bind_for(service: &'static str, config: &HostConfig, others: &[&str]) -> Result<Self, StartError> {
        // Without a certificate it is the router's to judge.
        let names = match &config.tls {
            None => Vec::new(),
            Some(_) => {
                let own = config.name.as_deref().unwrap_or(service);
                let names = std::iter::once(own).chain(others.iter().copied()).map(str::parse);
                let names = names.collect::<Result<_, _>>();
                names.map_err(|source: flame_naming::NameError| open(service, "name", source))?
            }
        };
        let wanted = Wanted { role: Role::Service, site: None, names };
        Self::bind_as(service, config, Entry { wanted, own: None }).await
    }

    /// The same for who is something else among the parts than a service of one name.
    pub async fn bind_as(service: &'static str, config: &HostConfig, entry: Entry) -> Result<Self, StartError> {
        let membership = match &config.tls {
            None => None,
            Some(tls) => {
                let entered = Membership::enter(tls, config.router.as_ref(), entry).await;
                Some(entered.map_err(|source| open(service, "certificate", source))?)
            }
        };
        let current = membership.as_ref().map(|membership| &membership.current);
        let role = current.map(|current| current.identity().standing.role);
        let config_of = |current: &Current| current.server().map_err(|source| open(service, "certificate", source));
        let accepts = |tls| Acceptor::new(Arc::new(tls), config.head_timeout.0);
        let acceptor = current.map(config_of).transpose()?.map(accepts);
        let authority = Authority::open(&config.auth, config.listen, role)
            .map_err(|source| StartError::Keys { service, source })?;
        let bind = |source| StartError::Bind { service, address: config.listen, source };
        allow_open_files();
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let mut host = Self {
            service,
            config: config.clone(),
            listener,
            address,
            authority,
            membership,
            acceptor,
            others: Vec::new(),
            cores: None,
            reloads: Vec::new(),
            metrics: Metrics::new(service),
            health: Health::default(),
            disk: None,
            front: None,
            collector: None,
            pages: Pages::default(),
            names: Vec::new(),
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        if let Some(membership) = host.membership.clone() {
            let current = membership.current.clone();
            let check = move || membership::check(&current);
            host.need("certificate", move || Box::pin(std::future::ready(check())));
            host.spawn("certificate", |stop| membership.keep(stop));
        }
        Ok(host)
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The service's measurements, to add its own to.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Decides who a request comes from, for routes that the service serves outside of [`Routes`].
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A client of the other services, with this service's credential; `None` without a router.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        let router = self.config.router.clone()?;
        Some(Client::over(self.transport(), router, self.config.token.clone()))
    }

    /// Connections to the router of this part's site, which show its certificate if it has one.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.membership.as_ref().map(Membership::transport).unwrap_or_default()
    }

    /// Connections to whoever has `name` in its certificate; `None` where this part has none of its own to show.
    pub fn transport_to(&self, name: &str) -> Result<Option<Transport>, StartError> {
        self.transports().to(name).map_err(|source| open(self.service, "certificate", source))
    }

    /// What makes such connections, for tasks of the service.
    #[must_use]
    pub fn transports(&self) -> Transports {
        Transports(self.membership.clone())
    }

    /// The certificate of this part, if it has one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Current> {
        self.membership.as_ref().map(|membership| &membership.current)
    }

    /// Makes TLS of the connections of a listener of the service's own, as it is made of those of its API; `None` where
    /// it speaks plain HTTP.
    #[must_use]
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.acceptor.clone()
    }

    /// Answers at another address what it answers at its own, over TLS with an `acceptor`.
    pub async fn also_listen(&mut self, address: SocketAddr, acceptor: Option<Acceptor>) -> Result<(), StartError> {
        let service = self.service;
        if self.authority.is_open() && !address.ip().is_loopback() {
            return Err(StartError::Keys { service, source: KeyError::Needed(address) });
        }
        let listener = TcpListener::bind(address).await;
        self.others.push((listener.map_err(|source| StartError::Bind { service, address, source })?, acceptor));
        Ok(())
    }

    /// Has connections served on `cores`, for a service that only passes requests on.
    pub fn serve_on(&mut self, cores: Cores) {
        self.cores = Some(Arc::new(cores));
    }

    /// Does `reload`, too, when the service is told to read again what it can (SIGHUP). An `Err` says what is wrong.
    pub fn on_reload(&mut self, reload: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.reloads.push(Box::new(reload));
    }

    /// Guards the disk under `folder`: handlers that take [`crate::FreeSpace`] answer 507 when it is nearly full.
    pub fn guard_disk(&mut self, folder: PathBuf) -> DiskGuard {
        let guard = DiskGuard::new(folder, self.config.min_free_disk_percent);
        self.disk = Some(guard.clone());
        guard
    }

    /// Says that the service is ready only while `check` is (an `Err` says what is wrong).
    pub fn need<F>(&mut self, name: &'static str, check: F)
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        self.health.need(name, check);
    }

    /// Registers another name, for a listener of the service's own, for as long as it serves.
    pub fn also_register(&mut self, name: String, address: SocketAddr) {
        self.names.push((name, address));
    }

    /// Lets pages of other origins use the service; without this none may.
    pub fn allow_pages(&mut self, pages: Pages) {
        self.pages = pages;
    }

    /// Puts `front` before all routes, also the common ones. It decides itself who may call, and for which hosts.
    pub fn put_in_front(&mut self, front: Front) {
        self.front = Some(front);
    }

    /// Sends measurements through `client`: for the router, which has no other router.
    pub fn report_through(&mut self, client: Client) {
        self.collector = Some(client);
    }

    /// Runs a task for as long as the service; it ends when its token is cancelled, and the stop waits for it. A service
    /// whose task ends before is not ready any more.
    pub fn spawn<F, T>(&mut self, name: &'static str, task: F)
    where
        F: FnOnce(CancellationToken) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let work = task(self.stop.clone());
        let watch = Watch { name, health: self.health.clone(), stop: self.stop.clone(), returned: false };
        self.tasks.spawn(async move {
            work.await;
            watch.returned();
        });
    }

    /// Begins to serve, and registers with the router.
    pub fn serve(mut self, routes: Routes) -> Running {
        let (private, mut openapi) = routes.private.split_for_parts();
        openapi::need_token(&mut openapi);
        let (public, public_api) = routes.public.split_for_parts();
        openapi.merge(public_api);
        // What the router crate fills in speaks of itself.
        openapi.info = Info::new(self.service, env!("CARGO_PKG_VERSION"));

        let routes = self.app(private, public, &openapi);
        let client = self.client();
        let name = self.config.name.clone().unwrap_or_else(|| self.service.to_owned());
        self.health.stage().set("booted");
        if let Some(config) = self.config.telemetry.clone() {
            let reported = Reported {
                service: self.service,
                name: name.clone(),
                config,
                client: self.collector.clone().or_else(|| client.clone()),
                metrics: self.metrics.clone(),
                stage: self.health.stage().clone(),
                disk: self.disk.clone(),
            };
            self.spawn("telemetry", |stop| reported.run(stop));
        }
        let app = App { front: self.front, routes, metrics: self.metrics };
        let limits = Limits {
            max_connections: self.config.max_connections,
            head_timeout: self.config.head_timeout.0,
            write_idle: self.config.write_idle.0,
            drain: self.config.drain.0,
        };
        let leave = self.stop.child_token();
        let mut lease = JoinSet::new();
        if let Some(client) = client {
            let client = client.with_deadline(Duration::from_secs(2));
            let endpoint = Uuid::now_v7().simple().to_string();
            let own = (name, self.config.advertise, self.address);
            let others = self.names.into_iter().map(|(name, address)| (name, None, address));
            for (name, advertise, bound) in std::iter::once(own).chain(others) {
                let whereabouts = Whereabouts { advertise, bound, router: self.config.router.clone() };
                let (client, endpoint, terms) = (client.clone(), endpoint.clone(), self.config.registration.clone());
                let kept = Lease { client, name, endpoint, whereabouts, tls: self.acceptor.is_some(), terms };
                lease.spawn(kept.keep(self.health.clone(), leave.clone()));
            }
        }
        for (listener, acceptor) in std::iter::once((self.listener, self.acceptor)).chain(self.others) {
            let speech = (limits, self.config.http2.clone());
            let cores = self.cores.clone();
            self.tasks.spawn(server::serve(listener, acceptor, app.clone(), speech, cores, self.stop.clone()));
        }
        tracing::info!(service = self.service, address = %self.address, "serving");
        Running {
            service: self.service,
            address: self.address,
            openapi,
            authority: self.authority,
            reloads: self.reloads,
            health: self.health,
            tasks: self.tasks,
            lease,
            stop: self.stop,
            leave,
            drain: self.config.drain.0,
            _cores: self.cores,
        }
    }

    fn app(&self, private: Router, public: Router, openapi: &OpenApi) -> Router {
        let authority = self.authority.clone();
        let private =
            private.layer(from_fn(move |request, next| auth::require_caller(authority.clone(), request, next)));
        let openapi = openapi.to_json().unwrap_or_default();
        let common = self
            .observation()
            .route("/openapi.json", get(async move || ([("content-type", "application/json")], openapi)));
        let metrics = self.metrics.clone();
        let disk = self.disk.clone();
        // Where a token is needed, a page that has none gets nothing under whatever host.
        let hosts = (self.authority.is_open() && self.front.is_none()).then(|| self.config.allowed_hosts.clone());
        let guard = Arc::new(Guard { hosts, pages: self.pages.clone() });
        private
            .merge(public)
            .merge(common)
            .fallback(async |request: Request| Failure::not_found(format_args!("route {}", request.uri().path())))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn(move |mut request: Request, next: Next| {
                if let Some(disk) = disk.clone() {
                    request.extensions_mut().insert(disk);
                }
                next.run(request)
            }))
            .layer(from_fn(move |request, next| browser::guard(Arc::clone(&guard), request, next)))
            .layer(from_fn(move |request, next| access::observe_next(metrics.clone(), request, next)))
    }

    /// What says how the service is. Whether it lives and is ready is everybody's to know, for whoever places and probes
    /// services asks without a token; what it does and what it lacks is not.
    fn observation(&self) -> Router {
        let (health, authority) = (self.health.clone(), self.authority.clone());
        let ready = async move |request: Request| {
            let is_known = authority.authenticate(request.headers(), request.extensions()).is_ok();
            health.answer(is_known).await
        };
        let (metrics, authority) = (self.metrics.clone(), self.authority.clone());
        let measurements = async move |request: Request| -> FailureResult<([(&str, &str); 1], String)> {
            authority.authenticate(request.headers(), request.extensions())?.require(Scope::Metrics)?;
            Ok(([("content-type", "text/plain; version=0.0.4")], metrics.text()))
        };
        Router::new()
            .route("/health/live", get(async || "live\n"))
            .route("/health/ready", get(ready))
            .route("/metrics", get(measurements))
    }
}

/// Lets the process have as many files open as the machine allows it: each connection is one, and shells often begin with
/// 1,024.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::debug!(%error, "the limit of open files stays as it was");
    }
}

fn open<E>(service: &'static str, what: &'static str, source: E) -> StartError
where
    E: std::error::Error + Send + Sync + 'static,
{
    StartError::Open { service, what, source: Box::new(source) }
}

// === impl Watch ===

impl Watch {
    fn returned(mut self) {
        self.returned = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A task that is cut off with its service neither returned nor panicked.
        if !self.stop.is_cancelled() && (self.returned || std::thread::panicking()) {
            tracing::error!(task = self.name, panicked = !self.returned, "a task ended before its service");
            self.health.task_lost(self.name);
        }
    }
}

async fn method_not_allowed(request: Request) -> Failure {
    let detail = format!("{} is not something that {} does", request.method(), request.uri().path());
    Failure::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
}
