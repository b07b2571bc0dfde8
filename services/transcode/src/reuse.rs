//! What was made before and need not be made again. Pure: what lies where is looked up, and copied, elsewhere.
//!
//! Every track, and the sheets of thumbnails, are addressed by what they are made of: the bytes of the source, all parameters that
//! their encoder sees, and the tools. Of two plans with one key for a track, either may make it. What a plan does besides has no
//! part in the key, so that a changed parameter makes anew what it touches and nothing else; but for one thing. All tracks of a
//! version share a timeline, which begins with the first of its streams: which streams of the source those are is part of the key,
//! and what is made later is told where it begins ([`Agreed`]).

use flame_api::media::{Rational, Thumbnails, Track};
use flame_media_child::protocol::{Agreed, AudioRung, GopRange, LadderPlan, PictureStep, ThumbnailPlan, VideoRung};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::plan::Plan;
use crate::version::Made;

/// Raised with every release whose media processes make something else of the same plan, which their version does not say.
const FORM: u32 = 1;

/// The bytes that a version is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Length in bytes.
    pub size_bytes: u64,
}

/// What an output is addressed by: SHA-256, lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

/// The keys of all that a plan makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Of its tracks, video first.
    pub tracks: Vec<Key>,
    /// Of its thumbnails, if it has any.
    pub thumbnails: Option<Key>,
}

/// Something that was made, and where it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// What it is addressed by.
    pub key: Key,
    /// What the keys of its objects begin with: those of a version.
    pub prefix: String,
    /// What it is.
    pub what: What,
}

/// What an output is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A track.
    Track {
        /// As it was published.
        track: Box<Track>,
        /// SHA-256 of its stored index, lower-case hex; the index has the digests of the segments.
        index_sha256: String,
        /// Where the tracks of its version begin.
        agreed: Agreed,
    },
    /// Sheets of thumbnails.
    Thumbnails {
        /// As they were published.
        thumbnails: Thumbnails,
    },
}

/// What of a plan is there: tracks in its order, each under the name that it has in this plan.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taken {
    /// For each track of the plan, the one that is there.
    pub tracks: Vec<Option<Track>>,
    /// The thumbnails that are there.
    pub thumbnails: Option<Thumbnails>,
    /// Where all of them begin; none where no track is there.
    pub agreed: Option<Agreed>,
}

