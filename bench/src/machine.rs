//! The machine that is measured on, and the programs that are measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::process::Command;

/// When and where, in a sentence each.
pub fn facts(folder: Option<&Path>) -> Result<String> {
    let date = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"))?;
    let cores = std::thread::available_parallelism()?;
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value_of(&processors, "model name").unwrap_or("unknown processor");
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib = value_of(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let memory_gib = memory_kib.unwrap_or(0).div_ceil(1 << 20);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let release =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let folder = folder.map_or_else(cache_folder, |folder| Ok(folder.to_owned()))?;
    let disk = file_system(&folder);
    let profile = profile()?;
    Ok(format!(
        "{date}, profile `{profile}`, {cores} cores of {model}, {memory_gib} GiB of memory, {release}, Linux {}, {disk}.",
        kernel.trim()
    ))
}

fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()).next()
}

/// The type of the file system that holds `folder`, as `/proc/mounts` says.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && folder.starts_with(fields[1]));
    holding.max_by_key(|fields| fields[1].len()).map_or_else(|| "unknown".to_owned(), |fields| fields[2].to_owned())
}

/// Where this user's caches of the project lie.
pub fn cache_folder() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set: say --dir")?.join("flame"))
}

/// The folder of this program: what is measured lies beside it, built with the same profile.
fn beside() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    let folder = program.parent().context("this program lies in no folder")?;
    // Tests lie one folder deeper.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.to_owned())
}

/// The profile that the measured programs were built with.
fn profile() -> Result<String> {
    Ok(beside()?.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// A program of ours.
pub fn ours(name: &str) -> Result<PathBuf> {
    let path = beside()?.join(name);
    if !path.is_file() {
        bail!("{} is not there: bench/run builds it", path.display());
    }
    Ok(path)
}

/// The first line that a program of others says of its version; an error names the package that brings it.
pub async fn version(program: &str, argument: &str, package: &str) -> Result<String> {
    let missing = || format!("{program} is missing: apt-get install {package}");
    let output = Command::new(program).arg(argument).output().await.with_context(missing)?;
    // nginx writes it to standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
