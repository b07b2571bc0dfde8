//! The pictures of a job in chunks, each encoded by whichever worker takes it. Pure: what waits, and for whom, is in the store.
//!
//! A chunk is some GOPs of all rungs of a job that are to be encoded: they share one decoder. It is addressed by what it is made of
//! ([`Key::of_chunk`]), so that a job which goes on after a crash, or another one that wants the same, finds what was made. Chunks are for
//! what comes out the same in parts as in one piece: H.264 by x264 at constant quality, of containers in which a keyframe is found
//! by its time. Everything else is encoded in one piece.

use std::time::Duration;

use flame_api::media::{Probe, Track};
use flame_media_child::protocol::{Agreed, GopRange, LadderPlan, PictureStep, Unkept};
use serde::{Deserialize, Serialize};

use crate::reuse::Key;

/// Most chunks of a job; a longer source has longer ones.
pub const CHUNKS_MAX: u32 = 1000;
/// How full the buffer is where a source begins, percent: x264's own.
const FULL_PERCENT: u8 = 90;
/// How full it is taken to be where any other chunk begins: pictures mostly leave more, and one that finds less is encoded again.
const USUAL_PERCENT: u8 = 50;
/// A source that ends earlier than it promised by more than this, and by more than this share of it, is cut off: as a ladder in one piece
/// judges it.
const MISSING_MS: u64 = 500;
const MISSING_PERCENT: u64 = 5;

/// What whoever takes a chunk has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Key of the source in the object store.
    pub source_key: String,
    /// The rungs, and where their tracks begin.
    pub plan: LadderPlan,
    /// Which GOPs.
    pub range: GopRange,
}

/// A ladder, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Apart {
    /// Its pictures, with where they begin.
    pub pictures: LadderPlan,
    /// What is not encoded in chunks: sound, which is never cut, and thumbnails.
    pub rest: LadderPlan,
}

/// Divides the pictures of `plan` into chunks of about `length`. `None` where they are to be encoded in one piece.
#[must_use]
pub fn divide(plan: &LadderPlan, probe: &Probe, length: Duration) -> Option<Vec<GopRange>> {
    if length.is_zero() || plan.gop_ms == 0 || !is_the_same_in_parts(plan) || !is_found_by_time(probe) {
        return None;
    }
    let gops = u32::try_from(plan.duration_ms.div_ceil(plan.gop_ms.into())).ok()?;
    let of_length = u32::try_from(length.as_millis() / u128::from(plan.gop_ms)).unwrap_or(u32::MAX).max(1);
    let each = of_length.max(gops.div_ceil(CHUNKS_MAX));
    // What is left over goes with the last one.
    let chunks = gops / each;
    let ranges = (0..chunks).map(|n| GopRange {
        from: n * each,
        to: (n + 1 < chunks).then_some((n + 1) * each),
        buffer_percent: if n == 0 { FULL_PERCENT } else { USUAL_PERCENT },
    });
    (chunks >= 2).then(|| ranges.collect())
}

/// Whether parts of the pictures can be encoded by themselves, with the same outcome.
fn is_the_same_in_parts(plan: &LadderPlan) -> bool {
    // Both look at pictures before the one that they make.
    let looks_back = plan.deinterlace || plan.front.iter().any(|step| matches!(step, PictureStep::FrameRate(_)));
    // A mean is one of the whole.
    let is_constant = plan.video.iter().all(|rung| rung.encoder == "x264" && rung.mean_bitrate_bps.is_none());
    !plan.video.is_empty() && is_constant && !looks_back
}

fn is_found_by_time(probe: &Probe) -> bool {
    probe.container.split(',').any(|name| matches!(name, "mp4" | "matroska"))
}

/// Ranges with which those that did not keep their rung's cap begin with what they really find.
pub fn adapt(ranges: &mut [GopRange], unkept: &[Unkept]) {
    for Unkept { chunk, found_percent } in unkept {
        if let Some(range) = usize::try_from(*chunk).ok().and_then(|n| ranges.get_mut(n)) {
            range.buffer_percent = *found_percent;
        }
    }
}

/// How long the pictures of `range` last at most, milliseconds.
#[must_use]
pub fn duration_ms(plan: &LadderPlan, range: GopRange) -> u64 {
    let at = |gop: u32| u64::from(gop) * u64::from(plan.gop_ms);
    range.to.map_or(plan.duration_ms, at).saturating_sub(at(range.from))
}

/// Why the source of a whole version was cut off, if it was; `tracks` are all that was made of it.
#[must_use]
pub fn cut_off(apart: &Apart, agreed: Agreed, tracks: &[Track]) -> Option<String> {
    let pictures = &apart.pictures;
    let late_ms = agreed.grid_ns.saturating_sub(agreed.zero_ns) / 1_000_000;
    let is_picture = |track: &Track| pictures.video.iter().any(|rung| rung.name == track.name);
    let ends = tracks.iter().map(|track| track.duration_ms + if is_picture(track) { late_ms } else { 0 });
    let given_ms = ends.max().unwrap_or(0);
    let missing_ms = pictures.duration_ms.saturating_sub(given_ms);
    let is_cut_off = missing_ms > MISSING_MS && missing_ms * 100 > pictures.duration_ms * MISSING_PERCENT;
    is_cut_off.then(|| {
        let promised_ms = pictures.duration_ms;
        format!("the file is cut off: it promises {promised_ms} ms and ends after {given_ms} ms")
    })
}

/// What the keys of all objects of a chunk begin with that was made under the lease of this number: two workers, of which one was taken
/// for dead, never write the same.
#[must_use]
pub fn prefix(tenant: &str, key: &Key, lease: u64) -> String {
    format!("{tenant}/chunks/{}/{lease}/", key.as_str())
}

/// File name of a rung's chunk, in the store and on the way there.
#[must_use]
pub fn file_name(track: &str) -> String {
    format!("{track}.chunk")
}

// === impl Apart ===

impl Apart {
    /// Takes `plan` apart, whose tracks begin where was `agreed`.
    #[must_use]
    pub fn of(plan: &LadderPlan, agreed: Agreed) -> Self {
        let agreed = Some(agreed);
        Self {
            pictures: LadderPlan { audio: Vec::new(), thumbnails: None, agreed, ..plan.clone() },
            rest: LadderPlan { video: Vec::new(), agreed, ..plan.clone() },
        }
    }

    /// What is told to whoever encodes a chunk. Segments are a matter of the join.
    #[must_use]
    pub fn of_chunk(&self) -> LadderPlan {
        LadderPlan { segment_ms: self.pictures.gop_ms, ..self.pictures.clone() }
    }
}

#[cfg(test)]
mod tests;
