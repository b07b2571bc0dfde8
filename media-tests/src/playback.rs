//! All judges, one after the other, on one presentation.

use anyhow::{Context, Result, ensure};
use url::Url;

use crate::measure;
use crate::picture::psnr_db;
use crate::players::{gstreamer, hls_js};
use crate::renditions::Renditions;
use crate::source::Source;
use crate::verdict;

/// What the judges measured.
#[derive(Debug, Clone)]
pub struct Report {
    /// Video renditions that hold every picture.
    pub video_renditions: usize,
    /// PSNR of the top rendition against the source, dB; `None` without pictures.
    pub top_psnr_db: Option<f64>,
    /// Samples of sound that were played; `None` without sound.
    pub sound_samples: Option<u64>,
    /// Time in seconds from the first picture to the first sound; `None` unless there are both.
    pub sound_after_pictures_s: Option<f64>,
    /// What GStreamer showed.
    pub gstreamer: gstreamer::Shown,
}

/// Judges everything but the browser: decoding, pictures, times, sound, synchrony, GStreamer, PSNR.
///
/// # Errors
/// The first objection, naming the rendition.
pub async fn judge(multivariant: &Url, source: &Source, psnr_bound_db: f64) -> Result<Report> {
    let renditions = Renditions::fetch(multivariant).await?;
    let mut starts_s = None;
    let mut video_renditions = 0;
    if let Some(wanted) = &source.pictures {
        let mut first_key_frames_s: Option<Vec<f64>> = None;
        for variant in &renditions.variants {
            let url = variant.url.as_str();
            measure::decodes(url).await?;
            let found = measure::pictures(url).await?.with_context(|| format!("{url} has no pictures"))?;
            verdict::same_pictures(wanted, &found).with_context(|| url.to_owned())?;
            starts_s = starts_s.or(found.times_s.first().copied());
            let key_frames_s = measure::key_frames_s(url).await?;
            match &first_key_frames_s {
                Some(first_s) => verdict::same_key_frames(first_s, &key_frames_s).with_context(|| url.to_owned())?,
                None => first_key_frames_s = Some(key_frames_s),
            }
            video_renditions += 1;
        }
    }
    let mut sound_samples = None;
    let mut sound_after_pictures_s = None;
    if let Some(wanted) = &source.sound {
        // Renditions of their own, else the sound lies inside the variants.
        let inside = renditions.variants.iter().map(|variant| &variant.url);
        let urls: Vec<&Url> =
            if renditions.audio.is_empty() { inside.collect() } else { renditions.audio.iter().collect() };
        for url in urls {
            measure::decodes(url.as_str()).await?;
            let found = measure::sound(url.as_str()).await?.with_context(|| format!("{url} has no sound"))?;
            verdict::same_length(wanted, &found).with_context(|| url.to_string())?;
            sound_samples = Some(found.samples);
            if let (Some(start_s), Some(distance_s)) = (starts_s, source.sound_after_pictures_s()) {
                let interval_s = source.picture_interval_s().unwrap_or(1.0 / 25.0);
                verdict::starts_together(distance_s, found.start_s - start_s, interval_s)
                    .with_context(|| url.to_string())?;
                sound_after_pictures_s = Some(found.start_s - start_s);
            }
        }
    } else {
        ensure!(renditions.audio.is_empty(), "the source is silent, {multivariant} offers sound");
    }
    let shown = gstreamer::plays(multivariant.as_str()).await?;
    let wanted_pictures = source.pictures.as_ref().map_or(0, |pictures| pictures.times_s.len());
    ensure!(
        usize::try_from(shown.pictures)? == wanted_pictures,
        "GStreamer showed {} pictures of {multivariant}, the source has {wanted_pictures}",
        shown.pictures
    );
    ensure!(
        Some(shown.samples).filter(|samples| *samples > 0) == sound_samples,
        "GStreamer played {} samples of sound of {multivariant}, FFmpeg {sound_samples:?}",
        shown.samples
    );
    let top_psnr_db = match (&source.pictures, renditions.top()) {
        (Some(_), Some(top)) => {
            let size = top.size.with_context(|| format!("{} has no RESOLUTION", top.url))?;
            let psnr = psnr_db(&source.path, top.url.as_str(), size).await?;
            ensure!(psnr >= psnr_bound_db, "{}: PSNR {psnr:.2} dB is below {psnr_bound_db} dB", top.url);
            Some(psnr)
        }
        (None, _) | (_, None) => None,
    };
    Ok(Report { video_renditions, top_psnr_db, sound_samples, sound_after_pictures_s, gstreamer: shown })
}

/// Plays the presentation in a browser, from an origin of its own and from the media's.
///
/// # Errors
/// The first objection.
pub async fn watch(multivariant: &Url) -> Result<hls_js::Seen> {
    hls_js::plays(multivariant.as_str(), hls_js::Page::MediaOrigin).await?;
    hls_js::plays(multivariant.as_str(), hls_js::Page::OwnOrigin).await
}
