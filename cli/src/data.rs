//! The data folder: one lock, one holder, and what is known of it.
//!
//! `flame.lock` is held (flock) by the `flame up` that uses the folder, so it is free again however that process ends;
//! what it holds says who and where. A folder is `flame`'s only when it holds that file: nothing else is ever purged.
//!
//! `unfinished` in a folder says that a command fills it, or was cut off while it did. Nothing starts on such a folder.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{ca, outside, token};

/// The name of the lock file.
pub const LOCK: &str = "flame.lock";
/// The name of the log of a detached `flame up`.
pub const LOG: &str = "flame.log";
/// What may lie in a folder before it is taken for the first time: a log, keys and authority (`flame token` and `flame ca init` may come first), where the
/// catalogue is if not here, and what a fresh file system has.
const OURS: [&str; 7] = [LOG, token::KEYS, token::VIEWERS, ca::FOLDER, outside::FILE, UNFINISHED, "lost+found"];
/// The name of the note that a folder is not whole yet.
const UNFINISHED: &str = "unfinished";
/// How often, and how far apart, the lock is tried.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

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

/// What fills a folder, or was cut off while it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// What it is filled from: only the same may go on.
    pub of: String,
    /// Tells this try from every other.
    pub id: uuid::Uuid,
    /// The command that goes on.
    pub command: String,
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

/// The command that stops whoever holds `folder`.
pub fn stop_command(folder: &Path) -> String {
    let is_default = self::folder(None).is_ok_and(|default| default == folder);
    // `flame down` reads the variable too.
    let is_set =
        std::env::var_os("FLAME_DATA").is_some_and(|set| std::path::absolute(set).is_ok_and(|set| set == folder));
    if is_default || is_set { "flame down".to_owned() } else { format!("flame down --data {}", folder.display()) }
}

/// Makes the folder, readable by its owner only. One that holds somebody else's files is refused: `flame down --purge`
/// would delete them.
pub fn create(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("create the data folder {}", path.display()))?;
    if path.join(LOCK).is_file() {
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    let foreign = entries.flatten().map(|entry| entry.file_name()).find(|name| !OURS.iter().any(|ours| name == ours));
    match foreign {
        None => Ok(()),
        Some(name) => bail!(
            "{} holds files that are not flame's ({}): say another folder with --data",
            path.display(),
            name.to_string_lossy()
        ),
    }
}

/// What was left unfinished in the folder at `path`, if something was.
pub fn unfinished(path: &Path) -> anyhow::Result<Option<Unfinished>> {
    let note = path.join(UNFINISHED);
    match fs::read(&note) {
        Ok(text) => serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is damaged", note.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", note.display())),
    }
}

/// Says no to a folder that is not whole.
pub fn refuse_unfinished(path: &Path) -> anyhow::Result<()> {
    match unfinished(path)? {
        None => Ok(()),
        Some(Unfinished { command, .. }) => {
            bail!("{} is not whole: what filled it was cut off. Go on with `{command}`", path.display())
        }
    }
}

/// Notes that the folder is being filled, before anything is written there.
pub fn begin(path: &Path, unfinished: &Unfinished) -> anyhow::Result<()> {
    let note = path.join(UNFINISHED);
    let write = || -> std::io::Result<()> {
        crate::secrets::keep_secret(&note, &serde_json::to_vec(unfinished)?)?;
        File::open(path)?.sync_all()
    };
    write().with_context(|| format!("write {}", note.display()))
}

/// Notes that it is whole; all of it has been synced.
pub fn finish(path: &Path) -> anyhow::Result<()> {
    let note = path.join(UNFINISHED);
    let remove = || fs::remove_file(&note).and_then(|()| File::open(path)?.sync_all());
    remove().with_context(|| format!("remove {}", note.display()))
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
    /// Makes the folder if needed, and takes its lock. One that is not whole is refused.
    pub async fn take(path: PathBuf) -> anyhow::Result<Self> {
        let taken = Self::take_unfinished(path).await?;
        refuse_unfinished(&taken.path)?;
        Ok(taken)
    }

    /// The same to fill it.
    pub async fn take_unfinished(path: PathBuf) -> anyhow::Result<Self> {
        create(&path)?;
        let name = path.join(LOCK);
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&name);
        let lock = lock.with_context(|| format!("open {}", name.display()))?;
        let mut tries = 1;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            // Somebody who only looks holds it for a moment, shared.
            if tries < LOCK_TRIES {
                tries += 1;
                tokio::time::sleep(LOCK_PAUSE).await;
                continue;
            }
            let who = holder(&path)?
                .map_or_else(String::new, |holder| format!(" (process {}, http://{})", holder.pid, holder.router));
            bail!(
                "the data folder {} is in use by another `flame up`{who}; stop it with `{}`, or use another folder with --data",
                path.display(),
                stop_command(&path)
            );
        }
        // What an earlier holder said of itself is no longer true: nobody may signal its process id.
        lock.set_len(0).with_context(|| format!("empty {}", name.display()))?;
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

    #[tokio::test]
    async fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        assert_eq!(holder(&path).unwrap(), None);
        let mut first = DataFolder::take(path.clone()).await.unwrap();
        let me = Holder { pid: 7, router: "127.0.0.1:8080".parse().unwrap(), ready: true };
        first.announce(&me).unwrap();
        assert_eq!(holder(&path).unwrap(), Some(me));
        let refused = DataFolder::take(path.clone()).await.unwrap_err().to_string();
        assert!(refused.contains("process 7") && refused.contains("flame down"), "{refused}");
        drop(first);
        assert!(!is_held(&path));
        // The next holder has said nothing yet, and nothing of the one before is left.
        let _second = DataFolder::take(path.clone()).await.unwrap();
        assert_eq!(holder(&path).unwrap(), None);
    }

    #[tokio::test]
    async fn what_other_commands_put_there_first_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        for name in [token::KEYS, token::VIEWERS, ca::FOLDER] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join(LOG), "").unwrap();
        DataFolder::take(dir.path().to_owned()).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_with_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
        let refused = DataFolder::take(dir.path().to_owned()).await.unwrap_err().to_string();
        assert!(refused.contains("thesis.txt") && refused.contains("--data"), "{refused}");
        assert!(!dir.path().join(LOCK).exists());
    }
}
