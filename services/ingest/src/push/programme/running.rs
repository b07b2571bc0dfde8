//! A pushed publication under way: samples become chunks, all tracks cut where the leader is.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use flame_api::live::LiveTrack;
use flame_api::media::{Rational, TrackKind};
use flame_cmaf::movie::Media;
use flame_cmaf::pushed::PushedTrack;
use flame_cmaf::{ChunkWriter, Cuts, Followed, MediaTime, Parts, Sample};

use super::{ProgrammeError, Step, micros};
use crate::live::packager::{Lengths, Track};

/// The longest segment, milliseconds: the request that carries it is open for as long.
const SEGMENT_MAX_MS: i64 = 30_000;
/// The most samples of a track that wait for the leader.
const WAITING_MAX: usize = 8_192;

/// See the module.
#[derive(Debug)]
pub(super) struct Running {
    cuts: Cuts,
    leader: String,
    lanes: BTreeMap<String, Lane>,
    segment_ms: u32,
    waiting_max_bytes: usize,
    /// Of the leader: the segment that its newest sample is in, and when that began, microseconds.
    segment: Option<(u64, i64)>,
    began_us: Option<i64>,
    newest_us: i64,
}

/// One track.
#[derive(Debug)]
struct Lane {
    live: LiveTrack,
    writer: ChunkWriter,
    is_picture: bool,
    /// What is added to its times.
    shift_ticks: i64,
    /// What is not known yet where it belongs.
    waiting: VecDeque<Sample>,
    waiting_bytes: usize,
    /// The segment of its newest sample.
    number: Option<u64>,
    /// Where what was written ends, ticks since 1970.
    end_ticks: i64,
}

// === impl Running ===

impl Running {
    /// Tracks by their names, `leader` among them, and what each sample lasts where that is the same for all.
    pub(super) fn begin<'a>(
        lengths: Lengths,
        waiting_max_bytes: usize,
        leader: &str,
        tracks: impl Iterator<Item = (&'a str, &'a PushedTrack, Option<u32>)>,
        shift_us: i64,
    ) -> Result<Self, ProgrammeError> {
        let mut lanes = BTreeMap::new();
        for (name, track, frame_ticks) in tracks {
            lanes.insert(name.to_owned(), Lane::new(name, track, frame_ticks, lengths.part_ms, shift_us)?);
        }
        Ok(Self {
            cuts: Cuts::new(lengths.segment_ms, 0),
            leader: leader.to_owned(),
            lanes,
            segment_ms: lengths.segment_ms,
            waiting_max_bytes,
            segment: None,
            began_us: None,
            newest_us: 0,
        })
    }

    pub(super) fn tracks(&self) -> Vec<Track> {
        let track = |lane: &Lane| Track {
            name: Cow::Owned(lane.live.name.clone()),
            live: lane.live.clone(),
            init: lane.writer.init().clone(),
        };
        self.lanes.values().map(track).collect()
    }

    /// Whether it has this track.
    pub(super) fn has(&self, name: &str) -> bool {
        self.lanes.contains_key(name)
    }

    /// How much media there was.
    pub(super) fn length_ms(&self) -> i64 {
        self.began_us.map_or(0, |began_us| (self.newest_us - began_us) / 1000)
    }

    /// Where decoding ends, microseconds since 1970, rounded up.
    pub(super) fn end_us(&self) -> i64 {
        let ends = self.lanes.values().filter(|lane| lane.number.is_some());
        ends.map(|lane| micros(lane.end_ticks, lane.live.timescale) + 1).max().unwrap_or(0)
    }

    pub(super) fn take(&mut self, name: &str, mut sample: Sample, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        // Sound may begin anywhere, whatever its encoder says of it.
        sample.is_sync |= self.lanes.get(name).is_some_and(|lane| !lane.is_picture);
        if name != self.leader {
            let (limit, leader) = (self.waiting_max_bytes, self.leader.clone());
            let Some(lane) = self.lanes.get_mut(name) else { return Ok(()) };
            lane.waiting_bytes += sample.data.len();
            lane.waiting.push_back(sample);
            lane.follow(&self.cuts, &leader, steps)?;
            if lane.waiting_bytes > limit || lane.waiting.len() > WAITING_MAX {
                let (track, waiting_bytes) = (name.to_owned(), lane.waiting_bytes);
                return Err(ProgrammeError::Apart { track, leader, waiting_bytes });
            }
            return Ok(());
        }
        self.lead(sample, steps)?;
        self.follow(steps)
    }

    fn lead(&mut self, sample: Sample, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        let Some(lane) = self.lanes.get_mut(&self.leader) else { return Ok(()) };
        if lane.number.is_none() && !sample.is_sync {
            return Ok(());
        }
        let time_us = micros(sample.dts_ticks, lane.live.timescale);
        self.began_us.get_or_insert(time_us);
        self.newest_us = self.newest_us.max(time_us);
        let number = self.cuts.lead(lane.time(sample.pts_ticks), lane.time(sample.dts_ticks), sample.is_sync);
        let began_us = match self.segment {
            Some((current, began_us)) if current == number => began_us,
            Some(_) | None => time_us,
        };
        self.segment = Some((number, began_us));
        let after_ms = (time_us - began_us) / 1000;
        if after_ms > SEGMENT_MAX_MS {
            return Err(ProgrammeError::NoKeyFrame { after_ms, segment_ms: self.segment_ms });
        }
        lane.push(sample, number, steps)
    }

    fn follow(&mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        let followers = self.lanes.iter_mut().filter(|(name, _)| **name != self.leader);
        for (_, lane) in followers {
            lane.follow(&self.cuts, &self.leader, steps)?;
        }
        Ok(())
    }

    /// Gives out what is left.
    pub(super) fn finish(mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        self.cuts.close();
        let followed = self.follow(steps);
        for (name, lane) in self.lanes {
            let track = Cow::<'static, str>::Owned(name.clone());
            let chunks = lane.writer.finish().map_err(|source| ProgrammeError::Write { track: name, source })?;
            steps.extend(chunks.into_iter().map(|chunk| Step::Chunk { track: track.clone(), chunk }));
        }
        followed
    }
}

