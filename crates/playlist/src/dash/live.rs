//! The MPD of a live channel: media time is UTC, so `availabilityStartTime` is 1970 and nothing ever moves.
//!
//! `S@t` is `tfdt`, ticks since 1970 (live tracks have no edit list), and each Period's `presentationTimeOffset` is its
//! start: the timeline of the MPD is the wall clock, whatever drops out of the window. `publishTime` is given, not read
//! from a clock, so that every origin writes the same text for the same media.

use super::periods::{Span, spans};
use super::representation::{DashTrack, Piece, Set, descriptor};
use super::steering::DashSteering;
use super::timeline::Timeline;
use super::xml::Element;
use super::{NAMESPACE, PROFILE, adaptation_sets, events};
use crate::time::{IsoDate, IsoDuration, ceil_ms, floor_ms, ticks_of_ms};
use crate::{Content, DateRange, LiveSegment, PlaylistError, init_uri, uri};

/// How players may catch up with the edge, or fall back from it, unheard.
const PLAYBACK_RATES: (&str, &str) = ("0.96", "1.04");
/// What the MPD is called, in the folder that URIs are relative to.
const MPD_FILE: &str = "manifest.mpd";

/// A live channel, or one that was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveMpd {
    /// Its tracks.
    pub tracks: Vec<LiveTrack>,
    /// Whether it goes on.
    pub phase: Phase,
    /// When this was so, milliseconds since 1970: the end of the newest media does, and is the same on every origin.
    pub published_ms: u64,
    /// How often players are to look again, milliseconds: the length of a segment, or of a part.
    pub update_ms: u64,
    /// How far back viewers can go, milliseconds.
    pub window_ms: u64,
    /// How far behind the edge players are to play, milliseconds.
    pub delay_ms: u64,
    /// Where players learn what time it is, the preferred one first.
    pub clocks: Vec<WallClock>,
    /// Segments can be asked for while they are made.
    pub low_latency: Option<LowLatency>,
    /// What [`LiveMpd::period_starts_ms`] said last; nothing at first.
    pub known_period_starts_ms: Vec<u64>,
    /// Of a recording only what is shown between these, milliseconds since 1970; its segments are those that the clip needs.
    pub clip_ms: Option<(u64, u64)>,
    /// Spans of time that something is said of.
    pub date_ranges: Vec<DateRange>,
    /// The ways to all of it.
    pub steering: Option<DashSteering>,
}

/// Whether a channel goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It does.
    #[default]
    Live,
    /// Nothing more will come, but those who watch are still at the edge: the same timeline, with an end.
    Ended,
    /// It is a recording: `static`, and begins at 0.
    Recorded,
}

/// A live track.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveTrack {
    /// What it is.
    pub track: DashTrack,
    /// Number of the first segment.
    pub first_number: u64,
    /// Segments in order, without a hole in their numbers, as its HLS playlist lists them. One that is under way is listed
    /// if players may ask for it ([`LowLatency`]), or nothing more will come.
    pub segments: Vec<LiveSegment>,
}

/// The origin sends segments while they are made (chunked transfer), and players may ask for them then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowLatency {
    /// How long a segment is meant to be, milliseconds.
    pub segment_ms: u64,
    /// How long a chunk is, milliseconds: a segment can be asked for when its first one is there.
    pub chunk_ms: u64,
    /// Latency that is aimed at, and its bounds, milliseconds.
    pub target_ms: u64,
    /// The least.
    pub min_ms: u64,
    /// The most.
    pub max_ms: u64,
}

/// Where players learn what time it is (`UTCTiming`, section 5.8.4.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WallClock {
    /// A resource whose body is the time as ISO 8601, relative URI; it must not be cached.
    HttpIso {
        /// The URI.
        uri: String,
    },
    /// A resource whose `Date` header is the time, relative URI; exact to the second.
    HttpHead {
        /// The URI.
        uri: String,
    },
    /// The time itself, milliseconds since 1970. It ages with every second that the MPD lies in a cache, and makes each
    /// copy another text: for origins without caches in front.
    Direct {
        /// It.
        now_ms: u64,
    },
}

// === impl LiveMpd ===

