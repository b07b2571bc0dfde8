//! Several assets in one call: `PATCH /assets`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Asset, AssetPatch};
use crate::problem::Problem;

/// The most assets that one call reads by their ids, or edits.
pub const BATCH_MAX: usize = 100;

/// Body of `PATCH /assets`: 1 to 100 edits, each of them as `PATCH /assets/{id}` takes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetEdits {
    /// The edits, in the order in which they are made. Each stands for itself: one that is refused leaves the others alone.
    pub edits: Vec<AssetEdit>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetEdit {
    /// The asset.
    pub id: Uuid,
    /// The revision that was read; another one is 412.
    pub revision: u64,
    /// What is different from now on.
    pub patch: AssetPatch,
}

/// What became of the edits, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EditOutcomes {
    /// One for each.
    pub items: Vec<EditOutcome>,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EditOutcome {
    /// What `PATCH /assets/{id}` would have answered: 200, 404, 412, 422.
    pub status: u16,
    /// The asset as it is now, where it was edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Asset>,
    /// Why not, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
