//! What a service and its `flame-media` child say to each other: JSON, one message a line, version [`PROTOCOL`].
//!
//! The child opens with [`Event::Hello`]. Then the parent writes one [`Request`] at a time to the child's
//! standard input and reads [`Event`]s from its standard output until one is final ([`Event::Done`] or
//! [`Event::Failed`]); then the child is ready for the next request. When its standard input ends, the child
//! exits: a parent that dies takes its children along. Standard error is for logs only.

mod ladder;

use std::path::PathBuf;

use flame_api::{
    media::{Probe, Thumbnails, Track},
    quality::{Comparison, Form, Inspection, Metric},
};
use serde::{Deserialize, Serialize};

pub use ladder::{
    Agreed, AudioRung, Borders, ChunkPlace, GopRange, LadderPlan, LoudnessPlan, PictureStep, ThumbnailPlan, Unkept,
    VideoRung,
};

/// Version of this protocol. A parent refuses a child that says another.
pub const PROTOCOL: u32 = 8;
/// Longest line either side may write, its line feed included. A longer one ends the conversation.
pub const LINE_SIZE_MAX_BYTES: usize = 1 << 20;

/// Why a file that begins like nothing known is refused.
pub const NOT_MEDIA: &str = "this is not a media file: no known container of video or audio was found in it";

/// Work for a child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Measure a file. Answers [`Outcome::Probe`].
    Probe {
        /// A path, or an `http://` URL of the object store.
        input: String,
    },
    /// Write a JPEG of one picture. Answers [`Outcome::Poster`].
    Poster {
        /// A path, or an `http://` URL of the object store.
        input: String,
        /// The picture at, or the next after, this time; the first one if there is none.
        at_ms: u64,
        /// Bound of the picture's width and height in pixels.
        max_size: u32,
        /// Where to write it.
        output: PathBuf,
    },
    /// Encode a ladder of CMAF tracks. Answers [`Outcome::Ladder`].
    Ladder {
        /// A path.
        input: PathBuf,
        /// An existing folder; gets `<track>.mp4` and `<track>.index.json` for each track, and `thumbnails/<n>.jpg`.
        output_dir: PathBuf,
        /// What to encode.
        plan: LadderPlan,
    },
    /// Find where the tracks of a ladder begin, for those who make parts of it. Answers [`Outcome::Agreed`].
    Agree {
        /// A path.
        input: PathBuf,
        /// An existing folder; nothing is left in it.
        output_dir: PathBuf,
        /// The ladder.
        plan: LadderPlan,
    },
    /// Encode some GOPs of a ladder's pictures. Answers [`Outcome::Chunk`].
    Chunk {
        /// A path, or an `http://` URL of the object store.
        input: String,
        /// An existing folder; gets `<track>.chunk` for each rung.
        output_dir: PathBuf,
        /// The ladder: rungs of H.264, `agreed` is set, and there is neither sound nor a thumbnail.
        plan: LadderPlan,
        /// Which GOPs.
        range: GopRange,
    },
    /// Put chunks together to the tracks that they are parts of. Answers [`Outcome::Joined`].
    Join {
        /// The chunks in their order.
        chunks: Vec<ChunkPlace>,
        /// An existing folder; gets `<track>.mp4` and `<track>.index.json` for each rung.
        output_dir: PathBuf,
        /// The ladder of which they are chunks.
        plan: LadderPlan,
    },
    /// Look which of GStreamer's elements are installed. Answers [`Outcome::Elements`].
    Elements {
        /// Their names.
        names: Vec<String>,
    },
    /// Score a film against its reference. Answers [`Outcome::Compare`].
    Compare {
        /// The two, and what to compute.
        plan: ComparePlan,
        /// Where to write the scores of all frames: JSON of `flame_api::quality::Scores`.
        output: PathBuf,
    },
    /// Look for what is wrong with media, without a reference. Answers [`Outcome::Inspect`].
    Inspect {
        /// What, and what counts.
        plan: InspectPlan,
    },
    /// Make a smaller rendition of one segment. Answers [`Outcome::Transrate`].
    Transrate {
        /// An init segment of CMAF, and one media segment of its track behind it.
        input: PathBuf,
        /// Length of the init segment.
        init_size_bytes: u64,
        /// An existing folder; gets `init.mp4` and `segment.m4s`.
        output_dir: PathBuf,
        /// What to make.
        plan: TransratePlan,
    },
    /// Draw pairs of frames of two films. Answers [`Outcome::Sheets`].
    Sheets {
        /// Which.
        plan: SheetPlan,
        /// An existing folder; gets `<frame of the distorted film>.jpg` for each pair.
        output_dir: PathBuf,
    },
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line.
    Hello {
        /// [`PROTOCOL`] of the child.
        protocol: u32,
        /// Versions of the child and its libraries, for people.
        versions: String,
    },
    /// How far the work is; at most ten a second.
    Progress {
        /// 0 to 1.
        fraction: f64,
        /// The same of each track of a ladder, in the plan's order, video first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<f64>,
    },
    /// The work is done.
    Done {
        /// Its result.
        outcome: Outcome,
    },
    /// The work cannot be done; nothing is left in the output.
    Failed {
        /// Whose fault it is.
        fault: Fault,
        /// What was tried, on what, and what went wrong.
        reason: String,
    },
}

