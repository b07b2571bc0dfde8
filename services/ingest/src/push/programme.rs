//! What an encoder pushes, track by track, becomes one publication: tracks first, then chunks cut alike, then its end.
//!
//! Values in, values out: it opens nothing and looks at no clock. The tracks of one encoder come by requests of their own, and nobody
//! says how many there will be: it gathers for a while from the first header on, then begins with those that are there. One more track,
//! another header, or times that jump end the publication, and another begins.
//!
//! *Cuts.* The first track of pictures, by its name, leads; the others are cut where it is ([`flame_cmaf::Cuts`], in the encoder's own
//! times). Pictures that cannot be cut there are refused: a player that switches would see a hole.
//!
//! *Times.* An encoder that counts from 1970 (as DASH-IF live media ingest wants it) is believed if it is not further from
//! the wall than [`LOCKED_US`]; so two of them give a sample the same time. Others are tied to the wall at the end of the first fragment
//! that leads.
//!
//! *What comes again* (an encoder that sends a segment twice because its connection broke) is known by time and length, and taken once.

mod running;

use std::collections::{BTreeMap, VecDeque};

use flame_cmaf::movie::Media;
use flame_cmaf::pushed::PushedTrack;
use flame_cmaf::{Sample, WriteError};
use thiserror::Error;

use crate::live::driver::Package;
use crate::live::packager::{Lengths, Step};
use running::Running;

/// How far an encoder that counts from 1970 may be from the wall, microseconds.
const LOCKED_US: i64 = 60_000_000;
/// Times that go on further than this are another timeline, milliseconds.
const JUMP_MS: i64 = 10_000;
/// Samples whose times are remembered, for what comes twice.
const RECENT_MAX: usize = 1024;
/// The most samples that are held, of all tracks, before a publication begins.
const HELD_MAX_SAMPLES: usize = 16_384;
/// Media of a leader without a sync sample, milliseconds, before it is given up.
const GIVE_UP_MS: i64 = 20_000;
/// Publications in a row that may end so soon after they began.
const RESTARTS_MAX: u32 = 8;
const SOON_MS: i64 = 10_000;

/// What bounds a programme.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long other tracks are waited for, microseconds.
    pub gather_us: i64,
    /// Octets that are held before it begins, and while a track waits for the one that leads.
    pub held_max_bytes: usize,
    /// Tracks.
    pub tracks_max: usize,
}

/// Why an encoder cannot go on.
#[derive(Debug, Error)]
pub enum ProgrammeError {
    /// Samples that make no track.
    #[error("the samples of track `{track}` make no track")]
    Write {
        /// The track.
        track: String,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// Too many tracks.
    #[error("more than {0} tracks are pushed to one channel")]
    Tracks(usize),
    /// Key frames apart.
    #[error(
        "track `{track}` has no key frame where `{leader}` has one: encode all with the same key frames, and closed GOPs"
    )]
    NotAligned {
        /// The track.
        track: String,
        /// The one that leads.
        leader: String,
    },
    /// Nothing to begin with.
    #[error("after {} s of media, or {held_bytes} bytes, there is no key frame to begin with", GIVE_UP_MS / 1000)]
    NoBeginning {
        /// What is held.
        held_bytes: usize,
    },
    /// No key frame for so long that the segment cannot be ended.
    #[error("no key frame for {after_ms} ms: let the encoder send one every {segment_ms} ms")]
    NoKeyFrame {
        /// How long.
        after_ms: i64,
        /// How often one is wanted.
        segment_ms: u32,
    },
    /// A track runs away from the one that leads.
    #[error("track `{track}` goes on and `{leader}` does not: {waiting_bytes} bytes wait")]
    Apart {
        /// The track.
        track: String,
        /// The one that leads.
        leader: String,
        /// What waits.
        waiting_bytes: usize,
    },
    /// It never gets going.
    #[error("{RESTARTS_MAX} times in a row its times jumped or its tracks changed within {} s", SOON_MS / 1000)]
    Unsteady,
}

/// See the module.
#[derive(Debug)]
pub struct Programme {
    lengths: Lengths,
    bounds: Bounds,
    streams: BTreeMap<String, Stream>,
    stage: Stage,
    /// When what was sent before ends, microseconds since 1970.
    ended_us: i64,
    restarts: u32,
    is_finishing: bool,
}

/// A track as it comes.
#[derive(Debug)]
struct Stream {
    track: PushedTrack,
    /// Where its next sample is decoded.
    next_ticks: Option<i64>,
    /// Decode time and length of what came last.
    recent: VecDeque<(i64, usize)>,
    has_ended: bool,
}

#[derive(Debug)]
enum Stage {
    Gathering(Gathering),
    Running(Box<Running>),
}

