//! The media playlist of a track that is live (draft-ietf-hls-rfc8216bis; section numbers are its own): parts, preload
//! hint, delta updates, rendition reports; and what a viewer may ask it to wait for.
//!
//! `hls_m3u8` knows none of these tags, so they are written here. One playlist serves everybody: players that know
//! nothing of parts read past them (section 6.3.1).

mod clip;
mod directives;
mod ts;

use std::fmt::Write;
use std::num::NonZeroU64;

use self::clip::Ends;
pub use self::directives::{BadDirectives, Directives, directives};
use crate::date_range;
use crate::media::{INIT_URI, segment_uri};
use crate::time::{Seconds, Timestamp};
use crate::{DateRange, Key, PlaylistError, uri};

/// The version that `EXT-X-SKIP` needs (section 8).
const VERSION: u32 = 9;
/// `PART-HOLD-BACK` in part targets: at least 3 is demanded (section 4.4.3.8).
const PART_HOLD_BACK_PARTS: u64 = 3;
/// `HOLD-BACK` in target durations, the least that is allowed (section 4.4.3.8).
const HOLD_BACK_TARGETS: u64 = 3;
/// `CAN-SKIP-UNTIL` in target durations, the least that is allowed (section 4.4.3.8).
const SKIP_TARGETS: u64 = 6;
/// The Advance Part Limit: so many seconds of parts, and so many parts at least (section 6.2.5.2).
const LIMIT_S: u64 = 3;
const LIMIT_PARTS_MIN: u64 = 3;
/// Parts are listed for so many target durations before the end (section 6.2.2).
const PARTS_TARGETS: u64 = 3;

/// A live track, as its playlist sees it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveMedia {
    /// Ticks per second, above 0.
    pub timescale: u32,
    /// `EXT-X-TARGETDURATION`, seconds, above 0; it never changes.
    pub target_duration_s: u64,
    /// `PART-TARGET`, ticks, above 0: no part is longer.
    pub part_target_ticks: u64,
    /// Number of the first segment.
    pub first_number: u64,
    /// Discontinuities that went with segments that are no longer listed.
    pub discontinuity_sequence: u64,
    /// Segments in order, without a hole in their numbers; only the last one may be under way.
    pub segments: Vec<LiveSegment>,
    /// Whether nothing more will come.
    pub is_over: bool,
    /// How far the other tracks are.
    pub reports: Vec<RenditionReport>,
    /// Spans of time that something is said of; the same ones in every playlist of the channel.
    pub date_ranges: Vec<DateRange>,
    /// How segments and parts are encrypted, each of them as a whole. Init segments never are.
    pub key: Option<Key>,
    /// Segments after which another key follows: that of segment `n` is then `n / key_segments` behind a hyphen behind the key's URI.
    pub key_segments: Option<NonZeroU64>,
}

/// A segment of a live track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSegment {
    /// When it begins, ticks since 1970-01-01T00:00:00Z by the clock of who sent it.
    pub time_ticks: u64,
    /// How long it is, ticks; so far, if it is under way.
    pub duration_ticks: u64,
    /// What it is.
    pub content: Content,
    /// Number of its init segment.
    pub init: u32,
    /// Whether it does not go on from the one before.
    pub is_discontinuity: bool,
    /// What is to be added to its time to have the wall's, milliseconds: who sent it has a clock that drifts.
    pub wall_offset_ms: i64,
}

/// What a segment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Whole; its parts, as long as they are known.
    Whole(Vec<LivePart>),
    /// Under way: the parts so far.
    UnderWay(Vec<LivePart>),
    /// It never came.
    Gap,
}

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivePart {
    /// How long it is, ticks.
    pub duration_ticks: u64,
    /// Whether it can be decoded without the ones before it.
    pub is_independent: bool,
}

/// How far another track of the same channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenditionReport {
    /// URI of its playlist, relative.
    pub uri: String,
    /// The last thing in it.
    pub last: Position,
}

/// A place in a live track: a segment, and a part of it where one is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Number of the segment.
    pub number: u64,
    /// Number of the part, from 0; none stands for the whole segment.
    pub part: Option<u64>,
}

/// Whether a playlist has what a viewer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It has.
    Over,
    /// It will.
    On,
    /// It lies further ahead than a viewer can know of: to be refused (section 6.2.5.2).
    TooFar,
}

/// URI of the part `part` of the segment `number`, both from 0, beside the playlist.
#[must_use]
pub fn part_uri(number: u64, part: u64) -> String {
    format!("{number}.{part}.m4s")
}

/// URI of the init segment with this number, beside the playlist: that of a track that never changed is plain.
#[must_use]
pub fn init_uri(number: u32) -> String {
    if number == 0 { INIT_URI.to_owned() } else { format!("init-{number}.mp4") }
}

