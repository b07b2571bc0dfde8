//! Clips of the catalogue: real footage that is fetched once and kept, and synthetic ones made by a recipe.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

/// The fetcher and its pinned digests, the same that the tests use.
const FETCHER: &str = include_str!("../../media-tests/clips/fetch");
const CATALOGUE: &str = include_str!("../../media-tests/clips/clips.toml");

/// Has the fetcher bring one clip: its name, and the options of a recipe.
pub async fn fetch(arguments: &[String]) -> anyhow::Result<PathBuf> {
    let folder = tempfile::tempdir().context("create a temporary folder")?;
    let script = folder.path().join("fetch");
    std::fs::write(&script, FETCHER)?;
    std::fs::write(folder.path().join("clips.toml"), CATALOGUE)?;
    let output = Command::new("python3").arg(&script).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = output.await.context("fetch the clip with python3; install python3 and python3-pip")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the clip {} cannot be fetched: {}", arguments.join(" "), words.trim());
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
