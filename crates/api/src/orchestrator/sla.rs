//! What a demand comes to: how many surrogates, how large, where; what they are expected to do, and what stands in the way.
//!
//! `POST /solutions`. The document of a demand is YAML (`docs/sla.schema.json`); what one surrogate does was measured before
//! (`flame sla calibrate`) and comes with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A demand, and the measurements that it is reckoned by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSolution {
    /// The demand (YAML).
    pub sla: String,
    /// What one surrogate was measured to do.
    pub calibration: Calibration,
}

/// What one surrogate was measured to do, with real viewers of real assets. Nothing in it is assumed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// When it was measured (RFC 3339).
    pub measured_at: String,
    /// What was measured.
    pub surrogate: Surrogate,
    /// What one sends at most, bits a second.
    pub capacity_bps: f64,
    /// Renditions, by rising bit rate.
    pub renditions: Vec<Rendition>,
    /// The rendition that viewers took while the levels were measured.
    pub rendition: String,
    /// Time in which the viewers of a level came, milliseconds.
    pub arrive_ms: u64,
    /// Requests that a viewer makes before the first picture.
    pub requests_before_picture: f64,
    /// Time to the head of an answer that the surrogate has, milliseconds.
    pub hit_ms: f64,
    /// Time to the head of one that it has to fetch, milliseconds.
    pub miss_ms: f64,
    /// Time from the end of a surrogate to its successor's first answer, seconds.
    pub repair_s: f64,
    /// What viewers met with, by rising load.
    pub levels: Vec<Level>,
}

/// What a surrogate takes, and is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Surrogate {
    /// Processors that are reserved for it.
    pub cpus: u64,
    /// Memory that it took besides what it keeps, bytes.
    pub overhead_bytes: u64,
    /// What it may send, bytes a second; absent where nothing bounds it but the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink_bytes_per_s: Option<u64>,
}

/// A rendition, as it was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rendition {
    /// Its name: `v720`.
    pub name: String,
    /// Pictures and sound together, bits a second.
    pub bitrate_bps: f64,
    /// Mean VMAF against the source; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmaf: Option<f64>,
}

/// What viewers of one surrogate met with at one load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Viewers times the bit rate of their rendition, as a share of what the surrogate sends at most.
    pub load: f64,
    /// Viewers.
    pub viewers: u64,
    /// Bits a second that one viewer was sent.
    pub viewer_bps: f64,
    /// Requests a second of one viewer.
    pub viewer_requests_per_s: f64,
    /// Time to the first picture that half of the viewers did not exceed, milliseconds.
    pub start_up_p50_ms: f64,
    /// The same for 95 of 100.
    pub start_up_p95_ms: f64,
    /// Share of the time that players stood still.
    pub stalled_share: f64,
}

/// What a demand comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Solution {
    /// Whether there is one.
    pub is_feasible: bool,
    /// Whether none is cheaper (or: there is none at all); otherwise the search was cut short.
    pub is_exact: bool,
    /// The rendition that is reckoned with.
    pub rendition: String,
    /// How many surrogates of which size, by cluster.
    pub sizes: Vec<Size>,
    /// What is expected, by site and time of day.
    pub predicted: Vec<Prediction>,
    /// Processors, all together.
    pub cpus: u64,
    /// Memory, all together, bytes.
    pub memory_bytes: u64,
    /// Cost of an hour, in the units of the demand's prices.
    pub cost_per_hour: f64,
    /// What makes it as dear as it is, the dearest first; without any it is the traffic alone.
    pub binding: Vec<Binding>,
    /// Where there is none: the nearest demands that have one, each with one thing changed.
    pub nearest: Vec<Nearest>,
    /// The template (TOSCA, YAML) that deploys it; absent where there is none.
    pub template: Option<String>,
    /// What to know of it.
    pub notes: Vec<String>,
}

/// Surrogates at a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Size {
    /// The cluster.
    pub cluster: String,
    /// Its site.
    pub site: String,
    /// How near to viewers it is.
    pub tier: String,
    /// How many.
    pub instances: u64,
    /// How many of them keep the promise; the others are there for failures.
    pub needed: u64,
    /// What each keeps in memory, bytes.
    pub cache_bytes: u64,
    /// Cost of an hour of all of them.
    pub cost_per_hour: f64,
    /// Sites whose viewers they serve.
    pub serves: Vec<String>,
}

/// What is expected of a site at a time of day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Prediction {
    /// The site.
    pub site: String,
    /// The cluster that serves it.
    pub cluster: String,
    /// From which hour on.
    pub from_h: f64,
    /// Viewers of the site.
    pub viewers: u64,
    /// Share of what the surrogates of the cluster can send.
    pub load: f64,
    /// Bits a second that the viewers of the site are sent.
    pub delivered_bps: f64,
    /// Requests a second of theirs.
    pub requests_per_s: f64,
    /// Time to the first picture that half of the viewers do not exceed, milliseconds.
    pub start_up_p50_ms: f64,
    /// The same for 95 of 100.
    pub start_up_p95_ms: f64,
    /// Share of the time that players stand still.
    pub stalled_share: f64,
    /// Share of the answers that the surrogate has.
    pub hit_share: f64,
    /// VMAF of the rendition, where it was measured.
    pub vmaf: Option<f64>,
    /// Chance that enough surrogates are there.
    pub availability: f64,
}

/// What makes a solution dear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Binding {
    /// `start_up_ms`, `stalled_share`, `vmaf`, `availability`, `budget.…`, `room`.
    pub constraint: String,
    /// What an hour costs less without it.
    pub saves_per_hour: f64,
    /// The same in words.
    pub why: String,
}

/// A demand that differs in one thing, and has a solution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Nearest {
    /// What is changed: a target, a budget, or `demand` (a share of all viewers).
    pub constraint: String,
    /// What was asked for.
    pub asked: f64,
    /// What is possible.
    pub possible: f64,
    /// Cost of an hour then.
    pub cost_per_hour: f64,
    /// The same in words.
    pub why: String,
}