#[derive(Debug, Default)]
struct Gathering {
    held: VecDeque<(String, Sample)>,
    held_bytes: usize,
    /// When the first header, or the first sample, came.
    since_us: Option<i64>,
    /// What is to be added to each track's times to have microseconds since 1970, by track.
    shifts_us: BTreeMap<String, i64>,
}

// === impl Programme ===

impl Programme {
    /// Nothing has come.
    #[must_use]
    pub fn new(lengths: Lengths, bounds: Bounds) -> Self {
        Self {
            lengths,
            bounds,
            streams: BTreeMap::new(),
            stage: Stage::Gathering(Gathering::default()),
            ended_us: 0,
            restarts: 0,
            is_finishing: false,
        }
    }

    /// The header of a track came.
    ///
    /// # Errors
    /// [`ProgrammeError`]; the encoder is to be sent away then. What was appended before is still to be done.
    pub fn track(
        &mut self,
        name: &str,
        track: PushedTrack,
        now_us: i64,
        steps: &mut Vec<Step>,
    ) -> Result<(), ProgrammeError> {
        if let Some(known) = self.streams.get_mut(name)
            && known.track == track
        {
            known.has_ended = false;
            return Ok(());
        }
        if !self.streams.contains_key(name) && self.streams.len() >= self.bounds.tracks_max {
            return Err(ProgrammeError::Tracks(self.bounds.tracks_max));
        }
        if matches!(self.stage, Stage::Running(_)) || self.streams.contains_key(name) {
            self.restart(steps)?;
        }
        let stream = Stream { track, next_ticks: None, recent: VecDeque::new(), has_ended: false };
        self.streams.insert(name.to_owned(), stream);
        if let Stage::Gathering(gathering) = &mut self.stage {
            gathering.since_us.get_or_insert(now_us);
        }
        Ok(())
    }

    /// A fragment of a track, whose header came before, was whole at `now_us`, microseconds since 1970.
    ///
    /// # Errors
    /// As [`Programme::track`].
    pub fn media(
        &mut self,
        name: &str,
        samples: Vec<Sample>,
        now_us: i64,
        steps: &mut Vec<Step>,
    ) -> Result<(), ProgrammeError> {
        let Some(stream) = self.streams.get_mut(name) else { return Ok(()) };
        stream.has_ended = false;
        let mut fresh = stream.fresh(&samples);
        if fresh.is_none() {
            self.restart(steps)?;
            // It remembers nothing now: only what contradicts itself is not fresh.
            fresh = self.streams.get_mut(name).and_then(|stream| stream.fresh(&samples));
        }
        let Some(stream) = self.streams.get(name) else { return Ok(()) };
        let samples = fresh.unwrap_or_default();
        let Some(last) = samples.last() else { return Ok(()) };
        if let Stage::Gathering(gathering) = &mut self.stage {
            let end_us = micros(last.dts_ticks + i64::from(last.duration_ticks), stream.track.timescale);
            let shift_us = if (end_us - now_us).abs() <= LOCKED_US { 0 } else { now_us - end_us };
            gathering.shifts_us.entry(name.to_owned()).or_insert(shift_us);
            gathering.since_us.get_or_insert(now_us);
            for sample in samples {
                gathering.held_bytes += sample.data.len();
                gathering.held.push_back((name.to_owned(), sample));
            }
            return self.gather(now_us, steps);
        }
        if let Stage::Running(running) = &mut self.stage {
            if !running.has(name) {
                // Its header came before, and its media only now.
                return self.restart(steps);
            }
            for sample in samples {
                running.take(name, sample, steps)?;
            }
        }
        Ok(())
    }

