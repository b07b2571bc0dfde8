//! Players in headless Chromium, driven by `judges/play.mjs`. What they show is told here; what is good enough is said here
//! by [`Seen::flaw`].

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flame_test_kit::repository;
use futures_util::StreamExt;
use serde::Deserialize;

use crate::command::{output, quiet};

/// Who plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    /// hls.js: HLS.
    HlsJs,
    /// dash.js: DASH.
    DashJs,
    /// Shaka Player: DASH and HLS.
    Shaka,
    /// Chromium's own HLS.
    Native,
}

/// Where the page comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// An origin of its own: all media needs CORS.
    #[default]
    OwnOrigin,
    /// The media's origin.
    MediaOrigin,
}

/// What the viewer does. By default: watches to the end, on a page of another origin.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Viewing {
    /// Where the page comes from.
    pub page: Page,
    /// Seconds that are watched of what does not end; 0: to the end.
    pub for_s: u32,
    /// Times that are jumped to, one after the other.
    pub seeks_s: Vec<f64>,
    /// Whether each level is then taken by hand.
    pub switch: bool,
    /// Seconds on each of them, upwards and down again; 0: only until it is seen, upwards.
    pub stay_s: u32,
    /// Language of the subtitles that are shown.
    pub text: Option<String>,
    /// Languages whose sound is then chosen by hand, each with the tone that must be heard of it, Hz.
    pub sounds: Vec<(&'static str, u32)>,
    /// Times of which the player is then asked for its small picture, seconds.
    pub thumbnails_s: Vec<f64>,
    /// A key that the page knows, `ID:KEY` in hexadecimal.
    pub clear_key: Option<String>,
    /// Whether the player is to come out of errors that are not fatal (hls.js): they are told, and it is watched on.
    pub patient: bool,
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
    /// Bytes of sound that were decoded.
    pub sound_bytes: u64,
    /// Levels of video that are offered; none if the player does not say.
    pub levels: Option<u64>,
    /// Audio tracks that are offered; none if the player does not say.
    pub audio_tracks: Option<u64>,
    /// Highest level that was played; none if there was none, or the player does not say.
    pub highest_level: Option<u64>,
    /// Of what is live, seconds: how far it was at last behind the end of the playlist (hls.js), or behind the wall clock
    /// (dash.js, Shaka Player).
    pub latency_s: Option<f64>,
    /// Media times at which it had to wait other than for a seek, seconds.
    pub stalls: Vec<f64>,
    /// Errors of the player and of the browser, fatal or not. The first one ends the watching, the first fatal one that of a patient
    /// viewer, of whom 200 others are told.
    pub errors: Vec<PlayerError>,
    /// Heights of the pictures in the order in which they were first seen, each change of height anew.
    pub heights: Vec<u64>,
    /// What came of each seek.
    pub seeks: Vec<Seek>,
    /// Languages of the subtitles that are offered; none if the player does not say.
    pub text_languages: Option<Vec<String>>,
    /// What was to be read over the pictures, each change anew; the first 200.
    pub texts: Vec<ShownText>,
    /// What was heard of each sound that was chosen.
    pub sounds: Vec<Heard>,
    /// The small pictures that were asked for.
    pub thumbnails: Vec<Thumbnail>,
    /// Requests for media that were refused or broke off, whatever the player made of it; the first 50.
    pub failed_requests: Vec<FailedRequest>,
}

/// An error that the player or the browser told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PlayerError {
    /// The player's class of errors, or `media`, `play`, `page`, `seek`, `switch`, `sound`, `thumbnail`, `unsupported`, `deadline`.
    #[serde(rename = "type")]
    pub class: String,
    /// What happened.
    pub details: String,
    /// Whether playback ended by it.
    pub fatal: bool,
}

/// What came of a seek.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Seek {
    /// Where it went, seconds.
    pub to_s: f64,
    /// Time to the first picture, milliseconds; none if there was none within five seconds.
    pub ms: Option<f64>,
    /// Time of that picture, seconds.
    pub shown_s: Option<f64>,
}

/// What was to be read from a picture on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ShownText {
    /// Media time of the picture, seconds.
    pub at_s: f64,
    /// The text; empty where there was none any more.
    pub text: String,
}

/// What was heard of a sound that was chosen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Heard {
    /// Its language.
    pub language: String,
    /// The loudest tone, Hz.
    pub hz: f64,
    /// Time until it was heard, milliseconds.
    pub ms: f64,
}

/// A small picture, as the player finds it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Thumbnail {
    /// The time that it was asked for, seconds.
    pub time_s: f64,
    /// Its width in pixels.
    pub width: f64,
    /// Its height in pixels.
    pub height: f64,
    /// Red, green and blue in its middle.
    pub middle: [u8; 3],
}

/// A request that was refused or broke off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FailedRequest {
    /// What was asked for.
    pub url: String,
    /// A status code, or the browser's name of the failure.
    pub why: String,
}

/// Lets `player` play `url` and tells what was seen, well or not.
///
/// # Errors
/// When the browser cannot be run.
pub async fn watch(player: Player, url: &str, viewing: &Viewing) -> Result<Seen> {
    let mut all = watch_beside(&[(player, url)], viewing).await?;
    all.pop().context("play.mjs prints a line")
}

