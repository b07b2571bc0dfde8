//! The change feed: what became of all assets of a tenant, in one order.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Action;

/// One change of one asset: that it happened, not what was edited (`GET /assets/{id}/history` tells that).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeNotice {
    /// Its place in the tenant's feed: 1, 2, 3, …
    pub position: u64,
    /// The asset.
    pub asset_id: Uuid,
    /// The asset's revision after it.
    pub revision: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whose credential did it; `loopback` where none was needed.
    pub by: String,
    /// What kind of change.
    pub action: Action,
    /// What it was about, where that is no edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Changes after a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangePage {
    /// The changes, oldest first.
    pub items: Vec<ChangeNotice>,
    /// Where to go on: `after` of the next call, also where there is nothing new yet.
    pub position: u64,
}

/// Query of `GET /changes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Only changes after this position; 0: all that are kept. Absent: those from now on. `Last-Event-ID` goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Changes wanted at once, 1 to 200 (default 50); of no meaning for a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
