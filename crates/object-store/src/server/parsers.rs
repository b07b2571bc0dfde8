//! Keys, and the records that a folder holds, as functions of values: the way in for the fuzz targets (fuzz/), which hold
//! each of them to a property. No part of the API: nothing in the product calls it, so no program grows by it.

use std::path::{Component, Path, PathBuf};

use super::key;
use super::manifest::{self, Manifest, UploadId};

/// Where an object lies below its bucket's `objects`; `None` where the key is refused.
#[must_use]
pub fn path_of(object_key: &str) -> Option<PathBuf> {
    key::check(object_key).ok()?;
    Some(key::manifest_path(object_key))
}

/// The key of what lies at `path`; `None` where the store did not put it there.
#[must_use]
pub fn key_of(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in path.components() {
        let Component::Normal(name) = part else { return None };
        bytes.extend(key::parse_entry(name.to_str()?)?.sort_key());
    }
    Some(bytes)
}

/// The folder in which every key with this prefix lies.
#[must_use]
pub fn folder_of_prefix(prefix: &str) -> PathBuf {
    key::prefix_folder(prefix).0
}

/// What a manifest says of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The object's length by its extents.
    pub length: u128,
    /// Where the bytes of the range lie, in order: path below `data`, offset, length.
    pub pieces: Vec<(String, u64, u64)>,
}

/// Reads a manifest, and cuts `range` out of what it describes.
#[must_use]
pub fn read_manifest(json: &[u8], range: std::ops::Range<u64>) -> Option<Cut> {
    let manifest: Manifest = serde_json::from_slice(json).ok()?;
    let length = manifest.extents.iter().map(|extent| u128::from(extent.size_bytes)).sum();
    let pieces = manifest::pieces(&manifest.extents, range).into_iter();
    let pieces = pieces.map(|piece| (piece.file.path(), piece.offset_bytes, piece.size_bytes)).collect();
    Some(Cut { length, pieces })
}

/// The identifier of a multipart upload, as it becomes a folder's name.
#[must_use]
pub fn upload_id(text: &str) -> Option<String> {
    UploadId::parse(text).map(|id| id.to_string())
}
