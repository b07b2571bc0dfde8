//! A file as it was uploaded, played before anything is made of it: an MP4 or QuickTime movie, packaged just in time.
//!
//! It is a version like others, whose name follows from the file's content; so it plays on under its URLs while the asset gains
//! a better one. Of the file only its `moov` is read and kept, in a cache bounded by its size; segments are heads that are
//! written here, and ranges of the stored object (`reads`).

mod reads;

use std::sync::Arc;

use bytes::Bytes;
use flame_api::media::{Rational, SOUNDS_MAX, SoundRole, Track as Facts, TrackKind};
use flame_api::metadata::Source;
use flame_cmaf::boxes::{BoxError, BoxWalk, Layout, Step};
use flame_cmaf::movie::{MOOV_SIZE_MAX_BYTES, Media, Picture, SegmentPlan, VideoRange as Range};
use flame_cmaf::{Movie, MovieError, MovieTrack};
use flame_playlist::{PlaylistError, VideoRange};
use moka::future::Cache;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::complete::Complete;
use crate::store::{MediaStore, ReadError};

pub(crate) use reads::{body, bytes};

/// What makes other segments of the same file: it is part of the version's name.
const PACKAGER: &str = "flame source 2";
/// Target duration of segments, as of tracks of our own.
const SEGMENT_MS: u32 = 4_000;
/// Read at once in search of `moov`, which is often smaller than that.
const LOOK_BYTES: u64 = 64 << 10;
/// Boxes in front of what is looked for; ordinary movies have five.
const LOOKS_MAX: u32 = 64;
/// Files that are looked into at a time: each may take [`MOOV_SIZE_MAX_BYTES`] meanwhile.
const LOOKS_AT_ONCE: usize = 2;
/// Memory of a kept movie besides what is counted.
const OVERHEAD_BYTES: usize = 4096;
/// Memory of a segment of a movie, besides its playlist.
const SEGMENT_BYTES: usize = 100;
/// Containers that may be movies, by the name that the probe has for them.
const CONTAINERS: [&str; 2] = ["mp4", "mov"];

/// As playlists say it.
pub(crate) fn listed_range(range: Range) -> VideoRange {
    match range {
        Range::Sdr => VideoRange::Sdr,
        Range::Pq => VideoRange::Pq,
        Range::Hlg => VideoRange::Hlg,
    }
}

/// A file that plays as it is.
#[derive(Debug)]
pub(crate) struct Uploaded {
    /// Its object.
    pub(crate) key: String,
    /// Name of the version in URLs.
    pub(crate) version: String,
    /// One of pictures at most, then sound.
    pub(crate) tracks: Vec<UploadedTrack>,
    moov_bytes: usize,
}

/// A track of it.
#[derive(Debug)]
pub(crate) struct UploadedTrack {
    pub(crate) facts: Facts,
    pub(crate) video_range: Option<VideoRange>,
    /// What its pictures are besides, for those who can show more.
    pub(crate) supplemental_codec: Option<String>,
    pub(crate) complete: Arc<Complete>,
    /// Names bytes, as a digest of them does.
    pub(crate) identity: [u8; 32],
    pub(crate) movie: MovieTrack,
}

/// What can be said of a file, for good: its bytes never change.
type Verdict = Result<Arc<Uploaded>, Arc<Unplayable>>;

