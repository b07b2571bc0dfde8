//! A segment of CMAF while it arrives: octets in, chunks out, each as soon as it is whole.
//!
//! A chunk is what one `moof` and its `mdat` are, with the boxes in front of them (`styp`, `prft`, `emsg`): the
//! concatenation of all chunks is what was sent. Nothing of the media is looked at. What is declared is checked before
//! anything is reserved for it, and no more is held than one chunk.

use bytes::{Buf, Bytes, BytesMut};
use mp4_atom::{Atom, Moof, Moov};
use thiserror::Error;

/// The most octets of a chunk, and of an init segment.
pub const CHUNK_MAX_BYTES: usize = 32 << 20;
/// The most octets of a `moof`: a chunk of ten seconds of sound has 500 samples of 16 octets.
const MOOF_MAX_BYTES: usize = 1 << 20;
/// `size` and `type` of a box.
const HEADER_BYTES: usize = 8;
/// `sample_is_non_sync_sample` (ISO/IEC 14496-12 section 8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;
/// The most sync samples of a chunk that are noted: where there are more, every picture is one, or it is sound.
pub const SYNC_SAMPLES_MAX: usize = 16;

/// What an init segment says that chunks leave unsaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Ticks per second, above 0.
    pub timescale: u32,
    /// Duration of a sample, ticks.
    pub sample_duration_ticks: u32,
    /// Flags of a sample.
    pub sample_flags: u32,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// All its octets, those of the boxes in front of its `moof` too.
    pub bytes: Bytes,
    /// When its first sample is decoded, ticks.
    pub time_ticks: u64,
    /// How long its samples take together, ticks, above 0.
    pub duration_ticks: u64,
    /// Its samples, at least 1.
    pub samples: u32,
    /// Whether it begins with a sync sample.
    pub is_independent: bool,
    /// Its sync samples, the first [`SYNC_SAMPLES_MAX`] of them.
    pub sync_samples: Vec<SyncSample>,
}

/// A sample that decoding can start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncSample {
    /// When it is decoded, ticks.
    pub time_ticks: u64,
    /// Its size.
    pub size_bytes: u32,
}

/// What arrives is no such segment.
#[derive(Debug, Error)]
pub enum ArrivalError {
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
    /// A box that does not belong here.
    #[error("the box `{kind}` cannot stand here: a chunk is a `moof` and an `mdat`")]
    OutOfPlace {
        /// Its type.
        kind: String,
    },
    /// A box cannot be read.
    #[error("the box `{kind}` is damaged")]
    Damaged {
        /// Its type.
        kind: &'static str,
        /// Where.
        #[source]
        source: mp4_atom::Error,
    },
    /// A chunk of several tracks, or of none, or without a time, or without samples.
    #[error("a chunk must have one track, a decode time and samples")]
    Shape,
    /// The samples are not where the chunk says.
    #[error("the samples of a chunk have {samples_bytes} bytes, its `mdat` has {data_bytes}")]
    Length {
        /// What `trun` says.
        samples_bytes: u64,
        /// What there is.
        data_bytes: u64,
    },
    /// An init segment without exactly one track, or with a timescale of 0.
    #[error("an init segment must have one track with a timescale")]
    Init,
    /// It ended in the middle of a chunk.
    #[error("the segment ends in the middle of a chunk, after {held_bytes} bytes of it")]
    CutOff {
        /// What came of the chunk.
        held_bytes: usize,
    },
}

/// Takes a segment apart while it arrives.
#[derive(Debug)]
pub struct Arrival {
    defaults: Defaults,
    held: BytesMut,
    /// Octets of `held` that are whole boxes.
    seen: usize,
    moof: Option<Fragment>,
}

/// What a `moof` says.
#[derive(Debug)]
struct Fragment {
    time_ticks: u64,
    duration_ticks: u64,
    samples: u32,
    samples_bytes: u64,
    is_independent: bool,
    sync_samples: Vec<SyncSample>,
}

// === impl Defaults ===

