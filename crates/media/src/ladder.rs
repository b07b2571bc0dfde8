//! A whole source as a ladder of CMAF tracks: decoded once, encoded many times.
//!
//! Every frame of the source is in every rung with its own timestamp; nothing is dropped, repeated or moved.
//! Sound is counted in samples. GOPs begin on the same frames in all rungs, segments at the same times in all
//! tracks. The plan says what to make; this module never decides about renditions.

mod audio_track;
mod buffer;
mod bus;
mod chunk;
mod coder;
mod cut;
mod elements;
mod encoded;
mod feed;
mod graph;
mod grid;
mod join;
mod loudness;
mod parts;
mod thumbnails;
mod timeline;
mod track_file;
mod video_track;

use std::{
    path::Path,
    sync::{Arc, Once, atomic::Ordering},
    time::Duration,
};

use ffmpeg_next::format;
use flame_api::media::{SoundRole, Thumbnails, Track, TrackKind};
use flame_media_child::protocol::{Agreed, GopRange, LadderPlan, ThumbnailPlan};
use gstreamer::{self as gst, prelude::*};

pub use self::join::{Joined, join};
pub use self::parts::{Chunked, agree, encode_chunk};
use self::{chunk::Rung, graph::Shared, track_file::WrittenTrack};
use crate::{fault::MediaError, scale};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How much of the whole the metering of loudness is taken for.
const METERING_SHARE: f64 = 0.05;
/// A source that ends this much, and this part, before its promised end is cut off.
const MISSING_MS: u64 = 500;
const MISSING_PERCENT: u64 = 5;

/// What a ladder came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    /// The tracks written, in the order of the plan, video first.
    pub tracks: Vec<Track>,
    /// Frames of video that the source gave.
    pub source_frames: u64,
    /// Audio samples per channel that the source gave for each audio track, at the track's rate.
    pub source_audio_samples: Vec<u64>,
    /// The thumbnails written.
    pub thumbnails: Option<Thumbnails>,
    /// Where the tracks begin; what is made with it later goes with them.
    pub agreed: Option<Agreed>,
}

/// Encodes `input` as `plan` says into the existing folder `output_dir`. Calls `on_progress` with 0 to 1 of the whole,
/// and of each track.
///
/// # Errors
/// [`MediaError`] in people's words; nothing is left in `output_dir` then.
pub fn encode(
    input: &Path,
    output_dir: &Path,
    plan: &LadderPlan,
    on_progress: &mut dyn FnMut(f64, Vec<f64>),
) -> Result<Ladder, MediaError> {
    check(plan)?;
    initialise()?;
    let result = run(input, output_dir, plan, on_progress);
    if result.is_err() {
        let names = plan.video.iter().map(|rung| &rung.name).chain(plan.audio.iter().map(|rung| &rung.name));
        for path in names.flat_map(|name| track_file::paths(output_dir, name)) {
            // Most failures come before the file; one that cannot be removed goes with the job's folder.
            let _ = std::fs::remove_file(path);
        }
        let _ = std::fs::remove_dir_all(thumbnails::folder_in(output_dir));
    }
    result
}

/// Makes one of each element that a ladder can need. Says what was found, for people.
///
/// # Errors
/// The first element that is missing, with the package that has it.
pub fn examine() -> Result<String, MediaError> {
    initialise()?;
    elements::examine()?;
    Ok(format!("H.264 (x264enc) and AAC (avenc_aac); {}", versions()))
}

/// Those of GStreamer's elements, and of FFmpeg's encoders, that are installed.
///
/// # Errors
/// GStreamer does not start.
pub fn installed(mut names: Vec<String>) -> Result<Vec<String>, MediaError> {
    initialise()?;
    names.retain(|name| gst::ElementFactory::find(name).is_some() || coder::is_installed(name));
    Ok(names)
}

/// Versions of the libraries, for people.
#[must_use]
pub fn versions() -> String {
    let (major, minor, micro, _) = gst::version();
    let ffmpeg = format::version();
    format!(
        "GStreamer {major}.{minor}.{micro}, libavformat {}.{}.{}",
        ffmpeg >> 16,
        (ffmpeg >> 8) & 0xff,
        ffmpeg & 0xff
    )
}

fn initialise() -> Result<(), MediaError> {
    static SCALER: Once = Once::new();
    gst::init().map_err(|error| MediaError::environment(format!("GStreamer does not start: {error}")))?;
    let mut registered = Ok(());
    SCALER.call_once(|| registered = scale::register());
    registered.map_err(|error| MediaError::environment(format!("the scaler cannot be registered: {error}")))
}

