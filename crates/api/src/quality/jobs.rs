//! The quality service: durable jobs that compare or inspect media that the services hold.
//!
//! `POST|GET /comparisons` · `GET /comparisons/{id}` · `GET /comparisons/{id}/events` (SSE: event `comparison`, at most four a
//! second, ends with the job) · `POST /comparisons/{id}/cancel` · `GET /comparisons/{id}/{file}` (`frames.csv`, `frames.json`,
//! `report.html`); the same but the files below `/inspections`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use uuid::Uuid;

use super::{Comparison, Inspection, Metric};
pub use crate::jobs::JobState;

/// Most gates of a job.
pub const GATES_MAX: usize = 64;
/// Longest text of a gate, bytes.
pub const GATE_MAX_BYTES: usize = 128;

/// Media that the service may open, as one word: `ID` (an asset as it plays), `ID/source` (the file that was uploaded), `ID/v720`
/// (a track of the version that plays), `/~streaming/ID/index.m3u8` (a path below the router).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MediaName {
    /// An asset as it plays.
    Asset(Uuid),
    /// The file that an asset was uploaded as.
    Source(Uuid),
    /// A track of the version of an asset that plays.
    Track(Uuid, String),
    /// A path below the router: `/~NAME/…`.
    Path(String),
}

/// Body of `POST /comparisons`. The caller chooses the id, so that a repeated call queues once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewComparison {
    /// Identifier, a UUID (version 7 recommended).
    pub id: Uuid,
    /// What it is compared with.
    pub reference: MediaName,
    /// What is scored.
    pub distorted: MediaName,
    /// What to compute.
    pub metrics: Vec<Metric>,
    /// Bounds to keep: `vmaf.p5 >= 80`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// Every n-th pair of frames is scored.
    #[serde(default = "one")]
    pub subsample: u32,
    /// Only so many pairs of frames are scored; by default as many as the service allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames_max: Option<u64>,
    /// Nothing is scored when it is less sure than this (0 to 1) that the frames belong together.
    #[serde(default = "half")]
    pub confidence_min: f64,
}

/// Body of `POST /inspections`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInspection {
    /// Identifier, a UUID (version 7 recommended).
    pub id: Uuid,
    /// What is inspected.
    pub media: MediaName,
    /// Black, frozen and silent stretches count from this length on, seconds.
    #[serde(default = "two")]
    pub shortest_s: f64,
    /// Bounds to keep: `loudness.integrated >= -24`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measuring {
    /// Identifier.
    pub id: Uuid,
    /// The tenant that owns it.
    pub tenant: String,
    /// Where it stands.
    pub state: JobState,
    /// Done so far, 0 to 1.
    pub progress: f64,
    /// Attempts begun, the current one included.
    pub attempt: u32,
    /// Why the last attempt failed, if one did.
    pub error: Option<String>,
    /// What each gate says, once it was measured, in the order in which they were asked for.
    pub gates: Vec<GateVerdict>,
    /// Whether all gates hold; absent until it was measured.
    pub passed: Option<bool>,
    /// When it was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its first attempt began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it came to its final state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateVerdict {
    /// The bound: `vmaf.p5 >= 80`.
    pub gate: String,
    /// What was measured; absent where it could not be.
    pub measured: Option<f64>,
    /// Whether the bound is kept; what was not measured does not keep it.
    pub passed: bool,
    /// Why it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A comparison as a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparisonJob {
    /// How far it is.
    #[serde(flatten)]
    pub standing: Measuring,
    /// What it is compared with.
    pub reference: MediaName,
    /// What is scored.
    pub distorted: MediaName,
    /// What is computed.
    pub metrics: Vec<Metric>,
    /// What was measured, once it was; its films are called as the job calls them. Lists leave it out.
    pub result: Option<Comparison>,
}

/// An inspection as a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InspectionJob {
    /// How far it is.
    #[serde(flatten)]
    pub standing: Measuring,
    /// What is inspected.
    pub media: MediaName,
    /// What was found, once it was looked for. Lists leave it out.
    pub result: Option<Inspection>,
}

/// Query of `GET /comparisons` and `GET /inspections`, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MeasuringQuery {
    /// Only jobs in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Only jobs that scored or inspected media of this asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_id: Option<Uuid>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items wanted, 1 to 200 (default 50).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A file that a comparison leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ResultFile {
    /// The scores of all frames as a table (RFC 4180).
    #[serde(rename = "frames.csv")]
    FramesCsv,
    /// The whole result as libvmaf writes it: `frames` and `pooled_metrics`.
    #[serde(rename = "frames.json")]
    FramesJson,
    /// The report for people: one page with plots and the worst frames.
    #[serde(rename = "report.html")]
    Report,
}

fn one() -> u32 {
    1
}

