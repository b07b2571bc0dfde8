//! Segments, taken apart: octets in, samples out, each with its time. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_api::media::TrackKind;
use flame_cmaf::movie::Media;
use flame_cmaf::pushed::{Piece as Pushed, PushedError, PushedTrack};
use flame_cmaf::samples::SamplesError;
use flame_cmaf::ts::reader::{TsEvent, TsReader};
use flame_cmaf::{muxed, pushed};
use thiserror::Error;

use super::blend::{Container, Piece};
use super::pace::Unit;
use crate::live::grid::{CLOCK_HZ, Count, Timestamps};
use crate::live::packager::{Hints, Input};
use crate::srt::media;

/// What every transport stream begins with.
const SYNC: u8 = 0x47;

/// Which kinds of media are taken of what is multiplexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    All,
    /// Its sound comes from elsewhere.
    Pictures,
    /// Only its sound.
    Sound,
}

/// Takes the segments of one playlist apart, one after another.
#[derive(Debug)]
pub enum Parser {
    /// Fragmented MP4.
    Fragments(Fragments),
    /// Transport streams.
    TransportStream(Box<Streams>),
}

/// Of fragmented MP4.
#[derive(Debug)]
pub struct Fragments {
    wanted: Wanted,
    max_bytes: usize,
    tracks: BTreeMap<String, PushedTrack>,
    is_new: bool,
}

/// Of transport streams.
#[derive(Debug)]
pub struct Streams {
    wanted: Wanted,
    reader: TsReader,
    timestamps: Timestamps,
    at_us: i64,
}

/// Segments of which nothing can be made.
#[derive(Debug, Error)]
pub enum ParseError {
    /// Neither of the two that can be read.
    #[error("it is neither fragmented MP4 nor a transport stream")]
    Foreign,
    /// Boxes that do not fit.
    #[error(transparent)]
    Boxes(#[from] SamplesError),
    /// A track, or its fragments.
    #[error(transparent)]
    Pushed(#[from] PushedError),
    /// Nothing of it can be played.
    #[error("it has no track of H.264, H.265, AV1, AAC, Opus, AC-3 or E-AC-3{0}")]
    NoTrack(String),
    /// Nothing of it can be played.
    #[error("its transport stream has neither H.264 nor AAC in ADTS")]
    NoStream,
}

// === impl Parser ===

impl Parser {
    /// Nothing has come.
    #[must_use]
    pub fn new(container: Container, wanted: Wanted, max_bytes: usize) -> Self {
        match container {
            Container::Fragments => {
                Self::Fragments(Fragments { wanted, max_bytes, tracks: BTreeMap::new(), is_new: false })
            }
            Container::TransportStream => Self::TransportStream(Box::new(Streams {
                wanted,
                reader: TsReader::new(max_bytes),
                timestamps: Timestamps::new(Count::TRANSPORT_STREAM),
                at_us: 0,
            })),
        }
    }

    /// What comes has nothing to do with what came.
    pub fn cut(&mut self) {
        if let Self::TransportStream(streams) = self {
            let max_bytes = streams.reader.unit_max_bytes();
            streams.reader = TsReader::new(max_bytes);
        }
    }

    /// The header of what follows.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn init(&mut self, octets: &Bytes) -> Result<(), ParseError> {
        match self {
            Self::Fragments(fragments) => fragments.init(octets),
            Self::TransportStream(_) => Ok(()),
        }
    }

    /// A segment, by track.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn segment(&mut self, octets: &Bytes) -> Result<BTreeMap<String, Vec<Unit<Piece>>>, ParseError> {
        match self {
            Self::Fragments(fragments) => fragments.segment(octets),
            Self::TransportStream(streams) => streams.segment(octets),
        }
    }
}

// === impl Fragments ===

impl Fragments {
    fn init(&mut self, octets: &Bytes) -> Result<(), ParseError> {
        let (mut tracks, mut left_out) = (BTreeMap::new(), String::new());
        for number in muxed::tracks(octets)? {
            let mut own = octets.to_vec();
            muxed::only(&mut own, number)?;
            let mut reader = pushed::Pushed::new(self.max_bytes, None);
            reader.push(&own);
            let track = match reader.piece() {
                Ok(Some(Pushed::Track(track))) => *track,
                Ok(_) => continue,
                // Tracks of text and data stand beside the others.
                Err(error) => {
                    left_out = format!(": {error}");
                    continue;
                }
            };
            let is_picture = matches!(track.media, Media::Picture(_));
            if matches!((self.wanted, is_picture), (Wanted::Pictures, false) | (Wanted::Sound, true)) {
                continue;
            }
            let kind = if is_picture { "v" } else { "a" };
            let names = (1..).map(|at| if at == 1 { kind.to_owned() } else { format!("{kind}{at}") });
            // There are a few at most.
            if let Some(name) = { names }.find(|name| !tracks.contains_key(name)) {
                tracks.insert(name, track);
            }
        }
        if tracks.is_empty() {
            return Err(ParseError::NoTrack(left_out));
        }
        (self.tracks, self.is_new) = (tracks, true);
        Ok(())
    }

