//! The object store as a viewer's request needs it: every call begins to answer within the deadline.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flame_object_store::client::ObjectBody;
use flame_object_store::{ObjectInfo, Store, StoreError};
use futures_util::StreamExt;
use thiserror::Error;

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
}

/// Reads of one bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MediaStore {
    store: Store,
    deadline: Duration,
}

// === impl MediaStore ===

impl MediaStore {
    pub(crate) fn new(store: Store, deadline: Duration) -> Self {
        Self { store, deadline }
    }

    /// Whether the store answers.
    pub(crate) async fn check(&self) -> Result<(), ReadError> {
        self.head(PROBE_KEY).await.map(drop)
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ReadError> {
        self.in_time("head", key, self.store.head(key)).await
    }

    pub(crate) async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, ReadError> {
        self.in_time("get", key, self.store.get(key, max_bytes)).await
    }

    /// Opens a range, which must be there in full. The deadline holds until the first byte may come.
    pub(crate) async fn open(&self, key: &str, range: Range<u64>) -> Result<ObjectBody, ReadError> {
        let (start_bytes, wanted_bytes) = (range.start, range.end - range.start);
        let body = self.in_time("get", key, self.store.stream(key, Some(range))).await?;
        if body.size_bytes != wanted_bytes {
            let (key, found_bytes) = (key.to_owned(), body.size_bytes);
            return Err(ReadError::Length { key, start_bytes, found_bytes, wanted_bytes });
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
