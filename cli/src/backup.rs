//! `flame backup`: a copy of a data folder, taken while everything runs.
//!
//! 1. A snapshot of the objects by links (seconds), then the databases one after the other, then the snapshot again for what came
//!    meanwhile. So every object that a database names is there, also where it is deleted while the backup goes on.
//! 2. All of that is copied and hashed, however long it takes. The record comes last: a folder without one is no backup.
//!
//! It speaks to no service: it reads the files, whose formats promise that this is possible (docs/storage-format.md). It never
//! encrypts; who can read a backup can read all that is in it, keys and secrets too.

pub mod record;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail};
use flame_object_store::snapshot::{self, Captured};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::args::{Backup, Global};
use crate::contents::{self, DATABASES, OBJECTS, UPLOADS};
use crate::data;
use crate::exit::Exit;
use crate::{output, outside};
use record::{Entry, Head, Writer};

/// Where the snapshot lies while it is copied, within the data folder: links need the same file system.
const SCRATCH: &str = "backup.tmp";
/// Snapshots that are taken until no upload has moved on in between.
const TRIES: u32 = 5;
/// Bytes that are read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// What was made.
#[derive(Debug, serde::Serialize)]
struct Made {
    backup: PathBuf,
    files: u64,
    size_bytes: u64,
    /// Uploads that moved on in every snapshot: after a restore they have to begin anew.
    unsettled_uploads: Vec<String>,
    /// Objects whose bytes are missing in the data folder, and so here.
    damaged: Vec<PathBuf>,
}

pub async fn run(global: &Global, args: Backup) -> Result<(), Exit> {
    let folder = data::folder(args.data.as_deref())?;
    if !folder.join(data::LOCK).is_file() {
        let told = anyhow!("{} is not a data folder of flame (it holds no {})", folder.display(), data::LOCK);
        return Err(Exit::not_carried_out(told));
    }
    data::refuse_unfinished(&folder)?;
    if folder.join(outside::FILE).is_file() {
        let told = "its catalogue and media lie outside (outside.toml): back those up as their makers say, and copy this folder while nothing runs on it";
        return Err(Exit::not_carried_out(anyhow!("{}: {told}", folder.display())));
    }
    let to = std::path::absolute(&args.to).with_context(|| format!("resolve {}", args.to.display()))?;
    if to.starts_with(&folder) {
        return Err(Exit::usage(anyhow!("a backup within the data folder is lost with it: name another place")));
    }
    contents::make_empty(&to)?;
    let scratch = Scratch::take(&folder)?;
    let head = Head::new();
    let done = make(&folder, scratch.path(), &to, head).await;
    // Also after a failure: what is deleted keeps its room until then.
    scratch.remove()?;
    let (captured, unsettled_uploads, (files, size_bytes)) = done?;

    let made = Made { backup: to, files, size_bytes, unsettled_uploads, damaged: captured.damaged_names };
    if global.json {
        output::print_json(&made)?;
    } else {
        output::print_line(&format!(
            "{} files, {} in {}",
            made.files,
            output::size(made.size_bytes),
            made.backup.display()
        ))?;
        for upload in &made.unsettled_uploads {
            output::print_line(&format!(
                "the upload {upload} went on all the time: after a restore it has to begin anew"
            ))?;
        }
    }
    match made.damaged.first() {
        None => Ok(()),
        Some(first) => Err(Exit::failed(anyhow!(
            "{} objects are not in the backup, for their bytes are not in the data folder; the first one is {}",
            captured.damaged,
            first.display()
        ))),
    }
}

/// Takes the snapshot, and copies it.
async fn make(
    folder: &Path,
    scratch: &Path,
    to: &Path,
    head: Head,
) -> anyhow::Result<(Captured, Vec<String>, (u64, u64))> {
    let (captured, unsettled) = snapshot_of(folder, scratch).await?;
    let (snapshot, source, target) = (scratch.to_owned(), folder.to_owned(), to.to_owned());
    let copying = tokio::task::spawn_blocking(move || copy(&snapshot, &source, &target, &head));
    Ok((captured, unsettled, copying.await.context("copy")??))
}

