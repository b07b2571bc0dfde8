//! Objects: commit, open for reading, delete, copy. All blocking.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use s3s::dto::{ETag, ETagCondition};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::data::Pending;
use super::error::{AtPath, BackendError, Result};
use super::folder::{Folder, Staged, parse, sync_dir};
use super::intents::{Intent, Place};
use super::key;
use super::manifest::{self, Attributes, Extent, FileId, Manifest, UploadId};
use super::pins::{Doomed, Pinned, dispose};

/// `If-Match` and `If-None-Match` of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Preconditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
}

/// What a new object consists of.
#[derive(Debug)]
pub(crate) struct NewObject {
    pub key: String,
    pub etag: String,
    pub attributes: Attributes,
    pub upload: Option<UploadId>,
    pub extents: Vec<Extent>,
}

/// Attributes for a copy: the source's, or new ones.
#[derive(Debug)]
pub(crate) enum CopiedAttributes {
    OfSource,
    New(Attributes),
}

/// Where a copy comes from and goes to.
#[derive(Debug)]
pub(crate) struct Copy {
    pub from_bucket: String,
    pub from_key: String,
    pub source_conditions: Preconditions,
    pub to_bucket: String,
    pub to_key: String,
    pub attributes: CopiedAttributes,
}

pub(crate) fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether the bucket exists. Every operation asks first: a missing bucket is another answer than a missing key.
pub(crate) fn require_bucket(folder: &Folder, bucket: &str) -> Result<()> {
    if folder.bucket(bucket).is_dir() { Ok(()) } else { Err(BackendError::NoSuchBucket) }
}

/// Commits an object whose data files are on disk, and disposes of the one it replaces.
pub(crate) fn commit(
    folder: &Folder,
    bucket: &str,
    object: NewObject,
    conditions: &Preconditions,
    pending: Option<Pending>,
) -> Result<Manifest> {
    let _key = folder.lock_key(bucket, &object.key);
    commit_locked(folder, bucket, object, conditions, pending)
}

/// [`commit`] under the caller's key lock.
pub(crate) fn commit_locked(
    folder: &Folder,
    bucket: &str,
    object: NewObject,
    conditions: &Preconditions,
    mut pending: Option<Pending>,
) -> Result<Manifest> {
    let manifest = Manifest {
        version: manifest::VERSION,
        generation: Uuid::new_v4(),
        size_bytes: object.extents.iter().map(|extent| extent.size_bytes).sum(),
        modified_unix_ms: now_unix_ms(),
        key: object.key,
        etag: object.etag,
        attributes: object.attributes,
        upload: object.upload,
        extents: object.extents,
    };
    let replaced = replaced(folder, bucket, &manifest.key, conditions)?;
    conditions.check(replaced.as_ref())?;
    let staged = folder.stage(&manifest)?;
    let old = replaced
        .map(|old| {
            let place = Place::Object { bucket: bucket.to_owned(), key: manifest.key.clone() };
            let files = old.files();
            Intent::open(folder, place, files.clone()).map(|intent| (old.generation, Doomed { files, intent }))
        })
        .transpose()?;
    publish(folder, bucket, &manifest.key, staged, pending.as_mut())?;
    if let Some(pending) = pending {
        pending.close();
    }
    if let Some((generation, doomed)) = old {
        dispose(folder, generation, doomed);
    }
    Ok(manifest)
}

/// The object that is replaced or deleted. One whose record is damaged may be, unless somebody wants to know what it is: so what is damaged
/// can be brought anew. Its data files are named by nothing any more, and stay.
pub(crate) fn replaced(
    folder: &Folder,
    bucket: &str,
    key: &str,
    conditions: &Preconditions,
) -> Result<Option<Manifest>> {
    let is_asked = conditions.if_match.is_some() || conditions.if_none_match.is_some();
    match folder.load_manifest(bucket, key) {
        Err(BackendError::Damaged { path, source }) if !is_asked => {
            tracing::error!(path = %path.display(), %source, "a damaged record is replaced; its data files stay");
            Ok(None)
        }
        found => found,
    }
}

fn publish(folder: &Folder, bucket: &str, key: &str, staged: Staged, pending: Option<&mut Pending>) -> Result<()> {
    let target = folder.manifest(bucket, key);
    let dir = target.parent().expect("a manifest lies in a folder");
    // Held until the rename: nobody removes the folder between its making and its first entry.
    let _tree = folder.tree.read().unwrap_or_else(PoisonError::into_inner);
    require_bucket(folder, bucket)?;
    folder.make_durable_dir(dir).at("create", dir)?;
    folder.publish(staged, &target)?;
    if let Some(pending) = pending {
        pending.keep();
    }
    sync_dir(dir).at("sync", dir)
}