// === impl LiveSegment ===

impl LiveSegment {
    /// A time within it, ticks, as the wall had it.
    #[must_use]
    pub fn by_the_wall(&self, time_ticks: u64, timescale: u32) -> u64 {
        let offset_ticks = i128::from(self.wall_offset_ms) * i128::from(timescale) / 1000;
        u64::try_from((i128::from(time_ticks) + offset_ticks).max(0)).unwrap_or(u64::MAX)
    }
}

// === impl LiveMedia ===

impl LiveMedia {
    /// The last thing in the playlist; `None` while there is nothing.
    #[must_use]
    pub fn last(&self) -> Option<Position> {
        let number = self.first_number + (self.segments.len() as u64).checked_sub(1)?;
        let last = self.segments.last()?;
        match &last.content {
            Content::UnderWay(parts) => match (parts.len() as u64).checked_sub(1) {
                Some(part) => Some(Position { number, part: Some(part) }),
                None => self.whole_before(number),
            },
            Content::Whole(_) | Content::Gap => Some(Position { number, part: None }),
        }
    }

    fn whole_before(&self, number: u64) -> Option<Position> {
        number
            .checked_sub(1)
            .filter(|before| *before >= self.first_number)
            .map(|number| Position { number, part: None })
    }

    /// Whether the playlist has `wanted` (section 6.2.5.2). A part that is beyond the last one of a segment that is
    /// whole counts as the first one of the next.
    #[must_use]
    pub fn waits_for(&self, wanted: Position) -> Wait {
        if self.is_over {
            return Wait::Over;
        }
        let next = self.first_number + self.segments.len() as u64;
        let (whole, parts) = match self.segments.last().map(|last| &last.content) {
            Some(Content::UnderWay(parts)) => (next - 1, parts.len() as u64),
            Some(Content::Whole(_) | Content::Gap) | None => (next, 0),
        };
        // `whole`: the number of the segment under way, of which there are `parts`.
        let is_there = match wanted.part {
            _ if wanted.number < whole => match wanted.part {
                Some(part) if part >= self.parts_of(wanted.number) => wanted.number + 1 < whole || parts > 0,
                Some(_) | None => true,
            },
            Some(part) => wanted.number == whole && part < parts,
            None => false,
        };
        match is_there {
            true => Wait::Over,
            false if wanted.number > whole + 1 || self.is_part_too_far(wanted, whole, parts) => Wait::TooFar,
            false => Wait::On,
        }
    }

    /// Whether the part lies further behind the last one that there is than the Advance Part Limit (section 6.2.5.2): three seconds of
    /// parts, or three parts where they are longer than a second. `whole` is the segment under way, of which there are `parts`.
    fn is_part_too_far(&self, wanted: Position, whole: u64, parts: u64) -> bool {
        let Some(part) = wanted.part else { return false };
        let in_three_seconds = (LIMIT_S * u64::from(self.timescale)).div_ceil(self.part_target_ticks.max(1));
        let limit = in_three_seconds.max(LIMIT_PARTS_MIN);
        let there = match wanted.number {
            number if number == whole => parts,
            number if number > whole => 0,
            // What is beyond the end of a whole segment is the first part of the next one, however far: it is known how many there are.
            number => self.parts_of(number),
        };
        part >= there.saturating_add(limit)
    }

