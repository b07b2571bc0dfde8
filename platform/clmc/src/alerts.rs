//! Alerts: documents ([`document`]), what they say of points and when ([`evaluate`]), and telling others of it.
//!
//! Documents are kept in one file beside the databases, whole or not at all, and looked at again after a restart. This file is the thin
//! part: it reads what windows need from the store, and hands messages to [`delivery`].

pub mod delivery;
pub mod document;
pub mod evaluate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_api::Client;
use flame_api::client::Transport;
use flame_api::clmc::{AlertSpecification, AlertTrigger};
use flame_service_host::problem::chain;
use prometheus::IntCounter;
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::AlertsConfig;
use crate::now_ns;
use crate::series::Tags;
use crate::store::{Selection, Store};
use delivery::{Lane, Lanes};
use document::{DocumentError, Event, Handler, Specification, Trigger};
use evaluate::{Change, Watch, Window};

/// The name of the orchestrator, which `flame_sfemc` stands for.
const ORCHESTRATOR: &str = "orchestrator";
/// How often due windows are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const INSTANCE_TAG: &str = "flame_sfci";
const FILE: &str = "alerts.json";

/// All documents of all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    config: Arc<AlertsConfig>,
    path: PathBuf,
    kept: Arc<Mutex<BTreeMap<Key, Kept>>>,
}

/// Tenant, chain, instance.
type Key = (String, String, String);

#[derive(Debug, Clone)]
struct Kept {
    text: String,
    specification: Arc<Specification>,
    watches: Vec<Watch>,
}

/// A document in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    tenant: String,
    text: String,
}

/// What tells of changes.
#[derive(Debug, Clone)]
pub struct Messenger {
    /// Calls by name; `None` without a router.
    pub client: Option<Client>,
    pub delivered: IntCounter,
    pub given_up: IntCounter,
}

/// Why a document was not kept.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// It is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// There are as many as there may be.
    #[error("there are {0} alerts documents, and no more may be put: remove one, or set `alerts.documents`")]
    TooMany(usize),
    /// A handler may not be told.
    #[error("alerts may not be sent to {0}: `alerts.handler_hosts` does not name it")]
    Handler(String),
    /// The file cannot be written.
    #[error("the alerts cannot be kept")]
    Io(#[from] io::Error),
}

// === impl Alerts ===

impl Alerts {
    /// Reads what was kept in `folder`.
    pub fn open(folder: PathBuf, config: AlertsConfig) -> io::Result<Self> {
        let path = folder.join(FILE);
        let lines: Vec<Line> = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut kept = BTreeMap::new();
        for Line { tenant, text } in lines {
            let specification = document::read(&text).map_err(io::Error::other)?;
            let (key, one) = Kept::new(&tenant, text, specification, Watch::resumed);
            kept.insert(key, one);
        }
        Ok(Self { config: Arc::new(config), path, kept: Arc::new(Mutex::new(kept)) })
    }

    /// Keeps a document; one of the same chain and instance goes. True where there was one.
    pub fn put(&self, tenant: &str, text: String) -> Result<(AlertSpecification, bool), AlertError> {
        let specification = document::read(&text)?;
        for trigger in &specification.triggers {
            self.check_handlers(trigger)?;
        }
        let (key, one) = Kept::new(tenant, text, specification, Watch::new);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains_key(&key) && kept.len() >= self.config.documents {
            return Err(AlertError::TooMany(kept.len()));
        }
        let shown = one.shown();
        let before = kept.insert(key.clone(), one);
        if let Err(error) = self.write(&kept) {
            match before {
                Some(before) => drop(kept.insert(key, before)),
                None => drop(kept.remove(&key)),
            }
            return Err(error.into());
        }
        Ok((shown, before.is_some()))
    }

    fn check_handlers(&self, trigger: &Trigger) -> Result<(), AlertError> {
        for handler in &trigger.handlers {
            if let Handler::Url(url) = handler
                && !self.may_tell(url)
            {
                return Err(AlertError::Handler(url.host_str().unwrap_or_default().to_owned()));
            }
        }
        Ok(())
    }

