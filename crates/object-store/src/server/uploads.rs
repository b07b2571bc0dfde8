//! Multipart uploads: parts become the object's extents; completing moves no byte.
//!
//! An upload exists as long as its `upload.json` does, and is over once the object names it. Completion is the
//! rename of the object's manifest and nothing else; the upload's folder is removed after that, records of parts
//! first, `upload.json` last. Aborting goes the other way round. Every left-over record is judged by the object:
//! a data file that its manifest names stays.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use md5::{Digest, Md5};
use s3s::dto::Checksum;

use super::data::{Pending, Written};
use super::error::{AtPath, BackendError, Result};
use super::folder::{Folder, load, sync_dir};
use super::intents::{Intent, Place, entries};
use super::key;
use super::manifest::{self, Attributes, Extent, FileId, Manifest, PartRecord, UploadId, UploadRecord};
use super::objects::{NewObject, Preconditions, commit_locked, now_unix_ms, require_bucket};

/// S3's smallest part, except for the last.
pub(crate) const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;
/// S3's largest part number.
pub(crate) const MAX_PARTS: u16 = 10_000;

/// One part as a completion names it.
#[derive(Debug, Clone)]
pub(crate) struct NamedPart {
    pub number: i32,
    /// Without quotes; `None` takes whatever is stored.
    pub etag: Option<String>,
}

/// Where one part's record lies.
pub(crate) fn part_path(folder: &Folder, bucket: &str, upload: UploadId, number: u16) -> PathBuf {
    folder.upload(bucket, upload).join(format!("{number:05}.part"))
}

pub(crate) fn parse_number(number: i32) -> Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=MAX_PARTS).contains(number))
        .ok_or_else(|| BackendError::InvalidArgument(format!("part number {number} is not in 1..={MAX_PARTS}")))
}

pub(crate) fn create(folder: &Folder, bucket: &str, key: &str, attributes: Attributes) -> Result<UploadId> {
    key::check(key)?;
    let id = UploadId::random();
    let dir = folder.upload(bucket, id);
    let record =
        UploadRecord { version: manifest::VERSION, key: key.to_owned(), initiated_unix_ms: now_unix_ms(), attributes };
    let staged = folder.stage(&record)?;
    let _tree = folder.tree.read().unwrap_or_else(PoisonError::into_inner);
    require_bucket(folder, bucket)?;
    folder.make_durable_dir(&dir).at("create", &dir)?;
    folder.publish(staged, &dir.join("upload.json"))?;
    sync_dir(&dir).at("sync", &dir)?;
    Ok(id)
}

/// The record of an upload that is open for this key.
pub(crate) fn find(folder: &Folder, bucket: &str, key: &str, id: UploadId) -> Result<UploadRecord> {
    require_bucket(folder, bucket)?;
    let record = load_record(folder, bucket, id)?.filter(|record| record.key == key);
    let record = record.ok_or(BackendError::NoSuchUpload)?;
    if completed(folder, bucket, key, id)?.is_some() {
        return Err(BackendError::NoSuchUpload);
    }
    Ok(record)
}

/// Commits a part whose data file is on disk; replaces an earlier one of the same number.
pub(crate) fn commit_part(
    folder: &Folder,
    bucket: &str,
    key: &str,
    id: UploadId,
    number: u16,
    written: Written,
) -> Result<PartRecord> {
    let _key = folder.lock_key(bucket, key);
    find(folder, bucket, key, id)?;
    let part = PartRecord {
        version: manifest::VERSION,
        key: key.to_owned(),
        number,
        etag: written.etag,
        modified_unix_ms: now_unix_ms(),
        extent: written.extent,
    };
    let target = part_path(folder, bucket, id, number);
    let replaced: Option<PartRecord> = load(&target, |part: &PartRecord| part.version)?;
    let staged = folder.stage(&part)?;
    let old = replaced
        .map(|old| {
            let place = Place::Part { bucket: bucket.to_owned(), key: key.to_owned(), upload: id, number };
            Intent::open(folder, place, vec![old.extent.file]).map(|intent| (old.extent.file, intent))
        })
        .transpose()?;
    folder.publish(staged, &target)?;
    let mut pending = written.pending;
    pending.keep();
    let dir = folder.upload(bucket, id);
    sync_dir(&dir).at("sync", &dir)?;
    pending.close();
    if let Some((file, intent)) = old
        && folder.remove_data(&[file])
    {
        intent.close();
    }
    Ok(part)
}