// === impl Lane ===

impl Lane {
    fn new(
        name: &str,
        track: &PushedTrack,
        frame_ticks: Option<u32>,
        part_ms: u32,
        shift_us: i64,
    ) -> Result<Self, ProgrammeError> {
        let PushedTrack { codec, timescale, language, media, init, .. } = track;
        let parts = Parts::of(part_ms, *timescale, frame_ticks);
        let writer = ChunkWriter::of(init.clone(), codec.clone(), parts)
            .map_err(|source| ProgrammeError::Write { track: name.to_owned(), source })?;
        let mut live = LiveTrack {
            name: name.to_owned(),
            kind: TrackKind::Audio,
            codec: codec.clone(),
            timescale: *timescale,
            part_ticks: parts.longest_ticks,
            width: None,
            height: None,
            frame_rate: None,
            channels: None,
            sample_rate_hz: None,
            language: None,
        };
        match media {
            Media::Picture(picture) => {
                live.kind = TrackKind::Video;
                (live.width, live.height) = (Some(picture.width.into()), Some(picture.height.into()));
                live.frame_rate = frame_ticks.map(|frame_ticks| reduced(*timescale, frame_ticks));
            }
            Media::Sound(sound) => {
                (live.channels, live.sample_rate_hz) = (Some(sound.channels), Some(sound.sample_rate_hz));
                live.language.clone_from(language);
            }
        }
        let shift_ticks = (i128::from(shift_us) * i128::from(*timescale) + 500_000).div_euclid(1_000_000);
        Ok(Self {
            is_picture: live.kind == TrackKind::Video,
            live,
            writer,
            shift_ticks: i64::try_from(shift_ticks).unwrap_or(0),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            number: None,
            end_ticks: 0,
        })
    }

    fn time(&self, ticks: i64) -> MediaTime {
        MediaTime { ticks, timescale: self.live.timescale }
    }

    /// Gives out what is known where it belongs.
    fn follow(&mut self, cuts: &Cuts, leader: &str, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        while let Some(sample) = self.waiting.pop_front() {
            // Tracks round their times each in its own ticks: pictures belong to what is within half a picture.
            let half = i64::from(sample.duration_ticks / 2);
            let nudge = match (self.is_picture, sample.is_sync) {
                (true, true) => half,
                (true, false) => -half,
                (false, _) => 0,
            };
            match cuts.follow(self.time(sample.pts_ticks + nudge)) {
                Followed::Number(number) => {
                    self.waiting_bytes -= sample.data.len();
                    let number = self.number.map_or(number, |current| current.max(number));
                    match self.number {
                        _ if !self.is_picture || sample.is_sync => {}
                        Some(current) if current == number => {}
                        Some(_) => {
                            let (track, leader) = (self.live.name.clone(), leader.to_owned());
                            return Err(ProgrammeError::NotAligned { track, leader });
                        }
                        // Before its first key frame.
                        None => continue,
                    }
                    self.push(sample, number, steps)?;
                }
                // Before the leader's first picture.
                Followed::TooEarly => self.waiting_bytes -= sample.data.len(),
                Followed::Unknown => {
                    self.waiting.push_front(sample);
                    break;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, sample: Sample, number: u64, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        let sample = Sample {
            dts_ticks: sample.dts_ticks + self.shift_ticks,
            pts_ticks: sample.pts_ticks + self.shift_ticks,
            ..sample
        };
        self.number = Some(number);
        self.end_ticks = self.end_ticks.max(sample.dts_ticks + i64::from(sample.duration_ticks));
        let name = &self.live.name;
        let chunks = self.writer.push(sample, number);
        let chunks = chunks.map_err(|source| ProgrammeError::Write { track: name.clone(), source })?;
        let track = || Cow::<'static, str>::Owned(name.clone());
        steps.extend(chunks.into_iter().map(|chunk| Step::Chunk { track: track(), chunk }));
        Ok(())
    }
}

fn reduced(num: u32, den: u32) -> Rational {
    let (mut divisor, mut rest) = (num, den);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    Rational { num: num / divisor.max(1), den: den / divisor.max(1) }
}
