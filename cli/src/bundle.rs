//! All services in one process: each with its own listener, database and registration, as if it were alone.
//!
//! They meet over HTTP, by name, through the router; the bundle only starts them in order, gives them their folders
//! and credentials, and stops them in reverse order. Nothing here is a shortcut between two services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use flame_api::Client;
use flame_ingest::config::{
    EmbeddedStore, LadderConfig, Limits, PullConfig, PushConfig, Quotas, RtmpConfig, ScrubConfig, SourcesConfig,
    SrtConfig, StoreChoice, WhipConfig,
};
use flame_metadata::config::{PurgeConfig, Webhook};
use flame_object_store::StoreConfig;
use flame_orchestrator::config::ProcessConfig;
use flame_router::config::OidcConfig;
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::{Bytes, Span};
use flame_service_host::keys::{self, Grant, KeyError};
use flame_service_host::{HostConfig, Running, Scope, TelemetryConfig};
use flame_streaming::config::{EncryptionConfig, LinksConfig, SteeringConfig, SurrogatesConfig, ViewersConfig};
use flame_vcdn::config::{CacheConfig, FrontConfig};
use url::Url;

use crate::contents;
use crate::outside::{Hold, Outside};
use crate::secrets::{self, StoreKeys};
use crate::site::layout::Layout;
use crate::site::presence::{self, Presence};
use crate::token;

/// The functions of the bundle, and what each is for.
pub const FUNCTIONS: [(&str, &str); 8] = [
    ("ingest", "uploads: tus, PUT, pulls; live: RTMP, SRT, WHIP, CMAF, pulls"),
    ("metadata", "the catalogue"),
    ("transcode", "conditioning jobs"),
    ("streaming", "playlists and segments"),
    ("quality", "comparisons and inspections of what the others hold"),
    ("vcdn", "the edge: figures and purges; it serves streaming's media at ~cdn"),
    ("clmc", "measurements of all of them, asked as InfluxDB is"),
    ("orchestrator", "templates: what else runs here, and what changes it"),
];
/// The name that the surrogate serves.
const CDN: &str = "cdn";
/// The same for viewers with a signed URL (`flame token sign-url`).
const SIGNED: &str = "cdn.signed";
/// Folder of the key that the surrogate's token is signed with, where services need none for each other.
const SURROGATES: &str = "surrogates";
/// Signed URLs that streaming remembers having verified.
const VIEWERS_REMEMBERED: usize = 10_000;
/// Life of the token that the services show each other; a process that runs longer has been forgotten, not operated.
const SERVICE_TOKEN_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);
/// How long everything may take to become ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What `flame up` was told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the router listens.
    pub listen: SocketAddr,
    /// Where encoders publish by RTMP, if they may.
    pub rtmp: Option<SocketAddr>,
    /// The same by SRT.
    pub srt: Option<SocketAddr>,
    /// File with the passphrase that SRT is encrypted with.
    pub srt_passphrase: Option<PathBuf>,
    /// Where media of WHIP sessions comes in.
    pub whip: Option<SocketAddr>,
    /// Where browsers are told to send it to, if that is somewhere else.
    pub whip_advertise: Vec<IpAddr>,
    /// Whether pulls may reach private addresses.
    pub allow_private_pulls: bool,
    /// Sites that viewers are steered to.
    pub steering: Option<SteeringConfig>,
    /// Where people sign in, besides with tokens and links.
    pub oidc: Option<OidcConfig>,
    /// Who is told of changes in the catalogue.
    pub webhooks: Vec<Webhook>,
    /// How often everything reports its measurements.
    pub report_every: Span,
    /// How long links of viewers live, where no sign-in ends earlier.
    pub link_life: Span,
    /// Whether templates may name any program.
    pub any_program: bool,
    /// The points of presence of a site; without it this machine is one, `local`.
    pub layout: Option<Layout>,
}

/// Everything, running.
#[derive(Debug)]
pub struct Bundle {
    router: Running,
    clmc: Running,
    orchestrator: Running,
    services: Vec<Running>,
    vcdn: flame_vcdn::Running,
    /// The other points of presence.
    presences: Vec<Presence>,
    ingest: flame_ingest::Running,
    client: Client,
    first_token: Option<String>,
    /// Keeps others off a database outside.
    hold: Option<Hold>,
}

/// What streaming knows the surrogate by.
struct Surrogate {
    /// Folder of whose tokens it takes.
    keys: PathBuf,
    token: String,
}

/// What is the same in every service's configuration.
#[derive(Debug, Clone)]
struct Common {
    auth: AuthConfig,
    token: Option<String>,
    report_every: Span,
    /// The point of presence, where there are several.
    location: Option<String>,
}

// === impl Bundle ===

