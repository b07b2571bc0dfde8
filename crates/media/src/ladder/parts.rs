//! Parts of a ladder, made by different processes: where all of them begin, and the pictures of some GOPs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use flame_media_child::protocol::{Agreed, GopRange, LadderPlan};
use gstreamer::{self as gst, prelude::*};

use super::{bus, check, chunk, chunk::Rung, cut::Cut, feed, graph, initialise, play, track_file};
use crate::fault::MediaError;

/// How often is looked whether the tracks have agreed.
const LOOK_EVERY_MS: u64 = 20;
/// A source whose streams have not begun after this long is not made in parts.
const AGREEING_MAX: Duration = Duration::from_secs(120);

/// Some GOPs of a ladder's pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    /// Pictures of each rung.
    pub pictures: u64,
    /// Length of each rung's file, in the plan's order.
    pub sizes_bytes: Vec<u64>,
}

/// Finds where the tracks of `plan` begin: its smallest rung and its sounds are made until that is known, and no longer. Works in the
/// existing folder `output_dir`.
///
/// # Errors
/// [`MediaError`] in people's words: also where keyframes of the source lie so far apart that each part would decode much of the others.
pub fn agree(input: &Path, output_dir: &Path, plan: &LadderPlan) -> Result<Agreed, MediaError> {
    let smallest = plan.video.iter().min_by_key(|rung| u64::from(rung.width) * u64::from(rung.height)).cloned();
    let plan = LadderPlan { video: smallest.into_iter().collect(), thumbnails: None, agreed: None, ..plan.clone() };
    check(&plan)?;
    initialise()?;
    let agreed = begin(input, output_dir, &plan);
    let names = plan.video.iter().map(|rung| &rung.name).chain(plan.audio.iter().map(|rung| &rung.name));
    for path in names.flat_map(|name| track_file::paths(output_dir, name)) {
        // Mostly nothing was written so early; what cannot be removed goes with the job's folder.
        let _ = std::fs::remove_file(path);
    }
    let agreed = agreed?;
    // The middle stands for all.
    let gops = u32::try_from(plan.duration_ms / u64::from(plan.gop_ms.max(1))).unwrap_or(u32::MAX);
    let range = GopRange { from: gops / 2, to: None, buffer_percent: 50 };
    let cut = Cut::new(Duration::from_millis(plan.gop_ms.into()), agreed, range);
    if !plan.video.is_empty() && !feed::begins_near(input, &cut)? {
        return Err(MediaError::environment("the source has too few keyframes to be decoded in parts"));
    }
    Ok(agreed)
}

fn begin(input: &Path, output_dir: &Path, plan: &LadderPlan) -> Result<Agreed, MediaError> {
    let source = feed::open(input)?;
    let (pipeline, sources, shared) = graph::build(output_dir, plan, &[], None)?;
    let started = pipeline.set_state(gst::State::Playing);
    let feeder = started
        .map_err(|_| MediaError::environment("the media pipeline does not start"))
        .and_then(|_| feed::start(source, sources, std::sync::Arc::clone(&shared)));
    let bus = pipeline.bus();
    let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
    let deadline = Instant::now() + AGREEING_MAX;
    let mut failed = None;
    while feeder.is_ok() && shared.timeline.settled(false).is_none() && shared.failure().is_none() {
        let wait = gst::ClockTime::from_mseconds(LOOK_EVERY_MS);
        let message = bus.as_ref().and_then(|bus| bus.timed_pop_filtered(wait, &kinds));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => failed = Some(bus::failure(error)),
            Some(gst::MessageView::Eos(_)) => break,
            _ if Instant::now() > deadline => {
                failed = Some(MediaError::environment("the streams of the source do not all begin"));
            }
            _ => continue,
        }
        break;
    }
    // Only a stopped pipeline lets go of its threads and files, and of the feeder.
    let stopped = pipeline.set_state(gst::State::Null);
    let fed = feeder?.join();
    if let Some(error) = shared.failure().or(failed) {
        return Err(error);
    }
    stopped.map_err(|_| MediaError::environment("the media pipeline does not stop"))?;
    fed.map_err(|_| MediaError::environment("the decoding thread panicked"))?;
    shared.agreed().ok_or_else(|| MediaError::input("no stream of the file can be decoded"))
}

