//! A child that makes a ladder of live media: it is started for one publication, and ends with it.
//!
//! Both directions are messages of `flame_cmaf::relay`. In: a [`LivePlan`] as JSON, the init segment of the source, its chunks and ends of
//! segments. Out: the tracks as JSON ([`flame_api::live::LadderTracks`]), their init segments, their chunks and ends of segments. When
//! its input ends it gives out what it still has, and exits; a parent that dies takes it along. Whoever holds it reads and writes
//! its pipes: a side that does not read makes the other wait, and nothing grows.

use flame_api::media::Rational;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::{Child as Process, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::child::{self, Started, Words};
use crate::error::ChildError;
use crate::memory;
use crate::pool::PoolConfig;

/// The most octets of a message of either direction: a chunk of half a minute of pictures that are hardly compressed.
pub const MESSAGE_MAX_BYTES: usize = 32 << 20;

/// What is made. Decided by the transcode service; the child only obeys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivePlan {
    /// Length of a part, milliseconds.
    pub part_ms: u32,
    /// Pictures per second, where that is constant and known.
    pub frame_rate: Option<Rational>,
    /// x264's preset: `veryfast`.
    pub preset: String,
    /// The renditions, largest first; at least one.
    pub rungs: Vec<LiveRung>,
}

/// One rendition: H.264 without B-frames, a key frame at the beginning of each segment and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRung {
    /// Track name: `v480`.
    pub name: String,
    /// Even width in square pixels.
    pub width: u32,
    /// Even height in square pixels.
    pub height: u32,
    /// Mean bits per second.
    pub bitrate_bps: u32,
    /// Cap in bits per second, over a buffer of one second.
    pub max_bitrate_bps: u32,
}

/// A child under way. Dropping it kills it.
#[derive(Debug)]
pub struct LiveChild {
    /// What it reads. Closing it lets it end.
    pub stdin: Option<ChildStdin>,
    /// What it writes.
    pub stdout: ChildStdout,
    process: Process,
    words: Words,
    listener: JoinHandle<()>,
    /// Ends it where it holds more than its share of the memory.
    watcher: JoinHandle<()>,
}

// === impl LiveChild ===

impl LiveChild {
    /// Starts one with the program and the limits of a pool; of processor time it may use what it needs.
    ///
    /// # Errors
    /// [`ChildError`], if it cannot be started.
    pub fn start(config: &PoolConfig) -> Result<Self, ChildError> {
        let mut config = config.clone();
        config.limits.cpu_s = None;
        let Started { process, stdin, stdout, words, listener } = child::spawn(&config, "live")?;
        let (pid, limit) = (process.id(), config.limits.resident_bytes);
        let watcher = tokio::spawn(async move {
            let limit_bytes = memory::exceeded(pid, limit).await;
            tracing::warn!(pid, limit_bytes, "a live media process holds more memory than its share: it is ended");
            let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
            if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::KILL)) {
                tracing::warn!(%error, "it cannot be ended");
            }
        });
        Ok(Self { stdin: Some(stdin), stdout, process, words, listener, watcher })
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the end of a child whose output has ended: nothing is wrong where it says so itself.
    ///
    /// # Errors
    /// [`ChildError::Crashed`].
    pub async fn ended(&mut self) -> Result<(), ChildError> {
        // Its number may be another's soon.
        self.watcher.abort();
        match child::post_mortem(&mut self.process, &mut self.listener, &self.words).await {
            ChildError::Crashed { status: Some(0), .. } => Ok(()),
            error => Err(error),
        }
    }
}

impl Drop for LiveChild {
    fn drop(&mut self) {
        self.listener.abort();
        self.watcher.abort();
    }
}