impl Bundle {
    /// Starts everything with its data in `data`.
    pub async fn start(data: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let open = settings.listen.ip().is_loopback();
        let first = !secrets::first_token_was_shown(data);
        let common = if open {
            let (auth, report_every) = (AuthConfig::default(), settings.report_every);
            Common { auth, token: None, report_every, location: None }
        } else {
            Common::with_tokens(data, settings.report_every)?
        };
        let home = settings.layout.as_ref().map(|layout| layout.home().to_string());
        let common = Common { location: home, ..common };
        let first_token = (!open && first).then(|| secrets::first_token(data)).transpose()?;
        let outside = Outside::of(data)?;
        let hold = match &outside {
            Some(outside) => Some(outside.clone().keep(outside.hold().await?)),
            None => None,
        };
        let (database, store) = match &outside {
            Some(outside) => (outside.database.clone(), StoreChoice::External(outside.store.clone())),
            None => {
                let keys = StoreKeys::of(data)?;
                let store = EmbeddedStore::new(data.join(contents::OBJECTS), keys.access_key, keys.secret_key);
                (data.join(contents::CATALOGUE).into(), StoreChoice::Embedded(store))
            }
        };

        let mut router_config = flame_router::Config {
            host: common.host(settings.listen, None),
            oidc: settings.oidc.clone(),
            ..flame_router::Config::default()
        };
        if let Some(layout) = &settings.layout {
            layout.write(data)?;
            layout.stand(&mut router_config, layout.home(), data);
        }
        let router = flame_router::start(router_config).await?;
        let address = reachable(router.address());
        let url = Url::parse(&format!("http://{address}")).context("the router's address makes a URL")?;
        let host = || common.host(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Some(url.clone()));

        let clmc = flame_clmc::start(flame_clmc::Config {
            host: host(),
            store: flame_clmc::config::StoreConfig { folder: data.join("clmc"), ..Default::default() },
            // A window is whole once everything has reported once more.
            alerts: flame_clmc::config::AlertsConfig {
                lateness: settings.report_every,
                // Who may write reaches what this machine reaches: on loopback that is its own user.
                handler_hosts: if open || settings.allow_private_pulls { vec!["*".to_owned()] } else { Vec::new() },
                ..Default::default()
            },
            ..flame_clmc::Config::default()
        });
        let clmc = clmc.await?;
        let ingest = flame_ingest::start(ingest(store, data, host(), settings)).await?;
        let store = ingest.store().clone();
        let metadata = flame_metadata::start(flame_metadata::Config {
            host: host(),
            database,
            store: Some(store.clone()),
            purges: PurgeConfig { names: vec!["*".to_owned()], ..PurgeConfig::default() },
            webhooks: settings.webhooks.clone(),
            ..flame_metadata::Config::default()
        });
        let transcode = flame_transcode::start(flame_transcode::Config {
            host: host(),
            database: data.join("transcode.db"),
            scratch: data.join("transcode-scratch"),
            // What viewers of this machine share is asked for once.
            transrate: flame_transcode::config::TransrateConfig { upstream: CDN.to_owned(), ..Default::default() },
            ..flame_transcode::Config::new(store.clone())
        });
        let quality = flame_quality_service::start(flame_quality_service::Config {
            host: host(),
            database: data.join("quality.db"),
            folder: data.join("quality"),
            ..flame_quality_service::Config::new(store.clone())
        });
        let surrogate = Surrogate::known(data, &common)?;
        let streaming = flame_streaming::Config {
            steering: settings.steering.clone(),
            ..streaming(data, host(), store, &surrogate, settings.link_life)?
        };
        let streaming = flame_streaming::start(streaming);
        let shown = HostConfig { token: Some(surrogate.token.clone()), ..host() };
        let vcdn = flame_vcdn::start(vcdn(data, shown)).await?;
        let services = vec![metadata.await?, transcode.await?, streaming.await?, quality.await?];
        let presences = match &settings.layout {
            Some(layout) => presences(layout, data, &common, &surrogate).await?,
            None => Vec::new(),
        };
        let orchestrator = flame_orchestrator::start(orchestrator(data, host(), settings)?).await?;
        let client = Client::new(url, common.token);
        Ok(Self { router, clmc, orchestrator, services, vcdn, presences, ingest, client, first_token, hold })
    }

