//! hls.js in headless Chromium, driven by `judges/hls.mjs`.

use anyhow::{Context, Result, ensure};
use flame_test_kit::repository;
use serde::Deserialize;

use crate::command::{output, quiet};

/// Where the page comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// An origin of its own: all media needs CORS.
    OwnOrigin,
    /// The media's origin.
    MediaOrigin,
}

/// What a viewer would have seen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Seen {
    /// Whether `ended` was reached.
    pub ended: bool,
    /// Duration that the player announced, seconds.
    pub duration_s: f64,
    /// Time that was played, seconds.
    pub played_s: f64,
    /// Time from loading to the first picture, milliseconds.
    pub first_frame_ms: Option<f64>,
    /// Pictures decoded, dropped ones included.
    pub frames: u64,
    /// Pictures that came too late to be shown.
    pub dropped_frames: u64,
    /// Levels in the multivariant playlist.
    pub levels: u64,
    /// Audio tracks in the multivariant playlist.
    pub audio_tracks: u64,
    /// Highest level that was played; -1 if none.
    pub highest_level: i64,
    /// Of what is live: how far it was behind the end of the playlist at last, seconds.
    pub latency_s: Option<f64>,
    /// Media times at which it had to wait, seconds.
    pub stalls: Vec<f64>,
    /// Errors of hls.js and of the browser, fatal or not.
    pub errors: Vec<PlayerError>,
}

/// An error that hls.js or the browser told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PlayerError {
    /// hls.js's class of errors, or `media`, `play`, `deadline`.
    #[serde(rename = "type")]
    pub class: String,
    /// What happened.
    pub details: String,
    /// Whether playback ended by it.
    pub fatal: bool,
}

/// Plays `url` and tells what was seen, well or not.
///
/// # Errors
/// When the browser cannot be run.
pub async fn watch(url: &str, page: Page) -> Result<Seen> {
    watch_for(url, page, 0).await
}

/// The same of what does not end, for `seconds` from its first picture on.
///
/// # Errors
/// When the browser cannot be run.
pub async fn watch_for(url: &str, page: Page, seconds: u32) -> Result<Seen> {
    let root = repository();
    let set_up = root.join("media-tests/judges/set-up");
    let (node, judge) = (root.join("tools/node"), root.join("media-tests/judges/hls.mjs"));
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned).context("the checkout's path is UTF-8");
    let ready = output(&text(&set_up)?, [""; 0]).await?;
    ensure!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let page = match page {
        Page::OwnOrigin => "own",
        Page::MediaOrigin => "media",
    };
    let seen =
        quiet(&text(&node)?, ["node", &text(&judge)?, url, "--page", page, "--for-s", &seconds.to_string()]).await?;
    serde_json::from_slice(&seen).context("hls.mjs prints one JSON object")
}

/// Plays `url` to the end without an error, a stall or a hole.
///
/// # Errors
/// Whatever a viewer would have been annoyed by.
pub async fn plays(url: &str, page: Page) -> Result<Seen> {
    let seen = watch(url, page).await?;
    ensure!(seen.errors.is_empty(), "hls.js met errors playing {url}: {:?}", seen.errors);
    ensure!(seen.ended, "hls.js did not come to the end of {url}: {seen:?}");
    ensure!(seen.stalls.is_empty(), "hls.js stalled at {:?} s of {url}", seen.stalls);
    // The first and last moments of a playback are reported in steps of the browser's clock.
    ensure!(seen.played_s >= seen.duration_s - 0.25, "hls.js played {} of {} s", seen.played_s, seen.duration_s);
    Ok(seen)
}
