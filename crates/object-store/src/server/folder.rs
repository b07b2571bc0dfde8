//! The root folder: its version and lock, where everything lies, and the few ways in which the disk is touched
//! (durable folders, durable small files, JSON with a version).
//!
//! All of it blocks; the callers run it on blocking threads.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::{FlockOperation, flock, statvfs};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use super::ServerError;
use super::error::{AtPath, BackendError, Result};
use super::key;
use super::manifest::{self, FileId, Manifest, UploadId};
use super::pins::Pins;

/// Layout of the folder that is written, and the newest that is opened.
pub(crate) const LAYOUT_VERSION: u32 = 1;
const FORMAT_NAME: &str = "flame-object-store";

/// Locks that keys share. More of them, fewer unrelated writes that wait for each other's fsync; 8 bytes each.
const KEY_LOCKS: usize = 256;

/// Folders remembered as durable, about 150 bytes each. When full it is emptied, which costs fsyncs, not safety.
const REMEMBERED_FOLDERS: usize = 65_536;

/// An opened root. One process at a time (a lock on the `lock` file, released by the system when it dies).
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    _lock: File,
    min_free_percent: u8,
    key_locks: Vec<Mutex<()>>,
    /// Written while empty folders are removed, read while a manifest is put into its folder.
    pub(super) tree: RwLock<()>,
    durable: Mutex<HashSet<PathBuf>>,
    pub(super) pins: Pins,
    /// The last field, so dropped after the lock: who waits for the tracker finds the folder free.
    _held: TaskTrackerToken,
}

// === impl Folder ===

