//! What may become of an asset: the decisions behind each change. Pure; [`crate::store`] carries them out.
//!
//! Nothing leads back from `ready`: what plays goes on playing, and the newest version is what plays.
//!
//! ```text
//! (nothing) ──register──► registered ──publish──► ready ──publish, fail──► ready
//!                             └──fail──► failed ──publish──┘
//! ```

use flame_api::metadata::{Asset, AssetState, NewAsset, NewVersion, Version};

/// What a registration does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// The asset is new.
    Create,
    /// It was registered before, from the same source: it stays as it is.
    Repeat,
    /// The id stands for something else.
    Taken,
}

/// What a publication does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// The version is new, and plays from now on.
    Add,
    /// It was published before, just so.
    Repeat,
    /// It was published before with other content: versions are immutable.
    Differs,
}

/// What the report of a failure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReport {
    /// The asset becomes, or stays, `failed` with this reason.
    Note,
    /// Nothing: it plays, or the same was reported before.
    Ignore,
}

/// Decides a registration by `tenant`, where `existing` is the asset that has the id now, whoever owns it.
#[must_use]
pub fn register(existing: Option<&Asset>, tenant: &str, new: &NewAsset) -> Registration {
    match existing {
        None => Registration::Create,
        Some(asset) if asset.tenant == tenant && asset.source == new.source => Registration::Repeat,
        Some(_) => Registration::Taken,
    }
}

/// Decides a publication, where `existing` is the version that has the name now.
#[must_use]
pub fn publish(existing: Option<&Version>, new: &NewVersion) -> Publication {
    match existing {
        None => Publication::Add,
        Some(Version { tracks, thumbnails, chain, job_id, .. }) => {
            // Not `conditioning`: what made it may have been updated between two tries to publish.
            let said = (tracks, thumbnails, chain, job_id);
            let is_same = said == (&new.tracks, &new.thumbnails, &new.chain, &new.job_id);
            if is_same { Publication::Repeat } else { Publication::Differs }
        }
    }
}

/// Decides what the report of a failure for `reason` does to `asset`.
#[must_use]
pub fn fail(asset: &Asset, reason: &str) -> FailureReport {
    match asset.state {
        AssetState::Ready => FailureReport::Ignore,
        AssetState::Failed if asset.error.as_deref() == Some(reason) => FailureReport::Ignore,
        AssetState::Registered | AssetState::Failed => FailureReport::Note,
    }
}