    /// Nothing more comes of a track, the encoder says. Returns whether that holds for all.
    pub fn last(&mut self, name: &str) -> bool {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.has_ended = true;
        }
        self.streams.values().all(|stream| stream.has_ended)
    }

    /// The publication that was announced has begun.
    ///
    /// # Errors
    /// As [`Programme::track`].
    pub fn begun(&mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        let Stage::Gathering(gathering) = &mut self.stage else { return Ok(()) };
        let gathering = std::mem::take(gathering);
        let Some(mut running) = self.run(&gathering)? else { return Ok(()) };
        for (name, sample) in gathering.held {
            running.take(&name, sample, steps)?;
        }
        self.stage = Stage::Running(Box::new(running));
        if self.is_finishing { self.restart(steps) } else { Ok(()) }
    }

    /// Ends the publication, if there is one; the next key frame begins another.
    ///
    /// # Errors
    /// [`ProgrammeError::Unsteady`], if that happens all the time.
    pub fn restart(&mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        let ended = std::mem::replace(&mut self.stage, Stage::Gathering(Gathering::default()));
        for stream in self.streams.values_mut() {
            (stream.next_ticks, stream.recent) = (None, VecDeque::new());
        }
        let Stage::Running(running) = ended else { return Ok(()) };
        self.restarts = if running.length_ms() < SOON_MS && !self.is_finishing { self.restarts + 1 } else { 0 };
        self.ended_us = self.ended_us.max(running.end_us());
        running.finish(steps)?;
        steps.push(Step::End);
        if self.restarts == RESTARTS_MAX { Err(ProgrammeError::Unsteady) } else { Ok(()) }
    }

    /// The encoder has left: what has not been given out yet, also what was too short to begin with before, and the end.
    ///
    /// # Errors
    /// As [`Programme::track`].
    pub fn finish(&mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        self.is_finishing = true;
        if let Stage::Gathering(gathering) = &self.stage
            && let Some(running) = self.run(gathering)?
        {
            steps.push(Step::Begin(running.tracks()));
            return Ok(());
        }
        self.restart(steps)
    }

    /// Begins, if everything is there.
    fn gather(&mut self, now_us: i64, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        let Stage::Gathering(gathering) = &self.stage else { return Ok(()) };
        let waited_us = now_us - gathering.since_us.unwrap_or(now_us);
        // A track whose header is there is waited for longer: its first fragment may be a whole segment.
        let is_complete = self.streams.keys().all(|name| gathering.shifts_us.contains_key(name));
        let least_us = if is_complete { 0 } else { 2000 * i64::from(self.lengths.segment_ms) };
        if waited_us >= self.bounds.gather_us + least_us
            && let Some(running) = self.run(gathering)?
        {
            steps.push(Step::Begin(running.tracks()));
            return Ok(());
        }
        let held_bytes = gathering.held_bytes;
        let is_full = held_bytes > self.bounds.held_max_bytes || gathering.held.len() > HELD_MAX_SAMPLES;
        if is_full || waited_us > self.bounds.gather_us + GIVE_UP_MS * 1000 {
            return Err(ProgrammeError::NoBeginning { held_bytes });
        }
        Ok(())
    }

    /// The tracks of which something came, cut from the leader's first sync sample on; `None` where it has none yet.
    fn run(&self, gathering: &Gathering) -> Result<Option<Running>, ProgrammeError> {
        let there = || self.streams.iter().filter(|(name, _)| gathering.shifts_us.contains_key(*name));
        let pictures = there().find(|(_, stream)| matches!(stream.track.media, Media::Picture(_)));
        let Some((leader, stream)) = pictures.or_else(|| there().next()) else { return Ok(None) };
        let first = gathering.held.iter().find(|(name, sample)| name == leader && sample.is_sync);
        let Some((_, first)) = first else { return Ok(None) };
        let begins_us = micros(first.dts_ticks, stream.track.timescale);
        let shift_us = gathering.shifts_us.get(leader).copied().unwrap_or(0);
        // What was sent before has ended by then.
        let shift_us = shift_us.max(self.ended_us - begins_us);
        let tracks = there().map(|(name, stream)| {
            let lasts = gathering.held.iter().filter(|(of, _)| of == name).map(|(_, sample)| sample.duration_ticks);
            (name.as_str(), &stream.track, constant(lasts))
        });
        Running::begin(self.lengths, self.bounds.held_max_bytes, leader, tracks, shift_us).map(Some)
    }
}

impl Package for Programme {
    type Error = ProgrammeError;

    fn begun(&mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        Self::begun(self, steps)
    }

    fn restart(&mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        Self::restart(self, steps)
    }

    fn finish(&mut self, steps: &mut Vec<Step>) -> Result<(), ProgrammeError> {
        Self::finish(self, steps)
    }
}

// === impl Stream ===

impl Stream {
    /// What did not come before; `None` where this is another timeline.
    fn fresh(&mut self, samples: &[Sample]) -> Option<Vec<Sample>> {
        let jump_ticks = JUMP_MS * i64::from(self.track.timescale) / 1000;
        let mut fresh = Vec::with_capacity(samples.len());
        for sample in samples {
            let known = (sample.dts_ticks, sample.data.len());
            match self.next_ticks {
                Some(next) if sample.dts_ticks < next => {
                    if !self.recent.contains(&known) {
                        return None;
                    }
                    continue;
                }
                Some(next) if sample.dts_ticks - next > jump_ticks => return None,
                Some(_) | None => {}
            }
            if self.recent.len() == RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(known);
            self.next_ticks = Some(sample.dts_ticks + 1);
            fresh.push(sample.clone());
        }
        Some(fresh)
    }
}

/// The length of all, if it is the same.
fn constant(mut ticks: impl Iterator<Item = u32>) -> Option<u32> {
    let first = ticks.next().filter(|first| *first > 0)?;
    ticks.all(|other| other == first).then_some(first)
}

fn micros(ticks: i64, timescale: u32) -> i64 {
    let us = (i128::from(ticks) * 1_000_000).div_euclid(i128::from(timescale.max(1)));
    i64::try_from(us).unwrap_or(if us < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
}

#[cfg(test)]
mod tests;
