//! hls.js, the player most tests ask.

use anyhow::Result;

use super::browser::{self, Player, Viewing};
pub use super::browser::{Page, Seen};

/// Plays `url` and tells what was seen, well or not.
///
/// # Errors
/// When the browser cannot be run.
pub async fn watch(url: &str, page: Page) -> Result<Seen> {
    browser::watch(Player::HlsJs, url, &Viewing { page, ..Viewing::default() }).await
}

/// Plays `url` to the end without an error, a stall or a hole.
///
/// # Errors
/// Whatever a viewer would have been annoyed by.
pub async fn plays(url: &str, page: Page) -> Result<Seen> {
    browser::plays(Player::HlsJs, url, page).await
}
