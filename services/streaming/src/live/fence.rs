//! The only way by which live channels write to the object store: as long as the lease is held, and never over what a later owner has written.
//!
//! A look at the clock before each write is not enough: a process may be stopped between the look and the write. So every document says under
//! which generation it was written, and is written on the condition that it is the one that this owner wrote or read last. Whoever becomes
//! the owner writes each document that its predecessor may be about to write once more, under its own generation ([`Fenced::seize`]): what
//! comes late then fails. Segments need no condition, since no two owners use the same number.
//!
//! Without a lease there is one instance, and everything is written as it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flame_object_store::{IfExists, ListPage, ObjectInfo, PageToken, Store, StoreError};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::DOCUMENT_TYPE;
use super::lease::Moment;

/// Tags that are remembered; then they are asked for again.
const TAGS_MAX: usize = 4_096;
/// Tries of one write: whoever is in the way writes late, and not again.
const TRIES: usize = 4;
/// Where documents say under which generation they were written.
const GENERATION: &str = "generation";
const OWNER: &str = "owner";

/// By the clock that runs while this process is stopped, or its machine sleeps.
pub(super) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How long the channels are this instance's. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    /// Under which generation, and of which instance; none of one that shares with nobody.
    owner: Option<(u64, Uuid)>,
    /// Nanoseconds of [`now`].
    until_ns: Arc<AtomicU64>,
}

/// The object store under a hold. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fenced {
    store: Store,
    hold: Hold,
    /// Of what this owner wrote or read last; `None` where there was nothing.
    tags: Arc<Mutex<HashMap<String, Option<String>>>>,
}

// === impl Hold ===

