//! What of a live channel is written to the object store, and under which keys (docs/storage-format.md).
//!
//! ```text
//! {tenant}/channels/{id}.json                                  the channel, until it has ended
//! {tenant}/channels-ended/{id}.json                            the same from then on: no start of the service reads it
//! {tenant}/live-owner.json                                     which instance owns the channels, where several share them
//! {tenant}/live/{id}/{version}/numbers.json                    numbers that may have been seen
//! {tenant}/live/{id}/{version}/{track}/init.mp4, init-1.mp4 …  init segments
//! {tenant}/live/{id}/{version}/{track}/{n}.m4s                 segments, one object each
//! {tenant}/live/{id}/{version}/{track}/blocks/{b}.json         what is known of the segments b*64 to b*64+63
//! {tenant}/live/{id}/{version}/{track}/forgotten.json       what was deleted of it, for the counts
//! {tenant}/live/{id}/{version}/{track}/recording.json          the same of all, or in which blocks it is, once the channel has ended
//! ```
//! Every document has a version; what a newer release wrote is refused.

mod keys;

use flame_api::live::{LiveLadder, LiveTrack, Mark, Source};
use flame_api::metadata::Encryption;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::keys::TrackKeys;
use super::forgetting::ForgottenDocument;
use super::window::{Keyframe, Segment, State};

/// The version that is written.
const VERSION: u32 = 1;
/// That of recordings whose segments are in blocks.
const IN_BLOCKS: u32 = 2;
/// That of blocks with a run of gaps.
const WITH_RUNS: u32 = 3;
/// That of channels which do not keep all, and of what is left of them.
pub(crate) const LEFT_OVER: u32 = 4;
/// The newest that is read: that of channels and recordings which go out encrypted. An older release would give them away.
pub(crate) const NEWEST: u32 = 5;
/// The most numbers that a run of gaps, or a hole, can stand for.
const RUN_MAX: u64 = 1_000_000;
/// Segments of a block.
pub(crate) const BLOCK_SEGMENTS: u64 = 64;
/// The most octets of a document that is read: a day in segments of one second has 15 MiB.
pub(crate) const DOCUMENT_MAX_BYTES: u64 = 64 << 20;

/// A channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChannelDocument {
    version: u32,
    pub(crate) id: Uuid,
    pub(crate) tenant: String,
    pub(crate) title: String,
    /// The version of its media in URLs and keys.
    pub(crate) media_version: String,
    pub(crate) segment_ms: u32,
    pub(crate) part_ms: u32,
    pub(crate) window_s: u32,
    /// How long media is kept while it goes on; all of it where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_s: Option<u32>,
    /// SHA-256 of the key, in hex.
    pub(crate) key_sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    pub(crate) is_ended: bool,
    /// `EXT-X-TARGETDURATION`, once it is known.
    pub(crate) target_duration_s: Option<u64>,
    pub(crate) tracks: Vec<TrackDocument>,
    /// What is said of spans of its time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<Mark>,
    /// Where ingest is to fetch its media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
    /// Its source said that nothing more comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) source_is_over: bool,
    /// What transcode is to make of what comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ladder: Option<LiveLadder>,
    /// How its media goes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
}

/// One track of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrackDocument {
    pub(crate) track: LiveTrack,
    /// Its init segments in order.
    pub(crate) inits: Vec<InitDocument>,
}

/// An init segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InitDocument {
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
    /// Transfer characteristics of its pictures (H.273), where it says them; older releases did not note them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transfer: Option<u16>,
}

/// Some segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockDocument {
    version: u32,
    pub(crate) segments: Vec<SegmentDocument>,
}

/// A whole track, of a channel that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordingDocument {
    version: u32,
    pub(crate) target_duration_s: u64,
    pub(crate) track: TrackDocument,
    pub(crate) segments: Vec<SegmentDocument>,
    /// The first and the last block that hold the segments, where they are not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blocks: Option<(u64, u64)>,
    /// What is said of spans of the channel's time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<Mark>,
    /// What came before the segments, where it is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forgotten: Option<ForgottenDocument>,
    /// How it goes out, whatever the catalogue says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentDocument {
    pub(crate) number: u64,
    pub(crate) time_ticks: u64,
    pub(crate) duration_ticks: u64,
    pub(crate) size_bytes: u64,
    /// SHA-256 in hex; empty for a gap.
    pub(crate) sha256: String,
    pub(crate) init: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_discontinuity: bool,
    /// What is to be added to its time to have the wall's; older releases did not correct it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) wall_offset_ms: i64,
    /// How many numbers it stands for, each as long as the others: more than 1 for a run of gaps.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) numbers: u64,
    /// Pictures that need no other; older releases did not note them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keyframes: Vec<Keyframe>,
}

