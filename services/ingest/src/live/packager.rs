//! What an encoder sends becomes a publication: tracks first, then chunks of CMAF, then its end.
//!
//! Values in, values out: it opens nothing and looks at no clock; the caller says when a sample came. First it gathers until it
//! knows which tracks there are and has a picture that decoding can start at; then all tracks are cut where the pictures
//! allow it ([`flame_cmaf::Cuts`]). In between it waits to hear that the publication has begun. Another configuration, or times that jump, end the publication, and the next key frame
//! begins another.
//!
//! *Times.* The first sample's arrival is the instant that the encoder's clock is tied to, or the end of what it sent before,
//! if that is later (an encoder that runs ahead of the wall, and begins anew); from then on only the encoder's clock
//! counts, on the frame grid where the rate is known ([`super::grid`]). What AAC needs to get going (priming) is in the
//! encoder's own times already, so no edit list is needed; B-frames are shown later than they are decoded, by whole frames.

mod running;

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use flame_api::live::LiveTrack;
use flame_api::media::{Rational, TrackKind};
use flame_cmaf::{Chunk, WriteError};
use thiserror::Error;

use super::codecs::{Aac, H264, Opus, RecordError, Sound};
use super::driver::Package;
use super::grid::{CLOCK_HZ, Count, MS_TICKS, Timestamps};
use running::Running;

/// Media that is waited for, ticks, where an encoder does not say which tracks it has, or one of them is late.
const GATHER_TICKS: i64 = 2_000 * MS_TICKS;
/// Media without anything that a track can begin with, seconds, before it is given up.
const GIVE_UP_S: i64 = 20;
/// What is held while tracks are being waited for.
const HELD_MAX_BYTES: usize = 16 << 20;
const HELD_MAX_SAMPLES: usize = 4096;
/// Times that go on further than this are another timeline, also those of decoding and of showing one picture; less is
/// media that was lost on the way.
const JUMP_TICKS: i64 = 10_000 * MS_TICKS;
/// Times that go back further than this are another timeline; less is disorder.
const BACK_TICKS: i64 = 500 * MS_TICKS;
/// Publications in a row that may end so soon after they began ([`SOON_S`]).
const RESTARTS_MAX: u32 = 8;
const SOON_S: i64 = 10;

/// How long segments and parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// A segment, milliseconds, above 0.
    pub segment_ms: u32,
    /// A part, milliseconds, above 0.
    pub part_ms: u32,
}

/// What an encoder says about its media besides configurations.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hints {
    /// Whether there will be pictures.
    pub has_video: Option<bool>,
    /// Whether there will be sound.
    pub has_audio: Option<bool>,
    /// Pictures per second.
    pub rate: Option<Rational>,
    /// Width and height.
    pub size: Option<(u16, u16)>,
}

/// What an encoder sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// About its media.
    Hints(Hints),
    /// The configuration of its pictures or its sound.
    Configuration(TrackKind, Bytes),
    /// Its sound is Opus.
    Opus(Opus),
    /// A picture or an access unit.
    Media {
        /// Which.
        kind: TrackKind,
        /// When it is decoded, as its protocol counts ([`Count`]).
        time: u64,
        /// How much later it is shown, counted likewise.
        composition: i32,
        /// Its octets.
        data: Bytes,
    },
}

/// What is to be done.
#[derive(Debug)]
pub enum Step {
    /// Begin a publication with these tracks, and say when it has begun.
    Begin(Vec<Track>),
    /// Send a chunk of one of them; segments are counted from 0.
    Chunk {
        /// Name of the track.
        track: Cow<'static, str>,
        /// The chunk.
        chunk: Chunk,
    },
    /// End the publication.
    End,
}

/// A track of a publication.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What streaming is told.
    pub live: LiveTrack,
    /// Its init segment.
    pub init: Bytes,
}

/// Why an encoder cannot go on.
#[derive(Debug, Error)]
pub enum PackageError {
    /// A configuration or a picture.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Samples that make no track.
    #[error("the samples make no track")]
    Write(#[from] WriteError),
    /// Pictures whose size nobody says.
    #[error("neither the H.264 parameter set nor the encoder says how large the pictures are")]
    NoSize,
    /// Nothing to begin with.
    #[error("after {} s of media, or {HELD_MAX_BYTES} bytes, there is no configuration or no key frame", GIVE_UP_S)]
    NoBeginning,
    /// No key frame for so long that the segment cannot be ended.
    #[error("no key frame for {after_ms} ms: let the encoder send one every {segment_ms} ms")]
    NoKeyFrame {
        /// How long.
        after_ms: i64,
        /// How often one is wanted.
        segment_ms: u32,
    },
    /// Sound goes on and pictures do not.
    #[error("the pictures have stopped while the sound goes on")]
    PicturesStopped,
    /// It never gets going.
    #[error("{RESTARTS_MAX} times in a row its times jumped or its configuration changed within {} s", SOON_S)]
    Unsteady,
}

/// Makes publications of what an encoder sends. See the module.
#[derive(Debug)]
pub struct Packager {
    lengths: Lengths,
    hints: Hints,
    video: Option<H264>,
    audio: Option<Sound>,
    timestamps: Timestamps,
    /// Newest time of each kind.
    last_video: Option<i64>,
    last_audio: Option<i64>,
    stage: Stage,
    /// When what was sent before ends, microseconds since 1970.
    ended_us: i64,
    restarts: u32,
}

#[derive(Debug)]
enum Stage {
    Gathering(Gathering),
    Running(Box<Running>),
}

#[derive(Debug, Default)]
struct Gathering {
    held: VecDeque<Timed>,
    held_bytes: usize,
    /// The first sample that is held, and when it came.
    base: Option<Base>,
    first_ticks: Option<i64>,
    has_key_frame: bool,
    is_announced: bool,
}

/// An instant in the encoder's clock and in microseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    clock: i64,
    us: i64,
}