/// Makes a part of `range` of an object by linking the data file that holds just that: no byte is read. `None` if none does, or
/// the file system has no links; then the bytes have to be copied. `source` must be pinned.
pub(crate) fn link_part(
    folder: &Arc<Folder>,
    place: Place,
    source: &Manifest,
    range: &Range<u64>,
) -> Result<Option<Written>> {
    let Some((extent, etag)) = source.whole_extent(range) else { return Ok(None) };
    let file = FileId::random();
    let (from, to) = (folder.data(extent.file), folder.data(file));
    let dir = to.parent().expect("a data file lies in a folder");
    folder.make_durable_dir(dir).at("create", dir)?;
    let pending = Pending::open(folder, place, vec![file])?;
    if fs::hard_link(&from, &to).is_err() {
        return Ok(None);
    }
    sync_dir(dir).at("sync", dir)?;
    let extent = Extent { file, size_bytes: extent.size_bytes, etag: None };
    Ok(Some(Written { pending, extent, etag, md5: None, checksums: Checksum::default() }))
}

/// Makes the named parts the object. Asked again after it succeeded, it answers the same.
pub(crate) fn complete(
    folder: &Folder,
    bucket: &str,
    key: &str,
    id: UploadId,
    named: &[NamedPart],
    conditions: &Preconditions,
) -> Result<Manifest> {
    key::check(key)?;
    let _key = folder.lock_key(bucket, key);
    if let Some(manifest) = completed(folder, bucket, key, id)? {
        finish(folder, bucket, &manifest, id);
        return Ok(manifest);
    }
    let record = find(folder, bucket, key, id)?;
    let parts = select_parts(folder, bucket, id, named)?;
    let object = NewObject {
        key: key.to_owned(),
        etag: multipart_etag(&parts),
        attributes: record.attributes,
        upload: Some(id),
        extents: parts.into_iter().map(|part| Extent { etag: Some(part.etag), ..part.extent }).collect(),
    };
    let manifest = commit_locked(folder, bucket, object, conditions, None)?;
    finish(folder, bucket, &manifest, id);
    Ok(manifest)
}

pub(crate) fn abort(folder: &Folder, bucket: &str, key: &str, id: UploadId) -> Result<()> {
    let _key = folder.lock_key(bucket, key);
    find(folder, bucket, key, id)?;
    let dir = folder.upload(bucket, id);
    let record = dir.join("upload.json");
    fs::remove_file(&record).at("remove", &record)?;
    sync_dir(&dir).at("sync", &dir)?;
    discard_parts(folder, bucket, id, None)
}

/// The stored parts in the order of their numbers.
pub(crate) fn parts(folder: &Folder, bucket: &str, id: UploadId) -> Result<Vec<PartRecord>> {
    let mut paths = entries(&folder.upload(bucket, id))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "part"));
    paths.sort();
    let load_part = |path: PathBuf| load(&path, |part: &PartRecord| part.version).transpose();
    paths.into_iter().filter_map(load_part).collect()
}

/// The open uploads whose key begins with `prefix`, by key, then by age.
pub(crate) fn list(folder: &Folder, bucket: &str, prefix: &str) -> Result<Vec<(UploadId, UploadRecord)>> {
    require_bucket(folder, bucket)?;
    let mut uploads = Vec::new();
    for path in entries(&folder.uploads(bucket))? {
        let Some(id) = path.file_name().and_then(|name| name.to_str()).and_then(UploadId::parse) else { continue };
        if let Some(record) = load_record(folder, bucket, id)?
            && record.key.starts_with(prefix)
            && completed(folder, bucket, &record.key, id)?.is_none()
        {
            uploads.push((id, record));
        }
    }
    uploads
        .sort_by(|(a_id, a), (b_id, b)| (&a.key, a.initiated_unix_ms, a_id).cmp(&(&b.key, b.initiated_unix_ms, b_id)));
    Ok(uploads)
}

