//! All judges, one after the other, on one presentation.

use anyhow::{Context, Result, ensure};
use url::Url;

use crate::measure::{self, Sound};
use crate::picture::psnr_db;
use crate::players::{gstreamer, hls_js};
use crate::renditions::{Rates, Renditions, rates};
use crate::source::Source;
use crate::verdict;

/// What the playlist may say above what is measured: two renditions seldom peak together.
const RATE_ABOVE_MAX: f64 = 1.1;
/// Rounding of `FRAME-RATE` (three decimal places), and of times in containers that count milliseconds.
const FRAME_RATE_OFF_MAX: f64 = 0.02;
/// How long a picture lasts where the source has only one.
const ONE_PICTURE_S: f64 = 1.0 / 25.0;

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
    let first_picture_s = judge_pictures(&renditions, source).await?;
    let sound = judge_sound(&renditions, source).await?;
    let mut sound_after_pictures_s = None;
    if let (Some(first_picture_s), Some(sound), Some(wanted_s)) =
        (first_picture_s, &sound, source.sound_after_pictures_s())
    {
        let found_s = sound.start_s - first_picture_s;
        let interval_s = source.picture_interval_s().unwrap_or(ONE_PICTURE_S);
        verdict::starts_together(wanted_s, found_s, interval_s).with_context(|| multivariant.to_string())?;
        sound_after_pictures_s = Some(found_s);
    }
    let sound_samples = sound.map(|sound| sound.samples);
    let gstreamer = judge_gstreamer(multivariant, source, sound_samples).await?;
    let top_psnr_db = judge_likeness(&renditions, source, psnr_bound_db).await?;
    let video_renditions = if source.pictures.is_some() { renditions.variants.len() } else { 0 };
    Ok(Report { video_renditions, top_psnr_db, sound_samples, sound_after_pictures_s, gstreamer })
}

/// Every variant decodes, holds every picture at its time, and can be changed for another at its key frames.
/// Returns when the first picture is shown.
async fn judge_pictures(renditions: &Renditions, source: &Source) -> Result<Option<f64>> {
    let Some(wanted) = &source.pictures else { return Ok(None) };
    let mut first: Option<(f64, Vec<f64>)> = None;
    for variant in &renditions.variants {
        let url = variant.url.as_str();
        measure::decodes(url).await?;
        let found = measure::pictures(url).await?.with_context(|| format!("{url} has no pictures"))?;
        verdict::same_pictures(wanted, &found).with_context(|| url.to_owned())?;
        let key_frames_s = measure::key_frames_s(url).await?;
        match &first {
            Some((_, first_s)) => verdict::same_key_frames(first_s, &key_frames_s).with_context(|| url.to_owned())?,
            None => first = Some((found.times_s[0], key_frames_s)),
        }
    }
    Ok(first.map(|(start_s, _)| start_s))
}

/// GStreamer plays the MPD of the same presentation to its end, with every picture and as much sound. `sound_samples` is what
/// was played of the playlists ([`Report::sound_samples`]).
///
/// # Errors
/// The first objection.
pub async fn judge_dash(manifest: &Url, source: &Source, sound_samples: Option<u64>) -> Result<gstreamer::Shown> {
    judge_gstreamer(manifest, source, sound_samples).await
}

