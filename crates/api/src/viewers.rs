//! Links for viewers of what is protected: `POST /assets/{asset}/viewer-links` of streaming signs one for whoever may read the asset.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A link that opens one asset for a while (RFC 9246). Whoever has it plays the asset: nothing else is asked of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ViewerLink {
    /// The multivariant playlist, as a path of the router: `/~cdn.signed/;URISigningPackage=.../ASSET/index.m3u8`. Whatever else plays of the
    /// asset lies beside it.
    pub path: String,
    /// The same by other names, in the order in which a player is to try them while nobody answers at `path`.
    #[serde(default)]
    pub others: Vec<String>,
    /// When it ends: with the token that asked for it, at the latest.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}