/// Whose fault a failure is: it decides whether trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The input cannot be used; another try gives the same.
    Input,
    /// Something else (disk, memory, a plugin that is missing); another try may succeed.
    Environment,
}

/// The result of a [`Request`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "an outcome lives for one line; a box would cost more than it saves")]
pub enum Outcome {
    /// Of [`Request::Probe`].
    Probe {
        /// What was measured.
        probe: Box<Probe>,
    },
    /// Of [`Request::Poster`].
    Poster {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Of [`Request::Ladder`].
    Ladder {
        /// The tracks written, in the order of the plan, video first.
        tracks: Vec<Track>,
        /// Frames of video that the source gave (each of them is in every video track).
        source_frames: u64,
        /// Audio samples per channel that the source gave for each audio track, at the track's rate.
        source_audio_samples: Vec<u64>,
        /// The thumbnails written; none also where they could not be made.
        thumbnails: Option<Thumbnails>,
        /// Where the tracks begin, for those that are made later and go with them.
        agreed: Option<Agreed>,
    },
    /// Of [`Request::Agree`].
    Agreed {
        /// Where the tracks begin.
        agreed: Agreed,
    },
    /// Of [`Request::Chunk`].
    Chunk {
        /// Pictures of each rung; none where the source has none there.
        pictures: u64,
        /// Length of each rung's file, in the plan's order.
        sizes_bytes: Vec<u64>,
    },
    /// Of [`Request::Join`].
    Joined {
        /// The tracks written, in the order of the plan.
        tracks: Vec<Track>,
        /// Chunks that need more than the buffer has where they begin; the tracks are whole all the same.
        unkept: Vec<Unkept>,
    },
    /// Of [`Request::Elements`].
    Elements {
        /// Those that are installed, in the order in which they were asked for.
        installed: Vec<String>,
        /// Versions of the child and its libraries, for people.
        versions: String,
    },
    /// Of [`Request::Compare`].
    Compare {
        /// Everything but the scores of single frames.
        comparison: Box<Comparison>,
    },
    /// Of [`Request::Inspect`].
    Inspect {
        /// What was found, and what was not measured.
        inspection: Box<Inspection>,
    },
    /// Of [`Request::Sheets`]: all are drawn.
    Sheets,
    /// Of [`Request::Transrate`].
    Transrate {
        /// RFC 6381 codec string of what was written.
        codec: String,
        /// Pictures, each with the times of the source's.
        samples: u32,
    },
}

/// What is made of a segment: H.264 without B-frames. Its init segment follows from this and the source's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransratePlan {
    /// Even width in pixels.
    pub width: u32,
    /// Even height in pixels.
    pub height: u32,
    /// x264's constant rate factor.
    pub crf: u32,
    /// Cap in bits per second, over a buffer of one second.
    pub max_bitrate_bps: u32,
    /// x264's preset: `veryfast`.
    pub preset: String,
    /// Level of H.264: `3.1`.
    pub level: String,
}

/// What is inspected, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InspectPlan {
    /// A path, or an `http://` URL.
    pub input: String,
    /// As in [`ComparePlan`].
    pub follow_playlists: bool,
    /// Black, frozen and silent stretches count from this length on, seconds.
    pub shortest_s: f64,
}

/// Which frames are drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetPlan {
    /// A path, or an `http://` URL.
    pub reference: String,
    /// A path, or an `http://` URL.
    pub distorted: String,
    /// As in [`ComparePlan`].
    pub follow_playlists: bool,
    /// As in [`ComparePlan`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_form: Option<Form>,
    /// As in [`ComparePlan`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distorted_form: Option<Form>,
    /// The pairs, in any order; later frames of one film go with later ones of the other.
    pub pairs: Vec<FramePair>,
}

/// Frames of two films, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramePair {
    /// Of the reference.
    pub reference: u64,
    /// Of the distorted film.
    pub distorted: u64,
}

/// What is compared, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparePlan {
    /// A path, or an `http://` URL.
    pub reference: String,
    /// A path, or an `http://` URL.
    pub distorted: String,
    /// Whether URLs may be HLS playlists, which name other URLs: only for who asks on their own behalf.
    pub follow_playlists: bool,
    /// What the reference is, if its bytes do not say it: a path then, no URL. An image sequence has one number in the path's last
    /// part, such as `%04d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_form: Option<Form>,
    /// The same of the distorted film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distorted_form: Option<Form>,
    /// What to compute.
    pub metrics: Vec<Metric>,
    /// Score at most this many pairs of frames.
    pub frames_max: Option<u64>,
    /// Score every n-th pair; 1 for all.
    pub subsample: u32,
    /// Threads for libvmaf.
    pub threads: u32,
    /// Refuse to score when the frames' correspondence is less sure than this, 0 to 1.
    pub confidence_min: f64,
}
