//! What stands in a backup: one line of JSON for each file, between a line that says what it is and one that says that it is whole.
//!
//! The record is written last, so a folder without one is no backup. Its own last line has the digest of all lines before it. Pure,
//! but for the reading of files.

use std::io::{self, BufRead, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of the record within a backup.
pub const FILE: &str = "backup.ndjson";
const FORMAT: &str = "flame-backup";
/// A reader refuses a newer one.
const VERSION: u32 = 1;
/// A path of 4 KiB fits several times.
const LINE_MAX_BYTES: u64 = 64 << 10;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    format: String,
    version: u32,
    /// Tells this backup from others.
    pub id: uuid::Uuid,
    /// When it began, Unix milliseconds.
    pub began_unix_ms: i64,
    /// The release that made it.
    pub release: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it lies, below the backup and below the data folder alike.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
    /// The earlier file that it is a link of, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Foot {
    files: u64,
    size_bytes: u64,
    sha256: String,
}

/// Writes a record.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    hash: Sha256,
    files: u64,
    size_bytes: u64,
}

/// A record that was found to be whole; its entries are read again each time, for there may be millions.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    /// Its first line.
    pub head: Head,
    /// Files in it.
    pub files: u64,
    /// All of them together.
    pub size_bytes: u64,
}

// === impl Head ===

impl Head {
    /// Of a backup that begins now.
    pub fn new() -> Self {
        let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            id: uuid::Uuid::now_v7(),
            began_unix_ms: i64::try_from(now).unwrap_or(i64::MAX),
            release: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Where the file lies below `folder`. A path that leads out of it is refused, whoever wrote it.
    pub fn below(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        below(folder, &self.path)
    }

    /// The same of the file that it is a link of.
    pub fn link_below(&self, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
        self.link.as_deref().map(|link| below(folder, link)).transpose()
    }
}

fn below(folder: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let is_plain = !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    // What a data folder has for the process that holds it.
    let is_reserved =
        ["flame.lock", "unfinished", "backup.tmp", FILE].iter().any(|name| Path::new(path).starts_with(name));
    if !is_plain || is_reserved {
        bail!("the record names `{path}`, which does not lie in the backup");
    }
    Ok(folder.join(path))
}

// === impl Writer ===

impl<W: Write> Writer<W> {
    /// Begins with the head.
    pub fn begin(to: W, head: &Head) -> io::Result<Self> {
        let mut writer = Self { to, hash: Sha256::new(), files: 0, size_bytes: 0 };
        writer.line(head)?;
        Ok(writer)
    }

    /// Adds a file.
    pub fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.files += 1;
        self.size_bytes += entry.size_bytes;
        self.line(entry)
    }

    /// Ends it; gives what it was written to, and the files and bytes that are in it.
    pub fn end(mut self) -> io::Result<(W, u64, u64)> {
        let sha256 = hex::encode(self.hash.clone().finalize());
        let foot = Foot { files: self.files, size_bytes: self.size_bytes, sha256 };
        self.line(&foot)?;
        self.to.flush()?;
        Ok((self.to, self.files, self.size_bytes))
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        self.hash.update(&text);
        self.to.write_all(&text)
    }
}

// === impl Record ===

