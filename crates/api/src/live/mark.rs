//! Marks of a channel: a span of time that something is said of, an advertisement or a chapter. Viewers get them as
//! `EXT-X-DATERANGE` (RFC 8216bis section 4.4.5.1), in the recording too.
//!
//! `PUT /channels/{id}/marks/{mark}` · `GET /channels/{id}/marks`. What a call leaves unsaid stays as it was said before: so a
//! break whose length nobody knew gets its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Body of `PUT /channels/{id}/marks/{mark}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMark {
    /// Which attributes of its own it has; marks of one class do not overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// When it begins; said once. Without it: now.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub start: Option<OffsetDateTime>,
    /// When it ends.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub end: Option<OffsetDateTime>,
    /// How long it is, milliseconds, instead of `end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How long it is meant to be, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_duration_ms: Option<u64>,
    /// It ends where the next one of its class begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_on_next: Option<bool>,
    /// The splice_info_section of SCTE 35 that begins it, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scte35_out: Option<String>,
    /// The one that ends it, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scte35_in: Option<String>,
    /// One that is neither, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scte35_command: Option<String>,
    /// Attributes of its own; their names begin with `X-`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, MarkValue>,
}

/// Value of an attribute of a mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MarkValue {
    /// A number.
    Number(f64),
    /// Text; bytes where it is `0x` and hexadecimal digits.
    Text(String),
}

/// A mark as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    /// Its name: letters, digits, `. - _`, 64 at most.
    pub id: String,
    /// As in [`NewMark`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// When it begins.
    #[serde(with = "time::serde::rfc3339")]
    pub start: OffsetDateTime,
    /// How long it is, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How long it is meant to be, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_duration_ms: Option<u64>,
    /// It ends where the next one of its class begins.
    #[serde(default)]
    pub ends_on_next: bool,
    /// As in [`NewMark`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scte35_out: Option<String>,
    /// As in [`NewMark`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scte35_in: Option<String>,
    /// As in [`NewMark`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scte35_command: Option<String>,
    /// As in [`NewMark`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, MarkValue>,
}
