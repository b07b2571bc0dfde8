//! A player that checks: `flame-media play` decodes everything that a URL or file plays, and counts it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use flame_media_child::find_program;
use serde::Deserialize;
use tokio::process::Command;

/// How long playing may take, at the most.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was decoded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Played {
    /// Frames of video.
    pub video_frames: u64,
    /// Audio samples per channel.
    pub audio_samples: u64,
    /// Presentation time of the first frame, milliseconds.
    pub video_start_ms: Option<f64>,
    /// Presentation time of the first audio sample, milliseconds.
    pub audio_start_ms: Option<f64>,
    /// Packets that the decoders refused.
    pub decode_errors: u64,
}

/// Plays a URL or file to its end.
pub async fn play(input: &str) -> anyhow::Result<Played> {
    let program = find_program()?;
    let output = Command::new(program).arg("play").arg(input).stdin(Stdio::null()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(PATIENCE, output).await.context("playing takes too long")?.context("start flame-media")?;
    if !output.status.success() {
        bail!("{input} does not play: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("flame-media said something else than what it played")
}
