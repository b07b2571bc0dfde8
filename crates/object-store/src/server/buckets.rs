//! Buckets: folders with `objects` and `uploads`.

use std::fs;
use std::sync::PoisonError;
use std::time::SystemTime;

use uuid::Uuid;

use super::error::{AtPath, BackendError, Result};
use super::folder::{Folder, sync_dir};
use super::intents::entries;
use super::{uploads, walk};

/// A bucket and the time of its making.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub name: String,
    pub created: SystemTime,
}

pub(crate) fn create(folder: &Folder, bucket: &str) -> Result<()> {
    let _tree = folder.tree.read().unwrap_or_else(PoisonError::into_inner);
    let path = folder.bucket(bucket);
    let exists = path.is_dir();
    // Also if it exists: a bucket whose making a crash cut off is completed.
    for dir in [folder.objects(bucket), folder.uploads(bucket)] {
        folder.make_durable_dir(&dir).at("create", &dir)?;
    }
    if exists { Err(BackendError::BucketExists) } else { Ok(()) }
}

/// Removes an empty bucket; open uploads count as content.
pub(crate) fn delete(folder: &Folder, bucket: &str) -> Result<()> {
    let _alone = folder.tree.write().unwrap_or_else(PoisonError::into_inner);
    if !walk::is_empty(folder, bucket)? || !uploads::list(folder, bucket, "")?.is_empty() {
        return Err(BackendError::BucketNotEmpty);
    }
    let path = folder.bucket(bucket);
    let gone = folder.tmp().join(Uuid::new_v4().simple().to_string());
    fs::rename(&path, &gone).at("remove", &path)?;
    folder.forget_tree(&path);
    let buckets = folder.buckets();
    sync_dir(&buckets).at("sync", &buckets)?;
    fs::remove_dir_all(&gone).at("remove", &gone)
}

/// All buckets by name.
pub(crate) fn list(folder: &Folder) -> Result<Vec<Bucket>> {
    let mut buckets = Vec::new();
    for path in entries(&folder.buckets())? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let metadata = fs::metadata(&path).at("inspect", &path)?;
        let created = metadata.created().or_else(|_| metadata.modified()).at("inspect", &path)?;
        buckets.push(Bucket { name: name.to_owned(), created });
    }
    buckets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(buckets)
}
