//! Intents: a note, made before data files come or go, of where to look after a crash.
//!
//! An intent names data files and the one place (an object's manifest, or a part's record) that can name them. The
//! place is the truth: at start, for each intent left behind, the files that the place does not name are removed.
//! So the sweep costs as much as was under way at the crash, not as much as is stored.
//!
//! Intents are not fsynced: one that a power failure swallows costs the space of its files, never content.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::{AtPath, Result};
use super::folder::{Folder, load};
use super::manifest::{FileId, Manifest, PartRecord, UploadId};
use super::uploads;

/// The one record that can name a data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    Object {
        bucket: String,
        key: String,
    },
    /// A part; once its upload is completed, the object.
    Part {
        bucket: String,
        key: String,
        upload: UploadId,
        number: u16,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    place: Place,
    files: Vec<FileId>,
}

/// A note on disk. It stays there unless closed.
#[derive(Debug)]
pub(crate) struct Intent(PathBuf);

// === impl Intent ===

impl Intent {
    pub(crate) fn open(folder: &Folder, place: Place, files: Vec<FileId>) -> Result<Self> {
        let path = folder.intents().join(Uuid::new_v4().simple().to_string());
        let json = serde_json::to_vec(&Note { place, files }).expect("a note has string keys");
        fs::write(&path, json).at("write", &path)?;
        Ok(Self(path))
    }

    /// The files are where they belong, or gone.
    pub(crate) fn close(self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove an intent; the next start resolves it");
        }
    }
}

/// What a start cleaned up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    pub intents: usize,
    pub uploads: usize,
    pub tmp_files: usize,
}

/// Resolves everything that a crash left. Runs before the first request.
pub(crate) fn sweep(folder: &Folder) -> Result<Swept> {
    let mut swept = Swept::default();
    for path in entries(&folder.intents())? {
        swept.intents += 1;
        resolve(folder, &path)?;
    }
    for bucket in entries(&folder.buckets())? {
        let Some(bucket) = bucket.file_name().and_then(|name| name.to_str()) else { continue };
        for path in entries(&folder.uploads(bucket))? {
            let id = path.file_name().and_then(|name| name.to_str()).and_then(UploadId::parse);
            if let Some(id) = id {
                swept.uploads += usize::from(uploads::sweep(folder, bucket, id)?);
            }
        }
    }
    for path in entries(&folder.tmp())? {
        swept.tmp_files += 1;
        // A folder here is a deleted bucket on its way out.
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.at("remove", &path)?;
    }
    Ok(swept)
}

fn resolve(folder: &Folder, path: &Path) -> Result<()> {
    let bytes = fs::read(path).at("read", path)?;
    match serde_json::from_slice::<Note>(&bytes) {
        Ok(note) => {
            let named = named_files(folder, &note.place)?;
            let orphans: Vec<FileId> = note.files.into_iter().filter(|file| !named.contains(file)).collect();
            if !folder.remove_data(&orphans) {
                return Ok(());
            }
        }
        Err(error) => {
            // Torn by a power failure before it reached the disk.
            tracing::warn!(path = %path.display(), %error, "unreadable intent dropped; its data files may stay behind");
        }
    }
    fs::remove_file(path).at("remove", path)
}

fn named_files(folder: &Folder, place: &Place) -> Result<Vec<FileId>> {
    let of_object = |bucket: &str, key: &str| -> Result<Vec<FileId>> {
        Ok(folder.load_manifest(bucket, key)?.as_ref().map(Manifest::files).unwrap_or_default())
    };
    match place {
        Place::Object { bucket, key } => of_object(bucket, key),
        Place::Part { bucket, key, upload, number } => {
            let path = uploads::part_path(folder, bucket, *upload, *number);
            let part: Option<PartRecord> = load(&path, |part: &PartRecord| part.version)?;
            let mut files = of_object(bucket, key)?;
            files.extend(part.map(|part| part.extent.file));
            Ok(files)
        }
    }
}

/// The paths in a folder; none if it does not exist.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", dir)?,
    };
    listing.map(|entry| entry.map(|entry| entry.path()).at("list", dir)).collect()
}
