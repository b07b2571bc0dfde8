//! Content ingest: uploads by tus 1.0 and plain PUT, pulls from URLs, and what becomes of them.
//!
//! tus: `OPTIONS|POST /uploads`, `HEAD|PATCH|DELETE /uploads/{id}` (Upload-Metadata keys `filename`, `title`,
//! `chain`) · `PUT /files/{name}?title=&chain=` · `POST /pulls` · `POST /tickets`, `POST /tickets/{id}/complete` (a signed PUT into the object store) · `GET /uploads`, `GET /uploads/{id}` (state). Live: `GET /doors`
//! says where encoders publish, `GET|POST /scrub` whether what is stored is what it was, `PUT|POST /push/{key}/{name}` takes CMAF, `POST /whip/{key}` begins a session of WebRTC.

use std::collections::BTreeMap;

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

/// Answer of `GET /scrub`: whether what a tenant has stored is what it was. What nobody has looked at yet has no times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Scrub {
    /// Whether a look is under way.
    pub is_running: bool,
    /// When the last one began.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub began_at: Option<OffsetDateTime>,
    /// When it ended; absent while it is under way.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<OffsetDateTime>,
    /// Objects that were read.
    pub objects: u64,
    /// Their size together, bytes.
    pub size_bytes: u64,
    /// Objects that could be read, but of which nothing was noted when they were written that they could be held against.
    pub unverified: u64,
    /// Objects that are not what they were.
    pub rotten: u64,
    /// The first thousand of those.
    pub rot: Vec<Rot>,
}

/// An object that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rot {
    /// Its key in the store.
    pub key: String,
    /// The asset that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_id: Option<Uuid>,
    /// What is wrong with it.
    pub what: String,
    /// When that was found.
    #[serde(with = "time::serde::rfc3339")]
    pub found_at: OffsetDateTime,
}

/// Body of `POST /tickets`: an upload whose bytes its client puts into the object store itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTicket {
    /// How many bytes will be sent: from 1 to 5 GiB.
    pub size_bytes: u64,
    /// Their SHA-256, hex: the store takes no others then.
    pub sha256: Option<String>,
    /// The file's name, a label.
    pub file_name: Option<String>,
    /// Title; the file name otherwise.
    pub title: Option<String>,
    /// Chain to run on arrival (default `ladder`).
    pub chain: Option<String>,
}

/// Answer of `POST /tickets`: the request to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// Identifier of the upload.
    pub id: Uuid,
    /// Its method.
    pub method: String,
    /// Its URL. Whoever has it may store these bytes.
    pub url: String,
    /// Headers that have to be sent as they are.
    pub headers: BTreeMap<String, String>,
    /// The store refuses it from then on.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Body of `POST /tickets/{id}/complete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketDone {
    /// SHA-256 of what was stored, hex: other bytes are refused.
    pub sha256: Option<String>,
}
