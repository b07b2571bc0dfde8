//! Where the bytes of an upload lie in the object store, and what is done to them there.
//!
//! ```text
//! {tenant}/sources/{id}               the source: one plain put, or a completed multipart upload
//! {tenant}/posters/{id}.jpg           its poster
//! {tenant}/uploads/{id}/tail-{offset} bytes after the last whole part, until more come
//! ```
//!
//! Every operation may be repeated. Keys are made of tenant and identifier alone, never of what a caller says.

use std::path::Path;

use bytes::Bytes;
use flame_object_store::{MultipartUpload, PartTag, Store, StoreError};
use uuid::Uuid;

use crate::record::{Record, Tail};

/// Open multipart uploads of one key that are looked at: more than one means that a crash came in between.
const STRAYS_MAX: usize = 100;

/// The object store as uploads see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Depot {
    store: Store,
    shares: bool,
}

/// Why the parts did not become an object.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has lost what it acknowledged.
    #[error("the object store no longer has the parts of {key}: it holds {found_bytes:?} of {wanted_bytes} bytes")]
    Lost {
        /// The object to be.
        key: String,
        /// Size of what stands there.
        found_bytes: Option<u64>,
        /// Size that it should have.
        wanted_bytes: u64,
    },
}

/// The key of the source object.
#[must_use]
pub fn source_key(record: &Record) -> String {
    source_of(&record.tenant, record.id)
}

pub(crate) fn source_of(tenant: &str, id: Uuid) -> String {
    format!("{tenant}/sources/{id}")
}

/// The key of the poster.
#[must_use]
pub fn poster_key(record: &Record) -> String {
    format!("{}/posters/{}.jpg", record.tenant, record.id)
}

fn own_prefix(record: &Record) -> String {
    format!("{}/uploads/{}/", record.tenant, record.id)
}

// === impl Depot ===

impl Depot {
    /// A depot in `store`. `shares` says whether a copy there takes no room.
    #[must_use]
    pub fn new(store: Store, shares: bool) -> Self {
        Self { store, shares }
    }

    /// Whether a copy takes no room.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.shares
    }

    /// The store, to read from.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads a tail.
    pub async fn tail(&self, tail: &Tail) -> Result<Bytes, StoreError> {
        self.store.get(&tail.key, tail.size_bytes).await
    }

    /// Stores the bytes before `end_bytes` that fill no part.
    pub async fn put_tail(&self, record: &Record, end_bytes: u64, bytes: Bytes) -> Result<Tail, StoreError> {
        let key = format!("{}tail-{end_bytes}", own_prefix(record));
        let size_bytes = bytes.len() as u64;
        self.store.put(&key, bytes, "application/octet-stream").await?;
        Ok(Tail { key, size_bytes })
    }

    /// Deletes a tail that no row names any more. What cannot be deleted now goes with the rest of the upload.
    pub async fn drop_tail(&self, tail: &Tail) {
        if let Err(error) = self.store.delete(&tail.key).await {
            tracing::debug!(%error, key = tail.key, "an old tail stays until its upload is complete");
        }
    }

    /// Stores a short source in one go.
    pub async fn put_whole(&self, record: &Record, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put(&source_key(record), bytes, "application/octet-stream").await.map(drop)
    }

    /// Begins a multipart upload of the source.
    pub async fn begin(&self, record: &Record) -> Result<MultipartUpload, StoreError> {
        self.store.create_multipart(&source_key(record), "application/octet-stream").await
    }

    /// Stores a part. Repeating it replaces the part.
    pub async fn put_part(&self, upload: &MultipartUpload, number: u16, bytes: Bytes) -> Result<PartTag, StoreError> {
        self.store.upload_part(upload, number, bytes).await
    }

    /// Makes the parts one object, and deletes what is no longer needed beside it.
    ///
    /// A crash may come between the store's completion and our note of it. Then the upload is unknown to the store when
    /// this is repeated, and the object itself decides: nobody else writes its key.
    pub async fn assemble(&self, record: &Record, parts: &[PartTag]) -> Result<(), AssembleError> {
        let Some(upload) = multipart(record) else {
            return Ok(self.store.delete_prefix(&own_prefix(record)).await.map(drop)?);
        };
        let wanted_bytes = record.offset_bytes;
        let sum: u64 = parts.iter().map(|part| part.size_bytes).sum();
        if sum != wanted_bytes {
            return Err(AssembleError::Lost { key: upload.key, found_bytes: Some(sum), wanted_bytes });
        }
        match self.store.complete_multipart(&upload, parts).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let found_bytes = self.store.head(&upload.key).await?.map(|object| object.size_bytes);
        if found_bytes != Some(wanted_bytes) {
            return Err(AssembleError::Lost { key: upload.key, found_bytes, wanted_bytes });
        }
        self.store.delete_prefix(&own_prefix(record)).await?;
        Ok(self.abort_strays(record, Some(&upload.id)).await?)
    }

    /// Whether the source object is there and has the upload's length. An empty upload has none and needs none.
    pub async fn has_source(&self, record: &Record) -> Result<bool, StoreError> {
        let found_bytes = self.store.head(&source_key(record)).await?.map(|object| object.size_bytes);
        Ok(record.offset_bytes == 0 || found_bytes == Some(record.offset_bytes))
    }

    /// Makes the source of one upload the bytes of another's, which are the same, where that takes less room. Each stays when
    /// the other goes.
    pub async fn share(&self, from: Uuid, to: &Record) -> Result<(), StoreError> {
        if self.shares { self.store.copy(&source_of(&to.tenant, from), &source_key(to)).await } else { Ok(()) }
    }

    /// Stores the poster.
    pub async fn put_poster(&self, record: &Record, file: &Path) -> Result<String, StoreError> {
        let key = poster_key(record);
        self.store.put_file(&key, file, "image/jpeg").await?;
        Ok(key)
    }

    /// Deletes the parts and tails of a pull that begins anew.
    pub async fn discard_parts(&self, record: &Record) -> Result<(), StoreError> {
        self.abort_strays(record, None).await?;
        self.store.delete_prefix(&own_prefix(record)).await.map(drop)
    }

    /// Deletes everything of an upload.
    pub async fn discard(&self, record: &Record) -> Result<(), StoreError> {
        self.discard_parts(record).await?;
        self.store.delete(&source_key(record)).await?;
        self.store.delete(&poster_key(record)).await
    }

    /// Aborts the open multipart uploads of the source: the one that the row names, and those that a crash left between
    /// the store's answer and our note of it.
    async fn abort_strays(&self, record: &Record, completed: Option<&str>) -> Result<(), StoreError> {
        if record.multipart_id.is_none() && record.offset_bytes == 0 && record.length_bytes == Some(0) {
            return Ok(());
        }
        let key = source_key(record);
        for open in self.store.list_multipart(&key, STRAYS_MAX).await? {
            if open.upload.key == key && Some(open.upload.id.as_str()) != completed {
                self.store.abort_multipart(&open.upload).await?;
            }
        }
        Ok(())
    }
}

/// The multipart upload of the source, if it has one.
#[must_use]
pub fn multipart(record: &Record) -> Option<MultipartUpload> {
    record.multipart_id.clone().map(|id| MultipartUpload { key: source_key(record), id })
}
