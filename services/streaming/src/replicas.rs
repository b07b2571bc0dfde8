//! Objects that are at other sites: found by indirection, sent on at once, and kept.
//!
//! Each site has a store of its own (`[replicas]`). What a viewer's request needs and the near store lacks is asked of the stores of
//! other sites, by name, through the router (`neighbours`); the viewer gets it as it comes. Behind that the whole object is copied into
//! the near store, block by block, each held to its digest (`copy`), and the next viewer needs nobody else. Which objects may be copied
//! is decided from their keys alone (`kept`): those that never change. An asset can be brought to a site before anybody asks for it, too;
//! where several sites do so at once, their routers fetch each block once and multicast it (`placement`).
//!
//! Before anything of an asset is kept, a mark is stored. So it is known, also after a restart and by other instances, of what there are
//! copies; when an asset is gone for good they go, too (`forgetting`), and a key is made only where the media itself is.
//!
//! It never copies what it does not have to, evicts nothing, and repairs nothing: a site that runs out of room goes on reading elsewhere.

mod copy;
mod forgetting;
mod kept;
mod neighbours;
mod placement;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_api::Client;
use flame_naming::Label;
use flame_object_store::{ObjectInfo, Store, StoreError};
use flame_service_host::metrics::Metrics;
use futures_util::{StreamExt, stream};
use moka::future::Cache;
use prometheus::IntCounter;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

pub(crate) use kept::{BLOCK_BYTES, Owner, owner};
pub(crate) use neighbours::{CONTENT_DIGEST, content_digest};
pub(crate) use placement::keys;

use crate::config::ReplicasConfig;
use neighbours::{Arriving, Neighbours};

/// How long an object that could not be copied is not tried again.
const FAILED_FOR: Duration = Duration::from_secs(30);
/// The same where somebody places it.
const FAILED_FOR_PLACED: Duration = Duration::from_secs(5);
/// The most such objects that are remembered.
const FAILED_MAX: u64 = 10_000;
/// How long an object that nobody had is not asked for again.
const NOWHERE_FOR: Duration = Duration::from_secs(2);
/// Questions of viewers to other sites that are under way at a time; more wait for as long as one may take.
const SEARCHES: usize = 64;
/// Those of them for what the catalogue does not list: old versions, and what somebody made up.
const SEARCHES_UNSURE: usize = 8;
/// How long one waits for such a turn: mostly somebody looks for the same thing.
const UNSURE_WITHIN: Duration = Duration::from_secs(1);
/// Blocks that are in memory at a time because other sites copy them.
const BLOCKS_SERVED: usize = 8;

/// What is copied here. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Replicas(Arc<Parties>);

#[derive(Debug)]
struct Parties {
    near: Store,
    neighbours: Neighbours,
    catalogue: Client,
    config: ReplicasConfig,
    queue: mpsc::Sender<Wanted>,
    /// Keys that wait, or are being copied, and how much of each has come, bytes.
    under_way: Mutex<HashMap<String, u64>>,
    /// When they failed.
    failed: Cache<String, Instant>,
    nowhere: Cache<String, ()>,
    searches: Semaphore,
    unsure: Semaphore,
    blocks: Arc<Semaphore>,
    figures: Figures,
}

/// An object that is to be copied.
#[derive(Debug)]
pub(crate) struct Wanted {
    key: String,
    owner: Owner,
    /// The site whose store is asked; otherwise the nearest that has it.
    from: Option<Label>,
}

#[derive(Debug)]
struct Figures {
    found: IntCounter,
    kept: IntCounter,
    kept_bytes: IntCounter,
    failed: IntCounter,
    left: IntCounter,
    forgotten: IntCounter,
}

/// Keys that something is known of for a while.
fn remembered<T: Clone + Send + Sync + 'static>(life: Duration) -> Cache<String, T> {
    Cache::builder().max_capacity(FAILED_MAX).time_to_live(life).build()
}

// === impl Figures ===

impl Figures {
    fn new(host: &Metrics) -> Self {
        let counter = |name, about| {
            let counter = IntCounter::new(name, about).expect("the name is valid");
            host.register(counter.clone());
            counter
        };
        Self {
            found: counter("replicas_found_total", "Reads that the store of another site answered"),
            kept: counter("replicas_kept_total", "Objects of other sites that are kept here since the start"),
            kept_bytes: counter("replicas_kept_bytes_total", "Their bytes"),
            failed: counter("replicas_failed_total", "Objects that could not be copied"),
            left: counter("replicas_left_total", "Objects that were not copied because too many waited"),
            forgotten: counter("replicas_forgotten_total", "Copies that were deleted with their assets"),
        }
    }
}

// === impl Replicas ===

