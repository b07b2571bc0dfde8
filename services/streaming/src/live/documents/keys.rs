//! Where what is written of a live track lies in the object store: see the table in front of the documents. Pure.

use uuid::Uuid;

/// Where the tracks of a version lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrackKeys(String);

// === impl TrackKeys ===

impl TrackKeys {
    pub(crate) fn new(tenant: &str, channel: Uuid, media_version: &str, track: &str) -> Self {
        Self(format!("{tenant}/live/{channel}/{media_version}/{track}"))
    }

    pub(crate) fn segment(&self, number: u64) -> String {
        format!("{}/{number}.m4s", self.0)
    }

    /// All of the track.
    pub(crate) fn folder(&self) -> String {
        format!("{}/", self.0)
    }

    /// Which segment has this key.
    pub(crate) fn segment_of(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.folder())?.strip_suffix(".m4s")?.parse().ok()
    }

    pub(crate) fn init(&self, number: u32) -> String {
        format!("{}/{}", self.0, flame_playlist::init_uri(number))
    }

    pub(crate) fn blocks(&self) -> String {
        format!("{}/blocks/", self.0)
    }

    pub(crate) fn block(&self, number: u64) -> String {
        // In the order of their names.
        format!("{}/blocks/{number:012}.json", self.0)
    }

    /// Which block has this key.
    pub(crate) fn block_of(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.blocks())?.strip_suffix(".json")?.parse().ok()
    }

    pub(crate) fn forgotten(&self) -> String {
        format!("{}/forgotten.json", self.0)
    }

    pub(crate) fn recording(&self) -> String {
        format!("{}/recording.json", self.0)
    }
}
