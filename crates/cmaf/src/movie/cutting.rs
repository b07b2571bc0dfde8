//! Cuts a track into segments, in the one walk over all its samples that also checks its tables.
//!
//! A segment begins with the first sync sample presented at or after each multiple of the target duration. Left out are
//! samples that nothing shown needs: in front those before the last sync sample that is shown at the edit's start or
//! earlier ([`AUDIO_PREROLL_MS`] earlier for sound, which decoders need to settle), and before the first sync sample at all;
//! at the end those that follow, as decoding goes, the last sample shown before the edit's end.
//!
//! *Times.* In what is written, composition offsets are never below 0 (see [`crate::timing`] for why): all are raised by the
//! lowest one, which the edit takes back. The first sample written is decoded at 0, later by the delay of the track.

use super::{
    edit::Edit,
    tables::{Found, Position, TableError, Tables},
};
use crate::{
    fragment::{Entry, Shape},
    writer::{SEGMENT_SAMPLES_MAX, SEGMENT_SIZE_MAX_BYTES},
};

/// How much sound before the edit's start is kept: 80 ms for Opus (RFC 7845 section 4.6), up to 120 ms for HE-AAC v2.
pub(crate) const AUDIO_PREROLL_MS: u32 = 250;

/// A segment: where the walk over its samples begins, and what the walk will find.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) position: Position,
    /// Media time at which the first sample is shown, ticks, of what is written.
    pub(crate) time_ticks: i64,
    pub(crate) duration_ticks: u64,
    /// With boxes.
    pub(crate) size_bytes: u64,
    pub(crate) samples: u32,
    /// Sync samples in all segments before.
    pub(crate) keyframe: u32,
    /// Whether a sample is shown before the first one.
    pub(crate) is_open: bool,
}

/// What is added to times of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    /// To decode times.
    pub(crate) decode_ticks: i64,
    /// To composition offsets.
    pub(crate) composition_ticks: i32,
    /// Media time of what is written that is presented at 0; not below 0.
    pub(crate) edit_media_time_ticks: i64,
}

/// A track, cut.
#[derive(Debug)]
pub(crate) struct Cuts {
    pub(crate) cuts: Vec<Cut>,
    pub(crate) shift: Shift,
    pub(crate) keyframes: u32,
    /// Media time of what is written at which the last sample ends.
    pub(crate) end_ticks: i64,
}

/// How to cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) timescale: u32,
    pub(crate) target_ms: u32,
    pub(crate) is_video: bool,
    pub(crate) edit: Edit,
    /// Segments that may still be made.
    pub(crate) segments_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    position: Position,
    pts_ticks: i64,
    shape: Shape,
    size_bytes: u64,
    keyframe: u32,
    is_open: bool,
}

#[derive(Debug)]
struct Walk {
    rules: Rules,
    composition_ticks: i32,
    cuts: Vec<Cut>,
    open: Option<Open>,
    /// Decode time of the first sample kept.
    base_ticks: i64,
    /// Presented time of the next cut.
    boundary_ticks: i64,
    keyframes: u32,
    end_ticks: i64,
    /// Whether anything kept is shown at the edit's start or later.
    shown: bool,
    /// The walk before the first of the samples that are behind the edit's end, so far.
    before_tail: Option<Before>,
}

#[derive(Debug, Clone, Copy)]
struct Before {
    cuts: usize,
    open: Option<Open>,
    keyframes: u32,
    end_ticks: i64,
}

/// Cuts the track that `tables` describe.
pub(crate) fn cut(tables: &Tables, rules: Rules) -> Result<Cuts, String> {
    let (low_ticks, high_ticks) = tables.composition_offsets();
    let composition_ticks = low_ticks.min(0).checked_neg().filter(|shift| shift.checked_add(high_ticks).is_some());
    let mut walk = Walk {
        rules,
        composition_ticks: composition_ticks.ok_or("its composition offsets are too large")?,
        cuts: Vec::new(),
        open: None,
        base_ticks: 0,
        boundary_ticks: 0,
        keyframes: 0,
        end_ticks: 0,
        shown: false,
        before_tail: None,
    };
    let told = |error: TableError| format!("its sample tables are not sound: {error}");
    let mut position = Position::default();
    loop {
        let at = position;
        let Some(found) = tables.next(&mut position).map_err(told)? else { break };
        walk.take(at, &found)?;
    }
    tables.check_end(&position).map_err(told)?;
    walk.finish()
}

// === impl Walk ===