/// The same of several players at the same time, in one browser, a page each. What each saw, in the given order.
///
/// # Errors
/// As of [`watch`].
pub async fn watch_beside(players: &[(Player, &str)], viewing: &Viewing) -> Result<Vec<Seen>> {
    let mut arguments: Vec<String> =
        players.iter().flat_map(|(player, url)| [player.name(), url]).map(str::to_owned).collect();
    arguments.extend(["--page", viewing.page.name()].map(str::to_owned));
    arguments.extend(["--for-s".to_owned(), viewing.for_s.to_string()]);
    if !viewing.seeks_s.is_empty() {
        let times: Vec<String> = viewing.seeks_s.iter().map(ToString::to_string).collect();
        arguments.extend(["--seek-s".to_owned(), times.join(",")]);
    }
    if viewing.switch {
        arguments.push("--switch".to_owned());
        arguments.extend(["--stay-s".to_owned(), viewing.stay_s.to_string()]);
    }
    if let Some(language) = &viewing.text {
        arguments.extend(["--text".to_owned(), language.clone()]);
    }
    if !viewing.sounds.is_empty() {
        let sounds: Vec<String> = viewing.sounds.iter().map(|(language, hz)| format!("{language}:{hz}")).collect();
        arguments.extend(["--audio".to_owned(), sounds.join(",")]);
    }
    if !viewing.thumbnails_s.is_empty() {
        let times: Vec<String> = viewing.thumbnails_s.iter().map(ToString::to_string).collect();
        arguments.extend(["--thumbnails".to_owned(), times.join(",")]);
    }
    if let Some(key) = &viewing.clear_key {
        arguments.extend(["--clear-key".to_owned(), key.clone()]);
    }
    if viewing.patient {
        arguments.push("--patient".to_owned());
    }
    let printed = node("play.mjs", arguments).await?;
    let lines = printed.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    let all: Vec<Seen> = lines
        .map(|line| serde_json::from_slice(line).context("play.mjs prints one JSON object a line"))
        .collect::<Result<_>>()?;
    ensure!(all.len() == players.len(), "play.mjs printed {} lines for {} players", all.len(), players.len());
    Ok(all)
}

/// Two browsers at a time: most of what they do is to wait for what they show. What each found out, in the given order.
pub async fn two_at_a_time<T>(viewers: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::stream::iter(viewers).buffered(2).collect().await
}

/// Runs a script of `judges/`, which is set up first, and returns what it printed.
///
/// # Errors
/// When it cannot be run, or says that it could not be carried out.
pub async fn node(script: &str, arguments: Vec<String>) -> Result<Vec<u8>> {
    let root = repository();
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the checkout's path is UTF-8");
    let ready = output(&text(&root.join("media-tests/judges/set-up"))?, [""; 0]).await?;
    ensure!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let mut all = vec!["node".to_owned(), text(&root.join("media-tests/judges").join(script))?];
    all.extend(arguments);
    quiet(&text(&root.join("tools/node"))?, all).await
}

/// Further arguments of a script that looks at the portal: it saves what it sees where `FLAME_PORTAL_PICTURES` says.
#[must_use]
pub fn pictures() -> Vec<String> {
    std::env::var("FLAME_PORTAL_PICTURES").map_or_else(|_| Vec::new(), |folder| vec!["--pictures".to_owned(), folder])
}

/// Lets `player` play `url` to the end without an error, a stall or a hole.
///
/// # Errors
/// Whatever a viewer would have been annoyed by.
pub async fn plays(player: Player, url: &str, page: Page) -> Result<Seen> {
    let seen = watch(player, url, &Viewing { page, ..Viewing::default() }).await?;
    if let Some(flaw) = seen.flaw() {
        bail!("{} playing {url} {flaw}", player.name());
    }
    // The first and last moments of a playback are reported in steps of the browser's clock.
    ensure!(
        seen.played_s >= seen.duration_s - 0.25,
        "{} played {} of {} s of {url}",
        player.name(),
        seen.played_s,
        seen.duration_s
    );
    Ok(seen)
}

// === impl Player ===

impl Player {
    /// As `play.mjs` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HlsJs => "hls.js",
            Self::DashJs => "dash.js",
            Self::Shaka => "shaka-player",
            Self::Native => "native",
        }
    }
}

// === impl Page ===

impl Page {
    fn name(self) -> &'static str {
        match self {
            Self::OwnOrigin => "own",
            Self::MediaOrigin => "media",
        }
    }
}

// === impl Seen ===

impl Seen {
    /// What a viewer who watched to the end would have been annoyed by first.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        if !self.errors.is_empty() {
            Some(format!("met errors: {:?}", self.errors))
        } else if !self.ended {
            Some(format!("did not come to the end: {self:?}"))
        } else if !self.stalls.is_empty() {
            Some(format!("stalled at {:?} s", self.stalls))
        } else if !self.failed_requests.is_empty() {
            Some(format!("asked in vain: {:?}", self.failed_requests))
        } else {
            None
        }
    }
}