/// A sample whose time does not wrap, in ticks of [`CLOCK_HZ`](super::grid::CLOCK_HZ).
#[derive(Debug)]
struct Timed {
    kind: TrackKind,
    clock: i64,
    composition: i64,
    is_sync: bool,
    data: Bytes,
}

// === impl Packager ===

impl Packager {
    /// A packager of an encoder that has sent nothing, and counts its times like this.
    #[must_use]
    pub fn new(lengths: Lengths, count: Count) -> Self {
        Self {
            lengths,
            hints: Hints::default(),
            video: None,
            audio: None,
            timestamps: Timestamps::new(count),
            last_video: None,
            last_audio: None,
            stage: Stage::Gathering(Gathering::default()),
            ended_us: 0,
            restarts: 0,
        }
    }

    /// Takes what came at `now_us`, microseconds since 1970. What is to be done is appended to `steps`.
    ///
    /// # Errors
    /// [`PackageError`]; the encoder is to be sent away then. What was appended before is still to be done.
    pub fn push(&mut self, input: Input, now_us: i64, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        match input {
            Input::Hints(hints) => self.hints = hints,
            Input::Configuration(TrackKind::Video, record) => {
                if self.video.as_ref().is_none_or(|own| own.record != record) {
                    let read = H264::read(record)?;
                    self.begin_anew(self.video.is_some(), steps)?;
                    self.video = Some(read);
                }
            }
            Input::Configuration(TrackKind::Audio, config) => {
                let is_known = matches!(&self.audio, Some(Sound::Aac(own)) if own.config == config);
                if !is_known {
                    self.sound(Sound::Aac(Aac::read(config)?), steps)?;
                }
            }
            Input::Opus(opus) => {
                if self.audio != Some(Sound::Opus(opus)) {
                    self.sound(Sound::Opus(opus), steps)?;
                }
            }
            Input::Media { kind, time, composition, data } => {
                let (clock, composition) = (self.timestamps.unwrap(time), self.timestamps.distance(composition));
                self.media(kind, clock, composition, data, now_us, steps)?;
            }
        }
        Ok(())
    }

    fn sound(&mut self, sound: Sound, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        self.begin_anew(self.audio.is_some(), steps)?;
        self.audio = Some(sound);
        Ok(())
    }

    /// A configuration came. What is held stays, where it only completes what was known: a transport stream says what its sound is
    /// with the sound, and that may come long after the first picture.
    fn begin_anew(&mut self, is_another: bool, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        match &self.stage {
            Stage::Gathering(gathering) if !is_another && !gathering.is_announced => Ok(()),
            Stage::Gathering(_) | Stage::Running(_) => self.restart(steps),
        }
    }

    /// The publication that was announced has begun.
    ///
    /// # Errors
    /// As [`Packager::push`].
    pub fn begun(&mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        let Stage::Gathering(gathering) = &mut self.stage else { return Ok(()) };
        if !gathering.is_announced {
            return Ok(());
        }
        let gathering = std::mem::take(gathering);
        let base = gathering.base.unwrap_or_default();
        let mut running = self.run(Base { us: base.us.max(self.ended_us), ..base })?;
        for sample in gathering.held {
            running.take(sample, steps)?;
        }
        self.stage = Stage::Running(Box::new(running));
        Ok(())
    }

    /// Ends the publication, if there is one; the next key frame begins another.
    ///
    /// # Errors
    /// [`PackageError::Unsteady`], if that happens all the time.
    pub fn restart(&mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        let ended = std::mem::replace(&mut self.stage, Stage::Gathering(Gathering::default()));
        (self.last_video, self.last_audio) = (None, None);
        if matches!(&ended, Stage::Gathering(gathering) if gathering.is_announced) {
            steps.push(Step::End);
        }
        if let Stage::Running(running) = ended {
            self.restarts = if running.length_ticks() < SOON_S * i64::from(CLOCK_HZ) { self.restarts + 1 } else { 0 };
            self.ended_us = self.ended_us.max(running.end_us());
            running.finish(steps)?;
            steps.push(Step::End);
            if self.restarts == RESTARTS_MAX {
                return Err(PackageError::Unsteady);
            }
        }
        Ok(())
    }