impl Walk {
    #[inline]
    fn take(&mut self, at: Position, found: &Found) -> Result<(), String> {
        let edit = self.rules.edit;
        // Below 2^63: at most `SAMPLES_MAX` (2^25) samples of 2^32 ticks each.
        let dts_ticks = found.dts_ticks as i64;
        let pts_ticks = dts_ticks + i64::from(found.composition_offset_ticks);

        if found.is_sync && self.is_skipped_until(pts_ticks) {
            (self.open, self.keyframes, self.end_ticks) = (None, 0, i64::MIN);
            self.cuts.clear();
            self.base_ticks = dts_ticks;
        }
        if self.open.is_none() && !found.is_sync {
            return Ok(());
        }
        let is_behind = edit.end_ticks.is_some_and(|end| pts_ticks >= end);
        if !is_behind {
            self.before_tail = None;
        } else if self.before_tail.is_none() {
            let (open, keyframes, end_ticks) = (self.open, self.keyframes, self.end_ticks);
            self.before_tail = Some(Before { cuts: self.cuts.len(), open, keyframes, end_ticks });
        }
        let presented_ticks = pts_ticks - edit.media_time_ticks + edit.delay_ticks;
        let begins = self.open.is_none() || (found.is_sync && !is_behind && presented_ticks >= self.boundary_ticks);
        if begins {
            if let Some(open) = self.open.take() {
                self.close(&open, pts_ticks)?;
            }
            self.boundary_ticks = self.boundary_after(presented_ticks);
        }
        let keyframe = self.keyframes;
        let open = self.open.get_or_insert_with(|| Open {
            position: at,
            pts_ticks,
            shape: Shape::new(),
            size_bytes: 0,
            keyframe,
            is_open: false,
        });
        open.is_open |= pts_ticks < open.pts_ticks;
        open.size_bytes += u64::from(found.size_bytes);
        open.shape.add(&Entry {
            duration_ticks: found.delta_ticks,
            composition_offset_ticks: found.composition_offset_ticks + self.composition_ticks,
            is_sync: found.is_sync,
            size_bytes: found.size_bytes,
        });
        if open.size_bytes > SEGMENT_SIZE_MAX_BYTES || open.shape.samples() as usize > SEGMENT_SAMPLES_MAX {
            return Err("it has sync samples too seldom for segments that can be served".to_owned());
        }
        self.keyframes += u32::from(found.is_sync);
        self.shown |= pts_ticks >= edit.media_time_ticks;
        self.end_ticks = self.end_ticks.max(pts_ticks + i64::from(found.delta_ticks));
        Ok(())
    }

    /// Whether nothing before the sync sample shown at `pts_ticks` is needed.
    fn is_skipped_until(&self, pts_ticks: i64) -> bool {
        let preroll_ms = if self.rules.is_video { 0 } else { AUDIO_PREROLL_MS };
        let preroll_ticks = i64::from(preroll_ms) * i64::from(self.rules.timescale) / 1000;
        self.open.is_none() && self.cuts.is_empty()
            || !self.shown && pts_ticks + preroll_ticks <= self.rules.edit.media_time_ticks
    }

    /// The first multiple of the target duration after `presented_ticks`; what comes before 0 belongs to the first.
    fn boundary_after(&self, presented_ticks: i64) -> i64 {
        let target = i128::from(self.rules.target_ms) * i128::from(self.rules.timescale);
        let passed = i128::from(presented_ticks.max(0)) * 1000 / target;
        // Rounded up: a multiple that is no whole tick lies before the tick that follows.
        let ticks = ((passed + 1) * target + 999) / 1000;
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    fn close(&mut self, open: &Open, end_ticks: i64) -> Result<(), String> {
        if self.cuts.len() >= self.rules.segments_max {
            return Err("it would be cut into too many segments".to_owned());
        }
        self.cuts.push(Cut {
            position: open.position,
            time_ticks: open.pts_ticks,
            duration_ticks: u64::try_from(end_ticks - open.pts_ticks).unwrap_or(0).max(1),
            size_bytes: open.size_bytes + open.shape.head_size_bytes(),
            samples: open.shape.samples(),
            keyframe: open.keyframe,
            is_open: open.is_open,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Cuts, String> {
        if let Some(before) = self.before_tail.take() {
            self.cuts.truncate(before.cuts);
            (self.open, self.keyframes, self.end_ticks) = (before.open, before.keyframes, before.end_ticks);
        }
        let edit = self.rules.edit;
        let Some(open) = self.open.take() else {
            return Err("it has no sync sample that is shown".to_owned());
        };
        let end_ticks = edit.end_ticks.map_or(self.end_ticks, |end| end.min(self.end_ticks));
        if end_ticks <= edit.media_time_ticks {
            return Err("its edit list begins behind its last sample".to_owned());
        }
        self.close(&open, end_ticks)?;

        let raised_ticks = edit.media_time_ticks + i64::from(self.composition_ticks) - self.base_ticks;
        let shift = Shift {
            decode_ticks: edit.delay_ticks - self.base_ticks + (-raised_ticks).max(0),
            composition_ticks: self.composition_ticks,
            edit_media_time_ticks: raised_ticks.max(0),
        };
        let presentation_ticks = shift.decode_ticks + i64::from(shift.composition_ticks);
        for cut in &mut self.cuts {
            cut.time_ticks += presentation_ticks;
        }
        self.cuts.shrink_to_fit();
        Ok(Cuts { cuts: self.cuts, shift, keyframes: self.keyframes, end_ticks: end_ticks + presentation_ticks })
    }
}
