//! Files that are whole or not there, and stay: written beside their place, synced, and renamed into it; and what is said of one
//! that cannot be read or written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A file or folder that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct FileError {
    /// What was tried.
    action: &'static str,
    /// On what.
    path: PathBuf,
    /// What happened.
    source: io::Error,
}

/// For `map_err`: `action` failed on `path`.
pub fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError { action, path: path.to_owned(), source }
}

/// Waits until nobody else holds the file at `path`; whoever does holds it for an instant. Ends with what is returned.
pub fn lock(path: &Path) -> Result<File, FileError> {
    let take = || {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    take().map_err(failed("lock", path))
}

/// Puts a private file (mode 0600) with `bytes` in the place of `path`. When it returns, the file outlasts a power cut.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    // The new name has to outlast a power cut too: what is spent must not come back.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
