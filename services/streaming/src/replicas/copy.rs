//! Copies one object into the near store. What was cut off, by a stop or a kill, is an open multipart upload of the same key: the next
//! copy goes on with it, if it is of the same object by its ETag, which is noted with the upload's name before the first part. Two instances
//! of a site that copy the same object send the same parts, and whoever is first completes it.

use std::time::Instant;

use bytes::Bytes;
use flame_naming::Label;
use flame_object_store::{MultipartUpload, ObjectInfo, OpenUpload, StoreError};
use flame_service_host::problem::chain;

use super::kept::{self, blocks, content_type, note_of};
use super::{BLOCK_BYTES, Owner, Replicas, Wanted};

/// Open uploads below a key that are looked at.
const UPLOADS_LOOKED_AT: usize = 100;
/// What a mark says.
const MARK: &[u8] = br#"{"version":1}"#;
/// The name of an upload and an ETag are far shorter.
const NOTE_MAX_BYTES: u64 = 4096;

/// What became of a copy.
enum Copied {
    /// It was there already.
    There,
    /// It is there now.
    Kept(u64),
}

/// What a note says of an upload: which it is, and of which object.
fn noted_as(upload: &MultipartUpload, etag: &str) -> String {
    format!("{} {etag}", upload.id)
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
                self.0.failed.insert(wanted.key.clone(), Instant::now()).await;
                tracing::warn!(key = wanted.key, error = chain(&error), "an object of another site is not kept here");
            }
        }
        self.under_way().remove(&wanted.key);
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
        let is_copy = self.mark(owner).await?;
        if size_bytes <= BLOCK_BYTES {
            let bytes = self.0.neighbours.block(there, &info.etag, 0..size_bytes).await?;
            near.put(key, bytes, content_type(key)).await?;
            self.mark_again(owner, is_copy).await?;
            return Ok(Copied::Kept(size_bytes));
        }
        let copied = self.copy_parts(there, &info).await;
        let is_over = matches!(copied, Err(StoreError::NotFound { .. }));
        if is_over && near.head(key).await?.is_some() {
            // Another instance has completed the same upload.
            return Ok(Copied::There);
        }
        copied?;
        self.mark_again(owner, is_copy).await?;
        near.delete(&note_of(key)).await?;
        Ok(Copied::Kept(size_bytes))
    }

    async fn copy_parts(&self, (key, from): (&str, Option<&Label>), info: &ObjectInfo) -> Result<(), StoreError> {
        let near = &self.0.near;
        let upload = self.upload(key, &info.etag).await?;
        let there = near.list_parts(&upload).await?;
        let mut parts = Vec::new();
        for (number, range) in blocks(info.size_bytes) {
            let (size_bytes, end_bytes) = (range.end - range.start, range.end);
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
            self.has_come(key, end_bytes);
        }
        near.complete_multipart(&upload, &parts).await.map(drop)
    }

    /// The upload of the object with this ETag that was cut off, or a new one. Blocks of two objects that have one key never meet: the note
    /// names the upload that it is about. Whatever else is being stored under the key, nobody noted here, and it is left alone.
    async fn upload(&self, key: &str, etag: &str) -> Result<MultipartUpload, StoreError> {
        let (near, note) = (&self.0.near, note_of(key));
        let noted = match near.get(&note, NOTE_MAX_BYTES).await {
            Ok(noted) => Some(noted),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(noted) = noted {
            for OpenUpload { upload, .. } in near.list_multipart(key, UPLOADS_LOOKED_AT).await? {
                if upload.key != key {
                    continue;
                }
                if noted == noted_as(&upload, etag) {
                    return Ok(upload);
                }
                if noted.starts_with(noted_as(&upload, "").as_bytes()) {
                    near.abort_multipart(&upload).await?;
                }
            }
        }
        let upload = near.create_multipart(key, content_type(key)).await?;
        near.put(&note, noted_as(&upload, etag).into(), "text/plain").await?;
        Ok(upload)
    }

    /// Notes that there are copies of an asset, unless it is at home here; whether there are.
    async fn mark(&self, owner: &Owner) -> Result<bool, StoreError> {
        if self.0.near.head(&owner.mark()).await?.is_some() {
            return Ok(true);
        }
        // Also where it was live: what was is not below what is deleted with a mark.
        let is_copy = !self.came_first(owner).await?;
        self.mark_again(owner, is_copy).await?;
        Ok(is_copy)
    }

    /// Notes it where it is a copy, also when one has come: the mark may have been taken away as that of an asset that is gone.
    async fn mark_again(&self, owner: &Owner, is_copy: bool) -> Result<(), StoreError> {
        if is_copy {
            self.0.near.put(&owner.mark(), Bytes::from_static(MARK), "application/json").await?;
        }
        Ok(())
    }

    /// Whether something of an asset was live here. That lies where it was made, whatever of other sites lies beside it.
    pub(crate) async fn was_live(&self, owner: &Owner) -> Result<bool, StoreError> {
        Ok(!self.0.near.list_after(&owner.live_prefix(), None).await?.objects.is_empty())
    }

    /// Whether what is here of an asset, but for what was live, came here first: there is something, and it is no copy.
    pub(crate) async fn came_first(&self, owner: &Owner) -> Result<bool, StoreError> {
        let near = &self.0.near;
        for prefix in owner.prefixes() {
            let listed = near.list_after(&prefix, None).await?.objects;
            // The key of an encrypted asset lies there, too, and is with a channel before any media is.
            if listed.iter().any(|object| kept::owner(&object.key).is_some()) {
                // In this order: the mark of a copy is there before the copy is.
                return Ok(near.head(&owner.mark()).await?.is_none());
            }
        }
        Ok(false)
    }
}