    fn segment(&mut self, octets: &Bytes) -> Result<BTreeMap<String, Vec<Unit<Piece>>>, ParseError> {
        let mut found = BTreeMap::new();
        for (name, track) in &self.tracks {
            let mut reader = pushed::Pushed::new(self.max_bytes, Some(track.info.clone()));
            let mut own = octets.to_vec();
            if !muxed::only(&mut own, track.info.track_id)? {
                continue;
            }
            reader.push(&own);
            drop(own);
            let mut units: Vec<Unit<Piece>> = Vec::new();
            while let Some(piece) = reader.piece()? {
                let Pushed::Samples(samples) = piece else { continue };
                units.extend(samples.into_iter().map(|sample| {
                    let (at_us, bytes) = (micros(sample.dts_ticks, track.timescale), sample.data.len());
                    Unit { at_us, bytes, piece: Piece::Sample(sample) }
                }));
            }
            reader.end()?;
            if let Some(first) = units.first().filter(|_| self.is_new) {
                let header = Unit { at_us: first.at_us, bytes: 0, piece: Piece::Track(Box::new(track.clone())) };
                units.insert(0, header);
            }
            found.insert(name.clone(), units);
        }
        self.is_new = false;
        Ok(found)
    }

    /// Ticks per second of a track.
    pub(super) fn timescale(&self, name: &str) -> Option<u32> {
        self.tracks.get(name).map(|track| track.timescale)
    }
}

// === impl Streams ===

impl Streams {
    fn segment(&mut self, octets: &Bytes) -> Result<BTreeMap<String, Vec<Unit<Piece>>>, ParseError> {
        if octets.first().is_some_and(|first| *first != SYNC) {
            return Err(ParseError::Foreign);
        }
        let mut events = Vec::new();
        self.reader.push(octets, &mut events);
        if events.iter().any(|event| matches!(event, TsEvent::Program { has_pictures: false, has_sound: false })) {
            return Err(ParseError::NoStream);
        }
        let (mut units, mut first_us) = (Vec::new(), None);
        for input in events.into_iter().filter_map(media::read).filter_map(|input| chosen(self.wanted, input)) {
            let mut bytes = 0;
            if let Input::Media { time, data, .. } = &input {
                self.at_us = micros(self.timestamps.unwrap(*time), CLOCK_HZ);
                bytes = data.len();
                first_us.get_or_insert(self.at_us);
            }
            units.push(Unit { at_us: self.at_us, bytes, piece: Piece::Input(input) });
        }
        // What stands in front of the first sample belongs to it.
        let first_us = first_us.unwrap_or(self.at_us);
        let is_media = |unit: &Unit<Piece>| matches!(unit.piece, Piece::Input(Input::Media { .. }));
        units.iter_mut().take_while(|unit| !is_media(unit)).for_each(|unit| unit.at_us = first_us);
        let name = if self.wanted == Wanted::Sound { "sound" } else { "pictures" };
        Ok(BTreeMap::from([(name.to_owned(), units)]))
    }
}

/// What is taken of it. Where there are two streams, none of them knows of the other.
fn chosen(wanted: Wanted, input: Input) -> Option<Input> {
    let left_out = match wanted {
        Wanted::All => return Some(input),
        Wanted::Pictures => TrackKind::Audio,
        Wanted::Sound => TrackKind::Video,
    };
    match input {
        Input::Hints(hints) => Some(Input::Hints(Hints { has_video: Some(true), has_audio: Some(true), ..hints })),
        Input::Configuration(kind, _) | Input::Media { kind, .. } if kind == left_out => None,
        Input::Opus(_) if left_out == TrackKind::Audio => None,
        Input::Configuration(..) | Input::Opus(_) | Input::Media { .. } => Some(input),
    }
}

/// Microseconds.
pub(super) fn micros(ticks: i64, timescale: u32) -> i64 {
    let us = (i128::from(ticks) * 1_000_000).div_euclid(i128::from(timescale.max(1)));
    i64::try_from(us).unwrap_or(if us < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
}