impl Folder {
    /// Opens or makes the root, and takes its lock; `held` goes when the lock has gone.
    pub(crate) fn open(root: &Path, min_free_percent: u8, held: TaskTrackerToken) -> Result<Self, ServerError> {
        let io_error = |action| move |source| ServerError::Folder { action, root: root.to_owned(), source };
        fs::create_dir_all(root).map_err(io_error("create"))?;
        let root = root.canonicalize().map_err(io_error("resolve"))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("lock"))
            .map_err(io_error("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            rustix::io::Errno::WOULDBLOCK => ServerError::InUse { root: root.clone() },
            other => ServerError::Folder { action: "lock", root: root.clone(), source: other.into() },
        })?;
        check_format(&root)?;
        let folder = Self {
            _lock: lock,
            min_free_percent,
            key_locks: (0..KEY_LOCKS).map(|_| Mutex::new(())).collect(),
            tree: RwLock::new(()),
            durable: Mutex::new(HashSet::from([root.clone()])),
            pins: Pins::default(),
            root,
            _held: held,
        };
        for name in ["buckets", "data", "intents", "tmp"] {
            let path = folder.root.join(name);
            folder.make_durable_dir(&path).map_err(|source| ServerError::Folder {
                action: "prepare",
                root: path,
                source,
            })?;
        }
        Ok(folder)
    }

    pub(crate) fn buckets(&self) -> PathBuf {
        self.root.join("buckets")
    }

    pub(crate) fn bucket(&self, bucket: &str) -> PathBuf {
        self.buckets().join(bucket)
    }

    pub(crate) fn objects(&self, bucket: &str) -> PathBuf {
        self.bucket(bucket).join("objects")
    }

    pub(crate) fn manifest(&self, bucket: &str, key: &str) -> PathBuf {
        self.objects(bucket).join(key::manifest_path(key))
    }

    pub(crate) fn uploads(&self, bucket: &str) -> PathBuf {
        self.bucket(bucket).join("uploads")
    }

    pub(crate) fn upload(&self, bucket: &str, upload: UploadId) -> PathBuf {
        self.uploads(bucket).join(upload.to_string())
    }

    pub(crate) fn data(&self, file: FileId) -> PathBuf {
        self.root.join("data").join(file.path())
    }

    pub(crate) fn intents(&self) -> PathBuf {
        self.root.join("intents")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Serialises the writes of one key. Never taken twice by one thread.
    pub(crate) fn lock_key(&self, bucket: &str, key: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (bucket, key).hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % KEY_LOCKS as u64).expect("below KEY_LOCKS");
        // The lock guards no memory, only an order on disk, and that holds at any point where a thread can panic.
        self.key_locks[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a write of `size_bytes` that would leave less than the configured share of the disk free.
    pub(crate) fn check_space(&self, size_bytes: u64) -> Result<()> {
        let stat = statvfs(&self.root).map_err(io::Error::from).at("measure the free space of", &self.root)?;
        let total_bytes = u128::from(stat.f_blocks) * u128::from(stat.f_frsize);
        let available_bytes = u128::from(stat.f_bavail) * u128::from(stat.f_frsize);
        let left_bytes = available_bytes.saturating_sub(u128::from(size_bytes));
        if left_bytes * 100 < total_bytes * u128::from(self.min_free_percent) {
            return Err(BackendError::StorageFull { min_free_percent: self.min_free_percent });
        }
        Ok(())
    }

    /// Makes a folder and its ancestors, each durably entered in its parent.
    ///
    /// A folder that merely exists proves nothing: the process that made it may have died before the fsync. So
    /// each one is synced once per run, and then remembered.
    pub(crate) fn make_durable_dir(&self, dir: &Path) -> io::Result<()> {
        if self.remembered().contains(dir) {
            return Ok(());
        }
        let parent = dir.parent().expect("the root is remembered, so the recursion ends there");
        self.make_durable_dir(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        sync_dir(parent)?;
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED_FOLDERS {
            remembered.clear();
            remembered.insert(self.root.clone());
        }
        remembered.insert(dir.to_owned());
        Ok(())
    }

    /// Removes `dir` and its ancestors below `top` as far as they are empty.
    pub(crate) fn prune(&self, dir: &Path, top: &Path) {
        let is_empty = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
        if dir == top || !is_empty(dir) {
            return;
        }
        let _alone = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        for dir in dir.ancestors().take_while(|dir| *dir != top && dir.starts_with(top)) {
            if fs::remove_dir(dir).is_err() {
                break;
            }
            self.forget_dir(dir);
        }
    }

    /// Forgets that `dir` was durable: it is gone.
    pub(crate) fn forget_dir(&self, dir: &Path) {
        self.remembered().remove(dir);
    }

    /// Forgets `dir` and everything below it.
    pub(crate) fn forget_tree(&self, dir: &Path) {
        self.remembered().retain(|remembered| !remembered.starts_with(dir));
    }

    /// Writes a small file under a temporary name and syncs it; [`Self::publish`] then makes it appear.
    pub(crate) fn stage<T: Serialize>(&self, record: &T) -> Result<Staged> {
        let path = self.tmp().join(Uuid::new_v4().simple().to_string());
        let json = serde_json::to_vec(record).expect("records have string keys and no failing serializer");
        let staged = Staged { path };
        let write = || {
            let mut file = File::options().write(true).create_new(true).open(&staged.path)?;
            file.write_all(&json)?;
            file.sync_all()
        };
        write().at("write", &staged.path)?;
        Ok(staged)
    }

    /// The one rename that commits. Not yet durable: that is [`sync_dir`] of the target's folder.
    pub(crate) fn publish(&self, staged: Staged, target: &Path) -> Result<()> {
        fs::rename(&staged.path, target).at("rename into", target)
        // `staged` drops here and finds its file gone.
    }

    /// Removes data files that nothing names any more. A failure costs space, never content, so it is only logged.
    pub(crate) fn remove_data(&self, files: &[FileId]) -> bool {
        let mut all = true;
        for file in files {
            let path = self.data(*file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove a data file; the next start retries");
                    all = false;
                }
                Ok(()) | Err(_) => {}
            }
        }
        all
    }

    /// The manifest of a key, if there is one.
    pub(crate) fn load_manifest(&self, bucket: &str, key: &str) -> Result<Option<Manifest>> {
        let path = self.manifest(bucket, key);
        let manifest: Option<Manifest> = load(&path, |manifest: &Manifest| manifest.version)?;
        Ok(manifest.filter(|manifest| manifest.key == key))
    }

    fn remembered(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small file under its temporary name; removed when dropped unpublished.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Absent after `publish`; otherwise a leftover that the next start sweeps if this fails.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads a JSON record; `None` if there is no such file. Refuses a newer version.
pub(crate) fn load<T: DeserializeOwned>(path: &Path, version: impl Fn(&T) -> u32) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        // A key's folder that is a file cannot be ours, nor can the key then exist.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(error).at("read", path),
    };
    parse(&bytes, path, version).map(Some)
}

/// Parses a JSON record that was read from `path`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, version: impl Fn(&T) -> u32) -> Result<T> {
    let record: T =
        serde_json::from_slice(bytes).map_err(|source| BackendError::Damaged { path: path.to_owned(), source })?;
    let found = version(&record);
    if found > manifest::VERSION {
        return Err(BackendError::Newer { path: path.to_owned(), found, newest: manifest::VERSION });
    }
    Ok(record)
}

fn check_format(root: &Path) -> Result<(), ServerError> {
    let path = root.join("format");
    let io_error = |action| {
        let path = path.clone();
        move |source| ServerError::Folder { action, root: path, source }
    };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let version = text
                .trim_end()
                .strip_prefix(FORMAT_NAME)
                .and_then(|rest| rest.trim_start().parse::<u32>().ok())
                .ok_or_else(|| ServerError::ForeignFolder { root: root.to_owned() })?;
            if version > LAYOUT_VERSION {
                return Err(ServerError::NewerLayout { root: root.to_owned(), found: version, newest: LAYOUT_VERSION });
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Only `lock`, and `format.new` of a start that died here, may be in a folder that becomes a store.
            for entry in fs::read_dir(root).map_err(io_error("list"))? {
                let name = entry.map_err(io_error("list"))?.file_name();
                if name != "lock" && name != "format.new" {
                    return Err(ServerError::ForeignFolder { root: root.to_owned() });
                }
            }
            let staged = root.join("format.new");
            let write = || {
                let mut file = File::create(&staged)?;
                writeln!(file, "{FORMAT_NAME} {LAYOUT_VERSION}")?;
                file.sync_all()?;
                fs::rename(&staged, &path)?;
                sync_dir(root)
            };
            write().map_err(io_error("write"))
        }
        Err(error) => Err(io_error("read")(error)),
    }
}
