//! Copies one object into the near store. What was cut off, by a stop or a kill, is an open multipart upload of the same key: the next
//! copy goes on with it. Two instances of a site that copy the same object send the same parts, and whoever is first completes it.

use std::sync::PoisonError;

use bytes::Bytes;
use flame_naming::Label;
use flame_object_store::{MultipartUpload, ObjectInfo, StoreError};
use flame_service_host::problem::chain;

use super::kept::{blocks, content_type};
use super::{BLOCK_BYTES, Owner, Replicas, Wanted};

/// Open uploads below a key that are looked at.
const UPLOADS_LOOKED_AT: usize = 100;
/// What a mark says.
const MARK: &[u8] = br#"{"version":1}"#;

/// What became of a copy.
enum Copied {
    /// It was there already.
    There,
    /// It is there now.
    Kept(u64),
}

impl Replicas {
    /// Copies what is wanted, and says in log and figures what came of it.
    pub(super) async fn bring(&self, wanted: Wanted) {
        let figures = &self.0.figures;
        match self.copy(&wanted).await {
            Ok(Copied::There) => {}
            Ok(Copied::Kept(size_bytes)) => {
                figures.kept.inc();
                figures.kept_bytes.inc_by(size_bytes);
                tracing::info!(key = wanted.key, size_bytes, "an object of another site is kept here, too");
            }
            Err(error) => {
                figures.failed.inc();
                self.0.failed.insert(wanted.key.clone(), ()).await;
                tracing::warn!(key = wanted.key, error = chain(&error), "an object of another site is not kept here");
            }
        }
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&wanted.key);
    }

    async fn copy(&self, Wanted { key, owner, from }: &Wanted) -> Result<Copied, StoreError> {
        let near = &self.0.near;
        if near.head(key).await?.is_some() {
            return Ok(Copied::There);
        }
        let there = (key.as_str(), from.as_ref());
        let info = self.0.neighbours.head(key, from.as_ref()).await?;
        let (size_bytes, max_bytes) = (info.size_bytes, self.0.config.object_max.0);
        if size_bytes > max_bytes {
            return Err(StoreError::TooLarge { operation: "keep", key: key.clone(), size_bytes, max_bytes });
        }
        self.mark(owner).await?;
        if size_bytes <= BLOCK_BYTES {
            let bytes = self.0.neighbours.block(there, &info.etag, 0..size_bytes).await?;
            near.put(key, bytes, content_type(key)).await?;
            return Ok(Copied::Kept(size_bytes));
        }
        let copied = self.copy_parts(there, &info).await;
        let is_over = matches!(copied, Err(StoreError::NotFound { .. }));
        if is_over && near.head(key).await?.is_some() {
            // Another instance has completed the same upload.
            return Ok(Copied::There);
        }
        copied.map(|()| Copied::Kept(size_bytes))
    }

    async fn copy_parts(&self, (key, from): (&str, Option<&Label>), info: &ObjectInfo) -> Result<(), StoreError> {
        let near = &self.0.near;
        let upload = self.upload(key).await?;
        let there = near.list_parts(&upload).await?;
        let mut parts = Vec::new();
        for (number, range) in blocks(info.size_bytes) {
            let size_bytes = range.end - range.start;
            let known = there.iter().find(|part| part.number == number && part.size_bytes == size_bytes);
            parts.push(match known {
                Some(part) => part.clone(),
                None => {
                    let bytes = self.0.neighbours.block((key, from), &info.etag, range).await?;
                    let part = near.upload_part(&upload, number, bytes).await?;
                    flame_service_host::fault::point("replica-part-stored");
                    part
                }
            });
        }
        near.complete_multipart(&upload, &parts).await.map(drop)
    }

    /// The upload that was cut off, or a new one.
    async fn upload(&self, key: &str) -> Result<MultipartUpload, StoreError> {
        let open = self.0.near.list_multipart(key, UPLOADS_LOOKED_AT).await?;
        match open.into_iter().find(|open| open.upload.key == key) {
            Some(open) => Ok(open.upload),
            None => self.0.near.create_multipart(key, content_type(key)).await,
        }
    }

    /// Notes that there are copies of an asset, unless it is at home here.
    async fn mark(&self, owner: &Owner) -> Result<(), StoreError> {
        let mark = owner.mark();
        if self.0.near.head(&mark).await?.is_some() || self.is_home(owner).await? {
            return Ok(());
        }
        self.0.near.put(&mark, Bytes::from_static(MARK), "application/json").await.map(drop)
    }

    /// Whether what is here of an asset came here first: there is something, and it is no copy.
    pub(crate) async fn is_home(&self, owner: &Owner) -> Result<bool, StoreError> {
        let near = &self.0.near;
        // What was live lies where it was made, whatever of other sites lies beside it.
        if !near.list_after(&owner.live_prefix(), None).await?.objects.is_empty() {
            return Ok(true);
        }
        for prefix in owner.prefixes() {
            if !near.list_after(&prefix, None).await?.objects.is_empty() {
                // In this order: the mark of a copy is there before the copy is.
                return Ok(near.head(&owner.mark()).await?.is_none());
            }
        }
        Ok(false)
    }
}