/// A document that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum DocumentError {
    /// A newer release wrote it.
    #[error("{key} has version {found}, this release reads up to {NEWEST}: upgrade it")]
    Newer {
        /// Where it is.
        key: String,
        /// Its version.
        found: u32,
    },
    /// It is none.
    #[error("{key} is damaged")]
    Damaged {
        /// Where it is.
        key: String,
        /// How.
        #[source]
        source: serde_json::Error,
    },
    /// It contradicts itself.
    #[error("{key} contradicts itself: {what}")]
    Inconsistent {
        /// Where it is.
        key: String,
        /// How.
        what: &'static str,
    },
}

/// Numbers of segments of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NumbersDocument {
    version: u32,
    /// The first one that nobody can have seen anything of.
    pub(crate) next: u64,
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(numbers: &u64) -> bool {
    *numbers == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(offset: &i64) -> bool {
    *offset == 0
}

/// A document for each number: runs of gaps are taken apart, and what lacks between two is a gap, as a release wrote it that forgot gaps
/// before it stored them.
pub(crate) fn each(segments: Vec<SegmentDocument>) -> Result<Vec<SegmentDocument>, &'static str> {
    let mut all: Vec<SegmentDocument> = Vec::with_capacity(segments.len());
    for segment in segments {
        if let Some(last) = all.last() {
            let missing =
                segment.number.checked_sub(last.number.saturating_add(1)).ok_or("numbers that do not go on")?;
            let end_ticks = last.time_ticks.saturating_add(last.duration_ticks);
            let each_ticks = segment.time_ticks.saturating_sub(end_ticks) / missing.max(1);
            let gap = SegmentDocument::gap(last.number + 1, (end_ticks, each_ticks), last);
            all.extend(gap.run(missing)?);
        }
        if segment.numbers == 1 {
            all.push(segment);
        } else if segment.is_gap() && segment.numbers > 0 {
            let each_ticks = segment.duration_ticks / segment.numbers;
            let gap = SegmentDocument::gap(segment.number, (segment.time_ticks, each_ticks), &segment);
            all.extend(gap.run(segment.numbers)?);
        } else {
            return Err("a segment with several numbers");
        }
    }
    Ok(all)
}

/// Reads a document.
pub(crate) fn read<T: DeserializeOwned>(key: &str, json: &[u8]) -> Result<T, DocumentError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged = |source| DocumentError::Damaged { key: key.to_owned(), source };
    let Versioned { version } = serde_json::from_slice(json).map_err(damaged)?;
    if version > NEWEST {
        return Err(DocumentError::Newer { key: key.to_owned(), found: version });
    }
    serde_json::from_slice(json).map_err(damaged)
}

/// A document as it is written.
pub(crate) fn write(document: &impl Serialize) -> bytes::Bytes {
    serde_json::to_vec(document).expect("strings and numbers always become JSON").into()
}

/// Where the channels of a tenant are.
pub(crate) fn channels_prefix(tenant: &str) -> String {
    format!("{tenant}/channels/")
}

/// Where a channel is that has ended.
pub(crate) fn ended_key(tenant: &str, id: Uuid) -> String {
    format!("{tenant}/channels-ended/{id}.json")
}

/// Which instance owns the channels of a tenant.
pub(crate) fn lease_key(tenant: &str) -> String {
    format!("{tenant}/live-owner.json")
}

/// What a start writes to see whether the store keeps conditions.
pub(crate) fn conditions_key(tenant: &str) -> String {
    format!("{tenant}/live-owner.try")
}

/// Which numbers of a channel may have been seen.
pub(crate) fn numbers_key(tenant: &str, id: Uuid, media_version: &str) -> String {
    format!("{tenant}/live/{id}/{media_version}/numbers.json")
}