    /// The encoder has left: what has not been given out yet, and the end.
    ///
    /// # Errors
    /// As [`Packager::push`].
    pub fn finish(&mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        self.restarts = 0;
        self.restart(steps)
    }

    fn media(
        &mut self,
        kind: TrackKind,
        clock: i64,
        composition: i64,
        data: Bytes,
        now_us: i64,
        steps: &mut Vec<Step>,
    ) -> Result<(), PackageError> {
        // An encoder that reorders pictures gives the first ones behind a jump decode times from before it.
        if composition.abs() > JUMP_TICKS {
            return self.restart(steps);
        }
        let (own, other) = match kind {
            TrackKind::Video => (self.last_video, self.last_audio),
            TrackKind::Audio => (self.last_audio, self.last_video),
        };
        let jumped = match (own, other) {
            (Some(own), _) => clock - own > JUMP_TICKS || own - clock > BACK_TICKS,
            // Pictures and sound do not jump at once: what came of the other kind may be from before.
            (None, Some(other)) => (clock - other).abs() > JUMP_TICKS,
            (None, None) => false,
        };
        if jumped {
            self.restart(steps)?;
        }
        match kind {
            TrackKind::Video => self.last_video = Some(clock),
            TrackKind::Audio => self.last_audio = Some(clock),
        }
        let is_sync = match (kind, &self.video, &self.audio) {
            (TrackKind::Video, Some(video), _) => video.is_sync(&data)?,
            (TrackKind::Audio, _, Some(_)) => true,
            (TrackKind::Video, None, _) | (TrackKind::Audio, _, None) => {
                return self.gather(None, clock, now_us, steps);
            }
        };
        let sample = Timed { kind, clock, composition, is_sync, data };
        match &mut self.stage {
            Stage::Running(running) => running.take(sample, steps),
            Stage::Gathering(_) => self.gather(Some(sample), clock, now_us, steps),
        }
    }

    /// Holds a sample, if it can be used, and begins if everything is there.
    fn gather(
        &mut self,
        sample: Option<Timed>,
        clock: i64,
        now_us: i64,
        steps: &mut Vec<Step>,
    ) -> Result<(), PackageError> {
        let Stage::Gathering(gathering) = &mut self.stage else { return Ok(()) };
        let first_ticks = *gathering.first_ticks.get_or_insert(clock);
        let expects_video = self.video.is_some() || self.hints.has_video == Some(true);
        if let Some(sample) = sample {
            gathering.has_key_frame |= sample.kind == TrackKind::Video && sample.is_sync;
            // Nothing can be shown before the first key frame, and nothing is to be heard alone.
            if gathering.has_key_frame || !expects_video {
                gathering.base.get_or_insert(Base { clock: sample.clock, us: now_us });
                gathering.held_bytes += sample.data.len();
                gathering.held.push_back(sample);
            }
        }
        let waited_ticks = clock - first_ticks;
        let is_full = gathering.held_bytes > HELD_MAX_BYTES || gathering.held.len() > HELD_MAX_SAMPLES;
        let lacks_video = self.video.is_none() && self.hints.has_video != Some(false);
        let lacks_audio = self.audio.is_none() && self.hints.has_audio != Some(false);
        let is_complete = !lacks_video && !lacks_audio;
        let can_begin = match &self.video {
            Some(_) => gathering.has_key_frame,
            None => self.audio.is_some() && gathering.base.is_some(),
        };
        if gathering.is_announced {
            return Ok(());
        }
        if can_begin && (is_complete || waited_ticks >= GATHER_TICKS) {
            gathering.is_announced = true;
            let base = gathering.base.unwrap_or_default();
            steps.push(Step::Begin(self.run(base)?.tracks()));
            return Ok(());
        }
        // Pictures were announced and did not come: then it is sound alone.
        if waited_ticks >= GATHER_TICKS && self.video.is_none() && self.hints.has_video == Some(true) {
            self.hints.has_video = None;
        }
        if is_full || waited_ticks >= GIVE_UP_S * i64::from(CLOCK_HZ) { Err(PackageError::NoBeginning) } else { Ok(()) }
    }

    /// Tracks of what is known, whose first sample is at `base`.
    fn run(&self, base: Base) -> Result<Running, PackageError> {
        let video = self.video.as_ref().map(|video| (video, self.hints));
        Running::begin(self.lengths, video, self.audio.as_ref(), base)
    }
}

impl Package for Packager {
    type Error = PackageError;

    fn begun(&mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        Self::begun(self, steps)
    }

    fn restart(&mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        Self::restart(self, steps)
    }

    fn finish(&mut self, steps: &mut Vec<Step>) -> Result<(), PackageError> {
        Self::finish(self, steps)
    }
}

#[cfg(test)]
mod tests;