fn half() -> f64 {
    0.5
}

fn two() -> f64 {
    2.0
}

// === impl MediaName ===

/// Longest path, and longest name of a track, bytes.
const PATH_MAX_BYTES: usize = 1024;
const TRACK_MAX_BYTES: usize = 64;

impl MediaName {
    /// The asset that it is of; none of a path that names none.
    #[must_use]
    pub fn asset_id(&self) -> Option<Uuid> {
        match self {
            Self::Asset(id) | Self::Source(id) | Self::Track(id, _) => Some(*id),
            Self::Path(path) => path.split('/').find_map(|part| part.parse().ok()),
        }
    }

    /// The name that a path goes to: `streaming`.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        match self {
            Self::Asset(_) | Self::Source(_) | Self::Track(_, _) => None,
            Self::Path(path) => path.strip_prefix("/~")?.split('/').next(),
        }
    }
}

impl FromStr for MediaName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "`{text}` names no media: write an asset's identifier, that and `/source`, that and `/` and the name of a track, \
                 or a path below the router such as `/~streaming/ID/index.m3u8`"
            )
        };
        if let Some(path) = text.strip_prefix("/~") {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'@');
            let (name, rest) = path.split_once('/').ok_or_else(wrong)?;
            let climbs = rest.split(['/', '?']).any(|part| part == ".." || part.to_ascii_lowercase().contains("%2e"));
            let is_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            if !is_name || rest.is_empty() || climbs || text.len() > PATH_MAX_BYTES || !text.bytes().all(is_plain) {
                return Err(wrong());
            }
            return Ok(Self::Path(text.to_owned()));
        }
        let (id, part) = text.split_once('/').map_or((text, None), |(id, part)| (id, Some(part)));
        let id: Uuid = id.parse().map_err(|_| wrong())?;
        match part {
            None => Ok(Self::Asset(id)),
            Some("source") => Ok(Self::Source(id)),
            Some(track) => {
                let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                let is_track = !track.is_empty() && track.len() <= TRACK_MAX_BYTES && track.bytes().all(is_word);
                if is_track { Ok(Self::Track(id, track.to_owned())) } else { Err(wrong()) }
            }
        }
    }
}

impl fmt::Display for MediaName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asset(id) => write!(formatter, "{id}"),
            Self::Source(id) => write!(formatter, "{id}/source"),
            Self::Track(id, track) => write!(formatter, "{id}/{track}"),
            Self::Path(path) => formatter.write_str(path),
        }
    }
}

impl TryFrom<String> for MediaName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MediaName> for String {
    fn from(name: MediaName) -> Self {
        name.to_string()
    }
}

impl PartialSchema for MediaName {
    fn schema() -> RefOr<Schema> {
        let about = "Media that the service may open: an asset (`ID`) as it plays, the file that it was uploaded as (`ID/source`), a \
                     track of the version that plays (`ID/v720`), or a path below the router (`/~streaming/ID/index.m3u8`)";
        ObjectBuilder::new().schema_type(Type::String).description(Some(about)).into()
    }
}

impl ToSchema for MediaName {}

// === impl ResultFile ===

impl ResultFile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::FramesCsv, Self::FramesJson, Self::Report];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FramesCsv => "frames.csv",
            Self::FramesJson => "frames.json",
            Self::Report => "report.html",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::FramesCsv => "text/csv; charset=utf-8",
            Self::FramesJson => "application/json",
            Self::Report => "text/html; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198a7c2-0000-7000-8000-000000000001";

    #[test]
    fn names_are_read_and_written_the_same() {
        for text in
            [ID.to_owned(), format!("{ID}/source"), format!("{ID}/v720"), format!("/~streaming/{ID}/index.m3u8")]
        {
            let name: MediaName = text.parse().expect("it is a name");
            assert_eq!((name.to_string(), name.asset_id()), (text, ID.parse().ok()));
        }
        let path: MediaName = "/~cdn.signed/a/index.m3u8?x=1".parse().expect("it is a name");
        assert_eq!((path.function(), path.asset_id()), (Some("cdn.signed"), None));
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for text in [
            "",
            "film.mp4",
            "/etc/passwd",
            "http://192.0.2.1/a",
            "/~/a",
            "/~streaming",
            "/~streaming/",
            "/~a@b/c",
            "/~a/../~b/c",
            "/~a/%2E%2e/c",
            "/~a/b c",
            "/~a/b\\c",
            "/~a/b#c",
            "/~a:1/b",
        ] {
            assert!(text.parse::<MediaName>().is_err(), "{text}");
        }
        for part in ["", "a/b", "..", "a.b", &"v".repeat(65)] {
            assert!(format!("{ID}/{part}").parse::<MediaName>().is_err(), "{part}");
        }
    }
}
