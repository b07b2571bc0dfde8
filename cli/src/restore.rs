//! `flame restore`: a data folder out of a backup. Nothing is written before all of the backup has been read and found to be as it was.
//!
//! The folder says that it is unfinished until its last file is on disk, and nothing starts on such a folder. The same command again
//! finishes it, and leaves alone what is there already.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use crate::args::{Global, Restore};
use crate::backup::record::{Entry, Record};
use crate::backup::{copy_hashed, hashed};
use crate::contents;
use crate::data::{self, DataFolder, Unfinished};
use crate::exit::Exit;
use crate::output;

/// Files of a backup that are named as damaged; more are only counted.
const NAMED_MAX: usize = 20;

/// What the backup is, and what was done with it.
#[derive(Debug, serde::Serialize)]
struct Done {
    backup: PathBuf,
    data: Option<PathBuf>,
    began_unix_ms: i64,
    files: u64,
    size_bytes: u64,
}

pub async fn run(global: &Global, args: Restore) -> Result<(), Exit> {
    let from = args.from.clone();
    let record = blocking(move || {
        let record = Record::read(&from)?;
        verify(&from, &record)?;
        anyhow::Ok(record)
    })
    .await?
    .map_err(Exit::failed)?;
    let mut done = Done {
        backup: args.from.clone(),
        data: None,
        began_unix_ms: record.head.began_unix_ms,
        files: record.files,
        size_bytes: record.size_bytes,
    };
    if !args.check {
        let folder = data::folder(args.data.as_deref())?;
        prepare(&folder, &args.from, &record)?;
        let held = DataFolder::take_unfinished(folder.clone()).await?;
        let (from, to) = (args.from.clone(), folder.clone());
        blocking(move || write(&from, &to, &record)).await??;
        data::finish(&folder)?;
        drop(held);
        done.data = Some(folder);
    }
    if global.json {
        return output::print_json(&done);
    }
    let what = format!("{} files, {}", done.files, output::size(done.size_bytes));
    output::print_line(&match &done.data {
        None => format!("{what}: the backup is as it was made"),
        Some(folder) => format!("{what} in {}: start it with `flame up --data {0}`", folder.display()),
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("read the backup")
}

/// Reads every file of the backup; an error names those that are not what they were.
fn verify(from: &Path, record: &Record) -> anyhow::Result<()> {
    let (mut named, mut wrong) = (Vec::new(), 0_u64);
    for entry in record.entries()? {
        let entry = entry?;
        entry.link_below(from)?;
        if !is_as_recorded(&entry, &entry.below(from)?)? {
            wrong += 1;
            if named.len() < NAMED_MAX {
                named.push(entry.path);
            }
        }
    }
    if wrong > 0 {
        bail!("{wrong} files of {} are missing or damaged: {}", from.display(), named.join(", "));
    }
    Ok(())
}

/// Whether a file is there and has the bytes that the record says.
fn is_as_recorded(entry: &Entry, path: &Path) -> anyhow::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    let found = file.metadata().with_context(|| format!("inspect {}", path.display()))?.len();
    if found != entry.size_bytes {
        return Ok(false);
    }
    let (_, sha256) = hashed(file, io::sink()).with_context(|| format!("read {}", path.display()))?;
    Ok(sha256 == entry.sha256)
}

/// Takes an empty folder, or one in which the same restore was cut off.
fn prepare(folder: &Path, from: &Path, record: &Record) -> Result<(), Exit> {
    let id = record.head.id.to_string();
    match data::unfinished(folder)? {
        Some(unfinished) if unfinished.of == id => Ok(()),
        Some(unfinished) => Err(Exit::not_carried_out(anyhow!(
            "{} holds what another command has left unfinished: end that with `{}`, or name another folder",
            folder.display(),
            unfinished.command
        ))),
        None => {
            contents::make_empty(folder)?;
            let from = std::path::absolute(from).context("resolve the folder of the backup")?;
            let command = format!("flame restore {} --data {}", from.display(), folder.display());
            Ok(data::begin(folder, &Unfinished { of: id, id: record.head.id, command })?)
        }
    }
}

fn write(from: &Path, to: &Path, record: &Record) -> anyhow::Result<()> {
    for entry in record.entries()? {
        let entry = entry?;
        let target = entry.below(to)?;
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        if is_as_recorded(&entry, &target)? {
            continue;
        }
        match std::fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("replace {}", target.display()));
            }
            Ok(()) | Err(_) => {}
        }
        if let Some(first) = entry.link_below(to)?
            && is_as_recorded(&entry, &first)?
            && std::fs::hard_link(&first, &target).is_ok()
        {
            continue;
        }
        let source = entry.below(from)?;
        let (size_bytes, sha256) = copy_hashed(&source, &target)?;
        flame_service_host::fault::point("restore-file");
        if (size_bytes, &sha256) != (entry.size_bytes, &entry.sha256) {
            bail!("{} has changed since it was looked at", source.display());
        }
    }
    contents::sync(to)
}
