//! One live track: its segments and parts, from the oldest that a viewer can go back to up to what comes just now.
//!
//! Pure: it holds values, and is told what happened. What came once is not taken twice, numbers only grow, and a number
//! that was left out is a gap: so a door may send again what it does not know to have arrived.

mod gaps;
mod keyframes;

use std::collections::VecDeque;
use std::num::NonZeroU64;

use bytes::{Bytes, BytesMut};
use flame_cmaf::arriving::{Chunk, SYNC_SAMPLES_MAX};
use flame_playlist::{Content, Key, LiveMedia, LivePart, LiveSegment, Position, RenditionReport, Wait};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The most gaps that one segment may leave before it; who leaves out more than that has not left out segments.
const GAPS_MAX: u64 = 1_000;
/// The most that a track may be behind its channel: eleven days of segments of a second. What goes on then is another track.
const RUN_MAX: u64 = 1_000_000;
/// Segments that tell how far a track is.
const EDGE_SEGMENTS: usize = 3;
/// The most parts of a segment.
const PARTS_MAX: usize = 1_000;

/// A live track.
#[derive(Debug)]
pub(crate) struct Window {
    timescale: u32,
    part_target_ticks: u64,
    /// How long a segment is that never came, where nothing tells more.
    gap_ticks: u64,
    first_number: u64,
    discontinuity_sequence: u64,
    /// I-frames of segments that are forgotten.
    keyframes_before: u64,
    /// When the first segment of all began.
    origin_ticks: Option<u64>,
    segments: VecDeque<Segment>,
    /// What left the window before it was stored, with its numbers, oldest first.
    leaving: VecDeque<(u64, Segment)>,
    /// The init segment of what comes now, and whether what comes next does not go on from what came.
    init: u32,
    is_broken: bool,
    /// What has to be added to the time of segments that begin now, to have the wall's.
    wall_offset_ms: i64,
    is_over: bool,
    /// This process stops: another one goes on.
    is_shut: bool,
    /// How it goes out.
    key: Option<Key>,
    key_segments: Option<NonZeroU64>,
}

/// A segment.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) time_ticks: u64,
    pub(crate) duration_ticks: u64,
    pub(crate) init: u32,
    pub(crate) is_discontinuity: bool,
    /// What is to be added to its time to have the wall's: the clock of who sent it ran otherwise.
    pub(crate) wall_offset_ms: i64,
    pub(crate) state: State,
    /// How many numbers it stands for: 1, but for a run of gaps that has left the window.
    pub(crate) numbers: u64,
    pub(crate) size_bytes: u64,
    /// Its pictures that need no other; none of sound.
    pub(crate) keyframes: Vec<Keyframe>,
    /// What came of it, with its octets as long as they are held.
    pub(crate) parts: Vec<Part>,
    digest: Sha256,
    pub(crate) sha256: [u8; 32],
    /// Whether its octets are in the object store.
    pub(crate) is_stored: bool,
}

/// Where a segment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    UnderWay,
    Whole,
    Gap,
}

/// A picture that needs no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keyframe {
    /// When it is decoded.
    pub(crate) time_ticks: u64,
    pub(crate) size_bytes: u32,
}

/// A part.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) duration_ticks: u64,
    pub(crate) is_independent: bool,
    pub(crate) sha256: [u8; 32],
    pub(crate) bytes: Bytes,
}

/// What cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NotTaken {
    /// Too many numbers were left out.
    #[error("segment {number} would leave {missing} out; {most} at most can be missing")]
    Jump {
        /// The number.
        number: u64,
        /// How many.
        missing: u64,
        /// How many can be.
        most: u64,
    },
    /// Nothing is taken any more.
    #[error("this instance of the service stops: send it again")]
    Shut,
    /// Its time does not follow.
    #[error("segment {number} begins at {time_ticks}, before the end of what came before it at {end_ticks}")]
    Time {
        /// The number.
        number: u64,
        /// When it begins.
        time_ticks: u64,
        /// What it would overlap.
        end_ticks: u64,
    },
    /// Too many parts.
    #[error("segment {number} has more than {PARTS_MAX} parts")]
    Parts {
        /// The number.
        number: u64,
    },
}

