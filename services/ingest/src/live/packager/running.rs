//! A publication under way: samples become chunks, track by track, cut alike.

use std::borrow::Cow;
use std::collections::VecDeque;

use flame_api::live::LiveTrack;
use flame_api::media::{Rational, TrackKind};
use flame_cmaf::{
    AudioConfig, ChunkWriter, Cuts, Followed, MediaConfig, MediaTime, Parts, PictureCodec, Sample, SoundCodec,
    TrackConfig, VideoConfig,
};

use super::{Base, Hints, Lengths, PackageError, Step, Timed, Track};
use crate::live::codecs::{H264, OPUS_RATE_HZ, Sound};
use crate::live::grid::{Grid, MS_TICKS};

/// Names of the tracks.
const VIDEO: &str = "v";
const AUDIO: &str = "a";
/// Ticks per second of pictures: a frame of every usual rate (24000/1001 and 60000/1001 too), and a millisecond, is a whole
/// number of them. So a channel's pictures keep their ticks when another encoder has another rate.
const TIMESCALE: u32 = 360_000;
/// Other rates are brought up to this many ticks per second at least: 7/3 is 3000/7000.
const FINE_TICKS: u32 = 1000;
/// Sound that is held back until it is known where the pictures are cut.
const WAITING_MAX: usize = 1024;
/// The longest segment, milliseconds: the request that carries it is open for as long.
const SEGMENT_MAX_MS: i64 = 30_000;

/// The tracks of a publication. See the module.
#[derive(Debug)]
pub(super) struct Running {
    cuts: Cuts,
    video: Option<Lane>,
    audio: Option<Lane>,
    /// Sound that is not known yet where it belongs.
    waiting: VecDeque<Sample>,
    segment_ms: u32,
    base_clock: i64,
    newest_clock: i64,
    /// Of the leader: the segment that its newest sample is in, and when that began.
    segment: Option<(u64, i64)>,
}

/// One track.
#[derive(Debug)]
struct Lane {
    name: &'static str,
    live: LiveTrack,
    grid: Grid,
    writer: ChunkWriter,
    /// What the last sample of all lasts, ticks.
    last_duration_ticks: u32,
    /// When the newest sample has been decoded.
    end_ticks: i64,
}

// === impl Running ===

impl Running {
    /// Tracks of these configurations; there is at least one.
    pub(super) fn begin(
        lengths: Lengths,
        video: Option<(&H264, Hints)>,
        audio: Option<&Sound>,
        base: Base,
    ) -> Result<Self, PackageError> {
        let video = video.map(|(video, hints)| Lane::pictures(video, hints, lengths.part_ms, base)).transpose()?;
        let audio = audio.map(|audio| Lane::sound(audio, lengths.part_ms, base)).transpose()?;
        Ok(Self {
            cuts: Cuts::new(lengths.segment_ms, 0),
            video,
            audio,
            waiting: VecDeque::new(),
            segment_ms: lengths.segment_ms,
            base_clock: base.clock,
            newest_clock: base.clock,
            segment: None,
        })
    }

    pub(super) fn tracks(&self) -> Vec<Track> {
        let lanes = self.video.iter().chain(&self.audio);
        let tracks = lanes.map(|lane| Track {
            name: Cow::Borrowed(lane.name),
            live: lane.live.clone(),
            init: lane.writer.init().clone(),
        });
        tracks.collect()
    }

    /// How much media there was, ticks of the encoder's clock.
    pub(super) fn length_ticks(&self) -> i64 {
        self.newest_clock - self.base_clock
    }

    pub(super) fn take(&mut self, sample: Timed, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        let clock = sample.clock;
        self.newest_clock = self.newest_clock.max(clock);
        match sample.kind {
            TrackKind::Video => {
                let Some(lane) = &mut self.video else { return Ok(()) };
                let sample = lane.place(sample);
                self.lead(sample, clock, steps)?;
                self.follow(steps)
            }
            TrackKind::Audio => {
                let Some(lane) = &mut self.audio else { return Ok(()) };
                let sample = lane.place(sample);
                if self.video.is_none() {
                    return self.lead(sample, clock, steps);
                }
                if self.waiting.len() == WAITING_MAX {
                    return Err(PackageError::PicturesStopped);
                }
                self.waiting.push_back(sample);
                self.follow(steps)
            }
        }
    }

