//! What is fetched becomes publications by what the other doors have: fragments as pushed ones do, transport streams as those of SRT.

use flame_cmaf::Sample;
use flame_cmaf::pushed::PushedTrack;
use thiserror::Error;

use crate::live::driver::Package;
use crate::live::grid::Count;
use crate::live::packager::{Input, Lengths, PackageError, Packager, Step};
use crate::push::programme::{Bounds, Programme, ProgrammeError};

/// How long other tracks are waited for, microseconds.
const GATHER_US: i64 = 1_000_000;
/// A picture, its sound, and what else may be in one file.
const TRACKS_MAX: usize = 16;

/// What media comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Fragmented MP4.
    Fragments,
    /// MPEG-2 transport stream.
    TransportStream,
}

/// Something of a track.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Its header.
    Track(Box<PushedTrack>),
    /// One sample.
    Sample(Sample),
    /// What a transport stream said.
    Input(Input),
}

/// Makes publications of either. See the module.
#[derive(Debug)]
pub enum Blend {
    /// Of fragments.
    Fragments(Box<Programme>),
    /// Of a transport stream.
    TransportStream(Box<Packager>),
}

/// Why nothing can be made of a source.
#[derive(Debug, Error)]
pub enum BlendError {
    /// Of its fragments.
    #[error(transparent)]
    Programme(#[from] ProgrammeError),
    /// Of its transport stream.
    #[error(transparent)]
    Package(#[from] PackageError),
}

// === impl Blend ===

impl Blend {
    /// Nothing has come.
    #[must_use]
    pub fn new(container: Container, lengths: Lengths, held_max_bytes: usize) -> Self {
        match container {
            Container::Fragments => {
                let bounds = Bounds { gather_us: GATHER_US, held_max_bytes, tracks_max: TRACKS_MAX };
                Self::Fragments(Box::new(Programme::new(lengths, bounds)))
            }
            Container::TransportStream => {
                Self::TransportStream(Box::new(Packager::new(lengths, Count::TRANSPORT_STREAM)))
            }
        }
    }

    /// What is due of a track, at `now_us`, microseconds since 1970; one of its [`runs`], as at most one publication may begin with it.
    ///
    /// # Errors
    /// [`BlendError`]; what was appended before is still to be done.
    pub fn push(&mut self, name: &str, run: Vec<Piece>, now_us: i64, steps: &mut Vec<Step>) -> Result<(), BlendError> {
        let mut samples = Vec::new();
        for piece in run {
            match (&mut *self, piece) {
                (Self::Fragments(programme), Piece::Track(track)) => programme.track(name, *track, now_us, steps)?,
                (Self::Fragments(_), Piece::Sample(sample)) => samples.push(sample),
                (Self::TransportStream(packager), Piece::Input(input)) => packager.push(input, now_us, steps)?,
                // A source is one or the other.
                (Self::Fragments(_), Piece::Input(_))
                | (Self::TransportStream(_), Piece::Track(_) | Piece::Sample(_)) => {}
            }
        }
        match self {
            Self::Fragments(programme) if !samples.is_empty() => Ok(programme.media(name, samples, now_us, steps)?),
            Self::Fragments(_) | Self::TransportStream(_) => Ok(()),
        }
    }
}

/// Pieces of a track, cut in front of each header; what a transport stream says, one by one.
#[must_use]
pub fn runs(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let mut runs: Vec<Vec<Piece>> = Vec::new();
    for piece in pieces {
        match runs.last_mut() {
            Some(run) if matches!(piece, Piece::Sample(_)) => run.push(piece),
            Some(_) | None => runs.push(vec![piece]),
        }
    }
    runs
}

impl Package for Blend {
    type Error = BlendError;

    fn begun(&mut self, steps: &mut Vec<Step>) -> Result<(), BlendError> {
        match self {
            Self::Fragments(programme) => Ok(programme.begun(steps)?),
            Self::TransportStream(packager) => Ok(packager.begun(steps)?),
        }
    }

    fn restart(&mut self, steps: &mut Vec<Step>) -> Result<(), BlendError> {
        match self {
            Self::Fragments(programme) => Ok(programme.restart(steps)?),
            Self::TransportStream(packager) => Ok(packager.restart(steps)?),
        }
    }

    fn finish(&mut self, steps: &mut Vec<Step>) -> Result<(), BlendError> {
        match self {
            Self::Fragments(programme) => Ok(programme.finish(steps)?),
            Self::TransportStream(packager) => Ok(packager.finish(steps)?),
        }
    }
}
