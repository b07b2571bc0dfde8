//! All that a folder holds, under a second set of names: what a backup copies from, however long that takes.
//!
//! It is taken while the folder is served, by any process that may read it, and never writes into the folder. That
//! works because of what the layout promises: data files are written once and never changed, a record (a manifest, a
//! part) appears whole by a rename, and its data files go only after it has been replaced or removed. So a record is
//! read, its data files are linked, and where one of them has gone meanwhile the record is read again. A link takes no
//! room and is made in microseconds; deleted objects keep theirs until the snapshot is removed.
//!
//! # What it is a snapshot of
//! Not of one moment: records are visited one after the other. But what was there when [`capture`] began and still is when
//! it ends is in it, whole. Called twice with the notes of what counts taken in between, it has all that those notes
//! name, unless that came and went between the two calls. Documents (`….json`) are visited before the other objects,
//! because they name others, which are written first. Open uploads are visited before objects, because they become some.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::{AtPath, BackendError, Result};
use super::folder::{load, parse};
use super::intents::entries;
use super::key;
use super::manifest::{FileId, Manifest, PartRecord, UploadId, UploadRecord};

/// Reads of one record that is replaced again and again.
const TRIES: usize = 1000;
/// Damaged objects that are named; more are only counted.
const NAMED_MAX: usize = 100;

/// What [`capture`] found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Records that are new in the snapshot, or have changed since the last call.
    pub records: u64,
    /// Records that cannot be read, or whose data files are missing although nobody removed the record: they are left out.
    pub damaged: u64,
    /// The first of those: their files.
    pub damaged_names: Vec<PathBuf>,
}

/// The folder could not be captured.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SnapshotError(#[from] BackendError);

/// Which objects a walk visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Documents,
    Others,
}

