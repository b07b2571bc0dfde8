//! Brings an asset to this site before anybody asks for it. Repeating it is safe, and says how far it is.
//!
//! Where it is said from which site, each block is asked for there by name. Sites that do so at the same time ask the same questions, and
//! their routers answer them together: fetched once, and multicast where the platform has it.

use flame_api::replicas::Placement;
use flame_naming::Label;
use flame_object_store::StoreError;
use uuid::Uuid;

use super::{Replicas, owner};
use crate::live::CHAIN;
use crate::multivariant::SHEETS_FOLDER;
use crate::names::TrackName;
use crate::presentation::{Presentation, State};

/// Sheets of thumbnails that an asset may have, as in the limits of the catalogue, with room.
const SHEETS_MAX: u32 = 100_000;

/// The keys of all that plays of an asset and may be copied.
pub(crate) fn keys(asset: Uuid, presentation: &Presentation) -> Vec<String> {
    let tenant = presentation.tenant.as_str();
    let mut keys: Vec<String> = presentation.subtitles.iter().map(|subtitle| subtitle.key.clone()).collect();
    match &presentation.state {
        State::Playable(version) if version.chain == CHAIN => {}
        State::Playable(version) => {
            let name = |track: &str| TrackName { asset, version: version.name.clone(), track: track.to_owned() };
            for track in &version.tracks {
                let name = name(&track.name);
                keys.extend([name.index_key(tenant), name.object_key(tenant)]);
            }
            if let Some(thumbnails) = &version.thumbnails {
                let a_sheet = thumbnails.columns.saturating_mul(thumbnails.rows).max(1);
                let sheets = thumbnails.count.div_ceil(a_sheet).min(SHEETS_MAX);
                let folder = name(SHEETS_FOLDER);
                keys.extend((0..sheets).map(|number| folder.sheet_key(tenant, number)));
            }
        }
        State::Waiting | State::Failed { .. } | State::Broken { .. } => keys.push(presentation.source.key.clone()),
    }
    keys.retain(|key| owner(key).is_some());
    keys
}

impl Replicas {
    /// Has those of `keys` copied that are not here, from the site `from` or the nearest that has them.
    pub(crate) async fn place(&self, keys: &[String], from: Option<&Label>) -> Result<Placement, StoreError> {
        let mut placement = Placement { objects: 0, here: 0, waiting: 0, here_bytes: 0 };
        for key in keys {
            placement.objects += 1;
            if let Some(info) = self.0.near.head(key).await? {
                placement.here += 1;
                placement.here_bytes += info.size_bytes;
            } else if self.want(key, from).await {
                placement.waiting += 1;
                placement.here_bytes += self.come_bytes(key);
            }
        }
        Ok(placement)
    }
}