/// Where a channel is.
pub(crate) fn channel_key(tenant: &str, id: Uuid) -> String {
    format!("{tenant}/channels/{id}.json")
}

// === impl ChannelDocument ===

impl ChannelDocument {
    /// A channel that nobody has published to.
    pub(crate) fn new(
        tenant: &str,
        new: &flame_api::live::NewChannel,
        media_version: String,
        key_sha256: String,
    ) -> Self {
        Self {
            // What an older release would go on with as if all were there, or in the clear, it leaves out.
            version: match (new.encryption, new.keep_s) {
                (Some(_), _) => NEWEST,
                (None, Some(_)) => LEFT_OVER,
                (None, None) => VERSION,
            },
            id: new.id,
            tenant: tenant.to_owned(),
            title: new.title.clone(),
            media_version,
            segment_ms: new.segment_ms,
            part_ms: new.part_ms,
            window_s: new.window_s,
            keep_s: new.keep_s,
            key_sha256,
            created_at: OffsetDateTime::now_utc(),
            is_ended: false,
            target_duration_s: None,
            tracks: Vec::new(),
            marks: Vec::new(),
            source: new.source.clone(),
            source_is_over: false,
            ladder: new.ladder.clone(),
            encryption: new.encryption,
        }
    }
}

// === impl BlockDocument ===

impl BlockDocument {
    pub(crate) fn new(segments: Vec<SegmentDocument>) -> Self {
        let has_runs = segments.iter().any(|segment| segment.numbers != 1);
        Self { version: if has_runs { WITH_RUNS } else { VERSION }, segments }
    }
}

// === impl NumbersDocument ===

impl NumbersDocument {
    pub(crate) fn new(next: u64) -> Self {
        Self { version: VERSION, next }
    }
}

// === impl RecordingDocument ===

impl RecordingDocument {
    pub(crate) fn new(
        target_duration_s: u64,
        track: TrackDocument,
        segments: Vec<SegmentDocument>,
        marks: Vec<Mark>,
    ) -> Self {
        Self {
            version: VERSION,
            target_duration_s,
            track,
            segments,
            blocks: None,
            marks,
            forgotten: None,
            encryption: None,
        }
    }

    /// The same of a track of which this is not kept.
    pub(crate) fn without(self, forgotten: ForgottenDocument) -> Self {
        if forgotten.next == 0 {
            return self;
        }
        Self { version: LEFT_OVER, forgotten: Some(forgotten), ..self }
    }

    /// The same of a track that goes out so.
    pub(crate) fn sealed(self, encryption: Option<Encryption>) -> Self {
        match encryption {
            Some(_) => Self { version: NEWEST, encryption, ..self },
            None => self,
        }
    }

    /// The same without its segments, which are in their blocks.
    pub(crate) fn in_blocks(&self) -> Self {
        let block = |segment: &SegmentDocument| segment.number / BLOCK_SEGMENTS;
        let blocks = self.segments.first().map(block).zip(self.segments.last().map(block));
        Self { version: self.version.max(IN_BLOCKS), segments: Vec::new(), blocks, ..self.clone() }
    }

    /// Checks that numbers go on without a hole and that init segments are there.
    pub(crate) fn check(&self, key: &str) -> Result<(), DocumentError> {
        let broken = |what| Err(DocumentError::Inconsistent { key: key.to_owned(), what });
        if self.track.track.timescale == 0 || self.target_duration_s == 0 {
            return broken("a timescale or target duration of 0");
        }
        if self.segments.windows(2).any(|pair| pair[1].number != pair[0].number.wrapping_add(1)) {
            return broken("numbers of segments with a hole");
        }
        if self.segments.iter().any(|segment| segment.init as usize >= self.track.inits.len()) {
            return broken("a segment without an init segment");
        }
        let digests = self.segments.iter().filter(|segment| !segment.is_gap()).map(|segment| &segment.sha256);
        let digests = digests.chain(self.track.inits.iter().map(|init| &init.sha256));
        if digests.into_iter().any(|sha256| digest(sha256).is_none()) {
            return broken("a digest that is none");
        }
        Ok(())
    }
}