impl Defaults {
    /// Reads an init segment.
    ///
    /// # Errors
    /// [`ArrivalError`] for everything that is none of one track.
    pub fn read(init: &[u8]) -> Result<Self, ArrivalError> {
        let mut rest = init;
        while let Some((kind, size)) = header(rest)? {
            let size = usize::try_from(size).ok().filter(|size| *size <= rest.len());
            let size = size.ok_or(ArrivalError::CutOff { held_bytes: rest.len() })?;
            if kind == *b"moov" {
                let mut body = &rest[HEADER_BYTES..size];
                let moov =
                    Moov::decode_body(&mut body).map_err(|source| ArrivalError::Damaged { kind: "moov", source })?;
                return Self::of(&moov).ok_or(ArrivalError::Init);
            }
            rest = &rest[size..];
        }
        Err(ArrivalError::Init)
    }

    fn of(moov: &Moov) -> Option<Self> {
        let [track] = moov.trak.as_slice() else { return None };
        let timescale = track.mdia.mdhd.timescale;
        let id = track.tkhd.track_id;
        let trex = moov.mvex.as_ref().and_then(|mvex| mvex.trex.iter().find(|trex| trex.track_id == id));
        let sample_duration_ticks = trex.map_or(0, |trex| trex.default_sample_duration);
        let sample_flags = trex.map_or(0, |trex| trex.default_sample_flags);
        (timescale > 0).then_some(Self { timescale, sample_duration_ticks, sample_flags })
    }
}

// === impl Chunk ===

impl Chunk {
    /// The same chunk, counted in `to` ticks a second instead of `from`: its octets stay as they are. Where it ends, the next one
    /// begins, as before.
    #[must_use]
    pub fn counted_in(mut self, from: u32, to: u32) -> Self {
        if from == to || from == 0 {
            return self;
        }
        let counted =
            |ticks: u64| u64::try_from(u128::from(ticks) * u128::from(to) / u128::from(from)).unwrap_or(u64::MAX);
        let end_ticks = counted(self.time_ticks.saturating_add(self.duration_ticks));
        self.time_ticks = counted(self.time_ticks);
        self.duration_ticks = end_ticks.saturating_sub(self.time_ticks).max(1);
        self.sync_samples.iter_mut().for_each(|sample| sample.time_ticks = counted(sample.time_ticks));
        self
    }
}

// === impl Arrival ===

impl Arrival {
    /// Nothing so far of a segment of the track whose init segment said `defaults`.
    #[must_use]
    pub fn new(defaults: Defaults) -> Self {
        Self { defaults, held: BytesMut::new(), seen: 0, moof: None }
    }

