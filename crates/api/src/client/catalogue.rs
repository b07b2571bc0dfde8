//! Calls to the metadata service.

use reqwest::{Method, header};
use uuid::Uuid;

use super::{Client, ClientError};
use crate::metadata::{
    Asset, AssetEdits, AssetPatch, AssetQuery, Change, DeleteQuery, EditOutcomes, FacetQuery, Facets, Failure,
    IMPORT_CONTENT_TYPE, ImportOutcomes, NewAsset, NewVersion, Provenance, ProvenanceQuery, RestoreQuery, Standing,
};
use crate::page::{Page, PageQuery};

// === impl Client ===

impl Client {
    /// Registers an asset; repeating it is safe.
    pub async fn create_asset(&self, asset: &NewAsset) -> Result<Asset, ClientError> {
        self.call(Method::POST, "metadata", "assets").body(asset).json().await
    }

    /// Registers many assets at once, each an [`crate::metadata::ImportedAsset`] in a line of `lines`; repeating it is safe. Says what became
    /// of each line.
    pub async fn import_assets(&self, lines: String) -> Result<ImportOutcomes, ClientError> {
        self.call(Method::POST, "metadata", "assets/import").text(IMPORT_CONTENT_TYPE, lines).json().await
    }

    /// The asset, or `None` where there is none.
    pub async fn asset(&self, id: Uuid) -> Result<Option<Asset>, ClientError> {
        self.call(Method::GET, "metadata", &format!("assets/{id}")).json_or_none().await
    }

    /// What an id stands for, also if that is deleted.
    pub async fn standing(&self, id: Uuid) -> Result<Standing, ClientError> {
        self.call(Method::GET, "metadata", &format!("assets/{id}/standing")).json().await
    }

    /// A page of assets.
    pub async fn assets(&self, query: &AssetQuery) -> Result<Page<Asset>, ClientError> {
        self.call(Method::GET, "metadata", "assets").query(query).json().await
    }

    /// How often each value of some fields occurs.
    pub async fn facets(&self, query: &FacetQuery) -> Result<Facets, ClientError> {
        self.call(Method::GET, "metadata", "facets").query(query).json().await
    }

    /// Where an asset's bytes came from, and what was made of them; `None` where there is no such asset, version or track.
    pub async fn provenance(&self, id: Uuid, query: &ProvenanceQuery) -> Result<Option<Provenance>, ClientError> {
        self.call(Method::GET, "metadata", &format!("assets/{id}/provenance")).query(query).json_or_none().await
    }

    /// Changes an asset of revision `revision`; 412 when it has changed since.
    pub async fn patch_asset(&self, id: Uuid, revision: u64, patch: &AssetPatch) -> Result<Asset, ClientError> {
        self.call(Method::PATCH, "metadata", &format!("assets/{id}"))
            .header(header::IF_MATCH, format!("\"{revision}\""))
            .body(patch)
            .json()
            .await
    }

    /// Edits several assets, each at the revision that was read; says what became of each, in their order.
    pub async fn patch_assets(&self, edits: &AssetEdits) -> Result<EditOutcomes, ClientError> {
        self.call(Method::PATCH, "metadata", "assets").body(edits).json().await
    }

    /// Publishes a version; repeating it is safe.
    pub async fn publish_version(&self, id: Uuid, version: &str, body: &NewVersion) -> Result<Asset, ClientError> {
        self.call(Method::PUT, "metadata", &format!("assets/{id}/versions/{version}")).body(body).json().await
    }

    /// Notes that conditioning failed.
    pub async fn fail_asset(&self, id: Uuid, failure: &Failure) -> Result<Asset, ClientError> {
        self.call(Method::PUT, "metadata", &format!("assets/{id}/failure")).body(failure).json().await
    }

    /// Puts an asset into the trash; `false` where there was none.
    pub async fn delete_asset(&self, id: Uuid) -> Result<bool, ClientError> {
        self.call(Method::DELETE, "metadata", &format!("assets/{id}")).done_or_none().await
    }

    /// Deletes an asset for good, also one that is in the trash; `false` where there was none.
    pub async fn erase_asset(&self, id: Uuid) -> Result<bool, ClientError> {
        let query = DeleteQuery { erase: true };
        self.call(Method::DELETE, "metadata", &format!("assets/{id}")).query(&query).done_or_none().await
    }

    /// A page of what became of an asset, newest first; `None` where there never was one.
    pub async fn asset_history(&self, id: Uuid, query: &PageQuery) -> Result<Option<Page<Change>>, ClientError> {
        self.call(Method::GET, "metadata", &format!("assets/{id}/history")).query(query).json_or_none().await
    }

    /// Takes an asset out of the trash; with `revision`, gives it what was edited as of then, if it is of revision `seen` now.
    pub async fn restore_asset(
        &self,
        id: Uuid,
        seen: Option<u64>,
        revision: Option<u64>,
    ) -> Result<Option<Asset>, ClientError> {
        let call =
            self.call(Method::POST, "metadata", &format!("assets/{id}/restore")).query(&RestoreQuery { revision });
        let call = match seen {
            Some(seen) => call.header(header::IF_MATCH, format!("\"{seen}\"")),
            None => call,
        };
        call.json_or_none().await
    }
}
