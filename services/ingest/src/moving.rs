//! Takes unfinished uploads to another store, so that their clients go on where they were.
//!
//! A multipart upload has another name in each store, and its parts other ETags. So its parts are copied into a new one, and both
//! are noted in one transaction. What was moved is told from what was not by the store of before, which knows the name or does not.

use std::path::Path;

use flame_object_store::snapshot::{self, SnapshotError};
use flame_object_store::{MultipartUpload, Store, StoreError};
use uuid::Uuid;

use crate::store::{self, RecordError, Unfinished};

/// Open multipart uploads of one key that a try before may have left.
const STRAYS_MAX: usize = 100;

/// An upload could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The database.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder of the store of before.
    #[error("cannot read a part of upload {id}")]
    Part {
        /// The upload.
        id: Uuid,
        /// What happened.
        #[source]
        source: SnapshotError,
    },
    /// The new store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Neither store has its parts.
    #[error("upload {id} has {parts} acknowledged parts that are in neither store")]
    Lost {
        /// The upload.
        id: Uuid,
        /// How many.
        parts: usize,
    },
}

/// Takes the parts of all unfinished uploads in the database at `database` out of the embedded store's folder `from` into `to`, and
/// notes in that database where they are now. Gives how many uploads have moved. Repeated, it goes on.
///
/// # Errors
/// [`MoveError`]; the uploads before it have moved.
pub async fn move_uploads(database: &Path, from: (&Path, &str), to: &Store) -> Result<u64, MoveError> {
    let (root, bucket) = from;
    let mut moved = 0;
    for upload in store::unfinished(database).await? {
        let Some(id) = &upload.multipart_id else { continue };
        if snapshot::has_upload(root, bucket, id) {
            move_one(database, &upload, (root, bucket, id), to).await?;
            moved += 1;
        } else if upload.is_receiving && !upload.parts.is_empty() {
            // A stop may have come between the store's completion and the note of it, as `Depot::assemble` says: then the object decides.
            let whole_bytes: u64 = upload.parts.iter().map(|part| part.size_bytes).sum();
            if to.head(&upload.key).await?.is_some_and(|object| object.size_bytes == whole_bytes) {
                continue;
            }
            let there = to.list_parts(&MultipartUpload { key: upload.key.clone(), id: id.clone() }).await;
            let parts = upload.parts.len();
            match there {
                Ok(found) if found.len() >= parts => {}
                Ok(_) | Err(StoreError::NotFound { .. }) => return Err(MoveError::Lost { id: upload.id, parts }),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(moved)
}

async fn move_one(
    database: &Path,
    upload: &Unfinished,
    (root, bucket, id): (&Path, &str, &str),
    to: &Store,
) -> Result<(), MoveError> {
    // A try that was cut off before its note left one that nothing names.
    for open in to.list_multipart(&upload.key, STRAYS_MAX).await? {
        if open.upload.key == upload.key {
            to.abort_multipart(&open.upload).await?;
        }
    }
    let new = to.create_multipart(&upload.key, "application/octet-stream").await?;
    let mut parts = Vec::with_capacity(upload.parts.len());
    for part in &upload.parts {
        let (root, bucket, id, number) = (root.to_owned(), bucket.to_owned(), id.to_owned(), part.number);
        let reading = tokio::task::spawn_blocking(move || snapshot::read_part(&root, &bucket, &id, number)).await;
        let bytes =
            reading.expect("reading does not panic").map_err(|source| MoveError::Part { id: upload.id, source })?;
        parts.push(to.upload_part(&new, number, bytes).await?);
    }
    store::note_moved(database, upload, &new.id, &parts).await?;
    flame_service_host::fault::point("upload-moved");
    Ok(())
}
