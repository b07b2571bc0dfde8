//! The index of a stored track: where each segment lies in the track's object, and when it plays.
//!
//! Stored beside the object as JSON (docs/storage-format.md). Readers refuse a newer version, and an index
//! that contradicts itself: what passes [`TrackIndex::from_json`] can be served without further checks.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version written and the newest that is read.
pub const VERSION: u32 = 1;
/// The largest index that is read: 24 hours in segments of one second take 20 MiB.
pub const JSON_SIZE_MAX_BYTES: usize = 32 << 20;
/// Characters of a SHA-256 in hex.
const SHA256_HEX_LENGTH: usize = 64;

/// Index of one stored CMAF track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackIndex {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Ticks per second of every time below, above 0.
    pub timescale: u32,
    /// Media time that is presented at 0, ticks: `media_time` of the edit list (AAC priming, reordering of
    /// pictures), 0 without one. A sample of the media time `t` plays at `t` less this.
    pub edit_media_time_ticks: u64,
    /// Bytes of the init segment (`ftyp`, `moov`), which begins at offset 0.
    pub init_size_bytes: u64,
    /// SHA-256 of the init segment, lower-case hex.
    pub init_sha256: String,
    /// The segments in order; `n` of the URL is the position, from 0. They follow each other without a gap,
    /// in the object (from `init_size_bytes` on) and in time.
    pub segments: Vec<SegmentEntry>,
}

/// Where one segment lies and when it plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Offset in the object.
    pub offset_bytes: u64,
    /// Length, above 0.
    pub size_bytes: u64,
    /// Media time at which the first sample is shown, ticks (before the edit).
    pub time_ticks: u64,
    /// Ticks until the next segment begins, of the last one until its last sample ends; above 0.
    pub duration_ticks: u64,
    /// Samples, at least 1.
    pub samples: u32,
    /// Stream access point type of the first sample (ISO/IEC 14496-12 Annex I): 1 for closed GOPs and audio,
    /// 0 for none.
    pub sap: u8,
    /// SHA-256 of the bytes, lower-case hex.
    pub sha256: String,
    /// Its sync samples, for playlists of I-frames. None of sound, and none where a release wrote it that noted none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keyframes: Vec<KeyframeEntry>,
}

/// A picture that needs no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyframeEntry {
    /// Media time at which it is shown, ticks (before the edit).
    pub time_ticks: u64,
    /// Bytes of the sample.
    pub size_bytes: u32,
}

/// An index that cannot be used.
#[derive(Debug, Error)]
pub enum IndexError {
    /// It is larger than [`JSON_SIZE_MAX_BYTES`].
    #[error("the track index has {size_bytes} bytes, more than the {JSON_SIZE_MAX_BYTES} that are read")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
    },
    /// It is not JSON of the documented shape.
    #[error("the track index is not valid JSON of version {VERSION}")]
    Json(#[source] serde_json::Error),
    /// A newer release wrote it.
    #[error("the track index has version {found}, this release reads up to {VERSION}: upgrade it")]
    NewerVersion {
        /// Its version.
        found: u32,
    },
    /// It contradicts itself.
    #[error("the track index contradicts itself: {what}")]
    Inconsistent {
        /// Which rule is broken, and where.
        what: String,
    },
}

// === impl TrackIndex ===

