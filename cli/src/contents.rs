//! What of a data folder cannot be made again, and how it is copied while it is in use.
//!
//! `flame backup`, `flame restore` and `flame migrate` agree on it here. What is left out: caches, scratch files, logs, and clmc's
//! measurements.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::{ca, secrets, token};

/// The folder of the embedded object store.
pub const OBJECTS: &str = "objects";
/// The catalogue.
pub const CATALOGUE: &str = "metadata.db";
/// What ingest knows of uploads.
pub const UPLOADS: &str = "ingest.sqlite";
/// The databases, each before those that its service tells of what it has done. Who has noted that it told another one is copied before
/// that other one: so a copy knows what has been done, or will do it again, which is safe.
pub const DATABASES: [&str; 5] = [UPLOADS, "quality.db", "transcode.db", "orchestrator.db", CATALOGUE];
/// Files and folders of keys, secrets and documents.
pub const KEPT: [&str; 8] = [
    secrets::STREAMING_SECRET,
    secrets::STORE_KEYS,
    secrets::FIRST_TOKEN_SHOWN,
    crate::outside::FILE,
    token::KEYS,
    token::VIEWERS,
    ca::FOLDER,
    "clmc/alerts.json",
];
/// A database whose writer is in the middle of something is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Copies a database as it is at one moment, also while its service writes it; `false` if there is none.
pub async fn copy_database(from: &Path, to: &Path) -> anyhow::Result<bool> {
    if !from.is_file() {
        return Ok(false);
    }
    let target = to.to_str().with_context(|| format!("{} is no UTF-8", to.display()))?;
    let options = SqliteConnectOptions::new().filename(from).busy_timeout(BUSY_TIMEOUT);
    let copy = async {
        let mut connection = options.connect().await?;
        // A read transaction of its own: it holds nobody up. <https://sqlite.org/lang_vacuum.html>
        sqlx::query("VACUUM INTO ?").bind(target).execute(&mut connection).await?;
        connection.close().await
    };
    copy.await.with_context(|| format!("copy the database {}", from.display()))?;
    Ok(true)
}

/// The files of [`KEPT`] that are there, as paths below `folder`. Blocking.
pub fn kept_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in KEPT {
        files_below(folder, Path::new(name), &mut found)
            .with_context(|| format!("read {name} in {}", folder.display()))?;
    }
    found.sort();
    Ok(found)
}

fn files_below(folder: &Path, name: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let path = folder.join(name);
    if path.is_file() {
        found.push(name.to_owned());
    } else if path.is_dir() {
        for entry in std::fs::read_dir(&path)? {
            files_below(folder, &name.join(entry?.file_name()), found)?;
        }
    }
    Ok(())
}

/// Makes a folder that only its owner reads, if it is not there, and says no to one that holds something.
pub fn make_empty(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("create {}", path.display()))?;
    let mut entries = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    // A fresh file system, or a command that was cut off before it said what it does here.
    let is_nothing = |name: &std::ffi::OsStr| name == "lost+found" || name == "unfinished.new";
    if entries.any(|entry| entry.is_ok_and(|entry| !is_nothing(&entry.file_name()))) {
        bail!("{} is not empty: name a folder that is new, or empty", path.display());
    }
    Ok(())
}

/// Has the disk hold all that was written below `folder`, and the names of it. Blocking.
pub fn sync(folder: &Path) -> anyhow::Result<()> {
    let sync = || -> io::Result<()> { Ok(rustix::fs::syncfs(std::fs::File::open(folder)?)?) };
    sync().with_context(|| format!("sync {}", folder.display()))
}
