//! Requests at a rate that is given, over connections that stay open: `h2load`.
//!
//! As fast as they are answered (`wrk`), whoever answers more makes the generator busier too, and both share the
//! processors: the delays of two servers are then not those of the same work. At one rate they are.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::process;

/// The package that brings it.
pub const PACKAGE: &str = "nghttp2-client";

/// How `h2load` is run.
#[derive(Debug, Clone, Copy)]
pub struct Paced {
    /// Connections at once.
    pub connections: u32,
    /// Requests a second of each connection.
    pub each_per_s: u32,
    /// For how long.
    pub seconds: u32,
}

/// What it heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Answers a second.
    pub rate: f64,
    /// The 99th percentile of the time from a request to the end of its answer.
    pub p99_ms: f64,
}

// === impl Paced ===

impl Paced {
    /// Requests a second of all connections.
    #[must_use]
    pub fn per_s(self) -> u32 {
        self.connections * self.each_per_s
    }

    /// Asks for `path`, noting each answer in a file of `folder`; an answer that is not 200, or too few, is an error.
    pub async fn run(self, folder: &Path, port: u16, path: &str) -> Result<Heard> {
        let log = folder.join("paced.tsv");
        // It is appended to.
        let _ = std::fs::remove_file(&log);
        let mut command = self.command(port, path);
        command.arg(format!("--log-file={}", log.display()));
        process::time(&mut command).await?;
        let heard = heard(&std::fs::read_to_string(&log)?, f64::from(self.seconds))?;
        let asked = f64::from(self.per_s());
        ensure!(heard.rate >= 0.9 * asked, "{:.0} answers a second where {asked} were asked for", heard.rate);
        Ok(heard)
    }

    /// The command as one would type it.
    #[must_use]
    pub fn shown(self, port: u16, path: &str) -> String {
        process::shown(&self.command(port, path))
    }

    fn command(self, port: u16, path: &str) -> Command {
        let mut command = Command::new("h2load");
        command.args(["--h1", "-t1"]).arg(format!("-c{}", self.connections)).arg(format!("--rps={}", self.each_per_s));
        command.arg(format!("-D{}", self.seconds)).arg(format!("http://127.0.0.1:{port}{path}"));
        command
    }
}

/// Reads lines of a time, a status and microseconds, with tabs between.
fn heard(log: &str, seconds: f64) -> Result<Heard> {
    let mut times = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t').skip(1);
        let (status, time_us) = (fields.next(), fields.next().and_then(|time| time.parse::<u32>().ok()));
        ensure!(status == Some("200"), "not 200: {line}");
        times.push(time_us.with_context(|| format!("no time: {line}"))?);
    }
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100).max(1);
    let p99_us = *times.get(rank - 1).context("no answer")?;
    Ok(Heard { rate: f64::from(u32::try_from(times.len())?) / seconds, p99_ms: f64::from(p99_us) / 1000.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_of_all_answers_and_a_refusal_is_an_error() {
        let log: String = (1..=200).rev().map(|time| format!("1700000000000000\t200\t{time}\n")).collect();
        assert_eq!(heard(&log, 2.0).unwrap(), Heard { rate: 100.0, p99_ms: 0.198 });
        assert!(heard(&format!("{log}1700000000000000\t503\t9\n"), 2.0).is_err());
        assert!(heard("", 2.0).is_err());
    }
}
