//! Reads what is stored, slowly, and says what is not any more what it was.
//!
//! A disk may give other bytes than it was given, and nobody notices before somebody plays them. So each tenant's objects are read
//! one after the other, every `scrub.every` or when somebody asks, at `scrub.rate` at most, and held against what was noted when they
//! were written ([`judge`]). What is found is kept and told, with the asset that it belongs to; it repairs nothing. What
//! lies there of uploads that are over is deleted. A process that ends goes on where it was.

pub mod judge;

use std::sync::Arc;
use std::time::{Duration, Instant};

use flame_cmaf::index::{IndexError, JSON_SIZE_MAX_BYTES, TrackIndex};
use flame_object_store::{ObjectSummary, Store, StoreError};
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::ScrubConfig;
use crate::store::{RecordError, RecordResult, Scrubbing, Uploads};
use judge::{Judge, Kind, Promise};

/// How long to wait while the store or the database does not answer.
const AWAY_PAUSE: Duration = Duration::from_secs(10);
/// How often is looked whether a scrub is due.
const DUE_PAUSE: Duration = Duration::from_secs(600);
/// What may be made up for after the store was slow.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How often it is noted how far it came: what a process that ends has to read again.
const NOTE_EVERY: Duration = Duration::from_millis(500);

/// Scrubs; one tenant at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scrubber {
    uploads: Uploads,
    store: Store,
    is_embedded: bool,
    config: ScrubConfig,
    wanted: Arc<Notify>,
}

/// What became of a look at one object.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Whole,
    /// Nothing was noted that it could be held against; it could be read.
    Unverified,
    Gone,
    Rotten(String),
}

/// Why a scrub pauses.
#[derive(Debug, thiserror::Error)]
enum Pause {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Keeps to a rate: who is ahead of it waits.
#[derive(Debug)]
struct Pace {
    rate_bytes: u64,
    began: Instant,
    read_bytes: u64,
}

// === impl Scrubber ===

impl Scrubber {
    /// Of all that lies in `store`.
    #[must_use]
    pub fn new(uploads: Uploads, store: Store, is_embedded: bool, config: ScrubConfig) -> Self {
        Self { uploads, store, is_embedded, config, wanted: Arc::default() }
    }

    /// Has a tenant's objects read from the first one on; where that is under way already, it goes on.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self, tenant: &str) -> RecordResult<()> {
        self.uploads.request_scrub(tenant, OffsetDateTime::now_utc()).await?;
        self.wanted.notify_one();
        Ok(())
    }

    /// What is known of a tenant's objects.
    ///
    /// # Errors
    /// The database's.
    pub async fn show(&self, tenant: &str) -> RecordResult<flame_api::ingest::Scrub> {
        self.uploads.scrub(tenant).await
    }

