//! The renditions that a multivariant playlist offers, read with the crate `hls_m3u8`.

use anyhow::{Context, Result, ensure};
use hls_m3u8::MasterPlaylist;
use hls_m3u8::tags::VariantStream;
use hls_m3u8::types::MediaType;
use url::Url;

/// What can be played behind a multivariant playlist.
#[derive(Debug, Clone, Default)]
pub struct Renditions {
    /// Media playlists of the variants, in the order offered. Audio-only presentations have them too.
    pub variants: Vec<Variant>,
    /// Media playlists of the audio renditions that are not inside a variant.
    pub audio: Vec<Url>,
}

/// One `EXT-X-STREAM-INF`.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its media playlist.
    pub url: Url,
    /// `RESOLUTION`: width and height in pixels; absent for sound alone.
    pub size: Option<(usize, usize)>,
    /// `BANDWIDTH`, bits per second.
    pub bandwidth_bps: u64,
}

// === impl Renditions ===

impl Renditions {
    /// Fetches and reads the playlist.
    ///
    /// # Errors
    /// When it is not there, not a multivariant playlist, or offers nothing.
    pub async fn fetch(multivariant: &Url) -> Result<Self> {
        let answer = reqwest::get(multivariant.clone()).await?.error_for_status()?;
        let text = answer.text().await?;
        let playlist = MasterPlaylist::try_from(text.as_str())
            .with_context(|| format!("{multivariant} is not a multivariant playlist:\n{text}"))?;
        let mut renditions = Self::default();
        for stream in &playlist.variant_streams {
            if let VariantStream::ExtXStreamInf { uri, .. } = stream {
                renditions.variants.push(Variant {
                    url: multivariant.join(uri)?,
                    size: stream.resolution().map(|size| (size.width(), size.height())),
                    bandwidth_bps: stream.bandwidth(),
                });
            }
        }
        for media in playlist.media.iter().filter(|media| media.media_type == MediaType::Audio) {
            if let Some(uri) = media.uri() {
                renditions.audio.push(multivariant.join(uri)?);
            }
        }
        ensure!(!renditions.variants.is_empty(), "{multivariant} offers no variant:\n{text}");
        Ok(renditions)
    }

    /// The variant with the most pixels, the higher bandwidth deciding between equals.
    #[must_use]
    pub fn top(&self) -> Option<&Variant> {
        let rank = |variant: &&Variant| (variant.size.map(|(width, height)| width * height), variant.bandwidth_bps);
        self.variants.iter().max_by_key(rank)
    }
}