/// Takes the snapshot of the data folder into `scratch`.
async fn snapshot_of(folder: &Path, scratch: &Path) -> anyhow::Result<(Captured, Vec<String>)> {
    let began = SystemTime::now();
    capture(folder, scratch).await?;
    for attempt in 1.. {
        for name in DATABASES {
            let to = scratch.join(name);
            if to.exists() {
                std::fs::remove_file(&to).with_context(|| format!("remove {}", to.display()))?;
            }
            contents::copy_database(&folder.join(name), &to).await?;
        }
        let catalogue = scratch.join(contents::CATALOGUE);
        if catalogue.is_file() {
            // Of what was erased meanwhile the snapshot may have the objects: after a restore they are deleted once more.
            let reopened = flame_metadata::store::delete_again(&catalogue, began).await;
            reopened.context("note in the copied catalogue what is to be deleted once more")?;
        }
        flame_service_host::fault::point("backup-databases");
        let captured = capture(folder, scratch).await?;
        let unsettled = unsettled(scratch).await?;
        if unsettled.is_empty() || attempt == TRIES {
            return Ok((captured, unsettled));
        }
    }
    unreachable!("the tries end");
}

async fn capture(folder: &Path, scratch: &Path) -> anyhow::Result<Captured> {
    let (from, to) = (folder.join(OBJECTS), scratch.join(OBJECTS));
    if !from.join("format").is_file() {
        // Nothing has been stored yet: the folder was made, and its services were not yet started.
        return Ok(Captured::default());
    }
    let captured =
        tokio::task::spawn_blocking(move || snapshot::capture(&from, &to)).await.context("take a snapshot")?;
    captured.context("take a snapshot of the objects")
}

/// The unfinished uploads whose bytes are not all in the snapshot, because they moved on while it was taken.
async fn unsettled(scratch: &Path) -> anyhow::Result<Vec<String>> {
    let (database, objects) = (scratch.join(UPLOADS), scratch.join(OBJECTS));
    if !database.is_file() {
        return Ok(Vec::new());
    }
    let uploads = flame_ingest::store::unfinished(&database).await.context("read the copied uploads")?;
    let bucket = flame_ingest::config::DEFAULT_BUCKET;
    let mut unsettled = Vec::new();
    for upload in &uploads {
        let tail = upload.tail_key.as_deref().is_none_or(|key| snapshot::has_object(&objects, bucket, key));
        let parts = match upload.multipart_id.as_deref() {
            None => true,
            Some(id) => match snapshot::object_of_upload(&objects, bucket, &upload.key, id)? {
                // It is the object now: of what the copied database knows, or of more.
                Some(size_bytes) => upload.parts.iter().map(|part| part.size_bytes).sum::<u64>() == size_bytes,
                None => upload.parts.iter().all(|part| snapshot::has_part(&objects, bucket, id, part.number)),
            },
        };
        if !(tail && parts) {
            unsettled.push(upload.id.to_string());
        }
    }
    Ok(unsettled)
}

