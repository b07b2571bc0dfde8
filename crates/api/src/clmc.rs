//! Wire types of CLMC: answers to questions, as InfluxDB writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A question in InfluxQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct Question {
    /// The statements, separated by semicolons
    pub q: String,
    /// The database of statements that name none
    pub db: String,
    /// Times as whole numbers of this unit; without it as texts (RFC 3339)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}

/// Answers to the statements of a question, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Answers {
    /// One a statement.
    pub results: Vec<Answer>,
}

/// The answer to one statement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Answer {
    /// The number of the statement, from 0 on.
    pub statement_id: usize,
    /// Tables; none where nothing was found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Table>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A table of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Table {
    /// The measurement.
    pub name: String,
    /// What it was grouped by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Names of the columns; of those that have times the first is `time`.
    pub columns: Vec<String>,
    /// Rows.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub values: Vec<Vec<serde_json::Value>>,
}

/// An alerts document that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertSpecification {
    /// The service function chain.
    pub sfc: String,
    /// Its instance.
    pub sfci: String,
    /// Its triggers.
    pub triggers: Vec<AlertTrigger>,
}

/// A condition, and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertTrigger {
    /// The policy.
    pub policy: String,
    /// The trigger.
    pub trigger: String,
    /// What the document says of it.
    pub description: String,
    /// `OK` or `CRITICAL`.
    pub level: String,
    /// The value that was compared last.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: f64,
}

/// Places, and how long it takes from one to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkGraph {
    /// Sites, user equipment whose latency somebody measured, and where endpoints are.
    pub nodes: Vec<NetworkNode>,
    /// Links, each way by itself.
    pub links: Vec<NetworkLink>,
}

/// A place in the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkNode {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
}

/// What a place in the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A site of the site file, and the user equipment that enters the network there.
    Site,
    /// An end of a latency that was measured, and no site.
    UserEquipment,
    /// Where an endpoint says that it is (`flame_location`), and no site.
    Location,
}

/// A link, one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkLink {
    /// From where.
    pub source: String,
    /// To where.
    pub target: String,
    /// One way.
    pub latency_ms: f64,
    /// What the site file says; null where it names no such link.
    pub bandwidth_mbps: Option<f64>,
    /// Whether the latency was measured this way; else it is that of the site file, or of the other way.
    pub is_measured: bool,
}

/// Which pairs of a place and an endpoint are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RoundTripQuery {
    /// The database: the service function chain
    pub db: String,
    /// Only from this place: a site, or user equipment
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only to this endpoint (`flame_sfe`) or service
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The round-trip time of a pair: the network there, the service, the network back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoundTrip {
    /// Where the user equipment is.
    pub source: String,
    /// The measurement of the service.
    pub service: String,
    /// The site of the endpoint.
    pub location: String,
    /// The context tags of the endpoint.
    pub tags: BTreeMap<String, String>,
    /// Of the network there.
    pub forward_ms: f64,
    /// To the head of the answer, mean of the requests of the window.
    pub response_ms: f64,
    /// Of the network back.
    pub back_ms: f64,
    /// The three of them together.
    pub round_trip_ms: f64,
    /// What the bytes of request and answer take over the narrowest links besides; 0 where no bandwidth is known.
    pub transfer_ms: f64,
}
