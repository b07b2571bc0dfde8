//! What the service is told. `config.example.toml` holds every key with its meaning.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flame_service_host::HostConfig;
use flame_service_host::config::{Bytes, Span};
use flame_tosca::template::Resources;
use serde::Deserialize;
use url::Url;

use crate::lifecycle::Terms;
use crate::plan::{Cluster, Estate};

/// The configuration of the orchestrator.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What every service is told.
    pub host: HostConfig,
    /// What is remembered.
    pub store: StoreConfig,
    /// Where endpoints can be.
    pub placement: PlacementConfig,
    /// How long the steps of an endpoint's life may take.
    pub lifecycle: LifecycleConfig,
    /// How endpoints run.
    pub process: ProcessConfig,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The database.
    pub database: PathBuf,
    /// Deployments of all tenants.
    pub deployments: usize,
    /// Deployments of one tenant.
    pub tenant_deployments: usize,
    /// Decisions that are kept of each deployment.
    pub decisions: u32,
    /// Decisions that are kept of all deployments together that are gone.
    pub gone_decisions: u32,
    /// How long those are kept.
    pub gone_for: Span,
}

/// `[placement]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementConfig {
    /// The clusters, in the order in which they are preferred. Without any this machine is one, `local`.
    pub clusters: Vec<ClusterConfig>,
    /// How far sites are from each other.
    pub links: Vec<LinkConfig>,
    /// How far sites are from each other of which nothing is said.
    pub unknown_latency: Span,
    /// Steps of the search for the best placement.
    pub steps_max: u64,
}

/// `[[placement.clusters]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// What it is called.
    pub name: String,
    /// Its site.
    pub site: String,
    /// How near to viewers it is.
    #[serde(default)]
    pub tier: Tier,
    /// Processors.
    pub cpus: u64,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
    /// The router of its site, if it is not the one of `[host]`; that of the first cluster of a site counts for all of it.
    #[serde(default)]
    pub router: Option<Url>,
}

/// How near to viewers a cluster is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Distant, and large.
    #[default]
    DataCentre,
    /// In the city.
    Edge,
    /// In the street.
    FarEdge,
    /// With the viewers.
    Mist,
}

/// `[[placement.links]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// A site.
    pub from: String,
    /// Another one.
    pub to: String,
    /// One way, both ways alike.
    pub latency: Span,
}

/// `[lifecycle]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LifecycleConfig {
    /// How often endpoints are looked at.
    pub look_every: Span,
    /// Time from the start of an endpoint to its first answer.
    pub boot: Span,
    /// Time that open requests get of one that leaves.
    pub drain: Span,
    /// Time from being told to end to being ended.
    pub stop: Span,
    /// Rest after the second failure in a row; each further one doubles it.
    pub retry: Span,
    /// The longest rest. Who has held so long has not failed in a row.
    pub retry_max: Span,
    /// How often those that run are asked whether they answer.
    pub ask_every: Span,
    /// Time for such an answer.
    pub answer: Span,
    /// Who runs and does not answer for so long hangs: it is ended, and started again.
    pub silent: Span,
    /// Endpoints that are asked whether they are up, or registered anew, at once.
    pub at_once: usize,
}

/// `[process]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessConfig {
    /// Where each endpoint has a folder of its own.
    pub folder: PathBuf,
    /// Programs that templates may name.
    pub programs: Vec<String>,
    /// Where those are; without any, beside this one.
    pub folders: Vec<PathBuf>,
    /// Whether templates of administrators may name any program of this machine by its path.
    pub any_program: bool,
    /// Whether endpoints go on when the orchestrator is gone, and are taken over when it is back.
    pub outlive: bool,
    /// Credential that endpoints are given as FLAME_TOKEN and `{token}`: templates can read it.
    pub token: Option<String>,
    /// Folder with a private key (`flame token issue`): each start of an endpoint then gets a token of its own instead, of its
    /// deployment's tenant, with which it registers behind its own names only; and `FLAME_KEYS`, this folder, to know callers by.
    pub keys: Option<PathBuf>,
    /// Life of such a token; who runs longer is not known any more.
    pub token_life: Span,
    /// The router that endpoints are told (`FLAME_ROUTER`), if it is not the one of `[host]`: they have no certificates, and one that
    /// speaks TLS with parts knows them by their tokens at its listener for viewers.
    pub router: Option<Url>,
    /// Longest log of one endpoint; then it begins anew.
    pub log_max: Bytes,
}