/// Brings the snapshot in `copy` up to date with the store in `root`: what is new there is added, what was replaced is
/// replaced, and what was removed stays. Both lie on one file system; where it knows no links, bytes are copied. Blocking.
///
/// # Errors
/// A file cannot be read, linked or written; a record is damaged, or of a later release.
pub fn capture(root: &Path, copy: &Path) -> Result<Captured, SnapshotError> {
    let mut captured = Captured::default();
    fs::create_dir_all(copy).at("create", copy)?;
    let format = root.join("format");
    fs::copy(&format, copy.join("format")).at("copy", &format)?;
    for bucket in entries(&root.join("buckets"))? {
        let to = copy.join("buckets").join(bucket.file_name().unwrap_or_default());
        fs::create_dir_all(&to).at("create", &to)?;
        let snapshot = Snapshot { root, copy };
        for upload in entries(&bucket.join("uploads"))? {
            snapshot.upload(&upload, &mut captured)?;
        }
        for round in [Round::Documents, Round::Others] {
            walk(&bucket.join("objects"), &mut |path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let is_document = name.ends_with(".json=o");
                let is_object = name.ends_with("=o");
                if is_object && is_document == (round == Round::Documents) {
                    snapshot.record(path, manifest_files, &mut captured)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(captured)
}

/// Calls `each` with every file of the snapshot in `copy` that its records name, and with the records, as paths below `copy`: data
/// files before the record that names them, `format` last. An upload that has become its object while the snapshot was taken is that
/// object alone: both name the same data files. Blocking.
///
/// # Errors
/// A file of the snapshot cannot be read; what `each` says.
pub fn each_file(copy: &Path, each: &mut dyn FnMut(&Path) -> io::Result<()>) -> Result<(), SnapshotError> {
    for bucket in entries(&copy.join("buckets"))? {
        let name = bucket.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for upload in entries(&bucket.join("uploads"))? {
            let id = upload.file_name().unwrap_or_default().to_string_lossy();
            if completed_bytes(copy, &name, &id)?.is_none() {
                walk(&upload, &mut |path| each_of(copy, path, each))?;
            }
        }
        walk(&bucket.join("objects"), &mut |path| each_of(copy, path, each))?;
    }
    Ok(each(Path::new("format")).at("copy", &copy.join("format"))?)
}

fn each_of(copy: &Path, path: &Path, each: &mut dyn FnMut(&Path) -> io::Result<()>) -> Result<()> {
    let bytes = fs::read(path).at("read", path)?;
    let relative = path.strip_prefix(copy).unwrap_or(path);
    for file in named_by(path, &bytes)? {
        let data = data_path(file);
        each(&data).at("copy", &data)?;
    }
    each(relative).at("copy", relative)
}

/// Size of the object that a multipart upload has become, in the snapshot or in a store that nobody serves; `None` while it is open, or
/// unknown.
///
/// # Errors
/// A record cannot be read.
pub fn completed_bytes(copy: &Path, bucket: &str, upload: &str) -> Result<Option<u64>, SnapshotError> {
    let Some(folder) = upload_folder(copy, bucket, upload) else { return Ok(None) };
    let record = load(&folder.join("upload.json"), |record: &UploadRecord| record.version)?;
    let Some(UploadRecord { key, .. }) = record else { return Ok(None) };
    Ok(object_of(copy, bucket, &key, upload)?)
}

/// Size of the object under `key`, if this upload became it.
///
/// # Errors
/// The manifest cannot be read.
pub fn object_of_upload(copy: &Path, bucket: &str, key: &str, upload: &str) -> Result<Option<u64>, SnapshotError> {
    Ok(object_of(copy, bucket, key, upload)?)
}

fn object_of(copy: &Path, bucket: &str, key: &str, upload: &str) -> Result<Option<u64>> {
    let path = copy.join("buckets").join(bucket).join("objects").join(key::manifest_path(key));
    let manifest = load(&path, |manifest: &Manifest| manifest.version)?;
    Ok(manifest.filter(|manifest| manifest.upload == UploadId::parse(upload)).map(|manifest| manifest.size_bytes))
}

/// Whether the snapshot has an object.
#[must_use]
pub fn has_object(copy: &Path, bucket: &str, key: &str) -> bool {
    copy.join("buckets").join(bucket).join("objects").join(key::manifest_path(key)).is_file()
}

/// Whether the snapshot, or a store that nobody serves, has an open multipart upload.
#[must_use]
pub fn has_upload(copy: &Path, bucket: &str, upload: &str) -> bool {
    upload_folder(copy, bucket, upload).is_some_and(|folder| folder.join("upload.json").is_file())
}

/// Whether it has a part of one.
#[must_use]
pub fn has_part(copy: &Path, bucket: &str, upload: &str, number: u16) -> bool {
    has_upload(copy, bucket, upload)
        && upload_folder(copy, bucket, upload).is_some_and(|folder| folder.join(part_name(number)).is_file())
}

/// The bytes of a part of an open multipart upload: S3 itself has no way to read them. Blocking; a part fits into memory.
///
/// # Errors
/// There is no such part, or it cannot be read.
pub fn read_part(copy: &Path, bucket: &str, upload: &str, number: u16) -> Result<Bytes, SnapshotError> {
    let folder = upload_folder(copy, bucket, upload).ok_or(BackendError::NoSuchUpload)?;
    let path = folder.join(part_name(number));
    let record = fs::read(&path).at("read", &path)?;
    let extent = parse(&record, &path, |part: &PartRecord| part.version)?.extent;
    let data = copy.join(data_path(extent.file));
    let bytes = fs::read(&data).at("read", &data)?;
    if bytes.len() as u64 != extent.size_bytes {
        return Err(
            BackendError::IncompleteBody { got_bytes: bytes.len() as u64, expected_bytes: extent.size_bytes }.into()
        );
    }
    Ok(bytes.into())
}

fn upload_folder(copy: &Path, bucket: &str, upload: &str) -> Option<PathBuf> {
    let id = UploadId::parse(upload)?;
    Some(copy.join("buckets").join(bucket).join("uploads").join(id.to_string()))
}

fn part_name(number: u16) -> String {
    format!("{number:05}.part")
}

/// From where to where.
#[derive(Debug, Clone, Copy)]
struct Snapshot<'a> {
    root: &'a Path,
    copy: &'a Path,
}

/// What reads the data files that a record names.
type NamedFiles = fn(&[u8], &Path) -> Result<Vec<FileId>>;

// === impl Captured ===

impl Captured {
    fn note_damaged(&mut self, path: &Path) {
        self.damaged += 1;
        if self.damaged_names.len() < NAMED_MAX {
            self.damaged_names.push(path.to_owned());
        }
    }
}

// === impl Snapshot ===

impl Snapshot<'_> {
    fn upload(self, folder: &Path, captured: &mut Captured) -> Result<()> {
        // Without it there is no upload, only what is left of one.
        let record = folder.join("upload.json");
        if !record.is_file() {
            return Ok(());
        }
        self.record(&record, upload_files, captured)?;
        for path in entries(folder)? {
            if path.extension().is_some_and(|extension| extension == "part") {
                self.record(&path, part_files, captured)?;
            }
        }
        Ok(())
    }

    /// Captures one record with its data files, as it is now; one that has gone is none.
    fn record(self, path: &Path, files: NamedFiles, captured: &mut Captured) -> Result<()> {
        let target = self.copy.join(path.strip_prefix(self.root).unwrap_or(path));
        let mut seen = None;
        for _ in 0..TRIES {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) => return Err(error).at("read", path),
            };
            if fs::read(&target).is_ok_and(|before| before == bytes) {
                return Ok(());
            }
            let files = match files(&bytes, path) {
                Ok(files) => files,
                // What one flipped bit spoils must not keep all else from being captured.
                Err(BackendError::Damaged { .. }) => {
                    captured.note_damaged(path);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if self.link_all(&files)? {
                let folder = target.parent().expect("a record lies in a folder");
                fs::create_dir_all(folder).at("create", folder)?;
                fs::write(&target, &bytes).at("write", &target)?;
                captured.records += 1;
                return Ok(());
            }
            // The server removes a record before its data: one that still says the same has lost them.
            if seen.as_ref() == Some(&bytes) {
                captured.note_damaged(path);
                return Ok(());
            }
            seen = Some(bytes);
        }
        Err(io::Error::from(io::ErrorKind::TimedOut)).at("follow the changes of", path)
    }

    /// Whether all data files were there to be linked.
    fn link_all(self, files: &[FileId]) -> Result<bool> {
        for file in files {
            let name = data_path(*file);
            let (from, to) = (self.root.join(&name), self.copy.join(&name));
            let folder = to.parent().expect("a data file lies in a folder");
            fs::create_dir_all(folder).at("create", folder)?;
            match fs::hard_link(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if is_absent(&error) => return Ok(false),
                // A file system without links, or with too many of this file.
                Err(_) => match fs::copy(&from, &to) {
                    Ok(_) => {}
                    Err(error) if is_absent(&error) => return Ok(false),
                    Err(error) => return Err(error).at("copy", &from),
                },
            }
        }
        Ok(true)
    }
}

/// Visits every file below `folder`; what goes meanwhile is not visited.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    let listing = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        other => other.at("list", folder)?,
    };
    for entry in listing {
        let entry = entry.at("list", folder)?;
        let path = entry.path();
        if entry.file_type().at("inspect", &path)?.is_dir() {
            // As deep as a key has slashes: at most 1,024.
            walk(&path, each)?;
        } else {
            each(&path)?;
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn data_path(file: FileId) -> PathBuf {
    Path::new("data").join(file.path())
}

fn named_by(path: &Path, bytes: &[u8]) -> Result<Vec<FileId>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with("=o") {
        manifest_files(bytes, path)
    } else if name.ends_with(".part") {
        part_files(bytes, path)
    } else {
        upload_files(bytes, path)
    }
}

fn manifest_files(bytes: &[u8], path: &Path) -> Result<Vec<FileId>> {
    Ok(parse(bytes, path, |manifest: &Manifest| manifest.version)?.files())
}

fn part_files(bytes: &[u8], path: &Path) -> Result<Vec<FileId>> {
    Ok(vec![parse(bytes, path, |part: &PartRecord| part.version)?.extent.file])
}

fn upload_files(bytes: &[u8], path: &Path) -> Result<Vec<FileId>> {
    parse(bytes, path, |upload: &UploadRecord| upload.version).map(|_| Vec::new())
}