// === impl Window ===

impl Window {
    /// A track of which nothing has come. `gap_ticks` is the usual length of a segment.
    pub(crate) fn new(timescale: u32, part_target_ticks: u64, gap_ticks: u64, first_number: u64) -> Self {
        Self {
            timescale,
            part_target_ticks,
            gap_ticks,
            first_number,
            discontinuity_sequence: 0,
            keyframes_before: 0,
            origin_ticks: None,
            segments: VecDeque::new(),
            leaving: VecDeque::new(),
            init: 0,
            is_broken: false,
            wall_offset_ms: 0,
            is_over: false,
            is_shut: false,
            key: None,
            key_segments: None,
        }
    }

    /// It goes out so; another key follows after so many segments.
    pub(crate) fn seal(&mut self, (key, key_segments): (Option<Key>, Option<NonZeroU64>)) {
        (self.key, self.key_segments) = (key, key_segments);
    }

    /// Takes back what was stored of a segment.
    pub(crate) fn restore(&mut self, segment: Segment) {
        self.init = segment.init;
        self.segments.push_back(segment);
    }

    /// Somebody begins to send, with this init segment: what comes now does not go on from what came.
    pub(crate) fn begin(&mut self, init: u32, part_target_ticks: u64) {
        self.close();
        self.is_broken = !self.segments.is_empty();
        self.init = init;
        self.part_target_ticks = self.part_target_ticks.max(part_target_ticks);
    }

    /// The first number that viewers can go back to, or that still has to be stored.
    pub(crate) fn needed_from(&self) -> u64 {
        self.unstored().next().map_or(self.first_number, |(number, _)| number.min(self.first_number))
    }

    /// The number of the next segment that can be begun.
    pub(crate) fn next_number(&self) -> u64 {
        self.first_number + self.segments.len() as u64
    }

    /// Takes the `at`-th chunk of the segment `number`; `false` where it was there already.
    pub(crate) fn chunk(&mut self, number: u64, at: usize, chunk: Chunk) -> Result<bool, NotTaken> {
        if self.is_shut {
            return Err(NotTaken::Shut);
        }
        let next = self.next_number();
        if number >= next {
            if number > next {
                // What the clock says is missing, in equal pieces.
                let each_ticks = chunk.time_ticks.saturating_sub(self.end_ticks()) / (number - next);
                let is_known = !self.segments.is_empty() && !self.is_broken && each_ticks > 0;
                self.skip(number, if is_known { each_ticks } else { self.gap_ticks })?;
            }
            self.close();
            self.fit_gap(chunk.time_ticks);
            let end_ticks = self.end_ticks();
            if !self.is_broken && chunk.time_ticks < end_ticks {
                return Err(NotTaken::Time { number, time_ticks: chunk.time_ticks, end_ticks });
            }
            self.push(Segment::new(chunk.time_ticks, 0, self.init, State::UnderWay));
        }
        let Some(segment) = self.segment_mut(number).filter(|segment| segment.state == State::UnderWay) else {
            return Ok(false);
        };
        if at < segment.parts.len() {
            return Ok(false);
        }
        if at >= PARTS_MAX {
            return Err(NotTaken::Parts { number });
        }
        segment.take(chunk);
        Ok(true)
    }

    /// The segment `number` is whole, if it is the one under way.
    pub(crate) fn end(&mut self, number: u64) {
        if self.next_number().checked_sub(1) == Some(number) {
            self.close();
        }
    }

    /// Nothing more will come.
    pub(crate) fn finish(&mut self) {
        self.close();
        self.is_over = true;
    }

    /// Nothing more is taken by this process: what is under way is what there is.
    pub(crate) fn shut(&mut self) {
        self.close();
        self.is_shut = true;
    }

    /// Whether nothing more will come, and all that came is stored.
    pub(crate) fn is_done(&self) -> bool {
        self.is_over && self.unstored().next().is_none()
    }

    fn close(&mut self) {
        if let Some(last) = self.segments.back_mut()
            && last.state == State::UnderWay
        {
            last.state = State::Whole;
            last.sha256 = last.digest.clone().finalize().into();
        }
    }

