//! Deleting: first into the trash, from where an asset comes back as it was; after `[trash] keep`, or at once where that is
//! asked for, for good, and its objects with it.

use std::time::Duration;

use flame_api::group;
use flame_api::metadata::{Action, Asset};
use flame_service_host::IfMatch;
use uuid::Uuid;

use super::assets::find;
use super::history::{self, By, Note};
use super::sql::{Transaction, sql};
use super::{Store, StoreResult, deletions, now_us, purges, rows};

/// What became of a deletion.
#[derive(Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, for good or into the trash.
    Done,
    /// It is not of the revision that the caller saw, but of this one.
    Stale(u64),
    /// There is none.
    Missing,
}

/// The asset that has been in the trash for longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// The asset.
    pub asset_id: Uuid,
    /// The tenant that owns it.
    pub tenant: String,
    /// When it is gone for good, microseconds since the Unix epoch.
    pub due_at_us: i64,
}

// === impl Store ===

impl Store {
    /// Takes the tenant's asset out of the catalogue: into the trash, or with `erase` for good, also if it is in the trash.
    pub async fn delete(&self, by: By<'_>, id: Uuid, seen: Option<&IfMatch>, erase: bool) -> StoreResult<Deleted> {
        let mut transaction = self.database.changing(id).await?;
        let found = find(&mut transaction, id).await?;
        let is_there = |asset: &Asset| asset.tenant == by.tenant && (erase || asset.deleted_at.is_none());
        let Some((seq, current)) = found.filter(|(_, asset)| is_there(asset)) else {
            return Ok(Deleted::Missing);
        };
        if seen.is_some_and(|seen| !seen.allows(current.revision)) {
            return Ok(Deleted::Stale(current.revision));
        }
        purges::note(&mut transaction, &self.purges, by.tenant, &group::of_asset(id)).await?;
        if erase || self.trash.keep.0.is_zero() {
            self.erase(&mut transaction, by, seq, &current).await?;
        } else {
            sql("UPDATE assets SET deleted_at_us = $2, revision = revision + 1, updated_at_us = $2 WHERE seq = $1")
                .bind(seq)
                .bind(now_us())
                .run(&mut transaction)
                .await?;
            let at = (id, current.revision + 1, self.keep());
            history::note(&mut transaction, by, at, Note::plain(Action::Deleted)).await?;
        }
        self.commit(transaction).await?;
        self.deletion_noted.notify_one();
        self.purge_noted.notify_one();
        self.trash_noted.notify_one();
        Ok(Deleted::Done)
    }

    /// Waits until something was put into the trash since the last wait.
    pub async fn trash_noted(&self) {
        self.trash_noted.notified().await;
    }

    /// The asset whose time in the trash ends first, if there is one.
    pub async fn next_trashed(&self) -> StoreResult<Option<Trashed>> {
        let mut transaction = self.database.reading().await?;
        let query = sql(
            "SELECT id, tenant, deleted_at_us FROM assets WHERE deleted_at_us IS NOT NULL ORDER BY deleted_at_us LIMIT 1",
        );
        let row: Option<(String, String, i64)> = query.one(&mut transaction).await?;
        row.map(|(id, tenant, deleted_at_us)| {
            let due_at_us = deleted_at_us.saturating_add(micros(self.trash.keep.0));
            Ok(Trashed { asset_id: rows::uuid(&id)?, tenant, due_at_us })
        })
        .transpose()
    }

    /// Erases an asset, if it is still in the trash.
    pub async fn erase_trashed(&self, trashed: &Trashed) -> StoreResult<()> {
        let mut transaction = self.database.changing(trashed.asset_id).await?;
        let found = find(&mut transaction, trashed.asset_id).await?;
        if let Some((seq, asset)) = found.filter(|(_, asset)| asset.deleted_at.is_some()) {
            let by = By { tenant: &trashed.tenant, subject: "trash" };
            self.erase(&mut transaction, by, seq, &asset).await?;
            self.commit(transaction).await?;
            self.deletion_noted.notify_one();
        }
        Ok(())
    }

    /// Takes an asset out of the catalogue for good, and notes that its objects have to go. Of its history only this stays.
    async fn erase(&self, transaction: &mut Transaction, by: By<'_>, seq: i64, asset: &Asset) -> StoreResult<()> {
        sql("DELETE FROM assets WHERE seq = $1").bind(seq).run(transaction).await?;
        deletions::note(transaction, by.tenant, asset).await?;
        history::forget(transaction, asset.id).await?;
        let at = (asset.id, asset.revision + 1, self.keep());
        history::note(transaction, by, at, Note::plain(Action::Erased)).await
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