    /// Where decoding ends, microseconds since 1970, rounded up.
    pub(super) fn end_us(&self) -> i64 {
        self.video.iter().chain(&self.audio).map(Lane::end_us).max().unwrap_or(0)
    }

    /// Gives out what is left.
    pub(super) fn finish(mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        self.cuts.close();
        self.follow(steps)?;
        for lane in self.video.into_iter().chain(self.audio) {
            let track = Cow::Borrowed(lane.name);
            steps.extend(lane.writer.finish()?.into_iter().map(|chunk| Step::Chunk { track: track.clone(), chunk }));
        }
        Ok(())
    }

    /// The next sample of the track that says where segments begin.
    fn lead(&mut self, sample: Sample, clock: i64, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        let Some(lane) = self.video.as_mut().or(self.audio.as_mut()) else { return Ok(()) };
        let time = |ticks| MediaTime { ticks, timescale: lane.live.timescale };
        let number = self.cuts.lead(time(sample.pts_ticks), time(sample.dts_ticks), sample.is_sync);
        let began = match self.segment {
            Some((current, began)) if current == number => began,
            Some(_) | None => clock,
        };
        self.segment = Some((number, began));
        let after_ms = (clock - began) / MS_TICKS;
        if after_ms > SEGMENT_MAX_MS {
            return Err(PackageError::NoKeyFrame { after_ms, segment_ms: self.segment_ms });
        }
        lane.push(sample, number, steps)
    }

    /// Sound goes where the pictures have been cut.
    fn follow(&mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        let Some(lane) = &mut self.audio else { return Ok(()) };
        while let Some(sample) = self.waiting.pop_front() {
            match self.cuts.follow(MediaTime { ticks: sample.pts_ticks, timescale: lane.live.timescale }) {
                Followed::Number(number) => lane.push(sample, number, steps)?,
                // Before the first picture.
                Followed::TooEarly => {}
                Followed::Unknown => {
                    self.waiting.push_front(sample);
                    break;
                }
            }
        }
        Ok(())
    }
}

// === impl Lane ===

impl Lane {
    fn pictures(video: &H264, hints: Hints, part_ms: u32, base: Base) -> Result<Self, PackageError> {
        let (width, height) = video.size.or(hints.size).ok_or(PackageError::NoSize)?;
        // The parameter set's rate is exact, the encoder's own word is a decimal.
        let frame_rate = video.rate.or(hints.rate);
        let (timescale, frame_ticks) = frame_rate.map_or((TIMESCALE, None), |rate| {
            let (timescale, frame_ticks) = ticks_of(rate);
            (timescale, Some(frame_ticks))
        });
        let config = VideoConfig {
            codec: PictureCodec::Avc(video.record.to_vec()),
            width,
            height,
            timescale,
            colour: video.colour,
            composition_delay_ticks: 0,
        };
        let config = TrackConfig { media: MediaConfig::Video(config), language: None };
        let mut lane = Self::new(VIDEO, TrackKind::Video, &config, frame_ticks, part_ms, base)?;
        lane.live.width = Some(width.into());
        lane.live.height = Some(height.into());
        lane.live.frame_rate = frame_rate;
        Ok(lane)
    }