    /// The clock of who sends runs otherwise than the wall's: by so much segments that begin from now on are off.
    pub(crate) fn correct(&mut self, wall_offset_ms: i64) {
        self.wall_offset_ms = wall_offset_ms;
    }

    fn push(&mut self, mut segment: Segment) {
        segment.wall_offset_ms = self.offset_of(segment.state);
        if segment.state != State::Gap {
            segment.is_discontinuity = std::mem::take(&mut self.is_broken);
            self.origin_ticks.get_or_insert(segment.time_ticks);
        }
        self.segments.push_back(segment);
    }

    /// What is to be added to the time of a segment that begins now. A gap goes on from what came before it, whoever comes behind it.
    fn offset_of(&self, state: State) -> i64 {
        let last = self.segments.back().or_else(|| self.leaving.back().map(|(_, last)| last));
        let last = last.filter(|_| state == State::Gap);
        last.map_or(self.wall_offset_ms, |last| last.wall_offset_ms)
    }

    /// When the last segment ends.
    fn end_ticks(&self) -> u64 {
        let last = self.segments.back().or_else(|| self.leaving.back().map(|(_, last)| last));
        last.map_or(0, |last| last.time_ticks.saturating_add(last.duration_ticks))
    }

    /// Forgets what lies further back than `window_ticks`, as far as it is stored; who is forgotten.
    pub(crate) fn trim(&mut self, window_ticks: u64) -> u64 {
        let mut left_ticks: u64 = self.segments.iter().map(|segment| segment.duration_ticks).sum();
        let mut forgotten = 0;
        while let Some(first) = self.segments.front()
            && first.is_stored
            && left_ticks.saturating_sub(first.duration_ticks) >= window_ticks
        {
            left_ticks -= first.duration_ticks;
            self.discontinuity_sequence += u64::from(first.is_discontinuity);
            self.keyframes_before += first.keyframes.len() as u64;
            self.segments.pop_front();
            self.first_number += 1;
            forgotten += 1;
        }
        forgotten
    }

    /// Lets go of octets that are stored, but for those of the last `keep` segments.
    pub(crate) fn release(&mut self, keep: usize) {
        let old = self.segments.len().saturating_sub(keep);
        for segment in self.segments.iter_mut().take(old).filter(|segment| segment.is_stored) {
            segment.parts.clear();
        }
    }

    /// Notes that a segment is stored.
    pub(crate) fn stored(&mut self, number: u64) {
        if self.leaving.front().is_some_and(|(first, _)| *first == number) {
            self.leaving.pop_front();
        }
        if let Some(segment) = self.segment_mut(number) {
            segment.is_stored = true;
        }
    }

    /// The segment `number`.
    pub(crate) fn segment(&self, number: u64) -> Option<&Segment> {
        self.segments.get(self.position(number)?)
    }

    fn segment_mut(&mut self, number: u64) -> Option<&mut Segment> {
        let at = self.position(number)?;
        self.segments.get_mut(at)
    }