/// All that decides about an output.
#[derive(Serialize)]
struct Canonical<'a> {
    form: u32,
    source_sha256: &'a str,
    source_size_bytes: u64,
    tools: &'a str,
    recipe: Recipe<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Recipe<'a> {
    Video { rung: VideoRung, gop_ms: u32, timescale: u32, rotation_deg: u16, front: &'a [PictureStep], beside: Beside },
    Audio { rung: AudioRung, beside: Beside },
    Thumbnails { plan: &'a ThumbnailPlan, rotation_deg: u16 },
    Chunk { plan: &'a LadderPlan, range: GopRange, only_for: Option<Uuid> },
}

/// What decides where the tracks of a version, and its segments, begin.
#[derive(Serialize)]
struct Beside {
    pictures: bool,
    sounds: Vec<u32>,
    segment_ms: u32,
    duration_ms: u64,
    deinterlace: bool,
    source_frame_rate: Option<Rational>,
    frame_rates: Vec<Rational>,
}

// === impl Key ===

impl Key {
    fn of(source: &Source, tools: &str, recipe: Recipe<'_>) -> Self {
        let Source { sha256, size_bytes } = source;
        let canonical = Canonical { form: FORM, source_sha256: sha256, source_size_bytes: *size_bytes, tools, recipe };
        let json = serde_json::to_vec(&canonical).expect("strings and numbers always become JSON");
        Self(hex::encode(Sha256::digest(json)))
    }

    /// The key of the GOPs `range` of the pictures of `plan`, which says where they begin; of a job that takes nothing of others, for it
    /// alone.
    #[must_use]
    pub fn of_chunk(source: &Source, tools: &str, plan: &LadderPlan, range: GopRange, only_for: Option<Uuid>) -> Self {
        // For progress, and segments are a matter of the join.
        let plan = LadderPlan { duration_ms: 0, segment_ms: plan.gop_ms, ..plan.clone() };
        Self::of(source, tools, Recipe::Chunk { plan: &plan, range, only_for })
    }

    /// A key as it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Keys ===

impl Keys {
    /// The keys of what `plan` makes of `source` with `tools` (versions, in any words).
    #[must_use]
    pub fn of(source: &Source, plan: &LadderPlan, tools: &str) -> Self {
        let key = |recipe| Key::of(source, tools, recipe);
        let video = plan.video.iter().map(|rung| {
            key(Recipe::Video {
                // Names are a matter of the version.
                rung: VideoRung { name: String::new(), ..rung.clone() },
                gop_ms: plan.gop_ms,
                timescale: plan.video_timescale,
                rotation_deg: plan.rotation_deg,
                front: &plan.front,
                beside: Beside::of(plan),
            })
        });
        let audio = plan.audio.iter().map(|rung| {
            key(Recipe::Audio { rung: AudioRung { name: String::new(), ..rung.clone() }, beside: Beside::of(plan) })
        });
        let thumbnails = plan.thumbnails.as_ref();
        Self {
            tracks: video.chain(audio).collect(),
            thumbnails: thumbnails
                .map(|thumbnails| key(Recipe::Thumbnails { plan: thumbnails, rotation_deg: plan.rotation_deg })),
        }
    }
}

// === impl Beside ===

impl Beside {
    fn of(plan: &LadderPlan) -> Self {
        let mut sounds: Vec<u32> = plan.audio.iter().map(|rung| rung.sound).collect();
        sounds.sort_unstable();
        sounds.dedup();
        let frame_rates = plan.front.iter().filter_map(|step| match step {
            PictureStep::FrameRate(rate) => Some(*rate),
            PictureStep::Crop(_) | PictureStep::Pad(_) => None,
        });
        Self {
            pictures: !plan.video.is_empty(),
            sounds,
            segment_ms: plan.segment_ms,
            duration_ms: plan.duration_ms,
            deinterlace: plan.deinterlace,
            source_frame_rate: plan.frame_rate,
            frame_rates: frame_rates.collect(),
        }
    }
}

// === impl Taken ===

impl Taken {
    /// Nothing of `plan`.
    #[must_use]
    pub fn nothing(plan: &Plan) -> Self {
        Self { tracks: vec![None; plan.stages.len()], thumbnails: None, agreed: None }
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.thumbnails.is_none() && self.tracks.iter().all(Option::is_none)
    }

    /// Thumbnails are made of pictures that are decoded for a track: where some are missing and every picture is there, the
    /// smallest pictures are made again.
    #[must_use]
    pub fn with_pictures_for_thumbnails(mut self, plan: &LadderPlan) -> Self {
        let pictures = plan.video.len().min(self.tracks.len());
        let all_there = self.tracks[..pictures].iter().all(Option::is_some);
        if plan.thumbnails.is_some() && self.thumbnails.is_none() && all_there {
            let pixels = |at: &usize| u64::from(plan.video[*at].width) * u64::from(plan.video[*at].height);
            if let Some(smallest) = (0..pictures).min_by_key(pixels) {
                self.tracks[smallest] = None;
            }
        }
        self
    }

    /// What is left of `plan` to be made.
    #[must_use]
    pub fn rest(&self, plan: &Plan) -> Plan {
        let is_left = |at: usize| self.tracks.get(at).is_none_or(Option::is_none);
        let pictures = plan.ladder.video.len();
        let video = plan.ladder.video.iter().enumerate().filter(|(at, _)| is_left(*at));
        let audio = plan.ladder.audio.iter().enumerate().filter(|(at, _)| is_left(pictures + at));
        let stages = plan.stages.iter().enumerate().filter(|(at, _)| is_left(*at));
        Plan {
            ladder: LadderPlan {
                video: video.map(|(_, rung)| rung.clone()).collect(),
                audio: audio.map(|(_, rung)| rung.clone()).collect(),
                thumbnails: plan.ladder.thumbnails.clone().filter(|_| self.thumbnails.is_none()),
                agreed: self.agreed,
                ..plan.ladder.clone()
            },
            stages: stages.map(|(_, stage)| stage.clone()).collect(),
            encoders: plan.encoders.clone(),
        }
    }

    /// The whole version: what is there, and what was made of the rest.
    #[must_use]
    pub fn with(&self, rest: Made) -> Made {
        let mut made = rest.tracks.into_iter();
        let tracks = self.tracks.iter().filter_map(|taken| taken.clone().or_else(|| made.next()));
        Made {
            tracks: tracks.collect(),
            thumbnails: self.thumbnails.clone().or(rest.thumbnails),
            conditioning: rest.conditioning,
        }
    }

    /// Names of the tracks that are there, of those that `stage` makes in `plan`.
    #[must_use]
    pub fn of_stage(&self, plan: &Plan, stage: &str) -> Vec<String> {
        let tracks = plan.stages.iter().zip(&self.tracks).filter(|(maker, _)| *maker == stage);
        tracks.filter_map(|(_, track)| Some(track.as_ref()?.name.clone())).collect()
    }
}

#[cfg(test)]
mod tests;