impl Replicas {
    /// Copies into `near` from the stores behind the configured name, and what [`Replicas::until`] works off.
    pub(crate) fn new(
        (near, client): (Store, Client),
        config: &ReplicasConfig,
        host: &Metrics,
    ) -> (Self, mpsc::Receiver<Wanted>) {
        let (queue, waiting) = mpsc::channel(config.waiting);
        let parties = Parties {
            near,
            neighbours: Neighbours::new(client.clone(), &config.name, config.deadline.0),
            catalogue: client,
            config: config.clone(),
            queue,
            under_way: Mutex::default(),
            failed: remembered(FAILED_FOR),
            nowhere: remembered(NOWHERE_FOR),
            searches: Semaphore::new(SEARCHES),
            unsure: Semaphore::new(SEARCHES_UNSURE),
            blocks: Arc::new(Semaphore::new(BLOCKS_SERVED)),
            figures: Figures::new(host),
        };
        (Self(Arc::new(parties)), waiting)
    }

    /// Copies what is wanted, and forgets what is gone, until `stop`. What is cut off then is taken up by the next copy of the same object.
    pub(crate) async fn until(self, waiting: mpsc::Receiver<Wanted>, stop: CancellationToken) {
        let next = |mut waiting: mpsc::Receiver<Wanted>| async move { Some((waiting.recv().await?, waiting)) };
        let copies = stream::unfold(waiting, next).for_each_concurrent(self.0.config.at_once, |wanted| {
            let replicas = self.clone();
            async move { replicas.bring(wanted).await }
        });
        tokio::select! {
            () = copies => {}
            () = self.forget_on() => {}
            () = stop.cancelled() => {}
        }
    }

    /// What the stores of other sites know of an object. It is copied from now on.
    pub(crate) async fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        self.found(key, self.0.neighbours.head(key, None)).await
    }

    /// An object of another site's store, in memory. It is copied from now on.
    pub(crate) async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, StoreError> {
        self.found(key, self.0.neighbours.get(key, max_bytes)).await
    }

    /// A range of an object of another site's store, and how long it is. The whole is copied from now on.
    pub(crate) async fn open(&self, key: &str, range: Range<u64>) -> Result<(u64, Arriving), StoreError> {
        self.found(key, self.0.neighbours.open(key, range)).await
    }

    /// A turn to look for what the catalogue does not list, if one is free within a moment.
    pub(crate) async fn unsure(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(UNSURE_WITHIN, self.0.unsure.acquire()).await.ok()?.ok()
    }

    /// Leave to hold one block in memory for another site.
    pub(crate) fn blocks(&self) -> &Arc<Semaphore> {
        &self.0.blocks
    }

    async fn found<T>(&self, key: &str, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if self.0.nowhere.contains_key(key) {
            return Err(StoreError::NotFound { operation: "find", key: key.to_owned() });
        }
        let turn = tokio::time::timeout(self.0.config.deadline.0, self.0.searches.acquire()).await;
        let Ok(Ok(turn)) = turn else {
            let source = "too many objects are looked for at other sites".into();
            return Err(StoreError::Unavailable { operation: "find", key: key.to_owned(), source });
        };
        let found = asked.await;
        drop(turn);
        if found.is_ok() {
            self.0.figures.found.inc();
            self.want(key, None).await;
        } else if matches!(found, Err(StoreError::NotFound { .. })) {
            self.0.nowhere.insert(key.to_owned(), ()).await;
        }
        found
    }

    /// Has an object copied if it is one that may be; whether it waits or is being copied now. One that failed is left alone for a while, a
    /// shorter one where somebody says from where.
    async fn want(&self, key: &str, from: Option<&Label>) -> bool {
        let Some(owner) = owner(key) else { return false };
        let rests = if from.is_some() { FAILED_FOR_PLACED } else { FAILED_FOR };
        if self.0.failed.get(key).await.is_some_and(|failed| failed.elapsed() < rests) {
            return false;
        }
        let mut under_way = self.under_way();
        if under_way.contains_key(key) {
            return true;
        }
        let wanted = Wanted { key: key.to_owned(), owner, from: from.cloned() };
        let is_taken = self.0.queue.try_send(wanted).is_ok();
        if is_taken {
            under_way.insert(key.to_owned(), 0);
        } else if from.is_none() {
            // Who places it asks again.
            self.0.figures.left.inc();
        }
        is_taken
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much has come of an object that is being copied.
    fn has_come(&self, key: &str, come_bytes: u64) {
        if let Some(known) = self.under_way().get_mut(key) {
            *known = come_bytes;
        }
    }

    /// How much has come of an object that waits or is being copied, bytes.
    fn come_bytes(&self, key: &str) -> u64 {
        self.under_way().get(key).copied().unwrap_or(0)
    }
}
