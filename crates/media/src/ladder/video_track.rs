//! Pictures of one rung, from the encoder to the track: GOPs in, samples with exact times out.
//!
//! The encoder's own decode times are ignored: `flame_cmaf::timing` makes them from the frames' own times,
//! one closed GOP after the other.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flame_cmaf::{
    Colour, MediaConfig, PictureCodec, Sample, TrackConfig, VideoConfig,
    timing::{DecodeClock, Times},
};
use flame_media_child::protocol::{LadderPlan, VideoRung};

use super::{
    grid::Grid,
    timeline::{Kind, Settled, Timeline},
    track_file::{TrackFile, WrittenTrack},
};
use crate::fault::MediaError;

/// The most bytes kept while the timeline is not settled. Interleaved files settle within a second of media.
pub(super) const WAITING_MAX_BYTES: usize = 64 << 20;

/// How many places later than decoded x264 and x265 show a picture: 2, as their presets use a pyramid of B-frames. Others, which
/// show pictures as they are decoded, have the same, so that all tracks of a version are moved alike.
const REORDER_DEPTH: u32 = 2;

/// Duration of the last frame if neither the frame nor the plan says it.
const FRAME_DURATION_NS: u64 = 40_000_000;

/// What does not change while a rung is written.
#[derive(Debug, Clone)]
struct VideoTrackSettings {
    folder: PathBuf,
    name: String,
    width: u16,
    height: u16,
    timescale: u32,
    segments: Grid,
    /// Duration of the last frame if nothing else says it.
    frame_duration_ns: u64,
}

/// One rung being written.
pub(super) struct VideoTrack {
    settings: VideoTrackSettings,
    timeline: Arc<Timeline>,
    file: Option<TrackFile>,
    clock: DecodeClock,
    /// Pictures since the last keyframe.
    gop: Vec<Picture>,
    /// Finished GOPs from before the timeline was settled.
    waiting: Vec<Vec<Picture>>,
    waiting_bytes: usize,
    pictures: u64,
    newest_ticks: Option<i64>,
    segment: Option<i64>,
}

/// One encoded frame.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) running_ns: u64,
    pub(super) duration_ns: Option<u64>,
    pub(super) is_key: bool,
    pub(super) data: Bytes,
}

/// How long a frame of the tracks of `plan` lasts that does not say it itself, nanoseconds.
pub(super) fn frame_duration_ns(plan: &LadderPlan) -> u64 {
    let rate = plan.track_frame_rate().filter(|rate| rate.num > 0);
    rate.map_or(FRAME_DURATION_NS, |rate| u64::from(rate.den) * 1_000_000_000 / u64::from(rate.num))
}

// === impl VideoTrack ===

impl VideoTrack {
    /// The track of `rung`, in `folder`.
    pub(super) fn of(
        folder: &Path,
        plan: &LadderPlan,
        rung: &VideoRung,
        timeline: Arc<Timeline>,
    ) -> Result<Self, MediaError> {
        let pixels = |value: u32| {
            u16::try_from(value)
                .map_err(|_| MediaError::environment(format!("{value} pixels are more than a track can say")))
        };
        let settings = VideoTrackSettings {
            folder: folder.to_owned(),
            name: rung.name.clone(),
            width: pixels(rung.width)?,
            height: pixels(rung.height)?,
            timescale: plan.video_timescale,
            segments: Grid::new(Duration::from_millis(plan.segment_ms.into())),
            frame_duration_ns: frame_duration_ns(plan),
        };
        Ok(Self::new(settings, timeline))
    }

    fn new(settings: VideoTrackSettings, timeline: Arc<Timeline>) -> Self {
        let frame_ticks = ticks(i128::from(settings.frame_duration_ns), settings.timescale).max(1);
        Self {
            settings,
            timeline,
            file: None,
            clock: DecodeClock::new(REORDER_DEPTH, u32::try_from(frame_ticks).unwrap_or(u32::MAX)),
            gop: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            pictures: 0,
            newest_ticks: None,
            segment: None,
        }
    }

    /// Whether [`VideoTrack::configure`] was called.
    pub(super) fn is_configured(&self) -> bool {
        self.file.is_some()
    }

    /// Creates the file, once the encoder has said what it makes.
    pub(super) fn configure(&mut self, codec: PictureCodec, colour: Option<Colour>) -> Result<(), MediaError> {
        let VideoTrackSettings { folder, name, width, height, timescale, .. } = &self.settings;
        let (width, height, timescale) = (*width, *height, *timescale);
        let composition_delay_ticks = self.clock.composition_delay_ticks();
        let video = VideoConfig { codec, width, height, timescale, colour, composition_delay_ticks };
        let config = TrackConfig { media: MediaConfig::Video(video), language: None };
        self.file = Some(TrackFile::create(folder, name, &config)?);
        Ok(())
    }

