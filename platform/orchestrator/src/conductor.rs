//! Brings what is deployed to where it should be, step by step, and keeps it there. The thin part: what to do is decided in
//! `lifecycle`, `plan` and `policy`; here it is looked at, done and noted.
//!
//! One thing is done to a deployment at a time, by this loop or by a call. Each step is saved before the next is taken, so a crash
//! costs at most the repetition of one, and every step may be repeated.

mod calls;
mod clock;
mod demands;
mod hearing;
mod leases;
mod placing;
mod probes;
mod round;
mod routers;

pub(crate) use calls::Told;
pub(crate) use routers::Routers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_api::orchestrator as wire;
use flame_service_host::problem::chain;
use flame_tosca::DocumentError;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use self::clock::{Clock, wall_ms};
use self::leases::Leases;
use crate::config::{Config, LifecycleConfig, StoreConfig};
use crate::deployment::{self, Deployment, Key};
use crate::lifecycle::Stage;
use crate::plan::{Estate, PlanError};
use crate::process::{Target, TargetError};
use crate::rights::Overreach;
use crate::store::{Store, StoreError};

/// Time that an endpoint may take to say that it is ready.
const PROBE_WAIT: Duration = Duration::from_millis(500);

/// How often decisions of what is gone are looked through.
const TIDY: Duration = Duration::from_secs(3600);

