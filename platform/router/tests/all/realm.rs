//! An authority, routers that have a certificate, and services that join.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::routing::get;
use flame_api::Client;
use flame_api::client::Transport;
use flame_credentials::standing::ANY_ROUTER;
use flame_credentials::{Current, Identity, Issuer, Key, Role, Standing, tls};
use flame_router::Config;
use flame_router::config::{IssuerConfig, ViewersConfig};
use flame_service_host::config::Span;
use flame_service_host::{Caller, Host, HostConfig, Routes, Running, StartError, TlsConfig};
use flame_test_kit::{Scratch, eventually};
use reqwest::Url;
use utoipa_axum::router::OpenApiRouter;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// An authority in a folder, and folders for its parts.
pub struct Realm {
    pub folder: Scratch,
    pub issuer: Issuer,
    pub life: Duration,
}

/// A router that speaks TLS with parts, and plain HTTP with viewers.
pub struct Router {
    pub running: Running,
    pub viewers: SocketAddr,
    pub http: reqwest::Client,
}

// === impl Realm ===

impl Realm {
    pub fn new(name: &str) -> Self {
        let folder = Scratch::new(name);
        let issuer = Issuer::init(&folder.join("ca")).unwrap();
        Self { folder, issuer, life: Duration::from_secs(24 * 3600) }
    }

    pub fn token(&self, role: Role, site: &str, names: &[&str]) -> String {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        let standing = Standing { role, site: site.parse().unwrap(), names };
        self.issuer.invite(&standing, Duration::from_secs(600)).unwrap().to_string()
    }

    pub fn tls(&self, folder: &str, issuer: Option<&Url>, join_token: Option<String>) -> TlsConfig {
        TlsConfig { folder: self.folder.join(folder), issuer: issuer.cloned(), join_token }
    }

    /// The router that holds the authority, at the site `local` unless `change` says otherwise.
    pub async fn router(&self, change: impl FnOnce(&mut Config)) -> Router {
        Router::start(|config| {
            config.host.tls = Some(self.tls("router", None, None));
            config.issuer = Some(IssuerConfig { folder: self.folder.join("ca"), life: Span(self.life) });
            change(config);
        })
        .await
        .unwrap()
    }

    /// A certificate of the authority, without a join.
    pub fn member(&self, role: Role, site: &str, names: &[&str]) -> Current {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        let standing = Standing { role, site: site.parse().unwrap(), names };
        self.member_for(standing, self.life)
    }

    pub fn member_for(&self, standing: Standing, life: Duration) -> Current {
        let key = Key::new().unwrap();
        let issuer = self.issuer.clone().with_life(life);
        let issued = issuer.renew(standing, &key.request_pem().unwrap()).unwrap();
        static MEMBERS: AtomicU32 = AtomicU32::new(0);
        let folder = self.folder.join(format!("member-{}", MEMBERS.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&folder).unwrap();
        Current::new(Identity::keep(&folder, &key, &issued).unwrap())
    }

    /// A client that shows nothing, and believes the authority's routers.
    pub fn stranger(&self, router: &Router) -> Client {
        let transport = Transport::over_tls(tls::joining(self.issuer.fingerprint()).unwrap());
        Client::over(transport, router.url(), None)
    }

    /// A service called `media` that joins, and says at `/who` what it is told to and at `/caller` who asks.
    pub async fn service(&self, folder: &str, router: &Router, says: &'static str) -> Running {
        let token = self.token(Role::Service, "local", &["media"]);
        self.try_service(folder, "media", router, Some(token), says).await.unwrap()
    }

    pub async fn try_service(
        &self,
        folder: &str,
        name: &str,
        router: &Router,
        token: Option<String>,
        says: &'static str,
    ) -> Result<Running, StartError> {
        let who = OpenApiRouter::new().route("/who", get(move || async move { says }));
        serve(name, &router.url(), self.tls(folder, None, token), who).await
    }
}

/// A service called `name` that answers `public`, and at `/caller` who asks.
pub async fn serve(name: &str, router: &Url, tls: TlsConfig, public: OpenApiRouter) -> Result<Running, StartError> {
    let config = HostConfig {
        name: Some(name.to_owned()),
        router: Some(router.clone()),
        tls: Some(tls),
        ..HostConfig::default()
    };
    let host = Host::bind("media", &config).await?;
    let private = OpenApiRouter::new().route("/caller", get(async |caller: Caller| caller.subject));
    Ok(host.serve(Routes { private, public }))
}

/// A client that shows `current`.
pub fn as_part(current: &Current, router: &Router) -> Client {
    let transport = Transport::over_tls(current.client_expecting(ANY_ROUTER).unwrap());
    Client::over(transport, router.url(), None)
}

// === impl Router ===

impl Router {
    pub async fn start(change: impl FnOnce(&mut Config)) -> Result<Self, StartError> {
        let mut config = Config::default();
        config.host.listen.set_port(0);
        let [port] = flame_test_kit::ports::free_tcp();
        let viewers = SocketAddr::from(([127, 0, 0, 1], port));
        config.viewers = vec![ViewersConfig { listen: viewers, certificates: Vec::new() }];
        change(&mut config);
        let running = flame_router::start(config).await?;
        Ok(Self { running, viewers, http: reqwest::Client::builder().no_proxy().build().unwrap() })
    }

    /// Where parts find it.
    pub fn url(&self) -> Url {
        format!("https://{}", self.running.address()).parse().unwrap()
    }

    /// As a viewer sees it.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("http://{}{path}", self.viewers)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn answers(&self, path: &str, wanted: &str) {
        eventually(PATIENCE, || async {
            let (status, text) = self.get(path).await;
            if text == wanted { Ok(()) } else { Err(format!("{status} {text}")) }
        })
        .await;
    }
}
