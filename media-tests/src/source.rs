//! What the source holds: the measure of every rendition.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::measure::{self, Pictures, Sound};

/// A source file, measured once.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// Its pictures, if it has any.
    pub pictures: Option<Pictures>,
    /// Its sound, if it has any.
    pub sound: Option<Sound>,
}

// === impl Source ===

impl Source {
    /// Measures the file.
    ///
    /// # Errors
    /// When FFmpeg cannot read it.
    pub async fn measure(path: &Path) -> Result<Self> {
        let input = path.to_str().context("paths of clips are UTF-8")?;
        Ok(Self {
            path: path.to_owned(),
            pictures: measure::pictures(input).await?,
            sound: measure::sound(input).await?,
        })
    }

    /// Time from the first picture to the first sample of sound; `None` unless it has both.
    #[must_use]
    pub fn sound_after_pictures_s(&self) -> Option<f64> {
        Some(self.sound.as_ref()?.start_s - self.pictures.as_ref()?.times_s.first()?)
    }

    /// Mean time between pictures; `None` for fewer than two.
    #[must_use]
    pub fn picture_interval_s(&self) -> Option<f64> {
        let times_s = &self.pictures.as_ref()?.times_s;
        let intervals = times_s.len().checked_sub(1).filter(|count| *count > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 pictures")]
        let mean = (times_s[intervals] - times_s[0]) / intervals as f64;
        Some(mean)
    }
}