    fn sound(sound: &Sound, part_ms: u32, base: Base) -> Result<Self, PackageError> {
        let (codec, sample_rate_hz, channels, frame_samples) = match sound {
            Sound::Aac(aac) => {
                (SoundCodec::Aac(aac.config.to_vec()), aac.sample_rate_hz, aac.channels, aac.frame_samples)
            }
            Sound::Opus(opus) => (SoundCodec::Opus, OPUS_RATE_HZ, opus.channels, opus.frame_samples),
        };
        let config = AudioConfig { codec, sample_rate_hz, channels, priming_samples: 0 };
        let config = TrackConfig { media: MediaConfig::Audio(config), language: None };
        let mut lane = Self::new(AUDIO, TrackKind::Audio, &config, Some(frame_samples), part_ms, base)?;
        lane.live.channels = Some(channels);
        lane.live.sample_rate_hz = Some(sample_rate_hz);
        Ok(lane)
    }

    fn new(
        name: &'static str,
        kind: TrackKind,
        config: &TrackConfig,
        frame_ticks: Option<u32>,
        part_ms: u32,
        base: Base,
    ) -> Result<Self, PackageError> {
        let timescale = config.timescale();
        let parts = Parts::of(part_ms, timescale, frame_ticks);
        let writer = ChunkWriter::new(config, parts)?;
        let live = LiveTrack {
            name: name.to_owned(),
            kind,
            codec: writer.codec().to_owned(),
            timescale,
            part_ticks: parts.longest_ticks,
            width: None,
            height: None,
            frame_rate: None,
            channels: None,
            sample_rate_hz: None,
            language: None,
        };
        let grid = Grid::new(timescale, frame_ticks, base.clock, base.us);
        // Where no rate is known, as long as a part has room for five.
        let last_duration_ticks = frame_ticks.unwrap_or(parts.longest_ticks / 5).max(1);
        Ok(Self { name, live, grid, writer, last_duration_ticks, end_ticks: 0 })
    }

    fn place(&mut self, sample: Timed) -> Sample {
        let dts_ticks = self.grid.place(sample.clock);
        let pts_ticks = dts_ticks + self.grid.distance(sample.composition);
        self.end_ticks = dts_ticks + i64::from(self.last_duration_ticks);
        let Timed { is_sync, data, .. } = sample;
        Sample { dts_ticks, pts_ticks, duration_ticks: self.last_duration_ticks, is_sync, data }
    }

    fn end_us(&self) -> i64 {
        let end_us = (i128::from(self.end_ticks) * 1_000_000).div_euclid(i128::from(self.live.timescale)) + 1;
        i64::try_from(end_us).unwrap_or(i64::MAX)
    }

    fn push(&mut self, sample: Sample, number: u64, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        let track = Cow::Borrowed(self.name);
        let chunks = self.writer.push(sample, number)?;
        steps.extend(chunks.into_iter().map(|chunk| Step::Chunk { track: track.clone(), chunk }));
        Ok(())
    }
}

/// Ticks per second, and ticks of a frame.
fn ticks_of(rate: Rational) -> (u32, u32) {
    let frame_ticks = u64::from(TIMESCALE) * u64::from(rate.den);
    match u32::try_from(frame_ticks / u64::from(rate.num)) {
        Ok(whole) if frame_ticks.is_multiple_of(rate.num.into()) => (TIMESCALE, whole),
        Ok(_) | Err(_) if rate.num < FINE_TICKS => (rate.num * FINE_TICKS, rate.den * FINE_TICKS),
        Ok(_) | Err(_) => (rate.num, rate.den),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_rates_have_the_same_ticks() {
        let ticks = |num, den| ticks_of(Rational { num, den });
        for (num, den) in [
            (24, 1),
            (25, 1),
            (30, 1),
            (50, 1),
            (60, 1),
            (120, 1),
            (25, 2),
            (24_000, 1001),
            (30_000, 1001),
            (60_000, 1001),
        ] {
            assert_eq!(ticks(num, den).0, TIMESCALE, "{num}/{den}");
            assert_eq!(u64::from(ticks(num, den).1) * u64::from(num), u64::from(den) * u64::from(TIMESCALE));
        }
        assert_eq!(ticks(7, 3), (7000, 3000));
        assert_eq!(ticks(33_333, 1000), (33_333, 1000));
    }
}