// === defaults ===

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            database: PathBuf::from("orchestrator.db"),
            deployments: 100,
            tenant_deployments: 25,
            decisions: 1000,
            gone_decisions: 10_000,
            gone_for: Span(Duration::from_secs(7 * 24 * 3600)),
        }
    }
}

impl Default for PlacementConfig {
    fn default() -> Self {
        Self {
            clusters: Vec::new(),
            links: Vec::new(),
            unknown_latency: Span(Duration::from_millis(100)),
            steps_max: 1_000_000,
        }
    }
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self {
            look_every: Span(Duration::from_millis(200)),
            boot: Span(Duration::from_secs(30)),
            drain: Span(Duration::from_secs(30)),
            stop: Span(Duration::from_secs(15)),
            retry: Span(Duration::from_secs(1)),
            retry_max: Span(Duration::from_secs(60)),
            ask_every: Span(Duration::from_secs(1)),
            answer: Span(Duration::from_secs(1)),
            silent: Span(Duration::from_secs(10)),
            at_once: 64,
        }
    }
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("endpoints"),
            programs: ["flame-vcdn", "flame-streaming"].map(str::to_owned).to_vec(),
            folders: Vec::new(),
            any_program: false,
            outlive: true,
            token: None,
            keys: None,
            token_life: Span(Duration::from_secs(366 * 24 * 3600)),
            router: None,
            log_max: Bytes(8 << 20),
        }
    }
}

// === impl LifecycleConfig ===

impl LifecycleConfig {
    pub(crate) fn terms(&self) -> Terms {
        let ms = |span: Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        Terms {
            boot_ms: ms(self.boot),
            drain_ms: ms(self.drain),
            stop_ms: ms(self.stop),
            retry_ms: ms(self.retry),
            retry_max_ms: ms(self.retry_max),
            silent_ms: ms(self.silent),
        }
    }
}

// === impl Tier ===

impl Tier {
    fn as_str(self) -> &'static str {
        match self {
            Self::DataCentre => "data_centre",
            Self::Edge => "edge",
            Self::FarEdge => "far_edge",
            Self::Mist => "mist",
        }
    }
}

// === impl PlacementConfig ===

impl PlacementConfig {
    /// The clusters; `this_machine` where none is configured.
    pub(crate) fn estate(&self, this_machine: Resources) -> Estate {
        let configured = self.clusters.iter().map(|one| Cluster {
            name: one.name.clone(),
            site: one.site.clone(),
            tier: one.tier.as_str().to_owned(),
            has: Resources { cpus: one.cpus, memory_bytes: one.memory.0, disk_bytes: one.disk.0 },
        });
        let mut clusters: Vec<Cluster> = configured.collect();
        if clusters.is_empty() {
            let (name, site, tier) = ("local".to_owned(), "local".to_owned(), Tier::DataCentre.as_str().to_owned());
            clusters.push(Cluster { name, site, tier, has: this_machine });
        }
        let ms = |span: Span| span.0.as_secs_f64() * 1000.0;
        let links = self.links.iter().map(|link| ((link.from.clone(), link.to.clone()), ms(link.latency)));
        let latency_ms: BTreeMap<_, _> = links.collect();
        Estate { clusters, latency_ms, unknown_latency_ms: ms(self.unknown_latency) }
    }

    /// The routers of sites that have one of their own, by site.
    pub(crate) fn routers(&self) -> BTreeMap<String, Url> {
        let mut found = BTreeMap::new();
        for one in &self.clusters {
            if let Some(router) = &one.router {
                found.entry(one.site.clone()).or_insert_with(|| router.clone());
            }
        }
        found
    }
}