/// A SHA-256 in hex.
pub(crate) fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex, &mut bytes).ok().map(|()| bytes)
}

// === impl SegmentDocument ===

impl SegmentDocument {
    pub(crate) fn of(number: u64, segment: &Segment) -> Self {
        let is_gap = segment.state == State::Gap;
        Self {
            number,
            time_ticks: segment.time_ticks,
            duration_ticks: segment.duration_ticks,
            size_bytes: segment.size_bytes,
            sha256: if is_gap { String::new() } else { hex::encode(segment.sha256) },
            init: segment.init,
            is_discontinuity: segment.is_discontinuity,
            wall_offset_ms: segment.wall_offset_ms,
            numbers: segment.numbers,
            keyframes: segment.keyframes.clone(),
        }
    }

    /// What never came, at a time and for so long, after something.
    fn gap(number: u64, (time_ticks, duration_ticks): (u64, u64), after: &Self) -> Self {
        let mut segment = Segment::new(time_ticks, duration_ticks, after.init, State::Gap);
        (segment.is_stored, segment.wall_offset_ms) = (true, after.wall_offset_ms);
        Self::of(number, &segment)
    }

    /// So many of it, one behind the other.
    fn run(self, numbers: u64) -> Result<impl Iterator<Item = Self>, &'static str> {
        if numbers > RUN_MAX {
            return Err("more gaps than a track can have");
        }
        Ok((0..numbers).map(move |at| {
            let time_ticks = self.time_ticks.saturating_add(at.saturating_mul(self.duration_ticks));
            Self { number: self.number.saturating_add(at), time_ticks, ..self.clone() }
        }))
    }

    /// The number behind all that it stands for.
    pub(crate) fn end_number(&self) -> u64 {
        self.number.saturating_add(self.numbers.max(1))
    }

    pub(crate) fn is_gap(&self) -> bool {
        self.sha256.is_empty()
    }

    /// The segment, whose octets are in the store.
    pub(crate) fn segment(&self) -> Segment {
        let state = if self.is_gap() { State::Gap } else { State::Whole };
        let mut segment = Segment::new(self.time_ticks, self.duration_ticks, self.init, state);
        segment.is_discontinuity = self.is_discontinuity;
        segment.wall_offset_ms = self.wall_offset_ms;
        segment.size_bytes = self.size_bytes;
        segment.sha256 = digest(&self.sha256).unwrap_or_default();
        segment.is_stored = true;
        segment.keyframes.clone_from(&self.keyframes);
        segment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_as_gaps_and_so_is_a_hole() {
        let mut first = SegmentDocument::of(0, &Segment::new(0, 100, 0, State::Whole));
        first.wall_offset_ms = 7;
        let came = |number, time_ticks| SegmentDocument {
            sha256: "ab".repeat(32),
            ..SegmentDocument::gap(number, (time_ticks, 100), &first)
        };
        let run = SegmentDocument { numbers: 3, ..SegmentDocument::gap(1, (100, 300), &first) };
        let all = each(vec![came(0, 0), run.clone(), came(4, 400), came(7, 720)]).unwrap();
        let seen: Vec<_> = all.iter().map(|one| (one.number, one.time_ticks, one.is_gap(), one.numbers)).collect();
        let (gap, media) = (true, false);
        let before = [(0, 0, media, 1), (1, 100, gap, 1), (2, 200, gap, 1), (3, 300, gap, 1), (4, 400, media, 1)];
        assert_eq!(seen, [&before[..], &[(5, 500, gap, 1), (6, 610, gap, 1), (7, 720, media, 1)]].concat());
        assert!(all.iter().all(|one| one.wall_offset_ms == 7), "by the clock of what came before: {all:?}");
        assert!(each(vec![came(1, 0), came(1, 100)]).is_err(), "twice the same");
        assert!(each(vec![came(0, 0), came(u64::MAX, 100)]).is_err(), "more than memory holds");
        assert!(each(vec![SegmentDocument { numbers: 0, ..run.clone() }]).is_err());
        // What older releases would misread they refuse.
        let block = |segments| serde_json::to_value(BlockDocument::new(segments)).unwrap()["version"].clone();
        assert_eq!((block(vec![came(0, 0)]), block(vec![run])), (1.into(), 3.into()));
    }
}
