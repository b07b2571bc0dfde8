//! One child process: started, asked, and killed at the first thing that is wrong.

use std::{
    collections::VecDeque,
    os::unix::process::ExitStatusExt,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    error::ChildError,
    pool::PoolConfig,
    protocol::{Event, LINE_SIZE_MAX_BYTES, PROTOCOL, Request},
};

/// Time from the start of the process to its first line.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for a killed or dead process to be reaped and its last words to be read.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines of standard error that are kept.
const STDERR_LINES_MAX: usize = 20;
/// Bytes of a line of standard error that are kept.
const STDERR_LINE_MAX_BYTES: usize = 1000;

/// A running child between or in requests. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    words: Words,
    listener: JoinHandle<()>,
    /// Requests it has served.
    pub(crate) served: u32,
}

// === impl Child ===

impl Child {
    /// Starts a child and waits until it is ready.
    pub(crate) async fn start(config: &PoolConfig) -> Result<Self, ChildError> {
        let Started { process, stdin, stdout, words, listener } = spawn(config, "worker")?;
        let stdout = BufReader::new(stdout);
        let mut child = Self { process, stdin, stdout, words, listener, served: 0 };
        match timeout(HELLO_TIMEOUT, child.event()).await {
            Err(_) => Err(child.violation("it did not say hello")),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Event::Hello { protocol: PROTOCOL, versions })) => {
                tracing::debug!(pid = child.process.id(), versions, "media process started");
                Ok(child)
            }
            Ok(Ok(Event::Hello { protocol, .. })) => {
                Err(child.violation(&format!("it speaks version {protocol}, this program speaks {PROTOCOL}")))
            }
            Ok(Ok(Event::Progress { .. } | Event::Done { .. } | Event::Failed { .. })) => {
                Err(child.violation("it did not say hello first"))
            }
        }
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// The process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends a request.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<(), ChildError> {
        let mut line = serde_json::to_vec(request).map_err(|error| ChildError::Environment {
            reason: format!("the request cannot be written as JSON: {error}"),
        })?;
        line.push(b'\n');
        if line.len() > LINE_SIZE_MAX_BYTES {
            return Err(ChildError::Environment {
                reason: "the request is larger than the protocol allows".to_owned(),
            });
        }
        match self.stdin.write_all(&line).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.post_mortem().await),
        }
    }

    /// The next thing that the child says.
    pub(crate) async fn event(&mut self) -> Result<Event, ChildError> {
        match read_line(&mut self.stdout).await {
            Ok(Line::Whole(line)) => {
                serde_json::from_slice(&line).map_err(|error| self.violation(&format!("a line is no event: {error}")))
            }
            Ok(Line::TooLong) => Err(self.violation(&format!("a line is longer than {LINE_SIZE_MAX_BYTES} bytes"))),
            Ok(Line::End) | Err(_) => Err(self.post_mortem().await),
        }
    }

    /// Kills the process and waits for its end.
    pub(crate) async fn kill(mut self) {
        // An error means that it is gone already.
        let _ = self.process.start_kill();
        let _ = timeout(END_TIMEOUT, self.process.wait()).await;
    }

    /// What the end of a process that should still run means.
    async fn post_mortem(&mut self) -> ChildError {
        post_mortem(&mut self.process, &mut self.listener, &self.words).await
    }

    fn violation(&mut self, what: &str) -> ChildError {
        let _ = self.process.start_kill();
        ChildError::Protocol { what: what.to_owned() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// What the end of a process that should still run means.
pub(crate) async fn post_mortem(process: &mut Process, listener: &mut JoinHandle<()>, words: &Words) -> ChildError {
    let status = timeout(END_TIMEOUT, process.wait()).await.ok().and_then(Result::ok);
    if status.is_none() {
        // It closed its output and lives on.
        let _ = process.start_kill();
    }
    let _ = timeout(END_TIMEOUT, listener).await;
    ChildError::Crashed {
        signal: status.and_then(|status| status.signal()),
        status: status.and_then(|status| status.code()),
        stderr: words.lock().expect("no panic while it is held").iter().cloned().collect(),
    }
}

/// A process that was started, and its pipes.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    /// The last that it wrote to standard error, and who listens.
    pub(crate) words: Words,
    pub(crate) listener: JoinHandle<()>,
}

/// Lines of standard error.
pub(crate) type Words = Arc<Mutex<VecDeque<String>>>;

/// Starts the program in this mode, with the limits and the surroundings of all children.
pub(crate) fn spawn(config: &PoolConfig, mode: &str) -> Result<Started, ChildError> {
    let mut command = Command::new(&config.program);
    command.arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let limits = &config.limits;
    for (flag, limit) in [
        ("--address-space-bytes", limits.address_space_bytes),
        ("--cpu-s", limits.cpu_s),
        ("--file-size-bytes", limits.file_size_bytes),
        ("--nice", limits.nice.map(u64::from)),
    ] {
        if let Some(limit) = limit {
            command.arg(flag).arg(limit.to_string());
        }
    }
    command.env("GST_DEBUG_NO_COLOR", "1");
    // SVT-AV1 describes itself at every start; only its errors are of use.
    command.env("SVT_LOG", "1");
    // Each arena reserves 64 MiB of address space, and by default there are eight a core.
    command.env("MALLOC_ARENA_MAX", "8");
    if let Some(folder) = &config.cache_dir {
        // Without it a service that has no home folder would scan all plugins at every start of a child.
        command.env("GST_REGISTRY", folder.join("gstreamer-registry.bin"));
    }
    let mut process = command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ChildError::NotFound { program: config.program.clone() },
        _ => ChildError::Start { program: config.program.clone(), source },
    })?;
    let piped = "a piped stream is there until it is taken";
    let stdin = process.stdin.take().expect(piped);
    let stdout = process.stdout.take().expect(piped);
    let stderr = process.stderr.take().expect(piped);
    let words = Arc::new(Mutex::new(VecDeque::new()));
    let listener = tokio::spawn(listen(stderr, process.id(), Arc::clone(&words)));
    Ok(Started { process, stdin, stdout, words, listener })
}

