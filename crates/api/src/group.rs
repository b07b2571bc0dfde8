//! Names of groups of answers (Cache-Groups, RFC 9875): what streaming says of an answer, and metadata has surrogates forget.

use uuid::Uuid;

/// The group of everything of an asset.
#[must_use]
pub fn of_asset(asset: Uuid) -> String {
    asset.to_string()
}

/// The group of everything of some subtitles of an asset.
#[must_use]
pub fn of_subtitle(asset: Uuid, subtitle: &str) -> String {
    format!("{asset}/{subtitle}")
}
