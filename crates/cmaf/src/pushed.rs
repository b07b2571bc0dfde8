//! What encoders of others push: one track of fragmented MP4, taken apart while it comes.
//!
//! Octets in, out come the track, as soon as its header is whole, and the samples of each fragment, as soon as its last octet is
//! there. It takes CMAF (ISO/IEC 23000-19) and what is near enough: headers that come again, fragments without a `styp`,
//! edit lists (times are given with the edit applied, and may be below 0). What stands beside the media (`prft`, `emsg`, `sidx`)
//! is passed over. What is declared is checked before anything is held for it, and no more is held than one fragment.
//!
//! The header that goes on is our own ([`PushedTrack::init`]): one track with the number 1, no edit, and the codec's record byte for
//! byte. No sample is looked into: what a fragment calls a sync sample is taken for one.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::{
    movie::{self, Media},
    samples::{self, InitInfo, SamplesError},
    writer::Sample,
};

/// The most octets of anything that is not media.
const BOX_MAX_BYTES: usize = 1 << 20;
/// `size` and `type` of a box.
const HEADER_BYTES: usize = 8;
/// The brand of a track's last segment (ISO/IEC 23009-1 section 6.3.4.2).
const LAST_BRAND: &[u8; 4] = b"lmsg";

/// A track that somebody pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedTrack {
    /// RFC 6381 codec string.
    pub codec: String,
    /// Ticks per second, above 0.
    pub timescale: u32,
    /// BCP 47 or ISO 639-2.
    pub language: Option<String>,
    /// What is seen or heard.
    pub media: Media,
    /// The init segment that goes on.
    pub init: Bytes,
    /// What its fragments are read with.
    pub info: InitInfo,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The header of the track; what follows is of it.
    Track(Box<PushedTrack>),
    /// The samples of a fragment, at least one, in decode order.
    Samples(Vec<Sample>),
    /// The encoder says that this was the last.
    Last,
}

/// What came is no track.
#[derive(Debug, Error)]
pub enum PushedError {
    /// A box has another size than a box can have here.
    #[error("the box `{kind}` says that it has {declared_bytes} bytes; {limit_bytes} are taken at most")]
    Size {
        /// Its type.
        kind: String,
        /// What it says.
        declared_bytes: u64,
        /// The limit.
        limit_bytes: usize,
    },
    /// This is no MP4.
    #[error("`{kind}` is no box of fragmented MP4")]
    Foreign {
        /// What stands where a type should be.
        kind: String,
    },
    /// A fragment before the header.
    #[error("media came before the header of the track (`moov`)")]
    NoTrack,
    /// Media that no `moof` describes.
    #[error("an `mdat` came without a `moof`: only fragmented MP4 is taken")]
    NotFragmented,
    /// The header cannot be used.
    #[error("the track cannot be taken: {0}")]
    Track(String),
    /// The boxes contradict each other.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// It ended in the middle.
    #[error("it ends in the middle of a box, after {held_bytes} bytes of it")]
    CutOff {
        /// What came of it.
        held_bytes: usize,
    },
}

/// Takes a track apart while it comes. See the module.
#[derive(Debug)]
pub struct Pushed {
    fragment_max_bytes: usize,
    info: Option<InitInfo>,
    /// From the `moof` on, if one has come.
    held: BytesMut,
    /// Octets of `held` that are whole boxes.
    seen: usize,
    has_moof: bool,
    /// A segment says that it is the last.
    is_last: bool,
    /// What follows the last fragment has begun; it is not held.
    is_over: bool,
}

// === impl Pushed ===

impl Pushed {
    /// Nothing so far; of the track `known`, if its header came before. No fragment has more than `fragment_max_bytes`.
    #[must_use]
    pub fn new(fragment_max_bytes: usize, known: Option<InitInfo>) -> Self {
        Self {
            fragment_max_bytes,
            info: known,
            held: BytesMut::new(),
            seen: 0,
            has_moof: false,
            is_last: false,
            is_over: false,
        }
    }

    /// Takes what has come.
    pub fn push(&mut self, octets: &[u8]) {
        if !self.is_over {
            self.held.extend_from_slice(octets);
        }
    }