impl Record {
    /// Reads the record of the backup in `folder`, all of it once. Blocking.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let head = lines(&path)?.next().context("it is empty")?;
        let head: Head = head.and_then(|line| parse(&line)).with_context(|| not_a_backup(&path))?;
        if head.format != FORMAT {
            bail!("{} is no backup of flame", path.display());
        }
        if head.version > VERSION {
            bail!(
                "{} has version {}, this release reads up to {VERSION}: use the release that made it",
                path.display(),
                head.version
            );
        }
        let mut hash = Sha256::new();
        let (mut files, mut size_bytes, mut before) = (0_u64, 0_u64, None::<String>);
        for line in lines(&path)? {
            let line = line?;
            if let Some(before) = before.replace(line) {
                hash.update(before.as_bytes());
                hash.update(b"\n");
                files += 1;
                // The head is a line, too.
                size_bytes += serde_json::from_str::<Entry>(&before).map_or(0, |entry| entry.size_bytes);
            }
        }
        let foot: Foot = parse(&before.unwrap_or_default()).with_context(|| cut_off(&path))?;
        let found = Foot { files: files.saturating_sub(1), size_bytes, sha256: hex::encode(hash.finalize()) };
        if found != foot {
            bail!(cut_off(&path));
        }
        Ok(Self { path, head, files: found.files, size_bytes })
    }

    /// The files, in the order in which they are to be written.
    pub fn entries(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Entry>>> {
        let count = usize::try_from(self.files).context("there are too many files")?;
        Ok(lines(&self.path)?.skip(1).take(count).map(|line| parse(&line?)))
    }
}

fn not_a_backup(path: &Path) -> String {
    format!("{} does not begin as a backup of flame does", path.display())
}

fn cut_off(path: &Path) -> String {
    format!("{} is damaged, or was cut off: this backup is not whole", path.display())
}

fn parse<T: serde::de::DeserializeOwned>(line: &str) -> anyhow::Result<T> {
    serde_json::from_str(line).context("a line of the record is not understood")
}

/// The lines of a file; none is longer than [`LINE_MAX_BYTES`].
fn lines(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>>> {
    let file =
        std::fs::File::open(path).with_context(|| format!("open {}: is it the folder of a backup?", path.display()))?;
    let mut reader = io::BufReader::new(file);
    let path = path.to_owned();
    Ok(std::iter::from_fn(move || {
        let mut line = String::new();
        match (&mut reader).take(LINE_MAX_BYTES).read_line(&mut line) {
            Ok(0) => None,
            Ok(_) if line.ends_with('\n') => {
                line.pop();
                Some(Ok(line))
            }
            Ok(_) => Some(Err(anyhow::anyhow!(cut_off(&path)))),
            Err(error) => Some(Err(error).with_context(|| format!("read {}", path.display()))),
        }
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: String, size_bytes: u64) -> Entry {
        Entry { path, size_bytes, sha256: "ab".repeat(32), link: None }
    }

    fn written(entries: &[Entry]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), &Head::new()).unwrap();
        for entry in entries {
            writer.add(entry).unwrap();
        }
        writer.end().unwrap().0
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_a_record_that_was_cut_or_changed_is_refused(
            names in prop::collection::vec("[a-z%=/]{1,20}", 0..8),
            cut in 1_usize..400,
            flip in any::<(prop::sample::Index, u8)>(),
        ) {
            let entries: Vec<Entry> = names.into_iter().zip(0..).map(|(name, size)| entry(name, size)).collect();
            let text = written(&entries);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE);
            std::fs::write(&path, &text).unwrap();
            let record = Record::read(folder.path()).unwrap();
            prop_assert_eq!(record.files, entries.len() as u64);
            let read: Vec<Entry> = record.entries().unwrap().collect::<anyhow::Result<_>>().unwrap();
            prop_assert_eq!(read, entries);

            std::fs::write(&path, &text[..text.len().saturating_sub(cut)]).unwrap();
            prop_assert!(Record::read(folder.path()).is_err());
            let mut changed = text.clone();
            let at = flip.0.index(changed.len());
            changed[at] ^= flip.1.max(1);
            std::fs::write(&path, &changed).unwrap();
            prop_assert!(Record::read(folder.path()).is_err());
        }
    }

    #[test]
    fn no_path_leads_out() {
        let folder = Path::new("/data");
        assert_eq!(entry("objects/format".to_owned(), 1).below(folder).unwrap(), folder.join("objects/format"));
        for path in ["../x", "/etc/passwd", "a/../../x", ".", "", "flame.lock", "backup.tmp/x"] {
            assert!(entry(path.to_owned(), 1).below(folder).is_err(), "{path}");
        }
    }
}
