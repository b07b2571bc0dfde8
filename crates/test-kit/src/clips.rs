//! Clips for tests: real footage with pinned digests, and synthetic ones of any length by a recipe.
//!
//! What there is stands in `media-tests/clips/clips.toml`; the script `fetch` beside it does the work, keeps results
//! in a cache and makes parallel callers wait for each other. This module only calls it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::programs::repository;

/// A synthetic clip of `clips.toml`, with what the test wants different.
#[derive(Debug, Clone)]
pub struct Recipe {
    name: String,
    options: Vec<String>,
}

/// The path of a real clip (`bigbuckbunny`, `bikes`, `carphone_pristine`, `carphone_distorted`).
///
/// # Panics
/// When it cannot be fetched; the message says what to install.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    fetch(&[name.to_owned()])
}

/// A recipe as it stands in `clips.toml` (4 s, 640x360 at 25 unless it says otherwise); [`Recipe::make`] makes it.
#[must_use]
pub fn recipe(name: &str) -> Recipe {
    Recipe { name: name.to_owned(), options: Vec::new() }
}

// === impl Recipe ===

impl Recipe {
    /// Another length.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> Self {
        self.with("--seconds", seconds.to_string())
    }

    /// Another picture size in pixels.
    #[must_use]
    pub fn size(self, width: u32, height: u32) -> Self {
        self.with("--size", format!("{width}x{height}"))
    }

    /// Another frame rate: `50`, `30000/1001`.
    #[must_use]
    pub fn rate(self, rate: &str) -> Self {
        self.with("--rate", rate.to_owned())
    }

    /// The path of the clip, made now unless it was made before.
    ///
    /// # Panics
    /// When it cannot be made; the message says why.
    #[must_use]
    pub fn make(&self) -> PathBuf {
        let mut arguments = vec![self.name.clone()];
        arguments.extend_from_slice(&self.options);
        fetch(&arguments)
    }

    fn with(mut self, option: &str, value: String) -> Self {
        self.options.extend([option.to_owned(), value]);
        self
    }
}

fn fetch(arguments: &[String]) -> PathBuf {
    let script = repository().join("media-tests/clips/fetch");
    let ran = Command::new(&script)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{} needs python3: {error}", script.display()));
    assert!(ran.status.success(), "no clip {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    PathBuf::from(String::from_utf8(ran.stdout).expect("paths of the cache are UTF-8").trim_end())
}