/// Why a file does not play as it is.
#[derive(Debug, Error)]
pub(crate) enum Unplayable {
    #[error("it is damaged")]
    Boxes(#[from] BoxError),
    #[error(transparent)]
    Movie(#[from] MovieError),
    #[error("its samples are in fragments")]
    Fragmented,
    #[error("its `moov` does not come within the first {LOOKS_MAX} boxes")]
    TooManyBoxes,
    #[error("nothing in it can be played: {0}")]
    Nothing(String),
    #[error(transparent)]
    Playlist(#[from] PlaylistError),
}

/// What went wrong while a file was looked into.
#[derive(Debug, Error)]
enum LookError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Unplayable(#[from] Unplayable),
}

/// All files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    store: MediaStore,
    known: Cache<String, Verdict>,
    places: Arc<Semaphore>,
}

// === impl Sources ===

impl Sources {
    /// An empty cache in front of `store`, for at most `max_bytes` of movies.
    pub(crate) fn new(store: MediaStore, max_bytes: u64) -> Self {
        let weight = |_: &String, verdict: &Verdict| {
            let bytes = verdict.as_ref().map_or(OVERHEAD_BYTES, |uploaded| uploaded.weight_bytes());
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let known = Cache::builder().max_capacity(max_bytes).weigher(weight).build();
        Self { store, known, places: Arc::new(Semaphore::new(LOOKS_AT_ONCE)) }
    }

    /// `source` as it is; `None` where it does not play so, which the log has said why.
    pub(crate) async fn get(&self, source: &Source, container: &str) -> Result<Option<Arc<Uploaded>>, Arc<ReadError>> {
        if !CONTAINERS.iter().any(|known| container.split(',').any(|name| name == *known)) {
            return Ok(None);
        }
        let verdict = self.known.try_get_with_by_ref(&source.key, Box::pin(self.look(source))).await?;
        Ok(verdict.ok())
    }

    async fn look(&self, source: &Source) -> Result<Verdict, ReadError> {
        match self.open(source).await {
            Ok(uploaded) => Ok(Ok(Arc::new(uploaded))),
            Err(LookError::Unplayable(reason)) => {
                let why = flame_service_host::problem::chain(&reason);
                tracing::info!(key = source.key, why, "an uploaded file does not play as it is");
                Ok(Err(Arc::new(reason)))
            }
            Err(LookError::Read(error)) => Err(error),
        }
    }

    async fn open(&self, source: &Source) -> Result<Uploaded, LookError> {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it");
        let moov =
            Look { store: &self.store, key: &source.key, size_bytes: source.size_bytes, seen: (0, Bytes::new()) };
        let moov = moov.moov().await?;
        let (source, moov_bytes) = (source.clone(), moov.len());
        // A walk over millions of samples; elsewhere it would hold up who shares this thread.
        let parsed = tokio::task::spawn_blocking(move || {
            let _place = place;
            uploaded(&source, &moov)
        });
        let (key, version, tracks) = parsed.await.expect("a parser that panics is a fault of ours")?;
        Ok(Uploaded { key, version, tracks, moov_bytes })
    }
}

// === impl Uploaded ===

impl Uploaded {
    /// Where the track called `name` is.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.tracks.iter().position(|track| track.facts.name == name)
    }

    fn weight_bytes(&self) -> usize {
        let track = |track: &UploadedTrack| {
            track.complete.weight_bytes() + track.movie.init().len() + SEGMENT_BYTES * track.movie.segments().len()
        };
        OVERHEAD_BYTES + self.moov_bytes + self.tracks.iter().map(track).sum::<usize>()
    }
}

// === impl UploadedTrack ===

impl UploadedTrack {
    pub(crate) fn media_type(&self) -> &'static str {
        match self.facts.kind {
            TrackKind::Video => "video/mp4",
            TrackKind::Audio => "audio/mp4",
        }
    }

    /// What names the bytes of a segment or I-frame, as a digest of them does.
    pub(crate) fn named(&self, is_keyframe: bool, number: u64) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.identity);
        digest.update([u8::from(is_keyframe)]);
        digest.update(number.to_be_bytes());
        digest.finalize().into()
    }

    pub(crate) fn segment(&self, number: u64) -> Option<SegmentPlan> {
        self.movie.segment(usize::try_from(number).ok()?)
    }

    pub(crate) fn keyframe(&self, number: u64) -> Option<SegmentPlan> {
        if self.facts.kind == TrackKind::Audio {
            return None;
        }
        self.movie.keyframe(u32::try_from(number).ok()?)
    }
}

/// The name of the version that a file is by itself.
pub(crate) fn version_of(source: &Source) -> String {
    let digest = Sha256::digest(format!("{PACKAGER} {}", source.sha256));
    hex::encode(digest).chars().take(12).collect()
}

fn uploaded(source: &Source, moov: &Bytes) -> Result<(String, String, Vec<UploadedTrack>), Unplayable> {
    let movie = Movie::parse(moov, source.size_bytes, SEGMENT_MS)?;
    for left in &movie.left_out {
        tracing::info!(key = source.key, track = left.track_id, reason = left.reason, "a track is left out");
    }
    let (pictures, sound): (Vec<_>, Vec<_>) =
        movie.tracks.into_iter().partition(|track| matches!(track.media, Media::Picture(_)));
    // Others show the same differently, or something else: a player takes one.
    let best = pictures.iter().position(|track| track.is_enabled).unwrap_or(0);
    let mut sound = sound;
    // As the probe orders them, so that the ladder begins with the same one.
    let rank = |track: &MovieTrack| u8::from(!role_of(track).is_for_few()) + u8::from(track.is_enabled);
    let first = (0..sound.len()).max_by_key(|at| (rank(&sound[*at]), std::cmp::Reverse(*at)));
    sound[..first.map_or(0, |first| first + 1)].rotate_right(usize::from(first.is_some()));
    sound.truncate(SOUNDS_MAX);
    let chosen = pictures.into_iter().nth(best).into_iter().chain(sound);
    let tracks = chosen.map(|track| track_of(source, track)).collect::<Result<Vec<_>, _>>()?;
    if tracks.is_empty() {
        let reasons: Vec<String> = movie.left_out.into_iter().map(|left| left.reason).collect();
        return Err(Unplayable::Nothing(reasons.join("; ")));
    }
    Ok((source.key.clone(), version_of(source), tracks))
}