/// A line of at most [`LINE_SIZE_MAX_BYTES`].
enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Line> {
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(Line::End);
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(chunk.len(), |end| end + 1);
        if line.len() + taken > LINE_SIZE_MAX_BYTES {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(&chunk[..taken]);
        reader.consume(taken);
        if end.is_some() {
            return Ok(Line::Whole(line));
        }
    }
}

/// Writes what the child says on standard error into the log and keeps the last of it.
async fn listen(stderr: ChildStderr, pid: Option<u32>, words: Words) {
    let mut reader = BufReader::with_capacity(STDERR_LINE_MAX_BYTES, stderr);
    loop {
        // A line longer than the buffer is taken in pieces: nothing here grows with what a child says.
        let line = match reader.fill_buf().await {
            Ok([]) | Err(_) => return,
            Ok(chunk) => match chunk.iter().position(|&byte| byte == b'\n') {
                Some(end) => chunk[..=end].to_vec(),
                None => chunk.to_vec(),
            },
        };
        reader.consume(line.len());
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        tracing::debug!(pid, line, "media process");
        let mut words = words.lock().expect("no panic while it is held");
        if words.len() == STDERR_LINES_MAX {
            words.pop_front();
        }
        words.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<String> {
        let mut reader = BufReader::with_capacity(7, text);
        let mut lines = Vec::new();
        loop {
            match read_line(&mut reader).await.unwrap() {
                Line::Whole(line) => lines.push(String::from_utf8(line).unwrap()),
                Line::TooLong => {
                    lines.push("too long".to_owned());
                    return lines;
                }
                Line::End => return lines,
            }
        }
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_arrive() {
        assert_eq!(lines(b"one\nand a longer one\n\nhalf").await, ["one\n", "and a longer one\n", "\n"]);
    }

    #[tokio::test]
    async fn a_line_that_never_ends_is_refused() {
        assert_eq!(lines(&vec![b'x'; LINE_SIZE_MAX_BYTES + 1]).await, ["too long"]);
    }
}