/// Finds an object and pins its data files.
pub(crate) fn open(folder: &Arc<Folder>, tasks: &TaskTracker, bucket: &str, key: &str) -> Result<(Manifest, Pinned)> {
    key::check(key)?;
    let path = folder.manifest(bucket, key);
    loop {
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                require_bucket(folder, bucket)?;
                return Err(BackendError::NoSuchKey);
            }
            Err(error) => return Err(error).at("open", &path),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).at("read", &path)?;
        let manifest: Manifest = parse(&bytes, &path, |manifest: &Manifest| manifest.version)?;
        let pinned = Pinned::new(Arc::clone(folder), tasks.clone(), manifest.generation);
        // A manifest without a name was replaced or deleted before the pin was set: its data may be gone already.
        if file.metadata().at("inspect", &path)?.nlink() > 0 {
            return Ok((manifest, pinned));
        }
    }
}

/// Deletes an object; a missing one is a success, as in S3, unless the condition asks for one.
pub(crate) fn delete(folder: &Folder, bucket: &str, key: &str, conditions: &Preconditions) -> Result<()> {
    key::check(key)?;
    require_bucket(folder, bucket)?;
    let path = folder.manifest(bucket, key);
    let dir = path.parent().expect("a manifest lies in a folder");
    {
        let _key = folder.lock_key(bucket, key);
        let manifest = replaced(folder, bucket, key, conditions)?;
        conditions.check(manifest.as_ref())?;
        let Some(manifest) = manifest else {
            if matches!(folder.load_manifest(bucket, key), Err(BackendError::Damaged { .. })) {
                unpublish(folder, &path)?;
            }
            return Ok(());
        };
        let place = Place::Object { bucket: bucket.to_owned(), key: key.to_owned() };
        let files = manifest.files();
        let intent = Intent::open(folder, place, files.clone())?;
        unpublish(folder, &path)?;
        dispose(folder, manifest.generation, Doomed { files, intent });
    }
    folder.prune(dir, &folder.objects(bucket));
    Ok(())
}

/// Takes a manifest out of its folder, durably.
fn unpublish(folder: &Folder, path: &Path) -> Result<()> {
    let dir = path.parent().expect("a manifest lies in a folder");
    // Held until it is synced: nobody who deletes a neighbour removes the folder, that looks empty, before.
    let _tree = folder.tree.read().unwrap_or_else(PoisonError::into_inner);
    fs::remove_file(path).at("remove", path)?;
    sync_dir(dir).at("sync", dir)
}

/// Copies an object by linking its data files: constant time a file, no byte is read.
pub(crate) fn copy(folder: &Arc<Folder>, tasks: &TaskTracker, copy: Copy) -> Result<Manifest> {
    key::check(&copy.to_key)?;
    require_bucket(folder, &copy.to_bucket)?;
    let (source, _pinned) = open(folder, tasks, &copy.from_bucket, &copy.from_key)?;
    copy.source_conditions.check(Some(&source))?;
    let extents: Vec<Extent> =
        source.extents.iter().map(|extent| Extent { file: FileId::random(), ..extent.clone() }).collect();
    let files = extents.iter().map(|extent| extent.file).collect();
    let place = Place::Object { bucket: copy.to_bucket.clone(), key: copy.to_key.clone() };
    let pending = Pending::open(folder, place, files)?;
    let mut touched = BTreeSet::new();
    for (from, to) in source.extents.iter().zip(&extents) {
        let (from, to) = (folder.data(from.file), folder.data(to.file));
        let dir = to.parent().expect("a data file lies in a folder").to_owned();
        folder.make_durable_dir(&dir).at("create", &dir)?;
        if fs::hard_link(&from, &to).is_err() {
            // A file system without links, or with too many of this file.
            fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all()).at("copy to", &to)?;
        }
        touched.insert(dir);
    }
    for dir in &touched {
        sync_dir(dir).at("sync", dir)?;
    }
    let object = NewObject {
        key: copy.to_key,
        etag: source.etag,
        attributes: match copy.attributes {
            CopiedAttributes::OfSource => source.attributes,
            CopiedAttributes::New(attributes) => attributes,
        },
        upload: None,
        extents,
    };
    commit(folder, &copy.to_bucket, object, &Preconditions::default(), Some(pending))
}

// === impl Preconditions ===

impl Preconditions {
    /// Checks a write, or the source of a copy.
    pub(crate) fn check(&self, current: Option<&Manifest>) -> Result<()> {
        if let Some(condition) = &self.if_match {
            let Some(manifest) = current else { return Err(BackendError::NoSuchKey) };
            if !matches(condition, &manifest.etag) {
                return Err(BackendError::PreconditionFailed);
            }
        }
        if let (Some(condition), Some(manifest)) = (&self.if_none_match, current)
            && matches(condition, &manifest.etag)
        {
            return Err(BackendError::PreconditionFailed);
        }
        Ok(())
    }

    /// Checks a read: an unmet `If-None-Match` is no failure, the caller has the object already.
    pub(crate) fn check_read(&self, current: &Manifest) -> Result<()> {
        let if_match = Self { if_match: self.if_match.clone(), if_none_match: None };
        if_match.check(Some(current))?;
        match &self.if_none_match {
            Some(condition) if matches(condition, &current.etag) => Err(BackendError::NotModified),
            Some(_) | None => Ok(()),
        }
    }
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(wanted) | ETag::Weak(wanted)) => wanted == etag,
    }
}
