//! Sound, from the encoder to the track: access units are counted, never timed by the encoder.
//!
//! FFmpeg's AAC encoder gives one access unit of 1,024 samples after the other, and its decoder's first
//! 1,024 samples are priming. So the n-th unit is decoded at `offset + 1024 n`, the edit list takes the
//! priming away, and the last unit is cut to the samples that were fed.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use flame_cmaf::{AudioConfig, MediaConfig, Sample, SoundCodec, TrackConfig};

use super::{
    grid::Grid,
    timeline::{Kind, Settled, Timeline},
    track_file::{TrackFile, WrittenTrack},
    video_track::{WAITING_MAX_BYTES, begins_too_late, ticks},
};
use crate::fault::MediaError;

/// Samples of an AAC-LC access unit.
pub(super) const UNIT_SAMPLES: u32 = 1024;
/// Samples that FFmpeg's AAC encoder puts before the first (`initial_padding`); a test decodes a click to see.
pub(super) const PRIMING_SAMPLES: u32 = 1024;

/// Sound that begins so little before the pictures joins the first segment. Matroska often moves pictures up by the priming.
const EARLY_NS: u64 = 500_000_000;

/// What does not change while the track is written.
#[derive(Debug, Clone)]
pub(super) struct AudioTrackSettings {
    /// Its place in the plan.
    pub(super) sound: usize,
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
    pub(super) language: Option<String>,
    pub(super) segments: Grid,
}

/// What goes into the encoder, counted in front of it.
#[derive(Debug, Default)]
pub(super) struct AudioFeed {
    /// Running time of the first sample.
    pub(super) first_ns: AtomicU64,
    /// Samples per channel.
    pub(super) samples: AtomicU64,
}

/// The track being written.
pub(super) struct AudioTrack {
    settings: AudioTrackSettings,
    timeline: Arc<Timeline>,
    feed: Arc<AudioFeed>,
    file: Option<TrackFile>,
    /// Units not yet written: at least the newest, because the last one is cut.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    written: u64,
    segment: Option<i64>,
}

// === impl AudioTrack ===

impl AudioTrack {
    pub(super) fn new(settings: AudioTrackSettings, timeline: Arc<Timeline>, feed: Arc<AudioFeed>) -> Self {
        Self {
            settings,
            timeline,
            feed,
            file: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            written: 0,
            segment: None,
        }
    }

    /// Whether [`AudioTrack::configure`] was called.
    pub(super) fn is_configured(&self) -> bool {
        self.file.is_some()
    }

    /// Creates the file, once the encoder has said what it makes.
    pub(super) fn configure(&mut self, asc: &[u8]) -> Result<(), MediaError> {
        let AudioTrackSettings { folder, name, sample_rate_hz, channels, language, .. } = &self.settings;
        let audio = AudioConfig {
            codec: SoundCodec::Aac(asc.to_vec()),
            sample_rate_hz: *sample_rate_hz,
            channels: *channels,
            priming_samples: PRIMING_SAMPLES,
        };
        let config = TrackConfig { media: MediaConfig::Audio(audio), language: language.clone() };
        self.file = Some(TrackFile::create(folder, name, &config)?);
        Ok(())
    }

    /// Takes the next access unit.
    pub(super) fn push(&mut self, unit: Bytes) -> Result<(), MediaError> {
        self.waiting_bytes += unit.len();
        self.waiting.push_back(unit);
        let Some(settled) = self.timeline.settled(self.waiting_bytes > WAITING_MAX_BYTES) else {
            return Ok(());
        };
        while self.waiting.len() > 1 {
            self.write_next(settled, UNIT_SAMPLES)?;
        }
        Ok(())
    }

    /// Ends the track. `None` if there was no sound.
    pub(super) fn finish(mut self) -> Result<Option<WrittenTrack>, MediaError> {
        let Some(settled) = self.timeline.settled(true).filter(|_| !self.waiting.is_empty()) else {
            return Ok(None);
        };
        while self.waiting.len() > 1 {
            self.write_next(settled, UNIT_SAMPLES)?;
        }
        let wanted = self.feed.samples.load(Ordering::Acquire) + u64::from(PRIMING_SAMPLES);
        let rest = wanted.saturating_sub(self.written * u64::from(UNIT_SAMPLES));
        let rest = u32::try_from(rest).unwrap_or(UNIT_SAMPLES).clamp(1, UNIT_SAMPLES);
        self.write_next(settled, rest)?;
        let file = self.file.ok_or_else(|| MediaError::environment("the audio encoder did not say what it makes"))?;
        file.finish().map(Some)
    }

    fn write_next(&mut self, settled: Settled, duration_ticks: u32) -> Result<(), MediaError> {
        let Some(data) = self.waiting.pop_front() else { return Ok(()) };
        self.waiting_bytes -= data.len();
        let rate = self.settings.sample_rate_hz;
        let first_ns = self.feed.first_ns.load(Ordering::Acquire);
        let offset_ns = i128::from(first_ns) - i128::from(settled.zero_ns);
        if offset_ns < 0 {
            return Err(begins_too_late(Kind::Audio(self.settings.sound)));
        }
        let since_first = i64::try_from(self.written * u64::from(UNIT_SAMPLES)).unwrap_or(i64::MAX);
        let time_ticks = ticks(offset_ns, rate).saturating_add(since_first);
        let file =
            self.file.as_mut().ok_or_else(|| MediaError::environment("the audio encoder did not say what it makes"))?;
        // A unit is heard when its priming has passed; the first one counts with the second.
        let heard_samples = u64::try_from(since_first).unwrap_or(0).saturating_sub(u64::from(PRIMING_SAMPLES));
        let heard_ns = first_ns + heard_samples.saturating_mul(1_000_000_000) / u64::from(rate);
        let cell = self.settings.segments.cell(settled.grid_ns, heard_ns);
        // A segment of one or two units of its own, which players stumble over, would be all that lies before the pictures.
        let is_a_little_early = settled.grid_ns.saturating_sub(first_ns) < EARLY_NS;
        let cell = if is_a_little_early { cell.max(0) } else { cell };
        if self.segment.is_some_and(|segment| cell > segment) {
            file.begin_segment();
        }
        self.segment = Some(cell.max(self.segment.unwrap_or(cell)));
        self.written += 1;
        let sample = Sample { dts_ticks: time_ticks, pts_ticks: time_ticks, duration_ticks, is_sync: true, data };
        file.push(sample)
    }
}
