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
    /// `AVERAGE-BANDWIDTH`, bits per second.
    pub average_bandwidth_bps: Option<u64>,
    /// `FRAME-RATE`, pictures a second.
    pub frame_rate: Option<f64>,
}

/// What the segments behind a media playlist come to, bits per second (RFC 8216, section 4.3.4.2).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// The largest rate of segments in a row that last 0.5 to 1.5 target durations together.
    pub peak_bps: f64,
    /// All of them.
    pub average_bps: f64,
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
            if let VariantStream::ExtXStreamInf { uri, frame_rate, .. } = stream {
                renditions.variants.push(Variant {
                    url: multivariant.join(uri)?,
                    size: stream.resolution().map(|size| (size.width(), size.height())),
                    bandwidth_bps: stream.bandwidth(),
                    average_bandwidth_bps: stream.average_bandwidth(),
                    frame_rate: frame_rate.map(|rate| f64::from(rate.as_f32())),
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

/// Fetches every segment of a media playlist, and says what they come to.
///
/// # Errors
/// When the playlist or one of its segments cannot be had, or it has none.
pub async fn rates(playlist: &Url) -> Result<Rates> {
    let text = reqwest::get(playlist.clone()).await?.error_for_status()?.text().await?;
    let value = |line: &str, tag: &str| line.strip_prefix(tag)?.split(',').next()?.parse::<f64>().ok();
    let target_s = text.lines().find_map(|line| value(line, "#EXT-X-TARGETDURATION:")).context("no target duration")?;
    let (mut segments, mut duration_s) = (Vec::new(), None);
    for line in text.lines() {
        duration_s = value(line, "#EXTINF:").or(duration_s);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let segment = reqwest::get(playlist.join(line)?).await?.error_for_status()?.bytes().await?;
        #[expect(clippy::cast_precision_loss, reason = "segments are smaller than 2^52 bytes")]
        segments
            .push((duration_s.take().with_context(|| format!("{line} has no EXTINF"))?, segment.len() as f64 * 8.0));
    }
    let sum = |row: &[(f64, f64)]| row.iter().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
    let (duration_s, bits) = sum(&segments);
    ensure!(duration_s > 0.0, "{playlist} has no segments");
    let rows = (0..segments.len()).flat_map(|from| (from + 1..=segments.len()).map(move |to| (from, to)));
    let rates = rows.map(|(from, to)| sum(&segments[from..to]));
    let peaks =
        rates.filter(|(row_s, _)| (0.5 * target_s..=1.5 * target_s).contains(row_s)).map(|(row_s, bits)| bits / row_s);
    let average_bps = bits / duration_s;
    // What is shorter than half a target duration has one rate.
    Ok(Rates { peak_bps: peaks.reduce(f64::max).unwrap_or(average_bps), average_bps })
}