    /// Waits until every service is registered and says that it is ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let began = tokio::time::Instant::now();
        for (name, _) in FUNCTIONS {
            while let Err(reason) = crate::health::ready(&self.client, name).await {
                if began.elapsed() > READY_PATIENCE {
                    bail!("{name} is not ready after {} s: {reason}", READY_PATIENCE.as_secs());
                }
                tokio::time::sleep(POLL).await;
            }
        }
        for presence in &self.presences {
            presence.ready(began + READY_PATIENCE).await?;
        }
        Ok(())
    }

    /// The points of presence beside the one that everything stands at, and where their routers listen.
    pub fn presences(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.presences.iter().map(|one| (one.site().as_str(), one.router()))
    }

    /// Where the router listens.
    pub fn router(&self) -> SocketAddr {
        self.router.address()
    }

    /// Where the embedded object store listens.
    pub fn store(&self) -> Option<SocketAddr> {
        self.ingest.store_address()
    }

    /// Where encoders publish by RTMP.
    pub fn rtmp(&self) -> Option<SocketAddr> {
        self.ingest.rtmp_address()
    }

    /// Where encoders publish by SRT.
    pub fn srt(&self) -> Option<SocketAddr> {
        self.ingest.srt_address()
    }

    /// Where media of WHIP sessions comes in.
    pub fn whip(&self) -> Option<SocketAddr> {
        self.ingest.whip_address()
    }

    /// The token that this start made, if it was the first that needed one.
    pub fn first_token(&self) -> Option<&str> {
        self.first_token.as_deref()
    }

    /// Notes that people have seen the first token, so that the next start makes none.
    pub fn first_token_was_shown(&self, data: &Path) -> anyhow::Result<()> {
        if self.first_token.is_some() { secrets::note_first_token(data) } else { Ok(()) }
    }

    /// Ends when another `flame up` has taken the database outside.
    pub async fn lost(&self) {
        match &self.hold {
            Some(hold) => hold.lost().await,
            None => std::future::pending().await,
        }
    }

    /// Reads keys and revocations again.
    pub fn reload(&self) {
        self.router.reload();
        self.clmc.reload();
        self.orchestrator.reload();
        self.ingest.reload();
        self.services.iter().for_each(Running::reload);
        self.vcdn.reload();
        self.presences.iter().for_each(Presence::reload);
    }

    /// Stops everything: those who call before those who are called.
    pub async fn stop(self) {
        // With what it started: that calls all others.
        self.orchestrator.stop().await;
        futures_util::future::join_all(self.presences.into_iter().map(Presence::stop)).await;
        self.vcdn.stop().await;
        // Together: each may take its whole drain time.
        futures_util::future::join_all(self.services.into_iter().map(Running::stop)).await;
        self.ingest.stop().await;
        self.clmc.stop().await;
        self.router.stop().await;
    }
}

/// Where this process reaches a listener that may listen on all addresses.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Streaming, which gives protected assets to the surrogate, and to viewers with a signed URL of its own name.
fn streaming(
    data: &Path,
    host: HostConfig,
    store: StoreConfig,
    surrogate: &Surrogate,
    life: Span,
) -> anyhow::Result<flame_streaming::Config> {
    let signer = data.join(token::VIEWERS);
    let trusted = signer.join("jwks.json");
    let links = match keys::signer(&signer) {
        Ok(_) => {
            let through = Some(SIGNED.to_owned());
            Some(LinksConfig { signer, through, origin: None, life })
        }
        // Somebody else signs links, elsewhere.
        Err(KeyError::NoSigner(_)) => None,
        Err(error) => return Err(error).context("read the key of signed URLs"),
    };
    let viewers = ViewersConfig { keys: trusted, origin: None, audience: None, remembered: VIEWERS_REMEMBERED, links };
    let surrogates = SurrogatesConfig { keys: surrogate.keys.clone() };
    let encryption = EncryptionConfig { secret: secrets::of_streaming(data)? };
    Ok(flame_streaming::Config {
        viewers: Some(viewers),
        surrogates: Some(surrogates),
        encryption: Some(encryption),
        ..flame_streaming::Config::new(host, store)
    })
}

/// Ingest with the store of everything, and every door that is wished for.
fn ingest(store: StoreChoice, data: &Path, host: HostConfig, settings: &Settings) -> flame_ingest::Config {
    let pulls = PullConfig { allow_private: settings.allow_private_pulls, ..PullConfig::default() };
    flame_ingest::Config {
        host,
        data: data.to_owned(),
        store,
        limits: Limits::default(),
        quotas: Quotas::default(),
        pulls,
        scrub: ScrubConfig::default(),
        rtmp: settings.rtmp.map(|listen| RtmpConfig { listen, ..RtmpConfig::default() }),
        srt: settings.srt.map(|listen| SrtConfig {
            listen,
            passphrase: settings.srt_passphrase.clone(),
            ..SrtConfig::default()
        }),
        whip: settings.whip.map(|listen| WhipConfig {
            listen,
            advertise: settings.whip_advertise.clone(),
            ..WhipConfig::default()
        }),
        push: Some(PushConfig::default()),
        sources: Some(SourcesConfig::default()),
        ladder: LadderConfig::default(),
        allowed_origins: Vec::new(),
        media_program: None,
    }
}