/// Copies the snapshot to its place, and what else is kept; gives files and bytes.
fn copy(snapshot: &Path, folder: &Path, to: &Path, head: &Head) -> anyhow::Result<(u64, u64)> {
    let draft = to.join(format!("{}.new", record::FILE));
    let file = File::options().write(true).create_new(true).mode(0o600).open(&draft);
    let file = file.with_context(|| format!("create {}", draft.display()))?;
    let mut writer = Writer::begin(io::BufWriter::new(file), head).context("write the record")?;
    let mut shared = HashMap::new();
    let mut add = |from: &Path, path: &Path| -> anyhow::Result<()> {
        let entry = copy_one(&from.join(path), path, to, &mut shared)?;
        writer.add(&entry).context("write the record")
    };
    for path in contents::kept_files(folder)? {
        add(folder, &path)?;
    }
    for name in DATABASES.iter().filter(|name| snapshot.join(name).is_file()) {
        add(snapshot, Path::new(name))?;
    }
    if snapshot.join(OBJECTS).is_dir() {
        let objects = snapshot.join(OBJECTS);
        snapshot::each_file(&objects, &mut |path| {
            flame_service_host::fault::point("backup-file");
            add(snapshot, &Path::new(OBJECTS).join(path)).map_err(io::Error::other)
        })
        .context("copy the objects")?;
    }
    let (file, files, size_bytes) = writer.end().context("write the record")?;
    drop(file);
    // All that it names first.
    contents::sync(to)?;
    std::fs::rename(&draft, to.join(record::FILE)).context("publish the record")?;
    contents::sync(to)?;
    Ok((files, size_bytes))
}

/// Copies one file, or links it to the copy of one that has the same bytes by being the same.
fn copy_one(from: &Path, path: &Path, to: &Path, shared: &mut HashMap<u64, Entry>) -> anyhow::Result<Entry> {
    let name = path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))?.to_owned();
    let target = to.join(path);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    let metadata = std::fs::metadata(from).with_context(|| format!("inspect {}", from.display()))?;
    // One name is the store's own, one the snapshot's: more are copies of the same object.
    let is_shared = metadata.nlink() > 2;
    if is_shared
        && let Some(first) = shared.get(&metadata.ino())
        && std::fs::hard_link(to.join(&first.path), &target).is_ok()
    {
        return Ok(Entry { path: name, link: Some(first.path.clone()), ..first.clone() });
    }
    let (size_bytes, sha256) = copy_hashed(from, &target)?;
    let entry = Entry { path: name, size_bytes, sha256, link: None };
    if is_shared {
        shared.insert(metadata.ino(), entry.clone());
    }
    Ok(entry)
}

/// Copies a file that only its owner may read; gives size and SHA-256 of what was copied.
pub fn copy_hashed(from: &Path, to: &Path) -> anyhow::Result<(u64, String)> {
    let source = File::open(from).with_context(|| format!("open {}", from.display()))?;
    let target = File::options().write(true).create_new(true).mode(0o600).open(to);
    let target = target.with_context(|| format!("create {}", to.display()))?;
    hashed(source, target).with_context(|| format!("copy {} to {}", from.display(), to.display()))
}

/// Copies what can be read; gives size and SHA-256 of it.
pub fn hashed(mut from: impl Read, mut to: impl Write) -> io::Result<(u64, String)> {
    let (mut block, mut hash, mut size_bytes) = (vec![0; BLOCK_BYTES], Sha256::new(), 0);
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok((size_bytes, hex::encode(hash.finalize()))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&block[..read]);
        to.write_all(&block[..read])?;
        size_bytes += read as u64;
    }
}

/// The folder of the snapshot, held by this backup alone.
#[derive(Debug)]
struct Scratch {
    folder: PathBuf,
    snapshot: PathBuf,
    _lock: File,
}

// === impl Scratch ===

impl Scratch {
    /// Takes it, without what a backup that was cut off has left there.
    fn take(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join(SCRATCH);
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let name = folder.join("lock");
        let lock = File::options().write(true).create(true).truncate(false).open(&name);
        let lock = lock.with_context(|| format!("open {}", name.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another backup of {} is under way", data.display());
        }
        let snapshot = folder.join("snapshot");
        if snapshot.exists() {
            std::fs::remove_dir_all(&snapshot).with_context(|| format!("empty {}", snapshot.display()))?;
        }
        std::fs::create_dir(&snapshot).with_context(|| format!("create {}", snapshot.display()))?;
        Ok(Self { folder, snapshot, _lock: lock })
    }

    fn path(&self) -> &Path {
        &self.snapshot
    }

    fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.folder).with_context(|| format!("remove {}", self.folder.display()))
    }
}
