//! The clip that a scenario plays with: the user's own file, or real footage that is fetched once and kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::tour::Verified;
use crate::clips;

/// The clip when the user names none: real footage with sound.
const DEFAULT: &str = "bigbuckbunny";
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
    let fetched = clips::fetch(&[DEFAULT.to_owned()]).await;
    fetched.context("name a file of yours instead: flame demo SCENARIO FILE")
}