/// What is deployed, and what brings it there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Conductor(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    target: Target,
    routers: Routers,
    http: reqwest::Client,
    estate: Arc<Estate>,
    /// Whoever searches for a place; others wait.
    planning: Arc<Semaphore>,
    steps_max: u64,
    limits: StoreConfig,
    lifecycle: LifecycleConfig,
    kept: Mutex<BTreeMap<Key, Deployment>>,
    /// Held by whoever changes something.
    changing: tokio::sync::Mutex<()>,
    wake: Notify,
    /// When endpoints answered last.
    heard: Mutex<hearing::Heard>,
    clock: Clock,
    leases: Mutex<Leases>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ConductError {
    /// The template is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Document(Vec<DocumentError>),
    /// There is no place for it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The demand is wrong, or cannot be reckoned with.
    #[error("{0}")]
    Demand(String),
    /// The search for a place was ended, with the service or by a fault of it.
    #[error("the search for a place was not ended")]
    Search(#[from] tokio::task::JoinError),
    /// It cannot be started.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It asks for something that is not the caller's, or not to be had.
    #[error("{0}")]
    Refused(String),
    /// There is no such deployment.
    #[error("deployment of {0}")]
    Absent(String),
    /// It takes more than the caller has.
    #[error("{0}")]
    Forbidden(String),
    /// It leaves, and cannot be changed.
    #[error("{0} leaves; deploy it again once it is gone")]
    Leaving(String),
    /// CLMC did not take the alerts.
    #[error("clmc did not take the alerts: {0}")]
    Alerts(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl ConductError ===

impl From<Overreach> for ConductError {
    fn from(overreach: Overreach) -> Self {
        match overreach {
            Overreach::Foreign(_) => Self::Refused(overreach.to_string()),
            Overreach::Reserved(_) | Overreach::Path { .. } => Self::Forbidden(overreach.to_string()),
            Overreach::Variables(errors) => Self::Document(errors),
        }
    }
}

// === impl Conductor ===

impl Conductor {
    /// Goes on with what was deployed.
    pub async fn open(config: &Config, estate: Estate, routers: Routers) -> Result<Self, StoreError> {
        let store = Store::open(&config.store).await?;
        let clock = Clock::start();
        let mut kept = BTreeMap::new();
        for (key, mut record) in store.load().await? {
            record.not_after(clock.now_ms());
            let one = match deployment::read(&record.request) {
                Ok(template) => Deployment { record, template, problem: None },
                // It was right when it was deployed: another release may be stricter.
                Err(errors) => {
                    let error = ConductError::Document(errors).to_string();
                    let (sfc, sfci) = (&key.1, &key.2);
                    tracing::error!(error, sfc, sfci, "a template is not understood any more; what runs of it goes on");
                    Deployment::lost(&key, record, &error)
                }
            };
            kept.insert(key, one);
        }
        Ok(Self(Arc::new(Parts {
            target: Target::new(config.process.clone(), config.host.router.clone(), config.placement.routers()),
            routers,
            http: reqwest::Client::builder().timeout(PROBE_WAIT).no_proxy().build().unwrap_or_default(),
            estate: Arc::new(estate),
            planning: Arc::new(Semaphore::new(1)),
            steps_max: config.placement.steps_max,
            limits: config.store.clone(),
            lifecycle: config.lifecycle.clone(),
            clock,
            leases: Mutex::new(leases::held(&kept)),
            kept: Mutex::new(kept),
            changing: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            heard: Mutex::default(),
            store,
        })))
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<(), String> {
        self.0.store.check().await.map_err(|error| chain(&error))
    }

    /// Looks at everything again and again, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut tidied: Option<tokio::time::Instant> = None;
        while !stop.is_cancelled() {
            let began = tokio::time::Instant::now();
            if tidied.is_none_or(|at| at.elapsed() >= TIDY) {
                self.forget_old().await;
                tidied = Some(began);
            }
            let keys: Vec<Key> = self.0.kept().keys().cloned().collect();
            let routes = if keys.is_empty() { Ok(Vec::new()) } else { self.0.routers.routes().await };
            match routes {
                Ok(routes) => {
                    let ready = self.ready().await;
                    for key in keys {
                        if stop.is_cancelled() {
                            break;
                        }
                        self.round(&key, &routes, &ready).await;
                    }
                }
                Err(error) => tracing::warn!(error, "the router does not answer: nothing is changed until it does"),
            }
            let next = began + self.0.lifecycle.look_every.0;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        if !self.0.target.outlives() {
            self.end_all().await;
        }
    }

    /// Ends all endpoints: they must not outlive the orchestrator. They are started again with it.
    async fn end_all(&self) {
        let _changing = self.0.changing.lock().await;
        let all: Vec<(Key, Deployment)> = self.0.kept().iter().map(|(key, one)| (key.clone(), one.clone())).collect();
        let running = all.iter().flat_map(|(_, one)| &one.record.endpoints).filter_map(|one| one.process);
        let running: Vec<_> = running.collect();
        running.iter().for_each(|process| Target::end(*process, false));
        let until = tokio::time::Instant::now() + self.0.lifecycle.stop.0.min(Duration::from_secs(8));
        while running.iter().any(|process| Target::is_alive(*process)) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.iter().for_each(|process| Target::end(*process, true));
        for (key, mut one) in all {
            for endpoint in one.record.endpoints.iter().filter(|one| one.process.is_some()) {
                self.0.target.sweep(endpoint);
            }
            for endpoint in
                one.record.endpoints.iter_mut().filter(|one| one.stage.runs() || one.stage == Stage::Stopping)
            {
                (endpoint.stage, endpoint.process, endpoint.since_ms) = (Stage::Placed, None, self.now_ms());
            }
            if let Err(error) = self.0.store.save(&key, &one.record).await {
                tracing::warn!(error = chain(&error), "what has ended is not noted; it is found out at the next start");
            }
        }
    }

    async fn note(&self, key: &Key, subject: &str, action: &str, reason: &str) {
        tracing::info!(sfc = key.1, sfci = key.2, subject, action, reason, "decided");
        if let Err(error) = self.0.store.decided(key, wall_ms(), (subject, action, reason)).await {
            tracing::warn!(error = chain(&error), "a decision was not noted");
        }
    }

    /// Forgets what was decided of deployments that are long gone.
    async fn forget_old(&self) {
        if let Err(error) = self.0.store.forget_old(wall_ms()).await {
            tracing::warn!(error = chain(&error), "old decisions were not forgotten");
        }
    }

    fn now_ms(&self) -> u64 {
        self.0.clock.now_ms()
    }

    /// What a tenant has deployed.
    pub fn list(&self, tenant: &str) -> Vec<wire::Deployment> {
        self.0.kept().iter().filter(|(key, _)| key.0 == tenant).map(|(_, one)| one.shown()).collect()
    }

    /// One deployment.
    pub fn get(&self, key: &Key) -> Option<wire::Deployment> {
        self.0.kept().get(key).map(Deployment::shown)
    }

    /// What was asked for when one was deployed.
    pub fn request(&self, key: &Key) -> Option<wire::NewDeployment> {
        self.0.kept().get(key).map(|one| one.record.request.clone())
    }

    /// What was decided of one, also when it is gone.
    pub async fn decisions(&self, key: &Key) -> Result<Vec<wire::Decision>, StoreError> {
        self.0.store.decisions(key).await
    }
}

// === impl Parts ===

impl Parts {
    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Deployment>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