    /// Scrubs what is due, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let done = tokio::select! {
                done = self.turn() => done,
                () = stop.cancelled() => return,
            };
            let pause = match done {
                Ok(true) => continue,
                Ok(false) => DUE_PAUSE,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the scrub pauses");
                    AWAY_PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Scrubs one tenant, if one is due; whether one was.
    async fn turn(&self) -> Result<bool, Pause> {
        let every = (self.config.every.0 > Duration::ZERO).then_some(self.config.every.0);
        let Some(mut scrubbing) = self.uploads.due_scrub(OffsetDateTime::now_utc(), every).await? else {
            return Ok(false);
        };
        tracing::info!(tenant = scrubbing.tenant, after = scrubbing.position, "objects are read and compared");
        let mut pace = Pace::new(self.config.rate.0);
        let mut noted = Instant::now();
        loop {
            let prefix = format!("{}/", scrubbing.tenant);
            let page = self.store.list_after(&prefix, scrubbing.position.as_deref()).await?;
            for object in &page.objects {
                self.look_at(&mut scrubbing, object, &mut pace).await?;
                if noted.elapsed() >= NOTE_EVERY {
                    self.uploads.note_scrub(&scrubbing).await?;
                    noted = Instant::now();
                }
            }
            if page.next.is_none() {
                self.uploads.end_scrub(&scrubbing, OffsetDateTime::now_utc()).await?;
                tracing::info!(
                    tenant = scrubbing.tenant,
                    objects = scrubbing.objects,
                    rotten = scrubbing.rotten,
                    "all objects were read"
                );
                return Ok(true);
            }
        }
    }

    async fn look_at(&self, scrubbing: &mut Scrubbing, object: &ObjectSummary, pace: &mut Pace) -> Result<(), Pause> {
        let tenant = scrubbing.tenant.clone();
        let mut seen = self.see(&tenant, &object.key, pace).await?;
        if matches!(seen, Seen::Rotten(_)) {
            // It may have been replaced in the middle of it.
            seen = self.see(&tenant, &object.key, pace).await?;
        }
        scrubbing.objects += 1;
        scrubbing.size_bytes += object.size_bytes;
        match seen {
            Seen::Whole | Seen::Gone => {}
            Seen::Unverified => scrubbing.unverified += 1,
            Seen::Rotten(what) => {
                tracing::error!(tenant, key = object.key, what, "an object is not what it was");
                scrubbing.rotten += 1;
                let asset = judge::asset(&tenant, &object.key);
                self.uploads.note_rot(&tenant, &object.key, asset, &what, OffsetDateTime::now_utc()).await?;
            }
        }
        scrubbing.position = Some(object.key.clone());
        Ok(())
    }

    /// Reads one object and holds it against what was noted of it.
    async fn see(&self, tenant: &str, key: &str, pace: &mut Pace) -> Result<Seen, Pause> {
        let promise = match judge::kind(tenant, key) {
            Kind::Source(id) => self.promise_of_source(tenant, id).await?,
            Kind::Track { index_key } => match self.index(&index_key).await? {
                Some(Ok(index)) => Some(judge::of_index(&index)),
                // That is said of the index.
                Some(Err(_)) | None => None,
            },
            Kind::Index { track_key } => {
                if let Some(Err(what)) = self.index(key).await? {
                    return Ok(Seen::Rotten(what));
                }
                let is_there = match self.store.head(&track_key).await {
                    Ok(found) => found.is_some(),
                    // If that is no matter of the store, it is one of the track, and said there.
                    Err(error) => {
                        self.unreadable(error).await?;
                        true
                    }
                };
                if !is_there && self.store.head(key).await?.is_none() {
                    // Its asset was deleted meanwhile.
                    return Ok(Seen::Gone);
                }
                if !is_there {
                    return Ok(Seen::Rotten(format!("the track that it describes ({track_key}) is not there")));
                }
                None
            }
            Kind::Upload(id) => {
                let record = self.uploads.find(tenant, id).await?;
                if !record.is_some_and(|record| record.is_open()) {
                    // Who has a ticket may use it after its upload has ended.
                    self.store.delete(key).await?;
                    return Ok(Seen::Gone);
                }
                None
            }
            Kind::Other => None,
        };
        match self.read(key, promise, pace).await {
            Err(StoreError::NotFound { .. }) => Ok(Seen::Gone),
            Err(error) => self.unreadable(error).await.map(Seen::Rotten),
            Ok(seen) => Ok(seen),
        }
    }

    async fn promise_of_source(&self, tenant: &str, id: uuid::Uuid) -> Result<Option<Promise>, Pause> {
        let record = self.uploads.find(tenant, id).await?;
        Ok(record.and_then(|record| {
            let sha256 = record.sha256?;
            let piece = judge::Piece { name: "the source".to_owned(), size_bytes: record.offset_bytes, sha256 };
            Some(Promise::Pieces(vec![piece]))
        }))
    }

    /// A track's index, if it is there; what is wrong with one that cannot be used. One that is not what it was is not believed.
    async fn index(&self, key: &str) -> Result<Option<Result<TrackIndex, String>>, Pause> {
        let mut body = match self.store.stream(key, None).await {
            Ok(body) => body,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return self.unreadable(error).await.map(|what| Some(Err(what))),
        };
        let mut judge = Judge::new(judge::of_etag(&body.info.etag, self.is_embedded));
        let mut json = Vec::new();
        while let Some(block) = body.next().await {
            let block = match block {
                Ok(block) => block,
                Err(error) => return self.unreadable(error).await.map(|what| Some(Err(what))),
            };
            judge.take(&block);
            // A byte more is enough to be refused.
            let room = (JSON_SIZE_MAX_BYTES + 1).saturating_sub(json.len());
            json.extend_from_slice(&block[..block.len().min(room)]);
        }
        if let Some(what) = judge.end() {
            return Ok(Some(Err(what)));
        }
        match TrackIndex::from_json(&json) {
            // A later release wrote it: it cannot be judged here.
            Err(IndexError::NewerVersion { .. }) => Ok(None),
            read => Ok(Some(read.map_err(|error| flame_service_host::problem::chain(&error)))),
        }
    }

    /// What is said of an object that cannot be read while the store answers; if it does not, that is no matter of the object.
    async fn unreadable(&self, error: StoreError) -> Result<String, Pause> {
        self.store.list("ready", None).await?;
        Ok(format!("it cannot be read: {}", flame_service_host::problem::chain(&error)))
    }

    async fn read(&self, key: &str, promise: Option<Promise>, pace: &mut Pace) -> Result<Seen, StoreError> {
        let mut body = self.store.stream(key, None).await?;
        let promise = promise.unwrap_or_else(|| judge::of_etag(&body.info.etag, self.is_embedded));
        let is_verified = promise != Promise::Nothing;
        let mut judge = Judge::new(promise);
        while let Some(block) = body.next().await {
            let block = block?;
            judge.take(&block);
            pace.keep(block.len() as u64).await;
        }
        Ok(match judge.end() {
            Some(what) => Seen::Rotten(what),
            None if is_verified => Seen::Whole,
            None => Seen::Unverified,
        })
    }
}