/// A surrogate in front of streaming, for everybody and for viewers with a signed URL. It keeps little: the origin is on the
/// same disk.
fn vcdn(data: &Path, host: HostConfig) -> flame_vcdn::Config {
    let cache = CacheConfig {
        folder: Some(data.join("vcdn")),
        memory: Bytes(64 << 20),
        disk: Bytes(2 << 30),
        ..CacheConfig::default()
    };
    flame_vcdn::Config { host, fronts: fronts(data), cache, ..flame_vcdn::Config::default() }
}

/// The names that each point of presence serves.
fn fronts(data: &Path) -> Vec<FrontConfig> {
    let trusted = data.join(token::VIEWERS).join("jwks.json");
    vec![FrontConfig::new(CDN, "streaming"), FrontConfig::new(SIGNED, "streaming").with_tokens(trusted)]
}

/// The points of presence beside the one that everything stands at.
async fn presences(
    layout: &Layout,
    data: &Path,
    common: &Common,
    surrogate: &Surrogate,
) -> anyhow::Result<Vec<Presence>> {
    let mut started = Vec::new();
    for (site, address) in layout.others() {
        let common = Common { location: Some(site.to_string()), ..common.clone() };
        let mut router = flame_router::Config { host: common.host(address, None), ..flame_router::Config::default() };
        layout.stand(&mut router, site, data);
        let client = presence::client(reachable(address), common.token.clone())?;
        let host = common.host(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Some(client.router().clone()));
        let host = HostConfig { token: Some(surrogate.token.clone()), ..host };
        started.push(Presence::start(site, router, host, fronts(data), client).await?);
    }
    Ok(started)
}

/// The orchestrator: what it starts ends with it, and is started again with it.
fn orchestrator(data: &Path, host: HostConfig, settings: &Settings) -> anyhow::Result<flame_orchestrator::Config> {
    let store =
        flame_orchestrator::config::StoreConfig { database: data.join("orchestrator.db"), ..Default::default() };
    let process = ProcessConfig {
        folder: data.join("endpoints"),
        any_program: settings.any_program,
        outlive: false,
        // Where callers need tokens, each start of an endpoint gets one of its own.
        keys: host.auth.keys.clone(),
        ..ProcessConfig::default()
    };
    let placement = settings.layout.as_ref().map(Layout::placement).transpose()?.unwrap_or_default();
    Ok(flame_orchestrator::Config { host, store, process, placement, ..flame_orchestrator::Config::default() })
}

// === impl Surrogate ===

impl Surrogate {
    /// What streaming knows the surrogate by: the token of all services where there is one, else one of this start.
    fn known(data: &Path, common: &Common) -> anyhow::Result<Self> {
        keys::ensure(&data.join(token::VIEWERS)).context("make the key of signed URLs")?;
        if let (Some(keys), Some(token)) = (common.auth.keys.clone(), common.token.clone()) {
            return Ok(Self { keys, token });
        }
        let keys = data.join(SURROGATES);
        if keys.is_dir() {
            // Nobody else was given what it signed.
            std::fs::remove_dir_all(&keys).with_context(|| format!("remove {}", keys.display()))?;
        }
        keys::ensure(&keys).context("make the key of the surrogate")?;
        let (subject, tenant) = ("vcdn".to_owned(), "default".to_owned());
        let scope = Scope::Service.as_str().to_owned();
        let grant = Grant { subject, tenant, scope, life: SERVICE_TOKEN_LIFE };
        let (token, _) = keys::issue(&keys, &grant).context("make the token of the surrogate")?;
        Ok(Self { keys, token })
    }
}

// === impl Common ===

impl Common {
    /// Callers need tokens, and the services have one for each other.
    fn with_tokens(data: &Path, report_every: Span) -> anyhow::Result<Self> {
        let scope = Scope::ALL.map(Scope::as_str).join(" ");
        let grant =
            Grant { subject: "services".to_owned(), tenant: "default".to_owned(), scope, life: SERVICE_TOKEN_LIFE };
        let (token, _) = token::issue(data, &grant)?;
        let auth = AuthConfig { keys: Some(data.join(token::KEYS)) };
        Ok(Self { auth, token: Some(token), report_every, location: None })
    }

    fn host(&self, listen: SocketAddr, router: Option<Url>) -> HostConfig {
        let (interval, location) = (self.report_every, self.location.clone());
        let telemetry = TelemetryConfig { interval, location, ..TelemetryConfig::default() };
        let (token, auth) = (self.token.clone(), self.auth.clone());
        HostConfig { listen, router, token, auth, telemetry: Some(telemetry), ..HostConfig::default() }
    }
}