fn check(plan: &LadderPlan) -> Result<(), MediaError> {
    let wrong = |what: &str| Err(MediaError::environment(format!("the ladder's plan is wrong: {what}")));
    if plan.video.is_empty() && plan.audio.is_empty() && plan.thumbnails.is_none() {
        return wrong("it makes nothing");
    }
    if plan.gop_ms == 0 || plan.segment_ms == 0 || !plan.segment_ms.is_multiple_of(plan.gop_ms) {
        return wrong("a segment must be a whole number of GOPs");
    }
    if plan.video_timescale == 0 || plan.video_timescale > 1_000_000_000 {
        return wrong("the timescale must lie between 1 and 1,000,000,000");
    }
    if plan.video.iter().any(|rung| rung.width % 2 + rung.height % 2 > 0 || rung.width * rung.height == 0) {
        return wrong("sizes must be even and above 0");
    }
    let is_empty = |plan: &ThumbnailPlan| {
        plan.interval_ms == 0 || plan.tiles() == 0 || plan.width == 0 || plan.height == 0 || plan.sheets_max == 0
    };
    if plan.thumbnails.as_ref().is_some_and(is_empty) {
        return wrong("thumbnails must have a size, an interval and a sheet");
    }
    let names: Vec<&str> = plan
        .video
        .iter()
        .map(|rung| rung.name.as_str())
        .chain(plan.audio.iter().map(|rung| rung.name.as_str()))
        .collect();
    let plain = |name: &str| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
    };
    if !names.iter().all(|name| plain(name)) {
        return wrong("a track's name may have letters, digits, - and _ only");
    }
    if (1..names.len()).any(|n| names[..n].contains(&names[n])) {
        return wrong("two tracks have the same name");
    }
    Ok(())
}

fn run(
    input: &Path,
    output_dir: &Path,
    plan: &LadderPlan,
    on_progress: &mut dyn FnMut(f64, Vec<f64>),
) -> Result<Ladder, MediaError> {
    // Metering is a pass of its own, a short one.
    let meters = plan.audio.iter().any(|rung| rung.loudness.is_some());
    let metering = if meters { METERING_SHARE } else { 0.0 };
    let tracks = plan.video.len() + plan.audio.len();
    let gains_db =
        loudness::gains_db(input, plan, &mut |fraction| on_progress(fraction * metering, vec![0.0; tracks]))?;
    let on_progress = &mut |fraction, parts| on_progress(metering + fraction * (1.0 - metering), parts);
    let source = feed::open(input)?;
    let shared = play(source, output_dir, plan, &gains_db, None, on_progress)?;
    finish(&shared, plan)
}

/// Plays the source through the pipeline of `plan`, to its end; of a range of GOPs there are chunks.
fn play(
    source: format::context::Input,
    output_dir: &Path,
    plan: &LadderPlan,
    gains_db: &[Option<f64>],
    range: Option<GopRange>,
    on_progress: &mut dyn FnMut(f64, Vec<f64>),
) -> Result<Arc<Shared>, MediaError> {
    let (pipeline, sources, shared) = graph::build(output_dir, plan, gains_db, range)?;
    let started = pipeline.set_state(gst::State::Playing);
    let feeder = started
        .map_err(|_| MediaError::environment("the media pipeline does not start"))
        .and_then(|_| feed::start(source, sources, Arc::clone(&shared)));
    let watched = feeder.map(|feeder| (watch(&pipeline, &shared, plan, on_progress), feeder));
    // Also after a failure: only a stopped pipeline lets go of its threads and files, and of the feeder.
    let stopped = pipeline.set_state(gst::State::Null);
    let (watched, feeder) = watched?;
    let fed = feeder.join();
    if let Some(error) = shared.failure() {
        return Err(error);
    }
    watched?;
    stopped.map_err(|_| MediaError::environment("the media pipeline does not stop"))?;
    fed.map_err(|_| MediaError::environment("the decoding thread panicked"))?;
    Ok(shared)
}