impl Hold {
    /// Of an instance that shares with nobody.
    pub(super) fn forever() -> Self {
        Self { owner: None, until_ns: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Of this instance, under this generation, until then.
    pub(super) fn until(owner: (u64, Uuid), until: Moment) -> Self {
        let hold = Self { owner: Some(owner), until_ns: Arc::default() };
        hold.extend(until);
        hold
    }

    pub(super) fn extend(&self, until: Moment) {
        self.until_ns.store(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX - 1), Ordering::Release);
    }

    /// From now on they are not.
    pub(super) fn end(&self) {
        self.until_ns.store(0, Ordering::Release);
    }

    /// Whether they are now.
    pub(super) fn is_held(&self) -> bool {
        match self.until_ns.load(Ordering::Acquire) {
            u64::MAX => true,
            until_ns => now().as_nanos() < u128::from(until_ns),
        }
    }
}

// === impl Fenced ===

impl Fenced {
    pub(super) fn new(store: Store, hold: Hold) -> Self {
        Self { store, hold, tags: Arc::default() }
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    fn is_shared(&self) -> bool {
        self.hold.owner.is_some()
    }

    /// Refuses where the lease is over.
    fn check(&self, key: &str) -> Result<(), StoreError> {
        if self.hold.is_held() {
            return Ok(());
        }
        Err(StoreError::PreconditionFailed { operation: "write without the lease", key: key.to_owned() })
    }

    pub(super) async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, StoreError> {
        self.store.get(key, max_bytes).await
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        self.store.head(key).await
    }

    pub(super) async fn list(&self, prefix: &str, page: Option<PageToken>) -> Result<ListPage, StoreError> {
        self.store.list(prefix, page).await
    }

    /// Writes media whose name nobody else uses.
    pub(super) async fn put_media(&self, key: &str, bytes: Bytes, media_type: &str) -> Result<(), StoreError> {
        self.check(key)?;
        self.store.put(key, bytes, media_type).await.map(drop)
    }

    /// Writes media whose name a predecessor may have used: an init segment.
    pub(super) async fn put_init(&self, key: &str, bytes: Bytes, media_type: &str) -> Result<(), StoreError> {
        if !self.is_shared() {
            return self.put_media(key, bytes, media_type).await;
        }
        self.put_known(key, bytes, media_type).await
    }

    /// Writes a document.
    pub(super) async fn put(&self, key: &str, document: Bytes) -> Result<(), StoreError> {
        if !self.is_shared() {
            return self.put_media(key, document, DOCUMENT_TYPE).await;
        }
        self.put_known(key, self.marked(document), DOCUMENT_TYPE).await
    }

    /// The same of one that must not be there.
    pub(super) async fn put_new(&self, key: &str, document: Bytes) -> Result<(), StoreError> {
        self.check(key)?;
        let document = if self.is_shared() { self.marked(document) } else { document };
        let tag = self.store.put_if(key, document, DOCUMENT_TYPE, IfExists::Fail).await?;
        self.remember(key, Some(tag));
        Ok(())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.check(key)?;
        self.remember(key, None);
        self.store.delete(key).await
    }

    /// Reads a document that a predecessor may be about to write, and writes it under this generation: then it cannot.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none; as reads and writes.
    pub(super) async fn seize(&self, key: &str, max_bytes: u64) -> Result<Bytes, StoreError> {
        if !self.is_shared() {
            return self.get(key, max_bytes).await;
        }
        for _ in 0..TRIES {
            let (document, tag) = self.store.get_tagged(key, max_bytes).await?;
            let marked = self.marked(document);
            self.check(key)?;
            match self.store.put_over(key, marked.clone(), DOCUMENT_TYPE, &tag).await {
                Ok(tag) => {
                    self.remember(key, Some(tag));
                    return Ok(marked);
                }
                Err(StoreError::PreconditionFailed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::PreconditionFailed { operation: "seize", key: key.to_owned() })
    }

    /// Writes in the place of what this owner knows. What else is there comes from a predecessor, which was late: it does not come twice.
    async fn put_known(&self, key: &str, bytes: Bytes, media_type: &str) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let known = self.known(key).await?;
            // After the tag is known: where this process is stopped from here on, its successor changes the tag.
            self.check(key)?;
            match self.put_where(key, known, bytes.clone(), media_type).await {
                Ok(tag) => {
                    self.remember(key, Some(tag));
                    return Ok(());
                }
                Err(StoreError::PreconditionFailed { .. } | StoreError::NotFound { .. }) => {
                    self.tags().remove(key);
                }
                Err(error) => {
                    // Whether it was written is not known.
                    self.tags().remove(key);
                    return Err(error);
                }
            }
        }
        Err(StoreError::PreconditionFailed { operation: "put", key: key.to_owned() })
    }

    /// The tag of what is there, as far as this owner knows.
    async fn known(&self, key: &str) -> Result<Option<String>, StoreError> {
        let known = self.tags().get(key).cloned();
        match known {
            Some(known) => Ok(known),
            None => Ok(self.store.head(key).await?.map(|found| found.etag)),
        }
    }

    async fn put_where(
        &self,
        key: &str,
        known: Option<String>,
        bytes: Bytes,
        media_type: &str,
    ) -> Result<String, StoreError> {
        match known {
            Some(tag) => self.store.put_over(key, bytes, media_type, &tag).await,
            None => self.store.put_if(key, bytes, media_type, IfExists::Fail).await,
        }
    }

    fn tags(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<String>>> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, key: &str, tag: Option<String>) {
        if !self.is_shared() {
            return;
        }
        let mut tags = self.tags();
        if tags.len() >= TAGS_MAX {
            tags.clear();
        }
        tags.insert(key.to_owned(), tag);
    }

    /// A document that says its generation and its owner, also where somebody deleted the lease and generations began anew: so no two owners write the same octets, and no tag comes back.
    fn marked(&self, document: Bytes) -> Bytes {
        let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(&document) else { return document };
        let Some((generation, owner)) = self.hold.owner else { return document };
        fields.insert(GENERATION.to_owned(), generation.into());
        fields.insert(OWNER.to_owned(), owner.to_string().into());
        serde_json::to_vec(&fields).map_or(document, Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use flame_object_store::{EmbeddedConfig, EmbeddedServer, SecretKey, StoreConfig};
    use flame_test_kit::Scratch;

    use super::*;

    const DOCUMENT: &str = r#"{"version":1,"next":7}"#;
    const LONG: Duration = Duration::from_secs(3_600);

    /// A predecessor is stopped between its last look at the clock and its write: that is what the tags are for.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_predecessor_was_about_to_write_fails() {
        let scratch = Scratch::new("fence");
        let server = EmbeddedServer::start(EmbeddedConfig {
            root: scratch.join("store"),
            listen: "127.0.0.1:0".parse().unwrap(),
            access_key: "access".to_owned(),
            secret_key: SecretKey::new("secret"),
            min_free_percent: 0,
            max_connections: 16,
            max_writes: 4,
            stop_grace_s: 1,
        });
        let server = server.await.unwrap();
        let store = Store::connect(&StoreConfig {
            endpoint: server.endpoint(),
            region: "us-east-1".to_owned(),
            bucket: "flame".to_owned(),
            access_key: "access".to_owned(),
            secret_key: SecretKey::new("secret"),
        });
        store.ensure_bucket().await.unwrap();
        let owner = |generation| Fenced::new(store.clone(), Hold::until((generation, Uuid::new_v4()), now() + LONG));
        let (first, second) = (owner(1), owner(2));
        let document = || Bytes::from_static(DOCUMENT.as_bytes());
        first.put("known", document()).await.unwrap();
        // It has looked, and is stopped: of one document it knows the tag, the other one was not there.
        let (known, none) = (first.known("known").await.unwrap(), first.known("new").await.unwrap());
        let seized = second.seize("known", 1_000).await.unwrap();
        let seized: Value = serde_json::from_slice(&seized).unwrap();
        assert_eq!((&seized["generation"], &seized["next"]), (&2.into(), &7.into()), "{seized}");
        second.put("new", document()).await.unwrap();
        for (key, tag) in [("known", known), ("new", none)] {
            let late = first.put_where(key, tag, first.marked(document()), DOCUMENT_TYPE).await;
            assert!(matches!(late, Err(StoreError::PreconditionFailed { .. })), "{late:?}");
        }
        // What it wrote before that stands in nobody's way.
        first.put("other", document()).await.unwrap();
        second.put("other", document()).await.unwrap();
        second.put("known", document()).await.unwrap();
        // And as soon as it looks again, it knows.
        first.hold().end();
        for refused in [
            first.put("known", document()).await,
            first.put_new("another", document()).await,
            first.put_media("media", document(), "video/mp4").await,
            first.delete("other").await,
            first.seize("known", 1_000).await.map(drop),
        ] {
            assert!(matches!(refused, Err(StoreError::PreconditionFailed { .. })), "{refused:?}");
        }
        assert!(store.head("other").await.unwrap().is_some() && store.head("media").await.unwrap().is_none());
        server.stop().await;
    }
}