fn track_of(source: &Source, movie: MovieTrack) -> Result<UploadedTrack, Unplayable> {
    let figures = movie.figures();
    let (kind, letter) = match movie.media {
        Media::Picture(_) => (TrackKind::Video, 'v'),
        Media::Sound(_) => (TrackKind::Audio, 'a'),
    };
    let name = format!("{letter}{}", movie.track_id);
    let mut facts = Facts {
        name,
        kind,
        codec: movie.codec.clone(),
        width: None,
        height: None,
        frame_rate: None,
        channels: None,
        sample_rate_hz: None,
        language: movie.words.language.clone().filter(|language| language != "und"),
        role: role_of(&movie),
        title: movie.words.title.clone(),
        source_sound: movie.sound,
        duration_ms: figures.duration_ms,
        samples: figures.samples,
        average_bandwidth_bps: figures.average_bandwidth_bps,
        peak_bandwidth_bps: figures.peak_bandwidth_bps,
        size_bytes: figures.size_bytes,
    };
    let (mut video_range, mut supplemental_codec) = (None, None);
    match &movie.media {
        Media::Picture(picture) => {
            let (width, height) = shown(picture);
            (facts.width, facts.height) = (Some(width), Some(height));
            facts.frame_rate = picture.frame_rate.map(|(num, den)| Rational { num, den });
            video_range = Some(listed_range(picture.range));
            supplemental_codec.clone_from(&picture.supplemental_codec);
        }
        Media::Sound(sound) => {
            (facts.channels, facts.sample_rate_hz) = (Some(sound.channels), Some(sound.sample_rate_hz));
        }
    }
    let complete = Arc::new(Complete::uploaded(&movie, kind == TrackKind::Video)?);
    let identity = Sha256::digest(format!("{PACKAGER} {} {}", source.sha256, movie.track_id)).into();
    Ok(UploadedTrack { facts, video_range, supplemental_codec, complete, identity, movie })
}

/// What a track of sound is for: what the file says, or its title.
fn role_of(movie: &MovieTrack) -> SoundRole {
    let said = movie.words.roles.iter().find_map(|role| SoundRole::of_dash(role));
    said.or_else(|| SoundRole::of_title(movie.words.title.as_deref()?)).unwrap_or_default()
}

/// Size in square pixels, the right way up.
fn shown(picture: &Picture) -> (u32, u32) {
    let (horizontal, vertical) = picture.pixel_aspect;
    let (width, height) = (u32::from(picture.width), u32::from(picture.height));
    let stretched = u64::from(width) * u64::from(horizontal) / u64::from(vertical.max(1));
    let width = u32::try_from(stretched).unwrap_or(width).max(1);
    if matches!(picture.rotation_degrees, 90 | 270) { (height, width) } else { (width, height) }
}

/// The search for `moov` in a stored file.
struct Look<'a> {
    store: &'a MediaStore,
    key: &'a str,
    size_bytes: u64,
    /// Bytes that were read last, and where they begin.
    seen: (u64, Bytes),
}

// === impl Look ===

impl Look<'_> {
    async fn moov(mut self) -> Result<Bytes, LookError> {
        let Layout { moov_offset_bytes, moov_size_bytes, fragmented, .. } = self.walk().await?;
        if fragmented {
            return Err(Unplayable::Fragmented.into());
        }
        if moov_size_bytes > MOOV_SIZE_MAX_BYTES {
            return Err(Unplayable::Movie(MovieError::TooLarge { size_bytes: moov_size_bytes }).into());
        }
        Ok(self.bytes(moov_offset_bytes, moov_size_bytes).await?)
    }

    async fn walk(&mut self) -> Result<Layout, LookError> {
        let mut walk = BoxWalk::new(self.size_bytes);
        let mut step = walk.step().map_err(Unplayable::Boxes)?;
        for _ in 0..LOOKS_MAX {
            match step {
                Step::Done(layout) => return Ok(layout),
                Step::Read { offset_bytes, length_bytes } => {
                    let head = self.bytes(offset_bytes, length_bytes).await?;
                    if head.get(4..8) == Some(b"moof") {
                        return Err(Unplayable::Fragmented.into());
                    }
                    step = walk.feed(&head).map_err(Unplayable::Boxes)?;
                }
            }
        }
        Err(Unplayable::TooManyBoxes.into())
    }

    async fn bytes(&mut self, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.seen(offset_bytes, length_bytes) {
            return Ok(bytes);
        }
        let end = (offset_bytes + length_bytes.max(LOOK_BYTES)).min(self.size_bytes);
        self.seen = (offset_bytes, self.store.bytes(self.key, offset_bytes..end).await?);
        Ok(self.seen(offset_bytes, length_bytes).unwrap_or_default())
    }

    fn seen(&self, offset_bytes: u64, length_bytes: u64) -> Option<Bytes> {
        let (begin, bytes) = &self.seen;
        let from = usize::try_from(offset_bytes.checked_sub(*begin)?).ok()?;
        let to = from.checked_add(usize::try_from(length_bytes).ok()?)?;
        (to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}
