//! Requests as fast as they are answered, over connections that stay open: `wrk`.

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::process;

/// The package that brings it.
pub const PACKAGE: &str = "wrk";

/// How `wrk` is run.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections at once.
    pub connections: u32,
    /// For how long.
    pub seconds: u32,
}

/// What it heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Answers in all.
    pub answers: f64,
    /// Answers a second.
    pub rate: f64,
    /// Half of the answers came sooner.
    pub p50_ms: f64,
    /// The 99th percentile of their delay.
    pub p99_ms: f64,
}

// === impl Load ===

impl Load {
    /// Asks for `path`; an answer that is no success, or none, is an error.
    pub async fn run(self, port: u16, path: &str) -> Result<Heard> {
        let (_, text) = process::time(&mut self.command(port, path)).await?;
        parse(&text).with_context(|| format!("wrk says: {text}"))
    }

    /// The command as one would type it.
    #[must_use]
    pub fn shown(self, port: u16, path: &str) -> String {
        process::shown(&self.command(port, path))
    }

    fn command(self, port: u16, path: &str) -> Command {
        let mut command = Command::new("wrk");
        command.args(["-t1", "--latency", "-c"]).arg(self.connections.to_string());
        command.arg(format!("-d{}s", self.seconds)).arg(format!("http://127.0.0.1:{port}{path}"));
        command
    }
}

fn parse(text: &str) -> Result<Heard> {
    for trouble in ["Socket errors", "Non-2xx"] {
        if let Some(line) = text.lines().find(|line| line.contains(trouble)) {
            bail!("{}", line.trim());
        }
    }
    let value = |label: &str| {
        let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(label));
        line.map(str::trim).with_context(|| format!("no `{label}`"))
    };
    let rate = value("Requests/sec:")?.parse().context("a rate")?;
    let answers = text.lines().map(str::trim).find_map(|line| line.split_once(" requests in ")?.0.parse().ok());
    let delay = |share| milliseconds(value(share)?).with_context(|| format!("the {share} of the times"));
    Ok(Heard { answers: answers.context("no number of requests")?, rate, p50_ms: delay("50%")?, p99_ms: delay("99%")? })
}

fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1.0)
    } else {
        (text.strip_suffix('s')?, 1000.0)
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read_and_trouble_is_an_error() {
        let text = "  Latency Distribution\n     50%  500.00us\n     99%    1.20ms\n  10 requests in 5.00s\nRequests/sec:  53000.10\n";
        assert_eq!(parse(text).unwrap(), Heard { answers: 10.0, rate: 53000.1, p50_ms: 0.5, p99_ms: 1.2 });
        assert_eq!(milliseconds("850.00us"), Some(0.85));
        assert_eq!(milliseconds("1.5s"), Some(1500.0));
        assert!(parse(&format!("{text}  Non-2xx or 3xx responses: 5\n")).is_err());
    }
}