    /// What is whole; `None` where more has to come.
    ///
    /// # Errors
    /// [`PushedError`]; nothing more can be taken then.
    pub fn piece(&mut self) -> Result<Option<Piece>, PushedError> {
        loop {
            let Some(mut head) = self.held.get(self.seen..self.seen + HEADER_BYTES) else { return Ok(None) };
            let (declared, mut kind) = (u64::from(head.get_u32()), [0; 4]);
            head.copy_to_slice(&mut kind);
            // The index behind the last fragment, or nothing at all instead of one (DASH-IF live media ingest, section 6.2). It is as
            // long as the track was, and nobody needs it.
            if kind == *b"mfra" {
                (self.is_over, self.seen, self.has_moof) = (true, 0, false);
                self.held.clear();
                return Ok(Some(Piece::Last));
            }
            let limit_bytes = if kind == *b"mdat" { self.fragment_max_bytes } else { BOX_MAX_BYTES };
            let size = self.size(kind, declared, limit_bytes)?;
            let end = self.seen + size;
            if self.held.len() < end {
                return Ok(None);
            }
            match &kind {
                b"moov" => {
                    let moov = self.split(end);
                    let track = describe(&moov)?;
                    self.info = Some(track.info.clone());
                    return Ok(Some(Piece::Track(Box::new(track))));
                }
                b"moof" => {
                    // Without its `mdat`, the one before was of no use.
                    self.held.advance(self.seen);
                    (self.seen, self.has_moof) = (size, true);
                }
                b"mdat" if self.has_moof => {
                    let info = self.info.clone().ok_or(PushedError::NoTrack)?;
                    let fragment = self.split(end);
                    return Ok(Some(Piece::Samples(read(&fragment, &info)?)));
                }
                b"mdat" => return Err(PushedError::NotFragmented),
                b"styp" => {
                    let brands = self.held[self.seen + HEADER_BYTES..end].chunks_exact(4);
                    self.is_last |= brands.enumerate().any(|(at, brand)| at != 1 && brand == LAST_BRAND);
                    self.pass(end);
                }
                _ => self.pass(end),
            }
        }
    }

    /// Nothing more comes of this request; whether the track has ended.
    ///
    /// # Errors
    /// [`PushedError::CutOff`] if that is in the middle of a fragment.
    pub fn end(&self) -> Result<bool, PushedError> {
        if self.held.is_empty() { Ok(self.is_last) } else { Err(PushedError::CutOff { held_bytes: self.held.len() }) }
    }

    fn size(&self, kind: [u8; 4], declared: u64, limit_bytes: usize) -> Result<usize, PushedError> {
        let text = || kind.escape_ascii().to_string();
        // Names are four characters that can be read; whoever sends something else should hear that.
        if !kind.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ') {
            return Err(PushedError::Foreign { kind: text() });
        }
        let size = usize::try_from(declared).ok().filter(|size| (HEADER_BYTES..=limit_bytes).contains(size));
        size.ok_or_else(|| PushedError::Size { kind: text(), declared_bytes: declared, limit_bytes })
    }

    /// Takes everything up to `end` out.
    fn split(&mut self, end: usize) -> Bytes {
        (self.seen, self.has_moof) = (0, false);
        self.held.split_to(end).freeze()
    }

    /// Passes over a box. Between `moof` and `mdat` it stays: offsets count it.
    fn pass(&mut self, end: usize) {
        if self.has_moof && end <= BOX_MAX_BYTES + self.fragment_max_bytes {
            self.seen = end;
        } else {
            self.split(end);
        }
    }
}

fn describe(moov: &Bytes) -> Result<PushedTrack, PushedError> {
    let info = InitInfo::parse(moov)?;
    let described = movie::describe(&moov.slice(HEADER_BYTES..)).map_err(PushedError::Track)?;
    let movie::Described { codec, language, media, init } = described;
    Ok(PushedTrack { codec, timescale: info.timescale, language, media, init, info })
}

fn read(fragment: &Bytes, info: &InitInfo) -> Result<Vec<Sample>, PushedError> {
    let found = samples::samples(fragment, info)?;
    let sample = |sample: &samples::SampleRef| Sample {
        dts_ticks: info.edited_ticks(sample),
        pts_ticks: info.presented_ticks(sample),
        duration_ticks: sample.duration_ticks,
        is_sync: sample.is_sync,
        data: fragment.slice(sample.range.clone()),
    };
    Ok(found.iter().map(sample).collect())
}