    /// Takes what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next chunk that is whole; `None` where more has to come.
    ///
    /// # Errors
    /// [`ArrivalError`]; nothing more can be taken then.
    pub fn chunk(&mut self) -> Result<Option<Chunk>, ArrivalError> {
        loop {
            let Some((kind, declared)) = header(&self.held[self.seen..])? else { return Ok(None) };
            let limit_bytes = if kind == *b"mdat" { CHUNK_MAX_BYTES } else { MOOF_MAX_BYTES };
            let size = usize::try_from(declared).ok().filter(|size| (HEADER_BYTES..=limit_bytes).contains(size));
            let too_large = || ArrivalError::Size { kind: text(kind), declared_bytes: declared, limit_bytes };
            let size = size.filter(|size| self.seen + size <= CHUNK_MAX_BYTES).ok_or_else(too_large)?;
            let end = self.seen + size;
            if self.held.len() < end {
                return Ok(None);
            }
            match (&kind, &self.moof) {
                (b"moof", None) => self.moof = Some(self.fragment(&self.held[self.seen + HEADER_BYTES..end])?),
                (b"mdat", Some(moof)) => {
                    let data_bytes = (size - HEADER_BYTES) as u64;
                    if moof.samples_bytes != data_bytes {
                        return Err(ArrivalError::Length { samples_bytes: moof.samples_bytes, data_bytes });
                    }
                    return Ok(self.take(end));
                }
                (b"styp" | b"prft" | b"emsg" | b"sidx", None) => {}
                _ => return Err(ArrivalError::OutOfPlace { kind: text(kind) }),
            }
            self.seen = end;
        }
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    /// [`ArrivalError::CutOff`] if that is in the middle of a chunk.
    pub fn end(&self) -> Result<(), ArrivalError> {
        if self.held.is_empty() { Ok(()) } else { Err(ArrivalError::CutOff { held_bytes: self.held.len() }) }
    }

    fn take(&mut self, end: usize) -> Option<Chunk> {
        let Fragment { time_ticks, duration_ticks, samples, is_independent, sync_samples, .. } = self.moof.take()?;
        let bytes = self.held.split_to(end).freeze();
        self.seen = 0;
        Some(Chunk { bytes, time_ticks, duration_ticks, samples, is_independent, sync_samples })
    }

    fn fragment(&self, mut body: &[u8]) -> Result<Fragment, ArrivalError> {
        let moof = Moof::decode_body(&mut body).map_err(|source| ArrivalError::Damaged { kind: "moof", source })?;
        let [traf] = moof.traf.as_slice() else { return Err(ArrivalError::Shape) };
        let time_ticks = traf.tfdt.as_ref().ok_or(ArrivalError::Shape)?.base_media_decode_time;
        let duration = traf.tfhd.default_sample_duration.unwrap_or(self.defaults.sample_duration_ticks);
        let default_flags = traf.tfhd.default_sample_flags.unwrap_or(self.defaults.sample_flags);
        let size = traf.tfhd.default_sample_size.unwrap_or(0);
        let mut found = Fragment {
            time_ticks,
            duration_ticks: 0,
            samples: 0,
            samples_bytes: 0,
            is_independent: false,
            sync_samples: Vec::new(),
        };
        for run in &traf.trun {
            let count = u32::try_from(run.samples.len()).map_err(|_| ArrivalError::Shape)?;
            if found.samples == 0 && count > 0 {
                let flags = run.samples.get(0).and_then(|first| first.flags).unwrap_or(default_flags);
                found.is_independent = flags & NON_SYNC == 0;
            }
            found.samples = found.samples.checked_add(count).ok_or(ArrivalError::Shape)?;
            let mut at_ticks = time_ticks.saturating_add(found.duration_ticks);
            // Of those that are only a count, all but the first are alike.
            let looked_at = match &run.samples {
                mp4_atom::TrunSamples::Inherited { .. } => SYNC_SAMPLES_MAX,
                mp4_atom::TrunSamples::Explicit(entries) => entries.len(),
            };
            for entry in run.samples.iter().take(looked_at) {
                if found.sync_samples.len() == SYNC_SAMPLES_MAX {
                    break;
                }
                if entry.flags.unwrap_or(default_flags) & NON_SYNC == 0 {
                    let size_bytes = entry.size.unwrap_or(size);
                    found.sync_samples.push(SyncSample { time_ticks: at_ticks, size_bytes });
                }
                at_ticks = at_ticks.saturating_add(entry.duration.unwrap_or(duration).into());
            }
            // A run that says nothing of single samples is only a count, whatever it claims.
            let (ticks, bytes) = match &run.samples {
                mp4_atom::TrunSamples::Inherited { count, .. } => {
                    (u64::from(*count) * u64::from(duration), u64::from(*count) * u64::from(size))
                }
                mp4_atom::TrunSamples::Explicit(entries) => entries.iter().fold((0, 0), |(ticks, bytes), entry| {
                    let duration = entry.duration.unwrap_or(duration);
                    (ticks + u64::from(duration), bytes + u64::from(entry.size.unwrap_or(size)))
                }),
            };
            found.duration_ticks = found.duration_ticks.saturating_add(ticks);
            found.samples_bytes = found.samples_bytes.saturating_add(bytes);
        }
        // So that times can be added without a second thought.
        let is_sound = found.samples > 0
            && (1..=u64::from(u32::MAX)).contains(&found.duration_ticks)
            && found.time_ticks <= u64::MAX / 4;
        if is_sound { Ok(found) } else { Err(ArrivalError::Shape) }
    }
}

/// Type and size of the box at the beginning; `None` where its header has not come.
fn header(bytes: &[u8]) -> Result<Option<([u8; 4], u64)>, ArrivalError> {
    let Some(mut head) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
    let (size, mut kind) = (head.get_u32(), [0; 4]);
    head.copy_to_slice(&mut kind);
    // 0 (up to the end) and 1 (a 64-bit size follows) are for files.
    if u64::from(size) < HEADER_BYTES as u64 {
        let (declared_bytes, limit_bytes) = (u64::from(size), CHUNK_MAX_BYTES);
        return Err(ArrivalError::Size { kind: text(kind), declared_bytes, limit_bytes });
    }
    Ok(Some((kind, u64::from(size))))
}

fn text(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}
