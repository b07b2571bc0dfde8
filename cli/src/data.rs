//! The data folder: one lock, one holder, and what is known of it.
//!
//! `flame.lock` is held (flock) by the `flame up` that uses the folder, so it is free again however that process ends;
//! what it holds says who and where. A folder is `flame`'s only when it holds that file: nothing else is ever purged.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// The name of the lock file.
pub const LOCK: &str = "flame.lock";

/// A folder that this process holds.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
}

/// What the holder of a folder says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Where its router listens.
    pub router: SocketAddr,
    /// Whether everything is ready.
    pub ready: bool,
}

/// The folder to use: the one named, else the user's default.
pub fn folder(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return std::path::absolute(path).with_context(|| format!("resolve {}", path.display()));
    }
    let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    let base = base.context("neither XDG_DATA_HOME nor HOME is set: say where the data lies with --data")?;
    Ok(base.join("flame"))
}

/// Who holds the folder at `path`, if anybody does.
pub fn holder(path: &Path) -> anyhow::Result<Option<Holder>> {
    let lock = path.join(LOCK);
    let mut file = match File::open(&lock) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", lock.display())),
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(None);
    }
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("read {}", lock.display()))?;
    // Held but not yet written: the holder is just starting.
    Ok(serde_json::from_str(&text).ok())
}

/// Whether anybody holds the folder at `path`.
pub fn is_held(path: &Path) -> bool {
    File::open(path.join(LOCK)).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

// === impl DataFolder ===

impl DataFolder {
    /// Makes the folder if needed, and takes its lock.
    pub fn take(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("create the data folder {}", path.display()))?;
        let name = path.join(LOCK);
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&name);
        let lock = lock.with_context(|| format!("open {}", name.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let who = holder(&path)?.map_or_else(String::new, |holder| format!(" (process {}, http://{})", holder.pid, holder.router));
            bail!(
                "the data folder {} is in use by another `flame up`{who}; stop it with `flame down`, or use another folder with --data",
                path.display()
            );
        }
        Ok(Self { path, lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says who holds the folder.
    pub fn announce(&mut self, holder: &Holder) -> anyhow::Result<()> {
        let text = serde_json::to_vec(holder)?;
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(&text)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        assert_eq!(holder(&path).unwrap(), None);
        let mut first = DataFolder::take(path.clone()).unwrap();
        let me = Holder { pid: 7, router: "127.0.0.1:8080".parse().unwrap(), ready: true };
        first.announce(&me).unwrap();
        assert_eq!(holder(&path).unwrap(), Some(me));
        let refused = DataFolder::take(path.clone()).unwrap_err().to_string();
        assert!(refused.contains("process 7") && refused.contains("flame down"), "{refused}");
        drop(first);
        assert!(!is_held(&path));
        DataFolder::take(path).unwrap();
    }
}
