//! Processes that a benchmark has started: they end with it, and no others do.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Time that a process gets to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most time for one command of a round.
const DEADLINE: Duration = Duration::from_secs(900);
/// Pause between two looks at a process's memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(50);

/// A running server. Ended when dropped; [`Server::stop`] does it without blocking, and says if it went wrong.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
}

/// Runs `command` to its end; gives how long it took, and its standard output. Its failure is an error.
pub async fn time(command: &mut Command) -> Result<(Duration, String)> {
    let shown = format!("{:?}", command.as_std());
    let began = Instant::now();
    let ran = timeout(DEADLINE, command.kill_on_drop(true).output()).await;
    let output = ran.with_context(|| format!("{shown}: not done after {} s", DEADLINE.as_secs()))?;
    let output = output.with_context(|| shown.clone())?;
    let took = began.elapsed();
    if !output.status.success() {
        bail!("{shown}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok((took, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// What a command took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Took {
    /// From its start to its end.
    pub took: Duration,
    /// Processor time of it and its descendants, seconds, as of the last look before its end.
    pub processor_s: f64,
    /// Resident memory of it and its descendants at its highest, MiB, looked at every 50 ms. Shared pages count for each of them.
    pub peak_mib: f64,
}

/// Runs `command` to its end, and looks at what it takes; its standard output goes into `output`. Its failure is an error.
pub async fn watched(command: &mut Command, output: Stdio) -> Result<Took> {
    let shown = format!("{:?}", command.as_std());
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {shown}"))?;
    let root = child.id().with_context(|| format!("{shown} has ended"))?;
    let mut took = Took::default();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.with_context(|| format!("wait for {shown}"))?,
            () = tokio::time::sleep(MEMORY_PAUSE) => {
                let kib: u32 = tree(root).into_iter().map(resident_kib).sum();
                took.peak_mib = took.peak_mib.max(f64::from(kib) / 1024.0);
                took.processor_s = took.processor_s.max(processor_s(root)?);
            }
        }
        if began.elapsed() > DEADLINE {
            bail!("{shown}: not done after {} s", DEADLINE.as_secs());
        }
    };
    took.took = began.elapsed();
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(took)
}

/// The command as one would type it: results are checked in, and whose machine it was is not said there.
#[must_use]
pub fn shown(command: &Command) -> String {
    let command = command.as_std();
    let home = std::env::var("HOME").ok().filter(|home| home.len() > 1).map(|home| format!("{home}/"));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(|word| {
        let word = word.to_string_lossy();
        quoted(&home.as_ref().map_or_else(|| word.to_string(), |home| word.replace(home, "~/")))
    });
    words.collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |symbol: char| symbol.is_ascii_alphanumeric() || "-_./:=,+@%~".contains(symbol);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Writes what is waiting in the page cache, so that one side's writes are not paid by the other.
pub async fn settle_disk() -> Result<()> {
    tokio::task::spawn_blocking(rustix::fs::sync).await.context("sync")
}

/// Bytes in the files of a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            // Deleted meanwhile.
            Err(_) => 0,
        })
        .sum()
}

// === impl Server ===

impl Server {
    /// Starts a server.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name, child })
    }

    /// The started process, to read what it prints.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Resident memory of the process and all its descendants, MiB. Shared pages count for each of them.
    pub fn resident_mib(&self) -> Result<f64> {
        let root = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let kib: u32 = tree(root).into_iter().map(resident_kib).sum();
        Ok(f64::from(kib) / 1024.0)
    }

    /// Processor time of the process and all its descendants so far, seconds; counted in hundredths.
    pub fn processor_s(&self) -> Result<f64> {
        processor_s(self.child.id().with_context(|| format!("{} has ended", self.name))?)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.with_context(|| format!("{} has ended", self.name))?;
        kill_process(pid, signal).with_context(|| format!("send {signal:?} to {}", self.name))
    }

    /// The highest resident memory while `work` runs, MiB, beside what that gives.
    pub async fn peak_while<T>(&self, work: impl Future<Output = T>) -> Result<(f64, T)> {
        let mut peak_mib = self.resident_mib()?;
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok((peak_mib, done)),
                () = tokio::time::sleep(MEMORY_PAUSE) => peak_mib = peak_mib.max(self.resident_mib()?),
            }
        }
    }

    /// Asks it to end, and waits; kills it if it does not.
    pub async fn stop(mut self) -> Result<()> {
        self.terminate();
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.map(drop).with_context(|| format!("wait for {}", self.name)),
            Err(_) => {
                self.child.kill().await.with_context(|| format!("kill {}", self.name))?;
                bail!("{} did not end within {} s and was killed", self.name, PATIENCE.as_secs())
            }
        }
    }

    fn terminate(&self) {
        // It may have ended by itself.
        let _ = self.signal(Signal::TERM);
    }
}

impl Drop for Server {
    /// Waits for its end, so that its folder can be deleted after it.
    fn drop(&mut self) {
        self.terminate();
        let began = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if began.elapsed() > PATIENCE {
                let _ = self.child.start_kill();
                return;
            }
            std::thread::park_timeout(MEMORY_PAUSE);
        }
    }
}

/// The process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may hold anything; behind it come state and parent (proc(5)).
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        found.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    found
}

/// Processor time that this process and all its descendants have spent while `work` was done, seconds, and what came of it.
pub async fn processor_while<T>(work: impl Future<Output = Result<T>>) -> Result<(f64, T)> {
    let before_s = processor_s(std::process::id())?;
    let done = work.await?;
    Ok((processor_s(std::process::id())? - before_s, done))
}

/// Processor time of a process and all its descendants so far, those that have ended too, seconds.
fn processor_s(root: u32) -> Result<f64> {
    let ticks: u32 = tree(root).into_iter().map(processor_ticks).sum();
    // Fifty to a thousand a second, whatever the machine: exact.
    let ticks_per_s = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(f64::from(ticks) / f64::from(ticks_per_s))
}

/// Time in user space and in the kernel, all threads, and that of its children that have been waited for (proc(5), fields
/// 14 to 17).
fn processor_ticks(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    [11, 12, 13, 14].iter().filter_map(|at| fields.get(*at)?.parse::<u32>().ok()).sum()
}

fn resident_kib(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_types_it() {
        let mut command = Command::new("curl");
        command.args(["-T", "a b", "http://127.0.0.1:1/~ingest/files/x.mp4", "it's", ""]);
        assert_eq!(shown(&command), r"curl -T 'a b' http://127.0.0.1:1/~ingest/files/x.mp4 'it'\''s' ''");
        let home = std::env::var("HOME").expect("tests have a home folder");
        let mut command = Command::new("ffmpeg");
        command.arg("-i").arg(format!("{home}/film.mp4"));
        assert_eq!(shown(&command), "ffmpeg -i ~/film.mp4");
    }

    #[test]
    fn this_process_has_memory() {
        assert!(tree(std::process::id()).contains(&std::process::id()));
        assert!(resident_kib(std::process::id()) > 100);
    }
}