/// Follows the pipeline to its end.
fn watch(
    pipeline: &gst::Pipeline,
    shared: &Shared,
    plan: &LadderPlan,
    on_progress: &mut dyn FnMut(f64, Vec<f64>),
) -> Result<(), MediaError> {
    if plan.video.is_empty() && plan.audio.is_empty() {
        // Only thumbnails: the decoding thread is all there is.
        return Ok(());
    }
    let bus = pipeline.bus().ok_or_else(|| MediaError::environment("the media pipeline has no bus"))?;
    let mut said = 0.0;
    let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
    let mut next_tick = std::time::Instant::now() + TICK;
    loop {
        let message = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(100), &kinds);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => return Err(bus::failure(error)),
            Some(gst::MessageView::Eos(_)) => return Ok(()),
            _ => {}
        }
        if let Some(error) = shared.failure() {
            return Err(error);
        }
        if std::time::Instant::now() >= next_tick {
            next_tick = std::time::Instant::now() + TICK;
            let fraction = fraction(shared.position_ns(), plan.duration_ms);
            if fraction > said {
                said = fraction;
                on_progress(fraction, shared.parts(plan.duration_ms));
            }
        }
    }
}

/// Never quite 1: that is what the final answer says.
fn fraction(position_ns: u64, duration_ms: u64) -> f64 {
    let position_ms = position_ns / 1_000_000;
    if duration_ms == 0 { 0.0 } else { (position_ms as f64 / duration_ms as f64).min(0.99) }
}

fn finish(shared: &Shared, plan: &LadderPlan) -> Result<Ladder, MediaError> {
    let source_frames = shared.source_frames.load(Ordering::Acquire);
    let source_audio_samples = shared.audio_feeds.iter().map(|feed| feed.samples.load(Ordering::Acquire)).collect();
    let absent = |kind: &str| {
        MediaError::input(format!("the {kind} of the file cannot be decoded: not one sample of it came out"))
    };
    let mut tracks = Vec::new();
    for (rung, track) in plan.video.iter().zip(&shared.video) {
        let track = track.lock().expect("the pipeline has stopped").take();
        let Some(Rung::Track(track)) = track else { return Err(absent("video")) };
        let (written, pictures) = track.finish()?.ok_or_else(|| absent("video"))?;
        if pictures != source_frames {
            return Err(MediaError::environment(format!(
                "the encoder of {} gave {pictures} frames for {source_frames}",
                rung.name
            )));
        }
        tracks.push(Track {
            width: Some(rung.width),
            height: Some(rung.height),
            frame_rate: plan.track_frame_rate(),
            ..measured(&rung.name, TrackKind::Video, written)
        });
    }
    for (rung, track) in plan.audio.iter().zip(&shared.audio) {
        let track = track.lock().expect("the pipeline has stopped").take();
        let written = track.map(audio_track::AudioTrack::finish).transpose()?.flatten();
        tracks.push(Track {
            channels: Some(rung.channels),
            sample_rate_hz: Some(rung.sample_rate_hz),
            language: rung.language.clone(),
            role: rung.role,
            title: rung.title.clone(),
            source_sound: Some(rung.sound),
            ..measured(&rung.name, TrackKind::Audio, written.ok_or_else(|| absent("audio"))?)
        });
    }
    complete(shared, plan)?;
    let thumbnails = shared.thumbnails.lock().expect("the pipeline has stopped").take();
    Ok(Ladder { tracks, source_frames, source_audio_samples, thumbnails, agreed: shared.agreed() })
}

/// Fails if the source ended long before it promised to. A part of a version is not asked: what was made before has shown that the
/// source is whole, and one sound may be shorter than all.
fn complete(shared: &Shared, plan: &LadderPlan) -> Result<(), MediaError> {
    if plan.agreed.is_some() {
        return Ok(());
    }
    let zero_ns = shared.timeline.settled(true).map_or(0, |settled| settled.zero_ns);
    let given_ms = shared.end_ns().saturating_sub(zero_ns) / 1_000_000;
    let missing_ms = plan.duration_ms.saturating_sub(given_ms);
    if missing_ms > MISSING_MS && missing_ms * 100 > plan.duration_ms * MISSING_PERCENT {
        return Err(MediaError::input(format!(
            "the file is cut off: it promises {}.{:03} s and ends after {}.{:03} s",
            plan.duration_ms / 1000,
            plan.duration_ms % 1000,
            given_ms / 1000,
            given_ms % 1000,
        )));
    }
    Ok(())
}

fn measured(name: &str, kind: TrackKind, written: WrittenTrack) -> Track {
    let WrittenTrack { codec, figures } = written;
    Track {
        name: name.to_owned(),
        kind,
        codec,
        width: None,
        height: None,
        frame_rate: None,
        channels: None,
        sample_rate_hz: None,
        language: None,
        role: SoundRole::Main,
        title: None,
        source_sound: None,
        duration_ms: figures.duration_ms,
        samples: figures.samples,
        average_bandwidth_bps: figures.average_bandwidth_bps,
        peak_bandwidth_bps: figures.peak_bandwidth_bps,
        size_bytes: figures.size_bytes,
    }
}
