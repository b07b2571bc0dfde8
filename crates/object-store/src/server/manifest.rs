//! What an object is: the manifest, its extents, and which bytes of which extent a range means. Pure.
//!
//! A manifest is one JSON file. It exists whole or not at all (it arrives by a rename), and the data files that it
//! names are complete and on disk before it does. Data files never change; a new content is a new file.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Version of [`Manifest`] and of the part and upload records that is written, and the newest that is read.
pub(crate) const VERSION: u32 = 1;

/// A committed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub version: u32,
    /// The whole key: the path tells it too, but a moved file must not answer for another key.
    pub key: String,
    /// A new one with every write, also of equal content: what readers pin.
    pub generation: Uuid,
    pub size_bytes: u64,
    /// Without quotes: MD5 in hex; of a multipart upload the MD5 of its parts' ETags, `-`, their number.
    pub etag: String,
    pub modified_unix_ms: i64,
    pub attributes: Attributes,
    /// The multipart upload that this object completed: makes a repeated completion answer as the first did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadId>,
    pub extents: Vec<Extent>,
}

/// What the writer said about the object, given back to every reader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `x-amz-meta-*`, names in lower case without that prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// One immutable data file, in its place in the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extent {
    pub file: FileId,
    pub size_bytes: u64,
    /// ETag of the part that it was, if it was one: a part that is a copy of just this gets the same, and no byte is read for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// Name of a data file. Random, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FileId(#[serde(with = "uuid::serde::simple")] Uuid);

/// Name of a multipart upload. Parsed strictly: it becomes a folder's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UploadId(#[serde(with = "uuid::serde::simple")] Uuid);

/// An open multipart upload, `upload.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub version: u32,
    pub key: String,
    pub initiated_unix_ms: i64,
    pub attributes: Attributes,
}

/// One stored part of an open upload, `NNNNN.part`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub version: u32,
    /// Key of the upload, so that a left-over part can be judged without `upload.json`.
    pub key: String,
    pub number: u16,
    /// MD5 in hex, without quotes.
    pub etag: String,
    pub modified_unix_ms: i64,
    pub extent: Extent,
}

/// A run of bytes in one data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub file: FileId,
    pub offset_bytes: u64,
    pub size_bytes: u64,
}

/// The runs that make up `range` of the object, in order; a range beyond the end is cut off.
pub(crate) fn pieces(extents: &[Extent], range: Range<u64>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start_bytes = 0_u64;
    for extent in extents {
        // A damaged manifest may state lengths that no file has.
        let end_bytes = extent.size_bytes.saturating_add(start_bytes);
        if start_bytes >= range.end {
            break;
        }
        let from = range.start.max(start_bytes);
        let to = range.end.min(end_bytes);
        if from < to {
            pieces.push(Piece { file: extent.file, offset_bytes: from - start_bytes, size_bytes: to - from });
        }
        start_bytes = end_bytes;
    }
    pieces
}

// === impl Manifest ===

impl Manifest {
    pub(crate) fn names(&self, file: FileId) -> bool {
        self.extents.iter().any(|extent| extent.file == file)
    }

    /// The data file that holds exactly this range, with the ETag of its bytes.
    pub(crate) fn whole_extent(&self, range: &Range<u64>) -> Option<(Extent, String)> {
        let mut start_bytes = 0_u64;
        for extent in &self.extents {
            let end_bytes = start_bytes.saturating_add(extent.size_bytes);
            if (start_bytes..end_bytes) == *range {
                let of_object = (self.extents.len() == 1 && self.upload.is_none()).then_some(&self.etag);
                return extent.etag.as_ref().or(of_object).map(|etag| (extent.clone(), etag.clone()));
            }
            start_bytes = end_bytes;
        }
        None
    }

    pub(crate) fn files(&self) -> Vec<FileId> {
        self.extents.iter().map(|extent| extent.file).collect()
    }
}

// === impl FileId ===

impl FileId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Path below `data`: 256 folders keep each of them small.
    pub(crate) fn path(self) -> String {
        let name = self.0.simple().to_string();
        format!("{}/{name}", &name[..2])
    }
}

// === impl UploadId ===

impl UploadId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl std::fmt::Display for UploadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.simple().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The pieces of a range, read from the files, are the range of the whole.
        #[test]
        fn pieces_of_a_range_are_its_bytes(
            sizes in prop::collection::vec(0u64..9, 0..8),
            start in 0u64..80,
            len in 0u64..80,
        ) {
            let mut next = 0u8;
            let files: Vec<(Extent, Vec<u8>)> = sizes
                .iter()
                .map(|&size_bytes| {
                    let bytes = (0..size_bytes).map(|_| { next += 1; next }).collect();
                    (Extent { file: FileId::random(), size_bytes, etag: None }, bytes)
                })
                .collect();
            let extents: Vec<Extent> = files.iter().map(|(extent, _)| extent.clone()).collect();
            let whole: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();

            let mut got = Vec::new();
            for piece in pieces(&extents, start..start + len) {
                prop_assert!(piece.size_bytes > 0);
                let (_, bytes) = files.iter().find(|(extent, _)| extent.file == piece.file).unwrap();
                let from = usize::try_from(piece.offset_bytes).unwrap();
                let size = usize::try_from(piece.size_bytes).unwrap();
                got.extend_from_slice(&bytes[from..from + size]);
            }
            let from = usize::try_from(start).unwrap().min(whole.len());
            let to = usize::try_from(start + len).unwrap().min(whole.len());
            prop_assert_eq!(got, whole[from..to].to_vec());
        }

        #[test]
        fn an_upload_id_is_hex_or_nothing(text in any::<String>()) {
            prop_assert_eq!(UploadId::parse(&text).map(|id| id.to_string()), UploadId::parse(&text).map(|_| text));
        }
    }

    #[test]
    fn an_upload_id_has_one_spelling() {
        let id = UploadId::random();
        assert_eq!(UploadId::parse(&id.to_string()), Some(id));
        assert_eq!(UploadId::parse(&id.to_string().to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")), None);
        assert_eq!(UploadId::parse("../../../../tmp"), None);
    }
}
