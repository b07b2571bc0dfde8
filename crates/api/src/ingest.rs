//! Content ingest: uploads by tus 1.0 and plain PUT, pulls from URLs, and what becomes of them.
//!
//! tus: `OPTIONS|POST /uploads`, `HEAD|PATCH|DELETE /uploads/{id}` (Upload-Metadata keys `filename`, `title`,
//! `chain`) · `PUT /files/{name}?title=&chain=` · `POST /pulls` · `GET /uploads`, `GET /uploads/{id}` (state). Live: `GET /doors`
//! says where encoders publish, `PUT|POST /push/{key}/{name}` takes CMAF, `POST /whip/{key}` begins a session of WebRTC.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::media::Probe;

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// Bytes are still missing.
    Receiving,
    /// All bytes are stored; it is being probed and registered.
    Processing,
    /// Registered as an asset, and its job is queued (unless `chain` is `none`).
    Done,
    /// Refused; `error` says why and nothing of it is kept.
    Failed,
}

/// What an upload has to do with others (tus 1.0, concatenation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConcatRole {
    /// It is to be a part of another one, and becomes no asset by itself.
    Partial,
    /// It is made of partial ones.
    Final,
}

/// Answer of `GET /doors`: where encoders publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveDoors {
    /// Address and port of RTMP; `rtmp://ADDRESS/live/KEY`. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtmp: Option<String>,
    /// Address and port of SRT, by UDP; `srt://ADDRESS?streamid=KEY`. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srt: Option<String>,
    /// Whether SRT is taken encrypted only: encoders need its `passphrase`.
    #[serde(default)]
    pub srt_encrypted: bool,
    /// Whether CMAF is taken at `/push/KEY/NAME` of this service.
    #[serde(default)]
    pub push: bool,
    /// Whether WebRTC is taken by WHIP, at `/whip/KEY` of this service.
    #[serde(default)]
    pub whip: bool,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// Identifier; the asset gets the same one.
    pub id: Uuid,
    /// The tenant that owns it.
    pub tenant: String,
    /// Where it stands.
    pub state: UploadState,
    /// Bytes that are stored and will not be asked for again.
    pub offset_bytes: u64,
    /// Length promised; absent while it is not known (a pull without Content-Length).
    pub length_bytes: Option<u64>,
    /// The name that the uploader gave the file.
    pub file_name: Option<String>,
    /// Title wanted.
    pub title: Option<String>,
    /// Chain to run on arrival: one of those that transcode knows by name (`ladder` by default), or `none`.
    pub chain: String,
    /// SHA-256 of the whole, lower-case hex, once complete.
    pub sha256: Option<String>,
    /// Whether it is a part of another upload, or made of parts; absent for most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concat: Option<ConcatRole>,
    /// The upload of this tenant that came with the same bytes before, of those that are still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<Uuid>,
    /// What the probe measured, once it has.
    pub probe: Option<Probe>,
    /// The asset, once registered.
    pub asset_id: Option<Uuid>,
    /// The conditioning job, once queued.
    pub job_id: Option<Uuid>,
    /// Why it failed, when it did.
    pub error: Option<String>,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Body of `POST /pulls`: fetch a URL and treat it as an upload. Answers 202 with the [`Upload`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPull {
    /// `http` or `https`.
    pub url: String,
    /// Title; the file name otherwise.
    pub title: Option<String>,
    /// Chain to run on arrival (default `ladder`).
    pub chain: Option<String>,
}
