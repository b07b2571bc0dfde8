//! Wire types of the orchestrator: what is deployed, how far it is, and why.
//!
//! `POST|GET /deployments` · `GET|DELETE /deployments/{sfc}/{sfci}`, `GET …/decisions`, `PUT …/functions/{function}/state` · `POST /plans` ·
//! `POST /{sfc}/{policy}/{trigger}` (CLMC's messages) · `POST /solutions` (demands: [`sla`]).

pub mod sla;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A template to deploy, or to plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewDeployment {
    /// The template (TOSCA, YAML).
    pub template: String,
    /// The files that it imports, by the paths that it names.
    pub imports: BTreeMap<String, String>,
    /// Values of its inputs.
    pub inputs: BTreeMap<String, String>,
    /// Another instance than the template's own.
    pub instance: Option<String>,
    /// The alerts document that its policies wait for; it is given to CLMC.
    pub alerts: Option<String>,
}

/// A template that is deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// The service function chain.
    pub sfc: String,
    /// Its instance.
    pub sfci: String,
    /// What it is for.
    pub description: String,
    /// Whether it was told to go.
    pub is_leaving: bool,
    /// Whether every endpoint is as far as it should be.
    pub is_settled: bool,
    /// Its endpoints.
    pub endpoints: Vec<DeployedEndpoint>,
    /// Why its template is not followed any more, where that is so: what runs of it goes on as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An endpoint of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeployedEndpoint {
    /// The function.
    pub function: String,
    /// Its identifier, in the router, too, unless it registers itself.
    pub endpoint: String,
    /// The cluster where it is.
    pub cluster: String,
    /// The site of that.
    pub site: String,
    /// What runs.
    pub image: String,
    /// Names that it serves.
    pub names: Vec<String>,
    /// How far it should be: `unplaced`, `placed`, `booted`, `connected`.
    pub desired: String,
    /// How far it is: those, and `booting`, `draining`, `stopping`.
    pub state: String,
    /// Since when, Unix milliseconds.
    pub since_unix_ms: u64,
    /// How often in a row it ended or did not come up.
    pub failures: u32,
    /// Why it is not as far as it should be, where something failed: the last of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The process.
    pub pid: Option<u32>,
    /// Where it listens.
    pub address: Option<String>,
}

/// Something that was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// Counts up.
    pub id: i64,
    /// When, Unix milliseconds.
    pub at_unix_ms: u64,
    /// What it is about: a function, a policy, or the template.
    pub subject: String,
    /// What was done.
    pub action: String,
    /// Why.
    pub reason: String,
}

/// How far somebody wants a function to be, until they or a policy want something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedState {
    /// That state.
    pub state: FunctionState,
}

/// How far an endpoint is meant to be (`eu.ict-flame.sfe.state.lifecycle.…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FunctionState {
    /// It is not there.
    Unplaced,
    /// What it needs is on the cluster; it takes no compute.
    Placed,
    /// It runs, and gets no requests.
    Booted,
    /// It gets requests.
    Connected,
}

/// Where a template would go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Where each function would be.
    pub places: Vec<PlannedPlace>,
    /// Requests under way at any time because of distance.
    pub cost: f64,
    /// The least that any placement could cost.
    pub bound: f64,
    /// Whether no placement is cheaper.
    pub is_exact: bool,
    /// What would be left.
    pub clusters: Vec<ClusterRoom>,
}

/// Where a function would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedPlace {
    /// The function.
    pub function: String,
    /// The cluster.
    pub cluster: String,
    /// In which state it would begin.
    pub begins: String,
    /// Why there.
    pub reason: String,
}

/// What is left at a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterRoom {
    /// The cluster.
    pub cluster: String,
    /// Its site.
    pub site: String,
    /// Processors that are left.
    pub cpus: u64,
    /// Memory that is left, bytes.
    pub memory_bytes: u64,
    /// Disk that is left, bytes.
    pub disk_bytes: u64,
}

/// What became of a message of CLMC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertOutcome {
    /// `moved`, `waits` or `nothing`.
    pub action: String,
    /// Why.
    pub reason: String,
}
