//! Runs a foreign program to its end: with a deadline, without input, never left behind.

use std::ffi::OsStr;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::time::timeout;

/// Time a judge may take for one clip: far beyond what it needs, so only a hang meets it.
pub const DEADLINE: Duration = Duration::from_secs(240);

/// Runs `program` and returns what it wrote; its exit status is the caller's to judge.
///
/// # Errors
/// When it cannot be started, or runs longer than [`DEADLINE`] (it is killed then).
pub async fn output<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
    output_with(program, arguments, &[]).await
}

/// As [`output`], with variables added to the environment.
///
/// # Errors
/// As [`output`].
pub async fn output_with<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    environment: &[(&str, &str)],
) -> Result<Output> {
    let running = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    timeout(DEADLINE, running)
        .await
        .with_context(|| format!("{program} was not done after {DEADLINE:?}"))?
        .with_context(|| format!("{program} cannot be started (tools/deps test installs the judges)"))
}

/// Runs `program` and returns its standard output, if it succeeds and has nothing to complain about.
///
/// # Errors
/// As [`output`], and when its status is not 0 or it wrote anything to standard error.
pub async fn quiet<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Result<Vec<u8>> {
    let output = output(program, arguments).await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !complaint.trim().is_empty() {
        bail!("{program} ({}): {}", output.status, complaint.trim());
    }
    Ok(output.stdout)
}
