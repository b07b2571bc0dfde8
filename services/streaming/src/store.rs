//! The object store as a viewer's request needs it: every call begins to answer within the deadline. What never changes and is not in it may
//! come from the stores of other sites (`replicas`).

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flame_object_store::{ObjectInfo, Store, StoreError};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use thiserror::Error;

use crate::replicas::{Replicas, owner};

/// A key that is never written: looking for it shows whether the store answers.
const PROBE_KEY: &str = "health";

/// Why stored bytes could not be had.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not begin to answer.
    #[error("{operation} {key}: the object store did not answer within {deadline_ms} ms")]
    Deadline {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
        /// How long was waited.
        deadline_ms: u128,
    },
    /// The object is not what its index says.
    #[error("{key} has {found_bytes} bytes from {start_bytes} on where {wanted_bytes} were expected")]
    Length {
        /// The object.
        key: String,
        /// Where the range begins.
        start_bytes: u64,
        /// What the store has.
        found_bytes: u64,
        /// What the index says.
        wanted_bytes: u64,
    },
    /// It is not here, and none of the other sites' stores that were reached has it. That it is nowhere, nobody has said.
    #[error("{key} is not in the store of this site, nor of one that was reached")]
    Nowhere {
        /// The object.
        key: String,
    },
}

/// Bytes of a stored object, as they come.
pub(crate) type Stored = BoxStream<'static, Result<Bytes, StoreError>>;

/// Reads of one bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MediaStore {
    store: Store,
    deadline: Duration,
    replicas: Option<Replicas>,
}

// === impl MediaStore ===

impl MediaStore {
    pub(crate) fn new(store: Store, deadline: Duration) -> Self {
        Self { store, deadline, replicas: None }
    }

    /// The same, which has from other sites what is not here.
    pub(crate) fn beside(self, replicas: Option<Replicas>) -> Self {
        Self { replicas, ..self }
    }

    /// The same without other sites: what is here.
    pub(crate) fn near(&self) -> Self {
        Self { replicas: None, ..self.clone() }
    }

    /// Other sites' stores, where there are some.
    pub(crate) fn replicas(&self) -> Option<&Replicas> {
        self.replicas.as_ref()
    }

    /// Whether the store answers.
    pub(crate) async fn check(&self) -> Result<(), ReadError> {
        self.in_time("head", PROBE_KEY, self.store.head(PROBE_KEY)).await.map(drop)
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ReadError> {
        let found = self.in_time("head", key, self.store.head(key)).await?;
        match self.elsewhere(key) {
            Some(replicas) if found.is_none() => Box::pin(replicas.head(key)).await.map(Some).map_err(of_neighbours),
            Some(_) | None => Ok(found),
        }
    }

    pub(crate) async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, ReadError> {
        let found = self.in_time("get", key, self.store.get(key, max_bytes)).await;
        match self.elsewhere(key) {
            Some(replicas) if is_absent(&found) => Box::pin(replicas.get(key, max_bytes)).await.map_err(of_neighbours),
            Some(_) | None => found,
        }
    }

    /// Opens a range, which must be there in full. The deadline holds until the first byte may come.
    pub(crate) async fn open(&self, key: &str, range: Range<u64>) -> Result<Stored, ReadError> {
        let (start_bytes, wanted_bytes) = (range.start, range.end - range.start);
        let found = self.in_time("get", key, self.store.stream(key, Some(range.clone()))).await;
        let (found_bytes, body) = match self.elsewhere(key) {
            Some(replicas) if is_absent(&found) => Box::pin(replicas.open(key, range)).await.map_err(of_neighbours)?,
            Some(_) | None => {
                let body = found?;
                (body.size_bytes, body.boxed())
            }
        };
        if found_bytes != wanted_bytes {
            return Err(ReadError::Length { key: key.to_owned(), start_bytes, found_bytes, wanted_bytes });
        }
        Ok(body)
    }

    /// A range in memory: how long it is, the caller has bounded.
    pub(crate) async fn bytes(&self, key: &str, range: Range<u64>) -> Result<Bytes, ReadError> {
        let mut body = self.open(key, range).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.freeze())
    }

    /// Who may have `key` if it is not here.
    fn elsewhere(&self, key: &str) -> Option<&Replicas> {
        self.replicas.as_ref().filter(|_| owner(key).is_some())
    }

    async fn in_time<T>(
        &self,
        operation: &'static str,
        key: &str,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ReadError> {
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_elapsed) => {
                Err(ReadError::Deadline { operation, key: key.to_owned(), deadline_ms: self.deadline.as_millis() })
            }
        }
    }
}

fn is_absent<T>(found: &Result<T, ReadError>) -> bool {
    matches!(found, Err(ReadError::Store(StoreError::NotFound { .. })))
}

fn of_neighbours(error: StoreError) -> ReadError {
    match error {
        StoreError::NotFound { key, .. } => ReadError::Nowhere { key },
        other => ReadError::Store(other),
    }
}