    /// Takes the next picture in decode order.
    pub(super) fn push(&mut self, picture: Picture) -> Result<(), MediaError> {
        self.pictures += 1;
        if picture.is_key && !self.gop.is_empty() {
            let gop = std::mem::take(&mut self.gop);
            self.end_gop(gop, false)?;
        }
        self.gop.push(picture);
        Ok(())
    }

    /// Ends the track. `None` if there was no picture.
    pub(super) fn finish(mut self) -> Result<Option<(WrittenTrack, u64)>, MediaError> {
        let gop = std::mem::take(&mut self.gop);
        if gop.is_empty() {
            return Ok(None);
        }
        self.end_gop(gop, true)?;
        let file = self.file.ok_or_else(|| MediaError::environment("the video encoder did not say what it makes"))?;
        Ok(Some((file.finish()?, self.pictures)))
    }

    fn end_gop(&mut self, gop: Vec<Picture>, at_end: bool) -> Result<(), MediaError> {
        self.waiting_bytes += gop.iter().map(|picture| picture.data.len()).sum::<usize>();
        self.waiting.push(gop);
        let Some(settled) = self.timeline.settled(at_end || self.waiting_bytes > WAITING_MAX_BYTES) else {
            return Ok(());
        };
        self.waiting_bytes = 0;
        for gop in std::mem::take(&mut self.waiting) {
            self.write_gop(gop, settled)?;
        }
        Ok(())
    }

    fn write_gop(&mut self, gop: Vec<Picture>, settled: Settled) -> Result<(), MediaError> {
        let timescale = self.settings.timescale;
        let shown_ticks = self.presentation_times(&gop, settled)?;
        let times = self
            .clock
            .pass_gop(&shown_ticks)
            .map_err(|error| MediaError::environment(format!("the encoder's frames cannot be timed: {error}")))?;
        let file =
            self.file.as_mut().ok_or_else(|| MediaError::environment("the video encoder did not say what it makes"))?;
        if let Some(first) = gop.first() {
            let cell = self.settings.segments.cell(settled.grid_ns, first.running_ns);
            if self.segment.is_some_and(|segment| cell > segment) {
                file.begin_segment();
            }
            self.segment = Some(cell.max(self.segment.unwrap_or(cell)));
        }
        // Only the duration of the picture shown last is used: others last until the next.
        let last = gop.iter().zip(&shown_ticks).max_by_key(|(_, shown)| **shown);
        let last_ns = last.and_then(|(picture, _)| picture.duration_ns).filter(|&ns| ns > 0);
        let duration_ticks = ticks(i128::from(last_ns.unwrap_or(self.settings.frame_duration_ns)), timescale).max(1);
        let duration_ticks = u32::try_from(duration_ticks).unwrap_or(u32::MAX);
        for (picture, Times { dts_ticks, pts_ticks }) in gop.into_iter().zip(times) {
            let Picture { is_key: is_sync, data, .. } = picture;
            file.push(Sample { dts_ticks, pts_ticks, duration_ticks, is_sync, data })?;
        }
        Ok(())
    }

    /// Times of a GOP's pictures in decode order, distinct and after those of the GOP before. Only times that
    /// the source repeats are moved, by a tick.
    fn presentation_times(&mut self, gop: &[Picture], settled: Settled) -> Result<Vec<i64>, MediaError> {
        let mut order: Vec<usize> = (0..gop.len()).collect();
        order.sort_by_key(|&n| gop[n].running_ns);
        let mut times = vec![0; gop.len()];
        for n in order {
            let since_ns = i128::from(gop[n].running_ns) - i128::from(settled.zero_ns);
            if since_ns < 0 {
                return Err(begins_too_late(Kind::Video));
            }
            let time = ticks(since_ns, self.settings.timescale);
            times[n] = self.newest_ticks.map_or(time, |newest| time.max(newest + 1));
            self.newest_ticks = Some(times[n]);
        }
        Ok(times)
    }
}

/// Nanoseconds as ticks, to the nearest.
pub(super) fn ticks(ns: i128, timescale: u32) -> i64 {
    const SECOND_NS: i128 = 1_000_000_000;
    i64::try_from((ns * i128::from(timescale) + SECOND_NS / 2).div_euclid(SECOND_NS)).unwrap_or(i64::MAX)
}

/// The timeline had to be settled before this kind was seen, and then it began earlier than the other.
pub(super) fn begins_too_late(kind: Kind) -> MediaError {
    let kind = if kind == Kind::Video { "video" } else { "audio" };
    MediaError::input(format!(
        "the file is not interleaved: its {kind} begins so far behind the rest that it cannot be lined up; \
         remux it first, for example with `ffmpeg -i IN -c copy OUT.mkv`"
    ))
}