/// Encodes the GOPs `range` of the pictures of `input`, a path or an `http://` URL, as `plan` says, into the existing folder
/// `output_dir`. Calls `on_progress` with 0 to 1.
///
/// # Errors
/// [`MediaError`] in people's words; nothing is left in `output_dir` then.
pub fn encode_chunk(
    input: &str,
    output_dir: &Path,
    plan: &LadderPlan,
    range: GopRange,
    on_progress: &mut dyn FnMut(f64),
) -> Result<Chunked, MediaError> {
    check(plan)?;
    if plan.video.is_empty() || !plan.audio.is_empty() || plan.thumbnails.is_some() {
        return Err(MediaError::environment("the ladder's plan is wrong: chunks are of pictures, and of nothing else"));
    }
    initialise()?;
    let made = encode(input, output_dir, plan, range, on_progress);
    if made.is_err() {
        for rung in &plan.video {
            // Most failures come before the file.
            let _ = std::fs::remove_file(chunk::path(output_dir, &rung.name));
        }
    }
    made
}

fn encode(
    input: &str,
    output_dir: &Path,
    plan: &LadderPlan,
    range: GopRange,
    on_progress: &mut dyn FnMut(f64),
) -> Result<Chunked, MediaError> {
    let cut = Cut::of(plan, Some(range))?;
    let cut = cut.ok_or_else(|| MediaError::environment("a chunk has no range"))?;
    let source = feed::open_at(input, &cut)?;
    let share = Share::of(plan, range);
    let shared =
        play(source, output_dir, plan, &[], Some(range), &mut |fraction, _| on_progress(share.within(fraction)))?;
    let frames = shared.source_frames.load(std::sync::atomic::Ordering::Acquire);
    let mut sizes_bytes = Vec::new();
    for (rung, chunk) in plan.video.iter().zip(&shared.video) {
        let chunk = chunk.lock().expect("the pipeline has stopped").take();
        let Some(Rung::Chunk(chunk)) = chunk else {
            return Err(MediaError::environment(format!("nothing holds the pictures of {}", rung.name)));
        };
        let (pictures, size_bytes) = chunk.finish()?;
        if pictures != frames {
            let name = &rung.name;
            return Err(MediaError::environment(format!("the encoder of {name} gave {pictures} frames for {frames}")));
        }
        sizes_bytes.push(size_bytes);
    }
    Ok(Chunked { pictures: frames, sizes_bytes })
}

/// Which part of the whole a range is.
#[derive(Debug, Clone, Copy)]
struct Share {
    from: f64,
    to: f64,
}

// === impl Share ===

impl Share {
    fn of(plan: &LadderPlan, range: GopRange) -> Self {
        let gop = f64::from(plan.gop_ms) / (plan.duration_ms.max(1) as f64);
        let to = range.to.map_or(1.0, |to| f64::from(to) * gop);
        Self { from: f64::from(range.from) * gop, to: to.min(1.0) }
    }

    /// How much of the range is done when so much of the whole is behind.
    fn within(self, whole: f64) -> f64 {
        ((whole - self.from) / (self.to - self.from).max(f64::EPSILON)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_that_of_the_range() {
        let plan = LadderPlan {
            video: Vec::new(),
            audio: Vec::new(),
            gop_ms: 1000,
            segment_ms: 2000,
            video_timescale: 90_000,
            rotation_deg: 0,
            deinterlace: false,
            front: Vec::new(),
            frame_rate: None,
            duration_ms: 10_000,
            thumbnails: None,
            agreed: None,
        };
        let share = |from, to| Share::of(&plan, GopRange { from, to, buffer_percent: 50 });
        assert_eq!((share(2, Some(4)).within(0.1), share(2, Some(4)).within(0.4)), (0.0, 1.0));
        assert!((share(5, None).within(0.75) - 0.5).abs() < 1e-9);
        assert!(share(10, None).within(1.0) <= 1.0);
    }
}
