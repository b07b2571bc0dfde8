//! Listings: the keys of a bucket in byte order, from any point, without reading what lies before it.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::error::{AtPath, BackendError, Result};
use super::folder::Folder;
use super::key::{self, Entry, EntryKind};
use super::manifest::Manifest;
use super::objects::require_bucket;

/// What to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub prefix: String,
    pub delimiter: Option<String>,
    /// Everything up to and including this was listed before: a key, or a common prefix.
    pub after: Option<After>,
    /// Keys and common prefixes together.
    pub limit: usize,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    Key(String),
    CommonPrefix(String),
}

/// One page of a listing.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub items: Vec<Item>,
    /// Set if something follows.
    pub next: Option<After>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Object(Listed),
    CommonPrefix(String),
}

/// What a listing says of an object: never its extents, of which there may be thousands.
#[derive(Debug)]
pub(crate) struct Listed {
    pub key: String,
    pub size_bytes: u64,
    pub etag: String,
    pub modified_unix_ms: i64,
}

/// Lists one page.
pub(crate) fn list(folder: &Folder, bucket: &str, query: &Query) -> Result<Page> {
    require_bucket(folder, bucket)?;
    let mut page = Page::default();
    if query.limit == 0 {
        return Ok(page);
    }
    let mut walk = Walk::new(query);
    let (start, covered) = key::prefix_folder(&query.prefix);
    let _: ControlFlow<()> = walk.folder(&folder.objects(bucket).join(start), covered.to_vec(), &mut |key| {
        let key = String::from_utf8_lossy(key).into_owned();
        let item = match common_prefix(&key, query) {
            Some(prefix) => Item::CommonPrefix(prefix),
            // Deleted since the folder was read: not there, and no place on the page.
            None => match folder.load_manifest(bucket, &key) {
                Ok(Some(manifest)) => Item::Object(Listed::from(manifest)),
                Ok(None) => return Ok(Step::Continue),
                // What one flipped bit spoils must not hide all that lies behind it. Who reads it is told what is wrong.
                Err(BackendError::Damaged { path, source }) => {
                    tracing::error!(path = %path.display(), %source, "the record of an object is damaged");
                    Item::Object(Listed { key, size_bytes: 0, etag: String::new(), modified_unix_ms: 0 })
                }
                Err(error) => return Err(error),
            },
        };
        if page.items.len() == query.limit {
            page.next = page.items.last().map(Item::position);
            return Ok(Step::Stop);
        }
        let step = match &item {
            Item::Object(_) => Step::Continue,
            Item::CommonPrefix(prefix) => Step::SkipPrefix(prefix.clone().into_bytes()),
        };
        page.items.push(item);
        Ok(step)
    })?;
    Ok(page)
}

/// Whether a bucket holds any object.
pub(crate) fn is_empty(folder: &Folder, bucket: &str) -> Result<bool> {
    let page = list(folder, bucket, &Query { limit: 1, ..Query::default() })?;
    Ok(page.items.is_empty())
}

fn common_prefix(key: &str, query: &Query) -> Option<String> {
    let delimiter = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
    let rest = &key[query.prefix.len()..];
    let end = rest.find(delimiter)? + delimiter.len();
    Some(key[..query.prefix.len() + end].to_owned())
}

enum Step {
    Continue,
    SkipPrefix(Vec<u8>),
    Stop,
}

struct Walk {
    prefix: Vec<u8>,
    /// Keys up to and including this are passed over.
    after: Vec<u8>,
    /// Keys that begin with this are passed over.
    skip: Option<Vec<u8>>,
}

// === impl Walk ===

impl Walk {
    fn new(query: &Query) -> Self {
        let (after, skip) = match &query.after {
            Some(After::Key(key)) => (key.clone().into_bytes(), None),
            Some(After::CommonPrefix(prefix)) => (prefix.clone().into_bytes(), Some(prefix.clone().into_bytes())),
            None => (Vec::new(), None),
        };
        Self { prefix: query.prefix.clone().into_bytes(), after, skip }
    }

    /// Visits the keys below `dir`, all of which begin with `base`. As deep as a key has pieces, 1,024 at most.
    fn folder(
        &mut self,
        dir: &Path,
        base: Vec<u8>,
        visit: &mut dyn FnMut(&[u8]) -> Result<Step>,
    ) -> Result<ControlFlow<()>> {
        for (begin, kind, path) in read_sorted(dir, &base)? {
            if self.can_pass_over(&begin, kind) {
                continue;
            }
            if kind != EntryKind::Object {
                if self.folder(&path, begin, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                continue;
            }
            match visit(&begin)? {
                Step::Continue => {}
                Step::SkipPrefix(prefix) => self.skip = Some(prefix),
                Step::Stop => return Ok(ControlFlow::Break(())),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether no key of the entry is wanted; `begin` is the key, or what all keys of a folder begin with.
    fn can_pass_over(&self, begin: &[u8], kind: EntryKind) -> bool {
        let is_object = kind == EntryKind::Object;
        let in_prefix = begin.starts_with(&self.prefix) || (!is_object && self.prefix.starts_with(begin));
        let skipped = self.skip.as_ref().is_some_and(|skip| begin.starts_with(skip));
        let passed = if is_object {
            begin <= self.after.as_slice() && !self.after.is_empty()
        } else {
            begin < self.after.as_slice() && !self.after.starts_with(begin)
        };
        !in_prefix || skipped || passed
    }
}

// === impl Listed ===

impl From<Manifest> for Listed {
    fn from(manifest: Manifest) -> Self {
        let Manifest { key, size_bytes, etag, modified_unix_ms, .. } = manifest;
        Self { key, size_bytes, etag, modified_unix_ms }
    }
}

// === impl Item ===

impl Item {
    fn position(&self) -> After {
        match self {
            Self::Object(object) => After::Key(object.key.clone()),
            Self::CommonPrefix(prefix) => After::CommonPrefix(prefix.clone()),
        }
    }
}

fn read_sorted(dir: &Path, base: &[u8]) -> Result<Vec<(Vec<u8>, EntryKind, PathBuf)>> {
    let listing = match fs::read_dir(dir) {
        // A prefix without keys, or a folder that was emptied and removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return Ok(Vec::new()),
        other => other.at("list", dir)?,
    };
    let mut sorted = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|source| BackendError::Io { action: "list", path: dir.to_owned(), source })?;
        let name = entry.file_name();
        let Some(parsed) = name.to_str().and_then(key::parse_entry) else {
            tracing::warn!(path = %entry.path().display(), "a foreign file in the object store is passed over");
            continue;
        };
        let begin = begin_of(base, &parsed);
        sorted.push((begin, parsed.kind, entry.path()));
    }
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(sorted)
}

fn begin_of(base: &[u8], entry: &Entry) -> Vec<u8> {
    let mut begin = base.to_vec();
    begin.extend(entry.sort_key());
    begin
}
