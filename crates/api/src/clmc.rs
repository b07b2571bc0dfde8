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
