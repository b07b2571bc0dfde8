//! Chunks of a ladder, one behind the other, as the tracks that they are parts of.
//!
//! The pictures pass through the writer that those of a ladder in one piece pass through, so times, segments and index are the same.
//! Nothing is encoded here.

use std::{path::Path, sync::Arc};

use flame_api::media::{Track, TrackKind};
use flame_cmaf::{Colour, PictureCodec};
use flame_media_child::protocol::{ChunkPlace, LadderPlan, Unkept, VideoRung};

use super::{
    buffer::Follower,
    check,
    chunk::Reader,
    elements::VBV_BUFFER_MS,
    measured,
    timeline::{Settled, Timeline},
    track_file,
    video_track::{VideoTrack, frame_duration_ns},
};
use crate::fault::MediaError;

/// What chunks came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The tracks written, in the order of the plan.
    pub tracks: Vec<Track>,
    /// Chunks that need more than the buffer has where they begin, in their order.
    pub unkept: Vec<Unkept>,
}

/// Puts `chunks` of the rungs of `plan` together, in the existing folder `output_dir`.
///
/// # Errors
/// [`MediaError`] in people's words: a chunk is not whole, or does not go with the others. Nothing is left in `output_dir` then.
pub fn join(chunks: &[ChunkPlace], output_dir: &Path, plan: &LadderPlan) -> Result<Joined, MediaError> {
    check(plan)?;
    let joined = join_all(chunks, output_dir, plan);
    if joined.is_err() {
        for path in plan.video.iter().flat_map(|rung| track_file::paths(output_dir, &rung.name)) {
            // One that cannot be removed goes with the job's folder.
            let _ = std::fs::remove_file(path);
        }
    }
    joined
}

fn join_all(chunks: &[ChunkPlace], output_dir: &Path, plan: &LadderPlan) -> Result<Joined, MediaError> {
    let agreed = plan.agreed.ok_or_else(|| MediaError::environment("the chunks do not say where they begin"))?;
    let settled = Settled { zero_ns: agreed.zero_ns, grid_ns: agreed.grid_ns };
    let mut joined = Joined { tracks: Vec::new(), unkept: Vec::new() };
    for rung in &plan.video {
        let timeline = Arc::new(Timeline::after(true, 0, settled));
        let track = VideoTrack::of(output_dir, plan, rung, timeline)?;
        let (track, unkept) = join_rung(chunks, plan, rung, track)?;
        joined.tracks.push(track);
        for found in unkept {
            // The emptiest buffer of all rungs decides: they are encoded together.
            match joined.unkept.iter_mut().find(|known| known.chunk == found.chunk) {
                Some(known) => known.found_percent = known.found_percent.min(found.found_percent),
                None => joined.unkept.push(found),
            }
        }
    }
    joined.unkept.sort_unstable_by_key(|unkept| unkept.chunk);
    Ok(joined)
}

fn join_rung(
    chunks: &[ChunkPlace],
    plan: &LadderPlan,
    rung: &VideoRung,
    mut track: VideoTrack,
) -> Result<(Track, Vec<Unkept>), MediaError> {
    let wrong = |n: usize, what: &str| {
        MediaError::environment(format!("chunk {n} of {} does not go with those before: {what}", rung.name))
    };
    // A mean has no cap that one who is told of a buffer could keep.
    let is_capped = rung.max_bitrate_bps > 0 && rung.mean_bitrate_bps.is_none();
    let mut follower = is_capped.then(|| Follower::new(rung.max_bitrate_bps, VBV_BUFFER_MS));
    let usual_ns = frame_duration_ns(plan);
    let mut latest_ns: Option<u64> = None;
    let mut known: Option<(PictureCodec, Option<Colour>)> = None;
    for (n, ChunkPlace { folder, range }) in chunks.iter().enumerate() {
        let mut reader = Reader::open(folder, &rung.name)?;
        if let Some(follower) = &mut follower {
            follower.begin(range.buffer_percent);
        }
        if let Some(codec) = reader.codec() {
            if known.is_none() {
                track.configure(codec.0.clone(), codec.1)?;
                known = Some(codec.clone());
            } else if known.as_ref() != Some(codec) {
                return Err(wrong(n, "its stream is configured otherwise"));
            }
        }
        let mut is_first = true;
        while let Some(picture) = reader.picture()? {
            if std::mem::take(&mut is_first) {
                if !picture.is_key {
                    return Err(wrong(n, "it does not begin with a keyframe"));
                }
                if latest_ns.is_some_and(|latest_ns| picture.running_ns <= latest_ns) {
                    return Err(wrong(n, "it begins before they end"));
                }
            }
            latest_ns = latest_ns.max(Some(picture.running_ns));
            if let Some(follower) = &mut follower {
                follower.picture(picture.data.len() as u64, picture.duration_ns.unwrap_or(usual_ns));
            }
            track.push(picture)?;
        }
    }
    let (written, _) = track
        .finish()?
        .ok_or_else(|| MediaError::input("the video of the file cannot be decoded: not one sample of it came out"))?;
    let track = Track {
        width: Some(rung.width),
        height: Some(rung.height),
        frame_rate: plan.track_frame_rate(),
        ..measured(&rung.name, TrackKind::Video, written)
    };
    Ok((track, follower.map_or_else(Vec::new, Follower::finish)))
}