/// What the multivariant playlist says of each variant is what its segments, and the source's pictures, come to. Apart from
/// [`judge`]: packagers that were told a rate say that one.
///
/// # Errors
/// The first variant of which something else is said.
pub async fn rates_are_measured(multivariant: &Url, source: &Source) -> Result<()> {
    let renditions = Renditions::fetch(multivariant).await?;
    let mut sound = Rates::default();
    for url in &renditions.audio {
        let Rates { peak_bps, average_bps } = rates(url).await?;
        sound = Rates { peak_bps: sound.peak_bps.max(peak_bps), average_bps: sound.average_bps.max(average_bps) };
    }
    #[expect(clippy::cast_precision_loss, reason = "nobody streams 2^52 bits per second")]
    let said = |bps: u64| bps as f64;
    for variant in &renditions.variants {
        let (url, own) = (&variant.url, rates(&variant.url).await?);
        // Sound alone is a variant, and a rendition, too.
        let sound = if renditions.audio.contains(url) { Rates::default() } else { sound };
        let average_bps = variant.average_bandwidth_bps.with_context(|| format!("{url} has no AVERAGE-BANDWIDTH"))?;
        for (word, said, own_bps, sound_bps) in [
            ("BANDWIDTH", said(variant.bandwidth_bps), own.peak_bps, sound.peak_bps),
            ("AVERAGE-BANDWIDTH", said(average_bps), own.average_bps, sound.average_bps),
        ] {
            let whole_bps = own_bps + sound_bps;
            let is_so = said * RATE_ABOVE_MAX >= whole_bps && said <= whole_bps * RATE_ABOVE_MAX;
            ensure!(is_so, "{url}: {word} is {said:.0}, its segments and those of its sound come to {whole_bps:.0}");
        }
        // An interval that changes has no rate to be held against.
        let constant = source.pictures.as_ref().filter(|pictures| verdict::is_constant(&pictures.times_s));
        if let (Some(_), Some(interval_s)) = (constant, source.picture_interval_s()) {
            let rate = variant.frame_rate.with_context(|| format!("{url} has no FRAME-RATE"))?;
            let found = 1.0 / interval_s;
            ensure!(
                (rate / found - 1.0).abs() <= FRAME_RATE_OFF_MAX,
                "{url}: FRAME-RATE is {rate}, the source has {found:.3}"
            );
        }
    }
    Ok(())
}

/// Every rendition with sound decodes and is as long as the source. Returns the last one's measures.
async fn judge_sound(renditions: &Renditions, source: &Source) -> Result<Option<Sound>> {
    let Some(wanted) = &source.sound else {
        ensure!(renditions.audio.is_empty(), "the source is silent, and sound is offered: {:?}", renditions.audio);
        return Ok(None);
    };
    // Renditions of their own, else the sound lies inside the variants.
    let own = !renditions.audio.is_empty();
    let inside = renditions.variants.iter().map(|variant| &variant.url).filter(|_| !own);
    let mut sound = None;
    for url in renditions.audio.iter().chain(inside) {
        measure::decodes(url.as_str()).await?;
        let found = measure::sound(url.as_str()).await?.with_context(|| format!("{url} has no sound"))?;
        verdict::same_length(wanted, &found).with_context(|| url.to_string())?;
        sound = Some(found);
    }
    Ok(sound)
}

/// GStreamer shows what FFmpeg decodes, no more and no less.
async fn judge_gstreamer(multivariant: &Url, source: &Source, sound_samples: Option<u64>) -> Result<gstreamer::Shown> {
    let shown = gstreamer::plays(multivariant.as_str()).await?;
    let wanted_pictures = source.pictures.as_ref().map_or(0, |pictures| pictures.times_s.len());
    ensure!(
        usize::try_from(shown.pictures)? == wanted_pictures,
        "GStreamer showed {} pictures of {multivariant}, the source has {wanted_pictures}",
        shown.pictures
    );
    ensure!(
        shown.samples.abs_diff(sound_samples.unwrap_or(0)) <= verdict::AAC_FRAME_SAMPLES,
        "GStreamer played {} samples of sound of {multivariant}, FFmpeg {sound_samples:?}",
        shown.samples
    );
    Ok(shown)
}

/// The top rendition looks like the source.
async fn judge_likeness(renditions: &Renditions, source: &Source, bound_db: f64) -> Result<Option<f64>> {
    let (Some(_), Some(top)) = (&source.pictures, renditions.top()) else { return Ok(None) };
    let size = top.size.with_context(|| format!("{} has no RESOLUTION", top.url))?;
    let psnr_db = psnr_db(&source.path, top.url.as_str(), size).await?;
    ensure!(psnr_db >= bound_db, "{}: PSNR {psnr_db:.2} dB is below {bound_db} dB", top.url);
    Ok(Some(psnr_db))
}

/// Plays the presentation in a browser, from an origin of its own and from the media's.
///
/// # Errors
/// The first objection.
pub async fn watch(multivariant: &Url) -> Result<hls_js::Seen> {
    hls_js::plays(multivariant.as_str(), hls_js::Page::MediaOrigin).await?;
    hls_js::plays(multivariant.as_str(), hls_js::Page::OwnOrigin).await
}
