//! Objects between the stores of several sites: `/objects` and `/replicas` of streaming.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which object another site wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ObjectQuery {
    /// Its key: one of those that never change (docs/storage-format.md).
    pub key: String,
}

/// From where an asset is brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlaceQuery {
    /// The site whose store is asked; without it the nearest that has it. Sites that say the same one at the same time get one transfer, where
    /// their routers multicast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// How far an asset is that was to be brought to a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Objects of the asset that can be copied.
    pub objects: u64,
    /// Those that are in the store of the site.
    pub here: u64,
    /// Those that wait, or are being copied. What is neither here nor waits could not be had, or too many waited: ask again.
    pub waiting: u64,
    /// Bytes that are here, also of objects of which the rest is still to come.
    pub here_bytes: u64,
}