/// Finishes what a crash left of a completion or an abort; true if there was something.
pub(crate) fn sweep(folder: &Folder, bucket: &str, id: UploadId) -> Result<bool> {
    match load_record(folder, bucket, id)? {
        Some(record) => match completed(folder, bucket, &record.key, id)? {
            Some(manifest) => {
                discard_parts(folder, bucket, id, Some(&manifest))?;
                Ok(true)
            }
            None => Ok(false),
        },
        None => {
            discard_parts(folder, bucket, id, None)?;
            Ok(true)
        }
    }
}

fn load_record(folder: &Folder, bucket: &str, id: UploadId) -> Result<Option<UploadRecord>> {
    load(&folder.upload(bucket, id).join("upload.json"), |record: &UploadRecord| record.version)
}

/// The object, if it is this upload's result.
fn completed(folder: &Folder, bucket: &str, key: &str, id: UploadId) -> Result<Option<Manifest>> {
    Ok(folder.load_manifest(bucket, key)?.filter(|manifest| manifest.upload == Some(id)))
}

/// Clears the folder of a completed upload. The object is committed: a failure is the next start's work.
fn finish(folder: &Folder, bucket: &str, manifest: &Manifest, id: UploadId) {
    if let Err(error) = discard_parts(folder, bucket, id, Some(manifest)) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot clear a completed upload; the next start retries"
        );
    }
}

fn discard_parts(folder: &Folder, bucket: &str, id: UploadId, committed: Option<&Manifest>) -> Result<()> {
    for part in parts(folder, bucket, id)? {
        // Without `upload.json` only the part knows the key, and only the object knows whether it is in use.
        let named = match committed {
            Some(manifest) => manifest.names(part.extent.file),
            None => folder.load_manifest(bucket, &part.key)?.is_some_and(|object| object.names(part.extent.file)),
        };
        let unused: &[FileId] = if named { &[] } else { &[part.extent.file] };
        if folder.remove_data(unused) {
            let path = part_path(folder, bucket, id, part.number);
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    let dir = folder.upload(bucket, id);
    let record = dir.join("upload.json");
    match fs::remove_file(&record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", &record),
        Ok(()) | Err(_) => {}
    }
    folder.forget_dir(&dir);
    match fs::remove_dir(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &dir),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn select_parts(folder: &Folder, bucket: &str, id: UploadId, named: &[NamedPart]) -> Result<Vec<PartRecord>> {
    if named.is_empty() {
        return Err(BackendError::InvalidArgument("a completion names at least one part".to_owned()));
    }
    if !named.is_sorted_by(|a, b| a.number < b.number) {
        return Err(BackendError::InvalidPartOrder);
    }
    let mut parts = Vec::with_capacity(named.len());
    for NamedPart { number, etag } in named {
        let invalid = || BackendError::InvalidPart { number: *number };
        let path = part_path(folder, bucket, id, parse_number(*number)?);
        let part: PartRecord = load(&path, |part: &PartRecord| part.version)?.ok_or_else(invalid)?;
        if etag.as_ref().is_some_and(|etag| *etag != part.etag) {
            return Err(invalid());
        }
        // A part must not be promised whose bytes are not there.
        let data = folder.data(part.extent.file);
        if fs::metadata(&data).map_or(true, |metadata| metadata.len() != part.extent.size_bytes) {
            return Err(invalid());
        }
        parts.push(part);
    }
    let all_but_last = &parts[..parts.len() - 1];
    if let Some(small) = all_but_last.iter().find(|part| part.extent.size_bytes < MIN_PART_BYTES) {
        return Err(BackendError::PartTooSmall {
            number: small.number.into(),
            size_bytes: small.extent.size_bytes,
            minimum_bytes: MIN_PART_BYTES,
        });
    }
    Ok(parts)
}

/// The ETag of a multipart object, in the form that S3 gives it: a digest of the parts' ETags, and their count.
fn multipart_etag(parts: &[PartRecord]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part.etag.as_bytes());
    }
    format!("{}-{}", hex::encode(md5.finalize()), parts.len())
}

/// The place that will name the data file of a part.
pub(crate) fn place(bucket: &str, key: &str, upload: UploadId, number: u16) -> Place {
    Place::Part { bucket: bucket.to_owned(), key: key.to_owned(), upload, number }
}