    /// Parts of a whole segment; those of one that has no list any more are as many as anybody asks for.
    fn parts_of(&self, number: u64) -> u64 {
        let at = number.checked_sub(self.first_number).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.segments.get(at)).map(|segment| &segment.content) {
            Some(Content::Whole(parts) | Content::UnderWay(parts)) if !parts.is_empty() => parts.len() as u64,
            Some(Content::Whole(_) | Content::UnderWay(_) | Content::Gap) | None => u64::MAX,
        }
    }

    /// Whether the segment under way, with these `parts`, is as long as the one before it. That another begins is known to who sends it
    /// only when its first picture comes; until then a part would be announced that never comes, and every player that asks for what is
    /// announced would meet a 404 at the end of each segment.
    fn is_at_its_end(&self, parts: &[LivePart]) -> bool {
        let [.., before, _] = self.segments.as_slice() else { return false };
        let length_ticks: u64 = parts.iter().map(|part| part.duration_ticks).sum();
        // Segments of one stream differ by a picture. What may be left over of a segment is longer, mostly, and of one that is longer than
        // the one before nobody knows.
        let slack_ticks = self.part_target_ticks / 4;
        before.content != Content::Gap && length_ticks.abs_diff(before.duration_ticks) <= slack_ticks
    }

    /// Whether the part may be the next one: it is announced, or another one is and it goes on all the same.
    #[must_use]
    pub fn may_come_next(&self, wanted: Position) -> bool {
        let of_this = match self.segments.last().map(|last| &last.content) {
            Some(Content::UnderWay(parts)) if !self.is_over => {
                Some((self.first_number + self.segments.len() as u64 - 1, parts.len() as u64))
            }
            Some(Content::UnderWay(_) | Content::Whole(_) | Content::Gap) | None => None,
        };
        self.hint() == Some(wanted)
            || of_this.is_some_and(|(number, part)| wanted == Position { number, part: Some(part) })
    }

    /// The part that is announced as the next one (section 4.4.5.3).
    #[must_use]
    pub fn hint(&self) -> Option<Position> {
        let next = self.first_number + self.segments.len() as u64;
        match self.segments.last().map(|last| &last.content) {
            _ if self.is_over => None,
            Some(Content::UnderWay(parts)) if !self.is_at_its_end(parts) => {
                Some(Position { number: next - 1, part: Some(parts.len() as u64) })
            }
            Some(Content::UnderWay(_)) => Some(Position { number: next, part: Some(0) }),
            Some(Content::Whole(_) | Content::Gap) | None => Some(Position { number: next, part: Some(0) }),
        }
    }

    /// The playlist; with `skip`, the segments of long ago are left out (section 4.4.5.2).
    ///
    /// # Errors
    /// [`PlaylistError`] if there is no timescale or nothing in it, a date range contradicts itself, or a URI
    /// is not relative.
    pub fn playlist(&self, skip: bool) -> Result<String, PlaylistError> {
        self.written(skip, &Ends::default())
    }

    fn written(&self, skip: bool, ends: &Ends<'_>) -> Result<String, PlaylistError> {
        if self.timescale == 0 {
            return Err(PlaylistError::Timescale);
        }
        if self.last().is_none() {
            return Err(PlaylistError::Empty { what: "segment or part" });
        }
        for report in &self.reports {
            uri::checked(&report.uri)?;
        }
        let skipped = if skip { self.skippable() } else { 0 };
        let mut text = String::with_capacity(256 + 160 * (self.segments.len() - skipped));
        self.head(&mut text);
        if let Some(start) = &ends.start {
            line(&mut text, format_args!("{start}"));
        }
        // All of them in a delta too: only `CAN-SKIP-DATERANGES`, which is not said, lets old ones be left out.
        for range in date_range::in_order(&self.date_ranges)? {
            line(&mut text, format_args!("{}", range.tag()?));
        }
        let starts = self.ages();
        let (mut init, mut period) = (None, None);
        if skipped > 0 {
            line(&mut text, format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
            init = self.segments.get(skipped - 1).map(|segment| segment.init);
        }
        let with_parts = PARTS_TARGETS * self.target_duration_s * u64::from(self.timescale);
        for (at, segment) in self.segments.iter().enumerate().skip(skipped) {
            if segment.is_discontinuity && (at > 0 || skipped > 0) {
                line(&mut text, format_args!("#EXT-X-DISCONTINUITY"));
            }
            let number = self.first_number + at as u64;
            let before = init.replace(segment.init);
            let is_next_period = period.replace(self.key_period(number)) != Some(self.key_period(number));
            if before != Some(segment.init) {
                if before.is_some() && self.key.is_some() {
                    // A key opens what comes behind it, and no init segment (section 4.4.4.5).
                    line(&mut text, format_args!("#EXT-X-KEY:METHOD=NONE"));
                }
                line(&mut text, format_args!("#EXT-X-MAP:URI=\"{}\"", init_uri(segment.init)));
            }
            if before != Some(segment.init) || is_next_period {
                self.key_of(&mut text, number)?;
            }
            let is_recent = starts.get(at).is_some_and(|age| *age <= with_parts) && !self.is_over;
            let query = ends.last_query.filter(|_| at + 1 == self.segments.len());
            self.segment(&mut text, number, segment, (is_recent, query));
        }
        self.tail(&mut text);
        Ok(text)
    }

    /// Which of its keys opens segment `number`; all of them have one where it does not change.
    fn key_period(&self, number: u64) -> u64 {
        self.key_segments.map_or(0, |every| number / every)
    }

    /// The key of segment `number`, if there is one.
    fn key_of(&self, text: &mut String, number: u64) -> Result<(), PlaylistError> {
        let Some(key) = &self.key else { return Ok(()) };
        let tag = match self.key_segments {
            None => key.tag()?,
            Some(_) => Key { uri: format!("{}-{}", key.uri, self.key_period(number)), ..key.clone() }.tag()?,
        };
        line(text, format_args!("{tag}"));
        Ok(())
    }

    fn head(&self, text: &mut String) {
        line(text, format_args!("#EXTM3U"));
        line(text, format_args!("#EXT-X-VERSION:{VERSION}"));
        line(text, format_args!("#EXT-X-TARGETDURATION:{}", self.target_duration_s));
        if self.is_over {
            line(text, format_args!("#EXT-X-PLAYLIST-TYPE:VOD"));
        } else {
            let part_target = Seconds(self.part_target_ticks, self.timescale);
            let hold_back = Seconds(PART_HOLD_BACK_PARTS * self.part_target_ticks, self.timescale);
            line(
                text,
                format_args!(
                    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back},HOLD-BACK={}.0{}",
                    HOLD_BACK_TARGETS * self.target_duration_s,
                    Skips(self.can_skip().then_some(SKIP_TARGETS * self.target_duration_s)),
                ),
            );
            line(text, format_args!("#EXT-X-PART-INF:PART-TARGET={part_target}"));
        }
        self.sequences(text);
    }

    fn sequences(&self, text: &mut String) {
        line(text, format_args!("#EXT-X-MEDIA-SEQUENCE:{}", self.first_number));
        let dropped = u64::from(self.segments.first().is_some_and(|first| first.is_discontinuity));
        if self.discontinuity_sequence + dropped > 0 {
            // A discontinuity before the first segment is counted, since its tag would stand in front of nothing.
            line(text, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence + dropped));
        }
        line(text, format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
    }

    fn segment(&self, text: &mut String, number: u64, segment: &LiveSegment, (is_recent, query): (bool, Option<&str>)) {
        let time = Timestamp(segment.by_the_wall(segment.time_ticks, self.timescale), self.timescale);
        match &segment.content {
            Content::UnderWay(parts) if parts.is_empty() => return,
            Content::Whole(_) | Content::UnderWay(_) | Content::Gap => {
                line(text, format_args!("#EXT-X-PROGRAM-DATE-TIME:{time}"));
            }
        }
        match &segment.content {
            Content::Gap => line(text, format_args!("#EXT-X-GAP")),
            Content::Whole(parts) if is_recent => self.parts(text, number, parts),
            Content::UnderWay(parts) if !self.is_over => self.parts(text, number, parts),
            Content::Whole(_) | Content::UnderWay(_) => {}
        }
        if !matches!(segment.content, Content::UnderWay(_)) || self.is_over {
            line(text, format_args!("#EXTINF:{},", Seconds(segment.duration_ticks, self.timescale)));
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            let name = segment_uri(number);
            match query {
                Some(query) => line(text, format_args!("{name}?{query}")),
                None => line(text, format_args!("{name}")),
            }
        }
    }

    fn parts(&self, text: &mut String, number: u64, parts: &[LivePart]) {
        for (at, part) in parts.iter().enumerate() {
            let duration = Seconds(part.duration_ticks, self.timescale);
            let independent = if part.is_independent { ",INDEPENDENT=YES" } else { "" };
            let uri = part_uri(number, at as u64);
            line(text, format_args!("#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}"));
        }
    }

    fn tail(&self, text: &mut String) {
        if self.is_over {
            return line(text, format_args!("#EXT-X-ENDLIST"));
        }
        if let Some(Position { number, part: Some(part) }) = self.hint() {
            line(text, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", part_uri(number, part)));
        }
        for RenditionReport { uri, last } in &self.reports {
            let number = last.number;
            match last.part {
                Some(part) => {
                    line(
                        text,
                        format_args!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={number},LAST-PART={part}"),
                    );
                }
                None => line(text, format_args!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={number}")),
            }
        }
    }

    /// How far before the end of the playlist each segment ends, ticks.
    fn ages(&self) -> Vec<u64> {
        let mut age = 0_u64;
        let mut ages: Vec<u64> = self
            .segments
            .iter()
            .rev()
            .map(|segment| {
                let older = age.saturating_add(segment.duration_ticks);
                std::mem::replace(&mut age, older)
            })
            .collect();
        ages.reverse();
        ages
    }

    /// Whether there are delta updates: of what is encrypted players would have to know which key goes on behind what they skip, and not all do.
    fn can_skip(&self) -> bool {
        self.key.is_none()
    }

    /// How many of the first segments lie further back than `CAN-SKIP-UNTIL`.
    fn skippable(&self) -> usize {
        let boundary = SKIP_TARGETS * self.target_duration_s * u64::from(self.timescale);
        if self.is_over || !self.can_skip() {
            0
        } else {
            self.ages().iter().take_while(|age| **age >= boundary).count()
        }
    }
}

/// `CAN-SKIP-UNTIL`, seconds, where there are delta updates.
struct Skips(Option<u64>);

// === impl Skips ===

impl std::fmt::Display for Skips {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |until_s| write!(f, ",CAN-SKIP-UNTIL={until_s}.0"))
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes everything");
    text.push('\n');
}
