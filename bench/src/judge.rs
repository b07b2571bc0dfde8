//! Judges of `media-tests/judges` that watch a browser: one process each, one line of JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use tokio::process::Command;
use tokio::time::timeout;

/// Time for one judge: far beyond what the longest of them watches.
const DEADLINE: Duration = Duration::from_secs(900);

/// Runs the judge `name` with `arguments`, and reads what it saw.
pub async fn run<T: DeserializeOwned>(name: &str, arguments: &[String]) -> Result<T> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).context("the checkout has no root")?;
    let ready = Command::new(root.join("media-tests/judges/set-up")).output().await.context("set up the judges")?;
    ensure!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let mut node = Command::new(root.join("tools/node"));
    node.arg("node").arg(root.join("media-tests/judges").join(name)).args(arguments).kill_on_drop(true);
    let seen = timeout(DEADLINE, node.output()).await;
    let seen = seen.with_context(|| format!("{name} is not done after {} s", DEADLINE.as_secs()))?;
    let seen = seen.with_context(|| format!("run {name}"))?;
    ensure!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    serde_json::from_slice(&seen.stdout).with_context(|| format!("{name} prints one JSON object"))
}