// === impl Pace ===

impl Pace {
    fn new(rate_bytes: u64) -> Self {
        Self { rate_bytes: rate_bytes.max(1), began: Instant::now(), read_bytes: 0 }
    }

    /// When so many bytes may have been read, from the beginning.
    fn due(&self) -> Duration {
        let us = u128::from(self.read_bytes) * 1_000_000 / u128::from(self.rate_bytes);
        Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
    }

    /// How long to wait after these bytes. Who was slower does not make up for it.
    fn ahead(&mut self, bytes: u64, now: Instant) -> Duration {
        let elapsed = now.duration_since(self.began);
        if elapsed > self.due() + CATCH_UP {
            (self.began, self.read_bytes) = (now, 0);
        }
        self.read_bytes += bytes;
        self.due().saturating_sub(now.duration_since(self.began))
    }

    async fn keep(&mut self, bytes: u64) {
        tokio::time::sleep(self.ahead(bytes, Instant::now())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_rate_is_kept_however_the_bytes_come_and_whatever_the_store_does(
            blocks in proptest::collection::vec((1_u64..4_000_000, 0_u64..5_000), 1..60),
        ) {
            let rate_bytes = 1_000_000;
            let mut pace = Pace::new(rate_bytes);
            let mut now = pace.began;
            let (first, mut sum_bytes) = (now, 0);
            for (bytes, slow_ms) in blocks {
                now += Duration::from_millis(slow_ms);
                now += pace.ahead(bytes, now);
                sum_bytes += bytes;
                let allowed = (now - first + CATCH_UP).as_secs_f64() * 1e6 + 1.0;
                #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
                let read = sum_bytes as f64;
                proptest::prop_assert!(read <= allowed, "{read} of {allowed}");
            }
        }
    }
}
