//! Copies of assets that are gone for good go, too. The catalogue is asked of each asset of which there are copies, now and then: it
//! remembers what was deleted. An asset in the trash keeps its copies, and one that the catalogue does not know is left alone: a catalogue
//! that was restored from an older backup must not cost media.

use flame_api::metadata::StandingState;
use flame_object_store::StoreError;
use flame_service_host::problem::chain;

use super::kept::{MARKS, note_of};
use super::{Owner, Replicas};

/// Unfinished copies that are given up in one look.
const UPLOADS_AT_ONCE: usize = 100;

impl Replicas {
    /// Looks again and again, for as long as it is awaited.
    pub(super) async fn forget_on(&self) {
        loop {
            tokio::time::sleep(self.0.config.sweep.0).await;
            if let Err(error) = self.look().await {
                tracing::warn!(error = chain(&error), "copies of deleted assets could not be looked for");
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.0.near.list_after(MARKS, after.as_deref()).await?;
            for mark in &page.objects {
                let Some(owner) = Owner::of_mark(&mark.key) else { continue };
                if self.is_gone(&owner).await
                    && let Err(error) = self.forget(&owner).await
                {
                    let error = chain(&error);
                    tracing::warn!(asset = %owner.asset, error, "copies of a deleted asset stay until the next look");
                }
            }
            match page.objects.into_iter().next_back() {
                Some(last) if page.next.is_some() => after = Some(last.key),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn is_gone(&self, owner: &Owner) -> bool {
        match self.0.catalogue.for_tenant(&owner.tenant).standing(owner.asset).await {
            Ok(standing) => standing.state == StandingState::Deleted,
            Err(error) => {
                tracing::debug!(asset = %owner.asset, %error, "whether an asset is gone is not known now");
                false
            }
        }
    }

    /// Deletes what is here of an asset. Its mark stays until a look finds nothing: a copy may be under way.
    async fn forget(&self, owner: &Owner) -> Result<(), StoreError> {
        let near = &self.0.near;
        let mut gone = 0;
        for prefix in owner.prefixes() {
            gone += near.delete_prefix(&prefix).await?;
            near.delete_prefix(&note_of(&prefix)).await?;
            for open in near.list_multipart(&prefix, UPLOADS_AT_ONCE).await? {
                near.abort_multipart(&open.upload).await?;
                gone += 1;
            }
        }
        if gone == 0 {
            return near.delete(&owner.mark()).await;
        }
        self.0.figures.forgotten.inc_by(gone);
        tracing::info!(asset = %owner.asset, objects = gone, "copies of a deleted asset are gone");
        Ok(())
    }
}