    fn may_tell(&self, url: &Url) -> bool {
        let hosts = &self.config.handler_hosts;
        let may = |host: &str| hosts.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(host));
        url.host_str().is_some_and(may)
    }

    /// Forgets a document; false where there is none.
    pub fn remove(&self, tenant: &str, sfc: &str, sfci: &str) -> io::Result<bool> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.to_owned(), sfc.to_owned(), sfci.to_owned());
        let Some(before) = kept.remove(&key) else { return Ok(false) };
        if let Err(error) = self.write(&kept) {
            kept.insert(key, before);
            return Err(error);
        }
        Ok(true)
    }

    /// What a tenant has put, and where each trigger stands.
    pub fn list(&self, tenant: &str) -> Vec<AlertSpecification> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|((owner, ..), _)| owner == tenant).map(|(_, one)| one.shown()).collect()
    }

    fn write(&self, kept: &BTreeMap<Key, Kept>) -> io::Result<()> {
        let lines: Vec<_> =
            kept.iter().map(|((tenant, ..), one)| Line { tenant: tenant.clone(), text: one.text.clone() }).collect();
        let draft = self.path.with_extension("new");
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(&lines)?)?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        self.path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    }

    /// Looks at windows when they are due, and tells of changes, until `stop`.
    pub async fn watch(self, store: Store, messenger: Messenger, stop: CancellationToken) {
        let mut lanes = Lanes::new(Arc::clone(&self.config), messenger.clone());
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            for lane in lanes.given_up() {
                self.tell_again(&lane);
            }
            let (alerts, store) = (self.clone(), store.clone());
            let Ok(changes) = tokio::task::spawn_blocking(move || alerts.look(&store, now_ns())).await else {
                continue;
            };
            for (tenant, specification, trigger, change) in changes {
                let body = evaluate::message(&specification, &trigger, &change);
                let (policy, id, value) = (&trigger.policy, &trigger.id, change.value);
                tracing::info!(
                    sfc = specification.sfc,
                    policy,
                    trigger = id,
                    critical = change.is_critical,
                    value,
                    "an alert changed"
                );
                let is_meant = |at: &usize| change.only.as_ref().is_none_or(|only| only.contains(at));
                for (at, handler) in trigger.handlers.iter().enumerate().filter(|(at, _)| is_meant(at)) {
                    let Some(request) = self.request(&messenger, handler, &specification, &trigger) else { continue };
                    let document = (tenant.clone(), specification.sfc.clone(), specification.sfci.clone());
                    let lane = Lane { document, policy: policy.clone(), trigger: id.clone(), handler: at };
                    if !lanes.send(lane.clone(), request, body.clone()) {
                        tracing::warn!(policy, trigger = id, "too many messages are under way: one is put off");
                        self.tell_again(&lane);
                    }
                }
            }
        }
    }

    /// Has the level of a trigger told again with its next window.
    fn tell_again(&self, lane: &Lane) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(one) = kept.get_mut(&lane.document) else { return };
        for (trigger, watch) in one.specification.triggers.iter().zip(&mut one.watches) {
            if (&trigger.policy, &trigger.id) == (&lane.policy, &lane.trigger) {
                watch.given_up.insert(lane.handler);
            }
        }
    }

    fn request(
        &self,
        messenger: &Messenger,
        handler: &Handler,
        specification: &Specification,
        trigger: &Trigger,
    ) -> Option<RequestBuilder> {
        let path = format!("{}/{}/{}", specification.sfc, trigger.policy, trigger.id);
        if let Handler::Url(url) = handler
            && !self.may_tell(url)
        {
            tracing::warn!(%url, "a document of before names a host that `alerts.handler_hosts` does not: it is not told");
            return None;
        }
        let http = || Transport::default().http();
        match (handler, &self.config.sfemc, &messenger.client) {
            (Handler::Url(url), ..) => Some(http().post(url.clone())),
            (Handler::Sfemc, Some(base), _) => {
                Some(http().post(format!("{}/{path}", base.as_str().trim_end_matches('/'))))
            }
            (Handler::Sfemc, None, Some(client)) => Some(client.request(Method::POST, ORCHESTRATOR, &path)),
            (Handler::Sfemc, None, None) => {
                tracing::warn!(path, "flame_sfemc is known by name only: set [host] router or alerts.sfemc");
                None
            }
        }
    }

    /// Looks at the windows that are due; gives the changes.
    fn look(&self, store: &Store, now_ns: i64) -> Vec<(String, Arc<Specification>, Trigger, Change)> {
        let lateness_ns = i64::try_from(self.config.lateness.0.as_nanos()).unwrap_or(i64::MAX);
        let due: Vec<(Key, Arc<Specification>, usize, Window)> = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let windows = kept.iter().flat_map(|(key, one)| {
                let triggers = one.specification.triggers.iter().zip(&one.watches).enumerate();
                triggers.filter_map(move |(at, (trigger, watch))| {
                    let window = watch.window(trigger, lateness_ns, now_ns)?;
                    Some((key.clone(), Arc::clone(&one.specification), at, window))
                })
            });
            windows.collect()
        };
        let mut changes = Vec::new();
        for (key, specification, at, window) in due {
            let trigger = &specification.triggers[at];
            let read = self.read(store, &key, trigger, window, now_ns);
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // It may have been replaced meanwhile.
            let watch = kept.get_mut(&key).filter(|one| Arc::ptr_eq(&one.specification, &specification));
            let Some(watch) = watch.and_then(|one| one.watches.get_mut(at)) else { continue };
            match read {
                Ok(series) => {
                    if let Some(change) = watch.close(trigger, window, &series) {
                        changes.push((key.0, Arc::clone(&specification), trigger.clone(), change));
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        trigger = trigger.id,
                        "a window was not read: the next one is"
                    );
                    watch.skip(window);
                }
            }
        }
        changes
    }

    fn read(
        &self,
        store: &Store,
        (tenant, sfc, sfci): &Key,
        trigger: &Trigger,
        window: Window,
        now_ns: i64,
    ) -> Result<Vec<crate::series::Series>, crate::store::ScanError> {
        let length_ns = window.to_ns - window.from_ns;
        // Only a relative condition looks at the window before.
        let (before_ns, fields) = match &trigger.event {
            Event::Relative { field, .. } => (length_ns, Some([field.clone()].into())),
            Event::Threshold { field, .. } => (0, Some([field.clone()].into())),
            Event::Deadman => (0, None),
        };
        let is_meant = |tags: &Tags| {
            // One database holds all instances of a chain.
            let is_instance = tags.get(INSTANCE_TAG).is_none_or(|instance| instance == sfci);
            is_instance && trigger.tags.iter().all(|(name, value)| tags.get(name) == Some(value))
        };
        let selection = Selection {
            measurement: &trigger.measurement,
            series: &is_meant,
            fields: fields.as_ref(),
            from_ns: window.from_ns - before_ns,
            to_ns: window.to_ns - 1,
        };
        store.read(tenant, sfc, selection, (now_ns, self.config.values_max))
    }
}

// === impl Kept ===

impl Kept {
    fn new(tenant: &str, text: String, specification: Specification, watch: fn(&Trigger, i64) -> Watch) -> (Key, Self) {
        let key = (tenant.to_owned(), specification.sfc.clone(), specification.sfci.clone());
        let watches = specification.triggers.iter().map(|trigger| watch(trigger, now_ns())).collect();
        (key, Self { text, specification: Arc::new(specification), watches })
    }

    fn shown(&self) -> AlertSpecification {
        let triggers = self.specification.triggers.iter().zip(&self.watches).map(|(trigger, watch)| AlertTrigger {
            policy: trigger.policy.clone(),
            trigger: trigger.id.clone(),
            description: trigger.description.clone(),
            level: if watch.is_critical { "CRITICAL" } else { "OK" }.to_owned(),
            value: watch.value,
            threshold: trigger.threshold,
        });
        let Specification { sfc, sfci, .. } = &*self.specification;
        AlertSpecification { sfc: sfc.clone(), sfci: sfci.clone(), triggers: triggers.collect() }
    }
}
