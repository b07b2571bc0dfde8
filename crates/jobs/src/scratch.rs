//! The folder in which media lies while it is worked on.
//!
//! ```text
//! lock        held (flock) by the process that works here
//! owner       the name under which it holds leases; stays the same over restarts
//! jobs/{seq}-{lease}/…
//! ```
//! Who holds the lock knows that no earlier process with this owner's name lives: so it takes the predecessor's jobs
//! back at once, and empties `jobs`. Nothing here is ever needed after a crash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use thiserror::Error;
use uuid::Uuid;

use crate::queue::LeaseKey;

/// Longest name of an owner that is read.
const OWNER_MAX_BYTES: u64 = 64;
/// Tries to empty the folder: a media child of a predecessor that was just killed may still write for a moment.
const SWEEP_TRIES: u32 = 5;

/// The scratch folder, locked.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    owner: String,
    _lock: File,
}

/// The folder of one attempt; gone when dropped.
#[derive(Debug)]
pub struct JobFolder {
    path: PathBuf,
}

/// A scratch folder that cannot be used.
#[derive(Debug, Error)]
pub enum ScratchError {
    /// Somebody works there.
    #[error("{} is used by another process: give each its own `{key}`", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The key that sets it.
        key: &'static str,
    },
    /// Something in it cannot be read, written or removed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

// === impl Scratch ===

impl Scratch {
    /// Opens the folder, which the key `key` of the configuration sets; made if it is not there. Nothing of earlier jobs is left
    /// in it then.
    ///
    /// # Errors
    /// Another process works there, or the folder cannot be used.
    pub fn open(folder: &Path, key: &'static str) -> Result<Self, ScratchError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ScratchError::Io { action, path, source }
        };
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let lock_path = folder.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(failed("open", &lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ScratchError::InUse { folder: folder.to_owned(), key }),
            Err(error) => return Err(failed("lock", &lock_path)(error.into())),
        }
        let owner_path = folder.join("owner");
        let owner = owner(&owner_path).map_err(failed("read or write", &owner_path))?;
        let jobs = folder.join("jobs");
        sweep(&jobs).map_err(failed("empty", &jobs))?;
        Ok(Self { folder: folder.to_owned(), owner, _lock: lock })
    }

    /// The name under which this process holds leases.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// An empty folder for the attempt that holds this lease.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn job_folder(&self, lease: LeaseKey) -> io::Result<JobFolder> {
        let path = self.folder.join("jobs").join(format!("{}-{}", lease.seq, lease.number));
        fs::create_dir_all(&path)?;
        Ok(JobFolder { path })
    }

    /// Bytes that can still be written here.
    ///
    /// # Errors
    /// The file system does not tell.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The owner's name: read, or made at the first start.
fn owner(path: &Path) -> io::Result<String> {
    let known = match File::open(path) {
        Ok(file) => io::read_to_string(io::Read::take(file, OWNER_MAX_BYTES))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if let Ok(name) = known.trim().parse::<Uuid>() {
        return Ok(name.to_string());
    }
    let name = Uuid::now_v7().to_string();
    let new = path.with_extension("new");
    fs::write(&new, format!("{name}\n"))?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    Ok(name)
}

fn sweep(jobs: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::remove_dir_all(jobs) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) if tries == SWEEP_TRIES => return Err(error),
            Err(_) => {}
        }
    }
    fs::create_dir_all(jobs)
}

// === impl JobFolder ===

impl JobFolder {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for JobFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "a job's folder stays until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_under_a_name_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = Scratch::open(folder.path(), "scratch").unwrap();
        let owner = first.owner().to_owned();
        assert!(matches!(Scratch::open(folder.path(), "scratch").unwrap_err(), ScratchError::InUse { .. }));
        drop(first);
        assert_eq!(Scratch::open(folder.path(), "scratch").unwrap().owner(), owner);
    }

    #[test]
    fn what_a_dead_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("jobs/1-1");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("source"), "x").unwrap();
        let scratch = Scratch::open(folder.path(), "scratch").unwrap();
        assert!(!left.exists());
        let job = scratch.job_folder(LeaseKey { seq: 2, number: 1 }).unwrap();
        fs::write(job.path().join("source"), "x").unwrap();
        let path = job.path().to_owned();
        drop(job);
        assert!(!path.exists());
        assert!(scratch.free_bytes().unwrap() > 0);
    }
}