impl LiveMpd {
    /// The starts of the Periods that are listed, to be given back next time, so that a Period keeps its start when the
    /// segment that began it is gone.
    #[must_use]
    pub fn period_starts_ms(&self) -> Vec<u64> {
        self.spans().into_iter().map(|span| span.start_ms).filter(|ms| *ms > 0).collect()
    }

    /// The MPD.
    ///
    /// `minBufferTime` is the longest segment, which makes the peak segment bit rate true; with low latency it is a chunk,
    /// since nothing comes faster than it is made, and players do not begin with less.
    ///
    /// # Errors
    /// [`PlaylistError`] if there is nothing to play, no timescale, or a URI is not relative.
    pub fn mpd(&self) -> Result<String, PlaylistError> {
        if self.tracks.iter().any(|track| track.track.timescale == 0) {
            return Err(PlaylistError::Timescale);
        }
        let facts: Vec<&DashTrack> = self.tracks.iter().map(|track| &track.track).collect();
        let sets = Set::of(&facts);
        let spans = self.spans();
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
            return Err(PlaylistError::Empty { what: "segment" });
        };
        let (from_ms, to_ms) = self.clip_ms.unwrap_or((0, u64::MAX));
        let end_ms = self.end_ms(last).min(to_ms);
        // A recording begins with its first sample, a clip with its first frame.
        let zero_ms = if self.phase == Phase::Recorded { self.begin_ms(first).max(from_ms).min(end_ms) } else { 0 };
        let mut periods = Vec::new();
        for (at, span) in spans.iter().enumerate() {
            let next_ms = spans.get(at + 1).map(|next| next.start_ms);
            let is_first = at == 0 && self.phase == Phase::Recorded;
            let start_ms = if is_first { zero_ms } else { span.start_ms.max(zero_ms) };
            let pieces: Vec<Option<Piece<'_>>> = self
                .tracks
                .iter()
                .zip(&span.segments)
                .map(|(track, segments)| self.piece(track, segments, start_ms))
                .collect();
            let length_ms = next_ms.unwrap_or(end_ms).saturating_sub(start_ms);
            let period = Element::new("Period")
                .with("id", format!("p{}", span.start_ms))
                .with("start", IsoDuration(start_ms - zero_ms))
                .with_if("duration", (self.phase == Phase::Recorded).then_some(IsoDuration(length_ms)));
            // Each event stands in the Period in which it begins; what began before the first one, in that.
            let ends_ms = next_ms.unwrap_or(u64::MAX);
            let begins_in = |range: &&DateRange| range.start_ms < ends_ms && (at == 0 || range.start_ms >= start_ms);
            let ranges: Vec<&DateRange> = self.date_ranges.iter().filter(begins_in).collect();
            let period = period.children(events::streams(&ranges, start_ms)?);
            periods.push(period.children(adaptation_sets(&sets, &facts, &pieces)?));
        }
        let mpd = self.head(end_ms - zero_ms)?.children(periods);
        let clocks = self.clocks.iter().filter(|_| self.phase != Phase::Recorded);
        Ok(mpd.children(clocks.map(WallClock::element).collect::<Result<Vec<_>, _>>()?).document())
    }

    fn spans(&self) -> Vec<Span> {
        let lists_open = self.phase != Phase::Live || self.low_latency.is_some();
        spans(&self.tracks, &self.known_period_starts_ms, lists_open)
    }

    fn head(&self, end_ms: u64) -> Result<Element, PlaylistError> {
        let longest_ms = self.tracks.iter().map(LiveTrack::longest_ms).max().unwrap_or(0);
        let longest_ms = longest_ms.max(self.low_latency.map_or(0, |low| low.segment_ms));
        let low_latency = self.low_latency.filter(|_| self.phase == Phase::Live);
        let buffer_ms = low_latency.map_or(longest_ms, |low| low.chunk_ms).max(1);
        let mpd = Element::new("MPD").with("xmlns", NAMESPACE).with("profiles", PROFILE);
        let mpd = match self.phase {
            Phase::Recorded => mpd.with("type", "static").with("mediaPresentationDuration", IsoDuration(end_ms)),
            Phase::Live | Phase::Ended => mpd
                .with("type", "dynamic")
                .with("availabilityStartTime", IsoDate(0))
                .with("publishTime", IsoDate(self.published_ms))
                .with_if("minimumUpdatePeriod", (self.phase == Phase::Live).then_some(IsoDuration(self.update_ms)))
                .with_if("mediaPresentationDuration", (self.phase == Phase::Ended).then_some(IsoDuration(end_ms)))
                .with("timeShiftBufferDepth", IsoDuration(self.window_ms))
                .with("suggestedPresentationDelay", IsoDuration(self.delay_ms)),
        };
        let mpd = mpd.with("minBufferTime", IsoDuration(buffer_ms)).with("maxSegmentDuration", IsoDuration(longest_ms));
        // Where a recording is found does not change, and nobody looks again.
        let file = (self.phase != Phase::Recorded).then_some(MPD_FILE);
        let locations = self.steering.as_ref().map_or(Ok(Vec::new()), |steering| steering.locations(file))?;
        let steering = self.steering.as_ref().map(DashSteering::element).transpose()?;
        Ok(mpd.children(locations).children(low_latency.map(|low| low.element())).children(steering))
    }

    fn piece<'a>(&self, track: &'a LiveTrack, segments: &std::ops::Range<usize>, start_ms: u64) -> Option<Piece<'a>> {
        let listed = &track.segments[segments.clone()];
        let first = listed.first()?;
        let low_latency = self.low_latency.filter(|_| self.phase == Phase::Live);
        let timescale = track.track.timescale;
        let durations = listed.iter().enumerate().map(|(at, segment)| match listed.get(at + 1) {
            // Without holes, and without overlaps.
            Some(next) => next.time_ticks.saturating_sub(segment.time_ticks).max(1),
            None => match (&segment.content, low_latency) {
                (Content::UnderWay(_), Some(low)) => segment.duration_ticks.max(ticks_of_ms(low.segment_ms, timescale)),
                (Content::UnderWay(_) | Content::Whole(_) | Content::Gap, _) => segment.duration_ticks.max(1),
            },
        });
        let early_ms = low_latency.map(|low| low.segment_ms.saturating_sub(low.chunk_ms));
        Some(Piece {
            track: &track.track,
            timeline: Timeline {
                first_number: track.first_number + segments.start as u64,
                start_ticks: first.time_ticks,
                durations_ticks: durations.collect(),
            },
            origin_ticks: ticks_of_ms(start_ms, timescale),
            init: init_uri(first.init),
            early_ticks: early_ms.map(|ms| ticks_of_ms(ms, timescale)),
        })
    }

    /// When the first sample of a span is presented.
    fn begin_ms(&self, span: &Span) -> u64 {
        let begins = self.tracks.iter().zip(&span.segments).filter_map(|(track, segments)| {
            let first = track.segments.get(segments.clone())?.first()?;
            Some(floor_ms(first.time_ticks, track.track.timescale))
        });
        begins.min().unwrap_or(0)
    }

    /// When the last sample of a span ends.
    fn end_ms(&self, span: &Span) -> u64 {
        let ends = self.tracks.iter().zip(&span.segments).filter_map(|(track, segments)| {
            let last = track.segments.get(segments.clone())?.last()?;
            Some(ceil_ms(last.time_ticks.saturating_add(last.duration_ticks), track.track.timescale))
        });
        ends.max().unwrap_or(0)
    }
}

// === impl LowLatency ===

impl LowLatency {
    fn element(self) -> Element {
        let latency = Element::new("Latency")
            .with("target", self.target_ms)
            .with("min", self.min_ms.min(self.target_ms))
            .with("max", self.max_ms.max(self.target_ms));
        let (slowest, fastest) = PLAYBACK_RATES;
        let rate = Element::new("PlaybackRate").with("min", slowest).with("max", fastest);
        Element::new("ServiceDescription").with("id", 0).child(latency).child(rate)
    }
}

// === impl WallClock ===

impl WallClock {
    fn element(&self) -> Result<Element, PlaylistError> {
        Ok(match self {
            Self::HttpIso { uri } => descriptor("UTCTiming", "urn:mpeg:dash:utc:http-iso:2014", uri::checked(uri)?),
            Self::HttpHead { uri } => descriptor("UTCTiming", "urn:mpeg:dash:utc:http-head:2014", uri::checked(uri)?),
            Self::Direct { now_ms } => {
                descriptor("UTCTiming", "urn:mpeg:dash:utc:direct:2014", &IsoDate(*now_ms).to_string())
            }
        })
    }
}
