//! The clip that a scenario plays with: the user's own file, or real footage that is fetched once and kept.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::tour::Verified;

/// The clip when the user names none: real footage with sound.
const DEFAULT: &str = "bigbuckbunny";
/// The fetcher and its pinned digests, the same that the tests use.
const FETCHER: &str = include_str!("../../../media-tests/clips/fetch");
const CATALOGUE: &str = include_str!("../../../media-tests/clips/clips.toml");

/// The user's file, or the fetched clip.
pub async fn find(file: Option<&Path>) -> anyhow::Result<Verified<PathBuf>> {
    let (path, origin) = match file {
        Some(file) => (std::path::absolute(file)?, "your file"),
        None => (fetch().await?, "real footage, its SHA-256 as pinned"),
    };
    let metadata = std::fs::metadata(&path).with_context(|| format!("open {}", path.display()))?;
    ensure!(metadata.is_file(), "{} is not a file", path.display());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Verified(path, format!("{name}, {} ({origin})", crate::output::size(metadata.len()))))
}

async fn fetch() -> anyhow::Result<PathBuf> {
    let folder = tempfile::tempdir().context("create a temporary folder")?;
    let script = folder.path().join("fetch");
    std::fs::File::create(&script)?.write_all(FETCHER.as_bytes())?;
    std::fs::write(folder.path().join("clips.toml"), CATALOGUE)?;
    let output = Command::new("python3").arg(&script).arg(DEFAULT).stdin(Stdio::null()).output().await;
    let output = output.context("fetch the clip with python3; install python3 and python3-pip, or name a file of yours: flame demo SCENARIO FILE")?;
    ensure!(
        output.status.success(),
        "the clip cannot be fetched ({}); or name a file of yours: flame demo SCENARIO FILE",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