    fn position(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.first_number).and_then(|at| usize::try_from(at).ok())
    }

    /// What is whole or missing and not stored yet, with its numbers, oldest first.
    pub(crate) fn unstored(&self) -> impl Iterator<Item = (u64, &Segment)> {
        let leaving = self.leaving.iter().map(|(number, segment)| (*number, segment));
        let numbered = self.segments.iter().enumerate();
        leaving
            .chain(numbered.map(|(at, segment)| (self.first_number + at as u64, segment)))
            .filter(|(_, segment)| segment.state != State::UnderWay && !segment.is_stored)
    }

    /// Whole segments of media, oldest first.
    pub(crate) fn whole(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.state == State::Whole)
    }

    /// Ticks per second.
    pub(crate) fn timescale(&self) -> u32 {
        self.timescale
    }

    /// Octets that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        let segments = self.leaving.iter().map(|(_, segment)| segment).chain(&self.segments);
        segments.flat_map(|segment| &segment.parts).map(|part| part.bytes.len()).sum()
    }

    /// The number of the init segment of what comes now.
    pub(crate) fn init(&self) -> u32 {
        self.init
    }

    /// Whether what a viewer waits for is there.
    pub(crate) fn waits_for(&self, wanted: Position) -> Wait {
        self.edge().waits_for(wanted)
    }

    /// Whether the part is announced, or may be the next one all the same.
    pub(crate) fn may_come_next(&self, wanted: Position) -> bool {
        self.edge().may_come_next(wanted)
    }

    /// The last thing that came.
    pub(crate) fn last(&self) -> Option<Position> {
        self.edge().last()
    }

    /// The last segments only: enough to say how far it is.
    fn edge(&self) -> LiveMedia {
        let skipped = self.segments.len().saturating_sub(EDGE_SEGMENTS);
        LiveMedia {
            first_number: self.first_number + skipped as u64,
            segments: self.segments.iter().skip(skipped).map(Segment::listed).collect(),
            ..self.head(1)
        }
    }

    fn head(&self, target_duration_s: u64) -> LiveMedia {
        LiveMedia {
            timescale: self.timescale,
            target_duration_s,
            part_target_ticks: self.part_target_ticks,
            first_number: self.first_number,
            discontinuity_sequence: self.discontinuity_sequence,
            segments: Vec::new(),
            is_over: self.is_over,
            reports: Vec::new(),
            date_ranges: Vec::new(),
            key: self.key.clone(),
            key_segments: self.key_segments,
        }
    }

    /// The track as its playlist sees it.
    pub(crate) fn media(&self, target_duration_s: u64, reports: Vec<RenditionReport>) -> LiveMedia {
        let segments = self.segments.iter().map(Segment::listed).collect();
        LiveMedia { segments, reports, ..self.head(target_duration_s) }
    }
}

// === impl Segment ===

impl Segment {
    /// One of which nothing has come.
    pub(crate) fn new(time_ticks: u64, duration_ticks: u64, init: u32, state: State) -> Self {
        Self {
            time_ticks,
            duration_ticks,
            init,
            is_discontinuity: false,
            wall_offset_ms: 0,
            state,
            numbers: 1,
            size_bytes: 0,
            keyframes: Vec::new(),
            parts: Vec::new(),
            digest: Sha256::new(),
            sha256: [0; 32],
            is_stored: false,
        }
    }

    fn take(&mut self, chunk: Chunk) {
        // By the clock of the media: a chunk that leaves a hole makes the one before it longer.
        self.duration_ticks = chunk.time_ticks.saturating_sub(self.time_ticks).saturating_add(chunk.duration_ticks);
        self.size_bytes += chunk.bytes.len() as u64;
        self.digest.update(&chunk.bytes);
        let left = SYNC_SAMPLES_MAX - self.keyframes.len();
        let noted = chunk.sync_samples.iter().take(left);
        self.keyframes
            .extend(noted.map(|sample| Keyframe { time_ticks: sample.time_ticks, size_bytes: sample.size_bytes }));
        self.parts.push(Part {
            duration_ticks: chunk.duration_ticks,
            is_independent: chunk.is_independent,
            sha256: Sha256::digest(&chunk.bytes).into(),
            bytes: chunk.bytes,
        });
    }

    /// All its octets, if they are held.
    pub(crate) fn bytes(&self) -> Option<Bytes> {
        match self.parts.as_slice() {
            [] => None,
            [one] => Some(one.bytes.clone()),
            parts => {
                let mut all = BytesMut::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
                parts.iter().for_each(|part| all.extend_from_slice(&part.bytes));
                Some(all.freeze())
            }
        }
    }

    fn listed(&self) -> LiveSegment {
        let listed =
            |part: &Part| LivePart { duration_ticks: part.duration_ticks, is_independent: part.is_independent };
        let content = match self.state {
            State::UnderWay => Content::UnderWay(self.parts.iter().map(listed).collect()),
            State::Whole => Content::Whole(self.parts.iter().map(listed).collect()),
            State::Gap => Content::Gap,
        };
        LiveSegment {
            time_ticks: self.time_ticks,
            duration_ticks: self.duration_ticks,
            content,
            init: self.init,
            is_discontinuity: self.is_discontinuity,
            wall_offset_ms: self.wall_offset_ms,
        }
    }
}