impl TrackIndex {
    /// Reads and checks an index.
    ///
    /// # Errors
    /// [`IndexError`], if it cannot be used for any reason.
    pub fn from_json(json: &[u8]) -> Result<Self, IndexError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if json.len() > JSON_SIZE_MAX_BYTES {
            return Err(IndexError::TooLarge { size_bytes: json.len() });
        }
        // The version first: a newer shape must be called newer, not broken.
        let Versioned { version } = serde_json::from_slice(json).map_err(IndexError::Json)?;
        if version > VERSION {
            return Err(IndexError::NewerVersion { found: version });
        }
        let index: Self = serde_json::from_slice(json).map_err(IndexError::Json)?;
        index.check()?;
        Ok(index)
    }

    /// The index as it is stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers always become JSON")
    }

    /// Bytes of the object that the index describes.
    #[must_use]
    pub fn object_size_bytes(&self) -> u64 {
        self.segments.last().map_or(self.init_size_bytes, |segment| segment.offset_bytes + segment.size_bytes)
    }

    /// What is presented of the segment `number`, ticks: its duration less what the edit list cuts off.
    #[must_use]
    pub fn presented_ticks(&self, number: usize) -> Option<u64> {
        let segment = self.segments.get(number)?;
        let cut_ticks = self.edit_media_time_ticks.saturating_sub(segment.time_ticks);
        Some(segment.duration_ticks.saturating_sub(cut_ticks))
    }

    fn check(&self) -> Result<(), IndexError> {
        let broken = |what: String| Err(IndexError::Inconsistent { what });
        if self.version == 0 || self.timescale == 0 || self.init_size_bytes == 0 || self.codec.is_empty() {
            return broken("version, timescale, init_size_bytes and codec must not be empty".to_owned());
        }
        if !is_sha256(&self.init_sha256) {
            return broken("init_sha256 is not a SHA-256 in lower-case hex".to_owned());
        }
        let mut offset_bytes = self.init_size_bytes;
        let mut time_ticks = self.segments.first().map_or(0, |segment| segment.time_ticks);
        for (number, segment) in self.segments.iter().enumerate() {
            if segment.size_bytes == 0 || segment.duration_ticks == 0 || segment.samples == 0 {
                return broken(format!("segment {number} is empty"));
            }
            if segment.sap > 6 || !is_sha256(&segment.sha256) {
                return broken(format!("segment {number} has no valid sap or sha256"));
            }
            if segment.offset_bytes != offset_bytes || segment.time_ticks != time_ticks {
                return broken(format!("segment {number} does not begin where the one before it ends"));
            }
            let (Some(next_bytes), Some(next_ticks)) =
                (offset_bytes.checked_add(segment.size_bytes), time_ticks.checked_add(segment.duration_ticks))
            else {
                return broken(format!("segment {number} ends beyond 64 bits"));
            };
            let mut shown_ticks = time_ticks;
            for (at, keyframe) in segment.keyframes.iter().enumerate() {
                let is_later = at == 0 || keyframe.time_ticks > shown_ticks;
                if !is_later || keyframe.time_ticks < time_ticks || keyframe.time_ticks >= next_ticks {
                    return broken(format!("keyframe {at} of segment {number} is not shown within it"));
                }
                shown_ticks = keyframe.time_ticks;
            }
            (offset_bytes, time_ticks) = (next_bytes, next_ticks);
        }
        Ok(())
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == SHA256_HEX_LENGTH && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> TrackIndex {
        let entry = |offset_bytes, time_ticks| SegmentEntry {
            offset_bytes,
            size_bytes: 100,
            time_ticks,
            duration_ticks: 360_000,
            samples: 96,
            sap: 1,
            sha256: "ab".repeat(32),
            keyframes: vec![KeyframeEntry { time_ticks, size_bytes: 50 }],
        };
        TrackIndex {
            version: VERSION,
            codec: "avc1.64001f".to_owned(),
            timescale: 90_000,
            edit_media_time_ticks: 0,
            init_size_bytes: 700,
            init_sha256: "cd".repeat(32),
            segments: vec![entry(700, 45_000), entry(800, 405_000)],
        }
    }

    fn refused(change: impl FnOnce(&mut TrackIndex)) -> IndexError {
        let mut index = valid();
        change(&mut index);
        TrackIndex::from_json(&index.to_json()).unwrap_err()
    }

    #[test]
    fn reads_what_it_wrote() {
        let index = valid();
        assert_eq!(TrackIndex::from_json(&index.to_json()).unwrap(), index);
        assert_eq!(index.object_size_bytes(), 900);
    }

    #[test]
    fn refuses_a_newer_version_whatever_its_shape() {
        let error = TrackIndex::from_json(br#"{"version":2,"segments":"elsewhere"}"#).unwrap_err();
        assert!(matches!(error, IndexError::NewerVersion { found: 2 }), "{error}");
    }

    #[test]
    fn refuses_what_is_not_an_index() {
        assert!(matches!(TrackIndex::from_json(b"").unwrap_err(), IndexError::Json(_)));
        assert!(matches!(TrackIndex::from_json(br#"{"version":1}"#).unwrap_err(), IndexError::Json(_)));
        let large = vec![b' '; JSON_SIZE_MAX_BYTES + 1];
        assert!(matches!(TrackIndex::from_json(&large).unwrap_err(), IndexError::TooLarge { .. }));
    }

    #[test]
    fn refuses_contradictions() {
        for error in [
            refused(|index| index.timescale = 0),
            refused(|index| index.codec.clear()),
            refused(|index| index.init_size_bytes = 699),
            refused(|index| index.init_sha256.truncate(63)),
            refused(|index| index.segments[1].offset_bytes += 1),
            refused(|index| index.segments[1].time_ticks -= 1),
            refused(|index| index.segments[0].size_bytes = 0),
            refused(|index| index.segments[0].duration_ticks = u64::MAX),
            refused(|index| index.segments[1].samples = 0),
            refused(|index| index.segments[1].sha256 = "AB".repeat(32)),
            refused(|index| index.segments[1].sap = 7),
            refused(|index| index.segments[1].keyframes[0].time_ticks -= 1),
            refused(|index| index.segments[0].keyframes[0].time_ticks += 360_000),
            refused(|index| index.segments[0].keyframes = vec![index.segments[0].keyframes[0]; 2]),
        ] {
            assert!(matches!(error, IndexError::Inconsistent { .. }), "{error}");
        }
    }
}
